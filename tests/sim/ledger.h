/*  ledger - the checker: what was said, held against what is so
 *
 *  It hears what sources give, what forwarders push and say, what disks keep
 *  and lose, and what readers get. It believes nobody: bytes are compared with
 *  what the source gave (content.h), parity is computed again, and what was
 *  said to be stored must at that instant lie on durable stores, by the
 *  durable catalogue. A breach ends the play (story_breach) with the number of
 *  the house invariant.
 *
 *  Invariants of the house it holds: 1 to 8, and 12 for one answer. The others
 *  (18, 19, 21) are the stage's.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "chunk.h"
#include "image.h"
#include "message.h"

typedef struct ledger ledger_t;

//  `catalogue` is lent.
ledger_t *ledger_new(const image_t *catalogue);
void ledger_destroy(ledger_t **self_p);

//  Streams of class 0 are kept for `keep_us` (0: as space allows), and of this
//  one that is so. A forwarder of that number serves from now on; somebody set
//  the wall clock: what an earlier forwarder stamped may be as old as it likes.
void ledger_keeps(ledger_t *self, int64_t keep_us);
void ledger_limited(ledger_t *self, const char *name);
void ledger_life(ledger_t *self, unsigned life);
void ledger_clock_set(ledger_t *self);

//  Somebody asks to remove a stream; and is told that the one with this id is
//  removed. Whether a source may find that nothing is known of what it brought:
//  its stream was removed, or the catalogue was rebuilt; whether there need be
//  no stream of that name now.
void ledger_remove(ledger_t *self, const char *name);
void ledger_removed(ledger_t *self, uint64_t id);
bool ledger_begins_anew(ledger_t *self, const char *name);
bool ledger_is_removed(ledger_t *self, const char *name);

//  A store lets go of a chunk, for it is below the horizon it was told.
void ledger_outlived(ledger_t *self, chunk_key_t key);
//  Whether all that is limited is gone from the durable catalogue.
bool ledger_all_outlived(ledger_t *self);

//  The catalogue is lost or an older copy of it (`doubt`): what it had before
//  holds on, until what was made again in its place is there.
void ledger_doubt(ledger_t *self, bool doubt);
//  Whether of every source that was opened something is stored: of others a lost
//  catalogue alone knew where they began. Nor may a stream of which nothing is
//  stored have been dealt again on its way: what is left of that alone looks as
//  if what came before it were lost, and somebody has to accept that.
bool ledger_all_began(const ledger_t *self);

//  Sources. A source of stream `name` exists; it gave bytes up to `end`; it
//  said that `end` is its end.
void ledger_source(ledger_t *self, const char *name, uint64_t token);
void ledger_gave(ledger_t *self, const char *name, uint64_t token,
                 uint64_t end);
void ledger_finished(ledger_t *self, const char *name, uint64_t token,
                     uint64_t end);

//  Whether a stream is sealed, or none of anybody's.
bool ledger_is_sealed(ledger_t *self, uint64_t stream);
//  A source was told that its stream is sealed: no restart may open it again.
void ledger_sealed(ledger_t *self, const char *name);

//  The `life`th forwarder says this; to an Opened belongs the Open it answers.
//  Lives of successors are greater.
void ledger_said(ledger_t *self, unsigned life, const message_t *message,
                 const Rill__V1__Open *asked);

//  It pushes a chunk to a store (0: whoever; not known).
void ledger_pushed(ledger_t *self, unsigned life, uint64_t store,
                   const chunk_header_t *header, buffer_t *payload);

//  A store has made a chunk durable; and has lost it (wiped, rotten).
void ledger_durable(ledger_t *self, uint64_t store,
                    const chunk_header_t *header, buffer_t *payload);
void ledger_lost(ledger_t *self, uint64_t store, chunk_key_t key);

//  A store whose highest term is `granted` says this Receipt.
void ledger_receipt(ledger_t *self, uint64_t store, uint64_t granted,
                    const message_t *message);

//  A reader that asked for the byte at `offset` got this.
void ledger_answer(ledger_t *self, const chunk_header_t *header,
                   buffer_t *payload, uint64_t offset);

//  A reader that asked for the byte at `offset` was told that it is in a hole.
void ledger_gone(ledger_t *self, const char *name, uint64_t offset);

//  The durable catalogue may have changed, or chunks were lost: everything
//  said must still be so.
void ledger_check(ledger_t *self);

//  More stores are lost for good than streams can do without: from now on what
//  cannot be had may be given up, if that is recorded, and nothing else.
void ledger_disaster(ledger_t *self);

//  Of a byte that nobody can read since then: the offset behind its chunk; else
//  0, and it must be read.
uint64_t ledger_beyond(ledger_t *self, const char *name, uint64_t offset);

//  Whether all that chunk's block was said to be stored can do without it; also
//  of a stream that was removed, for it may be back with an older catalogue.
bool ledger_can_lose(const ledger_t *self, chunk_key_t key);

//  Whether a chunk that a store keeps is none that the durable catalogue places
//  there; and how many chunks it places there that the store does not keep (0:
//  all stores).
bool ledger_is_garbage(ledger_t *self, uint64_t store, chunk_key_t key);
uint64_t ledger_missing(ledger_t *self, uint64_t store);

//  Highest offset that anybody was told stored, and blocks so acknowledged.
uint64_t ledger_stored(const ledger_t *self, const char *name);
uint64_t ledger_blocks(const ledger_t *self);

//  The whole of a sealed stream of `size` bytes was read: whether the holes
//  that were told are just what no source wrote.
void ledger_holes(ledger_t *self, const char *name,
                  const Rill__V1__Described *described);

#endif
