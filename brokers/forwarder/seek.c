/*  Which chunk covers an offset. Above the oldest unsettled block: memory.
 *  Below: its place is computed from a chunk read lately or from the extent's
 *  usual chunk size, and when that was wrong the workers are asked once for
 *  the last chunk at or before the offset (R18).
 */
#include "invariant.h"
#include "origin.h"

typedef enum { PHASE_GUESS, PHASE_WALK, PHASE_PARKED } phase_t;

//  One fetch of the relay that is not in memory.
typedef struct {
    core_t *core;
    uint64_t stream;
    uint64_t offset;
    phase_t phase;
    uint64_t epoch;  //  Of the extent being looked in
    uint64_t index;  //  Being fetched
    unsigned steps;  //  Walked behind what was located
} seek_t;

struct seeks {
    zlistx_t *list;  //  seek_t, owned
};

struct seeks *
seeks_new(void)
{
    struct seeks *self = zmalloc(sizeof *self);
    self->list = zlistx_new();
    return self;
}

void
seeks_destroy(struct seeks **self_p)
{
    struct seeks *self = *self_p;
    if (!self)
        return;
    seek_t *seek;
    while ((seek = zlistx_detach(self->list, NULL)) != NULL)
        free(seek);
    zlistx_destroy(&self->list);
    free(self);
    *self_p = NULL;
}

static void
end(seek_t *seek)
{
    zlistx_t *list = seek->core->seeks->list;
    void *at = zlistx_find(list, seek);
    INVARIANT(at);
    zlistx_detach(list, at);
    free(seek);
}

static void
fail(seek_t *seek, status_t status, uint64_t nearest)
{
    core_t *self = seek->core;
    uint64_t stream = seek->stream, offset = seek->offset;
    end(seek);
    relay_fail(self->relay, stream, offset, status, NULL, nearest, self->now);
}

const extent_t *
seek_extent(const stream_t *stream, uint64_t offset, uint64_t *nearest_r)
{
    const extent_t *found = NULL;
    for (size_t i = stream->chain_count; i-- > 0;) {
        const extent_t *extent = stream->chain[i];
        if (extent->base_offset <= offset) {
            found = extent;
            break;
        }
        *nearest_r = extent->base_offset;
        //  Bytes right before an extent's base may be a hole.
        if (extent->base_offset - extent->gap <= offset)
            return NULL;
    }
    return found;
}

const extent_t *
seek_extent_of(const stream_t *stream, uint64_t epoch)
{
    for (size_t i = stream->chain_count; i-- > 0;)
        if (stream->chain[i]->epoch == epoch)
            return stream->chain[i];
    return NULL;
}

uint64_t
seek_extent_end(const stream_t *stream, const extent_t *extent)
{
    for (size_t i = 0; i + 1 < stream->chain_count; i++)
        if (stream->chain[i] == extent)
            return placement_index_before(stream->chain[i + 1]);
    return stream->state == STREAM_SEALED ? stream->record.end_index
                                          : stream->settled_index;
}

//  Where the chunk should be, from chunks read lately or the usual size.
static uint64_t
guess(const stream_t *stream, const extent_t *extent, uint64_t offset)
{
    const trail_t *best = NULL;
    for (unsigned i = 0; i < TRAIL; i++) {
        const trail_t *trail = &stream->trail[i];
        if (trail->epoch == extent->epoch && trail->offset <= offset &&
            (!best || trail->offset >= best->offset))
            best = trail;
    }
    uint64_t usual = extent->chunk_bytes ? extent->chunk_bytes : 1;
    if (!best)
        return extent->base_index + (offset - extent->base_offset) / usual;
    uint64_t past = best->offset + best->length;
    if (offset < past)
        return best->index;
    return best->index + 1 + (offset - past) / usual;
}

static uint64_t
trace_of(const seek_t *seek)
{
    return relay_trace(seek->core->relay, seek->stream, seek->offset);
}

void
seek_late(core_t *self, const void *arg, const char *worker, micros_t since)
{
    for (seek_t *at = zlistx_first(self->seeks->list); at;
         at = zlistx_next(self->seeks->list))
        if (at == arg) {
            relay_late(self->relay, at->stream, at->offset, worker, since);
            return;
        }
}

