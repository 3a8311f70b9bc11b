#include "survey.h"

#include <stdlib.h>

#include "invariant.h"

//  One epoch of which something is to be said.
typedef struct {
    uint64_t stream;
    uint64_t epoch;
    uint64_t settled;
    uint64_t block;  //  The first above the settled mark
    bool held;       //  There is one; else only the mark is said
} span_t;

//  Where a message begins.
typedef struct {
    size_t span;
    uint64_t block;
    uint32_t slot;
} place_t;

struct survey {
    const storage_effects_t *effects;
    void *with;
    span_t *spans;
    size_t count;
    size_t room;
    place_t at;    //  Where the next message begins
    place_t then;  //  Where the one after it does
};

survey_t *
survey_new(const storage_effects_t *effects, void *with)
{
    survey_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->effects = effects;
    self->with = with;
    return self;
}

void
survey_destroy(survey_t **self_p)
{
    survey_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->spans);
    free(self);
}

static void
add_span(survey_t *self, span_t span)
{
    if (self->count == self->room) {
        self->room = self->room ? self->room * 2 : 16;
        self->spans = realloc(self->spans, self->room * sizeof(*self->spans));
        INVARIANT(self->spans);
    }
    self->spans[self->count++] = span;
}

//  The mark is an index and lies between blocks: what is below it is of a
//  settled block. Only of extents that a rebuild has put in the place of the
//  one that was settled, it may lie within a block, which counts as a whole.
static bool
find_first_open(void *arg, const chunkstore_entry_t *entry)
{
    span_t *span = arg;
    bool parity = entry->key.slot >= entry->k;
    uint64_t first = entry->index - (parity ? 0 : entry->key.slot);
    if (first + entry->k <= span->settled)
        return false;
    span->block = entry->key.block;
    span->held = true;
    return true;
}

static status_t
look_at_stream(survey_t *self, uint64_t stream)
{
    size_t most = self->effects->epochs(self->with, stream, NULL, 0);
    uint64_t *epochs = calloc(most + 1, sizeof(*epochs));
    INVARIANT(epochs);
    size_t found = self->effects->epochs(self->with, stream, epochs, most);
    INVARIANT(found == most);
    size_t before = self->count;
    status_t status = STATUS_OK;
    for (size_t i = 0; i < most && status == STATUS_OK; i++) {
        span_t span = {
            .stream = stream,
            .epoch = epochs[i],
            .settled = self->effects->settled(self->with, stream),
        };
        status = self->effects->walk_back(self->with, stream, epochs[i],
                                          find_first_open, &span);
        bool only_mark = i + 1 == most && self->count == before;
        if (span.held || only_mark)
            add_span(self, span);
    }
    free(epochs);
    return status;
}

status_t
survey_begin(survey_t *self, const uint64_t *streams, size_t count)
{
    self->count = 0;
    self->at = self->then = (place_t){ 0 };
    status_t status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = look_at_stream(self, streams[i]);
    return status;
}

//  A walk that goes on where the last message ended.
typedef struct {
    holdings_t *holdings;
    uint64_t block;
    uint32_t slot;
    bool full;
} fill_t;

static bool
add_record(void *arg, const chunkstore_entry_t *entry)
{
    fill_t *fill = arg;
    const chunk_key_t *key = &entry->key;
    if (key->block == fill->block && key->slot < fill->slot)
        return true;
    fill->full = !holdings_add(fill->holdings, key->block, key->slot);
    fill->block = key->block;
    fill->slot = key->slot;
    return !fill->full;
}

//  Add what is left of the span at `then`; true when all of it was added.
static status_t
add_rest(survey_t *self, const span_t *span, holdings_t *holdings, bool *all_r)
{
    fill_t fill = {
        .holdings = holdings,
        .block = self->then.block,
        .slot = self->then.slot,
    };
    if (fill.block < span->block) {
        fill.block = span->block;
        fill.slot = 0;
    }
    status_t status = STATUS_OK;
    if (span->held)
        status = self->effects->walk(self->with, span->stream, span->epoch,
                                     fill.block, add_record, &fill);
    *all_r = !fill.full;
    self->then.block = fill.block;
    self->then.slot = fill.slot;
    return status;
}

status_t
survey_fill(survey_t *self, holdings_t *holdings, bool *last_r)
{
    holdings_clear(holdings);
    self->then = self->at;
    bool all = true;
    while (all && self->then.span < self->count) {
        const span_t *span = &self->spans[self->then.span];
        if (!holdings_begin(holdings, span->stream, span->epoch, span->settled))
            break;
        status_t status = add_rest(self, span, holdings, &all);
        if (status != STATUS_OK)
            return status;
        if (all)
            self->then = (place_t){ .span = self->then.span + 1 };
    }
    *last_r = self->then.span == self->count;
    return STATUS_OK;
}

void
survey_sent(survey_t *self)
{
    self->at = self->then;
}
