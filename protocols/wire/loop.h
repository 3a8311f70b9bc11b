/*  loop - waits for all that an actor hears, and calls who hears it
 *
 *  Invariants
 *    1. Nothing that came is left lying: the loop does not sleep while a socket
 *       has something, whoever used that socket meanwhile.
 *    2. Who always has something keeps nobody else waiting: all others that
 *       have something are called before he is again.
 *    3. A handler may add and remove whatever it likes, itself and what is to
 *       be called next included, and close it then.
 *
 *  A socket of ZeroMQ tells by a descriptor that something may have come, and
 *  any use of the socket, a send too, may take this sign away. Who therefore
 *  asks every socket whenever one has something pays for all of them with each
 *  message: two system calls a socket. This loop asks those whose descriptor
 *  told and those that were used since.
 */
#ifndef LOOP_H
#define LOOP_H

#include <czmq.h>

typedef struct loop loop_t;

//  Something can be read; -1 ends the loop, 0 goes on.
typedef int loop_read_fn(zsock_t *socket, void *with);
typedef int loop_ready_fn(int fd, void *with);

//  NULL: no descriptor can be had.
loop_t *loop_new(void);
void loop_destroy(loop_t **self_p);

//  Read a socket, or a descriptor that poll knows, from now on. Both are lent
//  until they are removed.
void loop_add(loop_t *self, zsock_t *socket, loop_read_fn *read, void *with);
void loop_add_fd(loop_t *self, int fd, loop_ready_fn *ready, void *with);

//  No more; nothing happens if it is not read. Before it is closed.
void loop_remove(loop_t *self, const zsock_t *socket);
void loop_remove_fd(loop_t *self, int fd);

//  Until a handler ends it.
void loop_run(loop_t *self);

//  Something was sent or received on a socket outside its own handler: if the
//  loop that runs in this thread reads it, it looks there before it sleeps.
//  What sends for actors says so by itself (frames, tap, daemon).
void loop_used(const zsock_t *socket);

//  A receive just found nothing there: no need to look before its descriptor
//  tells, or it is used.
void loop_emptied(const zsock_t *socket);

#endif
