#include "fake_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "random.h"

enum { PAGE = 4096, SECTOR = 512, MOST_FILES = 1024, MOST_FLYING = 64 };

//  What a file holds; names point at it.
typedef struct {
    uint64_t size;
    uint8_t *now;       //  What a reader sees
    uint8_t *durable;   //  What a cut leaves
    uint64_t *written;  //  Of each page: the stamp of its last write; 0: clean
    uint8_t *hole;      //  Of each page: whether it takes no space
    int names;          //  And handles and operations that point at it
} body_t;

typedef struct {
    char *name;
    body_t *body;  //  NULL: a directory
} entry_t;

typedef struct {
    entry_t entries[MOST_FILES];
    size_t count;
} names_t;

typedef struct {
    enum { WRITE, READ, SYNC, RESERVE, REMOVE, SYNC_NAMES, PUNCH } what;
    body_t *body;  //  Of a removal: none
    char *path;    //  Of a removal
    uint8_t *bytes;
    size_t size;
    uint64_t offset;
    uint64_t token;
    uint64_t upto;  //  Of a sync: what had been reaped, or named
    int error;      //  That it ends with
} flying_t;

//  One change of names, not yet durable.
typedef struct {
    char *from, *to;  //  from NULL: made; to NULL: removed
    body_t *body;
} change_t;

struct fake_files {
    files_t table;
    random_t random;
    uint64_t capacity;
    names_t now, durable;
    body_t **bodies;
    size_t bodies_count;
    change_t *changes;
    size_t changes_count;
    uint64_t settled;  //  Changes before them
    body_t *folder;    //  What directories' handles point at
    body_t *handles[MOST_FILES];
    flying_t flying[MOST_FLYING];
    size_t flying_count;
    uint64_t stamp;  //  Writes reaped
    uint64_t writes;
    uint64_t freed_by_close;
    uint64_t fail_in;
    int fail_with;
    bool fail_for_ever, failed;
    int removals_fail_with, names_fail_with;
    uint64_t removals;
    uint64_t die_in;
    void (*died)(void *arg);
    void *died_arg;
    bool dead;
    fake_files_toll_t toll;
};

static fake_files_t *
of(const files_t *files)
{
    return files->with;
}

//  ---------------------------------------------------------------------------
//  Failures

//  Whether this call fails, and with what: 0 or -errno.
static int
fails(fake_files_t *self)
{
    if (self->dead)
        return -EIO;
    if (self->failed && self->fail_for_ever)
        return -self->fail_with;
    if (self->fail_in == 0 || --self->fail_in > 0)
        return 0;
    self->failed = true;
    return -self->fail_with;
}

//  The same for a call that changes the disk.
static int
change_fails(fake_files_t *self, const char *call)
{
    if (!self->dead && self->die_in > 0 && --self->die_in == 0) {
        self->dead = true;
        self->toll.before = call;
        if (self->died)
            self->died(self->died_arg);
    }
    return fails(self);
}

//  ---------------------------------------------------------------------------
//  Names and bodies

static void
take_arrays(body_t *body, uint64_t size)
{
    body->size = size;
    uint64_t pages = size / PAGE + 1;
    body->now = calloc(pages, PAGE);
    body->durable = calloc(pages, PAGE);
    body->written = calloc(pages, sizeof(*body->written));
    body->hole = calloc(pages, 1);
    INVARIANT(body->now && body->durable && body->written && body->hole);
}

static void
free_arrays(body_t *body)
{
    free(body->now);
    free(body->durable);
    free(body->written);
    free(body->hole);
}

static body_t *
new_body(fake_files_t *self, uint64_t size)
{
    body_t *body = calloc(1, sizeof(*body));
    self->bodies = realloc(self->bodies,
                           (self->bodies_count + 1) * sizeof(*self->bodies));
    INVARIANT(body && self->bodies);
    self->bodies[self->bodies_count++] = body;
    take_arrays(body, size);
    return body;
}

//  Free those that nothing names any more.
static void
free_bodies(fake_files_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->bodies_count; i++) {
        body_t *body = self->bodies[i];
        if (body->names > 0) {
            self->bodies[kept++] = body;
            continue;
        }
        free_arrays(body);
        free(body);
    }
    self->bodies_count = kept;
}

