/*  Questions that only the origin answers: passed to the parent, and its answer
 *  back. What several ask about one stream is asked once (house 15). The root
 *  passes the one kind that it has, where a time lies, to its owner.
 */
#include "invariant.h"
#include "node.h"

enum {
    PASSED_MOST = 1024,
    WAITERS_MOST = 4096,
    PASS_MS = 1000,
    LOCATE_MS = 5000,  //  At the root, which asks its workers
};

typedef struct {
    peer_t peer;
    uint64_t request, trace;
    wait_t wants;
} waiter_t;

struct passed {
    uint64_t request;
    int link;  //  -1: to the root's owner
    unsigned tried;
    millis_t due;
    uint64_t stream;  //  Of a Locate
    uint64_t trace;   //  Of who asked first
    sink_tries_t tries;
    buffer_t *said;                      //  The question, packed, its request 0
    Rill__V1__Message__BodyCase answer;  //  What answers it
    waiter_t *waiters;
    size_t count;
};

static void
drop(relay_t *self, passed_t *passed)
{
    zlistx_detach(self->passed, zlistx_find(self->passed, passed));
    buffer_unref(&passed->said);
    free(passed->waiters);
    free(passed);
}

//  How what they waited for came about is told to the sink.
static void
tell_source(const relay_t *self, const passed_t *passed)
{
    const char *node = passed->link < 0 ? "" : self->links[passed->link].name;
    const sink_t *sink = self->settings.sink;
    if (!SINK_WANTS(sink, REQUEST))
        return;
    sink_source_t source = sink_found(sink, &passed->tries, node);
    for (size_t i = 0; i < passed->count; i++) {
        const waiter_t *waiter = &passed->waiters[i];
        source.joined = waiter->trace == passed->trace ? 0 : passed->trace;
        sink_sourced(sink, &waiter->peer, waiter->request, &source);
    }
}

//  Those that waited, whose question is over: what is done for one may ask anew.
static waiter_t *
end(relay_t *self, passed_t *passed, size_t *count_r)
{
    waiter_t *waiters = passed->waiters;
    tell_source(self, passed);
    *count_r = passed->count;
    passed->waiters = NULL;
    drop(self, passed);
    return waiters;
}

static void
fail(relay_t *self, passed_t *passed, const Rill__V1__Refused *why,
     millis_t now)
{
    size_t count;
    waiter_t *waiters = end(self, passed, &count);
    for (size_t i = 0; i < count; i++) {
        if (waiters[i].wants == WAIT_SESSION)
            watch_described(self, &waiters[i].peer, waiters[i].request, NULL,
                            message_status(why->status), now);
        Rill__V1__Refused body = *why;
        message_t message = MESSAGE(REFUSED, refused, &body, waiters[i].request,
                                    waiters[i].trace);
        (void)self->effects.send(self->with, &waiters[i].peer, &message, NULL);
    }
    free(waiters);
}

//  The root takes its time to locate. Who is further down waits longer: who
//  knows why there is no answer is to say so, and is not taken for dead.
static millis_t
patience(const relay_t *self, const passed_t *passed)
{
    bool locates = passed->answer == RILL__V1__MESSAGE__BODY_LOCATED;
    return span(self,
                locates ? LOCATE_MS + self->settings.tier * PASS_MS : PASS_MS);
}

static void
ask(relay_t *self, passed_t *passed, int link, millis_t now)
{
    message_t *question;
    status_t status = message_unpack(buffer_bytes(passed->said),
                                     buffer_size(passed->said), &question);
    INVARIANT(status == STATUS_OK);
    passed->link = link;
    passed->request = question->request = ++self->request;
    question->trace = passed->trace;
    passed->due = now + patience(self, passed);
    if (self->root) {
        self->effects.locate(self->with, question->locate->stream,
                             question->locate->time_us, passed->request, now);
        message_free(&question);
        return;
    }
    self->links[link].used = true;
    sink_tries(self->settings.sink, &passed->tries, self->links[link].name);
    if (self->effects.tell(self->with, link, question) != STATUS_OK)
        passed->due = now + span(self, AGAIN_MS);
    message_free(&question);
}

