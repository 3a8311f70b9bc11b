/*  Sources: who may write, from where on, how much, until when (R11, R19).
 */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    SOURCE_LEASE_MS = 10000,
    SILENT_MS = 2000,  //  After that who brings nothing makes room for others
    BUFFER_MS_MOST = 60000,
    LIVE_LEAST_BYTES = 64 * 1024,  //  Of credit, so that it gets on
    FIRST_WINDOW_BYTES = 1024 * 1024,
};

//  Behind what was lost and may have been read nobody writes other bytes: as
//  far as an extent can go in years.
#define LOST_REACH_BYTES (1ull << 40)

//  A declared size, so that no sum of offsets overflows.
#define SIZE_MOST (UINT64_MAX / 4)

//  ---- credit and progress

static uint32_t
chunk_size(const stream_t *stream)
{
    return stream->chunker ? chunker_size(stream->chunker)
                           : stream->core->settings.chunk_bytes;
}

//  Payload that open chunks may hold in all, so that parity and headers beside
//  it stay in the budget: m <= k but for codes that were asked for.
static uint64_t
payload_budget(const core_t *self, code_t code)
{
    uint64_t half = self->settings.memory_bytes / 32 * 15;
    return code.m > code.k ? half * 2 * code.k / (code.k + code.m) : half;
}

//  What a source must be granted to get on: for recorded data two blocks, as
//  only full ones are dealt; live chunks are cut by time, however short.
static uint64_t
least_window(kind_t kind, code_t code, uint32_t chunk_bytes)
{
    return kind == KIND_LIVE ? LIVE_LEAST_BYTES : 2ull * code.k * chunk_bytes;
}

static uint64_t
unsettled_from(const stream_t *stream)
{
    return stream->settled > stream->record.writer_begin
               ? stream->settled
               : stream->record.writer_begin;
}

void
ingest_reckon(stream_t *stream)
{
    core_t *self = stream->core;
    uint64_t from = unsettled_from(stream), upto = from;
    if (stream->state != STREAM_SEALED && stream->chunker)
        upto = stream->attached ? stream->credit
                                : chunker_next(stream->chunker);
    self->owed -= stream->owed;
    stream->owed = upto > from ? upto - from : 0;
    self->owed += stream->owed;
}

//  A source's share of the memory, at most C.
static uint64_t
widest_window(const stream_t *stream)
{
    const core_t *self = stream->core;
    uint64_t share = payload_budget(self, stream->code) /
                     (zhashx_size(self->by_session) + 1);
    return share < LIMIT_CREDIT_BYTES ? share : LIMIT_CREDIT_BYTES;
}

//  Whether the source used half of what it may be ahead.
static bool
used_half(const stream_t *stream)
{
    return 2 * (chunker_next(stream->chunker) - unsettled_from(stream)) >=
           stream->window;
}

//  A source has too little to get on: what the others were granted beyond their
//  share and have not used is taken back. Who sends it nevertheless opens again.
static void
take_back(core_t *self)
{
    for (stream_t *stream = zhashx_first(self->by_session); stream;
         stream = zhashx_next(self->by_session)) {
        if (stream->state != STREAM_OPEN || !stream->chunker)
            continue;
        uint64_t share = widest_window(stream);
        uint64_t least = least_window(stream->record.kind, stream->code,
                                      chunk_size(stream));
        uint64_t fair = unsettled_from(stream) +
                        (share > least ? share : least);
        if (fair < chunker_next(stream->chunker))
            fair = chunker_next(stream->chunker);
        if (fair < stream->credit)
            stream->credit = fair;
        ingest_reckon(stream);
    }
}

