#include <stdarg.h>

#include "checksum.h"
#include "invariant.h"
#include "node.h"

enum {
    STREAMS_MOST = 65536,
    PASSING_BYTES = 16 * 1024 * 1024,
    UNKNOWN_MOST = 1024,  //  Of them that the origin never spoke of
    FORGET_MS = 30000,    //  A stream that nobody wants
};

/*--------------------------------------------------------- streams, links */

stream_t *
node_stream(relay_t *self, uint64_t id)
{
    return zhashx_lookup(self->streams, &id);
}

stream_t *
node_open_stream(relay_t *self, uint64_t id, bool known)
{
    stream_t *stream = node_stream(self, id);
    if (stream || id == 0 || zhashx_size(self->streams) >= STREAMS_MOST ||
        (!known && self->unknown >= UNKNOWN_MOST))
        return stream;
    self->unknown++;  //  Until the origin's word on it comes
    stream = zmalloc(sizeof *stream);
    stream->id = id;
    stream->node = self;
    stream->idle = self->now;
    stream->is_idle = true;
    stream->end = window_end(self->window, id);
    if (stream->end < window_end(self->passing, id))
        stream->end = window_end(self->passing, id);
    follow_begin(stream);
    zhashx_insert(self->streams, &stream->id, stream);
    self->coarse_at = millis_least(self->coarse_at, self->now);
    return stream;
}

static void
close_stream(relay_t *self, stream_t *stream)
{
    follow_end(stream);
    grants_forget(self->grants, stream->id);
    if (*stream->name)
        zhashx_delete(self->names, stream->name);
    zhashx_delete(self->streams, &stream->id);
    self->unknown -= !stream->known;
    free(stream);
}

int
node_link(const relay_t *self, const char *name)
{
    for (size_t i = 0; i < self->links_count; i++)
        if (streq(self->links[i].name, name))
            return (int)i;
    return -1;
}

size_t
node_parent(const relay_t *self, size_t best, millis_t now)
{
    size_t count = self->settings.parents_count;
    for (size_t i = 0; i < count; i++)
        if (self->links[(best + i) % count].shunned <= now)
            return (best + i) % count;
    return best;
}

void
node_shun(relay_t *self, int link, millis_t now)
{
    if (link >= 0)
        self->links[link].shunned = now + span(self, AVOID_MS);
}

void
node_note(relay_t *self, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    self->effects.note(self->with, text);
}

void
node_refuse(relay_t *self, const peer_t *peer, uint64_t request, uint64_t trace,
            status_t status, const char *text, uint64_t nearest)
{
    Rill__V1__Refused refused = message_refusal(status, text, nearest);
    message_t message = MESSAGE(REFUSED, refused, &refused, request, trace);
    (void)self->effects.send(self->with, peer, &message, NULL);
}

/*------------------------------------------------- what the origin told us */

//  It goes forward only, as what comes late must not turn it back. The origin
//  itself has the right time.
static void
tell_time(const relay_t *self, micros_t *clock_us, micros_t told_us)
{
    if (told_us > *clock_us || (told_us && self->root))
        *clock_us = told_us;
}

void
node_told(stream_t *stream, uint64_t first, uint64_t head, bool sealed,
          micros_t as_of_us)
{
    if (!stream->known && (as_of_us || head)) {
        stream->known = true;
        stream->node->unknown--;
    }
    stream->calm = stream->calm && head <= stream->head &&
                   first <= stream->first && sealed <= stream->sealed;
    if (head > stream->head)
        stream->head = head;
    if (first > stream->first)
        stream->first = first;
    stream->sealed = stream->sealed || sealed;
    tell_time(stream->node, &stream->as_of_us, as_of_us);
    tell_time(stream->node, &stream->node->now_us, as_of_us);
    stream->unknown = 0;
}

//  Take the moment out that tells least: its neighbours are nearest in time.
static void
thin(stream_t *stream)
{
    size_t least = 1;
    for (size_t i = 2; i + 1 < stream->moments_count; i++)
        if (stream->moments[i + 1].created_us -
                stream->moments[i - 1].created_us <
            stream->moments[least + 1].created_us -
                stream->moments[least - 1].created_us)
            least = i;
    stream->moments_count--;
    memmove(&stream->moments[least], &stream->moments[least + 1],
            (stream->moments_count - least) * sizeof *stream->moments);
}

