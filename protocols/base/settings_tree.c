#include "settings_tree.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

typedef struct {
    settings_t *settings;
    const settings_mention_t *mentions;
    size_t count;
    settings_group_t **above;  //  For each: the group of the parent that it
                               //  names; NULL: the forwarder, or no parent
    settings_spot_t *at;       //  Of what is wrong
    char *why;
} tree_t;

static status_t fail(tree_t *self, settings_spot_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static status_t
fail(tree_t *self, settings_spot_t at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(self->why, SETTINGS_WHY_BYTES, format, arguments);
    va_end(arguments);
    *self->at = at;
    return STATUS_SETTING;
}

static settings_group_t *
group_of(const tree_t *self, const settings_node_t *node)
{
    const settings_cache_t *cache = settings_cache(self->settings, node->name);
    const settings_group_t *group = cache ? settings_group(self->settings,
                                                           cache->group)
                                          : NULL;
    return group ? &self->settings->groups[group - self->settings->groups]
                 : NULL;
}

/*-------------------------------------------------------------- the names */

//  Whether a node may be what is named.
static bool
fits(key_names_t names, const settings_node_t *node)
{
    return node->role == SETTINGS_CACHE ||
           (names == NAMES_PARENT && node->role == SETTINGS_FORWARDER);
}

//  The name nearest to a wrong one among those that would fit, or NULL.
static const char *
like(const tree_t *self, const settings_mention_t *mention)
{
    const settings_t *settings = self->settings;
    const char *best = NULL;
    size_t least = SIZE_MAX;
    const settings_node_t *node;
    size_t count = mention->names == NAMES_GROUP ? settings->groups_count
                                                 : SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const char *name;
        if (mention->names == NAMES_GROUP)
            name = settings->groups[i].name;
        else if (!(node = settings_nth(settings, i)))
            break;
        else if (!fits(mention->names, node))
            continue;
        else
            name = node->name;
        size_t far = settings_distance(mention->text, name);
        if (far < least) {
            least = far;
            best = name;
        }
    }
    return best && settings_is_like(mention->text, least) ? best : NULL;
}

static status_t
refuse_name(tree_t *self, const settings_mention_t *mention)
{
    const settings_node_t *node = settings_find(self->settings, mention->text);
    const char *what = mention->names == NAMES_GROUP    ? "group"
                       : mention->names == NAMES_PARENT ? "parent"
                                                        : "cache";
    if (node && mention->names == NAMES_GROUP)
        return fail(self, mention->at,
                    "\"%s\" is a %s, no group; say a group of \"groups\"",
                    mention->text, settings_role(node->role));
    if (node)
        return fail(self, mention->at, "\"%s\" is a %s; say %s", mention->text,
                    settings_role(node->role),
                    mention->names == NAMES_PARENT ? "a cache or the forwarder"
                                                   : "a cache");
    if (mention->names != NAMES_GROUP &&
        settings_group(self->settings, mention->text))
        return fail(self, mention->at,
                    "\"%s\" is a group; say the names of its caches",
                    mention->text);
    const char *near = like(self, mention);
    return fail(self, mention->at, "there is no %s \"%s\"%s%s%s", what,
                mention->text, near ? "; did you mean \"" : "",
                near ? near : "", near ? "\"?" : "");
}

static status_t
check_names(tree_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const settings_mention_t *mention = &self->mentions[i];
        const settings_node_t *node = settings_find(self->settings,
                                                    mention->text);
        bool right = node && fits(mention->names, node);
        if (mention->names == NAMES_GROUP)
            right = settings_group(self->settings, mention->text) != NULL;
        if (!right)
            return refuse_name(self, mention);
    }
    return STATUS_OK;
}

/*-------------------------------------------------------------- the tiers */

//  The nth group's own parent that has no tier, for which it has none.
static const settings_mention_t *
lost_parent(const tree_t *self, size_t group)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->mentions[i].names == NAMES_PARENT &&
            self->mentions[i].owner == group && self->above[i] &&
            self->above[i]->tier == 0)
            return &self->mentions[i];
    return NULL;
}

//  The number of the group of the parent that is named.
static size_t
number_above(const tree_t *self, const settings_mention_t *mention)
{
    return (size_t)(self->above[mention - self->mentions] -
                    self->settings->groups);
}

