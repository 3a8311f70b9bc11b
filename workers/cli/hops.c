#include "hops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "invariant.h"

enum { BUCKETS = 8192 };
#define NOBODY SIZE_MAX

typedef struct {
    event_t *event;
    bool is_shown;
    size_t parent;  //  Which of its trace, or NOBODY
} seen_t;

//  All that came with one trace.
typedef struct trace {
    struct trace *next;  //  In its bucket
    uint64_t id;
    seen_t seen[HOPS_EVENTS];
    size_t count;
    size_t open;    //  Of them that are not shown yet
    uint64_t born;  //  Traces are numbered
    millis_t last;  //  When one came
    millis_t due;   //  To be given out; when nothing is open, forgotten
} trace_t;

struct hops {
    trace_t *buckets[BUCKETS];
    size_t count;
    uint64_t born;
    millis_t due;  //  No trace is due before
    hop_t *rows;   //  Of the tree that was given out last
    size_t rows_count, rows_size;
};

static bool
is_request(const event_t *event)
{
    return event->what_case == RILL__V1__EVENT__WHAT_REQUEST;
}

static bool
same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/*------------------------------------------------------------------- traces */

static trace_t **
place_of(hops_t *self, uint64_t id)
{
    trace_t **place = &self->buckets[id * 0x9e3779b97f4a7c15u >> 51];
    while (*place && (*place)->id != id)
        place = &(*place)->next;
    return place;
}

static void
forget(hops_t *self, trace_t **place)
{
    trace_t *trace = *place;
    *place = trace->next;
    for (size_t i = 0; i < trace->count; i++)
        events_free(&trace->seen[i].event);
    free(trace);
    self->count--;
}

hops_t *
hops_new(void)
{
    hops_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    self->due = MILLIS_NEVER;
    return self;
}

void
hops_destroy(hops_t **self_p)
{
    hops_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (self->buckets[i])
            forget(self, &self->buckets[i]);
    free(self->rows);
    free(self);
}

static void
set_due(hops_t *self, trace_t *trace, millis_t due)
{
    trace->due = due;
    self->due = millis_least(self->due, due);
}

//  Make room: what is shown already goes at once, else the oldest is due.
static void
make_room(hops_t *self, millis_t now)
{
    trace_t *oldest = NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        for (trace_t *trace = self->buckets[i]; trace; trace = trace->next)
            if (!oldest || (trace->open > 0) < (oldest->open > 0) ||
                ((trace->open > 0) == (oldest->open > 0) &&
                 trace->last < oldest->last))
                oldest = trace;
    if (oldest && oldest->open == 0)
        forget(self, place_of(self, oldest->id));
    else if (oldest)
        set_due(self, oldest, now);
}

/*------------------------------------------------------------ who hangs where */

//  How well a request fits below another one of its trace; 0: not at all.
//  Workers are not told who asks them: it is the forwarder.
static int
fits(const event_t *parent, const event_t *child)
{
    const Rill__V1__Request *above = parent->request, *below = child->request;
    bool is_source = same(above->source, child->node) ||
                     same(above->tried, child->node);
    bool is_store = same(parent->role, "forwarder") &&
                    same(child->role, "worker");
    if (same(parent->node, child->node) ||
        (*below->asker ? !same(below->asker, parent->node)
                       : !is_source && !is_store))
        return 0;
    return 4 + 2 * is_source + (above->offset == below->offset);
}

static uint64_t
apart(const event_t *a, const event_t *b)
{
    return a->at_us > b->at_us ? (uint64_t)a->at_us - (uint64_t)b->at_us
                               : (uint64_t)b->at_us - (uint64_t)a->at_us;
}

