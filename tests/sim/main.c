/*  rill-sim - seeded plays of the production cores on a virtual stage
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs.h"
#include "live.h"
#include "play.h"
#include "story.h"

static const char HELP[] =
    "usage: rill-sim [--seed N | --seeds FROM-TO] [--seconds S] [--jobs J]\n"
    "                [--go-on] [--trace] [--lie NAME] [--list]\n"
    "\n"
    "Play forwarders, workers and sources on a virtual network with virtual\n"
    "disks, with faults from a seed, and check the house invariants. One seed\n"
    "is one play. A breach prints the invariant, the seed and the last "
    "events,\n"
    "and ends with exit code 1. So does a long run in which some kind of "
    "fault\n"
    "never hit.\n"
    "\n"
    "  --seed N          play one seed (1)\n"
    "  --seeds FROM-TO   play many\n"
    "  --seconds S       virtual seconds of faults (30)\n"
    "  --jobs J          processes that play them (1)\n"
    "  --go-on           play the other seeds too after a breach\n"
    "  --trace           print every event\n"
    "  --lie NAME        break a rule from outside; the checker must find it\n"
    "  --list            the names of the lies\n"
    "  --live            the live tree: caches and viewers of live streams\n";

//  From so many plays on, every kind of fault must have hit.
#define LONG_RUN 2000

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
    [12] = "an answer covers what was asked for; a session is one range",
    [13] = "what a cache gives is the origin's",
    [14] = "one copy of a stream enters a group of siblings",
    [15] = "nobody asks for a chunk twice at a time",
    [16] = "nothing is said upstream for nobody",
    [17] = "sources make no circle",
    [18] = "what is held stays under its bounds",
    [19] = "after the last fault everything moves, every question is answered",
};

//  Every fault there is: one that never hit in a long run fails it.
static const char *const FAULTS[] = {
    "forwarder killed",
    "forwarder hung",
    "forwarder stopped",
    "forwarder wakes beside its successor",
    "forwarder fenced",
    "crash inside a handler",
    "power cut at the catalogue",
    "catalogue write failed",
    "catalogue lost",
    "catalogue rebuilt",
    "older catalogue restored",
    "older catalogue refused",
    "worker killed",
    "worker hung",
    "worker stopped",
    "worker slowed 100 times",
    "sync failed",
    "disk full",
    "disk wiped",
    "disk wiped under open streams",
    "record rotten",
    "disk replaced by its older copy",
    "replaced disk returned",
    "all disks stood still",
    "all disks stood still under open streams",
    "wall clock stepped",
    "store lost at the end",
    "store wiped at the end",
    "most stores lost",
    "loss accepted",
    "connection broken",
    "message lost",
    "message repeated",
    "message reordered",
    "payload bit flipped",
    "push socket full",
    "chunk held back by a full store",
    "source killed",
    "source replaced by another",
    "stream trimmed",
    "stream outlived",
    "record outlived",
    "stream removed",
    "stream removed while it was read",
    NULL,
};

static const char *const LIVE_FAULTS[] = {
    "WAN cut",
    "LAN cut",
    "link flapping",
    "link slowed 20 times",
    "connection broken",
    "cache killed",
    "cache hung",
    "a parent killed",
    "origin killed",
    "origin hung",
    "origin's clock stepped",
    "chunk cut again",
    "publishing lossy",
    "published chunk lost",
    "a cache's disk broken",
    "read from a cache's disk",
    "read wrong from a cache's disk",
    "multicast lossy",
    "multicast packet lost",
    "multicast in disorder",
    "packet repeated",
    "packet overtaken",
    "two streams at once",
    "credit exhausted for seconds",
    "viewer stopped",
    "viewer vanished",
    "hole made by a source",
    "tree of three tiers",
    "tree of four tiers",
    "tree of hundreds of caches",
    NULL,
};

//  Tell what was counted. False: a fault never hit, and there were plays
//  enough that it should have.
static bool
tell_end(const story_tally_t *tally, bool is_long)
{
    bool all = true;
    for (size_t i = 0; i < STORY_KINDS && tally->counts[i].kind; i++) {
        uint64_t times = tally->counts[i].times;
        printf("# %10llu  %s\n", (unsigned long long)times,
               tally->counts[i].kind);
        if (times == 0 && is_long)
            printf("not ok a long run met: %s\n", tally->counts[i].kind);
        all = all && (times > 0 || !is_long);
    }
    for (int i = 1; i < STORY_INVARIANTS; i++)
        if (SAYS[i] && tally->held[i])
            printf("ok invariant %d: %s (%llu checks)\n", i, SAYS[i],
                   (unsigned long long)tally->held[i]);
    return all;
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

typedef struct {
    uint64_t from, to;
    unsigned seconds, jobs;
    bool goes_on, trace, live;
    lie_t lie;
} turn_t;

static void
play_one(void *arg, uint64_t seed)
{
    const turn_t *turn = arg;
    story_begin(seed, STORY_NOTHING);
    story_count("seed", 1);
    if (turn->live)
        live_run(seed);
    else
        play_run(seed, turn->seconds, turn->lie);
}

//  One seed, here, with all that is to be told of it.
static void
play_told(const turn_t *turn, uint64_t seed)
{
    story_begin(seed, turn->trace ? STORY_FULLY : STORY_BRIEFLY);
    if (turn->live)
        live_run(seed);
    else
        play_run(seed, turn->seconds, turn->lie);
    printf("# digest %016llx\n", (unsigned long long)story_digest());
}

static int
play_many(turn_t *turn, story_tally_t *tally)
{
    uint64_t first = 0;
    uint64_t breaches = jobs_run(turn->from, turn->to, turn->jobs,
                                 turn->goes_on, play_one, turn, &first);
    bool is_long = !breaches && turn->to - turn->from + 1 >= LONG_RUN;
    if (breaches && !turn->goes_on) {
        play_told(turn, first);  //  It ends there again
        printf("not ok seed %llu: its breach was not met again\n",
               (unsigned long long)first);
        return 1;
    }
    bool all = tell_end(tally, is_long);
    if (breaches)
        printf("not ok %llu plays met a breach\n",
               (unsigned long long)breaches);
    return breaches || !all;
}

static bool
read_turn(int argc, char **argv, turn_t *turn)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "seeds", required_argument, NULL, 'r' },
        { "seconds", required_argument, NULL, 'd' },
        { "jobs", required_argument, NULL, 'j' },
        { "go-on", no_argument, NULL, 'g' },
        { "trace", no_argument, NULL, 't' },
        { "lie", required_argument, NULL, 'l' },
        { "list", no_argument, NULL, 'L' },
        { "live", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    unsigned long long from = 1, to = 1;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            from = to = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            if (sscanf(optarg, "%llu-%llu", &from, &to) != 2 || from > to)
                return false;
            break;
        case 'd':
            turn->seconds = (unsigned)atoi(optarg);
            break;
        case 'j':
            turn->jobs = (unsigned)atoi(optarg);
            break;
        case 'g':
            turn->goes_on = true;
            break;
        case 't':
            turn->trace = true;
            break;
        case 'l':
            turn->lie = lie_named(optarg);
            break;
        case 'L':
            exit(list());
        case 'v':
            turn->live = true;
            break;
        case 'h':
            fputs(HELP, stdout);
            exit(0);
        default:
            return false;
        }
    }
    turn->from = from;
    turn->to = to;
    return turn->jobs > 0 && turn->jobs <= 1000;
}

int
main(int argc, char **argv)
{
    static story_tally_t tally;
    turn_t turn = { .seconds = 30, .jobs = 1 };
    if (!read_turn(argc, argv, &turn)) {
        fputs(HELP, stderr);
        return 64;
    }
    char replay[200];
    if (turn.live)
        snprintf(replay, sizeof(replay), "rill-sim --live");
    else
        snprintf(replay, sizeof(replay), "rill-sim --seconds %u%s%s",
                 turn.seconds, turn.lie ? " --lie " : "",
                 turn.lie ? LIES[turn.lie].name : "");
    story_replay(replay);
    story_catch_signals();
    story_tally(&tally);
    for (const char *const *fault = turn.live ? LIVE_FAULTS : FAULTS; *fault;
         fault++)
        story_count(*fault, 0);
    if (turn.from != turn.to)
        return play_many(&turn, &tally);
    play_told(&turn, turn.from);
    tell_end(&tally, false);
    return 0;
}
