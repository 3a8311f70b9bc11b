/*  Slots that full sockets did not take (R5), each stream in its turn: what a
 *  slow worker has waiting of one stream keeps no other out (invariant 19).
 *
 *  A queue for each store, in it a lane for each stream, in that its slots in
 *  order. To add, send or forget one takes the same few steps however many
 *  wait.
 */
#include "invariant.h"
#include "origin.h"

enum { UNREACHED_MS = 3000 };

//  What a lane is of.
typedef struct {
    uint64_t store;
    uint64_t stream;
} way_t;

typedef struct {
    uint64_t store;
    zlistx_t *lanes;  //  lane_t, lent; the first is next
    void *at;         //  In the outbox's queues
} queue_t;

typedef struct {
    way_t way;
    queue_t *queue;
    zlistx_t *parcels;  //  parcel_t, owned
    void *at;           //  In its queue's lanes
} lane_t;

struct parcel {
    block_t *block;
    unsigned slot;
    millis_t since;
    lane_t *lane;
    void *at;  //  In its lane's parcels
};

struct outbox {
    zlistx_t *queues;  //  queue_t, owned; none is empty
    zhashx_t *lanes;   //  lane_t by way, owned; none is empty
};

static size_t
hash_way(const void *key)
{
    const way_t *way = key;
    uint64_t hash = way->store * 0x9e3779b97f4a7c15u ^ way->stream;
    hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9u;
    return (size_t)(hash ^ (hash >> 32));
}

static int
compare_ways(const void *a, const void *b)
{
    const way_t *one = a, *other = b;
    return one->store != other->store || one->stream != other->stream;
}

struct outbox *
outbox_new(void)
{
    struct outbox *self = zmalloc(sizeof *self);
    self->queues = zlistx_new();
    self->lanes = zhashx_new();
    zhashx_set_key_hasher(self->lanes, hash_way);
    zhashx_set_key_comparator(self->lanes, compare_ways);
    zhashx_set_key_duplicator(self->lanes, NULL);
    zhashx_set_key_destructor(self->lanes, NULL);
    return self;
}

void
outbox_destroy(struct outbox **self_p)
{
    struct outbox *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    //  Blocks took what was theirs with them.
    INVARIANT(zlistx_size(self->queues) == 0 && zhashx_size(self->lanes) == 0);
    zlistx_destroy(&self->queues);
    zhashx_destroy(&self->lanes);
    free(self);
}

bool
outbox_is_empty(const struct outbox *self)
{
    return zlistx_size(self->queues) == 0;
}

//  ---- what waits

static queue_t *
find_queue(const struct outbox *self, uint64_t store)
{
    queue_t *queue = zlistx_first(self->queues);
    while (queue && queue->store != store)
        queue = zlistx_next(self->queues);
    return queue;
}

static queue_t *
take_queue(struct outbox *self, uint64_t store)
{
    queue_t *queue = find_queue(self, store);
    if (queue)
        return queue;
    queue = zmalloc(sizeof *queue);
    queue->store = store;
    queue->lanes = zlistx_new();
    queue->at = zlistx_add_end(self->queues, queue);
    return queue;
}

static lane_t *
take_lane(struct outbox *self, way_t way)
{
    lane_t *lane = zhashx_lookup(self->lanes, &way);
    if (lane)
        return lane;
    lane = zmalloc(sizeof *lane);
    lane->way = way;
    lane->queue = take_queue(self, way.store);
    lane->parcels = zlistx_new();
    lane->at = zlistx_add_end(lane->queue->lanes, lane);
    zhashx_insert(self->lanes, &lane->way, lane);
    return lane;
}

static void
drop(struct outbox *self, struct parcel *parcel)
{
    lane_t *lane = parcel->lane;
    queue_t *queue = lane->queue;
    parcel->block->parcels[parcel->slot] = NULL;
    zlistx_detach(lane->parcels, parcel->at);
    free(parcel);
    if (zlistx_size(lane->parcels))
        return;
    zhashx_delete(self->lanes, &lane->way);
    zlistx_detach(queue->lanes, lane->at);
    zlistx_destroy(&lane->parcels);
    free(lane);
    if (zlistx_size(queue->lanes))
        return;
    zlistx_detach(self->queues, queue->at);
    zlistx_destroy(&queue->lanes);
    free(queue);
}

void
outbox_put(block_t *block, unsigned slot, millis_t now)
{
    struct outbox *self = block->stream->core->outbox;
    uint64_t store = placement_store(block->extent, block->number, slot);
    //  Who waits already goes first.
    if (!find_queue(self, store) && deal_push(block, slot, now))
        return;
    way_t way = { store, block->stream->record.id };
    struct parcel *parcel = zmalloc(sizeof *parcel);
    *parcel = (struct parcel){ .block = block, .slot = slot, .since = now };
    parcel->lane = take_lane(self, way);
    parcel->at = zlistx_add_end(parcel->lane->parcels, parcel);
    block->parcels[slot] = parcel;
}

void
outbox_forget(block_t *block)
{
    for (unsigned slot = 0; slot < LIMIT_SLOTS; slot++)
        if (block->parcels[slot])
            drop(block->stream->core->outbox, block->parcels[slot]);
}

//  ---- sending

//  Its socket takes nothing, and nothing is on its way to it: it is not
//  connected, though it says that it lives. No receipt would ever be overdue.
static bool
unreached(core_t *self, const struct parcel *parcel, millis_t now)
{
    const worker_t *worker = membership_find(self->members,
                                             parcel->lane->way.store);
    return worker && worker->outstanding == 0 &&
           now - parcel->since > core_patience(self, UNREACHED_MS);
}

//  Send what the store's socket takes. The parcel that it did not take, or NULL.
static const struct parcel *
send_some(core_t *self, uint64_t store, millis_t now)
{
    queue_t *queue;
    while ((queue = find_queue(self->outbox, store)) != NULL) {
        lane_t *lane = zlistx_first(queue->lanes);
        struct parcel *parcel = zlistx_first(lane->parcels);
        if (!deal_push(parcel->block, parcel->slot, now))
            return parcel;
        zlistx_move_end(queue->lanes, lane->at);
        drop(self->outbox, parcel);
    }
    return NULL;
}

void
outbox_send(core_t *self, millis_t now)
{
    uint64_t stores[LIMIT_WORKERS];
    size_t count = 0;
    worker_t *gone = NULL;
    for (queue_t *queue = zlistx_first(self->outbox->queues);
         queue && count < LIMIT_WORKERS;
         queue = zlistx_next(self->outbox->queues))
        stores[count++] = queue->store;
    for (size_t i = 0; i < count; i++) {
        const struct parcel *left = send_some(self, stores[i], now);
        if (left && unreached(self, left, now))
            gone = membership_find(self->members, stores[i]);
    }
    if (gone)
        members_leave(self, gone, true, "its socket takes nothing", now);
}
