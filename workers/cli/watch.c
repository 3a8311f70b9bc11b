#include <ctype.h>
#include <czmq.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "ask.h"
#include "output.h"
#include "places.h"
#include "streams.h"
#include "talk.h"
#include "units.h"
#include "verbs.h"

#define BACK_MS (UINT64_C(1) << 40)  //  No node is asked for more

typedef struct {
    const words_t *words;
    const char *name;
    const char *path;  //  "-": standard output
    output_t *output;
    watcher_settings_t settings;
    char *at;  //  --at, taken apart
    const char *places[PLACES_MOST];
    size_t places_count;
    message_t *offer;  //  The director's list, which has the places
    uint64_t most_ms;  //  UINT64_MAX: as long as it lasts
    millis_t until;
    bool told;   //  Where it begins
    bool waits;  //  It was said that nobody answers
    uint64_t delivered;
    uint64_t left_out;  //  Bytes of holes
    talk_progress_t progress;
} watch_t;

/*------------------------------------------------------------------- words */

//  "2026-11-22T08:00:00", also with a blank, a fraction or a Z: UTC.
static bool
read_moment(const char *text, micros_t *us_r)
{
    struct tm parts = { 0 };
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (!rest || (*rest != 'T' && *rest != ' '))
        return false;
    rest = strptime(rest + 1, "%H:%M:%S", &parts);
    if (!rest)
        return false;
    micros_t fraction = 0;
    if (*rest == '.') {
        micros_t unit = 100000;
        for (rest++; isdigit((unsigned char)*rest); rest++, unit /= 10)
            fraction += (*rest - '0') * unit;
    }
    if (*rest == 'Z')
        rest++;
    *us_r = (micros_t)timegm(&parts) * 1000000 + fraction;
    return *rest == '\0';
}

static bool
read_offset(const char *text, uint64_t *offset_r)
{
    char *end;
    errno = 0;
    uint64_t offset = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0)
        return false;
    *offset_r = offset;
    return true;
}

static int
read_from(watch_t *self)
{
    const char *text = words_value(self->words, "--from");
    watcher_settings_t *settings = &self->settings;
    micros_t us;
    char why[160];
    if (!text || strcmp(text, "live") == 0)
        settings->from = WATCH_LIVE;
    else if (strcmp(text, "start") == 0)
        settings->from = WATCH_FIRST;
    else if (*text == '-' && units_parse_ms(text + 1, &settings->place, why,
                                            sizeof why) == STATUS_OK)
        settings->from = settings->place < BACK_MS ? WATCH_BACK : WATCH_FIRST;
    else if (read_offset(text, &settings->place))
        settings->from = WATCH_OFFSET;
    else if (read_moment(text, &us)) {
        settings->from = WATCH_TIME;
        settings->place = (uint64_t)us;
    } else
        return talk_fail("watch", EX_USAGE,
                         "--from \"%s\" is no beginning; say live, start, "
                         "-30s, 2026-11-22T08:00:00 (UTC) or an offset",
                         text);
    return EX_OK;
}

static int
read_to(watch_t *self)
{
    const char *text = words_value(self->words, "--to");
    const watcher_settings_t *settings = &self->settings;
    self->settings.to = UINT64_MAX;
    if (text && !read_offset(text, &self->settings.to) &&
        !read_moment(text, &self->settings.to_us))
        return talk_fail("watch", EX_USAGE,
                         "--to \"%s\" is no end; say 2026-11-22T08:00:00 (UTC) "
                         "or an offset",
                         text);
    if (settings->from == WATCH_OFFSET && settings->to < settings->place)
        return talk_fail("watch", EX_USAGE, "--to %s lies before --from %s",
                         text, words_value(self->words, "--from"));
    return EX_OK;
}

static int
read_for(watch_t *self)
{
    const char *text = words_value(self->words, "--for");
    char why[160] = "is no duration";
    self->most_ms = UINT64_MAX;
    if (text &&
        units_parse_ms(text, &self->most_ms, why, sizeof why) != STATUS_OK)
        return talk_fail("watch", EX_USAGE, "--for \"%s\" %s", text, why);
    return EX_OK;
}

//  --at may name several nodes, the best first; without it the director does.
static void
read_places(watch_t *self)
{
    if (self->words->wants_director) {
        self->places_count = places_ask(self->words, self->name, self->places,
                                        &self->offer);
        if (self->places_count > 0)
            return;
        talk_say("rill watch: the director at %s names no cache; going on at "
                 "%s",
                 self->words->director, self->words->at);
    }
    self->at = strdup(self->words->at);
    char *rest = self->at, *place;
    while (self->places_count < PLACES_MOST && (place = strsep(&rest, ",")))
        if (*place)
            self->places[self->places_count++] = place;
}

/*---------------------------------------------------------------- watching */

static status_t
deliver(void *with, uint64_t offset, buffer_t *bytes,
        const chunk_header_t *chunk)
{
    (void)offset, (void)chunk;
    watch_t *self = with;
    if (!output_write(self->output, buffer_bytes(bytes), buffer_size(bytes)))
        return STATUS_IO;
    self->delivered += buffer_size(bytes);
    return STATUS_OK;
}

static status_t
skip(void *with, uint64_t from, uint64_t to)
{
    watch_t *self = with;
    self->left_out += to - from;
    talk_say("%s has no bytes %llu to %llu (a recorded hole, or older than its "
             "retention); they are left out",
             self->name, (unsigned long long)from, (unsigned long long)to);
    return STATUS_OK;
}

