/*  bench-parity - Reed-Solomon on the live path, beside memcpy
 *
 *  Codes blocks of cold memory as the forwarder does, a chunk at a time and
 *  right after its checksum, and copies the same memory; all in turn, so that
 *  the machine's noise hits all alike. Prints GB/s of data, the median of nine
 *  rounds, and its ratio to memcpy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checksum.h"
#include "parity.h"
#include "sockets.h"

enum {
    CHUNK = 256 * 1024,
    CHUNKS = 512,  //  128 MiB: more than any cache
    ROUNDS = 9,
    CODES = 4,
};

static const code_t codes[CODES] = { { 4, 2 }, { 8, 2 }, { 3, 2 }, { 2, 1 } };

static buffer_t *chunks[CHUNKS];
static uint8_t header[CHUNK_HEADER_BYTES];
static uint64_t checksums;  //  Their sum, so that they are computed

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static parity_t *
encode(code_t code, unsigned first)
{
    parity_t *parity = parity_new(code, CHUNK + CHUNK_HEADER_BYTES);
    for (unsigned slot = 0; slot < code.k; slot++) {
        const buffer_t *chunk = chunks[first + slot];
        checksums += checksum_crc32c(buffer_bytes(chunk), buffer_size(chunk));
        parity_add(parity, slot, header, chunk);
    }
    return parity;
}

static double
encode_all(code_t code)
{
    double began = seconds();
    unsigned done = 0;
    for (; done + code.k <= CHUNKS; done += code.k) {
        parity_t *parity = encode(code, done);
        for (unsigned nth = 0; nth < code.m; nth++) {
            buffer_t *taken = parity_take(parity, nth);
            buffer_unref(&taken);
        }
        parity_destroy(&parity);
    }
    return (double)done * CHUNK / 1e9 / (seconds() - began);
}

//  Give every block back with its first m data chunks lost. The parity is that
//  of the first block: its values do not change the work.
static double
decode_all(code_t code)
{
    buffer_t *kept[LIMIT_SLOTS], *contents[LIMIT_SLOTS];
    parity_t *parity = encode(code, 0);
    for (unsigned nth = 0; nth < code.m; nth++)
        kept[nth] = parity_take(parity, nth);
    parity_destroy(&parity);

    double began = seconds();
    unsigned done = 0;
    for (; done + code.k <= CHUNKS; done += code.k) {
        parity_part_t parts[LIMIT_SLOTS] = { { 0 } };
        for (unsigned slot = code.m; slot < code.k; slot++)
            parts[slot] = (parity_part_t){ header,
                                           buffer_bytes(chunks[done + slot]),
                                           CHUNK };
        for (unsigned nth = 0; nth < code.m; nth++)
            parts[code.k + nth] = (parity_part_t){ NULL,
                                                   buffer_bytes(kept[nth]),
                                                   buffer_size(kept[nth]) };
        parity_decode(code, parts, (1u << code.m) - 1, contents);
        for (unsigned slot = 0; slot < code.m; slot++)
            buffer_unref(&contents[slot]);
    }
    double took = seconds() - began;
    for (unsigned nth = 0; nth < code.m; nth++)
        buffer_unref(&kept[nth]);
    return (double)done * CHUNK / 1e9 / took;
}

static double
copy_all(void)
{
    static uint8_t *to;
    if (!to)
        to = malloc((size_t)CHUNKS * CHUNK);
    double began = seconds();
    for (unsigned i = 0; i < CHUNKS; i++)
        memcpy(to + (size_t)i * CHUNK, buffer_bytes(chunks[i]), CHUNK);
    return (double)CHUNKS * CHUNK / 1e9 / (seconds() - began);
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *rates)
{
    qsort(rates, ROUNDS, sizeof(*rates), compare);
    return rates[ROUNDS / 2];
}

int
main(void)
{
    if (sockets_begin(16) != STATUS_OK)  //  The allocator, as in a daemon
        return 1;
    for (unsigned i = 0; i < CHUNKS; i++) {
        chunks[i] = buffer_new(CHUNK);
        memset(buffer_fill(chunks[i]), (int)(i * 37 + 1), CHUNK);
    }
    double copied[ROUNDS], encoded[CODES][ROUNDS], decoded[CODES][ROUNDS];
    copy_all();
    for (unsigned round = 0; round < ROUNDS; round++) {
        copied[round] = copy_all();
        for (unsigned c = 0; c < CODES; c++) {
            encoded[c][round] = encode_all(codes[c]);
            decoded[c][round] = decode_all(codes[c]);
        }
    }
    double copy = median(copied);
    printf("memcpy       %6.2f GB/s\n", copy);
    for (unsigned c = 0; c < CODES; c++) {
        double on = median(encoded[c]), back = median(decoded[c]);
        printf("%u+%u  encode  %6.2f GB/s  %.2f    decode, %u lost  %6.2f "
               "GB/s  %.2f\n",
               codes[c].k, codes[c].m, on, on / copy, codes[c].m, back,
               back / copy);
    }
    for (unsigned i = 0; i < CHUNKS; i++)
        buffer_unref(&chunks[i]);
    return checksums == 0;
}
