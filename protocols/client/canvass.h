/*  canvass - questions to many nodes at the same time
 *
 *  Invariants
 *    1. However many nodes do not answer, all of them together cost the time
 *       that one of them costs.
 *    2. An answer is one to the node's last question.
 *
 *  Blocking, for programs; used in one thread. A process calls sockets_begin
 *  before.
 */
#ifndef CANVASS_H
#define CANVASS_H

#include "message.h"
#include "millis.h"

typedef struct canvass canvass_t;

//  A canvass of nodes at "HOST:PORT", which are connected now. One that has no
//  address or for which there is no descriptor never answers. The caller owns
//  it.
canvass_t *canvass_new(const char *const *ats, size_t count);
void canvass_destroy(canvass_t **self_p);

//  Ask the nth node; an answer that is still there is freed. `question` needs
//  no request.
void canvass_ask(canvass_t *self, size_t nth, message_t *question);

//  Wait until everybody who was asked has answered, or it is `until`.
void canvass_wait(canvass_t *self, millis_t until);

//  How long the nth node took for its last answer, in milliseconds; 0: it gave
//  none.
double canvass_ms(const canvass_t *self, size_t nth);

//  The answer of the nth node, which may be a refusal, to be freed with
//  message_free; NULL: there is none, or it was taken.
message_t *canvass_take(canvass_t *self, size_t nth);

#endif
