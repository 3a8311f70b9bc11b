#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "checksum.h"
#include "invariant.h"
#include "large.h"

enum {
    THREADS = 2,
    PAGE = 4096,
    BLOCK_BYTES = LARGE_PAGE,  //  About; a whole number of pieces
};

//  Memory of blocks, used again and again: the kernel gives and clears a block
//  once. It lives until its input is closed and all blocks are let go, which
//  others' threads do.
typedef struct spare {
    struct spare *next;
} spare_t;

typedef struct {
    pthread_mutex_t lock;
    size_t holders;  //  Its input, and blocks that are not spare
    spare_t *spare;  //  In the memory of one that is
} pool_t;

typedef struct {
    pool_t *pool;
    void *memory;
} lent_t;

typedef struct {
    buffer_t *bytes;  //  NULL: being read
    int error;        //  errno; 0 with fewer bytes than wanted: shorter
} block_t;

struct input {
    char *path;
    int fd;
    int direct;  //  The same file for direct I/O, or -1
    struct stat at_first;
    char failed[512];

    //  Set by input_begin, then constant.
    uint64_t from;  //  Of the first byte
    uint64_t base;  //  Blocks end at multiples of block_bytes from here
    uint32_t piece_bytes;
    uint32_t block_bytes;
    int ready;  //  eventfd
    pool_t *pool;
    pthread_t threads[THREADS];
    int threads_count;

    pthread_mutex_t lock;  //  Of what follows
    pthread_cond_t room;
    bool ending;
    uint64_t issued;              //  Blocks given to a thread
    uint64_t taken;               //  Blocks taken by the owner
    block_t blocks[INPUT_AHEAD];  //  Block n at n % INPUT_AHEAD

    //  The owner's.
    buffer_t *block;  //  Being cut into pieces
    size_t cut;       //  Bytes of it that are
    uint64_t offset;  //  Of the next piece
};

//  ---- memory

static pool_t *
pool_new(void)
{
    pool_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    pthread_mutex_init(&self->lock, NULL);
    self->holders = 1;
    return self;
}

static void *
pool_take(pool_t *self)
{
    pthread_mutex_lock(&self->lock);
    spare_t *spare = self->spare;
    if (spare)
        self->spare = spare->next;
    self->holders++;
    pthread_mutex_unlock(&self->lock);
    return spare ? spare : large_new(BLOCK_BYTES);
}

//  One holder less, which gives its memory back, or has none (NULL).
static void
pool_leave(pool_t *self, void *memory)
{
    pthread_mutex_lock(&self->lock);
    if (memory) {
        spare_t *spare = memory;
        spare->next = self->spare;
        self->spare = spare;
    }
    bool is_last = --self->holders == 0;
    pthread_mutex_unlock(&self->lock);
    if (!is_last)
        return;
    for (spare_t *next; self->spare; self->spare = next) {
        next = self->spare->next;
        free(self->spare);
    }
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static void
give_back(void *hint)
{
    lent_t *lent = hint;
    pool_leave(lent->pool, lent->memory);
    free(lent);
}

//  The first bytes of memory of the pool, as a buffer that gives it back.
static buffer_t *
lend(pool_t *pool, void *memory, size_t size)
{
    lent_t *lent = malloc(sizeof *lent);
    INVARIANT(lent);
    *lent = (lent_t){ pool, memory };
    return buffer_wrap(memory, size, give_back, lent);
}

//  ---- the file

static uint64_t
size_of(const input_t *self)
{
    return (uint64_t)self->at_first.st_size;
}

//  Where block `nth` begins; the last one ends with the file.
static uint64_t
block_from(const input_t *self, uint64_t nth)
{
    uint64_t skipped = (self->from - self->base) / self->block_bytes;
    uint64_t from = self->base + (skipped + nth) * self->block_bytes;
    if (from < self->from)
        from = self->from;
    return from < size_of(self) ? from : size_of(self);
}

input_t *
input_open(const char *path, char *why_r, size_t why_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0) {
        snprintf(why_r, why_size, "cannot be opened: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (!S_ISREG(stat.st_mode)) {
        snprintf(why_r, why_size, "%s",
                 S_ISDIR(stat.st_mode)
                     ? "is a directory; say which file in it"
                     : "is not a regular file; `rill push` takes a pipe");
        close(fd);
        return NULL;
    }
    input_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->path = strdup(path);
    INVARIANT(self->path);
    self->fd = fd;
    self->direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    self->at_first = stat;
    self->ready = -1;
    self->pool = pool_new();
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->room, NULL);
    return self;
}

