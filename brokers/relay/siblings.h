/*  siblings - what a group's members say to each other by datagram
 *
 *  Invariants
 *    1. A packet counts once: repeated, older than the last 64 of its sender,
 *       of a lower incarnation heard before, or of a stranger it is nothing.
 *    2. A question ends: with the first YES, with a NO of everybody heard of in
 *       the last SIBLINGS_HEARD_MS, or after SIBLINGS_WAIT_MS.
 *    3. (house 18) At most SIBLINGS_QUESTIONS are remembered.
 *
 *  live.md 5. What packets say is a hint; it changes no state but this memory.
 */
#ifndef SIBLINGS_H
#define SIBLINGS_H

#include "millis.h"
#include "packet.h"
#include "sink.h"

#define SIBLINGS_MOST 64
#define SIBLINGS_QUESTIONS 1024
#define SIBLINGS_HEARD_MS 3000
#define SIBLINGS_WAIT_MS 5
#define SIBLINGS_REMEMBER_MS 2000
#define SIBLINGS_RUN_BYTES (16 * 1024 * 1024)

typedef struct siblings siblings_t;

typedef enum {
    SIBLINGS_ASK,   //  New: say WHO, and come back
    SIBLINGS_OPEN,  //  It has been asked and is not answered yet
    SIBLINGS_HAS,   //  This one does
    SIBLINGS_NONE,  //  Nobody does
} siblings_outcome_t;

//  Names are lent for the call; siblings are numbered in their order.
siblings_t *siblings_new(const char *group, const char *const *names,
                         size_t count);
void siblings_destroy(siblings_t **self_p);

//  A packet came. Which sibling said it, or -1: it is nothing.
int siblings_take(siblings_t *self, const packet_t *packet, millis_t now);

//  Whether it was heard by datagram lately.
bool siblings_heard(const siblings_t *self, int sibling, millis_t now);

//  Who holds (stream, from), a run or PACKET_LIVE? Its outcome is remembered
//  for SIBLINGS_REMEMBER_MS.
siblings_outcome_t siblings_ask(siblings_t *self, uint64_t stream,
                                uint64_t from, millis_t now, int *sibling_r);

//  A YES or NO of a sibling.
void siblings_answer(siblings_t *self, int sibling, const packet_t *packet,
                     millis_t now);

//  Forget the outcome: it was wrong.
void siblings_forget(siblings_t *self, uint64_t stream, uint64_t from);

//  What is told of a question, and nothing else.
typedef struct {
    uint64_t trace;     //  Of the request that led to it
    micros_t asked_us;  //  By the sink's clock
} siblings_mark_t;

//  The mark of a question that is remembered, its asker's to write; lent until
//  the next call. NULL: it is not.
siblings_mark_t *siblings_mark(const siblings_t *self, uint64_t stream,
                               uint64_t from);

//  When the next open question ends.
millis_t siblings_due(const siblings_t *self);

//  End those that are due, whoever asked: he may not come back.
void siblings_sweep(siblings_t *self, millis_t now);

#endif
