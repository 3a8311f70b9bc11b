#include "listener.h"

#include <string.h>

#include "bounds.h"
#include "frames.h"
#include "invariant.h"
#include "losses.h"
#include "random.h"
#include "sockets.h"

enum {
    NAME_BYTES = 64,
    ROLE_BYTES = 16,
    ASK_AGAIN_MS = 500,    //  Who did not answer
    LIST_AGAIN_MS = 5000,  //  Who names others
    BURST = 256,           //  Of one node; then it is the turn of the others
    NODES_MOST = 4096,     //  That Reports may name
    SOCKETS = 3,           //  Of each node
    TOPIC_MOST = 256,
};

typedef struct {
    listener_node_t face;
    char name[NAME_BYTES], role[ROLE_BYTES], at[ENDPOINT_BYTES];
    bool wanted;
    bool lists;        //  Its Report names others: it is asked again and again
    zsock_t *ask;      //  DEALER; NULL: not now
    uint64_t request;  //  That is not answered; 0: none
    uint64_t from;     //  Where its Report goes on
    millis_t since;    //  Since when it does not answer
    millis_t ask_due;
    zsock_t *hear, *watch;  //  SUB; NULL: its tap is not known
    char tap_at[ENDPOINT_BYTES];
    millis_t heard_at;  //  When it last said something, or was connected
    size_t samples;     //  Since it was connected
    losses_t losses;
    uint64_t first[EVENTS_KINDS_MOST];  //  Number of the first one of a kind
} node_t;

struct listener {
    listener_settings_t settings;
    const listener_effects_t *effects;
    void *with;
    node_t **nodes;
    size_t count, size;
    uint64_t trace;  //  Of our questions: they are no news
    uint64_t request;
    zmq_pollitem_t *items;  //  Room for all sockets of all nodes
    millis_t due;           //  It meant to look again then; 0: not yet
};

static void
turn_to(listener_t *self, node_t *node, listener_state_t state)
{
    if (node->face.state == state)
        return;
    node->face.state = state;
    if (node->wanted && state != LISTENER_UNKNOWN)
        self->effects->turned(self->with, &node->face);
}

/*-------------------------------------------------------------------- nodes */

listener_t *
listener_new(const listener_settings_t *settings,
             const listener_effects_t *effects, void *with)
{
    listener_t *self = zmalloc(sizeof *self);
    *self = (listener_t){ .settings = *settings,
                          .effects = effects,
                          .with = with,
                          .trace = random_u64() | 1,
                          .request = random_u64() >> 1 };
    if (!self->settings.reach_ms)
        self->settings.reach_ms = LISTENER_REACH_MS;
    if (!self->settings.silent_ms)
        self->settings.silent_ms = LISTENER_SILENT_MS;
    return self;
}

static void
stop_hearing(node_t *node)
{
    if (!node->hear)
        return;
    sockets_unwatch(node->hear, &node->watch);
    sockets_drop(&node->hear);
    node->tap_at[0] = '\0';
}

static void
stop_asking(node_t *node)
{
    if (node->ask)
        sockets_drop(&node->ask);
    node->request = 0;
}

void
listener_destroy(listener_t **self_p)
{
    listener_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        stop_hearing(self->nodes[i]);
        stop_asking(self->nodes[i]);
        free(self->nodes[i]);
    }
    free(self->nodes);
    free(self->items);
    free(self);
}

static node_t *
find(const listener_t *self, const char *name, const char *at)
{
    for (size_t i = 0; i < self->count; i++)
        if ((*name && strcmp(self->nodes[i]->name, name) == 0) ||
            (*at && strcmp(self->nodes[i]->at, at) == 0))
            return self->nodes[i];
    return NULL;
}

//  Ask who is wanted, who may name others, and who may be either.
static void
decide(listener_t *self, node_t *node)
{
    bool known = *node->name && *node->role;
    node->wanted = !known || self->effects->wants(self->with, &node->face);
    node->lists = strcmp(node->role, "forwarder") == 0 ||
                  strcmp(node->role, "director") == 0;
}

