//  The contract of files.h, held by the real files and by the fake ones.

#include "files.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunkstore.h"
#include "fake_files.h"
#include "folder.h"
#include "invariant.h"
#include "proof.h"
#include "rig.h"

enum { PIECE = 65536, PIECES = 40 };

static uint8_t *
pages(size_t size, int fill)
{
    uint8_t *bytes = aligned_alloc(FILES_ALIGNMENT, size);
    INVARIANT(bytes);
    memset(bytes, fill, size);
    return bytes;
}

//  Wait for `count` operations; each told once, all of `size`.
static void
take_all(const files_t *files, size_t count, int64_t size)
{
    bool told[PIECES] = { false };
    while (count > 0) {
        struct pollfd ready = { files->fd(files), POLLIN, 0 };
        if (ready.fd >= 0)
            CHECK(poll(&ready, 1, 60000) == 1);
        files_done_t done[7];
        size_t got = files->reap(files, done, 7, false);
        for (size_t i = 0; i < got; i++) {
            CHECK(done[i].token < PIECES && !told[done[i].token]);
            CHECK(done[i].result == size);
            told[done[i].token] = true;
        }
        CHECK(got <= count);
        count -= got;
    }
}

//  A new file of so many bytes.
static int
make(const files_t *files, const char *path, uint64_t size)
{
    int handle = files->open(files, path, true);
    CHECK(handle >= 0);
    CHECK(files->reserve(files, handle, size, 0) == 0);
    take_all(files, 1, 0);
    return handle;
}

static void
write_and_read(const files_t *files, const char *folder)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/file", folder);
    int handle = make(files, path, PIECE * PIECES);
    uint8_t *bytes[PIECES];
    for (uint64_t i = 0; i < PIECES; i++) {
        bytes[i] = pages(PIECE, (int)i + 1);
        CHECK(files->write(files, handle, bytes[i], PIECE, i * PIECE, i) == 0);
    }
    take_all(files, PIECES, PIECE);
    CHECK(files->sync(files, handle, 0) == 0);
    take_all(files, 1, 0);
    for (uint64_t i = 0; i < PIECES; i++) {
        memset(bytes[i], 0, PIECE);
        CHECK(files->read(files, handle, bytes[i], PIECE, i * PIECE, i) == 0);
    }
    take_all(files, PIECES, PIECE);
    for (int i = 0; i < PIECES; i++) {
        CHECK(bytes[i][0] == i + 1 && bytes[i][PIECE - 1] == i + 1);
        free(bytes[i]);
    }
    CHECK(files->punch(files, handle, PIECE, PIECE, 0) == 0);
    take_all(files, 1, 0);
    uint8_t *hole = pages(PIECE, 1);
    CHECK(files->read(files, handle, hole, PIECE, PIECE, 0) == 0);
    take_all(files, 1, PIECE);
    CHECK(hole[0] == 0 && memcmp(hole, hole + 1, PIECE - 1) == 0);
    free(hole);
    files->close(files, handle);
}

static void
count_name(void *arg, const char *name)
{
    *(int *)arg += strcmp(name, "one") == 0 ? 1 : 100;
}

static void
name_and_unname(const files_t *files, const char *folder)
{
    char one[400], two[400], deep[300], text[10] = "";
    snprintf(deep, sizeof(deep), "%s/deep", folder);
    snprintf(one, sizeof(one), "%s/one", deep);
    snprintf(two, sizeof(two), "%s/two", deep);
    CHECK(files->make_directory(files, deep) == 0);
    CHECK(files->make_directory(files, deep) == 0);  //  Again is fine
    CHECK(files->read_small(files, one, text, 9) == -ENOENT);
    CHECK(files->write_small(files, one, "first", 6) == 0);
    CHECK(files->write_small(files, one, "second", 7) == 0);
    CHECK(files->read_small(files, one, text, 9) == 7);
    CHECK(strcmp(text, "second") == 0);
    int seen = 0;
    CHECK(files->list(files, deep, count_name, &seen) == 0 && seen == 1);
    CHECK(files->rename(files, one, two) == 0);
    CHECK(files->sync_directory(files, deep) == 0);
    CHECK(files->open(files, one, false) == -ENOENT);
    CHECK(files->unlink(files, two) == 0);
    CHECK(files->unlink(files, two) == -ENOENT);
    files->close(files, make(files, one, PIECE));
    CHECK(files->remove(files, one, 0) == 0);
    take_all(files, 1, 0);
    CHECK(files->remove(files, one, 0) == 0);
    take_all(files, 1, -ENOENT);
    CHECK(files->free_bytes(files, deep) > 0);
    CHECK(files->random(files) != files->random(files));
}

