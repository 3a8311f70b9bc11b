/*  store - the chunk store's inside, shared by the files that make it up
 *
 *  chunkstore.c  open, close, turn
 *  intake.c      chunks accepted and not yet durable: queues, repeats, room
 *  writer.c      a segment's making, its header, footer and end
 *  group.c       records staged and written, many at once
 *  commit.c      which segment takes what, syncs, what they made durable
 *  fetch.c       reads
 *  forget.c      drops and trims: entries, holes, dead segments
 *  retire.c      segments below the horizon
 *  query.c       questions to the index
 *  remake.c      the index on LevelDB, set aside when it is damaged
 *  recover.c     what a start does with what it finds
 *  shelf.c       the segments there are, their files and their space
 *
 *  Invariants
 *    1. An operation in flight names its owner by token; memory it uses is not
 *       given back before it was reaped.
 *    2. `events` are called at the end of a turn only, when everything they
 *       tell of is settled: from inside them any call but turn, close and open
 *       is allowed.
 */
#ifndef STORE_H
#define STORE_H

#include <czmq.h>

#include "chunkstore.h"
#include "index.h"
#include "record.h"
#include "segment.h"

#define STORE_DEPTH 64                   //  Operations in flight
#define STORE_READS 32                   //  Of them reads
#define STORE_READS_MOST 256             //  Reads accepted at once
#define STORE_WRITES 4                   //  In flight
#define STORE_GROUPS 8                   //  Staged, being written or next
#define STORE_GROUP_BYTES (1024 * 1024)  //  A group is full from here on
#define STORE_SEGMENT_BYTES (256ull * 1024 * 1024)
#define STORE_SEGMENT_LEAST_BYTES (8ull * 1024 * 1024)
#define STORE_QUEUE_BYTES (64ull * 1024 * 1024)
#define STORE_SEGMENT_MS (60 * 60 * 1000)  //  A segment closes by age
#define STORE_BURIALS 16                   //  Segments that go at once
#define STORE_SPARES 2                     //  Files kept to be used again
#define STORE_HANDLES 128                  //  Segment files open at once

typedef struct writer writer_t;

//  What an operation in flight is: its token is a pointer to this.
typedef struct {
    enum {
        OP_GROUP,
        OP_WRITER,
        OP_READ,
        OP_GRAVE,
        OP_BURIAL,
        OP_PUNCH,
        OP_FOOTER,
    } kind;
} op_t;

typedef struct {
    uint64_t from, to;
} range_t;

//  A segment there is.
typedef struct {
    index_segment_t is;
    int handle;        //  -1: not open
    unsigned users;    //  Operations and writers that use the handle
    uint64_t used_at;  //  For closing the one longest unused
    bool absent;       //  It has no file: what entries say of it is lost
    bool dead;         //  Nothing of it is left; unlinked when unused
    bool stays;        //  Dead, but its file could not be unlinked
    bool kept;         //  Below the horizon, but it could not be dropped
    writer_t *writer;  //  Until it is closed
    range_t *holes;    //  To be given back once it is closed
    size_t holes_count, holes_most;
} segment_t;

//  A chunk (or the word of a drop) accepted and not told durable or failed.
typedef struct pending {
    struct pending *next;  //  In its chain's queue or its group
    record_kind_t kind;
    chunk_header_t header;  //  Of a drop: its key's stream
    buffer_t *payload;      //  Until it is staged
    uint64_t place;
    bool replaces;  //  Its key is indexed already, with a damaged record
} pending_t;

typedef struct {
    pending_t *first, **end;
    size_t count;
} pending_list_t;

//  One direct write: records packed back to back from a page on.
typedef struct record_group {
    op_t op;
    struct record_group *next;  //  In its writer
    writer_t *writer;
    uint8_t *bytes;  //  Staging memory, until it is written
    uint64_t start, end;
    pending_list_t records;
    bool issued, done;
} group_t;

typedef struct {
    group_t *first, **end;
} group_list_t;

//  A hole that is being made.
typedef struct {
    op_t op;
    segment_t *segment;  //  NULL: none
    range_t range;
} punch_t;

//  A dead segment whose file goes.
typedef struct {
    op_t op;
    segment_t *segment;
    bool unnamed;
} grave_t;

