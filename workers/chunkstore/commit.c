#include <errno.h>
#include <sys/mman.h>

#include "checksum.h"
#include "entry.h"
#include "invariant.h"
#include "store.h"

#define LARGE_PAGE (2 * 1024 * 1024)

//  ---------------------------------------------------------------------------
//  Making a segment ready

static writer_t *
add_writer(chunkstore_t *self, chain_t *chain, segment_t *segment)
{
    writer_t *writer = calloc(1, sizeof(*writer));
    INVARIANT(writer);
    writer->op.kind = OP_WRITER;
    writer->segment = segment;
    writer->chain = chain;
    writer->head = (segment_head_t){
        .cluster = self->identity.cluster,
        .store = self->identity.store,
        .id = segment->is.id,
        .nonce = segment->is.nonce,
        .size = segment->is.size,
        .retention = chain->retention,
    };
    writer->tail = writer->synced_to = SEGMENT_FIRST;
    writer->groups.end = &writer->groups.first;
    writer->opened = self->now;
    segment->writer = writer;
    STORE_GROW(self->writers, self->writers_count, self->writers_most);
    self->writers[self->writers_count++] = writer;
    return writer;
}

static void
remove_writer(chunkstore_t *self, writer_t *writer)
{
    size_t at = 0;
    while (self->writers[at] != writer)
        at++;
    self->writers[at] = self->writers[--self->writers_count];
    writer->segment->writer = NULL;
    shelf_unuse(self, writer->segment);
    free(writer->table);
    free(writer->page);
    free(writer);
}

//  A file for segment `id`, under its fresh name: a spare one, or a new one. A
//  handle, or -errno.
static int
make_file(chunkstore_t *self, uint64_t id)
{
    char *path = shelf_path(self, id, SHELF_FRESH);
    int rc = -ENOENT;
    if (self->spares_count) {
        uint64_t was = self->spares[--self->spares_count];
        char *spare = shelf_path(self, was, SHELF_SPARE);
        rc = self->files->rename(self->files, spare, path);
        if (rc == 0)
            rc = self->files->open(self->files, path, false, 0);
        free(spare);
    }
    if (rc < 0)
        rc = self->files->open(self->files, path, true,
                               self->settings.segment_bytes);
    free(path);
    return rc;
}

//  Begin the chain's next segment under a fresh name.
static status_t
begin_segment(chunkstore_t *self, chain_t *chain)
{
    if (!shelf_has_room(self, 1))
        return STATUS_FULL;
    //  With the boot in it an id never comes back (R18).
    index_segment_t is = {
        .id = self->identity.boot << 32 | ++self->ids,
        .nonce = self->files->random(self->files),
        .size = self->settings.segment_bytes,
        .end = SEGMENT_FIRST,
        .retention = chain->retention,
    };
    int rc = make_file(self, is.id);
    if (rc < 0)
        return store_status(rc);
    segment_t *segment = shelf_add(self, &is);
    segment->handle = rc;
    segment->users = 1;
    self->handles++;
    self->allocated += is.size;
    chain->next = add_writer(self, chain, segment);
    return STATUS_OK;
}

//  Give it its own name.
static status_t
name_segment(chunkstore_t *self, const writer_t *writer)
{
    char *fresh = shelf_path(self, writer->head.id, SHELF_FRESH);
    char *named = shelf_path(self, writer->head.id, SHELF_NAMED);
    int rc = self->files->rename(self->files, fresh, named);
    free(fresh);
    free(named);
    return rc == 0 ? STATUS_OK : store_status(rc);
}

//  ---------------------------------------------------------------------------
//  Submitting: what cannot be submitted now is tried again at a later turn

static bool
submitted(writer_t *writer, int rc)
{
    if (rc == 0)
        writer->flying++;
    else if (rc != -EAGAIN)
        writer->broken = store_status(rc);
    return rc == 0;
}

static void
submit_page(chunkstore_t *self, writer_t *writer, uint64_t place)
{
    submitted(writer, self->files->write(self->files, writer->segment->handle,
                                         writer->page, writer->page_bytes,
                                         place, (uintptr_t)&writer->op));
}

static bool
submit_sync(chunkstore_t *self, writer_t *writer)
{
    return submitted(writer,
                     self->files->sync(self->files, writer->segment->handle,
                                       (uintptr_t)&writer->op));
}

static void
submit_names(chunkstore_t *self, writer_t *writer)
{
    submitted(writer, self->files->sync_names(self->files, self->folder_handle,
                                              (uintptr_t)&writer->op));
}

static void
take_page(writer_t *writer, uint64_t bytes)
{
    free(writer->page);
    writer->page = aligned_alloc(FILES_ALIGNMENT, bytes);
    INVARIANT(writer->page);
    writer->page_bytes = bytes;
}

//  ---------------------------------------------------------------------------
//  Groups

