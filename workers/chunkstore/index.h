/*  index - where every record lies, on an ordered table
 *
 *  Invariants
 *    1. A batch is applied whole: an entry is there with its segment's sums.
 *    2. An entry of a dropped stream is never found, though it may still wait
 *       to be deleted.
 *
 *  Kinds of keys: 'c' a chunk, 's' a segment, 'm' a stream's settled mark, 'd'
 *  a dropped stream, 'h' a range of a segment that is to be given back.
 */
#ifndef INDEX_H
#define INDEX_H

#include "chunkstore.h"
#include "kv.h"

//  An entry and where its record lies.
typedef struct {
    chunkstore_entry_t entry;
    uint64_t segment;
    uint64_t place;
    bool rotten;  //  Its record was found damaged
} index_place_t;

//  What is known of a segment.
typedef struct {
    uint64_t id;
    uint64_t nonce;
    uint64_t size;   //  Of the file
    uint64_t end;    //  Where its records end; open: what was indexed up to
    uint64_t holes;  //  Bytes given back to the file system
    uint64_t records;
    uint64_t live;        //  Records that entries point at
    uint64_t live_bytes;  //  Their payload
    micros_t newest_us;   //  When the youngest block in it was opened
    uint8_t retention;
    bool closed;  //  Never written again
} index_segment_t;

//  Whole pages of a segment that hold nothing any more and still take space.
typedef struct {
    uint64_t segment;
    uint64_t from;
    uint64_t to;
} index_hole_t;

//  A stream that was dropped.
typedef struct {
    uint64_t stream;
    uint64_t newest;  //  Records of it lie in segments up to this id
    bool swept;       //  No entry of it is left
} index_drop_t;

typedef struct index index_t;

//  Make an index on `kv`, which is given to it when it is NULLed: `kv_p`.
index_t *index_new(kv_t **kv_p);
void index_destroy(index_t **self_p);

//  Collect changes; index_commit applies them at once and forgets them, also
//  when it fails (STATUS_IO, STATUS_FULL).
void index_put(index_t *self, const index_place_t *place);
void index_delete(index_t *self, const chunk_key_t *key);
void index_put_segment(index_t *self, const index_segment_t *segment);
void index_delete_segment(index_t *self, uint64_t id);
void index_put_settled(index_t *self, uint64_t stream, uint64_t mark);
void index_delete_settled(index_t *self, uint64_t stream);
void index_put_drop(index_t *self, const index_drop_t *drop);
void index_delete_drop(index_t *self, uint64_t stream);
void index_put_hole(index_t *self, const index_hole_t *hole);
void index_delete_hole(index_t *self, uint64_t segment, uint64_t from);
status_t index_commit(index_t *self, bool sync);

//  Where a chunk lies, also one of a dropped stream. STATUS_MISS: not held.
status_t index_find(index_t *self, const chunk_key_t *key,
                    index_place_t *place_r);

//  The settled mark of a stream; 0 of none.
uint64_t index_settled(index_t *self, uint64_t stream);

//  Walk the entries of a stream with keys from `from` on, upwards, or from the
//  last one of the epoch downwards. `each` returning false ends it.
typedef bool index_each_fn(void *arg, const index_place_t *place);
status_t index_walk(index_t *self, const chunk_key_t *from, bool whole_stream,
                    index_each_fn *each, void *arg);
status_t index_walk_back(index_t *self, uint64_t stream, uint64_t epoch,
                         uint64_t below_block, index_each_fn *each, void *arg);

//  Walk the entries of all streams, with keys from `from` on.
status_t index_walk_all(index_t *self, const chunk_key_t *from,
                        index_each_fn *each, void *arg);

//  All segments, ascending; all dropped streams; all holes.
status_t index_segments(index_t *self,
                        void (*each)(void *arg, const index_segment_t *segment),
                        void *arg);
status_t index_drops(index_t *self,
                     void (*each)(void *arg, const index_drop_t *drop),
                     void *arg);

status_t index_holes(index_t *self,
                     void (*each)(void *arg, const index_hole_t *hole),
                     void *arg);

//  Whether what a start needs of it can be read.
status_t index_check(index_t *self);

//  About how many bytes it takes on disk.
uint64_t index_bytes(index_t *self);

#endif
