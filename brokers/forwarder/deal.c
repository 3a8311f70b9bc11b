/*  Blocks: begun, dealt, receipted, acknowledged, settled, dealt again.
 *
 *  A departure is recovery in place. Every unsettled block that had a part at
 *  the store that left, and all behind it, are regrouped from memory into a
 *  new extent; the chain keeps the old extents until the new blocks have
 *  reached what was acknowledged before (R6, R9).
 */
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "origin.h"

enum { GATHER_MS = 1000 };  //  Workers that return are waited for so long

piece_t *
piece_new(uint64_t offset, buffer_t *payload, micros_t created_us)
{
    piece_t *piece = calloc(1, sizeof *piece);
    INVARIANT(piece);
    piece->offset = offset;
    piece->payload = payload;
    piece->crc = checksum_crc32c(buffer_bytes(payload), buffer_size(payload));
    piece->created_us = created_us;
    return piece;
}

void
piece_free(piece_t **piece_p)
{
    piece_t *piece = *piece_p;
    *piece_p = NULL;
    if (!piece)
        return;
    buffer_unref(&piece->payload);
    free(piece->marks);
    free(piece);
}

static uint64_t
piece_end(const piece_t *piece)
{
    return piece->offset + buffer_size(piece->payload);
}

//  ---- the ring

block_t *
deal_ring(stream_t *stream, size_t nth)
{
    INVARIANT(nth < stream->ring_count);
    return stream->ring[(stream->ring_first + nth) % stream->ring_size];
}

static void
ring_append(stream_t *stream, block_t *block)
{
    if (stream->ring_count == stream->ring_size) {
        size_t size = stream->ring_size ? 2 * stream->ring_size : 16;
        block_t **ring = calloc(size, sizeof *ring);
        INVARIANT(ring);
        for (size_t i = 0; i < stream->ring_count; i++)
            ring[i] = deal_ring(stream, i);
        free(stream->ring);
        stream->ring = ring;
        stream->ring_size = size;
        stream->ring_first = 0;
    }
    size_t at = (stream->ring_first + stream->ring_count++) % stream->ring_size;
    stream->ring[at] = block;
}

static unsigned
block_slots(const block_t *block)
{
    return block->extent->code.k + block->extent->code.m;
}

static bool
block_complete(const block_t *block)
{
    return block->dealt == block->extent->code.k;
}

static bool
block_settled(const block_t *block)
{
    for (unsigned slot = 0; slot < block_slots(block); slot++)
        if (block->slots[slot] != SLOT_RECEIPTED)
            return false;
    return block_complete(block);
}

//  The block that is being filled, or NULL.
static block_t *
open_block(stream_t *stream)
{
    if (stream->ring_count == 0)
        return NULL;
    block_t *last = deal_ring(stream, stream->ring_count - 1);
    return block_complete(last) ? NULL : last;
}

static uint64_t
block_end(const block_t *block)
{
    return piece_end(block->pieces[block->dealt - 1]);
}

static size_t
block_bytes(const block_t *block)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < block->dealt; i++)
        bytes += buffer_size(block->pieces[i]->payload);
    for (unsigned i = 0; i < block->extent->code.m; i++)
        if (block->parities[i])
            bytes += buffer_size(block->parities[i]);
    return bytes;
}

//  Unreceipted pushes of the block are awaited no longer.
static void
cancel_pushes(core_t *self, const block_t *block)
{
    for (unsigned slot = 0; slot < block_slots(block); slot++)
        if (block->slots[slot] == SLOT_PUSHED) {
            worker_t *worker = membership_find(
                self->members,
                placement_store(block->extent, block->number, slot));
            if (worker)
                membership_cancelled(self->members, worker,
                                     block->tickets[slot], self->now);
        }
}

//  Free a block; pieces that were taken out of it are left alone.
static void
block_free(block_t *block)
{
    core_t *self = block->stream->core;
    self->parity -= block->parity_bytes;
    if (!block_settled(block))
        cancel_pushes(self, block);
    outbox_forget(block);
    for (unsigned i = 0; i < block->extent->code.k; i++)
        piece_free(&block->pieces[i]);
    for (unsigned i = 0; i < block->extent->code.m; i++)
        buffer_unref(&block->parities[i]);
    free(block);
}

//  ---- extents

static void
free_unused_pending(stream_t *stream)
{
    size_t kept = 0;
    for (size_t i = 0; i < stream->pending_count; i++) {
        extent_t *extent = stream->pending[i];
        bool used = extent == stream->extent;
        for (size_t b = 0; b < stream->ring_count && !used; b++)
            used = deal_ring(stream, b)->extent == extent;
        if (used)
            stream->pending[kept++] = extent;
        else
            extent_free(extent);
    }
    stream->pending_count = kept;
}

