#include "disk.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "story.h"

typedef enum { WAITING, COMMITTING, DURABLE, LIMBO, ROTTEN } place_t;

typedef struct {
    chunk_header_t header;
    buffer_t *payload;
    place_t place;
} record_t;

typedef struct {
    size_t count, room;
    chunk_key_t *keys;
} keys_t;

struct disk {
    ledger_t *ledger;
    dice_t *dice;
    disk_lie_t lie;
    chunkstore_identity_t identity;
    uint64_t space_bytes, bytes;
    size_t queue_bytes, queued_bytes;
    status_t refuse;
    uint64_t rot;
    size_t count, room;
    record_t **records;  //  In the order of their keys
    bool committing;
    size_t waiting;  //  Records for the next commit
    keys_t done, again, corrupt;
    size_t dropped;
    uint64_t *drops;  //  Streams, ascending
};

struct medium {
    chunkstore_identity_t identity;
    size_t count;
    record_t *records;
};

static void
add_key(keys_t *keys, chunk_key_t key)
{
    if (keys->count == keys->room) {
        keys->room = keys->room ? 2 * keys->room : 64;
        keys->keys = realloc(keys->keys, keys->room * sizeof(chunk_key_t));
        INVARIANT(keys->keys);
    }
    keys->keys[keys->count++] = key;
}

disk_t *
disk_new(ledger_t *ledger, dice_t *dice, uint64_t space_bytes,
         size_t queue_bytes)
{
    disk_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->ledger = ledger;
    self->dice = dice;
    self->space_bytes = space_bytes;
    self->queue_bytes = queue_bytes;
    self->identity.store = dice_next(dice);
    return self;
}

static void
remove_at(disk_t *self, size_t at)
{
    record_t *record = self->records[at];
    self->bytes -= record->header.length;
    if (record->place == DURABLE || record->place == ROTTEN)
        ledger_lost(self->ledger, self->identity.store, record->header.key);
    buffer_unref(&record->payload);
    free(record);
    memmove(&self->records[at], &self->records[at + 1],
            (--self->count - at) * sizeof(record_t *));
}

void
disk_destroy(disk_t **self_p)
{
    disk_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        buffer_unref(&self->records[i]->payload);
        free(self->records[i]);
    }
    free(self->records);
    free(self->done.keys);
    free(self->again.keys);
    free(self->corrupt.keys);
    free(self->drops);
    free(self);
    *self_p = NULL;
}

void
disk_lie(disk_t *self, disk_lie_t lie)
{
    self->lie = lie;
}

void
disk_open(disk_t *self)
{
    self->identity.boot++;
}

//  A new record at a place.
static record_t *
add(disk_t *self, size_t at)
{
    record_t *record = calloc(1, sizeof(*record));
    INVARIANT(record);
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 256;
        self->records = realloc(self->records, self->room * sizeof(record_t *));
        INVARIANT(self->records);
    }
    memmove(&self->records[at + 1], &self->records[at],
            (self->count++ - at) * sizeof(record_t *));
    self->records[at] = record;
    return record;
}

static bool
seen(const record_t *record)
{
    return record->place == DURABLE || record->place == ROTTEN;
}

static void
become_durable(disk_t *self, record_t *record)
{
    record->place = DURABLE;
    ledger_durable(self->ledger, self->identity.store, &record->header,
                   record->payload);
}

void
disk_crash(disk_t *self)
{
    unsigned stays = (unsigned)dice_below(self->dice, 1001);
    for (size_t i = self->count; i-- > 0;) {
        record_t *record = self->records[i];
        if (record->place == DURABLE || record->place == ROTTEN)
            continue;
        if (dice_chance(self->dice, stays))
            become_durable(self, record);
        else
            remove_at(self, i);
    }
    self->committing = false;
    self->queued_bytes = self->waiting = 0;
    self->done.count = self->again.count = self->corrupt.count = 0;
}

void
disk_wipe(disk_t *self)
{
    self->dropped = 0;
    while (self->count)
        remove_at(self, self->count - 1);
    self->identity = (chunkstore_identity_t){ .store = dice_next(self->dice) };
    self->committing = false;
    self->queued_bytes = self->waiting = 0;
    self->done.count = self->again.count = self->corrupt.count = 0;
}

