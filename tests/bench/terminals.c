/*  bench-terminals - many terminals, of rill or of what it is measured beside
 *
 *  bench-terminals SECONDS KIND:COUNT:HOST:PORT:WHAT...
 *
 *  A KIND is one of
 *    live    watches the stream WHAT of a node of rill from now on
 *    again   the same from its start, and again each time it is over
 *    credit  takes from a bench-bare router what its credit allows
 *    topic   subscribes to everything that a bench-bare proxy has
 *    http    gets /0, /1 … /WHAT - 1 over one connection, and again
 *    rtmp    plays WHAT of the application `live`
 *
 *  All of them read plain sockets in one thread, into the same memory, so that
 *  a terminal costs as much whoever serves it; ZMTP, HTTP and RTMP are spoken
 *  as far as is needed. Groups begin one after the other, each when all of the
 *  one before it are served; then "ready" is printed, and after SECONDS, as one
 *  line of JSON: bytes of payload per group, and of each stamped chunk that
 *  reached all, µs from its stamp until each group's first terminal had it
 *  whole, and until its last had.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "invariant.h"
#include "message.h"
#include "sockets.h"
#include "stamp.h"

enum {
    GROUPS = 8,
    READ_BYTES = 256 * 1024,
    KEPT_BYTES = 2048,               //  Of a frame, or of a head of HTTP
    WINDOW_BYTES = 4 * 1024 * 1024,  //  As the client's of rill
    CREDIT_PART = 4,
    CHUNKS = 1 << 14,
    RTMP_SERVED_BYTES = 64 * 1024,
    BEGIN_MS = 20000,
};

typedef enum { LIVE, AGAIN, CREDIT, TOPIC, HTTP, RTMP, KINDS } kind_of_t;

static const char *const KIND_NAMES[KINDS] = { "live",  "again", "credit",
                                               "topic", "http",  "rtmp" };

typedef struct {
    kind_of_t kind;
    unsigned count;
    char host[64], port[8], what[64];
    unsigned served;  //  Of them, how many had something
    uint64_t bytes;   //  Of payload
} group_t;

typedef struct {
    group_t *group;
    int fd;
    bool served;
    uint8_t kept[KEPT_BYTES];  //  How the frame or head begins
    size_t kept_size;
    uint64_t skip;        //  ZMTP's greeting, bytes that are still to come
    uint64_t left, size;  //  The same of the frame or body, and all of it
    bool in_frame;
    uint8_t flags;          //  Of the frame
    unsigned part;          //  Of the message
    uint64_t stamp, chunk;  //  Of the payload
    uint64_t request, taken, credit, kept_ns;
    unsigned object;
} terminal_t;

typedef struct {
    uint64_t stamp_ns, first_ns[GROUPS], last_ns[GROUPS];
    unsigned count[GROUPS];
} chunk_t;

static group_t groups[GROUPS];
static unsigned groups_count;
static chunk_t *chunks;
static bool counting;
static uint64_t now_ns;

static _Noreturn void
fail(const char *why)
{
    fprintf(stderr, "bench-terminals: %s\n", why);
    exit(1);
}

static void
say(terminal_t *self, const void *bytes, size_t size)
{
    if (write(self->fd, bytes, size) != (ssize_t)size)
        fail("a connection took nothing");
}

/*--------------------------------------------------------------------- counting */

static void
served(terminal_t *self, uint64_t bytes)
{
    self->group->bytes += bytes;
    if (!self->served)
        self->group->served++;
    self->served = true;
}

static void
note_chunk(terminal_t *self)
{
    stamp_t stamp;
    if (!counting || self->kept_size < sizeof stamp)
        return;
    memcpy(&stamp, self->kept, sizeof stamp);
    if (stamp.magic != STAMP_MAGIC || stamp.number >= CHUNKS)
        return;
    chunk_t *chunk = &chunks[stamp.number];
    size_t of = (size_t)(self->group - groups);
    chunk->stamp_ns = stamp.at_ns;
    if (chunk->count[of]++ == 0)
        chunk->first_ns[of] = now_ns;
    chunk->last_ns[of] = now_ns;
}

