#include "window.h"

#include <stdlib.h>

#include "invariant.h"
#include "table.h"

enum {
    MARKS_BACK = 64,  //  Chunks looked through for a mark
};

typedef struct shelf shelf_t;

typedef struct held {
    window_chunk_t chunk;  //  Is its first member
    shelf_t *shelf;
    struct held *older, *newer;  //  In the order they came
} held_t;

//  One stream's chunks, by offset; as none lies within another, by end, too.
struct shelf {
    uint64_t stream;
    held_t **chunks;  //  [first, first + count)
    size_t first, count, room;
    size_t bytes;   //  Of payload
    size_t turned;  //  Neighbours of which the one behind is older
};

struct window {
    zhashx_t *shelves;
    held_t *oldest, *newest;
    size_t most, bytes, count;
    window_fn *leaves;
    void *with;
};

static size_t
cost(const held_t *held)
{
    size_t length = held->chunk.header.length;
    if (!held->chunk.payload && length < WINDOW_PLACE_BYTES)
        length = WINDOW_PLACE_BYTES;
    return sizeof *held + length;
}

static uint64_t
end_of(const held_t *held)
{
    return held->chunk.header.offset + held->chunk.header.length;
}

window_t *
window_new(size_t most_bytes, window_fn *leaves, void *with)
{
    window_t *self = zmalloc(sizeof *self);
    self->shelves = table_new();
    self->most = most_bytes;
    self->leaves = leaves;
    self->with = with;
    return self;
}

static shelf_t *
shelf_of(const window_t *self, uint64_t stream)
{
    return zhashx_lookup(self->shelves, &stream);
}

