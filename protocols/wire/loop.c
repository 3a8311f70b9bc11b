#include "loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "invariant.h"

enum { AT_ONCE = 64 };  //  Descriptors that tell

typedef struct {
    int fd;           //  -1: it was removed
    zsock_t *socket;  //  NULL: a descriptor alone
    loop_read_fn *read;
    loop_ready_fn *ready;
    void *with;
    bool hot;  //  The socket may have something, and its descriptor not tell
} watch_t;

struct loop {
    int epoll;
    watch_t **watches;  //  In the order they were added
    size_t count, room;
    size_t hot;      //  Of them
    size_t removed;  //  Of them; freed when nobody goes through them
};

static _Thread_local loop_t *running;

loop_t *
loop_new(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll == -1)
        return NULL;
    loop_t *self = zmalloc(sizeof *self);
    self->epoll = epoll;
    return self;
}

static void
heat(loop_t *self, watch_t *watch, bool hot)
{
    self->hot += hot;
    self->hot -= watch->hot;
    watch->hot = hot;
}

static void
add(loop_t *self, const watch_t *from)
{
    if (self->count == self->room) {
        self->room = 2 * self->room + 16;
        self->watches = realloc(self->watches,
                                self->room * sizeof *self->watches);
        INVARIANT(self->watches);
    }
    watch_t *watch = zmalloc(sizeof *watch);
    *watch = *from;
    self->watches[self->count++] = watch;
    struct epoll_event wish = { .events = EPOLLIN, .data.ptr = watch };
    int rc = epoll_ctl(self->epoll, EPOLL_CTL_ADD, watch->fd, &wish);
    INVARIANT(rc == 0);
    heat(self, watch, watch->socket != NULL);
}

void
loop_add(loop_t *self, zsock_t *socket, loop_read_fn *read, void *with)
{
    int fd;
    size_t size = sizeof fd;
    int rc = zmq_getsockopt(zsock_resolve(socket), ZMQ_FD, &fd, &size);
    INVARIANT(rc == 0);
    add(self,
        &(watch_t){ .fd = fd, .socket = socket, .read = read, .with = with });
}

void
loop_add_fd(loop_t *self, int fd, loop_ready_fn *ready, void *with)
{
    add(self, &(watch_t){ .fd = fd, .ready = ready, .with = with });
}

//  Of a socket, or with NULL of a descriptor.
static watch_t *
find(const loop_t *self, const zsock_t *socket, int fd)
{
    for (size_t i = 0; i < self->count; i++) {
        watch_t *watch = self->watches[i];
        if (watch->fd >= 0 && watch->socket == socket &&
            (socket || watch->fd == fd))
            return watch;
    }
    return NULL;
}

static void
bury(loop_t *self)
{
    size_t left = 0;
    for (size_t i = 0; i < self->count; i++)
        if (self->watches[i]->fd >= 0)
            self->watches[left++] = self->watches[i];
        else
            free(self->watches[i]);
    self->count = left;
    self->removed = 0;
}

static void
end(loop_t *self, watch_t *watch)
{
    if (!watch)
        return;
    int rc = epoll_ctl(self->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    INVARIANT(rc == 0);
    heat(self, watch, false);
    watch->fd = -1;
    self->removed++;
}

void
loop_remove(loop_t *self, const zsock_t *socket)
{
    end(self, find(self, socket, -1));
}

void
loop_remove_fd(loop_t *self, int fd)
{
    end(self, find(self, NULL, fd));
}

void
loop_destroy(loop_t **self_p)
{
    loop_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->watches[i]);
    free(self->watches);
    close(self->epoll);
    free(self);
}

void
loop_used(const zsock_t *socket)
{
    watch_t *watch = running ? find(running, socket, -1) : NULL;
    if (watch)
        heat(running, watch, true);
}

void
loop_emptied(const zsock_t *socket)
{
    watch_t *watch = running ? find(running, socket, -1) : NULL;
    if (watch)
        heat(running, watch, false);
}

static bool
has_something(const watch_t *watch)
{
    int events;
    size_t size = sizeof events;
    int rc = zmq_getsockopt(zsock_resolve(watch->socket), ZMQ_EVENTS, &events,
                            &size);
    return rc == 0 && (events & ZMQ_POLLIN);
}

//  What its handler did not read is still there in the next round.
static int
look(loop_t *self, watch_t *watch)
{
    if (has_something(watch))
        return watch->read(watch->socket, watch->with);
    heat(self, watch, false);
    return 0;
}

//  Each that has something once. -1: a handler ended the loop.
static int
turn(loop_t *self)
{
    struct epoll_event told[AT_ONCE];
    int rc = 0;
    int count = epoll_wait(self->epoll, told, AT_ONCE, self->hot ? 0 : -1);
    INVARIANT(count >= 0 || errno == EINTR);
    for (int i = 0; i < count && rc == 0; i++) {
        watch_t *watch = told[i].data.ptr;
        if (watch->fd >= 0 && watch->socket)
            heat(self, watch, true);
        else if (watch->fd >= 0)
            rc = watch->ready(watch->fd, watch->with);
    }
    //  What handlers add comes in this round, too.
    for (size_t i = 0; i < self->count && rc == 0; i++)
        if (self->watches[i]->hot)
            rc = look(self, self->watches[i]);
    if (self->removed)
        bury(self);
    return rc;
}

void
loop_run(loop_t *self)
{
    loop_t *before = running;
    running = self;
    //  Who used them before was not heard.
    for (size_t i = 0; i < self->count; i++)
        heat(self, self->watches[i],
             self->watches[i]->socket && self->watches[i]->fd >= 0);
    while (turn(self) == 0)
        ;
    running = before;
}
