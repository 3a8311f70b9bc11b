/*  loans - payload that a front has accepted for peers that do not take it
 *
 *  Invariants
 *    1. (house 18) What is lent to all peers, and to each of them, stays under
 *       its bound, or is one payload. Nobody is lent more than is left for
 *       others: however many take nothing, who takes is served.
 *    2. Who is refused a loan hears BUSY, and nothing else of its answer.
 *
 *  A queue that counts messages does not bound memory: a peer that asks for
 *  chunks and never reads would be lent a thousand of them. What is counted is
 *  lent until libzmq lets go of it, in its own thread.
 */
#ifndef LOANS_H
#define LOANS_H

#include <czmq.h>

#include "message.h"
#include "peer.h"

typedef struct loans loans_t;

loans_t *loans_new(size_t most_bytes, size_t most_bytes_per_peer);
//  What is still lent stays with the socket.
void loans_destroy(loans_t **self_p);

//  frames_send on a ROUTER, its payload lent. STATUS_BUSY: the peer was told
//  so in place of the answer (or takes not even that); else as frames_send.
status_t loans_send(loans_t *self, zsock_t *front, const peer_t *peer,
                    const message_t *message, buffer_t *payload);

//  Lent now, in all.
size_t loans_bytes(const loans_t *self);

#endif
