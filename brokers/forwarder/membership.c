#include "membership.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum {
    LEASE_MS = 3000,
    OVERDUE_MS = 1000,
    STUCK_MS = 10 * 1000,  //  While most are slow
    LOST_MS = 3000,        //  A receipt so late may be lost
    TOGETHER_MS = 1000,    //  Who falls silent in this time does so together
    LATE_MS = 500,         //  By so much the owner may itself be late
    PAUSE_LEAST_MS = 10 * 1000,
    PAUSE_MOST_MS = 5 * 60 * 1000,
    LIVE_LEFT = 2,  //  Receipts never leave fewer in the queue
};

//  A chunk pushed and not known to be on disk.
typedef struct {
    uint64_t ticket;
    millis_t pushed;
    bool closed;  //  But one pushed before it is not
} push_t;

//  What a store has outstanding, in the order of pushes: a ring.
typedef struct {
    push_t *pushes;
    size_t first;
    size_t count;
    size_t room;  //  A power of two, or 0
} pushes_t;

typedef struct {
    worker_t worker;  //  First: a worker_t of ours is a seat_t
    pushes_t pushes;
    uint64_t highest;     //  Ticket receipted, in all its sessions
    millis_t receipted;   //  When it last receipted anything
    millis_t overtaken;   //  When a peer first receipted something pushed later
                          //  than the oldest of its pushes; or NEVER
    millis_t eased;       //  Until when its last slowness counts: as long again
    bool counted_full;    //  `full` as the version knows it
    millis_t live_since;  //  While LIVE
    millis_t pause;       //  Of the last departure against its will; 0: none
    millis_t returns;     //  When that pause ends
} seat_t;

struct membership {
    double patience;
    seat_t **by_store;  //  In the order of stores' ids; owns them
    worker_t **by_name;
    size_t count;
    uint64_t ticket;  //  The last one given
    uint64_t version;
    millis_t busy;     //  Until then one that left against its will, whose
                       //  load was dealt again, makes the others late
    millis_t asked;    //  When the owner last asked who leaves
    millis_t before;   //  And the time before that
    millis_t excused;  //  The owner was late: nobody is, before this
};

static millis_t
patient(const membership_t *self, millis_t span)
{
    return (millis_t)((double)span * self->patience);
}

static millis_t
most(millis_t a, millis_t b)
{
    return a > b ? a : b;
}

static seat_t *
seat_of(worker_t *worker)
{
    return (seat_t *)worker;
}

static push_t *
nth_push(const pushes_t *self, size_t nth)
{
    return &self->pushes[(self->first + nth) & (self->room - 1)];
}

static void
resize(pushes_t *self, size_t room)
{
    push_t *pushes = malloc(room * sizeof(*pushes));
    INVARIANT(pushes);
    for (size_t i = 0; i < self->count; i++)
        pushes[i] = *nth_push(self, i);
    free(self->pushes);
    self->pushes = pushes;
    self->first = 0;
    self->room = room;
}

//  Take out what was closed out of order, so that one receipt that never
//  comes does not keep what came behind it.
static void
squeeze(pushes_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++)
        if (!nth_push(self, i)->closed)
            *nth_push(self, kept++) = *nth_push(self, i);
    self->count = kept;
}

static void
append(pushes_t *self, uint64_t ticket, millis_t now)
{
    if (self->count == self->room) {
        squeeze(self);
        if (self->count >= self->room / 2)
            resize(self, self->room ? self->room * 2 : 16);
    }
    push_t push = { .ticket = ticket, .pushed = now };
    *nth_push(self, self->count++) = push;
}

//  What was pushed as `ticket` is done with; false when it is not outstanding.
//  However it ended, so long it took.
static bool
close_push(seat_t *seat, uint64_t ticket, millis_t now)
{
    pushes_t *self = &seat->pushes;
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (nth_push(self, middle)->ticket < ticket)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == self->count || nth_push(self, low)->ticket != ticket ||
        nth_push(self, low)->closed)
        return false;
    push_t *push = nth_push(self, low);
    push->closed = true;
    seat->eased = most(seat->eased, now + (now - push->pushed));
    while (self->count && nth_push(self, 0)->closed) {
        self->first = (self->first + 1) & (self->room - 1);
        self->count--;
    }
    return true;
}

static void
forget(pushes_t *self)
{
    free(self->pushes);
    *self = (pushes_t){ 0 };
}

membership_t *
membership_new(double patience)
{
    INVARIANT(patience > 0);
    membership_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->patience = patience;
    return self;
}

void
membership_destroy(membership_t **self_p)
{
    membership_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        forget(&self->by_store[i]->pushes);
        free(self->by_store[i]);
    }
    free(self->by_store);
    free(self->by_name);
    free(self);
}

