/*  tally - what a cache counts at its sockets, each by its reason
 *
 *  Invariants
 *    1. (house 21) What comes to the front is taken, refused or unreadable.
 */
#ifndef TALLY_H
#define TALLY_H

#include "bus.h"
#include "message.h"

//  Once per reason what ends at a front. A plain value.
typedef struct {
    uint64_t in, taken, refused, unreadable;
    uint64_t too_large, versions;  //  Of the unreadable
    uint64_t unsent;               //  Answers to who is gone or takes nothing
    uint64_t busy;                 //  Payload that was too much to be lent
    uint64_t flooded;              //  Sockets that were closed to save memory
} tally_t;

//  A message came: `ours` when somebody took it.
void tally_came(tally_t *self, status_t status, bool ours);

//  An answer was sent, or was not; `lent`: with payload.
void tally_sent(tally_t *self, status_t status, bool lent);

//  As counters of a report, the bus's too; how many, `most` at most. Names are
//  lent for ever.
size_t tally_tell(const tally_t *self, const bus_counts_t *bus,
                  Rill__V1__Counter *counters_r, size_t most);

#endif
