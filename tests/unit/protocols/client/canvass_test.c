#include "canvass.h"

#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "proof.h"
#include "sockets.h"

enum { NODES = 4, FOR_EVER_MS = 60000, SOON_MS = 100 };

static zsock_t *fronts[NODES];
static char at[NODES][ENDPOINT_BYTES];

//  Nodes that this test plays; the last one has no address.
static canvass_t *
begin(void)
{
    const char *ats[NODES + 1];
    for (size_t i = 0; i < NODES; i++) {
        char bound[ENDPOINT_BYTES];
        CHECK(sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &fronts[i]) ==
              STATUS_OK);
        sockets_bound(fronts[i], bound);
        snprintf(at[i], sizeof at[i], "%s", bound + strlen("tcp://"));
        ats[i] = at[i];
    }
    ats[NODES] = "nowhere";
    return canvass_new(ats, NODES + 1);
}

static void
end(canvass_t **canvass_p)
{
    canvass_destroy(canvass_p);
    for (size_t i = 0; i < NODES; i++)
        zsock_destroy(&fronts[i]);
}

static void
ask_all(canvass_t *canvass)
{
    for (size_t i = 0; i <= NODES; i++) {
        Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
        message_t question = MESSAGE(STATUS_ASK, status_ask, &body, 0, 0);
        canvass_ask(canvass, i, &question);
    }
}

//  A node hears its next question and answers it, so many requests off.
static void
answer(size_t nth, uint64_t off)
{
    received_t received;
    zmq_pollitem_t item = { .socket = zsock_resolve(fronts[nth]),
                            .events = ZMQ_POLLIN };
    CHECK(zmq_poll(&item, 1, FOR_EVER_MS) == 1);
    CHECK(frames_receive(fronts[nth], &received) == STATUS_OK);
    Rill__V1__Report body = RILL__V1__REPORT__INIT;
    body.term = nth + off;
    message_t message = MESSAGE(REPORT, report, &body, received.request - off,
                                0);
    CHECK(frames_send(fronts[nth], &received.peer, &message, NULL) ==
          STATUS_OK);
    frames_release(&received);
}

static void
who_is_silent_costs_the_time_of_one(void)
{
    canvass_t *canvass = begin();
    ask_all(canvass);
    answer(1, 0);
    answer(3, 0);
    millis_t begun = zclock_mono();
    canvass_wait(canvass, begun + SOON_MS);
    CHECK(zclock_mono() - begun >= SOON_MS);
    for (size_t i = 0; i <= NODES; i++) {
        message_t *said = canvass_take(canvass, i);
        CHECK(!said == (i != 1 && i != 3));
        CHECK(!said || said->report->term == i);
        message_free(&said);
        CHECK(!canvass_take(canvass, i));
    }
    end(&canvass);
}

static void
an_answer_is_one_to_the_last_question(void)
{
    canvass_t *canvass = begin();
    ask_all(canvass);
    ask_all(canvass);
    for (size_t i = 0; i < NODES; i++) {
        answer(i, 0);  //  To the question before
        answer(i, 7);  //  To one that nobody asked
    }
    canvass_wait(canvass, zclock_mono() + SOON_MS);
    for (size_t i = 0; i < NODES; i++)
        CHECK(!canvass_take(canvass, i));
    ask_all(canvass);
    for (size_t i = 0; i < NODES; i++)
        answer(i, 0);
    canvass_wait(canvass, zclock_mono() + FOR_EVER_MS);
    message_t *said = canvass_take(canvass, 2);
    CHECK(said && said->report->term == 2);
    message_free(&said);
    end(&canvass);  //  And with it what was not taken
}

int
main(void)
{
    if (sockets_begin(64) != STATUS_OK)
        return 1;
    CASE(who_is_silent_costs_the_time_of_one,
         "canvass 1: those who are silent cost the time of one");
    CASE(an_answer_is_one_to_the_last_question,
         "canvass 2: an answer is one to the node's last question");
    return proof_end();
}
