/*  route - from where a chunk is taken: one pure function
 *
 *  Invariants
 *    1. (house 13) What is older than the window is neither looked for here nor
 *       at siblings: it comes from the parent, level by level.
 *    2. (house 17) Nothing goes sideways twice: what a sibling asks for is
 *       answered from what is held or what is coming from a parent, else MISS.
 *    3. Else what is held, else a sibling's, else the parent's.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>

typedef enum {
    ROUTE_HERE,      //  It is held
    ROUTE_QUESTION,  //  First find out which sibling has it
    ROUTE_SIDE,      //  From that sibling
    ROUTE_UPWARD,    //  From the parent
    ROUTE_STRAIGHT,  //  From the parent, older than the window: not kept
    ROUTE_NOWHERE,   //  MISS
} route_t;

typedef struct {
    bool root;       //  There is nobody above
    bool old;        //  Older than the window, as the origin tells it
    bool up;         //  Its asker, a cache, found it to be older
    bool held;       //  In the window
    bool from_side;  //  A sibling asks
    bool tried;      //  A sibling was asked for it in vain
    bool carried;    //  A sibling carries the stream for us
    bool question;   //  Siblings can be asked, and were not
    bool has;        //  A sibling is known to have it
} route_case_t;

route_t route_choose(const route_case_t *at);

#endif
