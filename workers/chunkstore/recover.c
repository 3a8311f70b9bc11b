#include <errno.h>
#include <inttypes.h>

#include "entry.h"
#include "invariant.h"
#include "store.h"

#define VIEW_BYTES (8 * 1024 * 1024)  //  Read at once; over any record

//  ---------------------------------------------------------------------------
//  The folder

typedef struct {
    uint64_t *named;
    size_t named_count, named_most;
    char **unwanted;  //  Names of unfinished segments and of spare files
    size_t unwanted_count, unwanted_most;
} names_t;

static void
take_name(void *arg, const char *name)
{
    names_t *names = arg;
    char suffix[5];
    uint64_t id;
    int used = 0;
    if (sscanf(name, "%16" SCNx64 "%4s%n", &id, suffix, &used) != 2 ||
        name[used] != 0)
        return;
    if (strcmp(suffix, SHELF_NAMED) == 0) {
        STORE_GROW(names->named, names->named_count, names->named_most);
        names->named[names->named_count++] = id;
    } else if (strcmp(suffix, SHELF_FRESH) == 0 ||
               strcmp(suffix, SHELF_SPARE) == 0) {
        STORE_GROW(names->unwanted, names->unwanted_count,
                   names->unwanted_most);
        names->unwanted[names->unwanted_count++] = strdup(name);
    }
}

//  ---------------------------------------------------------------------------
//  Reading a segment from end to end

typedef struct {
    chunkstore_t *self;
    segment_t *segment;
    uint8_t *bytes;
    uint64_t from, to;  //  What of the file is in `bytes`
    bool failed;
} view_t;

//  `size` bytes at `place`, or NULL at the file's end or when it cannot be
//  read. Good until the next call.
static const uint8_t *
view(view_t *view, uint64_t place, uint64_t size)
{
    if (place < view->from || place + size > view->to) {
        if (place + size > view->segment->is.size)
            return NULL;
        view->from = view->to = place - place % SEGMENT_PAGE;
        uint64_t most = view->segment->is.size - view->from;
        int64_t rc = store_read_now(
            view->self, view->segment->handle, view->bytes,
            most < VIEW_BYTES ? most : VIEW_BYTES, view->from);
        view->failed |= rc < 0;
        view->to += rc > 0 ? (uint64_t)rc : 0;
        if (place + size > view->to)
            return NULL;
    }
    return view->bytes + (place - view->from);
}

//  The whole record at `place`, checked. False: there is none.
static bool
record_at(view_t *from, uint64_t place, record_t *record_r)
{
    record_frame_t frame;
    uint64_t nonce = from->segment->is.nonce;
    const uint8_t *bytes = view(from, place, RECORD_HEAD_BYTES);
    if (!bytes || !record_read_frame(bytes, nonce, place, &frame) ||
        frame.length > LIMIT_PAYLOAD_BYTES)
        return false;
    uint64_t size = record_bytes(frame.length);
    bytes = view(from, place, size);
    return bytes &&
           record_read(bytes, size, nonce, place, record_r) == STATUS_OK;
}

typedef struct {
    segment_entry_t *entries;
    size_t count, most;
    uint64_t proven;     //  The largest synced_to seen
    micros_t newest_us;  //  When the youngest block was opened
} found_t;

static void
add_found(found_t *found, const record_t *record, uint64_t place)
{
    STORE_GROW(found->entries, found->count, found->most);
    segment_entry_t *entry = &found->entries[found->count++];
    *entry = (segment_entry_t){ .kind = record->frame.kind, .place = place };
    entry->entry.key.stream = record->stream;
    if (record->frame.kind == RECORD_CHUNK) {
        entry->entry = entry_of(&record->header);
        entry->settled = record->header.settled;
        if (record->header.block_us > found->newest_us)
            found->newest_us = record->header.block_us;
    }
    if (record->frame.synced_to > found->proven)
        found->proven = record->frame.synced_to;
}

