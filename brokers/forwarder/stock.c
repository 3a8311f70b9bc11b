/*  What stores hold, against what placement says they should (R12, R13).
 *
 *  A store that joins is asked to count what it holds of every epoch. Of an
 *  epoch that began before its session it has then said all it will ever hold:
 *  what placement gives it beyond that is missing there. Epochs that began in
 *  the session are known by receipts. Where a store may hold blocks that do not
 *  count, the epoch is looked at again and again, and the store is told to sweep
 *  what the chain does not count, until no more of it can become garbage.
 */
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    LOOK_MS = 1000,   //  What may be garbage is looked at so often
    LATE_MS = 1000,   //  A question is asked again after this
    ASKED_MOST = 32,  //  Sweeps and drops in the air
};

//  One epoch of a stream at a store.
typedef struct {
    uint64_t store;
    uint64_t stream;
    uint64_t epoch;
} place_t;

typedef struct {
    place_t place;
    uint64_t session;  //  Of the store, that this is known from
    bool counted;      //  The store has said `records`
    uint64_t records;
    bool checked;    //  May have garbage: it is in `checks`
    bool marked;     //  `until` is known
    uint64_t until;  //  Index: chunks below it must be settled
    bool swept;      //  From block `end` on nothing is left
    uint64_t end;
    uint64_t request;  //  Of the last Sweep
    millis_t late;     //  Not asked again before
} stock_t;

typedef struct {
    uint64_t store;
    uint64_t session;
    uint64_t newest;   //  Epochs above it began in the session
    bool told;         //  It has counted everything
    uint64_t request;  //  Of the last Count
    chunk_key_t from;  //  Where that began
    uint64_t dropped_from;
    millis_t late;
    uint64_t unknown;     //  Epochs of streams that nobody knows
    uint64_t unrecorded;  //  Of them, that should be known
} store_t;

struct stocks {
    zhashx_t *all;     //  stock_t by place, owned
    zhashx_t *stores;  //  store_t by id, owned
    zlistx_t *checks;  //  stock_t, lent
    millis_t due;
    bool crowded;  //  Not everything could be asked
};

static size_t
hash_place(const void *key)
{
    const place_t *place = key;
    uint64_t hash = place->store * 0x9e3779b97f4a7c15u ^ place->stream;
    hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9u ^ place->epoch;
    hash *= 0x94d049bb133111ebu;
    return (size_t)(hash ^ (hash >> 31));
}

static int
compare_places(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(place_t));
}

static size_t
hash_store(const void *key)
{
    return (size_t)(*(const uint64_t *)key * 0x9e3779b97f4a7c15u);
}