//  Let the source be ahead of what is settled: a little at first, twice as much
//  whenever it used half of it, up to its share of the memory and to C; and
//  never more than what the others left of the budget.
static void
grant(stream_t *stream)
{
    core_t *self = stream->core;
    uint64_t budget = payload_budget(self, stream->code);
    uint64_t share = widest_window(stream);
    uint64_t least = least_window(stream->record.kind, stream->code,
                                  chunk_size(stream));
    uint64_t from = unsettled_from(stream);
    if (stream->window == 0)
        stream->window = FIRST_WINDOW_BYTES;
    else if (used_half(stream))
        stream->window *= 2;
    if (stream->window > share)
        stream->window = share;
    if (stream->window < least)
        stream->window = least;

    ingest_reckon(stream);
    uint64_t others = self->owed - stream->owed;
    if (others + least > budget) {
        take_back(self);
        others = self->owed - stream->owed;
    }
    uint64_t room = budget > others ? budget - others : 0;
    uint64_t window = room < stream->window ? room : stream->window;
    stream->starved = window < least;
    self->starving = self->starving || stream->starved;
    if (from + window > stream->credit)
        stream->credit = from + window;
    if (stream->credit > stream->promised)
        stream->promised = stream->credit;
    ingest_reckon(stream);
}

//  What its source is told: of a stream that grows the code in force, of a
//  complete one what all of it has.
static Rill__V1__Protection
protection(const stream_t *stream)
{
    Rill__V1__Protection told = RILL__V1__PROTECTION__INIT;
    code_t code = stream->state == STREAM_SEALED ? core_protection(stream)
                                                 : stream->code;
    told.k = code.k;
    told.m = code.m;
    return told;
}

void
ingest_progress(stream_t *stream)
{
    core_t *self = stream->core;
    bool sealed = stream->state == STREAM_SEALED;
    if (!sealed)
        grant(stream);
    Rill__V1__Protection code = protection(stream);
    Rill__V1__Progress progress = RILL__V1__PROGRESS__INIT;
    progress.session = stream->session;
    progress.received = sealed ? stream->record.size
                               : chunker_next(stream->chunker);
    progress.stored = stream->stored;
    progress.settled = stream->settled;
    progress.credit = stream->credit;
    progress.sealed = sealed;
    progress.held = (Rill__V1__Status)stream->held;
    progress.protection = &code;
    message_t message = MESSAGE(PROGRESS, progress, &progress, stream->asked,
                                0);
    (void)self->effects.send(self->with, &stream->source, &message, NULL);
    events_acknowledged(stream);
}

void
ingest_owe(stream_t *stream)
{
    if (stream->told)
        zlistx_add_end(stream->core->untold, stream);
    stream->told = false;
}

void
ingest_tell(core_t *self)
{
    if (self->fault != STATUS_OK)
        return;
    bool room = self->owed < self->owed_told;
    self->owed_told = self->owed;
    if (room && self->starving) {
        self->starving = false;
        for (stream_t *stream = zhashx_first(self->by_session); stream;
             stream = zhashx_next(self->by_session))
            if (stream->starved)
                ingest_owe(stream);
    }
    stream_t *stream;
    while ((stream = zlistx_detach(self->untold, NULL)) != NULL) {
        stream->told = true;
        if (!stream->session || stream->state == STREAM_RECOVERING)
            continue;
        ingest_progress(stream);
        //  It has been told everything: who did not hear it opens again.
        if (stream->state == STREAM_SEALED &&
            stream->settled >= stream->record.size)
            ingest_detach(stream, self->now);
    }
}

//  ---- chunks as they are cut

static void
on_cut(void *with, cut_t cut)
{
    stream_t *stream = with;
    core_t *self = stream->core;
    if (cut.created_us > stream->last_us)
        stream->last_us = cut.created_us;
    piece_t *piece = piece_new(cut.offset, cut.payload, stream->last_us);
    piece->writer = stream->record.writer;
    if (cut.marks_count) {
        size_t size = cut.marks_count * sizeof *piece->marks;
        piece->marks = malloc(size);
        INVARIANT(piece->marks);
        memcpy(piece->marks, cut.marks, size);
        piece->marks_count = cut.marks_count;
    }
    size_t bytes = buffer_size(piece->payload);
    self->memory += bytes;
    //  Whether the last chunk of a known size is the END is the source's word.
    if (stream->record.size_known && !stream->ending &&
        cut.offset + bytes == stream->record.writer_begin + stream->record.size)
        stream->final = piece;
    else
        deal_piece(stream, piece, stream->ending, self->now);
}

