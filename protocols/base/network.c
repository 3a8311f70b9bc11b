#include "network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = INET6_ADDRSTRLEN };

//  An address in figures, as a network of one.
static bool
parse_address(const char *text, network_t *address_r)
{
    static const uint8_t MAPPED[12] = { [10] = 0xff, [11] = 0xff };
    network_t address = { .size = 4, .bits = 32 };
    if (inet_pton(AF_INET, text, address.bytes) != 1) {
        address.size = 16;
        address.bits = 128;
        if (inet_pton(AF_INET6, text, address.bytes) != 1)
            return false;
        if (memcmp(address.bytes, MAPPED, sizeof(MAPPED)) == 0) {
            network_t inner = { .size = 4, .bits = 32 };
            memcpy(inner.bytes, address.bytes + 12, 4);
            address = inner;
        }
    }
    *address_r = address;
    return true;
}

//  The bits of byte `nth` that belong to a prefix.
static uint8_t
mask(unsigned bits, unsigned nth)
{
    if (bits >= 8 * (nth + 1))
        return 0xff;
    return bits <= 8 * nth ? 0 : (uint8_t)(0xff << (8 - (bits - 8 * nth)));
}

bool
network_parse(const char *text, network_t *network_r)
{
    char copy[TEXT_BYTES + 4];
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = 0;
    network_t network;
    if (!parse_address(copy, &network))
        return false;
    if (slash) {
        size_t digits = strspn(slash + 1, "0123456789");
        if (digits == 0 || digits > 3 || slash[1 + digits])
            return false;
        unsigned long bits = strtoul(slash + 1, NULL, 10);
        if (bits > network.bits)
            return false;
        network.bits = (uint8_t)bits;
    }
    for (unsigned i = 0; i < network.size; i++)
        if (network.bytes[i] & ~mask(network.bits, i))
            return false;
    *network_r = network;
    return true;
}

bool
network_of(const char *at, network_t *address_r)
{
    char host[TEXT_BYTES];
    const char *end = strrchr(at, ':');
    size_t size = end ? (size_t)(end - at) : 0;
    if (size > 2 && at[0] == '[' && at[size - 1] == ']') {
        at++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof(host))
        return false;
    memcpy(host, at, size);
    host[size] = 0;
    network_t address;
    static const uint8_t NOBODY[16] = { 0 };
    if (!parse_address(host, &address) ||
        memcmp(address.bytes, NOBODY, address.size) == 0)
        return false;
    *address_r = address;
    return true;
}

bool
network_has(const network_t *self, const network_t *address)
{
    if (self->size != address->size || self->size == 0)
        return false;
    for (unsigned i = 0; i < self->size; i++)
        if ((self->bytes[i] ^ address->bytes[i]) & mask(self->bits, i))
            return false;
    return true;
}

network_t
network_around(const network_t *address)
{
    network_t network = *address;
    network.bits = address->size == 4 ? 24 : 64;
    for (unsigned i = 0; i < network.size; i++)
        network.bytes[i] &= mask(network.bits, i);
    return network;
}

bool
network_is_loopback(const network_t *address)
{
    static const network_t V4 = { .size = 4, .bits = 8, .bytes = { 127 } };
    static const network_t V6 = { .size = 16, .bits = 128, .bytes[15] = 1 };
    return network_has(&V4, address) || network_has(&V6, address);
}

bool
network_is_multicast(const network_t *address)
{
    static const network_t V4 = { .size = 4, .bits = 4, .bytes = { 224 } };
    static const network_t V6 = { .size = 16, .bits = 8, .bytes = { 255 } };
    return network_has(&V4, address) || network_has(&V6, address);
}
