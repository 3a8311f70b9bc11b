#include "listener.h"

#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "proof.h"
#include "sockets.h"

//  How long something may take that must come; and what need not come.
enum { FOR_EVER_MS = 60000, SOON_MS = 100, FLOOD = 60000 };

//  A node that this test plays.
typedef struct {
    const char *name;
    zsock_t *front, *tap;
    char at[ENDPOINT_BYTES], tap_at[ENDPOINT_BYTES];
    uint64_t told;        //  Requests
    char topics[4096];    //  That it was subscribed to
    const char *sibling;  //  HOST:PORT of another one that it names,
    const char *worker;   //  and of a worker, in the second part
} play_t;

static void
open_tap(play_t *play)
{
    CHECK(sockets_open(SOCKET_TAP, "tcp://127.0.0.1:*", &play->tap) ==
          STATUS_OK);
    sockets_bound(play->tap, play->tap_at);
}

static play_t
begin(const char *name)
{
    play_t play = { .name = name };
    char bound[ENDPOINT_BYTES];
    CHECK(sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &play.front) ==
          STATUS_OK);
    sockets_bound(play.front, bound);
    snprintf(play.at, sizeof play.at, "%s", bound + strlen("tcp://"));
    open_tap(&play);
    return play;
}

static void
end(play_t *play)
{
    zsock_destroy(&play->front);
    sockets_drop(&play->tap);
}

