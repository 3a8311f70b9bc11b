#include "forwarder_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"

enum {
    MEMORY_BYTES = 192 * 1024 * 1024,
    OUTBOX_MS = 5,  //  Full sockets are tried again so often
};

//  ---- words for the parts

void
core_note(core_t *self, int level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    self->effects.note(self->with, level, text);
}

void
core_fail(core_t *self, status_t status, const char *format, ...)
{
    if (self->fault != STATUS_OK)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(self->fault_text, sizeof self->fault_text, format, args);
    va_end(args);
    self->fault = status;
}

void
core_refuse(core_t *self, const peer_t *peer, const message_t *question,
            status_t status, const char *text, uint64_t offset)
{
    Rill__V1__Refused refused = message_refusal(status, text, offset);
    message_t answer = MESSAGE(REFUSED, refused, &refused, question->request,
                               question->trace);
    counters_up(&self->counters, COUNTER_requests_refused_total);
    (void)self->effects.send(self->with, peer, &answer, NULL);
}

millis_t
core_patience(const core_t *self, millis_t span)
{
    return (millis_t)((double)span * self->settings.patience);
}

void
core_soon(core_t *self, millis_t due)
{
    self->streams_due = millis_least(self->streams_due, due);
}

//  ---- streams

static size_t
hash_id(const void *key)
{
    return (size_t)(*(const uint64_t *)key * 0x9e3779b97f4a7c15u);
}

static int
compare_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

static zhashx_t *
table_of_ids(void)
{
    zhashx_t *table = zhashx_new();
    zhashx_set_key_hasher(table, hash_id);
    zhashx_set_key_comparator(table, compare_id);
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    return table;
}

stream_t *
core_stream(core_t *self, uint64_t id)
{
    return zhashx_lookup(self->by_id, &id);
}

stream_t *
core_named(core_t *self, const char *name)
{
    return zhashx_lookup(self->by_name, name);
}

code_t
core_protection(const stream_t *stream)
{
    code_t least = stream->code;
    for (size_t i = 0; i < stream->chain_count; i++)
        if (i == 0 || stream->chain[i]->code.m <= least.m)
            least = stream->chain[i]->code;
    return least;
}

char *
core_label(const core_t *self, uint64_t store, char text_r[CORE_LABEL_BYTES])
{
    const worker_t *known = membership_find(self->members, store);
    const char *name = known ? known->name
                             : catalogue_name_of(self->catalogue, store);
    if (!name) {
        snprintf(text_r, CORE_LABEL_BYTES, "store-%016" PRIx64, store);
        return text_r;
    }
    //  One that lost its disk is back under its name, with another store.
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    bool anew = false;
    for (size_t i = 0; i < count && !known; i++)
        anew = anew || strcmp(all[i]->name, name) == 0;
    bool older = known && known->older && known->state != WORKER_AWAY;
    snprintf(text_r, CORE_LABEL_BYTES, "%s%s", name,
             anew    ? "'s old disk"
             : older ? "'s newer disk"
                     : "");
    return text_r;
}

bool
core_bears(const stream_t *stream, uint64_t store)
{
    for (size_t i = 0; i < stream->chain_count; i++)
        for (uint16_t p = 0; p < stream->chain[i]->width; p++)
            if (stream->chain[i]->stores[p] == store)
                return true;
    return false;
}

bool
core_in_file(const core_t *self, const char *name)
{
    for (size_t i = 0; i < self->names_count; i++)
        if (streq(self->names[i], name))
            return true;
    return false;
}

stream_t *
core_add_stream(core_t *self, const stream_record_t *record)
{
    stream_t *stream = zmalloc(sizeof *stream);
    stream->core = self;
    stream->record = *record;
    stream->told = true;
    stream->code = (code_t){ .k = 1, .m = 1 };
    zhashx_insert(self->by_id, &stream->record.id, stream);
    zhashx_insert(self->by_name, stream->record.name, stream);
    if (record->sealed) {
        stream->state = STREAM_SEALED;
        stream->stored = stream->settled = record->size;
        stream->settled_index = record->end_index;
    } else {
        stream->waiting = zlistx_new();
        zlistx_add_end(self->open, stream);
    }
    return stream;
}

