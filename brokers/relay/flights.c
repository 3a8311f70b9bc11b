#include "flights.h"

#include <czmq.h>

#include "invariant.h"

typedef struct {
    uint64_t stream;
    uint64_t offset;
} place_t;

typedef struct {
    peer_t peer;
    uint64_t request;
    uint64_t trace;
    millis_t due, asked;
} asker_t;

typedef struct {
    place_t key;
    zlistx_t *askers;  //  asker_t, first come first told
    bool own;          //  The owner wants it too
    uint64_t trace;    //  Of the request that it began for
    sink_tries_t tries;
} flight_t;

struct flights {
    flights_effects_t effects;
    const sink_t *sink;
    void *with;
    zhashx_t *by_key;  //  flight_t, invariant 1
    size_t askers;
    millis_t due;  //  Not later than the earliest asker's
};

static size_t
hash_key(const void *key)
{
    const place_t *k = key;
    return (size_t)(k->stream * 0x9e3779b97f4a7c15u ^
                    k->offset * 0xc2b2ae3d27d4eb4fu);
}

static int
compare_key(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(place_t));
}

static void
free_asker(void **asker_p)
{
    free(*asker_p);
    *asker_p = NULL;
}

flights_t *
flights_new(const flights_effects_t *effects, const sink_t *sink, void *with)
{
    flights_t *self = zmalloc(sizeof *self);
    self->effects = *effects;
    self->sink = sink;
    self->with = with;
    self->due = MILLIS_NEVER;
    self->by_key = zhashx_new();
    zhashx_set_key_hasher(self->by_key, hash_key);
    zhashx_set_key_comparator(self->by_key, compare_key);
    zhashx_set_key_duplicator(self->by_key, NULL);
    zhashx_set_key_destructor(self->by_key, NULL);
    return self;
}

static void
free_flight(flights_t *self, flight_t *flight)
{
    self->askers -= zlistx_size(flight->askers);
    zlistx_destroy(&flight->askers);
    free(flight);
}

void
flights_destroy(flights_t **self_p)
{
    flights_t *self = *self_p;
    if (!self)
        return;
    for (flight_t *flight = zhashx_first(self->by_key); flight;
         flight = zhashx_next(self->by_key))
        free_flight(self, flight);
    zhashx_destroy(&self->by_key);
    free(self);
    *self_p = NULL;
}

static void
refuse(flights_t *self, const peer_t *peer, uint64_t request, uint64_t trace,
       status_t status, const char *text, uint64_t nearest)
{
    Rill__V1__Refused refused = message_refusal(status, text, nearest);
    message_t message = MESSAGE(REFUSED, refused, &refused, request, trace);
    self->effects.send(self->with, peer, &message, NULL);
}

static size_t
asks_of(flights_t *self, const peer_t *peer)
{
    size_t count = 0;
    for (flight_t *flight = zhashx_first(self->by_key); flight;
         flight = zhashx_next(self->by_key))
        for (asker_t *asker = zlistx_first(flight->askers); asker;
             asker = zlistx_next(flight->askers))
            count += peer_equal(&asker->peer, peer);
    return count;
}

static flight_t *
begin(flights_t *self, place_t key, uint64_t trace)
{
    flight_t *flight = zmalloc(sizeof *flight);
    flight->key = key;
    flight->trace = trace;
    flight->askers = zlistx_new();
    zlistx_set_destructor(flight->askers, free_asker);
    zhashx_insert(self->by_key, &flight->key, flight);
    return flight;
}

