/*  tally - what a cache counts at its sockets, each by its reason
 *
 *  Invariants
 *    1. (house 21) What comes to the front is taken, refused or unreadable.
 */
#ifndef TALLY_H
#define TALLY_H

#include "bus.h"
#include "counters.h"

//  A message came: `ours` when somebody took it.
void tally_came(counters_t *to, status_t status, bool ours);

//  An answer was sent, or was not; `lent`: with payload.
void tally_sent(counters_t *to, status_t status, bool lent);

//  What the bus counted.
void tally_bus(counters_t *to, const bus_t *bus);

#endif
