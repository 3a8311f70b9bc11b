/*  daemon - what every daemon's main does: options, settings, signals, one actor
 *
 *  Invariants
 *    1. A daemon that cannot start says one sentence (what, where, what to do)
 *       and ends with an exit code that programs can tell apart.
 *    2. SIGTERM, SIGINT or SIGHUP (unless that is ignored) lets its actor end
 *       in good order and exits with 0; another one exits at once, unless it
 *       comes so soon that it is the same wish.
 *
 *  What an actor and its program say to each other over the pipe: the actor
 *  says one daemon_say when it serves, or why it cannot; then one more when it
 *  has ended, because of $TERM (STATUS_OK) or because it cannot go on.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <czmq.h>

#include "settings.h"
#include "status.h"

//  An option of one program alone: --NAME, without a value.
typedef struct {
    const char *name;   //  NULL ends the list
    const char *says;   //  For --help; a line
    const char *needs;  //  Of another, without which it is refused; or NULL
    bool *given;
} daemon_flag_t;

typedef struct {
    const char *program;         //  "rill-storage"
    const char *does;            //  One line for --help
    settings_role_t runs;        //  What kind of node it is; the log's role
    size_t descriptors;          //  Open files that it may need
    const daemon_flag_t *flags;  //  Its own, or NULL
    zactor_fn *actor;
    //  What the actor gets; lent to it as long as it lives.
    void *(*args)(const settings_t *settings, const settings_node_t *node);
} daemon_t;

//  Run until it ends; what main returns: 0, or an exit code after sysexits.
int daemon_run(const daemon_t *daemon, int argc, char *argv[]);

//  For the actor: where it serves (STATUS_OK and HOST:PORT, logged as "ready"),
//  why it ended in good order, or the sentence why it cannot go on.
void daemon_say(zsock_t *pipe, status_t status, const char *text);

//  Take what daemon_say said; the caller frees `*text_r` with zstr_free. False:
//  the actor is gone.
bool daemon_hear(zactor_t *actor, status_t *status_r, char **text_r);

#endif
