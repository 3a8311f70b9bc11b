#include "forwarder_core.h"

#include <czmq.h>

#include "catalogue.h"
#include "checksum.h"
#include "ears.h"
#include "kv_memory.h"
#include "placement.h"
#include "proof.h"
#include "random.h"

/*  A cluster in which nothing happens by itself: workers keep what is pushed,
 *  give receipts when a case says so and answer questions when it pumps. A
 *  source's bytes are a function of their offset.
 */
enum {
    FAKES = 10,
    PARTS = 8192,  //  Of one worker
    SAID = 4096,
    ASKS = 1024,
    CHUNK = 1000,  //  Bytes of a recorded chunk here
    SOURCE = 200,  //  Peers: workers are 0 to FAKES - 1
    READER = 220,
    NAME_SIZE = 16,
};

typedef struct {
    chunk_header_t header;
    buffer_t *payload;
    bool receipted;
    bool lost;  //  Never came to its disk
    bool flipped;
} part_t;

typedef struct {
    char name[NAME_SIZE];
    uint64_t store;
    uint64_t boot;
    uint64_t cluster;
    uint64_t term;
    uint64_t session;
    bool mute;    //  Gives no receipts
    bool deaf;    //  Answers no questions
    bool stuck;   //  Its socket takes nothing,
    size_t room;  //  or just so much more
    bool full;
    uint64_t free_bytes;
    bool silent;    //  Sends no WorkerKeep
    uint32_t told;  //  Messages of its inventory
    part_t *parts;
    size_t count;
    size_t pushes;  //  In this core's life
} fake_t;

typedef struct {
    peer_t peer;
    message_t *message;
    buffer_t *payload;
} said_t;

typedef struct {
    uint64_t session;
    message_t *message;
} asked_t;

typedef struct {
    forwarder_core_t *core;
    kv_t *kv;
    millis_t now;
    uint64_t random;
    uint64_t request;
    fake_t fakes[FAKES];
    said_t said[SAID];
    size_t said_count;
    asked_t asks[ASKS];
    size_t asks_count;
    uint64_t fetches;  //  Asked of workers in all
    uint64_t scans;
    uint64_t headers;  //  Asked of workers alone
    status_t unable;   //  To a question for a header, if not STATUS_OK
    int flips;         //  Chunks that are yet to be flipped on their way
    char noted[512];
    uint64_t connected;  //  Links open now
    forwarder_settings_t settings;
    micros_t wall_off;    //  What the wall's clock was set by
    micros_t horizon_us;  //  The last that a worker was told
} world_t;

static world_t world;
static ears_t ears;  //  Closed, but where a case is about them

static peer_t
peer_of(int number)
{
    return (peer_t){ .size = 1, .bytes = { (uint8_t)number } };
}

static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 0x9e3779b97f4a7c15u >> 56);
}

/*---------------------------------------------------------------- effects */

//  What is said goes over the wire and back, so that it fits.
static message_t *
over_the_wire(const message_t *message)
{
    message_t *copy = NULL;
    buffer_t *packed = message_pack(message);
    CHECK(packed);
    CHECK(message_unpack(buffer_bytes(packed), buffer_size(packed), &copy) ==
          STATUS_OK);
    buffer_unref(&packed);
    return copy;
}

static status_t
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    (void)with;
    CHECK(world.said_count < SAID);
    CHECK(message_has_payload(message) == (payload != NULL));
    said_t *said = &world.said[world.said_count++];
    said->peer = *peer;
    said->message = over_the_wire(message);
    said->payload = buffer_ref(payload);
    return STATUS_OK;
}

static fake_t *
fake_of(uint64_t session)
{
    for (int i = 0; i < FAKES; i++)
        if (world.fakes[i].session == session && session)
            return &world.fakes[i];
    return NULL;
}

static status_t
connect_fake(void *with, uint64_t session, const char *push_at,
             const char *ask_at)
{
    (void)with, (void)ask_at;
    int number;
    if (sscanf(push_at, "tcp://w%d:", &number) != 1 || number >= FAKES)
        return STATUS_ADDRESS;
    world.fakes[number].session = session;
    world.connected++;
    return STATUS_OK;
}

static void
disconnect_fake(void *with, uint64_t session)
{
    (void)with;
    fake_t *fake = fake_of(session);
    if (fake)
        fake->session = 0;
    CHECK(world.connected-- > 0);
}

static part_t *
part_of(fake_t *fake, const chunk_key_t *key)
{
    for (size_t i = fake->count; i-- > 0;)
        if (chunk_key_compare(&fake->parts[i].header.key, key) == 0)
            return &fake->parts[i];
    return NULL;
}

static status_t
push(void *with, uint64_t session, const message_t *message, buffer_t *payload)
{
    (void)with;
    fake_t *fake = fake_of(session);
    CHECK(fake);
    if (fake->stuck && fake->room == 0)
        return STATUS_BUSY;
    fake->room -= fake->stuck;
    CHECK(message->body_case == RILL__V1__MESSAGE__BODY_STORE);
    CHECK(message->store->session == session);
    CHECK(message->store->term == fake->term);
    CHECK(fake->count < PARTS);
    message_t *copy = over_the_wire(message);
    part_t part = { .payload = buffer_ref(payload) };
    CHECK(message_to_chunk(copy->store->chunk, &part.header) == STATUS_OK);
    message_free(&copy);
    CHECK(part.header.length == buffer_size(payload));
    CHECK(part.header.payload_crc ==
          checksum_crc32c(buffer_bytes(payload), buffer_size(payload)));
    if (!chunk_is_parity(&part.header))
        for (uint32_t i = 0; i < part.header.length; i++)
            CHECK(buffer_bytes(payload)[i] ==
                  byte_at(part.header.offset + i));  //  Invariant 2
    for (int i = 0; i < FAKES; i++)
        CHECK(!part_of(&world.fakes[i], &part.header.key));  //  Invariant 7
    for (size_t i = 0; i < fake->count; i++)                 //  Invariant 5
        CHECK(fake->parts[i].header.key.stream != part.header.key.stream ||
              fake->parts[i].header.key.epoch != part.header.key.epoch ||
              fake->parts[i].header.key.block != part.header.key.block);
    fake->parts[fake->count++] = part;
    fake->pushes++;
    return STATUS_OK;
}

static status_t
ask(void *with, uint64_t session, const message_t *message)
{
    (void)with;
    CHECK(fake_of(session));
    CHECK(world.asks_count < ASKS);
    world.fetches += message->body_case == RILL__V1__MESSAGE__BODY_FETCH;
    world.scans += message->body_case == RILL__V1__MESSAGE__BODY_SCAN;
    world.asks[world.asks_count++] = (asked_t){
        .session = session, .message = over_the_wire(message)
    };
    return STATUS_OK;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return ++world.random * 0x9e3779b97f4a7c15u;
}

static micros_t
wall_us(void *with)
{
    (void)with;
    return 1700000000000000 + world.now * 1000 + world.wall_off;
}

static void
note(void *with, int level, const char *text)
{
    (void)with, (void)level;
    snprintf(world.noted, sizeof world.noted, "%s", text);
}

//  Nobody hears it here.
static void
on_publish(void *with, uint64_t stream, uint64_t topic,
           const message_t *message, buffer_t *payload)
{
    (void)with, (void)stream, (void)topic, (void)message, (void)payload;
}

static const forwarder_effects_t EFFECTS = {
    .send = send_front,
    .connect = connect_fake,
    .disconnect = disconnect_fake,
    .push = push,
    .ask = ask,
    .publish = on_publish,
    .random = chance,
    .wall_us = wall_us,
    .note = note,
};

/*--------------------------------------------------------------- the world */

static void
forget_said(void)
{
    for (size_t i = 0; i < world.said_count; i++) {
        message_free(&world.said[i].message);
        buffer_unref(&world.said[i].payload);
    }
    world.said_count = 0;
}

static void
forget_asks(void)
{
    for (size_t i = 0; i < world.asks_count; i++)
        message_free(&world.asks[i].message);
    world.asks_count = 0;
}

static void
wipe(fake_t *fake)
{
    for (size_t i = 0; i < fake->count; i++)
        buffer_unref(&fake->parts[i].payload);
    fake->count = 0;
}

static void
end(void)
{
    forwarder_core_destroy(&world.core);
    forget_said();
    forget_asks();
    for (int i = 0; i < FAKES; i++) {
        wipe(&world.fakes[i]);
        free(world.fakes[i].parts);
    }
    kv_close(&world.kv);
    memset(&world, 0, sizeof world);
}

static status_t
start(void)
{
    char why[256];
    return forwarder_core_new(&world.settings, &EFFECTS, NULL, world.kv,
                              world.now, &world.core, why, sizeof why);
}

//  The forwarder dies and starts again; its workers go on.
static void
restart(void)
{
    forwarder_core_destroy(&world.core);
    forget_said();
    forget_asks();
    world.connected = 0;
    for (int i = 0; i < FAKES; i++) {
        world.fakes[i].session = 0;
        world.fakes[i].pushes = 0;
    }
    kv_memory_crash(world.kv, 1);
    CHECK(start() == STATUS_OK);
}

//  The forwarder and all workers die: only disks are left.
static void
power_cut(void)
{
    for (int i = 0; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            world.fakes[i].parts[p].lost |= !world.fakes[i].parts[p].receipted;
    restart();
}

static said_t *
answer_to(uint64_t request)
{
    for (size_t i = world.said_count; i-- > 0;)
        if (world.said[i].message->request == request)
            return &world.said[i];
    return NULL;
}

//  The last word of a kind to a peer, or NULL.
static message_t *
last_said(int peer, int kind)
{
    for (size_t i = world.said_count; i-- > 0;)
        if (world.said[i].peer.bytes[0] == peer &&
            (int)world.said[i].message->body_case == kind)
            return world.said[i].message;
    return NULL;
}

#define SAID_TO(peer, KIND) last_said(peer, RILL__V1__MESSAGE__BODY_##KIND)

static void
say(int from, message_t *message, buffer_t *payload)
{
    peer_t peer = peer_of(from);
    forwarder_core_on_front(world.core, &peer, message, payload, world.now);
}

#define SAY(from, KIND, field, body)                                           \
    do {                                                                       \
        message_t said_ = MESSAGE(KIND, field, body, ++world.request, 0);      \
        say(from, &said_, NULL);                                               \
    } while (0)

//  What the last question was refused with, or STATUS_OK.
static status_t
refusal(void)
{
    said_t *said = answer_to(world.request);
    if (!said || said->message->body_case != RILL__V1__MESSAGE__BODY_REFUSED)
        return STATUS_OK;
    return (status_t)said->message->refused->status;
}

/*---------------------------------------------------------------- workers */

static void
hello(int number)
{
    fake_t *fake = &world.fakes[number];
    char push_at[32], ask_at[32];
    snprintf(push_at, sizeof push_at, "tcp://w%d:1", number);
    snprintf(ask_at, sizeof ask_at, "tcp://w%d:2", number);
    Rill__V1__Space space = RILL__V1__SPACE__INIT;
    space.full = fake->full;
    space.free_bytes = fake->free_bytes;
    Rill__V1__Hello body = RILL__V1__HELLO__INIT;
    body.cluster = fake->cluster;
    body.store = fake->store;
    body.name = fake->name;
    body.boot = ++fake->boot;
    body.term = fake->term;
    body.push_at = push_at;
    body.ask_at = ask_at;
    body.space = &space;
    SAY(number, HELLO, hello, &body);
}

//  Say what of `stream` the worker has, each part in a run of its own.
static void
inventory_of(fake_t *fake, uint64_t stream)
{
    uint64_t settled = 0;
    for (size_t i = 0; i < fake->count; i++)
        if (fake->parts[i].header.key.stream == stream &&
            fake->parts[i].header.settled > settled)
            settled = fake->parts[i].header.settled;
    for (size_t i = 0; i < fake->count; i++) {
        const chunk_header_t *header = &fake->parts[i].header;
        uint64_t index = header->base_index +
                         header->key.block * header->code.k +
                         (chunk_is_parity(header) ? 0 : header->key.slot);
        if (header->key.stream != stream || index < settled)
            continue;
        uint8_t slot = (uint8_t)header->key.slot;
        Rill__V1__Run run = RILL__V1__RUN__INIT;
        Rill__V1__Run *runs = &run;
        run.first = header->key.block;
        run.slots = (ProtobufCBinaryData){ .len = 1, .data = &slot };
        Rill__V1__Held held = RILL__V1__HELD__INIT;
        Rill__V1__Held *helds = &held;
        held.stream = stream;
        held.epoch = header->key.epoch;
        held.settled = settled;
        held.n_runs = 1;
        held.runs = &runs;
        Rill__V1__Inventory body = RILL__V1__INVENTORY__INIT;
        body.session = fake->session;
        body.part = fake->told++;
        body.n_held = 1;
        body.held = &helds;
        SAY((int)(fake - world.fakes), INVENTORY, inventory, &body);
    }
}

//  What was in its socket or memory when the worker died is gone.
static void
forget_lost(fake_t *fake)
{
    size_t kept = 0;
    for (size_t i = 0; i < fake->count; i++)
        if (fake->parts[i].lost)
            buffer_unref(&fake->parts[i].payload);
        else
            fake->parts[kept++] = fake->parts[i];
    fake->count = kept;
}

//  The worker is welcomed.
static void
greet(int number)
{
    fake_t *fake = &world.fakes[number];
    forget_lost(fake);
    hello(number);
    said_t *said = answer_to(world.request);
    CHECK(said && said->message->body_case == RILL__V1__MESSAGE__BODY_WELCOME);
    const Rill__V1__Welcome *welcome = said->message->welcome;
    fake->cluster = welcome->cluster;
    fake->term = welcome->term;
    CHECK(fake->session == welcome->session);
}

//  Then it tells what it holds.
static void
tell_held(int number)
{
    fake_t *fake = &world.fakes[number];
    const Rill__V1__Welcome *welcome = SAID_TO(number, WELCOME)->welcome;
    for (size_t i = 0; i < fake->count; i++)
        fake->parts[i].receipted = true;
    uint64_t *streams = calloc(welcome->n_streams + 1, sizeof *streams);
    size_t count = welcome->n_streams;
    for (size_t i = 0; i < count; i++)
        streams[i] = welcome->streams[i];
    fake->told = 0;
    for (size_t i = 0; i < count; i++)
        inventory_of(fake, streams[i]);
    free(streams);
    Rill__V1__Inventory body = RILL__V1__INVENTORY__INIT;
    body.session = fake->session;
    body.part = fake->told;
    body.done = true;
    SAY(number, INVENTORY, inventory, &body);
}

static void
join(int number)
{
    greet(number);
    tell_held(number);
}

static void
join_all(int count)
{
    for (int i = 0; i < count; i++)
        join(i);
}

static void
begin_with(int workers)
{
    end();  //  What a failed case left
    world.kv = kv_memory_new();
    world.now = 1000;
    world.settings = (forwarder_settings_t){ .name = "f",
                                             .receipts_at = "tcp://f:3",
                                             .patience = 1,
                                             .chunk_bytes = CHUNK,
                                             .sink = &ears.sink };
    for (int i = 0; i < FAKES; i++) {
        fake_t *fake = &world.fakes[i];
        snprintf(fake->name, sizeof fake->name, "w%d", i);
        fake->store = 0x100u + (uint64_t)i;
        fake->parts = calloc(PARTS, sizeof *fake->parts);
    }
    CHECK(start() == STATUS_OK);
    join_all(workers);
    CHECK(forwarder_core_workers(world.core) == (size_t)workers);
}

//  The receipt of one part, in the session it was pushed in.
static void
receipt(fake_t *fake, part_t *part)
{
    Rill__V1__ChunkKey key = message_from_key(part->header.key);
    Rill__V1__ChunkKey *keys = &key;
    Rill__V1__Receipt body = RILL__V1__RECEIPT__INIT;
    body.term = fake->term;
    body.session = fake->session;
    body.store = fake->store;
    body.n_stored = 1;
    body.stored = &keys;
    message_t message = MESSAGE(RECEIPT, receipt, &body, 0, 0);
    part->receipted = true;
    forwarder_core_on_receipt(world.core, &message, world.now);
}

//  All receipts of a worker that speaks. How many there were.
static size_t
give_receipts(int number)
{
    fake_t *fake = &world.fakes[number];
    size_t given = 0;
    for (size_t i = 0; i < fake->count && fake->session && !fake->mute; i++)
        if (!fake->parts[i].receipted && !fake->parts[i].lost) {
            receipt(fake, &fake->parts[i]);
            given++;
        }
    return given;
}

static void
answer_fetch(fake_t *fake, uint64_t session, const message_t *question)
{
    chunk_key_t key = message_to_key(question->fetch->key);
    part_t *part = part_of(fake, &key);
    world.headers += question->fetch->header_only;
    status_t unable = question->fetch->header_only ? world.unable : STATUS_OK;
    if (!part || part->lost || unable != STATUS_OK) {
        Rill__V1__Refused refused = message_refusal(
            unable ? unable : STATUS_MISS, NULL, 0);
        message_t answer = MESSAGE(REFUSED, refused, &refused,
                                   question->request, 0);
        forwarder_core_on_worker(world.core, session, &answer, NULL, world.now);
        return;
    }
    chunk_on_wire_t wire;
    message_from_chunk(&part->header, &wire);
    Rill__V1__Fetched fetched = RILL__V1__FETCHED__INIT;
    fetched.chunk = &wire.header;
    message_t answer = MESSAGE(FETCHED, fetched, &fetched, question->request,
                               0);
    buffer_t *payload = buffer_new(part->header.length);
    memcpy(buffer_fill(payload), buffer_bytes(part->payload),
           part->header.length);
    bool flips = part->flipped;
    if (world.flips && !question->fetch->header_only)
        flips = world.flips--;
    if (flips && part->header.length)
        buffer_fill(payload)[part->header.length / 2] ^= 4;
    forwarder_core_on_worker(world.core, session, &answer, payload, world.now);
    buffer_unref(&payload);
}

static void
answer_locate(fake_t *fake, uint64_t session, const message_t *question)
{
    const Rill__V1__Locate *locate = question->locate;
    Rill__V1__Located located = RILL__V1__LOCATED__INIT;
    for (size_t i = 0; i < fake->count; i++) {
        const chunk_header_t *header = &fake->parts[i].header;
        if (header->key.stream != locate->stream ||
            header->key.epoch != locate->epoch || chunk_is_parity(header) ||
            (header->flags & CHUNK_EMPTY) ||
            (locate->at_case == RILL__V1__LOCATE__AT_TIME_US
                 ? header->created_us > locate->time_us
                 : header->offset > locate->offset))
            continue;
        if (located.found && (header->key.block < located.block ||
                              (header->key.block == located.block &&
                               header->key.slot < located.slot)))
            continue;
        located.found = true;
        located.block = header->key.block;
        located.slot = header->key.slot;
        located.offset = header->offset;
        located.length = header->length;
        located.created_us = header->created_us;
    }
    message_t answer = MESSAGE(LOCATED, located, &located, question->request,
                               0);
    forwarder_core_on_worker(world.core, session, &answer, NULL, world.now);
}

static void
answer_scan(fake_t *fake, uint64_t session, const message_t *question)
{
    const Rill__V1__Scan *scan = question->scan;
    static Rill__V1__ScannedChunk chunks[500], *list[500];
    Rill__V1__Scanned scanned = RILL__V1__SCANNED__INIT;
    scanned.chunks = list;
    for (size_t i = 0; i < fake->count && scanned.n_chunks < 500; i++) {
        const chunk_header_t *header = &fake->parts[i].header;
        if (header->key.stream != scan->stream ||
            header->key.epoch != scan->epoch ||
            header->key.block < scan->block ||
            (scan->most && header->key.block - scan->block >= scan->most))
            continue;
        Rill__V1__ScannedChunk *chunk = &chunks[scanned.n_chunks];
        rill__v1__scanned_chunk__init(chunk);
        chunk->block = header->key.block;
        chunk->slot = header->key.slot;
        chunk->offset = header->offset;
        chunk->length = header->length;
        chunk->payload_crc = header->payload_crc;
        chunk->created_us = header->created_us;
        chunk->flags = header->flags;
        list[scanned.n_chunks++] = chunk;
    }
    message_t answer = MESSAGE(SCANNED, scanned, &scanned, question->request,
                               0);
    forwarder_core_on_worker(world.core, session, &answer, NULL, world.now);
}

static void
answer_drop(uint64_t session, fake_t *fake, const message_t *question)
{
    for (size_t i = 0; i < fake->count; i++)
        if (fake->parts[i].header.key.stream == question->drop->stream)
            fake->parts[i].lost = true;
    Rill__V1__Dropped dropped = RILL__V1__DROPPED__INIT;
    dropped.stream = question->drop->stream;
    message_t answer = MESSAGE(DROPPED, dropped, &dropped, question->request,
                               0);
    forwarder_core_on_worker(world.core, session, &answer, NULL, world.now);
    forget_lost(fake);
}

//  In two answers, cut in the middle of the epochs.
static void
answer_count(fake_t *fake, uint64_t session, const message_t *question)
{
    static Rill__V1__Holding held[256], *list[256];
    Rill__V1__Counted counted = RILL__V1__COUNTED__INIT;
    bool second = question->count->from->stream > 0;
    counted.held = list;
    for (size_t i = second; i < fake->count; i += 2) {
        const chunk_key_t *key = &fake->parts[i].header.key;
        size_t at = 0;
        while (at < counted.n_held &&
               (held[at].stream != key->stream || held[at].epoch != key->epoch))
            at++;
        if (at == counted.n_held) {
            CHECK(at < 256);
            rill__v1__holding__init(&held[at]);
            held[at].stream = key->stream;
            held[at].epoch = key->epoch;
            list[counted.n_held++] = &held[at];
        }
        held[at].records++;
        if (held[at].last_block < key->block)
            held[at].last_block = key->block;
    }
    Rill__V1__ChunkKey next = RILL__V1__CHUNK_KEY__INIT;
    next.stream = 1;
    counted.next = second ? NULL : &next;
    message_t answer = MESSAGE(COUNTED, counted, &counted, question->request,
                               0);
    forwarder_core_on_worker(world.core, session, &answer, NULL, world.now);
}

//  One record at a time.
static void
answer_sweep(fake_t *fake, uint64_t session, const message_t *question)
{
    const Rill__V1__Sweep *sweep = question->sweep;
    Rill__V1__Swept swept = RILL__V1__SWEPT__INIT;
    swept.stream = sweep->stream;
    swept.epoch = sweep->epoch;
    for (size_t i = 0; i < fake->count && !swept.more; i++) {
        const chunk_key_t *key = &fake->parts[i].header.key;
        if (key->stream != sweep->stream || key->epoch != sweep->epoch ||
            (key->block >= sweep->keep_first && key->block < sweep->keep_end))
            continue;
        fake->parts[i].lost = true;
        swept.dropped = 1;
        swept.more = true;
    }
    message_t answer = MESSAGE(SWEPT, swept, &swept, question->request, 0);
    forwarder_core_on_worker(world.core, session, &answer, NULL, world.now);
    forget_lost(fake);
}

//  Answer the oldest question that somebody answers. False: there is none.
static bool
answer_one(void)
{
    for (size_t i = 0; i < world.asks_count; i++) {
        asked_t asked = world.asks[i];
        fake_t *fake = fake_of(asked.session);
        if (fake && fake->deaf)
            continue;
        memmove(&world.asks[i], &world.asks[i + 1],
                (--world.asks_count - i) * sizeof asked);
        if (fake) {
            switch (asked.message->body_case) {
            case RILL__V1__MESSAGE__BODY_FETCH:
                answer_fetch(fake, asked.session, asked.message);
                break;
            case RILL__V1__MESSAGE__BODY_LOCATE:
                answer_locate(fake, asked.session, asked.message);
                break;
            case RILL__V1__MESSAGE__BODY_SCAN:
                answer_scan(fake, asked.session, asked.message);
                break;
            case RILL__V1__MESSAGE__BODY_COUNT:
                answer_count(fake, asked.session, asked.message);
                break;
            case RILL__V1__MESSAGE__BODY_SWEEP:
                answer_sweep(fake, asked.session, asked.message);
                break;
            default:
                answer_drop(asked.session, fake, asked.message);
                break;
            }
        }
        message_free(&asked.message);
        return true;
    }
    return false;
}

static void
sweep(void)
{
    while (forwarder_core_due(world.core) <= world.now) {
        millis_t due = forwarder_core_due(world.core);
        forwarder_core_sweep(world.core, world.now);
        if (forwarder_core_due(world.core) == due)
            break;
    }
}

//  Let everything happen that can without time passing.
static void
pump(void)
{
    size_t moved;
    do {
        moved = 0;
        for (int i = 0; i < FAKES; i++)
            moved += give_receipts(i);
        while (answer_one())
            moved++;
        sweep();
    } while (moved);
}

static void
keep_worker(int number)
{
    fake_t *fake = &world.fakes[number];
    if (!fake->session || fake->silent)
        return;
    Rill__V1__Space space = RILL__V1__SPACE__INIT;
    space.full = fake->full;
    space.free_bytes = fake->free_bytes;
    space.bytes = fake->count;
    Rill__V1__WorkerKeep body = RILL__V1__WORKER_KEEP__INIT;
    body.session = fake->session;
    body.space = &space;
    for (size_t p = 0; fake->mute && p < fake->count; p++)
        body.waiting += !fake->parts[p].receipted;
    SAY(number, WORKER_KEEP, worker_keep, &body);
}

//  Time goes on in small steps; who lives says so.
static void
pass(millis_t span)
{
    for (millis_t until = world.now + span; world.now < until;) {
        world.now += 50;
        if (world.now % 500 == 0)
            for (int i = 0; i < FAKES; i++)
                keep_worker(i);
        sweep();
    }
}

//  The same, and everything that can happen does.
static void
live(millis_t span)
{
    for (millis_t until = world.now + span; world.now < until;) {
        pass(50);
        pump();
    }
}

//  A worker dies: its connection breaks, and what had no receipt is lost.
static void
kill_worker(int number)
{
    fake_t *fake = &world.fakes[number];
    for (size_t i = 0; i < fake->count; i++)
        if (!fake->parts[i].receipted)
            fake->parts[i].lost = true;
    if (fake->session)
        forwarder_core_on_disconnect(world.core, fake->session, world.now);
    CHECK(!fake->session);
}

/*---------------------------------------------------------------- sources */

typedef struct {
    const char *name;
    uint64_t token;
    bool live;
    bool strict;
    int64_t size;  //  Below 0: not known
    uint32_t k, m;
    uint32_t buffer_ms;
    uint32_t retention;
    uint32_t chunk;
} plan_t;

typedef struct {
    plan_t plan;
    int peer;
    uint64_t stream;
    uint64_t session;
    uint64_t begin;
    uint64_t next;
    uint64_t credit;
} source_t;

//  Opens; STATUS_OK or why not.
static status_t
open_source(source_t *source, int peer, plan_t plan)
{
    Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
    code.k = plan.k;
    code.m = plan.m;
    Rill__V1__Open body = RILL__V1__OPEN__INIT;
    body.name = message_lend(plan.name);
    body.kind = plan.live ? RILL__V1__KIND__KIND_LIVE
                          : RILL__V1__KIND__KIND_RECORDED;
    body.token = plan.token;
    body.strict = plan.strict;
    body.buffer_ms = plan.buffer_ms;
    body.chunk_bytes = plan.chunk;
    body.retention = plan.retention;
    if (plan.k || plan.m)
        body.protection = &code;
    if (plan.size >= 0) {
        body.known_case = RILL__V1__OPEN__KNOWN_SIZE;
        body.size = (uint64_t)plan.size;
    }
    SAY(peer, OPEN, open, &body);
    said_t *said = answer_to(world.request);
    if (!said)
        return STATUS_UNREACHABLE;  //  It is over
    if (said->message->body_case == RILL__V1__MESSAGE__BODY_REFUSED)
        return (status_t)said->message->refused->status;
    const Rill__V1__Opened *opened = said->message->opened;
    *source = (source_t){ .plan = plan,
                          .peer = peer,
                          .stream = opened->stream,
                          .session = opened->session,
                          .begin = opened->begin,
                          .next = opened->offset,
                          .credit = opened->credit };
    return STATUS_OK;
}

static const plan_t FILE_PLAN = { .name = "film", .token = 7, .size = -1 };
static const plan_t LIVE_PLAN = {
    .name = "cam", .token = 7, .size = -1, .live = true
};

static plan_t
file_of(int64_t size)
{
    plan_t plan = FILE_PLAN;
    plan.size = size;
    return plan;
}

static source_t
opened(plan_t plan)
{
    source_t source;
    CHECK(open_source(&source, SOURCE, plan) == STATUS_OK);
    return source;
}

static status_t
give_at(const source_t *source, uint64_t offset, size_t size)
{
    buffer_t *bytes = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer_fill(bytes)[i] = byte_at(offset + i);
    Rill__V1__Piece body = RILL__V1__PIECE__INIT;
    body.session = source->session;
    body.offset = offset;
    message_t message = MESSAGE(PIECE, piece, &body, ++world.request, 0);
    say(source->peer, &message, bytes);
    buffer_unref(&bytes);
    return refusal();
}

static void
give(source_t *source, size_t size)
{
    while (size) {
        size_t some = size < 700 ? size : 700;
        CHECK(give_at(source, source->next, some) == STATUS_OK);
        source->next += some;
        size -= some;
    }
}

static status_t
finish(source_t *source)
{
    Rill__V1__Finish body = RILL__V1__FINISH__INIT;
    body.session = source->session;
    body.offset = source->next;
    SAY(source->peer, FINISH, finish, &body);
    return refusal();
}

static void
keep_source(source_t *source)
{
    Rill__V1__SourceKeep body = RILL__V1__SOURCE_KEEP__INIT;
    body.session = source->session;
    SAY(source->peer, SOURCE_KEEP, source_keep, &body);
}

static void
leave(source_t *source)
{
    Rill__V1__SourceLeave body = RILL__V1__SOURCE_LEAVE__INIT;
    body.session = source->session;
    SAY(source->peer, SOURCE_LEAVE, source_leave, &body);
}

//  How far it is, asked anew.
static const Rill__V1__Progress *
progress(source_t *source)
{
    keep_source(source);
    message_t *message = SAID_TO(source->peer, PROGRESS);
    CHECK(message && message->progress->session == source->session);
    return message->progress;
}

//  A whole file goes in and is sealed.
static source_t
put(plan_t plan, size_t size)
{
    source_t source = opened(plan);
    give(&source, size);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    CHECK(progress(&source)->settled == source.next);
    return source;
}

/*---------------------------------------------------------------- readers */

static uint64_t
send_ask(uint64_t stream, uint64_t offset, bool wait)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = stream;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = offset;
    body.wait = wait;
    SAY(READER, ASK, ask, &body);
    return world.request;
}

