#include "storage_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "ears.h"
#include "proof.h"

/*  A world in which nothing happens by itself: what the core says is kept,
 *  the store takes chunks and tells of them when a case lets it.
 */
enum { MOST = 4096, CLUSTER = 0xc1, STORE = 0x5707e, STREAM = 7, SESSION = 9 };

typedef struct {
    peer_t peer;
    message_t *message;
    buffer_t *payload;
} said_t;

typedef struct {
    uint64_t stream, epoch, first, end;
} trimmed_t;

typedef struct {
    storage_core_t *core;
    millis_t now;
    said_t forwarder[MOST];  //  Said to the forwarder's front
    size_t forwarder_count;
    said_t receipts[MOST];
    size_t receipts_count;
    said_t answers[MOST];
    size_t answers_count;
    char order[256];  //  Durable deeds and what was said, a letter each
    char receipts_at[64];
    char noted[512];  //  The last note

    //  What the world answers
    status_t forwarder_status, receipt_status, answer_status;
    status_t append_status, read_status, walk_status, drop_status, trim_status;
    status_t walk_on_status;  //  Of a walk upwards, as walk_status else
    status_t set_status;
    chunkstore_identity_t identity;
    chunkstore_space_t space;

    chunk_key_t waiting[MOST];  //  Appended, not told
    size_t waiting_count;
    size_t appended;
    chunkstore_entry_t *held;  //  The index, in the order of keys
    size_t held_count;
    uint64_t settled;
    uint64_t token;  //  Of the last read
    size_t reads;    //  Begun
    bool header_only;
    uint64_t dropped;
    uint64_t drops;  //  Streams 1 to this were dropped before
    uint8_t retained_class;
    micros_t horizon_us;
    millis_t span_ms;
    trimmed_t trimmed;
} world_t;

static world_t world;

static void
order(char deed)
{
    size_t length = strlen(world.order);
    if (length + 1 < sizeof(world.order))
        world.order[length] = deed;
}

//  What is said goes over the wire and back, so that it fits.
static void
keep(said_t *said, size_t *count, const message_t *message)
{
    CHECK(*count < MOST);
    buffer_t *packed = message_pack(message);
    CHECK(packed);
    CHECK(message_unpack(buffer_bytes(packed), buffer_size(packed),
                         &said[*count].message) == STATUS_OK);
    (*count)++;
    buffer_unref(&packed);
}

static status_t
send_forwarder(void *with, const message_t *message)
{
    (void)with;
    if (world.forwarder_status == STATUS_OK) {
        keep(world.forwarder, &world.forwarder_count, message);
        order(message_kind(message)[0]);
    }
    return world.forwarder_status;
}

static void
open_receipts(void *with, const char *endpoint)
{
    (void)with;
    order('O');
    snprintf(world.receipts_at, sizeof(world.receipts_at), "%s", endpoint);
}

static status_t
send_receipt(void *with, const message_t *message)
{
    (void)with;
    if (world.receipt_status == STATUS_OK) {
        keep(world.receipts, &world.receipts_count, message);
        order('r');
    }
    return world.receipt_status;
}

static status_t
answer(void *with, const peer_t *peer, const message_t *message,
       buffer_t *payload)
{
    (void)with;
    if (world.answer_status != STATUS_OK)
        return world.answer_status;
    CHECK(message_has_payload(message) == (payload != NULL));
    said_t *said = &world.answers[world.answers_count];
    keep(world.answers, &world.answers_count, message);
    said->peer = *peer;
    said->payload = buffer_ref(payload);
    return STATUS_OK;
}

static status_t
append(void *with, const chunk_header_t *header, buffer_t *payload,
       millis_t now)
{
    (void)with, (void)payload, (void)now;
    if (world.append_status == STATUS_OK) {
        CHECK(world.waiting_count < MOST);
        world.waiting[world.waiting_count++] = header->key;
        world.appended++;
    }
    return world.append_status;
}

static status_t
start_read(void *with, chunk_key_t key, bool header_only, uint64_t token)
{
    (void)with, (void)key;
    world.token = token;
    world.reads += world.read_status == STATUS_OK;
    world.header_only = header_only;
    return world.read_status;
}

static bool
of(const chunkstore_entry_t *entry, uint64_t stream, uint64_t epoch)
{
    return entry->key.stream == stream && entry->key.epoch == epoch;
}

static status_t
walk(void *with, uint64_t stream, uint64_t epoch, uint64_t block,
     chunkstore_each_fn *each, void *arg)
{
    (void)with;
    for (size_t i = 0; i < world.held_count; i++)
        if (of(&world.held[i], stream, epoch) &&
            world.held[i].key.block >= block && !each(arg, &world.held[i]))
            break;
    return world.walk_on_status ? world.walk_on_status : world.walk_status;
}

static status_t
walk_back(void *with, uint64_t stream, uint64_t epoch, chunkstore_each_fn *each,
          void *arg)
{
    (void)with;
    for (size_t i = world.held_count; i-- > 0;)
        if (of(&world.held[i], stream, epoch) && !each(arg, &world.held[i]))
            break;
    return world.walk_status;
}

static size_t
epochs(void *with, uint64_t stream, uint64_t *list, size_t most)
{
    (void)with;
    size_t count = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < world.held_count; i++) {
        const chunk_key_t *key = &world.held[i].key;
        if (key->stream != stream || key->epoch == last)
            continue;
        last = key->epoch;
        if (count < most)
            list[count] = last;
        count++;
    }
    return count;
}

static status_t
locate(void *with, uint64_t stream, uint64_t epoch, bool by_time, uint64_t at,
       chunkstore_entry_t *entry_r)
{
    (void)with;
    for (size_t i = world.held_count; i-- > 0;) {
        const chunkstore_entry_t *entry = &world.held[i];
        uint64_t place = by_time ? (uint64_t)entry->created_us : entry->offset;
        if (of(entry, stream, epoch) && place <= at) {
            *entry_r = *entry;
            return STATUS_OK;
        }
    }
    return world.walk_status == STATUS_OK ? STATUS_MISS : world.walk_status;
}

static uint64_t
settled(void *with, uint64_t stream)
{
    (void)with, (void)stream;
    return world.settled;
}

static status_t
walk_all(void *with, chunk_key_t from, chunkstore_each_fn *each, void *arg)
{
    (void)with;
    for (size_t i = 0; i < world.held_count; i++)
        if (chunk_key_compare(&world.held[i].key, &from) >= 0 &&
            !each(arg, &world.held[i]))
            break;
    return world.walk_status;
}

static status_t
trim(void *with, uint64_t stream, uint64_t epoch, uint64_t first, uint64_t end,
     size_t *dropped_r, bool *more_r)
{
    (void)with;
    world.trimmed = (trimmed_t){ stream, epoch, first, end };
    *dropped_r = 17;
    *more_r = true;
    return world.trim_status;
}

static size_t
dropped(void *with, uint64_t from, uint64_t *streams, size_t most)
{
    (void)with;
    size_t count = 0;
    for (uint64_t id = from > 1 ? from : 1; id <= world.drops; id++, count++)
        if (count < most)
            streams[count] = id;
    return count;
}

static status_t
drop(void *with, uint64_t stream)
{
    (void)with;
    world.dropped = stream;
    return world.drop_status;
}

static void
retain(void *with, uint8_t retention, micros_t horizon_us, millis_t span_ms)
{
    (void)with;
    world.retained_class = retention;
    world.horizon_us = horizon_us;
    world.span_ms = span_ms;
}

static chunkstore_identity_t
identity(void *with)
{
    (void)with;
    return world.identity;
}

static status_t
set_cluster(void *with, uint64_t cluster)
{
    (void)with;
    if (world.set_status == STATUS_OK)
        world.identity.cluster = cluster;
    order('C');
    return world.set_status;
}

static status_t
set_term(void *with, uint64_t term)
{
    (void)with;
    if (world.set_status == STATUS_OK)
        world.identity.term = term;
    order('T');
    return world.set_status;
}

static chunkstore_space_t
space(void *with)
{
    (void)with;
    return world.space;
}

static void
note(void *with, int level, const char *text)
{
    (void)with, (void)level;
    snprintf(world.noted, sizeof(world.noted), "%s", text);
}