//  The records of one retention class.
typedef struct {
    uint8_t retention;
    micros_t horizon_us;  //  Older segments are dropped (R15)
    millis_t span_ms;     //  A segment closes by age
    pending_list_t queue;
    uint64_t queue_bytes;  //  Of records
    writer_t *open;        //  Takes records
    writer_t *next;        //  Being made ready
    //  Where the end of the queue will lie at worst, and the segments that
    //  takes beyond `open` and `next`: what append has promised.
    uint64_t room_size, room_tail;
    size_t room_count;
    bool next_counted;
    unsigned promised;
} chain_t;

//  One segment between its making and its closing.
struct writer {
    op_t op;
    segment_t *segment;
    segment_head_t head;
    chain_t *chain;
    enum {
        WRITER_SPACE,  //  Its file has none yet
        WRITER_HEAD,
        WRITER_HEAD_SYNC,
        WRITER_NAME,    //  Its own name becomes durable
        WRITER_READY,   //  Under its own name, durable
        WRITER_OPEN,    //  Its chain's
        WRITER_FULL,    //  Takes no more records
        WRITER_FOOTER,  //  All records durable
        WRITER_FOOTER_SYNC,
        WRITER_ENDED,
    } state;
    status_t broken;  //  A write or sync failed
    unsigned flying;  //  Operations
    uint64_t tail;    //  Where the next group goes
    uint64_t synced_to;
    uint64_t syncing_to;  //  0: no sync of records in flight
    group_list_t groups;  //  Staged and not yet durable, in order
    segment_entry_t *table;
    size_t count, most;
    micros_t newest_us;  //  When the youngest block in the table was opened
    uint8_t *page;       //  Memory of the header or footer
    size_t page_bytes;
    millis_t opened;
};

//  One read accepted and not answered.
typedef struct fetch {
    op_t op;
    struct fetch *next;  //  In the queue
    chunk_key_t key;
    bool header_only;
    uint64_t token;
    unsigned tries;
    index_place_t found;
    segment_t *segment;
    buffer_t *bytes;
} fetch_t;

//  The segment that is being dropped because it is below the horizon.
typedef struct {
    op_t op;
    segment_t *segment;  //  NULL: none
    bool flying;         //  Its footer is being read
    bool walking;        //  It has none: its entries are looked for
    uint8_t *bytes;      //  Of the footer
    size_t bytes_count;
    segment_entry_t *entries;
    size_t count, next;
    chunk_key_t from;  //  Walking: go on here
} retire_t;

//  An answer that waits for the end of the turn.
typedef struct {
    uint64_t token;
    status_t status;
    chunk_header_t header;
    buffer_t *payload;
} answer_t;

typedef struct {
    chunk_key_t key;
    status_t status;
} failure_t;

struct chunkstore {
    chunkstore_settings_t settings;
    char *path;
    char *folder;       //  Of the segments
    int folder_handle;  //  -1: not open
    const files_t *files;
    files_t *own_files;
    claim_t *claim;
    chunkstore_events_t events;
    void *with;
    index_t *index;
    status_t unusable;  //  Why nothing more can be stored until opened again
    chunkstore_identity_t identity;
    uint64_t ids;  //  Segments made by this boot

    segment_t **segments;  //  By id, ascending
    size_t segments_count, segments_most;
    unsigned handles;
    uint64_t clock;      //  Counts uses of handles
    uint64_t allocated;  //  Bytes of all segment files, less holes
    //  The most that the index took: it grows and shrinks with its compactions,
    //  and what is full is not to be so by turns.
    uint64_t index_peak;
    uint64_t chunks, bytes;

    chain_t *chains[256];
    writer_t **writers;
    size_t writers_count, writers_most;
    uint8_t *staging[STORE_GROUPS];  //  Idle memory for groups, hot on top
    size_t staging_count;
    size_t writing;     //  Groups in flight
    zhashx_t *pending;  //  chunk_key_t -> pending_t
    uint64_t pending_bytes;
    unsigned promised;  //  Of all chains

    fetch_t *reads_first, **reads_end;
    unsigned reads_count, reads_flying;

    zhashx_t *drops;          //  stream -> index_drop_t
    pending_list_t unlogged;  //  Drops whose record is not written yet
    bool sweeping;            //  Some drop is not swept
    bool dying;               //  Some segment is dead and has its file yet
    struct {
        op_t op;
        grave_t graves[STORE_BURIALS];
        size_t count;      //  0: none goes
        unsigned waiting;  //  Of them for their files to be gone
        millis_t at;       //  None is begun before
    } burial;
    punch_t punch;
    size_t holes;         //  That wait to be made
    size_t holes_cursor;  //  The segment looked at last
    //  Files of dead segments, to become new ones: blocks that were written
    //  before take new data faster.
    uint64_t spares[STORE_SPARES];
    size_t spares_count;
    bool aging;  //  Some segment may be below the horizon
    retire_t retire;

