#include "storage.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>

#include "alarm.h"
#include "breaker.h"
#include "chunkstore.h"
#include "daemon.h"
#include "frames.h"
#include "invariant.h"
#include "loans.h"
#include "log.h"
#include "monitor.h"
#include "sockets.h"
#include "storage_core.h"

enum {
    WHY_BYTES = 1024,
    LOANS_BYTES = 192 * 1024 * 1024,
    LOANS_PER_PEER = 64 * 1024 * 1024,  //  The forwarder is one
    //  Of all that is no chunk: queues, the index, a segment's staging
    STRAY_BYTES = 256 * 1024 * 1024,
};

typedef struct {
    zsock_t *pipe;       //  Owner of our life; lent
    zsock_t *front;      //  ROUTER: who asks us
    zsock_t *pull;       //  Chunks to be stored
    zsock_t *forwarder;  //  DEALER to its front
    zsock_t *receipts;   //  PUSH to where the last Welcome said; may be NULL
    zloop_t *loop;       //  Runs in this thread only
    chunkstore_t *store;
    storage_core_t *core;
    bool leaving;    //  $TERM came
    alarm_t *alarm;  //  Set to the least due
    breaker_t *breaker;
    loans_t *loans;  //  What the front has accepted for who asked
    tap_t *tap;      //  Of the monitor
    monitor_t *monitor;
} storage_t;

/*---------------------------------------------------------------- effects */

static status_t
send_forwarder(void *with, const message_t *message)
{
    storage_t *self = with;
    return frames_send(self->forwarder, NULL, message, NULL);
}

static void
open_receipts(void *with, const char *endpoint)
{
    storage_t *self = with;
    sockets_drop(&self->receipts);
    status_t status = sockets_open(SOCKET_PUSH, endpoint, &self->receipts);
    if (status != STATUS_OK)
        log_event(LOG_AT_ERROR, "receipts_unreachable", "at=%s status=%s",
                  endpoint, status_name(status));
}

static status_t
send_receipt(void *with, const message_t *message)
{
    storage_t *self = with;
    if (!self->receipts)
        return STATUS_UNREACHABLE;
    return frames_send(self->receipts, NULL, message, NULL);
}

static status_t
answer(void *with, const peer_t *peer, const message_t *message,
       buffer_t *payload)
{
    storage_t *self = with;
    status_t status = STATUS_UNREACHABLE;  //  While it is bound again
    tap_answered(self->tap, peer, message, payload);
    if (self->front)
        status = loans_send(self->loans, self->front, peer, message, payload);
    if (status != STATUS_OK)
        tap_fault(self->tap, status, "front");
    return status;
}

static status_t
append(void *with, const chunk_header_t *header, buffer_t *payload,
       millis_t now)
{
    storage_t *self = with;
    return chunkstore_append(self->store, header, payload, now);
}

static status_t
start_read(void *with, chunk_key_t key, bool header_only, uint64_t token)
{
    storage_t *self = with;
    return chunkstore_read(self->store, key, header_only, token);
}

static status_t
walk(void *with, uint64_t stream, uint64_t epoch, uint64_t block,
     chunkstore_each_fn *each, void *arg)
{
    storage_t *self = with;
    return chunkstore_walk(self->store, stream, epoch, block, each, arg);
}

static status_t
walk_back(void *with, uint64_t stream, uint64_t epoch, chunkstore_each_fn *each,
          void *arg)
{
    storage_t *self = with;
    return chunkstore_walk_back(self->store, stream, epoch, each, arg);
}

static status_t
walk_all(void *with, chunk_key_t from, chunkstore_each_fn *each, void *arg)
{
    storage_t *self = with;
    return chunkstore_walk_all(self->store, from, each, arg);
}

static size_t
epochs(void *with, uint64_t stream, uint64_t *list, size_t most)
{
    storage_t *self = with;
    return chunkstore_epochs(self->store, stream, list, most);
}

static size_t
dropped(void *with, uint64_t from, uint64_t *streams, size_t most)
{
    storage_t *self = with;
    return chunkstore_dropped(self->store, from, streams, most);
}

static status_t
locate(void *with, uint64_t stream, uint64_t epoch, bool by_time, uint64_t at,
       chunkstore_entry_t *entry_r)
{
    storage_t *self = with;
    return chunkstore_locate(self->store, stream, epoch, by_time, at, entry_r);
}

static uint64_t
settled(void *with, uint64_t stream)
{
    storage_t *self = with;
    return chunkstore_settled(self->store, stream);
}

