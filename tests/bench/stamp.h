/*  stamp - how a chunk of a benchmark begins: which it is, and when it was sent
 */
#ifndef STAMP_H
#define STAMP_H

#include <stdint.h>
#include <time.h>

#define STAMP_MAGIC UINT64_C(0x706d617473206c72)

typedef struct {
    uint64_t magic;
    uint64_t number;
    uint64_t at_ns;  //  CLOCK_MONOTONIC, the same for all of a machine
} stamp_t;

static inline uint64_t
stamp_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
