//  Bits that flip, an index that is lost: found and said, never served.

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "proof.h"
#include "random.h"
#include "record.h"
#include "rig.h"
#include "segment.h"

static chunk_key_t
key_of(uint64_t stream, uint64_t block)
{
    return (chunk_key_t){ stream, 1, block, (uint32_t)(block % 6) };
}

static rig_t *
filled_in(uint64_t space_bytes, uint64_t seed, uint64_t count, uint32_t length)
{
    rig_t *rig = rig_new(seed);
    rig->space_bytes = space_bytes;
    CHECK(rig_open(rig) == STATUS_OK);
    for (uint64_t block = 0; block < count; block++) {
        CHECK(rig_append(rig, key_of(1, block), length) == STATUS_OK);
        CHECK(rig_settle(rig));
    }
    return rig;
}

static rig_t *
filled(uint64_t seed, uint64_t count, uint32_t length)
{
    return filled_in(0, seed, count, length);
}

//  The bytes of the `nth` segment.
static uint8_t *
segment_bytes(rig_t *rig, size_t nth, uint64_t *size_r)
{
    const char *path = rig_segment(rig, nth);
    CHECK(path);
    return fake_files_bytes(rig->disk, path, size_r);
}

static void
lose_index(rig_t *rig)
{
    kv_close(&rig->kv);
    rig->kv = kv_memory_new();
}

static void
every_bit_of_a_record_is_held_by_a_checksum(void)
{
    rig_t *rig = filled(1, 1, 40);
    uint64_t size;
    uint8_t *bytes = segment_bytes(rig, 0, &size) + SEGMENT_FIRST;
    size_t bits = (RECORD_HEAD_BYTES + 40) * 8;
    for (size_t bit = 0; bit < bits; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(rig_read(rig, key_of(1, 0)) == STATUS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_OK);
    CHECK(chunkstore_space(rig->store).rot == 1);  //  One record
    rig_destroy(&rig);
}

static bool
count_one(void *arg, const chunkstore_entry_t *entry)
{
    (void)entry;
    ++*(size_t *)arg;
    return true;
}

static void
a_rotten_record_can_be_stored_again(void)
{
    rig_t *rig = filled(2, 3, 5000);
    uint64_t size;
    segment_bytes(rig, 0, &size)[SEGMENT_FIRST + 700] ^= 1;
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_CORRUPT);
    CHECK(chunkstore_space(rig->store).rot == 1);
    size_t held = 0;
    CHECK(chunkstore_walk(rig->store, 1, 1, 0, count_one, &held) == STATUS_OK);
    CHECK(held == 2);  //  What is damaged is not held
    CHECK(rig_append(rig, key_of(1, 0), 5000) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_OK);
    CHECK(chunkstore_space(rig->store).chunks == 3);
    rig_crash(rig, 2);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(!rig_check(rig));
    rig_destroy(&rig);
}

static void
a_write_gone_astray_is_not_taken_for_the_record(void)
{
    rig_t *rig = filled(3, 6, 3500);
    uint64_t size;
    uint8_t *bytes = segment_bytes(rig, 0, &size);
    //  Records of one page each: the second lies where the first should.
    memcpy(bytes + SEGMENT_FIRST, bytes + SEGMENT_FIRST + 4096, 4096);
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_CORRUPT);
    CHECK(rig_read(rig, key_of(1, 1)) == STATUS_OK);
    rig_destroy(&rig);
}

static void
a_lost_index_is_made_again_from_the_segments(void)
{
    for (int clean = 0; clean < 2; clean++) {
        rig_t *rig = filled(4, 60, 5000);
        if (clean)
            rig_close(rig);
        else
            rig_crash(rig, 1);
        lose_index(rig);
        CHECK(rig_open(rig) == STATUS_OK);
        CHECK(!rig_check(rig));
        CHECK(chunkstore_settled(rig->store, 1) == 29);
        CHECK(chunkstore_space(rig->store).chunks == 60);
        CHECK(chunkstore_space(rig->store).bytes == 60 * 5000);
        rig_destroy(&rig);
    }
}

static void
a_dropped_stream_stays_dropped_without_the_index(void)
{
    rig_t *rig = filled(5, 30, 5000);
    CHECK(rig_append(rig, key_of(3, 0), 5000) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig_drop(rig, 1) == STATUS_OK);
    CHECK(rig_append(rig, key_of(3, 1), 5000) == STATUS_OK);
    CHECK(rig_settle(rig));
    rig_turns(rig, 100);
    rig_crash(rig, 1);
    lose_index(rig);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(chunkstore_epochs(rig->store, 1, NULL, 0) == 0);
    CHECK(rig_read(rig, key_of(1, 29)) == STATUS_GONE);
    CHECK(rig_read(rig, key_of(3, 0)) == STATUS_OK);
    rig_destroy(&rig);
}

