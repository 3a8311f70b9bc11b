#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "proof.h"
#include "random.h"
#include "rig.h"

//  A rig with an open store.
static rig_t *
opened(uint64_t seed)
{
    rig_t *rig = rig_new(seed);
    CHECK(rig_open(rig) == STATUS_OK);
    return rig;
}

static chunk_key_t
key_of(uint64_t stream, uint64_t block)
{
    return (chunk_key_t){ stream, 1, block, (uint32_t)(block % 6) };
}

//  Store `count` chunks of a stream, making room as needed.
static void
fill(rig_t *rig, uint64_t stream, uint64_t count, uint32_t length)
{
    for (uint64_t block = 0; block < count; block++) {
        status_t status;
        while ((status = rig_append(rig, key_of(stream, block), length)) ==
               STATUS_BUSY)
            rig_turns(rig, 1);
        CHECK(status == STATUS_OK);
    }
    CHECK(rig_settle(rig));
}

//  ---------------------------------------------------------------------------
//  Storing and reading

static void
what_is_told_durable_is_read_back(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        rig_t *rig = opened(seed);
        for (uint64_t block = 0; block < 12; block++)
            CHECK(rig_append(rig, key_of(1, block), (uint32_t)block * 3001) ==
                  STATUS_OK);
        CHECK(rig_settle(rig));
        CHECK(rig->durable_count == 12 && rig->failed_count == 0);
        CHECK(!rig_check(rig));
        CHECK(rig_read(rig, key_of(1, 99)) == STATUS_MISS);
        CHECK(chunkstore_space(rig->store).chunks == 12);
        rig_destroy(&rig);
    }
}

static void
a_header_alone_can_be_read(void)
{
    rig_t *rig = opened(1);
    fill(rig, 1, 3, 5000);
    CHECK(chunkstore_read(rig->store, key_of(1, 2), true, 9) == STATUS_OK);
    while (rig->reads_count == 0)
        rig_turns(rig, 1);
    CHECK(rig->reads[0].token == 9 && rig->reads[0].status == STATUS_OK);
    CHECK(rig->reads[0].header.length == 5000 && !rig->reads[0].payload);
    rig_destroy(&rig);
}

static void
records_of_a_turn_are_told_together(void)
{
    rig_t *rig = opened(2);
    for (uint64_t block = 0; block < 60; block++)
        CHECK(rig_append(rig, key_of(1, block), 100) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig->durable_count == 60 && rig->durable_calls < 20);
    rig_destroy(&rig);
}

static void
a_key_is_stored_once(void)
{
    rig_t *rig = opened(3);
    CHECK(rig_append(rig, key_of(1, 0), 700) == STATUS_OK);
    CHECK(rig_append(rig, key_of(1, 0), 700) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig->durable_count == 1);
    CHECK(rig_append(rig, key_of(1, 0), 700) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig->durable_count == 2);  //  Told again
    CHECK(chunkstore_space(rig->store).chunks == 1);
    CHECK(chunkstore_space(rig->store).bytes == 700);
    //  Another payload under the same key, waiting or held, is refused.
    chunk_header_t header = rig_header(key_of(1, 0), 700);
    buffer_t *payload = rig_payload(key_of(1, 0), 700);
    header.payload_crc++;
    CHECK(chunkstore_append(rig->store, &header, payload, 0) == STATUS_CORRUPT);
    buffer_unref(&payload);
    rig_destroy(&rig);
}

static void
a_wrong_payload_fails_alone(void)
{
    rig_t *rig = opened(4);
    for (uint64_t block = 0; block < 5; block++)
        CHECK(rig_append(rig, key_of(1, block), 900) == STATUS_OK);
    chunk_key_t key = key_of(1, 77);
    chunk_header_t header = rig_header(key, 901);
    buffer_t *payload = rig_payload(key_of(2, 1), 901);
    CHECK(rig_offer(rig, &header, payload) == STATUS_OK);
    CHECK(rig_append(rig, key_of(1, 5), 900) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig->failed_count == 1 && rig->failed_status == STATUS_CORRUPT);
    CHECK(rig->durable_count == 6);
    CHECK(rig_read(rig, key) == STATUS_MISS);
    buffer_unref(&payload);
    rig_destroy(&rig);
}

