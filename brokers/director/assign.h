/*  assign - the order in which a terminal is to try caches
 *
 *  Invariants
 *    1. (L2) The first rule that tells two caches apart decides between them;
 *       the rules' order is the cluster file's.
 *    2. The origin comes behind all caches; caches that others hang on come
 *       behind those at the edge, whatever the rules say.
 *    3. The order is total and the same for the same values: nobody is left
 *       out, nobody stands twice.
 */
#ifndef ASSIGN_H
#define ASSIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASSIGN_RULES 3  //  In one cluster file

//  As rill.v1.Rule says them.
typedef enum {
    ASSIGN_ONLY = 1,
    ASSIGN_NEAR = 2,
    ASSIGN_LIGHT = 3,
    ASSIGN_PREFERRED = 4,
    ASSIGN_EDGE = 5,
    ASSIGN_ORIGIN = 6,
    ASSIGN_STREAM = 7,
    ASSIGN_ORDER = 8,
} assign_rule_t;

//  One that may be asked, as the rules see it.
typedef struct {
    size_t number;       //  In the cluster file's order
    bool origin;         //  It is the forwarder
    bool inner;          //  Others hang on it
    unsigned near;       //  Bits of the network it shares with the terminal
    uint64_t sessions;   //  Terminals there,
    uint64_t out_bps;    //  and what they take
    size_t preferred;    //  Its place among the preferred, the least the best
    uint64_t lot;        //  Of stream and cache; 0: no stream was named
    assign_rule_t rule;  //  Written by assign_rank
} assign_place_t;

//  "near", "light" or "preferred"; 0: none of them.
assign_rule_t assign_rule(const char *name);

//  Put places into the order of the rules (of which there are `count`), and
//  give each the rule by which it stands before the next one; the last, by
//  which it stands behind the one before.
void assign_rank(assign_place_t *places, size_t places_count,
                 const assign_rule_t *rules, size_t count);

//  Where the terminals of a stream meet, all else being equal: the highest
//  lot. Highest random weight (Thaler and Ravishankar, IEEE/ACM ToN 6(1),
//  1998): a cache that comes or goes moves only its own streams.
uint64_t assign_lot(const char *stream, const char *cache);

#endif