static void on_fetched(void *arg, status_t status, const chunk_header_t *header,
                       buffer_t *payload, bool decoded, millis_t now);

static void
fetch_index(seek_t *seek, const stream_t *stream, const extent_t *extent,
            uint64_t index, millis_t now)
{
    uint64_t block;
    unsigned slot;
    seek->index = index;
    placement_of_index(extent, index, &block, &slot);
    fetch_chunk(seek->core, stream->record.id, extent, block, slot,
                trace_of(seek), on_fetched, seek, now);
}

//  The workers have said what they have: go there.
static void
on_located(void *arg, const located_t *located, millis_t now)
{
    seek_t *seek = arg;
    stream_t *stream = core_stream(seek->core, seek->stream);
    const extent_t *extent = stream ? seek_extent_of(stream, seek->epoch)
                                    : NULL;
    if (located->waited)
        relay_waited(seek->core->relay, seek->stream, seek->offset,
                     located->waited, located->since);
    if (!extent) {
        fail(seek, STATUS_MISS, 0);
        return;
    }
    fetch_index(seek, stream, extent,
                located->found ? located->index : extent->base_index, now);
}

static void
remember(stream_t *stream, const chunk_header_t *header, uint64_t index)
{
    trail_t *trail = &stream->trail[stream->trail_next++ % TRAIL];
    *trail = (trail_t){ .epoch = header->key.epoch,
                        .index = index,
                        .offset = header->offset,
                        .length = header->length };
}

static void
on_fetched(void *arg, status_t status, const chunk_header_t *header,
           buffer_t *payload, bool decoded, millis_t now)
{
    if (status == STATUS_STOPPING)
        return;  //  seeks_destroy is next
    seek_t *seek = arg;
    core_t *self = seek->core;
    stream_t *stream = core_stream(self, seek->stream);
    const extent_t *extent = stream ? seek_extent_of(stream, seek->epoch)
                                    : NULL;
    if (!stream) {
        fail(seek, STATUS_GONE, 0);
        return;
    }
    if (!extent) {  //  Dealt again meanwhile: look anew
        uint64_t offset = seek->offset, id = seek->stream;
        end(seek);
        seek_fetch(self, id, offset, now);
        return;
    }
    bool covers = status == STATUS_OK && seek->offset >= header->offset &&
                  seek->offset < header->offset + header->length;
    if (status == STATUS_OK)
        remember(stream, header, seek->index);
    if (covers) {
        flights_chunk_t chunk = {
            .header = header,
            .payload = payload,
            .route = decoded ? RILL__V1__ROUTE__ROUTE_DECODED
                             : RILL__V1__ROUTE__ROUTE_STORE,
            .watermark = stream->stored,
            .sealed = stream->state == STREAM_SEALED,
            .now_us = self->effects.wall_us(self->with),
            .head = serve_head(stream),
        };
        chunk.source = fetch_source(self, &chunk.source_ms);
        uint64_t offset = seek->offset, id = seek->stream;
        end(seek);
        relay_land(self->relay, id, offset, &chunk, now);
    } else if (seek->phase == PHASE_GUESS) {
        //  Another chunk's fault is none of ours
        seek->phase = PHASE_WALK;
        locate_ask(stream, extent, false, seek->offset, trace_of(seek),
                   on_located, seek, now);
    } else if (status == STATUS_OK && seek->steps < 2 * LIMIT_SLOTS &&
               header->offset <= seek->offset &&
               seek->index + 1 < seek_extent_end(stream, extent)) {
        seek->steps++;
        fetch_index(seek, stream, extent, seek->index + 1, now);
    } else
        fail(seek, status == STATUS_OK ? STATUS_CORRUPT : status, 0);
}

//  The chunk is in memory: answer from there. False: it is not.
static bool
from_memory(core_t *self, stream_t *stream, uint64_t offset)
{
    unsigned slot;
    block_t *block = deal_find(stream, offset, &slot);
    if (!block)
        return false;
    chunk_header_t header;
    deal_header(block, slot, &header);
    flights_chunk_t chunk = {
        .header = &header,
        .payload = block->pieces[slot]->payload,
        .route = RILL__V1__ROUTE__ROUTE_LOCAL,
        .watermark = stream->stored,
        .sealed = stream->state == STREAM_SEALED,
        .now_us = self->effects.wall_us(self->with),
        .head = serve_head(stream),
    };
    counters_up(&self->counters, COUNTER_reads_total_memory);
    relay_land(self->relay, stream->record.id, offset, &chunk, self->now);
    return true;
}

