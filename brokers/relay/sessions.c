#include "sessions.h"

#include <czmq.h>

typedef struct entry {
    session_t session;  //  Is its first member
    struct entry *before, *behind;
} entry_t;

struct sessions {
    zhashx_t *table;  //  entry_t by peer and request
    entry_t *first, *last;
    millis_t lease_ms;
    millis_t due;  //  Not later than the earliest end
    uint64_t opened;
};

static size_t
hash(const void *key)
{
    const session_t *of = key;
    uint64_t sum = of->request * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < of->peer.size; i++)
        sum = (sum ^ of->peer.bytes[i]) * 0x100000001b3;
    return (size_t)(sum ^ sum >> 29);
}

static int
compare(const void *a_, const void *b_)
{
    const session_t *a = a_, *b = b_;
    return !(a->request == b->request && peer_equal(&a->peer, &b->peer));
}

sessions_t *
sessions_new(millis_t lease_ms)
{
    sessions_t *self = zmalloc(sizeof *self);
    self->table = zhashx_new();
    zhashx_set_key_hasher(self->table, hash);
    zhashx_set_key_comparator(self->table, compare);
    zhashx_set_key_duplicator(self->table, NULL);
    zhashx_set_key_destructor(self->table, NULL);
    self->lease_ms = lease_ms;
    self->due = MILLIS_NEVER;
    return self;
}

void
sessions_destroy(sessions_t **self_p)
{
    sessions_t *self = *self_p;
    if (!self)
        return;
    while (self->first)
        sessions_close(self, &self->first->session);
    zhashx_destroy(&self->table);
    free(self);
    *self_p = NULL;
}

session_t *
sessions_find(const sessions_t *self, const peer_t *peer, uint64_t request)
{
    session_t key = { .peer = *peer, .request = request };
    return zhashx_lookup(self->table, &key);
}

static size_t
count_of(const sessions_t *self, const peer_t *peer)
{
    size_t count = 0;
    for (entry_t *entry = self->first; entry; entry = entry->behind)
        count += peer_equal(&entry->session.peer, peer);
    return count;
}

session_t *
sessions_open(sessions_t *self, const peer_t *peer, uint64_t request,
              uint64_t credit, millis_t now)
{
    session_t *session = sessions_find(self, peer, request);
    if (session)
        sessions_close(self, session);
    if (zhashx_size(self->table) >= SESSIONS_MOST ||
        count_of(self, peer) >= LIMIT_ASKS_PER_PEER)
        return NULL;
    entry_t *entry = zmalloc(sizeof *entry);
    session = &entry->session;
    session->number = ++self->opened;
    session->peer = *peer;
    session->request = request;
    entry->before = self->last;
    *(self->last ? &self->last->behind : &self->first) = entry;
    self->last = entry;
    zhashx_insert(self->table, session, entry);
    sessions_keep(self, session, credit, now);
    return session;
}

void
sessions_close(sessions_t *self, session_t *session)
{
    entry_t *entry = (entry_t *)session;
    zhashx_delete(self->table, session);
    *(entry->before ? &entry->before->behind : &self->first) = entry->behind;
    *(entry->behind ? &entry->behind->before : &self->last) = entry->before;
    free(entry);
}

void
sessions_keep(sessions_t *self, session_t *session, uint64_t credit,
              millis_t now)
{
    if (session->gone)
        return;
    uint64_t most = session->sent + SESSIONS_CREDIT;
    credit = credit < most ? credit : most;
    if (credit > session->credit)
        session->credit = credit;
    session->expires = now + self->lease_ms;
    self->due = millis_least(self->due, session->expires);
}

void
sessions_lose(sessions_t *self, session_t *session, millis_t now)
{
    session->gone = true;
    session->expires = self->due = now;
}

bool
session_may(const session_t *session)
{
    return session->begun && !session->gone && session->sent < session->credit;
}

void
session_sent(session_t *session, uint64_t upto, size_t bytes)
{
    if (upto > session->cursor)
        session->cursor = upto;
    session->sent += bytes;
}

void
sessions_each(sessions_t *self, uint64_t stream, sessions_fn *each, void *with,
              millis_t now)
{
    for (entry_t *entry = self->first, *behind; entry; entry = behind) {
        behind = entry->behind;
        if (entry->session.stream == stream)
            each(with, &entry->session, now);
    }
}

size_t
sessions_count(const sessions_t *self)
{
    return zhashx_size(self->table);
}

size_t
sessions_stalled(const sessions_t *self)
{
    size_t count = 0;
    for (const entry_t *entry = self->first; entry; entry = entry->behind)
        count += entry->session.begun && !session_may(&entry->session);
    return count;
}

millis_t
sessions_due(const sessions_t *self)
{
    return self->due;
}

size_t
sessions_sweep(sessions_t *self, sessions_fn *ends, void *with, millis_t now)
{
    size_t ended = 0;
    if (self->due > now)
        return 0;
    self->due = MILLIS_NEVER;
    for (entry_t *entry = self->first, *behind; entry; entry = behind) {
        behind = entry->behind;
        if (entry->session.expires > now) {
            self->due = millis_least(self->due, entry->session.expires);
            continue;
        }
        ends(with, &entry->session, now);
        sessions_close(self, &entry->session);
        ended++;
    }
    return ended;
}
