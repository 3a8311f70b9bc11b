#include <stdio.h>

#include "invariant.h"
#include "proof.h"
#include "rig.h"

enum { BLOCKS = 60, LENGTH = 9000 };  //  Of one stream; some 13 in a segment

static chunk_key_t
key_of(uint64_t stream, uint64_t block)
{
    return (chunk_key_t){ stream, 1, block, (uint32_t)(block % 6) };
}

//  Two streams of one class and one of the other, side by side.
static void
fill(rig_t *rig, uint64_t from, uint64_t to)
{
    for (uint64_t block = from; block < to; block++)
        for (uint64_t stream = 1; stream <= 3; stream++) {
            while (rig_append(rig, key_of(stream, block), LENGTH) ==
                   STATUS_BUSY)
                rig_turns(rig, 1);
            if (!rig_settle(rig))
                return;  //  The power went
        }
}

static rig_t *
filled(uint64_t seed)
{
    rig_t *rig = rig_new(seed);
    CHECK(rig_open(rig) == STATUS_OK);
    fill(rig, 0, BLOCKS);
    return rig;
}

//  Chunks of a stream that are there.
static uint64_t
left(rig_t *rig, uint64_t stream)
{
    uint64_t count = 0;
    for (uint64_t block = 0; block < 2 * BLOCKS; block++)
        count += rig_read(rig, key_of(stream, block)) == STATUS_OK;
    return count;
}

static micros_t
begun(uint64_t block)
{
    return rig_block_us(key_of(1, block));
}

static void
what_is_below_goes_by_the_segment(void)
{
    rig_t *rig = filled(1);
    uint64_t before = fake_files_taken(rig->disk);
    uint64_t chunks = chunkstore_space(rig->store).chunks;
    CHECK(chunks == 3 * BLOCKS);
    rig_retain(rig, 1, begun(30));
    rig_turns(rig, 200);
    //  All above the horizon, and less than a segment below it.
    uint64_t kept = left(rig, 1);
    CHECK(kept >= 30 && kept < 30 + 13 && left(rig, 3) >= 30);
    CHECK(left(rig, 2) == BLOCKS);  //  Of the other class
    CHECK(!rig_check(rig));
    CHECK(fake_files_taken(rig->disk) <= before - 3 * RIG_SEGMENT_BYTES);
    CHECK(chunkstore_space(rig->store).chunks == kept + left(rig, 3) + BLOCKS);
    //  Nobody is in the way of who appends; a horizon never goes back.
    fill(rig, BLOCKS, BLOCKS + 5);
    rig_retain(rig, 1, begun(10));
    rig_turns(rig, 100);
    CHECK(left(rig, 1) == kept + 5);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
what_is_open_stays_until_it_closes(void)
{
    rig_t *rig = rig_new(2);
    CHECK(rig_open(rig) == STATUS_OK);
    fill(rig, 0, 3);
    chunkstore_retain(rig->store, 1, 0, 5000);
    rig_retain(rig, 1, begun(100));
    chunkstore_retain(rig->store, 1, begun(100), 5000);
    rig_turns(rig, 50);
    CHECK(left(rig, 1) == 3);
    rig->now += 5000;  //  Its span
    rig_turns(rig, 50);
    chunkstore_retain(rig->store, 1, begun(100), 5000);
    rig_turns(rig, 50);
    CHECK(left(rig, 1) == 0 && left(rig, 3) == 0 && left(rig, 2) == 3);
    fill(rig, 200, 203);
    CHECK(rig_read(rig, key_of(1, 201)) == STATUS_OK);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
a_busy_segment_closes_by_its_span(void)
{
    rig_t *rig = rig_new(3);
    CHECK(rig_open(rig) == STATUS_OK);
    chunkstore_retain(rig->store, 1, 0, 1000);
    for (uint64_t block = 0; block < 8; block++) {
        fill(rig, block, block + 1);
        rig->now += 400;  //  Never idle for long
    }
    rig_retain(rig, 1, begun(3));
    chunkstore_retain(rig->store, 1, begun(3), 1000);
    rig_turns(rig, 100);
    CHECK(left(rig, 1) < 8 && left(rig, 1) >= 5);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
nothing_goes_that_was_not_told_to(void)
{
    rig_t *rig = filled(4);
    rig_crash(rig, 1);  //  What was open has no footer
    CHECK(rig_open(rig) == STATUS_OK);
    rig_turns(rig, 100);
    CHECK(left(rig, 1) == BLOCKS);
    rig_retain(rig, 1, begun(BLOCKS + 1));
    rig_turns(rig, 300);
    CHECK(left(rig, 1) == 0 && left(rig, 3) == 0 && left(rig, 2) == BLOCKS);
    CHECK(chunkstore_space(rig->store).chunks == BLOCKS);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
a_removed_stream_and_a_horizon_meet(void)
{
    rig_t *rig = filled(5);
    rig_retain(rig, 1, begun(40));
    rig_turns(rig, 1);
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    rig_turns(rig, 300);
    CHECK(left(rig, 1) == 0 && left(rig, 3) >= 20 && left(rig, 3) < 20 + 13);
    CHECK(chunkstore_space(rig->store).chunks == BLOCKS + left(rig, 3));
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

//  The power goes before change `nth` of a life in which the horizon moves
//  twice. False: there is no such change.
static bool
cut_at(uint64_t nth, bool power)
{
    rig_t *rig = filled(6);
    rig_die_at(rig, nth);
    rig_retain(rig, 1, begun(25));
    rig_turns(rig, 3);
    fill(rig, BLOCKS, BLOCKS + 2);
    rig_retain(rig, 1, begun(45));
    rig_turns(rig, 100);
    bool dead = fake_files_dead(rig->disk);
    (power ? rig_cut : rig_crash)(rig, nth);
    CHECK(rig_open(rig) == STATUS_OK);
    rig_retain(rig, 1, begun(45));
    rig_turns(rig, 300);
    const char *wrong = rig_check(rig);
    if (wrong)
        printf("# %s at %lu: %s\n", power ? "cut" : "crash", nth, wrong);
    CHECK(!wrong);
    CHECK(left(rig, 1) < 15 + 13 + 2 && left(rig, 2) >= BLOCKS);
    rig_destroy(&rig);
    return dead;
}

static void
a_crash_in_between_loses_nothing(void)
{
    uint64_t nth = 1;
    while (nth < 400 && cut_at(nth, false) && cut_at(nth, true))
        nth++;
    CHECK(nth > 20 && nth < 400);
}

int
main(void)
{
    CASE(what_is_below_goes_by_the_segment,
         "invariant 11: what lies below the horizon goes by the segment, "
         "nothing above it does");
    CASE(what_is_open_stays_until_it_closes,
         "invariant 11: a segment that is written goes once its span is over");
    CASE(a_busy_segment_closes_by_its_span,
         "a segment that is never idle closes by its span");
    CASE(nothing_goes_that_was_not_told_to,
         "a store drops nothing on its own, and without a footer all the same");
    CASE(a_removed_stream_and_a_horizon_meet,
         "a removed stream and a horizon meet in one segment");
    CASE(a_crash_in_between_loses_nothing,
         "invariant 11: a crash or a cut while segments go loses nothing above "
         "the horizon and keeps nothing below it");
    return proof_end();
}
