/*  The origin of a wide tree: its streams, and what a forwarder does beside its
 *  relay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "content.h"
#include "invariant.h"
#include "wide.h"

static buffer_t *
chunk_at(int stream, uint64_t chunk, chunk_header_t *header_r)
{
    buffer_t *payload = buffer_new(WIDE_CHUNK);
    uint64_t id = (uint64_t)stream + 1;
    content_fill(id, chunk * WIDE_CHUNK, buffer_fill(payload), WIDE_CHUNK);
    *header_r = (chunk_header_t){
        .key = { .stream = id, .epoch = 1, .block = chunk },
        .code = { .k = 1, .m = 0 },
        .width = 1,
        .offset = chunk * WIDE_CHUNK,
        .length = WIDE_CHUNK,
        .created_us = WIDE_BEGAN_US + wide.cut_us[stream][chunk],
        .kind = KIND_LIVE,
        .payload_crc = checksum_crc32c(buffer_bytes(payload), WIDE_CHUNK),
    };
    memcpy(header_r->name, wide.name[stream], sizeof wide.name[stream]);
    return payload;
}

status_t
wide_look(void *with, const char *name, uint64_t id, relay_facts_t *facts_r)
{
    (void)with;
    for (int i = 0; name && i < WIDE_STREAMS; i++)
        if (strcmp(name, wide.name[i]) == 0)
            id = (uint64_t)i + 1;
    if (id < 1 || id > WIDE_STREAMS)
        return STATUS_UNKNOWN;
    uint64_t head = wide.head[id - 1];
    *facts_r = (relay_facts_t){
        .stream = id,
        .name = wide.name[id - 1],
        .head = head,
        .chunk_bytes = WIDE_CHUNK,
        .newest_us = head ? WIDE_BEGAN_US +
                                wide.cut_us[id - 1][head / WIDE_CHUNK - 1]
                          : 0,
        .now_us = wide_origin_us(),
    };
    return STATUS_OK;
}

typedef struct {
    uint64_t stream, offset;
} errand_t;

static void
on_errand(void *arg, bool happens)
{
    errand_t *errand = arg;
    if (happens) {
        int stream = (int)errand->stream - 1;
        chunk_header_t header;
        buffer_t *payload = chunk_at(stream, errand->offset / WIDE_CHUNK,
                                     &header);
        flights_chunk_t landed = { .header = &header,
                                   .payload = payload,
                                   .route = RILL__V1__ROUTE__ROUTE_STORE,
                                   .now_us = wide_origin_us(),
                                   .head = wide.head[stream] };
        wide_turn_to(SPENT_CHUNKED);
        relay_land(wide.node[0].relay, errand->stream, errand->offset, &landed,
                   wide_now());
        wide_turn_to(SPENT_OWN);
        buffer_unref(&payload);
        wide_after(&wide.node[0]);
    }
    free(errand);
}

void
wide_fetch(void *with, uint64_t stream, uint64_t offset, millis_t now)
{
    (void)with, (void)now;
    errand_t *errand = malloc(sizeof *errand);
    INVARIANT(errand);
    *errand = (errand_t){ stream, offset };
    agenda_add(wide.agenda, dice_between(&wide.dice, 500, 5000), on_errand,
               errand);
}

void
wide_locate(void *with, uint64_t stream, micros_t time_us, uint64_t request,
            millis_t now)
{
    (void)with, (void)stream, (void)time_us, (void)request, (void)now;
    INVARIANT(!"nobody begins at a time");
}

static void
described(const peer_t *peer, const message_t *question,
          const relay_facts_t *facts)
{
    Rill__V1__Described body = RILL__V1__DESCRIBED__INIT;
    body.stream = facts->stream;
    body.name = message_lend(facts->name);
    body.stored = body.size = facts->head;
    body.created_us = WIDE_BEGAN_US;
    body.now_us = facts->now_us;
    body.newest_us = facts->newest_us;
    message_t message = MESSAGE(DESCRIBED, described, &body, question->request,
                                0);
    wide_send(&wide.node[0], peer, &message, NULL);
}

static void
refuse(const peer_t *peer, const message_t *question, status_t status,
       uint64_t nearest, const char *taken)
{
    Rill__V1__Refused body = message_refusal(status, NULL, nearest);
    if (taken)
        body.node = message_lend(taken);
    message_t message = MESSAGE(REFUSED, refused, &body, question->request, 0);
    wide_send(&wide.node[0], peer, &message, NULL);
}

//  What a forwarder does beside its relay.
bool
wide_root_front(const peer_t *peer, const message_t *message)
{
    relay_facts_t facts;
    relay_t *relay = wide.node[0].relay;
    millis_t now = wide_now();
    if (message->body_case == RILL__V1__MESSAGE__BODY_DESCRIBE) {
        const Rill__V1__Describe *asked = message->describe;
        bool named = asked->which_case == RILL__V1__DESCRIBE__WHICH_NAME;
        status_t status = wide_look(NULL, named ? asked->name : NULL,
                                    named ? 0 : asked->stream, &facts);
        INVARIANT(status == STATUS_OK);
        described(peer, message, &facts);
        return true;
    }
    if (message->body_case != RILL__V1__MESSAGE__BODY_ASK)
        return false;
    const Rill__V1__Ask *ask = message->ask;
    status_t status = wide_look(NULL, NULL, ask->stream, &facts);
    INVARIANT(status == STATUS_OK);
    const char *taken = NULL;
    if (ask->offset >= facts.head)
        refuse(peer, message, STATUS_FUTURE, facts.head, NULL);
    else if ((taken = relay_taken(relay, ask, now)) != NULL)
        refuse(peer, message, STATUS_TAKEN, 0, taken);
    else
        relay_ask(relay, peer, message, ask->stream, ask->offset,
                  now + ask->budget_ms, now);
    return true;
}

static void
on_source(void *arg, bool happens)
{
    int stream = (int)(intptr_t)arg;
    if (!happens)
        return;
    uint64_t chunk = wide.head[stream] / WIDE_CHUNK;
    INVARIANT(chunk < WIDE_CHUNKS);
    wide.cut_us[stream][chunk] = agenda_now(wide.agenda);
    wide.head[stream] += WIDE_CHUNK;
    wide.wanted += wide_between(WIDE_CALM_US, WIDE_LOST_US);
    chunk_header_t header;
    buffer_t *payload = chunk_at(stream, chunk, &header);
    flights_chunk_t cut = { .header = &header,
                            .payload = payload,
                            .route = RILL__V1__ROUTE__ROUTE_LOCAL,
                            .now_us = wide_origin_us(),
                            .head = wide.head[stream] };
    wide_turn_to(SPENT_CHUNKED);
    relay_on_chunk(wide.node[0].relay, &cut, wide_now());
    wide_turn_to(SPENT_OWN);
    buffer_unref(&payload);
    agenda_add(wide.agenda, WIDE_SECOND, on_source, arg);
}

void
wide_add_streams(void)
{
    for (int i = 0; i < WIDE_STREAMS; i++) {
        snprintf(wide.name[i], sizeof wide.name[i], "cam%d", i);
        agenda_add(wide.agenda, i * WIDE_SECOND / WIDE_STREAMS, on_source,
                   (void *)(intptr_t)i);
    }
}
