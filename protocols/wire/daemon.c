#include "daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "invariant.h"
#include "log.h"
#include "millis.h"
#include "sockets.h"
#include "standard.h"
#include "version.h"

//  What was typed.
typedef struct {
    const char *file;
    const char *node;
    log_format_t format;
    log_level_t level;
} options_t;

#define GO_ON (-1)  //  Not an exit code

//  Two signals so soon after each other are one wish: timeout(1) sends two, and
//  so do shells and service managers whose terminal or service ends.
enum { ONE_WISH_MS = 500 };

static int
exit_code(status_t status)
{
    switch (status) {
    case STATUS_OK:
        return EX_OK;
    case STATUS_TAKEN:
    case STATUS_CLUSTER:
    case STATUS_FENCED:
    case STATUS_VERSION:
    case STATUS_CORRUPT:
        return EX_DATAERR;
    case STATUS_ADDRESS:
    case STATUS_UNREACHABLE:
        return EX_UNAVAILABLE;
    case STATUS_SETTING:
    case STATUS_ABSENT:
    case STATUS_LIMIT:
        return EX_CONFIG;
    case STATUS_STOPPING:
        return EX_TEMPFAIL;
    default:
        return EX_IOERR;
    }
}

static void
help(const daemon_t *daemon)
{
    printf("%s - %s\n\n"
           "  %s -f FILE --node NAME [--log text|json] [--verbose]\n\n"
           "  -f FILE            the cluster file\n"
           "  --node NAME        which of its nodes this is\n"
           "  --log text|json    how events are written to stderr; text\n"
           "  --verbose          details too\n"
           "  --help, --version\n",
           daemon->program, daemon->does, daemon->program);
    for (const daemon_flag_t *flag = daemon->flags; flag && flag->name; flag++)
        printf("  --%-16s %s\n", flag->name, flag->says);
    printf(
        "\n"
        "SIGTERM, SIGINT or SIGHUP ends it in good order, another one half a\n"
        "second later at once.\n"
        "Exit codes: 0 ended as told, 64 usage, 65 the directory, name or\n"
        "cluster is another's, 69 an address cannot be had, 74 disk, 78 the\n"
        "cluster file or a limit of the system.\n\n"
        "The cluster file's keys:\n\n");
    settings_help(stdout);
}

static int
misused(const daemon_t *daemon, const char *why)
{
    fprintf(stderr, "%s: %s; see %s --help\n", daemon->program, why,
            daemon->program);
    return EX_USAGE;
}

//  The options of every daemon, then its own: `which` is then set to its place
//  and getopt says 0.
enum { COMMON = 5, FLAGS_MOST = 4 };

static void
list_options(const daemon_t *daemon, struct option *list, int *which)
{
    static const struct option LONG[COMMON] = {
        { "node", required_argument, NULL, 'n' },
        { "log", required_argument, NULL, 'l' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
    };
    memcpy(list, LONG, sizeof(LONG));
    for (int i = 0; daemon->flags && daemon->flags[i].name; i++) {
        INVARIANT(i < FLAGS_MOST);
        list[COMMON + i] = (struct option){ daemon->flags[i].name, no_argument,
                                            which, i };
    }
}

//  Whether each flag has the one that it needs.
static bool
flags_fit(const daemon_t *daemon, char *why, size_t why_size)
{
    for (const daemon_flag_t *flag = daemon->flags; flag && flag->name; flag++)
        for (const daemon_flag_t *other = daemon->flags;
             flag->needs && other->name; other++)
            if (streq(other->name, flag->needs) && *flag->given &&
                !*other->given) {
                snprintf(why, why_size, "--%s goes with --%s only", flag->name,
                         other->name);
                return false;
            }
    return true;
}

static int
read_options(const daemon_t *daemon, int argc, char *argv[], options_t *options)
{
    struct option known[COMMON + FLAGS_MOST + 1] = { 0 };
    int which = 0;
    list_options(daemon, known, &which);
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":f:h", known, NULL)) != -1;) {
        char why[256];
        switch (c) {
        case 0:
            *daemon->flags[which].given = true;
            break;
        case 'f':
            options->file = optarg;
            break;
        case 'n':
            options->node = optarg;
            break;
        case 'l':
            if (!streq(optarg, "text") && !streq(optarg, "json"))
                return misused(daemon, "--log is text or json");
            options->format = streq(optarg, "json") ? LOG_JSON : LOG_TEXT;
            break;
        case 'v':
            options->level = LOG_AT_DETAIL;
            break;
        case 'h':
            help(daemon);
            return EX_OK;
        case 'V':
            printf("%s %s\n", daemon->program, RILL_VERSION);
            return EX_OK;
        default:
            snprintf(why, sizeof(why),
                     c == ':' ? "%s wants a value" : "there is no option %s",
                     argv[optind - 1]);
            return misused(daemon, why);
        }
    }
    char unfit[128];
    if (optind < argc)
        return misused(daemon, "it takes options only");
    if (!flags_fit(daemon, unfit, sizeof(unfit)))
        return misused(daemon, unfit);
    if (!options->file || !options->node)
        return misused(daemon, "say -f FILE and --node NAME");
    return GO_ON;
}

