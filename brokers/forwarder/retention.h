/*  retention - how far the horizon may move: time, bytes and space as numbers
 *
 *  Invariants (write.md R15)
 *    1. The clock that blocks are stamped with runs as monotonic time does and
 *       never goes back, also over restarts: a step of the wall's clock while
 *       the forwarder runs changes nothing.
 *    2. The horizon never goes back and never passes the clock.
 *    3. By age it moves at most 2 s per monotonic second, over spans in which
 *       something was stored; over empty ones it jumps. So what was stored
 *       since the start is kept for `keep`, whatever the walls say.
 *    4. For space it moves from one extent's end to the next, and only when the
 *       oldest of all can go, for only that gives space back.
 *    5. Without a limit it stays where it is.
 */
#ifndef RETENTION_H
#define RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "millis.h"

typedef struct {
    uint64_t keep_ms;     //  Age; 0: for ever
    uint64_t most_bytes;  //  Of all streams together; 0: any number
    uint64_t keep_free;   //  Bytes free on the fullest worker; 0: none
} retention_limits_t;

typedef struct {
    retention_limits_t limits;
    micros_t clock_us;  //  At `at`
    millis_t at;
    micros_t horizon_us;  //  What was begun below it may be gone
    millis_t spaced;      //  When it last moved for a worker's space
} retention_t;

//  What there is of streams that the limits are for.
typedef struct {
    micros_t oldest_us;  //  When the oldest extent was begun; RETENTION_NONE
    micros_t oldest_end_us;  //  Nothing in it is younger; RETENTION_NONE: it
                             //  cannot go yet
    uint64_t bytes;
    bool short_of_space;  //  A worker has less free than keep_free
} retention_stock_t;

#define RETENTION_NONE INT64_MAX

//  Take up what an earlier life recorded: its clock and horizon, 0 and 0 when
//  there is none. `wall_us` is looked at once.
void retention_start(retention_t *self, const retention_limits_t *limits,
                     micros_t wall_us, micros_t clock_us, micros_t horizon_us,
                     millis_t now);

//  The time of what happens now (invariant 1).
micros_t retention_clock(const retention_t *self, millis_t now);

//  Whether anything is limited.
bool retention_limited(const retention_t *self);

//  How much time one extent and one segment may span: what lies in them goes
//  together. 1/32 of `keep`, 1 s to 1 h.
millis_t retention_span_ms(const retention_t *self);

//  Whether an extent begun at `begun_us` that has `bytes` is to be ended.
bool retention_ends(const retention_t *self, micros_t begun_us, uint64_t bytes,
                    millis_t now);

//  Move the horizon as far as age allows; true when it moved.
bool retention_age(retention_t *self, const retention_stock_t *stock,
                   millis_t elapsed_ms, millis_t now);

//  Move it past the oldest extent when space is wanted; true when it moved.
//  `pause_ms`: how long workers need to give space back.
bool retention_space(retention_t *self, const retention_stock_t *stock,
                     millis_t pause_ms, millis_t now);

//  Whether space is wanted, and there is something.
bool retention_wants(const retention_t *self, const retention_stock_t *stock);

#endif
