/*  bench-restart - how long a worker and a forwarder take to be in service
 *
 *  bench-restart [DIR [STREAMS [CHUNKS [OPEN]]]]
 *
 *  Works in a folder of its own inside DIR (/tmp), which is removed at the end.
 *
 *  Writes, with the libraries, the catalogue of a forwarder with STREAMS
 *  (10,000) streams of which OPEN (100) are not sealed, and the store of its
 *  one worker with all their CHUNKS (1,000,000), a thousand segments. Then it
 *  starts the real programs beside it and prints in milliseconds, for a start
 *  after SIGTERM and one after SIGKILL of both,
 *    forwarder  from its start until it answers a question;
 *    recovered  until no stream waits any more (its worker is there);
 *    worker     from its start until its store is open, and until it is in the
 *               queue of the forwarder, which runs;
 *  then what `rill put` and `rill get` of 1 MiB take beside all of that, how
 *  large the catalogue is, and how long the forwarder takes with --rebuild.
 */
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "catalogue.h"
#include "checksum.h"
#include "chunkstore.h"
#include "client.h"
#include "home.h"
#include "invariant.h"
#include "sockets.h"

enum {
    PAYLOAD_BYTES = 16,
    SEGMENT_BYTES = 640 * 1024,  //  A thousand chunks
    UNSETTLED = 8,               //  The mark is so far behind
    FLIGHT = 4000,
    TOKEN = 7,
    MOST_SECONDS = 120,
    FILES = 21,  //  Put, and got
    FILE_BYTES = 1024 * 1024,
    PORT_ORIGIN = 31917,
    PORT_WORKER = 31918,
};

static const uint64_t CLUSTER = 0xbe7c4, EPOCH = 1ull << 32;
static uint64_t streams = 10000, chunks = 1000000, open_streams = 100;
static char folder[4096], *binaries;

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench-restart: %s: %s\n", what, why);
    exit(74);
}

static uint64_t
chunks_each(void)
{
    return chunks / streams;
}

//  ---------------------------------------------------------------------------
//  The worker's store

typedef struct {
    chunkstore_t *store;
    uint64_t durable;
} told_t;

static void
on_durable(void *with, const chunk_key_t *keys, size_t count)
{
    (void)keys;
    ((told_t *)with)->durable += count;
}

static void
on_failed(void *with, const chunk_key_t *keys, size_t count, status_t status)
{
    (void)with, (void)keys, (void)count;
    give_up("a chunk cannot be stored", status_text(status));
}

static void
on_read(void *with, uint64_t token, status_t status,
        const chunk_header_t *header, buffer_t *payload)
{
    (void)with, (void)token, (void)status, (void)header, (void)payload;
}

//  The streams grow beside each other, as they do.
static void
append(told_t *told, uint64_t nth, buffer_t *payload, uint32_t crc)
{
    uint64_t block = nth / streams;
    chunk_header_t header = {
        .key = { 1 + nth % streams, EPOCH, block, 0 },
        .code = { 1, 0 },
        .asked = { 1, 0 },
        .offset = block * PAYLOAD_BYTES,
        .length = PAYLOAD_BYTES,
        .created_us = (micros_t)nth,
        .writer = TOKEN,
        .settled = block > UNSETTLED ? block - UNSETTLED : 0,
        .watermark = block * PAYLOAD_BYTES,
        .width = 1,
        .kind = KIND_RECORDED,
        .payload_crc = crc,
    };
    if (block + 1 == chunks_each() && nth % streams >= open_streams)
        header.flags = CHUNK_END;
    snprintf(header.name, sizeof header.name, "stream-%08d",
             (int)(nth % streams));
    status_t status = chunkstore_append(told->store, &header, payload, 0);
    if (status != STATUS_OK)
        give_up("a chunk is not taken", status_text(status));
}