static size_t
parent_of(const trace_t *trace, size_t child)
{
    const event_t *event = trace->seen[child].event;
    size_t best = NOBODY;
    int fit = 0;
    for (size_t i = 0; i < trace->count; i++) {
        const event_t *other = trace->seen[i].event;
        if (i == child || !is_request(other))
            continue;
        int how = is_request(event) ? fits(other, event)
                                    : same(other->node, event->node);
        if (how > fit ||
            (how && how == fit &&
             apart(other, event) < apart(trace->seen[best].event, event))) {
            fit = how;
            best = i;
        }
    }
    return best;
}

static void
find_parents(trace_t *trace)
{
    for (size_t i = 0; i < trace->count; i++)
        trace->seen[i].parent = parent_of(trace, i);
}

//  A request of a trace at a node; NOBODY: it is not known.
static size_t
request_at(const trace_t *trace, const char *node)
{
    for (size_t i = 0; i < trace->count; i++)
        if (is_request(trace->seen[i].event) &&
            same(trace->seen[i].event->node, node))
            return i;
    return NOBODY;
}

//  Whether those that a request was taken from, tried at, or waited with, are
//  known.
static bool
is_followed(hops_t *self, const trace_t *trace, const event_t *event)
{
    const Rill__V1__Request *request = event->request;
    if (request->joined) {
        const trace_t *other = *place_of(self, request->joined);
        return other && request_at(other, event->node) != NOBODY;
    }
    return (!*request->source ||
            request_at(trace, request->source) != NOBODY) &&
           (!*request->tried || request_at(trace, request->tried) != NOBODY);
}

//  How long to wait for more.
static millis_t
patience(hops_t *self, const trace_t *trace)
{
    bool has_root = false, is_whole = true;
    for (size_t i = 0; i < trace->count; i++) {
        const seen_t *seen = &trace->seen[i];
        if (seen->is_shown || !is_request(seen->event))
            continue;
        has_root = has_root || (!*seen->event->request->asker &&
                                parent_of(trace, i) == NOBODY);
        is_whole = is_whole && is_followed(self, trace, seen->event);
    }
    if (!has_root)
        return HOPS_ROOT_MS;
    return is_whole ? HOPS_WHOLE_MS : HOPS_WAIT_MS;
}

void
hops_add(hops_t *self, const event_t *event, millis_t now)
{
    if (!event->trace)
        return;
    trace_t **place = place_of(self, event->trace);
    if (*place && (*place)->count == HOPS_EVENTS) {
        INVARIANT((*place)->open == 0);  //  What was due was taken
        forget(self, place);
    }
    if (!*place) {
        if (self->count >= HOPS_TRACES)
            make_room(self, now);
        place = place_of(self, event->trace);
        trace_t *fresh = calloc(1, sizeof *fresh);
        INVARIANT(fresh);
        fresh->id = event->trace;
        fresh->born = self->born++;
        fresh->next = *place;
        *place = fresh;
        self->count++;
    }
    trace_t *trace = *place;
    buffer_t *packed = buffer_new(rill__v1__event__get_packed_size(event));
    rill__v1__event__pack(event, buffer_fill(packed));
    event_t *copy = events_unpack(buffer_bytes(packed), buffer_size(packed));
    buffer_unref(&packed);
    INVARIANT(copy);
    trace->seen[trace->count++] = (seen_t){ .event = copy };
    trace->open++;
    trace->last = now;
    bool is_full = trace->count == HOPS_EVENTS;
    set_due(self, trace, is_full ? now : now + patience(self, trace));
}

millis_t
hops_due(const hops_t *self)
{
    return self->due;
}

/*-------------------------------------------------------------------- trees */

static hop_t *
add_row(hops_t *self, const event_t *event, unsigned depth, bool is_joined)
{
    if (self->rows_count == self->rows_size) {
        self->rows_size = 2 * self->rows_size + 16;
        self->rows = realloc(self->rows, self->rows_size * sizeof *self->rows);
        INVARIANT(self->rows);
    }
    hop_t *row = &self->rows[self->rows_count++];
    *row = (hop_t){ .event = event,
                    .node = event->node,
                    .depth = depth,
                    .is_request = is_request(event),
                    .is_joined = is_joined };
    return row;
}

