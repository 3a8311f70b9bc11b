#include "watcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"

enum {
    WINDOW_BYTES = 4 * 1024 * 1024,
    ANSWER_MS = 1500,
    PATIENCE_MS = 30000,
    KEEP_MS = 1000,  //  A WatchKeep at least so often; the lease is 8 s
    PAUSE_MS = 100,  //  Before a session is begun anew, at first
    PAUSE_MOST_MS = 1000,
    UNKNOWN_MS = 5000,  //  A stream that was there is gone
    CREDIT_PART = 4,    //  A WatchKeep when this part of the window is used
};

typedef enum {
    IDLE,     //  No session: one is to be opened at `at`
    OPENING,  //  Watch was said
    OPEN,     //  Watched was heard
} phase_t;

struct watcher {
    watcher_settings_t settings;
    watcher_effects_t effects;
    void *with;
    char name[LIMIT_NAME_BYTES + 1];
    watcher_state_t state;
    phase_t phase;
    uint64_t request;   //  Of the session
    uint64_t taken;     //  Bytes of payload that came in it
    uint64_t credit;    //  That it was given
    millis_t at;        //  IDLE: when to open; else when a keep is due
    millis_t heard;     //  The node's last word
    millis_t asked;     //  First unanswered word to it; MILLIS_NEVER: none
    millis_t pause_ms;  //  Next time
    millis_t moved;     //  Something was delivered, or a node answered
    bool leaves;        //  The next sweep tells the owner to go elsewhere
};

static bool
over(const watcher_t *self)
{
    return self->state.done || self->state.failed != STATUS_OK;
}

static void
tell(watcher_t *self, status_t *where, status_t why, const char *text)
{
    *where = why;
    snprintf(self->state.text, sizeof self->state.text, "%s",
             text && *text ? text : status_text(why));
}

/*------------------------------------------------------------------ saying */

static bool
say(watcher_t *self, message_t *message, millis_t now)
{
    message->request = self->request;
    if (self->effects.send(self->with, message) != STATUS_OK)
        return false;
    if (self->asked == MILLIS_NEVER)
        self->asked = now;
    return true;
}

static void
say_stop(watcher_t *self)
{
    Rill__V1__Stop body = RILL__V1__STOP__INIT;
    message_t message = MESSAGE(STOP, stop, &body, self->request, 0);
    if (self->phase != IDLE)
        (void)self->effects.send(self->with, &message);
    self->phase = IDLE;
}

static void
finish(watcher_t *self)
{
    self->state.done = true;
    say_stop(self);
}

//  The session is to be begun anew, after a pause that grows while nothing
//  comes of it.
static void
again(watcher_t *self, status_t why, const char *text, millis_t now)
{
    say_stop(self);
    self->at = now + self->pause_ms;
    self->pause_ms = self->pause_ms ? 2 * self->pause_ms : PAUSE_MS;
    if (self->pause_ms > PAUSE_MOST_MS)
        self->pause_ms = PAUSE_MOST_MS;
    self->asked = MILLIS_NEVER;
    self->state.again++;
    tell(self, &self->state.held, why, text);
}

//  The same at another node.
static void
leave(watcher_t *self, status_t why, const char *text, millis_t now)
{
    again(self, why, text, now);
    self->leaves = true;
}

static void
fail(watcher_t *self, status_t why, const char *text)
{
    tell(self, &self->state.failed, why, text);
    say_stop(self);
}

static void
fill_from(const watcher_t *self, Rill__V1__Watch *body)
{
    if (self->state.begun || self->settings.from == WATCH_OFFSET) {
        body->from_case = RILL__V1__WATCH__FROM_OFFSET;
        body->offset = self->state.next;
        return;
    }
    switch (self->settings.from) {
    case WATCH_FIRST:
        body->from_case = RILL__V1__WATCH__FROM_START;
        body->start = true;
        break;
    case WATCH_TIME:
        body->from_case = RILL__V1__WATCH__FROM_TIME_US;
        body->time_us = (int64_t)self->settings.place;
        break;
    case WATCH_BACK:
        body->from_case = RILL__V1__WATCH__FROM_BACK_MS;
        body->back_ms = self->settings.place;
        break;
    default:
        body->from_case = RILL__V1__WATCH__FROM_LIVE;
        body->live = true;
        break;
    }
}

static void
open_session(watcher_t *self, millis_t now)
{
    Rill__V1__Watch body = RILL__V1__WATCH__INIT;
    if (self->state.stream) {
        body.which_case = RILL__V1__WATCH__WHICH_STREAM;
        body.stream = self->state.stream;
    } else {
        body.which_case = RILL__V1__WATCH__WHICH_NAME;
        body.name = self->name;
    }
    fill_from(self, &body);
    body.credit = self->settings.window_bytes;
    message_t message = MESSAGE(WATCH, watch, &body, 0, 0);
    self->request++;
    self->asked = MILLIS_NEVER;
    if (!say(self, &message, now)) {
        self->at = now + PAUSE_MS;
        return;
    }
    self->phase = OPENING;
    self->taken = 0;
    self->credit = body.credit;
    self->at = now + KEEP_MS;
    self->state.opened++;
}

