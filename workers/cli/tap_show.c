#include "tap_show.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "hops.h"
#include "invariant.h"
#include "message.h"
#include "query.h"
#include "record.h"
#include "talk.h"
#include "tap_lines.h"
#include "units.h"

enum { SAY_EVERY_MS = 1000, NAME_BYTES = 64 };

//  What belongs to a request, besides requests.
static const char *const OF_REQUEST[] = { "request", "sibling_asked",
                                          "sibling_answered", "fault_counted" };

//  Events of a node that did not come, since that was said last.
typedef struct {
    char node[NAME_BYTES];
    uint64_t count;
} missing_t;

struct tap_show {
    const char *filter;  //  NULL: all nodes
    uint64_t kinds;
    query_t *query;  //  NULL: all events
    hops_t *hops;    //  NULL: single events
    bool json;
    FILE *record;  //  NULL: they are printed
    const char *path;
    uint64_t most;    //  To be shown; 0: all
    uint64_t rate;    //  In `period`; 0: all
    millis_t period;  //  Of -R
    millis_t began;   //  The one that is running
    uint64_t inside;  //  Shown in it
    uint64_t shown;
    uint64_t passed;  //  Over for -R, since that was said last
    missing_t *missing;
    size_t missing_count;
    millis_t say_at;  //  When what is missing is said; MILLIS_NEVER: nothing is
    bool is_broken;   //  What is shown cannot be written
    int broken_errno;
};

/*-------------------------------------------------------------------- words */

__attribute__((format(printf, 1, 2))) static bool
wrong(const char *format, ...)
{
    char why[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof why, format, list);
    va_end(list);
    talk_fail("tap", EX_USAGE, "%s", why);
    return false;
}

//  Which kinds a glob names.
static uint64_t
kinds_like(const char *glob)
{
    uint64_t kinds = 0;
    for (size_t kind = 0; kind < events_kinds(); kind++)
        if (fnmatch(glob, events_kind_name(kind), 0) == 0)
            kinds |= UINT64_C(1) << kind;
    return kinds;
}

static bool
read_kinds(tap_show_t *self, const char *text)
{
    self->kinds = 0;
    for (size_t at = 0;; at++) {
        size_t size = strcspn(text + at, ",");
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%.*s", (int)size, text + at);
        uint64_t kinds = size < sizeof name ? kinds_like(name) : 0;
        if (!kinds)
            return wrong("-k, byte %zu: there is no kind \"%s\"; `rill help "
                         "events` lists them",
                         at + 1, name);
        self->kinds |= kinds;
        at += size;
        if (!text[at])
            return true;
    }
}

static bool
read_group(tap_show_t *self, const char *text)
{
    if (strcmp(text, "request") != 0)
        return wrong("-g \"%s\": only -g request is there", text);
    self->hops = hops_new();
    return true;
}

static bool
read_query(tap_show_t *self, const char *text)
{
    size_t at;
    char why[QUERY_WHY_BYTES];
    self->query = query_new(text, &at, why);
    if (self->query)
        return true;
    if (strlen(text) > 200 || strpbrk(text, "\n\t\r"))
        return wrong("-q, byte %zu: %s", at + 1, why);
    return wrong("-q, byte %zu: %s\n    %s\n    %*s", at + 1, why, text,
                 (int)at + 1, "^");
}

static bool
read_count(const char *text, const char **end_r, uint64_t *count_r)
{
    char *end;
    errno = 0;
    *count_r = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (*count_r == 0 || errno)
        return false;
    *end_r = end;
    return true;
}

static bool
read_most(tap_show_t *self, const char *text)
{
    const char *end = "";
    if (read_count(text, &end, &self->most) && !*end)
        return true;
    return wrong("-C \"%s\": how many, from 1", text);
}

//  N, N/s, N/min, N/10s.
static bool
read_rate(tap_show_t *self, const char *text)
{
    const char *end = "";
    char period[40], why[160] = "";
    uint64_t ms = SAY_EVERY_MS;
    bool is_right = read_count(text, &end, &self->rate) &&
                    (*end == '/' || !*end);
    if (is_right && *end) {
        bool is_bare = end[1] && !(end[1] >= '0' && end[1] <= '9');
        snprintf(period, sizeof period, "%s%s", is_bare ? "1" : "", end + 1);
        is_right = units_parse_ms(period, &ms, why, sizeof why) == STATUS_OK &&
                   ms > 0;
    }
    self->period = (millis_t)ms;
    return is_right || wrong("-R \"%s\": how many in what time, as 100/s or "
                             "5/10s",
                             text);
}

