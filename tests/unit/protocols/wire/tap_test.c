#include "tap.h"

#include "proof.h"

enum { LATE_MS = 20000 };

#define BIT(KIND) (UINT64_C(1) << RILL__V1__EVENT__WHAT_##KIND)

//  A tap in its loop, and a listener in the same thread: the loop runs until
//  something is so.
static struct {
    zloop_t *loop;
    alarm_t *alarm;
    breaker_t *breaker;
    tap_t *tap;
    const sink_t *sink;
    zsock_t *listener;
    bool (*so)(void);
    bool done;
    millis_t until;
    unsigned samples;
    size_t heard;
    char topic[256];         //  Of what was heard last
    Rill__V1__Event *event;  //  One of them
    Rill__V1__Sample *sample;
} world;

static void
sample(void *with)
{
    (void)with;
    Rill__V1__Counter counter = RILL__V1__COUNTER__INIT, *list = &counter;
    counter.name = message_lend("counted");
    counter.value = ++world.samples;
    tap_sample(world.tap, true, &list, 1);
}

static int
look(void *arg)
{
    (void)arg;
    alarm_set(world.alarm, zclock_mono() + 1);
    //  A SUB that nobody polls does not subscribe again when it reconnects.
    if (world.listener)
        (void)zsock_events(world.listener);
    world.done = world.so();
    return world.done || zclock_mono() > world.until ? -1 : 0;
}

static void
run_until(bool (*so)(void))
{
    world.so = so;
    world.until = zclock_mono() + LATE_MS;
    alarm_set(world.alarm, zclock_mono());
    zloop_start(world.loop);
    CHECK(world.done);
}

static void
begin(void)
{
    static const tap_place_t PLACE = { "worker", "w1", "127.0.0.1:0",
                                       "127.0.0.1:0", "" };
    memset(&world, 0, sizeof world);
    world.loop = zloop_new();
    world.alarm = alarm_new(world.loop, look, NULL);
    world.breaker = breaker_new(world.loop, SIZE_MAX / 4);
    CHECK(tap_new(world.loop, &PLACE, sample, NULL, &world.tap) == STATUS_OK);
    tap_guard(world.tap, world.breaker, NULL, NULL);
    world.sink = tap_sink(world.tap);
    CHECK(sockets_open(SOCKET_HEAR, world.sink->at, &world.listener) ==
          STATUS_OK);
}

static void
end(void)
{
    if (world.event)
        rill__v1__event__free_unpacked(world.event, NULL);
    if (world.sample)
        rill__v1__sample__free_unpacked(world.sample, NULL);
    sockets_drop(&world.listener);
    breaker_destroy(&world.breaker);
    tap_destroy(&world.tap);
    alarm_destroy(&world.alarm);
    zloop_destroy(&world.loop);
}

static void
subscribe(const char *topic, bool on)
{
    zmq_setsockopt(zsock_resolve(world.listener),
                   on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, topic, strlen(topic));
}

static void
take(const char *topic, const uint8_t *bytes, size_t size)
{
    snprintf(world.topic, sizeof world.topic, "%s", topic);
    world.heard++;
    if (world.event)
        rill__v1__event__free_unpacked(world.event, NULL);
    if (world.sample)
        rill__v1__sample__free_unpacked(world.sample, NULL);
    world.event = NULL;
    world.sample = NULL;
    if (strncmp(topic, "st.", 3) == 0)
        world.sample = rill__v1__sample__unpack(NULL, size, bytes);
    else
        world.event = rill__v1__event__unpack(NULL, size, bytes);
    CHECK(world.event || world.sample);
}

//  One message, if there is one.
static bool
hear(void)
{
    void *handle = zsock_resolve(world.listener);
    char topic[256];
    uint8_t bytes[4096];
    int size = zmq_recv(handle, topic, sizeof topic - 1, ZMQ_DONTWAIT);
    if (size == -1)
        return false;
    topic[size] = '\0';
    size = zmq_recv(handle, bytes, sizeof bytes, ZMQ_DONTWAIT);
    CHECK(size >= 0 && !zsock_rcvmore(world.listener));
    take(topic, bytes, (size_t)size);
    return true;
}

static bool
heard_sample(void)
{
    return hear() && world.sample;
}

static bool
heard_event(void)
{
    return hear() && world.event;
}

//  As places in the cores do: it asks first.
static void
tell_stored(uint64_t block)
{
    if (!SINK_WANTS(world.sink, CHUNK_STORED))
        return;
    Rill__V1__ChunkStored body = RILL__V1__CHUNK_STORED__INIT;
    body.block = block;
    event_t event = EVENT(CHUNK_STORED, chunk_stored, &body, 5, 6, "cam");
    sink_tell(world.sink, &event);
}

