/*  A source's part: the production publisher, fed with bytes that are a
 *  function of name, token and offset.
 */
#include <stdio.h>
#include <stdlib.h>

#include "content.h"
#include "invariant.h"
#include "play.h"
#include "story.h"

static void feed(node_t *node, void *arg, bool happens);

static status_t
on_send(void *with, const message_t *message, buffer_t *payload)
{
    source_part_t *self = with;
    if (!self->front)
        return STATUS_BUSY;
    return wire_send(self->front, true, message, payload);
}

static uint64_t
on_random(void *with)
{
    source_part_t *self = with;
    return dice_next(&self->play->stage->core_dice);
}

static const publisher_effects_t EFFECTS = { on_send, on_random };

static void
begin(source_part_t *self)
{
    publisher_settings_t settings = {
        .name = self->name,
        .kind = self->kind,
        .token = self->token,
        .asked = self->asked,
        .retention = self->retention,
        .size_known = self->kind == KIND_RECORDED,
        .size = self->total,
        .buffer_ms = 0,
        .rate_bytes = 0,
        .chunk_bytes = 0,
    };
    self->finished = false;
    self->core = publisher_new(&settings, &EFFECTS, self,
                               node_now(&self->node));
}

static void
again(node_t *node, void *arg, bool happens)
{
    (void)arg;
    source_part_t *self = node->self;
    if (!happens || self->done)
        return;
    publisher_destroy(&self->core);
    begin(self);
}

static void
offer(source_part_t *self, size_t size)
{
    const publisher_state_t *state = publisher_state(self->core);
    buffer_t *piece = buffer_new(size);
    content_fill(content_key(self->name, self->token), state->next,
                 buffer_fill(piece), size);
    ledger_gave(self->play->stage->ledger, self->name, self->token,
                state->next + size);
    status_t status = publisher_offer(self->core, piece, NULL, 0,
                                      node_now(&self->node));
    if (status != STATUS_OK)
        story_breach(0, "%s: an offer within the room is %s", self->name,
                     status_name(status));
    buffer_unref(&piece);
    if (state->next > self->given)
        self->given = state->next;
}

static void
feed(node_t *node, void *arg, bool happens)
{
    (void)arg;
    source_part_t *self = node->self;
    if (!happens)
        return;
    const publisher_state_t *state = publisher_state(self->core);
    dice_t *dice = &node->stage->dice;
    //  When calm has come a live stream ends, and a file hurries.
    size_t budget = node->stage->calm ? 25 * (size_t)self->piece
                                      : dice_below(dice, self->rate) + 1;
    while (state->opened && !self->finished && budget > 0 &&
           state->failed == STATUS_OK && !state->sealed) {
        uint64_t end = state->base + self->total;
        if (state->next >= end ||
            (node->stage->calm && self->kind == KIND_LIVE && !self->ends &&
             state->next >= self->given)) {
            self->finished = self->ends = true;
            self->total = state->next - state->base;
            ledger_finished(node->stage->ledger, self->name, self->token,
                            state->next);
            publisher_finish(self->core, node_now(node));
            break;
        }
        size_t size = dice_below(dice, self->piece) + 1;
        if (size > budget)
            size = budget;
        if (size > end - state->next)
            size = (size_t)(end - state->next);
        if (size > publisher_room(self->core))
            break;
        offer(self, size);
        budget -= size;
    }
    if (!self->done)
        node_post(node, dice_between(dice, 5000, 15000), feed, NULL);
}

//  ---- acts

static void
on_message(node_t *node, wire_t *wire, status_t status,
           const message_t *message, buffer_t *payload)
{
    source_part_t *self = node->self;
    (void)wire, (void)payload;
    if (status != STATUS_OK)
        story_breach(0, "a source hears what cannot be read: %s",
                     status_name(status));
    publisher_on_message(self->core, message, node_now(node));
}

static void
on_break(node_t *node, wire_t *wire)
{
    source_part_t *self = node->self;
    if (wire == self->front)
        front_join(node, &self->front);
}

static millis_t
due(node_t *node)
{
    source_part_t *self = node->self;
    return publisher_due(self->core);
}

static void
sweep(node_t *node)
{
    source_part_t *self = node->self;
    publisher_sweep(self->core, node_now(node));
}

