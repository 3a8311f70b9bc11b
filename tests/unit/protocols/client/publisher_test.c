#include "publisher.h"

#include <string.h>

#include "proof.h"

enum { CHUNK = 100, TOKEN = 77, MOST = 256 };

//  What a source said, as its forwarder would see it.
typedef struct {
    Rill__V1__Message__BodyCase kind;
    uint64_t request;
    uint64_t session;
    uint64_t offset;
    uint64_t token;
    size_t size;
    size_t marks;
    uint8_t first;  //  Its payload's first byte
} said_t;

typedef struct {
    publisher_t *publisher;
    said_t said[MOST];
    size_t count;
    bool full;        //  The bus takes nothing
    uint64_t credit;  //  Given with the next Opened or Progress
    uint64_t session;
    unsigned m;  //  Protection told with the next Opened or Progress
} world_t;

static world_t world;

static status_t
hear(void *with, const message_t *message, buffer_t *payload)
{
    (void)with;
    if (world.full)
        return STATUS_BUSY;
    CHECK(world.count < MOST);
    said_t *said = &world.said[world.count++];
    *said = (said_t){ .kind = message->body_case, .request = message->request };
    switch (message->body_case) {
    case RILL__V1__MESSAGE__BODY_OPEN:
        said->token = message->open->token;
        break;
    case RILL__V1__MESSAGE__BODY_PIECE:
        said->session = message->piece->session;
        said->offset = message->piece->offset;
        said->marks = message->piece->n_marks;
        said->size = buffer_size(payload);
        said->first = *buffer_bytes(payload);
        break;
    case RILL__V1__MESSAGE__BODY_FINISH:
        said->session = message->finish->session;
        said->offset = message->finish->offset;
        break;
    default:
        break;
    }
    return STATUS_OK;
}

static uint64_t
chance(void *with)
{
    (void)with;
    return 1000;
}

static const said_t *
last(void)
{
    CHECK(world.count > 0);
    return &world.said[world.count - 1];
}

static size_t
count_of(Rill__V1__Message__BodyCase kind)
{
    size_t count = 0;
    for (size_t i = 0; i < world.count; i++)
        count += world.said[i].kind == kind;
    return count;
}

static size_t
pieces(void)
{
    return count_of(RILL__V1__MESSAGE__BODY_PIECE);
}

static size_t
opens(void)
{
    return count_of(RILL__V1__MESSAGE__BODY_OPEN);
}

static void
begin(void)
{
    publisher_destroy(&world.publisher);
    world = (world_t){ .credit = 1000, .session = 1, .m = 2 };
    publisher_settings_t settings = { .name = "cam",
                                      .kind = KIND_RECORDED,
                                      .token = TOKEN };
    publisher_effects_t effects = { hear, chance };
    world.publisher = publisher_new(&settings, &effects, NULL, 0);
    publisher_sweep(world.publisher, 0);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_OPEN);
}

//  Answer the last thing said, which must be Open.
static void
opened(uint64_t offset, millis_t now)
{
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_OPEN);
    Rill__V1__Opened body = RILL__V1__OPENED__INIT;
    body.session = world.session;
    body.offset = offset;
    body.credit = world.credit;
    body.chunk_bytes = CHUNK;
    Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
    code.k = 2;
    code.m = world.m;
    body.protection = &code;
    message_t message = MESSAGE(OPENED, opened, &body, last()->request, 0);
    publisher_on_message(world.publisher, &message, now);
}

static void
progress(uint64_t request, uint64_t received, uint64_t stored, uint64_t settled,
         bool sealed, millis_t now)
{
    Rill__V1__Progress body = RILL__V1__PROGRESS__INIT;
    body.session = world.session;
    body.received = received;
    body.stored = stored;
    body.settled = settled;
    body.credit = world.credit;
    body.sealed = sealed;
    Rill__V1__Protection code = RILL__V1__PROTECTION__INIT;
    code.k = 2;
    code.m = world.m;
    body.protection = &code;
    message_t message = MESSAGE(PROGRESS, progress, &body, request, 0);
    publisher_on_message(world.publisher, &message, now);
}

static void
refused(status_t status, uint64_t request, millis_t now)
{
    Rill__V1__Refused body = message_refusal(status, NULL, 0);
    message_t message = MESSAGE(REFUSED, refused, &body, request, 0);
    publisher_on_message(world.publisher, &message, now);
}

