#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "content.h"
#include "dice.h"
#include "invariant.h"
#include "parity.h"
#include "placement.h"
#include "story.h"

#define WRITERS 64
#define STREAMS 16
#define COPIES 4
#define LIVES 512
#define SECOND 1000000

//  One chunk as it was pushed, and where it lies.
typedef struct {
    bool pushed, derived;  //  Content known: from the push, by decoding
    chunk_header_t header;
    uint32_t header_crc;
    buffer_t *payload;
    uint64_t pushed_to;
    uint8_t copies;
    struct {
        uint64_t store;
        bool lost;
    } copy[COPIES];
} member_t;

typedef struct block block_t;
struct block {
    uint64_t stream, epoch, number;
    uint64_t base_index;  //  Of its extent
    unsigned life;
    code_t code;
    uint32_t verified;  //  Members whose content is right
    bool told;          //  A byte of it was told stored
    bool excused;       //  Too much of it was lost, with the stores
    micros_t block_us;  //  Its stamp
    bool found;         //  A catalogue that was lost has it now: recovery sees
                        //  to its quorum
    member_t *members;
    block_t *next;  //  With the same hash
};

//  A source of a stream, and what it was told.
typedef struct {
    uint64_t token;
    uint64_t key;  //  Of its content
    bool opened, finished;
    uint64_t begin, given, stored, settled, end;
    uint64_t cut_stream;          //  Its bytes that were cut, in the stream of
    uint64_t cut_begin, cut_end;  //  this id
} writer_t;

typedef struct {
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t id;
    bool dealt;  //  Something of that id was pushed
    unsigned writers;
    writer_t writer[WRITERS];
    uint64_t told[LIVES];  //  Stored, by each forwarder
    uint64_t stored;       //  By anybody
    uint64_t answered;     //  Behind the last byte that a reader got
    bool sealed;
    uint64_t size;
    size_t extents;
    extent_t **chain;      //  As the durable catalogue has it
    uint64_t end_index;    //  Of the last; sealed only
    uint64_t first_index;  //  Of what retention has left
    uint64_t first;        //  What lay below need not be anywhere
    bool limited;          //  Retention may take it
    bool may_go;           //  Its removal was asked for
    unsigned graves;       //  Streams of that name that are no more
    micros_t lost_us;      //  When a loss was recorded last
    uint64_t lost_from;
} stream_t;

typedef struct {
    uint64_t session;
    stream_t *stream;
    uint64_t id;
    uint64_t token;
    unsigned life;
} session_t;

//  Where a data chunk was cut, by one forwarder.
typedef struct {
    uint64_t stream, offset;
    unsigned life;
    uint32_t length;  //  0: the place is free
} cut_t;

struct ledger {
    const image_t *catalogue;
    uint64_t version;  //  Of the catalogue that the chains come from
    bool doubts;       //  It is not to be read
    bool rebuilt;      //  It was made again once
    unsigned streams;
    stream_t stream[STREAMS];
    size_t sessions, sessions_room;
    session_t *session;
    size_t slots, blocks;
    block_t **block;
    uint64_t acknowledged;
    size_t cuts, cuts_room;  //  A power of two
    cut_t *cut;
    bool disaster;
    size_t gone_count, gone_room;
    uint64_t *gone;            //  Ids of streams that are no more
    int64_t keep_us;           //  Of limited streams; 0: any time
    unsigned life;             //  Of the newest forwarder
    bool clock_set;            //  Stamps of earlier ones mean nothing
    int64_t behind_us[LIVES];  //  Our time is a forwarder's stamps and this
};

//  What a reading of the catalogue found.
typedef struct {
    stream_record_t record;
    extent_t **chain;
    size_t count;
} found_t;

typedef struct {
    ledger_t *ledger;
    size_t count, room;
    found_t *found;
} reading_t;

static void take_chains(ledger_t *self);

static bool
is_gone(const ledger_t *self, uint64_t id)
{
    for (size_t i = 0; i < self->gone_count; i++)
        if (self->gone[i] == id)
            return true;
    return false;
}

static stream_t *
stream_named(const ledger_t *self, const char *name)
{
    for (unsigned i = 0; i < self->streams; i++)
        if (strcmp(self->stream[i].name, name) == 0)
            return (stream_t *)(uintptr_t)&self->stream[i];
    return NULL;
}

static writer_t *
writer_of(const stream_t *stream, uint64_t token)
{
    for (unsigned i = 0; i < stream->writers; i++)
        if (stream->writer[i].token == token)
            return (writer_t *)(uintptr_t)&stream->writer[i];
    return NULL;
}

static size_t
hash(uint64_t stream, uint64_t epoch, uint64_t number)
{
    return (size_t)dice_mix(stream ^ dice_mix(epoch ^ dice_mix(number)));
}

static block_t *
find(const ledger_t *self, uint64_t stream, uint64_t epoch, uint64_t number)
{
    block_t *block =
        self->block[hash(stream, epoch, number) & (self->slots - 1)];
    while (block && (block->stream != stream || block->epoch != epoch ||
                     block->number != number))
        block = block->next;
    return block;
}

static block_t *
make(ledger_t *self, const chunk_header_t *header)
{
    block_t *block = calloc(1, sizeof(*block));
    INVARIANT(block);
    block->stream = header->key.stream;
    block->epoch = header->key.epoch;
    block->number = header->key.block;
    block->base_index = header->base_index;
    block->block_us = header->block_us;
    block->code = header->code;
    block->members = calloc((size_t)header->code.k + header->code.m,
                            sizeof(member_t));
    INVARIANT(block->members);
    block_t **slot =
        &self->block[hash(block->stream, block->epoch, block->number) &
                     (self->slots - 1)];
    block->next = *slot;
    *slot = block;
    self->blocks++;
    return block;
}

static unsigned
width(const block_t *block)
{
    return (unsigned)block->code.k + block->code.m;
}

static member_t *
member_of(const ledger_t *self, chunk_key_t key)
{
    block_t *block = find(self, key.stream, key.epoch, key.block);
    return block && key.slot < width(block) ? &block->members[key.slot] : NULL;
}

ledger_t *
ledger_new(const image_t *catalogue)
{
    ledger_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->catalogue = catalogue;
    self->version = UINT64_MAX;
    self->slots = 4096;
    self->block = calloc(self->slots, sizeof(block_t *));
    INVARIANT(self->block);
    for (unsigned i = 0; i < LIVES; i++)
        self->behind_us[i] = INT64_MAX;
    return self;
}

static void
forget_chain(stream_t *stream)
{
    for (size_t i = 0; i < stream->extents; i++)
        extent_free(stream->chain[i]);
    free(stream->chain);
    stream->chain = NULL;
    stream->extents = 0;
}

static void
free_block(block_t *block)
{
    for (unsigned i = 0; i < width(block); i++)
        buffer_unref(&block->members[i].payload);
    free(block->members);
    free(block);
}

void
ledger_destroy(ledger_t **self_p)
{
    ledger_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->slots; i++)
        for (block_t *block = self->block[i], *next; block; block = next) {
            next = block->next;
            free_block(block);
        }
    for (unsigned i = 0; i < self->streams; i++)
        forget_chain(&self->stream[i]);
    free(self->block);
    free(self->session);
    free(self->cut);
    free(self->gone);
    free(self);
    *self_p = NULL;
}

