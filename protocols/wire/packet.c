#include "packet.h"

#include <string.h>

#define MAGIC "RLS1"
#define VERSION 1

enum { TAG_BYTES = 16, SAID_BYTES = PACKET_BYTES - TAG_BYTES };

static void
put(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t
take(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

//  ---- SipHash-2-4, 128 bits

static uint64_t
turned(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

static void
rounds(uint64_t v[4], int count)
{
    for (int i = 0; i < count; i++) {
        v[0] += v[1];
        v[1] = turned(v[1], 13) ^ v[0];
        v[0] = turned(v[0], 32);
        v[2] += v[3];
        v[3] = turned(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = turned(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = turned(v[1], 17) ^ v[2];
        v[2] = turned(v[2], 32);
    }
}

static void
siphash(const uint8_t *bytes, size_t size, const uint8_t *key, uint8_t *tag_r)
{
    uint64_t k0 = take(key, 8), k1 = take(key + 8, 8);
    uint64_t v[4] = { 0x736f6d6570736575 ^ k0, 0x646f72616e646f6d ^ k1 ^ 0xee,
                      0x6c7967656e657261 ^ k0, 0x7465646279746573 ^ k1 };
    size_t whole = size & ~(size_t)7;
    for (size_t at = 0; at < whole; at += 8) {
        uint64_t word = take(bytes + at, 8);
        v[3] ^= word;
        rounds(v, 2);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)size << 56 | take(bytes + whole, size - whole);
    v[3] ^= last;
    rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xee;
    rounds(v, 4);
    put(tag_r, v[0] ^ v[1] ^ v[2] ^ v[3], 8);
    v[1] ^= 0xdd;
    rounds(v, 4);
    put(tag_r + 8, v[0] ^ v[1] ^ v[2] ^ v[3], 8);
}

//  ---- names and keys

uint64_t
packet_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (const char *at = name; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
    return hash;
}

void
packet_key(const char *cluster, const char *group,
           uint8_t key_r[PACKET_KEY_BYTES])
{
    put(key_r, packet_name(cluster), 8);
    put(key_r + 8, packet_name(group), 8);
}

//  ---- the form

void
packet_pack(const packet_t *packet, const uint8_t key[PACKET_KEY_BYTES],
            uint8_t to[PACKET_BYTES])
{
    memset(to, 0, PACKET_BYTES);
    memcpy(to, MAGIC, 4);
    to[4] = VERSION;
    to[5] = (uint8_t)packet->type;
    put(to + 6, packet->place, 2);
    put(to + 8, packet->group, 8);
    put(to + 16, packet->node, 8);
    put(to + 24, packet->incarnation, 8);
    put(to + 32, packet->counter, 8);
    put(to + 40, packet->stream, 8);
    put(to + 48, packet->from, 8);
    put(to + 56, packet->to, 8);
    put(to + 64, packet->grant, 8);
    siphash(to, SAID_BYTES, key, to + SAID_BYTES);
}

//  Whether two tags are equal, in a time that does not tell where they differ.
static bool
same_tag(const uint8_t *a, const uint8_t *b)
{
    uint8_t differ = 0;
    for (size_t i = 0; i < TAG_BYTES; i++)
        differ |= a[i] ^ b[i];
    return differ == 0;
}

status_t
packet_unpack(const void *bytes, size_t size,
              const uint8_t key[PACKET_KEY_BYTES], packet_t *packet_r)
{
    const uint8_t *from = bytes;
    uint8_t tag[TAG_BYTES];
    if (size != PACKET_BYTES || memcmp(from, MAGIC, 4) != 0)
        return STATUS_MALFORMED;
    siphash(from, SAID_BYTES, key, tag);
    if (!same_tag(tag, from + SAID_BYTES))
        return STATUS_CORRUPT;
    if (from[4] != VERSION)
        return STATUS_VERSION;
    if (from[5] < PACKET_WHO || from[5] > PACKET_CARRY || take(from + 72, 8))
        return STATUS_MALFORMED;
    *packet_r = (packet_t){ .type = (packet_type_t)from[5],
                            .place = (uint16_t)take(from + 6, 2),
                            .group = take(from + 8, 8),
                            .node = take(from + 16, 8),
                            .incarnation = take(from + 24, 8),
                            .counter = take(from + 32, 8),
                            .stream = take(from + 40, 8),
                            .from = take(from + 48, 8),
                            .to = take(from + 56, 8),
                            .grant = take(from + 64, 8) };
    return STATUS_OK;
}
