#include "catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv_memory.h"
#include "proof.h"

enum { MOST = 64 };

//  What a load told.
typedef struct {
    stream_record_t records[MOST];
    extent_t **chains[MOST];
    size_t counts[MOST];
    size_t streams;
    uint64_t removed[MOST];
    uint64_t stores[MOST][LIMIT_WORKERS];
    size_t stores_counts[MOST];
    size_t removals;
} loaded_t;

static kv_t *kv;
static catalogue_t *catalogue;
static loaded_t loaded;

static void
on_stream(void *arg, const stream_record_t *record, extent_t **chain,
          size_t count)
{
    loaded_t *to = arg;
    CHECK(to->streams < MOST);
    to->records[to->streams] = *record;
    to->chains[to->streams] = chain;
    to->counts[to->streams++] = count;
}

static void
on_removed(void *arg, uint64_t stream, const uint64_t *stores, size_t count)
{
    loaded_t *to = arg;
    CHECK(to->removals < MOST);
    to->removed[to->removals] = stream;
    memcpy(to->stores[to->removals], stores, count * sizeof *stores);
    to->stores_counts[to->removals++] = count;
}

static void
forget(void)
{
    for (size_t i = 0; i < loaded.streams; i++) {
        for (size_t x = 0; x < loaded.counts[i]; x++)
            extent_free(loaded.chains[i][x]);
        free(loaded.chains[i]);
    }
    memset(&loaded, 0, sizeof loaded);
}

static status_t
load(void)
{
    forget();
    return catalogue_load(catalogue, on_stream, on_removed, &loaded);
}

static void
end(void)
{
    forget();
    catalogue_close(&catalogue);
    kv_close(&kv);
}

static void
open_it(void)
{
    char why[256] = "";
    CHECK(catalogue_open(kv, 77, &catalogue, why, sizeof why) == STATUS_OK);
}

static void
begin(void)
{
    end();  //  What a failed case left
    kv = kv_memory_new();
    open_it();
}

//  The process ends and starts again.
static void
again(void)
{
    catalogue_close(&catalogue);
    kv_memory_crash(kv, 1);
    open_it();
}

static stream_record_t
record_of(uint64_t id)
{
    stream_record_t record = {
        .id = id,
        .kind = KIND_LIVE,
        .retention = 9,
        .asked = { 4, 2 },
        .strict = true,
        .created_us = -5,
        .writer = UINT64_MAX,
        .writer_begin = 1ull << 40,
        .size_known = true,
        .size = UINT64_MAX - 3,
        .chunk_bytes = 4096,
        .buffer_ms = 300,
        .end_index = 12,
    };
    snprintf(record.name, sizeof record.name, "stream-%llu",
             (unsigned long long)id);
    return record;
}

static extent_t *
extent_of(uint64_t epoch, uint64_t base, uint16_t width)
{
    extent_t *extent = extent_new(width);
    extent->epoch = epoch;
    extent->base_index = base;
    extent->index_gap = base / 8;
    extent->base_offset = base * 1000 + 50;
    extent->writer = 3;
    extent->gap = base ? 0 : 50;
    extent->chunk_bytes = 1000;
    extent->code = (code_t){ 2, 1 };
    extent->start = UINT32_MAX;
    for (uint16_t i = 0; i < width; i++)
        extent->stores[i] = 0xabc0000000000000u + i;
    return extent;
}

static void
a_start_takes_a_new_term(void)
{
    begin();
    CHECK(catalogue_term(catalogue) == 1 && catalogue_cluster(catalogue) == 77);
    for (uint64_t term = 2; term < 6; term++) {
        //  Power goes right after: the term was on disk.
        catalogue_close(&catalogue);
        kv_memory_cut(kv, term);
        char why[256] = "";
        CHECK(catalogue_open(kv, 5, &catalogue, why, sizeof why) == STATUS_OK);
        CHECK(catalogue_term(catalogue) == term);
        CHECK(catalogue_cluster(catalogue) == 77);
    }
    end();
}

