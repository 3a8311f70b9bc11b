/*  streams - how ls and stat show a stream
 */
#ifndef STREAMS_H
#define STREAMS_H

#include "json.h"
#include "message.h"

#define STREAMS_TIME_BYTES 32

//  "recorded" or "live"; "sealed", "writing", "held" or "open". Live for ever.
const char *streams_kind(const Rill__V1__Described *stream);
const char *streams_state(const Rill__V1__Described *stream);

//  UTC, to the second: "2026-11-22 04:51:15"; "-" for 0. Returns `text_r`.
char *streams_time(micros_t us, char text_r[STREAMS_TIME_BYTES]);

//  All that is described, as members of the object that is open.
void streams_json(json_t *json, const Rill__V1__Described *stream);

#endif
