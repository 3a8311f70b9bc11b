/*  relay - how a node answers asks: one fetch for many askers
 *
 *  Invariants
 *    1. (house 15) For any (stream, offset) at most one fetch is under way.
 *    2. Every asker is answered once: with the chunk, with a refusal, or with
 *       LATE when its budget ends.
 *    3. (house 18) At most RELAY_FLIGHTS fetches and RELAY_ASKERS askers, and
 *       LIMIT_ASKS_PER_PEER of one peer; what is over is refused BUSY.
 *
 *  The owner fetches (from memory, from workers, later from siblings and
 *  parents) and tells the outcome by relay_land or relay_fail.
 */
#ifndef RELAY_H
#define RELAY_H

#include "message.h"
#include "millis.h"
#include "peer.h"

#define RELAY_FLIGHTS 1024
#define RELAY_ASKERS 4096

typedef struct relay relay_t;

typedef struct {
    //  Begin to fetch the chunk that covers `offset`. May land or fail it
    //  before it returns.
    void (*fetch)(void *with, uint64_t stream, uint64_t offset, millis_t now);
    //  Send an answer; best effort.
    void (*send)(void *with, const peer_t *peer, const message_t *message,
                 buffer_t *payload);
} relay_effects_t;

//  The chunk that was asked for, with what the node knows of its stream.
typedef struct {
    const chunk_header_t *header;
    buffer_t *payload;  //  Lent
    Rill__V1__Route route;
    uint64_t watermark;
    bool sealed;
} relay_chunk_t;

//  `effects` and `with` are lent until destroy.
relay_t *relay_new(const relay_effects_t *effects, void *with);
void relay_destroy(relay_t **self_p);

//  Somebody asks for the chunk at `offset`; answered by `due` at the latest.
void relay_ask(relay_t *self, const peer_t *peer, const message_t *question,
               uint64_t stream, uint64_t offset, millis_t due, millis_t now);

//  The fetch for (stream, offset) ended: its askers are told and forgotten.
//  Nobody waiting is fine.
void relay_land(relay_t *self, uint64_t stream, uint64_t offset,
                const relay_chunk_t *chunk);
void relay_fail(relay_t *self, uint64_t stream, uint64_t offset,
                status_t status, const char *text, uint64_t nearest);

//  Whether anybody still waits for (stream, offset).
bool relay_wanted(const relay_t *self, uint64_t stream, uint64_t offset);

//  Askers waiting now.
size_t relay_askers(const relay_t *self);

millis_t relay_due(const relay_t *self);
void relay_sweep(relay_t *self, millis_t now);

#endif
