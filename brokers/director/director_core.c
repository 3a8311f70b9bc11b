#include "director_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assign.h"
#include "census.h"
#include "invariant.h"
#include "sites.h"
#include "version.h"

enum {
    NOT_MOST = DIRECTOR_PLACES,  //  Names that a Where may exclude
    NODES_TOLD = 64,             //  In one Report
    TEXT_BYTES = 256,
};

struct director_core {
    const settings_t *settings;
    const sink_t *sink;
    director_effects_t effects;
    void *with;
    census_t *census;
    sites_t *sites;
    bool *inner;  //  Of each cache: others hang on it
    assign_rule_t rules[ASSIGN_RULES];
    size_t rules_count;
    assign_place_t *places;  //  Room for all, used within a call
    millis_t began, awake;   //  From then on silence of caches says something
    millis_t now;            //  Of the event
    counters_t counters;
};

//  The place of a name in a list; its count: it is not there.
static size_t
place_in(const settings_list_t *list, const char *name)
{
    size_t place = 0;
    while (place < list->count && strcmp(list->items[place], name) != 0)
        place++;
    return place;
}

//  Whether some group hangs on a cache.
static bool
is_inner(const settings_t *settings, const char *name)
{
    for (size_t i = 0; i < settings->groups_count; i++)
        if (place_in(&settings->groups[i].parents, name) <
            settings->groups[i].parents.count)
            return true;
    return false;
}

director_core_t *
director_core_new(const settings_t *settings, const sink_t *sink,
                  const director_effects_t *effects, void *with, millis_t now)
{
    director_core_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    size_t count = settings->caches_count;
    millis_t lease = (millis_t)(DIRECTOR_LEASE_MS * settings->patience);
    self->settings = settings;
    self->sink = sink;
    self->effects = *effects;
    self->with = with;
    self->census = census_new(count, lease);
    self->sites = sites_new(settings);
    self->inner = calloc(count + 1, sizeof(*self->inner));
    self->places = calloc(count + 1, sizeof(*self->places));
    INVARIANT(self->inner && self->places);
    for (size_t i = 0; i < count; i++)
        self->inner[i] = is_inner(settings, settings->caches[i].node.name);
    const settings_list_t *rules = &settings->director.rules;
    INVARIANT(rules->count <= ASSIGN_RULES);
    for (size_t i = 0; i < rules->count; i++)
        self->rules[self->rules_count++] = assign_rule(rules->items[i]);
    self->began = now;
    self->awake = now + lease;
    return self;
}

void
director_core_destroy(director_core_t **self_p)
{
    director_core_t *self = *self_p;
    if (self) {
        census_destroy(&self->census);
        sites_destroy(&self->sites);
        free(self->inner);
        free(self->places);
    }
    free(self);
    *self_p = NULL;
}

static void
refuse(director_core_t *self, const peer_t *peer, uint64_t request,
       status_t status, const char *text)
{
    Rill__V1__Refused refused = message_refusal(status, text, 0);
    message_t message = MESSAGE(REFUSED, refused, &refused, request, 0);
    counters_up(&self->counters, COUNTER_requests_refused_total);
    self->effects.send(self->with, peer, &message);
}

/*---------------------------------------------------------------- reports */

//  The number of the cache of a name; caches_count: there is none.
static size_t
number_of(const settings_t *settings, const char *name)
{
    const settings_cache_t *cache = settings_cache(settings, name);
    return cache ? (size_t)(cache - settings->caches) : settings->caches_count;
}

static void
note_cache(director_core_t *self, const char *event, size_t cache)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof(text), "%s cache=%s live=%zu", event,
             self->settings->caches[cache].node.name,
             census_count(self->census));
    self->effects.note(self->with, text);
}

static void
on_load(director_core_t *self, const peer_t *peer, const message_t *message)
{
    const Rill__V1__Load *load = message->load;
    size_t cache = number_of(self->settings, load->node);
    if (cache == self->settings->caches_count) {
        char text[TEXT_BYTES];
        snprintf(text, sizeof(text),
                 "the cluster file has no cache \"%.63s\"; give the director "
                 "the same file",
                 load->node);
        refuse(self, peer, message->request, STATUS_ABSENT, text);
        return;
    }
    census_load_t told = { .incarnation = load->incarnation,
                           .seq = load->seq,
                           .sessions = load->sessions,
                           .out_bps = load->out_bps };
    counters_up(&self->counters, COUNTER_loads_total);
    if (load->leaving) {
        if (census_leave(self->census, cache, load->incarnation))
            note_cache(self, "cache_left", cache);
    } else if (census_report(self->census, cache, &told, self->now) ==
               CENSUS_CAME)
        note_cache(self, "cache_came", cache);
    Rill__V1__Loaded loaded = RILL__V1__LOADED__INIT;
    loaded.keep_ms = (uint32_t)(DIRECTOR_KEEP_MS * self->settings->patience);
    message_t answer = MESSAGE(LOADED, loaded, &loaded, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer);
}

/*----------------------------------------------------------------- offers */

