#include "tap_lines.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "json.h"

enum {
    ID_BYTES = 17,
    TIME_BYTES = 40,
    NODE_COLUMNS = 10,
    KIND_COLUMNS = 17,
    HOP_COLUMNS = 16
};

static const char *
id_text(uint64_t id, char text_r[ID_BYTES])
{
    snprintf(text_r, ID_BYTES, "%016llx", (unsigned long long)id);
    return text_r;
}

static const char *
time_text(int64_t at_us, char text_r[TIME_BYTES])
{
    int64_t us = at_us % 1000000;
    time_t seconds = at_us / 1000000 - (us < 0);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099) {
        snprintf(text_r, TIME_BYTES, "%lld", (long long)at_us);
        return text_r;
    }
    size_t size = strftime(text_r, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text_r + size, TIME_BYTES - size, ".%06dZ",
             (int)(us < 0 ? us + 1000000 : us));
    return text_r;
}

//  A text that a node said: in quotes when it would not stand for itself.
static void
put_text(const char *text, FILE *to)
{
    bool is_plain = *text != '\0';
    for (const char *c = text; *c && is_plain; c++)
        is_plain = isgraph((unsigned char)*c) && *c != '"' && *c != '\\';
    if (is_plain) {
        fputs(text, to);
        return;
    }
    json_t json;
    json_begin(&json, json_to_file, to);
    json_string(&json, NULL, text);
}

//  Whether a field says something.
static bool
says(const events_value_t *value)
{
    switch (value->type) {
    case EVENTS_TEXT:
        return *value->text != '\0';
    case EVENTS_REAL:
        return value->real != 0;
    case EVENTS_FLAG:
        return value->flag;
    case EVENTS_SIGNED:
    case EVENTS_WORD:
        return value->number != 0;
    case EVENTS_COUNT:
    case EVENTS_ID:
        return value->count != 0;
    }
    return true;
}

static void
put_value(const events_field_t *field, const events_value_t *value, FILE *to)
{
    char text[EVENTS_WORD_BYTES];
    switch (value->type) {
    case EVENTS_TEXT:
        put_text(value->text, to);
        break;
    case EVENTS_REAL:
        fprintf(to, "%.3f", value->real);
        break;
    case EVENTS_FLAG:
        fputs(value->flag ? "yes" : "no", to);
        break;
    case EVENTS_SIGNED:
        fprintf(to, "%lld", (long long)value->number);
        break;
    case EVENTS_WORD:
        fputs(events_word(field, value->number, text), to);
        break;
    case EVENTS_COUNT:
        fprintf(to, "%llu", (unsigned long long)value->count);
        break;
    case EVENTS_ID:
        fputs(id_text(value->count, text), to);
        break;
    }
}

static void
put_stream(const event_t *event, FILE *to)
{
    char id[ID_BYTES];
    if (!event->stream && !*event->name)
        return;
    fputs(" stream=", to);
    put_text(*event->name ? event->name : id_text(event->stream, id), to);
}

static void
put_trace(const event_t *event, FILE *to)
{
    char id[ID_BYTES];
    if (event->trace)
        fprintf(to, " trace=%s", id_text(event->trace, id));
}

//  The fields of its kind that say something.
static void
put_body(const event_t *event, FILE *to)
{
    size_t kind = events_kind(event);
    events_field_t field;
    for (size_t nth = 0; events_field(kind, nth, &field); nth++) {
        events_value_t value = events_value(event, &field, false);
        if (!says(&value))
            continue;
        fprintf(to, " %s=", field.name);
        put_value(&field, &value, to);
    }
}

static void
put_event(const event_t *event, FILE *to)
{
    char time[TIME_BYTES];
    fprintf(to, "%s ", time_text(event->at_us, time));
    put_text(event->node, to);
    for (size_t width = strlen(event->node); width < NODE_COLUMNS; width++)
        fputc(' ', to);
    fprintf(to, " %-*s", KIND_COLUMNS, events_kind_name(events_kind(event)));
    put_stream(event, to);
    put_body(event, to);
    put_trace(event, to);
    fputc('\n', to);
}

