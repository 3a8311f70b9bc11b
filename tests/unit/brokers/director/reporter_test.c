#include "reporter.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"
#include "sockets.h"

enum { SECONDS = 20 };

//  A patience with which the director is never, or soon, too late.
#define LATE "100"
#define SOON "0.1"

static settings_t settings;
static zloop_t *loop;
static zsock_t *director;  //  The other end; answers as `answers` says
static reporter_t *reporter;
static enum { ANSWER, REFUSE, KEEP_SILENT } answers;

//  What the director heard and what the cache's front was told to say.
static unsigned loads, wheres, said, stood_in, until_loads, until_said;
static uint64_t last_seq, last_request;
static bool in_order, left;
static char last_address[64], last_node[64];

static void
answer(const peer_t *peer, const message_t *question)
{
    Rill__V1__Loaded loaded = RILL__V1__LOADED__INIT;
    Rill__V1__Offer offer = RILL__V1__OFFER__INIT;
    Rill__V1__Refused refused = message_refusal(STATUS_BUSY, NULL, 0);
    loaded.keep_ms = 5;
    offer.node = message_lend("director");
    message_t load = MESSAGE(LOADED, loaded, &loaded, question->request, 0);
    message_t where = MESSAGE(OFFER, offer, &offer, question->request, 0);
    message_t no = MESSAGE(REFUSED, refused, &refused, question->request, 0);
    if (question->body_case == RILL__V1__MESSAGE__BODY_LOAD)
        frames_send(director, peer, &load, NULL);
    else if (answers != KEEP_SILENT)
        frames_send(director, peer, answers == REFUSE ? &no : &where, NULL);
}

static int
enough(void)
{
    return loads >= until_loads && said >= until_said ? -1 : 0;
}

static int
on_director(zloop_t *of, zsock_t *socket, void *arg)
{
    (void)of;
    (void)arg;
    received_t received;
    while (frames_receive(socket, &received) == STATUS_OK) {
        const message_t *message = received.message;
        if (message->body_case == RILL__V1__MESSAGE__BODY_LOAD) {
            in_order = in_order && message->load->seq > last_seq &&
                       message->load->incarnation == 7 &&
                       message->load->sessions == 3 &&
                       strcmp(message->load->node, "a1") == 0;
            last_seq = message->load->seq;
            left = message->load->leaving;
            loads++;
        } else {
            wheres++;
            strcpy(last_address, message->where->address);
        }
        answer(&received.peer, message);
        frames_release(&received);
    }
    return enough();
}

static void
fill(void *with, Rill__V1__Load *load)
{
    (void)with;
    load->sessions = 3;
}

static void
hear(void *with, const peer_t *peer, const message_t *message)
{
    (void)with;
    CHECK(peer->size == 1 && message->offer);
    said++;
    last_request = message->request;
    strcpy(last_node, message->offer->node);
    stood_in += strcmp(last_node, "a1") == 0;
}

static const reporter_events_t EVENTS = { .fill = fill, .send = hear };

static int
on_end(zloop_t *of, int timer, void *arg)
{
    (void)of;
    (void)timer;
    (void)arg;
    return -1;
}

static int
on_tick(zloop_t *of, int timer, void *arg)
{
    (void)of;
    (void)timer;
    (void)arg;
    return enough();
}

//  Let the loop run until so much was heard.
static bool
run(unsigned more_loads, unsigned more_said)
{
    until_loads = loads + more_loads;
    until_said = said + more_said;
    int end = zloop_timer(loop, SECONDS * 1000, 1, on_end, NULL);
    int tick = zloop_timer(loop, 2, 0, on_tick, NULL);
    zloop_start(loop);
    zloop_timer_end(loop, end);
    zloop_timer_end(loop, tick);
    return loads >= until_loads && said >= until_said;
}

