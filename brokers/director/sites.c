#include "sites.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

typedef struct {
    network_t *networks;
    size_t count;
} site_t;

struct sites {
    site_t *sites;
    size_t count;
};

//  The words of the site of a cache: its own, its group's or its parents'.
static const settings_list_t *
words_of(const settings_t *settings, const settings_cache_t *cache)
{
    if (cache->site.count > 0)
        return &cache->site;
    const settings_group_t *group = settings_group(settings, cache->group);
    while (group->site.count == 0) {  //  Up the tree, which has no circle
        const settings_cache_t *parent = settings_cache(
            settings, group->parents.items[0]);
        if (!parent)
            break;
        if (parent->site.count > 0)
            return &parent->site;
        group = settings_group(settings, parent->group);
    }
    return &group->site;
}

static void
add(site_t *site, network_t network)
{
    site->networks = realloc(site->networks,
                             (site->count + 1) * sizeof(*site->networks));
    INVARIANT(site->networks);
    site->networks[site->count++] = network;
}

sites_t *
sites_new(const settings_t *settings)
{
    sites_t *self = calloc(1, sizeof(*self));
    INVARIANT(self);
    self->count = settings->caches_count;
    self->sites = calloc(self->count + 1, sizeof(*self->sites));
    INVARIANT(self->sites);
    for (size_t i = 0; i < self->count; i++) {
        const settings_cache_t *cache = &settings->caches[i];
        network_t network;
        const settings_list_t *words = words_of(settings, cache);
        for (size_t j = 0; j < words->count; j++)
            if (network_parse(words->items[j], &network))
                add(&self->sites[i], network);
        if (network_of(cache->node.reach, &network))
            add(&self->sites[i], network_around(&network));
    }
    return self;
}

void
sites_destroy(sites_t **self_p)
{
    sites_t *self = *self_p;
    for (size_t i = 0; self && i < self->count; i++)
        free(self->sites[i].networks);
    if (self)
        free(self->sites);
    free(self);
    *self_p = NULL;
}

unsigned
sites_near(const sites_t *self, size_t cache, const network_t *address)
{
    INVARIANT(cache < self->count);
    const site_t *site = &self->sites[cache];
    unsigned near = 0;
    for (size_t i = 0; i < site->count; i++)
        if (site->networks[i].bits > near &&
            network_has(&site->networks[i], address))
            near = site->networks[i].bits;
    return near;
}
