#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "content.h"
#include "invariant.h"
#include "live.h"
#include "story.h"

enum {
    TICK_US = 100000,
    CALM_US = 20 * 1000000,
    SEAL_US = 30 * 1000000,
    WHOLE_US = 40 * 1000000,  //  Everybody has it whole
    STOP_US = WHOLE_US,
    QUIET_US = STOP_US + 12 * 1000000,
    END_US = QUIET_US + 4 * 1000000,
    GAP = 500,
};
#define BEGAN_US 1700000000000000

/*----------------------------------------------------------------- the root */

uint64_t
live_head(const live_t *live)
{
    return live->chunks ? live->chunk_at[live->chunks - 1] +
                              live->chunk_bytes[live->chunks - 1]
                        : 0;
}

size_t
live_chunk_of(const live_t *live, uint64_t offset)
{
    for (size_t i = live->chunks; i-- > 0;)
        if (live->chunk_at[i] <= offset)
            return offset < live->chunk_at[i] + live->chunk_bytes[i] ? i
                                                                     : SIZE_MAX;
    return SIZE_MAX;
}

buffer_t *
live_payload(const live_t *live, size_t chunk, chunk_header_t *header_r)
{
    size_t size = live->chunk_bytes[chunk];
    buffer_t *payload = buffer_new(size);
    content_fill(LIVE_STREAM, live->chunk_at[chunk], buffer_fill(payload),
                 size);
    *header_r = (chunk_header_t){
        .key = { .stream = LIVE_STREAM, .epoch = 1, .block = chunk },
        .code = { .k = 1, .m = 0 },
        .width = 1,
        .offset = live->chunk_at[chunk],
        .length = (uint32_t)size,
        .created_us = BEGAN_US + live->chunk_us[chunk],
        .kind = KIND_LIVE,
        .name = LIVE_NAME,
        .payload_crc = checksum_crc32c(buffer_bytes(payload), size),
    };
    return payload;
}

static micros_t
clock_us(const live_t *live)
{
    return BEGAN_US + agenda_now(live->agenda);
}

static micros_t
newest_us(const live_t *live)
{
    return live->chunks ? BEGAN_US + live->chunk_us[live->chunks - 1] : 0;
}

status_t
live_root_look(live_t *live, const char *name, uint64_t stream,
               relay_facts_t *facts_r)
{
    if (name ? strcmp(name, LIVE_NAME) != 0 : stream != LIVE_STREAM)
        return STATUS_UNKNOWN;
    *facts_r = (relay_facts_t){ .stream = LIVE_STREAM,
                                .name = LIVE_NAME,
                                .head = live_head(live),
                                .sealed = live->sealed,
                                .chunk_bytes = 200,
                                .newest_us = newest_us(live),
                                .now_us = clock_us(live) };
    return STATUS_OK;
}

typedef struct {
    live_node_t *node;
    unsigned life;
    uint64_t offset;
} fetch_t;

static void
on_fetched(void *arg, bool happens)
{
    fetch_t *fetch = arg;
    live_node_t *node = fetch->node;
    live_t *live = node->live;
    if (happens && node->relay && node->life == fetch->life) {
        story_time(agenda_now(live->agenda));
        size_t chunk = live_chunk_of(live, fetch->offset);
        uint64_t head = live_head(live);
        millis_t now = live_now(live);
        if (chunk != SIZE_MAX) {
            chunk_header_t header;
            buffer_t *payload = live_payload(live, chunk, &header);
            flights_chunk_t landed = { .header = &header,
                                       .payload = payload,
                                       .route = RILL__V1__ROUTE__ROUTE_STORE,
                                       .sealed = live->sealed,
                                       .now_us = clock_us(live),
                                       .head = head };
            relay_land(node->relay, LIVE_STREAM, fetch->offset, &landed, now);
            buffer_unref(&payload);
        } else if (fetch->offset >= head)
            relay_fail(node->relay, LIVE_STREAM, fetch->offset,
                       live->sealed ? STATUS_RANGE : STATUS_FUTURE, NULL, head,
                       now);
        else {
            uint64_t nearest = fetch->offset;
            while (live_chunk_of(live, nearest) == SIZE_MAX)
                nearest++;
            relay_fail(node->relay, LIVE_STREAM, fetch->offset, STATUS_RANGE,
                       NULL, nearest, now);
        }
        live_after(node);
    }
    free(fetch);
}

