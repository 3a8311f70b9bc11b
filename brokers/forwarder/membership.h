/*  membership - the queue of running workers (S7, R6)
 *
 *  Invariants
 *    1. A worker is in the queue from its admission until it leaves, once; a
 *       newer session of the same store replaces the older.
 *    2. It leaves when its session ends (lease, disconnection, its own word),
 *       or when its oldest receipt is overdue and a peer has receipted
 *       something pushed later; never because everybody is slow. Overdue is
 *       what took 1 s and twice what half of its peers take, or lately took; or
 *       10 s and twice what the best of them takes; and 1 s since that receipt.
 *       Time counts from 1 s after the last departure against a will, whose
 *       load the others have to take. One that owes a receipt for 3 s while it
 *       receipts others, or says that nothing waits for its disk, begins a new
 *       session without blame.
 *    3. A store that left against its will comes back only after a pause that
 *       doubles from 10 s to 5 min and is forgiven after as long in service;
 *       at once while fewer than two are in the queue. Who fell silent
 *       together with most of its peers did not leave against its will.
 *    4. The owner's own pause is nobody's fault: when it asks half a second
 *       late or more, everybody gets half a second more to be heard.
 *
 *  Pure: decides, and tells through return values. The owner closes sockets
 *  and deals again.
 */
#ifndef MEMBERSHIP_H
#define MEMBERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"
#include "endpoint.h"
#include "millis.h"

typedef enum {
    WORKER_AWAY,     //  Known, not running
    WORKER_JOINING,  //  Welcomed; its inventory is not in yet
    WORKER_WAITING,  //  Inventory is in; damped (invariant 3)
    WORKER_LIVE,     //  In the queue
} worker_state_t;

typedef struct {
    uint64_t store;
    char name[LIMIT_NAME_BYTES + 1];
    char reach[ENDPOINT_BYTES];  //  Where it answers questions
    worker_state_t state;
    uint64_t session;  //  0 when away
    uint64_t boot;
    uint64_t hello;  //  Request of the Hello that began the session, the
                     //  owner's
    bool served;     //  It was in the queue once
    uint64_t older;  //  What it says it lacks of epochs up to this one was
                     //  maybe lost, not never there (R8); the owner's
    bool full;       //  Said so: in service for reads, not dealt to. The
                     //  owner sets it; a new session begins without
    millis_t lease;  //  When the session ends by silence
    uint64_t chunks;
    uint64_t bytes;  //  As it says, plus what it receipted since
    uint64_t free_bytes;
    uint64_t space_bytes;
    uint64_t outstanding;  //  Pushed and not receipted
    uint64_t waiting;      //  Of them, those it says wait for its disk; the
    millis_t idle;         //  owner's, and since when it says that none does
    uint32_t parts;        //  Of its inventory that are in; the owner's
    millis_t shunned;      //  Not asked for reads before: it let one wait
    unsigned reads;        //  Asked of it and not answered; the owner's
    double read_ms;        //  What one takes it lately; 0: not known
} worker_t;

typedef struct membership membership_t;

//  `patience` is the factor on every deadline; lease 3 s, overdue 1 s.
membership_t *membership_new(double patience);
void membership_destroy(membership_t **self_p);

//  A hello was accepted: `store` joins under a new session, ending any older
//  one. Returns the worker; lent until destroy.
worker_t *membership_join(membership_t *self, uint64_t store, const char *name,
                          uint64_t boot, uint64_t session, millis_t now);

//  Its inventory is in: it becomes LIVE, or WAITING until the damping ends.
//  Nothing changes when it is not JOINING.
void membership_admit(membership_t *self, worker_t *worker, millis_t now);

//  It says it is there.
void membership_renew(membership_t *self, worker_t *worker, millis_t now);

//  Its session ends now; `blamed`: against its will (invariant 3 applies).
void membership_leave(membership_t *self, worker_t *worker, bool blamed,
                      millis_t now);

//  A chunk was pushed to it / it receipted one pushed as `ticket`. Tickets
//  grow over all workers in the order of pushes; one is outstanding until it
//  is receipted or the session ends. A receipt is a sign of life; one for a
//  ticket that is not outstanding changes nothing.
uint64_t membership_pushed(membership_t *self, worker_t *worker, millis_t now);
void membership_receipted(membership_t *self, worker_t *worker, uint64_t ticket,
                          millis_t now);

//  What was pushed as `ticket` is dealt again elsewhere: no receipt is awaited
//  any more. It took at least until now, and says no more of its health.
void membership_cancelled(membership_t *self, worker_t *worker, uint64_t ticket,
                          millis_t now);

//  The next worker whose session has ended by invariant 2 at `now`, or NULL;
//  the owner calls membership_leave for it and asks again. By reason of
//  receipts it never leaves fewer than two in the queue (R6).
worker_t *membership_overdue(membership_t *self, millis_t now);

//  The next LIVE worker that owes a receipt for 3 s, whatever the others do,
//  and has receipted something later, or nothing since though it waits for no
//  disk (invariant 2): what it was given, or its receipt, was lost on the way.
//  The owner ends its session without blame; the worker joins anew when all
//  that it has is on disk.
worker_t *membership_lost(membership_t *self, millis_t now);

//  The next WAITING worker whose damping has ended: it is LIVE now.
worker_t *membership_returned(membership_t *self, millis_t now);

worker_t *membership_find(membership_t *self, uint64_t store);
worker_t *membership_by_session(membership_t *self, uint64_t session);

//  Forget one that is away and was never in the queue: a stranger. False:
//  there is none.
bool membership_forget_stranger(membership_t *self);

//  All known workers in the order of their names; lent until the next join.
size_t membership_all(membership_t *self, worker_t ***all_r);

//  The queue: LIVE and not full, in the order of their stores' ids. Writes up
//  to `most`, returns how many there are.
size_t membership_queue(const membership_t *self, worker_t **queue,
                        size_t most);

//  Grows with every change of the queue: an extent made at another value is
//  stale. A change of `full` counts from the next call.
uint64_t membership_version(membership_t *self);

//  When membership_overdue, _lost or _returned may have something.
millis_t membership_due(const membership_t *self);

#endif
