#include "rebuild.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum { HEADER_TRIES = 16 };  //  Records of an epoch that are asked for theirs

#define SPOILT (1ull << 40)  //  Weak blocks that one which is unsound outweighs

typedef struct {
    uint64_t epoch;
    uint64_t block;
    uint64_t offset;
    uint32_t length;
    uint16_t flags;
    uint16_t store;  //  Place in `stores`
    uint8_t slot;
} record_t;

//  One epoch: its records, sorted, and what their headers say.
typedef struct {
    size_t from, to;
    bool known;
    chunk_header_t first;
    micros_t begun_us, newest_us;
    bool new_writer;  //  Its first chunk is another source's
    bool committed;   //  The catalogue had it: of its own chunks some were
                      //  settled while it was dealt
    uint32_t chunk_bytes;
    extent_t *extent;
} epoch_t;

//  Consecutive blocks of an epoch that can all be read.
typedef struct {
    epoch_t *epoch;
    uint64_t first, end;  //  Blocks
    uint64_t offset;      //  Of the first byte
    uint64_t reach;       //  Behind the last, at least
    bool ended;           //  The last says END
    uint64_t unsound;     //  First block that cannot be read for all its
                          //  records; UINT64_MAX: none
    //  The way to it: the run before, NULL where the way begins.
    size_t before;  //  SIZE_MAX: none
    size_t origin;  //  Where the way begins
    uint64_t begin_index;
    uint64_t weak;  //  Blocks of the way before it that lack a quorum
    uint64_t vain;  //  Offset from which on nothing of that way was
                    //  acknowledged; UINT64_MAX: not known
} run_t;

typedef enum { ASK_FIRST, ASK_LAST, ASK_FLAG, ASK_REACH, ASK_SOUND } step_t;

struct rebuild {
    uint64_t stream;
    uint64_t stores[LIMIT_WORKERS];
    size_t stores_count;
    record_t *records;
    size_t count, room;
    bool sorted;
    uint64_t mark;
    epoch_t *epochs;
    size_t epochs_count;
    run_t *runs;
    size_t runs_count, runs_room;
    //  What is asked now.
    size_t at, run;
    uint64_t part;  //  ASK_SOUND: of the run's blocks and their data slots
    step_t step;
    size_t tries;
    rebuild_want_t want;
    size_t asked;  //  Not answered yet; more than one only of ASK_SOUND
};

rebuild_t *
rebuild_new(uint64_t stream)
{
    rebuild_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->stream = stream;
    return self;
}

void
rebuild_destroy(rebuild_t **self_p)
{
    rebuild_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->epochs_count; i++)
        extent_free(self->epochs[i].extent);
    free(self->epochs);
    free(self->runs);
    free(self->records);
    free(self);
}

//  ---- what is held

static size_t
store_place(rebuild_t *self, uint64_t store)
{
    size_t place = 0;
    while (place < self->stores_count && self->stores[place] != store)
        place++;
    if (place == self->stores_count && place < LIMIT_WORKERS)
        self->stores[self->stores_count++] = store;
    return place;
}

bool
rebuild_store(rebuild_t *self, uint64_t store)
{
    return store_place(self, store) < LIMIT_WORKERS;
}

bool
rebuild_add(rebuild_t *self, uint64_t store, const rebuild_record_t *record)
{
    INVARIANT(!self->sorted);
    size_t place = store_place(self, store);
    if (place == LIMIT_WORKERS)
        return false;
    if (record->slot >= LIMIT_SLOTS)
        return true;  //  No record of ours
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 256;
        self->records = realloc(self->records,
                                self->room * sizeof *self->records);
        INVARIANT(self->records);
    }
    self->records[self->count++] = (record_t){
        .epoch = record->epoch,
        .block = record->block,
        .offset = record->offset,
        .length = record->length,
        .flags = record->flags,
        .store = (uint16_t)place,
        .slot = (uint8_t)record->slot,
    };
    return true;
}

void
rebuild_mark(rebuild_t *self, uint64_t mark)
{
    if (mark > self->mark)
        self->mark = mark;
}

static int
compare_records(const void *a, const void *b)
{
    const record_t *one = a, *other = b;
    if (one->epoch != other->epoch)
        return one->epoch < other->epoch ? -1 : 1;
    if (one->block != other->block)
        return one->block < other->block ? -1 : 1;
    return (one->slot > other->slot) - (one->slot < other->slot);
}

