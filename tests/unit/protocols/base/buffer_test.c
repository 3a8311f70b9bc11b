#include "buffer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proof.h"

static int given_back;

static void
give_back(void *hint)
{
    (void)hint;
    given_back++;
}

static void
lent_memory_goes_back_once_with_its_last_holder(void)
{
    static const char lent[] = "lent";
    given_back = 0;
    buffer_t *first = buffer_wrap(lent, 4, give_back, NULL);
    buffer_t *second = buffer_ref(first);
    buffer_t *part = buffer_slice(first, 1, 2);
    buffer_unref(&first);
    buffer_unref(&second);
    CHECK(!first && !second && given_back == 0);
    CHECK(buffer_size(part) == 2);
    CHECK(memcmp(buffer_bytes(part), "en", 2) == 0);
    buffer_unref(&part);
    CHECK(given_back == 1);
}

static void
an_empty_buffer_has_bytes_that_may_be_read(void)
{
    buffer_t *none = buffer_new(0);
    CHECK(buffer_size(none) == 0 && buffer_bytes(none));
    buffer_unref(&none);
}

static void
fill_shared(buffer_t *shared)
{
    buffer_fill(shared)[0] = 1;
}

static void
trim_shared(buffer_t *shared)
{
    buffer_trim(shared, 1);
}

static void
fill_lent(buffer_t *shared)
{
    buffer_t *part = buffer_slice(shared, 0, 1);
    buffer_fill(part)[0] = 1;
}

//  Whether an invariant stops whoever does this.
static bool
is_stopped(void (*deed)(buffer_t *), buffer_t *buffer)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        fclose(stderr);
        deed(buffer);
        _exit(0);
    }
    int how;
    CHECK(waitpid(child, &how, 0) == child);
    return WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT;
}

static void
bytes_with_two_holders_are_never_written(void)
{
    buffer_t *first = buffer_new(8);
    buffer_fill(first)[0] = 7;
    buffer_t *second = buffer_ref(first);
    CHECK(is_stopped(fill_shared, first) && is_stopped(trim_shared, second));
    CHECK(is_stopped(fill_lent, first));
    buffer_unref(&second);
    buffer_fill(first)[0] = 8;
    buffer_trim(first, 1);
    CHECK(buffer_size(first) == 1 && buffer_bytes(first)[0] == 8);
    buffer_unref(&first);
}

static void *
hold_and_let_go(void *with)
{
    buffer_t *mine = with;
    for (int i = 0; i < 10000; i++) {
        buffer_t *more = buffer_ref(mine);
        buffer_unref(&more);
    }
    buffer_unref(&mine);
    return NULL;
}

static void
the_last_of_many_threads_gives_it_back(void)
{
    static const char lent[] = "lent";
    given_back = 0;
    buffer_t *first = buffer_wrap(lent, 4, give_back, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, hold_and_let_go,
                             buffer_ref(first)) == 0);
    buffer_unref(&first);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(given_back == 1);
}

int
main(void)
{
    CASE(bytes_with_two_holders_are_never_written,
         "buffer 1: bytes with two holders are never written");
    CASE(the_last_of_many_threads_gives_it_back,
         "buffer 2: the last of many threads gives it back, once");
    CASE(lent_memory_goes_back_once_with_its_last_holder,
         "buffer 2: lent memory goes back once, with its last holder");
    CASE(an_empty_buffer_has_bytes_that_may_be_read,
         "an empty buffer has bytes that may be read");
    return proof_end();
}
