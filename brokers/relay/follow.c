/*  Whom this node takes a stream from: nobody, the sibling that carries it, or
 *  a parent, and then it carries it for its group.
 */
#include "invariant.h"
#include "node.h"

//  What comes late is not as late as that.
enum { STEPPED_US = 10000000 };

static const try_t NO_TRY = { .link = -1, .due = MILLIS_NEVER };

void
follow_begin(stream_t *stream)
{
    stream->source = stream->heard_link = stream->carrier = -1;
    stream->pend = stream->move = stream->yield = NO_TRY;
    stream->avoid = zmalloc((stream->node->settings.siblings_count + 1) *
                            sizeof *stream->avoid);
}

static void
hear(stream_t *stream, int link, uint64_t topic)
{
    relay_t *self = stream->node;
    if (stream->heard_link == link && stream->heard_topic == topic)
        return;
    //  First the new one, then the old one is left (17).
    if (link >= 0)
        self->effects.subscribe(self->with, link, self->links[link].publish_at,
                                stream->id, topic, true);
    if (stream->heard_link >= 0)
        self->effects.subscribe(self->with, stream->heard_link,
                                self->links[stream->heard_link].publish_at,
                                stream->id, stream->heard_topic, false);
    stream->heard_link = link;
    stream->heard_topic = topic;
}

void
follow_end(stream_t *stream)
{
    hear(stream, -1, 0);
    free(stream->avoid);
    free(stream->parked);
    free(stream->followers);
}

bool
follow_carries(const stream_t *stream)
{
    return stream->source >= 0 && !is_side(stream->node, stream->source);
}

bool
follow_demand(const stream_t *stream, millis_t now)
{
    //  Of what is complete nothing more is published; who follows it goes on
    //  for what is missing.
    if (stream->unknown > now || (stream->sealed && stream->source < 0))
        return false;
    return stream->live_watchers || stream->followers_count ||
           stream->asked_until > now ||
           grants_of(stream->node->grants, stream->id);
}

void
follow_hurry(stream_t *stream, millis_t now)
{
    stream->node->coarse_at = millis_least(stream->node->coarse_at, now);
}

/*-------------------------------------------------------------------- ranks */

typedef struct {
    size_t place;
    uint64_t grant;
    const char *node;
} rank_t;

static rank_t
own_rank(const stream_t *stream)
{
    return (rank_t){ follow_carries(stream) ? (size_t)stream->source : SIZE_MAX,
                     stream->grant, stream->node->settings.node };
}

static bool
beats(rank_t a, rank_t b)
{
    if (a.place != b.place)
        return a.place < b.place;
    if (a.grant != b.grant)
        return a.grant > b.grant;
    return strcmp(a.node, b.node) > 0;
}

/*-------------------------------------------------------------- what is wanted */

static bool
wants(const stream_t *stream, int link)
{
    return stream->source == link || stream->pend.link == link ||
           stream->move.link == link || stream->yield.link == link;
}

static void
touch(stream_t *stream, int link)
{
    if (link >= 0)
        stream->node->links[link].dirty = true;
}

static void
begin(stream_t *stream, try_t *attempt, int link, millis_t now)
{
    relay_t *self = stream->node;
    touch(stream, attempt->link);
    *attempt = (try_t){ .link = link,
                        .seq = self->links[link].seq + 1,
                        .due = now + span(self, TRY_MS) };
    touch(stream, link);
}

static void
end(stream_t *stream, try_t *attempt)
{
    touch(stream, attempt->link);
    *attempt = NO_TRY;
}

static bool
is_avoided(const stream_t *stream, int link, millis_t now)
{
    const relay_t *self = stream->node;
    return is_side(self, link) &&
           stream->avoid[link - (int)self->settings.parents_count] > now;
}

static void
avoid(stream_t *stream, int link, millis_t ms, millis_t now)
{
    relay_t *self = stream->node;
    stream->avoid[link - (int)self->settings.parents_count] = now +
                                                              span(self, ms);
}

//  The lowest byte that this node still needs of what is live.
static uint64_t
next_needed(const stream_t *stream)
{
    return stream->flowing ? stream->flow : stream->head;
}

