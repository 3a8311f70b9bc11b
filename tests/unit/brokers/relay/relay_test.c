#include "relay.h"

#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "ears.h"
#include "proof.h"
#include "sessions.h"

/*  One cache "a" of the group "town" below p1 and p2, with the sibling "b";
 *  what it says is kept, and its world is this file.
 */
enum { STREAM = 9, SAID = 4096, BYTES = 100 };
enum { P1, P2, B };  //  Its links

typedef struct {
    int link;  //  -1: to the peer at its front
    int peer;
    buffer_t *head;
    uint64_t topic;  //  Not 0: published
} said_t;

static said_t said[SAID];
static size_t said_count;
static relay_t *relay;
static ears_t ears;  //  Closed, but where a case is about them

static uint64_t
counted(counter_t which)
{
    counters_t counters = { 0 };
    relay_count(relay, &counters);
    return counters.values[which];
}
static uint64_t chance_now, heard_topic;
static int heard_link, hung_up[3];
static millis_t now;
static micros_t created = 1000000000;  //  Chunks that are published
static micros_t told_us;  //  The origin's clock, in Kept and Answer

static int gone = -1;  //  Who is not there any more

static peer_t
peer_of(int number)
{
    return (peer_t){ .size = 1, .bytes = { (uint8_t)number } };
}

static void
keep_said(int link, int peer, uint64_t topic, const message_t *message)
{
    CHECK(said_count < SAID);
    said[said_count++] = (said_t){ link, peer, message_pack(message), topic };
}

static status_t
send_front(void *with, const peer_t *peer, const message_t *message,
           buffer_t *payload)
{
    (void)with, (void)payload;
    if (peer->bytes[0] == gone)
        return STATUS_UNREACHABLE;
    keep_said(-1, peer->bytes[0], 0, message);
    return STATUS_OK;
}

static status_t
tell(void *with, int link, const message_t *message)
{
    (void)with;
    keep_said(link, 0, 0, message);
    return STATUS_OK;
}

static void
hang_up(void *with, int link)
{
    (void)with;
    hung_up[link]++;
}

static void
subscribe(void *with, int link, const char *publish_at, uint64_t stream,
          uint64_t topic, bool on)
{
    (void)with, (void)publish_at, (void)stream;
    if (on) {
        heard_link = link;
        heard_topic = topic;
    } else if (heard_topic == topic)
        heard_link = -1;
}

static void
publish(void *with, uint64_t stream, uint64_t topic, const message_t *message,
        buffer_t *payload)
{
    (void)with, (void)stream, (void)payload;
    keep_said(-2, 0, topic, message);
}

static void
cast(void *with, int link, const packet_t *packet)
{
    (void)with, (void)link, (void)packet;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return ++chance_now;
}

//  A disk: what it was told to keep, and what is asked of it.
static buffer_t *kept_there[SAID];
static uint64_t kept_count, recalled_last, released;
static size_t recalls;
static status_t recall_says;
static bool release_busy;

static status_t
keep(void *with, uint64_t number, const chunk_header_t *header,
     buffer_t *payload)
{
    (void)with, (void)header;
    CHECK(number == kept_count + 1 && number < SAID);
    kept_there[++kept_count] = buffer_ref(payload);
    return STATUS_OK;
}

static status_t
recall(void *with, uint64_t number)
{
    (void)with;
    CHECK(number <= kept_count);
    recalled_last = number;
    recalls++;
    return recall_says;
}

static status_t
release(void *with, uint64_t first)
{
    (void)with;
    CHECK(first >= released);
    if (release_busy)
        return STATUS_BUSY;
    released = first;
    return STATUS_OK;
}

static void
note(void *with, const char *text)
{
    (void)with, (void)text;
}

static void
forget(void)
{
    for (size_t i = 0; i < said_count; i++)
        buffer_unref(&said[i].head);
    said_count = 0;
}

static void
wipe(void)
{
    while (kept_count)
        buffer_unref(&kept_there[kept_count--]);
    recalls = 0;
    released = 0;
}

static void
begin_with(size_t window_bytes, size_t disk_bytes)
{
    static const char *const PARENTS[] = { "p1", "p2" };
    static const char *const SIBLINGS[] = { "b" };
    relay_settings_t settings = {
        .node = "a",
        .group = "town",
        .tier = 1,
        .parents = PARENTS,
        .parents_count = 2,
        .siblings = SIBLINGS,
        .siblings_count = 1,
        .window_bytes = window_bytes,
        .disk_bytes = disk_bytes,
        .window_ms = 60000,
        .patience = 1,
        .publish_at = "tcp://127.0.0.1:1",
        .incarnation = 7,
        .sink = &ears.sink,
    };
    static const relay_effects_t EFFECTS = {
        .send = send_front,
        .tell = tell,
        .hang_up = hang_up,
        .subscribe = subscribe,
        .publish = publish,
        .cast = cast,
        .random = chance,
        .keep = keep,
        .recall = recall,
        .release = release,
        .note = note,
    };
    forget();
    relay_destroy(&relay);
    wipe();
    now = 1000;
    heard_link = -1;
    memset(hung_up, 0, sizeof hung_up);
    relay = relay_new(&settings, &EFFECTS, NULL, now);
}

static void
begin(void)
{
    begin_with(1 << 20, 0);
}

//  Let time pass, as an owner does.
static void
pass(millis_t span)
{
    millis_t until = now + span;
    while (now < until) {
        millis_t due = relay_due(relay);
        now = due < until ? (due > now ? due : now + 1) : until;
        if (relay_due(relay) <= now)
            relay_sweep(relay, now);
    }
}

//  How often a body was said over a link; the last one, to be freed.
static size_t
count(int link, int body, message_t **last_r)
{
    size_t found = 0;
    for (size_t i = 0; i < said_count; i++) {
        message_t *message;
        CHECK(message_unpack(buffer_bytes(said[i].head),
                             buffer_size(said[i].head), &message) == STATUS_OK);
        if (said[i].link == link && (int)message->body_case == body) {
            found++;
            if (last_r) {
                message_free(last_r);
                *last_r = message;
                continue;
            }
        }
        message_free(&message);
    }
    return found;
}

#define BODY(KIND) RILL__V1__MESSAGE__BODY_##KIND

static void
watch(int peer, uint64_t request, uint64_t from, uint64_t credit)
{
    Rill__V1__Watch body = RILL__V1__WATCH__INIT;
    body.which_case = RILL__V1__WATCH__WHICH_NAME;
    body.name = message_lend("cam");
    body.from_case = RILL__V1__WATCH__FROM_OFFSET;
    body.offset = from;
    body.credit = credit;
    message_t message = MESSAGE(WATCH, watch, &body, request, 0);
    peer_t who = peer_of(peer);
    CHECK(relay_on_front(relay, &who, &message, now));
}

