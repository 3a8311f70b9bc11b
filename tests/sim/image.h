/*  image - the catalogue's disk: one table behind as many kv_t as are open
 *
 *  A forwarder and the one it replaced may both have it open: what fences them
 *  is the term, not a lock. A cut throws away batches that were not synced.
 *
 *  Invariants
 *    1. kv 1 to 3.
 *    2. image_durable shows what a power cut now would leave at least.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include "dice.h"
#include "kv.h"

typedef struct image image_t;

image_t *image_new(void);
void image_destroy(image_t **self_p);

//  Asked before each batch; what is not STATUS_OK is its answer, and nothing
//  is written. `wrote` is told after each.
typedef struct {
    status_t (*may)(void *with, bool sync);
    void (*wrote)(void *with);
} image_gate_t;

//  Open it once more; the caller closes it with kv_close. `gate` is lent.
kv_t *image_open(image_t *self, const image_gate_t *gate, void *with);

//  A power cut: of the batches that were not synced a seeded number stays.
void image_cut(image_t *self, dice_t *dice);

//  All of it is gone; or what an older copy of it had is there again.
void image_lose(image_t *self);
void image_restore(image_t *self, const image_t *copy);

//  From now on a sync that is asked for is only said, never done: the lie of
//  a disk that the checker must find.
void image_lie(image_t *self);

//  A new image holding what would survive a power cut now.
image_t *image_durable(const image_t *self);

//  Grows with every batch that became durable.
uint64_t image_version(const image_t *self);

#endif
