//  Links to a node that is a ROUTER of this test. Time is an argument where a
//  rule looks at it; for what the sockets do it is waited for, at most 10 s.
#include "links.h"

#include "proof.h"
#include "sockets.h"

static zloop_t *loop;
static links_t *links;
static char reach[ENDPOINT_BYTES];
static int lost;
static millis_t until;
static received_t heard;
static zsock_t *node;
static peer_t peer;  //  Who said what was heard last

static void
said(void *with, int link, const received_t *received, millis_t now)
{
    (void)with, (void)link, (void)received, (void)now;
}

static void
was_lost(void *with, int link, millis_t now)
{
    (void)with, (void)now;
    lost += link == 0;
}

static int
after(void *with, millis_t now)
{
    (void)with, (void)now;
    return lost ? -1 : 0;
}

static const links_events_t EVENTS = { said, said, was_lost, after };

//  Look at the node now and then: end when it heard something, or never does.
static int
on_tick(zloop_t *of, int timer, void *arg)
{
    (void)of, (void)timer, (void)arg;
    if (node && frames_receive(node, &heard) == STATUS_OK)
        return -1;
    return zclock_mono() > until ? -1 : 0;
}

static void
turn(void)
{
    until = zclock_mono() + 10000;
    int timer = zloop_timer(loop, 10, 0, on_tick, NULL);
    zloop_start(loop);
    zloop_timer_end(loop, timer);
}

static void
bind_node(void)
{
    char at[ENDPOINT_BYTES] = "tcp://127.0.0.1:*";
    if (*reach)
        snprintf(at, sizeof at, "tcp://%.60s", reach);
    until = zclock_mono() + 10000;
    //  The port of one that was closed is free soon after.
    while (sockets_open(SOCKET_FRONT, at, &node) != STATUS_OK)
        CHECK(zclock_mono() < until);
    sockets_bound(node, at);
    snprintf(reach, sizeof reach, "%s", at + 6);
}

static void
tell(uint64_t seq, millis_t now)
{
    Rill__V1__Keep keep = RILL__V1__KEEP__INIT;
    keep.seq = seq;
    message_t message = MESSAGE(KEEP, keep, &keep, 0, 0);
    CHECK(links_tell(links, 0, &message, now) == STATUS_OK);
}

static uint64_t
hear(void)
{
    memset(&heard, 0, sizeof heard);
    turn();
    CHECK(heard.message);
    uint64_t seq = heard.message->keep->seq;
    peer = heard.peer;
    frames_release(&heard);
    return seq;
}

static void
what_is_lost_is_made_anew(void)
{
    loop = zloop_new();
    links = links_new(loop, &EVENTS, NULL);
    bind_node();
    CHECK(links_add(links, "p", reach));
    tell(1, 1000);
    CHECK(hear() == 1);
    sockets_drop(&node);
    turn();
    CHECK(lost == 1);
    lost = 0;
    bind_node();
    tell(2, 2000);
    CHECK(hear() == 2);
}

static void
nothing_old_is_heard(void)
{
    sockets_drop(&node);
    turn();
    CHECK(lost == 1);
    lost = 0;
    tell(3, 10000);  //  To nobody
    tell(4, 12000);
    tell(5, 14000);
    bind_node();
    //  A connection that was given up may end a moment later and still say its
    //  own; the one that is used says what is new, and that alone.
    peer_t others[2];
    size_t count = 0;
    while (hear() != 5) {
        CHECK(count < 2);
        others[count++] = peer;
    }
    while (count > 0)
        CHECK(!peer_equal(&others[--count], &peer));
    links_destroy(&links);
    zloop_destroy(&loop);
    sockets_drop(&node);
}

int
main(void)
{
    CHECK(sockets_begin(64) == STATUS_OK);
    CASE(what_is_lost_is_made_anew,
         "links 1: a connection that is lost is closed and told; the next word "
         "makes another");
    CASE(
        nothing_old_is_heard,
        "links 2: a node that comes back hears nothing old from the connection "
        "that is used");
    return proof_end();
}
