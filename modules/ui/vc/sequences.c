/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control sequences: what they have the terminal of a text console do. */
#include "terminal.h"

#include <stdio.h>
#include <string.h>

/* ---- SGR ---- */

/* 38;5;N and 38;2;R;G;B; returns the last parameter that it took. */
static unsigned take_colour(const struct vc_terminal *t, unsigned i, uint32_t *colour)
{
    const uint32_t *p = t->parameters;

    if (i + 2 < t->count && p[i + 1] == 5) {
        if (p[i + 2] < 256)
            *colour = VC_ENTRY | p[i + 2];
        return i + 2;
    }
    if (i + 4 < t->count && p[i + 1] == 2) {
        if (p[i + 2] < 256 && p[i + 3] < 256 && p[i + 4] < 256)
            *colour = p[i + 2] << 16 | p[i + 3] << 8 | p[i + 4];
        return i + 4;
    }
    return t->count;
}

static void set_pen(struct vc_terminal *t)
{
    static const uint8_t on[9] = {0, VC_BOLD, VC_DIM, 0, VC_UNDERLINE, VC_BLINK, VC_BLINK, VC_REVERSE, VC_HIDDEN};
    static const uint8_t off[9] = {0, VC_BOLD, VC_BOLD | VC_DIM, 0, VC_UNDERLINE, VC_BLINK, 0, VC_REVERSE, VC_HIDDEN};
    struct vc_pen *pen = &t->screen.pen;

    for (unsigned i = 0; i < t->count; i++) {
        uint32_t n = t->parameters[i];

        if (n == 0)
            *pen = (struct vc_pen){VC_DEFAULT, VC_DEFAULT, 0};
        else if (n < 9)
            pen->flags |= on[n];
        else if (n >= 21 && n < 29)
            pen->flags &= (uint8_t)~off[n - 20];
        else if (n >= 30 && n < 38)
            pen->foreground = VC_ENTRY | (n - 30);
        else if (n == 38)
            i = take_colour(t, i, &pen->foreground);
        else if (n == 39)
            pen->foreground = VC_DEFAULT;
        else if (n >= 40 && n < 48)
            pen->background = VC_ENTRY | (n - 40);
        else if (n == 48)
            i = take_colour(t, i, &pen->background);
        else if (n == 49)
            pen->background = VC_DEFAULT;
        else if (n >= 90 && n < 98)
            pen->foreground = VC_ENTRY | (n - 90 + 8);
        else if (n >= 100 && n < 108)
            pen->background = VC_ENTRY | (n - 100 + 8);
    }
}

/* ---- sequences ---- */

static uint32_t parameter(const struct vc_terminal *t, unsigned n, uint32_t otherwise)
{
    return n < t->count && t->parameters[n] ? t->parameters[n] : otherwise;
}

static void answer(const struct vc_terminal *t, const char *text)
{
    t->answer(t->opaque, text, strlen(text));
}

static void report(const struct vc_terminal *t)
{
    const struct vc_screen *s = &t->screen;
    char text[32];

    if (t->parameters[0] == 5)
        answer(t, "\033[0n");
    if (t->parameters[0] != 6)
        return;
    snprintf(text, sizeof(text), "\033[%s%u;%uR", t->prefix == '?' ? "?" : "",
             s->row + 1 - (t->origin ? s->top : 0), s->column + 1);
    answer(t, text);
}

static void erase_display(struct vc_terminal *t, uint32_t how)
{
    struct vc_screen *s = &t->screen;

    if (how == 0) {
        vc_screen_erase(s, s->row, s->column, s->columns);
        vc_screen_erase_rows(s, s->row + 1, s->rows);
    } else if (how == 1) {
        vc_screen_erase_rows(s, 0, s->row);
        vc_screen_erase(s, s->row, 0, s->column + 1);
    } else if (how == 2) {
        vc_screen_erase_rows(s, 0, s->rows);
    } else if (how == 3) {
        s->history_count = s->back = 0;
    }
}