static void
what_cannot_be_is_refused(void)
{
    rig_t *rig = opened(5);
    chunk_header_t header = rig_header(key_of(1, 0), 100);
    buffer_t *payload = rig_payload(key_of(1, 0), 100);
    header.length = 99;
    CHECK(chunkstore_append(rig->store, &header, payload, 0) ==
          STATUS_ARGUMENT);
    header = rig_header(key_of(1, 0), 100);
    header.name[0] = '/';
    CHECK(chunkstore_append(rig->store, &header, payload, 0) == STATUS_NAME);
    CHECK(rig_append(rig, key_of(1, 1), RIG_SEGMENT_BYTES) == STATUS_TOO_LARGE);
    buffer_unref(&payload);
    rig_destroy(&rig);
}

static void
queues_are_bounded(void)
{
    rig_t *rig = opened(6);
    status_t status = STATUS_OK;
    uint64_t block = 0;
    for (; status == STATUS_OK; block++)
        status = rig_append(rig, key_of(1, block), 10000);
    CHECK(status == STATUS_BUSY && block == 27);
    CHECK(rig_settle(rig));
    CHECK(rig_append(rig, key_of(1, block), 10000) == STATUS_OK);
    CHECK(rig_settle(rig));
    int reads = 0;
    while (chunkstore_read(rig->store, key_of(1, 0), false, 1) == STATUS_OK)
        reads++;
    CHECK(reads >= 64 && reads < 10000);
    //  And each is answered, also by a close.
    rig_close(rig);
    CHECK(rig->reads_count == (size_t)reads);
    rig_destroy(&rig);
}

//  The table of what waits grows without end when keys have one hash.
static void
keys_of_many_streams_wait_side_by_side(void)
{
    rig_t *rig = opened(20);
    for (uint64_t stream = 0; stream < 16; stream++)
        for (uint64_t block = 0; block < 32; block++)
            CHECK(rig_append(rig, (chunk_key_t){ stream, 1, block, 0 }, 10) ==
                  STATUS_OK);
    CHECK(rig_settle(rig) && rig->durable_count == 512);
    rig_destroy(&rig);
}

//  ---------------------------------------------------------------------------
//  Events that call back

typedef struct {
    chunkstore_t *store;
    int durable, read;
} echo_t;

static void
echo_durable(void *with, const chunk_key_t *keys, size_t count)
{
    echo_t *echo = with;
    echo->durable += (int)count;
    chunk_key_t next = keys[0];
    next.block++;
    chunk_header_t header = rig_header(next, 50);
    buffer_t *payload = rig_payload(next, 50);
    if (echo->durable < 20)
        CHECK(chunkstore_append(echo->store, &header, payload, 0) == STATUS_OK);
    CHECK(chunkstore_read(echo->store, keys[0], false, 1) == STATUS_OK);
    buffer_unref(&payload);
}

static void
echo_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    (void)with, (void)keys, (void)count, (void)status;
    CHECK(!"told failed");
}

static void
echo_read(void *with, uint64_t token, status_t status,
          const chunk_header_t *header, buffer_t *payload)
{
    echo_t *echo = with;
    (void)token, (void)payload;
    CHECK(status == STATUS_OK);
    echo->read++;
    if (header->key.block == 19)
        CHECK(chunkstore_drop(echo->store, header->key.stream) == STATUS_OK);
}

static void
events_may_call_the_store(void)
{
    static const chunkstore_events_t events = { echo_durable, echo_failed,
                                                echo_read, NULL };
    fake_files_t *disk = fake_files_new(1, 8 * 1024 * 1024);
    echo_t echo = { 0 };
    chunkstore_settings_t settings = { .path = "/disk",
                                       .segment_bytes = 65536,
                                       .index = kv_memory_new() };
    char why[100];
    CHECK(chunkstore_open(&settings, fake_files_table(disk), &events, &echo,
                          &echo.store, why, sizeof(why)) == STATUS_OK);
    chunk_header_t header = rig_header((chunk_key_t){ 1, 1, 0, 0 }, 50);
    buffer_t *payload = rig_payload((chunk_key_t){ 1, 1, 0, 0 }, 50);
    CHECK(chunkstore_append(echo.store, &header, payload, 0) == STATUS_OK);
    buffer_unref(&payload);
    for (int i = 0; i < 2000; i++)
        chunkstore_turn(echo.store, 0);
    CHECK(echo.durable == 20 && echo.read == 20);
    CHECK(chunkstore_space(echo.store).chunks == 0);
    chunkstore_close(&echo.store);
    fake_files_destroy(&disk);
}

