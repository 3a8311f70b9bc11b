#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "invariant.h"
#include "random.h"
#include "sockets.h"

enum {
    BUSY_PAUSE_MS = 100,  //  Before asking again who was busy
    TURN_MOST_MS = 1000,  //  A turn is not longer: signals are looked at
};

struct client {
    char endpoint[ENDPOINT_BYTES];
    zsock_t *socket;  //  DEALER
    zsock_t *watch;   //  Tells when its connection comes and goes
    bool connected;
    bool broke;    //  It was connected and is to be again
    bool blocked;  //  It took nothing when we last sent
    uint64_t request;
    uint64_t trace;  //  Of what is asked now
    uint64_t offset;
    char text[512];

    //  While it runs; one of them.
    publisher_t *publisher;
    reader_t *reader;
    watcher_t *watcher;
    const client_taker_t *taker;
    const client_viewer_t *viewer;
    void *with;
    //  Their time stands still while the taker is at work: who takes slowly
    //  has waited for nobody.
    millis_t taken_ms;
    const char *const *places;  //  Where to watch, and which it is now
    size_t places_count, place;
};

static void
disconnect(client_t *self)
{
    if (!self->socket)
        return;
    sockets_unwatch(self->socket, &self->watch);
    //  Nobody there: nothing to wait for.
    if (self->connected)
        zsock_destroy(&self->socket);
    else
        sockets_drop(&self->socket);
    self->connected = self->broke = self->blocked = false;
}

//  A socket to `self->endpoint` in place of the one there is. Fails before that
//  one is touched.
static status_t
connect_anew(client_t *self)
{
    zsock_t *socket, *watch;
    status_t status = sockets_open_watched(SOCKET_ASK, self->endpoint, &socket,
                                           &watch);
    if (status != STATUS_OK)
        return status;
    disconnect(self);
    self->socket = socket;
    self->watch = watch;
    return STATUS_OK;
}

status_t
client_new(const char *at, client_t **self_r)
{
    client_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    status_t status = endpoint_parse(at, self->endpoint);
    if (status == STATUS_OK)
        status = connect_anew(self);
    if (status != STATUS_OK) {
        client_destroy(&self);
        return status;
    }
    self->request = random_u64() >> 1;
    *self_r = self;
    return STATUS_OK;
}

void
client_destroy(client_t **self_p)
{
    client_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    disconnect(self);
    free(self);
}

const char *
client_text(const client_t *self)
{
    return self->text;
}

uint64_t
client_offset(const client_t *self)
{
    return self->offset;
}

static status_t
fails(client_t *self, status_t why, const char *text)
{
    snprintf(self->text, sizeof self->text, "%s",
             text && *text ? text : status_text(why));
    return why;
}

//  Take note of connections. True when one that broke is there again.
static bool
look(client_t *self)
{
    bool again = false;
    for (int event; (event = sockets_watch_event(self->watch)) != 0;) {
        again = event > 0 && self->broke;
        self->broke = self->broke || event < 0;
        self->connected = event > 0;
    }
    if (again)
        self->broke = false;
    return again;
}

//  Wait until something can be received, the connection changes, `fd` is
//  readable, or it is `until`.
static void
wait_event(client_t *self, int fd, millis_t now, millis_t until)
{
    zmq_pollitem_t items[3] = {
        { .socket = zsock_resolve(self->socket), .events = ZMQ_POLLIN },
        { .socket = zsock_resolve(self->watch), .events = ZMQ_POLLIN },
        { .fd = fd, .events = ZMQ_POLLIN },
    };
    if (self->blocked)
        items[0].events |= ZMQ_POLLOUT;
    millis_t most = until > now ? until - now : 0;
    if (most > TURN_MOST_MS)
        most = TURN_MOST_MS;
    zmq_poll(items, fd >= 0 ? 3 : 2, (long)most);
}

static status_t
send_message(client_t *self, const message_t *message, buffer_t *payload)
{
    message_t traced = *message;
    traced.trace = self->trace;
    status_t status = frames_send(self->socket, NULL, &traced, payload);
    self->blocked = status == STATUS_BUSY;
    return status;
}

