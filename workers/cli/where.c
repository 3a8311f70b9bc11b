#include <czmq.h>
#include <stdio.h>
#include <sysexits.h>

#include "ask.h"
#include "table.h"
#include "talk.h"
#include "verbs.h"

//  So long a director that has just begun is asked again.
enum { BEGIN_MS = 5000, PAUSE_MS = 200 };

static const char *
rule_name(Rill__V1__Rule rule)
{
    switch (rule) {
    case RILL__V1__RULE__RULE_ONLY:
        return "only";
    case RILL__V1__RULE__RULE_NEAR:
        return "near";
    case RILL__V1__RULE__RULE_LIGHT:
        return "light";
    case RILL__V1__RULE__RULE_PREFERRED:
        return "preferred";
    case RILL__V1__RULE__RULE_EDGE:
        return "edge";
    case RILL__V1__RULE__RULE_ORIGIN:
        return "origin";
    case RILL__V1__RULE__RULE_STREAM:
        return "stream";
    case RILL__V1__RULE__RULE_ORDER:
        return "order";
    default:
        return "?";
    }
}

static void
tell_json(const Rill__V1__Offer *offer)
{
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "node", offer->node);
    json_string(&json, "address", offer->address);
    json_array(&json, "places");
    for (size_t i = 0; i < offer->n_places; i++) {
        const Rill__V1__Place *place = offer->places[i];
        json_object(&json, NULL);
        json_string(&json, "node", place->node);
        json_string(&json, "at", place->at);
        json_string(&json, "group", place->group);
        json_uint(&json, "tier", place->tier);
        json_string(&json, "rule", rule_name(place->rule));
        json_uint(&json, "near", place->near);
        json_uint(&json, "sessions", place->sessions);
        json_uint(&json, "out_bps", place->out_bps);
        json_end(&json);
    }
    json_end(&json);
    ask_json_end(&json);
}

static void
show(const Rill__V1__Offer *offer)
{
    static const char *const HEADINGS[] = { "NODE",      "AT",      "GROUP",
                                            ">TIER",     "RULE",    ">NEAR",
                                            ">WATCHING", ">MBIT/S", NULL };
    printf("%s offers%s%s:\n", offer->node,
           *offer->address ? " a terminal at " : "", offer->address);
    table_t *table = table_new(HEADINGS);
    for (size_t i = 0; i < offer->n_places; i++) {
        const Rill__V1__Place *place = offer->places[i];
        table_cell(table, "%s", place->node);
        table_cell(table, "%s", place->at);
        table_cell(table, "%s", *place->group ? place->group : "-");
        table_cell(table, "%u", place->tier);
        table_cell(table, "%s", rule_name(place->rule));
        table_cell(table, "/%u", place->near);
        table_cell(table, "%llu", (unsigned long long)place->sessions);
        table_cell(table, "%.1f", (double)place->out_bps / 1e6);
    }
    table_print(table, stdout);
    table_destroy(&table);
}

//  A director that has just begun knows its caches within a second.
static status_t
ask(client_t *client, const char *name, const char *from, message_t **answer_r)
{
    millis_t until = zclock_mono() + BEGIN_MS;
    status_t status = client_where(client, name, from, false, answer_r);
    while (status == STATUS_BUSY && zclock_mono() < until) {
        zclock_sleep(PAUSE_MS);
        status = client_where(client, name, from, false, answer_r);
    }
    return status;
}

int
where_run(const words_t *words)
{
    const char *name = words_operand(words, 0);
    int code = name ? ask_name(words, name) : EX_OK;
    client_t *client;
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    message_t *answer;
    status_t status = ask(client, name, words_value(words, "--from"), &answer);
    if (status != STATUS_OK)
        code = ask_fail(words, client, status, NULL);
    else {
        if (words->json)
            tell_json(answer->offer);
        else
            show(answer->offer);
        message_free(&answer);
    }
    client_destroy(&client);
    return code;
}
