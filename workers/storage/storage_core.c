#include "storage_core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commits.h"
#include "holdings.h"
#include "invariant.h"
#include "questions.h"
#include "survey.h"

//  Deadlines of write.md R7, before patience
enum { HELLO_MS = 500, SILENCE_MS = 3000 };

//  How soon what a full queue refused is tried again, whatever the patience:
//  it is a queue on this machine.
enum { RETRY_MS = 10 };

//  How soon a Hello that met no connection is tried again.
enum { CONNECT_MS = 50 };

//  Between the forwarder's word on keep_ms and good sense
enum { KEEP_MS = 500, KEEP_LEAST_MS = 50, KEEP_MOST_MS = 10000 };

enum {
    RECEIPT_KEYS = 500,     //  In one message: 20 KiB
    OWED_MOST = 64 * 1024,  //  Unsent receipts; over it we are choked
    SWEPT_MOST = 1024,      //  Sweeps remembered in a session
    FAULT_BYTES = 320,
};

typedef enum {
    HELLO,      //  Of no session; says Hello
    FLUSHING,   //  Welcomed; what is older becomes durable
    INVENTORY,  //  Says what it holds
    SERVING,
    OVER,  //  Leaving or at fault: of no session, and seeks none
} state_t;

//  What of an epoch counts, as a Sweep of the session said.
typedef struct {
    uint64_t stream;
    uint64_t epoch;
    uint64_t first;
    uint64_t end;
} kept_t;

struct storage_core {
    char *name;
    char *push_at;
    char *ask_at;
    double patience;
    const sink_t *sink;
    const storage_effects_t *effects;
    void *with;

    state_t state;
    bool leaving;  //  storage_core_drain was called
    status_t fault;
    char fault_text[FAULT_BYTES];
    status_t noted;  //  The refusal of our Hello last logged

    uint64_t session;
    uint64_t term;      //  Of the session
    uint64_t request;   //  Of the last message we said; boot * 2^32 + n
    uint64_t welcomed;  //  Request that the last Welcome answered
    uint64_t entered;   //  Last request said before this state of joining
    char *receipts_at;

    millis_t born;
    millis_t heard;     //  Last sign of the session's forwarder
    millis_t hello_at;  //  Next Hello
    millis_t keep_at;   //  Next WorkerKeep
    millis_t keep_ms;
    millis_t retry_at;  //  Something waits for room in a queue

    commits_t *commits;
    questions_t *questions;

    bool choked;          //  The store refused `held` with BUSY
    chunk_header_t held;  //  Taken, waits for room in the store
    buffer_t *held_payload;

    uint64_t *streams;  //  Of the last Welcome
    size_t streams_count;
    survey_t *survey;
    uint32_t part;  //  Of the inventory, said next
    holdings_t *holdings;
    kept_t kept[SWEPT_MOST];
    size_t swept;  //  In this session; the oldest are forgotten

    counters_t counters;
};

static void pump(storage_core_t *self, millis_t now);

