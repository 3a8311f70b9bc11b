#include "counters.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum {
    F = 1u << SETTINGS_FORWARDER,
    W = 1u << SETTINGS_WORKER,
    C = 1u << SETTINGS_CACHE,
    D = 1u << SETTINGS_DIRECTOR,
};

#define NUMBER(name, ...) FAMILY_##name,
enum {
    COUNTERS(NUMBER, COUNTERS_NOTHING) COUNTERS_TIMES(NUMBER, COUNTERS_NOTHING)
        FAMILIES
};

#define TOTAL "counter"
#define GAUGE "gauge"
#define FAMILY(name, type, help) { "rill_" #name, help, type },
#define TIMES(name, help) { "rill_" #name, help, "histogram" },
static const counters_family_t FAMILY_TABLE[] = { COUNTERS(
    FAMILY, COUNTERS_NOTHING) COUNTERS_TIMES(TIMES, COUNTERS_NOTHING) };

#define SERIES(family, suffix, roles, labels)                                  \
    { FAMILY_##family, roles, "rill_" #family labels, labels },
static const counters_series_t SERIES_TABLE[] = { COUNTERS(
    COUNTERS_NOTHING, SERIES) COUNTERS_TIMES(COUNTERS_NOTHING, SERIES) };

static const int BOUNDS_MS[COUNTERS_BUCKETS - 1] = { COUNTERS_BOUNDS_MS };

const counters_family_t *
counters_family(size_t nth)
{
    return nth < FAMILIES ? &FAMILY_TABLE[nth] : NULL;
}

const counters_series_t *
counters_series(size_t nth)
{
    return nth < COUNTERS_COUNT + COUNTERS_SPANS ? &SERIES_TABLE[nth] : NULL;
}

/*--------------------------------------------------------------- counting */

void
counters_took(counters_t *self, counter_time_t which, millis_t span)
{
    counters_span_t *to = &self->spans[which];
    size_t at = 0;
    //  `span` is cut to whole milliseconds: 0 is less than one.
    while (at < COUNTERS_BUCKETS - 1 && span >= BOUNDS_MS[at])
        at++;
    to->buckets[at]++;
    to->sum_ms += span > 0 ? (uint64_t)span : 0;
}

void
counters_add(counters_t *self, const counters_t *other)
{
    for (size_t i = 0; i < COUNTERS_COUNT; i++)
        self->values[i] += other->values[i];
    for (size_t i = 0; i < COUNTERS_SPANS; i++) {
        self->spans[i].sum_ms += other->spans[i].sum_ms;
        for (size_t b = 0; b < COUNTERS_BUCKETS; b++)
            self->spans[i].buckets[b] += other->spans[i].buckets[b];
    }
}

/*---------------------------------------------------------------- telling */

static void
tell(counters_told_t *told, const char *name, uint64_t value)
{
    INVARIANT(told->count < COUNTERS_TOLD);
    Rill__V1__Counter *body = &told->bodies[told->count];
    rill__v1__counter__init(body);
    body->name = message_lend(name);
    body->value = value;
    told->list[told->count++] = body;
}

//  A histogram's name with an end, its own labels and perhaps a bound.
static void
print_name(char *text, size_t size, const counters_series_t *series,
           const char *end, const char *bound)
{
    size_t labels = strlen(series->labels);
    snprintf(text, size, "%s%s%s%.*s%s%s%s%s",
             FAMILY_TABLE[series->family].name, end, labels || bound ? "{" : "",
             labels ? (int)labels - 2 : 0, labels ? series->labels + 1 : "",
             labels && bound ? "," : "", bound ? "le=\"" : "",
             bound ? bound : "", bound ? "\"}" : (labels ? "}" : ""));
}

static const char *
bound_text(size_t bucket, char text_r[16])
{
    if (bucket == COUNTERS_BUCKETS - 1)
        return "+Inf";
    snprintf(text_r, 16, "%g", BOUNDS_MS[bucket] / 1e3);
    return text_r;
}

static void
tell_span(const counters_span_t *span, const counters_series_t *series,
          counters_told_t *told, size_t *names)
{
    uint64_t sum = 0;
    char bound[16], *name;
    for (size_t b = 0; b < COUNTERS_BUCKETS; b++) {
        sum += span->buckets[b];
        if (sum == 0)
            continue;
        name = told->names[(*names)++];
        print_name(name, sizeof told->names[0], series, "_bucket",
                   bound_text(b, bound));
        tell(told, name, sum);
    }
    if (sum == 0)
        return;
    name = told->names[(*names)++];
    print_name(name, sizeof told->names[0], series, "_count", NULL);
    tell(told, name, sum);
}

void
counters_tell(const counters_t *self, settings_role_t role,
              counters_told_t *told_r)
{
    size_t names = 0;
    told_r->count = 0;
    for (size_t i = 0; i < COUNTERS_COUNT; i++)
        if (self->values[i] && SERIES_TABLE[i].roles & 1u << role)
            tell(told_r, SERIES_TABLE[i].name, self->values[i]);
    for (size_t i = 0; i < COUNTERS_SPANS; i++) {
        const counters_series_t *series = &SERIES_TABLE[COUNTERS_COUNT + i];
        if (series->roles & 1u << role)
            tell_span(&self->spans[i], series, told_r, &names);
    }
}

static void
print_span(const counters_span_t *span, const counters_series_t *series,
           FILE *to)
{
    uint64_t sum = 0;
    char name[128], bound[16];
    for (size_t b = 0; b < COUNTERS_BUCKETS; b++) {
        sum += span->buckets[b];
        print_name(name, sizeof name, series, "_bucket", bound_text(b, bound));
        fprintf(to, "%s %llu\n", name, (unsigned long long)sum);
    }
    print_name(name, sizeof name, series, "_sum", NULL);
    fprintf(to, "%s %.3f\n", name, (double)span->sum_ms / 1e3);
    print_name(name, sizeof name, series, "_count", NULL);
    fprintf(to, "%s %llu\n", name, (unsigned long long)sum);
}

void
counters_print(const counters_t *self, settings_role_t role, FILE *to)
{
    size_t family = FAMILIES;
    for (size_t i = 0; i < COUNTERS_COUNT + COUNTERS_SPANS; i++) {
        const counters_series_t *series = &SERIES_TABLE[i];
        if (!(series->roles & 1u << role))
            continue;
        if (series->family != family) {
            family = series->family;
            fprintf(to, "# HELP %s %s\n# TYPE %s %s\n",
                    FAMILY_TABLE[family].name, FAMILY_TABLE[family].help,
                    FAMILY_TABLE[family].name, FAMILY_TABLE[family].type);
        }
        if (i < COUNTERS_COUNT)
            fprintf(to, "%s %llu\n", series->name,
                    (unsigned long long)self->values[i]);
        else
            print_span(&self->spans[i - COUNTERS_COUNT], series, to);
    }
}

/*----------------------------------------------------------------- streams */

#define STREAMS(name, type, help, value) { "rill_" #name, help, type },
static const counters_family_t STREAM_TABLE[] = { COUNTERS_STREAMS(STREAMS) };

bool
counters_stream(const Rill__V1__StreamReport *told, counters_stream_t *stream_r)
{
    if (!chunk_name_legal(told->name))
        return false;
    snprintf(stream_r->name, sizeof stream_r->name, "%s", told->name);
#define VALUE(name_, type, help, value)                                        \
    stream_r->values[STREAM_##name_] = (value);
    COUNTERS_STREAMS(VALUE)
#undef VALUE
    return true;
}

void
counters_print_streams(const counters_stream_t *streams, size_t count, FILE *to)
{
    for (size_t family = 0; family < COUNTERS_OF_STREAM && count; family++) {
        const counters_family_t *of = &STREAM_TABLE[family];
        fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", of->name, of->help,
                of->name, of->type);
        for (size_t i = 0; i < count; i++)
            fprintf(to, "%s{stream=\"%s\"} %llu\n", of->name, streams[i].name,
                    (unsigned long long)streams[i].values[family]);
    }
}

/*-------------------------------------------------------------- for people */

static void
explain_family(size_t family, FILE *to)
{
    static const settings_role_t ROLES[] = { SETTINGS_FORWARDER,
                                             SETTINGS_WORKER, SETTINGS_CACHE,
                                             SETTINGS_DIRECTOR };
    unsigned roles = 0;
    for (size_t i = 0; i < COUNTERS_COUNT + COUNTERS_SPANS; i++)
        if (SERIES_TABLE[i].family == family)
            roles |= SERIES_TABLE[i].roles;
    fprintf(to, "%s  (%s;", FAMILY_TABLE[family].name,
            FAMILY_TABLE[family].type);
    for (size_t i = 0; i < sizeof ROLES / sizeof *ROLES; i++)
        if (roles & 1u << ROLES[i])
            fprintf(to, " %s", settings_role(ROLES[i]));
    fprintf(to, ")\n    %s\n", FAMILY_TABLE[family].help);
    for (size_t i = 0; i < COUNTERS_COUNT + COUNTERS_SPANS; i++)
        if (SERIES_TABLE[i].family == family && *SERIES_TABLE[i].labels)
            fprintf(to, "    %s\n", SERIES_TABLE[i].labels);
}

void
counters_explain(FILE *to)
{
    for (size_t family = 0; family < FAMILIES; family++)
        explain_family(family, to);
    for (size_t i = 0; i < COUNTERS_OF_STREAM; i++)
        fprintf(to,
                "%s  (%s; forwarder cache; at /metrics)\n    %s\n"
                "    {stream=\"NAME\"}\n",
                STREAM_TABLE[i].name, STREAM_TABLE[i].type,
                STREAM_TABLE[i].help);
}

/*---------------------------------------------------------- what was told */

uint64_t
counters_find(Rill__V1__Counter *const *counters, size_t count,
              const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(counters[i]->name, name) == 0)
            return counters[i]->value;
    return 0;
}

