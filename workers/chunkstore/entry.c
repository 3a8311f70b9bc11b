#include "entry.h"

#include "little.h"

chunkstore_entry_t
entry_of(const chunk_header_t *header)
{
    uint64_t block_index = header->base_index +
                           header->key.block * header->code.k;
    return (chunkstore_entry_t){
        .key = header->key,
        .index = chunk_is_parity(header) ? block_index : chunk_index(header),
        .offset = header->offset,
        .length = header->length,
        .created_us = header->created_us,
        .payload_crc = header->payload_crc,
        .flags = header->flags,
        .k = header->code.k,
    };
}

static void
put_big(uint8_t *to, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
}

static uint64_t
get_big(const uint8_t *from, unsigned size)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < size; i++)
        number = number << 8 | from[i];
    return number;
}

void
entry_pack_key(const chunk_key_t *key, uint8_t *to)
{
    put_big(to, key->stream, 8);
    put_big(to + 8, key->epoch, 8);
    put_big(to + 16, key->block, 8);
    put_big(to + 24, key->slot, 4);
}

void
entry_unpack_key(const uint8_t *from, chunk_key_t *key_r)
{
    key_r->stream = get_big(from, 8);
    key_r->epoch = get_big(from + 8, 8);
    key_r->block = get_big(from + 16, 8);
    key_r->slot = (uint32_t)get_big(from + 24, 4);
}

void
entry_pack_facts(const chunkstore_entry_t *entry, uint8_t own, uint8_t *to)
{
    little_put(to, entry->index, 8);
    little_put(to + 8, entry->offset, 8);
    little_put(to + 16, (uint64_t)entry->created_us, 8);
    little_put(to + 24, entry->length, 4);
    little_put(to + 28, entry->payload_crc, 4);
    little_put(to + 32, entry->flags, 2);
    to[34] = entry->k;
    to[35] = own;
}

void
entry_unpack_facts(const uint8_t *from, chunkstore_entry_t *entry_r,
                   uint8_t *own_r)
{
    entry_r->index = little_get(from, 8);
    entry_r->offset = little_get(from + 8, 8);
    entry_r->created_us = (micros_t)little_get(from + 16, 8);
    entry_r->length = (uint32_t)little_get(from + 24, 4);
    entry_r->payload_crc = (uint32_t)little_get(from + 28, 4);
    entry_r->flags = (uint16_t)little_get(from + 32, 2);
    entry_r->k = from[34];
    *own_r = from[35];
}
