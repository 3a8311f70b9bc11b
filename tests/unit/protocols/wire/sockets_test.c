#include "sockets.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "frames.h"
#include "proof.h"

static const char *const ANY = "tcp://127.0.0.1:*";

static bool
wait_for(zsock_t *socket, short what)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket), .events = what };
    return zmq_poll(&item, 1, 60000) == 1;
}

static zsock_t *
bound(socket_kind_t kind, const char *at, char endpoint_r[ENDPOINT_BYTES])
{
    zsock_t *socket;
    CHECK(sockets_open(kind, at, &socket) == STATUS_OK);
    sockets_bound(socket, endpoint_r);
    return socket;
}

//  A place where nobody listens and nobody else can: bound, never listening.
static int
hold_closed(char endpoint_r[ENDPOINT_BYTES])
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int held = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(held, (struct sockaddr *)&at, size) == 0);
    CHECK(getsockname(held, (struct sockaddr *)&at, &size) == 0);
    snprintf(endpoint_r, ENDPOINT_BYTES, "tcp://127.0.0.1:%d",
             ntohs(at.sin_port));
    return held;
}

//  Bind where a socket was just dropped: libzmq lets go in its own time.
static zsock_t *
bound_again(const char *endpoint)
{
    zsock_t *socket = NULL;
    for (int i = 0; i < 6000 && !socket; i++)
        if (sockets_open(SOCKET_FRONT, endpoint, &socket) != STATUS_OK)
            zmq_poll(NULL, 0, 10);
    CHECK(socket);
    return socket;
}

static void
any_port_is_a_free_one_of_the_kernels(void)
{
    char one[ENDPOINT_BYTES], two[ENDPOINT_BYTES];
    zsock_t *first = bound(SOCKET_PULL, ANY, one);
    zsock_t *second = bound(SOCKET_FRONT, "tcp://127.0.0.1:0", two);
    CHECK(strncmp(one, "tcp://127.0.0.1:", 16) == 0 && atoi(one + 16) > 0);
    CHECK(atoi(two + 16) > 0 && strcmp(one, two) != 0);
    sockets_drop(&first);
    sockets_drop(&second);
}

static void
a_place_that_is_taken_or_not_ours_is_an_address_error(void)
{
    char taken[ENDPOINT_BYTES];
    zsock_t *first = bound(SOCKET_FRONT, ANY, taken), *second = first;
    CHECK(sockets_open(SOCKET_PULL, taken, &second) == STATUS_ADDRESS);
    CHECK(!second && errno == EADDRINUSE);
    CHECK(sockets_open(SOCKET_PULL, "tcp://192.0.2.1:7", &second) ==
          STATUS_ADDRESS);
    CHECK(sockets_open(SOCKET_ASK, "nonsense", &second) == STATUS_ADDRESS);
    CHECK(!second);
    sockets_drop(&first);
    sockets_drop(&second);
}

static void
version_six_is_spoken_where_it_is_written(void)
{
    char endpoint[ENDPOINT_BYTES];
    zsock_t *front;
    if (sockets_open(SOCKET_FRONT, "tcp://[::1]:0", &front) != STATUS_OK)
        return;  //  A machine without it
    sockets_bound(front, endpoint);
    CHECK(strncmp(endpoint, "tcp://[::1]:", 12) == 0);
    sockets_drop(&front);
}

static void
a_queue_of_chunks_is_bounded(void)
{
    zsock_t *pull, *push;
    const char *inside = "inproc://sockets-test";
    CHECK(sockets_open(SOCKET_PULL, inside, &pull) == STATUS_OK);
    CHECK(sockets_open(SOCKET_PUSH, inside, &push) == STATUS_OK);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    int sent = 0;
    while (frames_send(push, NULL, &chunk, NULL) == STATUS_OK)
        sent++;
    CHECK(sent == 2 * 16);  //  Inside a process both ends' queues add up
    sockets_drop(&push);
    sockets_drop(&pull);
}

//  The next event that is one.
static int
event(zsock_t *watch)
{
    int told = 0;
    while (told == 0 && wait_for(watch, ZMQ_POLLIN))
        told = sockets_watch_event(watch);
    return told;
}

static void
a_watch_tells_when_a_connection_comes_and_goes(void)
{
    char endpoint[ENDPOINT_BYTES], nowhere[ENDPOINT_BYTES];
    int held = hold_closed(nowhere);
    zsock_t *front = bound(SOCKET_FRONT, ANY, endpoint);
    zsock_t *ask;
    zsock_t *watch;
    CHECK(sockets_open_watched(SOCKET_ASK, nowhere, &ask, &watch) == STATUS_OK);
    CHECK(watch && sockets_watch_event(watch) == 0);
    CHECK(zsock_connect(ask, "%s", endpoint) == 0);
    CHECK(event(watch) == 1);
    sockets_drop(&front);
    CHECK(event(watch) == -1);
    front = bound_again(endpoint);
    CHECK(event(watch) == 1);
    sockets_unwatch(ask, &watch);
    CHECK(!watch);
    sockets_unwatch(ask, &watch);
    sockets_drop(&ask);
    sockets_drop(&front);
    close(held);
}

