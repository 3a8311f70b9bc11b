#include "forge.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "invariant.h"

//  More than a message may have of anything, now and then.
enum { DEEP = 4, FEW = 4, MANY = 300, TEXT = 16 };

//  What one message took, to be given back at once.
typedef struct {
    forge_t *forge;
    void **blocks;
    size_t count, most;
} arena_t;

//  Longer than a name may be.
#define TWENTY "0123456789abcdefghij"
#define LONG_NAME TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY

static const char *const TEXTS[] = {
    "",           "cam",     "clip",   "w1",       "w2", "tcp://127.0.0.1:9",
    "tcp://w1:1", LONG_NAME, "../etc", "\xff\xfe",
};

uint8_t
forge_byte(forge_t *self)
{
    if (self->size == 0)
        return 0;
    self->size--;
    return *self->bytes++;
}

bool
forge_has_more(const forge_t *self)
{
    return self->size > 0;
}

void
forge_learn(forge_t *self, uint64_t number)
{
    for (size_t i = 0; i < FORGE_KNOWN; i++)
        if (self->known[i] == number)
            return;
    self->known[self->learned++ % FORGE_KNOWN] = number;
}

uint64_t
forge_number(forge_t *self)
{
    uint8_t form = forge_byte(self);
    if (form < 48)
        return form;
    uint64_t known = self->known[form % FORGE_KNOWN];
    if (form < 192)
        return known;
    if (form < 224)
        return known + (uint64_t)(int64_t)(int8_t)forge_byte(self);
    if (form < 240)
        return (1ull << forge_byte(self) % 64) - (form & 1);
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | forge_byte(self);
    return number;
}

//  ---------------------------------------------------------------------------
//  Fields

static void *
take(arena_t *arena, size_t size)
{
    if (arena->count == arena->most) {
        arena->most = arena->most ? 2 * arena->most : 16;
        arena->blocks = realloc(arena->blocks,
                                arena->most * sizeof(*arena->blocks));
        INVARIANT(arena->blocks);
    }
    void *block = calloc(1, size ? size : 1);
    INVARIANT(block);
    return arena->blocks[arena->count++] = block;
}

static char *
some_text(arena_t *arena)
{
    uint8_t form = forge_byte(arena->forge);
    size_t count = sizeof(TEXTS) / sizeof(*TEXTS);
    const char *from = TEXTS[form % count];
    char *text = take(arena, strlen(from) + TEXT + 1);
    memcpy(text, from, strlen(from));
    if (form < 224)
        return text;
    for (int i = 0; i < form % TEXT; i++)
        text[i] = (char)forge_byte(arena->forge);
    return text;
}

static void *fill(arena_t *arena, const ProtobufCMessageDescriptor *kind,
                  int depth);

//  Bytes that one value of a field takes in its struct.
static size_t
width(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static void
put_value(arena_t *arena, const ProtobufCFieldDescriptor *field, void *to,
          int depth)
{
    forge_t *forge = arena->forge;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        void *inner = fill(arena, field->descriptor, depth + 1);
        memcpy(to, &inner, sizeof(inner));
    } else if (field->type == PROTOBUF_C_TYPE_STRING) {
        char *text = some_text(arena);
        memcpy(to, &text, sizeof(text));
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData bytes = { .len = forge_byte(forge) % TEXT };
        bytes.data = take(arena, bytes.len);
        for (size_t i = 0; i < bytes.len; i++)
            bytes.data[i] = forge_byte(forge);
        memcpy(to, &bytes, sizeof(bytes));
    } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
        protobuf_c_boolean yes = forge_byte(forge) & 1;
        memcpy(to, &yes, sizeof(yes));
    } else {
        uint64_t number = forge_number(forge);
        memcpy(to, &number, width(field));
    }
}

static void
put_list(arena_t *arena, const ProtobufCFieldDescriptor *field,
         uint8_t *message, int depth)
{
    uint8_t form = forge_byte(arena->forge);
    size_t count = form == 255 ? MANY : form % FEW;
    uint8_t *list = take(arena, count * width(field));
    for (size_t i = 0; i < count; i++)
        put_value(arena, field, list + i * width(field), depth);
    memcpy(message + field->quantifier_offset, &count, sizeof(count));
    memcpy(message + field->offset, &list, sizeof(list));
}

//  A message of a kind; of a field of its own it has, or has not, each.
static void *
fill(arena_t *arena, const ProtobufCMessageDescriptor *kind, int depth)
{
    ProtobufCMessage *message = take(arena, kind->sizeof_message);
    protobuf_c_message_init(kind, message);
    uint8_t *bytes = (uint8_t *)message;
    for (unsigned i = 0; i < kind->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &kind->fields[i];
        bool inner = field->type == PROTOBUF_C_TYPE_MESSAGE;
        if (inner && (depth > DEEP || forge_byte(arena->forge) % 16 == 0))
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            put_list(arena, field, bytes, depth);
            continue;
        }
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            int chosen;
            memcpy(&chosen, bytes + field->quantifier_offset, sizeof(chosen));
            if (chosen || forge_byte(arena->forge) & 1)
                continue;
            chosen = (int)field->id;
            memcpy(bytes + field->quantifier_offset, &chosen, sizeof(chosen));
        }
        put_value(arena, field, bytes + field->offset, depth);
    }
    return message;
}