static void
stop(int peer, uint64_t request)
{
    Rill__V1__Stop body = RILL__V1__STOP__INIT;
    message_t message = MESSAGE(STOP, stop, &body, request, 0);
    peer_t who = peer_of(peer);
    CHECK(relay_on_front(relay, &who, &message, now));
}

//  Answer the last Describe that was passed to p1.
static void
describe_from(uint64_t first, uint64_t head)
{
    message_t *asked = NULL;
    CHECK(count(P1, BODY(DESCRIBE), &asked) > 0);
    Rill__V1__Described body = RILL__V1__DESCRIBED__INIT;
    body.stream = STREAM;
    body.name = message_lend("cam");
    body.first = first;
    body.stored = body.size = head;
    body.now_us = 1000000000;
    message_t message = MESSAGE(DESCRIBED, described, &body, asked->request, 0);
    message_free(&asked);
    relay_on_link(relay, P1, &message, NULL, now);
}

static void
describe(uint64_t head)
{
    describe_from(0, head);
}

static void
kept(int link, const char *node, unsigned tier, Rill__V1__Carry state,
     uint64_t topic, const char *carrier, uint64_t head)
{
    message_t *asked = NULL;
    CHECK(count(link, BODY(KEEP), &asked) > 0);
    Rill__V1__Item item = RILL__V1__ITEM__INIT;
    Rill__V1__Item *list = &item;
    item.stream = STREAM;
    item.state = state;
    item.topic = topic;
    item.grant = 1;
    item.carrier = message_lend(carrier);
    item.head = head;
    item.as_of_us = 1000000000;
    Rill__V1__Kept body = RILL__V1__KEPT__INIT;
    body.seq = asked->keep->seq;
    body.node = message_lend(node);
    body.tier = tier;
    body.publish_at = message_lend("tcp://127.0.0.1:2");
    body.now_us = told_us;
    body.items = &list;
    body.n_items = 1;
    message_t message = MESSAGE(KEPT, kept, &body, 0, 0);
    message_free(&asked);
    relay_on_link(relay, link, &message, NULL, now);
}

static buffer_t *
chunk_at(uint64_t offset, chunk_header_t *header_r)
{
    buffer_t *payload = buffer_new(BYTES);
    memset(buffer_fill(payload), (int)(offset % 251), BYTES);
    *header_r = (chunk_header_t){
        .key = { .stream = STREAM, .epoch = 1 },
        .code = { .k = 1 },
        .width = 1,
        .offset = offset,
        .length = BYTES,
        .created_us = created,
        .kind = KIND_LIVE,
        .name = "cam",
        .payload_crc = checksum_crc32c(buffer_bytes(payload), BYTES),
    };
    return payload;
}

static void
published(uint64_t offset)
{
    chunk_header_t header;
    chunk_on_wire_t wire;
    buffer_t *payload = chunk_at(offset, &header);
    message_from_chunk(&header, &wire);
    Rill__V1__Flow body = RILL__V1__FLOW__INIT;
    body.chunk = &wire.header;
    body.now_us = created;
    message_t message = MESSAGE(FLOW, flow, &body, 0, 0);
    relay_on_published(relay, heard_link, STREAM, heard_topic, &message,
                       payload, now);
    buffer_unref(&payload);
}

static void
watch_time(int peer, uint64_t request, micros_t time_us)
{
    Rill__V1__Watch body = RILL__V1__WATCH__INIT;
    body.which_case = RILL__V1__WATCH__WHICH_NAME;
    body.name = message_lend("cam");
    body.from_case = RILL__V1__WATCH__FROM_TIME_US;
    body.time_us = time_us;
    body.credit = 1;
    message_t message = MESSAGE(WATCH, watch, &body, request, 0);
    peer_t who = peer_of(peer);
    CHECK(relay_on_front(relay, &who, &message, now));
}

//  Answer the last Locate that was passed to p1.
static void
located(bool found, uint64_t offset)
{
    message_t *asked = NULL;
    CHECK(count(P1, BODY(LOCATE), &asked) > 0);
    Rill__V1__Located body = RILL__V1__LOCATED__INIT;
    body.found = found;
    body.offset = offset;
    body.created_us = asked->locate->time_us;
    message_t message = MESSAGE(LOCATED, located, &body, asked->request, 0);
    message_free(&asked);
    relay_on_link(relay, P1, &message, NULL, now);
}

//  A viewer at the live edge; p1 granted the stream.
static void
carry_with(size_t window_bytes, size_t disk_bytes)
{
    begin_with(window_bytes, disk_bytes);
    watch(1, 5, 1000, 1 << 20);
    describe(1000);
    pass(20);
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    CHECK(heard_link == P1 && heard_topic == 77);
}

static void
carry(void)
{
    carry_with(1 << 20, 0);
}

//  Answer the last Ask that a link was sent, which must be for `offset`.
static void
answered(int link, uint64_t offset)
{
    message_t *asked = NULL;
    CHECK(count(link, BODY(ASK), &asked) > 0 && asked->ask->offset == offset);
    chunk_header_t header;
    chunk_on_wire_t wire;
    buffer_t *payload = chunk_at(offset, &header);
    message_from_chunk(&header, &wire);
    Rill__V1__Answer body = RILL__V1__ANSWER__INIT;
    body.chunk = &wire.header;
    body.now_us = told_us;
    message_t message = MESSAGE(ANSWER, answer, &body, asked->request, 0);
    relay_on_link(relay, link, &message, payload, now);
    buffer_unref(&payload);
    message_free(&asked);
}

static void
ask(int peer, uint64_t offset, uint32_t budget_ms)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = STREAM;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = offset;
    body.budget_ms = budget_ms;
    message_t message = MESSAGE(ASK, ask, &body, offset + 1, 0);
    peer_t who = peer_of(peer);
    CHECK(relay_on_front(relay, &who, &message, now));
}

static void
a_session_is_one_range(void)
{
    carry();
    published(1000);
    published(1200);  //  One is missing
    CHECK(count(-1, BODY(FLOW), NULL) == 1);
    CHECK(count(P1, BODY(ASK), NULL) == 1);
    answered(P1, 1100);
    message_t *flow = NULL;
    CHECK(count(-1, BODY(FLOW), &flow) == 3 && flow->flow->from == 1200);
    message_free(&flow);
}