//  An offer as it is built, on the stack.
typedef struct {
    Rill__V1__Offer offer;
    Rill__V1__Place places[DIRECTOR_PLACES];
    Rill__V1__Place *list[DIRECTOR_PLACES];
} offering_t;

static void
begin(offering_t *self, const char *node, const char *address)
{
    rill__v1__offer__init(&self->offer);
    self->offer.node = message_lend(node);
    self->offer.address = message_lend(address);
    self->offer.places = self->list;
}

static Rill__V1__Place *
add(offering_t *self, const settings_node_t *node,
    const settings_group_t *group)
{
    Rill__V1__Place *place = &self->places[self->offer.n_places];
    rill__v1__place__init(place);
    place->node = message_lend(node->name);
    place->at = message_lend(node->reach);
    if (group) {
        place->group = message_lend(group->name);
        place->tier = group->tier;
    }
    self->list[self->offer.n_places++] = place;
    return place;
}

static bool
is_excluded(const Rill__V1__Where *where, const char *name)
{
    for (size_t i = 0; i < where->n_not_ && i < NOT_MOST; i++)
        if (strcmp(where->not_[i], name) == 0)
            return true;
    return false;
}

//  A cache as the rules see it.
static assign_place_t
view(const director_core_t *self, const Rill__V1__Where *where, size_t cache,
     const network_t *address)
{
    const char *name = self->settings->caches[cache].node.name;
    return (assign_place_t){
        .number = cache,
        .inner = self->inner[cache],
        .near = address ? sites_near(self->sites, cache, address) : 0,
        .sessions = census_sessions(self->census, cache),
        .out_bps = census_out_bps(self->census, cache),
        .preferred = place_in(&self->settings->director.preferred, name),
        .lot = *where->name ? assign_lot(where->name, name) : 0,
    };
}

//  Collect what may be offered, and rank it. What a terminal excludes comes
//  only when there is nothing else.
static size_t
rank(director_core_t *self, const Rill__V1__Where *where,
     const network_t *address)
{
    size_t count = 0;
    for (int all = 0; all < 2 && count == 0; all++) {
        for (size_t i = 0; i < self->settings->caches_count; i++)
            if (census_lives(self->census, i) &&
                (all ||
                 !is_excluded(where, self->settings->caches[i].node.name)))
                self->places[count++] = view(self, where, i, address);
        if (strcmp(self->settings->director.origin, "last") == 0 &&
            (all || !is_excluded(where, self->settings->forwarder.node.name)))
            self->places[count++] = (assign_place_t){
                .number = self->settings->caches_count, .origin = true
            };
    }
    assign_rank(self->places, count, self->rules, self->rules_count);
    return count;
}

static void
send_offer(director_core_t *self, const peer_t *peer, const message_t *question,
           size_t count, const char *address)
{
    const settings_t *settings = self->settings;
    offering_t offering;
    begin(&offering, settings->director.node.name, address);
    for (size_t i = 0; i < count && i < DIRECTOR_PLACES; i++) {
        const assign_place_t *from = &self->places[i];
        const settings_cache_t *cache = from->origin
                                            ? NULL
                                            : &settings->caches[from->number];
        Rill__V1__Place *place = add(
            &offering, cache ? &cache->node : &settings->forwarder.node,
            cache ? settings_group(settings, cache->group) : NULL);
        place->rule = (Rill__V1__Rule)from->rule;
        place->near = from->near;
        place->sessions = from->sessions;
        place->out_bps = from->out_bps;
    }
    message_t answer = MESSAGE(OFFER, offer, &offering.offer, question->request,
                               question->trace);
    counters_up(&self->counters, COUNTER_offers_total);
    self->effects.send(self->with, peer, &answer);
}

//  As which address a terminal counts: as it says, else as it is seen.
static const char *
address_of(const Rill__V1__Where *where, const char *seen, network_t *address_r,
           bool *known_r)
{
    const char *text = *where->address ? where->address : seen;
    *known_r = network_parse(text, address_r);
    return *known_r ? text : "";
}

static void
on_where(director_core_t *self, const peer_t *peer, const char *seen,
         const message_t *message)
{
    const Rill__V1__Where *where = message->where;
    network_t address;
    bool known;
    const char *text = address_of(where, seen, &address, &known);
    counters_up(&self->counters, COUNTER_terminals_asked_total);
    if (*where->name && !chunk_name_legal(where->name)) {
        refuse(self, peer, message->request, STATUS_NAME, NULL);
        return;
    }
    if (*where->address && !known) {
        refuse(self, peer, message->request, STATUS_ARGUMENT,
               "what was said is no address in figures");
        return;
    }
    bool deaf = self->now < self->awake && self->settings->caches_count > 0 &&
                census_count(self->census) == 0;
    size_t count = deaf ? 0 : rank(self, where, known ? &address : NULL);
    if (count == 0) {
        refuse(self, peer, message->request, STATUS_BUSY,
               deaf ? "the director has just begun; no cache has reported yet"
                    : "no cache is up");
        return;
    }
    send_offer(self, peer, message, count, text);
    if (where->watch && !self->places[0].origin)
        census_send(self->census, self->places[0].number);
}

