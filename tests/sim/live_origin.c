/*  The streams that the origin of a live tree has, and what a forwarder does
 *  beside its relay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "content.h"
#include "invariant.h"
#include "live.h"
#include "story.h"

enum { TICK_US = 100000, GAP = 500, RECOVERS_US = 1500000 };
#define BEGAN_US 1700000000000000

typedef struct {
    live_t *live;
    live_stream_t *stream;
    int64_t seals_us;
} source_t;

uint64_t
live_head(const live_stream_t *stream)
{
    size_t last = stream->chunks - 1;
    return stream->chunks ? stream->chunk_at[last] + stream->chunk_bytes[last]
                          : 0;
}

size_t
live_chunk_of(const live_stream_t *stream, uint64_t offset)
{
    for (size_t i = stream->chunks; i-- > 0;)
        if (stream->chunk_at[i] <= offset)
            return offset < stream->chunk_at[i] + stream->chunk_bytes[i]
                       ? i
                       : SIZE_MAX;
    return SIZE_MAX;
}

size_t
live_chunk_at(const live_stream_t *stream, micros_t time_us)
{
    size_t chunk = stream->chunks;
    while (chunk > 0 && stream->created_us[chunk - 1] > time_us)
        chunk--;
    return chunk ? chunk - 1 : SIZE_MAX;
}

live_stream_t *
live_stream(live_t *live, uint64_t id)
{
    for (int i = 0; i < live->streams; i++)
        if (live->stream[i].id == id)
            return &live->stream[i];
    return NULL;
}

micros_t
live_clock(const live_t *live)
{
    return BEGAN_US + agenda_now(live->agenda) + live->clock_us;
}

static bool
recovers(const live_t *live)
{
    return agenda_now(live->agenda) < live->recovers_us;
}

static micros_t
newest_us(const live_stream_t *stream)
{
    return stream->chunks ? stream->created_us[stream->chunks - 1] : 0;
}

static buffer_t *
payload_of(const live_stream_t *stream, size_t chunk, chunk_header_t *header_r)
{
    size_t size = stream->chunk_bytes[chunk];
    buffer_t *payload = buffer_new(size);
    content_fill(stream->id, stream->chunk_at[chunk], buffer_fill(payload),
                 size);
    *header_r = (chunk_header_t){
        .key = { .stream = stream->id, .epoch = 1, .block = chunk },
        .code = { .k = 1, .m = 0 },
        .width = 1,
        .offset = stream->chunk_at[chunk],
        .length = (uint32_t)size,
        .created_us = stream->created_us[chunk],
        .kind = KIND_LIVE,
        .payload_crc = checksum_crc32c(buffer_bytes(payload), size),
    };
    snprintf(header_r->name, sizeof header_r->name, "%s", stream->name);
    return payload;
}

/*------------------------------------------------------- what its relay asks */

status_t
live_root_look(live_t *live, const char *name, uint64_t id,
               relay_facts_t *facts_r)
{
    live_stream_t *stream = name ? NULL : live_stream(live, id);
    for (int i = 0; name && i < live->streams; i++)
        if (strcmp(live->stream[i].name, name) == 0)
            stream = &live->stream[i];
    if (!stream)
        return STATUS_UNKNOWN;
    if (recovers(live))
        return STATUS_HELD;
    *facts_r = (relay_facts_t){ .stream = stream->id,
                                .name = stream->name,
                                .head = live_head(stream),
                                .sealed = stream->sealed,
                                .chunk_bytes = 200,
                                .newest_us = newest_us(stream),
                                .now_us = live_clock(live) };
    return STATUS_OK;
}

//  A fetch or a search of the root, done some time later.
typedef struct {
    live_node_t *node;
    unsigned life;
    live_stream_t *stream;
    uint64_t offset;
    micros_t time_us;
    uint64_t request;
    bool locates;
} errand_t;

static void
fetched(live_node_t *node, const live_stream_t *stream, uint64_t offset)
{
    live_t *live = node->live;
    size_t chunk = live_chunk_of(stream, offset);
    uint64_t head = live_head(stream), nearest = offset;
    millis_t now = live_now(live);
    if (chunk != SIZE_MAX) {
        chunk_header_t header;
        buffer_t *payload = payload_of(stream, chunk, &header);
        flights_chunk_t landed = { .header = &header,
                                   .payload = payload,
                                   .route = RILL__V1__ROUTE__ROUTE_STORE,
                                   .sealed = stream->sealed,
                                   .now_us = live_clock(live),
                                   .head = head };
        relay_land(node->relay, stream->id, offset, &landed, now);
        buffer_unref(&payload);
        return;
    }
    while (nearest < head && live_chunk_of(stream, nearest) == SIZE_MAX)
        nearest++;
    relay_fail(node->relay, stream->id, offset,
               offset < head || stream->sealed ? STATUS_RANGE : STATUS_FUTURE,
               NULL, offset < head ? nearest : head, now);
}

