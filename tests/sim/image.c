#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

typedef struct {
    size_t key_size, size;
    uint8_t *key, *value;  //  One piece of memory, `key`
} pair_t;

typedef struct {
    size_t count, room;
    pair_t *pairs;  //  In the order of their keys
} table_t;

typedef struct {
    size_t count;
    pair_t *changes;  //  `value` NULL deletes
} batch_t;

struct image {
    table_t seen;     //  What its users read
    table_t durable;  //  What a cut leaves
    size_t count, room;
    batch_t *waiting;  //  Seen, not durable
    uint64_t version;
    bool lies;
};

typedef struct {
    kv_t kv;
    image_t *image;
    const image_gate_t *gate;
    void *with;
} handle_t;

static pair_t
pair_copy(kv_bytes_t key, kv_bytes_t value)
{
    pair_t pair = { .key_size = key.size, .size = value.size };
    pair.key = malloc(key.size + value.size + 1);
    INVARIANT(pair.key);
    memcpy(pair.key, key.bytes, key.size);
    if (value.bytes) {
        pair.value = pair.key + key.size;
        memcpy(pair.value, value.bytes, value.size);
    }
    return pair;
}

static kv_bytes_t
key_of(const pair_t *pair)
{
    return (kv_bytes_t){ pair->key, pair->key_size };
}

static kv_bytes_t
value_of(const pair_t *pair)
{
    return (kv_bytes_t){ pair->value, pair->size };
}

