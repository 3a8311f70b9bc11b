//  Whatever sources, readers, workers and strangers say to an origin that
//  serves: it goes on, and what it says fits a message.
#include <stdio.h>

#include "forge.h"
#include "forwarder_core.h"
#include "invariant.h"
#include "kv_memory.h"

enum { WORKERS = 3, KEPT = 64 };

//  What comes to each of its sockets.
#define BODY(KIND) RILL__V1__MESSAGE__BODY_##KIND
static const int FROM_SOURCE[] = { BODY(OPEN), BODY(PIECE), BODY(FINISH),
                                   BODY(SOURCE_KEEP), BODY(SOURCE_LEAVE) };
static const int FROM_READER[] = {
    BODY(DESCRIBE), BODY(LIST),       BODY(ASK),    BODY(LIST_CHUNKS),
    BODY(REMOVE),   BODY(STATUS_ASK), BODY(SETTLE), BODY(WATCH),
    BODY(KEEP),     BODY(WATCH_KEEP), BODY(STOP)
};
static const int FROM_WORKER[] = { BODY(HELLO), BODY(INVENTORY),
                                   BODY(WORKER_KEEP), BODY(WORKER_LEAVE) };
static const int ANSWERS[] = { BODY(FETCHED), BODY(LOCATED), BODY(SCANNED),
                               BODY(COUNTED), BODY(SWEPT),   BODY(DROPPED),
                               BODY(REFUSED) };
static const int RECEIPT[] = { BODY(RECEIPT) };
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static forge_t forge;
static forwarder_core_t *core;
static millis_t now;
static uint64_t chances, sessions[WORKERS], term;
static struct {
    uint64_t session;
    chunk_key_t key;
} pushed[KEPT];
static size_t pushed_count;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
heard(const message_t *message)
{
    buffer_t *packed = message_pack(message);
    INVARIANT(packed);
    buffer_unref(&packed);
    forge_learn_all(&forge, message);
    if (message->request)
        forge_learn(&forge, message->request);
}

static status_t
send_out(void *with, const peer_t *peer, const message_t *message,
         buffer_t *payload)
{
    (void)with;
    INVARIANT(message_has_payload(message) == (payload != NULL));
    heard(message);
    if (message->body_case == BODY(WELCOME) && peer->bytes[0] < WORKERS) {
        sessions[peer->bytes[0]] = message->welcome->session;
        term = message->welcome->term;
    }
    return STATUS_OK;
}

static status_t
join(void *with, uint64_t worker, const char *push_at, const char *ask_at)
{
    (void)with, (void)worker, (void)push_at, (void)ask_at;
    return STATUS_OK;
}

static void
part(void *with, uint64_t worker)
{
    (void)with, (void)worker;
}

static status_t
push(void *with, uint64_t worker, const message_t *message, buffer_t *payload)
{
    (void)with, (void)payload;
    heard(message);
    chunk_header_t chunk;
    INVARIANT(message_to_chunk(message->store->chunk, &chunk) == STATUS_OK);
    pushed[pushed_count++ % KEPT].session = worker;
    pushed[(pushed_count - 1) % KEPT].key = chunk.key;
    return chances % 16 == 15 ? STATUS_BUSY : STATUS_OK;
}

static status_t
ask(void *with, uint64_t worker, const message_t *message)
{
    (void)with, (void)worker;
    heard(message);
    return STATUS_OK;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return ++chances * 0x9e3779b97f4a7c15u;
}

static micros_t
wall_us(void *with)
{
    (void)with;
    return 1700000000000000 + now * 1000;
}

static void
note(void *with, int level, const char *text)
{
    (void)with, (void)level, (void)text;
}

static const forwarder_effects_t EFFECTS = {
    .send = send_out,
    .connect = join,
    .disconnect = part,
    .push = push,
    .ask = ask,
    .random = chance,
    .wall_us = wall_us,
    .note = note,
};

//  ---------------------------------------------------------------------------
//  A small cluster that is what it should be

static void
say(uint8_t from, message_t message, buffer_t *payload)
{
    peer_t peer = { .size = 1, .bytes = { from } };
    forwarder_core_on_front(core, &peer, &message, payload, now);
}

static void
come(uint8_t number)
{
    char push_at[] = "tcp://127.0.0.1:1", ask_at[] = "tcp://127.0.0.1:2";
    char name[] = "w0";
    name[1] = (char)('0' + number);
    Rill__V1__Space space = RILL__V1__SPACE__INIT;
    space.free_bytes = space.space_bytes = 1ull << 40;
    Rill__V1__Hello hello = RILL__V1__HELLO__INIT;
    hello.store = 100u + number;
    hello.boot = 1;
    hello.name = name;
    hello.push_at = push_at;
    hello.ask_at = ask_at;
    hello.space = &space;
    say(number, (message_t)MESSAGE(HELLO, hello, &hello, 1, 0), NULL);
    Rill__V1__Inventory inventory = RILL__V1__INVENTORY__INIT;
    inventory.session = sessions[number];
    inventory.done = true;
    say(number, (message_t)MESSAGE(INVENTORY, inventory, &inventory, 2, 0),
        NULL);
}

