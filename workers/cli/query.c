#include "query.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum { DEPTH_MOST = 32, NAME_MOST = 31 };

typedef enum { OR, AND, NOT, COMPARE, IS_KIND } what_t;

//  ALONE: a field without an operator.
typedef enum {
    ALONE,
    EQUAL,
    UNEQUAL,
    LESS,
    MOST,
    MORE,
    LEAST,
    LIKE
} relation_t;

static const struct {
    const char *text;
    relation_t relation;
} OPERATORS[] = { { "==", EQUAL }, { "!=", UNEQUAL }, { "<=", MOST },
                  { "<", LESS },   { ">=", LEAST },   { ">", MORE },
                  { "~", LIKE } };
#define OPERATORS_COUNT (sizeof OPERATORS / sizeof *OPERATORS)

//  What one kind makes of a comparison.
typedef struct {
    bool has;
    bool is_head;
    events_field_t field;
    long double number;  //  Of all but texts
} meaning_t;

typedef struct node {
    what_t what;
    struct node *left, *right;
    relation_t relation;
    char *text;           //  The value as it was said
    bool is_stream;       //  Name and id are both meant
    meaning_t *meanings;  //  Of each kind
} node_t;

struct query {
    node_t *root;
};

//  Nobody knows until the event is there.
typedef enum { NO, YES, MAYBE } belief_t;

/*----------------------------------------------------------------- reading */

typedef struct {
    const char *text;
    size_t at;
    size_t depth;
    size_t wrong_at;
    char *why;
} reading_t;

__attribute__((format(printf, 3, 4))) static void *
wrong(reading_t *reading, size_t at, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(reading->why, QUERY_WHY_BYTES, format, list);
    va_end(list);
    reading->wrong_at = at;
    return NULL;
}

static node_t *
node_new(what_t what, node_t *left, node_t *right)
{
    node_t *node = calloc(1, sizeof *node);
    INVARIANT(node);
    node->what = what;
    node->left = left;
    node->right = right;
    return node;
}

static void
node_free(node_t *node)
{
    if (!node)
        return;
    node_free(node->left);
    node_free(node->right);
    free(node->text);
    free(node->meanings);
    free(node);
}

static void
skip_space(reading_t *reading)
{
    while (isspace((unsigned char)reading->text[reading->at]))
        reading->at++;
}

static bool
is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

//  The word that begins here; its length.
static size_t
word_here(reading_t *reading)
{
    skip_space(reading);
    size_t size = 0;
    while (is_name(reading->text[reading->at + size]))
        size++;
    return size;
}

static bool
take_word(reading_t *reading, const char *word)
{
    size_t size = word_here(reading);
    if (size != strlen(word) ||
        strncmp(reading->text + reading->at, word, size) != 0)
        return false;
    reading->at += size;
    return true;
}

static bool
take_sign(reading_t *reading, const char *sign)
{
    skip_space(reading);
    if (strncmp(reading->text + reading->at, sign, strlen(sign)) != 0)
        return false;
    reading->at += strlen(sign);
    return true;
}

//  What stands here, for a sentence.
static const char *
found(const reading_t *reading, size_t at, char text_r[48])
{
    if (!reading->text[at])
        snprintf(text_r, 48, "the end");
    else
        snprintf(text_r, 48, "\"%.40s\"", reading->text + at);
    return text_r;
}

/*----------------------------------------------------------------- numbers */

static const struct {
    const char *name;
    bool is_time;
    long double factor;  //  In bytes, or in milliseconds
} UNITS[] = {
    { "us", true, 1e-3L },     { "ms", true, 1 },
    { "s", true, 1e3L },       { "min", true, 6e4L },
    { "h", true, 36e5L },      { "B", false, 1 },
    { "kB", false, 1e3L },     { "MB", false, 1e6L },
    { "GB", false, 1e9L },     { "TB", false, 1e12L },
    { "KiB", false, 0x1p10L }, { "MiB", false, 0x1p20L },
    { "GiB", false, 0x1p30L }, { "TiB", false, 0x1p40L },
};

static bool
is_time(const events_field_t *field)
{
    size_t size = strlen(field->name);
    return strcmp(field->name, "ms") == 0 ||
           (size > 3 && strcmp(field->name + size - 3, "_ms") == 0);
}

static bool
read_number(const events_field_t *field, const char *text,
            long double *number_r)
{
    char *end;
    if (!isdigit((unsigned char)*text) &&
        !(*text == '-' && isdigit((unsigned char)text[1])))
        return false;
    if (text[0] == '0' && tolower((unsigned char)text[1]) == 'x')
        return false;
    *number_r = strtold(text, &end);
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS && *end; i++)
        if (strcmp(end, UNITS[i].name) == 0 &&
            UNITS[i].is_time == is_time(field)) {
            *number_r *= UNITS[i].factor;
            return true;
        }
    return !*end;
}

