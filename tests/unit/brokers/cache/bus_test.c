#include "bus.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proof.h"

static const uint8_t KEY[PACKET_KEY_BYTES] = { 1, 2, 3 };
static const uint8_t OTHER[PACKET_KEY_BYTES] = { 1, 2, 4 };

//  Where a bus with a port of the kernel's choice is.
static void
place_of(const bus_t *bus, char text_r[32])
{
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    CHECK(getsockname(bus_fd(bus, 0), (struct sockaddr *)&at, &size) == 0);
    snprintf(text_r, 32, "127.0.0.1:%u", ntohs(at.sin_port));
}

static bus_t *
open_bus(const uint8_t *key, const char *multicast)
{
    bus_t *bus;
    char why[256];
    CHECK(bus_new("127.0.0.1:0", multicast, "127.0.0.1", key, &bus, why,
                  sizeof why) == STATUS_OK);
    return bus;
}

static bool
wait_for(const bus_t *bus, int which)
{
    struct pollfd item = { .fd = bus_fd(bus, which), .events = POLLIN };
    return poll(&item, 1, 60000) == 1;
}

static packet_t
packet_of(uint64_t counter)
{
    return (packet_t){ .type = PACKET_WHO,
                       .group = packet_name("g"),
                       .node = packet_name("n"),
                       .incarnation = 1,
                       .counter = counter,
                       .stream = 9 };
}

static void
passes_packets(void)
{
    bus_t *a = open_bus(KEY, ""), *b = open_bus(KEY, "");
    char at[32];
    place_of(b, at);
    CHECK(bus_add(a, at));
    for (uint64_t i = 0; i < 40; i++) {
        packet_t packet = packet_of(i);
        bus_say(a, 0, &packet);
    }
    for (uint64_t i = 0; i < 40; i++) {
        packet_t packet;
        if (!bus_hear(b, 0, &packet, 1000)) {
            CHECK(wait_for(b, 0));
            CHECK(bus_hear(b, 0, &packet, 1000));
        }
        CHECK(packet.counter == i && packet.stream == 9);
    }
    CHECK(bus_counts(a).said == 40 && bus_counts(b).heard == 40);
    bus_destroy(&a);
    bus_destroy(&b);
}

static void
passes_to_the_group(void)
{
    bus_t *a = open_bus(KEY, "239.192.57.77:0");
    CHECK(bus_fd(a, 1) >= 0);
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    CHECK(getsockname(bus_fd(a, 1), (struct sockaddr *)&at, &size) == 0);
    char group[32];
    snprintf(group, sizeof group, "239.192.57.77:%u", ntohs(at.sin_port));
    bus_t *b = open_bus(KEY, group), *c = open_bus(KEY, group);
    packet_t packet = packet_of(5), heard;
    bus_say(b, -1, &packet);
    CHECK(wait_for(c, 1));
    CHECK(bus_hear(c, 1, &heard, 1000) && heard.counter == 5);
    CHECK(wait_for(a, 1));
    CHECK(bus_hear(a, 1, &heard, 1000) && heard.counter == 5);
    bus_destroy(&a);
    bus_destroy(&b);
    bus_destroy(&c);
}

static void
hears_no_stranger(void)
{
    bus_t *a = open_bus(OTHER, ""), *b = open_bus(KEY, "");
    char at[32];
    place_of(b, at);
    CHECK(bus_add(a, at));
    struct sockaddr_in to = { .sin_family = AF_INET };
    size_t colon = strcspn(at, ":");
    unsigned port;
    CHECK(sscanf(at + colon, ":%u", &port) == 1);
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char long_one[4000] = "RLS1";
    for (size_t size = 0; size < sizeof long_one; size += 997)
        CHECK(sendto(bus_fd(a, 0), long_one, size, 0, (struct sockaddr *)&to,
                     sizeof to) == (ssize_t)size);
    packet_t packet = packet_of(1);
    bus_say(a, 0, &packet);
    for (uint64_t now = 1000; bus_counts(b).strange < 6; now++) {
        CHECK(wait_for(b, 0));
        CHECK(!bus_hear(b, 0, &packet, (millis_t)now));
    }
    CHECK(bus_counts(b).heard == 0);
    bus_destroy(&a);
    bus_destroy(&b);
}

static void
reads_so_many_in_a_tick(void)
{
    bus_t *a = open_bus(KEY, ""), *b = open_bus(KEY, "");
    char at[32];
    place_of(b, at);
    CHECK(bus_add(a, at));
    packet_t packet = packet_of(1);
    for (int i = 0; i < 4 * BUS_PER_TICK; i++)
        bus_say(a, 0, &packet);
    millis_t now = 1000;
    for (int tick = 0; tick < 4; tick++) {
        int heard = 0;
        while (bus_hear(b, 0, &packet, now))
            heard++;
        CHECK(heard == BUS_PER_TICK);
        CHECK(!bus_hear(b, 0, &packet, now + BUS_TICK_MS - 1));
        CHECK(bus_rests(b) == now + BUS_TICK_MS);
        now += BUS_TICK_MS;
    }
    CHECK(!bus_hear(b, 0, &packet, now) && bus_rests(b) <= now);
    bus_destroy(&a);
    bus_destroy(&b);
}

static void
drops_in_the_kernel(void)
{
    bus_t *a = open_bus(KEY, ""), *b = open_bus(KEY, "");
    char at[32];
    place_of(b, at);
    CHECK(bus_add(a, at));
    packet_t packet = packet_of(1);
    uint64_t said = 20000;
    for (uint64_t i = 0; i < said; i++)
        bus_say(a, 0, &packet);
    //  The kernel tells what it dropped with a packet that comes later.
    uint64_t heard = 0;
    for (millis_t now = 1000; bus_counts(b).overflow == 0; now += BUS_TICK_MS) {
        while (bus_hear(b, 0, &packet, now))
            heard++;
        bus_say(a, 0, &packet);
        said++;
        CHECK(now < 100000);
    }
    CHECK(heard + bus_counts(b).overflow <= said);
    bus_destroy(&a);
    bus_destroy(&b);
}

static void
is_told_where_it_cannot_be(void)
{
    bus_t *bus;
    char why[256];
    CHECK(bus_new("192.0.2.1:1", "", "", KEY, &bus, why, sizeof why) ==
          STATUS_ADDRESS);
    CHECK(strstr(why, "192.0.2.1:1"));
    CHECK(bus_new("127.0.0.1:0", "10.1.1.1:5000", "", KEY, &bus, why,
                  sizeof why) == STATUS_OK);
    CHECK(strstr(why, "10.1.1.1:5000") && bus_fd(bus, 1) == -1);
    CHECK(!bus_add(bus, "no address"));
    packet_t packet = packet_of(1);
    bus_say(bus, 0, &packet);
    bus_say(bus, -1, &packet);
    CHECK(bus_counts(bus).said == 0);
    bus_destroy(&bus);
}

int
main(void)
{
    CASE(passes_packets, "siblings hear what one says to them, in full");
    CASE(passes_to_the_group, "what is said to the group all of it hear");
    CASE(hears_no_stranger, "bus 2: what lacks the group's tag is counted and "
                            "nothing else");
    CASE(reads_so_many_in_a_tick, "invariant 18, bus 1: of a flood so many "
                                  "packets are read in a tick");
    CASE(drops_in_the_kernel, "invariant 18, bus 1: what is not read overflows "
                              "in the kernel and is counted");
    CASE(is_told_where_it_cannot_be, "a bus says where it cannot be");
    return proof_end();
}
