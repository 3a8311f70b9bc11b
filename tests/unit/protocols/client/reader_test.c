#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "proof.h"

enum { STREAM = 9, MOST_CHUNKS = 400, MOST_ASKS = 4096, BYTES = 200000 };

typedef struct {
    uint64_t request;
    uint64_t offset;
    bool answered;
} asked_t;

//  A stream of known bytes in known chunks, and all that a reader did.
typedef struct {
    reader_t *reader;
    uint64_t cuts[MOST_CHUNKS + 1];  //  Chunk i is [cuts[i], cuts[i + 1])
    size_t chunks;
    hole_t hole;
    asked_t asked[MOST_ASKS];
    size_t count;
    uint64_t next;  //  Expected from deliver or skip
    uint64_t skipped;
    uint64_t to;
    uint64_t window;
    bool full;         //  The bus takes nothing
    status_t refuses;  //  What deliver says
} world_t;

static world_t world;

static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 251);
}

static const reader_state_t *
state(void)
{
    return reader_state(world.reader);
}

static status_t
hear(void *with, const message_t *message)
{
    (void)with;
    if (world.full)
        return STATUS_BUSY;
    CHECK(message->body_case == RILL__V1__MESSAGE__BODY_ASK);
    CHECK(world.count < MOST_ASKS);
    world.asked[world.count++] = (asked_t){ .request = message->request,
                                            .offset = message->ask->offset };
    CHECK(message->ask->offset >= state()->next);
    return STATUS_OK;
}

static status_t
take(void *with, uint64_t offset, buffer_t *bytes)
{
    (void)with;
    CHECK(offset == world.next);
    CHECK(offset < world.hole.from || offset >= world.hole.to);
    for (size_t i = 0; i < buffer_size(bytes); i++)
        CHECK(buffer_bytes(bytes)[i] == byte_at(offset + i));
    world.next += buffer_size(bytes);
    CHECK(world.next <= world.to);
    return world.refuses;
}

static status_t
miss(void *with, uint64_t from, uint64_t to)
{
    (void)with;
    CHECK(from == world.next);
    CHECK(from >= world.hole.from && to <= world.hole.to);
    world.skipped += to - from;
    world.next = to;
    return STATUS_OK;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return 5000;
}

static void
cut_evenly(uint64_t size, uint64_t chunk)
{
    reader_destroy(&world.reader);
    memset(&world, 0, sizeof world);
    for (uint64_t at = 0; at < size; at += chunk)
        world.cuts[world.chunks++] = at;
    world.cuts[world.chunks] = size;
}

static void
read_range(uint64_t from, uint64_t to, uint32_t hint, size_t window)
{
    reader_settings_t settings = { .stream = STREAM,
                                   .from = from,
                                   .to = to,
                                   .chunk_bytes = hint,
                                   .holes = &world.hole,
                                   .holes_count = world.hole.to > 0,
                                   .window_bytes = window };
    reader_effects_t effects = { hear, take, miss, chance };
    world.next = from;
    world.to = to;
    world.window = window;
    world.reader = reader_new(&settings, &effects, NULL, 0);
    if (!state()->done)
        reader_sweep(world.reader, 0);
}

static size_t
chunk_of(uint64_t offset)
{
    size_t i = 0;
    while (i + 1 < world.chunks && world.cuts[i + 1] <= offset)
        i++;
    return i;
}

//  Answer an ask; `harm` is a byte of the payload to flip, or -1.
static void
answer(size_t nth, int harm, millis_t now)
{
    size_t i = chunk_of(world.asked[nth].offset);
    uint64_t from = world.cuts[i], to = world.cuts[i + 1];
    buffer_t *payload = buffer_new(to - from);
    for (uint64_t at = from; at < to; at++)
        buffer_fill(payload)[at - from] = byte_at(at);
    chunk_header_t header = {
        .key = { .stream = STREAM, .epoch = 1, .block = i },
        .code = { 1, 1 },
        .offset = from,
        .length = (uint32_t)(to - from),
        .width = 2,
        .kind = KIND_RECORDED,
        .name = "cam",
        .payload_crc = checksum_crc32c(buffer_bytes(payload),
                                       buffer_size(payload)),
    };
    if (harm >= 0)
        buffer_fill(payload)[harm % (int)(to - from)] ^= 1;
    chunk_on_wire_t on_wire;
    message_from_chunk(&header, &on_wire);
    Rill__V1__Answer body = RILL__V1__ANSWER__INIT;
    body.chunk = &on_wire.header;
    message_t message = MESSAGE(ANSWER, answer, &body, world.asked[nth].request,
                                0);
    world.asked[nth].answered = true;
    reader_on_message(world.reader, &message, payload, now);
    buffer_unref(&payload);
}

