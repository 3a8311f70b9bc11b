/*  The weather: faults from the seed, until calm.
 */
#include "play.h"
#include "story.h"

weather_t
weather_of(dice_t *dice)
{
    weather_t weather = {
        .messages = dice_chance(dice, 500),
        .lost_permille = 30,
        .repeated_permille = 50,
        .reordered_permille = 30,
        .flipped_permille = dice_chance(dice, 400) ? 300 : 0,
        .delay_us = dice_chance(dice, 200) ? 20000 : 1000,
        .stall_us = dice_chance(dice, 300) ? 400000 : 0,
        .push_queue = dice_chance(dice, 300) ? 2 : 1000,
    };
    return weather;
}

//  ---- what happens to workers

static void
start_worker(void *arg, bool happens)
{
    worker_part_t *worker = arg;
    if (!happens || worker->node.up || worker->gone)
        return;
    story_time(agenda_now(worker->play->stage->agenda));
    worker_start(worker);
}

static void
start_later(worker_part_t *worker, int64_t most_us)
{
    stage_t *stage = worker->play->stage;
    agenda_add(stage->agenda, dice_between(&stage->dice, 1000, most_us),
               start_worker, worker);
}

static worker_part_t *
any_worker(play_t *play)
{
    return &play->worker[dice_below(&play->stage->dice, play->workers)];
}

static void
kill_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    if (!worker->node.up)
        return;
    story_count("worker killed", 1);
    node_kill(&worker->node);
    start_later(worker, dice_chance(&play->stage->dice, 500) ? SECOND_US
                                                             : 20 * SECOND_US);
}

static void
stop_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    if (!worker->node.up || worker->node.hung)
        return;
    story_count("worker stopped", 1);
    story_tell("%s is told to stop", worker->node.name);
    worker->draining = true;
    node_after(&worker->node);
}

static void
resume(void *arg, bool happens)
{
    node_t *node = arg;
    if (!happens)
        return;
    story_time(agenda_now(node->stage->agenda));
    if (node->hung)
        story_tell("%s goes on", node->name);
    node_resume(node);
}

static void
hang(node_t *node, int64_t most_us)
{
    stage_t *stage = node->stage;
    if (!node->up || node->hung)
        return;
    story_tell("%s hangs", node->name);
    node_hang(node);
    agenda_add(stage->agenda, dice_between(&stage->dice, 10000, most_us),
               resume, node);
    //  Whoever is stopped may lose its connections, or not.
    if (dice_chance(&stage->dice, 500))
        for (size_t i = 0; i < stage->wires; i++)
            if (!stage->wire[i]->closed && (stage->wire[i]->server == node ||
                                            stage->wire[i]->client == node))
                wire_break(stage->wire[i]);
}

static void
hang_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    story_count("worker hung", 1);
    hang(&worker->node,
         dice_chance(&play->stage->dice, 500) ? SECOND_US : 8 * SECOND_US);
}

static void
slow_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    stage_t *stage = play->stage;
    story_count("worker slowed 100 times", 1);
    story_tell("%s is slow", worker->node.name);
    worker->slow_until_us = agenda_now(stage->agenda) +
                            dice_between(&stage->dice, 0, 5 * SECOND_US);
}

//  One disk is all disks, and stands still.
static void
stall_disks(play_t *play)
{
    stage_t *stage = play->stage;
    int64_t until = agenda_now(stage->agenda) +
                    dice_between(&stage->dice, 0, 10 * SECOND_US);
    story_count("all disks stood still", 1);
    story_tell("all disks stand still");
    play->stall_until_us = until < play->calm_us ? until : play->calm_us;
}

int64_t
weather_stall(play_t *play)
{
    stage_t *stage = play->stage;
    story_count("all disks stood still under open streams", 1);
    story_tell("all disks stand still");
    play->stall_until_us = agenda_now(stage->agenda) +
                           dice_between(&stage->dice, 500000, 10 * SECOND_US);
    return play->stall_until_us;
}

static void
fail_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    stage_t *stage = play->stage;
    story_tell("%s fails to sync", worker->node.name);
    worker->fail_until_us = agenda_now(stage->agenda) +
                            dice_between(&stage->dice, 0, SECOND_US);
}

