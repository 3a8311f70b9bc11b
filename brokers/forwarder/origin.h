/*  origin - what the parts of forwarder_core share; nobody else includes it
 *
 *  ingest.c   sources: open, pieces, credit, leases (R11, R19)
 *  deal.c     blocks: extents, pushes, receipts, acknowledgement, departure
 *             (R2 to R6, R9, R10)
 *  outbox.c   chunks that wait for room in a socket (R5)
 *  members.c  workers: hello, inventory, lease (R7)
 *  stock.c    what stores hold, against what they should (R12, R13)
 *  recovery.c what a new term finds of an unsealed stream (R8)
 *  fetch.c    chunks from workers, whole or decoded (R14)
 *  seek.c     which chunk covers an offset
 *  moment.c   which was the last chunk at a time
 *  locate.c   what workers' indexes say of either
 *  serve.c    readers: describe, list, ask, remove
 *  health.c   how the origin is: status, counters
 *  horizon.c  what is older than its retention (R15)
 *  doubt.c    whether the catalogue is an older copy (R16)
 *  rebuilding.c the catalogue again, from what workers hold (R16)
 *  layout.c   where the chunks of a stream lie (S4)
 *  events.c   what happens, to who listens
 *
 *  A chunk is born in ingest, lives in a block of its stream's ring until the
 *  block is settled, and is from then on known only by computation.
 */
#ifndef ORIGIN_H
#define ORIGIN_H

#include <czmq.h>

#include "catalogue.h"
#include "chunker.h"
#include "counters.h"
#include "forwarder_core.h"
#include "garbage.h"
#include "membership.h"
#include "parity.h"
#include "placement.h"
#include "relay.h"
#include "retention.h"

//  A chunk in memory: cut once, then immutable but for its place.
typedef struct {
    uint64_t index;
    uint64_t offset;
    uint64_t writer;
    buffer_t *payload;
    uint32_t crc;
    micros_t created_us;
    uint16_t flags;
    uint8_t marks_count;
    mark_t *marks;  //  Owned; NULL of none
} piece_t;

typedef enum { SLOT_EMPTY, SLOT_READY, SLOT_PUSHED, SLOT_RECEIPTED } slot_t;

//  A block being made or not yet settled. Slots 0 to k-1 hold pieces, the
//  others parity. Owned by its stream's ring.
typedef struct block {
    struct stream *stream;
    extent_t *extent;  //  Lent by the stream
    uint64_t number;   //  Within the extent
    unsigned dealt;    //  Data slots filled so far
    millis_t opened;
    micros_t block_us;
    piece_t *pieces[LIMIT_SLOTS];
    buffer_t *parities[LIMIT_SLOTS];  //  By nth parity slot
    slot_t slots[LIMIT_SLOTS];
    uint64_t tickets[LIMIT_SLOTS];
    struct parcel *parcels[LIMIT_SLOTS];  //  In the outbox; NULL: not there
    size_t parity_bytes;    //  Of all of it; while the block is open, at most
    uint64_t settled_mark;  //  What its headers say, the same in all, whoever
    uint64_t watermark;     //  the stream's source is later
    code_t asked;
    uint8_t retention;
} block_t;

typedef enum {
    STREAM_RECOVERING,  //  Unsealed, found at the start; nobody is answered
    STREAM_OPEN,
    STREAM_SEALED,
} stream_state_t;

//  What one store said it holds of a recovering stream.
typedef struct {
    uint64_t store;
    uint64_t epoch;
    uint64_t first;
    size_t count;
    uint8_t slots[];  //  255: none
} held_t;

//  A chunk's place, as its header told.
typedef struct {
    uint64_t epoch;
    uint64_t index;
    uint64_t offset;
    uint32_t length;
} trail_t;
enum { TRAIL = 8 };