static void
no_term_no_start(void)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        begin();
        catalogue_close(&catalogue);
        kv_memory_fail_after(kv, nth, STATUS_IO);
        char why[256] = "";
        CHECK(catalogue_open(kv, 5, &catalogue, why, sizeof why) == STATUS_IO);
        CHECK(!catalogue && why[0]);
        kv_memory_crash(kv, 4);
        open_it();
        CHECK(catalogue_term(catalogue) >= 2);
        end();
    }
}

static void
an_older_term_changes_nothing(void)
{
    begin();
    stream_record_t record = record_of(1);
    extent_t *extent = extent_of(1ull << 32, 0, 3);
    CHECK(catalogue_put(catalogue, &record) == STATUS_OK);
    catalogue_t *older = catalogue;
    open_it();
    record.sealed = true;
    uint64_t store = 4;
    CHECK(catalogue_put(older, &record) == STATUS_FENCED);
    CHECK(catalogue_switch(older, &record, NULL, 0, &extent, 1) ==
          STATUS_FENCED);
    CHECK(catalogue_remove(older, 1, NULL, 0, &store, 1) == STATUS_FENCED);
    CHECK(catalogue_forgotten(older, 1, NULL, 0) == STATUS_FENCED);
    catalogue_close(&older);
    CHECK(load() == STATUS_OK);
    CHECK(loaded.streams == 1 && !loaded.records[0].sealed);
    CHECK(loaded.counts[0] == 0 && loaded.removals == 0);
    extent_free(extent);
    end();
}

static bool
same_extent(const extent_t *a, const extent_t *b)
{
    return a->epoch == b->epoch && a->base_index == b->base_index &&
           a->base_offset == b->base_offset && a->writer == b->writer &&
           a->gap == b->gap && a->index_gap == b->index_gap &&
           a->chunk_bytes == b->chunk_bytes && a->code.k == b->code.k &&
           a->code.m == b->code.m && a->start == b->start &&
           a->width == b->width &&
           memcmp(a->stores, b->stores, a->width * sizeof *a->stores) == 0;
}

static void
what_is_recorded_is_read(void)
{
    begin();
    extent_t *extents[3] = { extent_of(1ull << 32 | 1, 0, 3),
                             extent_of(1ull << 32 | 2, 8, LIMIT_WORKERS),
                             extent_of(2ull << 32 | 1, 16, 3) };
    stream_record_t records[3];
    for (uint64_t i = 0; i < 3; i++) {
        records[i] = record_of(i ? UINT64_MAX - i : 0);
        if (i == 1)
            memset(records[i].name, 'x', LIMIT_NAME_BYTES);
        CHECK(catalogue_switch(catalogue, &records[i], NULL, 0, extents, 3) ==
              STATUS_OK);
    }
    again();
    CHECK(load() == STATUS_OK);
    CHECK(loaded.streams == 3);
    for (size_t i = 0; i < 3; i++) {
        const stream_record_t *found = &loaded.records[i];
        const stream_record_t *put = &records[i ? 3 - i : 0];
        CHECK(found->id == put->id && strcmp(found->name, put->name) == 0);
        CHECK(found->kind == put->kind && found->retention == put->retention);
        CHECK(found->asked.k == 4 && found->asked.m == 2 && found->strict);
        CHECK(found->created_us == -5 && found->writer == UINT64_MAX);
        CHECK(found->writer_begin == 1ull << 40 && found->size_known);
        CHECK(found->size == UINT64_MAX - 3 && found->chunk_bytes == 4096);
        CHECK(found->buffer_ms == 300 && !found->sealed);
        CHECK(found->end_index == 12);
        CHECK(loaded.counts[i] == 3);
        for (size_t x = 0; x < 3; x++)
            CHECK(same_extent(loaded.chains[i][x], extents[x]));
    }
    for (size_t x = 0; x < 3; x++)
        extent_free(extents[x]);
    end();
}

