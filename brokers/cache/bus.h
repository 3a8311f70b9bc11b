/*  bus - the datagrams of a sibling group: to all by multicast, or to each
 *
 *  Invariants
 *    1. (house 18) At most BUS_PER_TICK packets are read in BUS_TICK_MS, however
 *       many come; what is not read overflows in the kernel, which counts it.
 *    2. Nothing is heard but packets with the group's tag; the others are
 *       counted.
 *
 *  Bound to the port of the node's front, UDP. What is said goes to the
 *  multicast address of the group, or to one sibling after the other.
 */
#ifndef BUS_H
#define BUS_H

#include <stdbool.h>

#include "millis.h"
#include "packet.h"

#define BUS_TICK_MS 10
#define BUS_PER_TICK 50
#define BUS_SIBLINGS 64

typedef struct bus bus_t;

//  A bus for the node at `at` (HOST:PORT); `multicast` (ADDRESS:PORT) and
//  `interface` (an address) may be "". STATUS_ADDRESS: it cannot be bound;
//  `why_r` says why. A group that cannot be joined is said in `why_r` with
//  STATUS_OK: siblings are told one by one. The caller owns it.
status_t bus_new(const char *at, const char *multicast, const char *interface,
                 const uint8_t key[PACKET_KEY_BYTES], bus_t **self_r,
                 char *why_r, size_t why_size);
void bus_destroy(bus_t **self_p);

//  Where a sibling hears, by its number, at most BUS_SIBLINGS. False: that is
//  no address; it keeps the number and hears nothing.
bool bus_add(bus_t *self, const char *reach);

//  Its descriptors: of its own address (0), of the group's (1; -1: none).
int bus_fd(const bus_t *self, int which);

//  To the group (-1), or to a sibling. Best effort.
void bus_say(bus_t *self, int sibling, const packet_t *packet);

//  The next packet that came on a descriptor. False: there is none, or there
//  may be no more in this tick.
bool bus_hear(bus_t *self, int which, packet_t *packet_r, millis_t now);

//  When it may be read again; at once if that is not after `now`.
millis_t bus_rests(const bus_t *self);

typedef struct {
    uint64_t said, heard;
    uint64_t strange;   //  No packets of the group
    uint64_t overflow;  //  That the kernel had no room for, as far as it told
} bus_counts_t;
bus_counts_t bus_counts(const bus_t *self);

#endif
