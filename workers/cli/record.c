#include "record.h"

#include <string.h>

#include "bounds.h"
#include "checksum.h"
#include "invariant.h"

enum { VARINT_MOST = 3 };  //  Up to 2 MiB - 1

static size_t
put_varint(uint8_t *to, size_t value)
{
    size_t used = 0;
    for (; value >= 0x80; value >>= 7)
        to[used++] = (uint8_t)(value | 0x80);
    to[used++] = (uint8_t)value;
    return used;
}

//  Put a record's length before it.
static buffer_t *
enclose(const Rill__V1__Recorded *recorded)
{
    uint8_t length[VARINT_MOST];
    size_t size = rill__v1__recorded__get_packed_size(recorded);
    INVARIANT(size + VARINT_MOST <= RECORD_MOST_BYTES);
    size_t before = put_varint(length, size);
    buffer_t *buffer = buffer_new(before + size);
    memcpy(buffer_fill(buffer), length, before);
    rill__v1__recorded__pack(recorded, buffer_fill(buffer) + before);
    return buffer;
}

//  Pack `message` and enclose it as one of the two.
static buffer_t *
write(const ProtobufCMessage *message, bool is_event)
{
    Rill__V1__Recorded recorded = RILL__V1__RECORDED__INIT;
    buffer_t *packed = buffer_new(protobuf_c_message_get_packed_size(message));
    ProtobufCBinaryData bytes = { buffer_size(packed), buffer_fill(packed) };
    protobuf_c_message_pack(message, bytes.data);
    recorded.crc = checksum_crc32c(bytes.data, bytes.len);
    if (is_event)
        recorded.event = bytes;
    else
        recorded.lost = bytes;
    buffer_t *whole = enclose(&recorded);
    buffer_unref(&packed);
    return whole;
}

buffer_t *
record_of_event(const event_t *event)
{
    return write(&event->base, true);
}

buffer_t *
record_of_loss(const lost_t *lost)
{
    return write(&lost->base, false);
}

//  The length that stands here. 0: not all of it; a length of 0 or of too much
//  is wrong.
static record_state_t
take_length(const uint8_t *bytes, size_t size, size_t *at_r, size_t *length_r)
{
    *length_r = 0;
    for (size_t i = 0; i < VARINT_MOST; i++) {
        if (i == size)
            return RECORD_SHORT;
        *length_r |= (size_t)(bytes[i] & 0x7f) << (7 * i);
        if (bytes[i] < 0x80) {
            *at_r = i + 1;
            return *length_r && *length_r <= RECORD_MOST_BYTES - VARINT_MOST
                       ? RECORD_READ
                       : RECORD_WRONG;
        }
    }
    return RECORD_WRONG;
}

static bool
unpack(const Rill__V1__Recorded *from, recorded_t *to)
{
    bool is_event = from->event.len > 0;
    const ProtobufCBinaryData *bytes = is_event ? &from->event : &from->lost;
    if (is_event == (from->lost.len > 0) || from->base.n_unknown_fields ||
        bytes->len > LIMIT_HEAD_BYTES ||
        checksum_crc32c(bytes->data, bytes->len) != from->crc)
        return false;
    if (is_event)
        to->event = events_unpack(bytes->data, bytes->len);
    else
        to->lost = rill__v1__lost__unpack(NULL, bytes->len, bytes->data);
    return to->event || to->lost;
}

record_state_t
record_read(const void *bytes, size_t size, recorded_t *recorded_r)
{
    size_t at = 0, length;
    recorded_t recorded = { 0 };
    record_state_t state = take_length(bytes, size, &at, &length);
    if (state != RECORD_READ)
        return state;
    if (size - at < length)
        return RECORD_SHORT;
    Rill__V1__Recorded *read = rill__v1__recorded__unpack(
        NULL, length, (const uint8_t *)bytes + at);
    if (!read)
        return RECORD_WRONG;
    bool is_right = unpack(read, &recorded);
    rill__v1__recorded__free_unpacked(read, NULL);
    if (!is_right)
        return RECORD_WRONG;
    recorded.used = at + length;
    *recorded_r = recorded;
    return RECORD_READ;
}

void
record_free(recorded_t *recorded)
{
    events_free(&recorded->event);
    if (recorded->lost)
        rill__v1__lost__free_unpacked(recorded->lost, NULL);
    *recorded = (recorded_t){ 0 };
}
