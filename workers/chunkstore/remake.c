#include "invariant.h"
#include "store.h"

#define INDEX_ASIDE "index.damaged"
#define INDEX_SUSPECT "index.suspect"

static char *
path_in(const chunkstore_t *self, const char *name)
{
    char *path = NULL;
    int rc = asprintf(&path, "%s/%s", self->path, name);
    INVARIANT(rc > 0);
    return path;
}

//  Whether damage was met while an earlier life ran.
static bool
index_is_suspect(const chunkstore_t *self)
{
    char *path = path_in(self, INDEX_SUSPECT), byte;
    int rc = self->files->read_small(self->files, path, &byte, 1);
    free(path);
    return rc >= 0;
}

static status_t
open_index(chunkstore_t *self, char *why_r, size_t why_size)
{
    char *path = path_in(self, "index");
    kv_t *kv = NULL;
    status_t status = kv_open(path, &kv, why_r, why_size);
    if (status == STATUS_OK) {
        self->index = index_new(&kv);
        status = index_check(self->index);
        snprintf(why_r, why_size, "%s: %s", path, status_text(status));
    }
    if (status != STATUS_OK)
        index_destroy(&self->index);
    free(path);
    return status;
}

typedef struct {
    chunkstore_t *store;
    const char *folder;
} emptying_t;

static void
remove_name(void *arg, const char *name)
{
    const emptying_t *emptying = arg;
    const files_t *files = emptying->store->files;
    char *path = NULL;
    int rc = asprintf(&path, "%s/%s", emptying->folder, name);
    INVARIANT(rc > 0);
    files->unlink(files, path);
    free(path);
}

//  The index is nothing that the segments do not say. One that was set aside
//  before goes.
static status_t
set_index_aside(chunkstore_t *self)
{
    char *path = path_in(self, "index"), *aside = path_in(self, INDEX_ASIDE);
    char *suspect = path_in(self, INDEX_SUSPECT);
    emptying_t emptying = { self, aside };
    self->files->list(self->files, aside, remove_name, &emptying);
    self->files->unlink(self->files, aside);
    int rc = self->files->rename(self->files, path, aside);
    if (rc == 0)
        rc = self->files->sync_directory(self->files, self->path);
    if (rc == 0)
        self->files->unlink(self->files, suspect);
    self->index_remade = rc == 0;
    free(path);
    free(aside);
    free(suspect);
    return rc == 0 ? STATUS_OK : store_status(rc);
}

status_t
remake_take_index(chunkstore_t *self, kv_t **given_p, char *why_r,
                  size_t why_size)
{
    if (*given_p) {
        self->index = index_new(given_p);
        return STATUS_OK;
    }
    status_t status = STATUS_CORRUPT;
    if (!index_is_suspect(self))
        status = open_index(self, why_r, why_size);
    if (status != STATUS_CORRUPT)
        return status;
    status = set_index_aside(self);
    if (status == STATUS_OK)
        status = open_index(self, why_r, why_size);
    return status;
}

status_t
store_judge_index(chunkstore_t *self, status_t status)
{
    if (status == STATUS_CORRUPT && !self->index_damaged) {
        self->index_damaged = true;
        char *suspect = path_in(self, INDEX_SUSPECT);
        self->files->write_small(self->files, suspect, "", 1);
        free(suspect);
    }
    return status;
}
