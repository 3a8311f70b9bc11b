#include "watcher.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "proof.h"

enum { STREAM = 9, CHUNK = 1000, WINDOW = 4000, MOST_SAID = 512 };

//  A node with one session, and all that a watcher said and delivered.
typedef struct {
    watcher_t *watcher;
    millis_t now;
    bool full;   //  The bus takes nothing
    bool hangs;  //  The node does not answer
    //  The session at the node
    uint64_t request, cursor, credit, sent;
    bool open;
    Rill__V1__Watch__FromCase from;
    uint64_t from_value;
    bool by_id;
    unsigned watches, keeps, stops, leaves;
    uint64_t most_ahead;
    //  The stream
    uint64_t first, head;
    bool sealed;
    uint64_t hole_from, hole_to;
    uint64_t lose;  //  The chunk at this offset is lost on its way, once
    uint64_t harm;  //  The chunk at this offset is harmed on its way, once
    //  Delivered
    uint64_t next;
    uint64_t skipped;
    status_t refuses;
} world_t;

static world_t world;

static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 251);
}

static const watcher_state_t *
state(void)
{
    return watcher_state(world.watcher);
}

static status_t
hear(void *with, const message_t *message)
{
    (void)with;
    if (world.full)
        return STATUS_BUSY;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_WATCH:
        CHECK(message->request != world.request);
        world.request = message->request;
        world.open = true;
        world.sent = 0;
        world.credit = message->watch->credit;
        world.from = message->watch->from_case;
        world.from_value = message->watch->offset;
        world.by_id = message->watch->which_case ==
                      RILL__V1__WATCH__WHICH_STREAM;
        world.watches++;
        break;
    case RILL__V1__MESSAGE__BODY_WATCH_KEEP:
        CHECK(message->request == world.request);
        CHECK(message->watch_keep->credit >= world.credit);
        world.credit = message->watch_keep->credit;
        world.keeps++;
        break;
    case RILL__V1__MESSAGE__BODY_STOP:
        if (message->request == world.request)
            world.open = false;
        world.stops++;
        break;
    default:
        CHECK(!"said by a watcher");
    }
    return STATUS_OK;
}

static status_t
take(void *with, uint64_t offset, buffer_t *bytes, const chunk_header_t *chunk)
{
    (void)with;
    CHECK(offset == world.next);
    CHECK(chunk->offset <= offset);
    for (size_t i = 0; i < buffer_size(bytes); i++)
        CHECK(buffer_bytes(bytes)[i] == byte_at(offset + i));
    world.next += buffer_size(bytes);
    return world.refuses;
}

static status_t
miss(void *with, uint64_t from, uint64_t to)
{
    (void)with;
    CHECK(from == world.next && to > from);
    world.skipped += to - from;
    world.next = to;
    return STATUS_OK;
}

static void
go(void *with)
{
    (void)with;
    world.leaves++;
    world.open = false;
    world.hangs = false;
    watcher_on_reconnect(world.watcher, world.now);
}

static uint64_t
chance(void *with)
{
    (void)with;
    return 5000;
}

static void
watch(watch_from_t from, uint64_t place, uint64_t to, micros_t to_us)
{
    watcher_destroy(&world.watcher);
    memset(&world, 0, sizeof world);
    world.lose = world.harm = UINT64_MAX;
    watcher_settings_t settings = { .name = "cam1",
                                    .from = from,
                                    .place = place,
                                    .to = to,
                                    .to_us = to_us,
                                    .window_bytes = WINDOW };
    watcher_effects_t effects = { hear, take, miss, go, chance };
    world.now = 1000;
    world.watcher = watcher_new(&settings, &effects, NULL, world.now);
    watcher_sweep(world.watcher, world.now);
}

//  Pass time; due things happen at their time.
static void
pass(millis_t ms)
{
    millis_t until = world.now + ms;
    while (watcher_due(world.watcher) <= until) {
        if (watcher_due(world.watcher) > world.now)
            world.now = watcher_due(world.watcher);
        watcher_sweep(world.watcher, world.now);
    }
    world.now = until;
}

/*---------------------------------------------------------------- the node */

static void
answer_to(uint64_t request, message_t message, buffer_t *payload)
{
    message.request = request;
    watcher_on_message(world.watcher, &message, payload, world.now);
}

static void
say_watched(uint64_t from, bool moved)
{
    Rill__V1__Watched body = RILL__V1__WATCHED__INIT;
    body.stream = STREAM;
    body.from = from;
    body.moved = moved;
    message_t message = MESSAGE(WATCHED, watched, &body, 0, 0);
    world.cursor = from;
    if (!state()->begun)
        world.next = from;
    answer_to(world.request, message, NULL);
}

