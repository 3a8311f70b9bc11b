/*  tap_lines - events and requests as people and programs read them
 *
 *  A line an event, or an object of JSON. A tree is several lines, the first
 *  without indent, or one object.
 */
#ifndef TAP_LINES_H
#define TAP_LINES_H

#include <stdio.h>

#include "hops.h"

void tap_lines_event(const event_t *event, bool json, FILE *to);
void tap_lines_tree(const hops_tree_t *tree, bool json, FILE *to);

#endif
