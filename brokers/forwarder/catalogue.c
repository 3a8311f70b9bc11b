#include "catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "invariant.h"

enum { FORMAT = 3, ENSEMBLE_BYTES = 8 * LIMIT_WORKERS };

typedef struct {
    uint64_t store;
    char name[LIMIT_NAME_BYTES + 1];
    bool recorded;
} label_t;

struct catalogue {
    kv_t *kv;
    uint64_t cluster;
    uint64_t term;
    uint64_t since;    //  Who was granted later ones is recorded
    uint64_t rebuilt;  //  In which term
    size_t grants;     //  Stores of which is recorded what they were granted
    label_t *labels;
    size_t labels_count;
};

//  A value or key being written or read, little-endian; keys big-endian so
//  that their bytes sort as the numbers do.
typedef struct {
    uint8_t bytes[ENSEMBLE_BYTES];
    size_t size;
} out_t;

typedef struct {
    const uint8_t *bytes;
    size_t size;
    bool bad;  //  Read past the end
} in_t;

static void
put(out_t *out, uint64_t value, int bytes)
{
    INVARIANT(out->size + (size_t)bytes <= sizeof out->bytes);
    for (int i = 0; i < bytes; i++)
        out->bytes[out->size++] = (uint8_t)(value >> (8 * i));
}

static void
put_key(out_t *out, uint64_t value)
{
    for (int i = 7; i >= 0; i--)
        put(out, value >> (8 * i) & 0xff, 1);
}

static uint64_t
take(in_t *in, int bytes)
{
    uint64_t value = 0;
    if (in->size < (size_t)bytes) {
        in->bad = true;
        return 0;
    }
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)in->bytes[i] << (8 * i);
    in->bytes += bytes;
    in->size -= (size_t)bytes;
    return value;
}

static uint64_t
take_key(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

static kv_bytes_t
lent(const out_t *out)
{
    return (kv_bytes_t){ .bytes = out->bytes, .size = out->size };
}

static out_t
key_of(char kind, uint64_t id)
{
    out_t key = { .size = 0 };
    put(&key, (uint8_t)kind, 1);
    put_key(&key, id);
    return key;
}

static out_t
extent_key(uint64_t stream, uint64_t epoch)
{
    out_t key = key_of('X', stream);
    put_key(&key, epoch);
    return key;
}

//  FNV-1a over the store ids: equal ensembles share one entry.
static uint64_t
ensemble_hash(const extent_t *extent)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < extent->width; i++)
        for (int b = 0; b < 64; b += 8)
            hash = (hash ^ (extent->stores[i] >> b & 0xff)) * 0x100000001b3u;
    return hash;
}

static out_t
pack_ensemble(const extent_t *extent)
{
    out_t out = { .size = 0 };
    for (size_t i = 0; i < extent->width; i++)
        put(&out, extent->stores[i], 8);
    return out;
}

static out_t
pack_extent(const extent_t *extent)
{
    out_t out = { .size = 0 };
    put(&out, FORMAT, 1);
    put(&out, extent->base_index, 8);
    put(&out, extent->index_gap, 8);
    put(&out, extent->base_offset, 8);
    put(&out, extent->writer, 8);
    put(&out, extent->gap, 8);
    put(&out, (uint64_t)extent->begun_us, 8);
    put(&out, extent->chunk_bytes, 4);
    put(&out, extent->code.k, 1);
    put(&out, extent->code.m, 1);
    put(&out, extent->start, 4);
    put(&out, extent->width, 2);
    put(&out, ensemble_hash(extent), 8);
    return out;
}

