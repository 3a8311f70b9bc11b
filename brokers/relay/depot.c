/*  The part of the window that lies on a disk: what memory has no room for goes
 *  there, and is read back once for all who ask. Whatever the disk does not
 *  give comes from where everything comes from.
 */
#include "checksum.h"
#include "invariant.h"
#include "node.h"

//  A chunk that is being read, for a flight.
typedef struct {
    uint64_t stream, offset, number;
    asking_t asking;
    millis_t due;
} recall_t;

struct depot {
    window_t *places;
    zlistx_t *recalls;  //  recall_t, owned
    uint64_t number;    //  Of the last chunk that was kept
    uint64_t released;  //  The owner took it up to here
    bool lost;          //  It takes nothing any more
};

void
depot_new(relay_t *self)
{
    if (!self->settings.disk_bytes)
        return;
    self->depot = zmalloc(sizeof *self->depot);
    self->depot->places = window_new(self->settings.disk_bytes, NULL, NULL);
    self->depot->recalls = zlistx_new();
}

void
depot_destroy(relay_t *self)
{
    struct depot *depot = self->depot;
    if (!depot)
        return;
    recall_t *recall;
    while ((recall = zlistx_detach(depot->recalls, NULL)) != NULL)
        free(recall);
    zlistx_destroy(&depot->recalls);
    window_destroy(&depot->places);
    free(depot);
    self->depot = NULL;
}

void
depot_spill(void *with, const window_chunk_t *chunk)
{
    relay_t *self = with;
    struct depot *depot = self->depot;
    const chunk_header_t *header = &chunk->header;
    if (!depot || depot->lost || header->created_us < node_horizon(self) ||
        window_reach(depot->places, header->key.stream, header->offset) >=
            header->offset + header->length)
        return;
    if (self->effects.keep(self->with, ++depot->number, header,
                           chunk->payload) != STATUS_OK ||
        !window_add_place(depot->places, header, depot->number))
        counters_up(&self->counters, COUNTER_window_disk_failed_total_refused);
}

const window_chunk_t *
depot_find(const relay_t *self, uint64_t stream, uint64_t offset)
{
    return self->depot ? window_find(self->depot->places, stream, offset)
                       : NULL;
}

const window_chunk_t *
depot_at(const relay_t *self, uint64_t stream, micros_t time_us)
{
    return self->depot ? window_at(self->depot->places, stream, time_us) : NULL;
}

//  What is held of a stream, with what memory has of it.
window_span_t
depot_span(const relay_t *self, uint64_t stream)
{
    window_span_t span = window_span(self->window, stream);
    window_span_t more = { 0 };
    if (self->depot)
        more = window_span(self->depot->places, stream);
    if (more.bytes && (!span.bytes || more.oldest_us < span.oldest_us))
        span.oldest_us = more.oldest_us;
    if (more.newest_us > span.newest_us)
        span.newest_us = more.newest_us;
    span.bytes += more.bytes;
    return span;
}

void
depot_count(const relay_t *self, relay_counts_t *counts)
{
    if (!self->depot)
        return;
    counts->disk_bytes = window_bytes(self->depot->places);
    counts->disk_chunks = window_count(self->depot->places);
}

uint64_t
depot_reach(const relay_t *self, uint64_t stream, uint64_t offset)
{
    return self->depot ? window_reach(self->depot->places, stream, offset)
                       : offset;
}

uint64_t
depot_next(const relay_t *self, uint64_t stream, uint64_t offset)
{
    return self->depot ? window_next(self->depot->places, stream, offset)
                       : UINT64_MAX;
}

static recall_t *
recall_of(const struct depot *depot, uint64_t stream, uint64_t offset)
{
    recall_t *at = depot ? zlistx_first(depot->recalls) : NULL;
    while (at && (at->stream != stream || at->offset != offset))
        at = zlistx_next(depot->recalls);
    return at;
}

void
depot_join(relay_t *self, uint64_t stream, uint64_t offset)
{
    recall_t *recall = recall_of(self->depot, stream, offset);
    if (recall && recall->asking.side)
        recall->asking = self->asking;
}

bool
depot_fetch(relay_t *self, uint64_t id, uint64_t offset, millis_t now)
{
    struct depot *depot = self->depot;
    if (recall_of(depot, id, offset))
        return true;  //  For a flight before this one
    const window_chunk_t *kept = depot_find(self, id, offset);
    stream_t *stream = kept ? node_open_stream(self, id, true) : NULL;
    if (!stream || self->asking.up || node_is_old(stream, offset) ||
        self->effects.recall(self->with, kept->number) != STATUS_OK)
        return false;
    recall_t *recall = zmalloc(sizeof *recall);
    *recall = (recall_t){ .stream = id,
                          .offset = offset,
                          .number = kept->number,
                          .asking = self->asking,
                          .due = now + span(self, HOP_MS) };
    zlistx_add_end(depot->recalls, recall);
    return true;
}

