/*  The checker itself is held: each breach that it is to see is made by hand.
 */
#include "ledger.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalogue.h"
#include "checksum.h"
#include "content.h"
#include "parity.h"
#include "proof.h"
#include "story.h"

enum { K = 2, LENGTH = 100, TOKEN = 77, STREAM = 5, SESSION = 9 };

static image_t *image;
static kv_t *kv;
static catalogue_t *catalogue;
static ledger_t *ledger;
static uint64_t epoch;
static extent_t *recorded;  //  Its extent, when the catalogue has it
static unsigned m;          //  Parity slots

static void
on_breach(int invariant)
{
    _exit(invariant);
}

//  The invariant that `deed` breaks; 99: none. A breach leaves everything as
//  it lies, so it happens in a process of its own.
static int
broken_by(void (*deed)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        story_hook(on_breach);
        deed();
        _exit(99);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

//  ---- what forwarders, sources and stores do

static void
record_extent(void)
{
    stream_record_t record = {
        .id = STREAM, .name = "film", .kind = KIND_LIVE, .writer = TOKEN
    };
    extent_t *extent = extent_new(K + m);
    extent->epoch = epoch;
    extent->writer = TOKEN;
    extent->code = (code_t){ K, (uint8_t)m };
    for (uint64_t i = 0; i < K + m; i++)
        extent->stores[i] = i + 1;
    CHECK(catalogue_switch(catalogue, &record, &recorded, recorded != NULL,
                           &extent, 1) == STATUS_OK);
    extent_free(recorded);
    recorded = extent;
}

static void
open_source(void)
{
    ledger_source(ledger, "film", TOKEN);
    Rill__V1__Open open = RILL__V1__OPEN__INIT;
    char name[] = "film";
    open.name = name;
    open.token = TOKEN;
    Rill__V1__Opened opened = RILL__V1__OPENED__INIT;
    opened.stream = STREAM;
    opened.session = SESSION;
    message_t message = MESSAGE(OPENED, opened, &opened, 1, 0);
    ledger_said(ledger, 0, &message, &open);
    ledger_gave(ledger, "film", TOKEN, K * LENGTH);
}

static chunk_header_t
header_of(unsigned slot, buffer_t *payload)
{
    chunk_header_t header = { .key = { STREAM, epoch, 0, slot },
                              .code = { K, (uint8_t)m },
                              .length = (uint32_t)buffer_size(payload),
                              .writer = TOKEN,
                              .width = K + m,
                              .kind = KIND_LIVE,
                              .name = "film" };
    header.offset = slot < K ? slot * LENGTH : 0;
    header.payload_crc = checksum_crc32c(buffer_bytes(payload),
                                         buffer_size(payload));
    return header;
}

static buffer_t *
payload_of(unsigned slot)
{
    if (slot < K) {
        buffer_t *payload = buffer_new(LENGTH);
        content_fill(content_key("film", TOKEN), slot * LENGTH,
                     buffer_fill(payload), LENGTH);
        return payload;
    }
    parity_t *parity = parity_new((code_t){ K, (uint8_t)m },
                                  LENGTH + CHUNK_HEADER_BYTES);
    for (unsigned i = 0; i < K; i++) {
        buffer_t *payload = payload_of(i);
        chunk_header_t header = header_of(i, payload);
        uint8_t fixed[CHUNK_HEADER_BYTES];
        chunk_header_pack(&header, fixed);
        parity_add(parity, i, fixed, payload);
        buffer_unref(&payload);
    }
    buffer_t *payload = parity_take(parity, slot - K);
    parity_destroy(&parity);
    return payload;
}

static void
push(unsigned slot, uint64_t store)
{
    buffer_t *payload = payload_of(slot);
    chunk_header_t header = header_of(slot, payload);
    ledger_pushed(ledger, 0, store, &header, payload);
    buffer_unref(&payload);
}

static void
keep(unsigned slot, uint64_t store)
{
    buffer_t *payload = payload_of(slot);
    chunk_header_t header = header_of(slot, payload);
    ledger_durable(ledger, store, &header, payload);
    buffer_unref(&payload);
}

static void
tell(uint64_t stored, uint64_t settled, bool sealed)
{
    Rill__V1__Progress progress = RILL__V1__PROGRESS__INIT;
    progress.session = SESSION;
    progress.received = stored;
    progress.stored = stored;
    progress.settled = settled;
    progress.sealed = sealed;
    message_t message = MESSAGE(PROGRESS, progress, &progress, 1, 0);
    ledger_said(ledger, 0, &message, NULL);
}

static void
tell_stored(void)
{
    tell(K * LENGTH, 0, false);
}

static void
tell_settled(void)
{
    tell(K * LENGTH, K * LENGTH, false);
}

static void
tell_less(void)
{
    tell(LENGTH, 0, false);
}

static void
tell_sealed(void)
{
    tell(K * LENGTH, K * LENGTH, true);
}

static void
receipt(uint64_t store, uint64_t granted, unsigned slot)
{
    Rill__V1__ChunkKey key = message_from_key(
        (chunk_key_t){ STREAM, epoch, 0, slot });
    Rill__V1__ChunkKey *keys[] = { &key };
    Rill__V1__Receipt said = RILL__V1__RECEIPT__INIT;
    said.term = 1;
    said.store = store;
    said.n_stored = 1;
    said.stored = keys;
    message_t message = MESSAGE(RECEIPT, receipt, &said, 0, 0);
    ledger_receipt(ledger, store, granted, &message);
}

static void
answer(unsigned slot, bool wrong)
{
    buffer_t *payload = payload_of(slot);
    chunk_header_t header = header_of(slot, payload);
    if (wrong)
        buffer_fill(payload)[3] ^= 1;
    ledger_answer(ledger, &header, payload, slot * LENGTH + 5);
    buffer_unref(&payload);
}

//  A block pushed to k+m stores, of which the first `durable` keep it.
static void
begin_with(unsigned parities, unsigned durable, bool known)
{
    m = parities;
    char why[100];
    story_begin(1, STORY_NOTHING);
    image = image_new();
    kv = image_open(image, NULL, NULL);
    CHECK(catalogue_open(kv, 3, &catalogue, why, sizeof(why)) == STATUS_OK);
    ledger = ledger_new(image);
    epoch = catalogue_term(catalogue) << 32 | 1;
    open_source();
    if (known)
        record_extent();
    for (unsigned slot = 0; slot < K + m; slot++)
        push(slot, slot + 1);
    for (unsigned slot = 0; slot < durable; slot++)
        keep(slot, slot + 1);
}

static void
begin(unsigned durable, bool known)
{
    begin_with(1, durable, known);
}

static void
end(void)
{
    extent_free(recorded);
    recorded = NULL;
    ledger_destroy(&ledger);
    catalogue_close(&catalogue);
    kv_close(&kv);
    image_destroy(&image);
}

//  ---- the proofs

static void
all_in_order_is_no_breach(void)
{
    begin(K + 1, true);
    tell_settled();
    ledger_lost(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 });
    ledger_check(ledger);
    CHECK(ledger_blocks(ledger) == 1);
    end();
}

