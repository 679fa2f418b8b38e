/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -dfilter: addresses of guest code that the log is about. Set while the command line is read, before others log. */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include "log.h"

static struct range {
    guint64 first, last; /* inclusive */
} *ranges;
static unsigned count;

static int take(const char **text, guint64 *ret_value, struct bp_error *err)
{
    char *end;

    errno = 0;
    *ret_value = g_ascii_strtoull(*text, &end, 0);
    if (end == *text || !g_ascii_isdigit(**text))
        return bp_fail(err, EINVAL, "'%.60s': an address is expected", *text);
    if (errno == ERANGE)
        return bp_fail(err, ERANGE, "'%.*s' does not fit 64 bits", (int)(end - *text), *text);
    *text = end;
    return 0;
}

static int parse_range(const char *text, struct range *r, struct bp_error *err)
{
    const char *whole = text, *op;
    guint64 second;
    int ret = take(&text, &r->first, err);

    if (ret < 0)
        return ret;
    op = text;
    text += g_str_has_prefix(text, "..") ? 2 : *text == '+' || *text == '-' ? 1 : 0;
    if (text == op)
        return bp_fail(err, EINVAL, "'%.60s': accepted: START+SIZE, START-SIZE, START..END", whole);
    ret = take(&text, &second, err);
    if (ret < 0)
        return ret;
    if (*text)
        return bp_fail(err, EINVAL, "'%.60s': unexpected '%c' at its end", whole, *text);
    switch (*op) {
    case '+': r->last = r->first + second - 1; break;
    case '-':
        r->last = r->first;
        r->first = r->last - second + 1;
        break;
    default: r->last = second;
    }
    if (r->last < r->first || (*op != '.' && second == 0))
        return bp_fail(err, ERANGE, "'%.60s': there are no such addresses", whole);
    return 0;
}

int bpc_log_filter(const char *text, struct bp_error *err)
{
    char **words = g_strsplit(text, ",", -1);
    unsigned n = g_strv_length(words);
    struct range *parsed = g_new0(struct range, n + 1);
    int ret = n == 0 ? bp_fail(err, EINVAL, "a range is missing") : 0;

    for (unsigned i = 0; i < n && ret == 0; i++)
        ret = parse_range(words[i], &parsed[i], err);
    g_strfreev(words);
    if (ret < 0) {
        g_free(parsed);
        return ret;
    }
    g_free(ranges);
    ranges = parsed;
    count = n;
    return 0;
}

bool bpc_log_wanted(uint64_t address, uint64_t length)
{
    for (unsigned i = 0; i < count; i++) {
        if (address <= ranges[i].last && address + (length ? length - 1 : 0) >= ranges[i].first)
            return true;
    }
    return count == 0;
}
