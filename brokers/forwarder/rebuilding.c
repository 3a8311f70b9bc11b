/*  The catalogue again, from what the workers hold (R16).
 *
 *  Nobody is served meanwhile. The first worker of the cluster file that
 *  belongs to a cluster gives the cluster; the term is above every one heard
 *  and is taken before a worker is welcomed, so that nothing older is stored
 *  behind our back. Every worker that joins counts what it holds; then stream
 *  after stream is scanned and its chain made (rebuild.h). It is recorded only
 *  when every worker that the cluster file names has answered and nothing is
 *  lost, or the loss is accepted. A worker that comes or goes begins it anew.
 */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "origin.h"
#include "rebuild.h"

enum {
    LATE_MS = 2000,  //  A question is asked again after this
    BUSY_MS = 20,    //  Or after this, when the worker has no room
    TELL_MS = 10000,
    FIRST_TELL_MS = 2000,
    ESTIMATE_MS = 5000,  //  What is here is looked at while others are missing
    JOBS_MOST = 64,
    ASKED_MOST = 256,  //  Questions in the air
    READS_MOST = 32,   //  Chunks read at once
    READ_TRIES = 4,
    RECORDS_MOST = 4000000,  //  Of all streams at work, or one stream's
    RECORDED_AT_ONCE = 64,   //  Streams written before others' turn
    LISTED_MOST = 20,        //  Streams that are named in the log
    ABSENT_MOST = 1  //  Stores that may be gone without a word: no stored byte
                     //  lies on one alone (house 1)
};

typedef struct {
    uint64_t store;
    uint64_t session;
    bool fresh;    //  It was of no cluster: an empty directory
    bool counted;  //  It has said what it holds
    uint64_t request;
    chunk_key_t from;
    uint64_t dropped_from;
    millis_t late;
    char name[LIMIT_NAME_BYTES + 1];
} store_t;

//  What a store holds of an epoch.
typedef struct {
    uint64_t store;
    uint64_t epoch;
    uint64_t records;
    uint64_t block;  //  The next to be asked for
    bool scanned;
} place_t;

typedef enum { ENTRY_WAITS, ENTRY_WORKS, ENTRY_MADE, ENTRY_RECORDED } state_t;

//  One stream.
typedef struct {
    uint64_t stream;
    state_t state;
    bool dropped;  //  Some store was told to forget it
    bool older;    //  Another stream has its name now
    uint64_t mark;
    place_t *places;
    size_t count, room;
    size_t asked;        //  Questions of it in the air
    rebuild_t *rebuild;  //  While it is at work
    bool made;           //  `is` is something
    rebuilt_t is;
} entry_t;

//  A question to a worker.
typedef struct {
    uint64_t request;
    uint64_t session;
    uint64_t stream;
    size_t place;  //  SIZE_MAX: a header
    chunk_key_t key;
    millis_t due;
} question_t;

struct rebuilding {
    zhashx_t *stores;     //  store_t by id
    zhashx_t *entries;    //  entry_t by stream
    zhashx_t *questions;  //  question_t by request
    zlistx_t *foreign;    //  Stores of other clusters, told of once
    zlistx_t *fresh;      //  Stores that were of no cluster
    uint64_t pass;        //  Grows when a store comes or goes
    bool passing;         //  Streams are being made
    bool passed;          //  All are made, of the stores there are
    zlistx_t *waiting;    //  entry_t of this pass, lent
    zlistx_t *working;    //  entry_t at work, lent
    uint64_t records;     //  Of those
    size_t reads;         //  In the air, of this pass
    bool recording;
    bool done;
    millis_t changed;  //  When a store came or went last
    millis_t tell_at;
    millis_t due;
    millis_t began;
};

//  A chunk being decoded for a stream, in one pass.
typedef struct {
    core_t *core;
    chunk_key_t key;
    const extent_t *extent;  //  Lent by its rebuild
    uint64_t pass;
    unsigned tries;
} decoding_t;

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
table(void)
{
    zhashx_t *self = zhashx_new();
    zhashx_set_key_hasher(self, hash_id);
    zhashx_set_key_comparator(self, compare_id);
    zhashx_set_key_duplicator(self, NULL);
    zhashx_set_key_destructor(self, NULL);
    return self;
}

static void *
copy_id(const void *id)
{
    uint64_t *copy = zmalloc(sizeof *copy);
    *copy = *(const uint64_t *)id;
    return copy;
}

static void
free_id(void **id_p)
{
    free(*id_p);
    *id_p = NULL;
}

