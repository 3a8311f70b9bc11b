/*  bench-viewers - many viewers in one process
 *
 *  bench-viewers STREAM[,STREAM...] SESSIONS HOST:PORT[,HOST:PORT...] [OPTION...]
 *    from=live|start|OFFSET  where they begin; live
 *    over=MS                 within which all of them join, evenly; 0: at once
 *    until=MS                after which they stop, unless it ended or SIGTERM
 *                            came; 10000
 *    silence=MS              of a node, after which it is left; 1500
 *
 *  The n-th takes the n-th stream of the list, round and round; of one stream
 *  the n-th begins at the n-th node, and goes on at the next one when its node
 *  is silent or cannot go on. Each does what any viewer does (watcher.h), with a
 *  socket of its own. When all have their first byte a line {"joined": N} is
 *  printed; at the end a line {"viewers": [...]}: of each `join_us`, from before
 *  it connects to its first byte (-1: it has none), `pause_us`, the longest from
 *  one delivery to the next or to the end of an unfinished session, `crc` of all
 *  its bytes from `from` to `next`, and what else the code below prints. Exit
 *  code 1: a session failed or a byte is missing.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "checksum.h"
#include "frames.h"
#include "invariant.h"
#include "random.h"
#include "sockets.h"
#include "watcher.h"

enum {
    MOST_VIEWERS = 4000,
    MOST_PLACES = 64,
    MOST_STREAMS = 1000,
    SWEEP_MS = 5,  //  Timers are that late at most
    EVENTS = 256,
};

typedef struct {
    watcher_t *watcher;  //  NULL: it has not joined yet
    zsock_t *socket;
    size_t place;
    int64_t began_us, first_us, last_us, pause_us;
    uint64_t bytes, skipped;
    uint32_t crc;
} viewer_t;

static struct {
    char *streams[MOST_STREAMS];
    char places[MOST_PLACES][ENDPOINT_BYTES];
    size_t streams_count, places_count;
    watcher_settings_t watcher;
    millis_t over_ms, until_ms;
} wanted = { .until_ms = 10000 };

static viewer_t *viewers;
static size_t count, with_bytes;
static int events;
static volatile sig_atomic_t stopped;

/*---------------------------------------------------------------- a viewer */

static status_t
say(void *with, const message_t *message)
{
    viewer_t *self = with;
    return frames_send(self->socket, NULL, message, NULL);
}

static uint64_t
draw(void *with)
{
    (void)with;
    return random_u64();
}

static void
note_pause(viewer_t *self, int64_t now_us)
{
    if (now_us - self->last_us > self->pause_us)
        self->pause_us = now_us - self->last_us;
    self->last_us = now_us;
}

static status_t
deliver(void *with, uint64_t offset, buffer_t *bytes,
        const chunk_header_t *chunk)
{
    (void)offset;
    (void)chunk;
    viewer_t *self = with;
    int64_t now_us = zclock_usecs();
    if (self->first_us)
        note_pause(self, now_us);
    else {
        self->first_us = self->last_us = now_us;
        if (++with_bytes == count) {
            printf("{\"joined\": %zu}\n", count);
            fflush(stdout);
        }
    }
    self->crc = checksum_crc32c_more(self->crc, buffer_bytes(bytes),
                                     buffer_size(bytes));
    self->bytes += buffer_size(bytes);
    return STATUS_OK;
}

static status_t
skip(void *with, uint64_t from, uint64_t to)
{
    ((viewer_t *)with)->skipped += to - from;
    return STATUS_OK;
}

static void
connect_anew(viewer_t *self)
{
    if (self->socket)
        sockets_drop(&self->socket);
    status_t status = sockets_open(SOCKET_ASK, wanted.places[self->place],
                                   &self->socket);
    INVARIANT(status == STATUS_OK);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = self };
    int rc = epoll_ctl(events, EPOLL_CTL_ADD, zsock_fd(self->socket), &event);
    INVARIANT(rc == 0);
}

static void
leave(void *with)
{
    viewer_t *self = with;
    self->place = (self->place + 1) % wanted.places_count;
    connect_anew(self);
    watcher_on_reconnect(self->watcher, zclock_mono());
}

//  Hear all that came: a socket's descriptor tells of what is new only.
static void
hear(viewer_t *self, millis_t now)
{
    status_t status;
    for (received_t received;
         (status = frames_receive(self->socket, &received)) != STATUS_LATE;) {
        if (status != STATUS_OK)
            continue;
        watcher_on_message(self->watcher, received.message, received.payload,
                           now);
        frames_release(&received);
    }
}

static void
sweep(viewer_t *self, millis_t now)
{
    if (watcher_due(self->watcher) > now)
        return;
    hear(self, now);  //  What waits to be heard is no silence
    watcher_sweep(self->watcher, now);
    hear(self, now);
}

static void
join(viewer_t *self, millis_t now)
{
    static const watcher_effects_t EFFECTS = { say, deliver, skip, leave,
                                               draw };
    self->began_us = zclock_usecs();
    size_t nth = (size_t)(self - viewers);
    self->place = nth / wanted.streams_count % wanted.places_count;
    connect_anew(self);
    wanted.watcher.name = wanted.streams[nth % wanted.streams_count];
    self->watcher = watcher_new(&wanted.watcher, &EFFECTS, self, now);
    sweep(self, now);
}

static bool
is_over(const viewer_t *self)
{
    const watcher_state_t *state = watcher_state(self->watcher);
    return state->done || state->failed != STATUS_OK;
}

/*--------------------------------------------------------------- all of them */

//  Let those join whose time has come; returns how many have.
static size_t
let_join(size_t joined, millis_t begun, millis_t now)
{
    while (joined < count &&
           begun + wanted.over_ms * (millis_t)joined / (millis_t)count <= now)
        join(&viewers[joined++], now);
    return joined;
}

