/*  sites - which networks each cache is near to
 *
 *  A cache is near to its own `site`, else to its group's, else to that of the
 *  best parent that has one; and always to the LAN that its own address is in.
 *  Of several networks that hold an address the longest counts.
 */
#ifndef SITES_H
#define SITES_H

#include <stddef.h>

#include "network.h"
#include "settings.h"

typedef struct sites sites_t;

//  The sites of a cluster's caches, numbered in the file's order.
sites_t *sites_new(const settings_t *settings);
void sites_destroy(sites_t **self_p);

//  How many bits of its address a terminal shares with a network of a cache,
//  in 32 or 128; 0: none of them holds it.
unsigned sites_near(const sites_t *self, size_t cache,
                    const network_t *address);

#endif