//  Memory for a group; NULL while all of it is being written.
static uint8_t *
take_staging(chunkstore_t *self)
{
    if (self->staging_count == 0)
        return NULL;
    uint8_t *bytes = self->staging[--self->staging_count];
    if (bytes)
        return bytes;
    //  A group is begun with up to a full one in it already.
    size_t most = self->settings.group_bytes +
                  segment_page_up(record_bytes(LIMIT_PAYLOAD_BYTES));
    //  In large pages a write pins few of them.
    most = (most + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    bytes = aligned_alloc(LARGE_PAGE, most);
    INVARIANT(bytes);
    (void)madvise(bytes, most, MADV_HUGEPAGE);
    return bytes;
}

static void
give_staging(chunkstore_t *self, group_t *group)
{
    if (group->bytes)
        self->staging[self->staging_count++] = group->bytes;
    group->bytes = NULL;
}

static group_t *
begin_group(writer_t *writer, uint8_t *bytes)
{
    group_t *group = calloc(1, sizeof(*group));
    INVARIANT(group);
    group->op.kind = OP_GROUP;
    group->writer = writer;
    group->bytes = bytes;
    group->start = group->end = writer->tail;
    return group;
}

static void
end_group(chunkstore_t *self, group_t *group)
{
    give_staging(self, group);
    free(group);
}

static void
add_entry(writer_t *writer, const pending_t *pending)
{
    STORE_GROW(writer->table, writer->count, writer->most);
    segment_entry_t *entry = &writer->table[writer->count++];
    *entry = (segment_entry_t){ .kind = pending->kind,
                                .place = pending->place };
    entry->entry.key = pending->header.key;
    if (pending->kind == RECORD_CHUNK) {
        entry->entry = entry_of(&pending->header);
        entry->settled = pending->header.settled;
        if (pending->header.block_us > writer->newest_us)
            writer->newest_us = pending->header.block_us;
    }
}

//  Lay one record at the end of the group. False: its payload is not what its
//  header says, nothing was laid.
static bool
stage(group_t *group, pending_t *pending)
{
    const writer_t *writer = group->writer;
    uint8_t *to = group->bytes + (group->end - group->start);
    uint64_t nonce = writer->head.nonce;
    pending->place = group->end;
    size_t used = RECORD_HEAD_BYTES;
    if (pending->kind == RECORD_CHUNK) {
        uint32_t length = pending->header.length;
        uint32_t crc = checksum_copy_crc32c(
            to + RECORD_HEAD_BYTES, buffer_bytes(pending->payload), length);
        buffer_unref(&pending->payload);
        if (crc != pending->header.payload_crc)
            return false;
        record_pack_chunk(&pending->header, nonce, writer->synced_to,
                          group->end, to);
        used += length;
    } else {
        record_pack_drop(pending->header.key.stream, nonce, writer->synced_to,
                         group->end, to);
    }
    size_t whole = record_bytes(pending->header.length);
    memset(to + used, 0, whole - used);
    group->end += whole;
    return true;
}

//  Whether the first of a list fits into the writer behind the group.
static bool
next_fits(const chunkstore_t *self, const group_t *group,
          const pending_list_t *list)
{
    const writer_t *writer = group->writer;
    return list->first &&
           group->end - group->start < self->settings.group_bytes &&
           segment_fits(writer->head.size, group->end, writer->count,
                        record_bytes(list->first->header.length));
}

static void
stage_next(chunkstore_t *self, group_t *group, pending_list_t *list)
{
    pending_t *pending = pending_pop(list);
    if (!stage(group, pending)) {
        pending_end(self, &pending, STATUS_CORRUPT);
        return;
    }
    add_entry(group->writer, pending);
    pending_push(&group->records, pending);
}

//  Fill the group up from the chain's queue, to whole pages.
static void
fill(chunkstore_t *self, group_t *group)
{
    writer_t *writer = group->writer;
    chain_t *chain = writer->chain;
    while (next_fits(self, group, &self->unlogged))
        stage_next(self, group, &self->unlogged);
    while (next_fits(self, group, &chain->queue)) {
        chain->queue_bytes -= record_bytes(chain->queue.first->header.length);
        stage_next(self, group, &chain->queue);
    }
    uint64_t padded = segment_page_up(group->end);
    memset(group->bytes + (group->end - group->start), 0, padded - group->end);
    group->end = padded;
}

//  Stage one group of what is queued. False: nothing can be staged now.
static bool
stage_group(chunkstore_t *self, writer_t *writer)
{
    uint8_t *bytes = take_staging(self);
    if (!bytes)
        return false;
    group_t *group = begin_group(writer, bytes);
    fill(self, group);
    if (!group->records.first) {
        end_group(self, group);
        return true;
    }
    writer->tail = group->end;
    *writer->groups.end = group;
    writer->groups.end = &group->next;
    return true;
}

static void
issue_groups(chunkstore_t *self, writer_t *writer)
{
    for (group_t *g = writer->groups.first; g && !writer->broken; g = g->next) {
        if (g->issued)
            continue;
        g->issued = submitted(
            writer,
            self->files->write(self->files, writer->segment->handle, g->bytes,
                               g->end - g->start, g->start, (uintptr_t)&g->op));
        if (!g->issued)
            return;
    }
}

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
        status_t status = begin_segment(self, chain);
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
    if (begin_segment(self, chain) == STATUS_OK)
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
        if (!stage_group(self, open))
            break;
        issue_groups(self, open);
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
    if (upto && submit_sync(self, writer))
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
        end_group(self, group);
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
//  Closing

static void
begin_footer(writer_t *writer)
{
    take_page(writer, segment_footer_bytes(writer->count));
    segment_trailer_t trailer = { .end = writer->synced_to,
                                  .newest_us = writer->newest_us,
                                  .count = writer->count };
    segment_pack_footer(&writer->head, &trailer, writer->table, writer->page);
    writer->state = WRITER_FOOTER;
}

//  No more is written to the segment: say so in the index, give back what it
//  does not need.
static void
end_segment(chunkstore_t *self, writer_t *writer)
{
    segment_t *segment = writer->segment;
    chain_t *chain = writer->chain;
    if (chain->open == writer)
        chain->open = NULL;
    if (chain->next == writer)
        chain->next = NULL;
    segment->is.closed = true;
    segment->is.end = writer->synced_to;
    uint64_t footer = writer->page ? writer->page_bytes : 0;
    //  A hole for the little that is left is not worth its journal entry.
    uint64_t limit = segment->is.size - footer;
    if (limit - writer->tail > segment->is.size / 64)
        shelf_add_hole(self, segment, writer->tail, limit);
    index_put_segment(self->index, &segment->is);
    //  Not synced: a start that does not find this reads the footer. Of a
    //  broken segment nothing that was told failed may come back.
    (void)store_commit(self, writer->broken);
    forget_if_empty(self, segment);
}

//  Unmake a segment that has no record.
static void
discard(chunkstore_t *self, writer_t *writer)
{
    segment_t *segment = writer->segment;
    //  A naming that failed may have left either name, or both.
    char *fresh = shelf_path(self, writer->head.id, SHELF_FRESH);
    char *named = shelf_path(self, writer->head.id, SHELF_NAMED);
    self->files->unlink(self->files, fresh);
    self->files->unlink(self->files, named);
    free(fresh);
    free(named);
    if (writer->chain->open == writer)
        writer->chain->open = NULL;
    if (writer->chain->next == writer)
        writer->chain->next = NULL;
    self->allocated -= shelf_bytes(segment);
    remove_writer(self, writer);
    shelf_remove(self, segment);
}

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
        end_group(self, g);
    }
    writer->groups.end = &writer->groups.first;
    free(writer->page);
    writer->page = NULL;
    if (named) {
        end_segment(self, writer);
    } else {
        status_t why = writer->broken;
        discard(self, writer);
        intake_fail(self, chain, why);
        return;
    }
    remove_writer(self, writer);
    intake_recount(self, chain);
}

