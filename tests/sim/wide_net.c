/*  Nodes of a wide tree, what they say to each other, and their lives.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "wide.h"

typedef enum { UP, DOWN, PUBLISHED, PACKET } letter_kind_t;

typedef struct {
    letter_kind_t kind;
    int child, link;  //  Whose way it goes, and which; who is sent a packet
    unsigned child_life, parent_life, connection;
    uint64_t stream, topic;
    packet_t packet;
    buffer_t *head, *payload;
} letter_t;

static void
check_quiet(const wide_node_t *node)
{
    if (agenda_now(wide.agenda) > WIDE_QUIET_US)
        wide_breach(16, "%s says something, and nobody has watched for 12 s",
                    node->name);
}

/*----------------------------------------------------------- what is in the air */

static void
free_letter(letter_t *letter)
{
    buffer_unref(&letter->head);
    buffer_unref(&letter->payload);
    free(letter);
}

peer_t
wide_peer(wide_who_t who)
{
    peer_t peer = { .size = sizeof who };
    memcpy(peer.bytes, &who, sizeof who);
    return peer;
}

static bool
subscribes(const letter_t *letter)
{
    const wide_node_t *child = &wide.node[letter->child];
    const wide_node_t *parent = &wide.node[child->way[letter->link].node];
    const wide_subs_t *subs = &parent->subs[letter->stream - 1];
    for (size_t i = 0; i < subs->count; i++)
        if (subs->list[i].child == child->number &&
            subs->list[i].topic == letter->topic)
            return true;
    return false;
}

static wide_spent_t
kind_of(const message_t *message)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_KEEP:
    case RILL__V1__MESSAGE__BODY_KEPT:
        return SPENT_KEEP;
    case RILL__V1__MESSAGE__BODY_ASK:
    case RILL__V1__MESSAGE__BODY_ANSWER:
        return SPENT_CHUNKED;
    default:
        return SPENT_JOIN;
    }
}

//  A copy that comes into a group from above.
static void
entered(wide_node_t *child, int from, const Rill__V1__ChunkHeader *header,
        bool asked)
{
    int stream = (int)header->stream - 1;
    if (wide.node[from].group == child->group)
        return;
    uint64_t chunk = header->offset / WIDE_CHUNK;
    (*wide_copies(asked ? wide.answered : wide.copies, stream, chunk,
                  child->group))++;
}

static void
open_letter(letter_t *letter, wide_node_t *child, wide_node_t *parent)
{
    message_t *message = NULL;
    if (letter->head) {
        status_t status = message_unpack(buffer_bytes(letter->head),
                                         buffer_size(letter->head), &message);
        INVARIANT(status == STATUS_OK);
        wide.at = letter->kind == PUBLISHED ? SPENT_CHUNKED : kind_of(message);
        wide.messages += wide.at == SPENT_JOIN;
    }
    millis_t now = wide_now();
    if (letter->kind == UP) {
        peer_t peer = wide_peer((wide_who_t){ letter->child, letter->link, -1,
                                              letter->child_life,
                                              letter->connection });
        if (wide.at == SPENT_KEEP) {
            wide.times[SPENT_KEEP]++;
            wide.wants += message->keep->n_wants;
            if (!parent->number)
                wide.origin_wants += message->keep->n_wants;
        }
        if (parent->number || !wide_root_front(&peer, message))
            relay_on_front(parent->relay, &peer, message, now);
    } else if (letter->kind == DOWN) {
        if (message->body_case == RILL__V1__MESSAGE__BODY_ANSWER)
            entered(child, parent->number, message->answer->chunk, true);
        relay_on_link(child->relay, letter->link, message, letter->payload,
                      now);
    } else if (letter->kind == PUBLISHED && subscribes(letter)) {
        entered(child, parent->number, message->flow->chunk, false);
        wide.times[SPENT_CHUNKED]++;
        relay_on_published(child->relay, letter->link, letter->stream,
                           letter->topic, message, letter->payload, now);
    } else if (letter->kind == PACKET)
        relay_on_packet(child->relay, &letter->packet, now);
    message_free(&message);
}

static void
on_letter(void *arg, bool happens)
{
    letter_t *letter = arg;
    wide_node_t *child = &wide.node[letter->child];
    const wide_way_t *way = &child->way[letter->link];
    wide_node_t *parent = &wide.node[way->node];
    bool packet = letter->kind == PACKET;
    wide.events++;
    if (happens && child->relay && child->life == letter->child_life &&
        (packet || (parent->relay && parent->life == letter->parent_life &&
                    way->connection == letter->connection))) {
        wide_node_t *to = letter->kind == UP ? parent : child;
        int64_t begun = wide.spent_ns[SPENT_KEEP];
        wide_turn_to(packet && letter->packet.type != PACKET_CARRY
                         ? SPENT_JOIN
                         : SPENT_PACKETS);
        open_letter(letter, child, parent);
        wide_turn_to(SPENT_OWN);
        if (to->number == 0 && wide.spent_ns[SPENT_KEEP] != begun) {
            wide.origin_ns += wide.spent_ns[SPENT_KEEP] - begun;
            wide.origin_keeps++;
        }
        //  What these make due is no sooner than the next tick.
        if (letter->kind != PUBLISHED &&
            !(packet && letter->packet.type == PACKET_CARRY))
            wide_after(to);
    }
    free_letter(letter);
}

