#include "tally.h"

void
tally_came(counters_t *to, status_t status, bool ours)
{
    counters_up(to, COUNTER_messages_received_total);
    if (status == STATUS_OK) {
        counters_up(to, ours ? COUNTER_messages_total_taken
                             : COUNTER_messages_total_refused);
        return;
    }
    counters_up(to, COUNTER_messages_total_unreadable);
    if (status == STATUS_TOO_LARGE)
        counters_up(to, COUNTER_messages_unreadable_total_too_large);
    else if (status == STATUS_VERSION)
        counters_up(to, COUNTER_messages_unreadable_total_version);
}

void
tally_sent(counters_t *to, status_t status, bool lent)
{
    if (status == STATUS_BUSY && lent)
        counters_up(to, COUNTER_answers_busy_total);
    else if (status != STATUS_OK)
        counters_up(to, COUNTER_answers_unsent_total);
}

void
tally_bus(counters_t *to, const bus_t *bus)
{
    bus_counts_t counts = bus_counts(bus);
    to->values[COUNTER_packets_sent_total] += counts.said;
    to->values[COUNTER_packets_dropped_total_strange] += counts.strange;
    to->values[COUNTER_packets_dropped_total_overflow] += counts.overflow;
}
