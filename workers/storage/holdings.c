#include "holdings.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

//  Together under 50 KiB packed: 64 B a Held, 24 B a Run, 1 B a slot.
enum { MOST_HELD = 128, MOST_RUNS = 512, MOST_SLOTS = 28 * 1024 };

//  A gap up to this long is cheaper inside a run than a new run.
enum { MOST_GAP = 16 };

#define NO_SLOT 255

struct holdings {
    Rill__V1__Inventory inventory;
    Rill__V1__Held held[MOST_HELD];
    Rill__V1__Held *held_list[MOST_HELD];
    Rill__V1__Run runs[MOST_RUNS];
    Rill__V1__Run *run_list[MOST_RUNS];
    uint8_t slots[MOST_SLOTS];
    size_t held_count;
    size_t runs_count;
    size_t slots_count;
};

holdings_t *
holdings_new(void)
{
    holdings_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    return self;
}

void
holdings_destroy(holdings_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void
holdings_clear(holdings_t *self)
{
    self->held_count = self->runs_count = self->slots_count = 0;
}

bool
holdings_begin(holdings_t *self, uint64_t stream, uint64_t epoch,
               uint64_t settled)
{
    if (self->held_count == MOST_HELD)
        return false;
    Rill__V1__Held *held = &self->held[self->held_count];
    rill__v1__held__init(held);
    held->stream = stream;
    held->epoch = epoch;
    held->settled = settled;
    held->runs = &self->run_list[self->runs_count];
    self->held_list[self->held_count++] = held;
    return true;
}

//  The run that the block may lengthen, or NULL.
static Rill__V1__Run *
open_run(holdings_t *self, uint64_t block)
{
    Rill__V1__Held *held = &self->held[self->held_count - 1];
    if (held->n_runs == 0)
        return NULL;
    Rill__V1__Run *run = held->runs[held->n_runs - 1];
    uint64_t end = run->first + run->slots.len;
    return block >= end && block - end <= MOST_GAP ? run : NULL;
}

bool
holdings_add(holdings_t *self, uint64_t block, uint32_t slot)
{
    INVARIANT(self->held_count > 0 && slot < LIMIT_SLOTS);
    Rill__V1__Run *run = open_run(self, block);
    size_t gap = run ? (size_t)(block - (run->first + run->slots.len)) : 0;
    if (self->slots_count + gap + 1 > MOST_SLOTS)
        return false;
    if (!run) {
        if (self->runs_count == MOST_RUNS)
            return false;
        run = &self->runs[self->runs_count];
        rill__v1__run__init(run);
        run->first = block;
        run->slots.data = self->slots + self->slots_count;
        self->run_list[self->runs_count++] = run;
        self->held[self->held_count - 1].n_runs++;
    }
    memset(self->slots + self->slots_count, NO_SLOT, gap);
    self->slots_count += gap;
    self->slots[self->slots_count++] = (uint8_t)slot;
    run->slots.len += gap + 1;
    return true;
}

const Rill__V1__Inventory *
holdings_say(holdings_t *self, uint64_t session, bool done)
{
    rill__v1__inventory__init(&self->inventory);
    self->inventory.session = session;
    self->inventory.n_held = self->held_count;
    self->inventory.held = self->held_list;
    self->inventory.done = done;
    return &self->inventory;
}