//  The answer to `request`, if it is among what has come.
static message_t *
receive(client_t *self, uint64_t request)
{
    received_t received;
    status_t status;
    while ((status = frames_receive(self->socket, &received)) != STATUS_LATE) {
        if (status != STATUS_OK)
            continue;
        message_t *message = received.message;
        if (message->request == request)
            received.message = NULL;
        else
            message = NULL;
        frames_release(&received);
        if (message)
            return message;
    }
    return NULL;
}

//  Take in a refusal, which is freed; its status.
static status_t
refused(client_t *self, message_t **answer_p)
{
    const Rill__V1__Refused *refusal = (*answer_p)->refused;
    status_t status = message_status(refusal->status);
    if (status == STATUS_OK)
        status = STATUS_MALFORMED;
    fails(self, status, refusal->text);
    self->offset = refusal->offset;
    message_free(answer_p);
    return status;
}

//  Wait for the answer to what was just asked.
static status_t
await(client_t *self, const message_t *question, message_t **answer_r)
{
    millis_t now = zclock_mono(), begun = now;
    millis_t lost = now, again = MILLIS_NEVER;
    bool busy = false;
    status_t status = send_message(self, question, NULL);
    for (;;) {
        if (status == STATUS_TOO_LARGE)
            return fails(self, status, NULL);
        //  Asked again when the connection it went into has gone.
        if (look(self) || now >= again || status == STATUS_BUSY) {
            status = send_message(self, question, NULL);
            again = MILLIS_NEVER;
        }
        message_t *answer = receive(self, question->request);
        if (answer && answer->body_case != RILL__V1__MESSAGE__BODY_REFUSED) {
            *answer_r = answer;
            return STATUS_OK;
        }
        if (answer) {
            status_t why = refused(self, &answer);
            if (why != STATUS_BUSY || now - begun > CLIENT_ANSWER_MS)
                return why;
            busy = true;
            again = now + BUSY_PAUSE_MS;
        }
        if (self->connected)
            lost = now;
        millis_t until = millis_least(lost + CLIENT_REACH_MS,
                                      begun + CLIENT_ANSWER_MS);
        if (now >= until && busy && self->connected)
            return STATUS_BUSY;  //  The text says why
        if (now >= until)
            return fails(
                self, self->connected ? STATUS_LATE : STATUS_UNREACHABLE, NULL);
        wait_event(self, -1, now, millis_least(until, again));
        now = zclock_mono();
    }
}

status_t
client_ask(client_t *self, message_t *question, message_t **answer_r)
{
    *self->text = '\0';
    self->offset = 0;
    question->request = ++self->request;
    self->trace = random_u64();
    return await(self, question, answer_r);
}

//  Ask, and hold the node to the kind of its answer.
static status_t
ask_for(client_t *self, message_t *question,
        Rill__V1__Message__BodyCase expected, message_t **answer_r)
{
    message_t *answer;
    status_t status = client_ask(self, question, &answer);
    if (status != STATUS_OK)
        return status;
    if (answer->body_case != expected) {
        message_free(&answer);
        return fails(self, STATUS_KIND,
                     "the node answered another question; does it speak this "
                     "version?");
    }
    *answer_r = answer;
    return STATUS_OK;
}

status_t
client_describe(client_t *self, const char *name, message_t **answer_r)
{
    Rill__V1__Describe body = RILL__V1__DESCRIBE__INIT;
    body.which_case = RILL__V1__DESCRIBE__WHICH_NAME;
    body.name = message_lend(name);
    message_t question = MESSAGE(DESCRIBE, describe, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_DESCRIBED,
                   answer_r);
}

status_t
client_list(client_t *self, const char *after, message_t **answer_r)
{
    Rill__V1__List body = RILL__V1__LIST__INIT;
    body.after = message_lend(after);
    message_t question = MESSAGE(LIST, list, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_LISTING, answer_r);
}

status_t
client_list_chunks(client_t *self, uint64_t stream, uint64_t from, bool parity,
                   message_t **answer_r)
{
    Rill__V1__ListChunks body = RILL__V1__LIST_CHUNKS__INIT;
    body.stream = stream;
    body.from = from;
    body.parity = parity;
    message_t question = MESSAGE(LIST_CHUNKS, list_chunks, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_LAYOUT, answer_r);
}

