#include "identity.h"

#include <errno.h>
#include <stdio.h>

#include "checksum.h"
#include "little.h"

#define IDENTITY_BYTES 48

static const uint32_t MAGIC = 0x454c4c52;  //  "RLLE"
static const uint32_t VERSION = 1;

static void
pack(const chunkstore_identity_t *identity, uint8_t *to)
{
    little_put(to, MAGIC, 4);
    little_put(to + 4, VERSION, 4);
    little_put(to + 8, identity->store, 8);
    little_put(to + 16, identity->cluster, 8);
    little_put(to + 24, identity->boot, 8);
    little_put(to + 32, identity->term, 8);
    little_put(to + 40, 0, 4);
    little_put(to + 44, checksum_crc32c(to, 44), 4);
}

static status_t
unpack(const uint8_t *from, chunkstore_identity_t *identity_r)
{
    if (little_get(from, 4) != MAGIC ||
        little_get(from + 44, 4) != checksum_crc32c(from, 44))
        return STATUS_CORRUPT;
    if (little_get(from + 4, 4) != VERSION)
        return STATUS_VERSION;
    identity_r->store = little_get(from + 8, 8);
    identity_r->cluster = little_get(from + 16, 8);
    identity_r->boot = little_get(from + 24, 8);
    identity_r->term = little_get(from + 32, 8);
    return STATUS_OK;
}

status_t
identity_read(const files_t *files, const char *path,
              chunkstore_identity_t *identity_r)
{
    char name[4096];
    uint8_t bytes[IDENTITY_BYTES];
    if (snprintf(name, sizeof(name), "%s/identity", path) >= (int)sizeof(name))
        return STATUS_IO;
    int rc = files->read_small(files, name, bytes, sizeof(bytes));
    if (rc < 0)
        return rc == -ENOENT ? STATUS_ABSENT : STATUS_IO;
    return rc == IDENTITY_BYTES ? unpack(bytes, identity_r) : STATUS_CORRUPT;
}

status_t
identity_write(const files_t *files, const char *path,
               const chunkstore_identity_t *identity)
{
    char name[4096];
    uint8_t bytes[IDENTITY_BYTES];
    if (snprintf(name, sizeof(name), "%s/identity", path) >= (int)sizeof(name))
        return STATUS_IO;
    pack(identity, bytes);
    int rc = files->write_small(files, name, bytes, sizeof(bytes));
    if (rc < 0)
        return rc == -ENOSPC || rc == -EDQUOT ? STATUS_FULL : STATUS_IO;
    return STATUS_OK;
}
