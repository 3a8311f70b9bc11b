#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "invariant.h"
#include "large.h"

enum { THREADS = 2, PAGE = 4096, BLOCK_BYTES = 1024 * 1024 };

struct spool {
    int fd;
    uint64_t size;     //  Had from the file system
    uint64_t written;  //  By the owner
    uint8_t *memory;   //  SPOOL_BLOCKS blocks; block n at n % SPOOL_BLOCKS
    pthread_t threads[THREADS];
    int threads_count;

    pthread_mutex_t lock;  //  Of what follows
    pthread_cond_t news;
    uint64_t filled;  //  Blocks that are to be written
    uint64_t begun;   //  Of those, taken by a thread
    uint64_t last;    //  Bytes of the last block; set when it ends
    bool is_written[SPOOL_BLOCKS];
    uint64_t free;  //  Blocks below it are written
    bool ending;
    int error;
};

static uint8_t *
block_at(const spool_t *self, uint64_t nth)
{
    return self->memory + nth % SPOOL_BLOCKS * BLOCK_BYTES;
}

//  Write a block of whole pages. 0, or errno.
static int
write_block(const spool_t *self, uint64_t nth, size_t size)
{
    const uint8_t *from = block_at(self, nth);
    off_t at = (off_t)(nth * BLOCK_BYTES);
    while (size > 0) {
        ssize_t wrote = pwrite(self->fd, from, size, at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? errno : EIO;
        from += wrote;
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

static void *
write_out(void *with)
{
    spool_t *self = with;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        if (self->begun == self->filled) {
            if (self->ending)
                break;
            pthread_cond_wait(&self->news, &self->lock);
            continue;
        }
        uint64_t nth = self->begun++;
        bool is_last = self->ending && self->begun == self->filled;
        size_t size = is_last ? self->last : BLOCK_BYTES;
        pthread_mutex_unlock(&self->lock);
        int error = write_block(self, nth, size);
        pthread_mutex_lock(&self->lock);
        if (error && !self->error)
            self->error = error;
        self->is_written[nth % SPOOL_BLOCKS] = true;
        while (self->free < self->begun &&
               self->is_written[self->free % SPOOL_BLOCKS])
            self->is_written[self->free++ % SPOOL_BLOCKS] = false;
        pthread_cond_broadcast(&self->news);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

spool_t *
spool_new(const char *path, uint64_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_DIRECT);
    if (fd < 0 && errno == EINVAL)
        fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    //  Room is had now or refused now; a file system that does not know how
    //  tells when it is written.
    if (size > 0 && fallocate(fd, 0, 0, (off_t)size) != 0 && errno == ENOSPC) {
        close(fd);
        errno = ENOSPC;
        return NULL;
    }
    spool_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->fd = fd;
    self->size = size;
    self->memory = large_new((size_t)SPOOL_BLOCKS * BLOCK_BYTES);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->news, NULL);
    for (; self->threads_count < THREADS; self->threads_count++) {
        pthread_t *thread = &self->threads[self->threads_count];
        int rc = pthread_create(thread, NULL, write_out, self);
        INVARIANT(rc == 0);
    }
    return self;
}

//  Let the threads write what is filled, and end.
static void
join(spool_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->ending = true;
    pthread_cond_broadcast(&self->news);
    pthread_mutex_unlock(&self->lock);
    while (self->threads_count > 0)
        pthread_join(self->threads[--self->threads_count], NULL);
}

void
spool_destroy(spool_t **self_p)
{
    spool_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->last = BLOCK_BYTES;
    join(self);
    close(self->fd);
    pthread_cond_destroy(&self->news);
    pthread_mutex_destroy(&self->lock);
    free(self->memory);
    free(self);
}

//  Wait until the block that is filled next may be. 0, or errno.
static int
wait_free(spool_t *self)
{
    pthread_mutex_lock(&self->lock);
    while (self->filled - self->free == SPOOL_BLOCKS)
        pthread_cond_wait(&self->news, &self->lock);
    int error = self->error;
    pthread_mutex_unlock(&self->lock);
    return error;
}

static void
give(spool_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->filled++;
    pthread_cond_broadcast(&self->news);
    pthread_mutex_unlock(&self->lock);
}

int
spool_write(spool_t *self, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        size_t at = self->written % BLOCK_BYTES;
        int error = at == 0 ? wait_free(self) : 0;
        if (error)
            return error;
        size_t part = BLOCK_BYTES - at < size ? BLOCK_BYTES - at : size;
        large_copy(block_at(self, self->written / BLOCK_BYTES) + at, from,
                   part);
        self->written += part;
        from += part;
        size -= part;
        if (self->written % BLOCK_BYTES == 0)
            give(self);
    }
    return 0;
}

int
spool_end(spool_t *self)
{
    size_t rest = self->written % BLOCK_BYTES;
    size_t whole = (rest + PAGE - 1) / PAGE * PAGE;
    self->last = BLOCK_BYTES;
    if (rest > 0) {
        uint8_t *block = block_at(self, self->written / BLOCK_BYTES);
        memset(block + rest, 0, whole - rest);
        //  In one step with the end: no thread takes it for a whole block.
        pthread_mutex_lock(&self->lock);
        self->last = whole;
        self->filled++;
        self->ending = true;
        pthread_mutex_unlock(&self->lock);
    }
    join(self);
    if (self->error == 0 && (self->written != self->size || whole != rest) &&
        ftruncate(self->fd, (off_t)self->written) != 0)
        self->error = errno;
    return self->error;
}