static void
go_on(relay_t *self, passed_t *passed, millis_t now)
{
    if (++passed->tried < self->settings.parents_count) {
        ask(self, passed,
            (passed->link + 1) % (int)self->settings.parents_count, now);
        return;
    }
    Rill__V1__Refused why = self->root
                                ? message_refusal(STATUS_LATE, NULL, 0)
                                : message_refusal(
                                      STATUS_UNREACHABLE,
                                      "No parent of this cache answers.", 0);
    passed->link = -1;
    fail(self, passed, &why, now);
}

//  A question as it is passed: of a Watch, what its stream is.
static buffer_t *
question_of(const message_t *message)
{
    message_t question = *message;
    Rill__V1__Describe describe = RILL__V1__DESCRIBE__INIT;
    question.request = question.trace = 0;
    if (message->body_case == RILL__V1__MESSAGE__BODY_WATCH) {
        bool named = message->watch->which_case == RILL__V1__WATCH__WHICH_NAME;
        describe.which_case = named ? RILL__V1__DESCRIBE__WHICH_NAME
                                    : RILL__V1__DESCRIBE__WHICH_STREAM;
        if (named)
            describe.name = message->watch->name;
        else
            describe.stream = message->watch->stream;
        question.body_case = RILL__V1__MESSAGE__BODY_DESCRIBE;
        question.describe = &describe;
    }
    return message_pack(&question);
}

static Rill__V1__Message__BodyCase
answer_of(Rill__V1__Message__BodyCase question)
{
    switch (question) {
    case RILL__V1__MESSAGE__BODY_LIST:
        return RILL__V1__MESSAGE__BODY_LISTING;
    case RILL__V1__MESSAGE__BODY_LIST_CHUNKS:
        return RILL__V1__MESSAGE__BODY_LAYOUT;
    case RILL__V1__MESSAGE__BODY_LOCATE:
        return RILL__V1__MESSAGE__BODY_LOCATED;
    default:
        return RILL__V1__MESSAGE__BODY_DESCRIBED;
    }
}

static passed_t *
same(const relay_t *self, const buffer_t *said)
{
    for (passed_t *passed = zlistx_first(self->passed); passed;
         passed = zlistx_next(self->passed))
        if (buffer_size(passed->said) == buffer_size(said) &&
            memcmp(buffer_bytes(passed->said), buffer_bytes(said),
                   buffer_size(said)) == 0)
            return passed;
    return NULL;
}

static size_t
asks_of(const relay_t *self, const peer_t *peer)
{
    size_t count = 0;
    for (passed_t *passed = zlistx_first(self->passed); passed;
         passed = zlistx_next(self->passed))
        for (size_t i = 0; i < passed->count; i++)
            count += peer_equal(&passed->waiters[i].peer, peer);
    return count;
}

static void
join(passed_t *passed, const peer_t *peer, const message_t *message,
     wait_t wants)
{
    passed->waiters = realloc(passed->waiters,
                              (passed->count + 1) * sizeof *passed->waiters);
    INVARIANT(passed->waiters);
    passed->waiters[passed->count++] = (waiter_t){ *peer, message->request,
                                                   message->trace, wants };
}

void
pass_ask(relay_t *self, const peer_t *peer, const message_t *message,
         wait_t wants, millis_t now)
{
    buffer_t *said = question_of(message);
    passed_t *passed = said ? same(self, said) : NULL;
    bool first = !passed;
    if (!said || (passed && passed->count >= WAITERS_MOST) ||
        (first && zlistx_size(self->passed) >= PASSED_MOST) ||
        asks_of(self, peer) >= LIMIT_ASKS_PER_PEER) {
        buffer_unref(&said);
        node_refuse(self, peer, message->request, message->trace, STATUS_BUSY,
                    NULL, 0);
        return;
    }
    if (first) {
        passed = zmalloc(sizeof *passed);
        passed->said = buffer_ref(said);
        passed->answer = answer_of(message->body_case);
        passed->trace = message->trace;
        if (message->body_case == RILL__V1__MESSAGE__BODY_LOCATE)
            passed->stream = message->locate->stream;
        zlistx_add_end(self->passed, passed);
    }
    buffer_unref(&said);
    join(passed, peer, message, wants);
    if (first)
        ask(self, passed, self->root ? -1 : (int)node_parent(self, 0, now),
            now);
}

