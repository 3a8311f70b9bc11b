#include "membership.h"

#include <stdlib.h>
#include <string.h>

#include "proof.h"

//  A house of workers a, b, c ... with stores 10, 20, 30 ... and sessions 1,
//  2, 3 ..., all live at 0.
static membership_t *
house(unsigned count, worker_t **workers)
{
    membership_t *self = membership_new(1);
    for (unsigned i = 0; i < count; i++) {
        char name[2] = { (char)('a' + i), 0 };
        workers[i] = membership_join(self, 10 * (i + 1), name, 1, i + 1, 0);
        membership_admit(self, workers[i], 0);
    }
    return self;
}

static void
renew_all(membership_t *self, millis_t now)
{
    worker_t **all;
    size_t count = membership_all(self, &all);
    for (size_t i = 0; i < count; i++)
        membership_renew(self, all[i], now);
}

static void
a_worker_is_in_the_queue_from_admission_until_it_leaves(void)
{
    membership_t *self = membership_new(1);
    worker_t *queue[4] = { NULL };
    CHECK(membership_queue(self, queue, 4) == 0);
    worker_t *b = membership_join(self, 20, "b", 1, 7, 0);
    CHECK(b->state == WORKER_JOINING && membership_queue(self, queue, 4) == 0);
    uint64_t before = membership_version(self);
    membership_admit(self, b, 0);
    CHECK(b->state == WORKER_LIVE && membership_version(self) > before);
    membership_admit(self, b, 0);
    CHECK(membership_queue(self, queue, 4) == 1 && queue[0] == b);

    worker_t *a = membership_join(self, 10, "z", 1, 8, 0);
    membership_admit(self, a, 0);
    CHECK(membership_queue(self, queue, 4) == 2);
    CHECK(queue[0] == a && queue[1] == b);
    queue[1] = NULL;
    CHECK(membership_queue(self, queue, 1) == 2 && !queue[1]);

    before = membership_version(self);
    membership_leave(self, b, false, 5);
    CHECK(b->state == WORKER_AWAY && !b->session);
    CHECK(membership_version(self) > before);
    CHECK(membership_queue(self, queue, 4) == 1 && queue[0] == a);
    before = membership_version(self);
    membership_leave(self, b, false, 6);
    CHECK(membership_version(self) == before);
    membership_destroy(&self);
    CHECK(!self);
}

static void
a_newer_session_replaces_the_older(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    uint64_t old = membership_pushed(self, w[0], 0);
    uint64_t before = membership_version(self);
    CHECK(membership_join(self, 10, "a", 2, 99, 1) == w[0]);
    CHECK(w[0]->state == WORKER_JOINING && w[0]->boot == 2);
    CHECK(membership_version(self) > before);
    CHECK(membership_by_session(self, 99) == w[0]);
    CHECK(!membership_by_session(self, 1) && !membership_by_session(self, 0));
    CHECK(w[0]->outstanding == 0);
    membership_admit(self, w[0], 1);
    uint64_t ticket = membership_pushed(self, w[0], 1);
    membership_receipted(self, w[0], old, 2);
    CHECK(w[0]->outstanding == 1);
    membership_receipted(self, w[0], ticket, 2);
    CHECK(w[0]->outstanding == 0);
    CHECK(membership_queue(self, NULL, 0) == 3);
    membership_destroy(&self);
}

static void
silence_ends_a_session_after_three_seconds(void)
{
    worker_t *w[2];
    membership_t *self = house(2, w);
    CHECK(membership_due(self) == 3000);
    membership_renew(self, w[1], 1000);
    CHECK(!membership_overdue(self, 2999));
    CHECK(membership_overdue(self, 3000) == w[0]);
    membership_leave(self, w[0], true, 3000);
    CHECK(!membership_overdue(self, 3000) && membership_due(self) == 4000);
    CHECK(membership_overdue(self, 4000) == w[1]);
    membership_leave(self, w[1], true, 4000);
    CHECK(membership_due(self) == MILLIS_NEVER);
    CHECK(!membership_overdue(self, 9000));
    membership_renew(self, w[1], 9000);
    CHECK(membership_due(self) == MILLIS_NEVER);
    membership_destroy(&self);
}

static void
a_joining_worker_can_be_silent_too(void)
{
    membership_t *self = membership_new(1);
    worker_t *w = membership_join(self, 1, "w", 1, 1, 0);
    CHECK(membership_overdue(self, 3000) == w);
    membership_destroy(&self);
}

