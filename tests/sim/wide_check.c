/*  What a wide tree costs, and whether it keeps the house's invariants.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "invariant.h"
#include "wide.h"

wide_t wide;

int64_t
wide_clock_ns(clockid_t of)
{
    struct timespec now;
    clock_gettime(of, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

//  From here on time is that of another.
wide_spent_t
wide_turn_to(wide_spent_t kind)
{
    wide_spent_t was = wide.at;
    int64_t now = wide_clock_ns(CLOCK_MONOTONIC);
    wide.spent_ns[was] += now - wide.mark_ns;
    wide.mark_ns = now;
    wide.at = kind;
    return was;
}

_Noreturn void
wide_breach(int invariant, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("breach of invariant %d at %.3f s: ", invariant,
           (double)agenda_now(wide.agenda) / 1e6);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    exit(1);
}

millis_t
wide_now(void)
{
    return agenda_now(wide.agenda) / 1000 + 1000;
}

micros_t
wide_origin_us(void)
{
    return WIDE_BEGAN_US + agenda_now(wide.agenda);
}

bool
wide_between(int64_t from_us, int64_t to_us)
{
    int64_t now = agenda_now(wide.agenda);
    return now >= from_us && now < to_us;
}

uint8_t *
wide_copies(uint8_t *table, int stream, uint64_t chunk, int group)
{
    return &table[((uint64_t)stream * WIDE_CHUNKS + chunk) *
                      (uint64_t)wide.groups +
                  (uint64_t)group];
}

void
wide_check_sources(void)
{
    int *source = malloc(sizeof *source * WIDE_STREAMS * (size_t)wide.nodes);
    INVARIANT(source);
    for (int i = 0; i < WIDE_STREAMS * wide.nodes; i++)
        source[i] = -1;
    for (int i = 1; i < wide.nodes; i++) {
        static relay_state_t states[WIDE_STREAMS];
        const wide_node_t *node = &wide.node[i];
        size_t count = node->relay
                           ? relay_states(node->relay, states, WIDE_STREAMS)
                           : 0;
        for (size_t s = 0; s < count; s++)
            if (states[s].source >= 0)
                source[((int)states[s].stream - 1) * wide.nodes + i] =
                    node->way[states[s].source].node;
    }
    for (int i = 0; i < wide.sessions; i++) {
        int at = wide.session[i].at, steps = 0;
        while (at > 0 && steps++ <= 2 * WIDE_TIERS)
            at = source[wide.session[i].stream * wide.nodes + at];
        if (at != 0 && !wide.session[i].lost)
            wide_breach(17, "session %d at %s has no way to the origin", i,
                        wide.node[wide.session[i].at].name);
    }
    free(source);
}

//  Without what was cut half a second ago.
static bool
is_behind(const wide_session_t *session)
{
    uint64_t chunks = wide.head[session->stream] / WIDE_CHUNK;
    const int64_t *cut = wide.cut_us[session->stream];
    while (chunks && cut[chunks - 1] > agenda_now(wide.agenda) - 500000)
        chunks--;
    return !session->begun || session->next < chunks * WIDE_CHUNK;
}

int
wide_behind(void)
{
    int behind = 0;
    for (int i = 0; i < wide.sessions; i++)
        behind += !wide.session[i].lost && is_behind(&wide.session[i]);
    return behind;
}

void
wide_check_served(void)
{
    for (int i = 0; i < wide.sessions; i++)
        if (!wide.session[i].lost && is_behind(&wide.session[i]))
            wide_breach(19, "session %d at %s is behind", i,
                        wide.node[wide.session[i].at].name);
}

//  Returns the longest row of chunks that entered a group twice.
int
wide_check_copies(int64_t from_us, int64_t to_us, int most)
{
    int longest = 0;
    for (int s = 0; s < WIDE_STREAMS; s++)
        for (int group = 0; group < wide.groups; group++) {
            int row = 0;
            for (uint64_t i = 0; i < wide.head[s] / WIDE_CHUNK; i++) {
                if (wide.cut_us[s][i] < from_us || wide.cut_us[s][i] >= to_us)
                    continue;
                int copies = *wide_copies(wide.copies, s, i, group);
                if (most == 1)
                    copies += *wide_copies(wide.answered, s, i, group);
                row = copies > 1 ? row + 1 : 0;
                longest = row > longest ? row : longest;
                if (copies > most)
                    wide_breach(14, "%d copies of a chunk entered group %d",
                                copies, group);
            }
        }
    return longest;
}
