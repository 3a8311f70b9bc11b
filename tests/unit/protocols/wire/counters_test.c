#include "counters.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

static const settings_role_t ROLES[] = { SETTINGS_FORWARDER, SETTINGS_WORKER,
                                         SETTINGS_CACHE, SETTINGS_DIRECTOR };

static bool
ends(const char *text, const char *with)
{
    size_t size = strlen(text), of = strlen(with);
    return size >= of && strcmp(text + size - of, with) == 0;
}

static bool
is_legal(const char *name)
{
    for (const char *at = name; *at; at++)
        if (!islower((unsigned char)*at) && *at != '_')
            return false;
    return strncmp(name, "rill_", 5) == 0;
}

static void
every_family_is_legal_and_explained(void)
{
    const counters_family_t *family;
    for (size_t i = 0; (family = counters_family(i)); i++) {
        CHECK(is_legal(family->name));
        CHECK(strlen(family->help) > 10 && ends(family->help, "."));
        CHECK(ends(family->name, "_total") ==
              (strcmp(family->type, "counter") == 0));
        CHECK(ends(family->name, "_seconds") ==
              (strcmp(family->type, "histogram") == 0));
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(counters_family(j)->name, family->name) != 0);
    }
}

//  {label="word"} with one or two labels, all words of ours.
static void
every_label_is_of_a_closed_set(void)
{
    const counters_series_t *series;
    for (size_t i = 0; (series = counters_series(i)); i++) {
        const char *at = series->labels;
        CHECK(series->roles != 0);
        CHECK(!*at == (strchr(series->name, '{') == NULL));
        if (!*at)
            continue;
        CHECK(ends(at, "\"}"));
        do {
            at++;
            size_t label = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
            CHECK(label > 0 && strncmp(at + label, "=\"", 2) == 0);
            at += label + 2;
            size_t word = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
            CHECK(word > 0 && at[word] == '"');
            at += word + 1;
        } while (*at == ',');
        CHECK(strcmp(at, "}") == 0);
    }
}

//  Prometheus wants each family once, its series in a row.
static void
series_stand_with_their_family(void)
{
    size_t last = 0;
    const counters_series_t *series;
    for (size_t i = 0; (series = counters_series(i)); i++) {
        CHECK(series->family == last || series->family == last + 1);
        last = series->family;
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(counters_series(j)->name, series->name) != 0);
    }
    CHECK(counters_family(last + 1) == NULL);
}

static void
a_report_tells_what_is_not_nothing(void)
{
    counters_t counters = { 0 };
    counters_told_t told;
    counters_tell(&counters, SETTINGS_CACHE, &told);
    CHECK(told.count == 0);
    counters_up(&counters, COUNTER_sessions);
    counters_up(&counters, COUNTER_chunks_taken_total_sibling);
    counters_up(&counters, COUNTER_store_bytes);  //  None of a cache's
    counters_tell(&counters, SETTINGS_CACHE, &told);
    CHECK(told.count == 2);
    CHECK(counters_find(told.list, told.count,
                        "rill_chunks_taken_total{route=\"sibling\"}") == 1);
    CHECK(counters_find(told.list, told.count, "rill_sessions") == 1);
    CHECK(counters_find(told.list, told.count, "rill_grants") == 0);
}

static void
the_buckets_of_a_histogram_add_up(void)
{
    counters_t one = { 0 }, counters = { 0 };
    static const millis_t SPANS[] = { -5, 0, 0, 2, 849, 850, 70000 };
    for (size_t i = 0; i < sizeof SPANS / sizeof *SPANS; i++)
        counters_took(&one, TIME_commit_seconds, SPANS[i]);
    counters_add(&counters, &one);
    counters_add(&counters, &one);
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    counters_print(&counters, SETTINGS_WORKER, to);
    fclose(to);
    static const char *const LINES[] = {
        "# TYPE rill_commit_seconds histogram\n"
        "rill_commit_seconds_bucket{le=\"0.001\"} 6\n"
        "rill_commit_seconds_bucket{le=\"0.003\"} 8\n",
        "rill_commit_seconds_bucket{le=\"0.25\"} 8\n"
        "rill_commit_seconds_bucket{le=\"0.85\"} 10\n"
        "rill_commit_seconds_bucket{le=\"1\"} 12\n",
        "rill_commit_seconds_bucket{le=\"+Inf\"} 14\n"
        "rill_commit_seconds_sum 143.402\n"
        "rill_commit_seconds_count 14\n",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++)
        CHECK(strstr(text, LINES[i]));
    free(text);
}

static void
a_median_is_found_in_what_was_told(void)
{
    counters_t counters = { 0 };
    counters_told_t told, before;
    Rill__V1__Report now = RILL__V1__REPORT__INIT, was = now;
    const char *name = "rill_request_seconds{route=\"parent\"}";
    CHECK(counters_quantile(&now, NULL, name, 0.5) < 0);
    for (int i = 0; i < 10; i++)
        counters_took(&counters, TIME_request_seconds_parent, 30);
    counters_tell(&counters, SETTINGS_CACHE, &before);
    was.counters = before.list;
    was.n_counters = before.count;
    double median = counters_quantile(&was, NULL, name, 0.5);
    CHECK(median > 20 && median <= 50);
    CHECK(counters_quantile(&was, &was, name, 0.5) < 0);
    for (int i = 0; i < 10; i++)
        counters_took(&counters, TIME_request_seconds_parent, 900);
    counters_tell(&counters, SETTINGS_CACHE, &told);
    now.counters = told.list;
    now.n_counters = told.count;
    median = counters_quantile(&now, &was, name, 0.5);
    CHECK(median > 850 && median <= 1000);
}

//  Every counter at its largest, and every bucket: what a head has room for
//  beside workers and streams.
static void
all_of_a_role_fits_a_report(void)
{
    counters_t counters;
    counters_told_t told;
    for (size_t i = 0; i < COUNTERS_COUNT; i++)
        counters.values[i] = UINT64_MAX;
    for (size_t i = 0; i < COUNTERS_SPANS; i++)
        for (size_t b = 0; b < COUNTERS_BUCKETS; b++)
            counters.spans[i].buckets[b] = UINT32_MAX;
    for (size_t i = 0; i < sizeof ROLES / sizeof *ROLES; i++) {
        Rill__V1__Report report = RILL__V1__REPORT__INIT;
        counters_tell(&counters, ROLES[i], &told);
        report.counters = told.list;
        report.n_counters = told.count;
        CHECK(rill__v1__report__get_packed_size(&report) < 16 * 1024);
        for (size_t c = 0; c < told.count; c++)
            CHECK(ends(told.list[c]->name, "}") ==
                  (strchr(told.list[c]->name, '{') != NULL));
    }
}

int
main(void)
{
    CASE(every_family_is_legal_and_explained,
         "counters 1: every family has a legal name, a type and a sentence");
    CASE(every_label_is_of_a_closed_set,
         "counters 1: every label is of a closed set");
    CASE(series_stand_with_their_family,
         "counters 1: a family is told once, its series in a row");
    CASE(a_report_tells_what_is_not_nothing,
         "counters 1: a report tells what its role counts and is not 0");
    CASE(the_buckets_of_a_histogram_add_up,
         "counters 2: a histogram's buckets, sum and count add up");
    CASE(a_median_is_found_in_what_was_told,
         "counters 2: a median is found in two reports");
    CASE(all_of_a_role_fits_a_report,
         "invariant 18: all that a role counts takes 16 KiB of a report");
    return proof_end();
}
