#include "frames.h"

#include <string.h>
#include <sys/time.h>

#include "proof.h"
#include "sockets.h"

//  Two joined sockets of rill, or one of them raw for what a stranger sends.
typedef struct {
    zsock_t *far, *near;
} pair_t;

static const char *const ANY = "tcp://127.0.0.1:0";

//  A place inside the process; a new one each time, for libzmq forgets a closed
//  one in its own time.
static const char *
inside(void)
{
    static char place[ENDPOINT_BYTES];
    static int places;
    snprintf(place, sizeof(place), "inproc://frames-%d", places++);
    return place;
}

static pair_t
join(socket_kind_t bound, socket_kind_t connected, const char *at)
{
    pair_t pair;
    char endpoint[ENDPOINT_BYTES];
    CHECK(sockets_open(bound, at, &pair.near) == STATUS_OK);
    sockets_bound(pair.near, endpoint);
    CHECK(sockets_open(connected, endpoint, &pair.far) == STATUS_OK);
    return pair;
}

static void
part(pair_t *pair)
{
    sockets_drop(&pair->far);
    sockets_drop(&pair->near);
}

//  Wait for what has been sent, with a bound that only a failure meets.
static bool
wait_for(zsock_t *socket, short what)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket), .events = what };
    return TEMP_FAILURE_RETRY(zmq_poll(&item, 1, 60000)) == 1;
}

static status_t
hear(zsock_t *socket, received_t *received_r)
{
    CHECK(wait_for(socket, ZMQ_POLLIN));
    return frames_receive(socket, received_r);
}

static void
say(zsock_t *socket, const peer_t *peer, const message_t *message,
    buffer_t *payload)
{
    CHECK(wait_for(socket, ZMQ_POLLOUT));
    CHECK(frames_send(socket, peer, message, payload) == STATUS_OK);
}

static buffer_t *
bytes_of(size_t size, uint8_t first)
{
    buffer_t *buffer = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer_fill(buffer)[i] = (uint8_t)(first + i * 7);
    return buffer;
}

static bool
same(const buffer_t *a, const buffer_t *b)
{
    return buffer_size(a) == buffer_size(b) &&
           memcmp(buffer_bytes(a), buffer_bytes(b), buffer_size(a)) == 0;
}

//  A piece of `size` bytes there, an answer of as many back.
static void
ask_and_answer(pair_t *pair, size_t size)
{
    Rill__V1__Piece piece = RILL__V1__PIECE__INIT;
    piece.offset = 42;
    message_t there = MESSAGE(PIECE, piece, &piece, 7, 8);
    buffer_t *bytes = bytes_of(size, 1);
    say(pair->far, NULL, &there, bytes);

    received_t got, back;
    CHECK(hear(pair->near, &got) == STATUS_OK);
    CHECK(got.peer.size > 0 && got.request == 7 && got.message->trace == 8);
    CHECK(got.message->body_case == RILL__V1__MESSAGE__BODY_PIECE);
    CHECK(got.message->piece->offset == 42 && same(got.payload, bytes));

    Rill__V1__Answer answer = RILL__V1__ANSWER__INIT;
    message_t again = MESSAGE(ANSWER, answer, &answer, 7, 8);
    say(pair->near, &got.peer, &again, got.payload);
    frames_release(&got);
    CHECK(hear(pair->far, &back) == STATUS_OK);
    CHECK(back.peer.size == 0 && back.request == 7);
    CHECK(same(back.payload, bytes));
    frames_release(&back);
    buffer_unref(&bytes);
}

