#include "settings_keys.h"

#include <string.h>

#include "units.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define MEMBER(type, member)                                                   \
    .place = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define LIST(type, member)                                                     \
    MEMBER(type, member), .count = offsetof(type, member##_count)
#define KEYS(list) .keys = list, .count = sizeof(list) / sizeof((list)[0])

#define METRICS(type, port)                                                    \
    {                                                                          \
        "metrics", KEY_AT, MEMBER(type, node.metrics),                         \
            .fallback = "", .example = "127.0.0.1:" #port,                     \
            .help = "HOST:PORT of its HTTP; else loopback, any port."          \
    }

static const settings_key_t FORWARDER[] = {
    { "name", KEY_NAME, MEMBER(settings_forwarder_t, node.name),
      .example = "origin", .help = "Its name; no other node has it." },
    { "at", KEY_AT, MEMBER(settings_forwarder_t, node.at),
      .example = "127.0.0.1:5700", .help = "HOST:PORT that it listens on." },
    { "reach", KEY_REACH, MEMBER(settings_forwarder_t, node.reach),
      .fallback = "", .example = "127.0.0.1:5700",
      .help = "Where others connect, when it is not `at`." },
    METRICS(settings_forwarder_t, 9570),
    { "data", KEY_PATH, MEMBER(settings_forwarder_t, node.data),
      .example = "build/cluster/origin",
      .help = "Its directory; made when absent." },
    { "memory", KEY_SIZE, MEMBER(settings_forwarder_t, memory_bytes),
      .fallback = "192MiB", .least = 16 * MIB, .most = 1024 * GIB,
      .example = "192MiB", .help = "What it may hold of unsettled data." },
    { "chunk", KEY_SIZE, MEMBER(settings_forwarder_t, chunk_bytes),
      .fallback = "256KiB", .least = 4 * KIB, .most = 4 * MIB,
      .example = "256KiB", .help = "The size of a recorded file's chunks." },
    { "buffer", KEY_DURATION, MEMBER(settings_forwarder_t, buffer_ms),
      .fallback = "200ms", .least = 10, .most = 60000, .example = "200ms",
      .help = "How long live data may wait for its chunk." },
    { "floor", KEY_SIZE, MEMBER(settings_forwarder_t, floor_bytes),
      .fallback = "16KiB", .least = 4 * KIB, .most = 4 * MIB,
      .example = "16KiB", .help = "The least size of a live chunk." },
    { "ceiling", KEY_SIZE, MEMBER(settings_forwarder_t, ceiling_bytes),
      .fallback = "1MiB", .least = 4 * KIB, .most = 4 * MIB, .example = "1MiB",
      .help = "The most size of a live chunk." },
    { "retention", KEY_DURATION, MEMBER(settings_forwarder_t, retention_ms),
      .fallback = "0", .least = 1000, .most = UINT64_C(100) * 365 * 86400000,
      .zero = true, .example = "72h",
      .help = "How long data is kept; 0: for ever." },
    { "retention_bytes", KEY_SIZE,
      MEMBER(settings_forwarder_t, retention_bytes), .fallback = "0",
      .least = 16 * MIB, .most = UINT64_C(1) << 60, .zero = true,
      .example = "4TB", .help = "How much is kept; 0: what fits." },
    { "keep_free", KEY_SIZE, MEMBER(settings_forwarder_t, keep_free_bytes),
      .fallback = "0", .least = 16 * MIB, .most = UINT64_C(1) << 60,
      .zero = true, .example = "1GB",
      .help = "Below so much free on a worker the oldest goes; 0: never." },
};

static const settings_key_t WORKER[] = {
    { "name", KEY_NAME, MEMBER(settings_worker_t, node.name), .example = "w1",
      .help = "Its name; no other node has it." },
    { "at", KEY_AT, MEMBER(settings_worker_t, node.at),
      .example = "127.0.0.1:5711", .help = "HOST:PORT that it listens on." },
    { "reach", KEY_REACH, MEMBER(settings_worker_t, node.reach), .fallback = "",
      .example = "127.0.0.1:5711",
      .help = "Where others connect, when it is not `at`." },
    METRICS(settings_worker_t, 9571),
    { "data", KEY_PATH, MEMBER(settings_worker_t, node.data),
      .example = "build/cluster/w1",
      .help = "Its directory; made when absent." },
    { "space", KEY_SIZE, MEMBER(settings_worker_t, space_bytes),
      .fallback = "0", .least = 64 * MIB, .most = UINT64_C(1) << 60,
      .example = "10GB", .help = "Its share of the disk; else all but 5 %." },
    { "segment", KEY_SIZE, MEMBER(settings_worker_t, segment_bytes),
      .fallback = "0", .least = 8 * MIB, .most = 4 * GIB, .zero = true,
      .example = "256MiB", .help = "The size of its files; 0: up to 256 MiB." },
};

static const settings_key_t GROUP[] = {
    { "name", KEY_NAME, MEMBER(settings_group_t, name), .example = "town",
      .help = "Its name; no other group has it." },
    { "parents", KEY_LIST, MEMBER(settings_group_t, parents), .most = 8,
      .of = KEY_NAME, .names = NAMES_PARENT, .example = "[origin]",
      .help = "What its caches hang on, the best first." },
    { "siblings", KEY_WORD, MEMBER(settings_group_t, siblings),
      .fallback = "multicast", .words = "multicast unicast",
      .example = "multicast",
      .help = "How its caches ask each other: multicast or unicast." },
    { "multicast", KEY_MULTICAST, MEMBER(settings_group_t, multicast),
      .fallback = "", .example = "239.192.57.1:5790",
      .help = "ADDRESS:PORT that its caches hear." },
    { "interface", KEY_HOST, MEMBER(settings_group_t, interface),
      .fallback = "", .example = "127.0.0.1",
      .help = "Address of the card to its LAN; else that in `at`." },
    { "key", KEY_PATH, MEMBER(settings_group_t, key), .fallback = "",
      .example = "build/cluster/town.key",
      .help = "File with its key, 32 hex digits; else its name." },
    { "window", KEY_DURATION, MEMBER(settings_group_t, window_ms),
      .fallback = "2h", .least = 1000, .most = UINT64_C(366) * 86400000,
      .example = "2h", .help = "How far back a cache holds what it took." },
    { "window_bytes", KEY_SIZE, MEMBER(settings_group_t, window_bytes),
      .fallback = "256MiB", .least = 16 * MIB, .most = UINT64_C(1) << 50,
      .example = "256MiB", .help = "How much of it is in memory." },
    { "window_disk", KEY_SIZE, MEMBER(settings_group_t, disk_bytes),
      .fallback = "0", .least = 128 * MIB, .most = UINT64_C(1) << 50,
      .zero = true, .example = "10GB",
      .help = "How much disk it may take besides; 0: none." },
    { "site", KEY_LIST, MEMBER(settings_group_t, site), .fallback = "",
      .most = 16, .of = KEY_NETWORK, .example = "[10.1.0.0/16]",
      .help = "Networks whose terminals are near to it." },
};

static const settings_key_t CACHE[] = {
    { "name", KEY_NAME, MEMBER(settings_cache_t, node.name), .example = "c1",
      .help = "Its name; no other node has it." },
    { "group", KEY_NAME, MEMBER(settings_cache_t, group), .names = NAMES_GROUP,
      .example = "town", .help = "The group it is of." },
    { "at", KEY_AT, MEMBER(settings_cache_t, node.at),
      .example = "127.0.0.1:5721",
      .help = "HOST:PORT that it listens on; UDP for siblings too." },
    { "reach", KEY_REACH, MEMBER(settings_cache_t, node.reach), .fallback = "",
      .example = "127.0.0.1:5721",
      .help = "Where others connect, when it is not `at`." },
    METRICS(settings_cache_t, 9572),
    { "data", KEY_PATH, MEMBER(settings_cache_t, node.data),
      .example = "build/cluster/c1",
      .help = "Its directory; made when absent." },
    { "site", KEY_LIST, MEMBER(settings_cache_t, site), .fallback = "",
      .most = 16, .of = KEY_NETWORK, .example = "[10.1.7.0/24]",
      .help = "Networks near to it; else its group's." },
};

static const settings_key_t DIRECTOR[] = {
    { "name", KEY_NAME, MEMBER(settings_director_t, node.name),
      .fallback = "director", .example = "director",
      .help = "Its name; no other node has it." },
    { "at", KEY_AT, MEMBER(settings_director_t, node.at),
      .example = "127.0.0.1:5701", .help = "HOST:PORT that it listens on." },
    { "reach", KEY_REACH, MEMBER(settings_director_t, node.reach),
      .fallback = "", .example = "127.0.0.1:5701",
      .help = "Where others connect, when it is not `at`." },
    METRICS(settings_director_t, 9573),
    { "rules", KEY_LIST, MEMBER(settings_director_t, rules),
      .fallback = "near light preferred", .most = 3, .of = KEY_WORD,
      .words = "near light preferred", .example = "[near, light, preferred]",
      .help = "What decides, the first that can." },
    { "preferred", KEY_LIST, MEMBER(settings_director_t, preferred),
      .fallback = "", .most = 1024, .of = KEY_NAME, .names = NAMES_CACHE,
      .example = "[c1]", .help = "Caches before others, the best first." },
    { "origin", KEY_WORD, MEMBER(settings_director_t, origin),
      .fallback = "last", .words = "last never", .example = "last",
      .help = "Whether terminals may go to the forwarder: last, never." },
};

static const settings_section_t A_FORWARDER = {
    .called = "the forwarder",
    .role = SETTINGS_FORWARDER,
    .bytes = sizeof(settings_forwarder_t),
    KEYS(FORWARDER),
};

static const settings_section_t A_WORKER = {
    .called = "a worker",
    .role = SETTINGS_WORKER,
    .bytes = sizeof(settings_worker_t),
    KEYS(WORKER),
};

static const settings_section_t A_GROUP = {
    .called = "a group",
    .bytes = sizeof(settings_group_t),
    KEYS(GROUP),
};

static const settings_section_t A_CACHE = {
    .called = "a cache",
    .role = SETTINGS_CACHE,
    .bytes = sizeof(settings_cache_t),
    KEYS(CACHE),
};

static const settings_section_t A_DIRECTOR = {
    .called = "the director",
    .role = SETTINGS_DIRECTOR,
    .bytes = sizeof(settings_director_t),
    KEYS(DIRECTOR),
};

static const settings_key_t ROOT[] = {
    { "cluster", KEY_NAME, MEMBER(settings_t, cluster), .example = "demo",
      .help = "The name of the cluster." },
    { "patience", KEY_FACTOR, MEMBER(settings_t, patience), .fallback = "1",
      .example = "1", .help = "A factor on every deadline, 0.1 to 1000." },
    { "metrics_streams", KEY_COUNT, MEMBER(settings_t, metrics_streams),
      .fallback = "100", .most = 1000, .example = "100",
      .help = "So many streams are told by name at /metrics." },
    { "forwarder", KEY_SECTION, MEMBER(settings_t, forwarder),
      .help = "It takes data in and gives it back.", .section = &A_FORWARDER },
    //  As many workers as one ensemble may have
    { "workers", KEY_SECTIONS, LIST(settings_t, workers), .fallback = "",
      .most = 256, .help = "They keep the data on their disks.",
      .section = &A_WORKER },
    { "groups", KEY_SECTIONS, LIST(settings_t, groups), .fallback = "",
      .most = 1024, .help = "Caches with the same parents.",
      .section = &A_GROUP },
    { "caches", KEY_SECTIONS, LIST(settings_t, caches), .fallback = "",
      .most = 4096, .help = "They spread streams to terminals.",
      .section = &A_CACHE },
    { "director", KEY_SECTION, MEMBER(settings_t, director), .fallback = "",
      .help = "It tells terminals which cache to ask.",
      .section = &A_DIRECTOR },
};

const settings_section_t SETTINGS_ROOT = {
    .called = "the cluster file",
    .bytes = sizeof(settings_t),
    KEYS(ROOT),
};

const settings_key_t *
settings_key(const settings_section_t *section, const char *name)
{
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->keys[i].name, name) == 0)
            return &section->keys[i];
    return NULL;
}

