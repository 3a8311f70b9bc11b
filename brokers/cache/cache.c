#include "cache.h"

#include <stdio.h>

#include "alarm.h"
#include "breaker.h"
#include "bus.h"
#include "claim.h"
#include "daemon.h"
#include "endpoint.h"
#include "frames.h"
#include "invariant.h"
#include "keeper.h"
#include "links.h"
#include "loans.h"
#include "log.h"
#include "monitor.h"
#include "random.h"
#include "relay.h"
#include "reporter.h"
#include "siblings.h"
#include "sockets.h"
#include "tally.h"

enum {
    WHY_BYTES = 1024,
    LOANS_LEAST = 64 * 1024 * 1024,
    LOANS_PER_PEER = 32 * 1024 * 1024,
    STRAY_BYTES = 128 * 1024 * 1024,
};

typedef struct {
    zsock_t *pipe;
    zsock_t *front;    //  ROUTER
    zsock_t *publish;  //  XPUB
    bus_t *bus;
    zloop_t *loop;
    claim_t *claim;
    relay_t *relay;
    links_t *links;
    keeper_t *keeper;  //  NULL: the window is in memory alone
    const char *parents[LINKS_MOST];
    size_t parents_count;
    const char *siblings[LINKS_MOST];
    size_t siblings_count;
    bool listens;      //  The loop reads the bus
    bool handed_over;  //  The first payload of this turn
    char publish_at[ENDPOINT_BYTES];
    alarm_t *alarm;
    breaker_t *breaker;
    loans_t *loans;
    tap_t *tap;  //  Of the monitor
    monitor_t *monitor;
    relay_told_t told;  //  Lent to it
    counters_t counters;
    reporter_t *reporter;      //  To the director
    uint64_t was_out, was_in;  //  Bytes at the last report,
    millis_t was_at;           //  and when that was
    millis_t window_ms;
} cache_t;

/*---------------------------------------------------------------- effects */

static status_t
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    cache_t *self = with;
    tap_answered(self->tap, peer, message, payload);
    //  While it is bound again nobody is there: who was knows it.
    if (!self->front)
        return STATUS_UNREACHABLE;
    status_t status = loans_send(self->loans, self->front, peer, message,
                                 payload);
    tally_sent(&self->counters, status, payload != NULL);
    if (status != STATUS_OK)
        tap_fault(self->tap, status, "front");
    else if (payload && !self->handed_over) {
        self->handed_over = true;
        frames_hand_over();
    }
    return status;
}

static status_t
tell(void *with, int link, const message_t *message)
{
    cache_t *self = with;
    return links_tell(self->links, link, message, zclock_mono());
}

static void
hang_up(void *with, int link)
{
    cache_t *self = with;
    links_hang_up(self->links, link);
}

static void
subscribe(void *with, int link, const char *publish_at, uint64_t stream,
          uint64_t grant, bool on)
{
    cache_t *self = with;
    links_hear(self->links, link, publish_at, (frames_topic_t){ stream, grant },
               on);
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    cache_t *self = with;
    if (self->publish)
        (void)frames_publish(self->publish, (frames_topic_t){ stream, topic },
                             message, payload);
}

static void
cast(void *with, int number, const packet_t *packet)
{
    cache_t *self = with;
    bus_say(self->bus, number < 0 ? -1 : number - (int)self->parents_count,
            packet);
}

static uint64_t
chance(void *with)
{
    (void)with;
    return random_u64();
}

static void
note(void *with, const char *text)
{
    (void)with;
    log_told(LOG_AT_NOTICE, text);
}

static status_t
keep(void *with, uint64_t number, const chunk_header_t *header,
     buffer_t *payload)
{
    cache_t *self = with;
    return keeper_keep(self->keeper, number, payload, header->payload_crc,
                       zclock_mono());
}

static status_t
recall(void *with, uint64_t number)
{
    cache_t *self = with;
    return keeper_recall(self->keeper, number, zclock_mono());
}

static status_t
release(void *with, uint64_t first)
{
    cache_t *self = with;
    return keeper_release(self->keeper, first, zclock_mono());
}

static void
count(void *with, counters_t *to)
{
    cache_t *self = with;
    tally_bus(to, self->bus);
    counters_add(to, &self->counters);
}

