#include "status.h"

#include <string.h>

#include "proof.h"

static void
every_status_has_its_own_name_and_a_sentence(void)
{
    int count = 0;
    CHECK(status_nth(0) == STATUS_OK);
    for (int i = 1; status_nth(i) != STATUS_OK; i++, count++) {
        status_t status = status_nth(i);
        const char *text = status_text(status);
        CHECK(status_listed((int)status) && status_nth(i - 1) < status);
        CHECK(strchr(".?", text[strlen(text) - 1]));
        for (int j = 0; j < i; j++)
            CHECK(strcmp(status_name(status), status_name(status_nth(j))) != 0);
    }
    CHECK(count > 20);
}

static void
what_is_not_listed_has_words_too(void)
{
    status_t unlisted = (status_t)99;
    CHECK(!status_listed(99) && !status_listed(-1));
    CHECK(strcmp(status_name(unlisted), "unlisted") == 0);
    CHECK(*status_text(unlisted) && status_retry(unlisted) == RETRY_NEVER);
    CHECK(status_nth(-1) == STATUS_OK);
}

int
main(void)
{
    CASE(every_status_has_its_own_name_and_a_sentence,
         "every status has its own name, a sentence, and stands in order");
    CASE(what_is_not_listed_has_words_too,
         "a number that is not listed has words too");
    return proof_end();
}
