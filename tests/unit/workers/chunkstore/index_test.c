#include "index.h"

#include <string.h>

#include "kv_memory.h"
#include "proof.h"

static index_place_t
place_of(uint64_t stream, uint64_t epoch, uint64_t block)
{
    return (index_place_t){
        .entry = { .key = { stream, epoch, block, 1 },
                   .index = block * 4 + 1,
                   .offset = block * 1000,
                   .length = 900,
                   .created_us = 5,
                   .payload_crc = 0xdeadbeef,
                   .flags = CHUNK_END,
                   .k = 4 },
        .segment = 12,
        .place = block * 4096,
    };
}

static void
an_entry_is_found_as_it_was_put(void)
{
    kv_t *kv = kv_memory_new();
    index_t *index = index_new(&kv);
    index_place_t put = place_of(1, 2, 3), found;
    CHECK(index_find(index, &put.entry.key, &found) == STATUS_MISS);
    index_put(index, &put);
    CHECK(index_find(index, &put.entry.key, &found) == STATUS_MISS);
    CHECK(index_commit(index, false) == STATUS_OK);
    CHECK(index_find(index, &put.entry.key, &found) == STATUS_OK);
    CHECK(chunk_key_compare(&found.entry.key, &put.entry.key) == 0);
    CHECK(found.entry.index == 13 && found.entry.offset == 3000);
    CHECK(found.entry.length == 900 && found.entry.created_us == 5);
    CHECK(found.entry.payload_crc == 0xdeadbeef && found.entry.k == 4);
    CHECK(found.entry.flags == CHUNK_END && !found.rotten);
    CHECK(found.segment == 12 && found.place == 3 * 4096);
    index_delete(index, &put.entry.key);
    CHECK(index_commit(index, false) == STATUS_OK);
    CHECK(index_find(index, &put.entry.key, &found) == STATUS_MISS);
    index_destroy(&index);
}

typedef struct {
    uint64_t segments, live, drops;
} sums_t;

static void
add_segment(void *arg, const index_segment_t *segment)
{
    sums_t *sums = arg;
    sums->segments += segment->id;
    sums->live += segment->live;
}

static void
add_drop(void *arg, const index_drop_t *drop)
{
    sums_t *sums = arg;
    sums->drops += drop->stream + drop->newest;
}

//  Eight batches of an entry and its segment's sums.
static void
put_batches(index_t *index)
{
    for (uint64_t block = 0; block < 8; block++) {
        index_place_t put = place_of(1, 2, block);
        index_put(index, &put);
        index_put_segment(index,
                          &(index_segment_t){ .id = 12, .live = block + 1 });
        CHECK(index_commit(index, false) == STATUS_OK);
    }
}

static void
a_batch_is_whole_or_not_at_all(void)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        kv_t *disk = kv_memory_new(), *kv = kv_memory_handle(disk);
        index_t *index = index_new(&kv);
        put_batches(index);
        index_destroy(&index);
        kv_memory_cut(disk, seed);
        kv = kv_memory_handle(disk);
        index = index_new(&kv);
        sums_t sums = { 0 };
        CHECK(index_segments(index, add_segment, &sums) == STATUS_OK);
        for (uint64_t block = 0; block < 8; block++) {
            index_place_t put = place_of(1, 2, block), found;
            status_t status = index_find(index, &put.entry.key, &found);
            CHECK((status == STATUS_OK) == (block < sums.live));
        }
        index_destroy(&index);
        kv_close(&disk);
    }
}

static void
a_failed_batch_is_forgotten(void)
{
    kv_t *disk = kv_memory_new(), *kv = kv_memory_handle(disk);
    index_t *index = index_new(&kv);
    index_place_t put = place_of(1, 2, 3), found;
    kv_memory_fail_after(disk, 1, STATUS_FULL);
    index_put(index, &put);
    CHECK(index_commit(index, false) == STATUS_FULL);
    CHECK(index_commit(index, false) == STATUS_OK);  //  Nothing is left of it
    CHECK(index_find(index, &put.entry.key, &found) == STATUS_MISS);
    index_destroy(&index);
    kv_close(&disk);
}

