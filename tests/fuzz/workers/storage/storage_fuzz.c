//  Whatever forwarders, strangers and its own disk say to a worker: it goes
//  on, what it says fits a message, and it gives a receipt only for what its
//  store told durable.
#include "forge.h"
#include "invariant.h"
#include "storage_core.h"

enum { HELD = 64, OPEN_READS = 256 };

#define BODY(KIND) RILL__V1__MESSAGE__BODY_##KIND
static const int FROM_FORWARDER[] = { BODY(WELCOME), BODY(WORKER_KEPT),
                                      BODY(REFUSED) };
static const int STORE[] = { BODY(STORE) };
static const int ASKED[] = { BODY(FETCH),     BODY(LOCATE), BODY(SCAN),
                             BODY(COUNT),     BODY(DROP),   BODY(SWEEP),
                             BODY(STATUS_ASK) };
#define COUNT_OF(list) (sizeof(list) / sizeof(*(list)))

typedef struct {
    chunkstore_entry_t entry;
    bool durable;
} held_t;

static forge_t forge;
static storage_core_t *core;
static millis_t now;
static held_t held[HELD];  //  What the store has, in no order
static size_t held_count;
static uint64_t reads[OPEN_READS];
static size_t reads_count;
static chunkstore_identity_t identity;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

//  ---------------------------------------------------------------------------
//  The world

//  Now and then everything fails.
static status_t
luck(void)
{
    static const status_t FAILURES[] = { STATUS_IO, STATUS_FULL, STATUS_BUSY,
                                         STATUS_CORRUPT };
    uint8_t dice = forge_byte(&forge);
    return dice < 240 ? STATUS_OK : FAILURES[dice % COUNT_OF(FAILURES)];
}

static held_t *
find(const chunk_key_t *key)
{
    for (size_t i = 0; i < held_count; i++)
        if (chunk_key_compare(&held[i].entry.key, key) == 0)
            return &held[i];
    return NULL;
}

static void
heard(const message_t *message)
{
    buffer_t *packed = message_pack(message);
    INVARIANT(packed);
    buffer_unref(&packed);
    forge_learn_all(&forge, message);
}

static status_t
send_forwarder(void *with, const message_t *message)
{
    (void)with;
    heard(message);
    return luck();
}

static void
open_receipts(void *with, const char *endpoint)
{
    (void)with, (void)endpoint;
}

static status_t
send_receipt(void *with, const message_t *message)
{
    (void)with;
    heard(message);
    const Rill__V1__Receipt *receipt = message->receipt;
    INVARIANT(receipt->term == identity.term);
    for (size_t i = 0; i < receipt->n_stored; i++) {
        chunk_key_t key = message_to_key(receipt->stored[i]);
        const held_t *found = find(&key);
        INVARIANT(found && found->durable);
    }
    return luck();
}

static status_t
answer(void *with, const peer_t *peer, const message_t *message,
       buffer_t *payload)
{
    (void)with;
    INVARIANT(peer->size > 0);
    INVARIANT(message_has_payload(message) == (payload != NULL));
    heard(message);
    return luck();
}

static status_t
append(void *with, const chunk_header_t *header, buffer_t *payload,
       millis_t when)
{
    (void)with, (void)payload, (void)when;
    status_t status = held_count == HELD ? STATUS_FULL : luck();
    if (status != STATUS_OK || find(&header->key))
        return status;
    held[held_count++] = (held_t){ .entry = { .key = header->key,
                                              .offset = header->offset,
                                              .length = header->length,
                                              .k = header->code.k } };
    return STATUS_OK;
}

static status_t
read_one(void *with, chunk_key_t key, bool header_only, uint64_t token)
{
    (void)with, (void)key, (void)header_only;
    status_t status = reads_count == OPEN_READS ? STATUS_BUSY : luck();
    if (status == STATUS_OK)
        reads[reads_count++] = token;
    return status;
}

static status_t
walk(void *with, uint64_t stream, uint64_t epoch, uint64_t block,
     chunkstore_each_fn *each, void *arg)
{
    (void)with;
    for (size_t i = 0; i < held_count; i++) {
        const chunk_key_t *key = &held[i].entry.key;
        if (key->stream == stream && key->epoch == epoch &&
            key->block >= block && !each(arg, &held[i].entry))
            break;
    }
    return luck();
}

static status_t
walk_back(void *with, uint64_t stream, uint64_t epoch, chunkstore_each_fn *each,
          void *arg)
{
    return walk(with, stream, epoch, 0, each, arg);
}

static status_t
walk_all(void *with, chunk_key_t from, chunkstore_each_fn *each, void *arg)
{
    (void)with;
    for (size_t i = 0; i < held_count; i++)
        if (chunk_key_compare(&held[i].entry.key, &from) >= 0 &&
            !each(arg, &held[i].entry))
            break;
    return luck();
}

static size_t
epochs(void *with, uint64_t stream, uint64_t *list, size_t most)
{
    (void)with;
    size_t count = 0;
    for (size_t i = 0; i < held_count; i++) {
        if (held[i].entry.key.stream != stream)
            continue;
        if (count < most)
            list[count] = held[i].entry.key.epoch;
        count++;
    }
    return count;
}

static status_t
locate(void *with, uint64_t stream, uint64_t epoch, bool by_time, uint64_t at,
       chunkstore_entry_t *entry_r)
{
    (void)with, (void)stream, (void)epoch, (void)by_time, (void)at;
    if (held_count == 0)
        return STATUS_MISS;
    *entry_r = held[0].entry;
    return luck();
}

static size_t
dropped(void *with, uint64_t from, uint64_t *streams, size_t most)
{
    (void)with;
    for (size_t i = 0; i < most && i < 8; i++)
        streams[i] = from + i;
    return most < 8 ? most : 8;
}

