#include "entry.h"
#include "invariant.h"
#include "store.h"

//  ---------------------------------------------------------------------------
//  Chains: which segment takes what is queued

static bool
writes_in_flight(const writer_t *writer)
{
    for (const group_t *g = writer->groups.first; g; g = g->next)
        if (!g->done)
            return true;
    return false;
}

//  Whether a segment is to be closed though it has room.
static bool
aged(const writer_t *writer, millis_t now)
{
    return writer->count > 0 && now >= writer->opened + writer->chain->span_ms;
}

//  Whether the open segment can take the first of the queue.
static bool
takes_next(const chain_t *chain)
{
    const writer_t *open = chain->open;
    return segment_fits(open->head.size, open->tail, open->count,
                        record_bytes(chain->queue.first->header.length));
}

//  Have an open segment that takes the first of the queue.
static bool
have_segment(chunkstore_t *self, chain_t *chain)
{
    bool turned = chain->open && chain->next &&
                  chain->next->state == WRITER_READY &&
                  aged(chain->open, self->now);
    if (chain->open && (chain->open->broken || !takes_next(chain) || turned)) {
        chain->open->state = WRITER_FULL;
        chain->open = NULL;
    }
    if (chain->open)
        return true;
    if (chain->next && chain->next->state == WRITER_READY) {
        chain->open = chain->next;
        chain->open->state = WRITER_OPEN;
        chain->open->opened = self->now;
        chain->next = NULL;
        intake_recount(self, chain);
        return true;
    }
    if (!chain->next) {
        status_t status = writer_begin(self, chain);
        if (status == STATUS_OK)
            intake_recount(self, chain);
        else
            intake_fail(self, chain, status);
    }
    return false;
}

//  Have the next segment ready before the open one is full, unless it is the
//  last that can be had.
static void
prepare_next(chunkstore_t *self, chain_t *chain)
{
    const writer_t *open = chain->open;
    bool wanted = open->tail >= open->head.size / 2 || aged(open, self->now);
    if (chain->next || !wanted || open->broken ||
        !shelf_has_room(self, self->promised + 2))
        return;
    if (writer_begin(self, chain) == STATUS_OK)
        intake_recount(self, chain);
}

static void
move_chain(chunkstore_t *self, chain_t *chain)
{
    bool had = chain->queue.first;
    while (chain->queue.first && have_segment(self, chain)) {
        writer_t *open = chain->open;
        //  A part of a group waits for company while writes are in flight:
        //  they are what keeps the disk busy.
        if (chain->queue_bytes < self->settings.group_bytes &&
            writes_in_flight(open))
            break;
        if (!group_stage(self, open))
            break;
        group_issue(self, open);
    }
    if (had && !chain->queue.first)
        intake_recount(self, chain);
    if (had && chain->open)
        prepare_next(self, chain);
}

//  ---------------------------------------------------------------------------
//  Commits

static void
start_sync(chunkstore_t *self, writer_t *writer)
{
    if (writer->syncing_to)
        return;
    //  The completed prefix: a sync vouches only for writes that were seen to
    //  complete before it, and recovery trusts everything below (R17).
    uint64_t upto = 0;
    for (const group_t *g = writer->groups.first; g && g->done; g = g->next)
        upto = g->end;
    if (upto && writer_submit_sync(self, writer))
        writer->syncing_to = upto;
}

static void
index_record(chunkstore_t *self, segment_t *segment, const pending_t *pending)
{
    const chunk_header_t *header = &pending->header;
    if (pending->replaces) {
        index_place_t old;
        if (index_find(self->index, &header->key, &old) == STATUS_OK) {
            segment_t *was = shelf_find(self, old.segment);
            if (was)
                forget_entry(self, was, old.entry.length);
        }
    }
    index_put(self->index, &(index_place_t){ .entry = entry_of(header),
                                             .segment = segment->is.id,
                                             .place = pending->place });
    if (header->block_us > segment->is.newest_us)
        segment->is.newest_us = header->block_us;
    segment->is.live++;
    segment->is.live_bytes += header->length;
    self->chunks++;
    self->bytes += header->length;
    store_settled(self, header->key.stream, header->settled);
}

