/*  bench-chunkstore - the chunk store beside a bare file
 *
 *  bench-chunkstore [DIR [CHUNK_KIB [TOTAL_MIB [ROUNDS]]]]
 *
 *  Works in a folder of its own inside DIR (/tmp), which is removed at the end.
 *  At least 64 chunks.
 *
 *  Stores chunks of 16 interleaved streams, and writes as many bytes of the
 *  same size into one fallocated file with the same calls: direct writes, 4 in
 *  flight, an fdatasync every 4 MiB; and a quarter of them into LevelDB, payload
 *  and all, a synced batch of 16 at a time. In turn, so that the machine's noise
 *  hits all. Prints of each round MB/s, CPU seconds per GB, and of the store
 *  bytes written per byte of payload; of both the time until a chunk is durable,
 *  from the append or the begin of the write (99 of 100), and of the store its
 *  median and the longest time in which nothing became durable. Then of random
 *  cold reads, one at a time, from one and the other in turn, 99 of 100. Then,
 *  a few times, all even streams of what was stored last are dropped while new
 *  chunks are stored: how long until they are forgotten, the bytes written per
 *  byte stored meanwhile, and the rate of storing beside that of as many chunks
 *  without a drop, just before or just after. And how long the store takes to
 *  open with all that it then has.
 */
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "chunkstore.h"
#include "invariant.h"
#include "random.h"

enum {
    STREAMS = 16,
    WARM_MIB = 256,  //  Of different payload: more than any cache
    FLIGHT_MIB = 4,  //  Offered and not yet durable
    SYNC_MIB = 4,    //  The bare file's
    DEPTH = 4,
    READS = 3000,     //  As many as there are chunks, and no more
    PAIRS = 4,        //  Of storing while much is dropped, and without
    BATCH = 16,       //  Chunks that LevelDB is given at once
    TABLE_SHARE = 4,  //  It is given one of so many
    MOST_ROUNDS = 99,
};

typedef struct {
    double seconds, cpu, written;
    size_t chunks;  //  What was done meanwhile
} cost_t;

static size_t chunk_bytes = 256 * 1024, chunk_count;
static buffer_t **payloads;
static uint32_t *crcs;
static size_t payload_count;

//  ---------------------------------------------------------------------------
//  Clocks

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double
cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

//  Bytes that this process had written to its disks.
static double
written_bytes(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    char line[100];
    double bytes = 0;
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "write_bytes:", 12) == 0)
            bytes = atof(line + 12);
    if (file)
        fclose(file);
    return bytes;
}

static cost_t
cost_now(void)
{
    return (cost_t){ seconds(), cpu_seconds(), written_bytes(), 0 };
}

static cost_t
cost_since(cost_t begun, size_t chunks)
{
    cost_t now = cost_now();
    return (cost_t){ now.seconds - begun.seconds, now.cpu - begun.cpu,
                     now.written - begun.written, chunks };
}

static double
written_per_byte(cost_t cost)
{
    return cost.written / (double)chunk_bytes / (double)cost.chunks;
}

static double
rate(cost_t cost)
{
    return (double)chunk_bytes * (double)cost.chunks / 1e6 / cost.seconds;
}

static double
cpu_per_gb(cost_t cost)
{
    return cost.cpu / ((double)chunk_bytes * (double)cost.chunks / 1e9);
}

static void
wait_for(int fd)
{
    struct pollfd ready = { fd, POLLIN, 0 };
    poll(&ready, 1, 1000);
}

static void
give_up(const char *why)
{
    fprintf(stderr, "bench-chunkstore: %s\n", why);
    exit(74);
}

static void
remove_all(const char *path)
{
    char command[4300];
    snprintf(command, sizeof(command), "rm -r '%s'", path);
    INVARIANT(system(command) == 0);
}

//  ---------------------------------------------------------------------------
//  Of many values

static int
compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double
median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

//  99 of 100 are below it.
static double
late(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count * 99 / 100];
}

//  ---------------------------------------------------------------------------
//  The bare file

//  The token of the n-th write is n.
typedef struct {
    files_t *files;
    char path[4200];
    uint8_t *bytes;
    int handle;
    size_t begun, ended, syncing_to, synced_to;
    size_t *written;  //  Which write ended as the n-th
    double *waited;   //  When a write began; once durable, after how long
    bool idle;        //  What is neither write nor sync has ended
} bare_t;

enum { TOKEN_SYNC = INT_MAX - 1, TOKEN_OTHER };

static void
end_sync(bare_t *bare)
{
    double now = seconds();
    for (; bare->synced_to < bare->syncing_to; bare->synced_to++) {
        double *waited = &bare->waited[bare->written[bare->synced_to]];
        *waited = now - *waited;
    }
}