typedef struct stream {
    struct forwarder_core *core;
    stream_record_t record;
    stream_state_t state;
    bool recorded;     //  The catalogue has it
    extent_t **chain;  //  As in the catalogue
    size_t chain_count;
    uint64_t loaded;     //  Newest epoch that the term began with
    extent_t **pending;  //  Made and not yet in the catalogue
    size_t pending_count;

    //  Dealing (unsealed only)
    chunker_t *chunker;
    extent_t *extent;         //  Dealt into now; NULL: the next block makes one
    uint64_t extent_version;  //  Of the queue that it was made for
    uint64_t extent_blocks;   //  Begun in it
    block_t **ring;           //  Unsettled blocks, oldest first
    size_t ring_first, ring_count, ring_size;
    size_t ring_stored;   //  Of them, acknowledged
    size_t ring_safe;     //  Those that receipts allow to be
    zlistx_t *waiting;    //  piece_t with no worker to go to (R6), or no room
                          //  for the parity of their block (R19)
    size_t longest;       //  Of the chunks that are to be dealt
    piece_t *final;       //  Last of a known size, kept back for Finish
    uint64_t next_index;  //  Of the next chunk to be dealt
    uint64_t dealt_end;   //  Offset behind the last chunk dealt
    micros_t last_us;     //  created never goes back
    micros_t block_us;    //  When its newest block was opened; 0 not known
    uint64_t stored;      //  The watermark
    uint64_t settled;     //  Offset
    uint64_t settled_index;
    bool ending;    //  No byte follows
    bool ended;     //  The END block is dealt
    status_t held;  //  HELD or FULL while nothing can be dealt

    //  Source
    bool attached;    //  Its source's lease runs
    millis_t opened;  //  When that came
    bool brought;     //  It has brought bytes since
    peer_t source;
    uint64_t session;
    millis_t lease;
    uint64_t credit;    //  Offset
    uint64_t promised;  //  The highest told; above `credit`: taken back
    uint64_t window;    //  Bytes it may be ahead of what is settled
    uint64_t owed;      //  Of the budget: granted, or held when it is gone
    bool starved;       //  The budget had not even the least for it
    bool told;          //  False: a Progress is owed, it is in `untold`
    uint64_t said_stored, said_settled;  //  To the sink
    uint64_t asked;  //  Request of the last question it answers
    bool recovered;  //  In this term: bytes behind the watermark may be known
    uint64_t recovered_to;  //  to caches, up to C (R11)
    code_t code;            //  In force for the source, and whether it is less
    bool narrower;

    //  Recovery
    zlistx_t *held_list;        //  held_t
    uint64_t recover_mark;      //  Highest settled mark heard
    struct recovery *recovery;  //  While blocks are being read back
    unsigned tries;             //  Readings back that failed
    bool lossy;                 //  Somebody said that it goes on with losses
    uint64_t jumped_to;  //  The index that it went on at then, and how far
    uint64_t jump;       //  that is from the last one; 0: it did not
    bool redealing;      //  They were, and are being dealt again

    //  Chunks read lately: where the next one lies is known from them.
    trail_t trail[TRAIL];
    unsigned trail_next;
} stream_t;

//  A removed stream, and the stores that still have to forget it.
typedef struct {
    uint64_t stream;
    size_t count;
    uint64_t stores[];
} removed_t;

struct forwarder_core {
    forwarder_settings_t settings;
    char *name;
    char *receipts_at;
    char *publish_at;
    forwarder_effects_t effects;
    void *with;
    catalogue_t *catalogue;
    membership_t *members;
    zhashx_t *by_id;        //  stream_t, owned
    zhashx_t *by_name;      //  stream_t, lent
    zhashx_t *by_session;   //  stream_t with a source, lent
    zlistx_t *open;         //  stream_t that are not sealed, lent
    zlistx_t *untold;       //  stream_t whose source is owed a Progress, lent
    zhashx_t *removed;      //  removed_t, owned; for ever
    zlistx_t *forgetting;   //  removed_t that some store has to forget, lent
    struct outbox *outbox;  //  Slots that a full socket did not take
    relay_t *relay;
    struct fetches *fetches;
    struct seeks *seeks;
    struct locates *locates;
    struct moments *moments;
    struct layouts *layouts;
    struct stocks *stocks;
    zlistx_t *doubts;  //  doubt.c's questions
    char **names;      //  Workers of the cluster file
    size_t names_count;
    struct rebuilding *rebuilding;  //  While the catalogue is made again
    uint32_t epochs;                //  Made in this term
    size_t memory;                  //  Bytes of chunks and parity held
    size_t parity;           //  Of blocks, what open ones will have with it
    bool crowded;            //  Something waits for room for its parity, or
                             //  for workers that come
    millis_t enough_at;      //  Since then two are in the queue
    uint64_t owed;           //  Of all streams
    uint64_t owed_told;      //  When sources were last told
    bool starving;           //  Some source has less than it needs to get on
    uint64_t request;        //  Last request id given to a worker
    uint64_t dealt_version;  //  Queue version that `waiting` was tried at
    millis_t now;            //  Of the event being handled, for callbacks
    millis_t began;
    millis_t streams_due;  //  Not later than the earliest lease, chunk, block
    millis_t retry_at;     //  When the outbox is tried again
    millis_t recover_at;   //  When undecided streams are looked at again
    size_t recovering;     //  Streams in that state
    size_t held_bytes;     //  What inventories of them take
    size_t reading_bytes;  //  About what is read back of them
    retention_t retention;
    micros_t told_us;   //  The horizon recorded, which workers are told
    millis_t aged_at;   //  When the horizon was looked at last
    micros_t close_us;  //  Extents begun by then end, as space is wanted
    bool draining;
    status_t fault;
    char fault_text[256];
    char unready[96];  //  Why it is not, as it was said last
    counters_t counters;
    uint64_t dropped;   //  Messages, for whatever reason
    counters_t census;  //  What was counted in all streams at census_at
    millis_t census_at;
};

