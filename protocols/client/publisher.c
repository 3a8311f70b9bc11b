#include "publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum {
    KEEP_MS = 1000,
    PATIENCE_MS = 2000,
    PAUSE_LEAST_MS = 50,  //  Before the second try to open; doubles
    PAUSE_MOST_MS = 400,  //  Whoever refuses is there and may soon not
    BLOCKED_MS = 2,       //  The bus took nothing: look again after it
};

typedef enum {
    CLOSED,   //  No session; opens at open_at
    OPENING,  //  Open is said, its answer awaited
    OPEN,
    OVER,  //  Failed, sealed or left: nothing is said or heard
} phase_t;

//  Bytes that are kept until they are stored.
typedef struct {
    uint64_t offset;
    buffer_t *bytes;
    mark_t *marks;  //  NULL when there are none
    uint8_t marks_count;
} kept_t;

struct publisher {
    publisher_settings_t settings;
    publisher_effects_t effects;
    void *with;
    char *name;
    publisher_state_t state;
    phase_t phase;
    bool finishing;

    kept_t *kept;  //  A ring of `capacity`, oldest at `head`
    size_t head, count, capacity;
    size_t cursor;  //  Of those, how many are sent whole

    uint64_t kept_from;  //  Nothing below is kept
    uint64_t session;
    uint64_t credit;        //  Bytes below it may be sent
    uint64_t request;       //  Of what was said last
    uint64_t open_request;  //  Of the Open whose session this is
    uint64_t keep_request;  //  Of the last SourceKeep or Finish
    uint64_t keep_sent;     //  What was sent before it

    millis_t open_at;     //  CLOSED: when to open
    millis_t pause_ms;    //  Before the next try to open; 0: at once
    millis_t said_at;     //  Anything, in this session
    millis_t heard_at;    //  Anything of this session
    millis_t asked_at;    //  First question since then; MILLIS_NEVER: none
    millis_t keep_at;     //  Last SourceKeep or Finish
    millis_t blocked_at;  //  The bus took nothing; MILLIS_NEVER: it does
    bool finish_said;     //  In this session
};

static kept_t *
kept_at(const publisher_t *self, size_t nth)
{
    return &self->kept[(self->head + nth) % self->capacity];
}

static uint64_t
kept_end(const kept_t *kept)
{
    return kept->offset + buffer_size(kept->bytes);
}

static void
keep(publisher_t *self, kept_t piece)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 64;
        kept_t *more = calloc(capacity, sizeof(*more));
        INVARIANT(more);
        for (size_t i = 0; i < self->count; i++)
            more[i] = *kept_at(self, i);
        free(self->kept);
        self->kept = more;
        self->head = 0;
        self->capacity = capacity;
    }
    *kept_at(self, self->count++) = piece;
}

static void
let_go_oldest(publisher_t *self)
{
    kept_t *oldest = kept_at(self, 0);
    self->kept_from = kept_end(oldest);
    buffer_unref(&oldest->bytes);
    free(oldest->marks);
    self->head = (self->head + 1) % self->capacity;
    self->count--;
    if (self->cursor > 0)
        self->cursor--;
}

//  Point the cursor, which is not behind it, at the piece that covers
//  state.sent.
static void
advance_cursor(publisher_t *self)
{
    while (self->cursor < self->count &&
           kept_end(kept_at(self, self->cursor)) <= self->state.sent)
        self->cursor++;
}

static void
find_cursor(publisher_t *self)
{
    self->cursor = 0;
    advance_cursor(self);
}

static status_t
say(publisher_t *self, message_t *message, buffer_t *payload, millis_t now)
{
    message->request = ++self->request;
    status_t status = self->effects.send(self->with, message, payload);
    if (status == STATUS_OK)
        self->said_at = now;
    else
        self->blocked_at = now;
    return status;
}

static void
note_question(publisher_t *self, millis_t now)
{
    if (self->asked_at == MILLIS_NEVER)
        self->asked_at = now;
}

static void
hold(publisher_t *self, status_t why, const char *text)
{
    self->state.held = why;
    snprintf(self->state.text, sizeof self->state.text, "%s",
             text && *text ? text : status_text(why));
}

