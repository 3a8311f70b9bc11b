/*  relay - how a node serves: the behaviour of a cache, and of the root
 *
 *  Invariants
 *    1. (house 12) A session is sent one contiguous range from where it began;
 *       what the origin does not have is said.
 *    2. (house 14) Only who holds a parent's grant serves siblings, and it
 *       publishes only to valid leases.
 *    3. (house 16) Without sessions, children's leases, followers' leases or
 *       asks that wait, nothing is kept, asked or subscribed upstream.
 *    4. (house 17) A source is a parent, or a sibling that a parent granted the
 *       stream to.
 *    5. (house 19) Every question is answered, by its budget's end at the
 *       latest.
 *
 *  live.md. Events in, effects out; production: cache.c and the forwarder,
 *  simulator: a virtual tree. A link is a parent (0 to parents_count - 1, the
 *  best first) or a sibling (from parents_count on). The root has no links: its
 *  owner publishes what is cut and fetches what is asked for.
 */
#ifndef RELAY_H
#define RELAY_H

#include "counters.h"
#include "flights.h"
#include "packet.h"
#include "sink.h"

typedef struct relay relay_t;

typedef struct {
    const char *node;
    const char *group;  //  Of its siblings; "" at the root
    unsigned tier;      //  0: the root; a parent's is smaller
    const char *const *parents;
    size_t parents_count;
    const char *const *siblings;  //  Without itself
    size_t siblings_count;
    size_t window_bytes;  //  In memory
    size_t disk_bytes;    //  Of its window on a disk; 0: it has none
    millis_t window_ms;   //  How far back a cache holds, by the origin's clock
    double patience;
    const char *publish_at;  //  Endpoint where it publishes
    uint64_t incarnation;    //  Higher with each start of the node
    const sink_t *sink;      //  What happens is told to it; NULL: to nobody
} relay_settings_t;

//  What an origin knows of a stream.
typedef struct {
    uint64_t stream;
    const char *name;
    uint64_t first, head;  //  Bytes below first are gone, below head exist
    bool sealed;
    uint32_t chunk_bytes;  //  Of its chunks, about
    micros_t newest_us;    //  When its newest chunk was made; 0: not known
    micros_t now_us;
} relay_facts_t;

typedef struct {
    //  To whoever said something at the front. Best effort.
    //  STATUS_UNREACHABLE: he is gone, and hears nothing any more.
    status_t (*send)(void *with, const peer_t *peer, const message_t *message,
                     buffer_t *payload);
    //  To a link, which is connected by the first. Not STATUS_OK: not now.
    status_t (*tell)(void *with, int link, const message_t *message);
    //  Nothing is wanted of a link: it may be closed.
    void (*hang_up)(void *with, int link);
    //  Hear (or not any more) what a link publishes at an endpoint.
    void (*subscribe)(void *with, int link, const char *publish_at,
                      uint64_t stream, uint64_t topic, bool on);
    void (*publish)(void *with, uint64_t stream, uint64_t topic,
                    const message_t *message, buffer_t *payload);
    //  A datagram to the group (-1), or to one sibling.
    void (*cast)(void *with, int link, const packet_t *packet);
    uint64_t (*random)(void *with);
    //  Of the root only, else NULL: begin to fetch the chunk that covers an
    //  offset, ended by relay_land or relay_fail; to find the last one created
    //  at or before a time, ended by relay_located; and look a stream up, by
    //  name or (NULL) by id. STATUS_UNKNOWN; STATUS_HELD: not yet.
    void (*fetch)(void *with, uint64_t stream, uint64_t offset, millis_t now);
    void (*locate)(void *with, uint64_t stream, micros_t time_us,
                   uint64_t request, millis_t now);
    status_t (*look)(void *with, const char *name, uint64_t stream,
                     relay_facts_t *facts_r);
    //  Of a cache with a disk, else NULL. Keep a chunk under a number, higher
    //  than those before; not STATUS_OK: it is not. What is not kept after all
    //  is told by relay_unkept. Read one back, ended by relay_recalled; not
    //  STATUS_OK: it is not to be had. Forget all below a number; not
    //  STATUS_OK: this is to be said again.
    status_t (*keep)(void *with, uint64_t number, const chunk_header_t *header,
                     buffer_t *payload);
    status_t (*recall)(void *with, uint64_t number);
    status_t (*release)(void *with, uint64_t first);
    //  What its owner counts, for the status of a cache, added to `to`. NULL:
    //  nothing.
    void (*count)(void *with, counters_t *to);
    //  One event for the log: key=value.
    void (*note)(void *with, const char *text);
} relay_effects_t;

//  Settings' strings and `with` are lent until destroy; effects are copied.
relay_t *relay_new(const relay_settings_t *settings,
                   const relay_effects_t *effects, void *with, millis_t now);
void relay_destroy(relay_t **self_p);

//  Something came to the front. False: it is not for a relay, and nothing was
//  done. Of the root these are Keep, Locate, Watch, WatchKeep and Stop.
bool relay_on_front(relay_t *self, const peer_t *peer, const message_t *message,
                    millis_t now);
//  Something came from a link's DEALER, or was published by it.
void relay_on_link(relay_t *self, int link, const message_t *message,
                   buffer_t *payload, millis_t now);
