#include "packet.h"

#include <string.h>

#include "proof.h"

static uint8_t key[PACKET_KEY_BYTES];

static packet_t
example(void)
{
    return (packet_t){ .type = PACKET_CARRY,
                       .group = packet_name("region"),
                       .node = packet_name("r1"),
                       .incarnation = 0x8877665544332211,
                       .counter = 42,
                       .stream = 7,
                       .from = 1000,
                       .to = PACKET_LIVE,
                       .place = 3,
                       .grant = 99 };
}

static void
pack_and_unpack(void)
{
    packet_t packet = example(), back;
    uint8_t bytes[PACKET_BYTES], again[PACKET_BYTES];
    packet_key("demo", "region", key);
    packet_pack(&packet, key, bytes);
    CHECK(packet_unpack(bytes, sizeof bytes, key, &back) == STATUS_OK);
    CHECK(back.type == packet.type && back.group == packet.group);
    CHECK(back.node == packet.node && back.stream == packet.stream);
    CHECK(back.incarnation == packet.incarnation);
    CHECK(back.counter == packet.counter && back.from == packet.from);
    CHECK(back.to == packet.to && back.place == packet.place);
    CHECK(back.grant == packet.grant);
    packet_pack(&back, key, again);
    CHECK(memcmp(bytes, again, sizeof bytes) == 0);
}

static void
every_flipped_bit_is_found(void)
{
    packet_t packet = example(), back;
    uint8_t bytes[PACKET_BYTES];
    packet_key("demo", "region", key);
    packet_pack(&packet, key, bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(packet_unpack(bytes, sizeof bytes, key, &back) != STATUS_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK(packet_unpack(bytes, sizeof bytes, key, &back) == STATUS_OK);
}

static void
other_groups_and_sizes_are_nothing(void)
{
    packet_t packet = example(), back;
    uint8_t bytes[PACKET_BYTES + 1] = { 0 }, other[PACKET_KEY_BYTES];
    packet_key("demo", "region", key);
    packet_key("demo", "town", other);
    packet_pack(&packet, key, bytes);
    CHECK(packet_unpack(bytes, PACKET_BYTES, other, &back) == STATUS_CORRUPT);
    CHECK(packet_unpack(bytes, PACKET_BYTES - 1, key, &back) ==
          STATUS_MALFORMED);
    CHECK(packet_unpack(bytes, PACKET_BYTES + 1, key, &back) ==
          STATUS_MALFORMED);
    packet.type = 9;
    packet_pack(&packet, key, bytes);
    CHECK(packet_unpack(bytes, PACKET_BYTES, key, &back) == STATUS_MALFORMED);
}

static void
the_form_is_the_one_written_down(void)
{
    packet_t packet = example();
    uint8_t bytes[PACKET_BYTES];
    packet_key("demo", "region", key);
    packet_pack(&packet, key, bytes);
    CHECK(memcmp(bytes, "RLS1\x01\x04\x03\x00", 8) == 0);
    CHECK(bytes[32] == 42 && bytes[40] == 7 && bytes[64] == 99);
    CHECK(bytes[48] == 0xe8 && bytes[49] == 0x03);
}

int
main(void)
{
    CASE(pack_and_unpack, "packet 1: what is packed unpacks to the same, and "
                          "packs to the same bytes");
    CASE(every_flipped_bit_is_found,
         "packet 2: a packet with any bit flipped is nothing");
    CASE(other_groups_and_sizes_are_nothing,
         "packet 2: a packet of another group, size or type is nothing");
    CASE(the_form_is_the_one_written_down,
         "packet 1: its form is the one written down");
    return proof_end();
}
