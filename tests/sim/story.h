/*  story - the trace of one play, the checks made, and the breach that ends it
 *
 *  One play at a time, one thread: the story is the program's own. The last
 *  events are kept; with printing on each goes to stdout as it happens. A
 *  digest of all of them tells whether two plays were the same.
 */
#ifndef STORY_H
#define STORY_H

#include <stdbool.h>
#include <stdint.h>

#define STORY_INVARIANTS 22  //  Of the house, 1 to 21

//  A new play of `seed`.
void story_begin(uint64_t seed, bool print);

//  What time it is from now on.
void story_time(int64_t now_us);

//  One event.
void story_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

//  A house invariant was checked and held.
void story_held(int invariant);

//  How often, over all plays.
uint64_t story_checks(int invariant);

//  Count one happening of a kind, over all plays; kinds live for ever.
void story_count(const char *kind, uint64_t times);
void story_counts(void (*each)(void *arg, const char *kind, uint64_t times),
                  void *arg);

//  A house invariant (0: something else that must not be) is broken: say
//  which, the seed, the last events and how to replay, and end the program
//  with exit code 1; or, when a hook is set, call that instead.
_Noreturn void story_breach(int invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

//  The words that replay this play ("rill-sim --seed 7 ..."), for a breach.
void story_replay(const char *words);

//  Tests of the checker: called with the broken invariant; does not return.
typedef void story_hook_fn(int invariant);
void story_hook(story_hook_fn *hook);

//  Also tell a breach when the process dies of a signal (an invariant of the
//  code under test broke).
void story_catch_signals(void);

uint64_t story_digest(void);

#endif
