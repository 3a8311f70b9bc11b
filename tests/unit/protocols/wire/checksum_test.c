#include "checksum.h"

#include <stdlib.h>
#include <string.h>

#include "proof.h"

#define MOST (100 * 1000)

//  Bit by bit, from the definition: reflected, 0x82f63b78, all ones around.
static uint32_t
by_definition(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static uint8_t *
some_bytes(void)
{
    static uint8_t bytes[MOST];
    uint32_t state = 1;
    for (size_t i = 0; i < MOST; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

static void
known_answers_of_rfc_3720_come_out(void)
{
    uint8_t zeros[32] = { 0 }, ones[32], up[32];
    memset(ones, 0xff, sizeof(ones));
    for (int i = 0; i < 32; i++)
        up[i] = (uint8_t)i;
    CHECK(checksum_crc32c("123456789", 9) == 0xe3069283);
    CHECK(checksum_crc32c(zeros, 32) == 0x8a9136aa);
    CHECK(checksum_crc32c(ones, 32) == 0x62a8ab43);
    CHECK(checksum_crc32c(up, 32) == 0x46dd794e);
    CHECK(checksum_crc32c("", 0) == 0);
}

static void
going_on_equals_one_pass_wherever_it_is_cut(void)
{
    const uint8_t *bytes = some_bytes();
    uint32_t whole = by_definition(bytes, 300);
    for (size_t cut = 0; cut <= 300; cut++) {
        uint32_t crc = checksum_crc32c(bytes, cut);
        CHECK(checksum_crc32c_more(crc, bytes + cut, 300 - cut) == whole);
    }
}

static void
a_copy_is_exact_and_counted_at_any_size(void)
{
    static const size_t sizes[] = { 0,     1,     511,   16383, 16384,
                                    16385, 32768, 49151, MOST };
    static uint8_t to[MOST + 2];
    const uint8_t *from = some_bytes();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        memset(to, 0xee, sizeof(to));
        uint32_t crc = checksum_copy_crc32c(to + 1, from, sizes[i]);
        CHECK(crc == by_definition(from, sizes[i]));
        CHECK(memcmp(to + 1, from, sizes[i]) == 0);
        CHECK(to[0] == 0xee && to[1 + sizes[i]] == 0xee);
    }
}

int
main(void)
{
    CASE(known_answers_of_rfc_3720_come_out,
         "the known answers of RFC 3720 come out");
    CASE(going_on_equals_one_pass_wherever_it_is_cut,
         "going on equals one pass, wherever it is cut");
    CASE(a_copy_is_exact_and_counted_at_any_size,
         "a copy is exact, counted and within its bounds at any size");
    return proof_end();
}