//  R17: below the largest synced_to seen a bad record is rot.
static void
rot_below_what_is_proven_durable_is_reported(void)
{
    rig_t *rig = filled(6, 8, 3000);
    rig_crash(rig, 1);
    lose_index(rig);
    uint64_t size;
    uint8_t *bytes = segment_bytes(rig, 0, &size);
    bytes[SEGMENT_FIRST + 3 * 4096 + 800] ^= 4;
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(chunkstore_space(rig->store).rot == 1);
    for (uint64_t block = 0; block < 8; block++)
        CHECK(rig_read(rig, key_of(1, block)) ==
              (block == 3 ? STATUS_MISS : STATUS_OK));
    rig_destroy(&rig);
}

//  ... and above it a bad record is the torn end, with all behind it.
static void
the_torn_end_is_cut_off(void)
{
    rig_t *rig = filled(7, 8, 3000);
    rig_crash(rig, 1);
    lose_index(rig);
    uint64_t size;
    segment_bytes(rig, 0, &size)[SEGMENT_FIRST + 7 * 4096 + 800] ^= 4;
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(chunkstore_space(rig->store).rot == 0);
    CHECK(rig_read(rig, key_of(1, 6)) == STATUS_OK);
    CHECK(rig_read(rig, key_of(1, 7)) == STATUS_MISS);
    rig_destroy(&rig);
}

//  Any bit of a sealed segment, with and without the index: nothing false is
//  ever served, and what is missing was reported.
static void
any_bit_of_a_sealed_segment_may_flip(void)
{
    random_t random = random_seeded(8);
    rig_t *rig = filled(8, 10, 3000);
    rig_close(rig);
    uint64_t size;
    segment_bytes(rig, 0, &size);
    for (uint64_t bit = 0; bit < size * 8;
         bit += 1 + random_below(&random, 3000)) {
        if (random_chance(&random, 1, 2))
            lose_index(rig);
        segment_bytes(rig, 0, &size)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(rig_open(rig) == STATUS_OK);
        size_t missing = 0;
        for (uint64_t block = 0; block < 10; block++)
            missing += rig_read(rig, key_of(1, block)) != STATUS_OK;
        CHECK(missing <= chunkstore_space(rig->store).rot);
        rig_close(rig);
        segment_bytes(rig, 0, &size)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        //  Each time as it was, whatever was noted of it.
        lose_index(rig);
    }
    rig_destroy(&rig);
}

//  What a start makes of one flipped bit: nothing false is served, and what is
//  missing was reported.
static void
flip(rig_t *rig, uint64_t bit, bool index_lost)
{
    enum { CHUNKS = 2 };
    uint64_t size;
    if (index_lost)
        lose_index(rig);
    segment_bytes(rig, 0, &size)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    CHECK(rig_open(rig) == STATUS_OK);
    size_t missing = 0;
    for (uint64_t block = 0; block < CHUNKS; block++)
        missing += rig_read(rig, key_of(1, block)) != STATUS_OK;
    CHECK(missing <= chunkstore_space(rig->store).rot);
    rig_close(rig);
    segment_bytes(rig, 0, &size)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    lose_index(rig);
    CHECK(rig_open(rig) == STATUS_OK);
    rig_close(rig);
}

//  The reference: two chunks and a drop, closed well. Its metadata is its head,
//  what stands before each payload, and its footer; and so is what is between
//  the last record and the footer, of which a sample is taken.
static void
every_bit_of_a_segments_metadata_may_flip(void)
{
    rig_t *rig = filled(21, 2, 100);
    CHECK(rig_append(rig, key_of(3, 0), 100) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig_drop(rig, 3) == STATUS_OK);
    rig_turns(rig, 100);
    rig_close(rig);
    uint64_t size;
    segment_bytes(rig, 0, &size);
    uint64_t footer = size - segment_footer_bytes(4);
    const struct {
        uint64_t from, bytes, step;
    } parts[] = {
        { 0, 56, 1 },
        { 56, SEGMENT_PAGE - 56, 911 },
        { SEGMENT_FIRST, RECORD_HEAD_BYTES, 1 },
        { SEGMENT_FIRST + RECORD_HEAD_BYTES, 100, 37 },
        { SEGMENT_FIRST + SEGMENT_PAGE, RECORD_HEAD_BYTES, 1 },
        { SEGMENT_FIRST + 4 * SEGMENT_PAGE, size / 4, 9001 },
        { footer, 4 * SEGMENT_ENTRY_BYTES, 1 },
        { footer + 4 * SEGMENT_ENTRY_BYTES, 3000, 911 },
        { size - SEGMENT_TRAILER_BYTES, SEGMENT_TRAILER_BYTES, 1 },
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (uint64_t bit = 0; bit < parts[i].bytes * 8; bit += parts[i].step)
            for (int lost = 0; lost < 2; lost++)
                flip(rig, parts[i].from * 8 + bit, lost);
    rig_destroy(&rig);
}

static void
a_segment_of_another_store_is_not_taken(void)
{
    rig_t *rig = filled(9, 3, 3000), *other = filled(10, 3, 3000);
    rig_close(rig);
    rig_close(other);
    lose_index(rig);
    uint64_t size;
    uint8_t *to = segment_bytes(rig, 0, &size);
    memcpy(to, segment_bytes(other, 0, &size), size);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(chunkstore_space(rig->store).chunks == 0);
    rig_destroy(&rig);
    rig_destroy(&other);
}

static void
a_segment_that_is_lost_is_rot(void)
{
    rig_t *rig = filled(11, 3, 3000);
    rig_close(rig);
    const files_t *files = fake_files_table(rig->disk);
    CHECK(files->unlink(files, rig_segment(rig, 0)) == 0);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_CORRUPT);
    CHECK(chunkstore_space(rig->store).rot == 1);
    CHECK(rig_append(rig, key_of(1, 0), 3000) == STATUS_OK);
    CHECK(rig_settle(rig));
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_OK);
    rig_destroy(&rig);
}

