#include "questions.h"

#include <stdlib.h>

#include "invariant.h"
#include "version.h"

enum {
    SCAN_MOST = 500,
    COUNT_MOST = 500,      //  Epochs in a Counted: 30 KiB
    COUNT_RECORDS = 4096,  //  Looked at for one: a few milliseconds
    DROPPED_MOST = 1000    //  Dropped streams in a Counted: 8 KiB
};

//  A Fetch that waits for the disk.
typedef struct {
    bool open;
    uint32_t turn;  //  Tells this use of the place from those before
    peer_t peer;
    uint64_t request;
    uint64_t trace;
} fetch_t;

struct questions {
    const storage_effects_t *effects;
    void *with;
    counters_t *counters;
    fetch_t fetches[QUESTIONS_READS];
    size_t open;
};

questions_t *
questions_new(const storage_effects_t *effects, void *with,
              counters_t *counters)
{
    questions_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->effects = effects;
    self->with = with;
    self->counters = counters;
    return self;
}

void
questions_destroy(questions_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

size_t
questions_open(const questions_t *self)
{
    return self->open;
}

static void
say(questions_t *self, const peer_t *peer, const message_t *message,
    buffer_t *payload, counter_t how)
{
    status_t status = self->effects->answer(self->with, peer, message, payload);
    counters_up(
        self->counters,
        status == STATUS_OK ? how : COUNTER_worker_messages_total_front_unsaid);
}

static counter_t
counter_of(status_t status)
{
    switch (status) {
    case STATUS_ARGUMENT:
        return COUNTER_refusals_total_argument;
    case STATUS_KIND:
        return COUNTER_refusals_total_kind;
    case STATUS_MISS:
        return COUNTER_refusals_total_miss;
    case STATUS_GONE:
        return COUNTER_refusals_total_gone;
    case STATUS_FENCED:
        return COUNTER_refusals_total_fenced;
    case STATUS_BUSY:
        return COUNTER_refusals_total_busy;
    case STATUS_STOPPING:
        return COUNTER_refusals_total_stopping;
    case STATUS_IO:
        return COUNTER_refusals_total_io;
    case STATUS_CORRUPT:
        return COUNTER_refusals_total_corrupt;
    default:
        return COUNTER_refusals_total_other;
    }
}

static status_t
send_refusal(questions_t *self, const peer_t *peer, uint64_t request,
             uint64_t trace, status_t status)
{
    Rill__V1__Refused refused = message_refusal(status, NULL, 0);
    message_t message = MESSAGE(REFUSED, refused, &refused, request, trace);
    counters_up(self->counters, counter_of(status));
    return self->effects->answer(self->with, peer, &message, NULL);
}

void
questions_refuse(questions_t *self, const peer_t *peer, uint64_t request,
                 status_t status)
{
    (void)send_refusal(self, peer, request, 0, status);
}

//  Refuse a question that came.
static void
refuse(questions_t *self, const peer_t *peer, uint64_t request, uint64_t trace,
       status_t status)
{
    status_t sent = send_refusal(self, peer, request, trace, status);
    counters_up(self->counters,
                sent == STATUS_OK ? COUNTER_worker_messages_total_front_refused
                                  : COUNTER_worker_messages_total_front_unsaid);
}

static void
refuse_ask(questions_t *self, const peer_t *peer, const message_t *ask,
           status_t status)
{
    refuse(self, peer, ask->request, ask->trace, status);
}

static void
on_fetch(questions_t *self, const peer_t *peer, const message_t *ask)
{
    const Rill__V1__Fetch *fetch = ask->fetch;
    if (!fetch->key) {
        refuse_ask(self, peer, ask, STATUS_ARGUMENT);
        return;
    }
    size_t place = 0;
    while (place < QUESTIONS_READS && self->fetches[place].open)
        place++;
    if (place == QUESTIONS_READS) {
        refuse_ask(self, peer, ask, STATUS_BUSY);
        return;
    }
    fetch_t *open = &self->fetches[place];
    uint64_t token = (uint64_t)++open->turn << 32 | place;
    status_t status = self->effects->read(
        self->with, message_to_key(fetch->key), fetch->header_only, token);
    if (status != STATUS_OK) {
        refuse_ask(self, peer, ask, status);
        return;
    }
    open->open = true;
    open->peer = *peer;
    open->request = ask->request;
    open->trace = ask->trace;
    self->open++;
}

void
questions_on_read(questions_t *self, uint64_t token, status_t status,
                  const chunk_header_t *header, buffer_t *payload)
{
    size_t place = (uint32_t)token;
    if (place >= QUESTIONS_READS)
        return;
    fetch_t *open = &self->fetches[place];
    if (!open->open || open->turn != token >> 32)
        return;
    open->open = false;
    self->open--;
    if (status != STATUS_OK) {
        refuse(self, &open->peer, open->request, open->trace, status);
        return;
    }
    chunk_on_wire_t chunk;
    message_from_chunk(header, &chunk);
    Rill__V1__Fetched fetched = RILL__V1__FETCHED__INIT;
    fetched.chunk = &chunk.header;
    message_t message = MESSAGE(FETCHED, fetched, &fetched, open->request,
                                open->trace);
    //  A Fetched always has its payload frame, also an empty one.
    buffer_t *frame = payload ? buffer_ref(payload) : buffer_new(0);
    say(self, &open->peer, &message, frame,
        COUNTER_worker_messages_total_front_answered);
    buffer_unref(&frame);
}

static void
on_locate(questions_t *self, const peer_t *peer, const message_t *ask)
{
    const Rill__V1__Locate *locate = ask->locate;
    bool by_time = locate->at_case == RILL__V1__LOCATE__AT_TIME_US;
    if (!by_time && locate->at_case != RILL__V1__LOCATE__AT_OFFSET) {
        refuse_ask(self, peer, ask, STATUS_ARGUMENT);
        return;
    }
    status_t status = STATUS_MISS;
    chunkstore_entry_t entry = { 0 };
    if (!by_time || locate->time_us >= 0)
        status = self->effects->locate(
            self->with, locate->stream, locate->epoch, by_time,
            by_time ? (uint64_t)locate->time_us : locate->offset, &entry);
    if (status != STATUS_OK && status != STATUS_MISS) {
        refuse_ask(self, peer, ask, status);
        return;
    }
    Rill__V1__Located located = RILL__V1__LOCATED__INIT;
    located.found = status == STATUS_OK;
    if (located.found) {
        located.block = entry.key.block;
        located.slot = entry.key.slot;
        located.offset = entry.offset;
        located.length = entry.length;
        located.created_us = entry.created_us;
    }
    message_t message = MESSAGE(LOCATED, located, &located, ask->request,
                                ask->trace);
    say(self, peer, &message, NULL,
        COUNTER_worker_messages_total_front_answered);
}

//  A Scan is cut between blocks, so that the asker goes on at the next one.
typedef struct {
    Rill__V1__ScannedChunk chunks[SCAN_MOST + LIMIT_SLOTS];
    Rill__V1__ScannedChunk *list[SCAN_MOST + LIMIT_SLOTS];
    size_t count;
    size_t most;
    bool more;
} scan_t;

static bool
add_scanned(void *arg, const chunkstore_entry_t *entry)
{
    scan_t *scan = arg;
    uint64_t block = entry->key.block;
    if (scan->count >= scan->most &&
        scan->chunks[scan->count - 1].block != block) {
        scan->more = true;
        return false;
    }
    INVARIANT(scan->count < SCAN_MOST + LIMIT_SLOTS);
    Rill__V1__ScannedChunk *chunk = &scan->chunks[scan->count];
    rill__v1__scanned_chunk__init(chunk);
    chunk->block = block;
    chunk->slot = entry->key.slot;
    chunk->offset = entry->offset;
    chunk->length = entry->length;
    chunk->created_us = entry->created_us;
    chunk->payload_crc = entry->payload_crc;
    chunk->flags = entry->flags;
    scan->list[scan->count++] = chunk;
    return true;
}

static void
on_scan(questions_t *self, const peer_t *peer, const message_t *ask)
{
    const Rill__V1__Scan *asked = ask->scan;
    scan_t scan = { .most = SCAN_MOST };
    if (asked->most > 0 && asked->most < SCAN_MOST)
        scan.most = asked->most;
    status_t status = self->effects->walk(self->with, asked->stream,
                                          asked->epoch, asked->block,
                                          add_scanned, &scan);
    if (status != STATUS_OK) {
        refuse_ask(self, peer, ask, status);
        return;
    }
    Rill__V1__Scanned scanned = RILL__V1__SCANNED__INIT;
    scanned.n_chunks = scan.count;
    scanned.chunks = scan.list;
    scanned.more = scan.more;
    message_t message = MESSAGE(SCANNED, scanned, &scanned, ask->request,
                                ask->trace);
    say(self, peer, &message, NULL,
        COUNTER_worker_messages_total_front_answered);
}

//  Records counted by their epochs, as many as one answer takes.
typedef struct {
    Rill__V1__Holding held[COUNT_MOST];
    Rill__V1__Holding *list[COUNT_MOST];
    size_t count;
    size_t looked;
    bool more;
    chunk_key_t next;
} count_t;

static bool
add_counted(void *arg, const chunkstore_entry_t *entry)
{
    count_t *count = arg;
    const chunk_key_t *key = &entry->key;
    Rill__V1__Holding *last = count->count ? count->list[count->count - 1]
                                           : NULL;
    bool same = last && last->stream == key->stream &&
                last->epoch == key->epoch;
    if (count->looked == COUNT_RECORDS ||
        (!same && count->count == COUNT_MOST)) {
        count->more = true;
        count->next = *key;
        return false;
    }
    if (!same) {
        last = &count->held[count->count];
        rill__v1__holding__init(last);
        last->stream = key->stream;
        last->epoch = key->epoch;
        count->list[count->count++] = last;
    }
    //  The index is that of the chunk, of parity that of its block's first.
    uint64_t first = entry->index - (key->slot < entry->k ? key->slot : 0);
    last->base_index = first - key->block * entry->k;
    last->records++;
    last->last_block = key->block;
    last->last_slot = key->slot;
    count->looked++;
    return true;
}

static void
on_count(questions_t *self, const peer_t *peer, const message_t *ask)
{
    const Rill__V1__ChunkKey *asked = ask->count->from;
    count_t count = { .count = 0 };
    chunk_key_t from = { 0 };
    if (asked)
        from = message_to_key(asked);
    status_t status = self->effects->walk_all(self->with, from, add_counted,
                                              &count);
    if (status != STATUS_OK) {
        refuse_ask(self, peer, ask, status);
        return;
    }
    for (size_t i = 0; i < count.count; i++)
        count.held[i].settled = self->effects->settled(self->with,
                                                       count.held[i].stream);
    uint64_t dropped[DROPPED_MOST + 1];
    size_t drops = self->effects->dropped(self->with, ask->count->dropped_from,
                                          dropped, DROPPED_MOST + 1);
    Rill__V1__ChunkKey next = message_from_key(count.next);
    Rill__V1__Counted counted = RILL__V1__COUNTED__INIT;
    counted.n_held = count.count;
    counted.held = count.list;
    counted.next = count.more ? &next : NULL;
    counted.n_dropped = drops < DROPPED_MOST ? drops : DROPPED_MOST;
    counted.dropped = dropped;
    counted.dropped_next = drops > DROPPED_MOST ? dropped[DROPPED_MOST] : 0;
    message_t message = MESSAGE(COUNTED, counted, &counted, ask->request,
                                ask->trace);
    say(self, peer, &message, NULL,
        COUNTER_worker_messages_total_front_answered);
}

static void
on_drop(questions_t *self, const peer_t *peer, const message_t *ask)
{
    const Rill__V1__Drop *drop = ask->drop;
    status_t status = STATUS_FENCED;
    if (drop->term >= self->effects->identity(self->with).term)
        status = self->effects->drop(self->with, drop->stream);
    if (status != STATUS_OK) {
        refuse_ask(self, peer, ask, status);
        return;
    }
    Rill__V1__Dropped dropped = RILL__V1__DROPPED__INIT;
    dropped.stream = drop->stream;
    message_t message = MESSAGE(DROPPED, dropped, &dropped, ask->request,
                                ask->trace);
    say(self, peer, &message, NULL,
        COUNTER_worker_messages_total_front_answered);
}

static void
on_sweep(questions_t *self, const peer_t *peer, const message_t *ask)
{
    const Rill__V1__Sweep *sweep = ask->sweep;
    size_t dropped = 0;
    bool more = false;
    status_t status = STATUS_FENCED;
    if (sweep->keep_first > sweep->keep_end)
        status = STATUS_ARGUMENT;
    else if (sweep->term >= self->effects->identity(self->with).term)
        status = self->effects->trim(self->with, sweep->stream, sweep->epoch,
                                     sweep->keep_first, sweep->keep_end,
                                     &dropped, &more);
    if (status != STATUS_OK) {
        refuse_ask(self, peer, ask, status);
        return;
    }
    Rill__V1__Swept swept = RILL__V1__SWEPT__INIT;
    swept.stream = sweep->stream;
    swept.epoch = sweep->epoch;
    swept.dropped = dropped;
    swept.more = more;
    message_t message = MESSAGE(SWEPT, swept, &swept, ask->request, ask->trace);
    say(self, peer, &message, NULL,
        COUNTER_worker_messages_total_front_answered);
}

void
questions_count(const questions_t *self, const questions_self_t *about,
                counters_t *to)
{
    chunkstore_space_t space = self->effects->space(self->with);
    counters_add(to, self->counters);
    to->values[COUNTER_store_chunks] = space.chunks;
    to->values[COUNTER_store_bytes] = space.bytes;
    to->values[COUNTER_store_free_bytes] = space.free_bytes;
    to->values[COUNTER_store_limit_bytes] = space.space_bytes;
    to->values[COUNTER_store_corrupt_total] = space.rot;
    to->values[COUNTER_unreceipted_chunks] = about->unreceipted;
}

static void
on_status(questions_t *self, const peer_t *peer, const message_t *ask,
          const questions_self_t *about)
{
    chunkstore_identity_t identity = self->effects->identity(self->with);
    chunkstore_space_t space = self->effects->space(self->with);
    Rill__V1__WorkerReport worker = RILL__V1__WORKER_REPORT__INIT;
    worker.name = message_lend(about->name);
    worker.store = identity.store;
    worker.state = message_lend(about->state);
    worker.chunks = space.chunks;
    worker.bytes = space.bytes;
    worker.free_bytes = space.free_bytes;
    worker.space_bytes = space.space_bytes;
    worker.unreceipted = about->unreceipted;
    Rill__V1__WorkerReport *workers[] = { &worker };

    counters_t counters = { 0 };
    counters_told_t told;
    questions_count(self, about, &counters);
    counters_tell(&counters, SETTINGS_WORKER, &told);

    Rill__V1__Report report = RILL__V1__REPORT__INIT;
    report.role = message_lend("worker");
    report.node = message_lend(about->name);
    report.version = message_lend(RILL_VERSION);
    report.cluster = identity.cluster;
    report.term = identity.term;
    report.n_workers = 1;
    report.workers = workers;
    report.stored_bytes = space.bytes;
    report.n_counters = told.count;
    report.counters = told.list;
    report.uptime_ms = about->uptime;
    sink_places(about->sink, &report);
    message_t message = MESSAGE(REPORT, report, &report, ask->request,
                                ask->trace);
    say(self, peer, &message, NULL,
        COUNTER_worker_messages_total_front_answered);
}

void
questions_on_ask(questions_t *self, const peer_t *peer,
                 const message_t *message, const questions_self_t *about)
{
    if (about->stopping &&
        message->body_case != RILL__V1__MESSAGE__BODY_STATUS_ASK) {
        refuse_ask(self, peer, message, STATUS_STOPPING);
        return;
    }
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_FETCH:
        on_fetch(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_LOCATE:
        on_locate(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_SCAN:
        on_scan(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_COUNT:
        on_count(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_DROP:
        on_drop(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_SWEEP:
        on_sweep(self, peer, message);
        break;
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
        on_status(self, peer, message, about);
        break;
    default:
        refuse_ask(self, peer, message, STATUS_KIND);
    }
}
