#include "settings_path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "invariant.h"

//  Go on from a whole path; returns where it ends now.
static size_t
go(char *whole, size_t end, const char *path)
{
    while (*path) {
        size_t size = strcspn(path, "/");
        bool here = size == 0 || (size == 1 && path[0] == '.');
        bool back = size == 2 && path[0] == '.' && path[1] == '.';
        while (back && end > 0 && whole[--end] != '/')
            ;
        if (!here && !back) {
            whole[end++] = '/';
            memcpy(whole + end, path, size);
            end += size;
        }
        path += size;
        path += *path == '/';
    }
    return end;
}

char *
settings_path(const char *path)
{
    char *from = *path == '/' ? NULL : getcwd(NULL, 0);
    char *whole = malloc((from ? strlen(from) : 0) + strlen(path) + 2);
    INVARIANT(whole);
    size_t end = from ? go(whole, 0, from) : 0;
    whole[go(whole, end, path)] = '\0';
    free(from);
    return whole;
}

bool
settings_path_in(const char *path, const char *outer)
{
    size_t size = strlen(outer);
    return strncmp(path, outer, size) == 0 &&
           (!path[size] || path[size] == '/');
}
