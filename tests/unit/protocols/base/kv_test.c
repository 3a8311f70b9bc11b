//  One contract, two tables: LevelDB and the one in memory.

#include "kv.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "kv_memory.h"
#include "proof.h"
#include "random.h"

//  What is durable, seen at the two calls LevelDB has for it.
static struct {
    off_t log_bytes[4096];  //  Synced, by the log's number
    bool current;           //  The directory was synced with CURRENT in it
    int directories;        //  Syncs of directories
} disk;

static void
witness(int fd)
{
    struct stat file;
    char link[64], path[512] = "";
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    if (size <= 0 || fstat(fd, &file) == -1)
        return;
    unsigned long number = 0;
    char rest[8] = "";
    const char *name = strrchr(path, '/') + 1;
    if (S_ISDIR(file.st_mode)) {
        disk.current = faccessat(fd, "CURRENT", F_OK, 0) == 0;
        disk.directories++;
    } else if (sscanf(name, "%lu.%7s", &number, rest) == 2 &&
               strcmp(rest, "log") == 0 && number < 4096)
        disk.log_bytes[number] = file.st_size;
}

int
fdatasync(int fd)
{
    witness(fd);
    return (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
    witness(fd);
    return (int)syscall(SYS_fsync, fd);
}

typedef kv_t *open_fn(void);

static open_fn *fresh;  //  The table under test

static kv_t *
open_at(const char *path)
{
    char why[256] = "";
    kv_t *kv = NULL;
    status_t status = kv_open(path, &kv, why, sizeof(why));
    if (status != STATUS_OK)
        printf("# %s: %s\n", status_name(status), why);
    CHECK(status == STATUS_OK);
    return kv;
}

static kv_t *
fresh_leveldb(void)
{
    return open_at(folder_path(folder_new(), "deep/table"));
}

static kv_bytes_t
text(const char *word)
{
    return (kv_bytes_t){ word, strlen(word) };
}

static const kv_bytes_t END = { NULL, 0 };

static status_t
put(kv_t *kv, const char *key, const char *value, bool sync)
{
    kv_change_t change = { text(key), value ? text(value) : END };
    return kv->write(kv, &change, 1, sync);
}

static bool
holds(kv_t *kv, const char *key, const char *value)
{
    void *found = NULL;
    size_t size = 0;
    status_t status = kv->read(kv, text(key), &found, &size);
    CHECK(status == STATUS_OK || status == STATUS_ABSENT);
    bool same = value ? status == STATUS_OK && size == strlen(value) &&
                            memcmp(found, value, size) == 0
                      : status == STATUS_ABSENT;
    free(found);
    return same;
}

//  The pairs of a walk, as "key=value " each.
typedef struct {
    char text[512];
    int most;
} seen_t;

static bool
see(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    seen_t *seen = arg;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof(seen->text) - used, "%.*s=%.*s ",
             (int)key.size, (const char *)key.bytes, (int)value.size,
             (const char *)value.bytes);
    return --seen->most != 0;
}

static bool
walk_is(kv_t *kv, const char *from, const char *to, bool back, int most,
        const char *pairs)
{
    seen_t seen = { .most = most };
    status_t status = (back ? kv->walk_back : kv->walk)(
        kv, text(from), to ? text(to) : END, see, &seen);
    if (strcmp(seen.text, pairs) != 0)
        printf("# walked: %s\n", seen.text);
    return status == STATUS_OK && strcmp(seen.text, pairs) == 0;
}

static void
a_batch_is_applied_whole_and_in_order(void)
{
    kv_t *kv = fresh();
    CHECK(put(kv, "gone", "1", false) == STATUS_OK);
    const kv_change_t batch[] = {
        { text("a"), text("1") },    { text("gone"), END },
        { text("b"), text("old") },  { text("b"), text("2") },
        { text("c"), text("3") },    { text("c"), END },
        { text("empty"), text("") },
    };
    CHECK(kv->write(kv, batch, 7, true) == STATUS_OK);
    CHECK(holds(kv, "a", "1") && holds(kv, "b", "2") && holds(kv, "c", NULL));
    CHECK(holds(kv, "gone", NULL) && holds(kv, "empty", ""));
    void *value = NULL;
    size_t size = 7;
    CHECK(kv->read(kv, text("empty"), &value, &size) == STATUS_OK);
    CHECK(value && size == 0);
    free(value);
    CHECK(kv->write(kv, NULL, 0, true) == STATUS_OK);
    kv_close(&kv);
    CHECK(!kv);
    kv_close(&kv);
}