static const relay_effects_t EFFECTS = {
    .send = send_front,
    .tell = tell,
    .hang_up = hang_up,
    .subscribe = subscribe,
    .publish = publish,
    .cast = cast,
    .random = chance,
    .keep = keep,
    .recall = recall,
    .release = release,
    .note = note,
    .count = count,
};

/*--------------------------------------------------------------- the loop */

static int on_packets(zloop_t *loop, zmq_pollitem_t *item, void *arg);

static void
hear_bus(cache_t *self, int which, millis_t now)
{
    packet_t packet;
    bus_counts_t before = bus_counts(self->bus);
    while (bus_fd(self->bus, which) >= 0 &&
           bus_hear(self->bus, which, &packet, now))
        relay_on_packet(self->relay, &packet, now);
    //  However many were dropped in a turn, it is told once.
    bus_counts_t counts = bus_counts(self->bus);
    if (counts.strange > before.strange)
        tap_fault(self->tap, STATUS_MALFORMED, "bus");
    if (counts.overflow > before.overflow)
        tap_fault(self->tap, STATUS_BUSY, "bus");
}

//  While the bus rests nothing is read: what comes overflows in the kernel.
static void
listen_or_rest(cache_t *self, millis_t now)
{
    //  What was read and not heard yet comes first: no descriptor tells it.
    for (int which = 0; which < 2 && !self->listens; which++)
        hear_bus(self, which, now);
    bool listens = bus_rests(self->bus) <= now;
    if (listens == self->listens)
        return;
    self->listens = listens;
    for (int which = 0; which < 2; which++) {
        zmq_pollitem_t item = { .fd = bus_fd(self->bus, which),
                                .events = ZMQ_POLLIN };
        if (item.fd >= 0 && listens)
            zloop_poller(self->loop, &item, on_packets, self);
        else if (item.fd >= 0)
            zloop_poller_end(self->loop, &item);
    }
}

static int
after(cache_t *self, millis_t now)
{
    self->handed_over = false;
    if (relay_due(self->relay) <= now)
        relay_sweep(self->relay, now);
    listen_or_rest(self, now);
    millis_t due = relay_due(self->relay);
    if (!self->listens)
        due = millis_least(due, bus_rests(self->bus));
    alarm_set(self->alarm, due);
    return 0;
}

static int
on_alarm(void *arg)
{
    return after(arg, zclock_mono());
}

static int
on_pipe(zloop_t *loop, zsock_t *pipe, void *arg)
{
    (void)loop;
    cache_t *self = arg;
    char *word = zstr_recv(pipe);
    bool ends = !word || streq(word, "$TERM");
    zstr_free(&word);
    if (!ends)
        return 0;
    relay_stop(self->relay, zclock_mono());
    return -1;
}

static bool
take_front(void *with, status_t status, received_t *received, millis_t now)
{
    cache_t *self = with;
    bool whole = status == STATUS_OK;
    if (whole)
        tap_asked(self->tap, &received->peer, received->message);
    else
        tap_fault(self->tap, status, "front");
    bool ours = whole && (reporter_on_front(self->reporter, received) ||
                          relay_on_front(self->relay, &received->peer,
                                         received->message, now));
    tally_came(&self->counters, status, ours);
    if (ours || received->peer.size == 0)
        return true;
    Rill__V1__Refused refused = message_refusal(whole ? STATUS_KIND : status,
                                                NULL, 0);
    message_t answer = MESSAGE(
        REFUSED, refused, &refused,
        whole ? received->message->request : received->request, 0);
    send_front(self, &received->peer, &answer, NULL);
    return true;
}

static int
on_front(zloop_t *loop, zsock_t *front, void *arg)
{
    (void)loop;
    millis_t now = zclock_mono();
    frames_take(front, take_front, arg, now);
    return after(arg, now);
}

static void
on_said(void *with, int link, const received_t *received, millis_t now)
{
    cache_t *self = with;
    relay_on_link(self->relay, link, received->message, received->payload, now);
}

static void
on_published(void *with, int link, const received_t *received, millis_t now)
{
    cache_t *self = with;
    relay_on_published(self->relay, link, received->topic.stream,
                       received->topic.grant, received->message,
                       received->payload, now);
}

