#include "survey.h"

#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "proof.h"
#include "sockets.h"

enum { NODES = 4, FOR_EVER_MS = 60000, SOON_MS = 100 };

static zsock_t *fronts[NODES];
static char at[NODES][ENDPOINT_BYTES];

//  Nodes that this test plays; the last one has no address.
static survey_t *
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
    return survey_new(ats, NODES + 1);
}

static void
end(survey_t **survey_p)
{
    survey_destroy(survey_p);
    for (size_t i = 0; i < NODES; i++)
        zsock_destroy(&fronts[i]);
}

static void
ask_all(survey_t *survey)
{
    for (size_t i = 0; i <= NODES; i++) {
        Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
        message_t question = MESSAGE(STATUS_ASK, status_ask, &body, 0, 0);
        survey_ask(survey, i, &question);
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
    survey_t *survey = begin();
    ask_all(survey);
    answer(1, 0);
    answer(3, 0);
    millis_t begun = zclock_mono();
    survey_wait(survey, begun + SOON_MS);
    CHECK(zclock_mono() - begun >= SOON_MS);
    for (size_t i = 0; i <= NODES; i++) {
        message_t *said = survey_take(survey, i);
        CHECK(!said == (i != 1 && i != 3));
        CHECK(!said || said->report->term == i);
        message_free(&said);
        CHECK(!survey_take(survey, i));
    }
    end(&survey);
}

static void
an_answer_is_one_to_the_last_question(void)
{
    survey_t *survey = begin();
    ask_all(survey);
    ask_all(survey);
    for (size_t i = 0; i < NODES; i++) {
        answer(i, 0);  //  To the question before
        answer(i, 7);  //  To one that nobody asked
    }
    survey_wait(survey, zclock_mono() + SOON_MS);
    for (size_t i = 0; i < NODES; i++)
        CHECK(!survey_take(survey, i));
    ask_all(survey);
    for (size_t i = 0; i < NODES; i++)
        answer(i, 0);
    survey_wait(survey, zclock_mono() + FOR_EVER_MS);
    message_t *said = survey_take(survey, 2);
    CHECK(said && said->report->term == 2);
    message_free(&said);
    end(&survey);  //  And with it what was not taken
}

int
main(void)
{
    if (sockets_begin(64) != STATUS_OK)
        return 1;
    CASE(who_is_silent_costs_the_time_of_one,
         "survey 1: those who are silent cost the time of one");
    CASE(an_answer_is_one_to_the_last_question,
         "survey 2: an answer is one to the node's last question");
    return proof_end();
}
