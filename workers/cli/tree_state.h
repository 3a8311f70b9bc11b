/*  tree_state - what the nodes of a live tree tell of themselves
 *
 *  The director names the nodes; each of them is asked twice, a second apart,
 *  all at the same time.
 */
#ifndef TREE_STATE_H
#define TREE_STATE_H

#include "counters.h"
#include "message.h"
#include "words.h"

#define TREE_ANSWER_MS 1000  //  Who has not answered by then is silent
#define TREE_RATE_MS 1000    //  Between the two looks

//  A stream at a node.
typedef struct {
    const Rill__V1__StreamReport *told;
    const char *name;            //  "": nobody knows it
    bool rated;                  //  in_bps and out_bps are known
    uint64_t in_bps, out_bps;    //  Of the origin: that its source brings
    bool timed;                  //  lag_ms is known
    uint64_t lag_ms, lag_bytes;  //  Behind the origin; of what is taken
} tree_stream_t;

typedef struct {
    const Rill__V1__NodeReport *node;
    const Rill__V1__Report *report;  //  NULL: it is silent
    uint64_t viewers, bytes_in, bytes_out;
    bool rated;
    uint64_t in_bps, out_bps;
    uint64_t window_bytes, window_ms;  //  Held; from the oldest to the newest
    tree_stream_t *streams;            //  By name
    size_t streams_count;
    bool cut;                        //  There are more streams than these
    double ms;                       //  How long it took to answer
    const Rill__V1__Report *before;  //  A second ago; NULL: none
} tree_node_t;

typedef struct {
    char director[64];
    tree_node_t *nodes;  //  The origin first, then caches in the file's order
    size_t count;
    bool cut;              //  There are more nodes than these
    tree_node_t *workers;  //  In the forwarder's order, if they were asked
    size_t workers_count;
    Rill__V1__NodeReport *places;  //  Of those that no director tells
    struct pages *pages;           //  What all that is lent from
    size_t pages_count;
} tree_state_t;

//  A counter as the node told it last; 0: it did not.
uint64_t tree_node_value(const tree_node_t *node, counter_t which);

//  The milliseconds below which a part (0.5: the median) of a span's times lie:
//  of the second between the two looks if there were any, else since the node's
//  start. -1: there were none.
double tree_node_quantile(const tree_node_t *node, counter_time_t which,
                          double part);

//  How far the worst of its streams is behind the origin.
uint64_t tree_node_lag_ms(const tree_node_t *node);

//  Ask them all. 0, or the exit code: the director does not answer, or is none.
int tree_state_ask(const words_t *words, tree_state_t *state_r);

//  The same, and each worker that the forwarder knows. Who is asked first may be
//  the forwarder, of a cluster that has no director.
int tree_state_ask_all(const words_t *words, tree_state_t *state_r);
void tree_state_free(tree_state_t *state);

#endif
