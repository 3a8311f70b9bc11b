#include "flights.h"

#include <czmq.h>

#include "checksum.h"
#include "proof.h"

/*  An owner that fetches nothing by itself: a case lands or fails flights.
 */
enum { SAID = 8192, STREAM = 5 };

typedef struct {
    peer_t peer;
    uint64_t request;
    uint64_t trace;
    status_t status;  //  STATUS_OK: the chunk
    uint64_t nearest;
    buffer_t *payload;
    uint64_t watermark;
} said_t;

typedef struct {
    flights_t *flights;
    said_t said[SAID];
    size_t said_count;
    size_t fetches;
    uint64_t offset;  //  Of the last fetch
    bool at_once;     //  Fetches land before they return
    status_t fail_at_once;
} world_t;

static world_t world;

static peer_t
peer_of(int number)
{
    return (peer_t){ .size = 2,
                     .bytes = { (uint8_t)number, (uint8_t)(number >> 8) } };
}

static void
land(uint64_t offset)
{
    buffer_t *payload = buffer_new(100);
    memset(buffer_fill(payload), 7, 100);
    chunk_header_t header = {
        .key = { .stream = STREAM, .epoch = 1 },
        .code = { .k = 1, .m = 1 },
        .offset = offset,
        .length = 100,
        .width = 2,
        .kind = KIND_RECORDED,
        .name = "film",
        .payload_crc = checksum_crc32c(buffer_bytes(payload), 100),
    };
    flights_chunk_t chunk = { .header = &header,
                              .payload = payload,
                              .route = RILL__V1__ROUTE__ROUTE_STORE,
                              .watermark = 900,
                              .sealed = true };
    flights_land(world.flights, STREAM, offset, &chunk);
    buffer_unref(&payload);
}

static void
fetch(void *with, uint64_t stream, uint64_t offset, millis_t now)
{
    (void)with, (void)now;
    CHECK(stream == STREAM);
    CHECK(flights_wanted(world.flights, stream, offset));
    world.fetches++;
    world.offset = offset;
    if (world.at_once)
        land(offset);
    else if (world.fail_at_once)
        flights_fail(world.flights, stream, offset, world.fail_at_once, NULL,
                     9);
}

static void
keep(void *with, const peer_t *peer, const message_t *message,
     buffer_t *payload)
{
    (void)with;
    CHECK(world.said_count < SAID);
    said_t *said = &world.said[world.said_count++];
    *said = (said_t){ .peer = *peer,
                      .request = message->request,
                      .trace = message->trace };
    if (message->body_case == RILL__V1__MESSAGE__BODY_REFUSED) {
        said->status = (status_t)message->refused->status;
        said->nearest = message->refused->offset;
        CHECK(!payload);
        return;
    }
    CHECK(message->body_case == RILL__V1__MESSAGE__BODY_ANSWER && payload);
    CHECK(message->answer->chunk->length == buffer_size(payload));
    said->payload = payload;
    said->watermark = message->answer->watermark;
}

static void
end(void)
{
    flights_destroy(&world.flights);
    memset(&world, 0, sizeof world);
}

static void
begin(void)
{
    static const flights_effects_t effects = { .fetch = fetch, .send = keep };
    end();  //  What a failed case left
    world.flights = flights_new(&effects, NULL, NULL);
}

static void
ask(int peer, uint64_t request, uint64_t offset, millis_t due)
{
    Rill__V1__Ask body = RILL__V1__ASK__INIT;
    message_t question = MESSAGE(ASK, ask, &body, request, request + 1000);
    peer_t who = peer_of(peer);
    flights_ask(world.flights, &who, &question, STREAM, offset, due, 0);
}

static void
one_fetch_serves_all(void)
{
    begin();
    for (int i = 0; i < 50; i++)
        ask(i, (uint64_t)i, 300, 5000);
    CHECK(world.fetches == 1 && world.said_count == 0);
    CHECK(flights_askers(world.flights) == 50);
    land(300);
    CHECK(world.said_count == 50 && flights_askers(world.flights) == 0);
    for (int i = 0; i < 50; i++) {
        peer_t who = peer_of(i);
        CHECK(world.said[i].status == STATUS_OK);
        CHECK(peer_equal(&world.said[i].peer, &who));
        CHECK(world.said[i].request == (uint64_t)i);
        CHECK(world.said[i].trace == (uint64_t)i + 1000);
        CHECK(world.said[i].watermark == 900);
        CHECK(world.said[i].payload == world.said[0].payload);
    }
    CHECK(!flights_wanted(world.flights, STREAM, 300));
    //  The next ask is another fetch.
    ask(1, 1, 300, 5000);
    CHECK(world.fetches == 2);
    end();
}

static void
offsets_are_apart(void)
{
    begin();
    for (uint64_t i = 0; i < 60; i++)
        ask(1, i, i, 5000);
    CHECK(world.fetches == 60);
    flights_fail(world.flights, STREAM, 7, STATUS_RANGE, NULL, 70);
    CHECK(world.said_count == 1 && world.said[0].request == 7);
    CHECK(world.said[0].status == STATUS_RANGE && world.said[0].nearest == 70);
    //  Nobody waits for it any more, nor for what was never asked.
    flights_fail(world.flights, STREAM, 7, STATUS_RANGE, NULL, 70);
    land(7);
    land(1000);
    CHECK(world.said_count == 1);
    end();
}