static void
a_close_waits_for_what_is_in_flight(void)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        rig_t *rig = opened(seed);
        fill(rig, 1, 20, 5000);
        for (uint64_t block = 0; block < 20; block++) {
            chunkstore_read(rig->store, key_of(1, block), false, block);
            rig_append(rig, key_of(2, block), 5000);
        }
        rig_turns(rig, (int)seed);
        rig_close(rig);
        CHECK(rig->durable_count == 40 && rig->reads_count == 20);
        rig_destroy(&rig);
    }
}

static void
payload_is_let_go_of_before_its_write(void)
{
    enum { CHUNKS = 10, LENGTH = 8000, STAGED = 8, WRITES = 4 };
    rig_t *rig = opened(7);
    fill(rig, 1, 1, 1);
    size_t held = buffer_total();
    uint64_t written = fake_files_writes(rig->disk);
    for (uint64_t block = 1; block <= CHUNKS; block++)
        CHECK(rig_append(rig, key_of(1, block), LENGTH) == STATUS_OK);
    CHECK(buffer_total() == held + CHUNKS * LENGTH);
    rig_turns(rig, 1);
    CHECK(buffer_total() == held + (CHUNKS - STAGED) * LENGTH);
    CHECK(fake_files_writes(rig->disk) == written + WRITES);
    CHECK(rig_settle(rig));
    CHECK(buffer_total() == held && !rig_check(rig));
    rig_destroy(&rig);
}

//  ---------------------------------------------------------------------------
//  Segments

static size_t
count_segments(rig_t *rig)
{
    size_t count = 0;
    while (rig_segment(rig, count))
        count++;
    return count;
}

static void
each_class_has_its_segment_and_the_next(void)
{
    rig_t *rig = opened(7);
    fill(rig, 1, 40, 9000);  //  Class 1
    fill(rig, 2, 1, 9000);   //  Class 0
    CHECK(count_segments(rig) >= 4);
    CHECK(!rig_check(rig));
    rig_close(rig);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(!rig_check(rig));
    CHECK(chunkstore_identity(rig->store).boot == 2);
    rig_destroy(&rig);
}

