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
    AGAIN_MS = 250,        //  Undecided streams are looked at so often
    GRACE_MS = 1000,       //  Whole but for silent stores: these may still
                           //  come. Two Hellos of theirs: with one, which may
                           //  be lost, nobody told of an older catalogue
    READS_MOST = 32,       //  Chunks read back at once
    EARLY_MS = 10000,      //  So long after the start nothing is given up:
                           //  workers may still come
    TRIES_MOST = 8,        //  What cannot be read after so many is given up,
                           //  when that may be
    KNOWN_MOST = 1 << 20,  //  Blocks behind the settled mark, whatever is said
    HELD_BYTES = 64 * 1024 * 1024,  //  What all inventories may take
};

//  Blocks of one stream being read back, or the one chunk that tells its end.
struct recovery {
    core_t *core;
    uint64_t stream;
    bool dead;  //  The stream is gone; free when nothing is in the air
    bool failed;
    bool asking;      //  read_on is at work; answers may come at once
    bool end_only;    //  Nothing to deal again: just learn where it ends
    bool lossy;       //  What cannot be had is left out
    bool despairing;  //  What cannot be read, too
    bool open_end;    //  Something may have been behind it
    bool *wanted;     //  Lossy: whether it should be there, of each chunk
    bool anchored;    //  Lossy: it is known where `first` begins: `anchor`
    bool unsure;      //  Lossy: it may begin later
    uint64_t anchor;
    unsigned witness;  //  Lossy: parts of its block asked for that
    uint64_t steps;    //  Lossy: and of blocks before it, backwards
    uint64_t first;    //  Index of the first chunk
    size_t count;      //  Chunks
    size_t next;       //  To be asked for
    size_t in_air;
    size_t done;
    piece_t **pieces;
    bool end;      //  The last one said END
    size_t bytes;  //  About what it reads
};

#define ANCHOR SIZE_MAX  //  A chunk that tells where the first begins

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
    free(recovery->wanted);
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

//  The same, as far as an extent goes: an older copy of it does not know what
//  it had.
static bool
spoken_of(const core_t *self, const extent_t *extent, uint64_t store)
{
    return spoken(self, store) &&
           membership_find(self->members, store)->older < extent->epoch;
}

typedef struct {
    bool lossy;  //  Asked: what if nobody else came?
    bool decided;
    bool again;      //  Something is to be dealt again
    uint64_t first;  //  Index where that begins; else of the end
    uint64_t end;    //  Index behind the last chunk that exists
    uint64_t had;    //  Chunks from `first` on that are to be had
    recovery_loss_t loss;
} verdict_t;

static void
wait_for(core_t *self, const extent_t *extent, uint64_t store,
         recovery_loss_t *loss)
{
    if (spoken_of(self, extent, store))
        return;
    for (size_t i = 0; i < loss->away; i++)
        if (loss->store[i] == store)
            return;
    if (loss->away < LIMIT_WORKERS)
        loss->store[loss->away++] = store;
}

static void
wait_for_all(core_t *self, const extent_t *extent, recovery_loss_t *loss)
{
    for (uint16_t i = 0; i < extent->width; i++)
        wait_for(self, extent, extent->stores[i], loss);
}

//  Number behind the last block of an extent that anybody said it holds.
static uint64_t
known_end(const stream_t *stream, const extent_t *extent, uint64_t from)
{
    uint64_t end = from;
    if (!stream->held_list)
        return end;
    for (held_t *held = zlistx_first(stream->held_list); held;
         held = zlistx_next(stream->held_list))
        for (size_t i = held->count; i-- > 0;) {
            uint64_t block = held->first + i;
            if (held->epoch != extent->epoch || block < from ||
                block - from >= KNOWN_MOST)
                continue;
            if (placement_slot_of(extent, block, held->store) != held->slots[i])
                continue;
            if (block + 1 > end)
                end = block + 1;
            break;
        }
    return end;
}