static void
on_lost(void *with, int link, millis_t now)
{
    cache_t *self = with;
    relay_on_disconnect(self->relay, link, now);
}

static int
after_link(void *with, millis_t now)
{
    return after(with, now);
}

static const links_events_t LINKS = { .said = on_said,
                                      .published = on_published,
                                      .lost = on_lost,
                                      .after = after_link };

/*------------------------------------------------------------------ disk */

static void
on_unkept(void *with, uint64_t number, millis_t now)
{
    cache_t *self = with;
    relay_unkept(self->relay, number, now);
}

static void
on_recalled(void *with, uint64_t number, status_t status, buffer_t *payload,
            millis_t now)
{
    cache_t *self = with;
    relay_recalled(self->relay, number, status, payload, now);
}

static void
on_disk_lost(void *with, const char *why, millis_t now)
{
    cache_t *self = with;
    log_event(LOG_AT_ERROR, "window_disk_lost", "why=\"%s\"", why);
    relay_on_disk_lost(self->relay, now);
}

static const keeper_events_t KEEPS = { .unkept = on_unkept,
                                       .recalled = on_recalled,
                                       .lost = on_disk_lost,
                                       .after = after_link };

static int
on_packets(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    (void)loop;
    cache_t *self = arg;
    millis_t now = zclock_mono();
    hear_bus(self, item->fd == bus_fd(self->bus, 1), now);
    return after(self, now);
}

static int
on_topics(zloop_t *loop, zsock_t *publish, void *arg)
{
    (void)loop, (void)publish;
    cache_t *self = arg;
    breaker_topics(self->breaker, &self->publish, relay_topics(self->relay));
    return 0;
}

static void
on_flooded(void *with)
{
    cache_t *self = with;
    counters_up(&self->counters, COUNTER_sockets_flooded_total);
}

/*--------------------------------------------------------------- director */

static uint64_t
bits_a_second(uint64_t bytes, uint64_t before, millis_t took)
{
    return took > 0 ? (bytes - before) * 8000 / (uint64_t)took : 0;
}

//  How this cache is, for the director.
static void
fill_load(void *with, Rill__V1__Load *load)
{
    cache_t *self = with;
    relay_counts_t counts = relay_counts(self->relay);
    millis_t now = zclock_mono(), took = now - self->was_at;
    load->sessions = (uint32_t)counts.sessions;
    load->streams = (uint32_t)counts.streams;
    load->window_bytes = counts.window_bytes;
    load->window_ms = (uint64_t)self->window_ms;
    load->out_bps = bits_a_second(counts.delivered_bytes, self->was_out, took);
    load->in_bps = bits_a_second(counts.taken_bytes, self->was_in, took);
    self->was_out = counts.delivered_bytes;
    self->was_in = counts.taken_bytes;
    self->was_at = now;
}

static void
send_offer(void *with, const peer_t *peer, const message_t *message)
{
    send_front(with, peer, message, NULL);
}

static const reporter_events_t REPORTS = { .fill = fill_load,
                                           .send = send_offer };

static void
count_all(void *with, counters_t *to)
{
    cache_t *self = with;
    relay_count(self->relay, to);
    count(self, to);
}

//  NULL: ready.
static const char *
unready(void *with)
{
    cache_t *self = with;
    return relay_cut_off(self->relay)
               ? "streams are watched here that no parent gives"
               : NULL;
}

static size_t
tell_streams(void *with, uint64_t from, Rill__V1__StreamReport ***list_r,
             uint64_t *next_r)
{
    cache_t *self = with;
    relay_tell(self->relay, from, &self->told);
    *list_r = self->told.list;
    *next_r = self->told.next;
    return self->told.count;
}

static status_t
open_monitor(cache_t *self, const cache_place_t *place, char *why)
{
    const settings_node_t *node = &place->cache->node;
    monitor_place_t shown = {
        .node = node->name,
        .at = node->at,
        .reach = node->reach,
        .metrics = { .role = SETTINGS_CACHE,
                     .at = node->metrics,
                     .streams = place->settings->metrics_streams,
                     .count = count_all,
                     .unready = unready,
                     .tell = tell_streams,
                     .with = self },
    };
    return monitor_new(self->loop, &shown, &self->monitor, &self->tap, why,
                       WHY_BYTES);
}

