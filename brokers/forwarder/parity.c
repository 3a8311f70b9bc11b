#include "parity.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>

#include "invariant.h"

enum {
    TABLE_BYTES = 32,  //  ISA-L's form of one coefficient
    MATRIX_BYTES = LIMIT_SLOTS * LIMIT_SLOTS,
};

//  Sums over GF(2^8), one a row, fed by one summand after the other. What is
//  behind `filled` holds nothing yet: the first summand that reaches there is
//  written, not added, so that nobody needs to clear the memory before.
typedef struct {
    unsigned rows;
    size_t filled;
    size_t most;
    buffer_t *sums[LIMIT_SLOTS];
    uint8_t *at[LIMIT_SLOTS];  //  Their bytes
} sums_t;

struct parity {
    code_t code;
    uint32_t added;  //  Bit per data slot
    sums_t sums;
    uint8_t tables[];  //  By data slot, then row
};

//  ISA-L only reads its sources and tables but does not say so in its types.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"

static void
make_tables(const uint8_t *column, unsigned rows, uint8_t *tables_r)
{
    ec_init_tables(1, (int)rows, (uint8_t *)column, tables_r);
}

static void
write_product(uint8_t **to, unsigned rows, const uint8_t *tables,
              const uint8_t *bytes, size_t size)
{
    uint8_t *source = (uint8_t *)bytes;
    ec_encode_data((int)size, 1, (int)rows, (uint8_t *)tables, &source, to);
}

static void
add_product(uint8_t **to, unsigned rows, const uint8_t *tables,
            const uint8_t *bytes, size_t size)
{
    ec_encode_data_update((int)size, 1, (int)rows, 0, (uint8_t *)tables,
                          (uint8_t *)bytes, to);
}

#pragma GCC diagnostic pop

static void
open_sums(sums_t *self, unsigned rows, size_t most)
{
    *self = (sums_t){ .rows = rows, .most = most };
    for (unsigned row = 0; row < rows; row++) {
        self->sums[row] = buffer_new(most);
        self->at[row] = buffer_fill(self->sums[row]);
    }
}

//  Add `bytes` times each row's coefficient at `from`. A content is added from
//  its front to its back, so nothing begins behind what is filled.
static void
add(sums_t *self, const uint8_t *tables, size_t from, const uint8_t *bytes,
    size_t size)
{
    if (!self->rows)
        return;
    INVARIANT(from <= self->filled && size <= self->most - from);
    size_t old = self->filled - from < size ? self->filled - from : size;
    uint8_t *to[LIMIT_SLOTS];
    for (unsigned row = 0; row < self->rows; row++)
        to[row] = self->at[row] + from;
    if (old)
        add_product(to, self->rows, tables, bytes, old);
    if (old == size)
        return;
    for (unsigned row = 0; row < self->rows; row++)
        to[row] += old;
    write_product(to, self->rows, tables, bytes + old, size - old);
    self->filled = from + size;
}

static unsigned
slots(code_t code)
{
    return (unsigned)code.k + code.m;
}

//  Coefficients of data slot `slot` in every parity slot.
static void
parity_column(code_t code, const uint8_t *matrix, unsigned slot,
              uint8_t *column_r)
{
    for (unsigned nth = 0; nth < code.m; nth++)
        column_r[nth] = matrix[(code.k + nth) * code.k + slot];
}

parity_t *
parity_new(code_t code, size_t most)
{
    INVARIANT(code.k && slots(code) <= LIMIT_SLOTS);
    INVARIANT(most >= CHUNK_HEADER_BYTES && most <= INT32_MAX);
    size_t slot_bytes = (size_t)code.m * TABLE_BYTES;
    parity_t *self = malloc(sizeof(*self) + code.k * slot_bytes);
    INVARIANT(self);
    self->code = code;
    self->added = 0;
    open_sums(&self->sums, code.m, most);
    if (!code.m)
        return self;

    uint8_t matrix[MATRIX_BYTES];
    gf_gen_cauchy1_matrix(matrix, (int)slots(code), code.k);
    for (unsigned slot = 0; slot < code.k; slot++) {
        uint8_t column[LIMIT_SLOTS];
        parity_column(code, matrix, slot, column);
        make_tables(column, code.m, self->tables + slot * slot_bytes);
    }
    return self;
}

void
parity_destroy(parity_t **self_p)
{
    parity_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (unsigned row = 0; row < self->sums.rows; row++)
        buffer_unref(&self->sums.sums[row]);
    free(self);
}

void
parity_add(parity_t *self, unsigned slot,
           const uint8_t header[CHUNK_HEADER_BYTES], const buffer_t *payload)
{
    INVARIANT(slot < self->code.k && !(self->added >> slot & 1));
    self->added |= 1u << slot;
    const uint8_t *tables = self->tables +
                            (size_t)slot * self->code.m * TABLE_BYTES;
    add(&self->sums, tables, 0, header, CHUNK_HEADER_BYTES);
    add(&self->sums, tables, CHUNK_HEADER_BYTES, buffer_bytes(payload),
        buffer_size(payload));
}