static uint64_t
send_locate(int peer, uint64_t stream, micros_t time_us)
{
    Rill__V1__Locate body = RILL__V1__LOCATE__INIT;
    body.stream = stream;
    body.at_case = RILL__V1__LOCATE__AT_TIME_US;
    body.time_us = time_us;
    SAY(peer, LOCATE, locate, &body);
    return world.request;
}

//  The answer covers the offset with the right bytes.
static const Rill__V1__Answer *
right_answer(uint64_t request, uint64_t offset)
{
    said_t *said = answer_to(request);
    CHECK(said && said->message->body_case == RILL__V1__MESSAGE__BODY_ANSWER);
    const Rill__V1__Answer *answer = said->message->answer;
    CHECK(answer->chunk->offset <= offset);
    CHECK(answer->chunk->offset + answer->chunk->length > offset);
    CHECK(buffer_size(said->payload) == answer->chunk->length);
    for (size_t i = 0; i < answer->chunk->length; i++)
        CHECK(buffer_bytes(said->payload)[i] ==
              byte_at(answer->chunk->offset + i));
    return answer;
}

//  Ask, let everything happen, and have the answer.
static const Rill__V1__Answer *
read_at(uint64_t stream, uint64_t offset)
{
    uint64_t request = send_ask(stream, offset, false);
    pump();
    return right_answer(request, offset);
}

//  Everything from `from` to `to`, chunk by chunk.
static void
read_all(uint64_t stream, uint64_t from, uint64_t to)
{
    while (from < to) {
        const Rill__V1__Answer *answer = read_at(stream, from);
        from = answer->chunk->offset + answer->chunk->length;
        forget_said();
    }
}

static const Rill__V1__Described *
describe(const char *name)
{
    Rill__V1__Describe body = RILL__V1__DESCRIBE__INIT;
    body.which_case = RILL__V1__DESCRIBE__WHICH_NAME;
    body.name = message_lend(name);
    SAY(READER, DESCRIBE, describe, &body);
    said_t *said = answer_to(world.request);
    CHECK(said);
    return said->message->body_case == RILL__V1__MESSAGE__BODY_DESCRIBED
               ? said->message->described
               : NULL;
}

static const Rill__V1__Report *
report(void)
{
    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    SAY(READER, STATUS_ASK, status_ask, &body);
    said_t *said = answer_to(world.request);
    CHECK(said && said->message->body_case == RILL__V1__MESSAGE__BODY_REPORT);
    return said->message->report;
}

static uint64_t
counter(counter_t which)
{
    const Rill__V1__Report *told = report();
    return counters_find(told->counters, told->n_counters,
                         counters_series(which)->name);
}

static status_t
fault(void)
{
    const char *text;
    return forwarder_core_fault(world.core, &text);
}

/*----------------------------------------------------- acknowledged is safe */

//  Receipts of the first block's slots, at most `most` of them.
static unsigned
receipt_some(unsigned most)
{
    unsigned given = 0;
    for (int i = 0; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count && given < most; p++) {
            part_t *part = &world.fakes[i].parts[p];
            if (part->receipted || part->header.key.block > 0)
                continue;
            receipt(&world.fakes[i], part);
            given++;
        }
    return given;
}

static void
stored_needs_the_quorum(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 4 * CHUNK);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(receipt_some(1) == 1);
        CHECK(progress(&source)->stored == 0);
    }
    CHECK(receipt_some(1) == 1);
    CHECK(progress(&source)->stored == 4 * CHUNK);
    CHECK(progress(&source)->settled == 0);
    CHECK(receipt_some(1) == 1);
    CHECK(progress(&source)->settled == 4 * CHUNK);
    end();
}

static void
stored_goes_in_order(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    for (int i = 0; i < 6; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            if (world.fakes[i].parts[p].header.key.block == 1)
                receipt(&world.fakes[i], &world.fakes[i].parts[p]);
    CHECK(progress(&source)->stored == 0);
    CHECK(receipt_some(5) == 5);
    CHECK(progress(&source)->stored == 8 * CHUNK);
    CHECK(progress(&source)->settled == 0);
    end();
}

static void
stored_needs_the_catalogue(void)
{
    //  The batch with the extent fails: nothing is said, and it is over.
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 4 * CHUNK);
    forget_said();
    kv_memory_fail_after(world.kv, 1, STATUS_IO);
    while (receipt_some(1))
        continue;
    CHECK(kv_memory_failed(world.kv) || fault() == STATUS_IO);
    CHECK(fault() == STATUS_IO);
    for (size_t i = 0; i < world.said_count; i++)
        if (world.said[i].message->body_case ==
            RILL__V1__MESSAGE__BODY_PROGRESS)
            CHECK(world.said[i].message->progress->stored == 0);
    end();
}

static void
every_failed_write_is_safe(void)
{
    //  Whichever catalogue write fails, what was said stored is there after a
    //  restart.
    for (uint64_t nth = 1;; nth++) {
        begin_with(6);
        kv_memory_fail_after(world.kv, nth, STATUS_IO);
        source_t source;
        uint64_t stored = 0;
        if (open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK) {
            give(&source, 9 * CHUNK);
            (void)finish(&source);
            pump();
            message_t *said = SAID_TO(SOURCE, PROGRESS);
            stored = said ? said->progress->stored : 0;
        }
        bool failed = kv_memory_failed(world.kv);
        CHECK(failed == (fault() != STATUS_OK));
        restart();
        join_all(6);
        live(3000);
        const Rill__V1__Described *told = describe("film");
        if (stored) {
            CHECK(told && told->stored >= stored);
            read_all(told->stream, 0, stored);
        }
        end();
        if (!failed)
            return;
        CHECK(nth < 50);
    }
}

/*------------------------------------------------------------------ the end */

static void
the_end_is_on_the_last_data_slot(void)
{
    static const size_t SIZES[] = { 0,         1,         187,       CHUNK - 1,
                                    CHUNK,     CHUNK + 1, 2 * CHUNK, 3999,
                                    4 * CHUNK, 4001,      9 * CHUNK, 24001 };
    for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++)
        for (int known = 0; known < 2; known++) {
            begin_with(6);
            plan_t plan = known ? file_of((int64_t)SIZES[s]) : FILE_PLAN;
            source_t source = put(plan, SIZES[s]);
            size_t ends = 0;
            uint64_t last = 0;
            for (int i = 0; i < 6; i++)
                for (size_t p = 0; p < world.fakes[i].count; p++) {
                    chunk_header_t *header = &world.fakes[i].parts[p].header;
                    if (chunk_is_parity(header))
                        continue;
                    if (header->flags & CHUNK_END) {
                        ends++;
                        CHECK(header->key.slot + 1u == header->code.k);
                        CHECK(header->offset + header->length == SIZES[s]);
                        last = header->key.block;
                    }
                }
            CHECK(ends == 1);
            for (int i = 0; i < 6; i++)
                for (size_t p = 0; p < world.fakes[i].count; p++)
                    CHECK(world.fakes[i].parts[p].header.key.block <= last);
            CHECK(describe("film")->size == SIZES[s]);
            read_all(source.stream, 0, SIZES[s]);
            end();
        }
}

static void
the_end_survives_every_width(void)
{
    //  Workers leave just before the Finish: the last blocks are dealt anew in
    //  whatever code is left; or all is settled, and only the END is.
    for (int left = 2; left < 6; left++)
        for (size_t size = 0; size <= 8 * CHUNK; size += CHUNK / 2)
            for (int settled = 0; settled < 2; settled++) {
                begin_with(6);
                source_t source = opened(FILE_PLAN);
                give(&source, size);
                if (settled)
                    pump();
                for (int i = 5; i >= left; i--)
                    kill_worker(i);
                CHECK(finish(&source) == STATUS_OK);
                pump();
                CHECK(progress(&source)->sealed);
                CHECK(describe("film")->size == size);
                for (int i = left; i < 6; i++)
                    join(i);
                read_all(source.stream, 0, size);
                end();
            }
}

static void
an_end_waits_for_workers(void)
{
    //  No worker is left for the END block; one code after the other returns.
    for (int back = 1; back < 5; back++)
        for (size_t size = 0; size <= 4 * CHUNK; size += CHUNK) {
            begin_with(6);
            source_t source = opened(FILE_PLAN);
            give(&source, size);
            pump();
            for (int i = 5; i >= 1; i--)
                kill_worker(i);
            CHECK(finish(&source) == STATUS_OK);
            pump();
            CHECK(!progress(&source)->sealed);
            CHECK(progress(&source)->held == RILL__V1__STATUS__STATUS_HELD);
            for (int i = 1; i <= back; i++)
                join(i);
            pump();
            CHECK(progress(&source)->sealed);
            CHECK(progress(&source)->held == 0);
            for (int i = back + 1; i < 6; i++)
                join(i);
            read_all(source.stream, 0, size);
            end();
        }
}

/*--------------------------------------------------------------- departures */

static void
a_departure_deals_the_same_bytes_again(void)
{
    //  push() checks that no key comes twice and that bytes stay themselves.
    for (int gone = 0; gone < 6; gone++) {
        begin_with(6);
        source_t source = opened(FILE_PLAN);
        give(&source, 9 * CHUNK + 300);
        receipt_some(5);
        CHECK(progress(&source)->stored == 4 * CHUNK);
        kill_worker(gone);
        CHECK(counter(COUNTER_blocks_redealt_total) > 0);
        CHECK(progress(&source)->stored == 4 * CHUNK);
        give(&source, 3 * CHUNK);
        CHECK(finish(&source) == STATUS_OK);
        pump();
        CHECK(progress(&source)->sealed);
        CHECK(progress(&source)->protection->k == 3);
        read_all(source.stream, 0, source.next);
        end();
    }
}

static void
what_is_told_of_protection_all_of_it_has(void)
{
    begin_with(3);
    source_t source = opened(FILE_PLAN);
    give(&source, 4 * CHUNK);
    pump();
    CHECK(progress(&source)->protection->m == 1);
    for (int i = 3; i < 6; i++)
        join(i);
    give(&source, 8 * CHUNK);
    pump();
    CHECK(progress(&source)->protection->m == 2);
    CHECK(describe("film")->protection->m == 1);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    CHECK(progress(&source)->protection->m == 1);
    CHECK(describe("film")->protection->m == 1);
    end();
}

static void
the_watermark_never_goes_back(void)
{
    begin_with(7);
    source_t source = opened(FILE_PLAN);
    uint64_t stored = 0, settled = 0;
    for (int i = 0; i < 40; i++) {
        give(&source, CHUNK + 17);
        world.fakes[i % 7].mute = i % 3 == 0;
        pump();
        if (i % 9 == 4)
            kill_worker(i % 7);
        if (i % 9 == 8)
            join((i - 4) % 7);
        const Rill__V1__Progress *now = progress(&source);
        CHECK(now->stored >= stored && now->settled >= settled);
        CHECK(now->stored >= now->settled && now->received >= now->stored);
        stored = now->stored;
        settled = now->settled;
        forget_said();
    }
    for (int i = 0; i < 7; i++)
        world.fakes[i].mute = false;
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    read_all(source.stream, 0, source.next);
    end();
}

static void
stored_survives_any_store_at_any_moment(void)
{
    //  Receipts come one by one; after each a store goes for good, and what
    //  was said stored by then can be read.
    for (unsigned receipts = 0; receipts <= 18; receipts++) {
        begin_with(6);
        source_t source = opened(FILE_PLAN);
        give(&source, 12 * CHUNK);
        unsigned given = 0;
        for (size_t p = 0; given < receipts; p++)
            for (int i = 0; i < 6 && given < receipts; i++)
                if (p < world.fakes[i].count) {
                    receipt(&world.fakes[i], &world.fakes[i].parts[p]);
                    given++;
                }
        uint64_t stored = progress(&source)->stored;
        //  The forwarder dies with it: only disks are left.
        for (int i = 0; i < 6; i++)
            for (size_t p = 0; p < world.fakes[i].count; p++)
                world.fakes[i].parts[p].lost =
                    !world.fakes[i].parts[p].receipted;
        restart();
        for (int i = 0; i < 6; i++)
            if (i != (int)receipts % 6)
                join(i);
        live(3000);
        const Rill__V1__Described *told = describe("film");
        CHECK(told && told->stored >= stored);
        read_all(told->stream, 0, stored);
        end();
    }
}

static void
the_chain_switches_when_all_is_safe_anew(void)
{
    //  Three blocks are acknowledged, a store goes, they are dealt again; when
    //  some of the new blocks are stored and others are not, all dies. What
    //  was acknowledged is read from the old blocks or from the new ones.
    for (unsigned anew = 0; anew <= 24; anew++) {
        begin_with(7);
        source_t source = opened(FILE_PLAN);
        give(&source, 12 * CHUNK);
        for (uint64_t block = 0; block < 3; block++) {
            unsigned given = 0;
            for (int i = 6; i >= 0; i--)
                for (size_t p = 0; p < world.fakes[i].count; p++) {
                    part_t *part = &world.fakes[i].parts[p];
                    if (part->header.key.block == block && given++ < 5)
                        receipt(&world.fakes[i], part);
                }
        }
        CHECK(progress(&source)->stored == 12 * CHUNK);
        CHECK(progress(&source)->settled == 0);
        kill_worker(6);
        unsigned given = 0;
        for (uint64_t block = 0; block < 4 && given < anew; block++)
            for (int i = 0; i < 6; i++)
                for (size_t p = 0; p < world.fakes[i].count; p++) {
                    part_t *part = &world.fakes[i].parts[p];
                    if (!part->receipted && part->header.key.block == block &&
                        (part->header.key.epoch & UINT32_MAX) > 1 &&
                        given++ < anew)
                        receipt(&world.fakes[i], part);
                }
        CHECK(progress(&source)->stored == 12 * CHUNK);
        power_cut();
        for (int i = 0; i < 6; i++)
            join(i);
        live(2500);
        const Rill__V1__Described *told = describe("film");
        CHECK(told && told->stored == 12 * CHUNK);
        read_all(told->stream, 0, 12 * CHUNK);
        end();
    }
}

static void
two_departures_before_the_first_is_mended(void)
{
    begin_with(7);
    source_t source = opened(FILE_PLAN);
    give(&source, 12 * CHUNK);
    receipt_some(5);
    CHECK(progress(&source)->stored == 4 * CHUNK);
    kill_worker(0);
    kill_worker(1);
    CHECK(progress(&source)->stored == 4 * CHUNK);
    pump();
    CHECK(progress(&source)->settled == 12 * CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    read_all(source.stream, 0, source.next);
    end();
}

static void
a_hanging_worker_is_left_behind(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    world.fakes[2].mute = true;
    give(&source, 16 * CHUNK);
    live(3000);
    CHECK(!world.fakes[2].session);
    CHECK(progress(&source)->settled == 16 * CHUNK);
    end();
}

static void
nobody_leaves_while_all_disks_stand_still(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    receipt_some(7);
    for (int i = 0; i < 6; i++)
        world.fakes[i].mute = true;
    live(9000);
    CHECK(counter(COUNTER_workers_departed_total) == 0);
    for (int i = 0; i < 6; i++)
        world.fakes[i].mute = false;
    give(&source, 8 * CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    CHECK(counter(COUNTER_workers_departed_total) +
              counter(COUNTER_blocks_redealt_total) ==
          0);
    CHECK(progress(&source)->protection->k == 4);
    end();
}

static void
the_code_grows_with_the_next_block(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    for (int i = 2; i < 6; i++)
        kill_worker(i);
    give(&source, CHUNK);
    CHECK(progress(&source)->protection->k == 1);
    for (int i = 2; i < 6; i++) {
        join(i);
        give(&source, 4 * CHUNK);
        pump();
        CHECK(progress(&source)->protection->k ==
              (unsigned)(i < 4 ? 2 : i - 1));
        CHECK(progress(&source)->protection->m == (i < 3 ? 1 : 2));
    }
    CHECK(finish(&source) == STATUS_OK);
    pump();
    read_all(source.stream, 0, source.next);
    end();
}

static void
what_waited_for_all_is_dealt_to_all(void)
{
    //  All return together, one after the other tells what it holds; of the last
    //  ones nothing is heard: they are not waited for for long.
    for (int told = 2; told <= 6; told++) {
        begin_with(6);
        source_t source = opened(FILE_PLAN);
        for (int i = 0; i < 6; i++)
            kill_worker(i);
        give(&source, 12 * CHUNK);
        CHECK(progress(&source)->held == RILL__V1__STATUS__STATUS_HELD);
        for (int i = 0; i < 6; i++)
            greet(i);
        for (int i = 0; i < told; i++) {
            CHECK(progress(&source)->held == RILL__V1__STATUS__STATUS_HELD);
            tell_held(i);
        }
        if (told < 6) {
            CHECK(progress(&source)->held == RILL__V1__STATUS__STATUS_HELD);
            live(1100);
        }
        CHECK(progress(&source)->held == 0);
        unsigned parity = told < 4 ? 1 : 2;
        CHECK(progress(&source)->protection->m == parity);
        CHECK(progress(&source)->protection->k == (unsigned)told - parity);
        for (int i = told; i < 6; i++)
            tell_held(i);
        CHECK(finish(&source) == STATUS_OK);
        pump();
        read_all(source.stream, 0, source.next);
        end();
    }
}

static void
a_full_socket_waits_in_the_outbox(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    world.fakes[3].stuck = true;
    give(&source, 8 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 8 * CHUNK);
    CHECK(progress(&source)->settled == 0);
    CHECK(world.fakes[3].pushes == 0);
    CHECK(forwarder_core_due(world.core) <= world.now + 5);
    world.fakes[3].stuck = false;
    live(100);
    CHECK(progress(&source)->settled == 8 * CHUNK);
    end();
}

static void
what_waits_of_one_stream_keeps_no_other_out(void)
{
    //  A disk is slow: a few of the chunks that were dealt to it get through.
    begin_with(2);
    world.fakes[1].stuck = true;
    source_t film = opened(FILE_PLAN);
    give(&film, 400 * CHUNK);
    pump();
    plan_t plan = FILE_PLAN;
    plan.name = "news";
    source_t news;
    CHECK(open_source(&news, SOURCE + 1, plan) == STATUS_OK);
    give(&news, 5 * CHUNK);
    pump();
    CHECK(progress(&news)->stored == 0);
    for (int i = 0; i < 5; i++) {
        world.fakes[1].room = 2;
        live(5);
    }
    CHECK(progress(&news)->stored >= 4 * CHUNK);
    CHECK(progress(&film)->stored >= 4 * CHUNK);
    world.fakes[1].stuck = false;
    live(100);
    CHECK(progress(&film)->settled == 400 * CHUNK);
    CHECK(progress(&news)->settled == 5 * CHUNK);
    end();
}

//  A worker cannot keep the first chunk that it was given.
static void
say_full(fake_t *fake)
{
    Rill__V1__ChunkKey key = message_from_key(fake->parts[0].header.key);
    Rill__V1__ChunkKey *keys = &key;
    Rill__V1__Receipt body = RILL__V1__RECEIPT__INIT;
    body.term = fake->term;
    body.session = fake->session;
    body.store = fake->store;
    body.n_failed = 1;
    body.failed = &keys;
    body.status = RILL__V1__STATUS__STATUS_FULL;
    message_t message = MESSAGE(RECEIPT, receipt, &body, 0, 0);
    fake->parts[0].lost = fake->full = true;
    forwarder_core_on_receipt(world.core, &message, world.now);
}

static void
what_waits_for_space_is_dealt_when_there_is_some(void)
{
    begin_with(2);
    source_t source = opened(FILE_PLAN);
    give(&source, CHUNK);
    pump();
    forget_lost(&world.fakes[0]);
    give(&source, CHUNK);
    say_full(&world.fakes[1]);
    give(&source, CHUNK);
    world.fakes[1].full = false;
    keep_worker(1);
    live(200);
    CHECK(finish(&source) == STATUS_OK);
    live(200);
    CHECK(progress(&source)->sealed);
    end();
}

static void
a_full_worker_gets_nothing_more(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 2 * CHUNK);
    fake_t *fake = &world.fakes[0];
    size_t n = 0;
    while (world.fakes[n].count == 0)
        n++;
    fake = &world.fakes[n];
    size_t pushes = fake->pushes;
    say_full(fake);
    CHECK(fake->session);  //  It serves on
    give(&source, 10 * CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(fake->pushes == pushes);
    CHECK(progress(&source)->sealed);
    read_all(source.stream, 0, source.next);
    end();
}

/*------------------------------------------------------------------ reading */

static void
a_chunk_is_read_from_memory_then_from_workers(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 4 * CHUNK);
    receipt_some(5);
    const Rill__V1__Answer *answer = read_at(source.stream, 1500);
    CHECK(answer->route == RILL__V1__ROUTE__ROUTE_LOCAL);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    answer = read_at(source.stream, 1500);
    CHECK(answer->route == RILL__V1__ROUTE__ROUTE_STORE);
    CHECK(answer->sealed && answer->watermark == 4 * CHUNK);
    CHECK(counter(COUNTER_reads_total_memory) == 1);
    CHECK(counter(COUNTER_reads_total_store) == 1);
    end();
}

static void
any_two_workers_may_be_gone(void)
{
    begin_with(6);
    source_t source = put(file_of(13 * CHUNK + 5), 13 * CHUNK + 5);
    for (int a = 0; a < 6; a++)
        for (int b = a + 1; b < 6; b++) {
            kill_worker(a);
            kill_worker(b);
            read_all(source.stream, 0, source.next);
            join(a);
            join(b);
        }
    CHECK(counter(COUNTER_reads_total_decoded) > 0);
    CHECK(counter(COUNTER_reads_failed_total_corrupt) == 0);
    end();
}

static void
a_flipped_bit_is_found(void)
{
    uint64_t corrupt = 0;
    for (int lost = 0; lost < 6; lost++) {
        begin_with(6);
        source_t source = put(FILE_PLAN, 8 * CHUNK);
        fake_t *fake = &world.fakes[lost];
        for (size_t p = 0; p < fake->count; p++)
            fake->parts[p].flipped = true;
        read_all(source.stream, 0, source.next);
        corrupt += counter(COUNTER_reads_failed_total_corrupt);
        end();
    }
    CHECK(corrupt > 0);
}

static void
too_many_flipped_bits_are_said(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 4 * CHUNK);
    for (int i = 0; i < 3; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            world.fakes[i].parts[p].flipped = true;
    size_t corrupt = 0;
    for (uint64_t offset = 0; offset < 4 * CHUNK; offset += CHUNK) {
        uint64_t request = send_ask(source.stream, offset, false);
        pump();
        said_t *said = answer_to(request);
        CHECK(said);
        if (said->message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
            CHECK((status_t)said->message->refused->status == STATUS_CORRUPT);
            corrupt++;
        } else
            right_answer(request, offset);
    }
    CHECK(corrupt > 0);
    end();
}

static void
a_worker_that_does_not_answer_is_passed_by(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 8 * CHUNK);
    for (int i = 0; i < 2; i++)
        world.fakes[i].deaf = true;
    uint64_t requests[8];
    for (uint64_t i = 0; i < 8; i++)
        requests[i] = send_ask(source.stream, i * CHUNK, false);
    live(1200);
    for (uint64_t i = 0; i < 8; i++)
        right_answer(requests[i], i * CHUNK);
    CHECK(counter(COUNTER_reads_failed_total_late) > 0);
    //  What it says at last is nobody's any more.
    world.fakes[0].deaf = world.fakes[1].deaf = false;
    pump();
    read_all(source.stream, 0, source.next);
    end();
}

