/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text read from a picture: the picture is a grid of cells of the font's size from its top left corner
 * on; a cell of two colours whose one colour has the shape of a glyph shows that glyph, exactly. A cursor
 * that turns a cell's last lines, or all of it, the other way round is seen through.
 */
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define ROWS 32u

struct cell {
    uint32_t rows[ROWS]; /* dots, the left one in bit 31 */
    uint32_t first, second;
    unsigned colours;
};

static void take_cell(const struct bp_frame *frame, const struct font *f, uint32_t column, uint32_t row,
                      struct cell *cell)
{
    memset(cell, 0, sizeof(*cell));
    cell->colours = 1;
    for (uint32_t y = 0; y < f->height; y++) {
        const uint32_t *from = frame->pixels + (size_t)(row * f->height + y) * (frame->stride / 4) +
                               (size_t)column * f->width;

        if (y == 0)
            cell->first = from[0];
        for (uint32_t x = 0; x < f->width; x++) {
            if (from[x] == cell->first)
                continue;
            if (cell->colours == 1) {
                cell->second = from[x];
                cell->colours = 2;
            } else if (from[x] != cell->second) {
                cell->colours = 3;
                return;
            }
            cell->rows[y] |= 0x80000000u >> x;
        }
    }
}

static uint32_t glyph_row(const struct font *f, unsigned glyph, uint32_t y)
{
    const uint8_t *at = f->bitmap + ((size_t)glyph * f->height + y) * f->bytes_per_row;

    return (uint32_t)at[0] << 24 | (f->bytes_per_row > 1 ? (uint32_t)at[1] << 16 : 0);
}

/* The glyph with these dots, `flip` of the last lines taken the other way round; -1: none. What is typed
 * comes before what looks the same. */
static int find_glyph(const struct font *f, const struct cell *cell, bool inverse, uint32_t flip)
{
    uint32_t mask = f->width == 32 ? ~0u : ~(~0u >> f->width);

    for (unsigned i = 0; i < 256; i++) {
        unsigned glyph = (i + 0x20) & 0xff;
        uint32_t y = 0;

        while (y < f->height) {
            uint32_t dots = cell->rows[y] ^ (inverse ? mask : 0) ^ (y + flip >= f->height ? mask : 0);

            if (dots != glyph_row(f, glyph, y))
                break;
            y++;
        }
        if (y == f->height)
            return (int)glyph;
    }
    return -1;
}

static uint32_t read_cell(const struct font *f, const struct cell *cell)
{
    int glyph = -1;

    if (cell->colours == 1)
        return ' ';
    if (cell->colours > 2)
        return UNKNOWN;
    for (uint32_t flip = 0; glyph < 0 && flip <= f->height / 4; flip++) {
        glyph = find_glyph(f, cell, false, flip);
        if (glyph < 0)
            glyph = find_glyph(f, cell, true, flip);
    }
    return glyph < 0 ? UNKNOWN : code_page_437[glyph];
}

void grid_read(const struct bp_frame *frame, const struct font *f, struct grid *grid)
{
    struct cell cell;

    memset(grid, 0, sizeof(*grid));
    grid->columns = frame->width / f->width;
    grid->rows = frame->height / f->height;
    grid->characters = bp_alloc((size_t)grid->columns * grid->rows * sizeof(uint32_t) + 1);
    for (uint32_t i = 0; i < grid->columns * grid->rows; i++) {
        take_cell(frame, f, i % grid->columns, i / grid->columns, &cell);
        grid->characters[i] = read_cell(f, &cell);
        if (grid->characters[i] == UNKNOWN)
            grid->unknown++;
        else if (cell.colours == 1)
            grid->blank++;
        else
            grid->matched++;
    }
}