buffer_t *
parity_take(parity_t *self, unsigned nth)
{
    INVARIANT(nth < self->code.m);
    INVARIANT(self->added == (1ull << self->code.k) - 1);
    buffer_t *sum = self->sums.sums[nth];
    if (buffer_size(sum) > self->sums.filled)
        buffer_trim(sum, self->sums.filled);
    return buffer_ref(sum);
}

static size_t
content_size(const parity_part_t *part)
{
    return part->size + (part->header ? CHUNK_HEADER_BYTES : 0);
}

//  The longest content of a block, or 0 when these parts are not of one block:
//  its parity parts are all as long as its longest data part.
static size_t
longest_content(code_t code, const parity_part_t *parts)
{
    size_t data = 0, parity = 0;
    unsigned data_count = 0;
    for (unsigned slot = 0; slot < slots(code); slot++) {
        const parity_part_t *part = &parts[slot];
        size_t size = content_size(part);
        if (!part->bytes)
            continue;
        if (size < CHUNK_HEADER_BYTES || size > INT32_MAX)
            return 0;
        if (slot < code.k) {
            data = size > data ? size : data;
            data_count++;
        } else if (part->header || (parity && parity != size)) {
            return 0;
        } else {
            parity = size;
        }
    }
    if (!parity)
        return data;
    bool short_of_it = data_count == code.k && data < parity;
    return data > parity || short_of_it ? 0 : parity;
}

//  The first k slots that are there, data first: what is there needs the least
//  computing. False when fewer are.
static bool
choose(code_t code, const parity_part_t *parts, unsigned *chosen_r)
{
    unsigned count = 0;
    for (unsigned slot = 0; slot < slots(code) && count < code.k; slot++)
        if (parts[slot].bytes)
            chosen_r[count++] = slot;
    return count == code.k;
}

//  Row of `slot` over the chosen slots' contents: data = inverse x chosen, and
//  parity = its own row x data.
static void
wanted_row(code_t code, const uint8_t *matrix, const uint8_t *inverse,
           unsigned slot, uint8_t *row_r)
{
    for (unsigned j = 0; j < code.k; j++) {
        row_r[j] = 0;
        for (unsigned i = 0; i < code.k; i++)
            row_r[j] ^= gf_mul(matrix[slot * code.k + i],
                               inverse[i * code.k + j]);
    }
}

//  rows_r: a row of k coefficients for each wanted slot, in order of slots.
static unsigned
wanted_rows(code_t code, const unsigned *chosen, uint32_t wanted,
            uint8_t *rows_r)
{
    uint8_t matrix[MATRIX_BYTES], kept[MATRIX_BYTES], inverse[MATRIX_BYTES];
    gf_gen_cauchy1_matrix(matrix, (int)slots(code), code.k);
    for (unsigned j = 0; j < code.k; j++)
        for (unsigned i = 0; i < code.k; i++)
            kept[j * code.k + i] = matrix[chosen[j] * code.k + i];
    int singular = gf_invert_matrix(kept, inverse, code.k);
    INVARIANT(!singular);

    unsigned count = 0;
    for (unsigned slot = 0; slot < slots(code); slot++)
        if (wanted >> slot & 1)
            wanted_row(code, matrix, inverse, slot, rows_r + count++ * code.k);
    return count;
}

static void
add_part(sums_t *sums, const uint8_t *tables, const parity_part_t *part)
{
    size_t from = part->header ? CHUNK_HEADER_BYTES : 0;
    if (part->header)
        add(sums, tables, 0, part->header, CHUNK_HEADER_BYTES);
    add(sums, tables, from, part->bytes, part->size);
}

status_t
parity_decode(code_t code, const parity_part_t *parts, uint32_t wanted,
              buffer_t **content_r)
{
    INVARIANT(code.k && slots(code) <= LIMIT_SLOTS);
    INVARIANT(!((uint64_t)wanted >> slots(code)));
    unsigned chosen[LIMIT_SLOTS];
    if (!choose(code, parts, chosen))
        return STATUS_MISS;
    size_t longest = longest_content(code, parts);
    if (!longest)
        return STATUS_ARGUMENT;
    if (!wanted)
        return STATUS_OK;

    uint8_t rows[MATRIX_BYTES];
    sums_t sums;
    open_sums(&sums, wanted_rows(code, chosen, wanted, rows), longest);
    for (unsigned j = 0; j < code.k; j++) {
        uint8_t column[LIMIT_SLOTS], tables[LIMIT_SLOTS * TABLE_BYTES];
        for (unsigned row = 0; row < sums.rows; row++)
            column[row] = rows[row * code.k + j];
        make_tables(column, sums.rows, tables);
        add_part(&sums, tables, &parts[chosen[j]]);
    }
    INVARIANT(sums.filled == longest);

    unsigned row = 0;
    for (unsigned slot = 0; slot < slots(code); slot++)
        if (wanted >> slot & 1)
            content_r[slot] = sums.sums[row++];
    return STATUS_OK;
}