static void
a_flight_ends_with_its_last_waiter(void)
{
    carry();
    published(1000);
    published(1200);  //  One is missing
    CHECK(count(P1, BODY(ASK), NULL) == 1);
    published(1100);  //  It comes by itself: nobody waits for it any more
    relay_on_disconnect(relay, P1, now);
    pass(100);
    CHECK(count(P2, BODY(ASK), NULL) == 0);
}

//  A parent grants, and tells the origin's clock, which is not that of chunks.
static void
granted_at(micros_t time_us)
{
    told_us = time_us;
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    told_us = 0;
}

//  Whether what is published now is held.
static bool
holds(uint64_t offset)
{
    published(offset);
    pass(150);
    forget();
    ask(3, offset, 1000);
    return count(-1, BODY(ANSWER), NULL) == 1;
}

static void
a_stepped_clock_empties_no_window(void)
{
    carry();
    granted_at(created + 3600000000);
    CHECK(!holds(1000));
    carry();
    granted_at(created + 3600000000);  //  The origin's clock, by an hour
    pass(20);
    granted_at(created + 1000000);  //  And is set right
    CHECK(holds(1000));
}

static void
a_stale_word_turns_no_clock_back(void)
{
    carry();
    granted_at(created + 3600000000);
    published(1000);  //  What somebody was told an hour ago
    CHECK(!holds(1100));
    //  Who hears nothing of the origin any more says the same time again.
    carry();
    granted_at(created + 1000000);
    ask(3, 500, 1000);
    told_us = created + 3600000000;
    answered(P1, 500);
    granted_at(created + 1000000);
    CHECK(!holds(1000));
}

//  The sibling "b" says whether it wants the stream of this one.
static void
b_keeps(bool wants)
{
    Rill__V1__Want want = RILL__V1__WANT__INIT;
    Rill__V1__Want *list = &want;
    Rill__V1__Keep body = RILL__V1__KEEP__INIT;
    want.stream = STREAM;
    body.seq = 1;
    body.node = message_lend("b");
    body.group = message_lend("town");
    body.tier = 1;
    body.side = true;
    body.wants = &list;
    body.n_wants = wants;
    message_t message = MESSAGE(KEEP, keep, &body, 0, 0);
    peer_t sibling = peer_of(2);
    relay_on_front(relay, &sibling, &message, now);
}

static void
only_a_carrier_serves_siblings(void)
{
    message_t *answer = NULL;
    carry();
    b_keeps(true);
    CHECK(count(-1, BODY(KEPT), &answer) == 1);
    CHECK(answer->kept->items[0]->state == RILL__V1__CARRY__CARRY_SIDE);
    uint64_t topic = answer->kept->items[0]->topic;
    message_free(&answer);
    published(1000);
    CHECK(said[said_count - 1].link == -1 || said[said_count - 1].topic);
    size_t to_sibling = 0;
    for (size_t i = 0; i < said_count; i++)
        to_sibling += said[i].link == -2 && said[i].topic == topic;
    CHECK(to_sibling == 1);
    //  Its lease ends: nothing is published to it any more.
    pass(1000);
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1100);
    pass(900);
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1100);
    pass(200);
    published(1100);
    to_sibling = 0;
    for (size_t i = 0; i < said_count; i++)
        to_sibling += said[i].link == -2 && said[i].topic == topic;
    CHECK(to_sibling == 1);
    //  Who follows serves nobody.
    begin();
    watch(1, 5, 1000, 1 << 20);
    describe(1000);
    pass(20);
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_TAKEN, 0, "b", 1000);
    kept(B, "b", 1, RILL__V1__CARRY__CARRY_SIDE, 88, "", 1000);
    CHECK(heard_link == B && heard_topic == 88);
    b_keeps(true);
    answer = NULL;
    CHECK(count(-1, BODY(KEPT), &answer) == 1);
    CHECK(answer->kept->items[0]->state == RILL__V1__CARRY__CARRY_NOT);
    message_free(&answer);
}

static void
without_demand_nothing_is_said(void)
{
    begin();
    pass(5000);
    CHECK(said_count == 0 && relay_due(relay) == MILLIS_NEVER);
    carry();
    stop(1, 5);
    pass(SESSIONS_LEASE_MS);
    message_t *last = NULL;
    CHECK(count(P1, BODY(KEEP), &last) > 0 && last->keep->n_wants == 0);
    message_free(&last);
    CHECK(heard_link == -1 && hung_up[P1] == 1);
    forget();
    pass(20000);
    CHECK(said_count == 0);
    //  Who vanished without a word is forgotten with its lease.
    carry();
    for (int i = 0; i < 30; i++) {
        kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
        pass(500);
    }
    CHECK(heard_link == -1);
}

static void
who_has_gone_is_not_served_on(void)
{
    carry();
    watch(2, 6, 1000, 1 << 20);
    pass(1);
    CHECK(relay_counts(relay).sessions == 2);
    gone = 2;
    published(1000);
    pass(1);
    CHECK(relay_counts(relay).sessions == 1);
    CHECK(counted(COUNTER_chunks_delivered_total) == 1);
    gone = 1;
    published(1000 + BYTES);
    pass(1);
    CHECK(relay_counts(relay).sessions == 0);
    pass(5000);
    CHECK(heard_link == -1);
    gone = -1;
}

//  Else each cache on the way up would wait anew for sessions long ended.
static void
leases_do_not_linger(void)
{
    carry();
    stop(1, 5);
    for (int i = 0; i < 6; i++) {
        b_keeps(true);
        kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
        pass(500);
    }
    CHECK(heard_link == P1);
    b_keeps(false);
    pass(200);
    CHECK(heard_link == -1);
}

//  The best one is whom all of the group ask: else two are granted a stream.
static void
who_begins_anew_begins_with_the_best(void)
{
    begin();
    watch(1, 5, 1000, 1 << 20);
    describe(1000);
    pass(320);  //  No parent answers: it waits until it tries the next
    CHECK(count(P1, BODY(KEEP), NULL) > 0 && count(P2, BODY(KEEP), NULL) == 0);
    stop(1, 5);
    pass(5000);
    forget();
    watch(1, 6, 1000, 1 << 20);
    describe(1000);
    pass(20);
    CHECK(count(P1, BODY(KEEP), NULL) > 0 && count(P2, BODY(KEEP), NULL) == 0);
}