void
ledger_source(ledger_t *self, const char *name, uint64_t token)
{
    stream_t *stream = stream_named(self, name);
    if (!stream) {
        INVARIANT(self->streams < STREAMS);
        stream = &self->stream[self->streams++];
        snprintf(stream->name, sizeof(stream->name), "%s", name);
    }
    if (writer_of(stream, token))
        return;
    INVARIANT(stream->writers < WRITERS);
    stream->writer[stream->writers++] = (writer_t){
        .token = token, .key = content_key(name, token)
    };
}

static writer_t *
source(const ledger_t *self, const char *name, uint64_t token)
{
    stream_t *stream = stream_named(self, name);
    writer_t *writer = stream ? writer_of(stream, token) : NULL;
    INVARIANT(writer);
    return writer;
}

void
ledger_gave(ledger_t *self, const char *name, uint64_t token, uint64_t end)
{
    writer_t *writer = source(self, name, token);
    if (end > writer->given)
        writer->given = end;
}

void
ledger_finished(ledger_t *self, const char *name, uint64_t token, uint64_t end)
{
    writer_t *writer = source(self, name, token);
    if (writer->finished && writer->end != end && !self->rebuilt &&
        !stream_named(self, name)->graves)
        story_breach(4, "%s: source %llx ends at %llu and at %llu", name,
                     (unsigned long long)token, (unsigned long long)writer->end,
                     (unsigned long long)end);
    writer->finished = true;
    writer->end = end;
}

//  Bytes of a data chunk, as the source gave them?
static void
check_bytes(ledger_t *self, const chunk_header_t *header, const uint8_t *bytes,
            size_t size, const char *where)
{
    stream_t *stream = stream_named(self, header->name);
    writer_t *writer = stream ? writer_of(stream, header->writer) : NULL;
    if (!writer)
        story_breach(2, "%s: a chunk of %s by a source %llx that never was",
                     where, header->name, (unsigned long long)header->writer);
    if (size != header->length)
        story_breach(2, "%s: %s at %llu: %zu bytes, header says %u", where,
                     header->name, (unsigned long long)header->offset, size,
                     header->length);
    if (size == 0)
        return;
    if (header->offset + size > writer->given)
        story_breach(2, "%s: %s at %llu: %zu bytes, source gave up to %llu",
                     where, header->name, (unsigned long long)header->offset,
                     size, (unsigned long long)writer->given);
    if (writer->opened && header->offset < writer->begin &&
        !is_gone(self, header->key.stream))
        story_breach(2, "%s: %s at %llu: source begins at %llu", where,
                     header->name, (unsigned long long)header->offset,
                     (unsigned long long)writer->begin);
    if (!content_is(writer->key, header->offset, bytes, size))
        story_breach(2, "%s: %s at %llu: %zu bytes are not the source's", where,
                     header->name, (unsigned long long)header->offset, size);
    story_held(2);
}

static cut_t *
cut_at(const ledger_t *self, uint64_t stream, uint64_t offset, unsigned life)
{
    size_t at = hash(stream, offset, life) & (self->cuts_room - 1);
    while (self->cut[at].length &&
           (self->cut[at].stream != stream || self->cut[at].life != life ||
            self->cut[at].offset != offset))
        at = (at + 1) & (self->cuts_room - 1);
    return &self->cut[at];
}

//  What is cut is published, and may be seen by caches before it is stored:
//  two sources' chunks never lie at one offset (R11) of a stream. One of which
//  nothing was stored when the catalogue was lost has another id after that.
static void
check_apart(ledger_t *self, const chunk_header_t *header)
{
    stream_t *stream = stream_named(self, header->name);
    uint64_t end = header->offset + header->length;
    if (!header->length || is_gone(self, header->key.stream))
        return;
    writer_t *own = NULL;
    for (unsigned i = 0; i < stream->writers; i++) {
        writer_t *writer = &stream->writer[i];
        if (writer->token == header->writer)
            own = writer;
        else if (writer->cut_stream == header->key.stream &&
                 header->offset < writer->cut_end && end > writer->cut_begin)
            story_breach(2, "%s: chunks of two sources at %llu", stream->name,
                         (unsigned long long)header->offset);
    }
    if (own->cut_end == 0 || own->cut_stream != header->key.stream) {
        own->cut_stream = header->key.stream;
        own->cut_begin = header->offset;
        own->cut_end = end;
    }
    if (header->offset < own->cut_begin)
        own->cut_begin = header->offset;
    if (end > own->cut_end)
        own->cut_end = end;
}

//  A chunk once cut is not cut again while its forwarder lives (R5).
static void
check_cut(ledger_t *self, const chunk_header_t *header, unsigned life)
{
    if (!header->length)
        return;
    if (2 * self->cuts >= self->cuts_room) {
        cut_t *old = self->cut;
        size_t room = self->cuts_room;
        self->cuts_room = room ? 2 * room : 1024;
        self->cut = calloc(self->cuts_room, sizeof(cut_t));
        INVARIANT(self->cut);
        for (size_t i = 0; i < room; i++)
            if (old[i].length)
                *cut_at(self, old[i].stream, old[i].offset,
                        old[i].life) = old[i];
        free(old);
    }
    cut_t *cut = cut_at(self, header->key.stream, header->offset, life);
    if (cut->length && cut->length != header->length)
        story_breach(7, "%s at %llu is cut again: %u bytes, then %u",
                     header->name, (unsigned long long)header->offset,
                     cut->length, header->length);
    self->cuts += cut->length == 0;
    *cut = (cut_t){ header->key.stream, header->offset, life, header->length };
}

void
ledger_pushed(ledger_t *self, unsigned life, uint64_t store,
              const chunk_header_t *header, buffer_t *payload)
{
    const chunk_key_t *key = &header->key;
    if (key->slot >= (unsigned)header->code.k + header->code.m)
        story_breach(0, "slot %u of a block of %u+%u", key->slot,
                     header->code.k, header->code.m);
    block_t *block = find(self, key->stream, key->epoch, key->block);
    if (!block) {
        block = make(self, header);
        block->life = life;
    }
    //  What is pushed as soon as it is dealt tells what stamps mean.
    INVARIANT(life < LIVES);
    int64_t behind = story_now() - header->block_us;
    if (behind < self->behind_us[life])
        self->behind_us[life] = behind;
    if (block->life != life)
        story_breach(7, "epoch %llx is used by two forwarders",
                     (unsigned long long)key->epoch);
    if (block->code.k != header->code.k || block->code.m != header->code.m)
        story_breach(7, "one block, two codes");
    member_t *member = &block->members[key->slot];
    if (member->pushed)
        story_breach(7, "%s epoch %llx block %llu slot %u is pushed twice",
                     header->name, (unsigned long long)key->epoch,
                     (unsigned long long)key->block, key->slot);
    for (unsigned i = 0; i < width(block); i++)
        if (block->members[i].pushed && store &&
            block->members[i].pushed_to == store)
            story_breach(5, "slots %u and %u of a block go to one store", i,
                         key->slot);
    story_held(5);
    story_held(7);
    stream_t *stream = stream_named(self, header->name);
    if (stream && stream->id == key->stream)
        stream->dealt = true;
    if (!chunk_is_parity(header)) {
        check_cut(self, header, life);
        check_bytes(self, header, buffer_bytes(payload), buffer_size(payload),
                    "push");
        check_apart(self, header);
    }
    uint8_t fixed[CHUNK_HEADER_BYTES];
    member->header_crc = chunk_header_pack(header, fixed);
    member->pushed = true;
    member->header = *header;
    member->pushed_to = store;
    buffer_unref(&member->payload);
    member->payload = buffer_ref(payload);
}

