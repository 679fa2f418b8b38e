/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the terminal of a text console does: characters, movements, modes. */
#include "terminal.h"

#include <string.h>

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
    0x2666, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b, 0x2518, 0x2510, 0x250c, 0x2514,
    0x253c, 0x2500, 0x2500, 0x2500, 0x2500, 0x2500, 0x251c, 0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0,
    0x2260, 0x00a3, 0x00b7};

/* ---- moving ---- */

void vc_place(struct vc_terminal *t, int64_t row, int64_t column)
{
    struct vc_screen *s = &t->screen;
    int64_t top = t->origin ? s->top : 0, bottom = t->origin ? s->bottom : s->rows - 1;

    s->row = (uint32_t)(row < top ? top : row > bottom ? bottom : row);
    s->column = (uint32_t)(column < 0 ? 0 : column >= s->columns ? s->columns - 1 : column);
    s->wrapped = false;
}

/* Up and down stop at the region's margins, where the cursor is inside. */
void vc_move_rows(struct vc_terminal *t, int64_t by)
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

void vc_line_feed(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    if (s->row == s->bottom)
        vc_screen_scroll_up(s, s->top, s->bottom, 1);
    else if (s->row + 1 < s->rows)
        s->row++;
    s->wrapped = false;
}

void vc_reverse_line_feed(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    if (s->row == s->top)
        vc_screen_scroll_down(s, s->top, s->bottom, 1);
    else if (s->row)
        s->row--;
    s->wrapped = false;
}

void vc_tabulate(struct vc_terminal *t, uint32_t n)
{
    struct vc_screen *s = &t->screen;

    while (n-- && s->column + 1 < s->columns)
        do
            s->column++;
        while (s->column + 1 < s->columns && !(t->tabs[s->column / 8] >> s->column % 8 & 1));
    s->wrapped = false;
}

void vc_tabulate_back(struct vc_terminal *t, uint32_t n)
{
    struct vc_screen *s = &t->screen;

    while (n-- && s->column)
        do
            s->column--;
        while (s->column && !(t->tabs[s->column / 8] >> s->column % 8 & 1));
    s->wrapped = false;
}

/* ---- printing ---- */

void vc_print(struct vc_terminal *t, uint32_t character)
{
    struct vc_screen *s = &t->screen;
    struct vc_glyph *cell;

    /* What stands over the one before (marks) has no cell of its own. */
    if ((character >= 0x300 && character < 0x370) || (character >= 0x200b && character <= 0x200f) ||
        character == 0xfeff)
        return;
    t->last = character;
    if (t->graphics[t->shift] && character >= 0x60 && character < 0x7f)
        character = drawing[character - 0x60];
    if (s->wrapped && t->autowrap) {
        s->column = 0;
        vc_line_feed(t);
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

void vc_save(struct vc_terminal *t)
{
    const struct vc_screen *s = &t->screen;

    t->saved = (struct vc_saved){s->column, s->row, s->pen, {t->graphics[0], t->graphics[1]}, t->shift, t->origin,
                                 s->wrapped};
}

void vc_restore(struct vc_terminal *t)
{
    struct vc_screen *s = &t->screen;

    t->origin = t->saved.origin;
    vc_place(t, t->saved.row, t->saved.column);
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
        vc_place(t, 0, 0);
        break;
    case 5:
        t->reversed = on;
        break;
    case 6:
        t->origin = on;
        vc_place(t, on ? t->screen.top : 0, 0);
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
            vc_save(t);
        else
            vc_restore(t);
        break;
    case 1049:
        if (on == t->screen.alternate)
            break;
        if (on)
            vc_save(t);
        switch_screen(t, on);
        if (on)
            vc_screen_erase_rows(&t->screen, 0, t->screen.rows);
        else
            vc_restore(t);
        break;
    default:
        break; /* of mice, of blinking, of pasting */
    }
}

void vc_set_modes(struct vc_terminal *t, bool on)
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

void vc_reset(struct vc_terminal *t)
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
    vc_place(t, 0, 0);
    vc_save(t);
    t->saved_other = t->saved;
    vc_screen_erase_rows(s, 0, s->rows);
}
