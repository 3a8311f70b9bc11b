#include "wrong.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum {
    COMMIT_MS = 50,  //  Goals; what takes longer is told as slow
    ANSWER_MS = 100,
    TIMES_USUAL = 5,
    LAG_MS = 1000,
};

#define STALLED_MOST 0.2  //  Of sessions

__attribute__((format(printf, 2, 3))) static void
add(wrong_t *wrong, const char *format, ...)
{
    va_list list;
    if (wrong->count == WRONG_MOST)
        return;
    va_start(list, format);
    vsnprintf(wrong->text[wrong->count++], WRONG_BYTES, format, list);
    va_end(list);
}

//  How much it grew in that second; a node that began anew grew by all.
static uint64_t
grew(const tree_node_t *node, counter_t which)
{
    tree_node_t before = { .report = node->before };
    uint64_t now = tree_node_value(node, which);
    uint64_t was = tree_node_value(&before, which);
    return now >= was ? now - was : now;
}

static void
judge_node(wrong_t *wrong, const tree_node_t *node, double typical_ms)
{
    const char *name = node->node->name;
    if (!node->report) {
        add(wrong, "%s is silent", name);
        return;
    }
    if (node->ms > ANSWER_MS && node->ms > TIMES_USUAL * typical_ms)
        add(wrong, "%s is slow: it took %.0f ms to say how it is", name,
            node->ms);
    uint64_t sessions = tree_node_value(node, COUNTER_sessions);
    uint64_t stalled = tree_node_value(node, COUNTER_sessions_stalled);
    if (stalled && (double)stalled > STALLED_MOST * (double)sessions)
        add(wrong, "%s: %llu of %llu viewers have no credit left", name,
            (unsigned long long)stalled, (unsigned long long)sessions);
    if (grew(node, COUNTER_sockets_flooded_total))
        add(wrong, "%s is flooded by a peer; its log says at which socket",
            name);
    if (tree_node_lag_ms(node) > LAG_MS)
        add(wrong, "%s is %.1f s behind live", name,
            (double)tree_node_lag_ms(node) / 1e3);
}

static void
judge_origin(wrong_t *wrong, const tree_node_t *origin)
{
    const Rill__V1__Report *report = origin->report;
    if (!report)
        return;
    for (size_t i = 0; i < report->n_workers; i++)
        if (strcmp(report->workers[i]->state, "live") != 0)
            add(wrong, "%s is %s", report->workers[i]->name,
                report->workers[i]->state);
    if (report->waiting)
        add(wrong, "%llu streams wait for workers; `rill status` names them",
            (unsigned long long)report->waiting);
    if (report->under_protected)
        add(wrong, "%llu blocks lack a chunk",
            (unsigned long long)report->under_protected);
}

static int
in_order(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

//  The median of how long nodes took to answer; of two, the less.
static double
typical(const tree_state_t *state)
{
    size_t count = 0, most = state->count + state->workers_count;
    double usual, *times = calloc(most + 1, sizeof *times);
    INVARIANT(times);
    for (size_t i = 0; i < most; i++) {
        const tree_node_t *node = i < state->count
                                      ? &state->nodes[i]
                                      : &state->workers[i - state->count];
        if (node->report)
            times[count++] = node->ms;
    }
    qsort(times, count, sizeof *times, in_order);
    usual = times[count ? (count - 1) / 2 : 0];
    free(times);
    return usual;
}

void
wrong_find(wrong_t *wrong, const tree_state_t *state)
{
    double usual = typical(state);
    wrong->count = 0;
    for (size_t i = 0; i < state->count; i++)
        judge_node(wrong, &state->nodes[i], usual);
    if (state->count)
        judge_origin(wrong, &state->nodes[0]);
    for (size_t i = 0; i < state->workers_count; i++) {
        const tree_node_t *worker = &state->workers[i];
        double commit = tree_node_quantile(worker, TIME_commit_seconds, 0.5);
        if (*worker->node->at || worker->report)
            judge_node(wrong, worker, usual);
        if (commit > COMMIT_MS)
            add(wrong, "%s is slow: half of its commits take over %.0f ms",
                worker->node->name, commit);
    }
}