void
live_root_fetch(live_node_t *node, uint64_t stream, uint64_t offset)
{
    if (stream != LIVE_STREAM)
        story_breach(0, "the root is to fetch a stream that is not there");
    fetch_t *fetch = malloc(sizeof *fetch);
    INVARIANT(fetch);
    *fetch = (fetch_t){ node, node->life, offset };
    agenda_add(node->live->agenda, dice_between(&node->live->dice, 500, 5000),
               on_fetched, fetch);
}

//  The last chunk created at or before a time; SIZE_MAX: none.
static size_t
chunk_at(const live_t *live, micros_t time_us)
{
    size_t chunk = live->chunks;
    while (chunk > 0 && BEGAN_US + live->chunk_us[chunk - 1] > time_us)
        chunk--;
    return chunk ? chunk - 1 : SIZE_MAX;
}

typedef struct {
    live_node_t *node;
    unsigned life;
    micros_t time_us;
    uint64_t request;
} search_t;

static void
on_located(void *arg, bool happens)
{
    search_t *search = arg;
    live_node_t *node = search->node;
    live_t *live = node->live;
    if (happens && node->relay && node->life == search->life) {
        story_time(agenda_now(live->agenda));
        size_t chunk = chunk_at(live, search->time_us);
        bool found = chunk != SIZE_MAX;
        relay_located(
            node->relay, search->request, found ? STATUS_OK : STATUS_GONE,
            found ? live->chunk_at[chunk] : 0,
            found ? BEGAN_US + live->chunk_us[chunk] : 0, live_now(live));
        live_after(node);
    }
    free(search);
}

void
live_root_locate(live_node_t *node, micros_t time_us, uint64_t request)
{
    search_t *search = malloc(sizeof *search);
    INVARIANT(search);
    *search = (search_t){ node, node->life, time_us, request };
    agenda_add(node->live->agenda, dice_between(&node->live->dice, 500, 5000),
               on_located, search);
}

static void
root_say(live_node_t *node, const peer_t *peer, const message_t *question,
         message_t *answer)
{
    answer->request = question->request;
    live_send(node, peer, answer);
}

//  What the forwarder does beside its relay.
bool
live_root_front(live_node_t *node, const peer_t *peer, const message_t *message)
{
    live_t *live = node->live;
    if (message->body_case == RILL__V1__MESSAGE__BODY_DESCRIBE) {
        Rill__V1__Described body = RILL__V1__DESCRIBED__INIT;
        body.stream = LIVE_STREAM;
        body.name = message_lend(LIVE_NAME);
        body.sealed = live->sealed;
        body.stored = body.size = live_head(live);
        body.created_us = BEGAN_US;
        body.now_us = clock_us(live);
        body.newest_us = newest_us(live);
        message_t answer = MESSAGE(DESCRIBED, described, &body, 0, 0);
        root_say(node, peer, message, &answer);
        return true;
    }
    if (message->body_case != RILL__V1__MESSAGE__BODY_ASK)
        return false;
    const Rill__V1__Ask *ask = message->ask;
    uint64_t head = live_head(live);
    Rill__V1__Refused body = RILL__V1__REFUSED__INIT;
    const char *taken = NULL;
    if (ask->stream != LIVE_STREAM)
        body = message_refusal(STATUS_UNKNOWN, NULL, 0);
    else if (ask->at_case != RILL__V1__ASK__AT_OFFSET) {
        relay_ask_at(node->relay, peer, message, live_now(live));
        return true;
    } else if (ask->offset >= head)
        body = message_refusal(live->sealed ? STATUS_RANGE : STATUS_FUTURE,
                               NULL, head);
    else if ((taken = relay_taken(node->relay, ask, live_now(live)))) {
        body = message_refusal(STATUS_TAKEN, NULL, 0);
        body.node = message_lend(taken);
    } else {
        relay_ask(node->relay, peer, message, ask->stream, ask->offset,
                  live_now(live) + ask->budget_ms, live_now(live));
        return true;
    }
    message_t answer = MESSAGE(REFUSED, refused, &body, 0, 0);
    root_say(node, peer, message, &answer);
    return true;
}

