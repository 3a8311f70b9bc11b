/*  content - what a source's bytes are, without keeping them
 *
 *  The byte at an offset is a function of the stream's name, the source's
 *  token and the offset, so that exactness can be checked anywhere.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//  Which bytes: of this source of this stream.
uint64_t content_key(const char *name, uint64_t token);

//  Write `size` bytes from `offset` on.
void content_fill(uint64_t key, uint64_t offset, void *to, size_t size);

//  Whether these are they.
bool content_is(uint64_t key, uint64_t offset, const void *bytes, size_t size);

#endif
