#include "sockets.h"

#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#include "bounds.h"
#include "invariant.h"

//  The most that glibc takes; received chunks then come from its heap and not
//  from a fresh mapping each (facts: 0.68 to 0.94 of raw TCP).
#define MMAP_THRESHOLD_BYTES (32 * 1024 * 1024)
#define TRIM_THRESHOLD_BYTES (64 * 1024 * 1024)

//  Each worker costs its forwarder two sockets and a watch of two ends.
#define MOST_SOCKETS (LIMIT_WORKERS * 16)

//  4 MiB of chunks of 256 KiB.
#define CHUNKS_QUEUED 16

//  Left to itself the kernel queues 4 MiB more to a worker, which leave the
//  caches before they are read again: half as much CPU again. This much
//  fills 10 Gbit/s over 0.4 ms.
#define CHUNKS_KERNEL_BYTES (512 * 1024)

//  The same of one who is answered, who may be far: 80 Mbit/s over 0.1 s.
#define ANSWERS_KERNEL_BYTES (1024 * 1024)

//  More than may have been asked for: who asked and then is busy for a while
//  keeps no node waiting and is not taken for one that takes nothing.
#define ASKED_QUEUED (LIMIT_ASKS_PER_PEER * 4)

//  The same of one cache to another: all flights of it, and what else it says.
#define LINK_QUEUED 4096

//  Live chunks are smaller, and come one by one.
#define LIVE_QUEUED 64

//  Events are small and come in bursts; who does not read has less than a MiB,
//  the kernel's part of it included.
#define EVENTS_QUEUED 2000
#define EVENTS_KERNEL_BYTES (64 * 1024)

//  Of one node, to a listener that does something else for a moment.
#define LISTENER_QUEUED 10000

//  A subscription is a topic (Z5); what a SUB says of itself is longer. Topics
//  of events have names in them.
#define SUBSCRIPTION_BYTES 128
#define SUBSCRIPTION_NAMED_BYTES 256

//  A front is bounded by credit and by asks; its queue only must not be what
//  ends first, and mandatory makes a full one visible (Z13).
#define ANSWERS_QUEUED 1000

#define HANDSHAKE_MS 3000
#define KEEPALIVE_S 2     //  Of silence; then the peer's kernel is asked
#define STALLED_MS 10000  //  A host that says or takes nothing for so long goes
#define RECONNECT_MS 50   //  libzmq adds a random part of as much
#define RECONNECT_MOST_MS 1000
#define LINGER_MS 1000
#define BACKLOG 512

typedef struct {
    int type;
    bool binds;
    int send_queue;
    int receive_queue;
    //  Queue only for a peer that is there. A PUSH must: what it queued for
    //  one that is gone is lost without a sign (Z1). An ASK must not: its
    //  question waits for the connection, and its asker has a deadline. A TELL
    //  must: a worker's Hellos of an hour would all be answered at once.
    bool immediate;
    int64_t most_bytes;  //  Of a frame that it takes; 0: of a payload
    int kernel_bytes;    //  To be sent to one peer; 0: as the kernel likes
    bool verbose;        //  Tells each subscription
} plan_t;

