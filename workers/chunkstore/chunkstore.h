/*  chunkstore - how chunks lie on one worker's disk
 *
 *  Invariants (write.md R17, R18)
 *    1. `durable` is told for a chunk only after an fdatasync that began when
 *       the chunk's write and every write before it had completed.
 *    2. What was told durable is read back exact, or reported STATUS_CORRUPT:
 *       never silently missing, never other bytes.
 *    3. After a restart or a failed write or sync nothing is appended to the
 *       segment that was open then.
 *    4. One (stream, epoch, block, slot) is stored once: a second append of
 *       the same key with the same CRC is told durable when the first is.
 *    5. Payload is copied once, into the staging memory of a direct write,
 *       in the pass that checks its CRC.
 *
 *  Records lie packed in segments of one retention class; LevelDB maps keys to
 *  places and is replayed from its mark at a start. Everything is asynchronous
 *  in one thread: calls queue, chunkstore_turn does the work that is possible
 *  now and calls `events`. It decides nothing: what goes wrong is a status.
 */
#ifndef CHUNKSTORE_H
#define CHUNKSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "chunk.h"
#include "files.h"
#include "kv.h"
#include "millis.h"
#include "status.h"

typedef struct chunkstore chunkstore_t;

typedef struct {
    const char *path;        //  The data directory; made when absent
    uint64_t space_bytes;    //  What it may take of the disk in all; 0: any
    uint64_t segment_bytes;  //  Size of a segment; 0: 256 MiB, less when
                             //  space_bytes is small
    size_t group_bytes;      //  A direct write takes no more records from here
                             //  on; 0: 1 MiB
    size_t queue_bytes;      //  Payload accepted and not yet durable; 0: 64 MiB
    kv_t *index;             //  NULL: a table on LevelDB in the directory.
                             //  Given: closed by the store, also when the open
                             //  fails
} chunkstore_settings_t;

//  Told from within chunkstore_turn. Keys, headers and payloads are lent.
typedef struct {
    //  These are durable (invariant 1).
    void (*durable)(void *with, const chunk_key_t *keys, size_t count);
    //  These never will be: STATUS_FULL, STATUS_IO, STATUS_CORRUPT (their
    //  payload was not what their header said).
    void (*failed)(void *with, const chunk_key_t *keys, size_t count,
                   status_t status);
    //  A read has ended. STATUS_OK: header and payload (NULL when only the
    //  header was asked); STATUS_MISS: not held; STATUS_GONE: it was removed;
    //  STATUS_CORRUPT; STATUS_IO.
    void (*read)(void *with, uint64_t token, status_t status,
                 const chunk_header_t *header, buffer_t *payload);
    //  A segment below its horizon is empty, and so many bytes are given back.
    //  NULL: nobody wants to know.
    void (*retired)(void *with, uint64_t bytes);
} chunkstore_events_t;

//  What the store is and has.
typedef struct {
    uint64_t store;    //  Random id, made with the directory
    uint64_t cluster;  //  0: of no cluster yet
    uint64_t boot;     //  Grows with every open
    uint64_t term;     //  Highest term granted
} chunkstore_identity_t;
typedef struct {
    uint64_t chunks;
    uint64_t bytes;  //  Payload
    uint64_t free_bytes;
    uint64_t space_bytes;
    bool full;
    uint64_t rot;  //  Records found corrupt since the open
} chunkstore_space_t;

//  One record as the index knows it.
typedef struct {
    chunk_key_t key;
    uint64_t index;  //  Data: of the chunk. Parity: of its block's first
    uint64_t offset;
    uint32_t length;
    micros_t created_us;
    uint32_t payload_crc;
    uint16_t flags;
    uint8_t k;  //  Data slots of its block
} chunkstore_entry_t;

//  False ends the walk.
typedef bool chunkstore_each_fn(void *arg, const chunkstore_entry_t *entry);

//  Open or make the store, find what a crash left. An index on LevelDB that is
//  damaged is set aside and made again from the segments. `files` is lent until
//  close; NULL: the real ones. Errors: STATUS_TAKEN (another process has the
//  directory; `why_r` names its pid), STATUS_VERSION, STATUS_CORRUPT,
//  STATUS_IO, STATUS_FULL, each with a sentence in `why_r`.
status_t chunkstore_open(const chunkstore_settings_t *settings,
                         const files_t *files,
                         const chunkstore_events_t *events, void *with,
                         chunkstore_t **store_r, char *why_r, size_t why_size);

//  Make everything accepted durable (telling `events`), close and null.
void chunkstore_close(chunkstore_t **self_p);