static void
tell_full(uint64_t free_bytes)
{
    Rill__V1__WorkerFull body = RILL__V1__WORKER_FULL__INIT;
    body.free_bytes = free_bytes;
    CHECK(SINK_WANTS(world.sink, WORKER_FULL));
    event_t event = EVENT(WORKER_FULL, worker_full, &body, 0, 0, "");
    sink_tell(world.sink, &event);
}

static bool
wants_stored(void)
{
    return SINK_WANTS(world.sink, CHUNK_STORED);
}

static bool
wants_no_stored(void)
{
    return !wants_stored();
}

static void
a_kind_is_wanted_while_somebody_subscribes(void)
{
    begin();
    uint64_t always = world.sink->wanted;
    CHECK(!wants_stored() && !SINK_WANTS(world.sink, REQUEST) &&
          !SINK_WANTS(world.sink, FAULT_COUNTED));
    CHECK(always & BIT(WORKER_LOST));
    subscribe("ev.v1.worker.w1.chunk_stored", true);
    run_until(wants_stored);
    CHECK(world.sink->wanted == (always | BIT(CHUNK_STORED)));
    subscribe("ev.v1.worker.w1.chunk_stored", false);
    run_until(wants_no_stored);
    CHECK(world.sink->wanted == always);
    //  A beginning is enough; another node's, a longer name, or more is not.
    subscribe("ev.v1.worker.w10.", true);
    subscribe("ev.v1.cache.", true);
    subscribe("ev.v1.worker.w1.request.", true);
    subscribe("ev.v1.worker.w1.chunk_", true);
    run_until(wants_stored);
    CHECK(world.sink->wanted == (always | BIT(CHUNK_STORED) | BIT(CHUNK_DEALT) |
                                 BIT(CHUNK_PUBLISHED)));
    subscribe("ev.", true);
    subscribe("ev.v1.worker.w1.chunk_", false);
    run_until(wants_stored);
    end();
}

static bool
wants_nothing_more(void)
{
    return !wants_stored() && !SINK_WANTS(world.sink, REQUEST);
}

static void
who_goes_wants_nothing_more(void)
{
    begin();
    subscribe("", true);
    run_until(wants_stored);
    sockets_drop(&world.listener);
    run_until(wants_nothing_more);
    end();
}

static void
what_is_told_is_numbered(void)
{
    begin();
    tell_stored(1);  //  Nobody wants it
    subscribe("ev.v1.worker.w1.chunk_stored", true);
    run_until(wants_stored);
    tell_stored(2);
    run_until(heard_event);
    CHECK(streq(world.topic, "ev.v1.worker.w1.chunk_stored"));
    CHECK(world.event->seq == 1 && world.event->chunk_stored->block == 2);
    CHECK(streq(world.event->role, "worker") && streq(world.event->node, "w1"));
    CHECK(world.event->trace == 5 && world.event->stream == 6 &&
          streq(world.event->name, "cam"));
    CHECK(world.event->at_us > 1700000000000000);
    tell_stored(3);
    run_until(heard_event);
    CHECK(world.event->seq == 2);
    subscribe("st.v1.worker.w1", true);
    run_until(heard_sample);
    CHECK(world.sample->n_told == 1 && world.sample->told[0]->seq == 2 &&
          streq(world.sample->told[0]->kind, "chunk_stored"));
    end();
}

//  Whether anything comes, though the loop does not run.
static bool
hears_without_the_loop(int wait_ms)
{
    zmq_pollitem_t item = { .socket = zsock_resolve(world.listener),
                            .events = ZMQ_POLLIN };
    return zmq_poll(&item, 1, wait_ms) == 1;
}

static bool
heard_a_sample_behind_all(void)
{
    while (hear())
        CHECK(world.sample ? world.heard == TAP_WAITING + 2 &&
                                 world.sample->told[0]->seq == TAP_WAITING + 1
                           : world.event->seq == world.heard);
    return world.sample;
}

static void
events_go_together(void)
{
    begin();
    subscribe("ev.v1.worker.w1.chunk_stored", true);
    run_until(wants_stored);
    for (uint64_t i = 0; i < TAP_WAITING; i++)
        tell_stored(i);
    CHECK(!hears_without_the_loop(10));
    tell_stored(TAP_WAITING);
    CHECK(hears_without_the_loop(LATE_MS));
    subscribe("st.v1.worker.w1", true);
    run_until(heard_a_sample_behind_all);
    end();
}

