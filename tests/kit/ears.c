#include "ears.h"

#include <stdio.h>
#include <stdlib.h>

#include "proof.h"

//  As it goes over the wire.
static void
tell(void *with, event_t *event)
{
    ears_t *self = with;
    event_kind_t kind = event->what_case;
    uint8_t bytes[4096];
    CHECK(self->sink.wanted >> kind & 1);
    CHECK(rill__v1__event__get_packed_size(event) <= sizeof bytes);
    size_t size = rill__v1__event__pack(event, bytes);
    if (self->last[kind])
        rill__v1__event__free_unpacked(self->last[kind], NULL);
    self->last[kind] = rill__v1__event__unpack(NULL, size, bytes);
    CHECK(self->last[kind]);
    self->told[kind]++;
    self->all++;
}

static void
sourced(void *with, const peer_t *asker, uint64_t request,
        const sink_source_t *source)
{
    ears_t *self = with;
    (void)asker, (void)request;
    self->sourced++;
    self->joined = source->joined;
    snprintf(self->source, sizeof self->source, "%s", source->node);
    snprintf(self->tried, sizeof self->tried, "%s", source->tried);
    self->source_ms = source->ms;
    self->tried_ms = source->tried_ms;
    self->others_ms = source->others_ms;
}

static micros_t
clock_us(void *with)
{
    ears_t *self = with;
    return (micros_t)++self->clocks * 1000;
}

void
ears_begin(ears_t *self)
{
    *self = (ears_t){ .sink = { .at = "tcp://h:3",
                                .with = self,
                                .tell = tell,
                                .sourced = sourced,
                                .clock_us = clock_us } };
}

void
ears_end(ears_t *self)
{
    for (size_t i = 0; i < sizeof self->last / sizeof *self->last; i++)
        if (self->last[i])
            rill__v1__event__free_unpacked(self->last[i], NULL);
    ears_begin(self);
}

void
ears_open(ears_t *self)
{
    self->sink.wanted = UINT64_MAX;
}

const event_t *
ears_last(const ears_t *self, event_kind_t kind, unsigned count)
{
    CHECK(self->told[kind] == count);
    return self->last[kind];
}
