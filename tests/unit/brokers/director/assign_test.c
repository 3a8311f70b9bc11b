#include "assign.h"

#include <stdlib.h>

#include "proof.h"

static const assign_rule_t ALL[] = { ASSIGN_NEAR, ASSIGN_LIGHT,
                                     ASSIGN_PREFERRED };

static void
the_first_rule_that_can_decides(void)
{
    assign_place_t places[] = {
        { .number = 0, .near = 16, .sessions = 0, .preferred = 0 },
        { .number = 1, .near = 24, .sessions = 9, .preferred = 2 },
        { .number = 2, .near = 24, .sessions = 9, .preferred = 1 },
        { .number = 3, .near = 24, .sessions = 2, .preferred = 2 },
    };
    assign_rank(places, 4, ALL, 3);
    static const size_t ORDER[] = { 3, 2, 1, 0 };
    static const assign_rule_t RULES[] = { ASSIGN_LIGHT, ASSIGN_PREFERRED,
                                           ASSIGN_NEAR, ASSIGN_NEAR };
    for (size_t i = 0; i < 4; i++)
        CHECK(places[i].number == ORDER[i] && places[i].rule == RULES[i]);
}

static void
the_order_of_the_rules_is_the_files(void)
{
    static const assign_rule_t LIGHT_FIRST[] = { ASSIGN_LIGHT, ASSIGN_NEAR };
    assign_place_t places[] = {
        { .number = 0, .near = 24, .sessions = 2 },
        { .number = 1, .near = 0, .sessions = 1 },
        { .number = 2, .near = 16, .sessions = 1 },
    };
    assign_rank(places, 3, LIGHT_FIRST, 2);
    CHECK(places[0].number == 2 && places[0].rule == ASSIGN_NEAR);
    CHECK(places[1].number == 1 && places[1].rule == ASSIGN_LIGHT);
    CHECK(places[2].number == 0 && places[2].rule == ASSIGN_LIGHT);
    assign_rank(places, 3, NULL, 0);
    for (size_t i = 0; i < 3; i++)
        CHECK(places[i].number == i && places[i].rule == ASSIGN_ORDER);
}

static void
of_as_many_terminals_the_fewer_bits_are_lighter(void)
{
    assign_place_t places[] = {
        { .number = 0, .sessions = 2, .out_bps = 8000000 },
        { .number = 1, .sessions = 2, .out_bps = 4000000 },
    };
    assign_rank(places, 2, ALL, 3);
    CHECK(places[0].number == 1 && places[0].rule == ASSIGN_LIGHT);
}

static void
the_origin_and_inner_caches_come_last(void)
{
    assign_place_t places[] = {
        { .number = 9, .origin = true, .near = 32 },
        { .number = 0, .inner = true, .near = 24 },
        { .number = 1, .sessions = 100 },
    };
    assign_rank(places, 3, ALL, 3);
    CHECK(places[0].number == 1 && places[0].rule == ASSIGN_EDGE);
    CHECK(places[1].number == 0 && places[1].rule == ASSIGN_ORIGIN);
    CHECK(places[2].origin && places[2].rule == ASSIGN_ORIGIN);
}

static void
equals_meet_by_their_stream(void)
{
    static const char *const CACHES[] = { "a1", "a2", "b1", "b2" };
    static const char *const STREAMS[] = { "cam1",  "cam2",  "cam3", "news",
                                           "sport", "stage", "hall", "gate" };
    unsigned firsts[4] = { 0 };
    for (size_t s = 0; s < 8; s++) {
        assign_place_t places[4];
        for (size_t i = 0; i < 4; i++)
            places[i] = (assign_place_t){
                .number = i, .lot = assign_lot(STREAMS[s], CACHES[i])
            };
        assign_rank(places, 4, ALL, 3);
        CHECK(places[0].rule == ASSIGN_STREAM);
        firsts[places[0].number]++;
    }
    for (size_t i = 0; i < 4; i++)
        CHECK(firsts[i] < 6);
}

static void
nobody_is_left_out_and_the_order_is_total(void)
{
    srand(5);
    for (int turn = 0; turn < 200; turn++) {
        assign_place_t places[20], again[20];
        for (size_t i = 0; i < 20; i++)
            places[i] = (assign_place_t){ .number = i,
                                          .inner = rand() % 2,
                                          .near = (unsigned)rand() % 3 * 8,
                                          .sessions = (unsigned)rand() % 3,
                                          .preferred = (unsigned)rand() % 3 };
        for (size_t i = 0; i < 20; i++)
            again[i] = places[19 - i];
        assign_rank(places, 20, ALL, 3);
        assign_rank(again, 20, ALL, 3);
        unsigned seen = 0;
        for (size_t i = 0; i < 20; i++) {
            CHECK(places[i].number == again[i].number);
            seen |= 1u << places[i].number;
        }
        CHECK(seen == (1u << 20) - 1);
    }
}

static void
one_alone_is_the_only_one(void)
{
    assign_place_t place = { .number = 4 };
    assign_rank(&place, 1, ALL, 3);
    CHECK(place.rule == ASSIGN_ONLY);
    assign_rank(&place, 0, ALL, 3);
}

static void
rules_are_known_by_name(void)
{
    CHECK(assign_rule("near") == ASSIGN_NEAR);
    CHECK(assign_rule("light") == ASSIGN_LIGHT);
    CHECK(assign_rule("preferred") == ASSIGN_PREFERRED);
    CHECK(assign_rule("far") == 0);
}

int
main(void)
{
    CASE(the_first_rule_that_can_decides,
         "assign 1: the first rule that tells two apart decides, and is said");
    CASE(the_order_of_the_rules_is_the_files,
         "assign 1: the rules' order is the cluster file's");
    CASE(of_as_many_terminals_the_fewer_bits_are_lighter,
         "assign 1: of as many terminals the fewer bits are lighter");
    CASE(the_origin_and_inner_caches_come_last,
         "assign 2: inner caches come behind the edge, the origin last");
    CASE(equals_meet_by_their_stream,
         "equals are chosen by the stream, and not all the same");
    CASE(nobody_is_left_out_and_the_order_is_total,
         "assign 3: nobody is left out, the order depends on values only");
    CASE(one_alone_is_the_only_one, "one alone is the only one");
    CASE(rules_are_known_by_name, "rules are known by their names");
    return proof_end();
}
