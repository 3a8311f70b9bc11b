/*  home - the forwarder's data directory: what is in it, and whether to use it
 *
 *  Invariants
 *    1. (R16) A directory that ever had a catalogue is never taken for a new
 *       one: that it is gone, cut or an older copy is said, as far as the
 *       directory can tell.
 *
 *  Beside the catalogue lies `identity`: a line that names the version, the
 *  cluster and the last term. It is written after the catalogue was, so that
 *  the catalogue is never behind it.
 */
#ifndef HOME_H
#define HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kv.h"

#define HOME_VERSION 1

//  Open the catalogue of the directory `data`, which is claimed and there.
//  With `rebuild` the one that is there is set aside (renamed, never deleted)
//  and an empty one opened. STATUS_VERSION: the directory is of another
//  version; STATUS_CORRUPT: the catalogue is gone, damaged or an older copy;
//  STATUS_TAKEN, STATUS_FULL, STATUS_IO; each with a sentence in `why_r` that
//  says what to do.
status_t home_open(const char *data, bool rebuild, kv_t **kv_r, char *why_r,
                   size_t why_size);

//  Append what to do about a catalogue that cannot be used.
void home_advise(status_t status, char *why, size_t why_size);

//  Write what the catalogue is, durably.
status_t home_record(const char *data, uint64_t cluster, uint64_t term,
                     char *why_r, size_t why_size);

#endif