//  The node that this process is, or NULL and a sentence.
static const settings_node_t *
find_node(const daemon_t *daemon, const settings_t *settings,
          const options_t *options)
{
    const settings_node_t *node = settings_find(settings, options->node);
    if (node && node->role == daemon->runs)
        return node;
    if (node) {
        fprintf(stderr, "%s: %s: node %s is a %s; start it as that\n",
                daemon->program, options->file, options->node,
                settings_role(node->role));
        return NULL;
    }
    fprintf(stderr, "%s: %s has no node %s; its nodes are", daemon->program,
            options->file, options->node);
    for (size_t i = 0; (node = settings_nth(settings, i)); i++)
        fprintf(stderr, "%s %s", i ? "," : "", node->name);
    fprintf(stderr, "\n");
    return NULL;
}

void
daemon_say(zsock_t *pipe, status_t status, const char *text)
{
    zsock_send(pipe, "is", (int)status, text);
}

bool
daemon_hear(zactor_t *actor, status_t *status_r, char **text_r)
{
    int status = 0;
    *text_r = NULL;
    if (zsock_recv(actor, "is", &status, text_r) != 0 || !*text_r) {
        zstr_free(text_r);
        return false;
    }
    *status_r = (status_t)status;
    return true;
}

//  The actor has ended, or never began: say why.
static int
ended(status_t status, const char *text)
{
    if (status == STATUS_OK)
        log_event(LOG_AT_NOTICE, "stopped", "reason=%s", text);
    else
        log_event(LOG_AT_ERROR, "stopped", "status=%s why=%s",
                  status_name(status), text);
    return exit_code(status);
}

//  A signal came: ask the actor to end, or, asked again, end at once.
static void
on_signal(zactor_t *actor, int signals, millis_t *asked)
{
    struct signalfd_siginfo signal;
    if (read(signals, &signal, sizeof(signal)) != sizeof(signal))
        return;
    millis_t now = zclock_mono();
    if (*asked != MILLIS_NEVER && now - *asked < ONE_WISH_MS)
        return;
    if (*asked != MILLIS_NEVER) {
        log_event(LOG_AT_ERROR, "stopped", "why=%s",
                  "a second signal came before all was in order");
        _exit(EX_TEMPFAIL);
    }
    *asked = now;
    log_event(LOG_AT_NOTICE, "stopping", "signal=%s",
              strsignal((int)signal.ssi_signo));
    zstr_send(actor, "$TERM");
}

//  In JSON every event tells the role.
static void
say_ready(const daemon_t *daemon, log_format_t format, const char *at)
{
    if (format == LOG_JSON)
        log_event(LOG_AT_NOTICE, "ready", "at=%s version=%s", at, RILL_VERSION);
    else
        log_event(LOG_AT_NOTICE, "ready", "role=%s at=%s version=%s",
                  settings_role(daemon->runs), at, RILL_VERSION);
}

//  Wait for the actor and for signals until the actor has ended.
static int
attend(const daemon_t *daemon, log_format_t format, zactor_t *actor,
       int signals)
{
    millis_t asked = MILLIS_NEVER;
    bool ready = false;
    zmq_pollitem_t items[] = {
        { .socket = zsock_resolve(actor), .events = ZMQ_POLLIN },
        { .fd = signals, .events = ZMQ_POLLIN },
    };
    while (true) {
        if (zmq_poll(items, 2, -1) == -1)
            continue;
        if (items[1].revents)
            on_signal(actor, signals, &asked);
        if (!items[0].revents)
            continue;
        status_t status;
        char *text;
        if (!daemon_hear(actor, &status, &text))
            return ended(STATUS_IO, "its actor ended without a word");
        if (status != STATUS_OK || ready) {
            int code = ended(status, text);
            zstr_free(&text);
            return code;
        }
        ready = true;
        say_ready(daemon, format, text);
        zstr_free(&text);
    }
}

//  Signals that end us are read from a descriptor, in no thread's way.
static int
hold_signals(void)
{
    sigset_t held;
    standard_endings(&held);
    int rc = sigprocmask(SIG_BLOCK, &held, NULL);
    INVARIANT(rc == 0);
    int signals = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
    INVARIANT(signals >= 0);
    return signals;
}

static int
run_node(const daemon_t *daemon, log_format_t format,
         const settings_t *settings, const settings_node_t *node)
{
    int signals = hold_signals();
    if (sockets_begin(daemon->descriptors) != STATUS_OK)
        return exit_code(STATUS_LIMIT);
    zactor_t *actor = zactor_new(daemon->actor, daemon->args(settings, node));
    int code = actor ? attend(daemon, format, actor, signals)
                     : ended(STATUS_LIMIT, "no thread or socket can be had; "
                                           "raise the system's limits");
    zactor_destroy(&actor);
    close(signals);
    return code;
}

int
daemon_run(const daemon_t *daemon, int argc, char *argv[])
{
    options_t options = { .format = LOG_TEXT, .level = LOG_AT_NOTICE };
    standard_hold();
    int code = read_options(daemon, argc, argv, &options);
    if (code != GO_ON)
        return code;
    settings_t settings;
    char why[SETTINGS_WHY_BYTES];
    if (settings_load(options.file, &settings, why, sizeof(why)) != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", daemon->program, why);
        return EX_CONFIG;
    }
    const settings_node_t *node = find_node(daemon, &settings, &options);
    code = EX_CONFIG;
    if (node) {
        log_begin(settings_role(daemon->runs), node->name, options.format,
                  options.level);
        code = run_node(daemon, options.format, &settings, node);
    }
    settings_free(&settings);
    return code;
}
