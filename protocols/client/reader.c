#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"

enum {
    CHUNK_BYTES = 256 * 1024,
    WINDOW_BYTES = 16 * 1024 * 1024,
    ASK_MS = 5000,
    PATIENCE_MS = 30000,
    PAUSE_LEAST_MS = 20,  //  Before asking again what was refused; doubles
    PAUSE_MOST_MS = 1000,
    BLOCKED_MS = 2,  //  The bus took nothing: look again after it
    LIMIT_BEGUN = 4,
    LIMIT_LEAST = 2,
};

//  What is known of a part of the range. The spans follow one another without
//  a gap, from state.next to the frontier.
typedef enum {
    WANTED,  //  To be asked for, not before `at`
    ASKED,   //  `request` is in the air since `at`
    HELD,    //  Its bytes are here
    HOLE,    //  There are none
} span_kind_t;

typedef struct {
    span_kind_t kind;
    uint64_t from, to;
    uint64_t request;
    millis_t at;
    uint32_t pause_ms;
    buffer_t *bytes;
} span_t;

struct reader {
    reader_settings_t settings;
    reader_effects_t effects;
    void *with;
    hole_t *holes;
    reader_state_t state;
    span_t *spans;
    size_t count, capacity;
    uint64_t frontier;     //  Behind the last span
    uint64_t request;      //  Said last
    uint32_t chunk_bytes;  //  Of the last chunk: the prediction
    size_t limit;          //  Asks that may be in the air
    bool begun;            //  A chunk has come
    millis_t blocked_at;   //  The bus took nothing; MILLIS_NEVER: it does
    millis_t moved_at;     //  Something was delivered, or we began
};

static bool
over(const reader_t *self)
{
    return self->state.done || self->state.failed != STATUS_OK;
}

static void
tell(reader_t *self, status_t *where, status_t why, const char *text)
{
    *where = why;
    snprintf(self->state.text, sizeof self->state.text, "%s",
             text && *text ? text : status_text(why));
}

//  Make room for a span at `place`; what was there moves up.
static span_t *
insert(reader_t *self, size_t place, span_t span)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 64;
        self->spans = realloc(self->spans,
                              self->capacity * sizeof *self->spans);
        INVARIANT(self->spans);
    }
    memmove(&self->spans[place + 1], &self->spans[place],
            (self->count - place) * sizeof *self->spans);
    self->count++;
    self->spans[place] = span;
    return &self->spans[place];
}

static void
take_out(reader_t *self, size_t place)
{
    self->count--;
    memmove(&self->spans[place], &self->spans[place + 1],
            (self->count - place) * sizeof *self->spans);
}

//  Bytes between state.next and the frontier that are or will be held (3).
static uint64_t
spanned(const reader_t *self)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->spans[i].kind != HOLE)
            bytes += self->spans[i].to - self->spans[i].from;
    return bytes;
}

//  Whether it holds one of the `limit` places: what was refused keeps its own,
//  so that nothing asked for later goes before it.
static bool
has_place(const span_t *span)
{
    return span->kind == ASKED || (span->kind == WANTED && span->pause_ms > 0);
}

static size_t
places_taken(const reader_t *self)
{
    size_t taken = 0;
    for (size_t i = 0; i < self->count; i++)
        taken += has_place(&self->spans[i]);
    return taken;
}

//  The first hole that ends behind `offset`, or NULL.
static const hole_t *
hole_behind(const reader_t *self, uint64_t offset)
{
    for (size_t i = 0; i < self->settings.holes_count; i++)
        if (self->holes[i].to > offset)
            return &self->holes[i];
    return NULL;
}

