#include "requests.h"

#include <czmq.h>

#include "proof.h"

//  What was told, and a clock that goes on by a millisecond when it is looked
//  at.
static struct {
    sink_t sink;
    requests_t *requests;
    micros_t now_us;
    unsigned clocks, told, faults;
    Rill__V1__Request request;
    char source[32], tried[32], name[32], asked[32], asker[32], what[32];
    uint64_t trace, stream;
    Rill__V1__Status status;
} world;

static void
tell(void *with, event_t *event)
{
    (void)with;
    world.trace = event->trace;
    world.stream = event->stream;
    snprintf(world.name, sizeof world.name, "%s", event->name);
    if (event->what_case == RILL__V1__EVENT__WHAT_FAULT_COUNTED) {
        world.faults++;
        world.status = event->fault_counted->status;
        snprintf(world.what, sizeof world.what, "%s",
                 event->fault_counted->what);
        return;
    }
    world.told++;
    world.request = *event->request;
    snprintf(world.source, sizeof world.source, "%s", world.request.source);
    snprintf(world.tried, sizeof world.tried, "%s", world.request.tried);
    snprintf(world.asked, sizeof world.asked, "%s", world.request.asked);
    snprintf(world.asker, sizeof world.asker, "%s", world.request.asker);
}

static micros_t
clock_us(void *with)
{
    (void)with;
    world.clocks++;
    return world.now_us += 1000;
}

static void
begin(uint64_t wanted)
{
    memset(&world, 0, sizeof world);
    world.sink = (sink_t){
        .at = "", .wanted = wanted, .tell = tell, .clock_us = clock_us
    };
    world.requests = requests_new(&world.sink);
}

#define REQUESTS (UINT64_C(1) << RILL__V1__EVENT__WHAT_REQUEST)
#define FAULTS (UINT64_C(1) << RILL__V1__EVENT__WHAT_FAULT_COUNTED)

static peer_t
peer(uint8_t number)
{
    return (peer_t){ .size = 1, .bytes = { number } };
}

static void
ask(uint8_t who, uint64_t request)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = 6;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = 700;
    body.node = message_lend("c1");
    message_t question = MESSAGE(ASK, ask, &body, request, 90 + request);
    peer_t asker = peer(who);
    requests_asked(world.requests, &asker, &question);
}

static void
answer(uint8_t who, uint64_t request)
{
    chunk_header_t header = { .key = { .stream = 6 },
                              .code = { 1, 1 },
                              .offset = 512,
                              .width = 2,
                              .kind = KIND_LIVE,
                              .name = "cam" };
    chunk_on_wire_t wire;
    message_from_chunk(&header, &wire);
    Rill__V1__Answer body = RILL__V1__ANSWER__INIT;
    body.chunk = &wire.header;
    body.route = RILL__V1__ROUTE__ROUTE_SIBLING;
    message_t message = MESSAGE(ANSWER, answer, &body, request, 90 + request);
    peer_t asker = peer(who);
    buffer_t *payload = buffer_new(300);
    requests_answered(world.requests, &asker, &message, payload);
    buffer_unref(&payload);
}

static void
refuse(uint8_t who, uint64_t request, status_t status)
{
    Rill__V1__Refused body = message_refusal(status, NULL, 0);
    message_t message = MESSAGE(REFUSED, refused, &body, request, 90 + request);
    peer_t asker = peer(who);
    requests_answered(world.requests, &asker, &message, NULL);
}

static void
an_answer_is_told_with_its_question(void)
{
    begin(REQUESTS);
    ask(1, 5);
    ask(2, 5);  //  Another's
    peer_t asker = peer(1);
    sink_source_t source = { "c2", 0.5, "c3", 250, 99, 44 };
    requests_sourced(world.requests, &asker, 5, &source);
    answer(1, 5);
    CHECK(world.told == 1 && requests_count(world.requests) == 1);
    CHECK(streq(world.asked, "ask") && streq(world.asker, "c1"));
    CHECK(world.trace == 95 && world.stream == 6 && streq(world.name, "cam"));
    CHECK(world.request.offset == 700 && world.request.bytes == 300);
    CHECK(world.request.route == RILL__V1__ROUTE__ROUTE_SIBLING &&
          world.request.status == 0);
    CHECK(world.request.ms == 2);  //  The other's question was between
    CHECK(streq(world.source, "c2") && world.request.source_ms == 0.5 &&
          world.request.joined == 44);
    CHECK(streq(world.tried, "c3") && world.request.tried_ms == 250 &&
          world.request.others_ms == 99);
    answer(1, 5);  //  What comes once more is none
    CHECK(world.told == 1);
    refuse(2, 5, STATUS_MISS);
    CHECK(world.told == 2 &&
          world.request.status == RILL__V1__STATUS__STATUS_MISS);
    CHECK(streq(world.source, "") && world.request.joined == 0);
    requests_destroy(&world.requests);
}

