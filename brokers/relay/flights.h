/*  flights - chunks on their way to a node: one fetch for many askers
 *
 *  Invariants
 *    1. (house 15) For any (stream, offset) at most one fetch is under way.
 *    2. Every asker is answered once: with the chunk, with a refusal, or with
 *       LATE when its budget ends.
 *    3. (house 18) At most FLIGHTS_MOST fetches and FLIGHTS_ASKERS askers, and
 *       LIMIT_ASKS_PER_PEER of one peer; what is over is refused BUSY. Askers
 *       leave FLIGHTS_OWN fetches to the owner.
 *
 *  The owner fetches (from memory, workers, siblings, parents) and tells the
 *  outcome by flights_land or flights_fail. It may want a chunk for itself too.
 */
#ifndef FLIGHTS_H
#define FLIGHTS_H

#include "message.h"
#include "millis.h"
#include "peer.h"
#include "sink.h"

#define FLIGHTS_MOST 1024
#define FLIGHTS_OWN 128
#define FLIGHTS_ASKERS 4096

typedef struct flights flights_t;

typedef struct {
    //  Begin to fetch the chunk that covers `offset`. May land or fail it
    //  before it returns.
    void (*fetch)(void *with, uint64_t stream, uint64_t offset, millis_t now);
    //  Send an answer; best effort.
    void (*send)(void *with, const peer_t *peer, const message_t *message,
                 buffer_t *payload);
    //  One who asked then is being answered, by a route; UNSPECIFIED: refused.
    //  NULL: nobody counts.
    void (*took)(void *with, Rill__V1__Route route, millis_t asked);
} flights_effects_t;

//  The chunk that was asked for, with what the node knows of its stream.
typedef struct {
    const chunk_header_t *header;
    buffer_t *payload;  //  Lent
    Rill__V1__Route route;
    uint64_t watermark;
    bool sealed;
    micros_t now_us;  //  The origin's clock when it spoke; 0: not known
    uint64_t head;
    const char *source;  //  The node that it was taken from; NULL: from none,
    double source_ms;    //  and how long that one took; 0: since flights_asked
} flights_chunk_t;

//  `effects` are copied; the sink (NULL: none) and `with` are lent until
//  destroy.
flights_t *flights_new(const flights_effects_t *effects, const sink_t *sink,
                       void *with);
void flights_destroy(flights_t **self_p);

//  Somebody asks for the chunk at `offset`; answered by `due` at the latest.
void flights_ask(flights_t *self, const peer_t *peer, const message_t *question,
                 uint64_t stream, uint64_t offset, millis_t due, millis_t now);

//  The owner itself wants that chunk, beside whoever asks, for a request of
//  that trace (0: none). False: too many are wanted already.
bool flights_want(flights_t *self, uint64_t stream, uint64_t offset,
                  uint64_t trace, millis_t now);

//  It does not any more: the flight goes on only for others.
void flights_unwant(flights_t *self, uint64_t stream, uint64_t offset);

//  For the sink: a node (lent while there are flights) is asked for it now, and
//  one that was before gave nothing; NULL: nobody is asked. Or, where several
//  are at once: one that was asked then is late, or was waited for until now.
void flights_asked(flights_t *self, uint64_t stream, uint64_t offset,
                   const char *node);
void flights_late(flights_t *self, uint64_t stream, uint64_t offset,
                  const char *node, micros_t since);
void flights_waited(flights_t *self, uint64_t stream, uint64_t offset,
                    const char *node, micros_t since);

//  One answer, as flights_land gives it, to one who need not wait.
void flights_answer(flights_t *self, const peer_t *peer, uint64_t request,
                    uint64_t trace, const flights_chunk_t *chunk);

//  The offsets of a stream's flights from `from` on and below `to`. Writes up
//  to `most` and returns how many.
size_t flights_within(const flights_t *self, uint64_t stream, uint64_t from,
                      uint64_t to, uint64_t *offsets_r, size_t most);

//  The fetch for (stream, offset) ended: its askers are told and forgotten.
//  Nobody waiting is fine.
void flights_land(flights_t *self, uint64_t stream, uint64_t offset,
                  const flights_chunk_t *chunk);
void flights_fail(flights_t *self, uint64_t stream, uint64_t offset,
                  status_t status, const char *text, uint64_t nearest);

//  Whether anybody still waits for (stream, offset), the owner included.
bool flights_wanted(const flights_t *self, uint64_t stream, uint64_t offset);

//  The trace of the request that a flight began for; 0: of none.
uint64_t flights_trace(const flights_t *self, uint64_t stream, uint64_t offset);

//  Flights under way, and askers waiting, now.
size_t flights_count(const flights_t *self);
size_t flights_askers(const flights_t *self);

millis_t flights_due(const flights_t *self);
void flights_sweep(flights_t *self, millis_t now);

#endif
