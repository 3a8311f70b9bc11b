/*  live - the second stage: trees of relays with viewers under one clock
 *
 *  A root with live streams, groups of caches in one to four tiers around
 *  production relays, a LAN with multicast in each group, WAN links between
 *  tiers, and viewers that watch, stop, die and go on elsewhere. Most trees have
 *  a handful of caches, one in a thousand has hundreds. Faults from a seed until
 *  calm; then the stream ends, everybody must have it whole, all stop, and
 *  nothing may be in the air any more. live.md is what is held to.
 *
 *  live_tree.c   the shape of the tree
 *  live_node.c   nodes: their relays' effects, time, lives
 *  live_disk.c   a cache's disk
 *  live_net.c    what is in the air
 *  live_origin.c the root's streams, beside its relay
 *  live_faults.c the weather
 *  live_check.c  house invariants 12 to 19, seen from outside
 *  live_play.c   the cast: viewers, askers, and a whole play
 */
#ifndef LIVE_H
#define LIVE_H

#include "agenda.h"
#include "dice.h"
#include "relay.h"
#include "sessions.h"

#define LIVE_LINKS 40  //  Of one node
#define LIVE_CHUNKS 2000
#define LIVE_STREAMS 2
#define LIVE_WINDOW (1024 * 1024)
#define LIVE_KEPT 1024  //  Chunks on a cache's disk

typedef struct live live_t;
typedef struct live_node live_node_t;
typedef struct live_letter live_letter_t;

typedef enum {
    LETTER_FRONT,
    LETTER_LINK,
    LETTER_PUBLISHED,
    LETTER_PACKET,
} letter_kind_t;

//  What is between two nodes, one way.
typedef struct {
    bool cut, slow;
    unsigned connection;  //  To whom this one connected, the how manieth
    //  When it brings what was said, and published, last
    int64_t said_us, published_us;
    int64_t kept_us[LIVE_STREAMS];  //  A child's last keep
} live_way_t;

typedef struct {
    int from;  //  Who subscribed, in these lives of both
    unsigned from_life, to_life;
    uint64_t stream, topic;
} live_sub_t;

struct live_letter {
    live_t *live;
    letter_kind_t kind;
    int from, to;
    unsigned from_life, to_life, connection;
    uint64_t stream, topic;
    packet_t packet;
    buffer_t *head, *payload;
    live_letter_t *next;
};

struct live_node {
    live_t *live;
    int number;
    char name[16], group_name[16], publish_at[40];
    int group;  //  -1: the root
    relay_settings_t settings;
    const char *links[LIVE_LINKS];  //  Parents, then siblings
    int link_node[LIVE_LINKS];
    live_way_t to[LIVE_LINKS], from[LIVE_LINKS];  //  The other end
    live_sub_t *subs;                             //  Of who subscribed here
    size_t subs_count, subs_room;
    relay_t *relay;  //  NULL: it does not run
    bool hung;
    bool lost;  //  Its disk takes nothing any more
    buffer_t *kept[LIVE_KEPT];
    unsigned life;
    int64_t wake_us, died_us;
    micros_t told_us, knew_us;  //  The origin's clock, in its answers
    int64_t told_at;
    live_letter_t *first, *last;  //  What came while it hung
};

//  One who watches, or asks.
typedef struct {
    live_t *live;
    int number;
    int stream;  //  By place
    int at;      //  A node; -1: nowhere
    unsigned at_life, life;
    uint64_t request;
    session_start_t start;
    micros_t time_us;  //  Where it begins then
    bool asks;         //  It is a plain asker
    bool begun, stopped, done;
    uint64_t first, next;  //  Bytes it has: [first, next)
    uint64_t got, credit;
    int64_t said_us, heard_us, moved_us;
    int64_t to_us, from_us;  //  When what was said last, to and by it, comes
    int64_t starves_us;      //  Until then it grants no credit
    int64_t asked_us;        //  An asker's question, 0: none open
    uint64_t asked;
} viewer_t;

//  Of a chunk in a group, and to whom the last one came.
typedef struct {
    int count, last;
} copies_t;

//  One stream, as its origin knows it.
typedef struct {
    uint64_t id;
    char name[16];
    uint64_t chunk_at[LIVE_CHUNKS];  //  Where each begins
    uint32_t chunk_bytes[LIVE_CHUNKS];
    int64_t chunk_us[LIVE_CHUNKS];     //  When it was cut
    micros_t created_us[LIVE_CHUNKS];  //  By the origin's clock
    size_t chunks;
    int64_t every_us;     //  Between two of them
    uint32_t even_bytes;  //  All have that many; 0: each has its own
    bool sealed;
    //  The highest head there ever was: an origin that begins anew lost what was
    //  not stored, and cuts the same bytes again, otherwise. What was created
    //  between is at two places.
    uint64_t said;
    micros_t twice_from, twice_to;
    copies_t *copies;    //  By chunk and group
    int64_t *two_since;  //  By group
    //  By node: when it last did not follow, and was not away from home
    int64_t *idle_us, *away_us;
} live_stream_t;