//  The chunk [offset, offset + length), under a request.
static void
say_flow(uint64_t request, uint64_t offset, uint64_t length, bool harmed)
{
    buffer_t *payload = buffer_new(length);
    for (size_t i = 0; i < length; i++)
        buffer_fill(payload)[i] = byte_at(offset + i);
    chunk_header_t header = {
        .key = { .stream = STREAM, .epoch = 1, .block = 0, .slot = 0 },
        .code = { 1, 0 },
        .offset = offset,
        .length = (uint32_t)length,
        .created_us = (micros_t)offset,
        .width = 1,
        .kind = KIND_LIVE,
        .name = "cam1",
        .asked = { 1, 0 },
        .payload_crc = checksum_crc32c(buffer_bytes(payload), length),
    };
    if (harmed)
        buffer_fill(payload)[length / 2] ^= 1;
    chunk_on_wire_t wire;
    message_from_chunk(&header, &wire);
    Rill__V1__Flow body = RILL__V1__FLOW__INIT;
    body.chunk = &wire.header;
    body.from = offset;
    message_t message = MESSAGE(FLOW, flow, &body, 0, 0);
    answer_to(request, message, payload);
    buffer_unref(&payload);
}

static void
say_over(uint64_t at, status_t status)
{
    Rill__V1__Over body = RILL__V1__OVER__INIT;
    body.at = at;
    body.status = (Rill__V1__Status)status;
    message_t message = MESSAGE(OVER, over, &body, 0, 0);
    world.open = false;
    answer_to(world.request, message, NULL);
}

static void
say_refused(status_t status, uint64_t nearest)
{
    Rill__V1__Refused body = message_refusal(status, NULL, nearest);
    message_t message = MESSAGE(REFUSED, refused, &body, 0, 0);
    answer_to(world.request, message, NULL);
}

static void
say_watching(uint64_t at)
{
    Rill__V1__Watching body = RILL__V1__WATCHING__INIT;
    body.at = at;
    body.head = world.head;
    message_t message = MESSAGE(WATCHING, watching, &body, 0, 0);
    answer_to(world.request, message, NULL);
}

//  Let the node send one thing. False: it has nothing to say.
static bool
turn(void)
{
    if (!world.open || world.hangs)
        return false;
    if (!state()->begun || state()->opened != world.watches)
        return false;
    if (world.hole_from <= world.cursor && world.cursor < world.hole_to) {
        Rill__V1__Skip body = RILL__V1__SKIP__INIT;
        body.from = world.cursor;
        body.to = world.cursor = world.hole_to;
        message_t message = MESSAGE(SKIP, skip, &body, 0, 0);
        answer_to(world.request, message, NULL);
        return true;
    }
    if (world.cursor >= world.head) {
        if (world.sealed)
            say_over(world.cursor, STATUS_OK);
        return false;
    }
    if (world.sent >= world.credit)
        return false;
    uint64_t offset = world.cursor - world.cursor % CHUNK;
    uint64_t request = world.request;
    world.cursor = offset + CHUNK;
    world.sent += CHUNK;
    if (world.cursor - state()->next > world.most_ahead)
        world.most_ahead = world.cursor - state()->next;
    bool lost = world.lose == offset, harmed = world.harm == offset;
    if (lost)
        world.lose = UINT64_MAX;
    if (harmed)
        world.harm = UINT64_MAX;
    if (!lost)
        say_flow(request, offset, CHUNK, harmed);
    return true;
}

//  Answer what was opened, send all that may be sent, until it is over or
//  nothing moves for a minute.
static void
play(void)
{
    uint64_t answered = 0;
    for (int quiet = 0; quiet < 60 && !state()->done && !state()->failed;) {
        if (world.open && !world.hangs && answered != world.request) {
            answered = world.request;
            say_watched(world.from == RILL__V1__WATCH__FROM_OFFSET
                            ? world.from_value
                            : world.first,
                        false);
        }
        uint64_t before = state()->next;
        while (turn())
            ;
        unsigned keeps = world.keeps;
        pass(500);
        if (keeps != world.keeps && world.open && !world.hangs)
            say_watching(world.cursor);
        quiet = state()->next == before ? quiet + 1 : 0;
    }
}

/*------------------------------------------------------------------- cases */

static void
delivers_in_order(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    CHECK(world.from == RILL__V1__WATCH__FROM_START && !world.by_id);
    world.head = 50 * CHUNK;
    world.hole_from = 10 * CHUNK;
    world.hole_to = 17 * CHUNK;
    world.sealed = true;
    play();
    CHECK(state()->done && state()->sealed && !state()->failed);
    CHECK(world.next == 50 * CHUNK && world.skipped == 7 * CHUNK);
    CHECK(world.watches == 1);
}

