/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The terminal of a text console: UTF-8 and the control sequences of a VT102 (ECMA-48; DEC's VT100 user guide) with
 * what xterm adds that programs use: 256 and true colours, alternate screen, REP, ECH, the window's size. Leaves out:
 * double size, printing, mice, titles (which are taken and forgotten).
 */
#include "vc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xfffdu
#define MOST 9999u /* a parameter's */

uint8_t vc_glyph_of(uint32_t character)
{
    if (character >= ' ' && character < 127)
        return (uint8_t)character;
    if (character == 0xa0)
        return ' ';
    for (unsigned i = 1; i < 256; i++)
        if (code_page_437[i] == character)
            return (uint8_t)i;
    switch (character) { /* lines that it has in another form */
    case 0x2501:
        return 0xc4;
    case 0x2503:
        return 0xb3;
    case 0x256d:
        return 0xda;
    case 0x256e:
        return 0xbf;
    case 0x256f:
        return 0xd9;
    case 0x2570:
        return 0xc0;
    case 0x2018:
    case 0x2019:
        return '\'';
    case 0x201c:
    case 0x201d:
        return '"';
    case 0x2010:
    case 0x2013:
    case 0x2014:
        return '-';
    default:
        return '?';
    }
}

/* DEC's line drawing for 0x60..0x7e. */
static const uint16_t drawing[31] = {
    0x2666, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b, 0x2518, 0x2510, 0x250c, 0x2514, 0x253c,
    0x2500, 0x2500, 0x2500, 0x2500, 0x2500, 0x251c, 0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3,
    0x00b7};

/* ---- moving ---- */

static void place(struct vc_terminal *t, int64_t row, int64_t column)
{
    struct vc_screen *s = &t->screen;
    int64_t top = t->origin ? s->top : 0, bottom = t->origin ? s->bottom : s->rows - 1;

    s->row = (uint32_t)(row < top ? top : row > bottom ? bottom : row);
    s->column = (uint32_t)(column < 0 ? 0 : column >= s->columns ? s->columns - 1 : column);
    s->wrapped = false;
}

/* Up and down stop at the region's margins, where the cursor is inside. */
static void move_rows(struct vc_terminal *t, int64_t by)
{
    struct vc_screen *s = &t->screen;
    int64_t row = s->row + by;

    if (s->row >= s->top && row < s->top)
        row = s->top;
    if (s->row <= s->bottom && row > s->bottom)
        row = s->bottom;
    row = row < 0 ? 0 : row >= s->rows ? s->rows - 1 : row;
    s->row = (uint32_t)row;
    s->wrapped = false;
}

static void line_feed(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    if (s->row == s->bottom)
        vc_screen_scroll_up(s, s->top, s->bottom, 1);
    else if (s->row + 1 < s->rows)
        s->row++;
    s->wrapped = false;
}

static void reverse_line_feed(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    if (s->row == s->top)
        vc_screen_scroll_down(s, s->top, s->bottom, 1);
    else if (s->row)
        s->row--;
    s->wrapped = false;
}

static void tabulate(struct vc_terminal *t, uint32_t n)
{
    struct vc_screen *s = &t->screen;

    while (n-- && s->column + 1 < s->columns)
        do
            s->column++;
        while (s->column + 1 < s->columns && !(t->tabs[s->column / 8] >> s->column % 8 & 1));
    s->wrapped = false;
}

static void tabulate_back(struct vc_terminal *t, uint32_t n)
{
    struct vc_screen *s = &t->screen;

    while (n-- && s->column)
        do
            s->column--;
        while (s->column && !(t->tabs[s->column / 8] >> s->column % 8 & 1));
    s->wrapped = false;
}

/* ---- printing ---- */

static void print(struct vc_terminal *t, uint32_t character)
{
    struct vc_screen *s = &t->screen;
    struct vc_glyph *cell;

    /* What stands over the one before (marks) has no cell of its own. */
    if ((character >= 0x300 && character < 0x370) || (character >= 0x200b && character <= 0x200f) || character == 0xfeff)
        return;
    t->last = character;
    if (t->graphics[t->shift] && character >= 0x60 && character < 0x7f)
        character = drawing[character - 0x60];
    if (s->wrapped && t->autowrap) {
        s->column = 0;
        line_feed(t);
    }
    s->wrapped = false;
    if (t->insert)
        vc_screen_insert(s, 1);
    cell = s->grid + (size_t)s->row * s->columns + s->column;
    cell->pen = s->pen;
    cell->glyph = vc_glyph_of(character);
    if (s->column + 1 < s->columns)
        s->column++;
    else
        s->wrapped = true;
}

/* ---- modes ---- */

static void save(struct vc_terminal *t)
{
    const struct vc_screen *s = &t->screen;

    t->saved = (struct vc_saved){s->column, s->row, s->pen, {t->graphics[0], t->graphics[1]}, t->shift, t->origin,
                                 s->wrapped};
}

static void restore(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    t->origin = t->saved.origin;
    place(t, t->saved.row, t->saved.column);
    s->pen = t->saved.pen;
    s->wrapped = t->saved.wrapped;
    memcpy(t->graphics, t->saved.graphics, sizeof(t->graphics));
    t->shift = t->saved.shift;
}

static void switch_screen(struct vc_terminal *t, bool alternate)
{
    struct vc_saved saved = t->saved;

    if (t->screen.alternate == alternate)
        return;
    vc_screen_switch(&t->screen, alternate);
    t->saved = t->saved_other;
    t->saved_other = saved;
}

static void set_private_mode(struct vc_terminal *t, uint32_t mode, bool on)
{
    switch (mode) {
    case 1:
        t->keys_application = on;
        break;
    case 3: /* 132 columns: as many as there are, but it clears */
        vc_screen_erase_rows(&t->screen, 0, t->screen.rows);
        place(t, 0, 0);
        break;
    case 5:
        t->reversed = on;
        break;
    case 6:
        t->origin = on;
        place(t, on ? t->screen.top : 0, 0);
        break;
    case 7:
        t->autowrap = on;
        break;
    case 25:
        t->hidden = !on;
        break;
    case 47:
    case 1047:
        switch_screen(t, on);
        break;
    case 1048:
        if (on)
            save(t);
        else
            restore(t);
        break;
    case 1049:
        if (on == t->screen.alternate)
            break;
        if (on)
            save(t);
        switch_screen(t, on);
        if (on)
            vc_screen_erase_rows(&t->screen, 0, t->screen.rows);
        else
            restore(t);
        break;
    default:
        break; /* of mice, of blinking, of pasting */
    }
}

static void set_modes(struct vc_terminal *t, bool on)
{
    for (unsigned i = 0; i < t->count; i++) {
        if (t->prefix == '?')
            set_private_mode(t, t->parameters[i], on);
        else if (t->parameters[i] == 4)
            t->insert = on;
        else if (t->parameters[i] == 20)
            t->newline = on;
    }
}

static void reset(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    switch_screen(t, false);
    s->pen = (struct vc_pen){VC_DEFAULT, VC_DEFAULT, 0};
    s->top = 0;
    s->bottom = s->rows - 1;
    t->origin = t->insert = t->newline = t->reversed = t->hidden = false;
    t->keys_application = t->keypad_application = false;
    t->autowrap = true;
    t->graphics[0] = t->graphics[1] = t->shift = 0;
    t->last = 0;
    memset(t->tabs, 0, sizeof(t->tabs));
    for (unsigned i = 8; i < VC_MOST_COLUMNS; i += 8)
        t->tabs[i / 8] |= (uint8_t)(1u << i % 8);
    place(t, 0, 0);
    save(t);
    t->saved_other = t->saved;
    vc_screen_erase_rows(s, 0, s->rows);
}

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
    place(t, t->origin ? top : 0, 0);
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
        print(t, t->last);
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
            set_modes(t, c == 'h');
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

static void do_sequence(struct vc_terminal *t, uint8_t c)
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
        move_rows(t, -n);
        s->column = c == 'F' ? 0 : s->column;
        break;
    case 'B':
    case 'e':
    case 'E':
        move_rows(t, n);
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
        place(t, s->row, n - 1);
        break;
    case 'd':
        place(t, origin + n - 1, s->column);
        break;
    case 'H':
    case 'f':
        place(t, origin + n - 1, (int64_t)parameter(t, 1, 1) - 1);
        break;
    case 'I':
        tabulate(t, (uint32_t)n);
        break;
    case 'Z':
        tabulate_back(t, (uint32_t)n);
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
        set_modes(t, c == 'h');
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
        save(t);
        break;
    case 't':
        tell_window(t);
        break;
    case 'u':
        restore(t);
        break;
    default:
        break;
    }
}

