/*  forwarder_core - the behaviour of the origin, without a socket or disk
 *
 *  Invariants
 *    1. (house 3, 6) STORED is said of a byte only when its block and every
 *       block before it has its quorum of receipts and its extent is in the
 *       catalogue.
 *    2. (house 7) Nothing is pushed twice within an epoch.
 *    3. A chunk is kept in memory until its block is settled or listed as
 *       under-protected.
 *    4. Everything said carries the term; a catalogue batch is refused when
 *       the catalogue's term is not ours: then this forwarder is over.
 *    5. (house 18) Bytes in open chunks stay under the memory budget.
 *    6. (house 21) Every message is acted on, refused, or counted by reason.
 *
 *  write.md R1 to R14. Events in, effects out. Production: forwarder.c, the
 *  actor; simulator: a virtual network and virtual disks.
 */
#ifndef FORWARDER_CORE_H
#define FORWARDER_CORE_H

#include "counters.h"
#include "kv.h"
#include "message.h"
#include "millis.h"
#include "peer.h"
#include "relay.h"
#include "retention.h"
#include "sink.h"

typedef struct forwarder_core forwarder_core_t;

typedef struct {
    const char *name;         //  Of this node
    const char *receipts_at;  //  Where we pull receipts, as others reach it
    const char *publish_at;   //  Where we publish; NULL: nowhere
    double patience;          //  A factor on every deadline
    size_t memory_bytes;      //  Budget of open chunks; 0: 192 MiB
    uint32_t chunk_bytes;     //  Recorded; 0: 256 KiB
    uint32_t buffer_ms;       //  Live; 0: 200
    uint32_t floor_bytes;     //  Live; 0: 16 KiB
    uint32_t ceiling_bytes;   //  Live; 0: 1 MiB
    retention_limits_t retention;  //  Of class 0; others are kept for ever
    const char *const *workers;    //  Names of those in the cluster file
    size_t workers_count;
    bool rebuild;        //  The catalogue is lost: make it again (R16)
    bool accept_loss;    //  Even if it has to do without something
    const sink_t *sink;  //  What happens is told to it; NULL: to nobody. Lent
} forwarder_settings_t;

//  The world. All calls return at once. `worker` is a worker's session.
typedef struct {
    //  To whoever sent us something through the front. Best effort: a peer
    //  that is gone or full loses it, and repeats its question.
    //  STATUS_UNREACHABLE: it is gone.
    status_t (*send)(void *with, const peer_t *peer, const message_t *message,
                     buffer_t *payload);
    //  Connect to a worker's sockets under its session; and drop both, with
    //  all that is queued.
    status_t (*connect)(void *with, uint64_t worker, const char *push_at,
                        const char *ask_at);
    void (*disconnect)(void *with, uint64_t worker);
    //  A chunk into its PUSH socket; STATUS_BUSY: full, forwarder_core_due is
    //  soon. The payload is lent.
    status_t (*push)(void *with, uint64_t worker, const message_t *message,
                     buffer_t *payload);
    //  A question to its ask socket; the answer comes by
    //  forwarder_core_on_worker.
    status_t (*ask)(void *with, uint64_t worker, const message_t *message);
    //  A live chunk, to those that hear its topic.
    void (*publish)(void *with, uint64_t stream, uint64_t topic,
                    const message_t *message, buffer_t *payload);
    uint64_t (*random)(void *with);
    micros_t (*wall_us)(void *with);
    //  One event for the log: level 0 error, 1 notice, 2 detail; key=value.
    void (*note)(void *with, int level, const char *text);
} forwarder_effects_t;

//  Take up the catalogue (lent until destroy) under a new term, which is
//  durable on return; with `rebuild` empty it instead, and take the term when
//  the workers' are heard. STATUS_CORRUPT, STATUS_IO, STATUS_VERSION: it cannot be
//  used; `why_r` says why. Settings' strings are copied.
status_t forwarder_core_new(const forwarder_settings_t *settings,
                            const forwarder_effects_t *effects, void *with,
                            kv_t *catalogue, millis_t now,
                            forwarder_core_t **self_r, char *why_r,
                            size_t why_size);
void forwarder_core_destroy(forwarder_core_t **self_p);

//  Something came to the front: from sources, readers, workers.
void forwarder_core_on_front(forwarder_core_t *self, const peer_t *peer,
                             const message_t *message, buffer_t *payload,
                             millis_t now);
//  Something came from a worker's ask socket.
void forwarder_core_on_worker(forwarder_core_t *self, uint64_t worker,
                              const message_t *message, buffer_t *payload,
                              millis_t now);
//  A Receipt came.
void forwarder_core_on_receipt(forwarder_core_t *self, const message_t *message,
                               millis_t now);
//  The connection to a worker broke.
void forwarder_core_on_disconnect(forwarder_core_t *self, uint64_t worker,
                                  millis_t now);
//  A message could not be read; answered when a peer is known, under its
//  `request` (0: that could not be read either), counted anyway.
void forwarder_core_on_bad(forwarder_core_t *self, const peer_t *peer,
                           uint64_t request, status_t status, millis_t now);
//  A peer did not take what was sent to it: gone, or it does not read.
void forwarder_core_on_unsent(forwarder_core_t *self);
//  A bound socket was closed, to be bound again: peers had filled the memory.
void forwarder_core_on_flood(forwarder_core_t *self);

//  Topics that anybody has a reason to subscribe to, at most.
size_t forwarder_core_topics(const forwarder_core_t *self);

//  With `rebuild`: the catalogue is whole again. Nobody was served so far: what
//  serves is a new core without it.
bool forwarder_core_rebuilt(const forwarder_core_t *self);

//  Stop in good order: refuse new bytes, cut and settle what is held. True
//  once nothing accepted is unsettled (or nothing more can be done).
bool forwarder_core_drain(forwarder_core_t *self, millis_t now);

//  STATUS_FENCED once a newer term was met, STATUS_IO when the catalogue can
//  no longer be written: main says why and exits. Else STATUS_OK.
status_t forwarder_core_fault(const forwarder_core_t *self,
                              const char **text_r);

//  The cluster and the term that this is.
uint64_t forwarder_core_cluster(const forwarder_core_t *self);
uint64_t forwarder_core_term(const forwarder_core_t *self);

//  Workers in the queue now.
size_t forwarder_core_workers(const forwarder_core_t *self);

//  The budget of open chunks in force.
size_t forwarder_core_memory(const forwarder_core_t *self);

//  NULL: it serves all that it knows. Else why not yet, as a sentence that lives
//  until the next call.
const char *forwarder_core_unready(forwarder_core_t *self);

//  What it tells of its streams, as relay_tell does.
void forwarder_core_tell(const forwarder_core_t *self, uint64_t from,
                         relay_told_t *told_r);

//  What it counts and how it is, added to `to`.
void forwarder_core_count(forwarder_core_t *self, counters_t *to, millis_t now);

millis_t forwarder_core_due(const forwarder_core_t *self);
void forwarder_core_sweep(forwarder_core_t *self, millis_t now);

#endif