static void
a_receipt_is_a_sign_of_life(void)
{
    worker_t *w[1];
    membership_t *self = house(1, w);
    uint64_t ticket = membership_pushed(self, w[0], 10);
    membership_receipted(self, w[0], ticket, 2000);
    CHECK(membership_due(self) == 5000);
    membership_receipted(self, w[0], ticket, 2500);
    CHECK(membership_due(self) == 5000);
    membership_destroy(&self);
}

static void
it_leaves_when_overdue_and_overtaken(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    membership_pushed(self, w[0], 100);
    uint64_t later = membership_pushed(self, w[1], 200);
    CHECK(membership_due(self) == 3000);
    membership_receipted(self, w[1], later, 300);
    CHECK(membership_due(self) == 1100);
    CHECK(!membership_overdue(self, 1099));
    CHECK(membership_overdue(self, 1100) == w[0]);
    membership_leave(self, w[0], true, 1100);
    CHECK(!membership_overdue(self, 1100));
    membership_destroy(&self);
}

static void
what_was_pushed_before_says_nothing(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    uint64_t earlier = membership_pushed(self, w[1], 100);
    membership_pushed(self, w[0], 100);
    membership_receipted(self, w[1], earlier, 300);
    CHECK(!membership_overdue(self, 1500));
    membership_destroy(&self);
}

static void
its_own_later_receipt_says_nothing(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    membership_pushed(self, w[0], 100);
    uint64_t own = membership_pushed(self, w[0], 200);
    membership_receipted(self, w[0], own, 300);
    CHECK(w[0]->outstanding == 1);
    CHECK(!membership_overdue(self, 1500));
    membership_destroy(&self);
}

static void
what_is_cancelled_is_neither_awaited_nor_a_receipt(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    uint64_t first = membership_pushed(self, w[0], 100);
    uint64_t other = membership_pushed(self, w[1], 100);
    membership_cancelled(self, w[1], other);
    membership_cancelled(self, w[1], other);
    CHECK(w[1]->outstanding == 0 && w[1]->lease == 3000);
    CHECK(!membership_overdue(self, 1200));
    other = membership_pushed(self, w[1], 1200);
    membership_receipted(self, w[1], other, 1200);
    CHECK(membership_overdue(self, 1200) == w[0]);
    membership_cancelled(self, w[0], first);
    CHECK(w[0]->outstanding == 0);
    CHECK(!membership_overdue(self, 1200));
    membership_destroy(&self);
}

static void
nobody_leaves_because_everybody_is_slow(void)
{
    worker_t *w[6];
    membership_t *self = house(6, w);
    for (millis_t now = 0; now < 60000; now += 500) {
        for (unsigned i = 0; i < 6; i++)
            membership_pushed(self, w[i], now);
        renew_all(self, now);
        CHECK(!membership_overdue(self, now));
    }
    CHECK(membership_queue(self, NULL, 0) == 6);
    membership_destroy(&self);
}

static void
one_that_is_slow_is_given_its_time(void)
{
    worker_t *w[2];
    membership_t *self = house(2, w);
    uint64_t tickets[40];
    for (unsigned i = 0; i < 40; i++) {
        millis_t now = 500 * (millis_t)i;
        tickets[i] = membership_pushed(self, w[0], now);
        if (i >= 10)
            membership_receipted(self, w[0], tickets[i - 10], now);
        renew_all(self, now);
        CHECK(!membership_overdue(self, now));
        CHECK(i < 10 || !membership_lost(self, now));
    }
    membership_destroy(&self);
}

//  All but the last worker hang; the last one receipts what it gets.
static unsigned
left_by_receipts(unsigned count)
{
    worker_t *w[6];
    membership_t *self = house(count, w);
    for (unsigned i = 0; i < count; i++)
        membership_pushed(self, w[i], 0);
    membership_receipted(self, w[count - 1], count, 10);
    for (millis_t now = 0; now < 20000; now += 250) {
        renew_all(self, now);
        for (worker_t *out; (out = membership_overdue(self, now));)
            membership_leave(self, out, true, now);
    }
    CHECK(w[count - 1]->state == WORKER_LIVE);
    unsigned left = (unsigned)membership_queue(self, NULL, 0);
    membership_destroy(&self);
    return left;
}

