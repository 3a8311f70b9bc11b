#include <errno.h>

#include "invariant.h"
#include "store.h"

#define SWEEP_ENTRIES 1024  //  Forgotten in one turn
#define BURIAL_MS 1000      //  After a failure, until it is tried again

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
        shelf_add_hole(self, segment, range.from, range.to);
        range = (range_t){ places[i].place, end_of(&places[i]) };
    }
    shelf_add_hole(self, segment, range.from, range.to);
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
    if (!segment->is.closed || segment->is.live > 0 || segment->dead)
        return;
    shelf_forget_holes(self, segment);  //  It goes whole
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
forget_part(chunkstore_t *self, const sweep_t *part)
{
    for (size_t done = 0, count; done < part->count; done += count) {
        const index_place_t *first = &part->places[done];
        for (count = 1; done + count < part->count; count++)
            if (first[count].segment != first->segment)
                break;
        forget_records(self, first, count);
    }
}

static void
sweep(chunkstore_t *self, index_drop_t *drop)
{
    sweep_t *part = malloc(sizeof(*part));
    INVARIANT(part);
    part->count = 0;
    chunk_key_t from = { .stream = drop->stream };
    status_t status = store_judge_index(
        self, index_walk(self->index, &from, true, collect, part));
    if (status == STATUS_OK) {
        qsort(part->places, part->count, sizeof(part->places[0]), by_place);
        forget_part(self, part);
        if (part->count < SWEEP_ENTRIES)
            end_sweep(self, drop);
        //  Not synced: what a power cut takes back is swept again.
        (void)store_commit(self, false);
    } else {
        self->sweeping = false;  //  Until the next start
    }
    free(part);
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
//  Trimming: blocks of an epoch that do not count

typedef struct {
    sweep_t part;
    uint64_t below;  //  Blocks below it are wanted
} trim_t;

static bool
collect_below(void *arg, const index_place_t *place)
{
    trim_t *trim = arg;
    return place->entry.key.block < trim->below && collect(&trim->part, place);
}

//  The first blocks of the epoch outside [first, end).
static status_t
collect_outside(chunkstore_t *self, chunk_key_t from, uint64_t first,
                uint64_t end, trim_t *trim)
{
    trim->below = first;
    status_t status = index_walk(self->index, &from, false, collect_below,
                                 trim);
    from.block = end;
    trim->below = UINT64_MAX;
    if (status == STATUS_OK && trim->part.count < SWEEP_ENTRIES)
        status = index_walk(self->index, &from, false, collect_below, trim);
    return store_judge_index(self, status);
}

//  Whether a block outside [first, end) of the epoch is on its way.
static bool
has_pending(chunkstore_t *self, const chunk_key_t *epoch, uint64_t first,
            uint64_t end)
{
    for (pending_t *p = zhashx_first(self->pending); p;
         p = zhashx_next(self->pending)) {
        const chunk_key_t *key = &p->header.key;
        if (key->stream == epoch->stream && key->epoch == epoch->epoch &&
            (key->block < first || key->block >= end))
            return true;
    }
    return false;
}

status_t
chunkstore_trim(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                uint64_t first, uint64_t end, size_t *dropped_r, bool *more_r)
{
    chunk_key_t from = { .stream = stream, .epoch = epoch };
    *dropped_r = 0;
    *more_r = false;
    if (store_dropped(self, stream))
        return STATUS_OK;
    if (self->unusable != STATUS_OK)
        return self->unusable;
    if (has_pending(self, &from, first, end))
        return STATUS_BUSY;
    trim_t *trim = malloc(sizeof(*trim));
    INVARIANT(trim);
    trim->part.count = 0;
    sweep_t *part = &trim->part;
    status_t status = collect_outside(self, from, first, end, trim);
    if (status == STATUS_OK && part->count) {
        qsort(part->places, part->count, sizeof(part->places[0]), by_place);
        forget_part(self, part);
        status = store_commit(self, true);
    }
    if (status == STATUS_OK) {
        *dropped_r = part->count;
        *more_r = part->count == SWEEP_ENTRIES;
    }
    free(trim);
    self->ready = true;
    return status;
}

//  ---------------------------------------------------------------------------
//  Holes: made one at a time, since two of 1 MiB take a fifth of the rate of
//  storing; a segment that dies meanwhile goes whole instead

//  A closed segment that has holes to be made, or NULL.
static segment_t *
next_holed(chunkstore_t *self)
{
    for (size_t i = 0; i < self->segments_count; i++) {
        size_t at = (self->holes_cursor + i) % self->segments_count;
        segment_t *segment = self->segments[at];
        if (segment->holes_count == 0 || !segment->is.closed || segment->writer)
            continue;
        self->holes_cursor = at;
        return segment;
    }
    return NULL;
}

//  What cannot begin now is tried again in a later turn.
static void
begin_hole(chunkstore_t *self, segment_t *segment)
{
    punch_t *punch = &self->punch;
    if (shelf_use(self, segment) < 0) {
        self->holes -= segment->holes_count;
        segment->holes_count = 0;  //  Until the next start
        return;
    }
    range_t range = segment->holes[segment->holes_count - 1];
    *punch = (punch_t){ .op.kind = OP_PUNCH, .range = range };
    int rc = self->files->punch(self->files, segment->handle, range.from,
                                range.to - range.from, (uintptr_t)&punch->op);
    if (rc < 0) {
        shelf_unuse(self, segment);
        return;
    }
    punch->segment = segment;
    segment->holes_count--;
    self->holes--;
}

static void
make_hole(chunkstore_t *self)
{
    if (self->punch.segment || self->holes == 0)
        return;
    segment_t *segment = next_holed(self);
    if (segment)
        begin_hole(self, segment);
}

void
forget_punched(chunkstore_t *self, punch_t *punch, int64_t result)
{
    segment_t *segment = punch->segment;
    range_t range = punch->range;
    punch->segment = NULL;
    //  What the file system will not give back is not asked for again.
    index_delete_hole(self->index, segment->is.id, range.from);
    if (result == 0) {
        uint64_t room = segment->is.size - segment->is.holes;
        uint64_t bytes = range.to - range.from;
        if (bytes > room)
            bytes = room;
        segment->is.holes += bytes;
        self->allocated -= bytes;
        index_put_segment(self->index, &segment->is);
    }
    shelf_unuse(self, segment);
    if (self->unusable == STATUS_OK)
        (void)store_commit(self, false);
}

//  ---------------------------------------------------------------------------
//  Dead segments

//  No record of a drop is wanted that is forgotten.
static void
forget_records_wanted(chunkstore_t *self)
{
    pending_list_t all = self->unlogged;
    self->unlogged = (pending_list_t){ 0 };
    for (pending_t *p; (p = pending_pop(&all));) {
        if (store_dropped(self, p->header.key.stream))
            pending_push(&self->unlogged, p);
        else
            free(p);
    }
}

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
    forget_records_wanted(self);
}

