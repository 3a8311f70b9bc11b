/*  bench-streams - many live sources at one forwarder
 *
 *  bench-streams HOST:PORT STREAMS MBIT SECONDS
 *
 *  Each source brings its bytes every 20 ms, as an encoder does. Prints of all
 *  of them: milliseconds from a byte to STORED (median, 99 of 100, longest), how
 *  often a source had no room for what it brought, and bytes that were stored.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "invariant.h"

enum {
    EVERY_MS = 20,
    HEAR_MS = 4,    //  So much later a STORED may be heard
    PIECES = 1024,  //  That wait to be stored, of one source: 20 s
    MOST_STREAMS = 1000,
};

//  Bytes below `end` were there at `at_us`.
typedef struct {
    uint64_t end;
    int64_t at_us;
} piece_t;

typedef struct {
    feed_t feed;
    piece_t pieces[PIECES];
    size_t first, count;
} source_t;

static source_t sources[MOST_STREAMS];
static size_t streams;
static uint32_t *latencies_us;
static size_t latency_count, latency_most, held_back;

static void
open_source(source_t *self, const char *at, size_t nth, millis_t now)
{
    char name[32];
    snprintf(name, sizeof name, "bench-%zu-%08x", nth, (unsigned)random_u64());
    publisher_settings_t settings = { .name = name,
                                      .kind = KIND_LIVE,
                                      .token = random_u64() | 1 };
    if (feed_open(&self->feed, at, &settings, now) != STATUS_OK) {
        fprintf(stderr, "bench-streams: %s is no address\n", at);
        exit(64);
    }
}

//  What was stored just now, as latencies.
static void
count_stored(source_t *self)
{
    uint64_t stored = publisher_state(self->feed.publisher)->stored;
    int64_t now_us = zclock_usecs();
    while (self->count > 0 && self->pieces[self->first].end <= stored) {
        if (latency_count < latency_most)
            latencies_us[latency_count++] =
                (uint32_t)(now_us - self->pieces[self->first].at_us);
        self->first = (self->first + 1) % PIECES;
        self->count--;
    }
}

static void
bring(source_t *self, buffer_t *piece, millis_t now)
{
    if (!publisher_state(self->feed.publisher)->opened)
        return;
    if (publisher_room(self->feed.publisher) < buffer_size(piece) ||
        self->count == PIECES) {
        held_back++;
        return;
    }
    status_t status = publisher_offer(self->feed.publisher, piece, NULL, 0,
                                      now);
    INVARIANT(status == STATUS_OK);
    self->pieces[(self->first + self->count++) % PIECES] = (piece_t){
        publisher_state(self->feed.publisher)->next, zclock_usecs()
    };
}

//  Hear and sweep until `until`. To look at a hundred sockets costs half a
//  millisecond: done each time it would take the nodes' cores from them.
static void
run(zmq_pollitem_t *items, millis_t until)
{
    static millis_t heard;
    for (millis_t now = zclock_mono(); now < until; now = zclock_mono()) {
        if (now < heard + HEAR_MS) {
            zclock_sleep(1);
            continue;
        }
        heard = now;
        zmq_poll(items, (int)streams, 0);
        for (size_t i = 0; i < streams; i++) {
            if (items[i].revents & ZMQ_POLLIN)
                feed_hear(&sources[i].feed, now);
            feed_sweep(&sources[i].feed, now);
            count_stored(&sources[i]);
        }
    }
}

static int
by_value(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

static void
tell(void)
{
    uint64_t stored = 0;
    for (size_t i = 0; i < streams; i++) {
        const publisher_state_t *state = publisher_state(
            sources[i].feed.publisher);
        if (state->failed != STATUS_OK)
            fprintf(stderr, "bench-streams: %s\n", state->text);
        stored += state->stored - state->base;
    }
    qsort(latencies_us, latency_count, sizeof *latencies_us, by_value);
    if (latency_count == 0) {
        fprintf(stderr, "bench-streams: nothing was stored\n");
        exit(69);
    }
    printf("p50 %.1f ms, p99 %.1f ms, longest %.1f ms, held back %zu, "
           "stored %llu bytes\n",
           latencies_us[latency_count / 2] / 1000.0,
           latencies_us[latency_count * 99 / 100] / 1000.0,
           latencies_us[latency_count - 1] / 1000.0, held_back,
           (unsigned long long)stored);
}

int
main(int argc, char *argv[])
{
    streams = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    double mbit = argc == 5 ? strtod(argv[3], NULL) : 0;
    long seconds = argc == 5 ? strtol(argv[4], NULL, 10) : 0;
    if (streams < 1 || streams > MOST_STREAMS || mbit <= 0 || mbit > 100 ||
        seconds < 1) {
        fprintf(stderr,
                "usage: bench-streams HOST:PORT STREAMS MBIT SECONDS\n");
        return 64;
    }
    if (sockets_begin(streams + 64) != STATUS_OK)
        return 71;
    size_t bytes = (size_t)(mbit * 1e6 / 8 * EVERY_MS / 1000);
    buffer_t *piece = buffer_new(bytes);
    for (size_t i = 0; i < bytes; i++)
        buffer_fill(piece)[i] = (uint8_t)random_u64();
    latency_most = streams * (size_t)seconds * 1000 / EVERY_MS;
    latencies_us = zmalloc(latency_most * sizeof *latencies_us);
    zmq_pollitem_t items[MOST_STREAMS];
    millis_t now = zclock_mono();
    for (size_t i = 0; i < streams; i++) {
        open_source(&sources[i], argv[1], i, now);
        items[i] = (zmq_pollitem_t){ zsock_resolve(sources[i].feed.socket), 0,
                                     ZMQ_POLLIN, 0 };
        publisher_sweep(sources[i].feed.publisher, now);
    }
    run(items, now + 2000);
    //  Encoders do not beat in time: each has its own moment of the 20 ms.
    for (long turn = 0; turn < seconds * 1000 / EVERY_MS; turn++)
        for (int part = 0; part < EVERY_MS; part++) {
            for (size_t i = (size_t)part; i < streams; i += EVERY_MS)
                bring(&sources[i], piece, zclock_mono());
            run(items, now + 2000 + turn * EVERY_MS + part + 1);
        }
    run(items, zclock_mono() + 3000);
    tell();
    for (size_t i = 0; i < streams; i++) {
        feed_close(&sources[i].feed);
    }
    buffer_unref(&piece);
    free(latencies_us);
    return 0;
}
