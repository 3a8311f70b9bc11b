#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "invariant.h"
#include "random.h"

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

//  One operation between submit and reap.
typedef struct operation {
    struct operation *next;  //  In `idle` or `ended`
    enum {
        DO_WRITE,
        DO_READ,
        DO_SYNC,
        DO_SYNC_NAMES,
        DO_PUNCH,
        DO_RESERVE,
        DO_REMOVE,
    } what;
    int handle;
    uint8_t *bytes;
    char *path;  //  Of a file to be removed
    size_t size;
    size_t done;  //  Of `size`, by earlier parts
    uint64_t offset;
    uint64_t token;
    int64_t result;
} operation_t;

typedef struct {
    files_t files;  //  First: what others hold
    struct io_uring ring;
    bool uring;
    bool buffered;  //  Some file did not take direct I/O
    int event;      //  eventfd: readable when something completed
    unsigned flying;
    unsigned depth;
    operation_t *operations;
    operation_t *idle;
    operation_t *ended, **ended_end;  //  Plain: done, not yet reaped
} system_t;

static system_t *
of(const files_t *files)
{
    return files->with;
}

//  ---------------------------------------------------------------------------
//  Opening

static int
system_open(const files_t *files, const char *path, bool create)
{
    int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0);
    int handle = open(path, flags | O_DIRECT, 0640);
    if (handle < 0 && errno == EINVAL) {
        of(files)->buffered = true;
        handle = open(path, flags, 0640);
    }
    return handle < 0 ? -errno : handle;
}

static int
system_open_directory(const files_t *files, const char *path)
{
    (void)files;
    int handle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return handle < 0 ? -errno : handle;
}

static void
system_close(const files_t *files, int handle)
{
    (void)files;
    close(handle);
}

//  ---------------------------------------------------------------------------
//  Operations

static operation_t *
take_operation(system_t *self)
{
    operation_t *operation = self->idle;
    if (operation)
        self->idle = operation->next;
    return operation;
}

//  Hand what is left of an operation to the ring.
static void
hand_over(system_t *self, operation_t *operation)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
    INVARIANT(sqe);  //  The ring has an entry for each operation
    uint8_t *bytes = operation->bytes + operation->done;
    unsigned size = (unsigned)(operation->size - operation->done);
    uint64_t offset = operation->offset + operation->done;
    if (operation->what == DO_WRITE)
        io_uring_prep_write(sqe, operation->handle, bytes, size, offset);
    else if (operation->what == DO_READ)
        io_uring_prep_read(sqe, operation->handle, bytes, size, offset);
    else if (operation->what == DO_SYNC)
        io_uring_prep_fsync(sqe, operation->handle, IORING_FSYNC_DATASYNC);
    else if (operation->what == DO_SYNC_NAMES)
        io_uring_prep_fsync(sqe, operation->handle, 0);
    else if (operation->what == DO_RESERVE)
        io_uring_prep_fallocate(sqe, operation->handle, 0, 0,
                                (off_t)operation->size);
    else if (operation->what == DO_REMOVE)
        io_uring_prep_unlinkat(sqe, AT_FDCWD, operation->path, 0);
    else
        io_uring_prep_fallocate(sqe, operation->handle, PUNCH,
                                (off_t)operation->offset,
                                (off_t)operation->size);
    io_uring_sqe_set_data(sqe, operation);
    while (io_uring_submit(&self->ring) == -EINTR)
        continue;
}

static int
reserve_space(int handle, uint64_t size)
{
    //  Without KEEP_SIZE: it costs less than half the CPU later.
    int rc = fallocate(handle, 0, 0, (off_t)size);
    if (rc < 0 && errno == EOPNOTSUPP)
        rc = ftruncate(handle, (off_t)size);
    return rc;
}

//  Do what is left of it with a call that waits; sets its result.
static void
do_plainly(operation_t *operation)
{
    ssize_t rc = 0;
    do {
        uint8_t *bytes = operation->bytes + operation->done;
        size_t size = operation->size - operation->done;
        off_t offset = (off_t)(operation->offset + operation->done);
        if (operation->what == DO_WRITE)
            rc = pwrite(operation->handle, bytes, size, offset);
        else if (operation->what == DO_READ)
            rc = pread(operation->handle, bytes, size, offset);
        else if (operation->what == DO_SYNC)
            rc = fdatasync(operation->handle);
        else if (operation->what == DO_SYNC_NAMES)
            rc = fsync(operation->handle);
        else if (operation->what == DO_RESERVE)
            rc = reserve_space(operation->handle, operation->size);
        else if (operation->what == DO_REMOVE)
            rc = unlink(operation->path);
        else
            rc = fallocate(operation->handle, PUNCH, offset, (off_t)size);
        if (rc > 0)
            operation->done += (size_t)rc;
    } while ((rc > 0 && operation->done < operation->size) ||
             (rc < 0 && errno == EINTR));
    operation->result = rc < 0 ? -errno : (int64_t)operation->done;
}