static const storage_effects_t EFFECTS = {
    .send_forwarder = send_forwarder,
    .open_receipts = open_receipts,
    .send_receipt = send_receipt,
    .answer = answer,
    .append = append,
    .read = start_read,
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
    .identity = identity,
    .set_cluster = set_cluster,
    .set_term = set_term,
    .space = space,
    .note = note,
};

/*--------------------------------------------------------------- the cast */

static ears_t ears;  //  Closed, but where a case is about them

static void
forget(said_t *said, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        message_free(&said[i].message);
        buffer_unref(&said[i].payload);
    }
    *count = 0;
}

static void
forget_all(void)
{
    forget(world.forwarder, &world.forwarder_count);
    forget(world.receipts, &world.receipts_count);
    forget(world.answers, &world.answers_count);
    memset(world.order, 0, sizeof(world.order));
}

static void
end(void)
{
    storage_core_destroy(&world.core);
    forget_all();
    free(world.held);
    memset(&world, 0, sizeof(world));
}

static void
begin_patient(double patience)
{
    end();  //  What a failed case left
    world.identity = (chunkstore_identity_t){ .store = STORE,
                                              .boot = 3,
                                              .term = 4 };
    world.space = (chunkstore_space_t){
        .chunks = 1, .bytes = 2, .free_bytes = 3, .space_bytes = 4
    };
    storage_settings_t settings = { "w1", "tcp://h:1", "tcp://h:2", patience,
                                    &ears.sink };
    world.core = storage_core_new(&settings, &EFFECTS, NULL, world.now);
}

static void
begin(void)
{
    begin_patient(1);
}

static void
pass(millis_t span)
{
    //  As an owner does: sweep at each deadline on the way.
    millis_t until = world.now + span;
    while (storage_core_due(world.core) <= until) {
        millis_t due = storage_core_due(world.core);
        world.now = due > world.now ? due : world.now;
        storage_core_sweep(world.core, world.now);
    }
    world.now = until;
}

static message_t *
last(const said_t *said, size_t count)
{
    return count ? said[count - 1].message : NULL;
}

static message_t *
to_forwarder(void)
{
    return last(world.forwarder, world.forwarder_count);
}

static size_t
count_of(int kind)
{
    size_t count = 0;
    for (size_t i = 0; i < world.forwarder_count; i++)
        count += (int)world.forwarder[i].message->body_case == kind;
    return count;
}

#define HELLOS count_of(RILL__V1__MESSAGE__BODY_HELLO)
#define KEEPS count_of(RILL__V1__MESSAGE__BODY_WORKER_KEEP)
#define INVENTORIES count_of(RILL__V1__MESSAGE__BODY_INVENTORY)
#define LEAVES count_of(RILL__V1__MESSAGE__BODY_WORKER_LEAVE)

static char RECEIPTS_AT[] = "tcp://h:3";
static uint64_t STREAMS[] = { STREAM };

static void
welcome_to(uint64_t request, uint64_t cluster, uint64_t term, uint64_t session)
{
    Rill__V1__Welcome welcome = RILL__V1__WELCOME__INIT;
    welcome.cluster = cluster;
    welcome.term = term;
    welcome.session = session;
    welcome.receipts_at = RECEIPTS_AT;
    welcome.keep_ms = 400;
    welcome.n_streams = 1;
    welcome.streams = STREAMS;
    message_t message = MESSAGE(WELCOME, welcome, &welcome, request, 0);
    storage_core_on_forwarder(world.core, &message, world.now);
}

static void
hello(void)
{
    millis_t due = storage_core_due(world.core);
    world.now = due > world.now ? due : world.now;
    storage_core_sweep(world.core, world.now);
    CHECK(to_forwarder() &&
          to_forwarder()->body_case == RILL__V1__MESSAGE__BODY_HELLO);
}

//  Hello, and the Welcome that answers it.
static void
welcome(uint64_t term, uint64_t session)
{
    hello();
    welcome_to(to_forwarder()->request, CLUSTER, term, session);
}

static void
serve(void)
{
    welcome(5, SESSION);
    CHECK(storage_core_ready(world.core));
    forget_all();
}

static void
kept(uint64_t session, uint64_t term)
{
    Rill__V1__WorkerKept body = RILL__V1__WORKER_KEPT__INIT;
    body.session = session;
    body.term = term;
    message_t message = MESSAGE(WORKER_KEPT, worker_kept, &body, 0, 0);
    storage_core_on_forwarder(world.core, &message, world.now);
}

static void
kept_with(uint64_t session, uint64_t term, micros_t horizon_us)
{
    Rill__V1__Horizon horizon = RILL__V1__HORIZON__INIT;
    Rill__V1__Horizon *horizons[] = { &horizon };
    Rill__V1__WorkerKept body = RILL__V1__WORKER_KEPT__INIT;
    horizon.retention = 3;
    horizon.horizon_us = horizon_us;
    horizon.span_ms = 1500;
    body.session = session;
    body.term = term;
    body.n_horizons = 1;
    body.horizons = horizons;
    message_t message = MESSAGE(WORKER_KEPT, worker_kept, &body, 0, 0);
    storage_core_on_forwarder(world.core, &message, world.now);
}

static void
refused_of(uint64_t request, status_t status)
{
    Rill__V1__Refused body = message_refusal(status, "because", 0);
    message_t message = MESSAGE(REFUSED, refused, &body, request, 0);
    storage_core_on_forwarder(world.core, &message, world.now);
}

static chunk_key_t
key(uint64_t block, uint32_t slot)
{
    return (chunk_key_t){
        .stream = STREAM, .epoch = 5ull << 32, .block = block, .slot = slot
    };
}

static chunk_header_t
header(uint64_t block)
{
    chunk_header_t made = {
        .key = key(block, 1),
        .code = { 4, 2 },
        .offset = block * 4,
        .length = 4,
        .created_us = 1,
        .block_us = 1,
        .width = 6,
        .position = 1,
        .kind = KIND_RECORDED,
        .name = "film",
        .payload_crc = checksum_crc32c("abcd", 4),
    };
    return made;
}

static void
give_back(void *hint)
{
    (void)hint;
}

static void
store_as(uint64_t term, uint64_t session, uint64_t block, size_t length)
{
    chunk_header_t made = header(block);
    chunk_on_wire_t chunk;
    message_from_chunk(&made, &chunk);
    Rill__V1__Store body = RILL__V1__STORE__INIT;
    body.term = term;
    body.session = session;
    body.chunk = &chunk.header;
    message_t message = MESSAGE(STORE, store, &body, 0, 0);
    buffer_t *payload = buffer_wrap("abcd", length, give_back, NULL);
    storage_core_on_store(world.core, &message, payload, world.now);
    buffer_unref(&payload);
}

static void
store(uint64_t block)
{
    store_as(5, SESSION, block, 4);
}

//  The store tells the first `count` chunks that wait.
static void
tell(size_t count, status_t status)
{
    static chunk_key_t keys[MOST];
    CHECK(count <= world.waiting_count);
    memcpy(keys, world.waiting, count * sizeof(*keys));
    world.waiting_count -= count;
    memmove(world.waiting, world.waiting + count,
            world.waiting_count * sizeof(*keys));
    if (status == STATUS_OK)
        storage_core_on_durable(world.core, keys, count, world.now);
    else
        storage_core_on_failed(world.core, keys, count, status, world.now);
}

static size_t
receipted(void)
{
    size_t count = 0;
    for (size_t i = 0; i < world.receipts_count; i++)
        count += world.receipts[i].message->receipt->n_stored;
    return count;
}

static void
ask(message_t message)
{
    peer_t peer = { .size = 1, .bytes = { 'p' } };
    storage_core_on_ask(world.core, &peer, &message, world.now);
}

static void
ask_status(void)
{
    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    ask((message_t)MESSAGE(STATUS_ASK, status_ask, &body, 1, 0));
}

//  The report, lent until the next forget.
static const Rill__V1__Report *
report(void)
{
    ask_status();
    message_t *said = last(world.answers, world.answers_count);
    CHECK(said && said->body_case == RILL__V1__MESSAGE__BODY_REPORT);
    return said->report;
}

static uint64_t
counter_in(const Rill__V1__Report *from, counter_t which)
{
    return counters_find(from->counters, from->n_counters,
                         counters_series(which)->name);
}

static uint64_t
counter(counter_t which)
{
    return counter_in(report(), which);
}