//  Give up a name of it; it is freed at the next sync of names.
static void
release(body_t *body)
{
    if (body)
        body->names--;
}

static entry_t *
find(names_t *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->entries[i].name, name) == 0)
            return &names->entries[i];
    return NULL;
}

static void
drop_name(names_t *names, const char *name)
{
    entry_t *entry = find(names, name);
    if (!entry)
        return;
    free(entry->name);
    release(entry->body);
    *entry = names->entries[--names->count];
}

static void
put_name(names_t *names, const char *name, body_t *body)
{
    drop_name(names, name);
    INVARIANT(names->count < MOST_FILES);
    if (body)
        body->names++;
    names->entries[names->count++] = (entry_t){ strdup(name), body };
}

static void
apply(names_t *names, const change_t *change)
{
    if (change->from)
        drop_name(names, change->from);
    if (change->to)
        put_name(names, change->to, change->body);
}

static void
change_name(fake_files_t *self, const char *from, const char *to, body_t *body)
{
    change_t *change;
    self->changes = realloc(self->changes,
                            (self->changes_count + 1) * sizeof(*self->changes));
    INVARIANT(self->changes);
    change = &self->changes[self->changes_count++];
    *change = (change_t){ from ? strdup(from) : NULL, to ? strdup(to) : NULL,
                          body };
    if (body)
        body->names++;  //  By this change
    apply(&self->now, change);
}

static void
end_change(change_t *change)
{
    release(change->body);
    free(change->from);
    free(change->to);
}

//  The first `count` of the changes are durable.
static void
settle_names(fake_files_t *self, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        apply(&self->durable, &self->changes[i]);
        end_change(&self->changes[i]);
    }
    self->settled += count;
    self->changes_count -= count;
    if (self->changes_count > 0)
        memmove(self->changes, self->changes + count,
                self->changes_count * sizeof(*self->changes));
    free_bodies(self);
}

static void
forget_changes(fake_files_t *self)
{
    while (self->changes_count > 0)
        end_change(&self->changes[--self->changes_count]);
}

uint64_t
fake_files_taken(const fake_files_t *self)
{
    uint64_t taken = 0;
    for (size_t i = 0; i < self->now.count; i++) {
        const body_t *body = self->now.entries[i].body;
        for (uint64_t page = 0; body && page < body->size / PAGE; page++)
            taken += body->hole[page] ? 0 : PAGE;
    }
    return taken;
}

//  ---------------------------------------------------------------------------
//  Files

static int
take_handle(fake_files_t *self, body_t *body)
{
    for (int handle = 0; handle < MOST_FILES; handle++) {
        if (self->handles[handle])
            continue;
        self->handles[handle] = body;
        body->names++;
        return handle;
    }
    return -EMFILE;
}

static int
fake_open(const files_t *files, const char *path, bool create)
{
    fake_files_t *self = of(files);
    int rc = create ? change_fails(self, "create") : fails(self);
    if (rc < 0)
        return rc;
    entry_t *entry = find(&self->now, path);
    if (!create && !entry)
        return -ENOENT;
    body_t *body = entry ? entry->body : NULL;
    if (create) {
        body = new_body(self, 0);
        change_name(self, NULL, path, body);
    }
    return take_handle(self, body);
}

static int
fake_open_directory(const files_t *files, const char *path)
{
    (void)path;
    fake_files_t *self = of(files);
    int rc = fails(self);
    if (rc < 0)
        return rc;
    if (!self->folder) {
        self->folder = new_body(self, 0);
        self->folder->names++;
    }
    return take_handle(self, self->folder);
}

//  Whether a reader would find it.
static bool
has_name(const fake_files_t *self, const body_t *body)
{
    for (size_t i = 0; i < self->now.count; i++)
        if (self->now.entries[i].body == body)
            return true;
    return false;
}

static void
fake_close(const files_t *files, int handle)
{
    fake_files_t *self = of(files);
    body_t *body = self->handles[handle];
    self->freed_by_close += body != self->folder && !has_name(self, body);
    release(body);
    self->handles[handle] = NULL;
}