status_t
core_record_stream(core_t *self, stream_t *stream)
{
    if (stream->recorded)
        return STATUS_OK;
    status_t status = catalogue_put(self->catalogue, &stream->record);
    stream->recorded = status == STATUS_OK;
    if (status != STATUS_OK)
        core_fail(self, status, "the stream %s could not be recorded",
                  stream->record.name);
    return status;
}

static void
free_stream(stream_t *stream)
{
    deal_stop(stream);
    for (size_t i = 0; i < stream->chain_count; i++)
        extent_free(stream->chain[i]);
    free(stream->chain);
    free(stream);
}

void
core_drop_stream(core_t *self, stream_t *stream)
{
    uint64_t id = stream->record.id;
    if (stream->state == STREAM_RECOVERING && !stream->redealing)
        self->recovering--;
    if (stream->session)
        zhashx_delete(self->by_session, &stream->session);
    zhashx_delete(self->by_id, &stream->record.id);
    zhashx_delete(self->by_name, stream->record.name);
    void *at = zlistx_find(self->untold, stream);
    if (at)
        zlistx_detach(self->untold, at);
    free_stream(stream);
    seek_stream_gone(self, id);
    relay_on_gone(self->relay, id, self->now);
}

//  ---- start and end

static void
on_stream(void *arg, const stream_record_t *record, extent_t **chain,
          size_t count)
{
    core_t *self = arg;
    stream_t *stream = core_add_stream(self, record);
    stream->recorded = true;
    stream->chain = chain;
    stream->chain_count = count;
    stream->loaded = count ? chain[count - 1]->epoch : 0;
    self->recovering += stream->state == STREAM_RECOVERING;
}

static void
on_removed(void *arg, uint64_t stream, const uint64_t *stores, size_t count)
{
    members_add_removed(arg, stream, stores, count);
}

enum {
    LIVE_BYTES = 32 * 1024 * 1024,  //  Of what is watched, to be sent again
    LIVE_MS = 3600000,
};

static status_t
relay_send(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    core_t *self = with;
    self->counters.values[COUNTER_requests_refused_total] +=
        message->body_case == RILL__V1__MESSAGE__BODY_REFUSED;
    return self->effects.send(self->with, peer, message, payload);
}

static void
relay_fetch(void *with, uint64_t stream, uint64_t offset, millis_t now)
{
    seek_fetch(with, stream, offset, now);
}

static void
relay_locate(void *with, uint64_t stream, micros_t time_us, uint64_t request,
             millis_t now)
{
    moment_locate(with, stream, time_us, request, now);
}

//  What the live tree is told of a stream.
static status_t
relay_look(void *with, const char *name, uint64_t id, relay_facts_t *facts_r)
{
    core_t *self = with;
    stream_t *stream = name ? core_named(self, name) : core_stream(self, id);
    if (!stream)
        return STATUS_UNKNOWN;
    if (stream->state == STREAM_RECOVERING)
        return STATUS_HELD;
    const extent_t *last = stream->chain_count
                               ? stream->chain[stream->chain_count - 1]
                               : NULL;
    bool sealed = stream->state == STREAM_SEALED;
    *facts_r = (relay_facts_t){
        .stream = stream->record.id,
        .name = stream->record.name,
        .first = serve_first(stream),
        .head = sealed ? stream->record.size : serve_head(stream),
        .sealed = sealed,
        .chunk_bytes = last ? last->chunk_bytes : 0,
        .newest_us = serve_newest(stream),
        .now_us = self->effects.wall_us(self->with),
    };
    return STATUS_OK;
}

static void
relay_publish(void *with, uint64_t stream, uint64_t topic,
              const message_t *message, buffer_t *payload)
{
    core_t *self = with;
    self->effects.publish(self->with, stream, topic, message, payload);
}

static uint64_t
relay_random(void *with)
{
    core_t *self = with;
    return self->effects.random(self->with);
}

static void
relay_note(void *with, const char *text)
{
    core_note(with, 2, "%s", text);
}

