/*  output - where a stream's bytes go: a file that appears whole, or a pipe
 *
 *  Invariants
 *    1. Under the final name there is the whole of it or what was there
 *       before: bytes go to a temporary file beside it, renamed at the end.
 *    2. What is not kept leaves nothing behind.
 *
 *  A pipe, a device and standard output get the bytes as they come.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct output output_t;

//  Open for `path`, "-" for standard output; `size` bytes are expected. NULL:
//  it cannot be; `why_r` (of `why_size` bytes) says why in words that follow
//  its name. The caller owns it.
output_t *output_open(const char *path, uint64_t size, char *why_r,
                      size_t why_size);

//  Give it up; what was written to a temporary file is removed. Null is fine.
void output_discard(output_t **self_p);

//  Write the next bytes. False: it failed.
bool output_write(output_t *self, const void *bytes, size_t size);

//  All is written: give it its name and close it. False: it failed, and was
//  given up.
bool output_keep(output_t **self_p, char *why_r, size_t why_size);

//  Why it failed, in words that follow its name; NULL: it did not. Lent.
const char *output_failed(const output_t *self);

//  Whether it failed because nobody reads the pipe any more.
bool output_broken_pipe(const output_t *self);

#endif
