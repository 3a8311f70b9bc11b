#include <string.h>
#include <sysexits.h>

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

int
help_run(const words_t *words)
{
    const char *about = words_operand(words, 0);
    if (!about) {
        verbs_list(stdout);
    } else if (strcmp(about, "errors") == 0) {
        list_errors(stdout);
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
