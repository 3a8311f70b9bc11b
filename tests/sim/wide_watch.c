/*  The viewers of a wide tree.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "content.h"
#include "invariant.h"
#include "sessions.h"
#include "wide.h"

static void on_join(void *arg, bool happens);

static void
count_ms(uint64_t *of, int64_t us)
{
    int64_t ms = us / 1000;
    of[ms < WIDE_LATEST_MS ? ms : WIDE_LATEST_MS - 1]++;
}

static void
say(int number, message_t *message, wide_spent_t kind)
{
    wide_session_t *session = &wide.session[number];
    wide_node_t *node = &wide.node[session->at];
    message->request = session->request;
    peer_t peer = wide_peer((wide_who_t){ .child = -1, .session = number });
    wide.times[kind]++;
    wide_turn_to(kind);
    relay_on_front(node->relay, &peer, message, wide_now());
    wide_turn_to(SPENT_OWN);
}

//  Its node is gone, or has none for it: another.
void
wide_go_elsewhere(int number)
{
    wide_session_t *session = &wide.session[number];
    session->moved = true;
    session->open = false;
    session->request = 0;
    agenda_add(wide.agenda, dice_between(&wide.dice, 100000, 500000), on_join,
               (void *)(intptr_t)number);
}

typedef struct {
    int session;
    uint64_t request;
} opened_t;

//  It was not told that it may watch.
static void
on_unanswered(void *arg, bool happens)
{
    opened_t *opened = arg;
    wide_session_t *session = &wide.session[opened->session];
    if (happens && !session->open && session->request == opened->request &&
        !wide.stopped) {
        Rill__V1__Stop body = RILL__V1__STOP__INIT;
        message_t message = MESSAGE(STOP, stop, &body, 0, 0);
        wide.unanswered++;
        if (wide.node[session->at].relay)
            say(opened->session, &message, SPENT_RENEW);
        session->at = 1 + (int)dice_below(&wide.dice, (uint64_t)wide.nodes - 1);
        wide_go_elsewhere(opened->session);
    }
    free(opened);
}

static void
on_join(void *arg, bool happens)
{
    int number = (int)(intptr_t)arg;
    wide_session_t *session = &wide.session[number];
    if (!happens || wide.stopped)
        return;
    while (!wide.node[session->at].relay)
        session->at = 1 + (int)dice_below(&wide.dice, (uint64_t)wide.nodes - 1);
    session->request = dice_next(&wide.dice);
    session->opened_us = agenda_now(wide.agenda);
    Rill__V1__Watch watch = RILL__V1__WATCH__INIT;
    watch.which_case = RILL__V1__WATCH__WHICH_NAME;
    watch.name = message_lend(wide.name[session->stream]);
    watch.credit = SESSIONS_CREDIT;
    if (session->begun) {
        watch.from_case = RILL__V1__WATCH__FROM_OFFSET;
        watch.offset = session->next;
    } else {
        watch.from_case = RILL__V1__WATCH__FROM_LIVE;
        watch.live = true;
    }
    message_t message = MESSAGE(WATCH, watch, &watch, 0, 0);
    opened_t *opened = malloc(sizeof *opened);
    INVARIANT(opened);
    *opened = (opened_t){ number, session->request };
    agenda_add(wide.agenda, WIDE_ANSWER_US, on_unanswered, opened);
    say(number, &message, SPENT_JOIN);
    wide_after(&wide.node[session->at]);
}

static void
flowed(wide_session_t *session, const Rill__V1__Flow *flow, buffer_t *payload)
{
    uint64_t offset = flow->chunk->offset;
    int number = (int)(session - wide.session);
    if (flow->from != session->next || offset > flow->from ||
        offset + WIDE_CHUNK <= flow->from)
        wide_breach(
            12, "session %d at %" PRIu64 " is sent %" PRIu64 " from %" PRIu64,
            number, session->next, offset, flow->from);
    if (!content_is((uint64_t)session->stream + 1, offset,
                    buffer_bytes(payload), buffer_size(payload)))
        wide_breach(13, "session %d is sent wrong bytes", number);
    session->next = offset + WIDE_CHUNK;
    int64_t now = agenda_now(wide.agenda);
    int64_t cut = wide.cut_us[session->stream][offset / WIDE_CHUNK];
    int64_t late = now - (cut > session->opened_us ? cut : session->opened_us);
    if (wide_between(WIDE_CALM_US, WIDE_LOST_US))
        count_ms(wide.late_of, late);
    if (late > WIDE_LATE_MS * 1000 && !session->moved) {
        if (now < WIDE_BACK_US)
            wide.again_us = now;
        else
            wide.home_us = now;
    }
    if (session->lost && session->open)
        count_ms(wide.moved_of, now - WIDE_LOST_US);
    session->lost = session->lost && !session->open;
}

void
wide_heard(wide_session_t *session, const message_t *message, buffer_t *payload)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_WATCHED:
        if (session->begun && session->next != message->watched->from)
            wide_breach(12, "a session goes on elsewhere");
        session->next = message->watched->from;
        session->begun = session->open = true;
        if (!session->moved)
            count_ms(wide.watched_of,
                     agenda_now(wide.agenda) - session->opened_us);
        break;
    case RILL__V1__MESSAGE__BODY_FLOW:
        flowed(session, message->flow, payload);
        break;
    case RILL__V1__MESSAGE__BODY_SKIP:
        wide_breach(12, "a hole that the origin does not have");
        break;
    case RILL__V1__MESSAGE__BODY_OVER:
    case RILL__V1__MESSAGE__BODY_REFUSED:
        wide.refused++;
        wide_go_elsewhere((int)(session - wide.session));
        break;
    default:
        break;
    }
}

//  All viewers that began at a cache say that they are there.
static void
on_renew(void *arg, bool happens)
{
    const wide_node_t *node = arg;
    if (!happens || wide.stopped)
        return;
    Rill__V1__WatchKeep keep = RILL__V1__WATCH_KEEP__INIT;
    keep.credit = UINT64_MAX;
    for (int i = node->sessions; i < node->sessions_end; i++) {
        message_t message = MESSAGE(WATCH_KEEP, watch_keep, &keep, 0, 0);
        if (wide.session[i].open && wide.node[wide.session[i].at].relay)
            say(i, &message, SPENT_RENEW);
    }
    agenda_add(wide.agenda, WIDE_RENEW_US, on_renew, arg);
}

void
wide_stop(void)
{
    wide.stopped = true;
    for (int i = 0; i < wide.sessions; i++) {
        Rill__V1__Stop body = RILL__V1__STOP__INIT;
        message_t message = MESSAGE(STOP, stop, &body, 0, 0);
        if (wide.node[wide.session[i].at].relay)
            say(i, &message, SPENT_RENEW);
    }
    for (int i = 0; i < wide.nodes; i++)
        wide_after(&wide.node[i]);
}

/*---------------------------------------------------------------------- coming */

