#include "route.h"

#include "proof.h"

static void
what_is_old_goes_straight_up(void)
{
    route_case_t at = { .old = true,
                        .held = true,
                        .has = true,
                        .question = true,
                        .carried = true };
    CHECK(route_choose(&at) == ROUTE_STRAIGHT);
    at = (route_case_t){ .up = true, .held = true, .question = true };
    CHECK(route_choose(&at) == ROUTE_STRAIGHT);
}

static void
a_sibling_is_never_sent_on(void)
{
    route_case_t at = {
        .from_side = true, .has = true, .question = true, .carried = true
    };
    CHECK(route_choose(&at) == ROUTE_NOWHERE);
    at.old = true;
    CHECK(route_choose(&at) == ROUTE_NOWHERE);
    at = (route_case_t){ .from_side = true, .held = true };
    CHECK(route_choose(&at) == ROUTE_HERE);
}

static void
here_then_beside_then_above(void)
{
    route_case_t at = { .held = true, .has = true };
    CHECK(route_choose(&at) == ROUTE_HERE);
    at.held = false;
    CHECK(route_choose(&at) == ROUTE_SIDE);
    at = (route_case_t){ .carried = true, .question = true };
    CHECK(route_choose(&at) == ROUTE_SIDE);
    at = (route_case_t){ .question = true };
    CHECK(route_choose(&at) == ROUTE_QUESTION);
    at = (route_case_t){
        .tried = true, .has = true, .carried = true, .question = true
    };
    CHECK(route_choose(&at) == ROUTE_UPWARD);
    at = (route_case_t){ 0 };
    CHECK(route_choose(&at) == ROUTE_UPWARD);
}

int
main(void)
{
    CASE(what_is_old_goes_straight_up,
         "route 1, invariant 13: what is older than the window goes straight "
         "up, held or not");
    CASE(a_sibling_is_never_sent_on,
         "route 2, invariant 17: what a sibling asks for is held, or a miss");
    CASE(here_then_beside_then_above,
         "route 3: first here, then beside, then above");
    return proof_end();
}
