#include "endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

#define SCHEME "tcp://"
#define HOST_MOST 255

//  The two halves of an endpoint, in the text they were found in.
typedef struct {
    const char *host;
    int host_bytes;  //  With its brackets, if it has them
    const char *port;
} halves_t;

static bool
host_possible(const char *host, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_";
    if (size == 0 || size > HOST_MOST)
        return false;
    if (host[0] == '[')
        return size > 2 && host[size - 1] == ']' && memchr(host, ':', size) &&
               !memchr(host + 1, '[', size - 1) &&
               strcspn(host, "]/ ") == size - 1;
    return (size == 1 && host[0] == '*') || strspn(host, letters) == size;
}

static bool
port_possible(const char *port)
{
    size_t size = strlen(port);
    return size > 0 && size <= 5 && strspn(port, "0123456789") == size &&
           atoi(port) <= 65535;
}

//  Whether `text` is HOST:PORT or HOST:*, with or without tcp:// before it.
static bool
halve(const char *text, halves_t *halves_r)
{
    if (strncmp(text, SCHEME, strlen(SCHEME)) == 0)
        text += strlen(SCHEME);
    const char *colon = strrchr(text, ':');
    if (!colon || !host_possible(text, (size_t)(colon - text)) ||
        !(port_possible(colon + 1) || strcmp(colon + 1, "*") == 0))
        return false;
    *halves_r = (halves_t){ .host = text,
                            .host_bytes = (int)(colon - text),
                            .port = colon + 1 };
    return true;
}

static void
join(const halves_t *host, const char *port, char endpoint_r[ENDPOINT_BYTES])
{
    char joined[ENDPOINT_BYTES];  //  The halves may lie in `endpoint_r`
    int size = snprintf(joined, sizeof(joined), SCHEME "%.*s:%s",
                        host->host_bytes, host->host, port);
    INVARIANT(size > 0 && size < ENDPOINT_BYTES);
    memcpy(endpoint_r, joined, (size_t)size + 1);
}

status_t
endpoint_parse(const char *text, char endpoint_r[ENDPOINT_BYTES])
{
    halves_t halves;
    if (!halve(text, &halves) || !port_possible(halves.port))
        return STATUS_ADDRESS;
    join(&halves, halves.port, endpoint_r);
    return STATUS_OK;
}

void
endpoint_any_port(const char *endpoint, char any_r[ENDPOINT_BYTES])
{
    halves_t halves;
    bool whole = halve(endpoint, &halves);
    INVARIANT(whole);
    join(&halves, "*", any_r);
}

status_t
endpoint_join(const char *host_of, const char *port_of,
              char endpoint_r[ENDPOINT_BYTES])
{
    halves_t host, port;
    if (!halve(host_of, &host) || !halve(port_of, &port) ||
        !port_possible(port.port))
        return STATUS_ADDRESS;
    join(&host, port.port, endpoint_r);
    return STATUS_OK;
}

//  The host without its brackets; false when it does not fit.
static bool
bare_host(const halves_t *halves, char host_r[HOST_MOST + 1])
{
    const char *host = halves->host;
    size_t size = (size_t)halves->host_bytes;
    if (host[0] == '[') {
        host++;
        size -= 2;
    }
    if (size > HOST_MOST)
        return false;
    memcpy(host_r, host, size);
    host_r[size] = '\0';
    return true;
}

bool
endpoint_numeric(const char *endpoint)
{
    halves_t halves;
    char host[HOST_MOST + 1], same[ENDPOINT_BYTES];
    uint8_t address[sizeof(struct in6_addr)];
    if (endpoint_parse(endpoint, same) != STATUS_OK ||
        strcmp(endpoint, same) != 0 || !halve(same, &halves) ||
        atoi(halves.port) == 0 || !bare_host(&halves, host))
        return false;
    int family = halves.host[0] == '[' ? AF_INET6 : AF_INET;
    host[strcspn(host, "%")] = '\0';  //  A link-local one's interface
    return inet_pton(family, host, address) == 1;
}

status_t
endpoint_resolve(const char *endpoint, char numeric_r[ENDPOINT_BYTES])
{
    halves_t halves;
    char host[HOST_MOST + 1], figures[HOST_MOST + 1], found[HOST_MOST + 3];
    if (!halve(endpoint, &halves) || !bare_host(&halves, host))
        return STATUS_ADDRESS;
    struct addrinfo wanted = { .ai_socktype = SOCK_STREAM }, *all;
    if (getaddrinfo(host, NULL, &wanted, &all) != 0)
        return STATUS_ADDRESS;
    bool six = all->ai_family == AF_INET6;
    int rc = getnameinfo(all->ai_addr, all->ai_addrlen, figures,
                         sizeof(figures), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(all);
    if (rc != 0)
        return STATUS_ADDRESS;
    snprintf(found, sizeof(found), six ? "[%s]" : "%s", figures);
    halves_t numeric = { .host = found, .host_bytes = (int)strlen(found) };
    join(&numeric, halves.port, numeric_r);
    return STATUS_OK;
}
