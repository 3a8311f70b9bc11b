#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "grants.h"
#include "invariant.h"
#include "live.h"
#include "story.h"

enum {
    SETTLED_US = 6000000,
    TWO_MOST_US = 2500000,
    NEW_US = 1000000,
    HOME_US = 4000000,
    HOP_US = 240000,
    LOOKED_US = 200000,
    OLD_US = 500000,  //  How roughly a window is looked at
    LEASE_US = (GRANTS_LEASE_MS + 10) * 1000,
};

//  A question of a node for a chunk that is not answered yet (15).
struct live_asked {
    int from, to;
    uint64_t stream, offset, request;
    int64_t at_us, until_us;  //  It is given up then, or where another is asked
};

static int64_t
now_us(const live_t *live)
{
    return agenda_now(live->agenda);
}

//  The last fault is long over.
static bool
is_settled(const live_t *live)
{
    return live->calm && now_us(live) - live->fault_us > SETTLED_US;
}

//  Whom a node takes a stream from (0: any); -1: nobody.
static int
source_of(const live_node_t *node, uint64_t stream)
{
    relay_state_t states[LIVE_STREAMS];
    size_t count = node->relay ? relay_states(node->relay, states, LIVE_STREAMS)
                               : 0;
    for (size_t i = 0; i < count; i++)
        if ((!stream || states[i].stream == stream) && states[i].source >= 0)
            return node->link_node[states[i].source];
    return -1;
}

//  Nothing is said that nobody asked for (16).
static void
check_quiet(live_t *live, int from, const char *what)
{
    if (live->quiet_from && now_us(live) > live->quiet_from)
        story_breach(16, "%s says %s, and nobody has watched for 12 s",
                     live->node[from].name, what);
}

//  When a child said last that it wants a stream: its lease counts from there.
void
check_kept(live_t *live, int node, int from, const message_t *message)
{
    if (message->body_case != RILL__V1__MESSAGE__BODY_KEEP)
        return;
    for (size_t i = 0; i < message->keep->n_wants; i++) {
        const live_stream_t *stream = live_stream(
            live, message->keep->wants[i]->stream);
        if (stream)
            live_way(live, from, node)->kept_us[stream - live->stream] = now_us(
                live);
    }
}

//  Only to a lease, and among siblings only from who has it from a parent (14).
static void
check_right(live_t *live, const live_stream_t *stream, int from, int to)
{
    const live_node_t *node = &live->node[from];
    int source = source_of(node, stream->id);
    if (node->group != live->node[to].group) {
        int64_t kept_us =
            live_way(live, to, from)->kept_us[stream - live->stream];
        if (now_us(live) - kept_us > LEASE_US)
            story_breach(14, "%s publishes to %s, whose lease is over",
                         node->name, live->node[to].name);
    } else if (source < 0 || live->node[source].group == node->group)
        story_breach(14, "%s publishes to its sibling %s, and follows itself",
                     node->name, live->node[to].name);
}

void
check_published(live_t *live, int from, uint64_t id, int to,
                const chunk_header_t *header)
{
    check_quiet(live, from, "a chunk");
    const live_stream_t *stream = live_stream(live, id);
    if (!stream || header->offset >= stream->said)
        story_breach(13, "%s publishes what is not there",
                     live->node[from].name);
    check_right(live, stream, from, to);
}

static copies_t *
copies_of(const live_t *live, const live_stream_t *stream, size_t chunk,
          int group)
{
    return &stream->copies[chunk * (size_t)live->groups + (size_t)group];
}

void
check_entered(live_t *live, int from, uint64_t id, int to, uint64_t offset)
{
    int group = live->node[to].group;
    live_stream_t *stream = live_stream(live, id);
    size_t chunk = live_chunk_of(stream, offset);
    if (live->node[from].group == group || chunk == SIZE_MAX)
        return;
    copies_t *copies = copies_of(live, stream, chunk, group);
    copies->last = to;
    story_tell("chunk %zu of %s enters group %d to %s", chunk, stream->name,
               group, live->node[to].name);
    if (++copies->count >= 2 && !stream->two_since[group])
        stream->two_since[group] = now_us(live);
}

