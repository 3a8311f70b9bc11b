#include "hops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "proof.h"

//  A request as one node tells it.
typedef struct {
    uint64_t trace;
    const char *node, *asker, *source;
    double ms, source_ms;
    uint64_t joined;
    uint64_t offset;
    const char *tried;
    double tried_ms;
} told_t;

static void
tell(hops_t *hops, const told_t *told, millis_t now)
{
    Rill__V1__Request body = RILL__V1__REQUEST__INIT;
    event_t event = RILL__V1__EVENT__INIT;
    body.asker = message_lend(told->asker ? told->asker : "");
    body.source = message_lend(told->source ? told->source : "");
    body.tried = message_lend(told->tried ? told->tried : "");
    body.tried_ms = told->tried_ms;
    body.ms = told->ms;
    body.source_ms = told->source_ms;
    body.joined = told->joined;
    body.offset = told->offset;
    event.node = message_lend(told->node);
    event.trace = told->trace;
    event.what_case = RILL__V1__EVENT__WHAT_REQUEST;
    event.request = &body;
    hops_add(hops, &event, now);
}

static void
ask_sibling(hops_t *hops, uint64_t trace, const char *node, millis_t now)
{
    Rill__V1__SiblingAsked body = RILL__V1__SIBLING_ASKED__INIT;
    event_t event = RILL__V1__EVENT__INIT;
    event.node = message_lend(node);
    event.trace = trace;
    event.what_case = RILL__V1__EVENT__WHAT_SIBLING_ASKED;
    event.sibling_asked = &body;
    hops_add(hops, &event, now);
}

//  "t1 >r1 >>origin": each hop with its depth, then what is slowest.
static void
expect(const hops_tree_t *tree, const char *wanted)
{
    char text[1024] = "";
    for (size_t i = 0; i < tree->count; i++) {
        const hop_t *hop = &tree->hops[i];
        if (i)
            strcat(text, " ");
        for (unsigned d = 0; d < hop->depth; d++)
            strcat(text, ">");
        strcat(text, hop->is_joined ? "*" : "");
        strcat(text, hop->is_tried ? "!" : "");
        strcat(text, hop->node);
        strcat(text, hop->is_request || hop->is_silent ? "" : "?");
        strcat(text, hop->is_silent ? "..." : "");
    }
    if (tree->is_partial)
        strcat(text, " partial");
    sprintf(text + strlen(text), "; %s %s %.0f", tree->is_way ? "way to" : "in",
            tree->hops[tree->slowest].node, tree->most_ms);
    if (strcmp(text, wanted) != 0)
        printf("# %s\n# %s\n", text, wanted);
    CHECK(strcmp(text, wanted) == 0);
}

//  A way through three tiers and a worker, on which r1 stood still.
static const told_t WAY[] = {
    { 1, "w3", NULL, NULL, 3, 0, 0, 0, NULL, 0 },
    { 1, "origin", "r1", "w3", 5, 4, 0, 0, NULL, 0 },
    { 1, "r1", "t1", "origin", 9, 7, 0, 0, NULL, 0 },
    { 1, "t1", NULL, "r1", 212, 210, 0, 0, NULL, 0 },
};
#define TREE "t1 >r1 >>origin >>>w3; way to r1 201"

static void
hops_are_put_together_in_any_order(void)
{
    int order[] = { 0, 1, 2, 3 };
    for (int turn = 0; turn < 24; turn++) {
        hops_t *hops = hops_new();
        hops_tree_t tree;
        int rest = turn, left[] = { 0, 1, 2, 3 };
        for (int i = 0; i < 4; i++) {
            int pick = rest % (4 - i);
            rest /= 4 - i;
            order[i] = left[pick];
            memmove(&left[pick], &left[pick + 1],
                    (size_t)(3 - pick) * sizeof *left);
            tell(hops, &WAY[order[i]], 1000 + i);
        }
        CHECK(!hops_take(hops, false, 1003, &tree));
        CHECK(hops_due(hops) <= 1003 + HOPS_WHOLE_MS);
        CHECK(hops_take(hops, false, 1003 + HOPS_WHOLE_MS, &tree));
        expect(&tree, TREE);
        CHECK(!hops_take(hops, true, 2000, &tree));
        hops_destroy(&hops);
    }
}

static void
what_is_missing_is_waited_for_and_told(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    tell(hops, &WAY[0], 1000);
    tell(hops, &WAY[1], 1000);
    tell(hops, &WAY[3], 1000);
    CHECK(!hops_take(hops, false, 1000 + HOPS_WAIT_MS - 1, &tree));
    CHECK(hops_take(hops, false, 1000 + HOPS_WAIT_MS, &tree));
    expect(&tree, "t1 >r1... partial; way to r1 210");
    CHECK(hops_take(hops, false, 1000 + HOPS_WAIT_MS, &tree));
    expect(&tree, "origin >w3; in w3 3");
    CHECK(!hops_take(hops, true, 4000, &tree));
    tell(hops, &WAY[2], 4000);  //  Too late: alone, and only once
    CHECK(hops_take(hops, true, 4000, &tree));
    expect(&tree, "r1; in r1 2");
    CHECK(!hops_take(hops, true, 99999, &tree));
    hops_destroy(&hops);
}

