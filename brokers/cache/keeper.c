#include "keeper.h"

#include <ftw.h>
#include <stdatomic.h>

#include "chunkstore.h"
#include "invariant.h"

enum {
    SEGMENTS = 16,
    SEGMENTS_SPARE = 4,  //  Open, next, partly needed, and being given back
};
#define SEGMENT_LEAST ((uint64_t)8 * 1024 * 1024)
#define SEGMENT_MOST ((uint64_t)64 * 1024 * 1024)
#define WHY_BYTES 256

typedef enum {
    KEEP,     //  Answered by itself with a status
    RECALL,   //  The same, with the payload
    RELEASE,  //  The same
    READY,    //  From the disk: it begins
    LOST,     //  From the disk: with why
    END,      //  Answered by itself; the last one
} word_t;

//  What goes between the two threads. A payload goes with its reference.
typedef struct {
    word_t word;
    uint64_t number;
    buffer_t *payload;
    uint32_t crc;
    status_t status;
    char why[WHY_BYTES];
} letter_t;

//  What waits to be written.
typedef struct {
    uint64_t number;
    buffer_t *payload;
} waiting_t;

struct keeper {
    zloop_t *loop;
    zactor_t *disk;
    keeper_events_t events;
    void *with;
    millis_t hung_ms;
    size_t words;    //  Unanswered,
    millis_t heard;  //  since the last answer or the first of them
    waiting_t waiting[KEEPER_QUEUE];
    size_t waiting_count;
    size_t bytes;  //  Of all that waits
    bool ready;    //  It is empty and open
    bool lost;
    int timer;  //  That tells of it; 0: none
};

static uint64_t
segment_of(uint64_t bytes)
{
    uint64_t segment = bytes / SEGMENTS / SEGMENT_LEAST * SEGMENT_LEAST;
    return segment < SEGMENT_LEAST  ? SEGMENT_LEAST
           : segment > SEGMENT_MOST ? SEGMENT_MOST
                                    : segment;
}

uint64_t
keeper_room(uint64_t bytes)
{
    uint64_t spare = SEGMENTS_SPARE * segment_of(bytes);
    return bytes > spare ? bytes - spare : 0;
}

//  What is written before a letter is seen by who takes it: also by the C
//  memory model, which knows nothing of pipes.
static atomic_uint posted;

static void
post(zsock_t *pipe, const letter_t *letter)
{
    atomic_fetch_add_explicit(&posted, 1, memory_order_release);
    int sent = zmq_send(zsock_resolve(pipe), letter, sizeof *letter, 0);
    INVARIANT(sent == sizeof *letter);
}

//  The next letter, if there is one.
static bool
take(zsock_t *pipe, letter_t *letter_r, bool waits)
{
    int got = TEMP_FAILURE_RETRY(zmq_recv(zsock_resolve(pipe), letter_r,
                                          sizeof *letter_r,
                                          waits ? 0 : ZMQ_DONTWAIT));
    (void)atomic_load_explicit(&posted, memory_order_acquire);
    return got == sizeof *letter_r;
}

/*-------------------------------------------------------- the disk's thread */

typedef struct {
    const char *path;
    uint64_t bytes;
    const files_t *files;
} place_t;

typedef struct {
    zsock_t *pipe;
    chunkstore_t *store;  //  NULL: it is lost
    bool ended;
} disk_t;

static chunk_key_t
key_of(uint64_t number)
{
    return (chunk_key_t){ .stream = 1, .epoch = 1, .block = number };
}

static void
lose(disk_t *disk, const char *why)
{
    letter_t letter = { .word = LOST };
    snprintf(letter.why, sizeof letter.why, "%s", why);
    post(disk->pipe, &letter);
}

static void
answer(disk_t *disk, word_t word, uint64_t number, status_t status,
       buffer_t *payload)
{
    letter_t letter = { .word = word,
                        .number = number,
                        .status = status,
                        .payload = buffer_ref(payload) };
    post(disk->pipe, &letter);
}

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        answer(with, KEEP, keys[i].block, STATUS_OK, NULL);
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    for (size_t i = 0; i < count; i++)
        answer(with, KEEP, keys[i].block, status, NULL);
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    (void)header;
    answer(with, RECALL, token, status, status == STATUS_OK ? payload : NULL);
}

static const chunkstore_events_t EVENTS = { on_durable, on_failed, on_read,
                                            NULL };

