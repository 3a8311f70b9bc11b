#include <errno.h>

#include "invariant.h"
#include "store.h"

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

void
writer_remove(chunkstore_t *self, writer_t *writer)
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

//  A file for segment `id`, under its fresh name: a spare one, or a new one,
//  which has no space yet. A handle, or -errno.
static int
make_file(chunkstore_t *self, uint64_t id, bool *new_r)
{
    char *path = shelf_path(self, id, SHELF_FRESH);
    int rc = -ENOENT;
    if (self->spares_count) {
        uint64_t was = self->spares[--self->spares_count];
        char *spare = shelf_path(self, was, SHELF_SPARE);
        rc = self->files->rename(self->files, spare, path);
        if (rc == 0)
            rc = self->files->open(self->files, path, false);
        free(spare);
    }
    *new_r = rc < 0;
    if (*new_r)
        rc = self->files->open(self->files, path, true);
    free(path);
    return rc;
}

//  Begin the chain's next segment under a fresh name.
status_t
writer_begin(chunkstore_t *self, chain_t *chain)
{
    shelf_weigh_index(self);
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
    bool new;
    int rc = make_file(self, is.id, &new);
    if (rc < 0)
        return store_status(rc);
    segment_t *segment = shelf_add(self, &is);
    segment->handle = rc;
    segment->users = 1;
    self->handles++;
    self->allocated += is.size;
    chain->next = add_writer(self, chain, segment);
    chain->next->state = new ? WRITER_SPACE : WRITER_HEAD;
    return STATUS_OK;
}

//  Give it its own name.
status_t
writer_name(chunkstore_t *self, const writer_t *writer)
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

bool
writer_submitted(writer_t *writer, int rc)
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
    writer_submitted(writer,
                     self->files->write(self->files, writer->segment->handle,
                                        writer->page, writer->page_bytes, place,
                                        (uintptr_t)&writer->op));
}

bool
writer_submit_sync(chunkstore_t *self, writer_t *writer)
{
    return writer_submitted(writer, self->files->sync(self->files,
                                                      writer->segment->handle,
                                                      (uintptr_t)&writer->op));
}

static void
submit_names(chunkstore_t *self, writer_t *writer)
{
    writer_submitted(writer,
                     self->files->sync_names(self->files, self->folder_handle,
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

void
writer_move_head(chunkstore_t *self, writer_t *writer)
{
    if (writer->flying)
        return;
    if (writer->state == WRITER_SPACE) {
        writer_submitted(writer, self->files->reserve(self->files,
                                                      writer->segment->handle,
                                                      writer->head.size,
                                                      (uintptr_t)&writer->op));
        return;
    }
    if (writer->state == WRITER_HEAD_SYNC) {
        writer_submit_sync(self, writer);
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

void
writer_move_footer(chunkstore_t *self, writer_t *writer)
{
    if (writer->flying)
        return;
    if (writer->state == WRITER_FOOTER_SYNC)
        writer_submit_sync(self, writer);
    else
        submit_page(self, writer, writer->head.size - writer->page_bytes);
}

//  ---------------------------------------------------------------------------
//  Closing

void
writer_begin_footer(writer_t *writer)
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
void
writer_end(chunkstore_t *self, writer_t *writer)
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
void
writer_discard(chunkstore_t *self, writer_t *writer)
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
    writer_remove(self, writer);
    shelf_remove(self, segment);
}