void
ingest_start(stream_t *stream, uint64_t next)
{
    core_t *self = stream->core;
    const stream_record_t *record = &stream->record;
    chunker_settings_t settings = {
        .kind = record->kind,
        .chunk_bytes = record->chunk_bytes,
        .recorded_bytes = self->settings.chunk_bytes,
        .buffer_ms = record->buffer_ms ? record->buffer_ms
                                       : self->settings.buffer_ms,
        .floor_bytes = self->settings.floor_bytes,
        .ceiling_bytes = self->settings.ceiling_bytes,
        .size_known = record->size_known,
        .size = record->size,
        .base = record->writer_begin,
    };
    chunker_destroy(&stream->chunker);
    stream->chunker = chunker_new(&settings, next, on_cut, stream);
    worker_t *queue[1];
    size_t workers = membership_queue(self->members, queue, 1);
    if (placement_code(workers, record->asked, false, &stream->code,
                       &stream->narrower) != STATUS_OK)
        stream->code = (code_t){ .k = 1, .m = 1 };
    chunker_block(stream->chunker, 0, stream->code.k);
}

//  ---- opening

static status_t
check_open(const Rill__V1__Open *open)
{
    if (!chunk_name_legal(open->name))
        return STATUS_NAME;
    if ((open->kind != RILL__V1__KIND__KIND_RECORDED &&
         open->kind != RILL__V1__KIND__KIND_LIVE) ||
        open->token == 0 || open->retention > 255 ||
        open->buffer_ms > BUFFER_MS_MOST ||
        (open->known_case == RILL__V1__OPEN__KNOWN_SIZE &&
         open->size > SIZE_MOST))
        return STATUS_ARGUMENT;
    if (open->chunk_bytes && (open->chunk_bytes < LIMIT_CHUNK_FLOOR_BYTES ||
                              open->chunk_bytes > LIMIT_CHUNK_BYTES))
        return STATUS_ARGUMENT;
    if (open->protection && (open->protection->k > LIMIT_SLOTS ||
                             open->protection->m > LIMIT_SLOTS))
        return STATUS_PROTECTION;
    return STATUS_OK;
}

static code_t
asked_code(const Rill__V1__Open *open)
{
    code_t code = { 0, 0 };
    if (open->protection) {
        code.k = (uint8_t)open->protection->k;
        code.m = (uint8_t)open->protection->m;
    }
    return code;
}

//  Where a source goes on: what is not stored it must still be able to give,
//  so it sends again what only memory holds (R11); on_piece lets that pass.
static uint64_t
resume_at(const stream_t *stream)
{
    return stream->stored > stream->record.writer_begin
               ? stream->stored
               : stream->record.writer_begin;
}

//  A source takes the stream: under a new session, the older one is over.
static void
attach(stream_t *stream, const peer_t *peer, const message_t *message,
       millis_t now)
{
    core_t *self = stream->core;
    const Rill__V1__Open *open = message->open;
    if (stream->session)
        zhashx_delete(self->by_session, &stream->session);
    stream->session = self->effects.random(self->with);
    stream->attached = true;
    stream->opened = now;
    stream->brought = false;
    stream->source = *peer;
    stream->lease = now + core_patience(self, SOURCE_LEASE_MS);
    zhashx_insert(self->by_session, &stream->session, stream);
    core_soon(self, stream->lease);

    bool sealed = stream->state == STREAM_SEALED;
    worker_t *queue[1];
    size_t workers = membership_queue(self->members, queue, 1);
    (void)placement_code(workers, asked_code(open), false, &stream->code,
                         &stream->narrower);
    stream->promised = stream->credit;
    if (!sealed)
        grant(stream);
    Rill__V1__Protection code = protection(stream);
    Rill__V1__Opened opened = RILL__V1__OPENED__INIT;
    opened.stream = stream->record.id;
    opened.session = stream->session;
    opened.offset = sealed ? stream->record.size : resume_at(stream);
    opened.begin = stream->record.writer_begin;
    opened.credit = stream->credit;
    opened.chunk_bytes = chunk_size(stream);
    opened.protection = &code;
    opened.narrower = stream->narrower;
    opened.sealed = sealed;
    message_t answer = MESSAGE(OPENED, opened, &opened, message->request,
                               message->trace);
    (void)self->effects.send(self->with, peer, &answer, NULL);
    ingest_owe(stream);
    events_opened(stream, opened.offset, message->trace);
    core_note(self, 1, "source-opened stream=%s offset=%" PRIu64 " code=%u+%u",
              stream->record.name, opened.offset, stream->code.k,
              stream->code.m);
}

