/*  requests - questions at a front that are not answered yet, for its tap
 *
 *  Invariants
 *    1. (B6) While nobody wants to hear of requests or faults none is kept.
 *    2. (house 18) At most REQUESTS_MOST are; the oldest is given up for one
 *       more, and not told.
 *    3. One that began before anybody listened is not told: nobody knows when.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "sink.h"

#define REQUESTS_MOST 4096

typedef struct requests requests_t;

//  `sink` is lent until destroy; it is told a Request for each answer.
requests_t *requests_new(const sink_t *sink);
void requests_destroy(requests_t **self_p);

//  Something came to the front. What no answer ends is no question.
void requests_asked(requests_t *self, const peer_t *asker,
                    const message_t *question);

//  How the answer to one of them came about.
void requests_sourced(requests_t *self, const peer_t *asker, uint64_t request,
                      const sink_source_t *source);

//  Something was said at the front: the first word under a question's request
//  is its answer. A refusal is told as a fault, too, unless it is as good an
//  answer as another: UNKNOWN, MISS, FUTURE, TAKEN.
void requests_answered(requests_t *self, const peer_t *asker,
                       const message_t *answer, const buffer_t *payload);

//  How many are kept.
size_t requests_count(const requests_t *self);

#endif