static void
keep(watcher_t *self, millis_t now)
{
    Rill__V1__WatchKeep body = RILL__V1__WATCH_KEEP__INIT;
    body.credit = self->taken + self->settings.window_bytes;
    message_t message = MESSAGE(WATCH_KEEP, watch_keep, &body, 0, 0);
    self->at = now + KEEP_MS;
    if (say(self, &message, now))
        self->credit = body.credit;
    else
        self->at = now + PAUSE_MS;
}

//  Give new credit when a part of the window is used.
static void
give(watcher_t *self, millis_t now)
{
    uint64_t window = self->settings.window_bytes;
    if (self->taken + window - self->credit >= window / CREDIT_PART)
        keep(self, now);
}

/*----------------------------------------------------------------- hearing */

//  Something worth having came.
static void
advanced(watcher_t *self, millis_t now)
{
    self->pause_ms = 0;
    self->moved = now;
    self->state.held = STATUS_OK;
}

static void
skip_to(watcher_t *self, uint64_t to, millis_t now)
{
    watcher_state_t *state = &self->state;
    uint64_t from = state->next;
    if (to > self->settings.to)
        to = self->settings.to;
    if (to > from) {
        state->next = to;
        advanced(self, now);
        status_t status = self->effects.skip(self->with, from, to);
        if (status != STATUS_OK) {
            fail(self, status, NULL);
            return;
        }
    }
    if (state->next >= self->settings.to)
        finish(self);
}

static void
on_watched(watcher_t *self, const Rill__V1__Watched *watched, millis_t now)
{
    watcher_state_t *state = &self->state;
    if (self->phase != OPENING)
        return;
    if (watched->stream == 0 ||
        (state->stream && watched->stream != state->stream)) {
        leave(self, STATUS_MALFORMED, NULL, now);
        return;
    }
    self->phase = OPEN;
    state->stream = watched->stream;
    if (!state->begun) {
        state->begun = true;
        state->moved = watched->moved;
        state->begin = state->next = watched->from;
        advanced(self, now);
        if (state->next >= self->settings.to)
            finish(self);
    } else if (watched->from > state->next)
        skip_to(self, watched->from, now);  //  It is older than what is kept
}

//  The header of what came, if its payload is what it says.
static bool
is_right(const watcher_t *self, const Rill__V1__ChunkHeader *chunk,
         buffer_t *payload, chunk_header_t *header_r)
{
    return chunk && payload && message_to_chunk(chunk, header_r) == STATUS_OK &&
           header_r->key.stream == self->state.stream &&
           !chunk_is_parity(header_r) &&
           header_r->length == buffer_size(payload) &&
           checksum_crc32c(buffer_bytes(payload), buffer_size(payload)) ==
               header_r->payload_crc;
}

//  Deliver what is new of a chunk that covers the next byte.
static void
take(watcher_t *self, const chunk_header_t *header, buffer_t *payload,
     millis_t now)
{
    watcher_state_t *state = &self->state;
    uint64_t from = state->next, end = header->offset + header->length;
    uint64_t to = end < self->settings.to ? end : self->settings.to;
    if (self->settings.to_us && header->created_us > self->settings.to_us) {
        finish(self);
        return;
    }
    buffer_t *bytes = buffer_slice(payload, from - header->offset,
                                   (size_t)(to - from));
    //  Off the board before anyone is told.
    state->next = to;
    state->created_us = header->created_us;
    state->chunks++;
    advanced(self, now);
    status_t status = self->effects.deliver(self->with, from, bytes, header);
    buffer_unref(&bytes);
    if (status != STATUS_OK)
        fail(self, status, NULL);
    else if (state->next >= self->settings.to)
        finish(self);
}

static void
on_flow(watcher_t *self, const Rill__V1__Flow *flow, buffer_t *payload,
        millis_t now)
{
    watcher_state_t *state = &self->state;
    chunk_header_t header;
    if (self->phase != OPEN)
        return;
    if (!is_right(self, flow->chunk, payload, &header)) {
        state->corrupt++;
        leave(self, STATUS_CORRUPT, "a chunk came that is not what was written",
              now);
        return;
    }
    state->received += header.length;
    self->taken += header.length;
    if (flow->now_us > state->now_us)
        state->now_us = flow->now_us;
    uint64_t end = header.offset + header.length;
    if (end > state->head)
        state->head = end;
    if (header.offset > state->next)
        again(self, STATUS_LATE, "a chunk was lost on its way", now);
    else if (end > state->next)
        take(self, &header, payload, now);
    if (!over(self) && self->phase == OPEN)
        give(self, now);
}

static void
on_over(watcher_t *self, const Rill__V1__Over *end, millis_t now)
{
    status_t status = message_status(end->status);
    self->phase = IDLE;  //  It is closed there
    if (status == STATUS_OK && end->at > self->state.next) {
        again(self, STATUS_LATE, "a chunk was lost on its way", now);
    } else if (status == STATUS_OK) {
        self->state.sealed = self->state.done = true;
    } else
        leave(self, status, NULL, now);
}

