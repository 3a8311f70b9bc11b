#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "story.h"

#define PIECES_PERMILLE 30  //  Of faults of messages, that a piece meets

#define SPINS_MOST 50  //  Sweeps that may pass without moving a deadline

struct task {
    node_t *node;
    unsigned life;
    task_fn *function;
    void *arg;
    task_t *next;
};

struct letter {
    wire_t *wire;
    uint64_t generation;
    int64_t arrives_us;
    bool to_server;
    buffer_t *head, *payload;
    letter_t *next;
};

static void deliver_held(node_t *node);
static void drop_held(node_t *node);

//  ---- nodes

millis_t
node_now(const node_t *node)
{
    return (node->clock_us + agenda_now(node->stage->agenda)) / 1000;
}

micros_t
node_wall_us(const node_t *node)
{
    return node->stage->epoch_us + agenda_now(node->stage->agenda) +
           node->skew_us;
}

static void
drop_backlog(node_t *node)
{
    for (task_t *task = node->first, *next; task; task = next) {
        next = task->next;
        task->function(node, task->arg, false);
        free(task);
    }
    node->first = node->last = NULL;
}

static void
do_task(task_t *task)
{
    node_t *node = task->node;
    bool alive = node->up && node->life == task->life;
    if (alive && node->hung) {
        task->next = NULL;
        if (node->last)
            node->last->next = task;
        else
            node->first = task;
        node->last = task;
        return;
    }
    task->function(node, task->arg, alive);
    free(task);
    if (alive)
        node_after(node);
}

static void
on_task(void *arg, bool happens)
{
    task_t *task = arg;
    if (happens) {
        story_time(agenda_now(task->node->stage->agenda));
        do_task(task);
    } else {
        task->function(task->node, task->arg, false);
        free(task);
    }
}

void
node_post(node_t *node, int64_t after_us, task_fn *function, void *arg)
{
    task_t *task = calloc(1, sizeof(*task));
    INVARIANT(task);
    *task = (task_t){ node, node->life, function, arg, NULL };
    agenda_add(node->stage->agenda, after_us, on_task, task);
}

static void
on_wake(node_t *node, void *arg, bool happens)
{
    (void)arg;
    if (!happens)
        return;
    node->wake_us = INT64_MAX;
    millis_t now = node_now(node), due = node->acts->due(node);
    if (due > now)
        return;
    node->acts->sweep(node);
    if (node->doomed)
        return;
    node->spins = node->acts->due(node) <= now ? node->spins + 1 : 0;
    if (node->spins > SPINS_MOST)
        story_breach(0, "%s spins: after %u sweeps its deadline is still past",
                     node->name, node->spins);
}

void
node_after(node_t *node)
{
    if (!node->up || node->hung)
        return;
    deliver_held(node);
    if (!node->doomed && !node->acts->after(node))
        node->doomed = true;
    if (node->doomed) {
        node_kill(node);
        return;
    }
    millis_t due = node->acts->due(node);
    if (due == MILLIS_NEVER)
        return;
    int64_t now = agenda_now(node->stage->agenda);
    //  What is overdue may be so since ever: no time to count with.
    bool is_over = due <= (now + node->clock_us) / 1000;
    int64_t at = is_over ? now : due * 1000 - node->clock_us;
    //  A loop that has just turned does not turn again in the same instant.
    if (at < now + 500)
        at = now + 500;
    if (at >= node->wake_us)
        return;
    node->wake_us = at;
    node_post(node, at - now, on_wake, NULL);
}

void
node_begin(node_t *node)
{
    INVARIANT(!node->up);
    node->up = true;
    node->hung = node->doomed = false;
    node->life++;
    node->wake_us = INT64_MAX;
    node->spins = 0;
}

void
node_kill(node_t *node)
{
    if (!node->up)
        return;
    node->up = node->hung = node->doomed = false;
    stage_t *stage = node->stage;
    if (stage->front == node)
        stage->front = NULL;
    if (stage->old_front == node)
        stage->old_front = NULL;
    drop_backlog(node);
    drop_held(node);
    node->acts->die(node);
    for (size_t i = 0; i < stage->wires; i++) {
        wire_t *wire = stage->wire[i];
        if (!wire->closed && (wire->client == node || wire->server == node))
            wire_break(wire);
    }
}

void
node_hang(node_t *node)
{
    node->hung = true;
}

void
node_resume(node_t *node)
{
    if (!node->hung)
        return;
    node->hung = false;
    task_t *task = node->first;
    node->first = node->last = NULL;
    while (task) {
        task_t *next = task->next;
        task->next = NULL;
        do_task(task);
        task = next;
    }
}

bool
node_is_lost(node_t *node)
{
    if (!node->up)
        return true;
    if (!node->doomed &&
        dice_below(&node->stage->dice, 100000) < node->crash_permille) {
        node->doomed = true;
        story_tell("%s dies in an effect", node->name);
        story_count("crash inside a handler", 1);
    }
    return node->doomed;
}

//  ---- wires

