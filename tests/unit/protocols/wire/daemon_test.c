#include "daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "proof.h"

static const char CLUSTER[] =
    "cluster: c\n"
    "forwarder: {name: origin, at: 127.0.0.1:5700, data: d/origin}\n"
    "workers:\n"
    "  - {name: w1, at: 127.0.0.1:5711, data: d/w1, space: 1GB}\n";

typedef struct {
    status_t begins;  //  What the actor says first
    bool stays;       //  It does not hear $TERM
    bool fails;       //  It ends by itself
    bool waits;       //  It ends when something comes through `held`
} part_t;

static part_t part;
static int held[2];

static void
act(zsock_t *pipe, void *args)
{
    zsock_signal(pipe, 0);
    daemon_say(pipe, part.begins, args);
    if (part.begins != STATUS_OK)
        return;
    if (part.fails) {
        daemon_say(pipe, STATUS_CLUSTER, "the reason");
        return;
    }
    for (bool ended = false; !ended;) {
        char *word = zstr_recv(pipe);
        ended = !word || (streq(word, "$TERM") && !part.stays);
        zstr_free(&word);
    }
    char byte;
    if (!part.waits || read(held[0], &byte, 1) == 1)
        daemon_say(pipe, STATUS_OK, "asked");
}

static void *
args_of(const settings_t *settings, const settings_node_t *node)
{
    (void)settings;
    return node->at;
}

static const daemon_t DAEMON = {
    .program = "rill-test",
    .does = "acts",
    .runs = SETTINGS_WORKER,
    .descriptors = 16,
    .actor = act,
    .args = args_of,
};

//  A daemon in a process of its own, and what it says.
typedef struct {
    pid_t pid;
    int out;
    char said[16384];
    size_t size;
} process_t;

static void
start(process_t *process, char *const argv[])
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    memset(process, 0, sizeof(*process));
    fflush(stdout);
    process->pid = fork();
    CHECK(process->pid >= 0);
    if (process->pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        char *copy[16];
        int argc = 0;
        for (; argv[argc]; argc++)
            copy[argc] = argv[argc];
        copy[argc] = NULL;
        signal(SIGHUP, SIG_DFL);  //  Whatever the tests are run by
        int code = daemon_run(&DAEMON, argc, copy);
        fflush(stdout);
        _exit(code);
    }
    close(ends[1]);
    process->out = ends[0];
}

//  Read until `word` is said; false when the process ended without it.
static bool
says(process_t *process, const char *word)
{
    while (!word || !strstr(process->said, word)) {
        size_t room = sizeof(process->said) - 1 - process->size;
        ssize_t got = read(process->out, process->said + process->size, room);
        if (got <= 0)
            return false;
        process->size += (size_t)got;
        process->said[process->size] = '\0';
    }
    return true;
}

static int
end(process_t *process)
{
    int code = 0;
    says(process, NULL);
    close(process->out);
    if (waitpid(process->pid, &code, 0) != process->pid || !WIFEXITED(code))
        return -1;
    return WEXITSTATUS(code);
}

static char file[512];

//  Run to the end with these arguments behind the program's name.
static int
run(process_t *process, char *a, char *b, char *c, char *d, char *e)
{
    char name[] = "rill-test";
    char *argv[] = { name, a, b, c, d, e, NULL };
    start(process, argv);
    return end(process);
}

static char F[] = "-f", NODE[] = "--node", W1[] = "w1";

static void
wrong_options_are_usage(void)
{
    process_t process;
    char unknown[] = "--loud", log[] = "--log", xml[] = "xml", extra[] = "x";
    CHECK(run(&process, NULL, NULL, NULL, NULL, NULL) == 64);
    CHECK(strstr(process.said, "rill-test: say -f FILE and --node NAME"));
    CHECK(run(&process, unknown, NULL, NULL, NULL, NULL) == 64);
    CHECK(strstr(process.said, "there is no option --loud"));
    CHECK(run(&process, F, NULL, NULL, NULL, NULL) == 64);
    CHECK(strstr(process.said, "-f wants a value"));
    CHECK(run(&process, log, xml, NULL, NULL, NULL) == 64);
    CHECK(run(&process, F, file, NODE, W1, extra) == 64);
}

static void
help_and_version_are_told(void)
{
    process_t process;
    char help[] = "--help", version[] = "--version";
    CHECK(run(&process, help, NULL, NULL, NULL, NULL) == 0);
    CHECK(strstr(process.said, "rill-test - acts"));
    CHECK(strstr(process.said, "patience"));
    CHECK(run(&process, version, NULL, NULL, NULL, NULL) == 0);
    CHECK(strncmp(process.said, "rill-test ", 10) == 0);
}

