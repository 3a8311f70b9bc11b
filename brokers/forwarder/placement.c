#include "placement.h"

#include "invariant.h"

//  rill's own choice where the stream asks for nothing (R2).
static const code_t AUTO = { .k = 4, .m = 2 };

enum {
    MOST_DATA = 28,
    MOST_PARITY = 4,
};

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t
divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static unsigned
slots(code_t code)
{
    return (unsigned)code.k + code.m;
}

//  Turn of a block's first slot, mod `width` (R3): k + m turns behind the block
//  before it, and one more after each whole cycle, or a width that shares a
//  divisor with k + m would give a store the same slots for ever. Without
//  parity all slots are alike and need no such shift.
static uint32_t
turn(uint32_t start, uint16_t width, code_t code, uint64_t block)
{
    INVARIANT(code.k && slots(code) <= width);
    uint64_t n = slots(code);
    uint64_t shift = code.m ? block / (width / divisor(width, n)) : 0;
    return (start % width + block % width * n + shift % width) % width;
}

status_t
placement_code(size_t workers, code_t asked, bool strict, code_t *code_r,
               bool *narrower_r)
{
    bool ours = !asked.k && !asked.m;
    code_t want = ours ? AUTO : asked;
    if (!want.k || want.k > MOST_DATA || want.m > MOST_PARITY)
        return STATUS_PROTECTION;

    bool single = want.k == 1 && !want.m;
    if (workers < (single ? 1 : 2))
        return STATUS_HELD;
    bool fits = slots(want) <= workers;
    if (!fits && !ours && strict)
        return STATUS_PROTECTION;
    if (!fits) {
        want.m = (uint8_t)least(want.m, workers >= 4 ? 2 : 1);
        want.k = (uint8_t)least(want.k, workers - want.m);
    }
    *code_r = want;
    *narrower_r = !fits && !ours;
    return STATUS_OK;
}

unsigned
placement_quorum(code_t code)
{
    return (unsigned)least(code.k + 1u, slots(code));
}

uint16_t
placement_position(const extent_t *extent, uint64_t block, unsigned slot)
{
    INVARIANT(slot < slots(extent->code));
    uint32_t first = turn(extent->start, extent->width, extent->code, block);
    return (uint16_t)((first + slot) % extent->width);
}

uint64_t
placement_store(const extent_t *extent, uint64_t block, unsigned slot)
{
    return extent->stores[placement_position(extent, block, slot)];
}

uint64_t
placement_index(const extent_t *extent, uint64_t block, unsigned slot)
{
    INVARIANT(slot < extent->code.k);
    return extent->base_index + block * extent->code.k + slot;
}

void
placement_of_index(const extent_t *extent, uint64_t index, uint64_t *block_r,
                   unsigned *slot_r)
{
    INVARIANT(index >= extent->base_index);
    uint64_t from_base = index - extent->base_index;
    *block_r = from_base / extent->code.k;
    *slot_r = (unsigned)(from_base % extent->code.k);
}

bool
placement_is_lost(uint64_t store)
{
    return store >= PLACEMENT_LOST(LIMIT_WORKERS);
}

uint64_t
placement_index_before(const extent_t *extent)
{
    return extent->base_index - extent->index_gap;
}

int
placement_slot_of(const extent_t *extent, uint64_t block, uint64_t store)
{
    uint32_t width = extent->width;
    uint32_t first = turn(extent->start, extent->width, extent->code, block);
    for (uint32_t i = 0; i < width; i++) {
        if (extent->stores[i] != store)
            continue;
        uint32_t slot = (i + width - first) % width;
        return slot < slots(extent->code) ? (int)slot : -1;
    }
    return -1;
}

uint64_t
placement_count(const extent_t *extent, uint64_t blocks, uint64_t store)
{
    uint64_t rest = blocks % extent->width;
    uint64_t in_rest = 0, in_cycle = 0;
    for (uint16_t i = 0; i < extent->width; i++)
        if (extent->stores[i] == store)
            in_cycle = slots(extent->code);  //  Invariant 2
    for (uint64_t block = blocks - rest; block < blocks && in_cycle; block++)
        in_rest += placement_slot_of(extent, block, store) >= 0;
    return blocks / extent->width * in_cycle + in_rest;
}

static uint32_t
least_loaded(const uint64_t *bytes, uint16_t width)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < width; i++)
        if (bytes[i] < bytes[first])
            first = i;
    return first;
}

//  Add to `load` (by position, for start 0) what one block brings whose data
//  slots hold `bytes` cut in pieces of `piece`. What every slot has alike, a
//  header and a frame, makes no difference and is left out.
static void
load_block(uint64_t *load, uint16_t width, code_t code, uint64_t block,
           uint64_t bytes, uint64_t piece)
{
    uint32_t position = turn(0, width, code, block);
    for (unsigned slot = 0; slot < slots(code); slot++) {
        uint64_t length = least(bytes, piece);
        if (slot < code.k)
            bytes -= length;
        else
            length = piece + CHUNK_HEADER_BYTES;
        load[position] += length;
        position = (position + 1) % width;
    }
}

//  How far apart the stores are when `load`, turned by `start`, is added.
static uint64_t
spread(const uint64_t *bytes, const uint64_t *load, uint16_t width,
       uint32_t start)
{
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    for (uint32_t i = 0; i < width; i++) {
        uint64_t sum = bytes[i] + load[(i + width - start) % width];
        low = sum < low ? sum : low;
        high = sum > high ? sum : high;
    }
    return high - low;
}

uint32_t
placement_start(const uint64_t *bytes, uint16_t width, code_t code,
                bool size_known, uint64_t size, uint32_t chunk_bytes)
{
    INVARIANT(width && width <= LIMIT_WORKERS);
    INVARIANT(code.k && slots(code) <= width);
    if (!size_known)
        return least_loaded(bytes, width);

    //  Each `width` blocks are level by themselves (invariant 2): what is
    //  behind the last such cycle decides. The last block is cut evenly (R5).
    INVARIANT(chunk_bytes);
    uint64_t block_bytes = (uint64_t)code.k * chunk_bytes;
    uint64_t full = size ? (size - 1) / block_bytes : 0;
    uint64_t rest = size - full * block_bytes;
    uint64_t load[LIMIT_WORKERS] = { 0 };
    for (uint64_t block = full / width * width; block < full; block++)
        load_block(load, width, code, block, block_bytes, chunk_bytes);
    load_block(load, width, code, full, rest, (rest + code.k - 1) / code.k);

    uint32_t best = 0;
    uint64_t best_spread = UINT64_MAX;
    for (uint32_t start = 0; start < width; start++) {
        uint64_t apart = spread(bytes, load, width, start);
        if (apart < best_spread) {
            best = start;
            best_spread = apart;
        }
    }
    return best;
}
