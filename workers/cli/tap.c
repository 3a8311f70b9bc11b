#include <czmq.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "ask.h"
#include "listener.h"
#include "record.h"
#include "settings.h"
#include "talk.h"
#include "tap_show.h"
#include "units.h"
#include "verbs.h"

enum { TURN_MS = 1000, NAMES_BYTES = 1024 };

/*-------------------------------------------------------------- a recording */

typedef struct {
    const char *path;
    FILE *file;
    uint8_t bytes[RECORD_MOST_BYTES];
    size_t size;    //  That are there
    uint64_t at;    //  Where they lie in the file
    uint64_t read;  //  Events before
    millis_t now;   //  Time as the events have it, which never goes back
} replay_t;

static void
show_recorded(tap_show_t *show, replay_t *replay, const recorded_t *one)
{
    if (one->lost) {
        size_t kind = events_find(one->lost->kind);
        if (kind != EVENTS_NO_KIND)
            tap_show_lost(show, one->lost->node, kind, one->lost->events);
        return;
    }
    millis_t at = one->event->at_us / 1000;
    replay->now = at > replay->now ? at : replay->now;
    replay->read++;
    tap_show_event(show, one->event, replay->now);
}

//  Read what there is. 0, or the exit code: what is behind is not what was
//  written.
static int
replay_all(tap_show_t *show, replay_t *replay)
{
    recorded_t one;
    size_t used = 0;
    while (!tap_show_done(show)) {
        record_state_t state = record_read(replay->bytes + used,
                                           replay->size - used, &one);
        if (state == RECORD_READ) {
            show_recorded(show, replay, &one);
            used += one.used;
            record_free(&one);
            continue;
        }
        replay->at += used;
        replay->size -= used;
        memmove(replay->bytes, replay->bytes + used, replay->size);
        used = 0;
        size_t more = state == RECORD_SHORT
                          ? fread(replay->bytes + replay->size, 1,
                                  sizeof replay->bytes - replay->size,
                                  replay->file)
                          : 0;
        replay->size += more;
        if (more > 0)
            continue;
        if (ferror(replay->file))
            return talk_fail("tap", EX_IOERR, "%s: %s", replay->path,
                             strerror(errno));
        if (replay->size > 0)
            return talk_fail(
                "tap", EX_DATAERR,
                "%s %s at byte %llu, behind %llu events: what is behind that "
                "is not shown",
                replay->path,
                state == RECORD_SHORT ? "is cut short"
                                      : "is no recording, or damaged,",
                (unsigned long long)replay->at,
                (unsigned long long)replay->read);
        return EX_OK;
    }
    return EX_OK;
}

static int
run_recorded(const char *path, tap_show_t **show_p)
{
    bool any;
    replay_t *replay = zmalloc(sizeof *replay);
    replay->path = path;
    replay->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!replay->file) {
        int code = talk_fail("tap", EX_IOERR, "%s: %s", path, strerror(errno));
        free(replay);
        (void)tap_show_end(show_p, &any);
        return code;
    }
    int code = replay_all(*show_p, replay);
    if (replay->file != stdin)
        fclose(replay->file);
    free(replay);
    fflush(stdout);
    int end = tap_show_end(show_p, &any);
    if (code == EX_OK)
        code = end;
    return code == EX_OK && !any ? 1 : code;
}

/*--------------------------------------------------------------------- live */

typedef struct {
    tap_show_t *show;
    listener_t *listener;
    bool is_settled;  //  Who is heard was said
} live_t;

static bool
wants(void *with, const listener_node_t *node)
{
    return tap_show_hears(((live_t *)with)->show, node->name, node->role);
}

static void
on_event(void *with, const event_t *event, bool is_last)
{
    (void)is_last;
    tap_show_event(((live_t *)with)->show, event, zclock_mono());
}

static void
on_lost(void *with, const listener_node_t *node, size_t kind, uint64_t count)
{
    tap_show_lost(((live_t *)with)->show, node->name, kind, count);
}