void
node_moment(stream_t *stream, uint64_t offset, micros_t created_us, bool said)
{
    size_t at = stream->moments_count;
    while (at > 0 && stream->moments[at - 1].offset > offset)
        at--;
    if (at > 0 &&
        (stream->moments[at - 1].offset == offset ||
         (!said && created_us - stream->moments[at - 1].created_us < 1000000)))
        return;
    if (stream->moments_count == MOMENTS) {
        if (at == 0)
            return;  //  It has one that is older than this
        thin(stream);
        node_moment(stream, offset, created_us, said);
        return;
    }
    memmove(&stream->moments[at + 1], &stream->moments[at],
            (stream->moments_count - at) * sizeof *stream->moments);
    stream->moments[at].offset = offset;
    stream->moments[at].created_us = created_us;
    stream->moments_count++;
}

void
node_hole(stream_t *stream, uint64_t from, uint64_t to)
{
    stream->calm = false;
    for (size_t i = 0; i < stream->holes_count; i++)
        if (stream->holes[i].to == to) {
            if (from < stream->holes[i].from)
                stream->holes[i].from = from;
            return;
        }
    if (stream->holes_count == HOLES) {
        memmove(&stream->holes[0], &stream->holes[1],
                (HOLES - 1) * sizeof *stream->holes);
        stream->holes_count--;
    }
    stream->holes[stream->holes_count].from = from;
    stream->holes[stream->holes_count++].to = to;
}

uint64_t
node_past_hole(const stream_t *stream, uint64_t offset)
{
    if (offset < stream->first)
        return stream->first;
    for (size_t i = 0; i < stream->holes_count; i++)
        if (stream->holes[i].from <= offset && offset < stream->holes[i].to)
            return stream->holes[i].to;
    return offset;
}

micros_t
node_horizon(const relay_t *self)
{
    return self->now_us - self->settings.window_ms * 1000;
}

uint64_t
node_old_end(const stream_t *stream)
{
    micros_t from = node_horizon(stream->node);
    for (size_t i = stream->moments_count; i-- > 0;)
        if (stream->moments[i].created_us < from)
            return stream->moments[i].offset + 1;
    return 0;
}

bool
node_is_old(const stream_t *stream, uint64_t offset)
{
    return offset < node_old_end(stream);
}

/*-------------------------------------------------------------- a chunk */

//  Every ask that the chunk answers.
static void
land_all(relay_t *self, const flights_chunk_t *chunk)
{
    enum { AT_ONCE = 64 };
    uint64_t offsets[AT_ONCE], stream = chunk->header->key.stream;
    uint64_t from = chunk->header->offset, to = from + chunk->header->length;
    size_t count;
    while ((count = flights_within(self->flights, stream, from, to, offsets,
                                   AT_ONCE)) > 0)
        for (size_t i = 0; i < count; i++)
            flights_land(self->flights, stream, offsets[i], chunk);
}

void
node_take(relay_t *self, const flights_chunk_t *chunk, came_t came,
          millis_t now)
{
    const chunk_header_t *header = chunk->header;
    uint64_t end = header->offset + header->length;
    stream_t *stream = node_stream(self, header->key.stream);
    if (!stream || header->length == 0)
        return;
    node_told(stream, 0, chunk->head > end ? chunk->head : end, chunk->sealed,
              chunk->now_us);
    stream->alike = header->length == stream->chunk_bytes ? stream->alike + 1
                                                          : 0;
    stream->chunk_bytes = header->length;
    if (came == CAME_LIVE)
        stream->live_at = now;
    //  Moments tell roughly what is old, a chunk exactly.
    if (came == CAME_FETCHED && header->created_us < node_horizon(self))
        came = CAME_STRAIGHT;
    if (came != CAME_STRAIGHT)
        node_moment(stream, header->offset, header->created_us, false);
    flights_chunk_t whole = *chunk;
    whole.head = stream->head;
    whole.sealed = stream->sealed;
    whole.now_us = stream->as_of_us;
    if (end > stream->end)
        stream->end = end;
    if (came == CAME_STRAIGHT)
        window_add(self->passing, header, chunk->payload);
    else if (window_add(self->window, header, chunk->payload)) {
        if (came == CAME_LIVE)
            lend_publish(stream, &whole);
        if (!stream->flowing) {
            stream->flowing = true;
            stream->flow = header->offset;
        }
    }
    land_all(self, &whole);
    pursue_fill(stream, now);
    watch_pump(stream, now);
}

