#include "requests.h"

#include <czmq.h>

//  Who asked, and under which number.
typedef struct {
    peer_t asker;
    uint64_t request;
} question_t;

typedef struct {
    question_t key;
    void *place;  //  In the list
    micros_t since;
    const char *asked;  //  The question's name; lives for ever
    uint64_t trace, stream, offset;
    char name[LIMIT_NAME_BYTES + 1];  //  Of the stream
    char node[LIMIT_NAME_BYTES + 1];  //  Who asks
    char source[LIMIT_NAME_BYTES + 1];
    double source_ms;
    char tried[LIMIT_NAME_BYTES + 1];
    double tried_ms, others_ms;
    uint64_t joined;
} open_t;

struct requests {
    const sink_t *sink;
    zhashx_t *by_key;  //  open_t
    zlistx_t *open;    //  The same, the oldest first; owns them
};

static size_t
hash_key(const void *key)
{
    const question_t *question = key;
    uint64_t hash = question->request;
    for (size_t i = 0; i < question->asker.size; i++)
        hash = (hash ^ question->asker.bytes[i]) * 0x100000001b3u;
    return (size_t)hash;
}

static int
compare_key(const void *a, const void *b)
{
    const question_t *one = a, *other = b;
    return one->request != other->request ||
           !peer_equal(&one->asker, &other->asker);
}

static void
free_open(void **open_p)
{
    free(*open_p);
    *open_p = NULL;
}

requests_t *
requests_new(const sink_t *sink)
{
    requests_t *self = zmalloc(sizeof *self);
    self->sink = sink;
    self->by_key = zhashx_new();
    zhashx_set_key_hasher(self->by_key, hash_key);
    zhashx_set_key_comparator(self->by_key, compare_key);
    zhashx_set_key_duplicator(self->by_key, NULL);
    zhashx_set_key_destructor(self->by_key, NULL);
    self->open = zlistx_new();
    zlistx_set_destructor(self->open, free_open);
    return self;
}

void
requests_destroy(requests_t **self_p)
{
    requests_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->by_key);
    zlistx_destroy(&self->open);
    free(self);
    *self_p = NULL;
}

/*--------------------------------------------- what a message says, by name */

//  A field of a body where it is set; NULL: it has none of that name, or
//  another one of a choice.
static const void *
field_of(const ProtobufCMessage *body, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(body->descriptor, name);
    if (!field)
        return NULL;
    const char *bytes = (const char *)body;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
        *(const uint32_t *)(bytes + field->quantifier_offset) != field->id)
        return NULL;
    return bytes + field->offset;
}

static const ProtobufCMessage *
body_of(const message_t *message)
{
    const void *field = field_of(&message->base, message_kind(message));
    return field ? *(const ProtobufCMessage *const *)field : NULL;
}

static void
read_number(const ProtobufCMessage *body, const char *name, uint64_t *number)
{
    const uint64_t *field = field_of(body, name);
    if (field && *field)
        *number = *field;
}

static void
read_text(const ProtobufCMessage *body, const char *name,
          char text[LIMIT_NAME_BYTES + 1])
{
    const char *const *field = field_of(body, name);
    if (field && *field && **field)
        snprintf(text, LIMIT_NAME_BYTES + 1, "%s", *field);
}

//  What is said of a stream and of a place in it, in a question or an answer.
static void
read_place(open_t *open, const ProtobufCMessage *body)
{
    const ProtobufCMessage *const *key = field_of(body, "key");
    const ProtobufCMessage *const *chunk = field_of(body, "chunk");
    if (key && *key)
        read_number(*key, "stream", &open->stream);
    if (chunk && *chunk) {
        read_number(*chunk, "stream", &open->stream);
        read_text(*chunk, "name", open->name);
        if (!open->offset)
            read_number(*chunk, "offset", &open->offset);
    }
    read_number(body, "stream", &open->stream);
    read_text(body, "name", open->name);
    if (!open->offset)
        read_number(body, "offset", &open->offset);
}

static bool
is_question(const message_t *message)
{
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_OPEN:
    case RILL__V1__MESSAGE__BODY_DESCRIBE:
    case RILL__V1__MESSAGE__BODY_LIST:
    case RILL__V1__MESSAGE__BODY_ASK:
    case RILL__V1__MESSAGE__BODY_LIST_CHUNKS:
    case RILL__V1__MESSAGE__BODY_REMOVE:
    case RILL__V1__MESSAGE__BODY_STATUS_ASK:
    case RILL__V1__MESSAGE__BODY_SETTLE:
    case RILL__V1__MESSAGE__BODY_FETCH:
    case RILL__V1__MESSAGE__BODY_LOCATE:
    case RILL__V1__MESSAGE__BODY_SCAN:
    case RILL__V1__MESSAGE__BODY_DROP:
    case RILL__V1__MESSAGE__BODY_COUNT:
    case RILL__V1__MESSAGE__BODY_SWEEP:
    case RILL__V1__MESSAGE__BODY_WATCH:
    case RILL__V1__MESSAGE__BODY_WHERE:
        return true;
    default:
        return false;
    }
}

