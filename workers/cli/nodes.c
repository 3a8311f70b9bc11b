#include <stdio.h>
#include <sysexits.h>

#include "ask.h"
#include "settings.h"
#include "table.h"
#include "talk.h"
#include "verbs.h"

static const char *
program_of(const settings_node_t *node)
{
    switch (node->role) {
    case SETTINGS_FORWARDER:
        return "rill-forwarder";
    case SETTINGS_WORKER:
        return "rill-storage";
    case SETTINGS_CACHE:
        return "rill-cache";
    case SETTINGS_DIRECTOR:
        return "rill-director";
    }
    return "";
}

static void
tell_group(json_t *json, const settings_t *settings,
           const settings_group_t *group)
{
    json_object(json, NULL);
    json_string(json, "name", group->name);
    json_uint(json, "tier", group->tier);
    json_string(json, "multicast", group->multicast);
    json_string(json, "key", group->key);
    json_array(json, "parents");
    const settings_node_t *parent;
    for (size_t i = 0; (parent = settings_upstream(settings, group, i)); i++)
        json_string(json, NULL, parent->name);
    json_end(json);
    json_end(json);
}

static void
tell_json(const settings_t *settings, const char *file)
{
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "cluster", settings->cluster);
    json_double(&json, "patience", settings->patience);
    json_array(&json, "nodes");
    const settings_node_t *node;
    for (size_t i = 0; (node = settings_nth(settings, i)); i++) {
        json_object(&json, NULL);
        json_string(&json, "name", node->name);
        json_string(&json, "role", settings_role(node->role));
        json_array(&json, "command");
        json_string(&json, NULL, program_of(node));
        json_string(&json, NULL, "-f");
        json_string(&json, NULL, file);
        json_string(&json, NULL, "--node");
        json_string(&json, NULL, node->name);
        json_end(&json);
        json_string(&json, "at", node->at);
        json_string(&json, "reach", node->reach);
        json_string(&json, "data", node->data);
        json_string(&json, "metrics", node->metrics);
        const settings_cache_t *cache = settings_cache(settings, node->name);
        if (cache)
            json_string(&json, "group", cache->group);
        json_end(&json);
    }
    json_end(&json);
    json_array(&json, "groups");
    for (size_t i = 0; i < settings->groups_count; i++)
        tell_group(&json, settings, &settings->groups[i]);
    json_end(&json);
    ask_json_end(&json);
}

static void
show(const settings_t *settings, const char *file)
{
    static const char *const HEADINGS[] = { "NAME", "ROLE", "AT", "COMMAND",
                                            NULL };
    table_t *table = table_new(HEADINGS);
    const settings_node_t *node;
    for (size_t i = 0; (node = settings_nth(settings, i)); i++) {
        table_cell(table, "%s", node->name);
        table_cell(table, "%s", settings_role(node->role));
        table_cell(table, "%s", node->at);
        table_cell(table, "%s -f %s --node %s", program_of(node), file,
                   node->name);
    }
    table_print(table, stdout);
    table_destroy(&table);
}

int
nodes_run(const words_t *words)
{
    const char *file = words_value(words, "--file");
    if (!file)
        return talk_fail("nodes", EX_USAGE, "say which cluster file: -f FILE");
    settings_t settings;
    char why[SETTINGS_WHY_BYTES];
    if (settings_load(file, &settings, why, sizeof why) != STATUS_OK)
        return talk_fail("nodes", EX_CONFIG, "%s", why);
    if (settings.remark)
        fputs(settings.remark, stderr);
    if (words->json)
        tell_json(&settings, file);
    else
        show(&settings, file);
    settings_free(&settings);
    return EX_OK;
}