//  What came over a link: whether it is what its header says.
static bool
is_right(relay_t *self, const Rill__V1__ChunkHeader *from, buffer_t *payload,
         chunk_header_t *header_r)
{
    bool right = payload && message_to_chunk(from, header_r) == STATUS_OK &&
                 !chunk_is_parity(header_r) &&
                 header_r->length == buffer_size(payload) &&
                 header_r->payload_crc == checksum_crc32c(buffer_bytes(payload),
                                                          buffer_size(payload));
    if (!right)
        happened_fault(self, COUNTER_faults_total_chunk_corrupt, STATUS_CORRUPT,
                       "link", "chunk");
    return right;
}

//  It came in, whoever asked for it.
static void
entered(relay_t *self, int link, const chunk_header_t *header)
{
    stream_t *stream = node_stream(self, header->key.stream);
    self->counters.values[COUNTER_taken_bytes_total] += header->length;
    if (stream && is_side(self, link))
        stream->from_siblings += header->length;
    else if (stream)
        stream->from_parents += header->length;
}

void
node_gave(relay_t *self, uint64_t id, size_t bytes)
{
    stream_t *stream = node_stream(self, id);
    self->counters.values[COUNTER_given_bytes_total] += bytes;
    if (stream)
        stream->given += bytes;
}

//  An ask ended by a route.
static void
took(void *with, Rill__V1__Route route, millis_t asked)
{
    static const counter_time_t TIMES[] = {
        [RILL__V1__ROUTE__ROUTE_UNSPECIFIED] = TIME_request_seconds_refused,
        [RILL__V1__ROUTE__ROUTE_LOCAL] = TIME_request_seconds_local,
        [RILL__V1__ROUTE__ROUTE_SIBLING] = TIME_request_seconds_sibling,
        [RILL__V1__ROUTE__ROUTE_PARENT] = TIME_request_seconds_parent,
        [RILL__V1__ROUTE__ROUTE_UP] = TIME_request_seconds_up,
        [RILL__V1__ROUTE__ROUTE_STORE] = TIME_request_seconds_store,
        [RILL__V1__ROUTE__ROUTE_DECODED] = TIME_request_seconds_decoded,
    };
    relay_t *self = with;
    INVARIANT(route < sizeof TIMES / sizeof *TIMES);
    counters_took(&self->counters, TIMES[route], self->now - asked);
}

/*------------------------------------------------------------- new, destroy */

static void
fetch(void *with, uint64_t stream, uint64_t offset, millis_t now)
{
    pursue_fetch(with, stream, offset, now);
}

static void
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    relay_t *self = with;
    if (message->body_case == RILL__V1__MESSAGE__BODY_ANSWER)
        node_gave(self, message->answer->chunk->stream, buffer_size(payload));
    (void)self->effects.send(self->with, peer, message, payload);
}

relay_t *
relay_new(const relay_settings_t *settings, const relay_effects_t *effects,
          void *with, millis_t now)
{
    static const flights_effects_t FETCHES = { .fetch = fetch,
                                               .send = send_front,
                                               .took = took };
    relay_t *self = zmalloc(sizeof *self);
    self->settings = *settings;
    self->effects = *effects;
    self->with = with;
    self->root = settings->parents_count == 0;
    self->began = self->now = now;
    self->coarse_at = MILLIS_NEVER;
    self->incarnation = settings->incarnation;
    self->links_count = settings->parents_count + settings->siblings_count;
    self->links = zmalloc((self->links_count + 1) * sizeof *self->links);
    for (size_t i = 0; i < self->links_count; i++)
        self->links[i] = (link_t){
            .name = i < settings->parents_count
                        ? settings->parents[i]
                        : settings->siblings[i - settings->parents_count],
            .keep_at = MILLIS_NEVER,
        };
    self->streams = table_new();
    self->names = zhashx_new();
    zhashx_set_key_duplicator(self->names, NULL);
    zhashx_set_key_destructor(self->names, NULL);
    self->window = window_new(settings->window_bytes, depot_spill, self);
    self->passing = window_new(PASSING_BYTES, NULL, NULL);
    depot_new(self);
    self->flights = flights_new(&FETCHES, settings->sink, self);
    self->grants = grants_new(span(self, GRANTS_LEASE_MS));
    self->sessions = sessions_new(span(self, SESSIONS_LEASE_MS));
    self->siblings = siblings_new(settings->group, settings->siblings,
                                  settings->siblings_count);
    self->pursuits = zlistx_new();
    self->passed = zlistx_new();
    return self;
}