static uint64_t
settled(void *with, uint64_t stream)
{
    (void)with;
    return stream % 64;
}

static status_t
drop(void *with, uint64_t stream)
{
    (void)with, (void)stream;
    return luck();
}

static void
retain(void *with, uint8_t retention, micros_t horizon_us, millis_t span_ms)
{
    (void)with, (void)retention, (void)horizon_us, (void)span_ms;
}

static status_t
trim(void *with, uint64_t stream, uint64_t epoch, uint64_t first, uint64_t end,
     size_t *dropped_r, bool *more_r)
{
    (void)with, (void)stream, (void)epoch;
    INVARIANT(first <= end);
    *dropped_r = forge_byte(&forge);
    *more_r = forge_byte(&forge) & 1;
    return luck();
}

static chunkstore_identity_t
who(void *with)
{
    (void)with;
    return identity;
}

static status_t
set_cluster(void *with, uint64_t cluster)
{
    (void)with;
    status_t status = luck();
    if (status == STATUS_OK)
        identity.cluster = cluster;
    return status;
}

static status_t
set_term(void *with, uint64_t term)
{
    (void)with;
    INVARIANT(term >= identity.term);
    status_t status = luck();
    if (status == STATUS_OK)
        identity.term = term;
    return status;
}

static chunkstore_space_t
space(void *with)
{
    (void)with;
    return (chunkstore_space_t){ .chunks = held_count,
                                 .free_bytes = 1 << 20,
                                 .space_bytes = 1 << 21 };
}

static void
note(void *with, int level, const char *text)
{
    (void)with, (void)level, (void)text;
}

static const storage_effects_t EFFECTS = {
    .send_forwarder = send_forwarder,
    .open_receipts = open_receipts,
    .send_receipt = send_receipt,
    .answer = answer,
    .append = append,
    .read = read_one,
    .walk = walk,
    .walk_back = walk_back,
    .walk_all = walk_all,
    .epochs = epochs,
    .locate = locate,
    .dropped = dropped,
    .settled = settled,
    .drop = drop,
    .retain = retain,
    .trim = trim,
    .identity = who,
    .set_cluster = set_cluster,
    .set_term = set_term,
    .space = space,
    .note = note,
};

//  ---------------------------------------------------------------------------
//  What the input makes of it

typedef enum { FORWARDER, CHUNKS, QUESTIONS } socket_t;

static void
hear(socket_t socket, const int *kinds, size_t count)
{
    buffer_t *payload;
    message_t *message = forge_message(&forge, kinds, count, &payload);
    peer_t peer = { .size = 1, .bytes = { 1 } };
    if (message && socket == FORWARDER)
        storage_core_on_forwarder(core, message, now);
    else if (message && socket == QUESTIONS)
        storage_core_on_ask(core, &peer, message, now);
    else if (message && !storage_core_choked(core)) {
        //  The socket's owner gives every message of this kind a payload.
        bool has = message->body_case == BODY(STORE);
        if (has)
            storage_core_on_store(core, message, payload, now);
    }
    message_free(&message);
    buffer_unref(&payload);
}

static void
tell_durable(uint8_t nth)
{
    if (held_count == 0)
        return;
    held_t *one = &held[nth % held_count];
    if (one->durable)
        return;
    one->durable = true;
    storage_core_on_durable(core, &one->entry.key, 1, now);
}

static void
tell_failed(uint8_t nth)
{
    if (held_count == 0 || held[nth % held_count].durable)
        return;
    chunk_key_t key = held[nth % held_count].entry.key;
    held[nth % held_count] = held[held_count - 1];
    held_count--;
    storage_core_on_failed(core, &key, 1, STATUS_IO, now);
}

static void
tell_read(void)
{
    if (reads_count == 0)
        return;
    uint64_t token = reads[--reads_count];
    storage_core_on_read(core, token, STATUS_MISS, NULL, NULL, now);
}

static void
turn(void)
{
    uint8_t what = forge_byte(&forge);
    peer_t peer = { .size = what & 1, .bytes = { what } };
    if (what < 40)
        hear(FORWARDER, FROM_FORWARDER, COUNT_OF(FROM_FORWARDER));
    else if (what < 100)
        hear(CHUNKS, STORE, 1);
    else if (what < 150)
        hear(QUESTIONS, ASKED, COUNT_OF(ASKED));
    else if (what < 160)
        hear((socket_t)(what % 3), NULL, 0);
    else if (what < 190)
        tell_durable(forge_byte(&forge));
    else if (what < 195)
        tell_failed(forge_byte(&forge));
    else if (what < 210)
        tell_read();
    else if (what < 245)
        now += 1 << what % 14;
    else if (what < 252)
        storage_core_on_bad(core, &peer, what, STATUS_MALFORMED, now);
    else if (what < 254)
        storage_core_on_flood(core);
    else
        storage_core_drain(core, now);
    if (storage_core_due(core) <= now)
        storage_core_sweep(core, now);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const storage_settings_t settings = {
        .name = "w1",
        .push_at = "tcp://127.0.0.1:1",
        .ask_at = "tcp://127.0.0.1:2",
        .patience = 1,
    };
    forge = (forge_t){ .bytes = bytes, .size = size };
    held_count = reads_count = 0;
    now = 1000;
    identity = (chunkstore_identity_t){ .store = 5, .cluster = 6, .boot = 1 };
    forge_learn(&forge, identity.cluster);
    core = storage_core_new(&settings, &EFFECTS, NULL, now);
    while (forge_has_more(&forge))
        turn();
    storage_core_destroy(&core);
    return 0;
}