//  Of a block fewer than k parts are to be had.
static void
leave_out(core_t *self, stream_t *stream, const extent_t *extent,
          uint64_t block, bool last, verdict_t *verdict)
{
    unsigned k = extent->code.k, slots = k + extent->code.m;
    unsigned data = 0, present = 0;
    for (unsigned slot = 0; slot < slots; slot++) {
        uint64_t store = placement_store(extent, block, slot);
        bool here = holds(stream, store, extent->epoch, block, slot);
        wait_for(self, extent, store, &verdict->loss);
        present += here;
        data += here && slot < k;
    }
    uint64_t index = placement_index(extent, block, 0);
    verdict->end = index + k;
    //  Of which nothing at all is known stays where it is: the stream goes on
    //  behind it, and it is there again when its workers are.
    if (!last && present == 0 && !verdict->again)
        return;
    verdict->loss.blocks++;
    verdict->loss.bytes += (uint64_t)(k - data) * extent->chunk_bytes;
    verdict->had += data;
    if (!verdict->again)
        verdict->first = index;
    verdict->again = true;
}

//  Look at the blocks of one extent from `block` on. False: the stream ends
//  here or nothing can be said yet.
static bool
judge_extent(core_t *self, stream_t *stream, size_t nth, uint64_t block,
             bool patient, verdict_t *verdict)
{
    const extent_t *extent = stream->chain[nth];
    bool last = nth + 1 == stream->chain_count;
    unsigned slots = extent->code.k + extent->code.m;
    uint64_t known = verdict->lossy ? known_end(stream, extent, block) : 0;
    if (verdict->lossy && !last && known == block && !verdict->again) {
        wait_for_all(self, extent, &verdict->loss);
        verdict->end = placement_index_before(stream->chain[nth + 1]);
        return true;  //  As leave_out would, block by block
    }
    //  What a rebuild found was decodable, and may stand for blocks of another
    //  extent that were acknowledged, though it never had a quorum itself.
    bool rebuilt = extent->epoch >> 32 <= catalogue_rebuilt_in(self->catalogue);
    unsigned quorum = rebuilt ? extent->code.k : placement_quorum(extent->code);
    for (;; block++) {
        uint64_t index = placement_index(extent, block, 0);
        if (!last && index >= placement_index_before(stream->chain[nth + 1]))
            return true;
        //  All that count were asked then, and nothing was dealt into it since.
        if (last && rebuilt && index >= stream->record.end_index) {
            verdict->decided = true;
            return false;
        }
        unsigned present = 0, unknown = 0, lost = 0;
        for (unsigned slot = 0; slot < slots; slot++) {
            uint64_t store = placement_store(extent, block, slot);
            if (holds(stream, store, extent->epoch, block, slot))
                present++;
            else if (placement_is_lost(store))
                lost++;
            else
                unknown += !spoken_of(self, extent, store);
        }
        //  A rebuild does without what these may have had (R16); it is only
        //  that nobody else may be missing, too.
        unknown += unknown ? lost : 0;
        if (present >= extent->code.k) {
            if (present < slots && !verdict->again) {
                if (patient && unknown)
                    return false;
                verdict->again = true;
                verdict->first = index;
            }
            verdict->had += extent->code.k;
            verdict->end = index + extent->code.k;
        } else if (present + unknown < quorum && last) {
            verdict->decided = true;
            return false;
        } else if (!verdict->lossy) {
            return false;
        } else if (last && block >= known) {
            verdict->decided = verdict->loss.open_end = true;
            wait_for_all(self, extent, &verdict->loss);
            return false;
        } else
            leave_out(self, stream, extent, block, last, verdict);
    }
}

static verdict_t
judge(core_t *self, stream_t *stream, bool lossy, millis_t now)
{
    //  What was trimmed off was settled, whatever the headers left say; so was
    //  what lies before a loss.
    uint64_t mark = stream->recover_mark;
    for (size_t i = 0; i < stream->chain_count; i++) {
        const extent_t *extent = stream->chain[i];
        if ((i == 0 || extent->index_gap) && mark < extent->base_index)
            mark = extent->base_index;
    }
    if (stream->chain_count == 0)
        mark = 0;  //  Nothing was ever acknowledged
    verdict_t verdict = { .lossy = lossy, .end = mark };
    bool patient = !lossy && now < self->began + core_patience(self, GRACE_MS);
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
        else
            verdict.end = extent->base_index;
        if (!judge_extent(self, stream, nth, block, patient, &verdict))
            break;
    }
    if (!verdict.again)
        verdict.first = verdict.end;
    return verdict;
}

