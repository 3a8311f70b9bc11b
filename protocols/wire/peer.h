/*  peer - who said it: the way back to whoever sent a message
 *
 *  A plain value. On a ROUTER it is every frame up to the empty delimiter,
 *  each with its length before it; in the simulator a number. Two messages
 *  from one connection have equal peers. It names a connection, never a
 *  person or a right: routing ids are chosen by the peer.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "bounds.h"

typedef struct {
    uint8_t size;  //  0: nobody
    uint8_t bytes[LIMIT_PEER_BYTES];
} peer_t;

static inline bool
peer_equal(const peer_t *a, const peer_t *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

#endif
