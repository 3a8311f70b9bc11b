/*  claim - one process to a directory, and a sentence that says which
 *
 *  Invariants
 *    1. At most one process holds the claim on a directory; it ends with the
 *       process, however that ends (flock on a file in the directory).
 *    2. Whoever is refused is told the holder's process id and program.
 */
#ifndef CLAIM_H
#define CLAIM_H

#include <stddef.h>

#include "status.h"

#define CLAIM_FILE "OWNER"  //  In the directory claimed; never removed

typedef struct claim claim_t;

//  Make `directory` and its parents when absent, durably, and claim it.
//  STATUS_TAKEN: another holds it (another claim of this process counts);
//  STATUS_FULL, STATUS_IO: it cannot be made or used. On an error a whole
//  sentence is in `why_r` (of `why_size` bytes).
status_t claim_take(const char *directory, claim_t **claim_r, char *why_r,
                    size_t why_size);

//  Let go and null; null is fine.
void claim_release(claim_t **claim_p);

//  The directory's descriptor, open until the claim is released; for fsync.
int claim_directory(const claim_t *self);

#endif
