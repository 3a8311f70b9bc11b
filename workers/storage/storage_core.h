/*  storage_core - the behaviour of one storage worker, without a socket or disk
 *
 *  Invariants
 *    1. (house 6) A receipt is sent only for keys the store told durable.
 *    2. (house 8) After a Welcome of term t nothing of a lower term or of an
 *       older session is stored or receipted, for ever: the term is durable
 *       before anything of it is answered.
 *    3. The inventory is sent after everything accepted from older sessions is
 *       durable, and before anything of the new session is receipted. One that
 *       cannot be read whole is not sent: what it left out would be taken for
 *       absent (R8).
 *    4. (house 21) Every message that comes in is acted on, refused, or
 *       counted by reason; Report.counters shows the reasons (counters.h).
 *    5. (house 18) Unsent receipts, open reads and chunks that the store does
 *       not take are bounded; over the bound chunks are no longer read.
 *
 *    6. A block that a Sweep has named is not stored again in its session: a
 *       chunk may still be on the way that was pushed before.
 *
 *  A session: HELLO, said every 0.5 s until a Welcome; the term made durable;
 *  FLUSHING, until the store holds nothing undecided; INVENTORY; SERVING,
 *  until 3 s of silence, a refusal of the session, or a newer Welcome. Both
 *  times are multiplied by `patience`.
 *
 *  Events in, effects out. Production: storage.c, the actor; simulator: a
 *  virtual network and disk. Effects do not call back into the core.
 */
#ifndef STORAGE_CORE_H
#define STORAGE_CORE_H

#include "chunkstore.h"
#include "counters.h"
#include "message.h"
#include "millis.h"
#include "peer.h"
#include "sink.h"

typedef struct storage_core storage_core_t;

typedef struct {
    const char *name;     //  Of this worker
    const char *push_at;  //  Where we pull chunks, as others reach it
    const char *ask_at;   //  Where we answer, as others reach it
    double patience;      //  A factor on every deadline
    const sink_t *sink;   //  What happens is told to it; NULL: to nobody
} storage_settings_t;

//  The world. All calls return at once. The statuses of append, read, walk…,
//  locate, drop, trim and set_… are those of chunkstore.h.
typedef struct {
    //  To the forwarder's front; to its receipts socket, which open_receipts
    //  opens at the address of the last Welcome, closing the one before. What
    //  is not STATUS_OK was not sent: receipts, inventory and the last word
    //  are tried again, the rest is not.
    status_t (*send_forwarder)(void *with, const message_t *message);
    void (*open_receipts)(void *with, const char *endpoint);
    status_t (*send_receipt)(void *with, const message_t *message);
    //  To whoever asked us.
    status_t (*answer)(void *with, const peer_t *peer, const message_t *message,
                       buffer_t *payload);
    //  The chunk store, as in chunkstore.h.
    status_t (*append)(void *with, const chunk_header_t *header,
                       buffer_t *payload, millis_t now);
    status_t (*read)(void *with, chunk_key_t key, bool header_only,
                     uint64_t token);
    status_t (*walk)(void *with, uint64_t stream, uint64_t epoch,
                     uint64_t block, chunkstore_each_fn *each, void *arg);
    status_t (*walk_back)(void *with, uint64_t stream, uint64_t epoch,
                          chunkstore_each_fn *each, void *arg);
    status_t (*walk_all)(void *with, chunk_key_t from, chunkstore_each_fn *each,
                         void *arg);
    size_t (*epochs)(void *with, uint64_t stream, uint64_t *epochs,
                     size_t most);
    status_t (*locate)(void *with, uint64_t stream, uint64_t epoch,
                       bool by_time, uint64_t at, chunkstore_entry_t *entry_r);
    size_t (*dropped)(void *with, uint64_t from, uint64_t *streams,
                      size_t most);
    uint64_t (*settled)(void *with, uint64_t stream);
    status_t (*drop)(void *with, uint64_t stream);
    void (*retain)(void *with, uint8_t retention, micros_t horizon_us,
                   millis_t span_ms);
    status_t (*trim)(void *with, uint64_t stream, uint64_t epoch,
                     uint64_t first, uint64_t end, size_t *dropped_r,
                     bool *more_r);
    chunkstore_identity_t (*identity)(void *with);
    status_t (*set_cluster)(void *with, uint64_t cluster);
    status_t (*set_term)(void *with, uint64_t term);
    chunkstore_space_t (*space)(void *with);
    //  One event for the log: level 0 error, 1 notice, 2 detail; its name, a
    //  blank, key=value pairs.
    void (*note)(void *with, int level, const char *text);
} storage_effects_t;

