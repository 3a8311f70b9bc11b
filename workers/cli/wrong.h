/*  wrong - what is wrong in a cluster now, a sentence each
 *
 *  Of what the nodes told of themselves. Invariants:
 *
 *  1.  A node is told as slow to answer when it took over 100 ms and five times
 *      as long as half of the nodes did: what a busy terminal or network adds
 *      to all of them is no node's fault, nor is one that was quicker.
 *  2.  A worker is told as slow when half of its commits take over 50 ms.
 *  3.  Who is well is not named.
 */
#ifndef WRONG_H
#define WRONG_H

#include "tree_state.h"

enum { WRONG_MOST = 64, WRONG_BYTES = 200 };

typedef struct {
    size_t count;
    char text[WRONG_MOST][WRONG_BYTES];
} wrong_t;

//  What is wrong; more than WRONG_MOST is left out.
void wrong_find(wrong_t *wrong_r, const tree_state_t *state);

#endif