//  Every good record from `from` on, whatever lies between them.
static void
scan(view_t *from, uint64_t place, found_t *found)
{
    uint64_t size = from->segment->is.size;
    while (place + RECORD_HEAD_BYTES <= size) {
        record_t record;
        if (record_at(from, place, &record)) {
            add_found(found, &record, place);
            place += record_bytes(record.frame.length);
        } else {
            place += RECORD_ALIGNMENT;
        }
    }
}

//  Keep the records that count: all below the prefix proven durable, where
//  what is missing is rot, and above it those without a gap before them: what
//  follows is the torn end (R17). Returns where they end.
static uint64_t
judge(chunkstore_t *self, found_t *found, uint64_t from)
{
    uint64_t end = from;
    size_t kept = 0;
    for (; kept < found->count; kept++) {
        const segment_entry_t *next = &found->entries[kept];
        bool gap = next->place != end && next->place != segment_page_up(end);
        if (gap && segment_page_up(end) >= found->proven)
            break;
        self->rot += gap;
        end = next->place + record_bytes(next->entry.length);
    }
    found->count = kept;
    if (segment_page_up(end) < found->proven) {
        self->rot++;
        end = found->proven;
    }
    return segment_page_up(end);
}

//  ---------------------------------------------------------------------------
//  Taking up what was found

static void
take_chunk(chunkstore_t *self, segment_t *segment, const segment_entry_t *found)
{
    index_place_t held;
    status_t status = index_find(self->index, &found->entry.key, &held);
    if (status == STATUS_OK && !held.rotten)
        return;
    if (status == STATUS_OK) {
        segment_t *was = shelf_find(self, held.segment);
        if (was)
            forget_entry(self, was, held.entry.length);
    }
    index_put(self->index, &(index_place_t){ .entry = found->entry,
                                             .segment = segment->is.id,
                                             .place = found->place });
    store_settled(self, found->entry.key.stream, found->settled);
    segment->is.live++;
    segment->is.live_bytes += found->entry.length;
    self->chunks++;
    self->bytes += found->entry.length;
}

static void
take_entry(chunkstore_t *self, segment_t *segment, const segment_entry_t *found)
{
    uint64_t stream = found->entry.key.stream;
    index_drop_t *drop = store_dropped(self, stream);
    if (!drop && found->kind == RECORD_CHUNK) {
        take_chunk(self, segment, found);
        return;
    }
    if (!drop)
        drop = forget_add(self, &(index_drop_t){ .stream = stream });
    if (drop->newest < segment->is.id)
        drop->newest = segment->is.id;
    index_put_drop(self->index, drop);
}

//  One record at a time is found by its key in the index: what comes twice is
//  seen there only once the batch is committed.
static status_t
take_all(chunkstore_t *self, segment_t *segment, const found_t *found)
{
    for (size_t i = 0; i < found->count; i++)
        take_entry(self, segment, &found->entries[i]);
    segment->is.records += found->count;
    if (found->newest_us > segment->is.newest_us)
        segment->is.newest_us = found->newest_us;
    index_put_segment(self->index, &segment->is);
    return store_commit(self, false);
}

//  ---------------------------------------------------------------------------
//  One segment

//  Its header, or what of it is known otherwise.
static status_t
read_head(chunkstore_t *self, view_t *from, bool known)
{
    index_segment_t *is = &from->segment->is;
    segment_head_t head;
    record_frame_t frame;
    const uint8_t *page = view(from, 0, SEGMENT_PAGE);
    if (page && segment_unpack_head(page, &head) == STATUS_OK) {
        if (head.id != is->id || head.store != self->identity.store)
            return STATUS_CORRUPT;
        is->nonce = head.nonce;
        is->size = head.size;
        is->retention = head.retention;
        return STATUS_OK;
    }
    self->rot++;
    if (known)
        return STATUS_OK;
    //  Nobody knows its nonce, unless the first record is there to tell.
    const uint8_t *first = view(from, SEGMENT_FIRST, RECORD_FRAME_BYTES);
    if (!first)
        return STATUS_CORRUPT;
    is->nonce = record_frame_nonce(first);
    return record_read_frame(first, is->nonce, SEGMENT_FIRST, &frame)
               ? STATUS_OK
               : STATUS_CORRUPT;
}

