#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "live.h"
#include "story.h"

//  Peers: a node or viewer by number, in a life of it and of the one it talks
//  to, over one connection.
typedef struct {
    int number;  //  A viewer's is LIVE_NODES and more
    unsigned life, other_life, connection;
} who_t;

struct live_letter {
    live_t *live;
    letter_kind_t kind;
    int from, to;
    unsigned from_life, to_life, connection;
    uint64_t stream, topic;
    packet_t packet;
    buffer_t *head, *payload;
    live_letter_t *next;
};

millis_t
live_now(const live_t *live)
{
    return agenda_now(live->agenda) / 1000 + 1000;
}

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
    return number < LIVE_NODES ? live->node[number].life
                               : live->viewer[number - LIVE_NODES].life;
}

static bool
is_cut(const live_t *live, int a, int b)
{
    return a < LIVE_NODES && b < LIVE_NODES &&
           (live->cut[a][b] || live->cut[b][a]);
}

//  Whose connection it is: of who asks and hears.
static unsigned
connection_of(const live_t *live, letter_kind_t kind, int from, int to)
{
    if (from >= LIVE_NODES || to >= LIVE_NODES || kind == LETTER_PACKET)
        return 0;
    return kind == LETTER_FRONT ? live->connection[from][to]
                                : live->connection[to][from];
}

static void
free_letter(live_letter_t *letter)
{
    buffer_unref(&letter->head);
    buffer_unref(&letter->payload);
    free(letter);
}

static int
link_of(const live_node_t *node, int to)
{
    size_t links = node->settings.parents_count + node->settings.siblings_count;
    for (size_t i = 0; i < links; i++)
        if (node->link_node[i] == to)
            return (int)i;
    return -1;
}