static void
on_source(void *arg, bool happens)
{
    live_t *live = arg;
    if (!happens)
        return;
    int64_t now = agenda_now(live->agenda);
    story_time(now);
    live_node_t *root = &live->node[0];
    if (now >= SEAL_US) {
        live->sealed = true;
        if (root->relay)
            relay_on_stream(root->relay, LIVE_STREAM, live_now(live));
        return;
    }
    agenda_add(live->agenda, TICK_US, on_source, live);
    if (!root->relay || root->hung)
        return;
    uint64_t at = live_head(live);
    if (live->chunks && dice_chance(&live->dice, 5)) {
        at += GAP;
        story_count("hole made by a source", 1);
    }
    size_t chunk = live->chunks++;
    live->chunk_at[chunk] = at;
    live->chunk_bytes[chunk] = (uint32_t)dice_between(&live->dice, 50, 350);
    live->chunk_us[chunk] = now;
    chunk_header_t header;
    buffer_t *payload = live_payload(live, chunk, &header);
    flights_chunk_t cut = { .header = &header,
                            .payload = payload,
                            .route = RILL__V1__ROUTE__ROUTE_LOCAL,
                            .now_us = clock_us(live),
                            .head = live_head(live) };
    relay_on_chunk(root->relay, &cut, live_now(live));
    buffer_unref(&payload);
    live_after(root);
}

/*-------------------------------------------------------------------- viewers */

static int
some_node(live_t *live)
{
    for (int tries = 0; tries < 20; tries++) {
        int node = (int)dice_below(&live->dice, (uint64_t)live->nodes);
        if (live->node[node].relay && (node || dice_chance(&live->dice, 100)))
            return node;
    }
    return -1;
}

static void
say(viewer_t *viewer, message_t *message)
{
    message->request = viewer->request;
    live_say(viewer->live, viewer->number, viewer->at, message);
}

static void
open_at(viewer_t *viewer, int node)
{
    live_t *live = viewer->live;
    int64_t now = agenda_now(live->agenda);
    viewer->at = node;
    viewer->moved_us = viewer->said_us = viewer->heard_us = now;
    if (node < 0)
        return;
    viewer->at_life = live->node[node].life;
    viewer->request = dice_next(&live->dice);
    viewer->got = 0;
    viewer->credit = (uint64_t)dice_between(&live->dice, 1, 3000);
    Rill__V1__Watch watch = RILL__V1__WATCH__INIT;
    watch.which_case = RILL__V1__WATCH__WHICH_NAME;
    watch.name = message_lend(LIVE_NAME);
    watch.credit = viewer->credit;
    if (viewer->begun) {
        watch.from_case = RILL__V1__WATCH__FROM_OFFSET;
        watch.offset = viewer->next;
    } else if (viewer->start == START_FIRST) {
        watch.from_case = RILL__V1__WATCH__FROM_START;
        watch.start = true;
    } else if (viewer->start == START_OFFSET) {
        watch.from_case = RILL__V1__WATCH__FROM_OFFSET;
        watch.offset = dice_below(&live->dice, live_head(live) + 1);
    } else if (viewer->start == START_BACK) {
        watch.from_case = RILL__V1__WATCH__FROM_BACK_MS;
        watch.back_ms = dice_below(&live->dice, 10000);
    } else if (viewer->start == START_TIME) {
        viewer->time_us = BEGAN_US +
                          (int64_t)dice_below(&live->dice, (uint64_t)now + 1);
        watch.from_case = RILL__V1__WATCH__FROM_TIME_US;
        watch.time_us = viewer->time_us;
    } else {
        watch.from_case = RILL__V1__WATCH__FROM_LIVE;
        watch.live = true;
    }
    message_t message = MESSAGE(WATCH, watch, &watch, 0, 0);
    story_tell("viewer %d opens at %s", viewer->number, live->node[node].name);
    say(viewer, &message);
}

