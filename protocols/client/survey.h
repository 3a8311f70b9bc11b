/*  survey - questions to many nodes at the same time
 *
 *  Invariants
 *    1. However many nodes do not answer, all of them together cost the time
 *       that one of them costs.
 *    2. An answer is one to the node's last question.
 *
 *  Blocking, for programs; used in one thread. A process calls sockets_begin
 *  before.
 */
#ifndef SURVEY_H
#define SURVEY_H

#include "message.h"
#include "millis.h"

typedef struct survey survey_t;

//  A survey of nodes at "HOST:PORT", which are connected now. One that has no
//  address or for which there is no descriptor never answers. The caller owns
//  it.
survey_t *survey_new(const char *const *ats, size_t count);
void survey_destroy(survey_t **self_p);

//  Ask the nth node; an answer that is still there is freed. `question` needs
//  no request.
void survey_ask(survey_t *self, size_t nth, message_t *question);

//  Wait until everybody who was asked has answered, or it is `until`.
void survey_wait(survey_t *self, millis_t until);

//  The answer of the nth node, which may be a refusal, to be freed with
//  message_free; NULL: there is none, or it was taken.
message_t *survey_take(survey_t *self, size_t nth);

#endif