static void
refuse(size_t nth, status_t status, millis_t now)
{
    Rill__V1__Refused body = message_refusal(status, NULL, 0);
    message_t message = MESSAGE(REFUSED, refused, &body,
                                world.asked[nth].request, 0);
    world.asked[nth].answered = true;
    reader_on_message(world.reader, &message, NULL, now);
}

//  Answer everything in the order asked; how many answers that took.
static size_t
answer_all(void)
{
    size_t nth = 0;
    for (; nth < world.count && !state()->done; nth++)
        if (!world.asked[nth].answered)
            answer(nth, -1, 1);
    return nth;
}

static void
even_chunks_come_once_each(void)
{
    cut_evenly(10000, 100);
    read_range(0, 10000, 100, 0);
    CHECK(answer_all() == 100);
    CHECK(state()->done && world.next == 10000);
    CHECK(state()->received == 10000);
    CHECK(reader_due(world.reader) == MILLIS_NEVER);
}

static void
a_range_is_cut_to_the_byte(void)
{
    static const uint64_t ENDS[][2] = { { 0, 1 },      { 99, 100 },
                                        { 99, 101 },   { 150, 950 },
                                        { 999, 1000 }, { 1, 999 },
                                        { 500, 500 } };
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++) {
        cut_evenly(1000, 100);
        read_range(ENDS[i][0], ENDS[i][1], 100, 0);
        size_t asks = answer_all();
        CHECK(state()->done && world.next == ENDS[i][1]);
        CHECK(asks == (ENDS[i][1] + 99) / 100 - ENDS[i][0] / 100);
    }
}

static void
a_wrong_hint_costs_little(void)
{
    static const uint32_t HINTS[] = { 10, 64, 99, 101, 150, 1000, 0 };
    for (size_t i = 0; i < sizeof HINTS / sizeof *HINTS; i++) {
        cut_evenly(20000, 100);
        read_range(0, 20000, HINTS[i], 0);
        answer_all();
        CHECK(state()->done && state()->received <= 20400);
    }
}

static void
an_irregular_stream_is_not_fetched_twice(void)
{
    cut_evenly(20000, 100);
    srand(3);
    for (size_t i = 1; i < world.chunks; i++)
        world.cuts[i] += (uint64_t)(rand() % 99);
    read_range(0, 20000, 100, 0);
    answer_all();
    CHECK(state()->done && state()->received < 2 * 20000);
}

static void
a_hole_is_told_and_not_asked_for(void)
{
    cut_evenly(1000, 100);
    world.hole = (hole_t){ 250, 700 };
    //  The bytes before and behind it, in chunks of their own.
    uint64_t cuts[] = { 0, 100, 200, 250, 700, 800, 900, 1000 };
    memcpy(world.cuts, cuts, sizeof cuts);
    world.chunks = 7;
    read_range(0, 1000, 100, 0);
    answer_all();
    CHECK(state()->done && world.skipped == 450);
    for (size_t i = 0; i < world.count; i++)
        CHECK(world.asked[i].offset < 250 || world.asked[i].offset >= 700);
}

static void
a_range_within_a_hole_has_no_bytes(void)
{
    cut_evenly(1000, 100);
    world.hole = (hole_t){ 200, 700 };
    read_range(300, 600, 100, 0);
    CHECK(state()->done && world.skipped == 300 && world.count == 0);
}

static void
a_flipped_bit_is_asked_for_again(void)
{
    cut_evenly(300, 100);
    read_range(0, 300, 100, 0);
    answer(0, 55, 1);
    CHECK(world.next == 0 && state()->corrupt == 1);
    CHECK(state()->held == STATUS_CORRUPT);
    millis_t due = reader_due(world.reader);
    CHECK(due > 1 && due < 100);
    reader_sweep(world.reader, due);
    CHECK(world.count == 2 && world.asked[1].offset == 0);
    answer_all();
    CHECK(state()->done);
}

