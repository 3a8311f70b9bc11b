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
    KEY_NAME,      //  char *: a name as nodes have it
    KEY_AT,        //  char *: HOST:PORT
    KEY_REACH,     //  char *: HOST or HOST:PORT; completed from `at`
    KEY_PATH,      //  char *: of a directory
    KEY_SIZE,      //  uint32_t or uint64_t: bytes
    KEY_DURATION,  //  uint32_t: milliseconds
    KEY_FACTOR,    //  double
    KEY_SECTION,   //  A struct of its own
    KEY_SECTIONS,  //  settings_t.workers: a list of structs
} key_kind_t;

typedef struct settings_section settings_section_t;

typedef struct {
    const char *name;
    key_kind_t kind;
    size_t place, width;   //  Of its member in the section's struct
    const char *fallback;  //  What it is when not set; NULL: required
    uint64_t least, most;  //  Of a size or a duration
    bool zero;             //  0 is taken too
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

#endif