static void
a_source_is_granted(void)
{
    //  A kept of the wrong tier or name changes nothing.
    begin();
    watch(1, 5, 1000, 1 << 20);
    describe(1000);
    pass(20);
    kept(P1, "p1", 1, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    kept(P1, "px", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    CHECK(heard_link == -1);
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    CHECK(heard_link == P1);
    //  A silent parent is left for the next one; the office is kept meanwhile.
    relay_state_t state;
    pass(1150);
    CHECK(relay_states(relay, &state, 1) == 1 && state.source == P1);
    CHECK(count(P2, BODY(KEEP), NULL) > 0);
    kept(P2, "p2", 0, RILL__V1__CARRY__CARRY_GRANT, 78, "", 1000);
    CHECK(heard_link == P2 && heard_topic == 78);
    //  And the first is tried again, each second.
    size_t before = count(P1, BODY(KEEP), NULL);
    for (int i = 0; i < 4; i++) {
        pass(500);
        kept(P2, "p2", 0, RILL__V1__CARRY__CARRY_GRANT, 78, "", 1000);
    }
    CHECK(count(P1, BODY(KEEP), NULL) > before);
}

static void
every_ask_is_answered(void)
{
    begin();
    for (uint64_t i = 0; i < 20; i++) {
        Rill__V1__Ask body = RILL__V1__ASK__INIT;
        body.stream = STREAM;
        body.at_case = RILL__V1__ASK__AT_OFFSET;
        body.offset = i * BYTES;
        body.wait = i % 2;
        body.budget_ms = 2000;
        message_t message = MESSAGE(ASK, ask, &body, i + 1, 0);
        peer_t who = peer_of(3);
        CHECK(relay_on_front(relay, &who, &message, now));
    }
    pass(2500);
    CHECK(count(-1, BODY(REFUSED), NULL) == 20);
    CHECK(relay_counts(relay).flights == 0);
}

static void
what_comes_late_is_not_asked_for(void)
{
    //  The parent tells heads that what it publishes is far behind.
    enum { BEHIND = 50 };
    carry();
    for (uint64_t i = 0; i < 40; i++) {
        published(1000 + i * BYTES);
        pass(100);
        if (i % 4 == 0)
            kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "",
                 1000 + (i + BEHIND) * BYTES);
    }
    CHECK(count(P1, BODY(ASK), NULL) == 0);
    //  When nothing comes any more the tail is.
    for (int i = 0; i < 3; i++) {
        pass(400);
        kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "",
             1000 + (40 + BEHIND) * BYTES);
    }
    message_t *asked = NULL;
    CHECK(count(P1, BODY(ASK), &asked) == 1);
    CHECK(asked->ask->offset == 1000 + 40 * BYTES);
    message_free(&asked);
}

static void
what_turns_out_to_be_old_is_asked_for_once(void)
{
    carry();
    published(1000);
    published(1000 + 2 * BYTES);
    CHECK(count(P1, BODY(ASK), NULL) == 1);
    micros_t before = created;
    created += 120000000;  //  The origin was away for two windows
    published(1000 + 3 * BYTES);
    created = before;
    answered(P1, 1000 + BYTES);
    created += 120000000;
    published(1000 + 4 * BYTES);
    created = before;
    CHECK(count(P1, BODY(ASK), NULL) == 1);
    CHECK(count(-1, BODY(FLOW), NULL) == 5);
}

static void
same_questions_are_asked_once(void)
{
    begin();
    for (int i = 0; i < 10; i++)
        watch(i, 5, 1000, 1 << 20);
    CHECK(count(P1, BODY(DESCRIBE), NULL) == 1);
    describe(1000);
    CHECK(count(-1, BODY(WATCHED), NULL) == 10);
    pass(20);
    CHECK(count(P1, BODY(KEEP), NULL) == 1);
}

//  What the relay reports, from a stream on; to be freed.
static message_t *
report(uint64_t from)
{
    Rill__V1__StatusAsk body = RILL__V1__STATUS_ASK__INIT;
    body.from = from;
    message_t message = MESSAGE(STATUS_ASK, status_ask, &body, 9, 0);
    peer_t who = peer_of(8);
    message_t *last = NULL;
    CHECK(relay_on_front(relay, &who, &message, now));
    CHECK(count(-1, BODY(REPORT), &last) > 0 && last->request == 9);
    return last;
}

static void
keep_side(uint64_t seq)
{
    Rill__V1__Want want = RILL__V1__WANT__INIT;
    Rill__V1__Want *list = &want;
    want.stream = STREAM;
    Rill__V1__Keep body = RILL__V1__KEEP__INIT;
    body.seq = seq;
    body.node = message_lend("b");
    body.group = message_lend("town");
    body.tier = 1;
    body.incarnation = 3;
    body.side = true;
    body.wants = &list;
    body.n_wants = 1;
    message_t message = MESSAGE(KEEP, keep, &body, 0, 0);
    peer_t who = peer_of(2);
    CHECK(relay_on_front(relay, &who, &message, now));
}

static void
it_reports_what_it_carries_and_for_whom(void)
{
    carry();
    keep_side(1);
    published(1000);
    published(1000 + BYTES);
    message_t *said_last = report(0);
    CHECK(said_last->report->n_carried == 1 && said_last->report->next == 0);
    const Rill__V1__StreamReport *stream = said_last->report->carried[0];
    CHECK(stream->stream == STREAM && strcmp(stream->name, "cam") == 0);
    CHECK(strcmp(stream->source, "p1") == 0 && stream->carries);
    CHECK(stream->watchers == 1 && stream->followers == 1);
    CHECK(stream->children == 0 && !stream->sealed);
    CHECK(stream->head == 1000 + 2 * BYTES && stream->reached == stream->head);
    CHECK(stream->window_bytes == 2 * BYTES);
    CHECK(stream->newest_us == 1000000000 && stream->window_ms == 0);
    CHECK(stream->bytes_from_parents == 2 * BYTES);
    CHECK(stream->bytes_from_siblings == 0);
    //  Once to the viewer, once to the sibling.
    CHECK(stream->bytes_given == 4 * BYTES);
    message_free(&said_last);
}

static void
a_long_report_goes_on_where_it_ended(void)
{
    enum { STREAMS = 2 * RELAY_TOLD + 5 };
    begin();
    for (uint64_t id = STREAMS; id > 0; id--) {
        Rill__V1__Ask body = RILL__V1__ASK__INIT;
        body.stream = id * 5 % STREAMS + 1;
        body.at_case = RILL__V1__ASK__AT_OFFSET;
        body.wait = true;
        message_t message = MESSAGE(ASK, ask, &body, id, 0);
        peer_t who = peer_of((int)id);
        CHECK(relay_on_front(relay, &who, &message, now));
    }
    uint64_t from = 0, heard = 0;
    for (int page = 0; page < 3; page++) {
        message_t *last = report(from);
        for (size_t i = 0; i < last->report->n_carried; i++)
            CHECK(last->report->carried[i]->stream == ++heard);
        from = last->report->next;
        CHECK(from == (page < 2 ? heard + 1 : 0));
        message_free(&last);
    }
    CHECK(heard == STREAMS);
}

