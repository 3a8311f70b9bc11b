//  The bytes of tests/wire are version 1: one file for each body (and for each
//  way of saying it, where a body has several) with every field set, for each
//  event and the sample of a tap, and the fixed header. Other languages read
//  them too.
//
//  After a field or body was added:  golden_test --write  writes them anew;
//  what else `git diff` then shows is a breach of the rule in WIRE.md.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "rill/v1/event.pb-c.h"

#include "proof.h"

#define FOLDER "tests/wire/"
#define SAID_MOST 4096

static const chunk_header_t HEADER = {
    .key = { .stream = 0x0102030405060708,
             .epoch = (3ull << 32) + 2,
             .block = 21,
             .slot = 2 },
    .code = { .k = 4, .m = 2 },
    .base_index = 400,
    .base_offset = 100000000,
    .offset = 122544128,
    .length = 262144,
    .created_us = 1767225600123456,
    .block_us = 1767225600000000,
    .writer = 0xf1f2f3f4f5f6f7f8,
    .flags = CHUNK_NEW_WRITER,
    .settled = 480,
    .watermark = 122282984,
    .width = 6,
    .position = 5,
    .start = 77,
    .kind = KIND_LIVE,
    .retention = 9,
    .asked = { .k = 8, .m = 3 },
    .name = "gate.cam-1",
    .marks_count = 2,
    .marks = { { .offset = 122544504, .media_us = -40000, .kind = 1 },
               { .offset = 122600000, .media_us = 960000, .kind = 200 } },
    .payload_crc = 0xe3069283,
};

//  A message with every field set by its number; of alternatives the one of
//  number `choice`, or the last.
static ProtobufCMessage *example(const ProtobufCMessageDescriptor *of,
                                 unsigned choice);

static ProtobufCMessage *
header_example(void)
{
    chunk_on_wire_t wire;
    message_from_chunk(&HEADER, &wire);
    uint8_t bytes[SAID_MOST];
    size_t size = rill__v1__chunk_header__pack(&wire.header, bytes);
    return (ProtobufCMessage *)rill__v1__chunk_header__unpack(NULL, size,
                                                              bytes);
}

static void
set_word(const ProtobufCFieldDescriptor *field, void *at)
{
    const ProtobufCEnumDescriptor *words = field->descriptor;
    int value = words->values[words->n_values - 1].value;
    memcpy(at, &value, sizeof(value));
}

static void
set_bytes(void *at)
{
    static const uint8_t some[] = { 0, 1, 2, 255 };
    ProtobufCBinaryData *value = at;
    value->len = sizeof(some);
    value->data = malloc(sizeof(some));
    memcpy(value->data, some, sizeof(some));
}

//  One value at `at`; `nth` of a repeated field. Returns its size.
static size_t
set(const ProtobufCFieldDescriptor *field, void *at, unsigned nth)
{
    //  Long on the bus, different for each field, odd in every byte.
    uint64_t number = 0x8182838485868700 + field->id * 2 + nth;
    uint32_t small = 0x81828300 + field->id * 2 + nth;
    double real = field->id + 0.25;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = 1;
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        set_word(field, at);
        return sizeof(int);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        memcpy(at, &small, sizeof(small));
        return sizeof(small);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SINT64:
        memcpy(at, &number, sizeof(number));
        return sizeof(number);
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(at, &real, sizeof(real));
        return sizeof(real);
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = strdup(field->name);
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES:
        set_bytes(at);
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = example(field->descriptor, 0);
        return sizeof(ProtobufCMessage *);
    default:
        CHECK(!"a type that no message of ours had so far");
    }
}

static void
set_two(const ProtobufCFieldDescriptor *field, ProtobufCMessage *message)
{
    //  As large as the largest value there is, twice.
    char *list = calloc(2, sizeof(ProtobufCBinaryData));
    size_t size = set(field, list, 0);
    set(field, list + size, 1);
    size_t count = 2;
    memcpy((char *)message + field->quantifier_offset, &count, sizeof(count));
    memcpy((char *)message + field->offset, &list, sizeof(list));
}

