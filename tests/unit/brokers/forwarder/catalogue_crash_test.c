//  catalogue_crash_test [FIRST [COUNT]]: seeds FIRST to FIRST + COUNT, each
//  with the power cut at every call to the table of its workload.

#include "catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "kv_memory.h"
#include "proof.h"
#include "random.h"

enum { OPS = 200, STREAMS = 6, CHAIN = 4, STORES = 3, TEXT = 64 * 1024 };

static uint64_t first_seed = 1, seeds = 1;
static uint64_t states, restarts, doubts, cut_starts;

//  What the workload did to a stream so far.
typedef struct {
    bool there, removed;
    stream_record_t record;
    extent_t *chain[CHAIN];
    size_t count;
} stream_t;

//  A catalogue on its table: the one that is hurt, and the one that shows what
//  the other should hold.
typedef struct {
    kv_t *kv;
    catalogue_t *catalogue;
} side_t;

//  One deed, the same for both sides.
typedef struct {
    enum { PUT, SWITCH, REMOVE, FORGOTTEN, HORIZON } what;
    stream_t *stream;
    stream_record_t record;
    extent_t *gone[CHAIN], *added;
    size_t gone_count, stores_count;
    uint64_t stores[STORES];
    micros_t clock_us;
} deed_t;

typedef struct {
    side_t real, shadow;
    stream_t streams[STREAMS];
    uint64_t epochs;
} play_t;

//  ---------------------------------------------------------------------------
//  What a catalogue holds, as text

static char text[3][TEXT];

typedef struct {
    char *text;
    size_t size;
} print_t;

#define SAY(print, ...)                                                        \
    ((print)->size += (size_t)snprintf((print)->text + (print)->size,          \
                                       TEXT - (print)->size, __VA_ARGS__))

static void
on_stream(void *arg, const stream_record_t *record, extent_t **chain,
          size_t count)
{
    print_t *print = arg;
    SAY(print, "%lx %s %u %lu %d\n", record->id, record->name,
        record->chunk_bytes, record->writer, record->sealed);
    for (size_t i = 0; i < count; i++) {
        SAY(print, "  %lx %lu", chain[i]->epoch, chain[i]->base_index);
        for (uint16_t n = 0; n < chain[i]->width; n++)
            SAY(print, " %lx", chain[i]->stores[n]);
        SAY(print, "\n");
        extent_free(chain[i]);
    }
    free(chain);
}

static void
on_removed(void *arg, uint64_t stream, const uint64_t *stores, size_t count)
{
    print_t *print = arg;
    SAY(print, "removed %lx:", stream);
    for (size_t i = 0; i < count; i++)
        SAY(print, " %lx", stores[i]);
    SAY(print, "\n");
}

static const char *
print(catalogue_t *catalogue, char *to)
{
    print_t print = { .text = to };
    CHECK(catalogue_load(catalogue, on_stream, on_removed, &print) ==
          STATUS_OK);
    micros_t clock_us = 0, horizon_us = 0;
    CHECK(catalogue_horizon(catalogue, 0, &clock_us, &horizon_us) == STATUS_OK);
    SAY(&print, "%ld %ld\n", clock_us, horizon_us);
    INVARIANT(print.size < TEXT);
    return to;
}

//  ---------------------------------------------------------------------------
//  The workload

//  Behind those that stay, as a chain must be.
static extent_t *
some_extent(play_t *self, const stream_t *stream, size_t stay, random_t *random)
{
    extent_t *extent = extent_new(STORES);
    extent->epoch = ++self->epochs;
    if (stay > 0)
        extent->base_index = stream->chain[stay - 1]->base_index + 1 +
                             random_below(random, 1000);
    extent->base_offset = extent->base_index * 1000;
    extent->chunk_bytes = 1000;
    extent->code = (code_t){ 2, 1 };
    for (uint16_t i = 0; i < STORES; i++)
        extent->stores[i] = 1 + 3 * random_below(random, 4) + i;
    return extent;
}

//  The next deed that makes sense.
static deed_t
choose(play_t *self, random_t *random)
{
    size_t nth = random_below(random, STREAMS);
    stream_t *stream = &self->streams[nth];
    deed_t deed = { .stream = stream, .record = stream->record };
    uint64_t dice = random_below(random, 20);
    deed.stores_count = random_below(random, STORES + 1);
    for (size_t i = 0; i < deed.stores_count; i++)
        deed.stores[i] = i + 1;
    if (dice == 0) {
        deed.what = HORIZON;
        deed.clock_us = (micros_t)random_below(random, 1000000);
    } else if (stream->removed) {
        deed.what = FORGOTTEN;
    } else if (stream->there && dice == 1) {
        deed.what = REMOVE;
    } else if (!stream->there || dice < 8) {
        deed.what = PUT;
        deed.record.id = nth + 1;
        snprintf(deed.record.name, sizeof deed.record.name, "s%zu", nth);
        deed.record.kind = KIND_LIVE;
        deed.record.writer = random_next(random);
        deed.record.chunk_bytes = (uint32_t)random_below(random, 4096);
    } else {
        deed.what = SWITCH;
        size_t most = stream->count == CHAIN ? CHAIN : stream->count + 1;
        deed.gone_count = random_below(random, most);
        deed.gone_count += stream->count == CHAIN && !deed.gone_count;
        memcpy(deed.gone, stream->chain + stream->count - deed.gone_count,
               deed.gone_count * sizeof *deed.gone);
        deed.added = some_extent(self, stream, stream->count - deed.gone_count,
                                 random);
    }
    return deed;
}

