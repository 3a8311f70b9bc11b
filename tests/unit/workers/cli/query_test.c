#include "query.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"

static Rill__V1__Request request = RILL__V1__REQUEST__INIT;
static Rill__V1__ChunkDealt dealt = RILL__V1__CHUNK_DEALT__INIT;
static Rill__V1__CarrierTookOver taken = RILL__V1__CARRIER_TOOK_OVER__INIT;
static char ASK[] = "ask", C1[] = "c1", CACHE[] = "cache", CAM[] = "cam-1",
            W1[] = "w1", R1[] = "r1";

static event_t
event_of(int what)
{
    event_t event = RILL__V1__EVENT__INIT;
    event.seq = 7;
    event.role = CACHE;
    event.node = C1;
    event.trace = 0xabc;
    event.stream = 0x123456789abcdef0;
    event.name = CAM;
    event.what_case = what;
    return event;
}

static event_t
a_request(void)
{
    event_t event = event_of(RILL__V1__EVENT__WHAT_REQUEST);
    request.asked = ASK;
    request.source = R1;
    request.offset = 262144;
    request.bytes = 1;
    request.route = RILL__V1__ROUTE__ROUTE_SIBLING;
    request.ms = 51;
    request.source_ms = 0.3;
    event.request = &request;
    return event;
}

static event_t
a_deal(void)
{
    event_t event = event_of(RILL__V1__EVENT__WHAT_CHUNK_DEALT);
    dealt.bytes = 4096;
    dealt.parity = true;
    dealt.worker = W1;
    event.chunk_dealt = &dealt;
    return event;
}

static event_t
a_takeover(void)
{
    event_t event = event_of(RILL__V1__EVENT__WHAT_CARRIER_TOOK_OVER);
    taken.from = R1;
    event.carrier_took_over = &taken;
    return event;
}

static query_t *
read(const char *text)
{
    size_t at;
    char why[QUERY_WHY_BYTES];
    query_t *query = query_new(text, &at, why);
    if (!query)
        printf("# %s: at %zu: %s\n", text, at, why);
    CHECK(query);
    return query;
}

static void
what_holds_holds(void)
{
    static const struct {
        const char *text;
        bool of_request, of_deal;
    } QUERIES[] = {
        { "ms > 50", true, false },
        { "ms > 51", false, false },
        { "ms >= 51ms", true, false },
        { "ms < 0.06s", true, false },
        { "ms<=51000us", true, false },
        { "source_ms == 0.3", true, false },
        { "ms > 50 and stream ~ \"cam*\"", true, false },
        { "stream ~ cam*", true, true },
        { "stream == cam-1", true, true },
        { "stream == 'cam-1'", true, true },
        { "stream ~ 1234*", true, true },
        { "stream == 123456789abcdef0", true, true },
        { "stream != cam-1", false, false },
        { "stream != cam-2", true, true },
        { "name == cam-1", true, true },
        { "name ~ c?m-[12]", true, true },
        { "kind == request", true, false },
        { "kind != request", false, true },
        { "kind ~ chunk_*", false, true },
        { "not kind ~ chunk_*", true, false },
        { "route == sibling", true, false },
        { "route != parent", true, false },
        { "route ~ s*", true, false },
        { "status == ok", true, false },
        { "status", false, false },
        { "not status", true, true },
        { "parity", false, true },
        { "parity == no", false, false },
        { "parity != no", false, true },
        { "not parity", true, false },
        { "bytes == 4KiB", false, true },
        { "bytes >= 1", true, true },
        { "offset == 256KiB", true, false },
        { "offset > 262143 and offset < 262145", true, false },
        { "worker == w1", false, true },
        { "worker ~ 'w*'", false, true },
        { "source", true, false },
        { "joined", false, false },
        { "trace == abc", true, true },
        { "trace == 0000000000000abc", true, true },
        { "trace", true, true },
        { "seq == 7", true, true },
        { "at_us > -1", true, true },
        { "node == c1 and role == cache", true, true },
        { "from == r1", false, false },
        { "from > 100", false, false },
        { "ms > 50 or parity", true, true },
        { "ms > 50 and parity", false, false },
        { "node == c2 or node == c1 and parity", false, true },
        { "(node == c2 or node == c1) and parity", false, true },
        { "node == c1 or node == c2 and parity", true, true },
        { "(node==c1 or node==c2)and not(parity)", true, false },
        { "not not parity", false, true },
    };
    event_t one = a_request(), other = a_deal();
    for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++) {
        query_t *query = read(QUERIES[i].text);
        if (query_holds(query, &one) != QUERIES[i].of_request ||
            query_holds(query, &other) != QUERIES[i].of_deal)
            printf("# %s\n", QUERIES[i].text);
        CHECK(query_holds(query, &one) == QUERIES[i].of_request);
        CHECK(query_holds(query, &other) == QUERIES[i].of_deal);
        query_destroy(&query);
    }
    query_t *query = read("from == r1");
    event_t third = a_takeover();
    CHECK(query_holds(query, &third));
    query_destroy(&query);
}

