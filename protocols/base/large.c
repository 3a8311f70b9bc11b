#include "large.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "invariant.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { LINE = 64 };  //  Of the caches

void *
large_new(size_t size)
{
    size = (size + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    void *bytes = aligned_alloc(LARGE_PAGE, size);
    INVARIANT(bytes);
    (void)madvise(bytes, size, MADV_HUGEPAGE);
    return bytes;
}

//  Whole lines, past the caches; how many bytes.
static size_t
copy_lines(uint8_t *to, const uint8_t *from, size_t size)
{
#ifdef __SSE2__
    size_t done = 0;
    for (; done + LINE <= size; done += LINE) {
        __m128i part[LINE / sizeof(__m128i)];
        memcpy(part, from + done, LINE);
        __m128i *line = (__m128i *)(void *)(to + done);
        for (size_t i = 0; i < LINE / sizeof *part; i++)
            _mm_stream_si128(&line[i], part[i]);
    }
    _mm_sfence();
    return done;
#else
    (void)to, (void)from, (void)size;
    return 0;
#endif
}

void
large_copy(void *to, const void *from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    size_t begin = (LINE - (uintptr_t)target % LINE) % LINE;
    if (begin > size)
        begin = size;
    memcpy(target, source, begin);
    size_t done = begin +
                  copy_lines(target + begin, source + begin, size - begin);
    memcpy(target + done, source + done, size - done);
}
