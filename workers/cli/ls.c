#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "streams.h"
#include "table.h"
#include "talk.h"
#include "units.h"
#include "verbs.h"

static void
show(table_t *table, const Rill__V1__Described *stream)
{
    char size[UNITS_TEXT_BYTES], code[ASK_CODE_BYTES];
    char created[STREAMS_TIME_BYTES];
    const Rill__V1__Protection *in_force = stream->protection;
    table_cell(table, "%s", stream->name);
    table_cell(table, "%s", streams_kind(stream));
    table_cell(table, "%s", streams_state(stream));
    table_cell(
        table, "%s",
        units_bytes(stream->sealed ? stream->size : stream->stored, size));
    table_cell(table, "%s",
               in_force ? ask_code_text(in_force->k, in_force->m, code) : "-");
    table_cell(table, "%s", streams_time(stream->created_us, created));
}

//  A page of them; `after` becomes the last one's name.
static void
show_page(const Rill__V1__Listing *listing, json_t *json, table_t *table,
          char after[LIMIT_NAME_BYTES + 1])
{
    for (size_t i = 0; i < listing->n_streams; i++) {
        const Rill__V1__Described *stream = listing->streams[i];
        snprintf(after, LIMIT_NAME_BYTES + 1, "%s", stream->name);
        if (json) {
            json_object(json, NULL);
            streams_json(json, stream);
            json_end(json);
        } else {
            show(table, stream);
        }
    }
}

//  Every stream, page after page. Nothing is printed before there is an answer.
static status_t
list(client_t *client, json_t *json, table_t *table)
{
    char after[LIMIT_NAME_BYTES + 1] = "";
    bool more = true;
    for (bool first = true; more; first = false) {
        message_t *answer;
        status_t status = client_list(client, after, &answer);
        if (status != STATUS_OK)
            return status;
        if (first && json) {
            ask_json_begin(json);
            json_array(json, "streams");
        }
        const Rill__V1__Listing *listing = answer->listing;
        show_page(listing, json, table, after);
        more = listing->more && listing->n_streams > 0;
        message_free(&answer);
    }
    return STATUS_OK;
}

int
ls_run(const words_t *words)
{
    static const char *const HEADINGS[] = { "NAME",  "KIND",       "STATE",
                                            ">SIZE", "PROTECTION", "CREATED",
                                            NULL };
    client_t *client;
    int code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    json_t json;
    table_t *table = table_new(HEADINGS);
    status_t status = list(client, words->json ? &json : NULL, table);
    if (status != STATUS_OK) {
        code = ask_fail(words, client, status, NULL);
    } else if (words->json) {
        json_end(&json);
        ask_json_end(&json);
    } else {
        table_print(table, stdout);
    }
    table_destroy(&table);
    client_destroy(&client);
    return code;
}
