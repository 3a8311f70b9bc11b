#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "store.h"

typedef struct {
    chunkstore_each_fn *each;
    void *arg;
} walk_t;

//  A damaged record is not held: another is wanted in its place.
static bool
pass(void *arg, const index_place_t *place)
{
    walk_t *walk = arg;
    return place->rotten || walk->each(walk->arg, &place->entry);
}

status_t
chunkstore_walk(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                uint64_t block, chunkstore_each_fn *each, void *arg)
{
    if (store_dropped(self, stream))
        return STATUS_OK;
    chunk_key_t from = { .stream = stream, .epoch = epoch, .block = block };
    walk_t walk = { each, arg };
    return store_judge_index(
        self, index_walk(self->index, &from, false, pass, &walk));
}

status_t
chunkstore_walk_back(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                     chunkstore_each_fn *each, void *arg)
{
    if (store_dropped(self, stream))
        return STATUS_OK;
    walk_t walk = { each, arg };
    return store_judge_index(self, index_walk_back(self->index, stream, epoch,
                                                   UINT64_MAX, pass, &walk));
}

//  At a dropped stream the walk begins anew behind it.
typedef struct {
    chunkstore_t *self;
    chunkstore_each_fn *each;
    void *arg;
    uint64_t stream;  //  Of the last entry
    bool dropped;     //  It is
} walk_all_t;

static bool
pass_held(void *arg, const index_place_t *place)
{
    walk_all_t *walk = arg;
    uint64_t stream = place->entry.key.stream;
    if (stream != walk->stream)
        walk->dropped = store_dropped(walk->self, stream) != NULL;
    walk->stream = stream;
    if (walk->dropped)
        return false;
    return place->rotten || walk->each(walk->arg, &place->entry);
}

status_t
chunkstore_walk_all(chunkstore_t *self, chunk_key_t from,
                    chunkstore_each_fn *each, void *arg)
{
    walk_all_t walk = { .self = self, .each = each, .arg = arg };
    status_t status;
    do {
        walk.stream = ~from.stream;
        walk.dropped = false;
        status = index_walk_all(self->index, &from, pass_held, &walk);
        from = (chunk_key_t){ .stream = walk.stream + 1 };
    } while (status == STATUS_OK && walk.dropped && from.stream != 0);
    return store_judge_index(self, status);
}

static bool
take_first(void *arg, const index_place_t *place)
{
    index_place_t *first = arg;
    *first = *place;
    return false;
}

size_t
chunkstore_epochs(chunkstore_t *self, uint64_t stream, uint64_t *epochs,
                  size_t most)
{
    size_t count = 0;
    if (store_dropped(self, stream))
        return 0;
    for (chunk_key_t from = { .stream = stream };;) {
        index_place_t first = { .entry.k = 0 };
        status_t status = index_walk(self->index, &from, true, take_first,
                                     &first);
        if (status != STATUS_OK || first.entry.k == 0)
            return count;
        if (count < most)
            epochs[count] = first.entry.key.epoch;
        count++;
        if (first.entry.key.epoch == UINT64_MAX)
            return count;
        from.epoch = first.entry.key.epoch + 1;
    }
}

static int
compare_ids(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

size_t
chunkstore_dropped(const chunkstore_t *self, uint64_t from, uint64_t *streams,
                   size_t most)
{
    zlistx_t *ids = zhashx_keys(self->drops);
    uint64_t *all = calloc(zlistx_size(ids) + 1, sizeof(*all));
    INVARIANT(all);
    size_t count = 0;
    for (uint64_t *id = zlistx_first(ids); id; id = zlistx_next(ids))
        if (*id >= from)
            all[count++] = *id;
    zlistx_destroy(&ids);
    qsort(all, count, sizeof(*all), compare_ids);
    memcpy(streams, all, (count < most ? count : most) * sizeof(*all));
    free(all);
    return count;
}

uint64_t
chunkstore_settled(chunkstore_t *self, uint64_t stream)
{
    return store_dropped(self, stream) ? 0 : index_settled(self->index, stream);
}

//  ---------------------------------------------------------------------------
//  Locate: offset and created grow with the index (R18)

typedef struct {
    bool by_time;
    uint64_t at;
    bool found;
    chunkstore_entry_t entry;
} locate_t;

//  Whether the entry is one a place can lie in.
static bool
has_bytes(const index_place_t *place)
{
    const chunkstore_entry_t *entry = &place->entry;
    return entry->key.slot < entry->k && !(entry->flags & CHUNK_EMPTY) &&
           !place->rotten;
}

static bool
begins_at_or_before(const locate_t *locate, const chunkstore_entry_t *entry)
{
    if (!locate->by_time)
        return entry->offset <= locate->at;
    return entry->created_us <= (micros_t)locate->at;
}

static bool
take_bytes(void *arg, const index_place_t *place)
{
    locate_t *locate = arg;
    if (!has_bytes(place))
        return true;
    locate->found = true;
    locate->entry = place->entry;
    return false;
}

static bool
take_before(void *arg, const index_place_t *place)
{
    locate_t *locate = arg;
    if (!has_bytes(place) || !begins_at_or_before(locate, &place->entry))
        return true;
    locate->found = true;
    locate->entry = place->entry;
    return false;
}

//  The first entry with bytes from `block` on.
static status_t
probe(chunkstore_t *self, uint64_t stream, uint64_t epoch, uint64_t block,
      locate_t *locate)
{
    chunk_key_t from = { .stream = stream, .epoch = epoch, .block = block };
    locate->found = false;
    return index_walk(self->index, &from, false, take_bytes, locate);
}

status_t
chunkstore_locate(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                  bool by_time, uint64_t at, chunkstore_entry_t *entry_r)
{
    locate_t locate = { .by_time = by_time, .at = at };
    if (store_dropped(self, stream))
        return STATUS_MISS;
    //  The last entry with bytes bounds the search from above.
    status_t status = index_walk_back(self->index, stream, epoch, UINT64_MAX,
                                      take_bytes, &locate);
    if (status != STATUS_OK || !locate.found)
        return status == STATUS_OK ? STATUS_MISS : status;
    //  From `high` on everything begins after the place; before `low` not.
    uint64_t low = 0, high = locate.entry.key.block + 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        status = probe(self, stream, epoch, middle, &locate);
        if (status != STATUS_OK)
            return status;
        if (locate.found && begins_at_or_before(&locate, &locate.entry))
            low = locate.entry.key.block + 1;
        else
            high = middle;
    }
    locate.found = false;
    status = index_walk_back(self->index, stream, epoch, low, take_before,
                             &locate);
    if (status != STATUS_OK || !locate.found)
        return status == STATUS_OK ? STATUS_MISS : status;
    *entry_r = locate.entry;
    return STATUS_OK;
}