//  Where `store` is or belongs in by_store.
static size_t
place_of(const membership_t *self, uint64_t store)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->by_store[middle]->worker.store < store)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static seat_t *
add(membership_t *self, uint64_t store)
{
    seat_t *seat = calloc(1, sizeof(*seat));
    size_t bytes = (self->count + 1) * sizeof(seat_t *);
    self->by_store = realloc(self->by_store, bytes);
    self->by_name = realloc(self->by_name, bytes);
    INVARIANT(seat && self->by_store && self->by_name);

    size_t place = place_of(self, store);
    memmove(&self->by_store[place + 1], &self->by_store[place],
            (self->count - place) * sizeof(seat_t *));
    self->by_store[place] = seat;
    self->by_name[self->count++] = &seat->worker;
    seat->worker.store = store;
    seat->overtaken = MILLIS_NEVER;
    return seat;
}

//  Names are labels: a store that was wiped has a new id under its old name.
static int
compare_names(const void *a, const void *b)
{
    const worker_t *left = *(worker_t *const *)a;
    const worker_t *right = *(worker_t *const *)b;
    int order = strcmp(left->name, right->name);
    return order ? order : (left->store > right->store) * 2 - 1;
}

//  The session is over, whatever ended it.
static void
end_session(membership_t *self, seat_t *seat, millis_t now)
{
    worker_t *worker = &seat->worker;
    if (worker->state == WORKER_LIVE) {
        self->version++;
        if (now - seat->live_since >= seat->pause)
            seat->pause = 0;
    }
    forget(&seat->pushes);
    seat->overtaken = MILLIS_NEVER;
    worker->outstanding = 0;
    worker->waiting = 0;
    worker->session = 0;
    worker->state = WORKER_AWAY;
}

static void
enter(membership_t *self, seat_t *seat, millis_t now)
{
    seat->worker.state = WORKER_LIVE;
    seat->worker.served = true;
    seat->counted_full = seat->worker.full;
    seat->live_since = now;
    self->version++;
}

worker_t *
membership_join(membership_t *self, uint64_t store, const char *name,
                uint64_t boot, uint64_t session, millis_t now)
{
    INVARIANT(session && strlen(name) <= LIMIT_NAME_BYTES);
    worker_t *worker = membership_find(self, store);
    if (!worker)
        worker = &add(self, store)->worker;
    end_session(self, seat_of(worker), now);
    strcpy(worker->name, name);
    qsort(self->by_name, self->count, sizeof(worker_t *), compare_names);
    worker->state = WORKER_JOINING;
    worker->session = session;
    worker->boot = boot;
    worker->full = false;
    worker->lease = now + patient(self, LEASE_MS);
    return worker;
}

static millis_t returns(const membership_t *self, const seat_t *seat,
                        millis_t now);

void
membership_admit(membership_t *self, worker_t *worker, millis_t now)
{
    seat_t *seat = seat_of(worker);
    if (worker->state != WORKER_JOINING)
        return;
    if (seat->pause && now < returns(self, seat, now))
        worker->state = WORKER_WAITING;
    else
        enter(self, seat, now);
}

void
membership_renew(membership_t *self, worker_t *worker, millis_t now)
{
    if (worker->state != WORKER_AWAY)
        worker->lease = now + patient(self, LEASE_MS);
}

//  Whether more of its peers fell silent when it did than were heard since.
static bool
silent_together(const membership_t *self, const seat_t *seat)
{
    millis_t together = patient(self, TOGETHER_MS);
    size_t silent = 0, heard = 0;
    for (size_t i = 0; i < self->count; i++) {
        const seat_t *peer = self->by_store[i];
        millis_t later = peer->worker.lease - seat->worker.lease;
        if (peer == seat || !peer->worker.served)
            continue;
        silent += later > -together && later < together;
        heard += later >= together && peer->worker.state != WORKER_AWAY;
    }
    return silent > heard;
}

void
membership_leave(membership_t *self, worker_t *worker, bool blamed,
                 millis_t now)
{
    seat_t *seat = seat_of(worker);
    if (now >= worker->lease && silent_together(self, seat))
        blamed = false;
    if (blamed && worker->state == WORKER_LIVE)
        self->busy = now + patient(self, OVERDUE_MS);
    end_session(self, seat, now);
    if (!blamed)
        return;
    millis_t twice = seat->pause * 2;
    seat->pause = twice < PAUSE_LEAST_MS ? PAUSE_LEAST_MS
                                         : millis_least(twice, PAUSE_MOST_MS);
    seat->returns = now + seat->pause;
}

uint64_t
membership_pushed(membership_t *self, worker_t *worker, millis_t now)
{
    INVARIANT(worker->state != WORKER_AWAY);
    append(&seat_of(worker)->pushes, ++self->ticket, now);
    worker->outstanding++;
    return self->ticket;
}

