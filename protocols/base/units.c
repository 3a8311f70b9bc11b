#include "units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    uint64_t factor;
} unit_t;

static const unit_t BYTES[] = {
    { "B", 1 },
    { "kB", 1000 },
    { "MB", 1000000 },
    { "GB", 1000000000 },
    { "TB", 1000000000000 },
    { "KiB", UINT64_C(1) << 10 },
    { "MiB", UINT64_C(1) << 20 },
    { "GiB", UINT64_C(1) << 30 },
    { "TiB", UINT64_C(1) << 40 },
    { NULL, 0 },
};

static const unit_t MS[] = {
    { "ms", 1 },      { "s", 1000 },     { "min", 60000 },
    { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 },
};

static const unit_t *
find(const unit_t *units, const char *name)
{
    for (; units->name; units++)
        if (strcmp(units->name, name) == 0)
            return units;
    return NULL;
}

static status_t
refuse_unit(const char *unit, const unit_t *units, char *why_r, size_t why_size)
{
    char shown[20] = "";
    for (size_t i = 0; unit[i] && i < sizeof(shown) - 1; i++)
        shown[i] = unit[i] >= ' ' && unit[i] <= '~' ? unit[i] : '?';
    int used = *unit ? snprintf(why_r, why_size, "has the unit \"%s\"; say ",
                                shown)
                     : snprintf(why_r, why_size, "has no unit; say ");
    for (; units->name && (size_t)used < why_size; units++)
        used += snprintf(why_r + used, why_size - (size_t)used, "%s%s",
                         units->name,
                         !units[1].name   ? ""
                         : !units[2].name ? " or "
                                          : ", ");
    return STATUS_SETTING;
}

static status_t
refuse(const char *why, char *why_r, size_t why_size)
{
    snprintf(why_r, why_size, "%s", why);
    return STATUS_SETTING;
}

//  A decimal number as digits over a power of ten; `text_p` moves behind it.
typedef struct {
    uint64_t digits, over;
} decimal_t;

static status_t
parse_decimal(const char **text_p, decimal_t *decimal_r, char *why_r,
              size_t why_size)
{
    decimal_t decimal = { 0, 1 };
    const char *at = *text_p;
    bool point = false;
    for (; (*at >= '0' && *at <= '9') || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        if (decimal.digits > INT64_MAX / 10 ||
            (point && decimal.over >= 1000000000))
            return refuse("is too large or too exact", why_r, why_size);
        decimal.digits = 10 * decimal.digits + (uint64_t)(*at - '0');
        decimal.over *= point ? 10 : 1;
    }
    if (at == *text_p || at[-1] == '.' || **text_p == '.')
        return refuse("does not begin with a number", why_r, why_size);
    *text_p = at;
    *decimal_r = decimal;
    return STATUS_OK;
}

static status_t
parse(const char *text, const unit_t *units, const char *bare,
      uint64_t *value_r, char *why_r, size_t why_size)
{
    decimal_t decimal;
    status_t status = parse_decimal(&text, &decimal, why_r, why_size);
    if (status != STATUS_OK)
        return status;
    if (*text == ' ' && text[1])
        text++;
    const unit_t *unit = find(units, *text || !bare ? text : bare);
    if (!unit && (*text || decimal.digits != 0))
        return refuse_unit(text, units, why_r, why_size);
    unsigned __int128 value = (unsigned __int128)decimal.digits *
                              (unit ? unit->factor : 1);
    if (value / decimal.over > INT64_MAX)
        return refuse("is too large", why_r, why_size);
    if (value % decimal.over != 0)
        return refuse(units == MS ? "is no whole number of milliseconds"
                                  : "is no whole number of bytes",
                      why_r, why_size);
    *value_r = (uint64_t)(value / decimal.over);
    return STATUS_OK;
}

status_t
units_parse_bytes(const char *text, uint64_t *bytes_r, char *why_r,
                  size_t why_size)
{
    return parse(text, BYTES, "B", bytes_r, why_r, why_size);
}

status_t
units_parse_ms(const char *text, uint64_t *ms_r, char *why_r, size_t why_size)
{
    return parse(text, MS, NULL, ms_r, why_r, why_size);
}

//  A number with three digits, or as many as it has before the point, and no
//  zeros behind it that say nothing.
static char *
three_digits(double number, const char *unit, char text_r[UNITS_TEXT_BYTES])
{
    int behind = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
    char digits[UNITS_TEXT_BYTES - 8];
    snprintf(digits, sizeof(digits), "%.*f", behind, number);
    size_t size = strlen(digits);
    while (behind && digits[size - 1] == '0')
        digits[--size] = 0;
    if (behind && digits[size - 1] == '.')
        digits[--size] = 0;
    snprintf(text_r, UNITS_TEXT_BYTES, "%s %s", digits, unit);
    return text_r;
}

char *
units_bytes(uint64_t bytes, char text_r[UNITS_TEXT_BYTES])
{
    static const char *const NAMES[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double number = (double)bytes;
    int unit = 0;
    //  1023.6 of a unit would be written as 1024 of it.
    while (unit < 4 && number >= (unit ? 1023.5 : 1024)) {
        number /= 1024;
        unit++;
    }
    return three_digits(number, NAMES[unit], text_r);
}

char *
units_ms(uint64_t ms, char text_r[UNITS_TEXT_BYTES])
{
    uint64_t seconds = ms / 1000 + (ms % 1000 >= 500);
    uint64_t minutes = seconds / 60 + (seconds % 60 >= 30);
    if (ms < 1000)
        snprintf(text_r, UNITS_TEXT_BYTES, "%" PRIu64 " ms", ms);
    else if (seconds < 60)
        return three_digits((double)ms / 1000, "s", text_r);
    else if (seconds < 3600 && seconds % 60)
        snprintf(text_r, UNITS_TEXT_BYTES, "%" PRIu64 " min %" PRIu64 " s",
                 seconds / 60, seconds % 60);
    else if (seconds < 3600)
        snprintf(text_r, UNITS_TEXT_BYTES, "%" PRIu64 " min", seconds / 60);
    else if (minutes % 60)
        snprintf(text_r, UNITS_TEXT_BYTES, "%" PRIu64 " h %" PRIu64 " min",
                 minutes / 60, minutes % 60);
    else
        snprintf(text_r, UNITS_TEXT_BYTES, "%" PRIu64 " h", minutes / 60);
    return text_r;
}
