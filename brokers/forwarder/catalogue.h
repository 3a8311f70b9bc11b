/*  catalogue - what the origin must not forget: term, streams, extents
 *
 *  Invariants
 *    1. (R1) A start takes a new term, durable before anything is said.
 *    2. (R1) A batch is written only while the table's term is ours; else
 *       STATUS_FENCED, and nothing is changed.
 *    3. (R9) A stream's chain changes by one synced batch: truncated at a base,
 *       extents appended, the stream's record with it.
 *    4. (B7) It grows with streams, removed ones too, and changes of the
 *       cluster, never with chunks: an ensemble is kept once, however many
 *       extents use it. Whatever stores say Hello, only so many that no extent
 *       named are recorded.
 *
 *  On a kv_t; every write is synced. Keys: "T" term and cluster; "S" + id the
 *  record; "X" + id + epoch an extent; "E" + hash an ensemble; "D" + id a
 *  removed stream and the stores that still have to forget it; "H" + class the
 *  retention's clock and horizon; "N" + store the label of a worker; "R" when
 *  it is to be rebuilt, "B" the term in which that was; "K" from
 *  which term on "G" is whole, and the last such term; "O" + store what an
 *  older copy of it does not know; "G" + store the term it was granted last.
 */
#ifndef CATALOGUE_H
#define CATALOGUE_H

#include "chunk.h"
#include "kv.h"
#include "placement.h"
#include "status.h"

#define CATALOGUE_OPEN_END UINT64_MAX

//  Stores that no extent ever named and of which a grant is recorded; as many
//  again that are `named`.
#define CATALOGUE_STRANGERS_MOST 1024

typedef struct catalogue catalogue_t;

//  One stream, as recorded.
typedef struct {
    uint64_t id;
    char name[LIMIT_NAME_BYTES + 1];
    kind_t kind;
    uint8_t retention;
    code_t asked;
    bool strict;
    micros_t created_us;
    uint64_t writer;        //  Token of the last source
    uint64_t writer_begin;  //  Where its bytes begin
    bool size_known;
    uint64_t size;  //  Of that source's bytes when known; sealed: of the stream
    uint32_t chunk_bytes;  //  Set by hand; 0: by the rule
    uint32_t buffer_ms;    //  0: the default
    bool sealed;
    uint64_t end_index;  //  Sealed, or found so by a rebuild: the index behind
                         //  the last chunk
    micros_t newest_us;  //  Sealed: when its last block was opened
    uint64_t first_index;  //  Of the oldest chunk that retention has left
    micros_t lost_us;      //  When a loss was accepted last; 0: never
    uint64_t lost_from;    //  What was given up then lies between these;
    uint64_t lost_to;      //  CATALOGUE_OPEN_END: nobody knows how far
} stream_record_t;

//  Open the catalogue in `kv` (lent) and take the next term. `fresh_cluster`
//  names the cluster when there is none yet. STATUS_CORRUPT (also when it was
//  not rebuilt to the end), STATUS_IO, STATUS_VERSION with a sentence in
//  `why_r`.
status_t catalogue_open(kv_t *kv, uint64_t fresh_cluster, catalogue_t **self_r,
                        char *why_r, size_t why_size);
//  What it says of its cluster and last term before it is opened; zeros when
//  it says nothing. Errors as catalogue_open.
status_t catalogue_peek(kv_t *kv, uint64_t *cluster_r, uint64_t *term_r);

//  Begin to make it again (R16): everything in `kv` is forgotten, and until
//  catalogue_rebuilt nobody can open it. It has no term until catalogue_take.
status_t catalogue_rebuild(kv_t *kv, catalogue_t **self_r, char *why_r,
                           size_t why_size);
//  The cluster and a term above every one seen.
status_t catalogue_take(catalogue_t *self, uint64_t cluster, uint64_t term);
//  It is an older copy of itself: until it is rebuilt nobody can open it.
status_t catalogue_doubt(catalogue_t *self);
//  All is recorded: from now on it can be opened.
status_t catalogue_rebuilt(catalogue_t *self);

void catalogue_close(catalogue_t **self_p);

uint64_t catalogue_cluster(const catalogue_t *self);
uint64_t catalogue_term(const catalogue_t *self);
//  The term in which it was rebuilt last, from all that there was; 0: never.
uint64_t catalogue_rebuilt_in(const catalogue_t *self);
size_t catalogue_bytes(const catalogue_t *self);

//  Whether the term is still ours: STATUS_OK, STATUS_FENCED, or what the table
//  answers.
status_t catalogue_check(const catalogue_t *self);

//  Called for each stream in the order of ids, its chain in the order of
//  epochs; takes over `chain` (free each with extent_free, then free()).
typedef void catalogue_stream_fn(void *arg, const stream_record_t *record,
                                 extent_t **chain, size_t count);

//  Called for each removed stream; `stores` are lent.
typedef void catalogue_removed_fn(void *arg, uint64_t stream,
                                  const uint64_t *stores, size_t count);

//  Read everything.
status_t catalogue_load(catalogue_t *self, catalogue_stream_fn *on_stream,
                        catalogue_removed_fn *on_removed, void *arg);

//  Write a stream's record: new, another writer, sealed.
status_t catalogue_put(catalogue_t *self, const stream_record_t *record);

//  Truncate the chain (extents `gone`) and append extents, in one batch.
status_t catalogue_switch(catalogue_t *self, const stream_record_t *record,
                          extent_t *const *gone, size_t gone_count,
                          extent_t *const *added, size_t added_count);

//  Replace a stream and its chain by the list of stores that must forget it.
status_t catalogue_remove(catalogue_t *self, uint64_t stream,
                          extent_t *const *chain, size_t count,
                          const uint64_t *stores, size_t stores_count);

//  That list again, shorter. An empty one stays, too: only of a stream that is
//  known to be removed may a store be told to drop what it holds; one that the
//  catalogue does not know at all may be missing in an older copy of it.
status_t catalogue_forgotten(catalogue_t *self, uint64_t stream,
                             const uint64_t *stores, size_t stores_count);

//  What retention must not forget: the clock that blocks are stamped with, and
//  the horizon of a class. Zeros when there is none.
status_t catalogue_horizon(catalogue_t *self, uint8_t retention,
                           micros_t *clock_us_r, micros_t *horizon_us_r);
status_t catalogue_put_horizon(catalogue_t *self, uint8_t retention,
                               micros_t clock_us, micros_t horizon_us);

//  The highest epoch of which a store may have lost chunks without knowing, for
//  an older copy of it is there in its place (R8). 0: there is none.
status_t catalogue_older(catalogue_t *self, uint64_t store, uint64_t *epoch_r);
status_t catalogue_put_older(catalogue_t *self, uint64_t store, uint64_t epoch);

//  The highest term that the store can have been granted: a store that says a
//  higher one was granted it by somebody else. And: it is granted ours; synced
//  before the store is told. STATUS_BUSY: it would be one stranger too many;
//  `named` is who the cluster file knows, at least by name.
status_t catalogue_granted(catalogue_t *self, uint64_t store, uint64_t *term_r);
status_t catalogue_grant(catalogue_t *self, uint64_t store, bool named);

//  What the worker of a store is called: recorded with the next extent that
//  names the store, so that people hear names also of who is away.
void catalogue_call(catalogue_t *self, uint64_t store, const char *name);

//  What it was called last, or NULL; lent until the next catalogue_call.
const char *catalogue_name_of(const catalogue_t *self, uint64_t store);

//  An extent of `width` stores, all zero; and its end. Null is fine.
extent_t *extent_new(uint16_t width);
void extent_free(extent_t *extent);

#endif