static bool
read_id(const char *text, long double *number_r)
{
    char *end;
    if (!isxdigit((unsigned char)*text) || strlen(text) > 16)
        return false;
    *number_r = strtoull(text, &end, 16);
    return !*end;
}

static bool
read_flag(const char *text, long double *number_r)
{
    *number_r = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    return *number_r != 0 || strcmp(text, "no") == 0 ||
           strcmp(text, "false") == 0;
}

//  What a value would have to be.
static void
expected(const events_field_t *field, char *text_r, size_t size)
{
    static const char *const WANTS[] = {
        [EVENTS_COUNT] = "a number, as 4096 or 4KiB",
        [EVENTS_SIGNED] = "a number",
        [EVENTS_REAL] = "a number",
        [EVENTS_FLAG] = "yes or no",
        [EVENTS_ID] = "an id of up to 16 hexadecimal digits",
        [EVENTS_TEXT] = "a text",
    };
    if (is_time(field)) {
        snprintf(text_r, size, "a time in ms, or with us, ms, s, min or h");
        return;
    }
    if (field->type != EVENTS_WORD) {
        snprintf(text_r, size, "%s", WANTS[field->type]);
        return;
    }
    int64_t number;
    char word[EVENTS_WORD_BYTES];
    size_t used = (size_t)snprintf(text_r, size, "one of");
    for (size_t n = 0; events_word_nth(field, n, &number) && used < size; n++)
        used += (size_t)snprintf(text_r + used, size - used, "%s %s",
                                 n ? "," : "",
                                 events_word(field, number, word));
}

//  Whether a value can be compared with a field so.
static bool
fits(const node_t *node, const events_field_t *field, long double *number_r)
{
    bool alike = node->relation == EQUAL || node->relation == UNEQUAL;
    int64_t word = 0;
    *number_r = 0;
    if (node->relation == ALONE)
        return true;
    if (node->relation == LIKE)
        return field->type == EVENTS_TEXT || field->type == EVENTS_WORD ||
               field->type == EVENTS_ID;
    switch (field->type) {
    case EVENTS_COUNT:
    case EVENTS_SIGNED:
        return read_number(field, node->text, number_r);
    case EVENTS_REAL:
        if (!read_number(field, node->text, number_r))
            return false;
        *number_r = (double)*number_r;  //  As near as an event says it
        return true;
    case EVENTS_FLAG:
        return alike && read_flag(node->text, number_r);
    case EVENTS_ID:
        return alike && (node->is_stream || read_id(node->text, number_r));
    case EVENTS_WORD:
        if (!alike || !events_word_find(field, node->text, &word))
            return false;
        *number_r = word;
        return true;
    case EVENTS_TEXT:
        return alike;
    }
    return false;
}

/*------------------------------------------------------------- comparisons */

//  The value that stands here, in quotes or up to the next space or bracket.
static char *
take_value(reading_t *reading, const char *sign)
{
    skip_space(reading);
    const char *from = reading->text + reading->at;
    size_t size;
    if (*from == '"' || *from == '\'') {
        const char *end = strchr(from + 1, *from);
        if (!end)
            return wrong(reading, reading->at, "this %c has no other", *from);
        size = (size_t)(end - from) + 1;
        reading->at += size;
        return strndup(from + 1, size - 2);
    }
    size = strcspn(from, " \t\r\n()=!<>~\"'");
    if (size == 0) {
        char text[48];
        return wrong(reading, reading->at, "a value belongs behind %s, not %s",
                     sign, found(reading, reading->at, text));
    }
    reading->at += size;
    return strndup(from, size);
}

static node_t *
refuse_value(reading_t *reading, size_t at, node_t *node,
             const events_field_t *field)
{
    char wants[QUERY_WHY_BYTES - 64];
    bool ordered = node->relation != EQUAL && node->relation != UNEQUAL;
    if (ordered && field->type >= EVENTS_FLAG) {
        wrong(reading, at, "%s is compared with == or !=%s", field->name,
              field->type == EVENTS_FLAG ? "" : " or ~");
    } else if (node->relation == LIKE) {
        wrong(reading, at, "%s is a number: ~ is for texts", field->name);
    } else {
        expected(field, wants, sizeof wants);
        wrong(reading, at, "%s is %s, not \"%.24s\"", field->name, wants,
              node->text);
    }
    node_free(node);
    return NULL;
}

