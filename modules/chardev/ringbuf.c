/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-ringbuf`: output is kept in a ring of fixed size, the newest bytes, to be read
 * with ringbuf-read; ringbuf-write adds to them as output does. Base64 as in RFC 4648.
 */
#include <bp/host/chardev.h>
#include <bp/command.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

#define MAX_SIZE (UINT64_C(64) << 20)

struct ringbuf_state {
    uint64_t size; /* a power of two */
    uint8_t *data;
    uint64_t start, len;
};

static int ringbuf_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct ringbuf_state *s = chardev->state(chr);

    if (s->size == 0 || (s->size & (s->size - 1)) != 0)
        return bp_fail(err, EINVAL, "size of ringbuf chardev must be power of two");
    if (s->size > MAX_SIZE || !(s->data = malloc(s->size)))
        return bp_fail(err, ENOMEM, "size of ringbuf chardev must be at most %llu",
                       (unsigned long long)MAX_SIZE);
    chardev->opened(chr);
    return 0;
}

static void ringbuf_close(struct bp_chardev *chr)
{
    struct ringbuf_state *s = chardev->state(chr);

    free(s->data);
    s->data = NULL;
    s->len = 0;
}

static int ringbuf_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct ringbuf_state *s = chardev->state(chr);

    for (size_t i = 0; i < len; i++) {
        s->data[(s->start + s->len) & (s->size - 1)] = buf[i];
        if (s->len < s->size)
            s->len++;
        else
            s->start++;
    }
    return (int)len;
}

static int find(const char *id, struct bp_chardev **ret_chr, struct bp_error *err)
{
    struct bp_chardev *chr = chardev->find(id);

    if (!chr)
        return bp_fail(err, ENOENT, "Device '%s' not found", id);
    if (strcmp(bp_object_type(bp_object_of_state(chardev->state(chr))), "chardev-ringbuf") != 0)
        return bp_fail(err, EINVAL, "%s is not a ringbuf device", id);
    *ret_chr = chr;
    return 0;
}

/* ---- base64 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encode(const uint8_t *data, size_t len)
{
    char *text = bp_alloc((len + 2) / 3 * 4 + 1), *to = text;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < len ? data[i + 1] << 8 : 0) |
                     (i + 2 < len ? data[i + 2] : 0);

        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
        *to++ = i + 2 < len ? digits[v & 63] : '=';
    }
    *to = 0;
    return text;
}

/* Into the text's own memory; -EINVAL: not base64. */
static int decode(const char *text, uint8_t *to, size_t *ret_len)
{
    size_t len = strlen(text), used = 0;
    uint32_t v = 0;

    if (len % 4 != 0)
        return -EINVAL;
    while (len > 0 && text[len - 1] == '=' && used < 2) {
        len--;
        used++;
    }
    used = 0;
    for (size_t i = 0; i < len; i++) {
        const char *digit = memchr(digits, text[i], 64);

        if (!digit)
            return -EINVAL;
        v = v << 6 | (uint32_t)(digit - digits);
        if (i % 4 != 0)
            to[used++] = (uint8_t)(v >> (6 - 2 * (i % 4)));
    }
    *ret_len = used;
    return 0;
}

/* ---- commands ---- */

enum { UTF8, BASE64 };

static int qmp_write(const char *id, const char *data, bool has_format, int format,
                     struct bp_error *err)
{
    struct bp_chardev *chr;
    size_t len = strlen(data);
    uint8_t *bytes = bp_alloc(len + 1);
    int r = find(id, &chr, err);

    if (r == 0 && has_format && format == BASE64) {
        if (decode(data, bytes, &len) < 0)
            r = bp_fail(err, EINVAL, "Base64 data is not valid");
    } else {
        memcpy(bytes, data, len);
    }
    if (r == 0)
        ringbuf_write(chr, bytes, len);
    free(bytes);
    return r;
}

/* Length of the UTF-8 sequence at p (RFC 3629), 0: not one. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3
             : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

    if (n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* Bytes that are no text become U+FFFD, as does NUL, which a string cannot hold. */
static char *to_text(const uint8_t *data, size_t len)
{
    char *text = bp_alloc(len * 3 + 1), *to = text;

    for (size_t i = 0, n; i < len; i += n) {
        n = data[i] ? utf8_length(data + i, len - i) : 0;
        memcpy(to, n ? (const char *)data + i : "\xef\xbf\xbd", n ? n : 3);
        to += n ? n : 3;
        n = n ? n : 1;
    }
    *to = 0;
    return text;
}

static int qmp_read(const char *id, int64_t size, bool has_format, int format,
                    struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_chardev *chr;
    struct ringbuf_state *s;
    uint64_t len;
    uint8_t *bytes;
    char *text;
    int r = find(id, &chr, err);

    if (r < 0)
        return r;
    if (size <= 0)
        return bp_fail(err, EINVAL, "size must be greater than zero");
    s = chardev->state(chr);
    len = (uint64_t)size < s->len ? (uint64_t)size : s->len;
    bytes = bp_alloc(len + 1);
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = s->data[s->start++ & (s->size - 1)];
    s->len -= len;
    text = has_format && format == BASE64 ? encode(bytes, len) : to_text(bytes, len);
    *ret_value = bp_value_string(text);
    free(text);
    free(bytes);
    return 0;
}

static const char *const formats[] = {"utf8", "base64", NULL};
static const struct bp_schema format_schema = {"DataFormat", BP_KIND_ENUM, .choices = formats};
static const struct bp_field write_args[] = {
    BP_ARG("device", STRING, "id of a ringbuf chardev"), BP_ARG("data", STRING, "what to give it"),
    BP_ARG_TYPED("format", ENUM, &format_schema, BP_FIELD_OPTIONAL, "how data is encoded"),
    BP_FIELDS_END};
static const struct bp_field read_args[] = {
    BP_ARG("device", STRING, "id of a ringbuf chardev"),
    BP_ARG("size", INT64, "at most so many bytes"),
    BP_ARG_TYPED("format", ENUM, &format_schema, BP_FIELD_OPTIONAL, "how to encode them"),
    BP_FIELDS_END};
BP_COMMAND(cmd_write, "ringbuf-write", "add to a ring buffer", write_args, NONE, NULL,
           qmp_write, 0);
BP_COMMAND(cmd_read, "ringbuf-read", "take output out of a ring buffer", read_args, STRING, NULL,
           qmp_read, 0);

static void hmp_write(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    const char *device = bp_value_get_string(args, "device"),
               *data = bp_value_get_string(args, "data");

    if (qmp_write(device ? device : "", data ? data : "", false, UTF8, &err) < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}

static void hmp_read(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    struct bp_value *text;
    const char *device = bp_value_get_string(args, "device");

    if (qmp_read(device ? device : "", bp_value_as_int(bp_value_get(args, "size")), false, UTF8,
                 &text, &err) < 0) {
        bp_monitor_printf(mon, "Error: %s\n", err.message);
        return;
    }
    bp_monitor_printf(mon, "%s\n", bp_value_as_string(text));
    bp_value_unref(text);
}

static const struct bp_field hmp_write_args[] = {
    BP_ARG("device", STRING, "id of a ringbuf chardev"), BP_ARG("data", STRING, "what to give it"),
    BP_FIELDS_END};
static const struct bp_field hmp_read_args[] = {BP_ARG("device", STRING, "id of a ringbuf chardev"),
                                                BP_ARG("size", INT64, "at most so many bytes"),
                                                BP_FIELDS_END};
BP_HMP(hmp_cmd_write, "ringbuf_write", "device data", "add to a ring buffer", hmp_write_args,
       hmp_write);
BP_HMP(hmp_cmd_read, "ringbuf_read", "device size", "take output out of a ring buffer",
       hmp_read_args, hmp_read);

static const struct bp_field props[] = {
    BP_PROP("size", SIZE, struct ringbuf_state, size, "64k", "bytes kept, a power of two"),
    BP_FIELDS_END};
BP_CHARDEV(ringbuf_class, "ringbuf", "Ring buffer in memory", struct ringbuf_state, props,
           .open = ringbuf_open, .close = ringbuf_close, .write = ringbuf_write);
BP_MODULE("chardev-ringbuf", "Ring buffers as a character device", imports,
          {BP_PROVIDE_OTHER, &ringbuf_class}, {BP_PROVIDE_COMMAND, &cmd_write},
          {BP_PROVIDE_COMMAND, &cmd_read}, {BP_PROVIDE_HMP, &hmp_cmd_write},
          {BP_PROVIDE_HMP, &hmp_cmd_read});
