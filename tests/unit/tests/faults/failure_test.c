//  Loops in which the n-th call to the disk, or to the index, fails: n = 1, 2,
//  3 ... until none does.

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "proof.h"
#include "random.h"
#include "rig.h"

enum { OPS = 80, STREAMS = 4 };

//  Everything a store is asked for, in little. Every accepted chunk is told
//  and every read answered, whatever fails.
static void
use(rig_t *rig)
{
    random_t random = random_seeded(5);
    for (int i = 0; i < OPS; i++) {
        uint64_t stream = 1 + random_below(&random, STREAMS);
        uint64_t dice = random_below(&random, 20);
        chunk_key_t key = { stream, 1, (uint64_t)i, (uint32_t)i % 6 };
        if (i == OPS * 3 / 4)
            rig_drop(rig, 1);
        else if (i % 25 == 24)
            rig_set_term(rig, rig->term_most + 1);
        else if (dice < 12 && !rig_is_dropped(rig, stream))
            rig_append(rig, key, (uint32_t)random_below(&random, 9000));
        else if (dice < 15)
            rig_turns(rig, 3);
        else if (rig->count)
            rig_read(rig, rig->chunks[random_below(&random, rig->count)].key);
    }
    CHECK(rig_settle(rig));
    for (size_t i = 0; i < rig->count; i++)
        rig_read(rig, rig->chunks[i].key);
}

//  Play with a failure planned; then, without, all must be right.
static void
play(rig_t *rig)
{
    if (rig_open(rig) != STATUS_OK) {
        CHECK(!rig->store && rig->why[0]);
    } else {
        use(rig);
        rig_close(rig);
        //  And the start after it.
        if (rig_open(rig) == STATUS_OK)
            rig_close(rig);
    }
}

static void
must_be_right(rig_t *rig, status_t opened, uint64_t nth)
{
    const char *wrong = opened == STATUS_OK ? rig_check(rig) : rig->why;
    if (wrong)
        printf("# failure %lu: %s\n", nth, wrong);
    CHECK(!wrong);
}

static void
fail_every(int error, bool for_ever)
{
    bool failed = true;
    uint64_t nth = 0;
    while (failed) {
        rig_t *rig = rig_new(9);
        fake_files_fail_at(rig->disk, ++nth, error, for_ever);
        play(rig);
        failed = fake_files_failed(rig->disk);
        fake_files_fail_at(rig->disk, 0, 0, false);
        must_be_right(rig, rig_open(rig), nth);
        rig_destroy(&rig);
    }
    CHECK(nth > 100);
}

//  What a process left that was killed in the middle of it all, its index with
//  it or lost; in short segments, or in one that no single read brings.
typedef struct {
    bool index_lost;
    bool one_long;
} remains_t;

static rig_t *
killed(remains_t remains)
{
    rig_t *rig = rig_new(11);
    if (remains.one_long)
        rig->segment_bytes = 12 * 1024 * 1024;
    CHECK(rig_open(rig) == STATUS_OK);
    use(rig);
    for (uint64_t block = 0; block < 10 && remains.one_long; block++)
        CHECK(rig_append(rig, (chunk_key_t){ 31, 1, block, 0 }, 1 << 20) ==
                  STATUS_OK &&
              rig_settle(rig));
    for (uint64_t block = 0; block < 6; block++)
        CHECK(rig_append(rig, (chunk_key_t){ 30, 1, block, 0 }, 7000) ==
              STATUS_OK);
    rig_turns(rig, 3);
    rig_crash(rig, 5);
    if (remains.index_lost) {
        kv_close(&rig->kv);
        rig->kv = kv_memory_new();
    }
    return rig;
}

//  What a store has after its start is told in its inventory: as durable as by
//  a receipt.
static void
hold(rig_t *rig)
{
    for (size_t i = 0; i < rig->count; i++)
        rig->chunks[i].durable |= rig_read(rig, rig->chunks[i].key) ==
                                  STATUS_OK;
}

//  A start from there, on a disk or an index that fails; then the power goes.
static void
recover_while_failing(remains_t remains, int error, bool for_ever)
{
    bool failed = true;
    uint64_t nth = 0;
    while (failed) {
        rig_t *rig = killed(remains);
        ++nth;
        if (error)
            fake_files_fail_at(rig->disk, nth, error, for_ever);
        else
            kv_memory_fail_after(rig->kv, nth, STATUS_IO);
        status_t opened = rig_open(rig);
        failed = error ? fake_files_failed(rig->disk)
                       : kv_memory_failed(rig->kv);
        fake_files_fail_at(rig->disk, 0, 0, false);
        if (opened == STATUS_OK) {
            must_be_right(rig, opened, nth);
            hold(rig);
        } else
            CHECK(!rig->store && rig->why[0]);
        rig_cut(rig, nth);
        must_be_right(rig, rig_open(rig), nth);
        rig_destroy(&rig);
    }
    CHECK(nth > 3);
}