    struct {
        uint64_t stream, mark;
    } * marks;  //  Settled marks for the index's next batch
    size_t marks_count, marks_most;

    //  Told at the end of the turn.
    chunk_key_t *durable;
    size_t durable_count, durable_most;
    failure_t *failed;
    size_t failed_count, failed_most;
    answer_t *answers;
    size_t answers_count, answers_most;

    uint64_t rot;
    unsigned replayed;  //  Segments that the open had to read
    bool index_remade;
    bool index_damaged;  //  Found while running: remade at the next open
    char story[160];
    bool ready;  //  A turn has something to do now
    millis_t now;
};

//  STATUS_FULL or STATUS_IO for a -errno.
status_t store_status(int rc);

//  Room for one more element of an array that doubles.
#define STORE_GROW(array, count, most)                                         \
    do {                                                                       \
        if ((count) == (most)) {                                               \
            (most) = (most) ? 2 * (most) : 16;                                 \
            (array) = realloc((array), (most) * sizeof(*(array)));             \
            INVARIANT(array);                                                  \
        }                                                                      \
    } while (0)

//  What the events will be told.
void store_tell_durable(chunkstore_t *self, const chunk_key_t *key);
void store_tell_failed(chunkstore_t *self, const chunk_key_t *key,
                       status_t status);
//  The payload is taken over and nulled.
void store_tell_read(chunkstore_t *self, uint64_t token, status_t status,
                     const chunk_header_t *header, buffer_t **payload_p);

//  A header says that the stream is settled up to `mark`: for the next commit.
void store_settled(chunkstore_t *self, uint64_t stream, uint64_t mark);

//  Commit the index's batch; a failure makes the store unusable (kv 4).
status_t store_commit(chunkstore_t *self, bool sync);

//  The drop of a stream, or NULL.
index_drop_t *store_dropped(const chunkstore_t *self, uint64_t stream);

//  What the index answered; damage is noted for the next open.
status_t store_judge_index(chunkstore_t *self, status_t status);

//  Do one operation and wait for it; only while none is in flight. Bytes done,
//  or -errno.
int64_t store_read_now(chunkstore_t *self, int handle, void *bytes, size_t size,
                       uint64_t offset);
int64_t store_sync_now(chunkstore_t *self, int handle);

//  ---- shelf.c

//  The path of a segment's file under one of its names, freed by the caller.
#define SHELF_NAMED ".seg"
#define SHELF_FRESH ".new"
#define SHELF_SPARE ".old"
char *shelf_path(const chunkstore_t *self, uint64_t id, const char *suffix);

segment_t *shelf_find(const chunkstore_t *self, uint64_t id);
segment_t *shelf_add(chunkstore_t *self, const index_segment_t *is);
//  Take it off; it has no user and no file.
void shelf_remove(chunkstore_t *self, segment_t *segment);
void shelf_destroy(chunkstore_t *self);

//  Have its file open for one more user; or -errno.
int shelf_use(chunkstore_t *self, segment_t *segment);
void shelf_unuse(chunkstore_t *self, segment_t *segment);
//  Close its file, which has no user, if it is open.
void shelf_close(chunkstore_t *self, segment_t *segment);

//  Look again how much the index takes: at an open and with each segment.
void shelf_weigh_index(chunkstore_t *self);
//  Bytes on disk that a segment takes.
uint64_t shelf_bytes(const segment_t *segment);
//  Bytes that new segments can have on this disk: those of spare files too, but
//  not what is being reserved in the background and may look free yet.
uint64_t shelf_free_bytes(const chunkstore_t *self);
//  Whether `count` more segments can be had now.
bool shelf_has_room(const chunkstore_t *self, unsigned count);
//  The whole pages of a range of it hold nothing any more: they are given back
//  when it is closed, in the background. In the index's batch too.
void shelf_add_hole(chunkstore_t *self, segment_t *segment, uint64_t from,
                    uint64_t to);
//  The same, without the index, which has it.
void shelf_know_hole(chunkstore_t *self, segment_t *segment, range_t range);
//  It has no holes to be made any more; in the index's batch too.
void shelf_forget_holes(chunkstore_t *self, segment_t *segment);

//  ---- intake.c

void pending_push(pending_list_t *list, pending_t *pending);
pending_t *pending_pop(pending_list_t *list);
//  It is told durable or failed (drops: neither): forget and free it.
void pending_end(chunkstore_t *self, pending_t **pending_p, status_t status);