//  A child's Keep for so many streams that nobody knows.
static void
keep_unknown(int child, unsigned count_, uint64_t first)
{
    Rill__V1__Want wants[500], *list[500];
    char node[16];
    snprintf(node, sizeof node, "x%d", child);
    Rill__V1__Keep body = RILL__V1__KEEP__INIT;
    body.seq = 1;
    body.node = node;
    body.group = message_lend("strangers");
    body.tier = 2;
    body.wants = list;
    body.n_wants = count_;
    for (unsigned i = 0; i < count_; i++) {
        rill__v1__want__init(&wants[i]);
        wants[i].stream = first + i;
        list[i] = &wants[i];
    }
    message_t message = MESSAGE(KEEP, keep, &body, 0, 0);
    peer_t peer = peer_of(100 + child);
    CHECK(relay_on_front(relay, &peer, &message, now));
}

static void
what_is_gone_begins_later_and_says_so(void)
{
    begin();
    watch(1, 5, 100, 1 << 20);
    describe_from(700, 1000);
    message_t *last = NULL;
    CHECK(count(-1, BODY(WATCHED), &last) == 1);
    CHECK(last->watched->from == 700 && last->watched->first == 700 &&
          last->watched->moved);
    message_free(&last);
    //  What is still to come, however far, is refused with what there is.
    watch(2, 6, UINT64_MAX, 1 << 20);
    if (count(-1, BODY(REFUSED), NULL) == 0)
        describe_from(700, 1000);
    CHECK(count(-1, BODY(REFUSED), &last) == 1);
    CHECK(last->request == 6 && last->refused->offset == 1000 &&
          message_status(last->refused->status) == STATUS_FUTURE);
    message_free(&last);
}

static void
what_nobody_knows_fills_nothing(void)
{
    //  Asks leave no trace; of what is wanted a bounded part is remembered.
    carry();
    forget();
    for (int i = 0; i < 200; i++) {
        Rill__V1__Ask body = RILL__V1__ASK__INIT;
        body.stream = 100000 + (uint64_t)i;
        body.at_case = RILL__V1__ASK__AT_OFFSET;
        message_t message = MESSAGE(ASK, ask, &body, 1, 0);
        peer_t who = peer_of(i);
        CHECK(relay_on_front(relay, &who, &message, now));
    }
    CHECK(relay_counts(relay).streams == 1);
    for (int child = 0; child < 10; child++)
        keep_unknown(child, 500, 1000 + 500 * (uint64_t)child);
    CHECK(relay_counts(relay).streams == 1025);
    //  What is known stays in the list that its parent is told.
    message_t *last = NULL;
    forget();
    pass(500);
    CHECK(count(P1, BODY(KEEP), &last) > 0);
    CHECK(last->keep->wants[0]->stream == STREAM);
    message_free(&last);
    //  And all of it is forgotten soon.
    for (int i = 0; i < 12; i++) {
        forget();
        pass(500);
        kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    }
    CHECK(relay_counts(relay).streams == 1);
}

static void
who_is_slow_is_waited_for(void)
{
    //  The first chunk of a parent takes half a second, and all come from it.
    begin();
    for (uint64_t i = 0; i < 8; i++)
        ask(3, i * BYTES, 5000);
    pass(500);
    CHECK(count(P1, BODY(ASK), NULL) == 8 && count(P2, BODY(ASK), NULL) == 0);
    answered(P1, 7 * BYTES);
    //  It is busy with the others: that it answers is enough.
    pass(900);
    CHECK(count(P2, BODY(ASK), NULL) == 0);
    //  Nor is it for ever.
    pass(3000);
    CHECK(count(P1, BODY(ASK), NULL) == 8 && count(P2, BODY(ASK), NULL) == 7);
    CHECK(count(-1, BODY(ANSWER), NULL) == 1);
}

static void
who_does_not_answer_is_asked_last(void)
{
    begin();
    ask(3, 0, 5000);
    pass(20);
    relay_on_disconnect(relay, P1, now);
    CHECK(count(P2, BODY(ASK), NULL) == 1);
    answered(P2, 0);
    ask(3, BYTES, 5000);
    pass(20);
    CHECK(count(P1, BODY(ASK), NULL) == 1 && count(P2, BODY(ASK), NULL) == 2);
    answered(P2, BYTES);
    //  The last there is to ask is asked once, and given time.
    relay_on_disconnect(relay, P2, now);
    pass(2500);
    ask(3, 2 * BYTES, 5000);
    pass(20);
    CHECK(count(P1, BODY(ASK), NULL) == 2);
    pass(1000);
    CHECK(count(P2, BODY(ASK), NULL) == 3);
    pass(900);
    answered(P2, 2 * BYTES);
    CHECK(count(P1, BODY(ASK), NULL) == 2 && count(P2, BODY(ASK), NULL) == 3);
    CHECK(count(-1, BODY(ANSWER), NULL) == 3);
}

//  Its connection broke while nothing was open: nobody waits to learn that.
static void
who_is_gone_is_asked_last(void)
{
    begin();
    relay_on_disconnect(relay, P1, now);
    ask(3, 0, 5000);
    pass(20);
    CHECK(count(P1, BODY(ASK), NULL) == 0 && count(P2, BODY(ASK), NULL) == 1);
    answered(P2, 0);
    CHECK(count(-1, BODY(ANSWER), NULL) == 1);
}

static void
a_time_is_located_once(void)
{
    begin();
    for (int i = 0; i < 10; i++)
        watch_time(i, 5, 900000000);
    describe(1000);
    message_t *watched = NULL;
    CHECK(count(P1, BODY(LOCATE), NULL) == 1);
    CHECK(count(-1, BODY(WATCHED), NULL) == 0);
    located(true, 700);
    CHECK(count(-1, BODY(WATCHED), &watched) == 10);
    CHECK(watched->watched->from == 700 && !watched->watched->moved);
    //  Before all there is: the oldest byte.
    watch_time(1, 6, 100000000);
    describe(1000);
    located(false, 0);
    CHECK(count(-1, BODY(WATCHED), &watched) == 11);
    CHECK(watched->watched->from == 0 && !watched->watched->moved);
    message_free(&watched);
    //  Nobody answers: so is every session.
    watch_time(2, 7, 200000000);
    describe(1000);
    pass(12100);
    CHECK(count(-1, BODY(REFUSED), NULL) == 1);
}