static void
fail(publisher_t *self, status_t why, const char *text)
{
    hold(self, why, text);
    self->state.held = STATUS_OK;
    self->state.failed = why;
    self->phase = OVER;
}

//  Give the session up; open again after the pause, which grows while
//  nothing gets stored between two tries.
static void
reopen(publisher_t *self, millis_t now)
{
    self->phase = CLOSED;
    self->asked_at = MILLIS_NEVER;
    self->open_at = now + self->pause_ms;
    self->pause_ms = self->pause_ms ? self->pause_ms * 2 : PAUSE_LEAST_MS;
    if (self->pause_ms > PAUSE_MOST_MS)
        self->pause_ms = PAUSE_MOST_MS;
}

static void
say_open(publisher_t *self, millis_t now)
{
    const publisher_settings_t *asked = &self->settings;
    Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
    code.k = asked->asked.k;
    code.m = asked->asked.m;
    Rill__V1__Open open;
    rill__v1__open__init(&open);
    open.name = self->name;
    open.kind = (Rill__V1__Kind)asked->kind;
    open.token = asked->token;
    open.protection = &code;
    open.strict = asked->strict;
    open.chunk_bytes = asked->chunk_bytes;
    open.buffer_ms = asked->buffer_ms;
    open.retention = asked->retention;
    open.rate_bytes = asked->rate_bytes;
    if (asked->size_known) {
        open.known_case = RILL__V1__OPEN__KNOWN_SIZE;
        open.size = asked->size;
    }
    message_t message = MESSAGE(OPEN, open, &open, 0, 0);
    note_question(self, now);
    if (say(self, &message, NULL, now) != STATUS_OK) {
        self->open_at = now + PAUSE_LEAST_MS;
        return;
    }
    self->open_request = self->request;
    self->phase = OPENING;
}

//  Marks of a kept piece that lie in [from, to), as the wire wants them.
static size_t
marks_within(const kept_t *kept, uint64_t from, uint64_t to,
             Rill__V1__Mark *marks, Rill__V1__Mark **list)
{
    size_t count = 0;
    for (size_t i = 0; i < kept->marks_count; i++) {
        const mark_t *mark = &kept->marks[i];
        if (mark->offset < from || mark->offset >= to)
            continue;
        rill__v1__mark__init(&marks[count]);
        marks[count].offset = mark->offset;
        marks[count].media_us = mark->media_us;
        marks[count].kind = mark->kind;
        list[count] = &marks[count];
        count++;
    }
    return count;
}

//  Say the bytes from state.sent to the end of their piece, or as far as the
//  credit goes. Whether they were taken.
static bool
say_piece(publisher_t *self, millis_t now)
{
    const kept_t *kept = kept_at(self, self->cursor);
    uint64_t from = self->state.sent, to = kept_end(kept);
    if (to > self->credit)
        to = self->credit;
    Rill__V1__Mark marks[LIMIT_MARKS];
    Rill__V1__Mark *list[LIMIT_MARKS];
    Rill__V1__Piece piece = RILL__V1__PIECE__INIT;
    piece.session = self->session;
    piece.offset = from;
    piece.n_marks = marks_within(kept, from, to, marks, list);
    piece.marks = list;
    message_t message = MESSAGE(PIECE, piece, &piece, 0, 0);
    buffer_t *bytes = from == kept->offset && to == kept_end(kept)
                          ? buffer_ref(kept->bytes)
                          : buffer_slice(kept->bytes, from - kept->offset,
                                         to - from);
    bool taken = say(self, &message, bytes, now) == STATUS_OK;
    buffer_unref(&bytes);
    if (taken) {
        self->state.sent = to;
        self->cursor += to == kept_end(kept);
    }
    return taken;
}