static void
what_is_asked_spans_at_most_the_window(void)
{
    cut_evenly(20000, 100);
    read_range(0, 20000, 100, 1000);
    answer(0, -1, 1);
    //  The first one is kept back, all others come.
    for (size_t nth = 2; nth < world.count; nth++)
        answer(nth, -1, 1);
    CHECK(world.next == 100);
    for (size_t nth = 0; nth < world.count; nth++)
        CHECK(world.asked[nth].offset < 100 + 1000);
    answer(1, -1, 1);
    CHECK(world.next == 1100);
}

static void
a_chunk_larger_than_the_window_still_comes(void)
{
    cut_evenly(1000, 500);
    read_range(0, 1000, 500, 10);
    answer_all();
    CHECK(state()->done);
}

static void
what_is_lost_is_asked_for_again(void)
{
    cut_evenly(100, 100);
    read_range(0, 100, 100, 0);
    millis_t now = 0;
    while (world.count == 1) {
        now = reader_due(world.reader);
        CHECK(now <= 6000);
        reader_sweep(world.reader, now);
    }
    CHECK(now >= 5000 && state()->again == 1);
    answer(0, -1, now);  //  The first ask's answer is no longer waited for
    CHECK(!state()->done);
    answer(1, -1, now);
    CHECK(state()->done);
}

static void
what_a_broken_connection_lost_is_asked_for_at_once(void)
{
    cut_evenly(1000, 100);
    read_range(0, 1000, 100, 0);
    answer(0, -1, 1);
    size_t asked = world.count;
    CHECK(asked > 2);
    reader_on_reconnect(world.reader, 2);
    CHECK(world.count == 2 * asked - 1);
    CHECK(world.asked[asked].offset == world.asked[1].offset);
    for (size_t i = 0; i < asked; i++)
        world.asked[i].answered = true;
    answer_all();
    CHECK(state()->done);
}

static void
what_may_pass_is_asked_for_again(void)
{
    static const status_t LATER[] = { STATUS_BUSY, STATUS_LATE, STATUS_MISS,
                                      STATUS_CORRUPT, STATUS_STOPPING };
    for (size_t i = 0; i < sizeof LATER / sizeof *LATER; i++) {
        cut_evenly(100, 100);
        read_range(0, 100, 100, 0);
        refuse(0, LATER[i], 1);
        CHECK(state()->held == LATER[i] && state()->failed == STATUS_OK);
        CHECK(world.count == 1);
        reader_sweep(world.reader, reader_due(world.reader));
        CHECK(world.count == 2);
        answer(1, -1, 3);
        CHECK(state()->done && state()->held == STATUS_OK);
    }
}

static void
what_cannot_pass_ends_it(void)
{
    cut_evenly(100, 100);
    read_range(0, 100, 100, 0);
    refuse(0, STATUS_GONE, 1);
    CHECK(state()->failed == STATUS_GONE && *state()->text);
    CHECK(reader_due(world.reader) == MILLIS_NEVER);
    reader_sweep(world.reader, 100000);
    CHECK(world.count == 1);
}

static void
patience_ends(void)
{
    cut_evenly(100, 100);
    read_range(0, 100, 100, 0);
    millis_t now = 0;
    while (state()->failed == STATUS_OK) {
        millis_t due = reader_due(world.reader);
        CHECK(due > now || world.count == 0);
        now = due;
        reader_sweep(world.reader, now);
        if (!world.asked[world.count - 1].answered)
            refuse(world.count - 1, STATUS_MISS, now);
    }
    CHECK(now == 30000 && state()->failed == STATUS_MISS);
    CHECK(world.count > 20 && world.count < 60);
}

static void
an_owner_that_takes_no_more_ends_it(void)
{
    cut_evenly(1000, 100);
    read_range(0, 1000, 100, 0);
    world.refuses = STATUS_IO;
    answer(0, -1, 1);
    CHECK(state()->failed == STATUS_IO && world.next == 100);
}

