#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "invariant.h"
#include "random.h"
#include "spool.h"

enum { NAME_TRIES = 16 };

struct output {
    char *path;
    char *temporary;  //  NULL: bytes go to the final place as they come
    int fd;           //  A pipe, a device; -1 with a spool
    spool_t *spool;   //  The temporary file
    int error;
};

//  A new file beside `path`. Its mode is what a new file gets.
static bool
make_beside(const char *path, char **temporary_r)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        char *name = NULL;
        int rc = asprintf(&name, "%s.part-%06x", path,
                          (unsigned)(random_u64() & 0xffffff));
        INVARIANT(rc >= 0);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            close(fd);
            *temporary_r = name;
            return true;
        }
        free(name);
        if (errno != EEXIST)
            break;
    }
    return false;
}

//  Whether the place is open now; errno says why not.
static bool
open_place(output_t *self, uint64_t size)
{
    struct stat now;
    if (strcmp(self->path, "-") == 0)
        self->fd = dup(STDOUT_FILENO);
    else if (stat(self->path, &now) == 0 && !S_ISREG(now.st_mode))
        self->fd = open(self->path, O_WRONLY | O_CLOEXEC);
    else if (make_beside(self->path, &self->temporary))
        self->spool = spool_new(self->temporary, size);
    return self->fd >= 0 || self->spool;
}

output_t *
output_open(const char *path, uint64_t size, char *why_r, size_t why_size)
{
    output_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->fd = -1;
    self->path = strdup(path);
    INVARIANT(self->path);
    if (open_place(self, size))
        return self;
    snprintf(why_r, why_size, "cannot be written: %s", strerror(errno));
    output_discard(&self);
    return NULL;
}

void
output_discard(output_t **self_p)
{
    output_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->fd >= 0)
        close(self->fd);
    spool_destroy(&self->spool);
    if (self->temporary)
        unlink(self->temporary);
    free(self->temporary);
    free(self->path);
    free(self);
}

bool
output_write(output_t *self, const void *bytes, size_t size)
{
    const char *next = bytes;
    if (self->spool) {
        self->error = spool_write(self->spool, bytes, size);
        return self->error == 0;
    }
    while (size > 0 && self->error == 0) {
        ssize_t wrote = write(self->fd, next, size);
        if (wrote < 0 && errno != EINTR)
            self->error = errno;
        if (wrote > 0) {
            next += wrote;
            size -= (size_t)wrote;
        }
    }
    return self->error == 0;
}

bool
output_keep(output_t **self_p, char *why_r, size_t why_size)
{
    output_t *self = *self_p;
    if (self->error == 0 && self->spool)
        self->error = spool_end(self->spool);
    //  A full device may show only here.
    if (self->error == 0 && self->fd >= 0 && close(self->fd) != 0)
        self->error = errno;
    self->fd = -1;
    if (self->error == 0 && self->temporary &&
        rename(self->temporary, self->path) != 0)
        self->error = errno;
    bool kept = self->error == 0;
    if (kept) {
        free(self->temporary);
        self->temporary = NULL;
    } else {
        snprintf(why_r, why_size, "cannot be written: %s",
                 strerror(self->error));
    }
    output_discard(self_p);
    return kept;
}

const char *
output_failed(const output_t *self)
{
    return self->error ? strerror(self->error) : NULL;
}

bool
output_broken_pipe(const output_t *self)
{
    return self->error == EPIPE;
}