static void
state_comes_at_once_and_each_second(void)
{
    begin();
    CHECK(world.samples == 0);
    millis_t begun = zclock_mono();
    subscribe("st.", true);
    run_until(heard_sample);
    CHECK(streq(world.topic, "st.v1.worker.w1") && world.samples == 1);
    CHECK(world.sample->ready && world.sample->n_counters == 1 &&
          world.sample->counters[0]->value == 1);
    millis_t first = zclock_mono();
    run_until(heard_sample);
    CHECK(world.samples == 2 && zclock_mono() - begun >= TAP_SAMPLE_MS);
    //  The same topic again is heard, too.
    zsock_t *other;
    CHECK(sockets_open(SOCKET_HEAR, world.sink->at, &other) == STATUS_OK);
    zmq_setsockopt(zsock_resolve(other), ZMQ_SUBSCRIBE, "st.", 3);
    run_until(heard_sample);
    CHECK(world.samples == 3 && zclock_mono() - first < 2 * TAP_SAMPLE_MS);
    sockets_drop(&other);
    end();
}

static bool
heard_all_kept(void)
{
    while (hear())
        CHECK(world.event->seq == 6 + world.heard &&
              streq(world.topic, "last.v1.worker.w1"));
    return world.heard == TAP_LAST;
}

static void
the_last_rare_events_are_kept(void)
{
    begin();
    for (uint64_t i = 1; i <= TAP_LAST + 6; i++)
        tell_full(i);
    subscribe("last.", true);
    run_until(heard_all_kept);
    CHECK(world.event->worker_full->free_bytes == TAP_LAST + 6);
    end();
}

//  When a connection ends, libzmq subscribes anew at the next one; but only
//  while the socket is used.
static bool
wants_stored_of_who_reads(void)
{
    CHECK(!hear());
    return wants_stored();
}

static void
too_many_topics_close_it_once(void)
{
    begin();
    char topic[64];
    subscribe("ev.v1.worker.w1.chunk_stored", true);
    run_until(wants_stored);
    for (int i = 0; i < TAP_TOPICS; i++) {
        snprintf(topic, sizeof topic, "ev.v1.worker.w1.%d", i);
        subscribe(topic, true);
    }
    run_until(wants_no_stored);
    tell_full(1);  //  To nobody
    sockets_drop(&world.listener);
    //  It is bound again where it was; a listener that came before that is
    //  heard.
    CHECK(sockets_open(SOCKET_HEAR, world.sink->at, &world.listener) ==
          STATUS_OK);
    subscribe("ev.v1.worker.w1.chunk_stored", true);
    run_until(wants_stored_of_who_reads);
    tell_stored(7);
    run_until(heard_event);
    CHECK(world.event->chunk_stored->block == 7);
    end();
}

enum { MANY = 200000, MOST_BYTES = 4 * 1024 * 1024 };

//  Once it reads again, what is told comes.
static bool
heard_a_later_one(void)
{
    while (hear())
        ;
    tell_stored(0);
    return world.event && world.event->seq > MANY;
}

static void
who_does_not_read_loses_and_holds_little(void)
{
    begin();
    subscribe("ev.v1.worker.w1.chunk_stored", true);
    run_until(wants_stored);
    size_t before = breaker_stray();
    for (uint64_t i = 0; i < MANY; i++)
        tell_stored(i);
    CHECK(breaker_stray() < before + MOST_BYTES);
    run_until(heard_a_later_one);
    CHECK(world.heard < world.event->seq);
    end();
}

int
main(void)
{
    sockets_begin(64);
    CASE(a_kind_is_wanted_while_somebody_subscribes,
         "tap 1: a kind is wanted while somebody subscribes to its topic or a "
         "beginning of it");
    CASE(who_goes_wants_nothing_more,
         "tap 1: of who is gone nothing is wanted any more");
    CASE(what_is_told_is_numbered,
         "tap 3: what is told of a kind is numbered from 1, what nobody wanted "
         "is not counted, and a sample says the last number");
    CASE(events_go_together,
         "tap 4: events wait for others, not more than fit, and a sample comes "
         "behind all that it counts");
    CASE(state_comes_at_once_and_each_second,
         "a sample comes at once to who begins to listen, and each second");
    CASE(the_last_rare_events_are_kept,
         "the last 64 rare events are told to who asks for them, oldest first");
    CASE(too_many_topics_close_it_once,
         "tap 2, invariant 18: too many topics close the tap, and it is bound "
         "again where it was");
    CASE(who_does_not_read_loses_and_holds_little,
         "tap 2, invariant 18: who does not read loses events and holds little "
         "memory; the gap shows in their numbers");
    return proof_end();
}