static void
receipts_never_leave_fewer_than_two(void)
{
    CHECK(left_by_receipts(6) == 2);
    CHECK(left_by_receipts(3) == 2);
    CHECK(left_by_receipts(2) == 2);
}

static void
a_full_worker_does_not_count_as_one_of_the_two(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    w[2]->full = true;
    membership_pushed(self, w[0], 0);
    uint64_t later = membership_pushed(self, w[1], 0);
    membership_receipted(self, w[1], later, 10);
    CHECK(!membership_overdue(self, 1200));
    w[2]->full = false;
    CHECK(membership_overdue(self, 1200) == w[0]);
    membership_destroy(&self);
}

static void
a_full_worker_is_not_dealt_to(void)
{
    worker_t *w[3], *queue[3];
    membership_t *self = house(3, w);
    uint64_t before = membership_version(self);
    CHECK(membership_version(self) == before);
    w[1]->full = true;
    CHECK(membership_version(self) > before);
    CHECK(membership_queue(self, queue, 3) == 2);
    CHECK(queue[0] == w[0] && queue[1] == w[2]);
    before = membership_version(self);
    CHECK(membership_version(self) == before);
    w[1]->full = false;
    CHECK(membership_version(self) > before);
    CHECK(membership_queue(self, queue, 3) == 3);

    w[1]->full = true;
    membership_join(self, 20, "b", 2, 9, 0);
    CHECK(!w[1]->full);
    membership_destroy(&self);
}

static void
patience_stretches_every_deadline(void)
{
    membership_t *self = membership_new(10);
    worker_t *w[3];
    for (unsigned i = 0; i < 3; i++) {
        w[i] = membership_join(self, i, "w", 1, i + 1, 0);
        membership_admit(self, w[i], 0);
    }
    CHECK(membership_due(self) == 30000);
    membership_pushed(self, w[0], 0);
    membership_receipted(self, w[1], membership_pushed(self, w[1], 0), 1);
    CHECK(membership_due(self) == 10000);
    CHECK(!membership_overdue(self, 9999));
    CHECK(membership_overdue(self, 10000) == w[0]);
    membership_destroy(&self);
}

//  Leave against its will at `now`, come again at once, wait for the return.
static millis_t
damped(membership_t *self, worker_t *worker, millis_t now)
{
    renew_all(self, now);
    membership_leave(self, worker, true, now);
    membership_join(self, worker->store, "w", 1, (uint64_t)now + 1, now);
    membership_admit(self, worker, now);
    CHECK(worker->state == WORKER_WAITING);
    millis_t at = now;
    while (!membership_returned(self, at)) {
        CHECK(membership_due(self) > at);
        at = membership_due(self);
        renew_all(self, at);
    }
    CHECK(worker->state == WORKER_LIVE && !membership_returned(self, at));
    return at - now;
}

static void
the_pause_doubles_and_is_forgiven(void)
{
    worker_t *others[2];
    membership_t *self = house(2, others);
    worker_t *w = membership_join(self, 1, "w", 1, 99, 0);
    membership_admit(self, w, 0);
    millis_t now = 1000;
    for (millis_t pause = 10000; pause <= 320000; pause *= 2) {
        millis_t took = damped(self, w, now);
        CHECK(took == (pause > 300000 ? 300000 : pause));
        now += took + 5;
    }
    CHECK(damped(self, w, now + 299990) == 300000);
    now += 299990 + 300000;
    CHECK(damped(self, w, now + 300000) == 10000);
    membership_destroy(&self);
}

static void
who_leaves_by_its_own_word_comes_back_at_once(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    membership_leave(self, w[0], false, 100);
    membership_join(self, 10, "a", 2, 50, 200);
    membership_admit(self, w[0], 200);
    CHECK(w[0]->state == WORKER_LIVE);

    membership_leave(self, w[0], true, 300);
    membership_join(self, 10, "a", 3, 51, 400);
    membership_leave(self, w[0], false, 500);
    membership_join(self, 10, "a", 4, 52, 10299);
    membership_admit(self, w[0], 10299);
    CHECK(w[0]->state == WORKER_WAITING);
    membership_join(self, 10, "a", 5, 53, 10300);
    membership_admit(self, w[0], 10300);
    CHECK(w[0]->state == WORKER_LIVE);
    membership_destroy(&self);
}

