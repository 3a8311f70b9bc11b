/*  Where the chunks of a stream lie (S4): computed by placement, confirmed by
 *  the workers' own indexes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    LAYOUT_LATE_MS = 1000,
    LAYOUT_MOST = 400,
    PLACED_BYTES = 88,  //  On the wire at most, without the worker's name
    AIMS_MOST = 60,     //  Scans until a page begins where it should
};

//  One page being gathered.
typedef struct {
    peer_t peer;
    uint64_t question;  //  Its request id, and the asker's
    uint64_t trace;
    uint64_t request;
    uint64_t stream;
    uint64_t from;
    uint64_t epoch;
    uint64_t block;   //  First of the page
    uint32_t blocks;  //  In it
    uint32_t room;    //  The most there may be
    uint64_t back;    //  Blocks to go back when it began too late
    unsigned aims;
    bool parity;
    uint64_t asked[LIMIT_WORKERS];  //  Sessions that have not answered
    size_t asked_count;
    Rill__V1__Placed *placed;  //  blocks * (k + m), by block and slot
    bool *known;
    millis_t due;
} page_t;

struct layouts {
    zlistx_t *list;  //  page_t, owned
};

struct layouts *
layouts_new(void)
{
    struct layouts *self = zmalloc(sizeof *self);
    self->list = zlistx_new();
    return self;
}

static void
free_page(page_t *page)
{
    free(page->placed);
    free(page->known);
    free(page);
}

void
layouts_destroy(struct layouts **self_p)
{
    struct layouts *self = *self_p;
    if (!self)
        return;
    page_t *page;
    while ((page = zlistx_detach(self->list, NULL)) != NULL)
        free_page(page);
    zlistx_destroy(&self->list);
    free(self);
    *self_p = NULL;
}

static const extent_t *
extent_of(const stream_t *stream, uint64_t epoch, uint64_t *end_r)
{
    const extent_t *extent = seek_extent_of(stream, epoch);
    if (extent)
        *end_r = seek_extent_end(stream, extent);
    return extent;
}

static void
send_layout(core_t *self, const page_t *page, Rill__V1__Layout *layout)
{
    message_t answer = MESSAGE(LAYOUT, layout, layout, page->question,
                               page->trace);
    (void)self->effects.send(self->with, &page->peer, &answer, NULL);
}

//  The next byte behind the page that has a chunk, or 0: that was all.
static uint64_t
next_of(const stream_t *stream, const page_t *page, const extent_t *extent,
        uint64_t end, uint64_t reach)
{
    uint64_t behind = extent->base_index +
                      (page->block + page->blocks) * extent->code.k;
    if (behind < end)
        return reach;
    for (size_t i = 0; i + 1 < stream->chain_count; i++)
        if (stream->chain[i] == extent)
            return stream->chain[i + 1]->base_offset;
    return 0;
}

//  Where a block's data lie, as the workers told: false when they told nothing.
//  What is missing before the first that they told of has its usual size.
static bool
told(const page_t *page, const extent_t *extent, uint32_t b, uint64_t *from_r,
     uint64_t *to_r)
{
    unsigned k = extent->code.k, slots = k + extent->code.m;
    bool any = false;
    for (unsigned s = 0; s < k; s++) {
        const Rill__V1__Placed *placed = &page->placed[b * slots + s];
        if (!page->known[b * slots + s])
            continue;
        uint64_t missing = (uint64_t)s * extent->chunk_bytes;
        if (!any)
            *from_r = placed->offset -
                      (missing < placed->offset ? missing : placed->offset);
        if (!any || placed->offset + placed->length > *to_r)
            *to_r = placed->offset + placed->length;
        any = true;
    }
    return any;
}

//  Whether block `b` of the page lies wholly before what was asked for.
static bool
before(const page_t *page, const extent_t *extent, uint32_t b)
{
    uint64_t from, to;
    return told(page, extent, b, &from, &to) && from < page->from &&
           to <= page->from;
}

//  Everybody has answered, or is too late: fill in who is missing, and send.
static void
finish(core_t *self, page_t *page)
{
    void *at = zlistx_find(self->layouts->list, page);
    zlistx_detach(self->layouts->list, at);
    Rill__V1__Layout layout = RILL__V1__LAYOUT__INIT;
    stream_t *stream = core_stream(self, page->stream);
    uint64_t end = 0;
    const extent_t *extent = stream ? extent_of(stream, page->epoch, &end)
                                    : NULL;
    char unnamed[LIMIT_WORKERS][24];
    if (page->epoch && !extent) {  //  Removed, or dealt again meanwhile
        message_t question = { .request = page->question,
                               .trace = page->trace };
        core_refuse(self, &page->peer, &question,
                    stream ? STATUS_BUSY : STATUS_UNKNOWN, NULL, 0);
        free_page(page);
        return;
    }
    if (extent) {
        unsigned k = extent->code.k, slots = k + extent->code.m;
        layout.chunks = zmalloc((size_t)page->blocks * slots *
                                sizeof *layout.chunks);
        uint64_t reach = page->from;
        uint32_t first = 0;
        while (first < page->blocks && before(page, extent, first))
            first++;
        for (uint32_t b = first; b < page->blocks; b++)
            for (unsigned s = 0; s < slots; s++) {
                Rill__V1__Placed *placed = &page->placed[b * slots + s];
                uint16_t position = placement_position(extent, page->block + b,
                                                       s);
                worker_t *worker = membership_find(self->members,
                                                   extent->stores[position]);
                snprintf(unnamed[position], sizeof unnamed[position],
                         "store-%016" PRIx64, extent->stores[position]);
                placed->worker = worker ? worker->name : unnamed[position];
                placed->epoch = extent->epoch;
                placed->block = page->block + b;
                placed->slot = s;
                placed->parity = s >= k;
                placed->missing = !page->known[b * slots + s];
                if (s < k) {
                    placed->index = placement_index(extent, placed->block, s);
                    if (placed->missing)
                        placed->offset = reach;
                    reach = placed->offset + (placed->missing
                                                  ? extent->chunk_bytes
                                                  : placed->length);
                }
                if (s < k || page->parity)
                    layout.chunks[layout.n_chunks++] = placed;
            }
        layout.next = next_of(stream, page, extent, end, reach);
        //  The next page begins behind this one's last data chunk.
        const Rill__V1__Placed *last =
            &page->placed[(page->blocks - 1) * slots + k - 1];
        if (first < page->blocks && reach >= last->offset)
            stream->trail[stream->trail_next++ % TRAIL] = (trail_t){
                .epoch = extent->epoch,
                .index = last->index,
                .offset = last->offset,
                .length = (uint32_t)(reach - last->offset),
            };
    }
    send_layout(self, page, &layout);
    free(layout.chunks);
    free_page(page);
}

//  The block of an extent where `offset` lies, from chunks read lately or the
//  usual size of its chunks.
static uint64_t
block_of(const stream_t *stream, const extent_t *extent, uint64_t offset)
{
    uint64_t usual = extent->chunk_bytes ? extent->chunk_bytes : 1;
    uint64_t index = extent->base_index +
                     (offset - extent->base_offset) / usual;
    for (unsigned i = 0; i < TRAIL; i++) {
        const trail_t *trail = &stream->trail[i];
        if (trail->epoch == extent->epoch &&
            trail->offset + trail->length == offset)
            index = trail->index + 1;
    }
    return (index - extent->base_index) / extent->code.k;
}

//  Ask the workers of the ensemble what they have of these blocks.
static void
scan(core_t *self, page_t *page, const extent_t *extent)
{
    Rill__V1__Scan question = RILL__V1__SCAN__INIT;
    question.stream = page->stream;
    question.epoch = page->epoch;
    question.block = page->block;
    question.most = page->blocks;
    message_t message = MESSAGE(SCAN, scan, &question, page->request,
                                page->trace);
    for (uint16_t i = 0; i < extent->width; i++) {
        worker_t *worker = membership_find(self->members, extent->stores[i]);
        if (worker && worker->state != WORKER_AWAY &&
            self->effects.ask(self->with, worker->session, &message) ==
                STATUS_OK)
            page->asked[page->asked_count++] = worker->session;
    }
    if (page->asked_count == 0)
        finish(self, page);
}

static void
scan_anew(core_t *self, page_t *page, const extent_t *extent, uint64_t blocks,
          millis_t now)
{
    unsigned slots = extent->code.k + extent->code.m;
    uint64_t left = blocks - page->block;
    page->blocks = left < page->room ? (uint32_t)left : page->room;
    for (size_t i = 0; i < (size_t)page->blocks * slots; i++) {
        rill__v1__placed__init(&page->placed[i]);
        page->known[i] = false;
    }
    page->request = ++self->request;
    page->due = now + core_patience(self, LAYOUT_LATE_MS);
    scan(self, page, extent);
}

//  Everybody has answered. Where a block lies is guessed where chunks have no
//  one size: a page that begins too late or too early is asked for anew.
static void
aim(core_t *self, page_t *page, millis_t now)
{
    stream_t *stream = core_stream(self, page->stream);
    uint64_t end = 0, from = 0, to = 0;
    const extent_t *extent = stream ? extent_of(stream, page->epoch, &end)
                                    : NULL;
    if (!extent || page->aims++ >= AIMS_MOST) {
        finish(self, page);
        return;
    }
    uint64_t blocks = (end - extent->base_index) / extent->code.k;
    bool late = page->block && told(page, extent, 0, &from, &to) &&
                from > page->from;
    bool early = page->block + page->blocks < blocks &&
                 before(page, extent, page->blocks - 1);
    if (late) {
        page->block -= page->back < page->block ? page->back : page->block;
        page->back *= 2;
    } else if (early) {
        page->block += page->blocks;
        page->back = 1;
    } else {
        finish(self, page);
        return;
    }
    scan_anew(self, page, extent, blocks, now);
}

//  As many chunks as fit one head, whatever the names of their workers.
static uint32_t
chunks_most(core_t *self, const extent_t *extent, uint32_t asked)
{
    size_t longest = 24;
    for (uint16_t i = 0; i < extent->width; i++) {
        worker_t *worker = membership_find(self->members, extent->stores[i]);
        if (worker && strlen(worker->name) > longest)
            longest = strlen(worker->name);
    }
    uint32_t most = (uint32_t)((LIMIT_HEAD_BYTES - 256) /
                               (PLACED_BYTES + longest));
    most = most < LAYOUT_MOST ? most : LAYOUT_MOST;
    return asked && asked < most ? asked : most;
}

void
layout_ask(core_t *self, const peer_t *peer, const message_t *message,
           millis_t now)
{
    const Rill__V1__ListChunks *question = message->list_chunks;
    stream_t *stream = core_stream(self, question->stream);
    if (!stream || stream->state == STREAM_RECOVERING ||
        zlistx_size(self->layouts->list) >= LIMIT_ASKS_PER_PEER) {
        core_refuse(self, peer, message,
                    !stream                              ? STATUS_UNKNOWN
                    : stream->state == STREAM_RECOVERING ? STATUS_HELD
                                                         : STATUS_BUSY,
                    NULL, 0);
        return;
    }
    page_t *page = zmalloc(sizeof *page);
    page->peer = *peer;
    page->question = message->request;
    page->trace = message->trace;
    page->stream = question->stream;
    page->from = question->from;
    page->parity = question->parity;
    page->request = ++self->request;
    page->due = now + core_patience(self, LAYOUT_LATE_MS);
    zlistx_add_end(self->layouts->list, page);

    uint64_t nearest = 0, end = 0;
    const extent_t *extent = seek_extent(stream, question->from, &nearest);
    if (!extent && nearest) {  //  In a hole: go on behind it
        page->from = nearest;
        extent = seek_extent(stream, nearest, &nearest);
    }
    if (extent)
        extent_of(stream, extent->epoch, &end);
    if (extent && end > extent->base_index) {
        unsigned slots = extent->code.k + extent->code.m;
        uint64_t blocks = (end - extent->base_index) / extent->code.k;
        uint32_t most = chunks_most(self, extent, question->most);
        page->epoch = extent->epoch;
        page->block = block_of(stream, extent, page->from);
        if (page->block >= blocks)
            page->block = blocks - 1;
        if (blocks) {
            uint64_t count = most / (page->parity ? slots : extent->code.k);
            page->room = (uint32_t)(count ? count : 1);
            page->back = 1;
            page->placed = zmalloc((size_t)page->room * slots *
                                   sizeof *page->placed);
            page->known = zmalloc((size_t)page->room * slots);
            scan_anew(self, page, extent, blocks, now);
            return;
        }
    }
    page->epoch = 0;
    finish(self, page);
}

static void
answered(core_t *self, page_t *page, uint64_t session, millis_t now)
{
    for (size_t i = 0; i < page->asked_count; i++)
        if (page->asked[i] == session) {
            page->asked[i] = page->asked[--page->asked_count];
            if (page->asked_count == 0)
                aim(self, page, now);
            return;
        }
}

void
layout_scanned(core_t *self, uint64_t session, const message_t *message,
               millis_t now)
{
    page_t *page = zlistx_first(self->layouts->list);
    while (page && page->request != message->request)
        page = zlistx_next(self->layouts->list);
    stream_t *stream = page ? core_stream(self, page->stream) : NULL;
    uint64_t end;
    const extent_t *extent = stream ? extent_of(stream, page->epoch, &end)
                                    : NULL;
    worker_t *worker = membership_by_session(self->members, session);
    if (extent && worker &&
        message->body_case == RILL__V1__MESSAGE__BODY_SCANNED) {
        unsigned slots = extent->code.k + extent->code.m;
        for (size_t i = 0; i < message->scanned->n_chunks; i++) {
            const Rill__V1__ScannedChunk *chunk = message->scanned->chunks[i];
            if (chunk->block < page->block ||
                chunk->block >= page->block + page->blocks ||
                chunk->slot >= slots ||
                placement_store(extent, chunk->block, chunk->slot) !=
                    worker->store)
                continue;
            size_t at = (chunk->block - page->block) * slots + chunk->slot;
            Rill__V1__Placed *placed = &page->placed[at];
            placed->offset = chunk->offset;
            placed->length = chunk->length;
            placed->created_us = chunk->created_us;
            placed->payload_crc = chunk->payload_crc;
            page->known[at] = true;
        }
    }
    if (page)
        answered(self, page, session, now);
}

void
layout_worker_gone(core_t *self, uint64_t session, millis_t now)
{
    size_t count = zlistx_size(self->layouts->list);
    for (size_t i = 0; i < count; i++) {
        page_t *page = zlistx_detach(self->layouts->list, NULL);
        if (!page)
            return;
        zlistx_add_end(self->layouts->list, page);
        answered(self, page, session, now);
    }
}

void
layout_sweep(core_t *self, millis_t now)
{
    page_t *page;
    do {
        page = zlistx_first(self->layouts->list);
        while (page && page->due > now)
            page = zlistx_next(self->layouts->list);
        if (page)
            finish(self, page);
    } while (page);
}

millis_t
layout_due(core_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (page_t *page = zlistx_first(self->layouts->list); page;
         page = zlistx_next(self->layouts->list))
        due = millis_least(due, page->due);
    return due;
}