//  Ask for every chunk, one after the other, of workers that take so long.
static void
read_slowly(const source_t *source, millis_t takes)
{
    for (uint64_t offset = 0; offset < source->next; offset += CHUNK) {
        for (int i = 0; i < FAKES; i++)
            world.fakes[i].deaf = true;
        uint64_t request = send_ask(source->stream, offset, false);
        live(takes);
        for (int i = 0; i < FAKES; i++)
            world.fakes[i].deaf = false;
        pump();
        right_answer(request, offset);
    }
}

static void
slow_disks_are_not_asked_for_more(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 48 * CHUNK);
    read_slowly(&source, 600);
    //  Until it is known how slow they are.
    uint64_t late = counter(COUNTER_reads_failed_total_late),
             fetches = world.fetches;
    CHECK(late > 0);
    read_slowly(&source, 600);
    CHECK(counter(COUNTER_reads_failed_total_late) == late);
    CHECK(world.fetches <= fetches + 48);
    //  One that is much slower than they still makes nobody wait for it.
    world.fakes[1].deaf = true;
    for (uint64_t offset = 0; offset < source.next; offset += CHUNK) {
        uint64_t request = send_ask(source.stream, offset, false);
        live(2500);
        right_answer(request, offset);
    }
    end();
}

static void
a_late_part_is_welcome(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 4 * CHUNK);
    for (int i = 0; i < 6; i++)
        world.fakes[i].deaf = true;
    uint64_t request = send_ask(source.stream, 0, false);
    live(900);
    CHECK(counter(COUNTER_reads_failed_total_late) > 0 && !answer_to(request));
    asked_t first = world.asks[0];
    fake_of(first.session)->deaf = false;
    pump();
    right_answer(request, 0);
    CHECK(counter(COUNTER_reads_total_decoded) == 0);
    end();
}

static void
a_worker_has_few_reads_at_once(void)
{
    begin_with(2);
    source_t source = put(FILE_PLAN, 60 * CHUNK);
    uint64_t requests[60];
    kill_worker(1);
    world.fakes[0].deaf = true;
    for (uint64_t i = 0; i < 60; i++)
        requests[i] = send_ask(source.stream, i * CHUNK, false);
    CHECK(world.asks_count == 32);
    world.fakes[0].deaf = false;
    pump();
    for (uint64_t i = 0; i < 60; i++)
        right_answer(requests[i], i * CHUNK);
    end();
}

static void
all_slow_is_nobodys_fault(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 4 * CHUNK);
    for (int i = 0; i < 6; i++)
        world.fakes[i].deaf = true;
    (void)send_ask(source.stream, 0, false);
    live(1600);
    for (int i = 0; i < 6; i++)
        world.fakes[i].deaf = false;
    read_at(source.stream, 2 * CHUNK);
    end();
}

static void
a_job_answered_by_another_is_not_fooled(void)
{
    //  A worker refuses what another was asked.
    begin_with(6);
    source_t source = put(FILE_PLAN, 4 * CHUNK);
    uint64_t request = send_ask(source.stream, 0, false);
    CHECK(world.asks_count == 1);
    for (int i = 0; i < 6; i++) {
        if (world.fakes[i].session == world.asks[0].session)
            continue;
        Rill__V1__Refused refused = message_refusal(STATUS_MISS, NULL, 0);
        message_t answer = MESSAGE(REFUSED, refused, &refused,
                                   world.asks[0].message->request, 0);
        forwarder_core_on_worker(world.core, world.fakes[i].session, &answer,
                                 NULL, world.now);
    }
    CHECK(world.asks_count == 1);
    pump();
    CHECK(right_answer(request, 0)->route == RILL__V1__ROUTE__ROUTE_STORE);
    end();
}

static void
many_empty_chunks_do_not_fill_memory(void)
{
    //  Each block of a live source that leaves has three of them.
    begin_with(6);
    source_t source;
    for (uint64_t i = 0; i < 20; i++) {
        plan_t plan = LIVE_PLAN;
        CHECK(open_source(&source, SOURCE, plan) == STATUS_OK);
        give(&source, 1);
        leave(&source);
        pump();
        forget_said();
    }
    read_all(source.stream, 0, 20);
    end();
}

static void
short_chunks_are_found_anywhere(void)
{
    //  Lengths that no rule foretells; asked for from behind, so that nothing
    //  read before helps; with and without two workers.
    for (int gone = 0; gone < 2; gone++) {
        begin_with(6);
        source_t source;
        for (uint64_t i = 0; i < 60; i++) {
            CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
            give(&source, 1 + (i * 37) % 400);
            if (i % 3) {
                leave(&source);
                pump();
            }
            forget_said();
        }
        leave(&source);
        pump();
        uint64_t size = describe("cam")->settled;
        CHECK(size == source.next);
        for (int i = 0; i < 2 * gone; i++)
            kill_worker(i);
        for (uint64_t at = size; at-- > 0; at -= at < 97 ? at : 97)
            read_at(source.stream, at);
        end();
    }
}

static void
an_ask_waits_for_its_byte(void)
{
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    uint64_t request = send_ask(source.stream, 0, false);
    CHECK(refusal() == STATUS_FUTURE);
    request = send_ask(source.stream, 100, true);
    CHECK(!answer_to(request));
    give(&source, 188);
    live(2000);
    right_answer(request, 100);
    //  One that waits too long hears LATE; the next is answered all the same.
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = source.stream;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = 200;
    body.wait = true;
    body.budget_ms = 300;
    SAY(READER, ASK, ask, &body);
    uint64_t late = world.request;
    live(500);
    CHECK((status_t)answer_to(late)->message->refused->status == STATUS_LATE);
    request = send_ask(source.stream, 200, true);
    give(&source, 188);
    live(2000);
    right_answer(request, 200);
    //  The stream goes: whoever waits hears it.
    request = send_ask(source.stream, 5000, true);
    leave(&source);
    pump();
    Rill__V1__Remove gone = RILL__V1__REMOVE__INIT;
    gone.name = message_lend("cam");
    SAY(READER, REMOVE, remove, &gone);
    CHECK((status_t)answer_to(request)->message->refused->status ==
          STATUS_GONE);
    end();
}

static void
a_budget_has_a_bound(void)
{
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = source.stream;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = 200;
    body.wait = true;
    body.budget_ms = UINT32_MAX;
    SAY(READER, ASK, ask, &body);
    uint64_t request = world.request;
    for (int i = 0; i < 61; i++) {
        keep_source(&source);
        live(1000);
        CHECK(i > 58 || !answer_to(request));
        if (world.said_count > SAID / 2 && !answer_to(request))
            forget_said();
    }
    CHECK(answer_to(request));
    CHECK((status_t)answer_to(request)->message->refused->status ==
          STATUS_LATE);
    end();
}

static void
what_a_worker_located_is_checked(void)
{
    static const struct {
        uint64_t block;
        uint32_t slot;
        uint64_t offset;
    } LIES[] = { { 0, 4, 0 },          { 0, UINT32_MAX, 0 },
                 { UINT64_MAX, 3, 0 }, { UINT64_MAX / 4, 0, 0 },
                 { 1u << 20, 1, 0 },   { 0, 0, UINT64_MAX },
                 { 8, 4, 0 },          { 8, UINT32_MAX, 0 } };
    for (size_t l = 0; l < sizeof LIES / sizeof LIES[0]; l++) {
        begin_with(6);
        //  Chunks shorter than usual, so that the workers are asked.
        source_t source;
        for (int i = 0; i < 9; i++) {
            CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
            give(&source, 100);
            leave(&source);
            pump();
        }
        kill_worker(0);
        uint64_t request = send_ask(source.stream, 650, false);
        for (int turn = 0; turn < 40 && !answer_to(request); turn++) {
            for (size_t i = 0; i < world.asks_count; i++) {
                const message_t *question = world.asks[i].message;
                if (question->body_case != RILL__V1__MESSAGE__BODY_LOCATE)
                    continue;
                Rill__V1__Located located = RILL__V1__LOCATED__INIT;
                located.found = true;
                located.block = LIES[l].block;
                located.slot = LIES[l].slot;
                located.offset = LIES[l].offset;
                message_t answer = MESSAGE(LOCATED, located, &located,
                                           question->request, 0);
                forwarder_core_on_worker(world.core, world.asks[i].session,
                                         &answer, NULL, world.now);
            }
            if (!answer_one())
                live(50);
        }
        CHECK(answer_to(request));
        end();
    }
}

//  Where a session that asks for a time is told to begin.
static uint64_t
begin_at_time(micros_t time_us)
{
    Rill__V1__Watch body = RILL__V1__WATCH__INIT;
    body.which_case = RILL__V1__WATCH__WHICH_NAME;
    body.name = message_lend("cam");
    body.from_case = RILL__V1__WATCH__FROM_TIME_US;
    body.time_us = time_us;
    SAY(READER, WATCH, watch, &body);
    uint64_t request = world.request;
    for (int turn = 0; turn < 40 && !answer_to(request); turn++)
        if (!answer_one())
            live(50);
    const message_t *answer = answer_to(request)->message;
    CHECK(answer->body_case == RILL__V1__MESSAGE__BODY_WATCHED);
    uint64_t from = answer->watched->from;
    Rill__V1__Stop stop = RILL__V1__STOP__INIT;
    message_t message = MESSAGE(STOP, stop, &stop, request, 0);
    peer_t peer = peer_of(READER);
    forwarder_core_on_front(world.core, &peer, &message, NULL, world.now);
    return from;
}

//  Chunks cut at known times, in several extents, some of them in memory: each
//  time between two of them begins at the first, also without one of the
//  workers, also after a restart, when nothing is in memory.
static void
a_session_begins_at_its_time(void)
{
    enum { CHUNKS = 30, BYTES = 100 };
    micros_t cut[CHUNKS];
    begin_with(6);
    source_t source;
    for (int i = 0; i < CHUNKS; i++) {
        CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
        give(&source, BYTES);
        leave(&source);  //  Its chunk is cut short
        cut[i] = wall_us(NULL);
        pump();
        live(100);
        if (i == 9)
            kill_worker(5);  //  Another extent from here on
        if (i == 20) {
            restart();
            join_all(5);
            live(3000);
        }
        forget_said();
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CHUNKS; i++) {
            CHECK(begin_at_time(cut[i]) == (uint64_t)i * BYTES);
            CHECK(begin_at_time(cut[i] + 99000) == (uint64_t)i * BYTES);
            forget_said();
        }
        CHECK(begin_at_time(cut[0] - 1000) == 0);
        CHECK(begin_at_time(wall_us(NULL) + 1000000) == (CHUNKS - 1) * BYTES);
        if (round == 1) {
            restart();
            join_all(5);
            live(3000);
        }
        kill_worker(round);
    }
    end();
}

//  The chunk of a time, and the newest one.
static void
a_chunk_of_a_time_is_answered(void)
{
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 200);
    leave(&source);
    micros_t first = wall_us(NULL);
    pump();
    live(1000);
    CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
    give(&source, 200);
    leave(&source);
    pump();
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = source.stream;
    body.at_case = RILL__V1__ASK__AT_TIME_US;
    body.time_us = first + 500000;
    SAY(READER, ASK, ask, &body);
    uint64_t request = world.request;
    pump();
    CHECK(right_answer(request, 150)->chunk->created_us <= first);
    body.time_us = first - 1000000;
    SAY(READER, ASK, ask, &body);
    request = world.request;
    pump();
    CHECK((status_t)answer_to(request)->message->refused->status ==
          STATUS_GONE);
    request = send_locate(READER, source.stream, first + 999000);
    pump();
    const Rill__V1__Located *located = answer_to(request)->message->located;
    CHECK(located->found && located->offset < 200 &&
          located->created_us <= first);
    body.at_case = RILL__V1__ASK__AT_LIVE;
    body.live = true;
    SAY(READER, ASK, ask, &body);
    request = world.request;
    pump();
    right_answer(request, 399);
    end();
}

enum { LONG = 77 };

//  A sealed stream of one chunk in each of so many extents, all of the first
//  three workers, who have lost it; they run, or are away.
static void
begin_long(size_t extents, bool away)
{
    begin_with(3);
    forwarder_core_destroy(&world.core);
    char why[256];
    catalogue_t *catalogue;
    CHECK(catalogue_open(world.kv, 1, &catalogue, why, sizeof why) ==
          STATUS_OK);
    stream_record_t record = { .id = LONG,
                               .name = "long",
                               .kind = KIND_LIVE,
                               .size_known = true,
                               .size = extents,
                               .sealed = true,
                               .end_index = extents };
    for (size_t i = 0; i < extents; i++) {
        extent_t *extent = extent_new(3);
        extent->epoch = (catalogue_term(catalogue) << 32) + i;
        extent->base_index = extent->base_offset = i;
        extent->begun_us = 1000000 * (micros_t)(i + 1);
        extent->code = (code_t){ .k = 1, .m = 1 };
        for (int w = 0; w < 3; w++)
            extent->stores[w] = world.fakes[w].store;
        CHECK(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
              STATUS_OK);
        extent_free(extent);
    }
    catalogue_close(&catalogue);
    restart();
    if (!away)
        join_all(3);
    pump();
}

//  Questions to workers that are never answered.
static size_t
lose_asks(int kind)
{
    size_t kept = 0, before = world.asks_count;
    for (size_t i = 0; i < before; i++)
        if ((int)world.asks[i].message->body_case == kind)
            message_free(&world.asks[i].message);
        else
            world.asks[kept++] = world.asks[i];
    world.asks_count = kept;
    return before - kept;
}

static void
a_long_chain_of_the_away_is_no_deep_one(void)
{
    enum { EXTENTS = 10000 };
    begin_long(EXTENTS, true);
    send_locate(READER, LONG, INT64_MAX);
    const message_t *answer = answer_to(world.request)->message;
    CHECK(answer->body_case == RILL__V1__MESSAGE__BODY_LOCATED);
    CHECK(!answer->located->found);
    end();
}

//  Workers whose indexes hang: each extent takes its time.
static void
a_moment_ends_with_its_question(void)
{
    begin_long(100, false);
    uint64_t request = send_locate(READER, LONG, INT64_MAX);
    size_t asked = 0, late = 0;
    for (int turn = 0; turn < 200; turn++) {
        //  What is read is answered with a miss, and the next extent asked.
        size_t lost;
        while ((lost = lose_asks(RILL__V1__MESSAGE__BODY_LOCATE)) > 0 ||
               answer_one())
            *(turn < 120 ? &asked : &late) += lost;
        pass(50);
    }
    const message_t *answer = answer_to(request)->message;
    CHECK((status_t)answer->refused->status == STATUS_LATE);
    CHECK(asked >= 3 * 5 && late == 0);
    end();
}

//  Workers that hang altogether, and ever more questions.
static void
moments_have_a_bound(void)
{
    enum { ROUNDS = 4, PEERS = 16, MOST = 2048 };
    begin_long(3, false);
    size_t begun = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int peer = 0; peer < PEERS; peer++)
            for (int i = 0; i < LIMIT_ASKS_PER_PEER; i++) {
                size_t before = world.asks_count;
                send_locate(100 + peer, LONG, 100000000 + world.random++);
                begun += world.asks_count > before;
                CHECK((world.asks_count > before) ==
                      (refusal() != STATUS_BUSY));
                forget_asks();
                forget_said();
            }
        pass(5100);  //  The relay gives up
        forget_asks();
        forget_said();
    }
    CHECK(begun == MOST);
    //  Once the workers are given up there is room again.
    for (int i = 0; i < 3; i++)
        kill_worker(i);
    forget_said();
    send_locate(READER, LONG, 100000000);
    CHECK(answer_to(world.request)->message->body_case ==
          RILL__V1__MESSAGE__BODY_LOCATED);
    end();
}

/*----------------------------------------------------------------- recovery */

//  Every part of the block is where it was pushed, receipted or not.
static void
keep_parts(uint64_t block, unsigned count)
{
    for (int i = 0; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++) {
            part_t *part = &world.fakes[i].parts[p];
            if (part->header.key.block != block)
                continue;
            part->receipted = count > 0;
            count -= count > 0;
        }
}

static void
a_source_goes_on_in_the_next_term(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 10 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 8 * CHUNK);
    uint64_t stream = source.stream;
    power_cut();
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
    join_all(6);
    pump();
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.stream == stream && source.begin == 0);
    CHECK(source.next == 8 * CHUNK);
    give(&source, 5 * CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    CHECK(describe("film")->size == 13 * CHUNK);
    read_all(stream, 0, 13 * CHUNK);
    end();
}

static void
a_recovery_waits_for_who_must_speak(void)
{
    //  Block 1 has k of its parts on disks; two of six stores are away, so it
    //  may have been acknowledged: nobody is answered.
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    receipt_some(6);
    keep_parts(1, 3);
    power_cut();
    for (int i = 0; i < 4; i++)
        join(i);
    live(3000);
    if (open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD) {
        CHECK(describe("film") == NULL && refusal() == STATUS_HELD);
        join(4);
        join(5);
        live(3000);
        CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    }
    CHECK(source.next == 4 * CHUNK);
    read_all(source.stream, 0, 4 * CHUNK);
    end();
}

static void
a_recovery_waits_a_second_for_one_worker(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    receipt_some(6);
    keep_parts(1, 6);
    power_cut();
    for (int i = 0; i < 5; i++)
        join(i);
    live(900);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
    live(150);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.next == 8 * CHUNK);
    read_all(source.stream, 0, 8 * CHUNK);
    end();
}

//  The catalogue is lost, and the forwarder is to make it again.
static void
begin_rebuild(int workers)
{
    static const char *names[FAKES];
    for (int i = 0; i < workers; i++)
        names[i] = world.fakes[i].name;
    world.settings.workers = names;
    world.settings.workers_count = (size_t)workers;
    world.settings.rebuild = true;
    forwarder_core_destroy(&world.core);
    kv_close(&world.kv);
    world.kv = kv_memory_new();
    restart();
}

//  It is made, from what all workers hold, and the forwarder starts with it.
static void
end_rebuild(void)
{
    live(1000);
    CHECK(forwarder_core_rebuilt(world.core));
    world.settings.rebuild = false;
    world.settings.workers_count = 0;
    restart();
}

static void
what_a_rebuild_found_needs_no_quorum(void)
{
    //  An attempt of which one store never had anything was all that reached so
    //  far, and stands for what was acknowledged elsewhere.
    begin_with(3);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    begin_rebuild(3);
    join_all(3);
    end_rebuild();
    for (size_t i = 0; i < world.fakes[2].count; i++)
        world.fakes[2].parts[i].lost = true;
    join(0);
    join(2);
    live(3000);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
    join(1);
    live(3000);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.next == 8 * CHUNK);
    read_all(source.stream, 0, 8 * CHUNK);
    end();
}

static void
what_a_rebuild_did_not_find_is_not_waited_for(void)
{
    //  Nothing was dealt since, and a store is lost: it had nothing else.
    begin_with(2);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    begin_rebuild(2);
    join_all(2);
    end_rebuild();
    join(0);
    join(2);
    live(3000);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.next == 8 * CHUNK);
    read_all(source.stream, 0, 8 * CHUNK);
    end();
}

//  The worker stops, and its disk is as it was in `term`, empty.
static void
copy_back(int number, uint64_t term)
{
    fake_t *fake = &world.fakes[number];
    kill_worker(number);
    for (size_t i = 0; i < fake->count; i++)
        fake->parts[i].lost = true;
    fake->term = term;
}

static void
an_older_copy_denies_nothing(void)
{
    //  All three parts of each block were receipted. One of the stores is back
    //  as it was before them, another is late: the stream does not end there,
    //  nor when the copy was granted the terms since, and the forwarder was
    //  killed again.
    begin_with(3);
    power_cut();
    join_all(3);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 8 * CHUNK);
    copy_back(0, 1);
    for (int start = 0; start < 3; start++) {
        power_cut();
        join(0);
        join(1);
        live(3000);
        CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
    }
    join(2);
    live(3000);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.next == 8 * CHUNK);
    read_all(source.stream, 0, 8 * CHUNK);
    end();
}

static void
an_older_copy_of_this_term_denies_nothing(void)
{
    //  The forwarder saw the process that was granted its term.
    begin_with(3);
    power_cut();
    join_all(3);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 8 * CHUNK);
    copy_back(0, 1);
    join(0);
    power_cut();
    join(0);
    join(1);
    live(3000);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
    join(2);
    live(3000);
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.next == 8 * CHUNK);
    end();
}

static void
an_older_copy_is_known_before_it_is_welcomed(void)
{
    //  The Welcome grants it the terms since, and what it answers is lost: it
    //  says Hello again with those, to this forwarder or to the next.
    for (int killed = 0; killed < 2; killed++) {
        begin_with(3);
        power_cut();
        join_all(3);
        source_t source = opened(FILE_PLAN);
        give(&source, 8 * CHUNK);
        pump();
        CHECK(progress(&source)->stored == 8 * CHUNK);
        copy_back(0, 1);
        power_cut();
        hello(0);
        CHECK(SAID_TO(0, WELCOME));
        world.fakes[0].term = SAID_TO(0, WELCOME)->welcome->term;
        if (killed)
            power_cut();
        join(0);
        join(1);
        live(3000);
        CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
        join(2);
        live(3000);
        CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
        CHECK(source.next == 8 * CHUNK);
        read_all(source.stream, 0, 8 * CHUNK);
        end();
    }
}