static void
located(live_node_t *node, const live_stream_t *stream, const errand_t *errand)
{
    size_t chunk = live_chunk_at(stream, errand->time_us);
    bool found = chunk != SIZE_MAX;
    relay_located(node->relay, errand->request, found ? STATUS_OK : STATUS_GONE,
                  found ? stream->chunk_at[chunk] : 0,
                  found ? stream->created_us[chunk] : 0, live_now(node->live));
}

static void
on_errand(void *arg, bool happens)
{
    errand_t *errand = arg;
    live_node_t *node = errand->node;
    live_t *live = node->live;
    if (!happens || !node->relay || node->life != errand->life) {
        free(errand);
        return;
    }
    if (node->hung || recovers(live)) {
        agenda_add(live->agenda, TICK_US, on_errand, errand);
        return;
    }
    story_time(agenda_now(live->agenda));
    if (errand->locates)
        located(node, errand->stream, errand);
    else
        fetched(node, errand->stream, errand->offset);
    live_after(node);
    free(errand);
}

static void
run_errand(errand_t what)
{
    live_t *live = what.node->live;
    if (!what.stream)
        story_breach(0, "the root looks for a stream that is not there");
    errand_t *errand = malloc(sizeof *errand);
    INVARIANT(errand);
    *errand = what;
    errand->life = what.node->life;
    agenda_add(live->agenda, dice_between(&live->dice, 500, 5000), on_errand,
               errand);
}

void
live_root_fetch(live_node_t *node, uint64_t stream, uint64_t offset)
{
    run_errand((errand_t){ .node = node,
                           .stream = live_stream(node->live, stream),
                           .offset = offset });
}

void
live_root_locate(live_node_t *node, uint64_t stream, micros_t time_us,
                 uint64_t request)
{
    run_errand((errand_t){ .node = node,
                           .stream = live_stream(node->live, stream),
                           .time_us = time_us,
                           .request = request,
                           .locates = true });
}

/*----------------------------------------------- what it does beside its relay */

static void
answer(live_node_t *node, const peer_t *peer, const message_t *question,
       message_t *message)
{
    message->request = question->request;
    (void)live_send(node, peer, message, NULL);
}

static void
refuse(live_node_t *node, const peer_t *peer, const message_t *question,
       status_t status, uint64_t nearest, const char *taken)
{
    Rill__V1__Refused body = message_refusal(status, NULL, nearest);
    if (taken)
        body.node = message_lend(taken);
    message_t message = MESSAGE(REFUSED, refused, &body, 0, 0);
    answer(node, peer, question, &message);
}

static void
describe(live_node_t *node, const peer_t *peer, const message_t *question)
{
    relay_facts_t facts;
    const Rill__V1__Describe *asked = question->describe;
    bool named = asked->which_case == RILL__V1__DESCRIBE__WHICH_NAME;
    status_t status = live_root_look(node->live, named ? asked->name : NULL,
                                     named ? 0 : asked->stream, &facts);
    if (status != STATUS_OK) {
        refuse(node, peer, question, status, 0, NULL);
        return;
    }
    Rill__V1__Described body = RILL__V1__DESCRIBED__INIT;
    body.stream = facts.stream;
    body.name = message_lend(facts.name);
    body.sealed = facts.sealed;
    body.stored = body.size = facts.head;
    body.created_us = BEGAN_US;
    body.now_us = facts.now_us;
    body.newest_us = facts.newest_us;
    message_t message = MESSAGE(DESCRIBED, described, &body, 0, 0);
    answer(node, peer, question, &message);
}

static void
asked(live_node_t *node, const peer_t *peer, const message_t *message)
{
    live_t *live = node->live;
    const Rill__V1__Ask *ask = message->ask;
    const live_stream_t *stream = live_stream(live, ask->stream);
    uint64_t head = stream ? live_head(stream) : 0;
    millis_t now = live_now(live);
    const char *taken = NULL;
    if (!stream || recovers(live))
        refuse(node, peer, message, stream ? STATUS_HELD : STATUS_UNKNOWN, 0,
               NULL);
    else if (ask->at_case != RILL__V1__ASK__AT_OFFSET)
        relay_ask_at(node->relay, peer, message, now);
    else if (ask->offset >= head)
        refuse(node, peer, message,
               stream->sealed ? STATUS_RANGE : STATUS_FUTURE, head, NULL);
    else if ((taken = relay_taken(node->relay, ask, now)))
        refuse(node, peer, message, STATUS_TAKEN, 0, taken);
    else
        relay_ask(node->relay, peer, message, ask->stream, ask->offset,
                  now + ask->budget_ms, now);
}

bool
live_root_front(live_node_t *node, const peer_t *peer, const message_t *message)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_DESCRIBE:
        describe(node, peer, message);
        return true;
    case RILL__V1__MESSAGE__BODY_ASK:
        asked(node, peer, message);
        return true;
    default:
        return false;
    }
}

