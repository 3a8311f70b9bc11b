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

enum { NAME_TRIES = 16 };

struct output {
    char *path;
    char *temporary;  //  NULL: bytes go to the final place as they come
    int fd;
    uint64_t size;  //  Expected, and had from the file system
    uint64_t written;
    int error;
};

//  A new file beside `path`. Its mode is what a new file gets.
static int
make_beside(const char *path, char **temporary_r)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        char *name = NULL;
        int rc = asprintf(&name, "%s.part-%06x", path,
                          (unsigned)(random_u64() & 0xffffff));
        INVARIANT(rc >= 0);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            *temporary_r = name;
            return fd;
        }
        free(name);
        if (errno != EEXIST)
            break;
    }
    return -1;
}

output_t *
output_open(const char *path, uint64_t size, char *why_r, size_t why_size)
{
    output_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->path = strdup(path);
    INVARIANT(self->path);
    struct stat stat_now;
    bool is_there = stat(path, &stat_now) == 0;
    if (strcmp(path, "-") == 0)
        self->fd = dup(STDOUT_FILENO);
    else if (is_there && !S_ISREG(stat_now.st_mode))
        self->fd = open(path, O_WRONLY | O_CLOEXEC);
    else
        self->fd = make_beside(path, &self->temporary);
    if (self->fd < 0) {
        snprintf(why_r, why_size, "cannot be written: %s", strerror(errno));
        output_discard(&self);
        return NULL;
    }
    //  Room for all of it is had now or refused now; where the file system
    //  does not know how, it shows when it is written.
    if (self->temporary && size > 0 &&
        fallocate(self->fd, 0, 0, (off_t)size) != 0 && errno == ENOSPC) {
        snprintf(why_r, why_size, "cannot be written: %s", strerror(errno));
        output_discard(&self);
        return NULL;
    }
    self->size = size;
    return self;
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
    while (size > 0 && self->error == 0) {
        ssize_t wrote = write(self->fd, next, size);
        if (wrote < 0 && errno != EINTR)
            self->error = errno;
        if (wrote > 0) {
            next += wrote;
            size -= (size_t)wrote;
            self->written += (uint64_t)wrote;
        }
    }
    return self->error == 0;
}

bool
output_keep(output_t **self_p, char *why_r, size_t why_size)
{
    output_t *self = *self_p;
    if (self->error == 0 && self->temporary && self->written < self->size &&
        ftruncate(self->fd, (off_t)self->written) != 0)
        self->error = errno;
    //  A full disk may show only here.
    if (self->error == 0 && close(self->fd) != 0)
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
