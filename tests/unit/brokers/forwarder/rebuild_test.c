#include "rebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

/*  A stream of chunks of LENGTH bytes: chunk i is at offset i * LENGTH, and
 *  whole attempts to deal it are told by where they begin and how far they go.
 *  Stores have the ids 101 to 100 + W.
 */
enum { STREAM = 7, LENGTH = 10, DEALS = 8, WANTS = 40, NONE = -1 };

typedef struct {
    uint64_t epoch;
    uint64_t base;    //  Index
    uint64_t offset;  //  Of its first byte; 0: base * LENGTH
    uint64_t from;    //  Blocks before are nowhere any more
    uint64_t blocks;
    code_t code;
    unsigned width;
    bool another;      //  Another source's
    bool ends;         //  The last chunk says END
    uint64_t settled;  //  What its last header says
    int lost;          //  Place in the ensemble of a store that is gone
    int gone;          //  A block that is nowhere
    int weak;          //  A block with k slots only
    int rotten;        //  Another, of which one cannot be read
    bool timeless;     //  Its chunks know no time
    micros_t again;    //  Its blocks were opened so long after their chunks
} deal_t;

static deal_t deals[DEALS];
static size_t deals_count;
static rebuild_t *rebuild;
static rebuilt_t rebuilt;
static bool unreadable;  //  No header can be read
static size_t decoded;   //  Chunks that were asked for
static size_t at_once;   //  Most questions that were not answered yet

static void
end(void)
{
    rebuild_destroy(&rebuild);
    rebuilt_free(&rebuilt);
    deals_count = 0;
    decoded = at_once = 0;
    unreadable = false;
}

static deal_t *
deal(uint64_t epoch, uint64_t base, uint64_t blocks)
{
    deal_t *self = &deals[deals_count++];
    *self = (deal_t){ .epoch = epoch,
                      .base = base,
                      .blocks = blocks,
                      .code = { 2, 1 },
                      .width = 4,
                      .lost = NONE,
                      .gone = NONE,
                      .weak = NONE,
                      .rotten = NONE };
    return self;
}

static uint64_t
base_offset(const deal_t *self)
{
    return self->offset ? self->offset : self->base * LENGTH;
}

static extent_t *
extent_of(const deal_t *self)
{
    extent_t *extent = extent_new((uint16_t)self->width);
    extent->epoch = self->epoch;
    extent->base_index = self->base;
    extent->base_offset = base_offset(self);
    extent->code = self->code;
    for (unsigned i = 0; i < self->width; i++)
        extent->stores[i] = 101 + i;
    return extent;
}

static chunk_header_t
header_of(const deal_t *self, uint64_t block, unsigned slot)
{
    bool data = slot < self->code.k;
    uint64_t nth = block * self->code.k + (data ? slot : 0);
    chunk_header_t header = {
        .key = { STREAM, self->epoch, block, slot },
        .code = self->code,
        .base_index = self->base,
        .base_offset = base_offset(self),
        .offset = base_offset(self) + nth * LENGTH,
        .length = LENGTH,
        .block_us = (micros_t)(1000 * self->epoch + block) + self->again,
        .created_us = self->timeless ? 0
                                     : (micros_t)(1000 * self->epoch + block),
        .writer = self->another ? 2 : 1,
        .settled = block + 1 == self->blocks ? self->settled : 0,
        .width = (uint16_t)self->width,
        .kind = KIND_LIVE,
        .name = "cam",
    };
    if (block == 0 && slot == 0 && (self->another || self->base == 0))
        header.flags |= CHUNK_NEW_WRITER;
    if (self->ends && block + 1 == self->blocks && slot + 1 == self->code.k)
        header.flags |= CHUNK_END;
    return header;
}

static bool
is_held(const deal_t *self, const extent_t *extent, uint64_t block,
        unsigned slot)
{
    return (int)block != self->gone &&
           (((int)block != self->weak && (int)block != self->rotten) ||
            slot < self->code.k) &&
           placement_position(extent, block, slot) != self->lost;
}

