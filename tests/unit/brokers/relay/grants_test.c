#include "grants.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"

enum { STREAM = 5, LEASE = 2000 };

static grants_t *grants;
static const grant_t *grant, *other;
static uint64_t topics;

static grants_answer_t
keep(const char *node, uint64_t incarnation, const char * not, millis_t now)
{
    static const peer_t PEER = { .size = 1, .bytes = { 7 } };
    grants_child_t child = { node, "town", incarnation, &PEER };
    char *accused[] = { (char *)(uintptr_t) not };
    return grants_keep(grants, STREAM, &child, 0, 100, accused, not != NULL,
                       ++topics, now, &grant, &other);
}

static void
begin(void)
{
    grants_destroy(&grants);
    grants = grants_new(LEASE);
}

static void
one_of_a_group_gets_it(void)
{
    begin();
    CHECK(keep("a", 1, NULL, 0) == GRANTS_GRANT && !other);
    uint64_t topic = grant->topic, number = grant->number;
    CHECK(keep("b", 1, NULL, 10) == GRANTS_TAKEN);
    CHECK(strcmp(other->node, "a") == 0 && !grant);
    CHECK(keep("a", 1, NULL, 500) == GRANTS_GRANT);
    CHECK(grant->topic == topic && grant->number == number);
    CHECK(grants_of(grants, STREAM) == 1);
    //  Another group has one of its own.
    static const peer_t PEER = { .size = 1, .bytes = { 8 } };
    grants_child_t child = { "x", "other", 1, &PEER };
    CHECK(grants_keep(grants, STREAM, &child, 0, 0, NULL, 0, 99, 500, &grant,
                      &other) == GRANTS_GRANT);
    CHECK(grants_count(grants) == 2);
}

static void
who_accuses_becomes_the_newest(void)
{
    begin();
    CHECK(keep("a", 1, NULL, 0) == GRANTS_GRANT);
    uint64_t first = grant->number;
    CHECK(keep("b", 1, "a", 100) == GRANTS_GRANT);
    CHECK(grant->number > first && grant->topic != 1);
    //  The older one hears of the newer, and a third of it alone.
    CHECK(keep("a", 1, NULL, 200) == GRANTS_GRANT);
    CHECK(other && strcmp(other->node, "b") == 0);
    CHECK(keep("c", 1, NULL, 300) == GRANTS_TAKEN);
    CHECK(strcmp(other->node, "b") == 0);
    CHECK(keep("a", 1, "b", 400) == GRANTS_GRANT && !other);
}

static void
a_grant_ends_with_its_lease_and_its_holder(void)
{
    begin();
    CHECK(keep("a", 1, NULL, 0) == GRANTS_GRANT);
    CHECK(grants_due(grants) <= LEASE);
    CHECK(keep("b", 1, NULL, LEASE - 1) == GRANTS_TAKEN);
    CHECK(keep("b", 1, NULL, LEASE) == GRANTS_GRANT);
    CHECK(grants_of(grants, STREAM) == 1);
    uint64_t topic = grant->topic;
    CHECK(keep("b", 2, NULL, LEASE + 1) == GRANTS_GRANT);
    CHECK(grant->topic != topic && grants_of(grants, STREAM) == 1);
    grants_sweep(grants, 3 * LEASE);
    CHECK(grants_count(grants) == 0 && grants_due(grants) == MILLIS_NEVER);
}

static void
what_is_not_listed_is_over(void)
{
    static const peer_t PEER = { .size = 1, .bytes = { 7 } };
    grants_child_t child = { "a", "town", 1, &PEER };
    begin();
    CHECK(keep("a", 1, NULL, 0) == GRANTS_GRANT);
    grants_list(grants);
    CHECK(keep("a", 1, NULL, 10) == GRANTS_GRANT);
    grants_listed(grants, &child);
    CHECK(grants_of(grants, STREAM) == 1);
    grants_list(grants);
    grants_listed(grants, &child);
    CHECK(grants_of(grants, STREAM) == 0);
}

static void
the_holder_of_a_byte_is_told(void)
{
    begin();
    char *accused[] = { "a" };
    CHECK(keep("a", 1, NULL, 0) == GRANTS_GRANT);
    CHECK(!grants_holder(grants, STREAM, "town", "b", 99, NULL, 0, 1));
    CHECK(strcmp(grants_holder(grants, STREAM, "town", "b", 100, NULL, 0, 1),
                 "a") == 0);
    CHECK(!grants_holder(grants, STREAM, "town", "a", 100, NULL, 0, 1));
    CHECK(!grants_holder(grants, STREAM, "town", "b", 100, accused, 1, 1));
    CHECK(!grants_holder(grants, STREAM, "other", "b", 100, NULL, 0, 1));
    CHECK(!grants_holder(grants, STREAM, "town", "b", 100, NULL, 0, LEASE));
}

static void
grants_are_bounded(void)
{
    static const peer_t PEER = { .size = 1, .bytes = { 7 } };
    begin();
    char name[32];
    for (unsigned i = 0; i <= GRANTS_MOST; i++) {
        snprintf(name, sizeof name, "n%u", i);
        grants_child_t child = { "a", name, 1, &PEER };
        CHECK(grants_keep(grants, i, &child, 0, 0, NULL, 0, i, 0, &grant,
                          &other) ==
              (i < GRANTS_MOST ? GRANTS_GRANT : GRANTS_BUSY));
    }
    CHECK(grants_count(grants) == GRANTS_MOST);
    grants_forget(grants, 3);
    CHECK(grants_count(grants) == GRANTS_MOST - 1);
    grants_destroy(&grants);
}

int
main(void)
{
    CASE(one_of_a_group_gets_it,
         "grants 1, invariant 14: one of a group is granted a stream, the "
         "others hear who it is");
    CASE(who_accuses_becomes_the_newest,
         "grants 1: who accuses the holder is granted it too, as the newest");
    CASE(a_grant_ends_with_its_lease_and_its_holder,
         "grants 2: a grant ends with its lease, and with its holder's life");
    CASE(what_is_not_listed_is_over,
         "grants 2: what a child does not list any more it does not hold");
    CASE(the_holder_of_a_byte_is_told,
         "invariant 14: who asks for what is published to a sibling hears it");
    CASE(grants_are_bounded, "grants 3, invariant 18: grants are bounded");
    return proof_end();
}
