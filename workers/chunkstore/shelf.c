#include <errno.h>

#include "invariant.h"
#include "store.h"

char *
shelf_path(const chunkstore_t *self, uint64_t id, const char *suffix)
{
    char *path = NULL;
    int rc = asprintf(&path, "%s/%016llx%s", self->folder,
                      (unsigned long long)id, suffix);
    INVARIANT(rc > 0);
    return path;
}

//  Where the segment is, or would be.
static size_t
place(const chunkstore_t *self, uint64_t id)
{
    size_t low = 0, high = self->segments_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->segments[middle]->is.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

segment_t *
shelf_find(const chunkstore_t *self, uint64_t id)
{
    size_t at = place(self, id);
    bool there = at < self->segments_count && self->segments[at]->is.id == id;
    return there ? self->segments[at] : NULL;
}

segment_t *
shelf_add(chunkstore_t *self, const index_segment_t *is)
{
    STORE_GROW(self->segments, self->segments_count, self->segments_most);
    size_t at = place(self, is->id);
    memmove(self->segments + at + 1, self->segments + at,
            (self->segments_count - at) * sizeof(*self->segments));
    segment_t *segment = calloc(1, sizeof(*segment));
    INVARIANT(segment);
    segment->is = *is;
    segment->handle = -1;
    self->segments[at] = segment;
    self->segments_count++;
    return segment;
}

void
shelf_close(chunkstore_t *self, segment_t *segment)
{
    if (segment->handle < 0)
        return;
    self->files->close(self->files, segment->handle);
    segment->handle = -1;
    self->handles--;
}

void
shelf_remove(chunkstore_t *self, segment_t *segment)
{
    INVARIANT(segment->users == 0 && segment->holes_count == 0);
    shelf_close(self, segment);
    size_t at = place(self, segment->is.id);
    self->segments_count--;
    memmove(self->segments + at, self->segments + at + 1,
            (self->segments_count - at) * sizeof(*self->segments));
    free(segment->holes);
    free(segment);
}

void
shelf_destroy(chunkstore_t *self)
{
    for (size_t i = 0; i < self->segments_count; i++) {
        shelf_close(self, self->segments[i]);
        free(self->segments[i]->holes);
        free(self->segments[i]);
    }
    free(self->segments);
}

//  Close the file that was longest unused, if any can be.
static void
close_one(chunkstore_t *self)
{
    segment_t *oldest = NULL;
    for (size_t i = 0; i < self->segments_count; i++) {
        segment_t *segment = self->segments[i];
        if (segment->handle >= 0 && segment->users == 0 &&
            (!oldest || segment->used_at < oldest->used_at))
            oldest = segment;
    }
    if (oldest)
        shelf_close(self, oldest);
}

int
shelf_use(chunkstore_t *self, segment_t *segment)
{
    if (segment->handle < 0) {
        if (self->handles >= STORE_HANDLES)
            close_one(self);
        char *path = shelf_path(self, segment->is.id, SHELF_NAMED);
        int rc = self->files->open(self->files, path, false);
        free(path);
        if (rc < 0)
            return rc;
        segment->handle = rc;
        self->handles++;
    }
    segment->users++;
    segment->used_at = ++self->clock;
    return 0;
}

void
shelf_unuse(chunkstore_t *self, segment_t *segment)
{
    INVARIANT(segment->users > 0);
    segment->users--;
    if (segment->dead)
        self->dying = self->ready = true;
}

uint64_t
shelf_bytes(const segment_t *segment)
{
    return segment->absent ? 0 : segment->is.size - segment->is.holes;
}

void
shelf_weigh_index(chunkstore_t *self)
{
    uint64_t bytes = index_bytes(self->index);
    if (bytes > self->index_peak)
        self->index_peak = bytes;
}

uint64_t
shelf_free_bytes(const chunkstore_t *self)
{
    uint64_t reserving = 0;
    for (size_t i = 0; i < self->writers_count; i++)
        if (self->writers[i]->state == WRITER_SPACE)
            reserving += self->writers[i]->head.size;
    int64_t on_disk = self->files->free_bytes(self->files, self->folder);
    uint64_t is_free = on_disk > 0 ? (uint64_t)on_disk : 0;
    is_free -= reserving < is_free ? reserving : is_free;
    return is_free + self->spares_count * self->settings.segment_bytes;
}

bool
shelf_has_room(const chunkstore_t *self, unsigned count)
{
    uint64_t wanted = count * self->settings.segment_bytes;
    uint64_t taken = self->allocated + self->index_peak;
    uint64_t space = self->settings.space_bytes;
    if (space && (taken > space || space - taken < wanted))
        return false;
    uint64_t spare = self->spares_count * self->settings.segment_bytes;
    if (spare >= wanted)
        return true;
    return shelf_free_bytes(self) >= wanted;
}

void
shelf_know_hole(chunkstore_t *self, segment_t *segment, range_t range)
{
    STORE_GROW(segment->holes, segment->holes_count, segment->holes_most);
    segment->holes[segment->holes_count++] = range;
    self->holes++;
    self->ready = true;
}

void
shelf_add_hole(chunkstore_t *self, segment_t *segment, uint64_t from,
               uint64_t to)
{
    from = segment_page_up(from);
    to -= to % SEGMENT_PAGE;
    if (from >= to || segment->absent)
        return;
    shelf_know_hole(self, segment, (range_t){ from, to });
    index_put_hole(self->index, &(index_hole_t){ segment->is.id, from, to });
}

void
shelf_forget_holes(chunkstore_t *self, segment_t *segment)
{
    for (size_t i = 0; i < segment->holes_count; i++)
        index_delete_hole(self->index, segment->is.id, segment->holes[i].from);
    self->holes -= segment->holes_count;
    segment->holes_count = 0;
}
