#include <string.h>
#include <sysexits.h>

#include "counters.h"
#include "events.h"
#include "invariant.h"
#include "settings.h"
#include "status.h"
#include "table.h"
#include "talk.h"
#include "verbs.h"

static void
list_errors(FILE *to)
{
    static const char *const RETRIES[] = { [RETRY_NEVER] = "no",
                                           [RETRY_LATER] = "later",
                                           [RETRY_ELSEWHERE] = "elsewhere",
                                           [RETRY_REOPEN] = "reopen" };
    static const char *const HEADINGS[] = { "error", "retry", ">exit",
                                            "what it means", NULL };
    table_t *table = table_new(HEADINGS);
    for (int nth = 1; status_nth(nth) != STATUS_OK; nth++) {
        status_t status = status_nth(nth);
        table_cell(table, "%s", status_name(status));
        table_cell(table, "%s", RETRIES[status_retry(status)]);
        table_cell(table, "%d", talk_code(status));
        table_cell(table, "%s", status_text(status));
    }
    table_print(table, to);
    table_destroy(&table);
}

static void
list_fields(size_t kind, FILE *to)
{
    static const char *const TYPES[] = {
        [EVENTS_COUNT] = "number", [EVENTS_SIGNED] = "number",
        [EVENTS_REAL] = "number",  [EVENTS_FLAG] = "yes/no",
        [EVENTS_TEXT] = "text",    [EVENTS_ID] = "id",
        [EVENTS_WORD] = "word",
    };
    events_field_t field;
    for (size_t nth = 0; events_field(kind, nth, &field); nth++)
        fprintf(to, "  %-12s %-7s %s\n", field.name, TYPES[field.type],
                field.help);
}

//  The words that fields of that type may have.
static void
list_words(const char *name, FILE *to)
{
    events_field_t field;
    char word[EVENTS_WORD_BYTES];
    int64_t number;
    bool is_there = events_field_find(events_find("request"), name, &field);
    INVARIANT(is_there);
    fprintf(to, "\n%s:", name);
    for (size_t nth = 0; events_word_nth(&field, nth, &number); nth++)
        fprintf(to, "%s%s", nth % 10 ? " " : "\n  ",
                events_word(&field, number, word));
    fputc('\n', to);
}

static void
list_events(FILE *to)
{
    fputs("What rill tap tells. Every event has these fields:\n", to);
    list_fields(EVENTS_HEAD, to);
    for (size_t kind = 0; kind < events_kinds(); kind++) {
        fprintf(to, "\n%s: %s\n", events_kind_name(kind),
                events_kind_help(kind));
        list_fields(kind, to);
    }
    list_words("route", to);
    list_words("status", to);
}

int
help_run(const words_t *words)
{
    const char *about = words_operand(words, 0);
    if (!about) {
        verbs_list(stdout);
    } else if (strcmp(about, "errors") == 0) {
        list_errors(stdout);
    } else if (strcmp(about, "events") == 0) {
        list_events(stdout);
    } else if (strcmp(about, "counters") == 0) {
        counters_explain(stdout);
    } else if (strcmp(about, "cluster") == 0) {
        settings_help(stdout);
    } else {
        const verb_t *verb = verbs_find(about);
        if (!verb)
            return talk_fail("help", EX_USAGE,
                             "there is no verb %s; `rill help` lists them",
                             about);
        verbs_explain(verb, stdout);
    }
    return EX_OK;
}