//  ---------------------------------------------------------------------------
//  Messages

static const ProtobufCFieldDescriptor *
body_of(int kind)
{
    return protobuf_c_message_descriptor_get_field(
        &rill__v1__message__descriptor, (unsigned)kind);
}

//  A body's place in the list of Message's fields: those before it are not
//  bodies.
static const ProtobufCFieldDescriptor *
any_body(forge_t *self)
{
    const ProtobufCMessageDescriptor *of = &rill__v1__message__descriptor;
    const ProtobufCFieldDescriptor *field;
    uint8_t form = forge_byte(self);
    do
        field = &of->fields[form++ % of->n_fields];
    while (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF));
    return field;
}

//  A chunk that may be: within every bound, of the payload that it has.
static void
fill_chunk(forge_t *self, chunk_on_wire_t *to, const buffer_t *payload)
{
    static char name[] = "cam";
    chunk_header_t chunk = {
        .key = { .stream = forge_number(self), .epoch = forge_number(self) },
        .base_index = forge_byte(self),
        .length = (uint32_t)buffer_size(payload),
        .kind = forge_byte(self) & 1 ? KIND_LIVE : KIND_RECORDED,
        .name = "cam",
        .payload_crc = checksum_crc32c(buffer_bytes(payload),
                                       buffer_size(payload)),
    };
    chunk.key.block = forge_byte(self);
    chunk.code.k = (uint8_t)(1 + forge_byte(self) % 4);
    chunk.code.m = forge_byte(self) % 3;
    unsigned slots = chunk.code.k + chunk.code.m;
    chunk.key.slot = forge_byte(self) % slots;
    chunk.width = (uint16_t)(slots + forge_byte(self) % 2);
    chunk.base_offset = forge_byte(self) * (uint64_t)100;
    chunk.offset = chunk.base_offset + forge_byte(self) * (uint64_t)100;
    chunk.settled = forge_byte(self);
    chunk.created_us = chunk.block_us = forge_byte(self) * (micros_t)1000000;
    message_from_chunk(&chunk, to);
    to->header.name = name;
}

//  Where a body keeps the header of its chunk, or NULL.
static Rill__V1__ChunkHeader **
chunk_in(const message_t *message)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_STORE:
        return &message->store->chunk;
    case RILL__V1__MESSAGE__BODY_FETCHED:
        return &message->fetched->chunk;
    case RILL__V1__MESSAGE__BODY_ANSWER:
        return &message->answer->chunk;
    default:
        return NULL;
    }
}

message_t *
forge_message(forge_t *self, const int *kinds, size_t kinds_count,
              buffer_t **payload_r)
{
    arena_t arena = { .forge = self };
    const ProtobufCFieldDescriptor *field =
        kinds_count ? body_of(kinds[forge_byte(self) % kinds_count])
                    : any_body(self);
    message_t made = RILL__V1__MESSAGE__INIT;
    made.version = WIRE_VERSION;
    made.request = forge_number(self);
    made.body_case = (Rill__V1__Message__BodyCase)field->id;
    void *body = fill(&arena, field->descriptor, 0);
    memcpy((uint8_t *)&made + field->offset, &body, sizeof(body));
    *payload_r = NULL;
    if (message_has_payload(&made)) {
        size_t size = forge_byte(self) * (size_t)8;
        *payload_r = buffer_new(size);
        memset(buffer_fill(*payload_r), forge_byte(self), size);
    }
    chunk_on_wire_t chunk;
    if (chunk_in(&made) && forge_byte(self) % 8) {
        fill_chunk(self, &chunk, *payload_r);
        *chunk_in(&made) = &chunk.header;
    }
    message_t *message = NULL;
    buffer_t *packed = message_pack(&made);
    if (packed)
        message_unpack(buffer_bytes(packed), buffer_size(packed), &message);
    buffer_unref(&packed);
    if (!message)
        buffer_unref(payload_r);
    for (size_t i = 0; i < arena.count; i++)
        free(arena.blocks[i]);
    free(arena.blocks);
    return message;
}

//  Numbers of the body itself and of what is directly in it.
static void
learn_fields(forge_t *self, const ProtobufCMessage *message, int depth)
{
    const ProtobufCMessageDescriptor *kind = message->descriptor;
    const uint8_t *bytes = (const uint8_t *)message;
    for (unsigned i = 0; i < kind->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &kind->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED ||
            field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            continue;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            const ProtobufCMessage *inner;
            memcpy(&inner, bytes + field->offset, sizeof(inner));
            if (inner && depth < DEEP)
                learn_fields(self, inner, depth + 1);
        } else if (width(field) == 8) {
            uint64_t number;
            memcpy(&number, bytes + field->offset, sizeof(number));
            forge_learn(self, number);
        }
    }
}

void
forge_learn_all(forge_t *self, const message_t *message)
{
    const ProtobufCFieldDescriptor *field = body_of((int)message->body_case);
    const ProtobufCMessage *body;
    memcpy(&body, (const uint8_t *)message + field->offset, sizeof(body));
    learn_fields(self, body, 0);
}