static core_t *
make(const forwarder_settings_t *settings, const forwarder_effects_t *effects,
     void *with, millis_t now)
{
    static const relay_effects_t relay_effects = {
        .fetch = relay_fetch,
        .locate = relay_locate,
        .send = relay_send,
        .look = relay_look,
        .publish = relay_publish,
        .random = relay_random,
        .note = relay_note,
    };
    core_t *self = zmalloc(sizeof *self);
    self->settings = *settings;
    self->name = strdup(settings->name);
    self->receipts_at = strdup(settings->receipts_at);
    self->publish_at = strdup(settings->publish_at ? settings->publish_at : "");
    INVARIANT(self->name && self->receipts_at);
    if (!self->settings.memory_bytes)
        self->settings.memory_bytes = MEMORY_BYTES;
    if (!self->settings.chunk_bytes)
        self->settings.chunk_bytes = 256 * 1024;
    if (!self->settings.buffer_ms)
        self->settings.buffer_ms = 200;
    self->effects = *effects;
    self->with = with;
    self->began = self->now = now;
    self->enough_at = MILLIS_NEVER;
    self->recover_at = now;
    self->streams_due = MILLIS_NEVER;
    self->members = membership_new(settings->patience);
    self->by_id = table_of_ids();
    self->by_session = table_of_ids();
    self->by_name = zhashx_new();
    zhashx_set_key_duplicator(self->by_name, NULL);
    zhashx_set_key_destructor(self->by_name, NULL);
    self->open = zlistx_new();
    self->untold = zlistx_new();
    self->removed = table_of_ids();
    self->forgetting = zlistx_new();
    self->outbox = outbox_new();
    relay_settings_t served = {
        .node = self->name,
        .group = "",
        .window_bytes = LIVE_BYTES,
        .window_ms = LIVE_MS,
        .patience = settings->patience,
        .publish_at = self->publish_at,
        .incarnation = (uint64_t)effects->wall_us(with),
        .sink = settings->sink,
    };
    self->relay = relay_new(&served, &relay_effects, self, now);
    self->fetches = fetches_new();
    self->seeks = seeks_new();
    self->locates = locates_new();
    self->moments = moments_new();
    self->layouts = layouts_new();
    self->stocks = stocks_new();
    self->doubts = doubts_new();
    self->names = zmalloc((settings->workers_count + 1) * sizeof(char *));
    self->names_count = settings->workers_count;
    for (size_t i = 0; i < self->names_count; i++) {
        self->names[i] = strdup(settings->workers[i]);
        INVARIANT(self->names[i]);
    }
    return self;
}

status_t
forwarder_core_new(const forwarder_settings_t *settings,
                   const forwarder_effects_t *effects, void *with,
                   kv_t *catalogue, millis_t now, forwarder_core_t **self_r,
                   char *why_r, size_t why_size)
{
    core_t *self = make(settings, effects, with, now);
    status_t status;
    if (settings->rebuild) {
        self->rebuilding = rebuilding_new(self, now);
        status = catalogue_rebuild(catalogue, &self->catalogue, why_r,
                                   why_size);
    } else
        status = catalogue_open(catalogue, effects->random(with),
                                &self->catalogue, why_r, why_size);
    if (status == STATUS_OK) {
        status = catalogue_load(self->catalogue, on_stream, on_removed, self);
        if (status == STATUS_OK)
            status = horizon_start(self, now);
        if (status != STATUS_OK)
            snprintf(why_r, why_size, "the catalogue cannot be read: %s",
                     status_text(status));
    }
    if (status != STATUS_OK) {
        forwarder_core_destroy(&self);
        return status;
    }
    core_note(self, 1,
              "catalogue-open cluster=%016" PRIx64 " term=%" PRIu64
              " streams=%zu unsealed=%zu",
              catalogue_cluster(self->catalogue),
              catalogue_term(self->catalogue), zhashx_size(self->by_id),
              self->recovering);
    recovery_try(self, now);
    *self_r = self;
    return STATUS_OK;
}

