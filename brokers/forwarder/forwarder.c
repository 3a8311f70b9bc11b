#include "forwarder.h"

#include <stdio.h>

#include "alarm.h"
#include "breaker.h"
#include "claim.h"
#include "daemon.h"
#include "endpoint.h"
#include "forwarder_core.h"
#include "frames.h"
#include "home.h"
#include "invariant.h"
#include "kv.h"
#include "loans.h"
#include "log.h"
#include "monitor.h"
#include "random.h"
#include "sockets.h"

enum {
    WHY_BYTES = 1024,
    LOANS_LEAST = 64 * 1024 * 1024,
    LOANS_PER_PEER = 32 * 1024 * 1024,  //  Two windows of a reader
    STRAY_BYTES = 128 * 1024 * 1024,    //  Of all that is no chunk
    DRAIN_MS = 5000,  //  What is not settled by then stays with its sources
};

//  The sockets to one worker, under its session.
typedef struct {
    struct forwarder *owner;
    uint64_t session;
    zsock_t *push;   //  Chunks
    zsock_t *ask;    //  Questions and their answers
    zsock_t *watch;  //  Whether `ask` is connected
} link_t;

typedef struct forwarder {
    zsock_t *pipe;      //  Owner of our life; lent
    zsock_t *front;     //  ROUTER: sources, readers, workers
    zsock_t *receipts;  //  PULL
    zsock_t *publish;   //  XPUB: live chunks
    zloop_t *loop;      //  Runs in this thread only
    claim_t *claim;
    kv_t *catalogue;
    forwarder_core_t *core;
    zhashx_t *links;  //  link_t by session
    const forwarder_place_t *place;
    char publish_at[ENDPOINT_BYTES];
    char receipts_at[ENDPOINT_BYTES];
    bool ready;       //  Said so; before it the catalogue is being made again
    status_t status;  //  What ended it before
    char why[WHY_BYTES];
    bool leaving;  //  $TERM came
    millis_t leave_by;
    alarm_t *alarm;  //  Set to the least due
    breaker_t *breaker;
    tap_t *tap;  //  Of the monitor
    monitor_t *monitor;
    relay_told_t told;  //  Lent to it
    loans_t *loans;     //  What the front has accepted for readers
} forwarder_t;

/*---------------------------------------------------------------- effects */

static int on_ask(zloop_t *loop, zsock_t *ask, void *arg);
static int on_watch(zloop_t *loop, zsock_t *watch, void *arg);

static link_t *
find_link(forwarder_t *self, uint64_t session)
{
    return zhashx_lookup(self->links, &session);
}

static status_t
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    forwarder_t *self = with;
    status_t status = STATUS_UNREACHABLE;  //  While it is bound again
    tap_answered(self->tap, peer, message, payload);
    if (self->front)
        status = loans_send(self->loans, self->front, peer, message, payload);
    if (status == STATUS_OK)
        return status;
    forwarder_core_on_unsent(self->core);
    tap_fault(self->tap, status, "front");
    log_event(LOG_AT_DETAIL, "unsent", "kind=%s status=%s",
              message_kind(message), status_name(status));
    return status;
}

static void
close_link(link_t *link)
{
    forwarder_t *self = link->owner;
    zloop_reader_end(self->loop, link->ask);
    zloop_reader_end(self->loop, link->watch);
    sockets_unwatch(link->ask, &link->watch);
    sockets_drop(&link->ask);
    sockets_drop(&link->push);
    free(link);
}

static void
disconnect(void *with, uint64_t worker)
{
    forwarder_t *self = with;
    link_t *link = find_link(self, worker);
    if (!link)
        return;
    zhashx_delete(self->links, &worker);
    close_link(link);
}