static void
a_return_changes_the_queue(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    membership_leave(self, w[0], true, 0);
    membership_join(self, 10, "a", 1, 50, 0);
    membership_admit(self, w[0], 0);
    uint64_t before = membership_version(self);
    CHECK(membership_queue(self, NULL, 0) == 2);
    CHECK(!membership_returned(self, 9999));
    CHECK(membership_version(self) == before);
    CHECK(membership_returned(self, 10000) == w[0]);
    CHECK(membership_version(self) > before);
    CHECK(membership_queue(self, NULL, 0) == 3);
    membership_destroy(&self);
}

static void
who_slept_itself_blames_nobody(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    membership_pushed(self, w[0], 0);
    membership_receipted(self, w[1], membership_pushed(self, w[1], 0), 10);
    CHECK(!membership_overdue(self, 8000));
    CHECK(membership_due(self) == 8500);
    membership_renew(self, w[1], 8001);
    membership_renew(self, w[2], 8001);
    CHECK(!membership_overdue(self, 8499));
    CHECK(membership_overdue(self, 8500) == w[0]);
    membership_leave(self, w[0], true, 8500);
    CHECK(!membership_overdue(self, 8500));
    CHECK(membership_due(self) == 11001);
    membership_destroy(&self);
}

static void
nobody_waits_while_too_few_are_in_the_queue(void)
{
    worker_t *w[3];
    membership_t *self = house(3, w);
    membership_leave(self, w[0], true, 0);
    membership_join(self, 10, "a", 1, 50, 5);
    membership_admit(self, w[0], 5);
    CHECK(w[0]->state == WORKER_WAITING && !membership_returned(self, 6));
    membership_leave(self, w[1], true, 6);
    CHECK(membership_due(self) <= 6);
    CHECK(membership_returned(self, 6) == w[0]);
    membership_leave(self, w[2], true, 7);
    membership_join(self, 30, "c", 1, 51, 8);
    membership_admit(self, w[2], 8);
    CHECK(w[2]->state == WORKER_LIVE);
    membership_destroy(&self);
}

static void
one_that_owes_a_receipt_for_long_begins_anew(void)
{
    worker_t *w[2];
    membership_t *self = house(2, w);
    membership_pushed(self, w[0], 1000);
    membership_receipted(self, w[1], membership_pushed(self, w[1], 1000), 1010);
    renew_all(self, 2000);
    CHECK(!membership_overdue(self, 3999) && !membership_lost(self, 3999));
    CHECK(membership_due(self) == 4000);
    CHECK(!membership_overdue(self, 4000));
    CHECK(membership_lost(self, 4000) == w[0]);
    membership_leave(self, w[0], false, 4000);
    CHECK(!membership_lost(self, 4000));
    membership_join(self, 10, "a", 1, 50, 4100);
    membership_admit(self, w[0], 4100);
    CHECK(w[0]->state == WORKER_LIVE);
    membership_destroy(&self);
}

static void
workers_are_found_and_listed_by_name(void)
{
    membership_t *self = membership_new(1);
    static const char *const names[] = { "m", "c", "x", "a", "c", "k" };
    for (unsigned i = 0; i < 6; i++)
        membership_join(self, 100 - i, names[i], 1, i + 1, 0);
    worker_t **all;
    CHECK(membership_all(self, &all) == 6);
    for (unsigned i = 1; i < 6; i++)
        CHECK(strcmp(all[i - 1]->name, all[i]->name) <= 0);
    CHECK(all[1]->store == 96 && all[2]->store == 99);
    CHECK(membership_find(self, 98) == all[5]);
    CHECK(!membership_find(self, 1) && !membership_find(self, 1000));
    membership_join(self, 98, "b", 1, 9, 0);
    CHECK(membership_all(self, &all) == 6 && all[1]->store == 98);
    membership_destroy(&self);
}

//  Pushes and receipts in every order, beside the plainest list there is.
static void
outstanding_is_what_was_pushed_and_not_receipted(void)
{
    enum { MOST = 5000 };
    static uint64_t open[MOST];
    worker_t *w[3];
    membership_t *self = house(3, w);
    uint64_t seed = 99;
    size_t count = 0;
    for (unsigned step = 0; step < 60000; step++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned dice = (unsigned)(seed >> 33);
        bool push = count < 3 || (count < MOST && dice % 100 < 48 + step % 4);
        if (push) {
            open[count++] = membership_pushed(self, w[0], step);
        } else {
            //  The very first one is never receipted: the rest goes on.
            size_t nth = 1 + dice / 128 % (count - 1);
            membership_receipted(self, w[0], open[nth], step);
            membership_receipted(self, w[0], open[nth], step);
            open[nth] = open[--count];
        }
        CHECK(w[0]->outstanding == count);
    }
    while (count)
        membership_receipted(self, w[0], open[--count], 60000);
    CHECK(w[0]->outstanding == 0);
    membership_receipted(self, w[0], 1, 60000);
    membership_receipted(self, w[0], UINT64_MAX, 60000);
    CHECK(w[0]->outstanding == 0);
    membership_destroy(&self);
}