void
ledger_durable(ledger_t *self, uint64_t store, const chunk_header_t *header,
               buffer_t *payload)
{
    member_t *member = member_of(self, header->key);
    if (!member || !member->pushed)
        story_breach(7, "a store keeps a chunk that nobody pushed");
    uint8_t fixed[CHUNK_HEADER_BYTES];
    if (chunk_header_pack(header, fixed) != member->header_crc)
        story_breach(7, "a store keeps another header than was pushed");
    if (member->payload && payload != member->payload &&
        (buffer_size(payload) != buffer_size(member->payload) ||
         memcmp(buffer_bytes(payload), buffer_bytes(member->payload),
                buffer_size(payload)) != 0))
        story_breach(2,
                     "a store keeps other bytes than were pushed: %s "
                     "epoch %llx block %llu slot %u",
                     header->name, (unsigned long long)header->key.epoch,
                     (unsigned long long)header->key.block, header->key.slot);
    for (unsigned i = 0; i < member->copies; i++)
        if (member->copy[i].store == store) {
            member->copy[i].lost = false;
            return;
        }
    INVARIANT(member->copies < COPIES);
    member->copy[member->copies].store = store;
    member->copy[member->copies++].lost = false;
}

void
ledger_lost(ledger_t *self, uint64_t store, chunk_key_t key)
{
    member_t *member = member_of(self, key);
    for (unsigned i = 0; member && i < member->copies; i++)
        if (member->copy[i].store == store)
            member->copy[i].lost = true;
}

//  Members that lie on a store now; and those that did once.
static unsigned
present(const block_t *block, unsigned *ever_r, uint32_t *which_r)
{
    unsigned now = 0, ever = 0;
    uint32_t which = 0;
    for (unsigned i = 0; i < width(block); i++) {
        bool here = false;
        const member_t *member = &block->members[i];
        for (unsigned j = 0; j < member->copies; j++)
            here |= !member->copy[j].lost;
        now += here;
        ever += member->copies > 0;
        if (member->copies > 0)
            which |= 1u << i;
    }
    *ever_r = ever;
    *which_r = which;
    return now;
}

//  Members of a block on one store, both there now.
static void
check_distinct(const block_t *block)
{
    for (unsigned i = 0; i < width(block); i++)
        for (unsigned j = i + 1; j < width(block); j++)
            for (unsigned a = 0; a < block->members[i].copies; a++)
                for (unsigned b = 0; b < block->members[j].copies; b++)
                    if (block->members[i].copy[a].store ==
                            block->members[j].copy[b].store &&
                        !block->members[i].copy[a].lost &&
                        !block->members[j].copy[b].lost)
                        story_breach(5, "slots %u and %u lie on one store", i,
                                     j);
}

//  Compute the data slots that were never pushed from those that were.
static void
derive(ledger_t *self, block_t *block)
{
    parity_part_t parts[LIMIT_SLOTS] = { { 0 } };
    uint8_t fixed[LIMIT_SLOTS][CHUNK_HEADER_BYTES];
    uint32_t wanted = 0;
    for (unsigned i = 0; i < width(block); i++) {
        member_t *member = &block->members[i];
        if (!member->pushed && !member->derived) {
            wanted |= i < block->code.k ? 1u << i : 0;
            continue;
        }
        parts[i].bytes = buffer_bytes(member->payload);
        parts[i].size = buffer_size(member->payload);
        if (i < block->code.k) {
            chunk_header_pack(&member->header, fixed[i]);
            parts[i].header = fixed[i];
        }
    }
    buffer_t *content[LIMIT_SLOTS] = { NULL };
    if (!wanted)
        return;
    if (parity_decode(block->code, parts, wanted, content) != STATUS_OK)
        story_breach(1, "a block that was acknowledged cannot be decoded");
    for (unsigned i = 0; i < block->code.k; i++) {
        if (!(wanted & (1u << i)))
            continue;
        member_t *member = &block->members[i];
        if (chunk_header_unpack(buffer_bytes(content[i]), &member->header) !=
                STATUS_OK ||
            member->header.length + CHUNK_HEADER_BYTES >
                buffer_size(content[i]))
            story_breach(1, "what was decoded is no chunk");
        member->payload = buffer_slice(content[i], CHUNK_HEADER_BYTES,
                                       member->header.length);
        member->derived = true;
        check_bytes(self, &member->header, buffer_bytes(member->payload),
                    buffer_size(member->payload), "decoded");
        buffer_unref(&content[i]);
    }
}

//  The data slots are known: is the parity that was pushed theirs?
static void
check_parity(block_t *block)
{
    size_t most = 0;
    for (unsigned i = 0; i < block->code.k; i++)
        if (buffer_size(block->members[i].payload) > most)
            most = buffer_size(block->members[i].payload);
    if (block->code.m == 0)
        return;
    parity_t *parity = parity_new(block->code, most + CHUNK_HEADER_BYTES);
    for (unsigned i = 0; i < block->code.k; i++) {
        uint8_t fixed[CHUNK_HEADER_BYTES];
        chunk_header_pack(&block->members[i].header, fixed);
        parity_add(parity, i, fixed, block->members[i].payload);
    }
    for (unsigned i = 0; i < block->code.m; i++) {
        member_t *member = &block->members[block->code.k + i];
        buffer_t *right = parity_take(parity, i);
        if (member->pushed &&
            (buffer_size(right) != buffer_size(member->payload) ||
             memcmp(buffer_bytes(right), buffer_bytes(member->payload),
                    buffer_size(right)) != 0))
            story_breach(1,
                         "parity slot %u does not give its block back: "
                         "epoch %llx block %llu",
                         block->code.k + i, (unsigned long long)block->epoch,
                         (unsigned long long)block->number);
        buffer_unref(&right);
    }
    parity_destroy(&parity);
}

//  Every member of `which` is right, all of them of one block.
static void
verify(ledger_t *self, block_t *block, uint32_t which)
{
    if ((which & ~block->verified) == 0)
        return;
    derive(self, block);
    check_parity(block);
    block->verified = 0;
    for (unsigned i = 0; i < width(block); i++)
        if (block->members[i].pushed)
            block->verified |= 1u << i;
    story_held(9);
}

