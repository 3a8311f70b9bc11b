/*  watcher - the behaviour of one who watches a stream as it grows, without a
 *  socket
 *
 *  Invariants
 *    1. What is delivered is one range from where the session began, in order:
 *       no byte twice, none left out but those of a hole, which is told
 *       (house 12).
 *    2. A byte is delivered only from a payload that matched its CRC
 *       (house 9).
 *    3. A node may send at most the window, or one chunk, more than was taken
 *       from it (house 18).
 *    4. Whatever is lost, whoever is silent or cannot go on: the session goes
 *       on at its own offset, at the same node or at another one. It ends when
 *       nothing was delivered and nobody answered for as long as the patience.
 *
 *  One Watch opens a session, another one under another request begins it anew
 *  at the next byte; what still comes under the old one is dropped. Silence of
 *  a live stream is no fault: a node that lives answers each WatchKeep.
 *
 *  Events in, effects out; no socket, clock, thread or file.
 */
#ifndef WATCHER_H
#define WATCHER_H

#include "buffer.h"
#include "message.h"
#include "millis.h"

typedef struct watcher watcher_t;

typedef enum {
    WATCH_LIVE,    //  The newest place where a player can start
    WATCH_FIRST,   //  The oldest byte there is
    WATCH_OFFSET,  //  `place` is a byte
    WATCH_TIME,    //  `place` is a time, µs UTC
    WATCH_BACK,    //  `place` is so many ms before the newest
} watch_from_t;

typedef struct {
    const char *name;  //  Copied
    watch_from_t from;
    uint64_t place;
    uint64_t to;            //  Ends before this byte; UINT64_MAX: never
    micros_t to_us;         //  Ends before what was created later; 0: never
    uint64_t window_bytes;  //  Credit that is open at most; 0: 4 MiB
    uint32_t answer_ms;     //  A node that is silent so long is left; 0: 1500
    uint32_t patience_ms;   //  0: 30000
} watcher_settings_t;

typedef struct {
    //  To the node that is watched at. STATUS_BUSY: later.
    status_t (*send)(void *with, const message_t *message);
    //  The next bytes, at `offset`; lent, as is the header of their chunk. Not
    //  STATUS_OK: the session ends with that status.
    status_t (*deliver)(void *with, uint64_t offset, buffer_t *bytes,
                        const chunk_header_t *chunk);
    //  The stream has no bytes in [from, to); the next ones come from `to`.
    status_t (*skip)(void *with, uint64_t from, uint64_t to);
    //  This node is of no use now: go to the next one, or connect anew to it.
    //  Called from a sweep only.
    void (*leave)(void *with);
    uint64_t (*random)(void *with);
} watcher_effects_t;

typedef struct {
    bool answered;        //  A node has said something, whatever it was
    bool begun;           //  One has said where it begins
    bool moved;           //  What was asked for is gone: it begins later
    uint64_t stream;      //  0: not known yet
    uint64_t begin;       //  Where it began
    uint64_t next;        //  Everything between was delivered or skipped
    uint64_t head;        //  Bytes below it exist, as was last heard
    bool stale;           //  The node has not heard of the origin for a while
    bool done;            //  All that was wanted was delivered
    bool sealed;          //  The stream ended, and this is why it is done
    status_t failed;      //  It will never go on: why; else STATUS_OK
    uint64_t nearest;     //  Of `failed`: the nearest right offset
    status_t held;        //  Why nothing comes, or STATUS_OK
    char text[256];       //  For people, of `failed` or `held`
    micros_t created_us;  //  Of the chunk delivered last,
    micros_t now_us;      //  and the origin's clock then
    uint64_t chunks, opened, left, again, corrupt;  //  Counts
    uint64_t received;  //  Bytes of payload, with what was trimmed
} watcher_state_t;

//  A watcher that opens its session with the first sweep. Effects are copied.
//  The caller owns it.
watcher_t *watcher_new(const watcher_settings_t *settings,
                       const watcher_effects_t *effects, void *with,
                       millis_t now);

//  Free it and what it holds, null the pointer; null is fine.
void watcher_destroy(watcher_t **self_p);

//  Something came. Delivers what is next.
void watcher_on_message(watcher_t *self, const message_t *message,
                        buffer_t *payload, millis_t now);

//  The connection broke, or another node stands behind it now: the session
//  begins anew there.
void watcher_on_reconnect(watcher_t *self, millis_t now);

//  No more: the node is told.
void watcher_stop(watcher_t *self);

//  Lent until the next call.
const watcher_state_t *watcher_state(const watcher_t *self);

//  When the next sweep is worth doing, or MILLIS_NEVER once it is over.
millis_t watcher_due(const watcher_t *self);
void watcher_sweep(watcher_t *self, millis_t now);

#endif