static status_t
refusal(void)
{
    message_t *said = last(world.answers, world.answers_count);
    CHECK(said && said->body_case == RILL__V1__MESSAGE__BODY_REFUSED);
    CHECK(said->request == 77);
    return message_status(said->refused->status);
}

//  The index holds one slot of each of `count` blocks from `first`.
static void
hold(uint64_t epoch, uint64_t first, size_t count, uint32_t slot)
{
    world.held = realloc(world.held,
                         (world.held_count + count) * sizeof(*world.held));
    for (size_t i = 0; i < count; i++) {
        chunkstore_entry_t entry = {
            .key = { STREAM, epoch, first + i, slot },
            .index = (first + i) * 4 + (slot < 4 ? slot : 0),
            .offset = (first + i) * 16,
            .length = 4,
            .created_us = (micros_t)(first + i) * 10,
            .k = 4,
        };
        world.held[world.held_count++] = entry;
    }
}

/*---------------------------------------------------------------- joining */

static void
hello_is_said_until_welcomed(void)
{
    begin_patient(3);
    pass(0);
    CHECK(HELLOS == 1);
    const Rill__V1__Hello *said = to_forwarder()->hello;
    CHECK(said->store == STORE && said->boot == 3 && said->term == 4);
    CHECK(said->cluster == 0 && strcmp(said->name, "w1") == 0);
    CHECK(strcmp(said->push_at, "tcp://h:1") == 0);
    CHECK(strcmp(said->ask_at, "tcp://h:2") == 0);
    CHECK(said->space->free_bytes == 3 && !said->space->full);
    pass(1499);
    CHECK(HELLOS == 1);
    pass(1);
    CHECK(HELLOS == 2);
    world.forwarder_status = STATUS_BUSY;
    pass(1500);
    world.forwarder_status = STATUS_OK;
    pass(50);
    CHECK(HELLOS == 3 && counter(COUNTER_hellos_total_unsaid) == 1);
    pass(1450);
    welcome(5, SESSION);
    CHECK(HELLOS == 4);
    pass(5000);
    CHECK(HELLOS == 4 && KEEPS > 0);
    end();
}

static void
the_term_is_durable_first(void)
{
    begin();
    welcome(5, SESSION);
    CHECK(strcmp(world.order, "hCTOi") == 0);
    CHECK(world.identity.term == 5 && world.identity.cluster == CLUSTER);
    CHECK(strcmp(world.receipts_at, RECEIPTS_AT) == 0);
    CHECK(storage_core_ready(world.core));
    end();

    begin();
    world.set_status = STATUS_IO;
    welcome(5, SESSION);
    CHECK(strcmp(world.order, "hC") == 0 && !storage_core_ready(world.core));
    CHECK(counter(COUNTER_worker_messages_total_forwarder_not_kept) == 1);
    world.set_status = STATUS_OK;
    welcome(5, SESSION);
    CHECK(storage_core_ready(world.core));
    end();
}

static void
a_lower_term_is_not_granted(void)
{
    begin();
    welcome(3, SESSION);
    CHECK(!storage_core_ready(world.core) && world.identity.term == 4);
    CHECK(counter(COUNTER_worker_messages_total_forwarder_old_term) == 1);
    store_as(3, SESSION, 1, 4);
    CHECK(world.appended == 0 &&
          counter(COUNTER_worker_messages_total_chunks_early) == 1);
    end();
}

static void
a_welcome_answers_our_newest_hello_or_a_later(void)
{
    begin();
    welcome_to(1, CLUSTER, 5, SESSION);
    CHECK(counter(COUNTER_worker_messages_total_forwarder_old_welcome) == 1);
    hello();
    uint64_t first = to_forwarder()->request;
    hello();
    uint64_t second = to_forwarder()->request;
    CHECK(first >> 32 == 3 && second > first);
    welcome_to(second, CLUSTER, 5, SESSION);
    CHECK(storage_core_ready(world.core));
    welcome_to(first, CLUSTER, 5, SESSION + 1);
    welcome_to(second, CLUSTER, 5, SESSION + 2);
    CHECK(counter(COUNTER_worker_messages_total_forwarder_old_welcome) == 3);
    store(1);
    CHECK(world.appended == 1);
    end();
}

static void
a_welcome_without_its_parts_is_not_one(void)
{
    begin();
    hello();
    uint64_t request = to_forwarder()->request;
    welcome_to(request, 0, 5, SESSION);
    welcome_to(request, CLUSTER, 0, SESSION);
    welcome_to(request, CLUSTER, 5, 0);
    CHECK(counter(COUNTER_worker_messages_total_forwarder_bad_welcome) == 3);
    CHECK(!storage_core_ready(world.core) && world.identity.cluster == 0);
    end();
}

static void
what_can_never_serve_says_why(void)
{
    const char *text = NULL;
    begin();
    world.identity.cluster = CLUSTER + 1;
    welcome(5, SESSION);
    CHECK(storage_core_fault(world.core, &text) == STATUS_CLUSTER);
    CHECK(strstr(text, "00000000000000c2") && strstr(text, "00000000000000c1"));
    CHECK(world.identity.term == 4);
    CHECK(storage_core_due(world.core) == MILLIS_NEVER);

    static const status_t FAULTS[] = { STATUS_CLUSTER, STATUS_TAKEN,
                                       STATUS_FENCED };
    for (size_t i = 0; i < 3; i++) {
        begin();
        hello();
        refused_of(to_forwarder()->request, FAULTS[i]);
        CHECK(storage_core_fault(world.core, &text) == FAULTS[i]);
        CHECK(strcmp(text, "because") == 0);
    }
    begin();
    hello();
    refused_of(to_forwarder()->request, STATUS_BUSY);
    CHECK(storage_core_fault(world.core, NULL) == STATUS_OK);
    CHECK(strstr(world.noted, "refused status=busy"));
    pass(500);
    CHECK(HELLOS == 2);
    end();
}

static void
the_inventory_waits_for_older_chunks(void)
{
    begin();
    serve();
    store(1);
    store(2);
    refused_of(UINT64_MAX, STATUS_SESSION);
    CHECK(storage_core_ready(world.core) &&
          counter(COUNTER_worker_messages_total_forwarder_old_refused));
    world.now += 400;
    storage_core_sweep(world.core, world.now);
    refused_of(to_forwarder()->request, STATUS_SESSION);
    CHECK(!storage_core_ready(world.core));
    welcome(6, SESSION + 1);
    CHECK(!storage_core_ready(world.core) && INVENTORIES == 0);
    tell(1, STATUS_OK);
    CHECK(INVENTORIES == 0);
    store_as(6, SESSION + 1, 3, 4);
    CHECK(counter(COUNTER_worker_messages_total_chunks_early) == 1);
    tell(1, STATUS_OK);
    CHECK(INVENTORIES == 1 && storage_core_ready(world.core));
    CHECK(world.receipts_count == 0 &&
          counter(COUNTER_receipted_chunks_total_over) == 2);
    store_as(6, SESSION + 1, 3, 4);
    tell(1, STATUS_OK);
    CHECK(receipted() == 1);
    CHECK(world.receipts[0].message->receipt->term == 6);
    CHECK(world.receipts[0].message->receipt->session == SESSION + 1);
    end();
}

static void
receipts_of_an_older_session_are_not_sent(void)
{
    begin();
    serve();
    world.receipt_status = STATUS_BUSY;
    store(1);
    tell(1, STATUS_OK);
    pass(3000);
    world.receipt_status = STATUS_OK;
    welcome(6, SESSION + 1);
    pass(100);
    CHECK(storage_core_ready(world.core));
    CHECK(world.receipts_count == 0 &&
          counter(COUNTER_receipted_chunks_total_over) == 1);
    end();
}

/*-------------------------------------------------------------- inventory */

//  Slots said of an epoch's block, a bit each; also counts all slots said.
static uint32_t
said_of(uint64_t epoch, uint64_t block, size_t *all_r)
{
    uint32_t slots = 0;
    size_t all = 0;
    for (size_t i = 0; i < world.forwarder_count; i++) {
        const message_t *message = world.forwarder[i].message;
        if (message->body_case != RILL__V1__MESSAGE__BODY_INVENTORY)
            continue;
        for (size_t h = 0; h < message->inventory->n_held; h++) {
            const Rill__V1__Held *held = message->inventory->held[h];
            for (size_t r = 0; r < held->n_runs; r++)
                for (size_t s = 0; s < held->runs[r]->slots.len; s++) {
                    uint8_t slot = held->runs[r]->slots.data[s];
                    all += slot != 255;
                    if (slot != 255 && held->epoch == epoch &&
                        held->runs[r]->first + s == block)
                        slots |= 1u << slot;
                }
        }
    }
    *all_r = all;
    return slots;
}