//  Returns the store's id.
static uint64_t
write_store(void)
{
    static const chunkstore_events_t EVENTS = { on_durable, on_failed, on_read,
                                                NULL };
    char path[4200], why[512] = "";
    snprintf(path, sizeof path, "%s/w1", folder);
    chunkstore_settings_t settings = { .path = path,
                                       .segment_bytes = SEGMENT_BYTES };
    told_t told = { .durable = 0 };
    if (chunkstore_open(&settings, NULL, &EVENTS, &told, &told.store, why,
                        sizeof why) != STATUS_OK)
        give_up(path, why);
    INVARIANT(chunkstore_set_cluster(told.store, CLUSTER) == STATUS_OK);
    INVARIANT(chunkstore_set_term(told.store, 1) == STATUS_OK);
    buffer_t *payload = buffer_new(PAYLOAD_BYTES);
    memset(buffer_fill(payload), 7, PAYLOAD_BYTES);
    uint32_t crc = checksum_crc32c(buffer_bytes(payload), PAYLOAD_BYTES);
    for (uint64_t next = 0; told.durable < chunks;) {
        while (next < chunks && next - told.durable < FLIGHT)
            append(&told, next++, payload, crc);
        if (chunkstore_due(told.store) > 0) {
            struct pollfd ready = { chunkstore_fd(told.store), POLLIN, 0 };
            poll(&ready, 1, 1000);
        }
        chunkstore_turn(told.store, 0);
    }
    buffer_unref(&payload);
    uint64_t id = chunkstore_identity(told.store).store;
    chunkstore_close(&told.store);
    return id;
}

//  ---------------------------------------------------------------------------
//  The forwarder's catalogue

static void
write_stream(catalogue_t *catalogue, uint64_t id, uint64_t store)
{
    bool sealed = id > open_streams;
    stream_record_t record = {
        .id = id,
        .kind = KIND_RECORDED,
        .asked = { 1, 0 },
        .writer = TOKEN,
        .sealed = sealed,
        .size = sealed ? chunks_each() * PAYLOAD_BYTES : 0,
        .end_index = sealed ? chunks_each() : 0,
    };
    snprintf(record.name, sizeof record.name, "stream-%08d", (int)(id - 1));
    extent_t *extent = extent_new(1);
    extent->epoch = EPOCH;
    extent->writer = TOKEN;
    extent->chunk_bytes = PAYLOAD_BYTES;
    extent->code = (code_t){ 1, 0 };
    extent->stores[0] = store;
    INVARIANT(catalogue_switch(catalogue, &record, NULL, 0, &extent, 1) ==
              STATUS_OK);
    extent_free(extent);
}

static void
write_catalogue(uint64_t store)
{
    char path[4200], why[512] = "";
    snprintf(path, sizeof path, "%s/origin", folder);
    char command[4300];
    snprintf(command, sizeof command, "mkdir -p '%s'", path);
    INVARIANT(system(command) == 0);
    kv_t *kv;
    catalogue_t *catalogue;
    if (home_open(path, false, &kv, why, sizeof why) != STATUS_OK ||
        catalogue_open(kv, CLUSTER, &catalogue, why, sizeof why) != STATUS_OK)
        give_up(path, why);
    catalogue_call(catalogue, store, "w1");
    INVARIANT(catalogue_grant(catalogue, store, true) == STATUS_OK);
    for (uint64_t id = 1; id <= streams; id++)
        write_stream(catalogue, id, store);
    uint64_t term = catalogue_term(catalogue);
    catalogue_close(&catalogue);
    kv_close(&kv);
    if (home_record(path, CLUSTER, term, why, sizeof why) != STATUS_OK)
        give_up(path, why);
}

//  ---------------------------------------------------------------------------
//  The programs

static void
write_cluster(void)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/cluster.yml", folder);
    FILE *file = fopen(path, "w");
    INVARIANT(file);
    fprintf(file,
            "cluster: bench\n"
            "forwarder: {name: origin, at: 127.0.0.1:%d, data: %s/origin}\n"
            "workers:\n"
            "  - {name: w1, at: 127.0.0.1:%d, data: %s/w1}\n",
            PORT_ORIGIN, folder, PORT_WORKER, folder);
    fclose(file);
}

