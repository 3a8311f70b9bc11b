//  What lies on a disk: a fixed header that unpacks packs to the same bytes.
#include <string.h>

#include "checksum.h"
#include "chunk.h"
#include "endpoint.h"
#include "invariant.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

//  Where WIRE.md puts the header's own CRC.
enum { CRC_AT = 124 };

//  With the right CRC put in, so that the fields behind it are reached: the
//  bytes themselves, or where they are not 0 changes of a header that is right.
static void
try_fixed(const uint8_t *bytes, bool changes)
{
    uint8_t fixed[CHUNK_HEADER_BYTES], again[CHUNK_HEADER_BYTES];
    chunk_header_t right = { .code = { 4, 2 },
                             .length = 1000,
                             .width = 6,
                             .kind = KIND_LIVE,
                             .name = "cam" };
    chunk_header_pack(&right, fixed);
    for (size_t i = 0; i < sizeof fixed; i++)
        fixed[i] = changes ? fixed[i] ^ bytes[i] : bytes[i];
    memset(fixed + CRC_AT, 0, 4);
    uint32_t crc = checksum_crc32c(fixed, sizeof fixed);
    for (int i = 0; i < 4; i++)
        fixed[CRC_AT + i] = (uint8_t)(crc >> 8 * i);
    chunk_header_t header;
    if (chunk_header_unpack(fixed, &header) != STATUS_OK)
        return;
    INVARIANT(chunk_header_pack(&header, again) == crc);
    INVARIANT(memcmp(fixed, again, sizeof fixed) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size >= CHUNK_HEADER_BYTES) {
        try_fixed(bytes, false);
        try_fixed(bytes, true);
    }
    char text[300];
    size = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, bytes, size);
    text[size] = 0;
    char endpoint[ENDPOINT_BYTES], again[ENDPOINT_BYTES];
    if (endpoint_parse(text, endpoint) == STATUS_OK) {
        INVARIANT(endpoint_parse(endpoint, again) == STATUS_OK);
        INVARIANT(strcmp(endpoint, again) == 0);
    }
    (void)chunk_name_legal(text);
    return 0;
}