static void note(storage_core_t *self, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
note(storage_core_t *self, int level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    self->effects->note(self->with, level, text);
}

static void
count(storage_core_t *self, counter_t reason)
{
    counters_up(&self->counters, reason);
}

static millis_t
patient(const storage_core_t *self, millis_t span)
{
    return (millis_t)((double)span * self->patience);
}

static bool
in_session(const storage_core_t *self)
{
    return self->state == FLUSHING || self->state == INVENTORY ||
           self->state == SERVING;
}

static void
retry(storage_core_t *self, millis_t now)
{
    self->retry_at = millis_least(self->retry_at, now + RETRY_MS);
}

/*---------------------------------------------------------------- saying */

static status_t
tell_forwarder(storage_core_t *self, message_t *message)
{
    message->request = ++self->request;
    return self->effects->send_forwarder(self->with, message);
}

static Rill__V1__Space
space_now(storage_core_t *self)
{
    chunkstore_space_t has = self->effects->space(self->with);
    Rill__V1__Space space = RILL__V1__SPACE__INIT;
    space.chunks = has.chunks;
    space.bytes = has.bytes;
    space.free_bytes = has.free_bytes;
    space.space_bytes = has.space_bytes;
    space.full = has.full;
    return space;
}

static void
say_hello(storage_core_t *self, millis_t now)
{
    chunkstore_identity_t identity = self->effects->identity(self->with);
    Rill__V1__Space space = space_now(self);
    Rill__V1__Hello hello = RILL__V1__HELLO__INIT;
    hello.cluster = identity.cluster;
    hello.store = identity.store;
    hello.name = self->name;
    hello.boot = identity.boot;
    hello.term = identity.term;
    hello.push_at = self->push_at;
    hello.ask_at = self->ask_at;
    hello.space = &space;
    message_t message = MESSAGE(HELLO, hello, &hello, 0, 0);
    status_t status = tell_forwarder(self, &message);
    bool said = status == STATUS_OK;
    count(self, said ? COUNTER_hellos_total_said : COUNTER_hellos_total_unsaid);
    self->hello_at = now + (said ? patient(self, HELLO_MS) : CONNECT_MS);
}

static void
say_keep(storage_core_t *self, millis_t now)
{
    Rill__V1__Space space = space_now(self);
    Rill__V1__WorkerKeep keep = RILL__V1__WORKER_KEEP__INIT;
    keep.session = self->session;
    keep.space = &space;
    keep.told = self->state == SERVING;
    keep.waiting = commits_waiting(self->commits) + self->choked;
    message_t message = MESSAGE(WORKER_KEEP, worker_keep, &keep, 0, 0);
    status_t status = tell_forwarder(self, &message);
    count(self, status == STATUS_OK ? COUNTER_keeps_total_said
                                    : COUNTER_keeps_total_unsaid);
    self->keep_at = now + self->keep_ms;
}

static void
say_leave(storage_core_t *self)
{
    Rill__V1__WorkerLeave leave = RILL__V1__WORKER_LEAVE__INIT;
    leave.session = self->session;
    message_t message = MESSAGE(WORKER_LEAVE, worker_leave, &leave, 0, 0);
    (void)tell_forwarder(self, &message);
}

/*--------------------------------------------------------------- sessions */

static void
forget_owed(storage_core_t *self)
{
    size_t owed = commits_owed(self->commits);
    self->counters.values[COUNTER_receipted_chunks_total_over] += owed;
    commits_said(self->commits, owed);
}

static void
forget_held(storage_core_t *self)
{
    if (!self->choked)
        return;
    self->choked = false;
    buffer_unref(&self->held_payload);
    count(self, COUNTER_worker_messages_total_chunks_left_over);
}

//  End the session, if any: nothing of it is taken or receipted any more
//  (invariant 2). What the store took of it becomes durable all the same.
static void
end_session(storage_core_t *self)
{
    forget_owed(self);
    forget_held(self);
    self->session = 0;
    self->swept = 0;
}

//  Seek a new session, unless this worker goes down.
static void
rejoin(storage_core_t *self, const char *reason, millis_t now)
{
    note(self, 1, "left reason=%s", reason);
    end_session(self);
    self->state = self->leaving ? OVER : HELLO;
    self->entered = self->request;
    self->hello_at = now;
    self->noted = STATUS_OK;
}

static void
fail(storage_core_t *self, status_t status, const char *text)
{
    end_session(self);
    self->state = OVER;
    self->fault = status;
    snprintf(self->fault_text, sizeof(self->fault_text), "%s", text);
}

//  Make the Welcome's cluster and term durable before anything of it is
//  answered (invariant 2).
static status_t
keep_term(storage_core_t *self, const Rill__V1__Welcome *welcome)
{
    chunkstore_identity_t identity = self->effects->identity(self->with);
    status_t status = STATUS_OK;
    if (identity.cluster == 0)
        status = self->effects->set_cluster(self->with, welcome->cluster);
    if (status == STATUS_OK && welcome->term > identity.term)
        status = self->effects->set_term(self->with, welcome->term);
    return status;
}

static bool
welcome_whole(const Rill__V1__Welcome *welcome)
{
    return welcome->cluster != 0 && welcome->term != 0 &&
           welcome->session != 0 && welcome->receipts_at[0] != '\0';
}

static void
enter_session(storage_core_t *self, const Rill__V1__Welcome *welcome,
              millis_t now)
{
    end_session(self);
    self->state = FLUSHING;
    self->session = welcome->session;
    self->term = welcome->term;
    self->entered = self->request;
    self->heard = now;
    millis_t keep = welcome->keep_ms ? welcome->keep_ms : KEEP_MS;
    keep = keep < KEEP_LEAST_MS ? KEEP_LEAST_MS : keep;
    self->keep_ms = millis_least(keep, KEEP_MOST_MS);
    self->keep_at = now + self->keep_ms;

    free(self->receipts_at);
    self->receipts_at = strdup(welcome->receipts_at);
    self->streams_count = welcome->n_streams;
    free(self->streams);
    self->streams = calloc(welcome->n_streams + 1, sizeof(*self->streams));
    INVARIANT(self->receipts_at && self->streams);
    for (size_t i = 0; i < welcome->n_streams; i++)
        self->streams[i] = welcome->streams[i];
    note(self, 2, "welcomed term=%" PRIu64 " session=%016" PRIx64, self->term,
         self->session);
}

static void
on_welcome(storage_core_t *self, const message_t *message, millis_t now)
{
    const Rill__V1__Welcome *welcome = message->welcome;
    chunkstore_identity_t identity = self->effects->identity(self->with);
    if (message->request <= self->welcomed ||
        message->request > self->request) {
        count(self, COUNTER_worker_messages_total_forwarder_old_welcome);
        return;
    }
    if (!welcome_whole(welcome)) {
        count(self, COUNTER_worker_messages_total_forwarder_bad_welcome);
        return;
    }
    if (identity.cluster != 0 && welcome->cluster != identity.cluster) {
        count(self, COUNTER_worker_messages_total_forwarder_other_cluster);
        char text[FAULT_BYTES];
        snprintf(text, sizeof(text),
                 "this data directory belongs to cluster %016" PRIx64
                 ", the forwarder is of cluster %016" PRIx64
                 "; name the right directory or an empty one",
                 identity.cluster, welcome->cluster);
        fail(self, STATUS_CLUSTER, text);
        return;
    }
    if (welcome->term < identity.term) {
        count(self, COUNTER_worker_messages_total_forwarder_old_term);
        note(self, 1, "old_term term=%" PRIu64 " granted=%" PRIu64,
             welcome->term, identity.term);
        return;
    }
    status_t status = keep_term(self, welcome);
    if (status != STATUS_OK) {
        count(self, COUNTER_worker_messages_total_forwarder_not_kept);
        note(self, 0, "term_not_kept term=%" PRIu64 " status=%s", welcome->term,
             status_name(status));
        return;
    }
    count(self, COUNTER_worker_messages_total_forwarder_welcome);
    self->welcomed = message->request;
    enter_session(self, welcome, now);
    pump(self, now);
}

static void
on_kept(storage_core_t *self, const Rill__V1__WorkerKept *kept, millis_t now)
{
    if (!in_session(self) || kept->session != self->session ||
        kept->term != self->term) {
        count(self, COUNTER_worker_messages_total_forwarder_old_kept);
        return;
    }
    count(self, COUNTER_worker_messages_total_forwarder_kept);
    self->heard = now;
    for (size_t i = 0; i < kept->n_horizons; i++) {
        const Rill__V1__Horizon *horizon = kept->horizons[i];
        if (horizon->retention <= UINT8_MAX)
            self->effects->retain(self->with, (uint8_t)horizon->retention,
                                  horizon->horizon_us, horizon->span_ms);
    }
}

//  A refusal of our Hello: some mean that we can never serve, after the others
//  we say Hello again.
static void
on_hello_refused(storage_core_t *self, status_t status, const char *text)
{
    if (!text[0])
        text = status_text(status);
    if (status == STATUS_CLUSTER || status == STATUS_TAKEN ||
        status == STATUS_FENCED) {
        fail(self, status, text);
    } else if (status != self->noted) {
        self->noted = status;
        note(self, 1, "refused status=%s text=\"%s\"", status_name(status),
             text);
    }
}

static void
on_refused(storage_core_t *self, const message_t *message, millis_t now)
{
    status_t status = message_status(message->refused->status);
    bool ours = message->request <= self->request;
    ours = ours && message->request > self->entered;
    if (self->state == HELLO && ours) {
        count(self, COUNTER_worker_messages_total_forwarder_refused);
        on_hello_refused(self, status, message->refused->text);
    } else if (in_session(self) && ours) {
        count(self, COUNTER_worker_messages_total_forwarder_refused);
        self->heard = now;
        if (status == STATUS_SESSION)
            rejoin(self, "session", now);
        else
            note(self, 1, "refused status=%s text=\"%s\"", status_name(status),
                 message->refused->text);
    } else {
        count(self, COUNTER_worker_messages_total_forwarder_old_refused);
    }
}

void
storage_core_on_forwarder(storage_core_t *self, const message_t *message,
                          millis_t now)
{
    count(self, COUNTER_worker_messages_received_total_forwarder);
    bool welcome = message->body_case == RILL__V1__MESSAGE__BODY_WELCOME;
    if (self->state == OVER || (self->leaving && welcome)) {
        count(self, COUNTER_worker_messages_total_forwarder_stopping);
        return;
    }
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_WELCOME:
        on_welcome(self, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_WORKER_KEPT:
        on_kept(self, message->worker_kept, now);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        on_refused(self, message, now);
        break;
    default:
        count(self, COUNTER_worker_messages_total_forwarder_kind);
    }
}

/*-------------------------------------------------------------- inventory */

//  Send what is left of the inventory, as far as the socket takes it.
static status_t
say_inventory(storage_core_t *self, millis_t now)
{
    while (self->state == INVENTORY) {
        bool last = false;
        status_t status = survey_fill(self->survey, self->holdings, &last);
        if (status != STATUS_OK)
            return status;
        Rill__V1__Inventory inventory = *holdings_say(self->holdings,
                                                      self->session, last);
        inventory.part = self->part;
        message_t message = MESSAGE(INVENTORY, inventory, &inventory, 0, 0);
        if (tell_forwarder(self, &message) != STATUS_OK) {
            retry(self, now);
            return STATUS_OK;
        }
        self->part++;
        survey_sent(self->survey);
        if (last)
            self->state = SERVING;
    }
    return STATUS_OK;
}

static void
join(storage_core_t *self, millis_t now)
{
    status_t status = STATUS_OK;
    if (self->state == FLUSHING) {
        self->effects->open_receipts(self->with, self->receipts_at);
        self->state = INVENTORY;
        self->part = 0;
        status = survey_begin(self->survey, self->streams, self->streams_count);
    }
    if (status == STATUS_OK)
        status = say_inventory(self, now);
    if (status != STATUS_OK) {
        count(self, COUNTER_worker_sessions_total_unreadable);
        note(self, 0, "inventory_unreadable status=%s", status_name(status));
        rejoin(self, "inventory", now);
        self->hello_at = now + patient(self, HELLO_MS);
    } else if (self->state == SERVING) {
        count(self, COUNTER_worker_sessions_total_served);
        self->noted = STATUS_OK;
        note(self, 1, "joined term=%" PRIu64 " session=%016" PRIx64, self->term,
             self->session);
    }
}

/*----------------------------------------------------------------- chunks */

//  What the last Sweep of an epoch in this session said, or NULL.
static kept_t *
kept_of(storage_core_t *self, uint64_t stream, uint64_t epoch)
{
    size_t most = self->swept < SWEPT_MOST ? self->swept : SWEPT_MOST;
    for (size_t i = 0; i < most; i++)
        if (self->kept[i].stream == stream && self->kept[i].epoch == epoch)
            return &self->kept[i];
    return NULL;
}

static bool
is_swept(storage_core_t *self, const chunk_key_t *key)
{
    const kept_t *kept = kept_of(self, key->stream, key->epoch);
    return kept && (key->block < kept->first || key->block >= kept->end);
}

//  Give a chunk to the store. False: it takes none now.
static bool
append(storage_core_t *self, const chunk_header_t *header, buffer_t *payload,
       millis_t now)
{
    if (is_swept(self, &header->key)) {
        count(self, COUNTER_worker_messages_total_chunks_swept);
        return true;
    }
    //  It waits before the store can tell: a store may be that fast.
    commit_taken_t taken = { now, SINK_CLOCK(self->sink, CHUNK_STORED) };
    bool added = commits_add(self->commits, header->key, taken);
    status_t status = self->effects->append(self->with, header, payload, now);
    if (status == STATUS_OK) {
        count(self, COUNTER_worker_messages_total_chunks_taken);
        return true;
    }
    if (added)
        commits_remove(self->commits, header->key, &taken);
    if (status == STATUS_BUSY)
        return false;
    count(self, COUNTER_worker_messages_total_chunks_failed);
    commits_owe(self->commits, header->key, status);
    return true;
}

//  Why a Store is not to be looked at further, or COUNTERS_COUNT.
static counter_t
fenced(const storage_core_t *self, const message_t *message)
{
    if (message->body_case != RILL__V1__MESSAGE__BODY_STORE)
        return COUNTER_worker_messages_total_chunks_kind;
    if (self->leaving || self->state == OVER)
        return COUNTER_worker_messages_total_chunks_stopping;
    if (self->state != SERVING)
        return COUNTER_worker_messages_total_chunks_early;
    if (message->store->term != self->term)
        return COUNTER_worker_messages_total_chunks_old_term;
    if (message->store->session != self->session)
        return COUNTER_worker_messages_total_chunks_old_session;
    if (storage_core_choked(self))
        return COUNTER_worker_messages_total_chunks_choked;
    return COUNTERS_COUNT;
}

//  Why a chunk is not taken, in the words of the wire.
static status_t
drop_status(counter_t reason)
{
    switch (reason) {
    case COUNTER_worker_messages_total_chunks_kind:
        return STATUS_KIND;
    case COUNTER_worker_messages_total_chunks_stopping:
        return STATUS_STOPPING;
    case COUNTER_worker_messages_total_chunks_old_term:
        return STATUS_FENCED;
    case COUNTER_worker_messages_total_chunks_choked:
        return STATUS_BUSY;
    case COUNTER_worker_messages_total_chunks_header:
    case COUNTER_worker_messages_total_chunks_length:
        return STATUS_CORRUPT;
    default:
        return STATUS_SESSION;
    }
}

//  A chunk is not taken.
static void
drop(storage_core_t *self, counter_t reason, const message_t *message)
{
    count(self, reason);
    sink_fault(self->sink, drop_status(reason), "chunks", message_kind(message),
               message->trace);
}

void
storage_core_on_store(storage_core_t *self, const message_t *message,
                      buffer_t *payload, millis_t now)
{
    count(self, COUNTER_worker_messages_received_total_chunks);
    counter_t reason = fenced(self, message);
    if (reason != COUNTERS_COUNT) {
        drop(self, reason, message);
        return;
    }
    self->heard = now;
    chunk_header_t header;
    if (!message->store->chunk ||
        message_to_chunk(message->store->chunk, &header) != STATUS_OK) {
        drop(self, COUNTER_worker_messages_total_chunks_header, message);
        return;
    }
    size_t length = payload ? buffer_size(payload) : 0;
    if (length != header.length) {
        drop(self, COUNTER_worker_messages_total_chunks_length, message);
        commits_owe(self->commits, header.key, STATUS_CORRUPT);
    } else if (!append(self, &header, payload, now)) {
        count(self, COUNTER_store_choked_total);
        self->choked = true;
        self->held = header;
        self->held_payload = buffer_ref(payload);
    }
    pump(self, now);
}

//  The chunk that waits for room.
static void
append_held(storage_core_t *self, millis_t now)
{
    if (!append(self, &self->held, self->held_payload, now)) {
        retry(self, now);
        return;
    }
    self->choked = false;
    buffer_unref(&self->held_payload);
}

//  One Receipt with as many of the owed words as it takes; it has one status
//  for what failed.
static size_t
say_receipt(storage_core_t *self)
{
    Rill__V1__ChunkKey keys[RECEIPT_KEYS];
    Rill__V1__ChunkKey *stored[RECEIPT_KEYS], *failed[RECEIPT_KEYS];
    const commit_t *owed = commits_first(self->commits);
    size_t most = commits_owed(self->commits);
    Rill__V1__Receipt receipt = RILL__V1__RECEIPT__INIT;
    status_t why = STATUS_OK;
    size_t said = 0;
    for (; said < most && said < RECEIPT_KEYS; said++) {
        status_t status = owed[said].status;
        if (status != STATUS_OK && why != STATUS_OK && status != why)
            break;
        keys[said] = message_from_key(owed[said].key);
        if (status == STATUS_OK) {
            stored[receipt.n_stored++] = &keys[said];
        } else {
            failed[receipt.n_failed++] = &keys[said];
            why = status;
        }
    }
    receipt.term = self->term;
    receipt.session = self->session;
    receipt.store = self->effects->identity(self->with).store;
    receipt.stored = stored;
    receipt.failed = failed;
    receipt.status = (Rill__V1__Status)why;
    message_t message = MESSAGE(RECEIPT, receipt, &receipt, 0, 0);
    if (self->effects->send_receipt(self->with, &message) != STATUS_OK) {
        count(self, COUNTER_receipts_total_unsent);
        return 0;
    }
    count(self, COUNTER_receipts_total_sent);
    self->counters.values[COUNTER_receipted_chunks_total_stored] +=
        receipt.n_stored;
    self->counters.values[COUNTER_receipted_chunks_total_failed] +=
        receipt.n_failed;
    return said;
}

static void
say_receipts(storage_core_t *self, millis_t now)
{
    while (commits_owed(self->commits) > 0) {
        size_t said = say_receipt(self);
        if (said == 0) {
            retry(self, now);
            return;
        }
        commits_said(self->commits, said);
    }
}

//  Leave, once everything that was taken is durable and receipted: a receipt
//  after the session's end would be nobody's. A forwarder that cannot be told
//  sees the connection end.
static void
leave(storage_core_t *self)
{
    if (self->choked || commits_waiting(self->commits) > 0 ||
        commits_owed(self->commits) > 0)
        return;
    say_leave(self);
    end_session(self);
    self->state = OVER;
}

//  Do what can be done now; what a full queue hinders is tried again.
static void
pump(storage_core_t *self, millis_t now)
{
    if (self->choked)
        append_held(self, now);
    bool flushed = commits_waiting(self->commits) == 0;
    if (self->state == INVENTORY || (self->state == FLUSHING && flushed))
        join(self, now);
    if (self->state == SERVING)
        say_receipts(self, now);
    if (self->leaving && self->state == SERVING)
        leave(self);
}

static void
tell_stored(const storage_core_t *self, const chunk_key_t *key,
            micros_t taken_us)
{
    if (!SINK_WANTS(self->sink, CHUNK_STORED))
        return;
    Rill__V1__ChunkStored body = RILL__V1__CHUNK_STORED__INIT;
    body.epoch = key->epoch;
    body.block = key->block;
    body.slot = key->slot;
    body.ms = sink_ms(taken_us, SINK_CLOCK(self->sink, CHUNK_STORED));
    event_t event = EVENT(CHUNK_STORED, chunk_stored, &body, 0, key->stream,
                          "");
    sink_tell(self->sink, &event);
}

//  A word of the store about a key: it is owed to the forwarder of the session
//  that the key was taken in, which is ours when we serve (invariant 3).
static void
settle(storage_core_t *self, chunk_key_t key, status_t status, millis_t now)
{
    commit_taken_t taken;
    bool waited = commits_remove(self->commits, key, &taken);
    if (waited && status == STATUS_OK) {
        counters_took(&self->counters, TIME_commit_seconds, now - taken.at);
        tell_stored(self, &key, taken.us);
    }
    if (!waited)
        count(self, COUNTER_commits_total_unasked);
    else if (self->state == SERVING)
        commits_owe(self->commits, key, status);
    else
        count(self, COUNTER_receipted_chunks_total_over);
}

void
storage_core_on_durable(storage_core_t *self, const chunk_key_t *keys,
                        size_t keys_count, millis_t now)
{
    self->counters.values[COUNTER_commits_total_durable] += keys_count;
    for (size_t i = 0; i < keys_count; i++)
        settle(self, keys[i], STATUS_OK, now);
    pump(self, now);
}

void
storage_core_on_failed(storage_core_t *self, const chunk_key_t *keys,
                       size_t keys_count, status_t status, millis_t now)
{
    INVARIANT(status != STATUS_OK);
    self->counters.values[COUNTER_commits_total_failed] += keys_count;
    note(self, 0, "not_stored chunks=%zu status=%s", keys_count,
         status_name(status));
    for (size_t i = 0; i < keys_count; i++)
        settle(self, keys[i], status, now);
    pump(self, now);
}

/*-------------------------------------------------------------- questions */

static const char *
state_word(const storage_core_t *self)
{
    switch (self->state) {
    case FLUSHING:
    case INVENTORY:
        return "joining";
    case SERVING:
        return self->effects->space(self->with).full ? "full" : "live";
    default:
        return "away";
    }
}

static questions_self_t
about_self(const storage_core_t *self, millis_t now)
{
    return (questions_self_t){
        .name = self->name,
        .sink = self->sink,
        .state = state_word(self),
        .unreceipted = commits_waiting(self->commits) +
                       commits_owed(self->commits),
        .uptime = now - self->born,
        .stopping = self->leaving,
    };
}

//  What the session's forwarder sweeps is not stored again (invariant 6).
static void
remember_sweep(storage_core_t *self, const Rill__V1__Sweep *sweep)
{
    if (self->state != SERVING || sweep->term != self->term)
        return;
    kept_t *kept = kept_of(self, sweep->stream, sweep->epoch);
    if (!kept)
        kept = &self->kept[self->swept++ % SWEPT_MOST];
    *kept = (kept_t){ .stream = sweep->stream,
                      .epoch = sweep->epoch,
                      .first = sweep->keep_first,
                      .end = sweep->keep_end };
}

void
storage_core_on_ask(storage_core_t *self, const peer_t *peer,
                    const message_t *message, millis_t now)
{
    count(self, COUNTER_worker_messages_received_total_front);
    if (message->body_case == RILL__V1__MESSAGE__BODY_SWEEP)
        remember_sweep(self, message->sweep);
    questions_self_t about = about_self(self, now);
    questions_on_ask(self->questions, peer, message, &about);
}

void
storage_core_count(const storage_core_t *self, counters_t *to)
{
    questions_self_t about = about_self(self, self->born);
    questions_count(self->questions, &about, to);
}

void
storage_core_on_bad(storage_core_t *self, const peer_t *peer, uint64_t request,
                    status_t status, millis_t now)
{
    (void)now;
    count(self, COUNTER_worker_messages_received_total_unreadable);
    if (peer && peer->size > 0)
        questions_refuse(self->questions, peer, request, status);
}

void
storage_core_on_flood(storage_core_t *self)
{
    count(self, COUNTER_sockets_flooded_total);
}

void
storage_core_on_read(storage_core_t *self, uint64_t token, status_t status,
                     const chunk_header_t *header, buffer_t *payload,
                     millis_t now)
{
    (void)now;
    questions_on_read(self->questions, token, status, header, payload);
}

void
storage_core_on_retired(storage_core_t *self, uint64_t bytes)
{
    if (!SINK_WANTS(self->sink, RETENTION_RAN))
        return;
    Rill__V1__RetentionRan body = RILL__V1__RETENTION_RAN__INIT;
    body.bytes = bytes;
    event_t event = EVENT(RETENTION_RAN, retention_ran, &body, 0, 0, "");
    sink_tell(self->sink, &event);
}

/*------------------------------------------------------------------- life */

storage_core_t *
storage_core_new(const storage_settings_t *settings,
                 const storage_effects_t *effects, void *with, millis_t now)
{
    INVARIANT(settings->patience > 0);
    storage_core_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->name = strdup(settings->name);
    self->push_at = strdup(settings->push_at);
    self->ask_at = strdup(settings->ask_at);
    INVARIANT(self->name && self->push_at && self->ask_at);
    self->patience = settings->patience;
    self->sink = settings->sink;
    self->effects = effects;
    self->with = with;
    self->commits = commits_new();
    self->survey = survey_new(effects, with);
    self->holdings = holdings_new();
    self->questions = questions_new(effects, with, &self->counters);
    self->state = HELLO;
    self->born = now;
    self->hello_at = now;
    self->retry_at = MILLIS_NEVER;
    //  A boot's requests are its own: an answer to an earlier one is old.
    self->request = effects->identity(with).boot << 32;
    self->welcomed = self->request;
    return self;
}

void
storage_core_destroy(storage_core_t **self_p)
{
    storage_core_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    commits_destroy(&self->commits);
    survey_destroy(&self->survey);
    holdings_destroy(&self->holdings);
    questions_destroy(&self->questions);
    buffer_unref(&self->held_payload);
    free(self->streams);
    free(self->receipts_at);
    free(self->name);
    free(self->push_at);
    free(self->ask_at);
    free(self);
}

//  A session that does not serve yet has nothing to receipt: it ends at once.
static void
begin_to_leave(storage_core_t *self)
{
    self->leaving = true;
    note(self, 1, "leaving waiting=%zu", commits_waiting(self->commits));
    if (self->state == SERVING)
        return;
    if (in_session(self))
        say_leave(self);
    end_session(self);
    self->state = OVER;
}

bool
storage_core_drain(storage_core_t *self, millis_t now)
{
    if (!self->leaving)
        begin_to_leave(self);
    pump(self, now);
    return self->state == OVER && commits_waiting(self->commits) == 0 &&
           questions_open(self->questions) == 0;
}

bool
storage_core_ready(const storage_core_t *self)
{
    return self->state == SERVING && !self->leaving;
}

bool
storage_core_choked(const storage_core_t *self)
{
    return self->choked || commits_owed(self->commits) >= OWED_MOST;
}

status_t
storage_core_fault(const storage_core_t *self, const char **text_r)
{
    if (text_r)
        *text_r = self->fault_text;
    return self->fault;
}

millis_t
storage_core_due(const storage_core_t *self)
{
    millis_t due = self->retry_at;
    if (self->state == HELLO)
        due = millis_least(due, self->hello_at);
    if (in_session(self)) {
        due = millis_least(due, self->keep_at);
        due = millis_least(due, self->heard + patient(self, SILENCE_MS));
    }
    return due;
}

void
storage_core_sweep(storage_core_t *self, millis_t now)
{
    if (in_session(self) && now >= self->heard + patient(self, SILENCE_MS)) {
        count(self, COUNTER_worker_sessions_total_silent);
        rejoin(self, "silence", now);
    }
    if (self->state == HELLO && now >= self->hello_at)
        say_hello(self, now);
    if (in_session(self) && now >= self->keep_at)
        say_keep(self, now);
    if (now >= self->retry_at) {
        self->retry_at = MILLIS_NEVER;
        pump(self, now);
    }
}