static void
tell(const deal_t *self)
{
    extent_t *extent = extent_of(self);
    for (uint64_t block = self->from; block < self->blocks; block++)
        for (unsigned slot = 0; slot < self->code.k + self->code.m; slot++) {
            if (!is_held(self, extent, block, slot))
                continue;
            chunk_header_t header = header_of(self, block, slot);
            rebuild_record_t record = { .epoch = self->epoch,
                                        .block = block,
                                        .slot = slot,
                                        .offset = header.offset,
                                        .length = header.length,
                                        .flags = header.flags };
            CHECK(rebuild_add(rebuild, placement_store(extent, block, slot),
                              &record));
        }
    extent_free(extent);
}

static const deal_t *
deal_of(uint64_t epoch)
{
    for (size_t i = 0; i < deals_count; i++)
        if (deals[i].epoch == epoch)
            return &deals[i];
    CHECK(!"an epoch that was dealt");
    return NULL;
}

static void
answer(const rebuild_want_t *want)
{
    const deal_t *of = deal_of(want->key.epoch);
    chunk_header_t header = header_of(of, want->key.block, want->key.slot);
    bool chunk = want->kind == REBUILD_CHUNK;
    bool rotten = chunk && (int)want->key.block == of->rotten;
    decoded += chunk;
    rebuild_answer(rebuild, &want->key, unreadable || rotten ? NULL : &header);
}

//  All there is is told, every question answered, the last one first. False:
//  nothing comes out.
static bool
make(uint64_t mark)
{
    rebuild = rebuild_new(STREAM);
    rebuild_mark(rebuild, mark);
    for (size_t i = deals_count; i-- > 0;)
        tell(&deals[i]);
    rebuild_want_t wants[WANTS];
    size_t count;
    do {
        count = 0;
        while (count < WANTS && rebuild_wants(rebuild, &wants[count]))
            count++;
        if (count > at_once)
            at_once = count;
        for (size_t i = count; i-- > 0;)
            answer(&wants[i]);
    } while (count);
    return rebuild_chain(rebuild, &rebuilt);
}

//  ---- one attempt

static void
a_whole_stream_is_as_it_was(void)
{
    deal(5, 0, 10)->ends = true;
    CHECK(make(12));
    CHECK(rebuilt.count == 1 && !rebuilt.lost && rebuilt.unknown == 0);
    const extent_t *extent = rebuilt.chain[0];
    CHECK(extent->epoch == 5 && extent->base_index == 0 && extent->gap == 0);
    CHECK(extent->width == 4 && extent->code.k == 2 && extent->code.m == 1);
    for (uint16_t i = 0; i < 4; i++)
        CHECK(extent->stores[i] == 101u + i);
    CHECK(extent->begun_us == 5000 && extent->chunk_bytes == LENGTH);
    const stream_record_t *record = &rebuilt.record;
    CHECK(strcmp(record->name, "cam") == 0 && record->kind == KIND_LIVE);
    CHECK(record->id == STREAM && record->writer == 1);
    CHECK(record->writer_begin == 0 && record->first_index == 0);
    CHECK(record->sealed && record->size == 20 * LENGTH);
    CHECK(record->end_index == 20 && record->newest_us == 5009);
    end();
}

static void
a_stream_that_was_dealt_again_began_with_its_chunks(void)
{
    deal(5, 0, 1)->again = 300;
    CHECK(make(0));
    CHECK(rebuilt.record.created_us == 5000);
    CHECK(rebuilt.chain[0]->begun_us == 5300);
    end();
    //  An empty one may have chunks of no time.
    deal(5, 0, 1)->again = 300;
    deals[0].timeless = true;
    CHECK(make(0));
    CHECK(rebuilt.record.created_us == 5300);
    end();
}

static void
a_block_that_is_not_whole_leaves_the_end_to_recovery(void)
{
    deal_t *only = deal(5, 0, 10);
    only->ends = true;
    only->weak = 8;
    CHECK(make(12));
    CHECK(rebuilt.count == 1 && !rebuilt.lost && !rebuilt.record.sealed);
    CHECK(rebuilt.record.end_index == 20);  //  Nobody has more
    end();
    //  What is settled was whole once.
    only = deal(5, 0, 10);
    only->ends = true;
    only->weak = 3;
    CHECK(make(12));
    CHECK(rebuilt.record.sealed);
    end();
}

