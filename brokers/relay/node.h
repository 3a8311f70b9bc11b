/*  node - what the parts of relay share; nobody else includes it
 *
 *  relay.c   events in, time, streams
 *  follow.c  whom this node takes a stream from (live.md 9, 11 to 18)
 *  lend.c    who takes a stream from this node (2, 10)
 *  pursue.c  chunks that are fetched from siblings and parents (4, 6 to 8)
 *  watch.c   sessions (19, 20)
 *  depot.c   what of the window lies on a disk
 *  pass.c    questions passed to the parent
 *  report.c  what is told of all that, to who asks
 *  happened.c  and as it happens, to who listens
 */
#ifndef NODE_H
#define NODE_H

#include <czmq.h>

#include "grants.h"
#include "relay.h"
#include "route.h"
#include "sessions.h"
#include "siblings.h"
#include "table.h"
#include "window.h"

enum {
    KEEP_MS = 500,      //  Between keeps
    STILL_MS = 250,     //  What was told comes by itself for so long
    SILENCE_MS = 1000,  //  Without a kept a link is dead
    TRY_MS = 300,       //  For one who is asked to be a source
    AVOID_MS = 2000,    //  An accused one, or who does not answer
    LINGER_MS = 2000,   //  A stream without sessions
    HOME_MS = 1000,     //  Between tries of the first parent
    SPLIT_MS = 1500,    //  Until a yield is tried again
    CARRY_MS = 1000,    //  Between what a carrier says of itself
    COARSE_MS = 100,    //  How exactly all these are looked at
    HOP_MS = 250,       //  For a chunk from a link, at least
    FIRST_MS = 1000,    //  From a parent of which none came yet
    FILLS_MOST = 4,     //  Of a stream in the air
    AHEAD_MOST = 4,     //  Chunks that sessions are ahead in history
    MOMENTS = 16,
    HOLES = 16,
    WANTS_MOST = 500,  //  In one Keep
    PURSUITS_MOST = FLIGHTS_MOST,
};

#define AGAIN_MS 100  //  What failed for the moment is tried again

//  An attempt at a link: answered by a Kept of at least that seq.
typedef struct {
    int link;  //  -1: none
    uint64_t seq;
    millis_t due;
} try_t;

typedef enum { SEEK_NONE, SEEK_WHO, SEEK_SIDE, SEEK_UP } seek_t;

//  A sibling that follows us.
typedef struct {
    char node[LIMIT_NAME_BYTES + 1];
    uint64_t incarnation;
    uint64_t next;
    peer_t peer;
    millis_t expires;
} follower_t;

//  A sibling's keep that waits until our own to a parent is answered.
typedef struct {
    follower_t who;
    uint64_t seq;
} parked_t;

typedef struct stream {
    uint64_t id;  //  Is its first member
    relay_t *node;
    char name[LIMIT_NAME_BYTES + 1];

    //  As the origin said, at as_of
    uint64_t first, head;
    bool sealed;
    bool known;        //  It did say something
    millis_t unknown;  //  Until then there is none, as far as is known
    micros_t as_of_us;
    struct {
        uint64_t offset;
        micros_t created_us;
    } moments[MOMENTS];
    size_t moments_count;
    struct {
        uint64_t from, to;
    } holes[HOLES];
    size_t holes_count;
    uint32_t chunk_bytes;  //  Of the last chunk, and how many before it
    uint32_t alike;        //  in a row were as long

    //  Following
    int source;  //  A link, or -1
    millis_t since;
    uint64_t grant, topic;  //  That the source said
    int carrier;  //  The sibling that carried it last; -1: none. It is told
    uint64_t heard_topic;  //  That is subscribed to at heard_link
    int heard_link;        //  -1: none
    seek_t seek;
    millis_t who_due;
    try_t pend, move, yield;
    size_t parent;  //  Whom it goes to, by place
    unsigned tried;
    millis_t backoff, split, home, carried, idle;
    millis_t lingers;  //  Until then it is kept for sessions that ended
    bool is_idle, hinted;
    millis_t *avoid;  //  Until when, by sibling
    parked_t *parked;
    size_t parked_count;

    //  Serving siblings
    follower_t *followers;
    size_t followers_count;
    uint64_t side_topic;

    //  Demand
    size_t watchers;       //  Sessions, and those of them that want
    size_t live_watchers;  //  what is live
    bool calm;             //  They have all there is, and nothing came since
    millis_t asked_until;  //  Asks that wait

    //  Bytes
    bool flowing;
    uint64_t end;     //  No chunk held reaches behind it
    uint64_t flow;    //  All that came is held up to here
    uint64_t told;    //  Head of a Kept before: what is missing below is asked,
    uint64_t tail;    //  behind what is held too: nothing was published lately
    uint64_t latest;  //  Head of the last Kept that counts,
    millis_t latest_at;  //  and when that was
    millis_t live_at;    //  A chunk that was published came
    millis_t again;      //  Not before: an ask failed for the moment
    bool pumping, pump_again;
    uint64_t from_parents, from_siblings, given;  //  All told
} stream_t;

