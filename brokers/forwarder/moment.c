/*  The last chunk of a stream that was created at or before a time. What is not
 *  settled is in memory; below, the workers of one extent after the other say
 *  it (R18), and where some of them are silent what lies behind is read.
 */
#include "invariant.h"
#include "origin.h"

enum {
    STEPS_MOST = 2 * LIMIT_SLOTS,
    MOMENTS_MOST = 2048,  //  The relay waits for half as many at most
};

typedef enum {
    NEXT_ANSWER,  //  Is awaited
    NEXT_LOOK,    //  What the workers of the extent have
    NEXT_READ,    //  The chunk of `index`
    NEXT_END,
} next_t;

//  One question of the relay.
typedef struct {
    core_t *core;
    uint64_t stream;
    micros_t time_us;
    uint64_t request;
    next_t next;
    bool running;    //  What is answered at once comes back to run()
    bool rising;     //  The extents behind were not looked at yet
    uint64_t epoch;  //  Of the extent being looked in
    uint64_t index;  //  Being read
    unsigned steps;
    bool found;
    uint64_t offset;  //  Of the best so far, and when it was created
    micros_t created_us;
    status_t status;  //  NEXT_END: what the relay is told,
    uint64_t answer;  //  and the offset
} moment_t;

struct moments {
    zlistx_t *list;  //  moment_t, owned
};

struct moments *
moments_new(void)
{
    struct moments *self = zmalloc(sizeof *self);
    self->list = zlistx_new();
    return self;
}

void
moments_destroy(struct moments **self_p)
{
    struct moments *self = *self_p;
    if (!self)
        return;
    moment_t *moment;
    while ((moment = zlistx_detach(self->list, NULL)) != NULL)
        free(moment);
    zlistx_destroy(&self->list);
    free(self);
    *self_p = NULL;
}

static void
end(moment_t *moment, status_t status, uint64_t offset)
{
    moment->next = NEXT_END;
    moment->status = status;
    moment->answer = offset;
}

static void
tell(moment_t *moment, millis_t now)
{
    moment_t ended = *moment;
    core_t *self = ended.core;
    zlistx_detach(self->moments->list,
                  zlistx_find(self->moments->list, moment));
    free(moment);
    relay_located(self->relay, ended.request, ended.status, ended.answer,
                  ended.created_us, now);
}

//  The extent being looked in, by its place in the chain, or NULL: everything
//  changed meanwhile.
static const extent_t *
extent_of(const moment_t *moment, stream_t **stream_r, size_t *nth_r)
{
    stream_t *stream = core_stream(moment->core, moment->stream);
    for (size_t i = 0; stream && i < stream->chain_count; i++)
        if (stream->chain[i]->epoch == moment->epoch) {
            *stream_r = stream;
            *nth_r = i;
            return stream->chain[i];
        }
    return NULL;
}

static void
look(moment_t *moment, const stream_t *stream, size_t nth)
{
    moment->epoch = stream->chain[nth]->epoch;
    moment->steps = 0;
    moment->next = NEXT_LOOK;
}

//  All is known of one extent: the next one behind, while these have something;
//  else the next one before, until one has.
static void
go_on(moment_t *moment, const stream_t *stream, size_t nth, bool has)
{
    moment->rising = moment->rising && has;
    if (moment->rising && nth + 1 < stream->chain_count)
        look(moment, stream, nth + 1);
    else if (moment->found)
        end(moment, STATUS_OK, moment->offset);
    else if (nth > 0)
        look(moment, stream, nth - 1);
    else
        end(moment, STATUS_GONE, serve_first(stream));
}

//  Read the chunk of `index`, which a silent worker may have.
static void
walk(moment_t *moment, const stream_t *stream, const extent_t *extent,
     size_t nth)
{
    if (moment->index >= seek_extent_end(stream, extent) ||
        moment->steps++ == STEPS_MOST)
        go_on(moment, stream, nth, moment->found);
    else
        moment->next = NEXT_READ;
}

static void on_located(void *arg, const located_t *located, millis_t now);
static void on_fetched(void *arg, status_t status, const chunk_header_t *header,
                       buffer_t *payload, bool decoded, millis_t now);

