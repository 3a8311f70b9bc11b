#include "kv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim.h"
#include "invariant.h"

//  LevelDB begins a new log when its table in memory is over this.
enum { TABLE_BYTES = 4 * 1024 * 1024, WHY_BYTES = 256 };

typedef struct {
    kv_t kv;  //  First: a kv_t * of ours is a table_t *
    claim_t *claim;
    leveldb_cache_t *cache;
    leveldb_options_t *options;
    leveldb_readoptions_t *verified;
    leveldb_writeoptions_t *synced, *unsynced;
    leveldb_t *db;
    status_t failed;  //  What the first failed write met (kv 4)
    pthread_mutex_t lock;
    char why[WHY_BYTES];  //  Under lock: readers may be in other threads
} table_t;

//  Which status LevelDB's words mean; it has no numbers in its C face.
static status_t
status_of(const char *words)
{
    if (strstr(words, strerror(ENOSPC)) || strstr(words, strerror(EDQUOT)))
        return STATUS_FULL;
    if (strncmp(words, "Corruption", 10) == 0)
        return STATUS_CORRUPT;
    //  A tool that opened the table without a claim.
    return strstr(words, "/LOCK:") ? STATUS_TAKEN : STATUS_IO;
}

static status_t
note(table_t *self, status_t status, const char *words)
{
    pthread_mutex_lock(&self->lock);
    snprintf(self->why, sizeof(self->why), "%s", words);
    pthread_mutex_unlock(&self->lock);
    return status;
}

//  Take LevelDB's words, if any, as what went wrong.
static status_t
judge(table_t *self, char *words)
{
    if (!words)
        return STATUS_OK;
    status_t status = note(self, status_of(words), words);
    leveldb_free(words);
    return status;
}

//  The number of the newest log, or 0.
static unsigned long
newest_log(int directory)
{
    unsigned long newest = 0;
    DIR *list = fdopendir(openat(directory, ".", O_RDONLY | O_CLOEXEC));
    if (!list)
        return 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        unsigned long number;
        char rest[8];
        if (sscanf(entry->d_name, "%lu.%7s", &number, rest) == 2 &&
            strcmp(rest, "log") == 0 && number > newest)
            newest = number;
    }
    closedir(list);
    return newest;
}

//  LevelDB leaves its log unsynced when it begins the next one, so that a
//  power cut could take batches of the old log and keep some of the new, or
//  one that was synced there. When the next write may begin a new log, the one
//  that is full is made durable first (kv 2). The property counts both tables
//  in memory, so this comes a few times too often and never too late.
static status_t
keep_order(table_t *self)
{
    char *text = leveldb_property_value(self->db,
                                        "leveldb.approximate-memory-usage");
    INVARIANT(text);
    unsigned long used = strtoul(text, NULL, 10);
    leveldb_free(text);
    if (used <= TABLE_BYTES)
        return STATUS_OK;
    int directory = claim_directory(self->claim);
    char log[32];
    snprintf(log, sizeof(log), "%06lu.log", newest_log(directory));
    int fd = openat(directory, log, O_RDONLY | O_CLOEXEC);
    int rc = fd == -1 ? -1 : fdatasync(fd), reason = errno;
    if (fd != -1)
        close(fd);
    return rc == 0 ? STATUS_OK : note(self, STATUS_IO, strerror(reason));
}

//  A new log's entry in the directory is part of what must survive (kv 2).
static status_t
sync_directory(table_t *self)
{
    if (fsync(claim_directory(self->claim)) == 0)
        return STATUS_OK;
    return note(self, STATUS_IO, strerror(errno));
}

static status_t
apply(table_t *self, const kv_change_t *changes, size_t count, bool sync)
{
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    for (size_t i = 0; i < count; i++) {
        const kv_bytes_t *key = &changes[i].key, *value = &changes[i].value;
        if (value->bytes)
            leveldb_writebatch_put(batch, key->bytes, key->size, value->bytes,
                                   value->size);
        else
            leveldb_writebatch_delete(batch, key->bytes, key->size);
    }
    char *words = NULL;
    leveldb_write(self->db, sync ? self->synced : self->unsynced, batch,
                  &words);
    leveldb_writebatch_destroy(batch);
    return judge(self, words);
}

static status_t
table_write(kv_t *kv, const kv_change_t *changes, size_t count, bool sync)
{
    table_t *self = (table_t *)kv;
    if (self->failed != STATUS_OK)
        return self->failed;
    status_t status = keep_order(self);
    if (status == STATUS_OK)
        status = apply(self, changes, count, sync);
    if (status == STATUS_OK && sync)
        status = sync_directory(self);
    self->failed = status;
    return status;
}

static status_t
table_read(kv_t *kv, kv_bytes_t key, void **value_r, size_t *size_r)
{
    table_t *self = (table_t *)kv;
    char *words = NULL;
    size_t size = 0;
    char *value = leveldb_get(self->db, self->verified, key.bytes, key.size,
                              &size, &words);
    if (words)
        return judge(self, words);
    if (!value)
        return STATUS_ABSENT;
    *value_r = value;
    *size_r = size;
    return STATUS_OK;
}

