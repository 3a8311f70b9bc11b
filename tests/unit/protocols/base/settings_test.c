#include "settings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "proof.h"

static const char SMALL[] =
    "cluster: demo\n"
    "patience: 10\n"
    "forwarder: {name: origin, at: 127.0.0.1:5700, data: build/origin}\n"
    "workers:\n"
    "  - {name: w1, at: 127.0.0.1:5711, data: build/w1, space: 10GB}\n"
    "  - {name: w2, at: 0.0.0.0:5711, reach: two.lan, data: build/w2/}\n";

//  The same with two tiers of caches and a director.
#define TREE(more)                                                             \
    "cluster: demo\n"                                                          \
    "director: {at: \"h:9\", rules: light, preferred: [a2, r1]}\n"             \
    "groups:\n"                                                                \
    "  - {name: town, parents: [r2, r1], siblings: unicast, window: 30min,\n"  \
    "     site: [10.1.0.0/16, \"fd00::/8\"], window_disk: 1GiB}\n"             \
    "  - {name: region, parents: [origin], multicast: \"239.1.1.1:5790\"}\n"   \
    "caches:\n"                                                                \
    "  - {name: r1, group: region, at: \"h:1\", data: r1}\n"                   \
    "  - {name: r2, group: region, at: \"h:2\", data: r2}\n"                   \
    "  - {name: a1, group: town, at: \"h:3\", data: a1}\n"                     \
    "  - {name: a2, group: town, at: \"h:4\", data: a2, site: "                \
    "10.7.0.0/16}\n" more                                                      \
    "forwarder: {name: origin, at: 127.0.0.1:5700, data: o}\n"

static settings_t settings;
static char why[SETTINGS_WHY_BYTES];

static status_t
parse(const char *text)
{
    settings_free(&settings);
    why[0] = 0;
    return settings_parse("c.yml", text, strlen(text), &settings, why,
                          sizeof(why));
}

//  Whether a file is refused with just this sentence.
static bool
refused(const char *text, const char *says)
{
    if (parse(text) == STATUS_SETTING && strcmp(why, says) == 0)
        return true;
    printf("# said: %s\n", why);
    return false;
}

//  The same for a file that begins well and has one more worker.
static bool
worker_refused(const char *worker, const char *says)
{
    char text[2048];
    snprintf(text, sizeof(text), "%s  - %s\n", SMALL, worker);
    return refused(text, says);
}

static void
a_file_gives_every_node_and_default(void)
{
    CHECK(parse(SMALL) == STATUS_OK);
    CHECK(strcmp(settings.cluster, "demo") == 0 && settings.patience == 10);
    const settings_forwarder_t *forwarder = &settings.forwarder;
    CHECK(strcmp(forwarder->node.at, "127.0.0.1:5700") == 0);
    CHECK(strcmp(forwarder->node.reach, "127.0.0.1:5700") == 0);
    CHECK(forwarder->memory_bytes == 192 << 20 && forwarder->buffer_ms == 200);
    CHECK(forwarder->chunk_bytes == 256 << 10);
    CHECK(forwarder->floor_bytes == 16 << 10);
    CHECK(forwarder->ceiling_bytes == 1 << 20);
    CHECK(settings.workers_count == 2);
    const settings_worker_t *second = settings_worker(&settings, "w2");
    CHECK(settings.workers[0].space_bytes == UINT64_C(10000000000));
    CHECK(second && second->space_bytes == 0 && second->segment_bytes == 0);
    CHECK(strcmp(second->node.reach, "two.lan:5711") == 0);
    CHECK(strcmp(second->node.data, "build/w2") == 0);
    settings_free(&settings);
    CHECK(!settings.cluster && settings.workers_count == 0);
}

static void
nodes_are_listed_and_found(void)
{
    CHECK(parse(SMALL) == STATUS_OK);
    const char *const names[] = { "origin", "w1", "w2" };
    for (size_t i = 0; i < 3; i++) {
        const settings_node_t *node = settings_nth(&settings, i);
        CHECK(node && strcmp(node->name, names[i]) == 0);
        CHECK(settings_find(&settings, names[i]) == node);
        CHECK(strcmp(settings_role(node->role),
                     i == 0 ? "forwarder" : "worker") == 0);
    }
    CHECK(!settings_nth(&settings, 3) && !settings_find(&settings, "w3"));
    CHECK(!settings_worker(&settings, "origin"));
}

