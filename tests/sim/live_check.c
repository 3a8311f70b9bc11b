#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "invariant.h"
#include "live.h"
#include "story.h"

enum { SETTLED_US = 6000000, TWO_MOST_US = 2500000, NEW_US = 1000000 };

//  A question of a node for a chunk that is not answered yet (15).
struct live_asked {
    int from, to;
    uint64_t offset, request;
    int64_t at_us;
};

static int64_t
now_us(const live_t *live)
{
    return agenda_now(live->agenda);
}

//  Whom a node takes the stream from; -1: nobody.
static int
source_of(const live_node_t *node)
{
    relay_state_t states[4];
    size_t count = node->relay ? relay_states(node->relay, states, 4) : 0;
    for (size_t i = 0; i < count; i++)
        if (states[i].stream == LIVE_STREAM && states[i].source >= 0)
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

void
check_published(live_t *live, int from, uint64_t stream, int to,
                const chunk_header_t *header)
{
    check_quiet(live, from, "a chunk");
    int group = live->node[to].group;
    size_t chunk = live_chunk_of(live, header->offset);
    if (stream != LIVE_STREAM || chunk == SIZE_MAX)
        story_breach(13, "%s publishes what is not there",
                     live->node[from].name);
    if (live->node[from].group == group)
        return;
    unsigned copies = ++live->copies[chunk][group];
    story_tell("chunk %zu enters group %d to %s", chunk, group,
               live->node[to].name);
    if (copies >= 2 && !live->two_since[group])
        live->two_since[group] = now_us(live);
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
    if (message->body_case != RILL__V1__MESSAGE__BODY_ASK)
        return;
    for (size_t i = live->asked_count; i-- > 0;) {
        struct live_asked *asked = &live->asked[i];
        int64_t age = now_us(live) - asked->at_us;
        if (age > 10000000) {
            *asked = live->asked[--live->asked_count];
            continue;
        }
        if (asked->from != from || asked->offset != message->ask->offset)
            continue;
        const live_node_t *other = &live->node[asked->to];
        bool broke = !other->relay || (other->died_us &&
                                       now_us(live) - other->died_us < 3000000);
        if (age < 240000 && !broke)
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
    live->asked[live->asked_count++] = (struct live_asked){
        from, to, message->ask->offset, message->request, now_us(live)
    };
    story_held(15);
}

//  A chunk that is asked for by one who follows is a copy too, while it is new.
static void
check_copy(live_t *live, int from, int to, const message_t *message)
{
    if (message->body_case != RILL__V1__MESSAGE__BODY_ANSWER ||
        live->node[from].group == live->node[to].group ||
        source_of(&live->node[to]) < 0)
        return;
    size_t chunk = live_chunk_of(live, message->answer->chunk->offset);
    if (chunk != SIZE_MAX && now_us(live) - live->chunk_us[chunk] < NEW_US) {
        story_tell("chunk %zu enters group %d by %s's ask", chunk,
                   live->node[to].group, live->node[to].name);
        live->copies[chunk][live->node[to].group]++;
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
        !content_is(LIVE_STREAM, header.offset, buffer_bytes(payload),
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

void
check_skip(viewer_t *viewer, const Rill__V1__Skip *skip)
{
    live_t *live = viewer->live;
    if (skip->from != viewer->next || skip->to <= skip->from)
        story_breach(12, "viewer %d at %llu skips %llu to %llu", viewer->number,
                     (unsigned long long)viewer->next,
                     (unsigned long long)skip->from,
                     (unsigned long long)skip->to);
    for (size_t i = 0; i < live->chunks; i++)
        if (live->chunk_at[i] < skip->to &&
            live->chunk_at[i] + live->chunk_bytes[i] > skip->from)
            story_breach(12, "viewer %d skips bytes that are there at %llu",
                         viewer->number, (unsigned long long)live->chunk_at[i]);
    viewer->next = skip->to;
    story_count("hole told to a viewer", 1);
}

static void
check_circle(live_t *live, int from)
{
    int at = from, steps = 0;
    while (at >= 0 && steps++ <= live->nodes)
        at = source_of(&live->node[at]);
    if (at >= 0)
        story_breach(17, "the sources of %s go in a circle",
                     live->node[from].name);
    story_held(17);
}

void
check_sample(live_t *live)
{
    for (int i = 0; i < live->nodes; i++) {
        if (!live->node[i].relay)
            continue;
        relay_counts_t counts = relay_counts(live->node[i].relay);
        if (counts.window_bytes > LIVE_WINDOW ||
            counts.flights > FLIGHTS_MOST || counts.sessions > SESSIONS_MOST)
            story_breach(18, "%s holds %zu bytes, %zu flights",
                         live->node[i].name, counts.window_bytes,
                         counts.flights);
        story_held(18);
    }
    for (int group = 0; group < live->groups; group++) {
        if (!live->two_since[group])
            continue;
        int64_t took = now_us(live) - live->two_since[group];
        if (took > live->two_most)
            live->two_most = took;
        size_t last = live->chunks > 2 ? live->chunks - 3 : 0;
        if (live->copies[last][group] < 2)
            live->two_since[group] = 0;
        else if (live->calm && !live->rain && took > TWO_MOST_US &&
                 now_us(live) - live->fault_us > SETTLED_US)
            story_breach(14, "two copies enter group %d for %lld ms", group,
                         (long long)(took / 1000));
    }
}

void
check_calm(live_t *live)
{
    for (int i = 1; i < live->nodes; i++)
        check_circle(live, i);
    for (size_t i = 0; i < live->chunks; i++)
        for (int group = 0; group < live->groups; group++) {
            if (live->chunk_us[i] < live->fault_us + SETTLED_US)
                continue;
            if (live->copies[i][group] > 1 && !live->rain)
                story_breach(14, "%u copies of chunk %zu entered group %d",
                             live->copies[i][group], i, group);
            story_held(14);
        }
}

void
check_end(live_t *live)
{
    for (int i = 0; i < live->viewers; i++) {
        const viewer_t *viewer = &live->viewer[i];
        if (viewer->asks || viewer->stopped || viewer->done)
            continue;
        story_breach(19, "viewer %d at %s from %llu got to %llu of %llu", i,
                     viewer->at >= 0 ? live->node[viewer->at].name : "nobody",
                     (unsigned long long)viewer->first,
                     (unsigned long long)viewer->next,
                     (unsigned long long)live_head(live));
    }
    story_held(19);
    for (int i = 0; i < live->nodes; i++)
        if (source_of(&live->node[i]) >= 0 && live->quiet_from &&
            now_us(live) > live->quiet_from)
            story_breach(16, "%s has a source and nobody watches",
                         live->node[i].name);
    if (live->quiet_from && now_us(live) > live->quiet_from)
        story_held(16);
}