/*------------------------------------------------------------------- events */

static open_t *
find(const requests_t *self, const peer_t *asker, uint64_t request)
{
    if (zlistx_size(self->open) == 0)
        return NULL;
    question_t key = { *asker, request };
    return zhashx_lookup(self->by_key, &key);
}

static void
forget(requests_t *self, open_t *open)
{
    zhashx_delete(self->by_key, &open->key);
    zlistx_delete(self->open, open->place);
}

static bool
is_wanted(const requests_t *self)
{
    return SINK_WANTS(self->sink, REQUEST) ||
           SINK_WANTS(self->sink, FAULT_COUNTED);
}

void
requests_asked(requests_t *self, const peer_t *asker, const message_t *question)
{
    if (!is_wanted(self)) {
        if (zlistx_size(self->open)) {
            zhashx_purge(self->by_key);
            zlistx_purge(self->open);
        }
        return;
    }
    if (!is_question(question))
        return;
    open_t *before = find(self, asker, question->request);
    if (!before && zlistx_size(self->open) == REQUESTS_MOST)
        before = zlistx_first(self->open);
    if (before)
        forget(self, before);
    open_t *open = zmalloc(sizeof *open);
    open->key = (question_t){ *asker, question->request };
    open->since = self->sink->clock_us(self->sink->with);
    open->asked = message_kind(question);
    open->trace = question->trace;
    read_place(open, body_of(question));
    if (question->body_case == RILL__V1__MESSAGE__BODY_ASK)
        read_text(body_of(question), "node", open->node);
    open->place = zlistx_add_end(self->open, open);
    zhashx_insert(self->by_key, &open->key, open);
}

void
requests_sourced(requests_t *self, const peer_t *asker, uint64_t request,
                 const sink_source_t *source)
{
    open_t *open = find(self, asker, request);
    if (!open)
        return;
    snprintf(open->source, sizeof open->source, "%s", source->node);
    open->source_ms = source->ms;
    snprintf(open->tried, sizeof open->tried, "%s", source->tried);
    open->tried_ms = source->tried_ms;
    open->others_ms = source->others_ms;
    open->joined = source->joined;
}

static void
refused(requests_t *self, const open_t *open, const message_t *answer)
{
    status_t status = message_status(answer->refused->status);
    bool usual = status == STATUS_UNKNOWN || status == STATUS_MISS ||
                 status == STATUS_FUTURE || status == STATUS_TAKEN;
    if (!usual)
        sink_fault(self->sink, status, "front", open ? open->asked : "",
                   answer->trace);
}

//  A question met its end.
static void
tell(requests_t *self, open_t *open, const message_t *answer,
     const buffer_t *payload)
{
    Rill__V1__Request body = RILL__V1__REQUEST__INIT;
    if (answer->body_case == RILL__V1__MESSAGE__BODY_REFUSED)
        body.status = answer->refused->status;
    else
        read_place(open, body_of(answer));
    if (answer->body_case == RILL__V1__MESSAGE__BODY_ANSWER)
        body.route = answer->answer->route;
    body.asked = message_lend(open->asked);
    body.asker = open->node;
    body.offset = open->offset;
    body.bytes = payload ? buffer_size(payload) : 0;
    body.ms = sink_ms(open->since, self->sink->clock_us(self->sink->with));
    body.source = open->source;
    body.source_ms = open->source_ms;
    body.tried = open->tried;
    body.tried_ms = open->tried_ms;
    body.others_ms = open->others_ms;
    body.joined = open->joined;
    event_t event = EVENT(REQUEST, request, &body, open->trace, open->stream,
                          open->name);
    sink_tell(self->sink, &event);
}

void
requests_answered(requests_t *self, const peer_t *asker,
                  const message_t *answer, const buffer_t *payload)
{
    open_t *open = find(self, asker, answer->request);
    if (answer->body_case == RILL__V1__MESSAGE__BODY_REFUSED)
        refused(self, open, answer);
    //  That a node lives is no answer to a Watch: where it begins is.
    if (!open || answer->body_case == RILL__V1__MESSAGE__BODY_WATCHING)
        return;
    if (SINK_WANTS(self->sink, REQUEST))
        tell(self, open, answer, payload);
    forget(self, open);
}

size_t
requests_count(const requests_t *self)
{
    return zlistx_size(self->open);
}