static void
the_example_is_taken_and_the_help_has_every_key(void)
{
    char *example = NULL, *help = NULL;
    size_t size;
    FILE *to = open_memstream(&example, &size);
    settings_example(to);
    fclose(to);
    status_t status = parse(example);
    if (status != STATUS_OK)
        printf("# %s\n%s", why, example);
    CHECK(status == STATUS_OK && settings.workers_count == 1);
    CHECK(settings.caches_count == 1 && settings.director.node.name);
    to = open_memstream(&help, &size);
    settings_help(to);
    fclose(to);
    static const char *const KEYS[] = {
        "cluster",    "patience",  "forwarder", "workers",   "name",
        "at",         "reach",     "data",      "memory",    "chunk",
        "buffer",     "floor",     "ceiling",   "space",     "segment",
        "groups",     "caches",    "director",  "parents",   "group",
        "siblings",   "site",      "key",       "multicast", "window",
        "rules",      "preferred", "origin",    "interface", "window_bytes",
        "window_disk"
    };
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
        CHECK(strstr(help, KEYS[i]) && strstr(example, KEYS[i]));
    CHECK(strstr(help, "192MiB") && strstr(help, "required"));
    free(example);
    free(help);
}

static void
an_unknown_key_is_told_with_the_nearest(void)
{
    CHECK(worker_refused("{nmae: w3}",
                         "c.yml:7:6: unknown key \"nmae\" in a worker; did you "
                         "mean \"name\"?"));
    CHECK(worker_refused("{name: w3, spcae: 1GB}",
                         "c.yml:7:16: unknown key \"spcae\" in a worker; did "
                         "you mean \"space\"?"));
    CHECK(worker_refused("{name: w3, dat: /tmp}",
                         "c.yml:7:16: unknown key \"dat\" in a worker; did "
                         "you mean \"data\"?"));
    CHECK(worker_refused(
        "{colour: red}",
        "c.yml:7:6: unknown key \"colour\" in a worker; it "
        "has name, at, reach, metrics, data, space and segment"));
    CHECK(refused("clutser: demo\n",
                  "c.yml:1:1: unknown key \"clutser\" in the cluster file; did "
                  "you mean \"cluster\"?"));
}

static void
a_wrong_value_is_told_with_what_to_say(void)
{
    CHECK(worker_refused("{name: w3, space: 10gb}",
                         "c.yml:7:23: \"space\": \"10gb\" has the unit \"gb\"; "
                         "say B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"));
    CHECK(worker_refused("{name: w3, space: 1MB}",
                         "c.yml:7:23: \"space\": \"1MB\" is out of range; say "
                         "64 MiB to 1048576 TiB"));
    CHECK(worker_refused("{name: w3, space: 0}",
                         "c.yml:7:23: \"space\": \"0\" is out of range; say "
                         "64 MiB to 1048576 TiB, or leave it out"));
    CHECK(worker_refused("{name: w3, segment: 1MB}",
                         "c.yml:7:25: \"segment\": \"1MB\" is out of range; "
                         "say 0 or 8 MiB to 4 GiB"));
    CHECK(worker_refused("{name: -w3}",
                         "c.yml:7:12: \"name\": \"-w3\" is no name; say 1 to "
                         "63 of A-Z a-z 0-9 . _ - and begin with a letter or "
                         "digit"));
    static const char *const AT[] = {
        "host",  "host:",      "host:0",       "host:65536", ":5711",
        "a b:1", "[::1:5711]", "host:5711/ab", "::1:5711",   "tcp://h:1",
    };
    for (size_t i = 0; i < sizeof(AT) / sizeof(AT[0]); i++) {
        char worker[64], says[128];
        snprintf(worker, sizeof(worker), "{at: \"%s\"}", AT[i]);
        snprintf(says, sizeof(says),
                 "c.yml:7:10: \"at\": \"%s\" is no HOST:PORT with a port from "
                 "1 to 65535",
                 AT[i]);
        CHECK(worker_refused(worker, says));
    }
    CHECK(refused("patience: 1e3", "c.yml:1:11: \"patience\": \"1e3\" is no "
                                   "number from 0.1 to 1000"));
    CHECK(worker_refused("{metrics: \"9571\"}",
                         "c.yml:7:15: \"metrics\": \"9571\" is no HOST:PORT "
                         "with a port from 1 to 65535"));
    CHECK(refused("metrics_streams: 1001",
                  "c.yml:1:18: \"metrics_streams\": \"1001\" is no whole "
                  "number from 0 to 1000"));
    CHECK(refused("metrics_streams: -1",
                  "c.yml:1:18: \"metrics_streams\": \"-1\" is no whole number "
                  "from 0 to 1000"));
    CHECK(refused("forwarder: {buffer: 200}",
                  "c.yml:1:21: \"buffer\": \"200\" has no unit; say ms, s, "
                  "min, h or d"));
    CHECK(refused("forwarder: {name: o, at: \"h:1\", data: o, floor: 2MiB}",
                  "c.yml:1:49: \"floor\" is over \"ceiling\"; say less for "
                  "it"));
}