//  The disk does not have it, or not in time.
static void
fail(relay_t *self, recall_t *recall, millis_t now)
{
    recall_t was = *recall;
    zlistx_detach(self->depot->recalls,
                  zlistx_find(self->depot->recalls, recall));
    free(recall);
    if (!flights_wanted(self->flights, was.stream, was.offset) ||
        !node_stream(self, was.stream))
        return;
    self->asking = was.asking;
    pursue_fetch_far(self, was.stream, was.offset, now);
    self->asking = (asking_t){ .up = false };
}

static recall_t *
next_of(const struct depot *depot, uint64_t number)
{
    recall_t *recall = zlistx_first(depot->recalls);
    while (recall && recall->number != number)
        recall = zlistx_next(depot->recalls);
    return recall;
}

//  Whether what was read is what was kept.
static bool
is_right(const window_chunk_t *kept, const buffer_t *payload)
{
    return payload && buffer_size(payload) == kept->header.length &&
           checksum_crc32c(buffer_bytes(payload), buffer_size(payload)) ==
               kept->header.payload_crc;
}

void
relay_recalled(relay_t *self, uint64_t number, status_t status,
               buffer_t *payload, millis_t now)
{
    struct depot *depot = self->depot;
    recall_t *recall = depot ? next_of(depot, number) : NULL;
    self->now = now;
    if (!recall)
        return;
    const window_chunk_t *kept = depot_find(self, recall->stream,
                                            recall->offset);
    if (status != STATUS_OK || !kept || kept->number != number ||
        !is_right(kept, payload)) {
        counters_up(&self->counters, COUNTER_window_disk_failed_total_lost);
        window_drop_place(depot->places, number);
        while ((recall = next_of(depot, number)) != NULL)
            fail(self, recall, now);
        follow_flush(self, now);
        return;
    }
    while ((recall = next_of(depot, number)) != NULL) {
        zlistx_detach(depot->recalls, zlistx_find(depot->recalls, recall));
        free(recall);
    }
    chunk_header_t header = kept->header;
    flights_chunk_t chunk = { .header = &header,
                              .payload = payload,
                              .route = RILL__V1__ROUTE__ROUTE_LOCAL,
                              .watermark = header.watermark };
    counters_up(&self->counters, COUNTER_chunks_taken_total_disk);
    node_take(self, &chunk, CAME_STRAIGHT, now);
    follow_flush(self, now);
}

void
relay_unkept(relay_t *self, uint64_t number, millis_t now)
{
    self->now = now;
    if (!self->depot)
        return;
    counters_up(&self->counters, COUNTER_window_disk_failed_total_refused);
    window_drop_place(self->depot->places, number);
}

void
relay_on_disk_lost(relay_t *self, millis_t now)
{
    struct depot *depot = self->depot;
    self->now = now;
    if (!depot)
        return;
    window_destroy(&depot->places);
    depot->places = window_new(self->settings.disk_bytes, NULL, NULL);
    depot->lost = true;
    recall_t *recall;
    while ((recall = zlistx_first(depot->recalls)) != NULL)
        fail(self, recall, now);
    follow_flush(self, now);
}

void
depot_forget(relay_t *self, uint64_t stream)
{
    if (self->depot)
        window_forget(self->depot->places, stream);
}

void
depot_age(relay_t *self)
{
    struct depot *depot = self->depot;
    if (!depot)
        return;
    window_age(depot->places, node_horizon(self));
    uint64_t first = window_first_place(depot->places);
    if (first > depot->number)
        first = depot->number + 1;
    if (first == depot->released)
        return;
    if (self->effects.release(self->with, first) == STATUS_OK)
        depot->released = first;
}

void
depot_sweep(relay_t *self, millis_t now)
{
    struct depot *depot = self->depot;
    size_t count = depot ? zlistx_size(depot->recalls) : 0;
    for (size_t i = 0; i < count; i++) {
        recall_t *recall = zlistx_detach(depot->recalls, NULL);
        if (!recall)
            return;
        zlistx_add_end(depot->recalls, recall);
        if (recall->due > now)
            continue;
        counters_up(&self->counters, COUNTER_asks_late_total);
        fail(self, recall, now);
    }
}

millis_t
depot_due(const relay_t *self)
{
    millis_t due = MILLIS_NEVER;
    const struct depot *depot = self->depot;
    for (recall_t *at = depot ? zlistx_first(depot->recalls) : NULL; at;
         at = zlistx_next(depot->recalls))
        due = millis_least(due, at->due);
    return due;
}