//  A question about this session: answered by Progress, which shows whether
//  all that was sent before has arrived (5).
static void
say_keep(publisher_t *self, millis_t now)
{
    status_t status;
    if (self->finishing && self->state.sent == self->state.next) {
        Rill__V1__Finish finish = RILL__V1__FINISH__INIT;
        finish.session = self->session;
        finish.offset = self->state.next;
        message_t message = MESSAGE(FINISH, finish, &finish, 0, 0);
        status = say(self, &message, NULL, now);
        self->finish_said |= status == STATUS_OK;
    } else {
        Rill__V1__SourceKeep stay = RILL__V1__SOURCE_KEEP__INIT;
        stay.session = self->session;
        message_t message = MESSAGE(SOURCE_KEEP, source_keep, &stay, 0, 0);
        status = say(self, &message, NULL, now);
    }
    if (status != STATUS_OK)
        return;
    self->keep_request = self->request;
    self->keep_sent = self->state.sent;
    self->keep_at = now;
    note_question(self, now);
}

//  Let go of what is stored. It may reach beyond what this process has given:
//  another one with our token gave it before.
static void
let_go_stored(publisher_t *self)
{
    publisher_state_t *state = &self->state;
    while (self->count > 0 && kept_end(kept_at(self, 0)) <= state->stored)
        let_go_oldest(self);
    if (state->sent < state->stored)
        state->sent = state->stored;
    advance_cursor(self);
}

static void
pump(publisher_t *self, millis_t now)
{
    if (self->phase != OPEN)
        return;
    if (self->finishing && self->state.sent > self->state.next) {
        fail(self, STATUS_OFFSET,
             "the forwarder has bytes behind our end: another source with our "
             "token has written them");
        return;
    }
    self->blocked_at = MILLIS_NEVER;
    while (self->cursor < self->count && self->state.sent < self->credit)
        if (!say_piece(self, now))
            return;
    if (self->finishing && !self->finish_said &&
        self->state.sent == self->state.next)
        say_keep(self, now);
}

static void
take_code(publisher_t *self, const Rill__V1__Protection *code)
{
    if (!code || code->k + code->m > LIMIT_SLOTS)
        return;
    self->state.narrower |= code->m < self->state.code.m;
    self->state.code = (code_t){ (uint8_t)code->k, (uint8_t)code->m };
}

//  Begin at what the forwarder says, the first time; afterwards go back or on
//  to it, which must lie within what we keep.
static bool
place(publisher_t *self, const Rill__V1__Opened *opened)
{
    publisher_state_t *state = &self->state;
    char text[sizeof state->text];
    if (!state->opened) {
        state->base = state->stored = state->settled = opened->begin;
        state->next = self->kept_from = opened->offset;
    } else if (opened->offset < self->kept_from) {
        snprintf(text, sizeof text,
                 "the forwarder asks for bytes from %llu on, but those below "
                 "%llu are no longer kept",
                 (unsigned long long)opened->offset,
                 (unsigned long long)self->kept_from);
        fail(self, STATUS_OFFSET, text);
        return false;
    } else if (opened->begin != state->base) {
        snprintf(text, sizeof text,
                 "our bytes began at %llu, and are to begin at %llu: another "
                 "source has written since",
                 (unsigned long long)state->base,
                 (unsigned long long)opened->begin);
        fail(self, STATUS_OFFSET, text);
        return false;
    }
    state->sent = opened->offset;
    find_cursor(self);
    return true;
}

static void
on_opened(publisher_t *self, const message_t *message, millis_t now)
{
    const Rill__V1__Opened *opened = message->opened;
    if (self->phase != OPENING || message->request != self->open_request)
        return;
    publisher_state_t *state = &self->state;
    bool first = !state->opened;
    if (opened->begin > opened->offset || opened->chunk_bytes == 0) {
        fail(self, STATUS_MALFORMED, NULL);
        return;
    }
    if (!place(self, opened))
        return;
    state->opened = true;
    state->held = STATUS_OK;
    state->stream = opened->stream;
    state->chunk_bytes = opened->chunk_bytes;
    state->narrower |= opened->narrower;
    take_code(self, opened->protection);
    self->session = opened->session;
    self->credit = opened->credit;
    self->finish_said = false;
    self->asked_at = MILLIS_NEVER;
    self->heard_at = self->keep_at = now;
    self->phase = OPEN;
    if (opened->sealed) {
        state->was_sealed = first;
        state->complete = state->sealed = true;
        state->stored = state->settled = opened->offset;
        self->phase = OVER;
        return;
    }
    pump(self, now);
}