typedef struct {
    Rill__V1__Want want;
    Rill__V1__Rank rank;
    char *accused[SIBLINGS_MOST];
} want_said_t;

static void
fill_want(stream_t *stream, int link, want_said_t *said, millis_t now)
{
    relay_t *self = stream->node;
    rill__v1__want__init(&said->want);
    said->want.stream = stream->id;
    said->want.next = next_needed(stream);
    said->want.not_ = said->accused;
    if (!is_side(self, link) && stream->pend.link == link)
        for (size_t i = 0; i < self->settings.siblings_count; i++)
            if (stream->avoid[i] > now)
                said->accused[said->want.n_not_++] = message_lend(
                    self->settings.siblings[i]);
    if (is_side(self, link) && stream->yield.link == link) {
        rank_t own = own_rank(stream);
        rill__v1__rank__init(&said->rank);
        said->rank.place = (uint32_t)own.place;
        said->rank.grant = own.grant;
        said->rank.node = message_lend(own.node);
        said->want.rank = &said->rank;
    }
}

static void
send_keep(relay_t *self, int at, millis_t now)
{
    link_t *link = &self->links[at];
    size_t most = zhashx_size(self->streams);
    most = most < WANTS_MOST ? most : WANTS_MOST;
    want_said_t *said = zmalloc((most + 1) * sizeof *said);
    Rill__V1__Want *list[WANTS_MOST];
    Rill__V1__Keep keep = RILL__V1__KEEP__INIT;
    //  What may not even be comes behind what is.
    for (int known = 1; known >= 0; known--)
        for (stream_t *stream = zhashx_first(self->streams);
             stream && keep.n_wants < most; stream = zhashx_next(self->streams))
            if (stream->known == known && wants(stream, at)) {
                fill_want(stream, at, &said[keep.n_wants], now);
                list[keep.n_wants] = &said[keep.n_wants].want;
                keep.n_wants++;
            }
    keep.seq = ++link->seq;
    keep.node = message_lend(self->settings.node);
    keep.group = message_lend(self->settings.group);
    keep.tier = self->settings.tier;
    keep.incarnation = self->incarnation;
    keep.side = is_side(self, at);
    keep.wants = list;
    message_t message = MESSAGE(KEEP, keep, &keep, 0, 0);
    link->used = true;
    (void)self->effects.tell(self->with, at, &message);
    link->dirty = false;
    link->keep_at = keep.n_wants ? now + span(self, KEEP_MS) : MILLIS_NEVER;
    free(said);
}

void
follow_flush(relay_t *self, millis_t now)
{
    for (size_t i = 0; i < self->links_count; i++)
        if (self->links[i].dirty || self->links[i].keep_at <= now)
            send_keep(self, (int)i, now);
}

/*---------------------------------------------------------------- packets */

void
follow_cast(relay_t *self, packet_type_t type, int link, uint64_t id,
            uint64_t from, uint64_t to)
{
    packet_t packet = { .type = type,
                        .group = packet_name(self->settings.group),
                        .node = packet_name(self->settings.node),
                        .incarnation = self->incarnation,
                        .counter = ++self->packets,
                        .stream = id,
                        .from = from,
                        .to = to };
    stream_t *stream = node_stream(self, id);
    if (stream && follow_carries(stream)) {
        packet.place = (uint16_t)stream->source;
        packet.grant = stream->grant;
    }
    self->effects.cast(self->with, link, &packet);
    if (link >= 0)
        return;
    //  Who is not heard may not hear: it gets it by itself.
    for (size_t i = 0; i < self->settings.siblings_count; i++)
        if (!siblings_heard(self->siblings, (int)i, self->now)) {
            packet.counter = ++self->packets;
            self->effects.cast(
                self->with, (int)(self->settings.parents_count + i), &packet);
        }
}

/*----------------------------------------------------------------- seeking */

static void
try_side(stream_t *stream, int link, millis_t now)
{
    stream->seek = SEEK_SIDE;
    begin(stream, &stream->pend, link, now);
}

static void
try_up(stream_t *stream, millis_t now)
{
    stream->seek = SEEK_UP;
    begin(stream, &stream->pend, (int)stream->parent, now);
}