static void
trims_what_is_known(void)
{
    watch(WATCH_OFFSET, 12345, UINT64_MAX, 0);
    CHECK(world.from == RILL__V1__WATCH__FROM_OFFSET &&
          world.from_value == 12345);
    world.head = 20 * CHUNK;
    world.sealed = true;
    play();
    CHECK(state()->begin == 12345 && world.next == 20 * CHUNK);
}

static void
loses_a_chunk(void)
{
    for (uint64_t lost = 0; lost < 12; lost++) {
        watch(WATCH_FIRST, 0, UINT64_MAX, 0);
        world.head = 12 * CHUNK;
        world.sealed = true;
        world.lose = lost * CHUNK;
        play();
        CHECK(state()->done && world.next == 12 * CHUNK);
        CHECK(world.watches == 2 && world.by_id && state()->again == 1);
    }
}

static void
harms_a_chunk(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 12 * CHUNK;
    world.sealed = true;
    world.harm = 5 * CHUNK;
    play();
    CHECK(state()->done && world.next == 12 * CHUNK);
    CHECK(state()->corrupt == 1 && world.leaves == 1);
}

static void
gives_credit(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 400 * CHUNK;
    world.sealed = true;
    millis_t begun = world.now;
    play();
    CHECK(state()->done && world.next == 400 * CHUNK);
    CHECK(world.most_ahead <= WINDOW + CHUNK);
    CHECK(world.now - begun < 2000);  //  It waited for nothing
}

static void
goes_elsewhere(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 30 * CHUNK;
    say_watched(0, false);
    for (int i = 0; i < 3; i++)
        turn();
    world.hangs = true;
    pass(3000);
    CHECK(world.leaves == 1 && world.watches == 2);
    CHECK(world.by_id && world.from == RILL__V1__WATCH__FROM_OFFSET &&
          world.from_value == 3 * CHUNK);
    world.sealed = true;
    play();
    CHECK(state()->done && world.next == 30 * CHUNK);
    CHECK(state()->left == 1);
}

static void
drops_what_is_old(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 30 * CHUNK;
    say_watched(0, false);
    uint64_t old = world.request;
    watcher_on_reconnect(world.watcher, world.now);
    pass(0);
    CHECK(world.request != old);
    say_flow(old, 0, CHUNK, false);
    CHECK(world.next == 0);
    say_watched(0, false);
    say_flow(world.request, 0, CHUNK, false);
    say_flow(old, CHUNK, CHUNK, false);
    say_flow(world.request, 0, CHUNK, false);
    CHECK(world.next == CHUNK && state()->again == 0);
}

static void
keeps_its_lease(void)
{
    watch(WATCH_LIVE, 0, UINT64_MAX, 0);
    CHECK(world.from == RILL__V1__WATCH__FROM_LIVE);
    world.head = 5 * CHUNK;
    say_watched(5 * CHUNK, false);
    for (int second = 0; second < 120; second++) {
        unsigned keeps = world.keeps;
        pass(1000);
        CHECK(world.keeps > keeps);
        say_watching(5 * CHUNK);
    }
    CHECK(!state()->done && !state()->failed && world.leaves == 0);
}

static void
ends_where_told(void)
{
    watch(WATCH_FIRST, 0, 7 * CHUNK + 123, 0);
    world.head = 30 * CHUNK;
    play();
    CHECK(state()->done && !state()->sealed);
    CHECK(world.next == 7 * CHUNK + 123 && world.stops == 1 && !world.open);
    watch(WATCH_FIRST, 0, UINT64_MAX, 9 * CHUNK);
    world.head = 30 * CHUNK;
    play();
    CHECK(state()->done && world.next == 10 * CHUNK && !world.open);
}

static void
is_stopped(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 30 * CHUNK;
    say_watched(0, false);
    turn();
    watcher_stop(world.watcher);
    CHECK(state()->done && world.stops == 1 && !world.open);
    say_flow(world.request, CHUNK, CHUNK, false);
    CHECK(world.next == CHUNK);
}

static void
hears_no(void)
{
    watch(WATCH_OFFSET, 99, UINT64_MAX, 0);
    say_refused(STATUS_UNKNOWN, 0);
    CHECK(state()->failed == STATUS_UNKNOWN);
    watch(WATCH_OFFSET, 99 * CHUNK, UINT64_MAX, 0);
    say_refused(STATUS_RANGE, 30 * CHUNK);
    CHECK(state()->failed == STATUS_RANGE && state()->nearest == 30 * CHUNK);
}

