/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers, hexadecimal and base64 (RFC 4648, chapter 4) as the qtest protocol writes them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qtest.h"

void qtest_append(struct qtest_buffer *b, const void *data, size_t len)
{
    if (b->len + len + 1 > b->room) {
        b->room = (b->len + len + 1) * 2;
        b->data = bp_realloc(b->data, b->room);
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void qtest_append_hex(struct qtest_buffer *b, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        char pair[2] = {digits[data[i] >> 4], digits[data[i] & 15]};

        qtest_append(b, pair, 2);
    }
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void qtest_append_base64(struct qtest_buffer *b, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                     (left > 2 ? data[i + 2] : 0);
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                        left > 1 ? alphabet[v >> 6 & 63] : '=', left > 2 ? alphabet[v & 63] : '='};

        qtest_append(b, four, 4);
    }
}

bool qtest_number(const char *text, uint64_t *ret_value)
{
    char *end;
    uint64_t v;

    if (!text || !(isdigit((unsigned char)*text) || *text == '-'))
        return false;
    errno = 0;
    v = strtoull(text, &end, 0);
    if (errno || *end || end == text)
        return false;
    *ret_value = v;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                        : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

long qtest_decode_hex(const char *text, uint8_t *buf, size_t size)
{
    size_t n = 0;

    for (; text[0] && n < size; text += 2, n++) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

        if (low < 0)
            return -EINVAL;
        buf[n] = (uint8_t)(high << 4 | low);
    }
    return *text ? -EINVAL : (long)n;
}

long qtest_decode_base64(const char *text, uint8_t *buf, size_t size)
{
    size_t n = 0, len = strlen(text);

    if (len % 4)
        return -EINVAL;
    for (size_t i = 0; i < len; i += 4) {
        unsigned pad = i + 4 == len ? (text[i + 3] == '=') + (text[i + 2] == '=') : 0;
        uint32_t v = 0;

        for (unsigned k = 0; k < 4; k++) {
            const char *at = k >= 4 - pad ? alphabet : strchr(alphabet, text[i + k]);

            if (!at || !text[i + k])
                return -EINVAL;
            v = v << 6 | (uint32_t)(at - alphabet);
        }
        for (unsigned k = 0; k < 3 - pad; k++) {
            if (n == size)
                return -EINVAL;
            buf[n++] = (uint8_t)(v >> (16 - 8 * k));
        }
    }
    return (long)n;
}
