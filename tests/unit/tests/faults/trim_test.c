#include "proof.h"
#include "rig.h"

enum { BLOCKS = 200, FIRST = 10, END = 150, BYTES = 3000, LARGE = 30000 };

static chunk_key_t
key_of(uint64_t stream, uint64_t epoch, uint64_t block)
{
    return (chunk_key_t){ stream, epoch, block, (uint32_t)(block % 6) };
}

static void
store(rig_t *rig, chunk_key_t key, uint32_t length)
{
    status_t status;
    while ((status = rig_append(rig, key, length)) == STATUS_BUSY)
        rig_turns(rig, 1);
    CHECK(status == STATUS_OK);
}

//  A store with two epochs of stream 1 and one of stream 2, interleaved.
static rig_t *
filled(uint64_t seed)
{
    rig_t *rig = rig_new(seed);
    CHECK(rig_open(rig) == STATUS_OK);
    for (uint64_t block = 0; block < BLOCKS; block++) {
        store(rig, key_of(1, 5, block), BYTES);
        store(rig, key_of(1, 6, block), BYTES);
        store(rig, key_of(2, 5, block), BYTES);
    }
    CHECK(rig_settle(rig));
    return rig;
}

//  Trim epoch 5 of stream 1 until nothing is left to trim.
static status_t
trim(rig_t *rig, size_t *dropped_r)
{
    status_t status = STATUS_OK;
    bool more = true;
    *dropped_r = 0;
    while (status == STATUS_OK && more) {
        size_t dropped;
        status = chunkstore_trim(rig->store, 1, 5, FIRST, END, &dropped, &more);
        *dropped_r += dropped;
        rig_turns(rig, 1);
    }
    return status;
}

static bool
is_kept(const chunk_key_t *key)
{
    return key->stream != 1 || key->epoch != 5 ||
           (key->block >= FIRST && key->block < END);
}

//  What is kept is read exact; of the rest `gone` says whether it must be gone.
static void
check_reads(rig_t *rig, bool gone)
{
    for (size_t i = 0; i < rig->count; i++) {
        status_t status = rig_read(rig, rig->chunks[i].key);
        if (is_kept(&rig->chunks[i].key))
            CHECK(status == STATUS_OK);
        else
            CHECK(status == STATUS_MISS || (!gone && status == STATUS_OK));
    }
}

static void
what_lies_outside_is_forgotten_and_stays_so(void)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        rig_t *rig = filled(seed);
        chunkstore_space_t before = chunkstore_space(rig->store);
        size_t dropped;
        CHECK(trim(rig, &dropped) == STATUS_OK);
        CHECK(dropped == BLOCKS - END + FIRST);
        check_reads(rig, true);
        chunkstore_space_t after = chunkstore_space(rig->store);
        CHECK(after.chunks == before.chunks - dropped);
        CHECK(after.bytes == before.bytes - dropped * BYTES);
        CHECK(trim(rig, &dropped) == STATUS_OK && dropped == 0);
        rig_cut(rig, seed);
        CHECK(rig_open(rig) == STATUS_OK);
        check_reads(rig, true);
        CHECK(chunkstore_space(rig->store).chunks == after.chunks);
        CHECK(chunkstore_space(rig->store).rot == 0);
        rig_destroy(&rig);
    }
}

static void
its_space_is_given_back(void)
{
    rig_t *rig = rig_new(7);
    CHECK(rig_open(rig) == STATUS_OK);
    for (uint64_t block = 0; block < BLOCKS; block++) {
        store(rig, (chunk_key_t){ 1, 5, block, 0 }, LARGE);
        if (block % 20 == 0)
            store(rig, (chunk_key_t){ 1, 6, block, 0 }, LARGE);
    }
    CHECK(rig_settle(rig));
    rig_turns(rig, 20);
    uint64_t before = fake_files_taken(rig->disk);
    size_t dropped;
    CHECK(trim(rig, &dropped) == STATUS_OK);
    rig_turns(rig, 50);
    //  But for pages shared with neighbours, and the open segment.
    CHECK(fake_files_taken(rig->disk) + dropped * LARGE * 4 / 5 < before);
    rig_destroy(&rig);
}

