#include "daemon.h"
#include "storage.h"

//  Segments open for reading, the index's tables, sockets
enum { DESCRIPTORS = 512 };

static void *
place_of(const settings_t *settings, const settings_node_t *node)
{
    static storage_place_t place;
    const settings_worker_t *worker = settings_worker(settings, node->name);
    place = (storage_place_t){
        .name = node->name,
        .at = node->at,
        .reach = node->reach,
        .forwarder_at = settings->forwarder.node.reach,
        .data = node->data,
        .space_bytes = worker->space_bytes,
        .segment_bytes = worker->segment_bytes,
        .metrics = node->metrics,
        .patience = settings->patience,
    };
    return &place;
}

int
main(int argc, char *argv[])
{
    static const daemon_t DAEMON = {
        .program = "rill-storage",
        .does = "keeps chunks on one disk for a forwarder",
        .runs = SETTINGS_WORKER,
        .descriptors = DESCRIPTORS,
        .actor = storage_actor,
        .args = place_of,
    };
    return daemon_run(&DAEMON, argc, argv);
}