//  Whether nothing happens for three seconds.
static bool
is_quiet(zsock_t *socket, short what)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(socket), .events = what };
    return zmq_poll(&item, 1, 3000) == 0;
}

static message_t *
some_chunk(void)
{
    static Rill__V1__Store store = RILL__V1__STORE__INIT;
    static message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    return &chunk;
}

//  Push until both ends and the kernel hold no more; how much that was.
static int
fill_up(zsock_t *push)
{
    buffer_t *payload = buffer_new(256 * 1024);
    memset(buffer_fill(payload), 7, buffer_size(payload));
    int sent = 0;
    CHECK(wait_for(push, ZMQ_POLLOUT));
    while (sent < 1000 && !is_quiet(push, ZMQ_POLLOUT))
        sent += frames_send(push, NULL, some_chunk(), payload) == STATUS_OK;
    CHECK(sent < 1000);
    buffer_unref(&payload);
    return sent;
}

static void
drain(zsock_t *pull, int count)
{
    received_t received;
    for (int i = 0; i < count; i++) {
        CHECK(wait_for(pull, ZMQ_POLLIN));
        CHECK(frames_receive(pull, &received) == STATUS_OK);
        frames_release(&received);
    }
}

static void
who_is_busy_keeps_its_connection(void)
{
    char endpoint[ENDPOINT_BYTES];
    zsock_t *pull = bound(SOCKET_PULL, ANY, endpoint), *push, *watch;
    CHECK(sockets_open_watched(SOCKET_PUSH, endpoint, &push, &watch) ==
          STATUS_OK);
    CHECK(event(watch) == 1);
    int sent = fill_up(push);
    CHECK(sent > 16);
    CHECK(is_quiet(watch, ZMQ_POLLIN));
    drain(pull, sent);
    sockets_unwatch(push, &watch);
    sockets_drop(&push);
    sockets_drop(&pull);
}

static void
a_peer_that_says_too_much_is_cut_off_and_others_are_served(void)
{
    char endpoint[ENDPOINT_BYTES];
    zsock_t *front = bound(SOCKET_FRONT, ANY, endpoint);
    zsock_t *loud, *fair, *watch;
    CHECK(sockets_open_watched(SOCKET_ASK, endpoint, &loud, &watch) ==
          STATUS_OK);
    CHECK(sockets_open(SOCKET_ASK, endpoint, &fair) == STATUS_OK);
    static uint8_t much[LIMIT_PAYLOAD_BYTES + 1];
    zmq_send(zsock_resolve(loud), much, sizeof(much), 0);
    CHECK(event(watch) == 1);
    CHECK(event(watch) == -1);

    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    message_t ask = MESSAGE(STATUS_ASK, status_ask, &body, 3, 0);
    CHECK(frames_send(fair, NULL, &ask, NULL) == STATUS_OK);
    received_t got;
    CHECK(wait_for(front, ZMQ_POLLIN));
    CHECK(frames_receive(front, &got) == STATUS_OK && got.request == 3);
    frames_release(&got);
    sockets_unwatch(loud, &watch);
    sockets_drop(&loud);
    sockets_drop(&fair);
    sockets_drop(&front);
}

static void
what_is_queued_when_a_socket_is_dropped_stays_unsent(void)
{
    char nowhere[ENDPOINT_BYTES];
    int held = hold_closed(nowhere);
    zsock_t *ask;
    CHECK(sockets_open(SOCKET_ASK, nowhere, &ask) == STATUS_OK);
    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    message_t said = MESSAGE(STATUS_ASK, status_ask, &body, 3, 0);
    for (int i = 0; i < LIMIT_ASKS_PER_PEER; i++)
        CHECK(frames_send(ask, NULL, &said, NULL) == STATUS_OK);
    CHECK(frames_send(ask, NULL, &said, NULL) == STATUS_BUSY);
    sockets_drop(&ask);
    CHECK(!ask);
    sockets_drop(&ask);
    close(held);
}

