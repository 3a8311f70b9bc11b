#include "play.h"

#include <stdlib.h>

#include "invariant.h"
#include "story.h"

#define ASKING_US SECOND_US  //  A source that was held asks again in it

//  ---- connections to the front

typedef struct {
    node_t *node;
    unsigned life;
    wire_t **wire_p;
} joining_t;

static void
try_front(node_t *node, void *arg, bool happens)
{
    wire_t **wire_p = arg;
    stage_t *stage = node->stage;
    if (!happens || *wire_p)
        return;
    //  Not everybody learns at once who serves now.
    node_t *front = stage->front;
    if (stage->old_front && !stage->calm && dice_chance(&stage->dice, 200))
        front = stage->old_front;
    if (front)
        *wire_p = wire_new(stage, WIRE_FRONT, node, front);
    else
        node_post(node, dice_between(&stage->dice, 5000, 60000), try_front,
                  wire_p);
}

void
front_join(node_t *node, wire_t **wire_p)
{
    if (*wire_p)
        wire_close(*wire_p);
    *wire_p = NULL;
    node_post(node, dice_between(&node->stage->dice, 100, 30000), try_front,
              wire_p);
}

//  ---- one play

//  How long data is kept in a play: mostly for ever, else by one limit.
static retention_limits_t
limits_of(dice_t *dice)
{
    retention_limits_t limits = { 0 };
    switch (dice_below(dice, 10)) {
    case 0:
    case 1:
        limits.keep_ms = (uint64_t)dice_between(dice, 6000, 12000);
        break;
    case 2:
        limits.most_bytes = (uint64_t)dice_between(dice, 100000, 1000000);
        break;
    case 3:
        limits.keep_free = 1500000;
        break;
    default:
        break;
    }
    return limits;
}

static play_t *
play_new(uint64_t seed, lie_t lie)
{
    dice_t dice = { .state = dice_mix(seed ^ 0xc0ffee) };
    weather_t weather = weather_of(&dice);
    play_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    stage_t *stage = self->stage = stage_new(seed, &weather);
    self->lie = lie;
    self->settings = (forwarder_settings_t){
        .name = "origin",
        .patience = 1,
        .memory_bytes = dice_chance(&dice, 300) ? 1 << 20 : 0,
        .chunk_bytes = 4096,
        .buffer_ms = (uint32_t)dice_between(&dice, 20, 200),
        .floor_bytes = 512,
        .ceiling_bytes = 8192,
        .retention = limits_of(&dice),
    };
    //  What is free is to be more than what may be on its way.
    if (self->settings.retention.keep_free)
        self->settings.memory_bytes = 1 << 20;
    self->removes = dice_chance(&dice, 300);
    ledger_keeps(stage->ledger,
                 1000 * (int64_t)self->settings.retention.keep_ms);
    self->workers = (unsigned)dice_between(&stage->dice, 2, WORKERS_MOST);
    retention_limits_t *limits = &self->settings.retention;
    self->disaster = dice_chance(&dice, 400) && self->workers >= 4 &&
                     !self->removes && !limits->keep_ms &&
                     !limits->most_bytes && !limits->keep_free && !lie;
    self->sources = (unsigned)dice_between(&stage->dice, 1, SOURCES_MOST);
    for (unsigned i = 0; i < self->workers; i++)
        worker_make(&self->worker[i], self, i);
    for (unsigned i = 0; i < self->sources; i++)
        source_make(&self->source[i], self, i);
    reader_make(&self->reader, self);
    if (lie == LIE_NO_SYNC)
        image_lie(stage->catalogue);
    for (unsigned i = 0; i < self->workers; i++) {
        if (lie == LIE_EARLY_RECEIPT)
            disk_lie(self->worker[i].disk, DISK_SAYS_EARLY);
        if (lie == LIE_NO_CRC)
            disk_lie(self->worker[i].disk, DISK_TRUSTS);
    }
    return self;
}

