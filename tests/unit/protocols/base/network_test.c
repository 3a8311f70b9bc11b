#include "network.h"

#include <string.h>

#include "proof.h"

static bool
has(const char *network, const char *address)
{
    network_t one, all;
    CHECK(network_parse(network, &all) && network_parse(address, &one));
    return network_has(&all, &one);
}

static void
an_address_lies_in_its_networks(void)
{
    CHECK(has("10.1.0.0/16", "10.1.255.3") && !has("10.1.0.0/16", "10.2.0.1"));
    CHECK(has("10.1.128.0/17", "10.1.200.0"));
    CHECK(!has("10.1.128.0/17", "10.1.127.255"));
    CHECK(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1"));
    CHECK(has("1.2.3.4", "1.2.3.4") && !has("1.2.3.4", "1.2.3.5"));
    CHECK(has("fd00::/8", "fdab::1") && !has("fd00::/8", "fe00::1"));
    CHECK(has("10.0.0.0/8", "::ffff:10.9.8.7"));
}

static void
what_is_no_network_is_refused(void)
{
    static const char *const NONE[] = {
        "",
        "10",
        "10.1.0.0/33",
        "10.1.0.1/16",
        "a.lan",
        "10.0.0.0/",
        "10.0.0.0/x",
        "fd00::/129",
        "10.0.0.0/-1",
        "::g",
        "10.0.0.0/8/8",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    network_t network;
    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++)
        CHECK(!network_parse(NONE[i], &network));
}

static void
the_host_of_an_address_is_found(void)
{
    network_t found, wanted;
    CHECK(network_of("10.1.2.3:5700", &found));
    CHECK(network_parse("10.1.2.3", &wanted));
    CHECK(memcmp(&found, &wanted, sizeof(found)) == 0);
    CHECK(network_of("[fd00::7]:1", &found) && found.size == 16);
    CHECK(!network_of("a.lan:5700", &found) && !network_of("10.1.2.3", &found));
    CHECK(!network_of("0.0.0.0:1", &found) && !network_of("[::]:1", &found));
}

static void
kinds_of_addresses_are_told_apart(void)
{
    network_t address, around, wanted;
    CHECK(network_parse("10.1.2.3", &address));
    around = network_around(&address);
    CHECK(network_parse("10.1.2.0/24", &wanted));
    CHECK(memcmp(&around, &wanted, sizeof(around)) == 0);
    CHECK(!network_is_loopback(&address) && !network_is_multicast(&address));
    CHECK(network_parse("127.9.9.9", &address));
    CHECK(network_is_loopback(&address));
    CHECK(network_parse("::1", &address) && network_is_loopback(&address));
    CHECK(network_parse("239.1.1.1", &address));
    CHECK(network_is_multicast(&address));
    CHECK(network_parse("ff02::1", &address) && network_is_multicast(&address));
}

int
main(void)
{
    CASE(an_address_lies_in_its_networks, "an address lies in its networks");
    CASE(what_is_no_network_is_refused, "what is no network is refused");
    CASE(the_host_of_an_address_is_found, "the host of HOST:PORT is found");
    CASE(kinds_of_addresses_are_told_apart,
         "loopback, multicast and the LAN around an address are told apart");
    return proof_end();
}