static status_t
drop(void *with, uint64_t stream)
{
    storage_t *self = with;
    return chunkstore_drop(self->store, stream);
}

static void
retain(void *with, uint8_t retention, micros_t horizon_us, millis_t span_ms)
{
    storage_t *self = with;
    chunkstore_retain(self->store, retention, horizon_us, span_ms);
}

static status_t
trim(void *with, uint64_t stream, uint64_t epoch, uint64_t first, uint64_t end,
     size_t *dropped_r, bool *more_r)
{
    storage_t *self = with;
    return chunkstore_trim(self->store, stream, epoch, first, end, dropped_r,
                           more_r);
}

static chunkstore_identity_t
identity(void *with)
{
    storage_t *self = with;
    return chunkstore_identity(self->store);
}

static status_t
set_cluster(void *with, uint64_t cluster)
{
    storage_t *self = with;
    return chunkstore_set_cluster(self->store, cluster);
}

static status_t
set_term(void *with, uint64_t term)
{
    storage_t *self = with;
    return chunkstore_set_term(self->store, term);
}

static chunkstore_space_t
space(void *with)
{
    storage_t *self = with;
    return chunkstore_space(self->store);
}

static void
note(void *with, int level, const char *text)
{
    (void)with;
    log_told((log_level_t)level, text);
}

static const storage_effects_t EFFECTS = {
    .send_forwarder = send_forwarder,
    .open_receipts = open_receipts,
    .send_receipt = send_receipt,
    .answer = answer,
    .append = append,
    .read = start_read,
    .walk = walk,
    .walk_back = walk_back,
    .walk_all = walk_all,
    .epochs = epochs,
    .dropped = dropped,
    .locate = locate,
    .settled = settled,
    .drop = drop,
    .retain = retain,
    .trim = trim,
    .identity = identity,
    .set_cluster = set_cluster,
    .set_term = set_term,
    .space = space,
    .note = note,
};

/*----------------------------------------------------- what the store tells */

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    storage_t *self = with;
    storage_core_on_durable(self->core, keys, count, zclock_mono());
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    storage_t *self = with;
    storage_core_on_failed(self->core, keys, count, status, zclock_mono());
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    storage_t *self = with;
    storage_core_on_read(self->core, token, status, header, payload,
                         zclock_mono());
}

static void
on_retired(void *with, uint64_t bytes)
{
    storage_t *self = with;
    if (self->core)
        storage_core_on_retired(self->core, bytes);
}

static const chunkstore_events_t EVENTS = {
    .durable = on_durable,
    .failed = on_failed,
    .read = on_read,
    .retired = on_retired,
};

/*--------------------------------------------------------------- the loop */

//  After every event: do what is due and can be done. Ends the loop (-1) when
//  the worker is drained or can never serve.
static int
after(storage_t *self, millis_t now)
{
    chunkstore_turn(self->store, now);
    if (storage_core_due(self->core) <= now)
        storage_core_sweep(self->core, now);
    if (self->leaving && storage_core_drain(self->core, now))
        return -1;
    if (storage_core_fault(self->core, NULL) != STATUS_OK)
        return -1;
    //  While the core is choked nothing is read, so that the forwarder's socket
    //  fills and it feels the disk.
    breaker_read(self->breaker, &self->pull,
                 !self->leaving && !storage_core_choked(self->core));
    alarm_set(self->alarm, millis_least(storage_core_due(self->core),
                                        chunkstore_due(self->store)));
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
    storage_t *self = arg;
    char *word = zstr_recv(pipe);
    if (!word || streq(word, "$TERM"))
        self->leaving = true;
    zstr_free(&word);
    return after(self, zclock_mono());
}