//  Whether it is still subscribed to: what comes later is dropped by a SUB.
static bool
hears(const live_t *live, const live_letter_t *letter)
{
    for (size_t i = 0; i < live->subs_count; i++)
        if (live->subs[i].from == letter->to &&
            live->subs[i].to == letter->from &&
            live->subs[i].stream == letter->stream &&
            live->subs[i].topic == letter->topic)
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
    if (letter->to >= LIVE_NODES) {
        live_heard(live, &live->viewer[letter->to - LIVE_NODES], message,
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
        relay_on_link(node->relay, link_of(node, letter->from), message,
                      letter->payload, now);
        break;
    case LETTER_PUBLISHED:
        if (hears(live, letter))
            check_entered(live, letter->from, letter->stream, letter->to,
                          message->flow->chunk->offset);
        relay_on_published(node->relay, link_of(node, letter->from),
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
                 (letter->to >= LIVE_NODES || live->node[letter->to].relay) &&
                 letter->connection == connection_of(live, letter->kind,
                                                     letter->from, letter->to);
    if (lives && letter->to < LIVE_NODES && live->node[letter->to].hung) {
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
    bool near = from >= LIVE_NODES || to >= LIVE_NODES ||
                live->node[from].group == live->node[to].group;
    int64_t took = near ? dice_between(&live->dice, 200, 1000)
                        : dice_between(&live->dice, 3000, 12000);
    bool slow = from < LIVE_NODES && to < LIVE_NODES &&
                (live->slow[from][to] || live->slow[to][from]);
    return slow ? 20 * took : took;
}

static live_letter_t *
post(live_t *live, letter_kind_t kind, int from, int to,
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
    int lane = kind == LETTER_PUBLISHED ? LIVE_NODES + LIVE_VIEWERS + from
                                        : from;
    int64_t now = agenda_now(live->agenda), at = now + delay(live, from, to);
    if (kind == LETTER_PACKET &&
        dice_chance(&live->dice, live->multicast_late)) {
        at += dice_between(&live->dice, 1000, 50000);
        story_count("packet overtaken", 1);
    }
    if (kind != LETTER_PACKET) {
        if (at <= live->last_us[lane][to])
            at = live->last_us[lane][to] + 1;
        live->last_us[lane][to] = at;
    }
    agenda_add(live->agenda, at - now, on_letter, letter);
    return letter;
}

/*---------------------------------------------------------------- effects */

static void
send_effect(void *with, const peer_t *peer, const message_t *message,
            buffer_t *payload)
{
    live_node_t *node = with;
    who_t who = who_of(peer);
    if (who.other_life != node->life ||
        who.life != life_of(node->live, who.number) ||
        who.connection !=
            connection_of(node->live, LETTER_LINK, node->number, who.number))
        return;
    post(node->live, LETTER_LINK, node->number, who.number, message, payload);
}

void
live_send(live_node_t *node, const peer_t *peer, const message_t *message)
{
    send_effect(node, peer, message, NULL);
}

static status_t
tell(void *with, int link, const message_t *message)
{
    live_node_t *node = with;
    int to = node->link_node[link];
    check_told(node->live, node->number, to, message);
    if (!node->live->node[to].relay)
        return STATUS_OK;  //  It waits for a connection, and is late
    post(node->live, LETTER_FRONT, node->number, to, message, NULL);
    return STATUS_OK;
}

static void
hang_up(void *with, int link)
{
    live_node_t *node = with;
    story_tell("%s hangs up on %s", node->name, node->links[link]);
    node->live->connection[node->number][node->link_node[link]]++;
}

static void
subscribe(void *with, int link, const char *publish_at, uint64_t stream,
          uint64_t topic, bool on)
{
    live_node_t *node = with;
    live_t *live = node->live;
    int to = node->link_node[link];
    live_sub_t sub = { .from = node->number,
                       .to = to,
                       .from_life = node->life,
                       .stream = stream,
                       .topic = topic };
    char right[sizeof node->publish_at];
    //  Where it was said to publish: who hung may hear it from a life before.
    if (on)
        (void)sscanf(publish_at, "tcp://%*[^:]:%u", &sub.to_life);
    snprintf(right, sizeof right, "tcp://%s:%u", live->node[to].name,
             sub.to_life);
    if (on && (strcmp(publish_at, right) != 0 || !sub.to_life ||
               sub.to_life > live->node[to].life))
        story_breach(0, "%s subscribes to %s at %s", node->name,
                     node->links[link], publish_at);
    for (size_t i = live->subs_count; i-- > 0;)
        if (live->subs[i].from == sub.from && live->subs[i].to == to &&
            live->subs[i].stream == stream && live->subs[i].topic == topic)
            live->subs[i] = live->subs[--live->subs_count];
    if (!on)
        return;
    if (live->subs_count == live->subs_room) {
        live->subs_room = 2 * live->subs_room + 64;
        live->subs = realloc(live->subs, live->subs_room * sizeof *live->subs);
        INVARIANT(live->subs);
    }
    live->subs[live->subs_count++] = sub;
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    live_node_t *node = with;
    live_t *live = node->live;
    for (size_t i = 0; i < live->subs_count; i++) {
        const live_sub_t *sub = &live->subs[i];
        if (sub->to != node->number || sub->to_life != node->life ||
            sub->stream != stream || sub->topic != topic ||
            sub->from_life != live->node[sub->from].life)
            continue;
        chunk_header_t header;
        status_t status = message_to_chunk(message->flow->chunk, &header);
        INVARIANT(status == STATUS_OK);
        check_published(live, node->number, stream, sub->from, &header);
        if (dice_chance(&live->dice, live->published_lost + live->rain)) {
            story_count("published chunk lost", 1);
            continue;
        }
        live_letter_t *letter = post(live, LETTER_PUBLISHED, node->number,
                                     sub->from, message, payload);
        letter->stream = stream;
        letter->topic = topic;
    }
}

static void
cast(void *with, int link, const packet_t *packet)
{
    live_node_t *node = with;
    live_t *live = node->live;
    uint8_t key[PACKET_KEY_BYTES], bytes[PACKET_BYTES];
    packet_key("sim", node->group_name, key);
    packet_pack(packet, key, bytes);
    check_cast(live, node->number);
    for (int i = 0; i < live->nodes; i++) {
        if (i == node->number || live->node[i].group != node->group ||
            (link >= 0 && node->link_node[link] != i) || live->deaf)
            continue;
        if (link < 0 && dice_chance(&live->dice, live->multicast_lost)) {
            story_count("multicast packet lost", 1);
            continue;
        }
        bool twice = dice_chance(&live->dice, live->multicast_twice);
        if (twice)
            story_count("packet repeated", 1);
        for (int time = 0; time <= twice; time++) {
            live_letter_t *letter = post(live, LETTER_PACKET, node->number, i,
                                         NULL, NULL);
            status_t status = packet_unpack(bytes, sizeof bytes, key,
                                            &letter->packet);
            INVARIANT(status == STATUS_OK);
        }
    }
}

static uint64_t
chance(void *with)
{
    live_node_t *node = with;
    return dice_next(&node->live->dice);
}

static void
fetch(void *with, uint64_t stream, uint64_t offset, millis_t now)
{
    (void)now;
    live_root_fetch(with, stream, offset);
}

static void
locate(void *with, uint64_t stream, micros_t time_us, uint64_t request,
       millis_t now)
{
    (void)now;
    live_root_locate(with, stream, time_us, request);
}

static status_t
look(void *with, const char *name, uint64_t stream, relay_facts_t *facts_r)
{
    live_node_t *node = with;
    return live_root_look(node->live, name, stream, facts_r);
}

/*------------------------------------------------------------------ a disk */

//  One that takes its time, loses some, and now and then gives back others.
typedef struct {
    live_node_t *node;
    unsigned life;
    uint64_t number;
    buffer_t *payload;  //  NULL: it was not kept, or is lost
    bool read;
} spin_t;

static void
on_spun(void *arg, bool happens)
{
    spin_t *spin = arg;
    live_node_t *node = spin->node;
    if (happens && node->relay && node->life == spin->life && !node->hung) {
        millis_t now = live_now(node->live);
        story_time(agenda_now(node->live->agenda));
        if (spin->read)
            relay_recalled(node->relay, spin->number,
                           spin->payload ? STATUS_OK : STATUS_MISS,
                           spin->payload, now);
        else
            relay_unkept(node->relay, spin->number, now);
        live_after(node);
    }
    buffer_unref(&spin->payload);
    free(spin);
}

static void
spin(live_node_t *node, uint64_t number, buffer_t *payload, bool reads)
{
    dice_t *dice = &node->live->dice;
    spin_t *spin = malloc(sizeof *spin);
    INVARIANT(spin);
    *spin = (spin_t){ node, node->life, number, payload, reads };
    //  Slower than anybody waits, at times.
    agenda_add(node->live->agenda,
               dice_chance(dice, 20) ? 400000 : dice_between(dice, 200, 8000),
               on_spun, spin);
}

static status_t
keep(void *with, uint64_t number, const chunk_header_t *header,
     buffer_t *payload)
{
    live_node_t *node = with;
    dice_t *dice = &node->live->dice;
    (void)header;
    if (node->lost || dice_chance(dice, 50))
        return STATUS_BUSY;
    if (number % LIVE_KEPT == 0 && dice_chance(dice, 20))
        spin(node, number, NULL, false);
    buffer_unref(&node->kept[number % LIVE_KEPT]);
    node->kept[number % LIVE_KEPT] = buffer_ref(payload);
    return STATUS_OK;
}

static status_t
recall(void *with, uint64_t number)
{
    live_node_t *node = with;
    dice_t *dice = &node->live->dice;
    buffer_t *payload = buffer_ref(node->kept[number % LIVE_KEPT]);
    if (payload && dice_chance(dice, 20)) {
        buffer_t *wrong = buffer_new(buffer_size(payload));
        memset(buffer_fill(wrong), 7, buffer_size(payload));
        buffer_unref(&payload);
        payload = wrong;
        story_count("read wrong from a cache's disk", 1);
    }
    story_count("read from a cache's disk", 1);
    spin(node, number, payload, true);
    return STATUS_OK;
}

static status_t
release(void *with, uint64_t first)
{
    (void)with, (void)first;
    return STATUS_OK;
}

static void
note(void *with, const char *text)
{
    live_node_t *node = with;
    story_tell("%s: %s", node->name, text);
}

/*------------------------------------------------------------------ nodes */

typedef struct {
    live_node_t *node;
    unsigned life;
} wake_t;

static void
on_wake(void *arg, bool happens)
{
    wake_t *wake = arg;
    live_node_t *node = wake->node;
    bool current = happens && node->relay && node->life == wake->life;
    free(wake);
    if (!current)
        return;
    story_time(agenda_now(node->live->agenda));
    node->wake_us = INT64_MAX;
    if (node->hung)
        return;
    if (relay_due(node->relay) <= live_now(node->live))
        relay_sweep(node->relay, live_now(node->live));
    live_after(node);
}

void
live_after(live_node_t *node)
{
    if (!node->relay || node->hung)
        return;
    millis_t due = relay_due(node->relay);
    if (due == MILLIS_NEVER)
        return;
    int64_t now = agenda_now(node->live->agenda), at = (due - 1000) * 1000;
    if (at < now + 500)
        at = now + 500;
    if (at >= node->wake_us)
        return;
    node->wake_us = at;
    wake_t *wake = malloc(sizeof *wake);
    INVARIANT(wake);
    *wake = (wake_t){ node, node->life };
    agenda_add(node->live->agenda, at - now, on_wake, wake);
}

void
live_start(live_node_t *node)
{
    static const relay_effects_t EFFECTS = {
        .send = send_effect,
        .tell = tell,
        .hang_up = hang_up,
        .subscribe = subscribe,
        .publish = publish,
        .cast = cast,
        .random = chance,
        .fetch = fetch,
        .locate = locate,
        .look = look,
        .keep = keep,
        .recall = recall,
        .release = release,
        .note = note,
    };
    INVARIANT(!node->relay);
    node->life++;
    node->hung = node->lost = false;
    node->told_us = node->knew_us = 0;
    node->wake_us = INT64_MAX;
    snprintf(node->publish_at, sizeof node->publish_at, "tcp://%s:%u",
             node->name, node->life);
    node->settings.incarnation = node->life;
    if (node->group < 0 && node->life > 1)
        live_origin_back(node->live);
    node->relay = relay_new(&node->settings, &EFFECTS, node,
                            live_now(node->live));
}

typedef struct {
    live_node_t *node;
    unsigned life;
    int other;
} broken_t;

static void
on_broken(void *arg, bool happens)
{
    broken_t *broken = arg;
    live_node_t *node = broken->node;
    if (happens && node->relay && node->life == broken->life && node->hung) {
        agenda_add(node->live->agenda, 100000, on_broken, broken);
        return;
    }
    if (happens && node->relay && node->life == broken->life) {
        story_time(agenda_now(node->live->agenda));
        //  What was said until it is seen is lost too.
        node->live->connection[node->number][broken->other]++;
        check_broken(node->live, node->number, broken->other);
        relay_on_disconnect(node->relay, link_of(node, broken->other),
                            live_now(node->live));
        live_after(node);
    }
    free(broken);
}

static void
see_broken(live_node_t *node, int other, int64_t after_us)
{
    broken_t *broken = malloc(sizeof *broken);
    INVARIANT(broken);
    *broken = (broken_t){ node, node->life, other };
    agenda_add(node->live->agenda, after_us, on_broken, broken);
}

//  A connection breaks: what is in it is lost, and who made it sees it.
void
live_disconnect(live_t *live, int from, int to)
{
    if (!live->node[from].relay)
        return;
    live->connection[from][to]++;
    check_broken(live, from, to);
    see_broken(&live->node[from], to, dice_between(&live->dice, 500, 5000));
}

static void
drop_backlog(live_node_t *node)
{
    for (live_letter_t *letter = node->first, *next; letter; letter = next) {
        next = letter->next;
        free_letter(letter);
    }
    node->first = node->last = NULL;
}

void
live_kill(live_node_t *node)
{
    live_t *live = node->live;
    if (!node->relay)
        return;
    relay_destroy(&node->relay);
    for (size_t i = 0; i < LIVE_KEPT; i++)
        buffer_unref(&node->kept[i]);
    drop_backlog(node);
    check_gone(live, node->number);
    for (int i = 0; i < live->nodes; i++) {
        live_node_t *other = &live->node[i];
        if (link_of(other, node->number) < 0 || !other->relay)
            continue;
        //  A killed process is seen at once; a dead host by heartbeats.
        see_broken(other, node->number,
                   dice_chance(&live->dice, 700)
                       ? dice_between(&live->dice, 500, 5000)
                       : 2000000);
    }
}

void
live_hang(live_node_t *node, bool hangs)
{
    if (node->hung == hangs || !node->relay)
        return;
    node->hung = hangs;
    if (hangs)
        return;
    live_letter_t *letter = node->first;
    node->first = node->last = NULL;
    while (letter) {
        live_letter_t *next = letter->next;
        deliver(letter);
        letter = next;
    }
    live_after(node);
}

void
live_say(live_t *live, int viewer, int node, const message_t *message)
{
    if (live->node[node].relay)
        post(live, LETTER_FRONT, LIVE_NODES + viewer, node, message, NULL);
}
