#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "invariant.h"
#include "network.h"
#include "settings_keys.h"
#include "settings_path.h"
#include "settings_tree.h"
#include "units.h"

enum {
    NAME_MOST = 63,
    SHOWN_BYTES = 44,  //  Of a text from the file that an error repeats
};

//  What only one node or group may have, and the line that has it.
typedef struct {
    const char *what, *whose;
    char *text;
    size_t line;
} taken_t;

typedef struct {
    const char *file;
    char *why;
    size_t why_size;
    yaml_parser_t parser;
    yaml_event_t event;  //  The one looked at
    taken_t *taken;
    size_t taken_count;
    size_t nth;  //  Of the list that is read
    settings_mention_t *mentions;
    size_t mentions_count;
    settings_spot_t *groups;  //  Where each begins
    size_t groups_count;
} reader_t;

//  Where each key of a section was set; line 0 is the file's first.
typedef struct {
    bool set;
    yaml_mark_t at;
} place_t;

static status_t fail(reader_t *self, yaml_mark_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static status_t
fail(reader_t *self, yaml_mark_t at, const char *format, ...)
{
    int used = snprintf(self->why, self->why_size, "%s:%zu:%zu: ", self->file,
                        at.line + 1, at.column + 1);
    size_t size = (size_t)used;
    if (size < self->why_size) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(self->why + size, self->why_size - size, format, arguments);
        va_end(arguments);
    }
    return STATUS_SETTING;
}

//  A text from the file as an error may show it.
static const char *
show(const char *text, char shown[SHOWN_BYTES])
{
    size_t size = 0;
    for (; text[size] && size < SHOWN_BYTES - 4; size++)
        shown[size] = text[size] >= ' ' && text[size] <= '~' ? text[size] : '?';
    strcpy(shown + size, text[size] ? "..." : "");
    return shown;
}

static status_t
next(reader_t *self)
{
    yaml_event_delete(&self->event);
    if (!yaml_parser_parse(&self->parser, &self->event)) {
        bool marked = self->parser.problem_mark.line > 0 ||
                      self->parser.problem_mark.column > 0;
        return fail(
            self, marked ? self->parser.problem_mark : self->parser.mark,
            "this is not YAML: %s",
            self->parser.problem ? self->parser.problem : "out of memory");
    }
    const yaml_event_t *event = &self->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (anchor || event->type == YAML_ALIAS_EVENT)
        return fail(self, event->start_mark,
                    "anchors and aliases are not taken; write it out");
    if (tag)
        return fail(self, event->start_mark,
                    "tags are not taken; leave it out");
    return STATUS_OK;
}

//  The text of the scalar looked at, or NULL when it is none or holds what no
//  value holds.
static const char *
word(const reader_t *self)
{
    if (self->event.type != YAML_SCALAR_EVENT)
        return NULL;
    const char *text = (const char *)self->event.data.scalar.value;
    size_t size = self->event.data.scalar.length;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return NULL;
    return text;
}

static bool
is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

static bool
is_name(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (!is_letter_or_digit(text[i]) && (i == 0 || !strchr("._-", text[i])))
            return false;
    return size > 0 && size <= NAME_MOST;
}

//  Where the port of HOST:PORT begins, or NULL when it is not that; the host
//  is a name, an IPv4 address or an IPv6 address in brackets.
static const char *
port_of(const char *text)
{
    const char *at = text;
    if (*at == '[') {
        at += 1 + strspn(at + 1, "0123456789abcdefABCDEF:.");
        if (*at++ != ']')
            return NULL;
    } else {
        while (is_letter_or_digit(*at) || *at == '.' || *at == '-' ||
               *at == '_')
            at++;
    }
    size_t digits = *at == ':' ? strspn(at + 1, "0123456789") : 0;
    if (at == text || at - text > 255 || digits == 0 || digits > 5 ||
        at[1] == '0' || at[1 + digits])
        return NULL;
    return strtol(at + 1, NULL, 10) <= 65535 ? at + 1 : NULL;
}

//  Whether nobody can connect to the host: it stands for every interface.
static bool
is_everywhere(const char *at)
{
    return strncmp(at, "0.0.0.0:", 8) == 0 || strncmp(at, "[::]:", 5) == 0;
}

static status_t
take_text(const char *text, char **into)
{
    free(*into);
    *into = strdup(text);
    INVARIANT(*into);
    return STATUS_OK;
}

