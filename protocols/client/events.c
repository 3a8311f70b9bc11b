#include "events.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "events_texts.h"
#include "invariant.h"

#define EVENT (&rill__v1__event__descriptor)

//  Whether a message has a field that no message can have.
static bool
has_field_0(const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->n_unknown_fields; i++)
        if (message->unknown_fields[i].tag == 0)
            return true;
    return false;
}

event_t *
events_unpack(const void *bytes, size_t size)
{
    event_t *event = rill__v1__event__unpack(NULL, size, bytes);
    //  All bodies lie at one place and begin alike.
    if (event && (has_field_0(&event->base) ||
                  (event->what_case && has_field_0(&event->request->base))))
        events_free(&event);
    return event;
}

void
events_free(event_t **event_p)
{
    if (*event_p)
        rill__v1__event__free_unpacked(*event_p, NULL);
    *event_p = NULL;
}

//  A kind is a field of Event that is a message.
static const ProtobufCFieldDescriptor *
kind_at(size_t kind)
{
    size_t met = 0;
    for (unsigned i = 0; i < EVENT->n_fields; i++)
        if (EVENT->fields[i].type == PROTOBUF_C_TYPE_MESSAGE && met++ == kind)
            return &EVENT->fields[i];
    return NULL;
}

static const ProtobufCMessageDescriptor *
body_of(size_t kind)
{
    const ProtobufCFieldDescriptor *field = kind_at(kind);
    INVARIANT(field);
    return field->descriptor;
}

//  The comment of a message (`field` NULL) or of a field.
static const char *
text_of(const ProtobufCMessageDescriptor *message, const char *field)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s%s", message->short_name, field ? "." : "",
             field ? field : "");
    for (const events_text_t *text = EVENTS_TEXTS; text->name; text++)
        if (strcmp(text->name, name) == 0)
            return text->text;
    INVARIANT(!"events 1: a comment of each kind and field");
    return "";
}

size_t
events_kinds(void)
{
    static size_t count;
    if (count == 0)
        while (kind_at(count))
            count++;
    INVARIANT(count <= EVENTS_KINDS_MOST);
    return count;
}

const char *
events_kind_name(size_t kind)
{
    const ProtobufCFieldDescriptor *field = kind_at(kind);
    return field ? field->name : NULL;
}

const char *
events_kind_help(size_t kind)
{
    return text_of(body_of(kind), NULL);
}

size_t
events_find(const char *name)
{
    for (size_t kind = 0; kind < events_kinds(); kind++)
        if (strcmp(events_kind_name(kind), name) == 0)
            return kind;
    return EVENTS_NO_KIND;
}

size_t
events_kind(const event_t *event)
{
    size_t kind = 0;
    for (unsigned i = 0; i < EVENT->n_fields; i++) {
        if (EVENT->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (EVENT->fields[i].id == (uint32_t)event->what_case)
            return kind;
        kind++;
    }
    return EVENTS_NO_KIND;
}

static events_type_t
type_of(const ProtobufCFieldDescriptor *wire)
{
    switch (wire->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
        return EVENTS_COUNT;
    case PROTOBUF_C_TYPE_SINT64:
        return EVENTS_SIGNED;
    case PROTOBUF_C_TYPE_DOUBLE:
        return EVENTS_REAL;
    case PROTOBUF_C_TYPE_BOOL:
        return EVENTS_FLAG;
    case PROTOBUF_C_TYPE_FIXED64:
        return EVENTS_ID;
    case PROTOBUF_C_TYPE_ENUM:
        return EVENTS_WORD;
    default:
        INVARIANT(wire->type == PROTOBUF_C_TYPE_STRING);
        return EVENTS_TEXT;
    }
}

bool
events_field(size_t kind, size_t nth, events_field_t *field_r)
{
    const ProtobufCMessageDescriptor *message = kind == EVENTS_HEAD
                                                    ? EVENT
                                                    : body_of(kind);
    for (unsigned i = 0; i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *wire = &message->fields[i];
        if (wire->type == PROTOBUF_C_TYPE_MESSAGE || nth-- > 0)
            continue;
        *field_r = (events_field_t){ .name = wire->name,
                                     .help = text_of(message, wire->name),
                                     .type = type_of(wire),
                                     .wire = wire };
        return true;
    }
    return false;
}

bool
events_field_find(size_t kind, const char *name, events_field_t *field_r)
{
    for (size_t nth = 0; events_field(kind, nth, field_r); nth++)
        if (strcmp(field_r->name, name) == 0)
            return true;
    return false;
}

events_value_t
events_value(const event_t *event, const events_field_t *field, bool is_head)
{
    //  All members of the oneof lie at one place.
    const void *body = is_head ? (const void *)event : event->request;
    const void *at = (const uint8_t *)body + field->wire->offset;
    events_value_t value = { .type = field->type };
    switch (field->type) {
    case EVENTS_COUNT:
        value.count = field->wire->type == PROTOBUF_C_TYPE_UINT32
                          ? *(const uint32_t *)at
                          : *(const uint64_t *)at;
        break;
    case EVENTS_ID:
        value.count = *(const uint64_t *)at;
        break;
    case EVENTS_SIGNED:
        value.number = *(const int64_t *)at;
        break;
    case EVENTS_WORD:
        value.number = *(const int *)at;
        break;
    case EVENTS_REAL:
        value.real = *(const double *)at;
        break;
    case EVENTS_FLAG:
        value.flag = *(const protobuf_c_boolean *)at;
        break;
    case EVENTS_TEXT:
        value.text = *(const char *const *)at;
        break;
    }
    return value;
}

static const ProtobufCEnumDescriptor *
list_of(const events_field_t *field)
{
    INVARIANT(field->type == EVENTS_WORD);
    return field->wire->descriptor;
}

const char *
events_word(const events_field_t *field, int64_t number,
            char text_r[EVENTS_WORD_BYTES])
{
    const ProtobufCEnumDescriptor *list = list_of(field);
    const ProtobufCEnumValue *word = protobuf_c_enum_descriptor_get_value(
        list, (int)number);
    if (!word) {
        snprintf(text_r, EVENTS_WORD_BYTES, "%lld", (long long)number);
        return text_r;
    }
    const char *from = word->name + strlen(list->short_name) + 1;
    const char *end = strstr(from, "UNSPECIFIED");
    if (end == from)
        from = "NONE", end = NULL;
    size_t size = end ? (size_t)(end - 1 - from) : strlen(from);
    INVARIANT(size < EVENTS_WORD_BYTES);
    for (size_t i = 0; i < size; i++)
        text_r[i] = (char)tolower((unsigned char)from[i]);
    text_r[size] = '\0';
    return text_r;
}

bool
events_word_nth(const events_field_t *field, size_t nth, int64_t *number_r)
{
    const ProtobufCEnumDescriptor *list = list_of(field);
    if (nth >= list->n_values)
        return false;
    *number_r = list->values[nth].value;
    return true;
}

bool
events_word_find(const events_field_t *field, const char *text,
                 int64_t *number_r)
{
    char word[EVENTS_WORD_BYTES];
    for (size_t nth = 0; events_word_nth(field, nth, number_r); nth++)
        if (strcmp(events_word(field, *number_r, word), text) == 0)
            return true;
    return false;
}