static void
a_switch_is_one_batch(void)
{
    //  Whichever write fails and whatever a power cut takes: the chain is the
    //  old or the new one, and the record goes with it.
    for (uint64_t seed = 0; seed < 40; seed++) {
        begin();
        extent_t *first = extent_of(1ull << 32 | 1, 0, 3);
        extent_t *gone = extent_of(1ull << 32 | 2, 8, 4);
        extent_t *added[2] = { extent_of(1ull << 32 | 3, 8, 5),
                               extent_of(1ull << 32 | 4, 12, 6) };
        extent_t *chain[2] = { first, gone };
        stream_record_t record = record_of(6);
        CHECK(catalogue_switch(catalogue, &record, NULL, 0, chain, 2) ==
              STATUS_OK);
        record.writer = 1234;
        bool fails = seed % 2;
        //  The term is read, then all is written.
        if (fails)
            kv_memory_fail_after(kv, 2, STATUS_IO);
        status_t status = catalogue_switch(catalogue, &record, &gone, 1, added,
                                           2);
        CHECK((status == STATUS_OK) == !fails);
        catalogue_close(&catalogue);
        kv_memory_cut(kv, seed);
        open_it();
        CHECK(load() == STATUS_OK);
        CHECK(loaded.streams == 1);
        bool switched = loaded.records[0].writer == 1234;
        CHECK(fails || switched);
        CHECK(loaded.counts[0] == (switched ? 3 : 2));
        CHECK(same_extent(loaded.chains[0][0], first));
        CHECK(same_extent(loaded.chains[0][1], switched ? added[0] : gone));
        extent_free(first);
        extent_free(gone);
        extent_free(added[0]);
        extent_free(added[1]);
        end();
    }
}

static void
a_removed_stream_is_remembered(void)
{
    begin();
    stream_record_t record = record_of(6);
    extent_t *extent = extent_of(1ull << 32, 0, 3);
    CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
          STATUS_OK);
    uint64_t stores[3] = { 5, 6, UINT64_MAX };
    CHECK(catalogue_remove(catalogue, 6, &extent, 1, stores, 3) == STATUS_OK);
    again();
    CHECK(load() == STATUS_OK);
    CHECK(loaded.streams == 0 && loaded.removals == 1);
    CHECK(loaded.removed[0] == 6 && loaded.stores_counts[0] == 3);
    CHECK(memcmp(loaded.stores[0], stores, sizeof stores) == 0);
    CHECK(catalogue_forgotten(catalogue, 6, stores + 1, 2) == STATUS_OK);
    again();
    CHECK(load() == STATUS_OK);
    CHECK(loaded.stores_counts[0] == 2 && loaded.stores[0][0] == 6);
    CHECK(catalogue_forgotten(catalogue, 6, NULL, 0) == STATUS_OK);
    again();
    CHECK(load() == STATUS_OK);
    CHECK(loaded.removals == 1 && loaded.removed[0] == 6);
    CHECK(loaded.stores_counts[0] == 0);
    extent_free(extent);
    end();
}

//  One pair of the table.
typedef struct {
    uint8_t key[32], value[256];
    size_t key_size, value_size;
} pair_t;

static bool
copy_pair(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    pair_t *to = arg;
    memcpy(to->key, key.bytes, key.size);
    memcpy(to->value, value.bytes, value.size);
    to->key_size = key.size;
    to->value_size = value.size;
    return false;
}

static bool
count_pair(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    (void)key, (void)value;
    ++*(size_t *)arg;
    return true;
}