/*-------------------------------------------------------------------- sources */

//  What was created then was, or will be, cut twice.
static void
twice(live_stream_t *stream, size_t chunk)
{
    micros_t created_us = stream->created_us[chunk];
    if (!stream->twice_from || created_us < stream->twice_from)
        stream->twice_from = created_us;
    if (created_us > stream->twice_to)
        stream->twice_to = created_us;
}

//  What a source sends again is there at once, and may be one long chunk.
static uint32_t
next_bytes(live_t *live, const live_stream_t *stream, uint64_t at)
{
    uint32_t bytes = stream->even_bytes
                         ? stream->even_bytes
                         : (uint32_t)dice_between(&live->dice, 50, 350);
    if (at >= stream->said || dice_chance(&live->dice, 500))
        return bytes;
    story_count("many chunks cut again as one", stream->said - at > 8 * 350);
    return bytes + (uint32_t)(stream->said - at);
}

static void
cut(live_t *live, live_stream_t *stream)
{
    live_node_t *root = &live->node[0];
    uint64_t at = live_head(stream);
    bool again = at < stream->said;
    if (stream->chunks && !again && dice_chance(&live->dice, 5)) {
        at += GAP;
        story_count("hole made by a source", 1);
    }
    micros_t newest = newest_us(stream), clock = live_clock(live);
    size_t chunk = stream->chunks++;
    INVARIANT(chunk < LIVE_CHUNKS);
    stream->chunk_at[chunk] = at;
    stream->chunk_bytes[chunk] = next_bytes(live, stream, at);
    stream->chunk_us[chunk] = agenda_now(live->agenda);
    stream->created_us[chunk] = clock > newest ? clock : newest;
    if (again) {
        story_count("chunk cut again", 1);
        twice(stream, chunk);
    }
    if (live_head(stream) > stream->said)
        stream->said = live_head(stream);
    chunk_header_t header;
    buffer_t *payload = payload_of(stream, chunk, &header);
    flights_chunk_t cut = { .header = &header,
                            .payload = payload,
                            .route = RILL__V1__ROUTE__ROUTE_LOCAL,
                            .now_us = live_clock(live),
                            .head = live_head(stream) };
    relay_on_chunk(root->relay, &cut, live_now(live));
    buffer_unref(&payload);
    live_after(root);
}

static void
on_source(void *arg, bool happens)
{
    source_t *source = arg;
    live_t *live = source->live;
    if (!happens) {
        free(source);
        return;
    }
    story_time(agenda_now(live->agenda));
    live_node_t *root = &live->node[0];
    bool serves = root->relay && !root->hung && !recovers(live);
    if (serves && agenda_now(live->agenda) >= source->seals_us) {
        source->stream->sealed = true;
        relay_on_stream(root->relay, source->stream->id, live_now(live));
        free(source);
        return;
    }
    if (serves)
        cut(live, source->stream);
    agenda_add(live->agenda, source->stream->every_us, on_source, source);
}

void
live_origin_new(live_t *live, int64_t seals_us)
{
    static const int64_t EVERY_US[] = { 100000, 200000, 200000, 300000 };
    live->streams = dice_chance(&live->dice, 250) ? LIVE_STREAMS : 1;
    for (int i = 0; i < live->streams; i++) {
        live->stream[i].id = 77 + (uint64_t)i;
        snprintf(live->stream[i].name, sizeof live->stream[i].name, "cam%d", i);
        live->stream[i].every_us = EVERY_US[dice_below(&live->dice, 4)];
        if (dice_chance(&live->dice, 300))
            live->stream[i].even_bytes = (uint32_t)dice_between(&live->dice, 50,
                                                                350);
        source_t *source = malloc(sizeof *source);
        INVARIANT(source);
        *source = (source_t){ live, &live->stream[i], seals_us };
        agenda_add(live->agenda, 50000 + 37000 * i, on_source, source);
    }
    if (live->streams > 1)
        story_count("two streams at once", 1);
}

void
live_origin_back(live_t *live)
{
    live->recovers_us = agenda_now(live->agenda) +
                        dice_between(&live->dice, 0, RECOVERS_US);
    for (int i = 0; i < live->streams; i++) {
        live_stream_t *stream = &live->stream[i];
        bool much = dice_chance(&live->dice, 300);
        size_t lost = dice_below(&live->dice, much ? 24 : 4);
        while (lost-- && stream->chunks > 1) {
            size_t last = stream->chunks - 1;
            if (live_chunk_of(stream, stream->chunk_at[last] - 1) == SIZE_MAX)
                break;  //  A hole is known as soon as it is made
            twice(stream, last);
            memset(&stream->copies[last * (size_t)live->groups], 0,
                   (size_t)live->groups * sizeof *stream->copies);
            stream->chunks--;
        }
    }
}
