#include "siblings.h"

#include <czmq.h>

#include "invariant.h"

typedef struct {
    uint64_t name;
    uint64_t incarnation;
    uint64_t counter;  //  Highest heard of this incarnation
    uint64_t seen;     //  Bit i: counter - i was heard
    millis_t heard;
} sibling_t;

typedef struct {
    uint64_t stream, from;
    uint64_t waits;  //  Bit i: sibling i has not answered
    int outcome;     //  A sibling, or -1
    bool open;
    millis_t until;  //  Open: it ends; else: it is forgotten
    siblings_mark_t mark;
} question_t;

struct siblings {
    uint64_t group;
    sibling_t *sibling;
    size_t count;
    question_t *question;
    size_t questions;
};

siblings_t *
siblings_new(const char *group, const char *const *names, size_t count)
{
    INVARIANT(count <= SIBLINGS_MOST);
    siblings_t *self = zmalloc(sizeof *self);
    self->group = packet_name(group);
    self->count = count;
    self->sibling = zmalloc((count + 1) * sizeof *self->sibling);
    self->question = zmalloc(SIBLINGS_QUESTIONS * sizeof *self->question);
    for (size_t i = 0; i < count; i++)
        self->sibling[i] = (sibling_t){ .name = packet_name(names[i]),
                                        .heard = -SIBLINGS_HEARD_MS };
    return self;
}

void
siblings_destroy(siblings_t **self_p)
{
    siblings_t *self = *self_p;
    if (!self)
        return;
    free(self->sibling);
    free(self->question);
    free(self);
    *self_p = NULL;
}

//  Whether a packet is the first of its counter; then it is noted.
static bool
is_fresh(sibling_t *sibling, const packet_t *packet)
{
    if (packet->incarnation < sibling->incarnation)
        return false;
    if (packet->incarnation > sibling->incarnation) {
        sibling->incarnation = packet->incarnation;
        sibling->counter = packet->counter;
        sibling->seen = 1;
        return true;
    }
    if (packet->counter > sibling->counter) {
        uint64_t ahead = packet->counter - sibling->counter;
        sibling->seen = ahead < 64 ? sibling->seen << ahead | 1 : 1;
        sibling->counter = packet->counter;
        return true;
    }
    uint64_t back = sibling->counter - packet->counter;
    if (back >= 64 || sibling->seen & UINT64_C(1) << back)
        return false;
    sibling->seen |= UINT64_C(1) << back;
    return true;
}

int
siblings_take(siblings_t *self, const packet_t *packet, millis_t now)
{
    if (packet->group != self->group)
        return -1;
    for (size_t i = 0; i < self->count; i++)
        if (self->sibling[i].name == packet->node) {
            if (!is_fresh(&self->sibling[i], packet))
                return -1;
            self->sibling[i].heard = now;
            return (int)i;
        }
    return -1;
}

bool
siblings_heard(const siblings_t *self, int sibling, millis_t now)
{
    return now - self->sibling[sibling].heard < SIBLINGS_HEARD_MS;
}

static question_t *
find(const siblings_t *self, uint64_t stream, uint64_t from)
{
    for (size_t i = 0; i < self->questions; i++)
        if (self->question[i].stream == stream &&
            self->question[i].from == from)
            return &self->question[i];
    return NULL;
}

static void
remove_question(siblings_t *self, question_t *question)
{
    *question = self->question[--self->questions];
}

static void
end(question_t *question, int outcome, millis_t now)
{
    question->open = false;
    question->outcome = outcome;
    question->until = now + SIBLINGS_REMEMBER_MS;
}

//  One more place: a new one, or of an answer that is remembered no more or
//  was the first to be. NULL: all wait for their answers.
static question_t *
make(siblings_t *self, millis_t now)
{
    if (self->questions < SIBLINGS_QUESTIONS)
        return &self->question[self->questions++];
    question_t *first = NULL;
    for (size_t i = 0; i < self->questions; i++)
        if ((!self->question[i].open || self->question[i].until <= now) &&
            (!first || self->question[i].until < first->until))
            first = &self->question[i];
    return first;
}

siblings_outcome_t
siblings_ask(siblings_t *self, uint64_t stream, uint64_t from, millis_t now,
             int *sibling_r)
{
    if (self->count == 0)
        return SIBLINGS_NONE;
    question_t *question = find(self, stream, from);
    if (question && question->open && question->until <= now)
        end(question, -1, now);
    if (question && question->until <= now)
        question = NULL;
    if (question && question->open)
        return SIBLINGS_OPEN;
    if (question && question->outcome >= 0) {
        *sibling_r = question->outcome;
        return SIBLINGS_HAS;
    }
    if (question)
        return SIBLINGS_NONE;
    uint64_t all = 0;
    for (size_t i = 0; i < self->count; i++)
        if (siblings_heard(self, (int)i, now))
            all |= UINT64_C(1) << i;
    siblings_forget(self, stream, from);
    question = make(self, now);
    if (!question)
        return SIBLINGS_NONE;
    *question = (question_t){ .stream = stream,
                              .from = from,
                              .waits = all,
                              .open = true,
                              .until = now + SIBLINGS_WAIT_MS };
    return SIBLINGS_ASK;
}

void
siblings_answer(siblings_t *self, int sibling, const packet_t *packet,
                millis_t now)
{
    question_t *question = find(self, packet->stream, packet->from);
    if (!question || !question->open)
        return;
    if (packet->type == PACKET_YES) {
        end(question, sibling, now);
        return;
    }
    question->waits &= ~(UINT64_C(1) << sibling);
    if (question->waits == 0)
        end(question, -1, now);
}

void
siblings_forget(siblings_t *self, uint64_t stream, uint64_t from)
{
    question_t *question = find(self, stream, from);
    if (question)
        remove_question(self, question);
}

siblings_mark_t *
siblings_mark(const siblings_t *self, uint64_t stream, uint64_t from)
{
    question_t *question = find(self, stream, from);
    return question ? &question->mark : NULL;
}

millis_t
siblings_due(const siblings_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (size_t i = 0; i < self->questions; i++)
        if (self->question[i].open)
            due = millis_least(due, self->question[i].until);
    return due;
}

void
siblings_sweep(siblings_t *self, millis_t now)
{
    for (size_t i = 0; i < self->questions; i++)
        if (self->question[i].open && self->question[i].until <= now)
            end(&self->question[i], -1, now);
}
