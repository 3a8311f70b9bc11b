/*  A forwarder's part: the production core between virtual sockets and the
 *  catalogue's image.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "play.h"
#include "story.h"

typedef struct joined {
    uint64_t session;
    uint64_t store;
    wire_t *push, *ask;
} joined_t;

typedef struct opening {
    uint64_t wire, request;
    uint64_t token;
    char name[LIMIT_NAME_BYTES + 1];
} opening_t;

static joined_t *
session_of(forwarder_part_t *self, uint64_t session)
{
    for (size_t i = self->sessions; i-- > 0;)
        if (self->session[i].session == session)
            return &self->session[i];
    return NULL;
}

//  ---- effects

static const Rill__V1__Open *
open_asked(forwarder_part_t *self, const peer_t *peer, const message_t *message,
           Rill__V1__Open *open)
{
    uint64_t number;
    memcpy(&number, peer->bytes, sizeof(number));
    for (size_t i = self->opens; i-- > 0;) {
        opening_t *heard = &self->open[i];
        if (heard->wire != number || heard->request != message->request)
            continue;
        rill__v1__open__init(open);
        open->name = heard->name;
        open->token = heard->token;
        return open;
    }
    story_breach(21, "an Opened that answers nothing");
}

static status_t
on_send(void *with, const peer_t *peer, const message_t *message,
        buffer_t *payload)
{
    forwarder_part_t *self = with;
    stage_t *stage = self->play->stage;
    if (node_is_lost(&self->node))
        return STATUS_OK;
    Rill__V1__Open open;
    const Rill__V1__Open *asked = message->body_case ==
                                          RILL__V1__MESSAGE__BODY_OPENED
                                      ? open_asked(self, peer, message, &open)
                                      : NULL;
    //  What is said by an older copy of the catalogue is not held against
    //  anybody: nothing can be stored by it.
    if (!self->doubted)
        ledger_said(stage->ledger, self->number, message, asked);
    wire_t *wire = peer_wire(stage, peer);
    if (!wire || wire->server != &self->node)
        return STATUS_UNREACHABLE;
    wire_send(wire, false, message, payload);
    return STATUS_OK;
}

//  "push/NUMBER/LIFE" or "ask/NUMBER".
static node_t *
worker_at(play_t *play, const char *format, const char *at, unsigned *life_r)
{
    unsigned number = WORKERS_MOST;
    if (sscanf(at, format, &number, life_r) < 1 || number >= play->workers)
        story_breach(0, "a connection to %s", at);
    return &play->worker[number].node;
}

static status_t
on_connect(void *with, uint64_t worker, const char *push_at, const char *ask_at)
{
    forwarder_part_t *self = with;
    play_t *play = self->play;
    if (node_is_lost(&self->node))
        return STATUS_ADDRESS;
    unsigned life = 0;
    node_t *push = worker_at(play, "push/%u/%u", push_at, &life);
    node_t *ask = worker_at(play, "ask/%u", ask_at, &life);
    INVARIANT(push == ask);
    if (self->sessions == self->sessions_room) {
        self->sessions_room = self->sessions_room ? 2 * self->sessions_room
                                                  : 16;
        self->session = realloc(self->session,
                                self->sessions_room * sizeof(joined_t));
        INVARIANT(self->session);
    }
    joined_t *joined = &self->session[self->sessions++];
    const worker_part_t *part = push->self;
    *joined = (joined_t){ .session = worker,
                          .store = disk_identity(part->disk).store };
    joined->push = wire_new(play->stage, WIRE_PUSH, &self->node, push);
    joined->ask = wire_new(play->stage, WIRE_ASK, &self->node, ask);
    joined->push->worker = joined->ask->worker = worker;
    joined->push->server_life = life;
    return STATUS_OK;
}

static void
on_disconnect(void *with, uint64_t worker)
{
    forwarder_part_t *self = with;
    joined_t *joined = session_of(self, worker);
    if (node_is_lost(&self->node) || !joined)
        return;
    wire_close(joined->push);
    wire_close(joined->ask);
    *joined = self->session[--self->sessions];
}

static status_t
on_push(void *with, uint64_t worker, const message_t *message,
        buffer_t *payload)
{
    forwarder_part_t *self = with;
    joined_t *joined = session_of(self, worker);
    if (node_is_lost(&self->node))
        return STATUS_BUSY;
    if (!joined)
        story_breach(0, "%s pushes to a worker it left", self->node.name);
    if (self->doubted)
        story_breach(11, "%s deals by an older copy of the catalogue",
                     self->node.name);
    chunk_header_t header;
    status_t status = message_to_chunk(message->store->chunk, &header);
    if (status != STATUS_OK)
        story_breach(9, "%s pushes a header that is %s", self->node.name,
                     status_name(status));
    status = wire_send(joined->push, true, message, payload);
    if (status == STATUS_OK) {
        story_tell("%s pushes %s %llx.%llu.%u", self->node.name, header.name,
                   (unsigned long long)header.key.epoch,
                   (unsigned long long)header.key.block, header.key.slot);
        ledger_pushed(self->play->stage->ledger, self->number, joined->store,
                      &header, payload);
    } else {
        story_count("push socket full", 1);
    }
    return status;
}

static status_t
on_ask(void *with, uint64_t worker, const message_t *message)
{
    forwarder_part_t *self = with;
    joined_t *joined = session_of(self, worker);
    if (node_is_lost(&self->node) || !joined)
        return STATUS_UNREACHABLE;
    return wire_send(joined->ask, true, message, NULL);
}

static uint64_t
on_random(void *with)
{
    forwarder_part_t *self = with;
    return dice_next(&self->play->stage->core_dice);
}

static micros_t
on_wall_us(void *with)
{
    forwarder_part_t *self = with;
    return node_wall_us(&self->node);
}

static void
on_note(void *with, int level, const char *text)
{
    forwarder_part_t *self = with;
    self->play->departures += strncmp(text, "worker-left", 11) == 0;
    if (!self->node.doomed)
        story_tell("%s notes (%d) %s", self->node.name, level, text);
}

//  Nobody hears it here.
static void
on_publish(void *with, uint64_t stream, uint64_t topic,
           const message_t *message, buffer_t *payload)
{
    (void)with, (void)stream, (void)topic, (void)message, (void)payload;
}

static const forwarder_effects_t EFFECTS = {
    .send = on_send,
    .connect = on_connect,
    .disconnect = on_disconnect,
    .push = on_push,
    .ask = on_ask,
    .publish = on_publish,
    .random = on_random,
    .wall_us = on_wall_us,
    .note = on_note,
};

//  ---- the catalogue

static status_t
may_write(void *with, bool sync)
{
    forwarder_part_t *self = with;
    stage_t *stage = self->play->stage;
    (void)sync;
    if (node_is_lost(&self->node))
        return STATUS_IO;
    if (agenda_now(stage->agenda) < self->io_until_us) {
        story_count("catalogue write failed", 1);
        return STATUS_IO;
    }
    return STATUS_OK;
}

static void
wrote(void *with)
{
    forwarder_part_t *self = with;
    story_tell("%s writes the catalogue", self->node.name);
    ledger_check(self->play->stage->ledger);
    node_is_lost(&self->node);
}

static const image_gate_t GATE = { may_write, wrote };

//  ---- acts

static void
hear_open(forwarder_part_t *self, const wire_t *wire, const message_t *message)
{
    if (self->opens == self->opens_room) {
        self->opens_room = self->opens_room ? 2 * self->opens_room : 16;
        self->open = realloc(self->open, self->opens_room * sizeof(opening_t));
        INVARIANT(self->open);
    }
    opening_t *heard = &self->open[self->opens++];
    *heard = (opening_t){ .wire = wire->number,
                          .request = message->request,
                          .token = message->open->token };
    snprintf(heard->name, sizeof(heard->name), "%s", message->open->name);
}

static void
on_message(node_t *node, wire_t *wire, status_t status,
           const message_t *message, buffer_t *payload)
{
    forwarder_part_t *self = node->self;
    millis_t now = node_now(node);
    peer_t peer = wire_peer(wire);
    if (status != STATUS_OK) {
        forwarder_core_on_bad(self->core, &peer, 0, status, now);
    } else if (wire->kind == WIRE_FRONT) {
        if (message->body_case == RILL__V1__MESSAGE__BODY_OPEN)
            hear_open(self, wire, message);
        forwarder_core_on_front(self->core, &peer, message, payload, now);
    } else if (wire->kind == WIRE_RECEIPT) {
        forwarder_core_on_receipt(self->core, message, now);
    } else {
        forwarder_core_on_worker(self->core, wire->worker, message, payload,
                                 now);
    }
}

static void
on_break(node_t *node, wire_t *wire)
{
    forwarder_part_t *self = node->self;
    if (wire->kind == WIRE_ASK && session_of(self, wire->worker))
        forwarder_core_on_disconnect(self->core, wire->worker, node_now(node));
}

static millis_t
due(node_t *node)
{
    forwarder_part_t *self = node->self;
    return forwarder_core_due(self->core);
}

static void
sweep(node_t *node)
{
    forwarder_part_t *self = node->self;
    forwarder_core_sweep(self->core, node_now(node));
}

static status_t new_core(forwarder_part_t *self);

//  The catalogue is made again; it serves.
static bool
begin_serving(forwarder_part_t *self)
{
    play_t *play = self->play;
    story_tell("%s has rebuilt the catalogue", self->node.name);
    story_count("catalogue rebuilt", 1);
    for (size_t i = 0; i < self->sessions; i++) {
        wire_close(self->session[i].push);
        wire_close(self->session[i].ask);
    }
    self->sessions = 0;
    forwarder_core_destroy(&self->core);
    self->rebuilds = play->rebuild = false;
    ledger_doubt(play->stage->ledger, false);
    ledger_check(play->stage->ledger);
    return new_core(self) == STATUS_OK;
}

//  Why it ends, and what people do about it.
static void
told_to_end(forwarder_part_t *self, status_t status)
{
    play_t *play = self->play;
    if (self->doubted) {
        story_count("older catalogue refused", 1);
        play->older = false;
        play->rebuild = true;
    } else if (status == STATUS_CORRUPT)
        story_breach(0, "%s doubts a catalogue that is right", self->node.name);
}

static bool
after(node_t *node)
{
    forwarder_part_t *self = node->self;
    if (self->draining && forwarder_core_drain(self->core, node_now(node))) {
        story_tell("%s has drained", node->name);
        story_count("forwarder drained", 1);
        return false;
    }
    if (forwarder_core_rebuilt(self->core) && !begin_serving(self))
        return false;
    const char *text = "";
    status_t status = forwarder_core_fault(self->core, &text);
    if (status == STATUS_OK)
        return true;
    story_tell("%s exits: %s", node->name, text);
    told_to_end(self, status);
    story_count(
        status == STATUS_FENCED ? "forwarder fenced" : "forwarder gave up", 1);
    return false;
}

static void
die(node_t *node)
{
    forwarder_part_t *self = node->self;
    story_tell("%s is dead", node->name);
    forwarder_core_destroy(&self->core);
    kv_close(&self->catalogue);
}

static const node_acts_t ACTS = {
    .on_message = on_message,
    .on_break = on_break,
    .due = due,
    .sweep = sweep,
    .after = after,
    .die = die,
};

forwarder_part_t *
forwarder_now(play_t *play)
{
    forwarder_part_t *self = play->forwarders
                                 ? play->forwarder[play->forwarders - 1]
                                 : NULL;
    return self && self->node.up ? self : NULL;
}

static status_t
new_core(forwarder_part_t *self)
{
    play_t *play = self->play;
    const char *names[WORKERS_MOST];
    forwarder_settings_t settings = play->settings;
    settings.receipts_at = self->receipts_at;
    settings.rebuild = self->rebuilds;
    settings.workers = names;
    for (unsigned i = 0; i < play->workers; i++)
        if (!play->worker[i].gone)
            names[settings.workers_count++] = play->worker[i].node.name;
    char why[200] = "";
    status_t status = forwarder_core_new(&settings, &EFFECTS, self,
                                         self->catalogue, node_now(&self->node),
                                         &self->core, why, sizeof(why));
    if (status == STATUS_OK)
        return STATUS_OK;
    story_tell("%s does not start: %s", self->node.name, why);
    if (status == STATUS_CORRUPT)
        told_to_end(self, status);
    return status;
}

//  Somebody copies the catalogue now and then.
static void
keep_copy(play_t *play)
{
    stage_t *stage = play->stage;
    if (play->rebuild || play->older || stage->calm ||
        !dice_chance(&stage->dice, 300))
        return;
    image_destroy(&play->copy);
    play->copy = image_durable(stage->catalogue);
    play->copy_term = forwarder_core_term(forwarder_now(play)->core);
}

bool
forwarder_start(play_t *play)
{
    stage_t *stage = play->stage;
    INVARIANT(play->forwarders < FORWARDERS_MOST);
    forwarder_part_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->play = play;
    self->number = play->forwarders;
    play->forwarder[play->forwarders++] = self;
    node_t *node = &self->node;
    node->stage = stage;
    node->acts = &ACTS;
    node->self = self;
    snprintf(node->name, sizeof(node->name), "fw%u", self->number);
    snprintf(self->receipts_at, sizeof(self->receipts_at), "receipts/%u",
             self->number);
    node->clock_us = dice_between(&stage->dice, 0, 1000 * SECOND_US);
    node->skew_us = stage->skew_us +
                    dice_between(&stage->dice, -SECOND_US, SECOND_US);
    node->crash_permille = stage->calm || !dice_chance(&stage->dice, 500)
                               ? 0
                               : (unsigned short)dice_below(&stage->dice, 40);
    node_begin(node);
    self->catalogue = image_open(stage->catalogue, &GATE, self);
    self->rebuilds = play->rebuild;
    self->doubted = play->older;
    story_tell("%s starts%s", node->name,
               self->rebuilds ? " to rebuild the catalogue" : "");
    if (new_core(self) != STATUS_OK) {
        node->up = false;
        kv_close(&self->catalogue);
        return false;
    }
    stage->front = node;
    ledger_life(stage->ledger, self->number);
    story_count("forwarder started", 1);
    keep_copy(play);
    node_after(node);
    return true;
}

void
forwarder_free(forwarder_part_t **self_p)
{
    forwarder_part_t *self = *self_p;
    node_kill(&self->node);
    free(self->session);
    free(self->open);
    free(self);
    *self_p = NULL;
}
