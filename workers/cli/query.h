/*  query - which events somebody wants to see: 'ms > 50 and stream ~ "cam*"'
 *
 *  Invariants
 *    1. A text is a query, or it is refused with the place where it goes wrong
 *       and what was expected there.
 *    2. A kind that query_may denies has no event that query_holds would want.
 *
 *      query      = and { "or" and }
 *      and        = not { "and" not }
 *      not        = "not" not | "(" query ")" | comparison
 *      comparison = FIELD [ operator VALUE ]
 *      operator   = "==" | "!=" | "<" | "<=" | ">" | ">=" | "~"
 *
 *  FIELD is one of any kind of event, of all events, or `kind`. VALUE is a word
 *  or a text in quotes; ~ wants a glob. A field alone is true when it says
 *  something: yes, not 0, not empty, not "ok". A comparison with a field that
 *  an event does not have is false. `stream` is the stream's name as well as
 *  its id.
 */
#ifndef QUERY_H
#define QUERY_H

#include "events.h"

#define QUERY_MOST_BYTES 4096
#define QUERY_WHY_BYTES 512

typedef struct query query_t;

//  Read a query. NULL: it is none; `*at_r` is the byte where it goes wrong,
//  from 0, and `why_r` says why. The caller owns it.
query_t *query_new(const char *text, size_t *at_r, char why_r[QUERY_WHY_BYTES]);
void query_destroy(query_t **self_p);

//  Whether an event is wanted.
bool query_holds(const query_t *self, const event_t *event);

//  Whether an event of this kind could be (invariant 2).
bool query_may(const query_t *self, size_t kind);

#endif