/*--------------------------------------------------------- start and end */

static cache_t *
cache_new(zsock_t *pipe)
{
    cache_t *self = zmalloc(sizeof *self);
    self->pipe = pipe;
    self->loop = zloop_new();
    INVARIANT(self->loop);
    self->alarm = alarm_new(self->loop, on_alarm, self);
    INVARIANT(self->alarm);
    return self;
}

static void
cache_destroy(cache_t **self_p)
{
    cache_t *self = *self_p;
    reporter_destroy(&self->reporter);
    keeper_destroy(&self->keeper);
    relay_destroy(&self->relay);
    links_destroy(&self->links);
    breaker_destroy(&self->breaker);
    monitor_destroy(&self->monitor);
    alarm_destroy(&self->alarm);
    zloop_destroy(&self->loop);
    bus_destroy(&self->bus);
    claim_release(&self->claim);
    zsock_destroy(&self->front);
    zsock_destroy(&self->publish);
    loans_destroy(&self->loans);
    free(self);
    *self_p = NULL;
}

//  The group's key: from its file, 32 hexadecimal digits, or from names alone.
static status_t
read_key(const cache_place_t *place, const settings_group_t *group,
         uint8_t key_r[PACKET_KEY_BYTES], char *why)
{
    packet_key(place->settings->cluster, group->name, key_r);
    if (!*group->key)
        return STATUS_OK;
    FILE *file = fopen(group->key, "re");
    bool right = file != NULL;
    for (int i = 0; right && i < PACKET_KEY_BYTES; i++) {
        unsigned byte;
        right = fscanf(file, "%2x", &byte) == 1;
        key_r[i] = (uint8_t)byte;
    }
    if (file)
        fclose(file);
    if (!right)
        snprintf(why, WHY_BYTES,
                 "the key of group %s cannot be read from %s: it is a file of "
                 "32 hexadecimal digits, the same for all of the group",
                 group->name, group->key);
    return right ? STATUS_OK : STATUS_SETTING;
}

static status_t
open_bus(cache_t *self, const cache_place_t *place,
         const settings_group_t *group, char *why)
{
    const char *at = place->cache->node.at;
    char host[ENDPOINT_BYTES];
    const char *colon = strrchr(at, ':');
    snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - at) : 0, at);
    uint8_t key[PACKET_KEY_BYTES];
    status_t status = read_key(place, group, key, why);
    if (status == STATUS_OK)
        status = bus_new(at, group->multicast,
                         *group->interface ? group->interface : host, key,
                         &self->bus, why, WHY_BYTES);
    if (status == STATUS_OK && *why)
        log_event(LOG_AT_ERROR, "no_multicast", "why=%s", why);
    return status;
}

//  Bind the front, the XPUB beside it and the bus.
static status_t
open_sockets(cache_t *self, const cache_place_t *place,
             const settings_group_t *group, char *why)
{
    const settings_node_t *node = &place->cache->node;
    char at[ENDPOINT_BYTES], any[ENDPOINT_BYTES], bound[ENDPOINT_BYTES],
        reach[ENDPOINT_BYTES], named[ENDPOINT_BYTES];
    status_t status = endpoint_parse(node->at, at);
    if (status == STATUS_OK)
        status = sockets_open(SOCKET_FRONT, at, &self->front);
    if (status != STATUS_OK) {
        snprintf(why, WHY_BYTES, "%s cannot be bound: %s", node->at,
                 errno ? strerror(errno) : status_text(status));
        return status;
    }
    status = open_monitor(self, place, why);
    if (status != STATUS_OK)
        return status;
    endpoint_any_port(at, any);
    status = sockets_open(SOCKET_PUBLISH, any, &self->publish);
    if (status == STATUS_OK) {
        sockets_bound(self->publish, bound);
        status = endpoint_parse(node->reach, named);
    }
    if (status == STATUS_OK)
        status = endpoint_resolve(named, reach);
    if (status == STATUS_OK)
        status = endpoint_join(reach, bound, self->publish_at);
    if (status != STATUS_OK) {
        snprintf(why, WHY_BYTES, "no socket to publish on beside %s: %s",
                 node->at, status_text(status));
        return status;
    }
    return open_bus(self, place, group, why);
}