/*------------------------------------------------------------------------- ZMTP */

//  A message of one frame behind the empty delimiter.
static void
say_message(terminal_t *self, const void *bytes, size_t size)
{
    uint8_t frames[4 + 255] = { 1, 0, 0, (uint8_t)size };
    INVARIANT(size <= 255);
    memcpy(frames + 4, bytes, size);
    say(self, frames, 4 + size);
}

static void
say_rill(terminal_t *self, message_t *message)
{
    message->request = self->request;
    buffer_t *packed = message_pack(message);
    say_message(self, buffer_bytes(packed), buffer_size(packed));
    buffer_unref(&packed);
}

static void
watch(terminal_t *self)
{
    Rill__V1__Watch body = RILL__V1__WATCH__INIT;
    body.which_case = RILL__V1__WATCH__WHICH_NAME;
    body.name = self->group->what;
    bool again = self->group->kind == AGAIN;
    body.from_case = again ? RILL__V1__WATCH__FROM_START
                           : RILL__V1__WATCH__FROM_LIVE;
    body.start = body.live = true;
    body.credit = self->credit = WINDOW_BYTES;
    self->taken = 0;
    self->request++;
    message_t message = MESSAGE(WATCH, watch, &body, 0, 0);
    say_rill(self, &message);
}

static void
give_credit(terminal_t *self)
{
    bool late = now_ns - self->kept_ns > 1000000000;
    if (self->taken + WINDOW_BYTES - self->credit <
            WINDOW_BYTES / CREDIT_PART &&
        !late)
        return;
    self->kept_ns = now_ns;
    self->credit = self->taken + WINDOW_BYTES;
    if (self->group->kind == CREDIT) {
        say_message(self, &self->credit, sizeof self->credit);
        return;
    }
    Rill__V1__WatchKeep body = RILL__V1__WATCH_KEEP__INIT;
    body.credit = self->credit;
    message_t message = MESSAGE(WATCH_KEEP, watch_keep, &body, 0, 0);
    say_rill(self, &message);
}

static void
on_word(terminal_t *self)
{
    message_t *message;
    if (self->size > KEPT_BYTES ||
        message_unpack(self->kept, self->size, &message) != STATUS_OK)
        fail("what came is no message of rill");
    //  What was said before a session was over may be refused after it.
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED &&
        message->request == self->request)
        fail(message->refused->text);
    if (message->body_case == RILL__V1__MESSAGE__BODY_OVER) {
        if (message->over->status || self->group->kind != AGAIN ||
            message->over->at != self->taken)
            fail("a stream ended before its end");
        watch(self);
    }
    message_free(&message);
}

//  The other side is ready: it takes nothing before.
static void
begin(terminal_t *self)
{
    if (self->group->kind == TOPIC)
        say(self, "\0\1\1", 3);
    else if (self->group->kind == CREDIT)
        give_credit(self);
    else
        watch(self);
}

static void
on_frame(terminal_t *self)
{
    enum { MORE = 1, COMMAND = 4 };
    kind_of_t kind = self->group->kind;
    if (self->flags & COMMAND) {
        begin(self);
        return;
    }
    unsigned part = self->part;
    self->part = self->flags & MORE ? part + 1 : 0;
    if (self->flags & MORE)
        return;
    if (part == (kind == TOPIC ? 1 : 2)) {
        self->taken += self->size;
        note_chunk(self);
        served(self, self->size);
        if (kind != TOPIC)
            give_credit(self);
    } else if (kind == LIVE || kind == AGAIN)
        on_word(self);
}

