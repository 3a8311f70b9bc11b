/*  Sessions: each gets the stream from where it began, in order, as far as its
 *  credit goes.
 */
#include "node.h"

//  Who is gone gets nothing more: his session ends with the next sweep.
static status_t
answer(relay_t *self, session_t *session, message_t *message, buffer_t *payload)
{
    message->request = session->request;
    message->trace = session->trace;
    status_t status = self->effects.send(self->with, &session->peer, message,
                                         payload);
    if (status == STATUS_UNREACHABLE)
        sessions_lose(self->sessions, session, self->now);
    return status;
}

static void
over(relay_t *self, session_t *session, status_t status)
{
    Rill__V1__Over body = RILL__V1__OVER__INIT;
    body.at = session->cursor;
    body.status = (Rill__V1__Status)status;
    message_t message = MESSAGE(OVER, over, &body, 0, 0);
    answer(self, session, &message, NULL);
    happened_ended(self, session, status);
    sessions_close(self->sessions, session);
}

/*--------------------------------------------------------------------- demand */

typedef struct {
    stream_t *stream;
    uint64_t old_end;
} count_t;

static void
count_one(void *with, session_t *session, millis_t now)
{
    (void)now;
    const count_t *count = with;
    stream_t *stream = count->stream;
    stream->watchers++;
    stream->live_watchers += session->begun &&
                             session->cursor >= count->old_end;
    if (session->begun && session->cursor < stream->head)
        stream->calm = false;
}

//  What sessions want of a stream changed.
static void
count(stream_t *stream, millis_t now)
{
    size_t before = stream->live_watchers;
    count_t counts = { stream, node_old_end(stream) };
    stream->watchers = stream->live_watchers = 0;
    stream->calm = true;
    sessions_each(stream->node->sessions, stream->id, count_one, &counts, now);
    if (!before != !stream->live_watchers)
        follow_hurry(stream, now);
}

static void
closed(relay_t *self, uint64_t id, millis_t now)
{
    stream_t *stream = node_stream(self, id);
    if (!stream)
        return;
    //  Flights end with their last waiter: who still wants one says so.
    pursue_unwant(stream);
    watch_pump(stream, now);
    pursue_fill(stream, now);
}

/*----------------------------------------------------------------------- sending */

static const window_chunk_t *
held(const relay_t *self, uint64_t stream, uint64_t offset)
{
    const window_chunk_t *chunk = window_find(self->window, stream, offset);
    return chunk ? chunk : window_find(self->passing, stream, offset);
}

static void
send_chunk(stream_t *stream, session_t *session, const window_chunk_t *chunk)
{
    relay_t *self = stream->node;
    const chunk_header_t *header = &chunk->header;
    chunk_on_wire_t wire;
    message_from_chunk(header, &wire);
    Rill__V1__Flow flow = RILL__V1__FLOW__INIT;
    flow.chunk = &wire.header;
    flow.from = session->cursor;
    flow.route = RILL__V1__ROUTE__ROUTE_LOCAL;
    flow.now_us = stream->as_of_us;
    message_t message = MESSAGE(FLOW, flow, &flow, 0, 0);
    //  First the account, then the word: whoever hears it may answer at once.
    session_sent(session, header->offset + header->length, header->length);
    if (answer(self, session, &message, chunk->payload) != STATUS_OK)
        return;
    counters_up(&self->counters, COUNTER_chunks_delivered_total);
    self->counters.values[COUNTER_delivered_bytes_total] += header->length;
    node_gave(self, stream->id, header->length);
}

static void
skip(relay_t *self, session_t *session, uint64_t to)
{
    Rill__V1__Skip body = RILL__V1__SKIP__INIT;
    body.from = session->cursor;
    body.to = to;
    message_t message = MESSAGE(SKIP, skip, &body, 0, 0);
    session_sent(session, to, 0);
    answer(self, session, &message, NULL);
}

//  What is not there below it is asked for. What is published comes by itself,
//  and what of it does not is for the filling (8).
static uint64_t
asked_to(const stream_t *stream)
{
    if (stream->source < 0)
        return stream->head;
    return stream->flowing ? stream->flow : stream->told;
}

