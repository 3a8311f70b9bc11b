#include "kv_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "random.h"

//  A key with its value; `value` NULL: the key is not there.
typedef struct {
    void *key, *value;
    size_t key_size, value_size;
} pair_t;

//  A batch: what it did, or, when it may still be taken back, how to undo it.
typedef struct batch {
    struct batch *before;  //  The batch written before it
    size_t count;
    pair_t pairs[];
} batch_t;

typedef struct {
    kv_t kv;  //  First: a kv_t * of ours is a disk_t *
    pair_t *pairs;
    size_t count, room;
    batch_t *unsynced;  //  How to undo the newest
    size_t unsynced_count;
    batch_t *doubt;  //  The failed write (kv 4)
    status_t refusing;
    uint64_t fail_in;  //  Calls until the planned failure; 0: none
    status_t fail_with;
    bool failed;
} disk_t;

typedef struct {
    kv_t kv;
    kv_t *disk;
} handle_t;

static void *
copy(const void *bytes, size_t size)
{
    if (!bytes)
        return NULL;
    void *own = malloc(size ? size : 1);
    INVARIANT(own);
    if (size)
        memcpy(own, bytes, size);
    return own;
}

static pair_t
pair_copy(kv_bytes_t key, kv_bytes_t value)
{
    return (pair_t){ .key = copy(key.bytes ? key.bytes : "", key.size),
                     .value = copy(value.bytes, value.size),
                     .key_size = key.size,
                     .value_size = value.size };
}

static kv_bytes_t
key_of(const pair_t *pair)
{
    return (kv_bytes_t){ pair->key, pair->key_size };
}

static kv_bytes_t
value_of(const pair_t *pair)
{
    return (kv_bytes_t){ pair->value, pair->value_size };
}