static void
the_inventory_says_what_is_above_the_mark(void)
{
    begin();
    hold(1, 0, 10, 2);
    hold(2, 4, 1, 1);
    hold(2, 4, 1, 5);
    hold(2, 5, 1, 3);
    hold(2, 40, 1, 0);
    hold(3, 50, 1, 0);
    world.held[world.held_count - 1].key.stream = STREAM + 1;
    world.settled = 5 * 4;
    welcome(5, SESSION);
    CHECK(INVENTORIES == 1 && to_forwarder()->inventory->done);
    CHECK(to_forwarder()->inventory->session == SESSION);
    CHECK(to_forwarder()->inventory->held[0]->settled == 20);
    size_t all = 0;
    CHECK(said_of(1, 4, &all) == 0 && said_of(1, 5, &all) == 1u << 2);
    CHECK(said_of(1, 9, &all) == 1u << 2 && said_of(2, 4, &all) == 0);
    CHECK(said_of(2, 5, &all) == 1u << 3 && said_of(2, 40, &all) == 1);
    CHECK(all == 5 + 2);
    end();

    begin();
    hold(1, 0, 3, 2);
    hold(2, 3, 3, 2);
    world.settled = 6 * 4;
    welcome(5, SESSION);
    const Rill__V1__Inventory *said = to_forwarder()->inventory;
    CHECK(said->n_held == 1 && said->held[0]->epoch == 2);
    CHECK(said->held[0]->n_runs == 0 && said->held[0]->settled == 24);
    end();
}

static void
a_mark_within_a_block_leaves_out_none_of_it(void)
{
    //  A mark of another extent, in whose place a rebuild has put this one.
    begin();
    for (uint32_t slot = 0; slot < 6; slot++)
        hold(1, 0, 10, slot);
    world.settled = 5 * 4 + 3;
    welcome(5, SESSION);
    size_t all = 0;
    CHECK(said_of(1, 4, &all) == 0 && said_of(1, 5, &all) == 0x3f);
    CHECK(said_of(1, 6, &all) == 0x3f);
    end();
}

static void
a_long_inventory_takes_several_messages(void)
{
    begin();
    hold(1, 0, 70000, 4);
    for (uint64_t i = 0; i < 3000; i++)
        hold(2, i * 100, 1, 3);
    hold(3, 9, 1, 1);
    hold(3, 9, 1, 6);
    for (uint64_t i = 0; i < 1500; i++) {
        hold(4, i, 1, 1);
        hold(4, i, 1, 2);
    }
    for (uint64_t i = 0; i < 500; i++)
        hold(10 + i, 1, 1, 0);
    hello();
    uint64_t request = to_forwarder()->request;
    forget_all();
    world.forwarder_status = STATUS_BUSY;
    welcome_to(request, CLUSTER, 5, SESSION);
    CHECK(!storage_core_ready(world.core) && INVENTORIES == 0);
    world.forwarder_status = STATUS_OK;
    pass(10);
    CHECK(storage_core_ready(world.core) && INVENTORIES > 5);
    for (size_t i = 0; i < world.forwarder_count; i++)
        CHECK(world.forwarder[i].message->inventory->done ==
              (i + 1 == world.forwarder_count));
    size_t all = 0;
    CHECK(said_of(1, 0, &all) == 1u << 4 && said_of(1, 69999, &all) == 1u << 4);
    CHECK(said_of(2, 299900, &all) == 1u << 3);
    CHECK(said_of(3, 9, &all) == (1u << 1 | 1u << 6));
    CHECK(said_of(509, 1, &all) == 1);
    CHECK(all == 70000 + 3000 + 2 + 3000 + 500);
    end();
}

static void
an_unreadable_inventory_is_not_sent(void)
{
    begin();
    hold(1, 0, 3, 2);
    world.walk_status = STATUS_CORRUPT;
    welcome(5, SESSION);
    CHECK(INVENTORIES == 0 && !storage_core_ready(world.core));
    CHECK(counter(COUNTER_worker_sessions_total_unreadable) == 1);
    pass(499);
    CHECK(HELLOS == 1);
    world.walk_status = STATUS_OK;
    pass(1);
    CHECK(HELLOS == 2);
    world.walk_on_status = STATUS_IO;
    welcome(5, SESSION + 1);
    CHECK(INVENTORIES == 0 && !storage_core_ready(world.core));
    world.walk_on_status = STATUS_OK;
    welcome(5, SESSION + 2);
    CHECK(storage_core_ready(world.core));
    end();
}

/*---------------------------------------------------------------- serving */

static void
the_session_is_kept(void)
{
    begin();
    serve();
    world.space.full = true;
    pass(400);
    CHECK(KEEPS == 1 && to_forwarder()->worker_keep->session == SESSION);
    CHECK(to_forwarder()->worker_keep->space->full);
    pass(2599);
    CHECK(storage_core_ready(world.core));
    kept(SESSION, 5);
    pass(2000);
    kept(SESSION + 1, 5);
    kept(SESSION, 4);
    CHECK(counter(COUNTER_worker_messages_total_forwarder_old_kept) == 2);
    pass(999);
    CHECK(storage_core_ready(world.core));
    pass(1);
    CHECK(!storage_core_ready(world.core) && HELLOS == 1);
    CHECK(counter(COUNTER_worker_sessions_total_silent) == 1);
    end();
}

static void
a_keep_says_what_waits_for_the_disk(void)
{
    begin();
    serve();
    store(0);
    store(1);
    pass(400);
    CHECK(KEEPS == 1 && to_forwarder()->worker_keep->waiting == 2);
    tell(2, STATUS_OK);
    pass(400);
    CHECK(KEEPS == 2 && to_forwarder()->worker_keep->waiting == 0);
    end();
}

static void
a_horizon_is_taken_from_the_session_only(void)
{
    begin();
    serve();
    kept_with(SESSION + 1, 5, 70);
    kept_with(SESSION, 4, 80);
    CHECK(world.horizon_us == 0);
    kept_with(SESSION, 5, 90);
    CHECK(world.horizon_us == 90 && world.retained_class == 3);
    CHECK(world.span_ms == 1500);
    end();
}

static void
a_refusal_is_of_what_was_said_in_the_session(void)
{
    begin();
    serve();
    pass(400);
    uint64_t older = to_forwarder()->request;
    pass(2600);
    welcome(5, SESSION + 1);
    refused_of(older, STATUS_SESSION);
    refused_of(UINT64_MAX, STATUS_SESSION);
    CHECK(storage_core_ready(world.core));
    CHECK(counter(COUNTER_worker_messages_total_forwarder_old_refused) == 2);
    pass(400);
    refused_of(to_forwarder()->request, STATUS_BUSY);
    CHECK(storage_core_ready(world.core));
    refused_of(to_forwarder()->request, STATUS_SESSION);
    CHECK(!storage_core_ready(world.core));
    size_t hellos = HELLOS;
    pass(0);
    CHECK(HELLOS == hellos + 1);
    end();
}

static void
a_chunk_keeps_the_session_too(void)
{
    begin();
    serve();
    pass(2000);
    store(1);
    pass(2000);
    CHECK(storage_core_ready(world.core));
    store_as(5, SESSION + 1, 2, 4);
    pass(1000);
    CHECK(!storage_core_ready(world.core));
    end();
}

static void
a_receipt_follows_the_disk(void)
{
    begin();
    serve();
    for (uint64_t i = 0; i < 1203; i++)
        store(i);
    pass(100);
    CHECK(world.receipts_count == 0 && world.appended == 1203);
    tell(1, STATUS_OK);
    CHECK(receipted() == 1);
    const Rill__V1__Receipt *first = world.receipts[0].message->receipt;
    CHECK(first->store == STORE && first->term == 5);
    CHECK(first->session == SESSION && first->n_failed == 0);
    CHECK(first->stored[0]->stream == STREAM && first->stored[0]->slot == 1);
    CHECK(first->stored[0]->epoch == 5ull << 32);
    CHECK(first->stored[0]->block == 0);
    tell(1202, STATUS_OK);
    CHECK(receipted() == 1203 && world.receipts_count == 4);
    for (size_t i = 0; i < world.receipts_count; i++)
        CHECK(world.receipts[i].message->receipt->n_stored <= 500);
    chunk_key_t stranger = key(99999, 0);
    storage_core_on_durable(world.core, &stranger, 1, world.now);
    CHECK(receipted() == 1203 && counter(COUNTER_commits_total_unasked) == 1);
    end();
}

