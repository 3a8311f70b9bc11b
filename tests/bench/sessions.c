/*  bench-sessions - what a session costs the core of a node
 *
 *  bench-sessions SESSIONS
 *
 *  The relay alone, as a root without sockets: so many terminals watch a stream
 *  and are sent its first chunk. Prints bytes of memory that each of them holds.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "relay.h"

enum { STREAM = 1, CHUNK_BYTES = 4096 };

static size_t flows;
static uint64_t chance;

static status_t
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    (void)with, (void)peer, (void)payload;
    flows += message->body_case == RILL__V1__MESSAGE__BODY_FLOW;
    return STATUS_OK;
}

static uint64_t
draw(void *with)
{
    (void)with;
    return ++chance;
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    (void)with, (void)stream, (void)topic, (void)message, (void)payload;
}

static status_t
look(void *with, const char *name, uint64_t stream, relay_facts_t *facts_r)
{
    (void)with, (void)name, (void)stream;
    *facts_r = (relay_facts_t){
        .stream = STREAM, .name = "cam", .chunk_bytes = CHUNK_BYTES, .now_us = 1
    };
    return STATUS_OK;
}

static void
note(void *with, const char *text)
{
    (void)with, (void)text;
}

static void
watch(relay_t *relay, uint32_t number)
{
    Rill__V1__Watch body = RILL__V1__WATCH__INIT;
    body.which_case = RILL__V1__WATCH__WHICH_NAME;
    body.name = message_lend("cam");
    body.from_case = RILL__V1__WATCH__FROM_START;
    body.start = true;
    body.credit = 4 << 20;
    message_t message = MESSAGE(WATCH, watch, &body, 1, 0);
    //  As a ROUTER names a connection.
    peer_t peer = { .size = 6, .bytes = { 5 } };
    memcpy(peer.bytes + 2, &number, sizeof number);
    bool taken = relay_on_front(relay, &peer, &message, 1);
    INVARIANT(taken);
}

static void
cut(relay_t *relay)
{
    buffer_t *payload = buffer_new(CHUNK_BYTES);
    memset(buffer_fill(payload), 1, CHUNK_BYTES);
    chunk_header_t header = { .key = { STREAM, 1, 0, 0 },
                              .code = { 1, 0 },
                              .width = 1,
                              .kind = KIND_LIVE,
                              .name = "cam",
                              .writer = 1,
                              .length = CHUNK_BYTES,
                              .created_us = 1,
                              .block_us = 1 };
    header.payload_crc = checksum_crc32c(buffer_bytes(payload), CHUNK_BYTES);
    flights_chunk_t chunk = { .header = &header, .payload = payload };
    relay_on_chunk(relay, &chunk, 1);
    buffer_unref(&payload);
}

int
main(int argc, char *argv[])
{
    size_t count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (count < 1 || count > 10000) {
        fprintf(stderr, "usage: bench-sessions SESSIONS\n");
        return 64;
    }
    static const relay_effects_t EFFECTS = { .send = send_front,
                                             .random = draw,
                                             .publish = publish,
                                             .look = look,
                                             .note = note };
    relay_settings_t settings = { .node = "origin",
                                  .group = "",
                                  .window_bytes = 1 << 20,
                                  .window_ms = 60000,
                                  .patience = 1,
                                  .publish_at = "tcp://127.0.0.1:1" };
    relay_t *relay = relay_new(&settings, &EFFECTS, NULL, 1);
    watch(relay, 0);
    cut(relay);
    size_t before = mallinfo2().uordblks;
    for (uint32_t i = 1; i <= count; i++)
        watch(relay, i);
    size_t after = mallinfo2().uordblks;
    INVARIANT(flows == count + 1);
    printf("%zu\n", (after - before + count - 1) / count);
    relay_destroy(&relay);
    return 0;
}
