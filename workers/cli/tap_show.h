/*  tap_show - what `rill tap` shows of the events that come, live or recorded
 *
 *  Invariants
 *    1. An event that is wanted is shown, or counted and told: as lost, or as
 *       one too many for -R.
 *    2. What was recorded is shown as it was when it came.
 */
#ifndef TAP_SHOW_H
#define TAP_SHOW_H

#include "events.h"
#include "millis.h"
#include "words.h"

typedef struct tap_show tap_show_t;

//  As the words want it. NULL: they are wrong, which was said; `*code_r` is the
//  exit code. The caller owns it.
tap_show_t *tap_show_new(const words_t *words, int *code_r);

//  What is left is shown and told first. Returns the exit code of that;
//  `*any_r`: whether anything was shown.
int tap_show_end(tap_show_t **self_p, bool *any_r);

//  Which kinds are to be heard.
uint64_t tap_show_kinds(const tap_show_t *self);

//  Whether one word of FILTER is a node's role or a glob of its name.
bool tap_show_is(const char *word, size_t size, const char *name,
                 const char *role);

//  Whether a node is to be heard.
bool tap_show_hears(const tap_show_t *self, const char *name, const char *role);

//  Something came.
void tap_show_event(tap_show_t *self, const event_t *event, millis_t now);
void tap_show_lost(tap_show_t *self, const char *node, size_t kind,
                   uint64_t count);

//  Time went by. Returns when it wants to know it again.
millis_t tap_show_sweep(tap_show_t *self, millis_t now);

//  Whether enough was shown, or nobody reads it any more.
bool tap_show_done(const tap_show_t *self);

#endif