static void
sort(rebuild_t *self)
{
    self->sorted = true;
    if (self->count == 0)
        return;
    qsort(self->records, self->count, sizeof *self->records, compare_records);
    size_t epochs = 0;
    for (size_t i = 0; i < self->count; i++)
        epochs += i == 0 ||
                  self->records[i].epoch != self->records[i - 1].epoch;
    self->epochs = calloc(epochs, sizeof *self->epochs);
    INVARIANT(self->epochs);
    for (size_t i = 0; i < self->count; i++) {
        if (i == 0 || self->records[i].epoch != self->records[i - 1].epoch)
            self->epochs[self->epochs_count++].from = i;
        self->epochs[self->epochs_count - 1].to = i + 1;
    }
}

//  ---- blocks and runs

//  The records of one block.
typedef struct {
    uint64_t block;
    size_t from, to;
    uint64_t mask;  //  Of slots
    uint64_t offset;
} group_t;

static group_t
group_at(const rebuild_t *self, const epoch_t *epoch, size_t from)
{
    const record_t *records = self->records;
    group_t group = { .block = records[from].block,
                      .from = from,
                      .to = from,
                      .offset = UINT64_MAX };
    while (group.to < epoch->to && records[group.to].block == group.block) {
        const record_t *record = &records[group.to++];
        group.mask |= 1ull << record->slot;
        //  Parity has its block's offset, data its own.
        if (record->offset < group.offset)
            group.offset = record->offset;
    }
    return group;
}

//  The records of a block; none: from == to.
static group_t
group_of(const rebuild_t *self, const epoch_t *epoch, uint64_t block)
{
    size_t low = epoch->from, high = epoch->to;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->records[middle].block < block)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < epoch->to && self->records[low].block == block)
        return group_at(self, epoch, low);
    return (group_t){ .block = block, .from = low, .to = low };
}

static unsigned
slots_in(uint64_t mask)
{
    return (unsigned)__builtin_popcountll(mask);
}

static unsigned
slots_of(const epoch_t *epoch)
{
    return epoch->extent->code.k + epoch->extent->code.m;
}

static void
add_run(rebuild_t *self, epoch_t *epoch, const group_t *group)
{
    if (self->runs_count == self->runs_room) {
        self->runs_room = self->runs_room ? 2 * self->runs_room : 8;
        self->runs = realloc(self->runs, self->runs_room * sizeof *self->runs);
        INVARIANT(self->runs);
    }
    self->runs[self->runs_count++] = (run_t){
        .epoch = epoch,
        .first = group->block,
        .end = group->block,
        .offset = group->offset,
        .unsound = UINT64_MAX,
        .before = SIZE_MAX,
        .vain = UINT64_MAX,
    };
}

//  What the last block of a run says of where the run ends.
static void
take_end(const rebuild_t *self, run_t *run, const group_t *group)
{
    run->reach = group->offset;
    run->ended = false;
    for (size_t i = group->from; i < group->to; i++) {
        const record_t *record = &self->records[i];
        if (record->slot >= run->epoch->extent->code.k)
            continue;
        if (record->offset + record->length > run->reach)
            run->reach = record->offset + record->length;
        run->ended |= (record->flags & CHUNK_END) != 0;
    }
}

static void
find_runs(rebuild_t *self, epoch_t *epoch)
{
    const extent_t *extent = epoch->extent;
    run_t *run = NULL;
    group_t group;
    for (size_t from = epoch->from; from < epoch->to; from = group.to) {
        group = group_at(self, epoch, from);
        if (slots_in(group.mask & ((1ull << slots_of(epoch)) - 1)) <
            extent->code.k)
            continue;
        if (!run || run->end != group.block) {
            add_run(self, epoch, &group);
            run = &self->runs[self->runs_count - 1];
        }
        run->end = group.block + 1;
        take_end(self, run, &group);
    }
}

