#include "ask.h"

#include <czmq.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "bounds.h"
#include "talk.h"
#include "units.h"

enum { MOST_K = 28, MOST_M = 4 };

enum { RECOVER_MS = 10000, RECOVER_PAUSE_MS = 200 };

int
ask_open(const words_t *words, client_t **client_r)
{
    status_t status = client_new(words->at, client_r);
    if (status == STATUS_ADDRESS)
        return talk_fail(words->verb->name, EX_USAGE,
                         "\"%s\" is not an address; say --at HOST:PORT",
                         words->at);
    return status == STATUS_OK ? EX_OK
                               : ask_fail_saying(words, status, NULL, NULL);
}

int
ask_fail_saying(const words_t *words, status_t status, const char *name,
                const char *text)
{
    const char *verb = words->verb->name;
    const char *asked = words->verb->asks_director ? "director" : "forwarder";
    int code = talk_code(status);
    if (status == STATUS_UNREACHABLE)
        return talk_fail(verb, code, "nobody answers at %s; is the %s up?",
                         words->at, asked);
    if (status == STATUS_UNKNOWN && name)
        return talk_fail(verb, code,
                         "there is no stream %s; `rill ls` lists them", name);
    if (status == STATUS_KIND)
        return talk_fail(verb, code,
                         "%s answers, but is not a %s; say the %s's HOST:PORT "
                         "with --at",
                         words->at, asked, asked);
    if (!text || !*text)
        text = status_text(status);
    if (name && strncmp(text, name, strlen(name)) != 0)
        return talk_fail(verb, code, "%s: %s", name, text);
    return talk_fail(verb, code, "%s", text);
}

int
ask_fail(const words_t *words, const client_t *client, status_t status,
         const char *name)
{
    return ask_fail_saying(words, status, name, client_text(client));
}

status_t
ask_describe(client_t *client, const char *name, millis_t wait_ms,
             message_t **answer_r)
{
    millis_t until = zclock_mono() + (wait_ms ? wait_ms : RECOVER_MS);
    status_t status = client_describe(client, name, answer_r);
    while (status == STATUS_HELD && zclock_mono() < until) {
        zclock_sleep(RECOVER_PAUSE_MS);
        status = client_describe(client, name, answer_r);
    }
    return status;
}

int
ask_wait(const words_t *words, millis_t *wait_ms_r)
{
    const char *text = words_value(words, "--wait");
    uint64_t ms = 0;
    char why[160] = "is no time";
    if (!text)
        return EX_OK;
    if (units_parse_ms(text, &ms, why, sizeof why) != STATUS_OK)
        return talk_fail(words->verb->name, EX_USAGE, "--wait \"%s\" %s", text,
                         why);
    if (ms < 1)
        return talk_fail(words->verb->name, EX_USAGE,
                         "--wait %s is no time to wait", text);
    *wait_ms_r = (millis_t)ms;
    return EX_OK;
}

//  A legal name as near to `name` as can be.
static void
propose(const char *name, char legal_r[LIMIT_NAME_BYTES + 1])
{
    size_t length = 0;
    for (; *name && length < LIMIT_NAME_BYTES; name++) {
        unsigned char c = (unsigned char)*name;
        bool fits = c < 0x80 && (isalnum(c) || strchr("._-", c));
        if (length == 0 && (!fits || !isalnum(c)))
            continue;
        if (fits)
            legal_r[length++] = (char)c;
        else if (legal_r[length - 1] != '-')
            legal_r[length++] = '-';
    }
    legal_r[length] = '\0';
    if (length == 0)
        strcpy(legal_r, "video");
}

int
ask_name(const words_t *words, const char *name)
{
    if (chunk_name_legal(name))
        return EX_OK;
    char legal[LIMIT_NAME_BYTES + 1];
    propose(name, legal);
    return talk_fail(words->verb->name, EX_USAGE,
                     "\"%.150s\" cannot be the name of a stream: 1 to %d of "
                     "A-Z a-z 0-9 . _ - beginning with a letter or digit; "
                     "\"%s\" can",
                     name, LIMIT_NAME_BYTES, legal);
}

int
ask_code(const words_t *words, code_t *code_r)
{
    const char *text = words_value(words, "--protect");
    if (!text || strcmp(text, "auto") == 0)
        return EX_OK;
    if (strcmp(text, "none") == 0) {
        *code_r = (code_t){ 1, 0 };
        return EX_OK;
    }
    unsigned k, m;
    int length = 0;
    if (isdigit((unsigned char)text[0]) &&
        sscanf(text, "%2u+%2u%n", &k, &m, &length) == 2 &&
        text[length] == '\0' && k >= 1 && k <= MOST_K && m <= MOST_M) {
        *code_r = (code_t){ (uint8_t)k, (uint8_t)m };
        return EX_OK;
    }
    return talk_fail(
        words->verb->name, EX_USAGE,
        "--protect \"%s\" is no protection: say auto, none, or K+M "
        "with 1 to %d data and 0 to %d parity chunks, as in 4+2",
        text, MOST_K, MOST_M);
}

int
ask_chunk(const words_t *words, uint32_t *chunk_r)
{
    const char *text = words_value(words, "--chunk");
    if (!text)
        return EX_OK;
    uint64_t bytes;
    char why[160] = "is no size";
    if (units_parse_bytes(text, &bytes, why, sizeof why) != STATUS_OK)
        return talk_fail(words->verb->name, EX_USAGE, "--chunk \"%s\" %s", text,
                         why);
    if (bytes < LIMIT_CHUNK_FLOOR_BYTES || bytes > LIMIT_CHUNK_BYTES)
        return talk_fail(words->verb->name, EX_USAGE,
                         "--chunk %s is outside 4KiB to 4MiB", text);
    *chunk_r = (uint32_t)bytes;
    return EX_OK;
}

char *
ask_code_text(unsigned k, unsigned m, char text_r[ASK_CODE_BYTES])
{
    if (k == 1 && m == 0)
        snprintf(text_r, ASK_CODE_BYTES, "none");
    else if (k == 0)
        snprintf(text_r, ASK_CODE_BYTES, "auto");
    else
        snprintf(text_r, ASK_CODE_BYTES, "%u+%u", k, m);
    return text_r;
}

void
ask_json_begin(json_t *json)
{
    json_begin(json, json_to_file, stdout);
    json_object(json, NULL);
}

void
ask_json_end(json_t *json)
{
    json_end(json);
    putchar('\n');
}

void
ask_json_id(json_t *json, const char *key, uint64_t id)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)id);
    json_string(json, key, text);
}
