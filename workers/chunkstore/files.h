/*  files - what the chunk store asks of the system, behind a table
 *
 *  Production gives it io_uring with several operations in flight
 *  (files_system), or plain pread, pwrite and fdatasync where io_uring is not
 *  allowed; tests give it a disk in memory that fails the n-th call, tears
 *  writes, and at a cut drops a seeded subset of what was not synced.
 *
 *  Invariants
 *    1. Operations complete in any order; a sync vouches only for writes whose
 *       completion was reaped before it was submitted.
 *    2. Changes of names are durable after sync_directory returned, or
 *       sync_names that was submitted after them ended.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "claim.h"
#include "status.h"

#define FILES_ALIGNMENT 4096  //  Of memory, offset and size of direct I/O

typedef struct files files_t;

//  A completed operation.
typedef struct {
    uint64_t token;
    int64_t result;  //  Bytes done, or -errno
} files_done_t;

struct files {
    void *with;
    //  Open for direct I/O; `create` also makes or empties it. A handle >= 0,
    //  or -errno.
    int (*open)(const files_t *self, const char *path, bool create);
    //  A handle for sync_names and close, or -errno.
    int (*open_directory)(const files_t *self, const char *path);
    void (*close)(const files_t *self, int handle);
    //  Submit; -EAGAIN when too many are in flight, else 0 or -errno. Memory,
    //  size and offset keep FILES_ALIGNMENT and the memory stays until the
    //  operation was reaped. Fewer bytes done than asked: the file ends (read)
    //  or the disk is full (write).
    int (*write)(const files_t *self, int handle, const void *bytes,
                 size_t size, uint64_t offset, uint64_t token);
    int (*read)(const files_t *self, int handle, void *bytes, size_t size,
                uint64_t offset, uint64_t token);
    int (*sync)(const files_t *self, int handle, uint64_t token);
    //  Give an empty file `size` bytes of its own (-ENOSPC when it cannot).
    int (*reserve)(const files_t *self, int handle, uint64_t size,
                   uint64_t token);
    //  Give a range of whole pages back to the file system.
    int (*punch)(const files_t *self, int handle, uint64_t offset,
                 uint64_t size, uint64_t token);
    //  Unlink a file: giving back its blocks takes long.
    int (*remove)(const files_t *self, const char *path, uint64_t token);
    //  Sync the names in a directory of open_directory.
    int (*sync_names)(const files_t *self, int handle, uint64_t token);
    //  Take up to `most` completions without waiting, or, with `wait`, waiting
    //  for at least one when any is in flight. How many.
    size_t (*reap)(const files_t *self, files_done_t *done, size_t most,
                   bool wait);
    //  A descriptor readable when reap has something.
    int (*fd)(const files_t *self);
    //  Blocking, for small files and directories: 0 or -errno.
    int (*read_small)(const files_t *self, const char *path, void *bytes,
                      size_t size);  //  Bytes read, or -errno
    //  Replace `path` whole and durably (new file, sync, rename, sync of the
    //  directory).
    int (*write_small)(const files_t *self, const char *path, const void *bytes,
                       size_t size);
    //  Blocking, of files and directories: 0 or -errno.
    int (*rename)(const files_t *self, const char *from, const char *to);
    //  Also an empty directory.
    int (*unlink)(const files_t *self, const char *path);
    int (*make_directory)(const files_t *self, const char *path);
    int (*sync_directory)(const files_t *self, const char *path);
    //  Names in a directory, one call each.
    int (*list)(const files_t *self, const char *path,
                void (*each)(void *arg, const char *name), void *arg);
    //  Bytes free for us on the file system that holds `path`, or -errno.
    int64_t (*free_bytes)(const files_t *self, const char *path);
    //  Make `path` and its parents durably when absent and hold it against
    //  other processes: claim_take's answers.
    status_t (*claim)(const files_t *self, const char *path, claim_t **claim_r,
                      char *why_r, size_t why_size);
    //  64 bits of chance, for ids and nonces; never 0.
    uint64_t (*random)(const files_t *self);
};

//  The real ones: io_uring of `depth` operations in flight, or plain calls
//  that block where the kernel does not allow it (or `plain` says so). NULL:
//  the process has no descriptor left.
files_t *files_system_new(unsigned depth, bool plain);
void files_system_destroy(files_t **files_p);

//  "io_uring" or "plain": what files_system_new found. Lives for ever.
const char *files_system_kind(const files_t *files);

//  Whether every file opened so far took direct I/O; some file systems do not,
//  and are then written through the page cache.
bool files_system_direct(const files_t *files);

#endif