static kv_bytes_t
iterator_key(const leveldb_iterator_t *at)
{
    kv_bytes_t key;
    key.bytes = leveldb_iter_key(at, &key.size);
    return key;
}

static bool
show(const leveldb_iterator_t *at, kv_each_fn *each, void *arg)
{
    kv_bytes_t value;
    value.bytes = leveldb_iter_value(at, &value.size);
    return each(arg, iterator_key(at), value);
}

static int
compare(kv_bytes_t a, kv_bytes_t b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least ? memcmp(a.bytes, b.bytes, least) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static status_t
end_walk(table_t *self, leveldb_iterator_t *at)
{
    char *words = NULL;
    leveldb_iter_get_error(at, &words);
    leveldb_iter_destroy(at);
    return judge(self, words);
}

static status_t
table_walk(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
           void *arg)
{
    table_t *self = (table_t *)kv;
    leveldb_iterator_t *at = leveldb_create_iterator(self->db, self->verified);
    for (leveldb_iter_seek(at, from.bytes, from.size);
         leveldb_iter_valid(at) &&
         (!to.bytes || compare(iterator_key(at), to) < 0) &&
         show(at, each, arg);
         leveldb_iter_next(at))
        ;
    return end_walk(self, at);
}

static status_t
table_walk_back(kv_t *kv, kv_bytes_t from, kv_bytes_t to, kv_each_fn *each,
                void *arg)
{
    table_t *self = (table_t *)kv;
    leveldb_iterator_t *at = leveldb_create_iterator(self->db, self->verified);
    if (to.bytes)
        leveldb_iter_seek(at, to.bytes, to.size);
    if (to.bytes && leveldb_iter_valid(at))
        leveldb_iter_prev(at);
    else
        leveldb_iter_seek_to_last(at);
    while (leveldb_iter_valid(at) && compare(iterator_key(at), from) >= 0 &&
           show(at, each, arg))
        leveldb_iter_prev(at);
    return end_walk(self, at);
}

static size_t
table_bytes(kv_t *kv)
{
    const table_t *self = (const table_t *)kv;
    int directory = claim_directory(self->claim);
    DIR *list = fdopendir(openat(directory, ".", O_RDONLY | O_CLOEXEC));
    if (!list)
        return 0;
    size_t bytes = 0;
    struct stat file;
    for (struct dirent *entry; (entry = readdir(list));)
        if (fstatat(directory, entry->d_name, &file, AT_SYMLINK_NOFOLLOW) ==
                0 &&
            S_ISREG(file.st_mode))
            bytes += (size_t)file.st_size;
    closedir(list);
    return bytes;
}

static void
table_why(kv_t *kv, char *why_r, size_t why_size)
{
    table_t *self = (table_t *)kv;
    pthread_mutex_lock(&self->lock);
    snprintf(why_r, why_size, "%s", self->why);
    pthread_mutex_unlock(&self->lock);
}

static void
table_close(kv_t *kv)
{
    table_t *self = (table_t *)kv;
    if (self->db)
        leveldb_close(self->db);
    leveldb_readoptions_destroy(self->verified);
    leveldb_writeoptions_destroy(self->synced);
    leveldb_writeoptions_destroy(self->unsynced);
    leveldb_options_destroy(self->options);
    leveldb_cache_destroy(self->cache);
    claim_release(&self->claim);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static table_t *
table_new(void)
{
    table_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->kv = (kv_t){ .write = table_write,
                       .read = table_read,
                       .walk = table_walk,
                       .walk_back = table_walk_back,
                       .bytes = table_bytes,
                       .why = table_why,
                       .close = table_close };
    pthread_mutex_init(&self->lock, NULL);
    //  No cache but the page cache: keep_order needs a memory usage without
    //  it, and what is read often here is small.
    self->cache = leveldb_cache_create_lru(0);
    self->options = leveldb_options_create();
    leveldb_options_set_cache(self->options, self->cache);
    leveldb_options_set_create_if_missing(self->options, 1);
    leveldb_options_set_paranoid_checks(self->options, 1);
    leveldb_options_set_write_buffer_size(self->options, TABLE_BYTES);
    self->verified = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(self->verified, 1);
    self->synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(self->synced, 1);
    self->unsynced = leveldb_writeoptions_create();
    return self;
}

static status_t
begin(table_t *self, const char *path)
{
    char *words = NULL;
    self->db = leveldb_open(self->options, path, &words);
    status_t status = judge(self, words);
    //  LevelDB renames CURRENT into place and leaves that to luck.
    return status == STATUS_OK ? sync_directory(self) : status;
}

status_t
kv_open(const char *path, kv_t **kv_r, char *why_r, size_t why_size)
{
    table_t *self = table_new();
    kv_t *kv = &self->kv;
    status_t status = claim_take(path, &self->claim, why_r, why_size);
    if (status == STATUS_OK) {
        status = begin(self, path);
        if (status == STATUS_OK) {
            *kv_r = kv;
            return STATUS_OK;
        }
        snprintf(why_r, why_size, "%s cannot be opened: %s", path, self->why);
    }
    kv_close(&kv);
    return status;
}

void
kv_close(kv_t **kv_p)
{
    kv_t *kv = *kv_p;
    *kv_p = NULL;
    if (kv)
        kv->close(kv);
}