static void
a_repeated_chunk_is_receipted_again(void)
{
    begin();
    serve();
    store(1);
    store(1);
    tell(1, STATUS_OK);
    CHECK(receipted() == 1);
    tell(1, STATUS_OK);
    CHECK(receipted() == 1 && counter(COUNTER_commits_total_unasked) == 1);
    store(1);
    tell(1, STATUS_OK);
    CHECK(receipted() == 2);
    end();
}

static void
what_fails_is_told(void)
{
    begin();
    serve();
    store(1);
    store(2);
    tell(1, STATUS_IO);
    const Rill__V1__Receipt *said = world.receipts[0].message->receipt;
    CHECK(said->n_stored == 0 && said->n_failed == 1);
    CHECK(said->failed[0]->block == 1);
    CHECK(message_status(said->status) == STATUS_IO);
    world.append_status = STATUS_FULL;
    store(3);
    said = world.receipts[1].message->receipt;
    CHECK(said->n_failed == 1 && said->failed[0]->block == 3);
    CHECK(message_status(said->status) == STATUS_FULL);
    store_as(5, SESSION, 4, 3);
    said = world.receipts[2].message->receipt;
    CHECK(message_status(said->status) == STATUS_CORRUPT);
    CHECK(counter(COUNTER_worker_messages_total_chunks_length) == 1 &&
          counter(COUNTER_worker_messages_total_chunks_failed) == 1);

    //  One receipt has one reason; what is stored may go with any.
    world.receipt_status = STATUS_BUSY;
    store(5);
    store_as(5, SESSION, 6, 3);
    tell(1, STATUS_OK);
    world.receipt_status = STATUS_OK;
    pass(10);
    CHECK(world.receipts_count == 5);
    said = world.receipts[3].message->receipt;
    CHECK(said->n_failed == 1 && said->n_stored == 0);
    said = world.receipts[4].message->receipt;
    CHECK(said->n_failed == 1 && said->n_stored == 1);
    end();
}

static void
what_is_fenced_is_counted(void)
{
    begin();
    serve();
    store_as(4, SESSION, 1, 4);
    store_as(6, SESSION, 1, 4);
    store_as(5, SESSION - 1, 1, 4);
    CHECK(counter(COUNTER_worker_messages_total_chunks_old_term) == 2 &&
          counter(COUNTER_worker_messages_total_chunks_old_session) == 1);
    Rill__V1__Store none = RILL__V1__STORE__INIT;
    none.term = 5;
    none.session = SESSION;
    message_t message = MESSAGE(STORE, store, &none, 0, 0);
    storage_core_on_store(world.core, &message, NULL, world.now);
    CHECK(counter(COUNTER_worker_messages_total_chunks_header) == 1);
    Rill__V1__StatusAsk other = RILL__V1__STATUS_ASK__INIT;
    message_t wrong = MESSAGE(STATUS_ASK, status_ask, &other, 0, 0);
    storage_core_on_store(world.core, &wrong, NULL, world.now);
    storage_core_on_forwarder(world.core, &wrong, world.now);
    CHECK(counter(COUNTER_worker_messages_total_chunks_kind) == 1 &&
          counter(COUNTER_worker_messages_total_forwarder_kind) == 1);
    CHECK(world.appended == 0);
    pass(3000);
    store(1);
    CHECK(world.appended == 0 &&
          counter(COUNTER_worker_messages_total_chunks_early) == 1);
    end();
}

static void
a_full_queue_chokes(void)
{
    begin();
    serve();
    store(1);
    world.append_status = STATUS_BUSY;
    CHECK(!storage_core_choked(world.core));
    store(2);
    CHECK(storage_core_choked(world.core) && world.appended == 1);
    store(3);
    CHECK(counter(COUNTER_worker_messages_total_chunks_choked) == 1);
    tell(1, STATUS_OK);
    CHECK(storage_core_choked(world.core));
    world.append_status = STATUS_OK;
    CHECK(storage_core_due(world.core) == world.now + 10);
    pass(10);
    CHECK(!storage_core_choked(world.core) && world.appended == 2);
    tell(1, STATUS_OK);
    CHECK(receipted() == 2 && counter(COUNTER_store_choked_total) == 1);

    //  A turn that makes room is used at once.
    store(4);
    world.append_status = STATUS_BUSY;
    store(5);
    world.append_status = STATUS_OK;
    tell(1, STATUS_FULL);
    CHECK(!storage_core_choked(world.core) && world.appended == 4);

    //  The chunk that waits is of its session.
    world.append_status = STATUS_BUSY;
    store(6);
    pass(3000);
    CHECK(!storage_core_choked(world.core));
    CHECK(counter(COUNTER_worker_messages_total_chunks_left_over) == 1);
    world.append_status = STATUS_OK;
    tell(1, STATUS_OK);
    welcome(5, SESSION + 1);
    CHECK(storage_core_ready(world.core) && world.appended == 4);
    end();
}

static void
unsent_receipts_choke(void)
{
    begin();
    serve();
    world.receipt_status = STATUS_BUSY;
    size_t taken = 0;
    for (; taken < 100000 && !storage_core_choked(world.core); taken++) {
        store(taken);
        tell(1, STATUS_OK);
    }
    CHECK(taken == 65536 && storage_core_choked(world.core));
    store(taken);
    CHECK(counter(COUNTER_worker_messages_total_chunks_choked) == 1 &&
          world.receipts_count == 0);
    world.receipt_status = STATUS_OK;
    CHECK(storage_core_due(world.core) <= world.now + 10);
    pass(10);
    CHECK(receipted() == taken && !storage_core_choked(world.core));
    end();
}

/*-------------------------------------------------------------- questions */

static void
fetch(bool header_only)
{
    Rill__V1__ChunkKey wire = message_from_key(key(1, 1));
    Rill__V1__Fetch body = RILL__V1__FETCH__INIT;
    body.key = &wire;
    body.header_only = header_only;
    ask((message_t)MESSAGE(FETCH, fetch, &body, 77, 78));
}

static void
a_fetch_is_answered_when_read(void)
{
    begin();
    chunk_header_t made = header(1);
    fetch(false);
    CHECK(world.answers_count == 0 && !world.header_only);
    uint64_t token = world.token;
    buffer_t *payload = buffer_wrap("abcd", 4, give_back, NULL);
    storage_core_on_read(world.core, token, STATUS_OK, &made, payload, 0);
    storage_core_on_read(world.core, token, STATUS_OK, &made, payload, 0);
    CHECK(world.answers_count == 1);
    const said_t *said = &world.answers[0];
    CHECK(said->peer.size == 1 && said->message->request == 77);
    CHECK(said->message->trace == 78 && said->payload == payload);
    chunk_header_t back;
    CHECK(message_to_chunk(said->message->fetched->chunk, &back) == STATUS_OK);
    CHECK(chunk_key_compare(&back.key, &made.key) == 0);
    buffer_unref(&payload);

    fetch(true);
    CHECK(world.header_only && world.token != token);
    storage_core_on_read(world.core, world.token, STATUS_OK, &made, NULL, 0);
    CHECK(world.answers_count == 2);
    CHECK(buffer_size(world.answers[1].payload) == 0);
    end();
}

