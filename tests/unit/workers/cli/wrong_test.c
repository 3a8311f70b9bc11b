#include "wrong.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"

enum { NODES = 3, WORKERS = 2 };

//  An origin, two caches and two workers, all of them well.
static struct {
    Rill__V1__NodeReport names[NODES + WORKERS];
    Rill__V1__Report reports[NODES + WORKERS], before;
    Rill__V1__WorkerReport known[WORKERS], *known_p[WORKERS];
    tree_node_t nodes[NODES + WORKERS];
    Rill__V1__Counter counters[2], *counters_p[2];
    tree_state_t state;
} all;

static void
begin(void)
{
    static const char *const NAMES[] = { "origin", "c1", "c2", "w1", "w2" };
    memset(&all, 0, sizeof all);
    for (size_t i = 0; i < NODES + WORKERS; i++) {
        rill__v1__node_report__init(&all.names[i]);
        rill__v1__report__init(&all.reports[i]);
        all.names[i].name = message_lend(NAMES[i]);
        all.nodes[i] = (tree_node_t){ .node = &all.names[i],
                                      .report = &all.reports[i],
                                      .ms = 2 };
    }
    for (size_t i = 0; i < WORKERS; i++) {
        rill__v1__worker_report__init(&all.known[i]);
        all.known[i].name = all.names[NODES + i].name;
        all.known[i].state = message_lend("live");
        all.known_p[i] = &all.known[i];
    }
    all.reports[0].workers = all.known_p;
    all.reports[0].n_workers = WORKERS;
    all.state = (tree_state_t){ .nodes = all.nodes,
                                .count = NODES,
                                .workers = all.nodes + NODES,
                                .workers_count = WORKERS };
}

//  What a node tells of itself.
static void
tell(size_t node, const char *name, uint64_t value, const char *more,
     uint64_t other)
{
    const char *const names[] = { name, more };
    const uint64_t values[] = { value, other };
    for (size_t i = 0; i < 2; i++) {
        rill__v1__counter__init(&all.counters[i]);
        all.counters[i].name = message_lend(names[i]);
        all.counters[i].value = values[i];
        all.counters_p[i] = &all.counters[i];
    }
    all.reports[node].counters = all.counters_p;
    all.reports[node].n_counters = 2;
}

//  All that is wrong, one after the other.
static const char *
found(void)
{
    static wrong_t wrong;
    static char text[WRONG_MOST * WRONG_BYTES];
    *text = 0;
    wrong_find(&wrong, &all.state);
    for (size_t i = 0; i < wrong.count; i++) {
        strcat(text, *text ? "; " : "");
        strcat(text, wrong.text[i]);
    }
    return text;
}

static void
expect(const char *wanted)
{
    if (strcmp(found(), wanted) != 0)
        printf("#   %s\n#   not %s\n", found(), wanted);
    CHECK(strcmp(found(), wanted) == 0);
}

static void
nothing(void)
{
    begin();
    expect("");
    all.state = (tree_state_t){ 0 };
    expect("");
}

static void
one_answers_late(void)
{
    begin();
    all.nodes[2].ms = 140;
    expect("c2 is slow: it took 140 ms to say how it is");
    all.nodes[2].ms = 100;  //  As fast as a node has to be
    expect("");
    all.nodes[2].ms = 140;  //  Beside the others that is nothing special
    for (size_t i = 0; i < NODES + WORKERS; i++)
        all.nodes[i].ms += 60;
    expect("");
    all.nodes[1].ms = 1;  //  Nor is it when one was quick
    expect("");
    all.nodes[4].ms = 400;
    expect("w2 is slow: it took 400 ms to say how it is");
}

static void
two_nodes(void)
{
    begin();
    all.state.count = 2;
    all.state.workers_count = 0;
    all.nodes[1].ms = 300;
    all.reports[0].n_workers = 0;
    expect("c1 is slow: it took 300 ms to say how it is");
}

static void
one_commits_late(void)
{
    begin();
    tell(4, "rill_commit_seconds_bucket{le=\"0.25\"}", 10,
         "rill_commit_seconds_bucket{le=\"+Inf\"}", 10);
    CHECK(strstr(found(), "w2 is slow: half of its commits take over "));
    tell(4, "rill_commit_seconds_bucket{le=\"0.02\"}", 10,
         "rill_commit_seconds_bucket{le=\"+Inf\"}", 10);
    expect("");
}

static void
some_are_away(void)
{
    begin();
    all.nodes[1].report = NULL;
    all.known[0].state = message_lend("full");
    all.reports[0].waiting = 3;
    all.reports[0].under_protected = 7;
    expect("c1 is silent; w1 is full; 3 streams wait for workers; `rill "
           "status` names them; 7 blocks lack a chunk");
}

static void
viewers_stall(void)
{
    begin();
    tell(1, "rill_sessions", 10, "rill_sessions_stalled", 2);
    expect("");
    tell(1, "rill_sessions", 10, "rill_sessions_stalled", 3);
    expect("c1: 3 of 10 viewers have no credit left");
}

static void
floods(void)
{
    begin();
    tell(2, "rill_sockets_flooded_total", 4, "rill_sessions", 0);
    all.before = all.reports[2];
    all.nodes[2].before = &all.before;
    expect("");  //  That was before
    all.nodes[2].before = NULL;
    expect("c2 is flooded by a peer; its log says at which socket");
}

static void
behind(void)
{
    tree_stream_t streams[2] = { { .timed = true, .lag_ms = 900 },
                                 { .timed = false, .lag_ms = 9000 } };
    begin();
    all.nodes[1].streams = streams;
    all.nodes[1].streams_count = 2;
    expect("");
    streams[0].lag_ms = 1100;
    expect("c1 is 1.1 s behind live");
}

int
main(void)
{
    CASE(nothing, "wrong 3: nothing is wrong with nodes that are well");
    CASE(
        one_answers_late,
        "wrong 1: a node that answers late is slow, beside half of the others");
    CASE(two_nodes, "wrong 1: of two nodes the one that takes longer is slow");
    CASE(one_commits_late,
         "wrong 2: a worker is slow when half of its commits are");
    CASE(some_are_away,
         "who is silent or full, what waits and what lacks a chunk is told");
    CASE(viewers_stall,
         "wrong 3: viewers without credit are told when they are many");
    CASE(floods, "wrong 3: a node is flooded when it was in that second");
    CASE(behind, "a node that is more than a second behind live is told");
    return proof_end();
}
