#include "proof.h"

#include <setjmp.h>
#include <stdio.h>

static jmp_buf back;
static int passed, failed;

void
proof_case(void (*function)(void), const char *says)
{
    if (setjmp(back) == 0) {
        function();
        passed++;
        printf("ok %s\n", says);
    } else {
        failed++;
        printf("not ok %s\n", says);
    }
    fflush(stdout);
}

void
proof_fail(const char *file, int line, const char *what)
{
    printf("# %s:%d: not so: %s\n", file, line, what);
    longjmp(back, 1);
}

int
proof_end(void)
{
    return failed > 0 || passed == 0;
}
