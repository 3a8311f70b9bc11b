/*  kv - an ordered table of keys and values that survives
 *
 *  A small table of functions, so that the catalogue and the chunk store's
 *  index do not know LevelDB, and tests and the simulator put a table of their
 *  own behind the same contract (tests/kit/kv_memory). kv_open gives the one
 *  on LevelDB: the only user of LevelDB in rill. Checksums are verified on
 *  every read. Reads and walks may come from any thread, writes from one.
 *
 *  Invariants
 *    1. A batch is seen whole or not at all, also after a crash.
 *    2. After write(sync = true) returned STATUS_OK the batch survives a power
 *       cut; without sync it survives the process. What a power cut takes is
 *       always the newest batches: none is lost of which a later one is kept.
 *    3. Keys are walked in the order of their bytes (memcmp).
 *    4. A failed write is in doubt: no reader sees it, but it may be there,
 *       whole, when the table is opened again. Until then every further write
 *       fails as it did, so that nothing is built on it.
 */
#ifndef KV_H
#define KV_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

//  A run of bytes, lent.
typedef struct {
    const void *bytes;
    size_t size;
} kv_bytes_t;

//  One change of a batch; `value.bytes` NULL deletes the key.
typedef struct {
    kv_bytes_t key;
    kv_bytes_t value;
} kv_change_t;

//  Called for each pair of a walk; false ends it. Key and value are lent for
//  the call.
typedef bool kv_each_fn(void *arg, kv_bytes_t key, kv_bytes_t value);

typedef struct kv kv_t;
struct kv {
    //  Apply all changes at once, in their order. STATUS_IO, STATUS_FULL,
    //  STATUS_CORRUPT: nothing was applied that a reader could see, and
    //  nothing more will be (invariant 4).
    status_t (*write)(kv_t *self, const kv_change_t *changes, size_t count,
                      bool sync);
    //  Copy the value of `key` into memory the caller frees with free(); never
    //  NULL, also for a value of 0 bytes.
    //  STATUS_ABSENT: no such key; STATUS_CORRUPT; STATUS_IO.
    status_t (*read)(kv_t *self, kv_bytes_t key, void **value_r,
                     size_t *size_r);
    //  Walk the pairs with from <= key < to upwards (to.bytes NULL: to the
    //  end), as they are when the walk begins: `each` may read and write.
    //  STATUS_CORRUPT and STATUS_IO end it early.
    status_t (*walk)(kv_t *self, kv_bytes_t from, kv_bytes_t to,
                     kv_each_fn *each, void *arg);
    //  The same from the last key below `to` downwards to `from`.
    status_t (*walk_back)(kv_t *self, kv_bytes_t from, kv_bytes_t to,
                          kv_each_fn *each, void *arg);
    //  About how many bytes it takes on disk.
    size_t (*bytes)(kv_t *self);
    //  The system's or LevelDB's words about the last failure, "" when there
    //  was none; copied into `why_r`.
    void (*why)(kv_t *self, char *why_r, size_t why_size);
    //  Close and free; use kv_close.
    void (*close)(kv_t *self);
};

//  Open or create a table on LevelDB in the directory `path`, which is made
//  with its parents when absent. STATUS_TAKEN: another has it, and `why_r` (of
//  `why_size` bytes) names its process; STATUS_CORRUPT, STATUS_FULL,
//  STATUS_IO: `why_r` has the system's or LevelDB's words. Opening again after
//  a crash replays what was written.
status_t kv_open(const char *path, kv_t **kv_r, char *why_r, size_t why_size);

//  Close and null; null is fine.
void kv_close(kv_t **kv_p);

#endif