/*----------------------------------------------------------------- status */

typedef struct {
    Rill__V1__NodeReport bodies[NODES_TOLD];
    Rill__V1__NodeReport *list[NODES_TOLD];
} nodes_told_t;

//  Tell of the nth node of the tree: 0 is the origin, then come the caches.
static void
tell_node(const director_core_t *self, size_t nth, Rill__V1__NodeReport *body)
{
    const settings_t *settings = self->settings;
    const settings_cache_t *cache = nth ? &settings->caches[nth - 1] : NULL;
    const settings_node_t *node = cache ? &cache->node
                                        : &settings->forwarder.node;
    rill__v1__node_report__init(body);
    body->name = node->name;
    body->at = node->reach;
    body->offered = cache ? census_lives(self->census, nth - 1)
                          : strcmp(settings->director.origin, "last") == 0;
    if (!cache)
        return;
    const settings_group_t *group = settings_group(settings, cache->group);
    body->group = group->name;
    body->tier = group->tier;
    body->parents = group->parents.items;
    body->n_parents = group->parents.count;
}

//  The tree's nodes from a number on, as many as one message holds.
static void
tell_nodes(const director_core_t *self, uint64_t from, nodes_told_t *told,
           Rill__V1__Report *report)
{
    size_t all = self->settings->caches_count + 1;
    report->nodes = told->list;
    for (; from < all && report->n_nodes < NODES_TOLD; from++) {
        told->list[report->n_nodes] = &told->bodies[report->n_nodes];
        tell_node(self, (size_t)from, told->list[report->n_nodes++]);
    }
    report->next = from < all ? from : 0;
}

const char *
director_core_unready(const director_core_t *self, millis_t now)
{
    size_t live = census_count(self->census);
    if (live == self->settings->caches_count)
        return NULL;
    if (now < self->awake)
        return "it has just begun, and not every cache has reported yet";
    return live ? NULL : "no cache reports";
}

void
director_core_count(const director_core_t *self, counters_t *to)
{
    counters_add(to, &self->counters);
    to->values[COUNTER_caches_live] = census_count(self->census);
    to->values[COUNTER_caches_known] = self->settings->caches_count;
}

static void
on_status(director_core_t *self, const peer_t *peer, const message_t *message)
{
    counters_t counters = { 0 };
    counters_told_t counted;
    director_core_count(self, &counters);
    counters_tell(&counters, SETTINGS_DIRECTOR, &counted);
    Rill__V1__Report report = RILL__V1__REPORT__INIT;
    report.role = message_lend("director");
    report.node = self->settings->director.node.name;
    report.version = message_lend(RILL_VERSION);
    report.uptime_ms = self->now - self->began;
    report.n_counters = counted.count;
    report.counters = counted.list;
    sink_places(self->sink, &report);
    nodes_told_t told;
    tell_nodes(self, message->status_ask->from, &told, &report);
    message_t answer = MESSAGE(REPORT, report, &report, message->request,
                               message->trace);
    self->effects.send(self->with, peer, &answer);
}

/*----------------------------------------------------------------- events */

void
director_core_on_front(director_core_t *self, const peer_t *peer,
                       const char *address, const message_t *message,
                       millis_t now)
{
    self->now = now;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_LOAD:
        on_load(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_WHERE:
        on_where(self, peer, address, message);
        break;
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
        on_status(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:  //  Never answered, or two would
        break;                             //  refuse each other for ever
    default:
        refuse(self, peer, message->request, STATUS_KIND, NULL);
    }
}

void
director_core_on_bad(director_core_t *self, const peer_t *peer,
                     uint64_t request, status_t status)
{
    if (peer->size > 0)
        refuse(self, peer, request, status, NULL);
}

millis_t
director_core_due(const director_core_t *self)
{
    return census_due(self->census);
}

void
director_core_sweep(director_core_t *self, millis_t now)
{
    int lost;
    while ((lost = census_sweep(self->census, now)) >= 0)
        note_cache(self, "cache_lost", (size_t)lost);
}

void
director_core_stand_in(const settings_t *settings,
                       const settings_cache_t *cache,
                       const director_effects_t *effects, void *with,
                       const peer_t *peer, const message_t *where,
                       const char *address)
{
    const settings_group_t *group = settings_group(settings, cache->group);
    offering_t offering;
    begin(&offering, cache->node.name, address);
    add(&offering, &cache->node, group);
    const settings_cache_t *sibling;
    for (size_t i = 0; (sibling = settings_sibling(settings, group, i)) &&
                       offering.offer.n_places < DIRECTOR_PLACES;
         i++)
        if (sibling != cache)
            add(&offering, &sibling->node, group);
    for (size_t i = 0; i < offering.offer.n_places; i++)
        offering.places[i].rule = offering.offer.n_places > 1
                                      ? RILL__V1__RULE__RULE_ORDER
                                      : RILL__V1__RULE__RULE_ONLY;
    message_t answer = MESSAGE(OFFER, offer, &offering.offer, where->request,
                               where->trace);
    effects->send(with, peer, &answer);
}
