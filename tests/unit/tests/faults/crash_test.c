//  crash_test [FIRST [COUNT]]: seeds FIRST to FIRST + COUNT, each with the
//  power cut at every boundary of its workload.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "proof.h"
#include "random.h"
#include "rig.h"

enum { OPS = 200, STREAMS = 6 };

static uint64_t first_seed = 1, seeds = 2;

//  What is injected, and how often it really hit.
static const char *const KINDS[] = {
    "crash state",
    "cut before create",
    "cut before write",
    "cut before sync",
    "cut before rename",
    "cut before unlink",
    "cut before reserve",
    "cut before removal",
    "cut before punch",
    "cut before sync of names",
    "cut before claim",
    "cut before directory made",
    "cut before small write",
    "cut before sync of a directory",
    "process killed",
    "cut during the start",
    "second cut",
    "unsynced page dropped",
    "unsynced page kept",
    "page torn",
    "unsynced name lost",
};
enum { KINDS_COUNT = sizeof KINDS / sizeof *KINDS };
static uint64_t hits[KINDS_COUNT];

static void
hit(const char *kind, uint64_t times)
{
    for (size_t i = 0; i < KINDS_COUNT; i++)
        if (strcmp(KINDS[i], kind) == 0) {
            hits[i] += times;
            return;
        }
    INVARIANT(!"a kind that is not listed");
}

static void
hit_toll(const fake_files_toll_t *toll)
{
    hit("unsynced page dropped", toll->pages_lost);
    hit("unsynced page kept", toll->pages_kept);
    hit("page torn", toll->pages_torn);
    hit("unsynced name lost", toll->names_lost);
}

//  One operation of the workload. Its outcome is the rig's to remember.
static void
act(rig_t *rig, random_t *random, uint64_t *blocks)
{
    uint64_t dice = random_below(random, 100);
    uint64_t stream = 1 + random_below(random, STREAMS);
    if (dice < 60 && rig_is_dropped(rig, stream)) {
        rig_turns(rig, 1);
    } else if (dice < 55) {
        uint64_t block = blocks[stream]++;
        uint32_t length = (uint32_t)random_below(random, 9000);
        rig_append(rig, (chunk_key_t){ stream, 1, block, block % 6 }, length);
    } else if (dice < 60) {
        uint64_t block = blocks[stream] ? blocks[stream] - 1 : 0;
        if (blocks[stream])
            rig_append(rig, (chunk_key_t){ stream, 2, block, 0 }, 40000);
    } else if (dice < 96) {
        rig_turns(rig, 1 + (int)random_below(random, 4));
    } else if (dice < 98) {
        rig_set_term(rig, rig->term_most + 1);
    } else if (dice < 99 && rig->dropped_count < 2 &&
               rig->maybe_dropped_count < 2) {
        rig_drop(rig, stream);
    } else {
        rig_close(rig);
        if (rig_open(rig) != STATUS_OK && !fake_files_dead(rig->disk))
            INVARIANT(!"a store that was closed well does not open");
    }
}

//  The same when streams come and go in turn, so that segments die whole and
//  their files are used again.
static void
act_in_turn(rig_t *rig, random_t *random, uint64_t *blocks, int nth)
{
    uint64_t stream = 1 + (uint64_t)nth / 20 * 2;
    if (nth % 20 == 19 && stream > 3 && rig->maybe_dropped_count < 2)
        rig_drop(rig, stream - 2);
    else if (random_chance(random, 1, 3))
        rig_turns(rig, 1 + (int)random_below(random, 6));
    else
        rig_append(rig, (chunk_key_t){ stream, 1, blocks[0]++, 0 }, 15000);
}

//  Play the workload of a seed; the power goes before the `nth` change (0:
//  never). True: it went.
static bool
play(rig_t *rig, uint64_t seed, uint64_t nth)
{
    random_t random = random_seeded(seed);
    uint64_t blocks[STREAMS + 1] = { 0 };
    rig_die_at(rig, nth);
    if (rig_open(rig) != STATUS_OK)
        return true;
    for (int i = 0; i < OPS && rig->store && !fake_files_dead(rig->disk); i++)
        if (seed % 2)
            act(rig, &random, blocks);
        else
            act_in_turn(rig, &random, blocks, i);
    return fake_files_dead(rig->disk);
}

static void
must_be_right(rig_t *rig, uint64_t seed, uint64_t nth, const char *when)
{
    if (rig_open(rig) != STATUS_OK) {
        printf("# seed %lu, cut %lu, %s: %s\n", seed, nth, when, rig->why);
        CHECK(!"the store opens");
    }
    const char *wrong = rig_check(rig);
    if (wrong)
        printf("# seed %lu, cut %lu, %s: %s\n", seed, nth, when, wrong);
    CHECK(!wrong);
    hit("crash state", 1);
}

//  The power goes before change `nth`; comes back; goes during the start; and
//  once more when new chunks were stored. False: there is no such change.
static bool
cut_at(uint64_t seed, uint64_t nth)
{
    rig_t *rig = rig_new(seed);
    bool died = play(rig, seed, nth);
    if (died) {
        char kind[64];
        snprintf(kind, sizeof kind, "cut before %s",
                 fake_files_toll(rig->disk).before);
        hit(kind, 1);
    }
    random_t random = random_seeded(seed * 1000003 + nth);
    bool power = random_chance(&random, 3, 4);
    if (power)
        rig_cut(rig, random_next(&random));
    else
        rig_crash(rig, random_next(&random));
    if (!power)
        hit("process killed", 1);
    if (random_chance(&random, 1, 3)) {
        rig_die_at(rig, 1 + random_below(&random, 12));
        rig_open(rig);
        hit("cut during the start", fake_files_dead(rig->disk));
        rig_cut(rig, random_next(&random));
    }
    must_be_right(rig, seed, nth, power ? "after the cut" : "after the crash");
    for (uint64_t block = 0; block < 10; block++)
        rig_append(rig, (chunk_key_t){ 20, 1, block, 0 }, 7000);
    rig_turns(rig, (int)random_below(&random, 12));
    rig_cut(rig, random_next(&random));
    hit("second cut", 1);
    must_be_right(rig, seed, nth, "after another cut");
    fake_files_toll_t toll = fake_files_toll(rig->disk);
    hit_toll(&toll);
    rig_destroy(&rig);
    return died;
}

static void
nothing_durable_is_lost_at_any_cut(void)
{
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        uint64_t nth = 1;
        while (cut_at(seed, nth))
            nth++;
        CHECK(nth > 100);
    }
    for (size_t i = 0; i < KINDS_COUNT; i++)
        printf("# %8lu  %s\n", hits[i], KINDS[i]);
}

int
main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seeds = strtoull(argv[2], NULL, 10);
    CASE(nothing_durable_is_lost_at_any_cut,
         "chunkstore 1, 2 and 3, invariant 6: what was told durable survives "
         "a cut at any write, sync or rename; nothing torn is served");
    return proof_end();
}
