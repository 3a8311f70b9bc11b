#include <errno.h>

#include "invariant.h"
#include "store.h"

#define SWEEP_ENTRIES 128  //  Forgotten in one turn

index_drop_t *
forget_add(chunkstore_t *self, const index_drop_t *drop)
{
    index_drop_t *own = store_dropped(self, drop->stream);
    if (own)
        return own;
    own = malloc(sizeof(*own));
    INVARIANT(own);
    *own = *drop;
    int rc = zhashx_insert(self->drops, &own->stream, own);
    INVARIANT(rc == 0);
    self->sweeping |= !own->swept;
    return own;
}

static void
want_record(chunkstore_t *self, uint64_t stream)
{
    pending_t *pending = calloc(1, sizeof(*pending));
    INVARIANT(pending);
    pending->kind = RECORD_DROP;
    pending->header.key.stream = stream;
    pending_push(&self->unlogged, pending);
}

static bool
stop(void *arg, const index_place_t *place)
{
    (void)place;
    *(bool *)arg = true;
    return false;
}

//  Whether anything of the stream is held or on its way.
static bool
has_any(chunkstore_t *self, uint64_t stream)
{
    for (pending_t *p = zhashx_first(self->pending); p;
         p = zhashx_next(self->pending))
        if (p->header.key.stream == stream)
            return true;
    bool found = false;
    chunk_key_t from = { .stream = stream };
    status_t status = index_walk(self->index, &from, true, stop, &found);
    return found || status != STATUS_OK;
}

status_t
chunkstore_drop(chunkstore_t *self, uint64_t stream)
{
    if (store_dropped(self, stream))
        return STATUS_OK;
    if (self->unusable != STATUS_OK)
        return self->unusable;
    if (!has_any(self, stream))
        return STATUS_OK;
    index_drop_t drop = {
        .stream = stream,
        .newest = self->identity.boot << 32 | self->ids,
    };
    index_put_drop(self->index, &drop);
    status_t status = store_commit(self, true);
    if (status != STATUS_OK)
        return status;
    forget_add(self, &drop);
    want_record(self, stream);
    self->ready = true;
    return STATUS_OK;
}

//  ---------------------------------------------------------------------------
//  Sweeping: entries and space of dropped streams, a part each turn

typedef struct {
    index_place_t places[SWEEP_ENTRIES];
    size_t count;
} sweep_t;

static bool
collect(void *arg, const index_place_t *place)
{
    sweep_t *sweep = arg;
    sweep->places[sweep->count++] = *place;
    return sweep->count < SWEEP_ENTRIES;
}

