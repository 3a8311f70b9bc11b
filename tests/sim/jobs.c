#include "jobs.h"

#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "invariant.h"
#include "story.h"

#define PLAY_SECONDS 60  //  Of a processor; most plays take some hundredths

//  What the processes share.
typedef struct {
    atomic_uint_least64_t next;  //  Seed
    story_tally_t tally[];       //  A process each
} shared_t;

static void
work(shared_t *shared, unsigned job, uint64_t to, jobs_play_fn *play, void *arg)
{
    story_tally(&shared->tally[job]);
    //  A play makes and frees much of every size: nothing is given back between.
    mallopt(M_MXFAST, 0);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    for (;;) {
        uint64_t seed = atomic_fetch_add(&shared->next, 1);
        if (seed > to)
            break;
        struct itimerval span = { .it_value.tv_sec = PLAY_SECONDS };
        setitimer(ITIMER_VIRTUAL, &span, NULL);
        play(arg, seed);
    }
    fflush(stdout);
    exit(0);
}

static pid_t
start(shared_t *shared, unsigned job, uint64_t to, jobs_play_fn *play,
      void *arg)
{
    fflush(stdout);
    pid_t process = fork();
    INVARIANT(process >= 0);
    if (process == 0)
        work(shared, job, to, play, arg);
    return process;
}

uint64_t
jobs_run(uint64_t from, uint64_t to, unsigned jobs, bool goes_on,
         jobs_play_fn *play, void *arg, uint64_t *seed_r)
{
    size_t size = sizeof(shared_t) + jobs * sizeof(story_tally_t);
    shared_t *shared = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    INVARIANT(shared != MAP_FAILED);
    atomic_store(&shared->next, from);
    pid_t *process = calloc(jobs, sizeof(pid_t));
    INVARIANT(process);
    for (unsigned i = 0; i < jobs; i++)
        process[i] = start(shared, i, to, play, arg);
    uint64_t breaches = 0;
    for (unsigned alive = jobs; alive > 0;) {
        int status = 0;
        pid_t ended = wait(&status);
        INVARIANT(ended > 0);
        unsigned job = 0;
        while (job < jobs && process[job] != ended)
            job++;
        if (job == jobs)
            continue;
        alive--;
        process[job] = 0;
        bool killed = breaches > 0 && !goes_on && WIFSIGNALED(status);
        if (status == 0 || killed)
            continue;
        if (breaches++ == 0)
            *seed_r = shared->tally[job].seed;
        if (goes_on) {
            process[job] = start(shared, job, to, play, arg);
            alive++;
            continue;
        }
        for (unsigned i = 0; i < jobs; i++)
            if (process[i])
                kill(process[i], SIGKILL);
    }
    for (unsigned i = 0; i < jobs; i++)
        story_add(&shared->tally[i]);
    munmap(shared, size);
    free(process);
    return breaches;
}
