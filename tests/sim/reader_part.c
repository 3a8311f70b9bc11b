/*  A reader: asks at random while the play goes on, and in the last act reads
 *  every stream whole. It also watches the forwarder's report.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "play.h"
#include "story.h"

#define OPEN_MOST 8
#define ANSWER_US (6 * SECOND_US)  //  Longest wait for an answer, when calm

typedef enum { DESCRIBE, ASK, STATUS, REMOVE, SETTLE } kind_of_question_t;

typedef struct question {
    bool open;
    kind_of_question_t kind;
    uint64_t request;
    uint64_t offset;
    unsigned stream;
    bool all;  //  Of the last act
    bool calm;
    int64_t asked_us;
    wire_t *wire;
    uint64_t generation;
} question_t;

static question_t *
free_question(reader_part_t *self)
{
    for (unsigned i = 0; i < OPEN_MOST; i++)
        if (!self->question[i].open)
            return &self->question[i];
    return NULL;
}

//  Say it; its place on the list of what is open was filled by the caller.
static void
say(reader_part_t *self, question_t *question, message_t *message)
{
    stage_t *stage = self->play->stage;
    if (!self->front)
        return;
    message->request = question->request = ++self->request;
    question->asked_us = agenda_now(stage->agenda);
    question->calm = stage->calm;
    question->wire = self->front;
    question->generation = self->front->generation;
    bool up = self->front->up;
    question->open = wire_send(self->front, true, message, NULL) == STATUS_OK &&
                     up;
}

static void
ask_describe(reader_part_t *self, unsigned stream, bool all)
{
    question_t *question = free_question(self);
    if (!question)
        return;
    *question = (question_t){ .kind = DESCRIBE, .stream = stream, .all = all };
    Rill__V1__Describe describe = RILL__V1__DESCRIBE__INIT;
    describe.which_case = RILL__V1__DESCRIBE__WHICH_NAME;
    describe.name = self->play->source[stream].name;
    message_t message = MESSAGE(DESCRIBE, describe, &describe, 0, 0);
    say(self, question, &message);
}

static void
ask_chunk(reader_part_t *self, uint64_t id, unsigned stream, uint64_t offset,
          bool all)
{
    question_t *question = free_question(self);
    if (!question)
        return;
    *question = (question_t){
        .kind = ASK, .stream = stream, .offset = offset, .all = all
    };
    Rill__V1__Ask ask = RILL__V1__ASK__INIT;
    ask.stream = id;
    ask.at_case = RILL__V1__ASK__AT_OFFSET;
    ask.offset = offset;
    message_t message = MESSAGE(ASK, ask, &ask, 0, 0);
    say(self, question, &message);
}

static void
ask_remove(reader_part_t *self, unsigned stream)
{
    question_t *question = free_question(self);
    if (!question)
        return;
    *question = (question_t){ .kind = REMOVE, .stream = stream };
    Rill__V1__Remove remove = RILL__V1__REMOVE__INIT;
    remove.name = self->play->source[stream].name;
    ledger_remove(self->play->stage->ledger, remove.name);
    message_t message = MESSAGE(REMOVE, remove, &remove, 0, 0);
    say(self, question, &message);
}

static void
ask_settle(reader_part_t *self, unsigned stream)
{
    question_t *question = free_question(self);
    if (!question)
        return;
    *question = (question_t){ .kind = SETTLE, .stream = stream };
    Rill__V1__Settle settle = RILL__V1__SETTLE__INIT;
    settle.name = self->play->source[stream].name;
    settle.accept_loss = dice_chance(&self->play->stage->dice, 700);
    message_t message = MESSAGE(SETTLE, settle, &settle, 0, 0);
    say(self, question, &message);
}

static void
on_removed(reader_part_t *self, const question_t *question,
           const Rill__V1__Removed *removed)
{
    bool read = false;
    for (unsigned i = 0; i < OPEN_MOST; i++)
        read = read ||
               (self->question[i].open && self->question[i].kind == ASK &&
                self->question[i].stream == question->stream);
    story_count("stream removed while it was read", read);
    ledger_removed(self->play->stage->ledger, removed->stream);
}

static void
ask_status(reader_part_t *self)
{
    question_t *question = free_question(self);
    if (!question)
        return;
    *question = (question_t){ .kind = STATUS };
    Rill__V1__StatusAsk ask = RILL__V1__STATUS_ASK__INIT;
    message_t message = MESSAGE(STATUS_ASK, status_ask, &ask, 0, 0);
    say(self, question, &message);
}

//  ---- answers

static void
check_report(reader_part_t *self, const Rill__V1__Report *report)
{
    size_t budget = self->play->settings.memory_bytes;
    if (!budget)
        budget = (size_t)192 << 20;
    if (report->memory_bytes > budget)
        story_breach(18, "%llu bytes of open chunks, %zu are allowed",
                     (unsigned long long)report->memory_bytes, budget);
    story_held(18);
    if (report->settled_bytes > report->stored_bytes ||
        report->stored_bytes > report->received_bytes)
        story_tell("report: received %llu stored %llu settled %llu",
                   (unsigned long long)report->received_bytes,
                   (unsigned long long)report->stored_bytes,
                   (unsigned long long)report->settled_bytes);
}

//  Whether the report lists what each store lacks, and all that lack something.
static bool
lists_what_lacks(const reader_part_t *self, const Rill__V1__Report *report)
{
    ledger_t *ledger = self->play->stage->ledger;
    uint64_t listed = 0;
    bool agrees = true;
    for (size_t i = 0; i < report->n_workers; i++) {
        const Rill__V1__WorkerReport *worker = report->workers[i];
        uint64_t missing = ledger_missing(ledger, worker->store);
        if (missing != worker->under_repair)
            story_tell("report: %s (%s) lacks %llu, in truth %llu",
                       worker->name, worker->state,
                       (unsigned long long)worker->under_repair,
                       (unsigned long long)missing);
        agrees = agrees && missing == worker->under_repair;
        listed += worker->under_repair;
    }
    agrees = agrees && listed == ledger_missing(ledger, 0);
    if (agrees && listed)
        story_count("status that lists what is missing", 1);
    return agrees;
}

//  The next place to read in the last act: behind holes.
static void
skip_holes(reader_part_t *self, const Rill__V1__Described *described)
{
    for (size_t i = 0; i < described->n_holes; i++)
        if (self->at >= described->holes[i]->from &&
            self->at < described->holes[i]->to)
            self->at = described->holes[i]->to;
}

static void
next_stream(reader_part_t *self)
{
    story_tell("reader has read %s", self->play->source[self->stream].name);
    story_count("stream read whole", 1);
    self->stream++;
    self->at = 0;
    self->described = false;
    self->done = self->stream >= self->play->sources;
}

static bool
in_hole(const Rill__V1__Described *described, uint64_t offset)
{
    for (size_t i = 0; i < described->n_holes; i++)
        if (offset >= described->holes[i]->from &&
            offset < described->holes[i]->to)
            return true;
    return false;
}

static void
on_described(reader_part_t *self, const question_t *question,
             const Rill__V1__Described *described)
{
    play_t *play = self->play;
    if (question->all) {
        if (question->stream != self->stream || self->done)
            return;
        if (!self->described || self->id != described->stream ||
            self->at < described->first)
            self->at = described->first;
        self->described = true;
        self->id = described->stream;
        if (described->sealed)
            ledger_holes(play->stage->ledger, described->name, described);
        skip_holes(self, described);
        self->size = described->sealed ? described->size : described->stored;
        if (self->at >= self->size)
            next_stream(self);
        else
            ask_chunk(self, described->stream, self->stream, self->at, true);
        return;
    }
    dice_t *dice = &play->stage->dice;
    //  Also above the watermark, as caches will.
    uint64_t end = described->stored;
    if (!described->sealed && described->size > end)
        end = described->size;
    uint64_t span = end - described->first;
    for (unsigned i = 0; span && i < 3; i++) {
        uint64_t offset = described->first + dice_below(dice, span);
        bool hole = in_hole(described, offset);
        //  Holes are as wide as the credit: most throws would end there.
        if (hole && dice_chance(dice, 900) && span > 400000)
            offset = end - 1 - dice_below(dice, 400000);
        ask_chunk(self, described->stream, question->stream, offset, false);
    }
}

static void
on_answer(reader_part_t *self, const question_t *question,
          const Rill__V1__Answer *answer, buffer_t *payload)
{
    play_t *play = self->play;
    chunk_header_t header;
    status_t status = message_to_chunk(answer->chunk, &header);
    if (status != STATUS_OK)
        story_breach(9, "an answer with a header that is %s",
                     status_name(status));
    if (checksum_crc32c(buffer_bytes(payload), buffer_size(payload)) !=
        header.payload_crc)
        story_breach(9, "%s at %llu: a payload that is not its header's",
                     header.name, (unsigned long long)header.offset);
    story_held(9);
    if (strcmp(header.name, play->source[question->stream].name) != 0)
        story_breach(2, "a chunk of another stream");
    ledger_answer(play->stage->ledger, &header, payload, question->offset);
    story_count(answer->route == RILL__V1__ROUTE__ROUTE_DECODED
                    ? "chunk read by decoding"
                    : "chunk read",
                1);
    if (question->all && question->stream == self->stream &&
        question->offset == self->at) {
        self->at = header.offset + header.length;
        //  Describe again: it tells the holes, and whether that was all.
        if (self->at < self->size)
            ask_chunk(self, header.key.stream, self->stream, self->at, true);
        else
            ask_describe(self, self->stream, true);
    }
}

static void
on_refused(reader_part_t *self, const question_t *question,
           const Rill__V1__Refused *refused)
{
    status_t status = message_status(refused->status);
    story_tell("reader is refused: %s (%s)", status_name(status),
               refused->text);
    story_count("read refused", 1);
    if (question->kind == DESCRIBE && question->all &&
        status == STATUS_UNKNOWN && question->stream == self->stream &&
        !self->done) {
        const char *name = self->play->source[self->stream].name;
        if (!ledger_is_removed(self->play->stage->ledger, name))
            story_breach(11, "%s is not known any more", name);
        next_stream(self);
        return;
    }
    if (question->kind == STATUS)
        story_breach(21, "the status is refused: %s", refused->text);
    if (question->kind == ASK && status == STATUS_GONE) {
        ledger_gone(self->play->stage->ledger,
                    self->play->source[question->stream].name,
                    question->offset);
        if (question->all)
            ask_describe(self, self->stream, true);
        return;
    }
    //  What went with the stores is passed over, and nothing else.
    uint64_t beyond = 0;
    if (self->play->disaster && question->all && question->kind == ASK &&
        question->stream == self->stream && question->offset == self->at &&
        (status == STATUS_MISS || status == STATUS_CORRUPT))
        beyond = ledger_beyond(self->play->stage->ledger,
                               self->play->source[self->stream].name, self->at);
    if (beyond) {
        story_count("chunk that went with its stores", 1);
        self->at = beyond;
        ask_describe(self, self->stream, true);
    }
    if (question->kind == ASK && status != STATUS_BUSY &&
        status != STATUS_LATE && status != STATUS_MISS &&
        status != STATUS_FUTURE && status != STATUS_HELD &&
        status != STATUS_RANGE && status != STATUS_UNKNOWN &&
        status != STATUS_STOPPING && status != STATUS_FENCED &&
        status != STATUS_CORRUPT)
        story_breach(12, "an ask is refused with %s", status_name(status));
}

static void
on_message(node_t *node, wire_t *wire, status_t status,
           const message_t *message, buffer_t *payload)
{
    reader_part_t *self = node->self;
    (void)wire;
    if (status != STATUS_OK)
        story_breach(0, "a reader hears what cannot be read: %s",
                     status_name(status));
    question_t *question = NULL;
    for (unsigned i = 0; i < OPEN_MOST && !question; i++)
        if (self->question[i].open &&
            self->question[i].request == message->request)
            question = &self->question[i];
    if (!question)
        return;
    question->open = false;
    question_t asked = *question;
    story_held(19);
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_DESCRIBED:
        on_described(self, &asked, message->described);
        break;
    case RILL__V1__MESSAGE__BODY_ANSWER:
        on_answer(self, &asked, message->answer, payload);
        break;
    case RILL__V1__MESSAGE__BODY_REPORT:
        check_report(self, message->report);
        if (self->audits)
            self->agrees = lists_what_lacks(self, message->report);
        break;
    case RILL__V1__MESSAGE__BODY_REMOVED:
        on_removed(self, &asked, message->removed);
        break;
    case RILL__V1__MESSAGE__BODY_SETTLED:
        story_tell("reader hears: waits %d accepted %d lost %llu open %d",
                   message->settled->waits, message->settled->accepted,
                   (unsigned long long)message->settled->lost_blocks,
                   message->settled->open_end);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        on_refused(self, &asked, message->refused);
        break;
    default:
        story_breach(21, "a reader is answered with %s", message_kind(message));
    }
}

//  What waits too long is given up; when nothing was wrong, that is a breach.
static void
give_up(reader_part_t *self)
{
    stage_t *stage = self->play->stage;
    int64_t now = agenda_now(stage->agenda);
    for (unsigned i = 0; i < OPEN_MOST; i++) {
        question_t *question = &self->question[i];
        if (!question->open || now - question->asked_us < ANSWER_US)
            continue;
        question->open = false;
        if (question->calm && question->wire == self->front &&
            question->generation == self->front->generation && self->front->up)
            story_breach(19,
                         "a question of kind %d about %s at %llu is not "
                         "answered within 6 s",
                         question->kind,
                         self->play->source[question->stream].name,
                         (unsigned long long)question->offset);
    }
}

static bool
asks_all(const reader_part_t *self)
{
    for (unsigned i = 0; i < OPEN_MOST; i++)
        if (self->question[i].open && self->question[i].all)
            return true;
    return false;
}

static void
tick(node_t *node, void *arg, bool happens)
{
    (void)arg;
    reader_part_t *self = node->self;
    play_t *play = self->play;
    dice_t *dice = &play->stage->dice;
    if (!happens)
        return;
    give_up(self);
    if (dice_chance(dice, 300))
        ask_status(self);
    if (self->reading && !self->done) {
        if (!asks_all(self))
            ask_describe(self, self->stream, true);
    } else if (!self->done) {
        ask_describe(self, (unsigned)dice_below(dice, play->sources), false);
    }
    if (play->settles)
        ask_settle(self, (unsigned)dice_below(dice, play->sources));
    if (play->removes && !play->stage->calm && dice_chance(dice, 10))
        ask_remove(self, (unsigned)dice_below(dice, play->sources));
    node_post(node, dice_between(dice, 50000, 200000), tick, NULL);
}

static void
on_break(node_t *node, wire_t *wire)
{
    reader_part_t *self = node->self;
    if (wire != self->front)
        return;
    for (unsigned i = 0; i < OPEN_MOST; i++)
        self->question[i].open = false;
    front_join(node, &self->front);
}

static millis_t
due(node_t *node)
{
    (void)node;
    return MILLIS_NEVER;
}

static void
sweep(node_t *node)
{
    (void)node;
}

static bool
after(node_t *node)
{
    (void)node;
    return true;
}

static const node_acts_t ACTS = {
    .on_message = on_message,
    .on_break = on_break,
    .due = due,
    .sweep = sweep,
    .after = after,
    .die = sweep,
};

void
reader_make(reader_part_t *self, play_t *play)
{
    self->play = play;
    self->node.stage = play->stage;
    self->node.acts = &ACTS;
    self->node.self = self;
    self->question = calloc(OPEN_MOST, sizeof(question_t));
    INVARIANT(self->question);
    snprintf(self->node.name, sizeof(self->node.name), "reader");
}

void
reader_start(reader_part_t *self)
{
    node_begin(&self->node);
    front_join(&self->node, &self->front);
    node_post(&self->node, 1000, tick, NULL);
}

void
reader_read_all(reader_part_t *self)
{
    self->reading = true;
    self->described = self->done = false;
    self->stream = 0;
    self->at = 0;
}

void
reader_free(reader_part_t *self)
{
    node_kill(&self->node);
    free(self->question);
}
