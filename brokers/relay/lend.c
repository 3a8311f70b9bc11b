/*  Who takes a stream from this node: children, each group through the one that
 *  was granted it; and siblings, while this node carries it.
 */
#include "invariant.h"
#include "node.h"

enum { MOMENTS_SAID = 4, FOLLOWERS_MOST = SIBLINGS_MOST };

/*--------------------------------------------------------------- what is said */

typedef struct {
    Rill__V1__Item item;
    Rill__V1__Moment moments[MOMENTS_SAID];
    Rill__V1__Moment *list[MOMENTS_SAID];
    char carrier[LIMIT_NAME_BYTES + 1];
} item_said_t;

static void
fill_item(const stream_t *stream, item_said_t *said)
{
    Rill__V1__Item *item = &said->item;
    item->head = stream->head;
    item->first = stream->first;
    item->sealed = stream->sealed;
    item->as_of_us = stream->as_of_us;
    //  The oldest, the newest and some between: they add up over time.
    size_t count = stream->moments_count;
    for (size_t i = 0; i < MOMENTS_SAID && i < count; i++) {
        size_t at = count <= MOMENTS_SAID
                        ? i
                        : i * (count - 1) / (MOMENTS_SAID - 1);
        rill__v1__moment__init(&said->moments[i]);
        said->moments[i].offset = stream->moments[at].offset;
        said->moments[i].created_us = stream->moments[at].created_us;
        said->list[item->n_moments++] = &said->moments[i];
    }
    item->moments = said->list;
}

static void
send_kept(relay_t *self, const peer_t *peer, uint64_t seq,
          Rill__V1__Item **items, size_t count)
{
    Rill__V1__Kept kept = RILL__V1__KEPT__INIT;
    kept.seq = seq;
    kept.node = message_lend(self->settings.node);
    kept.tier = self->settings.tier;
    kept.incarnation = self->incarnation;
    kept.publish_at = message_lend(self->settings.publish_at);
    kept.now_us = self->now_us;
    kept.items = items;
    kept.n_items = count;
    message_t message = MESSAGE(KEPT, kept, &kept, 0, 0);
    (void)self->effects.send(self->with, peer, &message, NULL);
}

void
lend_say(stream_t *stream, const peer_t *peer, uint64_t seq,
         Rill__V1__Carry state, const char *carrier)
{
    item_said_t said;
    rill__v1__item__init(&said.item);
    said.item.stream = stream->id;
    said.item.state = state;
    said.item.topic = stream->side_topic;
    if (carrier)
        said.item.carrier = message_lend(carrier);
    fill_item(stream, &said);
    Rill__V1__Item *list = &said.item;
    send_kept(stream->node, peer, seq, &list, 1);
}

/*------------------------------------------------------------------- siblings */

static follower_t *
follower_of(stream_t *stream, const char *node)
{
    for (size_t i = 0; i < stream->followers_count; i++)
        if (streq(stream->followers[i].node, node))
            return &stream->followers[i];
    return NULL;
}

static void
drop_follower(stream_t *stream, follower_t *follower)
{
    *follower = stream->followers[--stream->followers_count];
}

bool
lend_follower(stream_t *stream, const follower_t *who, bool ranked,
              const Rill__V1__Rank *rank, millis_t now)
{
    relay_t *self = stream->node;
    if (!follow_carries(stream))
        return false;
    if (ranked) {
        //  One who carries too would yield: only to a better one that stays.
        bool better = (size_t)stream->source < rank->place ||
                      ((size_t)stream->source == rank->place &&
                       (stream->grant > rank->grant ||
                        (stream->grant == rank->grant &&
                         strcmp(self->settings.node, who->node) > 0)));
        if (!better || stream->yield.link >= 0)
            return false;
    }
    follower_t *follower = follower_of(stream, who->node);
    if (!follower) {
        if (stream->followers_count == FOLLOWERS_MOST)
            return false;
        stream->followers = realloc(stream->followers,
                                    (stream->followers_count + 1) *
                                        sizeof *stream->followers);
        INVARIANT(stream->followers);
        follower = &stream->followers[stream->followers_count++];
    }
    *follower = *who;
    follower->expires = now + span(self, GRANTS_LEASE_MS);
    return true;
}

