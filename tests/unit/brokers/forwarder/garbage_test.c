#include "garbage.h"

#include "proof.h"

//  A chain of extents at these epochs and base indexes, k = 4.
enum { MOST = 4 };
static extent_t extents[MOST];
static extent_t *chain[MOST];

static void
chain_of(size_t count, const uint64_t *epochs, const uint64_t *bases)
{
    for (size_t i = 0; i < count; i++) {
        extents[i] = (extent_t){ .epoch = epochs[i],
                                 .base_index = bases[i],
                                 .code = { 4, 2 } };
        chain[i] = &extents[i];
    }
}

static const uint64_t EPOCHS[] = { 10, 20, 30 };
static const uint64_t BASES[] = { 0, 40, 100 };
static const uint64_t NONE = UINT64_MAX;

//  Where the blocks begin that may go; NONE: nothing may.
static uint64_t
end_of(size_t count, bool over, uint64_t epoch)
{
    uint64_t end = 12345;
    return garbage_end(chain, count, over, epoch, &end) ? end : NONE;
}

static void
what_lies_behind_the_next_extent_may_go(void)
{
    chain_of(3, EPOCHS, BASES);
    CHECK(end_of(3, false, 10) == 10);
    CHECK(end_of(3, false, 20) == 15);
    CHECK(end_of(3, true, 20) == 15);
    //  A base between blocks leaves the block it cuts.
    const uint64_t odd[] = { 0, 41, 100 };
    chain_of(3, EPOCHS, odd);
    CHECK(end_of(3, false, 10) == 11);
    //  Nothing of it counts any more.
    const uint64_t same[] = { 0, 0, 100 };
    chain_of(3, EPOCHS, same);
    CHECK(end_of(3, false, 10) == 0);
}

static void
an_attempt_goes_when_something_newer_is_committed(void)
{
    chain_of(3, EPOCHS, BASES);
    CHECK(end_of(3, false, 5) == 0);
    CHECK(end_of(3, false, 25) == 0);
    CHECK(end_of(3, false, 31) == NONE);
    CHECK(end_of(0, false, 31) == NONE);
}

static void
the_last_extent_is_left_alone(void)
{
    chain_of(3, EPOCHS, BASES);
    for (size_t count = 1; count <= 3; count++) {
        CHECK(end_of(count, false, EPOCHS[count - 1]) == NONE);
        CHECK(end_of(count, true, EPOCHS[count - 1]) == NONE);
    }
}

static void
an_attempt_goes_that_will_never_be_committed(void)
{
    chain_of(3, EPOCHS, BASES);
    CHECK(end_of(3, true, 31) == 0);
    CHECK(end_of(3, true, NONE) == 0);
    CHECK(end_of(0, true, 31) == 0);
}

//  Whatever is made of a chain later: truncated at a base, extended.
static void
what_may_go_may_always_go(void)
{
    chain_of(3, EPOCHS, BASES);
    for (uint64_t epoch = 1; epoch < 40; epoch++) {
        chain_of(3, EPOCHS, BASES);
        uint64_t before = end_of(3, false, epoch);
        for (size_t kept = 1; kept <= 3; kept++)
            for (uint64_t base = BASES[kept - 1]; base <= 120; base += 4) {
                if (kept < 3 && base > BASES[kept])
                    break;
                uint64_t epochs[MOST] = { 10, 20, 30 };
                uint64_t bases[MOST] = { 0, 40, 100 };
                epochs[kept] = 50;
                bases[kept] = base;
                chain_of(kept + 1, epochs, bases);
                uint64_t after = end_of(kept + 1, false, epoch);
                CHECK(before == NONE || (after != NONE && after <= before));
            }
    }
}

int
main(void)
{
    CASE(what_lies_behind_the_next_extent_may_go,
         "garbage 1: what lies behind the next extent's base may go");
    CASE(an_attempt_goes_when_something_newer_is_committed,
         "garbage 1: an attempt goes when something newer is committed");
    CASE(the_last_extent_is_left_alone,
         "garbage 1: the last extent is left alone");
    CASE(an_attempt_goes_that_will_never_be_committed,
         "garbage 1: an attempt goes that will never be committed");
    CASE(what_may_go_may_always_go,
         "garbage 2: what may go may go by every later chain");
    return proof_end();
}