static void
unfill(void *arg, bool happens)
{
    worker_part_t *worker = arg;
    if (happens)
        disk_refuse(worker->disk, STATUS_OK);
}

static void
fill_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    stage_t *stage = play->stage;
    story_count("disk full", 1);
    story_tell("%s is full", worker->node.name);
    disk_refuse(worker->disk, STATUS_FULL);
    agenda_add(stage->agenda, dice_between(&stage->dice, 0, 5 * SECOND_US),
               unfill, worker);
}

//  May a store be lost? Only when every block that was acknowledged can do
//  without it, and no stopped forwarder sits on receipts that count it
//  (invariant 1 speaks of one loss). While streams are open one in a play: of
//  two, recovery cannot know whether they had what is missing (R8).
typedef struct {
    ledger_t *ledger;
    bool may;
    uint64_t term;  //  That a copy knows
} spare_t;

static void
may_lose(void *arg, chunk_key_t key)
{
    spare_t *spare = arg;
    spare->may &= ledger_can_lose(spare->ledger, key);
}

static bool
can_spare(play_t *play, const worker_part_t *worker)
{
    if (play->older)
        return false;
    for (unsigned i = 0; i < play->forwarders; i++)
        if (play->forwarder[i]->node.up && play->forwarder[i]->node.hung)
            return false;
    spare_t spare = { play->stage->ledger, true, 0 };
    disk_each(worker->disk, may_lose, &spare);
    return spare.may;
}

static void
wipe_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    if (play->lost_until_us || !can_spare(play, worker))
        return;
    play->lost_until_us = INT64_MAX;
    story_count("disk wiped", 1);
    story_tell("%s is wiped", worker->node.name);
    node_kill(&worker->node);
    medium_destroy(&worker->shelf);
    if (dice_chance(&play->stage->dice, 500))
        worker->shelf = disk_copy(worker->disk);
    worker->older_us = 0;
    disk_wipe(worker->disk);
    start_later(worker, 5 * SECOND_US);
}

//  Somebody copies a worker's disk.
static void
copy_worker(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    if (worker->shelf)
        return;
    worker->shelf = disk_copy(worker->disk);
    worker->older_us = agenda_now(play->stage->agenda);
    story_tell("the disk of %s is copied", worker->node.name);
}

//  An older copy of a store says that it never had what came later (R8). That
//  is seen by the terms that it does not know; a copy of the same term tells a
//  lie about streams that are open, and nobody can know.
static void
may_deny(void *arg, chunk_key_t key)
{
    spare_t *spare = arg;
    spare->may &= key.epoch >> 32 > spare->term ||
                  ledger_is_sealed(spare->ledger, key.stream);
}

static bool
can_forget(play_t *play, const worker_part_t *worker)
{
    spare_t spare = { play->stage->ledger, true, 0 };
    if (worker->older_us) {
        spare.term = medium_term(worker->shelf);
        disk_each_but(worker->disk, worker->shelf, may_deny, &spare);
    }
    return spare.may;
}

//  A disk comes back: an older copy of the one that is there, which is a loss;
//  or one that was replaced, and then it is the other that is lost.
static void
return_disk(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    if (!worker->shelf || (worker->older_us && play->lost_until_us) ||
        !can_spare(play, worker) || !can_forget(play, worker))
        return;
    story_count(worker->older_us ? "disk replaced by its older copy"
                                 : "replaced disk returned",
                1);
    story_tell("%s has another disk", worker->node.name);
    play->lost_until_us = INT64_MAX;
    node_kill(&worker->node);
    disk_insert(worker->disk, &worker->shelf);
    start_later(worker, 5 * SECOND_US);
}

//  Somebody sets a clock.
static void
step_clock(play_t *play)
{
    stage_t *stage = play->stage;
    forwarder_part_t *forwarder = forwarder_now(play);
    int64_t step = dice_between(&stage->dice, -72 * 3600, 72 * 3600) *
                   SECOND_US;
    stage->skew_us += step;
    ledger_clock_set(stage->ledger);
    if (forwarder)
        forwarder->node.skew_us += step;
    story_count("wall clock stepped", 1);
    story_tell("the wall clock is set by %lld s",
               (long long)(step / SECOND_US));
}