static void
the_end_of_a_stream_is_decoded_when_its_store_is_gone(void)
{
    //  Each of the four once holds the last data slot of block 9.
    for (int lost = 0; lost < 4; lost++) {
        deal_t *only = deal(5, 0, 10);
        only->lost = lost;
        CHECK(make(12));
        CHECK(!rebuilt.lost && rebuilt.reach == 20 * LENGTH);
        CHECK(rebuilt.unknown == 1 && rebuilt.absent == 1);
        CHECK(placement_is_lost(rebuilt.chain[0]->stores[lost]));
        end();
    }
}

static void
a_place_where_nothing_was_dealt_is_any_others(void)
{
    deal_t *only = deal(5, 0, 1);
    CHECK(only->width == 4);
    rebuild = rebuild_new(STREAM);
    CHECK(rebuild_store(rebuild, 104) && rebuild_store(rebuild, 99));
    tell(only);
    rebuild_want_t want;
    while (rebuild_wants(rebuild, &want))
        answer(&want);
    CHECK(rebuild_chain(rebuild, &rebuilt));
    //  Ensembles are in the order of ids: 99 cannot be the fourth.
    CHECK(rebuilt.unknown == 0 && rebuilt.chain[0]->stores[3] == 104);
    end();
}

static void
headers_that_cannot_be_read_make_no_stream(void)
{
    deal(5, 0, 10);
    unreadable = true;
    CHECK(!make(0));
    end();
}

//  ---- several attempts

static void
the_way_that_reaches_furthest_is_taken(void)
{
    //  10 blocks; from index 12 on dealt again, less far, and never counted.
    deal(5, 0, 10);
    deal(6, 12, 2);
    CHECK(make(8));
    CHECK(rebuilt.count == 1 && rebuilt.chain[0]->epoch == 5);
    CHECK(rebuilt.reach == 20 * LENGTH && !rebuilt.lost);
    end();
}

static void
a_later_attempt_goes_on_where_it_begins(void)
{
    deal(5, 0, 10);
    deal(6, 12, 8);
    deal(9, 28, 3);
    CHECK(make(8));
    CHECK(rebuilt.count == 3 && !rebuilt.lost);
    CHECK(rebuilt.chain[1]->epoch == 6 && rebuilt.chain[1]->gap == 0);
    CHECK(rebuilt.chain[2]->epoch == 9 && rebuilt.chain[2]->gap == 0);
    CHECK(rebuilt.reach == 34 * LENGTH);
    end();
}

static void
of_two_that_reach_as_far_the_stronger_is_taken(void)
{
    deal(5, 0, 10);
    deal(6, 12, 4)->weak = 1;
    CHECK(make(8));
    CHECK(rebuilt.count == 1 && rebuilt.chain[0]->epoch == 5);
    end();
    deal(5, 0, 10)->weak = 7;
    deal(6, 12, 4);
    CHECK(make(8));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 6);
    end();
}

//  Three attempts, the second reaching furthest though one block of it was never
//  acknowledged, and cannot be read.
static void
deal_rotten(uint64_t blocks, int block)
{
    deal(5, 0, 8);
    deal(6, 12, 6)->rotten = block;
    deal(7, 12, blocks);
}

static void
of_two_the_one_that_can_be_read_is_taken(void)
{
    deal_rotten(4, 1);
    CHECK(make(8));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 7);
    CHECK(rebuilt.reach == 20 * LENGTH && !rebuilt.lost);
    end();
    //  If it has all that the other can have had of what was acknowledged.
    deal_rotten(4, 4);
    CHECK(make(8));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 7);
    end();
    deal_rotten(3, 4);
    CHECK(make(8));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 6);
    CHECK(rebuilt.reach == 24 * LENGTH);
    end();
    //  The store of the missing part is gone, and may have had it.
    deal_rotten(4, 1);
    extent_t *extent = extent_of(&deals[1]);
    deals[1].lost = placement_position(extent, 1, 2);
    extent_free(extent);
    CHECK(make(8));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 6);
    end();
    //  Nor if it lacks what was settled.
    deal_rotten(3, 5);
    deals[1].weak = 1;
    CHECK(make(20));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 6);
    CHECK(!rebuilt.lost);
    end();
}