//  It is not known who carries: siblings are asked, and then the parent.
static void
ask_siblings(stream_t *stream, millis_t now)
{
    relay_t *self = stream->node;
    int sibling;
    siblings_outcome_t outcome = siblings_ask(self->siblings, stream->id,
                                              PACKET_LIVE, now, &sibling);
    if (outcome == SIBLINGS_ASK) {
        happened_asked(self, stream->id, PACKET_LIVE, 0);
        follow_cast(self, PACKET_WHO, -1, stream->id, PACKET_LIVE, PACKET_LIVE);
    }
    if (outcome == SIBLINGS_ASK || outcome == SIBLINGS_OPEN) {
        stream->seek = SEEK_WHO;
        stream->who_due = now + 1;
        return;
    }
    siblings_forget(self->siblings, stream->id, PACKET_LIVE);
    int link = (int)self->settings.parents_count + sibling;
    if (outcome == SIBLINGS_HAS && !is_avoided(stream, link, now)) {
        stream->hinted = true;
        try_side(stream, link, now);
    } else
        try_up(stream, now);
}

static void
start(stream_t *stream, millis_t now)
{
    siblings_forget(stream->node->siblings, stream->id, PACKET_LIVE);
    ask_siblings(stream, now);
}

//  Answer those that waited to hear whether we would carry.
static void
unpark(stream_t *stream, const char *try, millis_t now)
{
    size_t count = stream->parked_count;
    stream->parked_count = 0;
    for (size_t i = 0; i < count; i++) {
        parked_t *parked = &stream->parked[i];
        bool taken = lend_follower(stream, &parked->who, false, NULL, now);
        lend_say(stream, &parked->who.peer, parked->seq,
                 taken ? RILL__V1__CARRY__CARRY_SIDE
                       : RILL__V1__CARRY__CARRY_NOT,
                 taken ? NULL : try);
    }
}

static void
lose(stream_t *stream, const char *try, millis_t now)
{
    if (follow_carries(stream))
        lend_unfollow(stream, try, NULL);
    touch(stream, stream->source);
    stream->source = -1;
    stream->seek = SEEK_NONE;
    end(stream, &stream->pend);
    end(stream, &stream->move);
    end(stream, &stream->yield);
    hear(stream, -1, 0);
    follow_hurry(stream, now);
}

static void
gain(stream_t *stream, int link, const Rill__V1__Item *item, millis_t now)
{
    relay_t *self = stream->node;
    bool carries = !is_side(self, link);
    if (stream->source != link)
        touch(stream, stream->source);
    stream->source = link;
    stream->seek = SEEK_NONE;
    stream->since = now;
    stream->grant = item->grant;
    stream->topic = item->topic;
    stream->is_idle = false;
    stream->latest = stream->head;  //  What is below was published before
    stream->latest_at = 0;
    hear(stream, link, item->topic);
    if (!carries) {
        stream->carrier = link;
        return;
    }
    happened_carries(stream);
    stream->carrier = -1;
    stream->parent = (size_t)link;
    if (!stream->side_topic)
        stream->side_topic = self->effects.random(self->with);
    unpark(stream, NULL, now);
    follow_cast(self, PACKET_CARRY, -1, stream->id, PACKET_LIVE, PACKET_LIVE);
    stream->carried = now;
}

static void
try_yield(stream_t *stream, int link, millis_t now)
{
    if (stream->yield.link >= 0 || stream->pend.link >= 0 || link < 0 ||
        !is_side(stream->node, link))
        return;
    begin(stream, &stream->yield, link, now);
}

/*----------------------------------------------------------- what was answered */

static void
on_yield(stream_t *stream, int link, const Rill__V1__Item *item, millis_t now)
{
    relay_t *self = stream->node;
    end(stream, &stream->yield);
    if (item->state != RILL__V1__CARRY__CARRY_SIDE) {
        stream->split = now + span(self, SPLIT_MS);
        return;
    }
    lend_unfollow(stream, self->links[link].name, self->links[link].name);
    end(stream, &stream->move);
    gain(stream, link, item, now);
}

