#include "segment.h"

#include <string.h>

#include "checksum.h"
#include "entry.h"
#include "little.h"

static const uint32_t MAGIC_HEAD = 0x47455352;    //  "RSEG"
static const uint32_t MAGIC_FOOTER = 0x544f4f46;  //  "FOOT"
static const uint32_t VERSION = 2;

void
segment_pack_head(const segment_head_t *head, uint8_t *to)
{
    memset(to, 0, SEGMENT_PAGE);
    little_put(to, MAGIC_HEAD, 4);
    little_put(to + 4, VERSION, 4);
    little_put(to + 8, head->cluster, 8);
    little_put(to + 16, head->store, 8);
    little_put(to + 24, head->id, 8);
    little_put(to + 32, head->nonce, 8);
    little_put(to + 40, head->size, 8);
    little_put(to + 48, head->retention, 4);
    little_put(to + 52, checksum_crc32c(to, 52), 4);
}

status_t
segment_unpack_head(const uint8_t *from, segment_head_t *head_r)
{
    if (little_get(from, 4) != MAGIC_HEAD ||
        little_get(from + 52, 4) != checksum_crc32c(from, 52))
        return STATUS_CORRUPT;
    if (little_get(from + 4, 4) != VERSION)
        return STATUS_VERSION;
    head_r->cluster = little_get(from + 8, 8);
    head_r->store = little_get(from + 16, 8);
    head_r->id = little_get(from + 24, 8);
    head_r->nonce = little_get(from + 32, 8);
    head_r->size = little_get(from + 40, 8);
    head_r->retention = (uint8_t)little_get(from + 48, 4);
    return STATUS_OK;
}

uint64_t
segment_footer_bytes(size_t count)
{
    return segment_page_up(count * SEGMENT_ENTRY_BYTES + SEGMENT_TRAILER_BYTES);
}

static void
pack_entry(const segment_entry_t *entry, uint8_t *to)
{
    entry_pack_key(&entry->entry.key, to);
    entry_pack_facts(&entry->entry, (uint8_t)entry->kind, to + 28);
    little_put(to + 64, entry->place, 8);
    little_put(to + 72, entry->settled, 8);
}

static void
unpack_entry(const uint8_t *from, segment_entry_t *entry_r)
{
    uint8_t kind;
    entry_unpack_key(from, &entry_r->entry.key);
    entry_unpack_facts(from + 28, &entry_r->entry, &kind);
    entry_r->kind = (record_kind_t)kind;
    entry_r->place = little_get(from + 64, 8);
    entry_r->settled = little_get(from + 72, 8);
}

void
segment_pack_footer(const segment_head_t *head,
                    const segment_trailer_t *trailer,
                    const segment_entry_t *entries, uint8_t *to)
{
    size_t count = trailer->count, size = segment_footer_bytes(count);
    memset(to, 0, size);
    for (size_t i = 0; i < count; i++)
        pack_entry(&entries[i], to + i * SEGMENT_ENTRY_BYTES);
    uint8_t *last = to + size - SEGMENT_TRAILER_BYTES;
    little_put(last, MAGIC_FOOTER, 4);
    little_put(last + 4, VERSION, 4);
    little_put(last + 8, head->id, 8);
    little_put(last + 16, head->nonce, 8);
    little_put(last + 24, trailer->end, 8);
    little_put(last + 32, count, 8);
    little_put(last + 40, (uint64_t)trailer->newest_us, 8);
    little_put(last + 48, checksum_crc32c(to, count * SEGMENT_ENTRY_BYTES), 4);
    little_put(last + 52, checksum_crc32c(last, 52), 4);
}

status_t
segment_unpack_trailer(const uint8_t *from, const segment_head_t *head,
                       segment_trailer_t *trailer_r)
{
    uint64_t count = little_get(from + 32, 8);
    uint64_t end = little_get(from + 24, 8);
    if (little_get(from, 4) != MAGIC_FOOTER ||
        little_get(from + 52, 4) != checksum_crc32c(from, 52) ||
        little_get(from + 4, 4) != VERSION ||
        little_get(from + 8, 8) != head->id ||
        little_get(from + 16, 8) != head->nonce || count > SEGMENT_RECORDS ||
        segment_footer_bytes(count) > head->size || end < SEGMENT_FIRST ||
        end > head->size - segment_footer_bytes(count))
        return STATUS_CORRUPT;
    *trailer_r = (segment_trailer_t){
        .end = end,
        .newest_us = (micros_t)little_get(from + 40, 8),
        .count = count,
    };
    return STATUS_OK;
}

status_t
segment_unpack_footer(const uint8_t *from, const segment_head_t *head,
                      segment_entry_t *entries_r, size_t count)
{
    const uint8_t *trailer = from + segment_footer_bytes(count) -
                             SEGMENT_TRAILER_BYTES;
    segment_trailer_t told;
    if (segment_unpack_trailer(trailer, head, &told) != STATUS_OK ||
        told.count != count ||
        little_get(trailer + 48, 4) !=
            checksum_crc32c(from, count * SEGMENT_ENTRY_BYTES))
        return STATUS_CORRUPT;
    for (size_t i = 0; i < count; i++)
        unpack_entry(from + i * SEGMENT_ENTRY_BYTES, &entries_r[i]);
    return STATUS_OK;
}

bool
segment_fits(uint64_t size, uint64_t tail, size_t count, uint64_t bytes)
{
    return count < SEGMENT_RECORDS &&
           segment_page_up(tail + bytes) + segment_footer_bytes(count + 1) <=
               size;
}