static void
an_older_copy_that_cannot_be_recorded_is_not_welcomed(void)
{
    //  It would know every term when it says Hello to the next forwarder.
    begin_with(3);
    power_cut();
    join_all(3);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 8 * CHUNK);
    copy_back(0, 1);
    power_cut();
    kv_memory_fail_after(world.kv, 1, STATUS_IO);
    hello(0);
    CHECK(!SAID_TO(0, WELCOME));
    CHECK(fault() == STATUS_IO);
    end();
}

static void
what_parts_are_left_decides(void)
{
    //  p parts of the last block are on disks, all stores speak: below k the
    //  stream ends before it, from k on it is read back and dealt again.
    for (unsigned parts = 0; parts <= 6; parts++) {
        begin_with(6);
        source_t source = opened(FILE_PLAN);
        give(&source, 8 * CHUNK);
        keep_parts(0, 6);
        keep_parts(1, parts);
        for (int i = 0; i < 6; i++)
            for (size_t p = 0; p < world.fakes[i].count; p++)
                if (world.fakes[i].parts[p].receipted)
                    receipt(&world.fakes[i], &world.fakes[i].parts[p]);
        power_cut();
        join_all(6);
        live(2000);
        uint64_t end_at = parts < 4 ? 4 * CHUNK : 8 * CHUNK;
        const Rill__V1__Described *told = describe("film");
        CHECK(told && told->stored == end_at && told->settled == end_at);
        CHECK(told->under_protected == 0);
        read_all(told->stream, 0, end_at);
        CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
        CHECK(source.next == end_at);
        give(&source, 3 * CHUNK);
        CHECK(finish(&source) == STATUS_OK);
        pump();
        CHECK(progress(&source)->sealed);
        read_all(source.stream, 0, source.next);
        end();
    }
}

/*------------------------------------------------------- losses accepted */

//  What the forwarder says of a stream that waits; NULL: refused.
static const Rill__V1__Settled *
settle(const char *name, bool accept_loss)
{
    Rill__V1__Settle body = RILL__V1__SETTLE__INIT;
    body.name = message_lend(name);
    body.accept_loss = accept_loss;
    SAY(READER, SETTLE, settle, &body);
    said_t *said = answer_to(world.request);
    CHECK(said);
    return said->message->body_case == RILL__V1__MESSAGE__BODY_SETTLED
               ? said->message->settled
               : NULL;
}

enum { LIVE_CHUNK = 4096 };  //  The least that can be asked for

//  Two blocks settled, three more stored, then only the first `left` of the
//  workers come back.
static source_t
lose_workers(plan_t plan, size_t chunk, int workers, int left)
{
    begin_with(workers);
    plan_t other = FILE_PLAN;
    other.name = "whole";
    (void)put(other, 100);
    source_t source = opened(plan);
    give(&source, 8 * chunk);
    pump();
    world.fakes[left].mute = true;
    give(&source, 12 * chunk);
    pump();
    CHECK(progress(&source)->stored == 20 * chunk);
    CHECK(progress(&source)->settled < 20 * chunk);
    power_cut();
    world.fakes[left].mute = false;
    for (int i = 0; i < left; i++)
        join(i);
    live(2000);
    return source;
}

//  Each byte of [from, to) is exact or said to be in a hole. Bytes that are
//  there, looked at `step` by step.
static size_t
count_kept(uint64_t stream, uint64_t from, uint64_t to, size_t step)
{
    size_t kept = 0;
    for (uint64_t at = from; at < to; at += step) {
        uint64_t request = send_ask(stream, at, false);
        pump();
        said_t *said = answer_to(request);
        CHECK(said);
        if (said->message->body_case == RILL__V1__MESSAGE__BODY_REFUSED)
            CHECK((status_t)said->message->refused->status == STATUS_RANGE);
        else
            kept += right_answer(request, at) != NULL;
    }
    return kept;
}

static plan_t
cam(uint64_t token)
{
    plan_t plan = LIVE_PLAN;
    plan.chunk = LIVE_CHUNK;
    plan.token = token;
    return plan;
}

static void
a_stream_says_for_whom_it_waits(void)
{
    source_t source = lose_workers(cam(7), LIVE_CHUNK, 6, 3);
    CHECK(open_source(&source, SOURCE, cam(7)) == STATUS_HELD);
    const char *text = answer_to(world.request)->message->refused->text;
    CHECK(strstr(text, "waits for w") && strstr(text, "rill settle cam"));
    for (const char *const *name = (const char *const[]){ "w3", "w4", "w5", 0 };
         *name; name++)
        CHECK(strstr(text, *name));
    CHECK(!describe("cam") && refusal() == STATUS_HELD);
    CHECK(report()->waiting == 1 && report()->n_waits_for == 3);
    const Rill__V1__Settled *told = settle("cam", false);
    //  A block behind those would have left a part here.
    CHECK(told && told->waits && !told->accepted && !told->open_end);
    CHECK(told->n_waits_for == 3 && told->lost_blocks == 3);
    CHECK(told->lost_bytes > 0 && told->lost_bytes <= 12 * LIVE_CHUNK);
    //  Asking changed nothing.
    live(2000);
    CHECK(!describe("cam"));
    for (int i = 3; i < 6; i++)
        join(i);
    live(3000);
    const Rill__V1__Described *after = describe("cam");
    CHECK(after && after->stored == 20 * LIVE_CHUNK && after->lost_us == 0);
    CHECK(report()->waiting == 0);
    read_all(after->stream, 0, 20 * LIVE_CHUNK);
    told = settle("cam", true);
    CHECK(told && !told->waits && !told->accepted && told->lost_blocks == 0);
    CHECK(!settle("film", true) && refusal() == STATUS_UNKNOWN);
    end();
}

//  With `left` of six, and a new one where the others were.
static void
accept_a_loss(int left)
{
    uint64_t reach = 1ull << 40;
    source_t source = lose_workers(cam(7), LIVE_CHUNK, 6, left);
    join(6);
    join(7);
    CHECK(settle("cam", false)->open_end == (left < 2));
    //  So soon after the start they may still come.
    CHECK(!settle("cam", true) && refusal() == STATUS_BUSY);
    live(8000);
    CHECK(settle("cam", true)->accepted);
    live(2000);
    const Rill__V1__Described *told = describe("cam");
    CHECK(told && !told->sealed && told->lost_us > 0);
    //  One store may not know where the first lost block begins.
    CHECK(told->lost_from >= (left > 1 ? 8 : 4) * LIVE_CHUNK);
    CHECK(told->lost_from < 20 * LIVE_CHUNK);
    CHECK(left > 1 || told->lost_to == UINT64_MAX);
    CHECK(told->lost_to <= told->stored || told->lost_to == UINT64_MAX);
    CHECK(told->stored >= 8 * LIVE_CHUNK && told->stored <= 20 * LIVE_CHUNK);
    bool open_end = told->lost_to == UINT64_MAX;
    uint64_t stream = told->stream, stored = told->stored;
    uint64_t lost_from = told->lost_from;
    //  Three blocks of four data chunks each lay on six workers.
    size_t kept = count_kept(stream, 8 * LIVE_CHUNK, stored, LIVE_CHUNK);
    CHECK(kept >= 1 && kept <= 3u * (unsigned)left);
    //  It goes on, behind all that anybody may have seen.
    CHECK(open_source(&source, SOURCE, cam(8)) == STATUS_OK);
    CHECK(source.begin >= stored + LIMIT_CREDIT_BYTES);
    CHECK(!open_end || source.begin >= lost_from + reach);
    give(&source, 8 * LIVE_CHUNK);
    live(2000);
    CHECK(progress(&source)->stored == source.begin + 8 * LIVE_CHUNK);
    //  What was decided stays so, whoever comes back.
    for (int turn = 0; turn < 2; turn++) {
        power_cut();
        for (int i = 0; i < 8; i++)
            if (turn > 0 || i < left || i > 5)
                join(i);
        live(20000);
        told = describe("cam");
        CHECK(told && told->lost_from == lost_from);
        CHECK(told->stored == source.next);
        bool hole = false;
        for (size_t i = 0; i < told->n_holes; i++)
            hole |= told->holes[i]->from == stored &&
                    told->holes[i]->to == source.begin;
        CHECK(hole);
        CHECK(count_kept(stream, 8 * LIVE_CHUNK, stored, LIVE_CHUNK) == kept);
        read_all(stream, source.begin, source.next);
    }
    uint64_t whole = lost_from < 8 * LIVE_CHUNK ? lost_from : 8 * LIVE_CHUNK;
    read_all(stream, 0, whole);
    end();
}

static void
an_accepted_loss_is_a_hole(void)
{
    for (int left = 1; left <= 3; left++)
        accept_a_loss(left);
}

static void
a_file_goes_on_where_nothing_is_missing(void)
{
    source_t source = lose_workers(FILE_PLAN, CHUNK, 6, 3);
    live(8000);
    CHECK(settle("film", true)->accepted);
    live(2000);
    const Rill__V1__Described *told = describe("film");
    CHECK(told && told->lost_us > 0 && told->n_holes == 0);
    CHECK(told->stored == told->lost_from && told->stored < 20 * CHUNK);
    uint64_t stored = told->stored;
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
    CHECK(source.next == stored && source.begin == 0);
    give(&source, 24 * CHUNK - stored);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    for (int i = 3; i < 6; i++)
        join(i);
    live(20000);
    read_all(source.stream, 0, 24 * CHUNK);
    end();
}

static void
nothing_left_is_a_loss_from_the_extent_on(void)
{
    //  Not one of the workers that had it: two others carry on.
    source_t source = lose_workers(cam(7), LIVE_CHUNK, 6, 0);
    CHECK(describe("whole")->newest_us > 0);  //  Also of a sealed one
    CHECK(report()->waiting == 1 && report()->n_waits_for == 6);
    join(6);
    join(7);
    live(8000);
    CHECK(settle("cam", true)->accepted);
    live(2000);
    const Rill__V1__Described *told = describe("cam");
    CHECK(told && told->stored == 0 && told->lost_from == 0);
    CHECK(told->lost_us > 0 && told->lost_to == UINT64_MAX);
    CHECK(open_source(&source, SOURCE, cam(8)) == STATUS_OK);
    give(&source, 5 * LIVE_CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    read_all(source.stream, source.begin, source.next);
    //  Those that had it are no witnesses against the catalogue.
    for (int i = 0; i < 6; i++)
        join(i);
    live(5000);
    CHECK(fault() == STATUS_OK);
    read_all(source.stream, source.begin, source.next);
    end();
}

static void
what_can_be_decoded_is_kept(void)
{
    //  Ten workers, three gone: of a block most have four parts or more.
    source_t source = lose_workers(cam(7), LIVE_CHUNK, 10, 7);
    if (!describe("cam")) {
        live(8000);
        CHECK(settle("cam", true)->accepted);
        live(2000);
    }
    const Rill__V1__Described *told = describe("cam");
    CHECK(told && told->stored > 8 * LIVE_CHUNK);
    CHECK(count_kept(told->stream, 8 * LIVE_CHUNK, told->stored, LIVE_CHUNK) >=
          8);
    (void)source;
    end();
}

static void
what_nobody_can_read_is_given_up(void)
{
    //  All stores speak, and more parts of a block are rotten than it can do
    //  without: it waits until somebody accepts that.
    begin_with(6);
    source_t source = opened(cam(7));
    world.fakes[5].mute = true;
    give(&source, 12 * LIVE_CHUNK);
    pump();
    CHECK(progress(&source)->stored == 12 * LIVE_CHUNK);
    power_cut();
    for (int i = 0; i < 5; i++)
        for (size_t p = 0; p < world.fakes[i].count && i < 3; p++)
            if (world.fakes[i].parts[p].header.key.block == 1)
                world.fakes[i].parts[p].flipped = true;
    for (int i = 0; i < 5; i++)
        join(i);
    live(12000);
    CHECK(!describe("cam") && refusal() == STATUS_HELD);
    const char *text = answer_to(world.request)->message->refused->text;
    CHECK(strstr(text, "rill settle cam"));
    CHECK(settle("cam", true)->accepted);
    live(4000);
    const Rill__V1__Described *told = describe("cam");
    CHECK(told && told->stored == 12 * LIVE_CHUNK && told->lost_us > 0);
    CHECK(told->lost_from >= 4 * LIVE_CHUNK);
    CHECK(told->lost_to <= 8 * LIVE_CHUNK);
    size_t kept = count_kept(told->stream, 0, 12 * LIVE_CHUNK, LIVE_CHUNK);
    CHECK(kept >= 9 && kept < 12);
    end();
}

static bool
holds_end(int number)
{
    const fake_t *fake = &world.fakes[number];
    for (size_t i = 0; i < fake->count; i++)
        if (fake->parts[i].header.flags & CHUNK_END)
            return true;
    return false;
}

static void
an_end_behind_a_loss_is_kept(void)
{
    //  Only two of six stores come back, any two. The one that has the END, an
    //  empty chunk, tells where the stream ended, behind what is lost.
    int ended = 0;
    for (int pair = 0; pair < 36; pair++) {
        int one = pair / 6, other = pair % 6;
        if (one >= other)
            continue;
        begin_with(6);
        source_t source = opened(cam(7));
        give(&source, 8 * LIVE_CHUNK);
        pump();
        world.fakes[1].mute = true;
        give(&source, 5 * LIVE_CHUNK);
        CHECK(finish(&source) == STATUS_OK);
        pump();
        CHECK(progress(&source)->stored == 13 * LIVE_CHUNK);
        power_cut();
        world.fakes[1].mute = false;
        join(one);
        join(other);
        live(12000);
        CHECK(!describe("cam") && settle("cam", true)->accepted);
        live(4000);
        const Rill__V1__Described *told = describe("cam");
        CHECK(told && told->lost_us > 0);
        bool known = holds_end(one) || holds_end(other);
        CHECK(told->sealed == known);
        CHECK(!known || told->size == 13 * LIVE_CHUNK);
        (void)count_kept(told->stream, 8 * LIVE_CHUNK, told->stored,
                         LIVE_CHUNK);
        ended += known;
        end();
    }
    CHECK(ended >= 5 && ended < 15);
}

static uint64_t
throw_dice(uint64_t *state, uint64_t sides)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % sides;
}

//  Whether what covers the offset can be had now; wrong bytes end the case.
static bool
is_there(uint64_t stream, uint64_t at)
{
    uint64_t request = send_ask(stream, at, false);
    pump();
    live(700);  //  Who does not answer is late
    said_t *said = answer_to(request);
    CHECK(said);
    if (said->message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        status_t status = (status_t)said->message->refused->status;
        CHECK(status == STATUS_RANGE || status == STATUS_MISS);
        return false;
    }
    return right_answer(request, at) != NULL;
}

//  A stream is begun, some receipts are lost with a power cut, some of the
//  workers never come back: it goes on, and bytes that are there are right.
static void
lose_at_random(uint64_t seed)
{
    uint64_t dice = seed;
    int workers = 2 + (int)throw_dice(&dice, 7);
    bool live_one = throw_dice(&dice, 2);
    size_t chunk = live_one ? LIVE_CHUNK : CHUNK;
    plan_t plan = live_one ? cam(7) : FILE_PLAN;
    begin_with(workers);
    source_t source = opened(plan);
    give(&source, throw_dice(&dice, 30 * chunk));
    pump();
    if (throw_dice(&dice, 3) == 0) {  //  Another extent
        kill_worker((int)throw_dice(&dice, (uint64_t)workers));
        pump();
        give(&source, throw_dice(&dice, 10 * chunk));
        pump();
    }
    for (int i = 0; i < workers; i++)
        world.fakes[i].mute = throw_dice(&dice, 3) == 0;
    give(&source, throw_dice(&dice, 20 * chunk));
    pump();
    for (int i = 0; i < workers; i++)
        world.fakes[i].mute = false;
    uint64_t told = progress(&source)->stored;
    power_cut();
    bool back[FAKES] = { false };
    for (int i = 0; i < workers; i++)
        back[i] = throw_dice(&dice, 2);
    back[8] = back[9] = true;  //  New ones, so that it can be dealt
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < FAKES; i++)
            if (back[i] || (turn == 2 && i < workers))
                join(i);
        live(12000);
        if (!describe(plan.name)) {
            if (refusal() == STATUS_UNKNOWN && told == 0)
                break;  //  Nothing of it was ever dealt
            CHECK(turn == 0 && refusal() == STATUS_HELD);
            CHECK(settle(plan.name, false)->waits);
            CHECK(settle(plan.name, true)->accepted);
            live(4000);
        }
        const Rill__V1__Described *now = describe(plan.name);
        CHECK(now);
        uint64_t stream = now->stream, stored = now->stored;
        CHECK(stored >= told || now->lost_us > 0);
        CHECK(stored >= now->lost_from || !now->lost_us);
        for (uint64_t at = 0; at < stored && at < 60 * chunk; at += chunk / 2)
            (void)is_there(stream, at);
        if (turn == 0) {
            plan.token += live_one;
            CHECK(open_source(&source, SOURCE, plan) == STATUS_OK);
            CHECK(source.next >= stored);
            CHECK(source.begin >= told || !live_one);
            give(&source, 6 * chunk);
            leave(&source);
            live(2000);
            CHECK(describe(plan.name)->stored == source.next);
        } else
            for (uint64_t at = source.begin; at < source.next; at += chunk)
                CHECK(at < stored && (!live_one || is_there(stream, at)));
        if (turn == 0)
            told = source.next;
        forget_said();
        power_cut();
    }
    end();
}

static void
losses_at_random(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        lose_at_random(seed);
}

static void
an_end_found_is_sealed(void)
{
    //  The END is stored or settled, and the forwarder dies before the seal.
    static const size_t SIZES[] = { 0, 1, 4 * CHUNK, 5 * CHUNK };
    for (size_t s = 0; s < 4; s++)
        for (int stores = 5; stores <= 6; stores++) {
            begin_with(6);
            source_t source = opened(FILE_PLAN);
            give(&source, SIZES[s]);
            CHECK(finish(&source) == STATUS_OK);
            world.fakes[0].mute = stores == 5;
            kv_memory_fail_after(world.kv, 2, STATUS_IO);
            pump();
            world.fakes[0].mute = false;
            power_cut();
            join_all(6);
            live(2000);
            const Rill__V1__Described *told = describe("film");
            CHECK(told && told->sealed && told->size == SIZES[s]);
            CHECK(told->settled == SIZES[s]);
            read_all(told->stream, 0, SIZES[s]);
            end();
        }
}

static void
a_recovery_reads_back_many_chunks(void)
{
    //  More than are read at once, with a store away for good.
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    world.fakes[5].mute = true;
    give(&source, 160 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 160 * CHUNK);
    CHECK(progress(&source)->settled < 8 * CHUNK);
    power_cut();
    for (int i = 0; i < 5; i++)
        join(i);
    live(3000);
    const Rill__V1__Described *told = describe("film");
    CHECK(told && told->settled == 160 * CHUNK);
    read_all(told->stream, 0, 160 * CHUNK);
    end();
}

static void
a_forwarder_may_die_at_any_point_of_a_recovery(void)
{
    //  Terms follow each other; each ends some steps further in the recovery
    //  of what the first left, in which every store but one takes part.
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    world.fakes[5].mute = true;
    give(&source, 40 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 40 * CHUNK);
    for (int steps = 0; steps < 60; steps++) {
        power_cut();
        for (int i = 0; i < 5; i++)
            join(i);
        pass(1200);
        for (int i = 0; i < steps; i++) {
            if (answer_one())
                continue;
            bool given = false;
            for (int w = 0; w < 5 && !given; w++)
                for (size_t p = 0; p < world.fakes[w].count && !given; p++)
                    if (!world.fakes[w].parts[p].receipted) {
                        receipt(&world.fakes[w], &world.fakes[w].parts[p]);
                        given = true;
                    }
        }
    }
    live(3000);
    const Rill__V1__Described *told = describe("film");
    CHECK(told && told->settled == 40 * CHUNK);
    read_all(told->stream, 0, 40 * CHUNK);
    end();
}

static void
an_inventory_has_a_bound(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    power_cut();
    hello(0);
    fake_t *fake = &world.fakes[0];
    static uint8_t slots[60000];
    for (int i = 0; i < 3000 && fake->session; i++) {
        Rill__V1__Run run = RILL__V1__RUN__INIT;
        Rill__V1__Run *runs = &run;
        run.first = UINT64_MAX - 1;
        run.slots = (ProtobufCBinaryData){ .len = i ? sizeof slots : 0,
                                           .data = i ? slots : NULL };
        Rill__V1__Held held = RILL__V1__HELD__INIT;
        Rill__V1__Held *helds = &held;
        held.stream = source.stream;
        held.n_runs = 1;
        held.runs = &runs;
        Rill__V1__Inventory body = RILL__V1__INVENTORY__INIT;
        body.session = fake->session;
        body.part = (uint32_t)i;
        body.n_held = 1;
        body.held = &helds;
        SAY(0, INVENTORY, inventory, &body);
        forget_said();
    }
    CHECK(!fake->session);
    world.now += 11000;  //  It is kept out for a while
    join_all(6);
    live(11000);
    CHECK(describe("film"));
    end();
}

static void
an_absurd_mark_holds_nobody_up_for_ever(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    pump();
    power_cut();
    hello(0);
    Rill__V1__Held held = RILL__V1__HELD__INIT;
    Rill__V1__Held *helds = &held;
    held.stream = source.stream;
    held.settled = UINT64_MAX - 2;
    Rill__V1__Inventory body = RILL__V1__INVENTORY__INIT;
    body.session = world.fakes[0].session;
    body.n_held = 1;
    body.held = &helds;
    body.done = true;
    world.fakes[0].term++;
    SAY(0, INVENTORY, inventory, &body);
    for (int i = 1; i < 6; i++)
        join(i);
    live(2000);
    CHECK(fault() == STATUS_OK);
    end();
}

/*------------------------------------------------------------------ fencing */

static void
a_hello_of_a_higher_term_ends_it(void)
{
    begin_with(2);
    world.fakes[2].term = 9;
    hello(2);
    //  A directory of no cluster was never granted a term.
    CHECK(fault() == STATUS_OK && refusal() == STATUS_ARGUMENT);
    Rill__V1__Hello body = RILL__V1__HELLO__INIT;
    char name[] = "w2", push_at[] = "tcp://w2:1", ask_at[] = "tcp://w2:2";
    body.cluster = report()->cluster;
    body.store = 5;
    body.name = name;
    body.push_at = push_at;
    body.ask_at = ask_at;
    body.term = 9;
    //  Nor is it believed of a store that nobody knows.
    SAY(2, HELLO, hello, &body);
    CHECK(fault() == STATUS_OK && refusal() == STATUS_FENCED);
    source_t source = opened(FILE_PLAN);
    body.store = world.fakes[1].store;
    forget_said();
    SAY(1, HELLO, hello, &body);
    CHECK(fault() == STATUS_FENCED);
    //  It joined here before: who runs now must not be rebuilt over.
    const char *why;
    (void)forwarder_core_fault(world.core, &why);
    CHECK(strstr(why, "newer forwarder") && !strstr(why, "rebuild"));
    CHECK(world.said_count == 0);
    keep_source(&source);
    CHECK(world.said_count == 0);
    CHECK(forwarder_core_due(world.core) == MILLIS_NEVER);
    end();
}

static bool
copy_change(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    kv_t *copy = arg;
    kv_change_t change = { key, value };
    return copy->write(copy, &change, 1, true) == STATUS_OK;
}

static kv_t *
catalogue_copy(void)
{
    kv_t *copy = kv_memory_new();
    kv_bytes_t from = { "", 0 }, to = { NULL, 0 };
    CHECK(world.kv->walk(world.kv, from, to, copy_change, copy) == STATUS_OK);
    return copy;
}

static void
put_back(kv_t *copy)
{
    forwarder_core_destroy(&world.core);
    kv_close(&world.kv);
    world.kv = copy;
    restart();
}

static void
an_older_catalogue_is_known_by_whom_it_granted_what(void)
{
    //  An older copy of the catalogue is put back, and a forwarder takes from it
    //  the term that the true one had granted to all but the last. It dies:
    //  before a worker speaks, or after it granted that term to the last. The
    //  next one has a higher term.
    for (int spoken = 0; spoken < 2; spoken++) {
        begin_with(3);
        static const char *names[4];
        for (int i = 0; i < 4; i++)
            names[i] = world.fakes[i].name;
        world.settings.workers = names;
        world.settings.workers_count = 4;
        kv_t *copy = catalogue_copy();
        //  A start that nobody heard of is no sign of anything.
        restart();
        restart();
        join_all(3);
        CHECK(fault() == STATUS_OK);
        put(FILE_PLAN, 60 * CHUNK);

        put_back(copy);
        restart();
        if (spoken)
            join(3);
        restart();
        hello(1);
        CHECK(fault() == STATUS_FENCED && !SAID_TO(1, WELCOME));
        const char *why;
        (void)forwarder_core_fault(world.core, &why);
        CHECK(strstr(why, "older copy") && strstr(why, "--rebuild"));
        CHECK(strstr(why, "granted term 3, of which") &&
              strstr(why, "up to 1"));
        forwarder_core_destroy(&world.core);
        CHECK(start() == STATUS_CORRUPT);
        end();
    }
}

