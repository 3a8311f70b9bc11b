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

static story_tally_t own;

static struct {
    uint64_t seed;
    story_telling_t telling;
    int64_t now_us;
    uint64_t told;
    uint64_t digest;
    char lines[LINES][LINE];
    story_tally_t *tally;
    char replay[256];
    story_hook_fn *hook;
} story = { .tally = &own };

void
story_begin(uint64_t seed, story_telling_t telling)
{
    story.seed = story.tally->seed = seed;
    story.telling = telling;
    story.now_us = 0;
    story.told = 0;
    story.digest = 0xcbf29ce484222325u;
}

void
story_time(int64_t now_us)
{
    story.now_us = now_us;
}

int64_t
story_now(void)
{
    return story.now_us;
}

void
story_tell(const char *format, ...)
{
    if (story.telling == STORY_NOTHING)
        return;
    char *line = story.lines[story.told++ % LINES];
    int size = snprintf(line, LINE, "%3d.%06d ", (int)(story.now_us / 1000000),
                        (int)(story.now_us % 1000000));
    va_list args;
    va_start(args, format);
    vsnprintf(line + size, LINE - (size_t)size, format, args);
    va_end(args);
    for (const char *p = line; *p; p++)
        story.digest = (story.digest ^ (uint8_t)*p) * 0x100000001b3u;
    if (story.telling == STORY_FULLY)
        puts(line);
}

void
story_held(int invariant)
{
    story.tally->held[invariant]++;
}

static void
count(story_tally_t *tally, const char *kind, uint64_t times)
{
    for (size_t i = 0; i < STORY_KINDS; i++) {
        if (!tally->counts[i].kind)
            tally->counts[i].kind = kind;
        if (tally->counts[i].kind == kind ||
            strcmp(tally->counts[i].kind, kind) == 0) {
            tally->counts[i].times += times;
            return;
        }
    }
    INVARIANT(!"room for one more kind");
}

void
story_count(const char *kind, uint64_t times)
{
    count(story.tally, kind, times);
}

void
story_tally(story_tally_t *tally)
{
    story.tally = tally;
}

void
story_add(const story_tally_t *other)
{
    for (int i = 0; i < STORY_INVARIANTS; i++)
        story.tally->held[i] += other->held[i];
    for (size_t i = 0; i < STORY_KINDS && other->counts[i].kind; i++)
        count(story.tally, other->counts[i].kind, other->counts[i].times);
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
    if (story.telling == STORY_BRIEFLY) {
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
    tell_end(number == SIGABRT     ? "the code under test broke an invariant "
                                     "of its own (see stderr)"
             : number == SIGVTALRM ? "the play does not end"
                                   : "the code under test crashed");
    _exit(1);
}

void
story_catch_signals(void)
{
    static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
                                   SIGVTALRM };
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        signal(signals[i], on_signal);
}

uint64_t
story_digest(void)
{
    return story.digest;
}