static void
questions_and_answers_pass_with_payload_of_any_size(void)
{
    static const size_t sizes[] = { 0,    1,    33,   34,
                                    4095, 4096, 8192, LIMIT_PAYLOAD_BYTES };
    const char *places[] = { ANY, inside() };
    for (int p = 0; p < 2; p++) {
        pair_t pair = join(SOCKET_FRONT, SOCKET_ASK, places[p]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            ask_and_answer(&pair, sizes[i]);
        part(&pair);
    }
}

static void
pushed_chunks_and_receipts_pass_without_envelope(void)
{
    pair_t pair = join(SOCKET_PULL, SOCKET_PUSH, ANY);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    store.term = 3;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    Rill__V1__Receipt receipt = RILL__V1__RECEIPT__INIT;
    receipt.term = 4;
    message_t receipted = MESSAGE(RECEIPT, receipt, &receipt, 0, 0);
    buffer_t *bytes = bytes_of(256 * 1024, 9);
    say(pair.far, NULL, &chunk, bytes);
    say(pair.far, NULL, &receipted, NULL);
    say(pair.far, NULL, &chunk, NULL);

    received_t got;
    CHECK(hear(pair.near, &got) == STATUS_OK);
    CHECK(got.message->store->term == 3 && same(got.payload, bytes));
    frames_release(&got);
    CHECK(hear(pair.near, &got) == STATUS_OK);
    CHECK(got.message->receipt->term == 4 && !got.payload);
    frames_release(&got);
    CHECK(hear(pair.near, &got) == STATUS_OK);
    CHECK(got.payload && buffer_size(got.payload) == 0);
    frames_release(&got);
    CHECK(frames_receive(pair.near, &got) == STATUS_LATE);
    buffer_unref(&bytes);
    part(&pair);
}

static void
note_free(void *done)
{
    *(bool *)done = true;
}

//  Send `size` bytes of `lent` inside the process, and receive them.
static received_t
pass_lent(pair_t *pair, const uint8_t *lent, size_t size, bool *done)
{
    *done = false;
    buffer_t *bytes = buffer_wrap(lent, size, note_free, done);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    say(pair->far, NULL, &chunk, bytes);
    buffer_unref(&bytes);
    received_t got;
    CHECK(hear(pair->near, &got) == STATUS_OK);
    return got;
}

static void
payload_is_lent_and_not_copied(void)
{
    pair_t pair = join(SOCKET_PULL, SOCKET_PUSH, inside());
    static const uint8_t lent[FRAMES_COPIED_BYTES];
    bool done;
    received_t got = pass_lent(&pair, lent, sizeof(lent), &done);
    //  Inside one process even the receiver sees the sender's memory.
    CHECK(buffer_bytes(got.payload) == lent && !done);
    frames_release(&got);
    CHECK(done);
    part(&pair);
}

static void
little_payload_holds_no_memory_but_its_own(void)
{
    pair_t pair = join(SOCKET_PULL, SOCKET_PUSH, inside());
    static const uint8_t lent[FRAMES_COPIED_BYTES - 1];
    bool done;
    received_t got = pass_lent(&pair, lent, sizeof(lent), &done);
    CHECK(buffer_bytes(got.payload) != lent && done);
    frames_release(&got);
    part(&pair);
}

//  A stranger's DEALER at our front, and what we make of its next message.
typedef struct {
    zsock_t *stranger, *front;
} stranger_t;

static stranger_t
stranger_at(const char *at)
{
    stranger_t self;
    char endpoint[ENDPOINT_BYTES];
    CHECK(sockets_open(SOCKET_FRONT, at, &self.front) == STATUS_OK);
    sockets_bound(self.front, endpoint);
    self.stranger = zsock_new(ZMQ_DEALER);
    CHECK(zsock_connect(self.stranger, "%s", endpoint) == 0);
    return self;
}

static void
leave(stranger_t *self)
{
    sockets_drop(&self->stranger);
    sockets_drop(&self->front);
}

//  Send raw parts, the last one last.
static void
raw(zsock_t *socket, const void *bytes, size_t size, bool more)
{
    int flags = more ? ZMQ_SNDMORE : 0;
    CHECK(zmq_send(zsock_resolve(socket), bytes, size, flags) == (int)size);
}

static const uint8_t KEEP[] = {
    8, 1, 0x11, 9, 0, 0, 0, 0, 0, 0, 0, 0xc2, 1, 0
};  //  source_keep
static const uint8_t PIECE[] = {
    8, 1, 0x11, 9, 0, 0, 0, 0, 0, 0, 0, 0xb2, 1, 0
};  //  piece
static const uint8_t NEWER[] = {
    8, 2, 0x11, 9, 0, 0, 0, 0, 0, 0, 0, 0xc2, 1, 0
};  //  version 2
static const uint8_t STRANGE[] = { 8, 1, 0x11, 9, 0,    0,   0,
                                   0, 0, 0,    0, 0xc2, 0xc, 0 };  //  body 200

//  What was just sent is `status`; a good message behind it is read cleanly.
static bool
told(stranger_t *self, status_t status, uint64_t request)
{
    received_t got;
    if (hear(self->front, &got) != status || got.request != request)
        return false;
    if (got.message || got.payload)
        return false;
    bool from_somebody = got.peer.size > 0;
    raw(self->stranger, "", 0, true);
    raw(self->stranger, KEEP, sizeof(KEEP), false);
    if (hear(self->front, &got) != STATUS_OK)
        return false;
    frames_release(&got);
    return from_somebody;
}

static void
a_wrong_shape_is_swallowed_and_its_sender_told(void)
{
    stranger_t at = stranger_at(ANY);
    zsock_t *s = at.stranger;
    raw(s, "", 0, false);
    CHECK(told(&at, STATUS_MALFORMED, 0));
    raw(s, "", 0, true), raw(s, "junk", 4, false);
    CHECK(told(&at, STATUS_MALFORMED, 0));
    raw(s, "", 0, true), raw(s, NEWER, sizeof(NEWER), false);
    CHECK(told(&at, STATUS_VERSION, 9));
    raw(s, "", 0, true), raw(s, STRANGE, sizeof(STRANGE), true);
    raw(s, "payload", 7, false);
    CHECK(told(&at, STATUS_KIND, 9));
    //  Payload where none belongs, none where it belongs, more than one.
    raw(s, "", 0, true), raw(s, KEEP, sizeof(KEEP), true);
    raw(s, "x", 1, false);
    CHECK(told(&at, STATUS_MALFORMED, 9));
    raw(s, "", 0, true), raw(s, PIECE, sizeof(PIECE), false);
    CHECK(told(&at, STATUS_MALFORMED, 9));
    raw(s, "", 0, true), raw(s, PIECE, sizeof(PIECE), true);
    raw(s, "x", 1, true), raw(s, "y", 1, false);
    CHECK(told(&at, STATUS_MALFORMED, 9));
    leave(&at);
}

static void
a_head_or_payload_over_its_limit_is_swallowed(void)
{
    //  Inside the process no MAXMSGSIZE guards us.
    stranger_t at = stranger_at(inside());
    static uint8_t large[LIMIT_PAYLOAD_BYTES + 1];
    raw(at.stranger, "", 0, true);
    raw(at.stranger, large, LIMIT_HEAD_BYTES + 1, false);
    CHECK(told(&at, STATUS_TOO_LARGE, 0));
    raw(at.stranger, "", 0, true);
    raw(at.stranger, PIECE, sizeof(PIECE), true);
    raw(at.stranger, large, sizeof(large), false);
    CHECK(told(&at, STATUS_TOO_LARGE, 9));
    leave(&at);
}

//  A message of which not even the way back can be read.
static void
nobody(stranger_t *self)
{
    received_t got;
    CHECK(hear(self->front, &got) == STATUS_MALFORMED);
    CHECK(got.peer.size == 0 && !got.message);
    CHECK(frames_receive(self->front, &got) == STATUS_LATE);
}

static void
a_way_back_without_end_or_too_long_is_nobody(void)
{
    stranger_t at = stranger_at(ANY);
    raw(at.stranger, KEEP, sizeof(KEEP), false);
    nobody(&at);
    static const uint8_t hop[LIMIT_PEER_BYTES] = { 1 };
    raw(at.stranger, hop, sizeof(hop), true);
    raw(at.stranger, "", 0, true);
    raw(at.stranger, KEEP, sizeof(KEEP), false);
    nobody(&at);
    for (int i = 0; i < FRAMES_PARTS - 1; i++)
        raw(at.stranger, "h", 1, i + 1 < FRAMES_PARTS - 1);
    nobody(&at);
    leave(&at);
}

static void
a_path_through_other_routers_is_kept_and_found_again(void)
{
    stranger_t at = stranger_at(ANY);
    raw(at.stranger, "first", 5, true), raw(at.stranger, "2", 1, true);
    raw(at.stranger, "", 0, true), raw(at.stranger, KEEP, sizeof(KEEP), false);
    received_t got;
    CHECK(hear(at.front, &got) == STATUS_OK);
    say(at.front, &got.peer, got.message, NULL);
    frames_release(&got);
    CHECK(wait_for(at.stranger, ZMQ_POLLIN));
    static const char *const wanted[] = { "first", "2", "" };
    char bytes[64];
    for (int i = 0; i < 3; i++) {
        int size = zmq_recv(zsock_resolve(at.stranger), bytes, 64, 0);
        CHECK(size == (int)strlen(wanted[i]));
        CHECK(memcmp(bytes, wanted[i], strlen(wanted[i])) == 0);
    }
    CHECK(zmq_recv(zsock_resolve(at.stranger), bytes, 64, 0) == sizeof(KEEP));
    CHECK(memcmp(bytes, KEEP, sizeof(KEEP)) == 0);
    leave(&at);
}

static void
a_multipart_of_thousands_is_swallowed_a_call_at_a_time(void)
{
    enum { PARTS = 10000 };
    stranger_t at = stranger_at(ANY);
    raw(at.stranger, "", 0, true);
    for (int i = 1; i < PARTS; i++)
        raw(at.stranger, KEEP, sizeof(KEEP), true);
    raw(at.stranger, KEEP, sizeof(KEEP), false);
    raw(at.stranger, "", 0, true);
    raw(at.stranger, KEEP, sizeof(KEEP), false);

    received_t got;
    CHECK(hear(at.front, &got) == STATUS_TOO_LARGE && got.peer.size > 0);
    int calls = 1;
    status_t status;
    while ((status = hear(at.front, &got)) == STATUS_TOO_LARGE) {
        CHECK(got.peer.size == 0);
        calls++;
    }
    CHECK(status == STATUS_OK && calls > PARTS / FRAMES_PARTS);
    frames_release(&got);
    leave(&at);
}

static void
a_peer_that_is_gone_or_full_is_told_and_nothing_was_sent(void)
{
    zsock_t *front;
    const char *at = inside();
    CHECK(sockets_open(SOCKET_FRONT, at, &front) == STATUS_OK);
    zsock_t *slow = zsock_new(ZMQ_DEALER);
    zmq_setsockopt(zsock_resolve(slow), ZMQ_ROUTING_ID, "slow", 4);
    CHECK(zsock_connect(slow, "%s", at) == 0);
    peer_t peer = { .size = 5, .bytes = "\4slow" };
    peer_t stranger = { .size = 5, .bytes = "\4nope" };
    peer_t no_one = { .size = 0 };
    Rill__V1__Answer answer = RILL__V1__ANSWER__INIT;
    message_t said = MESSAGE(ANSWER, answer, &answer, 1, 1);
    bool freed = false;
    static uint8_t lent[100];
    buffer_t *bytes = buffer_wrap(lent, sizeof(lent), note_free, &freed);
    CHECK(frames_send(front, &stranger, &said, bytes) == STATUS_UNREACHABLE);
    CHECK(frames_send(front, &no_one, &said, bytes) == STATUS_UNREACHABLE);
    int sent = 0;
    status_t status;
    while ((status = frames_send(front, &peer, &said, bytes)) == STATUS_OK)
        sent++;
    CHECK(status == STATUS_BUSY && sent >= 1000);
    for (int i = 0; i < sent; i++) {
        zmsg_t *whole = zmsg_recv(slow);
        CHECK(zmsg_size(whole) == 3);
        zmsg_destroy(&whole);
    }
    CHECK(!(zsock_events(slow) & ZMQ_POLLIN) && !freed);
    buffer_unref(&bytes);
    CHECK(freed);
    sockets_drop(&slow);
    sockets_drop(&front);
}

static void
count_end(void *bytes, void *ends)
{
    (void)bytes;
    ++*(int *)ends;
}

static void
what_is_lent_is_given_back_once_whatever_becomes_of_it(void)
{
    zsock_t *front, *asks = zsock_new(ZMQ_DEALER);
    const char *at = inside();
    CHECK(sockets_open(SOCKET_FRONT, at, &front) == STATUS_OK);
    zmq_setsockopt(zsock_resolve(asks), ZMQ_ROUTING_ID, "asks", 4);
    CHECK(zsock_connect(asks, "%s", at) == 0);
    static const peer_t PEERS[] = { { .size = 5, .bytes = "\4nope" },
                                    { .size = 0 },
                                    { .size = 5, .bytes = "\4asks" } };
    Rill__V1__Answer answer = RILL__V1__ANSWER__INIT;
    message_t said = MESSAGE(ANSWER, answer, &answer, 1, 1);
    buffer_t *bytes = bytes_of(FRAMES_COPIED_BYTES, 1);
    int ends[3] = { 0 };
    status_t status[3];
    for (int i = 0; i < 3; i++)
        status[i] = frames_lend(front, &PEERS[i], &said, bytes, count_end,
                                &ends[i]);
    CHECK(status[0] == STATUS_UNREACHABLE && ends[0] == 1);
    CHECK(status[1] == STATUS_UNREACHABLE && ends[1] == 1);
    CHECK(status[2] == STATUS_OK && ends[2] == 0);
    received_t got;
    CHECK(hear(asks, &got) == STATUS_OK);
    CHECK(buffer_bytes(got.payload) == buffer_bytes(bytes) && ends[2] == 0);
    frames_release(&got);
    CHECK(ends[2] == 1);
    buffer_unref(&bytes);
    sockets_drop(&asks);
    sockets_drop(&front);
}

static void
a_push_without_a_worker_takes_nothing(void)
{
    zsock_t *push;
    const char *nowhere = "tcp://127.0.0.1:1";
    CHECK(sockets_open(SOCKET_PUSH, nowhere, &push) == STATUS_OK);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    CHECK(frames_send(push, NULL, &chunk, NULL) == STATUS_BUSY);
    sockets_drop(&push);
}

static void
a_head_over_its_limit_is_not_sent(void)
{
    pair_t pair = join(SOCKET_FRONT, SOCKET_ASK, inside());
    static char text[LIMIT_HEAD_BYTES + 1];
    memset(text, 't', LIMIT_HEAD_BYTES);
    Rill__V1__Refused refused = message_refusal(STATUS_BUSY, text, 0);
    message_t said = MESSAGE(REFUSED, refused, &refused, 0, 0);
    CHECK(frames_send(pair.far, NULL, &said, NULL) == STATUS_TOO_LARGE);
    part(&pair);
}

//  Publish under a topic until it is heard: a subscription takes its time.
static void
publish_until_heard(zsock_t *pub, zsock_t *sub, frames_topic_t topic)
{
    Rill__V1__ChunkHeader chunk = RILL__V1__CHUNK_HEADER__INIT;
    Rill__V1__Flow flow = RILL__V1__FLOW__INIT;
    flow.chunk = &chunk;
    message_t message = MESSAGE(FLOW, flow, &flow, 0, 0);
    zmq_pollitem_t item = { .socket = zsock_resolve(sub),
                            .events = ZMQ_POLLIN };
    for (int i = 0; i < 6000; i++) {
        buffer_t *payload = buffer_new(5000);
        memset(buffer_fill(payload), 7, 5000);
        CHECK(frames_publish(pub, topic, &message, payload) == STATUS_OK);
        buffer_unref(&payload);
        if (zmq_poll(&item, 1, 10) == 1)
            return;
    }
    CHECK(!"heard");
}

static void
what_is_published_is_heard_under_its_topic_alone(void)
{
    char at[ENDPOINT_BYTES];
    zsock_t *pub, *sub;
    CHECK(sockets_open(SOCKET_PUBLISH, "tcp://127.0.0.1:*", &pub) == STATUS_OK);
    sockets_bound(pub, at);
    CHECK(sockets_open(SOCKET_HEAR, at, &sub) == STATUS_OK);
    const frames_topic_t one = { 0x1122334455667788, 1 },
                         other = { one.stream, 2 };
    frames_subscribe(sub, other, true);
    publish_until_heard(pub, sub, other);
    frames_subscribe(sub, other, false);
    frames_subscribe(sub, one, true);
    received_t received;
    bool heard = false;
    while (!heard) {
        publish_until_heard(pub, sub, one);
        CHECK(frames_receive(sub, &received) == STATUS_OK);
        heard = received.topic.grant == one.grant;
        CHECK(received.topic.stream == one.stream);
        CHECK(received.message->body_case == RILL__V1__MESSAGE__BODY_FLOW);
        CHECK(buffer_size(received.payload) == 5000 &&
              buffer_bytes(received.payload)[4999] == 7);
        frames_release(&received);
    }
    //  From now on nothing of the other is among what is heard.
    for (int i = 0; i < 20; i++) {
        publish_until_heard(pub, sub, one);
        CHECK(frames_receive(sub, &received) == STATUS_OK);
        CHECK(received.topic.grant == one.grant);
        frames_release(&received);
    }
    //  It is known how many topics are heard.
    size_t topics = 0;
    for (int i = 0; i < 6000 && topics != 1; i++) {
        frames_topics(pub, &topics);
        zclock_sleep(1);
    }
    CHECK(topics == 1);
    //  What has no topic is swallowed.
    CHECK(zmq_setsockopt(zsock_resolve(sub), ZMQ_SUBSCRIBE, "x", 1) == 0);
    status_t status = STATUS_OK;
    for (int i = 0; i < 6000 && status != STATUS_MALFORMED; i++) {
        CHECK(zmq_send(zsock_resolve(pub), "xyz", 3, 0) == 3);
        zclock_sleep(1);
        status = frames_receive(sub, &received);
        if (status == STATUS_OK)
            frames_release(&received);
    }
    CHECK(status == STATUS_MALFORMED);
    zsock_destroy(&sub);
    zsock_destroy(&pub);
}

typedef struct {
    int whole, bad;
    int most;  //  Then no more is taken
} taken_t;

static bool
count_taken(void *with, status_t status, received_t *received, millis_t now)
{
    taken_t *taken = with;
    CHECK(now == 5 && (status == STATUS_OK) == (received->message != NULL));
    if (status == STATUS_OK)
        taken->whole++;
    else
        taken->bad++;
    return taken->whole + taken->bad < taken->most;
}

static void
a_turn_takes_what_has_come_and_not_more_than_its_share(void)
{
    pair_t pair = join(SOCKET_FRONT, SOCKET_ASK, inside());
    Rill__V1__Receipt receipt = RILL__V1__RECEIPT__INIT;
    message_t message = MESSAGE(RECEIPT, receipt, &receipt, 0, 0);
    zstr_send(pair.far, "no message");
    for (int i = 0; i < FRAMES_BURST + 9; i++)
        say(pair.far, NULL, &message, NULL);
    taken_t taken = { .most = 3 };
    frames_take(pair.near, count_taken, &taken, 5);
    CHECK(taken.whole == 2 && taken.bad == 1);
    taken.most = 1000;
    frames_take(pair.near, count_taken, &taken, 5);
    CHECK(taken.whole == 2 + FRAMES_BURST);
    frames_take(pair.near, count_taken, &taken, 5);
    CHECK(taken.whole == FRAMES_BURST + 9 && taken.bad == 1);
    part(&pair);
}

static void
on_signal(int number)
{
    (void)number;
}

static void
signals_are_no_answer(void)
{
    const struct itimerval NEVER = { { 0, 0 }, { 0, 0 } };
    const struct itimerval OFTEN = { { 0, 50 }, { 0, 50 } };
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &OFTEN, NULL);
    for (int i = 0; i < 200; i++) {
        char endpoint[ENDPOINT_BYTES];
        pair_t pair;
        zsock_t *watch;
        CHECK(sockets_open(SOCKET_FRONT, ANY, &pair.near) == STATUS_OK);
        sockets_bound(pair.near, endpoint);
        CHECK(sockets_open_watched(SOCKET_ASK, endpoint, &pair.far, &watch) ==
              STATUS_OK);
        for (int k = 0; k < 5; k++)
            ask_and_answer(&pair, FRAMES_COPIED_BYTES);
        sockets_unwatch(pair.far, &watch);
        part(&pair);
    }
    setitimer(ITIMER_REAL, &NEVER, NULL);
}