static void
rot_worker(play_t *play)
{
    stage_t *stage = play->stage;
    worker_part_t *worker = any_worker(play);
    if (agenda_now(stage->agenda) < play->lost_until_us ||
        !can_spare(play, worker) || !disk_rot(worker->disk))
        return;
    play->lost_until_us = agenda_now(stage->agenda) + 15 * SECOND_US;
    story_count("record rotten", 1);
    story_tell("a record of %s rots", worker->node.name);
}

//  One disk after the other, under streams that go on: no restart of the
//  forwarder has to decide what two of them had (R8).
void
weather_wipe_some(play_t *play)
{
    for (int i = 0; i < 3; i++) {
        worker_part_t *worker = any_worker(play);
        if (!worker->node.up || !can_spare(play, worker))
            continue;
        story_count("disk wiped under open streams", 1);
        story_tell("%s is wiped", worker->node.name);
        node_kill(&worker->node);
        disk_wipe(worker->disk);
        worker_start(worker);
    }
}

void
weather_disaster(play_t *play)
{
    dice_t *dice = &play->stage->dice;
    story_count("most stores lost", 1);
    story_tell("disaster");
    node_kill(&forwarder_now(play)->node);
    unsigned left = (unsigned)dice_between(dice, 2, play->workers - 2);
    for (unsigned i = 0, first = (unsigned)dice_below(dice, play->workers);
         i < play->workers - left; i++) {
        worker_part_t *worker = &play->worker[(first + i) % play->workers];
        story_tell("%s is lost for good", worker->node.name);
        node_kill(&worker->node);
        disk_wipe(worker->disk);
        worker->gone = true;
    }
    ledger_disaster(play->stage->ledger);
}

void
weather_lose_store(play_t *play)
{
    worker_part_t *worker = any_worker(play);
    if (!worker->node.up || !can_spare(play, worker))
        return;
    bool back = dice_chance(&play->stage->dice, 500);
    story_count(back ? "store wiped at the end" : "store lost at the end", 1);
    story_tell("%s is %s", worker->node.name, back ? "wiped" : "lost for good");
    node_kill(&worker->node);
    disk_wipe(worker->disk);
    worker->gone = !back;
    if (back)
        worker_start(worker);
}

//  ---- to forwarders

static void
start_forwarder(void *arg, bool happens)
{
    play_t *play = arg;
    if (!happens || forwarder_now(play))
        return;
    story_time(agenda_now(play->stage->agenda));
    if (!forwarder_start(play))
        agenda_add(play->stage->agenda, SECOND_US / 10, start_forwarder, play);
}

//  A supervisor looks after the forwarder.
static void
supervise(void *arg, bool happens)
{
    play_t *play = arg;
    stage_t *stage = play->stage;
    if (!happens)
        return;
    forwarder_part_t *forwarder = forwarder_now(play);
    if (!forwarder)
        start_forwarder(play, true);
    for (unsigned i = 0; i < play->workers; i++)
        if (!play->worker[i].node.up &&
            (stage->calm || dice_chance(&stage->dice, 30)))
            start_worker(&play->worker[i], true);
    agenda_add(stage->agenda,
               stage->calm ? SECOND_US / 10
                           : dice_between(&stage->dice, 50000, SECOND_US),
               supervise, play);
}

static void
kill_forwarder(play_t *play)
{
    forwarder_part_t *forwarder = forwarder_now(play);
    if (play->older)
        return;
    if (!forwarder)
        return;
    story_count("forwarder killed", 1);
    node_kill(&forwarder->node);
    if (dice_chance(&play->stage->dice, 500)) {
        story_count("power cut at the catalogue", 1);
        image_cut(play->stage->catalogue, &play->stage->dice);
    }
}

static void
stop_forwarder(play_t *play)
{
    forwarder_part_t *forwarder = forwarder_now(play);
    if (play->older)
        return;
    if (!forwarder || forwarder->node.hung)
        return;
    story_count("forwarder stopped", 1);
    story_tell("%s is told to stop", forwarder->node.name);
    forwarder->draining = true;
    node_after(&forwarder->node);
}