static void
who_was_tried_in_vain_is_named(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    told_t asker = WAY[3];
    asker.source_ms = 9;
    asker.tried = "t2";
    asker.tried_ms = 201;
    for (int i = 0; i < 3; i++)
        tell(hops, &WAY[i], 1000);
    tell(hops, &asker, 1000);
    CHECK(!hops_take(hops, false, 1000 + HOPS_WAIT_MS - 1, &tree));
    CHECK(hops_take(hops, false, 1000 + HOPS_WAIT_MS, &tree));
    expect(&tree, "t1 >!t2... >r1 >>origin >>>w3 partial; way to t2 201");
    hops_destroy(&hops);
    //  When it tells what it did meanwhile, it was not the one.
    hops = hops_new();
    for (int i = 0; i < 3; i++)
        tell(hops, &WAY[i], 50000);
    tell(hops, &asker, 50000);
    told_t tried = { 1, "t2", "t1", "r2", 202, 0, 0, 0, "r3", 198 };
    tell(hops, &tried, 50300);
    CHECK(hops_take(hops, true, 50300, &tree));
    expect(&tree, "t1 >r1 >>origin >>>w3 >!t2 >>!r3... partial; "
                  "way to r3 198");
    hops_destroy(&hops);
}

static void
what_a_session_asked_later_is_not_its_way(void)
{
    //  A locate is slow at the origin; then chunks are asked for, one by one.
    static const told_t TOLD[] = {
        { 1, "origin", NULL, "", 495, 0, 0, 0, NULL, 0 },
        { 1, "r1", NULL, "origin", 498, 497, 0, 0, NULL, 0 },
        { 1, "origin", "r1", "", 1, 0, 0, 5, NULL, 0 },
        { 1, "r1", "t1", "origin", 2, 1.5, 0, 5, NULL, 0 },
        { 1, "origin", "r1", "", 950, 0, 0, 6, NULL, 0 },
        { 1, "r1", "t1", "origin", 951, 950.5, 0, 6, NULL, 0 },
        { 1, "t1", NULL, "r1", 507, 499, 0, 0, NULL, 0 },
    };
    hops_t *hops = hops_new();
    hops_tree_t tree;
    for (size_t i = 0; i < 4; i++)
        tell(hops, &TOLD[i], 1000);
    tell(hops, &TOLD[6], 1000);
    CHECK(hops_take(hops, true, 1000, &tree));
    expect(&tree, "t1 >r1 >>origin >r1 >>origin; in origin 495");
    hops_destroy(&hops);
    hops = hops_new();  //  One that waited longer is not what was waited for
    for (size_t i = 0; i < 7; i++)
        tell(hops, &TOLD[i], 1000);
    CHECK(hops_take(hops, true, 1000, &tree));
    for (size_t i = 0; i < tree.count; i++)
        CHECK(strcmp(tree.hops[i].node, "r1") != 0 ||
              tree.hops[i].has_way == (tree.hops[i].event->request->ms == 498));
    hops_destroy(&hops);
}

static void
a_way_without_a_terminal_is_told_later(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    tell(hops, &WAY[1], 1000);
    CHECK(!hops_take(hops, false, 1000 + HOPS_ROOT_MS - 1, &tree));
    CHECK(hops_take(hops, false, 1000 + HOPS_ROOT_MS, &tree));
    expect(&tree, "origin >w3... partial; way to w3 4");
    hops_destroy(&hops);
}

static void
who_joined_has_the_others_way(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    static const told_t JOINED = { 2, "t1", NULL, "r1", 100, 0, 1, 0, NULL, 0 };
    tell(hops, &JOINED, 1000);
    for (int i = 0; i < 4; i++)
        tell(hops, &WAY[i], 1000);
    CHECK(hops_take(hops, false, 1000 + HOPS_WAIT_MS, &tree));
    const char *joined = "t1 >*r1 >>*origin >>>*w3; way to r1 201";
    bool is_joined = tree.hops[0].event->trace == 2;
    expect(&tree, is_joined ? joined : TREE);
    CHECK(hops_take(hops, false, 1000 + HOPS_WAIT_MS, &tree));
    expect(&tree, is_joined ? TREE : joined);
    //  One that joins what was told already
    static const told_t LATER = { 3, "t1", NULL, "", 50, 0, 1, 0, NULL, 0 };
    tell(hops, &LATER, 5000);
    CHECK(hops_take(hops, false, 5000 + HOPS_WHOLE_MS, &tree));
    expect(&tree, joined);
    //  What it joined is forgotten in the end
    CHECK(!hops_take(hops, false, 90000, &tree));
    tell(hops, &(told_t){ 4, "t1", NULL, "", 50, 0, 1, 0, NULL, 0 }, 90000);
    CHECK(hops_take(hops, false, 90000 + HOPS_WAIT_MS, &tree));
    expect(&tree, "t1 partial; in t1 0");
    hops_destroy(&hops);
}

