//  What is read from a disk may be anything: heads, trailers, footers, frames,
//  records and identities are accepted within bounds, or not at all. The first
//  byte says what the rest is; most get the checksums that they should have,
//  so that what lies behind these is reached.
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "entry.h"
#include "identity.h"
#include "invariant.h"
#include "little.h"
#include "record.h"
#include "segment.h"

enum { IDENTITY_BYTES = 48, MOST = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t copy[MOST];
static size_t copied;

static void
put_right(size_t magic, uint32_t version, size_t crc_at)
{
    little_put(copy, magic, 4);
    little_put(copy + 4, version, 4);
    little_put(copy + crc_at, checksum_crc32c(copy, crc_at), 4);
}

//  ---------------------------------------------------------------------------
//  Each thing on a disk

static void
read_head(bool right)
{
    if (right)
        put_right(0x47455352, 2, 52);
    segment_head_t head;
    uint8_t again[SEGMENT_PAGE];
    if (copied < SEGMENT_PAGE || segment_unpack_head(copy, &head) != STATUS_OK)
        return;
    segment_pack_head(&head, again);
    INVARIANT(memcmp(again, copy, 48) == 0);
}

//  A footer's table and trailer, at the end of what was read.
static void
read_footer(bool right)
{
    segment_head_t head = { .id = 1, .nonce = 2, .size = SEGMENT_LEAST_BYTES };
    if (copied < SEGMENT_TRAILER_BYTES)
        return;
    uint8_t *last = copy + copied - SEGMENT_TRAILER_BYTES;
    size_t count = little_get(last + 32, 1);
    uint64_t bytes = segment_footer_bytes(count);
    if (right && bytes <= copied) {
        little_put(last, 0x544f4f46, 4);
        little_put(last + 4, 2, 4);
        little_put(last + 8, head.id, 8);
        little_put(last + 16, head.nonce, 8);
        little_put(last + 24, SEGMENT_FIRST + little_get(last + 24, 2), 8);
        little_put(last + 32, count, 8);
        little_put(
            last + 48,
            checksum_crc32c(copy + copied - bytes, count * SEGMENT_ENTRY_BYTES),
            4);
        little_put(last + 52, checksum_crc32c(last, 52), 4);
    }
    segment_trailer_t trailer;
    if (segment_unpack_trailer(last, &head, &trailer) != STATUS_OK)
        return;
    INVARIANT(trailer.count <= SEGMENT_RECORDS);
    bytes = segment_footer_bytes(trailer.count);
    INVARIANT(trailer.end + bytes <= head.size);
    segment_entry_t *entries = calloc(trailer.count + 1, sizeof(*entries));
    INVARIANT(entries);
    if (bytes <= copied)
        segment_unpack_footer(copy + copied - bytes, &head, entries,
                              trailer.count);
    free(entries);
}

static void
read_entry(void)
{
    if (copied < ENTRY_KEY_BYTES + ENTRY_FACTS_BYTES)
        return;
    chunkstore_entry_t entry = { .length = 0 };
    uint8_t key[ENTRY_KEY_BYTES], facts[ENTRY_FACTS_BYTES], own;
    entry_unpack_key(copy, &entry.key);
    entry_unpack_facts(copy + ENTRY_KEY_BYTES, &entry, &own);
    entry_pack_key(&entry.key, key);
    entry_pack_facts(&entry, own, facts);
    INVARIANT(memcmp(key, copy, sizeof key) == 0);
    INVARIANT(memcmp(facts, copy + ENTRY_KEY_BYTES, sizeof facts) == 0);
}

//  Where WIRE.md puts a header's length and its two CRCs.
enum { LENGTH_AT = 56, PAYLOAD_CRC_AT = 120, HEADER_CRC_AT = 124 };

static void
read_record(bool right, uint64_t place)
{
    if (copied < RECORD_HEAD_BYTES)
        return;
    uint64_t nonce = record_frame_nonce(copy);
    if (right) {
        uint8_t *header = copy + RECORD_FRAME_BYTES, tail[8];
        if (copy[1] & 1) {
            size_t length = copied - RECORD_HEAD_BYTES;
            little_put(copy + 4, length, 4);
            little_put(header + LENGTH_AT, length, 4);
            little_put(header + PAYLOAD_CRC_AT,
                       checksum_crc32c(copy + RECORD_HEAD_BYTES, length), 4);
        }
        little_put(header + HEADER_CRC_AT, 0, 4);
        little_put(header + HEADER_CRC_AT,
                   checksum_crc32c(header, CHUNK_HEADER_BYTES), 4);
        little_put(copy, copy[0] & 1 ? 0x4b4e4843 : 0x504f5244, 4);
        little_put(copy + 24, checksum_crc32c(header, CHUNK_HEADER_BYTES), 4);
        little_put(tail, place, 8);
        uint32_t crc = checksum_crc32c(copy, 28);
        little_put(copy + 28, checksum_crc32c_more(crc, tail, 8), 4);
    }
    record_t record;
    if (record_read_head(copy, nonce, place, &record) == STATUS_OK)
        INVARIANT(record.frame.nonce == nonce);
    if (record_read(copy, copied, nonce, place, &record) != STATUS_OK)
        return;
    INVARIANT(record.payload + record.frame.length <= copy + copied);
}

//  What was read is the difference to a record that is right.
static void
differ(void)
{
    uint8_t whole[RECORD_HEAD_BYTES];
    chunk_header_t header = {
        .key = { 1, 2, 3, 1 },
        .code = { 4, 2 },
        .length = (uint32_t)(copied - RECORD_HEAD_BYTES),
        .width = 6,
        .kind = KIND_LIVE,
        .name = "cam",
    };
    record_pack_chunk(&header, 0, 0, SEGMENT_FIRST, whole);
    for (size_t i = 0; i < sizeof whole; i++)
        copy[i] ^= whole[i];
}

static int
read_small(const files_t *self, const char *path, void *to, size_t size)
{
    (void)self, (void)path;
    size = size < copied ? size : copied;
    memcpy(to, copy, size);
    return (int)size;
}

static void
read_identity(bool right)
{
    if (right)
        put_right(0x454c4c52, 1, 44);
    const files_t files = { .read_small = read_small };
    chunkstore_identity_t identity;
    status_t status = identity_read(&files, "/", &identity);
    INVARIANT(status != STATUS_OK || copied >= IDENTITY_BYTES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 64)
        return 0;
    uint8_t what = bytes[0];
    bool right = what & 0x30;
    copied = size - 1 < MOST ? size - 1 : MOST;
    memcpy(copy, bytes + 1, copied);
    //  A head and a footer take pages.
    if ((what & 7) < 2 && copied < SEGMENT_PAGE) {
        uint8_t last[SEGMENT_TRAILER_BYTES] = { 0 };
        size_t tail = copied < sizeof last ? copied : sizeof last;
        memcpy(last, copy + copied - tail, tail);
        memset(copy + copied, 0, SEGMENT_PAGE - copied);
        copied = SEGMENT_PAGE;
        if ((what & 7) == 1)
            memcpy(copy + SEGMENT_PAGE - sizeof last, last, sizeof last);
    }
    switch (what & 7) {
    case 0:
        read_head(right);
        break;
    case 1:
        read_footer(right);
        break;
    case 2:
        read_entry();
        break;
    case 3:
        read_identity(right);
        break;
    default:
        if (what & 0x40 && copied >= RECORD_HEAD_BYTES)
            differ();
        read_record(right, SEGMENT_FIRST);
        break;
    }
    return 0;
}