static void
keys_are_walked_in_the_order_of_their_bytes(void)
{
    kv_t *kv = fresh();
    const kv_change_t batch[] = {
        { text("b"), text("2") },    { text("a"), text("1") },
        { text("\xff"), text("9") }, { text("ab"), text("3") },
        { text("B"), text("0") },
    };
    CHECK(kv->write(kv, batch, 5, false) == STATUS_OK);
    CHECK(walk_is(kv, "", NULL, false, 0, "B=0 a=1 ab=3 b=2 \xff=9 "));
    CHECK(walk_is(kv, "", NULL, true, 0, "\xff=9 b=2 ab=3 a=1 B=0 "));
    CHECK(walk_is(kv, "a", "b", false, 0, "a=1 ab=3 "));
    CHECK(walk_is(kv, "a", "b", true, 0, "ab=3 a=1 "));
    CHECK(walk_is(kv, "aa", "zz", true, 1, "b=2 "));
    CHECK(walk_is(kv, "aa", NULL, false, 1, "ab=3 "));
    CHECK(walk_is(kv, "c", "d", false, 0, ""));
    CHECK(walk_is(kv, "c", "d", true, 0, ""));
    CHECK(walk_is(kv, "b", "a", false, 0, ""));
    CHECK(walk_is(kv, "b", "a", true, 0, ""));
    CHECK(walk_is(kv, "a", "a", true, 0, ""));
    CHECK(walk_is(kv, "", "B", true, 0, ""));
    kv_close(&kv);
    kv = fresh();
    CHECK(walk_is(kv, "", NULL, true, 0, ""));
    kv_close(&kv);
}

static bool
drop_it(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    (void)value;
    kv_t *kv = arg;
    const kv_change_t batch[] = { { key, END }, { text("zz"), text("new") } };
    CHECK(kv->write(kv, batch, 2, false) == STATUS_OK);
    return true;
}

static void
a_walk_sees_the_table_as_it_was_when_it_began(void)
{
    kv_t *kv = fresh();
    CHECK(put(kv, "a", "1", false) == STATUS_OK);
    CHECK(put(kv, "b", "2", false) == STATUS_OK);
    CHECK(kv->walk(kv, text(""), END, drop_it, kv) == STATUS_OK);
    CHECK(walk_is(kv, "", NULL, false, 0, "zz=new "));
    kv_close(&kv);
}

static void
random_batches_leave_what_a_plain_list_says(void)
{
    kv_t *kv = fresh();
    random_t chance = random_seeded(7);
    char model[64][8] = { "" };
    for (int turn = 0; turn < 500; turn++) {
        kv_change_t batch[4];
        char keys[4][4], values[4][8];
        size_t count = random_below(&chance, 5);
        for (size_t i = 0; i < count; i++) {
            unsigned key = (unsigned)random_below(&chance, 64);
            bool gone = random_chance(&chance, 1, 3);
            snprintf(keys[i], sizeof(keys[i]), "%02u", key);
            snprintf(values[i], sizeof(values[i]), "%d", turn);
            snprintf(model[key], sizeof(model[key]), "%s",
                     gone ? "" : values[i]);
            batch[i] = (kv_change_t){ text(keys[i]),
                                      gone ? END : text(values[i]) };
        }
        CHECK(kv->write(kv, batch, count, turn % 50 == 0) == STATUS_OK);
    }
    for (int key = 0; key < 64; key++) {
        char name[16];
        snprintf(name, sizeof(name), "%02d", key);
        CHECK(holds(kv, name, model[key][0] ? model[key] : NULL));
    }
    CHECK(kv->bytes(kv) > 0);
    kv_close(&kv);
}

static void
the_contract(const char *name, open_fn *open)
{
    static char says[5][128];
    static const struct {
        void (*function)(void);
        const char *says;
    } CASES[] = {
        { a_batch_is_applied_whole_and_in_order,
          "kv 1: a batch is applied whole and in order" },
        { keys_are_walked_in_the_order_of_their_bytes,
          "kv 3: keys are walked in the order of their bytes, both ways" },
        { a_walk_sees_the_table_as_it_was_when_it_began,
          "a walk sees the table as it was when it began" },
        { random_batches_leave_what_a_plain_list_says,
          "kv 1: random batches leave what a plain list says" },
    };
    fresh = open;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        snprintf(says[i], sizeof(says[i]), "%s (%s)", CASES[i].says, name);
        CASE(CASES[i].function, says[i]);
    }
}