static double
at_least_0(double ms)
{
    return ms > 0 ? ms : 0;
}

//  Whether, of several requests of one node below the same one, it is the one
//  that was waited for so long: a session asks its source again and again.
static bool
is_waited_for(const trace_t *trace, size_t nth, double ms)
{
    const seen_t *seen = &trace->seen[nth];
    double off = fabs(ms - seen->event->request->ms);
    for (size_t i = 0; i < trace->count; i++) {
        const seen_t *other = &trace->seen[i];
        if (other->parent != seen->parent || !is_request(other->event) ||
            !same(other->event->node, seen->event->node))
            continue;
        double others = fabs(ms - other->event->request->ms);
        if (others < off || (others == off && i < nth))
            return false;
    }
    return true;
}

static void
time_row(hop_t *row, const event_t *parent, const trace_t *trace, size_t nth)
{
    const Rill__V1__Request *request = row->event->request;
    row->here_ms = at_least_0(request->ms - request->source_ms -
                              request->tried_ms - request->others_ms);
    if (request->joined && !request->source_ms)
        row->here_ms = 0;  //  It waited for another one
    bool is_source = parent && same(parent->request->source, row->node);
    row->is_tried = parent && !is_source &&
                    same(parent->request->tried, row->node);
    double waited_ms = is_source       ? parent->request->source_ms
                       : row->is_tried ? parent->request->tried_ms
                                       : 0;
    row->has_way = waited_ms > 0 && is_waited_for(trace, nth, waited_ms);
    row->way_ms = row->has_way ? at_least_0(waited_ms - request->ms) : 0;
}

//  The one that a request was taken from, or tried at, if nothing came of it.
static void
add_silent(hops_t *self, const trace_t *trace, size_t of, unsigned depth,
           bool is_tried, bool is_joined)
{
    const event_t *event = trace->seen[of].event;
    const Rill__V1__Request *request = event->request;
    const char *node = is_tried ? request->tried : request->source;
    double waited_ms = is_tried ? request->tried_ms : request->source_ms;
    for (size_t i = 0; i < trace->count; i++)
        if (trace->seen[i].parent == of && is_request(trace->seen[i].event) &&
            same(trace->seen[i].event->node, node))
            return;
    if (!*node || !(waited_ms > 0))
        return;
    hop_t *row = add_row(self, event, depth, is_joined);
    row->node = node;
    row->is_request = false;
    row->is_silent = row->has_way = true;
    row->is_tried = is_tried;
    row->way_ms = waited_ms;
}

static void add_below(hops_t *self, trace_t *trace, size_t of, unsigned depth,
                      bool *met, bool is_joined);

//  A request or what happened to it, and all below. `met` has those of the
//  trace that have a row, so that a circle ends.
static void
add_hop(hops_t *self, trace_t *trace, size_t nth, const event_t *parent,
        unsigned depth, bool *met, bool is_joined)
{
    const event_t *event = trace->seen[nth].event;
    met[nth] = true;
    hop_t *row = add_row(self, event, depth, is_joined);
    if (!row->is_request)
        return;
    time_row(row, parent, trace, nth);
    uint64_t joined = event->request->joined;
    add_silent(self, trace, nth, depth + 1, true, is_joined);
    if (!joined)
        add_silent(self, trace, nth, depth + 1, false, is_joined);
    add_below(self, trace, nth, depth + 1, met, is_joined);
    trace_t *other = joined && !is_joined ? *place_of(self, joined) : NULL;
    size_t there = other ? request_at(other, event->node) : NOBODY;
    if (there == NOBODY || other == trace)
        return;
    bool others[HOPS_EVENTS] = { false };
    others[there] = true;
    find_parents(other);
    add_below(self, other, there, depth + 1, others, true);
}

