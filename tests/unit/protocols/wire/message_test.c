#include "message.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

static chunk_header_t
sample(void)
{
    chunk_header_t header = {
        .key = { .stream = 77, .epoch = 1ull << 32, .block = 5, .slot = 1 },
        .code = { .k = 2, .m = 1 },
        .base_index = 10,
        .base_offset = 1000,
        .offset = 2000,
        .length = 500,
        .created_us = -5,
        .block_us = -6,
        .writer = 99,
        .flags = CHUNK_END,
        .settled = 18,
        .watermark = 1900,
        .width = 4,
        .position = 3,
        .start = 1234567,
        .kind = KIND_RECORDED,
        .retention = 255,
        .asked = { .k = 2, .m = 2 },
        .name = "clip.ts",
        .marks_count = LIMIT_MARKS,
        .payload_crc = 0xdeadbeef,
    };
    for (int i = 0; i < LIMIT_MARKS; i++)
        header.marks[i] = (mark_t){ .offset = 2000u + i,
                                    .media_us = -i,
                                    .kind = 200 };
    return header;
}

//  A body's bytes as a message of this version with nothing else around.
static buffer_t *
packed(message_t *message)
{
    buffer_t *head = message_pack(message);
    CHECK(head);
    return head;
}

static status_t
unpacked(const buffer_t *head, message_t **message_r)
{
    return message_unpack(buffer_bytes(head), buffer_size(head), message_r);
}

static void
a_message_comes_back_as_it_was_packed(void)
{
    Rill__V1__Open open = RILL__V1__OPEN__INIT;
    open.name = message_lend("gate");
    open.token = UINT64_MAX;
    message_t said = MESSAGE(OPEN, open, &open, 11, 12);
    buffer_t *head = packed(&said);
    message_t *heard = NULL;
    CHECK(unpacked(head, &heard) == STATUS_OK);
    CHECK(heard->request == 11 && heard->trace == 12);
    CHECK(strcmp(message_kind(heard), "open") == 0);
    CHECK(strcmp(heard->open->name, "gate") == 0);
    CHECK(heard->open->token == UINT64_MAX && !heard->open->protection);
    message_free(&heard);
    CHECK(!heard);
    message_free(&heard);
    buffer_unref(&head);
}

static void
another_version_is_refused_with_its_request_told(void)
{
    Rill__V1__SourceKeep keep = RILL__V1__SOURCE_KEEP__INIT;
    message_t said = MESSAGE(SOURCE_KEEP, source_keep, &keep, 5, 0);
    said.version = WIRE_VERSION + 1;
    buffer_t *head = packed(&said);
    message_t *heard = NULL;
    uint64_t request = 0;
    CHECK(message_unpack_request(buffer_bytes(head), buffer_size(head), &heard,
                                 &request) == STATUS_VERSION);
    CHECK(!heard && request == 5);
    buffer_unref(&head);
}

static void
a_refusal_that_says_ok_is_no_message(void)
{
    Rill__V1__Refused body = RILL__V1__REFUSED__INIT;
    message_t said = MESSAGE(REFUSED, refused, &body, 5, 0);
    buffer_t *head = packed(&said);
    message_t *heard = NULL;
    uint64_t request = 0;
    CHECK(message_unpack_request(buffer_bytes(head), buffer_size(head), &heard,
                                 &request) == STATUS_MALFORMED);
    CHECK(!heard && request == 5);
    buffer_unref(&head);
}

static void
a_body_this_version_does_not_know_is_refused(void)
{
    //  version 1, request 9, then field 200 as an empty message
    static const uint8_t head[] = { 8, 1, 0x11, 9, 0,    0,    0,
                                    0, 0, 0,    0, 0xc2, 0x0c, 0 };
    message_t *heard = NULL;
    uint64_t request = 0;
    CHECK(message_unpack_request(head, sizeof(head), &heard, &request) ==
          STATUS_KIND);
    CHECK(!heard && request == 9);
    CHECK(message_unpack(head, 2, &heard) == STATUS_KIND);
    CHECK(message_unpack(head, 0, &heard) == STATUS_VERSION);
}

