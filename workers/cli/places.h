/*  places - the list of caches that a terminal keeps
 */
#ifndef PLACES_H
#define PLACES_H

#include "message.h"
#include "words.h"

#define PLACES_MOST 64

//  Ask the director (`words->director`) where to watch a stream, and be counted
//  there. Returns how many places there are, as HOST:PORT in `places_r`, the
//  best first; they are lent from `*offer_r`, which the caller frees with
//  message_free. 0 and NULL: nobody answers or nobody is up.
size_t places_ask(const words_t *words, const char *name,
                  const char *places_r[PLACES_MOST], message_t **offer_r);

#endif
