#include "bus.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "invariant.h"

enum {
    QUEUE_BYTES = 256 * 1024,  //  In the kernel
    AT_ONCE = 16,
};

typedef struct {
    struct sockaddr_storage at;
    socklen_t size;  //  0: none
} address_t;

//  What was read at once from one descriptor and not yet heard.
typedef struct {
    int fd;  //  -1: none
    uint8_t bytes[AT_ONCE][PACKET_BYTES + 1];
    size_t sizes[AT_ONCE];
    unsigned first, count;
    uint32_t overflow;
} inbox_t;

struct bus {
    inbox_t inbox[2];  //  Of the node's own address, of the group's
    uint8_t key[PACKET_KEY_BYTES];
    address_t group;
    address_t sibling[BUS_SIBLINGS];
    size_t siblings;
    millis_t tick;   //  When it began
    unsigned taken;  //  In it
    bus_counts_t counts;
};

//  HOST:PORT, or a host alone, of a family (AF_UNSPEC: any).
static bool
resolve(const char *text, int family, address_t *address_r)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    const char *begin = text;
    if (size > 1 && *text == '[' && text[size - 1] == ']') {
        begin++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof host)
        return false;
    memcpy(host, begin, size);
    host[size] = '\0';
    struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_DGRAM };
    struct addrinfo *found;
    if (getaddrinfo(host, colon ? colon + 1 : NULL, &hints, &found) != 0)
        return false;
    memcpy(&address_r->at, found->ai_addr, found->ai_addrlen);
    address_r->size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static int
open_socket(const address_t *at)
{
    int yes = 1, queue = QUEUE_BYTES;
    int fd = socket(at->at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    0);
    if (fd == -1)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof queue);
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof yes);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        bind(fd, (const struct sockaddr *)&at->at, at->size) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static void
close_inbox(inbox_t *inbox)
{
    if (inbox->fd >= 0)
        close(inbox->fd);
    inbox->fd = -1;
}

//  Caches on one machine share the group's port: it has a socket of its own.
static bool
join_group(bus_t *self, const char *multicast, const char *interface)
{
    address_t on = { 0 };
    unsigned char loop = 1;
    errno = EINVAL;
    if (!resolve(multicast, AF_INET, &self->group) ||
        (*interface && !resolve(interface, AF_INET, &on)))
        return false;
    const struct sockaddr_in *group = (const void *)&self->group.at;
    const struct sockaddr_in *card = (const void *)&on.at;
    inbox_t *inbox = &self->inbox[1];
    int fd = self->inbox[0].fd;
    inbox->fd = open_socket(&self->group);
    struct ip_mreq wish = { .imr_multiaddr = group->sin_addr,
                            .imr_interface = card->sin_addr };
    if (inbox->fd >= 0 &&
        setsockopt(inbox->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &wish,
                   sizeof wish) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &card->sin_addr,
                   sizeof card->sin_addr) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop) == 0)
        return true;
    int why = errno;
    close_inbox(inbox);
    errno = why;
    return false;
}

status_t
bus_new(const char *at, const char *multicast, const char *interface,
        const uint8_t key[PACKET_KEY_BYTES], bus_t **self_r, char *why_r,
        size_t why_size)
{
    bus_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    address_t mine;
    *why_r = '\0';
    self->inbox[0].fd = self->inbox[1].fd = -1;
    memcpy(self->key, key, PACKET_KEY_BYTES);
    errno = EINVAL;
    if (resolve(at, AF_UNSPEC, &mine))
        self->inbox[0].fd = open_socket(&mine);
    if (self->inbox[0].fd < 0) {
        snprintf(why_r, why_size, "no socket for siblings at %s: %s", at,
                 strerror(errno));
        bus_destroy(&self);
        return STATUS_ADDRESS;
    }
    if (*multicast && !join_group(self, multicast, interface))
        snprintf(why_r, why_size, "the group %s cannot be joined: %s",
                 multicast, strerror(errno));
    *self_r = self;
    return STATUS_OK;
}