void
check_cast(live_t *live, int from)
{
    check_quiet(live, from, "a packet");
}

void
check_told(live_t *live, int from, int to, const message_t *message)
{
    check_quiet(live, from, message_kind(message));
    story_tell("%s says %s to %s", live->node[from].name, message_kind(message),
               live->node[to].name);
    if (message->body_case != RILL__V1__MESSAGE__BODY_ASK)
        return;
    story_tell("of %llu at %llu, within %u ms",
               (unsigned long long)message->ask->stream,
               (unsigned long long)message->ask->offset,
               message->ask->budget_ms);
    if (!relay_wanted(live->node[from].relay, message->ask->stream,
                      message->ask->offset))
        story_breach(16, "%s asks %s for %llu, and nobody waits for it",
                     live->node[from].name, live->node[to].name,
                     (unsigned long long)message->ask->offset);
    for (size_t i = live->asked_count; i-- > 0;) {
        struct live_asked *asked = &live->asked[i];
        int64_t age = now_us(live) - asked->at_us;
        if (age > 10000000) {
            *asked = live->asked[--live->asked_count];
            continue;
        }
        if (asked->from != from || asked->stream != message->ask->stream ||
            asked->offset != message->ask->offset)
            continue;
        const live_node_t *other = &live->node[asked->to];
        bool broke = !other->relay || (other->died_us &&
                                       now_us(live) - other->died_us < 3000000);
        if (now_us(live) < asked->until_us && !broke)
            story_breach(15, "%s asks %s for %llu, which it asked %s for",
                         live->node[from].name, live->node[to].name,
                         (unsigned long long)asked->offset,
                         live->node[asked->to].name);
        *asked = live->asked[--live->asked_count];
    }
    if (live->asked_count == live->asked_room) {
        live->asked_room = 2 * live->asked_room + 64;
        live->asked = realloc(live->asked,
                              live->asked_room * sizeof *live->asked);
        INVARIANT(live->asked);
    }
    //  Its budget is four fifths of what is left of whoever waits.
    int64_t left_us = 1250 * (int64_t)message->ask->budget_ms;
    live->asked[live->asked_count++] = (struct live_asked){
        from,
        to,
        message->ask->stream,
        message->ask->offset,
        message->request,
        now_us(live),
        now_us(live) + (left_us < HOP_US ? left_us : HOP_US),
    };
    story_held(15);
}

//  A chunk that is asked for by one who follows is a copy too, while it is new.
static void
check_copy(live_t *live, int from, int to, const message_t *message)
{
    int group = live->node[to].group;
    if (message->body_case != RILL__V1__MESSAGE__BODY_ANSWER ||
        live->node[from].group == group)
        return;
    live_stream_t *stream = live_stream(live, message->answer->chunk->stream);
    //  Who has only begun has to catch up: that is none of what is steady.
    if (!stream || source_of(&live->node[to], stream->id) < 0 ||
        now_us(live) - stream->idle_us[to] < NEW_US)
        return;
    size_t chunk = live_chunk_of(stream, message->answer->chunk->offset);
    //  What a node's disk did not take it has to ask for again.
    if (chunk == SIZE_MAX)
        return;
    copies_t *copies = copies_of(live, stream, chunk, group);
    if (live->node[to].settings.disk_bytes && copies->last == to)
        return;
    if (now_us(live) - stream->chunk_us[chunk] < NEW_US) {
        story_tell("chunk %zu of %s enters group %d by %s's ask", chunk,
                   stream->name, group, live->node[to].name);
        copies->count++;
    }
}

void
check_answered(live_t *live, int node, int from, const message_t *message)
{
    uint64_t request = message->request;
    check_copy(live, from, node, message);
    for (size_t i = live->asked_count; i-- > 0;)
        if (live->asked[i].from == node && live->asked[i].to == from &&
            live->asked[i].request == request)
            live->asked[i] = live->asked[--live->asked_count];
}

//  What was asked over a connection that breaks is given up.
void
check_broken(live_t *live, int from, int to)
{
    for (size_t i = live->asked_count; i-- > 0;)
        if (live->asked[i].from == from && live->asked[i].to == to)
            live->asked[i] = live->asked[--live->asked_count];
}

