/*  breaker - bound sockets that use up the process are closed and bound again
 *
 *  Invariants
 *    1. (house 18) While the process holds more memory than the allowance that
 *       no counted buffer accounts for, or fewer descriptors are free than the
 *       reserve for files, one bound socket after the other is closed, until
 *       it is given back. Each is bound again where it was.
 *    2. What closing all of them does not give back is the program's own and
 *       is allowed from then on: nothing is closed for ever and ever.
 *
 *  Nothing of an unfinished multipart comes out of a socket (Z15), so a peer
 *  that never ends one fills the memory unseen and unbounded by any mark (Z14).
 *  So do peers that send faster than anything can be read and refused; and
 *  connections that say nothing leave no descriptor for anybody (Z6). Which
 *  socket it was shows when it is closed. Its peers connect again by
 *  themselves and say again what was lost; everybody must be ready for that.
 */
#ifndef BREAKER_H
#define BREAKER_H

#include "alarm.h"
#include "sockets.h"

#define BREAKER_SOCKETS 4

//  What closing has led to so far. A plain value.
typedef struct {
    size_t allowed;  //  Bytes, or descriptors
    size_t base;     //  Found to be the program's own, beside these
    unsigned tried;  //  Sockets closed since all was well
    size_t last;     //  Used when the last one was closed
    millis_t again;  //  Not before: it is given back in its own time, unless
                     //  more is used by then: so it was not that one
} breaker_rule_t;

#define BREAKER_NONE (-1)

//  The rule: so much is `used`. Which of `sockets` sockets is
//  to be closed now, or BREAKER_NONE.
int breaker_judge(breaker_rule_t *rule, size_t used, unsigned sockets,
                  millis_t now);

//  Bytes this process holds that no counted buffer accounts for.
size_t breaker_stray(void);

typedef struct breaker breaker_t;

//  A bound socket that is watched, and who reads it.
typedef struct {
    const char *name;    //  For the log
    zsock_t **socket_p;  //  The owner's; NULL while it is closed
    socket_kind_t kind;
    zloop_reader_fn *read;
    void (*flooded)(void *with);  //  It is closed now; may be NULL
    void *with;                   //  Of both
} breaker_place_t;

//  A breaker that looks while `loop`, which is lent, runs.
breaker_t *breaker_new(zloop_t *loop, size_t allowed);
void breaker_destroy(breaker_t **self_p);

//  Watch a bound socket, and read it, from now on until destroy; at most
//  BREAKER_SOCKETS, those to be suspected first are added first. The place is
//  copied, what it names is lent.
void breaker_add(breaker_t *self, const breaker_place_t *place);

//  Read one of these, or not for now.
void breaker_read(breaker_t *self, zsock_t **socket_p, bool on);

//  Take what was subscribed to at one of these, an XPUB that is readable; with
//  more than `most` topics it is closed now, as above. Who subscribes to more
//  than is published fills the memory, and each peer that goes has all of it
//  searched.
void breaker_topics(breaker_t *self, zsock_t **socket_p, size_t most);

//  One of these is flooded, says its owner: it is closed now, as above.
void breaker_close(breaker_t *self, zsock_t **socket_p);

#endif
