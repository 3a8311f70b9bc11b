#include "client.h"

#include <stdatomic.h>
#include <string.h>

#include "checksum.h"
#include "frames.h"
#include "proof.h"
#include "sockets.h"

enum {
    CHUNK = 1000,
    MOST = 100000,
    SESSION = 5,
    STREAM = 6,
    PATIENCE_MS = 1500
};

//  A node that keeps one stream in memory, in a thread of its own.
typedef struct {
    zsock_t *front;
    uint8_t bytes[MOST];
    uint64_t size;
} node_t;

static char node_at[ENDPOINT_BYTES];

static void
answer_ask(node_t *self, const received_t *asked)
{
    uint64_t from = asked->message->ask->offset / CHUNK * CHUNK;
    uint64_t to = from + CHUNK < self->size ? from + CHUNK : self->size;
    buffer_t *payload = buffer_new(to - from);
    memcpy(buffer_fill(payload), self->bytes + from, to - from);
    chunk_header_t header = { .key = { .stream = STREAM, .epoch = 1 },
                              .code = { 1, 1 },
                              .offset = from,
                              .length = (uint32_t)(to - from),
                              .width = 2,
                              .kind = KIND_RECORDED,
                              .name = "cam" };
    header.payload_crc = checksum_crc32c(buffer_bytes(payload), to - from);
    chunk_on_wire_t on_wire;
    message_from_chunk(&header, &on_wire);
    Rill__V1__Answer body = RILL__V1__ANSWER__INIT;
    body.chunk = &on_wire.header;
    message_t message = MESSAGE(ANSWER, answer, &body, asked->request, 0);
    frames_send(self->front, &asked->peer, &message, payload);
    buffer_unref(&payload);
}

static void
answer_opened(node_t *self, const received_t *asked)
{
    Rill__V1__Opened body = RILL__V1__OPENED__INIT;
    body.session = SESSION;
    body.stream = STREAM;
    body.offset = self->size;
    body.credit = MOST;
    body.chunk_bytes = CHUNK;
    message_t message = MESSAGE(OPENED, opened, &body, asked->request, 0);
    frames_send(self->front, &asked->peer, &message, NULL);
}

static void
answer_progress(node_t *self, const received_t *asked, bool sealed)
{
    Rill__V1__Progress body = RILL__V1__PROGRESS__INIT;
    body.session = SESSION;
    body.received = body.stored = body.settled = self->size;
    body.credit = MOST;
    body.sealed = sealed;
    message_t message = MESSAGE(PROGRESS, progress, &body, asked->request, 0);
    frames_send(self->front, &asked->peer, &message, NULL);
}

static void
answer_refused(node_t *self, const received_t *asked, const char *text)
{
    Rill__V1__Refused body = message_refusal(STATUS_UNKNOWN, text, 77);
    message_t message = MESSAGE(REFUSED, refused, &body, asked->request, 0);
    frames_send(self->front, &asked->peer, &message, NULL);
}

static void
answer_report(node_t *self, const received_t *asked)
{
    //  An answer to another question comes first.
    Rill__V1__Report body = RILL__V1__REPORT__INIT;
    body.term = 1;
    message_t late = MESSAGE(REPORT, report, &body, asked->request - 1, 0);
    frames_send(self->front, &asked->peer, &late, NULL);
    body.term = 2;
    message_t message = MESSAGE(REPORT, report, &body, asked->request, 0);
    frames_send(self->front, &asked->peer, &message, NULL);
}

//  What the node heard: all, without a trace, and asks under one that an
//  earlier ask had.
static atomic_uint heard, untraced, retraced;

static void
count_traces(const message_t *message)
{
    static uint64_t last;
    heard++;
    untraced += message->trace == 0;
    if (message->body_case != RILL__V1__MESSAGE__BODY_ASK)
        return;
    retraced += message->trace == last;
    last = message->trace;
}

static void
answer(node_t *self, const received_t *asked)
{
    const message_t *message = asked->message;
    count_traces(message);
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
        answer_report(self, asked);
        break;
    case RILL__V1__MESSAGE__BODY_DESCRIBE:
        answer_refused(self, asked, message->describe->name);
        break;
    case RILL__V1__MESSAGE__BODY_ASK:
        answer_ask(self, asked);
        break;
    case RILL__V1__MESSAGE__BODY_OPEN:
        answer_opened(self, asked);
        break;
    case RILL__V1__MESSAGE__BODY_PIECE:
        memcpy(self->bytes + message->piece->offset,
               buffer_bytes(asked->payload), buffer_size(asked->payload));
        self->size = message->piece->offset + buffer_size(asked->payload);
        answer_progress(self, asked, false);
        break;
    case RILL__V1__MESSAGE__BODY_FINISH:
        answer_progress(self, asked, true);
        break;
    default:
        break;
    }
}

static void
node(zsock_t *pipe, void *args)
{
    (void)args;
    node_t *self = zmalloc(sizeof *self);
    sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &self->front);
    sockets_bound(self->front, node_at);
    zpoller_t *poller = zpoller_new(pipe, self->front, NULL);
    zsock_signal(pipe, 0);
    while (zpoller_wait(poller, -1) == self->front) {
        received_t received;
        if (frames_receive(self->front, &received) != STATUS_OK)
            continue;
        answer(self, &received);
        frames_release(&received);
    }
    zpoller_destroy(&poller);
    sockets_drop(&self->front);
    free(self);
}

