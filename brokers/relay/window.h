/*  window - the recent chunks that a cache holds
 *
 *  Invariants
 *    1. What is found at an offset covers it, with the header and payload that
 *       were added (house 13).
 *    2. (house 18) What is held, headers included, stays under its bound;
 *       what came first goes first.
 *    3. Chunks that a restarted origin cut otherwise are held beside each other
 *       where each has bytes of its own: they have the same bytes, and none
 *       lies within another.
 *
 *  Nothing held is ever invalidated: an offset has one byte for ever. The
 *  payload is in memory, or, in a window of places, elsewhere.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>

#include "buffer.h"
#include "chunk.h"

typedef struct window window_t;

typedef struct {
    chunk_header_t header;
    buffer_t *payload;  //  NULL: it lies elsewhere,
    uint64_t number;    //  under this number
} window_chunk_t;

//  Called with a chunk that makes room for others, before it goes.
typedef void window_fn(void *with, const window_chunk_t *chunk);

//  A window of at most so many bytes. `leaves` may be NULL. The caller owns it.
window_t *window_new(size_t most_bytes, window_fn *leaves, void *with);
void window_destroy(window_t **self_p);

//  Hold a data chunk with bytes; the payload gets one more holder, and what lies
//  within it goes. False: all of its bytes are held already, or it alone is over
//  the bound.
bool window_add(window_t *self, const chunk_header_t *header,
                buffer_t *payload);

//  Hold the place of a chunk whose payload lies elsewhere. It counts as long as
//  it is, but as WINDOW_PLACE_BYTES at least: what is known of a window takes
//  a hundredth of it in memory at most.
#define WINDOW_PLACE_BYTES ((size_t)64 * 1024)
bool window_add_place(window_t *self, const chunk_header_t *header,
                      uint64_t number);

//  Drop the chunk of a number, and tell the lowest that is held; UINT64_MAX:
//  none.
void window_drop_place(window_t *self, uint64_t number);
uint64_t window_first_place(const window_t *self);

//  The chunk that covers an offset, or NULL. Lent until something is added or
//  dropped.
const window_chunk_t *window_find(const window_t *self, uint64_t stream,
                                  uint64_t offset);

//  The end of what is held without a gap from `offset` on; `offset` when it is
//  not held.
uint64_t window_reach(const window_t *self, uint64_t stream, uint64_t offset);

//  The first offset held at or behind `offset`; UINT64_MAX: none.
uint64_t window_next(const window_t *self, uint64_t stream, uint64_t offset);

//  What no chunk held reaches behind; 0: none is held.
uint64_t window_end(const window_t *self, uint64_t stream);

//  The chunk that ends last, or NULL; and the newest mark of the last chunks,
//  where a player can start. False: none.
const window_chunk_t *window_newest(const window_t *self, uint64_t stream);
bool window_newest_mark(const window_t *self, uint64_t stream,
                        uint64_t *offset_r);

//  The last chunk held that was created at or before a time, or NULL.
const window_chunk_t *window_at(const window_t *self, uint64_t stream,
                                micros_t created_us);

//  Drop what was created before, wherever it lies; and all of a stream.
void window_age(window_t *self, micros_t before_us);
void window_forget(window_t *self, uint64_t stream);

//  What is held of a stream: its payload, and when the oldest and the newest of
//  it were created; zeros: nothing.
typedef struct {
    size_t bytes;
    micros_t oldest_us, newest_us;
} window_span_t;
window_span_t window_span(const window_t *self, uint64_t stream);

size_t window_bytes(const window_t *self);
size_t window_count(const window_t *self);

#endif