static void
append_extent(extent_t ***list, size_t *count, extent_t *extent)
{
    *list = realloc(*list, (*count + 1) * sizeof **list);
    INVARIANT(*list);
    (*list)[(*count)++] = extent;
}

static status_t
too_few(core_t *self)
{
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    for (size_t i = 0; i < count; i++)
        if (all[i]->state == WORKER_LIVE && all[i]->full)
            return STATUS_FULL;
    return STATUS_HELD;
}

//  Workers come back together: what waited for them all is not dealt to the
//  first two, as long as others tell what they hold, if that does not take long.
static bool
is_gathering(const core_t *self)
{
    worker_t **all;
    size_t count = membership_all(self->members, &all), joining = 0;
    for (size_t i = 0; i < count; i++)
        joining += all[i]->state == WORKER_JOINING;
    return joining && self->enough_at != MILLIS_NEVER &&
           self->now < self->enough_at + core_patience(self, GATHER_MS);
}

//  A new extent for the chunk that comes next, or why there can be none.
static status_t
make_extent(stream_t *stream, const piece_t *next)
{
    core_t *self = stream->core;
    worker_t *queue[LIMIT_WORKERS];
    size_t workers = membership_queue(self->members, queue, LIMIT_WORKERS);
    if (workers > LIMIT_WORKERS)
        workers = LIMIT_WORKERS;
    code_t code;
    bool narrower;
    if (placement_code(workers, stream->record.asked, stream->record.strict,
                       &code, &narrower) != STATUS_OK)
        return too_few(self);
    if (stream->held == STATUS_HELD && is_gathering(self)) {
        self->crowded = true;
        core_soon(self, self->enough_at + core_patience(self, GATHER_MS));
        return STATUS_HELD;
    }
    //  A new stream is in the catalogue before a store has anything of it.
    status_t status = core_record_stream(self, stream);
    if (status != STATUS_OK)
        return status;
    if (stream->extent && stream->extent_blocks == 0) {
        stream->extent = NULL;  //  Nothing was dealt into it
        free_unused_pending(stream);
    }

    uint64_t bytes[LIMIT_WORKERS];
    extent_t *extent = extent_new((uint16_t)workers);
    for (size_t i = 0; i < workers; i++) {
        extent->stores[i] = queue[i]->store;
        catalogue_call(self->catalogue, queue[i]->store, queue[i]->name);
        bytes[i] = queue[i]->bytes;
    }
    extent->epoch = catalogue_term(self->catalogue) << 32 | ++self->epochs;
    extent->base_index = stream->next_index;
    if (extent->base_index == stream->jumped_to)
        extent->index_gap = stream->jump;
    extent->base_offset = next->offset;
    extent->gap = next->offset - stream->dealt_end;
    extent->writer = next->writer;
    extent->chunk_bytes = (uint32_t)buffer_size(next->payload);
    if (stream->chunker && chunker_size(stream->chunker) > extent->chunk_bytes)
        extent->chunk_bytes = chunker_size(stream->chunker);
    //  No later than the blocks of it, no earlier than those before it.
    micros_t clock = retention_clock(&self->retention, self->now);
    extent->begun_us = clock > stream->block_us ? clock : stream->block_us;
    extent->code = code;
    uint64_t written = next->offset - stream->record.writer_begin;
    bool known = stream->record.size_known && stream->record.size >= written;
    extent->start = placement_start(bytes, (uint16_t)workers, code, known,
                                    known ? stream->record.size - written : 0,
                                    extent->chunk_bytes);
    append_extent(&stream->pending, &stream->pending_count, extent);
    if (code.k != stream->code.k || code.m != stream->code.m)
        ingest_owe(stream);
    stream->code = code;
    stream->narrower = narrower;
    stream->extent = extent;
    stream->extent_blocks = 0;
    stream->extent_version = membership_version(self->members);
    core_note(self, 2,
              "extent stream=%s epoch=%" PRIu64 " index=%" PRIu64
              " offset=%" PRIu64 " code=%u+%u workers=%zu",
              stream->record.name, extent->epoch, extent->base_index,
              extent->base_offset, code.k, code.m, workers);
    return STATUS_OK;
}

//  ---- pushing