static out_t
pack_record(const stream_record_t *record)
{
    out_t out = { .size = 0 };
    size_t name = strlen(record->name);
    put(&out, FORMAT, 1);
    put(&out, record->kind, 1);
    put(&out, record->retention, 1);
    put(&out, record->asked.k, 1);
    put(&out, record->asked.m, 1);
    put(&out, record->strict, 1);
    put(&out, (uint64_t)record->created_us, 8);
    put(&out, record->writer, 8);
    put(&out, record->writer_begin, 8);
    put(&out, record->size_known, 1);
    put(&out, record->size, 8);
    put(&out, record->chunk_bytes, 4);
    put(&out, record->buffer_ms, 4);
    put(&out, record->sealed, 1);
    put(&out, record->end_index, 8);
    put(&out, (uint64_t)record->newest_us, 8);
    put(&out, record->first_index, 8);
    put(&out, (uint64_t)record->lost_us, 8);
    put(&out, record->lost_from, 8);
    put(&out, record->lost_to, 8);
    put(&out, name, 1);
    for (size_t i = 0; i < name; i++)
        put(&out, (uint8_t)record->name[i], 1);
    return out;
}

static status_t
unpack_record(uint64_t id, kv_bytes_t value, stream_record_t *record)
{
    in_t in = { .bytes = value.bytes, .size = value.size };
    memset(record, 0, sizeof *record);
    if (take(&in, 1) != FORMAT)
        return STATUS_VERSION;
    record->id = id;
    record->kind = (kind_t)take(&in, 1);
    record->retention = (uint8_t)take(&in, 1);
    record->asked.k = (uint8_t)take(&in, 1);
    record->asked.m = (uint8_t)take(&in, 1);
    record->strict = take(&in, 1);
    record->created_us = (micros_t)take(&in, 8);
    record->writer = take(&in, 8);
    record->writer_begin = take(&in, 8);
    record->size_known = take(&in, 1);
    record->size = take(&in, 8);
    record->chunk_bytes = (uint32_t)take(&in, 4);
    record->buffer_ms = (uint32_t)take(&in, 4);
    record->sealed = take(&in, 1);
    record->end_index = take(&in, 8);
    record->newest_us = (micros_t)take(&in, 8);
    record->first_index = take(&in, 8);
    record->lost_us = (micros_t)take(&in, 8);
    record->lost_from = take(&in, 8);
    record->lost_to = take(&in, 8);
    size_t name = take(&in, 1);
    if (in.bad || name > LIMIT_NAME_BYTES || in.size != name)
        return STATUS_CORRUPT;
    memcpy(record->name, in.bytes, name);
    bool kind = record->kind == KIND_RECORDED || record->kind == KIND_LIVE;
    return kind && chunk_name_legal(record->name) ? STATUS_OK : STATUS_CORRUPT;
}

static status_t
unpack_extent(catalogue_t *self, uint64_t epoch, kv_bytes_t value,
              extent_t **extent_r)
{
    in_t in = { .bytes = value.bytes, .size = value.size };
    if (take(&in, 1) != FORMAT)
        return STATUS_VERSION;
    extent_t plain = { .epoch = epoch };
    plain.base_index = take(&in, 8);
    plain.index_gap = take(&in, 8);
    plain.base_offset = take(&in, 8);
    plain.writer = take(&in, 8);
    plain.gap = take(&in, 8);
    plain.begun_us = (micros_t)take(&in, 8);
    plain.chunk_bytes = (uint32_t)take(&in, 4);
    plain.code.k = (uint8_t)take(&in, 1);
    plain.code.m = (uint8_t)take(&in, 1);
    plain.start = (uint32_t)take(&in, 4);
    plain.width = (uint16_t)take(&in, 2);
    out_t key = key_of('E', take(&in, 8));
    unsigned slots = plain.code.k + plain.code.m;
    if (in.bad || in.size || plain.code.k == 0 || slots > LIMIT_SLOTS ||
        plain.width < slots || plain.width > LIMIT_WORKERS ||
        plain.gap > plain.base_offset || plain.index_gap > plain.base_index)
        return STATUS_CORRUPT;

    void *bytes;
    size_t size;
    status_t status = self->kv->read(self->kv, lent(&key), &bytes, &size);
    if (status != STATUS_OK)
        return status == STATUS_ABSENT ? STATUS_CORRUPT : status;
    if (size == 8u * plain.width) {
        extent_t *extent = extent_new(plain.width);
        uint64_t *stores = extent->stores;
        in_t list = { .bytes = bytes, .size = size };
        *extent = plain;
        extent->stores = stores;
        for (size_t i = 0; i < plain.width; i++)
            stores[i] = take(&list, 8);
        *extent_r = extent;
    } else
        status = STATUS_CORRUPT;
    free(bytes);
    return status;
}

