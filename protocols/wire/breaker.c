#include "breaker.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "buffer.h"
#include "frames.h"
#include "invariant.h"
#include "log.h"

enum {
    LOOK_MS = 100,      //  Z14 fills 100 MB meanwhile
    BIND_MS = 10,       //  Until a dropped socket's port is tried again
    PAUSE_MS = 300,     //  Closed for so long, what it used would be back
    GROWTH_PART = 16,   //  Of the allowance: so much more is another's doing
    RESERVED_PART = 4,  //  Of all descriptors: for files and our own sockets
};

typedef struct {
    breaker_place_t place;
    char at[ENDPOINT_BYTES];
    bool reads;     //  While it is bound
    size_t topics;  //  That somebody subscribed to there
} watched_t;

struct breaker {
    breaker_rule_t memory;
    breaker_rule_t descriptors;
    zloop_t *loop;
    alarm_t *alarm;
    int statm;  //  /proc/self/statm
    bool trim;  //  Something was closed: give its pages back, too
    watched_t watched[BREAKER_SOCKETS];
    unsigned count;
};

int
breaker_judge(breaker_rule_t *rule, size_t used, unsigned sockets, millis_t now)
{
    if (used <= rule->base + rule->allowed) {
        rule->tried = 0;
        if (used < rule->base)
            rule->base = used;
        return BREAKER_NONE;
    }
    bool grows = rule->tried < sockets &&
                 used > rule->last + rule->allowed / GROWTH_PART;
    if (rule->tried && now < rule->again && !grows)
        return BREAKER_NONE;
    if (rule->tried == sockets) {
        rule->base = used;
        rule->tried = 0;
        return BREAKER_NONE;
    }
    rule->again = now + PAUSE_MS;
    rule->last = used;
    return (int)rule->tried++;
}

static size_t
less(size_t all, size_t known)
{
    return all > known ? all - known : 0;
}

size_t
breaker_stray(void)
{
    struct mallinfo2 all = mallinfo2();
    return less(all.uordblks + all.hblkhd, buffer_total());
}

//  The same and more: with what the allocator keeps. It costs less to know.
static size_t
resident_stray(const breaker_t *self)
{
    char text[128];
    ssize_t size = pread(self->statm, text, sizeof(text) - 1, 0);
    unsigned long pages, resident;
    text[size > 0 ? size : 0] = '\0';
    if (sscanf(text, "%lu %lu", &pages, &resident) != 2)
        return SIZE_MAX;
    return less(resident * (size_t)getpagesize(), buffer_total());
}

//  Close what the rule chooses.
static void
obey(breaker_t *self, breaker_rule_t *rule, size_t used, millis_t now)
{
    int chosen = breaker_judge(rule, used, self->count, now);
    if (chosen == BREAKER_NONE)
        return;
    breaker_close(self, self->watched[chosen].place.socket_p);
}

static void
weigh_memory(breaker_t *self, millis_t now)
{
    size_t stray = resident_stray(self);
    if (stray > self->memory.base + self->memory.allowed)
        stray = breaker_stray();
    obey(self, &self->memory, stray, now);
    if (self->trim && self->memory.tried == 0) {
        self->trim = false;
        malloc_trim(0);
    }
}

//  The lowest number that is free: all below it are used.
static void
count_descriptors(breaker_t *self, millis_t now)
{
    int lowest = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (lowest != -1)
        close(lowest);
    else if (errno != EMFILE)
        return;  //  There is nothing to copy
    obey(self, &self->descriptors, lowest == -1 ? SIZE_MAX / 2 : (size_t)lowest,
         now);
}

static void
begin_reading(breaker_t *self, const watched_t *watched)
{
    const breaker_place_t *place = &watched->place;
    zloop_reader(self->loop, *place->socket_p, place->read, place->with);
}

//  Bind again what is closed. False: libzmq has not let go of a port yet.
static bool
bind_again(breaker_t *self)
{
    bool all = true;
    for (unsigned i = 0; i < self->count; i++) {
        watched_t *watched = &self->watched[i];
        zsock_t **socket_p = watched->place.socket_p;
        if (*socket_p)
            continue;
        if (sockets_open(watched->place.kind, watched->at, socket_p) !=
            STATUS_OK)
            all = false;
        else if (watched->reads)
            begin_reading(self, watched);
    }
    return all;
}

static int
look(void *arg)
{
    breaker_t *self = arg;
    millis_t now = zclock_mono();
    bool all = bind_again(self);
    weigh_memory(self, now);
    count_descriptors(self, now);
    alarm_set(self->alarm, now + (all ? LOOK_MS : BIND_MS));
    return 0;
}

breaker_t *
breaker_new(zloop_t *loop, size_t allowed)
{
    breaker_t *self = zmalloc(sizeof(*self));
    self->memory.allowed = allowed;
    struct rlimit limit;
    int rc = getrlimit(RLIMIT_NOFILE, &limit);
    INVARIANT(rc == 0);
    self->descriptors.allowed = limit.rlim_cur - limit.rlim_cur / RESERVED_PART;
    self->loop = loop;
    self->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    self->alarm = alarm_new(loop, look, self);
    INVARIANT(self->alarm);
    alarm_set(self->alarm, zclock_mono() + LOOK_MS);
    return self;
}

void
breaker_destroy(breaker_t **self_p)
{
    breaker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    alarm_destroy(&self->alarm);
    if (self->statm != -1)
        close(self->statm);
    free(self);
}

static watched_t *
find(breaker_t *self, zsock_t **socket_p)
{
    unsigned i = 0;
    while (i < self->count && self->watched[i].place.socket_p != socket_p)
        i++;
    INVARIANT(i < self->count);
    return &self->watched[i];
}

void
breaker_close(breaker_t *self, zsock_t **socket_p)
{
    self->trim = true;
    if (!*socket_p)
        return;
    watched_t *watched = find(self, socket_p);
    const breaker_place_t *place = &watched->place;
    log_event(LOG_AT_ERROR, "flooded", "socket=%s stray_bytes=%zu", place->name,
              breaker_stray());
    zloop_reader_end(self->loop, *socket_p);
    sockets_drop(socket_p);
    watched->topics = 0;
    if (place->flooded)
        place->flooded(place->with);
}

void
breaker_read(breaker_t *self, zsock_t **socket_p, bool on)
{
    watched_t *watched = find(self, socket_p);
    if (watched->reads == on)
        return;
    watched->reads = on;
    if (*socket_p && on)
        begin_reading(self, watched);
    else if (*socket_p)
        zloop_reader_end(self->loop, *socket_p);
}

void
breaker_topics(breaker_t *self, zsock_t **socket_p, size_t most)
{
    watched_t *watched = find(self, socket_p);
    frames_topics(*socket_p, &watched->topics);
    if (watched->topics > most)
        breaker_close(self, socket_p);
}

void
breaker_add(breaker_t *self, const breaker_place_t *place)
{
    INVARIANT(self->count < BREAKER_SOCKETS);
    watched_t *watched = &self->watched[self->count++];
    watched->place = *place;
    sockets_bound(*place->socket_p, watched->at);
    watched->reads = true;
    begin_reading(self, watched);
}
