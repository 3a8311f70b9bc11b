#include "sessions.h"

#include "proof.h"

enum { LEASE = 8000 };

static peer_t
peer_of(int number)
{
    return (peer_t){ .size = 2,
                     .bytes = { (uint8_t)number, (uint8_t)(number >> 8) } };
}

static session_t *
open_one(sessions_t *sessions, int peer, uint64_t request, uint64_t credit,
         millis_t now)
{
    peer_t from = peer_of(peer);
    session_t *session = sessions_open(sessions, &from, request, credit, now);
    if (session) {
        session->stream = 1;
        session->begun = true;
    }
    return session;
}

static void
the_cursor_moves_by_what_was_sent(void)
{
    sessions_t *sessions = sessions_new(LEASE);
    session_t *session = open_one(sessions, 1, 1, 1000, 0);
    session->cursor = 500;
    session_sent(session, 700, 300);
    CHECK(session->cursor == 700 && session->sent == 300);
    session_sent(session, 600, 100);
    CHECK(session->cursor == 700 && session->sent == 400);
    session_sent(session, 900, 0);
    CHECK(session->cursor == 900 && session->sent == 400);
    sessions_destroy(&sessions);
}

static void
nothing_is_sent_without_credit(void)
{
    sessions_t *sessions = sessions_new(LEASE);
    session_t *session = open_one(sessions, 1, 1, 0, 0);
    CHECK(!session_may(session));
    sessions_keep(sessions, session, 1, 0);
    CHECK(session_may(session));
    session_sent(session, 5000, 5000);
    CHECK(!session_may(session));
    sessions_keep(sessions, session, 5000, 0);
    CHECK(!session_may(session));
    sessions_keep(sessions, session, 5001, 0);
    sessions_keep(sessions, session, 3, 0);  //  Never less than before
    CHECK(session_may(session));
    sessions_keep(sessions, session, UINT64_MAX, 0);
    CHECK(session->credit == 5000 + SESSIONS_CREDIT);
    session->begun = false;
    CHECK(!session_may(session));
    sessions_destroy(&sessions);
}

static size_t ended;

static void
count_end(void *with, session_t *session, millis_t now)
{
    (void)with, (void)now;
    CHECK(session->expires <= now);
    ended++;
}

static void
who_is_silent_is_over(void)
{
    ended = 0;
    sessions_t *sessions = sessions_new(LEASE);
    session_t *kept = open_one(sessions, 1, 1, 1, 0);
    open_one(sessions, 1, 2, 1, 0);
    sessions_keep(sessions, kept, 1, 4000);
    CHECK(sessions_due(sessions) <= LEASE);
    CHECK(sessions_sweep(sessions, count_end, NULL, LEASE - 1) == 0);
    CHECK(sessions_sweep(sessions, count_end, NULL, LEASE) == 1);
    peer_t peer = peer_of(1);
    CHECK(sessions_find(sessions, &peer, 1) == kept);
    CHECK(!sessions_find(sessions, &peer, 2));
    CHECK(sessions_sweep(sessions, count_end, NULL, 4000 + LEASE) == 1);
    CHECK(ended == 2);
    CHECK(sessions_count(sessions) == 0);
    CHECK(sessions_due(sessions) == MILLIS_NEVER);
    sessions_destroy(&sessions);
}

static void
count(void *with, session_t *session, millis_t now)
{
    (void)session, (void)now;
    ++*(size_t *)with;
}

static void
sessions_are_bounded(void)
{
    sessions_t *sessions = sessions_new(LEASE);
    for (int i = 0; i < LIMIT_ASKS_PER_PEER; i++)
        CHECK(open_one(sessions, 1, (uint64_t)i, 1, 0));
    CHECK(!open_one(sessions, 1, 1000, 1, 0));
    //  The same request begins anew: it is no more than it was.
    CHECK(open_one(sessions, 1, 5, 1, 0));
    CHECK(sessions_count(sessions) == LIMIT_ASKS_PER_PEER);
    for (int i = 2; sessions_count(sessions) < SESSIONS_MOST; i++)
        for (uint64_t n = 0; n < LIMIT_ASKS_PER_PEER; n++)
            CHECK(open_one(sessions, i, n, 1, 0));
    CHECK(!open_one(sessions, 9999, 1, 1, 0));
    size_t found = 0;
    sessions_each(sessions, 1, count, &found, 0);
    CHECK(found == SESSIONS_MOST);
    sessions_destroy(&sessions);
}

int
main(void)
{
    CASE(the_cursor_moves_by_what_was_sent,
         "sessions 1, invariant 12: a cursor moves by what was sent, never "
         "back");
    CASE(nothing_is_sent_without_credit,
         "sessions 2: without credit nothing is sent; one chunk may go beyond");
    CASE(who_is_silent_is_over, "sessions 3: who is silent is over");
    CASE(sessions_are_bounded,
         "sessions 4, invariant 18: sessions are bounded");
    return proof_end();
}
