#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <czmq.h>

#include "ask.h"
#include "random.h"
#include "source.h"
#include "talk.h"
#include "units.h"
#include "verbs.h"

enum {
    PIECE_BYTES = 256 * 1024,  //  At most, of what is there
    PIPE_BYTES = 1024 * 1024,  //  So much the pipe may hold, if it lets us
    TAKEN_MS = 15000,  //  Longer than the lease of a source that is gone (R11)
    TAKEN_PAUSE_MS = 500,
    SMALL_BYTES = 16 * 1024,  //  After less than this others are waited for,
    SMALL_PAUSE_MS = 10,      //  so long: a piece costs more than its bytes
    LEAVE_MS = 5000,          //  For what was sent to be stored, after a signal
};

typedef struct {
    const words_t *words;
    const char *name;
    int fd;
    bool is_file;  //  Its end is known and it is always readable
    bool ended;
    millis_t read_at;  //  Not to be read before
    millis_t leaving;  //  When a signal came; 0: none has
    millis_t wait_ms;  //  0: the usual
    source_t source;
    int code;
} push_t;

//  How much to read at once: what is there, but no more than there is room.
static size_t
measure(const push_t *self, size_t room)
{
    int there = 0;
    if (!self->is_file && ioctl(self->fd, FIONREAD, &there) != 0)
        there = PIECE_BYTES;
    //  Nothing there and readable: its end, or a kind that does not tell.
    size_t size = self->is_file || there > PIECE_BYTES ? PIECE_BYTES
                  : there > 0                          ? (size_t)there
                                                       : 4096;
    return size < room ? size : room;
}

//  Read once and offer it. False: nothing is there now, or no more will be.
static bool
read_some(push_t *self, publisher_t *publisher, millis_t now)
{
    size_t room = publisher_room(publisher);
    if (room == 0)
        return false;
    struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN };
    if (poll(&poll_fd, 1, 0) <= 0)
        return false;
    buffer_t *piece = buffer_new(measure(self, room));
    ssize_t got = read(self->fd, buffer_fill(piece), buffer_size(piece));
    if (got > 0) {
        buffer_trim(piece, (size_t)got);
        if (got < SMALL_BYTES)
            self->read_at = now + SMALL_PAUSE_MS;
        publisher_offer(publisher, piece, NULL, 0, now);
    } else if (got == 0) {
        self->ended = true;
        publisher_finish(publisher, now);
    } else if (errno != EAGAIN && errno != EINTR) {
        self->code = talk_fail("push", EX_IOERR,
                               "the input cannot be read: %s; %s stays open",
                               strerror(errno), self->name);
    }
    buffer_unref(&piece);
    return got > 0;
}

//  A signal: nothing more is read, and what was read is seen stored.
static void
leave(push_t *self, const publisher_state_t *state, client_turn_t *turn,
      millis_t now)
{
    if (self->leaving == 0)
        self->leaving = now;
    turn->at = self->leaving + LEAVE_MS;
    turn->stop = state->stored == state->next || now >= turn->at;
}

static void
offer(void *with, publisher_t *publisher, client_turn_t *turn, millis_t now)
{
    push_t *self = with;
    const publisher_state_t *state = publisher_state(publisher);
    if (!source_look(&self->source, state, turn, now))
        return;
    if (talk_interrupted() && !self->ended) {
        leave(self, state, turn, now);
        return;
    }
    //  A few at a time: what comes back must be heard between.
    for (int i = 0; i < 16 && !self->ended && now >= self->read_at; i++)
        if (!read_some(self, publisher, now))
            break;
    if (self->code != EX_OK)
        turn->stop = true;
    if (self->ended || publisher_room(publisher) == 0)
        return;
    if (now >= self->read_at)
        turn->fd = self->fd;
    else
        turn->at = millis_least(turn->at, self->read_at);
}

