/*  hops - one request's way through the nodes, put together from their events
 *
 *  Invariants
 * *    1. Every request is in exactly one tree of its trace, whatever the events
 *       say and in whatever order they come.
 *    2. At most HOPS_TRACES traces are kept, and HOPS_EVENTS of each: what is
 *       too much is given out before its time, the oldest first.
 *
 *  A request hangs below the one that was taken from its node, or that its
 *  asker answered, in the same trace; one that joined another trace has the
 *  rest of its way there. A tree is given out when no node is missing in it
 *  and nothing came for a moment, or when nothing came for longer.
 */
#ifndef HOPS_H
#define HOPS_H

#include "events.h"
#include "millis.h"

#define HOPS_TRACES 4096
#define HOPS_EVENTS 128
#define HOPS_WHOLE_MS 250   //  Of silence, when nothing is missing
#define HOPS_WAIT_MS 2000   //  When a node's part is missing
#define HOPS_ROOT_MS 10000  //  When the terminal's part is
#define HOPS_JOINED_MS                                                         \
    10000  //  What was given out is kept for those that joined

typedef struct hops hops_t;

//  One line of a tree, below the one before that is less deep.
typedef struct {
    const event_t *event;  //  Of a silent node: of who asked it
    const char *node;
    unsigned depth;
    bool is_request;  //  Else something that happened to it at that node, or
    bool is_silent;   //  a node that was asked and of which nothing came
    bool is_tried;    //  It gave its asker nothing
    bool is_joined;   //  Of another trace, which this one waited with
    double here_ms;   //  That this node did not wait for another one
    double way_ms;    //  That its asker waited beyond what this node took;
    bool has_way;     //  not known of the first
} hop_t;

//  Where most of its time was.
typedef struct {
    const hop_t *hops;
    size_t count;
    size_t slowest;   //  Which of them,
    bool is_way;      //  on the way to it or within it
    double most_ms;   //  and how long
    bool is_partial;  //  It says a node of which nothing came
} hops_tree_t;

hops_t *hops_new(void);
void hops_destroy(hops_t **self_p);

//  An event came; it is copied. One without a trace is left out. The caller
//  takes everything that is due before it adds another one.
void hops_add(hops_t *self, const event_t *event, millis_t now);

//  When hops_take has one; MILLIS_NEVER: not before another event.
millis_t hops_due(const hops_t *self);

//  The next tree that is to be given out; with `all`, also before its time.
//  False: there is none. It is lent until the next call.
bool hops_take(hops_t *self, bool all, millis_t now, hops_tree_t *tree_r);

#endif
