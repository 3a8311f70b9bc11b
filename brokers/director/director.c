#include "director.h"

#include <stdio.h>

#include "alarm.h"
#include "breaker.h"
#include "daemon.h"
#include "director_core.h"
#include "frames.h"
#include "invariant.h"
#include "log.h"
#include "monitor.h"
#include "sockets.h"

enum {
    WHY_BYTES = 512,
    STRAY_BYTES = 64 * 1024 * 1024,
};

typedef struct {
    zsock_t *pipe;   //  Owner of our life; lent
    zsock_t *front;  //  ROUTER: caches and terminals
    zloop_t *loop;   //  Runs in this thread only
    director_core_t *core;
    alarm_t *alarm;  //  Set to the least due
    breaker_t *breaker;
    tap_t *tap;  //  Of the monitor
    monitor_t *monitor;
} director_t;

static void
send_front(void *with, const peer_t *peer, const message_t *message)
{
    director_t *self = with;
    status_t status = STATUS_UNREACHABLE;  //  While it is bound again
    tap_answered(self->tap, peer, message, NULL);
    if (self->front)
        status = frames_send(self->front, peer, message, NULL);
    if (status == STATUS_OK)
        return;
    tap_fault(self->tap, status, "front");
    log_event(LOG_AT_DETAIL, "unsent", "kind=%s status=%s",
              message_kind(message), status_name(status));
}

static void
note(void *with, const char *text)
{
    (void)with;
    log_told(LOG_AT_NOTICE, text);
}

static const director_effects_t EFFECTS = { .send = send_front, .note = note };

static int
after(director_t *self, millis_t now)
{
    if (director_core_due(self->core) <= now)
        director_core_sweep(self->core, now);
    alarm_set(self->alarm, director_core_due(self->core));
    return 0;
}

static int
on_alarm(void *arg)
{
    return after(arg, zclock_mono());
}

static int
on_pipe(zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void)loop;
    (void)arg;
    char *word = zstr_recv(pipe);
    bool ends = !word || streq(word, "$TERM");
    zstr_free(&word);
    return ends ? -1 : 0;
}

static bool
take_front(void *with, status_t status, received_t *received, millis_t now)
{
    director_t *self = with;
    if (status == STATUS_OK) {
        tap_asked(self->tap, &received->peer, received->message);
        director_core_on_front(self->core, &received->peer, received->address,
                               received->message, now);
    } else {
        tap_fault(self->tap, status, "front");
        director_core_on_bad(self->core, &received->peer, received->request,
                             status);
    }
    return true;
}

static int
on_front(zloop_t *loop, zsock_t *front, void *arg)
{
    (void)loop;
    millis_t now = zclock_mono();
    frames_take(front, take_front, arg, now);
    return after(arg, now);
}

static void
count_all(void *with, counters_t *to)
{
    director_t *self = with;
    director_core_count(self->core, to);
}

//  NULL: ready.
static const char *
unready(void *with)
{
    director_t *self = with;
    return director_core_unready(self->core, zclock_mono());
}

static status_t
open_monitor(director_t *self, const settings_node_t *node, char *why)
{
    monitor_place_t place = {
        .node = node->name,
        .at = node->at,
        .reach = node->reach,
        .metrics = { .role = SETTINGS_DIRECTOR,
                     .at = node->metrics,
                     .count = count_all,
                     .unready = unready,
                     .with = self },
    };
    return monitor_new(self->loop, &place, &self->monitor, &self->tap, why,
                       WHY_BYTES);
}

static void
director_destroy(director_t *self)
{
    breaker_destroy(&self->breaker);
    monitor_destroy(&self->monitor);
    alarm_destroy(&self->alarm);
    zloop_destroy(&self->loop);
    director_core_destroy(&self->core);
    zsock_destroy(&self->front);
}

static status_t
director_open(director_t *self, const settings_t *settings, char *why)
{
    const settings_node_t *node = &settings->director.node;
    char at[ENDPOINT_BYTES];
    status_t status = endpoint_parse(node->at, at);
    if (status == STATUS_OK)
        status = sockets_open(SOCKET_FRONT, at, &self->front);
    if (status != STATUS_OK) {
        snprintf(why, WHY_BYTES, "%s cannot be bound: %s", node->at,
                 errno ? strerror(errno) : status_text(status));
        return status;
    }
    status = open_monitor(self, node, why);
    if (status != STATUS_OK)
        return status;
    self->core = director_core_new(settings, tap_sink(self->tap), &EFFECTS,
                                   self, zclock_mono());
    zloop_reader(self->loop, self->pipe, on_pipe, self);
    self->breaker = breaker_new(self->loop, STRAY_BYTES);
    breaker_add(self->breaker,
                &(breaker_place_t){ "front", &self->front, SOCKET_FRONT,
                                    on_front, NULL, self });
    tap_guard(self->tap, self->breaker, NULL, NULL);
    return STATUS_OK;
}

void
director_actor(zsock_t *pipe, void *args)
{
    const settings_t *settings = args;
    char why[WHY_BYTES] = "";
    director_t self = { .pipe = pipe, .loop = zloop_new() };
    INVARIANT(self.loop);
    self.alarm = alarm_new(self.loop, on_alarm, &self);
    INVARIANT(self.alarm);
    zsock_signal(pipe, 0);
    status_t status = director_open(&self, settings, why);
    daemon_say(pipe, status,
               status == STATUS_OK ? settings->director.node.reach : why);
    if (status == STATUS_OK) {
        zloop_start(self.loop);
        daemon_say(pipe, STATUS_OK, "stopped");
    }
    director_destroy(&self);
}