static void
what_is_missing_is_told(void)
{
    CHECK(refused("cluster: demo\n",
                  "c.yml:1:1: the cluster file has no \"forwarder\"; add one: "
                  "It takes data in and gives it back."));
    CHECK(worker_refused("{name: w3, data: d}",
                         "c.yml:7:5: a worker has no \"at\"; add one: "
                         "HOST:PORT that it listens on."));
    CHECK(refused("# nothing\n",
                  "c.yml:2:1: the file is empty; it must name at least a "
                  "cluster and its forwarder"));
    CHECK(worker_refused("{name: w3, at: 0.0.0.0:1, data: d}",
                         "c.yml:7:20: nobody can connect to \"0.0.0.0:1\"; say "
                         "in \"reach\" where this node is"));
    CHECK(worker_refused("{name: w3, at: \"h:1\", reach: \"::1\", data: d}",
                         "c.yml:7:34: \"reach\": \"::1\" is no HOST[:PORT]"));
}

static void
no_two_nodes_have_a_name_an_address_or_a_directory(void)
{
    CHECK(worker_refused("{name: w1, at: \"h:1\", data: d}",
                         "c.yml:7:12: the name \"w1\" is that of the node in "
                         "line 5; choose another"));
    CHECK(worker_refused("{name: origin, at: \"h:1\", data: d}",
                         "c.yml:7:12: the name \"origin\" is that of the node "
                         "in line 3; choose another"));
    CHECK(worker_refused("{name: w3, at: 127.0.0.1:5700, data: d}",
                         "c.yml:7:20: the address \"127.0.0.1:5700\" is that "
                         "of the node in line 3; choose another"));
    CHECK(worker_refused("{name: w3, at: \"h:1\", reach: two.lan:5711, "
                         "data: d}",
                         "c.yml:7:34: the address \"two.lan:5711\" is that of "
                         "the node in line 6; choose another"));
    CHECK(worker_refused("{name: w3, at: \"h:1\", data: build/w2}",
                         "c.yml:7:33: the directory \"build/w2\" is that of "
                         "the node in line 6; choose another"));
}

//  A worker of a directory is refused at its place.
static bool
directory_refused(const char *data, const char *says)
{
    char worker[1024], whole[256];
    snprintf(worker, sizeof(worker), "{name: w3, at: \"h:1\", data: %s}", data);
    snprintf(whole, sizeof(whole), "c.yml:7:33: the directory \"%.*s%s\" %s",
             40, data, strlen(data) > 40 ? "..." : "", says);
    return worker_refused(worker, whole);
}

static void
no_directory_lies_in_another(void)
{
    static const char *const SAME = "is that of the node in line 6; choose "
                                    "another";
    static const char *const FORWARDER = "lies in that of the node in line 3; "
                                         "choose another";
    CHECK(directory_refused("./build//w2", SAME));
    CHECK(directory_refused("build/x/../w2/.", SAME));
    CHECK(directory_refused("build/origin/w3", FORWARDER));
    CHECK(directory_refused("build/w1/../origin/a/b", FORWARDER));
    CHECK(directory_refused("build/w2/w3", "lies in that of the node in line "
                                           "6; choose another"));
    CHECK(directory_refused("build", "holds that of the node in line 3; choose "
                                     "another"));
    CHECK(directory_refused("/", "holds that of the node in line 3; choose "
                                 "another"));
    //  The same as seen from the root
    char here[512], there[600];
    CHECK(getcwd(here, sizeof(here)));
    snprintf(there, sizeof(there), "%s/build/origin/w3", here);
    CHECK(directory_refused(there, FORWARDER));
    static const char *const BESIDE[] = { "build/w22",       "build/w",
                                          "build/origin-w3", "../build/w2",
                                          "build/..w3",      "build/w2/../w3",
                                          "/build/origin" };
    for (size_t i = 0; i < sizeof(BESIDE) / sizeof(BESIDE[0]); i++) {
        char text[1024];
        snprintf(text, sizeof(text),
                 "%s  - {name: w3, at: \"h:1\", data: %s}\n", SMALL, BESIDE[i]);
        CHECK(parse(text) == STATUS_OK);
    }
}

