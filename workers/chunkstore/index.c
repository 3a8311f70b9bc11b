#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "invariant.h"
#include "little.h"

#define CHUNK_KEY_BYTES (1 + ENTRY_KEY_BYTES)
#define ID_KEY_BYTES 9  //  A kind and a number, big-endian
#define PLACE_BYTES (ENTRY_FACTS_BYTES + 16)
#define SEGMENT_BYTES 66
#define DROP_BYTES 9
#define HOLE_KEY_BYTES 17  //  And the place it begins
#define HOLE_BYTES 8
#define MOST_CHANGE_BYTES (CHUNK_KEY_BYTES + SEGMENT_BYTES)

struct index {
    kv_t *kv;
    //  The batch: bytes of all changes one after the other.
    uint8_t *bytes;
    size_t used, room;
    struct {
        size_t key_at, key_size, value_at, value_size;
    } * changes;
    size_t count, most;
};

index_t *
index_new(kv_t **kv_p)
{
    index_t *self = calloc(1, sizeof(*self));
    INVARIANT(self && *kv_p);
    self->kv = *kv_p;
    *kv_p = NULL;
    return self;
}

void
index_destroy(index_t **self_p)
{
    index_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    kv_close(&self->kv);
    free(self->bytes);
    free(self->changes);
    free(self);
}

//  ---------------------------------------------------------------------------
//  The batch

static void
add_change(index_t *self, const uint8_t *key, size_t key_size,
           const uint8_t *value, size_t value_size)
{
    if (self->count == self->most) {
        self->most = self->most ? 2 * self->most : 64;
        self->room = self->most * MOST_CHANGE_BYTES;
        self->changes = realloc(self->changes,
                                self->most * sizeof(*self->changes));
        self->bytes = realloc(self->bytes, self->room);
        INVARIANT(self->changes && self->bytes);
    }
    size_t at = self->used;
    memcpy(self->bytes + at, key, key_size);
    if (value_size)
        memcpy(self->bytes + at + key_size, value, value_size);
    self->used += key_size + value_size;
    self->changes[self->count].key_at = at;
    self->changes[self->count].key_size = key_size;
    self->changes[self->count].value_at = at + key_size;
    self->changes[self->count].value_size = value_size;
    self->count++;
}

static void
pack_id(char kind, uint64_t id, uint8_t *to)
{
    to[0] = (uint8_t)kind;
    for (int i = 0; i < 8; i++)
        to[1 + i] = (uint8_t)(id >> (8 * (7 - i)));
}

static uint64_t
unpack_id(const uint8_t *from)
{
    uint64_t id = 0;
    for (int i = 1; i <= 8; i++)
        id = id << 8 | from[i];
    return id;
}

static void
pack_chunk_key(const chunk_key_t *key, uint8_t *to)
{
    to[0] = 'c';
    entry_pack_key(key, to + 1);
}

static void
delete_id(index_t *self, char kind, uint64_t id)
{
    uint8_t key[ID_KEY_BYTES];
    pack_id(kind, id, key);
    add_change(self, key, sizeof(key), NULL, 0);
}

void
index_put(index_t *self, const index_place_t *place)
{
    uint8_t key[CHUNK_KEY_BYTES], value[PLACE_BYTES];
    pack_chunk_key(&place->entry.key, key);
    entry_pack_facts(&place->entry, place->rotten, value);
    little_put(value + ENTRY_FACTS_BYTES, place->segment, 8);
    little_put(value + ENTRY_FACTS_BYTES + 8, place->place, 8);
    add_change(self, key, sizeof(key), value, sizeof(value));
}

void
index_delete(index_t *self, const chunk_key_t *key)
{
    uint8_t bytes[CHUNK_KEY_BYTES];
    pack_chunk_key(key, bytes);
    add_change(self, bytes, sizeof(bytes), NULL, 0);
}

