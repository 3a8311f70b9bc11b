#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "streams.h"
#include "table.h"
#include "talk.h"
#include "units.h"
#include "verbs.h"

static void line(const char *label, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
line(const char *label, const char *format, ...)
{
    printf("%-16s", label);
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
}

static void
show_code(const Rill__V1__Described *stream)
{
    char code[ASK_CODE_BYTES], asked[ASK_CODE_BYTES];
    const Rill__V1__Protection *in_force = stream->protection;
    const Rill__V1__Protection *wish = stream->asked;
    line("protection", "%s (asked: %s)",
         in_force ? ask_code_text(in_force->k, in_force->m, code) : "-",
         wish ? ask_code_text(wish->k, wish->m, asked) : "auto");
}

static void
show(const Rill__V1__Described *stream)
{
    char text[UNITS_TEXT_BYTES], time[STREAMS_TIME_BYTES];
    line("name", "%s", stream->name);
    line("stream", "%016llx", (unsigned long long)stream->stream);
    line("kind", "%s", streams_kind(stream));
    line("state", "%s", streams_state(stream));
    line("size", "%llu bytes (%s)", (unsigned long long)stream->size,
         units_bytes(stream->size, text));
    if (stream->first > 0)
        line("first byte", "%llu", (unsigned long long)stream->first);
    line("stored", "%llu", (unsigned long long)stream->stored);
    line("settled", "%llu", (unsigned long long)stream->settled);
    show_code(stream);
    line("chunk", "%s", units_bytes(stream->chunk_bytes, text));
    line("created", "%s UTC", streams_time(stream->created_us, time));
    if (stream->newest_us)
        line("newest", "%s UTC", streams_time(stream->newest_us, time));
    line("extents", "%u", stream->extents);
    line("under-protected", "%llu blocks",
         (unsigned long long)stream->under_protected);
    for (size_t i = 0; i < stream->n_holes; i++)
        line("hole", "%llu to %llu", (unsigned long long)stream->holes[i]->from,
             (unsigned long long)stream->holes[i]->to);
    if (stream->lost_us)
        line("loss accepted", "%s UTC, of bytes from %llu on",
             streams_time(stream->lost_us, time),
             (unsigned long long)stream->lost_from);
    if (message_status(stream->held) != STATUS_OK)
        line("held", "%s", status_text(message_status(stream->held)));
    for (size_t i = 0; i < stream->n_waits_for; i++)
        line("waits for", "%s", stream->waits_for[i]);
}

static void
chunk_json(json_t *json, const Rill__V1__Placed *chunk)
{
    char crc[9];
    snprintf(crc, sizeof crc, "%08x", chunk->payload_crc);
    json_object(json, NULL);
    if (!chunk->parity)
        json_uint(json, "index", chunk->index);
    json_uint(json, "offset", chunk->offset);
    json_uint(json, "length", chunk->length);
    json_int(json, "created_us", chunk->created_us);
    json_uint(json, "epoch", chunk->epoch);
    json_uint(json, "block", chunk->block);
    json_uint(json, "slot", chunk->slot);
    json_bool(json, "parity", chunk->parity);
    json_string(json, "worker", chunk->worker);
    json_bool(json, "missing", chunk->missing);
    json_string(json, "payload_crc", crc);
    json_end(json);
}

static void
chunk_row(table_t *table, const Rill__V1__Placed *chunk)
{
    char time[STREAMS_TIME_BYTES];
    if (chunk->parity)
        table_cell(table, "-");
    else
        table_cell(table, "%llu", (unsigned long long)chunk->index);
    table_cell(table, "%llu", (unsigned long long)chunk->offset);
    table_cell(table, "%u", chunk->length);
    table_cell(table, "%s", streams_time(chunk->created_us, time));
    table_cell(table, "%llx", (unsigned long long)chunk->epoch);
    table_cell(table, "%llu", (unsigned long long)chunk->block);
    table_cell(table, "%u", chunk->slot);
    table_cell(table, "%s", chunk->parity ? "parity" : "data");
    table_cell(table, "%s%s", chunk->worker,
               chunk->missing ? " (missing)" : "");
    table_cell(table, "%08x", chunk->payload_crc);
}

//  Every chunk, page after page, as JSON or as one table.
static status_t
list_chunks(client_t *client, uint64_t stream, json_t *json)
{
    static const char *const HEADINGS[] = {
        ">INDEX", ">OFFSET", ">LENGTH", "CREATED (UTC)", ">EPOCH", ">BLOCK",
        ">SLOT",  "ROLE",    "WORKER",  "CRC32C",        NULL
    };
    table_t *table = table_new(HEADINGS);
    uint64_t from = 0;
    status_t status;
    do {
        message_t *answer;
        status = client_list_chunks(client, stream, from, true, &answer);
        if (status != STATUS_OK)
            break;
        const Rill__V1__Layout *layout = answer->layout;
        for (size_t i = 0; i < layout->n_chunks; i++)
            if (json)
                chunk_json(json, layout->chunks[i]);
            else
                chunk_row(table, layout->chunks[i]);
        //  Never back: a node that repeats itself would never end.
        from = layout->next > from ? layout->next : 0;
        message_free(&answer);
    } while (from > 0);
    if (!json && status == STATUS_OK) {
        putchar('\n');
        table_print(table, stdout);
    }
    table_destroy(&table);
    return status;
}

static int
tell(const words_t *words, client_t *client, const Rill__V1__Described *stream)
{
    bool chunks = words_value(words, "--chunks") != NULL;
    status_t status = STATUS_OK;
    json_t json;
    if (words->json) {
        ask_json_begin(&json);
        streams_json(&json, stream);
        if (chunks)
            json_array(&json, "chunks");
    } else {
        show(stream);
    }
    if (chunks)
        status = list_chunks(client, stream->stream,
                             words->json ? &json : NULL);
    if (words->json && chunks)
        json_end(&json);
    if (words->json)
        ask_json_end(&json);
    return status == STATUS_OK ? EX_OK
                               : ask_fail(words, client, status, stream->name);
}

int
stat_run(const words_t *words)
{
    const char *name = words_operand(words, 0);
    client_t *client;
    int code = ask_name(words, name);
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    message_t *answer;
    status_t status = client_describe(client, name, &answer);
    if (status == STATUS_OK) {
        code = tell(words, client, answer->described);
        message_free(&answer);
    } else {
        code = ask_fail(words, client, status, name);
    }
    client_destroy(&client);
    return code;
}
