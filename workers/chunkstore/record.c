#include "record.h"

#include <string.h>

#include "checksum.h"
#include "little.h"

static const uint32_t MAGIC_CHUNK = 0x4b4e4843;  //  "CHNK"
static const uint32_t MAGIC_DROP = 0x504f5244;   //  "DROP"

size_t
record_bytes(uint32_t length)
{
    size_t bytes = RECORD_HEAD_BYTES + (size_t)length;
    return (bytes + RECORD_ALIGNMENT - 1) / RECORD_ALIGNMENT * RECORD_ALIGNMENT;
}

//  The CRC that a frame of these first 28 bytes has at `place`.
static uint32_t
frame_crc(const uint8_t *frame, uint64_t place)
{
    uint8_t tail[8];
    little_put(tail, place, 8);
    return checksum_crc32c_more(checksum_crc32c(frame, 28), tail, 8);
}

//  The frame for a header that is already packed behind it.
static void
pack_frame(record_kind_t kind, uint32_t length, uint64_t nonce,
           uint64_t synced_to, uint64_t place, uint8_t *to)
{
    uint32_t header_crc = checksum_crc32c(to + RECORD_FRAME_BYTES,
                                          CHUNK_HEADER_BYTES);
    little_put(to, kind == RECORD_CHUNK ? MAGIC_CHUNK : MAGIC_DROP, 4);
    little_put(to + 4, length, 4);
    little_put(to + 8, nonce, 8);
    little_put(to + 16, synced_to, 8);
    little_put(to + 24, header_crc, 4);
    little_put(to + 28, frame_crc(to, place), 4);
}

void
record_pack_chunk(const chunk_header_t *header, uint64_t nonce,
                  uint64_t synced_to, uint64_t place, uint8_t *to)
{
    chunk_header_pack(header, to + RECORD_FRAME_BYTES);
    pack_frame(RECORD_CHUNK, header->length, nonce, synced_to, place, to);
}

void
record_pack_drop(uint64_t stream, uint64_t nonce, uint64_t synced_to,
                 uint64_t place, uint8_t *to)
{
    memset(to + RECORD_FRAME_BYTES, 0, CHUNK_HEADER_BYTES);
    little_put(to + RECORD_FRAME_BYTES, stream, 8);
    pack_frame(RECORD_DROP, 0, nonce, synced_to, place, to);
}

bool
record_read_frame(const uint8_t *from, uint64_t nonce, uint64_t place,
                  record_frame_t *frame_r)
{
    uint64_t magic = little_get(from, 4);
    if ((magic != MAGIC_CHUNK && magic != MAGIC_DROP) ||
        little_get(from + 8, 8) != nonce ||
        little_get(from + 28, 4) != frame_crc(from, place))
        return false;
    frame_r->kind = magic == MAGIC_CHUNK ? RECORD_CHUNK : RECORD_DROP;
    frame_r->length = (uint32_t)little_get(from + 4, 4);
    frame_r->nonce = nonce;
    frame_r->synced_to = little_get(from + 16, 8);
    frame_r->header_crc = (uint32_t)little_get(from + 24, 4);
    return true;
}

uint64_t
record_frame_nonce(const uint8_t *from)
{
    return little_get(from + 8, 8);
}

status_t
record_read_head(const uint8_t *from, uint64_t nonce, uint64_t place,
                 record_t *record_r)
{
    record_t record = { 0 };
    const uint8_t *header = from + RECORD_FRAME_BYTES;
    if (!record_read_frame(from, nonce, place, &record.frame) ||
        checksum_crc32c(header, CHUNK_HEADER_BYTES) != record.frame.header_crc)
        return STATUS_CORRUPT;
    if (record.frame.kind == RECORD_DROP)
        record.stream = little_get(header, 8);
    else if (chunk_header_unpack(header, &record.header) != STATUS_OK ||
             record.header.length != record.frame.length)
        return STATUS_CORRUPT;
    else
        record.stream = record.header.key.stream;
    record.payload = from + RECORD_HEAD_BYTES;
    *record_r = record;
    return STATUS_OK;
}

status_t
record_read(const uint8_t *from, size_t size, uint64_t nonce, uint64_t place,
            record_t *record_r)
{
    record_t record;
    if (size < RECORD_HEAD_BYTES ||
        record_read_head(from, nonce, place, &record) != STATUS_OK ||
        size - RECORD_HEAD_BYTES < record.frame.length)
        return STATUS_CORRUPT;
    if (record.frame.kind == RECORD_CHUNK &&
        checksum_crc32c(record.payload, record.frame.length) !=
            record.header.payload_crc)
        return STATUS_CORRUPT;
    *record_r = record;
    return STATUS_OK;
}
