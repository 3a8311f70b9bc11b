#include "breaker.h"

#include <arpa/inet.h>
#include <sys/resource.h>

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
    CHECK(breaker_judge(&rule, 105 * MB, SOCKETS, 100) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 105 * MB, SOCKETS, 1000) == 1);
    CHECK(breaker_judge(&rule, 5 * MB, SOCKETS, 1100) == BREAKER_NONE);
    //  Filled again: from the first on.
    CHECK(breaker_judge(&rule, 101 * MB, SOCKETS, 1200) == 0);
    CHECK(breaker_judge(&rule, 5 * MB, SOCKETS, 1300) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 101 * MB, SOCKETS, 1400) == 0);
}

static void
what_grows_on_is_another_sockets(void)
{
    breaker_rule_t rule = fresh();
    CHECK(breaker_judge(&rule, 101 * MB, SOCKETS, 0) == 0);
    CHECK(breaker_judge(&rule, 200 * MB, SOCKETS, 100) == 1);
    //  All are closed: it is given back in its own time.
    CHECK(breaker_judge(&rule, 300 * MB, SOCKETS, 200) == BREAKER_NONE);
    CHECK(breaker_judge(&rule, 5 * MB, SOCKETS, 300) == BREAKER_NONE);
    CHECK(rule.base == 0);
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

//  A front that a breaker of a loop watches, and connections to it.
typedef struct {
    zsock_t *front;
    zloop_t *loop;
    alarm_t *alarm;
    struct sockaddr_in at;
    int closed;
    int wires[200];
    unsigned count;
} scene_t;

static void
on_flooded(void *with)
{
    scene_t *scene = with;
    scene->closed++;
}

//  What comes is not looked at: it is bound again, then.
static int
on_front(zloop_t *loop, zsock_t *front, void *arg)
{
    (void)loop, (void)front, (void)arg;
    return 0;
}

//  Another connection that says nothing, every few milliseconds, until it is
//  too many; ends when the front is there again.
static int
connect_more(void *arg)
{
    scene_t *scene = arg;
    alarm_set(scene->alarm, zclock_mono() + 2);
    if (scene->closed && scene->front)
        return -1;
    if (scene->closed || scene->count == 200)
        return 0;
    int wire = socket(AF_INET, SOCK_STREAM, 0);
    if (wire == -1)
        return 0;
    struct sockaddr *at = (struct sockaddr *)&scene->at;
    CHECK(connect(wire, at, sizeof(scene->at)) == 0);
    scene->wires[scene->count++] = wire;
    return 0;
}

static void
connections_leave_descriptors_for_files(void)
{
    struct rlimit before, few;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = (struct rlimit){ .rlim_cur = 200, .rlim_max = before.rlim_max };
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    scene_t scene = { .loop = zloop_new() };
    char at[ENDPOINT_BYTES];
    CHECK(sockets_open(SOCKET_FRONT, "tcp://127.0.0.1:*", &scene.front) ==
          STATUS_OK);
    sockets_bound(scene.front, at);
    scene.at = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                     .sin_port = htons((uint16_t)atoi(
                                         strrchr(at, ':') + 1)) };
    breaker_t *breaker = breaker_new(scene.loop, SIZE_MAX / 4);
    breaker_add(breaker,
                &(breaker_place_t){ "front", &scene.front, SOCKET_FRONT,
                                    on_front, on_flooded, &scene });
    scene.alarm = alarm_new(scene.loop, connect_more, &scene);
    alarm_set(scene.alarm, zclock_mono());
    zloop_start(scene.loop);
    CHECK(scene.closed == 1 && scene.front && scene.count < 200);
    for (unsigned i = 0; i < scene.count; i++)
        close(scene.wires[i]);
    alarm_destroy(&scene.alarm);
    breaker_destroy(&breaker);
    zloop_destroy(&scene.loop);
    sockets_drop(&scene.front);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

int
main(void)
{
    zsys_init();
    zsys_handler_set(NULL);
    CASE(nothing_is_closed_below_the_allowance,
         "breaker 1: nothing is closed for memory that is allowed");
    CASE(one_after_the_other_is_closed_until_it_is_given_back,
         "breaker 1: one socket after the other is closed until the memory is "
         "given back");
    CASE(what_grows_on_is_another_sockets,
         "breaker 1: the next one is closed at once while more is used");
    CASE(what_no_closing_gives_back_is_allowed,
         "breaker 2: what closing all does not give back is allowed, as long "
         "as it is held");
    CASE(what_a_buffer_holds_is_not_stray,
         "breaker 1: what counted buffers hold is not stray");
    CASE(connections_leave_descriptors_for_files,
         "breaker 1, invariant 18: connections that say nothing leave "
         "descriptors for files");
    return proof_end();
}