//  What the peers of each worker have done, for all workers in one pass.
typedef struct {
    const seat_t *ahead;  //  Who receipted the highest ticket
    uint64_t highest;     //  That ticket
    uint64_t second;      //  The highest of all the others
    size_t queued;        //  Workers in the queue
} peers_t;

static bool
queued(const seat_t *seat)
{
    return seat->worker.state == WORKER_LIVE && !seat->worker.full;
}

static peers_t
look_at_peers(const membership_t *self)
{
    peers_t peers = { 0 };
    for (size_t i = 0; i < self->count; i++) {
        const seat_t *seat = self->by_store[i];
        peers.queued += queued(seat);
        if (!peers.ahead || seat->highest > peers.highest) {
            peers.second = peers.highest;
            peers.highest = seat->highest;
            peers.ahead = seat;
        } else if (seat->highest > peers.second) {
            peers.second = seat->highest;
        }
    }
    return peers;
}

//  Something that a worker had outstanding is done with.
static void
look_who_is_overtaken(membership_t *self, millis_t now)
{
    peers_t peers = look_at_peers(self);
    for (size_t i = 0; i < self->count; i++) {
        seat_t *seat = self->by_store[i];
        uint64_t highest = peers.ahead == seat ? peers.second : peers.highest;
        if (!seat->pushes.count || nth_push(&seat->pushes, 0)->ticket > highest)
            seat->overtaken = MILLIS_NEVER;
        else
            seat->overtaken = millis_least(seat->overtaken, now);
    }
}

void
membership_receipted(membership_t *self, worker_t *worker, uint64_t ticket,
                     millis_t now)
{
    seat_t *seat = seat_of(worker);
    if (!close_push(seat, ticket, now))
        return;
    worker->outstanding--;
    if (ticket > seat->highest)
        seat->highest = ticket;
    seat->receipted = now;
    look_who_is_overtaken(self, now);
    membership_renew(self, worker, now);
}

void
membership_cancelled(membership_t *self, worker_t *worker, uint64_t ticket,
                     millis_t now)
{
    if (!close_push(seat_of(worker), ticket, now))
        return;
    worker->outstanding--;
    look_who_is_overtaken(self, now);
}

//  When a receipt owed since `since` is late beside those of a peer: a second,
//  and twice as long as that one takes now or took last, which counts for as
//  long again.
static millis_t
late_beside(const membership_t *self, const seat_t *peer, millis_t since)
{
    millis_t least = since + patient(self, OVERDUE_MS);
    millis_t late = most(least, (least + 2 * peer->eased) / 3);
    if (peer->pushes.count == 0)
        return late;
    millis_t owed = self->asked - nth_push(&peer->pushes, 0)->pushed;
    return most(late, least + 2 * owed);
}

static int
compare_times(const void *a, const void *b)
{
    millis_t left = *(const millis_t *)a, right = *(const millis_t *)b;
    return (left > right) - (left < right);
}

//  When it is late beside half of its peers; or beside any, if for long.
static millis_t
late_beside_peers(const membership_t *self, const seat_t *seat, millis_t since)
{
    millis_t *late = calloc(self->count, sizeof *late);
    INVARIANT(late);
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->by_store[i] != seat && queued(self->by_store[i]))
            late[count++] = late_beside(self, self->by_store[i], since);
    qsort(late, count, sizeof *late, compare_times);
    millis_t stuck = late[0] + patient(self, STUCK_MS - OVERDUE_MS);
    millis_t when = millis_least(late[(count - 1) / 2], stuck);
    free(late);
    return when;
}

//  When the session ends by silence or by receipts, as things are (R6).
static millis_t
ends(const membership_t *self, const seat_t *seat, const peers_t *peers)
{
    if (seat->worker.state == WORKER_AWAY)
        return MILLIS_NEVER;
    millis_t lease = seat->worker.lease;
    if (!seat->pushes.count || peers->queued - queued(seat) < LIVE_LEFT)
        return lease;
    if (seat->overtaken == MILLIS_NEVER)
        return lease;
    millis_t since = most(nth_push(&seat->pushes, 0)->pushed, self->busy);
    millis_t overdue = most(since, seat->overtaken) + patient(self, OVERDUE_MS);
    if (self->asked >= overdue)
        overdue = most(overdue, late_beside_peers(self, seat, since));
    return millis_least(lease, overdue);
}

//  When the oldest thing that it was given is taken to be lost. One that is
//  only slow receipts what came first, first, or says what waits for its disk.
static millis_t
loses(const membership_t *self, const seat_t *seat, const peers_t *peers)
{
    (void)peers;
    if (seat->worker.state != WORKER_LIVE || !seat->pushes.count)
        return MILLIS_NEVER;
    const push_t *oldest = nth_push(&seat->pushes, 0);
    if (seat->highest > oldest->ticket)
        return oldest->pushed + patient(self, LOST_MS);
    if (seat->worker.waiting)
        return MILLIS_NEVER;
    //  What it told last may still be on its way.
    return most(most(oldest->pushed, seat->receipted), seat->worker.idle) +
           patient(self, LOST_MS);
}