static void
what_is_no_message_is_refused(void)
{
    static const char *const wrong[] = { "x", "\x08", "\x12\xff\xff\xff\xff",
                                         "\xa2\x01\x05"
                                         "ab",
                                         "\x0f\x0f" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        message_t *heard = NULL;
        CHECK(message_unpack(wrong[i], strlen(wrong[i]), &heard) ==
              STATUS_MALFORMED);
        CHECK(!heard);
    }
}

static void
a_head_cut_short_anywhere_is_refused(void)
{
    Rill__V1__Finish finish = RILL__V1__FINISH__INIT;
    finish.session = 1;
    finish.offset = 300;
    message_t said = MESSAGE(FINISH, finish, &finish, 1, 1);
    buffer_t *head = packed(&said);
    for (size_t size = 0; size < buffer_size(head); size++) {
        message_t *heard = NULL;
        CHECK(message_unpack(buffer_bytes(head), size, &heard) != STATUS_OK);
        CHECK(!heard);
    }
    buffer_unref(&head);
}

//  Bytes held from malloc now; under a sanitizer always 0.
static size_t
taken(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

//  Refused for its size in memory, of which nothing is kept.
static void
refused_cheaply(uint8_t *head, size_t size)
{
    message_t *heard = NULL;
    size_t before = taken();
    CHECK(message_unpack(head, size, &heard) == STATUS_TOO_LARGE);
    CHECK(!heard && taken() <= before + 4096);
}

static void
a_megabyte_of_unknown_fields_takes_no_memory(void)
{
    size_t size = 1024 * 1024;
    uint8_t *head = malloc(size);
    for (size_t i = 0; i < size; i += 2)
        memcpy(head + i, "\x78\x01", 2);  //  Field 15, which nobody has
    refused_cheaply(head, size);
    refused_cheaply(head, LIMIT_HEAD_BYTES);
    free(head);
}

static void
empty_parts_without_number_end_at_the_share_of_memory(void)
{
    //  A Listing of 6000 empty streams: 2 bytes each on the bus, 200 in
    //  memory, and no single piece of that is large.
    enum { STREAMS = 6000 };
    static uint8_t head[6 + 2 * STREAMS];
    memcpy(head, "\x08\x01\xda\x02", 4);
    head[4] = (uint8_t)(2 * STREAMS | 0x80);
    head[5] = (uint8_t)(2 * STREAMS >> 7);
    for (size_t i = 6; i < sizeof(head); i += 2)
        memcpy(head + i, "\x0a\x00", 2);
    refused_cheaply(head, sizeof(head));
}

static void
a_head_over_its_limit_is_not_packed(void)
{
    char *text = malloc(LIMIT_HEAD_BYTES + 1);
    memset(text, 't', LIMIT_HEAD_BYTES);
    text[LIMIT_HEAD_BYTES] = 0;
    Rill__V1__Refused refused = message_refusal(STATUS_BUSY, text, 0);
    message_t said = MESSAGE(REFUSED, refused, &refused, 0, 0);
    CHECK(!message_pack(&said));
    text[LIMIT_HEAD_BYTES - 100] = 0;
    buffer_t *head = packed(&said);
    message_t *heard = NULL;
    CHECK(unpacked(head, &heard) == STATUS_OK);
    message_free(&heard);
    buffer_unref(&head);
    free(text);
}

//  `said` as it comes out at the other end of the bus, in a Fetched.
static message_t *
across(chunk_on_wire_t *said)
{
    Rill__V1__Fetched fetched = RILL__V1__FETCHED__INIT;
    fetched.chunk = &said->header;
    message_t message = MESSAGE(FETCHED, fetched, &fetched, 0, 0);
    buffer_t *head = packed(&message);
    message_t *heard = NULL;
    CHECK(unpacked(head, &heard) == STATUS_OK);
    buffer_unref(&head);
    return heard;
}

static void
a_chunk_header_crosses_the_bus_unchanged(void)
{
    chunk_header_t header = sample(), back;
    uint8_t form[CHUNK_HEADER_BYTES], again[CHUNK_HEADER_BYTES];
    chunk_on_wire_t on_wire;
    message_from_chunk(&header, &on_wire);
    message_t *heard = across(&on_wire);
    CHECK(message_to_chunk(heard->fetched->chunk, &back) == STATUS_OK);
    chunk_header_pack(&header, form);
    chunk_header_pack(&back, again);
    CHECK(memcmp(form, again, sizeof(form)) == 0);
    message_free(&heard);
}

#define CHANGED(change, answer)                                                \
    do {                                                                       \
        chunk_header_t header = sample(), back;                                \
        chunk_on_wire_t wire;                                                  \
        message_from_chunk(&header, &wire);                                    \
        CHECK(message_to_chunk(&wire.header, &back) == STATUS_OK);             \
        change;                                                                \
        CHECK(message_to_chunk(&wire.header, &back) == (answer));              \
    } while (0)

static void
a_changed_chunk_header_is_found_out(void)
{
    CHANGED(wire.header.stream ^= 1, STATUS_CORRUPT);
    CHANGED(wire.header.created_us++, STATUS_CORRUPT);
    CHANGED(wire.header.flags = 0, STATUS_CORRUPT);
    CHANGED(wire.header.payload_crc ^= 1, STATUS_CORRUPT);
    CHANGED(wire.header.header_crc ^= 1, STATUS_CORRUPT);
    CHANGED(wire.header.asked = NULL, STATUS_CORRUPT);
    CHANGED(wire.header.n_marks--, STATUS_CORRUPT);
    CHANGED(wire.marks[9].kind = 1, STATUS_CORRUPT);
    CHANGED(wire.header.name = message_lend("other"), STATUS_CORRUPT);
}

static void
a_chunk_header_that_does_not_fit_is_refused(void)
{
    char long_name[LIMIT_NAME_BYTES + 2];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[LIMIT_NAME_BYTES + 1] = 0;
    CHANGED(wire.header.name = long_name, STATUS_NAME);
    CHANGED(wire.header.name = message_lend(""), STATUS_NAME);
    CHANGED(wire.header.flags += 65536, STATUS_ARGUMENT);
    CHANGED(wire.header.width += 65536, STATUS_ARGUMENT);
    CHANGED(wire.header.position += 65536, STATUS_ARGUMENT);
    CHANGED(wire.header.k += 256, STATUS_ARGUMENT);
    CHANGED(wire.header.m += 256, STATUS_ARGUMENT);
    CHANGED(wire.header.retention += 256, STATUS_ARGUMENT);
    CHANGED(wire.asked.k += 256, STATUS_ARGUMENT);
    CHANGED(wire.marks[3].kind += 256, STATUS_ARGUMENT);
    CHANGED(wire.header.n_marks++, STATUS_ARGUMENT);
    CHANGED(wire.header.kind = (Rill__V1__Kind)257, STATUS_ARGUMENT);
    CHANGED(wire.header.kind = (Rill__V1__Kind)-1, STATUS_ARGUMENT);
    CHANGED(wire.header.slot = 3, STATUS_ARGUMENT);
    CHANGED(wire.header.slot = UINT32_MAX, STATUS_ARGUMENT);
    chunk_header_t back;
    CHECK(message_to_chunk(NULL, &back) == STATUS_ARGUMENT);
}

static void
a_refusal_says_what_to_do_and_where_to_go_on(void)
{
    Rill__V1__Refused refused = message_refusal(STATUS_OFFSET, NULL, 4096);
    CHECK(refused.status == RILL__V1__STATUS__STATUS_OFFSET);
    CHECK(refused.retry == RILL__V1__RETRY__RETRY_REOPEN);
    CHECK(refused.offset == 4096);
    CHECK(strcmp(refused.text, status_text(STATUS_OFFSET)) == 0);
    refused = message_refusal(STATUS_BUSY, "the lot", 0);
    CHECK(strcmp(refused.text, "the lot") == 0);
}

static void
the_words_of_the_wire_are_those_of_the_list(void)
{
    const ProtobufCEnumDescriptor *words = &rill__v1__status__descriptor;
    unsigned listed = 1;  //  STATUS_OK
    while (status_nth((int)listed) != STATUS_OK)
        listed++;
    CHECK(words->n_values == listed);
    for (unsigned i = 0; i < words->n_values; i++) {
        Rill__V1__Status word = (Rill__V1__Status)words->values[i].value;
        CHECK(status_listed((int)word));
        CHECK((int)message_status(word) == (int)word);
    }
    CHECK(message_status((Rill__V1__Status)9999) == STATUS_MALFORMED);
    CHECK(message_status((Rill__V1__Status)-1) == STATUS_MALFORMED);
}

static void
five_bodies_have_payload(void)
{
    unsigned with = 0, bodies = 0;
    for (unsigned kind = 10; kind < 200; kind++) {
        message_t message = RILL__V1__MESSAGE__INIT;
        message.body_case = (Rill__V1__Message__BodyCase)kind;
        bodies += strcmp(message_kind(&message), "nothing") != 0;
        with += message_has_payload(&message);
    }
    CHECK(with == 5);
    CHECK(bodies == rill__v1__message__descriptor.n_fields - 3);
}

static void
a_key_crosses_the_bus_unchanged(void)
{
    chunk_key_t key = { UINT64_MAX, 1ull << 40, 3, 31 };
    Rill__V1__ChunkKey on_wire = message_from_key(key);
    chunk_key_t back = message_to_key(&on_wire);
    CHECK(chunk_key_compare(&key, &back) == 0);
}

int
main(void)
{
    CASE(a_message_comes_back_as_it_was_packed,
         "a message comes back as it was packed");
    CASE(another_version_is_refused_with_its_request_told,
         "message 2: another version is refused, its request told");
    CASE(a_refusal_that_says_ok_is_no_message,
         "a refusal that says OK is no message");
    CASE(a_body_this_version_does_not_know_is_refused,
         "message 2: a body this version does not know is refused");
    CASE(what_is_no_message_is_refused, "what is no message is refused");
    CASE(a_head_cut_short_anywhere_is_refused,
         "message 2: a head cut short anywhere is refused");
    CASE(a_megabyte_of_unknown_fields_takes_no_memory,
         "message 1, invariant 18: unknown fields take no memory");
    CASE(empty_parts_without_number_end_at_the_share_of_memory,
         "message 1, invariant 18: empty parts end at the share of memory");
    CASE(a_head_over_its_limit_is_not_packed,
         "a head over its limit is not packed");
    CASE(a_chunk_header_crosses_the_bus_unchanged,
         "chunk 1: a chunk header crosses the bus unchanged");
    CASE(a_changed_chunk_header_is_found_out,
         "chunk 2, invariant 9: a changed chunk header is found out");
    CASE(a_chunk_header_that_does_not_fit_is_refused,
         "chunk 2: a chunk header that does not fit is refused");
    CASE(a_refusal_says_what_to_do_and_where_to_go_on,
         "a refusal says what to do and where to go on");
    CASE(the_words_of_the_wire_are_those_of_the_list,
         "the statuses of the wire are those of the list");
    CASE(five_bodies_have_payload, "five bodies have payload");
    CASE(a_key_crosses_the_bus_unchanged, "a key crosses the bus unchanged");
    return proof_end();
}