//  What a record says of its source.
static void
set_source(stream_record_t *record, const Rill__V1__Open *open, uint64_t begin)
{
    record->writer = open->token;
    record->writer_begin = begin;
    record->size_known = open->known_case == RILL__V1__OPEN__KNOWN_SIZE &&
                         open->kind == RILL__V1__KIND__KIND_RECORDED;
    record->size = record->size_known ? open->size : 0;
    record->chunk_bytes = open->chunk_bytes;
    record->buffer_ms = open->buffer_ms;
    record->asked = asked_code(open);
    record->strict = open->strict;
    record->retention = (uint8_t)open->retention;
}

//  It is only in memory until something of it is pushed: who opens and brings
//  nothing leaves nothing.
static stream_t *
create(core_t *self, const Rill__V1__Open *open)
{
    stream_record_t record = {
        .id = self->effects.random(self->with),
        .kind = (kind_t)open->kind,
        .created_us = self->effects.wall_us(self->with),
    };
    snprintf(record.name, sizeof record.name, "%s", open->name);
    set_source(&record, open, 0);
    stream_t *stream = core_add_stream(self, &record);
    stream->state = STREAM_OPEN;
    ingest_start(stream, 0);
    return stream;
}

//  R11: another source takes an open stream over. What the one before left is
//  dealt; the new bytes begin behind everything anybody may have seen.
static status_t
take_over(stream_t *stream, const Rill__V1__Open *open, millis_t now)
{
    core_t *self = stream->core;
    chunker_flush(stream->chunker, self->effects.wall_us(self->with));
    deal_final(stream, now);
    deal_fill(stream, now);
    uint64_t begin = chunker_next(stream->chunker);
    if (stream->recovered && begin < stream->recovered_to + LIMIT_CREDIT_BYTES)
        begin = stream->recovered_to + LIMIT_CREDIT_BYTES;
    //  Of what was given up nobody knows how far it went.
    stream_record_t record = stream->record;
    if (record.lost_us && record.lost_to == CATALOGUE_OPEN_END &&
        begin < record.lost_from + LOST_REACH_BYTES)
        begin = record.lost_from + LOST_REACH_BYTES;
    //  Nor of sources that the lost catalogue knew and of whom nothing was stored
    //  (R16).
    uint64_t rebuilt = catalogue_rebuilt_in(self->catalogue);
    if (rebuilt && stream->recovered && stream->loaded >> 32 <= rebuilt &&
        begin < stream->recovered_to + LOST_REACH_BYTES)
        begin = stream->recovered_to + LOST_REACH_BYTES;
    set_source(&record, open, begin);
    status_t status = STATUS_OK;
    if (stream->recorded || begin > 0)
        status = catalogue_put(self->catalogue, &record);
    if (status != STATUS_OK) {
        core_fail(self, status, "the new source of %s could not be recorded",
                  record.name);
        return status;
    }
    stream->recorded = stream->recorded || begin > 0;
    stream->record = record;
    ingest_start(stream, begin);
    core_note(self, 1, "source-replaced stream=%s begin=%" PRIu64,
              stream->record.name, begin);
    return STATUS_OK;
}

//  Streams that sources behind one connection write, `but` for one.
static size_t
count_of_peer(core_t *self, const peer_t *peer, const stream_t *but)
{
    size_t count = 0;
    for (stream_t *stream = zhashx_first(self->by_session); stream;
         stream = zhashx_next(self->by_session))
        count += stream != but && peer_equal(&stream->source, peer);
    return count;
}

//  When the memory carries no more sources, those that opened and brought
//  nothing go first. They may open again.
static void
make_room(core_t *self, uint64_t least, uint64_t budget, millis_t now)
{
    while (least * (zhashx_size(self->by_session) + 1) > budget) {
        stream_t *silent = NULL;
        for (stream_t *stream = zhashx_first(self->by_session); stream;
             stream = zhashx_next(self->by_session))
            if (!stream->brought && stream->state == STREAM_OPEN &&
                !stream->ending && (!silent || stream->opened < silent->opened))
                silent = stream;
        if (!silent || now - silent->opened < core_patience(self, SILENT_MS))
            return;
        core_note(self, 1, "source-silent stream=%s", silent->record.name);
        ingest_detach(silent, now);
    }
}

