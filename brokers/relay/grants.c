#include "grants.h"

#include "table.h"

typedef struct {
    grant_t grant;  //  Is its first member
    unsigned list;  //  Kept last in this one
} lease_t;

typedef struct {
    uint64_t stream;
    zlistx_t *leases;  //  lease_t
} office_t;

struct grants {
    zhashx_t *offices;
    size_t count;
    uint64_t numbers;
    unsigned list;
    millis_t lease_ms;
    millis_t due;  //  Not later than the earliest end
};

grants_t *
grants_new(millis_t lease_ms)
{
    grants_t *self = zmalloc(sizeof *self);
    self->offices = table_new();
    self->lease_ms = lease_ms;
    self->due = MILLIS_NEVER;
    return self;
}

static void
free_lease(void **lease_p)
{
    free(*lease_p);
    *lease_p = NULL;
}

static void
close_office(grants_t *self, office_t *office)
{
    self->count -= zlistx_size(office->leases);
    zhashx_delete(self->offices, &office->stream);
    zlistx_destroy(&office->leases);
    free(office);
}

void
grants_destroy(grants_t **self_p)
{
    grants_t *self = *self_p;
    if (!self)
        return;
    office_t *office;
    while ((office = zhashx_first(self->offices)) != NULL)
        close_office(self, office);
    zhashx_destroy(&self->offices);
    free(self);
    *self_p = NULL;
}

static office_t *
office_of(const grants_t *self, uint64_t stream)
{
    return zhashx_lookup(self->offices, &stream);
}

typedef bool judge_fn(const lease_t *lease, const void *by);

//  End the leases that `over` says are over; the office too if it is empty.
static void
end_leases(grants_t *self, office_t *office, judge_fn *over, const void *by)
{
    lease_t *lease = zlistx_first(office->leases);
    while (lease) {
        void *at = zlistx_cursor(office->leases);
        lease_t *this = lease;
        lease = zlistx_next(office->leases);
        if (over(this, by)) {
            zlistx_delete(office->leases, at);
            self->count--;
        }
    }
    if (zlistx_size(office->leases) == 0)
        close_office(self, office);
}

static void
end_everywhere(grants_t *self, judge_fn *over, const void *by)
{
    zlistx_t *all = zhashx_values(self->offices);
    for (office_t *office = zlistx_first(all); office;
         office = zlistx_next(all))
        end_leases(self, office, over, by);
    zlistx_destroy(&all);
}

static bool
is_expired(const lease_t *lease, const void *now)
{
    return lease->grant.expires <= *(const millis_t *)now;
}

static bool
is_of(const grant_t *grant, const grants_child_t *child)
{
    return streq(grant->node, child->node) && streq(grant->group, child->group);
}

static bool
is_accused(const grant_t *grant, char **accused, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (streq(grant->node, accused[i]))
            return true;
    return false;
}

typedef struct {
    lease_t *own;
    grant_t *newest;  //  Of others, not accused
} found_t;

static found_t
look(office_t *office, const grants_child_t *child, char **accused,
     size_t count, bool *newer_r)
{
    found_t found = { 0 };
    uint64_t most = 0;
    for (lease_t *lease = zlistx_first(office->leases); lease;
         lease = zlistx_next(office->leases)) {
        grant_t *grant = &lease->grant;
        if (!streq(grant->group, child->group))
            continue;
        if (is_of(grant, child)) {
            found.own = lease;
            continue;
        }
        most = grant->number > most ? grant->number : most;
        if (!is_accused(grant, accused, count) &&
            (!found.newest || grant->number > found.newest->number))
            found.newest = grant;
    }
    *newer_r = found.own && most > found.own->grant.number;
    return found;
}

static lease_t *
give(grants_t *self, office_t *office, const grants_child_t *child,
     uint64_t topic)
{
    lease_t *lease = zmalloc(sizeof *lease);
    lease->grant.number = ++self->numbers;
    lease->grant.topic = topic;
    lease->grant.incarnation = child->incarnation;
    snprintf(lease->grant.node, sizeof lease->grant.node, "%s", child->node);
    snprintf(lease->grant.group, sizeof lease->grant.group, "%s", child->group);
    zlistx_add_end(office->leases, lease);
    self->count++;
    return lease;
}