static int
submit(fake_files_t *self, flying_t form)
{
    if (self->flying_count == MOST_FLYING)
        return -EAGAIN;
    INVARIANT(form.offset % PAGE == 0 && form.size % PAGE == 0);
    INVARIANT((uintptr_t)form.bytes % PAGE == 0);
    if (form.body) {
        uint64_t end = form.offset + form.size;
        INVARIANT(form.what == RESERVE || end <= form.body->size);
        form.body->names++;
    }
    self->flying[self->flying_count++] = form;
    return 0;
}

static int
fake_write(const files_t *files, int handle, const void *bytes, size_t size,
           uint64_t offset, uint64_t token)
{
    fake_files_t *self = of(files);
    flying_t form = { .what = WRITE,
                      .body = self->handles[handle],
                      .size = size,
                      .offset = offset,
                      .token = token };
    memcpy(&form.bytes, &bytes, sizeof(bytes));
    form.error = change_fails(self, "write");
    self->writes++;
    return submit(self, form);
}

static int
fake_read(const files_t *files, int handle, void *bytes, size_t size,
          uint64_t offset, uint64_t token)
{
    fake_files_t *self = of(files);
    return submit(self, (flying_t){ .what = READ,
                                    .body = self->handles[handle],
                                    .bytes = bytes,
                                    .size = size,
                                    .offset = offset,
                                    .token = token,
                                    .error = fails(self) });
}

static int
fake_sync(const files_t *files, int handle, uint64_t token)
{
    fake_files_t *self = of(files);
    return submit(self, (flying_t){ .what = SYNC,
                                    .body = self->handles[handle],
                                    .token = token,
                                    .upto = self->stamp,
                                    .error = change_fails(self, "sync") });
}

static int
fake_punch(const files_t *files, int handle, uint64_t offset, uint64_t size,
           uint64_t token)
{
    fake_files_t *self = of(files);
    return submit(self, (flying_t){ .what = PUNCH,
                                    .body = self->handles[handle],
                                    .size = size,
                                    .offset = offset,
                                    .token = token,
                                    .error = change_fails(self, "punch") });
}

static int
fake_reserve(const files_t *files, int handle, uint64_t size, uint64_t token)
{
    fake_files_t *self = of(files);
    return submit(self, (flying_t){ .what = RESERVE,
                                    .body = self->handles[handle],
                                    .size = size,
                                    .token = token,
                                    .error = change_fails(self, "reserve") });
}

static int
fake_remove(const files_t *files, const char *path, uint64_t token)
{
    fake_files_t *self = of(files);
    int error = change_fails(self, "removal");
    self->removals++;
    return submit(
        self, (flying_t){ .what = REMOVE,
                          .path = strdup(path),
                          .token = token,
                          .error = error ? error : -self->removals_fail_with });
}

static int
fake_sync_names(const files_t *files, int handle, uint64_t token)
{
    fake_files_t *self = of(files);
    int error = change_fails(self, "sync of names");
    return submit(
        self, (flying_t){ .what = SYNC_NAMES,
                          .body = self->handles[handle],
                          .token = token,
                          .upto = self->settled + self->changes_count,
                          .error = error ? error : -self->names_fail_with });
}

//  ---------------------------------------------------------------------------
//  Ends of operations

//  Write `size` bytes of the operation's, a whole number of sectors.
static void
put_bytes(const flying_t *op, uint64_t from, uint64_t size, uint64_t stamp)
{
    uint64_t place = op->offset + from;
    memcpy(op->body->now + place, op->bytes + from, size);
    op->body->written[place / PAGE] = stamp;
    op->body->hole[place / PAGE] = 0;
}

//  Some pages of a write that did not end well, one of them torn.
static void
put_some(fake_files_t *self, const flying_t *op)
{
    for (uint64_t from = 0; from < op->size; from += PAGE)
        if (random_chance(&self->random, 1, 2)) {
            uint64_t size = PAGE;
            if (random_chance(&self->random, 1, 4)) {
                size = SECTOR * random_below(&self->random, PAGE / SECTOR);
                self->toll.pages_torn++;
            }
            put_bytes(op, from, size, UINT64_MAX);
        }
}

