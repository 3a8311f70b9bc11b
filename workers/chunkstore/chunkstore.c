#include "chunkstore.h"

#include <errno.h>
#include <inttypes.h>

#include "identity.h"
#include "invariant.h"
#include "store.h"

#define REAP 64  //  Completions taken at once

//  ---------------------------------------------------------------------------
//  What the parts share

status_t
store_status(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT ? STATUS_FULL : STATUS_IO;
}

void
store_tell_durable(chunkstore_t *self, const chunk_key_t *key)
{
    STORE_GROW(self->durable, self->durable_count, self->durable_most);
    self->durable[self->durable_count++] = *key;
}

void
store_tell_failed(chunkstore_t *self, const chunk_key_t *key, status_t status)
{
    STORE_GROW(self->failed, self->failed_count, self->failed_most);
    self->failed[self->failed_count++] = (failure_t){ *key, status };
}

void
store_tell_read(chunkstore_t *self, uint64_t token, status_t status,
                const chunk_header_t *header, buffer_t **payload_p)
{
    STORE_GROW(self->answers, self->answers_count, self->answers_most);
    answer_t *answer = &self->answers[self->answers_count++];
    answer->token = token;
    answer->status = status;
    if (header)
        answer->header = *header;
    answer->payload = *payload_p;
    *payload_p = NULL;
    self->ready = true;
}

void
store_settled(chunkstore_t *self, uint64_t stream, uint64_t mark)
{
    if (mark == 0)
        return;
    size_t i = 0;
    while (i < self->marks_count && self->marks[i].stream != stream)
        i++;
    if (i == self->marks_count) {
        STORE_GROW(self->marks, self->marks_count, self->marks_most);
        self->marks[self->marks_count].stream = stream;
        self->marks[self->marks_count++].mark = 0;
    }
    if (mark > self->marks[i].mark)
        self->marks[i].mark = mark;
}

status_t
store_commit(chunkstore_t *self, bool sync)
{
    for (size_t i = 0; i < self->marks_count; i++) {
        uint64_t stream = self->marks[i].stream, mark = self->marks[i].mark;
        if (mark > index_settled(self->index, stream))
            index_put_settled(self->index, stream, mark);
    }
    self->marks_count = 0;
    status_t status = index_commit(self->index, sync);
    if (status != STATUS_OK && self->unusable == STATUS_OK)
        self->unusable = status;
    return status;
}

index_drop_t *
store_dropped(const chunkstore_t *self, uint64_t stream)
{
    return zhashx_lookup(self->drops, &stream);
}

static int64_t
wait_for(chunkstore_t *self, int rc)
{
    files_done_t done;
    if (rc < 0)
        return rc;
    size_t count = self->files->reap(self->files, &done, 1, true);
    return count == 1 ? done.result : -EIO;
}

int64_t
store_read_now(chunkstore_t *self, int handle, void *bytes, size_t size,
               uint64_t offset)
{
    return wait_for(
        self, self->files->read(self->files, handle, bytes, size, offset, 0));
}

int64_t
store_sync_now(chunkstore_t *self, int handle)
{
    return wait_for(self, self->files->sync(self->files, handle, 0));
}

//  ---------------------------------------------------------------------------
//  Turns

static void
tell_failed(chunkstore_t *self, const failure_t *failed, size_t count)
{
    for (size_t i = 0, j; i < count; i = j) {
        for (j = i + 1; j < count; j++)
            if (failed[j].status != failed[i].status)
                break;
        chunk_key_t *keys = calloc(j - i, sizeof(*keys));
        INVARIANT(keys);
        for (size_t n = i; n < j; n++)
            keys[n - i] = failed[n].key;
        self->events.failed(self->with, keys, j - i, failed[i].status);
        free(keys);
    }
}

//  Call the events. They may call us: what they add is told at the next turn.
static void
tell(chunkstore_t *self)
{
    chunk_key_t *durable = self->durable;
    failure_t *failed = self->failed;
    answer_t *answers = self->answers;
    size_t durable_count = self->durable_count;
    size_t failed_count = self->failed_count;
    size_t answers_count = self->answers_count;
    self->durable = NULL;
    self->failed = NULL;
    self->answers = NULL;
    self->durable_count = self->durable_most = 0;
    self->failed_count = self->failed_most = 0;
    self->answers_count = self->answers_most = 0;
    if (durable_count)
        self->events.durable(self->with, durable, durable_count);
    tell_failed(self, failed, failed_count);
    for (size_t i = 0; i < answers_count; i++) {
        bool good = answers[i].status == STATUS_OK;
        self->events.read(self->with, answers[i].token, answers[i].status,
                          good ? &answers[i].header : NULL, answers[i].payload);
        buffer_unref(&answers[i].payload);
    }
    free(durable);
    free(failed);
    free(answers);
}

