#include "claim.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "proof.h"

static char why[512];

static status_t
take(const char *path, claim_t **claim_r)
{
    why[0] = 0;
    return claim_take(path, claim_r, why, sizeof(why));
}

static void
a_directory_is_made_with_its_parents(void)
{
    const char *path = folder_path(folder_new(), "one/two//three");
    claim_t *claim = NULL;
    struct stat made, open_one;
    CHECK(take(path, &claim) == STATUS_OK);
    CHECK(stat(path, &made) == 0 && S_ISDIR(made.st_mode));
    CHECK(fstat(claim_directory(claim), &open_one) == 0);
    CHECK(made.st_ino == open_one.st_ino);
    claim_release(&claim);
    CHECK(!claim);
    claim_release(&claim);
    CHECK(take(path, &claim) == STATUS_OK);
    claim_release(&claim);
}

static void
a_second_claim_is_refused_with_the_holder(void)
{
    const char *path = folder_new();
    claim_t *first = NULL, *second = NULL;
    char says[256];
    snprintf(says, sizeof(says),
             "%s is held by process %ld (claim_test); stop it or choose "
             "another directory",
             path, (long)getpid());
    CHECK(take(path, &first) == STATUS_OK);
    CHECK(take(path, &second) == STATUS_TAKEN && !second);
    CHECK(strcmp(why, says) == 0);
    claim_release(&first);
    CHECK(take(path, &second) == STATUS_OK);
    claim_release(&second);
}

static void
a_killed_holder_leaves_nothing(void)
{
    const char *path = folder_new();
    int ready[2];
    char byte;
    claim_t *claim = NULL;
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (take(path, &claim) == STATUS_OK)
            byte = (char)write(ready[1], "!", 1);
        pause();
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(take(path, &claim) == STATUS_TAKEN);
    char holder[64];
    snprintf(holder, sizeof(holder), "process %ld ", (long)child);
    CHECK(strstr(why, holder));
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(take(path, &claim) == STATUS_OK);
    claim_release(&claim);
    close(ready[0]);
    close(ready[1]);
}

static void
a_holder_that_has_not_signed_yet_is_told_as_such(void)
{
    const char *path = folder_new();
    claim_t *first = NULL, *second = NULL;
    CHECK(take(path, &first) == STATUS_OK);
    CHECK(truncate(folder_path(path, CLAIM_FILE), 0) == 0);
    CHECK(take(path, &second) == STATUS_TAKEN);
    CHECK(strstr(why, "another process that is just starting"));
    claim_release(&first);
}

static void
what_cannot_be_made_says_why(void)
{
    const char *file = folder_path(folder_new(), "file");
    claim_t *claim = NULL;
    fclose(fopen(file, "w"));
    CHECK(take(file, &claim) == STATUS_IO && strstr(why, "Not a directory"));
    CHECK(take(folder_path(file, "below"), &claim) == STATUS_IO);
    CHECK(take("/proc/none", &claim) == STATUS_IO);
    CHECK(take("", &claim) == STATUS_IO && why[0] && !claim);
}

int
main(void)
{
    CASE(a_directory_is_made_with_its_parents,
         "a directory is made with its parents");
    CASE(a_second_claim_is_refused_with_the_holder,
         "claim 1 and 2: a second claim is refused and told who holds it");
    CASE(a_killed_holder_leaves_nothing,
         "claim 1: a killed holder leaves nothing behind");
    CASE(a_holder_that_has_not_signed_yet_is_told_as_such,
         "claim 2: a holder that has not signed yet is told as such");
    CASE(what_cannot_be_made_says_why, "what cannot be made says why");
    return proof_end();
}
