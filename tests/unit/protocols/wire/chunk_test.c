#include "chunk.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "proof.h"

#define CRC_AT 124  //  WIRE.md, "The fixed header"

static chunk_header_t
sample(void)
{
    chunk_header_t header = {
        .key = { .stream = 0x1122334455667788,
                 .epoch = (7ull << 32) + 3,
                 .block = 12,
                 .slot = 3 },
        .code = { .k = 4, .m = 2 },
        .base_index = 100,
        .base_offset = 5000,
        .offset = 99000,
        .length = 262144,
        .created_us = 1700000000123456,
        .block_us = 1700000000000000,
        .writer = 0xfedcba9876543210,
        .flags = CHUNK_NEW_WRITER,
        .settled = 96,
        .watermark = 88000,
        .width = 6,
        .position = 5,
        .start = 4000000000,
        .kind = KIND_LIVE,
        .retention = 200,
        .asked = { .k = 8, .m = 3 },
        .name = "gate.cam-1_A",
        .marks_count = 2,
        .marks = { { .offset = 99188, .media_us = -40000, .kind = 1 },
                   { .offset = 200000, .media_us = 960000, .kind = 255 } },
        .payload_crc = 0xe3069283,
    };
    return header;
}

//  Give a changed form the CRC of its new bytes, as a peer who means it would.
static void
seal(uint8_t form[CHUNK_HEADER_BYTES])
{
    memset(form + CRC_AT, 0, 4);
    uint32_t crc = checksum_crc32c(form, CHUNK_HEADER_BYTES);
    for (int i = 0; i < 4; i++)
        form[CRC_AT + i] = (uint8_t)(crc >> (8 * i));
}

static void
the_fixed_form_gives_back_the_header_and_the_header_the_form(void)
{
    uint8_t form[CHUNK_HEADER_BYTES], again[CHUNK_HEADER_BYTES];
    chunk_header_t header = sample(), back;
    memset(form, 0xaa, sizeof(form));
    uint32_t crc = chunk_header_pack(&header, form);
    CHECK(chunk_header_unpack(form, &back) == STATUS_OK);
    CHECK(back.key.stream == header.key.stream && back.key.slot == 3);
    CHECK(back.key.epoch == header.key.epoch && back.key.block == 12);
    CHECK(back.start == 4000000000 && back.width == 6 && back.position == 5);
    CHECK(back.created_us == header.created_us && back.retention == 200);
    CHECK(strcmp(back.name, "gate.cam-1_A") == 0 && back.marks_count == 2);
    CHECK(back.marks[0].media_us == -40000 && back.marks[1].kind == 255);
    CHECK(chunk_header_pack(&back, again) == crc);
    CHECK(memcmp(form, again, sizeof(form)) == 0);
}

static void
the_longest_name_and_every_mark_fit(void)
{
    uint8_t form[CHUNK_HEADER_BYTES];
    chunk_header_t header = sample(), back;
    memset(header.name, 'x', LIMIT_NAME_BYTES);
    header.marks_count = LIMIT_MARKS;
    for (int i = 0; i < LIMIT_MARKS; i++)
        header.marks[i].media_us = INT64_MIN + i;
    chunk_header_pack(&header, form);
    CHECK(chunk_header_unpack(form, &back) == STATUS_OK);
    CHECK(strlen(back.name) == LIMIT_NAME_BYTES);
    CHECK(back.marks[LIMIT_MARKS - 1].media_us == INT64_MIN + LIMIT_MARKS - 1);
}

