/*  message - rill.v1.Message, packed and unpacked within bounds
 *
 *  Invariants
 *    1. Unpacking takes at most LIMIT_UNPACK_BYTES, whatever came.
 *    2. What unpacks is of WIRE_VERSION and has a body.
 *
 *  The generated structs are the messages; there is no second set of them.
 *  A message that we say lives on the stack of whoever says it.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "buffer.h"
#include "chunk.h"
#include "status.h"

#include "rill/v1/message.pb-c.h"

typedef Rill__V1__Message message_t;

//  A message with `version`, `request` and `trace` set and one body: its name
//  as in BODY_KIND, its member's name and where it is. For initialisers:
//      Rill__V1__WorkerKept kept = RILL__V1__WORKER_KEPT__INIT;
//      message_t message =
//          MESSAGE(WORKER_KEPT, worker_kept, &kept, request, trace);
#define MESSAGE(KIND, field, body, request_, trace_)                           \
    {                                                                          \
        PROTOBUF_C_MESSAGE_INIT(&rill__v1__message__descriptor),               \
            .version = WIRE_VERSION, .request = (request_), .trace = (trace_), \
            .body_case = RILL__V1__MESSAGE__BODY_##KIND, .field = (body)       \
    }

//  Bytes that it is when packed; 0: it would be over LIMIT_HEAD_BYTES.
size_t message_size(const message_t *message);

//  Pack into as many bytes as message_size says.
void message_pack_into(const message_t *message, uint8_t *bytes);

//  Pack into new memory; the caller owns it. NULL when it would be over
//  LIMIT_HEAD_BYTES: whoever builds lists keeps them shorter.
buffer_t *message_pack(const message_t *message);

//  Unpack. STATUS_TOO_LARGE: over LIMIT_HEAD_BYTES or LIMIT_UNPACK_BYTES;
//  STATUS_MALFORMED: not a message, or a refusal that says OK; STATUS_VERSION:
//  of another version; STATUS_KIND: no body this version knows. On STATUS_OK the caller frees
//  `*message_r` with message_free.
status_t message_unpack(const void *bytes, size_t size, message_t **message_r);

//  The same; `*request_r` is the message's request, also when it is refused
//  for its version or body, so that the refusal can repeat it; else 0.
status_t message_unpack_request(const void *bytes, size_t size,
                                message_t **message_r, uint64_t *request_r);

//  Free what message_unpack gave, and null it; null is fine.
void message_free(message_t **message_p);

//  The body's name for logs and counters ("source_keep"). Lives for ever.
const char *message_kind(const message_t *message);

//  `text` as protobuf-c wants its strings, which it does not change when it
//  packs. It stays the caller's and must live as long as the message.
char *message_lend(const char *text);

//  Whether a body of this kind has a payload frame behind it.
bool message_has_payload(const message_t *message);

//  chunk_header_t as rill.v1.ChunkHeader. `marks` has room for LIMIT_MARKS
//  and must live as long as `to`; `to->name` points into `from`.
typedef struct {
    Rill__V1__ChunkHeader header;
    Rill__V1__Protection asked;
    Rill__V1__Mark marks[LIMIT_MARKS];
    Rill__V1__Mark *mark_list[LIMIT_MARKS];
} chunk_on_wire_t;
void message_from_chunk(const chunk_header_t *from, chunk_on_wire_t *to);

//  The other way. STATUS_ARGUMENT, STATUS_NAME: as chunk_header_check says, and
//  STATUS_ARGUMENT for NULL, a header that was left out; STATUS_CORRUPT:
//  header_crc is not that of the fixed form. `header_r` is written only on
//  STATUS_OK.
status_t message_to_chunk(const Rill__V1__ChunkHeader *from,
                          chunk_header_t *header_r);

//  chunk_key_t and rill.v1.ChunkKey. A peer may leave a key out: whoever
//  unpacked one looks for NULL first.
Rill__V1__ChunkKey message_from_key(chunk_key_t key);
chunk_key_t message_to_key(const Rill__V1__ChunkKey *key);

//  A refusal of `request`, its text from status_text unless `text` is given.
Rill__V1__Refused message_refusal(status_t status, const char *text,
                                  uint64_t offset);

//  A status as heard from a peer: one not in the list becomes
//  STATUS_MALFORMED.
status_t message_status(Rill__V1__Status status);

#endif
