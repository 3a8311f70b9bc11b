#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "invariant.h"

//  Read at most one byte more than a file may have; -1 with errno.
static ssize_t
read_all(const char *path, char *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return -1;
    ssize_t size = 0, got;
    do {
        got = read(fd, text + size, (size_t)(SETTINGS_FILE_BYTES + 1 - size));
        size += got > 0 ? got : 0;
    } while (got > 0 || (got == -1 && errno == EINTR));
    int reason = errno;
    close(fd);
    errno = reason;
    return got == -1 ? -1 : size;
}

status_t
settings_load(const char *path, settings_t *settings_r, char *why_r,
              size_t why_size)
{
    char *text = malloc(SETTINGS_FILE_BYTES + 1);
    INVARIANT(text);
    ssize_t size = read_all(path, text);
    status_t status;
    if (size == -1) {
        status = errno == ENOENT ? STATUS_ABSENT : STATUS_IO;
        snprintf(why_r, why_size, "%s: %s; name another file with -f", path,
                 strerror(errno));
    } else
        status = settings_parse(path, text, (size_t)size, settings_r, why_r,
                                why_size);
    free(text);
    return status;
}

static void
free_node(settings_node_t *node)
{
    free(node->name);
    free(node->at);
    free(node->reach);
    free(node->data);
    free(node->metrics);
}

static void
free_list(settings_list_t *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

static void
free_group(settings_group_t *group)
{
    free(group->name);
    free_list(&group->parents);
    free(group->siblings);
    free(group->multicast);
    free(group->interface);
    free(group->key);
    free_list(&group->site);
}

void
settings_free(settings_t *settings)
{
    free(settings->cluster);
    free_node(&settings->forwarder.node);
    for (size_t i = 0; i < settings->workers_count; i++)
        free_node(&settings->workers[i].node);
    free(settings->workers);
    for (size_t i = 0; i < settings->groups_count; i++)
        free_group(&settings->groups[i]);
    free(settings->groups);
    for (size_t i = 0; i < settings->caches_count; i++) {
        free_node(&settings->caches[i].node);
        free(settings->caches[i].group);
        free_list(&settings->caches[i].site);
    }
    free(settings->caches);
    free_node(&settings->director.node);
    free_list(&settings->director.rules);
    free_list(&settings->director.preferred);
    free(settings->director.origin);
    free(settings->remark);
    memset(settings, 0, sizeof(*settings));
}

const settings_node_t *
settings_nth(const settings_t *settings, size_t nth)
{
    if (nth == 0)
        return &settings->forwarder.node;
    nth--;
    if (nth < settings->workers_count)
        return &settings->workers[nth].node;
    nth -= settings->workers_count;
    if (nth < settings->caches_count)
        return &settings->caches[nth].node;
    nth -= settings->caches_count;
    return nth == 0 && settings->director.node.name ? &settings->director.node
                                                    : NULL;
}

const settings_node_t *
settings_find(const settings_t *settings, const char *name)
{
    const settings_node_t *node;
    for (size_t i = 0; (node = settings_nth(settings, i)); i++)
        if (strcmp(node->name, name) == 0)
            return node;
    return NULL;
}

const settings_worker_t *
settings_worker(const settings_t *settings, const char *name)
{
    for (size_t i = 0; i < settings->workers_count; i++)
        if (strcmp(settings->workers[i].node.name, name) == 0)
            return &settings->workers[i];
    return NULL;
}

const settings_cache_t *
settings_cache(const settings_t *settings, const char *name)
{
    for (size_t i = 0; i < settings->caches_count; i++)
        if (strcmp(settings->caches[i].node.name, name) == 0)
            return &settings->caches[i];
    return NULL;
}

const settings_group_t *
settings_group(const settings_t *settings, const char *name)
{
    for (size_t i = 0; i < settings->groups_count; i++)
        if (strcmp(settings->groups[i].name, name) == 0)
            return &settings->groups[i];
    return NULL;
}

const settings_cache_t *
settings_sibling(const settings_t *settings, const settings_group_t *group,
                 size_t nth)
{
    for (size_t i = 0; i < settings->caches_count; i++)
        if (strcmp(settings->caches[i].group, group->name) == 0 && nth-- == 0)
            return &settings->caches[i];
    return NULL;
}

//  The best parent of the best parent of a group, when it is none of them.
static const char *
grandparent(const settings_t *settings, const settings_group_t *group)
{
    const settings_cache_t *parent = settings_cache(settings,
                                                    group->parents.items[0]);
    if (!parent)
        return NULL;
    const char *name =
        settings_group(settings, parent->group)->parents.items[0];
    for (size_t i = 0; i < group->parents.count; i++)
        if (strcmp(group->parents.items[i], name) == 0)
            return NULL;
    return name;
}

const settings_node_t *
settings_upstream(const settings_t *settings, const settings_group_t *group,
                  size_t nth)
{
    const char *name = NULL;
    if (nth < group->parents.count)
        name = group->parents.items[nth];
    else if (nth == group->parents.count)
        name = grandparent(settings, group);
    return name ? settings_find(settings, name) : NULL;
}

const char *
settings_role(settings_role_t role)
{
    switch (role) {
    case SETTINGS_FORWARDER:
        return "forwarder";
    case SETTINGS_WORKER:
        return "worker";
    case SETTINGS_CACHE:
        return "cache";
    case SETTINGS_DIRECTOR:
        return "director";
    }
    return "";
}