void
pass_locate(relay_t *self, const peer_t *peer, uint64_t request, uint64_t trace,
            uint64_t stream, micros_t time_us, wait_t wants, millis_t now)
{
    Rill__V1__Locate body = RILL__V1__LOCATE__INIT;
    body.stream = stream;
    body.at_case = RILL__V1__LOCATE__AT_TIME_US;
    body.time_us = time_us;
    message_t message = MESSAGE(LOCATE, locate, &body, request, trace);
    pass_ask(self, peer, &message, wants, now);
}

//  Everybody hears what was described; it is worth knowing.
static stream_t *
learn(relay_t *self, const Rill__V1__Described *described)
{
    stream_t *stream = node_open_stream(self, described->stream, true);
    if (!stream)
        return NULL;
    if (!*stream->name && strlen(described->name) <= LIMIT_NAME_BYTES) {
        //  A name may have been another stream's, which was removed.
        stream_t *other = zhashx_lookup(self->names, described->name);
        if (other) {
            zhashx_delete(self->names, described->name);
            *other->name = '\0';
        }
        snprintf(stream->name, sizeof stream->name, "%s", described->name);
        zhashx_insert(self->names, stream->name, stream);
    }
    for (size_t i = 0; i < described->n_holes; i++)
        node_hole(stream, described->holes[i]->from, described->holes[i]->to);
    node_told(stream, described->first,
              described->sealed ? described->size : described->stored,
              described->sealed, described->now_us);
    if (described->chunk_bytes)
        stream->chunk_bytes = described->chunk_bytes;
    if (described->first == 0)
        node_moment(stream, 0, described->created_us, true);
    if (described->stored && described->newest_us)
        node_moment(stream, described->stored - 1, described->newest_us, true);
    return stream;
}

static passed_t *
find(const relay_t *self, int link, uint64_t request)
{
    passed_t *passed = zlistx_first(self->passed);
    while (passed && (passed->request != request || passed->link != link))
        passed = zlistx_next(self->passed);
    return passed;
}

static void
tell(relay_t *self, const waiter_t *waiter, const message_t *message)
{
    message_t answer = *message;
    answer.request = waiter->request;
    answer.trace = waiter->trace;
    (void)self->effects.send(self->with, &waiter->peer, &answer, NULL);
}

//  Where a time lies is known: sessions begin there, who asked for its chunk
//  asks for it by its offset.
static void
located(relay_t *self, passed_t *passed, const message_t *message, millis_t now)
{
    const Rill__V1__Located *at = message->located;
    uint64_t id = passed->stream;
    stream_t *stream = node_open_stream(self, id, true);
    if (stream && at->found)
        node_moment(stream, at->offset, at->created_us, true);
    size_t count;
    waiter_t *waiters = end(self, passed, &count);
    for (size_t i = 0; i < count; i++) {
        waiter_t *waiter = &waiters[i];
        stream = node_stream(self, id);
        if (waiter->wants == WAIT_ANSWER)
            tell(self, waiter, message);
        else if (waiter->wants == WAIT_SESSION)
            watch_located(self, &waiter->peer, waiter->request, stream,
                          at->found ? at->offset : 0, now);
        else if (at->found)
            pursue_at(self, &waiter->peer, waiter->request, waiter->trace, id,
                      at->offset, now);
        else
            node_refuse(self, &waiter->peer, waiter->request, waiter->trace,
                        STATUS_GONE, NULL, at->offset);
    }
    free(waiters);
}