//  What the stores hold of a stream in epochs from `from` on. With `last`, only
//  of that one, and the others lose theirs.
static size_t
held_from(const source_t *source, uint64_t from, const fake_t *last)
{
    size_t held = 0;
    for (int i = 0; i < FAKES; i++) {
        fake_t *fake = &world.fakes[i];
        for (size_t p = 0; p < fake->count; p++) {
            const chunk_key_t *key = &fake->parts[p].header.key;
            bool is = key->stream == source->stream && key->epoch >= from;
            fake->parts[p].lost |= is && last && fake != last;
            held += is && !fake->parts[p].lost;
        }
        forget_lost(fake);
    }
    return held;
}

//  An older copy of the catalogue that lacks an extent, which is stored. The
//  last worker came after the copy. The lacking extent's epoch.
static uint64_t
begin_doubt(source_t *source_r)
{
    begin_with(5);
    *source_r = opened(FILE_PLAN);
    give(source_r, 16 * CHUNK);
    pump();
    uint64_t epoch = 0;
    for (size_t p = 0; p < world.fakes[0].count; p++)
        if (world.fakes[0].parts[p].header.key.epoch > epoch)
            epoch = world.fakes[0].parts[p].header.key.epoch;
    kv_t *copy = catalogue_copy();
    join(5);
    kill_worker(2);
    live(100);
    //  The last know that the first were settled.
    for (int i = 0; i < 4; i++) {
        give(source_r, 16 * CHUNK);
        pump();
        live(100);
    }
    CHECK(held_from(source_r, epoch + 1, NULL) > 0);
    put_back(copy);
    return epoch + 1;
}

static void
a_doubt_that_is_not_answered_lasts(void)
{
    static const status_t WHY[] = { STATUS_BUSY, STATUS_IO, STATUS_CORRUPT,
                                    STATUS_STOPPING };
    for (int i = 0; i < 4; i++) {
        source_t source;
        uint64_t epoch = begin_doubt(&source);
        size_t held = held_from(&source, epoch, NULL);
        world.unable = WHY[i];
        world.headers = 0;
        join_all(6);
        live(5000);
        CHECK(fault() == STATUS_OK && world.headers > 6);
        CHECK(held_from(&source, epoch, NULL) == held);
        CHECK(world.headers <= 6 * 2 * 6);  //  Two halves, once a second
        world.unable = STATUS_OK;
        live(2000);
        CHECK(fault() == STATUS_CORRUPT);
        end();
    }

    //  That it is not held is an answer.
    source_t source;
    uint64_t epoch = begin_doubt(&source);
    world.unable = STATUS_MISS;
    join_all(6);
    live(5000);
    CHECK(fault() == STATUS_OK && held_from(&source, epoch, NULL) == 0);
    end();
}

static void
a_strangers_proof_keeps_what_it_is_about(void)
{
    source_t source;
    uint64_t epoch = begin_doubt(&source);
    size_t held = held_from(&source, epoch, &world.fakes[5]);
    CHECK(held > 0);
    world.headers = 0;
    join_all(6);
    live(5000);
    CHECK(fault() == STATUS_OK && world.headers == 2);
    CHECK(held_from(&source, epoch, NULL) == held);
    end();
}

//  Another store says Hello, and goes.
static status_t
strange_hello(const char *worker, uint64_t store)
{
    Rill__V1__Hello body = RILL__V1__HELLO__INIT;
    char name[16], at[] = "tcp://w6:1";
    snprintf(name, sizeof name, "%s", worker);
    body.store = store;
    body.name = name;
    body.push_at = body.ask_at = at;
    SAY(6, HELLO, hello, &body);
    status_t status = refusal();
    if (status == STATUS_OK)
        kill_worker(6);
    forget_said();
    return status;
}

static void
strangers_do_not_fill_the_catalogue(void)
{
    begin_with(2);
    static const char *names[] = { "w0" };
    world.settings.workers = names;
    world.settings.workers_count = 1;
    restart();
    join(1);
    uint64_t store = 1000, welcomed = 0;
    for (; welcomed <= CATALOGUE_STRANGERS_MOST; welcomed++)
        if (strange_hello("s0", store++) != STATUS_OK)
            break;
    //  Two workers had been recorded.
    CHECK(welcomed == CATALOGUE_STRANGERS_MOST - 2);
    size_t bytes = world.kv->bytes(world.kv);
    for (int i = 0; i < 100; i++)
        CHECK(strange_hello("s0", store++) == STATUS_BUSY);
    CHECK(counter(COUNTER_faults_total_hello_strange) == 101);
    CHECK(world.kv->bytes(world.kv) == bytes && fault() == STATUS_OK);
    //  A worker that the cluster file names may have a new disk; who was here
    //  goes on.
    CHECK(strange_hello("w0", store++) == STATUS_OK);
    join(1);
    CHECK(fault() == STATUS_OK);
    end();
}

static void
a_hello_that_is_played_again_changes_nothing(void)
{
    begin_with(2);
    hello(2);
    uint64_t session = world.fakes[2].session, request = world.request;
    Rill__V1__Hello body = RILL__V1__HELLO__INIT;
    char name[] = "w2", at[] = "tcp://w2:1";
    body.store = world.fakes[2].store;
    body.name = name;
    body.push_at = body.ask_at = at;
    message_t again = MESSAGE(HELLO, hello, &body, request, 0);
    peer_t stranger = peer_of(READER);
    forget_said();
    forwarder_core_on_front(world.core, &stranger, &again, NULL, world.now);
    CHECK(world.said_count == 0 && world.fakes[2].session == session);
    CHECK(counter(COUNTER_faults_total_hello_repeated) == 1);
    end();
}

static void
a_catalogue_of_another_term_ends_it(void)
{
    //  Another forwarder has taken the catalogue: what needs it is not said.
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    forwarder_core_t *older = world.core;
    CHECK(start() == STATUS_OK);
    forwarder_core_t *newer = world.core;
    world.core = older;
    forget_said();
    for (int i = 0; i < 6; i++)
        (void)give_receipts(i);
    CHECK(fault() == STATUS_FENCED);
    CHECK(!SAID_TO(SOURCE, PROGRESS));
    forwarder_core_destroy(&older);
    world.core = newer;
    end();
}

/*------------------------------------------------------------------ sources */

static void
one_source_at_a_time(void)
{
    begin_with(6);
    source_t first = opened(LIVE_PLAN), second;
    plan_t other = LIVE_PLAN;
    other.token = 8;
    give(&first, 1000);
    CHECK(open_source(&second, SOURCE + 1, other) == STATUS_TAKEN);
    for (int i = 0; i < 9; i++) {
        live(2000);
        keep_source(&first);
    }
    CHECK(open_source(&second, SOURCE + 1, other) == STATUS_TAKEN);
    live(10050);
    CHECK(open_source(&second, SOURCE + 1, other) == STATUS_OK);
    //  Nothing was lost in this term: there is no hole.
    CHECK(second.begin == 1000 && second.next == 1000);
    CHECK(give_at(&first, 1000, 10) == STATUS_SESSION);
    give(&second, 500);
    CHECK(finish(&second) == STATUS_OK);
    pump();
    CHECK(progress(&second)->sealed);
    CHECK(describe("cam")->n_holes == 0);
    read_all(second.stream, 0, 1500);
    //  Sealed: the same source hears so, another is refused.
    CHECK(open_source(&second, SOURCE + 1, other) == STATUS_OK);
    CHECK(open_source(&first, SOURCE, LIVE_PLAN) == STATUS_SEALED);
    end();
}

static void
sealed_is_said_of_what_is_sealed(void)
{
    //  The first source ended the stream; it may still come to nothing.
    begin_with(6);
    source_t first = opened(LIVE_PLAN), second;
    plan_t other = LIVE_PLAN;
    other.token = 8;
    for (int i = 0; i < 6; i++)
        world.fakes[i].mute = true;
    give(&first, 1000);
    CHECK(finish(&first) == STATUS_OK);
    CHECK(open_source(&second, SOURCE + 1, other) == STATUS_HELD);
    power_cut();
    join_all(6);
    CHECK(open_source(&second, SOURCE + 1, other) == STATUS_OK);
    for (int i = 0; i < 6; i++)
        world.fakes[i].mute = false;
    CHECK(finish(&second) == STATUS_OK);
    pump();
    CHECK(progress(&second)->sealed);
    CHECK(open_source(&first, SOURCE, LIVE_PLAN) == STATUS_SEALED);
    end();
}

static void
the_same_source_goes_on(void)
{
    begin_with(6);
    source_t source = opened(FILE_PLAN), again;
    give(&source, 5 * CHUNK);
    receipt_some(5);
    CHECK(open_source(&again, SOURCE + 1, FILE_PLAN) == STATUS_OK);
    CHECK(again.session != source.session && again.stream == source.stream);
    CHECK(again.begin == 0 && again.next == 4 * CHUNK);
    CHECK(give_at(&source, 5 * CHUNK, 10) == STATUS_SESSION);
    give(&again, 3 * CHUNK);
    CHECK(finish(&again) == STATUS_OK);
    pump();
    CHECK(progress(&again)->sealed);
    read_all(again.stream, 0, 7 * CHUNK);
    end();
}

static void
another_source_after_a_restart_leaves_a_hole(void)
{
    enum { C = LIMIT_CREDIT_BYTES };
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 900);
    leave(&source);
    pump();
    plan_t other = LIVE_PLAN;
    uint64_t begins[3];
    //  One after the other comes, sends what nobody stores, and is lost with
    //  the forwarder: no offset is given to two of them.
    for (int i = 0; i < 3; i++) {
        power_cut();
        join_all(6);
        live(1500);
        other.token++;
        CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
        begins[i] = source.begin;
        CHECK(source.next == source.begin);
        CHECK(source.begin >= (i ? begins[i - 1] : 900) + C);
        CHECK(source.credit <= source.begin + C);
        if (i < 2)
            give(&source, 500);
    }
    give(&source, 700);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    const Rill__V1__Described *told = describe("cam");
    CHECK(told->sealed && told->size == begins[2] + 700);
    CHECK(told->n_holes == 1);
    CHECK(told->holes[0]->from == 900 && told->holes[0]->to == begins[2]);
    uint64_t stream = told->stream;
    read_all(stream, 0, 900);
    read_all(stream, begins[2], begins[2] + 700);
    for (uint64_t at = 900; at < begins[2]; at += C / 3) {
        uint64_t request = send_ask(stream, at, false);
        pump();
        const Rill__V1__Refused *refused = answer_to(request)->message->refused;
        CHECK((status_t)refused->status == STATUS_RANGE);
        CHECK(refused->offset == begins[2]);
    }
    end();
}

static void
an_end_that_was_not_stored_ends_no_other_source(void)
{
    //  Of the END block k parts are on disks, one of them away: its source goes
    //  on in vain, and another is let in. Then that store is back.
    begin_with(6);
    source_t source = opened(FILE_PLAN);
    give(&source, 4 * CHUNK);
    pump();
    give(&source, 4 * CHUNK - 10);
    CHECK(finish(&source) == STATUS_OK);
    keep_parts(1, 4);
    power_cut();
    for (int i = 1; i < 6; i++)
        join(i);
    live(2000);
    plan_t other = FILE_PLAN;
    other.token = 8;
    CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
    uint64_t begin = source.begin;
    CHECK(begin == 4 * CHUNK + LIMIT_CREDIT_BYTES);
    power_cut();
    join_all(6);
    live(2000);
    CHECK(describe("film")->stored == 8 * CHUNK - 10);
    CHECK(!describe("film")->sealed);
    CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
    CHECK(source.begin == begin && source.next == begin);
    give(&source, 500);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    CHECK(describe("film")->size == begin + 500);
    read_all(source.stream, 0, 8 * CHUNK - 10);
    read_all(source.stream, begin, begin + 500);
    end();
}

static void
an_empty_end_waits_behind_its_hole(void)
{
    //  What one source left waits for workers when another, which brought
    //  nothing, says that this was all.
    for (int back = 1; back < 6; back++)
        for (size_t size = CHUNK; size <= 4 * CHUNK; size += CHUNK) {
            begin_with(6);
            source_t source = opened(FILE_PLAN);
            give(&source, 4 * CHUNK);
            pump();
            power_cut();
            join_all(6);
            live(2000);
            CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
            give(&source, size);
            leave(&source);
            plan_t other = FILE_PLAN;
            other.token = 8;
            CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
            for (int i = 5; i >= 1; i--)
                kill_worker(i);
            CHECK(finish(&source) == STATUS_OK);
            for (int i = 1; i <= back; i++)
                join(i);
            pump();
            CHECK(progress(&source)->sealed);
            CHECK(describe("film")->size == source.begin);
            CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
            CHECK(source.begin == source.next);
            for (int i = back + 1; i < 6; i++)
                join(i);
            read_all(source.stream, 0, 4 * CHUNK + size);
            end();
        }
}

static void
a_hole_from_the_start_is_told(void)
{
    //  The first source stored nothing; the second begins behind a hole, and
    //  what is recovered of it still knows the hole.
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 10);
    pass(500);  //  Cut, pushed, and never receipted
    power_cut();
    join_all(6);
    live(1500);
    plan_t other = LIVE_PLAN;
    other.token = 8;
    CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
    uint64_t begin = source.begin;
    CHECK(begin == LIMIT_CREDIT_BYTES);
    //  An ask in the hole is not left waiting when all above it is unsettled.
    give(&source, 300);
    leave(&source);
    world.fakes[0].mute = true;
    pump();
    uint64_t request = send_ask(source.stream, 77, false);
    pump();
    CHECK(answer_to(request));
    world.fakes[0].mute = false;
    pump();
    for (int term = 0; term < 2; term++) {
        const Rill__V1__Described *told = describe("cam");
        CHECK(told && told->n_holes == 1);
        CHECK(told->holes[0]->from == 0 && told->holes[0]->to == begin);
        read_all(source.stream, begin, begin + 300);
        power_cut();
        join_all(6);
        live(1500);
    }
    end();
}

static void
too_few_workers_hold_a_source(void)
{
    begin_with(1);
    source_t source;
    CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
    plan_t plain = FILE_PLAN;
    plain.k = 1;
    CHECK(open_source(&source, SOURCE, plain) == STATUS_OK);
    give(&source, 2500);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    read_all(source.stream, 0, 2500);
    //  More than these can carry.
    join(1);
    join(2);
    plan_t wide = LIVE_PLAN;
    wide.k = 4;
    wide.m = 2;
    wide.strict = true;
    CHECK(open_source(&source, SOURCE, wide) == STATUS_PROTECTION);
    wide.strict = false;
    CHECK(open_source(&source, SOURCE, wide) == STATUS_OK);
    const Rill__V1__Opened *told = SAID_TO(SOURCE, OPENED)->opened;
    CHECK(told->narrower);
    CHECK(told->protection->k == 2 && told->protection->m == 1);
    end();
}

static void
a_live_byte_waits_no_longer_than_its_block(void)
{
    //  A chunk that was full at once, and nothing behind it.
    begin_with(6);
    plan_t plan = LIVE_PLAN;
    plan.chunk = LIMIT_CHUNK_FLOOR_BYTES;
    source_t source = opened(plan);
    CHECK(give_at(&source, 0, plan.chunk) == STATUS_OK);
    live(700);
    CHECK(describe("cam")->stored == 0);
    live(200);
    CHECK(describe("cam")->stored == plan.chunk);
    end();
}

static void
a_silent_source_is_let_go(void)
{
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 5);
    world.now += 9999;
    sweep();
    CHECK(describe("cam")->writing);
    world.now += 1;
    sweep();
    CHECK(!describe("cam")->writing);
    CHECK(give_at(&source, 5, 5) == STATUS_SESSION);
    end();
}

static void
what_a_source_may_not_say_is_refused(void)
{
    begin_with(6);
    static const struct {
        const char *name;
        uint64_t token;
        int kind;
        uint32_t k, m, chunk, buffer_ms, retention;
        uint64_t size;
        status_t status;
    } OPENS[] = {
        { "", 1, 1, 0, 0, 0, 0, 0, 0, STATUS_NAME },
        { ".x", 1, 1, 0, 0, 0, 0, 0, 0, STATUS_NAME },
        { "x/y", 1, 1, 0, 0, 0, 0, 0, 0, STATUS_NAME },
        { "x", 0, 1, 0, 0, 0, 0, 0, 0, STATUS_ARGUMENT },
        { "x", 1, 0, 0, 0, 0, 0, 0, 0, STATUS_ARGUMENT },
        { "x", 1, 77, 0, 0, 0, 0, 0, 0, STATUS_ARGUMENT },
        { "x", 1, 1, 33, 0, 0, 0, 0, 0, STATUS_PROTECTION },
        { "x", 1, 1, UINT32_MAX, 1, 0, 0, 0, 0, STATUS_PROTECTION },
        { "x", 1, 1, 0, 2, 0, 0, 0, 0, STATUS_PROTECTION },
        { "x", 1, 1, 4, 5, 0, 0, 0, 0, STATUS_PROTECTION },
        { "x", 1, 1, 0, 0, 1, 0, 0, 0, STATUS_ARGUMENT },
        { "x", 1, 1, 0, 0, UINT32_MAX, 0, 0, 0, STATUS_ARGUMENT },
        { "x", 1, 2, 0, 0, 0, UINT32_MAX, 0, 0, STATUS_ARGUMENT },
        { "x", 1, 1, 0, 0, 0, 0, 256, 0, STATUS_ARGUMENT },
        { "x", 1, 1, 0, 0, 0, 0, 0, UINT64_MAX, STATUS_ARGUMENT },
    };
    for (size_t i = 0; i < sizeof OPENS / sizeof OPENS[0]; i++) {
        Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
        code.k = OPENS[i].k;
        code.m = OPENS[i].m;
        Rill__V1__Open body = RILL__V1__OPEN__INIT;
        body.name = message_lend(OPENS[i].name);
        body.kind = (Rill__V1__Kind)OPENS[i].kind;
        body.token = OPENS[i].token;
        body.protection = code.k || code.m ? &code : NULL;
        body.chunk_bytes = OPENS[i].chunk;
        body.buffer_ms = OPENS[i].buffer_ms;
        body.retention = OPENS[i].retention;
        body.known_case = OPENS[i].size ? RILL__V1__OPEN__KNOWN_SIZE : 0;
        body.size = OPENS[i].size;
        SAY(SOURCE, OPEN, open, &body);
        CHECK(refusal() == OPENS[i].status);
    }
    CHECK(report()->streams == 0);
    //  Blocks that no credit could fill.
    begin_with(10);
    Rill__V1__Protection wide = RILL__V1__PROTECTION__INIT;
    wide.k = 9;
    wide.m = 1;
    Rill__V1__Open body = RILL__V1__OPEN__INIT;
    body.name = message_lend("x");
    body.kind = RILL__V1__KIND__KIND_RECORDED;
    body.token = 1;
    body.protection = &wide;
    body.chunk_bytes = LIMIT_CHUNK_BYTES;
    SAY(SOURCE, OPEN, open, &body);
    CHECK(refusal() == STATUS_TOO_LARGE);
    end();
}

static void
pieces_that_do_not_fit_are_refused(void)
{
    begin_with(6);
    source_t source = opened(file_of(5000));
    give(&source, 1500);
    CHECK(give_at(&source, 1600, 10) == STATUS_OFFSET);
    CHECK(answer_to(world.request)->message->refused->offset == 1500);
    CHECK(give_at(&source, UINT64_MAX - 5, 10) == STATUS_TOO_LARGE);
    CHECK(give_at(&source, UINT64_MAX, 1) == STATUS_TOO_LARGE);
    CHECK(give_at(&source, source.credit - 5, 10) == STATUS_TOO_LARGE);
    CHECK(give_at(&source, 1500, 0) == STATUS_TOO_LARGE);
    CHECK(give_at(&source, 1500, LIMIT_PIECE_BYTES + 1) == STATUS_TOO_LARGE);
    CHECK(give_at(&source, 1500, 4000) == STATUS_RANGE);
    source_t stranger = source;
    stranger.session++;
    CHECK(give_at(&stranger, 1500, 10) == STATUS_SESSION);
    //  What is known already passes.
    CHECK(give_at(&source, 700, 100) == STATUS_OK);
    //  Marks outside their piece, or of no kind.
    Rill__V1__Mark mark = RILL__V1__MARK__INIT;
    Rill__V1__Mark *marks = &mark;
    Rill__V1__Piece body = RILL__V1__PIECE__INIT;
    body.session = source.session;
    body.offset = 1500;
    body.n_marks = 1;
    body.marks = &marks;
    for (int i = 0; i < 3; i++) {
        mark.offset = i == 0 ? 1499 : i == 1 ? 1501 : 1500;
        mark.kind = i == 2 ? 256 : 1;
        buffer_t *byte = buffer_new(1);
        buffer_fill(byte)[0] = byte_at(1500);
        message_t message = MESSAGE(PIECE, piece, &body, ++world.request, 0);
        say(SOURCE, &message, byte);
        buffer_unref(&byte);
        CHECK(refusal() == STATUS_ARGUMENT);
    }
    //  An end too early, then the right one; then nothing more.
    CHECK(finish(&source) == STATUS_ARGUMENT);
    give(&source, 3500);
    source.next--;
    CHECK(finish(&source) == STATUS_OFFSET);
    source.next++;
    CHECK(finish(&source) == STATUS_OK);
    CHECK(give_at(&source, 5000, 1) == STATUS_SEALED);
    pump();
    //  Told that all is settled, it has a session no more.
    CHECK(give_at(&source, 5000, 1) == STATUS_SESSION);
    CHECK(finish(&source) == STATUS_SESSION);
    read_all(source.stream, 0, 5000);
    CHECK(report()->received_bytes == 5000);
    CHECK(report()->stored_bytes == 5000);
    CHECK(report()->settled_bytes == 5000);
    end();
}

static void
bytes_are_counted_once(void)
{
    //  Through departures, holes and a recovery: in a term what is stored and
    //  settled is what was received in it.
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 3000);
    receipt_some(5);
    kill_worker(1);
    give(&source, 500);
    leave(&source);
    pump();
    CHECK(report()->received_bytes == 3500);
    CHECK(report()->stored_bytes == 3500);
    CHECK(report()->settled_bytes == 3500);
    power_cut();
    join_all(6);
    live(1500);
    plan_t other = LIVE_PLAN;
    other.token = 99;
    CHECK(open_source(&source, SOURCE, other) == STATUS_OK);
    give(&source, 600);
    leave(&source);
    pump();
    CHECK(report()->received_bytes == 600);
    CHECK(report()->stored_bytes == 600);
    CHECK(report()->settled_bytes == 600);
    CHECK(report()->memory_bytes == 0);
    end();
}

static void
a_source_that_left_is_stored(void)
{
    //  The part of a block that a live source leaves is filled and stored.
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 5 * 188);
    leave(&source);
    pump();
    CHECK(describe("cam")->settled == 5 * 188);
    CHECK(!describe("cam")->sealed && !describe("cam")->writing);
    end();
}

//  Say a part of an inventory, the last one.
static void
say_part(uint32_t part)
{
    Rill__V1__Inventory body = RILL__V1__INVENTORY__INIT;
    body.session = world.fakes[0].session;
    body.part = part;
    body.done = true;
    SAY(0, INVENTORY, inventory, &body);
}

static void
an_inventory_with_a_lost_part_is_said_again(void)
{
    begin_with(0);
    hello(0);
    say_part(1);
    CHECK(refusal() == STATUS_SESSION);
    CHECK(forwarder_core_workers(world.core) == 0);

    hello(0);
    Rill__V1__WorkerKeep keep = RILL__V1__WORKER_KEEP__INIT;
    keep.session = world.fakes[0].session;
    SAY(0, WORKER_KEEP, worker_keep, &keep);
    CHECK(!last_said(0, RILL__V1__MESSAGE__BODY_REFUSED) ||
          last_said(0, RILL__V1__MESSAGE__BODY_REFUSED)->request !=
              world.request);
    keep.told = true;
    SAY(0, WORKER_KEEP, worker_keep, &keep);
    CHECK(refusal() == STATUS_SESSION);
    CHECK(forwarder_core_workers(world.core) == 0);

    hello(0);
    say_part(0);
    CHECK(forwarder_core_workers(world.core) == 1);
    end();
}

/*------------------------------------------------------- layout and removal */

//  One page; NULL: refused.
static const Rill__V1__Layout *
page_of(uint64_t stream, uint64_t from, uint32_t most, bool parity)
{
    Rill__V1__ListChunks body = RILL__V1__LIST_CHUNKS__INIT;
    body.stream = stream;
    body.from = from;
    body.most = most;
    body.parity = parity;
    SAY(READER, LIST_CHUNKS, list_chunks, &body);
    uint64_t request = world.request;
    pump();
    if (!answer_to(request))
        live(1100);
    said_t *said = answer_to(request);
    CHECK(said);
    return said->message->body_case == RILL__V1__MESSAGE__BODY_LAYOUT
               ? said->message->layout
               : NULL;
}

//  Every data chunk of the stream, page by page, each once and in order.
static size_t
walk_layout(uint64_t stream, uint32_t most, uint64_t size)
{
    uint64_t from = 0, offset = 0, index = 0;
    size_t data = 0;
    bool unsure = false;  //  Where the one before ends: it is missing
    do {
        const Rill__V1__Layout *page = page_of(stream, from, most, true);
        CHECK(page && (page->n_chunks || !page->next));
        for (size_t i = 0; i < page->n_chunks; i++) {
            const Rill__V1__Placed *placed = page->chunks[i];
            if (placed->parity)
                continue;
            data++;
            CHECK(placed->index == index++);
            CHECK(placed->offset == offset || placed->missing || unsure);
            offset = placed->offset + placed->length;
            unsure = placed->missing;
            if (placed->missing)
                continue;
            int number = placed->worker[1] - '0';
            chunk_key_t key = { stream, placed->epoch, placed->block,
                                placed->slot };
            CHECK(part_of(&world.fakes[number], &key));
        }
        from = page->next;
        CHECK(data < 2000);
        forget_said();
    } while (from);
    CHECK(offset == size || size == UINT64_MAX);
    return data;
}

