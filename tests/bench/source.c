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

#include "feed.h"
#include "stamp.h"

static buffer_t *
chunk_of(uint64_t number, size_t bytes)
{
    buffer_t *chunk = buffer_new(bytes);
    memset(buffer_fill(chunk), (int)number, bytes);
    stamp_t stamp = { STAMP_MAGIC, number, stamp_now_ns() };
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
    publisher_settings_t settings = { .name = name,
                                      .kind = KIND_LIVE,
                                      .token = random_u64() | 1,
                                      .asked = { .k = 1 },
                                      .chunk_bytes = (uint32_t)bytes };
    feed_t feed;
    if (feed_open(&feed, at, &settings, zclock_mono()) != STATUS_OK)
        return fail("that is no address");
    const publisher_state_t *state = publisher_state(feed.publisher);
    zmq_pollitem_t item = { zsock_resolve(feed.socket), 0, ZMQ_POLLIN, 0 };
    uint64_t number = 0;
    for (millis_t next = 0; state->failed == STATUS_OK;) {
        millis_t now = zclock_mono();
        feed_sweep(&feed, now);
        if (!state->opened)
            next = now + every;
        if (state->opened && state->chunk_bytes != bytes)
            return fail("chunks are of another size");
        if (now >= next) {
            buffer_t *chunk = chunk_of(number++, bytes);
            status_t status = publisher_offer(feed.publisher, chunk, NULL, 0,
                                              now);
            buffer_unref(&chunk);
            if (status != STATUS_OK)
                return fail("it is held back");
            next += every;
        }
        millis_t due = millis_least(next, publisher_due(feed.publisher));
        zmq_poll(&item, 1, due > now ? due - now : 0);
        feed_hear(&feed, zclock_mono());
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
    zsock_t *socket = zsock_new(ZMQ_PUB);
    uint64_t number = 0;
    if (zsock_connect(socket, "%s", endpoint) != 0)
        return fail("that is no address");
    for (millis_t next = zclock_mono();; next += every) {
        millis_t now = zclock_mono();
        zclock_sleep(next > now ? (int)(next - now) : 0);
        buffer_t *chunk = chunk_of(number++, bytes);
        void *memory = buffer_fill(chunk);
        zmq_msg_t part;
        zmq_msg_init_data(&part, memory, bytes, free_chunk, chunk);
        zmq_send(zsock_resolve(socket), "topic of a chunk", 16, ZMQ_SNDMORE);
        if (zmq_msg_send(&part, zsock_resolve(socket), 0) == -1)
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
