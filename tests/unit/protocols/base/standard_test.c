#include "standard.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proof.h"

//  Descriptors are the whole process': each trial has one of its own.
static bool
is_so(bool (*trial)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(trial() ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool
closed_ones_are_held(void)
{
    char byte = 0;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    standard_hold();
    return open("/dev/null", O_RDWR) > STDERR_FILENO &&
           read(STDIN_FILENO, &byte, 1) == -1 &&
           write(STDOUT_FILENO, &byte, 1) == -1 &&
           write(STDERR_FILENO, &byte, 1) == -1;
}

static bool
open_ones_are_left(void)
{
    int ends[2];
    char byte = 'x';
    if (pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) != STDIN_FILENO ||
        dup2(ends[1], STDOUT_FILENO) != STDOUT_FILENO)
        return false;
    close(STDERR_FILENO);
    standard_hold();
    return write(STDOUT_FILENO, &byte, 1) == 1 &&
           read(STDIN_FILENO, &byte, 1) == 1;
}

static void
no_file_lies_where_a_log_goes(void)
{
    CHECK(is_so(closed_ones_are_held));
    CHECK(is_so(open_ones_are_left));
}

static void
a_hangup_ends_unless_it_is_ignored(void)
{
    sigset_t endings;
    CHECK(signal(SIGHUP, SIG_DFL) != SIG_ERR);
    standard_endings(&endings);
    CHECK(sigismember(&endings, SIGINT) && sigismember(&endings, SIGTERM));
    CHECK(sigismember(&endings, SIGHUP) && !sigismember(&endings, SIGUSR1));
    CHECK(signal(SIGHUP, SIG_IGN) != SIG_ERR);
    standard_endings(&endings);
    CHECK(sigismember(&endings, SIGTERM) && !sigismember(&endings, SIGHUP));
}

int
main(void)
{
    CASE(no_file_lies_where_a_log_goes,
         "a standard descriptor that is closed can neither be read nor "
         "written, and nothing else is opened in its place");
    CASE(a_hangup_ends_unless_it_is_ignored,
         "SIGINT, SIGTERM and a SIGHUP that is not ignored end a program");
    return proof_end();
}