static void
that_a_node_lives_is_no_answer(void)
{
    begin(REQUESTS);
    peer_t asker = peer(1);
    Rill__V1__Watch watch = RILL__V1__WATCH__INIT;
    watch.which_case = RILL__V1__WATCH__WHICH_NAME;
    watch.name = message_lend("cam");
    message_t question = MESSAGE(WATCH, watch, &watch, 5, 95);
    requests_asked(world.requests, &asker, &question);
    Rill__V1__Watching alive = RILL__V1__WATCHING__INIT;
    message_t sign = MESSAGE(WATCHING, watching, &alive, 5, 95);
    requests_answered(world.requests, &asker, &sign, NULL);
    CHECK(world.told == 0);
    sink_source_t source = { .node = "r1", .ms = 1500, .tried = "" };
    requests_sourced(world.requests, &asker, 5, &source);
    Rill__V1__Watched begun = RILL__V1__WATCHED__INIT;
    message_t answer = MESSAGE(WATCHED, watched, &begun, 5, 95);
    requests_answered(world.requests, &asker, &answer, NULL);
    CHECK(world.told == 1 && streq(world.source, "r1"));
    requests_destroy(&world.requests);
}

static void
while_nobody_listens_nothing_is_kept(void)
{
    begin(0);
    for (uint64_t i = 0; i < 1000; i++) {
        ask(1, i);
        answer(1, i);
        refuse(1, i, STATUS_CORRUPT);
    }
    CHECK(world.told == 0 && world.faults == 0 && world.clocks == 0);
    CHECK(requests_count(world.requests) == 0);
    //  Nor of what began when somebody did.
    world.sink.wanted = REQUESTS;
    ask(1, 1);
    ask(1, 2);
    CHECK(requests_count(world.requests) == 2);
    world.sink.wanted = 0;
    answer(1, 1);
    CHECK(world.told == 0);
    ask(1, 3);
    CHECK(requests_count(world.requests) == 0);
    requests_destroy(&world.requests);
}

static void
what_began_before_is_not_told(void)
{
    begin(0);
    ask(1, 1);
    world.sink.wanted = REQUESTS;
    answer(1, 1);
    CHECK(world.told == 0);
    requests_destroy(&world.requests);
}

static void
the_oldest_is_given_up(void)
{
    begin(REQUESTS);
    for (uint64_t i = 0; i <= REQUESTS_MOST; i++)
        ask(1, i);
    CHECK(requests_count(world.requests) == REQUESTS_MOST);
    answer(1, 0);
    CHECK(world.told == 0);
    answer(1, 1);
    answer(1, REQUESTS_MOST);
    CHECK(world.told == 2);
    requests_destroy(&world.requests);
}

static void
a_refusal_is_a_fault_unless_it_is_usual(void)
{
    static const status_t USUAL[] = { STATUS_UNKNOWN, STATUS_MISS,
                                      STATUS_FUTURE, STATUS_TAKEN };
    begin(FAULTS);
    for (size_t i = 0; i < sizeof USUAL / sizeof *USUAL; i++) {
        ask(1, i);
        refuse(1, i, USUAL[i]);
    }
    CHECK(world.faults == 0);
    ask(1, 9);
    refuse(1, 9, STATUS_CORRUPT);
    CHECK(world.faults == 1 && world.trace == 99 && streq(world.what, "ask") &&
          world.status == RILL__V1__STATUS__STATUS_CORRUPT);
    refuse(1, 10, STATUS_SESSION);  //  Of no question
    CHECK(world.faults == 2 && streq(world.what, "") && world.told == 0);
    requests_destroy(&world.requests);
}

int
main(void)
{
    CASE(an_answer_is_told_with_its_question,
         "the first answer to a question is told with its times, route, source "
         "and trace");
    CASE(that_a_node_lives_is_no_answer,
         "a watch is told when it begins, however often its node said before "
         "that it lives");
    CASE(while_nobody_listens_nothing_is_kept,
         "requests 1: while nobody listens nothing is kept, built or timed");
    CASE(the_oldest_is_given_up,
         "requests 2, invariant 18: the oldest question is given up for one "
         "too many");
    CASE(what_began_before_is_not_told,
         "requests 3: what began before anybody listened is not told");
    CASE(a_refusal_is_a_fault_unless_it_is_usual,
         "a refusal is told as a fault unless it is as good an answer as "
         "another");
    return proof_end();
}
