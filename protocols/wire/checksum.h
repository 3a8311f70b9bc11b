/*  checksum - CRC32C, the one checksum of rill
 *
 *  Castagnoli's polynomial, reflected, as in RFC 3720 (iSCSI), computed with
 *  ISA-L. checksum_crc32c("123456789") is 0xe3069283.
 */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

//  CRC32C of `size` bytes.
uint32_t checksum_crc32c(const void *bytes, size_t size);

//  The same, going on from `crc` of the bytes before (0 of none).
uint32_t checksum_crc32c_more(uint32_t crc, const void *bytes, size_t size);

//  Copy `size` bytes and return their CRC32C: one pass over cold memory.
uint32_t checksum_copy_crc32c(void *to, const void *from, size_t size);

#endif
