/*  A cache's disk, that takes its time, loses some, and now and then gives back
 *  others.
 */
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "live.h"
#include "story.h"

typedef struct {
    live_node_t *node;
    unsigned life;
    uint64_t number;
    buffer_t *payload;  //  NULL: it was not kept, or is lost
    bool read;
} spin_t;

static void
on_spun(void *arg, bool happens)
{
    spin_t *spin = arg;
    live_node_t *node = spin->node;
    if (happens && node->relay && node->life == spin->life && !node->hung) {
        millis_t now = live_now(node->live);
        story_time(agenda_now(node->live->agenda));
        if (spin->read)
            relay_recalled(node->relay, spin->number,
                           spin->payload ? STATUS_OK : STATUS_MISS,
                           spin->payload, now);
        else
            relay_unkept(node->relay, spin->number, now);
        live_after(node);
    }
    buffer_unref(&spin->payload);
    free(spin);
}

static void
spin(live_node_t *node, uint64_t number, buffer_t *payload, bool reads)
{
    dice_t *dice = &node->live->dice;
    spin_t *spin = malloc(sizeof *spin);
    INVARIANT(spin);
    *spin = (spin_t){ node, node->life, number, payload, reads };
    //  Slower than anybody waits, at times.
    agenda_add(node->live->agenda,
               dice_chance(dice, 20) ? 400000 : dice_between(dice, 200, 8000),
               on_spun, spin);
}

status_t
live_keep(void *with, uint64_t number, const chunk_header_t *header,
          buffer_t *payload)
{
    live_node_t *node = with;
    dice_t *dice = &node->live->dice;
    (void)header;
    if (node->lost || dice_chance(dice, 50))
        return STATUS_BUSY;
    if (number % LIVE_KEPT == 0 && dice_chance(dice, 20))
        spin(node, number, NULL, false);
    buffer_unref(&node->kept[number % LIVE_KEPT]);
    node->kept[number % LIVE_KEPT] = buffer_ref(payload);
    return STATUS_OK;
}

status_t
live_recall(void *with, uint64_t number)
{
    live_node_t *node = with;
    dice_t *dice = &node->live->dice;
    buffer_t *payload = buffer_ref(node->kept[number % LIVE_KEPT]);
    if (payload && dice_chance(dice, 20)) {
        buffer_t *wrong = buffer_new(buffer_size(payload));
        memset(buffer_fill(wrong), 7, buffer_size(payload));
        buffer_unref(&payload);
        payload = wrong;
        story_count("read wrong from a cache's disk", 1);
    }
    story_count("read from a cache's disk", 1);
    spin(node, number, payload, true);
    return STATUS_OK;
}

status_t
live_release(void *with, uint64_t first)
{
    (void)with, (void)first;
    return STATUS_OK;
}

void
live_disk_clear(live_node_t *node)
{
    for (size_t i = 0; i < LIVE_KEPT; i++)
        buffer_unref(&node->kept[i]);
}
