//  Any bytes as a cluster file: refused in one sentence, or complete and
//  consistent (settings 1 to 3).

#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
check_nodes(const settings_t *settings)
{
    const settings_node_t *node, *other;
    for (size_t i = 0; (node = settings_nth(settings, i)); i++) {
        INVARIANT(*node->name && *node->at && *node->reach && *node->data);
        for (size_t j = 0; j < i; j++) {
            other = settings_nth(settings, j);
            INVARIANT(strcmp(node->name, other->name) != 0);
            INVARIANT(strcmp(node->reach, other->reach) != 0);
            INVARIANT(strcmp(node->data, other->data) != 0);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    settings_t settings;
    char why[SETTINGS_WHY_BYTES] = "";
    status_t status = settings_parse("f.yml", bytes, size, &settings, why,
                                     sizeof(why));
    if (status == STATUS_OK) {
        check_nodes(&settings);
        settings_free(&settings);
        return 0;
    }
    INVARIANT(status == STATUS_SETTING && strncmp(why, "f.yml:", 6) == 0);
    for (const char *at = why; *at; at++)
        INVARIANT(*at >= ' ' && *at <= '~');
    return 0;
}