medium_t *
disk_copy(const disk_t *self)
{
    medium_t *medium = calloc(1, sizeof(*medium));
    INVARIANT(medium);
    medium->identity = self->identity;
    medium->records = calloc(self->count + 1, sizeof(record_t));
    INVARIANT(medium->records);
    for (size_t i = 0; i < self->count; i++) {
        if (!seen(self->records[i]))
            continue;
        record_t *copied = &medium->records[medium->count++];
        *copied = *self->records[i];
        buffer_ref(copied->payload);
    }
    return medium;
}

void
medium_destroy(medium_t **self_p)
{
    medium_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        buffer_unref(&self->records[i].payload);
    free(self->records);
    free(self);
}

uint64_t
medium_term(const medium_t *self)
{
    return self->identity.term;
}

void
disk_each_but(const disk_t *self, const medium_t *medium,
              void (*each)(void *arg, chunk_key_t key), void *arg)
{
    for (size_t i = 0, m = 0; i < self->count; i++) {
        const chunk_key_t *key = &self->records[i]->header.key;
        while (m < medium->count &&
               chunk_key_compare(&medium->records[m].header.key, key) < 0)
            m++;
        bool there = m < medium->count &&
                     chunk_key_compare(&medium->records[m].header.key, key) ==
                         0;
        if (seen(self->records[i]) && !there)
            each(arg, *key);
    }
}

void
disk_insert(disk_t *self, medium_t **medium_p)
{
    medium_t *medium = *medium_p;
    disk_wipe(self);
    self->identity = medium->identity;
    for (size_t i = 0; i < medium->count; i++) {
        record_t *record = add(self, i);
        *record = medium->records[i];
        buffer_ref(record->payload);
        self->bytes += record->header.length;
        if (record->place == DURABLE)
            become_durable(self, record);
    }
    medium_destroy(medium_p);
}

bool
disk_rot(disk_t *self)
{
    if (!self->count)
        return false;
    record_t *record = self->records[dice_below(self->dice, self->count)];
    if (record->place != DURABLE ||
        !ledger_can_lose(self->ledger, record->header.key))
        return false;
    record->place = ROTTEN;
    self->rot++;
    ledger_lost(self->ledger, self->identity.store, record->header.key);
    return true;
}

void
disk_refuse(disk_t *self, status_t status)
{
    self->refuse = status;
}