static void
punch_pages(fake_files_t *self, const flying_t *op)
{
    body_t *body = op->body;
    self->stamp++;
    for (uint64_t page = op->offset / PAGE;
         page < (op->offset + op->size) / PAGE; page++) {
        memset(body->now + page * PAGE, 0, PAGE);
        body->written[page] = self->stamp;
        body->hole[page] = 1;
    }
}

//  An empty file gets its size; what is not there yet cannot be lost.
static int
reserve_pages(fake_files_t *self, const flying_t *op)
{
    if (fake_files_taken(self) + op->size > self->capacity)
        return -ENOSPC;
    INVARIANT(op->body->size == 0);
    free_arrays(op->body);
    take_arrays(op->body, op->size);
    return 0;
}

static int
remove_name(fake_files_t *self, const flying_t *op)
{
    entry_t *entry = find(&self->now, op->path);
    if (!entry)
        return -ENOENT;
    change_name(self, op->path, NULL, entry->body);
    return 0;
}

static void
make_durable(body_t *body, uint64_t upto)
{
    for (uint64_t page = 0; page <= body->size / PAGE; page++) {
        if (body->written[page] == 0 || body->written[page] > upto)
            continue;
        memcpy(body->durable + page * PAGE, body->now + page * PAGE, PAGE);
        body->written[page] = 0;
    }
}

static int64_t
end(fake_files_t *self, const flying_t *op)
{
    if (op->what == WRITE)
        self->stamp++;
    if (op->error < 0 || self->dead) {
        //  When the power is gone, only what was begun before.
        if (op->what == WRITE && (op->error == 0 || !self->dead))
            put_some(self, op);
        return op->error < 0 ? op->error : -EIO;
    }
    if (op->what == WRITE)
        for (uint64_t from = 0; from < op->size; from += PAGE)
            put_bytes(op, from, PAGE, self->stamp);
    else if (op->what == READ)
        memcpy(op->bytes, op->body->now + op->offset, op->size);
    else if (op->what == SYNC)
        make_durable(op->body, op->upto);
    else if (op->what == PUNCH)
        punch_pages(self, op);
    else if (op->what == RESERVE)
        return reserve_pages(self, op);
    else if (op->what == REMOVE)
        return remove_name(self, op);
    else if (op->upto > self->settled)
        settle_names(self, op->upto - self->settled);
    return op->what == PUNCH ? 0 : (int64_t)op->size;
}

static size_t
fake_reap(const files_t *files, files_done_t *done, size_t most, bool wait)
{
    fake_files_t *self = of(files);
    size_t count = 0;
    while (count < most && self->flying_count > 0) {
        if ((!wait || count > 0) && random_chance(&self->random, 1, 3))
            break;
        size_t at = random_below(&self->random, self->flying_count);
        flying_t op = self->flying[at];
        self->flying[at] = self->flying[--self->flying_count];
        done[count++] = (files_done_t){ op.token, end(self, &op) };
        release(op.body);
        free(op.path);
    }
    return count;
}

static int
fake_fd(const files_t *files)
{
    (void)files;
    return -1;
}

//  ---------------------------------------------------------------------------
//  Small files and directories

static int
fake_read_small(const files_t *files, const char *path, void *bytes,
                size_t size)
{
    fake_files_t *self = of(files);
    int rc = fails(self);
    entry_t *entry = find(&self->now, path);
    if (rc < 0 || !entry)
        return rc < 0 ? rc : -ENOENT;
    if (size > entry->body->size)
        size = entry->body->size;
    memcpy(bytes, entry->body->now, size);
    return (int)size;
}

static int
fake_write_small(const files_t *files, const char *path, const void *bytes,
                 size_t size)
{
    fake_files_t *self = of(files);
    int rc = change_fails(self, "small write");
    //  A failure may come after the rename and before the directory's sync.
    if (rc < 0 && (self->dead || random_chance(&self->random, 1, 2)))
        return rc;
    body_t *body = new_body(self, size);
    memcpy(body->now, bytes, size);
    memcpy(body->durable, bytes, size);
    change_name(self, NULL, path, body);
    if (rc == 0)
        settle_names(self, self->changes_count);
    return rc;
}

