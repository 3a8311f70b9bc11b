/*  Chunks that are fetched: from a sibling once, then from one parent after the
 *  other; older than the window from the parents alone.
 */
#include "invariant.h"
#include "node.h"

enum {
    GIVEN_MOST = 4096,
    GIVEN_MS = 10000,
    BUDGET_MS = 5000,
    BUDGET_MOST_MS = 60000,
    ROUNDS = 4
};

struct pursuit {
    uint64_t stream, offset;
    int link;  //  It is in the air to; -1: not
    uint64_t request;
    millis_t sent, due, ends;  //  Not sent: MILLIS_NEVER
    int side;                  //  The sibling to ask, -1: not known
    uint64_t accused;          //  Siblings that did not have it, bit by bit
    bool side_tried, asked_siblings;
    bool up, straight;
    bool wait, parked;  //  It is waited for; until it is told to be there
    size_t parent;
    unsigned parents_tried;
};

struct given {
    uint64_t stream, run;
    millis_t until;
    char node[LIMIT_NAME_BYTES + 1];
    char group[LIMIT_NAME_BYTES + 1];
};

/*-------------------------------------------------- runs given to children */

static bool
is_listed(char **list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (streq(list[i], name))
            return true;
    return false;
}

static struct given *
place_for(relay_t *self, millis_t now)
{
    if (!self->given)
        self->given = zmalloc(GIVEN_MOST * sizeof *self->given);
    if (self->given_count < GIVEN_MOST)
        return &self->given[self->given_count++];
    struct given *first = self->given;
    for (size_t i = 0; i < self->given_count && first->until > now; i++)
        if (self->given[i].until < first->until)
            first = &self->given[i];
    return first;
}

const char *
relay_taken(relay_t *self, const Rill__V1__Ask *ask, millis_t now)
{
    uint64_t run = ask->offset / SIBLINGS_RUN_BYTES;
    if (!*ask->group || !*ask->node || ask->up || ask->side ||
        strlen(ask->node) > LIMIT_NAME_BYTES ||
        strlen(ask->group) > LIMIT_NAME_BYTES)
        return NULL;
    const char *carrier = grants_holder(self->grants, ask->stream, ask->group,
                                        ask->node, ask->offset, ask->not_,
                                        ask->n_not_, now);
    if (carrier)
        return carrier;
    struct given *given = NULL;
    for (size_t i = 0; i < self->given_count && !given; i++)
        if (self->given[i].stream == ask->stream && self->given[i].run == run &&
            streq(self->given[i].group, ask->group))
            given = &self->given[i];
    if (given && given->until > now && !streq(given->node, ask->node) &&
        !is_listed(ask->not_, ask->n_not_, given->node))
        return given->node;
    if (!given)
        given = place_for(self, now);
    given->stream = ask->stream;
    given->run = run;
    given->until = now + span(self, GIVEN_MS);
    snprintf(given->node, sizeof given->node, "%s", ask->node);
    snprintf(given->group, sizeof given->group, "%s", ask->group);
    return NULL;
}

/*--------------------------------------------------------------- one pursuit */

static pursuit_t *
find(const relay_t *self, uint64_t stream, uint64_t offset)
{
    for (pursuit_t *at = zlistx_first(self->pursuits); at;
         at = zlistx_next(self->pursuits))
        if (at->stream == stream && at->offset == offset)
            return at;
    return NULL;
}

static void
drop(relay_t *self, pursuit_t *pursuit)
{
    zlistx_detach(self->pursuits, zlistx_find(self->pursuits, pursuit));
    free(pursuit);
}

static void
fail(relay_t *self, pursuit_t *pursuit, status_t status, uint64_t nearest,
     millis_t now)
{
    uint64_t id = pursuit->stream, offset = pursuit->offset;
    drop(self, pursuit);
    flights_fail(self->flights, id, offset, status, NULL, nearest);
    stream_t *stream = node_stream(self, id);
    if (stream)
        watch_failed(stream, offset, status, nearest, now);
}