static void
only_what_another_may_have_is_read(void)
{
    deal(5, 0, 10)->weak = 7;
    CHECK(make(8) && decoded == 0);
    end();
    deal(5, 0, 10)->weak = 7;
    deal(6, 20, 2);
    CHECK(make(8) && decoded == 2);
    end();
    deal(5, 0, 10)->weak = 7;
    deal(6, 20, 2);
    CHECK(make(16) && decoded == 0);
    end();
}

static void
weak_blocks_are_read_together(void)
{
    deal(5, 0, 10);
    deal(6, 10, 20)->lost = 0;
    CHECK(make(10));
    //  One store of four had something of three blocks of four.
    CHECK(at_once == 2 * 15);
    CHECK(rebuilt.reach == 50 * LENGTH);
    end();
}

static void
what_a_later_epoch_replaced_is_nobodys(void)
{
    //  Chunks of epoch 6 were settled while it was dealt: it counted, and so
    //  5 ends where it begins, though 5 reaches further.
    deal(5, 0, 10);
    deal(6, 12, 2)->settled = 14;
    CHECK(make(14));
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->epoch == 6);
    CHECK(rebuilt.reach == 16 * LENGTH && !rebuilt.lost);
    end();
}

static void
an_attempt_that_does_not_fit_is_passed_over(void)
{
    //  It begins between two blocks' ends, at another offset.
    deal(5, 0, 10);
    deal(6, 12, 30)->offset = 12 * LENGTH + 3;
    CHECK(make(8));
    CHECK(rebuilt.count == 1 && rebuilt.chain[0]->epoch == 5);
    end();
}

static void
another_source_begins_behind_a_hole(void)
{
    deal(5, 0, 10);
    deal_t *other = deal(6, 20, 3);
    other->another = true;
    other->offset = 1000;
    CHECK(make(18));
    CHECK(rebuilt.count == 2 && !rebuilt.lost);
    CHECK(rebuilt.chain[1]->gap == 1000 - 20 * LENGTH);
    CHECK(rebuilt.record.writer == 2 && rebuilt.record.writer_begin == 1000);
    end();
    //  Where it cuts off what the one before has in excess.
    deal(5, 0, 10);
    other = deal(6, 16, 3);
    other->another = true;
    other->offset = 1000;
    CHECK(make(12));
    CHECK(rebuilt.count == 2 && !rebuilt.lost);
    CHECK(rebuilt.chain[1]->gap == 1000 - 16 * LENGTH);
    end();
    //  A gap that nobody gave a name to is none.
    deal(5, 0, 10);
    deal(6, 20, 3)->offset = 1000;
    CHECK(make(18));
    CHECK(rebuilt.count == 1 && rebuilt.reach == 20 * LENGTH);
    end();
}

static void
who_began_is_asked_of_others_when_its_store_is_gone(void)
{
    deal(5, 0, 10);
    deal_t *other = deal(6, 20, 3);
    other->another = true;
    other->offset = 1000;
    extent_t *extent = extent_of(other);
    other->lost = placement_position(extent, 0, 0);
    extent_free(extent);
    CHECK(make(18));
    CHECK(decoded > 0);
    CHECK(rebuilt.count == 2 && rebuilt.chain[1]->gap > 0);
    end();
}

static void
indices_jump_behind_an_accepted_loss(void)
{
    deal(5, 0, 10);
    deal_t *other = deal(6, 16 + PLACEMENT_JUMP, 3);
    other->another = true;
    other->offset = 1000;
    CHECK(make(PLACEMENT_JUMP + 18));
    CHECK(rebuilt.count == 2 && !rebuilt.lost);
    CHECK(rebuilt.chain[1]->index_gap == PLACEMENT_JUMP);
    CHECK(placement_index_before(rebuilt.chain[1]) == 16);
    CHECK(rebuilt.chain[1]->gap == 1000 - 16 * LENGTH);
    end();
}

