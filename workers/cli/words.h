/*  words - a command line, taken apart by the table of its verb
 *
 *  Invariants
 *    1. What is not in the verb's table is refused and named; nothing is
 *       guessed and nothing is ignored.
 *
 *  "--name VALUE" and "--name=VALUE" are the same; an option may stand before
 *  or behind the operands; "--" ends options; "-" alone is an operand.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define WORDS_OPERANDS 2
#define WORDS_OPTIONS 12

typedef struct {
    const char *name;   //  "--as"
    const char *brief;  //  "-o", or NULL
    const char *value;  //  What stands behind it ("NAME"); NULL: a flag
    const char *help;
} option_t;

typedef struct words words_t;

//  One thing that `rill` does.
typedef struct {
    const char *name;
    const char *operands;             //  As in its usage: "NAME [FILE|-]"
    const char *help;                 //  One line
    const char *more;                 //  The rest of its --help, or NULL
    option_t options[WORDS_OPTIONS];  //  Its own; ends with a NULL name
    size_t least, most;               //  Operands
    bool is_local;                    //  It asks no node: no --at
    bool is_silent;                   //  It prints nothing: no --json
    bool asks_director;               //  And not the forwarder
    bool asks_several;                //  It says above whom, without --at
    int (*run)(const words_t *words);
} verb_t;

struct words {
    const verb_t *verb;
    const char *operands[WORDS_OPERANDS];
    size_t count;
    const char *values[WORDS_OPTIONS];  //  As in verb->options; "" for a flag
    const char *at;        //  --at, else RILL_AT, else the default; of a verb
                           //  that asks the director as below
    const char *director;  //  RILL_DIRECTOR, else the default
    bool wants_director;   //  Neither --at was said, nor RILL_AT alone
    bool json;
    bool help;
};

//  Take `argc` words behind the verb apart. False: they are wrong; `why_r` (of
//  `why_size` bytes) is the sentence for people.
bool words_parse(const verb_t *verb, int argc, char *argv[], words_t *words_r,
                 char *why_r, size_t why_size);

//  The value of one of the verb's options ("--as"); NULL when it was not said.
//  A flag that was said has "".
const char *words_value(const words_t *self, const char *name);

//  The nth operand, or NULL.
const char *words_operand(const words_t *self, size_t nth);

#endif
