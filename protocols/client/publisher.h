/*  publisher - the behaviour of a source, without a socket
 *
 *  Invariants
 *    1. A byte is let go only when the forwarder said it is stored.
 *    2. Bytes go in order, each once per session; after a new session they go
 *       on at the offset that the forwarder tells.
 *    3. Never more than its credit is in the air.
 *    4. What the forwarder may get over is waited out; every other refusal is
 *       final, and nothing is said after it.
 *    5. A lost message of either side is noticed and made good.
 *
 *  Events in, effects out; the simulator runs it as production does. It opens
 *  its stream, reopens it after silence or a refusal of class REOPEN or LATER,
 *  and sends again from the watermark what it keeps (R11).
 */
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include "buffer.h"
#include "message.h"
#include "millis.h"

typedef struct publisher publisher_t;

typedef struct {
    const char *name;
    kind_t kind;
    uint64_t token;  //  Not 0
    code_t asked;    //  0 + 0: rill chooses
    bool strict;
    uint32_t chunk_bytes;  //  0: rill chooses
    uint32_t buffer_ms;    //  Live; 0: the default
    bool size_known;
    uint64_t size;
    uint8_t retention;
    uint64_t rate_bytes;
    uint32_t keep_ms;      //  Silence after which it says it is there; 0: 1000
    uint32_t patience_ms;  //  A question unanswered: open again; 0: 2000
} publisher_settings_t;

typedef struct {
    //  To the forwarder. STATUS_BUSY: later; the publisher tries again when
    //  publisher_sweep or publisher_on_message is called.
    status_t (*send)(void *with, const message_t *message, buffer_t *payload);
    uint64_t (*random)(void *with);
} publisher_effects_t;

//  How far it is.
typedef struct {
    bool opened;      //  Opened at least once
    bool was_sealed;  //  It was complete before we came: nothing was sent
    bool complete;    //  Every byte is stored and the end is recorded
    bool sealed;      //  The same, and settled: it is done
    status_t failed;  //  It will never go on: why; else STATUS_OK
    char text[256];   //  The forwarder's sentence for `failed` or `held`
    status_t held;    //  Why nothing moves now: HELD, FULL, BUSY, STOPPING
                      //  ..., UNREACHABLE while nobody answers; else OK
    uint64_t stream;
    uint64_t base;    //  Where our bytes begin
    uint64_t next;    //  Offset of the next byte to be offered
    uint64_t sent;    //  Below: said in this session
    uint64_t stored;  //  Below: safe from the loss of any one store
    uint64_t settled;
    uint32_t chunk_bytes;  //  Not 0 once opened
    code_t code;           //  Sealed: what all of it has; else in force now
    bool narrower;  //  Some of it has less than asked, or than it began with
} publisher_state_t;

//  A source that opens its stream with the first sweep. The name and effects
//  are copied. The caller owns it.
publisher_t *publisher_new(const publisher_settings_t *settings,
                           const publisher_effects_t *effects, void *with,
                           millis_t now);

//  Free it and what it keeps, say nothing, null the pointer; null is fine.
void publisher_destroy(publisher_t **self_p);

//  Bytes that publisher_offer takes now; 0 before it is opened. The first
//  offer begins at state.next, which may be past the base when a stream is
//  continued. It is up to one chunk more than may be sent, so that bytes are
//  at hand when credit comes.
size_t publisher_room(const publisher_t *self);

//  Give the next bytes (1 byte to LIMIT_PIECE_BYTES, at most the room); a
//  reference is taken. Up to LIMIT_MARKS marks, which lie within them.
//  STATUS_BUSY: over the room; STATUS_TOO_LARGE: too many bytes or marks;
//  STATUS_ARGUMENT: no bytes, or a mark outside; STATUS_SEALED: after finish.
status_t publisher_offer(publisher_t *self, buffer_t *piece,
                         const mark_t *marks, size_t marks_count, millis_t now);

//  No byte follows: seal at state.next.
void publisher_finish(publisher_t *self, millis_t now);

//  We go; the stream stays open. Nothing is said or heard any more.
void publisher_leave(publisher_t *self);

//  Something came from the forwarder. What is not for us, or for an older
//  session, changes nothing.

void publisher_on_message(publisher_t *self, const message_t *message,
                          millis_t now);

//  The connection broke and is there again: what was in the air may be lost, so
//  it asks at once instead of waiting for silence to tell.
void publisher_on_reconnect(publisher_t *self, millis_t now);

//  Lent until the next call.
const publisher_state_t *publisher_state(const publisher_t *self);

//  When the next sweep is worth doing, or MILLIS_NEVER once it is over.
millis_t publisher_due(const publisher_t *self);
void publisher_sweep(publisher_t *self, millis_t now);

#endif
