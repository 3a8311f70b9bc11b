#include "alarm.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "invariant.h"

struct alarm {
    zloop_t *loop;
    alarm_fn *rings;
    void *arg;
    millis_t due;
    zmq_pollitem_t item;
};

static int
on_timer(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void)loop;
    alarm_t *self = arg;
    uint64_t times;
    if (read(item->fd, &times, sizeof(times)) != sizeof(times))
        return 0;  //  It was set anew meanwhile
    self->due = MILLIS_NEVER;
    return self->rings(self->arg);
}

alarm_t *
alarm_new(zloop_t *loop, alarm_fn *rings, void *arg)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd == -1)
        return NULL;
    alarm_t *self = zmalloc(sizeof(*self));
    self->loop = loop;
    self->rings = rings;
    self->arg = arg;
    self->due = MILLIS_NEVER;
    self->item = (zmq_pollitem_t){ .fd = fd, .events = ZMQ_POLLIN };
    int rc = zloop_poller(loop, &self->item, on_timer, self);
    INVARIANT(rc == 0);
    return self;
}

void
alarm_destroy(alarm_t **self_p)
{
    alarm_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zloop_poller_end(self->loop, &self->item);
    close(self->item.fd);
    free(self);
}

void
alarm_set(alarm_t *self, millis_t due)
{
    if (due == self->due)
        return;
    self->due = due;
    struct itimerspec when = { .it_value = { 0 } };  //  Not at all
    if (due != MILLIS_NEVER) {
        //  0 would be never, and a time that is over rings at once.
        millis_t at = due > 1 ? due : 1;
        when.it_value.tv_sec = at / 1000;
        when.it_value.tv_nsec = at % 1000 * 1000000;
    }
    int rc = timerfd_settime(self->item.fd, TFD_TIMER_ABSTIME, &when, NULL);
    INVARIANT(rc == 0);
}