static void
on_turn(void *with, const listener_node_t *node)
{
    const live_t *self = with;
    if (!*node->name)  //  An address where nobody answered
        return;
    switch (node->state) {
    case LISTENER_HEARD:
        if (self->is_settled)
            talk_say("%s is heard", node->name);
        break;
    case LISTENER_ABSENT:
        talk_say("%s at %s does not answer; the others are heard", node->name,
                 node->at);
        break;
    case LISTENER_MUTE:
        talk_say("%s answers, but has no tap", node->name);
        break;
    case LISTENER_GONE:
        talk_say("%s has gone", node->name);
        break;
    case LISTENER_SILENT:
        talk_say("%s says nothing: it hangs, or is cut off", node->name);
        break;
    case LISTENER_UNKNOWN:
        break;
    }
}

//  Whom the words name. 0, or the exit code.
static int
add_nodes(live_t *self, const words_t *words)
{
    const char *file = words_value(words, "--file");
    const char *set = getenv("RILL_DIRECTOR");
    bool is_set = set && *set;
    if (!file) {
        if (words->wants_director)
            listener_add(self->listener, "", "", words->director);
        if (!words->wants_director || !is_set)
            listener_add(self->listener, "", "", words->at);
        return EX_OK;
    }
    settings_t settings;
    char why[SETTINGS_WHY_BYTES];
    if (settings_load(file, &settings, why, sizeof why) != STATUS_OK)
        return talk_fail("tap", EX_CONFIG, "%s", why);
    const settings_node_t *node;
    for (size_t i = 0; (node = settings_nth(&settings, i)); i++)
        listener_add(self->listener, node->name, settings_role(node->role),
                     node->reach);
    settings_free(&settings);
    return EX_OK;
}

//  The names of the nodes in a state, or of all; how many.
static size_t
names_of(const live_t *self, bool heard_only, char text_r[NAMES_BYTES])
{
    const listener_node_t *node;
    bool wanted;
    size_t count = 0, used = 0;
    text_r[0] = '\0';
    for (size_t i = 0; (node = listener_nth(self->listener, i, &wanted)); i++) {
        if (heard_only && (!wanted || node->state != LISTENER_HEARD))
            continue;
        const char *name = *node->name || heard_only ? node->name : "";
        if (!*name)
            continue;
        if (used < NAMES_BYTES)
            used += (size_t)snprintf(text_r + used, NAMES_BYTES - used, "%s%s",
                                     count ? ", " : "", name);
        count++;
    }
    return count;
}

//  Name the words of FILTER that are no node's.
static void
say_strange(live_t *self, const char *filter)
{
    for (const char *from = filter; from && *from;) {
        const listener_node_t *node;
        bool wanted, is_known = false;
        size_t size = strcspn(from, ",");
        for (size_t i = 0; (node = listener_nth(self->listener, i, &wanted));
             i++)
            is_known = is_known ||
                       (*node->name &&
                        tap_show_is(from, size, node->name, node->role));
        if (!is_known)
            talk_say("no node is known as \"%.*s\"; the others are heard",
                     (int)size, from);
        from += size + (from[size] == ',');
    }
}

//  Say once who is heard. 0, or the exit code: nobody is.
static int
say_who(live_t *self, const words_t *words)
{
    char names[NAMES_BYTES];
    const listener_node_t *node;
    bool wanted, any_wanted = false;
    self->is_settled = true;
    size_t heard = names_of(self, true, names);
    if (heard > 0) {
        talk_say("listening to %zu node%s: %s", heard, heard == 1 ? "" : "s",
                 names);
        say_strange(self, words_operand(words, 0));
        return EX_OK;
    }
    for (size_t i = 0; (node = listener_nth(self->listener, i, &wanted)); i++)
        any_wanted = any_wanted || (wanted && *node->name);
    size_t all = names_of(self, false, names);
    if (all > 0 && !any_wanted)
        return talk_fail("tap", EX_USAGE,
                         "no node is a \"%s\"; say a role or a name: %s",
                         words_operand(words, 0), names);
    if (all > 0)
        return talk_fail("tap", EX_UNAVAILABLE, "no node of it is heard");
    names[0] = '\0';
    for (size_t i = 0; (node = listener_nth(self->listener, i, &wanted)); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                 i ? " or " : "", node->at);
    return talk_fail("tap", EX_UNAVAILABLE,
                     "nobody answers at %s; is the cluster up?", names);
}

