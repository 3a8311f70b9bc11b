#include "window.h"

#include <string.h>

#include "proof.h"

enum { MOST = 100000 };

static buffer_t *
payload_of(uint64_t offset, uint32_t length)
{
    buffer_t *payload = buffer_new(length);
    for (uint32_t i = 0; i < length; i++)
        buffer_fill(payload)[i] = (uint8_t)((offset + i) % 251);
    return payload;
}

static bool
add(window_t *window, uint64_t stream, uint64_t offset, uint32_t length,
    micros_t created_us)
{
    chunk_header_t header = { .key = { .stream = stream },
                              .offset = offset,
                              .length = length,
                              .created_us = created_us };
    buffer_t *payload = payload_of(offset, length);
    bool added = window_add(window, &header, payload);
    buffer_unref(&payload);
    return added;
}

static bool
has(const window_t *window, uint64_t stream, uint64_t offset)
{
    const window_chunk_t *chunk = window_find(window, stream, offset);
    if (!chunk)
        return false;
    const chunk_header_t *header = &chunk->header;
    size_t at = (size_t)(offset - header->offset);
    return header->offset <= offset && at < header->length &&
           buffer_bytes(chunk->payload)[at] == offset % 251;
}

static void
what_is_found_covers_the_offset(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    CHECK(add(window, 1, 1000, 500, 10));
    CHECK(add(window, 1, 0, 1000, 5));
    CHECK(add(window, 2, 0, 10, 5));
    CHECK(add(window, 1, 2000, 100, 20));
    for (uint64_t at = 0; at < 1500; at++)
        CHECK(has(window, 1, at));
    CHECK(!window_find(window, 1, 1500) && !window_find(window, 1, 2100));
    CHECK(!window_find(window, 2, 10) && !window_find(window, 3, 0));
    CHECK(window_reach(window, 1, 0) == 1500);
    CHECK(window_reach(window, 1, 1700) == 1700);
    CHECK(window_next(window, 1, 1500) == 2000);
    CHECK(window_next(window, 1, 1200) == 1200);
    CHECK(window_next(window, 1, 2100) == UINT64_MAX);
    CHECK(window_newest(window, 1)->header.offset == 2000);
    CHECK(window_at(window, 1, 19)->header.offset == 1000);
    CHECK(!window_at(window, 1, 4));
    window_forget(window, 1);
    CHECK(!window_newest(window, 1) && has(window, 2, 5));
    window_destroy(&window);
}

static void
what_came_first_goes_first(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    for (uint64_t n = 0; n < 1000; n++) {
        CHECK(add(window, n % 3, n * 1000, 1000, (micros_t)n));
        CHECK(window_bytes(window) <= MOST);
        CHECK(has(window, n % 3, n * 1000));
    }
    CHECK(window_count(window) > 30);
    CHECK(!window_find(window, 0, 0));
    CHECK(!add(window, 1, 9000000, MOST, 0));
    window_age(window, 999);
    CHECK(window_count(window) == 1 && has(window, 0, 999000));
    window_destroy(&window);
    CHECK(buffer_total() == 0);
}

static void
what_is_old_goes_in_whatever_order_it_came(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    CHECK(add(window, 1, 5000, 500, 50) && add(window, 2, 0, 500, 45));
    CHECK(add(window, 1, 1000, 500, 10));  //  Fetched late
    window_age(window, 20);
    CHECK(window_count(window) == 2 && !window_find(window, 1, 1000));
    window_age(window, 50);
    CHECK(window_count(window) == 1 && has(window, 1, 5000));
    window_age(window, 51);
    CHECK(window_count(window) == 0 && window_bytes(window) == 0);
    window_destroy(&window);
    CHECK(buffer_total() == 0);
}

static void
what_is_old_goes_from_behind_what_is_not(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    //  The origin's clock was ahead when it cut twenty, and then it was not.
    for (uint64_t at = 0; at < 20; at++)
        CHECK(add(window, 1, at * 100, 100, 7200));
    CHECK(add(window, 1, 3000, 500, 20) && add(window, 1, 2000, 500, 10));
    CHECK(add(window, 1, 4000, 500, 30));
    window_age(window, 15);
    CHECK(window_count(window) == 22 && !window_find(window, 1, 2000));
    window_age(window, 35);
    CHECK(window_count(window) == 20 && has(window, 1, 0));
    window_age(window, 7201);
    CHECK(window_count(window) == 0 && window_bytes(window) == 0);
    window_destroy(&window);
    CHECK(buffer_total() == 0);
}

static void
chunks_cut_otherwise_lie_beside_each_other(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    CHECK(add(window, 1, 0, 1000, 1));
    CHECK(!add(window, 1, 0, 1000, 1));
    CHECK(!add(window, 1, 200, 300, 1));
    CHECK(add(window, 1, 700, 600, 1));
    CHECK(window_count(window) == 2);
    CHECK(add(window, 1, 0, 1301, 1));
    CHECK(window_count(window) == 1);
    CHECK(add(window, 1, 1301, 9, 1));
    for (uint64_t at = 0; at < 1310; at++)
        CHECK(has(window, 1, at));
    CHECK(window_reach(window, 1, 0) == 1310);
    window_destroy(&window);
}

