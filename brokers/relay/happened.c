/*  What happens at this node, told to who listens.
 */
#include "node.h"

void
happened_fault(relay_t *self, counter_t reason, status_t status,
               const char *where, const char *what)
{
    counters_up(&self->counters, reason);
    sink_fault(self->settings.sink, status, where, what, 0);
}

//  The stream's name, as far as this node knows it.
static const char *
name_of(const relay_t *self, uint64_t id)
{
    const stream_t *stream = zhashx_lookup(self->streams, &id);
    if (stream && *stream->name)
        return stream->name;
    const window_chunk_t *chunk = window_newest(self->window, id);
    return chunk ? chunk->header.name : "";
}

void
happened_opened(const stream_t *stream, const session_t *session)
{
    const relay_t *self = stream->node;
    if (!SINK_WANTS(self->settings.sink, SESSION_OPENED))
        return;
    Rill__V1__SessionOpened body = RILL__V1__SESSION_OPENED__INIT;
    body.session = session->number;
    body.from = session->cursor;
    body.credit = session->credit;
    event_t event = EVENT(SESSION_OPENED, session_opened, &body, session->trace,
                          stream->id, name_of(self, stream->id));
    sink_tell(self->settings.sink, &event);
}

void
happened_stalled(const stream_t *stream, const session_t *session)
{
    const relay_t *self = stream->node;
    if (!SINK_WANTS(self->settings.sink, SESSION_STALLED))
        return;
    Rill__V1__SessionStalled body = RILL__V1__SESSION_STALLED__INIT;
    body.session = session->number;
    body.at = session->cursor;
    body.behind = stream->head - session->cursor;
    event_t event = EVENT(SESSION_STALLED, session_stalled, &body,
                          session->trace, stream->id,
                          name_of(self, stream->id));
    sink_tell(self->settings.sink, &event);
}

void
happened_ended(const relay_t *self, const session_t *session, status_t status)
{
    if (!session->begun || !SINK_WANTS(self->settings.sink, SESSION_ENDED))
        return;
    Rill__V1__SessionEnded body = RILL__V1__SESSION_ENDED__INIT;
    body.session = session->number;
    body.at = session->cursor;
    body.bytes = session->sent;
    body.status = (Rill__V1__Status)status;
    event_t event = EVENT(SESSION_ENDED, session_ended, &body, session->trace,
                          session->stream, name_of(self, session->stream));
    sink_tell(self->settings.sink, &event);
}

void
happened_published(const stream_t *stream, const chunk_header_t *header,
                   size_t receivers)
{
    const relay_t *self = stream->node;
    if (!receivers || !SINK_WANTS(self->settings.sink, CHUNK_PUBLISHED))
        return;
    Rill__V1__ChunkPublished body = RILL__V1__CHUNK_PUBLISHED__INIT;
    body.offset = header->offset;
    body.bytes = header->length;
    body.receivers = (uint32_t)receivers;
    event_t event = EVENT(CHUNK_PUBLISHED, chunk_published, &body, 0,
                          stream->id, header->name);
    sink_tell(self->settings.sink, &event);
}

void
happened_asked(const relay_t *self, uint64_t stream, uint64_t offset,
               uint64_t trace)
{
    const sink_t *sink = self->settings.sink;
    siblings_mark_t *mark = siblings_mark(self->siblings, stream, offset);
    if (mark)
        *mark = (siblings_mark_t){ trace, SINK_CLOCK(sink, SIBLING_ANSWERED) };
    if (!SINK_WANTS(sink, SIBLING_ASKED))
        return;
    Rill__V1__SiblingAsked body = RILL__V1__SIBLING_ASKED__INIT;
    body.live = offset == PACKET_LIVE;
    body.offset = body.live ? 0 : offset;
    event_t event = EVENT(SIBLING_ASKED, sibling_asked, &body, trace, stream,
                          name_of(self, stream));
    sink_tell(sink, &event);
}

void
happened_answered(const relay_t *self, int link, const packet_t *packet)
{
    const sink_t *sink = self->settings.sink;
    if (!SINK_WANTS(sink, SIBLING_ANSWERED))
        return;
    Rill__V1__SiblingAnswered body = RILL__V1__SIBLING_ANSWERED__INIT;
    const siblings_mark_t *mark = siblings_mark(self->siblings, packet->stream,
                                                packet->from);
    body.sibling = message_lend(self->links[link].name);
    body.offset = packet->from == PACKET_LIVE ? 0 : packet->from;
    body.has = packet->type == PACKET_YES;
    body.ms = mark ? sink_ms(mark->asked_us, SINK_CLOCK(sink, SIBLING_ANSWERED))
                   : 0;
    event_t event = EVENT(SIBLING_ANSWERED, sibling_answered, &body,
                          mark ? mark->trace : 0, packet->stream,
                          name_of(self, packet->stream));
    sink_tell(sink, &event);
}

void
happened_carries(const stream_t *stream)
{
    const relay_t *self = stream->node;
    const sink_t *sink = self->settings.sink;
    char *parent = message_lend(self->links[stream->source].name);
    if (SINK_WANTS(sink, CARRIER_CLAIMED)) {
        Rill__V1__CarrierClaimed body = RILL__V1__CARRIER_CLAIMED__INIT;
        body.parent = parent;
        body.grant = stream->grant;
        event_t event = EVENT(CARRIER_CLAIMED, carrier_claimed, &body, 0,
                              stream->id, name_of(self, stream->id));
        sink_tell(sink, &event);
    }
    if (stream->carrier >= 0 && SINK_WANTS(sink, CARRIER_TOOK_OVER)) {
        Rill__V1__CarrierTookOver body = RILL__V1__CARRIER_TOOK_OVER__INIT;
        body.parent = parent;
        body.from = message_lend(self->links[stream->carrier].name);
        event_t event = EVENT(CARRIER_TOOK_OVER, carrier_took_over, &body, 0,
                              stream->id, name_of(self, stream->id));
        sink_tell(sink, &event);
    }
}
