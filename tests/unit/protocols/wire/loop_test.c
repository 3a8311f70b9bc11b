#include "loop.h"

#include "alarm.h"
#include "frames.h"
#include "proof.h"
#include "sockets.h"

enum { LATE_MS = 20000, WORDS = 5 };

//  Two pairs whose near ends a loop reads; what is done when it has looked at
//  them once, and an alarm that ends what hangs.
static struct {
    loop_t *loop;
    zsock_t *near[2], *far[2];
    alarm_t *first, *late;
    void (*does)(void);
    int rung;
    int heard[2];
    int last;    //  Which was heard last
    bool twice;  //  One was heard twice before the other
    bool in_time;
} stage;

static int
on_word(zsock_t *socket, void *with)
{
    int which = socket == stage.near[1];
    (void)with;
    char *word = zstr_recv(socket);
    stage.twice = stage.twice || which == stage.last;
    stage.last = which;
    stage.heard[which]++;
    stage.in_time = streq(word, "end");
    zstr_free(&word);
    return stage.in_time ? -1 : 0;
}

static int
on_first(void *arg)
{
    (void)arg;
    if (stage.rung++)
        stage.does();
    else
        alarm_set(stage.first, zclock_mono());
    return 0;
}

static int
on_late(void *arg)
{
    (void)arg;
    return -1;
}

static void
begin(void (*does)(void), loop_read_fn *reads)
{
    static int stages;
    memset(&stage, 0, sizeof stage);
    stage.last = -1;
    stage.does = does;
    stage.loop = loop_new();
    CHECK(stage.loop);
    for (int i = 0; i < 2; i++) {
        stage.near[i] = zsock_new(ZMQ_PAIR);
        stage.far[i] = zsock_new(ZMQ_PAIR);
        CHECK(stage.near[i] && stage.far[i]);
        CHECK(zsock_bind(stage.near[i], "inproc://near-%d", stages) == 0);
        CHECK(zsock_connect(stage.far[i], "inproc://near-%d", stages++) == 0);
        loop_add(stage.loop, stage.near[i], reads, NULL);
    }
    stage.first = alarm_new(stage.loop, on_first, NULL);
    stage.late = alarm_new(stage.loop, on_late, NULL);
    CHECK(stage.first && stage.late);
    alarm_set(stage.first, zclock_mono());
    alarm_set(stage.late, zclock_mono() + LATE_MS);
}

static void
end(void)
{
    alarm_destroy(&stage.first);
    alarm_destroy(&stage.late);
    loop_destroy(&stage.loop);
    for (int i = 0; i < 2; i++) {
        zsock_destroy(&stage.near[i]);
        zsock_destroy(&stage.far[i]);
    }
}

//  Its descriptor tells nothing of it any more.
static void
take_the_sign(void)
{
    zstr_send(stage.far[0], "end");
    CHECK(zsock_events(stage.near[0]) & ZMQ_POLLIN);
}

static void
take_the_sign_and_say_so(void)
{
    take_the_sign();
    loop_used(stage.near[0]);
}

static void
take_the_sign_and_send(void)
{
    Rill__V1__Stop stop = RILL__V1__STOP__INIT;
    message_t message = MESSAGE(STOP, stop, &stop, 1, 0);
    take_the_sign();
    CHECK(frames_send(stage.near[0], NULL, &message, NULL) == STATUS_OK);
}

static void
who_uses_a_socket_hides_nothing(void)
{
    begin(take_the_sign_and_say_so, on_word);
    loop_run(stage.loop);
    CHECK(stage.in_time && stage.heard[0] == 1);
    end();
    begin(take_the_sign_and_send, on_word);
    loop_run(stage.loop);
    CHECK(stage.in_time && stage.heard[0] == 1);
    end();
}

static void
nothing(void)
{
}

static void
what_came_before_it_ran_is_heard(void)
{
    begin(nothing, on_word);
    take_the_sign();
    loop_run(stage.loop);
    CHECK(stage.in_time);
    end();
}

static bool
take(void *with, status_t status, received_t *received, millis_t now)
{
    (void)with, (void)received, (void)now;
    stage.heard[0] += status == STATUS_OK;
    return true;
}

static void
send_one(void)
{
    Rill__V1__Stop stop = RILL__V1__STOP__INIT;
    message_t message = MESSAGE(STOP, stop, &stop, 1, 0);
    CHECK(frames_send(stage.far[0], NULL, &message, NULL) == STATUS_OK);
}

//  Reads until there is nothing; then one more comes.
static int
on_message(zsock_t *socket, void *with)
{
    frames_take(socket, take, with, 0);
    stage.in_time = stage.heard[0] == WORDS;
    if (!stage.in_time)
        send_one();
    return stage.in_time ? -1 : 0;
}

static void
what_comes_behind_the_last_is_heard(void)
{
    begin(send_one, on_message);
    loop_run(stage.loop);
    CHECK(stage.in_time);
    end();
}

static void
fill_both(void)
{
    for (int i = 0; i < WORDS; i++) {
        zstr_send(stage.far[0], "word");
        zstr_send(stage.far[1], i + 1 < WORDS ? "word" : "end");
    }
}

static void
all_have_their_turn(void)
{
    begin(fill_both, on_word);
    loop_run(stage.loop);
    CHECK(stage.in_time && !stage.twice);
    CHECK(stage.heard[0] == WORDS && stage.heard[1] == WORDS);
    end();
}

//  Closes both, whichever is called.
static int
on_word_close_all(zsock_t *socket, void *with)
{
    (void)socket, (void)with;
    stage.heard[0]++;
    for (int i = 0; i < 2; i++) {
        loop_remove(stage.loop, stage.near[i]);
        loop_remove(stage.loop, stage.near[i]);
        zsock_destroy(&stage.near[i]);
    }
    alarm_set(stage.late, zclock_mono() + 1);
    return 0;
}

static void
a_handler_may_close_all(void)
{
    begin(fill_both, on_word_close_all);
    loop_run(stage.loop);
    CHECK(stage.heard[0] == 1);
    end();
}

int
main(void)
{
    CHECK(sockets_begin(64) == STATUS_OK);
    CASE(who_uses_a_socket_hides_nothing,
         "loop 1: a send that takes the sign of what came hides nothing");
    CASE(what_came_before_it_ran_is_heard,
         "loop 1: what came before the loop ran is heard");
    CASE(what_comes_behind_the_last_is_heard,
         "loop 1: what comes after a socket was read empty is heard");
    CASE(all_have_their_turn,
         "loop 2: of two that always have something both have their turn");
    CASE(a_handler_may_close_all,
         "loop 3: a handler may close its socket and one that is next");
    return proof_end();
}
