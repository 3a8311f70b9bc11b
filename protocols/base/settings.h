/*  settings - the cluster file: every node's place and the few knobs there are
 *
 *  One table of keys gives the parser, the defaults, the units, the help text,
 *  the example file and the words of the errors; so they cannot disagree.
 *
 *  Invariants
 *    1. What is accepted is complete and consistent: one forwarder, every node
 *       with a name, an address and a directory that no other node has, and
 *       no node's directory in another's.
 *    2. What is refused is told in one sentence that begins with
 *       FILE:LINE:COLUMN and says what to do.
 *    3. A file of at most SETTINGS_FILE_BYTES costs memory in proportion to
 *       its size: no aliases, no deep nesting (invariant 18).
 *    4. (house 17) The tree has no circle: every parent of a group is of a
 *       smaller tier, the forwarder's is 0, and every cache is of a group.
 *
 *  Paths in the file are relative to the current directory.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

#define SETTINGS_FILE_BYTES (1024 * 1024)
#define SETTINGS_WHY_BYTES 512  //  Long enough for every sentence

typedef enum {
    SETTINGS_FORWARDER = 1,
    SETTINGS_WORKER = 2,
    SETTINGS_CACHE = 3,
    SETTINGS_DIRECTOR = 4,
} settings_role_t;

//  Words in the file's order.
typedef struct {
    char **items;
    size_t count;
} settings_list_t;

//  What every node has.
typedef struct {
    settings_role_t role;
    char *name;     //  [A-Za-z0-9][A-Za-z0-9._-]{0,62}
    char *at;       //  HOST:PORT its front socket binds
    char *reach;    //  HOST:PORT others connect to; `at` when not set
    char *data;     //  Its directory; "" of a director, which has none
    char *metrics;  //  HOST:PORT of its HTTP; "": loopback, any port
} settings_node_t;

typedef struct {
    settings_node_t node;
    uint64_t memory_bytes;  //  Budget of open chunks (R19)
    uint32_t chunk_bytes;   //  Chunk of recorded data (S6)
    uint32_t buffer_ms;     //  How long live data may wait for its chunk
    uint32_t floor_bytes;   //  Least and most of a live chunk
    uint32_t ceiling_bytes;
    uint64_t retention_ms;     //  How long data is kept; 0: for ever
    uint64_t retention_bytes;  //  How much of it; 0: any
    uint64_t keep_free_bytes;  //  Free on every worker; 0: may be full
} settings_forwarder_t;

typedef struct {
    settings_node_t node;
    uint64_t space_bytes;    //  0, not set: what the disk has, less 5 %
    uint64_t segment_bytes;  //  0: the chunk store chooses
} settings_worker_t;

//  Caches that are siblings: they have the same parents and pass each other
//  what one of them took.
typedef struct {
    char *name;
    settings_list_t parents;  //  Nodes' names, the best first
    char *siblings;           //  "multicast" or "unicast"
    char *multicast;          //  ADDRESS:PORT; "" with "unicast"
    char *interface;          //  An address; "": each cache's own
    char *key;                //  A file with its key; "": made of names
    uint64_t window_ms;       //  What each cache holds: how old,
    uint64_t window_bytes;    //  how much in memory,
    uint64_t disk_bytes;      //  and on how much disk; 0: none
    settings_list_t site;     //  Networks it is near to
    unsigned tier;            //  One more than its parents' greatest
    size_t caches_count;      //  How many are of it, at least one
} settings_group_t;

typedef struct {
    settings_node_t node;
    char *group;
    settings_list_t site;  //  Networks it is near to; none: its group's
} settings_cache_t;

typedef struct {
    settings_node_t node;       //  Its name is NULL when there is no director
    settings_list_t rules;      //  Of "near", "light", "preferred"; in order
    settings_list_t preferred;  //  Caches' names, the best first
    char *origin;               //  "last" or "never": offered to terminals
} settings_director_t;

typedef struct {
    char *cluster;             //  Its name
    double patience;           //  A factor on every deadline
    uint32_t metrics_streams;  //  Told by name over HTTP, at most
    settings_forwarder_t forwarder;
    settings_worker_t *workers;
    size_t workers_count;
    settings_group_t *groups;
    size_t groups_count;
    settings_cache_t *caches;
    size_t caches_count;
    settings_director_t director;
    char *remark;  //  What may be but is not wise, as FILE:LINE:COLUMN: and a
                   //  sentence a line; NULL: nothing
} settings_t;

//  Read the file at `path`. STATUS_ABSENT: there is none; STATUS_IO: it cannot
//  be read; STATUS_SETTING: something in it cannot be. The sentence for people
//  is in `why_r` (of `why_size` bytes). The caller frees the settings.
status_t settings_load(const char *path, settings_t *settings_r, char *why_r,
                       size_t why_size);

//  The same from memory; `name` stands for the file in errors.
status_t settings_parse(const char *name, const void *text, size_t size,
                        settings_t *settings_r, char *why_r, size_t why_size);

//  Free what settings_load or settings_parse gave, and zero it.
void settings_free(settings_t *settings);

//  The nth node: the forwarder, the workers, the caches, the director; NULL
//  past the last.
//  Lent as long as the settings live.
const settings_node_t *settings_nth(const settings_t *settings, size_t nth);

//  The node of a name, or NULL. Its settings are &settings->forwarder, or what
//  settings_worker gives.
const settings_node_t *settings_find(const settings_t *settings,
                                     const char *name);
const settings_worker_t *settings_worker(const settings_t *settings,
                                         const char *name);
const settings_cache_t *settings_cache(const settings_t *settings,
                                       const char *name);

//  The group of a name, or NULL.
const settings_group_t *settings_group(const settings_t *settings,
                                       const char *name);

//  The nth cache of a group in the file's order; NULL past the last.
//  Lent as long as the settings live.
const settings_cache_t *settings_sibling(const settings_t *settings,
                                         const settings_group_t *group,
                                         size_t nth);

//  The nth node that caches of a group may hang on: its parents in their order,
//  then the best parent of the best parent, when that is none of them. NULL
//  past the last.
const settings_node_t *settings_upstream(const settings_t *settings,
                                         const settings_group_t *group,
                                         size_t nth);

//  "forwarder", "worker", "cache" or "director". Lives for ever.
const char *settings_role(settings_role_t role);

//  Every key with its unit, default and meaning, for --help.
void settings_help(FILE *to);

//  A whole cluster file with every key in it, which settings_parse accepts.
void settings_example(FILE *to);

#endif