static office_t *
open_office(grants_t *self, uint64_t stream)
{
    office_t *office = zmalloc(sizeof *office);
    office->stream = stream;
    office->leases = zlistx_new();
    zlistx_set_destructor(office->leases, free_lease);
    zhashx_insert(self->offices, &office->stream, office);
    return office;
}

static bool
is_older_life(const lease_t *lease, const void *child_)
{
    const grants_child_t *child = child_;
    return is_of(&lease->grant, child) &&
           lease->grant.incarnation != child->incarnation;
}

grants_answer_t
grants_keep(grants_t *self, uint64_t stream, const grants_child_t *child,
            uint64_t next, uint64_t begin, char **accused, size_t accused_count,
            uint64_t topic, millis_t now, const grant_t **grant_r,
            const grant_t **other_r)
{
    *grant_r = *other_r = NULL;
    office_t *office = office_of(self, stream);
    if (office)
        end_leases(self, office, is_expired, &now);
    if ((office = office_of(self, stream)) != NULL)
        end_leases(self, office, is_older_life, child);
    if (!(office = office_of(self, stream)))
        office = open_office(self, stream);
    bool newer;
    found_t found = look(office, child, accused, accused_count, &newer);
    if (!found.own && found.newest) {
        *other_r = found.newest;
        return GRANTS_TAKEN;
    }
    if (!found.own && self->count >= GRANTS_MOST) {
        if (zlistx_size(office->leases) == 0)
            close_office(self, office);
        return GRANTS_BUSY;
    }
    if (!found.own) {
        found.own = give(self, office, child, topic);
        found.own->grant.begin = begin;
    }
    if (accused_count && newer)
        found.own->grant.number = ++self->numbers;
    grant_t *grant = &found.own->grant;
    grant->expires = now + self->lease_ms;
    grant->next = next;
    grant->peer = *child->peer;
    found.own->list = self->list;
    self->due = millis_least(self->due, grant->expires);
    *grant_r = grant;
    if (found.newest && found.newest->number > grant->number)
        *other_r = found.newest;
    return GRANTS_GRANT;
}

void
grants_list(grants_t *self)
{
    self->list++;
}

typedef struct {
    const grants_child_t *child;
    unsigned list;
} listed_t;

static bool
is_unlisted(const lease_t *lease, const void *by)
{
    const listed_t *listed = by;
    return is_of(&lease->grant, listed->child) && lease->list != listed->list;
}

void
grants_listed(grants_t *self, const grants_child_t *child)
{
    listed_t listed = { child, self->list };
    end_everywhere(self, is_unlisted, &listed);
}

void
grants_forget(grants_t *self, uint64_t stream)
{
    office_t *office = office_of(self, stream);
    if (office)
        close_office(self, office);
}

void
grants_each(const grants_t *self, uint64_t stream, grants_fn *each, void *with)
{
    office_t *office = office_of(self, stream);
    if (!office)
        return;
    for (lease_t *lease = zlistx_first(office->leases); lease;
         lease = zlistx_next(office->leases))
        each(with, stream, &lease->grant);
}

const char *
grants_holder(const grants_t *self, uint64_t stream, const char *group,
              const char *node, uint64_t offset, char **accused,
              size_t accused_count, millis_t now)
{
    office_t *office = office_of(self, stream);
    if (!office)
        return NULL;
    for (lease_t *lease = zlistx_first(office->leases); lease;
         lease = zlistx_next(office->leases)) {
        const grant_t *grant = &lease->grant;
        if (grant->expires > now && grant->begin <= offset &&
            streq(grant->group, group) && !streq(grant->node, node) &&
            !is_accused(grant, accused, accused_count))
            return grant->node;
    }
    return NULL;
}

size_t
grants_of(const grants_t *self, uint64_t stream)
{
    office_t *office = office_of(self, stream);
    return office ? zlistx_size(office->leases) : 0;
}

size_t
grants_count(const grants_t *self)
{
    return self->count;
}

millis_t
grants_due(const grants_t *self)
{
    return self->due;
}

void
grants_sweep(grants_t *self, millis_t now)
{
    if (self->due > now)
        return;
    end_everywhere(self, is_expired, &now);
    self->due = MILLIS_NEVER;
    for (office_t *office = zhashx_first(self->offices); office;
         office = zhashx_next(self->offices))
        for (lease_t *lease = zlistx_first(office->leases); lease;
             lease = zlistx_next(office->leases))
            self->due = millis_least(self->due, lease->grant.expires);
}
