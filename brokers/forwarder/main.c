#include "daemon.h"
#include "forwarder.h"

//  Three sockets a worker, two a source or reader, the catalogue's tables
enum { DESCRIPTORS = 1024 };

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
        .patience = settings->patience,
    };
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
        .actor = forwarder_actor,
        .args = place_of,
    };
    return daemon_run(&DAEMON, argc, argv);
}
