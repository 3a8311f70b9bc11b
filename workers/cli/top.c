#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "ask.h"
#include "counters.h"
#include "table.h"
#include "tree_state.h"
#include "units.h"
#include "verbs.h"

enum {
    WRONG_MOST = 64,
    WRONG_BYTES = 200,
    COMMIT_MS = 50,  //  Goals; what takes longer is told as slow
    ANSWER_MS = 100,
};

#define STALLED_MOST 0.2  //  Of sessions

//  What is wrong now, a sentence each.
typedef struct {
    size_t count;
    char text[WRONG_MOST][WRONG_BYTES];
} wrong_t;

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

static uint64_t
value(const Rill__V1__Report *report, counter_t which)
{
    return report ? counters_find(report->counters, report->n_counters,
                                  counters_series(which)->name)
                  : 0;
}

//  How much it grew in that second; a node that began anew grew by all.
static uint64_t
grew(const tree_node_t *node, counter_t which)
{
    uint64_t now = value(node->report, which), was = value(node->before, which);
    return now >= was ? now - was : now;
}

//  A span's quantile in that second, else since the node's start; -1: none.
static double
quantile(const tree_node_t *node, counter_time_t which, double part)
{
    const char *name = counters_series(COUNTERS_COUNT + which)->name;
    if (!node->report)
        return -1;
    double lately = counters_quantile(node->report, node->before, name, part);
    return lately >= 0 ? lately
                       : counters_quantile(node->report, NULL, name, part);
}

//  The slowest of the routes that a node's answers took.
static double
slowest_route(const tree_node_t *node, const char **route_r)
{
    static const struct {
        counter_time_t which;
        const char *route;
    } ROUTES[] = {
        { TIME_request_seconds_local, "local" },
        { TIME_request_seconds_sibling, "sibling" },
        { TIME_request_seconds_parent, "parent" },
        { TIME_request_seconds_up, "up" },
        { TIME_request_seconds_store, "store" },
        { TIME_request_seconds_decoded, "decoded" },
    };
    double most = -1;
    *route_r = "";
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++) {
        double ms = quantile(node, ROUTES[i].which, 0.5);
        if (ms > most) {
            most = ms;
            *route_r = ROUTES[i].route;
        }
    }
    return most;
}

//  Of what was asked for here, how much was held; -1: nothing was.
static double
hit_ratio(const tree_node_t *node)
{
    uint64_t held = value(node->report, COUNTER_answers_held_total);
    uint64_t all = held +
                   value(node->report, COUNTER_chunks_taken_total_sibling) +
                   value(node->report, COUNTER_chunks_taken_total_parent) +
                   value(node->report, COUNTER_chunks_taken_total_up);
    return all ? (double)held / (double)all : -1;
}

static uint64_t
lag_ms(const tree_node_t *node)
{
    uint64_t most = 0;
    for (size_t i = 0; i < node->streams_count; i++)
        if (node->streams[i].timed && node->streams[i].lag_ms > most)
            most = node->streams[i].lag_ms;
    return most;
}

/*------------------------------------------------------- what is wrong now */

