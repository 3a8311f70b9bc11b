/*  Chunks from workers: whole from the one that has it, else decoded from any
 *  k others (R14, the reading half).
 *
 *  A job wants one data chunk. Parts are what is asked of workers, one message
 *  a key however many jobs want it. What came lately is kept: the other lost
 *  chunks of a decoded block are asked for next.
 */
#include <string.h>

#include "checksum.h"
#include "invariant.h"
#include "origin.h"

enum {
    PART_LATE_MS = 500,  //  A hop's patience
    SHUN_MS = 2000,      //  A worker that let one wait is not asked
    KEPT_BYTES = 32 * 1024 * 1024,
};

typedef struct {
    chunk_key_t key;
    uint64_t request;
    uint64_t store;
    millis_t due;
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
    bool tried[LIMIT_SLOTS];
    unsigned asked;  //  In the air
    unsigned have;
    unsigned corrupt;
    chunk_header_t *headers[LIMIT_SLOTS];
    buffer_t *payloads[LIMIT_SLOTS];
    bool done;
} job_t;

struct fetches {
    zhashx_t *by_request;   //  part_t, owned
    zhashx_t *by_key;       //  part_t, lent
    zhashx_t *kept_by_key;  //  kept_t, lent
    zlistx_t *kept;         //  kept_t, oldest first; owned
    size_t kept_bytes;
    millis_t due;  //  Not later than the earliest part's
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
    self->kept_by_key = table(hash_key, compare_key);
    self->kept = zlistx_new();
    self->due = MILLIS_NEVER;
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

//  Ask the worker that has the slot; one that let somebody wait lately only
//  when `desperate`. False: it cannot be asked now.
static bool
ask_part(core_t *self, job_t *job, unsigned slot, bool desperate, millis_t now)
{
    struct fetches *fetches = self->fetches;
    chunk_key_t key = slot_key(job, slot);
    part_t *part = zhashx_lookup(fetches->by_key, &key);
    if (part) {
        zlistx_add_end(part->jobs, job);
        job->tried[slot] = true;
        job->asked++;
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
    part->due = now + core_patience(self, PART_LATE_MS);
    Rill__V1__ChunkKey wire = message_from_key(key);
    Rill__V1__Fetch fetch = RILL__V1__FETCH__INIT;
    fetch.key = &wire;
    message_t message = MESSAGE(FETCH, fetch, &fetch, part->request, 0);
    if (self->effects.ask(self->with, worker->session, &message) != STATUS_OK) {
        free(part);
        return false;
    }
    part->jobs = zlistx_new();
    zlistx_add_end(part->jobs, job);
    job->asked++;
    zhashx_insert(fetches->by_request, &part->request, part);
    zhashx_insert(fetches->by_key, &part->key, part);
    fetches->due = millis_least(fetches->due, part->due);
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
    self->counters.decoded_reads += status == STATUS_OK;
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
    for (unsigned i = 0; i < slots && job->have + job->asked < code.k; i++) {
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
            uint64_t block, unsigned slot, fetch_fn *answer, void *arg,
            millis_t now)
{
    INVARIANT(slot < extent->code.k);
    chunk_key_t key = {
        .stream = stream, .epoch = extent->epoch, .block = block, .slot = slot
    };
    kept_t *kept = zhashx_lookup(self->fetches->kept_by_key, &key);
    if (kept) {
        self->counters.cached_reads++;
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
    job->extent = extent_new(extent->width);
    uint64_t *stores = job->extent->stores;
    *job->extent = *extent;
    job->extent->stores = stores;
    memcpy(stores, extent->stores, extent->width * sizeof *stores);
    if (!ask_part(self, job, slot, false, now))
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
    while ((job = zlistx_detach(part->jobs, NULL)) != NULL)
        answer_part(self, job, part->key.slot, status, header, payload, now);
    free_part(part);
}

bool
fetch_message(core_t *self, uint64_t session, const message_t *message,
              buffer_t *payload, millis_t now)
{
    part_t *part = zhashx_lookup(self->fetches->by_request, &message->request);
    worker_t *worker = membership_by_session(self->members, session);
    if (!part || !worker || worker->store != part->store)
        return false;  //  Too late, or never asked of this one
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        status_t status = message_status(message->refused->status);
        self->counters.corrupt_reads += status == STATUS_CORRUPT;
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
    self->counters.corrupt_reads += status != STATUS_OK;
    self->counters.store_reads += status == STATUS_OK;
    close_part(self, part, status, &header, payload, now);
    return true;
}

//  The next part that `worker` was asked for, or that is late at `now`.
static part_t *
overdue(core_t *self, uint64_t store, millis_t now)
{
    for (part_t *part = zhashx_first(self->fetches->by_request); part;
         part = zhashx_next(self->fetches->by_request))
        if (part->store == store || (!store && part->due <= now))
            return part;
    return NULL;
}

void
fetch_worker_gone(core_t *self, uint64_t store, millis_t now)
{
    part_t *part;
    while ((part = overdue(self, store, now)) != NULL)
        close_part(self, part, STATUS_UNREACHABLE, NULL, NULL, now);
}

void
fetch_sweep(core_t *self, millis_t now)
{
    part_t *part;
    if (self->fetches->due > now)
        return;
    while ((part = overdue(self, 0, now)) != NULL) {
        self->counters.late_fetches++;
        worker_t *worker = membership_find(self->members, part->store);
        if (worker)
            worker->shunned = now + core_patience(self, SHUN_MS);
        close_part(self, part, STATUS_LATE, NULL, NULL, now);
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