void
deal_header(const block_t *block, unsigned slot, chunk_header_t *header_r)
{
    const extent_t *extent = block->extent;
    const stream_t *stream = block->stream;
    const piece_t *first = block->pieces[0];
    chunk_header_t header = {
        .key = { .stream = stream->record.id,
                 .epoch = extent->epoch,
                 .block = block->number,
                 .slot = slot },
        .code = extent->code,
        .base_index = extent->base_index,
        .base_offset = extent->base_offset,
        .block_us = block->block_us,
        .writer = extent->writer,
        .settled = block->settled_mark,
        .watermark = block->watermark,
        .width = extent->width,
        .position = placement_position(extent, block->number, slot),
        .start = extent->start,
        .kind = (uint8_t)stream->record.kind,
        .retention = block->retention,
        .asked = block->asked,
    };
    if (block->number == 0 && slot == 0 &&
        (extent->gap || extent->base_index == 0))
        header.flags |= CHUNK_NEW_WRITER;
    memcpy(header.name, stream->record.name, sizeof header.name);
    if (slot < extent->code.k) {
        const piece_t *piece = block->pieces[slot];
        header.offset = piece->offset;
        header.length = (uint32_t)buffer_size(piece->payload);
        header.created_us = piece->created_us;
        header.flags |= piece->flags;
        header.marks_count = piece->marks_count;
        for (size_t i = 0; i < piece->marks_count; i++)
            header.marks[i] = piece->marks[i];
        header.payload_crc = piece->crc;
    } else {
        const buffer_t *parity = block->parities[slot - extent->code.k];
        header.offset = first->offset;
        header.length = (uint32_t)buffer_size(parity);
        header.created_us = first->created_us;
        header.payload_crc = checksum_crc32c(buffer_bytes(parity),
                                             buffer_size(parity));
    }
    *header_r = header;
}

static buffer_t *
slot_payload(const block_t *block, unsigned slot)
{
    unsigned k = block->extent->code.k;
    return slot < k ? block->pieces[slot]->payload : block->parities[slot - k];
}

bool
deal_push(block_t *block, unsigned slot, millis_t now)
{
    core_t *self = block->stream->core;
    worker_t *worker = membership_find(
        self->members, placement_store(block->extent, block->number, slot));
    if (!worker || worker->state != WORKER_LIVE)
        return true;  //  It left; this block is dealt again right after

    chunk_header_t header;
    chunk_on_wire_t chunk;
    deal_header(block, slot, &header);
    message_from_chunk(&header, &chunk);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    store.term = catalogue_term(self->catalogue);
    store.session = worker->session;
    store.chunk = &chunk.header;
    message_t message = MESSAGE(STORE, store, &store, 0, 0);
    status_t status = self->effects.push(self->with, worker->session, &message,
                                         slot_payload(block, slot));
    if (status == STATUS_BUSY)
        return false;
    block->slots[slot] = SLOT_PUSHED;
    block->tickets[slot] = membership_pushed(self->members, worker, now);
    events_dealt(block, slot, &header, worker);
    return true;
}

static void
send_slot(block_t *block, unsigned slot, millis_t now)
{
    block->slots[slot] = SLOT_READY;
    outbox_put(block, slot, now);
}

//  ---- filling blocks

//  When the open block is closed as it is: nobody waits longer for a live byte.
static millis_t
block_due(stream_t *stream)
{
    block_t *block = open_block(stream);
    if (!block || stream->record.kind != KIND_LIVE)
        return MILLIS_NEVER;
    uint32_t buffer_ms = stream->record.buffer_ms
                             ? stream->record.buffer_ms
                             : stream->core->settings.buffer_ms;
    return block->opened + (millis_t)block->extent->code.k * buffer_ms;
}

//  At most what the parity of a block that begins with `first` will take.
static size_t
parity_most(const stream_t *stream, const piece_t *first)
{
    size_t longest = buffer_size(first->payload);
    if (stream->longest > longest)
        longest = stream->longest;
    if (stream->chunker && chunker_size(stream->chunker) > longest)
        longest = chunker_size(stream->chunker);
    return stream->extent->code.m * (CHUNK_HEADER_BYTES + longest);
}

//  Whether the memory carries the parity of one block more beside all payload
//  that is here or granted (house 18): short chunks have more of it than their
//  own length. One block may always go on.
static bool
room_for_parity(const stream_t *stream, const piece_t *first)
{
    const core_t *self = stream->core;
    return self->parity == 0 ||
           self->owed + self->parity + parity_most(stream, first) <=
               self->settings.memory_bytes;
}

static void
set_parity(block_t *block, size_t bytes)
{
    core_t *self = block->stream->core;
    self->parity = self->parity - block->parity_bytes + bytes;
    block->parity_bytes = bytes;
}