static void step(relay_t *self, pursuit_t *pursuit, millis_t now);

//  What was tried last is not to be had: the next one.
static void
go_on(relay_t *self, pursuit_t *pursuit, status_t status, millis_t now)
{
    int link = pursuit->link;
    pursuit->link = -1;
    flights_asked(self->flights, pursuit->stream, pursuit->offset, NULL);
    if (link >= 0 && is_side(self, link)) {
        pursuit->side_tried = true;
        pursuit->accused |= UINT64_C(1)
                            << (link - (int)self->settings.parents_count);
        step(self, pursuit, now);
        return;
    }
    if (link >= 0 && (status == STATUS_LATE || status == STATUS_UNREACHABLE))
        node_shun(self, link, now);
    pursuit->parents_tried++;
    pursuit->parent = (pursuit->parent + 1) % self->settings.parents_count;
    if (pursuit->parents_tried >= self->settings.parents_count)
        fail(self, pursuit, status, 0, now);
    else
        step(self, pursuit, now);
}

//  How long a chunk from a link may take before another is asked for it.
static millis_t
hop_of(const relay_t *self, int link)
{
    millis_t measured = ROUNDS * (millis_t)self->links[link].round_ms;
    millis_t least = span(self,
                          measured || is_side(self, link) ? HOP_MS : FIRST_MS);
    return measured > least ? measured : least;
}

static void
ask(relay_t *self, pursuit_t *pursuit, int link, bool straight, millis_t now)
{
    bool side = is_side(self, link);
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    char *accused[SIBLINGS_MOST];
    millis_t left = (pursuit->ends - now) * 4 / 5;
    body.stream = pursuit->stream;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = pursuit->offset;
    body.budget_ms = (uint32_t)(left > 1 ? left : 1);
    body.node = message_lend(self->settings.node);
    body.group = message_lend(self->settings.group);
    body.up = straight;
    body.side = side;
    body.not_ = accused;
    for (size_t i = 0; !side && i < self->settings.siblings_count; i++)
        if (pursuit->accused >> i & 1)
            accused[body.n_not_++] = message_lend(self->settings.siblings[i]);
    pursuit->link = link;
    pursuit->straight = straight;
    pursuit->request = ++self->request;
    pursuit->sent = now;
    pursuit->due = millis_least(now + hop_of(self, link), pursuit->ends);
    self->links[link].used = true;
    flights_asked(self->flights, pursuit->stream, pursuit->offset,
                  self->links[link].name);
    message_t message = MESSAGE(
        ASK, ask, &body, pursuit->request,
        flights_trace(self->flights, pursuit->stream, pursuit->offset));
    if (self->effects.tell(self->with, link, &message) == STATUS_OK)
        return;
    pursuit->sent = MILLIS_NEVER;
    pursuit->due = now + span(self, AGAIN_MS);
}

//  It does not come in time: the next is asked, unless there is none, or the
//  link is busy with what was asked before. Asked twice it would come twice.
static void
late(relay_t *self, pursuit_t *pursuit, millis_t now)
{
    int link = pursuit->link;
    if (pursuit->sent != MILLIS_NEVER) {
        millis_t hop = hop_of(self, link);
        millis_t until = pursuit->sent + ROUNDS * hop;
        bool last = !is_side(self, link) &&
                    pursuit->parents_tried + 1 >= self->settings.parents_count;
        if (!last)
            until = millis_least(until, self->links[link].answered + hop);
        pursuit->due = millis_least(until, pursuit->ends);
    }
    if (pursuit->due > now)
        return;
    counters_up(&self->counters, COUNTER_asks_late_total);
    go_on(self, pursuit, STATUS_LATE, now);
}