//  A record reached the disk after its stream was dropped: the drop is not to
//  be forgotten before the segment.
static void
pass_over(chunkstore_t *self, const segment_t *segment, index_drop_t *drop)
{
    if (drop->newest >= segment->is.id)
        return;
    drop->newest = segment->is.id;
    index_put_drop(self->index, drop);
}

//  Index what a sync made durable and tell it.
static void
retire(chunkstore_t *self, writer_t *writer)
{
    segment_t *segment = writer->segment;
    pending_list_t records = { 0 };
    while (writer->groups.first &&
           writer->groups.first->end <= writer->synced_to) {
        group_t *group = writer->groups.first;
        writer->groups.first = group->next;
        for (pending_t *p; (p = pending_pop(&group->records));) {
            index_drop_t *drop = store_dropped(self, p->header.key.stream);
            segment->is.records++;
            if (drop)
                pass_over(self, segment, drop);
            else if (p->kind == RECORD_CHUNK)
                index_record(self, segment, p);
            pending_push(&records, p);
        }
        group_end(self, group);
    }
    if (!writer->groups.first)
        writer->groups.end = &writer->groups.first;
    segment->is.end = writer->synced_to;
    index_put_segment(self->index, &segment->is);
    status_t status = store_commit(self, false);
    for (pending_t *p; (p = pending_pop(&records));) {
        bool dropped = store_dropped(self, p->header.key.stream);
        if (p->kind == RECORD_DROP)
            pending_end(self, &p, STATUS_OK);
        else
            pending_end(self, &p, dropped ? STATUS_GONE : status);
    }
}

//  ---------------------------------------------------------------------------
//  Failures

//  A write or a sync failed: nothing more goes into this segment (invariant
//  3), what is not durable never will be.
static void
bury(chunkstore_t *self, writer_t *writer)
{
    chain_t *chain = writer->chain;
    bool named = writer->state >= WRITER_READY;
    for (group_t *g; (g = writer->groups.first);) {
        writer->groups.first = g->next;
        for (pending_t *p; (p = pending_pop(&g->records));)
            pending_end(self, &p, writer->broken);
        group_end(self, g);
    }
    writer->groups.end = &writer->groups.first;
    free(writer->page);
    writer->page = NULL;
    if (named) {
        writer_end(self, writer);
    } else {
        status_t why = writer->broken;
        writer_discard(self, writer);
        //  What waits for nothing else fails with it.
        if (!chain->open)
            intake_fail(self, chain, why);
        else
            intake_recount(self, chain);
        return;
    }
    writer_remove(self, writer);
    intake_recount(self, chain);
}

//  ---------------------------------------------------------------------------
//  Turns

//  When an open segment closes by age.
static millis_t
due(const writer_t *writer)
{
    bool idle = writer->state == WRITER_OPEN && writer->count > 0 &&
                !writer->groups.first && !writer->flying;
    return idle ? writer->opened + writer->chain->span_ms : MILLIS_NEVER;
}

static void
move_records(chunkstore_t *self, writer_t *writer)
{
    group_issue(self, writer);
    if (!writer->broken)
        start_sync(self, writer);
    bool idle = !writer->groups.first && !writer->flying && !writer->broken;
    if (writer->state == WRITER_OPEN && idle && self->now >= due(writer)) {
        writer->state = WRITER_FULL;
        writer->chain->open = NULL;
    }
    if (writer->state == WRITER_FULL && idle) {
        writer_begin_footer(writer);
        writer_move_footer(self, writer);
    }
}

//  Do what a writer can do now. True: it is no more.
static bool
move_writer(chunkstore_t *self, writer_t *writer)
{
    if (!writer->broken) {
        if (writer->state < WRITER_READY)
            writer_move_head(self, writer);
        else if (writer->state == WRITER_OPEN || writer->state == WRITER_FULL)
            move_records(self, writer);
        else if (writer->state == WRITER_FOOTER ||
                 writer->state == WRITER_FOOTER_SYNC)
            writer_move_footer(self, writer);
    }
    if (writer->broken && !writer->flying) {
        bury(self, writer);
        return true;
    }
    if (writer->state != WRITER_ENDED)
        return false;
    writer_end(self, writer);
    writer_remove(self, writer);
    return true;
}