static block_t *
begin_block(stream_t *stream, const piece_t *first, millis_t now)
{
    block_t *block = calloc(1, sizeof *block);
    INVARIANT(block);
    block->stream = stream;
    block->extent = stream->extent;
    block->number = stream->extent_blocks++;
    block->opened = now;
    micros_t clock = retention_clock(&stream->core->retention, now);
    if (clock > stream->block_us)
        stream->block_us = clock;
    if (block->extent->begun_us > stream->block_us)
        stream->block_us = block->extent->begun_us;
    block->block_us = stream->block_us;
    block->settled_mark = stream->settled_index;
    block->watermark = stream->state == STREAM_RECOVERING ? stream->settled
                                                          : stream->stored;
    block->asked = stream->record.asked;
    block->retention = stream->record.retention;
    set_parity(block, parity_most(stream, first));
    ring_append(stream, block);
    core_soon(stream->core, block_due(stream));
    return block;
}

//  All k are in: compute and push the parity.
static void
finish_block(block_t *block, millis_t now)
{
    code_t code = block->extent->code;
    if (code.m == 0)
        return;
    size_t longest = 0;
    for (unsigned i = 0; i < code.k; i++)
        if (buffer_size(block->pieces[i]->payload) > longest)
            longest = buffer_size(block->pieces[i]->payload);
    parity_t *parity = parity_new(code, CHUNK_HEADER_BYTES + longest);
    for (unsigned i = 0; i < code.k; i++) {
        chunk_header_t header;
        uint8_t fixed[CHUNK_HEADER_BYTES];
        deal_header(block, i, &header);
        chunk_header_pack(&header, fixed);
        parity_add(parity, i, fixed, block->pieces[i]->payload);
    }
    size_t bytes = 0;
    for (unsigned i = 0; i < code.m; i++) {
        block->parities[i] = parity_take(parity, i);
        bytes += buffer_size(block->parities[i]);
        send_slot(block, code.k + i, now);
    }
    block->stream->core->memory += bytes;
    set_parity(block, bytes);
    parity_destroy(&parity);
}

//  Put a piece into the open block.
static void
place(stream_t *stream, block_t *block, piece_t *piece, millis_t now)
{
    unsigned slot = block->dealt++;
    piece->index = stream->next_index++;
    INVARIANT(piece->index ==
              placement_index(block->extent, block->number, slot));
    block->pieces[slot] = piece;
    stream->dealt_end = piece_end(piece);
    if (piece->flags & CHUNK_END)
        stream->ended = true;
    send_slot(block, slot, now);
    serve_live(block, slot, now);
    if (block_complete(block))
        finish_block(block, now);
    if (stream->chunker)
        chunker_block(stream->chunker, block_complete(block) ? 0 : block->dealt,
                      block->extent->code.k);
}

//  An empty chunk behind `like`, or at the end of what its source brought.
static piece_t *
empty_piece(stream_t *stream, const piece_t *like)
{
    uint64_t end = stream->dealt_end;
    if (stream->chunker && chunker_next(stream->chunker) > end)
        end = chunker_next(stream->chunker);
    piece_t *piece = piece_new(like ? piece_end(like) : end, buffer_new(0),
                               like ? like->created_us : stream->last_us);
    piece->writer = like ? like->writer : stream->record.writer;
    piece->flags = CHUNK_EMPTY;
    return piece;
}

//  Whether what is dealt reaches as far as the source has brought it: one that
//  brought nothing may begin behind a hole.
static bool
reaches(const stream_t *stream, uint64_t end)
{
    return !stream->chunker || end >= chunker_next(stream->chunker);
}

//  Whether nothing follows the piece, behind which `more` are to be dealt.
static bool
is_last(const stream_t *stream, const piece_t *piece, size_t more)
{
    return stream->ending && more == 0 && reaches(stream, piece_end(piece));
}

//  Fill the open block with empty chunks, the last of them END if it is so.
static void
fill(stream_t *stream, bool end, millis_t now)
{
    block_t *block;
    while ((block = open_block(stream)) != NULL) {
        piece_t *piece = empty_piece(stream, block->pieces[block->dealt - 1]);
        if (end && block->dealt + 1u == block->extent->code.k)
            piece->flags |= CHUNK_END;
        place(stream, block, piece, now);
    }
}

void
deal_fill(stream_t *stream, millis_t now)
{
    fill(stream, false, now);
}