static void
on_open(core_t *self, const peer_t *peer, const message_t *message,
        millis_t now)
{
    const Rill__V1__Open *open = message->open;
    status_t status = self->draining ? STATUS_STOPPING : check_open(open);
    if (status != STATUS_OK) {
        core_refuse(self, peer, message, status, NULL, 0);
        return;
    }
    //  A source must not be sent back by a forwarder that is over.
    status = catalogue_check(self->catalogue);
    if (status != STATUS_OK) {
        core_fail(self, status, "the catalogue is not this forwarder's: %s",
                  status_text(status));
        if (status != STATUS_FENCED)
            core_refuse(self, peer, message, status, NULL, 0);
        return;
    }
    stream_t *stream = core_named(self, open->name);
    bool same = stream && stream->record.writer == open->token;
    char text[RECOVERY_TEXT_BYTES];
    if (stream && stream->state == STREAM_RECOVERING) {
        core_refuse(self, peer, message, STATUS_HELD,
                    recovery_text(stream, text, now), 0);
        return;
    }
    if (stream && !same && stream->ending && stream->state == STREAM_OPEN) {
        //  It may still come to nothing: SEALED is for ever.
        core_refuse(self, peer, message, STATUS_HELD,
                    "The stream is complete but for the end of its storing.",
                    0);
        return;
    }
    if (stream && !same && stream->state == STREAM_SEALED) {
        snprintf(text, sizeof text,
                 "%s is complete and cannot grow; choose "
                 "another name or `rill rm %s`.",
                 open->name, open->name);
        core_refuse(self, peer, message, STATUS_SEALED, text, 0);
        return;
    }
    if (stream && !same && stream->attached) {
        snprintf(text, sizeof text,
                 "Another source writes %s; it is free %d s "
                 "after that one is gone.",
                 open->name, SOURCE_LEASE_MS / 1000);
        core_refuse(self, peer, message, STATUS_TAKEN, text, 0);
        return;
    }
    if (count_of_peer(self, peer, stream) >= LIMIT_STREAMS_PER_PEER) {
        snprintf(text, sizeof text,
                 "%d streams are open over this connection, which is the most; "
                 "take another for more.",
                 LIMIT_STREAMS_PER_PEER);
        core_refuse(self, peer, message, STATUS_BUSY, text, 0);
        return;
    }
    if (!stream || stream->state != STREAM_SEALED) {
        worker_t *queue[1];
        size_t workers = membership_queue(self->members, queue, 1);
        code_t code;
        bool narrower;
        status = placement_code(workers, asked_code(open), open->strict, &code,
                                &narrower);
        if (status != STATUS_OK) {
            snprintf(text, sizeof text, "Workers that have space: %zu. %s%s",
                     workers, status_text(status),
                     workers == 1 ? " One alone takes what is to have no "
                                    "parity (--protect none)."
                                  : "");
            core_refuse(self, peer, message, status, text, 0);
            return;
        }
        uint64_t least = least_window(
            (kind_t)open->kind, code,
            open->chunk_bytes ? open->chunk_bytes : self->settings.chunk_bytes);
        if (least > LIMIT_CREDIT_BYTES) {
            core_refuse(self, peer, message, STATUS_TOO_LARGE,
                        "Two blocks of chunks of that size are more than a "
                        "source may have unsettled; take smaller chunks.",
                        0);
            return;
        }
        if (!(stream && stream->attached))
            make_room(self, least, payload_budget(self, code), now);
        uint64_t sources = zhashx_size(self->by_session) + 1;
        if (!(stream && stream->attached) &&
            least * sources > payload_budget(self, code)) {
            snprintf(text, sizeof text,
                     "%" PRIu64 " sources write; the forwarder's memory "
                     "carries no more of this chunk size (`memory` in the "
                     "cluster file).",
                     sources - 1);
            core_refuse(self, peer, message, STATUS_BUSY, text, 0);
            return;
        }
    }
    if (!stream && zlistx_size(self->open) >= LIMIT_OPEN_STREAMS)
        status = STATUS_BUSY;
    else if (!stream)
        stream = create(self, open);
    else if (!same)
        status = take_over(stream, open, now);
    if (status != STATUS_OK) {
        core_refuse(self, peer, message, status, NULL, 0);
        return;
    }
    attach(stream, peer, message, now);
}

