/*  What this node tells of itself: counts, and stream by stream.
 */
#include "node.h"
#include "version.h"

relay_counts_t
relay_counts(const relay_t *self)
{
    relay_counts_t counts = self->counts;
    counts.sessions = sessions_count(self->sessions);
    counts.flights = flights_count(self->flights);
    counts.grants = grants_count(self->grants);
    counts.window_bytes = window_bytes(self->window);
    counts.window_chunks = window_count(self->window);
    counts.streams = zhashx_size(self->streams);
    depot_count(self, &counts);
    return counts;
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
    relay_counts_t counts = relay_counts(self);
    const struct {
        const char *name;
        uint64_t value;
    } counted[] = {
        { "sessions", counts.sessions },
        { "flights", counts.flights },
        { "grants", counts.grants },
        { "window_bytes", counts.window_bytes },
        { "window_chunks", counts.window_chunks },
        { "chunks_from_here", counts.from_here },
        { "chunks_from_siblings", counts.from_side },
        { "chunks_from_parents", counts.from_parent },
        { "chunks_from_above", counts.from_up },
        { "chunks_published", counts.published },
        { "chunks_delivered", counts.delivered },
        { "bytes_taken", counts.taken_bytes },
        { "bytes_given", counts.given_bytes },
        { "bytes_delivered", counts.delivered_bytes },
        { "packets_in", counts.packets_in },
        { "packets_dropped", counts.packets_dropped },
        { "corrupt_chunks", counts.corrupt },
        { "misplaced", counts.misplaced },
        { "late_fetches", counts.late },
        { "disk_bytes", counts.disk_bytes },
        { "disk_chunks", counts.disk_chunks },
        { "chunks_from_disk", counts.from_disk },
        { "chunks_disk_refused", counts.disk_refused },
        { "chunks_disk_lost", counts.disk_lost },
    };
    enum { COUNTED = sizeof counted / sizeof *counted };
    enum { OTHERS = 32, ALL = COUNTED + OTHERS };
    Rill__V1__Counter counters[ALL], *list[ALL];
    size_t count = COUNTED;
    for (size_t i = 0; i < COUNTED; i++) {
        rill__v1__counter__init(&counters[i]);
        counters[i].name = message_lend(counted[i].name);
        counters[i].value = counted[i].value;
    }
    if (self->effects.count)
        count += self->effects.count(self->with, &counters[COUNTED], OTHERS);
    for (size_t i = 0; i < count; i++)
        list[i] = &counters[i];
    relay_told_t told;
    relay_tell(self, message->status_ask->from, &told);
    Rill__V1__Report body = RILL__V1__REPORT__INIT;
    body.role = message_lend("cache");
    body.node = message_lend(self->settings.node);
    body.version = message_lend(RILL_VERSION);
    body.uptime_ms = now - self->began;
    body.streams = counts.streams;
    body.memory_bytes = counts.window_bytes;
    body.counters = list;
    body.n_counters = count;
    body.carried = told.list;
    body.n_carried = told.count;
    body.next = told.next;
    if (self->settings.sink)
        body.tap_at = message_lend(self->settings.sink->at);
    message_t answer = MESSAGE(REPORT, report, &body, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer, NULL);
}