//  How long the frame is, once its first bytes say so. Returns how many of
//  those that came belong to its header.
static size_t
read_frame_header(terminal_t *self, const uint8_t *at, size_t size)
{
    size_t used = 0;
    while (used < size && !self->in_frame) {
        self->kept[self->kept_size++] = at[used++];
        bool is_long = self->kept[0] & 2;
        if (self->kept_size < (is_long ? 9u : 2u))
            continue;
        self->size = 0;
        for (size_t i = 1; i < self->kept_size; i++)
            self->size = self->size << 8 | self->kept[i];
        self->left = self->size;
        self->flags = self->kept[0];
        self->in_frame = true;
        self->kept_size = 0;
    }
    return used;
}

//  Take as many bytes of the frame or the body as have come.
static size_t
take_left(terminal_t *self, const uint8_t *at, size_t size)
{
    size_t taken = size < self->left ? size : (size_t)self->left;
    size_t kept = KEPT_BYTES - self->kept_size;
    if (kept > taken)
        kept = taken;
    memcpy(self->kept + self->kept_size, at, kept);
    self->kept_size += kept;
    self->left -= taken;
    return taken;
}

static void
hear_zmtp(terminal_t *self, const uint8_t *at, size_t size)
{
    size_t used = size < self->skip ? size : (size_t)self->skip;
    self->skip -= used;
    while (used < size) {
        if (!self->in_frame)
            used += read_frame_header(self, at + used, size - used);
        if (!self->in_frame)
            return;
        used += take_left(self, at + used, size - used);
        if (self->left)
            return;
        self->in_frame = false;
        on_frame(self);
        self->kept_size = 0;
    }
}

static void
begin_zmtp(terminal_t *self)
{
    static const char READY[] = "\5READY\13Socket-Type\0\0\0";
    uint8_t hello[64] = { 0xff, [9] = 0x7f, [10] = 3 };
    memcpy(hello + 12, "NULL", 4);
    say(self, hello, sizeof hello);
    const char *type = self->group->kind == TOPIC ? "SUB" : "DEALER";
    size_t name = sizeof READY - 1, size = name + 1 + strlen(type);
    uint8_t ready[64] = { 4, (uint8_t)size };
    memcpy(ready + 2, READY, name);
    ready[2 + name] = (uint8_t)strlen(type);
    memcpy(ready + 3 + name, type, strlen(type));
    say(self, ready, 2 + size);
    self->skip = sizeof hello;
}

/*------------------------------------------------------------------------- HTTP */

static void
get(terminal_t *self)
{
    char line[256];
    int size = snprintf(line, sizeof line,
                        "GET /%u HTTP/1.1\r\nHost: %s\r\n\r\n", self->object,
                        self->group->host);
    self->object = (self->object + 1) % (unsigned)atoi(self->group->what);
    say(self, line, (size_t)size);
}

static size_t
read_http_head(terminal_t *self, const uint8_t *at, size_t size)
{
    static const char LENGTH[] = "Content-Length: ";
    size_t used = 0;
    while (used < size && !self->in_frame) {
        if (self->kept_size == KEPT_BYTES - 1)
            fail("a head of HTTP is too long");
        self->kept[self->kept_size++] = at[used++];
        self->kept[self->kept_size] = 0;
        if (self->kept_size < 4 ||
            memcmp(self->kept + self->kept_size - 4, "\r\n\r\n", 4) != 0)
            continue;
        const char *head = (const char *)self->kept;
        const char *length = strstr(head, LENGTH);
        if (strncmp(head, "HTTP/1.1 200", 12) != 0 || !length)
            fail(head);
        self->size = self->left = strtoull(length + strlen(LENGTH), NULL, 10);
        self->in_frame = true;
        self->kept_size = 0;
    }
    return used;
}

static void
hear_http(terminal_t *self, const uint8_t *at, size_t size)
{
    for (size_t used = 0; used < size;) {
        if (!self->in_frame)
            used += read_http_head(self, at + used, size - used);
        if (!self->in_frame)
            return;
        used += take_left(self, at + used, size - used);
        if (self->left)
            return;
        self->in_frame = false;
        self->kept_size = 0;
        served(self, self->size);
        get(self);
    }
}

/*------------------------------------------------------------------------- RTMP */

