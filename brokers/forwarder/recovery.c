/*  What a new term finds of an unsealed stream, and what it makes of it (R8).
 *
 *  From the last settled mark on, block by block: p slots are held by the
 *  stores that should have them, u belong to stores that have not spoken. The
 *  first block that is not whole is where everything is read back and dealt
 *  again, so that what follows is settled as if nothing had happened. A store
 *  that was wiped has another id and never says "absent" for its old self.
 */
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    AGAIN_MS = 250,   //  Undecided streams are looked at so often
    GRACE_MS = 1000,  //  Whole but for silent stores: these may still come
    READS_MOST = 32,  //  Chunks read back at once
    HELD_BYTES = 64 * 1024 * 1024,  //  What all inventories may take
};

//  Blocks of one stream being read back, or the one chunk that tells its end.
struct recovery {
    core_t *core;
    uint64_t stream;
    bool dead;  //  The stream is gone; free when nothing is in the air
    bool failed;
    bool asking;     //  read_on is at work; answers may come at once
    bool end_only;   //  Nothing to deal again: just learn where it ends
    uint64_t first;  //  Index of the first chunk
    size_t count;    //  Chunks
    size_t next;     //  To be asked for
    size_t in_air;
    size_t done;
    piece_t **pieces;
    bool end;      //  The last one said END
    size_t bytes;  //  About what it reads
};

typedef struct {
    struct recovery *recovery;
    size_t nth;
} read_t;

static void
drop_held(stream_t *stream, void *at)
{
    held_t *held = zlistx_detach(stream->held_list, at);
    stream->core->held_bytes -= sizeof *held + held->count;
    free(held);
}

static void
free_held(stream_t *stream)
{
    if (!stream->held_list)
        return;
    while (zlistx_size(stream->held_list))
        drop_held(stream, NULL);
    zlistx_destroy(&stream->held_list);
}

static void
free_recovery(struct recovery *recovery)
{
    recovery->core->reading_bytes -= recovery->bytes;
    for (size_t i = 0; i < recovery->count; i++)
        piece_free(&recovery->pieces[i]);
    free(recovery->pieces);
    free(recovery);
}

void
recovery_forget(stream_t *stream)
{
    free_held(stream);
    if (stream->recovery) {
        stream->recovery->dead = true;
        if (stream->recovery->in_air == 0 && !stream->recovery->asking)
            free_recovery(stream->recovery);
        stream->recovery = NULL;
    }
}

bool
recovery_held(stream_t *stream, uint64_t store, const Rill__V1__Held *held)
{
    core_t *self = stream->core;
    if (held->settled > stream->recover_mark)
        stream->recover_mark = held->settled;
    if (!stream->held_list)
        stream->held_list = zlistx_new();
    for (size_t i = 0; i < held->n_runs; i++) {
        const Rill__V1__Run *run = held->runs[i];
        size_t bytes = sizeof(held_t) + run->slots.len;
        if (self->held_bytes + bytes > HELD_BYTES)
            return false;
        if (run->slots.len == 0)
            continue;
        held_t *entry = zmalloc(bytes);
        entry->store = store;
        entry->epoch = held->epoch;
        entry->first = run->first;
        entry->count = run->slots.len;
        memcpy(entry->slots, run->slots.data, entry->count);
        zlistx_add_end(stream->held_list, entry);
        self->held_bytes += bytes;
    }
    return true;
}

void
recovery_unheld(core_t *self, uint64_t store)
{
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open)) {
        held_t *held = stream->held_list ? zlistx_first(stream->held_list)
                                         : NULL;
        while (held) {
            void *at = zlistx_cursor(stream->held_list);
            bool of_store = held->store == store;
            held = zlistx_next(stream->held_list);
            if (of_store)
                drop_held(stream, at);
        }
    }
}

//  Whether `store` said that it holds the slot.
static bool
holds(const stream_t *stream, uint64_t store, uint64_t epoch, uint64_t block,
      unsigned slot)
{
    if (!stream->held_list)
        return false;
    for (held_t *held = zlistx_first(stream->held_list); held;
         held = zlistx_next(stream->held_list))
        if (held->store == store && held->epoch == epoch &&
            block >= held->first && block - held->first < held->count &&
            held->slots[block - held->first] == slot)
            return true;
    return false;
}

//  Whether `store` has said what it holds in this term.
static bool
spoken(const core_t *self, uint64_t store)
{
    worker_t *worker = membership_find(self->members, store);
    return worker &&
           (worker->state == WORKER_LIVE || worker->state == WORKER_WAITING);
}

typedef struct {
    bool decided;
    bool again;      //  Something is to be dealt again
    uint64_t first;  //  Index where that begins; else of the end
    uint64_t end;    //  Index behind the last chunk that exists
} verdict_t;