static void
reap(chunkstore_t *self, bool wait)
{
    files_done_t done[REAP];
    size_t count;
    do {
        count = self->files->reap(self->files, done, REAP, wait);
        for (size_t i = 0; i < count; i++) {
            op_t *op = (op_t *)(uintptr_t)done[i].token;
            if (op->kind == OP_READ)
                fetch_done(self, (fetch_t *)op, done[i].result);
            else if (op->kind == OP_GRAVE)
                forget_removed(self, (grave_t *)op, done[i].result);
            else if (op->kind == OP_BURIAL)
                forget_done(self, done[i].result);
            else if (op->kind == OP_PUNCH)
                forget_punched(self, (punch_t *)op, done[i].result);
            else if (op->kind == OP_FOOTER)
                retire_done(self, done[i].result);
            else
                commit_done(self, op, done[i].result);
        }
        wait = false;
    } while (count == REAP);
}

static void
turn(chunkstore_t *self, bool wait)
{
    self->ready = false;
    reap(self, wait);
    commit_turn(self);
    fetch_turn(self);
    forget_turn(self);
    retire_turn(self);
    tell(self);
}

void
chunkstore_turn(chunkstore_t *self, millis_t now)
{
    self->now = now;
    turn(self, false);
}

millis_t
chunkstore_due(const chunkstore_t *self)
{
    return self->ready ? 0 : millis_least(commit_due(self), forget_due(self));
}

int
chunkstore_fd(const chunkstore_t *self)
{
    return self->files->fd(self->files);
}

//  ---------------------------------------------------------------------------
//  Open and close

static size_t
hash_key(const void *key)
{
    return chunk_key_hash(key);
}

static int
compare_key(const void *a, const void *b)
{
    return chunk_key_compare(a, b);
}

static size_t
hash_stream(const void *key)
{
    return chunk_key_hash(&(chunk_key_t){ .stream = *(const uint64_t *)key });
}

