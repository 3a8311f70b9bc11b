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

//  Bytes up to the next whole word, at most `size`.
static size_t
ragged(uint64_t offset, size_t size)
{
    size_t part = offset % 8 || size < 8 ? 8 - offset % 8 : 0;
    return part < size ? part : size;
}

void
content_fill(uint64_t key, uint64_t offset, void *to, size_t size)
{
    uint8_t *bytes = to;
    while (size) {
        size_t part = ragged(offset, size);
        if (part) {
            uint64_t value = word(key, offset / 8);
            memcpy(bytes, (uint8_t *)&value + offset % 8, part);
            bytes += part, offset += part, size -= part;
        }
        for (; size >= 8; bytes += 8, offset += 8, size -= 8) {
            uint64_t value = word(key, offset / 8);
            memcpy(bytes, &value, 8);
        }
    }
}

bool
content_is(uint64_t key, uint64_t offset, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t wrong = 0;
    while (size) {
        size_t part = ragged(offset, size);
        if (part) {
            uint64_t value = word(key, offset / 8), found = value;
            memcpy((uint8_t *)&found + offset % 8, at, part);
            wrong |= found ^ value;
            at += part, offset += part, size -= part;
        }
        for (; size >= 8; at += 8, offset += 8, size -= 8) {
            uint64_t found;
            memcpy(&found, at, 8);
            wrong |= found ^ word(key, offset / 8);
        }
    }
    return wrong == 0;
}
