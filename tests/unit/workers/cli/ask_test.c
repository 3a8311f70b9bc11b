#include "ask.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "proof.h"
#include "verbs.h"

static const verb_t VERB = {
    .name = "put",
    .options = { { .name = "--protect", .value = "CODE" },
                 { .name = "--chunk", .value = "SIZE" } },
};

static char said[1000];

//  Run `question` with one option's value; what it says on stderr is kept.
static int
hear(const char *option, const char *value,
     int (*question)(const words_t *words))
{
    words_t words = { .verb = &VERB };
    words.values[strcmp(option, "--chunk") == 0] = value;
    FILE *kept = tmpfile();
    fflush(stderr);
    int before = dup(STDERR_FILENO);
    dup2(fileno(kept), STDERR_FILENO);
    int code = question(&words);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(kept);
    said[fread(said, 1, sizeof said - 1, kept)] = '\0';
    fclose(kept);
    return code;
}

static code_t code;

static int
code_of(const words_t *words)
{
    code = (code_t){ 0, 0 };
    return ask_code(words, &code);
}

static void
a_protection_is_read_or_refused(void)
{
    CHECK(hear("--protect", NULL, code_of) == 0 && code.k == 0);
    CHECK(hear("--protect", "auto", code_of) == 0 && code.k == 0);
    CHECK(hear("--protect", "none", code_of) == 0);
    CHECK(code.k == 1 && code.m == 0);
    CHECK(hear("--protect", "28+4", code_of) == 0);
    CHECK(code.k == 28 && code.m == 4);
    static const char *const NONE[] = { "",     "4",    "4-2",   "0+1", "x",
                                        "4+5",  "29+1", "4+2x",  "+2",  "-4+2",
                                        " 4+2", "4+",   "100+2", "4 +2" };
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        CHECK(hear("--protect", NONE[i], code_of) == EX_USAGE &&
              strstr(said, "--protect"));
}

static uint32_t chunk;

static int
chunk_of(const words_t *words)
{
    chunk = 0;
    return ask_chunk(words, &chunk);
}

static void
a_chunk_size_is_read_or_refused(void)
{
    CHECK(hear("--chunk", NULL, chunk_of) == 0 && chunk == 0);
    CHECK(hear("--chunk", "4096", chunk_of) == 0 && chunk == 4096);
    CHECK(hear("--chunk", "4MiB", chunk_of) == 0 && chunk == 4194304);
    CHECK(hear("--chunk", "4095", chunk_of) == EX_USAGE);
    CHECK(hear("--chunk", "5MiB", chunk_of) == EX_USAGE);
    CHECK(hear("--chunk", "big", chunk_of) == EX_USAGE);
    CHECK(strstr(said, "--chunk"));
}

static const char *name;

static int
name_of(const words_t *words)
{
    return ask_name(words, name);
}

static void
an_illegal_name_meets_a_legal_one(void)
{
    static const char *const NAMES[][2] = {
        { "my film (1).ts", "\"my-film-1-.ts\" can" },
        { ".hidden", "\"hidden\" can" },
        { "\xc3\xa4", "\"video\" can" },
        { "", "\"video\" can" },
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        name = NAMES[i][0];
        CHECK(hear("--chunk", NULL, name_of) == EX_USAGE);
        CHECK(strstr(said, NAMES[i][1]));
    }
    name = "film-1.ts";
    CHECK(hear("--chunk", NULL, name_of) == 0 && !*said);
}

static void
every_verb_is_explained(void)
{
    for (const verb_t *verb = VERBS; verb->name; verb++) {
        CHECK(verbs_find(verb->name) == verb && verb->run);
        CHECK(verb->least <= verb->most && verb->most <= WORDS_OPERANDS);
        CHECK(*verb->help);
        for (size_t i = 0; i < WORDS_OPTIONS && verb->options[i].name; i++)
            CHECK(*verb->options[i].help);
    }
    CHECK(!verbs_find("putt"));
}

int
main(void)
{
    CASE(a_protection_is_read_or_refused, "a protection is read or refused");
    CASE(a_chunk_size_is_read_or_refused, "a chunk size is read or refused");
    CASE(an_illegal_name_meets_a_legal_one,
         "an illegal name meets a legal one");
    CASE(every_verb_is_explained, "every verb is explained by its table");
    return proof_end();
}
