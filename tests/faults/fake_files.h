/*  fake_files - a disk in memory behind files.h, with everything that disks do
 *
 *  Operations end in an order that the seed chooses. A write is there for
 *  readers when it ended and survives a power cut when a sync was submitted
 *  after its end was reaped, and that sync ended well; a cut takes any subset
 *  of the other pages, and tears what was in flight. Names survive in the
 *  order they were made, up to some point after the last sync_directory.
 */
#ifndef FAKE_FILES_H
#define FAKE_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "files.h"

typedef struct fake_files fake_files_t;

//  A disk of `capacity` bytes.
fake_files_t *fake_files_new(uint64_t seed, uint64_t capacity);
void fake_files_destroy(fake_files_t **self_p);

//  What a store is given; lives as long as the disk.
const files_t *fake_files_table(fake_files_t *self);

//  The `nth` call from now (1: the next) fails with -`error`, and, `for_ever`,
//  all after it; 0 forgets it. A write that fails may have written some pages.
void fake_files_fail_at(fake_files_t *self, uint64_t nth, int error,
                        bool for_ever);
//  Whether that has happened.
bool fake_files_failed(const fake_files_t *self);

//  Every removal in the background fails with -`error`; 0: none does any more.
void fake_files_fail_removals(fake_files_t *self, int error);
//  The same of syncs of names.
void fake_files_fail_names(fake_files_t *self, int error);
//  How many removals were asked for so far.
uint64_t fake_files_removals(const fake_files_t *self);

//  The power goes before the `nth` call from now that changes the disk (a
//  write, a sync, a rename ...): it and all after it fail. `died` is told.
void fake_files_die_at(fake_files_t *self, uint64_t nth,
                       void (*died)(void *arg), void *arg);
bool fake_files_dead(const fake_files_t *self);

//  The power comes back after a cut now: some of what was not durable is lost,
//  by the seed: a subset of the pages, all of them or none. Handles and
//  operations are forgotten.
void fake_files_cut(fake_files_t *self, uint64_t seed);

//  What cuts and crashes did to this disk so far, and the call before which it
//  died last ("write", "sync", "rename" ...; NULL: between two calls).
typedef struct {
    const char *before;
    uint64_t pages_lost, pages_kept;  //  Of those that were not durable
    uint64_t pages_torn;
    uint64_t names_lost;  //  Changes of names
} fake_files_toll_t;
fake_files_toll_t fake_files_toll(const fake_files_t *self);

//  The process alone died: what was in flight may or may not have happened,
//  nothing else is lost, and nothing more is durable.
void fake_files_crash(fake_files_t *self, uint64_t seed);

//  The bytes of a file as they are, to be damaged; NULL: no such file.
uint8_t *fake_files_bytes(fake_files_t *self, const char *path,
                          uint64_t *size_r);

//  Bytes that files take: allocated, less what was punched.
uint64_t fake_files_taken(const fake_files_t *self);

//  How many files had lost their names when they were closed last: the caller
//  of such a close waits while their blocks are given back.
uint64_t fake_files_freed_by_close(const fake_files_t *self);

//  How often `path` or, of a directory, anything in it was written: groups,
//  headers, footers.
uint64_t fake_files_writes(const fake_files_t *self);

#endif