void
input_close(input_t **self_p)
{
    input_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    pthread_mutex_lock(&self->lock);
    self->ending = true;
    pthread_cond_broadcast(&self->room);
    pthread_mutex_unlock(&self->lock);
    for (int i = 0; i < self->threads_count; i++)
        pthread_join(self->threads[i], NULL);
    for (int i = 0; i < INPUT_AHEAD; i++)
        buffer_unref(&self->blocks[i].bytes);
    buffer_unref(&self->block);
    pool_leave(self->pool, NULL);
    pthread_cond_destroy(&self->room);
    pthread_mutex_destroy(&self->lock);
    if (self->ready >= 0)
        close(self->ready);
    if (self->direct >= 0)
        close(self->direct);
    close(self->fd);
    free(self->path);
    free(self);
}

uint64_t
input_size(const input_t *self)
{
    return size_of(self);
}

static uint64_t
mix(uint64_t hash, const void *bytes, size_t size)
{
    //  FNV-1a, 64 bits.
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

uint64_t
input_token(const input_t *self)
{
    char *whole = realpath(self->path, NULL);
    const char *path = whole ? whole : self->path;
    const struct stat *stat = &self->at_first;
    int64_t facts[] = { stat->st_size, stat->st_mtim.tv_sec,
                        stat->st_mtim.tv_nsec };
    uint64_t hash = mix(0xcbf29ce484222325u, path, strlen(path));
    hash = mix(hash, facts, sizeof facts);
    free(whole);
    return hash ? hash : 1;
}

//  Whether a read there can go past the page cache.
static bool
is_aligned(const input_t *self, uint64_t from)
{
    return self->direct >= 0 && from % PAGE == 0 &&
           self->block_bytes % PAGE == 0;
}

//  Read [from, to); fewer bytes are an error, told by size.
static block_t
read_block(const input_t *self, uint64_t from, uint64_t to)
{
    size_t size = (size_t)(to - from), whole = (size + PAGE - 1) / PAGE * PAGE;
    uint8_t *fill = pool_take(self->pool);
    int error = 0;
    bool direct = is_aligned(self, from);
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread(direct ? self->direct : self->fd, fill + have,
                            direct ? whole - have : size - have,
                            (off_t)(from + have));
        if (got < 0 && errno == EINTR)
            continue;
        //  A file system may take the flag and not the reads.
        if (got < 0 && errno == EINVAL && direct) {
            direct = false;
            continue;
        }
        if (got < 0)
            error = errno;
        if (got <= 0)
            break;
        have += (size_t)got;
        direct = direct && have % PAGE == 0;
    }
    return (block_t){ lend(self->pool, fill, have < size ? have : size),
                      error };
}

static void
tell(const input_t *self)
{
    uint64_t one = 1;
    ssize_t wrote = write(self->ready, &one, sizeof one);
    INVARIANT(wrote == sizeof one);
}