//  ---- what it waits for

recovery_loss_t
recovery_loss(stream_t *stream, millis_t now)
{
    recovery_loss_t none = { .blocks = 0 };
    core_t *self = stream->core;
    return stream->state == STREAM_RECOVERING && !stream->redealing
               ? judge(self, stream, true, now).loss
               : none;
}

bool
recovery_accept(stream_t *stream, millis_t now)
{
    core_t *self = stream->core;
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    if (now < self->began + core_patience(self, EARLY_MS))
        return false;
    for (size_t i = 0; i < count; i++)
        if (all[i]->state == WORKER_JOINING)
            return false;
    stream->lossy = true;
    core_note(self, 0, "loss-accepted stream=%s", stream->record.name);
    recovery_try(self, now);
    return true;
}

//  "w3, w4 and w5"; at most a few.
static void
name_stores(const core_t *self, const recovery_loss_t *loss, char *text_r,
            size_t size)
{
    enum { NAMES_MOST = 6 };
    size_t shown = loss->away > NAMES_MOST ? NAMES_MOST - 1 : loss->away;
    size_t length = 0;
    *text_r = '\0';
    for (size_t i = 0; i < shown && length < size; i++) {
        char label[CORE_LABEL_BYTES];
        bool end = i + 1 == loss->away;
        length += (size_t)snprintf(text_r + length, size - length, "%s%.40s",
                                   i == 0 ? ""
                                   : end  ? " and "
                                          : ", ",
                                   core_label(self, loss->store[i], label));
    }
    if (shown < loss->away && length < size)
        snprintf(text_r + length, size - length, " and %zu others",
                 loss->away - shown);
}

