#include "placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

enum { WIDEST = 64 };

static const code_t CODES[] = { { 1, 0 }, { 2, 0 }, { 4, 0 }, { 1, 1 },
                                { 2, 1 }, { 2, 2 }, { 3, 2 }, { 4, 2 },
                                { 5, 1 }, { 8, 2 }, { 8, 4 }, { 28, 4 } };

static uint64_t ids[WIDEST];

static uint64_t
chance(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static extent_t
extent(code_t code, uint16_t width, uint32_t start)
{
    for (unsigned i = 0; i < WIDEST; i++)
        ids[i] = 1000 + i * 7;
    return (extent_t){ .base_index = 5,
                       .code = code,
                       .start = start,
                       .width = width,
                       .stores = ids };
}

//  Run `look` for every code over every width that can carry it.
static void
over_all(void (*look)(const extent_t *))
{
    for (size_t c = 0; c < sizeof(CODES) / sizeof(CODES[0]); c++) {
        unsigned n = CODES[c].k + CODES[c].m;
        for (unsigned width = n; width <= WIDEST; width++) {
            extent_t at = extent(CODES[c], (uint16_t)width, width * 3 / 2);
            look(&at);
        }
    }
}

static void
look_distinct(const extent_t *at)
{
    static const uint64_t far[] = { 1ull << 31, 1ull << 40, UINT64_MAX / 64 };
    unsigned n = at->code.k + at->code.m;
    for (uint64_t i = 0; i < 2u * at->width + 3; i++) {
        uint64_t block = i < 2u * at->width ? i : far[i - 2u * at->width];
        uint64_t seen = 0;
        for (unsigned slot = 0; slot < n; slot++) {
            uint16_t position = placement_position(at, block, slot);
            CHECK(position < at->width);
            CHECK(!(seen >> position & 1));
            seen |= 1ull << position;
        }
    }
}

static void
the_slots_of_a_block_lie_on_distinct_stores(void)
{
    over_all(look_distinct);
}

static void
look_level(const extent_t *at)
{
    unsigned n = at->code.k + at->code.m;
    for (uint64_t first = 0; first < 3u * at->width; first += at->width) {
        unsigned times[WIDEST][LIMIT_SLOTS] = { 0 };
        unsigned all[WIDEST] = { 0 };
        for (uint64_t block = first; block < first + at->width; block++)
            for (unsigned slot = 0; slot < n; slot++) {
                uint16_t position = placement_position(at, block, slot);
                times[position][slot]++;
                all[position]++;
            }
        for (unsigned i = 0; i < at->width; i++) {
            CHECK(all[i] == n);
            for (unsigned slot = 0; at->code.m && slot < n; slot++)
                CHECK(times[i][slot] == 1);
        }
    }
}

static void
every_store_gets_every_slot_once_in_width_blocks(void)
{
    over_all(look_level);
}

static void
look_counted(const extent_t *at)
{
    uint64_t counted[WIDEST] = { 0 };
    for (uint64_t blocks = 0; blocks < 2u * at->width + 3; blocks++)
        for (unsigned i = 0; i < at->width; i++) {
            CHECK(placement_count(at, blocks, ids[i]) == counted[i]);
            counted[i] += placement_slot_of(at, blocks, ids[i]) >= 0;
        }
    CHECK(placement_count(at, 1000, 3) == 0);
    unsigned n = at->code.k + at->code.m;
    CHECK(placement_count(at, 1ull << 40, ids[0]) >=
          (1ull << 40) / at->width * n);
}

static void
a_stores_share_of_blocks_is_computed(void)
{
    over_all(look_counted);
}

static void
look_inverse(const extent_t *at)
{
    for (uint64_t index = at->base_index; index < at->base_index + 200;
         index++) {
        uint64_t block;
        unsigned slot;
        placement_of_index(at, index, &block, &slot);
        CHECK(slot < at->code.k);
        CHECK(placement_index(at, block, slot) == index);
    }
    for (uint64_t block = 0; block < at->width; block++) {
        unsigned held = 0;
        for (unsigned i = 0; i < at->width; i++) {
            int slot = placement_slot_of(at, block, ids[i]);
            if (slot < 0)
                continue;
            held++;
            CHECK(placement_store(at, block, (unsigned)slot) == ids[i]);
        }
        CHECK(held == (unsigned)at->code.k + at->code.m);
        CHECK(placement_slot_of(at, block, 1) == -1);
    }
}

static void
index_and_slot_are_inverse(void)
{
    over_all(look_inverse);
}

//  Written down once and never to be changed: old extents are read by it.
static void
what_an_extent_says_is_the_same_for_ever(void)
{
    static const uint16_t six[8] = { 1, 2, 3, 4, 5, 0, 1, 2 };
    static const uint16_t nine[8] = { 1, 7, 4, 2, 8, 5, 3, 0 };
    static const uint16_t bare[8] = { 1, 3, 1, 3, 1, 3, 1, 3 };
    extent_t a = extent((code_t){ 4, 2 }, 6, 1);
    extent_t b = extent((code_t){ 4, 2 }, 9, 1);
    extent_t c = extent((code_t){ 2, 0 }, 4, 1);
    for (uint64_t block = 0; block < 8; block++) {
        CHECK(placement_position(&a, block, 0) == six[block]);
        CHECK(placement_position(&b, block, 0) == nine[block]);
        CHECK(placement_position(&c, block, 0) == bare[block]);
    }
    CHECK(placement_position(&a, 4, 3) == 2);
    CHECK(placement_store(&a, 4, 3) == ids[2]);
}

static bool
gives(size_t workers, code_t asked, bool strict, code_t code, bool narrower)
{
    code_t got;
    bool told;
    return placement_code(workers, asked, strict, &got, &told) == STATUS_OK &&
           got.k == code.k && got.m == code.m && told == narrower;
}

static status_t
answer(size_t workers, code_t asked, bool strict)
{
    code_t code;
    bool narrower;
    return placement_code(workers, asked, strict, &code, &narrower);
}

static void
the_code_follows_the_workers(void)
{
    static const code_t ours = { 0, 0 };
    CHECK(answer(0, ours, false) == STATUS_HELD);
    CHECK(answer(1, ours, true) == STATUS_HELD);
    CHECK(gives(2, ours, false, (code_t){ 1, 1 }, false));
    CHECK(gives(3, ours, true, (code_t){ 2, 1 }, false));
    CHECK(gives(4, ours, false, (code_t){ 2, 2 }, false));
    CHECK(gives(5, ours, true, (code_t){ 3, 2 }, false));
    CHECK(gives(6, ours, false, (code_t){ 4, 2 }, false));
    CHECK(gives(200, ours, false, (code_t){ 4, 2 }, false));
}

static void
what_is_asked_is_given_or_narrowed_aloud_or_refused(void)
{
    CHECK(gives(10, (code_t){ 8, 2 }, true, (code_t){ 8, 2 }, false));
    CHECK(gives(9, (code_t){ 8, 2 }, false, (code_t){ 7, 2 }, true));
    CHECK(answer(9, (code_t){ 8, 2 }, true) == STATUS_PROTECTION);
    CHECK(gives(5, (code_t){ 4, 2 }, false, (code_t){ 3, 2 }, true));
    CHECK(gives(3, (code_t){ 4, 2 }, false, (code_t){ 2, 1 }, true));
    CHECK(gives(2, (code_t){ 4, 2 }, false, (code_t){ 1, 1 }, true));
    CHECK(gives(4, (code_t){ 1, 4 }, false, (code_t){ 1, 2 }, true));
    CHECK(gives(32, (code_t){ 28, 4 }, true, (code_t){ 28, 4 }, false));
    CHECK(gives(1, (code_t){ 1, 0 }, true, (code_t){ 1, 0 }, false));
    CHECK(gives(3, (code_t){ 4, 0 }, false, (code_t){ 3, 0 }, true));
    CHECK(answer(0, (code_t){ 1, 0 }, false) == STATUS_HELD);
    CHECK(answer(1, (code_t){ 1, 1 }, false) == STATUS_HELD);
    CHECK(answer(1, (code_t){ 4, 0 }, false) == STATUS_HELD);
    CHECK(answer(99, (code_t){ 0, 2 }, false) == STATUS_PROTECTION);
    CHECK(answer(99, (code_t){ 29, 2 }, false) == STATUS_PROTECTION);
    CHECK(answer(99, (code_t){ 4, 5 }, false) == STATUS_PROTECTION);
}

static void
a_quorum_survives_one_more_loss_where_there_is_parity(void)
{
    CHECK(placement_quorum((code_t){ 1, 0 }) == 1);
    CHECK(placement_quorum((code_t){ 4, 0 }) == 4);
    CHECK(placement_quorum((code_t){ 1, 1 }) == 2);
    CHECK(placement_quorum((code_t){ 4, 2 }) == 5);
    CHECK(placement_quorum((code_t){ 28, 4 }) == 29);
}

//  Deal a whole stream slot by slot, as the forwarder does.
static void
deal(uint64_t *bytes, uint16_t width, code_t code, uint32_t start,
     uint64_t size, uint32_t chunk)
{
    extent_t at = extent(code, width, start);
    uint64_t block = 0;
    do {
        uint64_t most = (uint64_t)code.k * chunk;
        uint64_t piece = size > most ? chunk : (size + code.k - 1) / code.k;
        uint64_t longest = size < piece ? size : piece;
        for (unsigned slot = 0; slot < (unsigned)code.k + code.m; slot++) {
            uint64_t length = longest + CHUNK_HEADER_BYTES;
            if (slot < code.k) {
                length = size < piece ? size : piece;
                size -= length;
            }
            bytes[placement_position(&at, block, slot)] += length;
        }
        block++;
    } while (size);
}

static uint64_t
apart(const uint64_t *bytes, uint16_t width)
{
    uint64_t low = UINT64_MAX, high = 0;
    for (unsigned i = 0; i < width; i++) {
        low = bytes[i] < low ? bytes[i] : low;
        high = bytes[i] > high ? bytes[i] : high;
    }
    return high - low;
}

static void
the_start_is_the_one_that_leaves_stores_most_level(void)
{
    uint64_t seed = 11;
    for (unsigned round = 0; round < 400; round++) {
        code_t code = CODES[chance(&seed) % 10];
        unsigned n = code.k + code.m;
        uint16_t width = (uint16_t)(n + chance(&seed) % 8);
        uint32_t chunk = 4096;
        uint64_t size = chance(&seed) % (chunk * n * 40);
        uint64_t bytes[WIDEST], best = UINT64_MAX;
        for (unsigned i = 0; i < width; i++)
            bytes[i] = chance(&seed) % (4 * chunk);
        uint32_t want = 0;
        for (uint32_t start = 0; start < width; start++) {
            uint64_t after[WIDEST];
            memcpy(after, bytes, sizeof(after));
            deal(after, width, code, start, size, chunk);
            if (apart(after, width) < best) {
                best = apart(after, width);
                want = start;
            }
        }
        CHECK(placement_start(bytes, width, code, true, size, chunk) == want);
    }
}

static void
an_unknown_size_starts_at_the_least_loaded_store(void)
{
    static const uint64_t bytes[] = { 9, 4, 7, 4 };
    CHECK(placement_start(bytes, 4, (code_t){ 2, 2 }, false, 0, 4096) == 1);
}

static uint64_t
uniform(uint64_t *seed)
{
    return 1 + chance(seed) % 50000000;
}

//  As many files between 1 and 2 bytes as between 32 and 64 million.
static uint64_t
log_uniform(uint64_t *seed)
{
    uint64_t order = 1ull << chance(seed) % 26;
    uint64_t size = order + chance(seed) % order;
    return size < 50000000 ? size : 50000000;
}

enum { CHUNK = 256 * 1024 };

typedef struct {
    uint64_t apart;
    uint64_t each;  //  What a store holds on average
} leveled_t;

static leveled_t
after_300_files(uint16_t width, code_t code, uint64_t (*size)(uint64_t *),
                uint64_t seed)
{
    uint64_t bytes[WIDEST] = { 0 }, sum = 0;
    for (int i = 0; i < 300; i++) {
        uint64_t it = size(&seed);
        uint32_t start = placement_start(bytes, width, code, true, it, CHUNK);
        deal(bytes, width, code, start, it, CHUNK);
    }
    for (unsigned i = 0; i < width; i++)
        sum += bytes[i];
    return (leveled_t){ apart(bytes, width), sum / width };
}

//  Where the width is k + m every block is level: a thousandth always holds.
//  Elsewhere the last files may leave a chunk or two more here than there,
//  which is more than a thousandth of what few small files sum up to.
static void
stay_level(uint64_t (*size)(uint64_t *), const char *sizes)
{
    static const struct {
        uint16_t width;
        code_t code;
    } houses[] = { { 6, { 4, 2 } }, { 4, { 2, 2 } }, { 5, { 3, 2 } },
                   { 5, { 2, 2 } }, { 7, { 4, 2 } }, { 9, { 4, 2 } },
                   { 4, { 1, 0 } }, { 6, { 2, 1 } }, { 7, { 1, 1 } } };
    for (size_t i = 0; i < sizeof(houses) / sizeof(houses[0]); i++) {
        code_t code = houses[i].code;
        uint64_t most = 0, each = 0;
        for (uint64_t seed = 1; seed <= 5; seed++) {
            leveled_t at = after_300_files(houses[i].width, code, size,
                                           seed * 77);
            bool chunks_apart = code.k + code.m < houses[i].width &&
                                at.apart <= 2 * CHUNK;
            CHECK(chunks_apart || at.apart <= at.each / 1000);
            each = at.apart > most ? at.each : each;
            most = at.apart > most ? at.apart : most;
        }
        printf("# %s, %u+%u over %u: %llu bytes apart of %llu\n", sizes, code.k,
               code.m, houses[i].width, (unsigned long long)most,
               (unsigned long long)each);
    }
}

static void
files_of_all_sizes_leave_stores_within_a_thousandth(void)
{
    stay_level(uniform, "uniform");
    stay_level(log_uniform, "log-uniform");
}

static void
a_file_by_itself_leaves_stores_within_a_thousandth(void)
{
    uint64_t bytes[WIDEST] = { 0 }, sum = 0;
    uint64_t size = 2000000001;
    uint32_t start = placement_start(bytes, 6, (code_t){ 4, 2 }, true, size,
                                     256 * 1024);
    deal(bytes, 6, (code_t){ 4, 2 }, start, size, 256 * 1024);
    for (unsigned i = 0; i < 6; i++)
        sum += bytes[i];
    CHECK(apart(bytes, 6) <= sum / 6 / 1000);
}

int
main(void)
{
    CASE(the_slots_of_a_block_lie_on_distinct_stores,
         "placement 1: the slots of a block lie on distinct stores");
    CASE(every_store_gets_every_slot_once_in_width_blocks,
         "placement 2: in W blocks every store gets every slot once");
    CASE(a_stores_share_of_blocks_is_computed,
         "placement 2: how many slots a store has is what counting says");
    CASE(files_of_all_sizes_leave_stores_within_a_thousandth,
         "placement 2: 300 files of 1 byte to 50 MB lie within 0.1 %");
    CASE(a_file_by_itself_leaves_stores_within_a_thousandth,
         "placement 2: the bytes of one large file lie within 0.1 %");
    CASE(what_an_extent_says_is_the_same_for_ever,
         "placement 3: what an extent says is the same for ever");
    CASE(index_and_slot_are_inverse,
         "placement 3: index, slot and store lead back to each other");
    CASE(the_code_follows_the_workers,
         "R2: the code follows the number of workers");
    CASE(what_is_asked_is_given_or_narrowed_aloud_or_refused,
         "R2: a code asked for is given, narrowed aloud or refused");
    CASE(a_quorum_survives_one_more_loss_where_there_is_parity,
         "R2: a quorum is k + 1, or all there are");
    CASE(the_start_is_the_one_that_leaves_stores_most_level,
         "R3: a known size starts where it leaves stores most level");
    CASE(an_unknown_size_starts_at_the_least_loaded_store,
         "R3: an unknown size starts at the least loaded store");
    return proof_end();
}
