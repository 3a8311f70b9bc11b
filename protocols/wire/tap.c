#include "tap.h"

#include <time.h>

#include "frames.h"
#include "invariant.h"
#include "version.h"

#define KINDS 64

enum {
    TOPIC_BYTES = 256,
    PAUSE_MS = 100,  //  Between what is told at once to who begins to listen
};

#define BIT(KIND) (UINT64_C(1) << RILL__V1__EVENT__WHAT_##KIND)

//  They are few, and worth hearing of afterwards.
#define RARE                                                                   \
    (BIT(SOURCE_OPENED) | BIT(SOURCE_ENDED) | BIT(WORKER_REGISTERED) |         \
     BIT(WORKER_LOST) | BIT(WORKER_FULL) | BIT(CARRIER_CLAIMED) |              \
     BIT(CARRIER_TOOK_OVER) | BIT(RETENTION_RAN))

//  What somebody subscribes to: the beginning of topics, any bytes.
typedef struct {
    size_t size;
    char bytes[TOPIC_BYTES];
} topic_t;

//  What is told to whoever begins to listen.
typedef struct {
    char topic[TOPIC_BYTES];
    bool asked;    //  Somebody began,
    millis_t may;  //  and is told no earlier than this
} news_t;

//  An event that waits for others: to wake libzmq's thread and a listener costs
//  as much as dozens of events.
typedef struct {
    event_kind_t kind;
    zmq_msg_t body;
} waiting_t;

struct tap {
    sink_t sink;
    zloop_t *loop;
    zsock_t *socket;  //  XPUB; NULL while it is bound again
    breaker_t *breaker;
    void (*flooded)(void *with);  //  Its owner's; NULL: it has none
    void *flooded_with;
    alarm_t *alarm;
    tap_place_t place;
    char at[ENDPOINT_BYTES];
    char begin[TOPIC_BYTES];  //  Of all events' topics
    tap_sample_fn *sample;
    void *with;
    requests_t *requests;
    news_t state, last;
    bool states;         //  Somebody listens to samples,
    millis_t sample_at;  //  and this is when the next one is told
    topic_t *topics;
    size_t count, room;
    uint64_t told[KINDS];        //  Events of each kind,
    zmq_msg_t topics_of[KINDS];  //  and what they are told under
    waiting_t waiting[TAP_WAITING];
    size_t waiting_count;
    millis_t waiting_until;  //  MILLIS_NEVER: nothing waits
    zmq_msg_t kept[TAP_LAST];
    size_t kept_count;  //  All told, the oldest were overwritten
    millis_t began;
};

/*-------------------------------------------------------------------- saying */

static micros_t
clock_of(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (micros_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static micros_t
clock_us(void *with)
{
    (void)with;
    return clock_of(CLOCK_MONOTONIC);
}

//  Takes both. Who has no room for them loses them.
static void
say(tap_t *self, zmq_msg_t *topic, zmq_msg_t *body)
{
    if (self->socket) {
        void *handle = zsock_resolve(self->socket);
        if (zmq_msg_send(topic, handle, ZMQ_SNDMORE | ZMQ_DONTWAIT) != -1 &&
            zmq_msg_send(body, handle, ZMQ_DONTWAIT) != -1)
            return;
    }
    zmq_msg_close(topic);
    zmq_msg_close(body);
}

//  What waited goes.
static void
flush(tap_t *self)
{
    for (size_t i = 0; i < self->waiting_count; i++) {
        waiting_t *next = &self->waiting[i];
        zmq_msg_t topic;
        zmq_msg_init(&topic);
        zmq_msg_copy(&topic, &self->topics_of[next->kind]);
        say(self, &topic, &next->body);
    }
    self->waiting_count = 0;
    self->waiting_until = MILLIS_NEVER;
}

//  At once, behind what happened before.
static void
say_now(tap_t *self, const char *topic, zmq_msg_t *body)
{
    zmq_msg_t begin;
    flush(self);
    zmq_msg_init_size(&begin, strlen(topic));
    memcpy(zmq_msg_data(&begin), topic, strlen(topic));
    say(self, &begin, body);
}

//  Empty where no kind has that number.
static const char *
kind_name(event_kind_t kind)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&rill__v1__event__descriptor,
                                                kind);
    return field ? field->name : "";
}