static letter_t *
post(letter_kind_t kind, wide_node_t *child, int link, buffer_t *head,
     buffer_t *payload)
{
    wide_way_t *way = &child->way[link];
    const wide_node_t *parent = &wide.node[way->node];
    letter_t *letter = malloc(sizeof *letter);
    INVARIANT(letter);
    *letter = (letter_t){ .kind = kind,
                          .child = child->number,
                          .link = link,
                          .child_life = child->life,
                          .parent_life = parent->life,
                          .connection = way->connection,
                          .head = head,
                          .payload = buffer_ref(payload) };
    int64_t now = agenda_now(wide.agenda), at = now;
    at += parent->group == child->group ? dice_between(&wide.dice, 200, 1000)
                                        : dice_between(&wide.dice, 3000, 12000);
    int64_t *last = kind == UP     ? &way->up_us
                    : kind == DOWN ? &way->down_us
                                   : &way->published_us;
    if (kind != PACKET) {
        at = at > *last ? at : *last + 1;
        *last = at;
    }
    agenda_add(wide.agenda, at - now, on_letter, letter);
    return letter;
}

/*--------------------------------------------------------------------- effects */

status_t
wide_send(void *with, const peer_t *peer, const message_t *message,
          buffer_t *payload)
{
    wide_node_t *node = with;
    wide_who_t who;
    memcpy(&who, peer->bytes, sizeof who);
    if (who.session >= 0) {
        wide_spent_t was = wide_turn_to(SPENT_OWN);
        wide_session_t *session = &wide.session[who.session];
        if (session->at == node->number && session->request == message->request)
            wide_heard(session, message, payload);
        wide_turn_to(was);
        return STATUS_OK;
    }
    check_quiet(node);
    wide_node_t *child = &wide.node[who.child];
    if (child->relay && child->life == who.life &&
        child->way[who.link].connection == who.connection) {
        buffer_t *head = message_pack(message);
        wide_spent_t was = wide_turn_to(SPENT_OWN);
        post(DOWN, child, who.link, head, payload);
        wide_turn_to(was);
    }
    return STATUS_OK;
}

static status_t
tell(void *with, int link, const message_t *message)
{
    wide_node_t *node = with;
    check_quiet(node);
    if (!wide.node[node->way[link].node].relay)
        return STATUS_OK;
    buffer_t *head = message_pack(message);
    wide_spent_t was = wide_turn_to(SPENT_OWN);
    post(UP, node, link, head, NULL);
    wide_turn_to(was);
    return STATUS_OK;
}

static void
hang_up(void *with, int link)
{
    wide_node_t *node = with;
    node->way[link].connection++;
}

static void
subscribe(void *with, int link, const char *publish_at, uint64_t stream,
          uint64_t topic, bool on)
{
    wide_node_t *node = with;
    wide_node_t *parent = &wide.node[node->way[link].node];
    wide_subs_t *subs = &parent->subs[stream - 1];
    for (size_t i = subs->count; i-- > 0;)
        if (subs->list[i].child == node->number &&
            (subs->list[i].topic == topic ||
             subs->list[i].child_life != node->life))
            subs->list[i] = subs->list[--subs->count];
    //  Of a life before: nobody is there.
    if (!on || strcmp(publish_at, parent->publish_at) != 0 || !parent->relay)
        return;
    if (subs->count == subs->room) {
        subs->room = 2 * subs->room + 4;
        subs->list = realloc(subs->list, subs->room * sizeof *subs->list);
        INVARIANT(subs->list);
    }
    subs->list[subs->count++] = (wide_sub_t){ topic, node->number, link,
                                              node->life };
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    wide_node_t *node = with;
    const wide_subs_t *subs = &node->subs[stream - 1];
    check_quiet(node);
    buffer_t *head = message_pack(message);
    wide_spent_t was = wide_turn_to(SPENT_OWN);
    for (size_t i = 0; i < subs->count; i++) {
        const wide_sub_t *sub = &subs->list[i];
        wide_node_t *child = &wide.node[sub->child];
        if (sub->topic != topic || sub->child_life != child->life ||
            !child->relay)
            continue;
        letter_t *letter = post(PUBLISHED, child, sub->link, buffer_ref(head),
                                payload);
        letter->stream = stream;
        letter->topic = topic;
        if (!node->number && wide_between(WIDE_CALM_US, WIDE_LOST_US))
            wide.origin_copies++;
    }
    buffer_unref(&head);
    wide_turn_to(was);
}