//  Open the input; "-" is standard input.
static int
open_input(push_t *self, const char *path)
{
    bool is_standard = !path || strcmp(path, "-") == 0;
    self->fd = is_standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (self->fd < 0 || fstat(self->fd, &stat) != 0)
        return talk_fail("push", EX_IOERR, "%s cannot be opened: %s",
                         is_standard ? "standard input" : path,
                         strerror(errno));
    if (S_ISDIR(stat.st_mode))
        return talk_fail("push", EX_IOERR, "%s is a directory", path);
    self->is_file = S_ISREG(stat.st_mode);
    if (S_ISFIFO(stat.st_mode))
        fcntl(self->fd, F_SETPIPE_SZ, PIPE_BYTES);
    return EX_OK;
}

//  Whether anything may be pushed under the name.
static int
look_first(push_t *self, client_t *client)
{
    message_t *answer;
    status_t status = ask_describe(client, self->name, self->wait_ms, &answer);
    if (status == STATUS_UNKNOWN)
        return EX_OK;
    if (status != STATUS_OK)
        return ask_fail(self->words, client, status, self->name);
    bool sealed = answer->described->sealed;
    message_free(&answer);
    return sealed ? talk_fail("push", EX_DATAERR,
                              "%s has ended and cannot grow; choose another "
                              "name or `rill rm %s`",
                              self->name, self->name)
                  : EX_OK;
}

//  Push; while the lease of another source runs, wait for its end.
static int
run_source(push_t *self, client_t *client, const publisher_settings_t *settings)
{
    millis_t begun = zclock_mono();
    bool told = false;
    for (;;) {
        publisher_state_t state;
        source_begin(&self->source, self->words, self->name, settings->asked,
                     0);
        self->source.wait_ms = self->wait_ms;
        self->source.stays = self->wait_ms == 0;
        status_t status = client_publish(client, settings, offer, self, &state);
        bool waits = status == STATUS_TAKEN && !state.opened &&
                     zclock_mono() - begun < TAKEN_MS && !talk_interrupted();
        if (!waits && self->leaving)
            talk_say("%s stays open: %llu bytes are stored%s; another push "
                     "continues it",
                     self->name, (unsigned long long)state.stored,
                     state.stored == state.next ? "" : ", but not all");
        if (!waits && self->leaving && state.stored < state.next &&
            self->code == EX_OK)
            self->code = EX_TEMPFAIL;
        if (!waits)
            return source_end(&self->source, &state, self->code);
        if (!told)
            talk_say("another source writes %s; waiting until it is gone",
                     self->name);
        told = true;
        zclock_sleep(TAKEN_PAUSE_MS);
    }
}

static int
ask_buffer(const words_t *words, uint32_t *buffer_r)
{
    const char *text = words_value(words, "--buffer");
    uint64_t ms = 0;
    char why[160] = "is no time";
    if (!text)
        return EX_OK;
    if (units_parse_ms(text, &ms, why, sizeof why) != STATUS_OK)
        return talk_fail("push", EX_USAGE, "--buffer \"%s\" %s", text, why);
    if (ms < 1 || ms > 60000)
        return talk_fail("push", EX_USAGE, "--buffer %s is outside 1ms to 1min",
                         text);
    *buffer_r = (uint32_t)ms;
    return EX_OK;
}

int
push_run(const words_t *words)
{
    push_t self = { .words = words, .name = words_operand(words, 0), .fd = -1 };
    publisher_settings_t settings = {
        .name = self.name,
        .kind = KIND_LIVE,
        .token = random_u64(),
        .strict = words_value(words, "--strict") != NULL,
    };
    client_t *client = NULL;
    int code = ask_name(words, self.name);
    if (code == EX_OK)
        code = ask_code(words, &settings.asked);
    if (code == EX_OK)
        code = ask_chunk(words, &settings.chunk_bytes);
    if (code == EX_OK)
        code = ask_buffer(words, &settings.buffer_ms);
    if (code == EX_OK)
        code = ask_wait(words, &self.wait_ms);
    if (code == EX_OK)
        code = open_input(&self, words_operand(words, 1));
    if (code == EX_OK)
        code = ask_open(words, &client);
    if (code == EX_OK)
        code = look_first(&self, client);
    if (code == EX_OK)
        code = run_source(&self, client, &settings);
    client_destroy(&client);
    if (self.fd > STDIN_FILENO)
        close(self.fd);
    return code;
}
