#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "table.h"
#include "tree_state.h"
#include "units.h"
#include "verbs.h"

//  What fits into 100 columns beside the numbers.
enum { NODE_COLUMNS = 18, WHERE_COLUMNS = 24 };

/*-------------------------------------------------------------------- JSON */

static void
tell_rates(json_t *json, bool rated, uint64_t in_bps, uint64_t out_bps)
{
    if (!rated)
        return;
    json_uint(json, "in_bps", in_bps);
    json_uint(json, "out_bps", out_bps);
}

static void
tell_stream(json_t *json, const tree_stream_t *stream)
{
    const Rill__V1__StreamReport *told = stream->told;
    json_object(json, NULL);
    ask_json_id(json, "stream", told->stream);
    json_string(json, "name", stream->name);
    json_string(json, "source", told->source);
    json_bool(json, "carries", told->carries);
    json_bool(json, "sealed", told->sealed);
    json_uint(json, "viewers", told->watchers);
    json_uint(json, "followers", told->followers);
    json_uint(json, "children", told->children);
    json_uint(json, "head", told->head);
    json_uint(json, "reached", told->reached);
    if (*told->source)
        json_uint(json, "lag_bytes", stream->lag_bytes);
    if (stream->timed)
        json_uint(json, "lag_ms", stream->lag_ms);
    json_uint(json, "window_bytes", told->window_bytes);
    json_uint(json, "window_ms", told->window_ms);
    tell_rates(json, stream->rated, stream->in_bps, stream->out_bps);
    json_uint(json, "bytes_from_parents", told->bytes_from_parents);
    json_uint(json, "bytes_from_siblings", told->bytes_from_siblings);
    json_uint(json, "bytes_given", told->bytes_given);
    json_end(json);
}

static void
tell_node(json_t *json, const tree_node_t *node)
{
    json_object(json, NULL);
    json_string(json, "node", node->node->name);
    json_string(json, "at", node->node->at);
    json_string(json, "group", node->node->group);
    json_uint(json, "tier", node->node->tier);
    json_array(json, "parents");
    for (size_t i = 0; i < node->node->n_parents; i++)
        json_string(json, NULL, node->node->parents[i]);
    json_end(json);
    json_bool(json, "offered", node->node->offered);
    json_bool(json, "answers", node->report != NULL);
    if (node->report) {
        json_uint(json, "viewers", node->viewers);
        tell_rates(json, node->rated, node->in_bps, node->out_bps);
        json_uint(json, "bytes_in", node->bytes_in);
        json_uint(json, "bytes_out", node->bytes_out);
        json_uint(json, "window_bytes", node->window_bytes);
        json_uint(json, "window_ms", node->window_ms);
        json_int(json, "uptime_ms", node->report->uptime_ms);
        json_array(json, "streams");
        for (size_t i = 0; i < node->streams_count; i++)
            tell_stream(json, &node->streams[i]);
        json_end(json);
        json_bool(json, "cut", node->cut);
    }
    json_end(json);
}

static void
tell_json(const tree_state_t *state)
{
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "director", state->director);
    json_array(&json, "nodes");
    for (size_t i = 0; i < state->count; i++)
        tell_node(&json, &state->nodes[i]);
    json_end(&json);
    json_bool(&json, "cut", state->cut);
    ask_json_end(&json);
}

/*-------------------------------------------------------------- for people */

//  A cell of at most so many columns; names have no others than ASCII.
__attribute__((format(printf, 3, 4))) static void
cell(table_t *table, size_t most, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (strlen(text) > most)
        strcpy(text + most - 1, "\xe2\x80\xa6");
    table_cell(table, "%s", text);
}

static void
blank(table_t *table, int cells)
{
    while (cells-- > 0)
        table_cell(table, "%s", "");
}

//  A time, to about two digits: nobody reads the seconds of an hour.
static void
span_cell(table_t *table, bool known, uint64_t ms)
{
    char text[UNITS_TEXT_BYTES];
    if (ms >= 10 * 3600000)
        ms -= ms % 3600000;
    else if (ms >= 60000)
        ms -= ms % 60000;
    table_cell(table, "%s", known ? units_ms(ms, text) : "-");
}

static void
rate_cells(table_t *table, bool rated, uint64_t in_bps, uint64_t out_bps)
{
    if (!rated) {
        table_cell(table, "-");
        table_cell(table, "-");
        return;
    }
    table_cell(table, "%.1f", (double)in_bps / 1e6);
    table_cell(table, "%.1f", (double)out_bps / 1e6);
}

static void
window_cells(table_t *table, uint64_t bytes, uint64_t ms)
{
    char text[UNITS_TEXT_BYTES];
    span_cell(table, bytes > 0, ms);
    table_cell(table, "%s", bytes ? units_bytes(bytes, text) : "-");
}

static void
stream_row(table_t *table, const tree_node_t *node, const tree_stream_t *stream,
           const char *indent)
{
    const Rill__V1__StreamReport *told = stream->told;
    if (*stream->name)
        cell(table, NODE_COLUMNS, "%s  %s", indent, stream->name);
    else
        cell(table, NODE_COLUMNS, "%s  %016llx", indent,
             (unsigned long long)told->stream);
    if (node->node->tier == 0)
        cell(table, WHERE_COLUMNS, told->sealed ? "complete" : "its source");
    else if (*told->source)
        cell(table, WHERE_COLUMNS, "%s %s%s",
             told->carries ? "from" : "from sibling", told->source,
             told->carries ? ", carries" : "");
    else
        cell(table, WHERE_COLUMNS, told->sealed ? "complete" : "not taken");
    table_cell(table, "%u", told->watchers);
    rate_cells(table, stream->rated, stream->in_bps, stream->out_bps);
    window_cells(table, told->window_bytes, told->window_ms);
    if (*told->source)
        span_cell(table, stream->timed, stream->lag_ms);
    else
        table_cell(table, "%s", "");
}

