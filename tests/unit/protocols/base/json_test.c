#include "json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proof.h"
#include "random.h"

static char written[4096];

static void
collect(void *with, const char *bytes, size_t size)
{
    (void)with;
    CHECK(strlen(written) + size < sizeof(written));
    strncat(written, bytes, size);
}

static json_t
start(void)
{
    json_t json;
    written[0] = 0;
    json_begin(&json, collect, NULL);
    return json;
}

static const char *
string_of(const char *bytes, size_t size)
{
    json_t json = start();
    json_bytes(&json, NULL, bytes, size);
    return written;
}

static void
values_stand_in_objects_and_arrays(void)
{
    json_t json = start();
    json_object(&json, NULL);
    json_string(&json, "name", "cam-1");
    json_array(&json, "sizes");
    json_int(&json, NULL, INT64_MIN);
    json_uint(&json, NULL, UINT64_MAX);
    json_object(&json, NULL);
    json_end(&json);
    json_end(&json);
    json_bool(&json, "on", true);
    json_bool(&json, "off", false);
    json_null(&json, "none");
    json_array(&json, "empty");
    json_end(&json);
    json_end(&json);
    CHECK(strcmp(written, "{\"name\":\"cam-1\",\"sizes\":[-9223372036854775808,"
                          "18446744073709551615,{}],\"on\":true,\"off\":false,"
                          "\"none\":null,\"empty\":[]}") == 0);
}

static void
numbers_that_are_none_are_null(void)
{
    json_t json = start();
    json_array(&json, NULL);
    json_double(&json, NULL, 0.1);
    json_double(&json, NULL, -1.5e300);
    json_double(&json, NULL, NAN);
    json_double(&json, NULL, -INFINITY);
    json_double(&json, NULL, 3);
    json_end(&json);
    CHECK(strcmp(written, "[0.1,-1.5e+300,null,null,3]") == 0);
}

static void
control_bytes_and_quotes_are_escaped(void)
{
    static const char BYTES[] = "a\"b\\c\n\r\t\b\f\0\x1f\x7f/";
    CHECK(strcmp(string_of(BYTES, sizeof(BYTES) - 1),
                 "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0000\\u001f\\u007f/\"") == 0);
}

#define BAD "\xef\xbf\xbd"

static void
what_is_not_utf8_is_replaced(void)
{
    static const struct {
        const char *in, *out;
    } TRIED[] = {
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac",
          "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac" },
        { "\x80", BAD },  //  A tail without a head
        { "a\xff"
          "b",
          "a" BAD "b" },
        { "\xc0\xaf", BAD BAD },                  //  '/' in two bytes
        { "\xe0\x80\xaf", BAD BAD BAD },          //  in three
        { "\xed\xa0\x80", BAD BAD BAD },          //  A surrogate
        { "\xf4\x90\x80\x80", BAD BAD BAD BAD },  //  Over U+10FFFF
        { "\xe2\x82", BAD BAD },                  //  Cut short
        { "\xe2\x82z", BAD BAD "z" },
        { "\xf0\x9f\x8e\"", BAD BAD BAD "\\\"" },
    };
    for (size_t i = 0; i < sizeof(TRIED) / sizeof(TRIED[0]); i++) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "\"%s\"", TRIED[i].out);
        CHECK(strcmp(string_of(TRIED[i].in, strlen(TRIED[i].in)), wanted) == 0);
    }
    //  What lies behind the end is not read.
    CHECK(strcmp(string_of("\xe2\x82\xac", 2), "\"" BAD BAD "\"") == 0);
}

static void
any_bytes_make_a_text_without_control_bytes(void)
{
    random_t chance = random_seeded(3);
    char bytes[64];
    for (int turn = 0; turn < 5000; turn++) {
        size_t size = random_below(&chance, sizeof(bytes));
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)random_next(&chance);
        const char *text = string_of(bytes, size);
        size_t length = strlen(text);
        CHECK(text[0] == '"' && text[length - 1] == '"');
        for (size_t i = 1; i < length - 1; i++) {
            CHECK((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
            if (text[i] == '\\')
                i++;
            else
                CHECK(text[i] != '"');
        }
        //  What came out is UTF-8: written again, nothing is replaced.
        char twice[sizeof(written)];
        memcpy(twice, text, length + 1);
        if (!strchr(twice, '\\'))
            CHECK(strlen(string_of(twice + 1, length - 2)) == length);
    }
}

static void
deep_texts_need_no_memory(void)
{
    json_t json = start();
    for (int i = 0; i < JSON_DEPTH; i++)
        json_array(&json, NULL);
    for (int i = 0; i < JSON_DEPTH; i++)
        json_end(&json);
    CHECK(strlen(written) == (size_t)2 * JSON_DEPTH);
}

int
main(void)
{
    CASE(values_stand_in_objects_and_arrays,
         "json 1: values stand in objects and arrays");
    CASE(numbers_that_are_none_are_null,
         "json 1: numbers that are none are null");
    CASE(control_bytes_and_quotes_are_escaped,
         "json 1: control bytes and quotes are escaped");
    CASE(what_is_not_utf8_is_replaced, "json 1: what is not UTF-8 is replaced");
    CASE(any_bytes_make_a_text_without_control_bytes,
         "json 1: any bytes make a text that is UTF-8 without control bytes");
    CASE(deep_texts_need_no_memory,
         "json 2: the deepest text goes to the sink as it is made");
    return proof_end();
}