//  A block of which bytes were told stored, or settled.
static void
check_block(ledger_t *self, const stream_t *stream, block_t *block,
            bool settled)
{
    unsigned ever;
    uint32_t which;
    unsigned now = present(block, &ever, &which);
    unsigned k = block->code.k, all = width(block);
    unsigned quorum = all < k + 1 ? all : k + 1;
    if (now < k && !block->excused)
        story_breach(1,
                     "%s epoch %llx block %llu is acknowledged, and %u of "
                     "%u+%u are durable",
                     stream->name, (unsigned long long)block->epoch,
                     (unsigned long long)block->number, now, k, block->code.m);
    if (ever < quorum && !block->found)
        story_breach(6,
                     "%s epoch %llx block %llu is acknowledged with %u of "
                     "%u+%u durable: the loss of one store would take it",
                     stream->name, (unsigned long long)block->epoch,
                     (unsigned long long)block->number, ever, k, block->code.m);
    //  What lies before an accepted loss counts as settled, also what went with
    //  it and is there again when its stores are.
    if (settled && ever < all && !block->found && !block->excused)
        story_breach(1,
                     "%s epoch %llx block %llu is said to be settled with "
                     "%u of %u+%u durable",
                     stream->name, (unsigned long long)block->epoch,
                     (unsigned long long)block->number, ever, k, block->code.m);
    check_distinct(block);
    verify(self, block, which);
    if (!block->told) {
        block->told = true;
        self->acknowledged++;
        story_held(6);
    }
}

//  A hole behind what was given up, and recorded so, is no loss in silence.
static void
pass_loss(const stream_t *stream, const extent_t *extent, uint64_t *cursor)
{
    uint64_t from = extent->base_offset - extent->gap;
    const writer_t *writer = writer_of(stream, extent->writer);
    if (!writer || !extent->gap || !stream->lost_us || from < stream->lost_from)
        return;
    uint64_t *c = &cursor[writer - stream->writer];
    if (*c >= from && *c < extent->base_offset)
        *c = extent->base_offset;
}

//  Walk one extent; move each writer's cursor over the bytes it finds.
static void
check_extent(ledger_t *self, stream_t *stream, const extent_t *extent,
             uint64_t end_index, uint64_t *cursor, micros_t *created_us)
{
    uint64_t at = extent->base_offset;
    pass_loss(stream, extent, cursor);
    //  When the chunk before was made may be lost with it; and what a forwarder
    //  stored before it died may stand, in a catalogue made again, for what its
    //  successor cut anew after the clock was set back.
    if (extent->index_gap || (self->rebuilt && self->clock_set))
        *created_us = 0;
    for (uint64_t number = 0;
         extent->base_index + number * extent->code.k < end_index; number++) {
        block_t *block = find(self, stream->id, extent->epoch, number);
        if (!block)
            return;
        unsigned ever;
        uint32_t which;
        present(block, &ever, &which);
        if (ever < block->code.k)
            return;
        derive(self, block);
        bool told = false, settled = false;
        for (unsigned i = 0; i < block->code.k; i++) {
            const chunk_header_t *header = &block->members[i].header;
            if (header->offset != at)
                story_breach(3,
                             "%s epoch %llx block %llu slot %u begins at "
                             "%llu, the one before ends at %llu",
                             stream->name, (unsigned long long)extent->epoch,
                             (unsigned long long)number, i,
                             (unsigned long long)header->offset,
                             (unsigned long long)at);
            if (header->created_us < *created_us)
                story_breach(12,
                             "%s epoch %llx block %llu slot %u was created "
                             "before the one before it",
                             stream->name, (unsigned long long)extent->epoch,
                             (unsigned long long)number, i);
            *created_us = header->created_us;
            at += header->length;
            writer_t *writer = writer_of(stream, header->writer);
            if (!writer || !header->length)
                continue;
            uint64_t *c = &cursor[writer - stream->writer];
            told |= header->offset < writer->stored &&
                    header->offset >= stream->first;
            settled |= header->offset < writer->settled;
            if (header->offset <= *c && at > *c)
                *c = at;
        }
        if (told)
            check_block(self, stream, block, settled);
    }
}

static void
check_stream(ledger_t *self, stream_t *stream)
{
    uint64_t cursor[WRITERS];
    micros_t created_us = 0;
    for (unsigned i = 0; i < stream->writers; i++)
        cursor[i] = stream->writer[i].begin;
    //  What was trimmed off is not asked for again.
    uint64_t first = stream->first;
    for (unsigned i = 0; i < stream->writers; i++)
        if (cursor[i] < first)
            cursor[i] = first;
    for (size_t i = 0; i < stream->extents; i++) {
        const extent_t *extent = stream->chain[i];
        const extent_t *next = i + 1 < stream->extents ? stream->chain[i + 1]
                                                       : NULL;
        check_extent(self, stream, extent,
                     next ? placement_index_before(next) : UINT64_MAX, cursor,
                     &created_us);
    }
    for (unsigned i = 0; i < stream->writers; i++) {
        const writer_t *writer = &stream->writer[i];
        if (!writer->opened || writer->stored <= writer->begin)
            continue;
        if (cursor[i] < writer->stored)
            story_breach(1,
                         "%s: source %llx was told that %llu to %llu are "
                         "stored; the durable catalogue and stores have up to "
                         "%llu",
                         stream->name, (unsigned long long)writer->token,
                         (unsigned long long)writer->begin,
                         (unsigned long long)writer->stored,
                         (unsigned long long)cursor[i]);
        story_held(1);
    }
}

//  A stream of which nothing was pushed need not outlive its forwarder.
static void
take_id(const ledger_t *self, stream_t *stream, uint64_t id)
{
    //  A catalogue that was lost does not know what was opened and has nothing.
    bool anew = self->rebuilt && stream->stored == 0;
    if (stream->id && stream->id != id && stream->dealt && !anew)
        story_breach(3, "%s has changed its id", stream->name);
    stream->dealt = stream->dealt && stream->id == id;
    stream->id = id;
}

static int64_t
age_of(const ledger_t *self, const block_t *block)
{
    return story_now() - (block->block_us + self->behind_us[block->life]);
}

//  Whether retention may have taken a block that was told stored: it is as old
//  as it is to be kept, by the clock of the forwarder that stamped it. The
//  walls of forwarders differ by up to 2 s.
static bool
is_old(const ledger_t *self, const block_t *block)
{
    bool same = block->life == self->life;
    if (self->keep_us == 0 || (self->clock_set && !same))
        return true;
    int64_t differs = same ? SECOND / 10 : 23 * SECOND / 10;
    return age_of(self, block) >= self->keep_us - differs;
}

static void
check_old(const ledger_t *self, const stream_t *stream, const block_t *block)
{
    if (!stream->limited || (block->told && !is_old(self, block)))
        story_breach(11,
                     "%s epoch %llx block %llu is gone after %.1f s, and is to "
                     "be kept for %.1f s",
                     stream->name, (unsigned long long)block->epoch,
                     (unsigned long long)block->number,
                     (double)age_of(self, block) / SECOND,
                     stream->limited ? (double)self->keep_us / SECOND : -1.0);
    story_held(11);
}

//  The stream is no more: its name is free for another.
static void
bury(ledger_t *self, stream_t *stream)
{
    for (size_t i = 0; i < self->slots && !stream->may_go; i++)
        for (block_t *block = self->block[i]; block; block = block->next)
            if (block->stream == stream->id)
                check_old(self, stream, block);
    if (self->gone_count == self->gone_room) {
        self->gone_room = self->gone_room ? 2 * self->gone_room : 16;
        self->gone = realloc(self->gone, self->gone_room * sizeof(uint64_t));
        INVARIANT(self->gone);
    }
    self->gone[self->gone_count++] = stream->id;
    story_count(stream->may_go ? "stream removed" : "stream outlived", 1);
    story_tell("%s is no more", stream->name);
    forget_chain(stream);
    memset(stream->told, 0, sizeof(stream->told));
    stream->id = stream->stored = stream->answered = stream->size = 0;
    stream->end_index = stream->first_index = stream->first = 0;
    stream->sealed = stream->dealt = false;
    stream->graves++;
    for (unsigned i = 0; i < stream->writers; i++) {
        writer_t *writer = &stream->writer[i];
        *writer = (writer_t){ .token = writer->token,
                              .key = writer->key,
                              .given = writer->given,
                              //  It may send all of it again.
                              .finished = writer->finished,
                              .end = writer->end };
    }
}