//  Records of the same sizes lay at the same places in the file's earlier life,
//  of a stream of which nothing is remembered any more.
static void
earlier_records_of_a_recycled_file_are_not_taken(void)
{
    for (int lost = 0; lost < 2; lost++) {
        //  No room to have a next segment ready.
        rig_t *rig = filled_in(RIG_SEGMENT_BYTES * 5 / 2, 13, 14, 5000);
        rig->now = chunkstore_due(rig->store);
        rig_turns(rig, 100);  //  It closes by age
        CHECK(rig_drop(rig, 1) == STATUS_OK);
        rig_turns(rig, 100);
        CHECK(rig_names(rig, ".seg") == 0 && rig_names(rig, ".old") == 1);
        for (uint64_t block = 0; block < 5; block++) {
            CHECK(rig_append(rig, key_of(3, block), 5000) == STATUS_OK);
            CHECK(rig_settle(rig));
        }
        CHECK(rig_names(rig, ".old") == 0);  //  It was used again
        rig_crash(rig, 1);
        if (lost)
            lose_index(rig);
        CHECK(rig_open(rig) == STATUS_OK);
        CHECK(chunkstore_space(rig->store).chunks == 5);
        CHECK(!rig_check(rig));
        rig_destroy(&rig);
    }
}

//  The segment holds bytes that look like a segment.
static void
payload_is_never_taken_for_a_record(void)
{
    rig_t *rig = filled(12, 1, 3000);
    uint64_t size;
    const uint8_t *bytes = segment_bytes(rig, 0, &size);
    buffer_t *copy = buffer_new(2 * 4096);
    memcpy(buffer_fill(copy), bytes + SEGMENT_FIRST, 2 * 4096);
    chunk_header_t header = rig_header(key_of(5, 0), 2 * 4096);
    header.payload_crc = checksum_crc32c(buffer_bytes(copy), 2 * 4096);
    CHECK(rig_offer(rig, &header, copy) == STATUS_OK);
    CHECK(rig_settle(rig));
    buffer_unref(&copy);
    rig_crash(rig, 1);
    lose_index(rig);
    CHECK(rig_open(rig) == STATUS_OK);
    CHECK(chunkstore_space(rig->store).chunks == 2);
    CHECK(rig_read(rig, key_of(1, 0)) == STATUS_OK);
    rig_destroy(&rig);
}

int
main(void)
{
    CASE(every_bit_of_a_record_is_held_by_a_checksum,
         "record 1, chunkstore 2: every bit of a record is held by a checksum");
    CASE(a_rotten_record_can_be_stored_again,
         "chunkstore 2 and 4: a rotten record is counted and can be stored "
         "again");
    CASE(a_write_gone_astray_is_not_taken_for_the_record,
         "record 1: a write gone astray is not taken for the record");
    CASE(a_lost_index_is_made_again_from_the_segments,
         "a lost index is made again from the segments");
    CASE(a_dropped_stream_stays_dropped_without_the_index,
         "index 2: a dropped stream stays dropped when the index is lost");
    CASE(rot_below_what_is_proven_durable_is_reported,
         "chunkstore 2: rot below the largest synced_to is reported");
    CASE(the_torn_end_is_cut_off,
         "above the largest synced_to a bad record is the torn end");
    CASE(any_bit_of_a_sealed_segment_may_flip,
         "chunkstore 2: any bit of a sealed segment may flip, with the index "
         "or without");
    CASE(
        every_bit_of_a_segments_metadata_may_flip,
        "invariant 9, chunkstore 2: any bit of a segment's head, of a record's "
        "frame and header, or of its footer may flip");
    CASE(a_segment_of_another_store_is_not_taken,
         "segment 1: a segment of another store is not taken");
    CASE(a_segment_that_is_lost_is_rot,
         "chunkstore 2: chunks of a segment that is lost are reported");
    CASE(earlier_records_of_a_recycled_file_are_not_taken,
         "record 1, index 2: records of a recycled file's earlier life are not "
         "taken for new ones");
    CASE(payload_is_never_taken_for_a_record,
         "record 1: payload that looks like records is not taken for them");
    return proof_end();
}