static void
a_full_bus_delays_and_loses_nothing(void)
{
    cut_evenly(1000, 100);
    world.full = true;
    read_range(0, 1000, 100, 0);
    CHECK(world.count == 0 && reader_due(world.reader) <= 10);
    world.full = false;
    reader_sweep(world.reader, reader_due(world.reader));
    answer_all();
    CHECK(state()->done);
}

//  Any layout, any range, any order of answers, with loss, harm, repeats and
//  refusals: exactly the range comes out. One seed, one run.
static void
run(unsigned seed)
{
    srand(seed);
    uint64_t size = 1 + (uint64_t)(rand() % 5000);
    cut_evenly(size, size);
    world.chunks = 0;
    uint64_t most = 1 + (uint64_t)(rand() % 300), at = 0;
    for (; at < size; at += 1 + (uint64_t)rand() % most)
        if (world.chunks < MOST_CHUNKS)
            world.cuts[world.chunks++] = at;
    world.cuts[world.chunks] = size;
    if (rand() % 2 && world.chunks > 3) {
        size_t whole = (size_t)rand() % world.chunks;
        world.hole.from = world.cuts[whole];
        world.hole.to = world.cuts[whole + 1];
    }
    uint64_t from = (uint64_t)rand() % size;
    uint64_t to = from + (uint64_t)rand() % (size - from + 1);
    read_range(from, to, (uint32_t)(rand() % 400), (size_t)(rand() % 2000));
    millis_t now = 0;
    while (!state()->done) {
        CHECK(state()->failed == STATUS_OK);
        now += rand() % 20;
        size_t open[MOST_ASKS], count = 0;
        for (size_t i = 0; i < world.count; i++)
            if (!world.asked[i].answered)
                open[count++] = i;
        if (count == 0 || rand() % 20 == 0) {
            if (count == 0)
                now = reader_due(world.reader);
            reader_sweep(world.reader, now);
            continue;
        }
        size_t nth = open[(size_t)rand() % count];
        int what = rand() % 20;
        if (what == 0)
            world.asked[nth].answered = true;
        else if (what == 1)
            answer(nth, rand(), now);
        else if (what == 2)
            refuse(nth, STATUS_BUSY, now);
        else
            answer(nth, -1, now);
        if (what == 3)
            answer(nth, -1, now);
    }
    CHECK(world.next == to);
}

static void
whatever_happens_exactly_the_range_comes_out(void)
{
    for (unsigned seed = 0; seed < 1000; seed++)
        run(seed);
}

int
main(void)
{
    CASE(even_chunks_come_once_each,
         "reader 1: even chunks come once each, in order");
    CASE(a_range_is_cut_to_the_byte, "reader 1: a range is cut to the byte");
    CASE(whatever_happens_exactly_the_range_comes_out,
         "reader 1, invariant 12: whatever happens, exactly the range comes");
    CASE(a_hole_is_told_and_not_asked_for,
         "reader 1: a hole is told and not asked for");
    CASE(a_range_within_a_hole_has_no_bytes,
         "reader 1: a range within a hole has no bytes");
    CASE(a_flipped_bit_is_asked_for_again,
         "reader 2, invariant 9: a flipped bit is never delivered");
    CASE(what_is_asked_spans_at_most_the_window,
         "reader 3: what is asked for spans at most the window");
    CASE(a_chunk_larger_than_the_window_still_comes,
         "reader 3: a chunk larger than the window still comes");
    CASE(a_wrong_hint_costs_little, "reader 3: a wrong hint costs little");
    CASE(an_irregular_stream_is_not_fetched_twice,
         "reader 3: an irregular stream is not fetched twice");
    CASE(what_is_lost_is_asked_for_again,
         "reader 4: what is lost is asked for again");
    CASE(what_a_broken_connection_lost_is_asked_for_at_once,
         "reader 4: what a broken connection lost is asked for at once");
    CASE(what_may_pass_is_asked_for_again,
         "reader 4: what may pass is asked for again after a pause");
    CASE(what_cannot_pass_ends_it, "reader 4: what cannot pass ends it");
    CASE(patience_ends, "reader 4: patience ends, with the reason");
    CASE(an_owner_that_takes_no_more_ends_it,
         "an owner that takes no more ends it");
    CASE(a_full_bus_delays_and_loses_nothing,
         "a full bus delays and loses nothing");
    reader_destroy(&world.reader);
    return proof_end();
}
