#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "proof.h"

static int log_file = -1;

//  From here on stderr is a file of our own.
static void
catch_stderr(log_format_t format, log_level_t level)
{
    if (log_file == -1)
        log_file = open(folder_path(folder_new(), "log"),
                        O_RDWR | O_CREAT | O_APPEND, 0600);
    CHECK(log_file != -1 && ftruncate(log_file, 0) == 0);
    CHECK(dup2(log_file, STDERR_FILENO) == STDERR_FILENO);
    log_begin("worker", "w1", format, level);
}

static const char *
caught(void)
{
    static char text[1 << 20];
    ssize_t size = pread(log_file, text, sizeof(text) - 1, 0);
    CHECK(size >= 0);
    text[size] = 0;
    return text;
}

//  What stands behind the time of the one line that was written.
static const char *
line(void)
{
    const char *text = caught();
    CHECK(strlen(text) > 26 && strchr(text, '\n') == strrchr(text, '\n'));
    CHECK(text[4] == '-' && text[10] == 'T' && text[23] == 'Z');
    return text + 25;
}

static void
an_event_is_a_line_of_pairs(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_NOTICE);
    log_event(LOG_AT_NOTICE, "ready", "role=%s at=%s:%d", "worker", "host",
              5711);
    CHECK(strcmp(line(), "notice w1 ready role=worker at=host:5711\n") == 0);
    catch_stderr(LOG_TEXT, LOG_AT_NOTICE);
    log_event(LOG_AT_ERROR, "stopped", "%s after=%d", "a word", 3);
    CHECK(strcmp(line(), "error w1 stopped text=\"a word\" after=3\n") == 0);
}

static void
values_are_printed_as_printf_does(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_NOTICE);
    log_event(LOG_AT_NOTICE, "all",
              "a=%-3d| b=%05u c=%ld d=%llx e=%zu f=%.2f g=%s h=%% i=%c j=%.*s "
              "k=%" PRIu64 " l=%hhu m=%*d n=%" PRId64,
              -1, 42u, -3L, 255ULL, (size_t)7, 1.5, "x", '!', 2, "abc",
              UINT64_MAX, (unsigned char)200, 4, 9, INT64_MIN);
    CHECK(strcmp(line(), "notice w1 all a=\"-1 |\" b=00042 c=-3 d=ff e=7 "
                         "f=1.50 g=x h=% i=! j=ab k=18446744073709551615 "
                         "l=200 m=\"   9\" n=-9223372036854775808\n") == 0);
}

static void
no_value_forges_a_line_or_a_pair(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_NOTICE);
    log_event(LOG_AT_NOTICE, "refused", "peer=%s why=%s empty=%s",
              "a\nb c=\"d\"\x1b[2J\xff", "no such stream", "");
    CHECK(strcmp(line(),
                 "notice w1 refused peer=\"a\\nb c=\\\"d\\\"\\u001b[2J"
                 "\xef\xbf\xbd\" why=\"no such stream\" empty=\"\"\n") == 0);
}

static void
json_has_numbers_where_the_format_has_one(void)
{
    catch_stderr(LOG_JSON, LOG_AT_NOTICE);
    log_event(LOG_AT_NOTICE, "kept",
              "n=%d name=%s at=%s:%d x=%" PRIx64 " r=%.3f", -5, "17", "h", 1,
              UINT64_C(255), 2.5);
    const char *text = caught();
    CHECK(strncmp(text, "{\"time\":\"", 9) == 0);
    CHECK(strcmp(strstr(text, ",\"level\""),
                 ",\"level\":\"notice\",\"role\":\"worker\",\"node\":\"w1\","
                 "\"event\":\"kept\",\"n\":-5,\"name\":\"17\",\"at\":\"h:1\","
                 "\"x\":\"ff\",\"r\":2.5}\n") == 0);
}