static zlistx_t *
list_of_ids(void)
{
    zlistx_t *list = zlistx_new();
    zlistx_set_duplicator(list, copy_id);
    zlistx_set_destructor(list, free_id);
    zlistx_set_comparator(list, compare_id);
    return list;
}

struct rebuilding *
rebuilding_new(core_t *core, millis_t now)
{
    struct rebuilding *self = zmalloc(sizeof *self);
    self->stores = table();
    self->entries = table();
    self->questions = table();
    self->foreign = list_of_ids();
    self->fresh = list_of_ids();
    self->waiting = zlistx_new();
    self->working = zlistx_new();
    self->began = self->changed = now;
    self->tell_at = now + core_patience(core, FIRST_TELL_MS);
    self->due = self->tell_at;
    return self;
}

//  ---- streams

static void
forget_made(entry_t *entry)
{
    if (entry->made)
        rebuilt_free(&entry->is);
    entry->made = false;
    rebuild_destroy(&entry->rebuild);
    entry->asked = 0;
    entry->older = false;
    entry->state = ENTRY_WAITS;
    for (size_t i = 0; i < entry->count; i++) {
        entry->places[i].block = 0;
        entry->places[i].scanned = false;
    }
}

static void
free_entry(entry_t *entry)
{
    forget_made(entry);
    free(entry->places);
    free(entry);
}

static void
free_all(zhashx_t *table_of)
{
    for (void *item = zhashx_first(table_of); item;
         item = zhashx_next(table_of))
        free(item);
    zhashx_purge(table_of);
}

void
rebuilding_destroy(struct rebuilding **self_p)
{
    struct rebuilding *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (entry_t *entry = zhashx_first(self->entries); entry;
         entry = zhashx_next(self->entries))
        free_entry(entry);
    zhashx_destroy(&self->entries);
    free_all(self->stores);
    zhashx_destroy(&self->stores);
    free_all(self->questions);
    zhashx_destroy(&self->questions);
    zlistx_destroy(&self->foreign);
    zlistx_destroy(&self->fresh);
    zlistx_destroy(&self->waiting);
    zlistx_destroy(&self->working);
    free(self);
}

static entry_t *
have_entry(struct rebuilding *self, uint64_t stream)
{
    entry_t *entry = zhashx_lookup(self->entries, &stream);
    if (entry)
        return entry;
    entry = zmalloc(sizeof *entry);
    entry->stream = stream;
    zhashx_insert(self->entries, &entry->stream, entry);
    return entry;
}

static uint64_t
records_of(const entry_t *entry)
{
    uint64_t records = 0;
    for (size_t i = 0; i < entry->count; i++)
        records += entry->places[i].records;
    return records;
}

static void
add_place(entry_t *entry, uint64_t store, uint64_t epoch, uint64_t records)
{
    //  Answers are cut within an epoch, too, and those of several stores come
    //  in any order; those of one in the order of its epochs.
    size_t at = entry->count;
    while (at > 0 && entry->places[at - 1].store != store)
        at--;
    if (at > 0 && entry->places[at - 1].epoch == epoch) {
        entry->places[at - 1].records += records;
        return;
    }
    if (entry->count == entry->room) {
        entry->room = entry->room ? 2 * entry->room : 8;
        entry->places = realloc(entry->places,
                                entry->room * sizeof *entry->places);
        INVARIANT(entry->places);
    }
    entry->places[entry->count++] = (place_t){ .store = store,
                                               .epoch = epoch,
                                               .records = records };
}

//  ---- a pass

static void
soon(struct rebuilding *self, millis_t due)
{
    self->due = millis_least(self->due, due);
}

//  What was made so far counts no more.
static void
begin_anew(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    rebuilding->pass++;
    rebuilding->passing = rebuilding->passed = rebuilding->recording = false;
    rebuilding->records = rebuilding->reads = 0;
    rebuilding->changed = now;
    zlistx_purge(rebuilding->waiting);
    zlistx_purge(rebuilding->working);
    free_all(rebuilding->questions);
    for (entry_t *entry = zhashx_first(rebuilding->entries); entry;
         entry = zhashx_next(rebuilding->entries))
        forget_made(entry);
    soon(rebuilding, now);
}

static const store_t *
store_named(const struct rebuilding *self, const char *name)
{
    for (store_t *store = zhashx_first(self->stores); store;
         store = zhashx_next(self->stores))
        if (streq(store->name, name))
            return store;
    return NULL;
}