//  Offer `size` bytes whose first is the low byte of their offset.
static status_t
offer(size_t size, millis_t now)
{
    buffer_t *piece = buffer_new(size);
    uint64_t offset = publisher_state(world.publisher)->next;
    for (size_t i = 0; i < size; i++)
        buffer_fill(piece)[i] = (uint8_t)(offset + i);
    status_t status = publisher_offer(world.publisher, piece, NULL, 0, now);
    buffer_unref(&piece);
    return status;
}

static const publisher_state_t *
state(void)
{
    return publisher_state(world.publisher);
}

static void
bytes_are_kept_until_they_are_stored(void)
{
    begin();
    opened(0, 1);
    for (int i = 0; i < 5; i++)
        CHECK(offer(CHUNK, 2) == STATUS_OK);
    CHECK(pieces() == 5);
    progress(0, 500, 250, 0, false, 3);
    CHECK(state()->stored == 250);
    //  A new session at the watermark: from inside the third piece on.
    refused(STATUS_SESSION, last()->request, 4);
    publisher_sweep(world.publisher, 4);
    world.session = 2;
    opened(250, 5);
    CHECK(pieces() == 8);
    CHECK(world.said[world.count - 3].offset == 250);
    CHECK(world.said[world.count - 3].size == 50);
    CHECK(world.said[world.count - 3].first == 250);
    CHECK(last()->offset == 400 && last()->session == 2);
}

static void
what_is_stored_meanwhile_is_not_sent_again(void)
{
    begin();
    opened(0, 1);
    for (int i = 0; i < 5; i++)
        offer(CHUNK, 2);
    refused(STATUS_SESSION, last()->request, 3);
    publisher_sweep(world.publisher, 3);
    world.credit = 150;
    opened(0, 4);
    CHECK(last()->offset == 100 && state()->sent == 150);
    //  What had come before the new session gets stored behind our back.
    world.credit = 1000;
    progress(0, 450, 450, 0, false, 5);
    CHECK(last()->offset == 450 && last()->size == 50);
    CHECK(last()->first == (uint8_t)450 && state()->sent == 500);
}

static void
an_offset_that_is_no_longer_kept_is_final(void)
{
    begin();
    opened(0, 1);
    offer(CHUNK, 2);
    offer(CHUNK, 2);
    progress(0, 200, 100, 0, false, 3);
    refused(STATUS_OFFSET, last()->request, 4);
    publisher_sweep(world.publisher, 4);
    opened(99, 5);
    CHECK(state()->failed == STATUS_OFFSET);
    CHECK(strstr(state()->text, "99") && strstr(state()->text, "100"));
    CHECK(publisher_due(world.publisher) == MILLIS_NEVER);
}

static void
what_another_process_gave_is_passed_over(void)
{
    begin();
    opened(0, 1);
    offer(CHUNK, 2);
    refused(STATUS_SESSION, last()->request, 4);
    publisher_sweep(world.publisher, 4);
    opened(150, 5);
    CHECK(state()->failed == STATUS_OK && state()->next == CHUNK);
    size_t before = pieces();
    CHECK(offer(40, 6) == STATUS_OK && pieces() == before);
    CHECK(offer(20, 7) == STATUS_OK && pieces() == before + 1);
    CHECK(last()->offset == 150 && last()->size == 10);
    CHECK(state()->next == 160);
}

static void
an_end_before_what_is_known_is_final(void)
{
    begin();
    opened(0, 1);
    offer(CHUNK, 2);
    refused(STATUS_SESSION, last()->request, 4);
    publisher_sweep(world.publisher, 4);
    opened(150, 5);
    publisher_finish(world.publisher, 6);
    CHECK(state()->failed == STATUS_OFFSET);
}

static void
bytes_go_in_order_once_per_session(void)
{
    begin();
    opened(300, 1);
    CHECK(state()->next == 300);
    for (int i = 0; i < 7; i++)
        CHECK(offer(70, 2) == STATUS_OK);
    uint64_t next = 300;
    for (size_t i = 0; i < world.count; i++)
        if (world.said[i].kind == RILL__V1__MESSAGE__BODY_PIECE) {
            CHECK(world.said[i].offset == next);
            CHECK(world.said[i].first == (uint8_t)next);
            next += world.said[i].size;
        }
    CHECK(next == state()->next && next == 790);
}