static void
what_happened_to_it_stands_below_its_node(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    ask_sibling(hops, 1, "t1", 1000);
    ask_sibling(hops, 1, "nobody", 1000);
    ask_sibling(hops, 0, "t1", 1000);
    for (int i = 0; i < 4; i++)
        tell(hops, &WAY[i], 1000);
    CHECK(hops_take(hops, true, 1000, &tree));
    expect(&tree, "t1 >t1? >r1 >>origin >>>w3; way to r1 201");
    CHECK(!hops_take(hops, true, 1000, &tree));
    hops_destroy(&hops);
}

static void
several_requests_of_one_trace_are_several_trees(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    for (uint64_t offset = 0; offset < 3; offset++)
        for (int i = 0; i < 4; i++) {
            told_t told = WAY[i];
            told.offset = offset;
            tell(hops, &told, 1000);
        }
    for (uint64_t offset = 0; offset < 3; offset++) {
        CHECK(hops_take(hops, false, 1000 + HOPS_WHOLE_MS, &tree));
        expect(&tree, TREE);
        for (size_t i = 0; i < tree.count; i++)
            CHECK(tree.hops[i].event->request->offset == offset);
    }
    CHECK(!hops_take(hops, true, 9000, &tree));
    hops_destroy(&hops);
}

static bool
is_told(const hop_t *hop)
{
    return !hop->is_joined && !hop->is_silent;
}

static void
nonsense_ends_and_each_is_told_once(void)
{
    static const char *const NAMES[] = { "", "a", "b", "c" };
    uint64_t dice = 1;
    hops_t *hops = hops_new();
    hops_tree_t tree;
    size_t told = 0, shown = 0;
    for (int i = 0; i < 20000; i++) {
        told_t one = { 0 };
        uint64_t *parts[] = { &one.trace, &one.joined, &one.offset };
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = dice >> 20;
        for (size_t p = 0; p < 3; p++, bits >>= 3)
            *parts[p] = bits % 7;
        one.node = NAMES[bits % 4];
        one.asker = NAMES[bits / 4 % 4];
        one.source = NAMES[bits / 16 % 4];
        one.tried = NAMES[bits / 64 % 4];
        one.tried_ms = one.source_ms = (double)(bits / 256 % 9);
        one.ms = -(double)(bits % 100);
        told += one.trace != 0;
        tell(hops, &one, i);
        while (hops_take(hops, false, i, &tree))
            for (size_t h = 0; h < tree.count; h++)
                shown += is_told(&tree.hops[h]);
    }
    while (hops_take(hops, true, 20000, &tree))
        for (size_t h = 0; h < tree.count; h++)
            shown += is_told(&tree.hops[h]);
    CHECK(shown == told);
    hops_destroy(&hops);
}

static void
traces_are_bounded(void)
{
    hops_t *hops = hops_new();
    hops_tree_t tree;
    for (uint64_t i = 1; i <= HOPS_TRACES; i++) {
        tell(hops, &(told_t){ i, "t1", NULL, "r1", 1, 0, 0, 0, NULL, 0 }, 1000);
        CHECK(!hops_take(hops, false, 1000, &tree));
    }
    for (uint64_t i = 1; i <= 100; i++) {
        tell(hops, &(told_t){ i << 40, "t1", NULL, "r1", 1, 0, 0, 0, NULL, 0 },
             1001);
        //  The first of them makes room for itself, and is then forgotten.
        CHECK(hops_take(hops, false, 1001, &tree) == (i % 2 == 1));
        CHECK(i % 2 == 0 || tree.hops[0].event->trace <= HOPS_TRACES);
    }
    hops_destroy(&hops);
}

int
main(void)
{
    CASE(hops_are_put_together_in_any_order,
         "hops 1: a way is put together in whatever order its events come");
    CASE(what_is_missing_is_waited_for_and_told,
         "hops 1: what is missing is waited for, and told when it comes late");
    CASE(who_was_tried_in_vain_is_named,
         "who was asked and gave nothing is named, unless it says why");
    CASE(what_a_session_asked_later_is_not_its_way,
         "of several requests at one node the one that was waited for has the "
         "way to it");
    CASE(a_way_without_a_terminal_is_told_later,
         "a way that no terminal began is told, later");
    CASE(who_joined_has_the_others_way,
         "a request that joined another trace has the rest of its way there");
    CASE(what_happened_to_it_stands_below_its_node,
         "what else happened to a request stands below its node");
    CASE(several_requests_of_one_trace_are_several_trees,
         "hops 1: several requests of one trace are several trees");
    CASE(nonsense_ends_and_each_is_told_once,
         "hops 1: whatever nodes say each request is told once");
    CASE(traces_are_bounded, "hops 2, invariant 18: traces are bounded");
    return proof_end();
}
