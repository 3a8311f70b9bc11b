#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "chunkstore.h"
#include "fake_files.h"
#include "folder.h"
#include "invariant.h"
#include "kv_memory.h"
#include "proof.h"

enum { MOST = 4096 };

//  A store with what it told.
typedef struct {
    fake_files_t *disk;
    kv_t *kv;
    chunkstore_t *store;
    chunk_key_t durable[MOST];
    size_t durable_count;
    chunk_key_t failed[MOST];
    status_t failed_status;
    size_t failed_count;
    struct {
        uint64_t token;
        status_t status;
        chunk_header_t header;
        buffer_t *payload;
    } reads[MOST];
    size_t reads_count;
    uint64_t space_bytes;
    char why[256];
} rig_t;

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    rig_t *rig = with;
    for (size_t i = 0; i < count; i++)
        rig->durable[rig->durable_count++ % MOST] = keys[i];
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    rig_t *rig = with;
    rig->failed_status = status;
    for (size_t i = 0; i < count; i++)
        rig->failed[rig->failed_count++ % MOST] = keys[i];
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    rig_t *rig = with;
    size_t at = rig->reads_count++ % MOST;
    rig->reads[at].token = token;
    rig->reads[at].status = status;
    if (header)
        rig->reads[at].header = *header;
    rig->reads[at].payload = buffer_ref(payload);
}

static const chunkstore_events_t EVENTS = { on_durable, on_failed, on_read };

static status_t
open_store(rig_t *rig)
{
    chunkstore_settings_t settings = {
        .path = "/disk",
        .segment_bytes = 1024 * 1024,
        .space_bytes = rig->space_bytes,
        .index = kv_memory_handle(rig->kv),
    };
    return chunkstore_open(&settings, fake_files_table(rig->disk), &EVENTS, rig,
                           &rig->store, rig->why, sizeof(rig->why));
}

static rig_t *
new_rig(uint64_t seed)
{
    rig_t *rig = calloc(1, sizeof(*rig));
    INVARIANT(rig);
    rig->disk = fake_files_new(seed, 64 * 1024 * 1024);
    rig->kv = kv_memory_new();
    CHECK(open_store(rig) == STATUS_OK);
    return rig;
}

static void
end_rig(rig_t *rig)
{
    chunkstore_close(&rig->store);
    for (size_t i = 0; i < rig->reads_count && i < MOST; i++)
        buffer_unref(&rig->reads[i].payload);
    fake_files_destroy(&rig->disk);
    kv_close(&rig->kv);
    free(rig);
}

//  The chunk of a key is a function of the key.
static chunk_header_t
header_of(chunk_key_t key, uint32_t length)
{
    chunk_header_t header = {
        .key = key,
        .code = { 4, 2 },
        .offset = key.block * 4 * 1000 + key.slot * 1000,
        .length = length,
        .created_us = (micros_t)(key.block * 4 + key.slot),
        .width = 6,
        .kind = KIND_RECORDED,
        .name = "cam",
    };
    return header;
}

static buffer_t *
payload_of(chunk_key_t key, uint32_t length)
{
    buffer_t *payload = buffer_new(length);
    uint8_t *bytes = buffer_fill(payload);
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(key.stream * 31 + key.block * 7 + key.slot + i);
    return payload;
}

static status_t
append(rig_t *rig, chunk_key_t key, uint32_t length)
{
    chunk_header_t header = header_of(key, length);
    buffer_t *payload = payload_of(key, length);
    header.payload_crc = checksum_crc32c(buffer_bytes(payload), length);
    status_t status = chunkstore_append(rig->store, &header, payload, 0);
    buffer_unref(&payload);
    return status;
}

static void
turn_until(rig_t *rig, const size_t *count, size_t least)
{
    for (int i = 0; i < 100000 && *count < least; i++)
        chunkstore_turn(rig->store, 0);
    CHECK(*count >= least);
}

static void
turns(rig_t *rig, int count)
{
    for (int i = 0; i < count; i++)
        chunkstore_turn(rig->store, 0);
}

static status_t
read_back(rig_t *rig, chunk_key_t key, uint32_t length)
{
    size_t before = rig->reads_count;
    CHECK(chunkstore_read(rig->store, key, false, 7) == STATUS_OK);
    turn_until(rig, &rig->reads_count, before + 1);
    size_t at = before % MOST;
    CHECK(rig->reads[at].token == 7);
    if (rig->reads[at].status == STATUS_OK) {
        buffer_t *wanted = payload_of(key, length);
        CHECK(buffer_size(rig->reads[at].payload) == length);
        CHECK(memcmp(buffer_bytes(rig->reads[at].payload), buffer_bytes(wanted),
                     length) == 0);
        CHECK(chunk_key_compare(&rig->reads[at].header.key, &key) == 0);
        buffer_unref(&wanted);
    }
    return rig->reads[at].status;
}

