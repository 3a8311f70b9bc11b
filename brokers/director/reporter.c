#include "reporter.h"

#include <stdlib.h>
#include <string.h>

#include "alarm.h"
#include "invariant.h"
#include "log.h"
#include "sockets.h"

enum { RETRY_MS = 100 };  //  To report to a director that is not connected

//  A question that was passed on. Its number at the director is its place in
//  the table and how often that was used.
typedef struct {
    bool open;
    uint64_t number;
    peer_t peer;
    uint64_t request, trace;
    char address[FRAMES_ADDRESS_BYTES];
    millis_t due;
} passed_t;

struct reporter {
    zloop_t *loop;  //  Lent
    const settings_t *settings;
    const settings_cache_t *cache;
    reporter_events_t events;
    void *with;
    alarm_t *alarm;
    zsock_t *director;  //  DEALER; NULL: there is none
    uint64_t incarnation, seq;
    uint64_t next;  //  Number of the next question
    millis_t keep_ms, again;
    bool refused;  //  And said so
    passed_t passed[REPORTER_PASSED];
};

/*---------------------------------------------------------------- answers */

static void
send_on(void *with, const peer_t *peer, const message_t *message)
{
    reporter_t *self = with;
    self->events.send(self->with, peer, message);
}

static void
stand_in(reporter_t *self, const peer_t *peer, uint64_t request, uint64_t trace,
         const char *address)
{
    static const director_effects_t EFFECTS = { .send = send_on };
    Rill__V1__Where where = RILL__V1__WHERE__INIT;
    message_t question = MESSAGE(WHERE, where, &where, request, trace);
    director_core_stand_in(self->settings, self->cache, &EFFECTS, self, peer,
                           &question, address);
}

static void
give_up(reporter_t *self, passed_t *passed)
{
    passed->open = false;
    stand_in(self, &passed->peer, passed->request, passed->trace,
             passed->address);
}

//  Whether the director's answer is one for the terminal: not that it has just
//  begun or cannot be asked.
static bool
is_final(const message_t *answer)
{
    if (answer->body_case == RILL__V1__MESSAGE__BODY_OFFER)
        return true;
    status_t status = answer->body_case == RILL__V1__MESSAGE__BODY_REFUSED
                          ? message_status(answer->refused->status)
                          : STATUS_KIND;
    return status == STATUS_NAME || status == STATUS_ARGUMENT;
}

static void
on_answer(reporter_t *self, message_t *answer)
{
    passed_t *passed = &self->passed[answer->request % REPORTER_PASSED];
    if (answer->body_case == RILL__V1__MESSAGE__BODY_LOADED) {
        self->refused = false;
        if (answer->loaded->keep_ms > 0)
            self->keep_ms = answer->loaded->keep_ms;
        self->again = millis_least(self->again, zclock_mono() + self->keep_ms);
    } else if (answer->request == 0) {
        if (answer->body_case == RILL__V1__MESSAGE__BODY_REFUSED &&
            !self->refused)
            log_event(LOG_AT_ERROR, "director_refuses", "why=%s",
                      answer->refused->text);
        self->refused = true;
    } else if (passed->open && passed->number == answer->request) {
        if (!is_final(answer)) {
            give_up(self, passed);
            return;
        }
        passed->open = false;
        answer->request = passed->request;
        answer->trace = passed->trace;
        self->events.send(self->with, &passed->peer, answer);
    }
}

/*---------------------------------------------------------------- reports */

//  False: the director is not connected.
static bool
report(reporter_t *self, bool leaving)
{
    Rill__V1__Load load = RILL__V1__LOAD__INIT;
    load.node = self->cache->node.name;
    load.incarnation = self->incarnation;
    load.seq = ++self->seq;
    load.leaving = leaving;
    self->events.fill(self->with, &load);
    message_t message = MESSAGE(LOAD, load, &load, 0, 0);
    return frames_send(self->director, NULL, &message, NULL) == STATUS_OK;
}

