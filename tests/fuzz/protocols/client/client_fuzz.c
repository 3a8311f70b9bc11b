//  Whatever a node answers to a source, a reader and a watcher: they go on or
//  say why not, deliver in order, and never let go of a byte that is not stored.
#include <string.h>

#include "forge.h"
#include "invariant.h"
#include "publisher.h"
#include "reader.h"
#include "watcher.h"

#define BODY(KIND) RILL__V1__MESSAGE__BODY_##KIND
static const int TO_SOURCE[] = { BODY(OPENED), BODY(PROGRESS), BODY(REFUSED) };
static const int TO_READER[] = { BODY(ANSWER), BODY(ANSWER), BODY(REFUSED) };
static const int TO_WATCHER[] = { BODY(WATCHED), BODY(FLOW), BODY(FLOW),
                                  BODY(SKIP),    BODY(OVER), BODY(WATCHING),
                                  BODY(REFUSED) };
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static forge_t forge;
static uint64_t chances, next;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static status_t
luck(void)
{
    return forge_byte(&forge) < 240 ? STATUS_OK : STATUS_BUSY;
}

static status_t
heard(const message_t *message)
{
    buffer_t *packed = message_pack(message);
    INVARIANT(packed);
    buffer_unref(&packed);
    forge_learn_all(&forge, message);
    if (message->request)
        forge_learn(&forge, message->request);
    return luck();
}

static status_t
send_source(void *with, const message_t *message, buffer_t *payload)
{
    (void)with;
    INVARIANT(message_has_payload(message) == (payload != NULL));
    return heard(message);
}

static status_t
send_reader(void *with, const message_t *message)
{
    (void)with;
    return heard(message);
}

static status_t
deliver(void *with, uint64_t offset, buffer_t *bytes)
{
    (void)with;
    INVARIANT(offset == next && buffer_size(bytes) > 0);
    next += buffer_size(bytes);
    return forge_byte(&forge) < 254 ? STATUS_OK : STATUS_IO;
}

static status_t
skip(void *with, uint64_t from, uint64_t to)
{
    (void)with;
    INVARIANT(from == next && to > from);
    next = to;
    return STATUS_OK;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return ++chances * 0x9e3779b97f4a7c15u;
}

static const publisher_effects_t SOURCE = { send_source, chance };
static status_t
deliver_live(void *with, uint64_t offset, buffer_t *bytes,
             const chunk_header_t *chunk)
{
    INVARIANT(chunk->offset <= offset);
    return deliver(with, offset, bytes);
}

static void
leave(void *with)
{
    (void)with;
}

static const reader_effects_t READER = { send_reader, deliver, skip, chance };

static const watcher_effects_t WATCHER = { send_reader, deliver_live, skip,
                                           leave, chance };

static void
be_source(void)
{
    publisher_settings_t settings = { .name = "cam",
                                      .kind = KIND_LIVE,
                                      .token = 7 };
    millis_t now = 1000;
    publisher_t *source = publisher_new(&settings, &SOURCE, NULL, now);
    bool finished = false;
    while (forge_has_more(&forge)) {
        uint8_t what = forge_byte(&forge);
        uint64_t stored = publisher_state(source)->stored;
        if (what < 128) {
            buffer_t *payload;
            message_t *message = forge_message(
                &forge, TO_SOURCE, what < 120 ? COUNT(TO_SOURCE) : 0, &payload);
            if (message)
                publisher_on_message(source, message, now);
            message_free(&message);
            buffer_unref(&payload);
        } else if (what < 200 && !finished) {
            size_t room = publisher_room(source), size = what % 64 * 16u;
            buffer_t *some = buffer_new(size < room ? size : room);
            memset(buffer_fill(some), what, buffer_size(some));
            if (buffer_size(some))
                publisher_offer(source, some, NULL, 0, now);
            buffer_unref(&some);
        } else if (what < 204 && !finished) {
            finished = true;
            publisher_finish(source, now);
        } else {
            now += 1 << what % 14;
        }
        if (publisher_due(source) <= now)
            publisher_sweep(source, now);
        const publisher_state_t *state = publisher_state(source);
        INVARIANT(state->stored >= stored || state->failed != STATUS_OK);
    }
    publisher_destroy(&source);
}

static void
be_reader(void)
{
    static const hole_t holes[] = { { 3000, 4000 }, { 5000, 5100 } };
    reader_settings_t settings = { .stream = 9,
                                   .from = 100,
                                   .to = 20000,
                                   .chunk_bytes = 1000,
                                   .holes = holes,
                                   .holes_count = COUNT(holes),
                                   .window_bytes = 8000 };
    millis_t now = 1000;
    next = settings.from;
    forge_learn(&forge, settings.stream);
    reader_t *reader = reader_new(&settings, &READER, NULL, now);
    while (forge_has_more(&forge)) {
        uint8_t what = forge_byte(&forge);
        if (what < 200) {
            buffer_t *payload;
            message_t *message = forge_message(
                &forge, TO_READER, what < 192 ? COUNT(TO_READER) : 0, &payload);
            if (message)
                reader_on_message(reader, message, payload, now);
            message_free(&message);
            buffer_unref(&payload);
        } else if (what < 204) {
            reader_on_reconnect(reader, now);
        } else {
            now += 1 << what % 14;
        }
        if (reader_due(reader) <= now)
            reader_sweep(reader, now);
        INVARIANT(reader_state(reader)->next == next);
        INVARIANT(next <= settings.to);
    }
    reader_destroy(&reader);
}

static void
be_watcher(void)
{
    watcher_settings_t settings = { .name = "cam",
                                    .from = WATCH_OFFSET,
                                    .place = 100,
                                    .to = 20000,
                                    .window_bytes = 8000 };
    millis_t now = 1000;
    bool begun = false;
    watcher_t *watcher = watcher_new(&settings, &WATCHER, NULL, now);
    while (forge_has_more(&forge)) {
        uint8_t what = forge_byte(&forge);
        if (what < 200) {
            buffer_t *payload;
            message_t *message = forge_message(
                &forge, TO_WATCHER, what < 192 ? COUNT(TO_WATCHER) : 0,
                &payload);
            const Rill__V1__Watched *watched = message && message->body_case ==
                                                              BODY(WATCHED)
                                                   ? message->watched
                                                   : NULL;
            if (watched && !begun)
                next = watched->from;
            if (message)
                watcher_on_message(watcher, message, payload, now);
            begun = watcher_state(watcher)->begun;
            message_free(&message);
            buffer_unref(&payload);
        } else if (what < 204) {
            watcher_on_reconnect(watcher, now);
        } else {
            now += 1 << what % 14;
        }
        if (watcher_due(watcher) <= now)
            watcher_sweep(watcher, now);
        INVARIANT(!begun || watcher_state(watcher)->next == next);
    }
    watcher_destroy(&watcher);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    forge = (forge_t){ .bytes = bytes, .size = size };
    chances = 0;
    uint8_t what = forge_byte(&forge) % 3;
    if (what == 0)
        be_reader();
    else if (what == 1)
        be_source();
    else
        be_watcher();
    return 0;
}