static status_t
take_amount(reader_t *self, const settings_key_t *key, const char *text,
            yaml_mark_t at, void *into)
{
    char why[160], shown[SHOWN_BYTES], least[UNITS_TEXT_BYTES],
        most[UNITS_TEXT_BYTES];
    uint64_t amount = 0;
    bool size = key->kind == KEY_SIZE;
    if ((size ? units_parse_bytes : units_parse_ms)(text, &amount, why,
                                                    sizeof(why)) != STATUS_OK)
        return fail(self, at, "\"%s\": \"%s\" %s", key->name, show(text, shown),
                    why);
    //  The table's own 0 may be one that nobody says: it is to be left out.
    bool zero = key->zero || text == key->fallback;
    if ((amount < key->least && !(zero && amount == 0)) || amount > key->most)
        return fail(self, at,
                    "\"%s\": \"%s\" is out of range; say %s%s to %s%s",
                    key->name, show(text, shown), key->zero ? "0 or " : "",
                    (size ? units_bytes : units_ms)(key->least, least),
                    (size ? units_bytes : units_ms)(key->most, most),
                    amount == 0 && key->fallback ? ", or leave it out" : "");
    INVARIANT(key->width == 4 || key->width == 8);
    if (key->width == 4)
        *(uint32_t *)into = (uint32_t)amount;
    else
        *(uint64_t *)into = amount;
    return STATUS_OK;
}

static status_t
take_factor(reader_t *self, const settings_key_t *key, const char *text,
            yaml_mark_t at, double *into)
{
    char shown[SHOWN_BYTES], *end;
    double factor = strtod(text, &end);
    if (*end || !*text || strspn(text, "0123456789.") != strlen(text) ||
        factor < 0.1 || factor > 1000)
        return fail(self, at, "\"%s\": \"%s\" is no number from 0.1 to 1000",
                    key->name, show(text, shown));
    *into = factor;
    return STATUS_OK;
}

static status_t
take_count(reader_t *self, const settings_key_t *key, const char *text,
           yaml_mark_t at, uint32_t *into)
{
    char shown[SHOWN_BYTES], *end;
    unsigned long count = strtoul(text, &end, 10);
    if (*end || !*text || strspn(text, "0123456789") != strlen(text) ||
        count < key->least || count > key->most)
        return fail(
            self, at, "\"%s\": \"%s\" is no whole number from %llu to %llu",
            key->name, show(text, shown), (unsigned long long)key->least,
            (unsigned long long)key->most);
    *into = (uint32_t)count;
    return STATUS_OK;
}

static bool
has_word(const char *words, const char *text)
{
    size_t size = strlen(text);
    for (const char *at = words; size && (at = strstr(at, text)); at += size)
        if ((at == words || at[-1] == ' ') && (!at[size] || at[size] == ' '))
            return true;
    return false;
}

static bool
is_multicast(const char *text)
{
    network_t address;
    return port_of(text) && network_of(text, &address) &&
           network_is_multicast(&address);
}

static bool
is_host(const char *text)
{
    network_t address;
    return !strchr(text, '/') && network_parse(text, &address);
}

//  A word that must be the name of something is looked at in the end.
static void
mention(reader_t *self, const settings_key_t *key, const char *text,
        yaml_mark_t at)
{
    self->mentions = realloc(self->mentions, (self->mentions_count + 1) *
                                                 sizeof(*self->mentions));
    INVARIANT(self->mentions);
    settings_mention_t *to = &self->mentions[self->mentions_count++];
    *to = (settings_mention_t){
        key->names, self->nth, strdup(text), { at.line, at.column }
    };
    INVARIANT(to->text);
}

static status_t take(reader_t *self, const settings_key_t *key,
                     const char *text, yaml_mark_t at, void *into);

//  Add a word to a list.
static status_t
take_item(reader_t *self, const settings_key_t *key, const char *text,
          yaml_mark_t at, settings_list_t *into)
{
    char shown[SHOWN_BYTES];
    for (size_t i = 0; i < into->count; i++)
        if (strcmp(into->items[i], text) == 0)
            return fail(self, at, "\"%s\": \"%s\" stands twice; leave one",
                        key->name, show(text, shown));
    if (into->count == key->most)
        return fail(self, at, "\"%s\" has more than %llu words", key->name,
                    (unsigned long long)key->most);
    settings_key_t item = *key;
    item.kind = key->of;
    into->items = realloc(into->items,
                          (into->count + 1) * sizeof(*into->items));
    INVARIANT(into->items);
    into->items[into->count] = NULL;
    return take(self, &item, text, at, &into->items[into->count++]);
}

