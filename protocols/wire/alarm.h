/*  alarm - the one deadline of an actor, kept by its loop
 *
 *  Invariants
 *    1. Its handler may close any socket and end any reader of the loop: it is
 *       called as readers are, one at a time. A handler of zloop_timer may not:
 *       zloop goes on with what it polled before, closed or not.
 */
#ifndef ALARM_H
#define ALARM_H

#include <czmq.h>

#include "millis.h"

typedef struct alarm alarm_t;

//  What is due; -1 ends the loop.
typedef int alarm_fn(void *arg);

//  An alarm of `loop` that is set to nothing. `arg` is lent until destroy.
//  NULL: no descriptor can be had.
alarm_t *alarm_new(zloop_t *loop, alarm_fn *rings, void *arg);
void alarm_destroy(alarm_t **self_p);

//  Ring once at `due` of zclock_mono, soon if that is over; in place of what
//  it was set to. MILLIS_NEVER: not at all.
void alarm_set(alarm_t *self, millis_t due);

#endif
