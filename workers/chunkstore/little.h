/*  little - little-endian numbers in bytes
 */
#ifndef LITTLE_H
#define LITTLE_H

#include <stdint.h>

//  Write the low `size` bytes of `number`, least first.
static inline void
little_put(uint8_t *to, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (uint8_t)(number >> (8 * i));
}

//  Read `size` bytes, least first.
static inline uint64_t
little_get(const uint8_t *from, unsigned size)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < size; i++)
        number |= (uint64_t)from[i] << (8 * i);
    return number;
}

#endif