//  Whether `field` is what its oneof says in an example of `choice`.
static bool
chosen(const ProtobufCMessageDescriptor *of,
       const ProtobufCFieldDescriptor *field, unsigned choice)
{
    unsigned before = 0, behind = 0;
    for (unsigned i = 0; i < of->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &of->fields[i];
        if (!(other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
            other->quantifier_offset != field->quantifier_offset)
            continue;
        before += other->id < field->id;
        behind += other->id > field->id;
    }
    return before == choice || (before < choice && behind == 0);
}

static ProtobufCMessage *
example(const ProtobufCMessageDescriptor *of, unsigned choice)
{
    if (of == &rill__v1__chunk_header__descriptor)
        return header_example();
    ProtobufCMessage *message = calloc(1, of->sizeof_message);
    protobuf_c_message_init(of, message);
    for (unsigned i = 0; i < of->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &of->fields[i];
        char *at = (char *)message + field->offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            set_two(field, message);
        } else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
            set(field, at, 0);
        } else if (chosen(of, field, choice)) {
            memcpy((char *)message + field->quantifier_offset, &field->id,
                   sizeof(uint32_t));
            set(field, at, 0);
        }
    }
    return message;
}

//  How many ways a body has of saying it.
static unsigned
ways(const ProtobufCMessageDescriptor *of)
{
    unsigned alternatives = 0;
    for (unsigned i = 0; i < of->n_fields; i++)
        alternatives += (of->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) !=
                        0;
    return alternatives ? alternatives : 1;
}

//  The bytes of one message, whole.
static size_t
say(const ProtobufCFieldDescriptor *body, unsigned way, uint8_t *bytes)
{
    message_t message = RILL__V1__MESSAGE__INIT;
    message.version = WIRE_VERSION;
    message.request = 0x1122334455667788;
    message.trace = 0x99aabbccddeeff00;
    message.body_case = (Rill__V1__Message__BodyCase)body->id;
    ProtobufCMessage *said = example(body->descriptor, way);
    message.refused = (Rill__V1__Refused *)said;  //  All bodies share a place
    buffer_t *head = message_pack(&message);
    CHECK(head && buffer_size(head) <= SAID_MOST);
    size_t size = buffer_size(head);
    memcpy(bytes, buffer_bytes(head), size);
    buffer_unref(&head);
    protobuf_c_message_free_unpacked(said, NULL);
    return size;
}

//  BODY.bin; another way of it is named after what it says instead.
static void
path_of(const ProtobufCFieldDescriptor *body, unsigned way, char path_r[200])
{
    const ProtobufCMessageDescriptor *of = body->descriptor;
    snprintf(path_r, 200, FOLDER "%s.bin", body->name);
    for (unsigned i = 0; way > 0 && i < of->n_fields; i++)
        if (of->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
            chosen(of, &of->fields[i], way))
            snprintf(path_r, 200, FOLDER "%s-%s.bin", body->name,
                     of->fields[i].name);
}

static bool
equals_file(const char *path, const uint8_t *bytes, size_t size)
{
    uint8_t file[SAID_MOST];
    FILE *in = fopen(path, "rb");
    size_t read = in ? fread(file, 1, sizeof(file), in) : 0;
    if (in)
        fclose(in);
    bool equal = in && read == size && memcmp(file, bytes, size) == 0;
    if (!equal)
        printf("# %s: %s\n", path, in ? "other bytes" : "not there");
    return equal;
}

static void
write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(bytes, 1, size, out) != size || fclose(out) != 0) {
        perror(path);
        exit(1);
    }
}

typedef bool visit_fn(const char *path, const uint8_t *bytes, size_t size);

//  Visit what goes without an envelope: BODY.bin, or BODY-WHAT.bin of the
//  alternative of number `choice`.
static bool
visit_bare(visit_fn *visit, const ProtobufCMessageDescriptor *of,
           const char *body, unsigned choice)
{
    char path[200];
    uint8_t bytes[SAID_MOST];
    snprintf(path, sizeof path, FOLDER "%s.bin", body);
    for (unsigned i = 0; i < of->n_fields; i++)
        if (of->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
            chosen(of, &of->fields[i], choice))
            snprintf(path, sizeof path, FOLDER "%s-%s.bin", body,
                     of->fields[i].name);
    ProtobufCMessage *said = example(of, choice);
    CHECK(protobuf_c_message_get_packed_size(said) <= SAID_MOST);
    size_t size = protobuf_c_message_pack(said, bytes);
    protobuf_c_message_free_unpacked(said, NULL);
    return visit(path, bytes, size);
}

//  Visit every event and the sample.
static bool
visit_tap(visit_fn *visit)
{
    const ProtobufCMessageDescriptor *event = &rill__v1__event__descriptor;
    bool all = visit_bare(visit, &rill__v1__sample__descriptor, "sample", 0);
    for (unsigned choice = 0; choice < ways(event); choice++)
        all = visit_bare(visit, event, "event", choice) && all;
    return all;
}

