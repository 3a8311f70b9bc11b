#include "agenda.h"

#include <stddef.h>
#include <stdlib.h>

#include "invariant.h"

typedef struct {
    int64_t at_us;
    uint64_t order;
    agenda_fn *function;
    void *arg;
} entry_t;

struct agenda {
    int64_t now_us;
    uint64_t added;
    size_t count, room;
    entry_t *heap;
};

agenda_t *
agenda_new(void)
{
    agenda_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    return self;
}

void
agenda_destroy(agenda_t **self_p)
{
    agenda_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        self->heap[i].function(self->heap[i].arg, false);
    free(self->heap);
    free(self);
    *self_p = NULL;
}

int64_t
agenda_now(const agenda_t *self)
{
    return self->now_us;
}

static bool
before(const entry_t *a, const entry_t *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void
swap(entry_t *a, entry_t *b)
{
    entry_t kept = *a;
    *a = *b;
    *b = kept;
}

static void
rise(entry_t *heap, size_t i)
{
    for (; i && before(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

static void
sink(entry_t *heap, size_t count)
{
    size_t i = 0;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < count && before(&heap[child], &heap[least]))
                least = child;
        if (least == i)
            return;
        swap(&heap[i], &heap[least]);
        i = least;
    }
}

void
agenda_add(agenda_t *self, int64_t after_us, agenda_fn *function, void *arg)
{
    INVARIANT(after_us >= 0);
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 256;
        self->heap = realloc(self->heap, self->room * sizeof(entry_t));
        INVARIANT(self->heap);
    }
    self->heap[self->count] = (entry_t){ self->now_us + after_us, self->added++,
                                         function, arg };
    rise(self->heap, self->count++);
}

bool
agenda_turn(agenda_t *self, int64_t until_us)
{
    if (!self->count || self->heap[0].at_us > until_us) {
        self->now_us = until_us;
        return false;
    }
    entry_t next = self->heap[0];
    self->heap[0] = self->heap[--self->count];
    sink(self->heap, self->count);
    self->now_us = next.at_us;
    next.function(next.arg, true);
    return true;
}