static void
never_more_than_the_credit_is_in_the_air(void)
{
    begin();
    world.credit = 250;
    opened(0, 1);
    CHECK(publisher_room(world.publisher) == 250 + CHUNK);
    CHECK(offer(CHUNK, 2) == STATUS_OK);
    CHECK(offer(CHUNK, 2) == STATUS_OK);
    CHECK(offer(CHUNK, 2) == STATUS_OK);
    CHECK(last()->offset == 200 && last()->size == 50);
    CHECK(offer(CHUNK, 2) == STATUS_BUSY);
    CHECK(state()->sent == 250);
    world.credit = 1000;
    progress(0, 250, 100, 0, false, 3);
    CHECK(last()->offset == 250 && last()->size == 50);
    CHECK(last()->first == 250);
}

static void
a_mark_goes_with_the_part_that_holds_it(void)
{
    begin();
    world.credit = 50;
    opened(0, 1);
    buffer_t *piece = buffer_new(CHUNK);
    memset(buffer_fill(piece), 0, CHUNK);
    mark_t marks[] = { { .offset = 49 }, { .offset = 50 }, { .offset = 99 } };
    CHECK(publisher_offer(world.publisher, piece, marks, 3, 2) == STATUS_OK);
    CHECK(last()->size == 50 && last()->marks == 1);
    world.credit = 1000;
    progress(0, 50, 0, 0, false, 3);
    CHECK(last()->size == 50 && last()->marks == 2);
    marks[0].offset = 200;
    CHECK(publisher_offer(world.publisher, piece, marks, 1, 2) ==
          STATUS_ARGUMENT);
    buffer_unref(&piece);
}

static void
what_may_pass_is_waited_out_with_its_reason(void)
{
    static const status_t LATER[] = { STATUS_HELD, STATUS_FULL, STATUS_BUSY,
                                      STATUS_STOPPING, STATUS_FENCED };
    for (size_t i = 0; i < sizeof LATER / sizeof *LATER; i++) {
        begin();
        refused(LATER[i], last()->request, 1);
        CHECK(state()->held == LATER[i] && state()->failed == STATUS_OK);
        CHECK(*state()->text);
        millis_t due = publisher_due(world.publisher);
        CHECK(due > 1 && due < 3000 && opens() == 1);
        publisher_sweep(world.publisher, due);
        CHECK(opens() == 2 && last()->token == TOKEN);
        opened(0, due + 1);
        CHECK(state()->held == STATUS_OK);
    }
}

static void
what_cannot_pass_is_final(void)
{
    static const status_t FINAL[] = { STATUS_TAKEN,    STATUS_SEALED,
                                      STATUS_NAME,     STATUS_PROTECTION,
                                      STATUS_ARGUMENT, STATUS_VERSION,
                                      STATUS_GONE };
    for (size_t i = 0; i < sizeof FINAL / sizeof *FINAL; i++) {
        begin();
        refused(FINAL[i], last()->request, 1);
        CHECK(state()->failed == FINAL[i]);
        publisher_sweep(world.publisher, 100000);
        publisher_finish(world.publisher, 100000);
        CHECK(world.count == 1);
    }
}

static void
silence_opens_again_and_says_unreachable(void)
{
    begin();
    publisher_sweep(world.publisher, 1999);
    CHECK(opens() == 1 && state()->held == STATUS_OK);
    publisher_sweep(world.publisher, 2000);
    CHECK(opens() == 2 && state()->held == STATUS_UNREACHABLE);
    //  The first Open's answer comes late: its session is not ours.
    Rill__V1__Opened body = RILL__V1__OPENED__INIT;
    message_t message = MESSAGE(OPENED, opened, &body, world.said[0].request,
                                0);
    publisher_on_message(world.publisher, &message, 2001);
    CHECK(!state()->opened);
    opened(0, 2002);
    CHECK(state()->opened && state()->held == STATUS_OK);
}

static void
silence_after_a_question_opens_again(void)
{
    begin();
    opened(0, 0);
    offer(CHUNK, 0);
    millis_t now = 0;
    while (opens() == 1 && now < 10000) {
        now = publisher_due(world.publisher);
        publisher_sweep(world.publisher, now);
    }
    CHECK(now == 3000);
    opened(0, now);
    CHECK(pieces() == 2);
}