static void
a_recovery_may_fail_at_any_call(void)
{
    for (int lost = 0; lost < 2; lost++) {
        remains_t remains = { .index_lost = lost };
        recover_while_failing(remains, EIO, false);
        recover_while_failing(remains, EIO, true);
        recover_while_failing(remains, ENOSPC, false);
        recover_while_failing(remains, 0, false);
    }
    remains_t most = { .index_lost = true, .one_long = true };
    recover_while_failing(most, EIO, false);
}

//  A stream that fills segments by itself, and goes: so do they.
static void
come_and_go(rig_t *rig, uint64_t stream)
{
    for (uint64_t block = 0; block < 24; block++) {
        rig_append(rig, (chunk_key_t){ stream, 1, block, 0 }, 15000);
        CHECK(rig_settle(rig));
    }
    rig_drop(rig, stream);
    rig_turns(rig, 100);
    rig->now += 1000;  //  What a failure put off is tried again
}

//  Files that are there when streams have come and gone, and a call failed
//  meanwhile (0: none did).
static size_t
files_left(uint64_t nth, bool *failed_r)
{
    rig_t *rig = rig_new(13);
    CHECK(rig_open(rig) == STATUS_OK);
    if (nth)
        fake_files_fail_at(rig->disk, nth, EIO, false);
    come_and_go(rig, 1);
    come_and_go(rig, 2);
    *failed_r = fake_files_failed(rig->disk);
    fake_files_fail_at(rig->disk, 0, 0, false);
    come_and_go(rig, 3);
    rig_append(rig, (chunk_key_t){ 4, 1, 0, 0 }, 15000);
    CHECK(rig_settle(rig));
    size_t files = rig_names(rig, "");
    rig_crash(rig, nth);
    must_be_right(rig, rig_open(rig), nth);
    rig_destroy(&rig);
    return files;
}

//  ... also while segments die and their files are used again: it costs no more
//  than the one segment that it hit.
static void
what_fails_keeps_no_space(void)
{
    bool failed;
    size_t most = files_left(0, &failed) + 1;
    uint64_t nth = 0;
    do {
        size_t files = files_left(++nth, &failed);
        if (files > most)
            printf("# failure %lu: %zu files are left\n", nth, files);
        CHECK(files <= most);
    } while (failed);
    CHECK(nth > 100);
}

static void
any_call_may_fail_once(void)
{
    fail_every(EIO, false);
}

static void
any_call_may_be_the_disks_last(void)
{
    fail_every(EIO, true);
}

static void
the_disk_may_be_full_at_any_call(void)
{
    fail_every(ENOSPC, false);
    fail_every(ENOSPC, true);
}

static void
the_index_may_fail_at_any_call(void)
{
    bool failed = true;
    uint64_t nth = 0;
    while (failed) {
        rig_t *rig = rig_new(9);
        kv_memory_fail_after(rig->kv, ++nth, STATUS_IO);
        play(rig);
        failed = kv_memory_failed(rig->kv);
        kv_memory_crash(rig->kv, nth);
        must_be_right(rig, rig_open(rig), nth);
        rig_destroy(&rig);
    }
    CHECK(nth > 100);
}

int
main(void)
{
    CASE(any_call_may_fail_once,
         "chunkstore 2 and 3: any one call to the disk may fail; nothing "
         "durable is lost, everything accepted is told");
    CASE(any_call_may_be_the_disks_last,
         "chunkstore 2 and 3: the disk may fail for ever from any call on");
    CASE(the_disk_may_be_full_at_any_call,
         "chunkstore 2: the disk may be full at any call, once or for ever");
    CASE(a_recovery_may_fail_at_any_call,
         "chunkstore 2 and 3: a start after a crash may fail at any call, with "
         "the index or without; the next one has everything");
    CASE(
        what_fails_keeps_no_space,
        "chunkstore 2 and 3, index 2: any call may fail while segments die and "
        "are used again; their space comes back but for one");
    CASE(the_index_may_fail_at_any_call,
         "chunkstore 2: the index may fail at any call");
    return proof_end();
}
