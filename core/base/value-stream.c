/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON from a byte stream (value-stream.h). A scanner looks only at quotes, brackets and control
 * bytes to find where a top-level value ends; the value itself is then parsed as a whole.
 */
#include "value-stream.h"
#include "value-parse.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

enum scan {
    SCAN_BETWEEN, /* white space between values */
    SCAN_NESTED,  /* inside brackets, outside a string */
    SCAN_STRING,  /* inside a string, at any depth, up to the quote that opened it */
    SCAN_ESCAPE,  /* behind a backslash in one */
    SCAN_SCALAR,  /* in a number or word at top level */
    SCAN_SKIP,    /* after an error, up to the end of the line */
};

struct bpc_value_stream {
    GByteArray *input; /* fed, not scanned yet; from `taken` on */
    size_t taken;
    GByteArray *text; /* of the value being collected */
    enum scan scan;
    char quote;
    unsigned depth;
    char open[BPC_VALUE_DEPTH + 1]; /* the bracket that closes each level */
};

struct bpc_value_stream *bpc_value_stream_new(void)
{
    struct bpc_value_stream *s = g_new0(struct bpc_value_stream, 1);
    s->input = g_byte_array_new();
    s->text = g_byte_array_new();
    return s;
}

void bpc_value_stream_free(struct bpc_value_stream *s)
{
    if (!s)
        return;
    g_byte_array_unref(s->input);
    g_byte_array_unref(s->text);
    g_free(s);
}

void bpc_value_stream_feed(struct bpc_value_stream *s, const void *data, size_t length)
{
    if (s->taken == s->input->len) {
        g_byte_array_set_size(s->input, 0);
        s->taken = 0;
    }
    g_byte_array_append(s->input, data, (guint)length);
}

/* Memory of an unusually large value is given back. */
static void clear_text(struct bpc_value_stream *s)
{
    if (s->text->len > 65536) {
        g_byte_array_unref(s->text);
        s->text = g_byte_array_new();
    }
    g_byte_array_set_size(s->text, 0);
}

static void restart(struct bpc_value_stream *s, enum scan scan)
{
    clear_text(s);
    s->depth = 0;
    s->scan = scan;
}

static int token_error(struct bpc_value_stream *s, unsigned char c, struct bp_error *err)
{
    bool line_over = c == '\n' || (c < 0x20 && c != '\t' && c != '\r') || c == 0xff;
    bool in_string = s->scan == SCAN_STRING || s->scan == SCAN_ESCAPE;
    restart(s, line_over ? SCAN_BETWEEN : SCAN_SKIP);
    if (in_string)
        return bp_fail(err, EINVAL, "JSON parse error, byte 0x%02x in a string", c);
    if (c > 0x20 && c < 0x7f)
        return bp_fail(err, EINVAL, "JSON parse error, stray '%c'", c);
    return bp_fail(err, EINVAL, "JSON parse error, stray byte 0x%02x", c);
}

static int finish(struct bpc_value_stream *s, struct bp_value **ret_value, struct bp_error *err)
{
    int ret = bp_value_parse((const char *)s->text->data, s->text->len, ret_value, err);
    restart(s, SCAN_BETWEEN);
    return ret < 0 ? ret : 1;
}

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(unsigned char c)
{
    return g_ascii_isalnum(c) || c == '-' || c == '+' || c == '.' || c == '_';
}

/* What a byte outside strings does to the nesting: 0 go on, 1 the value is complete, -1 bad. */
static int scan_structure(struct bpc_value_stream *s, unsigned char c)
{
    switch (c) {
    case '{':
    case '[':
        if (s->depth == BPC_VALUE_DEPTH)
            return -1;
        s->open[s->depth++] = c == '{' ? '}' : ']';
        s->scan = SCAN_NESTED;
        return 0;
    case '}':
    case ']':
        if (!s->depth || s->open[s->depth - 1] != (char)c)
            return -1;
        return --s->depth == 0;
    case '"':
    case '\'':
        s->scan = SCAN_STRING;
        s->quote = (char)c;
        return 0;
    case ':':
    case ',': return s->depth ? 0 : -1;
    default:
        if (is_space(c))
            return 0;
        if (!is_word(c))
            return -1;
        if (!s->depth)
            s->scan = SCAN_SCALAR;
        return 0;
    }
}

static int scan_string(struct bpc_value_stream *s, unsigned char c)
{
    if (c < 0x20 || c == 0xff)
        return -1;
    if (s->scan == SCAN_ESCAPE) {
        s->scan = SCAN_STRING;
    } else if (c == '\\') {
        s->scan = SCAN_ESCAPE;
    } else if (c == (unsigned char)s->quote) {
        s->scan = SCAN_NESTED;
        return !s->depth;
    }
    return 0;
}

/* Takes one byte: as scan_structure(). A byte that ends a scalar is not taken. */
static int scan_byte(struct bpc_value_stream *s, unsigned char c, bool *ret_taken)
{
    *ret_taken = true;
    switch (s->scan) {
    case SCAN_SKIP:
        if (c == '\n' || c == 0xff)
            s->scan = SCAN_BETWEEN;
        return 0;
    case SCAN_STRING:
    case SCAN_ESCAPE: return scan_string(s, c);
    case SCAN_SCALAR:
        if (is_word(c))
            return 0;
        *ret_taken = false;
        return 1;
    default: return scan_structure(s, c);
    }
}

/* Adds input bytes [from, taken) to the value being collected. */
static void collect(struct bpc_value_stream *s, size_t from)
{
    if (s->taken > from)
        g_byte_array_append(s->text, s->input->data + from, (guint)(s->taken - from));
}

static int refuse(struct bpc_value_stream *s, unsigned char c, struct bp_error *err)
{
    if (s->depth < BPC_VALUE_DEPTH || (c != '{' && c != '['))
        return token_error(s, c, err);
    restart(s, SCAN_SKIP);
    return bp_fail(err, EINVAL, "JSON parse error, nesting deeper than %u", BPC_VALUE_DEPTH);
}

int bpc_value_stream_next(struct bpc_value_stream *s, struct bp_value **ret_value,
                          struct bp_error *err)
{
    size_t from = s->taken; /* of what belongs to the value and is not collected yet */
    while (s->taken < s->input->len) {
        unsigned char c = s->input->data[s->taken];
        enum scan before = s->scan;
        bool taken;
        int ret = scan_byte(s, c, &taken);
        s->taken += taken;
        if (ret > 0) {
            collect(s, from);
            return finish(s, ret_value, err);
        }
        /* A lone 0xff between values is how clients ask for a fresh start: no error. */
        if (ret < 0 && !(c == 0xff && before == SCAN_BETWEEN))
            return refuse(s, c, err);
        if (s->scan == SCAN_BETWEEN || s->scan == SCAN_SKIP)
            from = s->taken;
        if (s->text->len + (s->taken - from) >= BPC_VALUE_STREAM_MAX) {
            restart(s, SCAN_SKIP);
            return bp_fail(err, E2BIG, "JSON parse error, a value of more than %u bytes",
                           (unsigned)BPC_VALUE_STREAM_MAX);
        }
    }
    collect(s, from);
    return 0;
}
