#include "director_core.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"

static const char FILE_TEXT[] =
    "cluster: d\n"
    "forwarder: {name: origin, at: 10.0.0.2:1, data: o}\n"
    "groups:\n"
    "  - {name: region, parents: origin, siblings: unicast,\n"
    "     site: 10.1.0.0/16}\n"
    "  - {name: a, parents: [r1, r2], siblings: unicast}\n"
    "  - {name: b, parents: r2, siblings: unicast, site: 10.9.0.0/16}\n"
    "caches:\n"
    "  - {name: r1, group: region, at: 10.1.0.2:1, data: r1}\n"
    "  - {name: r2, group: region, at: 10.1.0.3:1, data: r2}\n"
    "  - {name: a1, group: a, at: 10.2.0.2:1, data: a1}\n"
    "  - {name: a2, group: a, at: 10.2.0.3:1, data: a2}\n"
    "  - {name: b1, group: b, at: 10.3.0.2:1, data: b1,\n"
    "     site: [10.7.0.0/16, 10.3.4.0/24]}\n"
    "  - {name: b2, group: b, at: b2.lan:1, data: b2}\n";

static settings_t settings;
static director_core_t *core;

//  What the core said last.
static struct {
    unsigned count;
    status_t refused;
    char text[256];
    uint64_t request;
    char list[256];  //  "a1:near a2:order "
    char first_at[64], address[64], node[64];
    unsigned near, tier;
    uint64_t sessions, keep_ms;
    char nodes[512];  //  "origin/0 r1/1+ …": tier; +: it is offered
    unsigned nodes_count;
    uint64_t next;
    unsigned notes;
    char note[128];
} said;

static void
take_offer(const Rill__V1__Offer *offer)
{
    static const char *const RULES[] = { "?",      "only",      "near",
                                         "light",  "preferred", "edge",
                                         "origin", "stream",    "order" };
    for (size_t i = 0; i < offer->n_places; i++)
        snprintf(said.list + strlen(said.list),
                 sizeof(said.list) - strlen(said.list), "%s:%s ",
                 offer->places[i]->node, RULES[offer->places[i]->rule]);
    strcpy(said.first_at, offer->places[0]->at);
    strcpy(said.address, offer->address);
    strcpy(said.node, offer->node);
    said.near = offer->places[0]->near;
    said.tier = offer->places[0]->tier;
    said.sessions = offer->places[0]->sessions;
}

static void
take_nodes(const Rill__V1__Report *report)
{
    said.next = report->next;
    said.nodes_count = (unsigned)report->n_nodes;
    for (size_t i = 0; i < report->n_nodes; i++)
        snprintf(said.nodes + strlen(said.nodes),
                 sizeof(said.nodes) - strlen(said.nodes), "%s%s%s/%u%s ",
                 report->nodes[i]->name, *report->nodes[i]->group ? "@" : "",
                 report->nodes[i]->group, report->nodes[i]->tier,
                 report->nodes[i]->offered ? "+" : "");
}

static void
hear(void *with, const peer_t *peer, const message_t *message)
{
    (void)with;
    (void)peer;
    unsigned count = said.count + 1, notes = said.notes;
    char kept[128];
    strcpy(kept, said.note);
    memset(&said, 0, sizeof(said));
    said.count = count;
    said.notes = notes;
    strcpy(said.note, kept);
    said.request = message->request;
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        said.refused = (status_t)message->refused->status;
        snprintf(said.text, sizeof(said.text), "%s", message->refused->text);
    } else if (message->body_case == RILL__V1__MESSAGE__BODY_OFFER)
        take_offer(message->offer);
    else if (message->body_case == RILL__V1__MESSAGE__BODY_LOADED)
        said.keep_ms = message->loaded->keep_ms;
    else if (message->body_case == RILL__V1__MESSAGE__BODY_REPORT)
        take_nodes(message->report);
}

static void
hear_note(void *with, const char *text)
{
    (void)with;
    said.notes++;
    snprintf(said.note, sizeof(said.note), "%s", text);
}

static const director_effects_t EFFECTS = { .send = hear, .note = hear_note };
static const peer_t PEER = { .size = 1, .bytes = { 1 } };