void
relay_destroy(relay_t **self_p)
{
    relay_t *self = *self_p;
    if (!self)
        return;
    flights_destroy(&self->flights);
    pursue_destroy(self);
    pass_destroy(self);
    stream_t *stream;
    while ((stream = zhashx_first(self->streams)) != NULL)
        close_stream(self, stream);
    zhashx_destroy(&self->streams);
    zhashx_destroy(&self->names);
    window_destroy(&self->window);
    window_destroy(&self->passing);
    depot_destroy(self);
    grants_destroy(&self->grants);
    sessions_destroy(&self->sessions);
    siblings_destroy(&self->siblings);
    free(self->links);
    free(self);
    *self_p = NULL;
}

/*------------------------------------------------------------------ events */

//  A cache asks where a time lies.
static void
on_locate(relay_t *self, const peer_t *peer, const message_t *message,
          millis_t now)
{
    const Rill__V1__Locate *question = message->locate;
    if (question->at_case == RILL__V1__LOCATE__AT_TIME_US)
        pass_locate(self, peer, message->request, message->trace,
                    question->stream, question->time_us, WAIT_ANSWER, now);
    else
        node_refuse(self, peer, message->request, message->trace,
                    STATUS_ARGUMENT, NULL, 0);
}

static bool
front(relay_t *self, const peer_t *peer, const message_t *message, millis_t now)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_KEEP:
        lend_keep(self, peer, message, now);
        return true;
    case RILL__V1__MESSAGE__BODY_WATCH:
        watch_open(self, peer, message, now);
        return true;
    case RILL__V1__MESSAGE__BODY_WATCH_KEEP:
        watch_keep(self, peer, message, now);
        return true;
    case RILL__V1__MESSAGE__BODY_STOP:
        watch_stop(self, peer, message, now);
        return true;
    default:
        break;
    }
    if (message->body_case == RILL__V1__MESSAGE__BODY_LOCATE) {
        on_locate(self, peer, message, now);
        return true;
    }
    if (self->root)
        return false;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_ASK:
        pursue_ask(self, peer, message, now);
        return true;
    case RILL__V1__MESSAGE__BODY_DESCRIBE:
    case RILL__V1__MESSAGE__BODY_LIST:
    case RILL__V1__MESSAGE__BODY_LIST_CHUNKS:
        pass_ask(self, peer, message, WAIT_ANSWER, now);
        return true;
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
        report_answer(self, peer, message, now);
        return true;
    default:
        return false;
    }
}

bool
relay_on_front(relay_t *self, const peer_t *peer, const message_t *message,
               millis_t now)
{
    self->now = now;
    bool ours = front(self, peer, message, now);
    if (!ours)
        counters_up(&self->counters, COUNTER_faults_total_misplaced);
    follow_flush(self, now);
    return ours;
}

//  An Answer: the chunk is taken whoever asked for it, if anybody still does.
static void
on_answer(relay_t *self, int link, const message_t *message, buffer_t *payload,
          millis_t now)
{
    chunk_header_t header;
    bool right = is_right(self, message->answer->chunk, payload, &header);
    if (right)
        entered(self, link, &header);
    pursue_answer(self, link, message, right ? payload : NULL, now);
}

void
relay_on_link(relay_t *self, int link, const message_t *message,
              buffer_t *payload, millis_t now)
{
    self->now = now;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_KEPT:
        follow_kept(self, link, message->kept, now);
        break;
    case RILL__V1__MESSAGE__BODY_ANSWER:
        on_answer(self, link, message, payload, now);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        if (!pursue_answer(self, link, message, NULL, now))
            pass_answer(self, link, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_DESCRIBED:
    case RILL__V1__MESSAGE__BODY_LISTING:
    case RILL__V1__MESSAGE__BODY_LAYOUT:
    case RILL__V1__MESSAGE__BODY_LOCATED:
        pass_answer(self, link, message, now);
        break;
    default:
        happened_fault(self, COUNTER_faults_total_misplaced, STATUS_KIND,
                       "link", message_kind(message));
        break;
    }
    follow_flush(self, now);
}