//  What stood before the first extent that is left was old.
static void
check_trimmed(ledger_t *self, const stream_t *stream, uint64_t epoch)
{
    for (size_t i = 0; i < stream->extents; i++) {
        const extent_t *extent = stream->chain[i];
        const block_t *block;
        if (extent->epoch >= epoch)
            return;
        for (uint64_t number = 0;
             (block = find(self, stream->id, extent->epoch, number)); number++)
            check_old(self, stream, block);
    }
}

static void
find_stream(void *arg, const stream_record_t *record, extent_t **chain,
            size_t count)
{
    reading_t *reading = arg;
    if (reading->count == reading->room) {
        reading->room = reading->room ? 2 * reading->room : 8;
        reading->found = realloc(reading->found,
                                 reading->room * sizeof(found_t));
        INVARIANT(reading->found);
    }
    reading->found[reading->count++] = (found_t){ *record, chain, count };
}

static void
find_removed(void *arg, uint64_t id, const uint64_t *stores, size_t count)
{
    ledger_t *self = ((reading_t *)arg)->ledger;
    (void)stores, (void)count;
    for (unsigned i = 0; i < self->streams; i++)
        if (self->stream[i].id == id)
            bury(self, &self->stream[i]);
}

//  Blocks of the nth extent of the chain; the last of a stream that is not
//  sealed has what was pushed.
static uint64_t
blocks_of(const ledger_t *self, const stream_t *stream, size_t nth)
{
    const extent_t *extent = stream->chain[nth];
    bool last = nth + 1 == stream->extents;
    uint64_t blocks = 0;
    uint64_t end = last ? stream->end_index
                        : placement_index_before(stream->chain[nth + 1]);
    if (last && !end)
        while (find(self, stream->id, extent->epoch, blocks))
            blocks++;
    else if (end > extent->base_index)
        blocks = (end - extent->base_index) / extent->code.k;
    return blocks;
}

//  The extent of the chain that has a block, or NULL.
static const extent_t *
extent_of(const ledger_t *self, const stream_t *stream, uint64_t epoch,
          uint64_t block)
{
    for (size_t n = 0; n < stream->extents; n++)
        if (stream->chain[n]->epoch == epoch &&
            block < blocks_of(self, stream, n))
            return stream->chain[n];
    return NULL;
}

void
ledger_outlived(ledger_t *self, chunk_key_t key)
{
    take_chains(self);
    for (unsigned i = 0; i < self->streams; i++) {
        const stream_t *stream = &self->stream[i];
        for (size_t n = 0; n < stream->extents && stream->id == key.stream; n++)
            if (stream->chain[n]->epoch == key.epoch &&
                key.block < blocks_of(self, stream, n))
                story_breach(11,
                             "a store lets go of %s epoch %llx block %llu, "
                             "which is not below the horizon",
                             stream->name, (unsigned long long)key.epoch,
                             (unsigned long long)key.block);
    }
    story_held(11);
}

