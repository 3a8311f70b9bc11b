//  A store whose index on LevelDB is damaged in any file, in any way: nothing
//  durable is lost.

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunkstore.h"
#include "folder.h"
#include "invariant.h"
#include "proof.h"
#include "random.h"
#include "rig.h"

enum { CHUNKS = 300, LENGTH = 500 };

typedef struct {
    size_t durable, answered, good;
} told_t;

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    (void)keys;
    ((told_t *)with)->durable += count;
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
    told_t *told = with;
    told->answered++;
    if (status != STATUS_OK)
        return;
    buffer_t *wanted = rig_payload(header->key, LENGTH);
    CHECK(header->key.block == token);
    CHECK(memcmp(buffer_bytes(payload), buffer_bytes(wanted), LENGTH) == 0);
    buffer_unref(&wanted);
    told->good++;
}

static const chunkstore_events_t EVENTS = { on_durable, on_failed, on_read,
                                            NULL };

static chunkstore_t *
open_at(const char *path, told_t *told)
{
    chunkstore_settings_t settings = { .path = path,
                                       .segment_bytes = 64 * 1024 };
    chunkstore_t *store = NULL;
    char why[300] = "";
    status_t status = chunkstore_open(&settings, NULL, &EVENTS, told, &store,
                                      why, sizeof(why));
    if (status != STATUS_OK)
        printf("# %s\n", why);
    CHECK(status == STATUS_OK);
    return store;
}

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
fill(const char *path)
{
    told_t told = { 0 };
    chunkstore_t *store = open_at(path, &told);
    for (uint64_t block = 0; block < CHUNKS; block++) {
        chunk_header_t header = rig_header((chunk_key_t){ 1, 1, block, 0 },
                                           LENGTH);
        buffer_t *payload = rig_payload(header.key, LENGTH);
        CHECK(chunkstore_append(store, &header, payload, 0) == STATUS_OK);
        buffer_unref(&payload);
    }
    turn_until(store, &told.durable, CHUNKS);
    chunkstore_close(&store);
}

//  How many chunks are read back, right.
static size_t
count_good(chunkstore_t *store, told_t *told)
{
    *told = (told_t){ 0 };
    for (uint64_t block = 0; block < CHUNKS; block++) {
        CHECK(chunkstore_read(store, (chunk_key_t){ 1, 1, block, 0 }, false,
                              block) == STATUS_OK);
        turn_until(store, &told->answered, block + 1);
    }
    return told->good;
}

//  Two starts at most: what only a read finds is remade at the next.
static void
must_have_all(const char *path)
{
    told_t told = { 0 };
    chunkstore_t *store = open_at(path, &told);
    size_t good = count_good(store, &told);
    chunkstore_close(&store);
    if (good == CHUNKS)
        return;
    store = open_at(path, &told);
    CHECK(strstr(chunkstore_story(store), "index=remade"));
    CHECK(count_good(store, &told) == CHUNKS);
    chunkstore_close(&store);
}

static void
damage(const char *file, random_t *random)
{
    struct stat is;
    CHECK(stat(file, &is) == 0);
    if (is.st_size == 0 || random_chance(random, 1, 4)) {
        CHECK(truncate(file, is.st_size / 2) == 0);
        return;
    }
    FILE *open = fopen(file, "r+");
    CHECK(open);
    long at = (long)random_below(random, (uint64_t)is.st_size);
    fseek(open, at, SEEK_SET);
    int byte = fgetc(open);
    fseek(open, at, SEEK_SET);
    fputc(byte ^ (1 << random_below(random, 8)), open);
    fclose(open);
}

//  The path of the `nth` of LevelDB's own files; false: there are not so many.
static bool
nth_file(const char *path, int nth, char *file, size_t size)
{
    char folder[300];
    snprintf(folder, sizeof(folder), "%s/index", path);
    DIR *list = opendir(folder);
    CHECK(list);
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(list));) {
        if (!strpbrk(entry->d_name, "0123456789") &&
            strcmp(entry->d_name, "CURRENT") != 0)
            continue;
        found = nth-- == 0;
        if (found)
            snprintf(file, size, "%s/%s", folder, entry->d_name);
    }
    closedir(list);
    return found;
}

static void
play(bool removed)
{
    random_t random = random_seeded(1);
    const char *path = folder_path(folder_new(), "w1");
    fill(path);
    for (int nth = 0, round = 0; round < 30; nth++, round++) {
        char file[600];
        if (!nth_file(path, nth, file, sizeof(file))) {
            nth = -1;
            continue;
        }
        if (removed)
            CHECK(unlink(file) == 0);
        else
            damage(file, &random);
        must_have_all(path);
    }
}

static void
a_damaged_index_is_made_again(void)
{
    play(false);
}

static void
an_index_that_lacks_files_is_made_again(void)
{
    play(true);
}

int
main(void)
{
    CASE(a_damaged_index_is_made_again,
         "invariant 9, chunkstore 2: a flipped bit or a cut in the index "
         "loses nothing");
    CASE(an_index_that_lacks_files_is_made_again,
         "chunkstore 2: an index that lacks a file is made again");
    return proof_end();
}