static size_t
least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

//  How many letters of two texts are wrong, missing, too many or swapped with
//  their neighbour (Levenshtein's distance with Damerau's swaps). Long texts
//  are unlike all.
size_t
settings_distance(const char *a, const char *b)
{
    enum { MOST = 32 };
    size_t high = strlen(a), wide = strlen(b), rows[MOST + 1][MOST + 1];
    if (high > MOST || wide > MOST)
        return MOST;
    for (size_t i = 0; i <= high; i++)
        rows[i][0] = i;
    for (size_t j = 0; j <= wide; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= high; i++)
        for (size_t j = 1; j <= wide; j++) {
            size_t far = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            far = least_of(far, rows[i - 1][j] + 1);
            far = least_of(far, rows[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                far = least_of(far, rows[i - 2][j - 2] + 1);
            rows[i][j] = far;
        }
    return rows[high][wide];
}

static size_t
common_start(const char *a, const char *b)
{
    size_t count = 0;
    while (a[count] && a[count] == b[count])
        count++;
    return count;
}

//  The nearest; of several the one that begins as it does for longest.
const settings_key_t *
settings_key_like(const settings_section_t *section, const char *name)
{
    const settings_key_t *best = NULL;
    size_t least = 0;
    for (size_t i = 0; i < section->count; i++) {
        const settings_key_t *key = &section->keys[i];
        size_t far = settings_distance(key->name, name);
        if (!best || far < least ||
            (far == least &&
             common_start(key->name, name) > common_start(best->name, name))) {
            best = key;
            least = far;
        }
    }
    return best && settings_is_like(name, least) ? best : NULL;
}

bool
settings_is_like(const char *name, size_t distance)
{
    size_t allowed = strlen(name) / 3;
    return distance <= (allowed ? allowed : 1);
}

static const char *
kind_name(key_kind_t kind)
{
    switch (kind) {
    case KEY_NAME:
        return "NAME";
    case KEY_AT:
        return "HOST:PORT";
    case KEY_REACH:
        return "HOST[:PORT]";
    case KEY_PATH:
        return "PATH";
    case KEY_SIZE:
        return "SIZE";
    case KEY_DURATION:
        return "TIME";
    case KEY_FACTOR:
        return "FACTOR";
    case KEY_COUNT:
        return "NUMBER";
    case KEY_WORD:
        return "WORD";
    case KEY_MULTICAST:
        return "ADDRESS:PORT";
    case KEY_HOST:
        return "ADDRESS";
    case KEY_NETWORK:
        return "NETWORK";
    case KEY_LIST:
        return "(words)";
    case KEY_SECTION:
        return "";
    case KEY_SECTIONS:
        return "(a list)";
    }
    return "";
}

static void
help_section(FILE *to, const settings_section_t *section, int indent)
{
    for (size_t i = 0; i < section->count; i++) {
        const settings_key_t *key = &section->keys[i];
        bool said = key->fallback && *key->fallback &&
                    (key->zero || strcmp(key->fallback, "0") != 0);
        const char *otherwise = !key->fallback ? "required"
                                : said         ? key->fallback
                                               : "optional";
        fprintf(to, "%*s%-*s %-12s %-9s %s\n", indent, "", 19 - indent,
                key->name, kind_name(key->kind), otherwise, key->help);
        if (key->section)
            help_section(to, key->section, indent + 2);
    }
}

void
settings_help(FILE *to)
{
    help_section(to, &SETTINGS_ROOT, 2);
    fputs("\n  SIZE is a number with B, kB, MB, GB, TB or KiB, MiB, GiB, TiB.\n"
          "  TIME is a number with ms, s, min, h or d.\n"
          "  NETWORK is ADDRESS/BITS, as in 10.1.0.0/16.\n"
          "  Paths are relative to the directory a node is started in.\n",
          to);
}

static void
example_section(FILE *to, const settings_section_t *section, int indent,
                const char *first)
{
    for (size_t i = 0; i < section->count; i++) {
        const settings_key_t *key = &section->keys[i];
        const char *dash = i == 0 ? first : "";
        if (key->section) {
            int wide = 31 - (int)strlen(key->name);
            fprintf(to, "%s:%*s# %s\n", key->name, wide, "", key->help);
            if (key->kind == KEY_SECTIONS)
                example_section(to, key->section, 2, "- ");
            else
                example_section(to, key->section, 2, "");
            continue;
        }
        int lead = indent + (*first && !*dash ? 2 : 0);
        int used = fprintf(to, "%*s%s%s: %s", lead, "", dash, key->name,
                           key->example);
        fprintf(to, "%*s# %s\n", used < 32 ? 32 - used : 1, "", key->help);
    }
}

void
settings_example(FILE *to)
{
    fputs("# A cluster of rill.\n", to);
    example_section(to, &SETTINGS_ROOT, 0, "");
}
