#include "content.h"

#include <string.h>

#include "dice.h"

uint64_t
content_key(const char *name, uint64_t token)
{
    uint64_t key = token;
    for (const char *p = name; *p; p++)
        key = dice_mix(key + (uint8_t)*p);
    return key;
}

static uint64_t
word(uint64_t key, uint64_t number)
{
    return dice_mix(key + number * 0x9e3779b97f4a7c15u);
}

void
content_fill(uint64_t key, uint64_t offset, void *to, size_t size)
{
    uint8_t *bytes = to;
    while (size) {
        uint64_t value = word(key, offset / 8);
        size_t skip = offset % 8, part = 8 - skip < size ? 8 - skip : size;
        memcpy(bytes, (uint8_t *)&value + skip, part);
        bytes += part, offset += part, size -= part;
    }
}

bool
content_is(uint64_t key, uint64_t offset, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size) {
        uint64_t value = word(key, offset / 8);
        size_t skip = offset % 8, part = 8 - skip < size ? 8 - skip : size;
        if (memcmp(at, (uint8_t *)&value + skip, part) != 0)
            return false;
        at += part, offset += part, size -= part;
    }
    return true;
}
