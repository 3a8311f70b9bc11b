/*  endpoint - HOST:PORT as people write it, and as sockets want it
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <stdbool.h>

#include "status.h"

#define ENDPOINT_BYTES 280  //  "tcp://" + a host of 255 + ":65535" + 0

//  "HOST:PORT" or "[v6]:PORT" or "tcp://HOST:PORT" to "tcp://HOST:PORT".
//  STATUS_ADDRESS: no host, no port, or a port outside 0 to 65535. The host is
//  a name, an address or, for binding, "*"; whether it is there is not asked.
status_t endpoint_parse(const char *text, char endpoint_r[ENDPOINT_BYTES]);

//  `endpoint`, as endpoint_parse gave it, with its port replaced by "*" (any
//  free port).
void endpoint_any_port(const char *endpoint, char any_r[ENDPOINT_BYTES]);

//  The host of `host_of` with the port of `port_of`: where others reach a
//  socket that was bound to any port of some interface. STATUS_ADDRESS: one of
//  them is no endpoint, or `port_of` is not resolved.
status_t endpoint_join(const char *host_of, const char *port_of,
                       char endpoint_r[ENDPOINT_BYTES]);

//  Whether it is tcp://ADDRESS:PORT with an address in figures and a port that
//  is not 0, as endpoint_parse gives it: connecting to it asks no name server.
//  For endpoints that a stranger says: libzmq looks names up in the thread
//  that moves everybody's messages.
bool endpoint_numeric(const char *endpoint);

//  `endpoint` with its host looked up, if that is a name. Waits for the answer.
//  STATUS_ADDRESS: nobody has that name.
status_t endpoint_resolve(const char *endpoint, char numeric_r[ENDPOINT_BYTES]);

#endif
