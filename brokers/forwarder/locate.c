/*  The last chunk of an extent at or before an offset or a time, as the indexes
 *  of its workers tell (R18).
 */
#include "invariant.h"
#include "origin.h"

enum { LOCATE_LATE_MS = 500 };

//  One question to all of an ensemble that run.
typedef struct {
    core_t *core;
    uint64_t stream, epoch, at;
    bool by_time;
    locate_fn *answer;
    void *arg;
    uint64_t request;
    uint64_t asked[LIMIT_WORKERS];  //  Sessions that have not answered
    size_t asked_count;
    uint16_t silent;  //  Stores that did not, or were not asked
    bool found;
    uint64_t block, offset;
    unsigned slot;
    micros_t created_us;
    millis_t due;
    micros_t asked_us;  //  For the sink,
    const char *last;   //  and who of them answered last, or did not; or NULL
} locate_t;

struct locates {
    zlistx_t *list;  //  locate_t, owned
};

struct locates *
locates_new(void)
{
    struct locates *self = zmalloc(sizeof *self);
    self->list = zlistx_new();
    return self;
}

void
locates_destroy(struct locates **self_p)
{
    struct locates *self = *self_p;
    if (!self)
        return;
    locate_t *locate;
    while ((locate = zlistx_detach(self->list, NULL)) != NULL)
        free(locate);
    zlistx_destroy(&self->list);
    free(self);
    *self_p = NULL;
}

//  All have said what they have, or are too late.
static void
end(locate_t *locate, millis_t now)
{
    zlistx_t *list = locate->core->locates->list;
    zlistx_detach(list, zlistx_find(list, locate));
    stream_t *stream = core_stream(locate->core, locate->stream);
    const extent_t *extent = stream ? seek_extent_of(stream, locate->epoch)
                                    : NULL;
    bool found = extent && locate->found;
    located_t located = {
        .lost = !extent,
        .found = found,
        .index = found ? placement_index(extent, locate->block, locate->slot)
                       : 0,
        .offset = locate->offset,
        .created_us = locate->created_us,
        .sure = locate->silent == 0,
        .waited = locate->last,
        .since = locate->asked_us,
    };
    locate->answer(locate->arg, &located, now);
    free(locate);
}

void
locate_ask(const stream_t *stream, const extent_t *extent, bool by_time,
           uint64_t at, uint64_t trace, locate_fn *answer, void *arg,
           millis_t now)
{
    core_t *self = stream->core;
    locate_t *locate = zmalloc(sizeof *locate);
    *locate = (locate_t){ .core = self,
                          .stream = stream->record.id,
                          .epoch = extent->epoch,
                          .at = at,
                          .by_time = by_time,
                          .answer = answer,
                          .arg = arg,
                          .request = ++self->request,
                          .due = now + core_patience(self, LOCATE_LATE_MS),
                          .asked_us = SINK_CLOCK(self->settings.sink,
                                                 REQUEST) };
    zlistx_add_end(self->locates->list, locate);
    Rill__V1__Locate question = RILL__V1__LOCATE__INIT;
    question.stream = locate->stream;
    question.epoch = extent->epoch;
    if (by_time) {
        question.at_case = RILL__V1__LOCATE__AT_TIME_US;
        question.time_us = (int64_t)at;
    } else {
        question.at_case = RILL__V1__LOCATE__AT_OFFSET;
        question.offset = at;
    }
    message_t message = MESSAGE(LOCATE, locate, &question, locate->request,
                                trace);
    for (uint16_t i = 0; i < extent->width; i++) {
        worker_t *worker = membership_find(self->members, extent->stores[i]);
        if (worker && worker->state != WORKER_AWAY && worker->shunned <= now &&
            self->effects.ask(self->with, worker->session, &message) ==
                STATUS_OK)
            locate->asked[locate->asked_count++] = worker->session;
        else
            locate->silent++;
    }
    if (locate->asked_count == 0)
        end(locate, now);
}

//  The chunk behind all others that workers know of counts, if the extent can
//  have it.
static void
take(locate_t *locate, const Rill__V1__Located *located)
{
    stream_t *stream = core_stream(locate->core, locate->stream);
    const extent_t *extent = stream ? seek_extent_of(stream, locate->epoch)
                                    : NULL;
    if (!extent || !located->found || located->slot >= extent->code.k ||
        (locate->by_time ? located->created_us > (micros_t)locate->at
                         : located->offset > locate->at))
        return;
    uint64_t blocks = (seek_extent_end(stream, extent) - extent->base_index) /
                      extent->code.k;
    if (located->block >= blocks ||
        (locate->found &&
         (located->block < locate->block ||
          (located->block == locate->block && located->slot < locate->slot))))
        return;
    locate->found = true;
    locate->block = located->block;
    locate->slot = located->slot;
    locate->offset = located->offset;
    locate->created_us = located->created_us;
}

//  For the sink: nobody was waited for longer until now.
static void
waited(locate_t *locate, const worker_t *worker)
{
    bool told = locate->asked_us && worker && worker->served;
    locate->last = told ? worker->name : NULL;
}

//  Whether a worker was asked and has not answered; it is not waited for then.
static bool
heard(locate_t *locate, uint64_t session, const worker_t *worker)
{
    for (size_t i = 0; i < locate->asked_count; i++)
        if (locate->asked[i] == session) {
            locate->asked[i] = locate->asked[--locate->asked_count];
            waited(locate, worker);
            return true;
        }
    return false;
}

void
locate_message(core_t *self, uint64_t session, const message_t *message,
               millis_t now)
{
    locate_t *locate = zlistx_first(self->locates->list);
    while (locate && locate->request != message->request)
        locate = zlistx_next(self->locates->list);
    if (!locate ||
        !heard(locate, session, membership_by_session(self->members, session)))
        return;
    if (message->body_case == RILL__V1__MESSAGE__BODY_LOCATED)
        take(locate, message->located);
    else
        locate->silent++;
    if (locate->asked_count == 0)
        end(locate, now);
}

void
locate_worker_gone(core_t *self, const worker_t *worker, uint64_t session,
                   millis_t now)
{
    //  What is done for one question may end it: begin again behind each.
    size_t count = zlistx_size(self->locates->list);
    for (size_t i = 0; i < count; i++) {
        locate_t *locate = zlistx_detach(self->locates->list, NULL);
        if (!locate)
            return;
        zlistx_add_end(self->locates->list, locate);
        if (!heard(locate, session, worker))
            continue;
        locate->silent++;
        if (locate->asked_count == 0)
            end(locate, now);
    }
}

void
locate_sweep(core_t *self, millis_t now)
{
    size_t count = zlistx_size(self->locates->list);
    for (size_t i = 0; i < count; i++) {
        locate_t *locate = zlistx_detach(self->locates->list, NULL);
        if (!locate)
            return;
        zlistx_add_end(self->locates->list, locate);
        if (locate->due <= now) {
            waited(locate,
                   membership_by_session(self->members, locate->asked[0]));
            locate->silent += (uint16_t)locate->asked_count;
            end(locate, now);
        }
    }
}

millis_t
locate_due(const core_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (const locate_t *locate = zlistx_first(self->locates->list); locate;
         locate = zlistx_next(self->locates->list))
        due = millis_least(due, locate->due);
    return due;
}
