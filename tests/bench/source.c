/*  bench-source - one live source of stamped chunks, until it is ended
 *
 *  bench-source rill HOST:PORT NAME BYTES EVERY_MS
 *  bench-source pub ENDPOINT BYTES EVERY_MS
 *
 *  Each chunk is sent whole, in one piece, with the time at its beginning: to a
 *  forwarder, or (pub) to an XSUB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "publisher.h"
#include "random.h"
#include "sockets.h"
#include "stamp.h"

typedef struct {
    zsock_t *socket;
    publisher_t *publisher;
    uint64_t number;  //  Of the next chunk
} source_t;

static status_t
say(void *with, const message_t *message, buffer_t *payload)
{
    source_t *self = with;
    return frames_send(self->socket, NULL, message, payload);
}

static uint64_t
draw(void *with)
{
    (void)with;
    return random_u64();
}

static bool
hear(void *with, status_t status, received_t *received, millis_t now)
{
    source_t *self = with;
    if (status == STATUS_OK)
        publisher_on_message(self->publisher, received->message, now);
    return true;
}

static buffer_t *
chunk_of(source_t *self, size_t bytes)
{
    buffer_t *chunk = buffer_new(bytes);
    memset(buffer_fill(chunk), (int)self->number, bytes);
    stamp_t stamp = { STAMP_MAGIC, self->number++, stamp_now_ns() };
    memcpy(buffer_fill(chunk), &stamp, sizeof stamp);
    return chunk;
}

static int
fail(const char *why)
{
    fprintf(stderr, "bench-source: %s\n", why);
    return 1;
}

static int
to_forwarder(const char *at, const char *name, size_t bytes, millis_t every)
{
    static const publisher_effects_t EFFECTS = { .send = say, .random = draw };
    source_t self = { 0 };
    char endpoint[ENDPOINT_BYTES];
    snprintf(endpoint, sizeof endpoint, "tcp://%s", at);
    if (sockets_open(SOCKET_ASK, endpoint, &self.socket) != STATUS_OK)
        return fail("that is no address");
    publisher_settings_t settings = { .name = name,
                                      .kind = KIND_LIVE,
                                      .token = random_u64() | 1,
                                      .asked = { .k = 1 },
                                      .chunk_bytes = (uint32_t)bytes };
    self.publisher = publisher_new(&settings, &EFFECTS, &self, zclock_mono());
    const publisher_state_t *state = publisher_state(self.publisher);
    zmq_pollitem_t item = { zsock_resolve(self.socket), 0, ZMQ_POLLIN, 0 };
    for (millis_t next = 0; state->failed == STATUS_OK;) {
        millis_t now = zclock_mono();
        if (publisher_due(self.publisher) <= now)
            publisher_sweep(self.publisher, now);
        if (!state->opened)
            next = now + every;
        if (state->opened && state->chunk_bytes != bytes)
            return fail("chunks are of another size");
        if (now >= next) {
            buffer_t *chunk = chunk_of(&self, bytes);
            status_t status = publisher_offer(self.publisher, chunk, NULL, 0,
                                              now);
            buffer_unref(&chunk);
            if (status != STATUS_OK)
                return fail("it is held back");
            next += every;
        }
        millis_t due = millis_least(next, publisher_due(self.publisher));
        zmq_poll(&item, 1, due > now ? due - now : 0);
        frames_take(self.socket, hear, &self, zclock_mono());
    }
    return fail(state->text);
}

static void
free_chunk(void *bytes, void *chunk_)
{
    (void)bytes;
    buffer_t *chunk = chunk_;
    buffer_unref(&chunk);
}

//  A topic, then the chunk.
static int
publish(const char *endpoint, size_t bytes, millis_t every)
{
    source_t self = { .socket = zsock_new(ZMQ_PUB) };
    if (zsock_connect(self.socket, "%s", endpoint) != 0)
        return fail("that is no address");
    for (millis_t next = zclock_mono();; next += every) {
        millis_t now = zclock_mono();
        zclock_sleep(next > now ? (int)(next - now) : 0);
        buffer_t *chunk = chunk_of(&self, bytes);
        void *memory = buffer_fill(chunk);
        zmq_msg_t part;
        zmq_msg_init_data(&part, memory, bytes, free_chunk, chunk);
        zmq_send(zsock_resolve(self.socket), "topic of a chunk", 16,
                 ZMQ_SNDMORE);
        if (zmq_msg_send(&part, zsock_resolve(self.socket), 0) == -1)
            return fail("nothing can be sent");
    }
}

int
main(int argc, char *argv[])
{
    bool forwards = argc == 6 && streq(argv[1], "rill");
    bool publishes = argc == 5 && streq(argv[1], "pub");
    size_t bytes = argc > 4 ? strtoul(argv[argc - 2], NULL, 10) : 0;
    long every = argc > 4 ? strtol(argv[argc - 1], NULL, 10) : 0;
    if ((!forwards && !publishes) || bytes < sizeof(stamp_t) ||
        bytes > LIMIT_PIECE_BYTES || every < 1) {
        fprintf(stderr, "usage: bench-source rill HOST:PORT NAME BYTES "
                        "EVERY_MS | pub ENDPOINT BYTES EVERY_MS\n");
        return 64;
    }
    if (sockets_begin(64) != STATUS_OK)
        return 71;
    return forwards ? to_forwarder(argv[2], argv[3], bytes, every)
                    : publish(argv[2], bytes, every);
}