static bool
after(node_t *node)
{
    source_part_t *self = node->self;
    const publisher_state_t *state = publisher_state(self->core);
    if (state->sealed && !self->done) {
        self->done = true;
        story_tell("%s is sealed at %llu", self->name,
                   (unsigned long long)state->next);
        story_count("stream sealed", 1);
    }
    if (state->failed == STATUS_SEALED && !self->done) {
        ledger_sealed(node->stage->ledger, self->name);
        self->done = true;
    }
    if (state->failed != STATUS_OK && !self->done && !self->feeding) {
        story_tell("%s fails: %s", self->name, state->text);
        //  Its stream is no more, and what it had given with it: it begins
        //  anew.
        bool anew = state->failed == STATUS_OFFSET &&
                    ledger_begins_anew(node->stage->ledger, self->name);
        if (anew) {
            story_count("source began anew", 1);
            self->given = self->calm_stored = 0;
        } else if (state->failed != STATUS_TAKEN &&
                   !(state->failed == STATUS_OFFSET && self->play->disaster))
            story_breach(19, "source of %s was turned away: %s (%s)",
                         self->name, status_name(state->failed), state->text);
        self->taken = state->failed == STATUS_TAKEN;
        story_count("source turned away", 1);
        self->feeding = true;
        node_post(node, SECOND_US / 2, again, NULL);
    } else if (state->failed == STATUS_OK) {
        self->feeding = false;
        self->taken = self->taken && !state->opened;
    }
    return true;
}

static void
die(node_t *node)
{
    source_part_t *self = node->self;
    story_tell("%s is dead", node->name);
    publisher_destroy(&self->core);
    self->front = NULL;
}

static const node_acts_t ACTS = {
    .on_message = on_message,
    .on_break = on_break,
    .due = due,
    .sweep = sweep,
    .after = after,
    .die = die,
};

static void
new_token(source_part_t *self)
{
    dice_t *dice = &self->play->stage->dice;
    self->token = dice_next(dice) | 1;
    self->ends = false;
    self->given = 0;
    self->total = dice_chance(dice, 100)
                      ? dice_below(dice, 3)
                      : dice_below(dice,
                                   dice_chance(dice, 300) ? 20000 : 1500000);
    if (self->piece < 100)
        self->total %= 60000;
    ledger_source(self->play->stage->ledger, self->name, self->token);
}

void
source_make(source_part_t *self, play_t *play, unsigned number)
{
    stage_t *stage = play->stage;
    dice_t *dice = &stage->dice;
    self->play = play;
    self->node.stage = stage;
    self->node.acts = &ACTS;
    self->node.self = self;
    snprintf(self->node.name, sizeof(self->node.name), "s%u", number);
    snprintf(self->name, sizeof(self->name), "stream%u", number);
    self->kind = dice_chance(dice, 500) ? KIND_LIVE : KIND_RECORDED;
    const retention_limits_t *limits = &play->settings.retention;
    if (limits->keep_free)
        self->kind = KIND_LIVE;  //  A file goes only as a whole
    else if (dice_chance(dice, 400))
        self->retention = 1;
    if (dice_chance(dice, 150))
        self->asked = (code_t){ (uint8_t)dice_between(dice, 1, 4),
                                (uint8_t)dice_between(dice, 1, 2) };
    self->piece = dice_chance(dice, 200) ? 40 : 3000;
    self->rate = (uint32_t)dice_between(dice, 20, 4000);
    if (self->piece < 100)
        self->rate = self->rate % 300 + 1;
    new_token(self);
    bool limited = limits->keep_ms || limits->most_bytes || limits->keep_free;
    if (limited && self->retention == 0)
        ledger_limited(stage->ledger, self->name);
}

void
source_start(source_part_t *self)
{
    node_t *node = &self->node;
    node->clock_us = dice_between(&node->stage->dice, 0,
                                  1000 * (int64_t)SECOND_US);
    node_begin(node);
    story_tell("%s starts as %llx of %s", node->name,
               (unsigned long long)self->token, self->name);
    self->feeding = false;
    front_join(node, &self->front);
    begin(self);
    node_post(node, 1000, feed, NULL);
    node_after(node);
}

void
source_replace(source_part_t *self)
{
    new_token(self);
}

void
source_free(source_part_t *self)
{
    node_kill(&self->node);
}
