/*  Workers: hello, welcome, inventory, lease, departure (R6, R7).
 */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    KEEP_MS = 500,
    DROPS_AT_ONCE = 32,  //  Said with each keep, until they are heard
};

static void
take_space(worker_t *worker, const Rill__V1__Space *space)
{
    if (!space)
        return;
    worker->chunks = space->chunks;
    worker->bytes = space->bytes;
    worker->free_bytes = space->free_bytes;
    worker->space_bytes = space->space_bytes;
}

//  ---- streams that were removed

void
members_add_removed(core_t *self, uint64_t stream, const uint64_t *stores,
                    size_t count)
{
    INVARIANT(count <= LIMIT_WORKERS);
    removed_t *removed = zmalloc(sizeof *removed + count * sizeof *stores);
    removed->stream = stream;
    removed->count = count;
    memcpy(removed->stores, stores, count * sizeof *stores);
    zhashx_insert(self->removed, &removed->stream, removed);
    if (count)
        zlistx_add_end(self->forgetting, removed);
}

static bool
must_forget(const removed_t *removed, uint64_t store)
{
    for (size_t i = 0; i < removed->count; i++)
        if (removed->stores[i] == store)
            return true;
    return false;
}

static void
tell_drop(core_t *self, const worker_t *worker, uint64_t stream)
{
    Rill__V1__Drop drop = RILL__V1__DROP__INIT;
    drop.stream = stream;
    drop.term = catalogue_term(self->catalogue);
    message_t message = MESSAGE(DROP, drop, &drop, ++self->request, 0);
    (void)self->effects.ask(self->with, worker->session, &message);
}

void
members_tell_drops(core_t *self, worker_t *worker)
{
    size_t told = 0;
    for (removed_t *removed = zlistx_first(self->forgetting);
         removed && told < DROPS_AT_ONCE;
         removed = zlistx_next(self->forgetting))
        if (must_forget(removed, worker->store)) {
            tell_drop(self, worker, removed->stream);
            told++;
        }
}

bool
members_tell_drop(core_t *self, const worker_t *worker, uint64_t stream)
{
    const removed_t *removed = zhashx_lookup(self->removed, &stream);
    if (removed && worker)
        tell_drop(self, worker, stream);
    return removed;
}

void
members_dropped(core_t *self, uint64_t session, uint64_t stream)
{
    worker_t *worker = membership_by_session(self->members, session);
    removed_t *removed = zhashx_lookup(self->removed, &stream);
    if (!worker || !removed || !must_forget(removed, worker->store))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < removed->count; i++)
        if (removed->stores[i] != worker->store)
            removed->stores[kept++] = removed->stores[i];
    removed->count = kept;
    status_t status = catalogue_forgotten(self->catalogue, stream,
                                          removed->stores, kept);
    if (status != STATUS_OK)
        core_fail(self, status, "a removal could not be recorded");
    else if (kept == 0)
        zlistx_detach(self->forgetting, zlistx_find(self->forgetting, removed));
}

//  ---- joining

static void
welcome(core_t *self, const peer_t *peer, const message_t *message,
        const worker_t *worker)
{
    Rill__V1__Welcome body = RILL__V1__WELCOME__INIT;
    uint64_t *ids = zmalloc((zlistx_size(self->open) + 1) * sizeof *ids);
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        if (stream->state == STREAM_RECOVERING && !stream->redealing)
            ids[body.n_streams++] = stream->record.id;
    body.cluster = catalogue_cluster(self->catalogue);
    body.term = catalogue_term(self->catalogue);
    body.session = worker->session;
    body.receipts_at = self->receipts_at;
    body.keep_ms = (uint32_t)core_patience(self, KEEP_MS);
    body.streams = ids;
    message_t answer = MESSAGE(WELCOME, welcome, &body, message->request,
                               message->trace);
    (void)self->effects.send(self->with, peer, &answer, NULL);
    free(ids);
}

//  Whether a store is one of ours: it served in this term, or bears a stream;
//  or the cluster file has its name, and no other store is there under it.
static bool
ours(core_t *self, uint64_t store, const char *name)
{
    worker_t *worker = membership_find(self->members, store);
    if (worker && worker->served)
        return true;
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        if (core_bears(stream, store))
            return true;
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    for (size_t i = 0; i < count; i++)
        if (all[i]->state != WORKER_AWAY && streq(all[i]->name, name))
            return false;
    return core_in_file(self, name);
}

//  Whether the Hello is of another process than the one that served before: a
//  process counts its requests up.
static bool
is_restarted(const worker_t *worker, const message_t *message)
{
    return worker && worker->served &&
           (message->hello->boot != worker->boot ||
            message->request <= worker->hello);
}