static void
take_done(bare_t *bare)
{
    files_done_t done[16];
    size_t count = bare->files->reap(bare->files, done, 16, false);
    for (size_t i = 0; i < count; i++) {
        INVARIANT(done[i].result >= 0);
        if (done[i].token == TOKEN_SYNC)
            end_sync(bare);
        else if (done[i].token == TOKEN_OTHER)
            bare->idle = true;
        else
            bare->written[bare->ended++] = done[i].token;
    }
    if (count == 0)
        wait_for(bare->files->fd(bare->files));
}

static void
wait_bare(bare_t *bare)
{
    for (bare->idle = false; !bare->idle;)
        take_done(bare);
}

//  A fallocated file.
static void
open_bare(bare_t *bare, const char *folder)
{
    snprintf(bare->path, sizeof(bare->path), "%s/bare", folder);
    bare->files = files_system_new(64, false);
    bare->handle = bare->files->open(bare->files, bare->path, true);
    INVARIANT(bare->handle >= 0);
    bare->bytes = aligned_alloc(FILES_ALIGNMENT, chunk_bytes * DEPTH);
    bare->waited = calloc(chunk_count, sizeof(*bare->waited));
    bare->written = calloc(chunk_count, sizeof(*bare->written));
    INVARIANT(bare->bytes && bare->waited && bare->written);
    memset(bare->bytes, 1, chunk_bytes * DEPTH);
    bare->files->reserve(bare->files, bare->handle, chunk_bytes * chunk_count,
                         TOKEN_OTHER);
    wait_bare(bare);
}

static void
close_bare(bare_t *bare)
{
    bare->files->close(bare->files, bare->handle);
    bare->files->unlink(bare->files, bare->path);
    files_system_destroy(&bare->files);
    free(bare->bytes);
    free(bare->waited);
    free(bare->written);
}

static void
begin_write(bare_t *bare)
{
    size_t nth = bare->begun++;
    bare->waited[nth] = seconds();
    bare->files->write(bare->files, bare->handle,
                       bare->bytes + nth % DEPTH * chunk_bytes, chunk_bytes,
                       nth * chunk_bytes, nth);
}

static cost_t
write_bare(bare_t *bare)
{
    cost_t begun = cost_now();
    size_t each = (size_t)SYNC_MIB * 1024 * 1024 / chunk_bytes;
    while (bare->synced_to < chunk_count) {
        while (bare->begun - bare->ended < DEPTH && bare->begun < chunk_count)
            begin_write(bare);
        bool due = bare->ended >= bare->synced_to + each ||
                   bare->ended == chunk_count;
        if (bare->syncing_to == bare->synced_to && due) {
            bare->syncing_to = bare->ended;
            bare->files->sync(bare->files, bare->handle, TOKEN_SYNC);
        }
        take_done(bare);
    }
    return cost_since(begun, chunk_count);
}

static double
read_bare(bare_t *bare, size_t nth)
{
    double begun = seconds();
    bare->files->read(bare->files, bare->handle, bare->bytes, chunk_bytes,
                      nth * chunk_bytes, TOKEN_OTHER);
    wait_bare(bare);
    return seconds() - begun;
}

//  ---------------------------------------------------------------------------
//  LevelDB

//  MB/s.
static double
write_table(const char *folder)
{
    char path[4200], why[512] = "";
    snprintf(path, sizeof(path), "%s/table", folder);
    kv_t *table;
    if (kv_open(path, &table, why, sizeof(why)) != STATUS_OK)
        give_up(why);
    size_t count = chunk_count / TABLE_SHARE + 1;
    double begun = seconds();
    for (size_t done = 0; done < count;) {
        char keys[BATCH][32];
        kv_change_t changes[BATCH];
        size_t i = 0;
        for (; i < BATCH && done < count; i++, done++) {
            const buffer_t *payload = payloads[done % payload_count];
            int size = snprintf(keys[i], sizeof(keys[i]), "%02zu %016zx",
                                done % STREAMS, done / STREAMS);
            changes[i] = (kv_change_t){ { keys[i], (size_t)size },
                                        { buffer_bytes(payload),
                                          chunk_bytes } };
        }
        status_t status = table->write(table, changes, i, true);
        INVARIANT(status == STATUS_OK);
    }
    double took = seconds() - begun;
    kv_close(&table);
    remove_all(path);
    return (double)chunk_bytes * (double)count / 1e6 / took;
}

//  ---------------------------------------------------------------------------
//  The store