static void
is_told_that_it_moved(void)
{
    watch(WATCH_OFFSET, 99, UINT64_MAX, 0);
    world.next = 5 * CHUNK;
    say_watched(5 * CHUNK, true);
    CHECK(state()->moved && state()->begin == 5 * CHUNK);
    //  Later the same is a hole: bytes were due.
    watcher_on_reconnect(world.watcher, world.now);
    pass(0);
    say_watched(8 * CHUNK, true);
    CHECK(world.skipped == 3 * CHUNK && state()->next == 8 * CHUNK);
}

static void
waits_for_who_is_behind(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 30 * CHUNK;
    say_watched(0, false);
    turn();
    watcher_on_reconnect(world.watcher, world.now);
    pass(0);
    say_refused(STATUS_FUTURE, 0);
    CHECK(!state()->failed);
    pass(2000);
    CHECK(world.watches >= 3 && world.from_value == CHUNK);
    say_refused(STATUS_UNKNOWN, 0);
    CHECK(!state()->failed);
    for (int i = 0; i < 20 && !state()->failed; i++) {
        pass(1000);
        say_refused(STATUS_UNKNOWN, 0);
    }
    CHECK(state()->failed == STATUS_UNKNOWN);
}

static void
ends_where_it_ended_meanwhile(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = CHUNK;
    say_watched(0, false);
    turn();
    watcher_on_reconnect(world.watcher, world.now);
    pass(0);
    say_refused(STATUS_RANGE, CHUNK);
    CHECK(state()->done && state()->sealed && !state()->failed);
}

static void
gives_up(void)
{
    watch(WATCH_LIVE, 0, UINT64_MAX, 0);
    for (int i = 0; i < 100; i++) {
        world.hangs = true;
        pass(1000);
    }
    CHECK(state()->failed == STATUS_UNREACHABLE);
    CHECK(world.leaves > 3 && watcher_due(world.watcher) == MILLIS_NEVER);
}

static void
tells_who_only_looks_for_the_stream(void)
{
    watch(WATCH_LIVE, 0, UINT64_MAX, 0);
    CHECK(!state()->answered);
    say_watching(0);
    CHECK(state()->answered && !state()->begun && !state()->held);
}

static void
ends_with_its_taker(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.head = 3 * CHUNK;
    world.refuses = STATUS_IO;
    say_watched(0, false);
    turn();
    CHECK(state()->failed == STATUS_IO && world.next == CHUNK);
}

static void
says_it_later(void)
{
    watch(WATCH_FIRST, 0, UINT64_MAX, 0);
    world.full = true;
    watcher_on_reconnect(world.watcher, world.now);
    unsigned watches = world.watches;
    pass(1000);
    CHECK(world.watches == watches);
    world.full = false;
    pass(200);
    CHECK(world.watches == watches + 1);
}

int
main(void)
{
    CASE(delivers_in_order, "invariant 12, watcher 1: a session is one range, "
                            "in order, its hole told");
    CASE(trims_what_is_known, "invariant 12, watcher 1: a chunk that begins "
                              "before the next byte is trimmed");
    CASE(loses_a_chunk, "watcher 1 and 4: whichever chunk is lost, nothing is "
                        "missing and nothing comes twice");
    CASE(harms_a_chunk, "watcher 2: what does not match its CRC is not "
                        "delivered and comes from elsewhere");
    CASE(gives_credit, "watcher 3: credit follows what was taken, and the flow "
                       "never waits for it");
    CASE(goes_elsewhere, "watcher 4: from a node that is silent it goes to the "
                         "next, on at its own byte");
    CASE(drops_what_is_old, "watcher 1: what comes of a session before is "
                            "nothing");
    CASE(keeps_its_lease, "watcher 4: a silent stream is watched on, each "
                          "second a word");
    CASE(ends_where_told, "watcher 1: it ends at the byte or time it was told");
    CASE(is_stopped, "a watcher that is stopped says so to its node");
    CASE(hears_no, "watcher 4: what can never be ends it, with the nearest "
                   "that can");
    CASE(is_told_that_it_moved, "watcher 1: a beginning that is gone is told, "
                                "later it is a hole");
    CASE(waits_for_who_is_behind,
         "watcher 4: a node that is behind or has just "
         "begun is asked again");
    CASE(ends_where_it_ended_meanwhile,
         "a stream that ended while nobody answered has ended");
    CASE(gives_up, "watcher 4: when nobody answers it ends after its patience");
    CASE(tells_who_only_looks_for_the_stream,
         "watcher 4: a node that looks for the stream has answered");
    CASE(ends_with_its_taker,
         "a watcher ends when what it delivers is refused");
    CASE(says_it_later, "watcher 4: what the bus does not take is said later");
    return proof_end();
}