//  A list's words in one text, as the table has them.
static status_t
take_words(reader_t *self, const settings_key_t *key, const char *text,
           yaml_mark_t at, settings_list_t *into)
{
    status_t status = STATUS_OK;
    while (status == STATUS_OK && *text) {
        char word[NAME_MOST + 1];
        size_t size = strcspn(text, " ");
        INVARIANT(size < sizeof(word));
        memcpy(word, text, size);
        word[size] = 0;
        status = take_item(self, key, word, at, into);
        text += size + strspn(text + size, " ");
    }
    return status;
}

//  Take a value, from the file or the table, into its member.
static status_t
take(reader_t *self, const settings_key_t *key, const char *text,
     yaml_mark_t at, void *into)
{
    char shown[SHOWN_BYTES];
    switch (key->kind) {
    case KEY_NAME:
        if (!is_name(text))
            return fail(self, at,
                        "\"%s\": \"%s\" is no name; say 1 to 63 of A-Z a-z 0-9 "
                        ". _ - and begin with a letter or digit",
                        key->name, show(text, shown));
        if (key->names)
            mention(self, key, text, at);
        return take_text(text, into);
    case KEY_AT:
        if (!port_of(text) && (*text || !key->fallback))
            return fail(self, at,
                        "\"%s\": \"%s\" is no HOST:PORT with a port from 1 to "
                        "65535",
                        key->name, show(text, shown));
        return take_text(text, into);
    case KEY_REACH:
        return take_text(text, into);
    case KEY_PATH:
        if (!*text && !key->fallback)
            return fail(self, at, "\"%s\" is empty; say a directory",
                        key->name);
        return take_text(text, into);
    case KEY_SIZE:
    case KEY_DURATION:
        return take_amount(self, key, text, at, into);
    case KEY_FACTOR:
        return take_factor(self, key, text, at, into);
    case KEY_COUNT:
        return take_count(self, key, text, at, into);
    case KEY_WORD:
        if (!has_word(key->words, text))
            return fail(self, at, "\"%s\": \"%s\" is none of %s", key->name,
                        show(text, shown), key->words);
        return take_text(text, into);
    case KEY_MULTICAST:
        if (*text && !is_multicast(text))
            return fail(self, at,
                        "\"%s\": \"%s\" is no ADDRESS:PORT of a multicast "
                        "group, as 239.192.57.1:5790 is",
                        key->name, show(text, shown));
        return take_text(text, into);
    case KEY_HOST:
        if (*text && !is_host(text))
            return fail(self, at,
                        "\"%s\": \"%s\" is no address in figures, as "
                        "10.1.0.7 is",
                        key->name, show(text, shown));
        return take_text(text, into);
    case KEY_NETWORK: {
        network_t network;
        if (!network_parse(text, &network))
            return fail(self, at,
                        "\"%s\": \"%s\" is no network, as 10.1.0.0/16 is",
                        key->name, show(text, shown));
        return take_text(text, into);
    }
    case KEY_LIST:
        return take_words(self, key, text, at, into);
    case KEY_SECTION:
    case KEY_SECTIONS:
        break;
    }
    return STATUS_OK;
}

static void
note_taken(reader_t *self, const char *what, const char *whose,
           const char *text, yaml_mark_t at)
{
    self->taken = realloc(self->taken,
                          (self->taken_count + 1) * sizeof(*self->taken));
    INVARIANT(self->taken);
    taken_t *taken = &self->taken[self->taken_count++];
    *taken = (taken_t){ what, whose, strdup(text), at.line + 1 };
    INVARIANT(taken->text);
}

//  Note what one node or group alone may have.
static status_t
take_alone(reader_t *self, const char *what, const char *whose,
           const char *text, yaml_mark_t at)
{
    char shown[SHOWN_BYTES];
    for (size_t i = 0; i < self->taken_count; i++)
        if (strcmp(self->taken[i].what, what) == 0 &&
            strcmp(self->taken[i].whose, whose) == 0 &&
            strcmp(self->taken[i].text, text) == 0)
            return fail(self, at,
                        "%s \"%s\" is that of the %s in line %zu; choose "
                        "another",
                        what, show(text, shown), self->taken[i].whose,
                        self->taken[i].line);
    note_taken(self, what, whose, text, at);
    return STATUS_OK;
}

