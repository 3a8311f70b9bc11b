/*  What the horizon does to streams (R15): extents that lie wholly below it
 *  leave their chains, streams of which nothing is left are removed, and
 *  workers are told how far they may forget.
 *
 *  What can be read is what stands in a chain; so workers are told no more than
 *  the oldest extent of any chain was begun at, and nothing that is not
 *  recorded: a later term stamps no block below it.
 */
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    AGAIN_LEAST_MS = 250,
    AGAIN_MOST_MS = 10000,
    AGAIN_SPACE_MS = 1000,  //  Space can run out faster than time
    PARTS = 64,             //  So often in what is kept
    MOVES_MOST = 64,        //  For bytes, in one sweep
    PAUSE_MS = 2000,        //  Workers give space back and say so
};

static bool
limited(const stream_t *stream)
{
    return stream->record.retention == RETENTION_LIMITED;
}

//  Nobody writes it and all that was brought is stored.
static bool
idle(const stream_t *stream)
{
    return stream->state == STREAM_OPEN && !stream->attached &&
           stream->ring_count == 0 && stream->pending_count == 0 &&
           !stream->final && zlistx_size(stream->waiting) == 0 &&
           stream->chunker && chunker_next(stream->chunker) <= stream->stored;
}

//  When the newest block of a stream that may go as a whole was opened.
static micros_t
newest(const stream_t *stream)
{
    if (stream->chain_count == 0)
        return RETENTION_NONE;
    micros_t begun = stream->chain[stream->chain_count - 1]->begun_us;
    micros_t last = stream->block_us;
    if (stream->state == STREAM_SEALED)
        last = stream->record.newest_us;
    else if (!idle(stream))
        return RETENTION_NONE;
    return last > begun ? last : begun;
}

//  Extents at the front of the chain of which every block was opened before
//  `below`: live streams go piece by piece, files as a whole.
static size_t
dead_extents(const stream_t *stream, micros_t below)
{
    size_t dead = 0;
    if (stream->state == STREAM_RECOVERING || stream->record.kind != KIND_LIVE)
        return 0;
    while (dead + 1 < stream->chain_count &&
           stream->chain[dead + 1]->begun_us < below &&
           (stream->state == STREAM_SEALED ||
            stream->chain[dead + 1]->base_index <= stream->settled_index))
        dead++;
    return dead;
}

//  When the youngest block of the first extent was opened, at the latest.
static micros_t
oldest_end(const stream_t *stream)
{
    if (dead_extents(stream, RETENTION_NONE) > 0)
        return stream->chain[1]->begun_us;
    if (stream->record.kind == KIND_LIVE && stream->chain_count > 1)
        return RETENTION_NONE;
    return newest(stream);
}

static retention_stock_t
take_stock(core_t *self)
{
    retention_stock_t stock = { .oldest_us = RETENTION_NONE,
                                .oldest_end_us = RETENTION_NONE };
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id)) {
        if (!limited(stream))
            continue;
        uint64_t first = serve_first(stream);
        stock.bytes += stream->stored > first ? stream->stored - first : 0;
        if (stream->chain_count == 0) {
            if (stream->pending_count &&
                stream->pending[0]->begun_us < stock.oldest_us) {
                stock.oldest_us = stream->pending[0]->begun_us;
                stock.oldest_end_us = RETENTION_NONE;
            }
        } else if (stream->chain[0]->begun_us < stock.oldest_us) {
            stock.oldest_us = stream->chain[0]->begun_us;
            stock.oldest_end_us = oldest_end(stream);
        }
    }
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    for (size_t i = 0; i < count; i++)
        if (all[i]->state != WORKER_AWAY &&
            all[i]->free_bytes < self->retention.limits.keep_free)
            stock.short_of_space = true;
    return stock;
}

//  Take what lies wholly below the horizon off one stream.
static void
trim(core_t *self, stream_t *stream)
{
    micros_t horizon = self->retention.horizon_us;
    micros_t last = newest(stream);
    if (last != RETENTION_NONE && last < horizon) {
        core_note(self, 1, "outlived stream=%s", stream->record.name);
        (void)serve_remove(self, stream);
        return;
    }
    size_t dead = dead_extents(stream, horizon);
    if (dead == 0)
        return;
    stream->record.first_index = stream->chain[dead]->base_index;
    status_t status = catalogue_switch(self->catalogue, &stream->record,
                                       stream->chain, dead, NULL, 0);
    if (status != STATUS_OK) {
        core_fail(self, status, "the first bytes of %s could not be forgotten",
                  stream->record.name);
        return;
    }
    for (size_t i = 0; i < dead; i++)
        extent_free(stream->chain[i]);
    stream->chain_count -= dead;
    memmove(stream->chain, stream->chain + dead,
            stream->chain_count * sizeof *stream->chain);
    core_note(self, 2, "trimmed stream=%s first=%" PRIu64, stream->record.name,
              serve_first(stream));
}