void
forwarder_core_destroy(forwarder_core_t **self_p)
{
    core_t *self = *self_p;
    if (!self)
        return;
    for (stream_t *stream = zhashx_first(self->by_id); stream;
         stream = zhashx_next(self->by_id))
        free_stream(stream);
    fetches_destroy(&self->fetches);
    seeks_destroy(&self->seeks);
    locates_destroy(&self->locates);
    moments_destroy(&self->moments);
    layouts_destroy(&self->layouts);
    stocks_destroy(&self->stocks);
    zlistx_destroy(&self->doubts);
    for (size_t i = 0; i < self->names_count; i++)
        free(self->names[i]);
    free(self->names);
    rebuilding_destroy(&self->rebuilding);
    relay_destroy(&self->relay);
    zhashx_destroy(&self->by_session);
    zhashx_destroy(&self->by_name);
    zhashx_destroy(&self->by_id);
    zlistx_destroy(&self->open);
    zlistx_destroy(&self->untold);
    for (removed_t *removed = zhashx_first(self->removed); removed;
         removed = zhashx_next(self->removed))
        free(removed);
    zhashx_destroy(&self->removed);
    zlistx_destroy(&self->forgetting);
    outbox_destroy(&self->outbox);
    membership_destroy(&self->members);
    catalogue_close(&self->catalogue);
    free(self->name);
    free(self->receipts_at);
    free(self->publish_at);
    free(self);
    *self_p = NULL;
}

//  ---- events

//  Every message that comes in ends in one counter (invariant 6): what it was
//  is seen by what its handling counted.
typedef struct {
    uint64_t refused, dropped;
} before_t;

static before_t
message_in(core_t *self, millis_t now)
{
    self->now = now;
    counters_up(&self->counters, COUNTER_messages_received_total);
    return (before_t){ self->counters.values[COUNTER_requests_refused_total],
                       self->dropped };
}

//  `asked`: by somebody who hears a refusal; others' answers may end questions
//  of others with one.
static void
message_done(core_t *self, before_t before, bool asked)
{
    counters_t *counters = &self->counters;
    bool refused = counters->values[COUNTER_requests_refused_total] !=
                   before.refused;
    if (asked && refused)
        counters_up(counters, COUNTER_messages_total_refused);
    else if (self->dropped != before.dropped)
        counters_up(counters, COUNTER_messages_total_dropped);
    else
        counters_up(counters, COUNTER_messages_total_taken);
    ingest_tell(self);
}

void
core_drop(core_t *self, counter_t reason, const char *where)
{
    bool misplaced = reason == COUNTER_faults_total_misplaced;
    counters_up(&self->counters, reason);
    self->dropped++;
    sink_fault(self->settings.sink, misplaced ? STATUS_KIND : STATUS_SESSION,
               where, "", 0);
}

//  Workers come, and people ask how it goes.
static bool
is_for_rebuilding(const message_t *message)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
    case RILL__V1__MESSAGE__BODY_HELLO:
    case RILL__V1__MESSAGE__BODY_INVENTORY:
    case RILL__V1__MESSAGE__BODY_WORKER_KEEP:
    case RILL__V1__MESSAGE__BODY_WORKER_LEAVE:
        return true;
    default:
        return false;
    }
}