void
listener_add(listener_t *self, const char *name, const char *role,
             const char *at)
{
    if (!*at || self->count == NODES_MOST || find(self, name, at))
        return;
    if (self->count == self->size) {
        self->size = 2 * self->size + 16;
        self->nodes = realloc(self->nodes, self->size * sizeof *self->nodes);
        self->items = realloc(self->items,
                              SOCKETS * self->size * sizeof *self->items);
        INVARIANT(self->nodes && self->items);
    }
    node_t *node = zmalloc(sizeof *node);
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->role, sizeof node->role, "%s", role);
    snprintf(node->at, sizeof node->at, "%s", at);
    node->face = (listener_node_t){ .name = node->name,
                                    .role = node->role,
                                    .at = node->at };
    node->since = zclock_mono();
    decide(self, node);
    self->nodes[self->count++] = node;
}

/*------------------------------------------------------------------ reports */

//  Subscribe to everything that is wanted of a node; a Sample comes at once,
//  behind what it told before.
static void
subscribe(listener_t *self, node_t *node)
{
    void *hear = zsock_resolve(node->hear);
    char topic[TOPIC_MOST];
    int begin = snprintf(topic, sizeof topic, "last.v1.%s.%s", node->role,
                         node->name);
    if (self->settings.last)
        zmq_setsockopt(hear, ZMQ_SUBSCRIBE, topic, (size_t)begin);
    begin = snprintf(topic, sizeof topic, "ev.v1.%s.%s.", node->role,
                     node->name);
    uint64_t all = UINT64_MAX >> (64 - events_kinds());
    if (self->settings.kinds == all)
        zmq_setsockopt(hear, ZMQ_SUBSCRIBE, topic, (size_t)begin);
    for (size_t kind = 0; kind < events_kinds() && self->settings.kinds != all;
         kind++) {
        if (!(self->settings.kinds >> kind & 1))
            continue;
        int size = snprintf(topic + begin, sizeof topic - (size_t)begin, "%s",
                            events_kind_name(kind));
        zmq_setsockopt(hear, ZMQ_SUBSCRIBE, topic, (size_t)(begin + size));
    }
    begin = snprintf(topic, sizeof topic, "st.v1.%s.%s", node->role,
                     node->name);
    zmq_setsockopt(hear, ZMQ_SUBSCRIBE, topic, (size_t)begin);
}

static void
begin_hearing(listener_t *self, node_t *node, const char *tap_at, millis_t now)
{
    char endpoint[ENDPOINT_BYTES];
    if (strcmp(node->tap_at, tap_at) == 0)
        return;
    stop_hearing(node);
    if (endpoint_parse(tap_at, endpoint) != STATUS_OK ||
        sockets_open_watched(SOCKET_LISTEN, endpoint, &node->hear,
                             &node->watch) != STATUS_OK) {
        turn_to(self, node, LISTENER_MUTE);
        return;
    }
    snprintf(node->tap_at, sizeof node->tap_at, "%s", tap_at);
    node->heard_at = now;
    node->samples = 0;
    memset(node->first, 0, sizeof node->first);
    subscribe(self, node);
}

static void
add_named(listener_t *self, const Rill__V1__Report *report)
{
    for (size_t i = 0; i < report->n_nodes; i++)
        listener_add(self, report->nodes[i]->name,
                     report->nodes[i]->tier ? "cache" : "forwarder",
                     report->nodes[i]->at);
    for (size_t i = 0; i < report->n_workers; i++)
        listener_add(self, report->workers[i]->name, "worker",
                     report->workers[i]->reach);
}

static void
on_report(listener_t *self, node_t *node, const Rill__V1__Report *report,
          millis_t now)
{
    node_t *other = find(self, report->node, "");
    bool is_twin = other && other != node && other->hear;
    if (other && other != node && !is_twin)
        other->wanted = other->lists = false;
    node->request = 0;
    node->since = now;
    if (!is_twin && strlen(report->node) < NAME_BYTES &&
        strlen(report->role) < ROLE_BYTES) {
        strcpy(node->name, report->node);
        strcpy(node->role, report->role);
        decide(self, node);
    }
    //  A node that is known by two addresses is heard by one.
    node->wanted = node->wanted && !is_twin;
    add_named(self, report);
    node->from = report->n_nodes ? report->next : 0;
    node->ask_due = node->from ? now : now + LIST_AGAIN_MS;
    if (node->wanted && *report->tap_at)
        begin_hearing(self, node, report->tap_at, now);
    else
        turn_to(self, node, LISTENER_MUTE);
}

