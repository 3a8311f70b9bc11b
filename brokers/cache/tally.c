#include "tally.h"

void
tally_came(tally_t *self, status_t status, bool ours)
{
    self->in++;
    if (status == STATUS_OK) {
        *(ours ? &self->taken : &self->refused) += 1;
        return;
    }
    self->unreadable++;
    self->too_large += status == STATUS_TOO_LARGE;
    self->versions += status == STATUS_VERSION;
}

void
tally_sent(tally_t *self, status_t status, bool lent)
{
    if (status == STATUS_BUSY && lent)
        self->busy++;
    else if (status != STATUS_OK)
        self->unsent++;
}

size_t
tally_tell(const tally_t *self, const bus_counts_t *bus,
           Rill__V1__Counter *counters_r, size_t most)
{
    const struct {
        const char *name;
        uint64_t value;
    } counted[] = {
        { "messages_in", self->in },
        { "messages_taken", self->taken },
        { "messages_refused", self->refused },
        { "messages_unreadable", self->unreadable },
        { "unreadable_too_large", self->too_large },
        { "unreadable_versions", self->versions },
        { "answers_unsent", self->unsent },
        { "answers_busy", self->busy },
        { "sockets_flooded", self->flooded },
        { "packets_said", bus->said },
        { "packets_strange", bus->strange },
        { "packets_overflown", bus->overflow },
    };
    size_t count = sizeof counted / sizeof *counted;
    count = count < most ? count : most;
    for (size_t i = 0; i < count; i++) {
        rill__v1__counter__init(&counters_r[i]);
        counters_r[i].name = message_lend(counted[i].name);
        counters_r[i].value = counted[i].value;
    }
    return count;
}