//  The newest epoch of a term from `granted` to `term`, without the first, that
//  the store bears.
static uint64_t
newest_unknown(extent_t *const *extents, size_t count, uint64_t store,
               uint64_t granted, uint64_t term)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < count; i++)
        for (uint16_t p = 0; p < extents[i]->width; p++)
            if (extents[i]->stores[p] == store &&
                extents[i]->epoch >> 32 > granted &&
                extents[i]->epoch >> 32 <= term && extents[i]->epoch > newest)
                newest = extents[i]->epoch;
    return newest;
}

//  A store that bears extents of a term was granted that term: one whose Hello
//  does not know it is an older copy. Of what came after, its silence says
//  nothing (R8). Of this term that is sure only when another process of the
//  store had been granted it: a Hello may have been on its way for long.
//  Recorded before it is welcomed, for that grants it the terms since.
static status_t
look_for_older(core_t *self, worker_t *worker, uint64_t granted, bool restarted)
{
    uint64_t term = catalogue_term(self->catalogue) - !restarted;
    uint64_t newest = 0;
    status_t status = catalogue_older(self->catalogue, worker->store,
                                      &worker->older);
    if (status != STATUS_OK || self->rebuilding)
        return status;
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open)) {
        uint64_t chain = newest_unknown(stream->chain, stream->chain_count,
                                        worker->store, granted, term);
        uint64_t pending = newest_unknown(stream->pending,
                                          stream->pending_count, worker->store,
                                          granted, term);
        newest = chain > newest ? chain : newest;
        newest = pending > newest ? pending : newest;
    }
    if (newest <= worker->older)
        return STATUS_OK;
    core_note(self, 0,
              "older-copy worker=%s store=%016" PRIx64 " term=%" PRIu64
              " why=\"its disk is an older copy: what it lacks may be lost\"",
              worker->name, worker->store, granted);
    worker->older = newest;
    return catalogue_put_older(self->catalogue, worker->store, newest);
}

//  Recorded before it is welcomed; of strangers, who may be anybody and never
//  come again, only so often (invariant 18).
static bool
grant(core_t *self, const peer_t *peer, const message_t *message)
{
    const Rill__V1__Hello *hello = message->hello;
    bool named = core_in_file(self, hello->name);
    status_t status = catalogue_grant(self->catalogue, hello->store, named);
    if (status == STATUS_BUSY) {
        char text[256];
        snprintf(text, sizeof text,
                 "Too many stores that hold nothing have said Hello; %s",
                 named ? "start the forwarder once with --rebuild."
                       : "name this worker in the cluster file and start the "
                         "forwarder again.");
        counters_up(&self->counters, COUNTER_faults_total_hello_strange);
        core_refuse(self, peer, message, STATUS_BUSY, text, 0);
    } else if (status != STATUS_OK)
        core_fail(self, status, "what %s is granted could not be recorded",
                  hello->name);
    return status == STATUS_OK;
}

