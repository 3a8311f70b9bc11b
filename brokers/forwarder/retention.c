#include "retention.h"

enum {
    SPAN_MOST_MS = 60 * 60 * 1000,
    SPAN_LEAST_MS = 1000,
    PARTS = 32,  //  Of what is kept, that go one by one
};

void
retention_start(retention_t *self, const retention_limits_t *limits,
                micros_t wall_us, micros_t clock_us, micros_t horizon_us,
                millis_t now)
{
    *self = (retention_t){
        .limits = *limits,
        .clock_us = wall_us > clock_us ? wall_us : clock_us,
        .at = now,
        .horizon_us = horizon_us,
        .spaced = now,
    };
}

micros_t
retention_clock(const retention_t *self, millis_t now)
{
    return self->clock_us + (now > self->at ? (now - self->at) * 1000 : 0);
}

bool
retention_limited(const retention_t *self)
{
    return self->limits.keep_ms || self->limits.most_bytes ||
           self->limits.keep_free;
}

millis_t
retention_span_ms(const retention_t *self)
{
    uint64_t span = self->limits.keep_ms / PARTS;
    if (self->limits.keep_ms == 0 || span > SPAN_MOST_MS)
        return SPAN_MOST_MS;
    return span < SPAN_LEAST_MS ? SPAN_LEAST_MS : (millis_t)span;
}

bool
retention_ends(const retention_t *self, micros_t begun_us, uint64_t bytes,
               millis_t now)
{
    const retention_limits_t *limits = &self->limits;
    if (!retention_limited(self))
        return false;
    if (retention_clock(self, now) - begun_us >= retention_span_ms(self) * 1000)
        return true;
    return (limits->most_bytes && bytes >= limits->most_bytes / PARTS) ||
           (limits->keep_free && bytes >= limits->keep_free / 4);
}

//  Move it up to `to`, never back and never past the clock (invariant 2).
static bool
move(retention_t *self, micros_t to, millis_t now)
{
    micros_t clock = retention_clock(self, now);
    to = to < clock ? to : clock;
    if (to <= self->horizon_us)
        return false;
    self->horizon_us = to;
    return true;
}

bool
retention_age(retention_t *self, const retention_stock_t *stock,
              millis_t elapsed_ms, millis_t now)
{
    if (self->limits.keep_ms == 0)
        return false;
    micros_t clock = retention_clock(self, now);
    if (self->limits.keep_ms > (uint64_t)clock / 1000)
        return false;
    micros_t wanted = clock - (micros_t)self->limits.keep_ms * 1000;
    micros_t reach = self->horizon_us + 2000 * elapsed_ms;
    if (stock->oldest_us > reach)
        reach = stock->oldest_us;  //  Nothing is below: a jump drops nothing
    return move(self, wanted < reach ? wanted : reach, now);
}

//  Whether there are more bytes than may be kept.
static bool
over(const retention_t *self, const retention_stock_t *stock)
{
    return self->limits.most_bytes && stock->bytes > self->limits.most_bytes;
}

bool
retention_wants(const retention_t *self, const retention_stock_t *stock)
{
    return (over(self, stock) ||
            (self->limits.keep_free && stock->short_of_space)) &&
           stock->oldest_us != RETENTION_NONE;
}

bool
retention_space(retention_t *self, const retention_stock_t *stock,
                millis_t pause_ms, millis_t now)
{
    bool full = self->limits.keep_free && stock->short_of_space &&
                now >= self->spaced + pause_ms;
    if ((!over(self, stock) && !full) || stock->oldest_end_us == RETENTION_NONE)
        return false;
    if (!move(self, stock->oldest_end_us + 1, now))
        return false;
    if (full)
        self->spaced = now;
    return true;
}