static int
compare_stream(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static zhashx_t *
table(zhashx_hash_fn *hash, zhashx_comparator_fn *compare)
{
    zhashx_t *self = zhashx_new();
    zhashx_set_key_hasher(self, hash);
    zhashx_set_key_comparator(self, compare);
    zhashx_set_key_duplicator(self, NULL);
    zhashx_set_key_destructor(self, NULL);
    return self;
}

//  A small disk has small segments, so that what one class leaves unused is a
//  small part of it.
static void
default_settings(chunkstore_settings_t *settings)
{
    if (settings->segment_bytes == 0) {
        settings->segment_bytes = STORE_SEGMENT_BYTES;
        while (settings->space_bytes &&
               settings->segment_bytes > settings->space_bytes / 16 &&
               settings->segment_bytes > STORE_SEGMENT_LEAST_BYTES)
            settings->segment_bytes /= 2;
    }
    settings->segment_bytes -= settings->segment_bytes % SEGMENT_PAGE;
    if (settings->segment_bytes < SEGMENT_LEAST_BYTES)
        settings->segment_bytes = SEGMENT_LEAST_BYTES;
    if (settings->group_bytes == 0)
        settings->group_bytes = STORE_GROUP_BYTES;
    if (settings->queue_bytes == 0)
        settings->queue_bytes = STORE_QUEUE_BYTES;
}

static chunkstore_t *
new_store(const chunkstore_settings_t *settings,
          const chunkstore_events_t *events, void *with)
{
    chunkstore_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->settings = *settings;
    self->settings.path = NULL;
    self->settings.index = NULL;
    default_settings(&self->settings);
    self->path = strdup(settings->path);
    int rc = asprintf(&self->folder, "%s/segments", settings->path);
    INVARIANT(self->path && rc > 0);
    self->events = *events;
    self->with = with;
    self->pending = table(hash_key, compare_key);
    self->drops = table(hash_stream, compare_stream);
    self->unlogged.end = &self->unlogged.first;
    self->reads_end = &self->reads_first;
    self->staging_count = STORE_GROUPS;
    self->folder_handle = -1;
    return self;
}

static void
destroy(chunkstore_t *self)
{
    commit_destroy(self);
    fetch_destroy(self);
    intake_destroy(self);
    forget_destroy(self);
    retire_destroy(self);
    shelf_destroy(self);
    if (self->folder_handle >= 0)
        self->files->close(self->files, self->folder_handle);
    index_destroy(&self->index);
    files_system_destroy(&self->own_files);
    claim_release(&self->claim);
    free(self->durable);
    free(self->failed);
    free(self->answers);
    free(self->marks);
    free(self->path);
    free(self->folder);
    free(self);
}

static void
find_any(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
}

//  Read who we are, or become someone; one boot more.
static status_t
take_identity(chunkstore_t *self, char *why_r, size_t why_size)
{
    chunkstore_identity_t *identity = &self->identity;
    status_t status = identity_read(self->files, self->path, identity);
    if (status == STATUS_ABSENT) {
        bool used = false;
        self->files->list(self->files, self->folder, find_any, &used);
        *identity = (chunkstore_identity_t){ 0 };
        identity->store = self->files->random(self->files);
        status = used ? STATUS_CORRUPT : STATUS_OK;
    }
    identity->boot++;
    if (status == STATUS_OK)
        status = identity_write(self->files, self->path, identity);
    if (status == STATUS_VERSION)
        snprintf(why_r, why_size,
                 "%s/identity is of another version: start the program that "
                 "wrote it",
                 self->path);
    else if (status != STATUS_OK)
        snprintf(why_r, why_size, "%s/identity: %s", self->path,
                 status_text(status));
    return status;
}

static status_t
make_folder(chunkstore_t *self, char *why_r, size_t why_size)
{
    int rc = self->files->make_directory(self->files, self->folder);
    if (rc == 0)
        rc = self->files->sync_directory(self->files, self->path);
    if (rc == 0)
        rc = self->files->open_directory(self->files, self->folder);
    if (rc >= 0) {
        self->folder_handle = rc;
        return STATUS_OK;
    }
    snprintf(why_r, why_size, "%s cannot be made: %s", self->folder,
             strerror(-rc));
    return store_status(rc);
}

static void
tell_story(chunkstore_t *self)
{
    const files_t *own = self->own_files;
    snprintf(self->story, sizeof(self->story),
             "store io=%s direct=%s segments=%zu chunks=%" PRIu64
             " replayed=%u index=%s rot=%" PRIu64,
             own ? files_system_kind(own) : "given",
             !own || files_system_direct(own) ? "yes" : "no",
             self->segments_count, self->chunks, self->replayed,
             self->index_remade ? "remade" : "kept", self->rot);
}

const char *
chunkstore_story(const chunkstore_t *self)
{
    return self->story;
}

status_t
chunkstore_open(const chunkstore_settings_t *settings, const files_t *files,
                const chunkstore_events_t *events, void *with,
                chunkstore_t **store_r, char *why_r, size_t why_size)
{
    chunkstore_t *self = new_store(settings, events, with);
    kv_t *given = settings->index;
    self->own_files = files ? NULL : files_system_new(STORE_DEPTH, false);
    self->files = files ? files : self->own_files;
    status_t status = STATUS_OK;
    if (!self->files) {
        snprintf(why_r, why_size, "no descriptor is left for %s",
                 settings->path);
        status = STATUS_LIMIT;
    }
    if (status == STATUS_OK)
        status = self->files->claim(self->files, self->path, &self->claim,
                                    why_r, why_size);
    if (status == STATUS_OK)
        status = make_folder(self, why_r, why_size);
    if (status == STATUS_OK)
        status = take_identity(self, why_r, why_size);
    if (status == STATUS_OK)
        status = remake_take_index(self, &given, why_r, why_size);
    if (status == STATUS_OK)
        status = recover(self, why_r, why_size);
    kv_close(&given);
    if (status == STATUS_OK) {
        tell_story(self);
        *store_r = self;
    } else {
        destroy(self);
    }
    return status;
}

void
chunkstore_close(chunkstore_t **self_p)
{
    chunkstore_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    bool wait = false;
    while (!commit_close(self) || self->reads_count || !forget_idle(self) ||
           self->retire.flying) {
        turn(self, wait);
        wait = true;
    }
    tell(self);
    destroy(self);
}

//  ---------------------------------------------------------------------------
//  Identity and space

chunkstore_identity_t
chunkstore_identity(const chunkstore_t *self)
{
    return self->identity;
}

static status_t
replace_identity(chunkstore_t *self, chunkstore_identity_t identity)
{
    status_t status = identity_write(self->files, self->path, &identity);
    if (status == STATUS_OK)
        self->identity = identity;
    return status;
}

status_t
chunkstore_set_cluster(chunkstore_t *self, uint64_t cluster)
{
    chunkstore_identity_t identity = self->identity;
    identity.cluster = cluster;
    return replace_identity(self, identity);
}

status_t
chunkstore_set_term(chunkstore_t *self, uint64_t term)
{
    chunkstore_identity_t identity = self->identity;
    identity.term = term;
    return replace_identity(self, identity);
}

chunkstore_space_t
chunkstore_space(const chunkstore_t *self)
{
    uint64_t taken = self->allocated + self->index_peak;
    uint64_t is_free = shelf_free_bytes(self);
    uint64_t space = self->settings.space_bytes;
    if (space == 0)
        space = taken + is_free;
    else if (is_free > space - (taken < space ? taken : space))
        is_free = space - (taken < space ? taken : space);
    //  Segments are allocated whole: what is unused in the open ones is free.
    for (size_t i = 0; i < self->writers_count; i++)
        is_free += self->writers[i]->head.size - self->writers[i]->tail;
    return (chunkstore_space_t){
        .chunks = self->chunks,
        .bytes = self->bytes,
        .free_bytes = is_free,
        .space_bytes = space,
        .full = !shelf_has_room(self, self->promised + 1),
        .rot = self->rot,
    };
}