//  One link.
typedef struct {
    const char *name;
    uint64_t seq;
    uint64_t incarnation;
    millis_t heard;   //  When it said its last Kept,
    micros_t now_us;  //  and the origin's clock in it
    millis_t keep_at;
    millis_t quiet;  //  Since when nothing is wanted of it
    bool used, dirty, lost;
    unsigned round_ms;  //  A chunk's way, measured
    millis_t answered;  //  When it answered an ask last
    millis_t shunned;   //  It did not: until then others are asked first
    char publish_at[288];
} link_t;

typedef struct pursuit pursuit_t;
typedef struct passed passed_t;

//  What a flight begins for.
typedef struct {
    bool up, wait, side;
    millis_t due;
} asking_t;

struct relay {
    relay_settings_t settings;
    relay_effects_t effects;
    void *with;
    uint64_t incarnation;
    bool root;
    micros_t now_us;  //  The origin's clock when it spoke last
    link_t *links;
    size_t links_count;
    zhashx_t *streams;  //  stream_t, owned
    size_t unknown;     //  Of them, that the origin said nothing of yet
    zhashx_t *names;    //  stream_t by name, lent
    window_t *window;
    struct depot *depot;  //  NULL: it has none
    window_t *passing;    //  Chunks older than the window, for sessions
    flights_t *flights;
    grants_t *grants;
    sessions_t *sessions;
    siblings_t *siblings;
    zlistx_t *pursuits;   //  pursuit_t
    zlistx_t *passed;     //  passed_t
    struct given *given;  //  Runs given to children lately
    size_t given_count;
    asking_t asking;  //  The ask at hand, which may begin a flight
    uint64_t request;
    uint64_t packets;  //  Said
    millis_t now, began;
    millis_t coarse_at;
    bool stopping;
    counters_t counters;
};

static inline millis_t
span(const relay_t *self, millis_t ms)
{
    return (millis_t)((double)ms * self->settings.patience);
}

static inline bool
is_side(const relay_t *self, int link)
{
    return link >= (int)self->settings.parents_count;
}

static inline counter_t
node_taken_from(const relay_t *self, int link)
{
    return is_side(self, link) ? COUNTER_chunks_taken_total_sibling
                               : COUNTER_chunks_taken_total_parent;
}

