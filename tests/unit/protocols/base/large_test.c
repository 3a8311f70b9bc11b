#include "large.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

enum { MOST = 1000, AROUND = 70 };

static void
a_copy_is_exact_wherever_it_lies(void)
{
    static uint8_t from[MOST + AROUND], to[MOST + 2 * AROUND];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * 7 + 1);
    for (size_t size = 0; size <= MOST; size += size < 200 ? 1 : 97)
        for (size_t at = 0; at < AROUND; at += 3) {
            const uint8_t *source = from + (at * 5 + size) % AROUND;
            memset(to, 0xee, sizeof to);
            large_copy(to + at, source, size);
            CHECK(memcmp(to + at, source, size) == 0);
            CHECK(at == 0 || to[at - 1] == 0xee);
            CHECK(to[at + size] == 0xee);
        }
}

static void
memory_begins_at_a_large_page(void)
{
    for (size_t size = 1; size <= 3 * LARGE_PAGE; size += LARGE_PAGE / 2) {
        uint8_t *bytes = large_new(size);
        CHECK((uintptr_t)bytes % LARGE_PAGE == 0);
        memset(bytes, 1, size);
        free(bytes);
    }
}

int
main(void)
{
    CASE(a_copy_is_exact_wherever_it_lies,
         "a copy past the caches is exact, wherever it begins and ends");
    CASE(memory_begins_at_a_large_page,
         "memory in large pages begins at one, of any size");
    return proof_end();
}