static void
stored_without_a_quorum(void)
{
    begin(K, true);
    CHECK(broken_by(tell_stored) == 6);
    end();
}

static void
stored_without_an_extent(void)
{
    begin(K + 1, false);
    CHECK(broken_by(tell_stored) == 1);
    end();
}

static void
stored_with_an_extent_that_is_not_synced(void)
{
    begin(K + 1, false);
    image_lie(image);
    record_extent();
    CHECK(broken_by(tell_stored) == 1);
    end();
}

static void
settled_without_all(void)
{
    begin(K, true);
    CHECK(broken_by(tell_settled) == 6);
    end();
}

static void
check_all(void)
{
    ledger_check(ledger);
}

//  What was stored is dealt again in a narrower code, settled there, and loses
//  a store. A rebuild takes the attempt that was never settled: as much is left
//  of it.
static void
settled_in_another_attempt(void)
{
    begin_with(2, K + 1, true);
    tell_stored();
    CHECK(broken_by(tell_settled) == 1);
    uint64_t wider = epoch;
    epoch++;
    m = 1;
    for (unsigned slot = 0; slot < K + m; slot++) {
        push(slot, slot + 1);
        keep(slot, slot + 1);
    }
    record_extent();
    tell_settled();
    ledger_lost(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 });
    ledger_lost(ledger, 1, (chunk_key_t){ STREAM, wider, 0, 0 });
    check_all();
    ledger_doubt(ledger, true);
    epoch = wider;
    m = 2;
    record_extent();
    ledger_doubt(ledger, false);
    check_all();
    end();
}

