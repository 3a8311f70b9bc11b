/*  grants - which child carries a stream for its group, as its parent says
 *
 *  Invariants
 *    1. (house 14) While a holder's grant is valid another of its group gets
 *       one only if it accuses every valid holder.
 *    2. A grant ends with its lease, without its holder's help, and with the
 *       incarnation that it was given to.
 *    3. (house 18) At most GRANTS_MOST are valid.
 *
 *  The parent is the place of truth: every copy that enters a group leaves
 *  through one. live.md 10.
 */
#ifndef GRANTS_H
#define GRANTS_H

#include "message.h"
#include "millis.h"
#include "peer.h"

#define GRANTS_MOST 65536
#define GRANTS_LEASE_MS 2000

typedef struct grants grants_t;

//  Who keeps. Strings are lent.
typedef struct {
    const char *node;
    const char *group;
    uint64_t incarnation;
    const peer_t *peer;
} grants_child_t;

typedef struct {
    uint64_t number;  //  Newer ones have higher ones
    uint64_t topic;   //  Random
    uint64_t incarnation;
    uint64_t next;   //  Its holder has the bytes below
    uint64_t begin;  //  What is published from here on is published to it
    millis_t expires;
    peer_t peer;
    char node[LIMIT_NAME_BYTES + 1];
    char group[LIMIT_NAME_BYTES + 1];
} grant_t;

typedef enum { GRANTS_GRANT, GRANTS_TAKEN, GRANTS_BUSY } grants_answer_t;

grants_t *grants_new(millis_t lease_ms);
void grants_destroy(grants_t **self_p);

//  A child wants a stream, not from the `accused`; a grant is one of what comes
//  from `begin` on. GRANTS_GRANT: `*grant_r` is
//  its grant, made under `topic` or renewed, `*other_r` the newest other one if
//  that is newer, else NULL. GRANTS_TAKEN: `*other_r` has it. GRANTS_BUSY: too
//  many. What is pointed to is lent until the next call.
grants_answer_t grants_keep(grants_t *self, uint64_t stream,
                            const grants_child_t *child, uint64_t next,
                            uint64_t begin, char **accused,
                            size_t accused_count, uint64_t topic, millis_t now,
                            const grant_t **grant_r, const grant_t **other_r);

//  A child's list ended: every grant of its that was not kept under this list
//  is over. grants_list begins one, grants_listed ends it.
void grants_list(grants_t *self);
void grants_listed(grants_t *self, const grants_child_t *child);

//  A stream is gone, or its node does not serve it any more.
void grants_forget(grants_t *self, uint64_t stream);

//  Every valid grant of a stream: for each is called; it may not change them.
typedef void grants_fn(void *with, uint64_t stream, const grant_t *grant);
void grants_each(const grants_t *self, uint64_t stream, grants_fn *each,
                 void *with);

//  Who of a group is published the byte at an offset, itself and the accused
//  aside; NULL: nobody.
const char *grants_holder(const grants_t *self, uint64_t stream,
                          const char *group, const char *node, uint64_t offset,
                          char **accused, size_t accused_count, millis_t now);

//  Valid grants of a stream, and in all.
size_t grants_of(const grants_t *self, uint64_t stream);
size_t grants_count(const grants_t *self);

//  End what expired.
millis_t grants_due(const grants_t *self);
void grants_sweep(grants_t *self, millis_t now);

#endif