//  The place of the first chunk that begins behind `offset`.
static size_t
behind(const shelf_t *shelf, uint64_t offset)
{
    size_t low = 0, high = shelf->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (shelf->chunks[shelf->first + middle]->chunk.header.offset > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

//  Whether the chunk of a place and the one before it are turned. They never are
//  unless an origin cut some while its clock was ahead, and cut on behind them
//  after a restart with the right one.
static bool
is_turned(const shelf_t *shelf, size_t at)
{
    held_t **all = shelf->chunks + shelf->first;
    return at > 0 && at < shelf->count &&
           all[at - 1]->chunk.header.created_us >
               all[at]->chunk.header.created_us;
}

static void
drop(window_t *self, held_t *held)
{
    shelf_t *shelf = held->shelf;
    held_t **all = shelf->chunks + shelf->first;
    size_t at = behind(shelf, held->chunk.header.offset);
    shelf->turned -= is_turned(shelf, at - 1) + is_turned(shelf, at);
    if (at == 1)
        shelf->first++;
    else
        memmove(all + at - 1, all + at, (shelf->count - at) * sizeof *all);
    shelf->count--;
    shelf->turned += is_turned(shelf, at - 1);
    shelf->bytes -= held->chunk.header.length;
    *(held->older ? &held->older->newer : &self->oldest) = held->newer;
    *(held->newer ? &held->newer->older : &self->newest) = held->older;
    self->bytes -= cost(held);
    self->count--;
    buffer_unref(&held->chunk.payload);
    free(held);
    if (shelf->count == 0) {
        zhashx_delete(self->shelves, &shelf->stream);
        free(shelf->chunks);
        free(shelf);
    }
}

void
window_destroy(window_t **self_p)
{
    window_t *self = *self_p;
    if (!self)
        return;
    while (self->oldest)
        drop(self, self->oldest);
    zhashx_destroy(&self->shelves);
    free(self);
    *self_p = NULL;
}

//  Room for one more at the end of the array.
static void
widen(shelf_t *shelf)
{
    if (shelf->first + shelf->count < shelf->room)
        return;
    if (shelf->first > shelf->count) {
        memmove(shelf->chunks, shelf->chunks + shelf->first,
                shelf->count * sizeof *shelf->chunks);
        shelf->first = 0;
        return;
    }
    shelf->room = 2 * shelf->room + 16;
    shelf->chunks = realloc(shelf->chunks, shelf->room * sizeof *shelf->chunks);
    INVARIANT(shelf->chunks);
}

static shelf_t *
make_shelf(window_t *self, uint64_t stream)
{
    shelf_t *shelf = zmalloc(sizeof *shelf);
    shelf->stream = stream;
    zhashx_insert(self->shelves, &shelf->stream, shelf);
    return shelf;
}

//  The oldest ones go.
static void
make_room(window_t *self, size_t bytes)
{
    while (self->oldest && self->bytes + bytes > self->most) {
        if (self->leaves)
            self->leaves(self->with, &self->oldest->chunk);
        drop(self, self->oldest);
    }
}

//  What lies within a new one goes: the new one has the same bytes.
static void
drop_within(window_t *self, uint64_t stream, uint64_t from, uint64_t to)
{
    shelf_t *shelf = shelf_of(self, stream);
    size_t at = shelf && from > 0 ? behind(shelf, from - 1) : 0;
    for (size_t left = shelf ? shelf->count - at : 0; left > 0; left--) {
        held_t *held = shelf->chunks[shelf->first + at];
        if (end_of(held) > to)
            return;
        drop(self, held);  //  The shelf too, with its last one
    }
}

static bool
add(window_t *self, const chunk_header_t *header, buffer_t *payload,
    uint64_t number)
{
    uint64_t stream = header->key.stream;
    uint64_t end = header->offset + header->length;
    if (header->length == 0 ||
        window_reach(self, stream, header->offset) >= end)
        return false;
    held_t *held = zmalloc(sizeof *held);
    held->chunk.header = *header;
    held->chunk.payload = buffer_ref(payload);
    held->chunk.number = number;
    if (cost(held) > self->most) {
        buffer_unref(&held->chunk.payload);
        free(held);
        return false;
    }
    drop_within(self, stream, header->offset, end);
    make_room(self, cost(held));
    shelf_t *shelf = shelf_of(self, stream);
    if (!shelf)
        shelf = make_shelf(self, stream);
    widen(shelf);
    size_t at = behind(shelf, header->offset);
    held_t **all = shelf->chunks + shelf->first;
    shelf->turned -= is_turned(shelf, at);
    memmove(all + at + 1, all + at, (shelf->count - at) * sizeof *all);
    all[at] = held;
    shelf->count++;
    shelf->turned += is_turned(shelf, at) + is_turned(shelf, at + 1);
    shelf->bytes += header->length;
    held->shelf = shelf;
    held->older = self->newest;
    *(self->newest ? &self->newest->newer : &self->oldest) = held;
    self->newest = held;
    self->bytes += cost(held);
    self->count++;
    return true;
}

bool
window_add(window_t *self, const chunk_header_t *header, buffer_t *payload)
{
    return add(self, header, payload, 0);
}

bool
window_add_place(window_t *self, const chunk_header_t *header, uint64_t number)
{
    return add(self, header, NULL, number);
}

void
window_drop_place(window_t *self, uint64_t number)
{
    held_t *held = self->oldest;
    while (held && held->chunk.number < number)
        held = held->newer;
    if (held && held->chunk.number == number)
        drop(self, held);
}

uint64_t
window_first_place(const window_t *self)
{
    return self->oldest ? self->oldest->chunk.number : UINT64_MAX;
}

//  The chunk that covers an offset: of those that begin before, the last one
//  ends last.
static held_t *
find(const shelf_t *shelf, uint64_t offset)
{
    size_t at = behind(shelf, offset);
    held_t *held = at > 0 ? shelf->chunks[shelf->first + at - 1] : NULL;
    return held && end_of(held) > offset ? held : NULL;
}

const window_chunk_t *
window_find(const window_t *self, uint64_t stream, uint64_t offset)
{
    const shelf_t *shelf = shelf_of(self, stream);
    const held_t *held = shelf ? find(shelf, offset) : NULL;
    return held ? &held->chunk : NULL;
}

uint64_t
window_reach(const window_t *self, uint64_t stream, uint64_t offset)
{
    const shelf_t *shelf = shelf_of(self, stream);
    const held_t *held;
    while (shelf && (held = find(shelf, offset)) != NULL)
        offset = end_of(held);
    return offset;
}

uint64_t
window_next(const window_t *self, uint64_t stream, uint64_t offset)
{
    const shelf_t *shelf = shelf_of(self, stream);
    if (!shelf)
        return UINT64_MAX;
    if (find(shelf, offset))
        return offset;
    size_t at = behind(shelf, offset);
    return at < shelf->count
               ? shelf->chunks[shelf->first + at]->chunk.header.offset
               : UINT64_MAX;
}

uint64_t
window_end(const window_t *self, uint64_t stream)
{
    const shelf_t *shelf = shelf_of(self, stream);
    return shelf ? end_of(shelf->chunks[shelf->first + shelf->count - 1]) : 0;
}

const window_chunk_t *
window_newest(const window_t *self, uint64_t stream)
{
    const shelf_t *shelf = shelf_of(self, stream);
    return shelf ? &shelf->chunks[shelf->first + shelf->count - 1]->chunk
                 : NULL;
}

bool
window_newest_mark(const window_t *self, uint64_t stream, uint64_t *offset_r)
{
    const shelf_t *shelf = shelf_of(self, stream);
    size_t count = shelf ? shelf->count : 0;
    for (size_t back = 1; back <= count && back <= MARKS_BACK; back++) {
        const chunk_header_t *header =
            &shelf->chunks[shelf->first + count - back]->chunk.header;
        if (header->marks_count) {
            *offset_r = header->marks[header->marks_count - 1].offset;
            return true;
        }
    }
    return false;
}

const window_chunk_t *
window_at(const window_t *self, uint64_t stream, micros_t created_us)
{
    const shelf_t *shelf = shelf_of(self, stream);
    size_t low = 0, high = shelf ? shelf->count : 0;
    while (low < high) {  //  created never goes back within a stream
        size_t middle = (low + high) / 2;
        if (shelf->chunks[shelf->first + middle]->chunk.header.created_us >
            created_us)
            high = middle;
        else
            low = middle + 1;
    }
    return low ? &shelf->chunks[shelf->first + low - 1]->chunk : NULL;
}

//  What is old comes first, or is anywhere while some are turned.
static void
age(window_t *self, shelf_t *shelf, micros_t before_us)
{
    size_t left = shelf->count, at = 0;
    while (at < left) {
        held_t *held = shelf->chunks[shelf->first + at];
        if (held->chunk.header.created_us < before_us) {
            drop(self, held);  //  The shelf too, with its last one
            left--;
        } else if (shelf->turned > 0)
            at++;
        else
            return;
    }
}

void
window_age(window_t *self, micros_t before_us)
{
    //  What was fetched late came behind what is newer.
    zlistx_t *all = zhashx_values(self->shelves);
    for (shelf_t *shelf = zlistx_first(all); shelf; shelf = zlistx_next(all))
        age(self, shelf, before_us);
    zlistx_destroy(&all);
}

void
window_forget(window_t *self, uint64_t stream)
{
    shelf_t *shelf;
    while ((shelf = shelf_of(self, stream)) != NULL)
        drop(self, shelf->chunks[shelf->first]);
}

window_span_t
window_span(const window_t *self, uint64_t stream)
{
    const shelf_t *shelf = shelf_of(self, stream);
    if (!shelf)
        return (window_span_t){ 0 };
    held_t **all = shelf->chunks + shelf->first;
    return (window_span_t){
        .bytes = shelf->bytes,
        .oldest_us = all[0]->chunk.header.created_us,
        .newest_us = all[shelf->count - 1]->chunk.header.created_us,
    };
}

size_t
window_bytes(const window_t *self)
{
    return self->bytes;
}

size_t
window_count(const window_t *self)
{
    return self->count;
}