void
index_put_segment(index_t *self, const index_segment_t *segment)
{
    uint8_t key[ID_KEY_BYTES], value[SEGMENT_BYTES];
    pack_id('s', segment->id, key);
    little_put(value, segment->nonce, 8);
    little_put(value + 8, segment->size, 8);
    little_put(value + 16, segment->end, 8);
    little_put(value + 24, segment->holes, 8);
    little_put(value + 32, segment->records, 8);
    little_put(value + 40, segment->live, 8);
    little_put(value + 48, segment->live_bytes, 8);
    value[56] = segment->retention;
    value[57] = segment->closed;
    little_put(value + 58, (uint64_t)segment->newest_us, 8);
    add_change(self, key, sizeof(key), value, sizeof(value));
}

void
index_delete_segment(index_t *self, uint64_t id)
{
    delete_id(self, 's', id);
}

void
index_put_settled(index_t *self, uint64_t stream, uint64_t mark)
{
    uint8_t key[ID_KEY_BYTES], value[8];
    pack_id('m', stream, key);
    little_put(value, mark, 8);
    add_change(self, key, sizeof(key), value, sizeof(value));
}

void
index_delete_settled(index_t *self, uint64_t stream)
{
    delete_id(self, 'm', stream);
}

void
index_put_drop(index_t *self, const index_drop_t *drop)
{
    uint8_t key[ID_KEY_BYTES], value[DROP_BYTES];
    pack_id('d', drop->stream, key);
    little_put(value, drop->newest, 8);
    value[8] = drop->swept;
    add_change(self, key, sizeof(key), value, sizeof(value));
}

void
index_delete_drop(index_t *self, uint64_t stream)
{
    delete_id(self, 'd', stream);
}

static void
pack_hole_key(uint64_t segment, uint64_t from, uint8_t *to)
{
    uint8_t place[ID_KEY_BYTES];
    pack_id('h', segment, to);
    pack_id(0, from, place);
    memcpy(to + ID_KEY_BYTES, place + 1, 8);
}

void
index_put_hole(index_t *self, const index_hole_t *hole)
{
    uint8_t key[HOLE_KEY_BYTES], value[HOLE_BYTES];
    pack_hole_key(hole->segment, hole->from, key);
    little_put(value, hole->to, 8);
    add_change(self, key, sizeof(key), value, sizeof(value));
}

void
index_delete_hole(index_t *self, uint64_t segment, uint64_t from)
{
    uint8_t key[HOLE_KEY_BYTES];
    pack_hole_key(segment, from, key);
    add_change(self, key, sizeof(key), NULL, 0);
}

status_t
index_commit(index_t *self, bool sync)
{
    kv_change_t *changes = calloc(self->count + 1, sizeof(*changes));
    INVARIANT(changes);
    for (size_t i = 0; i < self->count; i++) {
        changes[i].key.bytes = self->bytes + self->changes[i].key_at;
        changes[i].key.size = self->changes[i].key_size;
        changes[i].value.size = self->changes[i].value_size;
        if (changes[i].value.size)
            changes[i].value.bytes = self->bytes + self->changes[i].value_at;
    }
    status_t status = STATUS_OK;
    if (self->count)
        status = self->kv->write(self->kv, changes, self->count, sync);
    free(changes);
    self->count = 0;
    self->used = 0;
    return status;
}

//  ---------------------------------------------------------------------------
//  Questions

static bool
unpack_place(kv_bytes_t key, kv_bytes_t value, index_place_t *place_r)
{
    if (key.size != CHUNK_KEY_BYTES || value.size != PLACE_BYTES)
        return false;
    const uint8_t *bytes = value.bytes;
    uint8_t rotten;
    entry_unpack_key((const uint8_t *)key.bytes + 1, &place_r->entry.key);
    entry_unpack_facts(bytes, &place_r->entry, &rotten);
    place_r->rotten = rotten;
    place_r->segment = little_get(bytes + ENTRY_FACTS_BYTES, 8);
    place_r->place = little_get(bytes + ENTRY_FACTS_BYTES + 8, 8);
    return true;
}

