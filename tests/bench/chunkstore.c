/*  bench-chunkstore - the chunk store beside a bare file
 *
 *  bench-chunkstore [DIR [CHUNK_KIB [TOTAL_MIB [ROUNDS]]]]
 *
 *  Works in a folder of its own inside DIR (/tmp), which is removed at the end.
 *
 *  Stores chunks of 16 interleaved streams, and writes as many bytes of the
 *  same size into one fallocated file with the same calls: direct writes, 4 in
 *  flight, an fdatasync every 4 MiB; and a few of them into LevelDB, payload
 *  and all, a synced batch of 16 at a time. In turn, so that the machine's noise
 *  hits all. Prints of each round MB/s, CPU seconds per GB, and of the store
 *  bytes written per byte of payload, the time from append to durable (median,
 *  99 of 100) and the longest time in which nothing became durable. Then of
 *  random cold reads, one at a time, 99 of 100, of both. Then half of the
 *  streams are dropped while new chunks are stored: how long until they are
 *  forgotten, the bytes written per byte stored meanwhile, and the rate of
 *  storing beside that of the same without a drop, half of it before and half
 *  after. And how long the store takes to open with all that it then has.
 */
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
    FLIGHT_MIB = 8,  //  Offered and not yet durable
    SYNC_MIB = 4,    //  The bare file's
    DEPTH = 4,
    READS = 300,
    BATCH = 16,        //  Chunks that LevelDB is given at once
    TABLE_SHARE = 16,  //  It is given one of so many
    MOST_ROUNDS = 99,
};

typedef struct {
    double seconds, cpu, written;
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
    return (cost_t){ seconds(), cpu_seconds(), written_bytes() };
}

static cost_t
cost_since(cost_t begun)
{
    cost_t now = cost_now();
    return (cost_t){ now.seconds - begun.seconds, now.cpu - begun.cpu,
                     now.written - begun.written };
}

static cost_t
cost_sum(cost_t a, cost_t b)
{
    return (cost_t){ a.seconds + b.seconds, a.cpu + b.cpu,
                     a.written + b.written };
}

static double
written_per_byte(cost_t cost)
{
    return cost.written / (double)chunk_bytes / (double)chunk_count;
}

static double
rate(cost_t cost)
{
    return (double)chunk_bytes * (double)chunk_count / 1e6 / cost.seconds;
}