//  The block that `piece` goes into, or NULL when there are too few workers or
//  too little memory.
static block_t *
block_for(stream_t *stream, const piece_t *piece, millis_t now)
{
    core_t *self = stream->core;
    block_t *block = open_block(stream);
    bool apart = piece->offset != stream->dealt_end ||
                 (stream->extent && piece->writer != stream->extent->writer);
    if (block && apart) {
        fill(stream, false, now);
        block = NULL;
    }
    if (block)
        return block;
    if (!stream->extent || apart || horizon_ends_extent(stream, now) ||
        stream->extent_version != membership_version(self->members)) {
        status_t held = make_extent(stream, piece);
        if (held != stream->held)
            ingest_owe(stream);
        stream->held = held;
        if (held != STATUS_OK)
            return NULL;
    }
    if (!room_for_parity(stream, piece)) {
        stream->core->crowded = true;
        return NULL;
    }
    return begin_block(stream, piece, now);
}

//  Deal a piece. False: it cannot be dealt now.
static bool
deal_now(stream_t *stream, piece_t *piece, bool last, millis_t now)
{
    block_t *block = block_for(stream, piece, now);
    if (!block)
        return false;
    if (last && block->dealt + 1u == block->extent->code.k)
        piece->flags |= CHUNK_END;
    place(stream, block, piece, now);
    return true;
}

void
deal_piece(stream_t *stream, piece_t *piece, bool last, millis_t now)
{
    if (buffer_size(piece->payload) > stream->longest)
        stream->longest = buffer_size(piece->payload);
    if (zlistx_size(stream->waiting) || !deal_now(stream, piece, last, now))
        zlistx_add_end(stream->waiting, piece);
}

//  Deal what was kept back for Finish.
void
deal_final(stream_t *stream, millis_t now)
{
    piece_t *piece = stream->final;
    stream->final = NULL;
    if (piece)
        deal_piece(stream, piece, stream->ending, now);
}

void
deal_end(stream_t *stream, millis_t now)
{
    INVARIANT(stream->ending);
    if (stream->ended || zlistx_size(stream->waiting))
        return;
    if (!open_block(stream) || !reaches(stream, stream->dealt_end))
        deal_piece(stream, empty_piece(stream, NULL), true, now);
    fill(stream, true, now);
}

//  All there is was dealt: does anything follow that could fill the block? What
//  was acknowledged before does not wait for it.
static void
deal_rest(stream_t *stream, millis_t now)
{
    block_t *block = open_block(stream);
    if (stream->ending)
        deal_end(stream, now);
    else if (stream->state == STREAM_RECOVERING || !stream->attached ||
             (block && block->pieces[0]->offset < stream->stored))
        deal_fill(stream, now);
}

//  Deal what waits for workers or for room, in order.
static void
deal_stream_waiting(stream_t *stream, millis_t now)
{
    zlistx_t *waiting = stream->waiting;
    piece_t *piece = zlistx_first(waiting);
    if (!piece)
        return;
    for (; piece; piece = zlistx_first(waiting)) {
        bool last = is_last(stream, piece, zlistx_size(waiting) - 1);
        if (!deal_now(stream, piece, last, now))
            return;
        zlistx_detach(waiting, NULL);
    }
    deal_rest(stream, now);
}

void
deal_waiting(core_t *self, millis_t now)
{
    uint64_t version = membership_version(self->members);
    if (version == self->dealt_version && !self->crowded)
        return;
    worker_t *queue[1];
    if (membership_queue(self->members, queue, 1) < 2)
        self->enough_at = MILLIS_NEVER;
    else if (self->enough_at == MILLIS_NEVER)
        self->enough_at = now;
    self->dealt_version = version;
    self->crowded = false;
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        deal_stream_waiting(stream, now);
}

//  ---- dealing again

//  The filling of an ending is made anew for the new code. What is empty behind
//  a hole is no filling: it tells where the stream ends.
static void
drop_filling(const stream_t *stream, zlistx_t *pieces)
{
    piece_t *piece;
    while ((piece = zlistx_last(pieces)) != NULL &&
           piece->flags & CHUNK_EMPTY) {
        void *at = zlistx_cursor(pieces);
        const piece_t *before = zlistx_prev(pieces);
        if (piece->offset != (before ? piece_end(before) : stream->dealt_end))
            return;
        zlistx_detach(pieces, at);
        piece_free(&piece);
    }
}

