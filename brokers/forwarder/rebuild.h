/*  rebuild - one stream's record and chain again, from what stores hold of it
 *
 *  Invariants
 *    1. (house 1, 11) Every block that was acknowledged and can be read can be
 *       read by the chain that comes out.
 *    2. An extent begins where a block of the one before it begins or its last
 *       one ends, at the same index and offset; or, if another source's, at
 *       that index behind a hole.
 *    3. What was acknowledged and is nowhere is said, never passed over.
 *    4. (R16) Of the ways through what is held the one that reaches furthest
 *       is taken, whatever its epochs: a later attempt may be the shorter. If
 *       a block of it cannot be read, one that has all that can have been
 *       acknowledged goes first.
 *
 *  write.md R16. A stream is sealed if its last block says END and everything
 *  from the settled mark on is whole; else recovery (R8) looks at its end, as
 *  after any start. Pure. Use: rebuild_add all there is, then rebuild_wants
 *  until it has no more questions and all are answered, then rebuild_chain.
 */
#ifndef REBUILD_H
#define REBUILD_H

#include "catalogue.h"

typedef struct rebuild rebuild_t;

//  What a store says of one record.
typedef struct {
    uint64_t epoch;
    uint64_t block;
    uint32_t slot;
    uint64_t offset;
    uint32_t length;
    uint16_t flags;
} rebuild_record_t;

//  A question. HEADER: what the record of `key` at `store` has for a header.
//  CHUNK: the data chunk of `key`, decoded by `extent` (lent) where its store
//  does not have it.
typedef enum { REBUILD_HEADER, REBUILD_CHUNK } rebuild_kind_t;
typedef struct {
    rebuild_kind_t kind;
    uint64_t store;
    chunk_key_t key;
    const extent_t *extent;
} rebuild_want_t;

typedef struct {
    stream_record_t record;
    extent_t **chain;  //  The caller's: extent_free each, then free()
    size_t count;
    uint64_t reach;    //  Offset behind the last byte that can be read
    micros_t last_us;  //  When its newest block was opened, as far as known
    size_t unknown;    //  Stores of an extent that nobody knows; they are
                       //  PLACEMENT_LOST(0), (1), ...
    size_t absent;     //  Stores of an extent that are not among the asked
    bool lost;         //  Acknowledged bytes are nowhere
    uint64_t lost_from, lost_to;  //  Offsets of the first of them; to is
                                  //  CATALOGUE_OPEN_END where nobody knows
    bool outlived;                //  Those may be what retention dropped
    micros_t after_us;            //  When the chunks behind it were made
    uint64_t from_epoch;          //  Behind the last loss the chain goes on
} rebuilt_t;

rebuild_t *rebuild_new(uint64_t stream);
void rebuild_destroy(rebuild_t **self_p);

//  `store` holds a record. False: too many stores (LIMIT_WORKERS).
bool rebuild_add(rebuild_t *self, uint64_t store,
                 const rebuild_record_t *record);

//  `store` has seen this settled mark (an index).
void rebuild_mark(rebuild_t *self, uint64_t mark);

//  `store` was asked for all it holds of the stream, maybe nothing; not said of
//  one that is new.
bool rebuild_store(rebuild_t *self, uint64_t store);

//  What must still be known, each once. False: nothing more until what was asked
//  is answered, and nothing at all if it is.
bool rebuild_wants(rebuild_t *self, rebuild_want_t *want_r);

//  The answer to a want, in any order; NULL: it cannot be had.
void rebuild_answer(rebuild_t *self, const chunk_key_t *key,
                    const chunk_header_t *header);

//  What comes out. False: no header of the stream could be read.
bool rebuild_chain(rebuild_t *self, rebuilt_t *rebuilt_r);

//  Free the chain.
void rebuilt_free(rebuilt_t *rebuilt);

#endif
