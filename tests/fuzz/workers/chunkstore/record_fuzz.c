//  What is read from a disk may be anything: heads, trailers, footers, frames
//  and records are accepted within bounds, or not at all.
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "record.h"
#include "segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
read_segment(const uint8_t *bytes, size_t size)
{
    segment_head_t head;
    if (size < SEGMENT_PAGE || segment_unpack_head(bytes, &head) != STATUS_OK)
        head = (segment_head_t){ .id = 1, .nonce = 2, .size = size };
    segment_trailer_t trailer;
    if (size < SEGMENT_TRAILER_BYTES ||
        segment_unpack_trailer(bytes + size - SEGMENT_TRAILER_BYTES, &head,
                               &trailer) != STATUS_OK)
        return;
    size_t count = trailer.count;
    INVARIANT(count <= SEGMENT_RECORDS);
    uint64_t footer = segment_footer_bytes(count);
    INVARIANT(trailer.end + footer <= head.size);
    segment_entry_t *entries = calloc(count + 1, sizeof(*entries));
    INVARIANT(entries);
    if (footer <= size)
        segment_unpack_footer(bytes + size - footer, &head, entries, count);
    free(entries);
}

static void
read_record(const uint8_t *bytes, size_t size)
{
    if (size < RECORD_HEAD_BYTES)
        return;
    record_t record;
    uint64_t nonce = record_frame_nonce(bytes);
    if (record_read(bytes, size, nonce, SEGMENT_FIRST, &record) != STATUS_OK)
        return;
    INVARIANT(record.payload + record.frame.length <= bytes + size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_segment(bytes, size);
    read_record(bytes, size);
    return 0;
}
