/*  story - the trace of one play, the checks made, and the breach that ends it
 *
 *  One play at a time, one thread: the story is the program's own. Told fully,
 *  each event goes to stdout as it happens; briefly, the last ones are kept for
 *  a breach; or nothing is told, which is fast: a play is its seed's, and can be
 *  played again. A digest of all that was told says whether two plays were the
 *  same.
 */
#ifndef STORY_H
#define STORY_H

#include <stdbool.h>
#include <stdint.h>

#define STORY_INVARIANTS 22  //  Of the house, 1 to 21

typedef enum {
    STORY_NOTHING,  //  Only a breach
    STORY_BRIEFLY,  //  A breach and what was before it
    STORY_FULLY,
} story_telling_t;

//  A new play of `seed`.
void story_begin(uint64_t seed, story_telling_t telling);

//  What time it is from now on.
void story_time(int64_t now_us);

int64_t story_now(void);

//  One event.
void story_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

//  A house invariant was checked and held.
void story_held(int invariant);

//  Count one happening of a kind, over all plays; kinds live for ever.
void story_count(const char *kind, uint64_t times);

//  What was checked and what happened over all plays, so far.
#define STORY_KINDS 96
typedef struct {
    uint64_t held[STORY_INVARIANTS];
    struct {
        const char *kind;
        uint64_t times;
    } counts[STORY_KINDS];
    uint64_t seed;  //  Of the play that runs or ran last
} story_tally_t;

//  Count there from now on; lent for ever.
void story_tally(story_tally_t *tally);
//  Add what another counted.
void story_add(const story_tally_t *other);

//  A house invariant (0: something else that must not be) is broken: say
//  which, the seed, the last events when they were told, and how to replay, and
//  end the program with exit code 1; or, when a hook is set, call that instead.
_Noreturn void story_breach(int invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

//  The words that replay this play ("rill-sim --seed 7 ..."), for a breach.
void story_replay(const char *words);

//  Tests of the checker: called with the broken invariant; does not return.
typedef void story_hook_fn(int invariant);
void story_hook(story_hook_fn *hook);

//  Also tell a breach when the process dies of a signal (an invariant of the
//  code under test broke, or a play takes too long).
void story_catch_signals(void);

uint64_t story_digest(void);

#endif
