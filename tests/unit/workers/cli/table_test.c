#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "proof.h"

static void
columns_line_up(void)
{
    static const char *const HEADINGS[] = { "NAME", ">SIZE", "STATE", NULL };
    table_t *table = table_new(HEADINGS);
    table_cell(table, "%s", "long-name");
    table_cell(table, "%d", 7);
    table_cell(table, "open");
    table_cell(table, "b\xc3\xa9");
    table_cell(table, "%d", 123456);
    table_cell(table, "sealed");
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    table_print(table, to);
    fclose(to);
    table_destroy(&table);
    CHECK(!table);
    int same = strcmp(text, "NAME         SIZE  STATE\n"
                            "long-name       7  open\n"
                            "b\xc3\xa9         123456  sealed\n");
    free(text);
    CHECK(same == 0);
}

static void
nothing_stands_behind_the_last_text(void)
{
    static const char *const HEADINGS[] = { "A", ">B", NULL };
    table_t *table = table_new(HEADINGS);
    table_cell(table, "a");
    table_cell(table, "%s", "");
    table_cell(table, "%s", "");
    table_cell(table, "%s", "");
    table_cell(table, "%s", "");
    table_cell(table, "22");
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    table_print(table, to);
    fclose(to);
    table_destroy(&table);
    int same = strcmp(text, "A   B\na\n\n   22\n");
    free(text);
    CHECK(same == 0);
}

int
main(void)
{
    CASE(columns_line_up, "columns line up, by characters and not by bytes");
    CASE(nothing_stands_behind_the_last_text, "a row ends with its last text");
    return proof_end();
}
