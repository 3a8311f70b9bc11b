#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "invariant.h"
#include "live.h"
#include "story.h"

enum {
    TICK_US = 100000,
    CREDIT = 2000,
    SEAL_US = 30 * 1000000,
    WHOLE_US = 40 * 1000000,  //  Everybody has it whole; later further down,
    TIER_US = 5 * 1000000,    //  where chunk after chunk comes a longer way
    QUIET_US = 12 * 1000000,
    END_US = 4 * 1000000,
};

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

static live_stream_t *
stream_of(const viewer_t *viewer)
{
    return &viewer->live->stream[viewer->stream];
}

static void
say(viewer_t *viewer, message_t *message)
{
    message->request = viewer->request;
    live_say(viewer->live, viewer->number, viewer->at, message);
}

//  Of what there is, so that nothing comes that was created before it.
static micros_t
some_time(live_t *live, const live_stream_t *stream)
{
    if (!stream->chunks)
        return 0;
    int64_t from = stream->created_us[0] - 100000;
    int64_t to = stream->created_us[stream->chunks - 1] - 1;
    return dice_between(&live->dice, from, to);
}

static void
open_at(viewer_t *viewer, int node)
{
    live_t *live = viewer->live;
    const live_stream_t *stream = stream_of(viewer);
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
    watch.name = message_lend(stream->name);
    watch.credit = viewer->credit;
    if (viewer->begun) {
        watch.from_case = RILL__V1__WATCH__FROM_OFFSET;
        watch.offset = viewer->next;
    } else if (viewer->start == START_FIRST) {
        watch.from_case = RILL__V1__WATCH__FROM_START;
        watch.start = true;
    } else if (viewer->start == START_OFFSET) {
        watch.from_case = RILL__V1__WATCH__FROM_OFFSET;
        watch.offset = dice_below(&live->dice, live_head(stream) + 1);
    } else if (viewer->start == START_BACK) {
        watch.from_case = RILL__V1__WATCH__FROM_BACK_MS;
        watch.back_ms = dice_below(&live->dice, 10000);
    } else if (viewer->start == START_TIME) {
        viewer->time_us = some_time(live, stream);
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
    live_t *live = viewer->live;
    int64_t now = agenda_now(live->agenda);
    if (viewer->starves_us > now)
        return;
    if (viewer->starves_us && viewer->got >= viewer->credit)
        story_count("credit exhausted for seconds", 1);
    viewer->starves_us = 0;
    if (now < LIVE_CALM_US && dice_chance(&live->dice, 3)) {
        viewer->starves_us = now + dice_between(&live->dice, 1000000, 6000000);
        return;
    }
    //  In the end nobody is held up by what it grants by the clock.
    uint64_t credit = viewer->got + (live->calm ? 10 * CREDIT : CREDIT);
    if (viewer->credit < credit)
        viewer->credit = credit;
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
    const live_stream_t *stream = stream_of(viewer);
    if (viewer->time_us >= stream->twice_from &&
        viewer->time_us <= stream->twice_to)
        return;
    size_t chunk = live_chunk_at(stream, viewer->time_us);
    uint64_t right = chunk == SIZE_MAX ? 0 : stream->chunk_at[chunk];
    if (from != right)
        story_breach(12,
                     "viewer %d begins at %" PRIu64 ", its time at %" PRIu64,
                     viewer->number, from, right);
    story_count("began at a time", 1);
}

static void
answered(viewer_t *viewer, const message_t *message, buffer_t *payload)
{
    static const char *const FROM[] = {
        [RILL__V1__ROUTE__ROUTE_LOCAL] = "ask answered from the window",
        [RILL__V1__ROUTE__ROUTE_SIBLING] = "ask answered by a sibling",
        [RILL__V1__ROUTE__ROUTE_PARENT] = "ask answered by a parent",
        [RILL__V1__ROUTE__ROUTE_UP] = "ask answered from above the window",
        [RILL__V1__ROUTE__ROUTE_STORE] = "ask answered by the origin",
    };
    viewer->asked_us = 0;
    if (message->body_case != RILL__V1__MESSAGE__BODY_ANSWER) {
        story_count("ask refused", 1);
        return;
    }
    check_answer(viewer, message->answer, payload);
    story_count(FROM[message->answer->route], 1);
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
        answered(viewer, message, payload);
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
        //  Some grant more as soon as half is used, others by the clock.
        if (viewer->number % 3 && viewer->credit < viewer->got + CREDIT / 2) {
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
            if (!stream_of(viewer)->sealed ||
                viewer->next != live_head(stream_of(viewer)))
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
        viewer->asked_us > LIVE_CALM_US + 1000000)
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
    const live_stream_t *stream = stream_of(viewer);
    Rill__V1__Ask ask = RILL__V1__ASK__INIT;
    ask.stream = stream->id;
    ask.at_case = RILL__V1__ASK__AT_OFFSET;
    ask.offset = viewer->asked = dice_below(&live->dice,
                                            live_head(stream) + 300);
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

/*----------------------------------------------------------------------- a play */

static void
add_viewers(live_t *live)
{
    dice_t *dice = &live->dice;
    live->viewers = (int)dice_between(dice, 4, 40);
    if (live->viewers < live->nodes / 2)
        live->viewers = live->nodes / 2;
    live->viewer = calloc((size_t)live->viewers, sizeof *live->viewer);
    INVARIANT(live->viewer);
    for (int i = 0; i < live->viewers; i++) {
        static const session_start_t STARTS[] = {
            START_LIVE,   START_LIVE, START_LIVE, START_FIRST,
            START_OFFSET, START_BACK, START_TIME,
        };
        viewer_t *viewer = &live->viewer[i];
        *viewer = (viewer_t){ .live = live, .number = i, .at = -1 };
        viewer->start = STARTS[dice_below(dice, 7)];
        viewer->stream = (int)dice_below(dice, (uint64_t)live->streams);
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
    live_build(live);
    live->deaf = dice_chance(&live->dice, 150);
    live->rain = dice_chance(&live->dice, 150) ? 50 : 0;
    for (int i = 0; i < live->nodes; i++)
        live_start(&live->node[i]);
    live_origin_new(live, SEAL_US);
    add_viewers(live);
    uint64_t faults = dice_below(&live->dice, 10 + (uint64_t)live->nodes / 10);
    for (uint64_t i = 0; i < faults; i++)
        live_plan_fault(live);
    turn_until(live, LIVE_CALM_US);
    live->calm = true;
    turn_until(live, SEAL_US);
    check_calm(live);
    int64_t whole_us = WHOLE_US + (int64_t)live->tiers * TIER_US;
    turn_until(live, whole_us);
    check_end(live);
    for (int i = 0; i < live->viewers; i++)
        stop(&live->viewer[i]);
    live->quiet_from = whole_us + QUIET_US;
    turn_until(live, live->quiet_from + END_US);
    check_end(live);
    story_tell("two copies at most %lld ms", (long long)live->two_most / 1000);
    for (int i = 0; i < live->nodes; i++)
        if (live->node[i].relay)
            live_kill(&live->node[i]);
    agenda_destroy(&live->agenda);
    live_clear(live);
    free(live->viewer);
    free(live->asked);
    free(live);
}
