/*  record - one chunk, or the word that a stream is dropped, on disk
 *
 *  A record is a frame of 32 bytes, a header of CHUNK_HEADER_BYTES and the
 *  payload, filled up with zeros to a multiple of 8. All numbers are
 *  little-endian.
 *
 *  Frame: magic 4 (tells the kind), length 4 (of the payload), nonce 8 (of the
 *  segment: tells records of a recycled file's earlier life), synced_to 8 (the
 *  prefix of the segment known durable when the record was issued, R17),
 *  header_crc 4 (CRC32C of the 512 bytes that follow), crc 4 (CRC32C of the 28
 *  bytes before and of the record's place as 8 bytes).
 *
 *  Invariants
 *    1. A record that passes record_read was written whole at this place of
 *       this life of this segment: the frame vouches for the header, the
 *       header for the payload, and a write that went astray or was torn
 *       passes nowhere.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "status.h"

#define RECORD_FRAME_BYTES 32
#define RECORD_HEAD_BYTES (RECORD_FRAME_BYTES + CHUNK_HEADER_BYTES)
#define RECORD_ALIGNMENT 8  //  Of a record's place and size

typedef enum {
    RECORD_CHUNK = 1,
    RECORD_DROP = 2,  //  Its header holds the stream's id; no payload
} record_kind_t;

//  What a frame says.
typedef struct {
    record_kind_t kind;
    uint32_t length;
    uint64_t nonce;
    uint64_t synced_to;
    uint32_t header_crc;
} record_frame_t;

//  A record as read back.
typedef struct {
    record_frame_t frame;
    chunk_header_t header;   //  Of a chunk
    uint64_t stream;         //  Of either kind
    const uint8_t *payload;  //  In the bytes read; frame.length long
} record_t;

//  Size on disk of a record with `length` bytes of payload.
size_t record_bytes(uint32_t length);

//  Write a frame and header for a chunk (a drop) that will lie at `place`,
//  RECORD_HEAD_BYTES in all.
void record_pack_chunk(const chunk_header_t *header, uint64_t nonce,
                       uint64_t synced_to, uint64_t place, uint8_t *to);
void record_pack_drop(uint64_t stream, uint64_t nonce, uint64_t synced_to,
                      uint64_t place, uint8_t *to);

//  Read RECORD_FRAME_BYTES that should be the frame at `place`. False: they
//  are not a frame of this segment's life, or damaged.
bool record_read_frame(const uint8_t *from, uint64_t nonce, uint64_t place,
                       record_frame_t *frame_r);

//  The nonce that a frame claims to be of.
uint64_t record_frame_nonce(const uint8_t *from);

//  Read a frame and its header, RECORD_HEAD_BYTES. STATUS_CORRUPT: not what
//  was written here. `record_r->payload` is where the payload begins in
//  `from`, unchecked.
status_t record_read_head(const uint8_t *from, uint64_t nonce, uint64_t place,
                          record_t *record_r);

//  Read a whole record of which `size` bytes are at `from`, payload and all.
//  STATUS_CORRUPT: not what was written here, or cut short.
status_t record_read(const uint8_t *from, size_t size, uint64_t nonce,
                     uint64_t place, record_t *record_r);

#endif