void
bus_destroy(bus_t **self_p)
{
    bus_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    close_inbox(&self->inbox[0]);
    close_inbox(&self->inbox[1]);
    free(self);
}

bool
bus_add(bus_t *self, const char *reach)
{
    INVARIANT(self->siblings < BUS_SIBLINGS);
    struct sockaddr_storage mine;
    socklen_t size = sizeof mine;
    int rc = getsockname(self->inbox[0].fd, (struct sockaddr *)&mine, &size);
    INVARIANT(rc == 0);
    return resolve(reach, mine.ss_family, &self->sibling[self->siblings++]);
}

int
bus_fd(const bus_t *self, int which)
{
    return self->inbox[which].fd;
}

static void
say_to(bus_t *self, const address_t *to, const uint8_t *bytes)
{
    if (to->size == 0)
        return;
    //  A datagram may be lost anyway.
    if (sendto(self->inbox[0].fd, bytes, PACKET_BYTES, MSG_NOSIGNAL,
               (const struct sockaddr *)&to->at, to->size) == PACKET_BYTES)
        self->counts.said++;
}

void
bus_say(bus_t *self, int sibling, const packet_t *packet)
{
    uint8_t bytes[PACKET_BYTES];
    packet_pack(packet, self->key, bytes);
    if (sibling >= 0)
        say_to(self, &self->sibling[sibling], bytes);
    else if (self->inbox[1].fd >= 0)
        say_to(self, &self->group, bytes);
}

//  How many packets the kernel dropped so far, if it tells.
static void
read_overflow(const struct msghdr *message, inbox_t *inbox, uint64_t *overflow)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at;
         at = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, at)) {
        uint32_t told;
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SO_RXQ_OVFL)
            continue;
        memcpy(&told, CMSG_DATA(at), sizeof told);
        *overflow += told - inbox->overflow;
        inbox->overflow = told;
    }
}

//  Read some at once. False: there are none.
static bool
refill(bus_t *self, inbox_t *inbox)
{
    struct mmsghdr messages[AT_ONCE] = { 0 };
    struct iovec places[AT_ONCE];
    char control[AT_ONCE][CMSG_SPACE(sizeof(uint32_t))];
    for (int i = 0; i < AT_ONCE; i++) {
        places[i] = (struct iovec){ inbox->bytes[i], sizeof inbox->bytes[i] };
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &places[i],
            .msg_iovlen = 1,
            .msg_control = control[i],
            .msg_controllen = sizeof control[i],
        };
    }
    int count = recvmmsg(inbox->fd, messages, AT_ONCE, MSG_DONTWAIT, NULL);
    if (count <= 0)
        return false;
    for (int i = 0; i < count; i++) {
        inbox->sizes[i] = messages[i].msg_len;
        read_overflow(&messages[i].msg_hdr, inbox, &self->counts.overflow);
    }
    inbox->first = 0;
    inbox->count = (unsigned)count;
    return true;
}

bool
bus_hear(bus_t *self, int which, packet_t *packet_r, millis_t now)
{
    inbox_t *inbox = &self->inbox[which];
    if (now - self->tick >= BUS_TICK_MS) {
        self->tick = now;
        self->taken = 0;
    }
    while (self->taken < BUS_PER_TICK) {
        if (inbox->count == 0 && !refill(self, inbox))
            return false;
        unsigned at = inbox->first++;
        inbox->count--;
        self->taken++;
        if (packet_unpack(inbox->bytes[at], inbox->sizes[at], self->key,
                          packet_r) == STATUS_OK) {
            self->counts.heard++;
            return true;
        }
        self->counts.strange++;
    }
    return false;
}

millis_t
bus_rests(const bus_t *self)
{
    return self->taken < BUS_PER_TICK ? self->tick : self->tick + BUS_TICK_MS;
}

bus_counts_t
bus_counts(const bus_t *self)
{
    return self->counts;
}
