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
    CHECK(membership_due(self) == 1300);
    CHECK(!membership_overdue(self, 1299));
    CHECK(membership_overdue(self, 1300) == w[0]);
    membership_leave(self, w[0], true, 1300);
    CHECK(!membership_overdue(self, 1300));
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
    membership_cancelled(self, w[1], other, 100);
    membership_cancelled(self, w[1], other, 100);
    CHECK(w[1]->outstanding == 0 && w[1]->lease == 3000);
    CHECK(!membership_overdue(self, 1200));
    other = membership_pushed(self, w[1], 1200);
    membership_receipted(self, w[1], other, 1200);
    CHECK(membership_overdue(self, 2200) == w[0]);
    membership_cancelled(self, w[0], first, 2200);
    CHECK(w[0]->outstanding == 0);
    CHECK(!membership_overdue(self, 2200));
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
    for (millis_t now = 0; now < 60000; now += 250) {
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

//  Six workers under one source: chunks go to them in turn, `window` of them
//  at most are not receipted, and each worker receipts in order what it was
//  given `takes` ms ago, but nothing from `stands` to `goes`. When one leaves,
//  what was not receipted is dealt again over the others.
enum { DISKS = 6, WINDOW_MOST = 600, HUNG = 1000 * 1000 };

typedef struct {
    millis_t takes, stands, goes;
    unsigned spread;  //  Takes up to so much longer, anew for each commit
    bool left;
    millis_t when;  //  It left

    uint64_t tickets[WINDOW_MOST];
    millis_t pushed[WINDOW_MOST];
    size_t count;
    millis_t ready;  //  When its running commit ends
    size_t commit;   //  Of so many
} disk_t;

typedef struct {
    disk_t disk[DISKS];
    unsigned window;
    millis_t every;  //  ms between two chunks of the source; 0: as it can
    unsigned turn, out, left;
    uint64_t dice;
} load_t;

static load_t
load_of(unsigned window, millis_t every)
{
    load_t load = { .window = window, .every = every, .dice = 7 };
    for (unsigned i = 0; i < DISKS; i++)
        load.disk[i].takes = 10;
    return load;
}

static void
stall(load_t *load, unsigned first, unsigned last, millis_t from, millis_t to)
{
    for (unsigned i = first; i <= last; i++) {
        load->disk[i].stands = from;
        load->disk[i].goes = to;
    }
}

static void
deal(load_t *load, membership_t *self, worker_t **w, millis_t now)
{
    while (load->disk[load->turn].left)
        load->turn = (load->turn + 1) % DISKS;
    disk_t *disk = &load->disk[load->turn];
    CHECK(disk->count < WINDOW_MOST);
    disk->pushed[disk->count] = now;
    disk->tickets[disk->count++] = membership_pushed(self, w[load->turn], now);
    load->turn = (load->turn + 1) % DISKS;
    load->out++;
}

//  Group commit: what came meanwhile is the next one.
static void
commit(load_t *load, disk_t *disk, membership_t *self, worker_t *worker,
       millis_t now)
{
    if (now >= disk->stands && now < disk->goes)
        return;
    if (disk->commit && now >= disk->ready) {
        for (size_t i = 0; i < disk->commit; i++)
            membership_receipted(self, worker, disk->tickets[i], now);
        disk->count -= disk->commit;
        memmove(disk->tickets, disk->tickets + disk->commit,
                disk->count * sizeof *disk->tickets);
        load->out -= (unsigned)disk->commit;
        disk->commit = 0;
    }
    if (!disk->commit && disk->count) {
        load->dice = load->dice * 6364136223846793005u + 1442695040888963407u;
        disk->commit = disk->count;
        disk->ready = now + disk->takes;
        if (disk->spread)
            disk->ready += (millis_t)(load->dice >> 33) % disk->spread;
    }
}

static void
deal_again(load_t *load, membership_t *self, worker_t **w, millis_t now)
{
    unsigned again = load->out;
    for (unsigned i = 0; i < DISKS; i++) {
        disk_t *disk = &load->disk[i];
        for (size_t c = 0; c < disk->count && !disk->left; c++)
            membership_cancelled(self, w[i], disk->tickets[c], now);
        disk->count = disk->commit = 0;
    }
    for (load->out = 0; again; again--)
        deal(load, self, w, now);
}

//  Who left, in so many milliseconds.
static unsigned
play(load_t *load, millis_t until)
{
    worker_t *w[DISKS];
    membership_t *self = house(DISKS, w);
    for (millis_t now = 1; now <= until; now++) {
        if (load->every ? now % load->every == 0 : load->out < load->window)
            while (load->out < load->window) {
                deal(load, self, w, now);
                if (load->every)
                    break;
            }
        for (unsigned i = 0; i < DISKS; i++) {
            w[i]->waiting = load->disk[i].count;
            if (w[i]->state == WORKER_LIVE)
                commit(load, &load->disk[i], self, w[i], now);
        }
        if (now % 500 == 0)
            renew_all(self, now);
        if (membership_due(self) > now)
            continue;
        worker_t *out;
        while ((out = membership_overdue(self, now)) ||
               (out = membership_lost(self, now))) {
            disk_t *disk = &load->disk[out->store / 10 - 1];
            membership_leave(self, out, true, now);
            disk->left = true;
            disk->when = now;
            load->left++;
            deal_again(load, self, w, now);
        }
    }
    membership_destroy(&self);
    return load->left;
}

static void
nobody_leaves_when_all_disks_stand_still(void)
{
    static const millis_t span[] = { 900, 2500, 5000, 10000 };
    static const unsigned window[] = { 6, 24, 150, 600 };
    static const millis_t every[] = { 0, 3, 40, 200 };
    for (unsigned i = 0; i < 64; i++) {
        load_t load = load_of(window[i / 4 % 4], every[i / 16]);
        stall(&load, 0, 5, 1000, 1000 + span[i % 4]);
        CHECK(play(&load, 2 * span[i % 4] + 10000) == 0);
    }
}

static void
nobody_leaves_when_they_stand_and_go_one_by_one(void)
{
    for (unsigned i = 0; i < 6; i++) {
        load_t load = load_of(300, i < 3 ? 0 : 20);
        millis_t apart = i < 3 ? 4 : 180;
        for (unsigned d = 0; d < DISKS; d++)
            stall(&load, d, d, 1000 + apart * ((d + i) % DISKS),
                  6000 + 180 * (i % 3 ? d : DISKS - d));
        CHECK(play(&load, 20000) == 0);
    }
}

//  The others have done all there is to do when they stop, and nobody knows.
static void
one_that_stands_long_before_the_others_leaves_alone(void)
{
    for (unsigned i = 0; i < 6; i++) {
        load_t load = load_of(60, 0);
        stall(&load, 0, 5, 1200, 7000);
        stall(&load, i, i, 1000, 7000);
        CHECK(play(&load, 20000) == 1 && load.disk[i].left);
    }
}

static void
nobody_leaves_when_all_disks_are_overloaded(void)
{
    for (unsigned i = 0; i < 5; i++) {
        load_t load = load_of(300, 0);
        load.dice = i;
        for (unsigned d = 0; d < DISKS; d++) {
            load.disk[d].takes = 600;
            load.disk[d].spread = 1200;
        }
        CHECK(play(&load, 60000) == 0);
    }
}

static void
one_that_hangs_leaves_in_time(void)
{
    for (unsigned i = 0; i < 4; i++) {
        load_t load = load_of(i % 2 ? 24 : 300, i < 2 ? 0 : 5);
        stall(&load, 2, 2, 3000, HUNG);
        CHECK(play(&load, 30000) == 1 && load.disk[2].left);
        CHECK(load.disk[2].when < 4100);
    }
}

static void
one_that_is_far_slower_leaves_in_time(void)
{
    load_t load = load_of(120, 0);
    load.disk[4].takes = 1000;
    CHECK(play(&load, 30000) == 1 && load.disk[4].left);
    CHECK(load.disk[4].when < 3000);
}

static void
one_that_hangs_among_slow_ones_leaves_after_them(void)
{
    for (unsigned i = 0; i < 4; i++) {
        load_t load = load_of(i % 2 ? 24 : 300, i < 2 ? 0 : 5);
        stall(&load, 0, 5, 2000, 7000);
        stall(&load, 3, 3, 2000, HUNG);
        CHECK(play(&load, 30000) == 1 && load.disk[3].left);
        CHECK(load.disk[3].when > 8000 && load.disk[3].when < 10000);
    }
}

static void
two_that_hang_leave_one_after_the_other(void)
{
    load_t load = load_of(60, 0);
    stall(&load, 1, 2, 3000, HUNG);
    CHECK(play(&load, 30000) == 2 && load.disk[1].left && load.disk[2].left);
    CHECK(load.disk[1].when < 6100 && load.disk[2].when < 6100);
}

static void
most_hang_and_the_rest_goes_on(void)
{
    load_t load = load_of(60, 0);
    stall(&load, 0, 3, 3000, HUNG);
    CHECK(play(&load, 60000) == 4 && !load.disk[4].left && !load.disk[5].left);
}

static void
one_departure_does_not_make_the_next(void)
{
    for (unsigned i = 0; i < 6; i++) {
        load_t load = load_of(300, 0);
        stall(&load, 0, 0, 3000, HUNG);
        //  What is dealt again keeps the others busy, each for longer.
        for (unsigned d = 1; d < DISKS; d++)
            stall(&load, d, d, 4010, 4400 + 250 * ((d + i) % DISKS));
        CHECK(play(&load, 30000) == 1);
    }
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
    CHECK(membership_due(self) == 10001);
    CHECK(!membership_overdue(self, 10000));
    CHECK(membership_overdue(self, 10001) == w[0]);
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
who_fall_silent_together_are_not_blamed(void)
{
    worker_t *w[6];
    membership_t *self = house(6, w);
    membership_leave(self, w[5], false, 0);
    for (unsigned i = 0; i < 5; i++)
        membership_renew(self, w[i], 60000 + 100 * (millis_t)i);
    for (millis_t now = 60000; now < 63500; now += 10)
        for (worker_t *out; (out = membership_overdue(self, now));)
            membership_leave(self, out, true, now);
    for (unsigned i = 0; i < 5; i++) {
        char name[2] = { (char)('a' + i), 0 };
        CHECK(w[i]->state == WORKER_AWAY);
        membership_join(self, w[i]->store, name, 1, 50 + i, 64000);
        membership_admit(self, w[i], 64000);
        CHECK(w[i]->state == WORKER_LIVE);
    }

    //  Two of five: the others were heard.
    for (unsigned i = 2; i < 5; i++)
        membership_renew(self, w[i], 66000);
    CHECK(membership_overdue(self, 67000) == w[0]);
    membership_leave(self, w[0], true, 67000);
    membership_join(self, 10, "a", 1, 60, 67000);
    membership_admit(self, w[0], 67000);
    CHECK(w[0]->state == WORKER_WAITING);
    membership_destroy(&self);
}

static void
what_waits_for_a_disk_is_not_lost(void)
{
    worker_t *w[2];
    membership_t *self = house(2, w);
    membership_pushed(self, w[0], 1000);
    w[0]->waiting = 1;
    renew_all(self, 9000);
    CHECK(!membership_overdue(self, 9000) && !membership_lost(self, 9000));
    CHECK(membership_due(self) > 9000);
    //  It says that nothing waits any more before its receipt is here.
    w[0]->waiting = 0;
    w[0]->idle = 9001;
    for (millis_t now = 9500; now <= 12000; now += 500) {
        renew_all(self, now);
        CHECK(!membership_lost(self, now));
    }
    CHECK(membership_lost(self, 12001) == w[0]);

    //  What came behind it was receipted: it never will be.
    w[0]->waiting = 1;
    uint64_t later = membership_pushed(self, w[0], 12001);
    membership_receipted(self, w[0], later, 12002);
    CHECK(membership_lost(self, 12002) == w[0]);
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
    CASE(nobody_leaves_when_all_disks_stand_still,
         "membership 2: all disks stand still up to 10 s, and nobody leaves");
    CASE(nobody_leaves_when_they_stand_and_go_one_by_one,
         "membership 2: nor when they stand still and go on one by one");
    CASE(one_that_stands_long_before_the_others_leaves_alone,
         "membership 2: one that stands still before all others leaves, alone");
    CASE(nobody_leaves_when_all_disks_are_overloaded,
         "membership 2: nor when commits of all take 0.6 to 1.8 s");
    CASE(one_that_hangs_leaves_in_time,
         "membership 2: one that hangs among others leaves after 1 s");
    CASE(one_that_is_far_slower_leaves_in_time,
         "membership 2: one that is 100 times slower than others leaves");
    CASE(one_that_hangs_among_slow_ones_leaves_after_them,
         "membership 2: one that hangs when all stand still leaves, alone");
    CASE(two_that_hang_leave_one_after_the_other,
         "membership 2: two that hang leave 2 s apart");
    CASE(most_hang_and_the_rest_goes_on,
         "membership 2: most hang: they leave late, the rest goes on");
    CASE(one_departure_does_not_make_the_next,
         "membership 2: what one departure deals again makes no other");
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
    CASE(who_fall_silent_together_are_not_blamed,
         "membership 3: who fall silent together come back at once");
    CASE(what_waits_for_a_disk_is_not_lost,
         "membership 2: what waits for a disk is slow, not lost");
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