void
relay_on_published(relay_t *self, int link, uint64_t id, uint64_t topic,
                   const message_t *message, buffer_t *payload, millis_t now)
{
    self->now = now;
    stream_t *stream = node_stream(self, id);
    chunk_header_t header;
    if (message->body_case != RILL__V1__MESSAGE__BODY_FLOW || !stream ||
        stream->heard_link != link || stream->heard_topic != topic) {
        happened_fault(self, COUNTER_faults_total_misplaced, STATUS_KIND,
                       "published", message_kind(message));
        return;
    }
    if (!is_right(self, message->flow->chunk, payload, &header) ||
        header.key.stream != id)
        return;
    flights_chunk_t chunk = {
        .header = &header,
        .payload = payload,
        .route = is_side(self, link) ? RILL__V1__ROUTE__ROUTE_SIBLING
                                     : RILL__V1__ROUTE__ROUTE_PARENT,
        .now_us = message->flow->now_us,
        .source = self->links[link].name,
    };
    counters_up(&self->counters, node_taken_from(self, link));
    entered(self, link, &header);
    node_take(self, &chunk, CAME_LIVE, now);
    follow_flush(self, now);
}

void
relay_on_disconnect(relay_t *self, int link, millis_t now)
{
    self->now = now;
    self->links[link].lost = true;
    node_shun(self, link, now);
    self->coarse_at = now;
    pursue_lost(self, link, now);
    pass_lost(self, link, now);
}

void
relay_on_packet(relay_t *self, const packet_t *packet, millis_t now)
{
    self->now = now;
    if (packet->incarnation == self->incarnation &&
        packet->node == packet_name(self->settings.node))
        return;  //  Its own, as multicast gives it back
    counters_up(&self->counters, COUNTER_packets_received_total);
    int sibling = siblings_take(self->siblings, packet, now);
    if (sibling < 0) {
        happened_fault(self, COUNTER_packets_dropped_total_unknown, STATUS_KIND,
                       "bus", "");
        return;
    }
    follow_packet(self, sibling, packet, now);
    pursue_question(self, now);
    follow_flush(self, now);
}

/*---------------------------------------------------------------- the root */

void
relay_on_chunk(relay_t *self, const flights_chunk_t *chunk, millis_t now)
{
    self->now = now;
    if (node_stream(self, chunk->header->key.stream))
        node_take(self, chunk, CAME_LIVE, now);
}

void
relay_on_stream(relay_t *self, uint64_t id, millis_t now)
{
    self->now = now;
    stream_t *stream = node_stream(self, id);
    relay_facts_t facts;
    if (!stream ||
        self->effects.look(self->with, NULL, id, &facts) != STATUS_OK)
        return;
    node_told(stream, facts.first, facts.head, facts.sealed, facts.now_us);
    watch_pump(stream, now);
}

void
relay_on_gone(relay_t *self, uint64_t id, millis_t now)
{
    self->now = now;
    stream_t *stream = node_stream(self, id);
    if (!stream)
        return;
    stream->unknown = MILLIS_NEVER;
    watch_failed(stream, 0, STATUS_UNKNOWN, 0, now);
    window_forget(self->window, id);
    window_forget(self->passing, id);
    depot_forget(self, id);
    close_stream(self, stream);
}

void
relay_ask(relay_t *self, const peer_t *peer, const message_t *question,
          uint64_t stream, uint64_t offset, millis_t due, millis_t now)
{
    self->now = now;
    flights_ask(self->flights, peer, question, stream, offset, due, now);
}

void
relay_land(relay_t *self, uint64_t id, uint64_t offset,
           const flights_chunk_t *chunk, millis_t now)
{
    self->now = now;
    flights_land(self->flights, id, offset, chunk);
    if (node_stream(self, id))
        node_take(self, chunk, CAME_STRAIGHT, now);
}

