/*  forwarder - the origin, as an actor
 */
#ifndef FORWARDER_H
#define FORWARDER_H

#include <czmq.h>
#include <stdint.h>

#include "retention.h"

typedef struct {
    const char *name;
    const char *at;       //  HOST:PORT where its front is bound
    const char *reach;    //  HOST:PORT where others reach it
    const char *data;     //  Its directory
    size_t memory_bytes;  //  As in forwarder_core.h
    uint32_t chunk_bytes;
    uint32_t buffer_ms;
    uint32_t floor_bytes;
    uint32_t ceiling_bytes;
    retention_limits_t retention;
    const char *const *workers;  //  Names of those in the cluster file
    size_t workers_count;
    bool rebuild;         //  Make the catalogue again first
    bool accept_loss;     //  Even if something is lost
    const char *metrics;  //  HOST:PORT of its HTTP; "": loopback, any port
    size_t metrics_streams;
    double patience;
} forwarder_place_t;

//  Run the forwarder until its pipe says $TERM and it is drained, or until it
//  can serve no more. `args` is a forwarder_place_t, lent as long as it lives.
//  Give it to zactor_new(); what it says on its pipe: daemon.h. It is ready
//  when its catalogue is open, made again if told so, and its sockets are bound.
void forwarder_actor(zsock_t *pipe, void *args);

#endif
