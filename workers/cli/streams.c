#include "streams.h"

#include <stdio.h>
#include <time.h>

#include "ask.h"

const char *
streams_kind(const Rill__V1__Described *stream)
{
    return stream->kind == RILL__V1__KIND__KIND_LIVE ? "live" : "recorded";
}

const char *
streams_state(const Rill__V1__Described *stream)
{
    if (stream->sealed)
        return "sealed";
    if (message_status(stream->held) != STATUS_OK)
        return "held";
    return stream->writing ? "writing" : "open";
}

char *
streams_time(micros_t us, char text_r[STREAMS_TIME_BYTES])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    if (us <= 0 || !gmtime_r(&seconds, &parts) ||
        strftime(text_r, STREAMS_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        snprintf(text_r, STREAMS_TIME_BYTES, "-");
    return text_r;
}

static void
tell_code(json_t *json, const char *key, const Rill__V1__Protection *code)
{
    char text[ASK_CODE_BYTES];
    if (code)
        json_string(json, key, ask_code_text(code->k, code->m, text));
}

void
streams_json(json_t *json, const Rill__V1__Described *stream)
{
    json_string(json, "name", stream->name);
    ask_json_id(json, "stream", stream->stream);
    json_string(json, "kind", streams_kind(stream));
    json_string(json, "state", streams_state(stream));
    json_bool(json, "sealed", stream->sealed);
    json_bool(json, "writing", stream->writing);
    json_uint(json, "size", stream->size);
    json_uint(json, "first", stream->first);
    json_uint(json, "stored", stream->stored);
    json_uint(json, "settled", stream->settled);
    tell_code(json, "protection", stream->protection);
    tell_code(json, "asked", stream->asked);
    json_uint(json, "chunk_bytes", stream->chunk_bytes);
    json_uint(json, "retention", stream->retention);
    json_int(json, "created_us", stream->created_us);
    json_int(json, "newest_us", stream->newest_us);
    json_uint(json, "extents", stream->extents);
    json_uint(json, "under_protected", stream->under_protected);
    json_string(json, "held", status_name(message_status(stream->held)));
    json_array(json, "waits_for");
    for (size_t i = 0; i < stream->n_waits_for; i++)
        json_string(json, NULL, stream->waits_for[i]);
    json_end(json);
    json_int(json, "lost_us", stream->lost_us);
    if (stream->lost_us) {
        json_uint(json, "lost_from", stream->lost_from);
        json_bool(json, "lost_end_known", stream->lost_to != UINT64_MAX);
    }
    json_array(json, "holes");
    for (size_t i = 0; i < stream->n_holes; i++) {
        json_object(json, NULL);
        json_uint(json, "from", stream->holes[i]->from);
        json_uint(json, "to", stream->holes[i]->to);
        json_end(json);
    }
    json_end(json);
}