//  The origin asks its workers for 5 s, which may be slow or hang.
static void
a_slow_locate_is_waited_for(void)
{
    begin();
    watch_time(1, 5, 900000000);
    describe(1000);
    pass(5500);
    CHECK(count(P2, BODY(LOCATE), NULL) == 0);
    CHECK(count(-1, BODY(REFUSED), NULL) == 0);
    located(true, 700);
    message_t *watched = NULL;
    CHECK(count(-1, BODY(WATCHED), &watched) == 1);
    CHECK(watched->watched->from == 700);
    message_free(&watched);
}

static void
a_time_that_is_held_is_not_asked_for(void)
{
    carry();
    published(1000);
    published(1100);
    //  Both were made at that time: it is the last one, if none follows.
    watch_time(2, 6, 1000000000);
    CHECK(count(P1, BODY(LOCATE), NULL) == 1);
    created = 1000100000;
    published(1200);
    watch_time(3, 6, 1000000000);
    created = 1000000000;
    CHECK(count(P1, BODY(LOCATE), NULL) == 1);
    message_t *watched = NULL;
    CHECK(count(-1, BODY(WATCHED), &watched) == 2);
    CHECK(watched->watched->from == 1100);
    message_free(&watched);
}

//  A hundred chunks, of which memory has room for a few.
enum { PUBLISHED = 100, FIRST = 1000 };

static void
carry_on_disk(void)
{
    carry_with(20000, (size_t)64 << 20);
    for (int i = 0; i < PUBLISHED; i++)
        published(FIRST + (uint64_t)i * BYTES);
    CHECK(kept_count > PUBLISHED / 2 && kept_count < PUBLISHED);
    relay_counts_t counts = relay_counts(relay);
    CHECK(counts.disk_chunks == kept_count &&
          counts.window_chunks + kept_count == PUBLISHED);
    stop(1, 5);
    forget();
}

//  The disk gives back what was asked last.
static void
give_back(void)
{
    relay_recalled(relay, recalled_last, STATUS_OK, kept_there[recalled_last],
                   now);
}

static void
the_disk_is_part_of_the_window(void)
{
    carry_on_disk();
    //  Two who rewind to the first byte: each chunk is read once.
    watch(2, 6, FIRST, 1 << 20);
    watch(3, 6, FIRST, 1 << 20);
    for (int i = 0; i < PUBLISHED && recalls; i++)
        for (uint64_t n = 1; n <= kept_count; n++)
            relay_recalled(relay, n, STATUS_OK, kept_there[n], now);
    CHECK(recalls == kept_count &&
          counted(COUNTER_chunks_taken_total_disk) == recalls);
    CHECK(count(-1, BODY(FLOW), NULL) == 2 * PUBLISHED);
    message_t *flow = NULL;
    CHECK(count(-1, BODY(FLOW), &flow) &&
          flow->flow->from == FIRST + (PUBLISHED - 1) * BYTES);
    message_free(&flow);
    CHECK(count(P1, BODY(ASK), NULL) == 0 && count(B, BODY(ASK), NULL) == 0);
    //  An ask is answered from there too.
    ask(4, FIRST + 50, 5000);
    give_back();
    CHECK(count(-1, BODY(ANSWER), NULL) == 1);
    //  What is too old is forgotten, and the disk is told until it hears.
    stop(2, 6);
    stop(3, 6);
    created = 1000000000 + 61 * 1000000;
    published(FIRST + PUBLISHED * BYTES);
    created = 1000000000;
    release_busy = true;
    pass(200);
    CHECK(relay_counts(relay).disk_chunks == 0 && released <= kept_count);
    release_busy = false;
    pass(200);
    CHECK(released == kept_count + 1);
}

static void
what_the_disk_has_is_not_missing(void)
{
    //  One chunk is missing until memory has no room for those around it.
    enum { MISSING = 5 };
    carry_with(20000, (size_t)64 << 20);
    for (int i = 0; i < PUBLISHED; i++)
        if (i != MISSING)
            published(FIRST + (uint64_t)i * BYTES);
    CHECK(kept_count > PUBLISHED / 2);
    CHECK(count(P1, BODY(ASK), NULL) == 1);
    stop(1, 5);
    watch(1, 6, FIRST + (PUBLISHED - 1) * BYTES, 1 << 20);
    answered(P1, FIRST + MISSING * BYTES);
    CHECK(recalls == 0);
    relay_state_t state;
    CHECK(relay_states(relay, &state, 1) == 1);
    CHECK(state.held == FIRST + PUBLISHED * BYTES);
}

static void
what_a_disk_does_not_give_comes_from_upstream(void)
{
    carry_on_disk();
    //  Other bytes.
    ask(4, FIRST, 5000);
    CHECK(recalls == 1 && count(P1, BODY(ASK), NULL) == 0);
    buffer_t *wrong = buffer_new(BYTES);
    memset(buffer_fill(wrong), 1, BYTES);
    relay_recalled(relay, recalled_last, STATUS_OK, wrong, now);
    buffer_unref(&wrong);
    pass(20);
    CHECK(count(P1, BODY(ASK), NULL) == 1 &&
          count(-1, BODY(ANSWER), NULL) == 0);
    CHECK(counted(COUNTER_window_disk_failed_total_lost) == 1);
    answered(P1, FIRST);
    CHECK(count(-1, BODY(ANSWER), NULL) == 1);
    //  Nothing in time; what comes later is not waited for.
    ask(4, FIRST + BYTES, 5000);
    CHECK(recalls == 2);
    pass(300);
    CHECK(count(P1, BODY(ASK), NULL) == 2);
    answered(P1, FIRST + BYTES);
    give_back();
    CHECK(count(-1, BODY(ANSWER), NULL) == 2);
    //  The disk is gone, with one question open.
    ask(4, FIRST + 2 * BYTES, 5000);
    CHECK(recalls == 3);
    relay_on_disk_lost(relay, now);
    pass(20);
    CHECK(count(P1, BODY(ASK), NULL) == 3);
    ask(4, FIRST + 3 * BYTES, 5000);
    pass(20);
    CHECK(recalls == 3 && count(P1, BODY(ASK), NULL) == 4);
    CHECK(relay_counts(relay).disk_chunks == 0);
}

static void
ask_side(uint64_t offset)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = STREAM;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = offset;
    body.node = message_lend("b");
    body.group = message_lend("town");
    body.side = true;
    message_t message = MESSAGE(ASK, ask, &body, 8, 0);
    peer_t sibling = peer_of(2);
    CHECK(relay_on_front(relay, &sibling, &message, now));
}