//  The extent that the first header tells, its stores as far as they are seen.
static void
take_extent(rebuild_t *self, epoch_t *epoch)
{
    const chunk_header_t *first = &epoch->first;
    extent_t *extent = extent_new(first->width);
    epoch->extent = extent;
    extent->epoch = first->key.epoch;
    extent->base_index = first->base_index;
    extent->base_offset = first->base_offset;
    extent->writer = first->writer;
    extent->code = first->code;
    extent->start = first->start;
    for (size_t i = epoch->from; i < epoch->to; i++) {
        const record_t *record = &self->records[i];
        if (record->slot >= slots_of(epoch))
            continue;
        uint16_t at = placement_position(extent, record->block, record->slot);
        if (!extent->stores[at])
            extent->stores[at] = self->stores[record->store];
        if (record->slot < extent->code.k &&
            record->length > epoch->chunk_bytes)
            epoch->chunk_bytes = record->length;
        if (record->block == 0 && record->slot == 0)
            epoch->new_writer = record->flags & CHUNK_NEW_WRITER;
    }
    epoch->known = true;
    find_runs(self, epoch);
}

static uint64_t
index_of(const run_t *run, uint64_t block)
{
    return run->epoch->extent->base_index + block * run->epoch->extent->code.k;
}

//  Whether a block has less than the quorum: maybe it was dealt again in a later
//  epoch, or was dealt there in vain.
static bool
is_weak(const epoch_t *epoch, const group_t *group)
{
    uint64_t all = (1ull << slots_of(epoch)) - 1;
    return slots_in(group->mask & all) < placement_quorum(epoch->extent->code);
}

//  ---- questions

static bool
ask_header(rebuild_t *self, size_t record)
{
    const record_t *at = &self->records[record];
    self->want = (rebuild_want_t){
        .kind = REBUILD_HEADER,
        .store = self->stores[at->store],
        .key = { self->stream, at->epoch, at->block, at->slot },
    };
    return true;
}

static bool
ask_chunk(rebuild_t *self, const epoch_t *epoch, uint64_t block, unsigned slot)
{
    self->want = (rebuild_want_t){
        .kind = REBUILD_CHUNK,
        .key = { self->stream, epoch->extent->epoch, block, slot },
        .extent = epoch->extent,
    };
    return true;
}

//  The first block of a run that was maybe not settled.
static uint64_t
unsettled_from(const rebuild_t *self, const run_t *run)
{
    const extent_t *extent = run->epoch->extent;
    unsigned k = extent->code.k;
    uint64_t block = self->mark > extent->base_index
                         ? (self->mark - extent->base_index + k - 1) / k
                         : 0;
    return block > run->first ? block : run->first;
}

//  Where there are several attempts a weak block is read: if it cannot be,
//  another may do.
static bool
ask_sound(rebuild_t *self, const epoch_t *epoch)
{
    unsigned k = epoch->extent->code.k;
    for (; self->run < self->runs_count; self->run++, self->part = 0) {
        const run_t *run = &self->runs[self->run];
        //  What is answered meanwhile may tell of a higher mark.
        uint64_t from = (unsettled_from(self, run) - run->first) * k;
        if (self->part < from)
            self->part = from;
        while (run->epoch == epoch && run->unsound == UINT64_MAX &&
               run->first + self->part / k < run->end) {
            uint64_t block = run->first + self->part / k;
            group_t group = group_of(self, epoch, block);
            if (is_weak(epoch, &group))
                return ask_chunk(self, epoch, block,
                                 (unsigned)(self->part++ % k));
            self->part += k;
        }
    }
    return false;
}

//  Whether this epoch has a question at the step it is at.
static bool
ask(rebuild_t *self, epoch_t *epoch)
{
    if (self->step == ASK_FIRST) {
        size_t record = epoch->from + self->tries;
        if (record >= epoch->to || self->tries >= HEADER_TRIES)
            return false;
        return ask_header(self, record);
    }
    if (!epoch->known)
        return false;
    if (self->step == ASK_LAST)
        return ask_header(self, epoch->to - 1);
    if (self->step == ASK_FLAG) {
        group_t group = group_of(self, epoch, 0);
        if (epoch->extent->base_index == 0 || group.mask & 1 ||
            slots_in(group.mask) < epoch->extent->code.k)
            return false;
        return ask_chunk(self, epoch, 0, 0);
    }
    if (self->step == ASK_SOUND)
        return self->epochs_count > 1 && ask_sound(self, epoch);
    for (; self->run < self->runs_count; self->run++) {
        const run_t *run = &self->runs[self->run];
        unsigned last = epoch->extent->code.k - 1u;
        group_t group = group_of(self, run->epoch, run->end - 1);
        if (run->epoch == epoch && !(group.mask >> last & 1))
            return ask_chunk(self, epoch, run->end - 1, last);
    }
    return false;
}

