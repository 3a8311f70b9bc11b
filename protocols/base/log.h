/*  log - one event, one line on stderr
 *
 *  Invariants
 *    1. An event is one line and one write(2) of at most LOG_LINE_BYTES,
 *       whatever its values hold: lines of threads and processes that share a
 *       stderr do not mix, and no value can forge a line or a pair.
 *    2. Logging changes nothing: errno stays, and a stderr that is full or
 *       closed is no error.
 *
 *  Text:  2026-11-22T04:51:15.123Z notice w1 ready role=worker at=host:5711
 *  JSON:  {"time":"…","level":"notice","role":"worker","node":"w1",
 *          "event":"ready","at":"host:5711"}
 *
 *  Rules and cores do not log; actors and programs do.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

#define LOG_LINE_BYTES 4096  //  PIPE_BUF: a pipe takes it whole

typedef enum {
    LOG_AT_ERROR = 0,   //  Somebody must do something
    LOG_AT_NOTICE = 1,  //  The node's own state changed
    LOG_AT_DETAIL = 2,  //  What a developer wants to see
} log_level_t;

typedef enum {
    LOG_TEXT = 0,
    LOG_JSON = 1,
} log_format_t;

//  Say who logs, how, and up to which level; before any thread starts. Names
//  are copied. Without it: "rill", "-", text, LOG_AT_NOTICE.
void log_begin(const char *role, const char *node, log_format_t format,
               log_level_t level);

//  Whether events of this level are written.
bool log_hears(log_level_t level);

//  Tell one event. `pairs` is a printf format of pairs "key=%d other=%s"
//  with one space between pairs (without pairs: log_told); where a value begins
//  and ends is read from the format, so a value may hold anything. Values with spaces, quotes
//  or nothing in them are quoted, and then escaped as in JSON; what does not
//  fit into the line is cut, and "cut=true" says so. In JSON a value that is
//  one %d, %u, %f or the like is a number, everything else a string.
//  Understands %s %c %d %i %u %x %X %f %g %e %p %% with flags but the space,
//  widths, precisions and the lengths hh h l ll z j t.
void log_event(log_level_t level, const char *event, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));

//  Tell an event that a core has put into words already: "event key=value
//  key="a value with spaces" ...". From the first word that is no pair on, the
//  rest is the value of "text". All values are strings.
void log_told(log_level_t level, const char *text);

#endif
