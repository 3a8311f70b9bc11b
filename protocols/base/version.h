/*  version - which rill this is
 */
#ifndef VERSION_H
#define VERSION_H

#define RILL_VERSION "0.1.0"

#endif
