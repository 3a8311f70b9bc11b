#include "buffer.h"

#include <string.h>

#include "proof.h"

static int given_back;

static void
give_back(void *hint)
{
    (void)hint;
    given_back++;
}

static void
lent_memory_goes_back_once_with_its_last_holder(void)
{
    static const char lent[] = "lent";
    given_back = 0;
    buffer_t *first = buffer_wrap(lent, 4, give_back, NULL);
    buffer_t *second = buffer_ref(first);
    buffer_t *part = buffer_slice(first, 1, 2);
    buffer_unref(&first);
    buffer_unref(&second);
    CHECK(!first && !second && given_back == 0);
    CHECK(buffer_size(part) == 2);
    CHECK(memcmp(buffer_bytes(part), "en", 2) == 0);
    buffer_unref(&part);
    CHECK(given_back == 1);
}

static void
an_empty_buffer_has_bytes_that_may_be_read(void)
{
    buffer_t *none = buffer_new(0);
    CHECK(buffer_size(none) == 0 && buffer_bytes(none));
    buffer_unref(&none);
}

int
main(void)
{
    CASE(lent_memory_goes_back_once_with_its_last_holder,
         "buffer 2: lent memory goes back once, with its last holder");
    CASE(an_empty_buffer_has_bytes_that_may_be_read,
         "an empty buffer has bytes that may be read");
    return proof_end();
}