static void
a_damaged_entry_is_found(void)
{
    //  Each entry, each byte: a value that is shorter or another one is found
    //  or is a value that could have been put; nothing crashes.
    static const char *const KINDS = "TSXED";
    for (const char *kind = KINDS; *kind; kind++)
        for (size_t cut = 0; cut < 130; cut++) {
            begin();
            stream_record_t record = record_of(6);
            extent_t *extent = extent_of(1ull << 32, 0, 3);
            uint64_t store = 8;
            CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
                  STATUS_OK);
            CHECK(catalogue_remove(catalogue, 9, NULL, 0, &store, 1) ==
                  STATUS_OK);
            extent_free(extent);

            //  The key of that kind, through the table's own walk.
            kv_bytes_t from = { kind, 1 };
            char after = (char)(*kind + 1);
            kv_bytes_t to = { &after, 1 };
            pair_t found = { .key_size = 0 };
            CHECK(kv->walk(kv, from, to, copy_pair, &found) == STATUS_OK);
            CHECK(found.key_size);
            if (cut >= found.value_size) {
                end();
                break;
            }
            catalogue_close(&catalogue);
            kv_change_t change = { { found.key, found.key_size },
                                   { found.value, cut } };
            CHECK(kv->write(kv, &change, 1, true) == STATUS_OK);
            char why[256] = "";
            status_t status = catalogue_open(kv, 1, &catalogue, why,
                                             sizeof why);
            if (*kind == 'T')
                CHECK(status == STATUS_CORRUPT || status == STATUS_VERSION);
            else {
                CHECK(status == STATUS_OK);
                status = load();
                CHECK(status == STATUS_CORRUPT || status == STATUS_VERSION ||
                      (*kind == 'D' && cut % 8 == 0));
            }
            forget();
            catalogue_close(&catalogue);
            change.value.size = found.value_size;
            found.value[cut] ^= 0xff;
            CHECK(kv->write(kv, &change, 1, true) == STATUS_OK);
            if (catalogue_open(kv, 1, &catalogue, why, sizeof why) == STATUS_OK)
                (void)load();
            end();
        }
}

static void
a_chain_that_cannot_be_is_found(void)
{
    //  Bases that do not grow, a first one that is not 0, a hole longer than
    //  what is before it.
    for (int fault = 0; fault < 6; fault++) {
        begin();
        extent_t *chain[2] = { extent_of(1ull << 32 | 1, 0, 3),
                               extent_of(1ull << 32 | 2, 8, 3) };
        stream_record_t record = record_of(6);
        if (fault == 0)
            chain[1]->base_index = 0;
        if (fault == 1)
            chain[1]->base_offset = 10;
        if (fault == 2)
            chain[0]->base_index = 4;
        if (fault == 3)
            chain[1]->gap = chain[1]->base_offset + 1;
        if (fault == 4)
            record.kind = 0;
        if (fault == 5)
            chain[1]->index_gap = chain[1]->base_index + 1;
        CHECK(catalogue_switch(catalogue, &record, NULL, 0, chain, 2) ==
              STATUS_OK);
        CHECK(load() == STATUS_CORRUPT);
        extent_free(chain[0]);
        extent_free(chain[1]);
        end();
    }
}

static size_t
entries(void)
{
    size_t count = 0;
    kv_bytes_t from = { "", 0 }, to = { NULL, 0 };
    CHECK(kv->walk(kv, from, to, count_pair, &count) == STATUS_OK);
    return count;
}

static void
it_grows_with_the_cluster_only(void)
{
    begin();
    stream_record_t record = record_of(6);
    extent_t *extent = extent_of(1ull << 32, 0, 6);
    CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
          STATUS_OK);
    size_t before = entries();
    CHECK(before == 5);  //  Term, since, record, extent, ensemble
    //  A seal, another source, the same again: nothing new.
    for (int i = 0; i < 100; i++)
        CHECK(catalogue_put(catalogue, &record) == STATUS_OK);
    CHECK(entries() == before);
    //  The same ensemble in other extents and streams is kept once.
    for (uint64_t i = 1; i <= 10; i++) {
        record = record_of(100 + i);
        CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
              STATUS_OK);
        CHECK(entries() == before + 2 * i);
    }
    extent_free(extent);
    end();
}

static void
a_failed_read_ends_a_load(void)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        begin();
        for (uint64_t i = 0; i < 2; i++) {
            stream_record_t record = record_of(i);
            extent_t *extent = extent_of(1ull << 32, 0, 6);
            CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
                  STATUS_OK);
            extent_free(extent);
        }
        kv_memory_fail_after(kv, nth, STATUS_CORRUPT);
        status_t status = load();
        CHECK(status == (kv_memory_failed(kv) ? STATUS_CORRUPT : STATUS_OK));
        end();
    }
}