void
check_gone(live_t *live, int node)
{
    live->node[node].died_us = now_us(live);
    for (size_t i = live->asked_count; i-- > 0;)
        if (live->asked[i].from == node)
            live->asked[i] = live->asked[--live->asked_count];
}

void
check_flow(viewer_t *viewer, const Rill__V1__Flow *flow, buffer_t *payload)
{
    chunk_header_t header;
    if (message_to_chunk(flow->chunk, &header) != STATUS_OK ||
        header.length != buffer_size(payload) ||
        header.key.stream != viewer->live->stream[viewer->stream].id ||
        !content_is(header.key.stream, header.offset, buffer_bytes(payload),
                    buffer_size(payload)))
        story_breach(13, "viewer %d is sent wrong bytes at %llu",
                     viewer->number, (unsigned long long)header.offset);
    story_held(13);
    uint64_t end = header.offset + header.length;
    if (flow->from != viewer->next || header.offset > flow->from ||
        end <= flow->from)
        story_breach(12, "viewer %d at %llu is sent %llu to %llu from %llu",
                     viewer->number, (unsigned long long)viewer->next,
                     (unsigned long long)header.offset, (unsigned long long)end,
                     (unsigned long long)flow->from);
    story_held(12);
    if (viewer->got >= viewer->credit)
        story_breach(12, "viewer %d is sent more than its credit",
                     viewer->number);
    viewer->next = end;
    viewer->got += header.length;
}

//  What was asked for is in what was answered.
void
check_answer(const viewer_t *viewer, const Rill__V1__Answer *answer,
             buffer_t *payload)
{
    chunk_header_t header;
    if (message_to_chunk(answer->chunk, &header) != STATUS_OK ||
        header.length != buffer_size(payload) ||
        header.key.stream != viewer->live->stream[viewer->stream].id ||
        !content_is(header.key.stream, header.offset, buffer_bytes(payload),
                    buffer_size(payload)))
        story_breach(13, "viewer %d is answered wrong bytes", viewer->number);
    if (viewer->asked < header.offset ||
        viewer->asked >= header.offset + header.length)
        story_breach(12, "viewer %d asks for %llu and gets %llu to %llu",
                     viewer->number, (unsigned long long)viewer->asked,
                     (unsigned long long)header.offset,
                     (unsigned long long)(header.offset + header.length));
    story_held(12);
    live_t *live = viewer->live;
    live_node_t *node = &live->node[viewer->at];
    //  What it knew of the origin's clock when it looked at its window last.
    if (now_us(live) - node->told_at > LOOKED_US) {
        node->knew_us = node->told_us;
        node->told_us = answer->now_us;
        node->told_at = now_us(live);
    }
    micros_t oldest = node->knew_us < answer->now_us ? node->knew_us
                                                     : answer->now_us;
    oldest -= 1000 * node->settings.window_ms;
    if (answer->route == RILL__V1__ROUTE__ROUTE_LOCAL && node->group >= 0 &&
        is_settled(live) && header.created_us < oldest - OLD_US)
        story_breach(13, "%s answers %llu, older than its window by %lld ms",
                     node->name, (unsigned long long)header.offset,
                     (long long)(oldest - header.created_us) / 1000);
}

void
check_skip(viewer_t *viewer, const Rill__V1__Skip *skip)
{
    const live_stream_t *stream = &viewer->live->stream[viewer->stream];
    if (skip->from != viewer->next || skip->to <= skip->from)
        story_breach(12, "viewer %d at %llu skips %llu to %llu", viewer->number,
                     (unsigned long long)viewer->next,
                     (unsigned long long)skip->from,
                     (unsigned long long)skip->to);
    for (size_t i = 0; i < stream->chunks; i++)
        if (stream->chunk_at[i] < skip->to &&
            stream->chunk_at[i] + stream->chunk_bytes[i] > skip->from)
            story_breach(12, "viewer %d skips bytes that are there at %llu",
                         viewer->number,
                         (unsigned long long)stream->chunk_at[i]);
    viewer->next = skip->to;
    story_count("hole told to a viewer", 1);
}

