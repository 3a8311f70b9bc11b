#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "input.h"
#include "source.h"
#include "talk.h"
#include "verbs.h"

enum { TRIES = 3 };  //  To read the file again

typedef struct {
    const words_t *words;
    const char *name;
    input_t *input;
    buffer_t *piece;  //  Read, and not yet taken
    source_t source;
    bool begun;
    bool finished;     //  All was offered
    millis_t wait_ms;  //  0: the usual
    int code;          //  Why it was stopped; 0: it was not
} put_t;

//  The file cannot be stored as it is: the stream stays open.
static void
give_up(put_t *self, client_turn_t *turn, const char *why)
{
    self->code = talk_fail("put", EX_DATAERR,
                           "%s; %s is left open and incomplete, `rill rm %s` "
                           "removes it",
                           why, self->name, self->name);
    turn->stop = true;
}

//  Offer what is read, as far as there is room.
static void
feed(put_t *self, publisher_t *publisher, client_turn_t *turn, millis_t now)
{
    const publisher_state_t *state = publisher_state(publisher);
    if (!self->begun) {
        input_begin(self->input, state->base, state->next, state->chunk_bytes);
        self->begun = true;
    }
    for (;;) {
        if (!self->piece)
            self->piece = input_next(self->input);
        if (!self->piece ||
            publisher_room(publisher) < buffer_size(self->piece))
            break;
        publisher_offer(publisher, self->piece, NULL, 0, now);
        buffer_unref(&self->piece);
    }
    if (input_failed(self->input))
        give_up(self, turn, input_failed(self->input));
    else if (!self->piece && state->next < input_size(self->input))
        turn->fd = input_fd(self->input);
    if (turn->stop || state->next < input_size(self->input))
        return;
    if (input_changed(self->input)) {
        char why[512];
        snprintf(why, sizeof why, "%s changed while it was stored",
                 words_operand(self->words, 0));
        give_up(self, turn, why);
        return;
    }
    publisher_finish(publisher, now);
    self->finished = true;
}

static void
offer(void *with, publisher_t *publisher, client_turn_t *turn, millis_t now)
{
    put_t *self = with;
    const publisher_state_t *state = publisher_state(publisher);
    if (talk_interrupted()) {
        self->code = talk_fail("put", EX_TEMPFAIL,
                               "interrupted; %llu bytes of %s are stored, and "
                               "the same command goes on from there",
                               (unsigned long long)state->stored, self->name);
        turn->stop = true;
        return;
    }
    if (source_look(&self->source, state, turn, now) && state->opened &&
        !self->finished)
        feed(self, publisher, turn, now);
}

//  What the stream has must be what the file has, chunk by chunk.
static int
compare(put_t *self, client_t *client, const Rill__V1__Described *stream)
{
    uint64_t from = stream->begin;
    do {
        message_t *answer;
        status_t status = client_list_chunks(client, stream->stream, from,
                                             false, &answer);
        if (status != STATUS_OK)
            return ask_fail(self->words, client, status, self->name);
        const Rill__V1__Layout *layout = answer->layout;
        bool same = true;
        for (size_t i = 0; i < layout->n_chunks && same; i++) {
            const Rill__V1__Placed *chunk = layout->chunks[i];
            uint32_t crc;
            if (chunk->parity || chunk->missing || chunk->length == 0 ||
                chunk->offset + chunk->length > stream->stored)
                continue;
            same = input_crc(self->input, chunk->offset, chunk->length, &crc) &&
                   crc == chunk->payload_crc;
        }
        from = layout->next;
        message_free(&answer);
        if (!same)
            return talk_fail("put", EX_DATAERR,
                             "%s has begun with other bytes than those of %s; "
                             "choose another name or `rill rm %s`",
                             self->name, words_operand(self->words, 0),
                             self->name);
    } while (from > 0 && from < stream->stored);
    return EX_OK;
}