//  A chunk that a store still had is not among what was given up.
static void
check_given_up(const found_t *found, const chunk_header_t *header)
{
    for (size_t i = 0; i < found->count; i++) {
        const extent_t *extent = found->chain[i];
        if (header->length && header->offset < extent->base_offset &&
            header->offset >= extent->base_offset - extent->gap)
            story_breach(1, "%s at %llu is given up, and a store has it",
                         header->name, (unsigned long long)header->offset);
    }
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

//  A loss was accepted: what was told of bytes behind it counts no more.
static void
lose(ledger_t *self, stream_t *stream, const found_t *found)
{
    const stream_record_t *record = &found->record;
    if (!self->disaster)
        story_breach(1,
                     "%s is said to have lost bytes from %llu on, and nobody "
                     "has lost any",
                     stream->name, (unsigned long long)record->lost_from);
    story_count("loss accepted", 1);
    story_tell("%s has lost bytes from %llu on", stream->name,
               (unsigned long long)record->lost_from);
    for (size_t i = 0; i < stream->extents && record->kind == KIND_LIVE; i++) {
        const extent_t *extent = stream->chain[i];
        const block_t *block;
        uint64_t blocks = blocks_of(self, stream, i);
        for (uint64_t number = 0;
             number < blocks &&
             (block = find(self, stream->id, extent->epoch, number));
             number++)
            for (unsigned s = 0; s < block->code.k && block->told; s++)
                for (unsigned c = 0; c < block->members[s].copies; c++)
                    if (!block->members[s].copy[c].lost)
                        check_given_up(found, &block->members[s].header);
    }
    stream->lost_us = record->lost_us;
    stream->lost_from = record->lost_from;
    stream->sealed = stream->sealed && record->sealed;
    stream->stored = least(stream->stored, record->lost_from);
    for (unsigned i = 0; i < LIVES; i++)
        stream->told[i] = least(stream->told[i], record->lost_from);
    for (unsigned i = 0; i < stream->writers; i++) {
        writer_t *writer = &stream->writer[i];
        uint64_t kept = record->lost_from > writer->begin ? record->lost_from
                                                          : writer->begin;
        writer->stored = least(writer->stored, kept);
        writer->settled = least(writer->settled, kept);
    }
    story_held(4);
}

static void
take_chain(ledger_t *self, const found_t *found)
{
    const stream_record_t *record = &found->record;
    stream_t *stream = stream_named(self, record->name);
    if (!stream)
        story_breach(2, "the catalogue has a stream %s that nobody opened",
                     record->name);
    bool loses = record->lost_us != stream->lost_us;
    if (loses)
        lose(self, stream, found);
    if (record->first_index > stream->first_index && !loses) {
        if (stream->limited || !self->disaster)
            check_trimmed(self, stream, found->chain[0]->epoch);
        story_count("stream trimmed", 1);
        stream->first = found->chain[0]->base_offset;
    }
    forget_chain(stream);
    take_id(self, stream, record->id);
    stream->chain = found->chain;
    stream->extents = found->count;
    stream->end_index = record->sealed ? record->end_index : 0;
    stream->first_index = record->first_index;
}

//  Read the chains again when the durable catalogue has changed.
static void
take_chains(ledger_t *self)
{
    if (self->doubts || self->version == image_version(self->catalogue))
        return;
    self->version = image_version(self->catalogue);
    image_t *image = image_durable(self->catalogue);
    kv_t *kv = image_open(image, NULL, NULL);
    catalogue_t *catalogue;
    char why[200];
    if (catalogue_open(kv, 1, &catalogue, why, sizeof(why)) != STATUS_OK)
        story_breach(3, "the durable catalogue cannot be read: %s", why);
    reading_t reading = { .ledger = self };
    if (catalogue_load(catalogue, find_stream, find_removed, &reading) !=
        STATUS_OK)
        story_breach(3, "the durable catalogue cannot be loaded");
    for (size_t i = 0; i < reading.count; i++)
        take_chain(self, &reading.found[i]);
    free(reading.found);
    catalogue_close(&catalogue);
    kv_close(&kv);
    image_destroy(&image);
}

//  Whether a block was told of, and dealt again since.
static bool
was_replaced(const ledger_t *self, const block_t *block)
{
    for (unsigned i = 0; i < self->streams; i++)
        if (self->stream[i].id == block->stream &&
            extent_of(self, &self->stream[i], block->epoch, block->number))
            return false;
    return true;
}

//  Of several attempts that all have what was acknowledged another may be in
//  the chain now: blocks that nobody was told of, or not any more.
static void
find_blocks(ledger_t *self)
{
    for (size_t i = 0; i < self->slots; i++)
        for (block_t *block = self->block[i]; block; block = block->next)
            block->found = block->found || !block->told ||
                           was_replaced(self, block);
}

//  Whether a stream of which nothing is stored was dealt again on its way.
static bool
is_adrift(const ledger_t *self, const stream_t *stream)
{
    for (size_t i = 0; i < self->slots && stream->stored == 0; i++)
        for (block_t *block = self->block[i]; block; block = block->next)
            if (block->stream == stream->id && block->base_index > 0)
                return true;
    return false;
}

bool
ledger_all_began(const ledger_t *self)
{
    for (unsigned i = 0; i < self->streams; i++)
        if (is_adrift(self, &self->stream[i]))
            return false;
    for (unsigned i = 0; i < self->streams; i++)
        for (unsigned w = 0; w < self->stream[i].writers; w++) {
            const writer_t *writer = &self->stream[i].writer[w];
            if (writer->opened && writer->begin > 0 &&
                writer->stored <= writer->begin)
                return false;
        }
    return true;
}

void
ledger_doubt(ledger_t *self, bool doubt)
{
    if (!doubt)
        find_blocks(self);
    take_chains(self);
    self->doubts = doubt;
    self->rebuilt = self->rebuilt || !doubt;
    self->version = UINT64_MAX;
}

void
ledger_disaster(ledger_t *self)
{
    self->disaster = true;
    for (size_t i = 0; i < self->slots; i++)
        for (block_t *block = self->block[i]; block; block = block->next) {
            unsigned ever;
            uint32_t which;
            block->excused = present(block, &ever, &which) < block->code.k;
        }
}

//  Members that lie where readers look for them: not on a disk that a rebuild
//  did without.
static unsigned
at_home(const extent_t *extent, const block_t *block)
{
    unsigned here = 0;
    for (unsigned s = 0; s < width(block); s++) {
        const member_t *member = &block->members[s];
        uint64_t home = placement_store(extent, block->number, s);
        for (unsigned c = 0; c < member->copies; c++)
            here += member->copy[c].store == home && !member->copy[c].lost;
    }
    return here;
}

uint64_t
ledger_beyond(ledger_t *self, const char *name, uint64_t offset)
{
    const stream_t *stream = stream_named(self, name);
    size_t nth = stream->extents;
    while (nth > 0 && stream->chain[nth - 1]->base_offset > offset)
        nth--;
    //  A place is computed from chunks before it: behind one that is lost it
    //  may not be found.
    bool lost = false;
    const block_t *block;
    for (uint64_t number = 0;
         nth > 0 && (block = find(self, stream->id,
                                  stream->chain[nth - 1]->epoch, number));
         number++) {
        lost = lost || block->excused ||
               at_home(stream->chain[nth - 1], block) < block->code.k;
        for (unsigned s = 0; s < block->code.k; s++) {
            const chunk_header_t *header = &block->members[s].header;
            uint64_t end = header->offset + header->length;
            if (offset >= header->offset && offset < end)
                return lost ? end : 0;
        }
    }
    return 0;
}

void
ledger_keeps(ledger_t *self, int64_t keep_us)
{
    self->keep_us = keep_us;
}

void
ledger_limited(ledger_t *self, const char *name)
{
    stream_named(self, name)->limited = true;
}

void
ledger_life(ledger_t *self, unsigned life)
{
    self->life = life;
}

void
ledger_clock_set(ledger_t *self)
{
    self->clock_set = true;
}

void
ledger_remove(ledger_t *self, const char *name)
{
    stream_named(self, name)->may_go = true;
}

void
ledger_removed(ledger_t *self, uint64_t id)
{
    //  An older copy of the catalogue is put right before it is looked at.
    if (self->doubts)
        return;
    take_chains(self);
    if (!is_gone(self, id))
        story_breach(11, "stream %llx is said to be removed, and is not",
                     (unsigned long long)id);
    story_held(11);
}

bool
ledger_begins_anew(ledger_t *self, const char *name)
{
    take_chains(self);
    return self->rebuilt || stream_named(self, name)->graves > 0;
}

bool
ledger_is_removed(ledger_t *self, const char *name)
{
    take_chains(self);
    const stream_t *stream = stream_named(self, name);
    //  What a late word opened anew has nothing: nobody misses it.
    return stream->graves > 0 && (stream->id == 0 || stream->stored == 0);
}

bool
ledger_all_outlived(ledger_t *self)
{
    take_chains(self);
    //  One that was opened by a late word, and has no byte, stays; and one that
    //  was written while the clock was set is as old as its first stamp says,
    //  which may be more than it can be trimmed by.
    for (unsigned i = 0; i < self->streams; i++)
        if (self->stream[i].limited && self->stream[i].extents)
            return self->clock_set;
    return true;
}

void
ledger_check(ledger_t *self)
{
    take_chains(self);
    for (unsigned i = 0; i < self->streams; i++)
        check_stream(self, &self->stream[i]);
}

//  A forwarder says that `offset` is stored.
static void
told(ledger_t *self, stream_t *stream, unsigned life, uint64_t offset)
{
    INVARIANT(life < LIVES);
    if (self->disaster)
        take_chains(self);
    for (unsigned i = 0; i <= life; i++)
        if (stream->told[i] > offset)
            story_breach(3,
                         "%s: forwarder %u says that %llu is stored, %u "
                         "said %llu before",
                         stream->name, life, (unsigned long long)offset, i,
                         (unsigned long long)stream->told[i]);
    story_held(3);
    stream->told[life] = offset;
    if (offset > stream->stored)
        stream->stored = offset;
}

static void
said_opened(ledger_t *self, unsigned life, const Rill__V1__Opened *opened,
            const Rill__V1__Open *open)
{
    stream_t *stream = stream_named(self, open->name);
    writer_t *writer = stream ? writer_of(stream, open->token) : NULL;
    INVARIANT(writer);
    take_chains(self);
    take_id(self, stream, opened->stream);
    if (!writer->opened) {
        for (unsigned i = 0; i < stream->writers; i++) {
            const writer_t *other = &stream->writer[i];
            if (other->opened && other->stored > opened->begin)
                story_breach(2,
                             "%s: a new source begins at %llu, another's "
                             "bytes are stored up to %llu",
                             stream->name, (unsigned long long)opened->begin,
                             (unsigned long long)other->stored);
        }
        if (stream->answered > opened->begin)
            story_breach(2,
                         "%s: a new source begins at %llu, readers have "
                         "bytes up to %llu",
                         stream->name, (unsigned long long)opened->begin,
                         (unsigned long long)stream->answered);
        writer->opened = true;
        writer->begin = writer->stored = writer->settled = opened->begin;
    }
    //  A rebuild finds no source of which nothing was stored.
    if (self->rebuilt && writer->begin != opened->begin &&
        writer->stored <= writer->begin) {
        writer->begin = writer->stored = writer->settled = opened->begin;
        writer->cut_begin = writer->cut_end = 0;
    }
    if (writer->begin != opened->begin)
        story_breach(2, "%s: source %llx began at %llu, now at %llu",
                     stream->name, (unsigned long long)open->token,
                     (unsigned long long)writer->begin,
                     (unsigned long long)opened->begin);
    //  One that was replaced may not know what its successor said.
    for (unsigned i = 0; i <= life; i++)
        if (stream->told[i] > opened->offset)
            story_breach(3,
                         "%s: source %llx is to go on at %llu, and %llu "
                         "was told stored",
                         stream->name, (unsigned long long)open->token,
                         (unsigned long long)opened->offset,
                         (unsigned long long)stream->told[i]);
    if (opened->offset > opened->begin && opened->offset > writer->given)
        story_breach(2, "%s: source %llx is to go on at %llu, and gave %llu",
                     stream->name, (unsigned long long)open->token,
                     (unsigned long long)opened->offset,
                     (unsigned long long)writer->given);
    if (self->sessions == self->sessions_room) {
        self->sessions_room = self->sessions_room ? 2 * self->sessions_room
                                                  : 64;
        self->session = realloc(self->session,
                                self->sessions_room * sizeof(session_t));
        INVARIANT(self->session);
    }
    self->session[self->sessions++] = (session_t){ opened->session, stream,
                                                   stream->id, open->token,
                                                   life };
}

static void
said_sealed(stream_t *stream, uint64_t size)
{
    bool meant = false;
    for (unsigned i = 0; i < stream->writers; i++)
        meant |= stream->writer[i].finished && stream->writer[i].end == size;
    if (!meant)
        story_breach(4,
                     "%s is said to be sealed at %llu; no source ended "
                     "there",
                     stream->name, (unsigned long long)size);
    if (stream->sealed && stream->size != size)
        story_breach(4, "%s is sealed at %llu and at %llu", stream->name,
                     (unsigned long long)stream->size,
                     (unsigned long long)size);
    stream->sealed = true;
    stream->size = size;
    story_held(4);
}

static void
said_progress(ledger_t *self, unsigned life, const Rill__V1__Progress *progress)
{
    session_t *session = NULL;
    for (size_t i = self->sessions; i-- > 0 && !session;)
        if (self->session[i].session == progress->session &&
            self->session[i].life == life)
            session = &self->session[i];
    if (!session || is_gone(self, session->id))
        return;
    stream_t *stream = session->stream;
    writer_t *writer = writer_of(stream, session->token);
    if (progress->received > writer->given &&
        progress->received > writer->begin)
        story_breach(2,
                     "%s: %llu bytes are said to be received, %llu were "
                     "given",
                     stream->name, (unsigned long long)progress->received,
                     (unsigned long long)writer->given);
    if (progress->stored > progress->received ||
        progress->settled > progress->stored)
        story_breach(3, "%s: received %llu, stored %llu, settled %llu",
                     stream->name, (unsigned long long)progress->received,
                     (unsigned long long)progress->stored,
                     (unsigned long long)progress->settled);
    if (progress->stored > writer->begin)
        told(self, stream, life, progress->stored);
    bool news = progress->stored > writer->stored ||
                progress->settled > writer->settled;
    if (progress->stored > writer->stored)
        writer->stored = progress->stored;
    if (progress->settled > writer->settled)
        writer->settled = progress->settled;
    if (news) {
        take_chains(self);
        check_stream(self, stream);
    }
    if (progress->sealed)
        said_sealed(stream, progress->stored);
}

static void
said_described(ledger_t *self, unsigned life,
               const Rill__V1__Described *described)
{
    stream_t *stream = stream_named(self, described->name);
    if (!stream)
        story_breach(2, "a stream %s is described that nobody opened",
                     described->name);
    if (is_gone(self, described->stream))
        return;
    told(self, stream, life, described->stored);
    writer_t *writer = writer_of(stream, described->token);
    if (!writer)
        story_breach(2, "%s is said to be written by %llx", stream->name,
                     (unsigned long long)described->token);
    bool news = described->stored > writer->stored &&
                described->stored > described->begin;
    if (writer->opened && described->settled > writer->settled &&
        described->settled > described->begin) {
        writer->settled = described->settled;
        news = true;
    }
    if (news && writer->opened) {
        if (described->stored > writer->stored)
            writer->stored = described->stored;
        take_chains(self);
        check_stream(self, stream);
    }
    if (described->sealed)
        said_sealed(stream, described->size);
}

void
ledger_said(ledger_t *self, unsigned life, const message_t *message,
            const Rill__V1__Open *asked)
{
    if (message->body_case == RILL__V1__MESSAGE__BODY_OPENED && asked)
        said_opened(self, life, message->opened, asked);
    else if (message->body_case == RILL__V1__MESSAGE__BODY_PROGRESS)
        said_progress(self, life, message->progress);
    else if (message->body_case == RILL__V1__MESSAGE__BODY_DESCRIBED)
        said_described(self, life, message->described);
}

bool
ledger_is_sealed(ledger_t *self, uint64_t stream)
{
    take_chains(self);
    for (unsigned i = 0; i < self->streams; i++)
        if (self->stream[i].id == stream)
            return self->stream[i].end_index > 0;
    return true;
}

void
ledger_sealed(ledger_t *self, const char *name)
{
    take_chains(self);
    const stream_t *stream = stream_named(self, name);
    if (!stream || (!stream->end_index && !stream->graves))
        story_breach(3, "%s is said to be sealed, and may grow again", name);
    story_held(3);
}

void
ledger_receipt(ledger_t *self, uint64_t store, uint64_t granted,
               const message_t *message)
{
    const Rill__V1__Receipt *receipt = message->receipt;
    if (receipt->term < granted)
        story_breach(8,
                     "a store that granted term %llu gives a receipt for "
                     "%llu",
                     (unsigned long long)granted,
                     (unsigned long long)receipt->term);
    story_held(8);
    for (size_t i = 0; i < receipt->n_stored; i++) {
        chunk_key_t key = message_to_key(receipt->stored[i]);
        const member_t *member = member_of(self, key);
        bool here = false;
        for (unsigned j = 0; member && j < member->copies; j++)
            //  What rots afterwards had been durable when it was said.
            here |= member->copy[j].store == store;
        if (!here)
            story_breach(6,
                         "a receipt for epoch %llx block %llu slot %u, "
                         "which is not durable there",
                         (unsigned long long)key.epoch,
                         (unsigned long long)key.block, key.slot);
        story_held(6);
    }
}

void
ledger_answer(ledger_t *self, const chunk_header_t *header, buffer_t *payload,
              uint64_t offset)
{
    if (chunk_is_parity(header) || offset < header->offset ||
        offset - header->offset >= header->length)
        story_breach(12, "%s: %llu was asked for, %llu + %u came", header->name,
                     (unsigned long long)offset,
                     (unsigned long long)header->offset, header->length);
    check_bytes(self, header, buffer_bytes(payload), buffer_size(payload),
                "answer");
    stream_t *stream = stream_named(self, header->name);
    uint64_t end = header->offset + header->length;
    if (is_gone(self, header->key.stream))
        return;
    for (unsigned i = 0; i < stream->writers; i++) {
        const writer_t *other = &stream->writer[i];
        if (other->token != header->writer && other->opened &&
            header->offset < other->stored && other->begin < end)
            story_breach(2, "%s: two sources' bytes at %llu", stream->name,
                         (unsigned long long)header->offset);
    }
    if (end > stream->answered)
        stream->answered = end;
    story_held(12);
}

void
ledger_gone(ledger_t *self, const char *name, uint64_t offset)
{
    take_chains(self);
    const stream_t *stream = stream_named(self, name);
    if (stream && (stream->graves || offset < stream->first))
        return;
    for (unsigned i = 0; stream && i < stream->writers; i++) {
        const writer_t *writer = &stream->writer[i];
        if (writer->opened && offset >= writer->begin &&
            offset < writer->stored)
            story_breach(11,
                         "%s: the byte at %llu was told stored, and is "
                         "said to be gone",
                         name, (unsigned long long)offset);
    }
    story_held(11);
}

//  Whether the block stood before what is left of its stream.
static bool
is_trimmed(const ledger_t *self, const block_t *block)
{
    for (unsigned i = 0; i < self->streams; i++)
        if (self->stream[i].id == block->stream)
            return block->members[0].pushed &&
                   block->members[0].header.offset < self->stream[i].first;
    return false;
}

//  What was removed is back when the catalogue is lost before every store heard
//  of it. Where retention takes streams the catalogue is not lost.
static bool
is_over(const ledger_t *self, uint64_t id)
{
    bool limited = false;
    for (unsigned i = 0; i < self->streams; i++)
        limited = limited || self->stream[i].limited;
    return limited && is_gone(self, id);
}

bool
ledger_can_lose(const ledger_t *self, chunk_key_t key)
{
    const block_t *block = find(self, key.stream, key.epoch, key.block);
    if (!block || is_over(self, key.stream) || is_trimmed(self, block))
        return true;
    unsigned ever;
    uint32_t which;
    unsigned now = present(block, &ever, &which);
    return now > block->code.k;
}

static bool
keeps(const ledger_t *self, uint64_t store, chunk_key_t key)
{
    const member_t *member = member_of(self, key);
    for (unsigned i = 0; member && i < member->copies; i++)
        if (member->copy[i].store == store && !member->copy[i].lost)
            return true;
    return false;
}

//  Whether a chunk is where placement says; or where it said before a rebuild
//  that did not find its store, which nobody knows when it is back.
static bool
is_placed(const extent_t *extent, uint64_t store, chunk_key_t key)
{
    return placement_slot_of(extent, key.block, store) == (int)key.slot ||
           placement_is_lost(placement_store(extent, key.block, key.slot));
}

bool
ledger_is_garbage(ledger_t *self, uint64_t store, chunk_key_t key)
{
    take_chains(self);
    for (unsigned i = 0; i < self->streams; i++) {
        const stream_t *stream = &self->stream[i];
        if (stream->id != key.stream)
            continue;
        const extent_t *extent = extent_of(self, stream, key.epoch, key.block);
        if (extent && is_placed(extent, store, key))
            return false;
        //  What is older than its retention goes with its segment.
        if (stream->first_index && stream->extents &&
            key.epoch < stream->chain[0]->epoch)
            return false;
        //  Nobody knows yet that an attempt behind the chain's end is one.
        if (!stream->end_index && stream->extents &&
            stream->chain[stream->extents - 1]->epoch < key.epoch)
            return false;
        return keeps(self, store, key);
    }
    //  What a store did not know that it had, as a sync of it had failed, a
    //  rebuild did not find: nobody can say that the stream was removed.
    return (!self->rebuilt || is_gone(self, key.stream)) &&
           keeps(self, store, key);
}

//  Slots of one block that their stores do not keep.
static uint64_t
slots_missing(const ledger_t *self, uint64_t stream, const extent_t *extent,
              uint64_t block, uint64_t store)
{
    uint64_t missing = 0;
    for (unsigned s = 0; s < (unsigned)extent->code.k + extent->code.m; s++) {
        uint64_t home = placement_store(extent, block, s);
        chunk_key_t key = { stream, extent->epoch, block, s };
        missing += (!store || store == home) && !keeps(self, home, key);
    }
    return missing;
}

uint64_t
ledger_missing(ledger_t *self, uint64_t store)
{
    uint64_t missing = 0;
    take_chains(self);
    for (unsigned i = 0; i < self->streams; i++) {
        const stream_t *stream = &self->stream[i];
        for (size_t n = 0; n < stream->extents; n++) {
            uint64_t blocks = blocks_of(self, stream, n);
            for (uint64_t b = 0; b < blocks; b++)
                missing += slots_missing(self, stream->id, stream->chain[n], b,
                                         store);
        }
    }
    return missing;
}

uint64_t
ledger_stored(const ledger_t *self, const char *name)
{
    const stream_t *stream = stream_named(self, name);
    return stream ? stream->stored : 0;
}

uint64_t
ledger_blocks(const ledger_t *self)
{
    return self->acknowledged;
}

//  Whether a byte is another source's, or said to be in a hole.
static bool
explained(const stream_t *stream, const Rill__V1__Described *described,
          uint64_t offset)
{
    for (unsigned i = 0; i < stream->writers; i++)
        if (stream->writer[i].opened && offset >= stream->writer[i].begin &&
            offset < stream->writer[i].given)
            return true;
    for (size_t i = 0; i < described->n_holes; i++)
        if (offset >= described->holes[i]->from &&
            offset < described->holes[i]->to)
            return true;
    return false;
}

void
ledger_holes(ledger_t *self, const char *name,
             const Rill__V1__Described *described)
{
    const stream_t *stream = stream_named(self, name);
    INVARIANT(stream);
    if (stream->id != described->stream)
        return;
    for (size_t i = 0; i < described->n_holes; i++) {
        const Rill__V1__Hole *hole = described->holes[i];
        for (unsigned j = 0; j < stream->writers; j++) {
            const writer_t *writer = &stream->writer[j];
            if (stream->lost_us && hole->from >= stream->lost_from)
                continue;
            if (writer->opened && hole->from < writer->stored &&
                hole->to > writer->begin && writer->stored > writer->begin)
                story_breach(4,
                             "%s: the hole %llu to %llu has bytes that "
                             "were told stored",
                             name, (unsigned long long)hole->from,
                             (unsigned long long)hole->to);
        }
    }
    for (unsigned i = 0; i < stream->writers; i++) {
        const writer_t *writer = &stream->writer[i];
        bool trimmed = writer->begin <= stream->first;
        if (writer->opened && writer->begin > 0 && !trimmed &&
            writer->stored > writer->begin &&
            !explained(stream, described, writer->begin - 1))
            story_breach(4, "%s: nothing is said of the hole below %llu", name,
                         (unsigned long long)writer->begin);
    }
    story_held(4);
}