static void
cast(void *with, int link, const packet_t *packet)
{
    wide_node_t *node = with;
    check_quiet(node);
    wide_spent_t was = wide_turn_to(SPENT_OWN);
    const wide_group_t *group = &wide.group[node->group];
    size_t parents = node->settings.parents_count;
    for (size_t i = parents; i < parents + node->settings.siblings_count; i++) {
        wide_node_t *other = &wide.node[node->way[i].node];
        if ((link >= 0 && link != (int)i) || !other->relay)
            continue;
        //  Its link to us: a group's members are in a row, without itself.
        int place = node->number - group->first;
        int back = (int)parents + place - (node->number > other->number);
        post(PACKET, other, back, NULL, NULL)->packet = *packet;
    }
    wide_turn_to(was);
}

static uint64_t
chance(void *with)
{
    (void)with;
    return dice_next(&wide.dice);
}

static void
note(void *with, const char *text)
{
    (void)with, (void)text;
}

/*----------------------------------------------------------------------- lives */

typedef struct {
    wide_node_t *node;
    unsigned life;
    int64_t at_us;
    int link;
} planned_t;

static planned_t *
event(wide_node_t *node, int64_t at_us, int link)
{
    planned_t *made = malloc(sizeof *made);
    INVARIANT(made);
    *made = (planned_t){ node, node->life, at_us, link };
    return made;
}

static void
on_wake(void *arg, bool happens)
{
    planned_t *wake = arg;
    wide_node_t *node = wake->node;
    //  An earlier one was asked for since, or it died.
    bool current = happens && node->relay && node->life == wake->life &&
                   node->wake_us == wake->at_us;
    free(wake);
    if (!current)
        return;
    node->wake_us = INT64_MAX;
    wide_turn_to(SPENT_TICK);
    wide.times[SPENT_TICK]++;
    if (relay_due(node->relay) <= wide_now())
        relay_sweep(node->relay, wide_now());
    wide_turn_to(SPENT_OWN);
    wide_after(node);
}

void
wide_after(wide_node_t *node)
{
    if (!node->relay)
        return;
    wide_turn_to(SPENT_TICK);
    millis_t due = relay_due(node->relay);
    wide_turn_to(SPENT_OWN);
    if (due == MILLIS_NEVER)
        return;
    int64_t now = agenda_now(wide.agenda), at = (due - 1000) * 1000;
    at = at > now + 500 ? at : now + 500;
    if (at >= node->wake_us)
        return;
    node->wake_us = at;
    agenda_add(wide.agenda, at - now, on_wake, event(node, at, -1));
}

void
wide_start(wide_node_t *node)
{
    static const relay_effects_t EFFECTS = {
        .send = wide_send,
        .tell = tell,
        .hang_up = hang_up,
        .subscribe = subscribe,
        .publish = publish,
        .cast = cast,
        .random = chance,
        .fetch = wide_fetch,
        .locate = wide_locate,
        .look = wide_look,
        .note = note,
    };
    node->life++;
    node->wake_us = INT64_MAX;
    snprintf(node->publish_at, sizeof node->publish_at, "tcp://%s:%u",
             node->name, node->life);
    node->settings.incarnation = node->life;
    node->relay = relay_new(&node->settings, &EFFECTS, node, wide_now());
}

static void
on_broken(void *arg, bool happens)
{
    planned_t *broken = arg;
    wide_node_t *node = broken->node;
    if (happens && node->relay && node->life == broken->life) {
        node->way[broken->link].connection++;
        relay_on_disconnect(node->relay, broken->link, wide_now());
        wide_after(node);
    }
    free(broken);
}

void
wide_lose(wide_node_t *node)
{
    relay_destroy(&node->relay);
    for (int i = 0; i < WIDE_STREAMS; i++)
        node->subs[i].count = 0;
    for (int i = 0; i < wide.nodes; i++) {
        wide_node_t *other = &wide.node[i];
        size_t links = other->settings.parents_count +
                       other->settings.siblings_count;
        for (size_t l = 0; l < links; l++)
            if (other->way[l].node == node->number && other->relay)
                agenda_add(wide.agenda, dice_between(&wide.dice, 500, 5000),
                           on_broken, event(other, 0, (int)l));
    }
    for (int i = 0; i < wide.sessions; i++)
        if (wide.session[i].at == node->number) {
            wide.session[i].lost = true;
            wide_go_elsewhere(i);
        }
}
