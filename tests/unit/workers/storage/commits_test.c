#include "commits.h"

#include "proof.h"

static chunk_key_t
key(uint64_t block)
{
    return (chunk_key_t){ .stream = 7, .epoch = 1, .block = block, .slot = 2 };
}

static void
a_key_waits_once(void)
{
    commits_t *commits = commits_new();
    CHECK(commits_add(commits, key(1), (commit_taken_t){ 7, 70 }));
    CHECK(!commits_add(commits, key(1), (commit_taken_t){ 8, 70 }));
    CHECK(commits_add(commits, key(2), (commit_taken_t){ 9, 70 }));
    CHECK(commits_waiting(commits) == 2);
    commit_taken_t taken;
    CHECK(commits_remove(commits, key(1), &taken) && taken.at == 7 &&
          taken.us == 70);
    CHECK(!commits_remove(commits, key(1), &taken));
    CHECK(!commits_remove(commits, key(3), &taken));
    CHECK(commits_waiting(commits) == 1);
    commits_destroy(&commits);
    CHECK(!commits);
}

static void
words_leave_in_their_order(void)
{
    commits_t *commits = commits_new();
    CHECK(!commits_first(commits) && commits_owed(commits) == 0);
    uint64_t owed = 0, said = 0;
    //  More come than go, then more go than come: the queue grows and wraps.
    for (int turn = 0; turn < 400; turn++) {
        for (int i = 0; i < (turn < 200 ? 9 : 1); i++, owed++)
            commits_owe(commits, key(owed), (status_t)(owed % 2));
        for (int i = 0; i < 5 && said < owed; i++, said++) {
            const commit_t *first = commits_first(commits);
            CHECK(first && first->key.block == said);
            CHECK(first->status == (status_t)(said % 2));
            commits_said(commits, 1);
        }
        CHECK(commits_owed(commits) == owed - said);
    }
    CHECK(owed == said);
    commits_destroy(&commits);
}

int
main(void)
{
    CASE(a_key_waits_once,
         "commits 1: a key waits once, however often it was taken");
    CASE(words_leave_in_their_order,
         "commits 3: words owed leave in the order in which they came");
    return proof_end();
}
