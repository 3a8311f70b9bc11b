/*  placement - which worker keeps which chunk: computed, never looked up
 *
 *  Invariants
 *    1. The slots of a block lie on distinct stores.
 *    2. Over W consecutive blocks (W the ensemble's width) every store gets
 *       every slot equally often: load and parity are level (S3).
 *    3. An extent once made never changes; what it says of a block is the same
 *       in every process and for ever.
 *
 *  write.md R2 and R3. Pure.
 */
#ifndef PLACEMENT_H
#define PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "status.h"

//  Behind an accepted loss indices jump so far: more than anybody gives up.
#define PLACEMENT_JUMP (1ull << 40)

//  The highest ids are no store's: they stand for stores that nobody knows any
//  more, when the catalogue was made again without them (R16).
#define PLACEMENT_LOST(nth) (UINT64_MAX - (nth))
bool placement_is_lost(uint64_t store);

//  From this index and offset on: this code over this ensemble.
typedef struct {
    uint64_t epoch;  //  Term * 2^32 + number; orders extents of all streams
    uint64_t base_index;
    uint64_t index_gap;  //  Indices before it that no chunk has: what was
                         //  given up may have had them, and worker's marks
    uint64_t base_offset;
    uint64_t writer;       //  Token of the source
    uint64_t gap;          //  Bytes of recorded hole right before base_offset
    micros_t begun_us;     //  No block of it was opened earlier, none of those
                           //  before it later (R15)
    uint32_t chunk_bytes;  //  Usual size of its chunks: a hint for readers
    code_t code;
    uint32_t start;  //  The first turn
    uint16_t width;
    uint64_t *stores;  //  The ensemble, in turn order; `width` of them
} extent_t;

//  The code for `workers` live workers when `asked` (0 + 0: rill's choice,
//  R2). STATUS_OK; STATUS_PROTECTION: asked for more than these can carry and
//  `strict`; STATUS_HELD: fewer than two workers for anything but 1+0, or none
//  at all. `*narrower_r` tells that it is less than asked. A code asked for is
//  1 to 28 data and 0 to 4 parity; 1+0 is "none".
status_t placement_code(size_t workers, code_t asked, bool strict,
                        code_t *code_r, bool *narrower_r);

//  Receipts of a block that make it stored: min(k + 1, k + m).
unsigned placement_quorum(code_t code);

//  Position in the ensemble (0 to width - 1) of a slot of a block (R3).
uint16_t placement_position(const extent_t *extent, uint64_t block,
                            unsigned slot);

//  The store there.
uint64_t placement_store(const extent_t *extent, uint64_t block, unsigned slot);

//  Index of a data slot; and the block and slot of an index at or behind the
//  extent's base.
uint64_t placement_index(const extent_t *extent, uint64_t block, unsigned slot);
void placement_of_index(const extent_t *extent, uint64_t index,
                        uint64_t *block_r, unsigned *slot_r);

//  Index behind the last chunk before the extent.
uint64_t placement_index_before(const extent_t *extent);

//  The slot of a block that `store` has by placement, or -1.
int placement_slot_of(const extent_t *extent, uint64_t block, uint64_t store);

//  In how many of the extent's first `blocks` blocks `store` has a slot.
uint64_t placement_count(const extent_t *extent, uint64_t blocks,
                         uint64_t store);

//  The first turn for a new extent over an ensemble whose stores keep
//  `bytes[i]` each: for a stream of `size` bytes in chunks of `chunk_bytes`
//  (size_known) the start that leaves bytes most level, else the least loaded
//  store (R3).
uint32_t placement_start(const uint64_t *bytes, uint16_t width, code_t code,
                         bool size_known, uint64_t size, uint32_t chunk_bytes);

#endif
