/*  ears - a sink that remembers what it was told
 *
 *  While `sink.wanted` is 0 whoever tells anything, or looks at the clock for
 *  it, has done for nobody what costs something: `all` and `clocks` show it.
 */
#ifndef EARS_H
#define EARS_H

#include "sink.h"

typedef struct {
    sink_t sink;
    unsigned told[64], all;  //  By kind, and of all kinds
    unsigned clocks;         //  Looks at it; each is a millisecond later
    event_t *last[64];       //  Of each kind; owned
    unsigned sourced;
    char source[LIMIT_NAME_BYTES + 1];  //  Of the last answer,
    double source_ms;                   //  how long that one took,
    char tried[LIMIT_NAME_BYTES + 1];   //  who gave nothing, how long
    double tried_ms, others_ms;         //  that one took and the others,
    uint64_t joined;                    //  and the trace it waited with
} ears_t;

//  Ears that want nothing yet; and what they remember forgotten.
void ears_begin(ears_t *self);
void ears_end(ears_t *self);

//  Want all kinds.
void ears_open(ears_t *self);

//  The last event of a kind, as in WHAT_KIND, that was told `count` times;
//  fails the case if it was not.
#define EARS_LAST(ears, KIND, count)                                           \
    ears_last(ears, RILL__V1__EVENT__WHAT_##KIND, count)
const event_t *ears_last(const ears_t *self, event_kind_t kind, unsigned count);

#endif