static void
on_move(stream_t *stream, int link, const Rill__V1__Item *item, bool dead,
        millis_t now)
{
    relay_t *self = stream->node;
    end(stream, &stream->move);
    if (!follow_carries(stream))
        return;
    int carrier = node_link(self, item->carrier);
    if (item->state == RILL__V1__CARRY__CARRY_GRANT)
        gain(stream, link, item, now);
    else if (item->state != RILL__V1__CARRY__CARRY_TAKEN)
        return;
    else if (dead) {
        lose(stream, item->carrier, now);
        stream->hinted = false;
        if (carrier >= 0 && is_side(self, carrier))
            try_side(stream, carrier, now);
    } else
        try_yield(stream, carrier, now);
}

static void
on_pend(stream_t *stream, int link, const Rill__V1__Item *item, millis_t now)
{
    relay_t *self = stream->node;
    int carrier = node_link(self, item->carrier);
    end(stream, &stream->pend);
    switch (item->state) {
    case RILL__V1__CARRY__CARRY_GRANT:
    case RILL__V1__CARRY__CARRY_SIDE:
        gain(stream, link, item, now);
        break;
    case RILL__V1__CARRY__CARRY_TAKEN:
        unpark(stream, item->carrier, now);
        stream->hinted = false;
        stream->seek = SEEK_NONE;
        stream->backoff = now + span(self, AGAIN_MS);
        if (carrier >= 0 && is_side(self, carrier))
            try_side(stream, carrier, now);
        break;
    case RILL__V1__CARRY__CARRY_NOT:
        //  Whom a parent named and who does not is accused; a hint is not.
        if (is_side(self, link) && !stream->hinted)
            avoid(stream, link, SILENCE_MS, now);
        try_up(stream, now);
        break;
    default:
        unpark(stream, NULL, now);
        stream->seek = SEEK_NONE;
        stream->backoff = now + span(self, AGAIN_MS);
        break;
    }
}

static void
on_source(stream_t *stream, int link, const Rill__V1__Item *item, bool asked,
          millis_t now)
{
    relay_t *self = stream->node;
    int carrier = node_link(self, item->carrier);
    if (item->state == RILL__V1__CARRY__CARRY_NOT && is_side(self, link)) {
        lose(stream, NULL, now);
        stream->hinted = true;
        if (carrier >= 0 && is_side(self, carrier))
            try_side(stream, carrier, now);
        return;
    }
    if (!asked)
        return;
    if (item->state == RILL__V1__CARRY__CARRY_TAKEN) {
        //  Our lease lapsed: somebody else has it now.
        lose(stream, item->carrier, now);
        if (carrier >= 0 && is_side(self, carrier))
            try_side(stream, carrier, now);
    } else if (item->state == RILL__V1__CARRY__CARRY_GRANT) {
        stream->grant = item->grant;
        stream->topic = item->topic;
        hear(stream, link, item->topic);
        if (carrier >= 0 && stream->split <= now)
            try_yield(stream, carrier, now);
    } else if (item->state == RILL__V1__CARRY__CARRY_SIDE)
        hear(stream, link, item->topic);
}

//  A Kept told the head. What is published comes in order: as long as it comes,
//  however late, nothing behind it is lost.
static void
on_head(stream_t *stream, millis_t now)
{
    millis_t still = span(stream->node, STILL_MS);
    if (now - stream->latest_at < still)
        return;
    stream->told = stream->latest;
    if (now - stream->live_at >= still)
        stream->tail = stream->told;
    stream->latest = stream->head;
    stream->latest_at = now;
}