static void
settled_without_all_after_a_rebuild(void)
{
    begin_with(2, K + 1, true);
    tell_stored();
    ledger_doubt(ledger, true);
    ledger_doubt(ledger, false);
    CHECK(broken_by(tell_settled) == 1);
    end();
}

//  A store that was lost since counts: one loss is what invariant 1 allows.
static void
stored_though_one_was_lost(void)
{
    begin(K + 1, true);
    ledger_lost(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 });
    tell_stored();
    end();
}

static void
lose_two(void)
{
    ledger_lost(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 });
    ledger_lost(ledger, 2, (chunk_key_t){ STREAM, epoch, 0, 1 });
    ledger_check(ledger);
}

static void
more_lost_than_can_be(void)
{
    begin(K + 1, true);
    tell_stored();
    CHECK(broken_by(lose_two) == 1);
    end();
}

static void
a_watermark_that_goes_back(void)
{
    begin(K + 1, true);
    tell_stored();
    CHECK(broken_by(tell_less) == 3);
    end();
}

static void
push_again(void)
{
    push(1, 2);
}

static void
one_slot_twice(void)
{
    begin(0, true);
    CHECK(broken_by(push_again) == 7);
    end();
}

static void
push_to_one_store(void)
{
    for (unsigned slot = 0; slot < K; slot++) {
        buffer_t *payload = payload_of(slot);
        chunk_header_t header = header_of(slot, payload);
        header.key.block = 1;
        header.offset += K * LENGTH;
        content_fill(content_key("film", TOKEN), header.offset,
                     buffer_fill(payload), LENGTH);
        ledger_pushed(ledger, 0, 4, &header, payload);
        buffer_unref(&payload);
    }
}

static void
two_slots_to_one_store(void)
{
    begin(0, true);
    ledger_gave(ledger, "film", TOKEN, 2 * K * LENGTH);
    CHECK(broken_by(push_to_one_store) == 5);
    end();
}

static void
push_wrong_parity(void)
{
    for (unsigned slot = 0; slot < K + m; slot++) {
        buffer_t *payload = payload_of(slot);
        chunk_header_t header = header_of(slot, payload);
        header.key.epoch = epoch + 1;
        if (slot == K)
            buffer_fill(payload)[CHUNK_HEADER_BYTES + 7] ^= 0x10;
        ledger_pushed(ledger, 0, slot + 1, &header, payload);
        ledger_durable(ledger, slot + 1, &header, payload);
        buffer_unref(&payload);
    }
    epoch++;
    record_extent();
    tell_stored();
}

static void
parity_of_something_else(void)
{
    begin(0, false);
    CHECK(broken_by(push_wrong_parity) == 1);
    end();
}

static void
receipt_too_early(void)
{
    receipt(3, 1, 2);
}

static void
receipt_of_an_older_term(void)
{
    receipt(1, 2, 0);
}