//  The first record with a key not below `key`.
static size_t
place_of(const disk_t *self, const chunk_key_t *key)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (chunk_key_compare(&self->records[middle]->header.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static record_t *
find(const disk_t *self, const chunk_key_t *key)
{
    size_t at = place_of(self, key);
    return at < self->count &&
                   chunk_key_compare(&self->records[at]->header.key, key) == 0
               ? self->records[at]
               : NULL;
}

static status_t
append_again(disk_t *self, const record_t *record, const chunk_header_t *header)
{
    if (record->header.payload_crc != header->payload_crc)
        return STATUS_CORRUPT;
    if (record->place == DURABLE)
        add_key(&self->again, header->key);
    return STATUS_OK;
}

status_t
disk_append(disk_t *self, const chunk_header_t *header, buffer_t *payload)
{
    if (self->refuse != STATUS_OK)
        return self->refuse;
    size_t at = place_of(self, &header->key);
    if (at < self->count &&
        chunk_key_compare(&self->records[at]->header.key, &header->key) == 0)
        return append_again(self, self->records[at], header);
    if (self->queued_bytes > self->queue_bytes)
        return STATUS_BUSY;
    if (self->bytes + header->length > self->space_bytes)
        return STATUS_FULL;
    if (self->lie != DISK_TRUSTS &&
        (buffer_size(payload) != header->length ||
         checksum_crc32c(buffer_bytes(payload), buffer_size(payload)) !=
             header->payload_crc)) {
        add_key(&self->corrupt, header->key);
        return STATUS_OK;
    }
    record_t *record = add(self, at);
    record->header = *header;
    record->payload = buffer_ref(payload);
    self->bytes += header->length;
    self->queued_bytes += header->length + CHUNK_HEADER_BYTES;
    self->waiting++;
    if (self->lie == DISK_SAYS_EARLY)
        add_key(&self->again, header->key);
    return STATUS_OK;
}

status_t
disk_read(disk_t *self, chunk_key_t key, const chunk_header_t **header_r,
          buffer_t **payload_r)
{
    const record_t *record = find(self, &key);
    if (!record || (record->place != DURABLE && record->place != ROTTEN))
        return STATUS_MISS;
    if (record->place == ROTTEN)
        return STATUS_CORRUPT;
    *header_r = &record->header;
    *payload_r = record->payload;
    return STATUS_OK;
}

static chunkstore_entry_t
entry_of(const record_t *record)
{
    const chunk_header_t *header = &record->header;
    bool parity = chunk_is_parity(header);
    chunk_header_t first = *header;
    first.key.slot = 0;
    return (chunkstore_entry_t){
        .key = header->key,
        .index = chunk_index(parity ? &first : header),
        .offset = header->offset,
        .length = header->length,
        .created_us = header->created_us,
        .payload_crc = header->payload_crc,
        .flags = header->flags,
        .k = header->code.k,
    };
}

status_t
disk_walk(disk_t *self, uint64_t stream, uint64_t epoch, uint64_t block,
          chunkstore_each_fn *each, void *arg)
{
    chunk_key_t from = { stream, epoch, block, 0 };
    for (size_t i = place_of(self, &from); i < self->count; i++) {
        const record_t *record = self->records[i];
        if (record->header.key.stream != stream ||
            record->header.key.epoch != epoch)
            break;
        chunkstore_entry_t entry = entry_of(record);
        if (seen(record) && !each(arg, &entry))
            break;
    }
    return STATUS_OK;
}

status_t
disk_walk_back(disk_t *self, uint64_t stream, uint64_t epoch,
               chunkstore_each_fn *each, void *arg)
{
    chunk_key_t to = { stream, epoch, UINT64_MAX, UINT32_MAX };
    for (size_t i = place_of(self, &to); i-- > 0;) {
        const record_t *record = self->records[i];
        if (record->header.key.stream != stream ||
            record->header.key.epoch != epoch)
            break;
        chunkstore_entry_t entry = entry_of(record);
        if (seen(record) && !each(arg, &entry))
            break;
    }
    return STATUS_OK;
}

status_t
disk_walk_all(disk_t *self, chunk_key_t from, chunkstore_each_fn *each,
              void *arg)
{
    for (size_t i = place_of(self, &from); i < self->count; i++) {
        const record_t *record = self->records[i];
        chunkstore_entry_t entry = entry_of(record);
        if (record->place == DURABLE && !each(arg, &entry))
            break;
    }
    return STATUS_OK;
}

size_t
disk_epochs(disk_t *self, uint64_t stream, uint64_t *epochs, size_t most)
{
    size_t count = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < self->count; i++) {
        const chunk_key_t *key = &self->records[i]->header.key;
        if (key->stream != stream || !seen(self->records[i]) ||
            (count && key->epoch == last))
            continue;
        last = key->epoch;
        if (count < most)
            epochs[count] = last;
        count++;
    }
    return count;
}

status_t
disk_locate(disk_t *self, uint64_t stream, uint64_t epoch, bool by_time,
            uint64_t at, chunkstore_entry_t *entry_r)
{
    chunk_key_t to = { stream, epoch, UINT64_MAX, UINT32_MAX };
    for (size_t i = place_of(self, &to); i-- > 0;) {
        const record_t *record = self->records[i];
        if (record->header.key.stream != stream ||
            record->header.key.epoch != epoch)
            break;
        uint64_t where = by_time ? (uint64_t)record->header.created_us
                                 : record->header.offset;
        if (!seen(record) || chunk_is_parity(&record->header) || where > at)
            continue;
        *entry_r = entry_of(record);
        return STATUS_OK;
    }
    return STATUS_MISS;
}

uint64_t
disk_settled(disk_t *self, uint64_t stream)
{
    uint64_t settled = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->records[i]->header.key.stream == stream &&
            seen(self->records[i]) &&
            self->records[i]->header.settled > settled)
            settled = self->records[i]->header.settled;
    return settled;
}

size_t
disk_dropped(disk_t *self, uint64_t from, uint64_t *streams, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < self->dropped; i++) {
        if (self->drops[i] < from)
            continue;
        if (count < most)
            streams[count] = self->drops[i];
        count++;
    }
    return count;
}