static int
compare_stores(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

static zhashx_t *
table(zhashx_hash_fn *hash, zhashx_comparator_fn *compare)
{
    zhashx_t *self = zhashx_new();
    zhashx_set_key_hasher(self, hash);
    zhashx_set_key_comparator(self, compare);
    zhashx_set_key_duplicator(self, NULL);
    zhashx_set_key_destructor(self, NULL);
    return self;
}

struct stocks *
stocks_new(void)
{
    struct stocks *self = zmalloc(sizeof *self);
    self->all = table(hash_place, compare_places);
    self->stores = table(hash_store, compare_stores);
    self->checks = zlistx_new();
    self->due = MILLIS_NEVER;
    return self;
}

void
stocks_destroy(struct stocks **self_p)
{
    struct stocks *self = *self_p;
    if (!self)
        return;
    for (stock_t *stock = zhashx_first(self->all); stock;
         stock = zhashx_next(self->all))
        free(stock);
    for (store_t *store = zhashx_first(self->stores); store;
         store = zhashx_next(self->stores))
        free(store);
    zhashx_destroy(&self->all);
    zhashx_destroy(&self->stores);
    zlistx_destroy(&self->checks);
    free(self);
    *self_p = NULL;
}

static stock_t *
find(const struct stocks *self, uint64_t store, uint64_t stream, uint64_t epoch)
{
    place_t place = { store, stream, epoch };
    return zhashx_lookup(self->all, &place);
}

static stock_t *
have(struct stocks *self, const worker_t *worker, uint64_t stream,
     uint64_t epoch)
{
    stock_t *stock = find(self, worker->store, stream, epoch);
    if (stock)
        return stock;
    stock = zmalloc(sizeof *stock);
    stock->place = (place_t){ worker->store, stream, epoch };
    stock->session = worker->session;
    zhashx_insert(self->all, &stock->place, stock);
    return stock;
}

//  It may have garbage, from now on.
static void
check(struct stocks *self, stock_t *stock, millis_t now)
{
    stock->marked = stock->swept = false;
    stock->request = 0;
    stock->late = now;
    if (!stock->checked)
        zlistx_add_end(self->checks, stock);
    stock->checked = true;
    self->due = millis_least(self->due, now + LOOK_MS);
}

//  It has none any more; what only that was known of it is forgotten.
static void
end_check(struct stocks *self, stock_t *stock)
{
    void *at = zlistx_find(self->checks, stock);
    INVARIANT(at);
    zlistx_detach(self->checks, at);
    stock->checked = false;
    if (stock->counted)
        return;
    zhashx_delete(self->all, &stock->place);
    free(stock);
}

//  ---- counting

//  Behind every record there can be.
static const chunk_key_t LAST_KEY = { UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                      UINT32_MAX };

static void
ask_count(core_t *self, store_t *store, millis_t now)
{
    Rill__V1__ChunkKey from = message_from_key(store->from);
    Rill__V1__Count count = RILL__V1__COUNT__INIT;
    count.from = &from;
    count.dropped_from = store->dropped_from;
    store->request = ++self->request;
    store->late = now + core_patience(self, LATE_MS);
    message_t message = MESSAGE(COUNT, count, &count, store->request, 0);
    (void)self->effects.ask(self->with, store->session, &message);
}

//  What was known of an earlier session.
static void
forget(struct stocks *self, uint64_t store)
{
    zlistx_t *all = zhashx_values(self->all);
    for (stock_t *stock = zlistx_first(all); stock; stock = zlistx_next(all)) {
        if (stock->place.store != store)
            continue;
        stock->counted = false;
        if (stock->checked) {
            end_check(self, stock);
            continue;
        }
        zhashx_delete(self->all, &stock->place);
        free(stock);
    }
    zlistx_destroy(&all);
}

void
stock_joined(core_t *self, const worker_t *worker, millis_t now)
{
    struct stocks *stocks = self->stocks;
    store_t *store = zhashx_lookup(stocks->stores, &worker->store);
    if (!store) {
        store = zmalloc(sizeof *store);
        store->store = worker->store;
        zhashx_insert(stocks->stores, &store->store, store);
    }
    forget(stocks, worker->store);
    store->session = worker->session;
    store->newest = catalogue_term(self->catalogue) << 32 | self->epochs;
    store->told = false;
    store->from = (chunk_key_t){ 0 };
    store->dropped_from = 0;
    store->unknown = store->unrecorded = 0;
    ask_count(self, store, now);
}

//  Whether the epoch is older than what retention has left of the stream: what
//  is held of it goes with its segments (R15).
static bool
is_outlived(const stream_t *stream, uint64_t epoch)
{
    return stream->record.first_index > 0 && stream->chain_count > 0 &&
           epoch < stream->chain[0]->epoch;
}

//  Whether an attempt will never be in the chain: it is not dealt any more, and
//  no older term commits anything. Of what a rebuild did not find that is not
//  known.
static bool
is_given_up(const stream_t *stream, uint64_t epoch)
{
    for (size_t i = 0; i < stream->chain_count; i++)
        if (stream->chain[i]->epoch == epoch)
            return false;
    for (size_t i = 0; i < stream->pending_count; i++)
        if (stream->pending[i]->epoch == epoch)
            return false;
    if (stream->state == STREAM_SEALED)
        return stream->chain_count > 0;
    return epoch >> 32 > catalogue_rebuilt_in(stream->core->catalogue);
}

//  Whether all that a store holds of an epoch, up to a block, is what counts,
//  and will ever be.
static bool
is_clean(const stream_t *stream, uint64_t epoch, uint64_t last_block)
{
    uint64_t end;
    if (stream->state == STREAM_RECOVERING)
        return false;
    if (is_outlived(stream, epoch))
        return true;
    if (garbage_end(stream->chain, stream->chain_count,
                    is_given_up(stream, epoch), epoch, &end))
        return last_block < end;
    return stream->state == STREAM_SEALED;
}

static void
take_held(core_t *self, store_t *store, const worker_t *worker,
          const Rill__V1__Holding *held, millis_t now)
{
    stream_t *stream = core_stream(self, held->stream);
    if (!stream && !zhashx_lookup(self->removed, &held->stream)) {
        //  A store that was away when the catalogue was rebuilt is no proof.
        store->unknown++;
        store->unrecorded += held->epoch >> 32 >
                             catalogue_rebuilt_in(self->catalogue);
        return;
    }
    doubt_held(self, worker, held, now);
    if (stream && held->epoch > store->newest)
        return;
    stock_t *stock = have(self->stocks, worker, held->stream, held->epoch);
    stock->counted = true;
    stock->records += held->records;
    if (!stock->checked &&
        (!stream || !is_clean(stream, held->epoch, held->last_block)))
        check(self->stocks, stock, now);
}

void
stock_counted(core_t *self, uint64_t session, const message_t *message,
              millis_t now)
{
    const Rill__V1__Counted *counted = message->counted;
    worker_t *worker = membership_by_session(self->members, session);
    store_t *store = worker
                         ? zhashx_lookup(self->stocks->stores, &worker->store)
                         : NULL;
    if (!store || store->session != session || store->told ||
        store->request != message->request)
        return;
    for (size_t i = 0; i < counted->n_held; i++)
        take_held(self, store, worker, counted->held[i], now);
    for (size_t i = 0; i < counted->n_dropped; i++)
        doubt_dropped(self, worker, counted->dropped[i]);
    if (counted->next || counted->dropped_next) {
        chunk_key_t next = LAST_KEY;
        if (counted->next)
            next = message_to_key(counted->next);
        if (chunk_key_compare(&next, &store->from) <= 0 &&
            counted->dropped_next <= store->dropped_from)
            return;  //  It turns in circles: asked again when that is late
        store->from = next;
        store->dropped_from = counted->dropped_next ? counted->dropped_next
                                                    : UINT64_MAX;
        ask_count(self, store, now);
        return;
    }
    store->told = true;
    self->counters.values[COUNTER_faults_total_stream_unknown] +=
        store->unknown;
    if (store->unknown)
        core_note(self, 0,
                  "unknown-streams worker=%s epochs=%" PRIu64
                  " why=\"the catalogue may be an older copy\"",
                  worker->name, store->unknown);
    if (store->unrecorded)
        doubt_unknown(self, worker, store->unrecorded);
    core_note(self, 2, "worker-counted worker=%s", worker->name);
    if (zlistx_size(self->stocks->checks))
        self->stocks->due = now;
}

uint64_t
stock_missing(const core_t *self, uint64_t stream, const extent_t *extent,
              uint64_t blocks, uint64_t id)
{
    const struct stocks *stocks = self->stocks;
    worker_t *worker = membership_find(self->members, id);
    const store_t *store = zhashx_lookup(stocks->stores, &id);
    bool told = worker && worker->state != WORKER_AWAY && store &&
                store->session == worker->session && store->told;
    if (told && extent->epoch > store->newest)
        return 0;
    const stock_t *stock = told ? find(stocks, id, stream, extent->epoch)
                                : NULL;
    uint64_t held = stock && stock->counted ? stock->records : 0;
    uint64_t wanted = placement_count(extent, blocks, id);
    return wanted > held ? wanted - held : 0;
}

//  ---- garbage

void
stock_dealt_again(stream_t *stream, const extent_t *extent, millis_t now)
{
    core_t *self = stream->core;
    for (uint16_t i = 0; i < extent->width; i++) {
        worker_t *worker = membership_find(self->members, extent->stores[i]);
        if (worker &&
            (worker->state == WORKER_LIVE || worker->state == WORKER_WAITING))
            check(self->stocks,
                  have(self->stocks, worker, stream->record.id, extent->epoch),
                  now);
    }
}

static void
ask_sweep(core_t *self, const worker_t *worker, stock_t *stock, uint64_t end)
{
    Rill__V1__Sweep sweep = RILL__V1__SWEEP__INIT;
    sweep.term = catalogue_term(self->catalogue);
    sweep.stream = stock->place.stream;
    sweep.epoch = stock->place.epoch;
    sweep.keep_end = end;
    stock->request = ++self->request;
    message_t message = MESSAGE(SWEEP, sweep, &sweep, stock->request, 0);
    (void)self->effects.ask(self->with, worker->session, &message);
}

//  Whether no more of it will be garbage: the chain has all that was made, and
//  all that was dealt when it had is settled.
static bool
is_final(const stream_t *stream, stock_t *stock)
{
    if (stream->state == STREAM_SEALED ||
        is_given_up(stream, stock->place.epoch))
        return true;
    if (stream->state == STREAM_RECOVERING || stream->pending_count ||
        zlistx_size(stream->waiting))
        return false;
    if (!stock->marked)
        stock->until = stream->next_index;
    stock->marked = true;
    return stream->settled_index >= stock->until;
}

typedef enum { LOOK_AGAIN, LOOK_ASKED, LOOK_OVER } look_t;

static look_t
look(core_t *self, stock_t *stock)
{
    worker_t *worker = membership_by_session(self->members, stock->session);
    const store_t *store = zhashx_lookup(self->stocks->stores,
                                         &stock->place.store);
    stream_t *stream = core_stream(self, stock->place.stream);
    uint64_t end;
    if (!worker)
        return LOOK_OVER;
    if (!store || store->session != worker->session || !store->told)
        return LOOK_AGAIN;
    if (!stream)
        return members_tell_drop(self, worker, stock->place.stream) ? LOOK_ASKED
                                                                    : LOOK_OVER;
    uint64_t epoch = stock->place.epoch;
    if (is_outlived(stream, epoch))
        return LOOK_OVER;
    if (!garbage_end(stream->chain, stream->chain_count,
                     is_given_up(stream, epoch), epoch, &end))
        return stream->state == STREAM_SEALED ? LOOK_OVER : LOOK_AGAIN;
    //  It goes at once, for what counts instead may need its space; unless the
    //  catalogue may turn out to be an older copy.
    if (doubt_about(self, stream->record.id))
        return LOOK_AGAIN;
    if (stock->swept && stock->end == end)
        return is_final(stream, stock) ? LOOK_OVER : LOOK_AGAIN;
    stock->swept = false;
    stock->end = end;
    ask_sweep(self, worker, stock, end);
    return LOOK_ASKED;
}

//  A copy of the list of checks, freed by the caller: what is done for one may
//  take it off.
static stock_t **
all_checks(struct stocks *self, size_t *count_r)
{
    stock_t **checks = zmalloc((zlistx_size(self->checks) + 1) *
                               sizeof *checks);
    *count_r = 0;
    for (stock_t *stock = zlistx_first(self->checks); stock;
         stock = zlistx_next(self->checks))
        checks[(*count_r)++] = stock;
    return checks;
}

static void
look_at_all(core_t *self, millis_t now)
{
    struct stocks *stocks = self->stocks;
    size_t count, asked = 0;
    stock_t **checks = all_checks(stocks, &count);
    for (size_t i = 0; i < count; i++)
        asked += checks[i]->late > now;
    stocks->crowded = false;
    for (size_t i = 0; i < count && !stocks->crowded; i++) {
        if (checks[i]->late > now)
            continue;
        look_t found = look(self, checks[i]);
        if (found == LOOK_OVER)
            end_check(stocks, checks[i]);
        if (found != LOOK_ASKED)
            continue;
        checks[i]->late = now + core_patience(self, LATE_MS);
        stocks->crowded = ++asked >= ASKED_MOST;
    }
    free(checks);
    stocks->due = zlistx_size(stocks->checks)
                      ? now + core_patience(self, LOOK_MS)
                      : MILLIS_NEVER;
}

void
stock_swept(core_t *self, uint64_t session, const message_t *message,
            millis_t now)
{
    const Rill__V1__Swept *swept = message->swept;
    struct stocks *stocks = self->stocks;
    worker_t *worker = membership_by_session(self->members, session);
    stock_t *stock = worker ? find(stocks, worker->store, swept->stream,
                                   swept->epoch)
                            : NULL;
    self->counters.values[COUNTER_records_swept_total] += swept->dropped;
    if (!stock || stock->session != session)
        return;
    stock->records -= swept->dropped < stock->records ? swept->dropped
                                                      : stock->records;
    if (!stock->checked || stock->request != message->request)
        return;
    stock->late = stocks->due = now;
    stock->swept = !swept->more;
}

void
stock_dropped(core_t *self, uint64_t session, uint64_t stream, millis_t now)
{
    struct stocks *stocks = self->stocks;
    size_t count;
    stock_t **checks = all_checks(stocks, &count);
    for (size_t i = 0; i < count; i++)
        if (checks[i]->session == session &&
            checks[i]->place.stream == stream) {
            checks[i]->counted = false;
            end_check(stocks, checks[i]);
        }
    free(checks);
    if (stocks->crowded)
        stocks->due = now;
}

//  ---- time

void
stock_sweep(core_t *self, millis_t now)
{
    struct stocks *stocks = self->stocks;
    for (store_t *store = zhashx_first(stocks->stores); store;
         store = zhashx_next(stocks->stores)) {
        if (store->told || store->late > now)
            continue;
        if (membership_by_session(self->members, store->session))
            ask_count(self, store, now);
        else
            store->late = MILLIS_NEVER;  //  Until it joins again
    }
    if (stocks->due <= now)
        look_at_all(self, now);
}

millis_t
stock_due(core_t *self)
{
    millis_t due = self->stocks->due;
    for (store_t *store = zhashx_first(self->stocks->stores); store;
         store = zhashx_next(self->stocks->stores))
        if (!store->told)
            due = millis_least(due, store->late);
    return due;
}