//  Move the frontier by a hole or by what should be one chunk. False: the
//  range or the window ends here.
static bool
advance(reader_t *self)
{
    uint64_t from = self->frontier, to = self->settings.to;
    if (from == to)
        return false;
    const hole_t *hole = hole_behind(self, from);
    span_t span = { .kind = WANTED, .from = from };
    if (hole && hole->from <= from) {
        span.kind = HOLE;
        to = hole->to < to ? hole->to : to;
    } else {
        if (hole && hole->from < to)
            to = hole->from;
        if (to - from > self->chunk_bytes)
            to = from + self->chunk_bytes;
        uint64_t held = spanned(self);
        if (held > 0 && held + (to - from) > self->settings.window_bytes)
            return false;
    }
    span.to = self->frontier = to;
    insert(self, self->count, span);
    return true;
}

static bool
ask(reader_t *self, span_t *span, millis_t now)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = self->settings.stream;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = span->from;
    body.budget_ms = self->settings.ask_ms;
    message_t message = MESSAGE(ASK, ask, &body, ++self->request, 0);
    if (self->effects.send(self->with, &message) != STATUS_OK) {
        self->blocked_at = now;
        return false;
    }
    span->kind = ASKED;
    span->request = self->request;
    span->at = now;
    return true;
}

static void
pump(reader_t *self, millis_t now)
{
    self->blocked_at = MILLIS_NEVER;
    size_t taken = places_taken(self);
    for (size_t i = 0; i < self->count || taken < self->limit; i++) {
        if (i == self->count && !advance(self))
            return;
        span_t *span = &self->spans[i];
        if (span->kind != WANTED || span->at > now)
            continue;
        bool fresh = !has_place(span);
        if (fresh && taken >= self->limit)
            continue;
        if (!ask(self, span, now))
            return;
        taken += fresh;
    }
}

//  Hand over what is in order.
static void
deliver(reader_t *self, millis_t now)
{
    while (self->count > 0 && !over(self)) {
        span_t span = self->spans[0];
        if (span.kind != HELD && span.kind != HOLE)
            break;
        //  Off the board before anyone is told.
        take_out(self, 0);
        self->state.next = span.to;
        self->state.held = STATUS_OK;
        self->moved_at = now;
        status_t status = span.kind == HELD
                              ? self->effects.deliver(self->with, span.from,
                                                      span.bytes)
                              : self->effects.skip(self->with, span.from,
                                                   span.to);
        buffer_unref(&span.bytes);
        if (status != STATUS_OK)
            tell(self, &self->state.failed, status, NULL);
    }
    if (self->state.next == self->settings.to)
        self->state.done = self->state.failed == STATUS_OK;
}

static span_t *
find(reader_t *self, uint64_t request)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->spans[i].kind == ASKED && self->spans[i].request == request)
            return &self->spans[i];
    return NULL;
}

static void
again(reader_t *self, span_t *span, status_t why, const char *text,
      millis_t now)
{
    span->pause_ms = span->pause_ms ? span->pause_ms * 2 : PAUSE_LEAST_MS;
    if (span->pause_ms > PAUSE_MOST_MS)
        span->pause_ms = PAUSE_MOST_MS;
    span->kind = WANTED;
    span->at = now + span->pause_ms;
    self->state.again++;
    tell(self, &self->state.held, why, text);
}

//  The part [a, b) of the span at `place` has come; the rest of the span is
//  asked for anew.
static void
fill(reader_t *self, size_t place, uint64_t a, uint64_t b, buffer_t *chunk,
     uint64_t chunk_from)
{
    span_t whole = self->spans[place];
    if (b < whole.to) {
        span_t rest = { .kind = WANTED, .from = b, .to = whole.to };
        //  At the frontier the prediction itself moves.
        if (place + 1 == self->count)
            self->frontier = b;
        else
            insert(self, place + 1, rest);
    }
    span_t part = { .kind = HELD, .from = a, .to = b };
    part.bytes = buffer_slice(chunk, a - chunk_from, b - a);
    if (whole.from < a) {
        self->spans[place].to = a;
        insert(self, place + 1, part);
    } else {
        self->spans[place] = part;
    }
}

