/*  Readers: what streams there are, what they hold, their chunks; removal.
 */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    LIST_MOST = 100,
    ASK_BUDGET_MS = 5000,
    ASK_BUDGET_MOST_MS = 60000,
    HOLES_MOST = 200,
    WAITED_MOST = 8,  //  Stores that a stream is said to wait for
};

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

size_t
serve_waited(core_t *self, const recovery_loss_t *loss,
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
    body->under_protected = health_lacks(self, stream, 0);
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
        body->n_waits_for = serve_waited(self, &loss, to->labels, to->waits_for,
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
    (void)self->effects.send(self->with, peer, &answer, NULL);
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
    (void)self->effects.send(self->with, peer, &answer, NULL);
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
        (void)self->effects.send(self->with, peer, &answer, NULL);
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
    (void)self->effects.send(self->with, peer, &answer, NULL);
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
    settled.n_waits_for = serve_waited(self, &loss, labels, waits_for,
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
    (void)self->effects.send(self->with, peer, &answer, NULL);
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
        health_answer(self, peer, message, now);
        break;
    }
}
