/*  reader - the behaviour of one who reads a range, without a socket
 *
 *  Invariants
 *    1. What is delivered is the range, in order: no byte twice, none left
 *       out but those of a recorded hole, which is told (house 12).
 *    2. A byte is delivered only from a payload that matched its CRC
 *       (house 9).
 *    3. What is asked for and not yet delivered spans at most the window, or
 *       one chunk (house 18).
 *    4. A question that is lost, late or refused for the moment is asked
 *       again, after a pause that grows; it ends when nothing was delivered
 *       for as long as the patience.
 *
 *  It keeps several asks in flight at offsets that it predicts from the size
 *  of the chunks it got. A chunk that begins earlier or ends elsewhere than
 *  predicted is trimmed, and what it left open is asked for first. How many
 *  asks are in flight grows with each right prediction and is halved by a
 *  wrong one, so that an irregular stream is not fetched twice.
 *
 *  Events in, effects out; no socket, clock, thread or file.
 */
#ifndef READER_H
#define READER_H

#include "buffer.h"
#include "message.h"
#include "millis.h"

typedef struct reader reader_t;

//  Bytes that the stream does not have: [from, to).
typedef struct {
    uint64_t from;
    uint64_t to;
} hole_t;

typedef struct {
    uint64_t stream;
    uint64_t from, to;     //  What to read: below the watermark
    uint32_t chunk_bytes;  //  As described: a hint; 0: 256 KiB
    const hole_t *holes;   //  As described, in order; copied
    size_t holes_count;
    size_t window_bytes;   //  0: 16 MiB
    uint32_t ask_ms;       //  An ask unanswered: ask again; 0: 5000
    uint32_t patience_ms;  //  Nothing delivered for so long: fail; 0: 30000
} reader_settings_t;

typedef struct {
    //  To the node that is read from. STATUS_BUSY: later.
    status_t (*send)(void *with, const message_t *message);
    //  The next bytes, at `offset`; lent. Not STATUS_OK: the reading ends with
    //  that status.
    status_t (*deliver)(void *with, uint64_t offset, buffer_t *bytes);
    //  The stream has no bytes in [from, to); the next ones come from `to`.
    status_t (*skip)(void *with, uint64_t from, uint64_t to);
    uint64_t (*random)(void *with);
} reader_effects_t;

typedef struct {
    uint64_t next;      //  Everything below was delivered or skipped
    bool done;          //  The whole range was
    status_t failed;    //  It will never go on: why; else STATUS_OK
    status_t held;      //  Why the next byte is not there yet, or STATUS_OK
    char text[256];     //  For people, of `failed` or `held`
    uint64_t answers;   //  Chunks that came
    uint64_t decoded;   //  Of those, rebuilt from parity
    uint64_t again;     //  Asks that were repeated
    uint64_t corrupt;   //  Chunks that did not match their CRC
    uint64_t received;  //  Bytes of payload, with what was trimmed
} reader_state_t;

//  A reader that asks with the first sweep. Effects are copied. The caller
//  owns it.
reader_t *reader_new(const reader_settings_t *settings,
                     const reader_effects_t *effects, void *with, millis_t now);

//  Free it and what it holds, null the pointer; null is fine.
void reader_destroy(reader_t **self_p);

//  Something came. Delivers what is in order. What is not an answer to a
//  question still open changes nothing. The payload is lent; a reference is
//  taken.
void reader_on_message(reader_t *self, const message_t *message,
                       buffer_t *payload, millis_t now);

//  The connection broke and is there again: what was in the air is asked again
//  at once.
void reader_on_reconnect(reader_t *self, millis_t now);

//  Lent until the next call.
const reader_state_t *reader_state(const reader_t *self);

//  When the next sweep is worth doing, or MILLIS_NEVER once it is over.
millis_t reader_due(const reader_t *self);
void reader_sweep(reader_t *self, millis_t now);

#endif
