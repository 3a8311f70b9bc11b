#include "tree_state.h"

#include <czmq.h>
#include <string.h>
#include <sysexits.h>

#include "ask.h"
#include "canvass.h"
#include "invariant.h"
#include "talk.h"

enum { PAGES_MOST = 64 };  //  Of one node; a page has 64 streams or nodes

//  What one node answered, page after page.
typedef struct pages {
    message_t *all[PAGES_MOST];
    size_t count;
} pages_t;

static void
drop(pages_t *pages)
{
    while (pages->count > 0)
        message_free(&pages->all[--pages->count]);
}

static const Rill__V1__Report *
report_of(const pages_t *pages, size_t page)
{
    return page < pages->count ? pages->all[page]->report : NULL;
}

//  Where more begins than there is in these; 0: nowhere.
static uint64_t
rest_of(const pages_t *pages)
{
    return pages->count ? report_of(pages, pages->count - 1)->next : 0;
}

//  Whether more is to be asked, and from where.
static bool
goes_on(const pages_t *pages, uint64_t *from_r)
{
    *from_r = rest_of(pages);
    return pages->count < PAGES_MOST && (pages->count == 0 || *from_r);
}

/*------------------------------------------------------------- the director */

static bool
is_forwarder(const Rill__V1__Report *report)
{
    return streq(report->role, "forwarder");
}

static int
ask_director(const words_t *words, pages_t *pages, bool forwarder)
{
    client_t *client = NULL;
    int code = ask_open(words, &client);
    uint64_t from;
    while (code == EX_OK && goes_on(pages, &from)) {
        Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
        body.from = from;
        message_t question = MESSAGE(STATUS_ASK, status_ask, &body, 0, 0);
        message_t *answer;
        status_t status = client_ask(client, &question, &answer);
        if (status != STATUS_OK)
            code = ask_fail(words, client, status, NULL);
        else if (answer->body_case != RILL__V1__MESSAGE__BODY_REPORT ||
                 (!answer->report->n_nodes &&
                  !(forwarder && is_forwarder(answer->report)))) {
            message_free(&answer);
            code = talk_fail(words->verb->name, EX_DATAERR,
                             "%s is no director; say --at or RILL_DIRECTOR",
                             words->at);
        } else
            pages->all[pages->count++] = answer;
    }
    client_destroy(&client);
    return code;
}

/*---------------------------------------------------------------- the nodes */

//  Ask those of whom `pages` are wanted for all they have to tell.
static void
ask_nodes(canvass_t *canvass, pages_t *pages, const bool *wanted, size_t count,
          millis_t until)
{
    bool *open = zmalloc((count + 1) * sizeof *open);
    memcpy(open, wanted, count * sizeof *open);
    for (bool any = true; any;) {
        uint64_t from;
        any = false;
        for (size_t i = 0; i < count; i++) {
            open[i] = open[i] && goes_on(&pages[i], &from);
            if (!open[i])
                continue;
            Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
            body.from = from;
            message_t question = MESSAGE(STATUS_ASK, status_ask, &body, 0, 0);
            canvass_ask(canvass, i, &question);
        }
        canvass_wait(canvass, until);
        for (size_t i = 0; i < count; i++) {
            message_t *answer = open[i] ? canvass_take(canvass, i) : NULL;
            open[i] = answer &&
                      answer->body_case == RILL__V1__MESSAGE__BODY_REPORT;
            if (open[i])
                pages[i].all[pages[i].count++] = answer;
            else
                message_free(&answer);
            any = any || open[i];
        }
    }
    free(open);
}

//  Nodes that are asked together, at `before` and `after`.
typedef struct {
    tree_node_t *nodes;
    size_t count;
    canvass_t *canvass;
    pages_t *before, *after;
} look_t;