/*--------------------------------------------------------------------- JSON */

static void
tell_id(json_t *json, const char *key, uint64_t id)
{
    char text[ID_BYTES];
    json_string(json, key, id_text(id, text));
}

static void
tell_value(json_t *json, const events_field_t *field,
           const events_value_t *value)
{
    char text[EVENTS_WORD_BYTES];
    switch (value->type) {
    case EVENTS_TEXT:
        json_string(json, field->name, value->text);
        break;
    case EVENTS_REAL:
        json_double(json, field->name, value->real);
        break;
    case EVENTS_FLAG:
        json_bool(json, field->name, value->flag);
        break;
    case EVENTS_SIGNED:
        json_int(json, field->name, value->number);
        break;
    case EVENTS_WORD:
        json_string(json, field->name, events_word(field, value->number, text));
        break;
    case EVENTS_COUNT:
        json_uint(json, field->name, value->count);
        break;
    case EVENTS_ID:
        tell_id(json, field->name, value->count);
        break;
    }
}

//  All fields of a kind, or of every event.
static void
tell_fields(json_t *json, const event_t *event, size_t kind)
{
    events_field_t field;
    for (size_t nth = 0; events_field(kind, nth, &field); nth++) {
        events_value_t value = events_value(event, &field, kind == EVENTS_HEAD);
        tell_value(json, &field, &value);
    }
}

//  In an object that is open.
static void
tell_event(json_t *json, const event_t *event)
{
    char time[TIME_BYTES];
    json_string(json, "time", time_text(event->at_us, time));
    json_string(json, "kind", events_kind_name(events_kind(event)));
    tell_fields(json, event, EVENTS_HEAD);
    tell_fields(json, event, events_kind(event));
}

static void
tell_hop(json_t *json, const hop_t *hop)
{
    if (hop->is_silent)
        return;  //  Its asker tells it
    json_object(json, NULL);
    json_uint(json, "depth", hop->depth);
    json_bool(json, "other_trace", hop->is_joined);
    if (hop->is_request)
        json_double(json, "here_ms", hop->here_ms);
    if (hop->has_way)
        json_double(json, "way_ms", hop->way_ms);
    tell_event(json, hop->event);
    json_end(json);
}

static void
tell_tree(json_t *json, const hops_tree_t *tree)
{
    const hop_t *slowest = &tree->hops[tree->slowest];
    const event_t *root = tree->hops[0].event;
    tell_id(json, "trace", root->trace);
    json_double(json, "ms", root->request->ms);
    json_string(json, "slowest", slowest->node);
    json_bool(json, "slowest_on_way", tree->is_way);
    json_double(json, "slowest_ms", tree->most_ms);
    json_bool(json, "partial", tree->is_partial);
    json_array(json, "hops");
    for (size_t i = 0; i < tree->count; i++)
        tell_hop(json, &tree->hops[i]);
    json_end(json);
}

/*-------------------------------------------------------------------- trees */

//  The heading: what was asked and what came of it.
static void
put_heading(const hops_tree_t *tree, FILE *to)
{
    const event_t *event = tree->hops[0].event;
    const Rill__V1__Request *request = event->request;
    char time[TIME_BYTES], word[EVENTS_WORD_BYTES];
    events_field_t status;
    fprintf(to, "%s ", time_text(event->at_us, time));
    put_text(request->asked, to);
    put_stream(event, to);
    fprintf(to, " offset=%llu bytes=%llu", (unsigned long long)request->offset,
            (unsigned long long)request->bytes);
    if (events_field_find(events_kind(event), "status", &status))
        fprintf(to, " status=%s", events_word(&status, request->status, word));
    fprintf(to, " ms=%.3f", request->ms);
    put_trace(event, to);
    if (*request->asker) {
        fputs(" asked by ", to);
        put_text(request->asker, to);
        fputs(", of which nothing came", to);
    }
    fputc('\n', to);
}