typedef struct forwarder_core core_t;

//  forwarder_core.c
void core_note(core_t *self, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void core_fail(core_t *self, status_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
//  The message at hand ends here, at a socket; `reason` counts why.
void core_drop(core_t *self, counter_t reason, const char *where);
void core_refuse(core_t *self, const peer_t *peer, const message_t *question,
                 status_t status, const char *text, uint64_t offset);
stream_t *core_stream(core_t *self, uint64_t id);
stream_t *core_named(core_t *self, const char *name);
//  What protects all of a stream: the code of its extents that survives the
//  fewest losses, the last of equals; before there is one, what is in force.
code_t core_protection(const stream_t *stream);
//  What people call a store: its worker's name where that is known.
#define CORE_LABEL_BYTES (LIMIT_NAME_BYTES + 16)
char *core_label(const core_t *self, uint64_t store,
                 char text_r[CORE_LABEL_BYTES]);
//  Whether a store is named by an extent of the stream; a worker by the
//  cluster file.
bool core_bears(const stream_t *stream, uint64_t store);
bool core_in_file(const core_t *self, const char *name);
stream_t *core_add_stream(core_t *self, const stream_record_t *record);
void core_drop_stream(core_t *self, stream_t *stream);
//  Have the catalogue know the stream, before anything of it is pushed. What is
//  not STATUS_OK is also the core's failure.
status_t core_record_stream(core_t *self, stream_t *stream);
millis_t core_patience(const core_t *self, millis_t span);
//  Some stream has a deadline at `due`.
void core_soon(core_t *self, millis_t due);

//  deal.c
void deal_piece(stream_t *stream, piece_t *piece, bool last, millis_t now);
void deal_fill(stream_t *stream, millis_t now);
void deal_waiting(core_t *self, millis_t now);
void deal_receipt(core_t *self, const Rill__V1__Receipt *receipt, millis_t now);
void deal_departure(core_t *self, uint64_t store, bool gone, millis_t now);
//  Push one slot to its worker. False: its socket is full.
bool deal_push(block_t *block, unsigned slot, millis_t now);
void deal_sweep(core_t *self, millis_t now);
millis_t deal_due(core_t *self);
void deal_final(stream_t *stream, millis_t now);
void deal_end(stream_t *stream, millis_t now);
//  The ring's blocks from a place on, in new extents, because a store left them
//  (0: for another reason).
void deal_again(stream_t *stream, size_t from, uint64_t store, millis_t now);
block_t *deal_find(stream_t *stream, uint64_t offset, unsigned *slot_r);
//  The last chunk in memory that was created at or before a time, or NULL.
const piece_t *deal_at(stream_t *stream, micros_t time_us);
block_t *deal_ring(stream_t *stream, size_t nth);
void deal_header(const block_t *block, unsigned slot, chunk_header_t *header_r);
void deal_seal(stream_t *stream, millis_t now);
void deal_stop(stream_t *stream);
piece_t *piece_new(uint64_t offset, buffer_t *payload, micros_t created_us);
void piece_free(piece_t **piece_p);

//  outbox.c: slots that full sockets did not take
//  Push the slot, or have it wait for its turn.
void outbox_put(block_t *block, unsigned slot, millis_t now);
//  None of the block's waits any more.
void outbox_forget(block_t *block);
//  Push what sockets take now. A worker that cannot be reached leaves.
void outbox_send(core_t *self, millis_t now);
bool outbox_is_empty(const struct outbox *self);
struct outbox *outbox_new(void);
void outbox_destroy(struct outbox **self_p);

//  ingest.c
void ingest_message(core_t *self, const peer_t *peer, const message_t *message,
                    buffer_t *payload, millis_t now);
void ingest_owe(stream_t *stream);
void ingest_tell(core_t *self);
//  Count anew what a stream takes of the budget.
void ingest_reckon(stream_t *stream);
void ingest_progress(stream_t *stream);
//  The source is gone. So is its stream, if nothing of it was ever dealt.
void ingest_detach(stream_t *stream, millis_t now);
void ingest_start(stream_t *stream, uint64_t next);
void ingest_sweep(core_t *self, millis_t now);
millis_t ingest_due(core_t *self);
bool ingest_drain(core_t *self, millis_t now);

//  members.c
void members_message(core_t *self, const peer_t *peer, const message_t *message,
                     millis_t now);
void members_leave(core_t *self, worker_t *worker, bool blamed, const char *why,
                   millis_t now);
void members_sweep(core_t *self, millis_t now);
void members_dropped(core_t *self, uint64_t session, uint64_t stream);
void members_tell_drops(core_t *self, worker_t *worker);
void members_add_removed(core_t *self, uint64_t stream, const uint64_t *stores,
                         size_t count);
//  Tell a worker (NULL: nobody) to drop a stream that was removed. False: it
//  was not.
bool members_tell_drop(core_t *self, const worker_t *worker, uint64_t stream);

//  stock.c: what stores say they hold, against what placement says (R12, R13)
//  The worker is in the queue, or waits for it: it is asked what it holds.
void stock_joined(core_t *self, const worker_t *worker, millis_t now);
void stock_counted(core_t *self, uint64_t session, const message_t *message,
                   millis_t now);
//  What was pushed in an extent is dealt again in another.
void stock_dealt_again(stream_t *stream, const extent_t *extent, millis_t now);
void stock_swept(core_t *self, uint64_t session, const message_t *message,
                 millis_t now);
void stock_dropped(core_t *self, uint64_t session, uint64_t stream,
                   millis_t now);
//  How many of the first `blocks` blocks of a committed extent lack the slot
//  that `store` has by placement, as far as is known: what it has not said yet
//  it lacks.
uint64_t stock_missing(const core_t *self, uint64_t stream,
                       const extent_t *extent, uint64_t blocks, uint64_t store);
void stock_sweep(core_t *self, millis_t now);
millis_t stock_due(core_t *self);
struct stocks *stocks_new(void);
void stocks_destroy(struct stocks **self_p);

//  recovery.c
//  False: the inventories take too much memory (house 18).
bool recovery_held(stream_t *stream, uint64_t store,
                   const Rill__V1__Held *held);
//  `store` begins to tell anew.
void recovery_unheld(core_t *self, uint64_t store);
void recovery_try(core_t *self, millis_t now);
void recovery_forget(stream_t *stream);

//  What a recovering stream would lose if it went on now.
typedef struct {
    uint64_t blocks;  //  Of those known, that cannot be had
    uint64_t bytes;   //  In them, at most
    bool open_end;    //  What was stored behind them cannot be known
    size_t away;      //  Stores that it waits for
    uint64_t store[LIMIT_WORKERS];
} recovery_loss_t;
recovery_loss_t recovery_loss(stream_t *stream, millis_t now);
//  Go on without what cannot be had. False: workers may still come, it is too
//  early to say what that is.
bool recovery_accept(stream_t *stream, millis_t now);
//  Why nobody is answered about it, and what to do. Returns `text_r`.
#define RECOVERY_TEXT_BYTES 512
char *recovery_text(stream_t *stream, char text_r[RECOVERY_TEXT_BYTES],
                    millis_t now);

//  fetch.c: one data chunk of a block, from its worker or decoded; or a parity
//  chunk, from its worker. Answers
//  once, maybe before fetch_chunk returns. STATUS_MISS: fewer than k parts are
//  to be had now; STATUS_CORRUPT: too many parts are wrong; STATUS_STOPPING:
//  the core is being destroyed and only `arg` is given back. The extent is
//  copied; `trace` is of the request that led to it, 0: of none.
typedef void fetch_fn(void *arg, status_t status, const chunk_header_t *header,
                      buffer_t *payload, bool decoded, millis_t now);
void fetch_chunk(core_t *self, uint64_t stream, const extent_t *extent,
                 uint64_t block, unsigned slot, uint64_t trace,
                 fetch_fn *answer, void *arg, millis_t now);
//  While it answers: the worker whose chunk ended the fetch, and how long it
//  took, if the sink wants to know. NULL: it was at hand.
const char *fetch_source(const core_t *self, double *ms_r);
//  False: no answer to what this worker was asked.
bool fetch_message(core_t *self, uint64_t session, const message_t *message,
                   buffer_t *payload, millis_t now);
void fetch_worker_gone(core_t *self, uint64_t store, millis_t now);
void fetch_sweep(core_t *self, millis_t now);
millis_t fetch_due(core_t *self);
struct fetches *fetches_new(void);
void fetches_destroy(struct fetches **self_p);

//  seek.c: the chunk that covers an offset of a stream, wherever it lies; the
//  relay's fetch.
void seek_fetch(core_t *self, uint64_t stream, uint64_t offset, millis_t now);
void seek_progress(stream_t *stream, millis_t now);
//  For the sink: a worker that was asked then is late with what is wanted for
//  `arg`, if that is a seek.
void seek_late(core_t *self, const void *arg, const char *worker,
               micros_t since);
void seek_stream_gone(core_t *self, uint64_t stream);
struct seeks *seeks_new(void);
void seeks_destroy(struct seeks **self_p);
//  The extent that an offset belongs to, or NULL: before the first or in a
//  hole; then *nearest_r is the next offset that has a byte.
const extent_t *seek_extent(const stream_t *stream, uint64_t offset,
                            uint64_t *nearest_r);
//  The extent of an epoch, or NULL; and the index behind an extent's last chunk
//  that can be read.
const extent_t *seek_extent_of(const stream_t *stream, uint64_t epoch);
uint64_t seek_extent_end(const stream_t *stream, const extent_t *extent);

//  locate.c: the last chunk of an extent that begins at or before an offset, or
//  was created at or before a time, as its workers' indexes tell. Answers once,
//  maybe before locate_ask returns; never when the core is destroyed.
typedef struct {
    bool lost;        //  The extent is no more
    bool found;       //  Somebody has such a chunk;
    uint64_t index;   //  this is the last of them,
    uint64_t offset;  //  where it begins
    micros_t created_us;
    bool sure;           //  The whole ensemble said so
    const char *waited;  //  For the sink: who was waited for longest, lent for
    micros_t since;      //  ever, and since when; NULL: nobody
} located_t;
typedef void locate_fn(void *arg, const located_t *located, millis_t now);
void locate_ask(const stream_t *stream, const extent_t *extent, bool by_time,
                uint64_t at, uint64_t trace, locate_fn *answer, void *arg,
                millis_t now);
void locate_message(core_t *self, uint64_t session, const message_t *message,
                    millis_t now);
void locate_worker_gone(core_t *self, const worker_t *worker, uint64_t session,
                        millis_t now);
void locate_sweep(core_t *self, millis_t now);
millis_t locate_due(const core_t *self);
struct locates *locates_new(void);
void locates_destroy(struct locates **self_p);

//  moment.c: the last chunk of a stream that was created at or before a time;
//  the relay's locate.
void moment_locate(core_t *self, uint64_t stream, micros_t time_us,
                   uint64_t request, millis_t now);
struct moments *moments_new(void);
void moments_destroy(struct moments **self_p);

//  health.c: the status
void health_answer(core_t *self, const peer_t *peer, const message_t *message,
                   millis_t now);
//  Settled blocks of a stream that lack a slot; with `store` not 0, those that
//  lack that store's.
uint64_t health_lacks(const core_t *self, const stream_t *stream,
                      uint64_t store);

//  serve.c: describe, list, remove; layout.c: where chunks lie.
void serve_message(core_t *self, const peer_t *peer, const message_t *message,
                   millis_t now);
void serve_ask(core_t *self, const peer_t *peer, const message_t *message,
               millis_t now);
void layout_ask(core_t *self, const peer_t *peer, const message_t *message,
                millis_t now);
void layout_scanned(core_t *self, uint64_t session, const message_t *message,
                    millis_t now);
void layout_worker_gone(core_t *self, uint64_t session, millis_t now);
void layout_sweep(core_t *self, millis_t now);
millis_t layout_due(core_t *self);
//  What stores a recovering stream waits for are called, `most` at most.
size_t serve_waited(core_t *self, const recovery_loss_t *loss,
                    char labels_r[][CORE_LABEL_BYTES], char **list_r,
                    size_t most);
//  The oldest offset that can be read.
uint64_t serve_first(const stream_t *stream);
//  The end of what was dealt, which is in memory or stored.
uint64_t serve_head(const stream_t *stream);
//  When its newest chunk was made, of a sealed stream its last block; 0: not
//  known.
micros_t serve_newest(const stream_t *stream);
//  A chunk was dealt: who watches gets it, before it is stored.
void serve_live(const block_t *block, unsigned slot, millis_t now);
//  Forget the stream and have every store forget it. A failure is the core's.
status_t serve_remove(core_t *self, stream_t *stream);
struct layouts *layouts_new(void);
void layouts_destroy(struct layouts **self_p);

//  horizon.c: the class that limits are for; others are kept for ever.
#define RETENTION_LIMITED 0
status_t horizon_start(core_t *self, millis_t now);
//  Whether the stream's next block is to begin a new extent, so that chains can
//  be cut between them.
bool horizon_ends_extent(const stream_t *stream, millis_t now);
void horizon_sweep(core_t *self, millis_t now);
millis_t horizon_due(const core_t *self);

//  events.c: each is told to the sink if it wants it, and changes nothing that
//  anybody else looks at
void events_dealt(const block_t *block, unsigned slot,
                  const chunk_header_t *header, const worker_t *worker);
//  Because a store left, or (0) for another reason.
void events_redealt(const block_t *block, uint64_t store);
//  The source is told; of what it knows already nothing is said.
void events_acknowledged(stream_t *stream);
void events_opened(const stream_t *stream, uint64_t offset, uint64_t trace);
void events_ended(const stream_t *stream);
//  It came into the queue, is about to leave it (else nothing is told), is full.
void events_registered(const core_t *self, const worker_t *worker);
void events_lost(const core_t *self, const worker_t *worker, const char *why);
void events_full(const core_t *self, const worker_t *worker);
void events_forgotten(const core_t *self, uint64_t streams, uint64_t bytes);

//  doubt.c
//  A store holds something of an epoch: does the catalogue know what it should?
void doubt_held(core_t *self, const worker_t *worker,
                const Rill__V1__Holding *held, millis_t now);
//  Whether that is still asked of something of the stream.
bool doubt_about(const core_t *self, uint64_t stream);
//  It holds records of streams of which nothing is known.
void doubt_unknown(core_t *self, const worker_t *worker, uint64_t epochs);
//  It was told to drop a stream.
void doubt_dropped(core_t *self, const worker_t *worker, uint64_t stream);
//  The catalogue is an older copy, or a newer forwarder runs: this one is over.
void doubt_sure(core_t *self, status_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
//  The second: a worker that served here was granted a higher term since.
void doubt_replaced(core_t *self, const char *worker, uint64_t term);
//  False: it is no answer to a question of ours.
bool doubt_answered(core_t *self, uint64_t session, const message_t *message,
                    millis_t now);
void doubt_sweep(core_t *self, millis_t now);
millis_t doubt_due(core_t *self);
zlistx_t *doubts_new(void);

//  rebuilding.c
struct rebuilding *rebuilding_new(core_t *self, millis_t now);
void rebuilding_destroy(struct rebuilding **self_p);
//  False: it is not to be answered now.
bool rebuilding_hello(core_t *self, const Rill__V1__Hello *hello, millis_t now);
void rebuilding_joined(core_t *self, const worker_t *worker, millis_t now);
void rebuilding_gone(core_t *self, uint64_t store, millis_t now);
void rebuilding_counted(core_t *self, uint64_t session,
                        const message_t *message, millis_t now);
void rebuilding_scanned(core_t *self, uint64_t session,
                        const message_t *message, millis_t now);
void rebuilding_fetched(core_t *self, uint64_t session,
                        const message_t *message, millis_t now);
void rebuilding_refused(core_t *self, uint64_t session,
                        const message_t *message, millis_t now);
void rebuilding_sweep(core_t *self, millis_t now);
millis_t rebuilding_due(const core_t *self);
bool rebuilding_done(const core_t *self);

#endif
