/*  What happens at the origin, told to who listens.
 */
#include "origin.h"

void
events_dealt(const block_t *block, unsigned slot, const chunk_header_t *header,
             const worker_t *worker)
{
    const core_t *self = block->stream->core;
    if (!SINK_WANTS(self->settings.sink, CHUNK_DEALT))
        return;
    Rill__V1__ChunkDealt body = RILL__V1__CHUNK_DEALT__INIT;
    body.offset = header->offset;
    body.bytes = header->length;
    body.epoch = block->extent->epoch;
    body.block = block->number;
    body.slot = slot;
    body.parity = slot >= block->extent->code.k;
    body.worker = message_lend(worker->name);
    event_t event = EVENT(CHUNK_DEALT, chunk_dealt, &body, 0,
                          block->stream->record.id, header->name);
    sink_tell(self->settings.sink, &event);
}

void
events_redealt(const block_t *block, uint64_t store)
{
    const stream_t *stream = block->stream;
    const core_t *self = stream->core;
    char label[CORE_LABEL_BYTES] = "";
    if (!SINK_WANTS(self->settings.sink, BLOCK_REDEALT))
        return;
    Rill__V1__BlockRedealt body = RILL__V1__BLOCK_REDEALT__INIT;
    body.epoch = block->extent->epoch;
    body.block = block->number;
    body.worker = store ? core_label(self, store, label) : label;
    event_t event = EVENT(BLOCK_REDEALT, block_redealt, &body, 0,
                          stream->record.id, stream->record.name);
    sink_tell(self->settings.sink, &event);
}

void
events_acknowledged(stream_t *stream)
{
    const core_t *self = stream->core;
    bool more = stream->stored > stream->said_stored ||
                stream->settled > stream->said_settled;
    stream->said_stored = stream->stored;
    stream->said_settled = stream->settled;
    if (!more || !SINK_WANTS(self->settings.sink, BYTES_ACKNOWLEDGED))
        return;
    Rill__V1__BytesAcknowledged body = RILL__V1__BYTES_ACKNOWLEDGED__INIT;
    body.stored = stream->stored;
    body.settled = stream->settled;
    event_t event = EVENT(BYTES_ACKNOWLEDGED, bytes_acknowledged, &body, 0,
                          stream->record.id, stream->record.name);
    sink_tell(self->settings.sink, &event);
}

void
events_opened(const stream_t *stream, uint64_t offset, uint64_t trace)
{
    const core_t *self = stream->core;
    if (!SINK_WANTS(self->settings.sink, SOURCE_OPENED))
        return;
    Rill__V1__SourceOpened body = RILL__V1__SOURCE_OPENED__INIT;
    body.offset = offset;
    event_t event = EVENT(SOURCE_OPENED, source_opened, &body, trace,
                          stream->record.id, stream->record.name);
    sink_tell(self->settings.sink, &event);
}

void
events_ended(const stream_t *stream)
{
    const core_t *self = stream->core;
    if (!SINK_WANTS(self->settings.sink, SOURCE_ENDED))
        return;
    Rill__V1__SourceEnded body = RILL__V1__SOURCE_ENDED__INIT;
    body.sealed = stream->state == STREAM_SEALED;
    body.offset = body.sealed       ? stream->record.size
                  : stream->chunker ? chunker_next(stream->chunker)
                                    : stream->stored;
    event_t event = EVENT(SOURCE_ENDED, source_ended, &body, 0,
                          stream->record.id, stream->record.name);
    sink_tell(self->settings.sink, &event);
}

void
events_registered(const core_t *self, const worker_t *worker)
{
    if (worker->state != WORKER_LIVE ||
        !SINK_WANTS(self->settings.sink, WORKER_REGISTERED))
        return;
    Rill__V1__WorkerRegistered body = RILL__V1__WORKER_REGISTERED__INIT;
    body.worker = message_lend(worker->name);
    body.chunks = worker->chunks;
    body.free_bytes = worker->free_bytes;
    event_t event = EVENT(WORKER_REGISTERED, worker_registered, &body, 0, 0,
                          "");
    sink_tell(self->settings.sink, &event);
}

void
events_lost(const core_t *self, const worker_t *worker, const char *why)
{
    if (worker->state != WORKER_LIVE ||
        !SINK_WANTS(self->settings.sink, WORKER_LOST))
        return;
    Rill__V1__WorkerLost body = RILL__V1__WORKER_LOST__INIT;
    body.worker = message_lend(worker->name);
    body.why = message_lend(why);
    body.unreceipted = worker->outstanding;
    event_t event = EVENT(WORKER_LOST, worker_lost, &body, 0, 0, "");
    sink_tell(self->settings.sink, &event);
}

void
events_full(const core_t *self, const worker_t *worker)
{
    if (!SINK_WANTS(self->settings.sink, WORKER_FULL))
        return;
    Rill__V1__WorkerFull body = RILL__V1__WORKER_FULL__INIT;
    body.worker = message_lend(worker->name);
    body.free_bytes = worker->free_bytes;
    event_t event = EVENT(WORKER_FULL, worker_full, &body, 0, 0, "");
    sink_tell(self->settings.sink, &event);
}

void
events_forgotten(const core_t *self, uint64_t streams, uint64_t bytes)
{
    if ((!streams && !bytes) || !SINK_WANTS(self->settings.sink, RETENTION_RAN))
        return;
    Rill__V1__RetentionRan body = RILL__V1__RETENTION_RAN__INIT;
    body.streams = streams;
    body.bytes = bytes;
    event_t event = EVENT(RETENTION_RAN, retention_ran, &body, 0, 0, "");
    sink_tell(self->settings.sink, &event);
}