static pid_t
start(const char *program, const char *node, const char *more)
{
    char path[8300], cluster[4200], log[4200];
    snprintf(path, sizeof path, "%s/%s", binaries, program);
    snprintf(cluster, sizeof cluster, "%s/cluster.yml", folder);
    snprintf(log, sizeof log, "%s/%s.log", folder, node);
    pid_t child = fork();
    INVARIANT(child >= 0);
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  //  Also when this one gives up
    if (!freopen(log, "a", stderr))
        _exit(74);
    execl(path, program, "-f", cluster, "--node", node, more, (char *)NULL);
    _exit(74);
}

static void
end(pid_t child, int number)
{
    kill(child, number);
    waitpid(child, NULL, 0);
}

typedef enum { ANSWERS, GONE, SERVES, RECOVERED } what_t;

//  Ask until the forwarder answers, its worker is gone or in the queue, or no
//  stream waits either; returns the time.
static double
come(what_t what)
{
    char at[32];
    snprintf(at, sizeof at, "127.0.0.1:%d", PORT_ORIGIN);
    client_t *client;
    INVARIANT(client_new(at, &client) == STATUS_OK);
    for (double begun = seconds(); seconds() < begun + MOST_SECONDS;) {
        message_t *answer;
        if (client_status(client, &answer) == STATUS_OK) {
            const Rill__V1__Report *report = answer->report;
            bool live = report->n_workers == 1 &&
                        strcmp(report->workers[0]->state, "live") == 0;
            bool waits = report->waiting > 0;
            message_free(&answer);
            if (what == ANSWERS || (what == GONE && !live) ||
                (what == SERVES && live) ||
                (what == RECOVERED && live && !waits)) {
                client_destroy(&client);
                return seconds();
            }
        }
        poll(NULL, 0, 2);
    }
    give_up("the forwarder", "what was waited for did not come");
    return 0;
}

//  When the worker's log said that it is ready, since `from` in the log.
static double
opened(long from)
{
    char log[4200], line[1000];
    snprintf(log, sizeof log, "%s/w1.log", folder);
    for (double begun = seconds(); seconds() < begun + MOST_SECONDS;) {
        FILE *file = fopen(log, "r");
        bool ready = false;
        if (file && fseek(file, from, SEEK_SET) == 0)
            while (!ready && fgets(line, sizeof line, file))
                ready = strstr(line, " ready ") != NULL;
        if (file)
            fclose(file);
        if (ready)
            return seconds();
        poll(NULL, 0, 2);
    }
    give_up("the worker", "it does not open its store");
    return 0;
}