static void
play_destroy(play_t **self_p)
{
    play_t *self = *self_p;
    for (unsigned i = 0; i < self->sources; i++)
        source_free(&self->source[i]);
    for (unsigned i = 0; i < self->workers; i++)
        node_kill(&self->worker[i].node);
    for (unsigned i = 0; i < self->forwarders; i++)
        node_kill(&self->forwarder[i]->node);
    reader_free(&self->reader);
    stage_t *stage = self->stage;
    //  What is still on the agenda belongs to nodes: they go after it.
    agenda_destroy(&stage->agenda);
    for (unsigned i = 0; i < self->workers; i++)
        worker_free(&self->worker[i]);
    for (unsigned i = 0; i < self->forwarders; i++)
        forwarder_free(&self->forwarder[i]);
    image_destroy(&self->copy);
    stage_destroy(&self->stage);
    free(self);
    *self_p = NULL;
}

static void
run_until(play_t *self, int64_t until_us)
{
    while (agenda_turn(self->stage->agenda, until_us))
        ;
    story_time(until_us);
}

static bool
all_done(const play_t *self)
{
    for (unsigned i = 0; i < self->sources; i++)
        if (!self->source[i].done)
            return false;
    return true;
}

//  No stream is being recovered, and one is written.
static bool
all_opened(const play_t *self)
{
    bool written = false;
    for (unsigned i = 0; i < self->sources; i++) {
        const publisher_state_t *state = publisher_state(self->source[i].core);
        if (!self->source[i].done && (!state->opened || state->held))
            return false;
        written = written || !self->source[i].done;
    }
    return written;
}

static bool
has_moved(const source_part_t *source)
{
    const publisher_state_t *state = publisher_state(source->core);
    return source->done || state->stored > source->calm_stored ||
           state->next <= state->stored;
}

//  Whoever takes a name over waits for the lease of the one before.
static bool
is_let_in(const source_part_t *source)
{
    return source->done || source->taken ||
           publisher_state(source->core)->opened;
}

static bool
all_moved(const play_t *self)
{
    for (unsigned i = 0; i < self->sources; i++)
        if (!has_moved(&self->source[i]) || !is_let_in(&self->source[i]))
            return false;
    return true;
}

//  What was dealt again in these seconds may be more than sockets and stores take
//  in them: as long as they are full and take what they can, it moves, and then
//  its source has to hear of it. What is dealt again later is not waited for.
static void
let_push(play_t *self)
{
    agenda_t *agenda = self->stage->agenda;
    int64_t last = agenda_now(agenda) + 5 * SECOND_US;
    unsigned departures = self->departures;
    while (!all_moved(self) && departures == self->departures &&
           agenda_now(agenda) < last) {
        int64_t full_us = self->stage->full_us;
        int64_t taken_us = self->stage->taken_us;
        int64_t pushed_us = full_us < taken_us ? full_us : taken_us;
        if (agenda_now(agenda) >= pushed_us + ASKING_US)
            break;
        run_until(self, agenda_now(agenda) + SECOND_US / 10);
    }
}

//  Invariant 19: five seconds after the last fault every source has moved.
static void
check_moved(play_t *self)
{
    let_push(self);
    for (unsigned i = 0; i < self->sources; i++) {
        const source_part_t *source = &self->source[i];
        const publisher_state_t *state = publisher_state(source->core);
        if (!has_moved(source))
            story_breach(19,
                         "%s has not moved from %llu (next %llu) in 5 s "
                         "of calm: %s",
                         source->name, (unsigned long long)state->stored,
                         (unsigned long long)state->next, state->text);
        if (!is_let_in(source))
            story_breach(19, "%s is not opened after 5 s of calm: %s",
                         source->name, state->text);
        story_held(19);
    }
}

static void
begin(play_t *self)
{
    dice_t *dice = &self->stage->dice;
    while (!forwarder_start(self))
        ;
    for (unsigned i = 0; i < self->workers; i++)
        if (i < 2 || dice_chance(dice, 900))
            worker_start(&self->worker[i]);
    for (unsigned i = 0; i < self->sources; i++)
        source_start(&self->source[i]);
    reader_start(&self->reader);
}