static void
on_item(relay_t *self, int link, uint64_t seq, const Rill__V1__Item *item,
        bool dead, millis_t now)
{
    stream_t *stream = node_stream(self, item->stream);
    if (!stream || !wants(stream, link))
        return;
    if (item->state == RILL__V1__CARRY__CARRY_UNKNOWN) {
        if (!is_side(self, link)) {
            lose(stream, NULL, now);
            stream->unknown = now + span(self, SILENCE_MS);
            lend_unfollow(stream, NULL, NULL);
            watch_failed(stream, 0, STATUS_UNKNOWN, 0, now);
        }
        return;
    }
    for (size_t i = 0; i < item->n_moments; i++)
        node_moment(stream, item->moments[i]->offset,
                    item->moments[i]->created_us, true);
    node_told(stream, item->first, item->head, item->sealed, item->as_of_us);
    if (stream->yield.link == link && seq >= stream->yield.seq)
        on_yield(stream, link, item, now);
    else if (stream->move.link == link && seq >= stream->move.seq)
        on_move(stream, link, item, dead, now);
    else if (stream->pend.link == link && seq >= stream->pend.seq)
        on_pend(stream, link, item, now);
    else if (stream->source == link)
        on_source(stream, link, item, seq > 0, now);
    on_head(stream, now);
    pursue_fill(stream, now);
    watch_pump(stream, now);
}

//  Whether the source of a stream has said nothing for too long.
static bool
is_dead(const stream_t *stream, millis_t now)
{
    const relay_t *self = stream->node;
    if (stream->source < 0)
        return false;
    const link_t *link = &self->links[stream->source];
    millis_t last = link->heard > stream->since ? link->heard : stream->since;
    return link->lost || now - last > span(self, SILENCE_MS);
}

static bool
is_source(const relay_t *self, int link)
{
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams))
        if (stream->source == link)
            return true;
    return false;
}

//  A Kept told the origin's clock, which goes forward. Far behind is who hears
//  nothing of it; but when a source's word goes on, and is, it was stepped.
static void
told_clock(relay_t *self, int at, micros_t told_us)
{
    link_t *link = &self->links[at];
    bool goes_on = told_us && link->now_us && told_us != link->now_us;
    link->now_us = told_us;
    if (told_us > self->now_us)
        self->now_us = told_us;
    if (!goes_on || self->now_us - told_us <= STEPPED_US ||
        !is_source(self, at))
        return;
    self->now_us = told_us;
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams))
        if (stream->as_of_us > told_us)
            stream->as_of_us = told_us;
}

void
follow_kept(relay_t *self, int at, const Rill__V1__Kept *kept, millis_t now)
{
    link_t *link = &self->links[at];
    //  Edges go down in tier, or sideways in one (17).
    if (is_side(self, at) ? kept->tier != self->settings.tier
                          : kept->tier >= self->settings.tier ||
                                !streq(kept->node, link->name)) {
        happened_fault(self, COUNTER_faults_total_misplaced, STATUS_KIND,
                       "link", "kept");
        return;
    }
    link->heard = now;
    link->lost = false;
    link->incarnation = kept->incarnation;
    snprintf(link->publish_at, sizeof link->publish_at, "%s", kept->publish_at);
    told_clock(self, at, kept->now_us);
    for (size_t i = 0; i < kept->n_items; i++) {
        stream_t *stream = node_stream(self, kept->items[i]->stream);
        bool dead = stream && stream->source >= 0 && is_dead(stream, now);
        on_item(self, at, kept->seq, kept->items[i], dead, now);
    }
}

void
follow_packet(relay_t *self, int sibling, const packet_t *packet, millis_t now)
{
    int link = (int)self->settings.parents_count + sibling;
    stream_t *stream = node_stream(self, packet->stream);
    bool live = packet->from == PACKET_LIVE;
    switch (packet->type) {
    case PACKET_WHO: {
        bool have = live ? stream && follow_carries(stream)
                         : window_next(self->window, packet->stream,
                                       packet->from) < packet->to ||
                               depot_next(self, packet->stream, packet->from) <
                                   packet->to;
        follow_cast(self, have ? PACKET_YES : PACKET_NO, link, packet->stream,
                    packet->from, packet->to);
        return;
    }
    case PACKET_YES:
    case PACKET_NO:
        happened_answered(self, link, packet);
        siblings_answer(self->siblings, sibling, packet, now);
        break;
    case PACKET_CARRY:
        break;
    }
    if (stream && stream->seek == SEEK_WHO)
        ask_siblings(stream, now);
    if (!stream || packet->type == PACKET_NO || !live ||
        !follow_carries(stream) || is_avoided(stream, link, now))
        return;
    rank_t theirs = { packet->place, packet->grant, self->links[link].name };
    if (beats(theirs, own_rank(stream)))
        try_yield(stream, link, now);
}