//  Create a worker that begins to say Hello at once. Settings' strings are
//  copied; the sink, effects and `with` are lent until destroy.
storage_core_t *storage_core_new(const storage_settings_t *settings,
                                 const storage_effects_t *effects, void *with,
                                 millis_t now);
void storage_core_destroy(storage_core_t **self_p);

//  Something came from the forwarder's front (Welcome, WorkerKept, Refused).
void storage_core_on_forwarder(storage_core_t *self, const message_t *message,
                               millis_t now);
//  A chunk came on the PULL socket (Store); the payload is lent. Not while
//  storage_core_choked: then it is dropped and counted.
void storage_core_on_store(storage_core_t *self, const message_t *message,
                           buffer_t *payload, millis_t now);
//  Somebody asks (Fetch, Locate, Scan, Count, Drop, Sweep, StatusAsk).
void storage_core_on_ask(storage_core_t *self, const peer_t *peer,
                         const message_t *message, millis_t now);
//  A message could not be read on one of our sockets; answered when a peer is
//  known, under its `request` (0: that could not be read either), counted in
//  any case.
void storage_core_on_bad(storage_core_t *self, const peer_t *peer,
                         uint64_t request, status_t status, millis_t now);
//  A bound socket was closed, to be bound again: peers had filled the memory.
void storage_core_on_flood(storage_core_t *self);
//  What the chunk store told.
void storage_core_on_durable(storage_core_t *self, const chunk_key_t *keys,
                             size_t count, millis_t now);
void storage_core_on_failed(storage_core_t *self, const chunk_key_t *keys,
                            size_t count, status_t status, millis_t now);
void storage_core_on_read(storage_core_t *self, uint64_t token, status_t status,
                          const chunk_header_t *header, buffer_t *payload,
                          millis_t now);
void storage_core_on_retired(storage_core_t *self, uint64_t bytes);

//  Stop in good order: take nothing new and refuse questions with
//  STATUS_STOPPING; once all that was taken is durable and receipted say
//  WorkerLeave (after it a receipt would be of no session). True once that is
//  said, or receipts find nobody for 3 s, everything taken is durable and
//  every open read answered. Ask again after every event
//  and sweep.
bool storage_core_drain(storage_core_t *self, millis_t now);

//  Whether its inventory is sent: it serves a forwarder's session, whose queue
//  it is in unless the forwarder makes it wait (R6).
bool storage_core_ready(const storage_core_t *self);

//  Whether it takes no chunk now: the store's queue was full (the core keeps
//  the chunk that was refused and appends it when a turn has made room), or
//  too many receipts wait for the forwarder. The owner reads no more chunks
//  meanwhile, so that the forwarder feels it. Ask again after every event and
//  sweep.
bool storage_core_choked(const storage_core_t *self);

//  Why it can never serve (STATUS_CLUSTER, STATUS_TAKEN, STATUS_FENCED), or
//  STATUS_OK; main says why and exits. `text_r` (may be NULL) gets a sentence
//  that lives as long as the core.
status_t storage_core_fault(const storage_core_t *self, const char **text_r);

//  What it counts and how it is, added to `to`.
void storage_core_count(const storage_core_t *self, counters_t *to);

//  Deadlines: Hello again, WorkerKeep, silence, what is to be tried again.
millis_t storage_core_due(const storage_core_t *self);
void storage_core_sweep(storage_core_t *self, millis_t now);

#endif