//  A directory is one node's with all that lies in it: what a node does not
//  know there may keep it from starting, or be taken away.
static status_t
take_directory(reader_t *self, const char *data, yaml_mark_t at)
{
    static const char *const WHAT = "the directory";
    char shown[SHOWN_BYTES], *whole = settings_path(data);
    status_t status = STATUS_OK;
    for (size_t i = 0; i < self->taken_count && status == STATUS_OK; i++) {
        const taken_t *taken = &self->taken[i];
        if (taken->what != WHAT)
            continue;
        bool lies = settings_path_in(whole, taken->text);
        bool holds = settings_path_in(taken->text, whole);
        if (lies || holds)
            status = fail(self, at,
                          "%s \"%s\" %s that of the node in line %zu; choose "
                          "another",
                          WHAT, show(data, shown),
                          !lies    ? "holds"
                          : !holds ? "lies in"
                                   : "is",
                          taken->line);
    }
    if (status == STATUS_OK)
        note_taken(self, WHAT, "node", whole, at);
    free(whole);
    return status;
}

//  Complete `reach` from `at`, whose address it is when it is not set.
static status_t
complete_reach(reader_t *self, settings_node_t *node, yaml_mark_t at,
               yaml_mark_t reach_at)
{
    char shown[SHOWN_BYTES], *whole = NULL;
    const char *reach = node->reach;
    if (!*reach)
        INVARIANT((whole = strdup(node->at)));
    else if (port_of(reach))
        INVARIANT((whole = strdup(reach)));
    else
        INVARIANT(asprintf(&whole, "%s:%s", reach, port_of(node->at)) > 0);
    status_t status = STATUS_OK;
    if (!port_of(whole))
        status = fail(self, reach_at, "\"reach\": \"%s\" is no HOST[:PORT]",
                      show(reach, shown));
    else if (is_everywhere(whole))
        status = fail(self, *reach ? reach_at : at,
                      "nobody can connect to \"%s\"; say in \"reach\" where "
                      "this node is",
                      show(whole, shown));
    free(node->reach);
    node->reach = whole;
    return status;
}

static const place_t *
place_of(const settings_section_t *section, const place_t *places,
         const char *name)
{
    return &places[settings_key(section, name) - section->keys];
}

//  What concerns all nodes: nothing that two may not have.
static status_t
check_node(reader_t *self, const settings_section_t *section,
           settings_node_t *node, const place_t *places)
{
    yaml_mark_t at = place_of(section, places, "at")->at;
    const place_t *reach = place_of(section, places, "reach");
    yaml_mark_t reach_at = reach->set ? reach->at : at;
    node->role = section->role;
    bool has_data = settings_key(section, "data");
    if (!has_data)
        take_text("", &node->data);
    size_t size = strlen(node->data);
    while (size > 1 && node->data[size - 1] == '/')
        node->data[--size] = 0;
    status_t status = take_alone(self, "the name", "node", node->name,
                                 place_of(section, places, "name")->at);
    if (status == STATUS_OK)
        status = complete_reach(self, node, at, reach_at);
    if (status == STATUS_OK && !is_everywhere(node->at))
        status = take_alone(self, "the address", "node", node->at, at);
    if (status == STATUS_OK && strcmp(node->reach, node->at) != 0)
        status = take_alone(self, "the address", "node", node->reach, reach_at);
    if (status == STATUS_OK && *node->metrics && !is_everywhere(node->metrics))
        status = take_alone(self, "the address", "node", node->metrics,
                            place_of(section, places, "metrics")->at);
    if (status == STATUS_OK && has_data)
        status = take_directory(self, node->data,
                                place_of(section, places, "data")->at);
    return status;
}

static status_t
check_forwarder(reader_t *self, const settings_section_t *section,
                const settings_forwarder_t *forwarder, const place_t *places,
                yaml_mark_t start)
{
    const place_t *floor = place_of(section, places, "floor");
    const place_t *ceiling = place_of(section, places, "ceiling");
    if (forwarder->floor_bytes > forwarder->ceiling_bytes)
        return fail(self,
                    ceiling->set ? ceiling->at
                    : floor->set ? floor->at
                                 : start,
                    "\"floor\" is over \"ceiling\"; say less for it");
    return STATUS_OK;
}

