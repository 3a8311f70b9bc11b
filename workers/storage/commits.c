#include "commits.h"

#include <czmq.h>

#include "invariant.h"

typedef struct {
    chunk_key_t key;
    commit_taken_t taken;
} waiting_t;

struct commits {
    zhashx_t *waiting;  //  waiting_t by its key, owned
    commit_t *owed;
    size_t first;  //  Of the queue within `owed`
    size_t end;
    size_t room;
};

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

static void
free_waiting(void **waiting_p)
{
    free(*waiting_p);
    *waiting_p = NULL;
}

commits_t *
commits_new(void)
{
    commits_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->waiting = zhashx_new();
    INVARIANT(self->waiting);
    zhashx_set_key_hasher(self->waiting, hash_key);
    zhashx_set_key_comparator(self->waiting, compare_key);
    zhashx_set_key_duplicator(self->waiting, NULL);
    zhashx_set_key_destructor(self->waiting, NULL);
    zhashx_set_destructor(self->waiting, free_waiting);
    return self;
}

void
commits_destroy(commits_t **self_p)
{
    commits_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zhashx_destroy(&self->waiting);
    free(self->owed);
    free(self);
}

bool
commits_add(commits_t *self, chunk_key_t key, commit_taken_t taken)
{
    if (zhashx_lookup(self->waiting, &key))
        return false;
    waiting_t *waiting = malloc(sizeof(*waiting));
    INVARIANT(waiting);
    *waiting = (waiting_t){ .key = key, .taken = taken };
    int rc = zhashx_insert(self->waiting, &waiting->key, waiting);
    INVARIANT(rc == 0);
    return true;
}

bool
commits_remove(commits_t *self, chunk_key_t key, commit_taken_t *taken_r)
{
    const waiting_t *waiting = zhashx_lookup(self->waiting, &key);
    if (!waiting)
        return false;
    *taken_r = waiting->taken;
    zhashx_delete(self->waiting, &key);
    return true;
}

size_t
commits_waiting(const commits_t *self)
{
    return zhashx_size(self->waiting);
}

//  Room for one more: the front that was said is used again before growing.
static void
make_room(commits_t *self)
{
    if (self->end < self->room)
        return;
    size_t count = self->end - self->first;
    if (self->first < self->room / 2 || self->room == 0) {
        self->room = self->room ? self->room * 2 : 64;
        self->owed = realloc(self->owed, self->room * sizeof(*self->owed));
        INVARIANT(self->owed);
    }
    memmove(self->owed, self->owed + self->first, count * sizeof(*self->owed));
    self->first = 0;
    self->end = count;
}

void
commits_owe(commits_t *self, chunk_key_t key, status_t status)
{
    make_room(self);
    self->owed[self->end++] = (commit_t){ .key = key, .status = status };
}

size_t
commits_owed(const commits_t *self)
{
    return self->end - self->first;
}

const commit_t *
commits_first(const commits_t *self)
{
    return self->end > self->first ? self->owed + self->first : NULL;
}

void
commits_said(commits_t *self, size_t count)
{
    INVARIANT(count <= commits_owed(self));
    self->first += count;
    if (self->first == self->end)
        self->first = self->end = 0;
}