static int
unlink_one(const char *path, const struct stat *is, int kind, struct FTW *at)
{
    (void)is, (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

static void
open_store(disk_t *disk, const place_t *place)
{
    char why[WHY_BYTES] = "";
    chunkstore_settings_t settings = {
        .path = place->path,
        .space_bytes = place->bytes,
        .segment_bytes = segment_of(place->bytes),
        .queue_bytes = KEEPER_QUEUE_BYTES,
    };
    if (!place->files && access(place->path, F_OK) == 0 &&
        nftw(place->path, unlink_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        snprintf(why, sizeof why, "%s cannot be emptied: %s", place->path,
                 strerror(errno));
        lose(disk, why);
    } else if (chunkstore_open(&settings, place->files, &EVENTS, disk,
                               &disk->store, why, sizeof why) != STATUS_OK) {
        disk->store = NULL;
        lose(disk, why);
    } else
        answer(disk, READY, 0, STATUS_OK, NULL);
}

//  Under a header of its own: in the order they come, forgotten in that order.
static void
keep(disk_t *disk, const letter_t *letter, millis_t now)
{
    chunk_header_t header = {
        .key = key_of(letter->number),
        .code = { .k = 1 },
        .width = 1,
        .length = (uint32_t)buffer_size(letter->payload),
        .created_us = (micros_t)letter->number,
        .block_us = (micros_t)letter->number,
        .kind = KIND_LIVE,
        .name = "window",
        .payload_crc = letter->crc,
    };
    status_t status = chunkstore_append(disk->store, &header, letter->payload,
                                        now);
    if (status != STATUS_OK)
        answer(disk, KEEP, letter->number, status, NULL);
}

static void
obey(disk_t *disk, const letter_t *letter, millis_t now)
{
    status_t status = disk->store ? STATUS_OK : STATUS_IO;
    if (letter->word == END)
        disk->ended = true;
    else if (letter->word == KEEP && disk->store)
        keep(disk, letter, now);
    else if (letter->word == RECALL && disk->store) {
        if (!letter->payload)
            status = chunkstore_read(disk->store, key_of(letter->number), false,
                                     letter->number);
        if (letter->payload || status != STATUS_OK)
            answer(disk, RECALL, letter->number, status, letter->payload);
    } else {
        if (disk->store)
            chunkstore_retain(disk->store, 0, (micros_t)letter->number, 0);
        answer(disk, letter->word, letter->number, status, NULL);
    }
}

static void
run(disk_t *disk)
{
    while (!disk->ended) {
        zmq_pollitem_t items[] = {
            { .socket = zsock_resolve(disk->pipe), .events = ZMQ_POLLIN },
            { .fd = disk->store ? chunkstore_fd(disk->store) : -1,
              .events = ZMQ_POLLIN },
        };
        millis_t now = zclock_mono();
        millis_t due = disk->store ? chunkstore_due(disk->store) : MILLIS_NEVER;
        long wait = due == MILLIS_NEVER ? -1
                    : due > now         ? (long)(due - now)
                                        : 0;
        if (zmq_poll(items, disk->store ? 2 : 1, wait) < 0 && errno != EINTR)
            return;
        letter_t letter;
        now = zclock_mono();
        while (!disk->ended && take(disk->pipe, &letter, false)) {
            obey(disk, &letter, now);
            buffer_unref(&letter.payload);
        }
        if (disk->store)
            chunkstore_turn(disk->store, now);
    }
}

static void
disk_actor(zsock_t *pipe, void *args)
{
    disk_t disk = { .pipe = pipe };
    place_t place = *(const place_t *)args;  //  Lent until we signal
    char *path = strdup(place.path);
    INVARIANT(path);
    place.path = path;
    atomic_fetch_add_explicit(&posted, 1, memory_order_release);
    zsock_signal(pipe, 0);
    open_store(&disk, &place);
    run(&disk);
    chunkstore_close(&disk.store);
    free(path);
    letter_t last = { .word = END };
    post(pipe, &last);
}

/*------------------------------------------------------- the cache's thread */

static void
give_up(keeper_t *self, const char *why, millis_t now)
{
    if (self->lost)
        return;
    self->lost = true;
    self->events.lost(self->with, why, now);
}

//  A chunk waits no more.
static void
forget(keeper_t *self, uint64_t number)
{
    for (size_t i = 0; i < self->waiting_count; i++)
        if (self->waiting[i].number == number) {
            self->bytes -= buffer_size(self->waiting[i].payload);
            buffer_unref(&self->waiting[i].payload);
            self->waiting[i] = self->waiting[--self->waiting_count];
            return;
        }
}

static void
on_letter(keeper_t *self, const letter_t *letter, millis_t now)
{
    self->heard = now;
    if (letter->word == LOST) {
        give_up(self, letter->why, now);
        return;
    }
    if (letter->word == READY) {
        self->ready = true;
        return;
    }
    self->words--;
    if (letter->word == KEEP)
        forget(self, letter->number);
    if (self->lost)
        return;
    if (letter->word == RECALL)
        self->events.recalled(self->with, letter->number, letter->status,
                              letter->payload, now);
    else if (letter->word == KEEP && letter->status != STATUS_OK)
        self->events.unkept(self->with, letter->number, now);
    if (letter->status == STATUS_IO)
        give_up(self, "it cannot be written or read", now);
}

static int
on_disk(zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void)loop;
    keeper_t *self = arg;
    millis_t now = zclock_mono();
    letter_t letter;
    while (take(pipe, &letter, false)) {
        on_letter(self, &letter, now);
        buffer_unref(&letter.payload);
    }
    return self->events.after(self->with, now);
}

static int
on_hung(zloop_t *loop, int timer, void *arg)
{
    (void)loop, (void)timer;
    keeper_t *self = arg;
    millis_t now = zclock_mono();
    self->timer = 0;
    self->events.lost(self->with, "it does not answer", now);
    return self->events.after(self->with, now);
}

//  Whether the disk can be told one more thing. That it hangs is not told to
//  whoever is about to keep something, but a moment later.
static status_t
judge(keeper_t *self, millis_t now)
{
    if (self->words == 0)
        self->heard = now;
    if (!self->lost && now - self->heard > self->hung_ms) {
        self->lost = true;
        self->timer = zloop_timer(self->loop, 1, 1, on_hung, self);
    }
    if (self->lost)
        return STATUS_IO;
    return self->ready && self->words < KEEPER_QUEUE ? STATUS_OK : STATUS_BUSY;
}

static void
tell(keeper_t *self, const letter_t *letter)
{
    self->words++;
    post(zactor_sock(self->disk), letter);
}

status_t
keeper_keep(keeper_t *self, uint64_t number, buffer_t *payload, uint32_t crc,
            millis_t now)
{
    size_t bytes = buffer_size(payload);
    status_t status = judge(self, now);
    if (status != STATUS_OK)
        return status;
    if (self->bytes + bytes > KEEPER_QUEUE_BYTES)
        return STATUS_BUSY;
    self->waiting[self->waiting_count++] = (waiting_t){ number,
                                                        buffer_ref(payload) };
    self->bytes += bytes;
    letter_t letter = { .word = KEEP,
                        .number = number,
                        .payload = buffer_ref(payload),
                        .crc = crc };
    tell(self, &letter);
    return STATUS_OK;
}

status_t
keeper_recall(keeper_t *self, uint64_t number, millis_t now)
{
    status_t status = judge(self, now);
    letter_t letter = { .word = RECALL, .number = number };
    if (status != STATUS_OK)
        return status;
    //  What is not written yet comes back with the answer.
    for (size_t i = 0; i < self->waiting_count; i++)
        if (self->waiting[i].number == number)
            letter.payload = buffer_ref(self->waiting[i].payload);
    tell(self, &letter);
    return STATUS_OK;
}

status_t
keeper_release(keeper_t *self, uint64_t first, millis_t now)
{
    letter_t letter = { .word = RELEASE, .number = first };
    status_t status = judge(self, now);
    if (status == STATUS_OK)
        tell(self, &letter);
    return status;
}

keeper_t *
keeper_new(zloop_t *loop, const char *path, uint64_t bytes, double patience,
           const files_t *files, const keeper_events_t *events, void *with)
{
    keeper_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->events = *events;
    self->with = with;
    self->hung_ms = (millis_t)(KEEPER_HUNG_MS * patience);
    place_t place = { path, bytes, files };
    self->disk = zactor_new(disk_actor, &place);
    INVARIANT(self->disk);
    (void)atomic_load_explicit(&posted, memory_order_acquire);
    zloop_reader(loop, zactor_sock(self->disk), on_disk, self);
    return self;
}

//  The last word, and every answer before its own. False: the disk hangs.
static bool
finish(keeper_t *self)
{
    zsock_t *pipe = zactor_sock(self->disk);
    letter_t letter = { .word = END };
    bool ended = false;
    post(pipe, &letter);
    zsock_set_rcvtimeo(pipe, (int)self->hung_ms);
    while (!ended && take(pipe, &letter, true)) {
        buffer_unref(&letter.payload);
        ended = letter.word == END;
    }
    return ended;
}

//  Nobody can end a thread that waits for its disk, but the end of the process.
//  Volatile: nobody reads it, and what holds the actor must not be left out.
static zactor_t *volatile left;

void
keeper_destroy(keeper_t **self_p)
{
    keeper_t *self = *self_p;
    if (!self)
        return;
    zloop_reader_end(self->loop, zactor_sock(self->disk));
    if (self->timer > 0)
        zloop_timer_end(self->loop, self->timer);
    if (finish(self))
        zactor_destroy(&self->disk);
    else
        left = self->disk;
    while (self->waiting_count)
        forget(self, self->waiting[0].number);
    free(self);
    *self_p = NULL;
}