static status_t
apply(catalogue_t *to, const deed_t *deed)
{
    const stream_t *stream = deed->stream;
    switch (deed->what) {
    case PUT:
        return catalogue_put(to, &deed->record);
    case SWITCH:
        return catalogue_switch(to, &deed->record, deed->gone, deed->gone_count,
                                &deed->added, 1);
    case REMOVE:
        return catalogue_remove(to, stream->record.id, stream->chain,
                                stream->count, deed->stores,
                                deed->stores_count);
    case FORGOTTEN:
        return catalogue_forgotten(to, stream->record.id, deed->stores,
                                   deed->stores_count);
    default:
        return catalogue_put_horizon(to, 0, deed->clock_us, deed->clock_us / 2);
    }
}

//  It is done: what the next deeds build on.
static void
note(const deed_t *deed)
{
    stream_t *stream = deed->stream;
    stream->record = deed->record;
    stream->there = stream->there || deed->what == PUT;
    size_t gone = deed->what == REMOVE ? stream->count : deed->gone_count;
    for (; gone > 0; gone--)
        extent_free(stream->chain[--stream->count]);
    if (deed->added)
        stream->chain[stream->count++] = deed->added;
    stream->removed = stream->removed || deed->what == REMOVE;
}

static status_t
start(side_t *side)
{
    char why[256] = "";
    catalogue_close(&side->catalogue);
    return catalogue_open(side->kv, 77, &side->catalogue, why, sizeof why);
}

//  ---------------------------------------------------------------------------
//  Crash states

//  Before the cut all is as the shadow says; of the deed in doubt all or
//  nothing is there.
static void
must_be_right(play_t *self, const deed_t *doubt, uint64_t term)
{
    CHECK(start(&self->real) == STATUS_OK);
    CHECK(catalogue_term(self->real.catalogue) > term);
    CHECK(catalogue_cluster(self->real.catalogue) == 77);
    const char *is = print(self->real.catalogue, text[0]);
    const char *before = print(self->shadow.catalogue, text[1]);
    if (doubt)
        CHECK(apply(self->shadow.catalogue, doubt) == STATUS_OK);
    const char *after = print(self->shadow.catalogue, text[2]);
    CHECK(strcmp(is, before) == 0 || strcmp(is, after) == 0);
    doubts += strcmp(is, before) != 0;
    states++;
}

static void
finish(play_t *self)
{
    for (size_t i = 0; i < STREAMS; i++)
        while (self->streams[i].count > 0)
            extent_free(self->streams[i].chain[--self->streams[i].count]);
    catalogue_close(&self->real.catalogue);
    catalogue_close(&self->shadow.catalogue);
    kv_close(&self->real.kv);
    kv_close(&self->shadow.kv);
}

//  The power goes at the `nth` call to the table, comes back, and goes once
//  more while the catalogue is opened. False: there is no such call.
static bool
cut_at(uint64_t seed, uint64_t nth)
{
    random_t random = random_seeded(seed);
    play_t self = { .real = { kv_memory_new(), NULL },
                    .shadow = { kv_memory_new(), NULL } };
    CHECK(start(&self.shadow) == STATUS_OK);
    CHECK(start(&self.real) == STATUS_OK);
    uint64_t term = catalogue_term(self.real.catalogue);
    kv_memory_fail_after(self.real.kv, nth, STATUS_IO);
    deed_t deed, *doubt = NULL;
    for (int i = 0; i < OPS && !doubt; i++) {
        if (i % 40 == 39) {
            if (start(&self.real) != STATUS_OK)
                break;
            term = catalogue_term(self.real.catalogue);
            restarts++;
        }
        deed = choose(&self, &random);
        if (apply(self.real.catalogue, &deed) != STATUS_OK) {
            doubt = &deed;
        } else {
            CHECK(apply(self.shadow.catalogue, &deed) == STATUS_OK);
            note(&deed);
        }
    }
    bool struck = kv_memory_failed(self.real.kv);
    catalogue_close(&self.real.catalogue);
    kv_memory_cut(self.real.kv, seed * 1000003 + nth);
    if (nth % 3 == 0) {
        kv_memory_fail_after(self.real.kv, 1 + nth / 3 % 3, STATUS_IO);
        cut_starts += start(&self.real) != STATUS_OK;
        catalogue_close(&self.real.catalogue);
        kv_memory_cut(self.real.kv, nth);
    }
    must_be_right(&self, doubt, term);
    if (doubt)
        extent_free(deed.added);
    finish(&self);
    return struck;
}

static void
nothing_recorded_is_lost_at_any_cut(void)
{
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        uint64_t nth = 1;
        while (cut_at(seed, nth))
            nth++;
        CHECK(nth > OPS);
    }
    CHECK(doubts > 0 && cut_starts > 0 && restarts > 0);
    printf("# %8lu  catalogue crash state\n", states);
    printf("# %8lu  catalogue batch in doubt that was there\n", doubts);
    printf("# %8lu  catalogue cut while it is opened\n", cut_starts);
}

int
main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seeds = strtoull(argv[2], NULL, 10);
    CASE(nothing_recorded_is_lost_at_any_cut,
         "catalogue 1 and 3, invariant 6: with the power cut at any call to "
         "the table what was recorded is there, a batch whole or not at all");
    return proof_end();
}
