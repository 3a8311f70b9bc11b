#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "proof.h"

static const verb_t VERB = {
    .name = "put",
    .operands = "FILE",
    .options = { { .name = "--as", .value = "NAME" },
                 { .name = "--output", .brief = "-o", .value = "FILE" },
                 { .name = "--strict" } },
    .least = 1,
    .most = 1,
};

static words_t words;
static char why[200];

//  Parse words that are separated by one space each.
static bool
parse(const verb_t *verb, const char *line)
{
    static char copy[200];
    static char *argv[20];
    int argc = 0;
    strcpy(copy, line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    *why = '\0';
    return words_parse(verb, argc, argv, &words, why, sizeof why);
}

static bool
is(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

static void
options_stand_anywhere_in_both_forms(void)
{
    static const char *const LINES[] = { "--as x f --strict -o -",
                                         "f --as=x -o=- --strict",
                                         "--strict --output - --as x -- f" };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        CHECK(parse(&VERB, LINES[i]));
        CHECK(is(words_value(&words, "--as"), "x"));
        CHECK(is(words_value(&words, "--output"), "-"));
        CHECK(is(words_value(&words, "--strict"), ""));
        CHECK(is(words_operand(&words, 0), "f") && !words_operand(&words, 1));
    }
    CHECK(parse(&VERB, "-"));
    CHECK(is(words_operand(&words, 0), "-"));
    CHECK(!words_value(&words, "--as"));
    CHECK(parse(&VERB, "--as=-1-4 -- --as"));
    CHECK(is(words_value(&words, "--as"), "-1-4"));
    CHECK(is(words_operand(&words, 0), "--as"));
}

static void
what_is_wrong_is_refused_and_named(void)
{
    static const char *const LINES[][2] = {
        { "f --ass x", "--ass" },
        { "f --asx=y", "--asx" },
        { "f g", "g" },
        { "", "FILE" },
        { "f --as", "--as" },
        { "f --strict=1", "--strict" },
        { "f -x", "-x" },
        { "f --as a --as b", "--as" },
        { "f --json --json", "--json" },
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        CHECK(!parse(&VERB, LINES[i][0]));
        CHECK(strstr(why, LINES[i][1]));
    }
}

static void
the_node_is_said_set_or_the_default(void)
{
    unsetenv("RILL_AT");
    CHECK(parse(&VERB, "f") && is(words.at, "127.0.0.1:5700"));
    setenv("RILL_AT", "there:1", 1);
    CHECK(parse(&VERB, "f") && is(words.at, "there:1"));
    CHECK(parse(&VERB, "f --at here:2") && is(words.at, "here:2"));
    verb_t local = VERB;
    local.is_local = local.is_silent = true;
    CHECK(!parse(&local, "f --at here:2") && strstr(why, "--at"));
    CHECK(!parse(&local, "f --json") && strstr(why, "--json"));
}

static void
help_needs_no_operand(void)
{
    CHECK(parse(&VERB, "--help") && words.help);
    CHECK(parse(&VERB, "f --json") && words.json && !words.help);
}

static void
the_director_is_wanted_when_no_other_node_is_said(void)
{
    static const verb_t WHERE = { .name = "where", .asks_director = true };
    unsetenv("RILL_AT");
    unsetenv("RILL_DIRECTOR");
    CHECK(parse(&VERB, "f") && words.wants_director);
    CHECK(is(words.director, "127.0.0.1:5701"));
    CHECK(parse(&VERB, "f --at here:1") && !words.wants_director);
    CHECK(parse(&WHERE, "") && is(words.at, "127.0.0.1:5701"));
    setenv("RILL_AT", "there:1", 1);
    CHECK(parse(&VERB, "f") && !words.wants_director);
    CHECK(parse(&WHERE, "") && is(words.at, "127.0.0.1:5701"));
    setenv("RILL_DIRECTOR", "guide:1", 1);
    CHECK(parse(&VERB, "f") && words.wants_director);
    CHECK(is(words.director, "guide:1") && is(words.at, "there:1"));
    CHECK(parse(&VERB, "f --at here:1") && !words.wants_director);
    CHECK(parse(&WHERE, "") && is(words.at, "guide:1"));
    CHECK(parse(&WHERE, "--at here:1") && is(words.at, "here:1"));
    unsetenv("RILL_AT");
    unsetenv("RILL_DIRECTOR");
}

int
main(void)
{
    CASE(options_stand_anywhere_in_both_forms,
         "options stand anywhere, in both forms");
    CASE(what_is_wrong_is_refused_and_named,
         "words 1: what is wrong is refused and named");
    CASE(the_node_is_said_set_or_the_default,
         "the node is said, set or the default");
    CASE(help_needs_no_operand, "--help needs no operand");
    CASE(the_director_is_wanted_when_no_other_node_is_said,
         "the director is asked when no other node is said");
    return proof_end();
}
