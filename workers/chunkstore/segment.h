/*  segment - how one segment file is laid out
 *
 *  A header page {cluster, store, class, nonce, id, size}, records from
 *  SEGMENT_FIRST on, and, once sealed, a footer that ends with the file: a
 *  table of the records and a trailer. Groups of records start on a page.
 *
 *  Invariants
 *    1. A segment under its own name had its header durable before its first
 *       record, and its directory entry too.
 *    2. Nothing is written between a footer's table and the last record; a
 *       segment that has a footer is never written again in this life.
 */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunkstore.h"
#include "record.h"
#include "status.h"

#define SEGMENT_PAGE 4096
#define SEGMENT_FIRST SEGMENT_PAGE   //  Place of the first record
#define SEGMENT_ENTRY_BYTES 80       //  Of the footer's table
#define SEGMENT_TRAILER_BYTES 64     //  The last bytes of a sealed file
#define SEGMENT_RECORDS (48 * 1024)  //  A segment holds at most
#define SEGMENT_LEAST_BYTES (64 * 1024)

typedef struct {
    uint64_t cluster;
    uint64_t store;
    uint64_t id;
    uint64_t nonce;
    uint64_t size;
    uint8_t retention;
} segment_head_t;

//  One line of the footer's table.
typedef struct {
    record_kind_t kind;
    uint64_t place;
    uint64_t settled;          //  The mark in its header
    chunkstore_entry_t entry;  //  Of a drop: only its stream
} segment_entry_t;

//  `bytes` up to the next page.
static inline uint64_t
segment_page_up(uint64_t bytes)
{
    return (bytes + SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE;
}

//  Write the header page into SEGMENT_PAGE bytes.
void segment_pack_head(const segment_head_t *head, uint8_t *to);

//  Read a header page. STATUS_VERSION: of another version; STATUS_CORRUPT.
status_t segment_unpack_head(const uint8_t *from, segment_head_t *head_r);

//  Whole pages that the footer of `count` records takes.
uint64_t segment_footer_bytes(size_t count);

//  What a footer says of the whole.
typedef struct {
    uint64_t end;        //  Where the last record ends
    micros_t newest_us;  //  When the youngest block was opened
    size_t count;        //  Of records
} segment_trailer_t;

//  Write a footer of `trailer->count` entries into segment_footer_bytes.
void segment_pack_footer(const segment_head_t *head,
                         const segment_trailer_t *trailer,
                         const segment_entry_t *entries, uint8_t *to);

//  Read the trailer in the last SEGMENT_TRAILER_BYTES. STATUS_CORRUPT: the
//  segment has none, or it is damaged.
status_t segment_unpack_trailer(const uint8_t *from, const segment_head_t *head,
                                segment_trailer_t *trailer_r);

//  Read the whole footer of `count` records into as many entries.
//  STATUS_CORRUPT: it is damaged.
status_t segment_unpack_footer(const uint8_t *from, const segment_head_t *head,
                               segment_entry_t *entries_r, size_t count);

//  Whether a record of `bytes` fits at `tail` of a segment of `size` that has
//  `count` records, leaving room for the footer.
bool segment_fits(uint64_t size, uint64_t tail, size_t count, uint64_t bytes);

#endif
