/*  millis - time as a value, read only by the owner of a clock
 *
 *  Rules and cores get `now` as an argument. Two clocks exist and never mix:
 *  millis_t counts monotonic milliseconds of one process and orders deadlines;
 *  micros_t counts microseconds of UTC since 1970 and is only ever recorded.
 */
#ifndef MILLIS_H
#define MILLIS_H

#include <stdint.h>

typedef int64_t millis_t;  //  Monotonic, of this process
typedef int64_t micros_t;  //  UTC

#define MILLIS_NEVER INT64_MAX  //  Later than any time there is

//  The earlier of two times.
static inline millis_t
millis_least(millis_t a, millis_t b)
{
    return a < b ? a : b;
}

#endif