//  The records by the footer's word. False: it has none, or a damaged one.
static bool
read_footer(view_t *from, found_t *found, uint64_t *end_r)
{
    const index_segment_t *is = &from->segment->is;
    segment_head_t head = { .id = is->id,
                            .nonce = is->nonce,
                            .size = is->size };
    segment_trailer_t told;
    const uint8_t *trailer = view(from, is->size - SEGMENT_TRAILER_BYTES,
                                  SEGMENT_TRAILER_BYTES);
    if (!trailer || segment_unpack_trailer(trailer, &head, &told) != STATUS_OK)
        return false;
    size_t count = told.count;
    *end_r = told.end;
    found->newest_us = told.newest_us;
    uint64_t bytes = segment_footer_bytes(count);
    const uint8_t *footer = view(from, is->size - bytes, bytes);
    found->entries = calloc(count + 1, sizeof(*found->entries));
    INVARIANT(found->entries);
    found->most = count + 1;
    if (!footer || segment_unpack_footer(footer, &head, found->entries,
                                         count) != STATUS_OK)
        return false;
    found->count = count;
    return true;
}

//  Those at or above `from`: the index has the others.
static void
leave_known(found_t *found, uint64_t from)
{
    size_t first = 0;
    while (first < found->count && found->entries[first].place < from)
        first++;
    found->count -= first;
    memmove(found->entries, found->entries + first,
            found->count * sizeof(*found->entries));
}

//  Read an unclosed segment and close it (invariant 3).
static status_t
replay_view(chunkstore_t *self, view_t *from, bool known)
{
    segment_t *segment = from->segment;
    status_t status = read_head(self, from, known);
    if (from->failed)
        return STATUS_IO;  //  What cannot be read may well be ours
    if (status != STATUS_OK)
        return status;
    uint64_t mark = segment->is.end, end = mark;
    found_t found = { .proven = mark };
    bool sealed = read_footer(from, &found, &end);
    if (sealed) {
        leave_known(&found, mark);
    } else {
        scan(from, mark, &found);
        end = judge(self, &found, mark);
    }
    //  What a process wrote before it died may not be on the disk yet, and we
    //  are about to say that we hold it.
    status = from->failed ? STATUS_IO : STATUS_OK;
    if (status == STATUS_OK && store_sync_now(self, segment->handle) < 0)
        status = STATUS_IO;
    if (status == STATUS_OK) {
        segment->is.end = end;
        segment->is.closed = true;
        if (!sealed)
            shelf_add_hole(self, segment, end, segment->is.size);
        status = take_all(self, segment, &found);
    }
    free(found.entries);
    return status;
}

static status_t
replay(chunkstore_t *self, segment_t *segment, bool known)
{
    int rc = shelf_use(self, segment);
    if (rc < 0)
        return store_status(rc);
    self->replayed++;
    view_t from = { .self = self, .segment = segment };
    uint64_t bytes = VIEW_BYTES;
    if (segment->is.size < bytes)
        bytes = segment_page_up(segment->is.size) + SEGMENT_PAGE;
    from.bytes = aligned_alloc(FILES_ALIGNMENT, bytes);
    INVARIANT(from.bytes);
    status_t status = replay_view(self, &from, known);
    free(from.bytes);
    shelf_unuse(self, segment);
    return status;
}

//  ---------------------------------------------------------------------------
//  All of them