static void
step(moment_t *moment, millis_t now)
{
    stream_t *stream;
    size_t nth;
    const extent_t *extent = extent_of(moment, &stream, &nth);
    bool looks = moment->next == NEXT_LOOK;
    uint64_t trace = relay_locate_trace(moment->core->relay, moment->request);
    moment->next = NEXT_ANSWER;
    if (!extent)
        end(moment, STATUS_MISS, 0);
    else if (looks)
        locate_ask(stream, extent, true, (uint64_t)moment->time_us, trace,
                   on_located, moment, now);
    else {
        uint64_t block;
        unsigned slot;
        placement_of_index(extent, moment->index, &block, &slot);
        fetch_chunk(moment->core, moment->stream, extent, block, slot, trace,
                    on_fetched, moment, now);
    }
}

//  Go on until an answer has to be waited for. Those that come at once, as of
//  workers that are away, are not called one out of the other: a chain is long.
static void
run(moment_t *moment, millis_t now)
{
    if (moment->running)
        return;
    if (!relay_locating(moment->core->relay, moment->request))
        end(moment, STATUS_LATE, 0);  //  Nobody waits any more
    moment->running = true;
    while (moment->next == NEXT_LOOK || moment->next == NEXT_READ)
        step(moment, now);
    moment->running = false;
    if (moment->next == NEXT_END)
        tell(moment, now);
}

static void
on_fetched(void *arg, status_t status, const chunk_header_t *header,
           buffer_t *payload, bool decoded, millis_t now)
{
    (void)payload, (void)decoded;
    if (status == STATUS_STOPPING)
        return;  //  moments_destroy is next
    moment_t *moment = arg;
    stream_t *stream;
    size_t nth;
    const extent_t *extent = extent_of(moment, &stream, &nth);
    if (!extent)
        end(moment, STATUS_MISS, 0);
    else if (status != STATUS_OK || header->created_us > moment->time_us)
        go_on(moment, stream, nth, moment->found);
    else {
        if (header->length) {  //  Else it only fills its block
            moment->found = true;
            moment->offset = header->offset;
            moment->created_us = header->created_us;
        }
        moment->index++;
        walk(moment, stream, extent, nth);
    }
    run(moment, now);
}

static void
on_located(void *arg, const located_t *located, millis_t now)
{
    moment_t *moment = arg;
    stream_t *stream;
    size_t nth;
    const extent_t *extent = extent_of(moment, &stream, &nth);
    if (located->waited)
        relay_locate_waited(moment->core->relay, moment->request,
                            located->waited, located->since);
    if (located->found) {
        moment->found = true;
        moment->offset = located->offset;
        moment->created_us = located->created_us;
    }
    if (!extent || located->lost)
        end(moment, STATUS_MISS, 0);
    else if (located->sure)
        go_on(moment, stream, nth, located->found);
    else {
        moment->index = located->found ? located->index + 1
                                       : extent->base_index;
        walk(moment, stream, extent, nth);
    }
    run(moment, now);
}

void
moment_locate(core_t *self, uint64_t id, micros_t time_us, uint64_t request,
              millis_t now)
{
    stream_t *stream = core_stream(self, id);
    status_t status = !stream                              ? STATUS_UNKNOWN
                      : stream->state == STREAM_RECOVERING ? STATUS_HELD
                                                           : STATUS_OK;
    const piece_t *piece = status == STATUS_OK ? deal_at(stream, time_us)
                                               : NULL;
    if (piece || status != STATUS_OK) {
        relay_located(self->relay, request, status, piece ? piece->offset : 0,
                      piece ? piece->created_us : 0, now);
        return;
    }
    if (!stream->chain_count) {
        relay_located(self->relay, request, STATUS_GONE, 0, 0, now);
        return;
    }
    //  Those that the relay gave up end with the answer that they wait for.
    if (zlistx_size(self->moments->list) >= MOMENTS_MOST) {
        relay_located(self->relay, request, STATUS_BUSY, 0, 0, now);
        return;
    }
    moment_t *moment = zmalloc(sizeof *moment);
    *moment = (moment_t){ .core = self,
                          .stream = id,
                          .time_us = time_us,
                          .request = request,
                          .rising = true };
    zlistx_add_end(self->moments->list, moment);
    size_t nth = stream->chain_count - 1;
    while (nth > 0 && stream->chain[nth]->begun_us > time_us)
        nth--;
    look(moment, stream, nth);
    run(moment, now);
}
