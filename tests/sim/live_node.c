#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "live.h"
#include "story.h"

millis_t
live_now(const live_t *live)
{
    return agenda_now(live->agenda) / 1000 + 1000;
}

/*---------------------------------------------------------------- effects */

static status_t
tell(void *with, int link, const message_t *message)
{
    live_node_t *node = with;
    int to = node->link_node[link];
    check_told(node->live, node->number, to, message);
    if (!node->live->node[to].relay)
        return STATUS_OK;  //  It waits for a connection, and is late
    live_post(node->live, LETTER_FRONT, node->number, to, message, NULL);
    return STATUS_OK;
}

static void
hang_up(void *with, int link)
{
    live_node_t *node = with;
    story_tell("%s hangs up on %s", node->name, node->links[link]);
    node->to[link].connection++;
}

static void
subscribe(void *with, int link, const char *publish_at, uint64_t stream,
          uint64_t topic, bool on)
{
    live_node_t *node = with;
    live_node_t *to = &node->live->node[node->link_node[link]];
    live_sub_t sub = { .from = node->number,
                       .from_life = node->life,
                       .stream = stream,
                       .topic = topic };
    char right[sizeof node->publish_at];
    //  Where it was said to publish: who hung may hear it from a life before.
    if (on)
        (void)sscanf(publish_at, "tcp://%*[^:]:%u", &sub.to_life);
    snprintf(right, sizeof right, "tcp://%s:%u", to->name, sub.to_life);
    if (on && (strcmp(publish_at, right) != 0 || !sub.to_life ||
               sub.to_life > to->life))
        story_breach(0, "%s subscribes to %s at %s", node->name, to->name,
                     publish_at);
    for (size_t i = to->subs_count; i-- > 0;)
        if (to->subs[i].from == sub.from && to->subs[i].stream == stream &&
            to->subs[i].topic == topic)
            to->subs[i] = to->subs[--to->subs_count];
    if (!on)
        return;
    if (to->subs_count == to->subs_room) {
        to->subs_room = 2 * to->subs_room + 8;
        to->subs = realloc(to->subs, to->subs_room * sizeof *to->subs);
        INVARIANT(to->subs);
    }
    to->subs[to->subs_count++] = sub;
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    live_node_t *node = with;
    live_t *live = node->live;
    for (size_t i = 0; i < node->subs_count; i++) {
        const live_sub_t *sub = &node->subs[i];
        if (sub->to_life != node->life || sub->stream != stream ||
            sub->topic != topic || sub->from_life != live->node[sub->from].life)
            continue;
        chunk_header_t header;
        status_t status = message_to_chunk(message->flow->chunk, &header);
        INVARIANT(status == STATUS_OK);
        check_published(live, node->number, stream, sub->from, &header);
        if (dice_chance(&live->dice, live->published_lost + live->rain)) {
            story_count("published chunk lost", 1);
            continue;
        }
        live_letter_t *letter = live_post(live, LETTER_PUBLISHED, node->number,
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
    size_t parents = node->settings.parents_count;
    size_t links = parents + node->settings.siblings_count;
    for (size_t i = parents; i < links && !live->deaf; i++) {
        if (link >= 0 && link != (int)i)
            continue;
        if (link < 0 && dice_chance(&live->dice, live->multicast_lost)) {
            story_count("multicast packet lost", 1);
            continue;
        }
        bool twice = dice_chance(&live->dice, live->multicast_twice);
        if (twice)
            story_count("packet repeated", 1);
        for (int time = 0; time <= twice; time++) {
            live_letter_t *letter = live_post(live, LETTER_PACKET, node->number,
                                              node->link_node[i], NULL, NULL);
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
    int64_t at_us;
} wake_t;

static void
on_wake(void *arg, bool happens)
{
    wake_t *wake = arg;
    live_node_t *node = wake->node;
    //  An earlier one was asked for since, or it died.
    bool current = happens && node->relay && node->life == wake->life &&
                   node->wake_us == wake->at_us;
    free(wake);
    if (!current)
        return;
    story_time(agenda_now(node->live->agenda));
    node->wake_us = INT64_MAX;
    if (node->hung)
        return;
    millis_t now = live_now(node->live);
    if (relay_due(node->relay) <= now)
        relay_sweep(node->relay, now);
    //  Real nodes would turn without rest.
    if (relay_due(node->relay) < now)
        story_breach(19, "%s has swept, and is late by %lld ms", node->name,
                     (long long)(now - relay_due(node->relay)));
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
    *wake = (wake_t){ node, node->life, at };
    agenda_add(node->live->agenda, at - now, on_wake, wake);
}

void
live_start(live_node_t *node)
{
    static const relay_effects_t EFFECTS = {
        .send = live_send,
        .tell = tell,
        .hang_up = hang_up,
        .subscribe = subscribe,
        .publish = publish,
        .cast = cast,
        .random = chance,
        .fetch = fetch,
        .locate = locate,
        .look = look,
        .keep = live_keep,
        .recall = live_recall,
        .release = live_release,
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
        int link = live_link(node, broken->other);
        node->to[link].connection++;
        check_broken(node->live, node->number, broken->other);
        relay_on_disconnect(node->relay, link, live_now(node->live));
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
    live_way(live, from, to)->connection++;
    check_broken(live, from, to);
    see_broken(&live->node[from], to, dice_between(&live->dice, 500, 5000));
}

void
live_kill(live_node_t *node)
{
    live_t *live = node->live;
    if (!node->relay)
        return;
    relay_destroy(&node->relay);
    live_disk_clear(node);
    live_drop_backlog(node);
    check_gone(live, node->number);
    for (int i = 0; i < live->nodes; i++) {
        live_node_t *other = &live->node[i];
        if (live_link(other, node->number) < 0 || !other->relay)
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
    live_open_backlog(node);
    live_after(node);
}