static size_t
put_text(uint8_t *to, const char *text)
{
    size_t size = strlen(text);
    to[0] = (uint8_t)(size >> 8);
    to[1] = (uint8_t)size;
    memcpy(to + 2, text, size);
    return 2 + size;
}

static size_t
put_string(uint8_t *to, const char *text)
{
    to[0] = 2;
    return 1 + put_text(to + 1, text);
}

//  A command in AMF0 up to its arguments.
static size_t
put_command(uint8_t *to, const char *name, uint8_t number)
{
    static const uint8_t NUMBERS[][2] = { { 0, 0 },
                                          { 0x3f, 0xf0 },
                                          { 0x40, 0x00 } };  //  0, 1, 2
    size_t size = put_string(to, name);
    to[size] = 0;
    memset(to + size + 1, 0, 8);
    memcpy(to + size + 1, NUMBERS[number], 2);
    return size + 9;
}

//  One message, in chunks of 128 bytes.
static void
say_command(terminal_t *self, uint8_t stream, const uint8_t *body, size_t size)
{
    uint8_t bytes[1024] = {
        3, 0, 0, 0, 0, (uint8_t)(size >> 8), (uint8_t)size, 20, stream
    };
    size_t end = 12;
    for (size_t at = 0; at < size; at++) {
        if (at && at % 128 == 0)
            bytes[end++] = 0xc3;
        bytes[end++] = body[at];
    }
    say(self, bytes, end);
}

static void
begin_rtmp(terminal_t *self)
{
    static const uint8_t END[] = { 0, 0, 9 }, NOTHING = 5;
    static uint8_t hello[1 + 1536 + 1536] = { 3 };
    say(self, hello, sizeof hello);
    uint8_t body[512];
    size_t size = put_command(body, "connect", 1);
    body[size++] = 3;
    size += put_text(body + size, "app");
    size += put_string(body + size, "live");
    char url[128];
    snprintf(url, sizeof url, "rtmp://%s:%s/live", self->group->host,
             self->group->port);
    size += put_text(body + size, "tcUrl");
    size += put_string(body + size, url);
    memcpy(body + size, END, sizeof END);
    say_command(self, 0, body, size + sizeof END);
    size = put_command(body, "createStream", 2);
    body[size++] = NOTHING;
    say_command(self, 0, body, size);
    size = put_command(body, "play", 0);
    body[size++] = NOTHING;
    size += put_string(body + size, self->group->what);
    say_command(self, 1, body, size);
}

static void
hear_rtmp(terminal_t *self, size_t size)
{
    self->taken += size;
    self->group->bytes += size;
    if (self->taken >= RTMP_SERVED_BYTES)
        served(self, 0);
}

/*-------------------------------------------------------------------- the groups */

static void
connect_to(terminal_t *self)
{
    const group_t *group = self->group;
    struct addrinfo *found, hints = { .ai_socktype = SOCK_STREAM };
    if (getaddrinfo(group->host, group->port, &hints, &found) != 0)
        fail("that is no address");
    self->fd = socket(found->ai_family, SOCK_STREAM, 0);
    if (self->fd == -1 ||
        connect(self->fd, found->ai_addr, found->ai_addrlen) != 0)
        fail(strerror(errno));
    freeaddrinfo(found);
    fcntl(self->fd, F_SETFL, O_NONBLOCK);
}

static void
begin_group(group_t *group, int poll)
{
    terminal_t *all = zmalloc(group->count * sizeof *all);
    for (terminal_t *self = all; self < all + group->count; self++) {
        self->group = group;
        connect_to(self);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = self };
        epoll_ctl(poll, EPOLL_CTL_ADD, self->fd, &event);
        if (group->kind == HTTP)
            get(self);
        else if (group->kind == RTMP)
            begin_rtmp(self);
        else
            begin_zmtp(self);
    }
}