//  Whether this file may be stored, or stored on, under the name.
static int
look_first(put_t *self, client_t *client)
{
    message_t *answer;
    status_t status = ask_describe(client, self->name, self->wait_ms, &answer);
    if (status == STATUS_UNKNOWN)
        return EX_OK;
    if (status != STATUS_OK)
        return ask_fail(self->words, client, status, self->name);
    const Rill__V1__Described *stream = answer->described;
    const char *file = words_operand(self->words, 0);
    int code = EX_OK;
    if (stream->sealed)
        code = talk_fail("put", EX_DATAERR,
                         "%s is taken by a stream that is complete; choose "
                         "another name or `rill rm %s`",
                         self->name, self->name);
    else if (stream->token != input_token(self->input))
        code = talk_fail("put", EX_DATAERR,
                         "%s is taken: it was begun by another source, or %s "
                         "has changed since; choose another name or `rill rm "
                         "%s`",
                         self->name, file, self->name);
    else if (stream->stored > stream->begin)
        code = compare(self, client, stream);
    message_free(&answer);
    return code;
}

static int
store_once(put_t *self, client_t *client, publisher_settings_t *settings,
           publisher_state_t *state_r)
{
    int code = look_first(self, client);
    if (code != EX_OK)
        return code;
    settings->name = self->name;
    settings->kind = KIND_RECORDED;
    settings->token = input_token(self->input);
    settings->size_known = true;
    settings->size = input_size(self->input);
    source_begin(&self->source, self->words, self->name, settings->asked,
                 settings->size);
    self->source.wait_ms = self->wait_ms;
    client_publish(client, settings, offer, self, state_r);
    buffer_unref(&self->piece);
    if (self->code == EX_OK && state_r->was_sealed)
        self->code = talk_fail("put", EX_DATAERR,
                               "%s is taken by a stream that is complete",
                               self->name);
    return self->code;
}

//  Begin the file anew, unless it has changed.
static bool
read_again(put_t *self)
{
    char why[256];
    uint64_t token = input_token(self->input);
    input_close(&self->input);
    self->begun = self->finished = false;
    self->input = input_open(words_operand(self->words, 0), why, sizeof why);
    return self->input && input_token(self->input) == token;
}

//  A forwarder that lost what it had told us it held asks for bytes that are
//  no longer kept; the file still has them.
static int
store(put_t *self, client_t *client, publisher_settings_t *settings)
{
    for (int tries = TRIES;; tries--) {
        publisher_state_t state = { .failed = STATUS_OK };
        int code = store_once(self, client, settings, &state);
        if (code != EX_OK || state.failed != STATUS_OFFSET || tries == 0 ||
            !read_again(self))
            return source_end(&self->source, &state, code);
    }
}

int
put_run(const words_t *words)
{
    const char *path = words_operand(words, 0);
    char *copy = strdup(path);
    put_t self = { .words = words, .name = words_value(words, "--as") };
    if (!self.name)
        self.name = basename(copy);
    publisher_settings_t settings = {
        .strict = words_value(words, "--strict") != NULL
    };
    client_t *client = NULL;
    char why[256];
    int code = EX_OK;
    if (strcmp(path, "-") == 0)
        code = talk_fail("put", EX_USAGE,
                         "FILE cannot be a pipe; `rill push NAME` takes one");
    if (code == EX_OK)
        code = ask_name(words, self.name);
    if (code == EX_OK)
        code = ask_code(words, &settings.asked);
    if (code == EX_OK)
        code = ask_chunk(words, &settings.chunk_bytes);
    if (code == EX_OK)
        code = ask_wait(words, &self.wait_ms);
    if (code == EX_OK && !(self.input = input_open(path, why, sizeof why)))
        code = talk_fail("put", EX_IOERR, "%s %s", path, why);
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code == EX_OK)
        code = store(&self, client, &settings);
    client_destroy(&client);
    input_close(&self.input);
    free(copy);
    return code;
}