extent_t *
extent_new(uint16_t width)
{
    extent_t *extent = calloc(1, sizeof *extent + width * sizeof(uint64_t));
    INVARIANT(extent);
    extent->width = width;
    extent->stores = (uint64_t *)(extent + 1);
    return extent;
}

void
extent_free(extent_t *extent)
{
    free(extent);
}

//  The first entry; zeros when there is none yet.
typedef struct {
    uint64_t cluster, term;
} first_t;

static status_t
read_first(kv_t *kv, first_t *first_r)
{
    void *bytes;
    size_t size;
    kv_bytes_t key = { .bytes = "T", .size = 1 };
    *first_r = (first_t){ .term = 0 };
    status_t status = kv->read(kv, key, &bytes, &size);
    if (status == STATUS_ABSENT)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    in_t in = { .bytes = bytes, .size = size };
    bool format = take(&in, 1) == FORMAT;
    first_r->cluster = take(&in, 8);
    first_r->term = take(&in, 8);
    free(bytes);
    return !format             ? STATUS_VERSION
           : in.bad || in.size ? STATUS_CORRUPT
                               : STATUS_OK;
}

status_t
catalogue_check(const catalogue_t *self)
{
    first_t first;
    status_t status = read_first(self->kv, &first);
    if (status != STATUS_OK)
        return status;
    return first.term == self->term ? STATUS_OK : STATUS_FENCED;
}

//  One synced batch, if the term is still ours (invariant 2).
static status_t
write_batch(catalogue_t *self, const kv_change_t *changes, size_t count)
{
    status_t status = catalogue_check(self);
    return status == STATUS_OK ? self->kv->write(self->kv, changes, count, true)
                               : status;
}

status_t
catalogue_peek(kv_t *kv, uint64_t *cluster_r, uint64_t *term_r)
{
    first_t first;
    status_t status = read_first(kv, &first);
    *cluster_r = first.cluster;
    *term_r = first.term;
    return status;
}

static status_t
read_rebuilt(kv_t *kv, uint64_t *term_r)
{
    void *bytes;
    size_t size;
    kv_bytes_t key = { .bytes = "B", .size = 1 };
    *term_r = 0;
    status_t status = kv->read(kv, key, &bytes, &size);
    if (status != STATUS_OK)
        return status == STATUS_ABSENT ? STATUS_OK : status;
    in_t in = { .bytes = bytes, .size = size };
    *term_r = take(&in, 8);
    free(bytes);
    return in.bad || in.size ? STATUS_CORRUPT : STATUS_OK;
}

//  Since when who was granted a term is recorded: not in terms that a forwarder
//  took that does not record it.
static status_t
read_since(kv_t *kv, uint64_t term, uint64_t *since_r)
{
    void *bytes;
    size_t size;
    kv_bytes_t key = { .bytes = "K", .size = 1 };
    *since_r = term;
    status_t status = kv->read(kv, key, &bytes, &size);
    if (status != STATUS_OK)
        return status == STATUS_ABSENT ? STATUS_OK : status;
    in_t in = { .bytes = bytes, .size = size };
    uint64_t since = take(&in, 8);
    if (take(&in, 8) == term)
        *since_r = since;
    free(bytes);
    return in.bad || in.size ? STATUS_CORRUPT : STATUS_OK;
}

//  Whether it may be used: no rebuild was begun and not ended, and nobody found
//  that it is an older copy.
static status_t
check_whole(kv_t *kv, char *why_r, size_t why_size)
{
    void *bytes;
    size_t size;
    kv_bytes_t key = { .bytes = "R", .size = 1 };
    status_t status = kv->read(kv, key, &bytes, &size);
    if (status == STATUS_ABSENT)
        return STATUS_OK;
    if (status != STATUS_OK) {
        snprintf(why_r, why_size, "the catalogue cannot be read: %s",
                 status_text(status));
        return status;
    }
    snprintf(why_r, why_size, "%s",
             size ? "the catalogue was found to be an older copy"
                  : "the rebuilding of the catalogue was not ended");
    free(bytes);
    return STATUS_CORRUPT;
}