static void
free_letter(letter_t *letter)
{
    buffer_unref(&letter->head);
    buffer_unref(&letter->payload);
    free(letter);
}

static void
open_letter(node_t *node, letter_t *letter)
{
    wire_t *wire = letter->wire;
    bool current = wire->generation == letter->generation;
    stage_t *stage = node->stage;
    if (wire->kind == WIRE_PUSH)
        stage->taken_us = agenda_now(stage->agenda);
    if (current && wire->kind == WIRE_PUSH)
        wire->queued--;
    //  What had come in before the wire broke is still read by a server.
    if (current ||
        (letter->to_server && letter->arrives_us <= wire->broken_us)) {
        message_t *message = NULL;
        status_t status = message_unpack(buffer_bytes(letter->head),
                                         buffer_size(letter->head), &message);
        if (status == STATUS_OK)
            story_tell("%s <- %s: %s", node->name,
                       (letter->to_server ? wire->client : wire->server)->name,
                       message_kind(message));
        node->acts->on_message(node, wire, status, message, letter->payload);
        message_free(&message);
    }
    free_letter(letter);
}

static bool
takes(node_t *node)
{
    return !node->acts->takes || node->acts->takes(node);
}

static void
deliver_held(node_t *node)
{
    while (node->held_first && !node->doomed && takes(node)) {
        letter_t *letter = node->held_first;
        node->held_first = letter->next;
        open_letter(node, letter);
    }
    if (node->held_first)
        node->stage->full_us = agenda_now(node->stage->agenda);
}

static void
drop_held(node_t *node)
{
    for (letter_t *letter = node->held_first, *next; letter; letter = next) {
        next = letter->next;
        free_letter(letter);
    }
    node->held_first = NULL;
}

static void
on_letter(node_t *node, void *arg, bool happens)
{
    letter_t *letter = arg;
    if (!happens) {
        free_letter(letter);
        return;
    }
    if (letter->wire->kind != WIRE_PUSH || (!node->held_first && takes(node))) {
        open_letter(node, letter);
        return;
    }
    letter->next = NULL;
    if (node->held_first)
        node->held_last->next = letter;
    else
        node->held_first = letter;
    node->held_last = letter;
    story_count("chunk held back by a full store", 1);
}

static bool
ends_live(const wire_t *wire)
{
    return wire->client->up && wire->client->life == wire->client_life &&
           wire->server->up && wire->server->life == wire->server_life;
}

static void
on_joined(void *arg, bool happens)
{
    wire_t *wire = arg;
    if (happens && !wire->closed && ends_live(wire))
        wire->up = true;
}

wire_t *
wire_new(stage_t *stage, wire_kind_t kind, node_t *client, node_t *server)
{
    if (stage->wires == stage->wires_room) {
        stage->wires_room = stage->wires_room ? 2 * stage->wires_room : 64;
        stage->wire = realloc(stage->wire,
                              stage->wires_room * sizeof(wire_t *));
        INVARIANT(stage->wire);
    }
    wire_t *wire = calloc(1, sizeof(*wire));
    INVARIANT(wire);
    stage->wire[stage->wires] = wire;
    wire->number = ++stage->wires;
    wire->kind = kind;
    wire->client = client;
    wire->server = server;
    wire->client_life = client->life;
    wire->server_life = server->life;
    agenda_add(stage->agenda, dice_between(&stage->dice, 50, 3000), on_joined,
               wire);
    return wire;
}

wire_t *
wire_find(stage_t *stage, uint64_t number)
{
    return number && number <= stage->wires ? stage->wire[number - 1] : NULL;
}

static void
on_broken(node_t *node, void *arg, bool happens)
{
    wire_t *wire = arg;
    if (happens && !wire->closed)
        node->acts->on_break(node, wire);
}

void
wire_break(wire_t *wire)
{
    if (wire->closed)
        return;
    stage_t *stage = wire->client->stage;
    wire->generation++;
    wire->queued = 0;
    wire->up = false;
    wire->broken_us = agenda_now(stage->agenda);
    wire->blackhole = dice_chance(&stage->dice, 500);
    bool client = wire->client->up && wire->client->life == wire->client_life;
    if (!client) {
        wire->closed = true;
        return;
    }
    node_post(wire->client, dice_between(&stage->dice, 0, 50000), on_broken,
              wire);
    if (ends_live(wire) && wire->kind != WIRE_FRONT)
        agenda_add(stage->agenda, dice_between(&stage->dice, 10000, 300000),
                   on_joined, wire);
}

void
wire_close(wire_t *wire)
{
    if (wire->closed)
        return;
    wire->closed = true;
    wire->up = false;
    wire->generation++;
    wire->broken_us = agenda_now(wire->client->stage->agenda);
}

static int64_t
delay(stage_t *stage)
{
    const weather_t *weather = &stage->weather;
    if (!stage->calm && weather->stall_us && dice_chance(&stage->dice, 5))
        return dice_between(&stage->dice, 0, weather->stall_us);
    return dice_between(&stage->dice, 20, weather->delay_us);
}

