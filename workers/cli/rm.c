#include <stdio.h>
#include <sysexits.h>

#include "ask.h"
#include "talk.h"
#include "verbs.h"

int
rm_run(const words_t *words)
{
    const char *name = words_operand(words, 0);
    client_t *client;
    int code = ask_name(words, name);
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    message_t *answer;
    status_t status = client_remove(client, name, &answer);
    if (status != STATUS_OK) {
        code = ask_fail(words, client, status, name);
    } else if (words->json) {
        json_t json;
        ask_json_begin(&json);
        json_string(&json, "name", name);
        ask_json_id(&json, "stream", answer->removed->stream);
        json_bool(&json, "removed", true);
        ask_json_end(&json);
    } else {
        printf("%s is removed\n", name);
    }
    if (status == STATUS_OK)
        message_free(&answer);
    client_destroy(&client);
    return code;
}
