/*  garbage - which blocks of an epoch a store may drop (R13)
 *
 *  Invariants
 *    1. A block may go only when it lies outside the range that its epoch has
 *       in the committed chain and something of a higher epoch is committed,
 *       or the epoch will never be: then nobody will ever look at it.
 *    2. What was right to drop stays so: no later chain gives it a range again.
 *
 *  Pure.
 */
#ifndef GARBAGE_H
#define GARBAGE_H

#include "placement.h"

//  Of an epoch's blocks those from *end_r on may go (0: all of them), by the
//  committed chain of its stream in the order of epochs. `over`: an epoch that
//  the chain does not have will never be in it. False: nothing may.
bool garbage_end(extent_t *const *chain, size_t count, bool over,
                 uint64_t epoch, uint64_t *end_r);

#endif