static void
hang_forwarder(play_t *play)
{
    forwarder_part_t *forwarder = forwarder_now(play);
    if (play->older)
        return;
    if (!forwarder)
        return;
    story_count("forwarder hung", 1);
    hang(&forwarder->node, 4 * SECOND_US);
}

//  It stops, another takes over, and it wakes.
static void
make_zombie(play_t *play)
{
    forwarder_part_t *forwarder = forwarder_now(play);
    stage_t *stage = play->stage;
    if (play->older)
        return;
    if (!forwarder || forwarder->node.hung)
        return;
    story_count("forwarder wakes beside its successor", 1);
    if (dice_chance(&stage->dice, 700))
        hang(&forwarder->node, 6 * SECOND_US);
    stage->front = NULL;
    stage->old_front = &forwarder->node;
    if (!forwarder_start(play))
        return;
    //  Some clients find the new one at once, others stay with the old.
    for (size_t i = 0; i < stage->wires; i++) {
        wire_t *wire = stage->wire[i];
        if (!wire->closed && wire->kind == WIRE_FRONT &&
            wire->server == &forwarder->node && dice_chance(&stage->dice, 600))
            wire_break(wire);
    }
}

static void
fail_catalogue(play_t *play)
{
    forwarder_part_t *forwarder = forwarder_now(play);
    if (play->older)
        return;
    if (!forwarder)
        return;
    story_tell("%s cannot write its catalogue", forwarder->node.name);
    forwarder->io_until_us = agenda_now(play->stage->agenda) + 2 * SECOND_US;
}

//  All forwarders are dead and their catalogue is not what it was. People see to
//  it that every worker runs, as it takes all of them.
static void
end_catalogue(play_t *play)
{
    for (unsigned i = 0; i < play->forwarders; i++)
        node_kill(&play->forwarder[i]->node);
    ledger_doubt(play->stage->ledger, true);
    for (unsigned i = 0; i < play->workers; i++)
        if (!play->worker[i].node.up && !play->worker[i].gone)
            start_later(&play->worker[i], 5 * SECOND_US);
}

//  Only workers that belong to the cluster can tell what it was, and one of them
//  may be lost, too. Of none there is nothing to make it from: people begin
//  anew.
static bool
can_tell(const play_t *play)
{
    unsigned members = 0;
    for (unsigned i = 0; i < play->workers; i++)
        members += !play->worker[i].gone &&
                   disk_identity(play->worker[i].disk).cluster;
    return members > 1;
}

//  Where a source began of which nothing is stored, or whose first bytes
//  retention has trimmed, nobody knows any more without the catalogue: it has to
//  begin anew, which is nobody's fault here.
static bool
can_do_without(const play_t *play)
{
    const retention_limits_t *limits = &play->settings.retention;
    return !limits->keep_ms && !limits->most_bytes && !limits->keep_free &&
           can_tell(play) && ledger_all_began(play->stage->ledger);
}

static void
lose_catalogue(play_t *play)
{
    if (play->rebuild || play->older || !can_do_without(play))
        return;
    story_count("catalogue lost", 1);
    story_tell("the catalogue is lost");
    end_catalogue(play);
    image_lose(play->stage->catalogue);
    play->rebuild = true;
}

//  An older copy of it is put back. It is noticed for sure when every worker
//  was granted a term that it does not know.
static void
restore_catalogue(play_t *play)
{
    if (play->rebuild || play->older || !play->copy || !can_do_without(play))
        return;
    for (unsigned i = 0; i < play->workers; i++)
        if (!play->worker[i].gone &&
            disk_identity(play->worker[i].disk).term <= play->copy_term)
            return;
    story_count("older catalogue restored", 1);
    story_tell("an older copy of the catalogue is put back");
    end_catalogue(play);
    image_restore(play->stage->catalogue, play->copy);
    play->older = true;
}

//  ---- to wires and sources

