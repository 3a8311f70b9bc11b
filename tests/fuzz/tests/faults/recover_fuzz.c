//  A start over a segment with anything in it: it ends, and serves no wrong
//  byte. The input is a list of changes to a segment that a store wrote.
#include <string.h>

#include "invariant.h"
#include "record.h"
#include "rig.h"
#include "segment.h"

enum { CHUNKS = 6, FORGED = 99 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static chunk_key_t
key_of(uint64_t block)
{
    return (chunk_key_t){ 1, 1, block, 0 };
}

static rig_t *
make_store(void)
{
    rig_t *rig = rig_new(1);
    rig->segment_bytes = SEGMENT_LEAST_BYTES;
    INVARIANT(rig_open(rig) == STATUS_OK);
    for (uint64_t block = 0; block < CHUNKS; block++) {
        INVARIANT(rig_append(rig, key_of(block), 700) == STATUS_OK);
        INVARIANT(rig_settle(rig));
    }
    return rig;
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

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    rig_t *rig = make_store();
    if (bytes[0] & 1)
        rig_close(rig);
    rig_crash(rig, 1);
    if (bytes[0] & 2) {
        kv_close(&rig->kv);
        rig->kv = kv_memory_new();
    }
    uint64_t segment_size;
    uint8_t *segment = fake_files_bytes(rig->disk, rig_segment(rig, 0),
                                        &segment_size);
    INVARIANT(segment_size == SEGMENT_LEAST_BYTES);
    change(segment, bytes + 1, size - 1);
    if (rig_open(rig) == STATUS_OK) {
        for (uint64_t block = 0; block < CHUNKS; block++)
            rig_read(rig, key_of(block));  //  Ends the program if inexact
        rig_append(rig, key_of(CHUNKS), 700);
        INVARIANT(rig_settle(rig));
    }
    rig_destroy(&rig);
    return 0;
}
