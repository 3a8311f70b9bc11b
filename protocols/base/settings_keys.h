/*  settings_keys - the one table of all keys of the cluster file
 *
 *  A new key is one line of the table and a member of its struct; the parser,
 *  the default, the help, the example and the errors follow. Private to
 *  settings.
 */
#ifndef SETTINGS_KEYS_H
#define SETTINGS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

typedef enum {
    KEY_NAME,       //  char *: a name as nodes have it
    KEY_AT,         //  char *: HOST:PORT
    KEY_REACH,      //  char *: HOST or HOST:PORT; completed from `at`
    KEY_PATH,       //  char *: of a directory
    KEY_SIZE,       //  uint32_t or uint64_t: bytes
    KEY_DURATION,   //  uint32_t: milliseconds
    KEY_FACTOR,     //  double
    KEY_COUNT,      //  uint32_t: a whole number
    KEY_WORD,       //  char *: one of the key's words
    KEY_MULTICAST,  //  char *: ADDRESS:PORT of a multicast group; "": none
    KEY_HOST,       //  char *: an address in figures; "": none
    KEY_NETWORK,    //  char *: ADDRESS/BITS; of lists only
    KEY_LIST,       //  settings_list_t of another kind
    KEY_SECTION,    //  A struct of its own
    KEY_SECTIONS,   //  A pointer and a count: a list of structs
} key_kind_t;

//  What a word must be the name of; looked at when all is read.
typedef enum {
    NAMES_NOTHING,
    NAMES_PARENT,  //  A cache or the forwarder
    NAMES_CACHE,
    NAMES_GROUP,
} key_names_t;

typedef struct settings_section settings_section_t;

typedef struct {
    const char *name;
    key_kind_t kind;
    size_t place, width;   //  Of its member in the section's struct
    size_t count;          //  KEY_SECTIONS: place of the count
    const char *fallback;  //  What it is when not set; NULL: required
    uint64_t least, most;  //  Of a size, a duration, a list's length
    bool zero;             //  0 is taken too
    key_kind_t of;         //  KEY_LIST: what its words are
    const char *words;     //  KEY_WORD: which may be said, "a b c"
    key_names_t names;     //  What it must be the name of
    const char *example;   //  What the example file says
    const char *help;      //  One sentence
    const settings_section_t *section;
} settings_key_t;

enum { SETTINGS_KEYS_MOST = 16 };  //  In one section

struct settings_section {
    const char *called;    //  In an error: "a worker"
    settings_role_t role;  //  0: no node; else settings_node_t comes first
    size_t bytes;          //  Of its struct
    const settings_key_t *keys;
    size_t count;
};

//  The outermost section, settings_t.
extern const settings_section_t SETTINGS_ROOT;

//  The key of a name, or NULL.
const settings_key_t *settings_key(const settings_section_t *section,
                                   const char *name);

//  The key whose name is most like `name`, or NULL when none is like it: at
//  most a third of its letters, and at least one, may be wrong, missing, too
//  many or swapped.
const settings_key_t *settings_key_like(const settings_section_t *section,
                                        const char *name);

//  How far two names are from being the same; and whether that is near enough
//  to be a slip.
size_t settings_distance(const char *a, const char *b);
bool settings_is_like(const char *name, size_t distance);

#endif
