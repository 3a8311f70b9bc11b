#include "chunk.h"

#include <string.h>

#include "checksum.h"
#include "invariant.h"

#define MAGIC 0x31434c52u  //  "RLC1"
#define FORM 1             //  Of this layout; not the version of the bus

//  Where each field lies (WIRE.md, "The fixed header").
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_FLAGS = 6,
    AT_STREAM = 8,
    AT_EPOCH = 16,
    AT_BLOCK = 24,
    AT_BASE_INDEX = 32,
    AT_BASE_OFFSET = 40,
    AT_OFFSET = 48,
    AT_LENGTH = 56,
    AT_SLOT = 60,
    AT_K = 61,
    AT_M = 62,
    AT_RETENTION = 63,
    AT_CREATED = 64,
    AT_BLOCK_US = 72,
    AT_WRITER = 80,
    AT_SETTLED = 88,
    AT_WATERMARK = 96,
    AT_START = 104,
    AT_WIDTH = 108,
    AT_POSITION = 110,
    AT_KIND = 112,
    AT_ASKED_K = 113,
    AT_ASKED_M = 114,
    AT_NAME_LENGTH = 115,
    AT_MARKS_COUNT = 116,  //  Then 3 zeros
    AT_PAYLOAD_CRC = 120,
    AT_HEADER_CRC = 124,
    AT_NAME = 128,
    AT_MARKS = 256,
    MARK_BYTES = 24,  //  Offset, media time, kind, 7 zeros
    AT_END = AT_MARKS + LIMIT_MARKS * MARK_BYTES,  //  Then zeros
};
_Static_assert(AT_NAME + LIMIT_NAME_BYTES == AT_MARKS, "a name fits");
_Static_assert(AT_END <= CHUNK_HEADER_BYTES, "the marks fit");

