/*  questions - what others ask a worker, and its answers
 *
 *  Invariants
 *    1. A question is answered or refused once; only Fetch waits, for the
 *       disk.
 *    2. (house 18) At most QUESTIONS_READS reads are open; more are refused
 *       with STATUS_BUSY.
 *    3. (house 8) A Drop or Sweep of a lower term than the highest granted is
 *       refused.
 *
 *  A part of the storage core; it uses the core's effects.
 */
#ifndef QUESTIONS_H
#define QUESTIONS_H

#include "counters.h"
#include "storage_core.h"

#define QUESTIONS_READS 256

typedef struct questions questions_t;

//  What a report says of the worker beside its store.
typedef struct {
    const char *name;
    const sink_t *sink;    //  Where its events are told; NULL: nowhere
    const char *state;     //  joining, live, away, full
    uint64_t unreceipted;  //  Chunks taken and not receipted
    millis_t uptime;
    bool stopping;  //  Only StatusAsk is answered
} questions_self_t;

//  Effects, `with` and `counters` are lent until destroy.
questions_t *questions_new(const storage_effects_t *effects, void *with,
                           counters_t *counters);
void questions_destroy(questions_t **self_p);

//  Answer, refuse, or begin to read.
void questions_on_ask(questions_t *self, const peer_t *peer,
                      const message_t *message, const questions_self_t *about);

//  A read has ended: answer it. One that is not open is ignored.
void questions_on_read(questions_t *self, uint64_t token, status_t status,
                       const chunk_header_t *header, buffer_t *payload);

//  Say no to what could not be read but for its request, 0 if not even that.
void questions_refuse(questions_t *self, const peer_t *peer, uint64_t request,
                      status_t status);

//  What the worker counts and what it holds, added to `to`.
void questions_count(const questions_t *self, const questions_self_t *about,
                     counters_t *to);

//  How many reads are open.
size_t questions_open(const questions_t *self);

#endif