static void
what_is_not_durable_yet_is_waited_for(void)
{
    rig_t *rig = filled(3);
    size_t dropped = 9;
    bool more;
    store(rig, key_of(1, 5, END + 1000), BYTES);
    CHECK(chunkstore_trim(rig->store, 1, 5, FIRST, END, &dropped, &more) ==
          STATUS_BUSY);
    CHECK(dropped == 0 && !more);
    //  Another epoch's trim is not concerned.
    CHECK(chunkstore_trim(rig->store, 1, 6, 0, UINT64_MAX, &dropped, &more) ==
          STATUS_OK);
    CHECK(dropped == 0 && !more);
    CHECK(rig_settle(rig));
    CHECK(trim(rig, &dropped) == STATUS_OK);
    CHECK(rig_read(rig, key_of(1, 5, END + 1000)) == STATUS_MISS);
    rig_destroy(&rig);
}

static void
a_crash_at_any_step_loses_nothing_that_counts(void)
{
    size_t survived = 0;
    for (uint64_t nth = 1; nth < 60 && !survived; nth++) {
        rig_t *rig = filled(nth);
        size_t dropped;
        rig_die_at(rig, nth);
        survived += trim(rig, &dropped) == STATUS_OK;
        rig_cut(rig, nth);
        CHECK(rig_open(rig) == STATUS_OK);
        check_reads(rig, false);
        CHECK(trim(rig, &dropped) == STATUS_OK);
        check_reads(rig, true);
        CHECK(chunkstore_space(rig->store).rot == 0);
        rig_destroy(&rig);
    }
}

//  Records met by a walk, by stream.
typedef struct {
    uint64_t of[8];
    size_t most;
    chunk_key_t last;
} met_t;

static bool
meet(void *arg, const chunkstore_entry_t *entry)
{
    met_t *met = arg;
    if (met->most == 0) {
        met->last = entry->key;
        return false;
    }
    met->most--;
    met->of[entry->key.stream % 8]++;
    return true;
}

static void
a_walk_over_all_goes_on_where_it_ended(void)
{
    rig_t *rig = filled(5);
    met_t met = { .most = 100 };
    chunk_key_t from = { 0 };
    for (int i = 0; i < 5; i++) {
        CHECK(chunkstore_walk_all(rig->store, from, meet, &met) == STATUS_OK);
        CHECK(met.most == 0);
        from = met.last;
        met.most = 100;
    }
    CHECK(met.of[1] == 2 * BLOCKS && met.of[2] == 100);
    CHECK(chunkstore_walk_all(rig->store, from, meet, &met) == STATUS_OK);
    CHECK(met.of[2] == BLOCKS);
    //  Of a dropped stream nothing is met, of those behind it all.
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    met = (met_t){ .most = 1000 };
    from = (chunk_key_t){ 0 };
    CHECK(chunkstore_walk_all(rig->store, from, meet, &met) == STATUS_OK);
    CHECK(met.of[1] == 0 && met.of[2] == BLOCKS);
    rig_destroy(&rig);
}

int
main(void)
{
    CASE(what_lies_outside_is_forgotten_and_stays_so,
         "R13: blocks outside a range are forgotten, for ever");
    CASE(its_space_is_given_back, "R13: the space of what is swept comes back");
    CASE(what_is_not_durable_yet_is_waited_for,
         "R13: what is not durable yet is not swept past");
    CASE(a_crash_at_any_step_loses_nothing_that_counts,
         "invariant 1: a power cut at any step of a sweep loses no block that "
         "counts");
    CASE(a_walk_over_all_goes_on_where_it_ended,
         "R13: what a store holds is walked in parts, over all streams");
    return proof_end();
}
