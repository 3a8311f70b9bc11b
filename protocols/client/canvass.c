#include "canvass.h"

#include <stdlib.h>

#include "frames.h"
#include "invariant.h"
#include "random.h"
#include "sockets.h"

typedef struct {
    zsock_t *socket;   //  DEALER; NULL: it cannot be asked
    uint64_t request;  //  That is not answered; 0: none
    message_t *answer;
    int64_t asked_us;
    double ms;  //  That it took for its last answer
} node_t;

struct canvass {
    node_t *nodes;
    zmq_pollitem_t *items;  //  Room for all, used within a call
    size_t count;
    uint64_t request;
};

canvass_t *
canvass_new(const char *const *ats, size_t count)
{
    canvass_t *self = zmalloc(sizeof *self);
    self->nodes = zmalloc((count + 1) * sizeof *self->nodes);
    self->items = zmalloc((count + 1) * sizeof *self->items);
    self->count = count;
    self->request = random_u64() >> 1;
    for (size_t i = 0; i < count; i++) {
        char endpoint[ENDPOINT_BYTES];
        if (endpoint_parse(ats[i], endpoint) == STATUS_OK)
            (void)sockets_open(SOCKET_ASK, endpoint, &self->nodes[i].socket);
    }
    return self;
}

void
canvass_destroy(canvass_t **self_p)
{
    canvass_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        message_free(&self->nodes[i].answer);
        if (self->nodes[i].socket)
            sockets_drop(&self->nodes[i].socket);
    }
    free(self->nodes);
    free(self->items);
    free(self);
}

void
canvass_ask(canvass_t *self, size_t nth, message_t *question)
{
    INVARIANT(nth < self->count);
    node_t *node = &self->nodes[nth];
    message_free(&node->answer);
    question->request = node->request = ++self->request;
    question->trace = random_u64();
    node->asked_us = zclock_usecs();
    if (node->socket)
        (void)frames_send(node->socket, NULL, question, NULL);
}

//  Take what has come from a node.
static void
receive(node_t *node)
{
    received_t received;
    status_t status;
    while ((status = frames_receive(node->socket, &received)) != STATUS_LATE) {
        if (status != STATUS_OK)
            continue;
        if (node->request && received.message->request == node->request) {
            node->answer = received.message;
            received.message = NULL;
            node->request = 0;
            node->ms = (double)(zclock_usecs() - node->asked_us) / 1e3;
        }
        frames_release(&received);
    }
}

void
canvass_wait(canvass_t *self, millis_t until)
{
    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < self->count; i++) {
            node_t *node = &self->nodes[i];
            if (node->socket && node->request)
                receive(node);
            if (node->socket && node->request)
                self->items[open++] = (zmq_pollitem_t){
                    .socket = zsock_resolve(node->socket), .events = ZMQ_POLLIN
                };
        }
        millis_t now = zclock_mono();
        if (open == 0 || now >= until)
            return;
        (void)zmq_poll(self->items, (int)open, (long)(until - now));
    }
}

double
canvass_ms(const canvass_t *self, size_t nth)
{
    INVARIANT(nth < self->count);
    return self->nodes[nth].ms;
}

message_t *
canvass_take(canvass_t *self, size_t nth)
{
    INVARIANT(nth < self->count);
    message_t *answer = self->nodes[nth].answer;
    self->nodes[nth].answer = NULL;
    return answer;
}