static void
take_segment(void *arg, const index_segment_t *is)
{
    chunkstore_t *self = arg;
    segment_t *segment = shelf_add(self, is);
    segment->absent = true;  //  Until its file is found
    self->chunks += is->live;
    self->bytes += is->live_bytes;
}

static void
take_hole(void *arg, const index_hole_t *hole)
{
    chunkstore_t *self = arg;
    segment_t *segment = shelf_find(self, hole->segment);
    if (segment && hole->from < hole->to && hole->to <= segment->is.size)
        shelf_know_hole(self, segment, (range_t){ hole->from, hole->to });
    else
        index_delete_hole(self->index, hole->segment, hole->from);
}

static void
take_drop(void *arg, const index_drop_t *drop)
{
    forget_add(arg, drop);
}

static status_t
say(status_t status, const char *what, uint64_t id, char *why_r,
    size_t why_size)
{
    snprintf(why_r, why_size, "segment %016" PRIx64 ": %s", id, what);
    return status;
}

//  A file under a segment's own name.
static status_t
take_file(chunkstore_t *self, uint64_t id, char *why_r, size_t why_size)
{
    segment_t *segment = shelf_find(self, id);
    bool known = segment;
    if (!known)
        segment = shelf_add(self, &(index_segment_t){
                                      .id = id,
                                      .end = SEGMENT_FIRST,
                                      .size = self->settings.segment_bytes,
                                  });
    segment->absent = false;
    status_t status = STATUS_OK;
    //  What replaying gives back was never counted as taken.
    uint64_t allocated = self->allocated;
    if (!segment->is.closed)
        status = replay(self, segment, known);
    self->allocated = allocated;
    if (status == STATUS_CORRUPT && !known) {
        //  Not ours, or its header and first record are gone: left alone.
        shelf_remove(self, segment);
        return STATUS_OK;
    }
    self->allocated += shelf_bytes(segment);
    if (status != STATUS_OK)
        return say(status, status_text(status), id, why_r, why_size);
    return STATUS_OK;
}

static status_t
take_files(chunkstore_t *self, const names_t *names, char *why_r,
           size_t why_size)
{
    for (size_t i = 0; i < names->unwanted_count; i++) {
        char *path = NULL;
        int rc = asprintf(&path, "%s/%s", self->folder, names->unwanted[i]);
        INVARIANT(rc > 0);
        rc = self->files->unlink(self->files, path);
        if (rc < 0)
            snprintf(why_r, why_size, "%s cannot be removed: %s", path,
                     strerror(-rc));
        free(path);
        if (rc < 0)
            return store_status(rc);
    }
    status_t status = STATUS_OK;
    for (size_t i = 0; i < names->named_count && status == STATUS_OK; i++)
        status = take_file(self, names->named[i], why_r, why_size);
    return status;
}

status_t
recover(chunkstore_t *self, char *why_r, size_t why_size)
{
    status_t status = index_drops(self->index, take_drop, self);
    if (status == STATUS_OK)
        status = index_segments(self->index, take_segment, self);
    if (status == STATUS_OK)
        status = index_holes(self->index, take_hole, self);
    if (status != STATUS_OK) {
        snprintf(why_r, why_size, "the index of %s cannot be read", self->path);
        return status;
    }
    names_t names = { 0 };
    int rc = self->files->list(self->files, self->folder, take_name, &names);
    if (rc < 0) {
        snprintf(why_r, why_size, "%s cannot be listed: %s", self->folder,
                 strerror(-rc));
        status = store_status(rc);
    } else {
        status = take_files(self, &names, why_r, why_size);
    }
    free(names.named);
    while (names.unwanted_count > 0)
        free(names.unwanted[--names.unwanted_count]);
    free(names.unwanted);
    shelf_weigh_index(self);
    for (size_t i = 0; i < self->segments_count; i++) {
        segment_t *segment = self->segments[i];
        segment->is.closed |= segment->absent;
        forget_if_empty(self, segment);
    }
    return status;
}
