#include "census.h"

#include <stdlib.h>

#include "invariant.h"

typedef struct {
    bool lives;
    census_load_t load;
    uint64_t sent;  //  Since its last report
    millis_t expires;
} entry_t;

struct census {
    millis_t lease_ms;
    size_t count;
    entry_t *entries;
};

census_t *
census_new(size_t caches, millis_t lease_ms)
{
    census_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->lease_ms = lease_ms;
    self->count = caches;
    self->entries = calloc(caches + 1, sizeof(*self->entries));
    INVARIANT(self->entries);
    return self;
}

void
census_destroy(census_t **self_p)
{
    if (*self_p)
        free((*self_p)->entries);
    free(*self_p);
    *self_p = NULL;
}

static entry_t *
find(const census_t *self, size_t cache)
{
    INVARIANT(cache < self->count);
    return &self->entries[cache];
}

census_news_t
census_report(census_t *self, size_t cache, const census_load_t *load,
              millis_t now)
{
    entry_t *entry = find(self, cache);
    bool same = load->incarnation == entry->load.incarnation;
    if (entry->lives && (load->incarnation < entry->load.incarnation ||
                         (same && load->seq <= entry->load.seq)))
        return CENSUS_OLD;
    census_news_t news = entry->lives && same ? CENSUS_KNOWN : CENSUS_CAME;
    *entry = (entry_t){ .lives = true,
                        .load = *load,
                        .expires = now + self->lease_ms };
    return news;
}

bool
census_leave(census_t *self, size_t cache, uint64_t incarnation)
{
    entry_t *entry = find(self, cache);
    if (!entry->lives || incarnation < entry->load.incarnation)
        return false;
    *entry = (entry_t){ .lives = false };
    return true;
}

void
census_send(census_t *self, size_t cache)
{
    find(self, cache)->sent++;
}

bool
census_lives(const census_t *self, size_t cache)
{
    return find(self, cache)->lives;
}

size_t
census_count(const census_t *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->entries[i].lives;
    return count;
}

uint64_t
census_sessions(const census_t *self, size_t cache)
{
    const entry_t *entry = find(self, cache);
    return entry->load.sessions + entry->sent;
}

uint64_t
census_out_bps(const census_t *self, size_t cache)
{
    return find(self, cache)->load.out_bps;
}

millis_t
census_due(const census_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (size_t i = 0; i < self->count; i++)
        if (self->entries[i].lives)
            due = millis_least(due, self->entries[i].expires);
    return due;
}

int
census_sweep(census_t *self, millis_t now)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->entries[i].lives && self->entries[i].expires <= now) {
            self->entries[i] = (entry_t){ .lives = false };
            return (int)i;
        }
    return -1;
}