static void
only_a_stranger_that_is_away_is_forgotten(void)
{
    worker_t *workers[2];
    membership_t *self = house(2, workers);
    CHECK(!membership_forget_stranger(self));
    membership_leave(self, workers[0], false, 1);
    CHECK(!membership_forget_stranger(self));  //  It served
    worker_t *stranger = membership_join(self, 15, "ab", 1, 9, 2);
    CHECK(!membership_forget_stranger(self));  //  It may yet serve
    membership_leave(self, stranger, true, 3);
    CHECK(membership_forget_stranger(self));
    CHECK(!membership_find(self, 15) && !membership_forget_stranger(self));
    worker_t **all;
    CHECK(membership_all(self, &all) == 2);
    CHECK(all[0] == workers[0] && all[1] == workers[1]);
    CHECK(membership_find(self, 20) == workers[1]);
    membership_destroy(&self);
}

int
main(void)
{
    CASE(a_worker_is_in_the_queue_from_admission_until_it_leaves,
         "membership 1: in the queue from admission until it leaves, once");
    CASE(a_newer_session_replaces_the_older,
         "membership 1: a newer session of a store replaces the older");
    CASE(a_full_worker_is_not_dealt_to,
         "membership 1: a full worker is not in the queue, and that is news");
    CASE(silence_ends_a_session_after_three_seconds,
         "membership 2: 3 s of silence end a session, not less");
    CASE(a_joining_worker_can_be_silent_too,
         "membership 2: a worker may fall silent before it is admitted");
    CASE(a_receipt_is_a_sign_of_life,
         "membership 2: a receipt is a sign of life, its repetition is not");
    CASE(it_leaves_when_overdue_and_overtaken,
         "membership 2: who is 1 s overdue and overtaken leaves");
    CASE(what_was_pushed_before_says_nothing,
         "membership 2: a receipt of what was pushed before says nothing");
    CASE(its_own_later_receipt_says_nothing,
         "membership 2: a worker does not overtake itself");
    CASE(what_is_cancelled_is_neither_awaited_nor_a_receipt,
         "membership 2: what is cancelled is neither awaited nor a receipt");
    CASE(nobody_leaves_because_everybody_is_slow,
         "membership 2: nobody leaves because everybody is slow");
    CASE(one_that_is_slow_is_given_its_time,
         "membership 2: one that receipts late, but in order, stays");
    CASE(receipts_never_leave_fewer_than_two,
         "membership 2: receipts never leave fewer than two in the queue");
    CASE(a_full_worker_does_not_count_as_one_of_the_two,
         "membership 2: a full worker is not one of those two");
    CASE(patience_stretches_every_deadline,
         "membership 2: patience stretches every deadline");
    CASE(the_pause_doubles_and_is_forgiven,
         "membership 3: the pause doubles from 10 s to 5 min, then forgiven");
    CASE(who_leaves_by_its_own_word_comes_back_at_once,
         "membership 3: who leaves by its own word comes back at once");
    CASE(a_return_changes_the_queue,
         "membership 3: a return from a pause changes the queue");
    CASE(who_slept_itself_blames_nobody,
         "membership 4: an owner that slept hears everybody first");
    CASE(nobody_waits_while_too_few_are_in_the_queue,
         "membership 3: nobody waits while fewer than two are in the queue");
    CASE(one_that_owes_a_receipt_for_long_begins_anew,
         "membership 2: one that owes a receipt for 3 s begins anew, unblamed");
    CASE(workers_are_found_and_listed_by_name,
         "workers are found by store and listed by name");
    CASE(outstanding_is_what_was_pushed_and_not_receipted,
         "outstanding is what was pushed and not receipted, in any order");
    CASE(only_a_stranger_that_is_away_is_forgotten,
         "invariant 18: only a stranger that is away is forgotten");
    return proof_end();
}
