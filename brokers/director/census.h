/*  census - which caches live, and how much they carry
 *
 *  Invariants
 *    1. A cache lives from its first report until its lease is over, it says
 *       that it leaves, or a report of a later start takes its place.
 *    2. A report that is older than the one known changes nothing.
 *    3. (live.md 21) What was sent to a cache counts as its load until its
 *       next report.
 *
 *  Caches are numbered in the cluster file's order.
 */
#ifndef CENSUS_H
#define CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millis.h"

typedef struct census census_t;

//  What a cache told.
typedef struct {
    uint64_t incarnation, seq;
    uint64_t sessions;
    uint64_t out_bps;
} census_load_t;

typedef enum {
    CENSUS_OLD,    //  The report changed nothing
    CENSUS_KNOWN,  //  It lived before
    CENSUS_CAME,   //  It lives now
} census_news_t;

census_t *census_new(size_t caches, millis_t lease_ms);
void census_destroy(census_t **self_p);

//  A cache reports.
census_news_t census_report(census_t *self, size_t cache,
                            const census_load_t *load, millis_t now);

//  A cache leaves. False: it did not live, or an older start of it says so.
bool census_leave(census_t *self, size_t cache, uint64_t incarnation);

//  A terminal was sent to a cache.
void census_send(census_t *self, size_t cache);

bool census_lives(const census_t *self, size_t cache);
size_t census_count(const census_t *self);  //  Of those that live

//  Terminals at a cache: told, and sent there since. And what they take.
uint64_t census_sessions(const census_t *self, size_t cache);
uint64_t census_out_bps(const census_t *self, size_t cache);

//  When the next lease ends; and a cache whose lease is over, which lives no
//  more, or -1.
millis_t census_due(const census_t *self);
int census_sweep(census_t *self, millis_t now);

#endif