static void
what_was_written_is_there_after_opening_again(void)
{
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path);
    CHECK(put(kv, "a", "1", false) == STATUS_OK);
    CHECK(put(kv, "b", "2", true) == STATUS_OK);
    kv_close(&kv);
    kv = open_at(path);
    CHECK(holds(kv, "a", "1") && holds(kv, "b", "2"));
    kv_close(&kv);
}

static void
a_killed_process_leaves_whole_batches(void)
{
    const char *path = folder_path(folder_new(), "table");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        kv_t *kv = open_at(path);
        put(kv, "a", "1", false);
        put(kv, "b", "2", false);
        _exit(0);  //  As kill -9 does: nothing is closed
    }
    int how;
    CHECK(waitpid(child, &how, 0) == child && how == 0);
    kv_t *kv = open_at(path);
    CHECK(walk_is(kv, "", NULL, false, 0, "a=1 b=2 "));
    kv_close(&kv);
}

//  The path of the newest file whose name ends so.
static const char *
newest(const char *path, const char *ending)
{
    static char found[512];
    found[0] = 0;
    DIR *list = opendir(path);
    CHECK(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        size_t size = strlen(entry->d_name), tail = strlen(ending);
        char whole[512];
        snprintf(whole, sizeof(whole), "%s/%s", path, entry->d_name);
        if (size > tail && strcmp(entry->d_name + size - tail, ending) == 0 &&
            strcmp(whole, found) > 0)
            strcpy(found, whole);
    }
    closedir(list);
    CHECK(found[0]);
    return found;
}

static void
a_torn_batch_is_not_there_and_those_before_it_are(void)
{
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path);
    CHECK(put(kv, "a", "1", false) == STATUS_OK);
    const kv_change_t batch[] = { { text("b"), text("2") },
                                  { text("c"), text("3") } };
    CHECK(kv->write(kv, batch, 2, false) == STATUS_OK);
    kv_close(&kv);
    const char *log = newest(path, ".log");
    struct stat file;
    CHECK(stat(log, &file) == 0 && truncate(log, file.st_size - 3) == 0);
    kv = open_at(path);
    CHECK(walk_is(kv, "", NULL, false, 0, "a=1 "));
    kv_close(&kv);
}

static void
flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    unsigned char byte;
    CHECK(fd != -1 && pread(fd, &byte, 1, at) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void
a_flipped_bit_is_corrupt_and_never_a_wrong_value(void)
{
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path);
    CHECK(put(kv, "key", "value", true) == STATUS_OK);
    kv_close(&kv);
    kv = open_at(path);  //  The log is a table on disk now
    kv_close(&kv);
    flip(newest(path, ".ldb"), 5);
    kv = open_at(path);
    void *value;
    size_t size;
    CHECK(kv->read(kv, text("key"), &value, &size) == STATUS_CORRUPT);
    seen_t seen = { .most = 0 };
    CHECK(kv->walk(kv, text(""), END, see, &seen) == STATUS_CORRUPT);
    CHECK(!seen.text[0]);
    char why[256];
    kv->why(kv, why, sizeof(why));
    CHECK(strstr(why, "orrupt"));
    kv_close(&kv);
}

static void
a_flipped_bit_in_the_log_stops_the_opening(void)
{
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path);
    CHECK(put(kv, "key", "value", true) == STATUS_OK);
    CHECK(put(kv, "other", "value", true) == STATUS_OK);
    kv_close(&kv);
    flip(newest(path, ".log"), 20);
    char why[256] = "";
    CHECK(kv_open(path, &kv, why, sizeof(why)) == STATUS_CORRUPT);
    CHECK(strstr(why, path) && strstr(why, "orrupt"));
}

static void
a_second_process_is_told_who_holds_the_table(void)
{
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path), *second = NULL;
    char why[512] = "", holder[64];
    snprintf(holder, sizeof(holder), "process %ld (kv_test)", (long)getpid());
    CHECK(kv_open(path, &second, why, sizeof(why)) == STATUS_TAKEN);
    CHECK(!second && strstr(why, holder) && strstr(why, path));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(kv_open(path, &second, why, sizeof(why)) == STATUS_TAKEN &&
                      strstr(why, holder)
                  ? 0
                  : 1);
    int how;
    CHECK(waitpid(child, &how, 0) == child && how == 0);
    kv_close(&kv);
    kv = open_at(path);
    kv_close(&kv);
}

