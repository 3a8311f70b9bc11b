#include "status.h"

#include <stddef.h>

typedef struct {
    status_t status;
    const char *name;
    retry_t retry;
    const char *text;
} entry_t;

static const entry_t LIST[] = {
    { STATUS_OK, "ok", RETRY_NEVER, "It is done." },
    { STATUS_MALFORMED, "malformed", RETRY_NEVER,
      "The message could not be read; check the client against WIRE.md." },
    { STATUS_VERSION, "version", RETRY_NEVER,
      "Another version of rill wrote this; use matching versions." },
    { STATUS_KIND, "kind", RETRY_NEVER,
      "This socket does not answer that kind of message; see WIRE.md." },
    { STATUS_TOO_LARGE, "too_large", RETRY_NEVER,
      "It is over a limit; send less at a time." },
    { STATUS_ARGUMENT, "argument", RETRY_NEVER,
      "A field is outside what it may be; see the .proto for its bounds." },
    { STATUS_NAME, "name", RETRY_NEVER,
      "A stream's name is 1 to 128 of A-Z a-z 0-9 . _ - and begins with a "
      "letter or digit." },
    { STATUS_PROTECTION, "protection", RETRY_NEVER,
      "The workers that run cannot carry that protection; start more workers "
      "or ask for less." },
    { STATUS_UNKNOWN, "unknown", RETRY_NEVER,
      "There is no stream of that name; `rill ls` lists them." },
    { STATUS_TAKEN, "taken", RETRY_NEVER,
      "Another holds it; choose another name or wait until it is free." },
    { STATUS_SEALED, "sealed", RETRY_NEVER,
      "The stream has ended and cannot grow; choose another name." },
    { STATUS_GONE, "gone", RETRY_NEVER,
      "It is older than the retention or was removed." },
    { STATUS_FUTURE, "future", RETRY_LATER,
      "It is not written yet; ask again or wait for it." },
    { STATUS_RANGE, "range", RETRY_NEVER,
      "The range lies outside the stream; `rill stat` tells its size." },
    { STATUS_MISS, "miss", RETRY_ELSEWHERE,
      "It is not held here; ask another node." },
    { STATUS_SESSION, "session", RETRY_REOPEN,
      "The session is over; open a new one." },
    { STATUS_OFFSET, "offset", RETRY_REOPEN,
      "The bytes came out of order; open again and go on from the offset "
      "told." },
    { STATUS_FENCED, "fenced", RETRY_NEVER,
      "A newer forwarder has taken over; this one must stop." },
    { STATUS_CLUSTER, "cluster", RETRY_NEVER,
      "It belongs to another cluster; check the data directory and the "
      "cluster file." },
    { STATUS_BUSY, "busy", RETRY_LATER,
      "A limit is reached for the moment; try again." },
    { STATUS_FULL, "full", RETRY_LATER,
      "No space is left; free some or add a worker." },
    { STATUS_HELD, "held", RETRY_LATER,
      "Too few workers are running; it goes on by itself when they are "
      "back." },
    { STATUS_LATE, "late", RETRY_LATER, "No answer came in time." },
    { STATUS_STOPPING, "stopping", RETRY_ELSEWHERE,
      "The node is going down; ask another or wait until it is back." },
    { STATUS_UNREACHABLE, "unreachable", RETRY_LATER,
      "Nobody answers at that address; is the node up?" },
    { STATUS_ADDRESS, "address", RETRY_NEVER,
      "The address cannot be used; is it free, local and HOST:PORT?" },
    { STATUS_IO, "io", RETRY_LATER,
      "The disk or file refused; the system's message says why." },
    { STATUS_CORRUPT, "corrupt", RETRY_ELSEWHERE,
      "The bytes are not those that were written; they are not served." },
    { STATUS_ABSENT, "absent", RETRY_NEVER,
      "There is no such file or directory." },
    { STATUS_SETTING, "setting", RETRY_NEVER,
      "A setting cannot be used; the message says which and where." },
    { STATUS_LIMIT, "limit", RETRY_NEVER,
      "The system gives this process too little; raise the limit named." },
};

enum { COUNT = sizeof LIST / sizeof LIST[0] };

static const entry_t *
find(int number)
{
    for (int i = 0; i < COUNT; i++)
        if ((int)LIST[i].status == number)
            return &LIST[i];
    return NULL;
}

const char *
status_name(status_t status)
{
    const entry_t *entry = find((int)status);
    return entry ? entry->name : "unlisted";
}

const char *
status_text(status_t status)
{
    const entry_t *entry = find((int)status);
    return entry ? entry->text : "A status that this version does not know.";
}

retry_t
status_retry(status_t status)
{
    const entry_t *entry = find((int)status);
    return entry ? entry->retry : RETRY_NEVER;
}

bool
status_listed(int number)
{
    return find(number) != NULL;
}

status_t
status_nth(int nth)
{
    return nth >= 0 && nth < COUNT ? LIST[nth].status : STATUS_OK;
}
