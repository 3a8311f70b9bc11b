#include "checksum.h"

#include <isa-l/crc.h>

#include "large.h"

//  What fits the first cache: a step is read from memory once.
#define STEP_BYTES (4 * 1024)

//  ISA-L counts in int.
#define MOST_BYTES (1u << 30)

//  ISA-L only reads, but takes the pointer without its const; the way round
//  by an integer keeps -Wcast-qual for everybody else.
static uint32_t
more(uint32_t crc, const uint8_t *bytes, size_t size)
{
    return ~crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)size, ~crc);
}

uint32_t
checksum_crc32c_more(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (; size > MOST_BYTES; at += MOST_BYTES, size -= MOST_BYTES)
        crc = more(crc, at, MOST_BYTES);
    return size ? more(crc, at, size) : crc;
}

uint32_t
checksum_crc32c(const void *bytes, size_t size)
{
    return checksum_crc32c_more(0, bytes, size);
}

uint32_t
checksum_copy_crc32c(void *to, const void *from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    uint32_t crc = 0;
    while (size > 0) {
        size_t step = size < STEP_BYTES ? size : STEP_BYTES;
        crc = more(crc, source, step);
        large_copy(target, source, step);
        source += step;
        target += step;
        size -= step;
    }
    return crc;
}
