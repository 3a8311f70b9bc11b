#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"

//  ---------------------------------------------------------------------------
//  What the store tells

static rig_chunk_t *
find(const rig_t *self, const chunk_key_t *key)
{
    for (size_t i = 0; i < self->count; i++)
        if (chunk_key_compare(&self->chunks[i].key, key) == 0)
            return &self->chunks[i];
    return NULL;
}

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    rig_t *self = with;
    self->durable_calls++;
    self->durable_count += count;
    for (size_t i = 0; i < count; i++) {
        rig_chunk_t *chunk = find(self, &keys[i]);
        INVARIANT(chunk);
        chunk->accepted = false;
        chunk->durable = true;
    }
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    rig_t *self = with;
    self->failed_status = status;
    self->failed_count += count;
    for (size_t i = 0; i < count; i++) {
        rig_chunk_t *chunk = find(self, &keys[i]);
        INVARIANT(chunk && chunk->accepted);
        chunk->accepted = false;
        chunk->failed = true;
    }
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    rig_t *self = with;
    if (self->reads_count == self->reads_most) {
        self->reads_most = self->reads_most ? 2 * self->reads_most : 64;
        self->reads = realloc(self->reads,
                              self->reads_most * sizeof(*self->reads));
        INVARIANT(self->reads);
    }
    rig_read_t *read = &self->reads[self->reads_count++];
    *read = (rig_read_t){ .token = token,
                          .status = status,
                          .payload = buffer_ref(payload) };
    if (header)
        read->header = *header;
}

//  ---------------------------------------------------------------------------
//  Life

rig_t *
rig_new(uint64_t seed)
{
    rig_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->disk = fake_files_new(seed, 64 * 1024 * 1024);
    self->kv = kv_memory_new();
    self->segment_bytes = RIG_SEGMENT_BYTES;
    return self;
}

static void
forget_reads(rig_t *self)
{
    for (size_t i = 0; i < self->reads_count; i++)
        buffer_unref(&self->reads[i].payload);
    self->reads_count = 0;
}

void
rig_destroy(rig_t **self_p)
{
    rig_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    chunkstore_close(&self->store);
    forget_reads(self);
    free(self->reads);
    free(self->chunks);
    fake_files_destroy(&self->disk);
    kv_close(&self->kv);
    free(self);
}

status_t
rig_open(rig_t *self)
{
    static const chunkstore_events_t events = { on_durable, on_failed, on_read,
                                                NULL };
    chunkstore_settings_t settings = {
        .path = RIG_PATH,
        .segment_bytes = self->segment_bytes,
        .space_bytes = self->space_bytes,
        .group_bytes = 8 * 1024,
        .queue_bytes = 256 * 1024,
        .index = kv_memory_handle(self->kv),
    };
    for (size_t i = 0; i < self->count; i++)
        self->chunks[i].failed = false;
    return chunkstore_open(&settings, fake_files_table(self->disk), &events,
                           self, &self->store, self->why, sizeof(self->why));
}

void
rig_close(rig_t *self)
{
    chunkstore_close(&self->store);
}

static void
refuse_index(void *arg)
{
    rig_t *self = arg;
    kv_memory_fail_after(self->kv, 1, STATUS_IO);
}

void
rig_die_at(rig_t *self, uint64_t nth)
{
    fake_files_die_at(self->disk, nth, refuse_index, self);
}

//  The store ends without having any effect.
static void
end_store(rig_t *self)
{
    if (!fake_files_dead(self->disk))
        rig_die_at(self, 1);
    chunkstore_close(&self->store);
    for (size_t i = 0; i < self->count; i++)
        self->chunks[i].accepted = false;
}

void
rig_crash(rig_t *self, uint64_t seed)
{
    end_store(self);
    kv_memory_crash(self->kv, seed);
    fake_files_crash(self->disk, seed);
}

void
rig_cut(rig_t *self, uint64_t seed)
{
    end_store(self);
    kv_memory_cut(self->kv, seed);
    fake_files_cut(self->disk, seed);
}

//  ---------------------------------------------------------------------------
//  Deeds

micros_t
rig_block_us(chunk_key_t key)
{
    return (micros_t)key.block * 40 + 1;
}

void
rig_retain(rig_t *self, uint8_t retention, micros_t horizon_us)
{
    chunkstore_retain(self->store, retention, horizon_us, 0);
    if (horizon_us > self->horizons[retention])
        self->horizons[retention] = horizon_us;
}