/*--------------------------------------------------------------------- time */

//  What was tried and not answered in time.
static void
late(stream_t *stream, millis_t now)
{
    relay_t *self = stream->node;
    if (stream->pend.due <= now) {
        int link = stream->pend.link;
        end(stream, &stream->pend);
        if (is_side(self, link)) {
            avoid(stream, link, AVOID_MS, now);
            try_up(stream, now);
        } else {
            stream->parent = (stream->parent + 1) %
                             self->settings.parents_count;
            unpark(stream, NULL, now);
            stream->seek = SEEK_NONE;
            stream->backoff = now + span(self, 20) +
                              (millis_t)(self->effects.random(self->with) %
                                         (uint64_t)span(self, 130));
        }
    }
    if (stream->yield.due <= now) {
        end(stream, &stream->yield);
        stream->split = now + span(self, SPLIT_MS);
    }
    if (stream->move.due <= now) {
        size_t next = ((size_t)stream->move.link + 1) %
                      self->settings.parents_count;
        end(stream, &stream->move);
        if (follow_carries(stream) && is_dead(stream, now)) {
            if (++stream->tried < self->settings.parents_count)
                begin(stream, &stream->move, (int)next, now);
            else
                lose(stream, NULL, now);
        }
    }
}

//  A source that is silent is left: a sibling at once, a parent for another
//  while the office is kept (16).
static void
leave_dead(stream_t *stream, millis_t now)
{
    relay_t *self = stream->node;
    if (is_side(self, stream->source)) {
        avoid(stream, stream->source, AVOID_MS, now);
        lose(stream, NULL, now);
    } else if (stream->move.link < 0) {
        stream->tried = 0;
        begin(
            stream, &stream->move,
            (int)(((size_t)stream->source + 1) % self->settings.parents_count),
            now);
    }
}

static void
go_idle(stream_t *stream, millis_t now)
{
    if (!stream->is_idle) {
        stream->is_idle = true;
        stream->idle = now;
    }
    if (stream->seek == SEEK_WHO)
        stream->seek = SEEK_NONE;  //  Nobody waits for what siblings say
    if (stream->lingers > now)
        return;
    stream->parent = 0;  //  Who begins anew begins with the best
    if (stream->source < 0 && stream->seek == SEEK_NONE)
        return;
    unpark(stream, NULL, now);
    lose(stream, NULL, now);
    stream->carrier = -1;
    stream->flowing = false;
    pursue_unwant(stream);
}

void
follow_sweep(stream_t *stream, millis_t now)
{
    relay_t *self = stream->node;
    if (self->root)
        return;
    late(stream, now);
    if (!follow_demand(stream, now)) {
        go_idle(stream, now);
        return;
    }
    stream->is_idle = false;
    //  Sessions linger, leases do not (15): below one cache there are others.
    if (stream->live_watchers || stream->asked_until > now)
        stream->lingers = now + span(self, LINGER_MS);
    if (stream->seek == SEEK_WHO)
        ask_siblings(stream, now);
    if (stream->source < 0) {
        if (stream->seek == SEEK_NONE && stream->backoff <= now)
            start(stream, now);
        return;
    }
    if (is_dead(stream, now)) {
        leave_dead(stream, now);
        return;
    }
    if (!follow_carries(stream))
        return;
    if (stream->source != 0 && stream->move.link < 0 &&
        stream->yield.link < 0 && now - stream->home > span(self, HOME_MS)) {
        stream->home = now;
        stream->tried = 0;
        begin(stream, &stream->move, 0, now);
    }
    if (now - stream->carried >= span(self, CARRY_MS)) {
        stream->carried = now;
        follow_cast(self, PACKET_CARRY, -1, stream->id, PACKET_LIVE,
                    PACKET_LIVE);
    }
}

millis_t
follow_due(const stream_t *stream)
{
    millis_t due = millis_least(stream->pend.due, stream->move.due);
    due = millis_least(due, stream->yield.due);
    if (stream->seek == SEEK_WHO)
        due = millis_least(due, stream->who_due);
    return due;
}