status_t
client_remove(client_t *self, const char *name, message_t **answer_r)
{
    Rill__V1__Remove body = RILL__V1__REMOVE__INIT;
    body.name = message_lend(name);
    message_t question = MESSAGE(REMOVE, remove, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_REMOVED, answer_r);
}

status_t
client_settle(client_t *self, const char *name, bool accept_loss,
              message_t **answer_r)
{
    Rill__V1__Settle body = RILL__V1__SETTLE__INIT;
    body.name = message_lend(name);
    body.accept_loss = accept_loss;
    message_t question = MESSAGE(SETTLE, settle, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_SETTLED, answer_r);
}

status_t
client_where(client_t *self, const char *name, const char *address, bool watch,
             message_t **answer_r)
{
    Rill__V1__Where body = RILL__V1__WHERE__INIT;
    body.name = message_lend(name ? name : "");
    body.address = message_lend(address ? address : "");
    body.watch = watch;
    message_t question = MESSAGE(WHERE, where, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_OFFER, answer_r);
}

status_t
client_status(client_t *self, message_t **answer_r)
{
    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    message_t question = MESSAGE(STATUS_ASK, status_ask, &body, 0, 0);
    return ask_for(self, &question, RILL__V1__MESSAGE__BODY_REPORT, answer_r);
}

//  Effects of the cores

static status_t
publisher_says(void *with, const message_t *message, buffer_t *payload)
{
    return send_message(with, message, payload);
}

//  Each ask is a request of its own.
static status_t
reader_says(void *with, const message_t *message)
{
    client_t *self = with;
    self->trace = random_u64();
    return send_message(self, message, NULL);
}

static status_t
watcher_says(void *with, const message_t *message)
{
    return send_message(with, message, NULL);
}

static status_t
reader_delivers(void *with, uint64_t offset, buffer_t *bytes)
{
    client_t *self = with;
    millis_t begun = zclock_mono();
    status_t status = self->taker->deliver(self->with, offset, bytes);
    self->taken_ms += zclock_mono() - begun;
    return status;
}

static status_t
reader_skips(void *with, uint64_t from, uint64_t to)
{
    client_t *self = with;
    return self->taker->skip(self->with, from, to);
}

static uint64_t
chance(void *with)
{
    (void)with;
    return random_u64();
}

static millis_t
taker_now(const client_t *self)
{
    return zclock_mono() - self->taken_ms;
}

static bool
take_message(void *with, status_t status, received_t *received, millis_t now)
{
    client_t *self = with;
    if (status != STATUS_OK)
        return true;
    if (self->publisher)
        publisher_on_message(self->publisher, received->message, now);
    else if (self->watcher)
        watcher_on_message(self->watcher, received->message, received->payload,
                           taker_now(self));
    else
        reader_on_message(self->reader, received->message, received->payload,
                          taker_now(self));
    return true;
}

//  Hand what has come to the core that runs.
static void
take_in(client_t *self)
{
    bool again = look(self);
    if (again && self->publisher)
        publisher_on_reconnect(self->publisher, zclock_mono());
    if (again && self->reader)
        reader_on_reconnect(self->reader, taker_now(self));
    if (again && self->watcher)
        watcher_on_reconnect(self->watcher, taker_now(self));
    frames_take(self->socket, take_message, self, zclock_mono());
}

status_t
client_publish(client_t *self, const publisher_settings_t *settings,
               client_offer_fn *offer, void *with, publisher_state_t *state_r)
{
    static const publisher_effects_t EFFECTS = { publisher_says, chance };
    millis_t now = zclock_mono();
    self->trace = random_u64();
    self->publisher = publisher_new(settings, &EFFECTS, self, now);
    const publisher_state_t *state = publisher_state(self->publisher);
    for (;;) {
        take_in(self);
        now = zclock_mono();
        publisher_sweep(self->publisher, now);
        client_turn_t turn = { .fd = -1, .at = MILLIS_NEVER };
        offer(with, self->publisher, &turn, now);
        if (turn.stop)
            publisher_leave(self->publisher);
        if (turn.stop || state->sealed || state->failed != STATUS_OK)
            break;
        wait_event(self, turn.fd, now,
                   millis_least(turn.at, publisher_due(self->publisher)));
    }
    *state_r = *state;
    publisher_destroy(&self->publisher);
    return state_r->failed;
}

