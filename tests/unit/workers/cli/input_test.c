#include "input.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "folder.h"
#include "proof.h"

static const char *folder;
static char path[300];
static char why[200];
static uint8_t *bytes;

static void
write_file(size_t size)
{
    FILE *file = fopen(path, "w");
    CHECK(file);
    CHECK(fwrite(bytes, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

static buffer_t *
wait_next(input_t *input)
{
    for (;;) {
        buffer_t *piece = input_next(input);
        if (piece || input_failed(input))
            return piece;
        struct pollfd wait = { .fd = input_fd(input), .events = POLLIN };
        CHECK(poll(&wait, 1, 60000) == 1);
    }
}

//  Read a file of `size` from `from` on; every piece but the first and last is
//  a whole one that begins at a multiple of its size behind `base`.
static void
read_all(size_t size, uint64_t base, uint64_t from, uint32_t piece_bytes)
{
    write_file(size);
    input_t *input = input_open(path, why, sizeof why);
    CHECK(input && input_size(input) == size);
    input_begin(input, base, from, piece_bytes);
    while (from < size) {
        buffer_t *piece = wait_next(input);
        CHECK(piece && buffer_size(piece) > 0);
        CHECK(memcmp(buffer_bytes(piece), bytes + from, buffer_size(piece)) ==
              0);
        from += buffer_size(piece);
        CHECK(from == size || (from - base) % piece_bytes == 0);
        buffer_unref(&piece);
    }
    CHECK(from == size && !input_next(input) && !input_failed(input));
    CHECK(!input_changed(input));
    input_close(&input);
}

static void
pieces_together_are_the_file(void)
{
    static const size_t SIZES[] = { 1,       4096,    65535,  65536,
                                    1048576, 1048577, 9000001 };
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        read_all(SIZES[i], 0, 0, 65536);
        read_all(SIZES[i], 0, 0, 262144);
        read_all(SIZES[i], 0, SIZES[i] / 2, 18800);
        read_all(SIZES[i], SIZES[i] / 3, SIZES[i] / 2, 4096);
    }
}

static void
an_empty_file_has_no_piece(void)
{
    read_all(0, 0, 0, 65536);
}

static void
a_file_that_becomes_shorter_is_an_error(void)
{
    write_file(5000000);
    input_t *input = input_open(path, why, sizeof why);
    CHECK(truncate(path, 3000000) == 0);
    input_begin(input, 0, 0, 65536);
    uint64_t got = 0;
    for (buffer_t *piece; (piece = wait_next(input));) {
        got += buffer_size(piece);
        buffer_unref(&piece);
    }
    CHECK(got <= 3000000 && strstr(input_failed(input), "shorter"));
    CHECK(input_changed(input));
    input_close(&input);
}

static void
it_can_be_closed_in_the_middle(void)
{
    write_file(20000000);
    input_t *input = input_open(path, why, sizeof why);
    input_begin(input, 0, 0, 65536);
    buffer_t *piece = wait_next(input);
    input_close(&input);
    CHECK(memcmp(buffer_bytes(piece), bytes, 65536) == 0);
    buffer_unref(&piece);
}

static void
a_token_names_the_file_as_it_is(void)
{
    write_file(1000);
    input_t *input = input_open(path, why, sizeof why);
    uint64_t token = input_token(input);
    CHECK(token != 0 && token == input_token(input));
    input_close(&input);
    write_file(1001);
    input = input_open(path, why, sizeof why);
    CHECK(input_token(input) != token);
    uint32_t crc;
    CHECK(input_crc(input, 1, 1000, &crc));
    CHECK(crc == checksum_crc32c(bytes + 1, 1000));
    CHECK(!input_crc(input, 2, 1000, &crc));
    input_close(&input);
}

static void
what_is_no_file_is_refused(void)
{
    CHECK(!input_open(folder, why, sizeof why) && strstr(why, "directory"));
    CHECK(!input_open("/dev/null", why, sizeof why) && strstr(why, "regular"));
    CHECK(!input_open("nowhere", why, sizeof why));
    CHECK(strstr(why, "No such file"));
}

int
main(void)
{
    enum { MOST = 20000000 };
    bytes = malloc(MOST);
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    folder = folder_new();
    snprintf(path, sizeof path, "%s/in", folder);
    CASE(pieces_together_are_the_file,
         "input 1: pieces together are the file, whole ones aligned");
    CASE(an_empty_file_has_no_piece, "input 1: an empty file has no piece");
    CASE(a_file_that_becomes_shorter_is_an_error,
         "input 3: a file that becomes shorter is an error");
    CASE(it_can_be_closed_in_the_middle,
         "input 2: it can be closed in the middle");
    CASE(a_token_names_the_file_as_it_is, "a token names the file as it is");
    CASE(what_is_no_file_is_refused, "what is no file is refused");
    free(bytes);
    return proof_end();
}