static void
what_is_denied_does_not_hold(void)
{
    static const struct {
        const char *text;
        int kinds;  //  That it may want; -1: all
        const char *one;
    } QUERIES[] = {
        { "ms > 50", 3, "request" },
        { "kind == request", 1, "request" },
        { "kind ~ chunk_*", 3, "chunk_stored" },
        { "kind ~ chunk_* and ms > 1", 1, "chunk_stored" },
        { "kind == request or kind == worker_lost", 2, "worker_lost" },
        { "not kind == request", -2, "worker_lost" },
        { "not ms > 50", -1, "request" },
        { "node == c1", -1, "retention_ran" },
        { "from > 1", 1, "session_opened" },
        { "from == c1", 1, "carrier_took_over" },
        { "worker == w1 and sealed", 0, NULL },
    };
    event_t events[] = { a_request(), a_deal(), a_takeover() };
    for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++) {
        query_t *query = read(QUERIES[i].text);
        int count = 0, all = (int)events_kinds();
        for (size_t kind = 0; kind < events_kinds(); kind++)
            count += query_may(query, kind);
        int wanted = QUERIES[i].kinds < 0 ? all + 1 + QUERIES[i].kinds
                                          : QUERIES[i].kinds;
        if (count != wanted)
            printf("# %s: %d kinds\n", QUERIES[i].text, count);
        CHECK(count == wanted);
        CHECK(!QUERIES[i].one || query_may(query, events_find(QUERIES[i].one)));
        for (size_t e = 0; e < 3; e++)
            CHECK(!query_holds(query, &events[e]) ||
                  query_may(query, events_kind(&events[e])));
        query_destroy(&query);
    }
}

