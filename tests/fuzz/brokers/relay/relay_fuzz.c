//  Whatever terminals, children, siblings, parents and strangers say to a
//  cache: it goes on, what it says fits a message, and no byte of a chunk
//  leaves it that its header does not vouch for.
#include "checksum.h"
#include "forge.h"
#include "invariant.h"
#include "relay.h"

enum { LINKS = 3, PEERS = 8, KEPT = 32 };

#define BODY(KIND) RILL__V1__MESSAGE__BODY_##KIND
static const int FROM_BELOW[] = { BODY(DESCRIBE), BODY(ASK),  BODY(WATCH),
                                  BODY(FLOW),     BODY(STOP), BODY(WATCH_KEEP),
                                  BODY(KEEP) };
static const int FROM_LINK[] = { BODY(KEPT), BODY(ANSWER), BODY(DESCRIBED),
                                 BODY(REFUSED) };
static const int PUBLISHED[] = { BODY(FLOW), BODY(FLOW), BODY(SKIP),
                                 BODY(OVER) };
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static forge_t forge;
static relay_t *relay;
static millis_t now;
static uint64_t chances;
//  What the disk was given to keep, the last of it.
static struct {
    uint64_t number;
    buffer_t *payload;
} kept[KEPT];
static size_t kept_count;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
heard(const message_t *message, const buffer_t *payload)
{
    buffer_t *packed = message_pack(message);
    INVARIANT(packed);
    buffer_unref(&packed);
    forge_learn_all(&forge, message);
    if (message->request)
        forge_learn(&forge, message->request);
    if (!message_has_payload(message))
        return;
    chunk_header_t chunk;
    INVARIANT(payload);
    INVARIANT(message_to_chunk(message->body_case == BODY(FLOW)
                                   ? message->flow->chunk
                                   : message->answer->chunk,
                               &chunk) == STATUS_OK);
    INVARIANT(buffer_size(payload) == chunk.length);
    INVARIANT(checksum_crc32c(buffer_bytes(payload), chunk.length) ==
              chunk.payload_crc);
}

//  Now and then who is spoken to is gone.
static status_t
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    (void)with;
    INVARIANT(peer->size > 0);
    INVARIANT(message_has_payload(message) == (payload != NULL));
    heard(message, payload);
    return (peer->bytes[0] + (now >> 4)) % 8 ? STATUS_OK : STATUS_UNREACHABLE;
}

static status_t
tell(void *with, int link, const message_t *message)
{
    (void)with;
    INVARIANT(link >= 0 && link < LINKS);
    heard(message, NULL);
    return chances % 16 == 15 ? STATUS_BUSY : STATUS_OK;
}

static void
hang_up(void *with, int link)
{
    (void)with;
    INVARIANT(link >= 0 && link < LINKS);
}

static void
subscribe(void *with, int link, const char *publish_at, uint64_t stream,
          uint64_t topic, bool on)
{
    (void)with, (void)on;
    INVARIANT(link >= 0 && link < LINKS && publish_at);
    forge_learn(&forge, stream);
    forge_learn(&forge, topic);
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    (void)with, (void)stream, (void)topic;
    heard(message, payload);
}

static void
cast(void *with, int link, const packet_t *packet)
{
    (void)with;
    INVARIANT(link >= -1 && link < LINKS);
    forge_learn(&forge, packet->stream);
    forge_learn(&forge, packet->counter);
}

static status_t
keep(void *with, uint64_t number, const chunk_header_t *header,
     buffer_t *payload)
{
    (void)with;
    INVARIANT(buffer_size(payload) == header->length);
    if (chances % 8 == 7)
        return STATUS_BUSY;
    size_t at = kept_count++ % KEPT;
    buffer_unref(&kept[at].payload);
    kept[at].number = number;
    kept[at].payload = buffer_ref(payload);
    return STATUS_OK;
}

static status_t
recall(void *with, uint64_t number)
{
    (void)with;
    forge_learn(&forge, number);
    return STATUS_OK;
}

static status_t
release(void *with, uint64_t first)
{
    (void)with, (void)first;
    return chances % 8 == 5 ? STATUS_BUSY : STATUS_OK;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return ++chances * 0x9e3779b97f4a7c15u;
}

static void
note(void *with, const char *text)
{
    (void)with;
    INVARIANT(text);
}

//  ---------------------------------------------------------------------------
//  What the input makes of it