static int
by_place(const void *a, const void *b)
{
    const index_place_t *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

//  A range of the segment holds nothing any more.
static void
give_back(chunkstore_t *self, segment_t *segment, range_t range)
{
    writer_t *writer = segment->writer;
    if (segment->absent || (segment->is.closed && segment->is.live == 0))
        return;
    if (!writer) {
        shelf_punch(self, segment, range.from, range.to);
        return;
    }
    //  A hole in an open segment would look like rot to a start.
    STORE_GROW(writer->holes, writer->holes_count, writer->holes_most);
    writer->holes[writer->holes_count++] = range;
}

static uint64_t
end_of(const index_place_t *place)
{
    return place->place + record_bytes(place->entry.length);
}

//  Give back the ranges of `count` records of one segment, neighbours as one.
static void
give_back_all(chunkstore_t *self, segment_t *segment,
              const index_place_t *places, size_t count)
{
    range_t range = { places[0].place, end_of(&places[0]) };
    for (size_t i = 1; i < count; i++) {
        if (places[i].place == range.to) {
            range.to = end_of(&places[i]);
            continue;
        }
        give_back(self, segment, range);
        range = (range_t){ places[i].place, end_of(&places[i]) };
    }
    give_back(self, segment, range);
}

void
forget_entry(chunkstore_t *self, segment_t *segment, uint32_t length)
{
    INVARIANT(segment->is.live > 0);
    segment->is.live--;
    segment->is.live_bytes -= length;
    self->chunks--;
    self->bytes -= length;
    index_put_segment(self->index, &segment->is);
}

void
forget_if_empty(chunkstore_t *self, segment_t *segment)
{
    if (!segment->is.closed || segment->is.live > 0)
        return;
    segment->dead = true;
    self->dying = true;
    self->ready = true;
}

//  Forget `count` records of one segment.
static void
forget_records(chunkstore_t *self, const index_place_t *places, size_t count)
{
    segment_t *segment = shelf_find(self, places[0].segment);
    for (size_t i = 0; i < count; i++) {
        index_delete(self->index, &places[i].entry.key);
        if (segment)
            forget_entry(self, segment, places[i].entry.length);
    }
    if (!segment)
        return;
    give_back_all(self, segment, places, count);
    index_put_segment(self->index, &segment->is);
    forget_if_empty(self, segment);
}

//  All entries of the stream are deleted.
static void
end_sweep(chunkstore_t *self, index_drop_t *drop)
{
    drop->swept = true;
    index_put_drop(self->index, drop);
    index_delete_settled(self->index, drop->stream);
}

static void
sweep(chunkstore_t *self, index_drop_t *drop)
{
    sweep_t part = { .count = 0 };
    chunk_key_t from = { .stream = drop->stream };
    status_t status = index_walk(self->index, &from, true, collect, &part);
    if (status != STATUS_OK) {
        self->sweeping = false;  //  Until the next start
        return;
    }
    qsort(part.places, part.count, sizeof(part.places[0]), by_place);
    for (size_t i = 0, j; i < part.count; i = j) {
        for (j = i + 1; j < part.count; j++)
            if (part.places[j].segment != part.places[i].segment)
                break;
        forget_records(self, &part.places[i], j - i);
    }
    if (part.count < SWEEP_ENTRIES)
        end_sweep(self, drop);
    //  Not synced: what a power cut takes back is swept again.
    (void)store_commit(self, false);
}

static index_drop_t *
next_unswept(chunkstore_t *self)
{
    for (index_drop_t *drop = zhashx_first(self->drops); drop;
         drop = zhashx_next(self->drops))
        if (!drop->swept)
            return drop;
    self->sweeping = false;
    return NULL;
}

//  ---------------------------------------------------------------------------
//  Dead segments

//  Drops that no segment is old enough to remember need not be remembered.
static void
forget_drops(chunkstore_t *self)
{
    uint64_t oldest = UINT64_MAX;
    if (self->segments_count)
        oldest = self->segments[0]->is.id;
    zlistx_t *streams = zhashx_keys(self->drops);
    for (uint64_t *stream = zlistx_first(streams); stream;
         stream = zlistx_next(streams)) {
        index_drop_t *drop = store_dropped(self, *stream);
        if (!drop->swept || drop->newest >= oldest)
            continue;
        index_delete_drop(self->index, drop->stream);
        zhashx_delete(self->drops, stream);
        free(drop);
    }
    zlistx_destroy(&streams);
}

static bool
unlink_segment(chunkstore_t *self, segment_t *segment)
{
    char *path = shelf_path(self, segment->is.id, SHELF_NAMED);
    int rc = self->files->unlink(self->files, path);
    free(path);
    return rc == 0 || rc == -ENOENT;
}

//  Unlink dead segments, first the files and then what the index knows: a
//  start finds at worst a segment without a file, of which nothing is live.
static void
bury_dead(chunkstore_t *self)
{
    self->dying = false;
    segment_t *buried[16];
    size_t count = 0;
    for (size_t i = 0; i < self->segments_count && count < 16; i++) {
        segment_t *segment = self->segments[i];
        if (segment->dead && segment->users == 0 && !segment->writer &&
            unlink_segment(self, segment))
            buried[count++] = segment;
    }
    if (count == 0 ||
        self->files->sync_directory(self->files, self->folder) < 0)
        return;
    self->dying = count == 16;
    for (size_t i = 0; i < count; i++) {
        self->allocated -= shelf_bytes(buried[i]);
        index_delete_segment(self->index, buried[i]->is.id);
        shelf_remove(self, buried[i]);
    }
    forget_drops(self);
    (void)store_commit(self, false);
}

void
forget_turn(chunkstore_t *self)
{
    if (self->unusable != STATUS_OK)
        return;
    index_drop_t *drop = self->sweeping ? next_unswept(self) : NULL;
    if (drop)
        sweep(self, drop);
    if (self->dying && self->unusable == STATUS_OK)
        bury_dead(self);
    self->ready |= self->sweeping || self->dying;
}

void
forget_destroy(chunkstore_t *self)
{
    for (index_drop_t *drop = zhashx_first(self->drops); drop;
         drop = zhashx_next(self->drops))
        free(drop);
    zhashx_destroy(&self->drops);
}
