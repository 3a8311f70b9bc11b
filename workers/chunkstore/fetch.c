#include <errno.h>

#include "invariant.h"
#include "store.h"

#define TRIES 3  //  Of a read whose record moved meanwhile

static void
push(chunkstore_t *self, fetch_t *fetch)
{
    fetch->next = NULL;
    *self->reads_end = fetch;
    self->reads_end = &fetch->next;
}

static fetch_t *
pop(chunkstore_t *self)
{
    fetch_t *fetch = self->reads_first;
    self->reads_first = fetch->next;
    if (!self->reads_first)
        self->reads_end = &self->reads_first;
    return fetch;
}

status_t
chunkstore_read(chunkstore_t *self, chunk_key_t key, bool header_only,
                uint64_t token)
{
    if (self->reads_count >= STORE_READS_MOST)
        return STATUS_BUSY;
    fetch_t *fetch = calloc(1, sizeof(*fetch));
    INVARIANT(fetch);
    fetch->op.kind = OP_READ;
    fetch->key = key;
    fetch->header_only = header_only;
    fetch->token = token;
    push(self, fetch);
    self->reads_count++;
    self->ready = true;
    return STATUS_OK;
}

static void
answer(chunkstore_t *self, fetch_t *fetch, status_t status,
       const chunk_header_t *header, buffer_t *payload)
{
    store_tell_read(self, fetch->token, status, header, &payload);
    buffer_unref(&fetch->bytes);
    free(fetch);
    self->reads_count--;
}

//  Where the record of the key is now; STATUS_MISS, STATUS_GONE, STATUS_IO.
static status_t
look_up(chunkstore_t *self, const chunk_key_t *key, index_place_t *place_r)
{
    if (store_dropped(self, key->stream))
        return STATUS_GONE;
    status_t status = store_judge_index(self,
                                        index_find(self->index, key, place_r));
    return status == STATUS_OK || status == STATUS_MISS ? status : STATUS_IO;
}

//  The record is damaged: say so, and let it be stored again.
static void
note_rot(chunkstore_t *self, const index_place_t *found)
{
    if (found->rotten)
        return;
    self->rot++;
    index_place_t place = *found;
    place.rotten = true;
    index_put(self->index, &place);
    (void)store_commit(self, false);
}

//  What was read is not the record. Only the index can say whether it should
//  have been: it may have been dropped or stored elsewhere meanwhile (R18).
static void
judge(chunkstore_t *self, fetch_t *fetch, status_t status)
{
    index_place_t now;
    status_t found = look_up(self, &fetch->key, &now);
    bool moved = found == STATUS_OK && (now.segment != fetch->found.segment ||
                                        now.place != fetch->found.place);
    if (moved && ++fetch->tries < TRIES) {
        buffer_unref(&fetch->bytes);
        push(self, fetch);
        return;
    }
    //  It was there when the read began.
    if (found == STATUS_MISS)
        found = STATUS_GONE;
    if (found == STATUS_OK && status == STATUS_CORRUPT)
        note_rot(self, &now);
    answer(self, fetch, found == STATUS_OK ? status : found, NULL, NULL);
}

static uint64_t
first_page(const fetch_t *fetch)
{
    return fetch->found.place - fetch->found.place % SEGMENT_PAGE;
}

//  False: too much is in flight, the read waits.
static bool
start(chunkstore_t *self, fetch_t *fetch)
{
    status_t status = look_up(self, &fetch->key, &fetch->found);
    if (status != STATUS_OK) {
        answer(self, fetch, status, NULL, NULL);
        return true;
    }
    segment_t *segment = shelf_find(self, fetch->found.segment);
    int rc = segment && !segment->absent ? shelf_use(self, segment) : -ENOENT;
    if (rc < 0) {
        judge(self, fetch, rc == -ENOENT ? STATUS_CORRUPT : STATUS_IO);
        return true;
    }
    uint64_t bytes = fetch->header_only
                         ? RECORD_HEAD_BYTES
                         : record_bytes(fetch->found.entry.length);
    uint64_t from = first_page(fetch);
    uint64_t to = segment_page_up(fetch->found.place + bytes);
    fetch->segment = segment;
    fetch->bytes = buffer_new_aligned(to - from, FILES_ALIGNMENT);
    rc = self->files->read(self->files, segment->handle,
                           buffer_fill(fetch->bytes), to - from, from,
                           (uintptr_t)&fetch->op);
    if (rc == 0) {
        self->reads_flying++;
        return true;
    }
    shelf_unuse(self, segment);
    buffer_unref(&fetch->bytes);
    if (rc == -EAGAIN)
        return false;
    judge(self, fetch, STATUS_IO);
    return true;
}

void
fetch_turn(chunkstore_t *self)
{
    while (self->reads_first && self->reads_flying < STORE_READS) {
        fetch_t *fetch = pop(self);
        if (start(self, fetch))
            continue;
        push(self, fetch);
        return;
    }
}

//  Read the record out of what came from the disk.
static status_t
read_record(const fetch_t *fetch, size_t size, record_t *record_r)
{
    size_t skip = fetch->found.place - first_page(fetch);
    const uint8_t *from = buffer_bytes(fetch->bytes) + skip;
    uint64_t nonce = fetch->segment->is.nonce, place = fetch->found.place;
    if (size < skip + RECORD_HEAD_BYTES)
        return STATUS_CORRUPT;
    status_t status = fetch->header_only
                          ? record_read_head(from, nonce, place, record_r)
                          : record_read(from, size - skip, nonce, place,
                                        record_r);
    if (status == STATUS_OK &&
        (record_r->frame.kind != RECORD_CHUNK ||
         chunk_key_compare(&record_r->header.key, &fetch->key) != 0))
        return STATUS_CORRUPT;
    return status;
}

void
fetch_done(chunkstore_t *self, fetch_t *fetch, int64_t result)
{
    self->reads_flying--;
    record_t record;
    status_t status = STATUS_IO;
    if (result >= 0)
        status = read_record(fetch, (size_t)result, &record);
    shelf_unuse(self, fetch->segment);
    if (status != STATUS_OK) {
        judge(self, fetch, status);
        return;
    }
    if (store_dropped(self, fetch->key.stream)) {
        answer(self, fetch, STATUS_GONE, NULL, NULL);
        return;
    }
    size_t from = (size_t)(record.payload - buffer_bytes(fetch->bytes));
    buffer_t *payload = NULL;
    if (!fetch->header_only)
        payload = buffer_slice(fetch->bytes, from, record.frame.length);
    answer(self, fetch, STATUS_OK, &record.header, payload);
}

void
fetch_destroy(chunkstore_t *self)
{
    INVARIANT(self->reads_count == 0);
}
