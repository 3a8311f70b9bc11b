#include "losses.h"

#include <stdio.h>

#include "proof.h"

typedef struct {
    char what;  //  'h'eard, 't'old
    uint64_t seq, lost;
} step_t;

static void
play(const step_t *steps)
{
    losses_t losses = { 0 };
    for (size_t i = 0; steps[i].what; i++) {
        uint64_t lost = steps[i].what == 'h'
                            ? losses_heard(&losses, 3, steps[i].seq)
                            : losses_told(&losses, 3, steps[i].seq);
        if (lost != steps[i].lost)
            printf("# step %zu: %llu lost\n", i, (unsigned long long)lost);
        CHECK(lost == steps[i].lost);
    }
    CHECK(losses_heard(&losses, 4, 100) == 0);  //  Another kind
}

static void
a_gap_is_lost(void)
{
    play((const step_t[]){ { 'h', 5, 0 },
                           { 'h', 6, 0 },
                           { 'h', 10, 3 },
                           { 'h', 11, 0 },
                           { 't', 11, 0 },
                           { 0 } });
}

static void
the_end_is_told_by_samples(void)
{
    play((const step_t[]){ { 't', 40, 0 },
                           { 'h', 42, 1 },
                           { 't', 42, 0 },
                           { 't', 454, 412 },
                           { 't', 454, 0 },
                           { 'h', 455, 0 },
                           { 0 } });
    play((const step_t[]){ { 't', 0, 0 }, { 'h', 2, 1 }, { 0 } });
}

static void
a_new_start_is_counted_from_its_first(void)
{
    play(
        (const step_t[]){ { 'h', 7, 0 }, { 'h', 1, 0 }, { 'h', 2, 0 }, { 0 } });
    play((const step_t[]){ { 'h', 700, 0 }, { 'h', 5, 4 }, { 0 } });
    play((const step_t[]){
        { 'h', 700, 0 }, { 't', 5, 5 }, { 'h', 6, 0 }, { 0 } });
    play(
        (const step_t[]){ { 't', 9, 0 }, { 't', 0, 0 }, { 'h', 1, 0 }, { 0 } });
}

static void
numbers_that_no_node_gives_change_nothing(void)
{
    play((const step_t[]){ { 'h', 5, 0 },
                           { 'h', 0, 0 },
                           { 'h', UINT64_MAX, 0 },
                           { 't', UINT64_MAX, 0 },
                           { 'h', 6, 0 },
                           { 0 } });
    losses_t losses = { 0 };
    CHECK(losses_heard(&losses, EVENTS_NO_KIND, 5) == 0);
    CHECK(losses_told(&losses, EVENTS_KINDS_MOST, 5) == 0);
}

int
main(void)
{
    CASE(a_gap_is_lost, "losses 1: a gap between two events was lost");
    CASE(the_end_is_told_by_samples,
         "losses 1: what is lost at the end is told by the next sample");
    CASE(
        a_new_start_is_counted_from_its_first,
        "losses 1: a number that falls is a new start, counted from its first");
    CASE(numbers_that_no_node_gives_change_nothing,
         "numbers that no node gives change nothing");
    return proof_end();
}