static void
on_watching(watcher_t *self, const Rill__V1__Watching *watching, millis_t now)
{
    watcher_state_t *state = &self->state;
    self->moved = now;
    state->stale = watching->stale;
    if (watching->head > state->head)
        state->head = watching->head;
    //  What it sent came before this word, or is lost.
    if (watching->at > state->next && self->phase == OPEN)
        again(self, STATUS_LATE, "a chunk was lost on its way", now);
}

static void
on_refused(watcher_t *self, const Rill__V1__Refused *refused, millis_t now)
{
    status_t status = message_status(refused->status);
    bool begun = self->state.begun;
    //  What ended meanwhile ended here.
    if (begun && status == STATUS_RANGE &&
        self->state.next >= refused->offset) {
        self->state.sealed = self->state.done = true;
        return;
    }
    if (status == STATUS_SESSION) {  //  Its lease ended, or the node's life
        again(self, status, refused->text, now);
        return;
    }
    //  A node that is behind says FUTURE, one that has just begun may not know
    //  the stream yet.
    bool waits = begun &&
                 (status == STATUS_FUTURE ||
                  (status == STATUS_UNKNOWN && now - self->moved < UNKNOWN_MS));
    if (!waits && status_retry(status) == RETRY_NEVER) {
        self->state.nearest = refused->offset;
        fail(self, status, refused->text);
    } else
        leave(self, status, refused->text, now);
}

void
watcher_on_message(watcher_t *self, const message_t *message, buffer_t *payload,
                   millis_t now)
{
    if (over(self) || self->phase == IDLE || message->request != self->request)
        return;
    self->state.answered = true;
    self->heard = now;
    self->asked = MILLIS_NEVER;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_WATCHED:
        on_watched(self, message->watched, now);
        break;
    case RILL__V1__MESSAGE__BODY_FLOW:
        on_flow(self, message->flow, payload, now);
        break;
    case RILL__V1__MESSAGE__BODY_SKIP:
        if (self->phase == OPEN && message->skip->from > self->state.next)
            again(self, STATUS_LATE, "a chunk was lost on its way", now);
        else if (self->phase == OPEN)
            skip_to(self, message->skip->to, now);
        break;
    case RILL__V1__MESSAGE__BODY_OVER:
        on_over(self, message->over, now);
        break;
    case RILL__V1__MESSAGE__BODY_WATCHING:
        on_watching(self, message->watching, now);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        on_refused(self, message->refused, now);
        break;
    default:
        break;
    }
}

/*-------------------------------------------------------------------- life */

watcher_t *
watcher_new(const watcher_settings_t *settings,
            const watcher_effects_t *effects, void *with, millis_t now)
{
    watcher_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->settings = *settings;
    self->effects = *effects;
    self->with = with;
    snprintf(self->name, sizeof self->name, "%s", settings->name);
    if (self->settings.window_bytes == 0)
        self->settings.window_bytes = WINDOW_BYTES;
    if (self->settings.answer_ms == 0)
        self->settings.answer_ms = ANSWER_MS;
    if (self->settings.patience_ms == 0)
        self->settings.patience_ms = PATIENCE_MS;
    if (settings->from == WATCH_OFFSET)
        self->state.begin = self->state.next = settings->place;
    self->request = effects->random(with) >> 1;
    self->at = self->moved = self->heard = now;
    self->asked = MILLIS_NEVER;
    return self;
}

void
watcher_destroy(watcher_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void
watcher_on_reconnect(watcher_t *self, millis_t now)
{
    if (over(self))
        return;
    self->phase = IDLE;
    self->leaves = false;
    self->asked = MILLIS_NEVER;
    self->at = now + self->pause_ms;
}

void
watcher_stop(watcher_t *self)
{
    if (!over(self))
        finish(self);
}

const watcher_state_t *
watcher_state(const watcher_t *self)
{
    return &self->state;
}

//  When the silence of the node is too long.
static millis_t
silence_due(const watcher_t *self)
{
    return self->phase != IDLE && self->asked != MILLIS_NEVER
               ? self->asked + self->settings.answer_ms
               : MILLIS_NEVER;
}

millis_t
watcher_due(const watcher_t *self)
{
    if (over(self))
        return MILLIS_NEVER;
    millis_t due = millis_least(self->at, silence_due(self));
    return millis_least(due, self->moved + self->settings.patience_ms);
}

void
watcher_sweep(watcher_t *self, millis_t now)
{
    if (over(self))
        return;
    if (now >= self->moved + self->settings.patience_ms) {
        if (self->state.held == STATUS_OK)
            tell(self, &self->state.held, STATUS_LATE, NULL);
        self->state.failed = self->state.held;
        return;
    }
    if (silence_due(self) <= now)
        leave(self, STATUS_UNREACHABLE, "the node does not answer", now);
    if (self->leaves) {
        self->leaves = false;
        self->state.left++;
        self->effects.leave(self->with);
    }
    if (self->phase == IDLE && self->at <= now)
        open_session(self, now);
    else if (self->phase != IDLE && self->at <= now)
        keep(self, now);
}