char *
recovery_text(stream_t *stream, char text_r[RECOVERY_TEXT_BYTES], millis_t now)
{
    core_t *self = stream->core;
    const char *name = stream->record.name;
    recovery_loss_t loss = recovery_loss(stream, now);
    char names[320];
    name_stores(self, &loss, names, sizeof names);
    if (stream->redealing && stream->held != STATUS_OK)
        snprintf(text_r, RECOVERY_TEXT_BYTES,
                 "%.60s is dealt again after a restart and waits for workers "
                 "with space; start some.",
                 name);
    else if (loss.away)
        snprintf(text_r, RECOVERY_TEXT_BYTES,
                 "%.60s waits for %s, which may hold its last bytes: start "
                 "them, or `rill settle %.60s` tells what would be lost.",
                 name, names, name);
    else if (loss.blocks || stream->tries >= TRIES_MOST)
        snprintf(text_r, RECOVERY_TEXT_BYTES,
                 "Chunks of %.60s cannot be read back from any worker: `rill "
                 "settle %.60s` tells what would be lost.",
                 name, name);
    else
        snprintf(text_r, RECOVERY_TEXT_BYTES,
                 "%.60s is read back after a restart; ask again.", name);
    return text_r;
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

static uint64_t
piece_end(const piece_t *piece)
{
    return piece->offset + buffer_size(piece->payload);
}

//  Where the first chunk to be dealt again begins, or the end.
static uint64_t
where_it_begins(const stream_t *stream, const struct recovery *recovery)
{
    const extent_t *at = extent_at(stream, recovery->first);
    piece_t *const *pieces = recovery->pieces;
    if (recovery->end_only && recovery->count)
        return piece_end(pieces[0]);
    if (at && (recovery->end_only || at->base_index == recovery->first))
        return at->base_offset - at->gap;
    if (recovery->lossy && recovery->anchored)
        return recovery->anchor;
    return recovery->end_only ? 0 : pieces[0]->offset;
}

//  Leave out what is not there, and note what it is. The stream of a file ends
//  before it: its source goes on from there, and nothing is lost at all.
static void
close_up(stream_t *stream, struct recovery *recovery, uint64_t begin)
{
    core_t *self = stream->core;
    uint64_t upto = begin, from = UINT64_MAX, to = 0;
    size_t kept = 0;
    bool cut = false;
    for (size_t i = 0; i < recovery->count; i++) {
        piece_t *piece = recovery->pieces[i];
        recovery->pieces[i] = NULL;
        if (piece && cut)
            piece_free(&piece);
        if (!piece) {
            from = from < upto ? from : upto;
            to = CATALOGUE_OPEN_END;
            cut = stream->record.kind == KIND_RECORDED;
            continue;
        }
        if (to == CATALOGUE_OPEN_END)
            to = piece->offset;
        upto = piece_end(piece);
        recovery->pieces[kept++] = piece;
    }
    if (to == CATALOGUE_OPEN_END)
        recovery->end = false;
    recovery->count = kept;
    if (kept == 0) {
        const extent_t *at = extent_at(stream, recovery->first);
        //  When the last chunk was made may be lost with it.
        micros_t wall = self->effects.wall_us(self->with);
        stream->last_us = stream->last_us > wall ? stream->last_us : wall;
        piece_t *piece = piece_new(begin, buffer_new(0), stream->last_us);
        piece->writer = at ? at->writer : stream->record.writer;
        piece->flags = CHUNK_EMPTY;
        recovery->pieces[recovery->count++] = piece;
    }
    bool open_end = recovery->open_end || (recovery->unsure && kept == 0);
    if (open_end && !recovery->end) {
        from = from < upto ? from : upto;
        to = CATALOGUE_OPEN_END;
    }
    if (from == UINT64_MAX)
        return;
    stream->record.lost_us = self->effects.wall_us(self->with);
    stream->record.lost_from = from;
    stream->record.lost_to = to;
    core_note(self, 0, "lost stream=%s from=%" PRIu64 " known=%s",
              stream->record.name, from,
              to == CATALOGUE_OPEN_END ? "no" : "yes");
}

//  What was given up had indices, and workers that come back may have seen them
//  said to be settled (R8): no chunk gets them again.
static void
jump(stream_t *stream)
{
    const extent_t *at = extent_at(stream, stream->settled_index);
    stream->jump = PLACEMENT_JUMP;
    stream->jumped_to = stream->settled_index + PLACEMENT_JUMP;
    if (at == stream->chain[0] && at->base_index == stream->settled_index)
        stream->record.first_index = stream->jumped_to;
    stream->settled_index = stream->jumped_to;
}

static void
come_up(stream_t *stream, struct recovery *recovery, millis_t now)
{
    core_t *self = stream->core;
    uint64_t begin = where_it_begins(stream, recovery);
    for (size_t i = 0; i < recovery->count; i++)
        if (recovery->pieces[i] &&
            recovery->pieces[i]->created_us > stream->last_us)
            stream->last_us = recovery->pieces[i]->created_us;
    if (recovery->lossy)
        close_up(stream, recovery, begin);
    uint64_t end = recovery->end_only
                       ? begin
                       : piece_end(recovery->pieces[recovery->count - 1]);

    free_held(stream);
    stream->settled = stream->dealt_end = begin;
    stream->settled_index = recovery->first;
    if (recovery->end_only)
        stream->settled_index += recovery->count;
    if (recovery->lossy)
        jump(stream);
    stream->next_index = stream->settled_index;
    stream->stored = end;  //  What must be reached before anyone is answered
    stream->recovered = true;
    stream->ending = recovery->end;
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
    deal_again(stream, 0, 0, now);
}

//  Whether the stream ends with the chunk: not if another source was let in since
//  (R11), which was done because this end was not stored.
static bool
is_end(const stream_t *stream, const chunk_header_t *header)
{
    const stream_record_t *record = &stream->record;
    return header->flags & CHUNK_END && header->writer == record->writer &&
           header->offset + header->length >= record->writer_begin;
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
        if (read.nth == ANCHOR) {
            if (header->created_us > stream->last_us)
                stream->last_us = header->created_us;
            recovery->anchored = true;
            recovery->anchor = header->offset;
            if (recovery->steps && !chunk_is_parity(header))
                recovery->anchor += header->length;
            read_on(recovery, now);
            return;
        }
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
        if (stream && is_end(stream, header))
            recovery->end = true;
    } else if (read.nth == ANCHOR && recovery->despairing)
        recovery->unsure = true;  //  Another is asked
    else if (recovery->despairing)
        recovery->done++;
    else
        recovery->failed = true;
    read_on(recovery, now);
}