//  ---- bytes

static stream_t *
attached_stream(core_t *self, const peer_t *peer, const message_t *message,
                uint64_t session, millis_t now)
{
    stream_t *stream = zhashx_lookup(self->by_session, &session);
    if (!stream) {
        counters_up(&self->counters, COUNTER_faults_total_session_unknown);
        core_refuse(self, peer, message, STATUS_SESSION, NULL, 0);
        return NULL;
    }
    stream->source = *peer;
    stream->lease = now + core_patience(self, SOURCE_LEASE_MS);
    return stream;
}

static status_t
check_piece(const stream_t *stream, const Rill__V1__Piece *piece, size_t size)
{
    const stream_record_t *record = &stream->record;
    if (size == 0 || size > LIMIT_PIECE_BYTES ||
        piece->offset > UINT64_MAX - size)
        return STATUS_TOO_LARGE;
    for (size_t i = 0; i < piece->n_marks; i++)
        if (piece->marks[i]->offset < piece->offset ||
            piece->marks[i]->offset - piece->offset >= size ||
            piece->marks[i]->kind > UINT8_MAX)
            return STATUS_ARGUMENT;
    uint64_t end = piece->offset + size;
    uint64_t next = stream->state == STREAM_SEALED
                        ? record->size
                        : chunker_next(stream->chunker);
    if (end <= next)
        return STATUS_OK;
    if (stream->state == STREAM_SEALED || stream->ending)
        return STATUS_SEALED;
    if (end > stream->promised)
        return STATUS_TOO_LARGE;
    if (piece->offset > next || end > stream->credit)
        return STATUS_OFFSET;
    if (record->size_known && end > record->writer_begin + record->size)
        return STATUS_RANGE;
    return STATUS_OK;
}

//  Take what is new of a piece's bytes, its marks with it.
static void
take_piece(stream_t *stream, const Rill__V1__Piece *piece, buffer_t *payload,
           millis_t now)
{
    core_t *self = stream->core;
    uint64_t next = chunker_next(stream->chunker);
    size_t known = (size_t)(next - piece->offset);
    size_t size = buffer_size(payload) - known;
    mark_t marks[LIMIT_MARKS];
    size_t count = 0;
    for (size_t i = 0; i < piece->n_marks && count < LIMIT_MARKS; i++)
        if (piece->marks[i]->offset >= next)
            marks[count++] = (mark_t){ .offset = piece->marks[i]->offset,
                                       .media_us = piece->marks[i]->media_us,
                                       .kind = (uint8_t)piece->marks[i]->kind };
    buffer_t *fresh = known ? buffer_slice(payload, known, size)
                            : buffer_ref(payload);
    self->counters.values[COUNTER_received_bytes_total] += size;
    stream->brought = true;
    chunker_take(stream->chunker, fresh, marks, count, now,
                 self->effects.wall_us(self->with));
    core_soon(self, chunker_due(stream->chunker));
    buffer_unref(&fresh);
    //  A wider window is granted now: a live block is not full before its time.
    if (stream->window < widest_window(stream) && used_half(stream))
        ingest_owe(stream);
}

static void
on_piece(core_t *self, const peer_t *peer, const message_t *message,
         buffer_t *payload, millis_t now)
{
    const Rill__V1__Piece *piece = message->piece;
    stream_t *stream = attached_stream(self, peer, message, piece->session,
                                       now);
    if (!stream)
        return;
    size_t size = payload ? buffer_size(payload) : 0;
    status_t status = self->draining ? STATUS_STOPPING
                                     : check_piece(stream, piece, size);
    if (status != STATUS_OK) {
        self->counters.values[COUNTER_faults_total_piece_out_of_order] +=
            status == STATUS_OFFSET;
        core_refuse(self, peer, message, status, NULL,
                    stream->chunker ? chunker_next(stream->chunker) : 0);
    } else if (stream->chunker &&
               piece->offset + size > chunker_next(stream->chunker))
        take_piece(stream, piece, payload, now);
}