//  What an open says of the table as it is now.
static status_t
opened(char why[256])
{
    catalogue_t *other = NULL;
    why[0] = 0;
    status_t status = catalogue_open(kv, 77, &other, why, 256);
    catalogue_close(&other);
    return status;
}

static void
a_rebuild_that_did_not_end_is_no_catalogue(void)
{
    char why[256];
    begin();
    for (uint64_t id = 1; id <= 600; id++) {
        stream_record_t record = record_of(id);
        record.first_index = 0;
        snprintf(record.name, sizeof record.name, "s%u", (unsigned)id);
        CHECK(catalogue_put(catalogue, &record) == STATUS_OK);
    }
    catalogue_close(&catalogue);
    CHECK(catalogue_rebuild(kv, &catalogue, why, sizeof why) == STATUS_OK);
    CHECK(opened(why) == STATUS_CORRUPT && strstr(why, "rebuilding"));
    //  Nothing is left of what it had.
    CHECK(load() == STATUS_OK && loaded.streams == 0);
    CHECK(catalogue_take(catalogue, 5, 40) == STATUS_OK);
    CHECK(catalogue_take(catalogue, 5, 42) == STATUS_OK);
    stream_record_t record = record_of(1);
    record.first_index = 0;
    CHECK(catalogue_put(catalogue, &record) == STATUS_OK);
    kv_memory_crash(kv, 1);
    CHECK(opened(why) == STATUS_CORRUPT);
    CHECK(catalogue_rebuilt(catalogue) == STATUS_OK);
    again();
    CHECK(catalogue_cluster(catalogue) == 5 && catalogue_term(catalogue) == 43);
    CHECK(catalogue_rebuilt_in(catalogue) == 42);
    CHECK(load() == STATUS_OK && loaded.streams == 1);
    end();
}

static void
an_older_copy_is_opened_by_nobody(void)
{
    char why[256];
    begin();
    CHECK(catalogue_doubt(catalogue) == STATUS_OK);
    CHECK(opened(why) == STATUS_CORRUPT && strstr(why, "older copy"));
    //  One that was replaced spoils nothing.
    catalogue_t *replaced = catalogue;
    catalogue = NULL;
    CHECK(catalogue_rebuild(kv, &catalogue, why, sizeof why) == STATUS_OK);
    CHECK(catalogue_take(catalogue, 5, 9) == STATUS_OK);
    CHECK(catalogue_rebuilt(catalogue) == STATUS_OK);
    CHECK(catalogue_doubt(replaced) == STATUS_FENCED);
    catalogue_close(&replaced);
    CHECK(opened(why) == STATUS_OK);
    end();
}

static uint64_t
granted_to(uint64_t store)
{
    uint64_t term = 12345;
    CHECK(catalogue_granted(catalogue, store, &term) == STATUS_OK);
    return term;
}

static void
what_was_granted_is_recorded(void)
{
    begin();
    CHECK(granted_to(5) == 0);
    CHECK(catalogue_grant(catalogue, 5, false) == STATUS_OK);
    again();
    CHECK(granted_to(5) == 1 && granted_to(6) == 0);
    again();
    CHECK(catalogue_grant(catalogue, 6, false) == STATUS_OK);
    CHECK(granted_to(5) == 1 && granted_to(6) == 3);
    //  One whose term was taken by another grants nothing.
    catalogue_t *older = catalogue;
    open_it();
    CHECK(catalogue_grant(older, 5, false) == STATUS_FENCED);
    catalogue_close(&older);
    CHECK(granted_to(5) == 1);

    //  Of terms before a rebuild, or before that was recorded, it says nothing.
    char why[256] = "";
    catalogue_close(&catalogue);
    CHECK(catalogue_rebuild(kv, &catalogue, why, sizeof why) == STATUS_OK);
    CHECK(catalogue_take(catalogue, 5, 9) == STATUS_OK);
    CHECK(catalogue_grant(catalogue, 6, false) == STATUS_OK);
    CHECK(catalogue_rebuilt(catalogue) == STATUS_OK);
    again();
    CHECK(catalogue_grant(catalogue, 6, false) == STATUS_OK);
    CHECK(granted_to(5) == 9 && granted_to(6) == 10);
    //  A forwarder of before reads the first entry, and takes a term.
    pair_t first = { .key_size = 0 };
    CHECK(kv->walk(kv, (kv_bytes_t){ "T", 1 }, (kv_bytes_t){ "U", 1 },
                   copy_pair, &first) == STATUS_OK);
    CHECK(first.value_size == 17 && first.value[9] == 10);
    first.value[9] = 11;
    kv_change_t change = { { "T", 1 }, { first.value, first.value_size } };
    CHECK(kv->write(kv, &change, 1, true) == STATUS_OK);
    again();
    CHECK(granted_to(5) == 11 && granted_to(6) == 11);
    //  One that never recorded it.
    change = (kv_change_t){ { "K", 1 }, { NULL, 0 } };
    CHECK(kv->write(kv, &change, 1, true) == STATUS_OK);
    again();
    CHECK(granted_to(5) == 12 && granted_to(6) == 12);
    again();
    CHECK(granted_to(5) == 12);
    end();
}

