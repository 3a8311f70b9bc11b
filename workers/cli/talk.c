#include "talk.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "standard.h"
#include "units.h"

enum { SHOW_EVERY_MS = 200, RATE_AFTER_MS = 500 };

#define ERASE "\r\033[K"

static talk_progress_t *standing;  //  Whose line must be written over

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
    interrupted = number;
}

void
talk_note_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigset_t endings;
    standard_endings(&endings);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&endings, number) == 1)
            sigaction(number, &action, NULL);
}

bool
talk_interrupted(void)
{
    return interrupted != 0;
}

int
talk_fail(const char *verb, int code, const char *format, ...)
{
    talk_progress_end(standing);
    fprintf(stderr, "rill %s: ", verb);
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return code;
}

void
talk_say(const char *format, ...)
{
    talk_progress_end(standing);
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

int
talk_code(status_t status)
{
    switch (status) {
    case STATUS_OK:
        return EX_OK;
    case STATUS_UNKNOWN:
    case STATUS_GONE:
        return 1;
    case STATUS_NAME:
    case STATUS_ADDRESS:
        return EX_USAGE;
    case STATUS_UNREACHABLE:
        return EX_UNAVAILABLE;
    case STATUS_IO:
    case STATUS_CORRUPT:
    case STATUS_ABSENT:
        return EX_IOERR;
    case STATUS_SETTING:
    case STATUS_LIMIT:
        return EX_CONFIG;
    case STATUS_FENCED:
        return EX_TEMPFAIL;
    default:
        return status_retry(status) == RETRY_NEVER ? EX_DATAERR : EX_TEMPFAIL;
    }
}

void
talk_progress_begin(talk_progress_t *self, uint64_t total, uint64_t begun,
                    millis_t now)
{
    *self = (talk_progress_t){ .total = total,
                               .begun = begun,
                               .since = now,
                               .shown = now,
                               .is_on = isatty(STDERR_FILENO) };
}

void
talk_progress(talk_progress_t *self, uint64_t bytes, millis_t now)
{
    if (now < talk_progress_due(self))
        return;
    self->shown = now;
    self->is_shown = true;
    standing = self;
    char done[UNITS_TEXT_BYTES], whole[UNITS_TEXT_BYTES];
    char rate_text[UNITS_TEXT_BYTES], left[UNITS_TEXT_BYTES];
    millis_t took = now - self->since;
    uint64_t moved = bytes > self->begun ? bytes - self->begun : 0;
    double rate = took >= RATE_AFTER_MS ? (double)moved / (double)took : 0;
    fprintf(stderr, ERASE "%s", units_bytes(bytes, done));
    if (self->total > 0)
        fprintf(stderr, " of %s", units_bytes(self->total, whole));
    if (took >= RATE_AFTER_MS)
        fprintf(stderr, "  %s/s",
                units_bytes((uint64_t)(rate * 1000), rate_text));
    if (rate > 0 && self->total > bytes)
        fprintf(
            stderr, "  %s left",
            units_ms((uint64_t)((double)(self->total - bytes) / rate / 1000) *
                             1000 +
                         1000,
                     left));
    fflush(stderr);
}

void
talk_progress_end(talk_progress_t *self)
{
    if (!self || !self->is_shown)
        return;
    fputs(ERASE, stderr);
    self->is_shown = false;
    standing = NULL;
}

millis_t
talk_progress_due(const talk_progress_t *self)
{
    return self->is_on ? self->shown + SHOW_EVERY_MS : MILLIS_NEVER;
}
