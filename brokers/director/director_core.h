/*  director_core - tells terminals which cache to ask
 *
 *  Invariants
 *    1. (house 19) Every question is answered at once.
 *    2. Only caches that live are offered, at the addresses of the cluster
 *       file: nobody sends a terminal elsewhere by what he says.
 *    3. (house 18) Memory depends on the cluster file alone.
 *    4. A director that has just begun offers nobody before the caches had
 *       the time to report, unless one has.
 *
 *  live.md 21. Events in, effects out. It knows nothing that it does not hear
 *  again within a second: it may be killed and started as one likes.
 */
#ifndef DIRECTOR_CORE_H
#define DIRECTOR_CORE_H

#include "counters.h"
#include "message.h"
#include "millis.h"
#include "peer.h"
#include "settings.h"
#include "sink.h"

#define DIRECTOR_KEEP_MS 1000   //  Between two reports
#define DIRECTOR_LEASE_MS 3000  //  Of a cache; times the patience
#define DIRECTOR_PLACES 64      //  In one offer

typedef struct director_core director_core_t;

typedef struct {
    //  To whoever asked. Best effort.
    void (*send)(void *with, const peer_t *peer, const message_t *message);
    //  An event for the log: its name and key=value.
    void (*note)(void *with, const char *text);
} director_effects_t;

//  Settings, the sink (NULL: none) and `with` are lent until destroy; effects
//  are copied.
director_core_t *director_core_new(const settings_t *settings,
                                   const sink_t *sink,
                                   const director_effects_t *effects,
                                   void *with, millis_t now);
void director_core_destroy(director_core_t **self_p);

//  A message came to the front from `address`, in figures ("": it is not
//  known).
void director_core_on_front(director_core_t *self, const peer_t *peer,
                            const char *address, const message_t *message,
                            millis_t now);

//  What came is no message; the peer is told, if it is known.
void director_core_on_bad(director_core_t *self, const peer_t *peer,
                          uint64_t request, status_t status);

//  NULL: it offers what there is. Else why not yet, as a sentence.
const char *director_core_unready(const director_core_t *self, millis_t now);

//  What it counts and how it is, added to `to`.
void director_core_count(const director_core_t *self, counters_t *to);

millis_t director_core_due(const director_core_t *self);
void director_core_sweep(director_core_t *self, millis_t now);

//  What a cache answers for a director that is away: itself and its siblings.
//  `send` as above.
void director_core_stand_in(const settings_t *settings,
                            const settings_cache_t *cache,
                            const director_effects_t *effects, void *with,
                            const peer_t *peer, const message_t *where,
                            const char *address);

#endif