static void
do_now(system_t *self, operation_t *operation)
{
    do_plainly(operation);
    operation->next = NULL;
    *self->ended_end = operation;
    self->ended_end = &operation->next;
    eventfd_write(self->event, 1);
}

static int
start(system_t *self, operation_t form)
{
    operation_t *operation = take_operation(self);
    if (!operation)
        return -EAGAIN;
    *operation = form;
    if (form.path) {
        operation->path = strdup(form.path);
        INVARIANT(operation->path);
    }
    self->flying++;
    if (self->uring)
        hand_over(self, operation);
    else
        do_now(self, operation);
    return 0;
}

static int
system_write(const files_t *files, int handle, const void *bytes, size_t size,
             uint64_t offset, uint64_t token)
{
    operation_t form = { .what = DO_WRITE,
                         .handle = handle,
                         .size = size,
                         .offset = offset,
                         .token = token };
    //  Reads and writes share `bytes`; a write only reads them.
    memcpy(&form.bytes, &bytes, sizeof(bytes));
    return start(of(files), form);
}

static int
system_read(const files_t *files, int handle, void *bytes, size_t size,
            uint64_t offset, uint64_t token)
{
    return start(of(files), (operation_t){ .what = DO_READ,
                                           .handle = handle,
                                           .bytes = bytes,
                                           .size = size,
                                           .offset = offset,
                                           .token = token });
}

static int
system_sync(const files_t *files, int handle, uint64_t token)
{
    return start(of(files), (operation_t){
                                .what = DO_SYNC,
                                .handle = handle,
                                .token = token,
                            });
}

static int
system_punch(const files_t *files, int handle, uint64_t offset, uint64_t size,
             uint64_t token)
{
    return start(of(files), (operation_t){
                                .what = DO_PUNCH,
                                .handle = handle,
                                .size = size,
                                .offset = offset,
                                .token = token,
                            });
}

static int
system_reserve(const files_t *files, int handle, uint64_t size, uint64_t token)
{
    return start(of(files), (operation_t){
                                .what = DO_RESERVE,
                                .handle = handle,
                                .size = size,
                                .token = token,
                            });
}

static int
system_remove(const files_t *files, const char *path, uint64_t token)
{
    operation_t form = { .what = DO_REMOVE, .handle = -1, .token = token };
    //  Only copied, and read.
    memcpy(&form.path, &path, sizeof(path));
    return start(of(files), form);
}

static int
system_sync_names(const files_t *files, int handle, uint64_t token)
{
    return start(of(files), (operation_t){
                                .what = DO_SYNC_NAMES,
                                .handle = handle,
                                .token = token,
                            });
}

//  ---------------------------------------------------------------------------
//  Completions

static void
give_back(system_t *self, operation_t *operation)
{
    free(operation->path);
    operation->next = self->idle;
    self->idle = operation;
    self->flying--;
}

//  Whether the operation has ended; a part that came short goes on.
static bool
ended(system_t *self, operation_t *operation, int rc)
{
    if (rc > 0)
        operation->done += (size_t)rc;
    bool again = rc == -EINTR || rc == -EAGAIN;
    bool more = rc > 0 && operation->done < operation->size;
    if (again || more) {
        hand_over(self, operation);
        return false;
    }
    operation->result = rc < 0 ? rc : (int64_t)operation->done;
    //  A file system without it, or a kernel.
    if ((operation->what == DO_RESERVE && rc == -EOPNOTSUPP) ||
        (operation->what == DO_REMOVE && rc == -EINVAL))
        do_plainly(operation);
    return true;
}

//  The next operation that has ended, or NULL.
static operation_t *
next_ended(system_t *self)
{
    if (!self->uring) {
        operation_t *operation = self->ended;
        if (operation)
            self->ended = operation->next;
        if (!self->ended)
            self->ended_end = &self->ended;
        return operation;
    }
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&self->ring, &cqe) == 0) {
        operation_t *operation = io_uring_cqe_get_data(cqe);
        int rc = cqe->res;
        io_uring_cqe_seen(&self->ring, cqe);
        if (ended(self, operation, rc))
            return operation;
    }
    return NULL;
}

static size_t
system_reap(const files_t *files, files_done_t *done, size_t most, bool wait)
{
    system_t *self = of(files);
    eventfd_t told;
    //  Cleared first: what completes from here on tells again.
    (void)eventfd_read(self->event, &told);
    size_t count = 0;
    while (count < most) {
        operation_t *operation = next_ended(self);
        if (operation) {
            done[count++] = (files_done_t){ operation->token,
                                            operation->result };
            give_back(self, operation);
            continue;
        }
        if (count > 0 || !wait || self->flying == 0)
            return count;
        struct io_uring_cqe *cqe;
        (void)io_uring_wait_cqe(&self->ring, &cqe);
    }
    //  There may be more than the caller had room for.
    eventfd_write(self->event, 1);
    return count;
}

static int
system_fd(const files_t *files)
{
    return of(files)->event;
}