static void
trim_all(core_t *self)
{
    size_t count = 0;
    uint64_t *ids = zmalloc((zhashx_size(self->by_id) + 1) * sizeof *ids);
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        if (limited(stream))
            ids[count++] = stream->record.id;
    for (size_t i = 0; i < count && self->fault == STATUS_OK; i++)
        trim(self, core_stream(self, ids[i]));
    free(ids);
}

//  Record how far workers may forget; from then on they are told.
static void
record(core_t *self, micros_t oldest_us, millis_t now)
{
    micros_t horizon = self->retention.horizon_us;
    horizon = oldest_us < horizon ? oldest_us : horizon;
    if (horizon <= self->told_us)
        return;
    status_t status = catalogue_put_horizon(
        self->catalogue, RETENTION_LIMITED,
        retention_clock(&self->retention, now), horizon);
    if (status == STATUS_OK)
        self->told_us = horizon;
    else
        core_fail(self, status, "the horizon could not be recorded");
}

status_t
horizon_start(core_t *self, millis_t now)
{
    micros_t clock = 0;
    status_t status = catalogue_horizon(self->catalogue, RETENTION_LIMITED,
                                        &clock, &self->told_us);
    //  Blocks are stamped later than all there are, whatever the wall says.
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id)) {
        for (size_t i = 0; i < stream->chain_count; i++)
            if (stream->chain[i]->begun_us > clock)
                clock = stream->chain[i]->begun_us;
        if (stream->record.newest_us > clock)
            clock = stream->record.newest_us;
    }
    retention_start(&self->retention, &self->settings.retention,
                    self->effects.wall_us(self->with), clock, self->told_us,
                    now);
    self->aged_at = now;
    return status;
}

bool
horizon_ends_extent(const stream_t *stream, millis_t now)
{
    return stream->extent && stream->extent_blocks > 0 && limited(stream) &&
           stream->record.kind == KIND_LIVE &&
           (stream->extent->begun_us <= stream->core->close_us ||
            retention_ends(&stream->core->retention, stream->extent->begun_us,
                           stream->dealt_end - stream->extent->base_offset,
                           now));
}

static millis_t
pause_of(const core_t *self)
{
    const retention_limits_t *limits = &self->retention.limits;
    bool space = limits->most_bytes || limits->keep_free;
    uint64_t most = space ? AGAIN_SPACE_MS : AGAIN_MOST_MS;
    uint64_t part = limits->keep_ms / PARTS;
    if (limits->keep_ms == 0 || part > most)
        part = most;
    return part < AGAIN_LEAST_MS ? AGAIN_LEAST_MS : (millis_t)part;
}

void
horizon_sweep(core_t *self, millis_t now)
{
    if (horizon_due(self) > now)
        return;
    retention_stock_t stock = take_stock(self);
    uint64_t bytes = stock.bytes, streams = zhashx_size(self->by_id);
    if (retention_age(&self->retention, &stock, now - self->aged_at, now))
        trim_all(self);
    self->aged_at = now;
    stock = take_stock(self);
    for (int i = 0;
         i < MOVES_MOST && retention_space(&self->retention, &stock,
                                           core_patience(self, PAUSE_MS), now);
         i++) {
        trim_all(self);
        stock = take_stock(self);
    }
    //  What is still dealt into must not hold it: such an extent ends with its
    //  next block.
    if (retention_wants(&self->retention, &stock))
        self->close_us = self->retention.horizon_us > stock.oldest_us
                             ? self->retention.horizon_us
                             : stock.oldest_us;
    events_forgotten(self, streams - zhashx_size(self->by_id),
                     bytes - stock.bytes);
    record(self, stock.oldest_us, now);
}

millis_t
horizon_due(const core_t *self)
{
    return retention_limited(&self->retention) ? self->aged_at + pause_of(self)
                                               : MILLIS_NEVER;
}