typedef struct {
    chunkstore_t *store;
    size_t most;  //  Chunks that may be offered
    size_t durable, reads;
    double *offered;  //  When each chunk was
    double *waited;   //  Until it was durable
    double last, stall;
    uint64_t awaited;  //  So few chunks are held besides new ones; 0: none are
    double gone;       //  When that was so
} told_t;

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    told_t *told = with;
    double now = seconds();
    for (size_t i = 0; i < count; i++) {
        size_t nth = keys[i].block * STREAMS + (keys[i].stream - 1) % STREAMS;
        told->waited[told->durable++] = now - told->offered[nth];
    }
    if (now - told->last > told->stall)
        told->stall = now - told->last;
    told->last = now;
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    (void)with, (void)keys;
    fprintf(stderr, "%zu chunks failed: %s\n", count, status_text(status));
    exit(74);
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    (void)token, (void)header, (void)payload;
    INVARIANT(status == STATUS_OK);
    ((told_t *)with)->reads++;
}

//  The first `chunk_count` chunks are of the streams 1 to 16, each half as many
//  after them of the next 16.
static size_t
set_of(size_t nth)
{
    return nth < chunk_count ? 0 : 1 + (nth - chunk_count) / (chunk_count / 2);
}

static void
offer(told_t *told, size_t nth)
{
    uint64_t stream = set_of(nth) * STREAMS + nth % STREAMS + 1;
    chunk_header_t header = {
        .key = { stream, 1, nth / STREAMS, 0 },
        .code = { 1, 0 },
        .offset = nth / STREAMS * chunk_bytes,
        .length = (uint32_t)chunk_bytes,
        .width = 1,
        .kind = KIND_RECORDED,
        .name = "bench",
        .payload_crc = crcs[nth % payload_count],
    };
    told->offered[nth] = seconds();
    status_t status = chunkstore_append(told->store, &header,
                                        payloads[nth % payload_count], 0);
    INVARIANT(status == STATUS_OK);
}

static void
open_store(const char *path, told_t *told)
{
    static const chunkstore_events_t events = { on_durable, on_failed, on_read,
                                                NULL };
    char why[512] = "";
    chunkstore_settings_t settings = { .path = path };
    if (chunkstore_open(&settings, NULL, &events, told, &told->store, why,
                        sizeof(why)) == STATUS_OK)
        return;
    give_up(why);
}

static void
turn(told_t *told)
{
    if (chunkstore_due(told->store) > 0)
        wait_for(chunkstore_fd(told->store));
    chunkstore_turn(told->store, 0);
}

static void
look_for_gone(told_t *told, size_t from)
{
    uint64_t stored = told->durable - from;
    if (told->awaited == 0 || told->gone > 0 ||
        chunkstore_space(told->store).chunks > told->awaited + stored)
        return;
    told->gone = seconds();
}

//  Store chunks `from` to `to`.
static cost_t
write_store(told_t *told, size_t from, size_t to)
{
    size_t flight = (size_t)FLIGHT_MIB * 1024 * 1024 / chunk_bytes;
    cost_t begun = cost_now();
    told->last = begun.seconds;
    for (size_t next = from; told->durable < to;) {
        while (next < to && next - told->durable < flight)
            offer(told, next++);
        turn(told);
        look_for_gone(told, from);
    }
    return cost_since(begun, to - from);
}

static double
read_store(told_t *told, size_t nth)
{
    chunk_key_t key = { nth % STREAMS + 1, 1, nth / STREAMS, 0 };
    double begun = seconds();
    told->reads = 0;
    chunkstore_read(told->store, key, false, 1);
    while (told->reads == 0)
        turn(told);
    return seconds() - begun;
}

//  Drop the even streams of a set and store as many new chunks as a quarter of
//  the first one: seconds until the dropped are forgotten, and what the storing
//  cost.
static double
drop_half(told_t *told, size_t set, cost_t *cost_r)
{
    double begun = seconds();
    size_t from = told->durable, held = set ? chunk_count / 2 : chunk_count;
    told->gone = 0;
    told->awaited = chunkstore_space(told->store).chunks - held / 2;
    for (uint64_t stream = 2; stream <= STREAMS; stream += 2)
        chunkstore_drop(told->store, set * STREAMS + stream);
    *cost_r = write_store(told, from, from + chunk_count / 4);
    while (told->gone == 0) {
        turn(told);
        look_for_gone(told, from);
    }
    told->awaited = 0;
    return told->gone - begun;
}

//  ---------------------------------------------------------------------------
//  Rounds

static void
make_payloads(void)
{
    payload_count = (size_t)WARM_MIB * 1024 * 1024 / chunk_bytes;
    if (payload_count > chunk_count)
        payload_count = chunk_count;
    payloads = calloc(payload_count, sizeof(buffer_t *));
    crcs = calloc(payload_count, sizeof(*crcs));
    INVARIANT(payloads && crcs);
    for (size_t i = 0; i < payload_count; i++) {
        payloads[i] = buffer_new(chunk_bytes);
        memset(buffer_fill(payloads[i]), (int)i + 1, chunk_bytes);
        crcs[i] = checksum_crc32c(buffer_bytes(payloads[i]), chunk_bytes);
    }
}