static void
check_circle(live_t *live, uint64_t stream, int from)
{
    int at = from, steps = 0;
    while (at >= 0 && steps++ <= live->nodes)
        at = source_of(&live->node[at], stream);
    if (at >= 0)
        story_breach(17, "the sources of %s go in a circle",
                     live->node[from].name);
    story_held(17);
}

static void
check_bounds(const live_node_t *node)
{
    relay_counts_t counts = relay_counts(node->relay);
    if (counts.window_bytes > LIVE_WINDOW || counts.flights > FLIGHTS_MOST ||
        counts.sessions > SESSIONS_MOST)
        story_breach(18, "%s holds %zu bytes, %zu flights", node->name,
                     counts.window_bytes, counts.flights);
    story_held(18);
}

//  For how long two copies of a stream enter a group.
static void
check_two(live_t *live, live_stream_t *stream, int group)
{
    if (!stream->two_since[group])
        return;
    int64_t took = now_us(live) - stream->two_since[group];
    size_t last = stream->chunks > 2 ? stream->chunks - 3 : 0;
    if (took > live->two_most)
        live->two_most = took;
    if (copies_of(live, stream, last, group)->count < 2)
        stream->two_since[group] = 0;
    else if (is_settled(live) && !live->rain && took > TWO_MOST_US)
        story_breach(14, "two copies enter group %d for %lld ms", group,
                     (long long)(took / 1000));
}

//  Who carries a stream does so from its first parent: so there is one for all
//  of a group that says who does, even without multicast (14).
static void
check_home(live_t *live, live_stream_t *stream, int at)
{
    const live_node_t *node = &live->node[at];
    int source = source_of(node, stream->id);
    if (source < 0)
        stream->idle_us[at] = now_us(live);
    bool away = source >= 0 && live->node[source].group != node->group &&
                source != node->link_node[0];
    if (!away)
        stream->away_us[at] = now_us(live);
    else if (is_settled(live) && now_us(live) - stream->away_us[at] > HOME_US)
        story_breach(14, "%s carries %s and does not go home", node->name,
                     stream->name);
}

void
check_sample(live_t *live)
{
    for (int i = 0; i < live->nodes; i++)
        if (live->node[i].relay)
            check_bounds(&live->node[i]);
    for (int i = 0; i < live->streams; i++) {
        for (int group = 0; group < live->groups; group++)
            check_two(live, &live->stream[i], group);
        for (int node = 1; node < live->nodes; node++)
            check_home(live, &live->stream[i], node);
    }
}

static void
check_copies(const live_t *live, const live_stream_t *stream)
{
    for (size_t i = 0; i < stream->chunks; i++)
        for (int group = 0; group < live->groups; group++) {
            if (stream->chunk_us[i] < live->fault_us + SETTLED_US)
                continue;
            int count = copies_of(live, stream, i, group)->count;
            if (count > 1 && !live->rain)
                story_breach(14,
                             "%d copies of chunk %zu of %s entered group %d",
                             count, i, stream->name, group);
            story_held(14);
        }
}

void
check_calm(live_t *live)
{
    for (int s = 0; s < live->streams; s++) {
        for (int i = 1; i < live->nodes; i++)
            check_circle(live, live->stream[s].id, i);
        check_copies(live, &live->stream[s]);
    }
}

void
check_end(live_t *live)
{
    for (int i = 0; i < live->viewers; i++) {
        const viewer_t *viewer = &live->viewer[i];
        if (viewer->asks || viewer->stopped || viewer->done)
            continue;
        story_breach(
            19, "viewer %d at %s from %llu got to %llu of %llu", i,
            viewer->at >= 0 ? live->node[viewer->at].name : "nobody",
            (unsigned long long)viewer->first, (unsigned long long)viewer->next,
            (unsigned long long)live_head(&live->stream[viewer->stream]));
    }
    story_held(19);
    for (int i = 0; i < live->nodes; i++)
        if (source_of(&live->node[i], 0) >= 0 && live->quiet_from &&
            now_us(live) > live->quiet_from)
            story_breach(16, "%s has a source and nobody watches",
                         live->node[i].name);
    if (live->quiet_from && now_us(live) > live->quiet_from)
        story_held(16);
}
