/*  bench-bus - from the forwarder to one worker, in three ways
 *
 *  bench-bus raw|deal|durable CHUNK_KIB TOTAL_MIB [IN_FLIGHT [DIR]]
 *
 *    raw      chunks over a bare TCP connection
 *    deal     chunks as Store messages over PUSH and PULL, no disk behind it
 *    durable  the same to a storage worker, each until its receipt is here: no
 *             more than IN_FLIGHT (64) chunks are without one. It works in a
 *             folder of its own inside DIR (/tmp), which is removed at the end
 *
 *  The far side is a process of its own on this machine, the near side plays
 *  the forwarder: it sums each chunk, deals it, and hears the receipts. Prints
 *  MB/s, and CPU seconds per GB of both sides together.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "daemon.h"
#include "frames.h"
#include "invariant.h"
#include "sockets.h"
#include "storage.h"

enum {
    STREAMS = 16,
    WARM_BYTES = 256 << 20,    //  Of different payload: more than any cache
    KERNEL_BYTES = 512 << 10,  //  Of bare TCP to be sent: what a PUSH leaves
    KEEP_MS = 500,
    SILENCE_MS = 20 * 1000,  //  After it nothing comes any more
};

static const uint64_t TERM = 1, SESSION = 7, CLUSTER = 0xbe7c4;
static size_t chunk_bytes, chunk_count, in_flight = 64;
static buffer_t **payloads;
static size_t payload_count;
static char folder[4096];

//  ---------------------------------------------------------------------------
//  Two processes, and what they cost

typedef struct {
    pid_t child;
    int down, up;  //  Pipes: what the far side is told, and what it says
} far_t;

static void
give_up(const char *what)
{
    fprintf(stderr, "bench-bus: %s\n", what);
    exit(74);
}

static double
seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

//  Of both sides.
static double
cpu_seconds(const far_t *far)
{
    clockid_t clock;
    INVARIANT(clock_getcpuclockid(far->child, &clock) == 0);
    return seconds(CLOCK_PROCESS_CPUTIME_ID) + seconds(clock);
}

//  Before any thread is made here: `side` runs in a process of its own.
static far_t
fork_far(void (*side)(int down, int up))
{
    int down[2], up[2];
    INVARIANT(pipe(down) == 0 && pipe(up) == 0);
    far_t far = { fork(), down[1], up[0] };
    INVARIANT(far.child >= 0);
    if (far.child == 0) {
        close(down[1]);
        close(up[0]);
        side(down[0], up[1]);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    return far;
}

//  Its end of the pipe closes, and with that it ends.
static void
end_far(far_t *far)
{
    close(far->down);
    close(far->up);
    waitpid(far->child, NULL, 0);
}

static void
tell(int pipe, const char endpoint[ENDPOINT_BYTES])
{
    INVARIANT(write(pipe, endpoint, ENDPOINT_BYTES) == ENDPOINT_BYTES);
}

//  False: the other side has ended.
static bool
hear(int pipe, char endpoint_r[ENDPOINT_BYTES])
{
    return read(pipe, endpoint_r, ENDPOINT_BYTES) == ENDPOINT_BYTES;
}

static void
print(const far_t *far, double wall, double cpu)
{
    double gigabytes = (double)chunk_bytes * (double)chunk_count / 1e9;
    printf("%.1f MB/s %.3f s/GB\n",
           gigabytes * 1e3 / (seconds(CLOCK_MONOTONIC) - wall),
           (cpu_seconds(far) - cpu) / gigabytes);
}

static void
make_payloads(void)
{
    payload_count = WARM_BYTES / chunk_bytes;
    if (payload_count > chunk_count)
        payload_count = chunk_count;
    payloads = calloc(payload_count, sizeof(*payloads));
    INVARIANT(payloads);
    for (size_t i = 0; i < payload_count; i++) {
        payloads[i] = buffer_new(chunk_bytes);
        memset(buffer_fill(payloads[i]), (int)i + 1, chunk_bytes);
    }
}

//  ---------------------------------------------------------------------------
//  Bare TCP

static void
take_raw(int down, int up)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int door = socket(AF_INET, SOCK_STREAM, 0);
    INVARIANT(bind(door, (struct sockaddr *)&at, size) == 0);
    INVARIANT(listen(door, 1) == 0);
    INVARIANT(getsockname(door, (struct sockaddr *)&at, &size) == 0);
    char port[ENDPOINT_BYTES] = "";
    snprintf(port, sizeof port, "%d", ntohs(at.sin_port));
    tell(up, port);
    int peer = accept(door, NULL, NULL);
    //  As many buffers as a bus has messages under way.
    size_t room = (size_t)4 << 20;
    uint8_t *bytes = malloc(room);
    INVARIANT(peer >= 0 && bytes);
    for (size_t left = chunk_bytes * chunk_count, at_byte = 0; left > 0;) {
        size_t most = chunk_bytes - at_byte % chunk_bytes;
        ssize_t got = read(peer, bytes + at_byte % room, most);
        if (got <= 0)
            give_up("the connection broke");
        left -= (size_t)got;
        at_byte += (size_t)got;
    }
    tell(up, port);
    (void)hear(down, port);
}

static void
play_raw(void)
{
    far_t far = fork_far(take_raw);
    char said[ENDPOINT_BYTES];
    if (!hear(far.up, said))
        give_up("the far side does not listen");
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(said)) };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int peer = socket(AF_INET, SOCK_STREAM, 0), on = 1, room = KERNEL_BYTES;
    setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    INVARIANT(connect(peer, (struct sockaddr *)&at, sizeof(at)) == 0);
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    make_payloads();
    double wall = seconds(CLOCK_MONOTONIC), cpu = cpu_seconds(&far);
    for (size_t i = 0; i < chunk_count; i++) {
        const uint8_t *bytes = buffer_bytes(payloads[i % payload_count]);
        for (size_t done = 0; done < chunk_bytes;) {
            ssize_t put = write(peer, bytes + done, chunk_bytes - done);
            if (put <= 0)
                give_up("the connection broke");
            done += (size_t)put;
        }
    }
    if (!hear(far.up, said))
        give_up("the far side ended before its last chunk");
    print(&far, wall, cpu);
    end_far(&far);
}

//  ---------------------------------------------------------------------------
//  The deal

static bool
send_chunk(zsock_t *push, size_t nth)
{
    buffer_t *payload = payloads[nth % payload_count];
    chunk_header_t header = {
        .key = { nth % STREAMS + 1, TERM << 32, nth / STREAMS, 0 },
        .code = { 1, 0 },
        .asked = { 1, 0 },
        .offset = nth / STREAMS * chunk_bytes,
        .length = (uint32_t)chunk_bytes,
        .created_us = (micros_t)nth,
        .width = 1,
        .kind = KIND_RECORDED,
        .name = "bench",
        .payload_crc = checksum_crc32c(buffer_bytes(payload), chunk_bytes),
    };
    chunk_on_wire_t wire;
    message_from_chunk(&header, &wire);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    store.term = TERM;
    store.session = SESSION;
    store.chunk = &wire.header;
    message_t message = MESSAGE(STORE, store, &store, 0, 0);
    status_t status = frames_send(push, NULL, &message, payload);
    INVARIANT(status == STATUS_OK || status == STATUS_BUSY);
    return status == STATUS_OK;
}

static bool
count_chunk(void *with, status_t status, received_t *received, millis_t now)
{
    (void)now;
    chunk_header_t header;
    INVARIANT(status == STATUS_OK && received->message->store);
    status = message_to_chunk(received->message->store->chunk, &header);
    INVARIANT(status == STATUS_OK &&
              header.length == buffer_size(received->payload));
    ++*(size_t *)with;
    return true;
}

static void
take_dealt(int down, int up)
{
    sockets_begin(64);
    zsock_t *pull;
    char at[ENDPOINT_BYTES];
    if (sockets_open(SOCKET_PULL, "tcp://127.0.0.1:*", &pull) != STATUS_OK)
        give_up("no port is free");
    sockets_bound(pull, at);
    tell(up, at);
    for (size_t taken = 0; taken < chunk_count;) {
        zmq_pollitem_t item = { zsock_resolve(pull), 0, ZMQ_POLLIN, 0 };
        if (zmq_poll(&item, 1, SILENCE_MS) <= 0)
            give_up("chunks do not come");
        frames_take(pull, count_chunk, &taken, 0);
    }
    tell(up, at);
    (void)hear(down, at);
    zsock_destroy(&pull);
}

static void
play_deal(void)
{
    far_t far = fork_far(take_dealt);
    char said[ENDPOINT_BYTES];
    sockets_begin(64);
    zsock_t *push;
    if (!hear(far.up, said) ||
        sockets_open(SOCKET_PUSH, said, &push) != STATUS_OK)
        give_up("the far side does not listen");
    make_payloads();
    zmq_pollitem_t item = { zsock_resolve(push), 0, ZMQ_POLLOUT, 0 };
    zmq_poll(&item, 1, SILENCE_MS);
    double wall = seconds(CLOCK_MONOTONIC), cpu = cpu_seconds(&far);
    for (size_t next = 0; next < chunk_count;)
        if (send_chunk(push, next))
            next++;
        else if (zmq_poll(&item, 1, SILENCE_MS) <= 0)
            give_up("chunks are not taken");
    if (!hear(far.up, said))
        give_up("the far side ended before its last chunk");
    print(&far, wall, cpu);
    zsock_destroy(&push);
    end_far(&far);
}

//  ---------------------------------------------------------------------------
//  Durable: a storage worker is the far side

typedef struct {
    zsock_t *front, *receipts, *push;
    char receipts_at[ENDPOINT_BYTES];
    bool ready;  //  The worker's inventory is here
    size_t sent, stored;
} near_t;

static void
run_worker(int down, int up)
{
    char front[ENDPOINT_BYTES];
    if (!hear(down, front))
        return;
    sockets_begin(512);
    storage_place_t place = {
        .name = "w1",
        .at = "127.0.0.1:0",
        .reach = "127.0.0.1:0",
        .forwarder_at = front + strlen("tcp://"),
        .data = folder,
        .metrics = "",
        .patience = 10,
    };
    zactor_t *worker = zactor_new(storage_actor, &place);
    status_t status = STATUS_IO;
    char *text = NULL;
    if (!daemon_hear(worker, &status, &text) || status != STATUS_OK)
        give_up(text ? text : "the worker does not start");
    zstr_free(&text);
    (void)hear(down, front);
    zactor_destroy(&worker);
    (void)up;
}

static bool
hear_worker(void *with, status_t status, received_t *received, millis_t now)
{
    (void)now;
    near_t *self = with;
    const message_t *heard = received->message;
    INVARIANT(status == STATUS_OK);
    if (heard->hello && !self->push) {
        Rill__V1__Welcome body = RILL__V1__WELCOME__INIT;
        body.cluster = CLUSTER;
        body.term = TERM;
        body.session = SESSION;
        body.receipts_at = self->receipts_at;
        body.keep_ms = KEEP_MS;
        message_t answer = MESSAGE(WELCOME, welcome, &body, heard->request, 0);
        frames_send(self->front, &received->peer, &answer, NULL);
        if (sockets_open(SOCKET_PUSH, heard->hello->push_at, &self->push) !=
            STATUS_OK)
            give_up("the worker is not where it says");
    } else if (heard->body_case == RILL__V1__MESSAGE__BODY_INVENTORY) {
        self->ready |= heard->inventory->done;
    } else if (heard->body_case == RILL__V1__MESSAGE__BODY_WORKER_KEEP) {
        Rill__V1__WorkerKept body = RILL__V1__WORKER_KEPT__INIT;
        body.session = SESSION;
        body.term = TERM;
        message_t answer = MESSAGE(WORKER_KEPT, worker_kept, &body,
                                   heard->request, 0);
        frames_send(self->front, &received->peer, &answer, NULL);
    }
    return true;
}

static bool
hear_receipt(void *with, status_t status, received_t *received, millis_t now)
{
    (void)now;
    near_t *self = with;
    INVARIANT(status == STATUS_OK && received->message->receipt);
    if (received->message->receipt->n_failed)
        give_up("the worker could not store a chunk");
    self->stored += received->message->receipt->n_stored;
    return true;
}

//  Wait for anything, and hear it.
static void
turn(near_t *self)
{
    zmq_pollitem_t items[] = {
        { zsock_resolve(self->receipts), 0, ZMQ_POLLIN, 0 },
        { zsock_resolve(self->front), 0, ZMQ_POLLIN, 0 },
        { NULL, -1, ZMQ_POLLOUT, 0 },
    };
    bool blocked = self->push && self->sent < chunk_count &&
                   self->sent - self->stored < in_flight;
    if (blocked)
        items[2].socket = zsock_resolve(self->push);
    if (zmq_poll(items, blocked ? 3 : 2, SILENCE_MS) <= 0)
        give_up("the worker says nothing any more");
    if (items[0].revents)
        frames_take(self->receipts, hear_receipt, self, 0);
    if (items[1].revents)
        frames_take(self->front, hear_worker, self, 0);
}

static void
play_durable(void)
{
    far_t far = fork_far(run_worker);
    char at[ENDPOINT_BYTES];
    sockets_begin(64);
    near_t self = { .front = NULL };
    if (sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &self.front) !=
            STATUS_OK ||
        sockets_open(SOCKET_PULL, "tcp://127.0.0.1:*", &self.receipts) !=
            STATUS_OK)
        give_up("no port is free");
    sockets_bound(self.receipts, self.receipts_at);
    sockets_bound(self.front, at);
    tell(far.down, at);
    make_payloads();
    while (!self.ready)
        turn(&self);
    double wall = seconds(CLOCK_MONOTONIC), cpu = cpu_seconds(&far);
    while (self.stored < chunk_count) {
        while (self.sent < chunk_count && self.sent - self.stored < in_flight &&
               send_chunk(self.push, self.sent))
            self.sent++;
        turn(&self);
    }
    print(&far, wall, cpu);
    zsock_destroy(&self.push);
    zsock_destroy(&self.receipts);
    zsock_destroy(&self.front);
    end_far(&far);
}

int
main(int argc, char **argv)
{
    size_t total = argc > 3 ? strtoull(argv[3], NULL, 10) << 20 : 0;
    chunk_bytes = argc > 2 ? strtoull(argv[2], NULL, 10) * 1024 : 0;
    if (argc > 4)
        in_flight = strtoull(argv[4], NULL, 10);
    bool known = argc > 3 &&
                 (strcmp(argv[1], "raw") == 0 || strcmp(argv[1], "deal") == 0 ||
                  strcmp(argv[1], "durable") == 0);
    if (!known || chunk_bytes == 0 || chunk_bytes > LIMIT_CHUNK_BYTES ||
        total < chunk_bytes || in_flight == 0) {
        fprintf(stderr, "usage: bench-bus raw|deal|durable CHUNK_KIB TOTAL_MIB "
                        "[IN_FLIGHT [DIR]]\n");
        return 64;
    }
    chunk_count = total / chunk_bytes;
    snprintf(folder, sizeof folder, "%s/bench-bus-XXXXXX",
             argc > 5 ? argv[5] : "/tmp");
    signal(SIGPIPE, SIG_IGN);
    if (argv[1][0] == 'r')
        play_raw();
    else if (argv[1][1] == 'e')
        play_deal();
    else if (!mkdtemp(folder))
        give_up("no folder can be made there");
    else
        play_durable();
    char command[4200];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return argv[1][1] == 'u' && system(command) != 0 ? 74 : 0;
}
