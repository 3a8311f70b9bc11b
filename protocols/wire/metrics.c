#include "metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alarm.h"
#include "invariant.h"
#include "log.h"
#include "version.h"

//  libmicrohttpd accepts no more than METRICS_MOST: the oldest go before.
enum { ROOM = METRICS_MOST - 16, BACKLOG = 1024, AT_BYTES = 288 };

struct metrics {
    zloop_t *loop;
    metrics_place_t place;
    millis_t began;
    struct MHD_Daemon *daemon;
    alarm_t *alarm;
    zmq_pollitem_t item;
    char at[AT_BYTES];
    int open[METRICS_MOST];  //  Descriptors of connections, the oldest first
    size_t count;
};

/*---------------------------------------------------------------- answers */

static void
print_node(const metrics_t *self, FILE *to)
{
    bool ready = !self->place.unready(self->place.with);
    fprintf(to,
            "# HELP rill_build_info The version that runs.\n"
            "# TYPE rill_build_info gauge\n"
            "rill_build_info{version=\"%s\",role=\"%s\"} 1\n"
            "# HELP rill_ready Whether the node serves, not catching up.\n"
            "# TYPE rill_ready gauge\n"
            "rill_ready %d\n"
            "# HELP rill_uptime_seconds Since the node's start.\n"
            "# TYPE rill_uptime_seconds gauge\n"
            "rill_uptime_seconds %.3f\n",
            RILL_VERSION, settings_role(self->place.role), ready,
            (double)(zclock_mono() - self->began) / 1e3);
}

//  One that was removed may have left its name to another.
static bool
is_new(const counters_stream_t *streams, size_t nth)
{
    for (size_t i = 0; i < nth; i++)
        if (strcmp(streams[i].name, streams[nth].name) == 0)
            return false;
    return true;
}

static void
print_streams(const metrics_t *self, FILE *to)
{
    size_t most = self->place.streams, count = 0;
    counters_stream_t *streams = zmalloc((most + 1) * sizeof *streams);
    uint64_t from = 0;
    do {
        Rill__V1__StreamReport **list;
        size_t page = self->place.tell(self->place.with, from, &list, &from);
        for (size_t i = 0; i < page && count < most; i++)
            if (counters_stream(list[i], &streams[count]) &&
                is_new(streams, count))
                count++;
    } while (from && count < most);
    counters_print_streams(streams, count, to);
    free(streams);
}

static char *
build_metrics(const metrics_t *self, size_t *size_r)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size_r);
    INVARIANT(to);
    counters_t counters = { 0 };
    self->place.count(self->place.with, &counters);
    print_node(self, to);
    counters_print(&counters, self->place.role, to);
    if (self->place.tell && self->place.streams)
        print_streams(self, to);
    fclose(to);
    return text;
}

static enum MHD_Result
say(struct MHD_Connection *connection, unsigned code, const char *type,
    size_t size, char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        size, text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Connection", "close");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
say_line(struct MHD_Connection *connection, unsigned code, const char *line)
{
    char *text = zsys_sprintf("%s\n", line);
    INVARIANT(text);
    return say(connection, code, "text/plain; charset=utf-8", strlen(text),
               text);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *path,
           const char *method, const char *version, const char *upload,
           size_t *upload_size, void **own)
{
    (void)version, (void)upload, (void)upload_size, (void)own;
    metrics_t *self = arg;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return say_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                        "GET or HEAD only");
    if (strcmp(path, "/healthz") == 0)
        return say_line(connection, MHD_HTTP_OK, "ok");
    if (strcmp(path, "/readyz") == 0) {
        const char *why = self->place.unready(self->place.with);
        return why ? say_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why)
                   : say_line(connection, MHD_HTTP_OK, "ready");
    }
    if (strcmp(path, "/metrics") != 0)
        return say_line(connection, MHD_HTTP_NOT_FOUND,
                        "there are /metrics, /healthz and /readyz");
    size_t size;
    char *text = build_metrics(self, &size);
    return say(connection, MHD_HTTP_OK,
               "text/plain; version=0.0.4; charset=utf-8", size, text);
}

/*------------------------------------------------------------ connections */

static void
forget(metrics_t *self, int fd)
{
    size_t at = 0;
    while (at < self->count && self->open[at] != fd)
        at++;
    if (at == self->count)
        return;
    self->count--;
    memmove(&self->open[at], &self->open[at + 1],
            (self->count - at) * sizeof *self->open);
}

