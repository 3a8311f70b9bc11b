/*  spool - a file written in large blocks, past the page cache, by threads
 *
 *  Invariants
 *    1. What was written is in the file, in order, once spool_end says so.
 *    2. At most SPOOL_BLOCKS blocks wait to be written: a slow disk slows
 *       whoever writes.
 *
 *  Direct I/O where the file system has it: buffered writing costs several
 *  times the CPU. The bytes are copied once, into aligned memory.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include <stddef.h>
#include <stdint.h>

#define SPOOL_BLOCKS 8

typedef struct spool spool_t;

//  Write the empty file `path` from its beginning, which exists; `size` bytes
//  are expected and had from the file system. NULL: it cannot be, errno says
//  why. The caller owns it.
spool_t *spool_new(const char *path, uint64_t size);

//  Stop, whatever is still to be written; null is fine.
void spool_destroy(spool_t **self_p);

//  The next bytes. 0, or the errno of a write that failed, now or before.
int spool_write(spool_t *self, const void *bytes, size_t size);

//  All was given: write the rest and cut the file to its length. 0, or errno.
int spool_end(spool_t *self);

#endif
