#include "random.h"

#include "proof.h"

static void
a_seed_gives_the_published_numbers(void)
{
    //  xoshiro256** from the state 1, 2, 3, 4, and SplitMix64 from 0: the
    //  first numbers of the authors' reference programs.
    random_t known = { { 1, 2, 3, 4 } };
    CHECK(random_next(&known) == UINT64_C(11520));
    CHECK(random_next(&known) == UINT64_C(0));
    CHECK(random_next(&known) == UINT64_C(1509978240));
    CHECK(random_next(&known) == UINT64_C(1215971899390074240));
    random_t zero = random_seeded(0);
    CHECK(zero.state[0] == UINT64_C(0xe220a8397b1dcdaf));
    CHECK(zero.state[1] == UINT64_C(0x6e789e6aa1b965f4));
}

static void
a_copy_goes_on_as_the_original_would(void)
{
    random_t one = random_seeded(5);
    random_next(&one);
    random_t other = one;
    for (int i = 0; i < 100; i++)
        CHECK(random_next(&one) == random_next(&other));
}

static void
numbers_below_a_bound_are_all_met(void)
{
    random_t chance = random_seeded(1);
    int met[7] = { 0 };
    for (int i = 0; i < 7000; i++) {
        uint64_t number = random_below(&chance, 7);
        CHECK(number < 7);
        met[number]++;
    }
    for (int i = 0; i < 7; i++)
        CHECK(met[i] > 850 && met[i] < 1150);
    CHECK(random_below(&chance, 1) == 0);
    CHECK(random_below(&chance, UINT64_MAX) < UINT64_MAX);
}

static void
a_chance_is_as_good_as_told(void)
{
    random_t chance = random_seeded(2);
    int hits = 0;
    for (int i = 0; i < 10000; i++)
        hits += random_chance(&chance, 1, 4);
    CHECK(hits > 2300 && hits < 2700);
    CHECK(!random_chance(&chance, 0, 4) && random_chance(&chance, 4, 4));
}

static void
the_systems_numbers_are_never_0_and_differ(void)
{
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t number = random_u64();
        CHECK(number != 0 && number != last);
        last = number;
    }
}

int
main(void)
{
    CASE(a_seed_gives_the_published_numbers,
         "a seed gives the published numbers");
    CASE(a_copy_goes_on_as_the_original_would,
         "a copy of a generator goes on as the original would");
    CASE(numbers_below_a_bound_are_all_met,
         "numbers below a bound are all met, each as often");
    CASE(a_chance_is_as_good_as_told, "a chance is as good as told");
    CASE(the_systems_numbers_are_never_0_and_differ,
         "the system's numbers are never 0 and differ");
    return proof_end();
}
