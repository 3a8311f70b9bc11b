#include "daemon.h"
#include "director.h"

//  One socket a cache and one a terminal that asks
enum { DESCRIPTORS = 512 };

static void *
settings_of(const settings_t *settings, const settings_node_t *node)
{
    static settings_t lent;
    (void)node;
    lent = *settings;
    return &lent;
}

int
main(int argc, char *argv[])
{
    static const daemon_t DAEMON = {
        .program = "rill-director",
        .does = "tells terminals which cache to ask",
        .runs = SETTINGS_DIRECTOR,
        .descriptors = DESCRIPTORS,
        .actor = director_actor,
        .args = settings_of,
    };
    return daemon_run(&DAEMON, argc, argv);
}