static int
fake_rename(const files_t *files, const char *from, const char *to)
{
    fake_files_t *self = of(files);
    int rc = change_fails(self, "rename");
    entry_t *entry = find(&self->now, from);
    if (rc < 0 || !entry)
        return rc < 0 ? rc : -ENOENT;
    change_name(self, from, to, entry->body);
    return 0;
}

static int
fake_unlink(const files_t *files, const char *path)
{
    fake_files_t *self = of(files);
    int rc = change_fails(self, "unlink");
    entry_t *entry = find(&self->now, path);
    if (rc < 0 || !entry)
        return rc < 0 ? rc : -ENOENT;
    change_name(self, path, NULL, entry->body);
    return 0;
}

static int
fake_make_directory(const files_t *files, const char *path)
{
    fake_files_t *self = of(files);
    int rc = change_fails(self, "directory made");
    if (rc == 0 && !find(&self->now, path))
        change_name(self, NULL, path, NULL);
    return rc;
}

static int
fake_sync_directory(const files_t *files, const char *path)
{
    (void)path;
    fake_files_t *self = of(files);
    int rc = change_fails(self, "sync of a directory");
    if (rc == 0)
        settle_names(self, self->changes_count);
    return rc;
}

static int
fake_list(const files_t *files, const char *path,
          void (*each)(void *arg, const char *name), void *arg)
{
    fake_files_t *self = of(files);
    int rc = fails(self);
    size_t size = strlen(path);
    for (size_t i = 0; rc == 0 && i < self->now.count; i++) {
        const char *name = self->now.entries[i].name;
        if (strncmp(name, path, size) == 0 && name[size] == '/')
            each(arg, name + size + 1);
    }
    return rc;
}

static int64_t
fake_free_bytes(const files_t *files, const char *path)
{
    (void)path;
    fake_files_t *self = of(files);
    int rc = fails(self);
    uint64_t taken = fake_files_taken(self);
    uint64_t is_free = taken < self->capacity ? self->capacity - taken : 0;
    return rc < 0 ? rc : (int64_t)is_free;
}

static status_t
fake_claim(const files_t *files, const char *path, claim_t **claim_r,
           char *why_r, size_t why_size)
{
    fake_files_t *self = of(files);
    *claim_r = NULL;
    if (change_fails(self, "claim") < 0) {
        snprintf(why_r, why_size, "%s: planned failure", path);
        return STATUS_IO;
    }
    if (!find(&self->now, path)) {
        change_name(self, NULL, path, NULL);
        settle_names(self, self->changes_count);
    }
    return STATUS_OK;
}

static uint64_t
fake_random(const files_t *files)
{
    return random_next(&of(files)->random) | 1;
}

//  ---------------------------------------------------------------------------
//  Life

static const files_t TABLE = {
    .open = fake_open,
    .open_directory = fake_open_directory,
    .close = fake_close,
    .write = fake_write,
    .read = fake_read,
    .sync = fake_sync,
    .reserve = fake_reserve,
    .remove = fake_remove,
    .sync_names = fake_sync_names,
    .reap = fake_reap,
    .fd = fake_fd,
    .read_small = fake_read_small,
    .write_small = fake_write_small,
    .rename = fake_rename,
    .unlink = fake_unlink,
    .make_directory = fake_make_directory,
    .sync_directory = fake_sync_directory,
    .list = fake_list,
    .punch = fake_punch,
    .free_bytes = fake_free_bytes,
    .claim = fake_claim,
    .random = fake_random,
};

fake_files_t *
fake_files_new(uint64_t seed, uint64_t capacity)
{
    fake_files_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->table = TABLE;
    self->table.with = self;
    self->random = random_seeded(seed);
    self->capacity = capacity;
    return self;
}

const files_t *
fake_files_table(fake_files_t *self)
{
    return &self->table;
}

void
fake_files_fail_at(fake_files_t *self, uint64_t nth, int error, bool for_ever)
{
    self->fail_in = nth;
    self->fail_with = error;
    self->fail_for_ever = for_ever;
    self->failed = false;
}