static status_t
check_group(reader_t *self, const settings_section_t *section,
            const settings_group_t *group, const place_t *places,
            yaml_mark_t start)
{
    bool unicast = strcmp(group->siblings, "unicast") == 0;
    const place_t *multicast = place_of(section, places, "multicast");
    if (group->parents.count == 0)
        return fail(self, place_of(section, places, "parents")->at,
                    "\"parents\" is empty; say at least the forwarder");
    if (unicast && *group->multicast)
        return fail(self, multicast->at,
                    "\"multicast\" says nothing with \"siblings: unicast\"; "
                    "leave one of them");
    if (!unicast && !*group->multicast)
        return fail(self, start,
                    "a group has no \"multicast\"; add ADDRESS:PORT, or "
                    "\"siblings: unicast\"");
    self->groups = realloc(self->groups,
                           (self->groups_count + 1) * sizeof(*self->groups));
    INVARIANT(self->groups);
    self->groups[self->groups_count++] = (settings_spot_t){ start.line,
                                                            start.column };
    status_t status = take_alone(self, "the name", "group", group->name,
                                 place_of(section, places, "name")->at);
    if (status == STATUS_OK && *group->multicast)
        status = take_alone(self, "the multicast address", "group",
                            group->multicast, multicast->at);
    return status;
}

static status_t read_section(reader_t *self, const settings_section_t *section,
                             void *into);

static status_t
read_sections(reader_t *self, const settings_key_t *key, void *section)
{
    char **items = (char **)((char *)section + key->place);
    size_t *count = (size_t *)((char *)section + key->count);
    size_t bytes = key->section->bytes;
    if (self->event.type != YAML_SEQUENCE_START_EVENT)
        return fail(self, self->event.start_mark,
                    "\"%s\" must be a list: one \"- name: ...\" for each",
                    key->name);
    for (;;) {
        status_t status = next(self);
        if (status != STATUS_OK || self->event.type == YAML_SEQUENCE_END_EVENT)
            return status;
        if (*count == key->most)
            return fail(self, self->event.start_mark,
                        "there are more than %llu %s",
                        (unsigned long long)key->most, key->name);
        *items = realloc(*items, (*count + 1) * bytes);
        INVARIANT(*items);
        self->nth = (*count)++;
        memset(*items + self->nth * bytes, 0, bytes);
        status = read_section(self, key->section, *items + self->nth * bytes);
        if (status != STATUS_OK)
            return status;
    }
}

//  A list of words; one alone needs no brackets.
static status_t
read_list(reader_t *self, const settings_key_t *key, settings_list_t *into)
{
    bool many = self->event.type == YAML_SEQUENCE_START_EVENT;
    for (;;) {
        status_t status = many ? next(self) : STATUS_OK;
        if (status != STATUS_OK || self->event.type == YAML_SEQUENCE_END_EVENT)
            return status;
        const char *text = word(self);
        if (!text)
            return fail(self, self->event.start_mark,
                        "\"%s\" must be words, as in %s", key->name,
                        key->example);
        status = take_item(self, key, text, self->event.start_mark, into);
        if (status != STATUS_OK || !many)
            return status;
    }
}

static status_t
refuse_key(reader_t *self, const settings_section_t *section, const char *name)
{
    char shown[SHOWN_BYTES], rest[160] = "";
    const settings_key_t *like = settings_key_like(section, name);
    size_t used = 0;
    if (like)
        snprintf(rest, sizeof(rest), "did you mean \"%s\"?", like->name);
    for (size_t i = 0; !like && i < section->count; i++)
        used += (size_t)snprintf(rest + used, sizeof(rest) - used, "%s%s",
                                 i == 0                    ? "it has "
                                 : i == section->count - 1 ? " and "
                                                           : ", ",
                                 section->keys[i].name);
    return fail(self, self->event.start_mark, "unknown key \"%s\" in %s; %s",
                show(name, shown), section->called, rest);
}

//  Read the value of a key, of whatever kind.
static status_t
read_value(reader_t *self, const settings_key_t *key, void *section)
{
    void *into = (char *)section + key->place;
    if (key->kind == KEY_SECTION)
        return read_section(self, key->section, into);
    if (key->kind == KEY_SECTIONS)
        return read_sections(self, key, section);
    if (key->kind == KEY_LIST)
        return read_list(self, key, into);
    const char *text = word(self);
    if (!text)
        return fail(self, self->event.start_mark,
                    "\"%s\" must be a word without control characters",
                    key->name);
    return take(self, key, text, self->event.start_mark, into);
}

