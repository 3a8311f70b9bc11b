#include "census.h"

#include "proof.h"

#define LEASE 3000

static census_news_t
report(census_t *census, size_t cache, uint64_t incarnation, uint64_t seq,
       uint64_t sessions, millis_t now)
{
    return census_report(
        census, cache, &(census_load_t){ incarnation, seq, sessions, 0 }, now);
}

static void
a_cache_lives_while_its_lease_runs(void)
{
    census_t *census = census_new(2, LEASE);
    CHECK(census_count(census) == 0 && census_due(census) == MILLIS_NEVER);
    CHECK(report(census, 1, 7, 1, 0, 100) == CENSUS_CAME);
    CHECK(census_lives(census, 1) && !census_lives(census, 0));
    CHECK(census_due(census) == 100 + LEASE);
    CHECK(report(census, 1, 7, 2, 0, 1100) == CENSUS_KNOWN);
    CHECK(census_sweep(census, 1099 + LEASE) == -1);
    CHECK(census_sweep(census, 1100 + LEASE) == 1);
    CHECK(census_sweep(census, 1100 + LEASE) == -1);
    CHECK(!census_lives(census, 1) && census_count(census) == 0);
    CHECK(report(census, 1, 7, 3, 0, 9000) == CENSUS_CAME);
    census_destroy(&census);
}

static void
one_that_leaves_or_starts_anew_is_told_apart(void)
{
    census_t *census = census_new(1, LEASE);
    report(census, 0, 7, 5, 3, 0);
    CHECK(report(census, 0, 8, 1, 0, 10) == CENSUS_CAME);
    CHECK(census_sessions(census, 0) == 0);
    CHECK(!census_leave(census, 0, 7) && census_lives(census, 0));
    CHECK(census_leave(census, 0, 8) && !census_lives(census, 0));
    CHECK(!census_leave(census, 0, 8));
    census_destroy(&census);
}

static void
an_old_report_changes_nothing(void)
{
    census_t *census = census_new(1, LEASE);
    report(census, 0, 7, 5, 3, 0);
    CHECK(report(census, 0, 7, 5, 9, 50) == CENSUS_OLD);
    CHECK(report(census, 0, 7, 4, 9, 50) == CENSUS_OLD);
    CHECK(report(census, 0, 6, 9, 9, 50) == CENSUS_OLD);
    CHECK(census_sessions(census, 0) == 3 && census_due(census) == LEASE);
    census_destroy(&census);
}

static void
who_was_sent_counts_until_the_next_report(void)
{
    census_t *census = census_new(1, LEASE);
    report(census, 0, 7, 1, 3, 0);
    census_send(census, 0);
    census_send(census, 0);
    CHECK(census_sessions(census, 0) == 5);
    report(census, 0, 7, 1, 3, 10);
    CHECK(census_sessions(census, 0) == 5);
    report(census, 0, 7, 2, 4, 10);
    CHECK(census_sessions(census, 0) == 4);
    census_destroy(&census);
}

int
main(void)
{
    CASE(a_cache_lives_while_its_lease_runs,
         "census 1: a cache lives from its first report to its lease's end");
    CASE(one_that_leaves_or_starts_anew_is_told_apart,
         "census 1: one that leaves is gone, one that starts anew is new");
    CASE(an_old_report_changes_nothing,
         "census 2: a report older than the known one changes nothing");
    CASE(who_was_sent_counts_until_the_next_report,
         "census 3: who was sent there counts until the next report");
    return proof_end();
}