static void
on_hello(core_t *self, const peer_t *peer, const message_t *message,
         millis_t now)
{
    const Rill__V1__Hello *hello = message->hello;
    uint64_t term = catalogue_term(self->catalogue);
    char text[256];
    if (!hello->store || !chunk_name_legal(hello->name) || !hello->push_at[0] ||
        !hello->ask_at[0]) {
        core_refuse(self, peer, message, STATUS_ARGUMENT, NULL, 0);
        return;
    }
    if (self->rebuilding && !rebuilding_hello(self, hello, now))
        return;
    term = catalogue_term(self->catalogue);
    if (hello->cluster &&
        hello->cluster != catalogue_cluster(self->catalogue)) {
        snprintf(text, sizeof text,
                 "The data directory of %s belongs to cluster %016" PRIx64
                 ", this one is %016" PRIx64
                 "; if the forwarder has lost its catalogue, start that with "
                 "--rebuild.",
                 hello->name, hello->cluster,
                 catalogue_cluster(self->catalogue));
        core_refuse(self, peer, message, STATUS_CLUSTER, text, 0);
        return;
    }
    if (!hello->cluster && hello->term) {
        core_refuse(self, peer, message, STATUS_ARGUMENT,
                    "A data directory of no cluster has no term.", 0);
        return;
    }
    //  A term that was granted, but not by us; a stranger's word of it is not
    //  enough to end this forwarder.
    uint64_t granted;
    status_t status = catalogue_granted(self->catalogue, hello->store,
                                        &granted);
    if (status != STATUS_OK) {
        core_fail(self, status, "what %s was granted cannot be read",
                  hello->name);
        return;
    }
    bool above = hello->term > term;
    const worker_t *known = membership_find(self->members, hello->store);
    if ((above || hello->term > granted) &&
        ours(self, hello->store, hello->name)) {
        if (known && known->served)
            doubt_replaced(self, hello->name, hello->term);
        else if (!above)
            doubt_sure(self, STATUS_FENCED,
                       "worker %s was granted term %" PRIu64
                       ", of which this catalogue knows nothing (it granted "
                       "up to %" PRIu64 ")",
                       hello->name, hello->term, granted);
        else
            doubt_sure(self, STATUS_FENCED,
                       "worker %s was granted term %" PRIu64
                       ", ours is %" PRIu64,
                       hello->name, hello->term, term);
        return;
    }
    if (above) {
        core_note(self, 0,
                  "worker-ahead worker=%s store=%016" PRIx64 " term=%" PRIu64,
                  hello->name, hello->store, hello->term);
        core_refuse(self, peer, message, STATUS_FENCED, NULL, 0);
        return;
    }
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    for (size_t i = 0; i < count; i++)
        if (all[i]->state != WORKER_AWAY && all[i]->store != hello->store &&
            strcmp(all[i]->name, hello->name) == 0) {
            snprintf(text, sizeof text,
                     "Another worker named %s is running (store %016" PRIx64
                     "); give this one another name or stop that one.",
                     hello->name, all[i]->store);
            core_refuse(self, peer, message, STATUS_TAKEN, text, 0);
            return;
        }
    worker_t *worker = membership_find(self->members, hello->store);
    bool runs = worker && worker->state != WORKER_AWAY;
    if (runs && message->request <= worker->hello) {
        core_drop(self, COUNTER_faults_total_hello_repeated, "front");
        return;
    }
    if (!worker && count >= LIMIT_WORKERS &&
        !membership_forget_stranger(self->members)) {
        core_refuse(self, peer, message, STATUS_BUSY, NULL, 0);
        return;
    }
    if (!grant(self, peer, message))
        return;
    uint64_t session = self->effects.random(self->with);
    if (self->effects.connect(self->with, session, hello->push_at,
                              hello->ask_at) != STATUS_OK) {
        core_refuse(self, peer, message, STATUS_ADDRESS, NULL, 0);
        return;
    }
    if (runs)
        members_leave(self, worker, false, "it says hello again", now);
    bool restarted = is_restarted(worker, message);
    worker = membership_join(self->members, hello->store, hello->name,
                             hello->boot, session, now);
    worker->shunned = now;
    worker->reads = 0;
    worker->read_ms = 0;
    worker->hello = message->request;
    worker->parts = 0;
    recovery_unheld(self, worker->store);
    snprintf(worker->reach, sizeof worker->reach, "%s", hello->ask_at);
    take_space(worker, hello->space);
    worker->full = hello->space && hello->space->full;
    core_note(self, 1,
              "worker-joining worker=%s store=%016" PRIx64 " boot=%" PRIu64,
              worker->name, worker->store, hello->boot);
    status = look_for_older(self, worker, hello->term, restarted);
    if (status == STATUS_OK)
        welcome(self, peer, message, worker);
    else
        core_fail(self, status, "what %s lacks could not be recorded",
                  worker->name);
}

static worker_t *
session_worker(core_t *self, const peer_t *peer, const message_t *message,
               uint64_t session)
{
    worker_t *worker = membership_by_session(self->members, session);
    if (!worker) {
        counters_up(&self->counters, COUNTER_faults_total_worker_unknown);
        core_refuse(self, peer, message, STATUS_SESSION, NULL, 0);
    }
    return worker;
}

//  A part of what it said of its chunks was lost with a connection: what is
//  not named would be taken for absent (R8). It joins anew.
static void
say_again(core_t *self, const peer_t *peer, const message_t *message,
          worker_t *worker, millis_t now)
{
    members_leave(self, worker, false, "its inventory is lost", now);
    core_refuse(self, peer, message, STATUS_SESSION, NULL, 0);
}