static void
a_lost_last_piece_is_noticed_by_asking(void)
{
    begin();
    opened(0, 0);
    offer(CHUNK, 0);
    publisher_sweep(world.publisher, 1000);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_SOURCE_KEEP);
    uint64_t asked = last()->request;
    progress(0, 0, 0, 0, false, 1001);
    CHECK(publisher_due(world.publisher) > 1001);
    progress(asked, 0, 0, 0, false, 1002);
    publisher_sweep(world.publisher, 1002);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_OPEN);
    opened(0, 1003);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_PIECE);
}

static void
a_lost_finish_is_said_again(void)
{
    begin();
    opened(0, 0);
    publisher_finish(world.publisher, 0);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_FINISH);
    publisher_sweep(world.publisher, 1000);
    CHECK(count_of(RILL__V1__MESSAGE__BODY_FINISH) == 2);
    CHECK(last()->offset == 0);
}

static void
a_connection_that_came_back_is_asked_at_once(void)
{
    begin();
    publisher_on_reconnect(world.publisher, 10);
    CHECK(opens() == 2);
    opened(0, 11);
    offer(CHUNK, 11);
    publisher_on_reconnect(world.publisher, 12);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_SOURCE_KEEP);
    refused(STATUS_SESSION, last()->request, 13);
    publisher_sweep(world.publisher, 13);
    CHECK(opens() == 3);
    opened(0, 14);
    CHECK(pieces() == 2 && last()->offset == 0);
}

static void
a_refusal_of_an_older_session_changes_nothing(void)
{
    begin();
    opened(0, 0);
    offer(CHUNK, 0);
    uint64_t older = last()->request;
    refused(STATUS_SESSION, older, 1);
    publisher_sweep(world.publisher, 1);
    world.session = 2;
    opened(0, 2);
    refused(STATUS_SESSION, older, 3);
    progress(0, 0, 0, 0, false, 3);
    publisher_sweep(world.publisher, 500);
    CHECK(opens() == 2);
    world.session = 1;
    progress(0, 100, 100, 0, false, 4);
    CHECK(state()->stored == 0);
}

static void
refusals_one_after_another_are_met_with_growing_pauses(void)
{
    begin();
    millis_t now = 0, pause = 0;
    for (int i = 0; i < 10; i++) {
        refused(STATUS_BUSY, last()->request, now);
        millis_t due = publisher_due(world.publisher);
        CHECK(due - now >= pause && due - now <= 400);
        pause = due - now;
        now = due;
        publisher_sweep(world.publisher, now);
    }
    CHECK(pause == 400);
}

static void
a_full_bus_delays_and_loses_nothing(void)
{
    begin();
    opened(0, 0);
    world.full = true;
    offer(CHUNK, 1);
    offer(CHUNK, 1);
    CHECK(pieces() == 0);
    millis_t due = publisher_due(world.publisher);
    CHECK(due <= 10);
    world.full = false;
    publisher_sweep(world.publisher, due);
    CHECK(pieces() == 2 && last()->offset == 100);
}

static void
it_is_done_when_sealed_and_settled(void)
{
    begin();
    opened(0, 0);
    offer(CHUNK, 0);
    publisher_finish(world.publisher, 0);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_FINISH);
    CHECK(last()->offset == 100);
    CHECK(offer(1, 0) == STATUS_SEALED);
    progress(last()->request, 100, 100, 0, true, 1);
    CHECK(state()->complete && !state()->sealed);
    progress(0, 100, 100, 100, true, 2);
    CHECK(state()->sealed);
    CHECK(publisher_due(world.publisher) == MILLIS_NEVER);
}

static void
a_stream_that_was_complete_needs_nothing(void)
{
    begin();
    Rill__V1__Opened body = RILL__V1__OPENED__INIT;
    body.offset = 400;
    body.chunk_bytes = CHUNK;
    body.sealed = true;
    message_t message = MESSAGE(OPENED, opened, &body, last()->request, 0);
    publisher_on_message(world.publisher, &message, 1);
    CHECK(state()->was_sealed && state()->sealed && state()->next == 400);
    CHECK(publisher_room(world.publisher) == 0);
}

static void
an_answer_that_cannot_be_is_final(void)
{
    for (int i = 0; i < 2; i++) {
        begin();
        Rill__V1__Opened body = RILL__V1__OPENED__INIT;
        body.begin = (uint64_t)i;
        body.chunk_bytes = i ? CHUNK : 0;
        message_t message = MESSAGE(OPENED, opened, &body, last()->request, 0);
        publisher_on_message(world.publisher, &message, 1);
        CHECK(state()->failed == STATUS_MALFORMED);
    }
}