void
deal_again(stream_t *stream, size_t from, uint64_t store, millis_t now)
{
    core_t *self = stream->core;
    zlistx_t *pieces = zlistx_new();
    const extent_t *left = NULL;
    for (size_t i = from; i < stream->ring_count; i++) {
        block_t *block = deal_ring(stream, i);
        if (block->extent != left)
            stock_dealt_again(stream, block->extent, now);
        left = block->extent;
        events_redealt(block, store);
        self->memory -= block_bytes(block);
        for (unsigned s = 0; s < block->dealt; s++) {
            block->pieces[s]->flags &= (uint16_t)~CHUNK_END;
            self->memory += buffer_size(block->pieces[s]->payload);
            zlistx_add_end(pieces, block->pieces[s]);
            block->pieces[s] = NULL;
        }
        counters_up(&self->counters, COUNTER_blocks_redealt_total);
        block_free(block);
    }
    stream->ring_count = from;
    if (stream->ring_stored > from)
        stream->ring_stored = from;
    if (stream->ring_safe > from)
        stream->ring_safe = from;
    block_t *before = from ? deal_ring(stream, from - 1) : NULL;
    stream->dealt_end = before ? block_end(before) : stream->settled;
    stream->next_index = before ? before->pieces[before->dealt - 1]->index + 1
                                : stream->settled_index;
    stream->extent = NULL;
    stream->ended = false;
    free_unused_pending(stream);

    //  What waited comes behind what was dealt.
    piece_t *piece;
    while ((piece = zlistx_detach(stream->waiting, NULL)) != NULL)
        zlistx_add_end(pieces, piece);
    if (stream->ending)
        drop_filling(stream, pieces);
    while ((piece = zlistx_detach(pieces, NULL)) != NULL)
        deal_piece(stream, piece, is_last(stream, piece, zlistx_size(pieces)),
                   now);
    zlistx_destroy(&pieces);
    deal_rest(stream, now);
}

void
deal_departure(core_t *self, uint64_t store, bool gone, millis_t now)
{
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open)) {
        for (size_t i = 0; i < stream->ring_count; i++) {
            block_t *block = deal_ring(stream, i);
            int slot = placement_slot_of(block->extent, block->number, store);
            if (slot < 0 || (!gone && block->slots[slot] == SLOT_RECEIPTED))
                continue;
            core_note(self, 1,
                      "dealt-again stream=%s blocks=%zu epoch=%" PRIu64,
                      stream->record.name, stream->ring_count - i,
                      block->extent->epoch);
            deal_again(stream, i, store, now);
            break;
        }
    }
}

//  ---- receipts

static bool
block_stored(const block_t *block)
{
    if (!block_complete(block))
        return false;
    unsigned receipts = 0;
    for (unsigned slot = 0; slot < block_slots(block); slot++)
        receipts += block->slots[slot] == SLOT_RECEIPTED;
    return receipts >= placement_quorum(block->extent->code);
}

//  Record the extents of blocks [stored, upto) before they are acknowledged.
static status_t
switch_chain(stream_t *stream, size_t upto)
{
    extent_t **added = NULL;
    size_t added_count = 0;
    for (size_t i = stream->ring_stored; i < upto; i++) {
        extent_t *extent = deal_ring(stream, i)->extent;
        bool pending = false;
        for (size_t p = 0; p < stream->pending_count && !pending; p++)
            pending = stream->pending[p] == extent;
        if (pending && (added_count == 0 || added[added_count - 1] != extent))
            append_extent(&added, &added_count, extent);
    }
    if (added_count == 0)
        return STATUS_OK;

    size_t kept = 0;
    while (kept < stream->chain_count &&
           stream->chain[kept]->base_index < placement_index_before(added[0]))
        kept++;
    //  A new stream has no chain at all, and no place in it.
    size_t gone = stream->chain_count - kept;
    status_t status = catalogue_switch(stream->core->catalogue, &stream->record,
                                       gone ? stream->chain + kept : NULL, gone,
                                       added, added_count);
    if (status != STATUS_OK) {
        free(added);
        return status;
    }
    for (size_t i = kept; i < stream->chain_count; i++)
        extent_free(stream->chain[i]);
    stream->chain_count = kept;
    for (size_t i = 0; i < added_count; i++) {
        append_extent(&stream->chain, &stream->chain_count, added[i]);
        size_t p = 0;
        while (stream->pending[p] != added[i])
            p++;
        stream->pending[p] = stream->pending[--stream->pending_count];
    }
    free(added);
    return STATUS_OK;
}

void
deal_seal(stream_t *stream, millis_t now)
{
    core_t *self = stream->core;
    stream->record.sealed = true;
    stream->record.size = stream->settled;
    stream->record.end_index = stream->settled_index;
    stream->record.newest_us = stream->block_us;
    status_t status = catalogue_put(self->catalogue, &stream->record);
    if (status != STATUS_OK) {
        stream->record.sealed = false;
        core_fail(self, status, "the seal of %s could not be recorded",
                  stream->record.name);
        return;
    }
    core_note(self, 1, "sealed stream=%s bytes=%" PRIu64, stream->record.name,
              stream->record.size);
    stream->state = STREAM_SEALED;
    deal_stop(stream);
    seek_progress(stream, now);
    relay_on_stream(self->relay, stream->record.id, now);
}