int
main(void)
{
    CASE(a_turn_takes_what_has_come_and_not_more_than_its_share,
         "a turn takes what has come, and not more than its share");
    CASE(questions_and_answers_pass_with_payload_of_any_size,
         "questions and answers pass with payload of any size");
    CASE(pushed_chunks_and_receipts_pass_without_envelope,
         "pushed chunks and receipts pass without an envelope");
    CASE(payload_is_lent_and_not_copied,
         "frames 1: payload is lent to the socket and to its receiver");
    CASE(little_payload_holds_no_memory_but_its_own,
         "frames 1: little payload holds no memory but its own");
    CASE(a_wrong_shape_is_swallowed_and_its_sender_told,
         "frames 2: a wrong shape is swallowed and its sender known");
    CASE(a_head_or_payload_over_its_limit_is_swallowed,
         "frames 2, invariant 18: what is over its limit is swallowed");
    CASE(a_way_back_without_end_or_too_long_is_nobody,
         "frames 2: a way back without end, or too long, is nobody's");
    CASE(a_path_through_other_routers_is_kept_and_found_again,
         "a path through other routers is kept and found again");
    CASE(a_multipart_of_thousands_is_swallowed_a_call_at_a_time,
         "frames 2, invariant 18: a long multipart is swallowed in steps");
    CASE(a_peer_that_is_gone_or_full_is_told_and_nothing_was_sent,
         "invariant 21: a peer gone or full is told, its payload let go");
    CASE(what_is_lent_is_given_back_once_whatever_becomes_of_it,
         "frames 1: what is lent is given back once, whatever becomes of it");
    CASE(a_push_without_a_worker_takes_nothing,
         "a push without a worker takes nothing");
    CASE(a_head_over_its_limit_is_not_sent,
         "a head over its limit is not sent");
    CASE(what_is_published_is_heard_under_its_topic_alone,
         "a chunk is heard under its own topic, by who subscribed to it alone");
    CASE(signals_are_no_answer,
         "invariant 21: whatever signals come, what is sent goes and comes");
    return proof_end();
}
