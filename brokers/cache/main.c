#include "cache.h"
#include "daemon.h"

//  Two sockets a link, one a terminal
enum { DESCRIPTORS = 1024 };

static void *
place_of(const settings_t *settings, const settings_node_t *node)
{
    static cache_place_t place;
    place.settings = settings;
    place.cache = settings_cache(settings, node->name);
    return &place;
}

int
main(int argc, char *argv[])
{
    static const daemon_t CACHE = {
        .program = "rill-cache",
        .does = "Spread live streams: hold what is recent, pass it on.",
        .runs = SETTINGS_CACHE,
        .descriptors = DESCRIPTORS,
        .actor = cache_actor,
        .args = place_of,
    };
    return daemon_run(&CACHE, argc, argv);
}