static void
what_is_no_map_of_words_is_told(void)
{
    CHECK(refused("- a\n", "c.yml:1:1: the cluster file must be keys with "
                           "values, as in \"cluster: demo\""));
    CHECK(refused("forwarder: origin\n",
                  "c.yml:1:12: the forwarder must be keys with values, as in "
                  "\"name: origin\""));
    CHECK(refused("workers: {name: w1}\n",
                  "c.yml:1:10: \"workers\" must be a list: one \"- name: "
                  "...\" for each"));
    CHECK(refused("cluster: [a]\n", "c.yml:1:10: \"cluster\" must be a word "
                                    "without control characters"));
    CHECK(refused("cluster: \"a\\0b\"\n",
                  "c.yml:1:10: \"cluster\" must be a word without control "
                  "characters"));
    CHECK(refused("[a]: b\n", "c.yml:1:1: a key must be a word"));
    CHECK(refused("cluster: a\ncluster: b\n",
                  "c.yml:2:1: \"cluster\" stands twice in the cluster file; "
                  "leave one"));
    CHECK(parse("cluster: a\n---\ncluster: b\n") == STATUS_SETTING);
}

static void
what_is_not_yaml_is_told_with_its_place(void)
{
    CHECK(refused("cluster: demo\nforwarder: {name: a\n",
                  "c.yml:3:1: this is not YAML: did not find expected ',' or "
                  "'}'"));
    CHECK(parse("cluster: \xff\xfe\n") == STATUS_SETTING);
    CHECK(strstr(why, "this is not YAML: invalid"));
    CHECK(refused("cluster: &a demo\n",
                  "c.yml:1:10: anchors and aliases are not taken; write it "
                  "out"));
    CHECK(refused("cluster: *a\n", "c.yml:1:10: anchors and aliases are not "
                                   "taken; write it out"));
    CHECK(refused("cluster: !!str demo\n",
                  "c.yml:1:10: tags are not taken; leave it out"));
    CHECK(parse(SMALL) == STATUS_OK);
    char two[2048];
    snprintf(two, sizeof(two), "%s---\n%s", SMALL, SMALL);
    CHECK(refused(two, "c.yml:7:1: a second document begins; one file is one "
                       "cluster"));
}

static void
caches_and_a_director_are_read(void)
{
    CHECK(parse(TREE("")) == STATUS_OK);
    const settings_group_t *town = settings_group(&settings, "town");
    const settings_group_t *region = settings_group(&settings, "region");
    CHECK(town && town->tier == 2 && town->caches_count == 2);
    CHECK(region && region->tier == 1 && region->caches_count == 2);
    CHECK(town->window_ms == 1800000 && region->window_ms == 7200000);
    CHECK(region->window_bytes == 256 << 20 && town->site.count == 2);
    CHECK(region->disk_bytes == 0 && town->disk_bytes == UINT64_C(1) << 30);
    CHECK(strcmp(town->site.items[1], "fd00::/8") == 0);
    CHECK(strcmp(region->multicast, "239.1.1.1:5790") == 0);
    CHECK(*town->multicast == 0 && *region->interface == 0 && *town->key == 0);
    CHECK(strcmp(settings_sibling(&settings, town, 1)->node.name, "a2") == 0);
    CHECK(!settings_sibling(&settings, town, 2));
    const settings_cache_t *a2 = settings_cache(&settings, "a2");
    CHECK(a2->site.count == 1 &&
          settings_cache(&settings, "a1")->site.count == 0);
    const settings_director_t *director = &settings.director;
    CHECK(strcmp(director->node.name, "director") == 0);
    CHECK(director->rules.count == 1 && director->preferred.count == 2);
    CHECK(strcmp(director->preferred.items[1], "r1") == 0);
    CHECK(strcmp(director->origin, "last") == 0 && *director->node.data == 0);
    CHECK(settings_find(&settings, "director") == &director->node);
    CHECK(settings_nth(&settings, 5) == &director->node);
    CHECK(!settings_nth(&settings, 6) && !settings.remark);
}