//  The last rare ones are kept; each is told of one memory.
static void
keep(tap_t *self, zmq_msg_t *body)
{
    zmq_msg_t *place = &self->kept[self->kept_count++ % TAP_LAST];
    zmq_msg_copy(place, body);
}

static void set_alarm(tap_t *self);

static void
tell(void *with, event_t *event)
{
    tap_t *self = with;
    event_kind_t kind = event->what_case;
    INVARIANT(kind < KINDS);
    if (self->waiting_count == TAP_WAITING)
        flush(self);
    waiting_t *place = &self->waiting[self->waiting_count++];
    place->kind = kind;
    event->seq = ++self->told[kind];
    event->at_us = clock_of(CLOCK_REALTIME);
    event->role = message_lend(self->place.role);
    event->node = message_lend(self->place.node);
    zmq_msg_init_size(&place->body, rill__v1__event__get_packed_size(event));
    rill__v1__event__pack(event, zmq_msg_data(&place->body));
    if (RARE >> kind & 1)
        keep(self, &place->body);
    if (self->waiting_count == 1) {
        self->waiting_until = zclock_mono() + TAP_WAIT_MS;
        set_alarm(self);
    }
}

static void
tell_last(tap_t *self)
{
    size_t i = self->kept_count > TAP_LAST ? self->kept_count - TAP_LAST : 0;
    for (; i < self->kept_count; i++) {
        zmq_msg_t body;
        zmq_msg_init(&body);
        zmq_msg_copy(&body, &self->kept[i % TAP_LAST]);
        say_now(self, self->last.topic, &body);
    }
}

void
tap_sample(tap_t *self, bool ready, Rill__V1__Counter **counters, size_t count)
{
    Rill__V1__Sample sample = RILL__V1__SAMPLE__INIT;
    Rill__V1__Told told[KINDS], *list[KINDS];
    for (event_kind_t kind = 0; kind < KINDS; kind++) {
        if (self->told[kind] == 0)
            continue;
        Rill__V1__Told *one = list[sample.n_told] = &told[sample.n_told];
        rill__v1__told__init(one);
        one->kind = message_lend(kind_name(kind));
        one->seq = self->told[kind];
        sample.n_told++;
    }
    sample.told = list;
    sample.at_us = clock_of(CLOCK_REALTIME);
    sample.role = message_lend(self->place.role);
    sample.node = message_lend(self->place.node);
    sample.version = message_lend(RILL_VERSION);
    sample.uptime_ms = zclock_mono() - self->began;
    sample.ready = ready;
    sample.counters = counters;
    sample.n_counters = count;
    zmq_msg_t body;
    zmq_msg_init_size(&body, rill__v1__sample__get_packed_size(&sample));
    rill__v1__sample__pack(&sample, zmq_msg_data(&body));
    say_now(self, self->state.topic, &body);
}

/*----------------------------------------------------------------- listening */

//  To what is next.
static void
set_alarm(tap_t *self)
{
    millis_t due = self->waiting_until;
    if (self->states)
        due = millis_least(due, self->sample_at);
    if (self->state.asked)
        due = millis_least(due, self->state.may);
    if (self->last.asked)
        due = millis_least(due, self->last.may);
    alarm_set(self->alarm, due);
}

//  Say what is to be said now.
static int
turn(void *arg)
{
    tap_t *self = arg;
    millis_t now = zclock_mono();
    if (self->waiting_until <= now)
        flush(self);
    if ((self->state.asked && self->state.may <= now) ||
        (self->states && self->sample_at <= now)) {
        self->state.asked = false;
        self->state.may = now + PAUSE_MS;
        self->sample_at = now + TAP_SAMPLE_MS;
        self->sample(self->with);
    }
    if (self->last.asked && self->last.may <= now) {
        self->last.asked = false;
        self->last.may = now + PAUSE_MS;
        tell_last(self);
    }
    set_alarm(self);
    return 0;
}