static bool
open_record(tap_show_t *self, const char *path)
{
    if (self->hops)
        return wrong("-g is for reading: record without it, and say -g with "
                     "-r");
    if (self->json)
        return wrong("-w records and prints nothing: say --json with -r");
    self->path = path;
    self->record = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (self->record)
        return true;
    talk_fail("tap", EX_IOERR, "%s: %s", path, strerror(errno));
    return false;
}

//  Kinds that cannot be wanted are not heard; of a request everything is.
static bool
narrow(tap_show_t *self, bool said_kinds)
{
    if (self->hops && !said_kinds)
        self->kinds = 0;
    for (size_t i = 0; self->hops && !said_kinds &&
                       i < sizeof OF_REQUEST / sizeof *OF_REQUEST;
         i++)
        self->kinds |= kinds_like(OF_REQUEST[i]);
    if (self->hops)
        self->kinds |= kinds_like("request");
    for (size_t kind = 0; kind < events_kinds() && !self->hops; kind++)
        if (self->query && !query_may(self->query, kind))
            self->kinds &= ~(UINT64_C(1) << kind);
    return self->kinds || wrong("-k and -q want no kind of event together");
}

static bool
read_words(tap_show_t *self, const words_t *words)
{
    static const struct {
        const char *option;
        bool (*read)(tap_show_t *self, const char *text);
    } OPTIONS[] = { { "--kinds", read_kinds }, { "--query", read_query },
                    { "--group", read_group }, { "--count", read_most },
                    { "--rate", read_rate },   { "--write", open_record } };
    for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
        const char *text = words_value(words, OPTIONS[i].option);
        if (text && !OPTIONS[i].read(self, text))
            return false;
    }
    return narrow(self, words_value(words, "--kinds") != NULL);
}

static void
give_up(tap_show_t **self_p)
{
    tap_show_t *self = *self_p;
    *self_p = NULL;
    query_destroy(&self->query);
    hops_destroy(&self->hops);
    if (self->record && self->record != stdout)
        fclose(self->record);
    free(self->missing);
    free(self);
}

tap_show_t *
tap_show_new(const words_t *words, int *code_r)
{
    tap_show_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    *self = (tap_show_t){ .filter = words_operand(words, 0),
                          .kinds = kinds_like("*"),
                          .json = words->json,
                          .say_at = MILLIS_NEVER };
    *code_r = EX_OK;
    if (!read_words(self, words)) {
        *code_r = self->path && !self->record ? EX_IOERR : EX_USAGE;
        give_up(&self);
    }
    return self;
}

uint64_t
tap_show_kinds(const tap_show_t *self)
{
    return self->kinds;
}

bool
tap_show_done(const tap_show_t *self)
{
    return self->is_broken || (self->most && self->shown >= self->most);
}

/*------------------------------------------------------------- what is wanted */

bool
tap_show_is(const char *from, size_t size, const char *name, const char *role)
{
    char word[NAME_BYTES];
    snprintf(word, sizeof word, "%.*s", (int)size, from);
    return strcmp(word, role) == 0 || fnmatch(word, name, 0) == 0;
}

//  Whether a node is meant by FILTER.
static bool
passes(const tap_show_t *self, const char *name, const char *role)
{
    const char *from = self->filter;
    while (from) {
        size_t size = strcspn(from, ",");
        if (tap_show_is(from, size, name, role))
            return true;
        from = from[size] ? from + size + 1 : NULL;
    }
    return !self->filter;
}

bool
tap_show_hears(const tap_show_t *self, const char *name, const char *role)
{
    return self->hops || passes(self, name, role);
}

static bool
is_wanted(const tap_show_t *self, const event_t *event)
{
    return passes(self, event->node, event->role) &&
           (!self->query || query_holds(self->query, event));
}

//  A way is wanted when one of its events is.
static bool
is_wanted_tree(const tap_show_t *self, const hops_tree_t *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        if (is_wanted(self, tree->hops[i].event))
            return true;
    return false;
}

/*------------------------------------------------------------------- showing */

//  Whether one more may be shown now; one that may not is counted.
static bool
is_admitted(tap_show_t *self, millis_t now)
{
    if (!self->rate)
        return true;
    if (self->inside == 0 || now - self->began >= self->period) {
        self->began = now;
        self->inside = 0;
    }
    if (self->inside < self->rate) {
        self->inside++;
        return true;
    }
    self->passed++;
    if (self->say_at == MILLIS_NEVER)
        self->say_at = now + SAY_EVERY_MS;
    return false;
}