typedef millis_t when_fn(const membership_t *self, const seat_t *seat,
                         const peers_t *peers);

//  For whom it is soonest; NULL when for nobody ever.
static seat_t *
soonest(const membership_t *self, when_fn *of, millis_t *when_r)
{
    peers_t peers = look_at_peers(self);
    seat_t *first = NULL;
    *when_r = MILLIS_NEVER;
    for (size_t i = 0; i < self->count; i++) {
        millis_t when = of(self, self->by_store[i], &peers);
        if (when < *when_r) {
            *when_r = when;
            first = self->by_store[i];
        }
    }
    return first;
}

//  The same, when its time has come and the owner is not late itself.
static worker_t *
come(membership_t *self, when_fn *of, millis_t now)
{
    millis_t when;
    if (now > self->asked) {
        self->before = self->asked;
        self->asked = now;
    }
    seat_t *first = soonest(self, of, &when);
    if (!first || now < when || now < self->excused)
        return NULL;
    //  What happened since it asked last can make anybody late at once.
    millis_t expected = most(when, most(self->excused, self->before));
    if (now - expected > patient(self, LATE_MS)) {
        self->excused = now + patient(self, LATE_MS);
        return NULL;
    }
    return &first->worker;
}

worker_t *
membership_overdue(membership_t *self, millis_t now)
{
    return come(self, ends, now);
}

worker_t *
membership_lost(membership_t *self, millis_t now)
{
    return come(self, loses, now);
}

//  When a waiting one comes back: at once while too few are in the queue.
static millis_t
returns(const membership_t *self, const seat_t *seat, millis_t now)
{
    unsigned queue = look_at_peers(self).queued;
    return queue < LIVE_LEFT ? millis_least(now, seat->returns) : seat->returns;
}

worker_t *
membership_returned(membership_t *self, millis_t now)
{
    for (size_t i = 0; i < self->count; i++) {
        seat_t *seat = self->by_store[i];
        if (seat->worker.state != WORKER_WAITING ||
            now < returns(self, seat, now))
            continue;
        enter(self, seat, now);
        return &seat->worker;
    }
    return NULL;
}

worker_t *
membership_find(membership_t *self, uint64_t store)
{
    size_t place = place_of(self, store);
    if (place == self->count || self->by_store[place]->worker.store != store)
        return NULL;
    return &self->by_store[place]->worker;
}

worker_t *
membership_by_session(membership_t *self, uint64_t session)
{
    for (size_t i = 0; session && i < self->count; i++)
        if (self->by_store[i]->worker.session == session)
            return &self->by_store[i]->worker;
    return NULL;
}

bool
membership_forget_stranger(membership_t *self)
{
    size_t place = 0, named = 0;
    while (place < self->count &&
           (self->by_store[place]->worker.state != WORKER_AWAY ||
            self->by_store[place]->worker.served))
        place++;
    if (place == self->count)
        return false;
    seat_t *seat = self->by_store[place];
    while (self->by_name[named] != &seat->worker)
        named++;
    size_t behind = --self->count - place;
    memmove(&self->by_store[place], &self->by_store[place + 1],
            behind * sizeof(seat_t *));
    memmove(&self->by_name[named], &self->by_name[named + 1],
            (self->count - named) * sizeof(worker_t *));
    forget(&seat->pushes);
    free(seat);
    return true;
}

size_t
membership_all(membership_t *self, worker_t ***all_r)
{
    *all_r = self->by_name;
    return self->count;
}

size_t
membership_queue(const membership_t *self, worker_t **queue, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (!queued(self->by_store[i]))
            continue;
        if (count < most)
            queue[count] = &self->by_store[i]->worker;
        count++;
    }
    return count;
}

uint64_t
membership_version(membership_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        seat_t *seat = self->by_store[i];
        if (seat->worker.state != WORKER_LIVE ||
            seat->counted_full == seat->worker.full)
            continue;
        seat->counted_full = seat->worker.full;
        self->version++;
    }
    return self->version;
}

millis_t
membership_due(const membership_t *self)
{
    millis_t when, lost;
    soonest(self, ends, &when);
    soonest(self, loses, &lost);
    when = millis_least(when, lost);
    if (when < self->excused)
        when = self->excused;
    for (size_t i = 0; i < self->count; i++)
        if (self->by_store[i]->worker.state == WORKER_WAITING)
            when = millis_least(when, returns(self, self->by_store[i], 0));
    return when;
}
