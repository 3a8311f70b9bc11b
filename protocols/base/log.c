#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "invariant.h"
#include "json.h"

enum {
    NAME_BYTES = 64,
    VALUE_BYTES = 2048,  //  Of one value, before escaping
    TAIL_BYTES = 16,     //  Kept free for "cut" and the end of the line
};

static const char *const LEVELS[] = { "error", "notice", "detail" };

//  Set once before threads start, then only read.
static struct {
    char role[NAME_BYTES], node[NAME_BYTES];
    log_format_t format;
    log_level_t level;
} who = { "rill", "-", LOG_TEXT, LOG_AT_NOTICE };

//  A line in the making.
typedef struct {
    char text[LOG_LINE_BYTES];
    size_t size, room;
    bool over;  //  Something did not fit since the last look
    bool cut;   //  Something was left out
    json_t json;
} line_t;

//  One value, raw.
typedef struct {
    char bytes[VALUE_BYTES];
    size_t size;
    bool number, whole;  //  Made by one numeric conversion; without a point
    bool cut;
} value_t;

//  Whether a value needs no quotes in the text form.
static bool
is_plain(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~' || bytes[i] == '"' ||
            bytes[i] == '\\')
            return false;
    return size > 0;
}

//  Copy what may stand in a key or an event's name.
static void
copy_name(char name[NAME_BYTES], const char *from, size_t size)
{
    size = size < NAME_BYTES - 1 ? size : NAME_BYTES - 1;
    for (size_t i = 0; i < size; i++)
        name[i] = is_plain(from + i, 1) && from[i] != '=' ? from[i] : '_';
    name[size] = 0;
}

void
log_begin(const char *role, const char *node, log_format_t format,
          log_level_t level)
{
    copy_name(who.role, role, strlen(role));
    copy_name(who.node, node, strlen(node));
    who.format = format;
    who.level = level;
}

bool
log_hears(log_level_t level)
{
    return level <= who.level;
}

