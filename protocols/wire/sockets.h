/*  sockets - every ZeroMQ socket of rill is made here, and only here
 *
 *  High-water marks come from a budget of 4 MiB a peer, TCP keeps watch on
 *  hosts, handshakes are bounded, ROUTERs report a peer that is gone or full
 *  instead of dropping in silence, large messages are refused by the kernel's
 *  side of the bus, reconnections back off with jitter, linger is bounded.
 *  Made, used and closed in one thread.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <czmq.h>

#include "endpoint.h"
#include "status.h"

//  What passes through it; decides type and marks.
typedef enum {
    SOCKET_FRONT,    //  ROUTER, bound: whoever asks this node
    SOCKET_ASK,      //  DEALER, connected: one node that we ask
    SOCKET_TELL,     //  DEALER, connected: one node that knows us while we are
                     //  connected, and is told nothing old after that
    SOCKET_LINK,     //  DEALER, connected: one node that a cache asks and keeps
    SOCKET_PUSH,     //  PUSH, connected: chunks to one worker
    SOCKET_PULL,     //  PULL, bound: chunks or receipts
    SOCKET_PUBLISH,  //  XPUB, bound: live chunks to the next tier and siblings
    SOCKET_TAP,      //  XPUB, bound: events, to whoever listens; each of its
                     //  subscriptions is heard, also one to a known topic
    SOCKET_HEAR,     //  SUB, connected: what one node publishes
    SOCKET_LISTEN,   //  SUB, connected: events of one node; these two
                     //  subscribe anew where they connect anew, but only
                     //  while their owner reads or polls them
} socket_kind_t;

//  Set up the process for messages of payload size: allocator thresholds,
//  descriptor limit raised to the hard limit; signals stay main's and SIGPIPE
//  is ignored. Call once, first in main. STATUS_LIMIT: fewer than
//  `descriptors` can be had; says so on stderr.
status_t sockets_begin(size_t descriptors);

//  A socket bound to `endpoint` (port 0 or * takes a free one) or connected to
//  it. STATUS_ADDRESS: it cannot be, errno says why; STATUS_LIMIT: no more
//  sockets; then `*socket_r` is NULL. The caller owns the socket and closes it
//  with zsock_destroy, which gives what is queued a second to leave.
//  A PUSH and a TELL take messages only while their peer is connected; an ASK
//  takes LIMIT_ASKS_PER_PEER of them before.
status_t sockets_open(socket_kind_t kind, const char *endpoint,
                      zsock_t **socket_r);

//  Where a bound socket really is, its port resolved.
void sockets_bound(zsock_t *socket, char endpoint_r[ENDPOINT_BYTES]);

//  Close at once: nothing queued is sent (R6). Nulls the pointer. The port of
//  a bound one is free soon after, not yet when this returns.
void sockets_drop(zsock_t **socket_p);

//  The same, watched: `*watch_r` is a PAIR socket that is readable when a
//  connection came or went, from the first on. The caller owns it, too, and
//  gives it back with sockets_unwatch before the socket itself is closed.
status_t sockets_open_watched(socket_kind_t kind, const char *endpoint,
                              zsock_t **socket_r, zsock_t **watch_r);

//  Read one event of a watch without waiting. 1: connected and the handshake
//  done, -1: disconnected, 0: nothing.
int sockets_watch_event(zsock_t *watch);

//  Stop watching and close the watch; nulls the pointer, null is fine.
void sockets_unwatch(zsock_t *socket, zsock_t **watch_p);

#endif