static void
caches_know_whom_they_may_hang_on(void)
{
    CHECK(parse(TREE("")) == STATUS_OK);
    static const char *const TOWN[] = { "r2", "r1", "origin" };
    const settings_group_t *town = settings_group(&settings, "town");
    for (size_t i = 0; i < 3; i++)
        CHECK(strcmp(settings_upstream(&settings, town, i)->name, TOWN[i]) ==
              0);
    CHECK(!settings_upstream(&settings, town, 3));
    const settings_group_t *region = settings_group(&settings, "region");
    CHECK(settings_upstream(&settings, region, 0) == &settings.forwarder.node);
    CHECK(!settings_upstream(&settings, region, 1));
}

//  Whether a tree with one more line among its caches is refused.
#define TREE_REFUSED(more, says) CHECK(refused(TREE(more "\n"), says))
//  The same with its own groups, in line 3.
#define GROUPS_REFUSED(groups, says)                                           \
    CHECK(refused("cluster: demo\n"                                            \
                  "forwarder: {name: o, at: \"h:8\", data: o}\n"               \
                  "groups: [" groups "]\n"                                     \
                  "caches:\n"                                                  \
                  "  - {name: a1, group: a, at: \"h:1\", data: a1}\n"          \
                  "  - {name: b1, group: b, at: \"h:2\", data: b1}\n"          \
                  "  - {name: c1, group: c, at: \"h:3\", data: c1}\n",         \
                  says))

static void
a_name_that_is_none_is_told_with_the_nearest(void)
{
    TREE_REFUSED("  - {name: a3, group: twon, at: \"h:5\", data: a3}",
                 "c.yml:12:23: there is no group \"twon\"; did you mean "
                 "\"town\"?");
    TREE_REFUSED("  - {name: a3, group: r1, at: \"h:5\", data: a3}",
                 "c.yml:12:23: \"r1\" is a cache, no group; say a group of "
                 "\"groups\"");
    TREE_REFUSED("  - {name: a3, group: origin, at: \"h:5\", data: a3}",
                 "c.yml:12:23: \"origin\" is a forwarder, no group; say a "
                 "group of \"groups\"");
    GROUPS_REFUSED("{name: a, parents: [o, a9], siblings: unicast}",
                   "c.yml:3:33: there is no parent \"a9\"; did you mean "
                   "\"a1\"?");
    GROUPS_REFUSED("{name: a, parents: [xyzzy], siblings: unicast}",
                   "c.yml:3:30: there is no parent \"xyzzy\"");
    GROUPS_REFUSED("{name: a, parents: [a], siblings: unicast}",
                   "c.yml:3:30: \"a\" is a group; say the names of its "
                   "caches");
    CHECK(refused("cluster: d\nworkers: [{name: w1, at: \"h:2\", data: w}]\n"
                  "forwarder: {name: o, at: \"h:1\", data: o}\n"
                  "groups: [{name: a, parents: w1, siblings: unicast}]\n",
                  "c.yml:4:29: \"w1\" is a worker; say a cache or the "
                  "forwarder"));
    CHECK(refused("cluster: d\nforwarder: {name: o, at: \"h:1\", data: o}\n"
                  "director: {at: \"h:2\", preferred: [o]}\n",
                  "c.yml:3:35: \"o\" is a forwarder; say a cache"));
}

static void
a_circle_is_told_and_an_empty_group(void)
{
    GROUPS_REFUSED("{name: a, parents: [o, a1], siblings: unicast},\n"
                   "{name: b, parents: o, siblings: unicast},\n"
                   "{name: c, parents: o, siblings: unicast}",
                   "c.yml:3:33: a circle: a hangs on a1 of a; a parent must "
                   "be nearer to the forwarder");
    GROUPS_REFUSED("{name: a, parents: [o, b1], siblings: unicast},\n"
                   "{name: b, parents: [c1], siblings: unicast},\n"
                   "{name: c, parents: [o, b1], siblings: unicast}",
                   "c.yml:4:21: a circle: b hangs on c1 of c, c on b1 of b; "
                   "a parent must be nearer to the forwarder");
    GROUPS_REFUSED("{name: a, parents: o, siblings: unicast},\n"
                   "{name: b, parents: o, siblings: unicast},\n"
                   "{name: c, parents: o, siblings: unicast},\n"
                   "{name: e, parents: o, siblings: unicast}",
                   "c.yml:6:1: no cache is of group \"e\"; add one or leave "
                   "the group out");
}