static void
receipts(void)
{
    begin(K, true);
    receipt(1, 1, 0);
    CHECK(broken_by(receipt_too_early) == 6);
    CHECK(broken_by(receipt_of_an_older_term) == 8);
    end();
}

static void
answer_wrong(void)
{
    answer(0, true);
}

static void
a_wrong_byte(void)
{
    begin(K + 1, true);
    answer(0, false);
    CHECK(broken_by(answer_wrong) == 2);
    end();
}

static void
a_seal_nobody_asked_for(void)
{
    begin(K + 1, true);
    CHECK(broken_by(tell_sealed) == 4);
    ledger_finished(ledger, "film", TOKEN, K * LENGTH);
    tell_sealed();
    end();
}

static void
remove_film(void)
{
    static const uint64_t stores[] = { 1, 2, 3 };
    CHECK(catalogue_remove(catalogue, STREAM, NULL, 0, stores, 3) == STATUS_OK);
    ledger_check(ledger);
}

static void
say_removed(void)
{
    ledger_removed(ledger, STREAM);
}

static void
let_go(void)
{
    ledger_outlived(ledger, (chunk_key_t){ STREAM, epoch, 0, 0 });
}

static void
a_removal_nobody_asked_for(void)
{
    begin(K + 1, true);
    tell_settled();
    CHECK(broken_by(remove_film) == 11);
    ledger_remove(ledger, "film");
    CHECK(broken_by(say_removed) == 11);
    CHECK(broken_by(let_go) == 11);
    CHECK(!ledger_is_garbage(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 }));
    remove_film();
    say_removed();
    let_go();
    CHECK(ledger_is_removed(ledger, "film"));
    CHECK(ledger_is_garbage(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 }));
    end();
}

//  Its catalogue may be lost before every store has heard of it.
static void
what_was_removed_may_be_back(void)
{
    begin(K + 1, true);
    chunk_key_t key = { STREAM, epoch, 0, 1 };
    tell_settled();
    CHECK(ledger_can_lose(ledger, key));
    ledger_lost(ledger, 1, (chunk_key_t){ STREAM, epoch, 0, 0 });
    CHECK(!ledger_can_lose(ledger, key));
    ledger_remove(ledger, "film");
    remove_film();
    CHECK(!ledger_can_lose(ledger, key));
    //  Where retention takes streams no catalogue is lost.
    ledger_limited(ledger, "film");
    CHECK(ledger_can_lose(ledger, key));
    end();
}

//  What was dealt after the first attempt, which is nowhere.
static void
push_later(void)
{
    buffer_t *payload = payload_of(0);
    chunk_header_t header = header_of(0, payload);
    header.key.epoch++;
    header.base_index = K;
    ledger_pushed(ledger, 0, 1, &header, payload);
    buffer_unref(&payload);
}

static void
nothing_stored_and_dealt_again(void)
{
    begin(K + 1, true);
    CHECK(ledger_all_began(ledger));
    push_later();
    CHECK(!ledger_all_began(ledger));
    tell_stored();
    CHECK(ledger_all_began(ledger));
    end();
}

//  Everything from the first byte on is given up: the stream begins again.
static void
give_up(void)
{
    stream_record_t record = { .id = STREAM,
                               .name = "film",
                               .kind = KIND_LIVE,
                               .writer = TOKEN,
                               .lost_us = 1,
                               .lost_to = CATALOGUE_OPEN_END };
    CHECK(catalogue_put(catalogue, &record) == STATUS_OK);
    ledger_check(ledger);
}

static void
a_loss_nobody_asked_for(void)
{
    begin(K + 1, true);
    tell_settled();
    CHECK(broken_by(give_up) == 1);
    for (uint64_t i = 1; i <= 2; i++)
        for (unsigned slot = 0; slot < K + m; slot++)
            ledger_lost(ledger, i, (chunk_key_t){ STREAM, epoch, 0, slot });
    CHECK(broken_by(check_all) == 1);
    ledger_disaster(ledger);
    check_all();
    give_up();
    end();
}

