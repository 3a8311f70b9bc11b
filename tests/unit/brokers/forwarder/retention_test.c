#include "retention.h"

#include "proof.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define WALL (INT64_C(1700000000) * SECOND)

enum { HOUR_MS = 3600 * 1000 };

static const retention_stock_t NOTHING = { .oldest_us = RETENTION_NONE,
                                           .oldest_end_us = RETENTION_NONE };

static retention_t
started(uint64_t keep_ms, micros_t wall_us, micros_t clock_us,
        micros_t horizon_us)
{
    retention_t self;
    retention_limits_t limits = { .keep_ms = keep_ms };
    retention_start(&self, &limits, wall_us, clock_us, horizon_us, 1000);
    return self;
}

static void
the_clock_runs_as_monotonic_time(void)
{
    retention_t self = started(72 * HOUR_MS, WALL, 0, 0);
    CHECK(retention_clock(&self, 1000) == WALL);
    CHECK(retention_clock(&self, 1500) == WALL + SECOND / 2);
    CHECK(retention_clock(&self, 900) == WALL);  //  Never back
    //  A restart on a wall that went back, and on one that went on.
    self = started(72 * HOUR_MS, WALL - 72 * HOUR, WALL, 0);
    CHECK(retention_clock(&self, 1000) == WALL);
    self = started(72 * HOUR_MS, WALL + 72 * HOUR, WALL, 0);
    CHECK(retention_clock(&self, 1000) == WALL + 72 * HOUR);
}

//  Sweep each second for `seconds`, with an extent at `oldest`.
static millis_t
pass(retention_t *self, millis_t now, int64_t seconds, micros_t oldest)
{
    retention_stock_t stock = { .oldest_us = oldest,
                                .oldest_end_us = RETENTION_NONE };
    for (int64_t i = 0; i < seconds; i++) {
        micros_t before = self->horizon_us;
        now += 1000;
        retention_age(self, &stock, 1000, now);
        CHECK(self->horizon_us >= before);
        CHECK(self->horizon_us <= retention_clock(self, now));
        CHECK(self->horizon_us <= oldest ||
              self->horizon_us - before <= 2 * SECOND || before < oldest);
    }
    return now;
}

static void
what_is_stored_is_kept_for_its_age(void)
{
    retention_t self = started(HOUR_MS, WALL, 0, 0);
    //  Begun at the start: not below the horizon before an hour is over.
    millis_t now = pass(&self, 1000, 3600, WALL);
    CHECK(self.horizon_us == WALL);
    pass(&self, now, 1, WALL);
    CHECK(self.horizon_us == WALL + SECOND);
}

static void
a_wall_that_jumped_while_it_was_down_takes_nothing_at_once(void)
{
    //  Stored half an hour before; the wall says that it was 73 hours.
    micros_t old = WALL - HOUR / 2;
    retention_t self = started(HOUR_MS, WALL + 72 * HOUR, WALL, old - HOUR);
    pass(&self, 1000, 1, old);
    CHECK(self.horizon_us == old);  //  A jump over what is empty
    pass(&self, 2000, 10, old);
    CHECK(self.horizon_us == old + 20 * SECOND);
    //  What was stored since then stays for its hour, to the second.
    self = started(HOUR_MS, WALL + 72 * HOUR, WALL, old - HOUR);
    pass(&self, 1000, 3600, WALL + 72 * HOUR);
    CHECK(self.horizon_us == WALL + 72 * HOUR);
    //  And on a wall that went back it goes all the same, as time passes.
    self = started(HOUR_MS, WALL - 72 * HOUR, WALL, old - HOUR);
    pass(&self, 1000, 3600, old);
    CHECK(self.horizon_us == WALL);
}

static void
without_a_limit_nothing_moves(void)
{
    retention_t self = started(0, WALL, 0, 77);
    retention_stock_t stock = { .oldest_us = WALL - HOUR,
                                .oldest_end_us = WALL,
                                .bytes = UINT64_MAX,
                                .short_of_space = true };
    CHECK(!retention_limited(&self));
    CHECK(!retention_age(&self, &stock, HOUR_MS, HOUR_MS));
    CHECK(!retention_space(&self, &stock, 0, HOUR_MS));
    CHECK(!retention_ends(&self, 0, UINT64_MAX, HOUR_MS));
    CHECK(self.horizon_us == 77);
}

static void
the_beginning_of_time_is_no_trap(void)
{
    retention_t self = started(UINT64_MAX / 2, 5, 0, 0);
    CHECK(!retention_age(&self, &NOTHING, 1000, 2000));
    self = started(1000, 5, 0, 0);
    CHECK(!retention_age(&self, &NOTHING, 1000, 1001));
    CHECK(self.horizon_us == 0);
}

