#include "sink.h"

#include <string.h>

//  Who is asked now has given nothing so far.
static void
give_up(const sink_t *self, sink_tries_t *tries)
{
    double ms = sink_ms(tries->since, SINK_CLOCK(self, REQUEST));
    if (!tries->asked)
        return;
    bool is_longest = ms > tries->tried_ms;
    tries->others_ms += is_longest ? tries->tried_ms : ms;
    if (!is_longest)
        return;
    tries->tried = tries->asked;
    tries->tried_ms = ms;
}

void
sink_tries(const sink_t *self, sink_tries_t *tries, const char *node)
{
    if (!SINK_WANTS(self, REQUEST)) {
        *tries = (sink_tries_t){ .asked = NULL };
        return;
    }
    give_up(self, tries);
    tries->asked = node;
    tries->since = SINK_CLOCK(self, REQUEST);
}

void
sink_waited(const sink_t *self, sink_tries_t *tries, const char *node,
            micros_t since)
{
    if (tries->asked && tries->since <= since)
        return;  //  That one was waited for all the while
    sink_tries_t one = *tries;
    one.asked = node;
    one.since = since;
    sink_tries(self, &one, tries->asked);
    one.since = tries->since;
    *tries = one;
}

sink_source_t
sink_found(const sink_t *self, const sink_tries_t *tries, const char *node)
{
    sink_tries_t all = *tries;
    sink_source_t source = { .node = node, .tried = "" };
    if (all.asked && strcmp(all.asked, node) == 0)
        source.ms = sink_ms(all.since, SINK_CLOCK(self, REQUEST));
    else
        give_up(self, &all);
    if (all.tried && !source.ms && strcmp(all.tried, node) == 0)
        source.ms = all.tried_ms;  //  It was given up, and gave it after all
    else if (all.tried) {
        source.tried = all.tried;
        source.tried_ms = all.tried_ms;
    }
    source.others_ms = all.others_ms;
    return source;
}

void
sink_fault(const sink_t *self, status_t status, const char *where,
           const char *what, uint64_t trace)
{
    if (!SINK_WANTS(self, FAULT_COUNTED))
        return;
    Rill__V1__FaultCounted body = RILL__V1__FAULT_COUNTED__INIT;
    body.status = (Rill__V1__Status)status;
    body.where = message_lend(where);
    body.what = message_lend(what);
    event_t event = EVENT(FAULT_COUNTED, fault_counted, &body, trace, 0, "");
    sink_tell(self, &event);
}