static void
a_table_held_without_a_claim_is_taken_too(void)
{
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path);
    kv_close(&kv);
    int held[2];
    CHECK(pipe(held) == 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(folder_path(path, "LOCK"), O_RDWR);
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _exit(fcntl(fd, F_SETLK, &whole) == 0 && write(held[1], "!", 1) == 1
                  ? pause()
                  : 1);
    }
    char byte, why[512] = "";
    CHECK(read(held[0], &byte, 1) == 1);
    status_t status = kv_open(path, &kv, why, sizeof(why));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(status == STATUS_TAKEN && strstr(why, path));
}

static void
what_cannot_be_opened_says_why(void)
{
    const char *path = folder_path(folder_new(), "file");
    fclose(fopen(path, "w"));
    kv_t *kv = NULL;
    char why[512] = "";
    CHECK(kv_open(path, &kv, why, sizeof(why)) == STATUS_IO);
    CHECK(strstr(why, path) && strstr(why, "Not a directory"));
    CHECK(kv_open("/proc/none/table", &kv, why, sizeof(why)) == STATUS_IO);
    CHECK(strstr(why, "/proc/none") && !kv);
}

static void
the_directory_is_synced_with_what_opening_made(void)
{
    memset(&disk, 0, sizeof(disk));
    kv_t *kv = fresh_leveldb();
    CHECK(disk.current);
    int before = disk.directories;
    CHECK(put(kv, "a", "1", true) == STATUS_OK);
    CHECK(disk.directories > before);
    kv_close(&kv);
}

static void
no_log_begins_before_the_one_before_it_is_on_disk(void)
{
    memset(&disk, 0, sizeof(disk));
    const char *path = folder_path(folder_new(), "table");
    kv_t *kv = open_at(path);
    static char value[10000];
    random_t chance = random_seeded(1);
    char log[512], key[32];
    snprintf(log, sizeof(log), "%s", newest(path, ".log"));
    struct stat file;
    int logs = 0;
    for (int i = 0; i < 4000 && logs < 3; i++) {
        //  An open descriptor shows the old log's size after its removal.
        int fd = open(log, O_RDONLY);
        snprintf(key, sizeof(key), "%d", i);
        kv_change_t change = {
            text(key), { value, random_below(&chance, sizeof(value)) }
        };
        CHECK(kv->write(kv, &change, 1, false) == STATUS_OK);
        const char *now = newest(path, ".log");
        if (strcmp(now, log) != 0) {
            unsigned long number = strtoul(strrchr(log, '/') + 1, NULL, 10);
            CHECK(fd == -1 || fstat(fd, &file) == 0);
            CHECK(fd != -1 && number < 4096);
            CHECK(disk.log_bytes[number] == file.st_size);
            snprintf(log, sizeof(log), "%s", now);
            logs++;
        }
        close(fd);
    }
    CHECK(logs == 3);
    kv_close(&kv);
}

static void
after_a_failed_write_nothing_is_written(void)
{
    const char *path = folder_path(folder_new(), "table");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        //  A limit on file sizes is a disk that refuses: EFBIG.
        signal(SIGXFSZ, SIG_IGN);
        kv_t *kv = open_at(path);
        CHECK(put(kv, "a", "1", true) == STATUS_OK);
        struct rlimit limit = { 10000, RLIM_INFINITY };
        setrlimit(RLIMIT_FSIZE, &limit);
        static char large[20000];
        kv_change_t change = { text("b"), { large, sizeof(large) } };
        CHECK(kv->write(kv, &change, 1, true) == STATUS_IO);
        char why[256] = "";
        kv->why(kv, why, sizeof(why));
        CHECK(strstr(why, "File too large"));
        CHECK(holds(kv, "a", "1") && holds(kv, "b", NULL));
        limit.rlim_cur = RLIM_INFINITY;
        setrlimit(RLIMIT_FSIZE, &limit);
        CHECK(put(kv, "c", "3", true) == STATUS_IO);
        CHECK(holds(kv, "c", NULL));
        _exit(0);
    }
    int how;
    CHECK(waitpid(child, &how, 0) == child && how == 0);
    kv_t *kv = open_at(path);
    CHECK(holds(kv, "a", "1") && holds(kv, "b", NULL));
    CHECK(put(kv, "c", "3", true) == STATUS_OK);
    kv_close(&kv);
}

