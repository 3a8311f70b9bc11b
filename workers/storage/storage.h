/*  storage - one storage worker, as an actor
 */
#ifndef STORAGE_H
#define STORAGE_H

#include <czmq.h>
#include <stdint.h>

typedef struct {
    const char *name;
    const char *at;            //  HOST:PORT where its front is bound
    const char *reach;         //  HOST:PORT where others reach it
    const char *forwarder_at;  //  HOST:PORT where the forwarder is reached
    const char *data;          //  Its directory
    uint64_t space_bytes;      //  0: what the disk has, less 5 %
    uint64_t segment_bytes;
    const char *metrics;  //  HOST:PORT of its HTTP; "": loopback, any port
    double patience;      //  A factor on every deadline
} storage_place_t;

//  Run one worker until its pipe says $TERM and it is drained, or until it can
//  never serve. `args` is a storage_place_t, lent as long as it lives. Give it
//  to zactor_new(); what it says on its pipe: daemon.h. It is ready when its
//  store is open and its sockets are bound; that a forwarder has it in its
//  queue is the event "joined".
void storage_actor(zsock_t *pipe, void *args);

#endif