bool
relay_locating(const relay_t *self, uint64_t request)
{
    return find(self, -1, request) != NULL;
}

uint64_t
relay_locate_trace(const relay_t *self, uint64_t request)
{
    const passed_t *passed = find(self, -1, request);
    return passed ? passed->trace : 0;
}

void
relay_locate_waited(relay_t *self, uint64_t request, const char *node,
                    micros_t since)
{
    passed_t *passed = find(self, -1, request);
    if (passed)
        sink_waited(self->settings.sink, &passed->tries, node, since);
}

void
relay_located(relay_t *self, uint64_t request, status_t status, uint64_t offset,
              micros_t created_us, millis_t now)
{
    passed_t *passed = find(self, -1, request);
    self->now = now;
    if (passed && status != STATUS_OK && status != STATUS_GONE) {
        Rill__V1__Refused why = message_refusal(status, NULL, 0);
        fail(self, passed, &why, now);
    } else if (passed) {
        Rill__V1__Located body = RILL__V1__LOCATED__INIT;
        body.found = status == STATUS_OK;
        body.offset = offset;
        body.created_us = created_us;
        message_t message = MESSAGE(LOCATED, located, &body, 0, 0);
        located(self, passed, &message, now);
    }
}

void
pass_answer(relay_t *self, int link, const message_t *message, millis_t now)
{
    passed_t *passed = find(self, link, message->request);
    if (!passed)
        return;
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        status_t status = message_status(message->refused->status);
        if (status_retry(status) == RETRY_ELSEWHERE ||
            status == STATUS_UNREACHABLE)
            go_on(self, passed, now);
        else
            fail(self, passed, message->refused, now);
        return;
    }
    if (message->body_case != passed->answer) {
        happened_fault(self, COUNTER_faults_total_misplaced, STATUS_KIND,
                       "link", message_kind(message));
        go_on(self, passed, now);
        return;
    }
    self->links[link].shunned = 0;
    if (message->body_case == RILL__V1__MESSAGE__BODY_LOCATED) {
        located(self, passed, message, now);
        return;
    }
    stream_t *stream = NULL;
    if (message->body_case == RILL__V1__MESSAGE__BODY_DESCRIBED)
        stream = learn(self, message->described);
    size_t count;
    waiter_t *waiters = end(self, passed, &count);
    for (size_t i = 0; i < count; i++)
        if (waiters[i].wants == WAIT_SESSION)
            watch_described(self, &waiters[i].peer, waiters[i].request, stream,
                            stream ? STATUS_OK : STATUS_BUSY, now);
        else
            tell(self, &waiters[i], message);
    free(waiters);
}

void
pass_lost(relay_t *self, int link, millis_t now)
{
    for (passed_t *passed = zlistx_first(self->passed); passed;
         passed = zlistx_next(self->passed))
        if (passed->link == link)
            passed->due = now;
}

void
pass_sweep(relay_t *self, millis_t now)
{
    size_t count = zlistx_size(self->passed);
    for (size_t i = 0; i < count; i++) {
        passed_t *passed = zlistx_detach(self->passed, NULL);
        if (!passed)
            return;
        zlistx_add_end(self->passed, passed);
        if (passed->due > now)
            continue;
        node_shun(self, passed->link, now);
        go_on(self, passed, now);
    }
}

millis_t
pass_due(const relay_t *self)
{
    millis_t due = MILLIS_NEVER;
    for (passed_t *passed = zlistx_first(self->passed); passed;
         passed = zlistx_next(self->passed))
        due = millis_least(due, passed->due);
    return due;
}

bool
pass_uses(const relay_t *self, int link)
{
    for (passed_t *passed = zlistx_first(self->passed); passed;
         passed = zlistx_next(self->passed))
        if (passed->link == link)
            return true;
    return false;
}

void
pass_destroy(relay_t *self)
{
    while (zlistx_size(self->passed))
        drop(self, zlistx_first(self->passed));
    zlistx_destroy(&self->passed);
}