//  Of both in turn, so that they meet the same disk.
static void
play_reads(told_t *told, bare_t *bare)
{
    static double ours[READS], theirs[READS];
    random_t random = random_seeded(1);
    size_t count = chunk_count < READS ? chunk_count : READS;
    for (size_t i = 0; i < count; i++) {
        size_t nth = random_below(&random, chunk_count);
        if (i % 2)
            ours[i] = read_store(told, nth);
        theirs[i] = read_bare(bare, nth);
        if (i % 2 == 0)
            ours[i] = read_store(told, nth);
    }
    printf("     cold read p99 %.2f ms, bare %.2f\n", late(ours, count) * 1e3,
           late(theirs, count) * 1e3);
}

static void
play_drops(told_t *told)
{
    for (size_t i = 0; i < PAIRS; i++) {
        cost_t without, dropping;
        size_t quarter = chunk_count / 4;
        if (i % 2)
            without = write_store(told, told->durable, told->durable + quarter);
        double gone = drop_half(told, i, &dropping);
        if (i % 2 == 0)
            without = write_store(told, told->durable, told->durable + quarter);
        printf("     half dropped in %.3f s, %.3f written, storing %.0f MB/s "
               "beside %.0f without\n",
               gone, written_per_byte(dropping), rate(dropping), rate(without));
    }
}

static double
play_round(const char *folder)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/store", folder);
    told_t told = { .most = (1 + PAIRS / 2) * chunk_count };
    told.offered = calloc(told.most, sizeof(double));
    told.waited = calloc(told.most, sizeof(double));
    INVARIANT(told.offered && told.waited);
    bare_t file = { .ended = 0 };
    open_bare(&file, folder);
    cost_t bare = write_bare(&file);
    open_store(path, &told);
    cost_t store = write_store(&told, 0, chunk_count);
    double middle = median(told.waited, chunk_count);
    printf("bare %5.0f MB/s %.2f s/GB p99 %.1f   store %5.0f MB/s %.2f s/GB "
           "%.3f written  ratio %.2f  durable after %.1f ms, p99 %.1f, stall "
           "%.1f\n",
           rate(bare), cpu_per_gb(bare), late(file.waited, chunk_count) * 1e3,
           rate(store), cpu_per_gb(store), written_per_byte(store),
           rate(store) / rate(bare), middle * 1e3,
           late(told.waited, chunk_count) * 1e3, told.stall * 1e3);
    play_reads(&told, &file);
    close_bare(&file);
    play_drops(&told);
    chunkstore_close(&told.store);
    double begun = seconds();
    open_store(path, &told);
    printf("     opened again in %.0f ms: %s\n", (seconds() - begun) * 1e3,
           chunkstore_story(told.store));
    fflush(stdout);
    chunkstore_close(&told.store);
    remove_all(path);
    free(told.offered);
    free(told.waited);
    printf("     LevelDB with the payload in it: %.0f MB/s\n",
           write_table(folder));
    fflush(stdout);
    return rate(store) / rate(bare);
}

int
main(int argc, char **argv)
{
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/bench-chunkstore-XXXXXX",
             argc > 1 ? argv[1] : "/tmp");
    if (argc > 2)
        chunk_bytes = strtoull(argv[2], NULL, 10) * 1024;
    size_t total = argc > 3 ? strtoull(argv[3], NULL, 10) : 1024;
    int rounds = argc > 4 ? atoi(argv[4]) : 5;
    if (chunk_bytes == 0 || total * 1024 * 1024 < 4 * STREAMS * chunk_bytes ||
        rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: bench-chunkstore [DIR [CHUNK_KIB [TOTAL_MIB "
                        "[ROUNDS]]]]\n");
        return 64;
    }
    if (!mkdtemp(folder)) {
        fprintf(stderr, "%s cannot be made\n", folder);
        return 74;
    }
    //  As every program of rill does: see wire/sockets.
    mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    //  Each of 16 streams ends with a quarter.
    chunk_count = total * 1024 * 1024 / chunk_bytes / (4 * STREAMS) *
                  (4 * STREAMS);
    make_payloads();
    double ratios[MOST_ROUNDS];
    for (int i = 0; i < rounds; i++)
        ratios[i] = play_round(folder);
    printf("chunks of %zu KiB: %.2f of the bare file (median of %d)\n",
           chunk_bytes / 1024, median(ratios, (size_t)rounds), rounds);
    rmdir(folder);
    return 0;
}
