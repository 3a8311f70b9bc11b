/*  entry - what is known of a record without reading it, in bytes
 *
 *  The same bytes stand in the index and in a sealed segment's footer. Keys
 *  are big-endian, so that their bytes order as chunk_key_compare does; facts
 *  are little-endian.
 */
#ifndef ENTRY_H
#define ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "chunkstore.h"

#define ENTRY_KEY_BYTES 28
#define ENTRY_FACTS_BYTES 36  //  The last one is the owner's

//  The entry of a chunk with this header.
chunkstore_entry_t entry_of(const chunk_header_t *header);

void entry_pack_key(const chunk_key_t *key, uint8_t *to);
void entry_unpack_key(const uint8_t *from, chunk_key_t *key_r);

//  Everything but the key; the last byte is `own`.
void entry_pack_facts(const chunkstore_entry_t *entry, uint8_t own,
                      uint8_t *to);
void entry_unpack_facts(const uint8_t *from, chunkstore_entry_t *entry_r,
                        uint8_t *own_r);

#endif
