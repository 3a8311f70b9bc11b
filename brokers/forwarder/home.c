#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "catalogue.h"
#include "invariant.h"

enum { PATH_BYTES = 4096, LINE_BYTES = 128 };

#define FORM "rill-forwarder %u cluster=%016" PRIx64 " term=%" PRIu64 "\n"

typedef struct {
    bool there;
    unsigned version;
    uint64_t cluster;
    uint64_t term;
} identity_t;

static bool
path_of(char path[PATH_BYTES], const char *data, const char *name)
{
    return snprintf(path, PATH_BYTES, "%s/%s", data, name) < PATH_BYTES;
}

static status_t
failed(const char *path, const char *deed, char *why_r, size_t why_size)
{
    status_t status = errno == ENOSPC || errno == EDQUOT ? STATUS_FULL
                                                         : STATUS_IO;
    snprintf(why_r, why_size, "%s cannot be %s: %s", path, deed,
             strerror(errno));
    return status;
}

static status_t
read_identity(const char *path, identity_t *identity, char *why_r,
              size_t why_size)
{
    char line[LINE_BYTES] = "", again[LINE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1 && errno == ENOENT)
        return STATUS_OK;
    ssize_t size = fd == -1 ? -1 : read(fd, line, sizeof line - 1);
    if (size == -1) {
        status_t status = failed(path, "read", why_r, why_size);
        if (fd != -1)
            close(fd);
        return status;
    }
    close(fd);
    identity->there = true;
    if (sscanf(line, "rill-forwarder %u", &identity->version) == 1 &&
        identity->version != HOME_VERSION) {
        snprintf(why_r, why_size,
                 "%s is of version %u and this program knows version %u: start "
                 "the program that wrote it",
                 path, identity->version, HOME_VERSION);
        return STATUS_VERSION;
    }
    if (sscanf(line, "rill-forwarder %u cluster=%" SCNx64 " term=%" SCNu64,
               &identity->version, &identity->cluster, &identity->term) == 3) {
        snprintf(again, sizeof again, FORM, identity->version,
                 identity->cluster, identity->term);
        if (strcmp(line, again) == 0)
            return STATUS_OK;
    }
    snprintf(why_r, why_size, "%s is damaged", path);
    return STATUS_CORRUPT;
}

static status_t
set_aside(const char *path, char *why_r, size_t why_size)
{
    char aside[PATH_BYTES + 32];
    if (access(path, F_OK) == -1)
        return STATUS_OK;
    for (long long second = (long long)time(NULL);; second++) {
        snprintf(aside, sizeof aside, "%s.before-%lld", path, second);
        if (access(aside, F_OK) == -1)
            break;
    }
    if (rename(path, aside) == -1)
        return failed(path, "renamed", why_r, why_size);
    return STATUS_OK;
}

//  LevelDB makes a new table where CURRENT is missing, and deletes the rest.
static bool
is_there(const char *catalogue)
{
    char path[PATH_BYTES];
    return path_of(path, catalogue, "CURRENT") && access(path, F_OK) == 0;
}

//  The catalogue against what was written of it.
static status_t
compare(kv_t *kv, const identity_t *identity, const char *path, char *why_r,
        size_t why_size)
{
    uint64_t cluster, term;
    status_t status = catalogue_peek(kv, &cluster, &term);
    if (status != STATUS_OK) {
        snprintf(why_r, why_size, "%s: its first entry: %s", path,
                 status_text(status));
        return status;
    }
    if (!identity->there ||
        (cluster == identity->cluster && term >= identity->term))
        return STATUS_OK;
    if (cluster && cluster != identity->cluster)
        snprintf(why_r, why_size,
                 "%s is of cluster %016" PRIx64
                 ", the directory of %016" PRIx64,
                 path, cluster, identity->cluster);
    else
        snprintf(why_r, why_size,
                 "%s is cut or an older copy: it ends in term %" PRIu64
                 ", and there was a term %" PRIu64,
                 path, term, identity->term);
    return STATUS_CORRUPT;
}

void
home_advise(status_t status, char *why, size_t why_size)
{
    size_t used = strlen(why);
    if ((status == STATUS_CORRUPT || status == STATUS_VERSION) &&
        !strstr(why, "--rebuild"))
        snprintf(why + used, why_size - used,
                 "; start it once with --rebuild, which makes the catalogue "
                 "again from the workers and keeps the old one beside it");
}

status_t
home_open(const char *data, bool rebuild, kv_t **kv_r, char *why_r,
          size_t why_size)
{
    char path[PATH_BYTES], catalogue[PATH_BYTES];
    identity_t identity = { .there = false };
    if (!path_of(path, data, "identity") ||
        !path_of(catalogue, data, "catalogue")) {
        snprintf(why_r, why_size, "%s is too long a path", data);
        return STATUS_SETTING;
    }
    status_t status = read_identity(path, &identity, why_r, why_size);
    if (status == STATUS_VERSION)
        return status;
    if (rebuild) {
        status = set_aside(catalogue, why_r, why_size);
        return status == STATUS_OK ? kv_open(catalogue, kv_r, why_r, why_size)
                                   : status;
    }
    if (status == STATUS_OK && identity.there && !is_there(catalogue)) {
        snprintf(why_r, why_size,
                 "the catalogue %s of cluster %016" PRIx64
                 " is gone: put it back",
                 catalogue, identity.cluster);
        status = STATUS_CORRUPT;
    }
    if (status == STATUS_OK)
        status = kv_open(catalogue, kv_r, why_r, why_size);
    if (status == STATUS_OK) {
        status = compare(*kv_r, &identity, catalogue, why_r, why_size);
        if (status != STATUS_OK)
            kv_close(kv_r);
    }
    home_advise(status, why_r, why_size);
    return status;
}

static bool
write_durably(int directory, const char *line)
{
    int fd = openat(directory, "identity.new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd == -1)
        return false;
    size_t size = strlen(line);
    bool written = write(fd, line, size) == (ssize_t)size && fsync(fd) == 0;
    int reason = errno;
    close(fd);
    errno = reason;
    return written &&
           renameat(directory, "identity.new", directory, "identity") == 0 &&
           fsync(directory) == 0;
}

status_t
home_record(const char *data, uint64_t cluster, uint64_t term, char *why_r,
            size_t why_size)
{
    char line[LINE_BYTES];
    snprintf(line, sizeof line, FORM, HOME_VERSION, cluster, term);
    int directory = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    status_t status = STATUS_OK;
    if (directory == -1 || !write_durably(directory, line))
        status = failed(data, "written to", why_r, why_size);
    if (directory != -1)
        close(directory);
    return status;
}