static void *
read_ahead(void *with)
{
    input_t *self = with;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        uint64_t nth = self->issued, from = block_from(self, nth);
        if (self->ending || from == size_of(self))
            break;
        if (nth - self->taken >= INPUT_AHEAD) {
            pthread_cond_wait(&self->room, &self->lock);
            continue;
        }
        self->issued++;
        pthread_mutex_unlock(&self->lock);
        block_t block = read_block(self, from, block_from(self, nth + 1));
        pthread_mutex_lock(&self->lock);
        self->blocks[nth % INPUT_AHEAD] = block;
        tell(self);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

void
input_begin(input_t *self, uint64_t base, uint64_t from, uint32_t piece_bytes)
{
    INVARIANT(self->threads_count == 0 && piece_bytes > 0 && base <= from);
    if (piece_bytes > LIMIT_PIECE_BYTES)
        piece_bytes = LIMIT_PIECE_BYTES;
    self->base = base;
    self->from = self->offset = from;
    self->piece_bytes = piece_bytes;
    self->block_bytes = BLOCK_BYTES / piece_bytes * piece_bytes;
    self->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    INVARIANT(self->ready >= 0);
    for (; self->threads_count < THREADS; self->threads_count++) {
        pthread_t *thread = &self->threads[self->threads_count];
        int rc = pthread_create(thread, NULL, read_ahead, self);
        INVARIANT(rc == 0);
    }
}

static void
fail(input_t *self, const block_t *block)
{
    if (block->error)
        snprintf(self->failed, sizeof self->failed, "%s cannot be read: %s",
                 self->path, strerror(block->error));
    else
        snprintf(self->failed, sizeof self->failed,
                 "%s changed while it was read: it became shorter", self->path);
}

//  The next block into self->block. False: none is read yet, or it failed.
static bool
take_block(input_t *self)
{
    pthread_mutex_lock(&self->lock);
    uint64_t nth = self->taken;
    block_t *slot = &self->blocks[nth % INPUT_AHEAD], block = *slot;
    if (block.bytes) {
        slot->bytes = NULL;
        self->taken++;
        pthread_cond_signal(&self->room);
    }
    pthread_mutex_unlock(&self->lock);
    if (!block.bytes)
        return false;
    uint64_t wanted = block_from(self, nth + 1) - block_from(self, nth);
    if (buffer_size(block.bytes) < wanted) {
        fail(self, &block);
        buffer_unref(&block.bytes);
        return false;
    }
    self->block = block.bytes;
    self->cut = 0;
    return true;
}

buffer_t *
input_next(input_t *self)
{
    if (*self->failed || self->offset == size_of(self))
        return NULL;
    if (!self->block && !take_block(self)) {
        //  Nothing yet: let the descriptor tell of the next one.
        uint64_t count;
        if (!*self->failed && read(self->ready, &count, sizeof count) < 0)
            INVARIANT(errno == EAGAIN);
        //  One may have come before the descriptor was emptied.
        if (*self->failed || !take_block(self))
            return NULL;
    }
    uint64_t behind = (self->offset - self->base) % self->piece_bytes;
    size_t size = (size_t)(self->piece_bytes - behind);
    size_t left = buffer_size(self->block) - self->cut;
    if (size > left)
        size = left;
    buffer_t *piece = buffer_slice(self->block, self->cut, size);
    self->cut += size;
    self->offset += size;
    if (size == left)
        buffer_unref(&self->block);
    return piece;
}

int
input_fd(const input_t *self)
{
    return self->ready;
}

const char *
input_failed(const input_t *self)
{
    return *self->failed ? self->failed : NULL;
}

bool
input_changed(const input_t *self)
{
    struct stat now;
    const struct stat *then = &self->at_first;
    return fstat(self->fd, &now) != 0 || now.st_size != then->st_size ||
           now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != then->st_mtim.tv_nsec;
}

bool
input_crc(const input_t *self, uint64_t offset, uint32_t length,
          uint32_t *crc_r)
{
    static uint8_t part[64 * 1024];
    uint32_t crc = 0;
    while (length > 0) {
        size_t want = length < sizeof part ? length : sizeof part;
        ssize_t got = pread(self->fd, part, want, (off_t)offset);
        if (got <= 0)
            return false;
        crc = checksum_crc32c_more(crc, part, (size_t)got);
        offset += (uint64_t)got;
        length -= (uint32_t)got;
    }
    *crc_r = crc;
    return true;
}
