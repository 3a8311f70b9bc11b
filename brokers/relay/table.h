/*  table - a czmq hash of structs whose first member is a 64-bit id
 */
#ifndef TABLE_H
#define TABLE_H

#include <czmq.h>

static inline size_t
table_hash(const void *key)
{
    uint64_t id;
    memcpy(&id, key, sizeof id);
    return (size_t)(id * 0x9e3779b97f4a7c15u >> 16);
}

static inline int
table_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

//  Keys are lent: they live in what is inserted. The caller owns it.
static inline zhashx_t *
table_new(void)
{
    zhashx_t *table = zhashx_new();
    zhashx_set_key_hasher(table, table_hash);
    zhashx_set_key_comparator(table, table_compare);
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    return table;
}

#endif