static void
nobody_there_is_told_in_time(void)
{
    client_t *client;
    message_t *answer;
    CHECK(client_new("nonsense", &client) == STATUS_ADDRESS);
    CHECK(client_new("127.0.0.1:1", &client) == STATUS_OK);
    //  A busy machine may be late now and then, not every time.
    millis_t took = MILLIS_NEVER;
    for (int i = 0; i < 10 && took >= CLIENT_REACH_MS + 500; i++) {
        millis_t begun = zclock_mono();
        CHECK(client_status(client, &answer) == STATUS_UNREACHABLE);
        took = zclock_mono() - begun;
        CHECK(took >= CLIENT_REACH_MS);
    }
    CHECK(took < CLIENT_REACH_MS + 500);
    CHECK(*client_text(client));
    client_destroy(&client);
}

static void
an_answer_belongs_to_its_question(void)
{
    zactor_t *actor = zactor_new(node, NULL);
    client_t *client;
    message_t *answer;
    CHECK(client_new(node_at, &client) == STATUS_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(client_status(client, &answer) == STATUS_OK);
        CHECK(answer->report->term == 2);
        message_free(&answer);
    }
    CHECK(client_describe(client, "cam", &answer) == STATUS_UNKNOWN);
    CHECK(streq(client_text(client), "cam") && client_offset(client) == 77);
    client_destroy(&client);
    zactor_destroy(&actor);
}

typedef struct {
    uint64_t size;
    uint8_t bytes[MOST];
    uint64_t got;
    bool stops;
} owner_t;

static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 256);
}

static void
offer(void *with, publisher_t *publisher, client_turn_t *turn, millis_t now)
{
    owner_t *owner = with;
    const publisher_state_t *state = publisher_state(publisher);
    while (state->next < owner->size) {
        uint64_t left = owner->size - state->next;
        buffer_t *piece = buffer_new(left < CHUNK ? left : CHUNK);
        for (size_t i = 0; i < buffer_size(piece); i++)
            buffer_fill(piece)[i] = byte_at(state->next + i);
        status_t status = publisher_offer(publisher, piece, NULL, 0, now);
        buffer_unref(&piece);
        if (status != STATUS_OK)
            return;
    }
    turn->stop = owner->stops && state->stored == owner->size;
    if (!owner->stops)
        publisher_finish(publisher, now);
}

static status_t
take(void *with, uint64_t offset, buffer_t *bytes)
{
    owner_t *owner = with;
    CHECK(offset == owner->got);
    memcpy(owner->bytes + offset, buffer_bytes(bytes), buffer_size(bytes));
    owner->got += buffer_size(bytes);
    return STATUS_OK;
}

static status_t
take_slowly(void *with, uint64_t offset, buffer_t *bytes)
{
    if (offset == 0)
        zclock_sleep(2 * PATIENCE_MS);
    return take(with, offset, bytes);
}

static void
a_slow_taker_has_waited_for_nobody(void)
{
    static owner_t owner;
    zactor_t *actor = zactor_new(node, NULL);
    client_t *client;
    CHECK(client_new(node_at, &client) == STATUS_OK);
    publisher_settings_t settings = { .name = "cam",
                                      .kind = KIND_LIVE,
                                      .token = 1 };
    publisher_state_t published;
    owner = (owner_t){ .size = 40 * CHUNK };
    CHECK(client_publish(client, &settings, offer, &owner, &published) ==
          STATUS_OK);
    reader_settings_t range = { .stream = STREAM,
                                .to = 40 * CHUNK,
                                .patience_ms = PATIENCE_MS };
    client_taker_t taker = { .deliver = take_slowly };
    reader_state_t read = { .done = false };
    //  The node itself may be late on a busy machine, not every time.
    for (int i = 0; i < 5 && !read.done; i++) {
        owner = (owner_t){ 0 };
        (void)client_read(client, &range, &taker, &owner, &read);
    }
    CHECK(read.done && owner.got == 40 * CHUNK);
    client_destroy(&client);
    zactor_destroy(&actor);
}

static void
what_was_published_is_read_back(void)
{
    static owner_t owner;
    zactor_t *actor = zactor_new(node, NULL);
    client_t *client;
    CHECK(client_new(node_at, &client) == STATUS_OK);
    publisher_settings_t settings = { .name = "cam",
                                      .kind = KIND_LIVE,
                                      .token = 1 };
    publisher_state_t published;
    owner = (owner_t){ .size = 40500, .stops = true };
    CHECK(client_publish(client, &settings, offer, &owner, &published) ==
          STATUS_OK);
    CHECK(published.stored == 40500 && !published.sealed);
    owner = (owner_t){ .size = 50500 };
    CHECK(client_publish(client, &settings, offer, &owner, &published) ==
          STATUS_OK);
    CHECK(published.sealed && published.settled == 50500);

    reader_settings_t range = { .stream = STREAM, .to = 50500 };
    client_taker_t taker = { .deliver = take };
    reader_state_t read;
    CHECK(client_read(client, &range, &taker, &owner, &read) == STATUS_OK);
    CHECK(read.done && owner.got == 50500);
    for (uint64_t i = 0; i < owner.got; i++)
        CHECK(owner.bytes[i] == byte_at(i));
    client_destroy(&client);
    zactor_destroy(&actor);
}

static void
every_request_bears_a_trace(void)
{
    CHECK(heard > 10 && untraced == 0 && retraced == 0);
}

int
main(void)
{
    sockets_begin(32);
    CASE(nobody_there_is_told_in_time,
         "client 1: a node that is not there is told within 3 s");
    CASE(an_answer_belongs_to_its_question,
         "client 2: an answer belongs to its question");
    CASE(a_slow_taker_has_waited_for_nobody,
         "client 4: who takes its time is not told that no answer came");
    CASE(what_was_published_is_read_back,
         "invariant 2: what was published over a socket is read back");
    CASE(every_request_bears_a_trace,
         "client 3: all that was asked bore a trace, each ask its own");
    return proof_end();
}