static void fill_with_e(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    for (uint32_t i = 0; i < s->rows * s->columns; i++)
        s->grid[i] = (struct vc_glyph){{VC_DEFAULT, VC_DEFAULT, 0}, 'E'};
    place(t, 0, 0);
}

static void do_escape(struct vc_terminal *t, uint8_t c)
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
        save(t);
        break;
    case '8':
        restore(t);
        break;
    case 'D':
        line_feed(t);
        break;
    case 'E':
        t->screen.column = 0;
        line_feed(t);
        break;
    case 'H':
        t->tabs[t->screen.column / 8] |= (uint8_t)(1u << t->screen.column % 8);
        break;
    case 'M':
        reverse_line_feed(t);
        break;
    case 'Z':
        answer(t, "\033[?6c");
        break;
    case 'c':
        reset(t);
        break;
    case '=':
    case '>':
        t->keypad_application = c == '=';
        break;
    default:
        break;
    }
}

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
        do_sequence(t, c);
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
        tabulate(t, 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        if (t->newline)
            s->column = 0;
        line_feed(t);
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

/* A byte of text, of UTF-8. */
static void take_text(struct vc_terminal *t, uint8_t c)
{
    if (t->more && (c & 0xc0) == 0x80) {
        t->code = t->code << 6 | (c & 0x3f);
        if (--t->more == 0)
            print(t, t->code < t->least || t->code > 0x10ffff || (t->code & 0xfffff800) == 0xd800 ? REPLACEMENT : t->code);
        return;
    }
    if (t->more)
        print(t, REPLACEMENT); /* it ends too early */
    t->more = 0;
    if (c < 0x80) {
        print(t, c);
    } else if (c >= 0xc2 && c < 0xf5) {
        t->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        t->least = c < 0xe0 ? 0x80 : c < 0xf0 ? 0x800 : 0x10000;
        t->code = c & (0x3fu >> t->more);
    } else {
        print(t, REPLACEMENT);
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
        do_escape(t, c);
        break;
    case VC_CHARSET:
        if (t->slot < 2)
            t->graphics[t->slot] = c == '0';
        t->state = VC_TEXT;
        break;
    case VC_HASH:
        if (c == '8')
            fill_with_e(t);
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
    reset(t);
}

void vc_terminal_free(struct vc_terminal *t)
{
    vc_screen_free(&t->screen);
}
