#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

//  What malloc keeps beside each piece; counted, or a hostile head of empty
//  submessages takes several times its share (message 1).
#define PIECE_OVERHEAD_BYTES 16

//  protobuf-c's memory while it unpacks one message.
typedef struct {
    size_t left;
    bool refused;
} share_t;

static void *
take_memory(void *share_, size_t size)
{
    share_t *share = share_;
    if (size > share->left || share->left - size < PIECE_OVERHEAD_BYTES) {
        share->refused = true;
        return NULL;
    }
    share->left -= size + PIECE_OVERHEAD_BYTES;
    return malloc(size);
}

static void
give_memory(void *share, void *memory)
{
    (void)share;
    free(memory);
}

size_t
message_size(const message_t *message)
{
    size_t size = rill__v1__message__get_packed_size(message);
    return size > LIMIT_HEAD_BYTES ? 0 : size;
}

void
message_pack_into(const message_t *message, uint8_t *bytes)
{
    rill__v1__message__pack(message, bytes);
}

buffer_t *
message_pack(const message_t *message)
{
    size_t size = message_size(message);
    if (size == 0)
        return NULL;
    buffer_t *packed = buffer_new(size);
    message_pack_into(message, buffer_fill(packed));
    return packed;
}

status_t
message_unpack_request(const void *bytes, size_t size, message_t **message_r,
                       uint64_t *request_r)
{
    *request_r = 0;
    if (size > LIMIT_HEAD_BYTES)
        return STATUS_TOO_LARGE;
    share_t share = { .left = LIMIT_UNPACK_BYTES };
    ProtobufCAllocator allocator = { .alloc = take_memory,
                                     .free = give_memory,
                                     .allocator_data = &share };
    message_t *message = rill__v1__message__unpack(&allocator, size, bytes);
    if (!message)
        return share.refused ? STATUS_TOO_LARGE : STATUS_MALFORMED;
    *request_r = message->request;
    status_t status = STATUS_OK;
    if (message->version != WIRE_VERSION)
        status = STATUS_VERSION;
    else if (message->body_case == RILL__V1__MESSAGE__BODY__NOT_SET)
        status = STATUS_KIND;
    else if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED &&
             message_status(message->refused->status) == STATUS_OK)
        status = STATUS_MALFORMED;
    if (status == STATUS_OK)
        *message_r = message;
    else
        message_free(&message);
    return status;
}

status_t
message_unpack(const void *bytes, size_t size, message_t **message_r)
{
    uint64_t request;
    return message_unpack_request(bytes, size, message_r, &request);
}

void
message_free(message_t **message_p)
{
    //  take_memory is malloc with a count: the count is over, free is enough.
    if (*message_p)
        rill__v1__message__free_unpacked(*message_p, NULL);
    *message_p = NULL;
}

const char *
message_kind(const message_t *message)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&rill__v1__message__descriptor,
                                                (unsigned)message->body_case);
    return field ? field->name : "nothing";
}

bool
message_has_payload(const message_t *message)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_PIECE:
    case RILL__V1__MESSAGE__BODY_ANSWER:
    case RILL__V1__MESSAGE__BODY_STORE:
    case RILL__V1__MESSAGE__BODY_FETCHED:
    case RILL__V1__MESSAGE__BODY_FLOW:
        return true;
    default:
        return false;
    }
}

char *
message_lend(const char *text)
{
    return (char *)(uintptr_t)text;
}

void
message_from_chunk(const chunk_header_t *from, chunk_on_wire_t *to)
{
    uint8_t form[CHUNK_HEADER_BYTES];
    to->asked = (Rill__V1__Protection)RILL__V1__PROTECTION__INIT;
    to->asked.k = from->asked.k;
    to->asked.m = from->asked.m;
    for (int i = 0; i < from->marks_count; i++) {
        to->marks[i] = (Rill__V1__Mark)RILL__V1__MARK__INIT;
        to->marks[i].offset = from->marks[i].offset;
        to->marks[i].media_us = from->marks[i].media_us;
        to->marks[i].kind = from->marks[i].kind;
        to->mark_list[i] = &to->marks[i];
    }
    to->header = (Rill__V1__ChunkHeader){
        PROTOBUF_C_MESSAGE_INIT(&rill__v1__chunk_header__descriptor),
        .stream = from->key.stream,
        .name = message_lend(from->name),
        .kind = (Rill__V1__Kind)from->kind,
        .retention = from->retention,
        .epoch = from->key.epoch,
        .block = from->key.block,
        .slot = from->key.slot,
        .k = from->code.k,
        .m = from->code.m,
        .base_index = from->base_index,
        .base_offset = from->base_offset,
        .offset = from->offset,
        .length = from->length,
        .created_us = from->created_us,
        .block_us = from->block_us,
        .writer = from->writer,
        .flags = from->flags,
        .settled = from->settled,
        .watermark = from->watermark,
        .width = from->width,
        .position = from->position,
        .start = from->start,
        .asked = &to->asked,
        .n_marks = from->marks_count,
        .marks = to->mark_list,
        .payload_crc = from->payload_crc,
        .header_crc = chunk_header_pack(from, form),
    };
}