static void
begin(const char *director)
{
    char text[2048], why[SETTINGS_WHY_BYTES] = "";
    snprintf(text, sizeof(text), "%sdirector: {at: \"10.0.0.3:1\"%s}\n",
             FILE_TEXT, director);
    director_core_destroy(&core);
    settings_free(&settings);
    memset(&said, 0, sizeof(said));
    status_t status = settings_parse("d.yml", text, strlen(text), &settings,
                                     why, sizeof(why));
    if (status != STATUS_OK)
        printf("# %s\n", why);
    CHECK(status == STATUS_OK);
    core = director_core_new(&settings, NULL, &EFFECTS, NULL, 0);
}

static void
load(const char *node, uint64_t seq, uint32_t sessions, millis_t now)
{
    Rill__V1__Load body = RILL__V1__LOAD__INIT;
    body.node = message_lend(node);
    body.incarnation = 1;
    body.seq = seq;
    body.sessions = sessions;
    message_t message = MESSAGE(LOAD, load, &body, 77, 0);
    director_core_on_front(core, &PEER, "10.2.0.2", &message, now);
}

static void
leave(const char *node, millis_t now)
{
    Rill__V1__Load body = RILL__V1__LOAD__INIT;
    body.node = message_lend(node);
    body.incarnation = 1;
    body.leaving = true;
    message_t message = MESSAGE(LOAD, load, &body, 77, 0);
    director_core_on_front(core, &PEER, "10.2.0.2", &message, now);
}

static void
load_all(millis_t now)
{
    static const char *const NODES[] = { "r1", "r2", "a1", "a2", "b1", "b2" };
    for (size_t i = 0; i < 6; i++)
        load(NODES[i], (uint64_t)now + 1, 0, now);
}

//  The list that a terminal at `address` is offered.
static const char *
where(const char *address, bool watch, millis_t now)
{
    Rill__V1__Where body = RILL__V1__WHERE__INIT;
    body.watch = watch;
    message_t message = MESSAGE(WHERE, where, &body, 5, 0);
    director_core_on_front(core, &PEER, address, &message, now);
    return said.list;
}

static void
near_is_the_longest_network_that_both_share(void)
{
    begin(", rules: near");
    load_all(0);
    CHECK(strcmp(where("10.2.0.99", false, 1),
                 "a1:order a2:near b1:order b2:edge r1:order r2:origin "
                 "origin:origin ") == 0);
    CHECK(said.near == 24 && said.tier == 2);
    CHECK(strcmp(said.first_at, "10.2.0.2:1") == 0);
    CHECK(strcmp(said.address, "10.2.0.99") == 0);
    CHECK(strcmp(said.node, "director") == 0);
    //  Its own site, its group's, its parents'.
    CHECK(strncmp(where("10.7.1.1", false, 1), "b1:near ", 8) == 0);
    CHECK(said.near == 16);
    CHECK(strncmp(where("10.3.4.9", false, 1), "b1:near ", 8) == 0);
    CHECK(said.near == 24);
    CHECK(strncmp(where("10.9.4.9", false, 1), "b2:near ", 8) == 0);
    CHECK(strncmp(where("10.1.77.1", false, 1), "a1:order a2:near b1", 19) ==
          0);
    CHECK(said.near == 16);
    CHECK(strncmp(where("fd00::1", false, 1), "a1:order a2:order b1", 20) == 0);
    CHECK(said.near == 0);
    CHECK(strncmp(where("", false, 1), "a1:order a2:order b1", 20) == 0);
    CHECK(*said.address == 0);
}

static void
an_address_may_be_said(void)
{
    begin(", rules: near");
    load_all(0);
    Rill__V1__Where body = RILL__V1__WHERE__INIT;
    body.address = message_lend("10.7.1.1");
    message_t message = MESSAGE(WHERE, where, &body, 5, 0);
    director_core_on_front(core, &PEER, "10.2.0.99", &message, 1);
    CHECK(strncmp(said.list, "b1:near ", 8) == 0);
    body.address = message_lend("a.lan");
    director_core_on_front(core, &PEER, "10.2.0.99", &message, 1);
    CHECK(said.refused == STATUS_ARGUMENT && said.request == 5);
}