bool
rebuild_wants(rebuild_t *self, rebuild_want_t *want_r)
{
    if (!self->sorted)
        sort(self);
    while (self->at < self->epochs_count &&
           (!self->asked || self->step == ASK_SOUND)) {
        if (ask(self, &self->epochs[self->at])) {
            self->asked++;
            *want_r = self->want;
            return true;
        }
        if (self->asked)
            break;
        self->tries = 0;
        if (self->step == ASK_REACH)
            self->run = self->part = 0;
        if (self->step == ASK_SOUND) {
            self->at++;
            self->step = ASK_FIRST;
        } else
            self->step++;
    }
    return false;
}

//  Whether a header is the one that was asked for, and can be of its epoch.
static bool
is_answer(const epoch_t *epoch, const chunk_key_t *key,
          const chunk_header_t *header)
{
    if (chunk_key_compare(&header->key, key) != 0 || header->code.k == 0 ||
        header->width < header->code.k + header->code.m)
        return false;
    if (!epoch->known)
        return true;
    const chunk_header_t *first = &epoch->first;
    return header->base_index == first->base_index &&
           header->base_offset == first->base_offset &&
           header->width == first->width && header->start == first->start;
}

//  A block of an epoch cannot be read.
static void
find_unsound(rebuild_t *self, const epoch_t *epoch, uint64_t block)
{
    for (size_t i = 0; i < self->runs_count; i++) {
        run_t *run = &self->runs[i];
        if (run->epoch == epoch && run->first <= block && block < run->end &&
            block < run->unsound)
            run->unsound = block;
    }
}

void
rebuild_answer(rebuild_t *self, const chunk_key_t *key,
               const chunk_header_t *header)
{
    INVARIANT(self->asked);
    epoch_t *epoch = &self->epochs[self->at];
    self->asked--;
    if (header && !is_answer(epoch, key, header))
        header = NULL;
    if (header)
        rebuild_mark(self, header->settled);
    switch (self->step) {
    case ASK_FIRST:
        if (!header) {
            self->tries++;
            return;
        }
        epoch->first = *header;
        epoch->begun_us = epoch->newest_us = header->block_us;
        take_extent(self, epoch);
        self->step = ASK_LAST;
        break;
    case ASK_LAST:
        if (header && header->block_us > epoch->newest_us)
            epoch->newest_us = header->block_us;
        if (header)
            epoch->committed = header->settled > header->base_index;
        self->step = ASK_FLAG;
        break;
    case ASK_FLAG:
        epoch->new_writer = header && header->flags & CHUNK_NEW_WRITER;
        self->step = ASK_REACH;
        break;
    case ASK_REACH:
        if (header) {
            run_t *run = &self->runs[self->run];
            run->reach = header->offset + header->length;
            run->ended = header->flags & CHUNK_END;
        }
        self->run++;
        break;
    case ASK_SOUND:
        if (!header)
            find_unsound(self, epoch, key->block);
        break;
    }
}

//  ---- the way through

//  Where a run has a block that begins at `index`, or ends there.
static bool
boundary(const rebuild_t *self, const run_t *run, uint64_t index,
         uint64_t *offset_r)
{
    const extent_t *extent = run->epoch->extent;
    if (index <= index_of(run, run->first) || index > index_of(run, run->end) ||
        (index - extent->base_index) % extent->code.k)
        return false;
    uint64_t block = (index - extent->base_index) / extent->code.k;
    *offset_r = block == run->end ? run->reach
                                  : group_of(self, run->epoch, block).offset;
    return true;
}

//  Whether the run may follow another (invariant 2), and at which index of that.
static bool
follows(const rebuild_t *self, const run_t *run, const run_t *other,
        uint64_t *index_r)
{
    const extent_t *extent = run->epoch->extent;
    uint64_t offset, index = extent->base_index;
    if (run->first != 0 || run->end == 0 ||
        other->epoch->extent->epoch >= extent->epoch)
        return false;
    //  Behind an accepted loss the indices jump.
    if (!boundary(self, other, index, &offset)) {
        index -= PLACEMENT_JUMP;
        if (extent->base_index < PLACEMENT_JUMP ||
            !boundary(self, other, index, &offset))
            return false;
    }
    *index_r = index;
    return offset == extent->base_offset ||
           (offset < extent->base_offset && run->epoch->new_writer);
}

