/*  reporter - a cache's end of the conversation with the director
 *
 *  Invariants
 *    1. While its loop runs the director hears each keep_ms how the cache is,
 *       soon when it was not connected, and that it leaves when it is destroyed.
 *    2. (house 19) A Where that came to the cache's front is answered: by the
 *       director when it answers within REPORTER_WAIT_MS, else by the cache
 *       with its own group.
 *    3. (house 18) At most REPORTER_PASSED questions are passed on at a time;
 *       what is more is answered at once.
 */
#ifndef REPORTER_H
#define REPORTER_H

#include <czmq.h>

#include "director_core.h"
#include "frames.h"

#define REPORTER_WAIT_MS 500  //  Times the patience
#define REPORTER_PASSED 256

typedef struct reporter reporter_t;

typedef struct {
    //  Fill in how the cache is: sessions, out_bps, in_bps, window_bytes,
    //  window_ms, streams. The rest is the reporter's.
    void (*fill)(void *with, Rill__V1__Load *load);
    //  To whoever asked at the cache's front.
    void (*send)(void *with, const peer_t *peer, const message_t *message);
} reporter_events_t;

//  A reporter for a cache, which reports while `loop` runs. `incarnation` grows
//  with every start of the cache. Without a director in the settings it only
//  stands in for one. All but `events`, which is copied, is lent until destroy.
//  NULL: no descriptor or socket can be had.
reporter_t *reporter_new(zloop_t *loop, const settings_t *settings,
                         const settings_cache_t *cache, uint64_t incarnation,
                         const reporter_events_t *events, void *with);
void reporter_destroy(reporter_t **self_p);

//  Something came to the cache's front. False: it is not for the reporter.
bool reporter_on_front(reporter_t *self, const received_t *received);

#endif
