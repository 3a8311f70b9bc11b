/*  rig - a chunk store on a disk that fails, and what it must remember
 *
 *  Every chunk's bytes are a function of its key. The rig keeps what the store
 *  accepted, told durable, failed and dropped, through crashes and cuts, and
 *  checks the store against it.
 */
#ifndef RIG_H
#define RIG_H

#include "chunkstore.h"
#include "fake_files.h"
#include "kv_memory.h"

#define RIG_PATH "/disk"
#define RIG_SEGMENT_BYTES (128 * 1024)

//  A chunk that was offered.
typedef struct {
    chunk_key_t key;
    uint32_t length;
    bool accepted;  //  In this life of the store, and not told yet
    bool durable;   //  Told so, once and for ever
    bool failed;    //  Told so in this life
} rig_chunk_t;

//  How a read ended.
typedef struct {
    uint64_t token;
    status_t status;
    chunk_header_t header;
    buffer_t *payload;
} rig_read_t;

typedef struct {
    fake_files_t *disk;
    kv_t *kv;
    chunkstore_t *store;
    uint64_t space_bytes;
    uint64_t segment_bytes;
    millis_t now;
    char why[256];

    rig_chunk_t *chunks;
    size_t count, most;
    uint64_t dropped[64];  //  Streams whose drop was answered STATUS_OK
    size_t dropped_count;
    uint64_t maybe_dropped[64];  //  Whose drop was answered otherwise
    size_t maybe_dropped_count;
    micros_t horizons[2];  //  Of either class
    uint64_t term;         //  Highest that was answered STATUS_OK
    uint64_t term_most;    //  Highest asked for

    size_t durable_calls, durable_count, failed_count;
    status_t failed_status;  //  The last
    rig_read_t *reads;
    size_t reads_count, reads_most;
} rig_t;

//  A disk and no store yet.
rig_t *rig_new(uint64_t seed);
void rig_destroy(rig_t **self_p);

status_t rig_open(rig_t *self);
void rig_close(rig_t *self);

//  The process or the power is gone and back: the store is closed on a dead
//  disk and not opened again.
void rig_crash(rig_t *self, uint64_t seed);
void rig_cut(rig_t *self, uint64_t seed);
//  The power goes before the `nth` change of the disk from now.
void rig_die_at(rig_t *self, uint64_t nth);

//  What was begun below it may be gone from now on; and when a block is begun.
void rig_retain(rig_t *self, uint8_t retention, micros_t horizon_us);
micros_t rig_block_us(chunk_key_t key);

//  Header and payload of a key; data or parity by its slot (4 + 2).
chunk_header_t rig_header(chunk_key_t key, uint32_t length);
buffer_t *rig_payload(chunk_key_t key, uint32_t length);

//  Offer a chunk; noted when it is accepted. The first with other bytes than
//  the key's own.
status_t rig_offer(rig_t *self, const chunk_header_t *header,
                   buffer_t *payload);
status_t rig_append(rig_t *self, chunk_key_t key, uint32_t length);
status_t rig_drop(rig_t *self, uint64_t stream);
//  Whether a drop was asked for, however it ended.
bool rig_is_dropped(const rig_t *self, uint64_t stream);
status_t rig_set_term(rig_t *self, uint64_t term);

void rig_turns(rig_t *self, int count);
//  Turns until everything accepted was told; false when it never is.
bool rig_settle(rig_t *self);

//  Read and wait. STATUS_OK: the bytes are the key's own.
status_t rig_read(rig_t *self, chunk_key_t key);

//  Everything told durable is there and exact, nothing is there that was not
//  offered, what was dropped is gone, the term is kept. NULL, or what is wrong.
const char *rig_check(rig_t *self);

//  Where a segment file's name stands among the disk's, for damage: the path
//  of the `nth` segment there is; NULL: there are not so many.
const char *rig_segment(rig_t *self, size_t nth);
//  How many names in the segments' folder end so.
size_t rig_names(rig_t *self, const char *suffix);

#endif