//  ---- losses

static void
what_was_settled_and_is_nowhere_is_said(void)
{
    //  Behind the end.
    deal(5, 0, 10);
    CHECK(make(22));
    CHECK(rebuilt.lost && !rebuilt.outlived && rebuilt.count == 1);
    CHECK(rebuilt.lost_from == 20 * LENGTH);
    CHECK(rebuilt.lost_to == CATALOGUE_OPEN_END);
    end();
    //  In the middle: both sides stay.
    deal(5, 0, 10)->gone = 4;
    CHECK(make(18));
    CHECK(rebuilt.lost && rebuilt.count == 1);
    CHECK(rebuilt.lost_from == 8 * LENGTH && rebuilt.lost_to == 10 * LENGTH);
    CHECK(rebuilt.reach == 20 * LENGTH);
    end();
    //  Between two extents.
    deal(5, 0, 10)->gone = 9;
    deal(6, 20, 4);
    CHECK(make(28));
    CHECK(rebuilt.lost && rebuilt.count == 2);
    CHECK(rebuilt.lost_from == 18 * LENGTH && rebuilt.lost_to == 20 * LENGTH);
    CHECK(rebuilt.chain[1]->gap == 0);
    CHECK(rebuilt.outlived && rebuilt.from_epoch == 6);
    end();
    //  The beginning, which retention may have dropped, if not in part.
    deal(5, 0, 10)->from = 3;
    CHECK(make(18));
    CHECK(rebuilt.lost && !rebuilt.outlived && rebuilt.count == 1);
    CHECK(rebuilt.lost_from == 0 && rebuilt.lost_to == 6 * LENGTH);
    end();
    deal(5, 6, 10);
    CHECK(make(18));
    CHECK(rebuilt.lost && rebuilt.outlived && rebuilt.count == 1);
    CHECK(rebuilt.lost_from == 0 && rebuilt.lost_to == 6 * LENGTH);
    CHECK(rebuilt.after_us == 5009 && rebuilt.record.first_index == 6);
    end();
}

static void
what_nobody_was_told_of_is_no_loss(void)
{
    //  Block 7 never was, what was pushed behind it does not count.
    deal(5, 0, 10)->gone = 7;
    CHECK(make(14));
    CHECK(!rebuilt.lost && rebuilt.reach == 14 * LENGTH);
    end();
    //  Nor when it is the first.
    deal(5, 0, 10)->gone = 0;
    CHECK(make(0));
    CHECK(!rebuilt.lost && rebuilt.count == 0 && rebuilt.reach == 0);
    CHECK(strcmp(rebuilt.record.name, "cam") == 0);
    end();
    deal(5, 0, 1)->gone = 0;
    deal(6, 0, 1)->gone = 0;
    CHECK(!make(0));
    end();
}

static void
a_stream_with_nothing_that_can_be_read_keeps_its_name(void)
{
    deal_t *only = deal(5, 0, 1);
    only->weak = 0;
    only->lost = 0;
    extent_t *extent = extent_of(only);
    only->lost = placement_position(extent, 0, 0);
    extent_free(extent);
    CHECK(make(0));
    CHECK(rebuilt.count == 0 && !rebuilt.lost);
    CHECK(strcmp(rebuilt.record.name, "cam") == 0 && !rebuilt.record.sealed);
    end();
}

//  ---- many