static int
compare(kv_bytes_t a, kv_bytes_t b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least ? memcmp(a.bytes, b.bytes, least) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

//  Where `key` is, or would be.
static size_t
place(const disk_t *self, kv_bytes_t key)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(key_of(&self->pairs[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static pair_t *
find(const disk_t *self, kv_bytes_t key)
{
    size_t at = place(self, key);
    return at < self->count && compare(key_of(&self->pairs[at]), key) == 0
               ? &self->pairs[at]
               : NULL;
}

static void
drop(disk_t *self, pair_t *pair)
{
    free(pair->key);
    free(pair->value);
    self->count--;
    memmove(pair, pair + 1,
            (size_t)(self->pairs + self->count - pair) * sizeof(*pair));
}

static void
insert(disk_t *self, kv_bytes_t key, kv_bytes_t value)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->pairs = realloc(self->pairs, self->room * sizeof(*self->pairs));
        INVARIANT(self->pairs);
    }
    pair_t *pair = self->pairs + place(self, key);
    memmove(pair + 1, pair,
            (size_t)(self->pairs + self->count - pair) * sizeof(*pair));
    *pair = pair_copy(key, value);
    self->count++;
}

static void
change(disk_t *self, kv_bytes_t key, kv_bytes_t value)
{
    pair_t *pair = find(self, key);
    if (pair && value.bytes) {
        void *own = copy(value.bytes, value.size);
        free(pair->value);
        pair->value = own;
        pair->value_size = value.size;
    } else if (pair) {
        drop(self, pair);
    } else if (value.bytes) {
        insert(self, key, value);
    }
}

static batch_t *
batch_new(size_t count)
{
    batch_t *self = calloc(1, sizeof(*self) + count * sizeof(pair_t));
    INVARIANT(self);
    self->count = count;
    return self;
}

static void
batch_free(batch_t **batch_p)
{
    batch_t *self = *batch_p;
    *batch_p = NULL;
    for (size_t i = 0; self && i < self->count; i++) {
        free(self->pairs[i].key);
        free(self->pairs[i].value);
    }
    free(self);
}

static batch_t *
batch_copy(const kv_change_t *changes, size_t count)
{
    batch_t *self = batch_new(count);
    for (size_t i = 0; i < count; i++)
        self->pairs[i] = pair_copy(changes[i].key, changes[i].value);
    return self;
}

static void
forget_unsynced(disk_t *self)
{
    while (self->unsynced) {
        batch_t *batch = self->unsynced;
        self->unsynced = batch->before;
        batch_free(&batch);
    }
    self->unsynced_count = 0;
}

//  Apply a batch and remember how to undo it: its keys as they were before,
//  the last change first.
static void
apply(disk_t *self, const kv_change_t *changes, size_t count)
{
    batch_t *undo = batch_new(count);
    for (size_t i = 0; i < count; i++) {
        const pair_t *old = find(self, changes[i].key);
        undo->pairs[count - 1 - i] = pair_copy(
            changes[i].key, old ? value_of(old) : (kv_bytes_t){ NULL, 0 });
        change(self, changes[i].key, changes[i].value);
    }
    undo->before = self->unsynced;
    self->unsynced = undo;
    self->unsynced_count++;
}

//  Whether this call is the one that was planned to fail.
static bool
strikes(disk_t *self)
{
    if (self->fail_in == 0 || --self->fail_in > 0)
        return false;
    self->failed = true;
    return true;
}

static status_t
disk_write(kv_t *kv, const kv_change_t *changes, size_t count, bool sync)
{
    disk_t *self = (disk_t *)kv;
    if (self->refusing != STATUS_OK)
        return self->refusing;
    if (strikes(self)) {
        self->doubt = batch_copy(changes, count);
        return self->refusing = self->fail_with;
    }
    apply(self, changes, count);
    if (sync)
        forget_unsynced(self);
    return STATUS_OK;
}

static status_t
disk_read(kv_t *kv, kv_bytes_t key, void **value_r, size_t *size_r)
{
    disk_t *self = (disk_t *)kv;
    if (strikes(self))
        return self->fail_with;
    const pair_t *pair = find(self, key);
    if (!pair)
        return STATUS_ABSENT;
    *value_r = copy(pair->value, pair->value_size);
    *size_r = pair->value_size;
    return STATUS_OK;
}

//  Copy what a walk will see, so that `each` may write (as in LevelDB).
static batch_t *
picture(const disk_t *self, kv_bytes_t from, kv_bytes_t to)
{
    size_t first = place(self, from);
    size_t end = to.bytes ? place(self, to) : self->count;
    batch_t *seen = batch_new(end > first ? end - first : 0);
    for (size_t i = 0; i < seen->count; i++)
        seen->pairs[i] = pair_copy(key_of(&self->pairs[first + i]),
                                   value_of(&self->pairs[first + i]));
    return seen;
}

static status_t
disk_walk(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each, void *arg)
{
    disk_t *self = (disk_t *)kv;
    if (strikes(self))
        return self->fail_with;
    batch_t *seen = picture(self, from, to);
    for (size_t i = 0; i < seen->count; i++)
        if (!each(arg, key_of(&seen->pairs[i]), value_of(&seen->pairs[i])))
            break;
    batch_free(&seen);
    return STATUS_OK;
}

static status_t
disk_walk_back(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
               void *arg)
{
    disk_t *self = (disk_t *)kv;
    if (strikes(self))
        return self->fail_with;
    batch_t *seen = picture(self, from, to);
    for (size_t i = seen->count; i > 0; i--)
        if (!each(arg, key_of(&seen->pairs[i - 1]),
                  value_of(&seen->pairs[i - 1])))
            break;
    batch_free(&seen);
    return STATUS_OK;
}

static size_t
disk_bytes(kv_t *kv)
{
    const disk_t *self = (const disk_t *)kv;
    size_t bytes = 0;
    for (size_t i = 0; i < self->count; i++)
        bytes += self->pairs[i].key_size + self->pairs[i].value_size;
    return bytes;
}

static void
disk_why(kv_t *kv, char *why_r, size_t why_size)
{
    const disk_t *self = (const disk_t *)kv;
    snprintf(why_r, why_size, "%s", self->failed ? "a planned failure" : "");
}

static void
disk_close(kv_t *kv)
{
    disk_t *self = (disk_t *)kv;
    forget_unsynced(self);
    batch_free(&self->doubt);
    while (self->count)
        drop(self, &self->pairs[self->count - 1]);
    free(self->pairs);
    free(self);
}

kv_t *
kv_memory_new(void)
{
    disk_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->kv = (kv_t){ .write = disk_write,
                       .read = disk_read,
                       .walk = disk_walk,
                       .walk_back = disk_walk_back,
                       .bytes = disk_bytes,
                       .why = disk_why,
                       .close = disk_close };
    return &self->kv;
}

//  The failed write may be there after all, when all before it is.
static void
decide_doubt(disk_t *self, random_t *chance)
{
    if (!self->doubt || random_chance(chance, 1, 2))
        return;
    kv_change_t *changes = calloc(self->doubt->count + 1, sizeof(*changes));
    INVARIANT(changes);
    for (size_t i = 0; i < self->doubt->count; i++)
        changes[i] = (kv_change_t){ key_of(&self->doubt->pairs[i]),
                                    value_of(&self->doubt->pairs[i]) };
    apply(self, changes, self->doubt->count);
    free(changes);
}

static void
start_again(disk_t *self)
{
    batch_free(&self->doubt);
    self->refusing = STATUS_OK;
    self->fail_in = 0;
    self->failed = false;
}

void
kv_memory_cut(kv_t *kv, uint64_t seed)
{
    disk_t *self = (disk_t *)kv;
    random_t chance = random_seeded(seed);
    decide_doubt(self, &chance);
    uint64_t lost = random_below(&chance, self->unsynced_count + 1);
    for (uint64_t i = 0; i < lost; i++) {
        batch_t *undo = self->unsynced;
        for (size_t j = 0; j < undo->count; j++)
            change(self, key_of(&undo->pairs[j]), value_of(&undo->pairs[j]));
        self->unsynced = undo->before;
        batch_free(&undo);
    }
    forget_unsynced(self);
    start_again(self);
}

void
kv_memory_crash(kv_t *kv, uint64_t seed)
{
    disk_t *self = (disk_t *)kv;
    random_t chance = random_seeded(seed);
    decide_doubt(self, &chance);
    start_again(self);
}

void
kv_memory_fail_after(kv_t *kv, uint64_t nth, status_t status)
{
    disk_t *self = (disk_t *)kv;
    self->fail_in = nth;
    self->fail_with = status;
    self->failed = false;
}

bool
kv_memory_failed(const kv_t *kv)
{
    return ((const disk_t *)kv)->failed;
}

static kv_t *
behind(kv_t *kv)
{
    return ((handle_t *)kv)->disk;
}

static status_t
handle_write(kv_t *kv, const kv_change_t *changes, size_t count, bool sync)
{
    return disk_write(behind(kv), changes, count, sync);
}

static status_t
handle_read(kv_t *kv, kv_bytes_t key, void **value_r, size_t *size_r)
{
    return disk_read(behind(kv), key, value_r, size_r);
}

static status_t
handle_walk(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
            void *arg)
{
    return disk_walk(behind(kv), from, to, each, arg);
}

static status_t
handle_walk_back(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
                 void *arg)
{
    return disk_walk_back(behind(kv), from, to, each, arg);
}

static size_t
handle_bytes(kv_t *kv)
{
    return disk_bytes(behind(kv));
}

static void
handle_why(kv_t *kv, char *why_r, size_t why_size)
{
    disk_why(behind(kv), why_r, why_size);
}

static void
handle_close(kv_t *kv)
{
    free(kv);
}

kv_t *
kv_memory_handle(kv_t *disk)
{
    handle_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->kv = (kv_t){ .write = handle_write,
                       .read = handle_read,
                       .walk = handle_walk,
                       .walk_back = handle_walk_back,
                       .bytes = handle_bytes,
                       .why = handle_why,
                       .close = handle_close };
    self->disk = disk;
    return &self->kv;
}
