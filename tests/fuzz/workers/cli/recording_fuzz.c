//  Any file behind -r, and any events within one: read or refused, printed in
//  every form, and put together to trees in which each request is once.
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "record.h"
#include "tap_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static FILE *nowhere;

//  What is read once is written and read again as it was.
static void
go_round(const event_t *event)
{
    recorded_t again;
    size_t packed = rill__v1__event__get_packed_size(event);
    if (packed == 0 || packed > 60000)
        return;
    buffer_t *bytes = record_of_event(event);
    INVARIANT(record_read(buffer_bytes(bytes), buffer_size(bytes), &again) ==
              RECORD_READ);
    INVARIANT(again.used == buffer_size(bytes) && again.event);
    INVARIANT(rill__v1__event__get_packed_size(again.event) == packed);
    buffer_unref(&bytes);
    record_free(&again);
}

static void
read_file(const uint8_t *bytes, size_t size)
{
    recorded_t one;
    size_t at = 0;
    while (at < size &&
           record_read(bytes + at, size - at, &one) == RECORD_READ) {
        INVARIANT(one.used > 0 && one.used <= size - at);
        INVARIANT(!one.event == !!one.lost);
        at += one.used;
        record_free(&one);
    }
}

static size_t
show(hops_t *hops, bool all, millis_t now)
{
    hops_tree_t tree;
    size_t shown = 0;
    while (hops_take(hops, all, now, &tree)) {
        INVARIANT(tree.count > 0 && tree.hops[0].is_request);
        INVARIANT(tree.slowest < tree.count);
        for (size_t i = 0; i < tree.count; i++)
            shown += tree.hops[i].is_request && !tree.hops[i].is_joined;
        tap_lines_tree(&tree, false, nowhere);
        tap_lines_tree(&tree, true, nowhere);
    }
    return shown;
}

//  Events, each behind its length in a byte and what time goes by in another.
static void
follow(const uint8_t *bytes, size_t size)
{
    hops_t *hops = hops_new();
    size_t added = 0, shown = 0;
    millis_t now = 0;
    for (size_t at = 0; at + 2 <= size;) {
        size_t part = bytes[at] < size - at - 2 ? bytes[at] : size - at - 2;
        now += 1 << bytes[at + 1] % 14;
        event_t *event = events_unpack(bytes + at + 2, part);
        at += 2 + part;
        if (event && events_kind(event) != EVENTS_NO_KIND) {
            go_round(event);
            tap_lines_event(event, false, nowhere);
            tap_lines_event(event, true, nowhere);
            shown += show(hops, false, now);
            hops_add(hops, event, now);
            added += event->trace &&
                     event->what_case == RILL__V1__EVENT__WHAT_REQUEST;
        }
        events_free(&event);
        shown += show(hops, false, now);
    }
    shown += show(hops, true, now);
    INVARIANT(shown == added);
    hops_destroy(&hops);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!nowhere)
        nowhere = fopen("/dev/null", "we");
    if (size && bytes[0] % 4 == 0)
        read_file(bytes + 1, size - 1);
    else if (size)
        follow(bytes + 1, size - 1);
    return 0;
}
