/*  json - a writer of JSON that keeps no document
 *
 *  Invariants
 *    1. What is written is one valid JSON text (RFC 8259) in UTF-8, whatever
 *       bytes come in: what is not UTF-8 becomes U+FFFD.
 *    2. Memory is constant: everything goes to the sink at once.
 *
 *      json_t json;
 *      json_begin(&json, json_to_file, stdout);
 *      json_object(&json, NULL);
 *      json_uint(&json, "size", 188);
 *      json_array(&json, "workers");
 *      json_string(&json, NULL, "w1");
 *      json_end(&json);
 *      json_end(&json);
 *
 *  A key is given inside an object and is NULL inside an array and at the top.
 *  Ids of 64 bits are written as strings by the caller: most readers of JSON
 *  hold numbers as doubles.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 16  //  Objects and arrays within each other

//  Takes bytes of the text as they are made; they are lent.
typedef void json_sink_fn(void *with, const char *bytes, size_t size);

typedef struct {
    json_sink_fn *sink;
    void *with;
    int depth;
    struct {
        char close;   //  '}' or ']'
        bool filled;  //  A comma is due
    } levels[JSON_DEPTH];
} json_t;

//  A sink that is a FILE; its errors stay with it (ferror).
json_sink_fn json_to_file;

//  Start a text; `with` is handed to the sink.
void json_begin(json_t *self, json_sink_fn *sink, void *with);

//  Open an object or an array; json_end closes the innermost one.
void json_object(json_t *self, const char *key);
void json_array(json_t *self, const char *key);
void json_end(json_t *self);

//  One value. A double that is no finite number is written as null.
void json_string(json_t *self, const char *key, const char *text);
void json_bytes(json_t *self, const char *key, const void *text, size_t size);
void json_int(json_t *self, const char *key, int64_t value);
void json_uint(json_t *self, const char *key, uint64_t value);
void json_double(json_t *self, const char *key, double value);
void json_bool(json_t *self, const char *key, bool value);
void json_null(json_t *self, const char *key);

#endif