void
lend_unfollow(stream_t *stream, const char *try, const char *but)
{
    for (size_t i = 0; i < stream->followers_count; i++)
        if (!but || !streq(stream->followers[i].node, but))
            lend_say(stream, &stream->followers[i].peer, 0,
                     RILL__V1__CARRY__CARRY_NOT, try);
    stream->followers_count = 0;
}

void
lend_sweep(stream_t *stream, millis_t now)
{
    for (size_t i = stream->followers_count; i-- > 0;)
        if (stream->followers[i].expires <= now)
            drop_follower(stream, &stream->followers[i]);
}

//  The sibling's keep is to be answered when our own is.
static void
park(stream_t *stream, const follower_t *who, uint64_t seq)
{
    if (stream->parked_count == FOLLOWERS_MOST)
        return;
    stream->parked = realloc(stream->parked, (stream->parked_count + 1) *
                                                 sizeof *stream->parked);
    INVARIANT(stream->parked);
    stream->parked[stream->parked_count++] = (parked_t){ *who, seq };
}

//  One want of a sibling. False: it is answered later.
static bool
side_want(relay_t *self, const follower_t *who, uint64_t seq,
          const Rill__V1__Want *want, item_said_t *said, millis_t now)
{
    stream_t *stream = node_stream(self, want->stream);
    rill__v1__item__init(&said->item);
    said->item.stream = want->stream;
    said->item.state = RILL__V1__CARRY__CARRY_NOT;
    if (!stream)
        return true;
    if (stream->source < 0 && stream->seek == SEEK_UP && !want->rank) {
        park(stream, who, seq);
        return false;
    }
    if (lend_follower(stream, who, want->rank != NULL, want->rank, now)) {
        said->item.state = RILL__V1__CARRY__CARRY_SIDE;
        said->item.topic = stream->side_topic;
        stream->is_idle = false;
    } else if (stream->source >= 0 && is_side(self, stream->source))
        said->item.carrier = message_lend(self->links[stream->source].name);
    fill_item(stream, said);
    return true;
}

//  What a sibling does not list any more it does not follow.
static void
forget_unlisted(relay_t *self, const Rill__V1__Keep *keep)
{
    for (stream_t *stream = zhashx_first(self->streams); stream;
         stream = zhashx_next(self->streams)) {
        follower_t *follower = follower_of(stream, keep->node);
        bool listed = false;
        for (size_t i = 0; follower && i < keep->n_wants && !listed; i++)
            listed = keep->wants[i]->stream == stream->id;
        if (follower && (!listed || follower->incarnation != keep->incarnation))
            drop_follower(stream, follower);
    }
}

/*------------------------------------------------------------------- children */

//  What this node knows of a stream a child wants; a cache begins to want it.
static stream_t *
child_stream(relay_t *self, uint64_t id, status_t *status_r)
{
    relay_facts_t facts;
    *status_r = STATUS_OK;
    if (self->root)
        *status_r = self->effects.look(self->with, NULL, id, &facts);
    if (*status_r != STATUS_OK)
        return NULL;
    stream_t *stream = node_open_stream(self, id, self->root);
    if (stream && self->root)
        node_told(stream, facts.first, facts.head, facts.sealed, facts.now_us);
    return stream;
}

static void
child_want(relay_t *self, const grants_child_t *child,
           const Rill__V1__Want *want, item_said_t *said, millis_t now)
{
    rill__v1__item__init(&said->item);
    said->item.stream = want->stream;
    status_t status;
    stream_t *stream = child_stream(self, want->stream, &status);
    said->item.state = status == STATUS_UNKNOWN ||
                               (stream && stream->unknown > now)
                           ? RILL__V1__CARRY__CARRY_UNKNOWN
                           : RILL__V1__CARRY__CARRY_WAIT;
    if (!stream || stream->unknown > now)
        return;
    const grant_t *grant, *other;
    switch (grants_keep(
        self->grants, want->stream, child, want->next, stream->head, want->not_,
        want->n_not_, self->effects.random(self->with), now, &grant, &other)) {
    case GRANTS_GRANT:
        said->item.state = RILL__V1__CARRY__CARRY_GRANT;
        said->item.topic = grant->topic;
        said->item.grant = grant->number;
        break;
    case GRANTS_TAKEN:
        said->item.state = RILL__V1__CARRY__CARRY_TAKEN;
        break;
    case GRANTS_BUSY:
        said->item.state = RILL__V1__CARRY__CARRY_WAIT;
        break;
    }
    if (other) {
        snprintf(said->carrier, sizeof said->carrier, "%s", other->node);
        said->item.carrier = said->carrier;
    }
    fill_item(stream, said);
    if (stream->source < 0)
        follow_hurry(stream, now);
}