chain_t *intake_chain(chunkstore_t *self, uint8_t retention);
//  What the queue of a chain will need was promised for another writer: again.
void intake_recount(chunkstore_t *self, chain_t *chain);
//  Everything queued fails.
void intake_fail(chunkstore_t *self, chain_t *chain, status_t status);
void intake_destroy(chunkstore_t *self);

//  ---- writer.c

//  Begin the chain's next segment. STATUS_FULL, STATUS_IO: there is none.
status_t writer_begin(chunkstore_t *self, chain_t *chain);
//  Its header is durable: give it its own name, not yet durably.
status_t writer_name(chunkstore_t *self, const writer_t *writer);
//  What submitting an operation of it came to; when there are too many it is
//  tried again at a later turn, another failure breaks the writer.
bool writer_submitted(writer_t *writer, int rc);
bool writer_submit_sync(chunkstore_t *self, writer_t *writer);
//  Submit what its header or its footer needs next, when nothing is in flight.
void writer_move_head(chunkstore_t *self, writer_t *writer);
void writer_move_footer(chunkstore_t *self, writer_t *writer);
//  All its records are durable: a footer is next.
void writer_begin_footer(writer_t *writer);
//  No more is written to the segment: the index is told, what the segment does
//  not need is given back. It stays; the writer is to be removed.
void writer_end(chunkstore_t *self, writer_t *writer);
void writer_remove(chunkstore_t *self, writer_t *writer);
//  Unmake a segment that has no record, and its writer.
void writer_discard(chunkstore_t *self, writer_t *writer);

//  ---- group.c

//  Stage one group of what the writer's chain has queued. False: not now.
bool group_stage(chunkstore_t *self, writer_t *writer);
//  Submit what is staged and not yet submitted.
void group_issue(chunkstore_t *self, writer_t *writer);
//  Its write has ended: its staging memory is free again.
void group_written(chunkstore_t *self, group_t *group);
//  It is off its writer's list, its records are off its own.
void group_end(chunkstore_t *self, group_t *group);

//  ---- commit.c

void commit_turn(chunkstore_t *self);
void commit_done(chunkstore_t *self, op_t *op, int64_t result);
//  Begin to close the open segments; true once all are closed and nothing
//  waits to be written.
bool commit_close(chunkstore_t *self);
//  When the next segment is due by age.
millis_t commit_due(const chunkstore_t *self);
void commit_destroy(chunkstore_t *self);

//  ---- fetch.c

void fetch_turn(chunkstore_t *self);
void fetch_done(chunkstore_t *self, fetch_t *fetch, int64_t result);
void fetch_destroy(chunkstore_t *self);

//  ---- forget.c

//  Do a bounded part of what drops left to do.
void forget_turn(chunkstore_t *self);
//  A drop is known (from the index or from a record found in a segment).
index_drop_t *forget_add(chunkstore_t *self, const index_drop_t *drop);
//  One entry less points at the segment; in the index's batch too.
void forget_entry(chunkstore_t *self, segment_t *segment, uint32_t length);
//  The segment may have nothing left.
void forget_if_empty(chunkstore_t *self, segment_t *segment);
//  The file of a dead segment is gone, or not.
void forget_removed(chunkstore_t *self, grave_t *grave, int64_t result);
//  Names of dead segments are durably gone, or not.
void forget_done(chunkstore_t *self, int64_t result);
//  A hole was made, or not.
void forget_punched(chunkstore_t *self, punch_t *punch, int64_t result);
//  When forget_turn has dead segments to take away; MILLIS_NEVER: there are none.
millis_t forget_due(const chunkstore_t *self);
//  Whether nothing of it is in flight.
bool forget_idle(const chunkstore_t *self);
void forget_destroy(chunkstore_t *self);

//  ---- retire.c

//  Do a bounded part of what is left to drop a segment below the horizon.
void retire_turn(chunkstore_t *self);
void retire_done(chunkstore_t *self, int64_t result);
void retire_destroy(chunkstore_t *self);

//  ---- remake.c

//  Have the index that was given, which is nulled, or the one on LevelDB; a
//  damaged one is set aside, so that recover makes it again.
status_t remake_take_index(chunkstore_t *self, kv_t **given_p, char *why_r,
                           size_t why_size);

//  ---- recover.c

//  Take up the segments that the index and the folder know of.
status_t recover(chunkstore_t *self, char *why_r, size_t why_size);

#endif
