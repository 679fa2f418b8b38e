/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The terminal of a text console: UTF-8 and the control sequences of a VT102 (ECMA-48; DEC's VT100 user guide) with
 * what xterm adds that programs use: 256 and true colours, alternate screen, REP, ECH, the window's size. Leaves out:
 * double size, printing, mice, titles (which are taken and forgotten). Here bytes become actions and sequences.
 */
#include "terminal.h"

#include <string.h>

#define REPLACEMENT 0xfffdu
#define MOST 9999u /* a parameter's */

static void add_to_sequence(struct vc_terminal *t, uint8_t c)
{
    if (c >= '0' && c <= '9') {
        if (t->count == 0)
            t->count = 1;
        if (t->count <= VC_PARAMETERS) {
            uint32_t *p = &t->parameters[t->count - 1];

            *p = *p * 10 + (c - '0');
            *p = *p > MOST ? MOST : *p;
        }
    } else if (c == ';' || c == ':') {
        if (t->count == 0)
            t->count = 1;
        if (t->count <= VC_PARAMETERS)
            t->count++;
    } else if (c >= '<' && c <= '?') {
        t->odd |= t->prefix || t->count;
        t->prefix = c;
    } else if (c < '0') {
        t->odd |= t->between != 0;
        t->between = c;
    } else {
        t->count = t->count > VC_PARAMETERS ? VC_PARAMETERS : t->count;
        t->state = VC_TEXT;
        vc_do_sequence(t, c);
    }
}

static void control(struct vc_terminal *t, uint8_t c)
{
    struct vc_screen *s = &t->screen;

    switch (c) {
    case '\b':
        s->column -= s->column > 0;
        s->wrapped = false;
        break;
    case '\t':
        vc_tabulate(t, 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        if (t->newline)
            s->column = 0;
        vc_line_feed(t);
        break;
    case '\r':
        s->column = 0;
        s->wrapped = false;
        break;
    case 14:
    case 15:
        t->shift = c == 14;
        break;
    case 24: /* CAN, SUB: what was begun is no more */
    case 26:
        t->state = VC_TEXT;
        break;
    case 27:
        t->state = t->state == VC_STRING ? VC_STRING_ESCAPE : VC_ESCAPE;
        break;
    default:
        break;
    }
}

static bool is_character(const struct vc_terminal *t)
{
    return t->code >= t->least && t->code <= 0x10ffff && (t->code & 0xfffff800) != 0xd800;
}

/* A byte of text, of UTF-8. */
static void take_text(struct vc_terminal *t, uint8_t c)
{
    if (t->more && (c & 0xc0) == 0x80) {
        t->code = t->code << 6 | (c & 0x3f);
        if (--t->more == 0)
            vc_print(t, is_character(t) ? t->code : REPLACEMENT);
        return;
    }
    if (t->more)
        vc_print(t, REPLACEMENT); /* it ends too early */
    t->more = 0;
    if (c < 0x80) {
        vc_print(t, c);
    } else if (c >= 0xc2 && c < 0xf5) {
        t->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        t->least = c < 0xe0 ? 0x80 : c < 0xf0 ? 0x800 : 0x10000;
        t->code = c & (0x3fu >> t->more);
    } else {
        vc_print(t, REPLACEMENT);
    }
}

static void take(struct vc_terminal *t, uint8_t c)
{
    if (t->state == VC_STRING_ESCAPE) { /* ESC \ ends it, any other begins anew */
        t->state = VC_ESCAPE;
        if (c == '\\') {
            t->state = VC_TEXT;
            return;
        }
    }
    if (t->state == VC_STRING) {
        if (c == 7)
            t->state = VC_TEXT;
        else if (c == 24 || c == 26 || c == 27)
            control(t, c);
        return;
    }
    if (c < 32) {
        t->more = 0;
        control(t, c);
        return;
    }
    if (c == 127)
        return;
    switch (t->state) {
    case VC_ESCAPE:
        vc_do_escape(t, c);
        break;
    case VC_CHARSET:
        if (t->slot < 2)
            t->graphics[t->slot] = c == '0';
        t->state = VC_TEXT;
        break;
    case VC_HASH:
        if (c == '8')
            vc_fill_with_e(t);
        t->state = VC_TEXT;
        break;
    case VC_SEQUENCE:
        if (c < 0x7f)
            add_to_sequence(t, c);
        break;
    default:
        take_text(t, c);
        break;
    }
}

void vc_terminal_write(struct vc_terminal *t, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        take(t, bytes[i]);
}

void vc_terminal_init(struct vc_terminal *t, uint32_t columns, uint32_t rows,
                      void (*answer_to)(void *opaque, const char *text, size_t length), void *opaque)
{
    memset(t, 0, sizeof(*t));
    vc_screen_init(&t->screen, columns, rows);
    t->answer = answer_to;
    t->opaque = opaque;
    vc_reset(t);
}

void vc_terminal_free(struct vc_terminal *t)
{
    vc_screen_free(&t->screen);
}
