#include "status.h"

#include <stdio.h>
#include <sysexits.h>

#include "ask.h"
#include "table.h"
#include "talk.h"
#include "units.h"
#include "verbs.h"

static void
tell_worker(json_t *json, const Rill__V1__WorkerReport *worker)
{
    json_object(json, NULL);
    json_string(json, "name", worker->name);
    ask_json_id(json, "store", worker->store);
    json_string(json, "state", worker->state);
    json_uint(json, "chunks", worker->chunks);
    json_uint(json, "bytes", worker->bytes);
    json_uint(json, "free_bytes", worker->free_bytes);
    json_uint(json, "space_bytes", worker->space_bytes);
    json_uint(json, "unreceipted", worker->unreceipted);
    json_uint(json, "under_repair", worker->under_repair);
    json_string(json, "reach", worker->reach);
    json_end(json);
}

static void
tell_json(const Rill__V1__Report *report)
{
    char code[ASK_CODE_BYTES];
    json_t json;
    ask_json_begin(&json);
    json_string(&json, "role", report->role);
    json_string(&json, "node", report->node);
    json_string(&json, "version", report->version);
    ask_json_id(&json, "cluster", report->cluster);
    json_uint(&json, "term", report->term);
    json_int(&json, "uptime_ms", report->uptime_ms);
    json_string(&json, "tap_at", report->tap_at);
    json_string(&json, "metrics_at", report->metrics_at);
    if (report->protection)
        json_string(
            &json, "protection",
            ask_code_text(report->protection->k, report->protection->m, code));
    json_uint(&json, "streams", report->streams);
    json_uint(&json, "open_streams", report->open_streams);
    json_uint(&json, "received_bytes", report->received_bytes);
    json_uint(&json, "stored_bytes", report->stored_bytes);
    json_uint(&json, "settled_bytes", report->settled_bytes);
    json_uint(&json, "under_protected", report->under_protected);
    json_uint(&json, "memory_bytes", report->memory_bytes);
    json_uint(&json, "catalogue_bytes", report->catalogue_bytes);
    json_double(&json, "imbalance", report->imbalance);
    json_uint(&json, "waiting", report->waiting);
    json_array(&json, "waits_for");
    for (size_t i = 0; i < report->n_waits_for; i++)
        json_string(&json, NULL, report->waits_for[i]);
    json_end(&json);
    json_array(&json, "workers");
    for (size_t i = 0; i < report->n_workers; i++)
        tell_worker(&json, report->workers[i]);
    json_end(&json);
    json_array(&json, "counters");
    for (size_t i = 0; i < report->n_counters; i++) {
        json_object(&json, NULL);
        json_string(&json, "name", report->counters[i]->name);
        json_uint(&json, "value", report->counters[i]->value);
        json_end(&json);
    }
    json_end(&json);
    ask_json_end(&json);
}

static void
show_node(const Rill__V1__Report *report)
{
    char a[UNITS_TEXT_BYTES], b[UNITS_TEXT_BYTES], c[UNITS_TEXT_BYTES];
    char code[ASK_CODE_BYTES];
    printf("%s %s, version %s, term %llu, up %s\n", report->role, report->node,
           report->version, (unsigned long long)report->term,
           units_ms((uint64_t)report->uptime_ms, a));
    if (*report->metrics_at)
        printf("metrics at http://%s/metrics\n", report->metrics_at);
    if (!report->protection)  //  A worker: it knows chunks, not streams.
        return;
    if (report->protection->k == 0)
        printf("no worker is live and has room: nothing can be stored\n");
    else
        printf("protection %s\n", ask_code_text(report->protection->k,
                                                report->protection->m, code));
    printf("streams %llu, %llu of them open; %llu blocks under-protected\n",
           (unsigned long long)report->streams,
           (unsigned long long)report->open_streams,
           (unsigned long long)report->under_protected);
    if (report->waiting) {
        printf("%llu streams wait", (unsigned long long)report->waiting);
        for (size_t i = 0; i < report->n_waits_for; i++)
            printf("%s%s", i ? ", " : " for ", report->waits_for[i]);
        printf(": `rill ls` says which, `rill settle NAME` what to do\n");
    }
    printf("since its start: %s received, %s stored, %s settled\n",
           units_bytes(report->received_bytes, a),
           units_bytes(report->stored_bytes, b),
           units_bytes(report->settled_bytes, c));
    printf("memory %s in open chunks, catalogue %s\n",
           units_bytes(report->memory_bytes, a),
           units_bytes(report->catalogue_bytes, b));
    printf("balance: the fullest and the emptiest worker differ by %.2f %%\n",
           report->imbalance * 100);
}

static void
show_workers(const Rill__V1__Report *report)
{
    static const char *const HEADINGS[] = {
        "WORKER", "STATE",        ">CHUNKS",  ">BYTES", ">FREE",
        ">SPACE", ">UNRECEIPTED", ">MISSING", "REACH",  NULL
    };
    table_t *table = table_new(HEADINGS);
    for (size_t i = 0; i < report->n_workers; i++) {
        const Rill__V1__WorkerReport *worker = report->workers[i];
        char text[UNITS_TEXT_BYTES];
        table_cell(table, "%s", worker->name);
        table_cell(table, "%s", worker->state);
        table_cell(table, "%llu", (unsigned long long)worker->chunks);
        table_cell(table, "%s", units_bytes(worker->bytes, text));
        table_cell(table, "%s", units_bytes(worker->free_bytes, text));
        table_cell(table, "%s", units_bytes(worker->space_bytes, text));
        table_cell(table, "%llu", (unsigned long long)worker->unreceipted);
        table_cell(table, "%llu", (unsigned long long)worker->under_repair);
        table_cell(table, "%s", worker->reach);
    }
    table_print(table, stdout);
    table_destroy(&table);
}

static void
show_counters(const Rill__V1__Report *report)
{
    static const char *const HEADINGS[] = { "COUNTER", ">VALUE", NULL };
    table_t *table = table_new(HEADINGS);
    bool any = false;
    for (size_t i = 0; i < report->n_counters; i++) {
        const Rill__V1__Counter *counter = report->counters[i];
        if (counter->value == 0)
            continue;
        any = true;
        table_cell(table, "%s", counter->name);
        table_cell(table, "%llu", (unsigned long long)counter->value);
    }
    if (any) {
        putchar('\n');
        table_print(table, stdout);
    }
    table_destroy(&table);
}

int
status_run(const words_t *words)
{
    client_t *client;
    int code = ask_open(words, &client);
    if (code != EX_OK)
        return code;
    message_t *answer;
    status_t status = client_status(client, &answer);
    if (status != STATUS_OK) {
        code = ask_fail(words, client, status, NULL);
    } else if (words->json) {
        tell_json(answer->report);
    } else {
        show_node(answer->report);
        putchar('\n');
        show_workers(answer->report);
        show_counters(answer->report);
    }
    if (status == STATUS_OK)
        message_free(&answer);
    client_destroy(&client);
    return code;
}