//  ---------------------------------------------------------------------------
//  Turns

static void
move_head(chunkstore_t *self, writer_t *writer)
{
    if (writer->flying)
        return;
    if (writer->state == WRITER_HEAD_SYNC) {
        submit_sync(self, writer);
        return;
    }
    if (writer->state == WRITER_NAME) {
        submit_names(self, writer);
        return;
    }
    if (!writer->page)
        take_page(writer, SEGMENT_PAGE);
    segment_pack_head(&writer->head, writer->page);
    submit_page(self, writer, 0);
}

static void
move_footer(chunkstore_t *self, writer_t *writer)
{
    if (writer->flying)
        return;
    if (writer->state == WRITER_FOOTER_SYNC)
        submit_sync(self, writer);
    else
        submit_page(self, writer, writer->head.size - writer->page_bytes);
}

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
    issue_groups(self, writer);
    if (!writer->broken)
        start_sync(self, writer);
    bool idle = !writer->groups.first && !writer->flying && !writer->broken;
    if (writer->state == WRITER_OPEN && idle && self->now >= due(writer)) {
        writer->state = WRITER_FULL;
        writer->chain->open = NULL;
    }
    if (writer->state == WRITER_FULL && idle) {
        begin_footer(writer);
        move_footer(self, writer);
    }
}

//  Do what a writer can do now. True: it is no more.
static bool
move_writer(chunkstore_t *self, writer_t *writer)
{
    if (!writer->broken) {
        if (writer->state < WRITER_READY)
            move_head(self, writer);
        else if (writer->state == WRITER_OPEN || writer->state == WRITER_FULL)
            move_records(self, writer);
        else if (writer->state == WRITER_FOOTER ||
                 writer->state == WRITER_FOOTER_SYNC)
            move_footer(self, writer);
    }
    if (writer->broken && !writer->flying) {
        bury(self, writer);
        return true;
    }
    if (writer->state != WRITER_ENDED)
        return false;
    end_segment(self, writer);
    remove_writer(self, writer);
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
    case WRITER_HEAD:
        writer->state = WRITER_HEAD_SYNC;
        break;
    case WRITER_HEAD_SYNC:
        writer->broken = name_segment(self, writer);
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
    if (group)
        give_staging(self, group);
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
        discard(self, next);
    if (!open)
        return;
    if (self->unlogged.first && !open->broken)
        stage_group(self, open);
    if (open->count == 0 && !open->flying) {
        discard(self, open);
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