//  Where a later extent begins in the indices of an earlier one.
static uint64_t
begins_at(const extent_t *later, const extent_t *earlier)
{
    bool jumped = later->base_index >= PLACEMENT_JUMP &&
                  earlier->base_index < later->base_index - PLACEMENT_JUMP / 2;
    return later->base_index - (jumped ? PLACEMENT_JUMP : 0);
}

//  When the catalogue had an epoch, all that counted from its base on had been
//  dealt again in it (R9): what earlier ones have there is nobody's.
static void
cut_runs(rebuild_t *self)
{
    for (size_t i = 0; i < self->runs_count; i++) {
        run_t *run = &self->runs[i];
        const extent_t *extent = run->epoch->extent;
        uint64_t limit = index_of(run, run->end);
        for (const epoch_t *later = run->epoch + 1;
             later < self->epochs + self->epochs_count; later++)
            if (later->committed && begins_at(later->extent, extent) < limit)
                limit = begins_at(later->extent, extent);
        if (limit == index_of(run, run->end))
            continue;
        run->ended = false;
        run->end = run->first;
        run->reach = run->offset;
        if (limit <= index_of(run, run->first))
            continue;
        run->end = (limit - extent->base_index) / extent->code.k;
        run->reach = group_of(self, run->epoch, run->end).offset;
    }
}

//  Weak blocks of a run, below one; SPOILT if it has an unsound one there.
static uint64_t
weak_blocks(const rebuild_t *self, const run_t *run, uint64_t below)
{
    uint64_t weak = run->unsound < below ? SPOILT : 0;
    group_t group = group_of(self, run->epoch, run->first);
    while (group.from < group.to && group.block < below) {
        weak += is_weak(run->epoch, &group);
        if (group.to == run->epoch->to)
            break;
        group = group_at(self, run->epoch, group.to);
    }
    return weak;
}

//  Whether a block was never acknowledged: less than the quorum was there even
//  if every store that was not asked had its part (R8).
static bool
is_vain(const epoch_t *epoch, const group_t *group)
{
    const extent_t *extent = epoch->extent;
    unsigned there = 0;
    for (unsigned slot = 0; slot < slots_of(epoch); slot++)
        there +=
            group->mask >> slot & 1 ||
            !extent->stores[placement_position(extent, group->block, slot)];
    return there < placement_quorum(extent->code);
}

//  Offset from which on nothing of the way to a run, and of the run below a
//  block, was acknowledged: blocks are in order (R9). UINT64_MAX: not known.
static uint64_t
vain_from(const rebuild_t *self, const run_t *run, uint64_t below)
{
    for (uint64_t block = run->first; block < below && run->vain == UINT64_MAX;
         block++) {
        group_t group = group_of(self, run->epoch, block);
        if (is_vain(run->epoch, &group))
            return group.offset;
    }
    return run->vain;
}

//  For each run the way to it that begins lowest; of those the one with the
//  fewest weak blocks, then the latest epoch.
static void
find_ways(rebuild_t *self)
{
    for (size_t i = 0; i < self->runs_count; i++) {
        run_t *run = &self->runs[i];
        run->origin = i;
        run->begin_index = index_of(run, run->first);
        for (size_t j = 0; j < i; j++) {
            const run_t *other = &self->runs[j];
            const extent_t *extent = other->epoch->extent;
            uint64_t index;
            if (other->begin_index > run->begin_index ||
                !follows(self, run, other, &index))
                continue;
            uint64_t cut = (index - extent->base_index) / extent->code.k;
            uint64_t weak = other->weak + weak_blocks(self, other, cut);
            if (run->before != SIZE_MAX && weak > run->weak &&
                other->begin_index == run->begin_index)
                continue;
            run->before = j;
            run->origin = other->origin;
            run->begin_index = other->begin_index;
            run->weak = weak;
            run->vain = vain_from(self, other, cut);
        }
    }
}

