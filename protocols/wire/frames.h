/*  frames - whole messages on and off a ZeroMQ socket
 *
 *  Invariants
 *    1. Payload is never copied: what came is lent to a counted buffer, what
 *       goes is lent to the socket (zmq_msg_init_data).
 *    2. A message of wrong shape is swallowed whole and told as a status; the
 *       next one is read cleanly.
 *
 *  Shapes (WIRE.md):  ROUTER   path… empty head [payload]
 *                     DEALER   empty head [payload]
 *                     PUSH     head [payload]
 *                     PUB      topic head [payload]
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <czmq.h>

#include "message.h"
#include "peer.h"

//  A message as it came.
typedef struct {
    peer_t peer;         //  ROUTER only; else size 0
    message_t *message;  //  Owned by the holder of this struct
    buffer_t *payload;   //  NULL when it has none
} received_t;

//  Receive one message without waiting. STATUS_OK: `received_r` is filled and
//  is to be given to frames_release. STATUS_LATE: nothing has come.
//  STATUS_MALFORMED, STATUS_VERSION, STATUS_KIND, STATUS_TOO_LARGE: something
//  came and was swallowed; `received_r->peer` says who, for a refusal, its
//  size 0 when even that could not be read; nothing else in it is set.
status_t frames_receive(zsock_t *socket, received_t *received_r);

//  Free what a received message holds.
void frames_release(received_t *received);

//  Send without waiting. `peer` is used on a ROUTER only. The payload, when
//  not NULL, is lent: the socket takes a reference of its own.
//  STATUS_BUSY: the socket takes nothing now (for a ROUTER: that peer's queue
//  is full); STATUS_UNREACHABLE: a ROUTER that does not know the peer (any
//  more); STATUS_TOO_LARGE: the head is over its limit. Then nothing was sent.
status_t frames_send(zsock_t *socket, const peer_t *peer,
                     const message_t *message, buffer_t *payload);

#endif
