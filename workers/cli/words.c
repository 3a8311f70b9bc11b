#include "words.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

#define DEFAULT_AT "127.0.0.1:5700"
#define DEFAULT_DIRECTOR "127.0.0.1:5701"

typedef struct {
    int argc;
    char **argv;
    int next;
    bool ended;  //  "--" was met
    char *why;
    size_t why_size;
} reading_t;

__attribute__((format(printf, 2, 3))) static bool
wrong(reading_t *reading, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(reading->why, reading->why_size, format, list);
    va_end(list);
    return false;
}

//  Whether `word` is the option called `name`; `value_r` is set to what stands
//  behind "=", if anything.
static bool
is_called(const char *word, const char *name, const char **value_r)
{
    size_t length = name ? strlen(name) : 0;
    if (length == 0 || strncmp(word, name, length) != 0)
        return false;
    if (word[length] != '\0' && word[length] != '=')
        return false;
    *value_r = word[length] == '=' ? word + length + 1 : NULL;
    return true;
}

//  The value that an option wants: behind "=", or the next word.
static bool
take_value(reading_t *reading, const char *name, const char *wants,
           const char *behind, const char **value_r)
{
    if (!wants && behind)
        return wrong(reading, "%s takes no value, but \"%s\" was given", name,
                     behind);
    if (wants && !behind) {
        if (reading->next == reading->argc)
            return wrong(reading, "%s wants %s behind it", name, wants);
        behind = reading->argv[reading->next++];
    }
    if (*value_r)
        return wrong(reading, "%s is said twice", name);
    *value_r = wants ? behind : "";
    return true;
}

static bool
take_flag(reading_t *reading, const char *name, const char *behind, bool *flag)
{
    const char *said = *flag ? "" : NULL;
    *flag = true;
    return take_value(reading, name, NULL, behind, &said);
}

static bool
take_option(reading_t *reading, words_t *words, const char *word)
{
    const verb_t *verb = words->verb;
    const char *behind;
    for (size_t i = 0; i < WORDS_OPTIONS && verb->options[i].name; i++) {
        const option_t *option = &verb->options[i];
        if (is_called(word, option->name, &behind) ||
            is_called(word, option->brief, &behind))
            return take_value(reading, option->name, option->value, behind,
                              &words->values[i]);
    }
    if (is_called(word, "--help", &behind))
        return take_flag(reading, "--help", behind, &words->help);
    if (!verb->is_silent && is_called(word, "--json", &behind))
        return take_flag(reading, "--json", behind, &words->json);
    if (!verb->is_local && is_called(word, "--at", &behind))
        return take_value(reading, "--at", "HOST:PORT", behind, &words->at);
    return wrong(reading, "there is no option %s", word);
}

static bool
take_operand(reading_t *reading, words_t *words, const char *word)
{
    if (words->count == words->verb->most)
        return wrong(reading, "\"%s\" is one word too many", word);
    words->operands[words->count++] = word;
    return true;
}

static const char *
environment(const char *name, const char *otherwise)
{
    const char *set = getenv(name);
    return set && *set ? set : otherwise;
}

bool
words_parse(const verb_t *verb, int argc, char *argv[], words_t *words_r,
            char *why_r, size_t why_size)
{
    words_t words = { .verb = verb };
    reading_t reading = {
        .argc = argc, .argv = argv, .why = why_r, .why_size = why_size
    };
    while (reading.next < argc) {
        const char *word = argv[reading.next++];
        bool is_option = !reading.ended && word[0] == '-' && word[1] != '\0';
        if (is_option && strcmp(word, "--") == 0)
            reading.ended = true;
        else if (!(is_option ? take_option(&reading, &words, word)
                             : take_operand(&reading, &words, word)))
            return false;
    }
    if (words.count < verb->least && !words.help)
        return wrong(&reading, "%s is missing", verb->operands);
    words.director = environment("RILL_DIRECTOR", DEFAULT_DIRECTOR);
    words.wants_director = !words.at && (*environment("RILL_DIRECTOR", "") ||
                                         !*environment("RILL_AT", ""));
    if (!words.at)
        words.at = verb->asks_director ? words.director
                                       : environment("RILL_AT", DEFAULT_AT);
    *words_r = words;
    return true;
}

const char *
words_value(const words_t *self, const char *name)
{
    for (size_t i = 0; i < WORDS_OPTIONS && self->verb->options[i].name; i++)
        if (strcmp(self->verb->options[i].name, name) == 0)
            return self->values[i];
    INVARIANT(!"an option of the verb");
    return NULL;
}

const char *
words_operand(const words_t *self, size_t nth)
{
    return nth < self->count ? self->operands[nth] : NULL;
}