chunk_header_t
rig_header(chunk_key_t key, uint32_t length)
{
    chunk_header_t header = {
        .key = key,
        .code = { 4, 2 },
        .offset = key.block * 4000 + (key.slot < 4 ? key.slot * 1000 : 0),
        .length = length,
        .created_us = (micros_t)(key.block * 40 + key.slot),
        .block_us = rig_block_us(key),
        .settled = key.block / 2,
        .width = 6,
        .kind = KIND_RECORDED,
        .retention = (uint8_t)(key.stream % 2),
        .name = "cam",
    };
    buffer_t *payload = rig_payload(key, length);
    header.payload_crc = checksum_crc32c(buffer_bytes(payload), length);
    buffer_unref(&payload);
    return header;
}

buffer_t *
rig_payload(chunk_key_t key, uint32_t length)
{
    buffer_t *payload = buffer_new(length);
    uint8_t *bytes = buffer_fill(payload);
    uint64_t mixed = key.stream * 131 + key.epoch * 31 + key.block * 7;
    //  Eight at a time: most of a crash state's time goes into these.
    for (uint32_t i = 0; i < length; i += 8) {
        uint64_t word = (mixed + key.slot + i) * 0x9e3779b97f4a7c15u;
        word ^= word >> 29;
        memcpy(bytes + i, &word, length - i < 8 ? length - i : 8);
    }
    return payload;
}

static rig_chunk_t *
note(rig_t *self, chunk_key_t key, uint32_t length)
{
    rig_chunk_t *chunk = find(self, &key);
    if (chunk)
        return chunk;
    if (self->count == self->most) {
        self->most = self->most ? 2 * self->most : 256;
        self->chunks = realloc(self->chunks,
                               self->most * sizeof(*self->chunks));
        INVARIANT(self->chunks);
    }
    chunk = &self->chunks[self->count++];
    *chunk = (rig_chunk_t){ .key = key, .length = length };
    return chunk;
}

static bool
is_among(const uint64_t *streams, size_t count, uint64_t stream)
{
    for (size_t i = 0; i < count; i++)
        if (streams[i] == stream)
            return true;
    return false;
}

bool
rig_is_dropped(const rig_t *self, uint64_t stream)
{
    return is_among(self->dropped, self->dropped_count, stream) ||
           is_among(self->maybe_dropped, self->maybe_dropped_count, stream);
}

status_t
rig_offer(rig_t *self, const chunk_header_t *header, buffer_t *payload)
{
    rig_chunk_t *chunk = note(self, header->key, header->length);
    status_t status = chunkstore_append(self->store, header, payload,
                                        self->now);
    if (status == STATUS_OK)
        chunk->accepted = true;
    return status;
}

status_t
rig_append(rig_t *self, chunk_key_t key, uint32_t length)
{
    chunk_header_t header = rig_header(key, length);
    buffer_t *payload = rig_payload(key, length);
    status_t status = rig_offer(self, &header, payload);
    buffer_unref(&payload);
    return status;
}

status_t
rig_drop(rig_t *self, uint64_t stream)
{
    status_t status = chunkstore_drop(self->store, stream);
    if (status == STATUS_OK)
        self->dropped[self->dropped_count++] = stream;
    else
        self->maybe_dropped[self->maybe_dropped_count++] = stream;
    return status;
}

status_t
rig_set_term(rig_t *self, uint64_t term)
{
    self->term_most = term;
    status_t status = chunkstore_set_term(self->store, term);
    if (status == STATUS_OK)
        self->term = term;
    return status;
}

void
rig_turns(rig_t *self, int count)
{
    for (int i = 0; i < count; i++)
        chunkstore_turn(self->store, self->now);
}

static bool
all_told(const rig_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->chunks[i].accepted)
            return false;
    return true;
}

bool
rig_settle(rig_t *self)
{
    for (int i = 0; i < 10000 && !all_told(self); i++)
        rig_turns(self, 1);
    return all_told(self);
}

//  ---------------------------------------------------------------------------
//  Checks

//  Whether what was read is the chunk.
static bool
is_exact(const rig_read_t *read, const rig_chunk_t *chunk)
{
    chunk_header_t header = rig_header(chunk->key, chunk->length);
    buffer_t *payload = rig_payload(chunk->key, chunk->length);
    bool same = chunk_key_compare(&read->header.key, &header.key) == 0 &&
                read->header.payload_crc == header.payload_crc &&
                read->header.offset == header.offset && read->payload &&
                buffer_size(read->payload) == chunk->length &&
                memcmp(buffer_bytes(read->payload), buffer_bytes(payload),
                       chunk->length) == 0;
    buffer_unref(&payload);
    return same;
}

