/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values as users type them (text.h). */
#include "text.h"

#include <errno.h>
#include <glib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DISTANCE_TEXT 128 /* longer names are not compared */

int bpc_text_bool(const char *text, bool *ret_value)
{
    static const char *const yes[] = {"on", "yes", "true", "y"};
    static const char *const no[] = {"off", "no", "false", "n"};
    for (size_t i = 0; i < BP_COUNT(yes); i++) {
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *ret_value = !strcmp(text, yes[i]);
            return 0;
        }
    }
    return -EINVAL;
}

/* Digits with an optional base prefix; no sign, no space. */
static int parse_digits(const char *text, uint64_t *ret_value)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    } else if (text[0] == '0' && text[1]) {
        base = 8;
        text++;
    }
    if (!*text)
        return -EINVAL;
    uint64_t value = 0;
    bool overflow = false;
    for (; *text; text++) {
        int digit = g_ascii_xdigit_value(*text);
        if (digit < 0 || (unsigned)digit >= base)
            return -EINVAL;
        overflow |= __builtin_mul_overflow(value, (uint64_t)base, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t)digit, &value);
    }
    if (overflow)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int bpc_text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    uint64_t value;
    int ret = parse_digits(text, &value);
    if (ret < 0) {
        /* "-1" is a number, only not one of ours. */
        if (ret == -EINVAL && text[0] == '-' && parse_digits(text + 1, &value) != -EINVAL)
            return -ERANGE;
        return ret;
    }
    if (value < min || value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int bpc_text_int(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    bool negative = text[0] == '-';
    uint64_t digits;
    int ret = parse_digits(text + negative, &digits);
    if (ret < 0)
        return ret;
    if (digits > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    int64_t value = negative ? (int64_t)(0 - digits) : (int64_t)digits;
    if (value < min || value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int bpc_text_double(const char *text, double *ret_value)
{
    if (!g_ascii_isdigit(text[0]) && !(text[0] == '-' && g_ascii_isdigit(text[1])) &&
        !(text[0] == '.' && g_ascii_isdigit(text[1])))
        return -EINVAL;
    char *end;
    double value = g_ascii_strtod(text, &end);
    if (*end)
        return -EINVAL;
    if (!isfinite(value))
        return -ERANGE;
    *ret_value = value;
    return 0;
}

static int suffix_shift(char suffix)
{
    static const char suffixes[] = "bkmgtpe";
    const char *p = suffix ? strchr(suffixes, g_ascii_tolower(suffix)) : NULL;
    return p ? (int)(p - suffixes) * 10 : -1;
}

/* unit * 0.DIGITS, rounded down; text points behind the point. */
static int parse_fraction(const char *text, size_t digits, uint64_t unit, uint64_t *ret_value)
{
    long double sum = 0, place = 1;
    for (size_t i = 0; i < digits; i++) {
        if (!g_ascii_isdigit(text[i]))
            return -EINVAL;
        place /= 10;
        sum += place * (text[i] - '0');
    }
    *ret_value = (uint64_t)(sum * (long double)unit + 1e-9L);
    return 0;
}

int bpc_text_size(const char *text, uint64_t unit, uint64_t *ret_value)
{
    size_t len = strlen(text);
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (hex && !g_ascii_isxdigit(text[2]))
        return -EINVAL;
    if (!len || len > 64)
        return -EINVAL;
    /* Of hexadecimal digits b and e are digits: no suffix is looked for. */
    int shift = hex ? -1 : suffix_shift(text[len - 1]);
    if (shift >= 0) {
        unit = UINT64_C(1) << shift;
        len--;
    }
    char number[65];
    memcpy(number, text, len);
    number[len] = '\0';
    char *point = hex ? NULL : strchr(number, '.');
    uint64_t fraction = 0;
    if (point) {
        int ret = parse_fraction(point + 1, strlen(point + 1), unit, &fraction);
        if (ret < 0 || !point[1])
            return -EINVAL;
        *point = '\0';
    }
    /* Sizes have no octal form: 010M are ten. */
    char *digits = number;
    while (!hex && digits[0] == '0' && digits[1])
        digits++;
    uint64_t value;
    int ret = bpc_text_uint(digits, 0, UINT64_MAX, &value);
    if (ret < 0)
        return ret;
    if (__builtin_mul_overflow(value, unit, &value) ||
        __builtin_add_overflow(value, fraction, &value))
        return -ERANGE;
    *ret_value = value;
    return 0;
}

void bpc_text_print_size(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned i = 0;
    double value = (double)bytes;
    while (i + 1 < BP_COUNT(units) && value >= 1024) {
        value /= 1024;
        i++;
    }
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(number, sizeof(number), "%.4g", value);
    snprintf(buf, size, "%s %s", number, units[i]);
}

bool bpc_text_is_id(const char *text)
{
    if (!g_ascii_isalpha(text[0]))
        return false;
    size_t i = 1;
    while (g_ascii_isalnum(text[i]) || text[i] == '-' || text[i] == '.' || text[i] == '_')
        i++;
    return !text[i] && i <= 255;
}

/* Optimal string alignment distance, three rows. */
unsigned bpc_text_distance(const char *a, const char *b, unsigned limit)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la > MAX_DISTANCE_TEXT || lb > MAX_DISTANCE_TEXT)
        return limit + 1;
    if ((la > lb ? la - lb : lb - la) > limit)
        return limit + 1;
    uint8_t rows[3][MAX_DISTANCE_TEXT + 1];
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= la; i++) {
        uint8_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= lb; j++) {
            bool same = a[i - 1] == b[j - 1];
            unsigned best = up[j - 1] + !same;
            best = MIN(best, up[j] + 1u);
            best = MIN(best, row[j - 1] + 1u);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, up2[j - 2] + 1u);
            row[j] = (uint8_t)best;
        }
    }
    unsigned distance = rows[la % 3][lb];
    return distance > limit ? limit + 1 : distance;
}