//  Payload of a block at or above `from`.
static uint64_t
fresh_bytes(const block_t *block, uint64_t from)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < block->dealt; i++)
        if (block->pieces[i]->offset >= from)
            bytes += buffer_size(block->pieces[i]->payload);
    return bytes;
}

//  Acknowledge the blocks up to ring place `upto`, their extents recorded.
static bool
acknowledge(stream_t *stream, size_t upto, millis_t now)
{
    core_t *self = stream->core;
    block_t *last = deal_ring(stream, upto - 1);
    status_t status = switch_chain(stream, upto);
    if (status != STATUS_OK) {
        core_fail(self, status, "the extents of %s could not be recorded",
                  stream->record.name);
        return false;
    }
    for (size_t i = stream->ring_stored; i < upto; i++) {
        const block_t *block = deal_ring(stream, i);
        self->counters.values[COUNTER_stored_bytes_total] += fresh_bytes(
            block, stream->stored);
        counters_took(&self->counters, TIME_acknowledgement_seconds,
                      now - block->opened);
    }
    stream->ring_stored = upto;
    stream->stored = block_end(last);
    ingest_owe(stream);
    if (stream->state == STREAM_RECOVERING) {
        stream->state = STREAM_OPEN;
        stream->redealing = false;
        core_note(self, 1, "recovered stream=%s stored=%" PRIu64,
                  stream->record.name, stream->stored);
    }
    seek_progress(stream, now);
    return true;
}

//  Let go of the oldest block, which is settled. True: it was the END.
static bool
settle(stream_t *stream)
{
    core_t *self = stream->core;
    block_t *block = deal_ring(stream, 0);
    piece_t *last = block->pieces[block->dealt - 1];
    bool end = last->flags & CHUNK_END;
    uint64_t from = stream->recovered ? stream->recovered_to : 0;
    self->counters.values[COUNTER_settled_bytes_total] += fresh_bytes(block,
                                                                      from);
    stream->settled = block_end(block);
    stream->settled_index = last->index + 1;
    ingest_owe(stream);
    self->memory -= block_bytes(block);
    stream->ring_first = (stream->ring_first + 1) % stream->ring_size;
    stream->ring_count--;
    stream->ring_stored--;
    stream->ring_safe--;
    block_free(block);
    ingest_reckon(stream);
    return end;
}

//  Acknowledge and settle what the receipts allow, in order.
static void
advance(stream_t *stream, millis_t now)
{
    //  What a restart found may have been said to be settled (invariant 1b):
    //  it is switched to when all of it is settled anew.
    bool (*safe)(const block_t *block) = stream->state == STREAM_RECOVERING
                                             ? block_settled
                                             : block_stored;
    while (stream->ring_safe < stream->ring_count &&
           safe(deal_ring(stream, stream->ring_safe)))
        stream->ring_safe++;
    size_t upto = stream->ring_safe;
    //  R9: the chain switches when all that was acknowledged is safe anew.
    if (upto > stream->ring_stored &&
        block_end(deal_ring(stream, upto - 1)) >= stream->stored &&
        !acknowledge(stream, upto, now))
        return;
    while (stream->ring_stored > 0 && block_settled(deal_ring(stream, 0)))
        if (settle(stream)) {
            deal_seal(stream, now);
            return;
        }
}

//  The block of a key that is not settled, or NULL.
static block_t *
block_of_key(stream_t *stream, uint64_t epoch, uint64_t number)
{
    size_t low = 0, high = stream->ring_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        block_t *block = deal_ring(stream, middle);
        if (block->extent->epoch < epoch ||
            (block->extent->epoch == epoch && block->number < number))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == stream->ring_count)
        return NULL;
    block_t *block = deal_ring(stream, low);
    return block->extent->epoch == epoch && block->number == number ? block
                                                                    : NULL;
}

static void
take_receipt(core_t *self, worker_t *worker, stream_t *stream,
             const Rill__V1__ChunkKey *key, millis_t now)
{
    block_t *block = block_of_key(stream, key->epoch, key->block);
    if (!block || key->slot >= block_slots(block) ||
        placement_store(block->extent, block->number, key->slot) !=
            worker->store ||
        block->slots[key->slot] != SLOT_PUSHED) {
        counters_up(&self->counters, COUNTER_faults_total_receipt_stale);
        return;
    }
    block->slots[key->slot] = SLOT_RECEIPTED;
    worker->chunks++;
    worker->bytes += buffer_size(slot_payload(block, key->slot));
    membership_receipted(self->members, worker, block->tickets[key->slot], now);
}