static void
hold_contract(files_t *files)
{
    const char *folder = folder_new();
    write_and_read(files, folder);
    name_and_unname(files, folder);
    files_system_destroy(&files);
}

static void
the_ring_holds_the_contract(void)
{
    files_t *files = files_system_new(PIECES, false);
    printf("# %s\n", files_system_kind(files));
    hold_contract(files);
}

static void
plain_calls_hold_the_contract(void)
{
    files_t *files = files_system_new(PIECES, true);
    CHECK(strcmp(files_system_kind(files), "plain") == 0);
    hold_contract(files);
}

static void
more_than_the_depth_waits(void)
{
    files_t *files = files_system_new(2, false);
    const char *folder = folder_new();
    int handle = make(files, folder_path(folder, "file"), 2 * PIECE);
    uint8_t *bytes = pages(PIECE, 7);
    CHECK(files->write(files, handle, bytes, PIECE, 0, 0) == 0);
    CHECK(files->write(files, handle, bytes, PIECE, PIECE, 1) == 0);
    CHECK(files->sync(files, handle, 2) == -EAGAIN);
    take_all(files, 2, PIECE);
    CHECK(files->sync(files, handle, 2) == 0);
    take_all(files, 1, 0);
    free(bytes);
    files->close(files, handle);
    files_system_destroy(&files);
}

static void
the_fake_holds_the_contract(void)
{
    fake_files_t *disk = fake_files_new(1, 64 * 1024 * 1024);
    write_and_read(fake_files_table(disk), "/fake");
    name_and_unname(fake_files_table(disk), "/fake");
    fake_files_destroy(&disk);
}

//  ---------------------------------------------------------------------------
//  What a cut takes

static uint8_t
byte_after_cut(uint64_t seed, bool reaped_first)
{
    fake_files_t *disk = fake_files_new(seed, 1024 * 1024);
    const files_t *files = fake_files_table(disk);
    int handle = make(files, "/file", PIECE);
    files->sync_directory(files, "/");
    uint8_t *bytes = pages(PIECE, 9);
    CHECK(files->write(files, handle, bytes, PIECE, 0, 0) == 0);
    if (reaped_first)
        take_all(files, 1, PIECE);
    CHECK(files->sync(files, handle, 1) == 0);
    files_done_t done;
    for (int left = reaped_first ? 1 : 2; left > 0;)
        left -= (int)files->reap(files, &done, 1, true);
    fake_files_cut(disk, seed);
    free(bytes);
    uint64_t size;
    uint8_t found = fake_files_bytes(disk, "/file", &size)[0];
    fake_files_destroy(&disk);
    return found;
}

static void
a_sync_vouches_for_what_was_reaped_before(void)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        CHECK(byte_after_cut(seed, true) == 9);
        lost += byte_after_cut(seed, false) != 9;
    }
    CHECK(lost > 10 && lost < 90);
}

static void
names_are_durable_after_a_sync_of_their_directory(void)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        fake_files_t *disk = fake_files_new(seed, 1024 * 1024);
        const files_t *files = fake_files_table(disk);
        make(files, "/old", 4096);
        CHECK(files->rename(files, "/old", "/kept") == 0);
        CHECK(files->sync_directory(files, "/") == 0);
        make(files, "/new", 4096);
        fake_files_cut(disk, seed);
        uint64_t size;
        CHECK(fake_files_bytes(disk, "/kept", &size) && size == 4096);
        CHECK(!fake_files_bytes(disk, "/old", &size));
        lost += !fake_files_bytes(disk, "/new", &size);
        fake_files_destroy(&disk);
    }
    CHECK(lost > 10 && lost < 90);
}

