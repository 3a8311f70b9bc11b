/*  input - a file read ahead, in large pieces, past the page cache
 *
 *  Invariants
 *    1. Pieces come in order and together are the file from where it began.
 *    2. At most INPUT_AHEAD blocks are read and not yet taken.
 *    3. A file that becomes shorter or cannot be read is an error, never
 *       fewer bytes.
 *
 *  Two threads keep reads in flight; blocks of whole chunks are cut into
 *  pieces without copying. Direct I/O is used where the file system has it and
 *  the pieces' size allows it: buffered reading costs several times the CPU.
 */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

#define INPUT_AHEAD 8

typedef struct input input_t;

//  Open a file. NULL: it cannot be; `why_r` (of `why_size` bytes) says why in
//  words that follow its name. The caller owns it.
input_t *input_open(const char *path, char *why_r, size_t why_size);
void input_close(input_t **self_p);

uint64_t input_size(const input_t *self);

//  Names the file as it is now: a hash of its absolute path, size and time of
//  change, never 0.
uint64_t input_token(const input_t *self);

//  Begin to read, once, at `from`. A piece ends where the distance from `base`
//  (at most `from`) is a multiple of `piece_bytes`, the last one with the file.
void input_begin(input_t *self, uint64_t base, uint64_t from,
                 uint32_t piece_bytes);

//  The next piece, owned by the caller; NULL when none is read yet, all were
//  taken, or it failed.
buffer_t *input_next(input_t *self);

//  Readable when input_next may have something. -1 before input_begin.
int input_fd(const input_t *self);

//  Why it failed, as a sentence that begins with the file's name; NULL: it did
//  not. Lent until it is closed.
const char *input_failed(const input_t *self);

//  Whether the file's size or time of change is another than when it was
//  opened.
bool input_changed(const input_t *self);

//  CRC32C of `length` bytes at `offset`, read now. False: they cannot be read.
bool input_crc(const input_t *self, uint64_t offset, uint32_t length,
               uint32_t *crc_r);

#endif