static int
compare(kv_bytes_t a, kv_bytes_t b)
{
    int order = memcmp(a.bytes, b.bytes, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

//  The first pair with a key not below `key`.
static size_t
place(const table_t *table, kv_bytes_t key)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(key_of(&table->pairs[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
apply(table_t *table, kv_bytes_t key, kv_bytes_t value)
{
    size_t at = place(table, key);
    bool there = at < table->count &&
                 compare(key_of(&table->pairs[at]), key) == 0;
    if (there) {
        free(table->pairs[at].key);
        memmove(&table->pairs[at], &table->pairs[at + 1],
                (--table->count - at) * sizeof(pair_t));
    }
    if (!value.bytes)
        return;
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 64;
        table->pairs = realloc(table->pairs, table->room * sizeof(pair_t));
        INVARIANT(table->pairs);
    }
    memmove(&table->pairs[at + 1], &table->pairs[at],
            (table->count++ - at) * sizeof(pair_t));
    table->pairs[at] = pair_copy(key, value);
}

static void
empty(table_t *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->pairs[i].key);
    free(table->pairs);
    *table = (table_t){ 0 };
}

static void
copy(table_t *to, const table_t *from)
{
    empty(to);
    for (size_t i = 0; i < from->count; i++)
        apply(to, key_of(&from->pairs[i]), value_of(&from->pairs[i]));
}

//  The first `count` waiting batches become durable, the others are lost.
static void
settle(image_t *self, size_t count)
{
    for (size_t i = 0; i < self->count; i++) {
        batch_t *batch = &self->waiting[i];
        for (size_t j = 0; j < batch->count; j++) {
            if (i < count)
                apply(&self->durable, key_of(&batch->changes[j]),
                      value_of(&batch->changes[j]));
            free(batch->changes[j].key);
        }
        free(batch->changes);
    }
    self->count = 0;
    self->version++;
}

static status_t
image_write(kv_t *kv, const kv_change_t *changes, size_t count, bool sync)
{
    handle_t *handle = (handle_t *)kv;
    image_t *self = handle->image;
    status_t status = handle->gate ? handle->gate->may(handle->with, sync)
                                   : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->waiting = realloc(self->waiting, self->room * sizeof(batch_t));
        INVARIANT(self->waiting);
    }
    batch_t *batch = &self->waiting[self->count++];
    *batch = (batch_t){ count, calloc(count + 1, sizeof(pair_t)) };
    INVARIANT(batch->changes);
    for (size_t i = 0; i < count; i++) {
        batch->changes[i] = pair_copy(changes[i].key, changes[i].value);
        apply(&self->seen, changes[i].key, changes[i].value);
    }
    if (sync && !self->lies)
        settle(self, self->count);
    if (handle->gate)
        handle->gate->wrote(handle->with);
    return STATUS_OK;
}

static status_t
image_read(kv_t *kv, kv_bytes_t key, void **value_r, size_t *size_r)
{
    const table_t *table = &((handle_t *)kv)->image->seen;
    size_t at = place(table, key);
    if (at == table->count || compare(key_of(&table->pairs[at]), key) != 0)
        return STATUS_ABSENT;
    const pair_t *pair = &table->pairs[at];
    *value_r = malloc(pair->size + 1);
    INVARIANT(*value_r);
    memcpy(*value_r, pair->value, pair->size);
    *size_r = pair->size;
    return STATUS_OK;
}

static status_t
image_walk(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
           void *arg)
{
    const table_t *table = &((handle_t *)kv)->image->seen;
    for (size_t i = place(table, from); i < table->count; i++) {
        const pair_t *pair = &table->pairs[i];
        if (to.bytes && compare(key_of(pair), to) >= 0)
            break;
        if (!each(arg, key_of(pair), value_of(pair)))
            break;
    }
    return STATUS_OK;
}

static status_t
image_walk_back(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
                void *arg)
{
    const table_t *table = &((handle_t *)kv)->image->seen;
    for (size_t i = to.bytes ? place(table, to) : table->count; i-- > 0;) {
        const pair_t *pair = &table->pairs[i];
        if (compare(key_of(pair), from) < 0 ||
            !each(arg, key_of(pair), value_of(pair)))
            break;
    }
    return STATUS_OK;
}

static size_t
image_bytes(kv_t *kv)
{
    const table_t *table = &((handle_t *)kv)->image->seen;
    size_t bytes = 0;
    for (size_t i = 0; i < table->count; i++)
        bytes += table->pairs[i].key_size + table->pairs[i].size;
    return bytes;
}

static void
image_why(kv_t *kv, char *why_r, size_t why_size)
{
    (void)kv;
    if (why_size)
        why_r[0] = 0;
}

static void
image_close(kv_t *kv)
{
    free(kv);
}

image_t *
image_new(void)
{
    image_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    return self;
}

void
image_destroy(image_t **self_p)
{
    image_t *self = *self_p;
    if (!self)
        return;
    settle(self, 0);
    empty(&self->seen);
    empty(&self->durable);
    free(self->waiting);
    free(self);
    *self_p = NULL;
}

kv_t *
image_open(image_t *self, const image_gate_t *gate, void *with)
{
    handle_t *handle = calloc(1, sizeof(*handle));
    INVARIANT(handle);
    handle->kv = (kv_t){ image_write, image_read, image_walk, image_walk_back,
                         image_bytes, image_why,  image_close };
    handle->image = self;
    handle->gate = gate;
    handle->with = with;
    return &handle->kv;
}

void
image_cut(image_t *self, dice_t *dice)
{
    settle(self, (size_t)dice_below(dice, self->count + 1));
    copy(&self->seen, &self->durable);
}

void
image_lose(image_t *self)
{
    settle(self, 0);
    empty(&self->seen);
    empty(&self->durable);
}

void
image_restore(image_t *self, const image_t *older)
{
    settle(self, 0);
    copy(&self->durable, &older->durable);
    copy(&self->seen, &older->durable);
}

void
image_lie(image_t *self)
{
    self->lies = true;
}

image_t *
image_durable(const image_t *self)
{
    image_t *copied = image_new();
    copy(&copied->seen, &self->durable);
    copy(&copied->durable, &self->durable);
    return copied;
}

uint64_t
image_version(const image_t *self)
{
    return self->version;
}