static void
put(void *with, const char *bytes, size_t size)
{
    line_t *line = with;
    if (line->over || size > line->room - line->size) {
        line->over = true;
        return;
    }
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

static void
put_text(line_t *line, const char *text)
{
    put(line, text, strlen(text));
}

static void
put_json(line_t *line, const char *key, const value_t *value, size_t size)
{
    if (!value->number || size != value->size)
        json_bytes(&line->json, key, value->bytes, size);
    else if (!value->whole)
        json_double(&line->json, key, strtod(value->bytes, NULL));
    else if (value->bytes[0] == '-')
        json_int(&line->json, key, strtoll(value->bytes, NULL, 10));
    else
        json_uint(&line->json, key, strtoull(value->bytes, NULL, 10));
}

static void
put_pair(line_t *line, const char *key, const value_t *value, size_t size)
{
    if (who.format == LOG_JSON) {
        put_json(line, key, value, size);
        return;
    }
    put_text(line, " ");
    put_text(line, key);
    put_text(line, "=");
    if (is_plain(value->bytes, size)) {
        put(line, value->bytes, size);
        return;
    }
    json_t quoted;
    json_begin(&quoted, put, line);
    json_bytes(&quoted, NULL, value->bytes, size);
}

//  Add a pair, with as much of its value as fits; or leave it out.
static void
add(line_t *line, const char *key, const value_t *value)
{
    json_t json = line->json;
    size_t size = line->size;
    line->cut = line->cut || value->cut;
    for (size_t part = value->size;; part /= 2) {
        put_pair(line, key, value, part);
        if (!line->over)
            return;
        line->json = json;
        line->size = size;
        line->over = false;
        line->cut = true;
        if (part == 0)
            return;
    }
}

static void
begin(line_t *line, log_level_t level, const char *event)
{
    struct timespec now;
    struct tm utc;
    char time[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t size = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(time + size, sizeof(time) - size, ".%03dZ",
             (int)(now.tv_nsec / 1000000));
    line->size = 0;
    line->room = sizeof(line->text) - TAIL_BYTES;
    line->over = line->cut = false;
    if (who.format == LOG_JSON) {
        json_begin(&line->json, put, line);
        json_object(&line->json, NULL);
        json_string(&line->json, "time", time);
        json_string(&line->json, "level", LEVELS[level]);
        json_string(&line->json, "role", who.role);
        json_string(&line->json, "node", who.node);
        json_string(&line->json, "event", event);
        return;
    }
    const char *const words[] = { time, LEVELS[level], who.node, event };
    for (int i = 0; i < 4; i++) {
        put_text(line, i ? " " : "");
        put_text(line, words[i]);
    }
}

static void
end(line_t *line)
{
    line->room = sizeof(line->text);
    if (who.format == LOG_JSON) {
        if (line->cut)
            json_bool(&line->json, "cut", true);
        json_end(&line->json);
    } else if (line->cut)
        put_text(line, " cut=true");
    put_text(line, "\n");
    INVARIANT(!line->over);
    int reason = errno;
    ssize_t written = write(STDERR_FILENO, line->text, line->size);
    (void)written;  //  log 2: there is nobody left to tell
    errno = reason;
}

//  The arguments, in a struct so that functions can take them on by pointer.
typedef struct {
    va_list list;
} arguments_t;

static void
clear(value_t *value)
{
    value->size = 0;
    value->bytes[0] = 0;
    value->number = value->whole = value->cut = false;
}

static void
append(value_t *value, const char *bytes, size_t size)
{
    size_t room = sizeof(value->bytes) - value->size - 1;
    value->cut = value->cut || size > room;
    size = size < room ? size : room;
    memcpy(value->bytes + value->size, bytes, size);
    value->size += size;
    value->bytes[value->size] = 0;
}

//  What snprintf wrote to the end of a value, `size` bytes of it wanted.
static void
appended(value_t *value, int size)
{
    size_t room = sizeof(value->bytes) - value->size;
    INVARIANT(size >= 0);
    value->cut = value->cut || (size_t)size >= room;
    value->size += (size_t)size < room ? (size_t)size : room - 1;
}

//  One conversion: its text for snprintf, without '*', and what it converts.
typedef struct {
    char text[32];
    char length[3];
    char kind;
} spec_t;

//  Copy the digits or the argument of a width or precision.
static const char *
read_count(const char *at, char *text, size_t *used, arguments_t *arguments)
{
    if (*at == '*') {
        *used += (size_t)snprintf(text + *used, 12, "%d",
                                  va_arg(arguments->list, int));
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        text[(*used)++] = *at;
    return at;
}

//  Read the conversion that begins after the '%' at `at`; returns what follows.
static const char *
read_spec(const char *at, spec_t *spec, arguments_t *arguments)
{
    size_t used = 0, lengths = 0;
    memset(spec, 0, sizeof(*spec));
    spec->text[used++] = '%';
    for (; *at && strchr("-+#0", *at); at++)
        spec->text[used++] = *at;
    at = read_count(at, spec->text, &used, arguments);
    if (*at == '.') {
        spec->text[used++] = *at++;
        at = read_count(at, spec->text, &used, arguments);
    }
    for (; *at && strchr("hlzjt", *at) && lengths < 2; at++)
        spec->text[used++] = spec->length[lengths++] = *at;
    spec->text[used] = spec->kind = *at;
    INVARIANT(spec->kind && used < sizeof(spec->text) - 1);
    return at + 1;
}

//  Print the next argument to the end of a value, at its promoted type.
#define PRINT(type)                                                            \
    snprintf(value->bytes + value->size, sizeof(value->bytes) - value->size,   \
             spec->text, va_arg(arguments->list, type))

static int
print_whole(value_t *value, const spec_t *spec, arguments_t *arguments)
{
    switch (spec->length[0]) {
    case 'l':
        return spec->length[1] ? PRINT(long long) : PRINT(long);
    case 'z':
        return PRINT(size_t);
    case 'j':
        return PRINT(intmax_t);
    case 't':
        return PRINT(ptrdiff_t);
    default:
        return PRINT(int);
    }
}

static void
print(value_t *value, const spec_t *spec, arguments_t *arguments)
{
    switch (spec->kind) {
    case '%':
        append(value, "%", 1);
        break;
    case 's':
        appended(value, PRINT(const char *));
        break;
    case 'p':
        appended(value, PRINT(void *));
        break;
    case 'f':
    case 'g':
    case 'e':
        appended(value, PRINT(double));
        break;
    default:
        INVARIANT(strchr("cdiuxX", spec->kind));
        appended(value, print_whole(value, spec, arguments));
    }
}

//  Read one pair of a format: its key, and its value printed.
static const char *
read_pair(const char *at, char key[NAME_BYTES], value_t *value,
          arguments_t *arguments)
{
    size_t size = strcspn(at, "= %");
    bool keyed = at[size] == '=';
    copy_name(key, keyed ? at : "text", keyed ? size : 4);
    at += keyed ? size + 1 : 0;
    clear(value);
    const char *begins = at;
    while (*at && *at != ' ') {
        spec_t spec;
        if (*at != '%') {
            append(value, at++, 1);
            continue;
        }
        const char *from = at;
        at = read_spec(at + 1, &spec, arguments);
        print(value, &spec, arguments);
        value->whole = strchr("diu", spec.kind) != NULL;
        value->number = from == begins && (!*at || *at == ' ') &&
                        strchr("diufge", spec.kind);
    }
    return at + (*at == ' ');
}

void
log_event(log_level_t level, const char *event, const char *pairs, ...)
{
    if (!log_hears(level))
        return;
    line_t line;
    value_t value;
    char key[NAME_BYTES];
    arguments_t arguments;
    begin(&line, level, event);
    va_start(arguments.list, pairs);
    while (*pairs) {
        pairs = read_pair(pairs, key, &value, &arguments);
        add(&line, key, &value);
    }
    va_end(arguments.list);
    end(&line);
}

//  Read a value in quotes, in which \ stands before a quote or itself.
static const char *
read_quoted(const char *at, value_t *value)
{
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        append(value, at, 1);
    }
    return at + (*at == '"');
}

//  Read one "key=value" of words that are given already.
static const char *
read_told(const char *at, char key[NAME_BYTES], value_t *value)
{
    size_t size = strcspn(at, "= ");
    clear(value);
    if (at[size] != '=' || size == 0) {
        copy_name(key, "text", 4);
        append(value, at, strlen(at));
        return at + strlen(at);
    }
    copy_name(key, at, size);
    at += size + 1;
    if (*at == '"')
        at = read_quoted(at, value);
    size = strcspn(at, " ");
    append(value, at, size);
    return at + size + (at[size] == ' ');
}

void
log_told(log_level_t level, const char *text)
{
    if (!log_hears(level))
        return;
    line_t line;
    value_t value;
    char name[NAME_BYTES];
    size_t size = strcspn(text, " ");
    copy_name(name, size ? text : "told", size ? size : 4);
    begin(&line, level, name);
    text += size + (text[size] == ' ');
    while (*text) {
        text = read_told(text, name, &value);
        add(&line, name, &value);
    }
    end(&line);
}