//  Who of the group has the run that the offset lies in.
static void
ask_siblings(relay_t *self, pursuit_t *pursuit, millis_t now)
{
    uint64_t run = pursuit->offset / SIBLINGS_RUN_BYTES * SIBLINGS_RUN_BYTES;
    int sibling = -1;
    switch (siblings_ask(self->siblings, pursuit->stream, run, now, &sibling)) {
    case SIBLINGS_ASK:
        happened_asked(
            self, pursuit->stream, run,
            flights_trace(self->flights, pursuit->stream, pursuit->offset));
        follow_cast(self, PACKET_WHO, -1, pursuit->stream, run,
                    run + SIBLINGS_RUN_BYTES);
        pursuit->due = now + SIBLINGS_WAIT_MS;
        break;
    case SIBLINGS_OPEN:
        pursuit->due = now + SIBLINGS_WAIT_MS;
        break;
    case SIBLINGS_HAS:
        pursuit->side = (int)self->settings.parents_count + sibling;
        pursuit->asked_siblings = true;
        step(self, pursuit, now);
        break;
    case SIBLINGS_NONE:
        pursuit->asked_siblings = true;
        step(self, pursuit, now);
        break;
    }
}

static void
step(relay_t *self, pursuit_t *pursuit, millis_t now)
{
    //  It ends with its last waiter (7).
    if (!flights_wanted(self->flights, pursuit->stream, pursuit->offset)) {
        drop(self, pursuit);
        return;
    }
    //  What is asked about an unknown one opens nothing.
    stream_t *stream = node_stream(self, pursuit->stream);
    bool carried = stream && stream->source >= 0 &&
                   is_side(self, stream->source);
    //  Who carries a stream misses of what is live only what its parent has.
    bool recent = stream && follow_carries(stream) &&
                  pursuit->offset + SIBLINGS_RUN_BYTES > stream->head;
    route_case_t at = {
        .old = stream && node_is_old(stream, pursuit->offset),
        .up = pursuit->up,
        .tried = pursuit->side_tried,
        .carried = carried,
        .has = pursuit->side >= 0,
        .question = self->settings.siblings_count && !pursuit->asked_siblings &&
                    !recent,
    };
    pursuit->parked = false;
    switch (route_choose(&at)) {
    case ROUTE_QUESTION:
        ask_siblings(self, pursuit, now);
        break;
    case ROUTE_SIDE:
        ask(self, pursuit, pursuit->side >= 0 ? pursuit->side : stream->source,
            false, now);
        break;
    case ROUTE_STRAIGHT:
        ask(self, pursuit, (int)pursuit->parent, true, now);
        break;
    default:
        ask(self, pursuit, (int)pursuit->parent, false, now);
        break;
    }
}

void
pursue_fetch(relay_t *self, uint64_t id, uint64_t offset, millis_t now)
{
    if (self->root) {
        self->effects.fetch(self->with, id, offset, now);
        return;
    }
    //  Of an earlier flight there may still be a request in the air.
    if (!find(self, id, offset) && !depot_fetch(self, id, offset, now))
        pursue_fetch_far(self, id, offset, now);
}

void
pursue_fetch_far(relay_t *self, uint64_t id, uint64_t offset, millis_t now)
{
    if (find(self, id, offset))
        return;
    if (self->asking.side) {  //  A sibling's ask begins nothing (6)
        flights_fail(self->flights, id, offset, STATUS_MISS, NULL, 0);
        return;
    }
    stream_t *stream = node_stream(self, id);
    pursuit_t *pursuit = zmalloc(sizeof *pursuit);
    pursuit->stream = id;
    pursuit->offset = offset;
    pursuit->link = pursuit->side = -1;
    pursuit->up = self->asking.up;
    pursuit->wait = self->asking.wait;
    pursuit->ends = self->asking.due ? self->asking.due
                                     : now + span(self, BUDGET_MS);
    pursuit->parent = node_parent(self, stream ? stream->parent : 0, now);
    zlistx_add_end(self->pursuits, pursuit);
    if (stream && stream->known && pursuit->wait && !stream->sealed &&
        offset >= stream->head) {
        pursuit->parked = true;  //  It comes by itself
        pursuit->due = pursuit->ends;
        return;
    }
    step(self, pursuit, now);
}

/*-------------------------------------------------------------------- answers */