static void
a_wrong_group_is_told(void)
{
    GROUPS_REFUSED("{name: a, parents: [], siblings: unicast}",
                   "c.yml:3:29: \"parents\" is empty; say at least the "
                   "forwarder");
    GROUPS_REFUSED("{name: a, parents: [o, o], siblings: unicast}",
                   "c.yml:3:33: \"parents\": \"o\" stands twice; leave one");
    GROUPS_REFUSED("{name: a, parents: o}",
                   "c.yml:3:10: a group has no \"multicast\"; add "
                   "ADDRESS:PORT, or \"siblings: unicast\"");
    GROUPS_REFUSED("{name: a, parents: o, siblings: unicast, multicast: "
                   "\"239.1.1.1:1\"}",
                   "c.yml:3:62: \"multicast\" says nothing with \"siblings: "
                   "unicast\"; leave one of them");
    GROUPS_REFUSED("{name: a, parents: o, multicast: \"10.0.0.1:5790\"}",
                   "c.yml:3:43: \"multicast\": \"10.0.0.1:5790\" is no "
                   "ADDRESS:PORT of a multicast group, as 239.192.57.1:5790 "
                   "is");
    GROUPS_REFUSED("{name: a, parents: o, interface: eth0}",
                   "c.yml:3:43: \"interface\": \"eth0\" is no address in "
                   "figures, as 10.1.0.7 is");
    GROUPS_REFUSED("{name: a, parents: o, siblings: broadcast}",
                   "c.yml:3:42: \"siblings\": \"broadcast\" is none of "
                   "multicast unicast");
    GROUPS_REFUSED("{name: a, site: 10.1.0.1/16}",
                   "c.yml:3:26: \"site\": \"10.1.0.1/16\" is no network, as "
                   "10.1.0.0/16 is");
    GROUPS_REFUSED("{name: a, site: {b: c}}",
                   "c.yml:3:26: \"site\" must be words, as in "
                   "[10.1.0.0/16]");
    GROUPS_REFUSED("{name: a, parents: o, multicast: \"239.1.1.1:1\"},\n"
                   "{name: a, parents: o, multicast: \"239.1.1.1:2\"}",
                   "c.yml:4:8: the name \"a\" is that of the group in line 3; "
                   "choose another");
    GROUPS_REFUSED("{name: a, parents: o, multicast: \"239.1.1.1:1\"},\n"
                   "{name: b, parents: o, multicast: \"239.1.1.1:1\"}",
                   "c.yml:4:34: the multicast address \"239.1.1.1:1\" is that "
                   "of the group in line 3; choose another");
    CHECK(refused("director: {at: \"h:1\", rules: [light, far]}\n",
                  "c.yml:1:38: \"rules\": \"far\" is none of near light "
                  "preferred"));
    TREE_REFUSED("  - {name: a3, group: town, at: \"h:9\", data: a3}",
                 "c.yml:12:33: the address \"h:9\" is that of the node in "
                 "line 2; choose another");
}

static void
a_group_of_one_within_the_tree_is_said_not_refused(void)
{
    CHECK(parse("cluster: demo\nforwarder: {name: o, at: \"h:8\", data: o}\n"
                "groups:\n"
                "  - {name: a, parents: o, siblings: unicast}\n"
                "  - {name: b, parents: a1, siblings: unicast}\n"
                "caches:\n"
                "  - {name: a1, group: a, at: \"h:1\", data: a1}\n"
                "  - {name: b1, group: b, at: \"h:2\", data: b1}\n") ==
          STATUS_OK);
    CHECK(settings.remark &&
          strcmp(settings.remark,
                 "c.yml:4:5: group \"a\" has one cache, and others hang on it; "
                 "with two they go on when one dies\n") == 0);
}

static void
the_tree_that_is_delivered_is_taken(void)
{
    settings_free(&settings);
    CHECK(settings_load("scripts/three-tiers.yml", &settings, why,
                        sizeof(why)) == STATUS_OK);
    CHECK(settings.caches_count == 6 && !settings.remark);
}