//  Whether a way may go on behind what is lost after `last` (NULL: at the
//  beginning): epochs and bases of a chain grow.
static bool
goes_on(const rebuild_t *self, const run_t *run, const run_t *last)
{
    const run_t *origin = &self->runs[run->origin];
    if (run->end == run->first)
        return false;
    if (!last)
        return true;
    uint64_t end = index_of(last, last->end);
    if (origin->epoch == last->epoch)
        return origin->first >= last->end;
    return origin->epoch->extent->epoch > last->epoch->extent->epoch &&
           origin->epoch->extent->base_index >= end;
}

//  Weak blocks of the whole way.
static uint64_t
weakness(const rebuild_t *self, const run_t *run)
{
    return run->weak + weak_blocks(self, run, run->end);
}

//  Whether a way is to be taken rather than another: it begins lower; or
//  reaches further; or has fewer weak blocks; or is later.
static bool
is_better(const rebuild_t *self, const run_t *run, const run_t *other)
{
    if (!other || run->begin_index != other->begin_index)
        return !other || run->begin_index < other->begin_index;
    if (run->reach != other->reach)
        return run->reach > other->reach;
    return weakness(self, run) <= weakness(self, other);
}

//  The best of the ways that go on after `last`; only of the sound ones, if they
//  reach as far as `least`. SIZE_MAX: none.
static size_t
best_of(const rebuild_t *self, const run_t *last, bool sound, uint64_t least)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < self->runs_count; i++) {
        const run_t *run = &self->runs[i];
        const run_t *so_far = best == SIZE_MAX ? NULL : &self->runs[best];
        if (goes_on(self, run, last) && is_better(self, run, so_far) &&
            (!sound || (weakness(self, run) < SPOILT && run->reach >= least)))
            best = i;
    }
    return best;
}

//  Whether a way begins where another does, and has all that was settled of it.
static bool
may_replace(const rebuild_t *self, const run_t *run, const run_t *other)
{
    uint64_t end = index_of(other, other->end);
    if (end > self->mark)
        end = self->mark;
    return run->begin_index == other->begin_index &&
           index_of(run, run->end) >= end;
}

//  The best of the ways that go on after `last`. If it has a block that cannot be
//  read, one that begins as low and has all that any other can have had of what
//  was acknowledged is better. SIZE_MAX: none.
static size_t
furthest(const rebuild_t *self, const run_t *last)
{
    size_t best = best_of(self, last, false, 0);
    if (best == SIZE_MAX || weakness(self, &self->runs[best]) < SPOILT)
        return best;
    uint64_t least = 0;
    for (size_t i = 0; i < self->runs_count; i++) {
        const run_t *run = &self->runs[i];
        if (!goes_on(self, run, last))
            continue;
        uint64_t sure = vain_from(self, run, run->end);
        if (sure > run->reach)
            sure = run->reach;
        if (sure > least)
            least = sure;
    }
    size_t other = best_of(self, last, true, least);
    return other != SIZE_MAX &&
                   may_replace(self, &self->runs[other], &self->runs[best])
               ? other
               : best;
}

static void
lose(rebuilt_t *rebuilt, uint64_t from, uint64_t to, const run_t *behind)
{
    if (!rebuilt->lost) {
        rebuilt->lost_from = from;
        rebuilt->lost_to = to;
    }
    //  Retention drops extents whole, those in a chain never in part.
    bool may_be_outlived = behind && behind->first == 0;
    rebuilt->outlived = may_be_outlived &&
                        (rebuilt->outlived || !rebuilt->lost);
    rebuilt->lost = true;
    rebuilt->after_us = behind ? behind->epoch->newest_us : 0;
}