//  Keep the file of a dead segment, when it is whole and few are kept.
static bool
keep_spare(chunkstore_t *self, const segment_t *segment, const char *path)
{
    if (self->spares_count == STORE_SPARES || segment->absent ||
        segment->is.size != self->settings.segment_bytes ||
        segment->is.holes > segment->is.size / 8)
        return false;
    char *spare = shelf_path(self, segment->is.id, SHELF_SPARE);
    int rc = self->files->rename(self->files, path, spare);
    free(spare);
    if (rc == 0)
        self->spares[self->spares_count++] = segment->is.id;
    return rc == 0;
}

//  Have its name gone: kept as a spare at once, or unlinked in the background.
//  False: it cannot be tried now.
static bool
unname(chunkstore_t *self, grave_t *grave)
{
    char *path = shelf_path(self, grave->segment->is.id, SHELF_NAMED);
    grave->op.kind = OP_GRAVE;
    grave->unnamed = keep_spare(self, grave->segment, path);
    int rc = 0;
    if (!grave->unnamed) {
        //  Else its blocks would go with the last close: here, and waiting.
        shelf_close(self, grave->segment);
        rc = self->files->remove(self->files, path, (uintptr_t)&grave->op);
        self->burial.waiting += rc == 0;
    }
    free(path);
    return rc != -EAGAIN;
}

