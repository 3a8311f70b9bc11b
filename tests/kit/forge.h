/*  forge - any message there is, made from any bytes
 *
 *  For fuzz targets: a decoder hears what no peer would say, and yet enough of
 *  it fits what the receiver knows (its sessions, streams, offsets) to get
 *  past the first refusal. The same bytes give the same messages.
 */
#ifndef FORGE_H
#define FORGE_H

#include <stdbool.h>

#include "message.h"

enum { FORGE_KNOWN = 64 };

//  What is left of the input, and what the receiver knows.
typedef struct {
    const uint8_t *bytes;
    size_t size;
    uint64_t known[FORGE_KNOWN];  //  A ring of the numbers learned last
    size_t learned;
} forge_t;

//  The next byte of the input; 0 when it is over.
uint8_t forge_byte(forge_t *self);

//  Whether there is more of it.
bool forge_has_more(const forge_t *self);

//  A number: small, known, near a known one, or any.
uint64_t forge_number(forge_t *self);

//  A number that the receiver may know: said by it, or told to it.
void forge_learn(forge_t *self, uint64_t number);

//  Learn every number in a message.
void forge_learn_all(forge_t *self, const message_t *message);

//  A message, as it would come off a socket: NULL when what was made is not
//  one. Its kind is one of the `kinds_count` field numbers of Message's body
//  (RILL__V1__MESSAGE__BODY_…); 0: any. Free it with message_free. Its payload
//  (NULL: it has none) is unreferenced by the caller; the header of a chunk
//  often fits it.
message_t *forge_message(forge_t *self, const int *kinds, size_t kinds_count,
                         buffer_t **payload_r);

#endif