//  A longer chunk than predicted: what lies behind the frontier is ours too.
static void
extend(reader_t *self, uint64_t to, buffer_t *chunk, uint64_t chunk_from)
{
    if (to <= self->frontier || chunk_from >= self->frontier)
        return;
    const hole_t *hole = hole_behind(self, self->frontier);
    if (hole && hole->from < to)
        to = hole->from > self->frontier ? hole->from : self->frontier;
    uint64_t more = to - self->frontier;
    if (more == 0 || spanned(self) + more > self->settings.window_bytes)
        return;
    span_t part = { .kind = HELD, .from = self->frontier, .to = to };
    part.bytes = buffer_slice(chunk, self->frontier - chunk_from, (size_t)more);
    insert(self, self->count, part);
    self->frontier = to;
}

//  Put a chunk of bytes [from, to) in every place that lacks them.
static void
spread(reader_t *self, uint64_t from, uint64_t to, buffer_t *chunk)
{
    for (size_t i = 0; i < self->count; i++) {
        const span_t *span = &self->spans[i];
        uint64_t a = span->from > from ? span->from : from;
        uint64_t b = span->to < to ? span->to : to;
        if (a < b && (span->kind == WANTED || span->kind == ASKED))
            fill(self, i, a, b, chunk, from);
    }
    extend(self, to < self->settings.to ? to : self->settings.to, chunk, from);
}

static void
halve(reader_t *self)
{
    self->limit /= 2;
    if (self->limit < LIMIT_LEAST)
        self->limit = LIMIT_LEAST;
}

//  Learn from how a prediction went.
static void
learn(reader_t *self, bool right, uint32_t length)
{
    if (!self->begun)
        self->limit = LIMIT_BEGUN;
    else if (!right)
        halve(self);
    else if (self->limit < LIMIT_ASKS_PER_PEER)
        self->limit++;
    self->begun = true;
    self->chunk_bytes = length;
}

//  Whether the answer holds the chunk that covers `offset`, unharmed (2).
static status_t
check(const reader_t *self, const Rill__V1__Answer *answer, buffer_t *payload,
      uint64_t offset, chunk_header_t *header_r)
{
    if (!answer->chunk || !payload)
        return STATUS_MALFORMED;
    status_t status = message_to_chunk(answer->chunk, header_r);
    if (status != STATUS_OK)
        return status;
    if (header_r->key.stream != self->settings.stream ||
        header_r->offset > offset || chunk_is_parity(header_r) ||
        offset - header_r->offset >= header_r->length ||
        header_r->length != buffer_size(payload))
        return STATUS_MALFORMED;
    if (checksum_crc32c(buffer_bytes(payload), buffer_size(payload)) !=
        header_r->payload_crc)
        return STATUS_CORRUPT;
    return STATUS_OK;
}

static void
on_answer(reader_t *self, const message_t *message, buffer_t *payload,
          millis_t now)
{
    span_t *span = find(self, message->request);
    reader_state_t *state = &self->state;
    state->received += payload ? buffer_size(payload) : 0;
    if (!span)
        return;
    chunk_header_t header;
    status_t status = check(self, message->answer, payload, span->from,
                            &header);
    if (status != STATUS_OK) {
        state->corrupt++;
        again(self, span, STATUS_CORRUPT,
              "a chunk came that is not what was written", now);
        return;
    }
    state->answers++;
    state->decoded += message->answer->route == RILL__V1__ROUTE__ROUTE_DECODED;
    uint64_t from = header.offset, to = from + header.length;
    bool right = from == span->from &&
                 (to == span->to ||
                  (to > span->to && span->to == self->settings.to));
    learn(self, right, header.length);
    spread(self, from, to, payload);
    deliver(self, now);
}

