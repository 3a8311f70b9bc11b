//  A catalogue with anything in it: it is read whole, or refused. The input is
//  a list of changes to one that a forwarder wrote: five bytes each, which pair
//  of it, where in its value (or key), what to do there, and with what.
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "invariant.h"
#include "kv_memory.h"

enum { STREAMS = 3, MOST = 64, WIDTH = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

//  The pairs as they were written.
static struct {
    uint8_t key[64], value[512];
    size_t key_size, value_size;
} pairs[MOST], changed[MOST];
static size_t count;

static bool
keep_pair(void *arg, kv_bytes_t key, kv_bytes_t value)
{
    (void)arg;
    INVARIANT(count < MOST && key.size <= sizeof pairs->key &&
              value.size <= sizeof pairs->value);
    memcpy(pairs[count].key, key.bytes, key.size);
    memcpy(pairs[count].value, value.bytes, value.size);
    pairs[count].key_size = key.size;
    pairs[count++].value_size = value.size;
    return true;
}

static void
write_one(void)
{
    kv_t *kv = kv_memory_new();
    catalogue_t *catalogue;
    char why[256];
    INVARIANT(catalogue_open(kv, 7, &catalogue, why, sizeof why) == STATUS_OK);
    for (uint64_t id = 1; id <= STREAMS; id++) {
        stream_record_t record = { .id = id, .name = "cam", .kind = KIND_LIVE };
        record.name[0] = (char)('a' + id);
        extent_t *chain[2];
        for (uint64_t i = 0; i < 2; i++) {
            chain[i] = extent_new(WIDTH);
            chain[i]->epoch = 2 * id + i;
            chain[i]->base_index = 10 * i;
            chain[i]->base_offset = 1000 * i;
            chain[i]->code = (code_t){ 2, 1 };
            for (uint64_t n = 0; n < WIDTH; n++)
                chain[i]->stores[n] = 100 + n;
        }
        INVARIANT(catalogue_switch(catalogue, &record, NULL, 0, chain, 2) ==
                  STATUS_OK);
        if (id == STREAMS)
            INVARIANT(catalogue_remove(catalogue, id, chain, 2,
                                       chain[0]->stores, 2) == STATUS_OK);
        extent_free(chain[0]);
        extent_free(chain[1]);
    }
    INVARIANT(catalogue_put_horizon(catalogue, 0, 5, 3) == STATUS_OK);
    catalogue_close(&catalogue);
    kv_bytes_t from = { "", 0 }, to = { NULL, 0 };
    kv->walk(kv, from, to, keep_pair, NULL);
    kv_close(&kv);
}

static void
change(const uint8_t *bytes)
{
    size_t nth = bytes[0] % count, at = bytes[1];
    if (bytes[2] % 4 == 0)
        changed[nth].value_size = at % (sizeof changed->value + 1);
    else if (bytes[2] % 4 == 1 && at < changed[nth].key_size)
        changed[nth].key[at] ^= bytes[3];
    else if (bytes[2] % 4 == 2)
        changed[nth].key_size = at % (sizeof changed->key + 1);
    else
        changed[nth].value[at + bytes[4] % 2 * 256] ^= bytes[3];
}

static void
on_stream(void *arg, const stream_record_t *record, extent_t **chain,
          size_t length)
{
    (void)arg;
    INVARIANT(chunk_name_legal(record->name));
    for (size_t i = 1; i < length; i++)
        INVARIANT(chain[i]->base_index > chain[i - 1]->base_index);
    for (size_t i = 0; i < length; i++) {
        for (unsigned slot = 0; slot < chain[i]->code.k; slot++)
            (void)placement_store(chain[i], 3, slot);
        extent_free(chain[i]);
    }
    free(chain);
}

static void
on_removed(void *arg, uint64_t stream, const uint64_t *stores, size_t length)
{
    (void)arg, (void)stream;
    for (size_t i = 0; i < length; i++)
        (void)*(const volatile uint64_t *)&stores[i];
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (count == 0)
        write_one();
    memcpy(changed, pairs, sizeof changed);
    for (; size >= 5; bytes += 5, size -= 5)
        change(bytes);
    kv_t *kv = kv_memory_new();
    for (size_t i = 0; i < count; i++) {
        kv_change_t one = { { changed[i].key, changed[i].key_size },
                            { changed[i].value, changed[i].value_size } };
        INVARIANT(kv->write(kv, &one, 1, true) == STATUS_OK);
    }
    catalogue_t *catalogue = NULL;
    char why[256] = "";
    if (catalogue_open(kv, 9, &catalogue, why, sizeof why) == STATUS_OK) {
        micros_t clock_us, horizon_us;
        (void)catalogue_load(catalogue, on_stream, on_removed, NULL);
        (void)catalogue_horizon(catalogue, 0, &clock_us, &horizon_us);
    } else {
        INVARIANT(!catalogue && why[0]);
    }
    catalogue_close(&catalogue);
    kv_close(&kv);
    return 0;
}
