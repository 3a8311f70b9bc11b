/*  units - sizes and durations as people write and read them
 *
 *  A size is a number with B, kB, MB, GB, TB (powers of 1000) or KiB, MiB,
 *  GiB, TiB (powers of 1024); a bare number is bytes. A duration is a number
 *  with ms, s, min, h or d; a bare number but 0 is refused, for nobody knows
 *  what it would be. Numbers may have a fraction ("1.5GiB", "0.5s") that gives
 *  whole bytes or milliseconds; one space may stand before the unit.
 */
#ifndef UNITS_H
#define UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define UNITS_TEXT_BYTES 32

//  Read a size or a duration. STATUS_SETTING: it is none, or over 2^63 - 1;
//  `why_r` (of `why_size` bytes) says why in words that follow the text, as in
//  'has the unit "kb"; say one of B, kB, …'.
status_t units_parse_bytes(const char *text, uint64_t *bytes_r, char *why_r,
                           size_t why_size);
status_t units_parse_ms(const char *text, uint64_t *ms_r, char *why_r,
                        size_t why_size);

//  Write one for people, rounded to three digits: "0 B", "256 KiB",
//  "1.46 GiB"; "200 ms", "1.5 s", "2 min 5 s", "72 h". Returns `text_r`.
char *units_bytes(uint64_t bytes, char text_r[UNITS_TEXT_BYTES]);
char *units_ms(uint64_t ms, char text_r[UNITS_TEXT_BYTES]);

#endif
