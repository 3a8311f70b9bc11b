/*  random - chance: from the system for identity, from a seed for repetition
 *
 *  Ids and tokens are random_u64(). Jitter, and everything in the simulator,
 *  comes out of a random_t: a plain value, so that one seed is one run and a
 *  copy of it goes on as the original would.
 *
 *  random_t is xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear
 *  pseudorandom number generators", ACM TOMS 47, 2021), filled from the seed
 *  by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as its authors advise.
 *  It is no secret: whoever sees its numbers can go on with them.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdbool.h>
#include <stdint.h>

//  64 bits of the system's entropy; never 0, so that 0 can mean "none".
uint64_t random_u64(void);

typedef struct {
    uint64_t state[4];
} random_t;

//  The generator of a seed; every seed, 0 too, is good.
random_t random_seeded(uint64_t seed);

//  The next 64 bits.
uint64_t random_next(random_t *self);

//  A number from 0 to `bound` - 1, each as likely; `bound` is not 0. (Lemire,
//  "Fast random integer generation in an interval", ACM TOMACS 29, 2019.)
uint64_t random_below(random_t *self, uint64_t bound);

//  True with the chance `of` in `in`; `in` is not 0.
bool random_chance(random_t *self, uint64_t of, uint64_t in);

#endif