//  The runs of the chain in order. Returns how many.
static size_t
choose(const rebuild_t *self, size_t *chosen, rebuilt_t *rebuilt)
{
    size_t count = 0;
    const run_t *last = NULL;
    uint64_t index = 0, reach = 0;
    do {
        size_t best = furthest(self, last), length = 0;
        if (best == SIZE_MAX)
            break;
        for (size_t at = best; at != SIZE_MAX; at = self->runs[at].before)
            length++;
        //  Behind a hole counts only what was settled there, or before which
        //  retention may have dropped whole extents.
        const run_t *first = &self->runs[self->runs[best].origin];
        if (self->mark <= index && first->first > 0)
            break;
        for (size_t i = length, at = best; i-- > 0; at = self->runs[at].before)
            chosen[count + i] = at;
        if (first->begin_index > index) {
            lose(rebuilt, reach, first->offset, first);
            rebuilt->from_epoch = first->epoch->extent->epoch;
        }
        count += length;
        last = &self->runs[best];
        index = index_of(last, last->end);
        reach = last->reach;
    } while (self->mark > index);
    if (self->mark > index)
        lose(rebuilt, reach, CATALOGUE_OPEN_END, NULL);
    //  What is left of a stream that is gone.
    for (size_t i = 0; i < self->epochs_count && count == 0; i++) {
        rebuilt->outlived = true;
        if (self->epochs[i].newest_us > rebuilt->after_us)
            rebuilt->after_us = self->epochs[i].newest_us;
    }
    return count;
}

//  ---- what comes out

//  Whether every block of a run from one index to another has all its slots.
static bool
whole(const rebuild_t *self, const run_t *run, uint64_t from, uint64_t to)
{
    const extent_t *extent = run->epoch->extent;
    uint64_t all = (1ull << slots_of(run->epoch)) - 1;
    uint64_t block = run->first;
    if (from > index_of(run, run->first))
        block = (from - extent->base_index) / extent->code.k;
    for (; block < run->end && index_of(run, block) < to; block++)
        if ((group_of(self, run->epoch, block).mask & all) != all)
            return false;
    return true;
}

//  Places nobody was seen at: where a slot that is missing should be, a store
//  is missing; else one of those that answered may stand there and hold
//  nothing. Ensembles are in the order of ids.
static void
fill_places(const rebuild_t *self, const epoch_t *epoch, extent_t *extent,
            rebuilt_t *rebuilt)
{
    bool wanted[LIMIT_WORKERS] = { false };
    group_t group;
    for (size_t from = epoch->from; from < epoch->to; from = group.to) {
        group = group_at(self, epoch, from);
        for (unsigned slot = 0; slot < slots_of(epoch); slot++)
            if (slots_in(group.mask) >= extent->code.k &&
                !(group.mask >> slot & 1))
                wanted[placement_position(extent, group.block, slot)] = true;
    }
    uint64_t before = 0, unknown = 0;
    for (uint16_t at = 0; at < extent->width; at++) {
        uint64_t next = UINT64_MAX, found = 0;
        for (uint16_t i = at; i < extent->width && next == UINT64_MAX; i++)
            if (extent->stores[i])
                next = extent->stores[i];
        for (size_t i = 0; i < self->stores_count; i++) {
            uint64_t store = self->stores[i];
            if (store > before && store < next && (!found || store < found))
                found = store;
        }
        if (!extent->stores[at] && !wanted[at])
            extent->stores[at] = found;
        if (extent->stores[at])
            before = extent->stores[at];
        else
            extent->stores[at] = PLACEMENT_LOST(unknown++);
    }
    if (unknown > rebuilt->unknown)
        rebuilt->unknown = unknown;
}

static extent_t *
copy_extent(const extent_t *extent)
{
    extent_t *copy = extent_new(extent->width);
    uint64_t *stores = copy->stores;
    *copy = *extent;
    copy->stores = stores;
    memcpy(stores, extent->stores, extent->width * sizeof *stores);
    return copy;
}

//  Add a run to the chain: a new extent, or more of the last one's.
static void
extend(const rebuild_t *self, const run_t *run, const run_t *before,
       rebuilt_t *rebuilt)
{
    if (before && before->epoch == run->epoch)
        return;
    extent_t *extent = copy_extent(run->epoch->extent);
    const extent_t *last = rebuilt->count ? rebuilt->chain[rebuilt->count - 1]
                                          : NULL;
    uint64_t index, offset = 0;
    if (before && follows(self, run, before, &index) &&
        boundary(self, before, index, &offset)) {
        extent->gap = extent->base_offset - offset;
        extent->index_gap = extent->base_index - index;
    }
    if (!before && extent->base_index == 0)
        extent->gap = extent->base_offset;
    extent->begun_us = run->epoch->begun_us;
    if (last && last->begun_us > extent->begun_us)
        extent->begun_us = last->begun_us;
    extent->chunk_bytes = run->epoch->chunk_bytes;
    fill_places(self, run->epoch, extent, rebuilt);
    rebuilt->chain[rebuilt->count++] = extent;
}