void
commit_turn(chunkstore_t *self)
{
    //  Writers first: what they end gives groups back to the chains.
    for (size_t i = 0; i < self->writers_count;)
        if (!move_writer(self, self->writers[i]))
            i++;
    for (size_t i = 0; i < 256; i++)
        if (self->chains[i])
            move_chain(self, self->chains[i]);
    for (size_t i = 0; i < self->writers_count;)
        if (!move_writer(self, self->writers[i]))
            i++;
}

static void
writer_done(chunkstore_t *self, writer_t *writer)
{
    switch (writer->state) {
    case WRITER_SPACE:
        writer->state = WRITER_HEAD;
        break;
    case WRITER_HEAD:
        writer->state = WRITER_HEAD_SYNC;
        break;
    case WRITER_HEAD_SYNC:
        writer->broken = writer_name(self, writer);
        writer->state = WRITER_NAME;
        free(writer->page);
        writer->page = NULL;
        break;
    case WRITER_NAME:
        writer->state = WRITER_READY;
        break;
    case WRITER_OPEN:
    case WRITER_FULL:
        writer->synced_to = writer->syncing_to;
        writer->syncing_to = 0;
        retire(self, writer);
        break;
    case WRITER_FOOTER:
        writer->state = WRITER_FOOTER_SYNC;
        break;
    case WRITER_FOOTER_SYNC:
        writer->state = WRITER_ENDED;
        break;
    case WRITER_READY:
    case WRITER_ENDED:
        break;
    }
}

//  How many bytes the operation was to do.
static uint64_t
wanted(const writer_t *writer, const group_t *group)
{
    if (group)
        return group->end - group->start;
    bool page = writer->state == WRITER_HEAD || writer->state == WRITER_FOOTER;
    return page ? writer->page_bytes : 0;
}

void
commit_done(chunkstore_t *self, op_t *op, int64_t result)
{
    group_t *group = op->kind == OP_GROUP ? (group_t *)op : NULL;
    writer_t *writer = group ? group->writer : (writer_t *)op;
    writer->flying--;
    if (group) {
        group_written(self, group);
        self->writing--;
    }
    if (result < 0)
        writer->broken = store_status((int)result);
    else if ((uint64_t)result != wanted(writer, group))
        writer->broken = STATUS_FULL;
    else if (group)
        group->done = true;
    else if (!writer->broken)
        writer_done(self, writer);
}

//  ---------------------------------------------------------------------------
//  The end

//  Close what the chain has open. A drop's word goes with the last records.
static void
close_chain(chunkstore_t *self, chain_t *chain)
{
    writer_t *open = chain->open, *next = chain->next;
    if (next && next->state == WRITER_READY && !next->flying)
        writer_discard(self, next);
    if (!open)
        return;
    if (self->unlogged.first && !open->broken)
        group_stage(self, open);
    if (open->count == 0 && !open->flying) {
        writer_discard(self, open);
        return;
    }
    open->state = WRITER_FULL;
    chain->open = NULL;
}

bool
commit_close(chunkstore_t *self)
{
    bool waiting = false;
    for (size_t i = 0; i < 256; i++) {
        chain_t *chain = self->chains[i];
        if (chain && !chain->queue.first)
            close_chain(self, chain);
        waiting |= chain && chain->queue.first;
    }
    return !waiting && self->writers_count == 0;
}

millis_t
commit_due(const chunkstore_t *self)
{
    millis_t soonest = MILLIS_NEVER;
    for (size_t i = 0; i < self->writers_count; i++)
        soonest = millis_least(soonest, due(self->writers[i]));
    return soonest;
}

void
commit_destroy(chunkstore_t *self)
{
    INVARIANT(self->writers_count == 0);
    free(self->writers);
    for (size_t i = 0; i < self->staging_count; i++)
        free(self->staging[i]);
}
