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
#include "wrong.h"

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
        double ms = tree_node_quantile(node, ROUTES[i].which, 0.5);
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
    uint64_t held = tree_node_value(node, COUNTER_answers_held_total);
    uint64_t all = held +
                   tree_node_value(node, COUNTER_chunks_taken_total_sibling) +
                   tree_node_value(node, COUNTER_chunks_taken_total_parent) +
                   tree_node_value(node, COUNTER_chunks_taken_total_up);
    return all ? (double)held / (double)all : -1;
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
            json_uint(json, "bytes",
                      tree_node_value(node, COUNTER_store_bytes));
            json_uint(json, "free_bytes",
                      tree_node_value(node, COUNTER_store_free_bytes));
            tell_ms(json, "commit_ms",
                    tree_node_quantile(node, TIME_commit_seconds, 0.5));
        } else {
            json_uint(json, "viewers", node->viewers);
            json_uint(json, "stalled",
                      tree_node_value(node, COUNTER_sessions_stalled));
            json_uint(json, "lag_ms", tree_node_lag_ms(node));
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
            tree_node_quantile(origin, TIME_acknowledgement_seconds, 0.5));
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
    table_cell(table, "%llu", (unsigned long long)tree_node_lag_ms(node));
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
        if (!worker->report) {
            for (int cell = 0; cell < 6; cell++)
                table_cell(table, "-");
            continue;
        }
        table_cell(
            table, "%s",
            units_bytes(tree_node_value(worker, COUNTER_store_bytes), text));
        table_cell(
            table, "%s",
            units_bytes(tree_node_value(worker, COUNTER_store_free_bytes),
                        text));
        table_cell(table, "%llu",
                   (unsigned long long)tree_node_value(
                       worker, COUNTER_unreceipted_chunks));
        ms_cell(table, tree_node_quantile(worker, TIME_commit_seconds, 0.5));
        ms_cell(table, tree_node_quantile(worker, TIME_commit_seconds, 0.99));
        ms_cell(table, worker->ms);
    }
    table_print(table, to);
    table_destroy(&table);
}

static void
print_screen(const tree_state_t *state, const wrong_t *wrong, FILE *to)
{
    const tree_node_t *origin = &state->nodes[0];
    double half = tree_node_quantile(origin, TIME_acknowledgement_seconds, 0.5);
    double most = tree_node_quantile(origin, TIME_acknowledgement_seconds,
                                     0.99);
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
        wrong_find(&wrong, &state);
        if (words->json)
            tell_json(&state, &wrong);
        else
            show(&state, &wrong, live);
        tree_state_free(&state);
    } while (live && !ferror(stdout));
    return code;
}