static void
a_flip_of_any_bit_is_caught(void)
{
    uint8_t form[CHUNK_HEADER_BYTES];
    chunk_header_t header = sample(), untouched, back;
    memset(&back, 0x55, sizeof(back));
    untouched = back;
    chunk_header_pack(&header, form);
    for (int bit = 0; bit < CHUNK_HEADER_BYTES * 8; bit++) {
        form[bit / 8] ^= (uint8_t)(1 << bit % 8);
        status_t status = chunk_header_unpack(form, &back);
        //  Magic and version are looked at before the CRC.
        CHECK(bit < 48 ? status != STATUS_OK : status == STATUS_CORRUPT);
        CHECK(memcmp(&back, &untouched, sizeof(back)) == 0);
        form[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(chunk_header_unpack(form, &back) == STATUS_OK);
}

static void
a_byte_that_must_be_zero_is_refused_even_with_a_right_crc(void)
{
    static const int zeros[] = { 117,      119,      128 + 12, 255, 256 + 17,
                                 256 + 23, 256 + 48, 495,      496, 511 };
    for (size_t i = 0; i < sizeof(zeros) / sizeof(*zeros); i++) {
        uint8_t form[CHUNK_HEADER_BYTES];
        chunk_header_t header = sample(), back;
        chunk_header_pack(&header, form);
        CHECK(form[zeros[i]] == 0);
        form[zeros[i]] = 1;
        seal(form);
        CHECK(chunk_header_unpack(form, &back) == STATUS_ARGUMENT);
    }
}

static void
counts_beyond_their_bounds_are_refused_before_they_are_used(void)
{
    static const int counts[] = { 115, 116 };  //  Name bytes, marks
    for (int i = 0; i < 2; i++)
        for (int value = LIMIT_NAME_BYTES + 1; value < 256; value++) {
            uint8_t form[CHUNK_HEADER_BYTES];
            chunk_header_t header = sample(), back;
            chunk_header_pack(&header, form);
            form[counts[i]] = (uint8_t)value;
            seal(form);
            CHECK(chunk_header_unpack(form, &back) == STATUS_ARGUMENT);
        }
}

static void
another_magic_and_another_version_are_told_apart(void)
{
    uint8_t form[CHUNK_HEADER_BYTES];
    chunk_header_t header = sample(), back;
    chunk_header_pack(&header, form);
    CHECK(memcmp(form, "RLC1\1\0", 6) == 0);
    form[4] = 2;
    seal(form);
    CHECK(chunk_header_unpack(form, &back) == STATUS_VERSION);
    form[0] = 'X';
    CHECK(chunk_header_unpack(form, &back) == STATUS_MALFORMED);
    memset(form, 0, sizeof(form));
    CHECK(chunk_header_unpack(form, &back) == STATUS_MALFORMED);
}

#define REFUSED(change)                                                        \
    do {                                                                       \
        chunk_header_t header = sample();                                      \
        change;                                                                \
        CHECK(chunk_header_check(&header) == STATUS_ARGUMENT);                 \
    } while (0)

static void
a_field_out_of_bounds_is_refused(void)
{
    REFUSED(header.kind = 0);
    REFUSED(header.kind = 3);
    REFUSED(header.code.k = 0);
    REFUSED(header.code.m = LIMIT_SLOTS);
    REFUSED(header.key.slot = 6);
    REFUSED(header.width = 5);
    REFUSED(header.width = LIMIT_WORKERS + 1);
    REFUSED(header.position = 6);
    REFUSED(header.asked.k = LIMIT_SLOTS);
    REFUSED(header.marks_count = LIMIT_MARKS + 1);
    REFUSED(header.length = LIMIT_CHUNK_BYTES + 1);
    REFUSED(header.offset = UINT64_MAX - 1);
    REFUSED(header.offset = header.base_offset - 1);
    REFUSED(header.flags = CHUNK_EMPTY);
    REFUSED(header.key.slot = 4;
            header.length = LIMIT_CHUNK_BYTES + CHUNK_HEADER_BYTES + 1);
}

static void
a_parity_chunk_is_a_header_longer_than_its_data(void)
{
    chunk_header_t header = sample();
    header.key.slot = 4;
    header.length = LIMIT_CHUNK_BYTES + CHUNK_HEADER_BYTES;
    CHECK(chunk_is_parity(&header));
    CHECK(chunk_header_check(&header) == STATUS_OK);
    header.key.slot = 3;
    CHECK(!chunk_is_parity(&header));
    CHECK(chunk_index(&header) == 100 + 12 * 4 + 3);
}

static void
names_are_letters_digits_and_three_signs(void)
{
    char longest[LIMIT_NAME_BYTES + 2];
    memset(longest, 'n', sizeof(longest));
    longest[LIMIT_NAME_BYTES + 1] = 0;
    CHECK(!chunk_name_legal(longest));
    longest[LIMIT_NAME_BYTES] = 0;
    CHECK(chunk_name_legal(longest));
    CHECK(chunk_name_legal("a") && chunk_name_legal("0.ts"));
    CHECK(chunk_name_legal("A-b_c.d"));
    CHECK(!chunk_name_legal("") && !chunk_name_legal(".hidden"));
    CHECK(!chunk_name_legal("-x") && !chunk_name_legal("_x"));
    CHECK(!chunk_name_legal("a/b") && !chunk_name_legal("a b"));
    CHECK(!chunk_name_legal("a\n") && !chunk_name_legal("caf\xc3\xa9"));

    chunk_header_t header = sample();
    header.name[0] = '/';
    CHECK(chunk_header_check(&header) == STATUS_NAME);
}

static void
keys_order_by_stream_epoch_block_and_slot(void)
{
    const chunk_key_t keys[] = {
        { 1, 9, 9, 9 }, { 2, 1, 9, 9 }, { 2, 2, 1, 9 },
        { 2, 2, 2, 1 }, { 2, 2, 2, 2 }, { UINT64_MAX, 0, 0, 0 },
    };
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            int by = chunk_key_compare(&keys[i], &keys[j]);
            CHECK((by < 0) == (i < j) && (by > 0) == (i > j));
        }
}

static int
by_value(const void *a, const void *b)
{
    const size_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

static void
neighbours_have_different_hashes(void)
{
    enum { EACH = 16, ALL = EACH * EACH * EACH };
    static size_t hashes[ALL];
    for (size_t i = 0; i < ALL; i++) {
        chunk_key_t key = { i % EACH, 1ull << 32, i / EACH % EACH,
                            (uint32_t)(i / EACH / EACH) };
        hashes[i] = chunk_key_hash(&key);
    }
    qsort(hashes, ALL, sizeof(*hashes), by_value);
    for (size_t i = 1; i < ALL; i++)
        CHECK(hashes[i] != hashes[i - 1]);
}

int
main(void)
{
    CASE(the_fixed_form_gives_back_the_header_and_the_header_the_form,
         "chunk 1: the fixed form gives back the header, and it the form");
    CASE(the_longest_name_and_every_mark_fit,
         "chunk 1: the longest name and every mark fit");
    CASE(a_flip_of_any_bit_is_caught,
         "chunk 2, invariant 9: a flip of any bit of a header is caught");
    CASE(a_byte_that_must_be_zero_is_refused_even_with_a_right_crc,
         "chunk 1: what must be zero is, or the header is refused");
    CASE(counts_beyond_their_bounds_are_refused_before_they_are_used,
         "chunk 2: counts beyond their bounds are refused before use");
    CASE(another_magic_and_another_version_are_told_apart,
         "another magic and another version are told apart");
    CASE(a_field_out_of_bounds_is_refused,
         "chunk 2: a field out of bounds is refused");
    CASE(a_parity_chunk_is_a_header_longer_than_its_data,
         "a parity chunk may be a header longer than the longest data");
    CASE(names_are_letters_digits_and_three_signs,
         "names are letters, digits and three signs, 1 to 128 of them");
    CASE(keys_order_by_stream_epoch_block_and_slot,
         "keys are ordered by stream, epoch, block and slot");
    CASE(neighbours_have_different_hashes,
         "keys that follow each other in anything have different hashes");
    return proof_end();
}
