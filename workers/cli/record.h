/*  record - a recording of events: one after the other, each with its checksum
 *
 *  Invariants
 *    1. What was written is read back the same; what is cut short or changed
 *       at any byte is told, and nothing of it or behind it is read.
 *
 *  The form is protocols/rill/v1/record.proto.
 */
#ifndef RECORD_H
#define RECORD_H

#include "buffer.h"
#include "events.h"

#include "rill/v1/record.pb-c.h"

#define RECORD_MOST_BYTES (80 * 1024)  //  One of them, its length included

typedef Rill__V1__Lost lost_t;

//  The next bytes of a recording; the caller owns them.
buffer_t *record_of_event(const event_t *event);
buffer_t *record_of_loss(const lost_t *lost);

typedef enum {
    RECORD_READ,   //  One of event and lost is set
    RECORD_SHORT,  //  There must be more bytes
    RECORD_WRONG,  //  They are not what was written
} record_state_t;

typedef struct {
    size_t used;     //  Bytes that it took
    event_t *event;  //  Or NULL
    lost_t *lost;    //  Or NULL
} recorded_t;

//  Read one from the beginning of bytes. On RECORD_READ the caller gives it to
//  record_free. Whoever has RECORD_MOST_BYTES is never answered RECORD_SHORT.
record_state_t record_read(const void *bytes, size_t size,
                           recorded_t *recorded_r);
void record_free(recorded_t *recorded);

#endif