//  Its name and, so that columns stand below each other, its role and route.
static void
put_place(const hop_t *hop, const char *role, const char *route, FILE *to)
{
    int indent = 2 + 2 * (int)hop->depth;
    int width = indent + (int)strlen(hop->node);
    fprintf(to, "%*s", indent, "");
    put_text(hop->node, to);
    fprintf(to, "%*s %-9.9s %-8s",
            width < HOP_COLUMNS ? HOP_COLUMNS - width : 0, "", role, route);
}

//  What its asker says of a node of which nothing came.
static void
put_silent(const hop_t *hop, FILE *to)
{
    put_place(hop, "-", "-", to);
    fprintf(to, " %10.3f ms  %s", hop->way_ms,
            hop->is_tried ? "gave nothing" : "answered");
}

static void
put_request(const hop_t *hop, FILE *to)
{
    const event_t *event = hop->event;
    const Rill__V1__Request *request = event->request;
    char route[EVENTS_WORD_BYTES] = "-", word[EVENTS_WORD_BYTES];
    events_field_t field;
    if (request->route &&
        events_field_find(events_kind(event), "route", &field))
        snprintf(route, sizeof route, "%s",
                 events_word(&field, request->route, word));
    put_place(hop, event->role, route, to);
    fprintf(to, " %10.3f ms  here %10.3f", request->ms, hop->here_ms);
    if (hop->has_way)
        fprintf(to, "  way %10.3f", hop->way_ms);
    if (request->status &&
        events_field_find(events_kind(event), "status", &field))
        fprintf(to, "  %s", events_word(&field, request->status, word));
    if (request->others_ms > 0)
        fprintf(to, "  others in vain %.3f", request->others_ms);
    if (hop->is_tried)
        fputs(strcmp(request->asked, "locate") == 0 && !request->status
                  ? "  located"
                  : "  gave nothing",
              to);
    if (hop->is_joined)
        put_trace(event, to);
    if (request->joined)
        fputs("  waited for what another one had asked for", to);
}

static void
put_hop(const hop_t *hop, FILE *to)
{
    if (hop->is_silent)
        put_silent(hop, to);
    else if (hop->is_request)
        put_request(hop, to);
    else {
        fprintf(to, "%*s%s", 2 + 2 * (int)hop->depth, "",
                events_kind_name(events_kind(hop->event)));
        put_body(hop->event, to);
    }
}

static void
put_tree(const hops_tree_t *tree, FILE *to)
{
    put_heading(tree, to);
    for (size_t i = 0; i < tree->count; i++) {
        const hop_t *hop = &tree->hops[i];
        put_hop(hop, to);
        if (i == tree->slowest)
            fputs(hop->is_silent || (tree->is_way && hop->is_tried)
                      ? "  <- most of it: waiting for it"
                  : tree->is_way ? "  <- most of it: on the way to it"
                                 : "  <- most of it: here",
                  to);
        fputc('\n', to);
    }
    if (tree->is_partial)
        fputs("  of a node in this way nothing came\n", to);
}

/*------------------------------------------------------------------ printing */

void
tap_lines_event(const event_t *event, bool json, FILE *to)
{
    if (!json) {
        put_event(event, to);
        return;
    }
    json_t out;
    json_begin(&out, json_to_file, to);
    json_object(&out, NULL);
    tell_event(&out, event);
    json_end(&out);
    fputc('\n', to);
}

void
tap_lines_tree(const hops_tree_t *tree, bool json, FILE *to)
{
    if (!json) {
        put_tree(tree, to);
        return;
    }
    json_t out;
    json_begin(&out, json_to_file, to);
    json_object(&out, NULL);
    tell_tree(&out, tree);
    json_end(&out);
    fputc('\n', to);
}
