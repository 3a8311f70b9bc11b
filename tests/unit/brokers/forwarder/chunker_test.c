#include "chunker.h"

#include <stdlib.h>
#include <string.h>

#include "proof.h"

enum { MOST_CUTS = 4096, KIB = 1024 };

//  Who is told of cuts, and deals them into blocks of k.
typedef struct {
    chunker_t *chunker;
    unsigned k;
    unsigned slot;
    bool tells;  //  Says chunker_block from inside each cut
    cut_t cuts[MOST_CUTS];
    size_t count;
} dealer_t;

static dealer_t dealer;

static void
deal(void *with, cut_t cut)
{
    dealer_t *self = with;
    CHECK(self->count < MOST_CUTS);
    self->cuts[self->count++] = cut;
    self->slot = (self->slot + 1) % self->k;
    if (self->tells)
        chunker_block(self->chunker, self->slot, self->k);
}

static chunker_t *
begin(const chunker_settings_t *settings, uint64_t next, unsigned k)
{
    dealer = (dealer_t){ .k = k, .tells = true };
    dealer.chunker = chunker_new(settings, next, deal, &dealer);
    chunker_block(dealer.chunker, 0, k);
    return dealer.chunker;
}

static void
end(void)
{
    chunker_destroy(&dealer.chunker);
    CHECK(!dealer.chunker);
    for (size_t i = 0; i < dealer.count; i++)
        buffer_unref(&dealer.cuts[i].payload);
}

//  The byte at every offset of every stream here.
static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761u >> 11);
}

static buffer_t *
piece_at(uint64_t offset, size_t size)
{
    buffer_t *piece = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer_fill(piece)[i] = byte_at(offset + i);
    return piece;
}

static void
take(size_t size, millis_t now)
{
    buffer_t *piece = piece_at(chunker_next(dealer.chunker), size);
    chunker_take(dealer.chunker, piece, NULL, 0, now, now * 1000);
    buffer_unref(&piece);
}

//  Whether the cuts follow each other from `from` to `to` and hold the stream.
static bool
holds(uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < dealer.count; i++) {
        const cut_t *cut = &dealer.cuts[i];
        if (cut->offset != from)
            return false;
        size_t size = buffer_size(cut->payload);
        for (size_t j = 0; j < size; j++)
            if (buffer_bytes(cut->payload)[j] != byte_at(from + j))
                return false;
        from += size;
    }
    return from == to;
}

static size_t
cut_size(size_t nth)
{
    CHECK(nth < dealer.count);
    return buffer_size(dealer.cuts[nth].payload);
}

