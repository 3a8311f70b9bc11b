/*  network - addresses of hosts and the networks they lie in
 *
 *  IPv4 and IPv6 in figures; an IPv4 address that an IPv6 socket shows as
 *  ::ffff:1.2.3.4 is 1.2.3.4. Names of hosts are not looked up.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>

//  All addresses that begin with the first `bits` bits of `bytes`.
typedef struct {
    uint8_t size;  //  4 or 16 bytes; 0: no address
    uint8_t bits;
    uint8_t bytes[16];
} network_t;

//  "10.1.0.0/16", "fd00::/8", or an address alone, which is a network of one.
//  False: it is none, or has bits set behind its prefix.
bool network_parse(const char *text, network_t *network_r);

//  The host of "HOST:PORT" or "[V6]:PORT". False: it is a name, or stands for
//  every interface.
bool network_of(const char *at, network_t *address_r);

//  Whether an address (a network of one) lies in a network.
bool network_has(const network_t *self, const network_t *address);

//  The network of an address that a LAN has as a rule: /24, of IPv6 /64.
network_t network_around(const network_t *address);

//  Whether it is this host's own loopback.
bool network_is_loopback(const network_t *address);

//  Whether it is the address of a multicast group.
bool network_is_multicast(const network_t *address);

#endif
