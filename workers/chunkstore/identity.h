/*  identity - who this store is, in a small file replaced whole
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "chunkstore.h"
#include "files.h"

//  Read it from the data directory `path`. STATUS_ABSENT: there is none yet;
//  STATUS_VERSION; STATUS_CORRUPT; STATUS_IO.
status_t identity_read(const files_t *files, const char *path,
                       chunkstore_identity_t *identity_r);

//  Replace it; durable when STATUS_OK is returned. STATUS_FULL, STATUS_IO:
//  either the old or the new one is there.
status_t identity_write(const files_t *files, const char *path,
                        const chunkstore_identity_t *identity);

#endif