static status_t
connect_worker(void *with, uint64_t worker, const char *push_at,
               const char *ask_at)
{
    forwarder_t *self = with;
    //  What a peer says is no endpoint of this process, no file, and no name
    //  that somebody would have to be asked about.
    if (!endpoint_numeric(push_at) || !endpoint_numeric(ask_at))
        return STATUS_ADDRESS;
    link_t *link = zmalloc(sizeof *link);
    link->owner = self;
    link->session = worker;
    status_t status = sockets_open(SOCKET_PUSH, push_at, &link->push);
    if (status == STATUS_OK)
        status = sockets_open_watched(SOCKET_ASK, ask_at, &link->ask,
                                      &link->watch);
    if (status != STATUS_OK) {
        log_event(LOG_AT_ERROR, "worker_unreachable",
                  "push_at=%s ask_at=%s status=%s", push_at, ask_at,
                  status_name(status));
        sockets_drop(&link->push);
        free(link);
        return status;
    }
    zloop_reader(self->loop, link->ask, on_ask, link);
    zloop_reader(self->loop, link->watch, on_watch, link);
    zhashx_insert(self->links, &link->session, link);
    return STATUS_OK;
}

static status_t
push(void *with, uint64_t worker, const message_t *message, buffer_t *payload)
{
    link_t *link = find_link(with, worker);
    return link ? frames_send(link->push, NULL, message, payload)
                : STATUS_UNREACHABLE;
}

static status_t
ask(void *with, uint64_t worker, const message_t *message)
{
    link_t *link = find_link(with, worker);
    return link ? frames_send(link->ask, NULL, message, NULL)
                : STATUS_UNREACHABLE;
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    forwarder_t *self = with;
    if (self->publish)
        (void)frames_publish(self->publish, (frames_topic_t){ stream, topic },
                             message, payload);
}

static uint64_t
chance(void *with)
{
    (void)with;
    return random_u64();
}

static micros_t
wall_us(void *with)
{
    (void)with;
    return zclock_time() * 1000;
}

static void
note(void *with, int level, const char *text)
{
    (void)with;
    log_told((log_level_t)level, text);
}

static const forwarder_effects_t EFFECTS = {
    .send = send_front,
    .connect = connect_worker,
    .disconnect = disconnect,
    .push = push,
    .ask = ask,
    .publish = publish,
    .random = chance,
    .wall_us = wall_us,
    .note = note,
};

/*--------------------------------------------------------------- the loop */

static void
set_alarm(forwarder_t *self)
{
    millis_t due = forwarder_core_due(self->core);
    if (self->leaving)
        due = millis_least(due, self->leave_by);
    alarm_set(self->alarm, due);
}

static status_t new_core(forwarder_t *self, bool rebuild);

//  The catalogue is made again: forget who told it, and serve.
static void
begin_serving(forwarder_t *self)
{
    for (link_t *link = zhashx_first(self->links); link;
         link = zhashx_next(self->links))
        close_link(link);
    zhashx_purge(self->links);
    forwarder_core_destroy(&self->core);
    self->status = new_core(self, false);
    if (self->status != STATUS_OK)
        return;
    self->ready = true;
    daemon_say(self->pipe, STATUS_OK, self->place->reach);
}

//  After every event. Ends the loop (-1) when the forwarder is drained or can
//  serve no more.
static int
after(forwarder_t *self, millis_t now)
{
    if (forwarder_core_due(self->core) <= now)
        forwarder_core_sweep(self->core, now);
    if (forwarder_core_rebuilt(self->core))
        begin_serving(self);
    if (self->status != STATUS_OK)
        return -1;
    if (self->leaving &&
        (!self->ready || forwarder_core_drain(self->core, now) ||
         self->leave_by <= now))
        return -1;
    const char *text;
    if (forwarder_core_fault(self->core, &text) != STATUS_OK)
        return -1;
    set_alarm(self);
    return 0;
}

static int
on_alarm(void *arg)
{
    return after(arg, zclock_mono());
}

static int
on_pipe(zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void)loop;
    forwarder_t *self = arg;
    char *word = zstr_recv(pipe);
    millis_t now = zclock_mono();
    if ((!word || streq(word, "$TERM")) && !self->leaving) {
        self->leaving = true;
        self->leave_by = now + DRAIN_MS;
    }
    zstr_free(&word);
    return after(self, now);
}