//  Who names others is asked for ever, the others until they are heard: what
//  was said of a tap may have been the last word of one that has ended.
static bool
needs_asking(const node_t *node)
{
    bool is_heard = node->hear && node->face.state == LISTENER_HEARD;
    return node->lists || (node->wanted && !is_heard);
}

static void
ask(listener_t *self, node_t *node, millis_t now)
{
    char endpoint[ENDPOINT_BYTES];
    if (!node->ask &&
        (endpoint_parse(node->at, endpoint) != STATUS_OK ||
         sockets_open(SOCKET_ASK, endpoint, &node->ask) != STATUS_OK))
        return;
    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    body.from = node->from;
    message_t question = MESSAGE(STATUS_ASK, status_ask, &body, 0, self->trace);
    //  An answer that is late is an answer still.
    if (!node->request)
        node->request = ++self->request;
    question.request = node->request;
    (void)frames_send(node->ask, NULL, &question, NULL);
    node->ask_due = now + ASK_AGAIN_MS;
}

static void
hear_answers(listener_t *self, node_t *node, millis_t now)
{
    received_t received;
    status_t status;
    while (node->ask &&
           (status = frames_receive(node->ask, &received)) != STATUS_LATE) {
        if (status != STATUS_OK)
            continue;
        const message_t *message = received.message;
        if (node->request && message->request == node->request &&
            message->body_case == RILL__V1__MESSAGE__BODY_REPORT)
            on_report(self, node, message->report, now);
        frames_release(&received);
    }
}

/*------------------------------------------------------------------- events */

static void
count(listener_t *self, const node_t *node, size_t kind, uint64_t lost)
{
    if (lost > 0)
        self->effects->lost(self->with, &node->face, kind, lost);
}

static void
on_event(listener_t *self, node_t *node, const event_t *event, bool is_last)
{
    size_t kind = events_kind(event);
    if (kind == EVENTS_NO_KIND || !(self->settings.kinds >> kind & 1))
        return;
    uint64_t *first = &node->first[kind];
    if (!is_last) {
        *first = *first ? *first : event->seq;
        count(self, node, kind, losses_heard(&node->losses, kind, event->seq));
    } else if (node->samples > 1 || (*first && event->seq >= *first)) {
        return;  //  Told for another listener, or heard already
    }
    if (event->trace != self->trace)
        self->effects->event(self->with, event, is_last);
}

static void
on_sample(listener_t *self, node_t *node, const Rill__V1__Sample *sample)
{
    for (size_t kind = 0; kind < events_kinds(); kind++) {
        uint64_t told = 0;  //  What is not named was not told yet
        for (size_t i = 0; i < sample->n_told; i++)
            if (strcmp(sample->told[i]->kind, events_kind_name(kind)) == 0)
                told = sample->told[i]->seq;
        if (self->settings.kinds >> kind & 1)
            count(self, node, kind, losses_told(&node->losses, kind, told));
    }
    node->samples++;
    if (self->effects->sample)
        self->effects->sample(self->with, sample);
}

//  A message of a node: a topic, and a body.
static void
take(listener_t *self, node_t *node, zmq_msg_t *topic, zmq_msg_t *body)
{
    const char *name = zmq_msg_data(topic);
    size_t size = zmq_msg_size(topic);
    if (size > 3 && memcmp(name, "st.", 3) == 0) {
        Rill__V1__Sample *sample = rill__v1__sample__unpack(
            NULL, zmq_msg_size(body), zmq_msg_data(body));
        if (sample)
            on_sample(self, node, sample);
        rill__v1__sample__free_unpacked(sample, NULL);
        return;
    }
    bool is_last = size > 5 && memcmp(name, "last.", 5) == 0;
    event_t *event = events_unpack(zmq_msg_data(body), zmq_msg_size(body));
    if (event)
        on_event(self, node, event, is_last);
    events_free(&event);
}