static void
what_is_wrong_is_told_with_its_place(void)
{
    static const struct {
        const char *text;
        size_t at;
        const char *says;
    } WRONG[] = {
        { "", 0, "a field belongs here, not the end" },
        { "  ", 2, "a field belongs here" },
        { "42", 0, "no event has a field 42" },
        { "mss > 5", 0, "no event has a field mss" },
        { "ms >", 4, "a value belongs behind >, not the end" },
        { "ms > > 5", 5, "a value belongs behind >" },
        { "ms > abc", 5, "a time in ms, or with us, ms, s, min or h, not" },
        { "ms > 5KiB", 5, "a time in ms" },
        { "ms > 5 parsec", 7, "\"and\", \"or\" or the end belongs here" },
        { "ms > 5x", 5, "not \"5x\"" },
        { "ms > 0x10", 5, "a time" },
        { "ms > nan", 5, "a time" },
        { "bytes > 5ms", 8, "as 4096 or 4KiB" },
        { "ms = 5", 3, "equal is written ==" },
        { "ms ~ 5", 5, "~ is for texts" },
        { "ms > 5 and", 10, "a field belongs here, not the end" },
        { "ms > 5 and and", 11, "no event has a field and" },
        { "ms > 5 or )", 10, "a field belongs here" },
        { "(ms > 5", 7, "\"and\", \"or\" or \")\" belongs here, not the end" },
        { "(ms > 5 node", 8, "\")\" belongs here, not \"node\"" },
        { "ms > 5)", 6, "the end belongs here, not \")\"" },
        { "stream ~ \"cam", 9, "this \" has no other" },
        { "stream ~ 'cam\"", 9, "this ' has no other" },
        { "stream > 5", 9, "== or != or ~" },
        { "node < c1", 7, "node is compared with == or != or ~" },
        { "route == brother", 9, "one of none, local, sibling, parent" },
        { "status > late", 9, "status is compared with == or != or ~" },
        { "parity == maybe", 10, "parity is yes or no, not \"maybe\"" },
        { "parity < yes", 9, "parity is compared with == or !=" },
        { "trace == xyz", 9, "16 hexadecimal digits" },
        { "trace == 12345678901234567", 9, "16 hexadecimal digits" },
        { "kind == requests", 8, "there is no kind \"requests\"" },
        { "kind", 0, "kind is compared with" },
        { "kind < request", 7, "kind is compared with" },
        { "not", 3, "a field belongs here, not the end" },
        { "ms > 5 ; ms", 7, "the end belongs here, not \"; ms\"" },
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        size_t at = 999;
        char why[QUERY_WHY_BYTES] = "";
        query_t *query = query_new(WRONG[i].text, &at, why);
        if (query || at != WRONG[i].at || !strstr(why, WRONG[i].says))
            printf("# %s: at %zu: %s\n", WRONG[i].text, at, why);
        CHECK(!query && at == WRONG[i].at && strstr(why, WRONG[i].says));
    }
}

//  A query with one byte less or another byte at every position.
static void
a_query_that_is_damaged_anywhere_is_read_or_refused(void)
{
    static const char WHOLE[] =
        "not (ms > 1.5s or stream ~ \"cam*\") and kind == request and route";
    static const char BYTES[] = "\x01 (\"~=5x\xff";
    event_t event = a_request();
    char why[QUERY_WHY_BYTES];
    for (size_t i = 0; i < sizeof WHOLE - 1; i++)
        for (size_t b = 0; b < sizeof BYTES; b++) {
            char text[sizeof WHOLE];
            size_t at = 0;
            memcpy(text, WHOLE, sizeof WHOLE);
            text[i] = BYTES[b];
            query_t *query = query_new(text, &at, why);
            CHECK(query || at <= strlen(text));
            if (query)
                (void)query_holds(query, &event);
            query_destroy(&query);
        }
}

static void
a_query_has_bounds(void)
{
    char text[2 * QUERY_MOST_BYTES], why[QUERY_WHY_BYTES];
    size_t at;
    memset(text, '(', 100);
    text[100] = '\0';
    CHECK(!query_new(text, &at, why) && at == 32 && strstr(why, "too deep"));
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK(!query_new(text, &at, why) && strstr(why, "at most 4096 bytes"));
    text[0] = '\0';
    while (strlen(text) < QUERY_MOST_BYTES - 20)
        strcat(text, "ms or ");
    strcat(text, "parity");
    query_t *query = read(text);
    event_t event = a_deal();
    CHECK(query_holds(query, &event));
    query_destroy(&query);
}

int
main(void)
{
    CASE(what_holds_holds, "a query wants the events that it says");
    CASE(what_is_denied_does_not_hold,
         "query 2: what is not subscribed to would not be wanted");
    CASE(what_is_wrong_is_told_with_its_place,
         "query 1: what is wrong is told with its place and what was expected");
    CASE(a_query_that_is_damaged_anywhere_is_read_or_refused,
         "query 1: damaged at any byte it is a query or is refused");
    CASE(a_query_has_bounds, "invariant 18: a query has bounds");
    return proof_end();
}