//  Look at the blocks of one extent from `block` on. False: the stream ends
//  here or nothing can be said yet.
static bool
judge_extent(core_t *self, stream_t *stream, size_t nth, uint64_t block,
             bool patient, verdict_t *verdict)
{
    const extent_t *extent = stream->chain[nth];
    bool last = nth + 1 == stream->chain_count;
    unsigned slots = extent->code.k + extent->code.m;
    for (;; block++) {
        uint64_t index = placement_index(extent, block, 0);
        if (!last && index >= stream->chain[nth + 1]->base_index)
            return true;
        unsigned present = 0, unknown = 0;
        for (unsigned slot = 0; slot < slots; slot++) {
            uint64_t store = placement_store(extent, block, slot);
            if (holds(stream, store, extent->epoch, block, slot))
                present++;
            else
                unknown += !spoken(self, store);
        }
        unsigned quorum = placement_quorum(extent->code);
        if (present >= extent->code.k) {
            if (present < slots && !verdict->again) {
                if (patient && unknown)
                    return false;
                verdict->again = true;
                verdict->first = index;
            }
            verdict->end = index + extent->code.k;
        } else if (present + unknown < quorum && last) {
            verdict->decided = true;
            return false;
        } else
            return false;
    }
}

static verdict_t
judge(core_t *self, stream_t *stream, millis_t now)
{
    //  What was trimmed off was settled, whatever the headers left say.
    uint64_t trimmed = stream->chain_count ? stream->chain[0]->base_index : 0;
    uint64_t mark = stream->recover_mark;
    mark = mark > trimmed ? mark : trimmed;
    if (stream->chain_count == 0)
        mark = 0;  //  Nothing was ever acknowledged
    verdict_t verdict = { .end = mark };
    bool patient = now < self->began + core_patience(self, GRACE_MS);
    size_t nth = stream->chain_count;
    while (nth > 0 && stream->chain[nth - 1]->base_index > mark)
        nth--;
    if (stream->chain_count == 0)
        verdict.decided = true;
    nth = nth ? nth - 1 : 0;
    for (bool first = true; nth < stream->chain_count; nth++, first = false) {
        const extent_t *extent = stream->chain[nth];
        uint64_t block = 0;
        if (first && mark > extent->base_index)
            block = (mark - extent->base_index) / extent->code.k;
        if (!judge_extent(self, stream, nth, block, patient, &verdict))
            break;
    }
    if (!verdict.again)
        verdict.first = verdict.end;
    return verdict;
}

//  ---- reading back

static const extent_t *
extent_at(const stream_t *stream, uint64_t index)
{
    size_t nth = stream->chain_count;
    while (nth > 1 && stream->chain[nth - 1]->base_index > index)
        nth--;
    return nth ? stream->chain[nth - 1] : NULL;
}

static void
come_up(stream_t *stream, struct recovery *recovery, millis_t now)
{
    core_t *self = stream->core;
    const extent_t *at = extent_at(stream, recovery->first);
    uint64_t end = 0;
    if (recovery->end_only)
        end = recovery->count ? recovery->pieces[0]->offset +
                                    buffer_size(recovery->pieces[0]->payload)
              : at ? at->base_offset - at->gap
                   : 0;
    else
        end = recovery->pieces[recovery->count - 1]->offset +
              buffer_size(recovery->pieces[recovery->count - 1]->payload);
    uint64_t begin = recovery->end_only ? end : recovery->pieces[0]->offset;
    if (!recovery->end_only && at->base_index == recovery->first)
        begin = at->base_offset - at->gap;

    free_held(stream);
    stream->settled = stream->dealt_end = begin;
    stream->settled_index = stream->next_index = recovery->end_only
                                                     ? recovery->first +
                                                           recovery->count
                                                     : recovery->first;
    stream->stored = end;  //  What must be reached before anyone is answered
    stream->recovered = true;
    stream->ending = recovery->end;
    for (size_t i = 0; i < recovery->count; i++)
        if (recovery->pieces[i]->created_us > stream->last_us)
            stream->last_us = recovery->pieces[i]->created_us;
    uint64_t next = end > stream->record.writer_begin
                        ? end
                        : stream->record.writer_begin;
    //  What the source before sent, seen by caches, began there (R11).
    stream->recovered_to = next;
    ingest_start(stream, next);
    ingest_reckon(stream);
    self->recovering--;
    if (recovery->end_only) {
        stream->ended = recovery->end;
        stream->state = STREAM_OPEN;
        core_note(self, 1, "recovered stream=%s stored=%" PRIu64,
                  stream->record.name, stream->stored);
        if (recovery->end)
            deal_seal(stream, now);
        return;
    }
    stream->redealing = true;
    for (size_t i = 0; i < recovery->count; i++) {
        self->memory += buffer_size(recovery->pieces[i]->payload);
        zlistx_add_end(stream->waiting, recovery->pieces[i]);
        recovery->pieces[i] = NULL;
    }
    core_note(self, 1, "dealt-again stream=%s chunks=%zu", stream->record.name,
              recovery->count);
    deal_again(stream, 0, now);
}

static void read_on(struct recovery *recovery, millis_t now);

