/*  losses - which events of a node did not reach its listener
 *
 *  Invariants
 *    1. What a node told between the first and the last number that its
 *       listener knows is heard or counted here as lost, each once.
 *
 *  One of each node that is listened to. A node numbers the events of each
 *  kind; the first number, or the first `told` of a Sample, says where the
 *  listener begins. A number that falls is a new start of the node: what it
 *  told since then and was not heard is lost (WIRE.md, "The tap").
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "events.h"

//  All 0 at first.
typedef struct {
    uint64_t next[EVENTS_KINDS_MOST];  //  Of each kind; 0: not known
} losses_t;

//  An event was heard. Returns how many of its kind were lost before it.
uint64_t losses_heard(losses_t *self, size_t kind, uint64_t seq);

//  A Sample says how many were told; all of them that reach the listener came
//  before it. Returns how many were lost.
uint64_t losses_told(losses_t *self, size_t kind, uint64_t seq);

#endif
