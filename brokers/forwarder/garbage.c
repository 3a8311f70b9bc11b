#include "garbage.h"

#include "invariant.h"

bool
garbage_end(extent_t *const *chain, size_t count, bool over, uint64_t epoch,
            uint64_t *end_r)
{
    size_t nth = 0;
    while (nth < count && chain[nth]->epoch < epoch)
        nth++;
    bool higher = nth < count && chain[nth]->epoch > epoch;
    if (nth == count || higher) {
        //  Never committed, or truncated altogether.
        *end_r = 0;
        return higher || over;
    }
    if (nth + 1 == count)
        return false;
    const extent_t *extent = chain[nth], *next = chain[nth + 1];
    uint64_t behind = placement_index_before(next);
    INVARIANT(behind >= extent->base_index);
    uint64_t chunks = behind - extent->base_index;
    *end_r = (chunks + extent->code.k - 1) / extent->code.k;
    return true;
}