//  Ask for what the session lacks next, and some ahead where chunks can be
//  foreseen.
static void
want(stream_t *stream, const session_t *session, millis_t now)
{
    relay_t *self = stream->node;
    uint64_t at = session->cursor;
    uint64_t far = session->cursor + (session->credit - session->sent);
    //  A wrong guess would bring one chunk twice.
    bool foresees = stream->alike >= AHEAD_MOST &&
                    stream->head - at >
                        (uint64_t)AHEAD_MOST * stream->chunk_bytes;
    for (unsigned i = 0; i < AHEAD_MOST && stream->again <= now; i++) {
        uint64_t reach = window_reach(self->window, stream->id, at);
        reach = window_reach(self->passing, stream->id, reach);
        if (reach != at) {
            at = reach;
            continue;
        }
        const window_chunk_t *kept = depot_find(self, stream->id, at);
        uint64_t next = kept       ? kept->header.offset + kept->header.length
                        : foresees ? at + stream->chunk_bytes
                                   : 0;
        if (at >= asked_to(stream) || (i > 0 && at >= far) ||
            !flights_want(self->flights, stream->id, at, session->trace, now) ||
            !next)
            return;
        at = next;
    }
}

static void
pump(void *with, session_t *session, millis_t now)
{
    stream_t *stream = with;
    relay_t *self = stream->node;
    while (session_may(session)) {
        uint64_t at = node_past_hole(stream, session->cursor);
        if (at != session->cursor) {
            skip(self, session, at);
            continue;
        }
        const window_chunk_t *chunk = at < stream->end
                                          ? held(self, stream->id, at)
                                          : NULL;
        if (!chunk)
            break;
        send_chunk(stream, session, chunk);
    }
    if (!session->begun || session->gone)
        return;
    bool may = session_may(session);
    if (!may && !session->stalled && session->cursor < stream->head)
        happened_stalled(stream, session);
    session->stalled = !may && session->cursor < stream->head;
    if (stream->sealed && session->cursor >= stream->head)
        over(self, session, STATUS_OK);
    else if (may && session->cursor < stream->head)
        want(stream, session, now);
}

void
watch_pump(stream_t *stream, millis_t now)
{
    //  What is asked for may come before the question returns.
    stream->pump_again = stream->pumping;
    if (!stream->watchers || stream->pumping)
        return;
    stream->pumping = true;
    do {
        stream->pump_again = false;
        sessions_each(stream->node->sessions, stream->id, pump, stream, now);
    } while (stream->pump_again);
    stream->pumping = false;
    count(stream, now);
}

/*--------------------------------------------------------------------- beginning */

static uint64_t
live_place(const stream_t *stream)
{
    const relay_t *self = stream->node;
    uint64_t mark;
    const window_chunk_t *newest = window_newest(self->window, stream->id);
    if (!newest || !stream->flowing ||
        newest->header.offset + newest->header.length < stream->head)
        return stream->head;
    if (window_newest_mark(self->window, stream->id, &mark))
        return mark;
    return newest->header.offset;
}

//  Whether the chunk behind one is known to be younger than a time.
static bool
is_last_at(const stream_t *stream, const window_chunk_t *at, micros_t time_us)
{
    const relay_t *self = stream->node;
    uint64_t end = node_past_hole(stream,
                                  at->header.offset + at->header.length);
    const window_chunk_t *next = window_find(self->window, stream->id, end);
    if (!next)
        next = depot_find(self, stream->id, end);
    return next ? next->header.created_us > time_us
                : stream->sealed && end >= stream->head;
}

bool
watch_place_at(const stream_t *stream, micros_t time_us, uint64_t *offset_r)
{
    const relay_t *self = stream->node;
    const window_chunk_t *held[] = {
        window_at(self->window, stream->id, time_us),
        depot_at(self, stream->id, time_us),
    };
    for (int i = 0; i < 2; i++)
        if (held[i] && is_last_at(stream, held[i], time_us)) {
            *offset_r = held[i]->header.offset;
            return true;
        }
    return false;
}

//  The time that a session begins at.
static micros_t
time_of(const stream_t *stream, const session_t *session)
{
    if (session->start == START_TIME)
        return (micros_t)session->place;
    micros_t newest =
        stream->moments_count
            ? stream->moments[stream->moments_count - 1].created_us
            : 0;
    const window_chunk_t *chunk = window_newest(stream->node->window,
                                                stream->id);
    if (chunk && chunk->header.created_us > newest)
        newest = chunk->header.created_us;
    newest -= (micros_t)session->place * 1000;
    return newest > 0 ? newest : 0;
}

static void
begin_at(stream_t *stream, session_t *session, uint64_t place, millis_t now)
{
    relay_t *self = stream->node;
    if (place > stream->head) {
        node_refuse(self, &session->peer, session->request, session->trace,
                    stream->sealed ? STATUS_RANGE : STATUS_FUTURE, NULL,
                    stream->head);
        sessions_close(self->sessions, session);
        return;
    }
    session->stream = stream->id;
    session->begun = true;
    session->cursor = place < stream->first ? stream->first : place;
    Rill__V1__Watched body = RILL__V1__WATCHED__INIT;
    body.stream = stream->id;
    body.from = session->cursor;
    body.first = stream->first;
    body.moved = session->cursor != place;
    message_t message = MESSAGE(WATCHED, watched, &body, 0, 0);
    answer(self, session, &message, NULL);
    happened_opened(stream, session);
    stream->is_idle = false;
    count(stream, now);
    watch_pump(stream, now);
}

