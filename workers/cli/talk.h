/*  talk - what rill says to people: on stderr, apart from its data
 *
 *  An error is one sentence: what happened, where, what to do. Progress is
 *  shown only when stderr is a terminal, in one line that is written over.
 */
#ifndef TALK_H
#define TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "millis.h"
#include "status.h"

//  Say "rill VERB: SENTENCE"; returns `code`, an exit code of sysexits.h.
int talk_fail(const char *verb, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

//  Say a sentence that is not an error. Ends a line of progress.
void talk_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

//  The exit code for a status (0 for STATUS_OK).
int talk_code(status_t status);

//  From now on SIGINT and SIGTERM end nothing but are noted.
void talk_note_signals(void);

//  Whether one has come.
bool talk_interrupted(void);

//  How far something is.
typedef struct {
    uint64_t total;  //  0: unknown
    uint64_t begun;  //  Bytes that were there when it began
    millis_t since;
    millis_t shown;
    bool is_shown;  //  A line stands that must be written over
    bool is_on;     //  stderr is a terminal
} talk_progress_t;

void talk_progress_begin(talk_progress_t *self, uint64_t total, uint64_t begun,
                         millis_t now);

//  Show it, a few times a second.
void talk_progress(talk_progress_t *self, uint64_t bytes, millis_t now);

//  Take the line away; null is fine. Before `self` goes out of scope.
void talk_progress_end(talk_progress_t *self);

//  When it wants to be shown next; MILLIS_NEVER when it is off.
millis_t talk_progress_due(const talk_progress_t *self);

#endif