struct live {
    uint64_t seed;
    agenda_t *agenda;
    dice_t dice;
    unsigned tiers;
    int nodes, groups;  //  A group's nodes are in a row, the root is the first
    live_node_t *node;
    //  Permille
    unsigned multicast_lost, multicast_late, multicast_twice, published_lost;
    bool deaf;      //  No packet ever comes
    unsigned rain;  //  Published chunks are lost to the end, permille
    bool calm;
    int64_t clock_us;     //  How far the origin's clock was stepped
    int64_t recovers_us;  //  Until then it knows its streams, no more
    int streams;
    live_stream_t stream[LIVE_STREAMS];
    int viewers;
    viewer_t *viewer;  //  By number; in the air a viewer is nodes + number
    //  Seen by the checker
    int64_t two_most;
    int64_t quiet_from;  //  Nothing may be said from then on; 0: not yet
    int64_t fault_us;    //  The last one
    struct live_asked *asked;
    size_t asked_count, asked_room;
};

#define LIVE_CALM_US (20 * 1000000)

//  live_tree.c: nodes, groups and links; and all that is as large as they are.
void live_build(live_t *live);
void live_clear(live_t *live);
int live_link(const live_node_t *node, int other);  //  -1: none
live_way_t *live_way(live_t *live, int from, int to);

//  live_node.c
void live_start(live_node_t *node);
void live_kill(live_node_t *node);
void live_hang(live_node_t *node, bool hangs);
void live_disconnect(live_t *live, int from, int to);
void live_after(live_node_t *node);
millis_t live_now(const live_t *live);

//  live_disk.c: effects of a relay; with is a node.
status_t live_keep(void *with, uint64_t number, const chunk_header_t *header,
                   buffer_t *payload);
status_t live_recall(void *with, uint64_t number);
status_t live_release(void *with, uint64_t first);
void live_disk_clear(live_node_t *node);

//  live_net.c. A viewer's number there is behind all nodes'.
live_letter_t *live_post(live_t *live, letter_kind_t kind, int from, int to,
                         const message_t *message, buffer_t *payload);
//  An effect of a node.
status_t live_send(void *with, const peer_t *peer, const message_t *message,
                   buffer_t *payload);
void live_say(live_t *live, int viewer, int node, const message_t *message);
//  What came while a node hung.
void live_open_backlog(live_node_t *node);
void live_drop_backlog(live_node_t *node);

//  live_origin.c. What a chunk is, byte by byte. SIZE_MAX: no chunk has it.
uint64_t live_head(const live_stream_t *stream);
size_t live_chunk_of(const live_stream_t *stream, uint64_t offset);
//  The last one created at or before a time.
size_t live_chunk_at(const live_stream_t *stream, micros_t time_us);
live_stream_t *live_stream(live_t *live, uint64_t id);
micros_t live_clock(const live_t *live);
void live_origin_new(live_t *live, int64_t seals_us);
//  It begins anew: what was not stored is not there.
void live_origin_back(live_t *live);
void live_root_fetch(live_node_t *node, uint64_t stream, uint64_t offset);
void live_root_locate(live_node_t *node, uint64_t stream, micros_t time_us,
                      uint64_t request);
status_t live_root_look(live_t *live, const char *name, uint64_t stream,
                        relay_facts_t *facts_r);
bool live_root_front(live_node_t *node, const peer_t *peer,
                     const message_t *message);

//  live_faults.c: something that goes wrong some time before calm.
void live_plan_fault(live_t *live);

//  live_check.c
void check_published(live_t *live, int from, uint64_t stream, int to,
                     const chunk_header_t *header);
void check_entered(live_t *live, int from, uint64_t stream, int to,
                   uint64_t offset);
void check_told(live_t *live, int from, int to, const message_t *message);
void check_kept(live_t *live, int node, int from, const message_t *message);
void check_answered(live_t *live, int node, int from, const message_t *message);
void check_broken(live_t *live, int from, int to);
void check_gone(live_t *live, int node);
void check_cast(live_t *live, int from);
void check_flow(viewer_t *viewer, const Rill__V1__Flow *flow,
                buffer_t *payload);
void check_answer(const viewer_t *viewer, const Rill__V1__Answer *answer,
                  buffer_t *payload);
void check_skip(viewer_t *viewer, const Rill__V1__Skip *skip);
void check_sample(live_t *live);
void check_calm(live_t *live);
void check_end(live_t *live);

//  live_play.c: play one seed.
void live_run(uint64_t seed);
void live_heard(live_t *live, viewer_t *viewer, const message_t *message,
                buffer_t *payload);

#endif