static void
on_refused(reader_t *self, const message_t *message, millis_t now)
{
    span_t *span = find(self, message->request);
    if (!span)
        return;
    const Rill__V1__Refused *refused = message->refused;
    status_t status = message_status(refused->status);
    if (refused->retry == RILL__V1__RETRY__RETRY_NEVER_UNSPECIFIED &&
        status != STATUS_FENCED) {
        tell(self, &self->state.failed, status, refused->text);
        return;
    }
    if (status == STATUS_BUSY)
        halve(self);
    again(self, span, status, refused->text, now);
}

reader_t *
reader_new(const reader_settings_t *settings, const reader_effects_t *effects,
           void *with, millis_t now)
{
    INVARIANT(settings->from <= settings->to);
    reader_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->settings = *settings;
    self->effects = *effects;
    self->with = with;
    size_t holes = settings->holes_count;
    self->holes = calloc(holes ? holes : 1, sizeof *self->holes);
    INVARIANT(self->holes);
    if (holes > 0)
        memcpy(self->holes, settings->holes, holes * sizeof *self->holes);
    if (self->settings.window_bytes == 0)
        self->settings.window_bytes = WINDOW_BYTES;
    if (self->settings.ask_ms == 0)
        self->settings.ask_ms = ASK_MS;
    if (self->settings.patience_ms == 0)
        self->settings.patience_ms = PATIENCE_MS;
    self->chunk_bytes = settings->chunk_bytes ? settings->chunk_bytes
                                              : CHUNK_BYTES;
    self->limit = 1;
    self->frontier = self->state.next = settings->from;
    self->state.done = settings->from == settings->to;
    self->request = effects->random(with) >> 1;
    self->blocked_at = now - BLOCKED_MS;
    self->moved_at = now;
    return self;
}

void
reader_destroy(reader_t **self_p)
{
    reader_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        buffer_unref(&self->spans[i].bytes);
    free(self->spans);
    free(self->holes);
    free(self);
}

void
reader_on_message(reader_t *self, const message_t *message, buffer_t *payload,
                  millis_t now)
{
    if (over(self))
        return;
    if (message->body_case == RILL__V1__MESSAGE__BODY_ANSWER)
        on_answer(self, message, payload, now);
    else if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED)
        on_refused(self, message, now);
    if (!over(self))
        pump(self, now);
    deliver(self, now);
}

void
reader_on_reconnect(reader_t *self, millis_t now)
{
    if (over(self))
        return;
    for (size_t i = 0; i < self->count; i++) {
        span_t *span = &self->spans[i];
        if (span->kind != ASKED)
            continue;
        span->kind = WANTED;
        span->at = now;
        self->state.again++;
    }
    pump(self, now);
    deliver(self, now);
}

const reader_state_t *
reader_state(const reader_t *self)
{
    return &self->state;
}

millis_t
reader_due(const reader_t *self)
{
    if (over(self))
        return MILLIS_NEVER;
    millis_t due = self->moved_at + self->settings.patience_ms;
    bool blocked = self->blocked_at != MILLIS_NEVER;
    if (blocked)
        due = millis_least(due, self->blocked_at + BLOCKED_MS);
    for (size_t i = 0; i < self->count; i++) {
        const span_t *span = &self->spans[i];
        if (span->kind == ASKED)
            due = millis_least(due, span->at + self->settings.ask_ms);
        else if (has_place(span) && !blocked)
            due = millis_least(due, span->at);
    }
    return due;
}

void
reader_sweep(reader_t *self, millis_t now)
{
    if (over(self))
        return;
    reader_state_t *state = &self->state;
    if (now >= self->moved_at + self->settings.patience_ms) {
        if (state->held == STATUS_OK)
            tell(self, &state->held, STATUS_LATE, NULL);
        state->failed = state->held;
        return;
    }
    for (size_t i = 0; i < self->count; i++) {
        span_t *span = &self->spans[i];
        if (span->kind == ASKED && now >= span->at + self->settings.ask_ms) {
            again(self, span, STATUS_LATE, NULL, now);
            span->at = now;
        }
    }
    pump(self, now);
    deliver(self, now);
}