//  Where the bytes of the chain's last source begin.
static uint64_t
writer_begin(const rebuilt_t *rebuilt)
{
    size_t at = rebuilt->count - 1;
    while (at > 0 && rebuilt->chain[at]->gap == 0 &&
           rebuilt->chain[at - 1]->writer == rebuilt->chain[at]->writer)
        at--;
    const extent_t *extent = rebuilt->chain[at];
    //  A source that was the only one began at 0, whatever was dropped since.
    return at == 0 && extent->gap == 0 ? 0 : extent->base_offset;
}

//  When a stream began, by the first that there is of it: a block that was dealt
//  again is younger than its chunks (R8), and an empty one may know no time.
static micros_t
begun(const chunk_header_t *first)
{
    return first->created_us > 0 && first->created_us < first->block_us
               ? first->created_us
               : first->block_us;
}

static void
take_record(const rebuild_t *self, const chunk_header_t *header,
            stream_record_t *record)
{
    *record = (stream_record_t){
        .id = self->stream,
        .kind = (kind_t)header->kind,
        .retention = header->retention,
        .asked = header->asked,
        .created_us = begun(header),
        .writer = header->writer,
    };
    memcpy(record->name, header->name, sizeof record->name);
}

static void
take_chain(rebuild_t *self, const size_t *chosen, size_t count,
           rebuilt_t *rebuilt)
{
    const run_t *before = NULL, *run = NULL;
    rebuilt->chain = calloc(count, sizeof *rebuilt->chain);
    INVARIANT(rebuilt->chain);
    for (size_t i = 0; i < count; i++, before = run) {
        run = &self->runs[chosen[i]];
        extend(self, run, before, rebuilt);
        if (run->epoch->newest_us > rebuilt->last_us)
            rebuilt->last_us = run->epoch->newest_us;
    }
    bool complete = run->ended;
    uint64_t end = index_of(run, run->end);
    for (size_t i = count; complete && i-- > 0;) {
        run = &self->runs[chosen[i]];
        complete = whole(self, run, self->mark, end);
        end = run->epoch->extent->base_index;
    }
    run = &self->runs[chosen[count - 1]];
    rebuilt->reach = run->reach;
    stream_record_t *record = &rebuilt->record;
    take_record(self, &run->epoch->first, record);
    record->created_us = begun(&self->runs[chosen[0]].epoch->first);
    record->writer_begin = writer_begin(rebuilt);
    record->first_index = rebuilt->chain[0]->base_index;
    record->end_index = index_of(run, run->end);
    record->sealed = complete;
    if (record->sealed) {
        record->size = run->reach;
        record->newest_us = rebuilt->last_us;
    }
}

//  How many stores of an epoch cannot be among those that were asked.
static size_t
absent_stores(const rebuild_t *self, const epoch_t *epoch)
{
    size_t width = epoch->extent->width;
    return width > self->stores_count ? width - self->stores_count : 0;
}

bool
rebuild_chain(rebuild_t *self, rebuilt_t *rebuilt_r)
{
    INVARIANT(self->sorted && !self->asked);
    rebuilt_t rebuilt = { .count = 0 };
    const epoch_t *newest = NULL;
    for (size_t i = 0; i < self->epochs_count; i++) {
        if (!self->epochs[i].known)
            continue;
        newest = &self->epochs[i];
        size_t absent = absent_stores(self, newest);
        if (absent > rebuilt.absent)
            rebuilt.absent = absent;
    }
    if (!newest)
        return false;
    cut_runs(self);
    find_ways(self);
    size_t *chosen = calloc(self->runs_count + 1, sizeof *chosen);
    INVARIANT(chosen);
    size_t count = choose(self, chosen, &rebuilt);
    if (count)
        take_chain(self, chosen, count, &rebuilt);
    else
        take_record(self, &newest->first, &rebuilt.record);
    free(chosen);
    *rebuilt_r = rebuilt;
    return true;
}

void
rebuilt_free(rebuilt_t *rebuilt)
{
    for (size_t i = 0; i < rebuilt->count; i++)
        extent_free(rebuilt->chain[i]);
    free(rebuilt->chain);
    rebuilt->chain = NULL;
    rebuilt->count = 0;
}