static void
an_answer_may_come_at_once(void)
{
    begin();
    world.at_once = true;
    ask(1, 1, 300, 5000);
    CHECK(world.said_count == 1 && world.said[0].status == STATUS_OK);
    world.at_once = false;
    world.fail_at_once = STATUS_GONE;
    ask(1, 2, 300, 5000);
    CHECK(world.said_count == 2 && world.said[1].status == STATUS_GONE);
    CHECK(world.said[1].nearest == 9);
    CHECK(flights_askers(world.flights) == 0 && world.fetches == 2);
    end();
}

static void
each_is_answered_once_by_its_budget(void)
{
    begin();
    for (int i = 0; i < 10; i++)
        ask(i, (uint64_t)i, 300, 100 + i * 10);
    ask(77, 77, 400, 50);
    CHECK(flights_due(world.flights) <= 50);
    flights_sweep(world.flights, 49);
    CHECK(world.said_count == 0);
    flights_sweep(world.flights, 50);
    CHECK(world.said_count == 1 && world.said[0].request == 77);
    CHECK(world.said[0].status == STATUS_LATE);
    CHECK(!flights_wanted(world.flights, STREAM, 400));
    CHECK(flights_due(world.flights) == 100);
    flights_sweep(world.flights, 145);
    CHECK(world.said_count == 6 && flights_askers(world.flights) == 5);
    CHECK(flights_due(world.flights) == 150);
    land(300);
    CHECK(world.said_count == 11);
    for (size_t i = 0; i < world.said_count; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(world.said[i].request != world.said[j].request);
    flights_sweep(world.flights, 100000);
    CHECK(world.said_count == 11 && flights_askers(world.flights) == 0);
    CHECK(flights_due(world.flights) == MILLIS_NEVER);
    end();
}

static void
one_peer_has_its_bound(void)
{
    begin();
    for (uint64_t i = 0; i < LIMIT_ASKS_PER_PEER; i++)
        ask(1, i, i % 8, 5000);
    CHECK(world.said_count == 0);
    ask(1, 99, 3, 5000);
    CHECK(world.said_count == 1 && world.said[0].status == STATUS_BUSY);
    CHECK(world.said[0].request == 99);
    ask(2, 100, 3, 5000);
    CHECK(world.said_count == 1);
    land(3);
    ask(1, 101, 3, 5000);
    CHECK(world.said[world.said_count - 1].request != 101);
    end();
}

static void
all_have_their_bounds(void)
{
    //  Peers by the thousand: flights first, then askers of one flight.
    enum { BEGUN = FLIGHTS_MOST - FLIGHTS_OWN };
    begin();
    for (int i = 0; i < BEGUN; i++)
        ask(i, 1, (uint64_t)i, 5000);
    CHECK(world.said_count == 0);
    ask(BEGUN, 2, BEGUN, 5000);
    CHECK(world.said_count == 1 && world.said[0].status == STATUS_BUSY);
    for (int i = BEGUN; i < FLIGHTS_ASKERS; i++)
        ask(i, 3, 0, 5000);
    CHECK(world.said_count == 1 &&
          flights_askers(world.flights) == FLIGHTS_ASKERS);
    ask(FLIGHTS_ASKERS, 4, 0, 5000);
    CHECK(world.said_count == 2 && world.said[1].status == STATUS_BUSY);
    CHECK(world.fetches == BEGUN);
    //  The owner's wants have room of their own.
    for (uint64_t i = BEGUN; i < FLIGHTS_MOST; i++)
        CHECK(flights_want(world.flights, STREAM, i, 0, 0));
    CHECK(!flights_want(world.flights, STREAM, FLIGHTS_MOST, 0, 0));
    for (uint64_t i = BEGUN; i < FLIGHTS_MOST; i++)
        flights_unwant(world.flights, STREAM, i);
    //  Room again when they are answered; what waits at the end is freed.
    land(0);
    ask(1, 5, FLIGHTS_MOST + 1, 5000);
    CHECK(world.fetches == FLIGHTS_MOST + 1);
    end();
}

int
main(void)
{
    CASE(one_fetch_serves_all, "flights 1 and 2, invariant 15: one fetch "
                               "serves all who ask meanwhile");
    CASE(offsets_are_apart,
         "flights 2: a fetch that failed refuses its own askers, once");
    CASE(an_answer_may_come_at_once,
         "flights 2: a fetch may end before it has begun");
    CASE(each_is_answered_once_by_its_budget,
         "flights 2, invariant 19: each asker is answered once, or late");
    CASE(one_peer_has_its_bound,
         "flights 3, invariant 18: one peer's asks are bounded");
    CASE(all_have_their_bounds,
         "flights 3, invariant 18: fetches and askers are bounded");
    return proof_end();
}