static bool
begins(const topic_t *topic, const char *whole)
{
    return topic->size <= strlen(whole) &&
           memcmp(topic->bytes, whole, topic->size) == 0;
}

//  The kinds that a subscription is to.
static uint64_t
kinds_of(const tap_t *self, const topic_t *topic)
{
    const ProtobufCMessageDescriptor *event = &rill__v1__event__descriptor;
    size_t begin = strlen(self->begin);
    size_t size = topic->size < begin ? topic->size : begin;
    if (memcmp(topic->bytes, self->begin, size) != 0)
        return 0;
    topic_t rest = { .size = topic->size - size };
    memcpy(rest.bytes, topic->bytes + size, rest.size);
    uint64_t kinds = 0;
    for (unsigned i = 0; i < event->n_fields; i++)
        if (event->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
            begins(&rest, event->fields[i].name))
            kinds |= UINT64_C(1) << event->fields[i].id;
    return kinds;
}

//  What is wanted follows from what is subscribed to.
static void
weigh(tap_t *self)
{
    self->sink.wanted = RARE;
    self->states = false;
    for (size_t i = 0; i < self->count; i++) {
        self->sink.wanted |= kinds_of(self, &self->topics[i]);
        self->states |= begins(&self->topics[i], self->state.topic);
    }
}

static void
subscribed(tap_t *self, const topic_t *topic)
{
    size_t at = 0;
    while (at < self->count &&
           (self->topics[at].size != topic->size ||
            memcmp(self->topics[at].bytes, topic->bytes, topic->size) != 0))
        at++;
    if (at == self->count) {
        if (self->count == self->room) {
            self->room += 16;
            self->topics = realloc(self->topics,
                                   self->room * sizeof *self->topics);
            INVARIANT(self->topics);
        }
        self->topics[self->count++] = *topic;
    }
    self->state.asked |= begins(topic, self->state.topic);
    self->last.asked |= topic->size > strlen("last") &&
                        begins(topic, self->last.topic);
}

static void
unsubscribed(tap_t *self, const topic_t *topic)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->topics[i].size == topic->size &&
            memcmp(self->topics[i].bytes, topic->bytes, topic->size) == 0) {
            self->topics[i] = self->topics[--self->count];
            return;
        }
}

//  Each subscription is told, whoever made it before; the last one's end, too.
static int
on_topics(zloop_t *loop, zsock_t *socket, void *arg)
{
    (void)loop;
    tap_t *self = arg;
    uint8_t bytes[1 + TOPIC_BYTES];
    for (int i = 0; i < FRAMES_BURST && self->socket == socket; i++) {
        int size = zmq_recv(zsock_resolve(socket), bytes, sizeof bytes,
                            ZMQ_DONTWAIT);
        if (size == -1)
            break;
        if (size == 0 || size > (int)sizeof bytes)
            continue;
        topic_t topic = { .size = (size_t)size - 1 };
        memcpy(topic.bytes, bytes + 1, topic.size);
        if (bytes[0] == 1)
            subscribed(self, &topic);
        else if (bytes[0] == 0)
            unsubscribed(self, &topic);
        if (self->count > TAP_TOPICS)
            breaker_close(self->breaker, &self->socket);
    }
    weigh(self);
    return turn(self);
}

/*---------------------------------------------------------------- questions */

static void
sourced(void *with, const peer_t *asker, uint64_t request,
        const sink_source_t *source)
{
    tap_t *self = with;
    requests_sourced(self->requests, asker, request, source);
}

void
tap_asked(tap_t *self, const peer_t *asker, const message_t *question)
{
    requests_asked(self->requests, asker, question);
}

void
tap_answered(tap_t *self, const peer_t *asker, const message_t *answer,
             const buffer_t *payload)
{
    requests_answered(self->requests, asker, answer, payload);
}