//  Offsets only grow, whatever workers have answered.
static bool
in_order(const struct recovery *recovery)
{
    uint64_t end = recovery->anchored ? recovery->anchor : 0;
    for (size_t i = 0; i < recovery->count; i++) {
        const piece_t *piece = recovery->pieces[i];
        if (piece && piece->offset < end)
            return false;
        end = piece ? piece_end(piece) : end;
    }
    return true;
}

static void
ask_slot(struct recovery *recovery, const extent_t *extent, uint64_t block,
         unsigned slot, size_t nth, millis_t now)
{
    read_t *read = zmalloc(sizeof *read);
    *read = (read_t){ .recovery = recovery, .nth = nth };
    recovery->in_air++;
    fetch_chunk(recovery->core, recovery->stream, extent, block, slot, 0,
                on_read, read, now);
}

static void
ask_chunk(struct recovery *recovery, const extent_t *extent, uint64_t index,
          size_t nth, millis_t now)
{
    uint64_t block;
    unsigned slot;
    placement_of_index(extent, index, &block, &slot);
    ask_slot(recovery, extent, block, slot, nth, now);
}

//  The next part of a block before the lost ones that may tell at least where
//  those do not begin before: its last data chunks, then its parity.
static bool
step_back(struct recovery *recovery, const extent_t *at, uint64_t *block_r,
          unsigned *slot_r)
{
    unsigned k = at->code.k, slots = k + at->code.m;
    uint64_t blocks = (recovery->first - at->base_index) / k;
    uint64_t back = recovery->steps / slots;
    unsigned part = (unsigned)(recovery->steps % slots);
    if (back >= blocks)
        return false;
    recovery->steps++;
    *block_r = blocks - 1 - back;
    *slot_r = part < k ? k - 1 - part : part;
    return true;
}

//  Losses: where the first chunk begins is told by itself, by its extent, by
//  its block's parity, though that may never have been acknowledged, or at
//  least by a part before it whose store speaks.
static void
ask_anchor(struct recovery *recovery, const stream_t *stream, millis_t now)
{
    const extent_t *at = extent_at(stream, recovery->first);
    if (recovery->count && recovery->pieces[0]) {
        recovery->anchored = true;
        recovery->anchor = recovery->pieces[0]->offset;
        return;
    }
    uint64_t block;
    unsigned slot;
    placement_of_index(at, recovery->first, &block, &slot);
    while (recovery->witness <= at->code.m) {
        slot = recovery->witness ? at->code.k + recovery->witness - 1 : 0;
        recovery->witness++;
        if (holds(stream, placement_store(at, block, slot), at->epoch, block,
                  slot)) {
            ask_slot(recovery, at, block, slot, ANCHOR, now);
            return;
        }
    }
    while (step_back(recovery, at, &block, &slot)) {
        recovery->unsure = recovery->steps > 1;
        if (spoken(recovery->core, placement_store(at, block, slot))) {
            ask_slot(recovery, at, block, slot, ANCHOR, now);
            return;
        }
    }
    recovery->anchored = recovery->unsure = true;
    recovery->anchor = at->base_offset;
}