static void
grow_credit(viewer_t *viewer)
{
    if (viewer->credit < viewer->got + 2000)
        viewer->credit = viewer->got + 2000;
}

static void
renew(viewer_t *viewer)
{
    Rill__V1__WatchKeep keep = RILL__V1__WATCH_KEEP__INIT;
    keep.credit = viewer->credit;
    message_t message = MESSAGE(WATCH_KEEP, watch_keep, &keep, 0, 0);
    viewer->said_us = agenda_now(viewer->live->agenda);
    say(viewer, &message);
}

static void
refused(viewer_t *viewer, const Rill__V1__Refused *refused)
{
    status_t status = message_status(refused->status);
    story_tell("viewer %d is refused: %s", viewer->number, status_name(status));
    viewer->at = -1;
    if (status == STATUS_RANGE && viewer->begun)
        viewer->done = viewer->next >= refused->offset;
}

//  A session of a time begins with the last chunk at or before it, exactly.
static void
check_time(const viewer_t *viewer, uint64_t from)
{
    const live_t *live = viewer->live;
    size_t chunk = chunk_at(live, viewer->time_us);
    uint64_t right = chunk == SIZE_MAX ? 0 : live->chunk_at[chunk];
    if (from != right)
        story_breach(12,
                     "viewer %d begins at %" PRIu64 ", its time at %" PRIu64,
                     viewer->number, from, right);
    story_count("began at a time", 1);
}

void
live_heard(live_t *live, viewer_t *viewer, const message_t *message,
           buffer_t *payload)
{
    if (message->request != viewer->request || viewer->at < 0)
        return;
    int64_t now = agenda_now(live->agenda);
    viewer->heard_us = now;
    if (viewer->asks) {
        viewer->asked_us = 0;
        if (message->body_case == RILL__V1__MESSAGE__BODY_ANSWER)
            story_count(
                message->answer->route == RILL__V1__ROUTE__ROUTE_UP
                    ? "ask answered from above the window"
                : message->answer->route == RILL__V1__ROUTE__ROUTE_SIBLING
                    ? "ask answered by a sibling"
                : message->answer->route == RILL__V1__ROUTE__ROUTE_PARENT
                    ? "ask answered by a parent"
                    : "ask answered from the window",
                1);
        else
            story_count("ask refused", 1);
        return;
    }
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_WATCHED:
        if (viewer->begun && viewer->next != message->watched->from)
            story_breach(12, "viewer %d goes on at %" PRIu64 ", not %" PRIu64,
                         viewer->number, message->watched->from, viewer->next);
        if (!viewer->begun && viewer->start == START_TIME)
            check_time(viewer, message->watched->from);
        if (!viewer->begun)
            viewer->first = viewer->next = message->watched->from;
        viewer->begun = true;
        break;
    case RILL__V1__MESSAGE__BODY_FLOW:
        check_flow(viewer, message->flow, payload);
        if (viewer->number % 3) {
            grow_credit(viewer);
            renew(viewer);
        }
        break;
    case RILL__V1__MESSAGE__BODY_SKIP:
        check_skip(viewer, message->skip);
        break;
    case RILL__V1__MESSAGE__BODY_OVER:
        if (message->over->status == RILL__V1__STATUS__STATUS_OK_UNSPECIFIED) {
            viewer->done = true;
            if (!live->sealed || viewer->next != live_head(live))
                story_breach(12, "viewer %d is told of an end at %" PRIu64,
                             viewer->number, viewer->next);
        }
        viewer->at = -1;
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        refused(viewer, message->refused);
        break;
    default:
        break;
    }
}