//  Visit every body in every way.
static bool
visit_bodies(visit_fn *visit)
{
    bool all = true;
    const ProtobufCMessageDescriptor *bodies = &rill__v1__message__descriptor;
    for (unsigned i = 0; i < bodies->n_fields; i++) {
        const ProtobufCFieldDescriptor *body = &bodies->fields[i];
        if (!(body->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
            continue;
        for (unsigned way = 0; way < ways(body->descriptor); way++) {
            char path[200];
            uint8_t bytes[SAID_MOST];
            size_t size = say(body, way, bytes);
            path_of(body, way, path);
            all = visit(path, bytes, size) && all;
        }
    }
    return all;
}

static void
every_message_is_said_in_the_bytes_it_always_had(void)
{
    CHECK(visit_bodies(equals_file));
    CHECK(visit_tap(equals_file));
}

//  It unpacks, nothing in it is unknown, and it packs to the same bytes.
static bool
understood(const char *path, const uint8_t *bytes, size_t size)
{
    message_t *heard = NULL;
    if (message_unpack(bytes, size, &heard) != STATUS_OK) {
        printf("# %s: not unpacked\n", path);
        return false;
    }
    buffer_t *again = message_pack(heard);
    bool same = heard->base.n_unknown_fields == 0 && again &&
                buffer_size(again) == size &&
                memcmp(buffer_bytes(again), bytes, size) == 0;
    buffer_unref(&again);
    message_free(&heard);
    return same;
}

static void
every_message_is_understood_and_packs_to_the_same_bytes(void)
{
    CHECK(visit_bodies(understood));
}

//  The same of what goes without an envelope.
static bool
understood_bare(const char *path, const uint8_t *bytes, size_t size)
{
    uint8_t again[SAID_MOST];
    ProtobufCMessage *heard = protobuf_c_message_unpack(
        strstr(path, "/event") ? &rill__v1__event__descriptor
                               : &rill__v1__sample__descriptor,
        NULL, size, bytes);
    bool same = heard && heard->n_unknown_fields == 0 &&
                protobuf_c_message_get_packed_size(heard) == size &&
                protobuf_c_message_pack(heard, again) == size &&
                memcmp(again, bytes, size) == 0;
    if (heard)
        protobuf_c_message_free_unpacked(heard, NULL);
    return same;
}

static void
every_event_is_understood_and_packs_to_the_same_bytes(void)
{
    CHECK(visit_tap(understood_bare));
}

static void
the_fixed_header_lies_as_it_always_did(void)
{
    uint8_t form[CHUNK_HEADER_BYTES];
    chunk_header_pack(&HEADER, form);
    CHECK(equals_file(FOLDER "chunk_header.bin", form, sizeof(form)));
}

static void
the_header_on_the_bus_is_the_one_that_lies_on_disk(void)
{
    uint8_t bytes[SAID_MOST], form[CHUNK_HEADER_BYTES];
    FILE *in = fopen(FOLDER "store.bin", "rb");
    CHECK(in);
    size_t size = fread(bytes, 1, sizeof(bytes), in);
    fclose(in);
    message_t *heard = NULL;
    chunk_header_t header;
    CHECK(message_unpack(bytes, size, &heard) == STATUS_OK);
    CHECK(message_to_chunk(heard->store->chunk, &header) == STATUS_OK);
    message_free(&heard);
    chunk_header_pack(&header, form);
    CHECK(equals_file(FOLDER "chunk_header.bin", form, sizeof(form)));
}

static bool
write_one(const char *path, const uint8_t *bytes, size_t size)
{
    write_file(path, bytes, size);
    return true;
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        uint8_t form[CHUNK_HEADER_BYTES];
        chunk_header_pack(&HEADER, form);
        write_file(FOLDER "chunk_header.bin", form, sizeof(form));
        return !visit_bodies(write_one) || !visit_tap(write_one);
    }
    CASE(every_message_is_said_in_the_bytes_it_always_had,
         "every message is said in the bytes it always had");
    CASE(every_message_is_understood_and_packs_to_the_same_bytes,
         "message 2: every message is understood and packs to the same bytes");
    CASE(every_event_is_understood_and_packs_to_the_same_bytes,
         "every event and sample is understood and packs to the same bytes");
    CASE(the_fixed_header_lies_as_it_always_did,
         "chunk 1: the fixed header lies as it always did");
    CASE(the_header_on_the_bus_is_the_one_that_lies_on_disk,
         "chunk 1: the header on the bus is the one that lies on disk");
    return proof_end();
}
