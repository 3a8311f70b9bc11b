/*  Which chunk covers an offset. Above the oldest unsettled block: memory.
 *  Below: its place is computed from a chunk read lately or from the extent's
 *  usual chunk size, and when that was wrong the workers are asked once for
 *  the last chunk at or before the offset (R18).
 */
#include "invariant.h"
#include "origin.h"

enum { LOCATE_LATE_MS = 500 };

typedef enum { PHASE_GUESS, PHASE_LOCATE, PHASE_WALK, PHASE_PARKED } phase_t;

//  One fetch of the relay that is not in memory.
typedef struct {
    core_t *core;
    uint64_t stream;
    uint64_t offset;
    phase_t phase;
    uint64_t epoch;                 //  Of the extent being looked in
    uint64_t index;                 //  Being fetched
    unsigned steps;                 //  Walked behind what was located
    uint64_t request;               //  Of the question to the workers
    uint64_t asked[LIMIT_WORKERS];  //  Sessions that have not answered
    size_t asked_count;
    bool found;
    uint64_t found_block;
    unsigned found_slot;
    millis_t due;
} seek_t;

struct seeks {
    zlistx_t *list;  //  seek_t, owned
    millis_t due;    //  Not later than the earliest located one's
};

struct seeks *
seeks_new(void)
{
    struct seeks *self = zmalloc(sizeof *self);
    self->list = zlistx_new();
    self->due = MILLIS_NEVER;
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
    fetch_chunk(seek->core, stream->record.id, extent, block, slot, on_fetched,
                seek, now);
}

//  All workers have said what they have, or are too late: go there.
static void
go_located(seek_t *seek, millis_t now)
{
    stream_t *stream = core_stream(seek->core, seek->stream);
    const extent_t *extent = stream ? seek_extent_of(stream, seek->epoch)
                                    : NULL;
    if (!extent) {
        fail(seek, STATUS_MISS, 0);
        return;
    }
    seek->phase = PHASE_WALK;
    seek->steps = 0;
    uint64_t index = seek->found ? placement_index(extent, seek->found_block,
                                                   seek->found_slot)
                                 : extent->base_index;
    fetch_index(seek, stream, extent, index, now);
}

//  Ask every worker of the ensemble that runs.
static void
locate(seek_t *seek, const extent_t *extent, millis_t now)
{
    core_t *self = seek->core;
    Rill__V1__Locate question = RILL__V1__LOCATE__INIT;
    question.stream = seek->stream;
    question.epoch = extent->epoch;
    question.at_case = RILL__V1__LOCATE__AT_OFFSET;
    question.offset = seek->offset;
    seek->phase = PHASE_LOCATE;
    seek->request = ++self->request;
    seek->due = now + core_patience(self, LOCATE_LATE_MS);
    self->seeks->due = millis_least(self->seeks->due, seek->due);
    message_t message = MESSAGE(LOCATE, locate, &question, seek->request, 0);
    for (uint16_t i = 0; i < extent->width; i++) {
        worker_t *worker = membership_find(self->members, extent->stores[i]);
        if (worker && worker->state != WORKER_AWAY && worker->shunned <= now &&
            self->effects.ask(self->with, worker->session, &message) ==
                STATUS_OK)
            seek->asked[seek->asked_count++] = worker->session;
    }
    if (seek->asked_count == 0)
        go_located(seek, now);
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
        uint64_t offset = seek->offset, id = seek->stream;
        end(seek);
        relay_land(self->relay, id, offset, &chunk, now);
    } else if (seek->phase == PHASE_GUESS)
        locate(seek, extent, now);  //  Another chunk's fault is none of ours
    else if (status == STATUS_OK && seek->steps < 2 * LIMIT_SLOTS &&
             header->offset <= seek->offset &&
             seek->index + 1 < seek_extent_end(stream, extent)) {
        seek->steps++;
        fetch_index(seek, stream, extent, seek->index + 1, now);
    } else
        fail(seek, status == STATUS_OK ? STATUS_CORRUPT : status, 0);
}

//  One worker has answered, or is gone.
static void
answered(seek_t *seek, uint64_t session, millis_t now)
{
    for (size_t i = 0; i < seek->asked_count; i++)
        if (seek->asked[i] == session) {
            seek->asked[i] = seek->asked[--seek->asked_count];
            if (seek->asked_count == 0)
                go_located(seek, now);
            return;
        }
}

//  The chunk behind all others that workers know of counts, if the extent can
//  have it.
static void
take_located(seek_t *seek, const Rill__V1__Located *located)
{
    stream_t *stream = core_stream(seek->core, seek->stream);
    const extent_t *extent = stream ? seek_extent_of(stream, seek->epoch)
                                    : NULL;
    if (!extent || !located->found || located->slot >= extent->code.k ||
        located->offset > seek->offset)
        return;
    uint64_t blocks = (seek_extent_end(stream, extent) - extent->base_index) /
                      extent->code.k;
    if (located->block >= blocks ||
        (seek->found && (located->block < seek->found_block ||
                         (located->block == seek->found_block &&
                          located->slot < seek->found_slot))))
        return;
    seek->found = true;
    seek->found_block = located->block;
    seek->found_slot = located->slot;
}

void
seek_located(core_t *self, uint64_t session, const message_t *message,
             millis_t now)
{
    for (seek_t *seek = zlistx_first(self->seeks->list); seek;
         seek = zlistx_next(self->seeks->list)) {
        if (seek->phase != PHASE_LOCATE || seek->request != message->request ||
            seek->asked_count == 0)
            continue;
        if (message->body_case == RILL__V1__MESSAGE__BODY_LOCATED)
            take_located(seek, message->located);
        answered(seek, session, now);
        return;
    }
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
    self->counters.memory_reads++;
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
    seek->due = MILLIS_NEVER;
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

void
seek_worker_gone(core_t *self, uint64_t session, millis_t now)
{
    //  What is done for one seek may end it: begin again behind each.
    size_t count = zlistx_size(self->seeks->list);
    for (size_t i = 0; i < count; i++) {
        seek_t *seek = zlistx_detach(self->seeks->list, NULL);
        if (!seek)
            return;
        zlistx_add_end(self->seeks->list, seek);
        if (seek->phase == PHASE_LOCATE)
            answered(seek, session, now);
    }
}

void
seek_sweep(core_t *self, millis_t now)
{
    if (self->seeks->due > now)
        return;
    size_t count = zlistx_size(self->seeks->list);
    for (size_t i = 0; i < count; i++) {
        seek_t *seek = zlistx_detach(self->seeks->list, NULL);
        if (!seek)
            break;
        zlistx_add_end(self->seeks->list, seek);
        if (seek->phase == PHASE_LOCATE && seek->due <= now) {
            seek->asked_count = 0;
            go_located(seek, now);
        }
    }
    self->seeks->due = MILLIS_NEVER;
    for (seek_t *seek = zlistx_first(self->seeks->list); seek;
         seek = zlistx_next(self->seeks->list))
        if (seek->phase == PHASE_LOCATE)
            self->seeks->due = millis_least(self->seeks->due, seek->due);
}

millis_t
seek_due(core_t *self)
{
    return self->seeks->due;
}