static void
a_read_that_fails_is_refused(void)
{
    static const status_t STATUSES[] = { STATUS_MISS, STATUS_GONE,
                                         STATUS_CORRUPT, STATUS_IO };
    begin();
    for (size_t i = 0; i < 4; i++) {
        fetch(false);
        storage_core_on_read(world.core, world.token, STATUSES[i], NULL, NULL,
                             0);
        CHECK(refusal() == STATUSES[i]);
    }
    world.read_status = STATUS_BUSY;
    fetch(false);
    CHECK(refusal() == STATUS_BUSY);
    Rill__V1__Fetch none = RILL__V1__FETCH__INIT;
    ask((message_t)MESSAGE(FETCH, fetch, &none, 77, 0));
    CHECK(refusal() == STATUS_ARGUMENT);
    world.read_status = STATUS_OK;
    fetch(false);
    world.answer_status = STATUS_BUSY;
    storage_core_on_read(world.core, world.token, STATUS_MISS, NULL, NULL, 0);
    world.answer_status = STATUS_OK;
    const Rill__V1__Report *said = report();
    CHECK(counter_in(said, COUNTER_refusals_total_miss) == 2);
    CHECK(counter_in(said, COUNTER_refusals_total_gone) == 1);
    CHECK(counter_in(said, COUNTER_refusals_total_corrupt) == 1);
    CHECK(counter_in(said, COUNTER_refusals_total_io) == 1);
    CHECK(counter_in(said, COUNTER_refusals_total_busy) == 1);
    CHECK(counter_in(said, COUNTER_refusals_total_argument) == 1);
    CHECK(counter_in(said, COUNTER_worker_messages_total_front_unsaid) == 1);
    end();
}

static void
open_reads_are_bounded(void)
{
    begin();
    fetch(false);
    uint64_t first = world.token;
    for (int i = 1; i < 256; i++)
        fetch(false);
    CHECK(world.answers_count == 0);
    fetch(false);
    CHECK(refusal() == STATUS_BUSY);
    storage_core_on_read(world.core, first, STATUS_MISS, NULL, NULL, 0);
    fetch(false);
    CHECK(world.answers_count == 2 && world.token != first);
    storage_core_on_read(world.core, first, STATUS_MISS, NULL, NULL, 0);
    storage_core_on_read(world.core, UINT64_MAX, STATUS_MISS, NULL, NULL, 0);
    CHECK(world.answers_count == 2);
    end();
}

static void
locate_tells_the_last_at_or_before(void)
{
    begin();
    hold(2, 0, 10, 3);
    Rill__V1__Locate body = RILL__V1__LOCATE__INIT;
    body.stream = STREAM;
    body.epoch = 2;
    ask((message_t)MESSAGE(LOCATE, locate, &body, 77, 0));
    CHECK(refusal() == STATUS_ARGUMENT);
    body.at_case = RILL__V1__LOCATE__AT_OFFSET;
    body.offset = 47;
    ask((message_t)MESSAGE(LOCATE, locate, &body, 77, 0));
    const Rill__V1__Located *said =
        last(world.answers, world.answers_count)->located;
    CHECK(said->found && said->block == 2 && said->slot == 3);
    CHECK(said->offset == 32 && said->length == 4 && said->created_us == 20);
    body.at_case = RILL__V1__LOCATE__AT_TIME_US;
    body.time_us = 55;
    ask((message_t)MESSAGE(LOCATE, locate, &body, 77, 0));
    said = last(world.answers, world.answers_count)->located;
    CHECK(said->found && said->block == 5);
    body.time_us = -1;
    ask((message_t)MESSAGE(LOCATE, locate, &body, 77, 0));
    CHECK(!last(world.answers, world.answers_count)->located->found);
    body.epoch = 3;
    body.time_us = 55;
    ask((message_t)MESSAGE(LOCATE, locate, &body, 77, 0));
    CHECK(!last(world.answers, world.answers_count)->located->found);
    world.walk_status = STATUS_IO;
    ask((message_t)MESSAGE(LOCATE, locate, &body, 77, 0));
    CHECK(refusal() == STATUS_IO);
    end();
}

static void
a_scan_is_cut_between_blocks(void)
{
    begin();
    for (uint64_t i = 0; i < 400; i++) {
        hold(2, i, 1, 1);
        hold(2, i, 1, 4);
    }
    size_t chunks = 0, scans = 0;
    bool more = true;
    Rill__V1__Scan body = RILL__V1__SCAN__INIT;
    body.stream = STREAM;
    body.epoch = 2;
    body.most = 99;
    for (; more; scans++) {
        CHECK(scans < 100);
        ask((message_t)MESSAGE(SCAN, scan, &body, 77, 0));
        const Rill__V1__Scanned *said =
            last(world.answers, world.answers_count)->scanned;
        CHECK(said->n_chunks > 0 && said->n_chunks <= 100);
        CHECK(said->chunks[0]->block == body.block);
        chunks += said->n_chunks;
        body.block = said->chunks[said->n_chunks - 1]->block + 1;
        more = said->more;
    }
    CHECK(chunks == 800 && scans == 8);
    body.block = 0;
    body.most = 0;
    ask((message_t)MESSAGE(SCAN, scan, &body, 77, 0));
    CHECK(last(world.answers, world.answers_count)->scanned->n_chunks == 500);
    world.walk_status = STATUS_CORRUPT;
    ask((message_t)MESSAGE(SCAN, scan, &body, 77, 0));
    CHECK(refusal() == STATUS_CORRUPT);
    end();
}

static void
a_drop_of_a_lower_term_is_refused(void)
{
    begin();
    Rill__V1__Drop body = RILL__V1__DROP__INIT;
    body.stream = STREAM;
    body.term = 3;
    ask((message_t)MESSAGE(DROP, drop, &body, 77, 0));
    CHECK(refusal() == STATUS_FENCED && world.dropped == 0);
    body.term = 4;
    ask((message_t)MESSAGE(DROP, drop, &body, 77, 0));
    const message_t *said = last(world.answers, world.answers_count);
    CHECK(said->body_case == RILL__V1__MESSAGE__BODY_DROPPED);
    CHECK(said->dropped->stream == STREAM && world.dropped == STREAM);
    world.drop_status = STATUS_IO;
    ask((message_t)MESSAGE(DROP, drop, &body, 77, 0));
    CHECK(refusal() == STATUS_IO);
    end();
}

static void
all_that_is_held_is_counted_in_parts(void)
{
    begin();
    for (uint64_t epoch = 1; epoch <= 700; epoch++)
        hold(epoch, 10 * epoch, epoch == 3 ? 9000 : 2, 1);
    Rill__V1__Count body = RILL__V1__COUNT__INIT;
    Rill__V1__ChunkKey from;
    size_t answers = 0, records[701] = { 0 };
    uint64_t last_block[701] = { 0 };
    bool more = true;
    for (; more; answers++) {
        CHECK(answers < 20);
        ask((message_t)MESSAGE(COUNT, count, &body, 77, 0));
        const Rill__V1__Counted *said =
            last(world.answers, world.answers_count)->counted;
        CHECK(said->n_held > 0 && said->n_held <= 500);
        size_t together = 0;
        for (size_t i = 0; i < said->n_held; i++) {
            CHECK(said->held[i]->stream == STREAM);
            CHECK(said->held[i]->epoch <= 700);
            records[said->held[i]->epoch] += said->held[i]->records;
            last_block[said->held[i]->epoch] = said->held[i]->last_block;
            together += said->held[i]->records;
        }
        CHECK(together <= 4096);
        more = said->next != NULL;
        if (more)
            from = *said->next;
        body.from = &from;
    }
    CHECK(answers == 4);
    for (uint64_t epoch = 1; epoch <= 700; epoch++) {
        size_t held = epoch == 3 ? 9000 : 2;
        CHECK(records[epoch] == held);
        CHECK(last_block[epoch] == 10 * epoch + held - 1);
    }
    world.walk_status = STATUS_IO;
    ask((message_t)MESSAGE(COUNT, count, &body, 77, 0));
    CHECK(refusal() == STATUS_IO);
    end();
}

static void
what_was_dropped_is_counted_too_in_parts(void)
{
    begin();
    hold(3, 5, 2, 1);
    world.settled = 33;
    world.drops = 2500;
    Rill__V1__Count body = RILL__V1__COUNT__INIT;
    uint64_t next = 1;
    for (size_t answers = 0; answers < 3; answers++) {
        ask((message_t)MESSAGE(COUNT, count, &body, 77, 0));
        const Rill__V1__Counted *said =
            last(world.answers, world.answers_count)->counted;
        CHECK(said->n_dropped == (answers < 2 ? 1000 : 500));
        for (size_t i = 0; i < said->n_dropped; i++)
            CHECK(said->dropped[i] == next++);
        body.dropped_from = said->dropped_next;
        CHECK(said->dropped_next == (answers < 2 ? next : 0));
        CHECK(said->held[0]->settled == 33);
    }
    end();
}

