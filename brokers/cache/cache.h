/*  cache - the relay behind sockets: one actor
 *
 *  It binds a ROUTER (terminals, children, siblings), an XPUB (children's and
 *  siblings' live chunks) and the siblings' bus; for each link that it wants
 *  something of it has one DEALER and one SUB, closed when the link is lost or
 *  nothing is wanted any more, and made anew. What of the window lies on a disk
 *  is in a thread of its own (keeper.h).
 */
#ifndef CACHE_H
#define CACHE_H

#include <czmq.h>

#include "settings.h"

//  What the actor is made with; lent until it ends.
typedef struct {
    const settings_t *settings;
    const settings_cache_t *cache;
} cache_place_t;

//  The actor; `args` is a cache_place_t. Over its pipe it talks as daemon.h
//  says.
void cache_actor(zsock_t *pipe, void *args);

#endif