//  The next part of a message; false: there is none.
static bool
receive(zsock_t *socket, zmq_msg_t *part)
{
    zmq_msg_init(part);
    if (zmq_msg_recv(part, zsock_resolve(socket), ZMQ_DONTWAIT) != -1)
        return true;
    zmq_msg_close(part);
    return false;
}

static void
hear(listener_t *self, node_t *node, millis_t now)
{
    zmq_msg_t topic, body, more;
    for (size_t i = 0; i < BURST && receive(node->hear, &topic); i++) {
        bool has_body = zmq_msg_more(&topic) && receive(node->hear, &body);
        if (has_body) {
            bool is_long = zmq_msg_more(&body);
            while (is_long && receive(node->hear, &more)) {
                is_long = zmq_msg_more(&more);
                zmq_msg_close(&more);
            }
            take(self, node, &topic, &body);
            node->heard_at = now;
            zmq_msg_close(&body);
        }
        zmq_msg_close(&topic);
    }
    if (node->samples > 0 && node->heard_at == now)
        turn_to(self, node, LISTENER_HEARD);
}

//  Whether its connection ended.
static bool
has_ended(node_t *node)
{
    int event;
    while ((event = sockets_watch_event(node->watch)) != 0)
        if (event < 0)
            return true;
    return false;
}

/*--------------------------------------------------------------------- turn */

static millis_t
look_after(listener_t *self, node_t *node, millis_t now)
{
    hear_answers(self, node, now);
    if (node->hear)
        hear(self, node, now);
    if (node->hear && has_ended(node)) {
        hear(self, node, now);  //  What it said before
        stop_hearing(node);
        node->since = now;
        node->ask_due = now;
        turn_to(self, node, LISTENER_GONE);
    }
    if (node->hear && now - node->heard_at >= self->settings.silent_ms)
        turn_to(self, node, LISTENER_SILENT);
    if (!needs_asking(node))
        stop_asking(node);
    else if (node->ask_due <= now)
        ask(self, node, now);
    if (!node->hear && now - node->since >= self->settings.reach_ms &&
        node->face.state == LISTENER_UNKNOWN)
        turn_to(self, node, LISTENER_ABSENT);
    return node->request || node->hear ? now + ASK_AGAIN_MS / 2
                                       : now + LIST_AGAIN_MS;
}

static size_t
list_sockets(const listener_t *self)
{
    size_t items = 0;
    for (size_t i = 0; i < self->count; i++) {
        zsock_t *sockets[SOCKETS] = { self->nodes[i]->ask, self->nodes[i]->hear,
                                      self->nodes[i]->watch };
        for (size_t s = 0; s < SOCKETS; s++)
            if (sockets[s])
                self->items[items++] = (zmq_pollitem_t){
                    .socket = zsock_resolve(sockets[s]), .events = ZMQ_POLLIN
                };
    }
    return items;
}

//  It was stopped, or its owner was busy: what nodes said meanwhile may be on
//  its way still.
static void
excuse(listener_t *self, millis_t now)
{
    millis_t late_ms = self->due ? now - self->due : 0;
    for (size_t i = 0; i < self->count && late_ms > 0; i++) {
        self->nodes[i]->heard_at += late_ms;
        self->nodes[i]->since += late_ms;
    }
}

void
listener_wait(listener_t *self, millis_t until)
{
    millis_t now = zclock_mono(), due = until;
    excuse(self, now);
    //  Nodes are added meanwhile.
    for (size_t i = 0; i < self->count; i++)
        due = millis_least(due, look_after(self, self->nodes[i], now));
    size_t items = list_sockets(self);
    self->due = due > now ? due : now;
    (void)zmq_poll(self->items, (int)items, due > now ? (long)(due - now) : 0);
}

bool
listener_settled(const listener_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const node_t *node = self->nodes[i];
        bool matters = node->wanted || node->lists;
        if ((matters && node->face.state == LISTENER_UNKNOWN) || node->from)
            return false;
    }
    return true;
}

const listener_node_t *
listener_nth(const listener_t *self, size_t nth, bool *wanted_r)
{
    if (nth >= self->count)
        return NULL;
    *wanted_r = self->nodes[nth]->wanted;
    return &self->nodes[nth]->face;
}
