/*  frames - whole messages on and off a ZeroMQ socket
 *
 *  Invariants
 *    1. Payload of FRAMES_COPIED_BYTES and more is not copied: what came is
 *       lent to a counted buffer, what goes is lent to the socket. Less is
 *       copied when it comes, or its holder would hold with it the 8 KiB that
 *       libzmq received at once.
 *    2. A message of wrong shape is swallowed whole and told as a status; the
 *       next one is read cleanly.
 *
 *  Shapes (WIRE.md):  ROUTER      path… empty head [payload]
 *                     DEALER      empty head [payload]
 *                     PUSH, PULL  head [payload]
 *                     PUB, SUB    topic head [payload]
 *
 *  A multipart becomes readable when its last part has come (Z15), so reading
 *  one always ends; of a long one a call reads FRAMES_PARTS parts, the next
 *  calls swallow the rest. One that never ends is never seen here: it is found
 *  by the memory it takes (Z14) and ended by closing and binding again.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <czmq.h>

#include "message.h"
#include "peer.h"

#define FRAMES_COPIED_BYTES 4096
#define FRAMES_ADDRESS_BYTES 48  //  Of IPv6 in figures, and a zone
#define FRAMES_BURST 64
#define FRAMES_PARTS (LIMIT_PEER_BYTES / 2 + 3)  //  The longest message's

//  What is published under: a stream, and whom it is meant for. 16 bytes on the
//  bus, big-endian: topics of one length are no prefixes of each other (Z16).
#define FRAMES_TOPIC_BYTES 16
typedef struct {
    uint64_t stream;
    uint64_t grant;
} frames_topic_t;

//  A message as it came.
typedef struct {
    peer_t peer;           //  ROUTER only; else size 0
    frames_topic_t topic;  //  SUB only
    uint64_t request;      //  The message's; kept for refusing it
    message_t *message;    //  Owned by the holder of this struct
    buffer_t *payload;     //  NULL when this body has none; else at least empty
    //  Of a Where: the address it came from, in figures; else "".
    char address[FRAMES_ADDRESS_BYTES];
} received_t;

//  Receive one message without waiting. STATUS_OK: `received_r` is filled and
//  is to be given to frames_release. STATUS_LATE: nothing has come.
//  STATUS_MALFORMED, STATUS_VERSION, STATUS_KIND, STATUS_TOO_LARGE: something
//  came and was swallowed; `received_r` holds nothing but, for a refusal, the
//  peer, its size 0 when it could not be read (then nobody is answered), and
//  the request, 0 when it could not be read.
status_t frames_receive(zsock_t *socket, received_t *received_r);

//  What is done with a message that came, or with the status of one that was
//  swallowed; it is released afterwards. False: no more is read now, and the
//  socket may be gone.
typedef bool(frames_take_fn)(void *with, status_t status, received_t *received,
                             millis_t now);

//  Take what has come, FRAMES_BURST messages at most: then it is the turn of
//  others.
void frames_take(zsock_t *socket, frames_take_fn *take, void *with,
                 millis_t now);

//  Free what a received message holds.
void frames_release(received_t *received);

//  Send without waiting. `peer` is used on a ROUTER only. The payload is lent:
//  the socket takes a reference of its own and lets go in a thread of its own;
//  NULL is an empty one for a body that has payload, and the only right one
//  for a body that has not.
//  STATUS_BUSY: the socket takes nothing now (for a ROUTER: that peer's queue
//  is full); STATUS_UNREACHABLE: a ROUTER that does not know the peer (any
//  more); STATUS_TOO_LARGE: the head is over its limit. Then nothing was sent.
status_t frames_send(zsock_t *socket, const peer_t *peer,
                     const message_t *message, buffer_t *payload);

//  The same of a payload that is not empty and stays the caller's: `ends` is
//  called with `hint` once it is no longer needed, in whichever thread, also
//  when nothing was sent.
typedef void(frames_ends_fn)(void *bytes, void *hint);
status_t frames_lend(zsock_t *socket, const peer_t *peer,
                     const message_t *message, buffer_t *payload,
                     frames_ends_fn *ends, void *hint);

//  Let libzmq's thread send what it was given. It is often woken on the
//  caller's own core: there it would wait until the caller sleeps, and the first
//  of many be served when the last of them is queued.
void frames_hand_over(void);

//  Publish, and hand over; who does not take it now loses it.
status_t frames_publish(zsock_t *socket, frames_topic_t topic,
                        const message_t *message, buffer_t *payload);

//  What subscribers said to a socket that publishes, for one turn of it:
//  `*topics`, which somebody subscribes to, are more or fewer.
void frames_topics(zsock_t *socket, size_t *topics);

//  Hear a topic, or not any more.
void frames_subscribe(zsock_t *socket, frames_topic_t topic, bool on);

#endif