static void
read_all(play_t *self)
{
    agenda_t *agenda = self->stage->agenda;
    reader_read_all(&self->reader);
    int64_t moved = agenda_now(agenda);
    while (!self->reader.done && agenda_now(agenda) < moved + 10 * SECOND_US) {
        uint64_t at = self->reader.at;
        unsigned stream = self->reader.stream;
        run_until(self, agenda_now(agenda) + SECOND_US / 2);
        if (self->reader.at != at || self->reader.stream != stream)
            moved = agenda_now(agenda);
    }
    if (!self->reader.done)
        story_breach(19, "%s cannot be read whole: at %llu of %llu",
                     self->source[self->reader.stream].name,
                     (unsigned long long)self->reader.at,
                     (unsigned long long)self->reader.size);
}

//  What a store keeps and nothing says it should.
typedef struct {
    ledger_t *ledger;
    uint64_t store;
    uint64_t count;
    chunk_key_t last;  //  One of it
    uint64_t holder;
} garbage_t;

//  Most stores are lost with their disks: somebody accepts what that costs, and
//  everything goes on.
static void
suffer(play_t *self)
{
    agenda_t *agenda = self->stage->agenda;
    if (!self->disaster)
        return;
    weather_disaster(self);
    self->settles = true;
    run_until(self, agenda_now(agenda) + 30 * SECOND_US);
    self->settles = false;
}

//  After the heal: everything moves, ends, is sealed, and is read whole.
static void
finish(play_t *self)
{
    agenda_t *agenda = self->stage->agenda;
    int64_t healed = agenda_now(agenda);
    if (dice_chance(&self->stage->dice, 500)) {
        run_until(self, healed + 2 * SECOND_US);
        if (all_opened(self))
            weather_wipe_some(self);
        healed = agenda_now(agenda);
    }
    for (unsigned i = 0; i < self->sources; i++) {
        source_part_t *source = &self->source[i];
        source->calm_stored = publisher_state(source->core)->stored;
    }
    run_until(self, healed + 5 * SECOND_US);
    check_moved(self);
    int64_t last = healed + 60 * SECOND_US;
    while (!all_done(self) && agenda_now(agenda) < last)
        run_until(self, agenda_now(agenda) + SECOND_US / 2);
    for (unsigned i = 0; i < self->sources; i++) {
        const source_part_t *source = &self->source[i];
        const publisher_state_t *state = publisher_state(source->core);
        if (!source->done)
            story_breach(19,
                         "%s is not sealed after 60 s of calm: stored "
                         "%llu settled %llu next %llu: %s",
                         source->name, (unsigned long long)state->stored,
                         (unsigned long long)state->settled,
                         (unsigned long long)state->next, state->text);
    }
    ledger_check(self->stage->ledger);
    read_all(self);
    //  Invariant 1b: all is settled, and m stores may go.
    weather_lose_store(self);
    weather_lose_store(self);
    ledger_check(self->stage->ledger);
    read_all(self);
}

static void
count_garbage(void *arg, chunk_key_t key)
{
    garbage_t *garbage = arg;
    if (!ledger_is_garbage(garbage->ledger, garbage->store, key))
        return;
    garbage->count++;
    garbage->last = key;
    garbage->holder = garbage->store;
}

static garbage_t
garbage_everywhere(const play_t *self)
{
    garbage_t garbage = { .ledger = self->stage->ledger };
    for (unsigned i = 0; i < self->workers; i++) {
        garbage.store = disk_identity(self->worker[i].disk).store;
        disk_each(self->worker[i].disk, count_garbage, &garbage);
    }
    return garbage;
}

