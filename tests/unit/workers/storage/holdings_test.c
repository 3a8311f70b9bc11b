#include "holdings.h"

#include <string.h>

#include "proof.h"

static void
neighbours_share_a_run(void)
{
    holdings_t *holdings = holdings_new();
    CHECK(holdings_begin(holdings, 7, 3, 1000));
    CHECK(holdings_add(holdings, 5, 0));
    CHECK(holdings_add(holdings, 6, 4));
    CHECK(holdings_add(holdings, 9, 1));
    CHECK(holdings_add(holdings, 9, 5));
    CHECK(holdings_add(holdings, 10, 2));
    CHECK(holdings_add(holdings, 1000, 3));
    const Rill__V1__Inventory *said = holdings_say(holdings, 11, true);
    CHECK(said->session == 11 && said->done && said->n_held == 1);
    const Rill__V1__Held *held = said->held[0];
    CHECK(held->stream == 7 && held->epoch == 3 && held->settled == 1000);
    CHECK(held->n_runs == 3);
    CHECK(held->runs[0]->first == 5 && held->runs[0]->slots.len == 5);
    CHECK(memcmp(held->runs[0]->slots.data, "\0\4\377\377\1", 5) == 0);
    CHECK(held->runs[1]->first == 9 && held->runs[1]->slots.len == 2);
    CHECK(memcmp(held->runs[1]->slots.data, "\5\2", 2) == 0);
    CHECK(held->runs[2]->first == 1000 && held->runs[2]->slots.len == 1);
    holdings_destroy(&holdings);
    CHECK(!holdings);
}

//  Fill one message with one kind of thing until it says it is full.
static void
check_full(uint64_t blocks_apart, bool new_epochs)
{
    holdings_t *holdings = holdings_new();
    CHECK(holdings_begin(holdings, UINT64_MAX, UINT64_MAX, UINT64_MAX));
    uint64_t block = UINT64_MAX / 2, added = 0;
    while (holdings_add(holdings, block, 31)) {
        added++;
        block += blocks_apart;
        if (new_epochs &&
            !holdings_begin(holdings, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX))
            break;
        CHECK(added < 100000);
    }
    Rill__V1__Inventory said = *holdings_say(holdings, UINT64_MAX, false);
    message_t message = MESSAGE(INVENTORY, inventory, &said, UINT64_MAX, 0);
    buffer_t *packed = message_pack(&message);
    CHECK(packed && buffer_size(packed) < LIMIT_HEAD_BYTES * 3 / 4);
    buffer_unref(&packed);
    uint64_t counted = 0;
    for (size_t h = 0; h < said.n_held; h++)
        for (size_t r = 0; r < said.held[h]->n_runs; r++)
            for (size_t i = 0; i < said.held[h]->runs[r]->slots.len; i++)
                counted += said.held[h]->runs[r]->slots.data[i] == 31;
    CHECK(counted == added);
    holdings_clear(holdings);
    CHECK(holdings_say(holdings, 1, true)->n_held == 0);
    holdings_destroy(&holdings);
}

static void
a_full_message_fits_the_wire(void)
{
    check_full(1, false);
    check_full(17, false);
    check_full(18, false);
    check_full(1, true);
}

int
main(void)
{
    CASE(neighbours_share_a_run,
         "holdings 1: what was added is said, neighbours in one run");
    CASE(a_full_message_fits_the_wire,
         "holdings 2: a full message stays well under 64 KiB");
    return proof_end();
}
