/*  keeper - the disk of a cache's window: a chunk store in a thread of its own
 *
 *  Invariants
 *    1. Nothing here but keeper_destroy waits for the disk, whatever it does.
 *    2. (house 18) At most KEEPER_QUEUE_BYTES wait to be written, and
 *       KEEPER_QUEUE words for the disk; what comes then is not kept.
 *    3. (house 9) What is given back has the CRC that it was kept with.
 *    4. A disk that fails, or does not answer for KEEPER_HUNG_MS, is not asked
 *       again: all that was kept is lost, and that is told once. Not even
 *       keeper_destroy waits longer for an answer.
 *
 *  It begins empty: what a cache before it kept is removed, however long that
 *  takes, and nothing is kept until then. Chunks lie in the order they came,
 *  under numbers, and go whole segments at a time.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <czmq.h>

#include "buffer.h"
#include "files.h"
#include "millis.h"
#include "status.h"

#define KEEPER_QUEUE_BYTES ((size_t)16 * 1024 * 1024)
#define KEEPER_QUEUE 256
#define KEEPER_HUNG_MS 10000

typedef struct keeper keeper_t;

typedef struct {
    //  A chunk is not kept after all.
    void (*unkept)(void *with, uint64_t number, millis_t now);
    //  What was asked for. STATUS_OK: with its payload, lent.
    void (*recalled)(void *with, uint64_t number, status_t status,
                     buffer_t *payload, millis_t now);
    //  Nothing is kept or given back any more; a sentence says why.
    void (*lost)(void *with, const char *why, millis_t now);
    //  After each of these, and whatever else the disk answers; -1 ends the
    //  loop.
    int (*after)(void *with, millis_t now);
} keeper_events_t;

//  A keeper in a directory, made when absent, that takes at most so many bytes
//  of the disk. A disk that cannot be had is told as lost. `files` (NULL: the
//  real ones), loop, events and `with` are lent until destroy. The caller owns
//  it.
keeper_t *keeper_new(zloop_t *loop, const char *path, uint64_t bytes,
                     double patience, const files_t *files,
                     const keeper_events_t *events, void *with);
//  Waits until the disk has done what it was told. One that hangs is left
//  behind with its thread, and what it was lent: the process is to end.
void keeper_destroy(keeper_t **self_p);

//  How much of so many bytes of a disk can hold chunks.
uint64_t keeper_room(uint64_t bytes);

//  Keep a payload and its CRC32C under a number, higher than those before.
//  STATUS_BUSY: the queue is full, or the disk is not ready yet; STATUS_IO: it
//  is lost.
status_t keeper_keep(keeper_t *self, uint64_t number, buffer_t *payload,
                     uint32_t crc, millis_t now);
//  Read one back, answered by `recalled`. The same answers.
status_t keeper_recall(keeper_t *self, uint64_t number, millis_t now);
//  What has a lower number is not needed any more. The same answers.
status_t keeper_release(keeper_t *self, uint64_t first, millis_t now);

#endif