static void
segments_marks_and_drops_are_kept(void)
{
    kv_t *kv = kv_memory_new();
    index_t *index = index_new(&kv);
    index_put_segment(index, &(index_segment_t){ .id = 1ull << 32, .live = 3 });
    index_put_segment(index, &(index_segment_t){ .id = 7, .live = 4 });
    index_put_settled(index, 9, 1234567890123);
    index_put_drop(index, &(index_drop_t){ .stream = 5, .newest = 70 });
    CHECK(index_commit(index, true) == STATUS_OK);
    sums_t sums = { 0 };
    CHECK(index_segments(index, add_segment, &sums) == STATUS_OK);
    CHECK(index_drops(index, add_drop, &sums) == STATUS_OK);
    CHECK(sums.segments == (1ull << 32) + 7 && sums.live == 7);
    CHECK(sums.drops == 75);
    CHECK(index_settled(index, 9) == 1234567890123);
    CHECK(index_settled(index, 8) == 0);
    index_delete_segment(index, 7);
    index_delete_settled(index, 9);
    index_delete_drop(index, 5);
    CHECK(index_commit(index, true) == STATUS_OK);
    sums = (sums_t){ 0 };
    CHECK(index_segments(index, add_segment, &sums) == STATUS_OK);
    CHECK(index_drops(index, add_drop, &sums) == STATUS_OK);
    CHECK(sums.segments == 1ull << 32 && sums.drops == 0);
    CHECK(index_settled(index, 9) == 0 && index_bytes(index) > 0);
    index_destroy(&index);
}

typedef struct {
    uint64_t seen[20];
    size_t count;
} seen_t;

static bool
see(void *arg, const index_place_t *place)
{
    seen_t *seen = arg;
    seen->seen[seen->count++] = place->entry.key.block;
    return seen->count < 20;
}

static const uint64_t NUMBERS[] = { 1, 2, UINT64_MAX };

//  Walks over one epoch of a stream that has three blocks in each.
static void
check_walks(index_t *index, uint64_t stream, size_t epoch)
{
    seen_t up = { .count = 0 }, down = up, below = up, all = up;
    chunk_key_t from = { stream, NUMBERS[epoch], 1, 0 };
    CHECK(index_walk(index, &from, false, see, &up) == STATUS_OK);
    CHECK(up.count == 2 && up.seen[0] == 1 && up.seen[1] == 2);
    CHECK(index_walk(index, &from, true, see, &all) == STATUS_OK);
    CHECK(all.count == 2 + 3 * (2 - epoch));
    CHECK(index_walk_back(index, stream, from.epoch, UINT64_MAX, see, &down) ==
          STATUS_OK);
    CHECK(down.count == 3 && down.seen[0] == 2 && down.seen[2] == 0);
    CHECK(index_walk_back(index, stream, from.epoch, 2, see, &below) ==
          STATUS_OK);
    CHECK(below.count == 2 && below.seen[0] == 1);
}

static void
walks_stay_within_stream_and_epoch(void)
{
    kv_t *kv = kv_memory_new();
    index_t *index = index_new(&kv);
    for (size_t i = 0; i < 27; i++) {
        index_place_t put = place_of(NUMBERS[i / 9], NUMBERS[i / 3 % 3], i % 3);
        index_put(index, &put);
    }
    index_put_drop(index, &(index_drop_t){ .stream = 1 });
    CHECK(index_commit(index, false) == STATUS_OK);
    for (size_t stream = 0; stream < 3; stream++)
        for (size_t epoch = 0; epoch < 3; epoch++)
            check_walks(index, NUMBERS[stream], epoch);
    index_destroy(&index);
}

int
main(void)
{
    CASE(an_entry_is_found_as_it_was_put, "an entry is found as it was put");
    CASE(a_batch_is_whole_or_not_at_all,
         "index 1: a batch is whole or not at all after a cut");
    CASE(a_failed_batch_is_forgotten, "index 1: a failed batch is forgotten");
    CASE(segments_marks_and_drops_are_kept,
         "segments, marks and drops are kept");
    CASE(walks_stay_within_stream_and_epoch,
         "walks stay within their stream and epoch, the last ones too");
    return proof_end();
}
