/*  packet - what siblings say to each other by datagram
 *
 *  Invariants
 *    1. A packet has one form of PACKET_BYTES: pack and unpack are inverse,
 *       byte for byte.
 *    2. Nothing is read from a packet whose tag is not that of its bytes under
 *       the group's key.
 *
 *  Hints only: nothing that a packet says changes what a node holds or serves.
 *  The tag is SipHash-2-4 with 128 bits (Aumasson and Bernstein, "SipHash: a
 *  fast short-input PRF", INDOCRYPT 2012). Layout: WIRE.md, "Siblings".
 */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define PACKET_BYTES 96
#define PACKET_KEY_BYTES 16

typedef enum {
    PACKET_WHO = 1,    //  Who holds it, or carries it?
    PACKET_YES = 2,    //  I do
    PACKET_NO = 3,     //  I do not
    PACKET_CARRY = 4,  //  I carry it; each second, unasked
} packet_type_t;

#define PACKET_LIVE UINT64_MAX  //  `to` of a question for who carries

typedef struct {
    packet_type_t type;
    uint64_t group;  //  packet_name of the group's and the node's name
    uint64_t node;
    uint64_t incarnation;
    uint64_t counter;  //  Grows with each packet of an incarnation
    uint64_t stream;
    uint64_t from, to;  //  Bytes asked about
    uint16_t place;     //  Rank of a carrier: of its parent in the list,
    uint64_t grant;     //  and its grant's number
} packet_t;

//  A name as packets have it (FNV-1a with 64 bits).
uint64_t packet_name(const char *name);

//  The key that a group has by its names alone: it keeps groups and clusters
//  apart, and is no secret.
void packet_key(const char *cluster, const char *group,
                uint8_t key_r[PACKET_KEY_BYTES]);

void packet_pack(const packet_t *packet, const uint8_t key[PACKET_KEY_BYTES],
                 uint8_t to[PACKET_BYTES]);

//  STATUS_MALFORMED: of another size or form; STATUS_VERSION; STATUS_CORRUPT:
//  its tag is wrong. `packet_r` is written only on STATUS_OK.
status_t packet_unpack(const void *bytes, size_t size,
                       const uint8_t key[PACKET_KEY_BYTES], packet_t *packet_r);

#endif