//  Find what each kind makes of it. False: no kind makes anything of it.
static bool
find_meanings(node_t *node, const char *name, events_field_t *unfit_r)
{
    bool any = false;
    *unfit_r = (events_field_t){ 0 };
    node->meanings = calloc(events_kinds(), sizeof *node->meanings);
    INVARIANT(node->meanings);
    for (size_t kind = 0; kind < events_kinds(); kind++) {
        meaning_t *meaning = &node->meanings[kind];
        meaning->is_head = events_field_find(EVENTS_HEAD, name,
                                             &meaning->field);
        if (!meaning->is_head &&
            !events_field_find(kind, name, &meaning->field))
            continue;
        meaning->has = fits(node, &meaning->field, &meaning->number);
        any = any || meaning->has;
        if (!meaning->has)
            *unfit_r = meaning->field;
    }
    return any;
}

//  Which operator stands here.
static bool
take_operator(reading_t *reading, node_t *node, const char **sign_r)
{
    for (size_t i = 0; i < OPERATORS_COUNT; i++)
        if (take_sign(reading, OPERATORS[i].text)) {
            node->relation = OPERATORS[i].relation;
            *sign_r = OPERATORS[i].text;
            return true;
        }
    return false;
}

static node_t *
read_kind(reading_t *reading, size_t at, node_t *node)
{
    node->what = IS_KIND;
    if (node->relation == ALONE ||
        (node->relation > UNEQUAL && node->relation != LIKE))
        wrong(reading, at, "kind is compared with == or != or ~");
    else if (node->relation != LIKE &&
             events_find(node->text) == EVENTS_NO_KIND)
        wrong(reading, at,
              "there is no kind \"%.32s\"; `rill help events` lists them",
              node->text);
    else
        return node;
    node_free(node);
    return NULL;
}

static node_t *
read_comparison(reading_t *reading)
{
    size_t size = word_here(reading), begin = reading->at;
    char name[NAME_MOST + 1], text[48];
    if (size == 0)
        return wrong(reading, begin, "a field belongs here, not %s",
                     found(reading, begin, text));
    snprintf(name, sizeof name, "%.*s", (int)size, reading->text + begin);
    reading->at += size;
    node_t *node = node_new(COMPARE, NULL, NULL);
    const char *sign = "";
    bool compares = take_operator(reading, node, &sign);
    skip_space(reading);
    size_t at = compares ? reading->at : begin;
    if (!compares && reading->text[reading->at] == '=') {
        node_free(node);
        return wrong(reading, reading->at, "equal is written ==");
    }
    if (compares && !(node->text = take_value(reading, sign))) {
        node_free(node);
        return NULL;
    }
    if (strcmp(name, "kind") == 0)
        return read_kind(reading, at, node);
    events_field_t unfit;
    node->is_stream = strcmp(name, "stream") == 0;
    if (find_meanings(node, name, &unfit))
        return node;
    if (unfit.name)
        return refuse_value(reading, at, node, &unfit);
    node_free(node);
    return wrong(reading, begin,
                 "no event has a field %.31s; `rill help events` lists them",
                 name);
}

static node_t *read_or(reading_t *reading);

static node_t *
read_not(reading_t *reading)
{
    size_t begin = (skip_space(reading), reading->at);
    char text[48];
    if (reading->depth == DEPTH_MOST)
        return wrong(reading, begin,
                     "too deep: at most %d ( and not in "
                     "each other",
                     DEPTH_MOST);
    reading->depth++;
    node_t *node;
    if (take_word(reading, "not")) {
        node = read_not(reading);
        node = node ? node_new(NOT, node, NULL) : NULL;
    } else if (take_sign(reading, "(")) {
        node = read_or(reading);
        if (node && !take_sign(reading, ")")) {
            node_free(node);
            node = wrong(reading, reading->at,
                         "\"and\", \"or\" or \")\" belongs here, not %s",
                         found(reading, reading->at, text));
        }
    } else {
        node = read_comparison(reading);
    }
    reading->depth--;
    return node;
}

//  A chain of `next`s, joined by a word. Its left side becomes deep, and is
//  bounded by QUERY_MOST_BYTES.
static node_t *
read_chain(reading_t *reading, const char *word, what_t what,
           node_t *(*next)(reading_t *reading))
{
    node_t *node = next(reading);
    while (node && take_word(reading, word)) {
        node_t *right = next(reading);
        if (!right) {
            node_free(node);
            return NULL;
        }
        node = node_new(what, node, right);
    }
    return node;
}

static node_t *
read_and(reading_t *reading)
{
    return read_chain(reading, "and", AND, read_not);
}

static node_t *
read_or(reading_t *reading)
{
    return read_chain(reading, "or", OR, read_and);
}

