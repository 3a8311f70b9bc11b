/*  How the origin is: what is under-protected, its workers, its counters.
 */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"
#include "version.h"

enum {
    WAITED_MOST = 8,    //  Stores that streams are said to wait for
    CENSUS_MS = 10000,  //  Between looks at all streams for what is counted
};

//  ---- what is under-protected: computed, never tracked (R12)

static uint64_t
extent_blocks(const stream_t *stream, size_t nth)
{
    const extent_t *extent = stream->chain[nth];
    uint64_t end = nth + 1 < stream->chain_count
                       ? placement_index_before(stream->chain[nth + 1])
                   : stream->state == STREAM_SEALED ? stream->record.end_index
                                                    : stream->settled_index;
    return end > extent->base_index
               ? (end - extent->base_index) / extent->code.k
               : 0;
}

//  Blocks of [0, count) with a slot at one of the positions in `away`.
static uint64_t
blocks_touching(const extent_t *extent, const bool *away, uint64_t count)
{
    uint64_t touching = 0;
    unsigned slots = extent->code.k + extent->code.m;
    for (uint64_t b = 0; b < count; b++)
        for (unsigned s = 0; s < slots; s++)
            if (away[placement_position(extent, b, s)]) {
                touching++;
                break;
            }
    return touching;
}

//  Blocks of an extent that lack a slot: exact for stores that lack all their
//  slots; of those that lack some it is not known whether they are of the same
//  blocks, so that it is at most so many.
static uint64_t
blocks_lacking(const core_t *self, uint64_t stream, const extent_t *extent,
               uint64_t blocks)
{
    bool all[LIMIT_WORKERS] = { false };
    bool any = false;
    uint64_t lacking = 0;
    for (uint16_t p = 0; p < extent->width; p++) {
        uint64_t id = extent->stores[p];
        uint64_t missing = stock_missing(self, stream, extent, blocks, id);
        all[p] = missing && missing == placement_count(extent, blocks, id);
        any = any || all[p];
        if (!all[p])
            lacking += missing;
    }
    //  The pattern of turns repeats after W cycles of at most W blocks.
    uint64_t period = (uint64_t)extent->width * extent->width;
    if (any && blocks >= period)
        lacking += blocks / period * blocks_touching(extent, all, period);
    if (any)
        lacking += blocks_touching(extent, all, blocks % period);
    return lacking < blocks ? lacking : blocks;
}

uint64_t
health_lacks(const core_t *self, const stream_t *stream, uint64_t store)
{
    uint64_t total = 0;
    for (size_t i = 0; i < stream->chain_count; i++) {
        const extent_t *extent = stream->chain[i];
        uint64_t blocks = extent_blocks(stream, i);
        if (!blocks)
            continue;
        total += store
                     ? stock_missing(self, stream->record.id, extent, blocks,
                                     store)
                     : blocks_lacking(self, stream->record.id, extent, blocks);
    }
    return total;
}

//  ---- status

//  How a worker is, as it is told and as it is counted.
typedef struct {
    const char *name;
    counter_t counter;
} health_t;

static const health_t JOINING = { "joining", COUNTER_workers_joining },
                      WAITING = { "waiting", COUNTER_workers_waiting },
                      LIVE = { "live", COUNTER_workers_live },
                      FULL = { "full", COUNTER_workers_full },
                      AWAY = { "away", COUNTER_workers_away };

static const health_t *
health_of(const worker_t *worker)
{
    switch (worker->state) {
    case WORKER_JOINING:
        return &JOINING;
    case WORKER_WAITING:
        return &WAITING;
    case WORKER_LIVE:
        return worker->full ? &FULL : &LIVE;
    default:
        return &AWAY;
    }
}

//  The code that a stream would get now. False: none.
static bool
code_now(const core_t *self, code_t *code_r)
{
    worker_t *queue[1];
    code_t plain = { 0, 0 };
    bool narrower;
    return placement_code(membership_queue(self->members, queue, 1), plain,
                          false, code_r, &narrower) == STATUS_OK;
}

//  Streams that nobody is answered about, and all that they wait for.
static void
count_waiting(core_t *self, Rill__V1__Report *report, recovery_loss_t *all,
              millis_t now)
{
    *all = (recovery_loss_t){ .blocks = 0 };
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open)) {
        if (stream->state != STREAM_RECOVERING)
            continue;
        recovery_loss_t loss = recovery_loss(stream, now);
        report->waiting++;
        for (size_t i = 0; i < loss.away; i++) {
            size_t at = 0;
            while (at < all->away && all->store[at] != loss.store[i])
                at++;
            if (at == all->away && all->away < LIMIT_WORKERS)
                all->store[all->away++] = loss.store[i];
        }
    }
}

