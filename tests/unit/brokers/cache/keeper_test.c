#include "keeper.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "folder.h"
#include "proof.h"

/*  A keeper on a real directory, its answers kept; writes that fail or wait as
 *  this file says.
 */
enum { MIB = 1024 * 1024, NUMBERS = 1 << 16 };

static zloop_t *loop;
static keeper_t *keeper;
static const char *folder;
static size_t answers, awaited, lost, unkept;
static status_t recalled[NUMBERS];
static buffer_t *payloads[NUMBERS];
static files_t *system_files;
static files_t files;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int write_error;
static double patience = 1;

static buffer_t *
payload_of(uint64_t number, size_t size)
{
    buffer_t *payload = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer_fill(payload)[i] = (uint8_t)(number * 7 + i / 64);
    return payload;
}

static void
on_unkept(void *with, uint64_t number, millis_t now)
{
    (void)with, (void)number, (void)now;
    unkept++;
    answers++;
}

static void
on_recalled(void *with, uint64_t number, status_t status, buffer_t *payload,
            millis_t now)
{
    (void)with, (void)now;
    CHECK(number < NUMBERS && (status == STATUS_OK) == (payload != NULL));
    recalled[number] = status;
    buffer_unref(&payloads[number]);
    payloads[number] = buffer_ref(payload);
    answers++;
}

static void
on_lost(void *with, const char *why, millis_t now)
{
    (void)with, (void)now;
    CHECK(*why);
    lost++;
    answers++;
}

static int
after(void *with, millis_t now)
{
    (void)with, (void)now;
    return answers >= awaited ? -1 : 0;
}

static void
begin_at_once(bool wrapped)
{
    static const keeper_events_t EVENTS = { on_unkept, on_recalled, on_lost,
                                            after };
    answers = lost = unkept = 0;
    keeper = keeper_new(loop, folder, 128 * MIB, patience,
                        wrapped ? &files : NULL, &EVENTS, NULL);
}

static void
end(void)
{
    keeper_destroy(&keeper);
    for (size_t i = 0; i < NUMBERS; i++)
        buffer_unref(&payloads[i]);
}

//  Until so many answers more came.
static void
await(size_t count)
{
    awaited = answers + count;
    zloop_start(loop);
}

//  The same, with a disk that is ready, or lost.
static void
begin(bool wrapped)
{
    begin_at_once(wrapped);
    await(0);
}

static status_t
keep_at(uint64_t number, size_t size, millis_t now)
{
    buffer_t *payload = payload_of(number, size);
    uint32_t crc = checksum_crc32c(buffer_bytes(payload), size);
    status_t status = keeper_keep(keeper, number, payload, crc, now);
    buffer_unref(&payload);
    return status;
}

static status_t
keep(uint64_t number, size_t size)
{
    return keep_at(number, size, zclock_mono());
}

static bool
has(uint64_t number, size_t size)
{
    CHECK(keeper_recall(keeper, number, zclock_mono()) == STATUS_OK);
    await(1);
    buffer_t *right = payload_of(number, size);
    bool same = payloads[number] && buffer_size(payloads[number]) == size &&
                memcmp(buffer_bytes(payloads[number]), buffer_bytes(right),
                       size) == 0;
    buffer_unref(&right);
    return same;
}

//  Waits for the disk where it is behind.
static void
keep_all(uint64_t from, uint64_t to, size_t size)
{
    for (uint64_t number = from; number < to; number++) {
        status_t status;
        while ((status = keep(number, size)) == STATUS_BUSY)
            await(0);
        CHECK(status == STATUS_OK);
    }
}

static void
what_is_kept_is_given_back(void)
{
    folder = folder_new();
    begin(false);
    keep_all(1, 60, MIB);
    keep_all(60, 80, 100);
    for (uint64_t number = 79; number > 3; number -= 3)
        CHECK(has(number, number < 60 ? MIB : 100));
    CHECK(!has(90, 1) && recalled[90] == STATUS_MISS);
    CHECK(!unkept && !lost);
    end();
    //  Another cache on that disk begins with nothing.
    begin(false);
    CHECK(!has(1, MIB) && recalled[1] == STATUS_MISS);
    CHECK(keep(1, 100) == STATUS_OK && has(1, 100));
    end();
    CHECK(buffer_total() == 0);
}

static void
old_ones_make_room(void)
{
    folder = folder_new();
    begin(false);
    size_t room = keeper_room((uint64_t)128 * MIB) / MIB;
    CHECK(room > 64 && room < 128);
    //  Twice the disk; what comes while it makes room may be refused.
    uint64_t number = 0;
    while (number - unkept < 2 * 128 || !has(number, MIB - 4096)) {
        CHECK(++number < NUMBERS);
        if (number > room)
            keeper_release(keeper, number - room, zclock_mono());
        keep_all(number, number + 1, MIB - 4096);
        await(0);
    }
    CHECK(!has(1, MIB - 4096) && !lost);
    end();
}

