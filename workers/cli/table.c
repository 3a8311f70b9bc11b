#include "table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

struct table {
    char **cells;  //  The headings are the first row
    size_t columns, count, capacity;
    bool *is_right;
};

static void
add(table_t *self, char *cell)
{
    INVARIANT(cell);
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 64;
        self->cells = realloc(self->cells,
                              self->capacity * sizeof *self->cells);
        INVARIANT(self->cells);
    }
    self->cells[self->count++] = cell;
}

table_t *
table_new(const char *const *headings)
{
    table_t *self = calloc(1, sizeof *self);
    INVARIANT(self);
    while (headings[self->columns])
        self->columns++;
    self->is_right = calloc(self->columns, sizeof *self->is_right);
    INVARIANT(self->is_right);
    for (size_t i = 0; i < self->columns; i++) {
        self->is_right[i] = headings[i][0] == '>';
        add(self, strdup(headings[i] + self->is_right[i]));
    }
    return self;
}

void
table_destroy(table_t **self_p)
{
    table_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->cells[i]);
    free(self->cells);
    free(self->is_right);
    free(self);
}

void
table_cell(table_t *self, const char *format, ...)
{
    char *cell = NULL;
    va_list list;
    va_start(list, format);
    int rc = vasprintf(&cell, format, list);
    va_end(list);
    INVARIANT(rc >= 0);
    add(self, cell);
}

//  Characters of a text: bytes that do not continue one.
static int
width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

//  The last column of a row that has a text: nothing stands behind it.
static size_t
last_of(const table_t *self, size_t row)
{
    size_t last = self->columns - 1;
    while (last > 0 && !*self->cells[row * self->columns + last])
        last--;
    return last;
}

void
table_print(const table_t *self, FILE *to)
{
    size_t rows = self->count / self->columns;
    int *widths = calloc(self->columns, sizeof *widths);
    INVARIANT(widths);
    for (size_t i = 0; i < rows * self->columns; i++) {
        int width = width_of(self->cells[i]);
        if (width > widths[i % self->columns])
            widths[i % self->columns] = width;
    }
    for (size_t i = 0; i < rows * self->columns; i++) {
        size_t column = i % self->columns;
        size_t last = last_of(self, i / self->columns);
        bool is_last = column == last;
        if (column > last)
            continue;
        int gap = widths[column] - width_of(self->cells[i]);
        if (self->is_right[column])
            fprintf(to, "%*s%s", gap, "", self->cells[i]);
        else
            fprintf(to, "%s%*s", self->cells[i], is_last ? 0 : gap, "");
        fputs(is_last ? "\n" : "  ", to);
    }
    free(widths);
}