//  Asks for the future whose askers gave up; looked for when they are many.
static void
forget_parked(core_t *self)
{
    zlistx_t *list = self->seeks->list;
    seek_t *seek = zlistx_first(list);
    while (seek) {
        void *at = zlistx_cursor(list);
        seek_t *this = seek;
        seek = zlistx_next(list);
        if (this->phase != PHASE_PARKED ||
            relay_wanted(self->relay, this->stream, this->offset))
            continue;
        zlistx_detach(list, at);
        free(this);
    }
}

//  Answered when it is there.
static void
park(seek_t *seek)
{
    seek->phase = PHASE_PARKED;
    if (zlistx_size(seek->core->seeks->list) > 2 * FLIGHTS_MOST)
        forget_parked(seek->core);
}

void
seek_fetch(core_t *self, uint64_t id, uint64_t offset, millis_t now)
{
    stream_t *stream = core_stream(self, id);
    if (!stream) {
        relay_fail(self->relay, id, offset, STATUS_GONE, NULL, 0, self->now);
        return;
    }
    if (from_memory(self, stream, offset))
        return;
    uint64_t nearest = 0;
    const extent_t *extent = seek_extent(stream, offset, &nearest);
    uint64_t readable = stream->state == STREAM_SEALED ? stream->record.size
                                                       : stream->settled;
    if (!extent && nearest) {
        const extent_t *first = stream->chain[0];
        bool gone = offset < first->base_offset - first->gap;
        relay_fail(self->relay, id, offset, gone ? STATUS_GONE : STATUS_RANGE,
                   NULL, nearest, self->now);
        return;
    }
    seek_t *seek = zmalloc(sizeof *seek);
    seek->core = self;
    seek->stream = id;
    seek->offset = offset;
    zlistx_add_end(self->seeks->list, seek);
    if (offset >= readable) {
        if (stream->state == STREAM_SEALED)
            fail(seek, STATUS_RANGE, readable);
        else
            park(seek);
    } else if (!extent)
        fail(seek, STATUS_MISS, 0);
    else {
        seek->epoch = extent->epoch;
        uint64_t index = guess(stream, extent, offset);
        uint64_t last = seek_extent_end(stream, extent);
        if (index >= last && last > extent->base_index)
            index = last - 1;
        fetch_index(seek, stream, extent, index, now);
    }
}

//  End every parked seek of the stream below `upto` and give their offsets.
static uint64_t *
unpark(core_t *self, uint64_t stream, uint64_t upto, size_t *count_r)
{
    uint64_t *offsets = NULL;
    size_t count = 0;
    seek_t *seek = zlistx_first(self->seeks->list);
    while (seek) {
        void *at = zlistx_cursor(self->seeks->list);
        seek_t *this = seek;
        seek = zlistx_next(self->seeks->list);
        if (this->phase != PHASE_PARKED || this->stream != stream ||
            this->offset >= upto)
            continue;
        offsets = realloc(offsets, (count + 1) * sizeof *offsets);
        INVARIANT(offsets);
        offsets[count++] = this->offset;
        zlistx_detach(self->seeks->list, at);
        free(this);
    }
    *count_r = count;
    return offsets;
}

void
seek_progress(stream_t *stream, millis_t now)
{
    core_t *self = stream->core;
    uint64_t id = stream->record.id;
    uint64_t upto = stream->state == STREAM_SEALED ? UINT64_MAX
                                                   : stream->stored;
    size_t count;
    uint64_t *offsets = unpark(self, id, upto, &count);
    for (size_t i = 0; i < count; i++)
        if (relay_wanted(self->relay, id, offsets[i]))
            seek_fetch(self, id, offsets[i], now);
    free(offsets);
}

void
seek_stream_gone(core_t *self, uint64_t stream)
{
    //  The others end by themselves when their fetch is answered.
    size_t count;
    uint64_t *offsets = unpark(self, stream, UINT64_MAX, &count);
    for (size_t i = 0; i < count; i++)
        relay_fail(self->relay, stream, offsets[i], STATUS_GONE, NULL, 0,
                   self->now);
    free(offsets);
}