static void
a_line_is_never_longer_than_a_pipe_takes_whole(void)
{
    static char large[100000];
    memset(large, '\x01', sizeof(large) - 1);
    for (log_format_t format = LOG_TEXT; format <= LOG_JSON; format++) {
        catch_stderr(format, LOG_AT_NOTICE);
        log_event(LOG_AT_NOTICE, "large", "a=%s b=%s c=%d", large, large, 3);
        const char *text = caught();
        size_t size = strlen(text);
        CHECK(size <= LOG_LINE_BYTES && size > LOG_LINE_BYTES / 2);
        CHECK(strchr(text, '\n') == text + size - 1);
        CHECK(strcmp(strrchr(text, format == LOG_JSON ? ',' : ' ') + 1,
                     format == LOG_JSON ? "\"cut\":true}\n" : "cut=true\n") ==
              0);
    }
}

static void
levels_above_the_one_set_are_silent(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_ERROR);
    log_event(LOG_AT_NOTICE, "ready", "n=%d", 1);
    log_told(LOG_AT_DETAIL, "kept n=1");
    CHECK(!*caught() && log_hears(LOG_AT_ERROR) && !log_hears(LOG_AT_NOTICE));
}

static void
what_a_core_says_is_told_as_pairs(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_DETAIL);
    log_told(LOG_AT_DETAIL, "left worker=w1 why=\"no \\\"word\\\"\" it = gone");
    CHECK(strcmp(line(), "detail w1 left worker=w1 why=\"no \\\"word\\\"\" "
                         "text=\"it = gone\"\n") == 0);
    catch_stderr(LOG_TEXT, LOG_AT_DETAIL);
    log_told(LOG_AT_DETAIL, "");
    CHECK(strcmp(line(), "detail w1 told\n") == 0);
    catch_stderr(LOG_TEXT, LOG_AT_DETAIL);
    log_told(LOG_AT_DETAIL, "a b=\"open  c=1");
    CHECK(strcmp(line(), "detail w1 a b=\"open  c=1\"\n") == 0);
}

static void *
talk(void *with)
{
    const char *name = with;
    for (int i = 0; i < 200; i++)
        log_event(LOG_AT_NOTICE, "turn", "who=%s i=%d text=%s", name, i,
                  "a text with spaces in it");
    return NULL;
}

static void
lines_of_threads_do_not_mix(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_NOTICE);
    pthread_t threads[4];
    static char NAMES[][2] = { "a", "b", "c", "d" };
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, talk, NAMES[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    int lines = 0;
    const char *text = caught();
    static const char TAIL[] = " text=\"a text with spaces in it\"\n";
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        CHECK(strncmp(text + 25, "notice w1 turn who=", 19) == 0);
        CHECK(strncmp(end + 2 - sizeof(TAIL), TAIL, sizeof(TAIL) - 1) == 0);
        lines++;
    }
    CHECK(lines == 800);
}

static void
logging_changes_nothing(void)
{
    catch_stderr(LOG_TEXT, LOG_AT_NOTICE);
    int full = open("/dev/full", O_WRONLY);
    CHECK(full != -1 && dup2(full, STDERR_FILENO) == STDERR_FILENO);
    close(full);
    errno = EXDEV;
    log_event(LOG_AT_ERROR, "lost", "n=%d", 1);
    CHECK(errno == EXDEV);
    close(STDERR_FILENO);
    log_event(LOG_AT_ERROR, "lost", "n=%d", 1);
    CHECK(errno == EXDEV);
}

int
main(void)
{
    CASE(an_event_is_a_line_of_pairs, "log 1: an event is a line of pairs");
    CASE(values_are_printed_as_printf_does,
         "values are printed as printf prints them");
    CASE(no_value_forges_a_line_or_a_pair,
         "log 1: no value forges a line or a pair");
    CASE(json_has_numbers_where_the_format_has_one,
         "JSON has numbers where the format has one");
    CASE(a_line_is_never_longer_than_a_pipe_takes_whole,
         "log 1: a line is never longer than a pipe takes whole");
    CASE(levels_above_the_one_set_are_silent,
         "levels above the one set are silent");
    CASE(what_a_core_says_is_told_as_pairs,
         "log 1: what a core says is told as pairs");
    CASE(lines_of_threads_do_not_mix, "log 1: lines of threads do not mix");
    CASE(logging_changes_nothing,
         "log 2: errno stays, and a full or closed stderr is no error");
    return proof_end();
}