static long
log_size(void)
{
    char log[4200];
    snprintf(log, sizeof log, "%s/w1.log", folder);
    FILE *file = fopen(log, "r");
    if (!file)
        return 0;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

static void
restart_both(pid_t *origin, pid_t *worker, int number)
{
    end(*origin, number);
    double begun = seconds();
    *origin = start("rill-forwarder", "origin", NULL);
    double answers = come(ANSWERS) - begun;
    double recovered = come(RECOVERED) - begun;
    end(*worker, number);
    long from = log_size();
    come(GONE);
    begun = seconds();
    *worker = start("rill-storage", "w1", NULL);
    double open = opened(from) - begun;
    double live = come(SERVES) - begun;
    printf("after %s: forwarder %4.0f ms, recovered %4.0f   worker open %4.0f "
           "ms, in service %4.0f\n",
           number == SIGTERM ? "SIGTERM" : "SIGKILL", answers * 1e3,
           recovered * 1e3, open * 1e3, live * 1e3);
    fflush(stdout);
}

//  Milliseconds that `rill VERB WHAT MORE VALUE [--protect none]` took.
static double
rill(const char *verb, const char *what, const char *more, const char *value,
     const char *protect)
{
    char path[4200], at[32];
    snprintf(path, sizeof path, "%s/rill", binaries);
    snprintf(at, sizeof at, "127.0.0.1:%d", PORT_ORIGIN);
    double begun = seconds();
    pid_t child = fork();
    INVARIANT(child >= 0);
    if (!child) {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(nothing, 1);
        setenv("RILL_AT", at, 1);
        execl(path, "rill", verb, what, more, value, protect, "none",
              (char *)NULL);
        _exit(74);
    }
    int ended;
    waitpid(child, &ended, 0);
    if (ended)
        give_up(verb, "rill failed");
    return (seconds() - begun) * 1e3;
}

static int
compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

//  Beside all that is there.
static void
put_and_get(void)
{
    char path[4200], name[32];
    double put[FILES], got[FILES];
    snprintf(path, sizeof path, "%s/file", folder);
    FILE *file = fopen(path, "w");
    INVARIANT(file);
    for (int i = 0; i < FILE_BYTES; i++)
        fputc(i % 251, file);
    fclose(file);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%d", i);
        put[i] = rill("put", path, "--as", name, "--protect");
        got[i] = rill("get", name, "-o", "/dev/null", NULL);
    }
    qsort(put, FILES, sizeof *put, compare);
    qsort(got, FILES, sizeof *got, compare);
    printf("put %.1f ms (%.1f to %.1f), get %.1f ms (%.1f to %.1f)\n",
           put[FILES / 2], put[0], put[FILES - 1], got[FILES / 2], got[0],
           got[FILES - 1]);
}

static unsigned long long
bytes_of_catalogue(void)
{
    char path[4200], name[4500];
    unsigned long long bytes = 0;
    snprintf(path, sizeof path, "%s/origin/catalogue", folder);
    DIR *directory = opendir(path);
    INVARIANT(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat is;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (stat(name, &is) == 0 && S_ISREG(is.st_mode))
            bytes += (unsigned long long)is.st_size;
    }
    closedir(directory);
    return bytes;
}

static void
play(void)
{
    write_cluster();
    double begun = seconds();
    uint64_t store = write_store();
    write_catalogue(store);
    printf("%llu streams, %llu of them open, %llu chunks; written in %.1f s\n",
           (unsigned long long)streams, (unsigned long long)open_streams,
           (unsigned long long)chunks, seconds() - begun);
    fflush(stdout);
    pid_t origin = start("rill-forwarder", "origin", NULL);
    pid_t worker = start("rill-storage", "w1", NULL);
    come(RECOVERED);
    for (int i = 0; i < 3; i++) {
        restart_both(&origin, &worker, SIGTERM);
        restart_both(&origin, &worker, SIGKILL);
    }
    printf("catalogue %llu bytes\n", bytes_of_catalogue());
    put_and_get();
    end(origin, SIGTERM);
    begun = seconds();
    origin = start("rill-forwarder", "origin", "--rebuild");
    double rebuilt = come(RECOVERED) - begun;
    printf("rebuilt in %.1f s\n", rebuilt);
    end(origin, SIGTERM);
    end(worker, SIGTERM);
}

int
main(int argc, char **argv)
{
    const char *where = argc > 1 ? argv[1] : "/tmp";
    streams = argc > 2 ? strtoull(argv[2], NULL, 10) : streams;
    chunks = argc > 3 ? strtoull(argv[3], NULL, 10) : chunks;
    open_streams = argc > 4 ? strtoull(argv[4], NULL, 10) : open_streams;
    binaries = dirname(argv[0]);
    snprintf(folder, sizeof folder, "%s/bench-restart-XXXXXX", where);
    if (streams == 0 || chunks < streams || !mkdtemp(folder))
        give_up(where, "no folder can be made there, or no streams of chunks");
    sockets_begin(64);
    play();
    char command[4200];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? 0 : 74;
}