//  A live stream whose chunks have no one length.
static source_t
put_uneven(int pieces)
{
    source_t source;
    for (uint64_t i = 0; i < (uint64_t)pieces; i++) {
        CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
        give(&source, 1 + (i * 37) % 400);
        if (i % 3) {
            leave(&source);
            pump();
        }
        forget_said();
    }
    CHECK(finish(&source) == STATUS_OK ||
          open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
    leave(&source);
    pump();
    return source;
}

static void
every_chunk_has_its_place(void)
{
    begin_with(6);
    source_t source = put(file_of(61 * CHUNK + 3), 61 * CHUNK + 3);
    size_t all = walk_layout(source.stream, 0, source.next);
    CHECK(all == 64);
    CHECK(walk_layout(source.stream, 1, source.next) == all);
    CHECK(walk_layout(source.stream, 17, source.next) == all);
    source = put_uneven(90);
    uint64_t size = describe("cam")->settled;
    all = walk_layout(source.stream, 0, size);
    for (uint32_t most = 1; most < 60; most += 13)
        CHECK(walk_layout(source.stream, most, size) == all);
    //  From anywhere, without what a page before it told.
    for (uint64_t from = size - 1; from > 500; from -= 491) {
        const Rill__V1__Layout *page = page_of(source.stream, from, 20, false);
        CHECK(page && page->n_chunks);
        uint64_t begin = page->chunks[0]->offset;
        CHECK(begin <= from);
        const Rill__V1__Placed *last = page->chunks[3];
        CHECK(last->offset + last->length > from || page->n_chunks == 4);
        forget_said();
    }
    end();
}

static void
what_is_missing_is_said(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 60 * CHUNK);
    for (int gone = 0; gone < 6; gone++) {
        kill_worker(gone);
        size_t listed = walk_layout(source.stream, 8, UINT64_MAX);
        CHECK(listed >= 60 && listed <= 64);  //  With or without the END
        CHECK(describe("film")->under_protected > 0);
    }
    end();
}

static void
long_names_fit_a_page(void)
{
    begin_with(0);
    source_t source;
    Rill__V1__Hello body = RILL__V1__HELLO__INIT;
    char name[LIMIT_NAME_BYTES + 1];
    memset(name, 'w', LIMIT_NAME_BYTES);
    name[LIMIT_NAME_BYTES] = 0;
    for (int i = 0; i < 2; i++) {
        char push_at[32];
        snprintf(push_at, sizeof push_at, "tcp://w%d:1", i);
        name[0] = (char)('a' + i);
        body.store = world.fakes[i].store;
        body.name = name;
        body.push_at = body.ask_at = push_at;
        SAY(i, HELLO, hello, &body);
        world.fakes[i].term = 1;
        Rill__V1__Inventory whole = RILL__V1__INVENTORY__INIT;
        whole.session = world.fakes[i].session;
        whole.done = true;
        SAY(i, INVENTORY, inventory, &whole);
    }
    source = put(FILE_PLAN, 900 * CHUNK);
    //  over_the_wire checks that each page can be packed.
    uint64_t from = 0;
    size_t chunks = 0;
    do {
        const Rill__V1__Layout *page = page_of(source.stream, from, 0, true);
        CHECK(page);
        chunks += page->n_chunks;
        from = page->next;
    } while (from);
    CHECK(chunks == 2 * 901 || chunks == 2 * 900);
    end();
}

static status_t
remove_stream(const char *name)
{
    Rill__V1__Remove body = RILL__V1__REMOVE__INIT;
    body.name = message_lend(name);
    SAY(READER, REMOVE, remove, &body);
    return refusal();
}

static size_t
parts_of(uint64_t stream)
{
    size_t count = 0;
    for (int i = 0; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            count += world.fakes[i].parts[p].header.key.stream == stream;
    return count;
}

static void
a_removed_stream_is_forgotten_everywhere(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 20 * CHUNK);
    uint64_t stream = source.stream;
    kill_worker(2);
    world.fakes[4].deaf = true;
    uint64_t request = send_ask(stream, 0, false);
    CHECK(remove_stream("film") == STATUS_OK);
    CHECK(remove_stream("film") == STATUS_UNKNOWN);
    CHECK(!describe("film"));
    live(1000);
    CHECK((status_t)answer_to(request)->message->refused->status ==
          STATUS_GONE);
    CHECK(send_ask(stream, 0, false) && refusal() == STATUS_UNKNOWN);
    //  The name is free at once; who did not hear is told again, also by the
    //  next forwarder.
    source = put(FILE_PLAN, 3 * CHUNK);
    CHECK(source.stream != stream);
    CHECK(parts_of(stream) > 0);
    forget_asks();
    world.fakes[4].deaf = false;
    live(2000);
    for (size_t p = 0; p < world.fakes[4].count; p++)
        CHECK(world.fakes[4].parts[p].header.key.stream != stream);
    power_cut();
    join_all(6);
    live(1500);
    CHECK(parts_of(stream) == 0);
    CHECK(parts_of(source.stream) > 0);
    read_all(source.stream, 0, 3 * CHUNK);
    //  Heard from all: nobody is told a third time.
    power_cut();
    join_all(6);
    for (size_t i = 0; i < world.asks_count; i++)
        CHECK(world.asks[i].message->body_case != RILL__V1__MESSAGE__BODY_DROP);
    end();
}

static void
what_is_written_is_not_removed(void)
{
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    give(&source, 500);
    CHECK(remove_stream("cam") == STATUS_TAKEN);
    leave(&source);
    CHECK(remove_stream("cam") == STATUS_OK);
    pump();
    live(1000);
    CHECK(give_at(&source, 500, 10) == STATUS_SESSION);
    CHECK(report()->memory_bytes == 0);
    end();
}

/*------------------------------------------------------------------- memory */

static void
a_source_that_was_told_the_end_makes_room_at_once(void)
{
    //  One after the other, without a word of leave: more than fit at a time.
    begin_with(6);
    forwarder_core_destroy(&world.core);
    world.settings.memory_bytes = 300 * 1000;
    restart();
    join_all(6);
    char name[NAME_SIZE];
    for (size_t i = 0; i < 60; i++) {
        snprintf(name, NAME_SIZE, "film-%zu", i);
        plan_t plan = FILE_PLAN;
        plan.name = name;
        source_t source;
        CHECK(open_source(&source, SOURCE, plan) == STATUS_OK);
        give(&source, 3 * CHUNK);
        CHECK(finish(&source) == STATUS_OK);
        pump();
        forget_said();
    }
    end();
}

static void
open_chunks_stay_under_the_budget(void)
{
    //  Sources give all they may while nothing is receipted; then all of it
    //  comes through, the budget kept at each step.
    begin_with(6);
    enum { BUDGET = 300 * 1000 };
    forwarder_core_destroy(&world.core);
    world.settings.memory_bytes = BUDGET;
    restart();
    join_all(6);
    source_t sources[40];
    char names[40][NAME_SIZE];
    size_t count = 0, refused = 0;
    for (size_t i = 0; i < 40; i++) {
        snprintf(names[i], NAME_SIZE, "film-%zu", i);
        plan_t plan = FILE_PLAN;
        plan.name = names[i];
        status_t status = open_source(&sources[count], SOURCE, plan);
        CHECK(status == STATUS_OK || status == STATUS_BUSY);
        count += status == STATUS_OK;
        refused += status == STATUS_BUSY;
    }
    CHECK(count >= 10 && refused > 0);
    size_t done = 0;
    for (int turn = 0; turn < 200 && done < count; turn++) {
        for (size_t i = 0; i < count; i++) {
            source_t *source = &sources[i];
            if (source->next >= 60 * CHUNK)
                continue;
            source->credit = progress(source)->credit;
            uint64_t some = source->credit - source->next;
            uint64_t left = 60 * CHUNK - source->next;
            give(source, some < left ? some : left);
            forget_said();
            CHECK(report()->memory_bytes <= BUDGET);
            if (source->next == 60 * CHUNK) {
                CHECK(finish(source) == STATUS_OK);
                done++;
            }
        }
        pump();
        forget_said();
    }
    CHECK(done == count);
    CHECK(report()->memory_bytes == 0);
    for (size_t i = 0; i < count; i++)
        read_all(sources[i].stream, 0, 60 * CHUNK);
    end();
}

//  Live chunks that are cut short while nothing is receipted: their parity is
//  longer than they are.
static void
short_chunks_stay_under_the_budget(void)
{
    enum { BUDGET = 160 * 1000, BURSTS = 190, BYTES = 40 };
    begin_with(6);
    forwarder_core_destroy(&world.core);
    world.settings.memory_bytes = BUDGET;
    restart();
    join_all(6);
    for (int i = 0; i < 6; i++)
        world.fakes[i].mute = true;
    plan_t plan = LIVE_PLAN;
    plan.buffer_ms = 1;
    source_t source = opened(plan);
    //  A block each, in less time than it takes to let a worker go.
    for (int burst = 0; burst < BURSTS; burst++) {
        give(&source, BYTES);
        world.now += 1;
        sweep();
        world.now += 4;
        sweep();
        forget_said();
        CHECK(report()->memory_bytes <= BUDGET);
    }
    CHECK(report()->memory_bytes > BUDGET / 3);
    for (int i = 0; i < 6; i++)
        world.fakes[i].mute = false;
    live(500);
    CHECK(progress(&source)->settled == BURSTS * BYTES);
    CHECK(report()->memory_bytes == 0);
    read_all(source.stream, 0, BURSTS * BYTES);
    end();
}

static void
idle_sources_keep_nobody_out(void)
{
    //  All but the last were granted their share, used it, and are idle.
    begin_with(6);
    forwarder_core_destroy(&world.core);
    world.settings.memory_bytes = 300 * 1000;
    restart();
    join_all(6);
    enum { SOURCES = 8, LAST = SOURCES - 1 };
    source_t sources[SOURCES];
    char names[SOURCES][NAME_SIZE];
    for (size_t i = 0; i < SOURCES; i++) {
        snprintf(names[i], NAME_SIZE, "film-%zu", i);
        plan_t plan = FILE_PLAN;
        plan.name = names[i];
        CHECK(open_source(&sources[i], SOURCE + (int)i, plan) == STATUS_OK);
        for (int turn = 0; turn < 30; turn++) {
            sources[i].credit = progress(&sources[i])->credit;
            give(&sources[i],
                 i < LAST ? sources[i].credit - sources[i].next : 0);
            pump();
            forget_said();
        }
    }
    CHECK(sources[LAST].credit >= 8 * CHUNK);
    for (size_t i = 0; i < 40; i++) {
        sources[LAST].credit = progress(&sources[LAST])->credit;
        give(&sources[LAST], sources[LAST].credit - sources[LAST].next);
        CHECK(report()->memory_bytes <= 300 * 1000);
        pump();
        forget_said();
    }
    CHECK(sources[LAST].next > 100 * CHUNK);
    //  Who sends what was taken back goes on after another Open.
    source_t *first = &sources[0];
    uint64_t sent = first->next;
    status_t status = STATUS_OK;
    while (status == STATUS_OK && sent < first->credit) {
        status = give_at(first, sent, 100);
        sent += status == STATUS_OK ? 100 : 0;
    }
    CHECK(status == STATUS_OK || status == STATUS_OFFSET);
    plan_t plan = FILE_PLAN;
    plan.name = names[0];
    CHECK(open_source(first, SOURCE, plan) == STATUS_OK);
    give(first, first->credit - first->next);
    pump();
    CHECK(finish(first) == STATUS_OK);
    pump();
    CHECK(progress(first)->sealed);
    read_all(first->stream, 0, first->next);
    end();
}

static void
who_brings_nothing_leaves_nothing(void)
{
    begin_with(6);
    uint64_t before = report()->catalogue_bytes;
    source_t sources[200];
    char names[200][NAME_SIZE];
    //  More than a connection may have are refused; of many connections each
    //  leaves nothing when its lease is over.
    for (int i = 0; i < 200; i++) {
        snprintf(names[i], NAME_SIZE, "flood-%d", i);
        plan_t plan = LIVE_PLAN;
        plan.name = names[i];
        plan.token = 100 + (uint64_t)i;
        status_t status = open_source(&sources[i], SOURCE + i / 20, plan);
        CHECK(status ==
              (i % 20 < LIMIT_STREAMS_PER_PEER ? STATUS_OK : STATUS_BUSY));
        forget_said();
    }
    //  One of them brings a byte, one says that it was all, one leaves.
    give(&sources[0], 1);
    CHECK(finish(&sources[1]) == STATUS_OK);
    leave(&sources[2]);
    live(15000);
    CHECK(report()->streams == 2 && report()->open_streams == 1);
    CHECK(describe("flood-0")->stored == 1);
    CHECK(describe("flood-1")->sealed && describe("flood-1")->size == 0);
    CHECK(!describe("flood-2") && refusal() == STATUS_UNKNOWN);
    CHECK(report()->catalogue_bytes < before + 2 * 1024);
    power_cut();
    join_all(6);
    live(2000);
    CHECK(report()->streams == 2);
    //  Its source comes back to where nothing is: it is another stream.
    plan_t plan = LIVE_PLAN;
    plan.name = names[3];
    plan.token = 103;
    CHECK(open_source(&sources[3], SOURCE, plan) == STATUS_OK);
    CHECK(sources[3].next == 0 && sources[3].begin == 0);
    end();
}

static void
a_stream_is_recorded_before_it_is_pushed(void)
{
    //  What a store holds of a stream that nobody knows would never be swept.
    begin_with(6);
    source_t source = opened(LIVE_PLAN);
    kv_memory_fail_after(world.kv, 1, STATUS_IO);
    CHECK(give_at(&source, 0, 100) == STATUS_OK);
    pass(1000);
    for (int i = 0; i < 6; i++)
        CHECK(world.fakes[i].pushes == 0);
    CHECK(fault() == STATUS_IO);
    end();
}

static void
who_is_silent_makes_room(void)
{
    begin_with(6);
    forwarder_core_destroy(&world.core);
    world.settings.memory_bytes = 300 * 1000;
    restart();
    join_all(6);
    source_t sources[100], last;
    char names[100][NAME_SIZE];
    int count = 0;
    for (;; count++) {
        CHECK(count < 100);
        snprintf(names[count], NAME_SIZE, "film-%d", count);
        plan_t plan = FILE_PLAN;
        plan.name = names[count];
        if (open_source(&sources[count], SOURCE + count / 10, plan) ==
            STATUS_BUSY)
            break;
        if (count % 2)
            give(&sources[count], 100);
    }
    CHECK(count > 4);
    plan_t plan = FILE_PLAN;
    plan.name = "latecomer";
    CHECK(open_source(&last, READER, plan) == STATUS_BUSY);
    live(2500);
    CHECK(open_source(&last, READER, plan) == STATUS_OK);
    give(&last, 4 * CHUNK);
    live(1000);
    CHECK(progress(&last)->stored == 4 * CHUNK);
    //  The eldest of those that brought nothing; who brought is still there.
    keep_source(&sources[0]);
    CHECK(refusal() == STATUS_SESSION);
    for (int i = 1; i < count; i++) {
        keep_source(&sources[i]);
        CHECK(refusal() == STATUS_OK);
    }
    end();
}

static void
a_recovery_stays_under_the_budget(void)
{
    begin_with(6);
    enum { BUDGET = 300 * 1000, STREAMS = 8 };
    char names[STREAMS][NAME_SIZE];
    world.fakes[0].mute = true;
    for (int i = 0; i < STREAMS; i++) {
        snprintf(names[i], NAME_SIZE, "film-%d", i);
        plan_t plan = FILE_PLAN;
        plan.name = names[i];
        source_t source = opened(plan);
        give(&source, 60 * CHUNK);
        pump();
        leave(&source);
    }
    world.settings.memory_bytes = BUDGET;
    power_cut();
    for (int i = 1; i < 6; i++)
        join(i);
    for (int turn = 0; turn < 400; turn++) {
        for (int i = 1; i < 6; i++)  //  They receipt in bursts
            world.fakes[i].mute = turn % 16 < 15;
        live(50);
        CHECK(report()->memory_bytes <= BUDGET);
        forget_said();
    }
    for (int i = 0; i < STREAMS; i++) {
        const Rill__V1__Described *told = describe(names[i]);
        CHECK(told && told->settled == 60 * CHUNK);
    }
    CHECK(report()->memory_bytes == 0);
    end();
}

static void
a_worker_that_is_never_reached_leaves(void)
{
    //  It lives and says so, but its PUSH address leads nowhere.
    begin_with(6);
    world.fakes[3].stuck = true;
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    live(2500);
    CHECK(world.fakes[3].session);
    CHECK(progress(&source)->settled == 0);
    live(1500);
    CHECK(!world.fakes[3].session);
    live(500);
    CHECK(progress(&source)->settled >= 6 * CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    live(500);
    CHECK(progress(&source)->sealed);
    end();
}

/*-------------------------------------------------------------------- noise */

static random_t dice;

//  A number that a peer may say: absurd, or one that means something here.
static uint64_t
odd(void)
{
    const fake_t *fake = &world.fakes[random_below(&dice, FAKES)];
    const part_t *part = fake->count
                             ? &fake->parts[random_below(&dice, fake->count)]
                             : NULL;
    switch (random_below(&dice, 14)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return UINT64_MAX;
    case 3:
        return UINT64_MAX - random_below(&dice, 2000);
    case 4:
        return 1ull << random_below(&dice, 64);
    case 5:
        return fake->session;
    case 6:
        return fake->store;
    case 7:
        return part ? part->header.key.stream : 3;
    case 8:
        return part ? part->header.key.epoch : 4;
    case 9:
        return part ? part->header.offset : 5;
    case 10:
        return random_below(&dice, 40);
    case 11:
        return CHUNK * random_below(&dice, 20);
    case 12:
        return 1ull << 32;
    default:
        return random_next(&dice);
    }
}

static uint64_t
any_stream(void)
{
    for (int i = 0; i < FAKES; i++)
        if (world.fakes[i].count && random_chance(&dice, 2, 3))
            return world.fakes[i].parts[0].header.key.stream;
    return odd();
}

static uint64_t
any_session(void)
{
    return random_chance(&dice, 1, 2)
               ? world.fakes[random_below(&dice, FAKES)].session
               : odd();
}

static Rill__V1__ChunkKey
any_key(void)
{
    Rill__V1__ChunkKey key = RILL__V1__CHUNK_KEY__INIT;
    key.stream = any_stream();
    key.epoch = odd();
    key.block = odd();
    key.slot = (uint32_t)odd();
    return key;
}

static void
noise_to_front(const source_t *source)
{
    static const char *const WORDS[] = { "",   "x",          "cam",
                                         "w1", "tcp://w1:1", "tcp://w77:1",
                                         "-",  "\xc3\xa4",   "a b" };
    char *word = message_lend(WORDS[random_below(&dice, 9)]);
    int peer = (int)random_below(&dice, 256);
    uint8_t slots[300];
    memset(slots, (int)odd(), sizeof slots);
    switch (random_below(&dice, 16)) {
    case 0: {
        Rill__V1__Open body = RILL__V1__OPEN__INIT;
        Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
        code.k = (uint32_t)odd();
        code.m = (uint32_t)odd();
        body.name = word;
        body.kind = (Rill__V1__Kind)(random_below(&dice, 5));
        body.token = odd();
        body.protection = random_chance(&dice, 1, 2) ? &code : NULL;
        body.known_case = random_chance(&dice, 1, 2)
                              ? RILL__V1__OPEN__KNOWN_SIZE
                              : 0;
        body.size = odd();
        body.rate_bytes = odd();
        SAY(peer, OPEN, open, &body);
        break;
    }
    case 1: {
        Rill__V1__Finish body = RILL__V1__FINISH__INIT;
        body.session = odd();
        body.offset = odd();
        SAY(peer, FINISH, finish, &body);
        break;
    }
    case 2: {
        source_t other = *source;
        other.session = random_chance(&dice, 1, 2) ? source->session : odd();
        uint64_t offset = odd();
        if (offset != source->next || other.session != source->session)
            (void)give_at(&other, offset, random_below(&dice, 3000));
        break;
    }
    case 3: {
        Rill__V1__Describe body = RILL__V1__DESCRIBE__INIT;
        body.which_case = (int)random_below(&dice, 3);
        if (body.which_case == RILL__V1__DESCRIBE__WHICH_NAME)
            body.name = word;
        else
            body.stream = odd();
        SAY(peer, DESCRIBE, describe, &body);
        break;
    }
    case 4: {
        Rill__V1__List body = RILL__V1__LIST__INIT;
        body.after = word;
        body.most = (uint32_t)odd();
        SAY(peer, LIST, list, &body);
        break;
    }
    case 5:
    case 6:
    case 7: {
        Rill__V1__Ask body = RILL__V1__ASK__INIT;
        body.stream = any_stream();
        body.at_case = random_chance(&dice, 1, 9) ? (int)random_below(&dice, 5)
                                                  : RILL__V1__ASK__AT_OFFSET;
        body.offset = odd();
        body.wait = random_chance(&dice, 1, 2);
        body.budget_ms = (uint32_t)odd();
        SAY(peer, ASK, ask, &body);
        break;
    }
    case 8:
    case 9: {
        Rill__V1__ListChunks body = RILL__V1__LIST_CHUNKS__INIT;
        body.stream = any_stream();
        body.from = odd();
        body.most = (uint32_t)odd();
        body.parity = random_chance(&dice, 1, 2);
        SAY(peer, LIST_CHUNKS, list_chunks, &body);
        break;
    }
    case 10: {
        Rill__V1__Hello body = RILL__V1__HELLO__INIT;
        Rill__V1__Space space = RILL__V1__SPACE__INIT;
        space.bytes = odd();
        space.free_bytes = odd();
        body.name = word;
        body.store = random_chance(&dice, 1, 30) ? odd() : 0x900 + odd() % 300;
        body.push_at = message_lend(WORDS[random_below(&dice, 9)]);
        body.ask_at = message_lend(WORDS[random_below(&dice, 9)]);
        body.boot = odd();
        body.space = random_chance(&dice, 1, 2) ? &space : NULL;
        //  Its address is nobody's here: connecting fails or does not.
        if (strncmp(body.push_at, "tcp://w1:", 9) != 0)
            SAY(peer, HELLO, hello, &body);
        break;
    }
    case 11:
    case 12: {
        Rill__V1__Run run = RILL__V1__RUN__INIT;
        Rill__V1__Run *runs = &run;
        run.first = odd();
        run.slots.len = random_below(&dice, sizeof slots);
        run.slots.data = run.slots.len ? slots : NULL;
        Rill__V1__Held held = RILL__V1__HELD__INIT;
        Rill__V1__Held *helds = &held;
        held.stream = any_stream();
        held.epoch = odd();
        held.settled = odd();
        held.runs = &runs;
        held.n_runs = random_below(&dice, 2);
        Rill__V1__Inventory body = RILL__V1__INVENTORY__INIT;
        body.session = odd();
        body.held = &helds;
        body.n_held = random_below(&dice, 2);
        body.done = random_chance(&dice, 1, 2);
        body.part = (uint32_t)odd();
        SAY(peer, INVENTORY, inventory, &body);
        break;
    }
    case 13: {
        Rill__V1__WorkerKeep body = RILL__V1__WORKER_KEEP__INIT;
        body.session = any_session();
        SAY(peer, WORKER_KEEP, worker_keep, &body);
        break;
    }
    case 14: {
        Rill__V1__SourceKeep body = RILL__V1__SOURCE_KEEP__INIT;
        body.session = odd();
        SAY(peer, SOURCE_KEEP, source_keep, &body);
        break;
    }
    default: {
        Rill__V1__Remove body = RILL__V1__REMOVE__INIT;
        body.name = message_lend("nobody");
        SAY(peer, REMOVE, remove, &body);
        break;
    }
    }
}

static void
noise_from_worker(void)
{
    uint64_t session = any_session();
    uint64_t request =
        random_chance(&dice, 1, 2) && world.asks_count
            ? world.asks[random_below(&dice, world.asks_count)].message->request
            : odd();
    switch (random_below(&dice, 5)) {
    case 0: {
        Rill__V1__Located body = RILL__V1__LOCATED__INIT;
        body.found = random_chance(&dice, 4, 5);
        body.block = odd();
        body.slot = (uint32_t)odd();
        body.offset = odd();
        body.length = (uint32_t)odd();
        message_t message = MESSAGE(LOCATED, located, &body, request, 0);
        forwarder_core_on_worker(world.core, session, &message, NULL,
                                 world.now);
        break;
    }
    case 1: {
        Rill__V1__ScannedChunk chunks[8], *list[8];
        Rill__V1__Scanned body = RILL__V1__SCANNED__INIT;
        body.n_chunks = random_below(&dice, 9);
        body.chunks = list;
        for (size_t i = 0; i < body.n_chunks; i++) {
            rill__v1__scanned_chunk__init(&chunks[i]);
            chunks[i].block = odd();
            chunks[i].slot = (uint32_t)odd();
            chunks[i].offset = odd();
            chunks[i].length = (uint32_t)odd();
            list[i] = &chunks[i];
        }
        message_t message = MESSAGE(SCANNED, scanned, &body, request, 0);
        forwarder_core_on_worker(world.core, session, &message, NULL,
                                 world.now);
        break;
    }
    case 2: {
        //  A chunk of its own that nobody asked of it, whole or without.
        fake_t *fake = &world.fakes[random_below(&dice, FAKES)];
        Rill__V1__Fetched body = RILL__V1__FETCHED__INIT;
        chunk_on_wire_t wire;
        buffer_t *payload = buffer_new(random_below(&dice, 2) * CHUNK);
        memset(buffer_fill(payload), 1, buffer_size(payload));
        if (fake->count && random_chance(&dice, 2, 3)) {
            message_from_chunk(
                &fake->parts[random_below(&dice, fake->count)].header, &wire);
            body.chunk = &wire.header;
            if (random_chance(&dice, 1, 3))
                wire.header.offset = odd();
            if (random_chance(&dice, 1, 3))
                wire.header.k = (uint32_t)odd();
        }
        message_t message = MESSAGE(FETCHED, fetched, &body, request, 0);
        forwarder_core_on_worker(world.core, session, &message,
                                 random_chance(&dice, 1, 3) ? NULL : payload,
                                 world.now);
        buffer_unref(&payload);
        break;
    }
    case 3: {
        Rill__V1__Dropped body = RILL__V1__DROPPED__INIT;
        body.stream = any_stream();
        message_t message = MESSAGE(DROPPED, dropped, &body, request, 0);
        forwarder_core_on_worker(world.core, session, &message, NULL,
                                 world.now);
        break;
    }
    default: {
        Rill__V1__Refused body = RILL__V1__REFUSED__INIT;
        body.status = (Rill__V1__Status)odd();
        message_t message = MESSAGE(REFUSED, refused, &body, request, 0);
        forwarder_core_on_worker(world.core, session, &message, NULL,
                                 world.now);
        break;
    }
    }
}

static void
noise_of_receipts(void)
{
    Rill__V1__ChunkKey keys[5], *list[5];
    for (size_t i = 0; i < 5; i++) {
        keys[i] = any_key();
        list[i] = &keys[i];
    }
    const fake_t *fake = &world.fakes[random_below(&dice, FAKES)];
    Rill__V1__Receipt body = RILL__V1__RECEIPT__INIT;
    body.term = random_chance(&dice, 4, 5) ? fake->term : odd();
    body.session = random_chance(&dice, 4, 5) ? fake->session : odd();
    body.store = random_chance(&dice, 4, 5) ? fake->store : odd();
    body.n_stored = random_below(&dice, 6);
    body.stored = list;
    body.status = (Rill__V1__Status)odd();
    if (random_chance(&dice, 1, 20)) {
        body.n_failed = 1;
        body.failed = list;
    }
    message_t message = MESSAGE(RECEIPT, receipt, &body, 0, 0);
    forwarder_core_on_receipt(world.core, &message, world.now);
}

static void
noise_changes_nothing(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        begin_with(7);
        dice = random_seeded(seed);
        source_t source = opened(LIVE_PLAN);
        uint64_t stored = 0;
        for (int step = 0; step < 1500; step++) {
            uint64_t act = random_below(&dice, 40);
            if (act < 14)
                noise_to_front(&source);
            else if (act < 20)
                noise_from_worker();
            else if (act < 24)
                noise_of_receipts();
            else if (act < 28 && give_at(&source, source.next, 97) == STATUS_OK)
                source.next += 97;
            else if (act < 32)
                (void)answer_one();
            else if (act < 36)
                (void)give_receipts((int)random_below(&dice, 7));
            else if (act == 36)
                pass(50);
            else if (act == 37) {
                int number = (int)random_below(&dice, 7);
                if (!world.fakes[number].session)
                    join(number);
                else if (random_chance(&dice, 1, 10))
                    kill_worker(number);
            } else if (act == 38 && random_chance(&dice, 1, 20)) {
                power_cut();
                for (int i = 0; i < 7; i++)
                    join(i);
                live(1500);
            } else {
                source_t again;
                if (open_source(&again, SOURCE, LIVE_PLAN) == STATUS_OK)
                    source = again;
            }
            CHECK(fault() == STATUS_OK);
            const message_t *said = SAID_TO(SOURCE, PROGRESS);
            if (said && said->progress->stored > stored)
                stored = said->progress->stored;
            if (world.said_count > SAID / 2)
                forget_said();
            if (world.asks_count > ASKS / 2)
                forget_asks();
        }
        live(12000);
        for (int i = 0; i < 7; i++)
            if (!world.fakes[i].session)
                join(i);
        live(12000);
        forget_said();
        CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
        CHECK(finish(&source) == STATUS_OK ||
              (give_at(&source, source.next, 1) == STATUS_OK &&
               (source.next++, finish(&source) == STATUS_OK)));
        live(2000);
        CHECK(progress(&source)->sealed &&
              progress(&source)->settled >= stored);
        read_all(source.stream, 0, source.next);
        (void)walk_layout(source.stream, 0, UINT64_MAX);
        end();
    }
}

