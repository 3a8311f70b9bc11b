/*  Whether the catalogue is an older copy of itself (R16).
 *
 *  A stream is recorded before a byte of it is dealt, its removal before a
 *  store is told, an extent before a byte of it is acknowledged, the term before
 *  it is said. So a store that knows of something that the catalogue should know
 *  and does not tells that what was written last is missing there. Going on
 *  would give offsets away twice and sweep what was acknowledged: the catalogue
 *  is marked, and nobody opens it before it was made again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum { LATE_MS = 1000 };

//  The last record that a store holds of an epoch of which the catalogue knows
//  nothing: an attempt that never counted, or not?
typedef struct {
    chunk_key_t key;
    uint64_t session;
    uint64_t request;  //  0: none is on its way
    millis_t due;      //  When it is asked again
} doubt_t;

static void
free_doubt(void **doubt_p)
{
    free(*doubt_p);
    *doubt_p = NULL;
}

zlistx_t *
doubts_new(void)
{
    zlistx_t *doubts = zlistx_new();
    zlistx_set_destructor(doubts, free_doubt);
    return doubts;
}

void
doubt_sure(core_t *self, status_t status, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    //  One that was replaced shall not spoil what is its successor's.
    status_t marked = catalogue_doubt(self->catalogue);
    if (marked == STATUS_FENCED)
        core_fail(self, STATUS_FENCED, "%s: a newer forwarder runs", text);
    else
        core_fail(self, status,
                  "%s: this catalogue is an older copy or was cut; start once "
                  "with --rebuild",
                  text);
}

void
doubt_replaced(core_t *self, const char *worker, uint64_t term)
{
    (void)catalogue_doubt(self->catalogue);
    core_fail(self, STATUS_FENCED,
              "worker %s joined here and was granted term %" PRIu64
              " since, ours is %" PRIu64
              ": a newer forwarder runs, from another directory",
              worker, term, catalogue_term(self->catalogue));
}

//  A stranger's word is not enough to end this forwarder.
static bool
trusted(const core_t *self, const worker_t *worker)
{
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        if (core_bears(stream, worker->store))
            return true;
    return worker->served && core_in_file(self, worker->name);
}

static void
ask(core_t *self, doubt_t *doubt, millis_t now)
{
    Rill__V1__ChunkKey key = message_from_key(doubt->key);
    Rill__V1__Fetch fetch = RILL__V1__FETCH__INIT;
    fetch.key = &key;
    fetch.header_only = true;
    doubt->request = ++self->request;
    doubt->due = now + core_patience(self, LATE_MS);
    message_t message = MESSAGE(FETCH, fetch, &fetch, doubt->request, 0);
    (void)self->effects.ask(self->with, doubt->session, &message);
}

//  Whether an epoch of an earlier term is newer than all that was recorded when
//  this one began, whatever has taken its place since, and than what a rebuild
//  saw.
static bool
is_newer(const core_t *self, const stream_t *stream, uint64_t epoch)
{
    uint64_t term = epoch >> 32;
    if (term >= catalogue_term(self->catalogue) ||
        term <= catalogue_rebuilt_in(self->catalogue))
        return false;
    return epoch > stream->loaded;
}

void
doubt_held(core_t *self, const worker_t *worker, const Rill__V1__Holding *held,
           millis_t now)
{
    stream_t *stream = core_stream(self, held->stream);
    if (!stream || !is_newer(self, stream, held->epoch))
        return;
    doubt_t *doubt = zmalloc(sizeof *doubt);
    doubt->session = worker->session;
    doubt->key = (chunk_key_t){ held->stream, held->epoch, held->last_block,
                                held->last_slot };
    zlistx_add_end(self->doubts, doubt);
    ask(self, doubt, now);
}

bool
doubt_about(const core_t *self, uint64_t stream)
{
    for (doubt_t *doubt = zlistx_first(self->doubts); doubt;
         doubt = zlistx_next(self->doubts))
        if (doubt->key.stream == stream)
            return true;
    return false;
}

void
doubt_unknown(core_t *self, const worker_t *worker, uint64_t epochs)
{
    if (trusted(self, worker))
        doubt_sure(self, STATUS_CORRUPT,
                   "worker %s holds %" PRIu64
                   " epochs of streams that are not recorded",
                   worker->name, epochs);
}

void
doubt_dropped(core_t *self, const worker_t *worker, uint64_t id)
{
    stream_t *stream = core_stream(self, id);
    if (stream && catalogue_rebuilt_in(self->catalogue) == 0 &&
        trusted(self, worker))
        doubt_sure(self, STATUS_CORRUPT, "worker %s was told to drop stream %s",
                   worker->name, stream->record.name);
}

typedef enum { ANSWER_NONE, ANSWER_NO, ANSWER_YES } answer_t;

//  Whether chunks of its own were settled while the record's epoch was dealt:
//  then that was recorded. That the worker could not say now is no "no": what
//  counted as one would be swept, and may be what was acknowledged.
static answer_t
answer_of(const doubt_t *doubt, const message_t *message)
{
    chunk_header_t header;
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        status_t status = message_status(message->refused->status);
        return status == STATUS_MISS || status == STATUS_GONE ? ANSWER_NO
                                                              : ANSWER_NONE;
    }
    if (message->body_case != RILL__V1__MESSAGE__BODY_FETCHED ||
        !message->fetched->chunk ||
        message_to_chunk(message->fetched->chunk, &header) != STATUS_OK ||
        chunk_key_compare(&header.key, &doubt->key) != 0)
        return ANSWER_NONE;
    return header.settled > header.base_index ? ANSWER_YES : ANSWER_NO;
}

//  Without a "no" the doubt lasts as long as the session, and nothing of the
//  stream is swept: also when the record is rotten for ever and the disks fill
//  up. What was acknowledged comes before new space.
bool
doubt_answered(core_t *self, uint64_t session, const message_t *message,
               millis_t now)
{
    doubt_t *doubt = zlistx_first(self->doubts);
    while (doubt &&
           (doubt->request != message->request || doubt->session != session))
        doubt = zlistx_next(self->doubts);
    if (!doubt || message->request == 0)
        return false;
    answer_t answer = answer_of(doubt, message);
    uint64_t epoch = doubt->key.epoch;
    const stream_t *stream = core_stream(self, doubt->key.stream);
    worker_t *worker = membership_by_session(self->members, session);
    if (!stream || !worker || answer == ANSWER_NO) {
        zlistx_delete(self->doubts, zlistx_cursor(self->doubts));
        return true;
    }
    doubt->request = 0;
    doubt->due = now + core_patience(self, LATE_MS);
    if (answer == ANSWER_NONE)
        return true;
    doubt->due = MILLIS_NEVER;
    if (trusted(self, worker))
        doubt_sure(self, STATUS_CORRUPT,
                   "worker %s holds what was stored of %s in term %" PRIu64
                   " and is not recorded",
                   worker->name, stream->record.name, epoch >> 32);
    return true;
}

void
doubt_sweep(core_t *self, millis_t now)
{
    doubt_t *doubt = zlistx_first(self->doubts);
    while (doubt) {
        void *at = zlistx_cursor(self->doubts);
        bool over = !membership_by_session(self->members, doubt->session);
        if (!over && doubt->due <= now)
            ask(self, doubt, now);
        doubt = zlistx_next(self->doubts);
        if (over)
            zlistx_delete(self->doubts, at);
    }
}

millis_t
doubt_due(core_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (doubt_t *doubt = zlistx_first(self->doubts); doubt;
         doubt = zlistx_next(self->doubts))
        due = millis_least(due, doubt->due);
    return due;
}