//  ---------------------------------------------------------------------------
//  The store on the real ones

static size_t durable, answered;

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    (void)with, (void)keys;
    durable += count;
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    (void)with, (void)keys, (void)count, (void)status;
    CHECK(!"failed");
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    (void)with;
    chunk_key_t key = { 1, 1, token, 0 };
    buffer_t *wanted = rig_payload(key, 100000);
    CHECK(status == STATUS_OK && header->key.block == token);
    CHECK(buffer_size(payload) == 100000);
    CHECK(memcmp(buffer_bytes(payload), buffer_bytes(wanted), 100000) == 0);
    buffer_unref(&wanted);
    answered++;
}

static const chunkstore_events_t EVENTS = { on_durable, on_failed, on_read,
                                            NULL };

static void
turn_until(chunkstore_t *store, const size_t *count, size_t least)
{
    while (*count < least) {
        struct pollfd ready = { chunkstore_fd(store), POLLIN, 0 };
        if (chunkstore_due(store) > 0)
            CHECK(poll(&ready, 1, 60000) == 1);
        chunkstore_turn(store, 0);
    }
}

static void
read_all(chunkstore_t *store)
{
    answered = 0;
    for (uint64_t block = 0; block < 100; block++)
        CHECK(chunkstore_read(store, (chunk_key_t){ 1, 1, block, 0 }, false,
                              block) == STATUS_OK);
    turn_until(store, &answered, 100);
}

static void
fill(chunkstore_t *store)
{
    durable = 0;
    for (uint64_t block = 0; block < 100; block++) {
        chunk_header_t header = rig_header((chunk_key_t){ 1, 1, block, 0 },
                                           100000);
        buffer_t *payload = rig_payload(header.key, 100000);
        CHECK(chunkstore_append(store, &header, payload, 0) == STATUS_OK);
        buffer_unref(&payload);
    }
    turn_until(store, &durable, 100);
}

static chunkstore_t *
open_at(const char *path, const files_t *files)
{
    chunkstore_settings_t settings = { .path = path,
                                       .segment_bytes = 2 * 1024 * 1024 };
    chunkstore_t *store = NULL;
    char why[300] = "";
    status_t status = chunkstore_open(&settings, files, &EVENTS, NULL, &store,
                                      why, sizeof(why));
    if (store)
        return store;
    CHECK(status == STATUS_TAKEN && strstr(why, "process"));
    return NULL;
}

static void
store_and_open_again(const files_t *files)
{
    const char *path = folder_path(folder_new(), "w1");
    chunkstore_t *store = open_at(path, files);
    CHECK(store && !open_at(path, files));
    fill(store);
    read_all(store);
    CHECK(chunkstore_drop(store, 2) == STATUS_OK);
    chunkstore_close(&store);
    store = open_at(path, files);
    read_all(store);
    chunkstore_close(&store);
}

static void
a_store_lies_on_a_real_disk(void)
{
    store_and_open_again(NULL);
}

static void
a_store_does_without_the_ring(void)
{
    files_t *files = files_system_new(64, true);
    store_and_open_again(files);
    files_system_destroy(&files);
}

int
main(void)
{
    CASE(the_ring_holds_the_contract, "io_uring holds the contract of files");
    CASE(plain_calls_hold_the_contract, "plain calls hold it too");
    CASE(more_than_the_depth_waits,
         "invariant 18: operations in flight are bounded");
    CASE(the_fake_holds_the_contract, "the fake disk holds it too");
    CASE(a_sync_vouches_for_what_was_reaped_before,
         "files 1: a sync vouches only for writes that were reaped before it");
    CASE(names_are_durable_after_a_sync_of_their_directory,
         "files 2: names are durable after a sync of their directory");
    CASE(a_store_lies_on_a_real_disk,
         "invariant 1: a store on a real disk gives back what it took, also "
         "when opened again; one process at a time");
    CASE(a_store_does_without_the_ring, "a store does without io_uring too");
    return proof_end();
}
