/*  events - the kinds of rill.v1.Event and their fields, by name
 *
 *  Invariants
 *    1. What is told of a kind or a field is the comment in event.proto: the
 *       build makes a table of those, and fails where one is missing.
 *
 *  Kinds are numbered in the order of event.proto, fields too.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rill/v1/event.pb-c.h"

#define EVENTS_KINDS_MOST 64  //  A set of kinds is a word: bit `kind`
#define EVENTS_NO_KIND SIZE_MAX
#define EVENTS_HEAD EVENTS_NO_KIND  //  As a kind: the fields of every event
#define EVENTS_WORD_BYTES 32

typedef Rill__V1__Event event_t;

typedef enum {
    EVENTS_COUNT,  //  Unsigned
    EVENTS_SIGNED,
    EVENTS_REAL,
    EVENTS_FLAG,
    EVENTS_TEXT,
    EVENTS_ID,    //  64 bits that people read as 16 hexadecimal digits
    EVENTS_WORD,  //  Of a closed list
} events_type_t;

typedef struct {
    const char *name;
    const char *help;
    events_type_t type;
    const ProtobufCFieldDescriptor *wire;
} events_field_t;

typedef struct {
    events_type_t type;
    union {
        uint64_t count;  //  EVENTS_COUNT, EVENTS_ID
        int64_t number;  //  EVENTS_SIGNED, EVENTS_WORD
        double real;
        bool flag;
        const char *text;  //  Lent from the event
    };
} events_value_t;

//  Unpack what a node or a recording says. NULL: it is no event, or would not be
//  one when it is packed again (libprotobuf-c takes a field of number 0). The
//  caller gives it to events_free.
event_t *events_unpack(const void *bytes, size_t size);
void events_free(event_t **event_p);

//  How many kinds there are, and the name and meaning of each. Live for ever.
size_t events_kinds(void);
const char *events_kind_name(size_t kind);
const char *events_kind_help(size_t kind);

//  The kind of a name, and of an event; EVENTS_NO_KIND: none, or one that is
//  newer than this program.
size_t events_find(const char *name);
size_t events_kind(const event_t *event);

//  The nth field of a kind, or of EVENTS_HEAD. False: there are not so many.
bool events_field(size_t kind, size_t nth, events_field_t *field_r);

//  The same by its name.
bool events_field_find(size_t kind, const char *name, events_field_t *field_r);

//  The value of a field, of the event's kind or of EVENTS_HEAD.
events_value_t events_value(const event_t *event, const events_field_t *field,
                            bool is_head);

//  A word of a field as people write it, in lower case without what all of its
//  list begin with: "sibling"; "none" for what says nothing, a figure for what
//  is newer than this program. Returns `text_r`.
const char *events_word(const events_field_t *field, int64_t number,
                        char text_r[EVENTS_WORD_BYTES]);

//  The number of a word, and the nth number of its list. False: it is none.
bool events_word_find(const events_field_t *field, const char *text,
                      int64_t *number_r);
bool events_word_nth(const events_field_t *field, size_t nth,
                     int64_t *number_r);

#endif
