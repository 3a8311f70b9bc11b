#include "alarm.h"

#include "proof.h"

//  A loop with one socket that always has something to read, and one alarm.
typedef struct {
    zloop_t *loop;
    zsock_t *reads, *writes;
    alarm_t *alarm;
    int heard;       //  Calls of the reader
    int rung;        //  Calls of the alarm
    bool after_all;  //  The reader was called though its socket was closed
} stage_t;

static int
on_read(zloop_t *loop, zsock_t *socket, void *arg)
{
    (void)loop, (void)socket;
    stage_t *stage = arg;
    stage->heard++;
    stage->after_all = stage->after_all || !stage->reads;
    return 0;
}

static int
close_the_reader(void *arg)
{
    stage_t *stage = arg;
    if (stage->rung++ == 3)
        return -1;
    if (stage->reads)
        zloop_reader_end(stage->loop, stage->reads);
    zsock_destroy(&stage->reads);
    alarm_set(stage->alarm, zclock_mono());
    return 0;
}

static void
set_the_stage(stage_t *stage, alarm_fn *rings)
{
    static int stages;
    int nth = stages++;
    *stage = (stage_t){ .loop = zloop_new() };
    stage->reads = zsock_new(ZMQ_PULL);
    stage->writes = zsock_new(ZMQ_PUSH);
    CHECK(stage->loop && stage->reads && stage->writes);
    CHECK(zsock_bind(stage->reads, "inproc://stage-%d", nth) == 0);
    CHECK(zsock_connect(stage->writes, "inproc://stage-%d", nth) == 0);
    CHECK(zstr_send(stage->writes, "word") == 0);
    stage->alarm = alarm_new(stage->loop, rings, stage);
    CHECK(stage->alarm);
}

static void
clear_the_stage(stage_t *stage)
{
    alarm_destroy(&stage->alarm);
    zloop_destroy(&stage->loop);
    zsock_destroy(&stage->reads);
    zsock_destroy(&stage->writes);
}

static void
its_handler_may_close_a_socket_that_is_to_be_read(void)
{
    stage_t stage;
    set_the_stage(&stage, close_the_reader);
    zloop_reader(stage.loop, stage.reads, on_read, &stage);
    alarm_set(stage.alarm, zclock_mono());
    zloop_start(stage.loop);
    CHECK(stage.rung == 4 && !stage.after_all);
    clear_the_stage(&stage);
}

static int
end_the_loop(void *arg)
{
    stage_t *stage = arg;
    stage->rung++;
    return -1;
}

static void
it_rings_when_it_is_due_and_not_before(void)
{
    stage_t stage;
    set_the_stage(&stage, end_the_loop);
    millis_t due = zclock_mono() + 30;
    alarm_set(stage.alarm, zclock_mono() - 1000);
    alarm_set(stage.alarm, MILLIS_NEVER);
    alarm_set(stage.alarm, due + 1000000);
    alarm_set(stage.alarm, due);
    zloop_start(stage.loop);
    CHECK(stage.rung == 1 && zclock_mono() >= due);
    clear_the_stage(&stage);
}

int
main(void)
{
    zsys_init();
    zsys_handler_set(NULL);
    CASE(its_handler_may_close_a_socket_that_is_to_be_read,
         "alarm 1: its handler may close a socket that has something to read");
    CASE(it_rings_when_it_is_due_and_not_before,
         "an alarm rings once, when it was last set to");
    return proof_end();
}