status_t
index_find(index_t *self, const chunk_key_t *key, index_place_t *place_r)
{
    uint8_t bytes[CHUNK_KEY_BYTES];
    pack_chunk_key(key, bytes);
    kv_bytes_t wanted = { bytes, sizeof(bytes) };
    void *value;
    size_t size;
    status_t status = self->kv->read(self->kv, wanted, &value, &size);
    if (status != STATUS_OK)
        return status == STATUS_ABSENT ? STATUS_MISS : status;
    bool good = unpack_place(wanted, (kv_bytes_t){ value, size }, place_r);
    free(value);
    return good ? STATUS_OK : STATUS_CORRUPT;
}

uint64_t
index_settled(index_t *self, uint64_t stream)
{
    uint8_t key[ID_KEY_BYTES];
    pack_id('m', stream, key);
    void *value;
    size_t size;
    kv_bytes_t wanted = { key, sizeof(key) };
    if (self->kv->read(self->kv, wanted, &value, &size) != STATUS_OK)
        return 0;
    uint64_t mark = size == 8 ? little_get(value, 8) : 0;
    free(value);
    return mark;
}

typedef struct {
    index_each_fn *each;
    void *arg;
    bool damaged;
} walk_t;

static bool
walk_entry(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    walk_t *walk = arg;
    index_place_t place;
    if (unpack_place(key, value, &place))
        return walk->each(walk->arg, &place);
    walk->damaged = true;
    return true;
}

static status_t
walk_end(status_t status, const walk_t *walk)
{
    return status == STATUS_OK && walk->damaged ? STATUS_CORRUPT : status;
}

//  The first key above all those of the epoch (of the stream): false when
//  there is none below the next kind.
static kv_bytes_t
key_above(uint64_t stream, uint64_t epoch, bool whole_stream, uint8_t *bytes)
{
    chunk_key_t above = { .stream = stream, .epoch = epoch + 1 };
    if (whole_stream || above.epoch == 0)
        above = (chunk_key_t){ .stream = stream + 1 };
    pack_chunk_key(&above, bytes);
    if (above.epoch == 0 && above.stream == 0) {
        bytes[0] = 'c' + 1;
        return (kv_bytes_t){ bytes, 1 };
    }
    return (kv_bytes_t){ bytes, CHUNK_KEY_BYTES };
}

status_t
index_walk(index_t *self, const chunk_key_t *from, bool whole_stream,
           index_each_fn *each, void *arg)
{
    uint8_t low[CHUNK_KEY_BYTES], high[CHUNK_KEY_BYTES];
    pack_chunk_key(from, low);
    kv_bytes_t to = key_above(from->stream, from->epoch, whole_stream, high);
    walk_t walk = { .each = each, .arg = arg };
    status_t status = self->kv->walk(self->kv, (kv_bytes_t){ low, sizeof(low) },
                                     to, walk_entry, &walk);
    return walk_end(status, &walk);
}

status_t
index_walk_all(index_t *self, const chunk_key_t *from, index_each_fn *each,
               void *arg)
{
    uint8_t low[CHUNK_KEY_BYTES], high[CHUNK_KEY_BYTES];
    pack_chunk_key(from, low);
    kv_bytes_t to = key_above(UINT64_MAX, 0, true, high);
    walk_t walk = { .each = each, .arg = arg };
    status_t status = self->kv->walk(self->kv, (kv_bytes_t){ low, sizeof(low) },
                                     to, walk_entry, &walk);
    return walk_end(status, &walk);
}

status_t
index_walk_back(index_t *self, uint64_t stream, uint64_t epoch,
                uint64_t below_block, index_each_fn *each, void *arg)
{
    uint8_t low[CHUNK_KEY_BYTES], high[CHUNK_KEY_BYTES];
    chunk_key_t from = { .stream = stream, .epoch = epoch };
    chunk_key_t below = from;
    below.block = below_block;
    pack_chunk_key(&from, low);
    kv_bytes_t to = { high, sizeof(high) };
    if (below_block == UINT64_MAX)
        to = key_above(stream, epoch, false, high);
    else
        pack_chunk_key(&below, high);
    walk_t walk = { .each = each, .arg = arg };
    status_t status = self->kv->walk_back(
        self->kv, (kv_bytes_t){ low, sizeof(low) }, to, walk_entry, &walk);
    return walk_end(status, &walk);
}