static void
check_written(tap_show_t *self, bool is_written)
{
    if (is_written || self->is_broken)
        return;
    self->is_broken = true;
    self->broken_errno = errno;
}

static void
write_record(tap_show_t *self, buffer_t *bytes)
{
    size_t size = buffer_size(bytes);
    check_written(self,
                  fwrite(buffer_bytes(bytes), 1, size, self->record) == size);
    buffer_unref(&bytes);
}

static void
show_trees(tap_show_t *self, bool all, millis_t now)
{
    hops_tree_t tree;
    while (!tap_show_done(self) && hops_take(self->hops, all, now, &tree)) {
        if (!is_wanted_tree(self, &tree) || !is_admitted(self, now))
            continue;
        tap_lines_tree(&tree, self->json, stdout);
        self->shown++;
        check_written(self, !ferror(stdout));
    }
}

void
tap_show_event(tap_show_t *self, const event_t *event, millis_t now)
{
    size_t kind = events_kind(event);
    if (tap_show_done(self) || kind == EVENTS_NO_KIND ||
        !(self->kinds >> kind & 1))
        return;
    if (self->hops) {
        show_trees(self, false, now);
        hops_add(self->hops, event, now);
        show_trees(self, false, now);
        return;
    }
    if (!is_wanted(self, event) || !is_admitted(self, now))
        return;
    self->shown++;
    if (self->record) {
        write_record(self, record_of_event(event));
        return;
    }
    tap_lines_event(event, self->json, stdout);
    check_written(self, !ferror(stdout));
}

/*------------------------------------------------------------ what is missing */

void
tap_show_lost(tap_show_t *self, const char *node, size_t kind, uint64_t count)
{
    size_t at = 0;
    if (!(self->kinds >> kind & 1) || tap_show_done(self))
        return;
    while (at < self->missing_count &&
           strcmp(self->missing[at].node, node) != 0)
        at++;
    if (at == self->missing_count) {
        self->missing_count++;
        self->missing = realloc(self->missing,
                                self->missing_count * sizeof *self->missing);
        INVARIANT(self->missing);
        self->missing[at] = (missing_t){ 0 };
        snprintf(self->missing[at].node, NAME_BYTES, "%s", node);
    }
    self->missing[at].count += count;
    self->say_at = 0;
    if (!self->record)
        return;
    lost_t lost = RILL__V1__LOST__INIT;
    lost.node = self->missing[at].node;
    lost.kind = message_lend(events_kind_name(kind));
    lost.events = count;
    write_record(self, record_of_loss(&lost));
}

static void
say_missing(tap_show_t *self)
{
    for (size_t i = 0; i < self->missing_count; i++) {
        if (self->missing[i].count)
            talk_say("lost %llu events from %s",
                     (unsigned long long)self->missing[i].count,
                     self->missing[i].node);
        self->missing[i].count = 0;
    }
    if (self->passed)
        talk_say("%llu more were not shown (-R)",
                 (unsigned long long)self->passed);
    self->passed = 0;
    self->say_at = MILLIS_NEVER;
}

millis_t
tap_show_sweep(tap_show_t *self, millis_t now)
{
    if (self->hops)
        show_trees(self, false, now);
    if (self->say_at == 0)
        self->say_at = now + SAY_EVERY_MS / 2;
    else if (self->say_at <= now)
        say_missing(self);
    //  Whoever reads a pipe sees it now.
    check_written(self, fflush(self->record ? self->record : stdout) == 0);
    return millis_least(self->say_at,
                        self->hops ? hops_due(self->hops) : MILLIS_NEVER);
}

int
tap_show_end(tap_show_t **self_p, bool *any_r)
{
    tap_show_t *self = *self_p;
    int code = EX_OK;
    if (self->hops)
        show_trees(self, true, MILLIS_NEVER - HOPS_JOINED_MS);
    say_missing(self);
    if (self->record)
        check_written(self, fflush(self->record) == 0);
    if (self->record && self->is_broken && self->record != stdout)
        code = talk_fail("tap", EX_IOERR, "%s: %s", self->path,
                         strerror(self->broken_errno));
    else if (self->record)
        talk_say("recorded %llu events", (unsigned long long)self->shown);
    *any_r = self->shown > 0;
    give_up(self_p);
    return code;
}
