#include "endpoint.h"

#include <stdio.h>
#include <string.h>

#include "proof.h"

static bool
gives(const char *text, const char *wanted)
{
    char endpoint[ENDPOINT_BYTES];
    return endpoint_parse(text, endpoint) == STATUS_OK &&
           strcmp(endpoint, wanted) == 0;
}

static bool
refused(const char *text)
{
    char endpoint[ENDPOINT_BYTES];
    return endpoint_parse(text, endpoint) == STATUS_ADDRESS;
}

static void
hosts_with_ports_become_endpoints(void)
{
    CHECK(gives("127.0.0.1:7000", "tcp://127.0.0.1:7000"));
    CHECK(gives("tcp://cam-1.example:0", "tcp://cam-1.example:0"));
    CHECK(gives("[::1]:65535", "tcp://[::1]:65535"));
    CHECK(gives("[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80"));
    CHECK(gives("*:7000", "tcp://*:7000"));
}

static void
what_is_not_host_and_port_is_refused(void)
{
    static const char *const wrong[] = {
        "",           ":",       "host",       "host:",     ":80",
        "host:65536", "host:-1", "host:8o",    "host:*",    "host:000080",
        "::1:80",     "[::1]",   "[]:80",      "[host]:80", "[::1:80",
        "a b:80",     "a*:80",   "udp://a:80", "a/b:80",    "[::1]]:80",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        CHECK(refused(wrong[i]));
}

static void
the_longest_host_fits_and_a_longer_is_refused(void)
{
    char text[400];
    memset(text, 'h', sizeof(text));
    strcpy(text + 256, ":65535");
    CHECK(refused(text));
    strcpy(text + 255, ":65535");
    CHECK(!refused(text));
}

static void
any_port_and_joining_keep_the_host(void)
{
    char endpoint[ENDPOINT_BYTES];
    endpoint_any_port("tcp://[::1]:7000", endpoint);
    CHECK(strcmp(endpoint, "tcp://[::1]:*") == 0);
    CHECK(endpoint_join(endpoint, "tcp://0.0.0.0:4321", endpoint) == STATUS_OK);
    CHECK(strcmp(endpoint, "tcp://[::1]:4321") == 0);
    CHECK(endpoint_join("tcp://a:1", "tcp://b:*", endpoint) == STATUS_ADDRESS);
    CHECK(endpoint_join("ipc://a", "tcp://b:2", endpoint) == STATUS_ADDRESS);
}

static void
what_asks_no_name_server_is_numeric(void)
{
    CHECK(endpoint_numeric("tcp://127.0.0.1:7000"));
    CHECK(endpoint_numeric("tcp://[::1]:7000"));
    CHECK(endpoint_numeric("tcp://[fe80::1%eth0]:7000"));
    static const char *const others[] = {
        "",
        "127.0.0.1:7000",
        "tcp://localhost:7000",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:*",
        "tcp://*:7000",
        "tcp://eth0:7000",
        "tcp://127.1:7000",
        "tcp://127.0.0.1:7000;10.0.0.1:80",
        "ipc:///tmp/socket",
        "inproc://watch-1",
        "udp://127.0.0.1:7000",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        CHECK(!endpoint_numeric(others[i]));
}

static void
a_name_is_looked_up(void)
{
    char at[ENDPOINT_BYTES];
    CHECK(endpoint_resolve("tcp://localhost:7000", at) == STATUS_OK);
    CHECK(endpoint_numeric(at) && strstr(at, ":7000"));
    CHECK(endpoint_resolve("tcp://[::1]:7000", at) == STATUS_OK);
    CHECK(strcmp(at, "tcp://[::1]:7000") == 0);
    CHECK(endpoint_resolve("tcp://127.0.0.1:0", at) == STATUS_OK);
    CHECK(strcmp(at, "tcp://127.0.0.1:0") == 0);
    CHECK(endpoint_resolve("tcp://*:7000", at) == STATUS_ADDRESS);
}

int
main(void)
{
    CASE(hosts_with_ports_become_endpoints,
         "hosts with ports become endpoints");
    CASE(what_is_not_host_and_port_is_refused,
         "what is not HOST:PORT is refused");
    CASE(the_longest_host_fits_and_a_longer_is_refused,
         "the longest host fits and a longer one is refused");
    CASE(what_asks_no_name_server_is_numeric,
         "an endpoint is numeric when connecting to it asks no name server");
    CASE(a_name_is_looked_up, "a host's name is looked up, figures stay");
    CASE(any_port_and_joining_keep_the_host,
         "any port and joining keep the host, even into its own place");
    return proof_end();
}