bool
fake_files_failed(const fake_files_t *self)
{
    return self->failed;
}

void
fake_files_fail_removals(fake_files_t *self, int error)
{
    self->removals_fail_with = error;
}

void
fake_files_fail_names(fake_files_t *self, int error)
{
    self->names_fail_with = error;
}

uint64_t
fake_files_removals(const fake_files_t *self)
{
    return self->removals;
}

void
fake_files_die_at(fake_files_t *self, uint64_t nth, void (*died)(void *arg),
                  void *arg)
{
    self->die_in = nth;
    self->died = died;
    self->died_arg = arg;
}

bool
fake_files_dead(const fake_files_t *self)
{
    return self->dead;
}

fake_files_toll_t
fake_files_toll(const fake_files_t *self)
{
    return self->toll;
}

//  What was in flight happens in part; handles are closed.
static void
stop_all(fake_files_t *self)
{
    for (size_t i = 0; i < self->flying_count; i++) {
        if (self->flying[i].what == WRITE)
            put_some(self, &self->flying[i]);
        release(self->flying[i].body);
        free(self->flying[i].path);
    }
    self->flying_count = 0;
    for (int handle = 0; handle < MOST_FILES; handle++)
        if (self->handles[handle])
            fake_close(&self->table, handle);
    fake_files_fail_at(self, 0, 0, false);
    self->die_in = 0;
    self->dead = false;
}

void
fake_files_crash(fake_files_t *self, uint64_t seed)
{
    self->random = random_seeded(seed);
    stop_all(self);
    //  What was in flight has ended; the next sync is for it too.
    self->stamp++;
    for (size_t i = 0; i < self->bodies_count; i++)
        for (uint64_t page = 0; page <= self->bodies[i]->size / PAGE; page++)
            if (self->bodies[i]->written[page] == UINT64_MAX)
                self->bodies[i]->written[page] = self->stamp;
}

//  Of the pages that are not durable `kept` of 4 stay.
static void
lose_pages(fake_files_t *self, body_t *body, unsigned kept)
{
    for (uint64_t page = 0; page <= body->size / PAGE; page++) {
        if (body->written[page] == 0)
            continue;
        uint8_t *now = body->now + page * PAGE;
        uint8_t *durable = body->durable + page * PAGE;
        bool stays = random_chance(&self->random, kept, 4);
        memcpy(stays ? durable : now, stays ? now : durable, PAGE);
        self->toll.pages_kept += stays;
        self->toll.pages_lost += !stays;
        body->written[page] = 0;
    }
}

void
fake_files_cut(fake_files_t *self, uint64_t seed)
{
    self->random = random_seeded(seed);
    stop_all(self);
    unsigned kept = (unsigned)random_below(&self->random, 5);
    settle_names(self, random_below(&self->random, self->changes_count + 1));
    self->toll.names_lost += self->changes_count;
    forget_changes(self);
    while (self->now.count > 0)
        drop_name(&self->now, self->now.entries[0].name);
    for (size_t i = 0; i < self->durable.count; i++) {
        const entry_t *entry = &self->durable.entries[i];
        put_name(&self->now, entry->name, entry->body);
        if (entry->body)
            lose_pages(self, entry->body, kept);
    }
    free_bodies(self);
}

void
fake_files_destroy(fake_files_t **self_p)
{
    fake_files_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    fake_files_cut(self, 1);
    release(self->folder);
    while (self->now.count > 0)
        drop_name(&self->now, self->now.entries[0].name);
    while (self->durable.count > 0)
        drop_name(&self->durable, self->durable.entries[0].name);
    free_bodies(self);
    free(self->bodies);
    free(self->changes);
    free(self);
}

uint8_t *
fake_files_bytes(fake_files_t *self, const char *path, uint64_t *size_r)
{
    entry_t *entry = find(&self->now, path);
    if (!entry || !entry->body)
        return NULL;
    *size_r = entry->body->size;
    return entry->body->now;
}

uint64_t
fake_files_writes(const fake_files_t *self)
{
    return self->writes;
}

uint64_t
fake_files_freed_by_close(const fake_files_t *self)
{
    return self->freed_by_close;
}
