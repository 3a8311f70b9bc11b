#include "units.h"

#include <string.h>

#include "proof.h"

static uint64_t
bytes(const char *text)
{
    char why[128];
    uint64_t value = 0;
    CHECK(units_parse_bytes(text, &value, why, sizeof(why)) == STATUS_OK);
    return value;
}

static uint64_t
ms(const char *text)
{
    char why[128];
    uint64_t value = 0;
    CHECK(units_parse_ms(text, &value, why, sizeof(why)) == STATUS_OK);
    return value;
}

static bool
no_bytes(const char *text, const char *says)
{
    char why[128] = "";
    uint64_t value = 7;
    return units_parse_bytes(text, &value, why, sizeof(why)) ==
               STATUS_SETTING &&
           strstr(why, says) && value == 7;
}

static bool
no_ms(const char *text, const char *says)
{
    char why[128] = "";
    uint64_t value = 7;
    return units_parse_ms(text, &value, why, sizeof(why)) == STATUS_SETTING &&
           strstr(why, says) && value == 7;
}

static void
sizes_are_read(void)
{
    CHECK(bytes("0") == 0 && bytes("188") == 188 && bytes("188B") == 188);
    CHECK(bytes("256KiB") == 262144 && bytes("1MiB") == 1048576);
    CHECK(bytes("10GB") == UINT64_C(10000000000) && bytes("5MB") == 5000000);
    CHECK(bytes("1.5GiB") == UINT64_C(1610612736) && bytes("2 kB") == 2000);
    CHECK(bytes("1TiB") == UINT64_C(1) << 40 && bytes("1.0B") == 1);
    CHECK(bytes("9223372036854775807") == INT64_MAX);
}

static void
durations_are_read(void)
{
    CHECK(ms("200ms") == 200 && ms("2s") == 2000 && ms("0.5s") == 500);
    CHECK(ms("30min") == 1800000 && ms("2h") == 7200000);
    CHECK(ms("72h") == 259200000 && ms("1 d") == 86400000 && ms("0") == 0);
}

static void
what_is_none_is_told(void)
{
    CHECK(no_bytes("", "number") && no_bytes("MB", "number"));
    CHECK(no_bytes("-1", "number") && no_bytes(".5MB", "number"));
    CHECK(no_bytes("1.", "number") && no_bytes("1.5", "whole number of bytes"));
    CHECK(no_bytes("10Mb", "has the unit \"Mb\"; say B, kB, MB, GB, TB, KiB, "
                           "MiB, GiB or TiB"));
    CHECK(no_bytes("1\xcb\xbf\n", "has the unit \"???\""));
    CHECK(no_bytes("1 ", "unit") && no_bytes("1  MB", "unit"));
    CHECK(no_bytes("1MB ", "unit") && no_bytes("10s", "unit"));
    CHECK(no_bytes("9223372036854775808", "too large"));
    CHECK(no_bytes("99999999999999999999999", "too large"));
    CHECK(no_bytes("9000000TiB", "too large"));
    CHECK(no_bytes("0.00000000001TB", "too exact"));
    CHECK(no_ms("200", "has no unit; say ms, s, min, h or d"));
    CHECK(no_ms("1.0005s", "whole number of milliseconds"));
    CHECK(no_ms("2m", "unit \"m\"") && no_ms("1GB", "unit \"GB\""));
    CHECK(no_ms("1h30min", "unit \"h30min\""));
}

static void
what_is_written_reads_well(void)
{
    char text[UNITS_TEXT_BYTES];
    CHECK(strcmp(units_bytes(0, text), "0 B") == 0);
    CHECK(strcmp(units_bytes(188, text), "188 B") == 0);
    CHECK(strcmp(units_bytes(1023, text), "1023 B") == 0);
    CHECK(strcmp(units_bytes(1024, text), "1 KiB") == 0);
    CHECK(strcmp(units_bytes(262144, text), "256 KiB") == 0);
    CHECK(strcmp(units_bytes(1048575, text), "1 MiB") == 0);
    CHECK(strcmp(units_bytes(1567890123, text), "1.46 GiB") == 0);
    CHECK(strcmp(units_bytes(UINT64_C(10000000000), text), "9.31 GiB") == 0);
    CHECK(strcmp(units_bytes(UINT64_MAX, text), "16777216 TiB") == 0);
    CHECK(strcmp(units_ms(0, text), "0 ms") == 0);
    CHECK(strcmp(units_ms(200, text), "200 ms") == 0);
    CHECK(strcmp(units_ms(1500, text), "1.5 s") == 0);
    CHECK(strcmp(units_ms(59999, text), "1 min") == 0);
    CHECK(strcmp(units_ms(125000, text), "2 min 5 s") == 0);
    CHECK(strcmp(units_ms(3599999, text), "1 h") == 0);
    CHECK(strcmp(units_ms(5400000, text), "1 h 30 min") == 0);
    CHECK(strcmp(units_ms(259200000, text), "72 h") == 0);
    CHECK(strlen(units_ms(UINT64_MAX, text)) > 10);
}

int
main(void)
{
    CASE(sizes_are_read, "sizes are read, in powers of 1000 and of 1024");
    CASE(durations_are_read, "durations are read");
    CASE(what_is_none_is_told, "what is no size or duration is told with why");
    CASE(what_is_written_reads_well, "what is written has three digits");
    return proof_end();
}