//  Whether the fields fit the narrower places of chunk_header_t.
static bool
fits(const Rill__V1__ChunkHeader *from)
{
    if (from->n_marks > LIMIT_MARKS || from->flags > UINT16_MAX ||
        from->width > UINT16_MAX || from->position > UINT16_MAX ||
        from->retention > UINT8_MAX || from->k > UINT8_MAX ||
        from->m > UINT8_MAX || (unsigned)from->kind > UINT8_MAX)
        return false;
    if (from->asked &&
        (from->asked->k > UINT8_MAX || from->asked->m > UINT8_MAX))
        return false;
    for (size_t i = 0; i < from->n_marks; i++)
        if (from->marks[i]->kind > UINT8_MAX)
            return false;
    return true;
}

static void
take_fields(const Rill__V1__ChunkHeader *from, chunk_header_t *to)
{
    to->key.stream = from->stream;
    to->key.epoch = from->epoch;
    to->key.block = from->block;
    to->key.slot = from->slot;
    to->code.k = (uint8_t)from->k;
    to->code.m = (uint8_t)from->m;
    to->base_index = from->base_index;
    to->base_offset = from->base_offset;
    to->offset = from->offset;
    to->length = from->length;
    to->created_us = from->created_us;
    to->block_us = from->block_us;
    to->writer = from->writer;
    to->flags = (uint16_t)from->flags;
    to->settled = from->settled;
    to->watermark = from->watermark;
    to->width = (uint16_t)from->width;
    to->position = (uint16_t)from->position;
    to->start = from->start;
    to->kind = (uint8_t)from->kind;
    to->retention = (uint8_t)from->retention;
    if (from->asked) {
        to->asked.k = (uint8_t)from->asked->k;
        to->asked.m = (uint8_t)from->asked->m;
    }
    to->payload_crc = from->payload_crc;
    to->marks_count = (uint8_t)from->n_marks;
    for (size_t i = 0; i < from->n_marks; i++) {
        to->marks[i].offset = from->marks[i]->offset;
        to->marks[i].media_us = from->marks[i]->media_us;
        to->marks[i].kind = (uint8_t)from->marks[i]->kind;
    }
}

status_t
message_to_chunk(const Rill__V1__ChunkHeader *from, chunk_header_t *header_r)
{
    if (!from || !fits(from))
        return STATUS_ARGUMENT;
    size_t name_bytes = strnlen(from->name, LIMIT_NAME_BYTES + 1);
    if (name_bytes > LIMIT_NAME_BYTES)
        return STATUS_NAME;

    chunk_header_t header = { .flags = 0 };
    take_fields(from, &header);
    memcpy(header.name, from->name, name_bytes);
    status_t status = chunk_header_check(&header);
    if (status != STATUS_OK)
        return status;
    uint8_t form[CHUNK_HEADER_BYTES];
    if (chunk_header_pack(&header, form) != from->header_crc)
        return STATUS_CORRUPT;
    *header_r = header;
    return STATUS_OK;
}

Rill__V1__ChunkKey
message_from_key(chunk_key_t key)
{
    Rill__V1__ChunkKey on_wire = RILL__V1__CHUNK_KEY__INIT;
    on_wire.stream = key.stream;
    on_wire.epoch = key.epoch;
    on_wire.block = key.block;
    on_wire.slot = key.slot;
    return on_wire;
}

chunk_key_t
message_to_key(const Rill__V1__ChunkKey *key)
{
    INVARIANT(key);
    return (chunk_key_t){ .stream = key->stream,
                          .epoch = key->epoch,
                          .block = key->block,
                          .slot = key->slot };
}

Rill__V1__Refused
message_refusal(status_t status, const char *text, uint64_t offset)
{
    INVARIANT(status != STATUS_OK);
    Rill__V1__Refused refused = RILL__V1__REFUSED__INIT;
    refused.status = (Rill__V1__Status)status;
    refused.retry = (Rill__V1__Retry)status_retry(status);
    refused.text = message_lend(text ? text : status_text(status));
    refused.offset = offset;
    return refused;
}

status_t
message_status(Rill__V1__Status status)
{
    return status_listed((int)status) ? (status_t)status : STATUS_MALFORMED;
}
