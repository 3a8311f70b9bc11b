#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "live.h"
#include "story.h"

//  Peers: a node or viewer by number, in a life of it and of the one it talks
//  to, over one connection.
typedef struct {
    int number;  //  A viewer's is behind all nodes'
    unsigned life, other_life, connection;
} who_t;

static peer_t
peer_of(who_t who)
{
    peer_t peer = { .size = sizeof who };
    memcpy(peer.bytes, &who, sizeof who);
    return peer;
}

static who_t
who_of(const peer_t *peer)
{
    who_t who;
    memcpy(&who, peer->bytes, sizeof who);
    return who;
}

static unsigned
life_of(const live_t *live, int number)
{
    return number < live->nodes ? live->node[number].life
                                : live->viewer[number - live->nodes].life;
}

static bool
is_viewers(const live_t *live, int from, int to)
{
    return from >= live->nodes || to >= live->nodes;
}

static bool
is_cut(live_t *live, int a, int b)
{
    return !is_viewers(live, a, b) &&
           (live_way(live, a, b)->cut || live_way(live, b, a)->cut);
}

//  Whose connection it is: of who asks and hears.
static unsigned
connection_of(live_t *live, letter_kind_t kind, int from, int to)
{
    if (is_viewers(live, from, to) || kind == LETTER_PACKET)
        return 0;
    return kind == LETTER_FRONT ? live_way(live, from, to)->connection
                                : live_way(live, to, from)->connection;
}

static void
free_letter(live_letter_t *letter)
{
    buffer_unref(&letter->head);
    buffer_unref(&letter->payload);
    free(letter);
}

//  Whether it is still subscribed to: what comes later is dropped by a SUB.
static bool
hears(const live_letter_t *letter)
{
    const live_node_t *node = &letter->live->node[letter->from];
    for (size_t i = 0; i < node->subs_count; i++)
        if (node->subs[i].from == letter->to &&
            node->subs[i].stream == letter->stream &&
            node->subs[i].topic == letter->topic)
            return true;
    return false;
}

static void
open_letter(live_letter_t *letter)
{
    live_t *live = letter->live;
    message_t *message = NULL;
    if (letter->head) {
        status_t status = message_unpack(buffer_bytes(letter->head),
                                         buffer_size(letter->head), &message);
        INVARIANT(status == STATUS_OK);
    }
    if (letter->to >= live->nodes) {
        live_heard(live, &live->viewer[letter->to - live->nodes], message,
                   letter->payload);
        message_free(&message);
        return;
    }
    live_node_t *node = &live->node[letter->to];
    millis_t now = live_now(live);
    story_tell("%s <- %d: %s", node->name, letter->from,
               message ? message_kind(message) : "packet");
    switch (letter->kind) {
    case LETTER_FRONT: {
        peer_t peer = peer_of((who_t){ letter->from, letter->from_life,
                                       letter->to_life, letter->connection });
        check_kept(live, letter->to, letter->from, message);
        bool ours = node->group < 0 && live_root_front(node, &peer, message);
        if (!ours)
            relay_on_front(node->relay, &peer, message, now);
        break;
    }
    case LETTER_LINK:
        check_answered(live, letter->to, letter->from, message);
        relay_on_link(node->relay, live_link(node, letter->from), message,
                      letter->payload, now);
        break;
    case LETTER_PUBLISHED:
        if (hears(letter))
            check_entered(live, letter->from, letter->stream, letter->to,
                          message->flow->chunk->offset);
        relay_on_published(node->relay, live_link(node, letter->from),
                           letter->stream, letter->topic, message,
                           letter->payload, now);
        break;
    case LETTER_PACKET:
        relay_on_packet(node->relay, &letter->packet, now);
        break;
    }
    message_free(&message);
    live_after(node);
}

static void
deliver(live_letter_t *letter)
{
    live_t *live = letter->live;
    bool lives = life_of(live, letter->to) == letter->to_life &&
                 (letter->to >= live->nodes || live->node[letter->to].relay) &&
                 letter->connection == connection_of(live, letter->kind,
                                                     letter->from, letter->to);
    if (lives && letter->to < live->nodes && live->node[letter->to].hung) {
        live_node_t *node = &live->node[letter->to];
        letter->next = NULL;
        *(node->last ? &node->last->next : &node->first) = letter;
        node->last = letter;
        return;
    }
    if (lives && !is_cut(live, letter->from, letter->to))
        open_letter(letter);
    free_letter(letter);
}