static void
on_finish(core_t *self, const peer_t *peer, const message_t *message,
          millis_t now)
{
    const Rill__V1__Finish *finish = message->finish;
    stream_t *stream = attached_stream(self, peer, message, finish->session,
                                       now);
    if (!stream)
        return;
    const stream_record_t *record = &stream->record;
    uint64_t next = stream->state == STREAM_SEALED
                        ? record->size
                        : chunker_next(stream->chunker);
    if (finish->offset != next) {
        counters_up(&self->counters, COUNTER_faults_total_piece_out_of_order);
        core_refuse(self, peer, message, STATUS_OFFSET, NULL, next);
        return;
    }
    if (stream->state != STREAM_SEALED && !stream->ending) {
        if (record->size_known && next != record->writer_begin + record->size) {
            core_refuse(self, peer, message, STATUS_ARGUMENT,
                        "The size declared when the stream was opened is not "
                        "reached.",
                        next);
            return;
        }
        stream->ending = true;
        chunker_flush(stream->chunker, self->effects.wall_us(self->with));
        deal_final(stream, now);
        deal_end(stream, now);
    }
    stream->asked = message->request;
    ingest_owe(stream);
}

void
ingest_detach(stream_t *stream, millis_t now)
{
    core_t *self = stream->core;
    events_ended(stream);
    zhashx_delete(self->by_session, &stream->session);
    stream->attached = false;
    stream->session = 0;
    stream->window = 0;
    ingest_reckon(stream);
    if (stream->state != STREAM_OPEN || stream->ending)
        return;
    //  What it left is stored: nobody may come back for it.
    chunker_flush(stream->chunker, self->effects.wall_us(self->with));
    deal_final(stream, now);
    deal_fill(stream, now);
    if (!stream->recorded && zlistx_size(stream->waiting) == 0)
        core_drop_stream(self, stream);
}

void
ingest_message(core_t *self, const peer_t *peer, const message_t *message,
               buffer_t *payload, millis_t now)
{
    stream_t *stream;
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_OPEN:
        on_open(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_PIECE:
        on_piece(self, peer, message, payload, now);
        break;
    case RILL__V1__MESSAGE__BODY_FINISH:
        on_finish(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_SOURCE_KEEP:
        stream = attached_stream(self, peer, message,
                                 message->source_keep->session, now);
        if (stream) {
            stream->asked = message->request;
            ingest_owe(stream);
        }
        break;
    default:
        stream = zhashx_lookup(self->by_session,
                               &message->source_leave->session);
        if (stream)
            ingest_detach(stream, now);
        else
            core_drop(self, COUNTER_faults_total_session_unknown, "front");
        break;
    }
}

//  ---- time

void
ingest_sweep(core_t *self, millis_t now)
{
    stream_t *late;
    do {
        late = NULL;
        for (stream_t *stream = zhashx_first(self->by_session); stream && !late;
             stream = zhashx_next(self->by_session))
            if (stream->lease <= now)
                late = stream;
        if (late) {
            core_note(self, 1, "source-lost stream=%s received=%" PRIu64,
                      late->record.name,
                      late->chunker ? chunker_next(late->chunker) : 0);
            ingest_detach(late, now);
        }
    } while (late);
    micros_t wall = self->effects.wall_us(self->with);
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        if (stream->chunker && chunker_due(stream->chunker) <= now)
            chunker_sweep(stream->chunker, now, wall);
}

millis_t
ingest_due(core_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (stream_t *stream = zhashx_first(self->by_session); stream;
         stream = zhashx_next(self->by_session))
        due = millis_least(due, stream->lease);
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        if (stream->chunker)
            due = millis_least(due, chunker_due(stream->chunker));
    return due;
}

bool
ingest_drain(core_t *self, millis_t now)
{
    bool done = true;
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open)) {
        if (stream->state != STREAM_OPEN)
            continue;
        if (!stream->ending) {
            chunker_flush(stream->chunker, self->effects.wall_us(self->with));
            deal_final(stream, now);
            deal_fill(stream, now);
        }
        bool dealt = stream->ring_count == 0 &&
                     zlistx_size(stream->waiting) == 0;
        done = done && (dealt || stream->held != STATUS_OK);
    }
    return done;
}