typedef struct {
    void (*segment)(void *arg, const index_segment_t *segment);
    void (*drop)(void *arg, const index_drop_t *drop);
    void (*hole)(void *arg, const index_hole_t *hole);
    void *arg;
    bool damaged;
} list_t;

static bool
list_segment(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    list_t *list = arg;
    if (key.size != ID_KEY_BYTES || value.size != SEGMENT_BYTES) {
        list->damaged = true;
        return true;
    }
    const uint8_t *bytes = value.bytes;
    index_segment_t segment = {
        .id = unpack_id(key.bytes),
        .nonce = little_get(bytes, 8),
        .size = little_get(bytes + 8, 8),
        .end = little_get(bytes + 16, 8),
        .holes = little_get(bytes + 24, 8),
        .records = little_get(bytes + 32, 8),
        .live = little_get(bytes + 40, 8),
        .live_bytes = little_get(bytes + 48, 8),
        .retention = bytes[56],
        .closed = bytes[57],
        .newest_us = (micros_t)little_get(bytes + 58, 8),
    };
    list->segment(list->arg, &segment);
    return true;
}

static bool
list_drop(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    list_t *list = arg;
    if (key.size != ID_KEY_BYTES || value.size != DROP_BYTES) {
        list->damaged = true;
        return true;
    }
    const uint8_t *bytes = value.bytes;
    index_drop_t drop = {
        .stream = unpack_id(key.bytes),
        .newest = little_get(bytes, 8),
        .swept = bytes[8],
    };
    list->drop(list->arg, &drop);
    return true;
}

static bool
list_hole(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    list_t *list = arg;
    if (key.size != HOLE_KEY_BYTES || value.size != HOLE_BYTES) {
        list->damaged = true;
        return true;
    }
    const uint8_t *bytes = key.bytes;
    index_hole_t hole = {
        .segment = unpack_id(bytes),
        .from = unpack_id(bytes + 8),
        .to = little_get(value.bytes, 8),
    };
    list->hole(list->arg, &hole);
    return true;
}

//  Walk every key of one kind.
static status_t
list_kind(index_t *self, char kind, kv_each_fn *each, list_t *list)
{
    char next = (char)(kind + 1);
    status_t status = self->kv->walk(self->kv, (kv_bytes_t){ &kind, 1 },
                                     (kv_bytes_t){ &next, 1 }, each, list);
    return status == STATUS_OK && list->damaged ? STATUS_CORRUPT : status;
}

status_t
index_segments(index_t *self,
               void (*each)(void *arg, const index_segment_t *segment),
               void *arg)
{
    list_t list = { .segment = each, .arg = arg };
    return list_kind(self, 's', list_segment, &list);
}

status_t
index_drops(index_t *self, void (*each)(void *arg, const index_drop_t *drop),
            void *arg)
{
    list_t list = { .drop = each, .arg = arg };
    return list_kind(self, 'd', list_drop, &list);
}

status_t
index_holes(index_t *self, void (*each)(void *arg, const index_hole_t *hole),
            void *arg)
{
    list_t list = { .hole = each, .arg = arg };
    return list_kind(self, 'h', list_hole, &list);
}

static void
ignore_hole(void *arg, const index_hole_t *hole)
{
    (void)arg, (void)hole;
}

static void
ignore_segment(void *arg, const index_segment_t *segment)
{
    (void)arg, (void)segment;
}

static void
ignore_drop(void *arg, const index_drop_t *drop)
{
    (void)arg, (void)drop;
}

status_t
index_check(index_t *self)
{
    status_t status = index_segments(self, ignore_segment, NULL);
    if (status == STATUS_OK)
        status = index_drops(self, ignore_drop, NULL);
    return status == STATUS_OK ? index_holes(self, ignore_hole, NULL) : status;
}

uint64_t
index_bytes(index_t *self)
{
    return self->kv->bytes(self->kv);
}
