/*  A worker's part: the production core between virtual sockets and a disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "play.h"
#include "story.h"

//  ---- keys and reads on their way back from the disk

typedef struct {
    status_t status;
    size_t count;
    chunk_key_t keys[];
} told_t;

static void
on_told(node_t *node, void *arg, bool happens)
{
    worker_part_t *self = node->self;
    told_t *told = arg;
    if (happens && told->status == STATUS_OK)
        storage_core_on_durable(self->core, told->keys, told->count,
                                node_now(node));
    else if (happens)
        storage_core_on_failed(self->core, told->keys, told->count,
                               told->status, node_now(node));
    free(told);
}

static void
tell(worker_part_t *self, status_t status, const chunk_key_t *keys,
     size_t count)
{
    if (!count)
        return;
    told_t *told = malloc(sizeof(*told) + count * sizeof(chunk_key_t));
    INVARIANT(told);
    told->status = status;
    told->count = count;
    memcpy(told->keys, keys, count * sizeof(chunk_key_t));
    node_post(&self->node, 0, on_told, told);
}

typedef struct {
    worker_part_t *worker;
    unsigned life, commit;
} commit_t;

static void
on_committed(void *arg, bool happens)
{
    commit_t *commit = arg;
    worker_part_t *self = commit->worker;
    if (happens && self->node.up && self->node.life == commit->life &&
        self->committing && self->commit == commit->commit) {
        stage_t *stage = self->play->stage;
        story_time(agenda_now(stage->agenda));
        bool fails = agenda_now(stage->agenda) < self->fail_until_us;
        status_t status = fails ? STATUS_IO : STATUS_OK;
        if (fails)
            story_count("sync failed", 1);
        chunk_key_t *keys;
        self->committing = false;
        size_t count = disk_commit_end(self->disk, status, &keys);
        story_tell("%s commits %zu: %s", self->node.name, count,
                   status_name(status));
        tell(self, status, keys, count);
    }
    free(commit);
}

//  How long a commit or a read takes: of a slow disk up to 100 times as long,
//  and not much longer than it is slow; while all stand still, none ends.
static int64_t
time_taken(worker_part_t *self, int64_t least_us)
{
    stage_t *stage = self->play->stage;
    int64_t took = dice_between(&stage->dice, least_us, self->sync_us);
    int64_t now = agenda_now(stage->agenda), until = self->slow_until_us;
    if (now < self->play->stall_until_us)
        return self->play->stall_until_us - now + took;
    if (until > self->play->calm_us)
        until = self->play->calm_us;
    if (now >= until)
        return took;
    return 100 * took < until - now ? 100 * took : until - now + took;
}

//  Begin what the disk can begin; pass on what it has to tell.
static void
turn(worker_part_t *self)
{
    stage_t *stage = self->play->stage;
    chunk_key_t *keys;
    size_t count = disk_told(self->disk, &keys);
    tell(self, STATUS_OK, keys, count);
    count = disk_corrupt(self->disk, &keys);
    tell(self, STATUS_CORRUPT, keys, count);
    if (!disk_waits(self->disk) || self->committing)
        return;
    disk_commit_begin(self->disk);
    self->committing = true;
    commit_t *commit = malloc(sizeof(*commit));
    INVARIANT(commit);
    *commit = (commit_t){ self, self->node.life, ++self->commit };
    agenda_add(stage->agenda, time_taken(self, self->sync_us / 4), on_committed,
               commit);
}

//  ---- effects

static status_t
on_send_forwarder(void *with, const message_t *message)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node) || !self->front)
        return STATUS_BUSY;
    return wire_send(self->front, true, message, NULL);
}

static void
on_open_receipts(void *with, const char *endpoint)
{
    worker_part_t *self = with;
    play_t *play = self->play;
    if (node_is_lost(&self->node))
        return;
    if (self->receipts)
        wire_close(self->receipts);
    unsigned number;
    if (sscanf(endpoint, "receipts/%u", &number) != 1 ||
        number >= play->forwarders)
        story_breach(0, "receipts to %s", endpoint);
    self->receipts = wire_new(play->stage, WIRE_RECEIPT, &self->node,
                              &play->forwarder[number]->node);
}

//  Receipts besides for parity that comes and is thrown away.
static status_t
on_send_receipt(void *with, const message_t *message)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node) || !self->receipts)
        return STATUS_BUSY;
    chunkstore_identity_t identity = disk_identity(self->disk);
    ledger_receipt(self->play->stage->ledger, identity.store, identity.term,
                   message);
    return wire_send(self->receipts, true, message, NULL);
}

static status_t
on_answer(void *with, const peer_t *peer, const message_t *message,
          buffer_t *payload)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node))
        return STATUS_BUSY;
    wire_t *wire = peer_wire(self->play->stage, peer);
    return wire ? wire_send(wire, false, message, payload) : STATUS_UNREACHABLE;
}

static status_t
on_append(void *with, const chunk_header_t *header, buffer_t *payload,
          millis_t now)
{
    worker_part_t *self = with;
    (void)now;
    if (node_is_lost(&self->node))
        return STATUS_BUSY;
    return disk_append(self->disk, header, payload);
}

typedef struct {
    uint64_t token;
    chunk_key_t key;
    bool header_only;
} reading_t;

static void
on_read_done(node_t *node, void *arg, bool happens)
{
    worker_part_t *self = node->self;
    reading_t *reading = arg;
    if (happens) {
        const chunk_header_t *header = NULL;
        buffer_t *payload = NULL;
        status_t status = disk_read(self->disk, reading->key, &header,
                                    &payload);
        storage_core_on_read(self->core, reading->token, status, header,
                             reading->header_only ? NULL : payload,
                             node_now(node));
    }
    free(reading);
}

static status_t
on_read(void *with, chunk_key_t key, bool header_only, uint64_t token)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node))
        return STATUS_BUSY;
    reading_t *reading = malloc(sizeof(*reading));
    INVARIANT(reading);
    *reading = (reading_t){ token, key, header_only };
    node_post(&self->node, time_taken(self, 0), on_read_done, reading);
    return STATUS_OK;
}

static status_t
on_walk(void *with, uint64_t stream, uint64_t epoch, uint64_t block,
        chunkstore_each_fn *each, void *arg)
{
    worker_part_t *self = with;
    return disk_walk(self->disk, stream, epoch, block, each, arg);
}

static status_t
on_walk_back(void *with, uint64_t stream, uint64_t epoch,
             chunkstore_each_fn *each, void *arg)
{
    worker_part_t *self = with;
    return disk_walk_back(self->disk, stream, epoch, each, arg);
}

static status_t
on_walk_all(void *with, chunk_key_t from, chunkstore_each_fn *each, void *arg)
{
    worker_part_t *self = with;
    return disk_walk_all(self->disk, from, each, arg);
}

static size_t
on_epochs(void *with, uint64_t stream, uint64_t *epochs, size_t most)
{
    worker_part_t *self = with;
    return disk_epochs(self->disk, stream, epochs, most);
}

static status_t
on_locate(void *with, uint64_t stream, uint64_t epoch, bool by_time,
          uint64_t at, chunkstore_entry_t *entry_r)
{
    worker_part_t *self = with;
    return disk_locate(self->disk, stream, epoch, by_time, at, entry_r);
}

static size_t
on_dropped(void *with, uint64_t from, uint64_t *streams, size_t most)
{
    worker_part_t *self = with;
    return disk_dropped(self->disk, from, streams, most);
}

static uint64_t
on_settled(void *with, uint64_t stream)
{
    worker_part_t *self = with;
    return disk_settled(self->disk, stream);
}

static status_t
on_drop(void *with, uint64_t stream)
{
    worker_part_t *self = with;
    return node_is_lost(&self->node) ? STATUS_IO
                                     : disk_drop(self->disk, stream);
}

static void
on_retain(void *with, uint8_t retention, micros_t horizon_us, millis_t span_ms)
{
    (void)span_ms;
    worker_part_t *self = with;
    disk_retain(self->disk, retention, horizon_us);
}

static status_t
on_trim(void *with, uint64_t stream, uint64_t epoch, uint64_t first,
        uint64_t end, size_t *dropped_r, bool *more_r)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node))
        return STATUS_IO;
    status_t status = disk_trim(self->disk, stream, epoch, first, end,
                                dropped_r, more_r);
    story_tell("%s sweeps %zu of epoch %llx", self->node.name, *dropped_r,
               (unsigned long long)epoch);
    story_count("record swept", *dropped_r);
    return status;
}

static chunkstore_identity_t
on_identity(void *with)
{
    worker_part_t *self = with;
    return disk_identity(self->disk);
}

static status_t
on_set_cluster(void *with, uint64_t cluster)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node))
        return STATUS_IO;
    disk_set_cluster(self->disk, cluster);
    return STATUS_OK;
}

static status_t
on_set_term(void *with, uint64_t term)
{
    worker_part_t *self = with;
    if (node_is_lost(&self->node))
        return STATUS_IO;
    disk_set_term(self->disk, term);
    return STATUS_OK;
}

static chunkstore_space_t
on_space(void *with)
{
    worker_part_t *self = with;
    return disk_space(self->disk);
}

static void
on_note(void *with, int level, const char *text)
{
    worker_part_t *self = with;
    if (!self->node.doomed)
        story_tell("%s notes (%d) %s", self->node.name, level, text);
}

static const storage_effects_t EFFECTS = {
    .send_forwarder = on_send_forwarder,
    .open_receipts = on_open_receipts,
    .send_receipt = on_send_receipt,
    .answer = on_answer,
    .append = on_append,
    .read = on_read,
    .walk = on_walk,
    .walk_back = on_walk_back,
    .walk_all = on_walk_all,
    .epochs = on_epochs,
    .dropped = on_dropped,
    .locate = on_locate,
    .settled = on_settled,
    .drop = on_drop,
    .retain = on_retain,
    .trim = on_trim,
    .identity = on_identity,
    .set_cluster = on_set_cluster,
    .set_term = on_set_term,
    .space = on_space,
    .note = on_note,
};

//  ---- acts

static void
on_message(node_t *node, wire_t *wire, status_t status,
           const message_t *message, buffer_t *payload)
{
    worker_part_t *self = node->self;
    millis_t now = node_now(node);
    peer_t peer = wire_peer(wire);
    if (status != STATUS_OK)
        storage_core_on_bad(self->core, &peer, 0, status, now);
    else if (wire->kind == WIRE_PUSH)
        storage_core_on_store(self->core, message, payload, now);
    else if (wire->kind == WIRE_ASK)
        storage_core_on_ask(self->core, &peer, message, now);
    else
        storage_core_on_forwarder(self->core, message, now);
}

static bool
takes(node_t *node)
{
    worker_part_t *self = node->self;
    return !storage_core_choked(self->core);
}

static void
on_break(node_t *node, wire_t *wire)
{
    worker_part_t *self = node->self;
    if (wire == self->front)
        front_join(node, &self->front);
}

static millis_t
due(node_t *node)
{
    worker_part_t *self = node->self;
    return storage_core_due(self->core);
}

static void
sweep(node_t *node)
{
    worker_part_t *self = node->self;
    storage_core_sweep(self->core, node_now(node));
}

static bool
after(node_t *node)
{
    worker_part_t *self = node->self;
    turn(self);
    if (self->draining && storage_core_drain(self->core, node_now(node))) {
        story_tell("%s has drained", node->name);
        story_count("worker drained", 1);
        return false;
    }
    const char *text = "";
    status_t status = storage_core_fault(self->core, &text);
    if (status == STATUS_OK)
        return true;
    story_tell("%s exits: %s", node->name, text);
    story_count("worker gave up", 1);
    return false;
}

static void
die(node_t *node)
{
    worker_part_t *self = node->self;
    story_tell("%s is dead", node->name);
    storage_core_destroy(&self->core);
    disk_crash(self->disk);
    self->committing = false;
    self->front = self->receipts = NULL;
}

static const node_acts_t ACTS = {
    .on_message = on_message,
    .takes = takes,
    .on_break = on_break,
    .due = due,
    .sweep = sweep,
    .after = after,
    .die = die,
};

void
worker_make(worker_part_t *self, play_t *play, unsigned number)
{
    stage_t *stage = play->stage;
    self->play = play;
    self->number = number;
    uint64_t space = play->settings.retention.keep_free ? 3000000
                                                        : (uint64_t)1 << 40;
    self->disk = disk_new(stage->ledger, &stage->dice, space,
                          dice_chance(&stage->dice, 300) ? 20000 : 1 << 20);
    self->sync_us = dice_chance(&stage->dice, 200) ? 60000 : 6000;
    self->node.stage = stage;
    self->node.acts = &ACTS;
    self->node.self = self;
    snprintf(self->node.name, sizeof(self->node.name), "w%u", number);
}

void
worker_start(worker_part_t *self)
{
    node_t *node = &self->node;
    dice_t *dice = &node->stage->dice;
    node->clock_us = dice_between(dice, 0, 1000 * SECOND_US);
    node->crash_permille = node->stage->calm || !dice_chance(dice, 200)
                               ? 0
                               : (unsigned short)dice_below(dice, 40);
    node_begin(node);
    self->draining = false;
    disk_open(self->disk);
    char push_at[NAME_BYTES], ask_at[NAME_BYTES];
    snprintf(push_at, sizeof(push_at), "push/%u/%u", self->number, node->life);
    snprintf(ask_at, sizeof(ask_at), "ask/%u", self->number);
    story_tell("%s starts", node->name);
    storage_settings_t settings = {
        .name = node->name,
        .push_at = push_at,
        .ask_at = ask_at,
        .patience = self->play->settings.patience,
    };
    front_join(node, &self->front);
    self->core = storage_core_new(&settings, &EFFECTS, self, node_now(node));
    node_after(node);
}

void
worker_free(worker_part_t *self)
{
    node_kill(&self->node);
    disk_destroy(&self->disk);
    medium_destroy(&self->shelf);
}