static void
sweep(uint64_t term, uint64_t epoch, uint64_t first, uint64_t end_block)
{
    Rill__V1__Sweep body = RILL__V1__SWEEP__INIT;
    body.stream = STREAM;
    body.term = term;
    body.epoch = epoch;
    body.keep_first = first;
    body.keep_end = end_block;
    ask((message_t)MESSAGE(SWEEP, sweep, &body, 77, 0));
}

static void
a_sweep_of_a_lower_term_is_refused(void)
{
    begin();
    sweep(3, 2, 0, 9);
    CHECK(refusal() == STATUS_FENCED && world.trimmed.stream == 0);
    sweep(4, 2, 9, 8);
    CHECK(refusal() == STATUS_ARGUMENT && world.trimmed.stream == 0);
    sweep(4, 2, 3, 9);
    const message_t *said = last(world.answers, world.answers_count);
    CHECK(said->body_case == RILL__V1__MESSAGE__BODY_SWEPT);
    CHECK(said->swept->stream == STREAM && said->swept->epoch == 2);
    CHECK(said->swept->dropped == 17 && said->swept->more);
    CHECK(world.trimmed.stream == STREAM && world.trimmed.epoch == 2);
    CHECK(world.trimmed.first == 3 && world.trimmed.end == 9);
    world.trim_status = STATUS_BUSY;
    sweep(4, 2, 3, 9);
    CHECK(refusal() == STATUS_BUSY);
    end();
}

static void
what_was_swept_is_not_stored_again(void)
{
    begin();
    serve();
    sweep(5, 5ull << 32, 2, 4);
    for (uint64_t block = 0; block < 6; block++)
        store(block);
    CHECK(world.appended == 2);
    CHECK(world.waiting[0].block == 2 && world.waiting[1].block == 3);
    CHECK(counter(COUNTER_worker_messages_total_chunks_swept) == 4 &&
          counter(COUNTER_worker_messages_total_chunks_taken) == 2);
    //  It narrows; another epoch is not concerned.
    sweep(5, 5ull << 32, 2, 3);
    sweep(5, 9, 0, 0);
    store(2);
    store(3);
    CHECK(world.appended == 3 &&
          counter(COUNTER_worker_messages_total_chunks_swept) == 5);
    //  In the next session nothing of this one is on the way any more.
    tell(world.waiting_count, STATUS_OK);
    pass(3000);
    serve();
    store(0);
    CHECK(world.appended == 4);
    end();
}

static void
a_report_says_how_it_is(void)
{
    begin();
    CHECK(strcmp(report()->workers[0]->state, "away") == 0);
    serve();
    store(1);
    world.now += 5;
    const Rill__V1__Report *said = report();
    CHECK(strcmp(said->role, "worker") == 0 && strcmp(said->node, "w1") == 0);
    CHECK(said->cluster == CLUSTER && said->term == 5);
    CHECK(said->uptime_ms == 5 && said->n_workers == 1);
    const Rill__V1__WorkerReport *worker = said->workers[0];
    CHECK(strcmp(worker->state, "live") == 0 && worker->store == STORE);
    CHECK(worker->chunks == 1 && worker->bytes == 2 && worker->free_bytes == 3);
    CHECK(worker->space_bytes == 4 && worker->unreceipted == 1);
    world.space.full = true;
    CHECK(strcmp(report()->workers[0]->state, "full") == 0);
    end();
}

static void
other_questions_are_refused(void)
{
    begin();
    Rill__V1__List body = RILL__V1__LIST__INIT;
    ask((message_t)MESSAGE(LIST, list, &body, 77, 0));
    CHECK(refusal() == STATUS_KIND);
    peer_t peer = { .size = 1, .bytes = { 'p' } }, nobody = { 0 };
    storage_core_on_bad(world.core, &peer, 78, STATUS_VERSION, 0);
    CHECK(world.answers_count == 2);
    CHECK(world.answers[1].message->request == 78);
    storage_core_on_bad(world.core, &nobody, 0, STATUS_MALFORMED, 0);
    storage_core_on_bad(world.core, NULL, 0, STATUS_MALFORMED, 0);
    CHECK(world.answers_count == 2 &&
          counter(COUNTER_worker_messages_received_total_unreadable) == 3);
    end();
}

/*---------------------------------------------------------------- leaving */

static void
a_drain_receipts_what_was_taken(void)
{
    begin();
    serve();
    store(1);
    world.append_status = STATUS_BUSY;
    store(2);
    world.append_status = STATUS_OK;
    fetch(false);
    uint64_t token = world.token;
    CHECK(!storage_core_drain(world.core, world.now));
    store(3);
    fetch(false);
    CHECK(refusal() == STATUS_STOPPING);
    CHECK(counter(COUNTER_worker_messages_total_chunks_stopping) == 1 &&
          world.appended == 2);
    tell(1, STATUS_OK);
    pass(400);
    CHECK(KEEPS == 1 && LEAVES == 0);
    world.receipt_status = STATUS_BUSY;
    tell(1, STATUS_OK);
    CHECK(!storage_core_drain(world.core, world.now) && LEAVES == 0);
    world.receipt_status = STATUS_OK;
    pass(10);
    CHECK(receipted() == 2 && LEAVES == 1);
    CHECK(to_forwarder()->worker_leave->session == SESSION);
    CHECK(!storage_core_drain(world.core, world.now));
    storage_core_on_read(world.core, token, STATUS_MISS, NULL, NULL, 0);
    CHECK(storage_core_drain(world.core, world.now) && LEAVES == 1);
    CHECK(storage_core_due(world.core) == MILLIS_NEVER);
    end();
}

static void
a_drain_waits_for_the_chunk_that_waits(void)
{
    begin();
    serve();
    world.append_status = STATUS_BUSY;
    store(1);
    CHECK(!storage_core_drain(world.core, world.now) && LEAVES == 0);
    world.append_status = STATUS_OK;
    pass(10);
    CHECK(LEAVES == 0);
    tell(1, STATUS_OK);
    CHECK(receipted() == 1 && LEAVES == 1);
    CHECK(storage_core_drain(world.core, world.now));
    end();
}

static void
a_drain_without_a_forwarder_ends(void)
{
    begin();
    hello();
    CHECK(storage_core_drain(world.core, world.now) && HELLOS == 1);
    welcome_to(to_forwarder()->request, CLUSTER, 5, SESSION);
    CHECK(counter(COUNTER_worker_messages_total_forwarder_stopping) == 1 &&
          world.identity.term == 4);

    //  Welcomed, but not serving: nothing to receipt.
    begin();
    serve();
    store(1);
    pass(3000);
    welcome(5, SESSION + 1);
    CHECK(!storage_core_drain(world.core, world.now) && LEAVES == 1);
    tell(1, STATUS_OK);
    CHECK(storage_core_drain(world.core, world.now) && INVENTORIES == 0);

    //  Serving, and nobody hears that it leaves.
    begin();
    serve();
    world.forwarder_status = STATUS_BUSY;
    CHECK(storage_core_drain(world.core, world.now));

    //  Serving, and nobody takes its receipts: silence ends it.
    begin();
    serve();
    world.forwarder_status = STATUS_BUSY;
    world.receipt_status = STATUS_BUSY;
    store(1);
    tell(1, STATUS_OK);
    CHECK(!storage_core_drain(world.core, world.now));
    pass(2999);
    CHECK(!storage_core_drain(world.core, world.now));
    pass(1);
    CHECK(storage_core_drain(world.core, world.now));
    CHECK(counter(COUNTER_receipted_chunks_total_over) == 1);
    end();
}

/*--------------------------------------------------------------- counting */

//  What ended at a socket, however it did.
static uint64_t
sum_of(const Rill__V1__Report *from, const char *socket)
{
    char begin[128];
    uint64_t sum = 0;
    snprintf(begin, sizeof begin, "rill_worker_messages_total{socket=\"%s\",",
             socket);
    for (size_t i = 0; i < from->n_counters; i++)
        if (strncmp(from->counters[i]->name, begin, strlen(begin)) == 0)
            sum += from->counters[i]->value;
    return sum;
}

static uint32_t
dice(uint32_t *seed, uint32_t sides)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % sides;
}