static void
refused(relay_t *self, pursuit_t *pursuit, const Rill__V1__Refused *refused,
        millis_t now)
{
    status_t status = message_status(refused->status);
    bool side = is_side(self, pursuit->link);
    int named = node_link(self, refused->node);
    if (!side && status == STATUS_TAKEN && named >= 0 && is_side(self, named)) {
        pursuit->side = named;
        pursuit->side_tried = false;
        step(self, pursuit, now);
        return;
    }
    if (!side && status == STATUS_FUTURE && pursuit->wait) {
        pursuit->parked = true;
        pursuit->link = -1;
        flights_asked(self->flights, pursuit->stream, pursuit->offset, NULL);
        pursuit->due = pursuit->ends;
        return;
    }
    switch (status) {
    case STATUS_UNKNOWN:
    case STATUS_GONE:
    case STATUS_RANGE:
    case STATUS_FUTURE:
    case STATUS_ARGUMENT:
        if (!side) {
            fail(self, pursuit, status, refused->offset, now);
            break;
        }
        go_on(self, pursuit, status, now);
        break;
    default:
        go_on(self, pursuit, status, now);
        break;
    }
}

static pursuit_t *
by_request(const relay_t *self, int link, uint64_t request)
{
    for (pursuit_t *at = zlistx_first(self->pursuits); at;
         at = zlistx_next(self->pursuits))
        if (at->link == link && at->request == request)
            return at;
    return NULL;
}

static bool
covers(const chunk_header_t *header, uint64_t offset)
{
    return header->offset <= offset && offset - header->offset < header->length;
}

//  A chunk that answers a question, or comes late and is still wanted.
static bool
taken(relay_t *self, int link, pursuit_t *pursuit, const message_t *message,
      buffer_t *payload, millis_t now)
{
    chunk_header_t header;
    const Rill__V1__Answer *answer = message->answer;
    uint64_t any;
    if (!payload || message_to_chunk(answer->chunk, &header) != STATUS_OK)
        return false;
    bool straight = false;
    if (pursuit && header.key.stream == pursuit->stream &&
        covers(&header, pursuit->offset)) {
        link_t *from = &self->links[link];
        unsigned round = (unsigned)(now - pursuit->sent);
        counters_took(&self->counters,
                      is_side(self, link) ? TIME_hop_seconds_sibling
                                          : TIME_hop_seconds_parent,
                      round);
        from->round_ms = from->round_ms ? (7 * from->round_ms + round) / 8
                                        : round;
        straight = pursuit->straight;
        drop(self, pursuit);
    } else if (pursuit ||
               !flights_within(self->flights, header.key.stream, header.offset,
                               header.offset + header.length, &any, 1))
        return false;
    else
        straight = answer->route == RILL__V1__ROUTE__ROUTE_UP;
    flights_chunk_t chunk = {
        .header = &header,
        .payload = payload,
        .route = straight              ? RILL__V1__ROUTE__ROUTE_UP
                 : is_side(self, link) ? RILL__V1__ROUTE__ROUTE_SIBLING
                                       : RILL__V1__ROUTE__ROUTE_PARENT,
        .watermark = answer->watermark,
        .sealed = answer->sealed && answer->head,
        .now_us = answer->now_us,
        .head = answer->head,
        .source = self->links[link].name,
    };
    counters_up(&self->counters, straight ? COUNTER_chunks_taken_total_up
                                          : node_taken_from(self, link));
    (void)node_open_stream(self, header.key.stream, true);
    node_take(self, &chunk, straight ? CAME_STRAIGHT : CAME_FETCHED, now);
    return true;
}

bool
pursue_answer(relay_t *self, int link, const message_t *message,
              buffer_t *payload, millis_t now)
{
    pursuit_t *pursuit = by_request(self, link, message->request);
    if (pursuit) {
        self->links[link].answered = now;
        self->links[link].shunned = 0;
    }
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        if (pursuit)
            refused(self, pursuit, message->refused, now);
        return pursuit != NULL;
    }
    if (taken(self, link, pursuit, message, payload, now))
        return true;
    if (pursuit)
        go_on(self, pursuit, STATUS_CORRUPT, now);
    return pursuit != NULL;
}

