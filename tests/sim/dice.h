/*  dice - chance from one seed
 *
 *  The same seed gives the same throws on every machine (splitmix64).
 */
#ifndef DICE_H
#define DICE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} dice_t;

//  Mix one number into another, as a hash.
static inline uint64_t
dice_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t
dice_next(dice_t *self)
{
    return dice_mix(self->state += 0x9e3779b97f4a7c15u);
}

//  0 to `sides` - 1.
static inline uint64_t
dice_below(dice_t *self, uint64_t sides)
{
    return dice_next(self) % sides;
}

//  `least` to `most`, both included.
static inline int64_t
dice_between(dice_t *self, int64_t least, int64_t most)
{
    return least + (int64_t)dice_below(self, (uint64_t)(most - least) + 1);
}

//  True `permille` times of a thousand.
static inline bool
dice_chance(dice_t *self, unsigned permille)
{
    return dice_below(self, 1000) < permille;
}

#endif