//  A history: each attempt begins at a block of the way so far that is not
//  settled, goes some blocks, counts or does not. What counts and is stored
//  must be in what comes out, whichever store is lost.
static void
a_history(unsigned seed)
{
    uint64_t chance = seed * 0x9e3779b97f4a7c15u + 1;
#define CHANCE(below)                                                          \
    ((unsigned)((chance = chance * 6364136223846793005u +                      \
                          1442695040888963407u) >>                             \
                33) %                                                          \
     (below))
    uint64_t stored = 0;
    int lost = (int)CHANCE(5) - 1;
    for (unsigned i = 0; i < DEALS; i++) {
        //  From the first block that was not stored, or from one before it.
        uint64_t base = stored -
                        (stored ? 2 * CHANCE((unsigned)(stored / 2)) : 0);
        base = CHANCE(2) ? stored : base;
        deal_t *next = deal(i + 1, base, 1 + CHANCE(6));
        next->lost = lost;
        bool counts = CHANCE(3) > 0;
        uint64_t reach = base + 2 * next->blocks;
        if (!counts && CHANCE(2))
            next->rotten = (int)CHANCE((unsigned)next->blocks);
        //  What was stored is dealt again before an attempt counts.
        if (counts && reach >= stored)
            stored = reach;
    }
    CHECK(make(0));
    CHECK(!rebuilt.lost);
    CHECK(rebuilt.reach >= stored * LENGTH);
    //  Every index below is in the extent that the chain says, and readable.
    for (uint64_t index = 0; index < stored; index += 2) {
        size_t nth = rebuilt.count;
        while (nth > 1 && rebuilt.chain[nth - 1]->base_index > index)
            nth--;
        const extent_t *extent = rebuilt.chain[nth - 1];
        CHECK(extent->base_index <= index);
        const deal_t *of = deal_of(extent->epoch);
        uint64_t block = (index - of->base) / 2;
        CHECK(block < of->blocks && (int)block != of->gone);
    }
    end();
}

static void
whatever_was_tried_what_was_stored_is_there(void)
{
    for (unsigned seed = 0; seed < 20000; seed++)
        a_history(seed);
}

int
main(void)
{
    CASE(a_whole_stream_is_as_it_was,
         "rebuild 1: a stream is rebuilt as it was: name, code, seal");
    CASE(a_stream_that_was_dealt_again_began_with_its_chunks,
         "a stream that was recovered began when its first chunk was made");
    CASE(a_block_that_is_not_whole_leaves_the_end_to_recovery,
         "invariant 1: an end that is not whole is left to recovery");
    CASE(the_end_of_a_stream_is_decoded_when_its_store_is_gone,
         "rebuild 1: where a stream ends is decoded when its store is gone");
    CASE(a_place_where_nothing_was_dealt_is_any_others,
         "rebuild 1: a place where nothing was dealt is any other store's");
    CASE(headers_that_cannot_be_read_make_no_stream,
         "rebuild 3: records without a header make no stream");
    CASE(the_way_that_reaches_furthest_is_taken,
         "rebuild 4: the way that reaches furthest is taken, not the newest");
    CASE(a_later_attempt_goes_on_where_it_begins,
         "rebuild 2: a later attempt goes on where it begins");
    CASE(of_two_that_reach_as_far_the_stronger_is_taken,
         "invariant 5: of two that reach as far the stronger is taken");
    CASE(of_two_the_one_that_can_be_read_is_taken,
         "invariant 1: what cannot be read gives way to what was settled");
    CASE(only_what_another_may_have_is_read,
         "rebuild 1: what only one attempt has is not read first");
    CASE(weak_blocks_are_read_together,
         "invariant 19: weak blocks of several attempts are read together");
    CASE(what_a_later_epoch_replaced_is_nobodys,
         "rebuild 1: what a later epoch replaced is nobody's");
    CASE(an_attempt_that_does_not_fit_is_passed_over,
         "rebuild 2: an attempt that does not fit is passed over");
    CASE(another_source_begins_behind_a_hole,
         "rebuild 2: another source begins behind a hole");
    CASE(who_began_is_asked_of_others_when_its_store_is_gone,
         "rebuild 2: a hole is known also when its first chunk is gone");
    CASE(indices_jump_behind_an_accepted_loss,
         "rebuild 2: indices jump behind an accepted loss");
    CASE(what_was_settled_and_is_nowhere_is_said,
         "rebuild 3: what was settled and is nowhere is said");
    CASE(what_nobody_was_told_of_is_no_loss,
         "rebuild 3: what nobody was told of is no loss");
    CASE(a_stream_with_nothing_that_can_be_read_keeps_its_name,
         "rebuild 3: a stream of which nothing can be read keeps its name");
    CASE(whatever_was_tried_what_was_stored_is_there,
         "invariant 1: whatever was tried, what was stored is in the chain "
         "(20,000 histories)");
    return proof_end();
}