/*----------------------------------------------------------------------- asks */

static void
answer_held(relay_t *self, const peer_t *peer, const message_t *message,
            const window_chunk_t *held)
{
    stream_t *stream = node_stream(self, held->header.key.stream);
    flights_chunk_t chunk = { .header = &held->header,
                              .payload = held->payload,
                              .route = RILL__V1__ROUTE__ROUTE_LOCAL,
                              .watermark = held->header.watermark };
    if (stream) {
        chunk.sealed = stream->sealed;
        chunk.head = stream->head;
        chunk.now_us = stream->as_of_us;
    }
    counters_up(&self->counters, COUNTER_answers_held_total);
    counters_took(&self->counters, TIME_request_seconds_local, 0);
    flights_answer(self->flights, peer, message->request, message->trace,
                   &chunk);
}

//  Why a question is refused at once, or STATUS_OK.
static status_t
judge(relay_t *self, const Rill__V1__Ask *question, stream_t *stream, bool side,
      uint64_t *nearest_r, millis_t now)
{
    uint64_t offset = question->offset;
    if (!stream && question->wait)
        return STATUS_BUSY;
    if (stream && stream->unknown > now)
        return STATUS_UNKNOWN;
    *nearest_r = stream ? stream->head : 0;
    if (stream && stream->sealed && offset >= stream->head)
        return side ? STATUS_MISS : STATUS_RANGE;
    if (stream && !side && !question->wait && stream->source >= 0 &&
        offset >= stream->head)
        return STATUS_FUTURE;
    *nearest_r = 0;
    if (!side)
        return STATUS_OK;
    if (depot_find(self, question->stream, offset))
        return STATUS_OK;
    //  A sibling's ask begins nothing (6).
    pursuit_t *pursuit = find(self, question->stream, offset);
    return pursuit && pursuit->link >= 0 && !is_side(self, pursuit->link)
               ? STATUS_OK
               : STATUS_MISS;
}

static void
refuse_taken(relay_t *self, const peer_t *peer, const message_t *message,
             const char *node)
{
    Rill__V1__Refused refused = message_refusal(STATUS_TAKEN, NULL, 0);
    refused.node = message_lend(node);
    message_t answer = MESSAGE(REFUSED, refused, &refused, message->request,
                               message->trace);
    (void)self->effects.send(self->with, peer, &answer, NULL);
}

//  An ask for the newest chunk, or for the last one at a time.
static void
ask_at(relay_t *self, const peer_t *peer, const message_t *message,
       millis_t now)
{
    const Rill__V1__Ask *question = message->ask;
    const stream_t *stream = node_stream(self, question->stream);
    const window_chunk_t *held = NULL;
    uint64_t offset;
    if (stream && question->at_case == RILL__V1__ASK__AT_LIVE)
        held = window_newest(self->window, question->stream);
    if (held)
        answer_held(self, peer, message, held);
    else if (stream && question->at_case == RILL__V1__ASK__AT_TIME_US &&
             watch_place_at(stream, question->time_us, &offset))
        pursue_at(self, peer, message->request, message->trace,
                  question->stream, offset, now);
    else if (question->at_case == RILL__V1__ASK__AT__NOT_SET)
        node_refuse(self, peer, message->request, message->trace,
                    STATUS_ARGUMENT, NULL, 0);
    else
        relay_ask_at(self, peer, message, now);
}

void
relay_ask_at(relay_t *self, const peer_t *peer, const message_t *message,
             millis_t now)
{
    const Rill__V1__Ask *question = message->ask;
    bool timed = question->at_case == RILL__V1__ASK__AT_TIME_US;
    self->now = now;
    pass_locate(self, peer, message->request, message->trace, question->stream,
                timed ? question->time_us : INT64_MAX, WAIT_CHUNK, now);
}

