#include "events.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"

static void
every_kind_and_field_has_its_comment(void)
{
    events_field_t field;
    CHECK(events_kinds() >= 20);
    for (size_t kind = 0; kind < events_kinds(); kind++) {
        CHECK(events_find(events_kind_name(kind)) == kind);
        CHECK(strlen(events_kind_help(kind)) > 10);
        CHECK(events_field(kind, 0, &field));
        for (size_t nth = 0; events_field(kind, nth, &field); nth++)
            CHECK(strlen(field.help) > 5);
    }
    CHECK(!events_kind_name(events_kinds()));
    CHECK(events_find("no_such") == EVENTS_NO_KIND);
    CHECK(events_field_find(EVENTS_HEAD, "at_us", &field));
    CHECK(strcmp(field.help, "When, by the node's clock, UTC.") == 0);
    CHECK(!events_field_find(EVENTS_HEAD, "request", &field));
    CHECK(!events_field_find(events_find("request"), "why", &field));
}

static void
a_value_is_that_of_its_field(void)
{
    Rill__V1__Request body = RILL__V1__REQUEST__INIT;
    event_t event = RILL__V1__EVENT__INIT;
    char asked[] = "ask";
    body.asked = asked;
    body.offset = UINT64_MAX;
    body.ms = 1.5;
    body.route = RILL__V1__ROUTE__ROUTE_SIBLING;
    body.joined = 7;
    event.at_us = -5;
    event.what_case = RILL__V1__EVENT__WHAT_REQUEST;
    event.request = &body;
    size_t kind = events_kind(&event);
    events_field_t field;
    CHECK(kind == events_find("request"));
    CHECK(events_field_find(kind, "asked", &field) &&
          field.type == EVENTS_TEXT);
    CHECK(strcmp(events_value(&event, &field, false).text, "ask") == 0);
    CHECK(events_field_find(kind, "offset", &field));
    CHECK(events_value(&event, &field, false).count == UINT64_MAX);
    CHECK(events_field_find(kind, "ms", &field));
    CHECK(events_value(&event, &field, false).real == 1.5);
    CHECK(events_field_find(kind, "joined", &field) && field.type == EVENTS_ID);
    CHECK(events_value(&event, &field, false).count == 7);
    CHECK(events_field_find(kind, "route", &field));
    CHECK(events_value(&event, &field, false).number == 2);
    CHECK(events_field_find(EVENTS_HEAD, "at_us", &field));
    CHECK(events_value(&event, &field, true).number == -5);

    Rill__V1__ChunkDealt dealt = RILL__V1__CHUNK_DEALT__INIT;
    dealt.bytes = UINT32_MAX;
    dealt.parity = true;
    event.what_case = RILL__V1__EVENT__WHAT_CHUNK_DEALT;
    event.chunk_dealt = &dealt;
    kind = events_kind(&event);
    CHECK(events_field_find(kind, "bytes", &field));
    CHECK(events_value(&event, &field, false).count == UINT32_MAX);
    CHECK(events_field_find(kind, "parity", &field));
    CHECK(events_value(&event, &field, false).flag);
}

static void
a_kind_that_is_newer_is_none(void)
{
    event_t event = RILL__V1__EVENT__INIT;
    CHECK(events_kind(&event) == EVENTS_NO_KIND);
    event.what_case = 9999;
    CHECK(events_kind(&event) == EVENTS_NO_KIND);
}

//  A field of number 0, in an event or in its body, before one that is right.
static void
what_could_not_be_packed_again_is_no_event(void)
{
    static const uint8_t SEVEN[] = { 0x08, 7 },
                         WHOLE[] = { 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 7 },
                         BODY[] = { 0xa2, 1, 9, 0x01, 1, 2, 3, 4, 5, 6, 7, 8 };
    event_t *event = events_unpack(SEVEN, sizeof SEVEN);
    CHECK(event && event->seq == 7);
    events_free(&event);
    CHECK(!event);
    CHECK(!events_unpack(WHOLE, sizeof WHOLE));
    CHECK(!events_unpack(BODY, sizeof BODY));
    CHECK(!events_unpack("\xff", 1));
}

static void
words_are_those_that_people_write(void)
{
    events_field_t route, status;
    char text[EVENTS_WORD_BYTES];
    int64_t number;
    size_t kind = events_find("request");
    CHECK(events_field_find(kind, "route", &route));
    CHECK(events_field_find(kind, "status", &status));
    CHECK(strcmp(events_word(&route, 0, text), "none") == 0);
    CHECK(strcmp(events_word(&route, 2, text), "sibling") == 0);
    CHECK(strcmp(events_word(&route, 99, text), "99") == 0);
    CHECK(strcmp(events_word(&status, 0, text), "ok") == 0);
    CHECK(strcmp(events_word(&status, 4, text), "too_large") == 0);
    CHECK(events_word_find(&status, "late", &number) && number == 63);
    CHECK(!events_word_find(&status, "STATUS_LATE", &number));
    size_t words = 0;
    while (events_word_nth(&route, words, &number))
        words++;
    CHECK(words == 7);
}

int
main(void)
{
    CASE(every_kind_and_field_has_its_comment,
         "events 1: every kind and field of an event has its comment");
    CASE(a_value_is_that_of_its_field,
         "a value is that of its field, of whatever type");
    CASE(a_kind_that_is_newer_is_none,
         "an event of a kind that is newer than this program is of none");
    CASE(what_could_not_be_packed_again_is_no_event,
         "what would be no event when it is packed again is none");
    CASE(words_are_those_that_people_write,
         "words of closed lists are written in lower case");
    return proof_end();
}