static void
publish(play_t *play, const char *topic, const ProtobufCMessage *message)
{
    uint8_t bytes[4096];
    size_t size = protobuf_c_message_pack(message, bytes);
    void *tap = zsock_resolve(play->tap);
    (void)zmq_send(tap, topic, strlen(topic), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(tap, bytes, size, ZMQ_DONTWAIT);
}

static const char *
role_of(const play_t *play)
{
    return play->sibling ? "director" : "cache";
}

static void
tell_as(play_t *play, const char *prefix, uint64_t seq)
{
    char topic[128];
    Rill__V1__Request body = RILL__V1__REQUEST__INIT;
    event_t event = RILL__V1__EVENT__INIT;
    body.asker = message_lend("somebody");
    event.seq = seq;
    event.node = message_lend(play->name);
    event.what_case = RILL__V1__EVENT__WHAT_REQUEST;
    event.request = &body;
    snprintf(topic, sizeof topic, "%s.v1.%s.%s.request", prefix, role_of(play),
             play->name);
    publish(play, topic, &event.base);
}

static void
tell(play_t *play)
{
    tell_as(play, "ev", ++play->told);
}

//  What it counts: so many requests were told.
static void
sample(play_t *play)
{
    char topic[128];
    Rill__V1__Sample body = RILL__V1__SAMPLE__INIT;
    Rill__V1__Told told = RILL__V1__TOLD__INIT, *list[] = { &told };
    told.kind = message_lend("request");
    told.seq = play->told;
    body.node = message_lend(play->name);
    body.n_told = play->told > 0;
    body.told = list;
    snprintf(topic, sizeof topic, "st.v1.%s.%s", role_of(play), play->name);
    publish(play, topic, &body.base);
}

static void
answer(play_t *play)
{
    received_t received;
    if (frames_receive(play->front, &received) != STATUS_OK)
        return;
    Rill__V1__Report body = RILL__V1__REPORT__INIT;
    Rill__V1__NodeReport other = RILL__V1__NODE_REPORT__INIT,
                         *list[] = { &other };
    //  Stores that no worker serves have no address.
    Rill__V1__WorkerReport lost = RILL__V1__WORKER_REPORT__INIT,
                           worker = RILL__V1__WORKER_REPORT__INIT,
                           *workers[] = { &lost, &worker };
    bool first = received.message->status_ask->from == 0;
    lost.name = message_lend("lost-store-1");
    worker.name = message_lend("w1");
    if (!first)
        worker.reach = message_lend(play->worker);
    body.next = play->worker && first;
    body.workers = workers;
    body.n_workers = play->worker ? 2 : 0;
    other.name = message_lend("sibling");
    other.at = message_lend(play->sibling);
    other.tier = 1;
    body.role = message_lend(role_of(play));
    body.node = message_lend(play->name);
    body.tap_at = message_lend(play->tap_at);
    body.nodes = list;
    body.n_nodes = play->sibling != NULL;
    message_t message = MESSAGE(REPORT, report, &body, received.request, 0);
    (void)frames_send(play->front, &received.peer, &message, NULL);
    frames_release(&received);
}

//  A node's turn: answer, note who subscribes; a Sample goes to who does.
static void
turn(play_t *play)
{
    char topic[256];
    int size;
    if (!play->tap)
        return;
    answer(play);
    while ((size = zmq_recv(zsock_resolve(play->tap), topic, sizeof topic,
                            ZMQ_DONTWAIT)) > 0) {
        if (topic[0] != 1)
            continue;
        snprintf(play->topics + strlen(play->topics),
                 sizeof play->topics - strlen(play->topics), "%.*s ", size - 1,
                 topic + 1);
        if (strncmp(topic + 1, "last.", 5) == 0)
            tell_as(play, "last", 1);
        if (strncmp(topic + 1, "st.", 3) == 0)
            sample(play);
    }
}

/*----------------------------------------------------------- what it is told */

typedef struct {
    uint64_t events, last, samples, lost;
    char turns[1024];
} heard_t;

static bool
wants(void *with, const listener_node_t *node)
{
    (void)with;
    return strcmp(node->name, "unwanted") != 0;
}

static void
on_event(void *with, const event_t *event, bool is_last)
{
    heard_t *heard = with;
    CHECK(event->what_case == RILL__V1__EVENT__WHAT_REQUEST);
    heard->events += !is_last;
    heard->last += is_last;
}

static void
on_sample(void *with, const Rill__V1__Sample *body)
{
    (void)body;
    ((heard_t *)with)->samples++;
}

static void
on_lost(void *with, const listener_node_t *node, size_t kind, uint64_t count)
{
    CHECK(kind == events_find("request") && *node->name);
    ((heard_t *)with)->lost += count;
}

static void
on_turn(void *with, const listener_node_t *node)
{
    static const char *const STATES[] = { [LISTENER_HEARD] = "heard",
                                          [LISTENER_ABSENT] = "absent",
                                          [LISTENER_MUTE] = "mute",
                                          [LISTENER_GONE] = "gone",
                                          [LISTENER_SILENT] = "silent" };
    heard_t *heard = with;
    snprintf(heard->turns + strlen(heard->turns),
             sizeof heard->turns - strlen(heard->turns), "%s %s, ", node->name,
             STATES[node->state]);
}

static const listener_effects_t EFFECTS = { wants, on_event, on_sample, on_lost,
                                            on_turn };

static listener_t *
listen_to(heard_t *heard, bool last, millis_t soon_ms, const char *at)
{
    listener_settings_t settings = { .kinds = UINT64_C(1)
                                              << events_find("request"),
                                     .last = last,
                                     .reach_ms = soon_ms,
                                     .silent_ms = soon_ms ? soon_ms
                                                          : FOR_EVER_MS };
    listener_t *listener = listener_new(&settings, &EFFECTS, heard);
    listener_add(listener, "", "", at);
    return listener;
}

//  Let the nodes and the listener go on until something is true.
#define UNTIL(listener, plays, count, true_thing)                              \
    do {                                                                       \
        millis_t until_ = zclock_mono() + FOR_EVER_MS;                         \
        while (!(true_thing)) {                                                \
            CHECK(zclock_mono() < until_);                                     \
            for (size_t i_ = 0; i_ < (count); i_++)                            \
                turn(&(plays)[i_]);                                            \
            listener_wait(listener, zclock_mono() + 5);                        \
        }                                                                      \
    } while (0)

/*-------------------------------------------------------------------- cases */

static void
all_is_heard_and_a_gap_is_lost(void)
{
    heard_t heard = { 0 };
    play_t play = begin("c1");
    play.told = 40;  //  Before anybody listened
    listener_t *listener = listen_to(&heard, false, 0, play.at);
    CHECK(!listener_settled(listener));
    UNTIL(listener, &play, 1, listener_settled(listener));
    CHECK(strcmp(heard.turns, "c1 heard, ") == 0);
    for (int i = 0; i < 10; i++)
        tell(&play);
    UNTIL(listener, &play, 1, heard.events == 10);
    CHECK(heard.lost == 0);
    play.told += 5;
    tell(&play);
    UNTIL(listener, &play, 1, heard.events == 11);
    CHECK(heard.lost == 5);
    play.told += 7;
    sample(&play);
    UNTIL(listener, &play, 1, heard.samples == 2);
    CHECK(heard.lost == 12);
    CHECK(strcmp(play.topics, "ev.v1.cache.c1.request st.v1.cache.c1 ") == 0);
    listener_destroy(&listener);
    end(&play);
}

static void
a_node_that_starts_anew_elsewhere_is_found(void)
{
    heard_t heard = { 0 };
    play_t play = begin("c1");
    listener_t *listener = listen_to(&heard, false, 0, play.at);
    UNTIL(listener, &play, 1, listener_settled(listener));
    tell(&play);
    UNTIL(listener, &play, 1, heard.events == 1);
    sockets_drop(&play.tap);
    play_t gone = play;  //  It says nothing meanwhile
    UNTIL(listener, &gone, 1, strstr(heard.turns, "gone"));
    open_tap(&play);
    play.told = 0;
    tell(&play);  //  To nobody
    UNTIL(listener, &play, 1,
          strcmp(heard.turns, "c1 heard, c1 gone, c1 heard, ") == 0);
    tell(&play);
    UNTIL(listener, &play, 1, heard.events == 2);
    CHECK(heard.lost <= 1);  //  The same number again is no new start yet
    listener_destroy(&listener);
    end(&play);
}

static void
who_is_not_there_takes_nothing_from_the_others(void)
{
    heard_t heard = { 0 };
    play_t plays[] = { begin("c1"), begin("mute"), begin("unwanted") };
    plays[1].tap_at[0] = '\0';
    listener_t *listener = listen_to(&heard, false, SOON_MS, plays[0].at);
    listener_add(listener, "nobody", "cache", "127.0.0.1:1");
    listener_add(listener, "mute", "cache", plays[1].at);
    listener_add(listener, "unwanted", "cache", plays[2].at);
    char twin[ENDPOINT_BYTES];
    snprintf(twin, sizeof twin, "localhost:%s", strrchr(plays[0].at, ':') + 1);
    listener_add(listener, "", "", twin);
    UNTIL(listener, plays, 3,
          strstr(heard.turns, "c1 heard") && strstr(heard.turns, "mute mute") &&
              strstr(heard.turns, "nobody absent"));
    CHECK(!strstr(heard.turns, "unwanted") && !*plays[2].topics);
    CHECK(strcmp(plays[0].topics, "ev.v1.cache.c1.request st.v1.cache.c1 ") ==
          0);
    UNTIL(listener, plays, 3, strstr(heard.turns, "c1 silent"));
    tell(&plays[0]);
    UNTIL(listener, plays, 3, heard.events == 1);
    listener_destroy(&listener);
    for (size_t i = 0; i < 3; i++)
        end(&plays[i]);
}

static void
who_did_not_listen_blames_nobody(void)
{
    heard_t heard = { 0 };
    play_t play = begin("c1");
    listener_t *listener = listen_to(&heard, false, SOON_MS, play.at);
    listener_add(listener, "nobody", "cache", "127.0.0.1:1");
    UNTIL(listener, &play, 1, strstr(heard.turns, "c1 heard"));
    bool known = strstr(heard.turns, "nobody absent") != NULL;
    zclock_sleep(3 * SOON_MS);  //  Stopped
    listener_wait(listener, zclock_mono());
    CHECK(!strstr(heard.turns, "silent"));
    CHECK(known || !strstr(heard.turns, "absent"));
    //  Since then there was time enough.
    UNTIL(listener, &play, 1,
          strstr(heard.turns, "c1 silent") &&
              strstr(heard.turns, "nobody absent"));
    listener_destroy(&listener);
    end(&play);
}

static void
who_is_named_is_heard_too(void)
{
    heard_t heard = { 0 };
    play_t plays[] = { begin("d"), begin("sibling") };
    plays[0].sibling = plays[1].at;
    listener_t *listener = listen_to(&heard, false, 0, plays[0].at);
    UNTIL(listener, plays, 2,
          strstr(heard.turns, "d heard") &&
              strstr(heard.turns, "sibling heard"));
    const listener_node_t *node;
    bool wanted;
    CHECK(listener_nth(listener, 0, &wanted) && wanted);
    node = listener_nth(listener, 1, &wanted);
    CHECK(node && strcmp(node->role, "cache") == 0 && wanted);
    CHECK(!listener_nth(listener, 2, &wanted));
    listener_destroy(&listener);
    end(&plays[0]);
    end(&plays[1]);
}

static void
a_store_without_a_worker_is_no_node(void)
{
    heard_t heard = { 0 };
    play_t plays[] = { begin("d"), begin("sibling"), begin("w1") };
    plays[0].sibling = plays[1].at;
    plays[0].worker = plays[2].at;
    listener_t *listener = listen_to(&heard, false, 0, plays[0].at);
    UNTIL(listener, plays, 3,
          strstr(heard.turns, "w1 heard") &&
              strstr(heard.turns, "sibling heard") &&
              listener_settled(listener));
    bool wanted;
    CHECK(!listener_nth(listener, 3, &wanted));
    CHECK(!strstr(heard.turns, "lost") && !strstr(heard.turns, "absent"));
    listener_destroy(&listener);
    for (size_t i = 0; i < 3; i++)
        end(&plays[i]);
}

static void
the_last_ones_come_first_and_once(void)
{
    heard_t heard = { 0 };
    play_t play = begin("c1");
    listener_t *listener = listen_to(&heard, true, 0, play.at);
    UNTIL(listener, &play, 1, heard.last == 1 && heard.samples == 1);
    CHECK(heard.events == 0);
    play.told = 9;
    tell(&play);                 //  10
    tell_as(&play, "last", 10);  //  It is heard already
    sample(&play);
    tell_as(&play, "last", 2);  //  For another listener
    tell(&play);
    UNTIL(listener, &play, 1, heard.events == 2);
    CHECK(heard.last == 1);
    listener_destroy(&listener);
    end(&play);
}

static void
who_is_slow_loses_and_is_told_how_many(void)
{
    heard_t heard = { 0 };
    play_t play = begin("c1");
    listener_t *listener = listen_to(&heard, false, 0, play.at);
    UNTIL(listener, &play, 1, listener_settled(listener));
    for (int i = 0; i < FLOOD; i++)
        tell(&play);  //  And nobody takes them
    UNTIL(listener, &play, 1, heard.events > 0);
    millis_t until = zclock_mono() + FOR_EVER_MS;
    while (heard.events + heard.lost < FLOOD) {
        CHECK(zclock_mono() < until);
        sample(&play);
        turn(&play);
        listener_wait(listener, zclock_mono() + 5);
    }
    CHECK(heard.events + heard.lost == FLOOD && heard.lost > 0);
    listener_destroy(&listener);
    end(&play);
}

static void
what_is_no_event_changes_nothing(void)
{
    heard_t heard = { 0 };
    play_t play = begin("c1");
    listener_t *listener = listen_to(&heard, false, 0, play.at);
    UNTIL(listener, &play, 1, listener_settled(listener));
    void *tap = zsock_resolve(play.tap);
    const char *topics[] = { "ev.v1.cache.c1.request", "st.v1.cache.c1" };
    for (size_t i = 0; i < 2; i++) {
        zmq_send_const(tap, topics[i], strlen(topics[i]), 0);
        zmq_send_const(tap, topics[i], strlen(topics[i]), ZMQ_SNDMORE);
        zmq_send_const(tap, "\xff\xff\xff", 3, 0);
        zmq_send_const(tap, topics[i], strlen(topics[i]), ZMQ_SNDMORE);
        zmq_send_const(tap, "\xff\xff\xff", 3, ZMQ_SNDMORE);
        zmq_send_const(tap, "more", 4, 0);
    }
    tell(&play);
    UNTIL(listener, &play, 1, heard.events == 1);
    CHECK(heard.lost == 0);
    listener_destroy(&listener);
    end(&play);
}

int
main(void)
{
    if (sockets_begin(64) != STATUS_OK)
        return 1;
    CASE(all_is_heard_and_a_gap_is_lost,
         "listener 1: what does not come is told as lost, also at the end");
    CASE(a_node_that_starts_anew_elsewhere_is_found,
         "listener 2: a node that starts anew at another port is heard again");
    CASE(who_is_not_there_takes_nothing_from_the_others,
         "listener 2: who is not there, mute or silent is told so, and the "
         "others are heard");
    CASE(who_did_not_listen_blames_nobody,
         "listener 2: a listener that was stopped blames no node for that");
    CASE(who_is_named_is_heard_too, "nodes that a Report names are heard, too");
    CASE(a_store_without_a_worker_is_no_node,
         "listener 2: a store that no worker serves is no node that does not "
         "answer; the worker is heard when it is there");
    CASE(the_last_ones_come_first_and_once, "a node's last events come once");
    CASE(who_is_slow_loses_and_is_told_how_many,
         "listener 3, invariant 18: who is slow loses events and is told how "
         "many");
    CASE(what_is_no_event_changes_nothing,
         "listener 2: what is no event changes nothing");
    return proof_end();
}