//  How many workers of the cluster file have not said what they hold.
static size_t
missing(const core_t *core, char *text, size_t size)
{
    const struct rebuilding *self = core->rebuilding;
    size_t count = 0, used = 0;
    text[0] = 0;
    for (size_t i = 0; i < core->names_count; i++) {
        const store_t *store = store_named(self, core->names[i]);
        if (store && store->counted)
            continue;
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s",
                                     count ? "," : "", core->names[i]);
        count++;
    }
    return count;
}

static bool
all_counted(const struct rebuilding *self)
{
    for (store_t *store = zhashx_first(self->stores); store;
         store = zhashx_next(self->stores))
        if (!store->counted)
            return false;
    return zhashx_size(self->stores) > 0;
}

static question_t *
new_question(core_t *self, entry_t *entry, uint64_t session, millis_t now)
{
    question_t *question = zmalloc(sizeof *question);
    question->request = ++self->request;
    question->session = session;
    question->stream = entry->stream;
    question->place = SIZE_MAX;
    question->due = now + core_patience(self, LATE_MS);
    zhashx_insert(self->rebuilding->questions, &question->request, question);
    soon(self->rebuilding, question->due);
    entry->asked++;
    return question;
}

static void
say(core_t *self, question_t *question)
{
    if (question->place == SIZE_MAX) {
        Rill__V1__ChunkKey key = message_from_key(question->key);
        Rill__V1__Fetch fetch = RILL__V1__FETCH__INIT;
        fetch.key = &key;
        fetch.header_only = true;
        message_t message = MESSAGE(FETCH, fetch, &fetch, question->request, 0);
        (void)self->effects.ask(self->with, question->session, &message);
        return;
    }
    Rill__V1__Scan scan = RILL__V1__SCAN__INIT;
    scan.stream = question->key.stream;
    scan.epoch = question->key.epoch;
    scan.block = question->key.block;
    message_t message = MESSAGE(SCAN, scan, &scan, question->request, 0);
    (void)self->effects.ask(self->with, question->session, &message);
}

static void
ask_scan(core_t *self, entry_t *entry, size_t nth, millis_t now)
{
    const place_t *place = &entry->places[nth];
    const store_t *store = zhashx_lookup(self->rebuilding->stores,
                                         &place->store);
    INVARIANT(store);
    question_t *question = new_question(self, entry, store->session, now);
    question->place = nth;
    question->key = (chunk_key_t){ .stream = entry->stream,
                                   .epoch = place->epoch,
                                   .block = place->block };
    say(self, question);
}

static void on_decoded(void *arg, status_t status, const chunk_header_t *header,
                       buffer_t *payload, bool decoded, millis_t now);

static void
decode(decoding_t *decoding, millis_t now)
{
    decoding->tries++;
    fetch_chunk(decoding->core, decoding->key.stream, decoding->extent,
                decoding->key.block, decoding->key.slot, 0, on_decoded,
                decoding, now);
}

//  Of a bit that was flipped on the way nothing follows: it is read again.
static void
on_decoded(void *arg, status_t status, const chunk_header_t *header,
           buffer_t *payload, bool decoded, millis_t now)
{
    decoding_t *decoding = arg;
    core_t *self = decoding->core;
    chunk_key_t key = decoding->key;
    bool over = status == STATUS_STOPPING ||
                decoding->pass != self->rebuilding->pass;
    (void)payload, (void)decoded;
    if (!over && status == STATUS_CORRUPT && decoding->tries < READ_TRIES) {
        decode(decoding, now);
        return;
    }
    free(decoding);
    if (over)
        return;
    entry_t *entry = zhashx_lookup(self->rebuilding->entries, &key.stream);
    INVARIANT(entry && entry->state == ENTRY_WORKS);
    entry->asked--;
    self->rebuilding->reads--;
    rebuild_answer(entry->rebuild, &key, status == STATUS_OK ? header : NULL);
    //  Not from within the question: it may be answered from memory.
    soon(self->rebuilding, now);
}

static void
ask_want(core_t *self, entry_t *entry, const rebuild_want_t *want, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    if (want->kind == REBUILD_CHUNK) {
        decoding_t *decoding = zmalloc(sizeof *decoding);
        *decoding = (decoding_t){ .core = self,
                                  .key = want->key,
                                  .extent = want->extent,
                                  .pass = rebuilding->pass };
        entry->asked++;
        rebuilding->reads++;
        decode(decoding, now);
        return;
    }
    const store_t *store = zhashx_lookup(rebuilding->stores, &want->store);
    INVARIANT(store);
    question_t *question = new_question(self, entry, store->session, now);
    question->key = want->key;
    say(self, question);
}

