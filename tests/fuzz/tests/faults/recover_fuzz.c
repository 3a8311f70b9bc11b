//  A start over a segment with anything in it: it ends, and serves no wrong
//  byte. The input is a list of changes to a segment that a store wrote.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "record.h"
#include "rig.h"
#include "segment.h"

enum { CHUNKS = 6, FORGED = 99 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
const char *__asan_default_options(void);

//  A store takes megabytes and gives them back: most of the time went into the
//  shadow of memory that nothing had touched.
const char *
__asan_default_options(void)
{
    return "clear_shadow_mmap_threshold=100000000:quarantine_size_mb=4";
}

static chunk_key_t
key_of(uint64_t block)
{
    return (chunk_key_t){ 1, 1, block, 0 };
}

//  What a store left on its disk, to be damaged again and again.
typedef struct {
    struct {
        char path[128];
        uint8_t *bytes;
        uint64_t size;
    } files[8];
    size_t count;
    kv_t *kv;
} left_t;

static rig_t *rig;
static left_t left_closed, left_killed;

static void
keep_file(void *arg, const char *name)
{
    left_t *left = arg;
    char path[128];
    snprintf(path, sizeof path, RIG_PATH "/%s", name);
    uint64_t size;
    const uint8_t *bytes = fake_files_bytes(rig->disk, path, &size);
    if (!bytes)
        return;  //  A directory; those in it were told with their path
    INVARIANT(left->count < sizeof left->files / sizeof *left->files);
    memcpy(left->files[left->count].path, path, sizeof path);
    uint8_t *copy = malloc(size + 1);
    INVARIANT(copy);
    left->files[left->count].bytes = memcpy(copy, bytes, size);
    left->files[left->count++].size = size;
}

//  The power goes in good order or not.
static void
make_store(left_t *left, bool closed)
{
    rig = rig_new(1);
    rig->segment_bytes = SEGMENT_LEAST_BYTES;
    INVARIANT(rig_open(rig) == STATUS_OK);
    for (uint64_t block = 0; block < CHUNKS; block++) {
        INVARIANT(rig_append(rig, key_of(block), 700) == STATUS_OK);
        INVARIANT(rig_settle(rig));
    }
    if (closed)
        rig_close(rig);
    rig_crash(rig, 1);
    const files_t *files = fake_files_table(rig->disk);
    files->list(files, RIG_PATH, keep_file, left);
    left->kv = rig->kv;
    rig->kv = NULL;
    fake_files_destroy(&rig->disk);
}

static bool
copy_pair(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    kv_t *to = arg;
    kv_change_t change = { key, value };
    INVARIANT(to->write(to, &change, 1, true) == STATUS_OK);
    return true;
}

//  The rig's disk and index as the store left them.
static void
lay(const left_t *left, bool with_index)
{
    rig->disk = fake_files_new(1, 64 * 1024 * 1024);
    const files_t *files = fake_files_table(rig->disk);
    files->make_directory(files, RIG_PATH);
    files->make_directory(files, RIG_PATH "/segments");
    for (size_t i = 0; i < left->count; i++)
        INVARIANT(files->write_small(files, left->files[i].path,
                                     left->files[i].bytes,
                                     left->files[i].size) == 0);
    rig->kv = kv_memory_new();
    kv_bytes_t from = { "", 0 }, to = { NULL, 0 };
    if (with_index)
        left->kv->walk(left->kv, from, to, copy_pair, rig->kv);
}

static void
clear(void)
{
    rig_close(rig);
    kv_close(&rig->kv);
    fake_files_destroy(&rig->disk);
}

//  A record that is right in itself, of a chunk that was never stored.
static void
forge(uint8_t *segment, uint64_t place, uint8_t length, uint8_t synced)
{
    segment_head_t head;
    if (segment_unpack_head(segment, &head) != STATUS_OK)
        return;
    place -= place % RECORD_ALIGNMENT;
    if (place < SEGMENT_FIRST ||
        place + RECORD_HEAD_BYTES > SEGMENT_LEAST_BYTES)
        return;
    chunk_header_t header = rig_header((chunk_key_t){ FORGED, 1, 0, 0 }, 0);
    header.length = (uint32_t)length << (length % 16);
    if (chunk_header_check(&header) != STATUS_OK)
        return;
    record_pack_chunk(&header, head.nonce, (uint64_t)synced << 10, place,
                      segment + place);
}

//  Each change is five bytes: a place, what to do there, and with what.
static void
change(uint8_t *segment, const uint8_t *bytes, size_t size)
{
    for (; size >= 5; bytes += 5, size -= 5) {
        uint64_t place = (bytes[0] | (uint64_t)bytes[1] << 8) %
                         SEGMENT_LEAST_BYTES;
        if (bytes[2] % 4 == 0)
            forge(segment, place, bytes[3], bytes[4]);
        else if (bytes[2] % 4 == 1)
            memset(segment + place - place % SEGMENT_PAGE, bytes[3],
                   SEGMENT_PAGE);
        else
            segment[place] ^= bytes[3];
    }
}

//  The first byte says how the store ended, whether its index is there, and
//  whether something is stored after the start.
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (!rig) {
        make_store(&left_closed, true);
        rig_destroy(&rig);
        make_store(&left_killed, false);
    }
    lay(bytes[0] & 1 ? &left_closed : &left_killed, !(bytes[0] & 2));
    uint64_t segment_size;
    uint8_t *segment = fake_files_bytes(rig->disk, rig_segment(rig, 0),
                                        &segment_size);
    INVARIANT(segment_size == SEGMENT_LEAST_BYTES);
    change(segment, bytes + 1, size - 1);
    if (rig_open(rig) == STATUS_OK) {
        for (uint64_t block = 0; block < CHUNKS; block++)
            rig_read(rig, key_of(block));  //  Ends the program if inexact
        if (bytes[0] & 4) {
            rig_append(rig, key_of(CHUNKS), 700);
            INVARIANT(rig_settle(rig));
        }
    }
    clear();
    return 0;
}
