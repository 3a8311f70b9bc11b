#include "verbs.h"

#include <string.h>

#define PROTECT                                                                \
    {                                                                          \
        .name = "--protect", .value = "CODE",                                  \
        .help = "auto (the default), K+M data and parity chunks, or none"      \
    }
#define STRICT                                                                 \
    {                                                                          \
        .name = "--strict",                                                    \
        .help = "refuse rather than protect less than asked"                   \
    }
#define CHUNK                                                                  \
    {                                                                          \
        .name = "--chunk", .value = "SIZE",                                    \
        .help = "bytes of a chunk, 4KiB to 4MiB; by default fitted"            \
    }

#define WAIT                                                                   \
    {                                                                          \
        .name = "--wait", .value = "TIME",                                     \
        .help = "while nothing moves; 1min, and 10s to be let in"              \
    }

const verb_t VERBS[] = {
    { .name = "put",
      .operands = "FILE",
      .help = "store a recorded file, settled at the end",
      .more = "Settled: on disk on every worker of its code, so that any two\n"
              "may be lost (four workers and more). A put that was broken off\n"
              "goes on where it was when the same FILE is put again.",
      .options = { { .name = "--as",
                     .value = "NAME",
                     .help = "the stream's name; by default FILE's own" },
                   PROTECT,
                   CHUNK,
                   STRICT,
                   WAIT },
      .least = 1,
      .most = 1,
      .run = put_run },
    { .name = "push",
      .operands = "NAME [FILE|-]",
      .help = "store a growing stream from a pipe",
      .more =
          "Bytes are offered as they come; the end of the pipe seals the\n"
          "stream. An interrupted push leaves it open, and another push\n"
          "of NAME continues it with what it brings: a FILE is appended\n"
          "whole, each time. `rill put FILE` goes on where it was.\n"
          "Once let in it waits for workers and space as long as it takes,\n"
          "unless --wait says otherwise.",
      .options = { { .name = "--buffer",
                     .value = "TIME",
                     .help =
                         "how long bytes may wait for a whole chunk; 200ms" },
                   PROTECT,
                   CHUNK,
                   STRICT,
                   WAIT },
      .least = 1,
      .most = 2,
      .run = push_run },
    { .name = "get",
      .operands = "NAME",
      .help = "the original bytes, to a file or a pipe",
      .more =
          "A file appears under its name when it is whole. Of a stream that\n"
          "is still open it gets what is stored.",
      .options = { { .name = "--output",
                     .brief = "-o",
                     .value = "FILE",
                     .help = "where to; - is standard output, the default" },
                   { .name = "--range",
                     .value = "FROM-TO",
                     .help = "bytes FROM to TO, TO not included; either may be "
                             "left out" } },
      .least = 1,
      .most = 1,
      .run = get_run },
    { .name = "watch",
      .operands = "NAME",
      .help = "follow a stream as it grows, from any moment",
      .more = "FROM is live (the default), start, -30s (so long before the\n"
              "newest), 2026-11-22T08:00:00 (UTC) or an offset. It ends with "
              "the\nstream, or where it is told. "
              "Without --at the\ndirector (RILL_DIRECTOR, else 127.0.0.1:5701) "
              "names the caches; --at may\nname several nodes, A,B. When one "
              "dies it goes on at the next, at its\nown byte.",
      .options = { { .name = "--from",
                     .value = "FROM",
                     .help = "where to begin; live is the default; of a time, "
                             "with the last chunk made until then" },
                   { .name = "--to",
                     .value = "TO",
                     .help = "end before this offset, or with the last chunk "
                             "made until this time" },
                   { .name = "--for",
                     .value = "DURATION",
                     .help = "end after so long, as in 30s" },
                   { .name = "--output",
                     .brief = "-o",
                     .value = "FILE",
                     .help = "where to; - is standard output, the default" } },
      .least = 1,
      .most = 1,
      .asks_several = true,
      .run = watch_run },
    { .name = "ls", .operands = "", .help = "list the streams", .run = ls_run },
    { .name = "stat",
      .operands = "NAME",
      .help = "what a stream is and how safe it is",
      .options = { { .name = "--chunks",
                     .help = "and where each of its chunks lies" } },
      .least = 1,
      .most = 1,
      .run = stat_run },
    { .name = "rm",
      .operands = "NAME",
      .help = "remove a stream",
      .least = 1,
      .most = 1,
      .run = rm_run },
    { .name = "settle",
      .operands = "NAME",
      .help = "what a waiting stream would lose; decide it",
      .more =
          "After a restart with several workers missing a stream may wait for\n"
          "them: its last bytes may be there. This tells what cannot be had\n"
          "without them, and exits 1. Start the workers if they can be saved:\n"
          "then nothing is lost. If they cannot, --accept-loss lets the "
          "stream\n"
          "go on. What is lost of a live stream becomes a hole; a file is put\n"
          "again and goes on in front of it. `rill stat` shows the loss.",
      .options = { { .name = "--accept-loss",
                     .help = "go on for ever without what cannot be had" } },
      .least = 1,
      .most = 1,
      .run = settle_run },
    { .name = "status",
      .operands = "",
      .help = "the workers and what they keep",
      .run = status_run },
    { .name = "where",
      .operands = "[NAME]",
      .help = "which caches a terminal is to ask, in order",
      .more =
          "The director, or any cache, says it: the first is the one to\n"
          "watch NAME at, the others are for when it dies. RULE is why one\n"
          "stands before the next. Asked is --at, else RILL_DIRECTOR, else\n"
          "127.0.0.1:5701.",
      .options = { { .name = "--from",
                     .value = "ADDRESS",
                     .help = "as a terminal there is told; by default here" } },
      .most = 1,
      .asks_director = true,
      .run = where_run },
    { .name = "tree",
      .operands = "",
      .help = "the live tree: who carries what, for how many",
      .more =
          "The director names the nodes; each is asked twice, a second apart.\n"
          "IN and OUT are Mbit/s in that second. HELD and BYTES are the\n"
          "window, in memory and on disk, from its oldest chunk to its\n"
          "newest. LAG is how far a node is behind the origin. +3: so many\n"
          "more streams are held that nobody takes there. Who does not answer\n"
          "within a second is SILENT; who has not told all by then, or has\n"
          "more than 4096 streams, is cut.\n"
          "\n"
          "--json: director; cut, it knows more nodes; nodes[] with\n"
          "  node, at, group, tier, parents[]\n"
          "  offered             the director sends terminals there\n"
          "  answers             if not, what follows is left out\n"
          "  viewers, in_bps, out_bps, window_bytes, window_ms\n"
          "  bytes_in, bytes_out, uptime_ms            since its start\n"
          "  cut                 it has more streams than those\n"
          "  streams[] with\n"
          "    stream, name, sealed\n"
          "    source            the node it is taken from; empty: from none\n"
          "    carries           source is a parent; siblings take it here\n"
          "    viewers, followers, children            terminals, siblings,\n"
          "                      and nodes below that are given it\n"
          "    head, reached     bytes there are, and came, as it knows\n"
          "    lag_bytes, lag_ms\n"
          "    in_bps, out_bps, window_bytes, window_ms\n"
          "    bytes_from_parents, bytes_from_siblings, bytes_given\n"
          "What is not known is left out: rates of a node that began within\n"
          "that second, the lag of what is not taken.",
      .asks_director = true,
      .run = tree_run },
    { .name = "tap",
      .operands = "[FILTER]",
      .help = "what happens at the nodes, as it happens",
      .more =
          "Every node tells events; `rill help events` lists their kinds and\n"
          "fields. FILTER is a node's name, a glob or a role, or several of\n"
          "them with commas: r1  'town-*'  cache,forwarder. The nodes are "
          "those\n"
          "of a cluster file, or those that are named at --at, else at\n"
          "RILL_DIRECTOR or RILL_AT, else at 127.0.0.1:5701 and 5700. What a\n"
          "node told and did not arrive is said on standard error: lost 412\n"
          "events from c1. A node that hangs, goes or is back is named there.\n"
          "\n"
          "QUERY compares fields: ms > 50 and stream ~ \"cam*\"\n"
          "  == != < <= > >=, ~ for a glob, and, or, not, ( ). Times are in "
          "ms\n"
          "  or have a unit: 2s. Sizes may have one: 256KiB. A field alone is\n"
          "  true when it says something: parity, joined, status (not ok).\n"
          "  `kind` is the event's kind; stream is the name as well as the "
          "id.\n"
          "\n"
          "-g request follows each request through terminal, cache, sibling,\n"
          "parent, origin and worker, and prints it as a tree. The ms of a "
          "node\n"
          "are from the question to its answer; `here` is what it did not "
          "wait\n"
          "for another node, `way` what the one above waited beyond that: the\n"
          "way there and back, or a node that does not get to it. Who gave\n"
          "nothing was asked and given up, or refused. FILTER and QUERY then\n"
          "choose requests of which one event is such.\n"
          "\n"
          "It ends at -C, at -W, or when it is interrupted. Exit 1: nothing "
          "was\n"
          "shown until -W, or of a recording. 69: no node is there.",
      .options = { { .name = "--kinds",
                     .brief = "-k",
                     .value = "KIND,…",
                     .help = "only these kinds; a glob may be one" },
                   { .name = "--query",
                     .brief = "-q",
                     .value = "QUERY",
                     .help = "only events of which it is true" },
                   { .name = "--group",
                     .brief = "-g",
                     .value = "request",
                     .help = "what belongs to a request together, as a tree" },
                   { .name = "--last",
                     .brief = "-d",
                     .help = "begin with each node's last rare events" },
                   { .name = "--write",
                     .brief = "-w",
                     .value = "FILE",
                     .help = "record them, and print nothing; - is standard "
                             "output" },
                   { .name = "--read",
                     .brief = "-r",
                     .value = "FILE",
                     .help = "read a recording, and ask no node; - is standard "
                             "input" },
                   { .name = "--rate",
                     .brief = "-R",
                     .value = "N/TIME",
                     .help = "at most N in that time, as 100/s; the others are "
                             "counted" },
                   { .name = "--count",
                     .brief = "-C",
                     .value = "N",
                     .help = "end when N were shown" },
                   { .name = "--wait",
                     .brief = "-W",
                     .value = "SECONDS",
                     .help = "end after so long of listening" },
                   { .name = "--file",
                     .brief = "-f",
                     .value = "FILE",
                     .help = "the nodes of this cluster file" } },
      .most = 1,
      .asks_several = true,
      .run = tap_run },
    { .name = "top",
      .operands = "",
      .help = "the whole cluster on one screen, and what is wrong",
      .more =
          "First what is wrong now, then the nodes and the workers. All are\n"
          "asked twice, a second apart: IN and OUT are Mbit/s in that second.\n"
          "HELD is how much of what is asked for lies there already; LAG, in\n"
          "ms, how far it is behind the origin. REQUEST is the median of the\n"
          "asks by the slowest ROUTE, COMMIT that of a worker's disk with its\n"
          "P99, ANSWERS how long the node took to say all that: in ms, of\n"
          "that second if there were any, else since its start. A terminal is\n"
          "drawn anew until ^C. --at may be the forwarder of a cluster "
          "without\n"
          "a director.",
      .options = { { .name = "--once",
                     .brief = "-1",
                     .help = "one screen and out, as without a terminal" } },
      .asks_director = true,
      .run = top_run },
    { .name = "nodes",
      .operands = "-f FILE",
      .help = "a cluster file's nodes and commands",
      .options = { { .name = "--file",
                     .brief = "-f",
                     .value = "FILE",
                     .help = "the cluster file" } },
      .is_local = true,
      .run = nodes_run },
    { .name = "help",
      .operands = "[TOPIC]",
      .help = "this, or of a verb, errors, events, cluster",
      .most = 1,
      .is_local = true,
      .is_silent = true,
      .run = help_run },
    { .name = NULL },
};