static void
ask_some(viewer_t *viewer)
{
    live_t *live = viewer->live;
    int64_t now = agenda_now(live->agenda);
    if (viewer->asked_us && viewer->at >= 0 &&
        live->node[viewer->at].life == viewer->at_life &&
        now - viewer->asked_us < 8000000)
        return;
    if (viewer->asked_us && viewer->at >= 0 && live->node[viewer->at].relay &&
        live->node[viewer->at].life == viewer->at_life &&
        viewer->asked_us > CALM_US + 1000000)
        story_breach(19, "what viewer %d asked %s is never answered",
                     viewer->number, live->node[viewer->at].name);
    viewer->asked_us = 0;
    if (!dice_chance(&live->dice, 200))
        return;
    viewer->at = some_node(live);
    if (viewer->at < 0)
        return;
    viewer->at_life = live->node[viewer->at].life;
    viewer->request = dice_next(&live->dice);
    Rill__V1__Ask ask = RILL__V1__ASK__INIT;
    ask.stream = LIVE_STREAM;
    ask.at_case = RILL__V1__ASK__AT_OFFSET;
    ask.offset = dice_below(&live->dice, live_head(live) + 300);
    ask.wait = dice_chance(&live->dice, 300);
    message_t message = MESSAGE(ASK, ask, &ask, 0, 0);
    viewer->asked_us = now;
    say(viewer, &message);
}

static void
view(viewer_t *viewer)
{
    live_t *live = viewer->live;
    int64_t now = agenda_now(live->agenda);
    if (viewer->asks) {
        ask_some(viewer);
        return;
    }
    bool lost = viewer->at < 0 ||
                live->node[viewer->at].life != viewer->at_life ||
                !live->node[viewer->at].relay ||
                now - viewer->heard_us > 2000000;
    if (lost && now - viewer->moved_us > 300000)
        open_at(viewer, some_node(live));
    else if (!lost && viewer->begun && now - viewer->said_us >= 500000) {
        grow_credit(viewer);
        renew(viewer);
    }
}

static void
on_viewer(void *arg, bool happens)
{
    viewer_t *viewer = arg;
    live_t *live = viewer->live;
    if (!happens)
        return;
    story_time(agenda_now(live->agenda));
    if (viewer->stopped || viewer->done)
        return;
    view(viewer);
    agenda_add(live->agenda, TICK_US, on_viewer, viewer);
}

static void
stop(viewer_t *viewer)
{
    live_t *live = viewer->live;
    if (viewer->stopped)
        return;
    viewer->stopped = true;
    if (viewer->at < 0 || viewer->asks || dice_chance(&live->dice, 300)) {
        story_count("viewer vanished", 1);
        return;
    }
    story_count("viewer stopped", 1);
    Rill__V1__Stop body = RILL__V1__STOP__INIT;
    message_t message = MESSAGE(STOP, stop, &body, 0, 0);
    say(viewer, &message);
}

static void
on_stop(void *arg, bool happens)
{
    if (happens)
        stop(arg);
}

/*-------------------------------------------------------------------- weather */

typedef enum {
    FAULT_CRASH,
    FAULT_HANG,
    FAULT_WAN,
    FAULT_LAN,
    FAULT_MULTICAST,
    FAULT_PUBLISHED,
    FAULT_PARENT,
    FAULT_DISK,
    FAULTS,
} fault_kind_t;

typedef struct {
    live_t *live;
    fault_kind_t kind;
    int node, other;
    int64_t lasts_us;
    bool heals;
} fault_t;

static void begin_fault(fault_t *fault);