static bool
take_front(void *with, status_t status, received_t *received, millis_t now)
{
    storage_t *self = with;
    if (status == STATUS_OK) {
        tap_asked(self->tap, &received->peer, received->message);
        storage_core_on_ask(self->core, &received->peer, received->message,
                            now);
    } else {
        tap_fault(self->tap, status, "front");
        storage_core_on_bad(self->core, &received->peer, received->request,
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
take_forwarder(void *with, status_t status, received_t *received, millis_t now)
{
    storage_t *self = with;
    if (status == STATUS_OK) {
        storage_core_on_forwarder(self->core, received->message, now);
    } else {
        tap_fault(self->tap, status, "forwarder");
        storage_core_on_bad(self->core, NULL, 0, status, now);
    }
    return true;
}

static int
on_forwarder(zloop_t *loop, zsock_t *forwarder, void *arg)
{
    (void)loop;
    millis_t now = zclock_mono();
    frames_take(forwarder, take_forwarder, arg, now);
    return after(arg, now);
}

static bool
take_chunk(void *with, status_t status, received_t *received, millis_t now)
{
    storage_t *self = with;
    if (status == STATUS_OK) {
        storage_core_on_store(self->core, received->message, received->payload,
                              now);
    } else {
        tap_fault(self->tap, status, "chunks");
        storage_core_on_bad(self->core, NULL, 0, status, now);
    }
    return !storage_core_choked(self->core);
}

static int
on_pull(zloop_t *loop, zsock_t *pull, void *arg)
{
    (void)loop;
    storage_t *self = arg;
    millis_t now = zclock_mono();
    if (!storage_core_choked(self->core))
        frames_take(pull, take_chunk, self, now);
    return after(self, now);
}

static int
on_store(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void)loop, (void)item;
    return after(arg, zclock_mono());
}

static void
on_flooded(void *with)
{
    storage_t *self = with;
    storage_core_on_flood(self->core);
}

static void
count_all(void *with, counters_t *to)
{
    storage_t *self = with;
    storage_core_count(self->core, to);
}

//  NULL: ready.
static const char *
unready(void *with)
{
    storage_t *self = with;
    return storage_core_ready(self->core)
               ? NULL
               : "the forwarder does not have its inventory yet";
}

static status_t
open_monitor(storage_t *self, const storage_place_t *place, char *why)
{
    monitor_place_t shown = {
        .node = place->name,
        .at = place->at,
        .reach = place->reach,
        .metrics = { .role = SETTINGS_WORKER,
                     .at = place->metrics,
                     .count = count_all,
                     .unready = unready,
                     .with = self },
    };
    return monitor_new(self->loop, &shown, &self->monitor, &self->tap, why,
                       WHY_BYTES);
}

/*------------------------------------------------------------------- life */

static status_t
open_socket(socket_kind_t kind, const char *endpoint, zsock_t **socket_r,
            char *why)
{
    status_t status = sockets_open(kind, endpoint, socket_r);
    if (status == STATUS_ADDRESS)
        snprintf(why, WHY_BYTES,
                 "the address %s cannot be used: %s; stop what has it, or "
                 "give this node another in the cluster file",
                 endpoint, strerror(errno));
    else if (status != STATUS_OK)
        snprintf(why, WHY_BYTES, "no socket for %s: %s", endpoint,
                 status_text(status));
    return status;
}

static status_t
parse(const char *text, char endpoint_r[ENDPOINT_BYTES], char *why)
{
    status_t status = endpoint_parse(text, endpoint_r);
    if (status != STATUS_OK)
        snprintf(why, WHY_BYTES, "the address %s is not HOST:PORT", text);
    return status;
}

//  Bind the front and the PULL, connect to the forwarder; where others find
//  the two bound ones is in `ask_at` and `push_at`.
static status_t
open_sockets(storage_t *self, const storage_place_t *place,
             char ask_at[ENDPOINT_BYTES], char push_at[ENDPOINT_BYTES],
             char *why)
{
    char at[ENDPOINT_BYTES], any[ENDPOINT_BYTES], reach[ENDPOINT_BYTES];
    char forwarder[ENDPOINT_BYTES], bound[ENDPOINT_BYTES];
    status_t status = parse(place->at, at, why);
    if (status == STATUS_OK)
        status = parse(place->reach, reach, why);
    if (status == STATUS_OK)
        status = parse(place->forwarder_at, forwarder, why);
    if (status != STATUS_OK)
        return status;
    endpoint_any_port(at, any);
    status = open_socket(SOCKET_FRONT, at, &self->front, why);
    if (status == STATUS_OK)
        status = open_socket(SOCKET_PULL, any, &self->pull, why);
    if (status == STATUS_OK)
        status = open_socket(SOCKET_TELL, forwarder, &self->forwarder, why);
    if (status != STATUS_OK)
        return status;

    //  A port of its own choice is reached where it is; else where it is said.
    //  A name is looked up here: the forwarder asks nobody about strangers.
    bool chosen = strcmp(place->at, place->reach) == 0;
    sockets_bound(self->front, bound);
    status = endpoint_resolve(reach, reach);
    strcpy(ask_at, reach);
    if (status == STATUS_OK && chosen)
        status = endpoint_join(reach, bound, ask_at);
    sockets_bound(self->pull, bound);
    if (status == STATUS_OK)
        status = endpoint_join(reach, bound, push_at);
    if (status != STATUS_OK)
        snprintf(why, WHY_BYTES, "%s is not where others can reach this node",
                 place->reach);
    return status;
}

//  What the disk of a directory has, less 5 %, though the directory may still
//  have to be made; 0: it cannot be told.
static uint64_t
disk_space(const char *path)
{
    char nearest[PATH_MAX];
    struct statvfs disk;
    snprintf(nearest, sizeof nearest, "%s%s", *path == '/' ? "" : "./", path);
    while (statvfs(nearest, &disk) != 0) {
        char *end = strrchr(nearest, '/');
        if (!end || end == nearest)
            return 0;
        *end = '\0';
    }
    return (uint64_t)disk.f_blocks * disk.f_frsize / 100 * 95;
}

static status_t
open_store(storage_t *self, const storage_place_t *place, char *why)
{
    chunkstore_settings_t settings = {
        .path = place->data,
        .space_bytes = place->space_bytes ? place->space_bytes
                                          : disk_space(place->data),
        .segment_bytes = place->segment_bytes,
    };
    return chunkstore_open(&settings, NULL, &EVENTS, self, &self->store, why,
                           WHY_BYTES);
}

//  The store first: who has the directory is said rather than who has the
//  port, when both are another's.
static status_t
storage_open(storage_t *self, const storage_place_t *place, millis_t now,
             char *why)
{
    char ask_at[ENDPOINT_BYTES], push_at[ENDPOINT_BYTES];
    status_t status = open_store(self, place, why);
    if (status == STATUS_OK)
        log_told(LOG_AT_NOTICE, chunkstore_story(self->store));
    if (status == STATUS_OK)
        status = open_sockets(self, place, ask_at, push_at, why);
    if (status == STATUS_OK)
        status = open_monitor(self, place, why);
    if (status != STATUS_OK)
        return status;
    storage_settings_t settings = {
        .name = place->name,
        .push_at = push_at,
        .ask_at = ask_at,
        .patience = place->patience,
        .sink = tap_sink(self->tap),
    };
    self->core = storage_core_new(&settings, &EFFECTS, self, now);
    snprintf(why, WHY_BYTES, "%s", ask_at + strlen("tcp://"));
    return STATUS_OK;
}

static void
storage_run(storage_t *self)
{
    zmq_pollitem_t store = { .fd = chunkstore_fd(self->store),
                             .events = ZMQ_POLLIN };
    self->alarm = alarm_new(self->loop, on_alarm, self);
    INVARIANT(self->alarm);
    self->loans = loans_new(LOANS_BYTES, LOANS_PER_PEER);
    self->breaker = breaker_new(self->loop, STRAY_BYTES);
    breaker_add(self->breaker,
                &(breaker_place_t){ "front", &self->front, SOCKET_FRONT,
                                    on_front, on_flooded, self });
    breaker_add(self->breaker,
                &(breaker_place_t){ "pull", &self->pull, SOCKET_PULL, on_pull,
                                    on_flooded, self });
    tap_guard(self->tap, self->breaker, on_flooded, self);
    zloop_reader(self->loop, self->pipe, on_pipe, self);
    zloop_reader(self->loop, self->forwarder, on_forwarder, self);
    zloop_poller(self->loop, &store, on_store, self);
    if (after(self, zclock_mono()) == 0)
        zloop_start(self->loop);
    breaker_destroy(&self->breaker);
    alarm_destroy(&self->alarm);
}

//  The store goes before the core, which hears of what becomes durable then.
static void
storage_close(storage_t *self)
{
    chunkstore_close(&self->store);
    storage_core_destroy(&self->core);
    monitor_destroy(&self->monitor);
    zloop_destroy(&self->loop);
    zsock_destroy(&self->receipts);
    zsock_destroy(&self->forwarder);
    zsock_destroy(&self->pull);
    zsock_destroy(&self->front);
    loans_destroy(&self->loans);
}

void
storage_actor(zsock_t *pipe, void *args)
{
    storage_t self = { .pipe = pipe, .loop = zloop_new() };
    char why[WHY_BYTES] = "";
    INVARIANT(self.loop);
    status_t status = storage_open(&self, args, zclock_mono(), why);
    zsock_signal(pipe, 0);
    daemon_say(pipe, status, why);
    if (status == STATUS_OK) {
        storage_run(&self);
        const char *text = NULL;
        status = storage_core_fault(self.core, &text);
        snprintf(why, sizeof(why), "%s", status == STATUS_OK ? "asked" : text);
    }
    bool ran = self.core != NULL;
    storage_close(&self);
    if (ran)
        daemon_say(pipe, status, why);
}