static status_t
write_term(catalogue_t *self)
{
    out_t value = { .size = 0 }, known = { .size = 0 };
    put(&value, FORMAT, 1);
    put(&value, self->cluster, 8);
    put(&value, self->term, 8);
    put(&known, self->since, 8);
    put(&known, self->term, 8);
    kv_change_t changes[] = { { { "T", 1 }, lent(&value) },
                              { { "K", 1 }, lent(&known) } };
    return self->kv->write(self->kv, changes, 2, true);
}

status_t
catalogue_open(kv_t *kv, uint64_t fresh_cluster, catalogue_t **self_r,
               char *why_r, size_t why_size)
{
    first_t first;
    status_t status = read_first(kv, &first);
    if (status != STATUS_OK) {
        snprintf(why_r, why_size, "the catalogue's first entry: %s",
                 status_text(status));
        return status;
    }
    status = check_whole(kv, why_r, why_size);
    if (status != STATUS_OK)
        return status;
    catalogue_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->kv = kv;
    self->cluster = first.cluster ? first.cluster : fresh_cluster;
    self->term = first.term + 1;
    status = read_since(kv, first.term, &self->since);
    if (status == STATUS_OK)
        status = read_rebuilt(kv, &self->rebuilt);
    if (status == STATUS_OK)
        status = write_term(self);
    if (status != STATUS_OK) {
        snprintf(why_r, why_size, "the new term could not be recorded: %s",
                 status_text(status));
        catalogue_close(&self);
        return status;
    }
    *self_r = self;
    return STATUS_OK;
}

//  Some of what is in a table, to be taken out of it.
enum { OUT_MOST = 256 };
typedef struct {
    out_t *keys;
    kv_change_t changes[OUT_MOST];
    size_t count;
} emptying_t;

static bool
on_old(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    emptying_t *emptying = arg;
    (void)value;
    out_t *copy = &emptying->keys[emptying->count];
    bool mark = key.size == 1 && *(const char *)key.bytes == 'R';
    if (mark || key.size > sizeof copy->bytes)
        return true;
    memcpy(copy->bytes, key.bytes, key.size);
    copy->size = key.size;
    emptying->changes[emptying->count++] = (kv_change_t){ lent(copy),
                                                          { NULL, 0 } };
    return emptying->count < OUT_MOST;
}

static status_t
empty(kv_t *kv)
{
    emptying_t emptying = { .keys = calloc(OUT_MOST, sizeof(out_t)) };
    INVARIANT(emptying.keys);
    kv_bytes_t from = { "", 0 }, to = { NULL, 0 };
    status_t status;
    do {
        emptying.count = 0;
        status = kv->walk(kv, from, to, on_old, &emptying);
        if (status == STATUS_OK && emptying.count)
            status = kv->write(kv, emptying.changes, emptying.count, true);
    } while (status == STATUS_OK && emptying.count);
    free(emptying.keys);
    return status;
}

status_t
catalogue_rebuild(kv_t *kv, catalogue_t **self_r, char *why_r, size_t why_size)
{
    kv_change_t change = { { "R", 1 }, { "", 0 } };
    status_t status = kv->write(kv, &change, 1, true);
    if (status == STATUS_OK)
        status = empty(kv);
    if (status != STATUS_OK) {
        snprintf(why_r, why_size, "the new catalogue cannot be written: %s",
                 status_text(status));
        return status;
    }
    catalogue_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->kv = kv;
    *self_r = self;
    return STATUS_OK;
}

status_t
catalogue_take(catalogue_t *self, uint64_t cluster, uint64_t term)
{
    INVARIANT(term > self->term);
    status_t status = catalogue_check(self);
    if (status != STATUS_OK)
        return status;
    self->cluster = cluster;
    self->term = self->since = term;
    return write_term(self);
}