static void
heal(fault_t *fault)
{
    live_t *live = fault->live;
    live_node_t *node = &live->node[fault->node];
    switch (fault->kind) {
    case FAULT_CRASH:
    case FAULT_PARENT:
        if (!node->relay)
            live_start(node);
        break;
    case FAULT_HANG:
        live_hang(node, false);
        break;
    case FAULT_WAN:
    case FAULT_LAN:
        live->cut[fault->node][fault->other] = false;
        break;
    case FAULT_MULTICAST:
        live->multicast_lost = 0;
        break;
    case FAULT_DISK:
        break;  //  It stays so in this life
    default:
        live->published_lost = 0;
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
    story_time(agenda_now(fault->live->agenda));
    fault->live->fault_us = agenda_now(fault->live->agenda);
    if (fault->heals) {
        story_tell("heals fault %d of %s", fault->kind,
                   fault->live->node[fault->node].name);
        heal(fault);
        free(fault);
        return;
    }
    begin_fault(fault);
    fault->heals = true;
    agenda_add(fault->live->agenda, fault->lasts_us, on_fault, fault);
}

static void
begin_fault(fault_t *fault)
{
    static const char *const NAMES[] = {
        "cache killed",    "cache hung",      "WAN cut",
        "LAN cut",         "multicast lossy", "publishing lossy",
        "a parent killed", "a disk broken",
    };
    live_t *live = fault->live;
    live_node_t *node = &live->node[fault->node];
    story_tell("%s: %s (%d)", NAMES[fault->kind], node->name, fault->other);
    story_count(NAMES[fault->kind], 1);
    switch (fault->kind) {
    case FAULT_CRASH:
    case FAULT_PARENT:
        live_kill(node);
        break;
    case FAULT_HANG:
        live_hang(node, true);
        break;
    case FAULT_WAN:
    case FAULT_LAN:
        live->cut[fault->node][fault->other] = true;
        break;
    case FAULT_MULTICAST: {
        static const unsigned LOST[] = { 200, 500, 1000 };
        live->multicast_lost = LOST[dice_below(&live->dice, 3)];
        break;
    }
    case FAULT_DISK:
        node->lost = true;
        if (node->relay && !node->hung) {
            relay_on_disk_lost(node->relay, live_now(live));
            live_after(node);
        }
        break;
    default:
        live->published_lost = dice_chance(&live->dice, 500) ? 50 : 300;
        break;
    }
}

static void
plan_fault(live_t *live)
{
    static const int64_t LASTS[] = { 300000, 1000000, 3000000, 8000000 };
    fault_t *fault = calloc(1, sizeof *fault);
    INVARIANT(fault);
    fault->live = live;
    fault->kind = (fault_kind_t)dice_below(&live->dice, FAULTS);
    fault->node = 1 + (int)dice_below(&live->dice, (uint64_t)live->nodes - 1);
    const live_node_t *node = &live->node[fault->node];
    size_t parents = node->settings.parents_count;
    size_t siblings = node->settings.siblings_count;
    if (fault->kind == FAULT_LAN && !siblings)
        fault->kind = FAULT_WAN;
    if (fault->kind == FAULT_WAN)
        fault->other = node->link_node[dice_below(&live->dice, parents)];
    if (fault->kind == FAULT_LAN)
        fault->other =
            node->link_node[parents + dice_below(&live->dice, siblings)];
    if (fault->kind == FAULT_PARENT)
        fault->node = node->link_node[0];
    int64_t at = dice_between(&live->dice, 200000, CALM_US - 1000000);
    fault->lasts_us = LASTS[dice_below(&live->dice, 4)];
    if (at + fault->lasts_us > CALM_US)
        fault->lasts_us = CALM_US - at;
    agenda_add(live->agenda, at, on_fault, fault);
}

/*----------------------------------------------------------------------- a play */

static void
add_node(live_t *live, int group, unsigned tier)
{
    int number = live->nodes++;
    live_node_t *node = &live->node[number];
    node->live = live;
    node->number = number;
    node->group = group;
    snprintf(node->name, sizeof node->name, group < 0 ? "root" : "c%d-%d",
             group, number);
    snprintf(node->group_name, sizeof node->group_name,
             group < 0 ? "" : "group%d", group);
    node->settings = (relay_settings_t){
        .node = node->name,
        .group = node->group_name,
        .tier = tier,
        .window_bytes = LIVE_WINDOW,
        .patience = 1,
        .publish_at = node->publish_at,
    };
}

//  The same parents for all of a group, and its own siblings for each.
static void
join(live_t *live, int group, const int *parents, size_t parents_count)
{
    static const millis_t WINDOWS[] = { 3000, 10000, 7200000 };
    millis_t window = WINDOWS[dice_below(&live->dice, 3)];
    static const size_t DISKS[] = { 0, 4 * 1024 * 1024, 64 * 1024 * 1024 };
    size_t disk = DISKS[dice_below(&live->dice, 3)];
    for (int i = 0; i < live->nodes; i++) {
        live_node_t *node = &live->node[i];
        if (node->group != group)
            continue;
        size_t links = 0;
        for (size_t p = 0; p < parents_count; p++)
            node->link_node[links++] = parents[p];
        for (int j = 0; j < live->nodes; j++)
            if (j != i && live->node[j].group == group)
                node->link_node[links++] = j;
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

static void
build(live_t *live)
{
    dice_t *dice = &live->dice;
    add_node(live, -1, 0);
    int first = (int)dice_between(dice, 1, 4);
    for (int i = 0; i < first; i++)
        add_node(live, 0, 1);
    live->groups = 1 + (int)dice_below(dice, 3);
    for (int group = 1; group < live->groups; group++) {
        int size = (int)dice_between(dice, 1, 5);
        for (int i = 0; i < size; i++)
            add_node(live, group, 2);
    }
    const int root = 0;
    join(live, 0, &root, 1);
    for (int group = 1; group < live->groups; group++) {
        int parents[LIVE_NODES];
        size_t count = 0;
        int from = (int)dice_below(dice, (uint64_t)first);
        for (int i = 0; i < first && i < 3; i++)
            parents[count++] = 1 + (from + i) % first;
        parents[count++] = root;
        join(live, group, parents, count);
    }
}

static void
add_viewers(live_t *live)
{
    dice_t *dice = &live->dice;
    live->viewers = (int)dice_between(dice, 4, 40);
    for (int i = 0; i < live->viewers; i++) {
        static const session_start_t STARTS[] = {
            START_LIVE,   START_LIVE, START_LIVE, START_FIRST,
            START_OFFSET, START_BACK, START_TIME,
        };
        viewer_t *viewer = &live->viewer[i];
        *viewer = (viewer_t){ .live = live, .number = i, .at = -1 };
        viewer->start = STARTS[dice_below(dice, 7)];
        viewer->asks = dice_chance(dice, 100);
        viewer->moved_us = -1000000;
        int64_t joins = dice_chance(dice, 300)
                            ? dice_between(dice, 300000, 310000)
                            : dice_between(dice, 100000, 24000000);
        agenda_add(live->agenda, joins, on_viewer, viewer);
        if (dice_chance(dice, 300))
            agenda_add(live->agenda, joins + dice_between(dice, 0, 10000000),
                       on_stop, viewer);
    }
}

static void
turn_until(live_t *live, int64_t until_us)
{
    while (agenda_now(live->agenda) < until_us) {
        int64_t next = agenda_now(live->agenda) + TICK_US;
        while (agenda_turn(live->agenda, next))
            ;
        story_time(agenda_now(live->agenda));
        check_sample(live);
    }
}

void
live_run(uint64_t seed)
{
    live_t *live = calloc(1, sizeof *live);
    INVARIANT(live);
    live->seed = seed;
    live->dice.state = dice_mix(seed + 0x11fe);
    live->agenda = agenda_new();
    build(live);
    live->deaf = dice_chance(&live->dice, 150);
    live->rain = dice_chance(&live->dice, 150) ? 50 : 0;
    for (int i = 0; i < live->nodes; i++)
        live_start(&live->node[i]);
    agenda_add(live->agenda, 50000, on_source, live);
    add_viewers(live);
    uint64_t faults = dice_below(&live->dice, 9);
    for (uint64_t i = 0; i < faults; i++)
        plan_fault(live);
    turn_until(live, CALM_US);
    live->calm = true;
    turn_until(live, SEAL_US);
    check_calm(live);
    turn_until(live, WHOLE_US);
    check_end(live);
    for (int i = 0; i < live->viewers; i++)
        stop(&live->viewer[i]);
    live->quiet_from = QUIET_US;
    turn_until(live, END_US);
    check_end(live);
    story_tell("two copies at most %lld ms", (long long)live->two_most / 1000);
    for (int i = 0; i < live->nodes; i++)
        if (live->node[i].relay)
            live_kill(&live->node[i]);
    agenda_destroy(&live->agenda);
    free(live->subs);
    free(live->asked);
    free(live);
}
