#include "source.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include <czmq.h>

#include "ask.h"
#include "json.h"
#include "units.h"

enum {
    OPEN_MS = 10000,    //  To be let in; longer than a reader's reach
    MOVE_MS = 60000,    //  To move again, once let in
    SETTLE_MS = 10000,  //  To settle, once complete
};

void
source_begin(source_t *self, const words_t *words, const char *name,
             code_t asked, uint64_t total)
{
    *self = (source_t){
        .words = words, .name = name, .asked = asked, .total = total
    };
    talk_note_signals();
}

static void
opened(source_t *self, const publisher_state_t *state, millis_t now)
{
    self->begun = now;
    self->first = state->next;
    talk_progress_begin(&self->progress, self->total, state->next, now);
    if (state->next > state->base)
        talk_say("%s goes on at byte %llu", self->name,
                 (unsigned long long)state->next);
}

//  What goes on with less protection is said when it begins to, not only at
//  the end: workers may be started.
static void
note_protection(source_t *self, const publisher_state_t *state)
{
    char asked[ASK_CODE_BYTES], code[ASK_CODE_BYTES];
    if (state->narrower && (!self->is_narrower || state->code.m < self->code.m))
        talk_say(
            "%s is protected %s, narrower than %s: too few workers take it",
            self->name, ask_code_text(state->code.k, state->code.m, code),
            self->asked.k == 0
                ? "it was"
                : ask_code_text(self->asked.k, self->asked.m, asked));
    self->is_narrower = state->narrower;
    self->code = state->code;
}

//  Something moved: the patience begins anew.
static void
note_moves(source_t *self, const publisher_state_t *state, millis_t now)
{
    uint64_t mark = state->sent + state->stored + state->settled;
    if (mark != self->mark || state->held == STATUS_OK || self->moved == 0)
        self->moved = now;
    self->mark = mark;
}

//  Whether it is complete and has not settled in time: a worker was lost
//  between, and its chunks are under-protected until they are repaired.
static bool
will_not_settle(source_t *self, const publisher_state_t *state,
                client_turn_t *turn, millis_t now)
{
    if (!state->complete || state->sealed)
        return false;
    if (self->completed == 0)
        self->completed = now;
    turn->at = millis_least(turn->at, self->completed + SETTLE_MS);
    return now >= self->completed + SETTLE_MS;
}

bool
source_look(source_t *self, const publisher_state_t *state, client_turn_t *turn,
            millis_t now)
{
    if (self->started == 0)
        self->started = now;
    if (state->opened && self->begun == 0)
        opened(self, state, now);
    if (state->opened)
        note_protection(self, state);
    if (state->held != self->held) {
        self->held = state->held;
        if (self->held != STATUS_OK && state->opened)
            talk_say("%s waits: %s", self->name, state->text);
    }
    note_moves(self, state, now);
    millis_t patience = self->wait_ms   ? self->wait_ms
                        : state->opened ? MOVE_MS
                                        : OPEN_MS;
    bool stays = self->stays && state->opened &&
                 (state->held == STATUS_HELD || state->held == STATUS_FULL);
    self->gave_up = !stays && now - self->moved >= patience;
    if (!stays && state->held != STATUS_OK)
        turn->at = millis_least(turn->at, self->moved + patience);
    self->is_unsettled = will_not_settle(self, state, turn, now);
    if (self->gave_up || self->is_unsettled) {
        turn->stop = true;
        return false;
    }
    if (state->opened) {
        talk_progress(&self->progress, state->stored, now);
        turn->at = millis_least(turn->at, talk_progress_due(&self->progress));
    }
    return true;
}

static void
tell_json(const source_t *self, const publisher_state_t *state, double seconds)
{
    char code[ASK_CODE_BYTES];
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "name", self->name);
    ask_json_id(&json, "stream", state->stream);
    json_uint(&json, "size", state->next);
    json_uint(&json, "bytes", state->next - self->first);
    json_double(&json, "seconds", seconds);
    json_string(&json, "protection",
                ask_code_text(state->code.k, state->code.m, code));
    json_bool(&json, "narrower", state->narrower);
    json_bool(&json, "sealed", state->complete);
    json_bool(&json, "settled", state->sealed);
    json_uint(&json, "stored", state->stored);
    ask_json_end(&json);
}

//  The one line at the end of what went well.
static void
tell(const source_t *self, const publisher_state_t *state, millis_t now)
{
    double seconds = (double)(now - self->begun) / 1000;
    if (self->words->json) {
        tell_json(self, state, seconds);
        return;
    }
    uint64_t bytes = state->next - self->first;
    char code[ASK_CODE_BYTES];
    printf("%s: %llu bytes in %.2f s", self->name, (unsigned long long)bytes,
           seconds);
    char rate[UNITS_TEXT_BYTES];
    if (seconds > 0)
        printf(", %s/s",
               units_bytes((uint64_t)((double)bytes / seconds), rate));
    printf(", protected %s%s\n",
           ask_code_text(state->code.k, state->code.m, code),
           state->narrower ? " (narrower: too few workers took it)" : "");
}

int
source_end(source_t *self, const publisher_state_t *state, int code)
{
    talk_progress_end(&self->progress);
    if (code != EX_OK)  //  It may never have begun
        return code;
    const char *verb = self->words->verb->name;
    if (state->failed == STATUS_OFFSET && strcmp(verb, "push") == 0)
        return talk_fail(verb, EX_TEMPFAIL,
                         "%s: bytes that were stored are lost or another "
                         "source wrote; push again, behind a recorded hole "
                         "(%s)",
                         self->name, state->text);
    if (state->failed != STATUS_OK)
        return ask_fail_saying(self->words, state->failed, self->name,
                               state->text);
    if (self->gave_up && state->held == STATUS_UNREACHABLE)
        return talk_fail(verb, EX_UNAVAILABLE,
                         "nobody answers at %s any more; %llu bytes of %s are "
                         "stored, and the same command goes on from there",
                         self->words->at, (unsigned long long)state->stored,
                         self->name);
    if (self->gave_up)
        return talk_fail(verb, EX_TEMPFAIL, "%s: %s", self->name, state->text);
    if (!state->complete)
        return EX_OK;
    tell(self, state, zclock_mono());
    if (self->is_unsettled)
        talk_say("%s is stored, but a worker was lost before all of it was "
                 "settled: `rill stat %s` tells what is under-protected",
                 self->name, self->name);
    return EX_OK;
}