status_t
catalogue_doubt(catalogue_t *self)
{
    kv_change_t change = { { "R", 1 }, { "old", 3 } };
    return write_batch(self, &change, 1);
}

status_t
catalogue_rebuilt(catalogue_t *self)
{
    out_t term = { .size = 0 };
    put(&term, self->term, 8);
    self->rebuilt = self->term;
    kv_change_t changes[] = { { { "B", 1 }, lent(&term) },
                              { { "R", 1 }, { NULL, 0 } } };
    return write_batch(self, changes, 2);
}

void
catalogue_close(catalogue_t **self_p)
{
    catalogue_t *self = *self_p;
    if (!self)
        return;
    free(self->labels);
    free(self);
    *self_p = NULL;
}

uint64_t
catalogue_cluster(const catalogue_t *self)
{
    return self->cluster;
}

uint64_t
catalogue_term(const catalogue_t *self)
{
    return self->term;
}

uint64_t
catalogue_rebuilt_in(const catalogue_t *self)
{
    return self->rebuilt;
}

size_t
catalogue_bytes(const catalogue_t *self)
{
    return self->kv->bytes(self->kv);
}

//  ---- what stores are called

static label_t *
label_of(const catalogue_t *self, uint64_t store)
{
    for (size_t i = 0; i < self->labels_count; i++)
        if (self->labels[i].store == store)
            return &self->labels[i];
    return NULL;
}

static void
set_label(catalogue_t *self, uint64_t store, const char *name, bool recorded)
{
    label_t *label = label_of(self, store);
    if (label && strcmp(label->name, name) == 0)
        return;
    if (!label) {
        self->labels = realloc(self->labels,
                               (self->labels_count + 1) * sizeof *self->labels);
        INVARIANT(self->labels);
        label = &self->labels[self->labels_count++];
        label->store = store;
    }
    snprintf(label->name, sizeof label->name, "%s", name);
    label->recorded = recorded;
}

void
catalogue_call(catalogue_t *self, uint64_t store, const char *name)
{
    set_label(self, store, name, false);
}

const char *
catalogue_name_of(const catalogue_t *self, uint64_t store)
{
    const label_t *label = label_of(self, store);
    return label ? label->name : NULL;
}

//  ---- reading everything

//  A walk over one stream's extents, or over all streams.
typedef struct {
    catalogue_t *self;
    status_t status;
    extent_t **chain;
    size_t count;
    size_t size;
    catalogue_stream_fn *on_stream;
    catalogue_removed_fn *on_removed;
    void *arg;
} walk_t;

static bool
on_extent(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    walk_t *walk = arg;
    extent_t *extent = NULL;
    if (key.size != 17)
        walk->status = STATUS_CORRUPT;
    else
        walk->status = unpack_extent(walk->self,
                                     take_key((const uint8_t *)key.bytes + 9),
                                     value, &extent);
    if (walk->status != STATUS_OK)
        return false;
    if (walk->count == walk->size) {
        walk->size = walk->size ? 2 * walk->size : 4;
        walk->chain = realloc(walk->chain, walk->size * sizeof *walk->chain);
        INVARIANT(walk->chain);
    }
    walk->chain[walk->count++] = extent;
    return true;
}

static void
free_chain(walk_t *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        extent_free(walk->chain[i]);
    free(walk->chain);
    walk->chain = NULL;
    walk->count = walk->size = 0;
}

//  A chain begins where it was trimmed to, and its bases grow.
static bool
chain_possible(const walk_t *walk, const stream_record_t *record)
{
    if (walk->count && walk->chain[0]->base_index != record->first_index)
        return false;
    for (size_t i = 1; i < walk->count; i++) {
        const extent_t *before = walk->chain[i - 1], *extent = walk->chain[i];
        if (extent->base_index <= before->base_index ||
            placement_index_before(extent) < before->base_index ||
            extent->base_offset - extent->gap < before->base_offset)
            return false;
    }
    return true;
}

