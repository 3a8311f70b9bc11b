/*  kv_memory - the contract of kv.h in memory, with crashes and failures
 *
 *  It outlives the process it plays disk for: a core that has crashed leaves
 *  it to the next one. It keeps what was synced apart from what was not, so
 *  that a power cut can take the latter.
 */
#ifndef KV_MEMORY_H
#define KV_MEMORY_H

#include <stdint.h>

#include "kv.h"

//  An empty table; kv_close frees it.
kv_t *kv_memory_new(void);

//  Another handle on the same table for code that closes its own: closing it
//  leaves the table. The handle must be closed before the table.
kv_t *kv_memory_handle(kv_t *self);

//  The power goes and comes: a suffix of the unsynced batches, chosen by
//  `seed` (none and all included), is lost; the rest is on disk now. A failed
//  write may turn out to be there when all before it is (kv 4). Planned
//  failures are forgotten and writes are taken again.
void kv_memory_cut(kv_t *self, uint64_t seed);

//  The process alone dies: the same, but no unsynced batch is lost or synced.
void kv_memory_crash(kv_t *self, uint64_t seed);

//  The `nth` write, read or walk from now (1: the next) fails with `status`;
//  after a failed write every further write does (kv 4). 0 forgets it.
void kv_memory_fail_after(kv_t *self, uint64_t nth, status_t status);

//  Whether the planned failure has struck, for loops over n = 1, 2, 3 ...
bool kv_memory_failed(const kv_t *self);

#endif
