/*  listener - hears what the nodes of a cluster tell of themselves
 *
 *  Invariants
 *    1. What of a node's events does not arrive is told as lost, by kind: what
 *       is heard and what is lost is all that it told from the moment its
 *       state was LISTENER_HEARD.
 *    2. A node that does not answer, hangs or starts anew is told so once, and
 *       takes nothing from the others. For how long the listener itself did
 *       not listen no node is blamed.
 *    3. (house 18) Whoever is slow in here loses events and no node waits: the
 *       queue of each node's events is bounded.
 *
 *  It begins with the nodes that it is given, and adds those that their Reports
 *  name: a director's nodes, a forwarder's workers. Each node is asked for its
 *  tap, is heard by a socket of its own, and is asked again when its connection
 *  ends. For programs; used in one thread. A process calls sockets_begin before.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "events.h"
#include "message.h"
#include "millis.h"

#define LISTENER_REACH_MS 3000
#define LISTENER_SILENT_MS 4000

typedef struct listener listener_t;

typedef enum {
    LISTENER_UNKNOWN,  //  Not told: it was asked a moment ago
    LISTENER_HEARD,    //  From now on all is heard, or told as lost
    LISTENER_ABSENT,   //  It does not answer
    LISTENER_MUTE,     //  It answers and has no tap
    LISTENER_GONE,     //  Its connection ended
    LISTENER_SILENT,   //  It is connected and says nothing
} listener_state_t;

typedef struct {
    const char *name;  //  "": it has not said it
    const char *role;  //  forwarder, worker, cache, director; ""
    const char *at;    //  HOST:PORT of its front
    listener_state_t state;
} listener_node_t;

//  What it hands to its owner; all of it is lent for the call.
typedef struct {
    //  Whether a node is wanted, whose name and role are known.
    bool (*wants)(void *with, const listener_node_t *node);
    //  An event; `is_last`: from before, on `last`.
    void (*event)(void *with, const event_t *event, bool is_last);
    //  What a node counts, each second. May be NULL.
    void (*sample)(void *with, const Rill__V1__Sample *sample);
    void (*lost)(void *with, const listener_node_t *node, size_t kind,
                 uint64_t count);
    //  A node has another state.
    void (*turned)(void *with, const listener_node_t *node);
} listener_effects_t;

typedef struct {
    uint64_t kinds;      //  To be heard: bit `kind`; 0: samples only
    bool last;           //  Each node tells its last rare events first
    millis_t reach_ms;   //  Without an answer a node is absent; 0: as above
    millis_t silent_ms;  //  Without a word it hangs; 0: as above
} listener_settings_t;

//  The caller owns it; `effects` and `with` are lent until listener_destroy.
listener_t *listener_new(const listener_settings_t *settings,
                         const listener_effects_t *effects, void *with);
void listener_destroy(listener_t **self_p);

//  Begin with one more node at HOST:PORT. `name` and `role` may be "" when they
//  are not known; it says them. Who has no address is no node to be listened to:
//  a store that no worker serves now, and whose name may be nobody's for ever.
void listener_add(listener_t *self, const char *name, const char *role,
                  const char *at);

//  Hear what comes until it is `until`, or a signal, or something came.
void listener_wait(listener_t *self, millis_t until);

//  Whether every node that is known has a state.
bool listener_settled(const listener_t *self);

//  The nth node, wanted or not; NULL: there are not so many. Lent until the
//  next call that is not this one.
const listener_node_t *listener_nth(const listener_t *self, size_t nth,
                                    bool *wanted_r);

#endif
