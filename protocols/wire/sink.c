#include "sink.h"

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
