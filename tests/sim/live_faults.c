/*  What goes wrong in a live tree: each fault begins some time before calm, and
 *  is over by then.
 */
#include <stdlib.h>

#include "invariant.h"
#include "live.h"
#include "story.h"

typedef enum {
    FAULT_CRASH,
    FAULT_HANG,
    FAULT_PARENT,
    FAULT_ORIGIN,
    FAULT_ORIGIN_HANG,
    FAULT_CLOCK,
    FAULT_WAN,
    FAULT_LAN,
    FAULT_FLAP,
    FAULT_SLOW,
    FAULT_BREAK,
    FAULT_MULTICAST,
    FAULT_PACKETS,
    FAULT_PUBLISHED,
    FAULT_DISK,
    FAULTS,
} fault_kind_t;

static const char *const NAMES[FAULTS] = {
    [FAULT_CRASH] = "cache killed",
    [FAULT_HANG] = "cache hung",
    [FAULT_PARENT] = "a parent killed",
    [FAULT_ORIGIN] = "origin killed",
    [FAULT_ORIGIN_HANG] = "origin hung",
    [FAULT_CLOCK] = "origin's clock stepped",
    [FAULT_WAN] = "WAN cut",
    [FAULT_LAN] = "LAN cut",
    [FAULT_FLAP] = "link flapping",
    [FAULT_SLOW] = "link slowed 20 times",
    [FAULT_BREAK] = "connection broken",
    [FAULT_MULTICAST] = "multicast lossy",
    [FAULT_PACKETS] = "multicast in disorder",
    [FAULT_PUBLISHED] = "publishing lossy",
    [FAULT_DISK] = "a cache's disk broken",
};

typedef struct {
    live_t *live;
    fault_kind_t kind;
    int node, other;
    int64_t lasts_us;
    bool heals;
} fault_t;

static void on_fault(void *arg, bool happens);

static void
plan(fault_t what, int64_t after_us)
{
    fault_t *fault = malloc(sizeof *fault);
    INVARIANT(fault);
    *fault = what;
    agenda_add(what.live->agenda, after_us, on_fault, fault);
}

//  Up and down, and each time what was connected is not.
static void
flap(const fault_t *fault)
{
    fault_t cut = *fault, broken = *fault;
    cut.kind = FAULT_WAN;
    broken.kind = FAULT_BREAK;
    int64_t step = fault->lasts_us / 6;
    cut.lasts_us = broken.lasts_us = step / 2;
    for (int i = 0; i < 6; i++) {
        plan(cut, i * step);
        plan(broken, i * step + dice_between(&fault->live->dice, 0, step / 2));
    }
}

static void
begin(const fault_t *fault)
{
    static const unsigned LOST[] = { 200, 500, 1000 };
    static const int64_t STEPS[] = { 500000, 5000000, 60000000, 7200000000 };
    live_t *live = fault->live;
    dice_t *dice = &live->dice;
    live_node_t *node = &live->node[fault->node];
    story_tell("%s: %s (%d)", NAMES[fault->kind], node->name, fault->other);
    story_count(NAMES[fault->kind], 1);
    switch (fault->kind) {
    case FAULT_CRASH:
    case FAULT_PARENT:
    case FAULT_ORIGIN:
        live_kill(node);
        break;
    case FAULT_HANG:
    case FAULT_ORIGIN_HANG:
        live_hang(node, true);
        break;
    case FAULT_CLOCK:
        live->clock_us = dice_chance(dice, 500) ? STEPS[dice_below(dice, 4)]
                                                : -STEPS[dice_below(dice, 4)];
        break;
    case FAULT_WAN:
    case FAULT_LAN:
        live_way(live, fault->node, fault->other)->cut = true;
        break;
    case FAULT_FLAP:
        flap(fault);
        break;
    case FAULT_SLOW:
        live_way(live, fault->node, fault->other)->slow = true;
        break;
    case FAULT_BREAK:
        live_disconnect(live, fault->node, fault->other);
        break;
    case FAULT_MULTICAST:
        live->multicast_lost = LOST[dice_below(dice, 3)];
        break;
    case FAULT_PACKETS:
        live->multicast_late = live->multicast_twice = 300;
        break;
    case FAULT_DISK:  //  It stays so in this life
        node->lost = true;
        if (node->relay && !node->hung) {
            relay_on_disk_lost(node->relay, live_now(live));
            live_after(node);
        }
        break;
    default:
        live->published_lost = dice_chance(dice, 500) ? 50 : 300;
        break;
    }
}