//  Their names are gone, but not durably. What unlinks them then will find
//  nothing.
static void
put_off(chunkstore_t *self, millis_t ms)
{
    self->burial.count = 0;
    self->burial.at = self->now + ms;
    self->dying = true;
}

//  All files are gone: their names are to be, durably.
static void
sync_burial(chunkstore_t *self)
{
    self->burial.op.kind = OP_BURIAL;
    int rc = self->files->sync_names(self->files, self->folder_handle,
                                     (uintptr_t)&self->burial.op);
    if (rc < 0)
        put_off(self, rc == -EAGAIN ? 0 : BURIAL_MS);
}

void
forget_removed(chunkstore_t *self, grave_t *grave, int64_t result)
{
    grave->unnamed = result == 0 || result == -ENOENT;
    if (--self->burial.waiting == 0)
        sync_burial(self);
}

//  Take dead segments' names away. What the index knows of them goes when that
//  is durable: a start finds at worst a segment without a file, of which
//  nothing is live.
static void
begin_burial(chunkstore_t *self)
{
    self->dying = false;
    for (size_t i = 0; i < self->segments_count && !self->dying; i++) {
        segment_t *segment = self->segments[i];
        if (!segment->dead || segment->stays || segment->users > 0 ||
            segment->writer)
            continue;
        if (self->burial.count == STORE_BURIALS) {
            self->dying = true;
            break;
        }
        grave_t *grave = &self->burial.graves[self->burial.count];
        grave->segment = segment;
        if (unname(self, grave))
            self->burial.count++;
        else
            self->dying = true;
    }
    if (self->burial.count > 0 && self->burial.waiting == 0)
        sync_burial(self);
}

void
forget_done(chunkstore_t *self, int64_t result)
{
    if (result < 0 || self->unusable != STATUS_OK) {
        put_off(self, BURIAL_MS);
        return;
    }
    size_t count = self->burial.count;
    self->burial.count = 0;
    for (size_t i = 0; i < count; i++) {
        segment_t *segment = self->burial.graves[i].segment;
        if (!self->burial.graves[i].unnamed) {
            segment->stays = true;  //  The next start finds it dead
            continue;
        }
        self->allocated -= shelf_bytes(segment);
        index_delete_segment(self->index, segment->is.id);
        shelf_remove(self, segment);
    }
    forget_drops(self);
    (void)store_commit(self, false);
}

millis_t
forget_due(const chunkstore_t *self)
{
    bool waits = self->dying && self->burial.count == 0 &&
                 self->unusable == STATUS_OK;
    return waits ? self->burial.at : MILLIS_NEVER;
}

bool
forget_idle(const chunkstore_t *self)
{
    return self->burial.count == 0 && !self->punch.segment;
}

void
forget_turn(chunkstore_t *self)
{
    if (self->unusable != STATUS_OK)
        return;
    index_drop_t *drop = self->sweeping ? next_unswept(self) : NULL;
    if (drop)
        sweep(self, drop);
    make_hole(self);
    if (forget_due(self) <= self->now)
        begin_burial(self);
    self->ready |= self->sweeping;
}

void
forget_destroy(chunkstore_t *self)
{
    for (index_drop_t *drop = zhashx_first(self->drops); drop;
         drop = zhashx_next(self->drops))
        free(drop);
    zhashx_destroy(&self->drops);
}
