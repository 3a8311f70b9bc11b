/*  survey - which records an inventory says, message by message
 *
 *  Invariants
 *    1. It covers every record of the streams that lies above the settled mark
 *       their headers show, whatever was sent before.
 *    2. A message that was not sent is filled again from the same place.
 *
 *  A part of the storage core; it walks the store through the core's effects.
 */
#ifndef SURVEY_H
#define SURVEY_H

#include "holdings.h"
#include "storage_core.h"

typedef struct survey survey_t;

//  Effects and `with` are lent until destroy.
survey_t *survey_new(const storage_effects_t *effects, void *with);
void survey_destroy(survey_t **self_p);

//  Begin anew: look which epochs of these streams have something above their
//  settled mark. A stream of which none has is said by its newest epoch and
//  the mark alone. What the store answers when it cannot be read: then nothing
//  is to be said.
status_t survey_begin(survey_t *self, const uint64_t *streams, size_t count);

//  Fill `holdings` with the next message. `*last_r`: nothing comes after it.
status_t survey_fill(survey_t *self, holdings_t *holdings, bool *last_r);

//  The message that was filled last is sent.
void survey_sent(survey_t *self);

#endif
