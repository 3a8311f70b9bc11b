/*  agenda - what happens next, in virtual time
 *
 *  Invariants
 *    1. Things happen in the order of their times, and at one time in the
 *       order in which they were put down.
 *    2. Time jumps from one thing to the next and never goes back.
 */
#ifndef AGENDA_H
#define AGENDA_H

#include <stdbool.h>
#include <stdint.h>

typedef struct agenda agenda_t;

//  Do what was put down; the thing owns `arg` then. With `happens` false the
//  play is over: only free it.
typedef void agenda_fn(void *arg, bool happens);

agenda_t *agenda_new(void);
void agenda_destroy(agenda_t **self_p);

//  Microseconds since the play began.
int64_t agenda_now(const agenda_t *self);

//  Put down something `after_us` from now.
void agenda_add(agenda_t *self, int64_t after_us, agenda_fn *function,
                void *arg);

//  Let the next thing happen; false when nothing is to come before
//  `until_us`, and then it is that time.
bool agenda_turn(agenda_t *self, int64_t until_us);

#endif