//  Of a block that was lost nothing is to be made that it never had.
static void
what_was_lost_need_not_be_whole(void)
{
    begin_with(2, K + 1, true);
    tell_stored();
    CHECK(broken_by(tell_settled) == 1);
    for (uint64_t i = 1; i <= K + 1; i++)
        ledger_lost(ledger, i,
                    (chunk_key_t){ STREAM, epoch, 0, (unsigned)i - 1 });
    ledger_disaster(ledger);
    tell_settled();
    end();
}

static void
what_is_kept_for_a_time(void)
{
    begin(K + 1, true);
    ledger_limited(ledger, "film");
    ledger_keeps(ledger, 8000000);
    tell_settled();
    CHECK(!ledger_all_outlived(ledger));
    story_time(7000000);
    CHECK(broken_by(remove_film) == 11);
    //  What was stamped by an earlier forwarder, whose wall differs.
    ledger_life(ledger, 1);
    CHECK(broken_by(remove_film) == 99);
    ledger_life(ledger, 0);
    story_time(8000000);
    remove_film();
    CHECK(ledger_all_outlived(ledger));
    end();
}

static void
say_it_is_sealed(void)
{
    ledger_sealed(ledger, "film");
}

static void
a_seal_that_is_not_recorded(void)
{
    begin(K + 1, true);
    CHECK(broken_by(say_it_is_sealed) == 3);
    end();
}

int
main(void)
{
    CASE(all_in_order_is_no_breach, "the checker is silent when all is so");
    CASE(stored_without_a_quorum,
         "invariant 6: STORED with k of k+1 chunks durable is found");
    CASE(stored_without_an_extent,
         "invariant 1: STORED without its extent recorded is found");
    CASE(stored_with_an_extent_that_is_not_synced,
         "invariant 1: STORED with its extent not synced is found");
    CASE(settled_without_all, "invariant 6: SETTLED too early is found");
    CASE(settled_in_another_attempt,
         "invariant 1: SETTLED said of an attempt that a rebuild did not take "
         "is no breach");
    CASE(
        settled_without_all_after_a_rebuild,
        "invariant 1: SETTLED too early of what stood in the lost catalogue is "
        "found");
    CASE(stored_though_one_was_lost,
         "invariant 1: a store lost after its receipt is no breach");
    CASE(more_lost_than_can_be,
         "invariant 1: what too few stores still have is found");
    CASE(a_watermark_that_goes_back,
         "invariant 3: a watermark that goes back is found");
    CASE(one_slot_twice, "invariant 7: a slot pushed twice is found");
    CASE(two_slots_to_one_store,
         "invariant 5: two slots of a block on one store are found");
    CASE(parity_of_something_else,
         "invariant 1: parity of something else is found");
    CASE(receipts, "invariants 6 and 8: a receipt too early, or of a term "
                   "that is over, is found");
    CASE(a_wrong_byte, "invariant 2: a wrong byte is found");
    CASE(a_seal_nobody_asked_for,
         "invariant 4: a seal where no source ended is found");
    CASE(a_seal_that_is_not_recorded,
         "invariant 3: SEALED said of what a restart opens again is found");
    CASE(
        a_loss_nobody_asked_for,
        "invariant 4: a loss in silence is found, one that is accepted is not");
    CASE(a_removal_nobody_asked_for,
         "invariant 11: a removal not asked for, or not recorded, is found");
    CASE(what_was_removed_may_be_back,
         "invariant 11: what was removed is spared until it cannot be back");
    CASE(nothing_stored_and_dealt_again,
         "invariant 19: where nothing was stored, a later attempt alone tells "
         "nobody what was before it");
    CASE(what_was_lost_need_not_be_whole,
         "invariant 1: what is below an accepted loss need not be whole");
    CASE(what_is_kept_for_a_time,
         "invariant 11: what goes before its time is found");
    return proof_end();
}