static void set_region(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;
    uint32_t top = parameter(t, 0, 1) - 1, bottom = parameter(t, 1, s->rows) - 1;

    bottom = bottom >= s->rows ? s->rows - 1 : bottom;
    if (top >= bottom)
        return;
    s->top = top;
    s->bottom = bottom;
    vc_place(t, t->origin ? top : 0, 0);
}

static void clear_tabs(struct vc_terminal *t)
{
    uint32_t column = t->screen.column;

    if (t->parameters[0] == 0)
        t->tabs[column / 8] &= (uint8_t)~(1u << column % 8);
    else if (t->parameters[0] == 3)
        memset(t->tabs, 0, sizeof(t->tabs));
}

static void tell_window(const struct vc_terminal *t)
{
    char text[32];

    if (t->parameters[0] != 18)
        return;
    snprintf(text, sizeof(text), "\033[8;%u;%ut", t->screen.rows, t->screen.columns);
    answer(t, text);
}

static void repeat(struct vc_terminal *t, uint32_t n)
{
    uint32_t most = t->screen.columns * t->screen.rows;

    for (n = n > most ? most : n; n && t->last; n--)
        vc_print(t, t->last);
}

/* Lines in the region, from the cursor's on. */
static void insert_lines(struct vc_terminal *t, uint32_t n, bool in)
{
    struct vc_screen *s = &t->screen;
    bool alternate = s->alternate;

    if (s->row < s->top || s->row > s->bottom)
        return;
    s->alternate = true; /* what is deleted is no history */
    (in ? vc_screen_scroll_down : vc_screen_scroll_up)(s, s->row, s->bottom, n);
    s->alternate = alternate;
    s->column = 0;
    s->wrapped = false;
}

/* Those that a prefix or something in between makes another. */
static void do_other(struct vc_terminal *t, uint8_t c)
{
    if (t->prefix == '?' && !t->between) {
        if (c == 'h' || c == 'l')
            vc_set_modes(t, c == 'h');
        else if (c == 'n')
            report(t);
        else if (c == 'J')
            erase_display(t, t->parameters[0]);
        else if (c == 'K')
            vc_screen_erase(&t->screen, t->screen.row, t->parameters[0] ? 0 : t->screen.column,
                            t->parameters[0] == 1 ? t->screen.column + 1 : t->screen.columns);
    } else if (t->prefix == '>' && c == 'c') {
        answer(t, "\033[>0;10;0c");
    } else if (t->between == '!' && c == 'p') {
        t->origin = t->insert = t->hidden = t->keys_application = false;
        t->autowrap = true;
        t->screen.pen = (struct vc_pen){VC_DEFAULT, VC_DEFAULT, 0};
        t->screen.top = 0;
        t->screen.bottom = t->screen.rows - 1;
    }
}

static void do_erase(struct vc_terminal *t, uint8_t c)
{
    struct vc_screen *s = &t->screen;
    uint32_t n = parameter(t, 0, 1), how = t->parameters[0];

    switch (c) {
    case 'J':
        erase_display(t, how);
        break;
    case 'K':
        if (how < 3)
            vc_screen_erase(s, s->row, how ? 0 : s->column, how == 1 ? s->column + 1 : s->columns);
        break;
    case 'L':
    case 'M':
        insert_lines(t, n, c == 'L');
        break;
    case 'P':
        vc_screen_delete(s, n);
        break;
    case 'X':
        vc_screen_erase(s, s->row, s->column, s->column + n);
        break;
    case '@':
        vc_screen_insert(s, n);
        break;
    case 'S':
        vc_screen_scroll_up(s, s->top, s->bottom, n);
        break;
    default: /* T */
        vc_screen_scroll_down(s, s->top, s->bottom, n);
        break;
    }
    s->wrapped = false;
}

