#include <stdio.h>
#include <stdlib.h>

#include "invariant.h"
#include "live.h"
#include "story.h"

enum {
    TIERS = 4,
    SMALL = 10,  //  Caches, about, in most trees,
    MIDDLE = 100,
    LARGE = 1000,
    MIDDLES = 10,     //  in so many of a thousand,
    LARGES = 1000,    //  and in one of so many:
    LARGES_AT = 100,  //  this one
    SIZE = 5,         //  Of a group, at most, and in a large tree
    SIZE_LARGE = 12,
    PARENTS = 3,  //  Of a group, beside the grandparent
};

//  A group of siblings.
typedef struct {
    unsigned tier;
    int first, size;  //  Nodes
    int above;        //  The group that its parents are in; -1: the root is
} group_t;

typedef struct {
    live_t *live;
    group_t *group;
    int caches;  //  About
} tree_t;

static live_node_t *
add_node(live_t *live, int group, unsigned tier)
{
    live->node = realloc(live->node,
                         (size_t)(live->nodes + 1) * sizeof *live->node);
    INVARIANT(live->node);
    live_node_t *node = &live->node[live->nodes];
    *node = (live_node_t){ .live = live,
                           .number = live->nodes++,
                           .group = group,
                           .settings = { .tier = tier } };
    return node;
}

static void
add_group(tree_t *tree, int above)
{
    live_t *live = tree->live;
    int number = live->groups++;
    tree->group = realloc(tree->group,
                          (size_t)live->groups * sizeof *tree->group);
    INVARIANT(tree->group);
    group_t *group = &tree->group[number];
    int most = tree->caches > MIDDLE ? SIZE_LARGE : SIZE;
    *group = (group_t){
        .tier = above < 0 ? 1 : tree->group[above].tier + 1,
        .first = live->nodes,
        .size = (int)dice_between(&live->dice, 1, most),
        .above = above,
    };
    for (int i = 0; i < group->size; i++)
        add_node(live, number, group->tier);
}

//  How deep, and how many: most are small.
static void
choose(tree_t *tree)
{
    static const unsigned TIERS_OF[] = { 1, 1, 2, 2, 2, 2, 2, 3, 3, TIERS };
    live_t *live = tree->live;
    dice_t *dice = &live->dice;
    live->tiers = TIERS_OF[dice_below(dice, 10)];
    tree->caches = (int)dice_between(dice, 1, SMALL);
    if (live->seed % LARGES == LARGES_AT) {
        live->tiers = (unsigned)dice_between(dice, 2, TIERS);
        tree->caches = (int)dice_between(dice, MIDDLE + 1, LARGE);
        story_count("tree of hundreds of caches", 1);
    } else if (dice_chance(dice, MIDDLES))
        tree->caches = (int)dice_between(dice, SMALL, MIDDLE);
    if (live->tiers == 3)
        story_count("tree of three tiers", 1);
    if (live->tiers == TIERS)
        story_count("tree of four tiers", 1);
}

//  One group below the other, then others wherever there may be.
static void
grow(tree_t *tree)
{
    live_t *live = tree->live;
    add_node(live, -1, 0);
    for (unsigned tier = 0; tier < live->tiers; tier++)
        add_group(tree, (int)tier - 1);
    while (live->nodes <= tree->caches) {
        int above = (int)dice_below(&live->dice, (uint64_t)live->groups + 1);
        above--;
        if (above < 0 || tree->group[above].tier < live->tiers)
            add_group(tree, above);
    }
}

static void
name(live_node_t *node)
{
    bool root = node->group < 0;
    if (root)
        snprintf(node->name, sizeof node->name, "root");
    else {
        snprintf(node->name, sizeof node->name, "c%d-%d", node->group,
                 node->number);
        snprintf(node->group_name, sizeof node->group_name, "group%d",
                 node->group);
    }
    node->settings.node = node->name;
    node->settings.group = node->group_name;
    node->settings.window_bytes = LIVE_WINDOW;
    node->settings.patience = 1;
    node->settings.publish_at = node->publish_at;
}

