/*  Readers: what streams there are, what they hold, their chunks; removal; and
 *  the status of the whole origin.
 */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"
#include "version.h"

enum {
    LIST_MOST = 100,
    ASK_BUDGET_MS = 5000,
    ASK_BUDGET_MOST_MS = 60000,
    HOLES_MOST = 200,
    WAITED_MOST = 8,  //  Stores that a stream is said to wait for
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

//  Settled blocks of a stream that lack a slot; with `store` not 0, those that
//  lack that store's.
static uint64_t
under_protected(const core_t *self, const stream_t *stream, uint64_t store)
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

//  ---- describe and list

//  A description and all that it points to.
typedef struct {
    Rill__V1__Described body;
    Rill__V1__Protection code, asked;
    char labels[WAITED_MOST][CORE_LABEL_BYTES];
    char *waits_for[WAITED_MOST];
    Rill__V1__Hole *holes;
    Rill__V1__Hole **hole_list;
} described_t;

uint64_t
serve_first(const stream_t *stream)
{
    return stream->chain_count ? stream->chain[0]->base_offset : 0;
}

micros_t
serve_newest(const stream_t *stream)
{
    return stream->last_us ? stream->last_us : stream->record.newest_us;
}

//  What stores a recovering stream waits for are called.
static size_t
name_waited(core_t *self, const recovery_loss_t *loss,
            char labels_r[][CORE_LABEL_BYTES], char **list_r, size_t most)
{
    size_t count = loss->away < most ? loss->away : most;
    for (size_t i = 0; i < count; i++)
        list_r[i] = core_label(self, loss->store[i], labels_r[i]);
    return count;
}

static void
describe(core_t *self, stream_t *stream, described_t *to, millis_t now)
{
    const stream_record_t *record = &stream->record;
    bool sealed = stream->state == STREAM_SEALED;
    rill__v1__described__init(&to->body);
    rill__v1__protection__init(&to->code);
    rill__v1__protection__init(&to->asked);
    Rill__V1__Described *body = &to->body;
    const extent_t *last = stream->chain_count
                               ? stream->chain[stream->chain_count - 1]
                               : NULL;
    body->stream = record->id;
    body->name = (char *)(uintptr_t)record->name;
    body->kind = (Rill__V1__Kind)record->kind;
    body->sealed = sealed;
    body->first = serve_first(stream);
    body->stored = sealed ? record->size : stream->stored;
    body->settled = sealed ? record->size : stream->settled;
    body->size = sealed            ? record->size
                 : stream->chunker ? chunker_next(stream->chunker)
                                   : stream->stored;
    body->chunk_bytes = last ? last->chunk_bytes : self->settings.chunk_bytes;
    body->retention = record->retention;
    body->created_us = record->created_us;
    body->now_us = self->effects.wall_us(self->with);
    body->newest_us = serve_newest(stream);
    body->writing = stream->attached && !sealed;
    body->extents = (uint32_t)stream->chain_count;
    body->under_protected = under_protected(self, stream, 0);
    body->held = (Rill__V1__Status)(stream->state == STREAM_RECOVERING
                                        ? STATUS_HELD
                                        : stream->held);
    body->token = record->writer;
    body->begin = record->writer_begin;
    body->lost_us = record->lost_us;
    body->lost_from = record->lost_from;
    body->lost_to = record->lost_to;
    if (stream->state == STREAM_RECOVERING) {
        recovery_loss_t loss = recovery_loss(stream, now);
        body->n_waits_for = name_waited(self, &loss, to->labels, to->waits_for,
                                        WAITED_MOST);
        body->waits_for = to->waits_for;
    }
    code_t least = core_protection(stream);
    to->code.k = least.k;
    to->code.m = least.m;
    body->protection = &to->code;
    to->asked.k = record->asked.k;
    to->asked.m = record->asked.m;
    body->asked = &to->asked;

    size_t count = 0;
    for (size_t i = 0; i < stream->chain_count; i++)
        count += stream->chain[i]->gap > 0;
    count = count < HOLES_MOST ? count : HOLES_MOST;
    to->holes = zmalloc((count + 1) * sizeof *to->holes);
    to->hole_list = zmalloc((count + 1) * sizeof *to->hole_list);
    for (size_t i = 0; i < stream->chain_count && body->n_holes < count; i++) {
        const extent_t *extent = stream->chain[i];
        if (!extent->gap)
            continue;
        Rill__V1__Hole *hole = &to->holes[body->n_holes];
        rill__v1__hole__init(hole);
        hole->from = extent->base_offset - extent->gap;
        hole->to = extent->base_offset;
        to->hole_list[body->n_holes++] = hole;
    }
    body->holes = to->hole_list;
}

static void
free_described(described_t *described)
{
    free(described->holes);
    free(described->hole_list);
}

static void
on_describe(core_t *self, const peer_t *peer, const message_t *message,
            millis_t now)
{
    const Rill__V1__Describe *question = message->describe;
    stream_t *stream = question->which_case == RILL__V1__DESCRIBE__WHICH_NAME
                           ? core_named(self, question->name)
                           : core_stream(self, question->stream);
    if (!stream) {
        core_refuse(self, peer, message, STATUS_UNKNOWN, NULL, 0);
        return;
    }
    if (stream->state == STREAM_RECOVERING) {
        char text[RECOVERY_TEXT_BYTES];
        core_refuse(self, peer, message, STATUS_HELD,
                    recovery_text(stream, text, now), 0);
        return;
    }
    described_t described;
    describe(self, stream, &described, now);
    message_t answer = MESSAGE(DESCRIBED, described, &described.body,
                               message->request, message->trace);
    self->effects.send(self->with, peer, &answer, NULL);
    free_described(&described);
}

static int
by_name(const void *a, const void *b)
{
    const stream_t *const *left = a, *const *right = b;
    return strcmp((*left)->record.name, (*right)->record.name);
}

static void
on_list(core_t *self, const peer_t *peer, const message_t *message,
        millis_t now)
{
    const Rill__V1__List *question = message->list;
    size_t most = question->most && question->most < LIST_MOST ? question->most
                                                               : LIST_MOST;
    size_t total = zhashx_size(self->by_name), count = 0;
    stream_t **streams = zmalloc((total + 1) * sizeof *streams);
    for (stream_t *stream = zhashx_first(self->by_name); stream;
         stream = zhashx_next(self->by_name))
        if (strcmp(stream->record.name, question->after) > 0)
            streams[count++] = stream;
    qsort(streams, count, sizeof *streams, by_name);

    Rill__V1__Listing listing = RILL__V1__LISTING__INIT;
    listing.more = count > most;
    listing.n_streams = listing.more ? most : count;
    described_t *described = zmalloc((listing.n_streams + 1) *
                                     sizeof *described);
    listing.streams = zmalloc((listing.n_streams + 1) *
                              sizeof *listing.streams);
    for (size_t i = 0; i < listing.n_streams; i++) {
        describe(self, streams[i], &described[i], now);
        described[i].body.n_holes = 0;  //  A list stays short; stat tells
        if (described[i].body.n_waits_for > 1)
            described[i].body.n_waits_for = 1;
        listing.streams[i] = &described[i].body;
    }
    message_t answer = MESSAGE(LISTING, listing, &listing, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer, NULL);
    for (size_t i = 0; i < listing.n_streams; i++)
        free_described(&described[i]);
    free(described);
    free(listing.streams);
    free(streams);
}

//  ---- chunks

uint64_t
serve_head(const stream_t *stream)
{
    return stream->dealt_end > stream->stored ? stream->dealt_end
                                              : stream->stored;
}

void
serve_live(const block_t *block, unsigned slot, millis_t now)
{
    const piece_t *piece = block->pieces[slot];
    core_t *self = block->stream->core;
    if (piece->flags & CHUNK_EMPTY)
        return;
    chunk_header_t header;
    deal_header(block, slot, &header);
    flights_chunk_t chunk = {
        .header = &header,
        .payload = piece->payload,
        .route = RILL__V1__ROUTE__ROUTE_LOCAL,
        .watermark = block->stream->stored,
        .now_us = self->effects.wall_us(self->with),
        .head = serve_head(block->stream),
    };
    relay_on_chunk(self->relay, &chunk, now);
}

void
serve_ask(core_t *self, const peer_t *peer, const message_t *message,
          millis_t now)
{
    const Rill__V1__Ask *ask = message->ask;
    stream_t *stream = core_stream(self, ask->stream);
    status_t status = STATUS_OK;
    uint64_t nearest = 0;
    if (!stream)
        status = STATUS_UNKNOWN;
    else if (stream->state == STREAM_RECOVERING)
        status = STATUS_HELD;
    else if (ask->at_case == RILL__V1__ASK__AT__NOT_SET)
        status = STATUS_ARGUMENT;
    else if (ask->at_case != RILL__V1__ASK__AT_OFFSET) {
        relay_ask_at(self->relay, peer, message, now);
        return;
    } else if (stream->state == STREAM_SEALED &&
               ask->offset >= stream->record.size) {
        status = STATUS_RANGE;
        nearest = stream->record.size;
    } else if (stream->chain_count &&
               ask->offset < serve_first(stream) - stream->chain[0]->gap) {
        status = STATUS_GONE;
        nearest = serve_first(stream);
    } else if (stream->state == STREAM_OPEN && !ask->wait &&
               ask->offset >=
                   (*ask->group ? serve_head(stream) : stream->stored)) {
        status = STATUS_FUTURE;
        nearest = stream->stored;
    }
    if (status != STATUS_OK) {
        core_refuse(self, peer, message, status, NULL, nearest);
        return;
    }
    const char *taken = relay_taken(self->relay, ask, now);
    if (taken) {
        Rill__V1__Refused refused = message_refusal(STATUS_TAKEN, NULL, 0);
        refused.node = message_lend(taken);
        message_t answer = MESSAGE(REFUSED, refused, &refused, message->request,
                                   message->trace);
        self->effects.send(self->with, peer, &answer, NULL);
        return;
    }
    millis_t budget = ask->budget_ms ? ask->budget_ms : ASK_BUDGET_MS;
    budget = millis_least(budget, ASK_BUDGET_MOST_MS);
    relay_ask(self->relay, peer, message, ask->stream, ask->offset,
              now + budget, now);
}

//  ---- removal

status_t
serve_remove(core_t *self, stream_t *stream)
{
    //  Every store that served has to forget it: one that is away may hold
    //  parts of attempts that no extent names.
    uint64_t stores[LIMIT_WORKERS];
    worker_t **all;
    size_t known = membership_all(self->members, &all), count = 0;
    for (size_t i = 0; i < known && count < LIMIT_WORKERS; i++)
        if (all[i]->served || all[i]->state != WORKER_AWAY)
            stores[count++] = all[i]->store;
    for (size_t i = 0; i < stream->chain_count; i++)
        for (uint16_t p = 0; p < stream->chain[i]->width; p++) {
            size_t at = 0;
            while (at < count && stores[at] != stream->chain[i]->stores[p])
                at++;
            if (at == count && count < LIMIT_WORKERS)
                stores[count++] = stream->chain[i]->stores[p];
        }
    uint64_t id = stream->record.id;
    status_t status = catalogue_remove(self->catalogue, id, stream->chain,
                                       stream->chain_count, stores, count);
    if (status != STATUS_OK) {
        core_fail(self, status, "the removal of %s could not be recorded",
                  stream->record.name);
        return status;
    }
    core_note(self, 1, "removed stream=%s", stream->record.name);
    core_drop_stream(self, stream);
    members_add_removed(self, id, stores, count);
    for (size_t i = 0; i < count; i++) {
        worker_t *worker = membership_find(self->members, stores[i]);
        if (worker && worker->state != WORKER_AWAY)
            members_tell_drops(self, worker);
    }
    return STATUS_OK;
}

static void
on_remove(core_t *self, const peer_t *peer, const message_t *message)
{
    stream_t *stream = core_named(self, message->remove->name);
    Rill__V1__Removed removed = RILL__V1__REMOVED__INIT;
    status_t status = STATUS_OK;
    const char *text = NULL;
    if (!stream)
        status = STATUS_UNKNOWN;
    else if (stream->attached && stream->state == STREAM_OPEN) {
        status = STATUS_TAKEN;
        text = "A source is writing it; stop that first.";
    } else {
        removed.stream = stream->record.id;
        status = serve_remove(self, stream);
    }
    if (status != STATUS_OK) {
        core_refuse(self, peer, message, status, text, 0);
        return;
    }
    message_t answer = MESSAGE(REMOVED, removed, &removed, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer, NULL);
}

//  ---- losses

static void
on_settle(core_t *self, const peer_t *peer, const message_t *message,
          millis_t now)
{
    const Rill__V1__Settle *settle = message->settle;
    stream_t *stream = core_named(self, settle->name);
    if (!stream) {
        core_refuse(self, peer, message, STATUS_UNKNOWN, NULL, 0);
        return;
    }
    recovery_loss_t loss = recovery_loss(stream, now);
    Rill__V1__Settled settled = RILL__V1__SETTLED__INIT;
    char labels[LIMIT_WORKERS][CORE_LABEL_BYTES], *waits_for[LIMIT_WORKERS];
    settled.stream = stream->record.id;
    settled.waits = stream->state == STREAM_RECOVERING;
    settled.n_waits_for = name_waited(self, &loss, labels, waits_for,
                                      LIMIT_WORKERS);
    settled.waits_for = waits_for;
    settled.lost_blocks = loss.blocks;
    settled.lost_bytes = loss.bytes;
    settled.open_end = loss.open_end;
    if (settle->accept_loss && settled.waits) {
        settled.accepted = recovery_accept(stream, now);
        if (!settled.accepted) {
            core_refuse(self, peer, message, STATUS_BUSY,
                        "The forwarder has just started and workers may still "
                        "come; ask again in some seconds.",
                        0);
            return;
        }
    }
    message_t answer = MESSAGE(SETTLED, settled, &settled, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer, NULL);
}

//  ---- status

static const char *
state_name(const worker_t *worker)
{
    switch (worker->state) {
    case WORKER_JOINING:
        return "joining";
    case WORKER_WAITING:
        return "waiting";
    case WORKER_LIVE:
        return worker->full ? "full" : "live";
    default:
        return "away";
    }
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

static void
count_streams(const core_t *self, Rill__V1__Report *report)
{
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id)) {
        report->streams++;
        report->open_streams += stream->state != STREAM_SEALED;
        report->under_protected += under_protected(self, stream, 0);
    }
}