static void
a_segment_closes_by_age(void)
{
    rig_t *rig = opened(8);
    CHECK(chunkstore_due(rig->store) == MILLIS_NEVER);
    fill(rig, 1, 1, 100);
    rig_turns(rig, 10);
    millis_t due = chunkstore_due(rig->store);
    CHECK(due > 0 && due <= 60 * 60 * 1000);
    uint64_t taken = fake_files_taken(rig->disk);
    rig->now = due;
    rig_turns(rig, 100);
    CHECK(chunkstore_due(rig->store) == MILLIS_NEVER);
    CHECK(fake_files_taken(rig->disk) < taken);  //  What it did not need
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
nothing_is_appended_after_a_restart(void)
{
    rig_t *rig = opened(9);
    fill(rig, 1, 3, 2000);
    rig_crash(rig, 1);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(count_segments(rig) == 1);
    static uint8_t before[RIG_SEGMENT_BYTES];
    uint64_t size;
    const char *path = rig_segment(rig, 0);
    char name[128];
    snprintf(name, sizeof(name), "%s", path);
    memcpy(before, fake_files_bytes(rig->disk, name, &size), sizeof(before));
    fill(rig, 3, 3, 2000);
    CHECK(count_segments(rig) == 2);
    CHECK(memcmp(before, fake_files_bytes(rig->disk, name, &size),
                 sizeof(before)) == 0);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
nothing_is_appended_after_a_failed_write(void)
{
    for (uint64_t nth = 1; nth < 4; nth++) {
        rig_t *rig = opened(10);
        fill(rig, 1, 3, 2000);
        CHECK(rig_append(rig, key_of(1, 10), 2000) == STATUS_OK);
        fake_files_fail_at(rig->disk, nth, 5, false);
        CHECK(rig_settle(rig));
        CHECK(rig->failed_count == 1 || nth > 2);
        fake_files_fail_at(rig->disk, 0, 0, false);
        CHECK(rig_append(rig, key_of(1, 10), 2000) == STATUS_OK);
        CHECK(rig_settle(rig));
        CHECK(count_segments(rig) == (nth > 2 ? 1 : 2));
        CHECK(!rig_check(rig));
        rig_destroy(&rig);
    }
}

//  ---------------------------------------------------------------------------
//  Room

static void
full_is_said_before_and_never_after(void)
{
    rig_t *rig = rig_new(11);
    rig->space_bytes = 6 * RIG_SEGMENT_BYTES;
    CHECK(rig_open(rig) == STATUS_OK);
    status_t status = STATUS_OK;
    uint64_t block = 0;
    while (status == STATUS_OK) {
        status = rig_append(rig, key_of(1, block++), 9000);
        if (status == STATUS_BUSY) {
            rig_turns(rig, 1);
            block--;
            status = STATUS_OK;
        }
    }
    CHECK(status == STATUS_FULL);
    CHECK(chunkstore_space(rig->store).full);
    CHECK(rig_settle(rig) && rig->failed_count == 0);
    CHECK(rig->durable_count > 40);
    CHECK(chunkstore_space(rig->store).full);
    //  It takes again when something was dropped.
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    rig_turns(rig, 200);
    CHECK(!chunkstore_space(rig->store).full);
    fill(rig, 3, 20, 9000);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

//  The disk says that it is free until the file has it.
static void
what_is_being_reserved_is_not_free(void)
{
    enum { CAPACITY = RIG_SEGMENT_BYTES * 3 / 2 };
    for (uint64_t seed = 0; seed < 10; seed++) {
        rig_t *rig = rig_new(seed);
        fake_files_destroy(&rig->disk);
        rig->disk = fake_files_new(seed, CAPACITY);
        CHECK(rig_open(rig) == STATUS_OK);
        CHECK(rig_append(rig, key_of(1, 0), 9000) == STATUS_OK);
        rig_turns(rig, 1);
        CHECK(fake_files_taken(rig->disk) == 0);
        CHECK(chunkstore_space(rig->store).full);
        CHECK(chunkstore_space(rig->store).free_bytes <= CAPACITY);
        CHECK(rig_append(rig, key_of(2, 0), 9000) == STATUS_BUSY);
        CHECK(rig_append(rig, key_of(1, 1), 9000) == STATUS_OK);
        CHECK(rig_settle(rig) && rig->failed_count == 0);
        CHECK(rig_append(rig, key_of(2, 0), 9000) == STATUS_FULL);
        CHECK(!rig_check(rig));
        rig_destroy(&rig);
    }
}

//  ---------------------------------------------------------------------------
//  Dropping

static void
a_dropped_stream_gives_its_space_back(void)
{
    rig_t *rig = opened(12);
    for (uint64_t block = 0; block < 30; block++)
        for (uint64_t stream = 1; stream <= 3; stream += 2) {
            CHECK(rig_append(rig, key_of(stream, block), 9000) == STATUS_OK);
            CHECK(rig_settle(rig));
        }
    fill(rig, 5, 10, 9000);  //  The segments before are sealed
    uint64_t before = fake_files_taken(rig->disk);
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    CHECK(rig_read(rig, key_of(1, 5)) == STATUS_GONE);
    CHECK(chunkstore_settled(rig->store, 1) == 0);
    rig_turns(rig, 100);
    CHECK(fake_files_taken(rig->disk) <= before - 20 * 4096);
    CHECK(rig_append(rig, key_of(1, 99), 10) == STATUS_GONE);
    CHECK(!rig_check(rig));
    CHECK(rig_drop(rig, 3) == STATUS_OK);
    rig_turns(rig, 100);
    CHECK(chunkstore_space(rig->store).chunks == 10);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
what_waits_when_its_stream_is_dropped_fails(void)
{
    rig_t *rig = opened(13);
    CHECK(rig_append(rig, key_of(1, 0), 9000) == STATUS_OK);
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig->failed_count == 1 && rig->failed_status == STATUS_GONE);
    CHECK(rig_drop(rig, 2) == STATUS_OK);  //  Nothing is held of it
    rig_crash(rig, 3);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
a_read_that_meets_a_drop_says_gone(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        rig_t *rig = opened(seed);
        fill(rig, 1, 25, 9000);
        size_t reads = 20;
        for (uint64_t block = 0; block < reads; block++)
            chunkstore_read(rig->store, key_of(1, block), false, block);
        chunkstore_turn(rig->store, 0);
        CHECK(rig_drop(rig, 1) == STATUS_OK);
        for (int i = 0; i < 1000 && rig->reads_count < reads; i++)
            rig_turns(rig, 1);
        CHECK(rig->reads_count == reads);
        size_t gone = 0;
        for (size_t i = 0; i < reads; i++)
            gone += rig->reads[i].status == STATUS_GONE;
        for (size_t i = 0; i < reads; i++)
            CHECK(rig->reads[i].status == STATUS_GONE ||
                  rig->reads[i].status == STATUS_OK);
        CHECK(gone > 0 && chunkstore_space(rig->store).rot == 0);
        rig_destroy(&rig);
    }
}

//  Their handles are open: written in this life, or read from since.
static void
dead_segments_give_their_blocks_back_unwaited(void)
{
    rig_t *rig = opened(21);
    fill(rig, 1, 80, 9000);
    fill(rig, 3, 10, 9000);  //  The segments before are sealed
    for (uint64_t block = 0; block < 80; block += 10)
        CHECK(rig_read(rig, key_of(1, block)) == STATUS_OK);
    size_t before = rig_names(rig, ".seg");
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    rig_turns(rig, 200);
    CHECK(rig_names(rig, ".seg") + 4 <= before);
    CHECK(fake_files_freed_by_close(rig->disk) == 0);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

//  More than go at once. A start tries again.
static void
what_cannot_be_unlinked_is_left_alone(void)
{
    rig_t *rig = opened(22);
    fill(rig, 1, 300, 9000);
    fill(rig, 3, 10, 9000);
    size_t before = rig_names(rig, ".seg");
    CHECK(before > 22);
    fake_files_fail_removals(rig->disk, 1);
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    rig_turns(rig, 300);
    CHECK(rig_names(rig, ".seg") + 2 >= before);  //  But for the spares
    CHECK(fake_files_removals(rig->disk) > 16);
    CHECK(fake_files_removals(rig->disk) <= before);  //  Each once
    CHECK(!rig_check(rig));
    fake_files_fail_removals(rig->disk, 0);
    rig_close(rig);
    CHECK(rig_open(rig) == STATUS_OK);
    rig_turns(rig, 300);
    CHECK(rig_names(rig, ".seg") < 5);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
names_that_are_not_durably_gone_are_tried_again(void)
{
    rig_t *rig = rig_new(23);
    rig->space_bytes = 40 * RIG_SEGMENT_BYTES;
    CHECK(rig_open(rig) == STATUS_OK);
    fill(rig, 1, 80, 9000);
    fill(rig, 3, 10, 9000);
    uint64_t is_free = chunkstore_space(rig->store).free_bytes;
    fake_files_fail_names(rig->disk, EIO);
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    rig_turns(rig, 300);
    uint64_t removals = fake_files_removals(rig->disk);
    CHECK(removals > 0);
    rig_turns(rig, 300);
    CHECK(fake_files_removals(rig->disk) == removals);  //  Not at once
    CHECK(chunkstore_space(rig->store).free_bytes == is_free);
    fake_files_fail_names(rig->disk, 0);
    millis_t due = chunkstore_due(rig->store);
    CHECK(due > rig->now && due <= rig->now + 1000);
    rig->now = due;
    rig_turns(rig, 300);
    CHECK(chunkstore_space(rig->store).free_bytes >=
          is_free + 4 * RIG_SEGMENT_BYTES);
    CHECK(chunkstore_due(rig->store) > rig->now);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

//  ---------------------------------------------------------------------------
//  Questions

typedef struct {
    uint64_t blocks[600];
    size_t count, most;
} list_t;

static bool
list(void *arg, const chunkstore_entry_t *entry)
{
    list_t *self = arg;
    self->blocks[self->count++] = entry->key.block;
    return self->count < self->most;
}

static void
walks_go_both_ways_and_end_when_told(void)
{
    rig_t *rig = opened(14);
    fill(rig, 1, 50, 10);
    list_t up = { .most = 100 }, part = { .most = 3 }, down = { .most = 2 };
    CHECK(chunkstore_walk(rig->store, 1, 1, 40, list, &up) == STATUS_OK);
    CHECK(up.count == 10 && up.blocks[0] == 40 && up.blocks[9] == 49);
    CHECK(chunkstore_walk(rig->store, 1, 1, 0, list, &part) == STATUS_OK);
    CHECK(part.count == 3 && part.blocks[2] == 2);
    CHECK(chunkstore_walk_back(rig->store, 1, 1, list, &down) == STATUS_OK);
    CHECK(down.count == 2 && down.blocks[0] == 49 && down.blocks[1] == 48);
    CHECK(chunkstore_settled(rig->store, 1) == 24);
    rig_destroy(&rig);
}

static void
epochs_are_listed_in_order(void)
{
    rig_t *rig = opened(15);
    uint64_t wanted[] = { 1, 7, (5ull << 32) + 2, UINT64_MAX };
    for (size_t i = 0; i < 4; i++)
        CHECK(rig_append(rig, (chunk_key_t){ 1, wanted[i], 0, 0 }, 10) ==
              STATUS_OK);
    CHECK(rig_append(rig, (chunk_key_t){ 2, 3, 0, 0 }, 10) == STATUS_OK);
    CHECK(rig_settle(rig));
    uint64_t epochs[4];
    CHECK(chunkstore_epochs(rig->store, 1, epochs, 4) == 4);
    CHECK(memcmp(epochs, wanted, sizeof(wanted)) == 0);
    CHECK(chunkstore_epochs(rig->store, 1, epochs, 1) == 4);
    CHECK(chunkstore_epochs(rig->store, 9, epochs, 4) == 0);
    rig_destroy(&rig);
}

//  What locate should say, by looking at all.
static const rig_chunk_t *
last_before(const rig_t *rig, bool by_time, uint64_t at)
{
    const rig_chunk_t *last = NULL;
    for (size_t i = 0; i < rig->count; i++) {
        const rig_chunk_t *chunk = &rig->chunks[i];
        chunk_header_t header = rig_header(chunk->key, chunk->length);
        uint64_t begins = by_time ? (uint64_t)header.created_us : header.offset;
        if (chunk->key.slot < 4 && begins <= at &&
            (!last || chunk_key_compare(&last->key, &chunk->key) < 0))
            last = chunk;
    }
    return last;
}

static void
locate_finds_the_last_at_or_before(void)
{
    rig_t *rig = opened(16);
    random_t random = random_seeded(16);
    for (uint64_t block = 3; block < 200; block++)
        if (random_chance(&random, 2, 3))
            CHECK(
                rig_append(rig,
                           (chunk_key_t){ 1, 1, block,
                                          (uint32_t)random_below(&random, 6) },
                           10) == STATUS_OK);
    CHECK(rig_settle(rig));
    for (uint64_t at = 0; at < 200 * 4000; at += 333)
        for (int by_time = 0; by_time < 2; by_time++) {
            uint64_t where = by_time ? at / 100 : at;
            const rig_chunk_t *wanted = last_before(rig, by_time, where);
            chunkstore_entry_t entry;
            status_t status = chunkstore_locate(rig->store, 1, 1, by_time,
                                                where, &entry);
            CHECK(status == (wanted ? STATUS_OK : STATUS_MISS));
            CHECK(!wanted || chunk_key_compare(&entry.key, &wanted->key) == 0);
        }
    chunkstore_entry_t entry;
    CHECK(chunkstore_locate(rig->store, 2, 1, false, 5, &entry) == STATUS_MISS);
    rig_destroy(&rig);
}

//  ---------------------------------------------------------------------------
//  Identity

static void
the_identity_is_kept(void)
{
    rig_t *rig = opened(17);
    chunkstore_identity_t first = chunkstore_identity(rig->store);
    CHECK(first.store != 0 && first.cluster == 0 && first.boot == 1);
    CHECK(chunkstore_set_cluster(rig->store, 77) == STATUS_OK);
    CHECK(rig_set_term(rig, 5) == STATUS_OK);
    rig_cut(rig, 1);
    CHECK(rig_open(rig) == STATUS_OK);
    chunkstore_identity_t again = chunkstore_identity(rig->store);
    CHECK(again.store == first.store && again.cluster == 77);
    CHECK(again.term == 5 && again.boot == 2);
    rig_close(rig);
    uint64_t size;
    uint8_t *bytes = fake_files_bytes(rig->disk, RIG_PATH "/identity", &size);
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(rig_open(rig) == STATUS_CORRUPT && strstr(rig->why, "identity"));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    const files_t *files = fake_files_table(rig->disk);
    files->unlink(files, RIG_PATH "/identity");
    CHECK(rig_open(rig) == STATUS_OK);  //  It held nothing
    fill(rig, 1, 1, 10);
    rig_close(rig);
    files->unlink(files, RIG_PATH "/identity");
    CHECK(rig_open(rig) == STATUS_CORRUPT);
    rig_destroy(&rig);
}

int
main(void)
{
    CASE(what_is_told_durable_is_read_back,
         "chunkstore 2, record 1: what is told durable is read back exact");
    CASE(a_header_alone_can_be_read, "a header alone can be read");
    CASE(records_of_a_turn_are_told_together,
         "chunkstore 1: what one sync made durable is told in one call");
    CASE(a_key_is_stored_once,
         "chunkstore 4, invariant 7: a key is stored once, and told again");
    CASE(a_wrong_payload_fails_alone,
         "chunkstore 5: a payload that is not what its header says is found "
         "while it is copied, and fails alone");
    CASE(what_cannot_be_is_refused, "what cannot be a chunk is refused");
    CASE(queues_are_bounded,
         "invariant 18: chunks and reads that wait are bounded");
    CASE(keys_of_many_streams_wait_side_by_side,
         "keys of many streams wait side by side");
    CASE(events_may_call_the_store,
         "store 2: events may append, read and drop");
    CASE(a_close_waits_for_what_is_in_flight,
         "store 1: a close waits for every operation in flight");
    CASE(payload_is_let_go_of_before_its_write,
         "chunkstore 5: payload is copied while writes before its own are in "
         "flight, and is held no longer");
    CASE(each_class_has_its_segment_and_the_next,
         "a class fills segment after segment, apart from other classes");
    CASE(a_segment_closes_by_age, "a segment closes by age");
    CASE(nothing_is_appended_after_a_restart,
         "chunkstore 3, segment 2: nothing is written to a segment of an "
         "earlier life");
    CASE(nothing_is_appended_after_a_failed_write,
         "chunkstore 3: after a failed write or sync another segment is "
         "begun");
    CASE(full_is_said_before_and_never_after,
         "FULL is said before a chunk is accepted, never after");
    CASE(what_is_being_reserved_is_not_free,
         "FULL is said before a chunk is accepted also while the space of "
         "another class's segment is being reserved");
    CASE(a_dropped_stream_gives_its_space_back,
         "index 2: a dropped stream is gone and gives its space back");
    CASE(what_waits_when_its_stream_is_dropped_fails,
         "what waits when its stream is dropped fails with GONE");
    CASE(a_read_that_meets_a_drop_says_gone,
         "a read that meets a drop says GONE, not CORRUPT");
    CASE(dead_segments_give_their_blocks_back_unwaited,
         "index 2: what gives back the blocks of dead segments is no close, "
         "which the store would wait for");
    CASE(what_cannot_be_unlinked_is_left_alone,
         "index 2: files of dead segments that cannot be unlinked are left "
         "alone until the next start, which takes them");
    CASE(names_that_are_not_durably_gone_are_tried_again,
         "the space of dead segments whose names could not be synced is given "
         "back when they can");
    CASE(walks_go_both_ways_and_end_when_told,
         "walks go both ways and end when told");
    CASE(epochs_are_listed_in_order, "epochs are listed in order");
    CASE(locate_finds_the_last_at_or_before,
         "locate finds the last data chunk at or before a place");
    CASE(the_identity_is_kept,
         "invariant 8: identity and term outlive a cut; a damaged one is "
         "refused");
    return proof_end();
}