void
relay_fail(relay_t *self, uint64_t id, uint64_t offset, status_t status,
           const char *text, uint64_t nearest, millis_t now)
{
    self->now = now;
    flights_fail(self->flights, id, offset, status, text, nearest);
    stream_t *stream = node_stream(self, id);
    if (stream)
        watch_failed(stream, offset, status, nearest, now);
}

void
relay_late(relay_t *self, uint64_t stream, uint64_t offset, const char *node,
           micros_t since)
{
    flights_late(self->flights, stream, offset, node, since);
}

void
relay_waited(relay_t *self, uint64_t stream, uint64_t offset, const char *node,
             micros_t since)
{
    flights_waited(self->flights, stream, offset, node, since);
}

uint64_t
relay_trace(const relay_t *self, uint64_t stream, uint64_t offset)
{
    return flights_trace(self->flights, stream, offset);
}

bool
relay_wanted(const relay_t *self, uint64_t stream, uint64_t offset)
{
    return flights_wanted(self->flights, stream, offset);
}

/*-------------------------------------------------------------------- time */

//  Nobody wants anything of it, and has not for a while.
static bool
is_forgotten(stream_t *stream, millis_t now)
{
    uint64_t any;
    millis_t forget = stream->known ? FORGET_MS : SILENCE_MS;
    return stream->is_idle && stream->source < 0 && stream->seek == SEEK_NONE &&
           now - stream->idle >= span(stream->node, forget) &&
           flights_within(stream->node->flights, stream->id, 0, UINT64_MAX,
                          &any, 1) == 0;
}

static void
sweep_streams(relay_t *self, bool coarse, millis_t now)
{
    zlistx_t *all = zhashx_values(self->streams);
    for (stream_t *stream = zlistx_first(all); stream;
         stream = zlistx_next(all)) {
        if (coarse || follow_due(stream) <= now) {
            lend_sweep(stream, now);
            follow_sweep(stream, now);
            pursue_heads(stream, now);
        }
        if (coarse && stream->again <= now)
            watch_pump(stream, now);
        if (coarse && is_forgotten(stream, now))
            close_stream(self, stream);
    }
    zlistx_destroy(&all);
}

//  A link of which nothing is wanted is closed after a while.
static void
sweep_links(relay_t *self, millis_t now)
{
    for (size_t i = 0; i < self->links_count; i++) {
        link_t *link = &self->links[i];
        if (!link->used || link->keep_at != MILLIS_NEVER ||
            pursue_uses(self, (int)i) || pass_uses(self, (int)i)) {
            link->quiet = now;
            continue;
        }
        if (now - link->quiet < span(self, LINGER_MS))
            continue;
        link->used = false;
        self->effects.hang_up(self->with, (int)i);
    }
}

static bool
is_active(const relay_t *self)
{
    if (zhashx_size(self->streams))
        return true;
    for (size_t i = 0; i < self->links_count; i++)
        if (self->links[i].used)
            return true;
    return false;
}

void
relay_sweep(relay_t *self, millis_t now)
{
    self->now = now;
    bool coarse = self->coarse_at <= now;
    grants_sweep(self->grants, now);
    flights_sweep(self->flights, now);
    watch_sweep(self, now);
    pursue_question(self, now);
    depot_sweep(self, now);
    pursue_sweep(self, now);
    pass_sweep(self, now);
    sweep_streams(self, coarse, now);
    if (coarse) {
        window_age(self->window, node_horizon(self));
        depot_age(self);
        sweep_links(self, now);
        self->coarse_at = is_active(self) ? now + COARSE_MS : MILLIS_NEVER;
    }
    siblings_sweep(self->siblings, now);
    follow_flush(self, now);
}

size_t
relay_topics(const relay_t *self)
{
    enum { LATELY = 256 };
    return 2 * (grants_count(self->grants) + zhashx_size(self->streams)) +
           LATELY;
}

millis_t
relay_due(const relay_t *self)
{
    millis_t due = self->coarse_at;
    due = millis_least(due, grants_due(self->grants));
    due = millis_least(due, flights_due(self->flights));
    due = millis_least(due, sessions_due(self->sessions));
    due = millis_least(due, siblings_due(self->siblings));
    due = millis_least(due, depot_due(self));
    due = millis_least(due, pursue_due(self));
    due = millis_least(due, pass_due(self));
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams))
        due = millis_least(due, follow_due(stream));
    return due;
}