static int
gated_write(const files_t *self, int handle, const void *bytes, size_t size,
            uint64_t offset, uint64_t token)
{
    (void)self;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return write_error ? -write_error
                       : system_files->write(system_files, handle, bytes, size,
                                             offset, token);
}

static int
gated_list(const files_t *self, const char *path,
           void (*each)(void *arg, const char *name), void *arg)
{
    (void)self;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return system_files->list(system_files, path, each, arg);
}

static void
set_gate(void)
{
    folder = folder_new();
    system_files = files_system_new(16, false);
    files = *system_files;
    files.write = gated_write;
    files.list = gated_list;
}

static void
begin_gated(void)
{
    set_gate();
    begin(true);
}

static void
a_disk_has_time_to_begin(void)
{
    millis_t late = zclock_mono() + 2 * KEEPER_HUNG_MS;
    set_gate();
    pthread_mutex_lock(&gate);
    begin_at_once(true);
    CHECK(keep(1, 100) == STATUS_BUSY && keep_at(2, 1, late) == STATUS_BUSY);
    CHECK(keeper_release(keeper, 1, late) == STATUS_BUSY);
    pthread_mutex_unlock(&gate);
    await(0);
    CHECK(keep(3, 100) == STATUS_OK && has(3, 100) && !has(1, 100) && !lost);
    end();
    files_system_destroy(&system_files);
    CHECK(buffer_total() == 0);
}

static void
a_full_queue_takes_no_release(void)
{
    begin_gated();
    pthread_mutex_lock(&gate);
    uint64_t number = 1;
    while (keep(number, 1) == STATUS_OK)
        number++;
    CHECK(number == KEEPER_QUEUE + 1);
    CHECK(keeper_release(keeper, number, zclock_mono()) == STATUS_BUSY);
    pthread_mutex_unlock(&gate);
    keep_all(number, number + 1, 1);
    while (keeper_release(keeper, number, zclock_mono()) == STATUS_BUSY)
        await(0);
    end();
    files_system_destroy(&system_files);
    CHECK(buffer_total() == 0);
}

static void
a_slow_disk_is_not_waited_for(void)
{
    begin_gated();
    keep_all(1, 2, 100);
    pthread_mutex_lock(&gate);
    status_t status = STATUS_OK;
    uint64_t number = 2;
    for (; status == STATUS_OK; number++)
        status = keep(number, MIB);
    CHECK(status == STATUS_BUSY);
    CHECK(number * MIB < KEEPER_QUEUE_BYTES + 4 * MIB);
    pthread_mutex_unlock(&gate);
    keep_all(number, number + 20, MIB);
    CHECK(has(2, MIB) && has(number, MIB));
    //  One that hangs is lost, and that is told once.
    pthread_mutex_lock(&gate);
    CHECK(keep(1000, MIB) == STATUS_OK);
    CHECK(keep_at(1001, 1, zclock_mono() + KEEPER_HUNG_MS + 1000) == STATUS_IO);
    CHECK(keep(1002, 1) == STATUS_IO && !lost);
    await(1);
    CHECK(lost == 1);
    pthread_mutex_unlock(&gate);
    end();
    files_system_destroy(&system_files);
    CHECK(buffer_total() == 0);
}

static void
a_broken_disk_is_lost(void)
{
    begin_gated();
    write_error = EIO;
    CHECK(keep(1, MIB) == STATUS_OK);
    await(2);
    CHECK(lost == 1 && unkept == 1);
    CHECK(keep(2, MIB) == STATUS_IO);
    CHECK(keeper_recall(keeper, 1, zclock_mono()) == STATUS_IO);
    write_error = 0;
    end();
    files_system_destroy(&system_files);
    //  So is one that cannot even be opened.
    folder = "/proc/nowhere";
    begin(false);
    CHECK(lost == 1 && keep(1, 1) == STATUS_IO);
    end();
    CHECK(buffer_total() == 0);
}

//  Its thread is still there when this process ends.
static void
a_hung_disk_is_left_behind(void)
{
    patience = 0.05;
    begin_gated();
    pthread_mutex_lock(&gate);
    while (keep(1, MIB) != STATUS_OK)
        await(0);
    end();
}

int
main(void)
{
    loop = zloop_new();
    CASE(what_is_kept_is_given_back,
         "keeper 3: what is kept is given back, and nothing of a cache before");
    CASE(old_ones_make_room,
         "keeper 2: what is released makes room on the disk");
    CASE(a_slow_disk_is_not_waited_for,
         "keeper 1, keeper 2: a slow disk is not waited for, what it has no "
         "queue for is refused");
    CASE(a_broken_disk_is_lost,
         "keeper 4: a disk that fails is lost, which is told once");
    CASE(a_disk_has_time_to_begin,
         "keeper 4: a disk hangs when it does not answer, not while it is "
         "emptied");
    CASE(a_full_queue_takes_no_release,
         "keeper 2: what a full queue does not take is told, a release too");
    CASE(a_hung_disk_is_left_behind,
         "keeper 4: the end does not wait for a disk that hangs");
    zloop_destroy(&loop);
    return proof_end();
}
