#include "record.h"

#include <string.h>

#include "checksum.h"
#include "proof.h"

static chunk_header_t
some_header(uint32_t length, const uint8_t *payload)
{
    return (chunk_header_t){ .key = { 7, 1, 2, 3 },
                             .code = { 4, 2 },
                             .length = length,
                             .width = 6,
                             .kind = KIND_LIVE,
                             .name = "cam",
                             .payload_crc = checksum_crc32c(payload, length) };
}

static void
a_record_is_read_as_it_was_packed(void)
{
    uint8_t bytes[RECORD_HEAD_BYTES + 100];
    for (size_t i = 0; i < 100; i++)
        bytes[RECORD_HEAD_BYTES + i] = (uint8_t)i;
    chunk_header_t header = some_header(100, bytes + RECORD_HEAD_BYTES);
    record_pack_chunk(&header, 99, 4096, 8192, bytes);
    record_t record;
    CHECK(record_read(bytes, sizeof(bytes), 99, 8192, &record) == STATUS_OK);
    CHECK(record.frame.kind == RECORD_CHUNK && record.frame.length == 100);
    CHECK(record.frame.synced_to == 4096 && record.stream == 7);
    CHECK(record.payload == bytes + RECORD_HEAD_BYTES);
    CHECK(chunk_key_compare(&record.header.key, &header.key) == 0);
    //  Cut short, of another life, at another place.
    CHECK(record_read(bytes, sizeof(bytes) - 1, 99, 8192, &record) ==
          STATUS_CORRUPT);
    CHECK(record_read(bytes, sizeof(bytes), 98, 8192, &record) ==
          STATUS_CORRUPT);
    CHECK(record_read(bytes, sizeof(bytes), 99, 8200, &record) ==
          STATUS_CORRUPT);
}

static void
no_bit_may_flip(void)
{
    uint8_t bytes[RECORD_HEAD_BYTES + 20] = { 0 };
    chunk_header_t header = some_header(20, bytes + RECORD_HEAD_BYTES);
    record_pack_chunk(&header, 99, 0, 4096, bytes);
    record_t record;
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(record_read(bytes, sizeof(bytes), 99, 4096, &record) ==
              STATUS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

//  Torn between frame and header, with a whole older record behind.
static void
a_frame_vouches_for_its_own_header_only(void)
{
    uint8_t older[RECORD_HEAD_BYTES] = { 0 }, newer[RECORD_HEAD_BYTES];
    chunk_header_t header = some_header(0, older);
    record_pack_chunk(&header, 99, 0, 4096, older);
    header.key.block++;
    record_pack_chunk(&header, 99, 0, 4096, newer);
    memcpy(newer + RECORD_FRAME_BYTES, older + RECORD_FRAME_BYTES,
           CHUNK_HEADER_BYTES);
    record_t record;
    CHECK(record_read_head(newer, 99, 4096, &record) == STATUS_CORRUPT);
    CHECK(record_read_head(older, 99, 4096, &record) == STATUS_OK);
}

static void
a_drop_names_its_stream(void)
{
    uint8_t bytes[RECORD_HEAD_BYTES];
    record_pack_drop(77, 99, 4096, 8192, bytes);
    record_t record;
    CHECK(record_read(bytes, sizeof(bytes), 99, 8192, &record) == STATUS_OK);
    CHECK(record.frame.kind == RECORD_DROP && record.stream == 77);
    CHECK(record_frame_nonce(bytes) == 99);
}

static void
records_keep_their_alignment(void)
{
    for (uint32_t length = 0; length < 100; length++) {
        CHECK(record_bytes(length) % RECORD_ALIGNMENT == 0);
        CHECK(record_bytes(length) >= RECORD_HEAD_BYTES + length);
        CHECK(record_bytes(length) <
              RECORD_HEAD_BYTES + length + RECORD_ALIGNMENT);
    }
}

int
main(void)
{
    CASE(a_record_is_read_as_it_was_packed,
         "record 1: a record is read as it was packed, in its place and life");
    CASE(no_bit_may_flip, "record 1: no bit may flip");
    CASE(a_frame_vouches_for_its_own_header_only,
         "record 1: a frame vouches for its own header only");
    CASE(a_drop_names_its_stream, "a drop names its stream");
    CASE(records_keep_their_alignment, "records keep their alignment");
    return proof_end();
}