//  The sibling was told MISS so often, and no parent was asked.
static void
check_missed(size_t times)
{
    message_t *refused = NULL;
    pass(20);
    CHECK(count(-1, BODY(REFUSED), &refused) == times &&
          (status_t)refused->refused->status == STATUS_MISS);
    message_free(&refused);
    CHECK(count(P1, BODY(ASK), NULL) == 0);
}

static void
a_sibling_is_given_what_the_disk_has(void)
{
    carry_on_disk();
    ask_side(FIRST);
    CHECK(recalls == 1);
    give_back();
    CHECK(count(-1, BODY(ANSWER), NULL) == 1);
    //  And its ask begins nothing when the disk has not,
    ask_side(FIRST + BYTES);
    CHECK(recalls == 2);
    relay_recalled(relay, recalled_last, STATUS_MISS, NULL, now);
    check_missed(1);
    //  or is busy,
    recall_says = STATUS_BUSY;
    ask_side(FIRST + 2 * BYTES);
    recall_says = STATUS_OK;
    CHECK(recalls == 3);
    check_missed(2);
    //  or has what is too old.
    created += 61 * 1000000;
    published(FIRST + PUBLISHED * BYTES);
    created -= 61 * 1000000;
    ask_side(FIRST);
    CHECK(recalls == 3);
    check_missed(3);
}

static void
who_joins_a_siblings_ask_is_served(void)
{
    carry_on_disk();
    ask_side(FIRST);
    ask(4, FIRST, 5000);
    CHECK(recalls == 1);
    relay_recalled(relay, recalled_last, STATUS_MISS, NULL, now);
    pass(20);
    CHECK(count(-1, BODY(REFUSED), NULL) == 0);
    answered(P1, FIRST);
    CHECK(count(-1, BODY(ANSWER), NULL) == 2);
}

//  A question of another node, with a trace.
static void
ask_traced(int peer, uint64_t request, uint64_t offset, uint64_t trace)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    body.stream = STREAM;
    body.at_case = RILL__V1__ASK__AT_OFFSET;
    body.offset = offset;
    message_t message = MESSAGE(ASK, ask, &body, request, trace);
    peer_t who = peer_of(peer);
    CHECK(relay_on_front(relay, &who, &message, now));
}

static void
a_trace_goes_on_and_is_joined(void)
{
    carry();
    ears_open(&ears);
    ask_traced(2, 6, 200, 0xa);
    ask_traced(3, 7, 200, 0xb);  //  Waits for the same
    pass(20);
    message_t *asked = NULL;
    CHECK(count(P1, BODY(ASK), &asked) == 1 && asked->trace == 0xa);
    message_free(&asked);
    answered(P1, 200);
    CHECK(ears.sourced == 2 && strcmp(ears.source, "p1") == 0 &&
          ears.joined == 0xa);
    ears_end(&ears);
}

//  So long by the clock of the ears, too.
static void
wait(millis_t span)
{
    pass(20);
    ears.clocks += (unsigned)span;
    pass(span);
}

static bool
was_told(const char *source, const char *tried, double least_ms)
{
    return strcmp(ears.source, source) == 0 && strcmp(ears.tried, tried) == 0 &&
           ears.tried_ms >= least_ms;
}

static void
who_was_asked_in_vain_is_told(void)
{
    begin();
    ears_open(&ears);
    //  The first one is given up, and the other one gives it.
    ask(3, 0, 5000);
    wait(1500);
    answered(P2, 0);
    CHECK(ears.sourced == 1 && was_told("p2", "p1", 1000));
    CHECK(ears.others_ms == 0);
    //  The one that was given up gives it after all.
    ask(3, 2 * BYTES, 5000);
    wait(3000);
    CHECK(count(P1, BODY(ASK), NULL) == 2);
    answered(P2, 2 * BYTES);
    CHECK(ears.sourced == 2 && was_told("p2", "", 0) && ears.source_ms >= 3000);
    //  The budget ends before anybody gave it.
    begin();
    ask(3, BYTES, 5000);
    wait(100);
    relay_on_disconnect(relay, P1, now);
    wait(6000);
    CHECK(ears.sourced == 3 && was_told("", "p2", 6000));
    CHECK(ears.others_ms >= 100 && ears.others_ms < 6000);
    //  Neither says what there is.
    Rill__V1__List list = RILL__V1__LIST__INIT;
    message_t message = MESSAGE(LIST, list, &list, 9, 0);
    peer_t who = peer_of(3);
    CHECK(relay_on_front(relay, &who, &message, now));
    ears.clocks += 500;
    pass(1000);
    ears.clocks += 1500;
    pass(1500);
    CHECK(ears.sourced == 4 && *ears.tried && ears.tried_ms >= 1500);
    CHECK(ears.others_ms >= 500 && ears.others_ms < 1500);
    ears_end(&ears);
}

static void
each_kind_is_told_once_at_its_place(void)
{
    begin();
    ears_open(&ears);
    watch(1, 5, 1000, BYTES);  //  The credit of one chunk
    CHECK(ears.told[RILL__V1__EVENT__WHAT_SESSION_OPENED] == 0);
    describe(1000);
    const event_t *event = EARS_LAST(&ears, SESSION_OPENED, 1);
    CHECK(event->stream == STREAM && strcmp(event->name, "cam") == 0 &&
          event->session_opened->session == 1 &&
          event->session_opened->from == 1000 &&
          event->session_opened->credit == BYTES);
    pass(20);
    CHECK(EARS_LAST(&ears, SIBLING_ASKED, 1)->sibling_asked->live);
    kept(P1, "p1", 0, RILL__V1__CARRY__CARRY_GRANT, 77, "", 1000);
    event = EARS_LAST(&ears, CARRIER_CLAIMED, 1);
    CHECK(strcmp(event->carrier_claimed->parent, "p1") == 0 &&
          event->carrier_claimed->grant == 1);
    CHECK(ears.told[RILL__V1__EVENT__WHAT_CARRIER_TOOK_OVER] == 0);
    published(1000);
    CHECK(ears.told[RILL__V1__EVENT__WHAT_SESSION_STALLED] == 0);
    CHECK(ears.told[RILL__V1__EVENT__WHAT_CHUNK_PUBLISHED] == 0);
    published(1100);  //  There is more than it may get: said once
    published(1200);
    event = EARS_LAST(&ears, SESSION_STALLED, 1);
    CHECK(event->session_stalled->at == 1100 &&
          event->session_stalled->behind == 100);
    stop(1, 5);
    event = EARS_LAST(&ears, SESSION_ENDED, 1);
    CHECK(event->session_ended->at == 1100 &&
          event->session_ended->bytes == BYTES &&
          event->session_ended->status == 0);
    watch(1, 6, 1000, BYTES);
    pass(SESSIONS_LEASE_MS + 1000);
    event = EARS_LAST(&ears, SESSION_ENDED, 2);
    CHECK(event->session_ended->status == RILL__V1__STATUS__STATUS_LATE);
    message_t strange = MESSAGE(WATCHED, watched, NULL, 0, 0);
    Rill__V1__Watched body = RILL__V1__WATCHED__INIT;
    strange.watched = &body;
    relay_on_link(relay, P1, &strange, NULL, now);
    event = EARS_LAST(&ears, FAULT_COUNTED, 1);
    CHECK(strcmp(event->fault_counted->where, "link") == 0 &&
          strcmp(event->fault_counted->what, "watched") == 0);
    ears_end(&ears);
}

