/*  bench-bare - ZeroMQ with nothing around it, beside which rill is measured
 *
 *  bench-bare proxy XSUB XPUB       pass on what is published; each endpoint
 *                                   begins with @ (bind) or > (connect)
 *  bench-bare router PORT BYTES N   send whoever asks N chunks, in turn and for
 *                                   ever, as far as his credit goes: a message
 *                                   is a delimiter and 8 bytes, all told
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "sockets.h"

enum { PEERS = 1024, HEAD_BYTES = 160 };

typedef struct {
    uint8_t id[5];  //  As libzmq makes them
    uint64_t sent, credit;
    size_t next;
} taker_t;

typedef struct {
    void *front;
    uint8_t **chunks;
    size_t bytes, count;
    taker_t takers[PEERS];
    size_t takers_count;
} router_t;

static void
keep(void *bytes, void *hint)
{
    (void)bytes, (void)hint;
}

static taker_t *
taker_of(router_t *self, const uint8_t *id)
{
    for (size_t i = 0; i < self->takers_count; i++)
        if (memcmp(self->takers[i].id, id, sizeof self->takers[i].id) == 0)
            return &self->takers[i];
    if (self->takers_count == PEERS)
        return NULL;
    taker_t *taker = &self->takers[self->takers_count++];
    memcpy(taker->id, id, sizeof taker->id);
    return taker;
}

static void
serve(router_t *self, taker_t *taker)
{
    static uint8_t head[HEAD_BYTES];
    while (taker->sent < taker->credit) {
        zmq_msg_t chunk;
        zmq_msg_init_data(&chunk, self->chunks[taker->next], self->bytes, keep,
                          NULL);
        zmq_send(self->front, taker->id, sizeof taker->id, ZMQ_SNDMORE);
        zmq_send(self->front, "", 0, ZMQ_SNDMORE);
        zmq_send(self->front, head, sizeof head, ZMQ_SNDMORE);
        zmq_msg_send(&chunk, self->front, 0);
        taker->sent += self->bytes;
        taker->next = (taker->next + 1) % self->count;
    }
}

static int
router(const char *port, size_t bytes, size_t count)
{
    router_t self = { .bytes = bytes, .count = count };
    zsock_t *front = zsock_new(ZMQ_ROUTER);
    self.front = zsock_resolve(front);
    if (zsock_bind(front, "tcp://127.0.0.1:%s", port) == -1)
        return 1;
    self.chunks = zmalloc(count * sizeof *self.chunks);
    for (size_t i = 0; i < count; i++) {
        self.chunks[i] = malloc(bytes);
        memset(self.chunks[i], (int)i + 1, bytes);
    }
    for (;;) {
        uint8_t id[5], credit[8];
        zmq_recv(self.front, id, sizeof id, 0);
        zmq_recv(self.front, NULL, 0, 0);
        if (zmq_recv(self.front, credit, sizeof credit, 0) == -1)
            return 1;
        taker_t *taker = taker_of(&self, id);
        if (!taker)
            return 1;
        memcpy(&taker->credit, credit, sizeof credit);
        serve(&self, taker);
    }
}

static int
proxy(const char *from, const char *to)
{
    zsock_t *near = zsock_new_xsub(from), *far = zsock_new_xpub(to);
    if (!near || !far)
        return 1;
    return zmq_proxy(zsock_resolve(near), zsock_resolve(far), NULL);
}

int
main(int argc, char *argv[])
{
    if (sockets_begin(1024) != STATUS_OK)
        return 71;
    if (argc == 4 && streq(argv[1], "proxy"))
        return proxy(argv[2], argv[3]);
    size_t bytes = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
    size_t count = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
    if (argc == 5 && streq(argv[1], "router") && bytes && count)
        return router(argv[2], bytes, count);
    fprintf(stderr, "usage: bench-bare proxy XSUB XPUB | "
                    "router PORT BYTES N\n");
    return 64;
}
