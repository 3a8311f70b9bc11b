/*  rill-sim - seeded plays of the production cores on a virtual stage
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "play.h"
#include "story.h"

static const char HELP[] =
    "usage: rill-sim [--seed N | --seeds FROM-TO] [--seconds S] [--trace]\n"
    "                [--lie NAME] [--list]\n"
    "\n"
    "Play forwarders, workers and sources on a virtual network with virtual\n"
    "disks, with faults from a seed, and check the house invariants. One seed\n"
    "is one play. A breach prints the invariant, the seed and the last "
    "events,\n"
    "and ends with exit code 1.\n"
    "\n"
    "  --seed N          play one seed (1)\n"
    "  --seeds FROM-TO   play many\n"
    "  --seconds S       virtual seconds of faults (30)\n"
    "  --trace           print every event\n"
    "  --lie NAME        break a rule from outside; the checker must find it\n"
    "  --list            the names of the lies\n";

static const struct {
    const char *name;
    const char *says;
} LIES[] = {
    [LIE_NONE] = { "none", "nothing is broken" },
    [LIE_EARLY_RECEIPT] = { "early-receipt", "a disk says durable too early" },
    [LIE_NO_CRC] = { "no-crc", "a disk takes bytes that are not its header's" },
    [LIE_NO_SYNC] = { "no-sync", "the catalogue's disk never syncs" },
};
#define LIES_COUNT (sizeof(LIES) / sizeof(*LIES))

static const char *const SAYS[STORY_INVARIANTS] = {
    [1] = "what was said to be stored is there, whatever one store is lost",
    [2] = "no byte was invented: all are the source's at that offset",
    [3] = "no watermark went back",
    [4] = "streams end where their sources did, holes are said",
    [5] = "chunks of a block lie on distinct stores",
    [6] = "no receipt before the sync, no acknowledgement before the quorum",
    [7] = "one key, one content, pushed once",
    [8] = "no receipt for a term below the granted one",
    [9] = "wrong bytes are found, parity gives its block back",
    [11] = "nothing acknowledged is said to be gone",
    [12] = "an answer covers what was asked for",
    [18] = "open chunks stay under the memory budget",
    [19] = "after the last fault everything moves, every question is answered",
};

//  Every fault there is: one that never struck in a campaign is said.
static const char *const FAULTS[] = {
    "forwarder killed",
    "forwarder hung",
    "forwarder stopped",
    "forwarder wakes beside its successor",
    "forwarder fenced",
    "crash inside a handler",
    "power cut at the catalogue",
    "catalogue write failed",
    "worker killed",
    "worker hung",
    "worker stopped",
    "worker slowed 100 times",
    "sync failed",
    "disk full",
    "disk wiped",
    "record rotten",
    "store lost for good at the end",
    "connection broken",
    "message lost",
    "message repeated",
    "message reordered",
    "payload bit flipped",
    "push socket full",
    "chunk held back by a full store",
    "source killed",
    "source replaced by another",
};

static void
tell_count(void *arg, const char *kind, uint64_t times)
{
    (void)arg;
    if (times)
        printf("# %8llu  %s\n", (unsigned long long)times, kind);
    else
        printf("#    never  %s\n", kind);
}

static void
tell_end(void)
{
    story_counts(tell_count, NULL);
    for (int i = 1; i < STORY_INVARIANTS; i++)
        if (SAYS[i] && story_checks(i))
            printf("ok invariant %d: %s (%llu checks)\n", i, SAYS[i],
                   (unsigned long long)story_checks(i));
}

static lie_t
lie_named(const char *name)
{
    for (size_t i = 0; i < LIES_COUNT; i++)
        if (LIES[i].name && strcmp(LIES[i].name, name) == 0)
            return (lie_t)i;
    fprintf(stderr, "rill-sim: no lie is called %s; see --list\n", name);
    exit(64);
}

static int
list(void)
{
    for (size_t i = 1; i < LIES_COUNT; i++)
        if (LIES[i].name)
            printf("%-16s %s\n", LIES[i].name, LIES[i].says);
    return 0;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "seeds", required_argument, NULL, 'r' },
        { "seconds", required_argument, NULL, 'd' },
        { "trace", no_argument, NULL, 't' },
        { "lie", required_argument, NULL, 'l' },
        { "list", no_argument, NULL, 'L' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    unsigned long long from = 1, to = 1;
    unsigned seconds = 30;
    bool trace = false;
    lie_t lie = LIE_NONE;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            from = to = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            if (sscanf(optarg, "%llu-%llu", &from, &to) != 2) {
                fputs(HELP, stderr);
                return 64;
            }
            break;
        case 'd':
            seconds = (unsigned)atoi(optarg);
            break;
        case 't':
            trace = true;
            break;
        case 'l':
            lie = lie_named(optarg);
            break;
        case 'L':
            return list();
        case 'h':
            fputs(HELP, stdout);
            return 0;
        default:
            fputs(HELP, stderr);
            return 64;
        }
    }
    char replay[200];
    snprintf(replay, sizeof(replay), "rill-sim --seconds %u%s%s", seconds,
             lie ? " --lie " : "", lie ? LIES[lie].name : "");
    story_replay(replay);
    story_catch_signals();
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(*FAULTS); i++)
        story_count(FAULTS[i], 0);
    for (unsigned long long seed = from; seed <= to; seed++) {
        story_begin(seed, trace);
        play_run(seed, seconds, lie);
        if (from == to)
            printf("# digest %016llx\n", (unsigned long long)story_digest());
    }
    tell_end();
    return 0;
}