static void
run(void)
{
    struct epoll_event ready[EVENTS];
    millis_t begun = zclock_mono(), swept = begun, now = begun;
    size_t joined = 0, over = 0;
    while (now < begun + wanted.until_ms && over < count && !stopped) {
        joined = let_join(joined, begun, now);
        int n = epoll_wait(events, ready, EVENTS,
                           joined < count ? 1 : SWEEP_MS);
        now = zclock_mono();
        for (int i = 0; i < n; i++)
            hear(ready[i].data.ptr, now);
        if (now < swept + SWEEP_MS)
            continue;
        swept = now;
        over = 0;
        for (size_t i = 0; i < joined; i++) {
            sweep(&viewers[i], now);
            over += is_over(&viewers[i]);
        }
    }
}

//  Whether all is right with it.
static bool
tell(viewer_t *self)
{
    if (!self->watcher)
        return false;
    const watcher_state_t *state = watcher_state(self->watcher);
    if (self->first_us && !state->done)
        note_pause(self, zclock_usecs());
    bool whole = state->failed == STATUS_OK && self->first_us &&
                 self->bytes + self->skipped == state->next - state->begin;
    printf(
        "{\"began_us\": %" PRId64 ", \"join_us\": %" PRId64
        ", \"pause_us\": %" PRId64 ", \"from\": %" PRIu64 ", \"next\": %" PRIu64
        ", \"bytes\": %" PRIu64 ", \"skipped\": %" PRIu64 ", \"crc\": %" PRIu32
        ", \"chunks\": %" PRIu64 ", \"received\": %" PRIu64
        ", \"left\": %" PRIu64 ", \"again\": %" PRIu64 ", \"corrupt\": %" PRIu64
        ", \"sealed\": %s, \"place\": %zu"
        ", \"failed\": \"%s\"",
        self->began_us, self->first_us ? self->first_us - self->began_us : -1,
        self->pause_us, state->begin, state->next, self->bytes, self->skipped,
        self->crc, state->chunks, state->received, state->left, state->again,
        state->corrupt, state->sealed ? "true" : "false", self->place,
        state->failed == STATUS_OK ? "" : status_name(state->failed));
    printf("}");
    return whole;
}

/*--------------------------------------------------------------------- words */

static void
stop(int number)
{
    stopped = number;
}

static bool
read_from(const char *text)
{
    char *end;
    if (strcmp(text, "live") == 0)
        wanted.watcher.from = WATCH_LIVE;
    else if (strcmp(text, "start") == 0)
        wanted.watcher.from = WATCH_FIRST;
    else {
        wanted.watcher.from = WATCH_OFFSET;
        wanted.watcher.place = strtoull(text, &end, 10);
        return *text && !*end;
    }
    return true;
}

static bool
read_option(char *word)
{
    char *value = strchr(word, '=');
    if (!value)
        return false;
    *value++ = '\0';
    if (strcmp(word, "from") == 0)
        return read_from(value);
    char *end;
    int64_t number = strtoll(value, &end, 10);
    if (!*value || *end || number < 0)
        return false;
    if (strcmp(word, "over") == 0)
        wanted.over_ms = number;
    else if (strcmp(word, "until") == 0)
        wanted.until_ms = number;
    else if (strcmp(word, "silence") == 0)
        wanted.watcher.answer_ms = (uint32_t)number;
    else
        return false;
    return true;
}

static bool
read_streams(char *text)
{
    for (char *at = strtok(text, ","); at; at = strtok(NULL, ",")) {
        if (wanted.streams_count == MOST_STREAMS)
            return false;
        wanted.streams[wanted.streams_count++] = at;
    }
    return wanted.streams_count > 0;
}

static bool
read_places(char *text)
{
    for (char *at = strtok(text, ","); at; at = strtok(NULL, ",")) {
        if (wanted.places_count == MOST_PLACES ||
            endpoint_parse(at, wanted.places[wanted.places_count++]) !=
                STATUS_OK)
            return false;
    }
    return wanted.places_count > 0;
}

static bool
read_words(int argc, char *argv[])
{
    if (argc < 4)
        return false;
    wanted.watcher.to = UINT64_MAX;
    count = strtoul(argv[2], NULL, 10);
    if (count < 1 || count > MOST_VIEWERS || !read_streams(argv[1]) ||
        !read_places(argv[3]))
        return false;
    for (int i = 4; i < argc; i++)
        if (!read_option(argv[i]))
            return false;
    return true;
}

int
main(int argc, char *argv[])
{
    if (!read_words(argc, argv)) {
        fprintf(stderr, "usage: bench-viewers STREAM[,STREAM...] SESSIONS "
                        "HOST:PORT[,HOST:PORT...] [from=live|start|OFFSET] "
                        "[over=MS] [until=MS] [silence=MS]\n");
        return 64;
    }
    if (sockets_begin(3 * count + 64) != STATUS_OK)
        return 71;
    signal(SIGTERM, stop);
    events = epoll_create1(0);
    INVARIANT(events >= 0);
    viewers = zmalloc(count * sizeof *viewers);
    run();
    bool whole = true;
    printf("{\"viewers\": [");
    for (size_t i = 0; i < count; i++) {
        if (i)
            printf(",\n");
        whole = tell(&viewers[i]) && whole;
    }
    printf("]}\n");
    for (size_t i = 0; i < count; i++) {
        if (!viewers[i].watcher)
            continue;
        watcher_stop(viewers[i].watcher);
        watcher_destroy(&viewers[i].watcher);
        zsock_destroy(&viewers[i].socket);
    }
    free(viewers);
    return whole ? 0 : 1;
}
