#include "folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "invariant.h"

enum { MOST = 256, TEXTS = 4096 };

static char *folders[MOST], *texts[TEXTS];
static int count, texts_count;
static pid_t owner;

static int
remove_one(const char *path, const struct stat *about, int kind,
           struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

static void
remove_all(void)
{
    //  A child that a test forked has none of its own.
    for (int i = 0; i < count && owner == getpid(); i++)
        nftw(folders[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
    while (count > 0)
        free(folders[--count]);
    while (texts_count > 0)
        free(texts[--texts_count]);
}

const char *
folder_new(void)
{
    if (!owner) {
        owner = getpid();
        atexit(remove_all);
    }
    INVARIANT(count < MOST);
    const char *under = getenv("TMPDIR");
    char *path = NULL;
    INVARIANT(asprintf(&path, "%s/rill-XXXXXX", under ? under : "/tmp") > 0);
    INVARIANT(mkdtemp(path));
    return folders[count++] = path;
}

const char *
folder_path(const char *folder, const char *name)
{
    INVARIANT(texts_count < TEXTS);
    char *path = NULL;
    INVARIANT(asprintf(&path, "%s/%s", folder, name) > 0);
    return texts[texts_count++] = path;
}
