/*  feed - a publisher and its socket, as the benchmarks drive many in a thread
 */
#ifndef FEED_H
#define FEED_H

#include "frames.h"
#include "publisher.h"
#include "random.h"
#include "sockets.h"

typedef struct {
    zsock_t *socket;
    publisher_t *publisher;
} feed_t;

static status_t
feed_send(void *with, const message_t *message, buffer_t *payload)
{
    feed_t *self = with;
    return frames_send(self->socket, NULL, message, payload);
}

static uint64_t
feed_random(void *with)
{
    (void)with;
    return random_u64();
}

static bool
feed_take(void *with, status_t status, received_t *received, millis_t now)
{
    feed_t *self = with;
    if (status == STATUS_OK)
        publisher_on_message(self->publisher, received->message, now);
    return true;
}

//  To the forwarder at HOST:PORT; not STATUS_OK: that is no address.
static inline status_t
feed_open(feed_t *self, const char *at, const publisher_settings_t *settings,
          millis_t now)
{
    static const publisher_effects_t EFFECTS = { .send = feed_send,
                                                 .random = feed_random };
    char endpoint[ENDPOINT_BYTES];
    snprintf(endpoint, sizeof endpoint, "tcp://%s", at);
    status_t status = sockets_open(SOCKET_ASK, endpoint, &self->socket);
    if (status == STATUS_OK)
        self->publisher = publisher_new(settings, &EFFECTS, self, now);
    return status;
}

static inline void
feed_close(feed_t *self)
{
    publisher_destroy(&self->publisher);
    zsock_destroy(&self->socket);
}

//  Take what came.
static inline void
feed_hear(feed_t *self, millis_t now)
{
    frames_take(self->socket, feed_take, self, now);
}

static inline void
feed_sweep(feed_t *self, millis_t now)
{
    if (publisher_due(self->publisher) <= now)
        publisher_sweep(self->publisher, now);
}

#endif