//  Read the pairs up to the end of the section.
static status_t
read_keys(reader_t *self, const settings_section_t *section, void *into,
          place_t *places)
{
    for (;;) {
        status_t status = next(self);
        if (status != STATUS_OK || self->event.type == YAML_MAPPING_END_EVENT)
            return status;
        const char *name = word(self);
        if (!name)
            return fail(self, self->event.start_mark, "a key must be a word");
        const settings_key_t *key = settings_key(section, name);
        if (!key)
            return refuse_key(self, section, name);
        place_t *place = &places[key - section->keys];
        if (place->set)
            return fail(self, self->event.start_mark,
                        "\"%s\" stands twice in %s; leave one", key->name,
                        section->called);
        status = next(self);
        if (status != STATUS_OK)
            return status;
        *place = (place_t){ true, self->event.start_mark };
        status = read_value(self, key, into);
        if (status != STATUS_OK)
            return status;
    }
}

//  Give every key that was not set its default.
static status_t
complete(reader_t *self, const settings_section_t *section, void *into,
         const place_t *places, yaml_mark_t start)
{
    for (size_t i = 0; i < section->count; i++) {
        const settings_key_t *key = &section->keys[i];
        if (places[i].set)
            continue;
        if (!key->fallback)
            return fail(self, start, "%s has no \"%s\"; add one: %s",
                        section->called, key->name, key->help);
        status_t status = take(self, key, key->fallback, start,
                               (char *)into + key->place);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static status_t
read_section(reader_t *self, const settings_section_t *section, void *into)
{
    place_t places[SETTINGS_KEYS_MOST] = { { false, { 0, 0, 0 } } };
    yaml_mark_t start = self->event.start_mark;
    INVARIANT(section->count <= SETTINGS_KEYS_MOST);
    if (self->event.type != YAML_MAPPING_START_EVENT)
        return fail(
            self, start, "%s must be keys with values, as in \"%s: %s\"",
            section->called, section->keys[0].name, section->keys[0].example);
    status_t status = read_keys(self, section, into, places);
    if (status == STATUS_OK)
        status = complete(self, section, into, places, start);
    if (status == STATUS_OK && section->role)
        status = check_node(self, section, into, places);
    if (status == STATUS_OK && section->role == SETTINGS_FORWARDER)
        status = check_forwarder(self, section, into, places, start);
    if (status == STATUS_OK && settings_key(section, "parents"))
        status = check_group(self, section, into, places, start);
    return status;
}

static status_t
check_tree(reader_t *self, settings_t *settings)
{
    settings_spot_t at;
    char why[SETTINGS_WHY_BYTES];
    status_t status = settings_tree(settings, self->file, self->mentions,
                                    self->mentions_count, self->groups, &at,
                                    why);
    if (status != STATUS_OK)
        fail(self, (yaml_mark_t){ .line = at.line, .column = at.column }, "%s",
             why);
    return status;
}

static status_t
read_document(reader_t *self, settings_t *settings)
{
    status_t status = next(self);  //  The stream begins
    if (status == STATUS_OK)
        status = next(self);
    if (status == STATUS_OK && self->event.type == YAML_STREAM_END_EVENT)
        return fail(self, self->event.start_mark,
                    "the file is empty; it must name at least a cluster and "
                    "its forwarder");
    if (status == STATUS_OK)
        status = next(self);
    if (status == STATUS_OK)
        status = read_section(self, &SETTINGS_ROOT, settings);
    if (status == STATUS_OK)
        status = check_tree(self, settings);
    if (status == STATUS_OK)
        status = next(self);  //  The document ends
    if (status == STATUS_OK)
        status = next(self);
    if (status == STATUS_OK && self->event.type != YAML_STREAM_END_EVENT)
        return fail(self, self->event.start_mark,
                    "a second document begins; one file is one cluster");
    return status;
}

status_t
settings_parse(const char *name, const void *text, size_t size,
               settings_t *settings_r, char *why_r, size_t why_size)
{
    reader_t self = { .file = name, .why = why_r, .why_size = why_size };
    settings_t settings = { 0 };
    if (size > SETTINGS_FILE_BYTES) {
        snprintf(why_r, why_size, "%s: over 1 MiB, which no cluster file is",
                 name);
        return STATUS_SETTING;
    }
    INVARIANT(yaml_parser_initialize(&self.parser));
    yaml_parser_set_input_string(&self.parser, text, size);
    status_t status = read_document(&self, &settings);
    yaml_event_delete(&self.event);
    yaml_parser_delete(&self.parser);
    for (size_t i = 0; i < self.taken_count; i++)
        free(self.taken[i].text);
    free(self.taken);
    for (size_t i = 0; i < self.mentions_count; i++)
        free(self.mentions[i].text);
    free(self.mentions);
    free(self.groups);
    if (status == STATUS_OK)
        *settings_r = settings;
    else
        settings_free(&settings);
    return status;
}