static void
set_alarm(reporter_t *self)
{
    millis_t due = self->director ? self->again : MILLIS_NEVER;
    for (size_t i = 0; i < REPORTER_PASSED; i++)
        if (self->passed[i].open)
            due = millis_least(due, self->passed[i].due);
    alarm_set(self->alarm, due);
}

static int
on_alarm(void *arg)
{
    reporter_t *self = arg;
    millis_t now = zclock_mono();
    for (size_t i = 0; i < REPORTER_PASSED; i++)
        if (self->passed[i].open && self->passed[i].due <= now)
            give_up(self, &self->passed[i]);
    if (self->director && self->again <= now) {
        self->again = now + (report(self, false) ? self->keep_ms : RETRY_MS);
    }
    set_alarm(self);
    return 0;
}

static bool
take_answer(void *with, status_t status, received_t *received, millis_t now)
{
    (void)now;
    if (status == STATUS_OK)
        on_answer(with, received->message);
    return true;
}

static int
on_director(zloop_t *loop, zsock_t *director, void *arg)
{
    (void)loop;
    frames_take(director, take_answer, arg, zclock_mono());
    set_alarm(arg);
    return 0;
}

/*-------------------------------------------------------------- questions */

//  Pass a question on. False: that cannot be now.
static bool
pass_on(reporter_t *self, const received_t *received)
{
    Rill__V1__Where where = *received->message->where;
    passed_t *passed = &self->passed[self->next % REPORTER_PASSED];
    if (!self->director || passed->open)
        return false;
    if (!*where.address)
        where.address = message_lend(received->address);
    message_t message = MESSAGE(WHERE, where, &where, self->next,
                                received->message->trace);
    if (frames_send(self->director, NULL, &message, NULL) != STATUS_OK)
        return false;
    *passed = (passed_t){
        .open = true,
        .number = self->next,
        .peer = received->peer,
        .request = received->message->request,
        .trace = received->message->trace,
        .due = zclock_mono() +
               (millis_t)(REPORTER_WAIT_MS * self->settings->patience),
    };
    strcpy(passed->address, received->address);
    self->next++;
    set_alarm(self);
    return true;
}

bool
reporter_on_front(reporter_t *self, const received_t *received)
{
    if (received->message->body_case != RILL__V1__MESSAGE__BODY_WHERE)
        return false;
    if (!pass_on(self, received))
        stand_in(self, &received->peer, received->message->request,
                 received->message->trace, received->address);
    return true;
}

/*----------------------------------------------------------- start and end */

reporter_t *
reporter_new(zloop_t *loop, const settings_t *settings,
             const settings_cache_t *cache, uint64_t incarnation,
             const reporter_events_t *events, void *with)
{
    reporter_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->loop = loop;
    self->settings = settings;
    self->cache = cache;
    self->incarnation = incarnation;
    self->events = *events;
    self->with = with;
    self->next = 1;  //  0 is the reports'
    self->keep_ms = (millis_t)(DIRECTOR_KEEP_MS * settings->patience);
    self->alarm = alarm_new(loop, on_alarm, self);
    char at[ENDPOINT_BYTES];
    const settings_node_t *director = &settings->director.node;
    bool right = self->alarm != NULL;
    if (right && director->name)
        right = endpoint_parse(director->reach, at) == STATUS_OK &&
                sockets_open(SOCKET_TELL, at, &self->director) == STATUS_OK;
    if (!right) {
        reporter_destroy(&self);
        return NULL;
    }
    if (self->director)
        zloop_reader(loop, self->director, on_director, self);
    self->again = zclock_mono();
    set_alarm(self);
    return self;
}

void
reporter_destroy(reporter_t **self_p)
{
    reporter_t *self = *self_p;
    if (self && self->director) {
        report(self, true);
        zloop_reader_end(self->loop, self->director);
        zsock_destroy(&self->director);
    }
    if (self)
        alarm_destroy(&self->alarm);
    free(self);
    *self_p = NULL;
}