static buffer_t *
flipped(stage_t *stage, buffer_t *payload)
{
    size_t size = buffer_size(payload);
    buffer_t *wrong = buffer_new(size);
    memcpy(buffer_fill(wrong), buffer_bytes(payload), size);
    buffer_fill(wrong)[dice_below(&stage->dice, size)] ^=
        (uint8_t)(1u << dice_below(&stage->dice, 8));
    return wrong;
}

//  Put one letter on the agenda.
static void
post_letter(wire_t *wire, bool to_server, buffer_t *head, buffer_t *payload,
            bool in_order)
{
    stage_t *stage = wire->client->stage;
    const weather_t *weather = &stage->weather;
    letter_t *letter = calloc(1, sizeof(*letter));
    INVARIANT(letter);
    *letter = (letter_t){ .wire = wire,
                          .generation = wire->generation,
                          .to_server = to_server,
                          .head = buffer_ref(head) };
    bool flips = weather->messages && payload && buffer_size(payload) &&
                 (wire->kind == WIRE_PUSH || wire->kind == WIRE_ASK) &&
                 dice_below(&stage->dice, 100000) < weather->flipped_permille;
    if (flips)
        story_count("payload bit flipped", 1);
    letter->payload = flips ? flipped(stage, payload) : buffer_ref(payload);
    int64_t now = agenda_now(stage->agenda), at = now + delay(stage);
    if (in_order) {
        if (at <= wire->last_us[to_server])
            at = wire->last_us[to_server] + 1;
        wire->last_us[to_server] = at;
    } else {
        at += dice_between(&stage->dice, 0, 100000);
    }
    letter->arrives_us = at;
    if (wire->kind == WIRE_PUSH)
        wire->queued++;
    node_post(to_server ? wire->server : wire->client, at - now, on_letter,
              letter);
}

status_t
wire_send(wire_t *wire, bool to_server, const message_t *message,
          buffer_t *payload)
{
    stage_t *stage = wire->client->stage;
    weather_t *weather = &stage->weather;
    if (wire->closed)
        return STATUS_UNREACHABLE;
    if (!wire->up)
        return wire->blackhole ? STATUS_OK : STATUS_BUSY;
    if (wire->kind == WIRE_PUSH && wire->queued >= weather->push_queue) {
        stage->full_us = agenda_now(stage->agenda);
        return STATUS_BUSY;
    }
    buffer_t *head = message_pack(message);
    if (!head)
        story_breach(18, "a %s is over the limit of a head",
                     message_kind(message));
    if (message_has_payload(message) != (payload != NULL))
        story_breach(0, "a %s with%s payload", message_kind(message),
                     payload ? "" : "out");
    bool loose = weather->messages &&
                 (wire->kind == WIRE_FRONT || wire->kind == WIRE_RECEIPT);
    //  A piece that is missing has all behind it refused and sent again: when
    //  few come through, a play is nothing else.
    bool piece = message->body_case == RILL__V1__MESSAGE__BODY_PIECE;
    if (loose && piece)
        loose = dice_chance(&stage->dice, PIECES_PERMILLE);
    unsigned lost = loose ? weather->lost_permille : 0;
    unsigned repeated = loose ? weather->repeated_permille : 0;
    unsigned reordered = loose ? weather->reordered_permille : 0;
    if (dice_chance(&stage->dice, lost)) {
        story_count("message lost", 1);
    } else {
        bool late = dice_chance(&stage->dice, reordered);
        if (late)
            story_count("message reordered", 1);
        post_letter(wire, to_server, head, payload, !late);
    }
    if (dice_chance(&stage->dice, repeated)) {
        story_count("message repeated", 1);
        post_letter(wire, to_server, head, payload, false);
    }
    buffer_unref(&head);
    return STATUS_OK;
}

peer_t
wire_peer(const wire_t *wire)
{
    peer_t peer = { .size = sizeof(wire->number) };
    memcpy(peer.bytes, &wire->number, sizeof(wire->number));
    return peer;
}

wire_t *
peer_wire(stage_t *stage, const peer_t *peer)
{
    uint64_t number = 0;
    if (peer->size != sizeof(number))
        story_breach(0, "a message to nobody");
    memcpy(&number, peer->bytes, sizeof(number));
    wire_t *wire = wire_find(stage, number);
    return wire && !wire->closed ? wire : NULL;
}

//  ---- stage

stage_t *
stage_new(uint64_t seed, const weather_t *weather)
{
    stage_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->agenda = agenda_new();
    self->dice.state = dice_mix(seed);
    self->core_dice.state = dice_mix(seed + 0x5eed);
    self->weather = *weather;
    self->catalogue = image_new();
    self->ledger = ledger_new(self->catalogue);
    self->epoch_us = 1700000000000000;
    return self;
}

void
stage_destroy(stage_t **self_p)
{
    stage_t *self = *self_p;
    agenda_destroy(&self->agenda);
    for (size_t i = 0; i < self->wires; i++)
        free(self->wire[i]);
    free(self->wire);
    ledger_destroy(&self->ledger);
    image_destroy(&self->catalogue);
    free(self);
    *self_p = NULL;
}