void
pursue_at(relay_t *self, const peer_t *peer, uint64_t request, uint64_t trace,
          uint64_t stream, uint64_t offset, millis_t now)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = stream;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = offset;
    message_t message = MESSAGE(ASK, ask, &body, request, trace);
    if (self->root)
        flights_ask(self->flights, peer, &message, stream, offset,
                    now + span(self, BUDGET_MS), now);
    else
        pursue_ask(self, peer, &message, now);
}

void
pursue_ask(relay_t *self, const peer_t *peer, const message_t *message,
           millis_t now)
{
    const Rill__V1__Ask *question = message->ask;
    bool child = *question->group && !question->side;
    bool side = question->side && streq(question->group, self->settings.group);
    if (question->at_case != RILL__V1__ASK__AT_OFFSET) {
        ask_at(self, peer, message, now);
        return;
    }
    stream_t *stream = question->wait
                           ? node_open_stream(self, question->stream, false)
                           : node_stream(self, question->stream);
    const window_chunk_t *held = window_find(self->window, question->stream,
                                             question->offset);
    route_case_t at = {
        .up = child && question->up,
        .old = stream && node_is_old(stream, question->offset),
        .held = held != NULL,
    };
    bool here = route_choose(&at) == ROUTE_HERE;
    uint64_t nearest = 0;
    status_t status = here ? STATUS_OK
                           : judge(self, question, stream, side, &nearest, now);
    if (status != STATUS_OK) {
        node_refuse(self, peer, message->request, message->trace, status, NULL,
                    nearest);
        return;
    }
    const char *taken_by = relay_taken(self, question, now);
    if (taken_by || here) {
        if (taken_by)
            refuse_taken(self, peer, message, taken_by);
        else
            answer_held(self, peer, message, held);
        return;
    }
    millis_t budget = question->budget_ms ? question->budget_ms : BUDGET_MS;
    budget = millis_least(budget, BUDGET_MOST_MS);
    if (question->wait) {
        stream->asked_until = now + span(self, LINGER_MS);
        follow_hurry(stream, now);
    }
    self->asking = (asking_t){ at.up, question->wait, side, now + budget };
    depot_join(self, question->stream, question->offset);
    flights_ask(self->flights, peer, message, question->stream,
                question->offset, now + budget, now);
    self->asking = (asking_t){ .up = false };
}

/*-------------------------------------------------------------------- filling */

//  Moments tell roughly what is old: what was asked for and turned out to be is
//  not kept, and would be asked for again and again.
static uint64_t
past_old(const stream_t *stream, uint64_t offset)
{
    const relay_t *self = stream->node;
    const window_chunk_t *old = window_find(self->passing, stream->id, offset);
    return old && old->header.created_us < node_horizon(self)
               ? old->header.offset + old->header.length
               : offset;
}

void
pursue_fill(stream_t *stream, millis_t now)
{
    relay_t *self = stream->node;
    if (self->root || !stream->flowing || stream->again > now ||
        !follow_demand(stream, now))
        return;
    uint64_t at = stream->flow;
    for (size_t fills = 0; fills < FILLS_MOST;) {
        uint64_t reach = window_reach(self->window, stream->id, at);
        reach = node_past_hole(stream, depot_reach(self, stream->id, reach));
        reach = past_old(stream, reach);
        if (fills == 0)
            stream->flow = reach;
        if (reach != at) {
            at = reach;
            continue;
        }
        uint64_t next = window_next(self->window, stream->id, at);
        uint64_t kept = depot_next(self, stream->id, at);
        if (kept < next)
            next = kept;
        if (next == UINT64_MAX && at >= stream->tail)
            return;
        if (node_is_old(stream, at)) {
            at = next == UINT64_MAX ? stream->tail : next;
            continue;
        }
        if (!flights_want(self->flights, stream->id, at, 0, now))
            return;
        fills++;
        if (next == UINT64_MAX || stream->again > now)
            return;
        at = next;
    }
}