static uint64_t
lacking(const core_t *self, uint64_t store)
{
    uint64_t blocks = 0;
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        blocks += health_lacks(self, stream, store);
    return blocks;
}

//  Stores that extents name and nobody has heard of in this term: wiped, lost,
//  or not back yet. Writes up to LIMIT_WORKERS.
static size_t
lost_stores(const core_t *self, uint64_t *lost)
{
    size_t count = 0;
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        for (size_t i = 0; i < stream->chain_count; i++)
            for (uint16_t p = 0; p < stream->chain[i]->width; p++) {
                uint64_t id = stream->chain[i]->stores[p];
                size_t at = 0;
                while (at < count && lost[at] != id)
                    at++;
                if (at == count && count < LIMIT_WORKERS &&
                    !membership_find(self->members, id))
                    lost[count++] = id;
            }
    return count;
}

//  ---- counters

//  What is counted by looking at each stream or worker: now and then.
static void
take_census(core_t *self, millis_t now)
{
    uint64_t *values = self->census.values;
    memset(&self->census, 0, sizeof self->census);
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id)) {
        bool sealed = stream->state == STREAM_SEALED;
        values[sealed ? COUNTER_streams_sealed : COUNTER_streams_open]++;
        values[COUNTER_streams_waiting] += stream->state == STREAM_RECOVERING;
        values[COUNTER_under_protected_blocks] += health_lacks(self, stream, 0);
    }
    self->census_at = now;
}

//  Those of the file that nobody has heard of in this term are away, too.
static void
count_workers(core_t *self, counters_t *to)
{
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    for (size_t i = 0; i < count; i++)
        to->values[health_of(all[i])->counter]++;
    if (self->names_count > count)
        to->values[AWAY.counter] += self->names_count - count;
}

void
forwarder_core_count(forwarder_core_t *self, counters_t *to, millis_t now)
{
    if (!self->census_at || now - self->census_at >= CENSUS_MS)
        take_census(self, now);
    counters_add(to, &self->census);
    counters_add(to, &self->counters);
    relay_count(self->relay, to);
    count_workers(self, to);
    to->values[COUNTER_memory_bytes] = self->memory;
    to->values[COUNTER_memory_limit_bytes] = forwarder_core_memory(self);
    to->values[COUNTER_catalogue_bytes] = catalogue_bytes(self->catalogue);
}

void
forwarder_core_tell(const forwarder_core_t *self, uint64_t from,
                    relay_told_t *told_r)
{
    relay_tell(self->relay, from, told_r);
}

const char *
forwarder_core_unready(forwarder_core_t *self)
{
    code_t code;
    if (self->rebuilding)
        return "the catalogue is being made again from what workers hold";
    if (!code_now(self, &code))
        return "too few workers are there to store anything";
    if (!self->recovering)
        return NULL;
    snprintf(self->unready, sizeof self->unready,
             "%zu streams wait for workers, or are being recovered",
             self->recovering);
    return self->unready;
}

//  ---- status

//  All that a report points to.
typedef struct {
    Rill__V1__Report body;
    Rill__V1__Protection code;
    Rill__V1__WorkerReport *workers;
    char (*lost)[CORE_LABEL_BYTES];
    char labels[WAITED_MOST][CORE_LABEL_BYTES];
    char *waits_for[WAITED_MOST];
    counters_told_t counted;
    relay_told_t carried;
} report_t;

static void
tell_worker(const core_t *self, worker_t *worker, Rill__V1__WorkerReport *body)
{
    rill__v1__worker_report__init(body);
    body->name = worker->name;
    body->store = worker->store;
    body->state = message_lend(health_of(worker)->name);
    body->chunks = worker->chunks;
    body->bytes = worker->bytes;
    body->free_bytes = worker->free_bytes;
    body->space_bytes = worker->space_bytes;
    body->unreceipted = worker->outstanding;
    body->reach = worker->reach;
    body->under_repair = lacking(self, worker->store);
}

static void
tell_lost(const core_t *self, uint64_t store, char name_r[CORE_LABEL_BYTES],
          Rill__V1__WorkerReport *body)
{
    rill__v1__worker_report__init(body);
    body->name = core_label(self, store, name_r);
    body->store = store;
    body->state = message_lend(AWAY.name);
    body->under_repair = lacking(self, store);
}