void vc_do_sequence(struct vc_terminal *t, uint8_t c)
{
    struct vc_screen *s = &t->screen;
    int64_t n = parameter(t, 0, 1), origin = t->origin ? s->top : 0;

    if (!t->count)
        t->count = 1; /* which is 0 */
    if (t->odd)
        return;
    if (t->prefix || t->between) {
        do_other(t, c);
        return;
    }
    switch (c) {
    case 'A':
    case 'F':
        vc_move_rows(t, -n);
        s->column = c == 'F' ? 0 : s->column;
        break;
    case 'B':
    case 'e':
    case 'E':
        vc_move_rows(t, n);
        s->column = c == 'E' ? 0 : s->column;
        break;
    case 'C':
    case 'a':
        s->column = s->column + n >= s->columns ? s->columns - 1 : s->column + (uint32_t)n;
        s->wrapped = false;
        break;
    case 'D':
        s->column = n > s->column ? 0 : s->column - (uint32_t)n;
        s->wrapped = false;
        break;
    case 'G':
    case '`':
        vc_place(t, s->row, n - 1);
        break;
    case 'd':
        vc_place(t, origin + n - 1, s->column);
        break;
    case 'H':
    case 'f':
        vc_place(t, origin + n - 1, (int64_t)parameter(t, 1, 1) - 1);
        break;
    case 'I':
        vc_tabulate(t, (uint32_t)n);
        break;
    case 'Z':
        vc_tabulate_back(t, (uint32_t)n);
        break;
    case 'J':
    case 'K':
    case 'L':
    case 'M':
    case 'P':
    case 'X':
    case '@':
    case 'S':
    case 'T':
        do_erase(t, c);
        break;
    case 'b':
        repeat(t, (uint32_t)n);
        break;
    case 'c':
        if (!t->parameters[0])
            answer(t, "\033[?6c"); /* a VT102 */
        break;
    case 'g':
        clear_tabs(t);
        break;
    case 'h':
    case 'l':
        vc_set_modes(t, c == 'h');
        break;
    case 'm':
        set_pen(t);
        break;
    case 'n':
        report(t);
        break;
    case 'r':
        set_region(t);
        break;
    case 's':
        vc_save(t);
        break;
    case 't':
        tell_window(t);
        break;
    case 'u':
        vc_restore(t);
        break;
    default:
        break;
    }
}

void vc_fill_with_e(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    for (uint32_t i = 0; i < s->rows * s->columns; i++)
        s->grid[i] = (struct vc_glyph){{VC_DEFAULT, VC_DEFAULT, 0}, 'E'};
    vc_place(t, 0, 0);
}

void vc_do_escape(struct vc_terminal *t, uint8_t c)
{
    t->state = VC_TEXT;
    switch (c) {
    case '[':
        memset(t->parameters, 0, sizeof(t->parameters));
        t->count = 0;
        t->odd = false;
        t->prefix = t->between = 0;
        t->state = VC_SEQUENCE;
        break;
    case ']':
    case 'P':
    case 'X':
    case '^':
    case '_':
        t->state = VC_STRING;
        break;
    case '(':
    case ')':
        t->slot = c == ')';
        t->state = VC_CHARSET;
        break;
    case '*':
    case '+':
    case '%':
    case ' ':
        t->slot = 2; /* there are no more */
        t->state = VC_CHARSET;
        break;
    case '#':
        t->state = VC_HASH;
        break;
    case '7':
        vc_save(t);
        break;
    case '8':
        vc_restore(t);
        break;
    case 'D':
        vc_line_feed(t);
        break;
    case 'E':
        t->screen.column = 0;
        vc_line_feed(t);
        break;
    case 'H':
        t->tabs[t->screen.column / 8] |= (uint8_t)(1u << t->screen.column % 8);
        break;
    case 'M':
        vc_reverse_line_feed(t);
        break;
    case 'Z':
        answer(t, "\033[?6c");
        break;
    case 'c':
        vc_reset(t);
        break;
    case '=':
    case '>':
        t->keypad_application = c == '=';
        break;
    default:
        break;
    }
}
