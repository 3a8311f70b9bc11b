//  What a person may write into a cluster file: it is accepted whole or refused
//  with a sentence that says where.
#include <string.h>

#include "invariant.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    settings_t settings;
    char why[SETTINGS_WHY_BYTES] = "";
    if (settings_parse("f.yml", bytes, size, &settings, why, sizeof why) !=
        STATUS_OK) {
        INVARIANT(strncmp(why, "f.yml:", 6) == 0);
        return 0;
    }
    const settings_node_t *node;
    size_t nodes = 0;
    for (; (node = settings_nth(&settings, nodes)); nodes++) {
        INVARIANT(settings_find(&settings, node->name) == node);
        INVARIANT(node->at[0]);
        INVARIANT(node->data[0] || node->role == SETTINGS_DIRECTOR);
    }
    INVARIANT(nodes == 1 + settings.workers_count + settings.caches_count +
                           (settings.director.node.name != NULL));
    settings_free(&settings);
    return 0;
}
