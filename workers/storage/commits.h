/*  commits - what a worker took, until it is durable and its receipt is sent
 *
 *  Invariants
 *    1. A key waits once, however often it was taken (house 7).
 *    2. A receipt is owed only for a key that waited (house 6).
 *    3. Owed receipts leave in the order in which they came to be owed.
 *
 *  Pure: a set of keys that wait for the disk, and a queue of words owed to
 *  the forwarder.
 */
#ifndef COMMITS_H
#define COMMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "chunk.h"
#include "millis.h"
#include "status.h"

typedef struct commits commits_t;

//  A word owed: the key is on disk (STATUS_OK), or never will be.
typedef struct {
    chunk_key_t key;
    status_t status;
} commit_t;

commits_t *commits_new(void);
void commits_destroy(commits_t **self_p);

//  When a key was taken: by the event's clock, and by one that is finer while
//  somebody wants to know (else 0).
typedef struct {
    millis_t at;
    micros_t us;
} commit_taken_t;

//  The key waits for the disk. False: it waited already.
bool commits_add(commits_t *self, chunk_key_t key, commit_taken_t taken);

//  It waits no longer, and was taken then. False: it did not wait.
bool commits_remove(commits_t *self, chunk_key_t key, commit_taken_t *taken_r);

//  How many keys wait for the disk.
size_t commits_waiting(const commits_t *self);

//  A word about the key is owed.
void commits_owe(commits_t *self, chunk_key_t key, status_t status);

//  How many words are owed.
size_t commits_owed(const commits_t *self);

//  The words owed longest, `count` of them at most commits_owed; lent until
//  the next call that changes anything. NULL when none is owed.
const commit_t *commits_first(const commits_t *self);

//  The first `count` words are said (or will never be).
void commits_said(commits_t *self, size_t count);

#endif