static void
on_letter(void *arg, bool happens)
{
    live_letter_t *letter = arg;
    if (!happens) {
        free_letter(letter);
        return;
    }
    story_time(agenda_now(letter->live->agenda));
    deliver(letter);
}

//  Near: in one group, or a viewer.
static int64_t
delay(live_t *live, int from, int to)
{
    bool near = is_viewers(live, from, to) ||
                live->node[from].group == live->node[to].group;
    int64_t took = near ? dice_between(&live->dice, 200, 1000)
                        : dice_between(&live->dice, 3000, 12000);
    bool slow = !is_viewers(live, from, to) &&
                (live_way(live, from, to)->slow ||
                 live_way(live, to, from)->slow);
    return slow ? 20 * took : took;
}

//  When the last came that went that way over the same socket.
static int64_t *
last_of(live_t *live, letter_kind_t kind, int from, int to)
{
    if (from >= live->nodes)
        return &live->viewer[from - live->nodes].from_us;
    if (to >= live->nodes)
        return &live->viewer[to - live->nodes].to_us;
    live_way_t *way = live_way(live, from, to);
    return kind == LETTER_PUBLISHED ? &way->published_us : &way->said_us;
}

live_letter_t *
live_post(live_t *live, letter_kind_t kind, int from, int to,
          const message_t *message, buffer_t *payload)
{
    live_letter_t *letter = calloc(1, sizeof *letter);
    INVARIANT(letter);
    *letter = (live_letter_t){ .live = live,
                               .kind = kind,
                               .from = from,
                               .to = to,
                               .from_life = life_of(live, from),
                               .to_life = life_of(live, to),
                               .connection = connection_of(live, kind, from,
                                                           to),
                               .payload = buffer_ref(payload) };
    if (message) {
        letter->head = message_pack(message);
        if (!letter->head)
            story_breach(18, "a %s is over the limit of a head",
                         message_kind(message));
        if (message_has_payload(message) != (payload != NULL))
            story_breach(0, "a %s with%s payload", message_kind(message),
                         payload ? "" : "out");
    }
    //  What goes one way over one socket stays in order.
    int64_t now = agenda_now(live->agenda), at = now + delay(live, from, to);
    if (kind == LETTER_PACKET &&
        dice_chance(&live->dice, live->multicast_late)) {
        at += dice_between(&live->dice, 1000, 50000);
        story_count("packet overtaken", 1);
    }
    if (kind != LETTER_PACKET) {
        int64_t *last = last_of(live, kind, from, to);
        at = at > *last ? at : *last + 1;
        *last = at;
    }
    agenda_add(live->agenda, at - now, on_letter, letter);
    return letter;
}

/*------------------------------------------------------------- what is said */

status_t
live_send(void *with, const peer_t *peer, const message_t *message,
          buffer_t *payload)
{
    live_node_t *node = with;
    live_t *live = node->live;
    who_t who = who_of(peer);
    if (who.other_life != node->life || who.life != life_of(live, who.number) ||
        who.connection !=
            connection_of(live, LETTER_LINK, node->number, who.number))
        return STATUS_UNREACHABLE;
    live_post(live, LETTER_LINK, node->number, who.number, message, payload);
    return STATUS_OK;
}

void
live_say(live_t *live, int viewer, int node, const message_t *message)
{
    if (live->node[node].relay)
        live_post(live, LETTER_FRONT, live->nodes + viewer, node, message,
                  NULL);
}

void
live_open_backlog(live_node_t *node)
{
    live_letter_t *letter = node->first;
    node->first = node->last = NULL;
    while (letter) {
        live_letter_t *next = letter->next;
        deliver(letter);
        letter = next;
    }
}

void
live_drop_backlog(live_node_t *node)
{
    for (live_letter_t *letter = node->first, *next; letter; letter = next) {
        next = letter->next;
        free_letter(letter);
    }
    node->first = node->last = NULL;
}
