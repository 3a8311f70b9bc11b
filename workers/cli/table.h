/*  table - columns that line up for people
 *
 *  Rows are kept until the table is printed; each column is as wide as its
 *  widest cell. Widths count UTF-8 characters, not bytes.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdio.h>

typedef struct table table_t;

//  A table whose columns are given by one string each: its heading, with a
//  leading '>' when its cells are set to the right. Ends with NULL.
table_t *table_new(const char *const *headings);
void table_destroy(table_t **self_p);

//  The next cell, left to right, row after row.
void table_cell(table_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

//  Print the headings and all whole rows.
void table_print(const table_t *self, FILE *to);

#endif