static void
judge_node(wrong_t *wrong, const tree_node_t *node, double typical_ms)
{
    const char *name = node->node->name;
    if (!node->report) {
        add(wrong, "%s is silent", name);
        return;
    }
    if (node->ms > ANSWER_MS && node->ms > 5 * typical_ms)
        add(wrong, "%s is slow: it took %.0f ms to say how it is", name,
            node->ms);
    uint64_t sessions = value(node->report, COUNTER_sessions);
    uint64_t stalled = value(node->report, COUNTER_sessions_stalled);
    if (stalled && (double)stalled > STALLED_MOST * (double)sessions)
        add(wrong, "%s: %llu of %llu viewers have no credit left", name,
            (unsigned long long)stalled, (unsigned long long)sessions);
    if (grew(node, COUNTER_sockets_flooded_total))
        add(wrong, "%s is flooded by a peer; its log says at which socket",
            name);
    if (lag_ms(node) > 1000)
        add(wrong, "%s is %.1f s behind live", name,
            (double)lag_ms(node) / 1e3);
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

//  The median of how long nodes took to answer, so that a busy terminal's own
//  slowness is nobody's.
static double
typical(const tree_state_t *state)
{
    double least = -1;
    for (size_t i = 0; i < state->count + state->workers_count; i++) {
        const tree_node_t *node = i < state->count
                                      ? &state->nodes[i]
                                      : &state->workers[i - state->count];
        if (node->report && (least < 0 || node->ms < least))
            least = node->ms;
    }
    return least > 0 ? least : 0;
}

static void
judge(wrong_t *wrong, const tree_state_t *state)
{
    double usual = typical(state);
    wrong->count = 0;
    for (size_t i = 0; i < state->count; i++)
        judge_node(wrong, &state->nodes[i], usual);
    if (state->count)
        judge_origin(wrong, &state->nodes[0]);
    for (size_t i = 0; i < state->workers_count; i++) {
        const tree_node_t *worker = &state->workers[i];
        double commit = quantile(worker, TIME_commit_seconds, 0.5);
        if (*worker->node->at || worker->report)
            judge_node(wrong, worker, usual);
        if (commit > COMMIT_MS)
            add(wrong, "%s is slow: half of its commits take over %.0f ms",
                worker->node->name, commit);
    }
}

/*-------------------------------------------------------------------- JSON */

static void
tell_ms(json_t *json, const char *key, double ms)
{
    if (ms >= 0)
        json_double(json, key, ms);
}

static void
tell_node(json_t *json, const tree_node_t *node, bool worker)
{
    const char *route = "";
    double slowest = worker || !node->report ? -1 : slowest_route(node, &route);
    json_object(json, NULL);
    json_string(json, "node", node->node->name);
    json_string(json, "at", node->node->at);
    json_string(json, "group", node->node->group);
    json_bool(json, "answers", node->report != NULL);
    if (node->report) {
        json_double(json, "answer_ms", node->ms);
        if (node->rated && !worker) {
            json_uint(json, "in_bps", node->in_bps);
            json_uint(json, "out_bps", node->out_bps);
        }
        if (worker) {
            json_uint(json, "bytes", value(node->report, COUNTER_store_bytes));
            json_uint(json, "free_bytes",
                      value(node->report, COUNTER_store_free_bytes));
            tell_ms(json, "commit_ms",
                    quantile(node, TIME_commit_seconds, 0.5));
        } else {
            json_uint(json, "viewers", node->viewers);
            json_uint(json, "stalled",
                      value(node->report, COUNTER_sessions_stalled));
            json_uint(json, "lag_ms", lag_ms(node));
            tell_ms(json, "held", hit_ratio(node));
            tell_ms(json, "request_ms", slowest);
            if (slowest >= 0)
                json_string(json, "route", route);
        }
    }
    json_end(json);
}

static void
tell_json(const tree_state_t *state, const wrong_t *wrong)
{
    json_t json;
    ask_json_begin(&json);
    json_array(&json, "wrong");
    for (size_t i = 0; i < wrong->count; i++)
        json_string(&json, NULL, wrong->text[i]);
    json_end(&json);
    const tree_node_t *origin = &state->nodes[0];
    tell_ms(&json, "acknowledgement_ms",
            quantile(origin, TIME_acknowledgement_seconds, 0.5));
    if (origin->report)
        json_double(&json, "imbalance", origin->report->imbalance);
    json_array(&json, "nodes");
    for (size_t i = 0; i < state->count; i++)
        tell_node(&json, &state->nodes[i], false);
    json_end(&json);
    json_array(&json, "workers");
    for (size_t i = 0; i < state->workers_count; i++)
        tell_node(&json, &state->workers[i], true);
    json_end(&json);
    ask_json_end(&json);
}

/*-------------------------------------------------------------- for people */

static void
ms_cell(table_t *table, double ms)
{
    if (ms >= 0)
        table_cell(table, ms < 10 ? "%.1f" : "%.0f", ms);
    else
        table_cell(table, "-");
}

static void
node_row(table_t *table, const tree_node_t *node)
{
    const char *route;
    table_cell(table, "%*s%s", (int)node->node->tier * 2, "", node->node->name);
    table_cell(table, "%s", node->report ? node->node->group : "SILENT");
    if (!node->report) {
        for (int i = 0; i < 8; i++)
            table_cell(table, "-");
        return;
    }
    double held = hit_ratio(node), slowest = slowest_route(node, &route);
    table_cell(table, "%llu", (unsigned long long)node->viewers);
    table_cell(table, "%.1f", (double)node->in_bps / 1e6);
    table_cell(table, "%.1f", (double)node->out_bps / 1e6);
    if (held >= 0)
        table_cell(table, "%.0f%%", held * 100);
    else
        table_cell(table, "-");
    table_cell(table, "%llu", (unsigned long long)lag_ms(node));
    ms_cell(table, slowest);
    table_cell(table, "%s", route);
    ms_cell(table, node->ms);
}

static void
print_nodes(const tree_state_t *state, FILE *to)
{
    static const char *const HEADINGS[] = { "NODE",     "GROUP",    ">VIEWERS",
                                            ">IN",      ">OUT",     ">HELD",
                                            ">LAG",     ">REQUEST", "ROUTE",
                                            ">ANSWERS", NULL };
    table_t *table = table_new(HEADINGS);
    for (size_t i = 0; i < state->count; i++)
        node_row(table, &state->nodes[i]);
    table_print(table, to);
    table_destroy(&table);
}

static void
print_workers(const tree_state_t *state, FILE *to)
{
    static const char *const HEADINGS[] = { "WORKER", "STATE",    ">STORED",
                                            ">FREE",  ">WAITING", ">COMMIT",
                                            ">P99",   ">ANSWERS", NULL };
    const Rill__V1__Report *origin = state->nodes[0].report;
    table_t *table = table_new(HEADINGS);
    for (size_t i = 0; origin && i < state->workers_count; i++) {
        char text[UNITS_TEXT_BYTES];
        const tree_node_t *worker = &state->workers[i];
        const Rill__V1__WorkerReport *known = i < origin->n_workers
                                                  ? origin->workers[i]
                                                  : NULL;
        table_cell(table, "%s", worker->node->name);
        table_cell(table, "%s",
                   !worker->report ? "SILENT"
                   : known         ? known->state
                                   : "");
        table_cell(
            table, "%s",
            units_bytes(value(worker->report, COUNTER_store_bytes), text));
        table_cell(
            table, "%s",
            units_bytes(value(worker->report, COUNTER_store_free_bytes), text));
        table_cell(table, "%llu",
                   (unsigned long long)value(worker->report,
                                             COUNTER_unreceipted_chunks));
        ms_cell(table, quantile(worker, TIME_commit_seconds, 0.5));
        ms_cell(table, quantile(worker, TIME_commit_seconds, 0.99));
        ms_cell(table, worker->report ? worker->ms : -1);
    }
    table_print(table, to);
    table_destroy(&table);
}

static void
print_screen(const tree_state_t *state, const wrong_t *wrong, FILE *to)
{
    const tree_node_t *origin = &state->nodes[0];
    double half = quantile(origin, TIME_acknowledgement_seconds, 0.5);
    double most = quantile(origin, TIME_acknowledgement_seconds, 0.99);
    fprintf(to, "%s: %zu nodes, %zu workers; Mbit/s, ms", state->director,
            state->count, state->workers_count);
    if (half >= 0)
        fprintf(to, "; acknowledged in %.0f, p99 %.0f", half, most);
    if (origin->report)
        fprintf(to, "; imbalance %.2f", origin->report->imbalance);
    fputs("\n", to);
    for (size_t i = 0; i < wrong->count; i++)
        fprintf(to, "! %s\n", wrong->text[i]);
    if (wrong->count == 0)
        fputs("nothing is wrong\n", to);
    fputs("\n", to);
    print_nodes(state, to);
    fputs("\n", to);
    print_workers(state, to);
}

//  As much of a text as a terminal of that size shows; 0: all of it.
static void
show_within(const char *text, size_t rows, size_t columns)
{
    for (size_t row = 1; *text; row++) {
        size_t size = strcspn(text, "\n"), used = 0, wide = 0;
        if (rows && row == rows) {
            fputs("there is more: a larger terminal shows it", stdout);
            return;
        }
        while (used < size && (!columns || wide < columns)) {
            wide++;
            do
                used++;
            while (used < size && ((unsigned char)text[used] & 0xc0) == 0x80);
        }
        printf("%.*s\n", (int)used, text);
        text += size + (text[size] == '\n');
    }
}

//  A terminal's size is asked for each time: it may have another one now.
static void
show(const tree_state_t *state, const wrong_t *wrong, bool redraw)
{
    char *text = NULL;
    size_t size;
    struct winsize window = { 0 };
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return;
    print_screen(state, wrong, to);
    fclose(to);
    if (redraw && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0)
        fputs("\x1b[H\x1b[2J", stdout);
    show_within(text, window.ws_row, window.ws_col);
    fflush(stdout);
    free(text);
}

int
top_run(const words_t *words)
{
    bool live = isatty(STDOUT_FILENO) && !words->json &&
                !words_value(words, "--once");
    int code;
    do {
        tree_state_t state;
        static wrong_t wrong;
        code = tree_state_ask_all(words, &state);
        if (code != EX_OK)
            return code;
        judge(&wrong, &state);
        if (words->json)
            tell_json(&state, &wrong);
        else
            show(&state, &wrong, live);
        tree_state_free(&state);
    } while (live && !ferror(stdout));
    return code;
}
