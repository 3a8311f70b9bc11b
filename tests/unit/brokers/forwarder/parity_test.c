#include "parity.h"

#include <stdlib.h>
#include <string.h>

#include "proof.h"

enum { MOST = 3000 };

static const code_t CODES[] = { { 1, 1 }, { 2, 1 }, { 2, 2 }, { 3, 2 },
                                { 4, 2 }, { 8, 2 }, { 5, 4 }, { 28, 4 } };

static uint64_t seed = 1;

static uint64_t
chance(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

//  A block as it lies on disk: headers, payloads, and what parity made of them.
typedef struct {
    code_t code;
    unsigned slots;
    size_t longest;  //  Content
    uint8_t headers[LIMIT_SLOTS][CHUNK_HEADER_BYTES];
    buffer_t *payloads[LIMIT_SLOTS];  //  Of data and of parity
} block_t;

static size_t
some_size(void)
{
    static const size_t odd[] = { 0, 1, 15, 16, 31, 33, 63, 64, 65, 511, 512 };
    uint64_t choice = chance() % 16;
    return choice < 11 ? odd[choice]
                       : chance() % (MOST - CHUNK_HEADER_BYTES + 1);
}

static buffer_t *
noise(size_t size)
{
    buffer_t *made = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer_fill(made)[i] = (uint8_t)chance();
    return made;
}

static block_t *
encode(code_t code)
{
    block_t *block = calloc(1, sizeof(*block));
    block->code = code;
    block->slots = code.k + code.m;
    parity_t *parity = parity_new(code, MOST);
    unsigned first = (unsigned)(chance() % code.k);
    for (unsigned i = 0; i < code.k; i++) {
        unsigned slot = (first + i) % code.k;
        block->payloads[slot] = noise(some_size());
        for (unsigned j = 0; j < CHUNK_HEADER_BYTES; j++)
            block->headers[slot][j] = (uint8_t)chance();
        size_t content = buffer_size(block->payloads[slot]) +
                         CHUNK_HEADER_BYTES;
        block->longest = content > block->longest ? content : block->longest;
        parity_add(parity, slot, block->headers[slot], block->payloads[slot]);
    }
    for (unsigned nth = 0; nth < code.m; nth++)
        block->payloads[code.k + nth] = parity_take(parity, nth);
    parity_destroy(&parity);
    return block;
}

static void
free_block(block_t **block_p)
{
    for (unsigned slot = 0; slot < (*block_p)->slots; slot++)
        buffer_unref(&(*block_p)->payloads[slot]);
    free(*block_p);
    *block_p = NULL;
}

//  Parts of every slot but those in `lost`.
static void
lay_out(const block_t *block, uint32_t lost, parity_part_t *parts_r)
{
    for (unsigned slot = 0; slot < block->slots; slot++) {
        bool is_data = slot < block->code.k;
        parts_r[slot] = (parity_part_t){ 0 };
        if (lost >> slot & 1)
            continue;
        parts_r[slot].header = is_data ? block->headers[slot] : NULL;
        parts_r[slot].bytes = buffer_bytes(block->payloads[slot]);
        parts_r[slot].size = buffer_size(block->payloads[slot]);
    }
}

static bool
zeros(const uint8_t *bytes, size_t size)
{
    while (size--)
        if (*bytes++)
            return false;
    return true;
}

//  Whether `content` is what slot `slot` held, padded to the longest.
static bool
is_content(const block_t *block, unsigned slot, const buffer_t *content)
{
    const uint8_t *bytes = buffer_bytes(content);
    const buffer_t *payload = block->payloads[slot];
    if (buffer_size(content) != block->longest)
        return false;
    if (slot >= block->code.k)
        return memcmp(bytes, buffer_bytes(payload), block->longest) == 0;
    size_t ends = CHUNK_HEADER_BYTES + buffer_size(payload);
    return memcmp(bytes, block->headers[slot], CHUNK_HEADER_BYTES) == 0 &&
           memcmp(bytes + CHUNK_HEADER_BYTES, buffer_bytes(payload),
                  buffer_size(payload)) == 0 &&
           zeros(bytes + ends, block->longest - ends);
}

//  Decode `wanted` of a block that has lost `lost`; check what came.
static void
comes_back(const block_t *block, uint32_t lost, uint32_t wanted)
{
    parity_part_t parts[LIMIT_SLOTS];
    buffer_t *contents[LIMIT_SLOTS] = { NULL };
    lay_out(block, lost, parts);
    CHECK(parity_decode(block->code, parts, wanted, contents) == STATUS_OK);
    for (unsigned slot = 0; slot < LIMIT_SLOTS; slot++) {
        CHECK(!contents[slot] == !(wanted >> slot & 1));
        if (contents[slot])
            CHECK(is_content(block, slot, contents[slot]));
        buffer_unref(&contents[slot]);
    }
}

static void
every_pattern_of_losses_comes_back_exact(void)
{
    for (size_t c = 0; c < sizeof(CODES) / sizeof(CODES[0]) - 1; c++)
        for (unsigned round = 0; round < 12; round++) {
            block_t *block = encode(CODES[c]);
            for (uint32_t lost = 0; lost < 1u << block->slots; lost++)
                if (__builtin_popcount(lost) <= block->code.m)
                    comes_back(block, lost, lost);
            free_block(&block);
        }
}

static void
the_widest_code_comes_back_exact(void)
{
    block_t *block = encode((code_t){ 28, 4 });
    for (unsigned round = 0; round < 1000; round++) {
        uint32_t lost = 0;
        for (unsigned i = 0; i < 4; i++)
            lost |= 1u << chance() % 32;
        comes_back(block, lost, lost);
    }
    free_block(&block);
}

static void
a_part_that_is_there_may_be_wanted_too(void)
{
    block_t *block = encode((code_t){ 4, 2 });
    for (uint32_t wanted = 0; wanted < 64; wanted++)
        for (uint32_t lost = 0; lost < 64; lost++)
            if (__builtin_popcount(lost) <= 2)
                comes_back(block, lost, wanted);
    free_block(&block);
}

static void
a_part_may_come_joined(void)
{
    block_t *block = encode((code_t){ 3, 2 });
    parity_part_t parts[LIMIT_SLOTS];
    buffer_t *contents[LIMIT_SLOTS] = { NULL };
    size_t length = buffer_size(block->payloads[1]);
    uint8_t joined[MOST];
    memcpy(joined, block->headers[1], CHUNK_HEADER_BYTES);
    memcpy(joined + CHUNK_HEADER_BYTES, buffer_bytes(block->payloads[1]),
           length);
    lay_out(block, 1, parts);
    parts[1] = (parity_part_t){ NULL, joined, length + CHUNK_HEADER_BYTES };
    CHECK(parity_decode(block->code, parts, 1, contents) == STATUS_OK);
    CHECK(is_content(block, 0, contents[0]));
    buffer_unref(&contents[0]);
    free_block(&block);
}

static void
too_few_parts_are_a_miss(void)
{
    block_t *block = encode((code_t){ 4, 2 });
    parity_part_t parts[LIMIT_SLOTS];
    buffer_t *contents[LIMIT_SLOTS] = { NULL };
    lay_out(block, 1 | 4 | 32, parts);
    CHECK(parity_decode(block->code, parts, 1, contents) == STATUS_MISS);
    CHECK(!contents[0]);
    free_block(&block);
}

static void
parts_that_cannot_be_of_one_block_are_refused(void)
{
    block_t *block = encode((code_t){ 2, 2 });
    static const uint8_t bytes[MOST + 1];
    parity_part_t parts[LIMIT_SLOTS];
    buffer_t *contents[LIMIT_SLOTS] = { NULL };

    lay_out(block, 1, parts);
    parts[1] = (parity_part_t){ NULL, bytes, block->longest + 1 };
    CHECK(parity_decode(block->code, parts, 1, contents) == STATUS_ARGUMENT);
    lay_out(block, 1, parts);
    parts[3].size--;
    CHECK(parity_decode(block->code, parts, 1, contents) == STATUS_ARGUMENT);
    lay_out(block, 1, parts);
    parts[1] = (parity_part_t){ NULL, bytes, CHUNK_HEADER_BYTES - 1 };
    CHECK(parity_decode(block->code, parts, 1, contents) == STATUS_ARGUMENT);
    lay_out(block, 8, parts);
    parts[2] = (parity_part_t){ NULL, bytes, block->longest + 1 };
    CHECK(parity_decode(block->code, parts, 8, contents) == STATUS_ARGUMENT);
    CHECK(!contents[0] && !contents[3]);
    free_block(&block);
}

static void
a_mirror_is_the_same_bytes(void)
{
    block_t *block = encode((code_t){ 1, 1 });
    CHECK(is_content(block, 0, block->payloads[1]));
    free_block(&block);
}

static void
without_parity_there_is_nothing_to_take(void)
{
    block_t *block = encode((code_t){ 4, 0 });
    comes_back(block, 0, 1 | 8);
    parity_part_t parts[LIMIT_SLOTS];
    buffer_t *contents[LIMIT_SLOTS] = { NULL };
    lay_out(block, 2, parts);
    CHECK(parity_decode(block->code, parts, 2, contents) == STATUS_MISS);
    free_block(&block);
}

static uint8_t
times(uint8_t a, uint8_t b)
{
    unsigned product = 0;
    for (unsigned bit = 0; bit < 8; bit++)
        if (b >> bit & 1)
            product ^= (unsigned)a << bit;
    for (unsigned bit = 15; bit >= 8; bit--)
        if (product >> bit & 1)
            product ^= 0x11du << (bit - 8);
    return (uint8_t)product;
}

static uint8_t
inverse(uint8_t a)
{
    for (unsigned b = 1; b < 256; b++)
        if (times(a, (uint8_t)b) == 1)
            return (uint8_t)b;
    return 0;
}

//  By the definition, without ISA-L: parity r is the sum over data slots j of
//  1 / ((k + r) xor j) times the content. What lies on disk is read by it.
static void
parity_is_what_its_definition_says(void)
{
    for (size_t c = 0; c < sizeof(CODES) / sizeof(CODES[0]); c++) {
        block_t *block = encode(CODES[c]);
        unsigned k = block->code.k;
        for (unsigned slot = k; slot < block->slots; slot++) {
            uint8_t sum[MOST] = { 0 };
            for (unsigned j = 0; j < k; j++) {
                uint8_t by = inverse((uint8_t)(slot ^ j));
                size_t length = buffer_size(block->payloads[j]);
                for (unsigned i = 0; i < CHUNK_HEADER_BYTES; i++)
                    sum[i] ^= times(block->headers[j][i], by);
                for (size_t i = 0; i < length; i++)
                    sum[CHUNK_HEADER_BYTES + i] ^= times(
                        buffer_bytes(block->payloads[j])[i], by);
            }
            CHECK(buffer_size(block->payloads[slot]) == block->longest);
            CHECK(memcmp(buffer_bytes(block->payloads[slot]), sum,
                         block->longest) == 0);
        }
        free_block(&block);
    }
}

static void
parity_of_empty_chunks_is_as_long_as_a_header(void)
{
    parity_t *parity = parity_new((code_t){ 2, 1 }, MOST);
    static const uint8_t header[CHUNK_HEADER_BYTES] = { 1 };
    buffer_t *none = buffer_new(0);
    parity_add(parity, 1, header, none);
    parity_add(parity, 0, header, none);
    buffer_t *taken = parity_take(parity, 0);
    parity_destroy(&parity);
    CHECK(!parity && buffer_size(taken) == CHUNK_HEADER_BYTES);
    buffer_unref(&taken);
    buffer_unref(&none);
}

int
main(void)
{
    CASE(every_pattern_of_losses_comes_back_exact,
         "parity 1: every pattern of up to m losses comes back exact");
    CASE(the_widest_code_comes_back_exact,
         "parity 1: four lost of the widest code, 28+4, come back exact");
    CASE(a_part_that_is_there_may_be_wanted_too,
         "parity 1: a part that is there may be wanted too");
    CASE(a_part_may_come_joined, "parity 1: a data part may come joined");
    CASE(a_mirror_is_the_same_bytes, "parity 1: 1+1 is a mirror");
    CASE(without_parity_there_is_nothing_to_take,
         "parity 1: without parity what is lost is a miss");
    CASE(parity_is_what_its_definition_says,
         "parity 2: parity is what its definition says, zeros behind the end");
    CASE(parity_of_empty_chunks_is_as_long_as_a_header,
         "parity 2: parity is as long as the longest content");
    CASE(too_few_parts_are_a_miss, "fewer than k parts are a miss");
    CASE(parts_that_cannot_be_of_one_block_are_refused,
         "parts that cannot be of one block are refused");
    return proof_end();
}