static void
a_wrong_cluster_file_is_configuration(void)
{
    process_t process;
    char none[] = "/nowhere/cluster.yml", w9[] = "w9", origin[] = "origin";
    CHECK(run(&process, F, none, NODE, W1, NULL) == 78);
    CHECK(strstr(process.said, none));
    CHECK(run(&process, F, file, NODE, w9, NULL) == 78);
    CHECK(strstr(process.said, "no node w9; its nodes are origin, w1"));
    CHECK(run(&process, F, file, NODE, origin, NULL) == 78);
    CHECK(strstr(process.said, "node origin is a forwarder"));
}

static void
an_actor_that_cannot_start_says_why(void)
{
    static const struct {
        status_t status;
        int code;
    } CODES[] = {
        { STATUS_TAKEN, 65 },   { STATUS_CLUSTER, 65 }, { STATUS_CORRUPT, 65 },
        { STATUS_ADDRESS, 69 }, { STATUS_LIMIT, 78 },   { STATUS_IO, 74 },
        { STATUS_FULL, 74 },
    };
    process_t process;
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        part = (part_t){ .begins = CODES[i].status };
        CHECK(run(&process, F, file, NODE, W1, NULL) == CODES[i].code);
        CHECK(strstr(process.said, "error w1 stopped status="));
        CHECK(strstr(process.said, "why=127.0.0.1:5711"));
        CHECK(!strstr(process.said, "ready"));
    }
    part = (part_t){ .fails = true };
    CHECK(run(&process, F, file, NODE, W1, NULL) == 65);
    CHECK(strstr(process.said, "why=\"the reason\""));
}

static void
a_signal_ends_it_in_good_order(void)
{
    char name[] = "rill-test", log[] = "--log", json[] = "json";
    char *argv[] = { name, F, file, NODE, W1, log, json, NULL };
    process_t process;
    int signals[] = { SIGTERM, SIGINT, SIGHUP };
    for (size_t i = 0; i < 3; i++) {
        part = (part_t){ .begins = STATUS_OK };
        argv[5] = i ? NULL : log;
        start(&process, argv);
        CHECK(says(&process, i ? "ready role=worker at=127.0.0.1:5711"
                               : "\"event\":\"ready\""));
        kill(process.pid, signals[i]);
        CHECK(end(&process) == 0);
        CHECK(strstr(process.said,
                     i ? "stopped reason=asked" : "\"reason\":\"asked\""));
    }
}

static void
what_is_sent_twice_is_one_wish(void)
{
    char name[] = "rill-test";
    char *argv[] = { name, F, file, NODE, W1, NULL };
    process_t process;
    part = (part_t){ .waits = true };
    CHECK(pipe(held) == 0);
    start(&process, argv);
    CHECK(says(&process, "ready"));
    //  It finds both at once, and before the actor has ended.
    int code;
    kill(process.pid, SIGSTOP);
    CHECK(waitpid(process.pid, &code, WUNTRACED) == process.pid);
    kill(process.pid, SIGTERM);
    kill(process.pid, SIGHUP);
    kill(process.pid, SIGCONT);
    CHECK(write(held[1], "x", 1) == 1);
    CHECK(end(&process) == 0);
    close(held[0]);
    close(held[1]);
}

static void
a_second_wish_ends_it_at_once(void)
{
    enum { AGAIN_MS = 20 };
    char name[] = "rill-test";
    char *argv[] = { name, F, file, NODE, W1, NULL };
    process_t process;
    part = (part_t){ .stays = true };
    start(&process, argv);
    CHECK(says(&process, "ready"));
    kill(process.pid, SIGTERM);
    CHECK(says(&process, "stopping"));
    struct pollfd out = { .fd = process.out, .events = POLLIN };
    while (poll(&out, 1, AGAIN_MS) == 0)
        kill(process.pid, SIGTERM);
    CHECK(end(&process) == 75);
}

int
main(void)
{
    const char *path = folder_path(folder_new(), "cluster.yml");
    snprintf(file, sizeof(file), "%s", path);
    FILE *to = fopen(file, "w");
    if (!to || fputs(CLUSTER, to) < 0 || fclose(to) != 0)
        return 1;
    CASE(wrong_options_are_usage, "wrong options are told and exit with 64");
    CASE(help_and_version_are_told, "--help and --version are told");
    CASE(a_wrong_cluster_file_is_configuration,
         "daemon 1: a wrong file or node is told and exits with 78");
    CASE(an_actor_that_cannot_start_says_why,
         "daemon 1: an actor that cannot go on says why, in a code too");
    CASE(a_signal_ends_it_in_good_order,
         "daemon 2: SIGTERM, SIGINT and SIGHUP end it in good order, with 0");
    CASE(what_is_sent_twice_is_one_wish,
         "daemon 2: two signals at once are one wish, and all is in order");
    CASE(a_second_wish_ends_it_at_once,
         "daemon 2: a signal some time after the first ends it at once");
    return proof_end();
}