static void
a_long_chunk_takes_the_place_of_many_short_ones(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    for (uint64_t at = 0; at < 2000; at += 100)
        CHECK(add(window, 1, at, 100, 1));
    CHECK(add(window, 2, 1000, 50, 1));
    CHECK(add(window, 1, 150, 5000, 2));
    CHECK(!add(window, 1, 150, 5000, 2));
    CHECK(window_count(window) == 4);
    for (uint64_t at = 0; at < 5150; at++)
        CHECK(has(window, 1, at));
    CHECK(window_reach(window, 1, 0) == 5150);
    CHECK(window_span(window, 1).bytes == 5200);
    CHECK(add(window, 1, 0, 9000, 3) && window_count(window) == 2);
    CHECK(add(window, 2, 1000, 51, 1) && window_count(window) == 2);
    CHECK(window_newest(window, 2)->header.length == 51);
    window_destroy(&window);
    CHECK(buffer_total() == 0);
}

static void
the_newest_mark_is_found(void)
{
    window_t *window = window_new(MOST, NULL, NULL);
    uint64_t mark;
    CHECK(!window_newest_mark(window, 1, &mark));
    chunk_header_t header = { .key = { .stream = 1 },
                              .length = 100,
                              .marks_count = 2,
                              .marks = { { .offset = 10 }, { .offset = 60 } } };
    buffer_t *payload = payload_of(0, 100);
    CHECK(window_add(window, &header, payload));
    buffer_unref(&payload);
    CHECK(add(window, 1, 100, 100, 1));
    CHECK(window_newest_mark(window, 1, &mark) && mark == 60);
    window_destroy(&window);
}

static void
what_is_held_of_a_stream_is_known(void)
{
    window_t *window = window_new(3000, NULL, NULL);
    window_span_t none = window_span(window, 1);
    CHECK(none.bytes == 0 && none.oldest_us == 0 && none.newest_us == 0);
    CHECK(add(window, 1, 0, 500, 10) && add(window, 2, 0, 300, 40));
    CHECK(add(window, 1, 500, 500, 30));
    window_span_t one = window_span(window, 1);
    CHECK(one.bytes == 1000 && one.oldest_us == 10 && one.newest_us == 30);
    CHECK(window_span(window, 2).bytes == 300);
    window_age(window, 20);
    one = window_span(window, 1);
    CHECK(one.bytes == 500 && one.oldest_us == 30 && one.newest_us == 30);
    window_destroy(&window);
}

static size_t left;

static void
leaves(void *with, const window_chunk_t *chunk)
{
    CHECK(with == &left && chunk->payload);
    CHECK(chunk->header.offset == left++ * 1000);
}

static void
what_makes_room_is_told(void)
{
    window_t *window = window_new(MOST, leaves, &left);
    for (uint64_t n = 0; n < 100; n++)
        CHECK(add(window, 1, n * 1000, 1000, (micros_t)n));
    CHECK(left > 10 && left + window_count(window) == 100);
    size_t told = left;
    window_age(window, 1000);
    CHECK(left == told && window_count(window) == 0);
    window_destroy(&window);
}

static void
places_are_held_without_payload(void)
{
    window_t *window = window_new(100 * WINDOW_PLACE_BYTES, NULL, NULL);
    chunk_header_t header = { .key = { .stream = 1 }, .length = 10 };
    for (uint64_t n = 1; n <= 1000; n++, header.offset += 10)
        CHECK(window_add_place(window, &header, n));
    CHECK(window_count(window) < 100 && window_count(window) > 90);
    uint64_t first = window_first_place(window);
    const window_chunk_t *found = window_find(window, 1, first * 10 - 3);
    CHECK(found && !found->payload && found->number == first);
    CHECK(!window_find(window, 1, first * 10 - 13));
    window_drop_place(window, first + 5);
    window_drop_place(window, first + 5);
    window_drop_place(window, 1);
    CHECK(!window_find(window, 1, (first + 5) * 10 - 3));
    CHECK(window_first_place(window) == first);
    window_drop_place(window, first);
    CHECK(window_first_place(window) == first + 1);
    window_forget(window, 1);
    CHECK(window_first_place(window) == UINT64_MAX);
    window_destroy(&window);
}

int
main(void)
{
    CASE(what_is_found_covers_the_offset,
         "window 1, invariant 13: what is found at an offset covers it, with "
         "the bytes that were added");
    CASE(what_came_first_goes_first,
         "window 2, invariant 18: a window stays under its bound; what came "
         "first goes first");
    CASE(what_is_old_goes_in_whatever_order_it_came,
         "invariant 13: what is old goes, in whatever order it came");
    CASE(what_is_old_goes_from_behind_what_is_not,
         "invariant 13: a chunk whose time was wrong holds no older one back");
    CASE(chunks_cut_otherwise_lie_beside_each_other,
         "window 3: chunks that were cut otherwise are held beside each other");
    CASE(a_long_chunk_takes_the_place_of_many_short_ones,
         "window 1, 3: a chunk cut anew that covers many is found at each of "
         "its bytes, and they are not held twice");
    CASE(the_newest_mark_is_found,
         "the newest mark is where a player can start");
    CASE(what_is_held_of_a_stream_is_known,
         "it is known how much is held of a stream, and from when to when");
    CASE(what_makes_room_is_told,
         "window 2: what makes room for others is told, in its order");
    CASE(places_are_held_without_payload,
         "window 1, 2: places of chunks that lie elsewhere are held, a bounded "
         "number");
    return proof_end();
}