static void
heal(const fault_t *fault)
{
    live_t *live = fault->live;
    live_node_t *node = &live->node[fault->node];
    switch (fault->kind) {
    case FAULT_CRASH:
    case FAULT_PARENT:
    case FAULT_ORIGIN:
        if (!node->relay)
            live_start(node);
        break;
    case FAULT_HANG:
    case FAULT_ORIGIN_HANG:
        live_hang(node, false);
        break;
    case FAULT_CLOCK:
        live->clock_us = 0;
        break;
    case FAULT_WAN:
    case FAULT_LAN:
        live_way(live, fault->node, fault->other)->cut = false;
        break;
    case FAULT_SLOW:
        live_way(live, fault->node, fault->other)->slow = false;
        break;
    case FAULT_MULTICAST:
        live->multicast_lost = 0;
        break;
    case FAULT_PACKETS:
        live->multicast_late = live->multicast_twice = 0;
        break;
    case FAULT_PUBLISHED:
        live->published_lost = 0;
        break;
    default:
        break;
    }
}

static void
on_fault(void *arg, bool happens)
{
    fault_t *fault = arg;
    if (!happens) {
        free(fault);
        return;
    }
    live_t *live = fault->live;
    live->fault_us = agenda_now(live->agenda);
    story_time(live->fault_us);
    if (fault->heals) {
        story_tell("heals %s of %s", NAMES[fault->kind],
                   live->node[fault->node].name);
        heal(fault);
        free(fault);
        return;
    }
    begin(fault);
    fault->heals = true;
    agenda_add(live->agenda, fault->lasts_us, on_fault, fault);
}

//  Which other end of a link of the node.
static int
other_end(live_t *live, const live_node_t *node, fault_kind_t kind)
{
    size_t parents = node->settings.parents_count;
    size_t siblings = node->settings.siblings_count;
    if (kind == FAULT_LAN)
        return node->link_node[parents + dice_below(&live->dice, siblings)];
    if (kind == FAULT_WAN || kind == FAULT_FLAP)
        return node->link_node[dice_below(&live->dice, parents)];
    return node->link_node[dice_below(&live->dice, parents + siblings)];
}

void
live_plan_fault(live_t *live)
{
    static const int64_t LASTS[] = { 300000, 1000000, 3000000, 8000000 };
    fault_t fault = { .live = live,
                      .kind = (fault_kind_t)dice_below(&live->dice, FAULTS) };
    fault.node = 1 + (int)dice_below(&live->dice, (uint64_t)live->nodes - 1);
    const live_node_t *node = &live->node[fault.node];
    if (fault.kind == FAULT_LAN && !node->settings.siblings_count)
        fault.kind = FAULT_WAN;
    fault.other = other_end(live, node, fault.kind);
    if (fault.kind == FAULT_PARENT)
        fault.node = node->link_node[0];
    if (fault.kind == FAULT_ORIGIN || fault.kind == FAULT_ORIGIN_HANG)
        fault.node = 0;
    int64_t at = dice_between(&live->dice, 200000, LIVE_CALM_US - 1000000);
    fault.lasts_us = LASTS[dice_below(&live->dice, 4)];
    if (at + fault.lasts_us > LIVE_CALM_US)
        fault.lasts_us = LIVE_CALM_US - at;
    plan(fault, at);
}
