/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See url-text.h. */
#include "url-text.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

#include <bp/base.h>

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

char *url_decoded(const char *text, size_t length)
{
    char *out = bp_alloc(length + 1);
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        int value = (uint8_t)text[i];

        if (value == '%') {
            value = length - i > 2 && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0
                        ? hex(text[i + 1]) * 16 + hex(text[i + 2]) : 0;
            i += 2;
        }
        if (value == 0) {
            free(out);
            return NULL;
        }
        out[n++] = (char)value;
    }
    out[n] = '\0';
    return out;
}
