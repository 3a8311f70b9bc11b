//  Whatever a person writes behind -q: it is a query, or is refused at a place
//  in it; and what it may not want it does not want.
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "message.h"
#include "query.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

//  An event of a kind whose texts are "cam" and whose numbers are 7, or none.
static event_t *
event_of(size_t kind, bool filled)
{
    const ProtobufCFieldDescriptor *at = NULL;
    for (unsigned i = 0, met = 0; i < rill__v1__event__descriptor.n_fields; i++)
        if (rill__v1__event__descriptor.fields[i].type ==
                PROTOBUF_C_TYPE_MESSAGE &&
            met++ == kind)
            at = &rill__v1__event__descriptor.fields[i];
    INVARIANT(at);
    const ProtobufCMessageDescriptor *of = at->descriptor;
    uint8_t body[64], whole[80];
    size_t size = 0, used = 0;
    for (unsigned i = 0; filled && i < of->n_fields && size < 56; i++) {
        const ProtobufCFieldDescriptor *field = &of->fields[i];
        if (field->type == PROTOBUF_C_TYPE_STRING) {
            body[size++] = (uint8_t)(field->id << 3 | 2);
            memcpy(body + size, "\3cam", 4);
            size += 4;
        } else if (field->type == PROTOBUF_C_TYPE_BOOL ||
                   field->type == PROTOBUF_C_TYPE_UINT32 ||
                   field->type == PROTOBUF_C_TYPE_UINT64) {
            body[size++] = (uint8_t)(field->id << 3);
            body[size++] = 7;
        }
    }
    whole[used++] = (uint8_t)(at->id << 3 | 2 | 0x80);
    whole[used++] = (uint8_t)(at->id >> 4);
    whole[used++] = (uint8_t)size;
    memcpy(whole + used, body, size);
    event_t *event = rill__v1__event__unpack(NULL, used + size, whole);
    INVARIANT(event && events_kind(event) == kind);
    return event;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t at = SIZE_MAX;
    char why[QUERY_WHY_BYTES] = "", *text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = '\0';
    query_t *query = query_new(text, &at, why);
    INVARIANT(query || (at <= strlen(text) && *why));
    for (size_t kind = 0; query && kind < events_kinds(); kind++)
        for (int filled = 0; filled < 2; filled++) {
            event_t *event = event_of(kind, filled);
            INVARIANT(!query_holds(query, event) || query_may(query, kind));
            rill__v1__event__free_unpacked(event, NULL);
        }
    query_destroy(&query);
    free(text);
    return 0;
}
