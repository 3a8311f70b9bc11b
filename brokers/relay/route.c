#include "route.h"

route_t
route_choose(const route_case_t *at)
{
    bool straight = at->up || at->old;
    if (at->held && !straight)
        return ROUTE_HERE;
    if (at->from_side)
        return ROUTE_NOWHERE;
    if (straight || at->root)
        return ROUTE_STRAIGHT;
    if (!at->tried && (at->carried || at->has))
        return ROUTE_SIDE;
    if (!at->tried && at->question)
        return ROUTE_QUESTION;
    return ROUTE_UPWARD;
}