static uint64_t
lacking(const core_t *self, uint64_t store)
{
    uint64_t blocks = 0;
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        blocks += under_protected(self, stream, store);
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

static void
on_status(core_t *self, const peer_t *peer, const message_t *message,
          millis_t now)
{
    Rill__V1__Report report = RILL__V1__REPORT__INIT;
    const counters_t *c = &self->counters;
    relay_counts_t served = relay_counts(self->relay);
    const struct {
        const char *name;
        uint64_t value;
    } counted[] = {
        { "messages_in", c->messages_in },
        { "messages_taken", c->messages_taken },
        { "messages_refused", c->messages_refused },
        { "messages_dropped", c->messages_dropped },
        { "messages_unreadable", c->unreadable },
        { "unreadable_too_large", c->too_large },
        { "unreadable_versions", c->versions },
        { "misplaced", c->misplaced },
        { "hellos_repeated", c->repeated_hellos },
        { "inventories_foreign", c->foreign_inventories },
        { "workers_of_no_session", c->unknown_worker },
        { "requests_refused", c->refused },
        { "pieces_of_no_session", c->unknown_session },
        { "pieces_out_of_order", c->out_of_order },
        { "receipts_foreign", c->foreign_receipts },
        { "receipts_stale", c->stale_receipts },
        { "answers_unsent", c->unsent },
        { "sockets_flooded", c->flooded },
        { "blocks_dealt_again", c->redealt_blocks },
        { "workers_departed", c->departures },
        { "reads_from_memory", c->memory_reads },
        { "reads_kept", c->cached_reads },
        { "reads_from_workers", c->store_reads },
        { "reads_decoded", c->decoded_reads },
        { "reads_corrupt", c->corrupt_reads },
        { "reads_late", c->late_fetches },
        { "records_swept", c->swept_records },
        { "streams_unknown", c->unknown_streams },
        { "sessions", served.sessions },
        { "grants", served.grants },
        { "chunks_published", served.published },
        { "chunks_delivered", served.delivered },
        { "bytes_delivered", served.delivered_bytes },
        { "bytes_given", served.given_bytes },
    };
    enum { COUNTERS = sizeof counted / sizeof counted[0] };
    Rill__V1__Counter counters[COUNTERS], *counter_list[COUNTERS];
    for (size_t i = 0; i < COUNTERS; i++) {
        rill__v1__counter__init(&counters[i]);
        counters[i].name = (char *)(uintptr_t)counted[i].name;
        counters[i].value = counted[i].value;
        counter_list[i] = &counters[i];
    }
    report.n_counters = COUNTERS;
    report.counters = counter_list;

    worker_t **all;
    size_t workers = membership_all(self->members, &all);
    workers = workers < LIMIT_WORKERS ? workers : LIMIT_WORKERS;
    uint64_t lost[LIMIT_WORKERS];
    char lost_names[LIMIT_WORKERS][CORE_LABEL_BYTES];
    char away[] = "away";
    size_t lost_count = lost_stores(self, lost);
    Rill__V1__WorkerReport *bodies = zmalloc((workers + lost_count + 1) *
                                             sizeof *bodies);
    report.workers = zmalloc((workers + lost_count + 1) *
                             sizeof *report.workers);
    uint64_t least = UINT64_MAX, most = 0, sum = 0, live = 0;
    for (size_t i = 0; i < workers; i++) {
        Rill__V1__WorkerReport *body = &bodies[i];
        rill__v1__worker_report__init(body);
        body->name = all[i]->name;
        body->store = all[i]->store;
        body->state = (char *)(uintptr_t)state_name(all[i]);
        body->chunks = all[i]->chunks;
        body->bytes = all[i]->bytes;
        body->free_bytes = all[i]->free_bytes;
        body->space_bytes = all[i]->space_bytes;
        body->unreceipted = all[i]->outstanding;
        body->reach = all[i]->reach;
        body->under_repair = lacking(self, all[i]->store);
        report.workers[report.n_workers++] = body;
        if (all[i]->state != WORKER_LIVE)
            continue;
        live++;
        sum += all[i]->bytes;
        least = all[i]->bytes < least ? all[i]->bytes : least;
        most = all[i]->bytes > most ? all[i]->bytes : most;
    }
    for (size_t i = 0; i < lost_count; i++) {
        Rill__V1__WorkerReport *body = &bodies[workers + i];
        rill__v1__worker_report__init(body);
        body->name = core_label(self, lost[i], lost_names[i]);
        body->store = lost[i];
        body->state = away;
        body->under_repair = lacking(self, lost[i]);
        report.workers[report.n_workers++] = body;
    }
    if (sum)
        report.imbalance = (double)(most - least) /
                           ((double)sum / (double)live);
    count_streams(self, &report);

    Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
    worker_t *queue[1];
    code_t plain = { 0, 0 }, now_code;
    bool narrower;
    if (placement_code(membership_queue(self->members, queue, 1), plain, false,
                       &now_code, &narrower) == STATUS_OK) {
        code.k = now_code.k;
        code.m = now_code.m;
    }
    char role[] = "forwarder", version[] = RILL_VERSION;
    report.role = role;
    report.node = self->name;
    report.version = version;
    report.cluster = catalogue_cluster(self->catalogue);
    report.term = catalogue_term(self->catalogue);
    report.protection = &code;
    report.received_bytes = self->received_bytes;
    report.stored_bytes = self->stored_bytes;
    report.settled_bytes = self->settled_bytes;
    report.memory_bytes = self->memory;
    report.catalogue_bytes = catalogue_bytes(self->catalogue);
    report.uptime_ms = now - self->began;
    recovery_loss_t waited;
    char labels[WAITED_MOST][CORE_LABEL_BYTES], *waits_for[WAITED_MOST];
    count_waiting(self, &report, &waited, now);
    report.n_waits_for = name_waited(self, &waited, labels, waits_for,
                                     WAITED_MOST);
    report.waits_for = waits_for;
    relay_told_t told;
    relay_tell(self->relay, message->status_ask->from, &told);
    report.carried = told.list;
    report.n_carried = told.count;
    report.next = told.next;
    if (self->settings.sink)
        report.tap_at = message_lend(self->settings.sink->at);
    message_t answer = MESSAGE(REPORT, report, &report, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer, NULL);
    free(report.workers);
    free(bodies);
}

void
serve_message(core_t *self, const peer_t *peer, const message_t *message,
              millis_t now)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_DESCRIBE:
        on_describe(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_LIST:
        on_list(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_REMOVE:
        on_remove(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_SETTLE:
        on_settle(self, peer, message, now);
        break;
    default:
        on_status(self, peer, message, now);
        break;
    }
}