/*------------------------------------------------------------- bad messages */

static void
what_cannot_be_read_is_refused(void)
{
    begin_with(2);
    peer_t peer = peer_of(READER), nobody = { .size = 0 };
    forwarder_core_on_bad(world.core, &peer, 55, STATUS_VERSION, world.now);
    said_t *said = answer_to(55);
    CHECK(said && said->peer.bytes[0] == READER);
    CHECK((status_t)said->message->refused->status == STATUS_VERSION);
    size_t count = world.said_count;
    forwarder_core_on_bad(world.core, &nobody, 0, STATUS_MALFORMED, world.now);
    forwarder_core_on_bad(world.core, NULL, 0, STATUS_MALFORMED, world.now);
    CHECK(world.said_count == count);
    Rill__V1__Welcome body = RILL__V1__WELCOME__INIT;
    SAY(READER, WELCOME, welcome, &body);
    CHECK(refusal() == STATUS_KIND);
    CHECK(counter(COUNTER_messages_total_unreadable) == 3 &&
          counter(COUNTER_faults_total_misplaced) == 1);
    CHECK(counter(COUNTER_messages_total_refused) == 1);
    end();
}

static void
every_message_ends_in_one_counter(void)
{
    begin_with(2);
    Rill__V1__SourceLeave leave = RILL__V1__SOURCE_LEAVE__INIT;
    leave.session = 77;
    SAY(READER, SOURCE_LEAVE, source_leave, &leave);
    Rill__V1__Describe describe = RILL__V1__DESCRIBE__INIT;
    describe.which_case = RILL__V1__DESCRIBE__WHICH_NAME;
    char nowhere[] = "nowhere";
    describe.name = nowhere;
    SAY(READER, DESCRIBE, describe, &describe);
    CHECK(refusal() == STATUS_UNKNOWN);
    Rill__V1__Receipt foreign = RILL__V1__RECEIPT__INIT;
    message_t receipt = MESSAGE(RECEIPT, receipt, &foreign, 0, 0);
    forwarder_core_on_receipt(world.core, &receipt, world.now);
    forwarder_core_on_receipt(
        world.core,
        &(message_t)MESSAGE(SOURCE_LEAVE, source_leave, &leave, 0, 0),
        world.now);
    forwarder_core_on_bad(world.core, NULL, 0, STATUS_TOO_LARGE, world.now);
    CHECK(counter(COUNTER_messages_total_dropped) == 3 &&
          counter(COUNTER_messages_total_refused) == 1);
    CHECK(counter(COUNTER_faults_total_receipt_foreign) == 1 &&
          counter(COUNTER_faults_total_misplaced) == 1);
    CHECK(counter(COUNTER_messages_total_unreadable) == 1);
    //  The question that told `in` is among those taken when it is told next.
    uint64_t in = counter(COUNTER_messages_received_total);
    uint64_t taken = counter(COUNTER_messages_total_taken);
    CHECK(taken > 0 && in == taken + 3 + 1 + 1);
    end();
}

/*--------------------------------------------------------------- retention */

enum { KEEP_MS = 64000, STEPS = 2048 };

//  When each thousand bytes of a stream were given.
typedef struct {
    millis_t at[STEPS];
    unsigned count;
} diary_t;

//  Take what a worker was told about its horizon, and forget all below it at
//  once: no store may go further.
static void
obey(void)
{
    keep_worker(0);
    message_t *kept = SAID_TO(0, WORKER_KEPT);
    CHECK(kept && kept->worker_kept->n_horizons == 1);
    const Rill__V1__Horizon *horizon = kept->worker_kept->horizons[0];
    CHECK(horizon->retention == 0 && horizon->span_ms == 2000);
    CHECK(horizon->horizon_us >= world.horizon_us);
    world.horizon_us = horizon->horizon_us;
    for (int i = 0; i < FAKES; i++) {
        for (size_t p = 0; p < world.fakes[i].count; p++) {
            part_t *part = &world.fakes[i].parts[p];
            part->lost = part->header.retention == 0 &&
                         part->header.block_us < world.horizon_us;
        }
        forget_lost(&world.fakes[i]);
    }
    forget_said();
}

static void
begin_kept(uint64_t keep_ms)
{
    begin_with(6);
    world.settings.retention.keep_ms = keep_ms;
    power_cut();
    join_all(6);
    live(1500);
}

//  Nothing younger than its age is gone, nothing much older is there.
static void
must_be_young(const source_t *source, const diary_t *diary, millis_t slack)
{
    const Rill__V1__Described *told = describe(source->plan.name);
    CHECK(told);
    uint64_t first = told->first;
    for (unsigned i = 0; i < diary->count; i++) {
        millis_t age = world.now - diary->at[i];
        CHECK(age > KEEP_MS || i * 1000u >= first);
        CHECK(age < KEEP_MS + slack || (i + 1) * 1000u <= first);
    }
}

//  Give a thousand bytes a second for `seconds`.
static void
give_slowly(source_t *source, diary_t *diary, unsigned seconds, millis_t slack)
{
    for (unsigned i = 0; i < seconds; i++) {
        CHECK(diary->count < STEPS);
        diary->at[diary->count++] = world.now;
        give(source, 1000);
        keep_source(source);
        live(1000);
        obey();
        if (slack)
            must_be_young(source, diary, slack);
    }
}

//  What is there is exact, what is not is told.
static void
must_be_kept(const source_t *source)
{
    const Rill__V1__Described *told = describe(source->plan.name);
    CHECK(told);
    uint64_t first = told->first, stored = told->stored;
    if (first) {
        uint64_t request = send_ask(source->stream, first - 1, true);
        pump();
        const Rill__V1__Refused *refused = answer_to(request)->message->refused;
        CHECK((status_t)refused->status == STATUS_GONE);
        CHECK(refused->offset == first);
    }
    read_all(source->stream, first, stored);
}

static void
a_live_stream_goes_from_its_front(void)
{
    begin_kept(KEEP_MS);
    static diary_t diary;
    diary = (diary_t){ .count = 0 };
    source_t source = opened(LIVE_PLAN);
    give_slowly(&source, &diary, 60, 6000);
    CHECK(describe("cam")->first == 0);
    must_be_kept(&source);
    for (int i = 0; i < 4; i++) {
        give_slowly(&source, &diary, 20, 6000);
        must_be_kept(&source);
    }
    CHECK(describe("cam")->first > 60000 && describe("cam")->extents < 50);
    end();
}

static void
a_restart_and_a_wall_do_not_move_it(void)
{
    static const micros_t WALLS[] = { 72 * INT64_C(3600000000), 0,
                                      -72 * INT64_C(3600000000) };
    for (int order = 0; order < 3; order++) {
        begin_kept(KEEP_MS);
        static diary_t diary;
        diary = (diary_t){ .count = 0 };
        source_t source = opened(LIVE_PLAN);
        give_slowly(&source, &diary, 30, 6000);
        for (int i = 0; i < 3; i++) {
            world.wall_off = WALLS[(order + i) % 3];  //  While it runs
            give_slowly(&source, &diary, 40, 6000);
            must_be_kept(&source);
        }
        world.wall_off = 0;
        power_cut();
        join_all(6);
        live(1500);
        CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
        give_slowly(&source, &diary, 80, 10000);
        must_be_kept(&source);
        end();
    }
}

static void
a_wall_that_is_off_at_a_start_takes_its_time(void)
{
    begin_kept(KEEP_MS);
    static diary_t diary;
    diary = (diary_t){ .count = 0 };
    source_t source = opened(LIVE_PLAN);
    give_slowly(&source, &diary, 70, 6000);
    uint64_t first = describe("cam")->first;
    world.wall_off = 72 * INT64_C(3600000000);
    power_cut();
    join_all(6);
    live(1500);
    CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
    give_slowly(&source, &diary, 10, 0);
    CHECK(describe("cam")->first <= first + 2 * 12000 + 4000);
    //  What came since then is kept for its whole age.
    diary.count = 70;
    give_slowly(&source, &diary, 62, 0);
    const Rill__V1__Described *told = describe("cam");
    CHECK(told->first <= 80000 && told->first > 60000);
    read_all(source.stream, told->first, told->stored);
    end();
}

static void
a_file_goes_as_a_whole(void)
{
    begin_kept(KEEP_MS);
    source_t film = put(file_of(9 * CHUNK), 9 * CHUNK);
    plan_t kept_plan = file_of(CHUNK);
    kept_plan.name = "kept";
    kept_plan.retention = 1;
    put(kept_plan, CHUNK);
    live(KEEP_MS - 5000);
    obey();
    read_all(film.stream, 0, 9 * CHUNK);
    live(8000);
    CHECK(!describe("film") && refusal() == STATUS_UNKNOWN);
    CHECK(describe("kept"));  //  Of a class that is kept for ever
    obey();
    //  Its name is free, and the horizon has passed it.
    CHECK(world.horizon_us > 1700000000000000 + KEEP_MS);
    plan_t again = file_of(CHUNK);
    again.token = 9;
    put(again, CHUNK);
    live(3000);
    obey();
    CHECK(describe("film"));
    power_cut();
    join_all(6);
    live(2000);
    CHECK(describe("film") && describe("kept"));
    end();
}

static void
a_stream_nobody_writes_ends_when_all_is_old(void)
{
    begin_kept(KEEP_MS);
    source_t source = opened(LIVE_PLAN);
    give(&source, 5000);
    leave(&source);
    live(KEEP_MS / 2);
    power_cut();
    join_all(6);
    live(KEEP_MS / 2 - 5000);
    CHECK(describe("cam"));
    read_all(source.stream, 0, 5000);
    live(10000);
    CHECK(!describe("cam"));
    end();
}

static void
bytes_and_space_take_the_oldest(void)
{
    begin_with(6);
    world.settings.retention.most_bytes = 64000;
    world.settings.retention.keep_free = 5000;
    power_cut();
    for (int i = 0; i < FAKES; i++)
        world.fakes[i].free_bytes = 10000;
    join_all(6);
    live(1500);
    source_t source = opened(LIVE_PLAN);
    for (int i = 0; i < 100; i++) {
        give(&source, 1000);
        keep_source(&source);
        live(300);
        forget_said();
    }
    live(1500);
    const Rill__V1__Described *told = describe("cam");
    CHECK(told->stored >= 99000 && told->first > 0);
    CHECK(told->stored - told->first <= 64000);
    CHECK(told->stored - told->first > 64000 - 2 * 4000);
    //  One worker has little left: piece by piece, until it has enough.
    uint64_t first = told->first;
    world.fakes[3].free_bytes = 4000;
    live(3000);
    keep_source(&source);
    CHECK(describe("cam")->first > first);
    CHECK(describe("cam")->first <= first + 2 * 4000);
    world.fakes[3].free_bytes = 6000;
    live(1000);
    first = describe("cam")->first;
    keep_source(&source);
    live(5000);
    CHECK(describe("cam")->first == first);
    read_all(source.stream, first, describe("cam")->stored);
    end();
}

static void
a_slow_stream_holds_no_space(void)
{
    //  Its first extent is the oldest and would last for an hour.
    begin_with(6);
    world.settings.retention.keep_free = 64000;
    power_cut();
    join_all(6);
    live(1500);
    plan_t plan = LIVE_PLAN;
    plan.name = "slow";
    source_t slow = opened(plan), source = opened(LIVE_PLAN);
    for (int i = 0; i < FAKES; i++)
        world.fakes[i].free_bytes = 60000;
    join_all(6);
    for (int i = 0; i < 100; i++) {
        if (i % 10 == 0)
            give(&slow, 100);
        give(&source, 1000);
        keep_source(&slow);
        keep_source(&source);
        live(300);
        forget_said();
    }
    CHECK(describe("slow")->first > 0);
    CHECK(describe("cam")->first > 0);
    end();
}

/*--------------------------------------------- what stores hold and lack */

static const Rill__V1__WorkerReport *
worker_told(uint64_t store)
{
    const Rill__V1__Report *told = report();
    for (size_t i = 0; i < told->n_workers; i++)
        if (told->workers[i]->store == store)
            return told->workers[i];
    return NULL;
}

//  Parts on all disks, and of them those of another epoch than the newest.
static size_t
count_parts(size_t *old_r)
{
    uint64_t newest = 0;
    size_t count = 0;
    for (int i = 0; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            if (world.fakes[i].parts[p].header.key.epoch > newest)
                newest = world.fakes[i].parts[p].header.key.epoch;
    *old_r = 0;
    for (int i = 0; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++, count++)
            *old_r += world.fakes[i].parts[p].header.key.epoch < newest;
    return count;
}

static void
mute_all(bool mute)
{
    for (int i = 0; i < FAKES; i++)
        world.fakes[i].mute = mute;
}

static void
what_was_dealt_again_is_swept(void)
{
    begin_with(6);
    live(100);
    source_t source = opened(FILE_PLAN);
    give(&source, 8 * CHUNK);
    receipt_some(5);
    give(&source, 8 * CHUNK);
    //  These are on disk, and of an extent that counts.
    CHECK(give_receipts(2) > 0);
    size_t held = world.fakes[2].count;
    kill_worker(2);
    mute_all(true);
    live(2500);
    size_t old;
    count_parts(&old);
    CHECK(old > held && counter(COUNTER_records_swept_total) == 0);
    mute_all(false);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    live(2500);
    CHECK(counter(COUNTER_records_swept_total) > 0);
    join(2);
    live(2500);
    CHECK(world.fakes[2].count < held);
    size_t before = count_parts(&old);
    power_cut();
    join_all(6);
    live(2500);
    CHECK(count_parts(&old) == before);
    CHECK(report()->under_protected == 0);
    read_all(source.stream, 0, source.next);
    end();
}

static void
an_attempt_that_never_counted_is_swept(void)
{
    begin_with(6);
    live(100);
    source_t source = opened(FILE_PLAN);
    give(&source, 16 * CHUNK);
    //  These are on disk, but no block is whole when it dies.
    CHECK(give_receipts(2) > 0);
    size_t held = world.fakes[2].count;
    kill_worker(2);
    mute_all(true);
    live(2500);
    size_t old;
    count_parts(&old);
    CHECK(old == held && counter(COUNTER_records_swept_total) > 0);
    mute_all(false);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    join(2);
    live(2500);
    count_parts(&old);
    CHECK(old == 0 && world.fakes[2].count == 0);
    CHECK(report()->under_protected == 0);
    read_all(source.stream, 0, source.next);
    end();
}

static void
what_counts_no_more_after_a_sweep_is_swept(void)
{
    //  Two extents are stored, not settled, and both are dealt again. Before
    //  that counts, stores are told to keep what counts of the first.
    begin_with(6);
    live(100);
    source_t source = opened(FILE_PLAN);
    world.fakes[0].mute = true;
    give(&source, 8 * CHUNK);
    pump();
    join(6);
    give(&source, 8 * CHUNK);
    pump();
    CHECK(progress(&source)->stored == 16 * CHUNK);
    CHECK(progress(&source)->settled == 0);
    uint64_t newest = 0;
    for (size_t p = 0; p < world.fakes[1].count; p++)
        if (world.fakes[1].parts[p].header.key.epoch > newest)
            newest = world.fakes[1].parts[p].header.key.epoch;
    kill_worker(0);
    mute_all(true);
    live(2500);
    mute_all(false);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    live(2500);
    for (int i = 1; i < FAKES; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            CHECK(world.fakes[i].parts[p].header.key.epoch > newest);
    read_all(source.stream, 0, source.next);
    end();
}

static void
full_disks_give_back_what_never_counted(void)
{
    //  Attempts fill both disks, in this term or in one before.
    for (int restarts = 0; restarts < 2; restarts++) {
        begin_with(2);
        source_t source = opened(FILE_PLAN);
        give(&source, 4 * CHUNK);
        pump();
        give(&source, 4 * CHUNK);
        CHECK(give_receipts(0) > 0);
        for (int i = 0; i < 3; i++) {
            kill_worker(1);
            if (i == 2)
                world.fakes[0].full = world.fakes[1].full = true;
            keep_worker(0);
            join(1);
            if (i < 2)
                CHECK(give_receipts(0) > 0);
        }
        if (restarts) {
            power_cut();
            join_all(2);
        }
        CHECK(counter(COUNTER_records_swept_total) == 0);
        live(3000);
        CHECK(counter(COUNTER_records_swept_total) >= 8);
        CHECK(!restarts ||
              open_source(&source, SOURCE, FILE_PLAN) == STATUS_HELD);
        world.fakes[0].full = world.fakes[1].full = false;
        live(1000);
        CHECK(open_source(&source, SOURCE, FILE_PLAN) == STATUS_OK);
        CHECK(source.next == 8 * CHUNK);
        CHECK(finish(&source) == STATUS_OK);
        pump();
        CHECK(progress(&source)->sealed);
        read_all(source.stream, 0, source.next);
        end();
    }
}

static void
what_counts_is_never_swept(void)
{
    //  The chain changes twice; then all come back, in the next term too.
    begin_with(7);
    source_t source = opened(LIVE_PLAN);
    for (int gone = 1; gone <= 2; gone++) {
        give(&source, 20 * CHUNK);
        live(800);
        give(&source, 5 * CHUNK);
        kill_worker(gone);
        live(800);
        join(gone);
    }
    live(3000);
    power_cut();
    join_all(7);
    live(3000);
    size_t old, before = count_parts(&old);
    power_cut();
    join_all(7);
    live(3000);
    CHECK(count_parts(&old) == before && old > 0);
    CHECK(describe("cam")->under_protected == 0);
    read_all(source.stream, 0, describe("cam")->stored);
    end();
}

static void
an_older_disk_is_told(void)
{
    begin_with(6);
    put(FILE_PLAN, 60 * CHUNK);
    fake_t *fake = &world.fakes[1];
    kill_worker(1);
    for (size_t i = 0; i < 4; i++)
        fake->parts[fake->count - 1 - i].lost = true;
    join(1);
    live(1500);
    CHECK(worker_told(fake->store)->under_repair == 4);
    CHECK(worker_told(world.fakes[2].store)->under_repair == 0);
    CHECK(describe("film")->under_protected == 4);
    CHECK(report()->under_protected == 4);
    end();
}

static void
what_is_not_counted_yet_counts_as_missing(void)
{
    begin_with(6);
    put(FILE_PLAN, 60 * CHUNK);
    fake_t *fake = &world.fakes[1];
    kill_worker(1);
    CHECK(worker_told(fake->store)->under_repair == fake->count);
    fake->deaf = true;
    join(1);
    live(1500);
    CHECK(strcmp(worker_told(fake->store)->state, "live") == 0);
    CHECK(worker_told(fake->store)->under_repair == fake->count);
    //  Asked again until it answers.
    forget_asks();
    fake->deaf = false;
    live(1500);
    CHECK(worker_told(fake->store)->under_repair == 0);
    CHECK(describe("film")->under_protected == 0);
    end();
}

static void
a_wiped_store_stays_listed(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 60 * CHUNK);
    fake_t *fake = &world.fakes[1];
    uint64_t lost = fake->store, count = fake->count;
    kill_worker(1);
    wipe(fake);
    fake->store = 0x999;
    for (int i = 0; i < 2; i++) {
        join_all(6);
        live(1500);
        CHECK(worker_told(0x999)->under_repair == 0);
        CHECK(worker_told(lost)->under_repair == count);
        CHECK(strcmp(worker_told(lost)->state, "away") == 0);
        CHECK(describe("film")->under_protected == count);
        read_all(source.stream, 0, source.next);
        power_cut();
    }
    end();
}

//  A worker has a part of a stream of which nothing is known here.
static void
plant(int number, uint64_t stream)
{
    fake_t *fake = &world.fakes[number];
    part_t part = fake->parts[0];
    part.header.key.stream = stream;
    buffer_ref(part.payload);
    fake->parts[fake->count++] = part;
}

static void
an_unknown_stream_is_left_alone(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 60 * CHUNK);
    uint64_t stream = source.stream;
    CHECK(remove_stream("film") == STATUS_OK);
    live(500);
    put(FILE_PLAN, 60 * CHUNK);
    //  An old copy of a disk brings back what was removed; an old copy of the
    //  catalogue does not know what was stored.
    kill_worker(1);
    plant(1, stream);
    plant(1, 12345);
    join(1);
    live(1500);
    CHECK(parts_of(12345) == 1);
    const char *text;
    CHECK(forwarder_core_fault(world.core, &text) == STATUS_CORRUPT);
    CHECK(strstr(text, "--rebuild") != NULL);
    //  Nor does another start believe it.
    char why[200];
    forwarder_core_destroy(&world.core);
    CHECK(forwarder_core_new(&world.settings, &EFFECTS, NULL, world.kv,
                             world.now, &world.core, why,
                             sizeof why) == STATUS_CORRUPT);
    end();
}