//  `at`: where the file says that the director is; NULL: where it is.
static void
begin(const char *patience, const char *at)
{
    char endpoint[ENDPOINT_BYTES], text[1024], why[SETTINGS_WHY_BYTES];
    CHECK(sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:0", &director) ==
          STATUS_OK);
    sockets_bound(director, endpoint);
    at = at ? at : endpoint + strlen("tcp://");
    snprintf(text, sizeof(text),
             "cluster: d\npatience: %s\n"
             "forwarder: {name: o, at: \"h:1\", data: o}\n"
             "groups: [{name: a, parents: o, siblings: unicast}]\n"
             "caches:\n"
             "  - {name: a1, group: a, at: \"h:2\", data: a1}\n"
             "  - {name: a2, group: a, at: \"h:3\", data: a2}\n"
             "%s%s%s",
             patience, *at ? "director: {at: \"" : "", at, *at ? "\"}\n" : "");
    CHECK(settings_parse("r.yml", text, strlen(text), &settings, why,
                         sizeof(why)) == STATUS_OK);
    loop = zloop_new();
    loads = wheres = said = stood_in = 0;
    last_seq = 0;
    in_order = true;
    left = false;
    answers = ANSWER;
    zloop_reader(loop, director, on_director, NULL);
    reporter = reporter_new(loop, &settings, settings_cache(&settings, "a1"), 7,
                            &EVENTS, NULL);
    CHECK(reporter);
}

static void
end(void)
{
    reporter_destroy(&reporter);
    zloop_destroy(&loop);
    zsock_destroy(&director);
    settings_free(&settings);
}

//  A terminal asks at the cache's front.
static void
ask(uint64_t request)
{
    Rill__V1__Where where = RILL__V1__WHERE__INIT;
    message_t message = MESSAGE(WHERE, where, &where, request, 0);
    received_t received = { .peer = { .size = 1, .bytes = { 9 } },
                            .request = request,
                            .message = &message,
                            .address = "10.1.2.3" };
    CHECK(reporter_on_front(reporter, &received));
}

static void
the_director_hears_how_the_cache_is(void)
{
    begin(LATE, NULL);
    CHECK(run(3, 0) && in_order && !left);
    reporter_destroy(&reporter);
    CHECK(run(1, 0) && in_order && left);
    end();
}

static void
a_question_is_passed_on_with_its_address(void)
{
    begin(LATE, NULL);
    CHECK(run(1, 0));
    ask(0);
    ask(41);
    CHECK(run(0, 2) && wheres == 2 && stood_in == 0);
    CHECK(last_request == 41 && strcmp(last_node, "director") == 0);
    CHECK(strcmp(last_address, "10.1.2.3") == 0);
    end();
}

static void
a_cache_stands_in_for_a_director_that_does_not_answer(void)
{
    begin(SOON, NULL);
    CHECK(run(1, 0));
    answers = KEEP_SILENT;
    ask(41);
    CHECK(run(0, 1) && stood_in == 1 && last_request == 41);
    answers = REFUSE;
    ask(42);
    CHECK(run(0, 1) && stood_in == 2 && last_request == 42);
    end();
    begin(LATE, "127.0.0.1:1");
    ask(43);
    CHECK(said == 1 && stood_in == 1 && last_request == 43);
    end();
    begin(LATE, "");
    ask(44);
    CHECK(said == 1 && stood_in == 1 && loads == 0);
    end();
}

static void
more_than_it_passes_on_is_answered_at_once(void)
{
    begin(SOON, NULL);
    CHECK(run(1, 0));
    answers = KEEP_SILENT;
    for (unsigned i = 0; i < REPORTER_PASSED + 10; i++)
        ask(i);
    CHECK(stood_in >= 10);
    CHECK(run(0, REPORTER_PASSED + 10 - said));
    CHECK(said == REPORTER_PASSED + 10 && stood_in == said);
    end();
}

static void
what_is_no_question_for_it_is_left_alone(void)
{
    begin(LATE, NULL);
    Rill__V1__StatusAsk ask_body = RILL__V1__STATUS_ASK__INIT;
    message_t message = MESSAGE(STATUS_ASK, status_ask, &ask_body, 1, 0);
    received_t received = { .message = &message };
    CHECK(!reporter_on_front(reporter, &received) && said == 0);
    end();
}

int
main(void)
{
    sockets_begin(64);
    CASE(the_director_hears_how_the_cache_is,
         "reporter 1: the director hears how the cache is, and that it leaves");
    CASE(a_question_is_passed_on_with_its_address,
         "reporter 2: a question is passed on with the terminal's address");
    CASE(a_cache_stands_in_for_a_director_that_does_not_answer,
         "reporter 2, invariant 19: a cache stands in for a director that is "
         "silent, away, new or not there");
    CASE(more_than_it_passes_on_is_answered_at_once,
         "reporter 3, invariant 18: what is too much is answered at once");
    CASE(what_is_no_question_for_it_is_left_alone,
         "what is no question for the director is left to others");
    return proof_end();
}
