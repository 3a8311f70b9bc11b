/*  The shape of a wide tree.
 */
#include <stdio.h>
#include <stdlib.h>

#include "invariant.h"
#include "wide.h"

enum { PARENTS = 3 };  //  Of a group, beside the grandparent

typedef struct {
    int caches, size;  //  Of a group
    int groups_of[WIDE_TIERS];
} shape_t;

static const shape_t SHAPES[] = {
    { 10, 2, { 2, 1, 1, 1 } },
    { 100, 10, { 2, 2, 3, 3 } },
    { 1000, 10, { 3, 9, 25, 63 } },
    { 10000, 10, { 4, 24, 144, 828 } },
};

static void
join_links(wide_node_t *node, const wide_group_t *group)
{
    size_t links = 0;
    if (group->above < 0)
        node->way[links++].node = 0;
    else {
        const wide_group_t *above = &wide.group[group->above];
        int from = (int)(group - wide.group);
        for (int i = 0; i < above->size && i < PARENTS; i++)
            node->way[links++].node = above->first + (from + i) % above->size;
        node->way[links++].node = wide.node[above->first].way[0].node;
    }
    node->settings.parents_count = links;
    for (int i = group->first; i < group->first + group->size; i++)
        if (i != node->number)
            node->way[links++].node = i;
    for (size_t i = 0; i < links; i++)
        node->links[i] = wide.node[node->way[i].node].name;
    node->settings.siblings_count = links - node->settings.parents_count;
    node->settings.parents = node->links;
    node->settings.siblings = node->links + node->settings.parents_count;
}

static void
add_nodes(const shape_t *shape)
{
    int at = 1, number = 0, above = -1;
    for (int tier = 0; tier < WIDE_TIERS; tier++) {
        int first = number;
        for (int i = 0; i < shape->groups_of[tier]; i++, at += shape->size) {
            wide_group_t *group = &wide.group[number++];
            int upper = tier ? shape->groups_of[tier - 1] : 0;
            *group = (wide_group_t){ .tier = (unsigned)tier + 1,
                                     .first = at,
                                     .size = shape->size,
                                     .above = tier ? above + i % upper : -1 };
            snprintf(group->name, sizeof group->name, "g%d", number - 1);
            for (int n = at; n < at + shape->size; n++)
                wide.node[n].group = number - 1;
        }
        above = first;
    }
}

bool
wide_build(int caches)
{
    const shape_t *shape = NULL;
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        if (SHAPES[i].caches == caches)
            shape = &SHAPES[i];
    if (!shape)
        return false;
    wide.nodes = shape->caches + 1;
    wide.groups = shape->caches / shape->size;
    wide.firsts = shape->groups_of[0];
    wide.node = calloc((size_t)wide.nodes, sizeof *wide.node);
    wide.group = calloc((size_t)wide.groups, sizeof *wide.group);
    size_t cells = (size_t)WIDE_STREAMS * WIDE_CHUNKS * (size_t)wide.groups;
    wide.session = calloc((size_t)wide.nodes * WIDE_WATCHED,
                          sizeof *wide.session);
    wide.copies = calloc(cells, 1);
    wide.answered = calloc(cells, 1);
    INVARIANT(wide.node && wide.group && wide.session && wide.copies &&
              wide.answered);
    add_nodes(shape);
    for (int i = 0; i < wide.nodes; i++) {
        wide_node_t *node = &wide.node[i];
        node->number = i;
        snprintf(node->name, sizeof node->name, i ? "c%d" : "origin", i);
        node->settings = (relay_settings_t){ .node = node->name,
                                             .group = "",
                                             .window_bytes = WIDE_WINDOW,
                                             .window_ms = 7200000,
                                             .patience = 1,
                                             .publish_at = node->publish_at };
        if (i == 0)
            node->group = -1;
        else {
            const wide_group_t *group = &wide.group[node->group];
            node->settings.group = group->name;
            node->settings.tier = group->tier;
            join_links(node, group);
        }
    }
    return true;
}
