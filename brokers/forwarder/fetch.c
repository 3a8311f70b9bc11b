/*  Chunks from workers: whole from the one that has it, else decoded from any
 *  k others (R14, the reading half).
 *
 *  A job wants one data chunk. Parts are what is asked of workers, one message
 *  a key however many jobs want it. What came lately is kept: the other lost
 *  chunks of a decoded block are asked for next.
 *
 *  A worker has few parts at once and the others wait here, so that how long
 *  it takes is the time of its disk. Late is who takes long beside the others:
 *  where all are slow, asking more of them would only make them slower. A late
 *  part is still welcome; its jobs ask elsewhere meanwhile.
 */
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "origin.h"

enum {
    PARTS_PER_WORKER = 32,  //  In the air
    LATE_LEAST_MS = 250,    //  A hop's patience (live.md 7),
    LATE_TIMES = 4,         //  or so many times what a part mostly takes
    LATE_MOST_MS = 4000,
    LOST_MS = 30000,   //  A late part that nobody hopes for any more
    SHUN_MS = 2000,    //  A worker that let one wait is not asked
    TYPICAL_MS = 100,  //  How long a typical time is good
    KEPT_BYTES = 32 * 1024 * 1024,
};

//  A worker's time for a part follows what it took by so much.
#define TIME_GAIN 0.125

typedef struct {
    chunk_key_t key;
    uint64_t request;
    uint64_t trace;  //  Of the request that led to it first
    uint64_t store;
    micros_t asked_us;  //  For the sink
    millis_t since;     //  It was sent then, or waits since
    millis_t due;
    bool sent;
    bool late;
    zlistx_t *jobs;  //  job_t, lent
} part_t;

typedef struct {
    chunk_key_t key;
    chunk_header_t header;
    buffer_t *payload;
    void *place;  //  Our handle in fetches.kept
    bool decoded;
} kept_t;

typedef struct {
    extent_t *extent;  //  A copy: the chain may change meanwhile
    chunk_key_t key;   //  Of the wanted chunk
    fetch_fn *answer;
    void *arg;
    uint64_t trace;
    bool tried[LIMIT_SLOTS];
    unsigned asked;  //  In the air or waiting to be,
    unsigned late;   //  and of them those that are late
    unsigned have;
    unsigned corrupt;
    chunk_header_t *headers[LIMIT_SLOTS];
    buffer_t *payloads[LIMIT_SLOTS];
    bool done;
} job_t;

struct fetches {
    zhashx_t *by_request;   //  part_t, owned
    zhashx_t *by_key;       //  part_t, lent
    zlistx_t *waiting;      //  part_t, lent: their workers have enough
    zhashx_t *kept_by_key;  //  kept_t, lent
    zlistx_t *kept;         //  kept_t, oldest first; owned
    size_t kept_bytes;
    millis_t due;         //  Not later than the earliest part's
    millis_t late;        //  After so long a part is late,
    millis_t late_until;  //  found anew then
    const char *source;   //  Whose answer is at hand, and how long it took: for
    double source_ms;     //  the sink
};

static size_t
hash_key(const void *key)
{
    const chunk_key_t *k = key;
    return (size_t)((k->stream ^ k->epoch * 0x9e3779b97f4a7c15u) +
                    k->block * 0xc2b2ae3d27d4eb4fu + k->slot);
}

static int
compare_key(const void *a, const void *b)
{
    return chunk_key_compare(a, b);
}

static size_t
hash_request(const void *key)
{
    return (size_t)(*(const uint64_t *)key * 0x9e3779b97f4a7c15u);
}