static bool
scanned(const entry_t *entry)
{
    for (size_t i = 0; i < entry->count; i++)
        if (!entry->places[i].scanned)
            return false;
    return true;
}

static void
finish(core_t *self, entry_t *entry, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    entry->made = rebuild_chain(entry->rebuild, &entry->is);
    rebuild_destroy(&entry->rebuild);
    entry->state = ENTRY_MADE;
    rebuilding->records -= records_of(entry);
    zlistx_detach(rebuilding->working, zlistx_find(rebuilding->working, entry));
    soon(rebuilding, now);
}

static void
work_on(core_t *self, entry_t *entry, millis_t now)
{
    rebuild_want_t want;
    if (!scanned(entry))
        return;
    while (self->rebuilding->reads < READS_MOST) {
        if (rebuild_wants(entry->rebuild, &want))
            ask_want(self, entry, &want, now);
        else {
            if (entry->asked == 0)
                finish(self, entry, now);
            return;
        }
    }
}

static void
begin_entry(core_t *self, entry_t *entry, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    entry->state = ENTRY_WORKS;
    entry->rebuild = rebuild_new(entry->stream);
    rebuild_mark(entry->rebuild, entry->mark);
    for (store_t *store = zhashx_first(rebuilding->stores); store;
         store = zhashx_next(rebuilding->stores))
        if (!store->fresh)
            (void)rebuild_store(entry->rebuild, store->store);
    rebuilding->records += records_of(entry);
    zlistx_add_end(rebuilding->working, entry);
    for (size_t i = 0; i < entry->count; i++)
        ask_scan(self, entry, i, now);
}

static bool
room_for(const struct rebuilding *self, const entry_t *entry)
{
    return zlistx_size(self->working) == 0 ||
           (zlistx_size(self->working) < JOBS_MOST &&
            zhashx_size(self->questions) + entry->count < ASKED_MOST &&
            self->records + records_of(entry) <= RECORDS_MOST);
}

static void
begin_pass(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    rebuilding->passing = true;
    for (entry_t *entry = zhashx_first(rebuilding->entries); entry;
         entry = zhashx_next(rebuilding->entries))
        if (!entry->dropped && entry->count)
            zlistx_add_end(rebuilding->waiting, entry);
    core_note(self, 1, "rebuild-scans streams=%zu workers=%zu",
              zlistx_size(rebuilding->waiting),
              zhashx_size(rebuilding->stores));
    soon(rebuilding, now);
}

//  ---- two streams of one name: the older one was removed

static int
compare_names(const void *a, const void *b)
{
    const entry_t *one = a, *other = b;
    return strcmp(one->is.record.name, other->is.record.name);
}

static uint64_t
newest_epoch(const entry_t *entry)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < entry->count; i++)
        if (entry->places[i].epoch > newest)
            newest = entry->places[i].epoch;
    return newest;
}

static void
settle_names(struct rebuilding *self)
{
    zlistx_t *made = zlistx_new();
    zlistx_set_comparator(made, compare_names);
    for (entry_t *entry = zhashx_first(self->entries); entry;
         entry = zhashx_next(self->entries))
        if (entry->made)
            zlistx_add_end(made, entry);
    zlistx_sort(made);
    entry_t *before = NULL;
    for (entry_t *entry = zlistx_first(made); entry;
         entry = zlistx_next(made)) {
        if (before && compare_names(before, entry) == 0) {
            bool older = newest_epoch(entry) < newest_epoch(before);
            (older ? entry : before)->older = true;
            before = older ? before : entry;
        } else
            before = entry;
    }
    zlistx_destroy(&made);
}

//  ---- what is lost

//  Of what retention drops nobody can say whether it was that; what is younger
//  was not.
static bool
is_lost(const core_t *self, const entry_t *entry)
{
    const retention_limits_t *limits = &self->settings.retention;
    if (entry->dropped || entry->older || entry->count == 0)
        return false;
    if (!entry->made || !entry->is.lost)
        return !entry->made;  //  Not even its name
    if (!entry->is.outlived ||
        entry->is.record.retention != RETENTION_LIMITED ||
        !retention_limited(&self->retention))
        return true;
    micros_t age = self->effects.wall_us(self->with) - entry->is.after_us;
    return !limits->most_bytes && !limits->keep_free &&
           age < (micros_t)limits->keep_ms * 1000;
}

