#include "siblings.h"

#include "proof.h"

static const char *const NAMES[] = { "b", "c", "d" };
static siblings_t *siblings;
static int found;

static void
begin(void)
{
    siblings_destroy(&siblings);
    siblings = siblings_new("town", NAMES, 3);
}

static packet_t
said(const char *node, uint64_t incarnation, uint64_t counter)
{
    return (packet_t){ .type = PACKET_CARRY,
                       .group = packet_name("town"),
                       .node = packet_name(node),
                       .incarnation = incarnation,
                       .counter = counter };
}

static int
take(const char *node, uint64_t incarnation, uint64_t counter, millis_t now)
{
    packet_t packet = said(node, incarnation, counter);
    return siblings_take(siblings, &packet, now);
}

static void
a_packet_counts_once(void)
{
    begin();
    CHECK(take("c", 5, 10, 100) == 1);
    CHECK(take("c", 5, 10, 100) == -1);
    CHECK(take("c", 5, 12, 100) == 1);
    CHECK(take("c", 5, 11, 100) == 1);
    CHECK(take("c", 5, 11, 100) == -1);
    CHECK(take("c", 5, 200, 100) == 1);
    CHECK(take("c", 5, 137, 100) == 1);
    CHECK(take("c", 5, 136, 100) == -1);  //  Older than the last 64
    CHECK(take("c", 4, 999, 100) == -1);
    CHECK(take("c", 6, 1, 100) == 1);
    CHECK(take("x", 6, 1, 100) == -1);
    packet_t packet = said("b", 1, 1);
    packet.group = packet_name("village");
    CHECK(siblings_take(siblings, &packet, 100) == -1);
    CHECK(siblings_heard(siblings, 1, 100 + SIBLINGS_HEARD_MS - 1));
    CHECK(!siblings_heard(siblings, 1, 100 + SIBLINGS_HEARD_MS));
    CHECK(!siblings_heard(siblings, 0, 100));
}

static void
answer(int sibling, packet_type_t type, millis_t now)
{
    packet_t packet = { .type = type, .stream = 1, .from = 0 };
    siblings_answer(siblings, sibling, &packet, now);
}

static void
a_question_ends(void)
{
    begin();
    take("b", 1, 1, 0);
    take("c", 1, 1, 0);
    CHECK(siblings_ask(siblings, 1, 0, 10, &found) == SIBLINGS_ASK);
    CHECK(siblings_ask(siblings, 1, 0, 11, &found) == SIBLINGS_OPEN);
    CHECK(siblings_due(siblings) == 10 + SIBLINGS_WAIT_MS);
    answer(0, PACKET_NO, 11);
    CHECK(siblings_ask(siblings, 1, 0, 11, &found) == SIBLINGS_OPEN);
    answer(1, PACKET_YES, 12);
    CHECK(siblings_ask(siblings, 1, 0, 12, &found) == SIBLINGS_HAS);
    CHECK(found == 1 && siblings_due(siblings) == MILLIS_NEVER);
    answer(0, PACKET_YES, 12);  //  Too late to matter
    CHECK(siblings_ask(siblings, 1, 0, 13, &found) == SIBLINGS_HAS);
    CHECK(found == 1);
    CHECK(siblings_ask(siblings, 1, 0, 12 + SIBLINGS_REMEMBER_MS, &found) ==
          SIBLINGS_ASK);

    begin();
    take("b", 1, 1, 0);
    CHECK(siblings_ask(siblings, 1, 0, 10, &found) == SIBLINGS_ASK);
    answer(0, PACKET_NO, 11);  //  All that are heard of have said it
    CHECK(siblings_ask(siblings, 1, 0, 11, &found) == SIBLINGS_NONE);
    siblings_forget(siblings, 1, 0);
    CHECK(siblings_ask(siblings, 1, 0, 12, &found) == SIBLINGS_ASK);
    CHECK(siblings_ask(siblings, 1, 0, 12 + SIBLINGS_WAIT_MS, &found) ==
          SIBLINGS_NONE);
}

static void
a_question_ends_though_nobody_comes_back(void)
{
    begin();
    take("b", 1, 1, 0);
    CHECK(siblings_ask(siblings, 1, 0, 10, &found) == SIBLINGS_ASK);
    siblings_sweep(siblings, 9 + SIBLINGS_WAIT_MS);
    CHECK(siblings_due(siblings) == 10 + SIBLINGS_WAIT_MS);
    siblings_sweep(siblings, 10 + SIBLINGS_WAIT_MS);
    CHECK(siblings_due(siblings) == MILLIS_NEVER);
    siblings_destroy(&siblings);
}

static void
questions_are_bounded(void)
{
    begin();
    for (uint64_t i = 1; i <= 3 * SIBLINGS_QUESTIONS; i++)
        CHECK(siblings_ask(siblings, i, 0, (millis_t)i, &found) ==
              SIBLINGS_ASK);
    CHECK(siblings_ask(siblings, 3 * SIBLINGS_QUESTIONS, 0,
                       3 * SIBLINGS_QUESTIONS, &found) == SIBLINGS_OPEN);
    //  While all wait for their answers the next one is not asked.
    millis_t now = 4 * SIBLINGS_QUESTIONS;
    for (uint64_t i = 1; i <= SIBLINGS_QUESTIONS; i++)
        CHECK(siblings_ask(siblings, i, 1, now, &found) == SIBLINGS_ASK);
    CHECK(siblings_ask(siblings, 7, 2, now, &found) == SIBLINGS_NONE);
    for (uint64_t i = 1; i <= SIBLINGS_QUESTIONS; i++)
        CHECK(siblings_ask(siblings, i, 1, now, &found) == SIBLINGS_OPEN);
    siblings_destroy(&siblings);
}

int
main(void)
{
    CASE(a_packet_counts_once,
         "siblings 1: a packet counts once; strangers' and old ones are "
         "nothing");
    CASE(a_question_ends,
         "siblings 2: a question ends with a yes, with every no, or in time");
    CASE(a_question_ends_though_nobody_comes_back,
         "siblings 2: a question ends in time though its asker is gone");
    CASE(questions_are_bounded,
         "siblings 3, invariant 18: questions are bounded");
    return proof_end();
}