static bool
take_front(void *with, status_t status, received_t *received, millis_t now)
{
    forwarder_t *self = with;
    if (status == STATUS_OK) {
        tap_asked(self->tap, &received->peer, received->message);
        forwarder_core_on_front(self->core, &received->peer, received->message,
                                received->payload, now);
    } else {
        tap_fault(self->tap, status, "front");
        forwarder_core_on_bad(self->core, &received->peer, received->request,
                              status, now);
    }
    return true;
}

static int
on_front(zloop_t *loop, zsock_t *front, void *arg)
{
    (void)loop;
    millis_t now = zclock_mono();
    frames_take(front, take_front, arg, now);
    return after(arg, now);
}

static bool
take_receipt(void *with, status_t status, received_t *received, millis_t now)
{
    forwarder_t *self = with;
    if (status == STATUS_OK) {
        forwarder_core_on_receipt(self->core, received->message, now);
    } else {
        tap_fault(self->tap, status, "receipts");
        forwarder_core_on_bad(self->core, NULL, 0, status, now);
    }
    return true;
}

static int
on_receipts(zloop_t *loop, zsock_t *receipts, void *arg)
{
    (void)loop;
    millis_t now = zclock_mono();
    frames_take(receipts, take_receipt, arg, now);
    return after(arg, now);
}

//  What a worker that we ask says.
typedef struct {
    forwarder_t *owner;
    uint64_t session;
} said_t;

static bool
take_said(void *with, status_t status, received_t *received, millis_t now)
{
    said_t *said = with;
    forwarder_core_t *core = said->owner->core;
    if (status == STATUS_OK) {
        forwarder_core_on_worker(core, said->session, received->message,
                                 received->payload, now);
    } else {
        tap_fault(said->owner->tap, status, "worker");
        forwarder_core_on_bad(core, NULL, 0, status, now);
    }
    //  What the core does may close the link.
    return find_link(said->owner, said->session);
}

static int
on_ask(zloop_t *loop, zsock_t *socket, void *arg)
{
    (void)loop;
    link_t *link = arg;
    said_t said = { link->owner, link->session };
    millis_t now = zclock_mono();
    frames_take(socket, take_said, &said, now);
    return after(said.owner, now);
}

static int
on_watch(zloop_t *loop, zsock_t *watch, void *arg)
{
    (void)loop;
    link_t *link = arg;
    forwarder_t *self = link->owner;
    millis_t now = zclock_mono();
    if (sockets_watch_event(watch) < 0)
        forwarder_core_on_disconnect(self->core, link->session, now);
    return after(self, now);
}

static int
on_topics(zloop_t *loop, zsock_t *publish, void *arg)
{
    (void)loop, (void)publish;
    forwarder_t *self = arg;
    breaker_topics(self->breaker, &self->publish,
                   forwarder_core_topics(self->core));
    return 0;
}

static void
on_flooded(void *with)
{
    forwarder_t *self = with;
    forwarder_core_on_flood(self->core);
}

static void
count_all(void *with, counters_t *to)
{
    forwarder_t *self = with;
    forwarder_core_count(self->core, to, zclock_mono());
}

//  NULL: ready.
static const char *
unready(void *with)
{
    forwarder_t *self = with;
    return forwarder_core_unready(self->core);
}

static size_t
tell_streams(void *with, uint64_t from, Rill__V1__StreamReport ***list_r,
             uint64_t *next_r)
{
    forwarder_t *self = with;
    forwarder_core_tell(self->core, from, &self->told);
    *list_r = self->told.list;
    *next_r = self->told.next;
    return self->told.count;
}

