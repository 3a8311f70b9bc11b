/*  chunker - bytes in, equal chunks out (S2, S6)
 *
 *  Invariants
 *    1. The chunks put together are the bytes that went in.
 *    2. A piece that is a whole chunk is passed on, not copied.
 *    3. A chunk once cut is never cut again.
 *    4. Live: no byte waits longer than the buffer time.
 *    5. The last block of a known size is cut evenly into k (R5).
 *
 *  The size: set by hand, or 256 KiB for recorded data, or for live data rate
 *  times buffer time in whole MPEG-TS packets (188 bytes) between a floor and
 *  a ceiling, changed only between blocks and only when it is off by a
 *  quarter. Pure: time is an argument.
 */
#ifndef CHUNKER_H
#define CHUNKER_H

#include "buffer.h"
#include "chunk.h"
#include "millis.h"

typedef struct chunker chunker_t;

typedef struct {
    kind_t kind;
    uint32_t chunk_bytes;     //  Set by hand; 0: by the rule
    uint32_t recorded_bytes;  //  0: 256 KiB
    uint32_t buffer_ms;       //  Live; 0: 200
    uint32_t floor_bytes;     //  Live; 0: 16 KiB
    uint32_t ceiling_bytes;   //  Live; 0: 1 MiB
    uint64_t rate_bytes;      //  Live: a second, expected; 0: unknown
    bool size_known;
    uint64_t size;  //  Whole size, from offset 0 of this source's bytes
    uint64_t base;  //  Offset of this source's first byte
} chunker_settings_t;

//  A chunk as cut: bytes at an offset.
typedef struct {
    uint64_t offset;
    buffer_t *payload;  //  Owned by whoever takes the chunk
    micros_t created_us;
    uint8_t marks_count;
    mark_t marks[LIMIT_MARKS];
} cut_t;

//  Told for each chunk, in order; takes over `cut.payload`. `k` is the number
//  of data slots of the block this chunk will belong to and `slot` its place:
//  the owner answers both before each cut through chunker_block.
typedef void chunker_cut_fn(void *with, cut_t cut);

//  A chunker whose next byte has offset `next`.
chunker_t *chunker_new(const chunker_settings_t *settings, uint64_t next,
                       chunker_cut_fn *cut, void *with);
void chunker_destroy(chunker_t **self_p);

//  The next chunk cut will be slot `slot` of a block of `k` data slots. From
//  there slots are counted on by themselves; the owner says it whenever it is
//  otherwise (a block was filled up or begun anew), also from inside the cut.
void chunker_block(chunker_t *self, unsigned slot, unsigned k);

//  Take the bytes of `piece` (a reference is taken where they are kept: whole
//  chunks of it are passed on as they lie). A chunk is created when it is cut:
//  created = max(last, wall_us). Marks lie within the piece; what is more than
//  LIMIT_MARKS in a chunk, or elsewhere, is dropped.
void chunker_take(chunker_t *self, buffer_t *piece, const mark_t *marks,
                  size_t marks_count, millis_t now, micros_t wall_us);

//  Cut what is left, shorter than a chunk or not at all when there is none.
void chunker_flush(chunker_t *self, micros_t wall_us);

//  When the open chunk must be cut short (live); MILLIS_NEVER when none is
//  open, or recorded.
millis_t chunker_due(const chunker_t *self);
void chunker_sweep(chunker_t *self, millis_t now, micros_t wall_us);

//  Offset behind the last byte taken.
uint64_t chunker_next(const chunker_t *self);

//  Bytes taken and not yet cut.
size_t chunker_held(const chunker_t *self);

//  The size of chunks now.
uint32_t chunker_size(const chunker_t *self);

//  The size rule by itself: for `rate_bytes` a second and `buffer_ms`, when
//  the size in force is `current` (0: none).
uint32_t chunker_live_size(uint64_t rate_bytes, uint32_t buffer_ms,
                           uint32_t floor_bytes, uint32_t ceiling_bytes,
                           uint32_t current);

#endif
