/*  bench-growth - what a tree of caches costs as it grows
 *
 *  bench-growth CACHES (10, 100, 1000 or 10000)
 *
 *  Plays the story of wide.h in virtual time, and prints key=value lines. What
 *  something costs is the time in relays and in packing and unpacking messages,
 *  without sockets and without the stage. A breach of an invariant of the house
 *  ends it with 1.
 */
#include <stdio.h>
#include <stdlib.h>

#include "invariant.h"
#include "wide.h"

static int
percentile(const uint64_t *of, unsigned permille)
{
    uint64_t all = 0, upto = 0;
    for (int i = 0; i < WIDE_LATEST_MS; i++)
        all += of[i];
    for (int i = 0; i < WIDE_LATEST_MS; i++)
        if ((upto += of[i]) * 1000 >= all * permille && all)
            return i;
    return 0;
}

static void
turn_until(int64_t until_us)
{
    while (agenda_turn(wide.agenda, until_us))
        ;
}

//  Of a time on the wall, what the processor spent on it: others run too.
static double
share(int64_t ns)
{
    return (double)ns * (double)wide_clock_ns(CLOCK_PROCESS_CPUTIME_ID) /
           (double)(wide_clock_ns(CLOCK_MONOTONIC) - wide.begun_ns);
}

static void
print(const char *key, double value)
{
    printf("%s=%.6g\n", key, value);
}

//  That this process ever had.
static double
most_memory_mib(void)
{
    char line[200];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib / 1024;
}

static double
us_each(wide_spent_t kind, uint64_t times)
{
    return times ? share(wide.spent_ns[kind]) / 1e3 / (double)times : 0;
}

//  First-level groups that a stream is wanted in, on average.
static double
wanted_firsts(void)
{
    bool *wanted = calloc((size_t)(WIDE_STREAMS * wide.firsts), sizeof *wanted);
    INVARIANT(wanted);
    int count = 0;
    for (int i = 0; i < wide.sessions; i++) {
        int group = wide.node[wide.session[i].at].group;
        while (wide.group[group].above >= 0)
            group = wide.group[group].above;
        bool *this = &wanted[wide.session[i].stream * wide.firsts + group];
        count += !*this;
        *this = true;
    }
    free(wanted);
    return (double)count / WIDE_STREAMS;
}

static void
play(void)
{
    turn_until(WIDE_CALM_US);
    wide_check_sources();
    int64_t busy_ns = 0;
    turn_until(WIDE_LOST_US);
    wide_check_sources();
    wide_check_served();
    double joins = (double)wide.times[SPENT_JOIN];
    print("wanted_firsts", wanted_firsts());
    print("join_us", us_each(SPENT_JOIN, wide.times[SPENT_JOIN]));
    print("join_messages", (double)wide.messages / joins);
    const wide_group_t *lost = &wide.group[WIDE_KILLED];
    for (int i = lost->first; i < lost->first + lost->size; i++)
        wide_lose(&wide.node[i]);
    turn_until(WIDE_BACK_US);
    print("behind", wide_behind());
    for (int i = lost->first; i < lost->first + lost->size; i++)
        wide_start(&wide.node[i]);
    turn_until(WIDE_HOME_US);
    wide_check_sources();
    wide_check_served();
    turn_until(WIDE_STOP_US);
    wide_check_sources();
    wide_check_served();
    for (int i = 0; i < wide.sessions; i++)
        if (wide.session[i].lost)
            wide_breach(19, "session %d is not served again", i);
    for (wide_spent_t kind = SPENT_JOIN; kind < SPENT_KINDS; kind++)
        busy_ns += wide.spent_ns[kind];
    print("cache_us", share(busy_ns) / 1e3 / (double)(wide.nodes - 1) /
                          ((double)WIDE_STOP_US / 1e6));
    wide_stop();
    turn_until(WIDE_END_US);
}

int
main(int argc, char **argv)
{
    wide.begun_ns = wide.mark_ns = wide_clock_ns(CLOCK_MONOTONIC);
    int caches = argc == 2 ? atoi(argv[1]) : 0;
    wide.dice.state = dice_mix((uint64_t)caches);
    wide.agenda = agenda_new();
    if (!wide_build(caches)) {
        fprintf(stderr, "bench-growth: say 10, 100, 1000 or 10000 caches\n");
        return 64;
    }
    for (int i = 0; i < wide.nodes; i++)
        wide_start(&wide.node[i]);
    wide_add_streams();
    for (int i = 1; i < wide.nodes; i++)
        wide_add_viewers(&wide.node[i]);
    play();
    wide_check_copies(WIDE_CALM_US, WIDE_LOST_US, 1);
    wide_check_copies(WIDE_HOME_US, WIDE_STOP_US - WIDE_SECOND, 1);
    int doubled = wide_check_copies(0, WIDE_STOP_US, 2);
    if (doubled > 3)
        wide_breach(14, "%d chunks in a row entered a group twice", doubled);
    print("caches", caches);
    print("groups", wide.groups);
    print("firsts", wide.firsts);
    print("viewers", (double)caches * WIDE_VIEWERS);
    print("sessions", wide.sessions);
    print("refused", (double)wide.refused);
    print("unanswered", (double)wide.unanswered);
    print("origin_copies", (double)wide.origin_copies / (double)wide.wanted);
    print("doubled", doubled);
    print("watched_p50_ms", percentile(wide.watched_of, 500));
    print("watched_p99_ms", percentile(wide.watched_of, 990));
    print("late_p50_ms", percentile(wide.late_of, 500));
    print("late_p99_ms", percentile(wide.late_of, 990));
    print("late_most_ms", percentile(wide.late_of, 1000));
    print("moved_p50_ms", percentile(wide.moved_of, 500));
    print("moved_p99_ms", percentile(wide.moved_of, 990));
    print("moved_most_ms", percentile(wide.moved_of, 1000));
    print("again_ms", wide.again_us > WIDE_LOST_US
                          ? (double)(wide.again_us - WIDE_LOST_US) / 1000
                          : 0);
    print("home_ms",
          wide.home_us ? (double)(wide.home_us - WIDE_BACK_US) / 1000 : 0);
    print("chunk_us", us_each(SPENT_CHUNKED, wide.times[SPENT_CHUNKED]));
    print("keep_wants", (double)wide.wants / (double)wide.times[SPENT_KEEP]);
    print("origin_wants",
          (double)wide.origin_wants / (double)wide.origin_keeps);
    print("keep_us", us_each(SPENT_KEEP, wide.times[SPENT_KEEP]));
    print("origin_keep_us",
          share(wide.origin_ns) / 1e3 / (double)wide.origin_keeps);
    print("origin_keeps_s", (double)wide.origin_keeps /
                                ((double)(WIDE_STOP_US - WIDE_JOINS_US) / 1e6));
    print("tick_us", us_each(SPENT_TICK, wide.times[SPENT_TICK]));
    print("packets_s", share(wide.spent_ns[SPENT_PACKETS]) / 1e9);
    print("own_s", share(wide.spent_ns[SPENT_OWN]) / 1e9);
    print("events", (double)wide.events);
    print("wall_s",
          (double)(wide_clock_ns(CLOCK_MONOTONIC) - wide.begun_ns) / 1e9);
    print("cpu_s", (double)wide_clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    print("memory_mib", most_memory_mib());
    return 0;
}
