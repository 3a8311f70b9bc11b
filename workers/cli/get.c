#include <czmq.h>
#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "output.h"
#include "talk.h"
#include "verbs.h"

typedef struct {
    const words_t *words;
    const char *name;
    const char *path;  //  "-": standard output
    output_t *output;
    uint64_t from, to;
    uint64_t delivered;
    uint64_t left_out;  //  Bytes of holes
    talk_progress_t progress;
} get_t;

static status_t
deliver(void *with, uint64_t offset, buffer_t *bytes)
{
    (void)offset;
    get_t *self = with;
    if (!output_write(self->output, buffer_bytes(bytes), buffer_size(bytes)))
        return STATUS_IO;
    self->delivered += buffer_size(bytes);
    return STATUS_OK;
}

static status_t
skip(void *with, uint64_t from, uint64_t to)
{
    get_t *self = with;
    self->left_out += to - from;
    talk_say("%s never got its bytes %llu to %llu (a recorded hole); they are "
             "left out",
             self->name, (unsigned long long)from, (unsigned long long)to);
    return STATUS_OK;
}

static void
turn(void *with, const reader_state_t *state, client_turn_t *next, millis_t now)
{
    get_t *self = with;
    talk_progress(&self->progress, state->next - self->from, now);
    next->at = talk_progress_due(&self->progress);
    next->stop = talk_interrupted();
}

//  One end of "FROM-TO"; left alone when it is left out.
static bool
read_end(const char **text, uint64_t *end)
{
    if (**text < '0' || **text > '9')
        return true;
    char *behind;
    errno = 0;
    *end = strtoull(*text, &behind, 10);
    *text = behind;
    return errno == 0;
}

//  --range into from and to, whose defaults are set.
static bool
read_range(const char *text, uint64_t *from, uint64_t *to)
{
    const char *next = text;
    if (strlen(text) < 2 || !read_end(&next, from) || *next++ != '-')
        return false;
    return read_end(&next, to) && *next == '\0' && *from <= *to;
}

//  What is read of a stream: the range, or all there is; 0 or the exit code.
static int
choose(get_t *self, const Rill__V1__Described *stream)
{
    uint64_t end = stream->sealed ? stream->size : stream->stored;
    const char *range = words_value(self->words, "--range");
    self->from = stream->first < end ? stream->first : end;
    self->to = end;
    uint64_t to = UINT64_MAX;
    if (range && !read_range(range, &self->from, &to))
        return talk_fail("get", EX_USAGE,
                         "\"%s\" is no range; say FROM-TO in bytes, as in "
                         "0-188",
                         range);
    if (to != UINT64_MAX)
        self->to = to;
    if (self->to > end || self->from > end)
        return talk_fail("get", EX_DATAERR,
                         "the range %s lies outside %s, which has %llu bytes%s",
                         range, self->name, (unsigned long long)end,
                         stream->sealed ? "" : " so far");
    if (range && self->from < stream->first)
        return talk_fail("get", EX_DATAERR,
                         "bytes of %s below %llu are older than its retention "
                         "and gone",
                         self->name, (unsigned long long)stream->first);
    return EX_OK;
}

static void
tell(const get_t *self, const Rill__V1__Described *stream,
     const reader_state_t *state, double seconds)
{
    if (!self->words->json)
        return;
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "name", self->name);
    ask_json_id(&json, "stream", stream->stream);
    json_string(&json, "file", self->path);
    json_uint(&json, "from", self->from);
    json_uint(&json, "to", self->to);
    json_uint(&json, "bytes", self->delivered);
    json_uint(&json, "left_out", self->left_out);
    json_bool(&json, "sealed", stream->sealed);
    json_double(&json, "seconds", seconds);
    json_uint(&json, "chunks", state->answers);
    json_uint(&json, "decoded", state->decoded);
    json_uint(&json, "asked_again", state->again);
    ask_json_end(&json);
}