static void
on_inventory(core_t *self, const peer_t *peer, const message_t *message,
             millis_t now)
{
    const Rill__V1__Inventory *inventory = message->inventory;
    worker_t *worker = session_worker(self, peer, message, inventory->session);
    if (!worker || inventory->part < worker->parts)
        return;
    if (inventory->part > worker->parts) {
        say_again(self, peer, message, worker, now);
        return;
    }
    worker->parts++;
    bool fits = true;
    for (size_t i = 0; i < inventory->n_held && fits; i++) {
        stream_t *stream = core_stream(self, inventory->held[i]->stream);
        if (!stream || stream->state != STREAM_RECOVERING ||
            stream->redealing || worker->state != WORKER_JOINING)
            continue;
        //  Of a stranger not even the settled mark is believed.
        if (!core_bears(stream, worker->store))
            counters_up(&self->counters,
                        COUNTER_faults_total_inventory_foreign);
        else
            fits = recovery_held(stream, worker->store, inventory->held[i]);
    }
    if (!fits) {
        members_leave(self, worker, true, "its inventory is too long", now);
        return;
    }
    membership_renew(self->members, worker, now);
    if (inventory->done && worker->state == WORKER_JOINING) {
        membership_admit(self->members, worker, now);
        events_registered(self, worker);
        core_note(self, 1, "worker-joined worker=%s state=%s", worker->name,
                  worker->state == WORKER_LIVE ? "live" : "waiting");
        if (self->rebuilding) {
            rebuilding_joined(self, worker, now);
            return;
        }
        members_tell_drops(self, worker);
        stock_joined(self, worker, now);
        recovery_try(self, now);
        deal_waiting(self, now);
    }
}

static void
on_keep(core_t *self, const peer_t *peer, const message_t *message,
        millis_t now)
{
    const Rill__V1__WorkerKeep *keep = message->worker_keep;
    worker_t *worker = session_worker(self, peer, message, keep->session);
    if (!worker)
        return;
    if (keep->told && worker->state == WORKER_JOINING) {
        say_again(self, peer, message, worker, now);
        return;
    }
    membership_renew(self->members, worker, now);
    if (worker->waiting && !keep->waiting)
        worker->idle = now;
    worker->waiting = keep->waiting;
    take_space(worker, keep->space);
    if (keep->space && keep->space->full != worker->full) {
        core_note(self, 1, "worker-%s worker=%s",
                  keep->space->full ? "full" : "has-space", worker->name);
        worker->full = keep->space->full;
        if (worker->full)
            events_full(self, worker);
        deal_waiting(self, now);
    }
    Rill__V1__WorkerKept kept = RILL__V1__WORKER_KEPT__INIT;
    kept.session = keep->session;
    kept.term = catalogue_term(self->catalogue);
    Rill__V1__Horizon horizon = RILL__V1__HORIZON__INIT;
    Rill__V1__Horizon *horizons[] = { &horizon };
    if (retention_limited(&self->retention)) {
        horizon.retention = RETENTION_LIMITED;
        horizon.horizon_us = self->told_us;
        horizon.span_ms = (uint32_t)retention_span_ms(&self->retention);
        kept.horizons = horizons;
        kept.n_horizons = 1;
    }
    message_t answer = MESSAGE(WORKER_KEPT, worker_kept, &kept,
                               message->request, message->trace);
    (void)self->effects.send(self->with, peer, &answer, NULL);
    if (worker->state != WORKER_JOINING)
        members_tell_drops(self, worker);
}

void
members_message(core_t *self, const peer_t *peer, const message_t *message,
                millis_t now)
{
    worker_t *worker;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_HELLO:
        on_hello(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_INVENTORY:
        on_inventory(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_WORKER_KEEP:
        on_keep(self, peer, message, now);
        break;
    default:
        worker = membership_by_session(self->members,
                                       message->worker_leave->session);
        if (worker)
            members_leave(self, worker, false, "it stops", now);
        else
            core_drop(self, COUNTER_faults_total_worker_unknown, "front");
        break;
    }
}

//  ---- leaving

void
members_leave(core_t *self, worker_t *worker, bool blamed, const char *why,
              millis_t now)
{
    uint64_t session = worker->session;
    core_note(self, 1, "worker-left worker=%s why=\"%s\"", worker->name, why);
    counters_up(&self->counters, COUNTER_workers_departed_total);
    events_lost(self, worker, why);
    self->effects.disconnect(self->with, session);
    membership_leave(self->members, worker, blamed, now);
    if (self->rebuilding)
        rebuilding_gone(self, worker->store, now);
    layout_worker_gone(self, session, now);
    locate_worker_gone(self, worker, session, now);
    fetch_worker_gone(self, worker->store, now);
    deal_departure(self, worker->store, true, now);
    deal_waiting(self, now);
}

void
members_sweep(core_t *self, millis_t now)
{
    worker_t *worker;
    while ((worker = membership_overdue(self->members, now)) != NULL)
        members_leave(self, worker, true,
                      now < worker->lease ? "its receipts are overdue"
                                          : "it is silent",
                      now);
    while ((worker = membership_lost(self->members, now)) != NULL)
        members_leave(self, worker, false, "a receipt is lost", now);
    bool returned = false;
    while ((worker = membership_returned(self->members, now)) != NULL) {
        core_note(self, 1, "worker-returned worker=%s", worker->name);
        events_registered(self, worker);
        returned = true;
    }
    if (returned) {
        recovery_try(self, now);
        deal_waiting(self, now);
    }
}
