/*  large - memory, and copies, of what goes to a disk or comes from there
 *
 *  In large pages a direct read or write pins one page for each 2 MiB instead
 *  of 512. A copy that is not read here again need not fetch the memory it
 *  fills, nor push out what the caches hold: half the cost of memcpy.
 */
#ifndef LARGE_H
#define LARGE_H

#include <stddef.h>

#define LARGE_PAGE (2 * 1024 * 1024)

//  Memory that begins at a large page, and ends at the next one behind `size`.
//  In large pages if the system has any; let go with free.
void *large_new(size_t size);

//  As memcpy.
void large_copy(void *to, const void *from, size_t size);

#endif