//  Say the circle that a group without a tier leads to.
static status_t
refuse_circle(tree_t *self, size_t group)
{
    const settings_group_t *groups = self->settings->groups;
    //  As many steps up as there are groups end within the circle.
    for (size_t i = 0; i < self->settings->groups_count; i++)
        group = number_above(self, lost_parent(self, group));
    char path[SETTINGS_WHY_BYTES / 2];
    size_t used = 0, at = group;
    do {
        const settings_mention_t *up = lost_parent(self, at);
        size_t above = number_above(self, up);
        int more = snprintf(path + used, sizeof(path) - used,
                            "%s%s %s %s of %s", used > 0 ? ", " : "",
                            groups[at].name, used > 0 ? "on" : "hangs on",
                            up->text, groups[above].name);
        used += (size_t)more;
        if (used >= sizeof(path))
            used = sizeof(path) - 1;
        at = above;
    } while (at != group);
    return fail(self, lost_parent(self, group)->at,
                "a circle: %s; a parent must be nearer to the forwarder", path);
}

//  A tier that is one more than the greatest of the parents', for each group
//  whose parents have theirs, until nothing moves.
static void
deepen(tree_t *self, unsigned *tiers)
{
    size_t count = self->settings->groups_count;
    settings_group_t *groups = self->settings->groups;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++)
            tiers[i] = 1;
        for (size_t i = 0; i < self->count; i++) {
            if (!self->above[i])
                continue;
            unsigned *tier = &tiers[self->mentions[i].owner];
            unsigned above = self->above[i]->tier;
            if (above == 0 || *tier == 0)
                *tier = 0;
            else if (above >= *tier)
                *tier = above + 1;
        }
        for (size_t i = 0; i < count; i++)
            if (groups[i].tier == 0 && tiers[i] > 0) {
                groups[i].tier = tiers[i];
                moved = true;
            }
    }
}

static status_t
find_tiers(tree_t *self)
{
    const settings_t *settings = self->settings;
    unsigned *tiers = calloc(settings->groups_count + 1, sizeof(*tiers));
    INVARIANT(tiers);
    for (size_t i = 0; i < self->count; i++)
        if (self->mentions[i].names == NAMES_PARENT)
            self->above[i] = group_of(
                self, settings_find(settings, self->mentions[i].text));
    deepen(self, tiers);
    free(tiers);
    for (size_t i = 0; i < settings->groups_count; i++)
        if (settings->groups[i].tier == 0)
            return refuse_circle(self, i);
    return STATUS_OK;
}

/*------------------------------------------------------------ the members */

static status_t
count_caches(tree_t *self, const settings_spot_t *spots)
{
    settings_t *settings = self->settings;
    for (size_t i = 0; i < settings->caches_count; i++)
        group_of(self, &settings->caches[i].node)->caches_count++;
    for (size_t i = 0; i < settings->groups_count; i++)
        if (settings->groups[i].caches_count == 0)
            return fail(self, spots[i],
                        "no cache is of group \"%s\"; add one or leave the "
                        "group out",
                        settings->groups[i].name);
    return STATUS_OK;
}

//  Whether a group hangs on a cache of this one.
static bool
is_inner(const tree_t *self, const settings_group_t *group)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->above[i] == group)
            return true;
    return false;
}

//  What may be but is not wise.
static void
remark(tree_t *self, const char *file, const settings_spot_t *spots)
{
    settings_t *settings = self->settings;
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    INVARIANT(to);
    for (size_t i = 0; i < settings->groups_count; i++) {
        const settings_group_t *group = &settings->groups[i];
        if (group->caches_count == 1 && is_inner(self, group))
            fprintf(to,
                    "%s:%zu:%zu: group \"%s\" has one cache, and others hang "
                    "on it; with two they go on when one dies\n",
                    file, spots[i].line + 1, spots[i].column + 1, group->name);
    }
    fclose(to);
    if (size > 0)
        settings->remark = text;
    else
        free(text);
}

status_t
settings_tree(settings_t *settings, const char *file,
              const settings_mention_t *mentions, size_t count,
              const settings_spot_t *spots, settings_spot_t *at_r,
              char why_r[SETTINGS_WHY_BYTES])
{
    settings_group_t **above = calloc(count + 1, sizeof(*above));
    INVARIANT(above);
    tree_t self = { settings, mentions, count, above, at_r, why_r };
    status_t status = check_names(&self);
    if (status == STATUS_OK)
        status = find_tiers(&self);
    if (status == STATUS_OK)
        status = count_caches(&self, spots);
    if (status == STATUS_OK)
        remark(&self, file, spots);
    free(above);
    return status;
}