static void
terminals_spread_over_what_is_light(void)
{
    begin(", rules: [near, light]");
    load_all(0);
    char first[6][3];
    for (int i = 0; i < 6; i++) {
        where("10.2.0.99", true, 1);
        snprintf(first[i], sizeof(first[i]), "%.2s", said.list);
    }
    for (int i = 0; i < 6; i++)
        CHECK(strcmp(first[i], i % 2 ? "a2" : "a1") == 0);
    //  A report takes the place of what was counted.
    load("a1", 100, 5, 10);
    load("a2", 100, 2, 10);
    CHECK(strncmp(where("10.2.0.99", true, 11), "a2:light a1:near", 16) == 0);
    CHECK(said.sessions == 2);
    where("10.2.0.99", false, 11);
    CHECK(said.sessions == 3);
    where("10.2.0.99", false, 11);
    CHECK(said.sessions == 3);
}

static void
what_the_file_prefers_comes_first(void)
{
    begin(", rules: [preferred, light], preferred: [b2, a2]");
    load_all(0);
    CHECK(strncmp(where("10.2.0.99", true, 1),
                  "b2:preferred a2:preferred a1:order b1:edge", 42) == 0);
    CHECK(strncmp(where("10.2.0.99", true, 1), "b2:preferred", 12) == 0);
}

static void
only_caches_that_live_are_offered(void)
{
    begin(", rules: near, origin: never");
    CHECK(*where("10.2.0.99", false, 0) == 0);
    CHECK(said.refused == STATUS_BUSY && strstr(said.text, "just begun"));
    load("a1", 1, 0, 10);
    CHECK(said.keep_ms == DIRECTOR_KEEP_MS && said.request == 77);
    CHECK(strcmp(said.note, "cache_came cache=a1 live=1") == 0);
    CHECK(strcmp(where("10.2.0.99", false, 20), "a1:only ") == 0);
    load("a2", 1, 0, 500);
    CHECK(strcmp(where("10.2.0.99", false, 501), "a1:order a2:order ") == 0);
    CHECK(director_core_due(core) == 10 + DIRECTOR_LEASE_MS);
    director_core_sweep(core, 10 + DIRECTOR_LEASE_MS);
    CHECK(strcmp(said.note, "cache_lost cache=a1 live=1") == 0);
    CHECK(strcmp(where("10.2.0.99", false, 3200), "a2:only ") == 0);
    leave("a2", 3300);
    CHECK(*where("10.2.0.99", false, 3300) == 0);
    CHECK(said.refused == STATUS_BUSY && strstr(said.text, "no cache is up"));
    CHECK(director_core_due(core) == MILLIS_NEVER);
}

static void
the_origin_is_offered_last_where_that_is_allowed(void)
{
    begin("");
    CHECK(*where("10.2.0.99", false, DIRECTOR_LEASE_MS - 1) == 0);
    CHECK(said.refused == STATUS_BUSY);
    CHECK(strcmp(where("10.2.0.99", true, DIRECTOR_LEASE_MS), "origin:only ") ==
          0);
    CHECK(said.tier == 0 && strcmp(said.first_at, "10.0.0.2:1") == 0);
    load("r1", 1, 0, 4000);
    CHECK(strcmp(where("10.2.0.99", true, 4000), "r1:origin origin:origin ") ==
          0);
}

static void
what_did_not_answer_is_left_out(void)
{
    begin(", rules: near, origin: never");
    load("a1", 1, 0, 0);
    load("a2", 1, 0, 0);
    char * not [] = { message_lend("a1"), message_lend("a2") };
    Rill__V1__Where body = RILL__V1__WHERE__INIT;
    body.not_ = not ;
    body.n_not_ = 1;
    message_t message = MESSAGE(WHERE, where, &body, 5, 0);
    director_core_on_front(core, &PEER, "10.2.0.9", &message, 1);
    CHECK(strcmp(said.list, "a2:only ") == 0);
    body.n_not_ = 2;  //  Better those than nobody
    director_core_on_front(core, &PEER, "10.2.0.9", &message, 1);
    CHECK(strcmp(said.list, "a1:order a2:order ") == 0);
}

static void
strangers_change_nothing(void)
{
    begin("");
    load("evil", 1, 0, 0);
    CHECK(said.refused == STATUS_ABSENT && strstr(said.text, "\"evil\""));
    load("origin", 1, 0, 0);
    CHECK(said.refused == STATUS_ABSENT && said.notes == 0);
    Rill__V1__Where body = RILL__V1__WHERE__INIT;
    body.name = message_lend("a b");
    message_t message = MESSAGE(WHERE, where, &body, 5, 0);
    director_core_on_front(core, &PEER, "", &message, 0);
    CHECK(said.refused == STATUS_NAME);
}