//  The same parents for all of a group: some of the one above, and one of
//  theirs.
static size_t
parents_of(const tree_t *tree, int number, int parents_r[PARENTS + 1])
{
    const live_t *live = tree->live;
    int above = tree->group[number].above;
    size_t count = 0;
    if (above >= 0) {
        const group_t *group = &tree->group[above];
        int from = (int)dice_below(&tree->live->dice, (uint64_t)group->size);
        for (int i = 0; i < group->size && i < PARENTS; i++)
            parents_r[count++] = group->first + (from + i) % group->size;
        parents_r[count++] = live->node[group->first].link_node[0];
    } else
        parents_r[count++] = 0;
    return count;
}

static void
join(const tree_t *tree, int number)
{
    static const millis_t WINDOWS[] = { 3000, 10000, 7200000 };
    static const size_t DISKS[] = { 0, 4 * 1024 * 1024, 64 * 1024 * 1024 };
    live_t *live = tree->live;
    const group_t *group = &tree->group[number];
    millis_t window = WINDOWS[dice_below(&live->dice, 3)];
    size_t disk = DISKS[dice_below(&live->dice, 3)];
    int parents[PARENTS + 1];
    size_t parents_count = parents_of(tree, number, parents);
    for (int i = group->first; i < group->first + group->size; i++) {
        live_node_t *node = &live->node[i];
        size_t links = 0;
        for (size_t p = 0; p < parents_count; p++)
            node->link_node[links++] = parents[p];
        for (int j = group->first; j < group->first + group->size; j++)
            if (j != i)
                node->link_node[links++] = j;
        INVARIANT(links <= LIVE_LINKS);
        for (size_t l = 0; l < links; l++)
            node->links[l] = live->node[node->link_node[l]].name;
        node->settings.parents = node->links;
        node->settings.parents_count = parents_count;
        node->settings.siblings = node->links + parents_count;
        node->settings.siblings_count = links - parents_count;
        node->settings.window_ms = window;
        if (disk) {
            node->settings.window_bytes = LIVE_WINDOW / 8;
            node->settings.disk_bytes = disk;
        }
    }
}

static void *
make(size_t count, size_t size)
{
    void *made = calloc(count, size);
    INVARIANT(made);
    return made;
}

void
live_build(live_t *live)
{
    tree_t tree = { .live = live };
    choose(&tree);
    grow(&tree);
    for (int i = 0; i < live->nodes; i++)
        name(&live->node[i]);
    for (int group = 0; group < live->groups; group++)
        join(&tree, group);
    free(tree.group);
    size_t nodes = (size_t)live->nodes, groups = (size_t)live->groups;
    for (int i = 0; i < LIVE_STREAMS; i++) {
        live_stream_t *stream = &live->stream[i];
        stream->copies = make(LIVE_CHUNKS * groups, sizeof *stream->copies);
        stream->two_since = make(groups, sizeof *stream->two_since);
        stream->idle_us = make(nodes, sizeof *stream->idle_us);
        stream->away_us = make(nodes, sizeof *stream->away_us);
    }
}

void
live_clear(live_t *live)
{
    for (int i = 0; i < live->nodes; i++)
        free(live->node[i].subs);
    free(live->node);
    for (int i = 0; i < LIVE_STREAMS; i++) {
        free(live->stream[i].copies);
        free(live->stream[i].two_since);
        free(live->stream[i].idle_us);
        free(live->stream[i].away_us);
    }
}

int
live_link(const live_node_t *node, int other)
{
    size_t links = node->settings.parents_count + node->settings.siblings_count;
    for (size_t i = 0; i < links; i++)
        if (node->link_node[i] == other)
            return (int)i;
    return -1;
}

live_way_t *
live_way(live_t *live, int from, int to)
{
    int link = live_link(&live->node[from], to);
    if (link >= 0)
        return &live->node[from].to[link];
    link = live_link(&live->node[to], from);
    INVARIANT(link >= 0);
    return &live->node[to].from[link];
}