//  relay.c
stream_t *node_stream(relay_t *self, uint64_t id);
//  `known`: the origin said that there is such a stream. NULL: too many.
stream_t *node_open_stream(relay_t *self, uint64_t id, bool known);
int node_link(const relay_t *self, const char *name);
//  The parent to ask first, by place: `best`, or one that is not shunned. Who
//  is gone or does not answer is shunned for a while.
size_t node_parent(const relay_t *self, size_t best, millis_t now);
void node_shun(relay_t *self, int link, millis_t now);
void node_note(relay_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void node_refuse(relay_t *self, const peer_t *peer, uint64_t request,
                 uint64_t trace, status_t status, const char *text,
                 uint64_t nearest);
//  The origin's word on a stream came, at its time.
void node_told(stream_t *stream, uint64_t first, uint64_t head, bool sealed,
               micros_t as_of_us);
//  `said`: also when it tells little more than those around it.
void node_moment(stream_t *stream, uint64_t offset, micros_t created_us,
                 bool said);
void node_hole(stream_t *stream, uint64_t from, uint64_t to);
//  Where bytes go on when it is known that there are none at an offset; else
//  the offset.
uint64_t node_past_hole(const stream_t *stream, uint64_t offset);
//  What was created before is older than this node's window.
micros_t node_horizon(const relay_t *self);
//  Offsets below it are older than this node's window; whether one is.
uint64_t node_old_end(const stream_t *stream);
bool node_is_old(const stream_t *stream, uint64_t offset);
//  How a chunk came: published just now, and so it is here; fetched; or fetched
//  from above the window, and then it is not kept.
typedef enum { CAME_LIVE, CAME_FETCHED, CAME_STRAIGHT } came_t;

//  A chunk is here: hold it, publish it, land flights, move sessions. What was
//  fetched is not published: who missed it asks.
void node_take(relay_t *self, const flights_chunk_t *chunk, came_t came,
               millis_t now);
//  So many bytes of a stream go out.
void node_gave(relay_t *self, uint64_t stream, size_t bytes);

//  follow.c
void follow_begin(stream_t *stream);
void follow_end(stream_t *stream);
bool follow_demand(const stream_t *stream, millis_t now);
void follow_kept(relay_t *self, int link, const Rill__V1__Kept *kept,
                 millis_t now);
void follow_packet(relay_t *self, int sibling, const packet_t *packet,
                   millis_t now);
void follow_sweep(stream_t *stream, millis_t now);
void follow_flush(relay_t *self, millis_t now);
millis_t follow_due(const stream_t *stream);
//  Look at the stream's demand now rather than at the next tick.
void follow_hurry(stream_t *stream, millis_t now);
bool follow_carries(const stream_t *stream);
void follow_cast(relay_t *self, packet_type_t type, int link, uint64_t stream,
                 uint64_t from, uint64_t to);

//  lend.c
void lend_keep(relay_t *self, const peer_t *peer, const message_t *message,
               millis_t now);
//  Whether a sibling may follow; it does then.
bool lend_follower(stream_t *stream, const follower_t *who, bool ranked,
                   const Rill__V1__Rank *rank, millis_t now);
void lend_say(stream_t *stream, const peer_t *peer, uint64_t seq,
              Rill__V1__Carry state, const char *carrier);
void lend_unfollow(stream_t *stream, const char *try, const char *but);
void lend_publish(stream_t *stream, const flights_chunk_t *chunk);
void lend_sweep(stream_t *stream, millis_t now);

//  pursue.c
void pursue_ask(relay_t *self, const peer_t *peer, const message_t *message,
                millis_t now);
//  The same for a chunk that begins at an offset.
void pursue_at(relay_t *self, const peer_t *peer, uint64_t request,
               uint64_t trace, uint64_t stream, uint64_t offset, millis_t now);
void pursue_fetch(relay_t *self, uint64_t stream, uint64_t offset,
                  millis_t now);
//  The same, not from the disk. What only a sibling asks for is a MISS.
void pursue_fetch_far(relay_t *self, uint64_t stream, uint64_t offset,
                      millis_t now);
bool pursue_answer(relay_t *self, int link, const message_t *message,
                   buffer_t *payload, millis_t now);
void pursue_fill(stream_t *stream, millis_t now);
void pursue_heads(stream_t *stream, millis_t now);
void pursue_question(relay_t *self, millis_t now);
void pursue_lost(relay_t *self, int link, millis_t now);
void pursue_sweep(relay_t *self, millis_t now);
millis_t pursue_due(const relay_t *self);
void pursue_destroy(relay_t *self);
bool pursue_uses(const relay_t *self, int link);
//  What this node wants of a stream for itself it does not any more.
void pursue_unwant(stream_t *stream);

//  depot.c
void depot_new(relay_t *self);
void depot_destroy(relay_t *self);
//  Memory has no room for a chunk any more.
void depot_spill(void *with, const window_chunk_t *chunk);
//  The chunk that covers an offset, or the last one at a time, without its
//  payload; NULL: the disk has none.
const window_chunk_t *depot_find(const relay_t *self, uint64_t stream,
                                 uint64_t offset);
const window_chunk_t *depot_at(const relay_t *self, uint64_t stream,
                               micros_t time_us);
uint64_t depot_reach(const relay_t *self, uint64_t stream, uint64_t offset);
uint64_t depot_next(const relay_t *self, uint64_t stream, uint64_t offset);
window_span_t depot_span(const relay_t *self, uint64_t stream);
void depot_count(const relay_t *self, relay_counts_t *counts);
//  Begin to read what a flight is for. False: it is not there.
bool depot_fetch(relay_t *self, uint64_t stream, uint64_t offset, millis_t now);
//  The ask at hand joined a flight: what a sibling's began to read, and the
//  disk does not give, is fetched for it.
void depot_join(relay_t *self, uint64_t stream, uint64_t offset);
void depot_forget(relay_t *self, uint64_t stream);
void depot_age(relay_t *self);
void depot_sweep(relay_t *self, millis_t now);
millis_t depot_due(const relay_t *self);

//  watch.c
void watch_open(relay_t *self, const peer_t *peer, const message_t *message,
                millis_t now);
void watch_keep(relay_t *self, const peer_t *peer, const message_t *message,
                millis_t now);
void watch_stop(relay_t *self, const peer_t *peer, const message_t *message,
                millis_t now);
//  Send what can be sent, ask for what is missing.
void watch_pump(stream_t *stream, millis_t now);
void watch_failed(stream_t *stream, uint64_t offset, status_t status,
                  uint64_t nearest, millis_t now);
//  Where the last chunk of a stream that was created at or before a time begins,
//  if what is held tells it exactly.
bool watch_place_at(const stream_t *stream, micros_t time_us,
                    uint64_t *offset_r);
//  A session that waited to hear where its time lies begins there. NULL: the
//  stream is not known any more.
void watch_located(relay_t *self, const peer_t *peer, uint64_t request,
                   stream_t *stream, uint64_t place, millis_t now);
//  What was asked upstream for a session that is to begin: its stream, or why
//  there is none.
void watch_described(relay_t *self, const peer_t *peer, uint64_t request,
                     stream_t *stream, status_t status, millis_t now);
void watch_sweep(relay_t *self, millis_t now);

//  pass.c
//  What one who asked waits for.
typedef enum {
    WAIT_ANSWER,   //  The answer, as it is
    WAIT_SESSION,  //  A session of this node begins with it
    WAIT_CHUNK,    //  The chunk that was located
} wait_t;
void pass_ask(relay_t *self, const peer_t *peer, const message_t *message,
              wait_t wants, millis_t now);
//  Where the last chunk at or before a time lies.
void pass_locate(relay_t *self, const peer_t *peer, uint64_t request,
                 uint64_t trace, uint64_t stream, micros_t time_us,
                 wait_t wants, millis_t now);
void pass_answer(relay_t *self, int link, const message_t *message,
                 millis_t now);
void pass_lost(relay_t *self, int link, millis_t now);
void pass_sweep(relay_t *self, millis_t now);
millis_t pass_due(const relay_t *self);
void pass_destroy(relay_t *self);
bool pass_uses(const relay_t *self, int link);

//  happened.c: each is told to the sink if it wants it, and changes nothing
void happened_opened(const stream_t *stream, const session_t *session);
void happened_stalled(const stream_t *stream, const session_t *session);
//  One that was not begun was not opened.
void happened_ended(const relay_t *self, const session_t *session,
                    status_t status);
void happened_published(const stream_t *stream, const chunk_header_t *header,
                        size_t receivers);
//  The group is asked who has what lies at an offset, or PACKET_LIVE; a sibling
//  answers.
void happened_asked(const relay_t *self, uint64_t stream, uint64_t offset,
                    uint64_t trace);
void happened_answered(const relay_t *self, int link, const packet_t *packet);
//  A parent granted the stream to this node.
void happened_carries(const stream_t *stream);

//  Counted by its reason, and told.
void happened_fault(relay_t *self, counter_t reason, status_t status,
                    const char *where, const char *what);

//  report.c
void report_answer(relay_t *self, const peer_t *peer, const message_t *message,
                   millis_t now);

#endif
