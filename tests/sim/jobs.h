/*  jobs - many plays in a few processes
 *
 *  Invariants
 *    1. Each seed is played by one process, and each process plays one seed at
 *       a time.
 *    2. What any process counted is counted, also when a breach ended it.
 */
#ifndef JOBS_H
#define JOBS_H

#include <stdbool.h>
#include <stdint.h>

//  Play one seed; the process ends with a code that is not 0 at a breach.
typedef void jobs_play_fn(void *arg, uint64_t seed);

//  Play the seeds `from` to `to` in `jobs` processes. After a breach the others
//  are ended too, unless it `goes_on`. How many breaches there were; *seed_r is
//  the seed of the first. What the plays counted is in the story's tally.
uint64_t jobs_run(uint64_t from, uint64_t to, unsigned jobs, bool goes_on,
                  jobs_play_fn *play, void *arg, uint64_t *seed_r);

#endif