//  What was pushed is on disk, as its worker says.
static void
receipt(uint8_t nth)
{
    size_t at = nth % KEPT;
    if (at >= pushed_count)
        return;
    Rill__V1__ChunkKey key = message_from_key(pushed[at].key), *keys = &key;
    Rill__V1__Receipt body = RILL__V1__RECEIPT__INIT;
    body.term = term;
    body.session = pushed[at].session;
    for (uint8_t i = 0; i < WORKERS; i++)
        if (sessions[i] == body.session)
            body.store = 100u + i;
    body.n_stored = 1;
    body.stored = &keys;
    message_t message = MESSAGE(RECEIPT, receipt, &body, 0, 0);
    forwarder_core_on_receipt(core, &message, now);
}

//  ---------------------------------------------------------------------------
//  What the input makes of it

static void
front(uint8_t from, const int *kinds, size_t count)
{
    buffer_t *payload;
    message_t *message = forge_message(&forge, kinds, count, &payload);
    peer_t peer = { .size = 1, .bytes = { from } };
    if (message)
        forwarder_core_on_front(core, &peer, message, payload, now);
    message_free(&message);
    buffer_unref(&payload);
}

static void
worker(void)
{
    buffer_t *payload;
    message_t *message = forge_message(&forge, ANSWERS, COUNT(ANSWERS),
                                       &payload);
    uint64_t session = sessions[forge_byte(&forge) % WORKERS];
    if (message)
        forwarder_core_on_worker(core, session, message, payload, now);
    message_free(&message);
    buffer_unref(&payload);
}

static void
some_receipt(void)
{
    buffer_t *payload;
    message_t *message = forge_message(&forge, RECEIPT, 1, &payload);
    if (message)
        forwarder_core_on_receipt(core, message, now);
    message_free(&message);
    buffer_unref(&payload);
}

static void
turn(void)
{
    uint8_t what = forge_byte(&forge);
    peer_t peer = { .size = 1, .bytes = { what } };
    if (what < 64)
        front(what % 8, FROM_SOURCE, COUNT(FROM_SOURCE));
    else if (what < 96)
        front(what % 8, FROM_READER, COUNT(FROM_READER));
    else if (what < 128)
        front(what % 4, FROM_WORKER, COUNT(FROM_WORKER));
    else if (what < 136)
        front(what % 8, NULL, 0);
    else if (what < 160)
        worker();
    else if (what < 168)
        some_receipt();
    else if (what < 216)
        receipt(forge_byte(&forge));
    else if (what < 246)
        now += 1 << what % 14;
    else if (what < 250)
        forwarder_core_on_disconnect(core, sessions[what % WORKERS], now);
    else if (what < 253)
        forwarder_core_on_bad(core, &peer, what, STATUS_MALFORMED, now);
    else if (what < 254)
        forwarder_core_on_unsent(core);
    else if (what < 255)
        forwarder_core_on_flood(core);
    else
        forwarder_core_drain(core, now);
    if (forwarder_core_due(core) <= now)
        forwarder_core_sweep(core, now);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    forwarder_settings_t settings = { .name = "origin",
                                      .receipts_at = "tcp://127.0.0.1:3",
                                      .patience = 1,
                                      .memory_bytes = 1 << 20,
                                      .chunk_bytes = 4096 };
    kv_t *kv = kv_memory_new();
    char why[256];
    forge = (forge_t){ .bytes = bytes, .size = size };
    now = 1000;
    chances = pushed_count = 0;
    INVARIANT(forwarder_core_new(&settings, &EFFECTS, NULL, kv, now, &core, why,
                                 sizeof why) == STATUS_OK);
    for (uint8_t number = 0; number < WORKERS; number++)
        come(number);
    INVARIANT(forwarder_core_workers(core) == WORKERS);
    char name[] = "cam";
    Rill__V1__Open open = RILL__V1__OPEN__INIT;
    open.name = name;
    open.kind = RILL__V1__KIND__KIND_LIVE;
    open.token = 7;
    say(WORKERS, (message_t)MESSAGE(OPEN, open, &open, 3, 0), NULL);
    while (forge_has_more(&forge))
        turn();
    forwarder_core_destroy(&core);
    kv_close(&kv);
    return 0;
}
