#include "breaker.h"

#include "buffer.h"
#include "proof.h"

#define MB ((size_t)1 << 20)

enum { SOCKETS = 2 };

static breaker_rule_t
fresh(void)
{
    return (breaker_rule_t){ .allowed = 100 * MB };
}

static void
nothing_is_closed_below_the_allowance(void)
{
    breaker_rule_t rule = fresh();
    for (millis_t now = 0; now < 10000; now += 100)
        CHECK(breaker_judge(&rule, 100 * MB, SOCKETS, now) == BREAKER_NONE);
}

static void
one_after_the_other_is_closed_until_it_is_given_back(void)
{
    breaker_rule_t rule = fresh();
    CHECK(breaker_judge(&rule, 101 * MB, SOCKETS, 0) == 0);
    CHECK(breaker_judge(&rule, 200 * MB, SOCKETS, 100) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 300 * MB, SOCKETS, 1000) == 1);
    CHECK(breaker_judge(&rule, 5 * MB, SOCKETS, 1100) == BREAKER_NONE);
    //  Filled again: from the first on.
    CHECK(breaker_judge(&rule, 101 * MB, SOCKETS, 1200) == 0);
    CHECK(breaker_judge(&rule, 5 * MB, SOCKETS, 1300) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 101 * MB, SOCKETS, 1400) == 0);
}

static void
what_no_closing_gives_back_is_allowed(void)
{
    breaker_rule_t rule = fresh();
    CHECK(breaker_judge(&rule, 300 * MB, SOCKETS, 0) == 0);
    CHECK(breaker_judge(&rule, 300 * MB, SOCKETS, 1000) == 1);
    for (millis_t now = 2000; now < 10000; now += 100)
        CHECK(breaker_judge(&rule, 300 * MB, SOCKETS, now) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 401 * MB, SOCKETS, 10000) == 0);
    //  As long as it is held, no longer.
    CHECK(breaker_judge(&rule, 50 * MB, SOCKETS, 11000) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 151 * MB, SOCKETS, 12000) == 0);
}

//  A sanitizer's allocator does not say what it gave.
static bool
allocator_tells(void)
{
    size_t before = breaker_stray();
    void *held = malloc(8 * MB);
    bool tells = breaker_stray() >= before + 8 * MB;
    free(held);
    return tells;
}

static void
what_a_buffer_holds_is_not_stray(void)
{
    if (!allocator_tells())
        return;
    size_t before = breaker_stray();
    buffer_t *held = buffer_new(32 * MB);
    buffer_t *part = buffer_slice(held, MB, 4 * MB);
    CHECK(breaker_stray() < before + MB);
    buffer_unref(&held);
    buffer_unref(&part);
    CHECK(breaker_stray() < before + MB);
}

int
main(void)
{
    CASE(nothing_is_closed_below_the_allowance,
         "breaker 1: nothing is closed for memory that is allowed");
    CASE(one_after_the_other_is_closed_until_it_is_given_back,
         "breaker 1: one socket after the other is closed until the memory is "
         "given back");
    CASE(what_no_closing_gives_back_is_allowed,
         "breaker 2: what closing all does not give back is allowed, as long "
         "as it is held");
    CASE(what_a_buffer_holds_is_not_stray,
         "breaker 1: what counted buffers hold is not stray");
    return proof_end();
}
