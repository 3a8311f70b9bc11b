/*  disk - a worker's chunk store, in memory and under a virtual clock
 *
 *  It keeps the contract of chunkstore.h and can break in its ways: what is
 *  not durable is lost at a crash but for a seeded part, a sync can fail, a
 *  disk can be full, slow or wiped. It tells the ledger what is durable there
 *  and what was lost.
 *
 *  Invariants
 *    1. (chunkstore 1) A chunk is durable when the sync that began after its
 *       append has ended.
 *    2. (chunkstore 4) One key is kept once.
 */
#ifndef DISK_H
#define DISK_H

#include "chunkstore.h"
#include "dice.h"
#include "ledger.h"

typedef struct disk disk_t;

//  Ways to lie, for proofs that the ledger sees them.
typedef enum {
    DISK_HONEST,
    DISK_SAYS_EARLY,  //  Durable is said before the sync
    DISK_TRUSTS,      //  No CRC is checked
} disk_lie_t;

disk_t *disk_new(ledger_t *ledger, dice_t *dice, uint64_t space_bytes,
                 size_t queue_bytes);
void disk_destroy(disk_t **self_p);
void disk_lie(disk_t *self, disk_lie_t lie);

//  The process begins anew on it.
void disk_open(disk_t *self);
//  The process is gone: of what was not durable a seeded part stays.
void disk_crash(disk_t *self);
//  An empty disk under a new id; the old one never comes back.
void disk_wipe(disk_t *self);
//  What its medium holds now, as a copy that the caller owns; and that medium
//  instead of the one that is in it, while no process has it open.
typedef struct medium medium_t;
medium_t *disk_copy(const disk_t *self);
void disk_insert(disk_t *self, medium_t **medium_p);
void medium_destroy(medium_t **self_p);
uint64_t medium_term(const medium_t *self);
//  Walk everything durable that the disk has and the medium has not.
void disk_each_but(const disk_t *self, const medium_t *medium,
                   void (*each)(void *arg, chunk_key_t key), void *arg);
//  One durable record rots: reads of it are STATUS_CORRUPT.
bool disk_rot(disk_t *self);
//  Appends are refused with `status` until it is STATUS_OK.
void disk_refuse(disk_t *self, status_t status);

//  As in chunkstore.h.
status_t disk_append(disk_t *self, const chunk_header_t *header,
                     buffer_t *payload);
status_t disk_read(disk_t *self, chunk_key_t key,
                   const chunk_header_t **header_r, buffer_t **payload_r);
status_t disk_walk(disk_t *self, uint64_t stream, uint64_t epoch,
                   uint64_t block, chunkstore_each_fn *each, void *arg);
status_t disk_walk_back(disk_t *self, uint64_t stream, uint64_t epoch,
                        chunkstore_each_fn *each, void *arg);
status_t disk_walk_all(disk_t *self, chunk_key_t from, chunkstore_each_fn *each,
                       void *arg);
size_t disk_epochs(disk_t *self, uint64_t stream, uint64_t *epochs,
                   size_t most);
status_t disk_locate(disk_t *self, uint64_t stream, uint64_t epoch,
                     bool by_time, uint64_t at, chunkstore_entry_t *entry_r);
size_t disk_dropped(disk_t *self, uint64_t from, uint64_t *streams,
                    size_t most);
uint64_t disk_settled(disk_t *self, uint64_t stream);
status_t disk_drop(disk_t *self, uint64_t stream);
//  Nothing below the horizon outlives the call: no segment holds it longer.
void disk_retain(disk_t *self, uint8_t retention, micros_t horizon_us);
status_t disk_trim(disk_t *self, uint64_t stream, uint64_t epoch,
                   uint64_t first, uint64_t end, size_t *dropped_r,
                   bool *more_r);
chunkstore_identity_t disk_identity(const disk_t *self);
void disk_set_cluster(disk_t *self, uint64_t cluster);
void disk_set_term(disk_t *self, uint64_t term);
chunkstore_space_t disk_space(const disk_t *self);

//  Whether a commit can begin: something waits and none is running; begin it;
//  end it, with keys that are to be told (lent until the next call).
bool disk_waits(const disk_t *self);
void disk_commit_begin(disk_t *self);
size_t disk_commit_end(disk_t *self, status_t status, chunk_key_t **keys_r);
//  Keys to be told at once: appended again, or refused by their CRC.
size_t disk_told(disk_t *self, chunk_key_t **keys_r);
size_t disk_corrupt(disk_t *self, chunk_key_t **keys_r);

//  Walk everything durable.
void disk_each(const disk_t *self, void (*each)(void *arg, chunk_key_t key),
               void *arg);

#endif