static void
bytes_take_the_oldest_one_by_one(void)
{
    retention_t self;
    retention_limits_t limits = { .most_bytes = 1000 };
    retention_start(&self, &limits, WALL, 0, 0, 0);
    retention_stock_t stock = { .oldest_us = WALL - HOUR,
                                .oldest_end_us = WALL - HOUR + 50,
                                .bytes = 1000 };
    CHECK(!retention_space(&self, &stock, 2000, 1));
    stock.bytes = 1001;
    CHECK(retention_space(&self, &stock, 2000, 1));
    CHECK(self.horizon_us == WALL - HOUR + 51);
    CHECK(!retention_space(&self, &stock, 2000, 1));  //  That one is gone
    stock.oldest_end_us = WALL - 7;
    CHECK(retention_space(&self, &stock, 2000, 1));  //  At once
    CHECK(self.horizon_us == WALL - 6);
    stock.oldest_end_us = RETENTION_NONE;
    CHECK(!retention_space(&self, &stock, 2000, 1));
}

static void
a_full_worker_takes_the_oldest_and_waits(void)
{
    retention_t self;
    retention_limits_t limits = { .keep_free = 1000 };
    retention_start(&self, &limits, WALL, 0, 0, 0);
    retention_stock_t stock = { .oldest_us = WALL - HOUR,
                                .oldest_end_us = WALL - HOUR + 50,
                                .bytes = 1000 };
    CHECK(!retention_space(&self, &stock, 2000, 5000));
    stock.short_of_space = true;
    CHECK(!retention_space(&self, &stock, 2000, 1999));
    CHECK(retention_space(&self, &stock, 2000, 5000));
    stock.oldest_end_us += 50;
    CHECK(!retention_space(&self, &stock, 2000, 6999));
    CHECK(retention_space(&self, &stock, 2000, 7000));
    //  What cannot go is not passed over: that would give nothing back.
    stock.oldest_end_us = RETENTION_NONE;
    CHECK(!retention_space(&self, &stock, 2000, 90000));
    CHECK(retention_wants(&self, &stock));
    stock.oldest_us = RETENTION_NONE;
    CHECK(!retention_wants(&self, &stock));
    //  Nor is the clock.
    stock.oldest_end_us = WALL + 72 * HOUR;
    CHECK(retention_space(&self, &stock, 2000, 90000));
    CHECK(self.horizon_us == retention_clock(&self, 90000));
}

static void
extents_end_by_time_and_bytes(void)
{
    retention_t self = started(32 * 60000, WALL, 0, 0);
    CHECK(retention_span_ms(&self) == 60000);
    CHECK(!retention_ends(&self, WALL, UINT64_MAX, 60999));
    CHECK(retention_ends(&self, WALL, 0, 61000));
    self.limits.keep_ms = UINT64_C(365) * 24 * HOUR_MS;
    CHECK(retention_span_ms(&self) == HOUR_MS);
    self.limits.keep_ms = 2000;
    CHECK(retention_span_ms(&self) == 1000);
    self.limits.most_bytes = 3200;
    CHECK(!retention_ends(&self, WALL, 99, 1000));
    CHECK(retention_ends(&self, WALL, 100, 1000));
    self.limits = (retention_limits_t){ .keep_free = 400 };
    CHECK(retention_span_ms(&self) == HOUR_MS);
    CHECK(!retention_ends(&self, WALL, 99, 1000));
    CHECK(retention_ends(&self, WALL, 100, 1000));
}

int
main(void)
{
    CASE(the_clock_runs_as_monotonic_time,
         "retention 1: the clock runs as monotonic time does, and never back");
    CASE(what_is_stored_is_kept_for_its_age,
         "retention 3, invariant 11: what is stored is kept for its age and no "
         "longer");
    CASE(a_wall_that_jumped_while_it_was_down_takes_nothing_at_once,
         "retention 2, 3: a wall 72 h off after a restart moves the horizon by "
         "2 s a second at most");
    CASE(without_a_limit_nothing_moves,
         "retention 5: without a limit nothing moves");
    CASE(the_beginning_of_time_is_no_trap,
         "an age beyond the beginning of time keeps everything");
    CASE(bytes_take_the_oldest_one_by_one,
         "retention 4: too many bytes take the oldest, one by one");
    CASE(a_full_worker_takes_the_oldest_and_waits,
         "retention 2, 4: a worker short of space takes the oldest, then time "
         "to give it back");
    CASE(extents_end_by_time_and_bytes,
         "what goes together is a small part of what is kept");
    return proof_end();
}