//  Where a time lies only the origin knows, unless it is held here.
static void
begin_at_time(stream_t *stream, session_t *session, millis_t now)
{
    relay_t *self = stream->node;
    micros_t time_us = time_of(stream, session);
    uint64_t place = stream->first;
    if (stream->head == stream->first ||
        watch_place_at(stream, time_us, &place)) {
        begin_at(stream, session, place, now);
        return;
    }
    peer_t peer = session->peer;
    pass_locate(self, &peer, session->request, session->trace, stream->id,
                time_us, WAIT_SESSION, now);
}

static void
begin(stream_t *stream, session_t *session, millis_t now)
{
    switch (session->start) {
    case START_LIVE:
        begin_at(stream, session, live_place(stream), now);
        break;
    case START_FIRST:
        begin_at(stream, session, stream->first, now);
        break;
    case START_OFFSET:
        begin_at(stream, session, session->place, now);
        break;
    case START_TIME:
    case START_BACK:
        begin_at_time(stream, session, now);
        break;
    }
}

static bool
read_start(const Rill__V1__Watch *watch, session_t *session)
{
    switch (watch->from_case) {
    case RILL__V1__WATCH__FROM_LIVE:
        session->start = START_LIVE;
        return true;
    case RILL__V1__WATCH__FROM_START:
        session->start = START_FIRST;
        return true;
    case RILL__V1__WATCH__FROM_OFFSET:
        session->start = START_OFFSET;
        session->place = watch->offset;
        return true;
    case RILL__V1__WATCH__FROM_TIME_US:
        session->start = START_TIME;
        session->place = (uint64_t)watch->time_us;
        return watch->time_us >= 0;
    case RILL__V1__WATCH__FROM_BACK_MS:
        session->start = START_BACK;
        session->place = watch->back_ms;
        return watch->back_ms < UINT64_C(1) << 40;
    default:
        return false;
    }
}

//  The root looks its streams up.
static void
begin_at_root(relay_t *self, const Rill__V1__Watch *watch, session_t *session,
              millis_t now)
{
    relay_facts_t facts;
    bool named = watch->which_case == RILL__V1__WATCH__WHICH_NAME;
    status_t status = self->effects.look(self->with, named ? watch->name : NULL,
                                         named ? 0 : watch->stream, &facts);
    stream_t *stream = status == STATUS_OK
                           ? node_open_stream(self, facts.stream, true)
                           : NULL;
    if (!stream) {
        node_refuse(self, &session->peer, session->request, session->trace,
                    status == STATUS_OK ? STATUS_BUSY : status, NULL, 0);
        sessions_close(self->sessions, session);
        return;
    }
    stream->chunk_bytes = facts.chunk_bytes;
    if (facts.newest_us && facts.head > facts.first)
        node_moment(stream, facts.head - 1, facts.newest_us, true);
    node_told(stream, facts.first, facts.head, facts.sealed, facts.now_us);
    begin(stream, session, now);
}

void
watch_open(relay_t *self, const peer_t *peer, const message_t *message,
           millis_t now)
{
    const Rill__V1__Watch *watch = message->watch;
    session_t start = { 0 };
    if (watch->which_case == RILL__V1__WATCH__WHICH__NOT_SET ||
        !read_start(watch, &start)) {
        node_refuse(self, peer, message->request, message->trace,
                    STATUS_ARGUMENT, NULL, 0);
        return;
    }
    session_t *before = sessions_find(self->sessions, peer, message->request);
    uint64_t left = before ? before->stream : 0;
    if (before)
        happened_ended(self, before, STATUS_OK);
    session_t *session = sessions_open(self->sessions, peer, message->request,
                                       watch->credit, now);
    if (left)
        closed(self, left, now);
    if (!session) {
        node_refuse(self, peer, message->request, message->trace, STATUS_BUSY,
                    NULL, 0);
        return;
    }
    session->trace = message->trace;
    session->start = start.start;
    session->place = start.place;
    if (self->root) {
        begin_at_root(self, watch, session, now);
        return;
    }
    stream_t *stream = watch->which_case == RILL__V1__WATCH__WHICH_NAME
                           ? zhashx_lookup(self->names, watch->name)
                           : node_stream(self, watch->stream);
    if (stream && stream->source >= 0 && *stream->name &&
        stream->unknown <= now)
        begin(stream, session, now);
    else
        pass_ask(self, peer, message, WAIT_SESSION, now);
}

