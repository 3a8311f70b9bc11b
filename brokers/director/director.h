/*  director - the director, as an actor
 *
 *  One ROUTER: caches report there, terminals ask there.
 */
#ifndef DIRECTOR_H
#define DIRECTOR_H

#include <czmq.h>

#include "settings.h"

//  Run the director until its pipe says $TERM. `args` are the cluster's
//  settings_t, lent as long as it lives. Over its pipe it talks as daemon.h
//  says.
void director_actor(zsock_t *pipe, void *args);

#endif
