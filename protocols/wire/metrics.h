/*  metrics - a node's counters and health over HTTP, in the loop of its actor
 *
 *  Invariants
 *    1. (house 18) At most METRICS_MOST connections, METRICS_HEAD_BYTES of a
 *       request, METRICS_IDLE_S without a word; one more than there is room for
 *       ends the oldest.
 *    2. Text is built when it is asked for, and one answer ends a connection.
 *    3. A stream's name is a label of at most as many streams as settings say;
 *       what a peer sends is none.
 *
 *      GET /metrics    Prometheus' text, version 0.0.4
 *      GET /healthz    200: the node's loop turns
 *      GET /readyz     200, or 503 and a sentence: it is still catching up
 *
 *  Another path is 404, another method 405. One of each node.
 */
#ifndef METRICS_H
#define METRICS_H

#include <czmq.h>

#include "counters.h"

#define METRICS_MOST 64
#define METRICS_HEAD_BYTES 8192
#define METRICS_IDLE_S 5

typedef struct metrics metrics_t;

typedef struct {
    settings_role_t role;
    const char *at;  //  HOST:PORT; "": loopback, any free port
    size_t streams;  //  To be named
    //  What the node counts, added to `to`.
    void (*count)(void *with, counters_t *to);
    //  NULL: it is ready. Else why not; lent until the next call.
    const char *(*unready)(void *with);
    //  Streams of an id from `from` on, some of them, lent until the next
    //  call; `*next_r` is where they go on, 0: nowhere. NULL: it has none.
    size_t (*tell)(void *with, uint64_t from, Rill__V1__StreamReport ***list_r,
                   uint64_t *next_r);
    void *with;
} metrics_place_t;

//  Listen. `place` is copied, its strings are lent until destroy. STATUS_ADDRESS:
//  it cannot be bound, `why_r` says why; STATUS_LIMIT: no descriptor.
status_t metrics_new(zloop_t *loop, const metrics_place_t *place,
                     metrics_t **self_r, char *why_r, size_t why_size);
void metrics_destroy(metrics_t **self_p);

//  HOST:PORT where it answers; "" of NULL.
const char *metrics_at(const metrics_t *self);

#endif