void
flights_ask(flights_t *self, const peer_t *peer, const message_t *question,
            uint64_t stream, uint64_t offset, millis_t due, millis_t now)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (self->askers >= FLIGHTS_ASKERS ||
        (!flight && zhashx_size(self->by_key) >= FLIGHTS_MOST - FLIGHTS_OWN) ||
        (self->askers >= LIMIT_ASKS_PER_PEER &&
         asks_of(self, peer) >= LIMIT_ASKS_PER_PEER)) {
        refuse(self, peer, question->request, question->trace, STATUS_BUSY,
               NULL, 0);
        return;
    }
    bool first = !flight;
    if (first)
        flight = begin(self, key, question->trace);
    asker_t *asker = zmalloc(sizeof *asker);
    *asker = (asker_t){ .peer = *peer,
                        .request = question->request,
                        .trace = question->trace,
                        .due = due,
                        .asked = now };
    zlistx_add_end(flight->askers, asker);
    self->askers++;
    self->due = millis_least(self->due, due);
    if (first)
        self->effects.fetch(self->with, stream, offset, now);
}

bool
flights_want(flights_t *self, uint64_t stream, uint64_t offset, uint64_t trace,
             millis_t now)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (flight) {
        flight->own = true;
        return true;
    }
    if (zhashx_size(self->by_key) >= FLIGHTS_MOST)
        return false;
    begin(self, key, trace)->own = true;
    self->effects.fetch(self->with, stream, offset, now);
    return true;
}

void
flights_unwant(flights_t *self, uint64_t stream, uint64_t offset)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (!flight)
        return;
    flight->own = false;
    if (zlistx_size(flight->askers) == 0) {
        zhashx_delete(self->by_key, &key);
        free_flight(self, flight);
    }
}

size_t
flights_within(const flights_t *self, uint64_t stream, uint64_t from,
               uint64_t to, uint64_t *offsets_r, size_t most)
{
    size_t count = 0;
    for (flight_t *flight = zhashx_first(self->by_key); flight && count < most;
         flight = zhashx_next(self->by_key))
        if (flight->key.stream == stream && flight->key.offset >= from &&
            flight->key.offset < to)
            offsets_r[count++] = flight->key.offset;
    return count;
}

void
flights_asked(flights_t *self, uint64_t stream, uint64_t offset,
              const char *node)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (flight)
        sink_tries(self->sink, &flight->tries, node);
}

void
flights_late(flights_t *self, uint64_t stream, uint64_t offset,
             const char *node, micros_t since)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (!flight || (flight->tries.asked && flight->tries.since <= since))
        return;
    flight->tries.asked = node;
    flight->tries.since = since;
}

void
flights_waited(flights_t *self, uint64_t stream, uint64_t offset,
               const char *node, micros_t since)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (flight)
        sink_waited(self->sink, &flight->tries, node, since);
}

//  Take the flight off the board before anyone is told.
static flight_t *
take(flights_t *self, uint64_t stream, uint64_t offset)
{
    place_t key = { stream, offset };
    flight_t *flight = zhashx_lookup(self->by_key, &key);
    if (flight)
        zhashx_delete(self->by_key, &key);
    return flight;
}

void
flights_answer(flights_t *self, const peer_t *peer, uint64_t request,
               uint64_t trace, const flights_chunk_t *chunk)
{
    chunk_on_wire_t wire;
    message_from_chunk(chunk->header, &wire);
    Rill__V1__Answer answer = RILL__V1__ANSWER__INIT;
    answer.chunk = &wire.header;
    answer.route = chunk->route;
    answer.watermark = chunk->watermark;
    answer.sealed = chunk->sealed;
    answer.now_us = chunk->now_us;
    answer.head = chunk->head;
    message_t message = MESSAGE(ANSWER, answer, &answer, request, trace);
    self->effects.send(self->with, peer, &message, chunk->payload);
}

static void
tell_took(flights_t *self, Rill__V1__Route route, millis_t asked)
{
    if (self->effects.took)
        self->effects.took(self->with, route, asked);
}

//  Who waited is about to be answered: how it came about.
static void
tell_source(flights_t *self, const flight_t *flight, const asker_t *asker,
            const char *node, double ms)
{
    if (!SINK_WANTS(self->sink, REQUEST))
        return;
    sink_source_t source = sink_found(self->sink, &flight->tries,
                                      node ? node : "");
    const char *before = flight->tries.tried;
    if (ms > 0)
        source.ms = ms + (before && node && strcmp(before, node) == 0
                              ? flight->tries.tried_ms
                              : 0);
    source.joined = flight->trace == asker->trace ? 0 : flight->trace;
    sink_sourced(self->sink, &asker->peer, asker->request, &source);
}