//  (most - least) / mean of what live workers hold.
static double
imbalance(worker_t *const *all, size_t count)
{
    uint64_t least = UINT64_MAX, most = 0, sum = 0, live = 0;
    for (size_t i = 0; i < count; i++) {
        if (all[i]->state != WORKER_LIVE)
            continue;
        live++;
        sum += all[i]->bytes;
        least = all[i]->bytes < least ? all[i]->bytes : least;
        most = all[i]->bytes > most ? all[i]->bytes : most;
    }
    return sum ? (double)(most - least) / ((double)sum / (double)live) : 0;
}

static void
tell_workers(const core_t *self, report_t *to)
{
    worker_t **all;
    uint64_t lost[LIMIT_WORKERS];
    size_t workers = membership_all(self->members, &all);
    workers = workers < LIMIT_WORKERS ? workers : LIMIT_WORKERS;
    size_t lost_count = lost_stores(self, lost), count = workers + lost_count;
    to->workers = zmalloc((count + 1) * sizeof *to->workers);
    to->body.workers = zmalloc((count + 1) * sizeof *to->body.workers);
    to->lost = zmalloc((lost_count + 1) * sizeof *to->lost);
    for (size_t i = 0; i < count; i++) {
        if (i < workers)
            tell_worker(self, all[i], &to->workers[i]);
        else
            tell_lost(self, lost[i - workers], to->lost[i - workers],
                      &to->workers[i]);
        to->body.workers[i] = &to->workers[i];
    }
    to->body.n_workers = count;
    to->body.imbalance = imbalance(all, workers);
}

static void
tell_code(const core_t *self, report_t *to)
{
    code_t code;
    rill__v1__protection__init(&to->code);
    if (code_now(self, &code)) {
        to->code.k = code.k;
        to->code.m = code.m;
    }
    to->body.protection = &to->code;
}

static void
tell_counters(core_t *self, report_t *to, millis_t now)
{
    counters_t counters = { 0 };
    take_census(self, now);  //  A person asks: as it is now
    forwarder_core_count(self, &counters, now);
    counters_tell(&counters, SETTINGS_FORWARDER, &to->counted);
    const uint64_t *values = counters.values;
    Rill__V1__Report *body = &to->body;
    body->counters = to->counted.list;
    body->n_counters = to->counted.count;
    body->open_streams = values[COUNTER_streams_open];
    body->streams = body->open_streams + values[COUNTER_streams_sealed];
    body->under_protected = values[COUNTER_under_protected_blocks];
    body->received_bytes = values[COUNTER_received_bytes_total];
    body->stored_bytes = values[COUNTER_stored_bytes_total];
    body->settled_bytes = values[COUNTER_settled_bytes_total];
    body->memory_bytes = values[COUNTER_memory_bytes];
    body->catalogue_bytes = values[COUNTER_catalogue_bytes];
}

static void
tell_waiting(core_t *self, report_t *to, millis_t now)
{
    recovery_loss_t waited;
    count_waiting(self, &to->body, &waited, now);
    to->body.n_waits_for = serve_waited(self, &waited, to->labels,
                                        to->waits_for, WAITED_MOST);
    to->body.waits_for = to->waits_for;
}

void
health_answer(core_t *self, const peer_t *peer, const message_t *message,
              millis_t now)
{
    report_t *to = zmalloc(sizeof *to);
    Rill__V1__Report *body = &to->body;
    rill__v1__report__init(body);
    body->role = message_lend("forwarder");
    body->node = self->name;
    body->version = message_lend(RILL_VERSION);
    body->cluster = catalogue_cluster(self->catalogue);
    body->term = catalogue_term(self->catalogue);
    body->uptime_ms = now - self->began;
    tell_workers(self, to);
    tell_code(self, to);
    tell_counters(self, to, now);
    tell_waiting(self, to, now);
    relay_tell(self->relay, message->status_ask->from, &to->carried);
    body->carried = to->carried.list;
    body->n_carried = to->carried.count;
    body->next = to->carried.next;
    sink_places(self->settings.sink, body);
    message_t answer = MESSAGE(REPORT, report, body, message->request,
                               message->trace);
    (void)self->effects.send(self->with, peer, &answer, NULL);
    free(body->workers);
    free(to->workers);
    free(to->lost);
    free(to);
}