status_t
rig_read(rig_t *self, chunk_key_t key)
{
    forget_reads(self);
    if (chunkstore_read(self->store, key, false, 7) != STATUS_OK)
        return STATUS_BUSY;
    for (int i = 0; i < 10000 && self->reads_count == 0; i++)
        rig_turns(self, 1);
    INVARIANT(self->reads_count == 1 && self->reads[0].token == 7);
    if (self->reads[0].status != STATUS_OK)
        return self->reads[0].status;
    const rig_chunk_t *chunk = find(self, &key);
    //  A wrong byte served is never right, whatever a test expects.
    INVARIANT(chunk && is_exact(&self->reads[0], chunk));
    return STATUS_OK;
}

typedef struct {
    rig_t *rig;
    const char *wrong;
    size_t seen;
} walk_t;

static bool
check_entry(void *arg, const chunkstore_entry_t *entry)
{
    walk_t *walk = arg;
    const rig_chunk_t *chunk = find(walk->rig, &entry->key);
    walk->seen++;
    if (!chunk)
        walk->wrong = "an entry that was never offered";
    else if (entry->length != chunk->length ||
             entry->payload_crc !=
                 rig_header(chunk->key, chunk->length).payload_crc)
        walk->wrong = "an entry that is not the chunk's";
    return !walk->wrong;
}

//  Every entry is one of ours, and readable.
static const char *
check_index(rig_t *self)
{
    for (uint64_t stream = 0; stream < 64; stream++) {
        uint64_t epochs[8];
        size_t count = chunkstore_epochs(self->store, stream, epochs, 8);
        if (count && is_among(self->dropped, self->dropped_count, stream))
            return "an epoch of a dropped stream";
        for (size_t i = 0; i < count && i < 8; i++) {
            walk_t walk = { .rig = self };
            if (chunkstore_walk(self->store, stream, epochs[i], 0, check_entry,
                                &walk) != STATUS_OK)
                return "a walk failed";
            if (walk.wrong || walk.seen == 0)
                return walk.wrong ? walk.wrong : "an empty epoch";
        }
    }
    return NULL;
}

static const char *
check_chunk(rig_t *self, const rig_chunk_t *chunk)
{
    uint64_t stream = chunk->key.stream;
    status_t status = rig_read(self, chunk->key);
    if (is_among(self->dropped, self->dropped_count, stream))
        return status == STATUS_GONE || status == STATUS_MISS
                   ? NULL
                   : "a chunk of a dropped stream is not gone";
    bool doubt = is_among(self->maybe_dropped, self->maybe_dropped_count,
                          stream);
    if (doubt && (status == STATUS_GONE || status == STATUS_MISS))
        return NULL;
    if (status == STATUS_MISS &&
        rig_block_us(chunk->key) < self->horizons[stream % 2])
        return NULL;
    if (status == STATUS_OK || (!chunk->durable && status == STATUS_MISS))
        return NULL;
    return chunk->durable ? "a chunk told durable is not there"
                          : "a chunk not told durable is there, damaged";
}

const char *
rig_check(rig_t *self)
{
    chunkstore_identity_t identity = chunkstore_identity(self->store);
    if (identity.term < self->term || identity.term > self->term_most)
        return "the term is not the one granted";
    const char *wrong = check_index(self);
    for (size_t i = 0; i < self->count && !wrong; i++)
        wrong = check_chunk(self, &self->chunks[i]);
    if (!wrong && chunkstore_space(self->store).rot > 0)
        wrong = "rot where there is none";
    return wrong;
}

typedef struct {
    const char *suffix;
    size_t count;
} count_t;

static void
count_name(void *arg, const char *name)
{
    count_t *self = arg;
    self->count += strstr(name, self->suffix) != NULL;
}

size_t
rig_names(rig_t *self, const char *suffix)
{
    count_t counted = { suffix, 0 };
    const files_t *files = fake_files_table(self->disk);
    files->list(files, RIG_PATH "/segments", count_name, &counted);
    return counted.count;
}

typedef struct {
    size_t nth;
    char path[128];
} pick_t;

static void
pick(void *arg, const char *name)
{
    pick_t *self = arg;
    if (strstr(name, ".seg") && self->nth-- == 0)
        snprintf(self->path, sizeof(self->path), "%s/segments/%s", RIG_PATH,
                 name);
}

const char *
rig_segment(rig_t *self, size_t nth)
{
    static pick_t picked;
    picked = (pick_t){ .nth = nth };
    const files_t *files = fake_files_table(self->disk);
    files->list(files, RIG_PATH "/segments", pick, &picked);
    return picked.path[0] ? picked.path : NULL;
}