static uint64_t
chance(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static chunker_settings_t
recorded(uint32_t chunk_bytes)
{
    return (chunker_settings_t){ .kind = KIND_RECORDED,
                                 .chunk_bytes = chunk_bytes };
}

static chunker_settings_t
sized(uint32_t chunk_bytes, uint64_t size)
{
    chunker_settings_t settings = recorded(chunk_bytes);
    settings.size_known = true;
    settings.size = size;
    return settings;
}

static const chunker_settings_t LIVE = { .kind = KIND_LIVE };

//  A stream of any kind in pieces of any size, blocks begun anew in between.
static void
any_stream(uint64_t seed)
{
    chunker_settings_t settings = { .kind = chance(&seed) % 2 ? KIND_LIVE
                                                              : KIND_RECORDED };
    settings.chunk_bytes = chance(&seed) % 3 ? 50 + chance(&seed) % 5000 : 0;
    settings.recorded_bytes = 4096;
    settings.floor_bytes = 200;
    settings.ceiling_bytes = 8192;
    uint64_t size = chance(&seed) % 60000;
    settings.size_known = chance(&seed) % 2;
    settings.size = size;
    settings.base = chance(&seed) % 2 ? 0 : 777;
    uint64_t from = settings.base + (chance(&seed) % 2 ? 0 : size / 3);
    uint64_t to = settings.base + size;
    chunker_t *chunker = begin(&settings, from, 1 + chance(&seed) % 8);
    dealer.tells = chance(&seed) % 2;
    millis_t now = 0;
    while (chunker_next(chunker) < to) {
        uint64_t left = to - chunker_next(chunker);
        size_t some = chance(&seed) % 9000 % (left + 1);
        take(chance(&seed) % 8 ? some : left > 4096 ? 4096 : left, now);
        CHECK(chunker_next(chunker) - chunker_held(chunker) ==
              (dealer.count ? dealer.cuts[dealer.count - 1].offset +
                                  cut_size(dealer.count - 1)
                            : from));
        now += chance(&seed) % 80;
        if (chance(&seed) % 10 == 0) {
            dealer.k = 1 + chance(&seed) % 8;
            dealer.slot = chance(&seed) % dealer.k;
            chunker_block(chunker, dealer.slot, dealer.k);
        }
        if (chance(&seed) % 4 == 0)
            chunker_sweep(chunker, now, now * 1000);
    }
    chunker_flush(chunker, now * 1000);
    CHECK(chunker_held(chunker) == 0);
    CHECK(holds(from, to));
    for (size_t i = 0; i < dealer.count; i++) {
        CHECK(cut_size(i) > 0);
        CHECK(!i || dealer.cuts[i].created_us >= dealer.cuts[i - 1].created_us);
    }
    end();
}

static void
chunks_together_are_what_went_in(void)
{
    for (uint64_t seed = 1; seed <= 1500; seed++)
        any_stream(seed * 0x9e3779b97f4a7c15u);
}

static void
a_whole_chunk_is_passed_on_as_it_lies(void)
{
    chunker_settings_t settings = recorded(4096);
    chunker_t *chunker = begin(&settings, 0, 4);
    buffer_t *one = piece_at(0, 4096);
    buffer_t *three = piece_at(4096, 3 * 4096);
    chunker_take(chunker, one, NULL, 0, 0, 0);
    chunker_take(chunker, three, NULL, 0, 0, 0);
    CHECK(dealer.count == 4 && holds(0, 4 * 4096));
    CHECK(dealer.cuts[0].payload == one);
    for (size_t i = 0; i < 3; i++)
        CHECK(buffer_bytes(dealer.cuts[1 + i].payload) ==
              buffer_bytes(three) + i * 4096);
    buffer_unref(&one);
    buffer_unref(&three);
    CHECK(holds(0, 4 * 4096));
    end();
}

static void
what_straddles_is_copied_and_only_that(void)
{
    chunker_settings_t settings = recorded(4096);
    chunker_t *chunker = begin(&settings, 0, 4);
    take(96, 0);
    CHECK(dealer.count == 0 && chunker_held(chunker) == 96);
    buffer_t *piece = piece_at(96, 9000);
    chunker_take(chunker, piece, NULL, 0, 0, 0);
    CHECK(dealer.count == 2 && chunker_held(chunker) == 9096 - 8192);
    CHECK(buffer_bytes(dealer.cuts[1].payload) == buffer_bytes(piece) + 4000);
    buffer_unref(&piece);
    chunker_flush(chunker, 0);
    chunker_flush(chunker, 0);
    CHECK(dealer.count == 3 && holds(0, 9096));
    end();
}

static void
what_was_cut_stays_when_its_block_begins_anew(void)
{
    chunker_settings_t settings = sized(1000, 7000);
    chunker_t *chunker = begin(&settings, 0, 4);
    take(4000, 0);
    take(2000, 0);
    CHECK(dealer.count >= 6 && cut_size(4) == 750 && cut_size(5) == 750);
    uint64_t cut = chunker_next(chunker) - chunker_held(chunker);
    //  Slots 0 and 1 of the new block are what was cut; two more follow.
    dealer.k = 3;
    dealer.slot = 2;
    chunker_block(chunker, 2, 3);
    take(1000, 0);
    CHECK(dealer.cuts[dealer.count - 1].offset >= cut);
    CHECK(holds(0, 7000));
    end();
}

static void
no_live_byte_waits_longer_than_the_buffer_time(void)
{
    chunker_t *chunker = begin(&LIVE, 0, 4);
    CHECK(chunker_due(chunker) == MILLIS_NEVER);
    take(100, 1000);
    take(100, 1150);
    CHECK(chunker_due(chunker) == 1200);
    chunker_sweep(chunker, 1199, 1199000);
    CHECK(dealer.count == 0);
    chunker_sweep(chunker, 1200, 1200000);
    CHECK(dealer.count == 1 && cut_size(0) == 200);
    CHECK(dealer.cuts[0].created_us == 1200000);
    CHECK(chunker_due(chunker) == MILLIS_NEVER);
    chunker_sweep(chunker, 9000, 9000000);
    CHECK(dealer.count == 1);

    take(10, 2000);
    take(10, 2300);
    CHECK(dealer.count == 2 && cut_size(1) == 10);
    CHECK(chunker_due(chunker) == 2500);
    end();
}

static void
recorded_bytes_wait_until_a_chunk_is_full(void)
{
    chunker_settings_t settings = recorded(0);
    chunker_t *chunker = begin(&settings, 0, 4);
    CHECK(chunker_size(chunker) == 256 * KIB);
    take(256 * KIB - 1, 0);
    CHECK(chunker_due(chunker) == MILLIS_NEVER);
    chunker_sweep(chunker, 1000000, 0);
    CHECK(dealer.count == 0);
    take(1, 0);
    CHECK(dealer.count == 1 && cut_size(0) == 256 * KIB);
    end();
}

static void
created_never_goes_back(void)
{
    chunker_settings_t settings = recorded(10);
    chunker_t *chunker = begin(&settings, 0, 4);
    static const micros_t wall[] = { 50, 70, 20, 71 };
    static const micros_t created[] = { 50, 70, 70, 71 };
    for (size_t i = 0; i < 4; i++) {
        buffer_t *piece = piece_at(i * 10, 10);
        chunker_take(chunker, piece, NULL, 0, 0, wall[i]);
        buffer_unref(&piece);
        CHECK(dealer.cuts[i].created_us == created[i]);
    }
    end();
}

//  Cut a file of known size; check that its last block is level.
static void
cut_evenly(uint64_t size, unsigned k, size_t piece, bool tells)
{
    enum { CHUNK = 1000 };
    chunker_settings_t settings = sized(CHUNK, size);
    chunker_t *chunker = begin(&settings, 0, k);
    dealer.tells = tells;
    while (chunker_next(chunker) < size) {
        uint64_t left = size - chunker_next(chunker);
        take(left < piece ? left : piece, 0);
    }
    CHECK(chunker_held(chunker) == 0);  //  Without a flush
    CHECK(holds(0, size));
    uint64_t full = size ? (size - 1) / (k * CHUNK) : 0;
    uint64_t rest = size - full * k * CHUNK;
    uint64_t even = (rest + k - 1) / k;
    for (size_t i = 0; i < dealer.count; i++) {
        bool last = dealer.cuts[i].offset + cut_size(i) == size;
        uint64_t want = i < full * k ? CHUNK : even;
        CHECK(cut_size(i) == want || (last && cut_size(i) < want));
    }
    CHECK(dealer.count == full * k + (even ? (rest + even - 1) / even : 0));
    end();
}

static void
the_last_block_of_a_known_size_is_cut_evenly(void)
{
    static const uint64_t sizes[] = { 0,    1,    3,    4,    5,     187,
                                      999,  1000, 1001, 3999, 4000,  4001,
                                      7999, 8000, 8001, 9500, 11999, 12345 };
    static const size_t pieces[] = { 1, 97, 1000, 1024, 100000 };
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
            for (unsigned k = 1; k <= 8; k++) {
                cut_evenly(sizes[s], k, pieces[p], true);
                cut_evenly(sizes[s], k, pieces[p], false);
            }
}

static void
a_source_that_goes_on_knows_what_is_left(void)
{
    //  10,000 bytes of this source begin at 5,000; 8,000 of them are stored.
    chunker_settings_t settings = sized(1000, 10000);
    settings.base = 5000;
    begin(&settings, 13000, 4);
    take(2000, 0);
    CHECK(dealer.count == 4 && cut_size(0) == 500 && cut_size(3) == 500);
    CHECK(holds(13000, 15000));
    end();
}

static void
a_source_that_sends_more_than_it_said_is_still_cut(void)
{
    chunker_settings_t settings = sized(1000, 1500);
    chunker_t *chunker = begin(&settings, 0, 2);
    take(5000, 0);
    chunker_flush(chunker, 0);
    CHECK(holds(0, 5000));
    end();
}

static void
the_live_size_is_rate_times_buffer_in_whole_packets(void)
{
    enum { LOW = 16 * KIB, HIGH = 1024 * KIB };
    //  4 Mbit/s for 200 ms are 100,000 bytes: 531 packets.
    CHECK(chunker_live_size(500000, 200, LOW, HIGH, 0) == 531 * 188);
    CHECK(chunker_live_size(0, 200, LOW, HIGH, 0) == 88 * 188);
    CHECK(chunker_live_size(UINT64_MAX, 200, LOW, HIGH, 0) == 5577 * 188);
    CHECK(chunker_live_size(500000, 1, 0, HIGH, 0) == 2 * 188);
    CHECK(chunker_live_size(0, 1, 0, HIGH, 0) == 188);
    CHECK(chunker_live_size(500000, 200, 100, 100, 0) == 100);
    CHECK(chunker_live_size(500000, 200, 1000, 1000, 0) == 1000);
}

static void
the_live_size_changes_when_off_by_a_quarter(void)
{
    enum { LOW = 1 * KIB, HIGH = 1024 * KIB, NOW = 188 * 400 };
    uint64_t same = NOW * 5;  //  A second, at 200 ms
    CHECK(chunker_live_size(same * 5 / 4, 200, LOW, HIGH, NOW) == NOW);
    CHECK(chunker_live_size(same * 3 / 4, 200, LOW, HIGH, NOW) == NOW);
    CHECK(chunker_live_size(same * 13 / 10, 200, LOW, HIGH, NOW) == 188 * 520);
    CHECK(chunker_live_size(same * 7 / 10, 200, LOW, HIGH, NOW) == 188 * 280);
}

//  Feed `rate` bytes a second in pieces of `every` ms until `to`.
static void
feed(uint64_t rate, millis_t from, millis_t to, millis_t every)
{
    for (millis_t now = from; now < to; now += every) {
        chunker_sweep(dealer.chunker, now, now * 1000);
        take(rate * (uint64_t)every / 1000, now);
    }
}

static void
a_live_stream_finds_its_size(void)
{
    chunker_t *chunker = begin(&LIVE, 0, 4);
    feed(500000, 0, 3000, 10);
    CHECK(chunker_size(chunker) == 531 * 188);
    //  Four times the rate: followed within some seconds, not at once.
    size_t before = dealer.count;
    feed(2000000, 3000, 3400, 10);
    CHECK(chunker_size(chunker) == 531 * 188);
    feed(2000000, 3400, 10000, 10);
    CHECK(chunker_size(chunker) > 3 * 531 * 188);
    CHECK(dealer.count > before);
    CHECK(holds(0, chunker_next(chunker) - chunker_held(chunker)));
    end();
}

static void
a_live_size_changes_only_between_blocks(void)
{
    chunker_settings_t settings = LIVE;
    settings.rate_bytes = 500000;
    chunker_t *chunker = begin(&settings, 0, 4);
    CHECK(chunker_size(chunker) == 531 * 188);
    //  A little faster than its size says, so that no chunk is cut by time.
    feed(600000, 0, 3000, 10);
    feed(5000000, 3000, 8000, 10);
    size_t changes = 0;
    for (size_t i = 1; i < dealer.count; i++) {
        if (cut_size(i) == cut_size(i - 1))
            continue;
        changes++;
        CHECK(i % 4 == 0);
        CHECK(cut_size(i) % 188 == 0);
    }
    CHECK(changes > 0 && chunker_size(chunker) > 700000);
    end();
}

static void
an_unknown_rate_begins_with_large_chunks(void)
{
    chunker_t *chunker = begin(&LIVE, 0, 4);
    CHECK(chunker_size(chunker) == 5577 * 188);
    end();
}

static void
a_size_set_by_hand_is_kept(void)
{
    chunker_settings_t settings = LIVE;
    settings.chunk_bytes = 5000;
    settings.rate_bytes = 500000;
    chunker_t *chunker = begin(&settings, 0, 4);
    feed(500000, 0, 5000, 10);
    CHECK(chunker_size(chunker) == 5000);
    for (size_t i = 0; i < dealer.count; i++)
        CHECK(cut_size(i) == 5000);
    end();
}

static void
marks_go_with_their_chunk(void)
{
    chunker_settings_t settings = recorded(100);
    chunker_t *chunker = begin(&settings, 1000, 4);
    mark_t marks[6];
    static const uint64_t at[] = { 1000, 1099, 1100, 1200, 1249, 1250 };
    for (size_t i = 0; i < 6; i++)
        marks[i] = (mark_t){ .offset = at[i], .media_us = (int64_t)i };
    buffer_t *piece = piece_at(1000, 250);
    chunker_take(chunker, piece, marks, 6, 0, 0);
    buffer_unref(&piece);
    mark_t more = { .offset = 1250, .media_us = 6 };
    piece = piece_at(1250, 50);
    chunker_take(chunker, piece, &more, 1, 0, 0);
    buffer_unref(&piece);
    CHECK(dealer.count == 3);
    CHECK(dealer.cuts[0].marks_count == 2 && dealer.cuts[1].marks_count == 1);
    CHECK(dealer.cuts[0].marks[1].offset == 1099);
    CHECK(dealer.cuts[1].marks[0].media_us == 2);
    CHECK(dealer.cuts[2].marks_count == 3);
    CHECK(dealer.cuts[2].marks[2].media_us == 6);
    end();
}

static void
more_marks_than_a_chunk_carries_are_dropped(void)
{
    chunker_settings_t settings = recorded(100);
    chunker_t *chunker = begin(&settings, 0, 4);
    mark_t marks[2 * LIMIT_MARKS];
    for (size_t i = 0; i < 2 * LIMIT_MARKS; i++)
        marks[i] = (mark_t){ .offset = i };
    marks[2 * LIMIT_MARKS - 1].offset = 150;
    buffer_t *piece = piece_at(0, 200);
    chunker_take(chunker, piece, marks, 2 * LIMIT_MARKS, 0, 0);
    buffer_unref(&piece);
    CHECK(dealer.cuts[0].marks_count == LIMIT_MARKS);
    CHECK(dealer.cuts[0].marks[LIMIT_MARKS - 1].offset == LIMIT_MARKS - 1);
    CHECK(dealer.cuts[1].marks_count == 1);
    end();
}

int
main(void)
{
    CASE(chunks_together_are_what_went_in,
         "chunker 1: chunks put together are what went in, however it came");
    CASE(a_source_that_sends_more_than_it_said_is_still_cut,
         "chunker 1: a source that sends more than it said is still cut");
    CASE(a_whole_chunk_is_passed_on_as_it_lies,
         "chunker 2: a whole chunk is passed on as it lies");
    CASE(what_straddles_is_copied_and_only_that,
         "chunker 2: what straddles pieces is copied, and only that");
    CASE(what_was_cut_stays_when_its_block_begins_anew,
         "chunker 3: what was cut stays when its block begins anew");
    CASE(no_live_byte_waits_longer_than_the_buffer_time,
         "chunker 4: no live byte waits longer than the buffer time");
    CASE(recorded_bytes_wait_until_a_chunk_is_full,
         "chunker 4: recorded bytes wait until their chunk is full");
    CASE(the_last_block_of_a_known_size_is_cut_evenly,
         "chunker 5: the last block of a known size is cut evenly into k");
    CASE(a_source_that_goes_on_knows_what_is_left,
         "chunker 5: a source that goes on knows what is left");
    CASE(the_live_size_is_rate_times_buffer_in_whole_packets,
         "S6: the live size is rate times buffer in whole packets");
    CASE(the_live_size_changes_when_off_by_a_quarter,
         "S6: the live size changes only when it is off by a quarter");
    CASE(a_live_stream_finds_its_size,
         "S6: a live stream finds its size from its measured rate");
    CASE(a_live_size_changes_only_between_blocks,
         "S6: a live size changes only between blocks");
    CASE(an_unknown_rate_begins_with_large_chunks,
         "S6: a rate not known yet begins with large chunks, cut by time");
    CASE(a_size_set_by_hand_is_kept, "S6: a size set by hand is kept");
    CASE(created_never_goes_back, "created never goes back within a stream");
    CASE(marks_go_with_their_chunk, "marks go with the chunk they lie in");
    CASE(more_marks_than_a_chunk_carries_are_dropped,
         "more marks than a chunk carries are dropped");
    return proof_end();
}
