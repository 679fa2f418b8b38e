/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The grid of a text console, main and alternate, with the lines that have gone off the main one's top. */
#include "vc.h"

#include <stdlib.h>
#include <string.h>

static struct vc_glyph *at(const struct vc_screen *s, uint32_t row, uint32_t column)
{
    return s->grid + (size_t)row * s->columns + column;
}

static void blank(const struct vc_screen *s, struct vc_glyph *from, size_t count)
{
    /* As xterm does: the background is the pen's, all else is not. */
    const struct vc_glyph none = {{VC_DEFAULT, s->pen.background, 0}, ' '};

    while (count--)
        *from++ = none;
}

void vc_screen_init(struct vc_screen *s, uint32_t columns, uint32_t rows)
{
    size_t cells = (size_t)columns * rows;

    memset(s, 0, sizeof(*s));
    s->columns = columns;
    s->rows = rows;
    s->bottom = rows - 1;
    s->pen = (struct vc_pen){VC_DEFAULT, VC_DEFAULT, 0};
    s->grid = bp_alloc(cells * sizeof(*s->grid));
    s->other = bp_alloc(cells * sizeof(*s->other));
    blank(s, s->grid, cells);
    blank(s, s->other, cells);
}

void vc_screen_free(struct vc_screen *s)
{
    free(s->grid);
    free(s->other);
    free(s->history);
    memset(s, 0, sizeof(*s));
}

const struct vc_glyph *vc_screen_line(const struct vc_screen *s, uint32_t row)
{
    uint32_t back = s->alternate ? 0 : s->back;

    if (row >= back)
        return at(s, row - back, 0);
    return s->history + (size_t)((s->history_next + VC_HISTORY - (back - row)) % VC_HISTORY) * s->columns;
}

void vc_screen_look_back(struct vc_screen *s, int lines)
{
    int64_t back = (int64_t)s->back + lines;

    s->back = back < 0 ? 0 : back > s->history_count ? s->history_count : (uint32_t)back;
}

void vc_screen_erase(struct vc_screen *s, uint32_t row, uint32_t from, uint32_t to)
{
    to = to > s->columns ? s->columns : to;
    if (from < to && row < s->rows)
        blank(s, at(s, row, from), to - from);
}

void vc_screen_erase_rows(struct vc_screen *s, uint32_t from, uint32_t to)
{
    for (uint32_t row = from; row < to && row < s->rows; row++)
        vc_screen_erase(s, row, 0, s->columns);
}

static void remember(struct vc_screen *s, uint32_t row)
{
    if (!s->history)
        s->history = bp_alloc((size_t)VC_HISTORY * s->columns * sizeof(*s->history));
    memcpy(s->history + (size_t)s->history_next * s->columns, at(s, row, 0), s->columns * sizeof(*s->grid));
    s->history_next = (s->history_next + 1) % VC_HISTORY;
    if (s->history_count < VC_HISTORY)
        s->history_count++;
    if (s->back && s->back < s->history_count)
        s->back++; /* who looks back goes on seeing the same */
}

void vc_screen_scroll_up(struct vc_screen *s, uint32_t top, uint32_t bottom, uint32_t n)
{
    uint32_t lines = bottom - top + 1;

    n = n > lines ? lines : n;
    for (uint32_t i = 0; i < n && !s->alternate && top == 0; i++)
        remember(s, i);
    memmove(at(s, top, 0), at(s, top + n, 0), (size_t)(lines - n) * s->columns * sizeof(*s->grid));
    vc_screen_erase_rows(s, bottom + 1 - n, bottom + 1);
}

void vc_screen_scroll_down(struct vc_screen *s, uint32_t top, uint32_t bottom, uint32_t n)
{
    uint32_t lines = bottom - top + 1;

    n = n > lines ? lines : n;
    memmove(at(s, top + n, 0), at(s, top, 0), (size_t)(lines - n) * s->columns * sizeof(*s->grid));
    vc_screen_erase_rows(s, top, top + n);
}

void vc_screen_insert(struct vc_screen *s, uint32_t n)
{
    uint32_t left = s->columns - s->column;

    n = n > left ? left : n;
    memmove(at(s, s->row, s->column + n), at(s, s->row, s->column), (left - n) * sizeof(*s->grid));
    vc_screen_erase(s, s->row, s->column, s->column + n);
}

void vc_screen_delete(struct vc_screen *s, uint32_t n)
{
    uint32_t left = s->columns - s->column;

    n = n > left ? left : n;
    memmove(at(s, s->row, s->column), at(s, s->row, s->column + n), (left - n) * sizeof(*s->grid));
    vc_screen_erase(s, s->row, s->columns - n, s->columns);
}

void vc_screen_switch(struct vc_screen *s, bool alternate)
{
    struct vc_glyph *grid = s->grid;

    if (s->alternate == alternate)
        return;
    s->grid = s->other;
    s->other = grid;
    s->alternate = alternate;
}
