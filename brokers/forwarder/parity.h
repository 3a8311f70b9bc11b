/*  parity - Reed-Solomon over the chunks of a block, one chunk at a time
 *
 *  Invariants
 *    1. From any k of the k + m members every other is computed exactly.
 *    2. No joining copy: each chunk is added with its own length; what is
 *       missing up to the longest counts as zeros.
 *
 *  A member's content is its fixed header (CHUNK_HEADER_BYTES) followed by its
 *  payload, so a lost chunk's length and CRC come out of decoding. The parity
 *  payload is as long as the longest content. Cauchy matrix over GF(2^8),
 *  polynomial 0x11d (gf_gen_cauchy1_matrix), computed with ISA-L
 *  (ec_encode_data_update).
 */
#ifndef PARITY_H
#define PARITY_H

#include "buffer.h"
#include "chunk.h"

typedef struct parity parity_t;

//  Parity of one block of `code`; contents up to `most` bytes long.
parity_t *parity_new(code_t code, size_t most);
void parity_destroy(parity_t **self_p);

//  Add data slot `slot` (each once): its packed header and its payload.
void parity_add(parity_t *self, unsigned slot,
                const uint8_t header[CHUNK_HEADER_BYTES],
                const buffer_t *payload);

//  All k are in: the payload of parity slot k + `nth`, as long as the longest
//  content. The caller owns the reference.
buffer_t *parity_take(parity_t *self, unsigned nth);

//  Get back the data slots in `wanted` (bits) from k or more `contents`
//  (index: slot; NULL: not there): data slots as header + payload joined or
//  given as two parts, parity slots as their payload.
typedef struct {
    const uint8_t *header;  //  Data: CHUNK_HEADER_BYTES; parity: NULL
    const uint8_t *bytes;   //  NULL: not there
    size_t size;
} parity_part_t;

//  For each bit of `wanted`, `content_r[slot]` becomes a buffer of `size`
//  bytes (the longest content; header, payload, zeros) which the caller owns.
//  STATUS_OK; STATUS_MISS: fewer than k parts; STATUS_ARGUMENT: a part longer
//  than the parity, or sizes that cannot be of one block.
status_t parity_decode(code_t code, const parity_part_t *parts, uint32_t wanted,
                       buffer_t **content_r);

#endif