void
deal_receipt(core_t *self, const Rill__V1__Receipt *receipt, millis_t now)
{
    worker_t *worker = membership_by_session(self->members, receipt->session);
    if (!worker || worker->store != receipt->store ||
        receipt->term != catalogue_term(self->catalogue)) {
        core_drop(self, COUNTER_faults_total_receipt_foreign, "receipts");
        return;
    }
    stream_t *stream = NULL;
    for (size_t i = 0; i < receipt->n_stored; i++) {
        const Rill__V1__ChunkKey *key = receipt->stored[i];
        if (!stream || stream->record.id != key->stream) {
            if (stream && stream->state != STREAM_SEALED)
                advance(stream, now);
            stream = core_stream(self, key->stream);
        }
        if (!stream || stream->state == STREAM_SEALED)
            counters_up(&self->counters, COUNTER_faults_total_receipt_stale);
        else
            take_receipt(self, worker, stream, key, now);
    }
    if (stream && stream->state != STREAM_SEALED)
        advance(stream, now);
    if (receipt->n_failed) {
        status_t status = message_status(receipt->status);
        core_note(self, 0, "chunks-refused worker=%s count=%zu status=%s",
                  worker->name, receipt->n_failed, status_name(status));
        if (status == STATUS_FULL) {
            worker->full = true;
            events_full(self, worker);
            deal_departure(self, worker->store, false, now);
            //  The queue changed here: that it has space again is another
            //  change, at which what waits now is dealt.
            deal_waiting(self, now);
        } else
            members_leave(self, worker, true, "its store failed", now);
    }
    deal_waiting(self, now);
    outbox_send(self, now);
}

//  ---- reading from memory

block_t *
deal_find(stream_t *stream, uint64_t offset, unsigned *slot_r)
{
    size_t low = 0, high = stream->ring_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (block_end(deal_ring(stream, middle)) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == stream->ring_count)
        return NULL;
    block_t *block = deal_ring(stream, low);
    for (unsigned slot = 0; slot < block->dealt; slot++)
        if (offset >= block->pieces[slot]->offset &&
            offset < piece_end(block->pieces[slot])) {
            *slot_r = slot;
            return block;
        }
    return NULL;
}

const piece_t *
deal_at(stream_t *stream, micros_t time_us)
{
    for (size_t nth = stream->ring_count; nth-- > 0;) {
        const block_t *block = deal_ring(stream, nth);
        for (unsigned slot = block->dealt; slot-- > 0;)
            if (!(block->pieces[slot]->flags & CHUNK_EMPTY) &&
                block->pieces[slot]->created_us <= time_us)
                return block->pieces[slot];
    }
    return NULL;
}

//  ---- time

void
deal_sweep(core_t *self, millis_t now)
{
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        if (block_due(stream) <= now) {
            if (stream->chunker)
                chunker_flush(stream->chunker,
                              self->effects.wall_us(self->with));
            deal_fill(stream, now);
        }
    deal_waiting(self, now);
}

millis_t
deal_due(core_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        due = millis_least(due, block_due(stream));
    return due;
}

//  Give back all that dealing needs: the stream is sealed or goes.
void
deal_stop(stream_t *stream)
{
    core_t *self = stream->core;
    for (size_t i = 0; i < stream->ring_count; i++) {
        self->memory -= block_bytes(deal_ring(stream, i));
        block_free(deal_ring(stream, i));
    }
    free(stream->ring);
    stream->ring = NULL;
    stream->ring_first = stream->ring_count = stream->ring_size = 0;
    stream->ring_stored = stream->ring_safe = 0;
    stream->extent = NULL;
    for (size_t i = 0; i < stream->pending_count; i++)
        extent_free(stream->pending[i]);
    free(stream->pending);
    stream->pending = NULL;
    stream->pending_count = 0;
    if (stream->waiting) {
        piece_t *piece;
        while ((piece = zlistx_detach(stream->waiting, NULL)) != NULL) {
            self->memory -= buffer_size(piece->payload);
            piece_free(&piece);
        }
        zlistx_destroy(&stream->waiting);
    }
    if (stream->final)
        self->memory -= buffer_size(stream->final->payload);
    piece_free(&stream->final);
    chunker_destroy(&stream->chunker);
    ingest_reckon(stream);
    recovery_forget(stream);
    void *at = zlistx_find(self->open, stream);
    if (at)
        zlistx_detach(self->open, at);
}