static void
one_that_leaves_says_so_and_no_more(void)
{
    begin();
    opened(0, 0);
    publisher_leave(world.publisher);
    CHECK(last()->kind == RILL__V1__MESSAGE__BODY_SOURCE_LEAVE);
    size_t count = world.count;
    publisher_sweep(world.publisher, 100000);
    CHECK(world.count == count);
}

//  An actor that sleeps until the deadline must not turn without end.
static void
a_full_bus_leaves_no_deadline_behind(void)
{
    begin();
    opened(0, 0);
    world.full = true;
    for (millis_t now = 0; now < 30000;) {
        millis_t due = publisher_due(world.publisher);
        CHECK(due != MILLIS_NEVER && (now == 0 || due > now));
        now = due > now ? due : now + 1;
        publisher_sweep(world.publisher, now);
    }
    begin();
    world.full = true;
    publisher_sweep(world.publisher, 5000);
    CHECK(publisher_due(world.publisher) > 5000);
}

static void
less_protection_on_the_way_is_told(void)
{
    begin();
    opened(0, 1);
    CHECK(!state()->narrower && state()->code.m == 2);
    world.m = 1;
    progress(0, 0, 0, 0, false, 2);
    CHECK(state()->narrower && state()->code.m == 1);
    world.m = 2;
    progress(0, 0, 0, 0, false, 3);
    CHECK(state()->narrower && state()->code.m == 2);
    publisher_destroy(&world.publisher);
}

int
main(void)
{
    CASE(less_protection_on_the_way_is_told,
         "publisher: once some of it has less protection, that stays said");
    CASE(bytes_are_kept_until_they_are_stored,
         "publisher 1: bytes are kept until they are stored");
    CASE(what_is_stored_meanwhile_is_not_sent_again,
         "publisher 2: what is stored meanwhile is not sent again");
    CASE(an_offset_that_is_no_longer_kept_is_final,
         "publisher 1: an offset that is no longer kept is final, and said");
    CASE(what_another_process_gave_is_passed_over,
         "publisher 2: what an earlier process gave is not said again");
    CASE(an_end_before_what_is_known_is_final,
         "publisher 2: an end before what the forwarder has is final");
    CASE(bytes_go_in_order_once_per_session,
         "publisher 2: bytes go in order, once per session");
    CASE(never_more_than_the_credit_is_in_the_air,
         "publisher 3: never more than the credit is in the air");
    CASE(a_mark_goes_with_the_part_that_holds_it,
         "publisher 3: a mark goes with the part of a piece that holds it");
    CASE(what_may_pass_is_waited_out_with_its_reason,
         "publisher 4: what may pass is waited out, its reason told");
    CASE(what_cannot_pass_is_final,
         "publisher 4: what cannot pass is final, and nothing is said after");
    CASE(refusals_one_after_another_are_met_with_growing_pauses,
         "publisher 4: refusals in a row are met with growing pauses");
    CASE(silence_opens_again_and_says_unreachable,
         "publisher 5: silence opens again, and a late answer is not taken");
    CASE(silence_after_a_question_opens_again,
         "publisher 5: a session that falls silent is opened again");
    CASE(a_lost_last_piece_is_noticed_by_asking,
         "publisher 5: a lost last piece is noticed by asking");
    CASE(a_lost_finish_is_said_again,
         "publisher 5: a lost finish is said again");
    CASE(a_connection_that_came_back_is_asked_at_once,
         "publisher 5: a connection that came back is asked at once");
    CASE(a_refusal_of_an_older_session_changes_nothing,
         "publisher 2: what an older session hears changes nothing");
    CASE(a_full_bus_delays_and_loses_nothing,
         "publisher 2: a full bus delays and loses nothing");
    CASE(a_full_bus_leaves_no_deadline_behind,
         "a deadline lies ahead after its sweep, also when the bus is full");
    CASE(it_is_done_when_sealed_and_settled,
         "publisher 1: it is done when sealed and settled, not before");
    CASE(a_stream_that_was_complete_needs_nothing,
         "a stream that was complete needs nothing");
    CASE(an_answer_that_cannot_be_is_final,
         "publisher 4: an answer that cannot be is final");
    CASE(one_that_leaves_says_so_and_no_more,
         "a source that leaves says so, and no more");
    publisher_destroy(&world.publisher);
    return proof_end();
}
