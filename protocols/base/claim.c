#include "claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "invariant.h"

struct claim {
    int directory;
    int file;  //  Open and locked as long as the claim stands
};

static status_t
system_status(void)
{
    return errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
}

static status_t
refuse(const char *path, const char *deed, char *why_r, size_t why_size)
{
    status_t status = system_status();
    snprintf(why_r, why_size, "%s cannot be %s: %s", path, deed,
             strerror(errno));
    return status;
}

//  Make the entry of `path` in its parent durable.
static int
sync_entry(const char *path)
{
    char *parent = NULL;
    INVARIANT(asprintf(&parent, "%s/..", path) > 0);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    if (fd == -1)
        return -1;
    int rc = fsync(fd), reason = errno;
    close(fd);
    errno = reason;
    return rc;
}

static int
make_one(const char *path)
{
    if (mkdir(path, 0777) == -1)
        return errno == EEXIST ? 0 : -1;
    return sync_entry(path);
}

static int
make_all(const char *path)
{
    char *part = strdup(path);
    INVARIANT(part);
    int rc = 0;
    for (char *slash = strchr(part + (*part == '/'), '/'); slash && rc == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        rc = make_one(part);
        *slash = '/';
    }
    int reason = errno;
    free(part);
    errno = reason;
    if (rc == -1 || (rc = mkdir(path, 0777)) == 0)
        return rc == -1 ? -1 : sync_entry(path);
    if (errno != EEXIST)
        return -1;
    //  Whoever made it may have died before the sync; a parent that is not
    //  ours to read was not made by us.
    (void)sync_entry(path);
    return 0;
}

//  Say who holds the claim, from what the holder wrote into the file. It may
//  be just about to write it, so nothing is taken for granted.
static status_t
tell_holder(const claim_t *self, const char *path, char *why_r, size_t why_size)
{
    char text[64] = "";
    ssize_t size = pread(self->file, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = 0;
    long pid = 0;
    char program[32] = "";
    if (sscanf(text, "%ld %31[A-Za-z0-9._-]", &pid, program) == 2)
        snprintf(why_r, why_size,
                 "%s is held by process %ld (%s); stop it or choose another "
                 "directory",
                 path, pid, program);
    else
        snprintf(why_r, why_size,
                 "%s is held by another process that is just starting; stop "
                 "it or choose another directory",
                 path);
    return STATUS_TAKEN;
}

static status_t
lock(claim_t *self, const char *path, char *why_r, size_t why_size)
{
    self->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->directory == -1)
        return refuse(path, "opened", why_r, why_size);
    self->file = openat(self->directory, CLAIM_FILE,
                        O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (self->file == -1)
        return refuse(path, "written to", why_r, why_size);
    if (flock(self->file, LOCK_EX | LOCK_NB) == -1) {
        if (errno == EWOULDBLOCK)
            return tell_holder(self, path, why_r, why_size);
        return refuse(path, "locked", why_r, why_size);
    }
    char text[64];
    int size = snprintf(text, sizeof(text), "%ld %.31s\n", (long)getpid(),
                        program_invocation_short_name);
    if (ftruncate(self->file, 0) == -1 ||
        pwrite(self->file, text, (size_t)size, 0) != size)
        return refuse(path, "written to", why_r, why_size);
    return STATUS_OK;
}

status_t
claim_take(const char *directory, claim_t **claim_r, char *why_r,
           size_t why_size)
{
    if (make_all(directory) == -1)
        return refuse(directory, "made", why_r, why_size);
    claim_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->directory = self->file = -1;
    status_t status = lock(self, directory, why_r, why_size);
    if (status == STATUS_OK)
        *claim_r = self;
    else
        claim_release(&self);
    return status;
}

void
claim_release(claim_t **claim_p)
{
    claim_t *self = *claim_p;
    *claim_p = NULL;
    if (!self)
        return;
    if (self->file != -1)
        close(self->file);
    if (self->directory != -1)
        close(self->directory);
    free(self);
}

int
claim_directory(const claim_t *self)
{
    return self->directory;
}