static const plan_t PLANS[] = {
    [SOCKET_FRONT] = { .type = ZMQ_ROUTER,
                       .binds = true,
                       .send_queue = ANSWERS_QUEUED,
                       .receive_queue = CHUNKS_QUEUED,
                       .kernel_bytes = ANSWERS_KERNEL_BYTES },
    [SOCKET_ASK] = { .type = ZMQ_DEALER,
                     .send_queue = LIMIT_ASKS_PER_PEER,
                     .receive_queue = ASKED_QUEUED },
    [SOCKET_LINK] = { .type = ZMQ_DEALER,
                      .send_queue = LINK_QUEUED,
                      .receive_queue = LINK_QUEUED },
    [SOCKET_TELL] = { .type = ZMQ_DEALER,
                      .send_queue = LIMIT_ASKS_PER_PEER,
                      .receive_queue = ASKED_QUEUED,
                      .immediate = true },
    [SOCKET_PUSH] = { .type = ZMQ_PUSH,
                      .send_queue = CHUNKS_QUEUED,
                      .receive_queue = CHUNKS_QUEUED,
                      .immediate = true,
                      .kernel_bytes = CHUNKS_KERNEL_BYTES },
    [SOCKET_PULL] = { .type = ZMQ_PULL,
                      .binds = true,
                      .send_queue = CHUNKS_QUEUED,
                      .receive_queue = CHUNKS_QUEUED },
    //  What a subscriber does not take it loses, and asks for (Z3).
    [SOCKET_PUBLISH] = { .type = ZMQ_XPUB,
                         .binds = true,
                         .send_queue = LIVE_QUEUED,
                         .receive_queue = CHUNKS_QUEUED,
                         .most_bytes = SUBSCRIPTION_BYTES },
    [SOCKET_TAP] = { .type = ZMQ_XPUB,
                     .binds = true,
                     .send_queue = EVENTS_QUEUED,
                     .receive_queue = CHUNKS_QUEUED,
                     .most_bytes = SUBSCRIPTION_NAMED_BYTES,
                     .kernel_bytes = EVENTS_KERNEL_BYTES,
                     .verbose = true },
    //  No subscription may be lost (Z4).
    [SOCKET_HEAR] = { .type = ZMQ_SUB,
                      .send_queue = 0,
                      .receive_queue = LIVE_QUEUED },
    [SOCKET_LISTEN] = { .type = ZMQ_SUB,
                        .send_queue = 0,
                        .receive_queue = LISTENER_QUEUED,
                        .most_bytes = LIMIT_HEAD_BYTES },
};

static void
set(zsock_t *socket, int option, int value)
{
    int rc = zmq_setsockopt(zsock_resolve(socket), option, &value,
                            sizeof(value));
    INVARIANT(rc == 0);
}

static void
set_all(zsock_t *socket, const plan_t *plan, const char *endpoint)
{
    int64_t most = plan->most_bytes ? plan->most_bytes : LIMIT_PAYLOAD_BYTES;
    int rc = zmq_setsockopt(zsock_resolve(socket), ZMQ_MAXMSGSIZE, &most,
                            sizeof(most));
    INVARIANT(rc == 0);
    set(socket, ZMQ_SNDHWM, plan->send_queue);
    set(socket, ZMQ_RCVHWM, plan->receive_queue);
    set(socket, ZMQ_IMMEDIATE, plan->immediate);
    if (plan->type == ZMQ_ROUTER)
        set(socket, ZMQ_ROUTER_MANDATORY, 1);
    if (plan->kernel_bytes)
        set(socket, ZMQ_SNDBUF, plan->kernel_bytes);
    if (plan->verbose)
        set(socket, ZMQ_XPUB_VERBOSE, 1);
    //  No heartbeats of ZMTP: libzmq 4.3 does not read them from a connection
    //  whose queue is full, cuts it off, and ends the process when it beats on
    //  one whose peer has gone (`!_io_error`) or has connected anew
    //  (`_input_stopped`, its issue 3937). TCP finds hosts that died; processes
    //  that hang are found by leases, which a full queue does not hide.
    set(socket, ZMQ_TCP_KEEPALIVE, 1);
    set(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S);
    set(socket, ZMQ_TCP_MAXRT, STALLED_MS);
    set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set(socket, ZMQ_CONNECT_TIMEOUT, HANDSHAKE_MS);
    set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS);
    set(socket, ZMQ_LINGER, LINGER_MS);
    set(socket, ZMQ_BACKLOG, BACKLOG);
    set(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
}

static status_t
raise_descriptors(size_t descriptors)
{
    struct rlimit limit;
    int rc = getrlimit(RLIMIT_NOFILE, &limit);
    INVARIANT(rc == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        rc = setrlimit(RLIMIT_NOFILE, &limit);
        INVARIANT(rc == 0);  //  Up to the hard limit anybody may
    }
    if (limit.rlim_cur >= descriptors)
        return STATUS_OK;
    fprintf(stderr,
            "This process may have %llu file descriptors and needs %zu: raise "
            "the hard limit (ulimit -Hn, or LimitNOFILE of its service).\n",
            (unsigned long long)limit.rlim_cur, descriptors);
    return STATUS_LIMIT;
}

status_t
sockets_begin(size_t descriptors)
{
    //  Refused only under a sanitizer's own allocator.
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    signal(SIGPIPE, SIG_IGN);
    zsys_handler_set(NULL);  //  Signals are main's, not czmq's
    zsys_set_max_sockets(MOST_SOCKETS);
    return raise_descriptors(descriptors);
}

