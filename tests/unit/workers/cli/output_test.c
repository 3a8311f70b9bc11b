#include "output.h"

#include <dirent.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "proof.h"

static const char *folder;
static char path[300];
static char why[200];

//  What is written under the final name; NULL when there is nothing.
static const char *
written(void)
{
    static char text[100];
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static int
files(void)
{
    int count = 0;
    DIR *all = opendir(folder);
    while (readdir(all))
        count++;
    closedir(all);
    return count - 2;
}

static void
a_file_appears_when_it_is_whole(void)
{
    output_t *output = output_open(path, 5, why, sizeof why);
    CHECK(output && !written());
    CHECK(output_write(output, "he", 2) && output_write(output, "llo", 3));
    CHECK(!written());
    CHECK(output_keep(&output, why, sizeof why));
    CHECK(strcmp(written(), "hello") == 0 && files() == 1);
}

static void
less_than_was_expected_is_not_filled_up(void)
{
    output_t *output = output_open(path, 5000, why, sizeof why);
    CHECK(output && output_write(output, "less", 4));
    CHECK(output_keep(&output, why, sizeof why));
    CHECK(strcmp(written(), "less") == 0);
    struct stat told;
    CHECK(stat(path, &told) == 0 && told.st_size == 4);
}

//  Write `size` bytes in parts that straddle blocks; they must be there.
static void
write_and_compare(size_t size)
{
    uint8_t *bytes = malloc(size + 1), *back = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 11);
    output_t *output = output_open(path, size, why, sizeof why);
    for (size_t at = 0, part; at < size; at += part) {
        part = size - at < 300001 ? size - at : 300001;
        CHECK(output_write(output, bytes + at, part));
    }
    CHECK(output_keep(&output, why, sizeof why));
    FILE *file = fopen(path, "r");
    CHECK(file && fread(back, 1, size + 1, file) == size);
    fclose(file);
    CHECK(memcmp(bytes, back, size) == 0);
    free(bytes);
    free(back);
}

static void
every_size_is_written_whole(void)
{
    static const size_t SIZES[] = { 0,       1,       4095,    4096,
                                    1048575, 1048576, 1048577, 20000001 };
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        write_and_compare(SIZES[i]);
}

static size_t
memory(void)
{
    struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

static void
a_long_file_takes_no_more_memory(void)
{
    static const uint8_t PART[256 * 1024];
    enum { PARTS = 400 };
    output_t *output = output_open(path, PARTS * sizeof PART, why, sizeof why);
    size_t before = memory();
    for (int i = 0; i < PARTS; i++) {
        CHECK(output_write(output, PART, sizeof PART));
        CHECK(memory() < before + sizeof PART);
    }
    CHECK(output_keep(&output, why, sizeof why));
}

static void
what_is_given_up_leaves_what_was_there(void)
{
    write_and_compare(5);
    output_t *output = output_open(path, 0, why, sizeof why);
    CHECK(output_write(output, "others", 6));
    CHECK(files() == 2);
    output_discard(&output);
    struct stat told;
    CHECK(stat(path, &told) == 0 && told.st_size == 5 && files() == 1);
}

static void
a_full_device_is_told(void)
{
    output_t *output = output_open("/dev/full", 5, why, sizeof why);
    CHECK(output);
    output_write(output, "hello", 5);
    CHECK(!output_keep(&output, why, sizeof why));
    CHECK(strstr(why, "No space"));
}

static void
a_folder_that_is_not_there_is_told(void)
{
    char nowhere[400];
    snprintf(nowhere, sizeof nowhere, "%s/no/file", folder);
    CHECK(!output_open(nowhere, 0, why, sizeof why));
    CHECK(strstr(why, "No such file"));
}

int
main(void)
{
    folder = folder_new();
    snprintf(path, sizeof path, "%s/out", folder);
    CASE(a_file_appears_when_it_is_whole,
         "output 1: a file appears when it is whole");
    CASE(less_than_was_expected_is_not_filled_up,
         "output 1: less than was expected is not filled up");
    CASE(every_size_is_written_whole,
         "spool 1: what was written is in the file, in order, every size");
    CASE(a_long_file_takes_no_more_memory,
         "spool 2, invariant 18: a long file takes no more than its blocks");
    CASE(what_is_given_up_leaves_what_was_there,
         "output 2: what is given up leaves what was there");
    CASE(a_full_device_is_told, "a full device is told");
    CASE(a_folder_that_is_not_there_is_told,
         "a folder that is not there is told");
    return proof_end();
}