static void
a_turn_of_anything(uint32_t *seed)
{
    static const status_t APPENDS[] = { STATUS_OK, STATUS_OK, STATUS_BUSY,
                                        STATUS_FULL };
    world.append_status = APPENDS[dice(seed, 4)];
    world.receipt_status = dice(seed, 3) ? STATUS_OK : STATUS_BUSY;
    world.forwarder_status = dice(seed, 5) ? STATUS_OK : STATUS_BUSY;
    world.answer_status = dice(seed, 5) ? STATUS_OK : STATUS_UNREACHABLE;
    uint64_t session = SESSION + dice(seed, 3), term = 5 + dice(seed, 2);
    uint64_t heard = world.forwarder_count ? to_forwarder()->request : 0;
    switch (dice(seed, 9)) {
    case 0:
        welcome_to(heard, CLUSTER, term, session);
        break;
    case 1:
        kept(session, term);
        break;
    case 2:
        refused_of(heard, dice(seed, 2) ? STATUS_SESSION : STATUS_BUSY);
        break;
    case 3:
        fetch(dice(seed, 2));
        break;
    case 4:
        pass(dice(seed, 700));
        break;
    case 5:
        tell(dice(seed, (uint32_t)world.waiting_count + 1),
             dice(seed, 4) ? STATUS_OK : STATUS_IO);
        break;
    default:
        store_as(term, session, dice(seed, 50), 4 - (dice(seed, 8) == 0));
        break;
    }
    if (world.forwarder_count > MOST / 2)
        forget_all();
}

static void
the_counters_add_up(void)
{
    for (uint32_t run = 1; run <= 200; run++) {
        uint32_t seed = run;
        begin();
        for (int turn = 0; turn < 400; turn++)
            a_turn_of_anything(&seed);
        world.answer_status = STATUS_OK;
        world.append_status = STATUS_OK;
        pass(10);  //  The chunk that waits for room
        const Rill__V1__Report *said = report();
        uint64_t forwarder_in = counter_in(
            said, COUNTER_worker_messages_received_total_forwarder);
        CHECK(forwarder_in > 0);
        CHECK(forwarder_in == sum_of(said, "forwarder"));
        uint64_t store_in = counter_in(
            said, COUNTER_worker_messages_received_total_chunks);
        CHECK(store_in > 0 && store_in == sum_of(said, "chunks"));
        //  No read ends here, and this report is not counted yet.
        uint64_t asks = counter_in(
            said, COUNTER_worker_messages_received_total_front);
        CHECK(asks > 1 && asks == sum_of(said, "front") + world.reads + 1);
    }
    end();
}

static void
nobody_wanted_anything(void)
{
    CHECK(ears.all == 0 && ears.clocks == 0);
}

static void
what_is_stored_is_told(void)
{
    begin();
    serve();
    ears_open(&ears);
    store(1);
    store(2);
    CHECK(ears.all == 0);
    tell(2, STATUS_OK);
    const event_t *event = EARS_LAST(&ears, CHUNK_STORED, 2);
    CHECK(event->chunk_stored->block == 2 && event->chunk_stored->ms > 0 &&
          event->stream == key(2, 0).stream);
    store(3);
    tell(1, STATUS_IO);  //  Not this one
    EARS_LAST(&ears, CHUNK_STORED, 2);
    store_as(5, SESSION + 1, 4, 4);
    event = EARS_LAST(&ears, FAULT_COUNTED, 1);
    CHECK(strcmp(event->fault_counted->where, "chunks") == 0 &&
          strcmp(event->fault_counted->what, "store") == 0 &&
          event->fault_counted->status == RILL__V1__STATUS__STATUS_SESSION);
    storage_core_on_retired(world.core, 4096);
    CHECK(EARS_LAST(&ears, RETENTION_RAN, 1)->retention_ran->bytes == 4096);
    end();
    ears_end(&ears);
}

int
main(void)
{
    ears_begin(&ears);
    CASE(hello_is_said_until_welcomed,
         "a worker says Hello every 0.5 s times patience until it is welcomed");
    CASE(the_term_is_durable_first,
         "storage_core 2: a term is durable before anything of it is answered");
    CASE(a_lower_term_is_not_granted,
         "invariant 8: a lower term is not granted, its chunks are not taken");
    CASE(a_welcome_answers_our_newest_hello_or_a_later,
         "a Welcome answers a Hello of this boot, once, and none older");
    CASE(a_welcome_without_its_parts_is_not_one,
         "a Welcome without cluster, term or session is counted, not taken");
    CASE(what_can_never_serve_says_why,
         "another cluster, a taken name and a newer term end a worker, said");
    CASE(the_inventory_waits_for_older_chunks,
         "storage_core 3: the inventory waits until older chunks are durable");
    CASE(receipts_of_an_older_session_are_not_sent,
         "invariant 8: no receipt is sent for a session that is over");
    CASE(the_inventory_says_what_is_above_the_mark,
         "survey 1: the inventory says each record above the settled mark");
    CASE(a_mark_within_a_block_leaves_out_none_of_it,
         "survey 1: of a block that the mark lies in it says all");
    CASE(a_long_inventory_takes_several_messages,
         "survey 2: a long inventory is several messages, a record in one");
    CASE(an_unreadable_inventory_is_not_sent,
         "storage_core 3: an inventory that cannot be read is not sent");
    CASE(the_session_is_kept,
         "a session is kept, and ends after 3 s of silence");
    CASE(a_keep_says_what_waits_for_the_disk,
         "membership 2: a worker says what waits for its disk");
    CASE(a_horizon_is_taken_from_the_session_only,
         "invariants 8 and 11: only its forwarder moves a worker's horizon");
    CASE(a_refusal_is_of_what_was_said_in_the_session,
         "a session ends when it is refused, not when an older one is");
    CASE(a_chunk_keeps_the_session_too,
         "a chunk of the session is a sign of life, another's is not");
    CASE(a_receipt_follows_the_disk,
         "storage_core 1, commits 2, invariant 6: receipts follow the disk");
    CASE(a_repeated_chunk_is_receipted_again,
         "invariant 7: a repeated chunk waits once and is receipted again");
    CASE(what_fails_is_told,
         "a chunk that will not be stored is told, with its reason");
    CASE(what_is_fenced_is_counted,
         "invariant 21: a chunk that is not taken is counted by reason");
    CASE(a_full_queue_chokes,
         "storage_core 5: a full store chokes the worker, which goes on after");
    CASE(unsent_receipts_choke,
         "invariant 18: unsent receipts are bounded and choke the worker");
    CASE(a_fetch_is_answered_when_read,
         "questions 1: a Fetch is answered once, when it is read");
    CASE(a_read_that_fails_is_refused,
         "a read that fails is refused with its status, and counted");
    CASE(open_reads_are_bounded,
         "questions 2: open reads are bounded, one more is refused as busy");
    CASE(locate_tells_the_last_at_or_before,
         "Locate tells the last chunk at or before an offset or a time");
    CASE(a_scan_is_cut_between_blocks, "a Scan is cut between blocks");
    CASE(all_that_is_held_is_counted_in_parts,
         "R13: all that is held is counted, in parts");
    CASE(a_sweep_of_a_lower_term_is_refused,
         "invariant 8: a sweep of a lower term is refused, others are done");
    CASE(what_was_swept_is_not_stored_again,
         "storage_core 6: what was swept is not stored again in its session");
    CASE(what_was_dropped_is_counted_too_in_parts,
         "invariant 11: a store says which streams it was told to drop");
    CASE(a_drop_of_a_lower_term_is_refused,
         "questions 3: a Drop of a lower term is refused as fenced");
    CASE(a_report_says_how_it_is, "a report says how the worker is");
    CASE(other_questions_are_refused,
         "what has no business here or cannot be read is refused");
    CASE(a_drain_receipts_what_was_taken,
         "a drain receipts what was taken, then leaves");
    CASE(a_drain_waits_for_the_chunk_that_waits,
         "a drain waits for the chunk that the store had no room for");
    CASE(a_drain_without_a_forwarder_ends,
         "a drain ends without a forwarder, when the disk has all");
    CASE(the_counters_add_up,
         "storage_core 4, invariant 21: what comes in is how it ended");
    CASE(nobody_wanted_anything,
         "sink 1: in none of the above an event was built or a clock looked "
         "at, as nobody wanted to hear of it");
    CASE(what_is_stored_is_told,
         "what is on disk is told with the time that it took, what is not "
         "taken as a fault");
    return proof_end();
}
