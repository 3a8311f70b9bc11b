#include "story.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "invariant.h"

#define LINES 60
#define LINE 200
#define KINDS 64

static struct {
    uint64_t seed;
    bool print;
    int64_t now_us;
    uint64_t told;
    uint64_t digest;
    char lines[LINES][LINE];
    uint64_t held[STORY_INVARIANTS];
    struct {
        const char *kind;
        uint64_t times;
    } counts[KINDS];
    char replay[256];
    story_hook_fn *hook;
} story;

void
story_begin(uint64_t seed, bool print)
{
    story.seed = seed;
    story.print = print;
    story.now_us = 0;
    story.told = 0;
    story.digest = 0xcbf29ce484222325u;
}

void
story_time(int64_t now_us)
{
    story.now_us = now_us;
}

void
story_tell(const char *format, ...)
{
    char *line = story.lines[story.told++ % LINES];
    int size = snprintf(line, LINE, "%3d.%06d ", (int)(story.now_us / 1000000),
                        (int)(story.now_us % 1000000));
    va_list args;
    va_start(args, format);
    vsnprintf(line + size, LINE - (size_t)size, format, args);
    va_end(args);
    for (const char *p = line; *p; p++)
        story.digest = (story.digest ^ (uint8_t)*p) * 0x100000001b3u;
    if (story.print)
        puts(line);
}

void
story_held(int invariant)
{
    story.held[invariant]++;
}

uint64_t
story_checks(int invariant)
{
    return story.held[invariant];
}

void
story_count(const char *kind, uint64_t times)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (!story.counts[i].kind)
            story.counts[i].kind = kind;
        if (strcmp(story.counts[i].kind, kind) == 0) {
            story.counts[i].times += times;
            return;
        }
    }
    INVARIANT(!"room for one more kind");
}

void
story_counts(void (*each)(void *arg, const char *kind, uint64_t times),
             void *arg)
{
    for (size_t i = 0; i < KINDS && story.counts[i].kind; i++)
        each(arg, story.counts[i].kind, story.counts[i].times);
}

void
story_replay(const char *words)
{
    snprintf(story.replay, sizeof(story.replay), "%s", words);
}

void
story_hook(story_hook_fn *hook)
{
    story.hook = hook;
}

static void
tell_end(const char *what)
{
    if (!story.print) {
        uint64_t from = story.told > LINES ? story.told - LINES : 0;
        for (uint64_t i = from; i < story.told; i++)
            puts(story.lines[i % LINES]);
    }
    printf("breach: %s\n", what);
    printf("  seed %llu, at %.6f s\n  replay: %s --seed %llu --trace\n",
           (unsigned long long)story.seed, (double)story.now_us / 1e6,
           story.replay, (unsigned long long)story.seed);
    fflush(stdout);
}

_Noreturn void
story_breach(int invariant, const char *format, ...)
{
    char words[400], what[500];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    if (invariant)
        snprintf(what, sizeof(what), "invariant %d: %s", invariant, words);
    else
        snprintf(what, sizeof(what), "%s", words);
    if (story.hook) {
        story.hook(invariant);
        abort();
    }
    tell_end(what);
    exit(1);
}

static void
on_signal(int number)
{
    signal(number, SIG_DFL);
    tell_end(number == SIGABRT ? "the code under test broke an invariant of "
                                 "its own (see stderr)"
                               : "the code under test crashed");
    _exit(1);
}

void
story_catch_signals(void)
{
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    signal(SIGFPE, on_signal);
}

uint64_t
story_digest(void)
{
    return story.digest;
}
