/*  buffer - counted bytes that many may hold and nobody copies
 *
 *  Invariants
 *    1. Bytes do not change once a second holder or another thread has them.
 *    2. The memory is given back once, by whoever lets go last, in any thread.
 *
 *  A buffer may be received payload (buffer_wrap), memory of our own
 *  (buffer_new) or a part of another buffer (buffer_slice). Counting is
 *  atomic: the last release happens after every other holder's last use.
 */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>
#include <stdint.h>

typedef struct buffer buffer_t;

//  Give back wrapped memory; called once, from whichever thread lets go last.
typedef void buffer_free_fn(void *hint);

//  New memory of `size` bytes (0 is fine), contents undefined, aligned to 64.
//  The caller holds the one reference.
buffer_t *buffer_new(size_t size);

//  The same, aligned to `alignment` (a power of two), for direct I/O.
buffer_t *buffer_new_aligned(size_t size, size_t alignment);

//  Memory of others, lent until `free_fn(hint)` is called.
buffer_t *buffer_wrap(const void *bytes, size_t size, buffer_free_fn *free_fn,
                      void *hint);

//  `size` bytes of `whole` from `from`, without copying; holds `whole`.
buffer_t *buffer_slice(buffer_t *whole, size_t from, size_t size);

//  One more holder of the same bytes; returns `self`. NULL gives NULL.
buffer_t *buffer_ref(buffer_t *self);

//  Let go and null the caller's pointer; null is fine.
void buffer_unref(buffer_t **self_p);

//  The bytes, readable as long as the caller holds a reference. Never NULL.
const uint8_t *buffer_bytes(const buffer_t *self);

size_t buffer_size(const buffer_t *self);

//  The bytes for writing: only while the caller is the one holder of memory
//  from buffer_new (invariant 1).
uint8_t *buffer_fill(buffer_t *self);

//  Make it shorter: only while the caller is the one holder.
void buffer_trim(buffer_t *self, size_t size);

//  Bytes that all buffers of this process hold now; what is shared or a part
//  of another counts once.
size_t buffer_total(void);

#endif
