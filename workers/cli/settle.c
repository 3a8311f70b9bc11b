#include <czmq.h>

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "talk.h"
#include "units.h"
#include "verbs.h"

enum {
    EARLY_MS = 120000,  //  Longer than a patient forwarder waits for workers
    PAUSE_MS = 500,
    NAMES_MOST = 8,
};

//  "w3, w4 and w5"; nothing when it waits for nobody.
static void
print_waited(const Rill__V1__Settled *settled)
{
    size_t shown = settled->n_waits_for < NAMES_MOST ? settled->n_waits_for
                                                     : NAMES_MOST - 1;
    for (size_t i = 0; i < shown; i++)
        printf("%s%s",
               i == 0                          ? " for "
               : i + 1 == settled->n_waits_for ? " and "
                                               : ", ",
               settled->waits_for[i]);
    if (shown < settled->n_waits_for)
        printf(" and %zu others", settled->n_waits_for - shown);
}

//  What would be lost, or that nothing would.
static void
print_loss(const char *name, const Rill__V1__Settled *settled)
{
    char bytes[UNITS_TEXT_BYTES];
    printf("%s waits", name);
    print_waited(settled);
    printf(".\n");
    if (settled->lost_blocks)
        printf("Without more workers %llu blocks cannot be had: at most %s.\n",
               (unsigned long long)settled->lost_blocks,
               units_bytes(settled->lost_bytes, bytes));
    if (settled->open_end)
        printf("Nobody here knows what else was stored behind them.\n");
    if (!settled->lost_blocks && !settled->open_end)
        printf("Nothing is known to be lost: it is being read back.\n");
    else
        printf("`rill settle %s --accept-loss` goes on without them.\n", name);
}

static void
tell_json(const char *name, const Rill__V1__Settled *settled)
{
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "name", name);
    ask_json_id(&json, "stream", settled->stream);
    json_bool(&json, "waits", settled->waits);
    json_bool(&json, "accepted", settled->accepted);
    json_array(&json, "waits_for");
    for (size_t i = 0; i < settled->n_waits_for; i++)
        json_string(&json, NULL, settled->waits_for[i]);
    json_end(&json);
    json_uint(&json, "lost_blocks", settled->lost_blocks);
    json_uint(&json, "lost_bytes", settled->lost_bytes);
    json_bool(&json, "open_end", settled->open_end);
    ask_json_end(&json);
}

//  It goes on: what it has now.
static int
tell_after(const words_t *words, client_t *client, const char *name)
{
    message_t *answer;
    status_t status = ask_describe(client, name, 0, &answer);
    if (status != STATUS_OK)
        return ask_fail(words, client, status, name);
    const Rill__V1__Described *stream = answer->described;
    if (stream->lost_us && !words->json)
        printf("%s goes on: %llu bytes are stored, and what was lost behind "
               "byte %llu is recorded (`rill stat %s`).\n",
               name, (unsigned long long)stream->stored,
               (unsigned long long)stream->lost_from, name);
    else if (!words->json)
        printf("%s goes on with all its bytes: %llu are stored.\n", name,
               (unsigned long long)stream->stored);
    message_free(&answer);
    return EX_OK;
}

//  Ask; as long as workers may still come after a start, ask again.
static status_t
ask_settle(client_t *client, const char *name, bool accept,
           message_t **answer_r)
{
    millis_t until = zclock_mono() + EARLY_MS;
    bool told = false;
    status_t status;
    while ((status = client_settle(client, name, accept, answer_r)) ==
               STATUS_BUSY &&
           zclock_mono() < until) {
        if (!told)
            talk_say("%s", client_text(client));
        told = true;
        zclock_sleep(PAUSE_MS);
    }
    return status;
}

int
settle_run(const words_t *words)
{
    const char *name = words_operand(words, 0);
    bool accept = words_value(words, "--accept-loss") != NULL;
    client_t *client;
    int code = ask_name(words, name);
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    message_t *answer;
    status_t status = ask_settle(client, name, accept, &answer);
    if (status != STATUS_OK) {
        code = ask_fail(words, client, status, name);
        client_destroy(&client);
        return code;
    }
    const Rill__V1__Settled *settled = answer->settled;
    if (words->json)
        tell_json(name, settled);
    else if (!settled->waits)
        printf("%s waits for nobody: there is nothing to decide.\n", name);
    else if (!settled->accepted)
        print_loss(name, settled);
    if (settled->accepted)
        code = tell_after(words, client, name);
    else if (settled->waits)
        code = 1;
    message_free(&answer);
    client_destroy(&client);
    return code;
}