static bool
on_record(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    walk_t *walk = arg;
    stream_record_t record;
    if (key.size != 9) {
        walk->status = STATUS_CORRUPT;
        return false;
    }
    uint64_t id = take_key((const uint8_t *)key.bytes + 1);
    walk->status = unpack_record(id, value, &record);
    if (walk->status != STATUS_OK)
        return false;
    out_t from = extent_key(id, 0), to = extent_key(id, UINT64_MAX);
    kv_t *kv = walk->self->kv;
    status_t status = kv->walk(kv, lent(&from), lent(&to), on_extent, walk);
    if (walk->status == STATUS_OK)
        walk->status = status;
    if (walk->status == STATUS_OK && !chain_possible(walk, &record))
        walk->status = STATUS_CORRUPT;
    if (walk->status != STATUS_OK) {
        free_chain(walk);
        return false;
    }
    walk->on_stream(walk->arg, &record, walk->chain, walk->count);
    walk->chain = NULL;
    walk->count = walk->size = 0;
    return true;
}

static bool
on_removal(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    walk_t *walk = arg;
    uint64_t stores[LIMIT_WORKERS];
    if (key.size != 9 || value.size > sizeof stores || value.size % 8) {
        walk->status = STATUS_CORRUPT;
        return false;
    }
    in_t in = { .bytes = value.bytes, .size = value.size };
    size_t count = value.size / 8;
    for (size_t i = 0; i < count; i++)
        stores[i] = take(&in, 8);
    walk->on_removed(walk->arg, take_key((const uint8_t *)key.bytes + 1),
                     stores, count);
    return true;
}

static bool
on_label(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    walk_t *walk = arg;
    in_t in = { .bytes = value.bytes, .size = value.size };
    char name[LIMIT_NAME_BYTES + 1];
    bool format = take(&in, 1) == FORMAT;
    bool fits = key.size == 9 && in.size <= LIMIT_NAME_BYTES;
    size_t length = fits ? in.size : 0;
    memcpy(name, in.bytes, length);
    name[length] = '\0';
    walk->status = !format                  ? STATUS_VERSION
                   : chunk_name_legal(name) ? STATUS_OK
                                            : STATUS_CORRUPT;
    if (walk->status == STATUS_OK)
        set_label(walk->self, take_key((const uint8_t *)key.bytes + 1), name,
                  true);
    return walk->status == STATUS_OK;
}

static bool
on_grant(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    walk_t *walk = arg;
    (void)key, (void)value;
    walk->self->grants++;
    return true;
}

status_t
catalogue_load(catalogue_t *self, catalogue_stream_fn *on_stream,
               catalogue_removed_fn *on_removed, void *arg)
{
    walk_t walk = { .self = self,
                    .on_stream = on_stream,
                    .on_removed = on_removed,
                    .arg = arg };
    kv_bytes_t s = { "S", 1 }, t = { "T", 1 }, d = { "D", 1 }, e = { "E", 1 };
    kv_bytes_t g = { "G", 1 }, h = { "H", 1 }, n = { "N", 1 }, o = { "O", 1 };
    status_t status = self->kv->walk(self->kv, s, t, on_record, &walk);
    if (walk.status != STATUS_OK || status != STATUS_OK)
        return walk.status != STATUS_OK ? walk.status : status;
    status = self->kv->walk(self->kv, d, e, on_removal, &walk);
    if (walk.status != STATUS_OK || status != STATUS_OK)
        return walk.status != STATUS_OK ? walk.status : status;
    status = self->kv->walk(self->kv, n, o, on_label, &walk);
    if (walk.status != STATUS_OK || status != STATUS_OK)
        return walk.status != STATUS_OK ? walk.status : status;
    self->grants = 0;
    return self->kv->walk(self->kv, g, h, on_grant, &walk);
}

status_t
catalogue_put(catalogue_t *self, const stream_record_t *record)
{
    return catalogue_switch(self, record, NULL, 0, NULL, 0);
}