static void
break_wire(play_t *play)
{
    stage_t *stage = play->stage;
    for (unsigned i = 0; i < 20 && stage->wires; i++) {
        wire_t *wire = stage->wire[dice_below(&stage->dice, stage->wires)];
        if (wire->closed || !wire->up)
            continue;
        story_count("connection broken", 1);
        story_tell("a connection of %s to %s breaks", wire->client->name,
                   wire->server->name);
        wire_break(wire);
        return;
    }
}

static void
start_source(void *arg, bool happens)
{
    source_part_t *source = arg;
    if (!happens || source->node.up)
        return;
    story_time(agenda_now(source->play->stage->agenda));
    source_start(source);
}

static void
kill_source(play_t *play)
{
    stage_t *stage = play->stage;
    source_part_t *source =
        &play->source[dice_below(&stage->dice, play->sources)];
    if (!source->node.up || source->done)
        return;
    node_kill(&source->node);
    if (dice_chance(&stage->dice, 300)) {
        story_count("source replaced by another", 1);
        source_replace(source);
    } else {
        story_count("source killed", 1);
    }
    agenda_add(stage->agenda, dice_between(&stage->dice, 0, 5 * SECOND_US),
               start_source, source);
}

//  ---- when

typedef struct {
    void (*happens)(play_t *play);
    unsigned weight;
} fault_t;

static const fault_t FAULTS[] = {
    { kill_worker, 20 },   { hang_worker, 12 },      { slow_worker, 8 },
    { fail_worker, 4 },    { fill_worker, 3 },       { wipe_worker, 6 },
    { rot_worker, 6 },     { kill_forwarder, 16 },   { hang_forwarder, 6 },
    { make_zombie, 8 },    { fail_catalogue, 3 },    { break_wire, 20 },
    { kill_source, 10 },   { stop_worker, 4 },       { stop_forwarder, 4 },
    { copy_worker, 6 },    { return_disk, 12 },      { step_clock, 4 },
    { lose_catalogue, 3 }, { restore_catalogue, 4 }, { stall_disks, 7 },
};

static void
strike(void *arg, bool happens)
{
    play_t *play = arg;
    stage_t *stage = play->stage;
    if (!happens || stage->calm)
        return;
    story_time(agenda_now(stage->agenda));
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(*FAULTS); i++)
        sum += FAULTS[i].weight;
    unsigned throw = (unsigned)dice_below(&stage->dice, sum);
    const fault_t *fault = FAULTS;
    for (; throw >= fault->weight; fault++)
        throw -= fault->weight;
    fault->happens(play);
    agenda_add(stage->agenda, dice_between(&stage->dice, 0, play->fault_us),
               strike, play);
}

void
weather_begin(play_t *play)
{
    stage_t *stage = play->stage;
    static const int64_t usual[] = { 300000, SECOND_US, 3 * SECOND_US,
                                     10 * SECOND_US };
    play->fault_us = usual[dice_below(&stage->dice, 4)];
    agenda_add(stage->agenda, SECOND_US / 2, strike, play);
    agenda_add(stage->agenda, SECOND_US / 10, supervise, play);
}

void
weather_heal(play_t *play)
{
    stage_t *stage = play->stage;
    story_tell("calm");
    stage->calm = true;
    stage->weather.messages = false;
    for (unsigned i = 0; i < play->forwarders; i++) {
        node_t *node = &play->forwarder[i]->node;
        node->crash_permille = 0;
        if (play->forwarder[i]->draining)
            node_kill(node);
        play->forwarder[i]->io_until_us = 0;
        node_resume(node);
        if (i + 1 < play->forwarders)
            node_kill(node);
    }
    if (!forwarder_now(play))
        start_forwarder(play, true);
    for (unsigned i = 0; i < play->workers; i++) {
        worker_part_t *worker = &play->worker[i];
        worker->node.crash_permille = 0;
        if (worker->draining)
            node_kill(&worker->node);
        worker->slow_until_us = worker->fail_until_us = 0;
        disk_refuse(worker->disk, STATUS_OK);
        node_resume(&worker->node);
        if (!worker->node.up)
            worker_start(worker);
    }
    for (unsigned i = 0; i < play->sources; i++) {
        source_part_t *source = &play->source[i];
        if (!source->node.up)
            source_start(source);
    }
}
