#include "monitor.h"

struct monitor {
    metrics_place_t place;
    metrics_t *metrics;
    tap_t *tap;
};

static void
sample(void *with)
{
    monitor_t *self = with;
    const metrics_place_t *place = &self->place;
    counters_t counters = { 0 };
    counters_told_t told;
    place->count(place->with, &counters);
    counters_tell(&counters, place->role, &told);
    tap_sample(self->tap, !place->unready(place->with), told.list, told.count);
}

status_t
monitor_new(zloop_t *loop, const monitor_place_t *place, monitor_t **self_r,
            tap_t **tap_r, char *why_r, size_t why_size)
{
    monitor_t *self = zmalloc(sizeof *self);
    self->place = place->metrics;
    status_t status = metrics_new(loop, &self->place, &self->metrics, why_r,
                                  why_size);
    if (status == STATUS_OK) {
        tap_place_t tap = { settings_role(place->metrics.role), place->node,
                            place->at, place->reach,
                            metrics_at(self->metrics) };
        status = tap_new(loop, &tap, sample, self, &self->tap);
        if (status != STATUS_OK)
            snprintf(why_r, why_size, "no socket for events beside %s: %s",
                     place->at, status_text(status));
    }
    if (status == STATUS_OK) {
        *self_r = self;
        *tap_r = self->tap;
    } else
        monitor_destroy(&self);
    return status;
}

void
monitor_destroy(monitor_t **self_p)
{
    monitor_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    metrics_destroy(&self->metrics);
    tap_destroy(&self->tap);
    free(self);
}