//  Streams that lose something, the first of them named in the log.
static size_t
tell_lost(core_t *self)
{
    struct rebuilding *rebuilding = self->rebuilding;
    size_t count = 0;
    for (entry_t *entry = zhashx_first(rebuilding->entries); entry;
         entry = zhashx_next(rebuilding->entries)) {
        const rebuilt_t *is = &entry->is;
        if (!is_lost(self, entry) || ++count > LISTED_MOST)
            continue;
        if (!entry->made)
            core_note(self, 0, "rebuild-loses stream_id=%016" PRIx64,
                      entry->stream);
        else if (is->lost_to == UINT64_MAX)
            core_note(self, 0, "rebuild-loses stream=%s from=%" PRIu64,
                      is->record.name, is->lost_from);
        else
            core_note(self, 0,
                      "rebuild-loses stream=%s from=%" PRIu64 " to=%" PRIu64,
                      is->record.name, is->lost_from, is->lost_to);
    }
    return count;
}

//  How many stores that held something are not here, at least.
static size_t
absent_stores(const struct rebuilding *self)
{
    size_t absent = 0;
    for (entry_t *entry = zhashx_first(self->entries); entry;
         entry = zhashx_next(self->entries))
        if (entry->made && entry->is.absent > absent)
            absent = entry->is.absent;
    return absent;
}

//  What it waits for, and what it would lose.
static void
tell(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    char names[256];
    size_t count = missing(self, names, sizeof names);
    rebuilding->tell_at = now + core_patience(self, TELL_MS);
    if (!catalogue_cluster(self->catalogue))
        core_note(self, 1,
                  "rebuild-waits why=\"no worker that belongs to a cluster was "
                  "heard\"");
    if (count)
        core_note(self, 1,
                  "rebuild-waits for=%s why=\"every worker of the cluster file "
                  "has to say what it holds; one that is gone for good is to "
                  "be taken out of the file\"",
                  names);
    if (!rebuilding->passed)
        return;
    size_t lost = tell_lost(self), absent = absent_stores(rebuilding);
    if (count && lost)
        core_note(self, 1, "rebuild-estimate without=%s streams_that_lose=%zu",
                  names, lost);
    else if (lost)
        core_note(self, 0,
                  "rebuild-waits streams_that_lose=%zu why=\"a store that had "
                  "this is missing; start it, or start with --rebuild "
                  "--accept-loss\"",
                  lost);
    if (absent > ABSENT_MOST && !count && !self->settings.accept_loss)
        core_note(
            self, 0,
            "rebuild-waits absent_stores=%zu why=\"what only they had would "
            "be lost unseen; start them, or start with --rebuild "
            "--accept-loss\"",
            absent);
}

//  ---- recording

static status_t
record_removed(core_t *self, const entry_t *entry)
{
    uint64_t stores[LIMIT_WORKERS];
    size_t count = 0;
    for (size_t i = 0; i < entry->count; i++) {
        size_t at = 0;
        while (at < count && stores[at] != entry->places[i].store)
            at++;
        if (at == count && count < LIMIT_WORKERS)
            stores[count++] = entry->places[i].store;
    }
    return catalogue_forgotten(self->catalogue, entry->stream, stores, count);
}

//  What lies before a place from which retention has dropped something is
//  dropped, too.
static void
trim(rebuilt_t *is)
{
    size_t dead = 0;
    while (dead < is->count && is->chain[dead]->epoch < is->from_epoch)
        extent_free(is->chain[dead++]);
    is->count -= dead;
    memmove(is->chain, is->chain + dead, is->count * sizeof(*is->chain));
    is->record.first_index = is->chain[0]->base_index;
}

static status_t
record_entry(core_t *self, entry_t *entry)
{
    entry->state = ENTRY_RECORDED;
    //  Of what is lost whole only the name would be left.
    bool nothing = !entry->made || (entry->is.lost && entry->is.count == 0);
    if (entry->dropped || entry->older || nothing)
        return record_removed(self, entry);
    stream_record_t *is = &entry->is.record;
    if (is_lost(self, entry)) {
        is->lost_us = self->effects.wall_us(self->with);
        is->lost_from = entry->is.lost_from;
        is->lost_to = entry->is.lost_to;
    } else if (entry->is.lost)
        trim(&entry->is);
    for (size_t i = 0; i < entry->is.unknown; i++) {
        char name[32];
        snprintf(name, sizeof name, "lost-store-%zu", i + 1);
        catalogue_call(self->catalogue, PLACEMENT_LOST(i), name);
    }
    core_note(self, 2,
              "rebuilt stream=%s extents=%zu sealed=%s reach=%" PRIu64
              " unknown_stores=%zu",
              is->name, entry->is.count, is->sealed ? "yes" : "no",
              entry->is.reach, entry->is.unknown);
    return catalogue_switch(self->catalogue, is, NULL, 0, entry->is.chain,
                            entry->is.count);
}

