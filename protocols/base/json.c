#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "invariant.h"

static void
put(const json_t *self, const char *bytes, size_t size)
{
    self->sink(self->with, bytes, size);
}

void
json_to_file(void *with, const char *bytes, size_t size)
{
    fwrite(bytes, 1, size, with);
}

//  How many bytes the UTF-8 character at `at` takes, or 0 when there is none
//  (RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF).
static size_t
character(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first, last, low, high;  //  Lead; second byte
        unsigned char size;
    } FORMS[] = {
        { 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < sizeof(FORMS) / sizeof(FORMS[0]); i++) {
        size_t size = FORMS[i].size;
        if (*at < FORMS[i].first || *at > FORMS[i].last)
            continue;
        if (size > left ||
            (size > 1 && (at[1] < FORMS[i].low || at[1] > FORMS[i].high)))
            return 0;
        for (size_t j = 2; j < size; j++)
            if (at[j] < 0x80 || at[j] > 0xbf)
                return 0;
        return size;
    }
    return 0;
}

//  Write the character at `at` as it stands in a string; how many bytes of the
//  input that was.
static size_t
put_character(const json_t *self, const unsigned char *at, size_t left)
{
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    size_t size = character(at, left);
    char escaped[8];
    if (size == 0) {
        put(self, "\xef\xbf\xbd", 3);
        return 1;
    }
    for (const char *pair = SHORT; *pair; pair += 2)
        if (*at == (unsigned char)*pair) {
            put(self, "\\", 1);
            put(self, pair + 1, 1);
            return 1;
        }
    if (*at < 0x20 || *at == 0x7f) {
        snprintf(escaped, sizeof(escaped), "\\u%04x", *at);
        put(self, escaped, 6);
        return 1;
    }
    put(self, (const char *)at, size);
    return size;
}

static void
put_string(const json_t *self, const void *text, size_t size)
{
    const unsigned char *at = text;
    put(self, "\"", 1);
    for (size_t done = 0; done < size;)
        done += put_character(self, at + done, size - done);
    put(self, "\"", 1);
}

void
json_begin(json_t *self, json_sink_fn *sink, void *with)
{
    memset(self, 0, sizeof(*self));
    self->sink = sink;
    self->with = with;
}

//  What stands before a value: a comma, and inside an object its key.
static void
lead(json_t *self, const char *key)
{
    if (self->depth == 0) {
        INVARIANT(!key);
        return;
    }
    bool *filled = &self->levels[self->depth - 1].filled;
    INVARIANT((self->levels[self->depth - 1].close == '}') == (key != NULL));
    if (*filled)
        put(self, ",", 1);
    *filled = true;
    if (key) {
        put_string(self, key, strlen(key));
        put(self, ":", 1);
    }
}

static void
level(json_t *self, const char *key, char open, char close)
{
    INVARIANT(self->depth < JSON_DEPTH);
    lead(self, key);
    put(self, &open, 1);
    self->levels[self->depth].close = close;
    self->levels[self->depth].filled = false;
    self->depth++;
}

void
json_object(json_t *self, const char *key)
{
    level(self, key, '{', '}');
}

void
json_array(json_t *self, const char *key)
{
    level(self, key, '[', ']');
}

void
json_end(json_t *self)
{
    INVARIANT(self->depth > 0);
    self->depth--;
    put(self, &self->levels[self->depth].close, 1);
}

void
json_string(json_t *self, const char *key, const char *text)
{
    json_bytes(self, key, text, strlen(text));
}

void
json_bytes(json_t *self, const char *key, const void *text, size_t size)
{
    lead(self, key);
    put_string(self, text, size);
}

void
json_int(json_t *self, const char *key, int64_t value)
{
    char text[24];
    lead(self, key);
    put(self, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
}

void
json_uint(json_t *self, const char *key, uint64_t value)
{
    char text[24];
    lead(self, key);
    put(self, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

void
json_double(json_t *self, const char *key, double value)
{
    char text[32];
    if (!isfinite(value)) {
        json_null(self, key);
        return;
    }
    lead(self, key);
    put(self, text, (size_t)snprintf(text, sizeof(text), "%.15g", value));
}

void
json_bool(json_t *self, const char *key, bool value)
{
    lead(self, key);
    put(self, value ? "true" : "false", value ? 4 : 5);
}

void
json_null(json_t *self, const char *key)
{
    lead(self, key);
    put(self, "null", 4);
}