static out_t
pack_label(const label_t *label)
{
    out_t out = { .size = 0 };
    put(&out, FORMAT, 1);
    for (const char *at = label->name; *at; at++)
        put(&out, (uint8_t)*at, 1);
    return out;
}

//  Labels that the extents need and the table does not have.
static size_t
unrecorded(catalogue_t *self, extent_t *const *extents, size_t count,
           label_t *labels_r[LIMIT_WORKERS])
{
    size_t found = 0;
    for (size_t i = 0; i < self->labels_count && found < LIMIT_WORKERS; i++) {
        label_t *label = &self->labels[i];
        bool named = false;
        for (size_t e = 0; e < count && !label->recorded && !named; e++)
            for (uint16_t p = 0; p < extents[e]->width && !named; p++)
                named = extents[e]->stores[p] == label->store;
        if (named)
            labels_r[found++] = label;
    }
    return found;
}

status_t
catalogue_switch(catalogue_t *self, const stream_record_t *record,
                 extent_t *const *gone, size_t gone_count,
                 extent_t *const *added, size_t added_count)
{
    label_t *labels[LIMIT_WORKERS];
    size_t labels_count = unrecorded(self, added, added_count, labels);
    size_t count = 0, most = 1 + gone_count + 2 * added_count + labels_count;
    kv_change_t *changes = calloc(most, sizeof *changes);
    out_t *outs = calloc(2 * most, sizeof *outs);
    INVARIANT(changes && outs);
    out_t *next = outs;

    next[0] = key_of('S', record->id);
    next[1] = pack_record(record);
    changes[count++] = (kv_change_t){ lent(&next[0]), lent(&next[1]) };
    next += 2;
    for (size_t i = 0; i < gone_count; i++, next++) {
        next[0] = extent_key(record->id, gone[i]->epoch);
        changes[count++] = (kv_change_t){ lent(&next[0]), { NULL, 0 } };
    }
    for (size_t i = 0; i < added_count; i++, next += 4) {
        next[0] = key_of('E', ensemble_hash(added[i]));
        next[1] = pack_ensemble(added[i]);
        changes[count++] = (kv_change_t){ lent(&next[0]), lent(&next[1]) };
        next[2] = extent_key(record->id, added[i]->epoch);
        next[3] = pack_extent(added[i]);
        changes[count++] = (kv_change_t){ lent(&next[2]), lent(&next[3]) };
    }
    for (size_t i = 0; i < labels_count; i++, next += 2) {
        next[0] = key_of('N', labels[i]->store);
        next[1] = pack_label(labels[i]);
        changes[count++] = (kv_change_t){ lent(&next[0]), lent(&next[1]) };
    }
    status_t status = write_batch(self, changes, count);
    for (size_t i = 0; i < labels_count && status == STATUS_OK; i++)
        labels[i]->recorded = true;
    free(changes);
    free(outs);
    return status;
}

static kv_change_t
removal(uint64_t stream, const uint64_t *stores, size_t count, out_t *key,
        out_t *value)
{
    INVARIANT(count <= LIMIT_WORKERS);
    *key = key_of('D', stream);
    value->size = 0;
    for (size_t i = 0; i < count; i++)
        put(value, stores[i], 8);
    return (kv_change_t){ lent(key), lent(value) };
}

status_t
catalogue_remove(catalogue_t *self, uint64_t stream, extent_t *const *chain,
                 size_t count, const uint64_t *stores, size_t stores_count)
{
    kv_change_t *changes = calloc(count + 2, sizeof *changes);
    out_t *keys = calloc(count + 3, sizeof *keys);
    INVARIANT(changes && keys);
    keys[0] = key_of('S', stream);
    changes[0] = (kv_change_t){ lent(&keys[0]), { NULL, 0 } };
    changes[1] = removal(stream, stores, stores_count, &keys[1], &keys[2]);
    for (size_t i = 0; i < count; i++) {
        keys[3 + i] = extent_key(stream, chain[i]->epoch);
        changes[2 + i] = (kv_change_t){ lent(&keys[3 + i]), { NULL, 0 } };
    }
    status_t status = write_batch(self, changes, count + 2);
    free(changes);
    free(keys);
    return status;
}