static status_t
open_monitor(forwarder_t *self)
{
    const forwarder_place_t *place = self->place;
    monitor_place_t shown = {
        .node = place->name,
        .at = place->at,
        .reach = place->reach,
        .metrics = { .role = SETTINGS_FORWARDER,
                     .at = place->metrics,
                     .streams = place->metrics_streams,
                     .count = count_all,
                     .unready = unready,
                     .tell = tell_streams,
                     .with = self },
    };
    return monitor_new(self->loop, &shown, &self->monitor, &self->tap,
                       self->why, WHY_BYTES);
}

/*--------------------------------------------------------- start and end */

static size_t
hash_session(const void *key)
{
    return (size_t) * (const uint64_t *)key;
}

static int
compare_session(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

static forwarder_t *
forwarder_new(zsock_t *pipe)
{
    forwarder_t *self = zmalloc(sizeof *self);
    self->pipe = pipe;
    self->loop = zloop_new();
    INVARIANT(self->loop);
    self->alarm = alarm_new(self->loop, on_alarm, self);
    INVARIANT(self->alarm);
    self->links = zhashx_new();
    zhashx_set_key_hasher(self->links, hash_session);
    zhashx_set_key_comparator(self->links, compare_session);
    zhashx_set_key_duplicator(self->links, NULL);
    zhashx_set_key_destructor(self->links, NULL);
    return self;
}

static void
forwarder_destroy(forwarder_t **self_p)
{
    forwarder_t *self = *self_p;
    for (link_t *link = zhashx_first(self->links); link;
         link = zhashx_next(self->links))
        close_link(link);
    zhashx_destroy(&self->links);
    breaker_destroy(&self->breaker);
    forwarder_core_destroy(&self->core);
    monitor_destroy(&self->monitor);
    alarm_destroy(&self->alarm);
    zloop_destroy(&self->loop);
    kv_close(&self->catalogue);
    claim_release(&self->claim);
    zsock_destroy(&self->front);
    zsock_destroy(&self->receipts);
    zsock_destroy(&self->publish);
    loans_destroy(&self->loans);
    free(self);
    *self_p = NULL;
}

//  Where live chunks are published; caches take it as figures only.
static status_t
open_publish(forwarder_t *self, const char *any)
{
    char bound[ENDPOINT_BYTES], reach[ENDPOINT_BYTES], numeric[ENDPOINT_BYTES];
    status_t status = sockets_open(SOCKET_PUBLISH, any, &self->publish);
    if (status == STATUS_OK) {
        sockets_bound(self->publish, bound);
        status = endpoint_parse(self->place->reach, reach);
    }
    if (status == STATUS_OK)
        status = endpoint_resolve(reach, numeric);
    if (status == STATUS_OK)
        status = endpoint_join(numeric, bound, self->publish_at);
    if (status != STATUS_OK)
        snprintf(self->why, WHY_BYTES, "no socket to publish on beside %s: %s",
                 self->place->at, status_text(status));
    return status;
}

//  Bind the sockets; where the receipts' one is reached.
static status_t
open_sockets(forwarder_t *self)
{
    const forwarder_place_t *place = self->place;
    char at[ENDPOINT_BYTES], any[ENDPOINT_BYTES], bound[ENDPOINT_BYTES];
    status_t status = endpoint_parse(place->at, at);
    if (status == STATUS_OK)
        status = sockets_open(SOCKET_FRONT, at, &self->front);
    if (status != STATUS_OK) {
        snprintf(self->why, WHY_BYTES, "%s cannot be bound: %s", place->at,
                 errno ? strerror(errno) : status_text(status));
        return status;
    }
    endpoint_any_port(at, any);
    status = sockets_open(SOCKET_PULL, any, &self->receipts);
    if (status == STATUS_OK) {
        char reach[ENDPOINT_BYTES];
        sockets_bound(self->receipts, bound);
        status = endpoint_parse(place->reach, reach);
        if (status == STATUS_OK)
            status = endpoint_join(reach, bound, self->receipts_at);
    }
    if (status != STATUS_OK)
        snprintf(self->why, WHY_BYTES, "no socket for receipts beside %s: %s",
                 place->at, status_text(status));
    return status == STATUS_OK ? open_publish(self, any) : status;
}

static status_t
new_core(forwarder_t *self, bool rebuild)
{
    const forwarder_place_t *place = self->place;
    forwarder_settings_t settings = {
        .name = place->name,
        .receipts_at = self->receipts_at,
        .publish_at = self->publish_at,
        .patience = place->patience,
        .memory_bytes = place->memory_bytes,
        .chunk_bytes = place->chunk_bytes,
        .buffer_ms = place->buffer_ms,
        .floor_bytes = place->floor_bytes,
        .ceiling_bytes = place->ceiling_bytes,
        .retention = place->retention,
        .workers = place->workers,
        .workers_count = place->workers_count,
        .rebuild = rebuild,
        .accept_loss = place->accept_loss,
        .sink = tap_sink(self->tap),
    };
    status_t status = forwarder_core_new(&settings, &EFFECTS, self,
                                         self->catalogue, zclock_mono(),
                                         &self->core, self->why, WHY_BYTES);
    if (status != STATUS_OK)
        home_advise(status, self->why, WHY_BYTES);
    else if (!rebuild)
        status = home_record(place->data, forwarder_core_cluster(self->core),
                             forwarder_core_term(self->core), self->why,
                             WHY_BYTES);
    return status;
}

static status_t
forwarder_open(forwarder_t *self)
{
    const forwarder_place_t *place = self->place;
    status_t status = claim_take(place->data, &self->claim, self->why,
                                 WHY_BYTES);
    if (status == STATUS_OK)
        status = home_open(place->data, place->rebuild, &self->catalogue,
                           self->why, WHY_BYTES);
    if (status == STATUS_OK)
        status = open_sockets(self);
    if (status == STATUS_OK)
        status = open_monitor(self);
    if (status == STATUS_OK)
        status = new_core(self, place->rebuild);
    if (status != STATUS_OK)
        return status;
    zloop_reader(self->loop, self->pipe, on_pipe, self);
    size_t memory = forwarder_core_memory(self->core);
    self->loans = loans_new(memory > LOANS_LEAST ? memory : LOANS_LEAST,
                            LOANS_PER_PEER);
    //  A source may fill a queue with all that its credit allows.
    self->breaker = breaker_new(self->loop, memory + STRAY_BYTES);
    breaker_add(self->breaker,
                &(breaker_place_t){ "front", &self->front, SOCKET_FRONT,
                                    on_front, on_flooded, self });
    breaker_add(self->breaker,
                &(breaker_place_t){ "receipts", &self->receipts, SOCKET_PULL,
                                    on_receipts, on_flooded, self });
    breaker_add(self->breaker,
                &(breaker_place_t){ "publish", &self->publish, SOCKET_PUBLISH,
                                    on_topics, on_flooded, self });
    tap_guard(self->tap, self->breaker, on_flooded, self);
    set_alarm(self);
    return STATUS_OK;
}

//  Why the loop has ended.
static void
say_end(forwarder_t *self)
{
    const char *text = self->why;
    status_t status = self->status;
    if (status == STATUS_OK)
        status = forwarder_core_fault(self->core, &text);
    if (status == STATUS_OK && !self->ready) {
        status = STATUS_STOPPING;
        text = "it was told to stop before the catalogue was made again; "
               "start it with --rebuild";
    }
    daemon_say(self->pipe, status, status == STATUS_OK ? "stopped" : text);
}

void
forwarder_actor(zsock_t *pipe, void *args)
{
    forwarder_t *self = forwarder_new(pipe);
    self->place = args;
    zsock_signal(pipe, 0);
    status_t status = forwarder_open(self);
    self->ready = status == STATUS_OK && !self->place->rebuild;
    if (self->ready || status != STATUS_OK)
        daemon_say(pipe, status, self->ready ? self->place->reach : self->why);
    if (status == STATUS_OK) {
        zloop_start(self->loop);
        say_end(self);
    }
    forwarder_destroy(&self);
}