static int
hear(live_t *self, const words_t *words, millis_t wait_ms)
{
    int code = EX_OK;
    millis_t until = MILLIS_NEVER, due = 0;
    while (code == EX_OK && !tap_show_done(self->show) && !talk_interrupted() &&
           zclock_mono() < until) {
        due = millis_least(due, zclock_mono() + TURN_MS);
        listener_wait(self->listener, millis_least(due, until));
        if (!self->is_settled && listener_settled(self->listener)) {
            code = say_who(self, words);
            if (wait_ms)
                until = zclock_mono() + wait_ms;
        }
        due = tap_show_sweep(self->show, zclock_mono());
    }
    return code;
}

static int
run_live(const words_t *words, millis_t wait_ms, tap_show_t **show_p)
{
    static const listener_effects_t EFFECTS = {
        .wants = wants, .event = on_event, .lost = on_lost, .turned = on_turn
    };
    live_t self = { .show = *show_p };
    listener_settings_t settings = { .kinds = tap_show_kinds(*show_p),
                                     .last = words_value(words, "--last") };
    self.listener = listener_new(&settings, &EFFECTS, &self);
    talk_note_signals();
    int code = add_nodes(&self, words);
    if (code == EX_OK)
        code = hear(&self, words, wait_ms);
    listener_destroy(&self.listener);
    bool any;
    int end = tap_show_end(show_p, &any);
    if (code == EX_OK)
        code = end;
    bool is_empty = wait_ms && !any && !talk_interrupted();
    return code == EX_OK && is_empty ? 1 : code;
}

/*--------------------------------------------------------------------- verb */

//  -W: a time, or a number of seconds.
static int
read_wait(const words_t *words, millis_t *wait_ms_r)
{
    const char *text = words_value(words, "--wait");
    char why[160], *end;
    uint64_t ms = 0;
    *wait_ms_r = 0;
    if (!text)
        return EX_OK;
    double seconds = strtod(text, &end);
    if (*text >= '0' && *text <= '9' && !*end && seconds < 1e9)
        ms = (uint64_t)(seconds * 1000);
    else if (units_parse_ms(text, &ms, why, sizeof why) != STATUS_OK)
        ms = 0;
    *wait_ms_r = (millis_t)ms;
    return ms ? EX_OK
              : talk_fail("tap", EX_USAGE,
                          "-W \"%s\": how many seconds, or a time as 2min",
                          text);
}

//  Whether -w would empty what -r reads.
static bool
is_same_file(const char *from, const char *to)
{
    struct stat a, b;
    int found = strcmp(from, "-") == 0 ? fstat(STDIN_FILENO, &a)
                                       : stat(from, &a);
    return found == 0 && stat(to, &b) == 0 && S_ISREG(a.st_mode) &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int
tap_run(const words_t *words)
{
    millis_t wait_ms;
    const char *from = words_value(words, "--read");
    const char *to = words_value(words, "--write");
    int code = read_wait(words, &wait_ms);
    if (code == EX_OK && from && to && is_same_file(from, to))
        code = talk_fail("tap", EX_USAGE, "-w %s would overwrite what -r reads",
                         to);
    if (code == EX_OK && from &&
        (words_value(words, "--last") || words_value(words, "--file") ||
         wait_ms))
        code = talk_fail("tap", EX_USAGE,
                         "-r reads a recording: -d, -f and -W are about nodes");
    tap_show_t *show = code == EX_OK ? tap_show_new(words, &code) : NULL;
    if (!show)
        return code;
    return from ? run_recorded(from, &show) : run_live(words, wait_ms, &show);
}
