/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON texts as RFC 8259 has them (no comments, no trailing commas, valid UTF-8), and QMP's one
 * addition: a string may stand in single quotes, and \' is an escape. Refused, too: a key that
 * occurs twice in one object, \u0000 (strings end at NUL here), numbers outside double's range,
 * nesting deeper than BPC_VALUE_DEPTH. An integer outside 64 bits is kept as a double.
 */
#include "value-parse.h"

#include <errno.h>
#include <glib.h>
#include <math.h>
#include <string.h>

struct parser {
    const char *start, *p, *end;
    unsigned depth;
    struct bp_error *err;
};

static int parse_any(struct parser *ps, struct bp_value **ret_value);

static int BP_PRINTF(2, 3) bad(struct parser *ps, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    int ret = bp_fail(ps->err, EINVAL, "JSON parse error, %s at byte %zu", text,
                      (size_t)(ps->p - ps->start));
    g_free(text);
    return ret;
}

static int unexpected(struct parser *ps, const char *wanted)
{
    if (ps->p == ps->end)
        return bad(ps, "input ends where %s is expected", wanted);
    unsigned char c = (unsigned char)*ps->p;
    if (c > 0x20 && c < 0x7f)
        return bad(ps, "'%c' where %s is expected", c, wanted);
    return bad(ps, "byte 0x%02x where %s is expected", c, wanted);
}

static void skip_space(struct parser *ps)
{
    while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n' || *ps->p == '\r'))
        ps->p++;
}

static bool accept(struct parser *ps, char c)
{
    skip_space(ps);
    if (ps->p == ps->end || *ps->p != c)
        return false;
    ps->p++;
    return true;
}

static int parse_hex4(struct parser *ps, unsigned *ret_code)
{
    unsigned code = 0;
    if (ps->end - ps->p < 4)
        return bad(ps, "\\u without four hexadecimal digits");
    for (unsigned i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(ps->p[i]);
        if (digit < 0)
            return bad(ps, "\\u without four hexadecimal digits");
        code = code << 4 | (unsigned)digit;
    }
    ps->p += 4;
    *ret_code = code;
    return 0;
}

static int parse_unicode_escape(struct parser *ps, GString *out)
{
    unsigned code, low;
    int ret = parse_hex4(ps, &code);
    if (ret < 0)
        return ret;
    if (code >= 0xd800 && code < 0xdc00) {
        if (ps->end - ps->p < 2 || ps->p[0] != '\\' || ps->p[1] != 'u')
            return bad(ps, "a high surrogate alone");
        ps->p += 2;
        ret = parse_hex4(ps, &low);
        if (ret < 0)
            return ret;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(ps, "a high surrogate alone");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return bad(ps, "a low surrogate alone");
    } else if (!code) {
        return bad(ps, "\\u0000, which no string here can hold,");
    }
    g_string_append_unichar(out, code);
    return 0;
}

static int parse_escape(struct parser *ps, GString *out)
{
    static const char from[] = "\"'\\/bfnrt", to[] = "\"'\\/\b\f\n\r\t";
    if (ps->p == ps->end)
        return unexpected(ps, "an escape");
    char c = *ps->p;
    if (c == 'u') {
        ps->p++;
        return parse_unicode_escape(ps, out);
    }
    const char *at = c ? strchr(from, c) : NULL;
    if (!at)
        return unexpected(ps, "an escape");
    ps->p++;
    g_string_append_c(out, to[at - from]);
    return 0;
}

/* ps->p is behind the opening quote. */
static int parse_string_body(struct parser *ps, char quote, GString *out)
{
    for (;;) {
        const char *run = ps->p;
        while (ps->p < ps->end && *ps->p != quote && *ps->p != '\\' && (unsigned char)*ps->p >= 0x20)
            ps->p++;
        const char *invalid;
        if (!g_utf8_validate(run, ps->p - run, &invalid)) {
            ps->p = invalid;
            return bad(ps, "invalid UTF-8 in a string");
        }
        g_string_append_len(out, run, ps->p - run);
        if (ps->p == ps->end)
            return bad(ps, "a string without an end");
        char c = *ps->p;
        if ((unsigned char)c < 0x20)
            return bad(ps, "a control character in a string");
        ps->p++;
        if (c == quote)
            return 0;
        int ret = parse_escape(ps, out);
        if (ret < 0)
            return ret;
    }
}

static int parse_string(struct parser *ps, GString **ret_text)
{
    bool simple = accept(ps, '\'');
    if (!simple && !accept(ps, '"'))
        return unexpected(ps, "a string");
    GString *text = g_string_new(NULL);
    int ret = parse_string_body(ps, simple ? '\'' : '"', text);
    if (ret < 0) {
        g_string_free(text, TRUE);
        return ret;
    }
    *ret_text = text;
    return 0;
}

static size_t digits_at(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && g_ascii_isdigit(*p))
        p++;
    return (size_t)(p - start);
}

/* Finds the end of a number by RFC 8259's grammar; NULL when it is not one. */
static const char *scan_number(const char *p, const char *end, bool *ret_integer)
{
    if (p < end && *p == '-')
        p++;
    size_t n = digits_at(p, end);
    if (!n || (n > 1 && *p == '0'))
        return NULL;
    p += n;
    *ret_integer = true;
    if (p < end && *p == '.') {
        *ret_integer = false;
        n = digits_at(++p, end);
        if (!n)
            return NULL;
        p += n;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *ret_integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        n = digits_at(p, end);
        if (!n)
            return NULL;
        p += n;
    }
    return p;
}

