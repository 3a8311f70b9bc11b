/*  links - what a cache has to the nodes it takes something from
 *
 *  Invariants
 *    1. (live.md 1) One DEALER and one SUB a node; those of a node that is lost
 *       are closed, never used again.
 *    2. What waits for a connection that does not come is thrown away: a node
 *       that comes back hears nothing old.
 */
#ifndef LINKS_H
#define LINKS_H

#include "frames.h"
#include "millis.h"

#define LINKS_MOST 128

typedef struct links links_t;

typedef struct {
    //  A node answered, or published; what came is lent.
    void (*said)(void *with, int link, const received_t *received,
                 millis_t now);
    void (*published)(void *with, int link, const received_t *received,
                      millis_t now);
    //  The connection broke.
    void (*lost)(void *with, int link, millis_t now);
    //  After each of these; -1 ends the loop.
    int (*after)(void *with, millis_t now);
} links_events_t;

//  The loop, the events and `with` are lent until destroy.
links_t *links_new(zloop_t *loop, const links_events_t *events, void *with);
void links_destroy(links_t **self_p);

//  A node at HOST:PORT; links are numbered in the order they were added. False:
//  that is no address, or there are too many. The name is lent until destroy.
bool links_add(links_t *self, const char *name, const char *reach);

//  Say something to a node, which is connected by the first. STATUS_BUSY: it
//  takes nothing now.
status_t links_tell(links_t *self, int link, const message_t *message,
                    millis_t now);

//  Hear (or not any more) a topic that a node publishes at an endpoint.
void links_hear(links_t *self, int link, const char *publish_at,
                frames_topic_t topic, bool on);

//  Close all there is to a node.
void links_hang_up(links_t *self, int link);

#endif