static status_t
record_clock(core_t *self)
{
    micros_t newest = 0;
    for (entry_t *entry = zhashx_first(self->rebuilding->entries); entry;
         entry = zhashx_next(self->rebuilding->entries))
        if (entry->made && entry->is.last_us > newest)
            newest = entry->is.last_us;
    return newest ? catalogue_put_horizon(self->catalogue, RETENTION_LIMITED,
                                          newest, 0)
                  : STATUS_OK;
}

static void
record(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    status_t status = STATUS_OK;
    size_t written = 0, streams = 0;
    bool all = true;
    for (entry_t *entry = zhashx_first(rebuilding->entries);
         entry && status == STATUS_OK && all;
         entry = zhashx_next(rebuilding->entries)) {
        streams += entry->made && !entry->dropped && !entry->older;
        if (entry->state == ENTRY_RECORDED)
            continue;
        if (written++ == RECORDED_AT_ONCE)
            all = false;
        else
            status = record_entry(self, entry);
    }
    if (status == STATUS_OK && all)
        status = record_clock(self);
    if (status == STATUS_OK && all)
        status = catalogue_rebuilt(self->catalogue);
    if (status != STATUS_OK)
        core_fail(self, status, "the new catalogue could not be recorded");
    soon(rebuilding, now);
    if (status != STATUS_OK || !all)
        return;
    rebuilding->done = true;
    core_note(
        self, 1, "rebuilt streams=%zu workers=%zu term=%" PRIu64 " ms=%lld",
        streams, zhashx_size(rebuilding->stores),
        catalogue_term(self->catalogue), (long long)(now - rebuilding->began));
}

//  Whether what was made may be recorded.
static bool
may_record(core_t *self)
{
    struct rebuilding *rebuilding = self->rebuilding;
    char names[256];
    if (missing(self, names, sizeof names))
        return false;
    if (self->settings.accept_loss)
        return true;
    for (entry_t *entry = zhashx_first(rebuilding->entries); entry;
         entry = zhashx_next(rebuilding->entries))
        if (is_lost(self, entry))
            return false;
    return absent_stores(rebuilding) <= ABSENT_MOST;
}

static void
end_pass(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    rebuilding->passing = false;
    rebuilding->passed = true;
    settle_names(rebuilding);
    rebuilding->recording = may_record(self);
    if (!rebuilding->recording || self->settings.accept_loss)
        tell(self, now);
}

//  ---- workers

bool
rebuilding_hello(core_t *self, const Rill__V1__Hello *hello, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    uint64_t cluster = catalogue_cluster(self->catalogue);
    bool named = core_in_file(self, hello->name);
    if (rebuilding->recording || rebuilding->done)
        return false;
    if (!cluster && (!hello->cluster || !named))
        return false;  //  It says so again
    if (cluster && hello->cluster && hello->cluster != cluster) {
        if (zlistx_find(rebuilding->foreign, (void *)(uintptr_t)&hello->store))
            return false;
        zlistx_add_end(rebuilding->foreign, (void *)(uintptr_t)&hello->store);
        core_note(self, 0,
                  "rebuild-passes worker=%s cluster=%016" PRIx64
                  " ours=%016" PRIx64,
                  hello->name, hello->cluster, cluster);
        return false;
    }
    void *store = (void *)(uintptr_t)&hello->store;
    if (!hello->cluster && !zlistx_find(rebuilding->fresh, store))
        zlistx_add_end(rebuilding->fresh, store);
    if (hello->term < catalogue_term(self->catalogue))
        return true;
    status_t status = catalogue_take(
        self->catalogue, cluster ? cluster : hello->cluster, hello->term + 1);
    if (status != STATUS_OK) {
        core_fail(self, status, "the new term could not be recorded");
        return false;
    }
    core_note(self, 1, "rebuild-term cluster=%016" PRIx64 " term=%" PRIu64,
              catalogue_cluster(self->catalogue),
              catalogue_term(self->catalogue));
    //  Who was welcomed with a lower one joins anew.
    worker_t **all;
    size_t count = membership_all(self->members, &all);
    for (size_t i = 0; i < count; i++)
        if (all[i]->state != WORKER_AWAY)
            members_leave(self, all[i], false, "a higher term is taken", now);
    return true;
}