static struct bp_value *integer_value(const char *text)
{
    errno = 0;
    if (*text == '-') {
        int64_t value = g_ascii_strtoll(text, NULL, 10);
        return errno ? NULL : bp_value_int(value);
    }
    uint64_t value = g_ascii_strtoull(text, NULL, 10);
    return errno ? NULL : bp_value_uint(value);
}

static int parse_number(struct parser *ps, struct bp_value **ret_value)
{
    bool integer = false;
    const char *end = scan_number(ps->p, ps->end, &integer);
    if (!end)
        return bad(ps, "a malformed number");
    if (end - ps->p > 1024)
        return bad(ps, "a number of more than 1024 characters");
    char *text = g_strndup(ps->p, (gsize)(end - ps->p));
    struct bp_value *value = integer ? integer_value(text) : NULL;
    if (!value) {
        double number = g_ascii_strtod(text, NULL);
        if (!isfinite(number)) {
            g_free(text);
            return bad(ps, "a number that is too large");
        }
        value = bp_value_double(number);
    }
    g_free(text);
    ps->p = end;
    *ret_value = value;
    return 0;
}

static int parse_word(struct parser *ps, struct bp_value **ret_value)
{
    static const char *const words[] = {"null", "false", "true"};
    const char *end = ps->p;
    while (end < ps->end && (g_ascii_isalnum(*end) || *end == '_'))
        end++;
    for (unsigned i = 0; i < BP_COUNT(words); i++) {
        size_t len = strlen(words[i]);
        if (len == (size_t)(end - ps->p) && !memcmp(words[i], ps->p, len)) {
            *ret_value = i ? bp_value_bool(i == 2) : bp_value_null();
            ps->p = end;
            return 0;
        }
    }
    return end > ps->p ? bad(ps, "invalid keyword '%.*s'", (int)MIN(end - ps->p, 32), ps->p)
                       : unexpected(ps, "a value");
}

static int parse_list(struct parser *ps, struct bp_value *list)
{
    if (accept(ps, ']'))
        return 0;
    for (;;) {
        struct bp_value *member;
        int ret = parse_any(ps, &member);
        if (ret < 0)
            return ret;
        bp_value_append(list, member);
        if (accept(ps, ']'))
            return 0;
        if (!accept(ps, ','))
            return unexpected(ps, "',' or ']'");
    }
}

static int parse_member(struct parser *ps, struct bp_value *dict)
{
    GString *key;
    struct bp_value *member;
    int ret = parse_string(ps, &key);
    if (ret < 0)
        return ret;
    if (bp_value_has(dict, key->str))
        ret = bad(ps, "duplicate key '%.64s'", key->str);
    else if (!accept(ps, ':'))
        ret = unexpected(ps, "':'");
    else
        ret = parse_any(ps, &member);
    if (!ret)
        bp_value_set(dict, key->str, member);
    g_string_free(key, TRUE);
    return ret;
}

static int parse_dict(struct parser *ps, struct bp_value *dict)
{
    if (accept(ps, '}'))
        return 0;
    for (;;) {
        int ret = parse_member(ps, dict);
        if (ret < 0)
            return ret;
        if (accept(ps, '}'))
            return 0;
        if (!accept(ps, ','))
            return unexpected(ps, "',' or '}'");
    }
}

static int parse_container(struct parser *ps, struct bp_value **ret_value)
{
    if (ps->depth == BPC_VALUE_DEPTH)
        return bad(ps, "nesting deeper than %u", BPC_VALUE_DEPTH);
    bool dict = *ps->p++ == '{';
    ps->depth++;
    struct bp_value *value = dict ? bp_value_dict() : bp_value_list();
    int ret = dict ? parse_dict(ps, value) : parse_list(ps, value);
    ps->depth--;
    if (ret < 0) {
        bp_value_unref(value);
        return ret;
    }
    *ret_value = value;
    return 0;
}

static int parse_any(struct parser *ps, struct bp_value **ret_value)
{
    skip_space(ps);
    if (ps->p == ps->end)
        return unexpected(ps, "a value");
    char c = *ps->p;
    if (c == '{' || c == '[')
        return parse_container(ps, ret_value);
    if (c == '"' || c == '\'') {
        GString *text;
        int ret = parse_string(ps, &text);
        if (ret < 0)
            return ret;
        *ret_value = bp_value_string(text->str);
        g_string_free(text, TRUE);
        return 0;
    }
    if (c == '-' || g_ascii_isdigit(c))
        return parse_number(ps, ret_value);
    return parse_word(ps, ret_value);
}

int bp_value_parse(const char *text, size_t length, struct bp_value **ret_value,
                   struct bp_error *err)
{
    struct parser ps = {.start = text, .p = text, .end = text + length, .err = err};
    struct bp_value *value;
    int ret = parse_any(&ps, &value);
    if (ret < 0)
        return ret;
    skip_space(&ps);
    if (ps.p != ps.end) {
        bp_value_unref(value);
        return unexpected(&ps, "the end");
    }
    *ret_value = value;
    return 0;
}
