/*  bench-chunkstore - the chunk store beside a bare file
 *
 *  bench-chunkstore [DIR [CHUNK_KIB [TOTAL_MIB [ROUNDS]]]]
 *
 *  Works in a folder of its own inside DIR (/tmp), which is removed at the end.
 *
 *  Stores chunks of 16 interleaved streams, and writes as many bytes of the
 *  same size into one fallocated file with the same calls: direct writes, 4 in
 *  flight, an fdatasync every 4 MiB. Both in turn, so that the machine's noise
 *  hits both. Prints of each round MB/s, CPU seconds per GB, and of the store
 *  bytes written per byte of payload, the time from append to durable (median,
 *  99 of 100) and the longest time in which nothing became durable.
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

enum {
    STREAMS = 16,
    WARM_MIB = 256,   //  Of different payload: more than any cache
    FLIGHT_MIB = 16,  //  Offered and not yet durable
    SYNC_MIB = 4,     //  The bare file's
    DEPTH = 4,
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

static cost_t
write_bare(const char *folder)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/bare", folder);
    files_t *files = files_system_new(64, false);
    bare_t bare = { .files = files };
    cost_t begun = cost_now();
    bare.handle = files->open(files, path, true, chunk_bytes * chunk_count);
    INVARIANT(bare.handle >= 0);
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
    files->close(files, bare.handle);
    files->unlink(files, path);
    files_system_destroy(&files);
    free(bytes);
    return cost;
}

//  ---------------------------------------------------------------------------
//  The store

typedef struct {
    size_t durable;
    double *offered;  //  When each chunk was
    double *waited;   //  Until it was durable
    double last, stall;
} told_t;

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    told_t *told = with;
    double now = seconds();
    for (size_t i = 0; i < count; i++) {
        size_t nth = keys[i].block * STREAMS + keys[i].stream - 1;
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
    (void)with, (void)token, (void)status, (void)header, (void)payload;
}

static void
offer(chunkstore_t *store, told_t *told, size_t nth)
{
    chunk_header_t header = {
        .key = { nth % STREAMS + 1, 1, nth / STREAMS, 0 },
        .code = { 1, 0 },
        .offset = nth / STREAMS * chunk_bytes,
        .length = (uint32_t)chunk_bytes,
        .width = 1,
        .kind = KIND_RECORDED,
        .name = "bench",
        .payload_crc = crcs[nth % payload_count],
    };
    told->offered[nth] = seconds();
    status_t status = chunkstore_append(store, &header,
                                        payloads[nth % payload_count], 0);
    INVARIANT(status == STATUS_OK);
}

static cost_t
write_store(const char *folder, told_t *told)
{
    static const chunkstore_events_t events = { on_durable, on_failed,
                                                on_read };
    char path[4200], why[512] = "";
    snprintf(path, sizeof(path), "%s/store", folder);
    chunkstore_settings_t settings = { .path = path };
    chunkstore_t *store;
    if (chunkstore_open(&settings, NULL, &events, told, &store, why,
                        sizeof(why)) != STATUS_OK) {
        fprintf(stderr, "%s\n", why);
        exit(74);
    }
    size_t flight = (size_t)FLIGHT_MIB * 1024 * 1024 / chunk_bytes, next = 0;
    cost_t begun = cost_now();
    told->last = begun.seconds;
    while (told->durable < chunk_count) {
        while (next < chunk_count && next - told->durable < flight)
            offer(store, told, next++);
        if (chunkstore_due(store) > 0)
            wait_for(chunkstore_fd(store));
        chunkstore_turn(store, 0);
    }
    cost_t cost = cost_since(begun);
    chunkstore_close(&store);
    char command[4300];
    snprintf(command, sizeof(command), "rm -r '%s'", path);
    INVARIANT(system(command) == 0);
    return cost;
}

//  ---------------------------------------------------------------------------
//  Rounds

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

static void
make_payloads(void)
{
    payload_count = (size_t)WARM_MIB * 1024 * 1024 / chunk_bytes;
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
    told_t told = { 0 };
    told.offered = calloc(chunk_count, sizeof(double));
    told.waited = calloc(chunk_count, sizeof(double));
    INVARIANT(told.offered && told.waited);
    cost_t bare = write_bare(folder);
    cost_t store = write_store(folder, &told);
    double middle = median(told.waited, chunk_count);
    double late = told.waited[chunk_count * 99 / 100];
    printf("bare %5.0f MB/s %.2f s/GB   store %5.0f MB/s %.2f s/GB %.3f "
           "written  ratio %.2f  durable after %.1f ms, p99 %.1f, stall %.1f\n",
           rate(bare), cpu_per_gb(bare), rate(store), cpu_per_gb(store),
           store.written / (double)chunk_bytes / (double)chunk_count,
           rate(store) / rate(bare), middle * 1e3, late * 1e3,
           told.stall * 1e3);
    fflush(stdout);
    free(told.offered);
    free(told.waited);
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