static void
first_look(look_t *look, millis_t until)
{
    const char **ats = zmalloc((look->count + 1) * sizeof *ats);
    bool *wanted = zmalloc((look->count + 1) * sizeof *wanted);
    for (size_t i = 0; i < look->count; i++) {
        ats[i] = look->nodes[i].node->at;
        wanted[i] = true;
    }
    look->canvass = canvass_new(ats, look->count);
    ask_nodes(look->canvass, look->before, wanted, look->count, until);
    free(ats);
    free(wanted);
}

static void
second_look(look_t *look)
{
    bool *wanted = zmalloc((look->count + 1) * sizeof *wanted);
    for (size_t i = 0; i < look->count; i++)
        wanted[i] = look->before[i].count > 0;
    ask_nodes(look->canvass, look->after, wanted, look->count,
              zclock_mono() + TREE_ANSWER_MS);
    for (size_t i = 0; i < look->count; i++)
        look->nodes[i].ms = canvass_ms(look->canvass, i);
    canvass_destroy(&look->canvass);
    free(wanted);
}

/*--------------------------------------------------------- what came of that */

static uint64_t
counter(const Rill__V1__Report *report, counter_t which)
{
    return counters_find(report->counters, report->n_counters,
                         counters_series(which)->name);
}

static uint64_t
bytes_in(const Rill__V1__Report *report)
{
    return report->received_bytes + counter(report, COUNTER_taken_bytes_total);
}

static uint64_t
rate(uint64_t before, uint64_t after, int64_t took_ms)
{
    return after > before ? (after - before) * 8000 / (uint64_t)took_ms : 0;
}

static const Rill__V1__StreamReport *
stream_of(const pages_t *pages, uint64_t id)
{
    for (size_t page = 0; page < pages->count; page++) {
        const Rill__V1__Report *report = report_of(pages, page);
        for (size_t i = 0; i < report->n_carried; i++)
            if (report->carried[i]->stream == id)
                return report->carried[i];
    }
    return NULL;
}

//  What came into a node of a stream; into the origin all that there is.
static uint64_t
came(const tree_node_t *node, const Rill__V1__StreamReport *stream)
{
    return node->node->tier
               ? stream->bytes_from_parents + stream->bytes_from_siblings
               : stream->head;
}

static void
rate_stream(const tree_node_t *node, const pages_t *before,
            tree_stream_t *stream, int64_t took_ms)
{
    const Rill__V1__StreamReport *was = stream_of(before, stream->told->stream);
    stream->rated = was != NULL;
    if (!was)
        return;
    stream->in_bps = rate(came(node, was), came(node, stream->told), took_ms);
    stream->out_bps = rate(was->bytes_given, stream->told->bytes_given,
                           took_ms);
}

static void
add_streams(tree_node_t *node, const pages_t *before, const pages_t *after,
            int64_t took_ms)
{
    for (size_t page = 0; page < after->count; page++)
        node->streams_count += report_of(after, page)->n_carried;
    node->streams = zmalloc((node->streams_count + 1) * sizeof *node->streams);
    tree_stream_t *stream = node->streams;
    for (size_t page = 0; page < after->count; page++) {
        const Rill__V1__Report *report = report_of(after, page);
        for (size_t i = 0; i < report->n_carried; i++, stream++) {
            stream->told = report->carried[i];
            stream->name = stream->told->name;
            node->window_bytes += stream->told->window_bytes;
            if (stream->told->window_ms > node->window_ms)
                node->window_ms = stream->told->window_ms;
            if (took_ms > 0)
                rate_stream(node, before, stream, took_ms);
        }
    }
}