static void
strangers_are_recorded_up_to_a_bound(void)
{
    enum { STRANGERS = CATALOGUE_STRANGERS_MOST };
    begin();
    for (uint64_t store = 1; store <= STRANGERS; store++)
        CHECK(catalogue_grant(catalogue, store, false) == STATUS_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(catalogue_grant(catalogue, 9999, false) == STATUS_BUSY);
        CHECK(granted_to(9999) == 0);
        //  Who is recorded goes on, and so does who bears an extent.
        CHECK(catalogue_grant(catalogue, 7, false) == STATUS_OK);
        CHECK(granted_to(7) == catalogue_term(catalogue));
        if (i == 0)
            catalogue_call(catalogue, 5555, "w1");
        stream_record_t record = record_of(6);
        extent_t *extent = extent_of(1ull << 32, 0, 3);
        extent->stores[0] = 5555;
        CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
              STATUS_OK);
        extent_free(extent);
        CHECK(catalogue_grant(catalogue, 5555, false) == STATUS_OK);
        again();
        CHECK(load() == STATUS_OK);
    }
    //  For who is in the cluster file there is as much again, and no more.
    for (uint64_t store = 10001; store <= 10000 + STRANGERS; store++)
        CHECK(catalogue_grant(catalogue, store, true) == STATUS_OK);
    CHECK(catalogue_grant(catalogue, 9999, true) == STATUS_BUSY);
    forget();
    end();
}

int
main(void)
{
    CASE(a_rebuild_that_did_not_end_is_no_catalogue,
         "invariant 11: a rebuild that did not end is no catalogue");
    CASE(an_older_copy_is_opened_by_nobody,
         "invariant 11: a catalogue known to be an older copy stays shut");
    CASE(a_start_takes_a_new_term,
         "catalogue 1: each start has a term of its own, durable at once");
    CASE(no_term_no_start,
         "catalogue 1: a term that cannot be recorded is not used");
    CASE(what_was_granted_is_recorded,
         "catalogue 1: which term a store was granted last is known");
    CASE(strangers_are_recorded_up_to_a_bound,
         "catalogue 4: of stores that say Hello only so many are recorded");
    CASE(an_older_term_changes_nothing,
         "catalogue 2: an older term's batches are refused and change nothing");
    CASE(what_is_recorded_is_read,
         "catalogue 3: records and chains come back as they were");
    CASE(a_switch_is_one_batch,
         "catalogue 3: a chain changes whole or not at all, its record with "
         "it");
    CASE(a_removed_stream_is_remembered,
         "catalogue 3: a removed stream is known, and who must forget it");
    CASE(a_damaged_entry_is_found,
         "invariant 9: an entry cut short or damaged never crashes a load");
    CASE(a_chain_that_cannot_be_is_found,
         "invariant 9: a chain that cannot be is refused");
    CASE(it_grows_with_the_cluster_only,
         "catalogue 4: an ensemble is kept once; nothing grows with chunks");
    CASE(a_failed_read_ends_a_load,
         "invariant 9: a load that cannot read everything says so");
    return proof_end();
}