//  sockets_begin changes the whole process: each trial has one of its own.
static int
in_a_child(int (*trial)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(trial());
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

//  Fill a queue that nobody reads, and go with all that was not taken: the
//  other end has seen the last of us before its queue has room.
static void
fill_and_go(socket_kind_t from, const char *endpoint)
{
    zsock_t *peer;
    CHECK(sockets_open(from, endpoint, &peer) == STATUS_OK);
    Rill__V1__Store store = RILL__V1__STORE__INIT;
    message_t chunk = MESSAGE(STORE, store, &store, 0, 0);
    buffer_t *payload = buffer_new(256 * 1024);
    memset(buffer_fill(payload), 0, buffer_size(payload));
    CHECK(wait_for(peer, ZMQ_POLLOUT));
    for (int quiet = 0; quiet < 20;)
        if (frames_send(peer, NULL, &chunk, payload) == STATUS_OK)
            quiet = 0;
        else
            quiet += zmq_poll(NULL, 0, 10) == 0;
    buffer_unref(&payload);
    sockets_drop(&peer);
}

//  Nothing may happen to us while timers go by that are up to 0.5 s long.
static int
outlive_who_filled_a_queue(void)
{
    char pull_at[ENDPOINT_BYTES], front_at[ENDPOINT_BYTES];
    zsock_t *pull = bound(SOCKET_PULL, ANY, pull_at);
    zsock_t *front = bound(SOCKET_FRONT, ANY, front_at);
    fill_and_go(SOCKET_PUSH, pull_at);
    fill_and_go(SOCKET_ASK, front_at);
    zmq_poll(NULL, 0, 2000);
    received_t got;
    CHECK(frames_receive(pull, &got) == STATUS_OK);
    frames_release(&got);
    CHECK(frames_receive(front, &got) == STATUS_OK);
    frames_release(&got);
    sockets_drop(&pull);
    sockets_drop(&front);
    return 0;
}

static void
who_fills_a_queue_and_goes_does_no_harm(void)
{
    CHECK(in_a_child(outlive_who_filled_a_queue) == 0);
}

static int
begin_well(void)
{
    struct rlimit limit = { .rlim_cur = 64, .rlim_max = 128 };
    struct sigaction interrupt, pipe_;
    //  Who is started in the background may have inherited that it is ignored.
    signal(SIGINT, SIG_DFL);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    if (sockets_begin(100) != STATUS_OK)
        return 2;
    zsock_t *front;
    if (sockets_open(SOCKET_FRONT, ANY, &front) != STATUS_OK)
        return 3;
    getrlimit(RLIMIT_NOFILE, &limit);
    sigaction(SIGINT, NULL, &interrupt);
    sigaction(SIGPIPE, NULL, &pipe_);
    sockets_drop(&front);
    if (limit.rlim_cur != 128)
        return 4;
    return interrupt.sa_handler != SIG_DFL || pipe_.sa_handler != SIG_IGN;
}

static int
begin_with_too_few(void)
{
    struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
    setrlimit(RLIMIT_NOFILE, &limit);
    FILE *said = freopen("/dev/null", "w", stderr);
    return !said || sockets_begin(65) != STATUS_LIMIT;
}

static void
a_process_begins_with_its_descriptors_and_its_own_signals(void)
{
    CHECK(in_a_child(begin_well) == 0);
}

static void
too_few_descriptors_are_said_at_the_start(void)
{
    CHECK(in_a_child(begin_with_too_few) == 0);
}

int
main(void)
{
    CASE(a_process_begins_with_its_descriptors_and_its_own_signals,
         "a process begins with all its descriptors and its own signals");
    CASE(too_few_descriptors_are_said_at_the_start,
         "too few descriptors are said at the start");
    CASE(who_fills_a_queue_and_goes_does_no_harm,
         "invariant 18: who fills a queue and goes does no harm to its node");
    //  Only now: a process that has threads cannot fork under a sanitizer.
    CASE(any_port_is_a_free_one_of_the_kernels,
         "any port is a free one, of the kernel's choice");
    CASE(a_place_that_is_taken_or_not_ours_is_an_address_error,
         "a place that is taken or not ours is an address error");
    CASE(version_six_is_spoken_where_it_is_written,
         "IPv6 is spoken where it is written");
    CASE(a_queue_of_chunks_is_bounded,
         "invariant 18: a queue of chunks is bounded");
    CASE(a_watch_tells_when_a_connection_comes_and_goes,
         "a watch tells when a connection comes and goes");
    CASE(who_is_busy_keeps_its_connection,
         "invariant 19: who takes nothing for a while keeps its connection, "
         "and finds all of it");
    CASE(a_peer_that_says_too_much_is_cut_off_and_others_are_served,
         "invariant 18: who says too much is cut off, others are served");
    CASE(what_is_queued_when_a_socket_is_dropped_stays_unsent,
         "an ask waits for its peer, bounded, and is dropped at once");
    return proof_end();
}