static void
ask_count(core_t *self, store_t *store, millis_t now)
{
    Rill__V1__ChunkKey from = message_from_key(store->from);
    Rill__V1__Count count = RILL__V1__COUNT__INIT;
    count.from = &from;
    count.dropped_from = store->dropped_from;
    store->request = ++self->request;
    store->late = now + core_patience(self, LATE_MS);
    soon(self->rebuilding, store->late);
    message_t message = MESSAGE(COUNT, count, &count, store->request, 0);
    (void)self->effects.ask(self->with, store->session, &message);
}

void
rebuilding_gone(core_t *self, uint64_t id, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    store_t *store = zhashx_lookup(rebuilding->stores, &id);
    if (!store || rebuilding->recording || rebuilding->done)
        return;
    zhashx_delete(rebuilding->stores, &id);
    free(store);
    for (entry_t *entry = zhashx_first(rebuilding->entries); entry;
         entry = zhashx_next(rebuilding->entries)) {
        size_t kept = 0;
        for (size_t i = 0; i < entry->count; i++)
            if (entry->places[i].store != id)
                entry->places[kept++] = entry->places[i];
        entry->count = kept;
    }
    begin_anew(self, now);
}

void
rebuilding_joined(core_t *self, const worker_t *worker, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    if (rebuilding->recording || rebuilding->done)
        return;
    rebuilding_gone(self, worker->store, now);
    store_t *store = zmalloc(sizeof *store);
    store->store = worker->store;
    store->session = worker->session;
    store->fresh = zlistx_find(rebuilding->fresh, &store->store) != NULL;
    snprintf(store->name, sizeof store->name, "%s", worker->name);
    zhashx_insert(rebuilding->stores, &store->store, store);
    catalogue_call(self->catalogue, store->store, store->name);
    begin_anew(self, now);
    ask_count(self, store, now);
}

static store_t *
store_of_session(struct rebuilding *self, uint64_t session)
{
    for (store_t *store = zhashx_first(self->stores); store;
         store = zhashx_next(self->stores))
        if (store->session == session)
            return store;
    return NULL;
}

void
rebuilding_counted(core_t *self, uint64_t session, const message_t *message,
                   millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    const Rill__V1__Counted *counted = message->counted;
    store_t *store = store_of_session(rebuilding, session);
    if (!store || store->counted || store->request != message->request)
        return;
    for (size_t i = 0; i < counted->n_held; i++) {
        const Rill__V1__Holding *held = counted->held[i];
        entry_t *entry = have_entry(rebuilding, held->stream);
        add_place(entry, store->store, held->epoch, held->records);
        if (held->settled > entry->mark)
            entry->mark = held->settled;
    }
    for (size_t i = 0; i < counted->n_dropped; i++)
        have_entry(rebuilding, counted->dropped[i])->dropped = true;
    chunk_key_t next = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX };
    if (counted->next)
        next = message_to_key(counted->next);
    if (counted->next || counted->dropped_next) {
        //  Who turns in circles is asked again when that is late.
        if (chunk_key_compare(&next, &store->from) <= 0 &&
            counted->dropped_next <= store->dropped_from)
            return;
        store->from = next;
        store->dropped_from = counted->dropped_next ? counted->dropped_next
                                                    : UINT64_MAX;
        ask_count(self, store, now);
        return;
    }
    store->counted = true;
    rebuilding->changed = now;
    core_note(self, 1, "rebuild-counted worker=%s", store->name);
    soon(rebuilding, now);
}

//  ---- answers

static question_t *
question_of(core_t *self, uint64_t session, const message_t *message)
{
    question_t *question = zhashx_lookup(self->rebuilding->questions,
                                         &message->request);
    return question && question->session == session ? question : NULL;
}

static void
close_question(core_t *self, question_t *question, entry_t *entry)
{
    zhashx_delete(self->rebuilding->questions, &question->request);
    free(question);
    entry->asked--;
}

void
rebuilding_scanned(core_t *self, uint64_t session, const message_t *message,
                   millis_t now)
{
    question_t *question = question_of(self, session, message);
    if (!question || question->place == SIZE_MAX)
        return;
    const Rill__V1__Scanned *said = message->scanned;
    entry_t *entry = zhashx_lookup(self->rebuilding->entries,
                                   &question->stream);
    size_t nth = question->place;
    place_t *place = &entry->places[nth];
    uint64_t last = place->block;
    for (size_t i = 0; i < said->n_chunks; i++) {
        const Rill__V1__ScannedChunk *chunk = said->chunks[i];
        rebuild_record_t record = {
            .epoch = place->epoch,
            .block = chunk->block,
            .slot = chunk->slot,
            .offset = chunk->offset,
            .length = chunk->length,
            .flags = (uint16_t)chunk->flags,
        };
        (void)rebuild_add(entry->rebuild, place->store, &record);
        last = chunk->block;
    }
    close_question(self, question, entry);
    place->scanned = !said->more || said->n_chunks == 0;
    place->block = last + 1;
    if (place->scanned)
        work_on(self, entry, now);
    else
        ask_scan(self, entry, nth, now);
}