query_t *
query_new(const char *text, size_t *at_r, char why_r[QUERY_WHY_BYTES])
{
    reading_t reading = { .text = text, .why = why_r };
    char here[48];
    node_t *root = NULL;
    if (strlen(text) > QUERY_MOST_BYTES)
        wrong(&reading, QUERY_MOST_BYTES, "a query has at most %d bytes",
              QUERY_MOST_BYTES);
    else
        root = read_or(&reading);
    skip_space(&reading);
    if (root && reading.text[reading.at]) {
        node_free(root);
        root = wrong(&reading, reading.at,
                     "\"and\", \"or\" or the end belongs here, not %s",
                     found(&reading, reading.at, here));
    }
    *at_r = reading.wrong_at;
    if (!root)
        return NULL;
    query_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->root = root;
    return self;
}

void
query_destroy(query_t **self_p)
{
    if (*self_p)
        node_free((*self_p)->root);
    free(*self_p);
    *self_p = NULL;
}

/*----------------------------------------------------------------- asking */

static bool
compare_numbers(relation_t relation, long double a, long double b)
{
    switch (relation) {
    case EQUAL:
        return a == b;
    case UNEQUAL:
        return a != b;
    case LESS:
        return a < b;
    case MOST:
        return a <= b;
    case MORE:
        return a > b;
    case LEAST:
        return a >= b;
    default:
        return a != 0;
    }
}

static bool
compare_texts(const node_t *node, const char *text)
{
    switch (node->relation) {
    case EQUAL:
        return strcmp(text, node->text) == 0;
    case UNEQUAL:
        return strcmp(text, node->text) != 0;
    case LIKE:
        return fnmatch(node->text, text, 0) == 0;
    default:
        return *text != '\0';
    }
}

//  A stream is meant by its id or its name; it is another one if neither is.
static bool
compare_stream(const node_t *node, const event_t *event)
{
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)event->stream);
    bool by_id = compare_texts(node, id);
    bool by_name = *event->name && compare_texts(node, event->name);
    if (node->relation == ALONE)
        return event->stream != 0;
    if (node->relation == UNEQUAL)
        return by_id && (by_name || !*event->name);
    return by_id || by_name;
}

static bool
compare(const node_t *node, const event_t *event, size_t kind)
{
    const meaning_t *meaning = &node->meanings[kind];
    char text[EVENTS_WORD_BYTES];
    if (!meaning->has)
        return false;
    if (node->is_stream)
        return compare_stream(node, event);
    events_value_t value = events_value(event, &meaning->field,
                                        meaning->is_head);
    long double number = 0;
    switch (value.type) {
    case EVENTS_TEXT:
        return compare_texts(node, value.text);
    case EVENTS_WORD:
        if (node->relation == LIKE)
            return compare_texts(
                node, events_word(&meaning->field, value.number, text));
        number = value.number;
        break;
    case EVENTS_ID:
        snprintf(text, sizeof text, "%016llx", (unsigned long long)value.count);
        if (node->relation == LIKE)
            return compare_texts(node, text);
        number = value.count;
        break;
    case EVENTS_COUNT:
        number = value.count;
        break;
    case EVENTS_SIGNED:
        number = value.number;
        break;
    case EVENTS_REAL:
        number = value.real;
        break;
    case EVENTS_FLAG:
        number = value.flag;
        break;
    }
    return compare_numbers(node->relation, number, meaning->number);
}

//  What is known of an event of a kind, without the event or with it.
static belief_t
believe(const node_t *node, const event_t *event, size_t kind)
{
    belief_t left, right;
    switch (node->what) {
    case NOT:
        left = believe(node->left, event, kind);
        return left == MAYBE ? MAYBE : left == YES ? NO : YES;
    case AND:
        left = believe(node->left, event, kind);
        right = left == NO ? NO : believe(node->right, event, kind);
        return left == NO || right == NO ? NO : left == YES ? right : MAYBE;
    case OR:
        left = believe(node->left, event, kind);
        right = left == YES ? YES : believe(node->right, event, kind);
        return left == YES || right == YES ? YES : left == NO ? right : MAYBE;
    case IS_KIND:
        return compare_texts(node, events_kind_name(kind)) ? YES : NO;
    case COMPARE:
        if (!event && node->meanings[kind].has)
            return MAYBE;
        return event && compare(node, event, kind) ? YES : NO;
    }
    return NO;
}

bool
query_holds(const query_t *self, const event_t *event)
{
    size_t kind = events_kind(event);
    return kind != EVENTS_NO_KIND && believe(self->root, event, kind) == YES;
}

bool
query_may(const query_t *self, size_t kind)
{
    return believe(self->root, NULL, kind) != NO;
}