//  By Zipf's law: the n-th stream has an n-th of the first one's viewers.
static int
some_stream(void)
{
    double all = 0, upto = 0;
    for (int i = 1; i <= WIDE_STREAMS; i++)
        all += 1.0 / i;
    double at = (double)dice_below(&wide.dice, 1 << 30) / (1 << 30) * all;
    for (int i = 1; i < WIDE_STREAMS; i++)
        if ((upto += 1.0 / i) > at)
            return i - 1;
    return WIDE_STREAMS - 1;
}

static void
add_session(wide_node_t *node, int stream)
{
    int64_t joins_us = WIDE_JOINED_US;
    for (int i = 0; i < WIDE_VIEWERS / WIDE_WATCHED; i++) {
        int64_t one = dice_between(&wide.dice, WIDE_JOINS_US, WIDE_JOINED_US);
        joins_us = one < joins_us ? one : joins_us;
    }
    int number = wide.sessions++;
    wide.session[number] = (wide_session_t){ .at = node->number,
                                             .stream = stream };
    agenda_add(wide.agenda, joins_us, on_join, (void *)(intptr_t)number);
}

void
wide_add_viewers(wide_node_t *node)
{
    bool watched[WIDE_STREAMS] = { 0 };
    node->sessions = wide.sessions;
    for (int i = 0; i < WIDE_WATCHED;) {
        int stream = some_stream();
        if (watched[stream])
            continue;
        watched[stream] = true;
        add_session(node, stream);
        i++;
    }
    node->sessions_end = wide.sessions;
    agenda_add(wide.agenda, dice_between(&wide.dice, 1, WIDE_RENEW_US),
               on_renew, node);
}
