#include "assign.h"

#include <stdlib.h>
#include <string.h>

#include "invariant.h"

assign_rule_t
assign_rule(const char *name)
{
    if (strcmp(name, "near") == 0)
        return ASSIGN_NEAR;
    if (strcmp(name, "light") == 0)
        return ASSIGN_LIGHT;
    return strcmp(name, "preferred") == 0 ? ASSIGN_PREFERRED : 0;
}

//  Negative: the less comes first.
static int
less(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

//  What one rule says of two places; 0: nothing.
static int
by_rule(assign_rule_t rule, const assign_place_t *a, const assign_place_t *b)
{
    int way = 0;
    switch (rule) {
    case ASSIGN_ORIGIN:
        return less(a->origin, b->origin);
    case ASSIGN_EDGE:
        return less(a->inner, b->inner);
    case ASSIGN_NEAR:
        return less(b->near, a->near);
    case ASSIGN_LIGHT:
        way = less(a->sessions, b->sessions);
        return way ? way : less(a->out_bps, b->out_bps);
    case ASSIGN_PREFERRED:
        return less(a->preferred, b->preferred);
    case ASSIGN_STREAM:
        return less(b->lot, a->lot);
    case ASSIGN_ORDER:
        return less(a->number, b->number);
    case ASSIGN_ONLY:
        break;
    }
    return 0;
}

typedef struct {
    assign_rule_t rules[ASSIGN_RULES + 5];
    size_t count;
} order_t;

//  Which of two comes first, and the rule that says so.
static int
compare(const order_t *order, const assign_place_t *a, const assign_place_t *b,
        assign_rule_t *rule_r)
{
    for (size_t i = 0; i < order->count; i++) {
        int way = by_rule(order->rules[i], a, b);
        if (way != 0) {
            *rule_r = order->rules[i];
            return way;
        }
    }
    return 0;
}

static int
compare_places(const void *a, const void *b, void *order)
{
    assign_rule_t rule;
    return compare(order, a, b, &rule);
}

void
assign_rank(assign_place_t *places, size_t places_count,
            const assign_rule_t *rules, size_t count)
{
    INVARIANT(count <= ASSIGN_RULES);
    order_t order = { .rules = { ASSIGN_ORIGIN, ASSIGN_EDGE }, .count = 2 };
    for (size_t i = 0; i < count; i++)
        order.rules[order.count++] = rules[i];
    order.rules[order.count++] = ASSIGN_STREAM;
    order.rules[order.count++] = ASSIGN_ORDER;
    qsort_r(places, places_count, sizeof(*places), compare_places, &order);
    if (places_count > 0)
        places[0].rule = ASSIGN_ONLY;
    for (size_t i = 1; i < places_count; i++) {
        assign_rule_t rule = ASSIGN_ORDER;
        compare(&order, &places[i - 1], &places[i], &rule);
        places[i - 1].rule = places[i].rule = rule;
    }
}

uint64_t
assign_lot(const char *stream, const char *cache)
{
    //  FNV-1a over both names, then mixed as splitmix64 does, for FNV alone
    //  leaves the high bits of short names alike.
    uint64_t lot = UINT64_C(0xcbf29ce484222325);
    for (const char *at = stream; *at; at++)
        lot = (lot ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    lot *= UINT64_C(0x100000001b3);
    for (const char *at = cache; *at; at++)
        lot = (lot ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    lot = (lot ^ (lot >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    lot = (lot ^ (lot >> 27)) * UINT64_C(0x94d049bb133111eb);
    return lot ^ (lot >> 31);
}
