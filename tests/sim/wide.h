/*  wide - thousands of relays under one clock
 *
 *  The production relays of an origin and up to 10,000 caches in four tiers,
 *  groups of ten siblings (of two in the smallest tree) with multicast; 100 live
 *  streams of a chunk a second; 100 viewers at each cache, of ten streams that
 *  are drawn by Zipf's law, who come within ten seconds. Viewers of one stream
 *  at one cache have one cursor and are one session. Then a whole group of the
 *  first tier is killed and its viewers go elsewhere, after five seconds it is
 *  back, after 30 all viewers leave.
 *
 *  live.h plays faults of all kinds in trees of a handful; this plays one story
 *  in a large one, so there is nothing in it that looks at all nodes for one.
 *
 *  wide_tree.c    the shape of the tree
 *  wide_net.c     nodes, what they say, their lives
 *  wide_origin.c  the root's streams
 *  wide_watch.c   viewers
 *  wide_check.c   house invariants 12 to 14, 16, 17, 19; processor time
 */
#ifndef WIDE_H
#define WIDE_H

#include <time.h>

#include "agenda.h"
#include "dice.h"
#include "relay.h"

enum {
    WIDE_TIERS = 4,
    WIDE_STREAMS = 100,
    WIDE_VIEWERS = 100,  //  At a cache,
    WIDE_WATCHED = 10,   //  of so many of the streams
    WIDE_CHUNK = 100,  //  Bytes: that a chunk is large costs the same anywhere
    WIDE_CHUNKS = 64,
    WIDE_LINKS = 4 + 9,  //  Parents, siblings
    WIDE_WINDOW = 128 * 1024,
    WIDE_LATE_MS = 1000,  //  Of a chunk, from the origin to a viewer
    WIDE_LATEST_MS = 8000,
    WIDE_KILLED = 0,  //  The group that is lost
};

#define WIDE_SECOND INT64_C(1000000)
#define WIDE_JOINS_US (1 * WIDE_SECOND)
#define WIDE_JOINED_US (11 * WIDE_SECOND)
#define WIDE_CALM_US (14 * WIDE_SECOND)  //  The storm is settled
#define WIDE_LOST_US (16 * WIDE_SECOND)
#define WIDE_BACK_US (21 * WIDE_SECOND)
#define WIDE_HOME_US (26 * WIDE_SECOND)  //  All is as it was
#define WIDE_STOP_US (30 * WIDE_SECOND)
#define WIDE_QUIET_US (WIDE_STOP_US + 12 * WIDE_SECOND)
#define WIDE_END_US (WIDE_QUIET_US + 2 * WIDE_SECOND)
#define WIDE_ANSWER_US 1500000  //  As the clients wait
#define WIDE_RENEW_US (4 * WIDE_SECOND)
#define WIDE_BEGAN_US INT64_C(1700000000000000)

typedef struct {
    uint64_t topic;
    int child, link;
    unsigned child_life;
} wide_sub_t;

typedef struct {
    wide_sub_t *list;
    size_t count, room;
} wide_subs_t;

//  To one other node: what goes one way over one socket stays in order.
typedef struct {
    int node;
    unsigned connection;
    int64_t up_us, down_us, published_us;
} wide_way_t;

typedef struct {
    int number, group;
    unsigned life;
    char name[16], publish_at[40];
    const char *links[WIDE_LINKS];
    wide_way_t way[WIDE_LINKS];
    relay_settings_t settings;
    relay_t *relay;  //  NULL: it is dead
    wide_subs_t subs[WIDE_STREAMS];
    int64_t wake_us;
    int sessions, sessions_end;  //  Of its viewers
} wide_node_t;

typedef struct {
    unsigned tier;
    int first, size, above;
    char name[16];
} wide_group_t;

//  The viewers of one stream at one cache.
typedef struct {
    int at, stream;
    uint64_t request, next;
    int64_t opened_us;  //  When it asked to watch
    bool begun, open, moved;
    bool lost;  //  With its cache, and is not served again
} wide_session_t;

//  A peer of a relay: a child over one connection, or viewers.
typedef struct {
    int child, link, session;
    unsigned life, connection;
} wide_who_t;

//  Where processor time goes.
typedef enum {
    SPENT_OWN,
    SPENT_JOIN,
    SPENT_CHUNKED,
    SPENT_KEEP,
    SPENT_PACKETS,
    SPENT_RENEW,
    SPENT_TICK,
    SPENT_KINDS
} wide_spent_t;

typedef struct {
    agenda_t *agenda;
    dice_t dice;
    wide_node_t *node;
    wide_group_t *group;
    wide_session_t *session;
    int nodes, groups, firsts, sessions;
    char name[WIDE_STREAMS][16];
    uint64_t head[WIDE_STREAMS];
    int64_t cut_us[WIDE_STREAMS][WIDE_CHUNKS];
    uint8_t *copies;    //  By stream, chunk and group
    uint8_t *answered;  //  The same, of those that were asked for
    bool stopped;
    wide_spent_t at;
    int64_t begun_ns, mark_ns, spent_ns[SPENT_KINDS], origin_ns;
    uint64_t times[SPENT_KINDS], origin_keeps, origin_copies, wanted, messages;
    uint64_t late_of[WIDE_LATEST_MS], watched_of[WIDE_LATEST_MS];
    uint64_t moved_of[WIDE_LATEST_MS];  //  Until viewers of lost caches go on
    //  When others were served late last: in the loss, and behind it
    int64_t again_us, home_us;
    uint64_t refused, unanswered, events, wants, origin_wants;
} wide_t;

extern wide_t wide;

//  wide_tree.c: false, there is none of so many caches.
bool wide_build(int caches);

//  wide_net.c
void wide_start(wide_node_t *node);
void wide_lose(wide_node_t *node);
//  A node did something: it wakes when more is due.
void wide_after(wide_node_t *node);
peer_t wide_peer(wide_who_t who);
//  An effect of a node: to a child, or to viewers.
status_t wide_send(void *with, const peer_t *peer, const message_t *message,
                   buffer_t *payload);

//  wide_origin.c. Effects of the root; what of it is no relay's.
void wide_add_streams(void);
status_t wide_look(void *with, const char *name, uint64_t id,
                   relay_facts_t *facts_r);
void wide_fetch(void *with, uint64_t stream, uint64_t offset, millis_t now);
void wide_locate(void *with, uint64_t stream, micros_t time_us,
                 uint64_t request, millis_t now);
bool wide_root_front(const peer_t *peer, const message_t *message);

//  wide_watch.c
void wide_add_viewers(wide_node_t *node);
void wide_heard(wide_session_t *session, const message_t *message,
                buffer_t *payload);
void wide_go_elsewhere(int session);
void wide_stop(void);

//  wide_check.c. From here on time is that of another: who it was.
wide_spent_t wide_turn_to(wide_spent_t kind);
int64_t wide_clock_ns(clockid_t of);
millis_t wide_now(void);
micros_t wide_origin_us(void);
bool wide_between(int64_t from_us, int64_t to_us);
uint8_t *wide_copies(uint8_t *table, int stream, uint64_t chunk, int group);
_Noreturn void wide_breach(int invariant, const char *format, ...);
void wide_check_sources(void);
//  How many sessions lack what was cut half a second ago, those of lost caches
//  aside; and the first one is a breach.
int wide_behind(void);
void wide_check_served(void);
//  Returns the longest row of chunks that entered a group twice.
int wide_check_copies(int64_t from_us, int64_t to_us, int most);

#endif