static void
no_file_costs_more_than_its_size(void)
{
    static char large[SETTINGS_FILE_BYTES + 2];
    memset(large, '#', sizeof(large) - 1);
    CHECK(refused(large, "c.yml: over 1 MiB, which no cluster file is"));
    memset(large, '[', SETTINGS_FILE_BYTES);
    large[SETTINGS_FILE_BYTES] = 0;
    CHECK(parse(large) == STATUS_SETTING);
    memcpy(large, "cluster: ", 9);
    CHECK(parse(large) == STATUS_SETTING);
    size_t used = (size_t)snprintf(large, sizeof(large), "%s", SMALL);
    for (int i = 3; i < 300; i++)
        used += (size_t)snprintf(
            large + used, sizeof(large) - used,
            "  - {name: w%d, at: 127.0.0.1:%d, data: d%d}\n", i, 6000 + i, i);
    CHECK(refused(large, "c.yml:261:5: there are more than 256 workers"));
}

static void
what_cannot_be_read_is_told_with_its_path(void)
{
    const char *folder = folder_new();
    const char *path = folder_path(folder, "cluster.yml");
    settings_free(&settings);
    CHECK(settings_load(path, &settings, why, sizeof(why)) == STATUS_ABSENT);
    CHECK(strstr(why, path) && strstr(why, "No such file"));
    CHECK(settings_load(folder, &settings, why, sizeof(why)) == STATUS_IO);
    CHECK(strstr(why, folder) && strstr(why, "Is a directory"));
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(SMALL, file) >= 0 && fclose(file) == 0);
    CHECK(settings_load(path, &settings, why, sizeof(why)) == STATUS_OK);
    CHECK(settings.workers_count == 2);
    file = fopen(path, "a");
    CHECK(file && ftruncate(fileno(file), 2 * SETTINGS_FILE_BYTES) == 0);
    fclose(file);
    settings_free(&settings);
    CHECK(settings_load(path, &settings, why, sizeof(why)) == STATUS_SETTING);
    CHECK(strstr(why, "over 1 MiB"));
}

int
main(void)
{
    CASE(a_file_gives_every_node_and_default,
         "settings 1: a file gives every node, with defaults and units");
    CASE(nodes_are_listed_and_found, "nodes are listed in order and found");
    CASE(the_example_is_taken_and_the_help_has_every_key,
         "the example file is taken, and the help has every key");
    CASE(an_unknown_key_is_told_with_the_nearest,
         "settings 2: an unknown key is told with its place and the nearest");
    CASE(a_wrong_value_is_told_with_what_to_say,
         "settings 2: a wrong value is told with what to say");
    CASE(what_is_missing_is_told, "settings 1 and 2: what is missing is told");
    CASE(no_two_nodes_have_a_name_an_address_or_a_directory,
         "settings 1: no two nodes have a name, an address or a directory");
    CASE(no_directory_lies_in_another,
         "settings 1: no node's directory lies in another's, however it is "
         "written");
    CASE(what_is_no_map_of_words_is_told,
         "settings 2: what has the wrong shape is told");
    CASE(what_is_not_yaml_is_told_with_its_place,
         "settings 2: what is not YAML, or too much of it, is told");
    CASE(caches_and_a_director_are_read,
         "settings 1: caches, their groups and the director are read");
    CASE(caches_know_whom_they_may_hang_on,
         "a group's parents are its own and then the grandparent");
    CASE(a_name_that_is_none_is_told_with_the_nearest,
         "settings 2: a parent or group that is none is told with the nearest");
    CASE(a_circle_is_told_and_an_empty_group,
         "settings 4, invariant 17: a circle and an empty group are told");
    CASE(a_wrong_group_is_told,
         "settings 2: what a group or director cannot be is told");
    CASE(a_group_of_one_within_the_tree_is_said_not_refused,
         "a group of one within the tree is said, not refused");
    CASE(the_tree_that_is_delivered_is_taken,
         "the example tree of scripts/ is taken");
    CASE(no_file_costs_more_than_its_size,
         "settings 3, invariant 18: no file costs more than its size");
    CASE(what_cannot_be_read_is_told_with_its_path,
         "what cannot be read is told with its path");
    settings_free(&settings);
    return proof_end();
}