void
rebuilding_fetched(core_t *self, uint64_t session, const message_t *message,
                   millis_t now)
{
    question_t *question = question_of(self, session, message);
    if (!question || question->place != SIZE_MAX)
        return;
    entry_t *entry = zhashx_lookup(self->rebuilding->entries,
                                   &question->stream);
    chunk_header_t header;
    bool read = message->fetched->chunk &&
                message_to_chunk(message->fetched->chunk, &header) == STATUS_OK;
    chunk_key_t key = question->key;
    close_question(self, question, entry);
    rebuild_answer(entry->rebuild, &key, read ? &header : NULL);
    work_on(self, entry, now);
}

void
rebuilding_refused(core_t *self, uint64_t session, const message_t *message,
                   millis_t now)
{
    question_t *question = question_of(self, session, message);
    if (!question)
        return;
    status_t status = message_status(message->refused->status);
    bool again = question->place != SIZE_MAX || status == STATUS_BUSY;
    if (again) {
        question->due = now + BUSY_MS;
        soon(self->rebuilding, question->due);
        return;
    }
    entry_t *entry = zhashx_lookup(self->rebuilding->entries,
                                   &question->stream);
    chunk_key_t key = question->key;
    close_question(self, question, entry);
    rebuild_answer(entry->rebuild, &key, NULL);
    work_on(self, entry, now);
}

//  ---- time

static void
ask_again(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    zlistx_t *late = zlistx_new();
    for (question_t *question = zhashx_first(rebuilding->questions); question;
         question = zhashx_next(rebuilding->questions)) {
        if (question->due <= now)
            zlistx_add_end(late, question);
        else
            soon(rebuilding, question->due);
    }
    for (question_t *question = zlistx_first(late); question;
         question = zlistx_next(late)) {
        question->due = now + core_patience(self, LATE_MS);
        soon(rebuilding, question->due);
        say(self, question);
    }
    zlistx_destroy(&late);
    for (store_t *store = zhashx_first(rebuilding->stores); store;
         store = zhashx_next(rebuilding->stores)) {
        if (store->counted)
            continue;
        if (store->late <= now)
            ask_count(self, store, now);
        else
            soon(rebuilding, store->late);
    }
}

static void
go_on(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    char names[256];
    bool here = missing(self, names, sizeof names) == 0;
    millis_t estimate = rebuilding->changed + core_patience(self, ESTIMATE_MS);
    if (!rebuilding->passing && !rebuilding->passed &&
        all_counted(rebuilding)) {
        if (here || estimate <= now)
            begin_pass(self, now);
        else
            soon(rebuilding, estimate);
    }
    zlistx_t *working = zlistx_dup(rebuilding->working);
    for (entry_t *entry = zlistx_first(working); entry;
         entry = zlistx_next(working))
        work_on(self, entry, now);
    zlistx_destroy(&working);
    while (zlistx_size(rebuilding->waiting) &&
           room_for(rebuilding, zlistx_first(rebuilding->waiting)))
        begin_entry(self, zlistx_detach(rebuilding->waiting, NULL), now);
    if (rebuilding->passing && zlistx_size(rebuilding->waiting) == 0 &&
        zlistx_size(rebuilding->working) == 0)
        end_pass(self, now);
    if (rebuilding->recording)
        record(self, now);
}

void
rebuilding_sweep(core_t *self, millis_t now)
{
    struct rebuilding *rebuilding = self->rebuilding;
    if (rebuilding->done)
        return;
    rebuilding->due = MILLIS_NEVER;
    ask_again(self, now);
    go_on(self, now);
    if (rebuilding->tell_at <= now)
        tell(self, now);
    soon(rebuilding, rebuilding->tell_at);
}

millis_t
rebuilding_due(const core_t *self)
{
    return self->rebuilding->done ? MILLIS_NEVER : self->rebuilding->due;
}

bool
rebuilding_done(const core_t *self)
{
    return self->rebuilding->done;
}