void
lend_keep(relay_t *self, const peer_t *peer, const message_t *message,
          millis_t now)
{
    const Rill__V1__Keep *keep = message->keep;
    bool side = keep->side;
    //  A circle cannot be: edges go down, or sideways within a group.
    if (keep->n_wants > WANTS_MOST || strlen(keep->node) > LIMIT_NAME_BYTES ||
        strlen(keep->group) > LIMIT_NAME_BYTES ||
        (side ? !streq(keep->group, self->settings.group) ||
                    keep->tier != self->settings.tier || self->root
              : keep->tier <= self->settings.tier)) {
        counters_up(&self->counters, COUNTER_faults_total_misplaced);
        node_refuse(self, peer, message->request, message->trace,
                    STATUS_ARGUMENT, NULL, 0);
        return;
    }
    grants_child_t child = { keep->node, keep->group, keep->incarnation, peer };
    follower_t who = { .incarnation = keep->incarnation, .peer = *peer };
    snprintf(who.node, sizeof who.node, "%s", keep->node);
    item_said_t *said = zmalloc((keep->n_wants + 1) * sizeof *said);
    Rill__V1__Item **items = zmalloc((keep->n_wants + 1) * sizeof *items);
    size_t count = 0;
    if (side)
        forget_unlisted(self, keep);
    else
        grants_list(self->grants);
    for (size_t i = 0; i < keep->n_wants; i++) {
        const Rill__V1__Want *want = keep->wants[i];
        who.next = want->next;
        bool now_said = true;
        if (side)
            now_said = side_want(self, &who, keep->seq, want, &said[count],
                                 now);
        else
            child_want(self, &child, want, &said[count], now);
        if (now_said) {
            items[count] = &said[count].item;
            count++;
        }
    }
    if (!side)
        grants_listed(self->grants, &child);
    if (count)
        send_kept(self, peer, keep->seq, items, count);
    free(items);
    free(said);
}

/*------------------------------------------------------------------ publishing */

typedef struct {
    stream_t *stream;
    const flights_chunk_t *chunk;
    const message_t *message;
    uint64_t end;
    size_t receivers;
} edition_t;

static void
publish_to(void *with, uint64_t stream, const grant_t *grant)
{
    edition_t *edition = with;
    relay_t *self = edition->stream->node;
    if (grant->next >= edition->end)
        return;
    edition->receivers++;
    counters_up(&self->counters, COUNTER_chunks_published_total);
    node_gave(self, stream, edition->chunk->header->length);
    self->effects.publish(self->with, stream, grant->topic, edition->message,
                          edition->chunk->payload);
}

void
lend_publish(stream_t *stream, const flights_chunk_t *chunk)
{
    relay_t *self = stream->node;
    grants_sweep(self->grants, self->now);
    lend_sweep(stream, self->now);
    if (!stream->followers_count && !grants_of(self->grants, stream->id))
        return;
    chunk_on_wire_t wire;
    message_from_chunk(chunk->header, &wire);
    Rill__V1__Flow flow = RILL__V1__FLOW__INIT;
    flow.chunk = &wire.header;
    flow.from = chunk->header->offset;
    flow.route = chunk->route;
    flow.now_us = stream->as_of_us;
    message_t message = MESSAGE(FLOW, flow, &flow, 0, 0);
    edition_t edition = { stream, chunk, &message,
                          chunk->header->offset + chunk->header->length, 0 };
    grants_each(self->grants, stream->id, publish_to, &edition);
    bool behind = false;
    for (size_t i = 0; i < stream->followers_count; i++)
        behind = behind || stream->followers[i].next < edition.end;
    if (behind && follow_carries(stream)) {
        counters_up(&self->counters, COUNTER_chunks_published_total);
        node_gave(self, stream->id,
                  stream->followers_count * chunk->header->length);
        edition.receivers += stream->followers_count;
        self->effects.publish(self->with, stream->id, stream->side_topic,
                              &message, chunk->payload);
    }
    happened_published(stream, chunk->header, edition.receivers);
}