status_t
catalogue_forgotten(catalogue_t *self, uint64_t stream, const uint64_t *stores,
                    size_t stores_count)
{
    out_t key, value;
    kv_change_t change = removal(stream, stores, stores_count, &key, &value);
    return write_batch(self, &change, 1);
}

status_t
catalogue_horizon(catalogue_t *self, uint8_t retention, micros_t *clock_us_r,
                  micros_t *horizon_us_r)
{
    out_t key = key_of('H', retention);
    void *bytes;
    size_t size;
    *clock_us_r = *horizon_us_r = 0;
    status_t status = self->kv->read(self->kv, lent(&key), &bytes, &size);
    if (status != STATUS_OK)
        return status == STATUS_ABSENT ? STATUS_OK : status;
    in_t in = { .bytes = bytes, .size = size };
    bool format = take(&in, 1) == FORMAT;
    *clock_us_r = (micros_t)take(&in, 8);
    *horizon_us_r = (micros_t)take(&in, 8);
    free(bytes);
    return !format             ? STATUS_VERSION
           : in.bad || in.size ? STATUS_CORRUPT
                               : STATUS_OK;
}

status_t
catalogue_put_horizon(catalogue_t *self, uint8_t retention, micros_t clock_us,
                      micros_t horizon_us)
{
    out_t key = key_of('H', retention), value = { .size = 0 };
    put(&value, FORMAT, 1);
    put(&value, (uint64_t)clock_us, 8);
    put(&value, (uint64_t)horizon_us, 8);
    kv_change_t change = { lent(&key), lent(&value) };
    return write_batch(self, &change, 1);
}

//  A number of a store; 0 when there is none.
static status_t
read_of_store(catalogue_t *self, char kind, uint64_t store, uint64_t *number_r)
{
    out_t key = key_of(kind, store);
    void *bytes;
    size_t size;
    *number_r = 0;
    status_t status = self->kv->read(self->kv, lent(&key), &bytes, &size);
    if (status != STATUS_OK)
        return status == STATUS_ABSENT ? STATUS_OK : status;
    in_t in = { .bytes = bytes, .size = size };
    bool format = take(&in, 1) == FORMAT;
    *number_r = take(&in, 8);
    free(bytes);
    return !format             ? STATUS_VERSION
           : in.bad || in.size ? STATUS_CORRUPT
                               : STATUS_OK;
}

static status_t
write_of_store(catalogue_t *self, char kind, uint64_t store, uint64_t number)
{
    out_t key = key_of(kind, store), value = { .size = 0 };
    put(&value, FORMAT, 1);
    put(&value, number, 8);
    kv_change_t change = { lent(&key), lent(&value) };
    return write_batch(self, &change, 1);
}

status_t
catalogue_older(catalogue_t *self, uint64_t store, uint64_t *epoch_r)
{
    return read_of_store(self, 'O', store, epoch_r);
}

status_t
catalogue_put_older(catalogue_t *self, uint64_t store, uint64_t epoch)
{
    return write_of_store(self, 'O', store, epoch);
}

status_t
catalogue_granted(catalogue_t *self, uint64_t store, uint64_t *term_r)
{
    status_t status = read_of_store(self, 'G', store, term_r);
    if (*term_r < self->since)
        *term_r = self->since;
    return status;
}

status_t
catalogue_grant(catalogue_t *self, uint64_t store, bool named)
{
    uint64_t granted;
    status_t status = read_of_store(self, 'G', store, &granted);
    bool whole = granted >= self->term || self->since >= self->term;
    if (status != STATUS_OK || whole)
        return status;
    size_t most = CATALOGUE_STRANGERS_MOST * (named ? 2 : 1);
    bool added = granted == 0;
    if (added && !label_of(self, store) &&
        self->grants >= self->labels_count + most)
        return STATUS_BUSY;
    status = write_of_store(self, 'G', store, self->term);
    self->grants += added && status == STATUS_OK;
    return status;
}