//  What the reading ended with, said; 0 or the exit code.
static int
judge(get_t *self, const reader_state_t *state)
{
    //  Whoever read the pipe has had enough: no error.
    if (output_broken_pipe(self->output))
        return EX_OK;
    if (output_failed(self->output))
        return talk_fail("get", EX_IOERR, "%s cannot be written: %s",
                         strcmp(self->path, "-") == 0 ? "standard output"
                                                      : self->path,
                         output_failed(self->output));
    if (talk_interrupted())
        return talk_fail("get", EX_TEMPFAIL, "interrupted at byte %llu",
                         (unsigned long long)state->next);
    if (state->failed != STATUS_OK)
        return talk_fail("get", talk_code(state->failed),
                         "%s: no more than bytes %llu to %llu came: %s",
                         self->name, (unsigned long long)self->from,
                         (unsigned long long)state->next, state->text);
    return EX_OK;
}

static int
fetch(get_t *self, client_t *client, const Rill__V1__Described *stream)
{
    static const client_taker_t TAKER = { deliver, skip, turn };
    hole_t holes[stream->n_holes + 1];
    for (size_t i = 0; i < stream->n_holes; i++)
        holes[i] = (hole_t){ stream->holes[i]->from, stream->holes[i]->to };
    reader_settings_t settings = { .stream = stream->stream,
                                   .from = self->from,
                                   .to = self->to,
                                   .chunk_bytes = stream->chunk_bytes,
                                   .holes = holes,
                                   .holes_count = stream->n_holes };
    reader_state_t state;
    millis_t begun = zclock_mono();
    talk_progress_begin(&self->progress, self->to - self->from, 0, begun);
    client_read(client, &settings, &TAKER, self, &state);
    talk_progress_end(&self->progress);
    int code = judge(self, &state);
    if (code != EX_OK || output_broken_pipe(self->output))
        return code;
    char why[256];
    if (!output_keep(&self->output, why, sizeof why))
        return talk_fail("get", EX_IOERR, "%s %s", self->path, why);
    tell(self, stream, &state, (double)(zclock_mono() - begun) / 1000);
    return EX_OK;
}

static int
get(get_t *self, client_t *client)
{
    message_t *answer;
    status_t status = client_describe(client, self->name, &answer);
    if (status != STATUS_OK)
        return ask_fail(self->words, client, status, self->name);
    const Rill__V1__Described *stream = answer->described;
    char why[256];
    int code = choose(self, stream);
    if (code == EX_OK &&
        !(self->output = output_open(self->path, self->to - self->from, why,
                                     sizeof why)))
        code = talk_fail("get", EX_IOERR, "%s %s", self->path, why);
    if (code == EX_OK && !stream->sealed)
        talk_say("%s is still open: this is what is stored of it, up to byte "
                 "%llu",
                 self->name, (unsigned long long)stream->stored);
    if (code == EX_OK)
        code = fetch(self, client, stream);
    output_discard(&self->output);
    message_free(&answer);
    return code;
}

int
get_run(const words_t *words)
{
    const char *path = words_value(words, "--output");
    get_t self = { .words = words,
                   .name = words_operand(words, 0),
                   .path = path ? path : "-" };
    uint64_t from, to;
    const char *range = words_value(words, "--range");
    if (words->json && strcmp(self.path, "-") == 0)
        return talk_fail("get", EX_USAGE,
                         "--json and the stream's bytes would mix on standard "
                         "output; say -o FILE");
    from = 0, to = UINT64_MAX;
    if (range && !read_range(range, &from, &to))
        return talk_fail("get", EX_USAGE,
                         "\"%s\" is no range; say FROM-TO in bytes, as in "
                         "0-188",
                         range);
    talk_note_signals();
    client_t *client;
    int code = ask_name(words, self.name);
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    code = get(&self, client);
    client_destroy(&client);
    return code;
}