static void
put(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t
get(const uint8_t *from, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | from[i];
    return value;
}

static int
order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int
chunk_key_compare(const chunk_key_t *a, const chunk_key_t *b)
{
    int by = order(a->stream, b->stream);
    if (by == 0)
        by = order(a->epoch, b->epoch);
    if (by == 0)
        by = order(a->block, b->block);
    return by ? by : order(a->slot, b->slot);
}

//  SplitMix64's mix: every bit of `bits` moves every bit of the answer.
static uint64_t
mix(uint64_t bits)
{
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}

size_t
chunk_key_hash(const chunk_key_t *key)
{
    uint64_t hash = mix(key->stream + 0x9e3779b97f4a7c15u);
    hash = mix(hash + key->epoch);
    hash = mix(hash + key->block);
    return (size_t)mix(hash + key->slot);
}

bool
chunk_is_parity(const chunk_header_t *header)
{
    return header->key.slot >= header->code.k;
}

uint64_t
chunk_index(const chunk_header_t *header)
{
    return header->base_index + header->key.block * header->code.k +
           header->key.slot;
}

static bool
letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

bool
chunk_name_legal(const char *name)
{
    if (!letter_or_digit(name[0]))
        return false;
    size_t size = 1;
    for (; name[size]; size++)
        if (size == LIMIT_NAME_BYTES ||
            !(letter_or_digit(name[size]) || strchr("._-", name[size])))
            return false;
    return true;
}

static bool
placement_possible(const chunk_header_t *header)
{
    uint32_t slots = (uint32_t)header->code.k + header->code.m;
    return header->code.k > 0 && slots <= LIMIT_SLOTS &&
           header->key.slot < slots && header->width >= slots &&
           header->width <= LIMIT_WORKERS && header->position < header->width &&
           header->asked.k + header->asked.m <= LIMIT_SLOTS;
}

static bool
extent_possible(const chunk_header_t *header)
{
    uint32_t longest = chunk_is_parity(header)
                           ? LIMIT_CHUNK_BYTES + CHUNK_HEADER_BYTES
                           : LIMIT_CHUNK_BYTES;
    return header->length <= longest &&
           header->offset <= UINT64_MAX - header->length &&
           header->offset >= header->base_offset &&
           !(header->flags & CHUNK_EMPTY && header->length > 0);
}

status_t
chunk_header_check(const chunk_header_t *header)
{
    if (header->kind != KIND_RECORDED && header->kind != KIND_LIVE)
        return STATUS_ARGUMENT;
    if (!placement_possible(header) || !extent_possible(header) ||
        header->marks_count > LIMIT_MARKS)
        return STATUS_ARGUMENT;
    return chunk_name_legal(header->name) ? STATUS_OK : STATUS_NAME;
}

static void
pack_marks(const chunk_header_t *header, uint8_t *to)
{
    for (int i = 0; i < header->marks_count; i++, to += MARK_BYTES) {
        put(to, header->marks[i].offset, 8);
        put(to + 8, (uint64_t)header->marks[i].media_us, 8);
        to[16] = header->marks[i].kind;
    }
}

//  The CRC of a form as if its own field were zero.
static uint32_t
own_crc(const uint8_t *form)
{
    static const uint8_t zero[4];
    uint32_t crc = checksum_crc32c(form, AT_HEADER_CRC);
    crc = checksum_crc32c_more(crc, zero, sizeof(zero));
    return checksum_crc32c_more(crc, form + AT_NAME,
                                CHUNK_HEADER_BYTES - AT_NAME);
}

uint32_t
chunk_header_pack(const chunk_header_t *header, uint8_t *to)
{
    INVARIANT(chunk_header_check(header) == STATUS_OK);
    size_t name_bytes = strlen(header->name);
    memset(to, 0, CHUNK_HEADER_BYTES);
    put(to + AT_MAGIC, MAGIC, 4);
    put(to + AT_VERSION, FORM, 2);
    put(to + AT_FLAGS, header->flags, 2);
    put(to + AT_STREAM, header->key.stream, 8);
    put(to + AT_EPOCH, header->key.epoch, 8);
    put(to + AT_BLOCK, header->key.block, 8);
    put(to + AT_BASE_INDEX, header->base_index, 8);
    put(to + AT_BASE_OFFSET, header->base_offset, 8);
    put(to + AT_OFFSET, header->offset, 8);
    put(to + AT_LENGTH, header->length, 4);
    put(to + AT_SLOT, header->key.slot, 1);
    put(to + AT_K, header->code.k, 1);
    put(to + AT_M, header->code.m, 1);
    put(to + AT_RETENTION, header->retention, 1);
    put(to + AT_CREATED, (uint64_t)header->created_us, 8);
    put(to + AT_BLOCK_US, (uint64_t)header->block_us, 8);
    put(to + AT_WRITER, header->writer, 8);
    put(to + AT_SETTLED, header->settled, 8);
    put(to + AT_WATERMARK, header->watermark, 8);
    put(to + AT_START, header->start, 4);
    put(to + AT_WIDTH, header->width, 2);
    put(to + AT_POSITION, header->position, 2);
    put(to + AT_KIND, header->kind, 1);
    put(to + AT_ASKED_K, header->asked.k, 1);
    put(to + AT_ASKED_M, header->asked.m, 1);
    put(to + AT_NAME_LENGTH, name_bytes, 1);
    put(to + AT_MARKS_COUNT, header->marks_count, 1);
    put(to + AT_PAYLOAD_CRC, header->payload_crc, 4);
    memcpy(to + AT_NAME, header->name, name_bytes);
    pack_marks(header, to + AT_MARKS);

    uint32_t crc = own_crc(to);
    put(to + AT_HEADER_CRC, crc, 4);
    return crc;
}

static void
unpack_marks(const uint8_t *from, chunk_header_t *header)
{
    for (int i = 0; i < header->marks_count; i++, from += MARK_BYTES) {
        header->marks[i].offset = get(from, 8);
        header->marks[i].media_us = (int64_t)get(from + 8, 8);
        header->marks[i].kind = from[16];
    }
}

static void
unpack_fields(const uint8_t *from, chunk_header_t *to)
{
    to->flags = (uint16_t)get(from + AT_FLAGS, 2);
    to->key.stream = get(from + AT_STREAM, 8);
    to->key.epoch = get(from + AT_EPOCH, 8);
    to->key.block = get(from + AT_BLOCK, 8);
    to->base_index = get(from + AT_BASE_INDEX, 8);
    to->base_offset = get(from + AT_BASE_OFFSET, 8);
    to->offset = get(from + AT_OFFSET, 8);
    to->length = (uint32_t)get(from + AT_LENGTH, 4);
    to->key.slot = from[AT_SLOT];
    to->code.k = from[AT_K];
    to->code.m = from[AT_M];
    to->retention = from[AT_RETENTION];
    to->created_us = (micros_t)get(from + AT_CREATED, 8);
    to->block_us = (micros_t)get(from + AT_BLOCK_US, 8);
    to->writer = get(from + AT_WRITER, 8);
    to->settled = get(from + AT_SETTLED, 8);
    to->watermark = get(from + AT_WATERMARK, 8);
    to->start = (uint32_t)get(from + AT_START, 4);
    to->width = (uint16_t)get(from + AT_WIDTH, 2);
    to->position = (uint16_t)get(from + AT_POSITION, 2);
    to->kind = from[AT_KIND];
    to->asked.k = from[AT_ASKED_K];
    to->asked.m = from[AT_ASKED_M];
    to->marks_count = from[AT_MARKS_COUNT];
    to->payload_crc = (uint32_t)get(from + AT_PAYLOAD_CRC, 4);
    memcpy(to->name, from + AT_NAME, from[AT_NAME_LENGTH]);
    unpack_marks(from + AT_MARKS, to);
}

status_t
chunk_header_unpack(const uint8_t *from, chunk_header_t *header_r)
{
    if (get(from + AT_MAGIC, 4) != MAGIC)
        return STATUS_MALFORMED;
    if (get(from + AT_VERSION, 2) != FORM)
        return STATUS_VERSION;
    if (get(from + AT_HEADER_CRC, 4) != own_crc(from))
        return STATUS_CORRUPT;
    if (from[AT_NAME_LENGTH] > LIMIT_NAME_BYTES ||
        from[AT_MARKS_COUNT] > LIMIT_MARKS)
        return STATUS_ARGUMENT;

    chunk_header_t header = { .flags = 0 };
    unpack_fields(from, &header);
    status_t status = chunk_header_check(&header);
    if (status != STATUS_OK)
        return status;
    //  Whatever should be zero and is not, in one comparison (chunk 1).
    uint8_t again[CHUNK_HEADER_BYTES];
    chunk_header_pack(&header, again);
    if (memcmp(again, from, sizeof(again)) != 0)
        return STATUS_ARGUMENT;
    *header_r = header;
    return STATUS_OK;
}
