/*  What this node tells of itself: counts, and stream by stream.
 */
#include "node.h"
#include "version.h"

relay_counts_t
relay_counts(const relay_t *self)
{
    relay_counts_t counts = {
        .sessions = sessions_count(self->sessions),
        .flights = flights_count(self->flights),
        .grants = grants_count(self->grants),
        .window_bytes = window_bytes(self->window),
        .window_chunks = window_count(self->window),
        .streams = zhashx_size(self->streams),
        .delivered_bytes = self->counters.values[COUNTER_delivered_bytes_total],
        .taken_bytes = self->counters.values[COUNTER_taken_bytes_total],
    };
    depot_count(self, &counts);
    return counts;
}

//  Of what is taken, how far the worst stream is behind what exists.
static uint64_t
behind(const relay_t *self)
{
    uint64_t most = 0;
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams))
        if (stream->flowing && stream->head > stream->flow &&
            stream->head - stream->flow > most)
            most = stream->head - stream->flow;
    return most;
}

size_t
relay_cut_off(const relay_t *self)
{
    size_t count = 0;
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams))
        count += stream->watchers && !stream->sealed && stream->source < 0;
    return count;
}

void
relay_count(const relay_t *self, counters_t *to)
{
    relay_counts_t counts = relay_counts(self);
    counters_add(to, &self->counters);
    to->values[COUNTER_sessions] = counts.sessions;
    to->values[COUNTER_sessions_stalled] = sessions_stalled(self->sessions);
    to->values[COUNTER_flights] = counts.flights;
    to->values[COUNTER_grants] = counts.grants;
    to->values[COUNTER_streams_known] = counts.streams;
    to->values[COUNTER_behind_bytes] = behind(self);
    to->values[COUNTER_window_bytes_memory] = counts.window_bytes;
    to->values[COUNTER_window_bytes_disk] = counts.disk_bytes;
    to->values[COUNTER_window_chunks_memory] = counts.window_chunks;
    to->values[COUNTER_window_chunks_disk] = counts.disk_chunks;
}

size_t
relay_states(const relay_t *self, relay_state_t *states_r, size_t most)
{
    size_t count = 0;
    for (stream_t *stream = zhashx_first(self->streams); stream && count < most;
         stream = zhashx_next(self->streams))
        states_r[count++] = (relay_state_t){
            .stream = stream->id,
            .name = stream->name,
            .source = stream->source,
            .carries = follow_carries(stream),
            .children = grants_of(self->grants, stream->id),
            .followers = stream->followers_count,
            .watchers = stream->watchers,
            .head = stream->head,
            .held = stream->flow,
        };
    return count;
}

enum { LOWEST = RELAY_TOLD + 1 };

//  The streams of the lowest ids from `from` on.
static size_t
lowest(const relay_t *self, uint64_t from, stream_t *lowest_r[LOWEST])
{
    size_t count = 0;
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams)) {
        if (stream->id < from ||
            (count == LOWEST && stream->id > lowest_r[count - 1]->id))
            continue;
        size_t at = count < LOWEST ? count++ : count - 1;
        for (; at > 0 && lowest_r[at - 1]->id > stream->id; at--)
            lowest_r[at] = lowest_r[at - 1];
        lowest_r[at] = stream;
    }
    return count;
}

//  A cache that nobody asked by name knows it from the chunks.
static const char *
name_of(const relay_t *self, const stream_t *stream)
{
    const window_chunk_t *chunk = window_newest(self->window, stream->id);
    relay_facts_t facts;
    if (*stream->name || !self->root)
        return !*stream->name && chunk ? chunk->header.name : stream->name;
    return self->effects.look(self->with, NULL, stream->id, &facts) == STATUS_OK
               ? facts.name
               : "";
}

static void
tell_one(const relay_t *self, const stream_t *stream,
         Rill__V1__StreamReport *body)
{
    window_span_t span = depot_span(self, stream->id);
    rill__v1__stream_report__init(body);
    body->stream = stream->id;
    body->name = message_lend(name_of(self, stream));
    if (stream->source >= 0)
        body->source = message_lend(self->links[stream->source].name);
    body->carries = follow_carries(stream);
    body->sealed = stream->sealed;
    body->watchers = (uint32_t)stream->watchers;
    body->followers = (uint32_t)stream->followers_count;
    body->children = (uint32_t)grants_of(self->grants, stream->id);
    body->head = stream->head;
    body->reached = self->root ? stream->head : stream->flow;
    body->window_bytes = span.bytes;
    body->window_ms = (uint64_t)(span.newest_us - span.oldest_us) / 1000;
    body->newest_us = span.newest_us;
    body->bytes_from_parents = stream->from_parents;
    body->bytes_from_siblings = stream->from_siblings;
    body->bytes_given = stream->given;
}

void
relay_tell(const relay_t *self, uint64_t from, relay_told_t *told_r)
{
    stream_t *streams[LOWEST];
    size_t count = lowest(self, from, streams);
    told_r->next = count == LOWEST ? streams[RELAY_TOLD]->id : 0;
    told_r->count = count == LOWEST ? RELAY_TOLD : count;
    for (size_t i = 0; i < told_r->count; i++) {
        tell_one(self, streams[i], &told_r->bodies[i]);
        told_r->list[i] = &told_r->bodies[i];
    }
}

//  How a cache is, under the words that the forwarder uses.
void
report_answer(relay_t *self, const peer_t *peer, const message_t *message,
              millis_t now)
{
    counters_t counters = { 0 };
    counters_told_t counted;
    relay_count(self, &counters);
    if (self->effects.count)
        self->effects.count(self->with, &counters);
    counters_tell(&counters, SETTINGS_CACHE, &counted);
    relay_told_t told;
    relay_tell(self, message->status_ask->from, &told);
    Rill__V1__Report body = RILL__V1__REPORT__INIT;
    body.role = message_lend("cache");
    body.node = message_lend(self->settings.node);
    body.version = message_lend(RILL_VERSION);
    body.uptime_ms = now - self->began;
    body.streams = counters.values[COUNTER_streams_known];
    body.memory_bytes = counters.values[COUNTER_window_bytes_memory];
    body.counters = counted.list;
    body.n_counters = counted.count;
    body.carried = told.list;
    body.n_carried = told.count;
    body.next = told.next;
    sink_places(self->settings.sink, &body);
    message_t answer = MESSAGE(REPORT, report, &body, message->request,
                               message->trace);
    (void)self->effects.send(self->with, peer, &answer, NULL);
}