static void
add_node(tree_node_t *node, const pages_t *before, const pages_t *after)
{
    const Rill__V1__Report *was = report_of(before, 0);
    node->report = report_of(after, 0);
    node->before = was;
    int64_t took_ms = was && node->report
                          ? node->report->uptime_ms - was->uptime_ms
                          : 0;
    //  Who was silent at the second look is known from the first.
    if (!node->report)
        node->report = was;
    if (!node->report)
        return;
    node->viewers = counter(node->report, COUNTER_sessions);
    node->bytes_in = bytes_in(node->report);
    node->bytes_out = counter(node->report, COUNTER_given_bytes_total);
    node->rated = took_ms > 0;  //  Else it began anew between the two
    if (node->rated) {
        node->in_bps = rate(bytes_in(was), node->bytes_in, took_ms);
        node->out_bps = rate(counter(was, COUNTER_given_bytes_total),
                             node->bytes_out, took_ms);
    }
    const pages_t *last = after->count ? after : before;
    node->cut = rest_of(last) != 0;
    add_streams(node, before, last, took_ms);
}

static const tree_stream_t *
find_stream(const tree_node_t *node, uint64_t stream)
{
    for (size_t i = 0; i < node->streams_count; i++)
        if (node->streams[i].told->stream == stream)
            return &node->streams[i];
    return NULL;
}

//  How far behind the origin, by bytes and by when chunks were cut.
static void
find_lag(tree_stream_t *stream, const tree_stream_t *origin)
{
    const Rill__V1__StreamReport *here = stream->told;
    const Rill__V1__StreamReport *there = origin ? origin->told : here;
    if (there->head > here->reached)
        stream->lag_bytes = there->head - here->reached;
    stream->timed = stream->lag_bytes == 0 ||
                    (here->newest_us && there->newest_us);
    if (stream->lag_bytes && there->newest_us > here->newest_us)
        stream->lag_ms = (uint64_t)(there->newest_us - here->newest_us) / 1000;
}

static int
by_name(const void *a, const void *b)
{
    const tree_stream_t *one = a, *other = b;
    return strcmp(one->name, other->name);
}

//  What a node tells is completed by what others do, and put in order.
static void
complete(tree_state_t *state)
{
    for (size_t i = 0; i < state->count; i++)
        for (size_t s = 0; s < state->nodes[i].streams_count; s++) {
            tree_stream_t *stream = &state->nodes[i].streams[s];
            uint64_t id = stream->told->stream;
            for (size_t n = 0; n < state->count && !*stream->name; n++) {
                const tree_stream_t *same = find_stream(&state->nodes[n], id);
                stream->name = same ? same->told->name : "";
            }
            if (*stream->told->source)
                find_lag(stream, find_stream(&state->nodes[0], id));
        }
    for (size_t i = 0; i < state->count; i++)
        if (state->nodes[i].streams_count)
            qsort(state->nodes[i].streams, state->nodes[i].streams_count,
                  sizeof *state->nodes[i].streams, by_name);
}

//  The nodes that the director told; of a forwarder itself.
static void
list_nodes(const words_t *words, tree_state_t *state)
{
    const pages_t *told = &state->pages[0];
    const Rill__V1__Report *first = report_of(told, 0);
    snprintf(state->director, sizeof state->director, "%s", first->node);
    state->cut = rest_of(told) != 0 && first->n_nodes;
    for (size_t page = 0; page < told->count; page++)
        state->count += report_of(told, page)->n_nodes;
    state->nodes = zmalloc((state->count + 1) * sizeof *state->nodes);
    tree_node_t *node = state->nodes;
    for (size_t page = 0; page < told->count; page++) {
        const Rill__V1__Report *report = report_of(told, page);
        for (size_t i = 0; i < report->n_nodes; i++)
            (node++)->node = report->nodes[i];
    }
    if (first->n_nodes)
        return;
    state->count = 1;
    node->node = &state->places[0];
    rill__v1__node_report__init(&state->places[0]);
    state->places[0].name = first->node;
    state->places[0].at = message_lend(words->at);
    state->places[0].offered = true;
}

//  Workers, as the forwarder knows them.
static void
list_workers(tree_state_t *state, const Rill__V1__Report *origin)
{
    state->workers = zmalloc((origin->n_workers + 1) * sizeof *state->workers);
    for (size_t i = 0; i < origin->n_workers; i++) {
        Rill__V1__NodeReport *place = &state->places[i + 1];
        rill__v1__node_report__init(place);
        place->name = origin->workers[i]->name;
        char *reach = origin->workers[i]->reach;
        place->at = strncmp(reach, "tcp://", 6) == 0 ? reach + 6 : reach;
        state->workers[state->workers_count++].node = place;
    }
}

