#include "chunker.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum {
    RECORDED_BYTES = 256 * 1024,
    BUFFER_MS = 200,
    FLOOR_BYTES = 16 * 1024,
    CEILING_BYTES = 1024 * 1024,
    PACKET_BYTES = 188,  //  Of MPEG-TS: packets never straddle chunks
    MEASURE_MS = 500,    //  A measured rate is of at least so long
    REMEMBER_MS = 1500,  //  And weighs by its length against so much
};

struct chunker {
    chunker_settings_t settings;  //  With its zeros filled in
    chunker_cut_fn *cut;
    void *with;
    uint64_t next;  //  Behind the last byte taken
    unsigned slot;  //  Of the next chunk, in a block of `k`
    unsigned k;
    uint32_t size;         //  Of chunks, but for a last block cut evenly
    uint32_t block_bytes;  //  Of chunks of this block
    micros_t created_us;   //  Of the last chunk

    //  The open chunk
    buffer_t *open;  //  NULL: none
    size_t filled;   //  Bytes in it
    millis_t opened;
    uint8_t marks_count;
    mark_t marks[LIMIT_MARKS];

    //  The measure
    uint64_t rate_bytes;  //  A second; 0: not known yet
    millis_t since;       //  Begin of the span being measured
    uint64_t span_bytes;
    bool measuring;
};

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool
is_live(const chunker_t *self)
{
    return self->settings.kind == KIND_LIVE;
}

static uint32_t
whole_packets(uint64_t bytes)
{
    return (uint32_t)(bytes - bytes % PACKET_BYTES);
}

uint32_t
chunker_live_size(uint64_t rate_bytes, uint32_t buffer_ms, uint32_t floor_bytes,
                  uint32_t ceiling_bytes, uint32_t current)
{
    uint32_t most = whole_packets(ceiling_bytes);
    uint32_t fewest = whole_packets((uint64_t)floor_bytes + PACKET_BYTES - 1);
    fewest = fewest ? fewest : PACKET_BYTES;
    if (!most || fewest > most)
        return ceiling_bytes;  //  No whole packets between the two

    //  Beyond the ceiling the rate itself does not matter: no overflow.
    uint64_t rate = least(rate_bytes, UINT32_MAX);
    uint64_t wanted = rate * buffer_ms / 1000;
    uint32_t size = wanted > most ? most : whole_packets(wanted);
    size = size < fewest ? fewest : size;
    uint32_t off = size > current ? size - current : current - size;
    return (uint64_t)off * 4 > current ? size : current;
}

//  A rate not known yet asks for the ceiling: the buffer time cuts such chunks
//  just as well, and a fast source does not begin with a storm of small ones.
static uint32_t
size_now(const chunker_t *self)
{
    const chunker_settings_t *s = &self->settings;
    if (s->chunk_bytes)
        return s->chunk_bytes;
    if (!is_live(self))
        return s->recorded_bytes;
    return chunker_live_size(self->rate_bytes ? self->rate_bytes : UINT32_MAX,
                             s->buffer_ms, s->floor_bytes, s->ceiling_bytes,
                             self->size);
}

chunker_t *
chunker_new(const chunker_settings_t *settings, uint64_t next,
            chunker_cut_fn *cut, void *with)
{
    chunker_t *self = calloc(1, sizeof(*self));
    INVARIANT(self && cut);
    self->settings = *settings;
    chunker_settings_t *s = &self->settings;
    s->recorded_bytes = s->recorded_bytes ? s->recorded_bytes : RECORDED_BYTES;
    s->buffer_ms = s->buffer_ms ? s->buffer_ms : BUFFER_MS;
    s->floor_bytes = s->floor_bytes ? s->floor_bytes : FLOOR_BYTES;
    s->ceiling_bytes = s->ceiling_bytes ? s->ceiling_bytes : CEILING_BYTES;
    self->rate_bytes = s->rate_bytes;
    self->cut = cut;
    self->with = with;
    self->next = next;
    self->k = 1;
    self->size = size_now(self);
    self->block_bytes = self->size;
    return self;
}

void
chunker_destroy(chunker_t **self_p)
{
    chunker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    buffer_unref(&self->open);
    free(self);
}

void
chunker_block(chunker_t *self, unsigned slot, unsigned k)
{
    INVARIANT(slot < k);
    self->slot = slot;
    self->k = k;
}

//  Bytes of the stream still to come; 0 when not known, or when the source
//  sends more than it said.
static uint64_t
remaining(const chunker_t *self)
{
    const chunker_settings_t *s = &self->settings;
    if (is_live(self) || !s->size_known || self->next < s->base)
        return 0;
    uint64_t taken = self->next - s->base;
    return taken < s->size ? s->size - taken : 0;
}