//  Nobody takes it there: what is held of it waits for its age.
static bool
is_idle(const tree_stream_t *stream)
{
    return !*stream->told->source && !stream->told->watchers &&
           !stream->told->followers && !stream->told->children;
}

//  All of those in one row.
static void
idle_row(table_t *table, const tree_node_t *node, const char *indent)
{
    size_t count = 0;
    uint64_t bytes = 0, ms = 0;
    for (size_t i = 0; i < node->streams_count; i++) {
        const Rill__V1__StreamReport *told = node->streams[i].told;
        if (!is_idle(&node->streams[i]))
            continue;
        count++;
        bytes += told->window_bytes;
        ms = told->window_ms > ms ? told->window_ms : ms;
    }
    if (count == 0)
        return;
    cell(table, NODE_COLUMNS, "%s  +%zu", indent, count);
    cell(table, WHERE_COLUMNS, "that nobody takes");
    blank(table, 3);
    window_cells(table, bytes, ms);
    blank(table, 1);
}

static void
node_rows(table_t *table, const tree_node_t *node)
{
    const char *indent = node->node->tier ? "  " : "";
    cell(table, NODE_COLUMNS, "%s%s", indent, node->node->name);
    if (!node->report) {
        cell(table, WHERE_COLUMNS, "SILENT %s", node->node->at);
        blank(table, 6);
        return;
    }
    cell(table, WHERE_COLUMNS, "%s", node->node->at);
    table_cell(table, "%llu", (unsigned long long)node->viewers);
    rate_cells(table, node->rated, node->in_bps, node->out_bps);
    window_cells(table, node->window_bytes, node->window_ms);
    table_cell(table, "%s", "");
    for (size_t i = 0; i < node->streams_count; i++)
        if (!is_idle(&node->streams[i]))
            stream_row(table, node, &node->streams[i], indent);
    idle_row(table, node, indent);
}

static void
group_row(table_t *table, const Rill__V1__NodeReport *node)
{
    char parents[512] = "";
    for (size_t i = 0; i < node->n_parents; i++)
        snprintf(parents + strlen(parents), sizeof parents - strlen(parents),
                 "%s%s", i ? ", " : "", node->parents[i]);
    blank(table, 8);
    cell(table, NODE_COLUMNS, "%s", node->group);
    cell(table, WHERE_COLUMNS, "below %s", parents);
    blank(table, 6);
}

//  A tier's groups, each where its first node stands.
static void
tier_rows(table_t *table, const tree_state_t *state, uint32_t tier)
{
    for (size_t i = 0; i < state->count; i++) {
        const Rill__V1__NodeReport *first = state->nodes[i].node;
        bool begins = first->tier == tier;
        for (size_t j = 0; j < i && begins; j++)
            begins = strcmp(state->nodes[j].node->group, first->group) != 0;
        if (!begins)
            continue;
        if (tier > 0)
            group_row(table, first);
        for (size_t j = i; j < state->count; j++)
            if (strcmp(state->nodes[j].node->group, first->group) == 0)
                node_rows(table, &state->nodes[j]);
    }
}

//  What is not as it should be, a line each.
static void
show_remarks(const tree_state_t *state)
{
    const char *first = "\n";
    for (size_t i = 0; i < state->count; i++) {
        const tree_node_t *node = &state->nodes[i];
        const char *says = NULL;
        if (!node->report && node->node->offered)
            says = "does not answer, and the director sends terminals there";
        else if (!node->report)
            says = "does not answer";
        else if (!node->node->offered && node->node->tier > 0)
            says = "answers, but does not report to the director: nobody is "
                   "sent there";
        else if (node->cut)
            says = "has more streams than it could tell here";
        if (!says)
            continue;
        printf("%s%s %s.\n", first, node->node->name, says);
        first = "";
    }
    if (state->cut)
        printf("%s%s knows more nodes than it could tell here.\n", first,
               state->director);
}

static void
show(const tree_state_t *state)
{
    static const char *const HEADINGS[] = { "NODE",   "WHERE", ">VIEWERS",
                                            ">IN",    ">OUT",  ">HELD",
                                            ">BYTES", ">LAG",  NULL };
    uint64_t viewers = 0;
    size_t answers = 0;
    uint32_t tiers = 0;
    table_t *table = table_new(HEADINGS);
    for (size_t i = 0; i < state->count; i++) {
        const tree_node_t *node = &state->nodes[i];
        viewers += node->viewers;
        answers += node->report != NULL;
        tiers = node->node->tier > tiers ? node->node->tier : tiers;
    }
    for (uint32_t tier = 0; tier <= tiers; tier++)
        tier_rows(table, state, tier);
    printf("%s knows %zu nodes; %zu answer; %llu viewers; IN and OUT in "
           "Mbit/s\n\n",
           state->director, state->count, answers, (unsigned long long)viewers);
    table_print(table, stdout);
    table_destroy(&table);
    show_remarks(state);
}

int
tree_run(const words_t *words)
{
    tree_state_t state;
    int code = tree_state_ask(words, &state);
    if (code != EX_OK)
        return code;
    if (words->json)
        tell_json(&state);
    else
        show(&state);
    tree_state_free(&state);
    return EX_OK;
}
