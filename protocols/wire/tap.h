/*  tap - a node's events and counters, told to whoever listens (WIRE.md)
 *
 *  Invariants
 *    1. (B6) What nobody listens to is not built: a kind that has no
 *       subscription is one bit to whoever would tell it. Rare ones are built
 *       and kept always.
 *    2. (B6, house 18) Who does not read loses events: each listener's queue
 *       is bounded, and nothing ever waits for it. Topics, too, are bounded.
 *    3. Events of a kind that are told have numbers without a gap.
 *    4. (B6) Events go together: one waits TAP_WAIT_MS for others at most, and
 *       TAP_WAITING of them at most. A sample goes behind all it counts.
 *
 *  One of each node, in the thread of its actor.
 */
#ifndef TAP_H
#define TAP_H

#include "breaker.h"
#include "requests.h"

#define TAP_TOPICS 1024  //  That are subscribed to; with more it is closed once
#define TAP_LAST 64      //  Rare events that are kept
#define TAP_SAMPLE_MS 1000
#define TAP_WAIT_MS 50
#define TAP_WAITING 512

typedef struct tap tap_t;

typedef struct {
    const char *role;        //  forwarder, worker, cache, director
    const char *node;        //  By the cluster file
    const char *at;          //  HOST:PORT of its front: where it binds
    const char *reach;       //  and where others find it
    const char *metrics_at;  //  HOST:PORT where it answers HTTP
} tap_place_t;

//  A sample is wanted: give it with tap_sample before this returns.
typedef void tap_sample_fn(void *with);

//  A tap that any listener finds at tap_sink()->at. `with` is lent until
//  destroy, the place for ever. Not STATUS_OK: it cannot be bound.
status_t tap_new(zloop_t *loop, const tap_place_t *place, tap_sample_fn *sample,
                 void *with, tap_t **tap_r);
void tap_destroy(tap_t **self_p);

//  Where events are told; lent until destroy.
const sink_t *tap_sink(const tap_t *self);

//  Read, and watched by a breaker, from now on; `flooded` (may be NULL) as in
//  breaker.h.
void tap_guard(tap_t *self, breaker_t *breaker, void (*flooded)(void *with),
               void *with);

//  What the node counts, while it serves (`ready`) or not yet.
void tap_sample(tap_t *self, bool ready, Rill__V1__Counter **counters,
                size_t count);

//  A question came to the front; something was said there, also when it could
//  not be sent. Requests and refusals are told from these.
void tap_asked(tap_t *self, const peer_t *asker, const message_t *question);
void tap_answered(tap_t *self, const peer_t *asker, const message_t *answer,
                  const buffer_t *payload);

//  What came to a socket (front, receipts, …) was not taken, and why.
void tap_fault(tap_t *self, status_t status, const char *where);

#endif
