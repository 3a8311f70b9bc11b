#include <errno.h>

#include "checksum.h"
#include "entry.h"
#include "invariant.h"
#include "large.h"
#include "store.h"

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
    return large_new(most);
}

void
group_written(chunkstore_t *self, group_t *group)
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

void
group_end(chunkstore_t *self, group_t *group)
{
    group_written(self, group);
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
bool
group_stage(chunkstore_t *self, writer_t *writer)
{
    uint8_t *bytes = take_staging(self);
    if (!bytes)
        return false;
    group_t *group = begin_group(writer, bytes);
    fill(self, group);
    if (!group->records.first) {
        group_end(self, group);
        return true;
    }
    writer->tail = group->end;
    *writer->groups.end = group;
    writer->groups.end = &group->next;
    return true;
}

void
group_issue(chunkstore_t *self, writer_t *writer)
{
    for (group_t *g = writer->groups.first; g && !writer->broken; g = g->next) {
        if (g->issued)
            continue;
        if (self->writing == STORE_WRITES)
            return;
        g->issued = writer_submitted(
            writer,
            self->files->write(self->files, writer->segment->handle, g->bytes,
                               g->end - g->start, g->start, (uintptr_t)&g->op));
        if (!g->issued)
            return;
        self->writing++;
    }
}