static void
nobody_wanted_anything(void)
{
    CHECK(ears.all == 0 && ears.clocks == 0 && ears.sourced == 0);
}

static void
the_end(void)
{
    forget();
    wipe();
    relay_destroy(&relay);
    CHECK(buffer_total() == 0);
}

static void
its_own_packets_are_passed_over(void)
{
    begin();
    packet_t packet = { .type = PACKET_CARRY,
                        .group = packet_name("town"),
                        .node = packet_name("a"),
                        .incarnation = 7,
                        .counter = 1 };
    relay_on_packet(relay, &packet, now);
    CHECK(counted(COUNTER_packets_received_total) == 0);
    //  One of another start is a stranger's.
    packet.incarnation = 6;
    relay_on_packet(relay, &packet, now);
    CHECK(counted(COUNTER_packets_dropped_total_unknown) == 1);
}

int
main(void)
{
    ears_begin(&ears);
    CASE(a_session_is_one_range,
         "relay 1, invariant 12: a session is one range; what is missing is "
         "asked for at once");
    CASE(a_flight_ends_with_its_last_waiter,
         "relay 3, invariant 16: what nobody waits for any more is not asked "
         "of the next");
    CASE(a_stepped_clock_empties_no_window,
         "invariant 13: an origin's clock that is stepped back makes nothing "
         "too old");
    CASE(a_stale_word_turns_no_clock_back,
         "invariant 13: a word on a stream that nobody follows turns no clock "
         "back");
    CASE(only_a_carrier_serves_siblings,
         "relay 2, invariant 14: only a carrier serves siblings, while their "
         "leases run");
    CASE(without_demand_nothing_is_said,
         "relay 3, invariant 16: without demand nothing is said upstream");
    CASE(who_has_gone_is_not_served_on,
         "relay 3, invariant 16: who went without a word gets nothing more");
    CASE(leases_do_not_linger,
         "relay 3, invariant 14: who keeps a stream for others alone leaves it "
         "with the last of them");
    CASE(who_begins_anew_begins_with_the_best,
         "invariant 14: who begins anew begins with the best parent, whomever "
         "it tried when it was left");
    CASE(a_source_is_granted,
         "relay 4, invariant 17: a source is a parent of a smaller tier, or "
         "whom one named; a silent one is left, the first tried again");
    CASE(every_ask_is_answered,
         "relay 5, invariant 19: every ask is answered when its budget ends");
    CASE(what_comes_late_is_not_asked_for,
         "invariant 14: what is published and comes late is not asked for too; "
         "a tail that does not come is");
    CASE(what_turns_out_to_be_old_is_asked_for_once,
         "invariant 19: what is too old to be kept is asked for once");
    CASE(same_questions_are_asked_once,
         "invariant 15: what many ask is asked upstream once");
    CASE(what_is_gone_begins_later_and_says_so,
         "invariant 12: who begins before retention begins at the oldest there "
         "is, and is told; who begins in the future is told what there is");
    CASE(what_nobody_knows_fills_nothing,
         "invariant 18: streams that nobody knows fill nothing, and hide none");
    CASE(who_is_slow_is_waited_for,
         "invariant 15: what a slow parent is asked for is not asked for "
         "elsewhere while it answers");
    CASE(who_does_not_answer_is_asked_last,
         "a parent that is gone is asked last, and the last one is waited for");
    CASE(who_is_gone_is_asked_last,
         "a parent whose connection broke is asked last for a while");
    CASE(it_reports_what_it_carries_and_for_whom,
         "it reports what it carries, from whom, for how many, and how much");
    CASE(a_long_report_goes_on_where_it_ended,
         "invariant 18: a long report is cut, and goes on where it ended");
    CASE(a_slow_locate_is_waited_for,
         "invariant 19: a cache waits for where a time lies as long as the "
         "origin may take to find it");
    CASE(a_time_is_located_once,
         "invariants 12, 15: where a time lies is asked upstream once, and all "
         "begin there");
    CASE(a_time_that_is_held_is_not_asked_for,
         "invariant 16: a time that is held is not asked for upstream");
    CASE(the_disk_is_part_of_the_window,
         "invariants 12, 15 and 16: what memory has no room for is read from "
         "the disk, once for all, until it is too old");
    CASE(
        what_the_disk_has_is_not_missing,
        "invariant 16: what the disk has is not missing, and not read unasked");
    CASE(what_a_disk_does_not_give_comes_from_upstream,
         "invariants 9 and 13: what a disk gives wrongly, late or not at all "
         "comes from upstream");
    CASE(a_sibling_is_given_what_the_disk_has,
         "route 2: a sibling is given what the disk has, else MISS");
    CASE(who_joins_a_siblings_ask_is_served,
         "route 2: who joins what a sibling asked for is served when the disk "
         "does not give it");
    CASE(its_own_packets_are_passed_over,
         "its own packets, which multicast gives back, are no faults");
    CASE(nobody_wanted_anything,
         "sink 1: in none of the above an event was built or a "
         "clock looked at, as nobody wanted to hear of it");
    CASE(who_was_asked_in_vain_is_told,
         "who was asked and gave nothing is told with the answer, and when "
         "there is none");
    CASE(a_trace_goes_on_and_is_joined,
         "a request's trace goes to who is asked for it; who waits with it is "
         "told so, and from whom the answer came");
    CASE(each_kind_is_told_once_at_its_place,
         "each kind of event is told once, when it happens, as it happened");
    CASE(the_end, "nothing is left behind");
    return proof_end();
}
