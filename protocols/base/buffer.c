#include "buffer.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "invariant.h"

struct buffer {
    atomic_uint holders;
    size_t size;
    const uint8_t *bytes;
    uint8_t *own;             //  What buffer_fill gives; NULL when lent
    buffer_free_fn *free_fn;  //  How lent memory goes back
    void *hint;
    size_t counted;  //  Of all buffers' bytes
};

static atomic_size_t total;

static buffer_t *
make(const uint8_t *bytes, size_t size, size_t counted)
{
    buffer_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    atomic_init(&self->holders, 1);
    self->bytes = bytes;
    self->size = size;
    self->counted = counted;
    atomic_fetch_add_explicit(&total, counted, memory_order_relaxed);
    return self;
}

buffer_t *
buffer_new_aligned(size_t size, size_t alignment)
{
    size_t whole = (size + alignment - 1) / alignment * alignment;
    uint8_t *own = aligned_alloc(alignment, whole ? whole : alignment);
    INVARIANT(own);
    buffer_t *self = make(own, size, size);
    self->own = own;
    return self;
}

buffer_t *
buffer_new(size_t size)
{
    return buffer_new_aligned(size, 64);
}

static buffer_t *
wrap(const void *bytes, size_t size, size_t counted, buffer_free_fn *free_fn,
     void *hint)
{
    INVARIANT(free_fn);
    static const uint8_t nothing[1];
    buffer_t *self = make(bytes ? bytes : nothing, size, counted);
    self->free_fn = free_fn;
    self->hint = hint;
    return self;
}

buffer_t *
buffer_wrap(const void *bytes, size_t size, buffer_free_fn *free_fn, void *hint)
{
    return wrap(bytes, size, size, free_fn, hint);
}

static void
release_whole(void *hint)
{
    buffer_t *whole = hint;
    buffer_unref(&whole);
}

buffer_t *
buffer_slice(buffer_t *whole, size_t from, size_t size)
{
    INVARIANT(from <= whole->size && size <= whole->size - from);
    return wrap(whole->bytes + from, size, 0, release_whole, buffer_ref(whole));
}

buffer_t *
buffer_ref(buffer_t *self)
{
    if (self)
        atomic_fetch_add_explicit(&self->holders, 1, memory_order_relaxed);
    return self;
}

void
buffer_unref(buffer_t **self_p)
{
    buffer_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    //  Release and acquire in one: Z17 lets go in libzmq's own thread.
    if (atomic_fetch_sub_explicit(&self->holders, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&total, self->counted, memory_order_relaxed);
    if (self->free_fn)
        self->free_fn(self->hint);
    free(self->own);
    free(self);
}

const uint8_t *
buffer_bytes(const buffer_t *self)
{
    return self->bytes;
}

size_t
buffer_size(const buffer_t *self)
{
    return self->size;
}

uint8_t *
buffer_fill(buffer_t *self)
{
    INVARIANT(self->own && atomic_load(&self->holders) == 1);
    return self->own;
}

void
buffer_trim(buffer_t *self, size_t size)
{
    INVARIANT(size <= self->size && atomic_load(&self->holders) == 1);
    self->size = size;
}

size_t
buffer_total(void)
{
    return atomic_load_explicit(&total, memory_order_relaxed);
}
