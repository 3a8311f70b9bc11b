/*  source - what put and push have in common while bytes are on their way
 *
 *  Progress, why nothing moves, when to give up, signals, and the line that
 *  says at the end what became of it.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "client.h"
#include "talk.h"
#include "words.h"

typedef struct {
    const words_t *words;
    const char *name;
    code_t asked;
    uint64_t total;  //  0: unknown
    millis_t begun;  //  When it was opened; 0: not yet
    millis_t started;
    millis_t wait_ms;  //  Set by the verb: give up when nothing moved for it;
                       //  0: the usual
    bool stays;        //  Set by the verb: once opened it waits for workers and
                       //  space as long as it takes
    uint64_t first;    //  state.next when it was opened
    status_t held;     //  As last told
    millis_t moved;    //  When something last moved
    millis_t completed;  //  When it was complete and not yet settled; 0: not
    uint64_t mark;       //  What had moved then
    code_t code;         //  As last seen
    bool is_narrower;    //  As last seen
    bool gave_up;        //  Nothing moved for too long
    bool is_unsettled;   //  Complete, but nothing more gets settled
    talk_progress_t progress;
} source_t;

//  Begin; SIGINT and SIGTERM are noted from now on.
void source_begin(source_t *self, const words_t *words, const char *name,
                  code_t asked, uint64_t total);

//  Look at the state; say what is to be said. False: it is over, turn->stop is
//  set.
bool source_look(source_t *self, const publisher_state_t *state,
                 client_turn_t *turn, millis_t now);

//  Say what became of it. `code` is not 0 when that was said already. Returns
//  the exit code.
int source_end(source_t *self, const publisher_state_t *state, int code);

#endif