//  Everything is sealed and every worker comes back once more: in the end each
//  store holds what placement says and nothing else (R13), and what it lacks is
//  listed (invariant 5).
static void
tidy_up(play_t *self)
{
    agenda_t *agenda = self->stage->agenda;
    for (unsigned i = 0; i < self->workers; i++) {
        if (self->worker[i].gone)
            continue;
        node_kill(&self->worker[i].node);
        worker_start(&self->worker[i]);
    }
    int64_t last = agenda_now(agenda) + 30 * SECOND_US;
    self->reader.audits = true;
    while (agenda_now(agenda) < last &&
           (garbage_everywhere(self).count > 0 || !self->reader.agrees))
        run_until(self, agenda_now(agenda) + SECOND_US / 2);
    garbage_t left = garbage_everywhere(self);
    if (left.count)
        story_breach(11,
                     "%llu chunks are left that no extent counts; one is "
                     "stream %llx epoch %llx block %llu slot %u at store %llx",
                     (unsigned long long)left.count,
                     (unsigned long long)left.last.stream,
                     (unsigned long long)left.last.epoch,
                     (unsigned long long)left.last.block, left.last.slot,
                     (unsigned long long)left.holder);
    if (!self->reader.agrees)
        story_breach(5, "what stores lack is not what is listed");
    story_held(11);
    story_held(5);
}

//  What is kept for a time is gone after it, from the catalogue and from every
//  store (invariant 11).
static void
outlive(play_t *self)
{
    int64_t keep = 1000 * (int64_t)self->settings.retention.keep_ms;
    if (keep == 0)
        return;
    agenda_t *agenda = self->stage->agenda;
    run_until(self, agenda_now(agenda) + keep + 20 * SECOND_US);
    if (!ledger_all_outlived(self->stage->ledger))
        story_breach(11, "a stream outlives its retention");
    garbage_t left = garbage_everywhere(self);
    if (left.count)
        story_breach(11, "%llu chunks outlive their stream",
                     (unsigned long long)left.count);
    story_held(11);
}

//  What is lost is made again before time counts.
static void
wait_for_catalogue(play_t *self)
{
    agenda_t *agenda = self->stage->agenda;
    int64_t last = agenda_now(agenda) + 60 * SECOND_US;
    while ((self->rebuild || self->older) && agenda_now(agenda) < last)
        run_until(self, agenda_now(agenda) + SECOND_US / 2);
    if (self->rebuild || self->older)
        story_breach(19, "the catalogue is not made again in 60 s of calm");
}

//  All disks stand still for seconds while sources go on, and nothing else is
//  wrong: that makes nobody leave (R6), but maybe the only one that had to do
//  something just then, which looks as if it hung.
static void
stand_still(play_t *self)
{
    if (dice_chance(&self->stage->dice, 700))
        return;
    bool messages = self->stage->weather.messages;
    self->stage->weather.messages = false;
    forwarder_part_t *forwarder = forwarder_now(self);
    if (forwarder)
        forwarder->node.crash_permille = 0;
    for (unsigned i = 0; i < self->workers; i++)
        self->worker[i].node.crash_permille = 0;
    run_until(self, SECOND_US + SECOND_US / 2);
    unsigned departures = self->departures;
    if (all_opened(self)) {
        run_until(self, weather_stall(self) + 5 * SECOND_US);
        departures = self->departures - departures;
        story_count("worker left as all disks stood still", departures);
        if (departures > 1)
            story_breach(0, "%u workers left as all disks stood still",
                         departures);
    }
    self->stage->weather.messages = messages;
}

void
play_run(uint64_t seed, unsigned seconds, lie_t lie)
{
    play_t *self = play_new(seed, lie);
    begin(self);
    stand_still(self);
    self->calm_us = agenda_now(self->stage->agenda) +
                    (int64_t)seconds * SECOND_US;
    weather_begin(self);
    run_until(self, self->calm_us);
    weather_heal(self);
    wait_for_catalogue(self);
    suffer(self);
    finish(self);
    tidy_up(self);
    outlive(self);
    story_count("virtual second",
                (uint64_t)(agenda_now(self->stage->agenda) / SECOND_US));
    story_count("block acknowledged", ledger_blocks(self->stage->ledger));
    play_destroy(&self);
}