const verb_t *
verbs_find(const char *name)
{
    for (const verb_t *verb = VERBS; verb->name; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

static void
list_codes(FILE *to)
{
    fputs(
        "\nExit codes: 0 done, 1 a negative answer, 64 usage, 65 bad data,\n"
        "69 not reachable, 74 input/output, 75 try again, 78 configuration.\n",
        to);
}

void
verbs_list(FILE *to)
{
    fputs("rill stores video as chunks with parity over workers and gives the\n"
          "exact bytes back.\n\n",
          to);
    for (const verb_t *verb = VERBS; verb->name; verb++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", verb->name, verb->operands);
        fprintf(to, "  rill %-26s  %s\n", usage, verb->help);
    }
    fputs("\nrill VERB --help tells its options; rill --version the version.\n"
          "Whom to ask: --at HOST:PORT, else RILL_AT, else 127.0.0.1:5700.\n",
          to);
    list_codes(to);
}

static void
list_option(const option_t *option, FILE *to)
{
    char usage[64];
    snprintf(usage, sizeof usage, "%s%s%s%s%s",
             option->brief ? option->brief : "", option->brief ? ", " : "",
             option->name, option->value ? " " : "",
             option->value ? option->value : "");
    fprintf(to, "  %-20s %s\n", usage, option->help);
}

void
verbs_explain(const verb_t *verb, FILE *to)
{
    static const option_t AT = {
        .name = "--at",
        .value = "HOST:PORT",
        .help = "whom to ask; default RILL_AT, else 127.0.0.1:5700"
    };
    static const option_t DIRECTOR = {
        .name = "--at",
        .value = "HOST:PORT",
        .help = "whom to ask; default RILL_DIRECTOR, else 127.0.0.1:5701"
    };
    static const option_t SEVERAL = { .name = "--at",
                                      .value = "HOST:PORT",
                                      .help = "whom to ask; else see above" };
    static const option_t JSON = { .name = "--json",
                                   .help = "print JSON on standard output" };
    fprintf(to, "rill %s%s%s\n\n%s\n", verb->name, *verb->operands ? " " : "",
            verb->operands, verb->help);
    if (verb->more)
        fprintf(to, "\n%s\n", verb->more);
    fputc('\n', to);
    for (size_t i = 0; i < WORDS_OPTIONS && verb->options[i].name; i++)
        list_option(&verb->options[i], to);
    if (!verb->is_local)
        list_option(verb->asks_several    ? &SEVERAL
                    : verb->asks_director ? &DIRECTOR
                                          : &AT,
                    to);
    if (!verb->is_silent)
        list_option(&JSON, to);
    list_codes(to);
}