static void
hear(terminal_t *self)
{
    static uint8_t bytes[READ_BYTES];
    ssize_t size = read(self->fd, bytes, sizeof bytes);
    if (size == -1 && errno == EAGAIN)
        return;
    if (size <= 0)
        fail("a connection ended");
    now_ns = stamp_now_ns();
    switch (self->group->kind) {
    case HTTP:
        hear_http(self, bytes, (size_t)size);
        break;
    case RTMP:
        hear_rtmp(self, (size_t)size);
        break;
    default:
        hear_zmtp(self, bytes, (size_t)size);
    }
}

//  Hear all until a time, or until all of a group are served.
static void
run(int poll, uint64_t until_ns, const group_t *group)
{
    struct epoll_event events[64];
    for (now_ns = stamp_now_ns(); now_ns < until_ns; now_ns = stamp_now_ns()) {
        if (group && group->served == group->count)
            return;
        int count = epoll_wait(poll, events, 64,
                               (int)((until_ns - now_ns) / 1000000 + 1));
        for (int i = 0; i < count; i++)
            hear(events[i].data.ptr);
    }
}

static void
tell_times(const char *name, const chunk_t *chunk, const uint64_t *at_ns)
{
    printf("\"%s\": [", name);
    for (unsigned i = 0; i < groups_count; i++)
        printf("%s%.1f", i ? ", " : "",
               ((double)at_ns[i] - (double)chunk->stamp_ns) / 1000);
    printf("]");
}

static void
tell(double seconds)
{
    printf("{\"seconds\": %.6f, \"bytes\": [", seconds);
    for (unsigned i = 0; i < groups_count; i++)
        printf("%s%" PRIu64, i ? ", " : "", groups[i].bytes);
    printf("], \"chunks\": [");
    bool first = true;
    for (size_t n = 0; n < CHUNKS; n++) {
        const chunk_t *chunk = &chunks[n];
        bool all = true;
        for (unsigned i = 0; i < groups_count; i++)
            all = all && chunk->count[i] == groups[i].count;
        if (!all)
            continue;
        printf("%s{", first ? "" : ", ");
        tell_times("first", chunk, chunk->first_ns);
        printf(", ");
        tell_times("last", chunk, chunk->last_ns);
        printf("}");
        first = false;
    }
    printf("]}\n");
}

static bool
read_group(const char *text)
{
    group_t *group = &groups[groups_count];
    char kind[16];
    if (groups_count == GROUPS ||
        sscanf(text, "%15[^:]:%u:%63[^:]:%7[^:]:%63s", kind, &group->count,
               group->host, group->port, group->what) != 5)
        return false;
    while (group->kind < KINDS && strcmp(kind, KIND_NAMES[group->kind]) != 0)
        group->kind++;
    groups_count++;
    return group->kind < KINDS && group->count > 0 && group->count <= 10000;
}

int
main(int argc, char *argv[])
{
    double seconds = argc > 2 ? strtod(argv[1], NULL) : 0;
    bool right = seconds > 0;
    for (int i = 2; i < argc; i++)
        right = right && read_group(argv[i]);
    if (!right) {
        fprintf(stderr, "usage: bench-terminals SECONDS "
                        "KIND:COUNT:HOST:PORT:WHAT...\n");
        return 64;
    }
    if (sockets_begin(1024) != STATUS_OK)
        return 71;
    int poll = epoll_create1(0);
    chunks = zmalloc(CHUNKS * sizeof *chunks);
    for (unsigned i = 0; i < groups_count; i++) {
        begin_group(&groups[i], poll);
        run(poll, stamp_now_ns() + BEGIN_MS * UINT64_C(1000000), &groups[i]);
        if (groups[i].served < groups[i].count)
            fail("a terminal was not served");
    }
    for (unsigned i = 0; i < groups_count; i++)
        groups[i].bytes = 0;
    counting = true;
    printf("ready\n");
    fflush(stdout);
    uint64_t begun = stamp_now_ns();
    run(poll, begun + (uint64_t)(seconds * 1e9), NULL);
    tell((double)(stamp_now_ns() - begun) / 1e9);
    return 0;
}