//  ---------------------------------------------------------------------------
//  Small files and directories

static int
write_whole(int handle, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t rc = write(handle, bytes, size);
        if (rc < 0 && errno != EINTR)
            return -errno;
        if (rc > 0) {
            bytes += rc;
            size -= (size_t)rc;
        }
    }
    return 0;
}

static int
system_read_small(const files_t *files, const char *path, void *bytes,
                  size_t size)
{
    (void)files;
    int handle = open(path, O_RDONLY | O_CLOEXEC);
    if (handle < 0)
        return -errno;
    ssize_t rc = pread(handle, bytes, size, 0);
    int answer = rc < 0 ? -errno : (int)rc;
    close(handle);
    return answer;
}

static int
system_sync_directory(const files_t *files, const char *path)
{
    (void)files;
    int handle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0)
        return -errno;
    int answer = fsync(handle) < 0 ? -errno : 0;
    close(handle);
    return answer;
}

static int
system_write_small(const files_t *files, const char *path, const void *bytes,
                   size_t size)
{
    char fresh[4096], folder[4096];
    if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
        return -ENAMETOOLONG;
    int handle = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (handle < 0)
        return -errno;
    int rc = write_whole(handle, bytes, size);
    if (rc == 0 && fsync(handle) < 0)
        rc = -errno;
    close(handle);
    if (rc == 0 && rename(fresh, path) < 0)
        rc = -errno;
    if (rc < 0)
        return rc;
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    return system_sync_directory(files, slash ? folder : ".");
}

static int
system_rename(const files_t *files, const char *from, const char *to)
{
    (void)files;
    return rename(from, to) < 0 ? -errno : 0;
}

static int
system_unlink(const files_t *files, const char *path)
{
    (void)files;
    return remove(path) < 0 ? -errno : 0;
}

static int
system_make_directory(const files_t *files, const char *path)
{
    (void)files;
    return mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

static int
system_list(const files_t *files, const char *path,
            void (*each)(void *arg, const char *name), void *arg)
{
    (void)files;
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    errno = 0;
    for (struct dirent *found; (found = readdir(directory));)
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            each(arg, found->d_name);
    int answer = -errno;
    closedir(directory);
    return answer;
}

static int64_t
system_free_bytes(const files_t *files, const char *path)
{
    (void)files;
    struct statvfs stat;
    if (statvfs(path, &stat) < 0)
        return -errno;
    return (int64_t)stat.f_bavail * (int64_t)stat.f_frsize;
}

static status_t
system_claim(const files_t *files, const char *path, claim_t **claim_r,
             char *why_r, size_t why_size)
{
    (void)files;
    return claim_take(path, claim_r, why_r, why_size);
}

static uint64_t
system_random(const files_t *files)
{
    (void)files;
    return random_u64();
}

//  ---------------------------------------------------------------------------
//  Life

static const files_t TABLE = {
    .open = system_open,
    .open_directory = system_open_directory,
    .close = system_close,
    .write = system_write,
    .read = system_read,
    .sync = system_sync,
    .reserve = system_reserve,
    .remove = system_remove,
    .sync_names = system_sync_names,
    .reap = system_reap,
    .fd = system_fd,
    .read_small = system_read_small,
    .write_small = system_write_small,
    .rename = system_rename,
    .unlink = system_unlink,
    .make_directory = system_make_directory,
    .sync_directory = system_sync_directory,
    .list = system_list,
    .punch = system_punch,
    .free_bytes = system_free_bytes,
    .claim = system_claim,
    .random = system_random,
};

static bool
start_ring(system_t *self)
{
    if (io_uring_queue_init(self->depth, &self->ring, 0) < 0)
        return false;
    if (io_uring_register_eventfd(&self->ring, self->event) == 0)
        return true;
    io_uring_queue_exit(&self->ring);
    return false;
}

files_t *
files_system_new(unsigned depth, bool plain)
{
    INVARIANT(depth > 0);
    system_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->files = TABLE;
    self->files.with = self;
    self->depth = depth;
    self->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->operations = calloc(depth, sizeof(*self->operations));
    INVARIANT(self->operations);
    if (self->event < 0) {
        free(self->operations);
        free(self);
        return NULL;
    }
    for (unsigned i = 0; i < depth; i++) {
        self->operations[i].next = self->idle;
        self->idle = &self->operations[i];
    }
    self->ended_end = &self->ended;
    self->uring = !plain && start_ring(self);
    return &self->files;
}

void
files_system_destroy(files_t **files_p)
{
    if (!*files_p)
        return;
    system_t *self = of(*files_p);
    INVARIANT(self->flying == 0);
    if (self->uring)
        io_uring_queue_exit(&self->ring);
    close(self->event);
    free(self->operations);
    free(self);
    *files_p = NULL;
}

const char *
files_system_kind(const files_t *files)
{
    return of(files)->uring ? "io_uring" : "plain";
}

bool
files_system_direct(const files_t *files)
{
    return !of(files)->buffered;
}
