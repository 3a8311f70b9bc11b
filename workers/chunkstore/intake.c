#include "invariant.h"
#include "store.h"

void
pending_push(pending_list_t *list, pending_t *pending)
{
    if (!list->first)
        list->end = &list->first;
    pending->next = NULL;
    *list->end = pending;
    list->end = &pending->next;
    list->count++;
}

pending_t *
pending_pop(pending_list_t *list)
{
    pending_t *pending = list->first;
    if (pending) {
        list->first = pending->next;
        list->count--;
    }
    return pending;
}

static void
free_pending(pending_t *pending)
{
    buffer_unref(&pending->payload);
    free(pending);
}

void
pending_end(chunkstore_t *self, pending_t **pending_p, status_t status)
{
    pending_t *pending = *pending_p;
    *pending_p = NULL;
    if (pending->kind == RECORD_CHUNK) {
        zhashx_delete(self->pending, &pending->header.key);
        self->pending_bytes -= pending->header.length;
        if (status == STATUS_OK)
            store_tell_durable(self, &pending->header.key);
        else
            store_tell_failed(self, &pending->header.key, status);
    } else if (status != STATUS_OK) {
        //  Another segment is to have the word of the drop.
        pending_push(&self->unlogged, pending);
        return;
    }
    free_pending(pending);
}

chain_t *
intake_chain(chunkstore_t *self, uint8_t retention)
{
    chain_t *chain = self->chains[retention];
    if (!chain) {
        chain = calloc(1, sizeof(*chain));
        INVARIANT(chain);
        chain->retention = retention;
        chain->span_ms = STORE_SEGMENT_MS;
        self->chains[retention] = chain;
    }
    return chain;
}

//  ---------------------------------------------------------------------------
//  Room: what is accepted has its place before it is accepted

//  Let the queue's worst end go into the next segment.
static void
step_over(chunkstore_t *self, chain_t *chain)
{
    chain->room_size = self->settings.segment_bytes;
    chain->room_tail = SEGMENT_FIRST;
    chain->room_count = 0;
    if (chain->next && !chain->next_counted) {
        chain->next_counted = true;
        return;
    }
    chain->promised++;
    self->promised++;
}

//  Whether the next segment is there or can be had.
static bool
can_step_over(const chunkstore_t *self, const chain_t *chain)
{
    return (chain->next && !chain->next_counted) ||
           shelf_has_room(self, self->promised + 1);
}

static void
reserve(chain_t *chain, uint64_t bytes)
{
    chain->room_tail = segment_page_up(chain->room_tail + bytes);
    chain->room_count++;
}

static bool
fits(const chain_t *chain, uint64_t bytes)
{
    return segment_fits(chain->room_size, chain->room_tail, chain->room_count,
                        bytes);
}

void
intake_recount(chunkstore_t *self, chain_t *chain)
{
    self->promised -= chain->promised;
    chain->promised = 0;
    chain->next_counted = false;
    chain->room_size = chain->open ? chain->open->head.size : 0;
    chain->room_tail = chain->open ? chain->open->tail : 0;
    chain->room_count = chain->open ? chain->open->count : 0;
    for (const pending_t *p = chain->queue.first; p; p = p->next) {
        uint64_t bytes = record_bytes(p->header.length);
        if (!fits(chain, bytes))
            step_over(self, chain);
        reserve(chain, bytes);
    }
}

//  ---------------------------------------------------------------------------
//  Accepting

//  A key that is known: STATUS_OK when it is the same chunk again.
static status_t
take_repeat(chunkstore_t *self, const chunk_header_t *header, bool *known_r,
            bool *replaces_r)
{
    *known_r = *replaces_r = false;
    const pending_t *waiting = zhashx_lookup(self->pending, &header->key);
    if (waiting) {
        *known_r = true;
        return waiting->header.payload_crc == header->payload_crc
                   ? STATUS_OK
                   : STATUS_CORRUPT;
    }
    index_place_t held;
    status_t status = store_judge_index(
        self, index_find(self->index, &header->key, &held));
    if (status == STATUS_MISS)
        return STATUS_OK;
    if (status != STATUS_OK)
        return STATUS_IO;
    if (held.entry.payload_crc != header->payload_crc)
        return STATUS_CORRUPT;
    *replaces_r = held.rotten;
    *known_r = !held.rotten;
    if (*known_r) {
        store_tell_durable(self, &header->key);
        self->ready = true;
    }
    return STATUS_OK;
}

static status_t
check(chunkstore_t *self, const chunk_header_t *header, buffer_t *payload)
{
    status_t status = chunk_header_check(header);
    if (status != STATUS_OK)
        return status;
    if (buffer_size(payload) != header->length)
        return STATUS_ARGUMENT;
    uint64_t bytes = record_bytes(header->length);
    if (!segment_fits(self->settings.segment_bytes, SEGMENT_FIRST, 0, bytes))
        return STATUS_TOO_LARGE;
    if (self->unusable != STATUS_OK)
        return self->unusable;
    return store_dropped(self, header->key.stream) ? STATUS_GONE : STATUS_OK;
}

static void
queue(chunkstore_t *self, chain_t *chain, const chunk_header_t *header,
      buffer_t *payload, bool replaces)
{
    pending_t *pending = calloc(1, sizeof(*pending));
    INVARIANT(pending);
    pending->kind = RECORD_CHUNK;
    pending->header = *header;
    pending->payload = buffer_ref(payload);
    pending->replaces = replaces;
    int rc = zhashx_insert(self->pending, &pending->header.key, pending);
    INVARIANT(rc == 0);
    self->pending_bytes += header->length;
    pending_push(&chain->queue, pending);
    chain->queue_bytes += record_bytes(header->length);
    self->ready = true;
}

status_t
chunkstore_append(chunkstore_t *self, const chunk_header_t *header,
                  buffer_t *payload, millis_t now)
{
    self->now = now;
    status_t status = check(self, header, payload);
    bool known = false, replaces = false;
    if (status == STATUS_OK)
        status = take_repeat(self, header, &known, &replaces);
    if (status != STATUS_OK || known)
        return status;
    if (self->pending_bytes > 0 &&
        self->pending_bytes + header->length > self->settings.queue_bytes)
        return STATUS_BUSY;
    chain_t *chain = intake_chain(self, header->retention);
    uint64_t bytes = record_bytes(header->length);
    if (!fits(chain, bytes)) {
        //  What waits has its room at worst; in the end it takes less.
        if (!can_step_over(self, chain))
            return zhashx_size(self->pending) ? STATUS_BUSY : STATUS_FULL;
        step_over(self, chain);
    }
    reserve(chain, bytes);
    queue(self, chain, header, payload, replaces);
    return STATUS_OK;
}

void
intake_fail(chunkstore_t *self, chain_t *chain, status_t status)
{
    chain->queue_bytes = 0;
    for (pending_t *p; (p = pending_pop(&chain->queue));)
        pending_end(self, &p, status);
    intake_recount(self, chain);
}

void
intake_destroy(chunkstore_t *self)
{
    for (size_t i = 0; i < 256; i++)
        free(self->chains[i]);
    for (pending_t *p; (p = pending_pop(&self->unlogged));)
        free_pending(p);
    zhashx_destroy(&self->pending);
}