static double
cpu_per_gb(cost_t cost)
{
    return cost.cpu / ((double)chunk_bytes * (double)chunk_count / 1e9);
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

typedef struct {
    const files_t *files;
    int handle, flying;
    size_t begun, ended, synced_at;
    bool syncing;
} bare_t;

static void
take_done(bare_t *bare)
{
    files_done_t done[16];
    size_t count = bare->files->reap(bare->files, done, 16, false);
    for (size_t i = 0; i < count; i++) {
        INVARIANT(done[i].result >= 0);
        bare->syncing &= done[i].token != 1;
        bare->flying -= done[i].token == 0;
        bare->ended += done[i].token == 0;
    }
    if (count == 0)
        wait_for(bare->files->fd(bare->files));
}

//  As read_store.
static double
read_bare(bare_t *bare, uint8_t *bytes)
{
    double waits[READS];
    random_t random = random_seeded(1);
    for (size_t i = 0; i < READS; i++) {
        size_t nth = random_below(&random, chunk_count);
        double begun = seconds();
        bare->ended = 0;
        bare->files->read(bare->files, bare->handle, bytes, chunk_bytes,
                          nth * chunk_bytes, 0);
        while (bare->ended == 0)
            take_done(bare);
        waits[i] = seconds() - begun;
    }
    return late(waits, READS);
}

static cost_t
write_bare(const char *folder, double *late_r)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/bare", folder);
    files_t *files = files_system_new(64, false);
    bare_t bare = { .files = files };
    bare.handle = files->open(files, path, true);
    INVARIANT(bare.handle >= 0);
    files->reserve(files, bare.handle, chunk_bytes * chunk_count, 0);
    for (bare.flying = 1; bare.flying > 0;)
        take_done(&bare);
    bare.ended = 0;
    cost_t begun = cost_now();
    uint8_t *bytes = aligned_alloc(FILES_ALIGNMENT, chunk_bytes * DEPTH);
    INVARIANT(bytes);
    memset(bytes, 1, chunk_bytes * DEPTH);
    size_t each = (size_t)SYNC_MIB * 1024 * 1024 / chunk_bytes;
    while (bare.ended < chunk_count || bare.syncing ||
           bare.synced_at < chunk_count) {
        while (bare.flying < DEPTH && bare.begun < chunk_count) {
            size_t nth = bare.begun++;
            bare.flying++;
            files->write(files, bare.handle, bytes + nth % DEPTH * chunk_bytes,
                         chunk_bytes, nth * chunk_bytes, 0);
        }
        bool due = bare.ended >= bare.synced_at + each ||
                   bare.ended == chunk_count;
        if (!bare.syncing && due && bare.synced_at < chunk_count) {
            bare.syncing = true;
            bare.synced_at = bare.ended;
            files->sync(files, bare.handle, 1);
        }
        take_done(&bare);
    }
    cost_t cost = cost_since(begun);
    *late_r = read_bare(&bare, bytes);
    files->close(files, bare.handle);
    files->unlink(files, path);
    files_system_destroy(&files);
    free(bytes);
    return cost;
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

//  Chunks after the first `chunk_count` are of as many other streams.
static void
offer(told_t *told, size_t nth)
{
    uint64_t stream = nth % STREAMS + 1;
    if (nth >= chunk_count)
        stream += STREAMS;
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
    return cost_since(begun);
}

//  Random chunks, one at a time: 99 of 100 were there after so many seconds.
static double
read_store(told_t *told)
{
    double waits[READS];
    random_t random = random_seeded(1);
    for (size_t i = 0; i < READS; i++) {
        size_t nth = random_below(&random, chunk_count);
        chunk_key_t key = { nth % STREAMS + 1, 1, nth / STREAMS, 0 };
        double begun = seconds();
        told->reads = 0;
        chunkstore_read(told->store, key, false, 1);
        while (told->reads == 0)
            turn(told);
        waits[i] = seconds() - begun;
    }
    return late(waits, READS);
}

//  Drop every other stream and store as many new chunks as there were: seconds
//  until the dropped are forgotten, and what the storing cost.
static double
drop_half(told_t *told, cost_t *cost_r)
{
    double begun = seconds();
    told->awaited = chunkstore_space(told->store).chunks - chunk_count / 2;
    for (uint64_t stream = 1; stream <= STREAMS; stream += 2)
        chunkstore_drop(told->store, stream);
    *cost_r = write_store(told, told->durable, told->durable + chunk_count);
    while (told->gone == 0) {
        turn(told);
        look_for_gone(told, told->durable - chunk_count);
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

static double
play_round(const char *folder)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/store", folder);
    told_t told = { .most = 4 * chunk_count };
    told.offered = calloc(told.most, sizeof(double));
    told.waited = calloc(told.most, sizeof(double));
    INVARIANT(told.offered && told.waited);
    double bare_late;
    cost_t dropping;
    cost_t bare = write_bare(folder, &bare_late);
    open_store(path, &told);
    cost_t store = write_store(&told, 0, chunk_count);
    double middle = median(told.waited, chunk_count);
    printf("bare %5.0f MB/s %.2f s/GB   store %5.0f MB/s %.2f s/GB %.3f "
           "written  ratio %.2f  durable after %.1f ms, p99 %.1f, stall %.1f\n",
           rate(bare), cpu_per_gb(bare), rate(store), cpu_per_gb(store),
           written_per_byte(store), rate(store) / rate(bare), middle * 1e3,
           late(told.waited, chunk_count) * 1e3, told.stall * 1e3);
    double store_late = read_store(&told);
    size_t half = chunk_count / 2;
    cost_t before = write_store(&told, told.durable, chunk_count + half);
    double gone = drop_half(&told, &dropping);
    cost_t after = write_store(&told, told.durable,
                               told.durable + chunk_count - half);
    printf("     cold read p99 %.2f ms, bare %.2f   half dropped in %.2f s, "
           "%.3f written, storing %.0f MB/s beside %.0f without\n",
           store_late * 1e3, bare_late * 1e3, gone, written_per_byte(dropping),
           rate(dropping), rate(cost_sum(before, after)));
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
    if (chunk_bytes == 0 || total == 0 || rounds < 1 || rounds > MOST_ROUNDS) {
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
    chunk_count = total * 1024 * 1024 / chunk_bytes;
    make_payloads();
    double ratios[MOST_ROUNDS];
    for (int i = 0; i < rounds; i++)
        ratios[i] = play_round(folder);
    printf("chunks of %zu KiB: %.2f of the bare file (median of %d)\n",
           chunk_bytes / 1024, median(ratios, (size_t)rounds), rounds);
    rmdir(folder);
    return 0;
}
