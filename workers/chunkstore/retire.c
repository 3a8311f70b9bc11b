/*  Segments below the horizon (R15). The footer tells which entries point at a
 *  segment; they are deleted a part each turn, then it is dead like any other
 *  that nothing points at. One without a footer, or without its file, has its
 *  entries looked for in the whole index.
 */
#include <errno.h>

#include "invariant.h"
#include "store.h"

#define SLICE_ENTRIES 256  //  Forgotten in one turn
#define SLICE_LOOKED 1024  //  Entries looked at in one turn

void
chunkstore_retain(chunkstore_t *self, uint8_t retention, micros_t horizon_us,
                  millis_t span_ms)
{
    chain_t *chain = intake_chain(self, retention);
    chain->span_ms = span_ms > 0 ? span_ms : STORE_SEGMENT_MS;
    if (horizon_us > chain->horizon_us)
        chain->horizon_us = horizon_us;
    //  Also when it has not moved: segments close meanwhile.
    if (chain->horizon_us > 0)
        self->aging = self->ready = true;
}

static bool
below(const chunkstore_t *self, const segment_t *segment)
{
    const chain_t *chain = self->chains[segment->is.retention];
    return chain && segment->is.closed && !segment->writer && !segment->dead &&
           !segment->kept && segment->is.live > 0 &&
           segment->is.newest_us < chain->horizon_us;
}

static void
leave(chunkstore_t *self)
{
    retire_t *retire = &self->retire;
    shelf_unuse(self, retire->segment);
    free(retire->entries);
    free(retire->bytes);
    *retire = (retire_t){ .segment = NULL };
}

//  All is done for it that can be.
static void
end(chunkstore_t *self)
{
    segment_t *segment = self->retire.segment;
    if (segment->is.live == 0 && self->events.retired)
        self->events.retired(self->with, segment->is.size);
    segment->kept = segment->is.live > 0;
    leave(self);
}

//  Without its footer: look for its entries.
static void
walk_instead(retire_t *retire)
{
    retire->walking = true;
    retire->from = (chunk_key_t){ 0 };
    free(retire->bytes);
    retire->bytes = NULL;
}

static void
read_footer(chunkstore_t *self, retire_t *retire)
{
    const index_segment_t *is = &retire->segment->is;
    retire->bytes_count = segment_footer_bytes(is->records);
    if (is->records > SEGMENT_RECORDS || retire->bytes_count > is->size) {
        walk_instead(retire);
        return;
    }
    retire->op.kind = OP_FOOTER;
    retire->bytes = aligned_alloc(FILES_ALIGNMENT, retire->bytes_count);
    INVARIANT(retire->bytes);
    int rc = self->files->read(self->files, retire->segment->handle,
                               retire->bytes, retire->bytes_count,
                               is->size - retire->bytes_count,
                               (uintptr_t)&retire->op);
    retire->flying = rc == 0;
    if (rc == -EAGAIN)
        leave(self);  //  For a later turn
    else if (rc != 0)
        walk_instead(retire);
}

//  Take the next segment that is below its horizon, if there is one.
static void
begin(chunkstore_t *self)
{
    retire_t *retire = &self->retire;
    for (size_t i = 0; i < self->segments_count; i++) {
        segment_t *segment = self->segments[i];
        if (!below(self, segment))
            continue;
        *retire = (retire_t){ .segment = segment };
        if (!segment->absent && shelf_use(self, segment) == 0) {
            read_footer(self, retire);
        } else {
            segment->users++;  //  Its place on the shelf, if not its file
            walk_instead(retire);
        }
        return;
    }
    self->aging = false;
}

//  The footer as read; false: it is none.
static bool
unpack(retire_t *retire)
{
    const index_segment_t *is = &retire->segment->is;
    segment_head_t head = { .id = is->id,
                            .nonce = is->nonce,
                            .size = is->size };
    retire->count = is->records;
    retire->entries = calloc(retire->count + 1, sizeof(*retire->entries));
    INVARIANT(retire->entries);
    return segment_unpack_footer(retire->bytes, &head, retire->entries,
                                 retire->count) == STATUS_OK;
}

void
retire_done(chunkstore_t *self, int64_t result)
{
    retire_t *retire = &self->retire;
    retire->flying = false;
    self->ready = true;
    if (result != (int64_t)retire->bytes_count || !unpack(retire))
        walk_instead(retire);
    free(retire->bytes);
    retire->bytes = NULL;
}

static void
forget(chunkstore_t *self, const chunk_key_t *key, uint32_t length)
{
    index_delete(self->index, key);
    forget_entry(self, self->retire.segment, length);
}

//  Delete what the next lines of the footer name; true when that was all.
static bool
slice(chunkstore_t *self, retire_t *retire)
{
    for (int i = 0; i < SLICE_ENTRIES; i++, retire->next++) {
        if (retire->next == retire->count) {
            //  Whatever the footer does not name is looked for.
            if (retire->segment->is.live > 0)
                walk_instead(retire);
            return retire->segment->is.live == 0;
        }
        const segment_entry_t *line = &retire->entries[retire->next];
        index_place_t place;
        if (line->kind == RECORD_CHUNK &&
            index_find(self->index, &line->entry.key, &place) == STATUS_OK &&
            place.segment == retire->segment->is.id &&
            place.place == line->place)
            forget(self, &line->entry.key, place.entry.length);
    }
    return false;
}

typedef struct {
    chunkstore_t *self;
    size_t looked;
    chunk_key_t last;
} look_t;

static bool
look_at(void *arg, const index_place_t *place)
{
    look_t *look = arg;
    look->last = place->entry.key;
    if (place->segment == look->self->retire.segment->is.id)
        forget(look->self, &place->entry.key, place->entry.length);
    return ++look->looked < SLICE_LOOKED;
}

//  The same by looking at the next entries of the index.
static bool
walk(chunkstore_t *self, retire_t *retire)
{
    look_t look = { .self = self };
    status_t status = index_walk_all(self->index, &retire->from, look_at,
                                     &look);
    retire->from = look.last;
    retire->from.slot++;
    return status != STATUS_OK || look.looked < SLICE_LOOKED;
}

void
retire_turn(chunkstore_t *self)
{
    retire_t *retire = &self->retire;
    if (self->unusable != STATUS_OK)
        return;
    if (!retire->segment && self->aging)
        begin(self);
    if (retire->segment && !retire->flying) {
        bool all = retire->walking ? walk(self, retire) : slice(self, retire);
        //  Not synced: what a power cut takes back is found below the horizon
        //  again.
        (void)store_commit(self, false);
        forget_if_empty(self, retire->segment);
        if (all || retire->segment->dead)
            end(self);
    }
    self->ready |= self->aging && !retire->flying;
}

void
retire_destroy(chunkstore_t *self)
{
    free(self->retire.entries);
    free(self->retire.bytes);
}