//  How long the chunk that begins at `next` is to be. Sizes change only where
//  a block begins (S6); the last block of a known size is cut evenly into k.
static uint32_t
length_to_cut(chunker_t *self)
{
    uint64_t left = remaining(self);
    if (self->slot == 0) {
        self->size = size_now(self);
        self->block_bytes = self->size;
        if (left && left <= (uint64_t)self->k * self->size)
            self->block_bytes = (uint32_t)((left + self->k - 1) / self->k);
    }
    return left ? (uint32_t)least(left, self->block_bytes) : self->block_bytes;
}

static void
add_marks(chunker_t *self, size_t size, const mark_t *marks, size_t count)
{
    for (size_t i = 0; i < count && self->marks_count < LIMIT_MARKS; i++)
        if (marks[i].offset >= self->next &&
            marks[i].offset - self->next < size)
            self->marks[self->marks_count++] = marks[i];
}

//  Give `payload`, which ends at `next`, away as a chunk. The open chunk's
//  state is over before: whoever is told may say chunker_block.
static void
cut(chunker_t *self, buffer_t *payload, micros_t wall_us)
{
    self->slot = (self->slot + 1) % self->k;
    if (wall_us > self->created_us)
        self->created_us = wall_us;
    cut_t it = { .offset = self->next - buffer_size(payload),
                 .payload = payload,
                 .created_us = self->created_us,
                 .marks_count = self->marks_count };
    memcpy(it.marks, self->marks, self->marks_count * sizeof(mark_t));
    self->marks_count = 0;
    self->cut(self->with, it);
}

static void
cut_open(chunker_t *self, micros_t wall_us)
{
    buffer_t *payload = self->open;
    if (self->filled < buffer_size(payload))
        buffer_trim(payload, self->filled);
    self->open = NULL;
    self->filled = 0;
    cut(self, payload, wall_us);
}

//  What a size follows is what came in the last seconds: a burst must not
//  make it jump, nor a pause.
static void
measure(chunker_t *self, size_t size, millis_t now)
{
    if (!self->measuring) {
        self->measuring = true;
        self->since = now;
    }
    millis_t span = now - self->since;
    if (span >= MEASURE_MS) {
        uint64_t rate = self->span_bytes * 1000 / (uint64_t)span;
        uint64_t weight = (uint64_t)span * 1000 / (span + REMEMBER_MS);
        if (self->rate_bytes)
            rate = (self->rate_bytes * (1000 - weight) + rate * weight) / 1000;
        self->rate_bytes = rate ? rate : 1;
        self->since = now;
        self->span_bytes = 0;
    }
    self->span_bytes += size;
}

//  Take what fits of `size` bytes of `piece` from `from`; returns how much.
static size_t
take_some(chunker_t *self, buffer_t *piece, size_t from, const mark_t *marks,
          size_t marks_count, millis_t now, micros_t wall_us)
{
    size_t size = buffer_size(piece) - from;
    size_t room = self->open ? buffer_size(self->open) - self->filled
                             : length_to_cut(self);
    size_t some = least(size, room);
    add_marks(self, some, marks, marks_count);
    self->next += some;
    if (!self->open && some == room) {
        bool whole = some == buffer_size(piece);
        cut(self, whole ? buffer_ref(piece) : buffer_slice(piece, from, some),
            wall_us);
        return some;
    }
    if (!self->open) {
        self->open = buffer_new(room);
        self->opened = now;
    }
    memcpy(buffer_fill(self->open) + self->filled, buffer_bytes(piece) + from,
           some);
    self->filled += some;
    if (some == room)
        cut_open(self, wall_us);
    return some;
}

void
chunker_take(chunker_t *self, buffer_t *piece, const mark_t *marks,
             size_t marks_count, millis_t now, micros_t wall_us)
{
    chunker_sweep(self, now, wall_us);
    measure(self, buffer_size(piece), now);
    for (size_t from = 0; from < buffer_size(piece);)
        from += take_some(self, piece, from, marks, marks_count, now, wall_us);
}

void
chunker_flush(chunker_t *self, micros_t wall_us)
{
    if (self->open)
        cut_open(self, wall_us);
}

millis_t
chunker_due(const chunker_t *self)
{
    if (!self->open || !is_live(self))
        return MILLIS_NEVER;
    return self->opened + self->settings.buffer_ms;
}

void
chunker_sweep(chunker_t *self, millis_t now, micros_t wall_us)
{
    if (now >= chunker_due(self))
        cut_open(self, wall_us);
}

uint64_t
chunker_next(const chunker_t *self)
{
    return self->next;
}

size_t
chunker_held(const chunker_t *self)
{
    return self->filled;
}

uint32_t
chunker_size(const chunker_t *self)
{
    return self->size;
}
