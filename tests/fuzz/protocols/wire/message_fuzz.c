//  What comes off the bus: a head that unpacks can be packed and unpacked again
//  (unless protobuf-c kept an unknown field that it does not read back), and a
//  chunk header in it keeps its bounds or is refused.
#include "invariant.h"
#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
try_chunk(const Rill__V1__ChunkHeader *header)
{
    chunk_header_t chunk;
    if (message_to_chunk(header, &chunk) != STATUS_OK)
        return;
    uint8_t fixed[CHUNK_HEADER_BYTES];
    chunk_header_pack(&chunk, fixed);
    chunk_header_t again;
    INVARIANT(chunk_header_unpack(fixed, &again) == STATUS_OK);
    INVARIANT(chunk_key_compare(&chunk.key, &again.key) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    message_t *message = NULL;
    uint64_t request;
    if (message_unpack_request(bytes, size, &message, &request) != STATUS_OK)
        return 0;
    INVARIANT(message->request == request && message_kind(message)[0]);
    if (message->body_case == RILL__V1__MESSAGE__BODY_STORE)
        try_chunk(message->store->chunk);
    if (message->body_case == RILL__V1__MESSAGE__BODY_ANSWER)
        try_chunk(message->answer->chunk);
    if (message->body_case == RILL__V1__MESSAGE__BODY_FETCHED)
        try_chunk(message->fetched->chunk);
    buffer_t *packed = message_pack(message);
    if (packed) {
        message_t *again = NULL;
        if (message_unpack(buffer_bytes(packed), buffer_size(packed), &again) ==
            STATUS_OK)
            INVARIANT(again->body_case == message->body_case);
        message_free(&again);
        buffer_unref(&packed);
    }
    message_free(&message);
    return 0;
}