//  A descriptor that is readable when chunkstore_turn has something to do.
int chunkstore_fd(const chunkstore_t *self);

//  Reap what completed, start what can be started, call `events`.
void chunkstore_turn(chunkstore_t *self, millis_t now);

//  When the next turn is due though the descriptor stays silent.
millis_t chunkstore_due(const chunkstore_t *self);

//  Queue one chunk; a reference to the payload is taken. Its header's CRC is
//  checked while copying (`failed` with STATUS_CORRUPT). STATUS_BUSY: the
//  queue is full, or may need all room there is: try again after a turn;
//  STATUS_FULL: no next segment, and nothing waits; STATUS_CORRUPT: the key is
//  held with another payload_crc; STATUS_GONE: the stream was dropped;
//  STATUS_ARGUMENT, STATUS_NAME, STATUS_TOO_LARGE: not a chunk, or longer than a
//  segment; STATUS_IO: the index failed, nothing can be stored until the store
//  is opened again.
status_t chunkstore_append(chunkstore_t *self, const chunk_header_t *header,
                           buffer_t *payload, millis_t now);

//  Queue a read, answered by `read` with `token`. STATUS_BUSY: too many.
status_t chunkstore_read(chunkstore_t *self, chunk_key_t key, bool header_only,
                         uint64_t token);

//  Walk the index over one epoch of a stream from (block, slot 0) upwards.
status_t chunkstore_walk(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                         uint64_t block, chunkstore_each_fn *each, void *arg);

//  The same downwards from the last record of the epoch.
status_t chunkstore_walk_back(chunkstore_t *self, uint64_t stream,
                              uint64_t epoch, chunkstore_each_fn *each,
                              void *arg);

//  The same upwards over all streams and epochs, from a key on.
status_t chunkstore_walk_all(chunkstore_t *self, chunk_key_t from,
                             chunkstore_each_fn *each, void *arg);

//  The epochs of a stream that are held, ascending, up to `most`; returns how
//  many there are.
size_t chunkstore_epochs(chunkstore_t *self, uint64_t stream, uint64_t *epochs,
                         size_t most);

//  The last data record of an epoch with offset (or created_us) at or before
//  `at`. STATUS_MISS: none.
status_t chunkstore_locate(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                           bool by_time, uint64_t at,
                           chunkstore_entry_t *entry_r);

//  The streams that were dropped and are still remembered as that: ids from
//  `from` on, ascending, up to `most`; returns how many there are.
size_t chunkstore_dropped(const chunkstore_t *self, uint64_t from,
                          uint64_t *streams, size_t most);

//  Highest settled mark (an index) seen in the headers of a stream; 0 of none.
uint64_t chunkstore_settled(chunkstore_t *self, uint64_t stream);

//  Forget a stream: durable when STATUS_OK is returned; space is given back
//  in the background. Nothing held of it is STATUS_OK too.
status_t chunkstore_drop(chunkstore_t *self, uint64_t stream);

//  Blocks of the class that were opened below the horizon need not be kept: a
//  segment of which no block is younger is dropped in the background, whole,
//  and nothing else is. A horizon never goes back; one that does is ignored.
//  Not remembered over a restart. Segments of the class close after `span_ms`
//  (0: an hour), so that they do not hold much more than their oldest record.
void chunkstore_retain(chunkstore_t *self, uint8_t retention,
                       micros_t horizon_us, millis_t span_ms);

//  Keep of an epoch only the blocks from `first` to below `end`: forget a
//  bounded number of the other records, `*dropped_r` of them, durably when
//  STATUS_OK is returned, and give their space back; `*more_r`: there are more.
//  STATUS_BUSY: some of them are not durable yet, nothing was done. An index
//  that is made anew from the segments knows them again.
status_t chunkstore_trim(chunkstore_t *self, uint64_t stream, uint64_t epoch,
                         uint64_t first, uint64_t end, size_t *dropped_r,
                         bool *more_r);

//  Identity; set_… are durable when they return STATUS_OK.
chunkstore_identity_t chunkstore_identity(const chunkstore_t *self);
status_t chunkstore_set_cluster(chunkstore_t *self, uint64_t cluster);
status_t chunkstore_set_term(chunkstore_t *self, uint64_t term);

chunkstore_space_t chunkstore_space(const chunkstore_t *self);

//  How it reads and writes and what the open found, as one event for the log
//  (log_told): io (io_uring or plain), direct (yes or no), segments, chunks, replayed
//  (segments that a crash had left open), index (kept, or remade from the
//  segments because it was damaged), rot. Lives as long as the store.
const char *chunkstore_story(const chunkstore_t *self);

#endif