//  What stores hold is counted in several answers, which come in any order.
static void
a_lost_catalogue_is_made_again(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 60 * CHUNK);
    uint64_t term = world.fakes[0].term;
    begin_rebuild(6);
    join_all(5);
    live(20000);
    //  Not before everybody has answered.
    CHECK(!forwarder_core_rebuilt(world.core));
    CHECK(world.fakes[0].term > term);
    world.scans = 0;
    join(5);
    end_rebuild();
    CHECK(world.scans == 6);
    join_all(6);
    live(1000);
    CHECK(describe("film")->sealed && describe("film")->size == 60 * CHUNK);
    CHECK(describe("film")->under_protected == 0);
    read_all(source.stream, 0, source.next);
    end();
}

static void
a_flipped_bit_shortens_no_rebuild(void)
{
    //  Two extents. The store that had the last chunk of the first is lost, and
    //  what is decoded from the other instead comes with a flipped bit once.
    begin_with(2);
    source_t source = opened(FILE_PLAN);
    give(&source, 3 * CHUNK);
    pump();
    int last = -1;
    for (int i = 0; i < 2; i++)
        for (size_t p = 0; p < world.fakes[i].count; p++)
            if (world.fakes[i].parts[p].header.offset == 2 * CHUNK &&
                !chunk_is_parity(&world.fakes[i].parts[p].header))
                last = i;
    CHECK(last >= 0);
    join(2);
    give(&source, 4 * CHUNK);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    copy_back(last, world.fakes[0].term);
    world.flips = 1;
    begin_rebuild(3);
    join_all(3);
    end_rebuild();
    CHECK(world.flips == 0);
    join_all(3);
    live(3000);
    CHECK(describe("film")->sealed && describe("film")->size == 7 * CHUNK);
    read_all(source.stream, 0, source.next);
    end();
}

static void
nobody_wanted_anything(void)
{
    CHECK(ears.all == 0 && ears.clocks == 0 && ears.sourced == 0);
}

//  Chunks that were pushed to any worker.
static unsigned
pushed(void)
{
    size_t count = 0;
    for (int i = 0; i < FAKES; i++)
        count += world.fakes[i].pushes;
    return (unsigned)count;
}

static void
what_becomes_of_bytes_is_told(void)
{
    begin_with(6);
    ears_open(&ears);
    source_t source = opened(FILE_PLAN);
    const event_t *event = EARS_LAST(&ears, SOURCE_OPENED, 1);
    CHECK(strcmp(event->name, "film") == 0 && event->stream == source.stream &&
          event->source_opened->offset == 0);
    give(&source, 9 * CHUNK + 300);
    event = EARS_LAST(&ears, CHUNK_DEALT, pushed());
    CHECK(event->stream == source.stream && *event->chunk_dealt->worker == 'w');
    receipt_some(5);
    unsigned told = ears.told[RILL__V1__EVENT__WHAT_BYTES_ACKNOWLEDGED];
    CHECK(told > 0 && progress(&source)->stored == 4 * CHUNK);
    event = EARS_LAST(&ears, BYTES_ACKNOWLEDGED, told);  //  It knew
    CHECK(event->bytes_acknowledged->stored == 4 * CHUNK);
    kill_worker(0);
    event = EARS_LAST(&ears, WORKER_LOST, 1);
    CHECK(strcmp(event->worker_lost->worker, "w0") == 0 &&
          *event->worker_lost->why);
    event = EARS_LAST(&ears, BLOCK_REDEALT,
                      (unsigned)counter(COUNTER_blocks_redealt_total));
    CHECK(strcmp(event->block_redealt->worker, "w0") == 0);
    CHECK(finish(&source) == STATUS_OK);
    pump();
    CHECK(progress(&source)->sealed);
    event = EARS_LAST(&ears, SOURCE_ENDED, 1);
    CHECK(event->source_ended->sealed &&
          event->source_ended->offset == 9 * CHUNK + 300);
    EARS_LAST(&ears, CHUNK_DEALT, pushed());
    read_at(source.stream, 1500);
    CHECK(ears.sourced == 1 && *ears.source == 'w');
    end();
    ears_end(&ears);
}

static void
who_lets_a_reading_wait_is_told(void)
{
    begin_with(6);
    source_t source = put(FILE_PLAN, 4 * CHUNK);
    ears_open(&ears);
    for (int i = 0; i < FAKES; i++)
        world.fakes[i].deaf = true;
    uint64_t request = send_ask(source.stream, 0, false);
    fake_t *late = fake_of(world.asks[0].session);
    for (int i = 0; i < FAKES; i++)
        world.fakes[i].deaf = &world.fakes[i] == late;
    ears.clocks += 250;
    live(1200);
    right_answer(request, 0);
    CHECK(counter(COUNTER_reads_total_decoded) == 1);
    CHECK(ears.sourced == 1 && *ears.source == 'w' && ears.tried_ms >= 250);
    CHECK(strcmp(ears.tried, late->name) == 0);
    end();
    ears_end(&ears);
}

//  Of those that are asked to locate something one answers 300 ms after the
//  others, by the sink's clock; returns who. "": none is asked.
static const char *
locate_slowly(size_t nth)
{
    while (world.asks_count &&
           world.asks[0].message->body_case != RILL__V1__MESSAGE__BODY_LOCATE)
        CHECK(answer_one());
    if (!world.asks_count)
        return "";
    fake_t *late = fake_of(world.asks[nth % world.asks_count].session);
    late->deaf = true;
    pump();
    ears.clocks += 300;
    late->deaf = false;
    pump();
    return late->name;
}

//  It is known to be gone only after the others have answered.
static void
who_is_gone_while_it_locates_is_told(void)
{
    begin_with(6);
    source_t source;
    CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
    give(&source, 100);
    leave(&source);
    pump();
    ears_open(&ears);
    send_locate(READER, source.stream, wall_us(NULL));
    CHECK(world.asks_count > 1);
    fake_t *gone = fake_of(world.asks[0].session);
    gone->deaf = true;
    pump();
    ears.clocks += 300;
    kill_worker((int)(gone - world.fakes));
    gone->deaf = false;
    pump();
    CHECK(ears.sourced == 1 && strcmp(ears.tried, gone->name) == 0 &&
          ears.tried_ms >= 300);
    end();
    ears_end(&ears);
}

static void
who_lets_a_locate_wait_is_told(void)
{
    begin_with(6);
    source_t source;
    for (uint64_t i = 0; i < 30; i++) {  //  No rule foretells their places
        CHECK(open_source(&source, SOURCE, LIVE_PLAN) == STATUS_OK);
        give(&source, 1 + (i * 37) % 400);
        leave(&source);
        pump();
        forget_said();
    }
    ears_open(&ears);
    uint64_t request = send_locate(READER, source.stream, wall_us(NULL));
    const char *late = locate_slowly(0);
    CHECK(answer_to(request)->message->located->found);
    CHECK(ears.sourced == 1 && strcmp(ears.tried, late) == 0 &&
          ears.tried_ms >= 300);
    //  Whoever gives the chunk then: maybe the same.
    unsigned located = 0, same = 0;
    for (uint64_t turn = 0; turn < 30; turn++) {
        uint64_t offset = source.next * (turn * 7 % 30) / 30;
        request = send_ask(source.stream, offset, false);
        late = locate_slowly(turn);
        pump();
        right_answer(request, offset);
        forget_said();
        if (!*late)
            continue;
        bool gave = strcmp(ears.source, late) == 0;
        CHECK(gave || strcmp(ears.tried, late) == 0);
        CHECK((gave ? ears.source_ms : ears.tried_ms) >= 300);
        CHECK(gave || ears.source_ms < 300);
        located++;
        same += gave;
    }
    CHECK(same > 0 && located > same);
    end();
    ears_end(&ears);
}

static void
what_becomes_of_workers_is_told(void)
{
    begin_with(5);
    ears_open(&ears);
    join(5);
    const event_t *event = EARS_LAST(&ears, WORKER_REGISTERED, 1);
    CHECK(strcmp(event->worker_registered->worker, "w5") == 0);
    source_t source = opened(FILE_PLAN);
    give(&source, 6 * CHUNK);
    say_full(&world.fakes[1]);
    event = EARS_LAST(&ears, WORKER_FULL, 1);
    CHECK(strcmp(event->worker_full->worker, "w1") == 0);
    event = EARS_LAST(&ears, BLOCK_REDEALT,
                      (unsigned)counter(COUNTER_blocks_redealt_total));
    CHECK(event->stream == source.stream);
    //  A stranger's receipt.
    Rill__V1__Receipt body = RILL__V1__RECEIPT__INIT;
    message_t message = MESSAGE(RECEIPT, receipt, &body, 0, 0);
    forwarder_core_on_receipt(world.core, &message, world.now);
    event = EARS_LAST(&ears, FAULT_COUNTED, 1);
    CHECK(strcmp(event->fault_counted->where, "receipts") == 0);
    end();
    ears_end(&ears);
}

static void
what_retention_takes_is_told(void)
{
    begin_kept(KEEP_MS);
    put(file_of(9 * CHUNK), 9 * CHUNK);
    ears_open(&ears);
    live(KEEP_MS + 3000);
    const event_t *event = EARS_LAST(&ears, RETENTION_RAN, 1);
    CHECK(event->retention_ran->streams == 1 &&
          event->retention_ran->bytes == 9 * CHUNK);
    end();
    ears_end(&ears);
}

int
main(void)
{
    ears_begin(&ears);
    CASE(a_flipped_bit_shortens_no_rebuild,
         "invariant 1: a bit flipped on the way shortens no rebuilt stream");
    CASE(a_lost_catalogue_is_made_again,
         "invariant 11: a lost catalogue is made again when all have answered");
    CASE(a_source_that_was_told_the_end_makes_room_at_once,
         "a source that was told that all is settled makes room at once");
    CASE(open_chunks_stay_under_the_budget,
         "forwarder_core 5, invariant 18: open chunks stay under the budget");
    CASE(short_chunks_stay_under_the_budget,
         "invariants 18 and 19: chunks of few bytes wait for room for their "
         "parity");
    CASE(idle_sources_keep_nobody_out,
         "invariant 19: what idle sources were granted keeps nobody out");
    CASE(who_brings_nothing_leaves_nothing,
         "invariant 18: a flood of Opens leaves nothing, and is bounded");
    CASE(a_stream_is_recorded_before_it_is_pushed,
         "invariant 11: nothing is pushed of a stream that is not recorded");
    CASE(who_is_silent_makes_room,
         "invariant 19: who opened and brings nothing keeps nobody out");
    CASE(a_recovery_stays_under_the_budget,
         "forwarder_core 5, invariant 18: so do those of many recoveries");
    CASE(a_worker_that_is_never_reached_leaves,
         "invariant 19: a worker whose socket takes nothing leaves the queue");
    CASE(noise_changes_nothing,
         "invariants 1, 2 and 18: absurd words of every kind change nothing");
    CASE(every_message_ends_in_one_counter,
         "forwarder_core 6, invariant 21: every message is taken, refused, "
         "dropped or unreadable, once");
    CASE(every_chunk_has_its_place,
         "invariant 4: every chunk of any length is listed once, in order");
    CASE(what_is_missing_is_said,
         "invariant 5: chunks of workers that are gone are listed as missing");
    CASE(long_names_fit_a_page,
         "invariant 18: a page of places fits a head, whatever the names");
    CASE(a_removed_stream_is_forgotten_everywhere,
         "invariant 11: a removed stream is forgotten by every store in the "
         "end");
    CASE(what_is_written_is_not_removed,
         "invariant 11: a stream with a source is not removed");
    CASE(what_cannot_be_read_is_refused,
         "forwarder_core 6, invariant 21: what cannot be read is counted, and "
         "refused under its request");
    CASE(a_chunk_is_read_from_memory_then_from_workers,
         "invariant 1: an unsettled chunk is read from memory, a settled one "
         "from its worker");
    CASE(any_two_workers_may_be_gone,
         "invariant 1: a settled stream is read without any two of six");
    CASE(a_flipped_bit_is_found,
         "invariant 9: a flipped bit is found and decoded around");
    CASE(too_many_flipped_bits_are_said,
         "invariant 9: too many flipped bits are refused, never served");
    CASE(a_worker_that_does_not_answer_is_passed_by,
         "invariant 19: workers that do not answer are decoded around");
    CASE(slow_disks_are_not_asked_for_more,
         "invariant 19: where all disks are slow no part is late, and none is "
         "asked for twice; one slow disk among others is");
    CASE(a_late_part_is_welcome,
         "invariant 19: a late part that comes is the answer");
    CASE(a_worker_has_few_reads_at_once,
         "invariant 18: a worker has 32 reads at once, the others wait");
    CASE(all_slow_is_nobodys_fault,
         "invariant 1: when all workers were slow they are asked again");
    CASE(a_job_answered_by_another_is_not_fooled,
         "invariant 9: only who was asked for a chunk answers for it");
    CASE(many_empty_chunks_do_not_fill_memory,
         "invariant 4: a byte a block is read through its empty chunks");
    CASE(short_chunks_are_found_anywhere,
         "invariant 1: chunks of any length are found at any offset");
    CASE(an_ask_waits_for_its_byte,
         "invariant 19: an ask for the future is answered when it comes, is "
         "late, or hears that the stream is gone");
    CASE(a_budget_has_a_bound,
         "invariant 18: no ask is held for longer than a minute");
    CASE(a_session_begins_at_its_time,
         "invariant 12: a session begins with the last chunk at or before its "
         "time, wherever that lies");
    CASE(a_chunk_of_a_time_is_answered,
         "invariant 19: the chunk of a time is answered, and the newest");
    CASE(a_long_chain_of_the_away_is_no_deep_one,
         "invariant 18: however long a chain is, looking through it takes the "
         "same stack");
    CASE(a_moment_ends_with_its_question,
         "invariant 18: where a time lies is not looked for any more once its "
         "question is over");
    CASE(moments_have_a_bound,
         "invariant 18: only so many times are looked for at once, the others "
         "are told BUSY");
    CASE(what_a_worker_located_is_checked,
         "invariant 18: a place that a worker tells is within its extent");
    CASE(a_source_goes_on_in_the_next_term,
         "invariant 1: a source goes on at the watermark in the next term");
    CASE(a_recovery_waits_for_who_must_speak,
         "invariant 3: a recovery waits while what was said cannot be known");
    CASE(what_a_rebuild_found_needs_no_quorum,
         "invariant 3: of what a rebuild found k parts say that it was stored");
    CASE(what_a_rebuild_did_not_find_is_not_waited_for,
         "invariant 19: a rebuild has seen all there is of what it found");
    CASE(an_older_copy_denies_nothing,
         "invariant 3: what an older copy of a store lacks is not absent");
    CASE(an_older_copy_is_known_before_it_is_welcomed,
         "invariant 3: an older copy of a store stays one once it is welcomed");
    CASE(an_older_copy_that_cannot_be_recorded_is_not_welcomed,
         "invariant 3: nor is it welcomed when that cannot be recorded");
    CASE(an_older_copy_of_this_term_denies_nothing,
         "invariant 3: nor what it lacks of the term in which it came");
    CASE(a_stream_says_for_whom_it_waits,
         "invariant 21: a stream that waits says for whom, and what to do");
    CASE(an_accepted_loss_is_a_hole,
         "invariant 4: a loss that was accepted is a recorded hole");
    CASE(a_file_goes_on_where_nothing_is_missing,
         "invariant 2: a file's source goes on before an accepted loss");
    CASE(nothing_left_is_a_loss_from_the_extent_on,
         "invariant 4: also where nothing is left");
    CASE(what_can_be_decoded_is_kept,
         "invariant 1: an accepted loss leaves out only what cannot be had");
    CASE(what_nobody_can_read_is_given_up,
         "invariant 9: what is rotten is given up when somebody accepts it");
    CASE(an_end_behind_a_loss_is_kept,
         "invariants 12 and 19: an END behind a loss seals the stream");
    CASE(losses_at_random,
         "invariants 2, 3 and 4: whoever never comes back, a stream goes on, "
         "and what is there is right");
    CASE(what_parts_are_left_decides,
         "invariant 1: a block with k parts is dealt again, one with fewer "
         "was never acknowledged");
    CASE(an_end_found_is_sealed,
         "invariant 3: an END found in the next term is sealed");
    CASE(a_recovery_waits_a_second_for_one_worker,
         "invariant 19: without one worker a stream is back after a second");
    CASE(a_recovery_reads_back_many_chunks,
         "invariant 1: what a store's loss left thin is settled again");
    CASE(a_forwarder_may_die_at_any_point_of_a_recovery,
         "invariants 1 and 7: forwarders that die in recovery lose nothing");
    CASE(an_inventory_has_a_bound,
         "invariant 18: an inventory without end takes a bounded memory");
    CASE(an_absurd_mark_holds_nobody_up_for_ever,
         "invariant 18: an absurd settled mark ends nothing");
    CASE(a_hello_of_a_higher_term_ends_it,
         "forwarder_core 4: a worker of a higher term ends this forwarder");
    CASE(a_hello_that_is_played_again_changes_nothing,
         "forwarder_core 6: a Hello that is played again is counted, no more");
    CASE(an_older_catalogue_is_known_by_whom_it_granted_what,
         "invariant 11: an older catalogue is known by what it never granted");
    CASE(strangers_do_not_fill_the_catalogue,
         "invariant 18: whoever says Hello, the catalogue stays bounded");
    CASE(a_doubt_that_is_not_answered_lasts,
         "invariant 1: what may have been stored is not swept unanswered");
    CASE(a_strangers_proof_keeps_what_it_is_about,
         "invariant 1: what a stranger proves was stored is not swept");
    CASE(a_catalogue_of_another_term_ends_it,
         "forwarder_core 4: a catalogue of another term ends this forwarder");
    CASE(one_source_at_a_time,
         "invariant 2: one source writes until its lease is over");
    CASE(sealed_is_said_of_what_is_sealed,
         "invariant 3: SEALED is said of what no restart opens again");
    CASE(the_same_source_goes_on,
         "invariant 4: the same source goes on at the watermark");
    CASE(another_source_after_a_restart_leaves_a_hole,
         "invariants 2 and 4: an offset is never given to two sources; the "
         "hole is recorded");
    CASE(an_end_that_was_not_stored_ends_no_other_source,
         "R11: the end of a source that was replaced is not its successor's");
    CASE(an_empty_end_waits_behind_its_hole,
         "R11: who brought nothing ends the stream where it began");
    CASE(a_hole_from_the_start_is_told,
         "invariant 4: a hole from offset 0 stays recorded");
    CASE(too_few_workers_hold_a_source,
         "invariant 5: what workers cannot carry is held, refused or narrower");
    CASE(a_live_byte_waits_no_longer_than_its_block,
         "invariant 19: a live block is closed when it is old, however short");
    CASE(a_silent_source_is_let_go,
         "invariant 19: a source that is silent for its lease is let go");
    CASE(what_a_source_may_not_say_is_refused,
         "invariant 21: an Open that cannot be is refused by reason");
    CASE(pieces_that_do_not_fit_are_refused,
         "invariants 2 and 21: pieces that do not fit are refused by reason");
    CASE(bytes_are_counted_once,
         "invariant 4: received, stored and settled bytes agree");
    CASE(a_source_that_left_is_stored,
         "invariant 4: what a source left is stored");
    CASE(stored_needs_the_quorum,
         "forwarder_core 1, invariant 6: no byte is stored before its quorum");
    CASE(stored_goes_in_order,
         "forwarder_core 1, invariant 3: blocks are acknowledged in order");
    CASE(stored_needs_the_catalogue,
         "forwarder_core 1: no byte is stored before its extent is recorded");
    CASE(every_failed_write_is_safe,
         "invariant 1: whichever catalogue write fails, stored bytes are read");
    CASE(the_end_is_on_the_last_data_slot,
         "invariant 4: files of every awkward size end on a last data slot");
    CASE(the_end_survives_every_width,
         "invariant 1: workers that leave before the Finish do not lose it");
    CASE(an_end_waits_for_workers,
         "invariant 19: an end that had no worker comes when they are back");
    CASE(what_is_told_of_protection_all_of_it_has,
         "invariant 1: what is told of a stream's protection all of it has");
    CASE(a_departure_deals_the_same_bytes_again,
         "forwarder_core 2, invariants 2 and 7: a departure deals the same "
         "bytes into a new epoch");
    CASE(the_watermark_never_goes_back,
         "invariant 3: the watermark grows through departures and joins");
    CASE(stored_survives_any_store_at_any_moment,
         "invariant 1: what was said stored survives any store and a restart");
    CASE(the_chain_switches_when_all_is_safe_anew,
         "invariants 1 and 3: a chain switches when all that was acknowledged "
         "is safe anew");
    CASE(two_departures_before_the_first_is_mended,
         "forwarder_core 3: two departures are dealt again from memory");
    CASE(an_inventory_with_a_lost_part_is_said_again,
         "invariant 1: what a lost part of an inventory named is not absent");
    CASE(a_hanging_worker_is_left_behind,
         "invariant 19: a worker that gives no receipt leaves the queue");
    CASE(nobody_leaves_while_all_disks_stand_still,
         "invariant 19: all disks stand still for 9 s; nothing is dealt again");
    CASE(the_code_grows_with_the_next_block,
         "invariant 5: the next block has the code of who came back");
    CASE(what_waited_for_all_is_dealt_to_all,
         "invariant 5: what waited for workers is dealt to all that return");
    CASE(a_full_socket_waits_in_the_outbox,
         "forwarder_core 2: what a full socket does not take is pushed later");
    CASE(what_waits_of_one_stream_keeps_no_other_out,
         "invariant 19: what a slow worker has waiting is sent to it each "
         "stream in its turn");
    CASE(what_waits_for_space_is_dealt_when_there_is_some,
         "invariant 3: what waited for space is dealt when there is some");
    CASE(a_full_worker_gets_nothing_more,
         "invariant 19: a full worker is dealt around");
    CASE(a_live_stream_goes_from_its_front,
         "invariant 11: what is younger than its retention is read back exact, "
         "what is older is GONE with the oldest offset there is");
    CASE(a_restart_and_a_wall_do_not_move_it,
         "invariant 11: walls that step by 72 h drop and keep nothing wrongly");
    CASE(a_wall_that_is_off_at_a_start_takes_its_time,
         "invariant 11: after a start the horizon moves by 2 s a second at "
         "most");
    CASE(a_file_goes_as_a_whole,
         "invariant 11: a file goes as a whole, and only of its class");
    CASE(a_stream_nobody_writes_ends_when_all_is_old,
         "a stream that nobody writes is removed when all of it is old");
    CASE(a_slow_stream_holds_no_space,
         "invariant 19: a stream that is written slowly does not keep the "
         "others from giving space back");
    CASE(bytes_and_space_take_the_oldest,
         "too many bytes and a worker short of space take the oldest, and no "
         "more of it than that");
    end();
    CASE(what_was_dealt_again_is_swept,
         "R13: what was dealt again goes when what replaced it counts");
    CASE(an_attempt_that_never_counted_is_swept,
         "R13: an attempt that never counted goes when it is given up");
    CASE(what_counts_no_more_after_a_sweep_is_swept,
         "R13: what counts no more after a store was told to sweep goes, too");
    CASE(full_disks_give_back_what_never_counted,
         "invariant 19: attempts that fill all disks stop nothing for ever");
    CASE(what_counts_is_never_swept,
         "invariant 1: no block that a chain counts is swept");
    CASE(an_older_disk_is_told,
         "invariant 5: what an older copy of a disk lacks is listed");
    CASE(what_is_not_counted_yet_counts_as_missing,
         "invariant 5: what a store has not counted counts as missing");
    CASE(a_wiped_store_stays_listed,
         "invariant 5: a store that was wiped is listed for ever");
    CASE(an_unknown_stream_is_left_alone,
         "invariant 11: a removed stream is dropped, an unknown one never");
    end();
    CASE(nobody_wanted_anything,
         "sink 1: in none of the above an event was built or a clock looked "
         "at, as nobody wanted to hear of it");
    CASE(what_becomes_of_bytes_is_told,
         "what is opened, dealt, acknowledged, dealt again and ended is told "
         "once, as it happened");
    CASE(who_lets_a_reading_wait_is_told,
         "the worker that lets a reading wait is told, whoever else gave it");
    CASE(who_lets_a_locate_wait_is_told,
         "the worker that answers last what is located is told, also if it "
         "gives the chunk then");
    CASE(who_is_gone_while_it_locates_is_told,
         "the worker that goes while others wait for what it locates is told");
    CASE(what_becomes_of_workers_is_told,
         "a worker that comes, is lost or full is told, and a stranger's word");
    CASE(what_retention_takes_is_told,
         "what retention takes is told, in streams and bytes");
    return proof_end();
}
