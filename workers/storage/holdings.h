/*  holdings - what a worker holds, as one Inventory message says it
 *
 *  Invariants
 *    1. What was added and nothing else is said, each record once.
 *    2. The message stays well under LIMIT_HEAD_BYTES, whatever is added.
 *
 *  Pure: filled record by record until it is full, sent, cleared, filled on.
 *  Neighbouring blocks share a run; a block of which two slots are held is
 *  said in two runs.
 */
#ifndef HOLDINGS_H
#define HOLDINGS_H

#include <stdbool.h>

#include "message.h"

typedef struct holdings holdings_t;

holdings_t *holdings_new(void);
void holdings_destroy(holdings_t **self_p);

//  Forget everything: the next message begins.
void holdings_clear(holdings_t *self);

//  What follows is of this epoch of this stream, of which bytes below
//  `settled` are known to be settled. False: full; nothing was added.
bool holdings_begin(holdings_t *self, uint64_t stream, uint64_t epoch,
                    uint64_t settled);

//  One record, after holdings_begin; blocks do not descend. False: full;
//  nothing was added.
bool holdings_add(holdings_t *self, uint64_t block, uint32_t slot);

//  The message's body; lent until the next call that changes anything.
const Rill__V1__Inventory *holdings_say(holdings_t *self, uint64_t session,
                                        bool done);

#endif