void relay_on_published(relay_t *self, int link, uint64_t stream,
                        uint64_t topic, const message_t *message,
                        buffer_t *payload, millis_t now);
//  The connection to a link broke.
void relay_on_disconnect(relay_t *self, int link, millis_t now);
//  A packet with a right tag came.
void relay_on_packet(relay_t *self, const packet_t *packet, millis_t now);

//  Of a cache with a disk: a chunk is not kept; one was read, or not
//  (STATUS_OK: with its payload); the disk takes and gives nothing any more.
void relay_unkept(relay_t *self, uint64_t number, millis_t now);
void relay_recalled(relay_t *self, uint64_t number, status_t status,
                    buffer_t *payload, millis_t now);
void relay_on_disk_lost(relay_t *self, millis_t now);

//  Of the root. A chunk was cut; something changed in what is known of a
//  stream; a stream is gone.
void relay_on_chunk(relay_t *self, const flights_chunk_t *chunk, millis_t now);
void relay_on_stream(relay_t *self, uint64_t stream, millis_t now);
void relay_on_gone(relay_t *self, uint64_t stream, millis_t now);

//  Of the root: an ask that its owner found to be right; and how it ends.
void relay_ask(relay_t *self, const peer_t *peer, const message_t *question,
               uint64_t stream, uint64_t offset, millis_t due, millis_t now);
void relay_land(relay_t *self, uint64_t stream, uint64_t offset,
                const flights_chunk_t *chunk, millis_t now);
void relay_fail(relay_t *self, uint64_t stream, uint64_t offset,
                status_t status, const char *text, uint64_t nearest,
                millis_t now);
//  A node (lent for ever) that its owner asked for it then is late, or was
//  waited for until now.
void relay_late(relay_t *self, uint64_t stream, uint64_t offset,
                const char *node, micros_t since);
void relay_waited(relay_t *self, uint64_t stream, uint64_t offset,
                  const char *node, micros_t since);
bool relay_wanted(const relay_t *self, uint64_t stream, uint64_t offset);
//  The trace of the request that a chunk's fetch began for; 0: of none.
uint64_t relay_trace(const relay_t *self, uint64_t stream, uint64_t offset);

//  Of the root: an ask for a time or for the newest chunk; and how its locate
//  ends. STATUS_OK: the chunk begins at `offset` and was created at
//  `created_us`. STATUS_GONE: all there is was created later, from `offset` on.
void relay_ask_at(relay_t *self, const peer_t *peer, const message_t *question,
                  millis_t now);
void relay_located(relay_t *self, uint64_t request, status_t status,
                   uint64_t offset, micros_t created_us, millis_t now);
//  Whether somebody still waits for it, and the trace of who asked first.
bool relay_locating(const relay_t *self, uint64_t request);
uint64_t relay_locate_trace(const relay_t *self, uint64_t request);
//  A node (lent for ever) that its owner asked then was waited for until now.
void relay_locate_waited(relay_t *self, uint64_t request, const char *node,
                         micros_t since);

//  A child asks for a chunk of a run that another of its group was given lately
//  and that it does not say to lack it: that one, else NULL, and then it is the
//  one (live.md 6). Lent until the next call.
const char *relay_taken(relay_t *self, const Rill__V1__Ask *ask, millis_t now);

//  This node ends in good order: those that hang on it are told to go on
//  elsewhere.
void relay_stop(relay_t *self, millis_t now);

//  Topics that it publishes under, and that may have ended just now: no more
//  than that anybody has a reason to subscribe to.
size_t relay_topics(const relay_t *self);

millis_t relay_due(const relay_t *self);
void relay_sweep(relay_t *self, millis_t now);

//  What it is doing, for status and for tests. Lent until the next call.
typedef struct {
    uint64_t stream;
    const char *name;  //  "" while it is not known
    int source;        //  A link, or -1
    bool carries;      //  Its source is a parent
    size_t children;   //  Grants of its own that are valid
    size_t followers;  //  Siblings that follow it
    size_t watchers;
    uint64_t head;
    uint64_t held;  //  Bytes below, from where it was taken up
} relay_state_t;
size_t relay_states(const relay_t *self, relay_state_t *states_r, size_t most);

typedef struct {
    size_t sessions, flights, grants, window_bytes, window_chunks, streams;
    size_t disk_bytes, disk_chunks;  //  What the disk holds
    uint64_t delivered_bytes, taken_bytes;
} relay_counts_t;
relay_counts_t relay_counts(const relay_t *self);

//  Live streams that terminals watch here and that nothing is taken from.
size_t relay_cut_off(const relay_t *self);

//  What it counts and how it is, added to `to`.
void relay_count(const relay_t *self, counters_t *to);

//  What a Report tells of its streams: those of an id from `from` on, by id;
//  `next` is where they go on, 0: those were all. The bodies lend their names
//  from the relay, until its next call.
#define RELAY_TOLD 64
typedef struct {
    Rill__V1__StreamReport bodies[RELAY_TOLD];
    Rill__V1__StreamReport *list[RELAY_TOLD];
    size_t count;
    uint64_t next;
} relay_told_t;
void relay_tell(const relay_t *self, uint64_t from, relay_told_t *told_r);

#endif