//  Whom it may hang on, in their order (live.md 1), and its siblings.
static void
find_links(cache_t *self, const settings_t *settings,
           const settings_cache_t *cache, const settings_group_t *group)
{
    const settings_node_t *node;
    for (size_t i = 0; (node = settings_upstream(settings, group, i)); i++)
        if (links_add(self->links, node->name, node->reach))
            self->parents[self->parents_count++] = node->name;
    const settings_cache_t *other;
    for (size_t i = 0; (other = settings_sibling(settings, group, i)); i++) {
        if (other == cache || self->siblings_count == SIBLINGS_MOST ||
            !links_add(self->links, other->node.name, other->node.reach))
            continue;
        self->siblings[self->siblings_count++] = other->node.name;
        if (!bus_add(self->bus, other->node.reach))
            log_event(LOG_AT_ERROR, "no_address", "node=%s at=%s",
                      other->node.name, other->node.reach);
    }
}

static void
open_disk(cache_t *self, const cache_place_t *place,
          const settings_group_t *group)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/window", place->cache->node.data);
    self->keeper = keeper_new(self->loop, path, group->disk_bytes,
                              place->settings->patience, NULL, &KEEPS, self);
}

static status_t
cache_open(cache_t *self, const cache_place_t *place, char *why)
{
    const settings_cache_t *cache = place->cache;
    const settings_group_t *group = settings_group(place->settings,
                                                   cache->group);
    status_t status = claim_take(cache->node.data, &self->claim, why,
                                 WHY_BYTES);
    if (status == STATUS_OK)
        status = open_sockets(self, place, group, why);
    if (status != STATUS_OK)
        return status;
    relay_settings_t settings = {
        .node = cache->node.name,
        .group = group->name,
        .tier = group->tier,
        .parents = self->parents,
        .siblings = self->siblings,
        .window_bytes = group->window_bytes,
        .disk_bytes = keeper_room(group->disk_bytes),
        .window_ms = (millis_t)group->window_ms,
        .patience = place->settings->patience,
        .publish_at = self->publish_at,
        .incarnation = (uint64_t)zclock_time() * 1000,
        .sink = tap_sink(self->tap),
    };
    self->links = links_new(self->loop, &LINKS, self);
    find_links(self, place->settings, cache, group);
    settings.parents_count = self->parents_count;
    settings.siblings_count = self->siblings_count;
    self->relay = relay_new(&settings, &EFFECTS, self, zclock_mono());
    self->window_ms = settings.window_ms;
    if (settings.disk_bytes)
        open_disk(self, place, group);
    self->was_at = zclock_mono();
    self->reporter = reporter_new(self->loop, place->settings, cache,
                                  settings.incarnation, &REPORTS, self);
    if (!self->reporter) {
        snprintf(why, WHY_BYTES, "no socket to the director can be had");
        return STATUS_LIMIT;
    }
    zloop_reader(self->loop, self->pipe, on_pipe, self);
    self->loans = loans_new(settings.window_bytes > LOANS_LEAST
                                ? settings.window_bytes
                                : LOANS_LEAST,
                            LOANS_PER_PEER);
    self->breaker = breaker_new(self->loop, STRAY_BYTES);
    breaker_add(self->breaker,
                &(breaker_place_t){ "front", &self->front, SOCKET_FRONT,
                                    on_front, on_flooded, self });
    breaker_add(self->breaker,
                &(breaker_place_t){ "publish", &self->publish, SOCKET_PUBLISH,
                                    on_topics, on_flooded, self });
    tap_guard(self->tap, self->breaker, on_flooded, self);
    (void)after(self, zclock_mono());
    return STATUS_OK;
}

void
cache_actor(zsock_t *pipe, void *args)
{
    const cache_place_t *place = args;
    char why[WHY_BYTES] = "";
    cache_t *self = cache_new(pipe);
    zsock_signal(pipe, 0);
    status_t status = cache_open(self, place, why);
    daemon_say(pipe, status,
               status == STATUS_OK ? place->cache->node.reach : why);
    if (status == STATUS_OK) {
        zloop_start(self->loop);
        daemon_say(pipe, STATUS_OK, "stopped");
    }
    cache_destroy(&self);
}
