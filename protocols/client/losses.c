#include "losses.h"

//  What is missing up to, not including, `seq`; the one behind it is next.
static uint64_t
missing(losses_t *self, size_t kind, uint64_t seq)
{
    uint64_t next = self->next[kind];
    bool began_anew = next && seq < next;
    self->next[kind] = seq;
    if (!next)
        return 0;
    return began_anew ? seq - 1 : seq - next;
}

uint64_t
losses_heard(losses_t *self, size_t kind, uint64_t seq)
{
    if (kind >= EVENTS_KINDS_MOST || seq == 0 || seq == UINT64_MAX)
        return 0;  //  No number that a node gives
    uint64_t lost = missing(self, kind, seq);
    self->next[kind] = seq + 1;
    return lost;
}

uint64_t
losses_told(losses_t *self, size_t kind, uint64_t seq)
{
    if (kind >= EVENTS_KINDS_MOST || seq == UINT64_MAX)
        return 0;
    return missing(self, kind, seq + 1);
}