void
pursue_unwant(stream_t *stream)
{
    relay_t *self = stream->node;
    uint64_t offsets[FLIGHTS_MOST];
    size_t count = flights_within(self->flights, stream->id, 0, UINT64_MAX,
                                  offsets, FLIGHTS_MOST);
    for (size_t i = 0; i < count; i++)
        flights_unwant(self->flights, stream->id, offsets[i]);
}

//  The origin told that there is more: who waits for it and did not get it
//  asks.
void
pursue_heads(stream_t *stream, millis_t now)
{
    relay_t *self = stream->node;
    size_t count = zlistx_size(self->pursuits);
    for (size_t i = 0; i < count; i++) {
        pursuit_t *pursuit = zlistx_detach(self->pursuits, NULL);
        if (!pursuit)
            return;
        zlistx_add_end(self->pursuits, pursuit);
        if (!pursuit->parked || pursuit->stream != stream->id)
            continue;
        bool comes = stream->flowing && pursuit->offset >= stream->flow;
        if (pursuit->offset < (comes ? stream->tail : stream->told)) {
            if (now - pursuit->sent >= span(self, AGAIN_MS))
                step(self, pursuit, now);
        } else if (stream->sealed && pursuit->offset >= stream->head)
            fail(self, pursuit, STATUS_RANGE, stream->head, now);
        else if (stream->unknown > now)
            fail(self, pursuit, STATUS_UNKNOWN, 0, now);
    }
}

/*----------------------------------------------------------------------- time */

//  A question to the siblings may have ended.
void
pursue_question(relay_t *self, millis_t now)
{
    size_t count = zlistx_size(self->pursuits);
    for (size_t i = 0; i < count; i++) {
        pursuit_t *pursuit = zlistx_detach(self->pursuits, NULL);
        if (!pursuit)
            return;
        zlistx_add_end(self->pursuits, pursuit);
        if (pursuit->link < 0 && !pursuit->parked && !pursuit->asked_siblings)
            step(self, pursuit, now);
    }
}

void
pursue_lost(relay_t *self, int link, millis_t now)
{
    size_t count = zlistx_size(self->pursuits);
    for (size_t i = 0; i < count; i++) {
        pursuit_t *pursuit = zlistx_detach(self->pursuits, NULL);
        if (!pursuit)
            return;
        zlistx_add_end(self->pursuits, pursuit);
        if (pursuit->link == link)
            go_on(self, pursuit, STATUS_UNREACHABLE, now);
    }
}

void
pursue_sweep(relay_t *self, millis_t now)
{
    size_t count = zlistx_size(self->pursuits);
    for (size_t i = 0; i < count; i++) {
        pursuit_t *pursuit = zlistx_detach(self->pursuits, NULL);
        if (!pursuit)
            return;
        zlistx_add_end(self->pursuits, pursuit);
        if (!flights_wanted(self->flights, pursuit->stream, pursuit->offset)) {
            //  What is in the air is waited for: nobody is asked twice (15).
            if (pursuit->link < 0 || pursuit->due <= now)
                drop(self, pursuit);
            continue;
        }
        if (pursuit->due > now)
            continue;
        if (pursuit->ends <= now)
            fail(self, pursuit, STATUS_LATE, 0, now);
        else if (pursuit->link >= 0)
            late(self, pursuit, now);
        else if (!pursuit->parked)
            step(self, pursuit, now);
    }
}

millis_t
pursue_due(const relay_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (pursuit_t *at = zlistx_first(self->pursuits); at;
         at = zlistx_next(self->pursuits))
        due = millis_least(due, at->due);
    return due;
}

bool
pursue_uses(const relay_t *self, int link)
{
    for (pursuit_t *at = zlistx_first(self->pursuits); at;
         at = zlistx_next(self->pursuits))
        if (at->link == link)
            return true;
    return false;
}

void
pursue_destroy(relay_t *self)
{
    pursuit_t *pursuit;
    while ((pursuit = zlistx_detach(self->pursuits, NULL)) != NULL)
        free(pursuit);
    zlistx_destroy(&self->pursuits);
    free(self->given);
}