static bool
is_complete(const struct recovery *recovery)
{
    return recovery->done == recovery->count && !recovery->failed &&
           !recovery->dead;
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
        size_t nth = recovery->next++;
        uint64_t index = recovery->first + nth;
        if (recovery->lossy && !recovery->wanted[nth])
            recovery->done++;
        else
            ask_chunk(recovery, extent_at(stream, index), index, nth, now);
    }
    while (stream && recovery->lossy && is_complete(recovery) &&
           !recovery->in_air && !recovery->anchored)
        ask_anchor(recovery, stream, now);
    recovery->asking = false;
    if (recovery->dead)
        stream = NULL;
    if (recovery->in_air)
        return;
    if (stream && is_complete(recovery) && !in_order(recovery)) {
        core_note(self, 0, "recovered-out-of-order stream=%s",
                  stream->record.name);
        recovery->failed = true;
    }
    if (stream && is_complete(recovery)) {
        stream->recovery = NULL;
        come_up(stream, recovery, now);
        free_recovery(recovery);
    } else if (recovery->failed || recovery->dead) {
        if (stream) {
            stream->recovery = NULL;  //  Tried again by recovery_try
            stream->tries++;
        }
        free_recovery(recovery);
    }
}

//  About what must be read back.
static size_t
bytes_of(const stream_t *stream, const verdict_t *verdict)
{
    const extent_t *at = extent_at(stream, verdict->end);
    return at && verdict->again ? (size_t)verdict->had * at->chunk_bytes : 0;
}

//  Which chunks should be there, when others are not.
static void
want(struct recovery *recovery, const stream_t *stream)
{
    recovery->wanted = zmalloc((recovery->count + 1) *
                               sizeof *recovery->wanted);
    for (size_t i = 0; i < recovery->count; i++) {
        uint64_t index = recovery->first + i, block;
        unsigned slot, present = 0;
        const extent_t *extent = extent_at(stream, index);
        placement_of_index(extent, index, &block, &slot);
        for (unsigned s = 0; s < extent->code.k + extent->code.m; s++) {
            bool here = holds(stream, placement_store(extent, block, s),
                              extent->epoch, block, s);
            present += here;
            recovery->wanted[i] |= here && s == slot;
        }
        recovery->wanted[i] |= present >= extent->code.k;
    }
}

static void
begin(core_t *self, stream_t *stream, verdict_t verdict, millis_t now)
{
    struct recovery *recovery = zmalloc(sizeof *recovery);
    recovery->core = self;
    recovery->stream = stream->record.id;
    recovery->despairing = stream->lossy && stream->tries >= TRIES_MOST;
    recovery->lossy = stream->chain_count &&
                      (verdict.loss.blocks || verdict.loss.open_end ||
                       recovery->despairing);
    recovery->open_end = verdict.loss.open_end;
    recovery->end_only = !verdict.again && !recovery->lossy;
    recovery->first = verdict.first;
    recovery->count = (size_t)(verdict.end - verdict.first);
    //  The last chunk may be of an extent before the last: a rebuilt chain can
    //  end with one of which nothing was stored (R16).
    const extent_t *at = extent_at(stream, verdict.end);
    if (at && at->base_index == verdict.end && !at->index_gap && verdict.end)
        at = extent_at(stream, verdict.end - 1);
    if (recovery->end_only && at && verdict.end > at->base_index) {
        recovery->first = verdict.end - 1;
        recovery->count = 1;
    }
    recovery->pieces = zmalloc((recovery->count + 1) *
                               sizeof *recovery->pieces);
    if (recovery->lossy) {
        want(recovery, stream);
        const extent_t *from = extent_at(stream, recovery->first);
        recovery->anchored = from->base_index == recovery->first;
        recovery->anchor = from->base_offset - from->gap;
    }
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
    millis_t grace = self->began + core_patience(self, GRACE_MS);
    if (now < grace)
        self->recover_at = millis_least(self->recover_at, grace);
    size_t count = zlistx_size(self->open);
    stream_t **streams = zmalloc((count + 1) * sizeof *streams);
    size_t n = 0;
    for (stream_t *stream = zlistx_first(self->open); stream;
         stream = zlistx_next(self->open))
        if (stream->state == STREAM_RECOVERING && !stream->recovery &&
            !stream->redealing)
            streams[n++] = stream;
    for (size_t i = 0; i < n; i++) {
        verdict_t verdict = judge(self, streams[i], streams[i]->lossy, now);
        if (verdict.decided && room_for(self, streams[i], &verdict))
            begin(self, streams[i], verdict, now);
    }
    free(streams);
}
