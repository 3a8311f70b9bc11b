#include "links.h"

#include <stdio.h>

#include "endpoint.h"
#include "invariant.h"
#include "log.h"
#include "sockets.h"

enum {
    PATIENCE_MS = 1000,  //  For a connection (links 2)
};

typedef struct {
    links_t *owner;
    int number;
    const char *name;
    char endpoint[ENDPOINT_BYTES];  //  Of its front
    zsock_t *ask;                   //  NULL: closed
    zsock_t *watch;
    bool connected;
    millis_t opened;
    zsock_t *hear;  //  NULL: nothing is heard
    char hears_at[ENDPOINT_BYTES];
    frames_topic_t *topics;  //  That are heard
    size_t topics_count;
} link_t;

struct links {
    zloop_t *loop;
    links_events_t events;
    void *with;
    link_t links[LINKS_MOST];
    int count;
};

links_t *
links_new(zloop_t *loop, const links_events_t *events, void *with)
{
    links_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->events = *events;
    self->with = with;
    return self;
}

void
links_destroy(links_t **self_p)
{
    links_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (int i = 0; i < self->count; i++)
        links_hang_up(self, i);
    free(self);
}

bool
links_add(links_t *self, const char *name, const char *reach)
{
    link_t *link = &self->links[self->count];
    if (self->count == LINKS_MOST ||
        endpoint_parse(reach, link->endpoint) != STATUS_OK)
        return false;
    link->owner = self;
    link->number = self->count++;
    link->name = name;
    return true;
}

/*------------------------------------------------------------- what is said */

static void
close_ask(link_t *link)
{
    if (!link->ask)
        return;
    zloop_reader_end(link->owner->loop, link->ask);
    zloop_reader_end(link->owner->loop, link->watch);
    sockets_unwatch(link->ask, &link->watch);
    sockets_drop(&link->ask);
    link->connected = false;
}

//  What is done with what came may close the link.
static bool
take_answer(void *with, status_t status, received_t *received, millis_t now)
{
    link_t *link = with;
    links_t *self = link->owner;
    zsock_t *socket = link->ask;
    if (status == STATUS_OK)
        self->events.said(self->with, link->number, received, now);
    return link->ask == socket;
}

static int
on_ask(zloop_t *loop, zsock_t *socket, void *arg)
{
    (void)loop;
    link_t *link = arg;
    links_t *self = link->owner;
    millis_t now = zclock_mono();
    frames_take(socket, take_answer, link, now);
    return self->events.after(self->with, now);
}

static int
on_watch(zloop_t *loop, zsock_t *watch, void *arg)
{
    (void)loop;
    link_t *link = arg;
    links_t *self = link->owner;
    millis_t now = zclock_mono();
    int event = sockets_watch_event(watch);
    if (event > 0)
        link->connected = true;
    if (event < 0) {
        //  links 1
        close_ask(link);
        self->events.lost(self->with, link->number, now);
    }
    return self->events.after(self->with, now);
}

static status_t
open_ask(link_t *link, millis_t now)
{
    links_t *self = link->owner;
    status_t status = sockets_open_watched(SOCKET_LINK, link->endpoint,
                                           &link->ask, &link->watch);
    if (status != STATUS_OK) {
        log_event(LOG_AT_ERROR, "unreachable", "node=%s at=%s status=%s",
                  link->name, link->endpoint, status_name(status));
        return status;
    }
    link->opened = now;
    zloop_reader(self->loop, link->ask, on_ask, link);
    zloop_reader(self->loop, link->watch, on_watch, link);
    return STATUS_OK;
}

status_t
links_tell(links_t *self, int number, const message_t *message, millis_t now)
{
    link_t *link = &self->links[number];
    //  What waits for one who does not come is old when he does.
    if (link->ask && !link->connected && now - link->opened > PATIENCE_MS)
        close_ask(link);
    status_t status = link->ask ? STATUS_OK : open_ask(link, now);
    return status == STATUS_OK ? frames_send(link->ask, NULL, message, NULL)
                               : status;
}

/*------------------------------------------------------------ what is heard */

static void
close_hear(link_t *link)
{
    if (!link->hear)
        return;
    zloop_reader_end(link->owner->loop, link->hear);
    sockets_drop(&link->hear);
    free(link->topics);
    link->topics = NULL;
    link->topics_count = 0;
}

static bool
take_published(void *with, status_t status, received_t *received, millis_t now)
{
    link_t *link = with;
    links_t *self = link->owner;
    zsock_t *socket = link->hear;
    if (status == STATUS_OK)
        self->events.published(self->with, link->number, received, now);
    return link->hear == socket;
}

static int
on_heard(zloop_t *loop, zsock_t *socket, void *arg)
{
    (void)loop;
    link_t *link = arg;
    links_t *self = link->owner;
    millis_t now = zclock_mono();
    frames_take(socket, take_published, link, now);
    return self->events.after(self->with, now);
}

static bool
open_hear(link_t *link, const char *publish_at)
{
    //  What a peer says is an address, nothing that has to be looked up.
    if (!endpoint_numeric(publish_at) ||
        sockets_open(SOCKET_HEAR, publish_at, &link->hear) != STATUS_OK) {
        log_event(LOG_AT_ERROR, "unheard", "node=%s at=%s", link->name,
                  publish_at);
        return false;
    }
    snprintf(link->hears_at, sizeof link->hears_at, "%s", publish_at);
    zloop_reader(link->owner->loop, link->hear, on_heard, link);
    return true;
}

static void
leave_topic(link_t *link, frames_topic_t topic)
{
    for (size_t i = 0; i < link->topics_count; i++)
        if (link->topics[i].stream == topic.stream &&
            link->topics[i].grant == topic.grant) {
            link->topics[i] = link->topics[--link->topics_count];
            frames_subscribe(link->hear, topic, false);
            break;
        }
    if (link->topics_count == 0)
        close_hear(link);
}

void
links_hear(links_t *self, int number, const char *publish_at,
           frames_topic_t topic, bool on)
{
    link_t *link = &self->links[number];
    //  A node that has begun anew publishes elsewhere, and under other topics.
    if (link->hear && on && !streq(link->hears_at, publish_at))
        close_hear(link);
    if (!on) {
        leave_topic(link, topic);
        return;
    }
    if (!link->hear && !open_hear(link, publish_at))
        return;
    link->topics = realloc(link->topics,
                           (link->topics_count + 1) * sizeof *link->topics);
    INVARIANT(link->topics);
    link->topics[link->topics_count++] = topic;
    frames_subscribe(link->hear, topic, true);
}

void
links_hang_up(links_t *self, int number)
{
    close_hear(&self->links[number]);
    close_ask(&self->links[number]);
}