enum { WORKERS_MOST = 512 };  //  Of a Report: those there and those lost

static int
ask_all(const words_t *words, tree_state_t *state, bool workers)
{
    *state = (tree_state_t){ .pages_count = 1 };
    state->pages = zmalloc(sizeof *state->pages);
    int code = ask_director(words, &state->pages[0], workers);
    if (code != EX_OK) {
        tree_state_free(state);
        return code;
    }
    state->places = zmalloc((WORKERS_MOST + 1) * sizeof *state->places);
    list_nodes(words, state);
    size_t room = 1 + 2 * (state->count + WORKERS_MOST);
    state->pages = realloc(state->pages, room * sizeof *state->pages);
    INVARIANT(state->pages);
    memset(state->pages + 1, 0, (room - 1) * sizeof *state->pages);
    state->pages_count = room;
    pages_t *pages = state->pages + 1;
    millis_t begun = zclock_mono();
    look_t nodes = { state->nodes, state->count, NULL, pages,
                     pages + state->count };
    first_look(&nodes, begun + TREE_ANSWER_MS);
    const Rill__V1__Report *origin = report_of(&nodes.before[0], 0);
    if (workers && origin && origin->n_workers <= WORKERS_MOST)
        list_workers(state, origin);
    pages += 2 * state->count;
    look_t stores = { state->workers, state->workers_count, NULL, pages,
                      pages + state->workers_count };
    first_look(&stores, zclock_mono() + TREE_ANSWER_MS);
    millis_t left = begun + TREE_RATE_MS - zclock_mono();
    if (left > 0)
        zclock_sleep((int)left);
    second_look(&nodes);
    second_look(&stores);
    for (size_t i = 0; i < nodes.count; i++)
        add_node(&nodes.nodes[i], &nodes.before[i], &nodes.after[i]);
    for (size_t i = 0; i < stores.count; i++)
        add_node(&stores.nodes[i], &stores.before[i], &stores.after[i]);
    complete(state);
    return EX_OK;
}

uint64_t
tree_node_value(const tree_node_t *node, counter_t which)
{
    const Rill__V1__Report *report = node->report;
    return report ? counters_find(report->counters, report->n_counters,
                                  counters_series(which)->name)
                  : 0;
}

double
tree_node_quantile(const tree_node_t *node, counter_time_t which, double part)
{
    const char *name = counters_series(COUNTERS_COUNT + which)->name;
    if (!node->report)
        return -1;
    double lately = counters_quantile(node->report, node->before, name, part);
    return lately >= 0 ? lately
                       : counters_quantile(node->report, NULL, name, part);
}

uint64_t
tree_node_lag_ms(const tree_node_t *node)
{
    uint64_t most = 0;
    for (size_t i = 0; i < node->streams_count; i++)
        if (node->streams[i].timed && node->streams[i].lag_ms > most)
            most = node->streams[i].lag_ms;
    return most;
}

int
tree_state_ask(const words_t *words, tree_state_t *state_r)
{
    return ask_all(words, state_r, false);
}

int
tree_state_ask_all(const words_t *words, tree_state_t *state_r)
{
    return ask_all(words, state_r, true);
}

void
tree_state_free(tree_state_t *state)
{
    for (size_t i = 0; i < state->count && state->nodes; i++)
        free(state->nodes[i].streams);
    for (size_t i = 0; i < state->workers_count; i++)
        free(state->workers[i].streams);
    for (size_t i = 0; i < state->pages_count; i++)
        drop(&state->pages[i]);
    free(state->nodes);
    free(state->workers);
    free(state->places);
    free(state->pages);
    *state = (tree_state_t){ 0 };
}
