/*  chunk - the one unit everywhere: its key, its header, its fixed form
 *
 *  Invariants
 *    1. One header has one fixed form, and the fixed form gives back the
 *       header: pack and unpack are inverse, byte for byte.
 *    2. An unpacked header kept every bound of bounds.h and its own CRC.
 *
 *  The fixed form (CHUNK_HEADER_BYTES, little-endian) is packed by the
 *  forwarder when a chunk is dealt and is carried verbatim on disk and under
 *  parity; on the bus the same facts travel as rill.v1.ChunkHeader. Layout:
 *  WIRE.md, "The fixed header".
 */
#ifndef CHUNK_H
#define CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"
#include "millis.h"
#include "status.h"

#define CHUNK_HEADER_BYTES 512

//  What a stored chunk is called in the origin (R4).
typedef struct {
    uint64_t stream;
    uint64_t epoch;
    uint64_t block;
    uint32_t slot;
} chunk_key_t;

typedef enum { KIND_RECORDED = 1, KIND_LIVE = 2 } kind_t;

//  k data and m parity chunks; 0 + 0 leaves the choice to rill.
typedef struct {
    uint8_t k;
    uint8_t m;
} code_t;

//  A point where a player can start.
typedef struct {
    uint64_t offset;
    int64_t media_us;
    uint8_t kind;
} mark_t;

enum {
    CHUNK_END = 1,         //  The last data slot of the stream
    CHUNK_NEW_WRITER = 2,  //  First chunk of another source
    CHUNK_EMPTY = 4,       //  Fills a block; no bytes
};

//  A chunk's header, unpacked.
typedef struct {
    chunk_key_t key;
    code_t code;
    uint64_t base_index;   //  Of the extent's first data chunk
    uint64_t base_offset;  //  Of the extent's first byte
    uint64_t offset;       //  Data: of the first byte. Parity: of the block
    uint32_t length;       //  Of the payload
    micros_t created_us;
    micros_t block_us;
    uint64_t writer;
    uint16_t flags;
    uint64_t settled;    //  Mark: every chunk of a lower index was settled
    uint64_t watermark;  //  Every byte below this offset was stored
    uint16_t width;      //  Stores in the ensemble
    uint16_t position;   //  Of this slot's store in it
    uint32_t start;      //  The extent's first turn
    uint8_t kind;        //  kind_t
    uint8_t retention;
    code_t asked;
    char name[LIMIT_NAME_BYTES + 1];
    uint8_t marks_count;
    mark_t marks[LIMIT_MARKS];
    uint32_t payload_crc;
} chunk_header_t;

//  Orders keys by stream, epoch, block, slot: less than, equal to or greater
//  than 0 as memcmp does.
int chunk_key_compare(const chunk_key_t *a, const chunk_key_t *b);

//  A hash of a key for tables. Neighbours of any kind (two streams of ids that
//  follow each other, too) have different ones: zhashx grows without end when
//  many keys have one hash.
size_t chunk_key_hash(const chunk_key_t *key);

//  Whether `slot` of the header is a parity slot.
bool chunk_is_parity(const chunk_header_t *header);

//  Index of a data chunk within its stream (R3).
uint64_t chunk_index(const chunk_header_t *header);

//  Whether a header keeps its bounds. STATUS_NAME: its name is not legal;
//  STATUS_ARGUMENT: another field cannot be (no data slot, a slot outside the
//  block, a block wider than its ensemble, a length over its limit, bytes
//  before the extent's first, an EMPTY chunk with bytes, too many marks).
status_t chunk_header_check(const chunk_header_t *header);

//  Write the fixed form into `to` of CHUNK_HEADER_BYTES, its CRC included.
//  Returns that CRC. The header must keep its bounds (chunk_header_check):
//  our own always do, a peer's is checked first.
uint32_t chunk_header_pack(const chunk_header_t *header, uint8_t *to);

//  Read a fixed form. STATUS_MALFORMED: not a header; STATUS_VERSION: of
//  another version; STATUS_CORRUPT: its CRC is wrong; STATUS_ARGUMENT or
//  STATUS_NAME as chunk_header_check says, and STATUS_ARGUMENT when a byte that
//  must be zero is not. `header_r` is written only on STATUS_OK.
status_t chunk_header_unpack(const uint8_t *from, chunk_header_t *header_r);

//  Whether a stream may be called that.
bool chunk_name_legal(const char *name);

#endif
