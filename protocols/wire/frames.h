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
#define FRAMES_PARTS (LIMIT_PEER_BYTES / 2 + 3)  //  The longest message's

//  A message as it came.
typedef struct {
    peer_t peer;         //  ROUTER only; else size 0
    uint64_t request;    //  The message's; kept for refusing it
    message_t *message;  //  Owned by the holder of this struct
    buffer_t *payload;   //  NULL when this body has none; else at least empty
} received_t;

//  Receive one message without waiting. STATUS_OK: `received_r` is filled and
//  is to be given to frames_release. STATUS_LATE: nothing has come.
//  STATUS_MALFORMED, STATUS_VERSION, STATUS_KIND, STATUS_TOO_LARGE: something
//  came and was swallowed; `received_r` holds nothing but, for a refusal, the
//  peer, its size 0 when it could not be read (then nobody is answered), and
//  the request, 0 when it could not be read.
status_t frames_receive(zsock_t *socket, received_t *received_r);

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

#endif