static void
on_progress(publisher_t *self, const message_t *message, millis_t now)
{
    const Rill__V1__Progress *progress = message->progress;
    publisher_state_t *state = &self->state;
    if (self->phase != OPEN || progress->session != self->session)
        return;
    self->heard_at = now;
    self->asked_at = MILLIS_NEVER;
    if (progress->stored > state->stored) {
        state->stored = progress->stored;
        self->pause_ms = 0;
    }
    if (progress->settled > state->settled)
        state->settled = progress->settled;
    if (progress->credit > self->credit)
        self->credit = progress->credit;
    let_go_stored(self);
    take_code(self, progress->protection);
    status_t held = message_status(progress->held);
    if (held == STATUS_OK)
        state->held = STATUS_OK;
    else if (held != state->held)
        hold(self, held, NULL);
    if (self->finishing && progress->sealed && state->stored == state->next) {
        state->complete = true;
        state->sealed = state->settled == state->next;
        if (state->sealed) {
            self->phase = OVER;
            return;
        }
    }
    //  It had come when this was said, or it never will.
    if (message->request == self->keep_request &&
        progress->received < self->keep_sent) {
        reopen(self, now);
        return;
    }
    pump(self, now);
}

//  A refusal's class, as said: it is right for a status newer than we are.
static retry_t
retry_of(const Rill__V1__Refused *refused)
{
    switch (refused->retry) {
    case RILL__V1__RETRY__RETRY_LATER:
        return RETRY_LATER;
    case RILL__V1__RETRY__RETRY_ELSEWHERE:
        return RETRY_ELSEWHERE;
    case RILL__V1__RETRY__RETRY_REOPEN:
        return RETRY_REOPEN;
    default:
        return RETRY_NEVER;
    }
}

static void
on_refused(publisher_t *self, const message_t *message, millis_t now)
{
    //  Requests only grow: an older one is of a session given up.
    if (message->request < self->open_request ||
        message->request > self->request ||
        (self->phase != OPEN && self->phase != OPENING))
        return;
    const Rill__V1__Refused *refused = message->refused;
    status_t status = message_status(refused->status);
    retry_t retry = retry_of(refused);
    if (retry == RETRY_REOPEN) {
        reopen(self, now);
    } else if (retry != RETRY_NEVER || status == STATUS_FENCED) {
        //  Of a fenced one the successor answers here soon.
        hold(self, status, refused->text);
        if (self->pause_ms == 0)
            self->pause_ms = PAUSE_LEAST_MS;
        reopen(self, now);
    } else {
        fail(self, status, refused->text);
    }
}

publisher_t *
publisher_new(const publisher_settings_t *settings,
              const publisher_effects_t *effects, void *with, millis_t now)
{
    INVARIANT(settings->token != 0);
    publisher_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->settings = *settings;
    self->effects = *effects;
    self->with = with;
    self->name = strdup(settings->name);
    INVARIANT(self->name);
    self->settings.name = self->name;
    if (self->settings.keep_ms == 0)
        self->settings.keep_ms = KEEP_MS;
    if (self->settings.patience_ms == 0)
        self->settings.patience_ms = PATIENCE_MS;
    //  Far from the end, so that requests only grow.
    self->request = effects->random(with) >> 1;
    self->open_at = now;
    self->asked_at = self->blocked_at = MILLIS_NEVER;
    return self;
}

void
publisher_destroy(publisher_t **self_p)
{
    publisher_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->count > 0)
        let_go_oldest(self);
    free(self->kept);
    free(self->name);
    free(self);
}

size_t
publisher_room(const publisher_t *self)
{
    const publisher_state_t *state = &self->state;
    uint64_t most = self->credit + state->chunk_bytes;
    if (!state->opened || self->finishing || self->phase == OVER ||
        most <= state->next)
        return 0;
    return (size_t)(most - state->next);
}