//  One who waited is answered, or refused.
static void
land(flights_t *self, const flight_t *flight, const asker_t *asker,
     const flights_chunk_t *chunk)
{
    tell_took(self, chunk->route, asker->asked);
    tell_source(self, flight, asker, chunk->source, chunk->source_ms);
    flights_answer(self, &asker->peer, asker->request, asker->trace, chunk);
}

static void
fail(flights_t *self, const flight_t *flight, const asker_t *asker,
     status_t status, const char *text, uint64_t nearest)
{
    tell_took(self, RILL__V1__ROUTE__ROUTE_UNSPECIFIED, asker->asked);
    tell_source(self, flight, asker, NULL, 0);
    refuse(self, &asker->peer, asker->request, asker->trace, status, text,
           nearest);
}

void
flights_land(flights_t *self, uint64_t stream, uint64_t offset,
             const flights_chunk_t *chunk)
{
    flight_t *flight = take(self, stream, offset);
    if (!flight)
        return;
    for (asker_t *asker = zlistx_first(flight->askers); asker;
         asker = zlistx_next(flight->askers))
        land(self, flight, asker, chunk);
    free_flight(self, flight);
}

void
flights_fail(flights_t *self, uint64_t stream, uint64_t offset, status_t status,
             const char *text, uint64_t nearest)
{
    flight_t *flight = take(self, stream, offset);
    if (!flight)
        return;
    for (asker_t *asker = zlistx_first(flight->askers); asker;
         asker = zlistx_next(flight->askers))
        fail(self, flight, asker, status, text, nearest);
    free_flight(self, flight);
}

bool
flights_wanted(const flights_t *self, uint64_t stream, uint64_t offset)
{
    place_t key = { stream, offset };
    return zhashx_lookup(self->by_key, &key) != NULL;
}

uint64_t
flights_trace(const flights_t *self, uint64_t stream, uint64_t offset)
{
    place_t key = { stream, offset };
    const flight_t *flight = zhashx_lookup(self->by_key, &key);
    return flight ? flight->trace : 0;
}

size_t
flights_count(const flights_t *self)
{
    return zhashx_size(self->by_key);
}

size_t
flights_askers(const flights_t *self)
{
    return self->askers;
}

millis_t
flights_due(const flights_t *self)
{
    return self->due;
}

//  Refuse the askers of one flight whose budget ended; the least due of those
//  that stay.
static millis_t
sweep_flight(flights_t *self, flight_t *flight, millis_t now)
{
    millis_t due = MILLIS_NEVER;
    asker_t *asker = zlistx_first(flight->askers);
    while (asker) {
        void *at = zlistx_cursor(flight->askers);
        asker_t *this = asker;
        asker = zlistx_next(flight->askers);
        if (this->due <= now) {
            fail(self, flight, this, STATUS_LATE, NULL, 0);
            zlistx_delete(flight->askers, at);
            self->askers--;
        } else
            due = millis_least(due, this->due);
    }
    return due;
}

void
flights_sweep(flights_t *self, millis_t now)
{
    if (self->due > now)
        return;
    self->due = MILLIS_NEVER;
    zlistx_t *empty = zlistx_new();
    for (flight_t *flight = zhashx_first(self->by_key); flight;
         flight = zhashx_next(self->by_key)) {
        self->due = millis_least(self->due, sweep_flight(self, flight, now));
        if (zlistx_size(flight->askers) == 0 && !flight->own)
            zlistx_add_end(empty, flight);
    }
    flight_t *flight;
    while ((flight = zlistx_detach(empty, NULL)) != NULL) {
        zhashx_delete(self->by_key, &flight->key);
        free_flight(self, flight);
    }
    zlistx_destroy(&empty);
}