static int
compare_request(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

static zhashx_t *
table(zhashx_hash_fn *hash, zhashx_comparator_fn *compare)
{
    zhashx_t *table = zhashx_new();
    zhashx_set_key_hasher(table, hash);
    zhashx_set_key_comparator(table, compare);
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    return table;
}

struct fetches *
fetches_new(void)
{
    struct fetches *self = zmalloc(sizeof *self);
    self->by_request = table(hash_request, compare_request);
    self->by_key = table(hash_key, compare_key);
    self->waiting = zlistx_new();
    self->kept_by_key = table(hash_key, compare_key);
    self->kept = zlistx_new();
    self->due = MILLIS_NEVER;
    self->late_until = MILLIS_NEVER;
    return self;
}

//  Of an empty chunk there is still what knows it.
static size_t
kept_size(const kept_t *kept)
{
    return sizeof *kept + buffer_size(kept->payload);
}

static void
drop_kept(struct fetches *self, kept_t *kept)
{
    zhashx_delete(self->kept_by_key, &kept->key);
    zlistx_detach(self->kept, kept->place);
    self->kept_bytes -= kept_size(kept);
    buffer_unref(&kept->payload);
    free(kept);
}

static void
free_job(job_t *job)
{
    for (unsigned i = 0; i < LIMIT_SLOTS; i++) {
        free(job->headers[i]);
        buffer_unref(&job->payloads[i]);
    }
    extent_free(job->extent);
    free(job);
}

static void
free_part(part_t *part)
{
    zlistx_destroy(&part->jobs);
    free(part);
}

void
fetches_destroy(struct fetches **self_p)
{
    struct fetches *self = *self_p;
    if (!self)
        return;
    kept_t *kept;
    while ((kept = zlistx_first(self->kept)) != NULL)
        drop_kept(self, kept);
    for (part_t *part = zhashx_first(self->by_request); part;
         part = zhashx_next(self->by_request)) {
        job_t *job;
        while ((job = zlistx_detach(part->jobs, NULL)) != NULL) {
            if (!job->done)
                job->answer(job->arg, STATUS_STOPPING, NULL, NULL, false, 0);
            job->done = true;
            if (--job->asked == 0)
                free_job(job);
        }
        free_part(part);
    }
    zlistx_destroy(&self->waiting);
    zlistx_destroy(&self->kept);
    zhashx_destroy(&self->kept_by_key);
    zhashx_destroy(&self->by_key);
    zhashx_destroy(&self->by_request);
    free(self);
    *self_p = NULL;
}

static void
keep(struct fetches *self, const chunk_header_t *header, buffer_t *payload,
     bool decoded)
{
    if (zhashx_lookup(self->kept_by_key, &header->key))
        return;
    kept_t *kept = zmalloc(sizeof *kept);
    kept->key = header->key;
    kept->header = *header;
    kept->payload = buffer_ref(payload);
    kept->decoded = decoded;
    kept->place = zlistx_add_end(self->kept, kept);
    zhashx_insert(self->kept_by_key, &kept->key, kept);
    self->kept_bytes += kept_size(kept);
    while (self->kept_bytes > KEPT_BYTES)
        drop_kept(self, zlistx_first(self->kept));
}

//  ---- a job goes on

static void answer_part(core_t *self, job_t *job, unsigned slot,
                        status_t status, const chunk_header_t *header,
                        buffer_t *payload, millis_t now);

static chunk_key_t
slot_key(const job_t *job, unsigned slot)
{
    chunk_key_t key = job->key;
    key.slot = slot;
    return key;
}

static int
compare_times(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

//  How long a part may take: a multiple of what it takes the middle one of the
//  workers, so that one that is slow makes nobody patient.
static millis_t
late_after(core_t *self, millis_t now)
{
    struct fetches *fetches = self->fetches;
    if (fetches->late_until != MILLIS_NEVER && now < fetches->late_until)
        return fetches->late;
    worker_t **all;
    double times[LIMIT_WORKERS];
    size_t count = membership_all(self->members, &all), known = 0;
    for (size_t i = 0; i < count && known < LIMIT_WORKERS; i++)
        if (all[i]->state != WORKER_AWAY && all[i]->read_ms > 0)
            times[known++] = all[i]->read_ms;
    qsort(times, known, sizeof *times, compare_times);
    double late = known ? LATE_TIMES * times[known / 2] : 0;
    late = late < LATE_MOST_MS ? late : LATE_MOST_MS;
    late = late > LATE_LEAST_MS ? late : LATE_LEAST_MS;
    fetches->late = core_patience(self, (millis_t)late);
    fetches->late_until = now + TYPICAL_MS;
    return fetches->late;
}

//  Send a part to its worker. False: that cannot be asked now.
static bool
send_part(core_t *self, worker_t *worker, part_t *part, millis_t now)
{
    Rill__V1__ChunkKey wire = message_from_key(part->key);
    Rill__V1__Fetch fetch = RILL__V1__FETCH__INIT;
    fetch.key = &wire;
    message_t message = MESSAGE(FETCH, fetch, &fetch, part->request,
                                part->trace);
    part->asked_us = SINK_CLOCK(self->settings.sink, REQUEST);
    if (self->effects.ask(self->with, worker->session, &message) != STATUS_OK)
        return false;
    part->sent = true;
    part->since = now;
    part->due = now + late_after(self, now);
    self->fetches->due = millis_least(self->fetches->due, part->due);
    worker->reads++;
    return true;
}

//  Told is who lets a job wait.
static void
tell_late(core_t *self, const job_t *job, const part_t *part)
{
    worker_t *worker = membership_find(self->members, part->store);
    if (worker && worker->served && part->asked_us &&
        SINK_WANTS(self->settings.sink, REQUEST))
        seek_late(self, job->arg, worker->name, part->asked_us);
}

static void
join_part(job_t *job, part_t *part)
{
    zlistx_add_end(part->jobs, job);
    job->tried[part->key.slot] = true;
    job->asked++;
    job->late += part->late;
}

//  Ask the worker that has the slot; one that let somebody wait lately only
//  when `desperate`. False: it cannot be asked now.
static bool
ask_part(core_t *self, job_t *job, unsigned slot, bool desperate, millis_t now)
{
    struct fetches *fetches = self->fetches;
    chunk_key_t key = slot_key(job, slot);
    part_t *part = zhashx_lookup(fetches->by_key, &key);
    if (part) {
        join_part(job, part);
        return true;
    }
    uint64_t store = placement_store(job->extent, key.block, slot);
    worker_t *worker = membership_find(self->members, store);
    if (!worker || worker->state == WORKER_AWAY ||
        (worker->shunned > now && !desperate))
        return false;

    job->tried[slot] = true;
    part = zmalloc(sizeof *part);
    part->key = key;
    part->store = store;
    part->request = ++self->request;
    part->trace = job->trace;
    part->since = now;
    part->due = now + core_patience(self, LATE_MOST_MS);
    if (worker->reads >= PARTS_PER_WORKER) {
        zlistx_add_end(fetches->waiting, part);
        part->asked_us = SINK_CLOCK(self->settings.sink, REQUEST);
        fetches->due = millis_least(fetches->due, part->due);
    } else if (!send_part(self, worker, part, now)) {
        free(part);
        return false;
    }
    part->jobs = zlistx_new();
    join_part(job, part);
    zhashx_insert(fetches->by_request, &part->request, part);
    zhashx_insert(fetches->by_key, &part->key, part);
    return true;
}

static void
finish(core_t *self, job_t *job, status_t status, const chunk_header_t *header,
       buffer_t *payload, bool decoded, millis_t now)
{
    (void)self;
    if (!job->done) {
        job->done = true;
        job->answer(job->arg, status, header, payload, decoded, now);
    }
    if (job->asked == 0)
        free_job(job);
}

//  Enough parts are here: compute what is lost of the block's data.
static void
decode(core_t *self, job_t *job, millis_t now)
{
    code_t code = job->extent->code;
    parity_part_t parts[LIMIT_SLOTS] = { { 0 } };
    uint8_t fixed[LIMIT_SLOTS][CHUNK_HEADER_BYTES];
    uint32_t wanted = 0;
    for (unsigned i = 0; i < code.k + code.m; i++) {
        if (job->payloads[i]) {
            if (i < code.k) {
                chunk_header_pack(job->headers[i], fixed[i]);
                parts[i].header = fixed[i];
            }
            parts[i].bytes = buffer_bytes(job->payloads[i]);
            parts[i].size = buffer_size(job->payloads[i]);
        } else if (i < code.k)
            wanted |= 1u << i;
    }
    buffer_t *contents[LIMIT_SLOTS] = { NULL };
    status_t status = parity_decode(code, parts, wanted, contents);
    chunk_header_t found;
    buffer_t *payload = NULL;
    for (unsigned i = 0; i < code.k && status == STATUS_OK; i++) {
        if (!contents[i])
            continue;
        chunk_header_t header;
        chunk_key_t key = slot_key(job, i);
        size_t size = buffer_size(contents[i]);
        if (size < CHUNK_HEADER_BYTES ||
            chunk_header_unpack(buffer_bytes(contents[i]), &header) !=
                STATUS_OK ||
            chunk_key_compare(&header.key, &key) != 0 ||
            header.length > size - CHUNK_HEADER_BYTES ||
            checksum_crc32c(buffer_bytes(contents[i]) + CHUNK_HEADER_BYTES,
                            header.length) != header.payload_crc) {
            status = STATUS_CORRUPT;
            break;
        }
        buffer_t *bytes = buffer_slice(contents[i], CHUNK_HEADER_BYTES,
                                       header.length);
        keep(self->fetches, &header, bytes, true);
        if (i == job->key.slot) {
            found = header;
            payload = buffer_ref(bytes);
        }
        buffer_unref(&bytes);
    }
    for (unsigned i = 0; i < code.k + code.m; i++)
        buffer_unref(&contents[i]);
    self->counters.values[COUNTER_reads_total_decoded] += status == STATUS_OK;
    finish(self, job, payload ? status : STATUS_CORRUPT,
           payload ? &found : NULL, payload, true, now);
    buffer_unref(&payload);
}

//  Ask for as many parts as are missing, data first.
static void
ask_missing(core_t *self, job_t *job, bool desperate, millis_t now)
{
    code_t code = job->extent->code;
    unsigned slots = code.k + code.m;
    for (unsigned i = 0;
         i < slots && job->have + job->asked - job->late < code.k; i++) {
        if (job->tried[i])
            continue;
        chunk_key_t key = slot_key(job, i);
        kept_t *kept = zhashx_lookup(self->fetches->kept_by_key, &key);
        if (kept) {
            job->tried[i] = true;
            job->headers[i] = zmalloc(sizeof kept->header);
            *job->headers[i] = kept->header;
            job->payloads[i] = buffer_ref(kept->payload);
            job->have++;
        } else
            (void)ask_part(self, job, i, desperate, now);
    }
}

static void
gather(core_t *self, job_t *job, millis_t now)
{
    code_t code = job->extent->code;
    if (job->key.slot >= code.k) {  //  Parity is not made of others
        finish(self, job, job->corrupt ? STATUS_CORRUPT : STATUS_MISS, NULL,
               NULL, false, now);
        return;
    }
    ask_missing(self, job, false, now);
    ask_missing(self, job, true, now);
    if (job->have >= code.k)
        decode(self, job, now);
    else if (job->asked == 0)
        finish(self, job, job->corrupt ? STATUS_CORRUPT : STATUS_MISS, NULL,
               NULL, false, now);
}

static void
answer_part(core_t *self, job_t *job, unsigned slot, status_t status,
            const chunk_header_t *header, buffer_t *payload, millis_t now)
{
    job->asked--;
    if (job->done) {
        if (job->asked == 0)
            free_job(job);
        return;
    }
    if (status == STATUS_OK && slot == job->key.slot) {
        finish(self, job, STATUS_OK, header, payload, false, now);
        return;
    }
    if (status == STATUS_OK && !job->payloads[slot]) {
        job->headers[slot] = zmalloc(sizeof *header);
        *job->headers[slot] = *header;
        job->payloads[slot] = buffer_ref(payload);
        job->have++;
    } else if (status == STATUS_CORRUPT)
        job->corrupt++;
    gather(self, job, now);
}

void
fetch_chunk(core_t *self, uint64_t stream, const extent_t *extent,
            uint64_t block, unsigned slot, uint64_t trace, fetch_fn *answer,
            void *arg, millis_t now)
{
    INVARIANT(slot < extent->code.k + extent->code.m);
    chunk_key_t key = {
        .stream = stream, .epoch = extent->epoch, .block = block, .slot = slot
    };
    kept_t *kept = zhashx_lookup(self->fetches->kept_by_key, &key);
    if (kept) {
        counters_up(&self->counters, COUNTER_reads_total_kept);
        buffer_t *payload = buffer_ref(kept->payload);
        chunk_header_t header = kept->header;
        answer(arg, STATUS_OK, &header, payload, kept->decoded, now);
        buffer_unref(&payload);
        return;
    }
    job_t *job = zmalloc(sizeof *job);
    job->key = key;
    job->answer = answer;
    job->arg = arg;
    job->trace = trace;
    job->extent = extent_new(extent->width);
    uint64_t *stores = job->extent->stores;
    *job->extent = *extent;
    job->extent->stores = stores;
    memcpy(stores, extent->stores, extent->width * sizeof *stores);
    if (!ask_part(self, job, slot, false, now) || job->late > 0)
        gather(self, job, now);
}

//  ---- answers

static void
close_part(core_t *self, part_t *part, status_t status,
           const chunk_header_t *header, buffer_t *payload, millis_t now)
{
    struct fetches *fetches = self->fetches;
    zhashx_delete(fetches->by_key, &part->key);
    zhashx_delete(fetches->by_request, &part->request);
    if (status == STATUS_OK)
        keep(fetches, header, payload, false);
    job_t *job;
    while ((job = zlistx_detach(part->jobs, NULL)) != NULL) {
        job->late -= part->late;
        if (status == STATUS_LATE || status == STATUS_UNREACHABLE)
            tell_late(self, job, part);
        answer_part(self, job, part->key.slot, status, header, payload, now);
    }
    free_part(part);
}

//  The first part that waits for `store`, taken out; NULL: there is none.
static part_t *
take_waiting(struct fetches *self, uint64_t store)
{
    for (part_t *part = zlistx_first(self->waiting); part;
         part = zlistx_next(self->waiting))
        if (part->store == store)
            return zlistx_detach(self->waiting, zlistx_cursor(self->waiting));
    return NULL;
}

static void
close_waiting(core_t *self, uint64_t store, status_t status, millis_t now)
{
    part_t *part;
    while ((part = take_waiting(self->fetches, store)) != NULL)
        close_part(self, part, status, NULL, NULL, now);
}

//  A worker answered a part, or never will: the next one's turn.
static void
free_place(core_t *self, worker_t *worker, millis_t now)
{
    part_t *part;
    worker->reads--;
    while (worker->reads < PARTS_PER_WORKER &&
           (part = take_waiting(self->fetches, worker->store)) != NULL)
        if (!send_part(self, worker, part, now))
            close_part(self, part, STATUS_UNREACHABLE, NULL, NULL, now);
}

static void
measure(worker_t *worker, millis_t took)
{
    double ms = took > 0 ? (double)took : 1;
    worker->read_ms += worker->read_ms > 0 ? (ms - worker->read_ms) * TIME_GAIN
                                           : ms;
}

bool
fetch_message(core_t *self, uint64_t session, const message_t *message,
              buffer_t *payload, millis_t now)
{
    part_t *part = zhashx_lookup(self->fetches->by_request, &message->request);
    worker_t *worker = membership_by_session(self->members, session);
    if (!part || !worker || worker->store != part->store)
        return false;  //  Far too late, or never asked of this one
    if (!part->sent)
        return false;  //  Guessed
    measure(worker, now - part->since);
    free_place(self, worker, now);
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        status_t status = message_status(message->refused->status);
        self->counters.values[COUNTER_reads_failed_total_corrupt] +=
            status == STATUS_CORRUPT;
        close_part(self, part, status == STATUS_OK ? STATUS_MALFORMED : status,
                   NULL, NULL, now);
        return true;
    }
    chunk_header_t header;
    status_t status = message->fetched->chunk
                          ? message_to_chunk(message->fetched->chunk, &header)
                          : STATUS_MALFORMED;
    if (status == STATUS_OK &&
        (!payload || chunk_key_compare(&header.key, &part->key) != 0 ||
         header.length != buffer_size(payload) ||
         checksum_crc32c(buffer_bytes(payload), header.length) !=
             header.payload_crc))
        status = STATUS_CORRUPT;
    self->counters.values[COUNTER_reads_failed_total_corrupt] += status !=
                                                                 STATUS_OK;
    self->counters.values[COUNTER_reads_total_store] += status == STATUS_OK;
    self->fetches->source = worker->name;
    self->fetches->source_ms = sink_ms(
        part->asked_us, SINK_CLOCK(self->settings.sink, REQUEST));
    close_part(self, part, status, &header, payload, now);
    self->fetches->source = NULL;
    return true;
}

const char *
fetch_source(const core_t *self, double *ms_r)
{
    *ms_r = self->fetches->source ? self->fetches->source_ms : 0;
    return self->fetches->source;
}

static part_t *
part_of(core_t *self, uint64_t store)
{
    for (part_t *part = zhashx_first(self->fetches->by_request); part;
         part = zhashx_next(self->fetches->by_request))
        if (part->store == store)
            return part;
    return NULL;
}

void
fetch_worker_gone(core_t *self, uint64_t store, millis_t now)
{
    part_t *part;
    worker_t *worker = membership_find(self->members, store);
    if (worker)
        worker->reads = 0;
    close_waiting(self, store, STATUS_UNREACHABLE, now);
    while ((part = part_of(self, store)) != NULL)
        close_part(self, part, STATUS_UNREACHABLE, NULL, NULL, now);
}

//  Its jobs go on without it, and nothing more is asked of its worker.
static void
make_late(core_t *self, part_t *part, worker_t *worker, millis_t now)
{
    counters_up(&self->counters, COUNTER_reads_failed_total_late);
    worker->shunned = now + core_patience(self, SHUN_MS);
    part->late = true;
    part->due = now + core_patience(self, LOST_MS);
    //  What one is answered may ask anew and join this very part: only those
    //  of now, which it holds alive, are to go on.
    size_t count = 0;
    job_t **jobs = zmalloc((zlistx_size(part->jobs) + 1) * sizeof *jobs);
    for (job_t *job = zlistx_first(part->jobs); job;
         job = zlistx_next(part->jobs)) {
        job->late++;
        tell_late(self, job, part);
        jobs[count++] = job;
    }
    for (size_t i = 0; i < count; i++)
        if (!jobs[i]->done)
            gather(self, jobs[i], now);
    free(jobs);
    close_waiting(self, part->store, STATUS_LATE, now);
}

static part_t *
overdue(core_t *self, millis_t now)
{
    for (part_t *part = zhashx_first(self->fetches->by_request); part;
         part = zhashx_next(self->fetches->by_request))
        if (part->due <= now)
            return part;
    return NULL;
}

void
fetch_sweep(core_t *self, millis_t now)
{
    part_t *part;
    if (self->fetches->due > now)
        return;
    while ((part = overdue(self, now)) != NULL) {
        worker_t *worker = membership_find(self->members, part->store);
        if (!part->sent)
            close_waiting(self, part->store, STATUS_LATE, now);
        else if (worker && !part->late)
            make_late(self, part, worker, now);
        else {
            if (worker)
                free_place(self, worker, now);
            close_part(self, part, STATUS_LATE, NULL, NULL, now);
        }
    }
    self->fetches->due = MILLIS_NEVER;
    for (part = zhashx_first(self->fetches->by_request); part;
         part = zhashx_next(self->fetches->by_request))
        self->fetches->due = millis_least(self->fetches->due, part->due);
}

millis_t
fetch_due(core_t *self)
{
    return self->fetches->due;
}