static void
remember_drop(disk_t *self, uint64_t stream)
{
    size_t at = 0;
    while (at < self->dropped && self->drops[at] < stream)
        at++;
    if (at < self->dropped && self->drops[at] == stream)
        return;
    self->drops = realloc(self->drops, (self->dropped + 1) * sizeof(stream));
    INVARIANT(self->drops);
    memmove(self->drops + at + 1, self->drops + at,
            (self->dropped++ - at) * sizeof(stream));
    self->drops[at] = stream;
}

status_t
disk_drop(disk_t *self, uint64_t stream)
{
    remember_drop(self, stream);
    for (size_t i = self->count; i-- > 0;) {
        const record_t *record = self->records[i];
        if (record->header.key.stream == stream && seen(record))
            remove_at(self, i);
    }
    return STATUS_OK;
}

void
disk_retain(disk_t *self, uint8_t retention, micros_t horizon_us)
{
    for (size_t i = self->count; i-- > 0;) {
        const record_t *record = self->records[i];
        if (record->header.retention == retention &&
            record->header.block_us < horizon_us && seen(record)) {
            ledger_outlived(self->ledger, record->header.key);
            story_count("record outlived", 1);
            remove_at(self, i);
        }
    }
}

//  A few at once, so that the asker has to ask again.
enum { TRIM_MOST = 5 };

status_t
disk_trim(disk_t *self, uint64_t stream, uint64_t epoch, uint64_t first,
          uint64_t end, size_t *dropped_r, bool *more_r)
{
    *dropped_r = 0;
    *more_r = false;
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = self->count; i-- > 0;) {
            const record_t *record = self->records[i];
            const chunk_key_t *key = &record->header.key;
            if (key->stream != stream || key->epoch != epoch ||
                (key->block >= first && key->block < end))
                continue;
            if (record->place == WAITING || record->place == COMMITTING)
                return STATUS_BUSY;
            if (pass == 0 || record->place == LIMBO)
                continue;
            *more_r = *dropped_r == TRIM_MOST;
            if (*more_r)
                return STATUS_OK;
            remove_at(self, i);
            ++*dropped_r;
        }
    return STATUS_OK;
}

chunkstore_identity_t
disk_identity(const disk_t *self)
{
    return self->identity;
}

void
disk_set_cluster(disk_t *self, uint64_t cluster)
{
    self->identity.cluster = cluster;
}

void
disk_set_term(disk_t *self, uint64_t term)
{
    self->identity.term = term;
}

chunkstore_space_t
disk_space(const disk_t *self)
{
    return (chunkstore_space_t){
        .chunks = self->count,
        .bytes = self->bytes,
        .free_bytes = self->space_bytes - self->bytes,
        .space_bytes = self->space_bytes,
        .full = self->refuse == STATUS_FULL ||
                self->space_bytes - self->bytes < 8192,
        .rot = self->rot,
    };
}

bool
disk_waits(const disk_t *self)
{
    return !self->committing && self->waiting > 0;
}

void
disk_commit_begin(disk_t *self)
{
    INVARIANT(!self->committing);
    self->committing = true;
    self->waiting = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->records[i]->place == WAITING)
            self->records[i]->place = COMMITTING;
}

size_t
disk_commit_end(disk_t *self, status_t status, chunk_key_t **keys_r)
{
    INVARIANT(self->committing);
    self->committing = false;
    self->done.count = 0;
    for (size_t i = 0; i < self->count; i++) {
        record_t *record = self->records[i];
        if (record->place != COMMITTING)
            continue;
        self->queued_bytes -= record->header.length + CHUNK_HEADER_BYTES;
        add_key(&self->done, record->header.key);
        if (status == STATUS_OK)
            become_durable(self, record);
        else
            record->place = LIMBO;
    }
    *keys_r = self->done.keys;
    return self->done.count;
}

static size_t
take_keys(keys_t *keys, chunk_key_t **keys_r)
{
    size_t count = keys->count;
    *keys_r = keys->keys;
    keys->count = 0;
    return count;
}

size_t
disk_told(disk_t *self, chunk_key_t **keys_r)
{
    return take_keys(&self->again, keys_r);
}

size_t
disk_corrupt(disk_t *self, chunk_key_t **keys_r)
{
    return take_keys(&self->corrupt, keys_r);
}

void
disk_each(const disk_t *self, void (*each)(void *arg, chunk_key_t key),
          void *arg)
{
    for (size_t i = 0; i < self->count; i++)
        if (seen(self->records[i]))
            each(arg, self->records[i]->header.key);
}
