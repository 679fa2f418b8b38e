/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON as QMP's clients expect it, byte for byte: ASCII, with a space behind each comma and colon.
 * Made from the text of bp_value_print(), which is valid JSON in UTF-8.
 */
#include "value-wire.h"

#include <stdlib.h>
#include <string.h>

#include <glib.h>

/* One character of a string at p; returns what follows it. */
static const char *put_character(GString *out, const char *p)
{
    unsigned char c = (unsigned char)*p;
    gunichar code;

    if (c == '\\') { /* an escape: its next byte is not a quote that ends the string */
        g_string_append_len(out, p, 2);
        return p + 2;
    }
    if (c < 0x7f) {
        g_string_append_c(out, *p);
        return p + 1;
    }
    code = g_utf8_get_char(p);
    if (code < 0x10000)
        g_string_append_printf(out, "\\u%04X", code);
    else
        g_string_append_printf(out, "\\u%04X\\u%04X", 0xd800 + ((code - 0x10000) >> 10),
                               0xdc00 + ((code - 0x10000) & 0x3ff));
    return g_utf8_next_char(p);
}

char *bpc_value_print_wire(const struct bp_value *v, bool pretty)
{
    char *text = bp_value_print(v, pretty);
    GString *out = g_string_sized_new(strlen(text) * 5 / 4);
    bool inside = false;

    for (const char *p = text; *p;) {
        if (*p == '"')
            inside = !inside;
        if (inside && *p != '"') {
            p = put_character(out, p);
            continue;
        }
        g_string_append_c(out, *p);
        if (!inside && *p == '\n') /* four spaces for a level, not two */
            g_string_append_len(out, p + 1, (gssize)strspn(p + 1, " "));
        if (!inside && (*p == ',' || *p == ':') && p[1] != ' ' && p[1] != '\n')
            g_string_append_c(out, ' ');
        p++;
    }
    free(text);
    return g_string_free(out, FALSE);
}