static void
turn(void *with, const watcher_state_t *state, client_turn_t *next,
     millis_t now)
{
    watch_t *self = with;
    if (state->begun && !self->told) {
        self->told = true;
        if (state->moved)
            talk_say("what was asked for of %s is older than its retention; it "
                     "begins at byte %llu",
                     self->name, (unsigned long long)state->begin);
    }
    if (!state->begun && state->held == STATUS_UNREACHABLE && !self->waits) {
        self->waits = true;
        talk_say("nobody answers at %s; trying on for a while",
                 self->places[0]);
    }
    talk_progress(&self->progress, self->delivered, now);
    next->at = millis_least(talk_progress_due(&self->progress), self->until);
    next->stop = talk_interrupted() || now >= self->until;
}

static void
tell(const watch_t *self, const watcher_state_t *state, double seconds)
{
    if (!self->words->json)
        return;
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "name", self->name);
    ask_json_id(&json, "stream", state->stream);
    json_string(&json, "file", self->path);
    json_uint(&json, "from", state->begin);
    json_uint(&json, "to", state->next);
    json_uint(&json, "bytes", self->delivered);
    json_uint(&json, "left_out", self->left_out);
    json_bool(&json, "moved", state->moved);
    json_bool(&json, "sealed", state->sealed);
    json_double(&json, "seconds", seconds);
    json_uint(&json, "chunks", state->chunks);
    json_uint(&json, "sessions", state->opened);
    json_uint(&json, "nodes_left", state->left);
    ask_json_end(&json);
}

//  It ended before any node said where it begins.
static int
fail_unbegun(const watch_t *self, const watcher_state_t *state)
{
    //  It was told to end: what it waited for until then.
    status_t status = state->failed != STATUS_OK ? state->failed
                      : state->held != STATUS_OK ? state->held
                                                 : STATUS_LATE;
    if (state->nearest)
        return talk_fail("watch", talk_code(status),
                         "%s: %s The nearest byte is %llu.", self->name,
                         state->text, (unsigned long long)state->nearest);
    if (status != STATUS_UNREACHABLE && status != STATUS_LATE)
        return ask_fail_saying(self->words, status, self->name, state->text);
    bool more = self->places_count > 1;
    if (state->answered)
        return talk_fail("watch", EX_TEMPFAIL,
                         "%s: %s%s answered, but has not found the stream yet",
                         self->name, self->places[0],
                         more ? " or another" : "");
    return talk_fail("watch", talk_code(status), "%s: nobody answers at %s%s",
                     self->name, self->places[0],
                     more ? " nor at the others" : "");
}

//  What the watching ended with, said; 0 or the exit code.
static int
judge(watch_t *self, const watcher_state_t *state)
{
    //  Whoever read the pipe has had enough: no error.
    if (output_broken_pipe(self->output))
        return EX_OK;
    if (output_failed(self->output))
        return talk_fail("watch", EX_IOERR, "%s cannot be written: %s",
                         strcmp(self->path, "-") == 0 ? "standard output"
                                                      : self->path,
                         output_failed(self->output));
    if (!state->begun)
        return fail_unbegun(self, state);
    if (state->failed == STATUS_OK)
        return EX_OK;
    return talk_fail("watch", talk_code(state->failed),
                     "%s: no more than bytes %llu to %llu came: %s", self->name,
                     (unsigned long long)state->begin,
                     (unsigned long long)state->next, state->text);
}

static int
watch(watch_t *self, client_t *client)
{
    static const client_viewer_t VIEWER = { deliver, skip, turn };
    char why[256];
    self->output = output_open(self->path, 0, why, sizeof why);
    if (!self->output)
        return talk_fail("watch", EX_IOERR, "%s %s", self->path, why);
    watcher_state_t state;
    //  A director that does not answer took none of the time that was given.
    millis_t begun = zclock_mono();
    self->until = self->most_ms < (uint64_t)(MILLIS_NEVER - begun)
                      ? begun + (millis_t)self->most_ms
                      : MILLIS_NEVER;
    talk_progress_begin(&self->progress, 0, 0, begun);
    client_watch(client, &self->settings, self->places, self->places_count,
                 &VIEWER, self, &state);
    talk_progress_end(&self->progress);
    int code = judge(self, &state);
    if (code == EX_OK && !output_broken_pipe(self->output)) {
        if (output_keep(&self->output, why, sizeof why))
            tell(self, &state, (double)(zclock_mono() - begun) / 1000);
        else
            code = talk_fail("watch", EX_IOERR, "%s %s", self->path, why);
    }
    output_discard(&self->output);
    return code;
}

int
watch_run(const words_t *words)
{
    const char *path = words_value(words, "--output");
    watch_t self = { .words = words,
                     .name = words_operand(words, 0),
                     .path = path ? path : "-" };
    if (words->json && strcmp(self.path, "-") == 0)
        return talk_fail("watch", EX_USAGE,
                         "--json and the stream's bytes would mix on standard "
                         "output; say -o FILE");
    int code = ask_name(words, self.name);
    if (code == EX_OK)
        code = read_from(&self);
    if (code == EX_OK)
        code = read_to(&self);
    if (code == EX_OK)
        code = read_for(&self);
    if (code != EX_OK)
        return code;
    self.settings.name = self.name;
    talk_note_signals();
    read_places(&self);
    words_t first = *words;
    first.at = self.places_count ? self.places[0] : words->at;
    client_t *client;
    code = ask_open(&first, &client);
    if (code == EX_OK) {
        code = watch(&self, client);
        client_destroy(&client);
    }
    message_free(&self.offer);
    free(self.at);
    return code;
}
