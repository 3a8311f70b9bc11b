/*  sessions - who watches: where each is, what it may still get, until when
 *
 *  Invariants
 *    1. (house 12) What a session is sent begins at its cursor, and the cursor
 *       moves by what was sent or skipped, never back.
 *    2. Nothing is sent without credit; one chunk may go beyond it.
 *    3. A session that is not renewed for SESSIONS_LEASE_MS is over.
 *    4. (house 18) At most SESSIONS_MOST sessions, LIMIT_ASKS_PER_PEER of one
 *       peer, SESSIONS_CREDIT bytes ahead of what was sent.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include "message.h"
#include "millis.h"
#include "peer.h"

#define SESSIONS_MOST 16384
#define SESSIONS_LEASE_MS 8000
#define SESSIONS_CREDIT (8 * 1024 * 1024)

typedef struct sessions sessions_t;

typedef enum {
    START_LIVE,
    START_FIRST,
    START_OFFSET,
    START_TIME,
    START_BACK,
} session_start_t;

typedef struct {
    uint64_t number;  //  Of all that were opened
    peer_t peer;
    uint64_t request, trace;  //  Of its Watch
    uint64_t stream;          //  0: not known yet
    session_start_t start;
    uint64_t place;   //  Of the start: an offset, a time, a span
    bool begun;       //  Its cursor is known and it was told
    uint64_t cursor;  //  Sent up to here
    uint64_t sent;    //  Bytes of payload, all told
    uint64_t credit;  //  That may be
    bool stalled;     //  It was told that there is more, and no credit
    bool gone;        //  Nobody hears it any more
    millis_t expires;
} session_t;

sessions_t *sessions_new(millis_t lease_ms);
void sessions_destroy(sessions_t **self_p);

//  A peer watches under a request; what it watched under it before is over.
//  NULL: too many.
session_t *sessions_open(sessions_t *self, const peer_t *peer, uint64_t request,
                         uint64_t credit, millis_t now);
session_t *sessions_find(const sessions_t *self, const peer_t *peer,
                         uint64_t request);
void sessions_close(sessions_t *self, session_t *session);

//  It is still there and may get so many bytes in all.
void sessions_keep(sessions_t *self, session_t *session, uint64_t credit,
                   millis_t now);

//  Its peer is gone: its lease is over.
void sessions_lose(sessions_t *self, session_t *session, millis_t now);

//  Whether the next chunk may be sent; it was.
bool session_may(const session_t *session);
void session_sent(session_t *session, uint64_t upto, size_t bytes);

//  Sessions of a stream in the order they came (0: of none yet): `each` may
//  close the one it is called with, and open none.
typedef void sessions_fn(void *with, session_t *session, millis_t now);
void sessions_each(sessions_t *self, uint64_t stream, sessions_fn *each,
                   void *with, millis_t now);

size_t sessions_count(const sessions_t *self);
//  Of those that began, how many are out of credit.
size_t sessions_stalled(const sessions_t *self);

//  Close those whose lease is over, each after `ends`; returns how many.
millis_t sessions_due(const sessions_t *self);
size_t sessions_sweep(sessions_t *self, sessions_fn *ends, void *with,
                      millis_t now);

#endif