status_t
publisher_offer(publisher_t *self, buffer_t *piece, const mark_t *marks,
                size_t marks_count, millis_t now)
{
    publisher_state_t *state = &self->state;
    size_t size = buffer_size(piece);
    if (self->finishing)
        return STATUS_SEALED;
    if (size > LIMIT_PIECE_BYTES || marks_count > LIMIT_MARKS)
        return STATUS_TOO_LARGE;
    for (size_t i = 0; i < marks_count; i++)
        if (marks[i].offset < state->next ||
            marks[i].offset - state->next >= size)
            return STATUS_ARGUMENT;
    if (size == 0)
        return STATUS_ARGUMENT;
    if (size > publisher_room(self))
        return STATUS_BUSY;
    kept_t kept = { .offset = state->next, .bytes = buffer_ref(piece) };
    if (marks_count > 0) {
        kept.marks = malloc(marks_count * sizeof(*marks));
        INVARIANT(kept.marks);
        memcpy(kept.marks, marks, marks_count * sizeof(*marks));
        kept.marks_count = (uint8_t)marks_count;
    }
    keep(self, kept);
    state->next += size;
    let_go_stored(self);
    pump(self, now);
    return STATUS_OK;
}

void
publisher_finish(publisher_t *self, millis_t now)
{
    self->finishing = true;
    pump(self, now);
}

void
publisher_leave(publisher_t *self)
{
    if (self->phase == OPEN) {
        Rill__V1__SourceLeave leave = RILL__V1__SOURCE_LEAVE__INIT;
        leave.session = self->session;
        message_t message = MESSAGE(SOURCE_LEAVE, source_leave, &leave, 0, 0);
        say(self, &message, NULL, self->said_at);
    }
    self->phase = OVER;
}

void
publisher_on_message(publisher_t *self, const message_t *message, millis_t now)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_OPENED:
        on_opened(self, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_PROGRESS:
        on_progress(self, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        on_refused(self, message, now);
        break;
    default:
        break;
    }
}

void
publisher_on_reconnect(publisher_t *self, millis_t now)
{
    if (self->phase == OPEN) {
        say_keep(self, now);
        pump(self, now);
    } else if (self->phase != OVER) {
        self->phase = CLOSED;
        self->open_at = now;
        say_open(self, now);
    }
}

const publisher_state_t *
publisher_state(const publisher_t *self)
{
    return &self->state;
}

//  When the next SourceKeep is due: after silence of either side.
static millis_t
keep_due(const publisher_t *self)
{
    millis_t since = millis_least(self->said_at, self->heard_at);
    if (since < self->keep_at)
        since = self->keep_at;
    return since + self->settings.keep_ms;
}

static millis_t
patience_due(const publisher_t *self)
{
    return self->asked_at == MILLIS_NEVER
               ? MILLIS_NEVER
               : self->asked_at + self->settings.patience_ms;
}

static millis_t
blocked_due(const publisher_t *self)
{
    return self->blocked_at == MILLIS_NEVER ? MILLIS_NEVER
                                            : self->blocked_at + BLOCKED_MS;
}

millis_t
publisher_due(const publisher_t *self)
{
    switch (self->phase) {
    case CLOSED:
        return self->open_at;
    case OPENING:
        return patience_due(self);
    case OPEN:
        //  What the bus did not take is not tried before it may have room.
        return millis_least(patience_due(self), self->blocked_at == MILLIS_NEVER
                                                    ? keep_due(self)
                                                    : blocked_due(self));
    case OVER:
        break;
    }
    return MILLIS_NEVER;
}

void
publisher_sweep(publisher_t *self, millis_t now)
{
    if (self->phase == OVER)
        return;
    if (now >= patience_due(self)) {
        hold(self, STATUS_UNREACHABLE, NULL);
        self->asked_at = MILLIS_NEVER;
        self->phase = CLOSED;
        self->open_at = now;
    }
    if (self->phase == CLOSED && now >= self->open_at)
        say_open(self, now);
    if (self->phase == OPEN) {
        self->blocked_at = MILLIS_NEVER;
        if (now >= keep_due(self))
            say_keep(self, now);
        if (self->blocked_at == MILLIS_NEVER)
            pump(self, now);
    }
}