//  A PAIR that hears what happens to the connections of a socket from now on.
static zsock_t *
watch_of(zsock_t *socket)
{
    static atomic_uint watches;
    char endpoint[ENDPOINT_BYTES];
    snprintf(endpoint, sizeof(endpoint), "inproc://watch-%u",
             atomic_fetch_add(&watches, 1));
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
    if (TEMP_FAILURE_RETRY(
            zmq_socket_monitor(zsock_resolve(socket), endpoint, events)) != 0)
        return NULL;
    zsock_t *watch = zsock_new(ZMQ_PAIR);
    if (!watch) {
        zmq_socket_monitor(zsock_resolve(socket), NULL, 0);
        return NULL;
    }
    //  An I/O thread that tells an event waits for room: there always is.
    set(watch, ZMQ_RCVHWM, 0);
    int rc = TEMP_FAILURE_RETRY(zmq_connect(zsock_resolve(watch), endpoint));
    INVARIANT(rc == 0);
    return watch;
}

static status_t
open_socket(socket_kind_t kind, const char *endpoint, zsock_t **socket_r,
            zsock_t **watch_r)
{
    const plan_t *plan = &PLANS[kind];
    *socket_r = NULL;
    zsock_t *socket = zsock_new(plan->type);
    if (!socket)
        return STATUS_LIMIT;
    set_all(socket, plan, endpoint);
    if (watch_r && !(*watch_r = watch_of(socket))) {
        sockets_drop(&socket);
        return STATUS_LIMIT;
    }
    //  Not zsock_bind: it counts free ports up from 49152 instead of asking
    //  the kernel, so that a new node would meet an old one's clients.
    void *handle = zsock_resolve(socket);
    int rc = plan->binds ? TEMP_FAILURE_RETRY(zmq_bind(handle, endpoint))
                         : TEMP_FAILURE_RETRY(zmq_connect(handle, endpoint));
    if (rc != 0) {
        int why = errno;
        if (watch_r)
            sockets_unwatch(socket, watch_r);
        sockets_drop(&socket);
        errno = why;
        return STATUS_ADDRESS;
    }
    *socket_r = socket;
    return STATUS_OK;
}

status_t
sockets_open(socket_kind_t kind, const char *endpoint, zsock_t **socket_r)
{
    return open_socket(kind, endpoint, socket_r, NULL);
}

status_t
sockets_open_watched(socket_kind_t kind, const char *endpoint,
                     zsock_t **socket_r, zsock_t **watch_r)
{
    *watch_r = NULL;
    return open_socket(kind, endpoint, socket_r, watch_r);
}

void
sockets_bound(zsock_t *socket, char endpoint_r[ENDPOINT_BYTES])
{
    size_t size = ENDPOINT_BYTES;
    int rc = zmq_getsockopt(zsock_resolve(socket), ZMQ_LAST_ENDPOINT,
                            endpoint_r, &size);
    INVARIANT(rc == 0);
}

void
sockets_drop(zsock_t **socket_p)
{
    if (*socket_p)
        set(*socket_p, ZMQ_LINGER, 0);
    zsock_destroy(socket_p);
}

int
sockets_watch_event(zsock_t *watch)
{
    void *handle = zsock_resolve(watch);
    uint8_t event[6];  //  u16 event, u32 value; its address is the next part
    uint8_t address[ENDPOINT_BYTES];
    if (zmq_recv(handle, event, sizeof(event), ZMQ_DONTWAIT) < 2)
        return 0;
    if (zsock_rcvmore(watch))
        zmq_recv(handle, address, sizeof(address), ZMQ_DONTWAIT);
    uint16_t number;
    memcpy(&number, event, sizeof(number));
    if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        return 1;
    return number == ZMQ_EVENT_DISCONNECTED ? -1 : 0;
}

void
sockets_unwatch(zsock_t *socket, zsock_t **watch_p)
{
    if (!*watch_p)
        return;
    //  First nobody tells any more, then nobody hears: an I/O thread that
    //  tells an event to a closed watch would wait for ever.
    int rc = zmq_socket_monitor(zsock_resolve(socket), NULL, 0);
    INVARIANT(rc == 0);
    zsock_destroy(watch_p);
}
