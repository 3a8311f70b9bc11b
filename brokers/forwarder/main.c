#include <stdlib.h>

#include "daemon.h"
#include "forwarder.h"
#include "invariant.h"

//  Three sockets a worker, two a source or reader, the catalogue's tables
enum { DESCRIPTORS = 1024 };

static bool rebuild, accept_loss;

static const daemon_flag_t FLAGS[] = {
    { "rebuild",
      "make the catalogue again from what the workers hold,\n"
      "                     then serve: when it is lost, damaged or old. "
      "Waits for\n"
      "                     every worker of the cluster file; the old one is "
      "kept",
      NULL, &rebuild },
    { "accept-loss", "do so even if some bytes are nowhere any more", "rebuild",
      &accept_loss },
    { 0 },
};

//  Lent by the settings; lives as long as the process.
static const char *const *
names_of(const settings_t *settings)
{
    const char **names = calloc(settings->workers_count + 1, sizeof *names);
    for (size_t i = 0; names && i < settings->workers_count; i++)
        names[i] = settings->workers[i].node.name;
    return names;
}

static void *
place_of(const settings_t *settings, const settings_node_t *node)
{
    static forwarder_place_t place;
    const settings_forwarder_t *forwarder = &settings->forwarder;
    place = (forwarder_place_t){
        .name = node->name,
        .at = node->at,
        .reach = node->reach,
        .data = node->data,
        .memory_bytes = forwarder->memory_bytes,
        .chunk_bytes = forwarder->chunk_bytes,
        .buffer_ms = forwarder->buffer_ms,
        .floor_bytes = forwarder->floor_bytes,
        .ceiling_bytes = forwarder->ceiling_bytes,
        .retention = { .keep_ms = forwarder->retention_ms,
                       .most_bytes = forwarder->retention_bytes,
                       .keep_free = forwarder->keep_free_bytes },
        .workers = names_of(settings),
        .workers_count = settings->workers_count,
        .rebuild = rebuild,
        .accept_loss = accept_loss,
        .metrics = node->metrics,
        .metrics_streams = settings->metrics_streams,
        .patience = settings->patience,
    };
    INVARIANT(place.workers);
    return &place;
}

int
main(int argc, char *argv[])
{
    static const daemon_t DAEMON = {
        .program = "rill-forwarder",
        .does = "takes video in, deals it over the workers, gives it back",
        .runs = SETTINGS_FORWARDER,
        .descriptors = DESCRIPTORS,
        .flags = FLAGS,
        .actor = forwarder_actor,
        .args = place_of,
    };
    return daemon_run(&DAEMON, argc, argv);
}
