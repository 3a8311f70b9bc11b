/*  status - the closed list of what the world may do to us
 *
 *  The same numbers travel on the wire (rill.v1.Status), so that a client in
 *  any language hears the word that we heard. Numbers are never reused.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>

typedef enum {
    STATUS_OK = 0,
    //  What was said could not be understood
    STATUS_MALFORMED = 1,   //  Not a message, or a part missing or too many
    STATUS_VERSION = 2,     //  Another version of the protocol or of a file
    STATUS_KIND = 3,        //  A message that has no business on this socket
    STATUS_TOO_LARGE = 4,   //  Over a declared limit
    STATUS_ARGUMENT = 5,    //  A field outside what it may be
    STATUS_NAME = 6,        //  Not a legal stream name
    STATUS_PROTECTION = 7,  //  A code that these workers cannot carry
    //  What was asked for is not so
    STATUS_UNKNOWN = 20,  //  No such stream
    STATUS_TAKEN = 21,    //  The name, lease or directory is another's
    STATUS_SEALED = 22,   //  The stream has ended; nothing can be added
    STATUS_GONE = 23,     //  Below the horizon of retention, or removed
    STATUS_FUTURE = 24,   //  Not written yet
    STATUS_RANGE = 25,    //  Outside the stream
    STATUS_MISS = 26,     //  Not held here; others may have it
    //  Who said it may not
    STATUS_SESSION = 40,  //  The session is over: open again
    STATUS_OFFSET = 41,   //  Bytes out of order: open again, go on from there
    STATUS_FENCED = 42,   //  A newer term is in force
    STATUS_CLUSTER = 43,  //  It belongs to another cluster
    //  Not now
    STATUS_BUSY = 60,         //  A declared limit is reached
    STATUS_FULL = 61,         //  No space left
    STATUS_HELD = 62,         //  Too few workers; it goes on when they are back
    STATUS_LATE = 63,         //  No answer in time
    STATUS_STOPPING = 64,     //  This node is going down
    STATUS_UNREACHABLE = 65,  //  Nobody answers at the address
    STATUS_ADDRESS = 66,      //  An endpoint could not be bound or parsed
    //  Disks and files
    STATUS_IO = 80,       //  The disk or file refused
    STATUS_CORRUPT = 81,  //  Bytes are not what was written
    STATUS_ABSENT = 82,   //  A file or directory that is not there
    STATUS_SETTING = 83,  //  A setting that cannot be
    STATUS_LIMIT = 84,    //  The system gives too few descriptors or memory
} status_t;

//  What a caller does with a status.
typedef enum {
    RETRY_NEVER = 0,      //  The same request will meet the same answer
    RETRY_LATER = 1,      //  Here again, after a pause
    RETRY_ELSEWHERE = 2,  //  At another node
    RETRY_REOPEN = 3,     //  Here again, with a new session
} retry_t;

//  The status's name in lower case, as people and logs see it ("taken");
//  "unlisted" for a number that is not in the list. Lives for ever.
const char *status_name(status_t status);

//  One sentence for people: what happened and what to do. Lives for ever.
const char *status_text(status_t status);

//  What a caller should do about it.
retry_t status_retry(status_t status);

//  Whether `number`, as heard from a peer, is in the list.
bool status_listed(int number);

//  The `nth` status of the list in order, from 0; STATUS_OK past its end, and
//  at 0, which is STATUS_OK itself. For `rill help errors`.
status_t status_nth(int nth);

#endif
