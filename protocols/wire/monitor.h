/*  monitor - what a node shows of itself: a tap, and HTTP, of the same counters
 *
 *  One of each node, in the thread of its actor.
 */
#ifndef MONITOR_H
#define MONITOR_H

#include "metrics.h"
#include "tap.h"

typedef struct monitor monitor_t;

typedef struct {
    const char *node;   //  By the cluster file
    const char *at;     //  HOST:PORT of its front
    const char *reach;  //  and where others find it
    metrics_place_t metrics;
} monitor_place_t;

//  Both, of one node; `place` is copied, what it names is lent until destroy,
//  and so is `tap_r`. Not STATUS_OK: one of them cannot be had, `why_r` says why.
status_t monitor_new(zloop_t *loop, const monitor_place_t *place,
                     monitor_t **self_r, tap_t **tap_r, char *why_r,
                     size_t why_size);
void monitor_destroy(monitor_t **self_p);

#endif