void
tap_fault(tap_t *self, status_t status, const char *where)
{
    sink_fault(&self->sink, status, where, "", 0);
}

/*------------------------------------------------------------- start and end */

const sink_t *
tap_sink(const tap_t *self)
{
    return &self->sink;
}

static status_t
open_socket(tap_t *self)
{
    char at[ENDPOINT_BYTES], bound[ENDPOINT_BYTES], reach[ENDPOINT_BYTES];
    status_t status = endpoint_parse(self->place.at, at);
    if (status == STATUS_OK)
        status = endpoint_parse(self->place.reach, reach);
    if (status != STATUS_OK)
        return status;
    endpoint_any_port(at, at);
    status = sockets_open(SOCKET_TAP, at, &self->socket);
    if (status != STATUS_OK)
        return status;
    sockets_bound(self->socket, bound);
    return endpoint_join(reach, bound, self->at);
}

//  What a kind is told under.
static void
name_topic(tap_t *self, event_kind_t kind)
{
    const char *name = kind_name(kind);
    zmq_msg_t *topic = &self->topics_of[kind];
    size_t begin = strlen(self->begin), size = strlen(name);
    zmq_msg_init_size(topic, begin + size);
    memcpy(zmq_msg_data(topic), self->begin, begin);
    memcpy((char *)zmq_msg_data(topic) + begin, name, size);
}

status_t
tap_new(zloop_t *loop, const tap_place_t *place, tap_sample_fn *sample,
        void *with, tap_t **tap_r)
{
    tap_t *self = zmalloc(sizeof *self);
    *self = (tap_t){
        .sink = { .at = self->at,
                  .metrics_at = place->metrics_at,
                  .wanted = RARE,
                  .with = self,
                  .tell = tell,
                  .sourced = sourced,
                  .clock_us = clock_us },
        .loop = loop,
        .place = *place,
        .sample = sample,
        .with = with,
        .waiting_until = MILLIS_NEVER,
        .began = zclock_mono(),
    };
    snprintf(self->begin, sizeof self->begin, "ev.v1.%s.%s.", place->role,
             place->node);
    snprintf(self->state.topic, TOPIC_BYTES, "st.v1.%s.%s", place->role,
             place->node);
    snprintf(self->last.topic, TOPIC_BYTES, "last.v1.%s.%s", place->role,
             place->node);
    for (size_t i = 0; i < TAP_LAST; i++)
        zmq_msg_init(&self->kept[i]);
    for (event_kind_t kind = 0; kind < KINDS; kind++)
        name_topic(self, kind);
    self->requests = requests_new(&self->sink);
    self->alarm = alarm_new(loop, turn, self);
    status_t status = self->alarm ? open_socket(self) : STATUS_LIMIT;
    if (status == STATUS_OK)
        *tap_r = self;
    else
        tap_destroy(&self);
    return status;
}

void
tap_destroy(tap_t **self_p)
{
    tap_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    flush(self);
    if (self->socket)
        zloop_reader_end(self->loop, self->socket);
    sockets_drop(&self->socket);
    alarm_destroy(&self->alarm);
    requests_destroy(&self->requests);
    for (size_t i = 0; i < TAP_LAST; i++)
        zmq_msg_close(&self->kept[i]);
    for (size_t i = 0; i < KINDS; i++)
        zmq_msg_close(&self->topics_of[i]);
    free(self->topics);
    free(self);
}

//  Nobody is subscribed to anything any more.
static void
on_flooded(void *with)
{
    tap_t *self = with;
    self->count = 0;
    weigh(self);
    if (self->flooded)
        self->flooded(self->flooded_with);
}

void
tap_guard(tap_t *self, breaker_t *breaker, void (*flooded)(void *with),
          void *with)
{
    self->breaker = breaker;
    self->flooded = flooded;
    self->flooded_with = with;
    breaker_add(breaker, &(breaker_place_t){ "tap", &self->socket, SOCKET_TAP,
                                             on_topics, on_flooded, self });
}
