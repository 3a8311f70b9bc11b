#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

enum { COUNT = 40 };

//  A recording of COUNT things, every third of them a loss; its size.
static size_t
write(uint8_t *to, size_t *ends)
{
    char node[] = "c1", kind[] = "request", source[200];
    size_t size = 0;
    for (size_t i = 0; i < COUNT; i++) {
        Rill__V1__Request body = RILL__V1__REQUEST__INIT;
        event_t event = RILL__V1__EVENT__INIT;
        lost_t lost = RILL__V1__LOST__INIT;
        memset(source, 'x', i * 4);
        source[i * 4] = '\0';
        body.source = source;
        body.ms = (double)i;
        event.seq = i + 1;
        event.node = lost.node = node;
        event.what_case = RILL__V1__EVENT__WHAT_REQUEST;
        event.request = &body;
        lost.kind = kind;
        lost.events = i;
        buffer_t *one = i % 3 == 2 ? record_of_loss(&lost)
                                   : record_of_event(&event);
        memcpy(to + size, buffer_bytes(one), buffer_size(one));
        size += buffer_size(one);
        ends[i] = size;
        buffer_unref(&one);
    }
    return size;
}

//  How many are read, each as it was written, until what ends it.
static size_t
read(const uint8_t *bytes, size_t size, record_state_t *end_r)
{
    size_t count = 0, at = 0;
    recorded_t one;
    while (at < size &&
           (*end_r = record_read(bytes + at, size - at, &one)) == RECORD_READ) {
        CHECK(!one.event == (count % 3 == 2) && !one.event == !!one.lost);
        CHECK(!one.event || (one.event->seq == count + 1 &&
                             one.event->request->ms == (double)count));
        CHECK(!one.lost || one.lost->events == count);
        at += one.used;
        count++;
        record_free(&one);
    }
    if (at == size)
        *end_r = RECORD_READ;
    return count;
}

static size_t
whole_ones(const size_t *ends, size_t at)
{
    size_t count = 0;
    while (count < COUNT && ends[count] <= at)
        count++;
    return count;
}

static void
what_was_written_is_read(void)
{
    uint8_t *bytes = malloc(COUNT * 1024);
    size_t ends[COUNT], size = write(bytes, ends);
    record_state_t end;
    CHECK(read(bytes, size, &end) == COUNT && end == RECORD_READ);
    free(bytes);
}

static void
what_is_cut_short_anywhere_is_told(void)
{
    uint8_t *bytes = malloc(COUNT * 1024);
    size_t ends[COUNT], size = write(bytes, ends);
    for (size_t cut = 0; cut < size; cut++) {
        record_state_t end;
        size_t whole = whole_ones(ends, cut);
        //  Memory of its own: whoever reads behind it is found.
        uint8_t *part = malloc(cut + 1);
        memcpy(part, bytes, cut);
        CHECK(read(part, cut, &end) == whole);
        CHECK(end == (cut == (whole ? ends[whole - 1] : 0) ? RECORD_READ
                                                           : RECORD_SHORT));
        free(part);
    }
    free(bytes);
}

static void
what_is_changed_anywhere_is_told(void)
{
    uint8_t *bytes = malloc(COUNT * 1024);
    size_t ends[COUNT], size = write(bytes, ends);
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            record_state_t end;
            bytes[at] ^= (uint8_t)(1 << bit);
            CHECK(read(bytes, size, &end) == whole_ones(ends, at));
            CHECK(end != RECORD_READ);
            bytes[at] ^= (uint8_t)(1 << bit);
        }
    free(bytes);
}

static void
what_is_no_recording_is_told(void)
{
    static const char *const OTHERS[] = { "hello, world, this is a text",
                                          "\xff\xff\xff\xff", "\x80\x80\x7f",
                                          "\x02\x0a\x00" };
    recorded_t one;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        CHECK(record_read(OTHERS[i], strlen(OTHERS[i]), &one) != RECORD_READ);
    CHECK(record_read("", 1, &one) == RECORD_WRONG);  //  A length of 0
    CHECK(record_read("", 0, &one) == RECORD_SHORT);
}

int
main(void)
{
    CASE(what_was_written_is_read, "record 1: what was written is read back");
    CASE(what_is_cut_short_anywhere_is_told,
         "record 1: a recording that is cut short at any byte is told, what is "
         "before it is read");
    CASE(what_is_changed_anywhere_is_told,
         "record 1: a recording with any bit changed is told, what is before "
         "it is read");
    CASE(what_is_no_recording_is_told, "record 1: any other file is refused");
    return proof_end();
}