static void
on_connection(void *arg, struct MHD_Connection *connection, void **own,
              enum MHD_ConnectionNotificationCode code)
{
    (void)own;
    metrics_t *self = arg;
    int fd = MHD_get_connection_info(connection,
                                     MHD_CONNECTION_INFO_CONNECTION_FD)
                 ->connect_fd;
    forget(self, fd);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED)
        return;
    //  It sees its end and is closed at the daemon's next turn.
    if (self->count >= ROOM)
        shutdown(self->open[self->count - ROOM], SHUT_RDWR);
    INVARIANT(self->count < METRICS_MOST);
    self->open[self->count++] = fd;
}

/*--------------------------------------------------------------- the loop */

static void
turn(metrics_t *self)
{
    MHD_UNSIGNED_LONG_LONG wait;
    MHD_run(self->daemon);
    millis_t due = MHD_get_timeout(self->daemon, &wait) == MHD_YES
                       ? zclock_mono() + (millis_t)wait
                       : MILLIS_NEVER;
    alarm_set(self->alarm, due);
}

static int
on_alarm(void *arg)
{
    turn(arg);
    return 0;
}

static int
on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void)loop, (void)item;
    turn(arg);
    return 0;
}

/*------------------------------------------------------------------- life */

//  Bind one of the addresses that a host has; -1: errno says why not.
static int
bind_one(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    0);
    int on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int
bind_at(metrics_t *self, const char *at, char *why_r, size_t why_size)
{
    const char *where = *at ? at : "127.0.0.1:0";
    char host[AT_BYTES], port[16];
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    const char *begin = *where == '[' ? where + 1 : where;
    size_t size = colon ? (size_t)(colon - begin) : 0;
    snprintf(host, sizeof host, "%.*s", (int)size - (begin != where), begin);
    snprintf(port, sizeof port, "%s", colon ? colon + 1 : "");
    int fd = -1, wrong = getaddrinfo(host, port, &hints, &list);
    for (struct addrinfo *one = list; one && fd < 0; one = one->ai_next)
        fd = bind_one(one);
    if (fd < 0)
        snprintf(why_r, why_size,
                 "the address %s of `metrics` cannot be used: %s; stop what "
                 "has it, or give this node another in the cluster file",
                 where, wrong ? gai_strerror(wrong) : strerror(errno));
    if (list)
        freeaddrinfo(list);
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&bound, &length) == 0 &&
        getnameinfo((struct sockaddr *)&bound, length, NULL, 0, port,
                    sizeof port, NI_NUMERICSERV) == 0)
        snprintf(self->at, sizeof self->at, "%.*s:%s",
                 (int)(strrchr(where, ':') - where), where, port);
    return fd;
}

//  The listening socket is the daemon's, if there is one.
static bool
start(metrics_t *self, int fd)
{
    self->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, self,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)METRICS_MOST, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)METRICS_HEAD_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)METRICS_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        self, MHD_OPTION_END);
    if (!self->daemon) {
        close(fd);
        return false;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(
        self->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    self->item = (zmq_pollitem_t){ .fd = info->epoll_fd, .events = ZMQ_POLLIN };
    self->alarm = alarm_new(self->loop, on_alarm, self);
    if (!self->alarm)
        return false;
    zloop_poller(self->loop, &self->item, on_ready, self);
    return true;
}

status_t
metrics_new(zloop_t *loop, const metrics_place_t *place, metrics_t **self_r,
            char *why_r, size_t why_size)
{
    metrics_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->place = *place;
    self->began = zclock_mono();
    int fd = bind_at(self, place->at, why_r, why_size);
    status_t status = fd < 0 ? STATUS_ADDRESS : STATUS_OK;
    if (status == STATUS_OK && !start(self, fd)) {
        snprintf(why_r, why_size,
                 "no descriptor for HTTP can be had; raise the system's "
                 "limits");
        status = STATUS_LIMIT;
    }
    if (status == STATUS_OK) {
        log_event(LOG_AT_NOTICE, "metrics", "at=%s", self->at);
        *self_r = self;
    } else
        metrics_destroy(&self);
    return status;
}

void
metrics_destroy(metrics_t **self_p)
{
    metrics_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->alarm)
        zloop_poller_end(self->loop, &self->item);
    alarm_destroy(&self->alarm);
    if (self->daemon)
        MHD_stop_daemon(self->daemon);
    free(self);
}

const char *
metrics_at(const metrics_t *self)
{
    return self ? self->at : "";
}