void
watch_described(relay_t *self, const peer_t *peer, uint64_t request,
                stream_t *stream, status_t status, millis_t now)
{
    session_t *session = sessions_find(self->sessions, peer, request);
    if (!session || session->begun)
        return;
    if (status == STATUS_OK)
        begin(stream, session, now);
    else
        sessions_close(self->sessions, session);
}

void
watch_located(relay_t *self, const peer_t *peer, uint64_t request,
              stream_t *stream, uint64_t place, millis_t now)
{
    session_t *session = sessions_find(self->sessions, peer, request);
    if (!session || session->begun)
        return;
    if (!stream) {
        node_refuse(self, peer, request, session->trace, STATUS_BUSY, NULL, 0);
        sessions_close(self->sessions, session);
        return;
    }
    if (place > stream->head)
        stream->head = place;
    begin_at(stream, session, place, now);
}

/*-------------------------------------------------------------------- going on */

void
watch_keep(relay_t *self, const peer_t *peer, const message_t *message,
           millis_t now)
{
    session_t *session = sessions_find(self->sessions, peer, message->request);
    if (!session) {
        node_refuse(self, peer, message->request, message->trace,
                    STATUS_SESSION, NULL, 0);
        return;
    }
    sessions_keep(self->sessions, session, message->watch_keep->credit, now);
    stream_t *stream = node_stream(self, session->stream);
    Rill__V1__Watching body = RILL__V1__WATCHING__INIT;
    body.at = session->cursor;
    body.head = stream ? stream->head : 0;
    body.stale = stream && self->now_us - stream->as_of_us > 2000000;
    message_t answered = MESSAGE(WATCHING, watching, &body, 0, 0);
    answer(self, session, &answered, NULL);
    //  As a rule each of them waits for what is yet to come and says so each
    //  second: then nothing is to be looked for, for all of them each time.
    if (stream && !stream->calm)
        watch_pump(stream, now);
}

void
watch_stop(relay_t *self, const peer_t *peer, const message_t *message,
           millis_t now)
{
    session_t *session = sessions_find(self->sessions, peer, message->request);
    if (!session)
        return;
    uint64_t id = session->stream;
    happened_ended(self, session, STATUS_OK);
    sessions_close(self->sessions, session);
    stream_t *stream = node_stream(self, id);
    if (stream)
        count(stream, now);
    closed(self, id, now);
}

static void
tell_unknown(void *with, session_t *session, millis_t now)
{
    (void)now;
    over(with, session, STATUS_UNKNOWN);
}

static void
tell_stopping(void *with, session_t *session, millis_t now)
{
    (void)now;
    over(with, session, STATUS_STOPPING);
}

void
watch_failed(stream_t *stream, uint64_t offset, status_t status,
             uint64_t nearest, millis_t now)
{
    relay_t *self = stream->node;
    switch (status) {
    case STATUS_UNKNOWN:
        if (stream->pumping) {
            stream->again = now + span(self, AGAIN_MS);
            return;
        }
        sessions_each(self->sessions, stream->id, tell_unknown, self, now);
        count(stream, now);
        return;
    case STATUS_RANGE:
        if (nearest > offset)
            node_hole(stream, offset, nearest);
        else
            stream->again = now + span(self, AGAIN_MS);
        break;
    case STATUS_GONE:
        if (nearest > stream->first)
            stream->first = nearest;
        else
            stream->again = now + span(self, AGAIN_MS);
        break;
    default:
        stream->again = now + span(self, AGAIN_MS);
        break;
    }
    watch_pump(stream, now);
}

void
relay_stop(relay_t *self, millis_t now)
{
    self->now = now;
    self->stopping = true;
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams)) {
        lend_unfollow(stream, NULL, NULL);
        sessions_each(self->sessions, stream->id, tell_stopping, self, now);
        count(stream, now);
    }
}

static void
tell_silent(void *with, session_t *session, millis_t now)
{
    (void)now;
    happened_ended(with, session,
                   session->gone ? STATUS_UNREACHABLE : STATUS_LATE);
}

void
watch_sweep(relay_t *self, millis_t now)
{
    if (!sessions_sweep(self->sessions, tell_silent, self, now))
        return;
    zlistx_t *all = zhashx_values(self->streams);
    for (stream_t *stream = zlistx_first(all); stream;
         stream = zlistx_next(all))
        if (stream->watchers) {
            count(stream, now);
            closed(self, stream->id, now);
        }
    zlistx_destroy(&all);
}