static void
ask_status(uint64_t from)
{
    Rill__V1__StatusAsk ask = RILL__V1__STATUS_ASK__INIT;
    ask.from = from;
    message_t status = MESSAGE(STATUS_ASK, status_ask, &ask, 9, 0);
    director_core_on_front(core, &PEER, "", &status, 0);
}

static void
it_names_the_trees_nodes(void)
{
    begin(", origin: never");
    load("a2", 1, 0, 0);
    ask_status(0);
    CHECK(strcmp(said.nodes, "origin/0 r1@region/1 r2@region/1 a1@a/2 a2@a/2+ "
                             "b1@b/2 b2@b/2 ") == 0);
    CHECK(said.next == 0);
    ask_status(5);
    CHECK(strcmp(said.nodes, "b1@b/2 b2@b/2 ") == 0);
    ask_status(UINT64_MAX);
    CHECK(said.nodes_count == 0 && said.next == 0);
}

static void
every_question_is_answered(void)
{
    begin("");
    Rill__V1__StatusAsk ask = RILL__V1__STATUS_ASK__INIT;
    message_t status = MESSAGE(STATUS_ASK, status_ask, &ask, 9, 0);
    director_core_on_front(core, &PEER, "", &status, 0);
    CHECK(said.count == 1 && said.request == 9 && said.refused == STATUS_OK);
    Rill__V1__Describe describe = RILL__V1__DESCRIBE__INIT;
    message_t other = MESSAGE(DESCRIBE, describe, &describe, 10, 0);
    director_core_on_front(core, &PEER, "", &other, 0);
    CHECK(said.count == 2 && said.refused == STATUS_KIND);
    director_core_on_bad(core, &PEER, 11, STATUS_VERSION);
    CHECK(said.count == 3 && said.refused == STATUS_VERSION);
    CHECK(said.request == 11);
    director_core_on_bad(core, &(peer_t){ .size = 0 }, 0, STATUS_MALFORMED);
    Rill__V1__Refused refused = message_refusal(STATUS_KIND, NULL, 0);
    message_t no = MESSAGE(REFUSED, refused, &refused, 12, 0);
    director_core_on_front(core, &PEER, "", &no, 0);
    CHECK(said.count == 3);
}

static void
a_cache_stands_in_for_its_own_group(void)
{
    begin("");
    Rill__V1__Where body = RILL__V1__WHERE__INIT;
    message_t message = MESSAGE(WHERE, where, &body, 5, 0);
    director_core_stand_in(&settings, settings_cache(&settings, "a2"), &EFFECTS,
                           NULL, &PEER, &message, "10.2.0.9");
    CHECK(strcmp(said.list, "a2:order a1:order ") == 0 && said.request == 5);
    CHECK(strcmp(said.node, "a2") == 0);
}

int
main(void)
{
    CASE(near_is_the_longest_network_that_both_share,
         "near is the longest network of cache, group or parent, or its LAN");
    CASE(an_address_may_be_said, "a terminal may say its address");
    CASE(terminals_spread_over_what_is_light,
         "terminals spread over what is light, also between two reports");
    CASE(what_the_file_prefers_comes_first, "what the file prefers is first");
    CASE(only_caches_that_live_are_offered,
         "director_core 2 and 4: only caches that live are offered");
    CASE(the_origin_is_offered_last_where_that_is_allowed,
         "director_core 4: the origin comes last, and not too early");
    CASE(what_did_not_answer_is_left_out,
         "who did not answer is left out while there is anybody else");
    CASE(strangers_change_nothing,
         "director_core 2 and 3: strangers change nothing and are told");
    CASE(it_names_the_trees_nodes,
         "it names the tree's nodes, their groups and tiers, and to which "
         "terminals are sent");
    CASE(every_question_is_answered,
         "director_core 1, invariant 19: every question is answered once");
    CASE(a_cache_stands_in_for_its_own_group,
         "a cache stands in for the director with its own group");
    director_core_destroy(&core);
    settings_free(&settings);
    return proof_end();
}
