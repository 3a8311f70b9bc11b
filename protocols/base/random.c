#include "random.h"

#include <errno.h>
#include <sys/random.h>

#include "invariant.h"

uint64_t
random_u64(void)
{
    uint64_t number = 0;
    while (number == 0) {
        ssize_t got = getrandom(&number, sizeof(number), 0);
        //  Up to 256 bytes come whole once the pool is ready; a signal may
        //  interrupt only the wait for that (getrandom(2)).
        INVARIANT(got == sizeof(number) || (got == -1 && errno == EINTR));
        if (got == -1)
            number = 0;
    }
    return number;
}

static uint64_t
rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

random_t
random_seeded(uint64_t seed)
{
    random_t self;
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        self.state[i] = z ^ (z >> 31);
    }
    return self;
}

uint64_t
random_next(random_t *self)
{
    uint64_t *s = self->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t
random_below(random_t *self, uint64_t bound)
{
    INVARIANT(bound > 0);
    unsigned __int128 wide = (unsigned __int128)random_next(self) * bound;
    if ((uint64_t)wide < bound) {
        uint64_t uneven = -bound % bound;
        while ((uint64_t)wide < uneven)
            wide = (unsigned __int128)random_next(self) * bound;
    }
    return (uint64_t)(wide >> 64);
}

bool
random_chance(random_t *self, uint64_t of, uint64_t in)
{
    return random_below(self, in) < of;
}
