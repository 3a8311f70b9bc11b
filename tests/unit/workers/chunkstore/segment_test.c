#include "segment.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "proof.h"

static const segment_head_t HEAD = { .cluster = 1,
                                     .store = 2,
                                     .id = 3,
                                     .nonce = 4,
                                     .size = 1 << 20,
                                     .retention = 5 };

static void
a_head_is_read_as_it_was_packed(void)
{
    uint8_t page[SEGMENT_PAGE];
    segment_head_t head = { 0 };
    segment_pack_head(&HEAD, page);
    CHECK(segment_unpack_head(page, &head) == STATUS_OK);
    CHECK(head.cluster == 1 && head.store == 2 && head.id == 3);
    CHECK(head.nonce == 4 && head.size == 1 << 20 && head.retention == 5);
    for (size_t bit = 0; bit < 56 * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(segment_unpack_head(page, &head) != STATUS_OK);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

enum { COUNT = 200 };

static bool
same(const segment_entry_t *a, const segment_entry_t *b)
{
    const chunkstore_entry_t *x = &a->entry, *y = &b->entry;
    return chunk_key_compare(&x->key, &y->key) == 0 && x->index == y->index &&
           x->offset == y->offset && x->length == y->length &&
           x->created_us == y->created_us && x->payload_crc == y->payload_crc &&
           x->flags == y->flags && x->k == y->k && a->place == b->place &&
           a->settled == b->settled && a->kind == b->kind;
}

static void
a_footer_is_read_as_it_was_packed(void)
{
    static segment_entry_t entries[COUNT], back[COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        entries[i] = (segment_entry_t){
            .kind = RECORD_CHUNK,
            .place = 4096 + i * 1000,
            .settled = i,
            .entry = { .key = { 1, 2, i, 3 },
                       .index = i * 4,
                       .offset = i * 100,
                       .length = 99,
                       .created_us = -5,
                       .payload_crc = i * 77777,
                       .flags = CHUNK_END,
                       .k = 4 },
        };
    size_t size = segment_footer_bytes(COUNT);
    uint8_t *bytes = malloc(size);
    INVARIANT(bytes);
    segment_trailer_t told,
        trailer = { .end = 300000, .newest_us = -7, .count = COUNT };
    segment_pack_footer(&HEAD, &trailer, entries, bytes);
    uint8_t *last = bytes + size - SEGMENT_TRAILER_BYTES;
    CHECK(segment_unpack_trailer(last, &HEAD, &told) == STATUS_OK);
    CHECK(told.end == 300000 && told.count == COUNT && told.newest_us == -7);
    for (size_t bit = 0; bit < 56 * 8; bit++) {
        last[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(segment_unpack_footer(bytes, &HEAD, back, COUNT) ==
              STATUS_CORRUPT);
        last[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(segment_unpack_footer(bytes, &HEAD, back, COUNT) == STATUS_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK(same(&entries[i], &back[i]));
    //  Of another life, or damaged.
    segment_head_t other = HEAD;
    other.nonce++;
    CHECK(segment_unpack_footer(bytes, &other, back, COUNT) == STATUS_CORRUPT);
    bytes[100 * SEGMENT_ENTRY_BYTES] ^= 1;
    CHECK(segment_unpack_footer(bytes, &HEAD, back, COUNT) == STATUS_CORRUPT);
    free(bytes);
}

static void
what_fits_leaves_room_for_the_footer(void)
{
    uint64_t size = 64 * 1024, tail = SEGMENT_FIRST;
    size_t count = 0;
    while (segment_fits(size, tail, count, 5000)) {
        tail = segment_page_up(tail + 5000);
        count++;
    }
    CHECK(count == 7);  //  Of two pages; one for the header, one the footer
    CHECK(tail + segment_footer_bytes(count) <= size);
    CHECK(!segment_fits(1ull << 40, SEGMENT_FIRST, SEGMENT_RECORDS, 1));
}

int
main(void)
{
    CASE(a_head_is_read_as_it_was_packed,
         "segment 1: a head is read as it was packed, or not at all");
    CASE(a_footer_is_read_as_it_was_packed,
         "segment 2: a footer is read as it was packed, of its life only");
    CASE(what_fits_leaves_room_for_the_footer,
         "what fits leaves room for the footer");
    return proof_end();
}
