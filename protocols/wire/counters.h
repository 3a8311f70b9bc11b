/*  counters - what a node counts, from one table
 *
 *  Invariants
 *    1. Report.counters, Sample.counters, /metrics and `rill help counters` come
 *       from counters_table.h: a family's name, type and sentence, and labels of
 *       closed sets.
 *    2. A histogram's buckets add up: each says how many spans were shorter than
 *       its bound, the last one how many there were.
 *
 *  A plain value: counting neither allocates nor reads a clock. A core counts
 *  into its own; who tells adds them up and sets what is as it is just then.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "counters_table.h"
#include "message.h"
#include "millis.h"
#include "settings.h"

#define COUNTERS_NOTHING(...)
#define COUNTERS_NUMBER(family, suffix, roles, labels) COUNTER_##family##suffix,
#define COUNTERS_TIME(family, suffix, roles, labels) TIME_##family##suffix,

typedef enum {
    COUNTERS(COUNTERS_NOTHING, COUNTERS_NUMBER) COUNTERS_COUNT
} counter_t;
typedef enum {
    COUNTERS_TIMES(COUNTERS_NOTHING, COUNTERS_TIME) COUNTERS_SPANS
} counter_time_t;

//  Bounds of every histogram, in milliseconds; what they are the goal of:
//  1, 3    a hop, and its slowest of a hundred
//  10, 50  a commit, and its longest
//  20, 60  the first byte of what a cache holds, and of what is three tiers up
//  250     a chunk of a link before the next one is asked
//  850     an acknowledgement: 4 chunks of 200 ms, and 50
//  1 s     what is live
//  3 s     until a node whose parent died has another
//  5 s     until all moves again; an ask's budget
#define COUNTERS_BOUNDS_MS 1, 3, 10, 20, 50, 60, 250, 850, 1000, 3000, 5000
#define COUNTERS_BUCKETS 12  //  One for each of these, and the rest

typedef struct {
    uint64_t buckets[COUNTERS_BUCKETS];  //  Each by itself
    uint64_t sum_ms;
} counters_span_t;

typedef struct {
    uint64_t values[COUNTERS_COUNT];
    counters_span_t spans[COUNTERS_SPANS];
} counters_t;

static inline void
counters_up(counters_t *self, counter_t which)
{
    self->values[which]++;
}

//  Something took so long; what ran backwards took no time.
void counters_took(counters_t *self, counter_time_t which, millis_t span);

//  All of another one's.
void counters_add(counters_t *self, const counters_t *other);

//  What a node of a role tells that is not 0, as counters of a Report or Sample:
//  values as "family{label="value"}", and of a histogram that was used the
//  buckets, each with all below it, and the count (its sum is no whole number:
//  only /metrics tells it). Lent until `told_r` goes.
#define COUNTERS_TOLD (COUNTERS_COUNT + COUNTERS_SPANS * (COUNTERS_BUCKETS + 1))
typedef struct {
    Rill__V1__Counter bodies[COUNTERS_TOLD];
    Rill__V1__Counter *list[COUNTERS_TOLD];
    size_t count;
    char names[COUNTERS_SPANS * (COUNTERS_BUCKETS + 1)][64];
} counters_told_t;
void counters_tell(const counters_t *self, settings_role_t role,
                   counters_told_t *told_r);

//  The same as Prometheus' text, version 0.0.4, zeros too.
void counters_print(const counters_t *self, settings_role_t role, FILE *to);

//  A stream that is told by its name, in families of its own.
#define COUNTERS_STREAM(name, ...) STREAM_##name,
enum { COUNTERS_STREAMS(COUNTERS_STREAM) COUNTERS_OF_STREAM };
typedef struct {
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t values[COUNTERS_OF_STREAM];
} counters_stream_t;

//  False: it has no name, and nothing is written.
bool counters_stream(const Rill__V1__StreamReport *told,
                     counters_stream_t *stream_r);

//  As Prometheus' text; no two have one name.
void counters_print_streams(const counters_stream_t *streams, size_t count,
                            FILE *to);

//  The table for people: who tells what, a paragraph per family.
void counters_explain(FILE *to);

//  A value of a Report or Sample by its name; 0: it is not told.
uint64_t counters_find(Rill__V1__Counter *const *counters, size_t count,
                       const char *name);

//  The value below which a part (0.5: the median) of a histogram's spans lie, in
//  milliseconds, from what a Report told, less what it told before (NULL: since
//  the start). `name` is a family with or without labels, as
//  "rill_request_seconds{route=\"local\"}". -1: there were none.
double counters_quantile(const Rill__V1__Report *report,
                         const Rill__V1__Report *before, const char *name,
                         double part);

//  For tests: the nth family and series; NULL: there is none.
typedef struct {
    const char *name, *help;
    const char *type;  //  counter, gauge, histogram
} counters_family_t;
typedef struct {
    size_t family;       //  Its number
    unsigned roles;      //  1 << settings_role_t
    const char *name;    //  With its labels
    const char *labels;  //  "" or {…}
} counters_series_t;
const counters_family_t *counters_family(size_t nth);
const counters_series_t *counters_series(size_t nth);

#endif
