/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grids of cells: copied, and drawn with their font. */
#include <stdlib.h>
#include <string.h>

#include "display.h"

bool cells_fit(const struct bp_cells *c)
{
    if (!c->width || !c->height || c->width > BP_DISPLAY_MAX || c->height > BP_DISPLAY_MAX ||
        !c->font.bitmap)
        return false;
    for (uint32_t r = 0; r < c->rows; r++)
        if (c->row[r].first_line + c->row[r].lines > c->font.height)
            return false;
    return true;
}

struct bp_cells *cells_copy(const struct bp_cells *from)
{
    size_t cells = sizeof(struct bp_cell) * from->columns * from->rows;
    size_t rows = sizeof(struct bp_cell_row) * from->rows;
    size_t font = (size_t)from->font.glyphs * from->font.height * from->font.bytes_per_row;
    struct bp_cells *to = malloc(sizeof(*to) + cells + rows + font);
    uint8_t *at = (uint8_t *)(to + 1);

    if (!to)
        return NULL;
    *to = *from;
    to->cells = memcpy(at, from->cells, cells);
    to->row = memcpy(at + cells, from->row, rows);
    to->font.bitmap = memcpy(at + cells + rows, from->font.bitmap, font);
    return to;
}

/* The dots of a glyph's line, the left one in bit 31. */
static uint32_t dots_of(const struct bp_cells *c, const struct bp_cell *cell, uint32_t line)
{
    const struct bp_font *font = &c->font;
    uint32_t glyph = cell->glyph < font->glyphs ? cell->glyph : 0, dots = 0;
    const uint8_t *row = font->bitmap + ((size_t)glyph * font->height + line) * font->bytes_per_row;

    if ((cell->flags & BP_CELL_UNDERLINE) && line == font->underline)
        return ~0u;
    for (unsigned i = 0; i < font->bytes_per_row; i++)
        dots |= (uint32_t)row[i] << (24 - 8 * i);
    if ((cell->flags & BP_CELL_EXTEND) && (dots & 1u << 24))
        dots |= (1u << 24) - 1;
    return dots;
}

static void draw_cell(const struct bp_cells *c, const struct bp_cell_row *row,
                      const struct bp_cell *cell, uint32_t column, bool shown,
                      const struct bp_cell_cursor *cursor, uint32_t *pixels, uint32_t stride)
{
    const struct bp_font *font = &c->font;
    int64_t x = (int64_t)column * font->width - row->x_shift;
    uint32_t begin = x < 0 ? (uint32_t)-x : 0, end = font->width;

    if (x + (int64_t)end > c->width)
        end = (uint32_t)(c->width > x ? c->width - x : 0);
    for (uint32_t i = 0; i < row->lines && row->y + i < c->height; i++) {
        uint32_t line = row->first_line + i, *to = pixels + (size_t)(row->y + i) * stride + x;
        uint32_t dots = shown ? dots_of(c, cell, line) : 0, foreground = cell->foreground;

        if (cursor && line >= cursor->first_line && line <= cursor->last_line) {
            dots = ~0u;
            if (cursor->colour != ~0u)
                foreground = cursor->colour;
        }
        for (uint32_t d = begin; d < end; d++)
            to[d] = dots & 0x80000000u >> d ? foreground : cell->background;
    }
}

void cells_draw(const struct bp_cells *c, uint32_t row, uint32_t first, uint32_t count, bool on,
                bool cursor_on, uint32_t *pixels, uint32_t stride)
{
    for (uint32_t i = first; i < first + count && i < c->columns; i++) {
        const struct bp_cell *cell = &c->cells[(size_t)row * c->columns + i];
        bool at_cursor = c->cursor.visible && c->cursor.row == row && c->cursor.column == i &&
                         (cursor_on || !c->cursor.blink);

        draw_cell(c, &c->row[row], cell, i, on || !(cell->flags & BP_CELL_BLINK),
                  at_cursor ? &c->cursor : NULL, pixels, stride);
    }
}

void cells_draw_all(const struct bp_cells *c, bool on, bool cursor_on, uint32_t *pixels,
                    uint32_t stride)
{
    for (uint32_t y = 0; y < c->height; y++)
        for (uint32_t x = 0; x < c->width; x++)
            pixels[(size_t)y * stride + x] = c->border;
    for (uint32_t r = 0; r < c->rows; r++)
        cells_draw(c, r, 0, c->columns, on, cursor_on, pixels, stride);
}