static void
add_below(hops_t *self, trace_t *trace, size_t of, unsigned depth, bool *met,
          bool is_joined)
{
    for (size_t i = 0; i < trace->count; i++)
        if (!met[i] && trace->seen[i].parent == of)
            add_hop(self, trace, i, trace->seen[of].event, depth, met,
                    is_joined);
}

//  Where a tree begins: at a terminal's request, else at one that hangs below
//  none that is open, else, for they hang in a circle, at any.
static size_t
root_of(const trace_t *trace)
{
    size_t best = NOBODY;
    int fit = 0;
    for (size_t i = 0; i < trace->count; i++) {
        const seen_t *seen = &trace->seen[i];
        if (seen->is_shown || !is_request(seen->event))
            continue;
        int how = 1;
        if (seen->parent == NOBODY)
            how = *seen->event->request->asker ? 2 : 3;
        else if (trace->seen[seen->parent].is_shown)
            how = 2;
        if (how > fit) {
            fit = how;
            best = i;
        }
    }
    return best;
}

static void
judge(hops_t *self, const trace_t *trace, hops_tree_t *tree)
{
    double most = -1;
    for (size_t i = 0; i < self->rows_count; i++) {
        const hop_t *hop = &self->rows[i];
        if (!hop->is_request && !hop->is_silent)
            continue;
        bool is_way = hop->has_way && hop->way_ms > hop->here_ms;
        double ms = is_way ? hop->way_ms : hop->here_ms;
        if (ms > most) {
            most = ms;
            tree->slowest = i;
            tree->is_way = is_way;
        }
        if (!hop->is_joined && !is_followed(self, trace, hop->event))
            tree->is_partial = true;
    }
    tree->most_ms = most;
}

//  The next tree of a trace. False: nothing in it is open any more.
static bool
build(hops_t *self, trace_t *trace, hops_tree_t *tree_r)
{
    bool met[HOPS_EVENTS];
    find_parents(trace);
    size_t root = root_of(trace);
    for (size_t i = 0; i < trace->count; i++)
        met[i] = trace->seen[i].is_shown;
    self->rows_count = 0;
    if (root != NOBODY)
        add_hop(self, trace, root, NULL, 0, met, false);
    trace->open = 0;
    for (size_t i = 0; i < trace->count; i++) {
        //  What hangs on no request is told by nobody.
        trace->seen[i].is_shown = met[i] || root == NOBODY;
        trace->open += !trace->seen[i].is_shown;
    }
    if (root == NOBODY)
        return false;
    *tree_r = (hops_tree_t){ .hops = self->rows, .count = self->rows_count };
    judge(self, trace, tree_r);
    return true;
}

static bool
is_before(const trace_t *a, const trace_t *b)
{
    return a->due < b->due || (a->due == b->due && a->born < b->born);
}

//  The trace that is due first; NULL: none is, and `self->due` is when one will
//  be. What was given out long ago is forgotten.
static trace_t *
find_due(hops_t *self, bool all, millis_t now)
{
    millis_t least = MILLIS_NEVER;
    trace_t *first = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        trace_t **place = &self->buckets[i];
        while (*place) {
            trace_t *trace = *place;
            if (trace->open == 0 && trace->due <= now) {
                forget(self, place);
                continue;
            }
            least = millis_least(least, trace->due);
            if (trace->open > 0 && (all || trace->due <= now) &&
                (!first || is_before(trace, first)))
                first = trace;
            place = &trace->next;
        }
    }
    if (!first)
        self->due = least;
    return first;
}

bool
hops_take(hops_t *self, bool all, millis_t now, hops_tree_t *tree_r)
{
    trace_t *trace;
    if (!all && now < self->due)
        return false;
    while ((trace = find_due(self, all, now))) {
        bool is_built = build(self, trace, tree_r);
        if (trace->open == 0)
            set_due(self, trace, now + HOPS_JOINED_MS);
        if (is_built)
            return true;
    }
    return false;
}