static void
on_read(void *arg, status_t status, const chunk_header_t *header,
        buffer_t *payload, bool decoded, millis_t now)
{
    (void)decoded;
    read_t read = *(read_t *)arg;
    struct recovery *recovery = read.recovery;
    free(arg);
    recovery->in_air--;
    if (status == STATUS_STOPPING) {
        if (recovery->in_air == 0)
            free_recovery(recovery);
        return;
    }
    if (status == STATUS_OK && !recovery->dead) {
        stream_t *stream = core_stream(recovery->core, recovery->stream);
        if (stream && header->block_us > stream->block_us)
            stream->block_us = header->block_us;
        piece_t *piece = piece_new(header->offset, buffer_ref(payload),
                                   header->created_us);
        piece->writer = header->writer;
        piece->flags = header->flags & CHUNK_EMPTY;
        if (header->marks_count) {
            size_t size = header->marks_count * sizeof *piece->marks;
            piece->marks = zmalloc(size);
            memcpy(piece->marks, header->marks, size);
            piece->marks_count = header->marks_count;
        }
        recovery->pieces[read.nth] = piece;
        recovery->done++;
        if (header->flags & CHUNK_END)
            recovery->end = true;
    } else
        recovery->failed = true;
    read_on(recovery, now);
}

//  Offsets only grow, whatever workers have answered.
static bool
in_order(const struct recovery *recovery)
{
    for (size_t i = 1; i < recovery->count; i++) {
        const piece_t *before = recovery->pieces[i - 1];
        if (recovery->pieces[i]->offset <
            before->offset + buffer_size(before->payload))
            return false;
    }
    return true;
}

//  Ask for what can be asked; come up when all is here.
static void
read_on(struct recovery *recovery, millis_t now)
{
    core_t *self = recovery->core;
    stream_t *stream = recovery->dead ? NULL
                                      : core_stream(self, recovery->stream);
    if (recovery->asking)
        return;
    recovery->asking = true;
    while (stream && !recovery->failed && !recovery->dead &&
           recovery->next < recovery->count && recovery->in_air < READS_MOST) {
        uint64_t index = recovery->first + recovery->next, block;
        unsigned slot;
        const extent_t *extent = extent_at(stream, index);
        placement_of_index(extent, index, &block, &slot);
        read_t *read = zmalloc(sizeof *read);
        *read = (read_t){ .recovery = recovery, .nth = recovery->next++ };
        recovery->in_air++;
        fetch_chunk(self, recovery->stream, extent, block, slot, on_read, read,
                    now);
    }
    recovery->asking = false;
    if (recovery->dead)
        stream = NULL;
    if (recovery->in_air)
        return;
    if (recovery->done == recovery->count && stream && !in_order(recovery)) {
        core_note(self, 0, "recovered-out-of-order stream=%s",
                  stream->record.name);
        recovery->failed = true;
        recovery->done = 0;
    }
    if (recovery->done == recovery->count && stream) {
        stream->recovery = NULL;
        come_up(stream, recovery, now);
        free_recovery(recovery);
    } else if (recovery->failed || recovery->dead) {
        if (stream)
            stream->recovery = NULL;  //  Tried again by recovery_try
        free_recovery(recovery);
    }
}

//  About what must be read back.
static size_t
bytes_of(const stream_t *stream, const verdict_t *verdict)
{
    const extent_t *at = extent_at(stream, verdict->end);
    return at && verdict->again
               ? (size_t)(verdict->end - verdict->first) * at->chunk_bytes
               : 0;
}

static void
begin(core_t *self, stream_t *stream, verdict_t verdict, millis_t now)
{
    struct recovery *recovery = zmalloc(sizeof *recovery);
    recovery->core = self;
    recovery->stream = stream->record.id;
    recovery->end_only = !verdict.again;
    recovery->first = verdict.first;
    recovery->count = (size_t)(verdict.end - verdict.first);
    const extent_t *at = extent_at(stream, verdict.end);
    if (recovery->end_only && at && verdict.end > at->base_index) {
        recovery->first = verdict.end - 1;
        recovery->count = 1;
    }
    recovery->pieces = zmalloc((recovery->count + 1) *
                               sizeof *recovery->pieces);
    recovery->bytes = bytes_of(stream, &verdict);
    self->reading_bytes += recovery->bytes;
    stream->recovery = recovery;
    read_on(recovery, now);
}

//  Whether the memory carries it beside all that is read back already (house
//  18); one stream may always go on.
static bool
room_for(const core_t *self, const stream_t *stream, const verdict_t *verdict)
{
    size_t bytes = bytes_of(stream, verdict);
    return bytes == 0 || (self->reading_bytes == 0 && self->memory == 0) ||
           self->memory + 2 * (self->reading_bytes + bytes) <=
               self->settings.memory_bytes;
}

void
recovery_try(core_t *self, millis_t now)
{
    if (!self->recovering)
        return;
    self->recover_at = now + core_patience(self, AGAIN_MS);
    size_t count = zlistx_size(self->open);
    stream_t **streams = zmalloc((count + 1) * sizeof *streams);
    size_t n = 0;
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        if (stream->state == STREAM_RECOVERING && !stream->recovery &&
            !stream->redealing)
            streams[n++] = stream;
    for (size_t i = 0; i < n; i++) {
        verdict_t verdict = judge(self, streams[i], now);
        if (verdict.decided && room_for(self, streams[i], &verdict))
            begin(self, streams[i], verdict, now);
    }
    free(streams);
}