typedef enum { FRONT, LINK, TOPIC } from_t;

static void
come(from_t from, uint8_t number, const int *kinds, size_t count)
{
    buffer_t *payload;
    message_t *message = forge_message(&forge, kinds, count, &payload);
    peer_t peer = { .size = 1, .bytes = { number } };
    if (message && from == FRONT)
        relay_on_front(relay, &peer, message, now);
    else if (message && from == LINK)
        relay_on_link(relay, number % LINKS, message, payload, now);
    else if (message)
        relay_on_published(relay, number % LINKS, forge_number(&forge),
                           forge_number(&forge), message, payload, now);
    message_free(&message);
    buffer_unref(&payload);
}

static void
come_packet(void)
{
    static const char *const NODES[] = { "a", "b", "stranger" };
    packet_t packet = { .type = 1 + forge_byte(&forge) % 4,
                        .group = packet_name("town"),
                        .node = packet_name(NODES[forge_byte(&forge) % 3]) };
    packet.incarnation = forge_number(&forge);
    packet.counter = forge_number(&forge);
    packet.stream = forge_number(&forge);
    packet.from = forge_number(&forge);
    packet.to = forge_byte(&forge) & 1 ? PACKET_LIVE : forge_number(&forge);
    packet.place = forge_byte(&forge) % 4;
    packet.grant = forge_number(&forge);
    relay_on_packet(relay, &packet, now);
}

//  What the disk says, of what it was asked or of anything; it may be wrong.
static void
come_from_disk(void)
{
    uint64_t number = forge_number(&forge);
    uint8_t how = forge_byte(&forge);
    buffer_t *payload = NULL;
    for (size_t i = 0; i < KEPT; i++)
        if (kept[i].payload && kept[i].number == number)
            payload = kept[i].payload;
    if (how == 255)
        relay_on_disk_lost(relay, now);
    else if (how < 64)
        relay_unkept(relay, number, now);
    else if (how < 72)
        payload = kept[how % KEPT].payload;
    if (how >= 64 && how < 255)
        relay_recalled(relay, number, payload ? STATUS_OK : STATUS_MISS,
                       payload, now);
}

static void
turn(void)
{
    uint8_t what = forge_byte(&forge);
    if (what < 88)
        come(FRONT, what % PEERS, FROM_BELOW, COUNT(FROM_BELOW));
    else if (what < 92)
        come(FRONT, what % PEERS, NULL, 0);
    else if (what < 160)
        come(LINK, what, FROM_LINK, COUNT(FROM_LINK));
    else if (what < 164)
        come(LINK, what, NULL, 0);
    else if (what < 200)
        come(TOPIC, what, PUBLISHED, COUNT(PUBLISHED));
    else if (what < 212)
        come_packet();
    else if (what < 220)
        come_from_disk();
    else if (what < 252)
        now += 1 << what % 13;
    else if (what < 255)
        relay_on_disconnect(relay, what % LINKS, now);
    else
        relay_stop(relay, now);
    if (relay_due(relay) <= now)
        relay_sweep(relay, now);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const PARENTS[] = { "w1", "w2" };
    static const char *const SIBLINGS[] = { "b" };
    static const relay_settings_t SETTINGS = {
        .node = "a",
        .group = "town",
        .tier = 1,
        .parents = PARENTS,
        .parents_count = 2,
        .siblings = SIBLINGS,
        .siblings_count = 1,
        .window_bytes = 1 << 10,
        .disk_bytes = 1 << 16,
        .window_ms = 60000,
        .patience = 1,
        .publish_at = "tcp://127.0.0.1:1",
        .incarnation = 7,
    };
    static const relay_effects_t EFFECTS = {
        .send = send_front,
        .tell = tell,
        .hang_up = hang_up,
        .subscribe = subscribe,
        .publish = publish,
        .cast = cast,
        .keep = keep,
        .recall = recall,
        .release = release,
        .random = chance,
        .note = note,
    };
    forge = (forge_t){ .bytes = bytes, .size = size };
    now = 1000;
    chances = 0;
    relay = relay_new(&SETTINGS, &EFFECTS, NULL, now);
    while (forge_has_more(&forge))
        turn();
    relay_destroy(&relay);
    for (size_t i = 0; i < KEPT; i++)
        buffer_unref(&kept[i].payload);
    kept_count = 0;
    return 0;
}