static void
what_is_told_durable_is_read_back(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        rig_t *rig = new_rig(seed);
        for (uint64_t block = 0; block < 30; block++)
            CHECK(append(rig, (chunk_key_t){ 1, 1, block, block % 6 },
                         (uint32_t)(block * 3001)) == STATUS_OK);
        turn_until(rig, &rig->durable_count, 30);
        CHECK(rig->durable_count == 30 && rig->failed_count == 0);
        for (uint64_t block = 0; block < 30; block++)
            CHECK(read_back(rig, (chunk_key_t){ 1, 1, block, block % 6 },
                            (uint32_t)(block * 3001)) == STATUS_OK);
        CHECK(read_back(rig, (chunk_key_t){ 1, 1, 99, 0 }, 0) == STATUS_MISS);
        CHECK(chunkstore_space(rig->store).chunks == 30);
        end_rig(rig);
    }
}

static void
a_closed_store_opens_with_everything(void)
{
    rig_t *rig = new_rig(3);
    for (uint64_t block = 0; block < 200; block++)
        CHECK(append(rig, (chunk_key_t){ 1, 1, block, 0 }, 9000) == STATUS_OK);
    chunkstore_close(&rig->store);
    CHECK(rig->durable_count == 200);
    CHECK(open_store(rig) == STATUS_OK);
    for (uint64_t block = 0; block < 200; block++)
        CHECK(read_back(rig, (chunk_key_t){ 1, 1, block, 0 }, 9000) ==
              STATUS_OK);
    CHECK(chunkstore_identity(rig->store).boot == 2);
    end_rig(rig);
}

static void
a_dropped_stream_is_gone_and_gives_its_space_back(void)
{
    rig_t *rig = new_rig(4);
    for (uint64_t block = 0; block < 300; block++)
        for (uint64_t stream = 1; stream <= 2; stream++)
            CHECK(append(rig, (chunk_key_t){ stream, 1, block, 0 }, 9000) ==
                  STATUS_OK);
    turn_until(rig, &rig->durable_count, 600);
    uint64_t before = fake_files_taken(rig->disk);
    CHECK(chunkstore_drop(rig->store, 1) == STATUS_OK);
    CHECK(read_back(rig, (chunk_key_t){ 1, 1, 5, 0 }, 9000) == STATUS_GONE);
    turns(rig, 200);
    CHECK(chunkstore_space(rig->store).chunks == 300);
    CHECK(fake_files_taken(rig->disk) < before - 200 * 4096);
    CHECK(read_back(rig, (chunk_key_t){ 2, 1, 5, 0 }, 9000) == STATUS_OK);
    CHECK(chunkstore_drop(rig->store, 2) == STATUS_OK);
    turns(rig, 200);
    CHECK(chunkstore_space(rig->store).chunks == 0);
    CHECK(append(rig, (chunk_key_t){ 2, 1, 0, 0 }, 10) == STATUS_GONE);
    CHECK(chunkstore_epochs(rig->store, 2, NULL, 0) == 0);
    end_rig(rig);
}

static void
the_real_files_hold_the_contract(void)
{
    rig_t *rig = calloc(1, sizeof(*rig));
    chunkstore_settings_t settings = { .path = folder_new(),
                                       .segment_bytes = 8 * 1024 * 1024 };
    CHECK(chunkstore_open(&settings, NULL, &EVENTS, rig, &rig->store, rig->why,
                          sizeof(rig->why)) == STATUS_OK);
    chunkstore_t *other = NULL;
    CHECK(chunkstore_open(&settings, NULL, &EVENTS, rig, &other, rig->why,
                          sizeof(rig->why)) == STATUS_TAKEN);
    CHECK(strstr(rig->why, "process"));
    for (uint64_t block = 0; block < 100; block++)
        CHECK(append(rig, (chunk_key_t){ 1, 1, block, 0 }, 262144) ==
              STATUS_OK);
    turn_until(rig, &rig->durable_count, 100);
    for (uint64_t block = 0; block < 100; block++)
        CHECK(read_back(rig, (chunk_key_t){ 1, 1, block, 0 }, 262144) ==
              STATUS_OK);
    chunkstore_close(&rig->store);
    CHECK(chunkstore_open(&settings, NULL, &EVENTS, rig, &rig->store, rig->why,
                          sizeof(rig->why)) == STATUS_OK);
    CHECK(read_back(rig, (chunk_key_t){ 1, 1, 50, 0 }, 262144) == STATUS_OK);
    chunkstore_close(&rig->store);
    for (size_t i = 0; i < rig->reads_count && i < MOST; i++)
        buffer_unref(&rig->reads[i].payload);
    free(rig);
}

int
main(void)
{
    CASE(what_is_told_durable_is_read_back,
         "chunkstore 2: what is told durable is read back exact");
    CASE(a_closed_store_opens_with_everything,
         "a closed store opens with everything it had");
    CASE(a_dropped_stream_is_gone_and_gives_its_space_back,
         "a dropped stream is gone and gives its space back");
    CASE(the_real_files_hold_the_contract,
         "the real files keep what is told durable, and one process only");
    return proof_end();
}
