/*  live - the second stage: trees of relays with viewers under one clock
 *
 *  A root with live streams, groups of caches in tiers around production
 *  relays, a LAN with multicast in each group, WAN links between tiers, and
 *  viewers that watch, stop, die and go on elsewhere. Faults from a seed until
 *  calm; then the stream ends, everybody must have it whole, all stop, and
 *  nothing may be in the air any more. live.md is what is held to.
 *
 *  live_net.c    nodes, what is in the air, faults of both
 *  live_check.c  house invariants 12 to 19, seen from outside
 *  live_origin.c the root's streams, beside its relay
 *  live_faults.c the weather
 *  live_play.c   the cast: viewers, askers, and a whole play
 */
#ifndef LIVE_H
#define LIVE_H

#include "agenda.h"
#include "dice.h"
#include "relay.h"
#include "sessions.h"

#define LIVE_NODES 24
#define LIVE_GROUPS 4
#define LIVE_VIEWERS 64
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

struct live_node {
    live_t *live;
    int number;
    char name[16], group_name[16], publish_at[40];
    int group;  //  -1: the root
    relay_settings_t settings;
    const char *links[LIVE_NODES];  //  Parents, then siblings
    int link_node[LIVE_NODES];
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

typedef struct {
    int from, to;  //  Who subscribed at whom, in these lives
    unsigned from_life, to_life;
    uint64_t stream, topic;
} live_sub_t;

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
    int64_t starves_us;  //  Until then it grants no credit
    int64_t asked_us;    //  An asker's question, 0: none open
    uint64_t asked;
} viewer_t;

//  One stream, as its origin knows it.
typedef struct {
    uint64_t id;
    char name[16];
    uint64_t chunk_at[LIVE_CHUNKS];  //  Where each begins
    uint32_t chunk_bytes[LIVE_CHUNKS];
    int64_t chunk_us[LIVE_CHUNKS];     //  When it was cut
    micros_t created_us[LIVE_CHUNKS];  //  By the origin's clock
    size_t chunks;
    bool sealed;
    //  The highest head there ever was: an origin that begins anew lost what was
    //  not stored, and cuts the same bytes again, otherwise. What was created
    //  between is at two places.
    uint64_t said;
    micros_t twice_from, twice_to;
    unsigned copies[LIVE_CHUNKS][LIVE_GROUPS];
    uint8_t entered[LIVE_CHUNKS][LIVE_GROUPS];  //  To whom, last
    int64_t two_since[LIVE_GROUPS];
    //  By node: when it last did not follow, and was not away from home
    int64_t idle_us[LIVE_NODES], away_us[LIVE_NODES];
    int64_t kept_us[LIVE_NODES][LIVE_NODES];  //  By child and parent: the last
} live_stream_t;

struct live {
    uint64_t seed;
    agenda_t *agenda;
    dice_t dice;
    int nodes, groups;
    live_node_t node[LIVE_NODES];
    live_sub_t *subs;
    size_t subs_count, subs_room;
    bool cut[LIVE_NODES][LIVE_NODES], slow[LIVE_NODES][LIVE_NODES];
    //  Who connected to whom, for the how manieth time
    unsigned connection[LIVE_NODES][LIVE_NODES];
    int64_t last_us[2 * LIVE_NODES + LIVE_VIEWERS][LIVE_NODES + LIVE_VIEWERS];
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
    viewer_t viewer[LIVE_VIEWERS];
    //  Seen by the checker
    int64_t two_most;
    int64_t quiet_from;  //  Nothing may be said from then on; 0: not yet
    int64_t fault_us;    //  The last one
    struct live_asked *asked;
    size_t asked_count, asked_room;
};

#define LIVE_CALM_US (20 * 1000000)

//  live_net.c
void live_start(live_node_t *node);
void live_kill(live_node_t *node);
void live_hang(live_node_t *node, bool hangs);
void live_disconnect(live_t *live, int from, int to);
void live_after(live_node_t *node);
void live_send(live_node_t *node, const peer_t *peer, const message_t *message);
void live_say(live_t *live, int viewer, int node, const message_t *message);
void live_heard(live_t *live, viewer_t *viewer, const message_t *message,
                buffer_t *payload);
millis_t live_now(const live_t *live);

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

#endif