static void
a_cut_takes_the_newest_unsynced_batches_only(void)
{
    bool all = false, none = false;
    for (uint64_t seed = 0; seed < 64; seed++) {
        kv_t *kv = kv_memory_new();
        CHECK(put(kv, "a", "unsynced first", false) == STATUS_OK);
        CHECK(put(kv, "a", "synced", true) == STATUS_OK);
        CHECK(put(kv, "b", "synced", true) == STATUS_OK);
        CHECK(put(kv, "a", "1", false) == STATUS_OK);
        CHECK(put(kv, "b", NULL, false) == STATUS_OK);
        CHECK(put(kv, "a", "2", false) == STATUS_OK);
        kv_memory_cut(kv, seed);
        if (holds(kv, "a", "2"))
            CHECK(holds(kv, "b", NULL));
        else if (holds(kv, "b", NULL))
            CHECK(holds(kv, "a", "1"));
        else
            CHECK(holds(kv, "a", "1") || holds(kv, "a", "synced"));
        all = all || holds(kv, "a", "2");
        none = none || holds(kv, "a", "synced");
        //  What a cut left is on disk.
        bool left = holds(kv, "b", NULL);
        kv_memory_cut(kv, seed + 1);
        CHECK(left == holds(kv, "b", NULL));
        kv_close(&kv);
    }
    CHECK(all && none);
}

static void
a_crash_of_the_process_takes_nothing(void)
{
    kv_t *kv = kv_memory_new();
    kv_t *handle = kv_memory_handle(kv);
    CHECK(put(handle, "a", "1", false) == STATUS_OK);
    kv_close(&handle);
    kv_memory_crash(kv, 1);
    CHECK(holds(kv, "a", "1"));
    kv_close(&kv);
}

static void
the_nth_call_fails_and_a_failed_write_is_in_doubt(void)
{
    int there = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        kv_t *kv = kv_memory_new();
        kv_memory_fail_after(kv, 3, STATUS_FULL);
        CHECK(put(kv, "a", "1", true) == STATUS_OK);
        CHECK(holds(kv, "a", "1") && !kv_memory_failed(kv));
        CHECK(put(kv, "b", "2", true) == STATUS_FULL);
        CHECK(kv_memory_failed(kv) && holds(kv, "b", NULL));
        CHECK(put(kv, "c", "3", true) == STATUS_FULL);
        (seed % 2 ? kv_memory_cut : kv_memory_crash)(kv, seed);
        there += holds(kv, "b", "2");
        CHECK(holds(kv, "a", "1") && holds(kv, "c", NULL));
        CHECK(put(kv, "c", "3", true) == STATUS_OK);
        kv_close(&kv);
    }
    CHECK(there > 0 && there < 64);
}

int
main(void)
{
    the_contract("memory", kv_memory_new);
    the_contract("LevelDB", fresh_leveldb);
    CASE(what_was_written_is_there_after_opening_again,
         "kv 2: what was written is there after opening again");
    CASE(a_killed_process_leaves_whole_batches,
         "kv 2: a killed process leaves its unsynced batches");
    CASE(a_torn_batch_is_not_there_and_those_before_it_are,
         "kv 1: a torn batch is not there, and those before it are");
    CASE(a_flipped_bit_is_corrupt_and_never_a_wrong_value,
         "invariant 9: a flipped bit is told and never a wrong value");
    CASE(a_flipped_bit_in_the_log_stops_the_opening,
         "invariant 9: a flipped bit in the log stops the opening");
    CASE(a_second_process_is_told_who_holds_the_table,
         "claim 2: a second process is told who holds the table");
    CASE(a_table_held_without_a_claim_is_taken_too,
         "a table held without a claim is taken too");
    CASE(what_cannot_be_opened_says_why, "what cannot be opened says why");
    CASE(the_directory_is_synced_with_what_opening_made,
         "kv 2: the directory is synced with what opening and writing made");
    CASE(no_log_begins_before_the_one_before_it_is_on_disk,
         "kv 2: no log begins before the one before it is on disk");
    CASE(after_a_failed_write_nothing_is_written,
         "kv 4: after a failed write nothing is written until opened again");
    CASE(a_cut_takes_the_newest_unsynced_batches_only,
         "kv 2: a cut in memory takes the newest unsynced batches only");
    CASE(a_crash_of_the_process_takes_nothing,
         "kv 2: a crash in memory takes nothing");
    CASE(the_nth_call_fails_and_a_failed_write_is_in_doubt,
         "kv 4: the planned call fails, and a failed write is in doubt");
    return proof_end();
}
