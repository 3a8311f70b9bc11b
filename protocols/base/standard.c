#include "standard.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "invariant.h"

void
standard_hold(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1)
            continue;
        int got = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        INVARIANT(got == fd);  //  The lowest that is free
    }
}

void
standard_endings(sigset_t *signals_r)
{
    struct sigaction hangup;
    sigemptyset(signals_r);
    sigaddset(signals_r, SIGINT);
    sigaddset(signals_r, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(signals_r, SIGHUP);
}
