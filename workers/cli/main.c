#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "sockets.h"
#include "standard.h"
#include "talk.h"
#include "verbs.h"
#include "version.h"

enum { DESCRIPTORS = 32 };

static int
run(const verb_t *verb, int argc, char *argv[])
{
    words_t words;
    char why[512];
    if (!words_parse(verb, argc, argv, &words, why, sizeof why))
        return talk_fail(verb->name, EX_USAGE, "%s; see rill %s --help", why,
                         verb->name);
    if (words.help) {
        verbs_explain(verb, stdout);
        return EX_OK;
    }
    if (sockets_begin(DESCRIPTORS) != STATUS_OK)
        return EX_CONFIG;
    return verb->run(&words);
}

//  Whether whoever read our standard output has read enough (`rill ls | head`).
static bool
reader_left(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

//  What was printed must have been written, or it was not done.
static int
flush(const char *verb, int code)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || reader_left())
        return code;
    return code
               ? code
               : talk_fail(verb, EX_IOERR, "standard output cannot be written");
}

int
main(int argc, char *argv[])
{
    const char *name = argc > 1 ? argv[1] : "";
    standard_hold();
    if (strcmp(name, "--version") == 0) {
        printf("rill %s\n", RILL_VERSION);
        return flush("--version", EX_OK);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    const verb_t *verb = verbs_find(name);
    if (!verb && name[0] == '-')
        return talk_fail(name, EX_USAGE,
                         "options stand behind the verb, as in rill ls --json");
    if (!verb && argc > 1)
        return talk_fail(name, EX_USAGE,
                         "there is no such verb; `rill help` lists them");
    if (!verb) {
        verbs_list(stderr);
        return EX_USAGE;
    }
    return flush(name, run(verb, argc - 2, argv + 2));
}