void
forwarder_core_on_front(forwarder_core_t *self, const peer_t *peer,
                        const message_t *message, buffer_t *payload,
                        millis_t now)
{
    if (self->fault != STATUS_OK)
        return;
    before_t before = message_in(self, now);
    if (self->rebuilding && !is_for_rebuilding(message)) {
        core_refuse(self, peer, message, STATUS_HELD,
                    "The catalogue is being made again from the workers; try "
                    "again later.",
                    0);
        message_done(self, before, true);
        return;
    }
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_OPEN:
    case RILL__V1__MESSAGE__BODY_PIECE:
    case RILL__V1__MESSAGE__BODY_FINISH:
    case RILL__V1__MESSAGE__BODY_SOURCE_KEEP:
    case RILL__V1__MESSAGE__BODY_SOURCE_LEAVE:
        ingest_message(self, peer, message, payload, now);
        break;
    case RILL__V1__MESSAGE__BODY_ASK:
        serve_ask(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_LIST_CHUNKS:
        layout_ask(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_DESCRIBE:
    case RILL__V1__MESSAGE__BODY_LIST:
    case RILL__V1__MESSAGE__BODY_REMOVE:
    case RILL__V1__MESSAGE__BODY_SETTLE:
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
        serve_message(self, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_KEEP:
    case RILL__V1__MESSAGE__BODY_WATCH:
    case RILL__V1__MESSAGE__BODY_WATCH_KEEP:
    case RILL__V1__MESSAGE__BODY_STOP:
    case RILL__V1__MESSAGE__BODY_LOCATE:
        (void)relay_on_front(self->relay, peer, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_HELLO:
    case RILL__V1__MESSAGE__BODY_INVENTORY:
    case RILL__V1__MESSAGE__BODY_WORKER_KEEP:
    case RILL__V1__MESSAGE__BODY_WORKER_LEAVE:
        members_message(self, peer, message, now);
        break;
    default:
        counters_up(&self->counters, COUNTER_faults_total_misplaced);
        core_refuse(self, peer, message, STATUS_KIND, NULL, 0);
        break;
    }
    message_done(self, before, true);
}

static void
on_rebuilding(core_t *self, uint64_t worker, const message_t *message,
              buffer_t *payload, millis_t now)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_COUNTED:
        rebuilding_counted(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_SCANNED:
        rebuilding_scanned(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_FETCHED:
        if (!fetch_message(self, worker, message, payload, now))
            rebuilding_fetched(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        if (!fetch_message(self, worker, message, NULL, now))
            rebuilding_refused(self, worker, message, now);
        break;
    default:
        core_drop(self, COUNTER_faults_total_misplaced, "worker");
        break;
    }
}

void
forwarder_core_on_worker(forwarder_core_t *self, uint64_t worker,
                         const message_t *message, buffer_t *payload,
                         millis_t now)
{
    if (self->fault != STATUS_OK)
        return;
    before_t before = message_in(self, now);
    if (self->rebuilding) {
        on_rebuilding(self, worker, message, payload, now);
        message_done(self, before, false);
        return;
    }
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_LOCATED:
        locate_message(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_SCANNED:
        layout_scanned(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_FETCHED:
        if (!doubt_answered(self, worker, message, now))
            (void)fetch_message(self, worker, message, payload, now);
        break;
    case RILL__V1__MESSAGE__BODY_DROPPED:
        members_dropped(self, worker, message->dropped->stream);
        stock_dropped(self, worker, message->dropped->stream, now);
        break;
    case RILL__V1__MESSAGE__BODY_COUNTED:
        stock_counted(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_SWEPT:
        stock_swept(self, worker, message, now);
        break;
    case RILL__V1__MESSAGE__BODY_REFUSED:
        //  Whatever it was that we asked for under that request.
        (void)doubt_answered(self, worker, message, now);
        (void)fetch_message(self, worker, message, NULL, now);
        locate_message(self, worker, message, now);
        layout_scanned(self, worker, message, now);
        break;
    default:
        core_drop(self, COUNTER_faults_total_misplaced, "worker");
        break;
    }
    message_done(self, before, false);
}

void
forwarder_core_on_receipt(forwarder_core_t *self, const message_t *message,
                          millis_t now)
{
    if (self->fault != STATUS_OK)
        return;
    before_t before = message_in(self, now);
    if (message->body_case == RILL__V1__MESSAGE__BODY_RECEIPT)
        deal_receipt(self, message->receipt, now);
    else
        core_drop(self, COUNTER_faults_total_misplaced, "receipts");
    message_done(self, before, false);
}

void
forwarder_core_on_disconnect(forwarder_core_t *self, uint64_t worker,
                             millis_t now)
{
    self->now = now;
    worker_t *gone = membership_by_session(self->members, worker);
    //  Without blame: a worker that was killed and started again is welcome at
    //  once; only one that hangs is kept out for a while.
    if (gone && self->fault == STATUS_OK)
        members_leave(self, gone, false, "its connection broke", now);
    ingest_tell(self);
}

void
forwarder_core_on_bad(forwarder_core_t *self, const peer_t *peer,
                      uint64_t request, status_t status, millis_t now)
{
    self->now = now;
    counters_up(&self->counters, COUNTER_messages_received_total);
    counters_up(&self->counters, COUNTER_messages_total_unreadable);
    self->counters.values[COUNTER_messages_unreadable_total_too_large] +=
        status == STATUS_TOO_LARGE;
    self->counters.values[COUNTER_messages_unreadable_total_version] +=
        status == STATUS_VERSION;
    message_t question = { .request = request };
    if (peer && peer->size && self->fault == STATUS_OK)
        core_refuse(self, peer, &question, status, NULL, 0);
}

void
forwarder_core_on_unsent(forwarder_core_t *self)
{
    counters_up(&self->counters, COUNTER_answers_unsent_total);
}

void
forwarder_core_on_flood(forwarder_core_t *self)
{
    counters_up(&self->counters, COUNTER_sockets_flooded_total);
}

size_t
forwarder_core_topics(const forwarder_core_t *self)
{
    return relay_topics(self->relay);
}

size_t
forwarder_core_memory(const forwarder_core_t *self)
{
    return self->settings.memory_bytes;
}

bool
forwarder_core_rebuilt(const forwarder_core_t *self)
{
    return self->rebuilding && rebuilding_done(self);
}

bool
forwarder_core_drain(forwarder_core_t *self, millis_t now)
{
    self->now = now;
    if (!self->draining)
        core_note(self, 1, "draining");
    self->draining = true;
    return ingest_drain(self, now);
}

status_t
forwarder_core_fault(const forwarder_core_t *self, const char **text_r)
{
    *text_r = self->fault_text;
    return self->fault;
}

uint64_t
forwarder_core_cluster(const forwarder_core_t *self)
{
    return catalogue_cluster(self->catalogue);
}

uint64_t
forwarder_core_term(const forwarder_core_t *self)
{
    return catalogue_term(self->catalogue);
}

size_t
forwarder_core_workers(const forwarder_core_t *self)
{
    worker_t *queue[1];
    return membership_queue(self->members, queue, 1);
}

//  ---- time

millis_t
forwarder_core_due(const forwarder_core_t *lent)
{
    core_t *self = (core_t *)(uintptr_t)lent;
    if (self->fault != STATUS_OK)
        return MILLIS_NEVER;
    millis_t due = membership_due(self->members);
    if (self->rebuilding)
        return millis_least(millis_least(due, fetch_due(self)),
                            rebuilding_due(self));
    due = millis_least(due, self->streams_due);
    if (!outbox_is_empty(self->outbox))
        due = millis_least(due, self->retry_at);
    due = millis_least(due, fetch_due(self));
    due = millis_least(due, locate_due(self));
    due = millis_least(due, layout_due(self));
    due = millis_least(due, stock_due(self));
    due = millis_least(due, doubt_due(self));
    due = millis_least(due, relay_due(self->relay));
    due = millis_least(due, horizon_due(self));
    if (self->recovering)
        due = millis_least(due, self->recover_at);
    return due;
}

void
forwarder_core_sweep(forwarder_core_t *self, millis_t now)
{
    if (self->fault != STATUS_OK)
        return;
    self->now = now;
    members_sweep(self, now);
    if (self->rebuilding) {
        fetch_sweep(self, now);
        rebuilding_sweep(self, now);
        return;
    }
    if (self->streams_due <= now) {
        ingest_sweep(self, now);
        deal_sweep(self, now);
        self->streams_due = millis_least(ingest_due(self), deal_due(self));
    }
    if (!outbox_is_empty(self->outbox) && self->retry_at <= now) {
        outbox_send(self, now);
        self->retry_at = now + OUTBOX_MS;
    }
    fetch_sweep(self, now);
    locate_sweep(self, now);
    layout_sweep(self, now);
    stock_sweep(self, now);
    doubt_sweep(self, now);
    relay_sweep(self->relay, now);
    horizon_sweep(self, now);
    if (self->recovering && self->recover_at <= now)
        recovery_try(self, now);
    ingest_tell(self);
}