static uint64_t
found(const Rill__V1__Report *report, const char *name)
{
    return report ? counters_find(report->counters, report->n_counters, name)
                  : 0;
}

//  How many spans were shorter than each bound. A bucket that is not told is
//  as large as the one before it.
static bool
find_buckets(const Rill__V1__Report *report, const counters_series_t *series,
             uint64_t below_r[COUNTERS_BUCKETS])
{
    char name[128], bound[16];
    for (size_t b = 0; b < COUNTERS_BUCKETS; b++) {
        print_name(name, sizeof name, series, "_bucket", bound_text(b, bound));
        below_r[b] = found(report, name);
    }
    return below_r[COUNTERS_BUCKETS - 1] > 0;
}

static const counters_series_t *
span_named(const char *name)
{
    for (size_t i = 0; i < COUNTERS_SPANS; i++)
        if (strcmp(SERIES_TABLE[COUNTERS_COUNT + i].name, name) == 0)
            return &SERIES_TABLE[COUNTERS_COUNT + i];
    return NULL;
}

double
counters_quantile(const Rill__V1__Report *report,
                  const Rill__V1__Report *before, const char *name, double part)
{
    const counters_series_t *series = span_named(name);
    INVARIANT(series);
    uint64_t below[COUNTERS_BUCKETS], was[COUNTERS_BUCKETS];
    if (!find_buckets(report, series, below))
        return -1;
    //  A node that began anew in between tells all there is.
    if (find_buckets(before, series, was) &&
        was[COUNTERS_BUCKETS - 1] <= below[COUNTERS_BUCKETS - 1])
        for (size_t b = 0; b < COUNTERS_BUCKETS; b++)
            below[b] -= was[b];
    double wanted = part * (double)below[COUNTERS_BUCKETS - 1];
    if (below[COUNTERS_BUCKETS - 1] == 0)
        return -1;
    size_t at = 0;
    while (at < COUNTERS_BUCKETS - 1 && (double)below[at] < wanted)
        at++;
    //  Within a bucket they are taken to lie evenly; above the last bound, there.
    double from = at ? BOUNDS_MS[at - 1] : 0;
    if (at == COUNTERS_BUCKETS - 1)
        return from;
    double inside = (double)(below[at] - (at ? below[at - 1] : 0));
    return from + (BOUNDS_MS[at] - from) *
                      (wanted - (double)(at ? below[at - 1] : 0)) / inside;
}