status_t
client_read(client_t *self, const reader_settings_t *settings,
            const client_taker_t *taker, void *with, reader_state_t *state_r)
{
    static const reader_effects_t EFFECTS = { reader_says, reader_delivers,
                                              reader_skips, chance };
    self->taker = taker;
    self->with = with;
    self->taken_ms = 0;
    self->reader = reader_new(settings, &EFFECTS, self, taker_now(self));
    const reader_state_t *state = reader_state(self->reader);
    for (;;) {
        take_in(self);
        reader_sweep(self->reader, taker_now(self));
        millis_t now = zclock_mono();
        client_turn_t turn = { .fd = -1, .at = MILLIS_NEVER };
        if (taker->turn)
            taker->turn(with, state, &turn, now);
        if (turn.stop || state->done || state->failed != STATUS_OK)
            break;
        millis_t due = reader_due(self->reader);
        if (due != MILLIS_NEVER)
            due += self->taken_ms;
        wait_event(self, turn.fd, now, millis_least(turn.at, due));
    }
    *state_r = *state;
    reader_destroy(&self->reader);
    return state_r->failed;
}

static status_t
watcher_delivers(void *with, uint64_t offset, buffer_t *bytes,
                 const chunk_header_t *chunk)
{
    client_t *self = with;
    millis_t begun = zclock_mono();
    status_t status = self->viewer->deliver(self->with, offset, bytes, chunk);
    self->taken_ms += zclock_mono() - begun;
    return status;
}

static status_t
watcher_skips(void *with, uint64_t from, uint64_t to)
{
    client_t *self = with;
    return self->viewer->skip(self->with, from, to);
}

//  The next place; when it cannot be, the one there is.
static void
watcher_leaves(void *with)
{
    client_t *self = with;
    if (self->places_count > 1) {
        self->place = (self->place + 1) % self->places_count;
        status_t status = endpoint_parse(self->places[self->place],
                                         self->endpoint);
        INVARIANT(status == STATUS_OK);
    }
    (void)connect_anew(self);
    watcher_on_reconnect(self->watcher, taker_now(self));
}

static status_t
watch_on(client_t *self, watcher_state_t *state_r)
{
    const watcher_state_t *state = watcher_state(self->watcher);
    for (;;) {
        take_in(self);
        watcher_sweep(self->watcher, taker_now(self));
        millis_t now = zclock_mono();
        client_turn_t turn = { .fd = -1, .at = MILLIS_NEVER };
        if (self->viewer->turn)
            self->viewer->turn(self->with, state, &turn, now);
        if (turn.stop)
            watcher_stop(self->watcher);
        if (state->done || state->failed != STATUS_OK)
            break;
        millis_t due = watcher_due(self->watcher);
        if (due != MILLIS_NEVER)
            due += self->taken_ms;
        wait_event(self, turn.fd, now, millis_least(turn.at, due));
    }
    *state_r = *state;
    return state_r->failed;
}

status_t
client_watch(client_t *self, const watcher_settings_t *settings,
             const char *const *places, size_t places_count,
             const client_viewer_t *viewer, void *with,
             watcher_state_t *state_r)
{
    static const watcher_effects_t EFFECTS = { watcher_says, watcher_delivers,
                                               watcher_skips, watcher_leaves,
                                               chance };
    char endpoint[ENDPOINT_BYTES];
    memset(state_r, 0, sizeof *state_r);
    for (size_t i = 0; i < places_count; i++)
        if (endpoint_parse(places[i], endpoint) != STATUS_OK)
            return state_r->failed = fails(self, STATUS_ADDRESS, NULL);
    self->viewer = viewer;
    self->with = with;
    self->taken_ms = 0;
    self->places = places;
    self->places_count = places_count;
    self->place = 0;
    self->trace = random_u64();
    self->watcher = watcher_new(settings, &EFFECTS, self, taker_now(self));
    status_t status = watch_on(self, state_r);
    watcher_destroy(&self->watcher);
    return status;
}
