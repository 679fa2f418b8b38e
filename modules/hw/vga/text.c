/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text modes as cells: characters from plane 0, attributes from plane 1, fonts from plane 2; with the
 * cursor, blinking, underlines, line drawing in the ninth column, panning, preset row and line compare.
 */
#include <stdlib.h>
#include <string.h>

#include "vga.h"

#define MAX_ROWS 1024u
#define MAX_COLUMNS 257u

/* A row of cells and the memory that it shows. */
struct row {
    uint32_t counter;
    struct bp_cell_row place;
};

/* Where in plane 2 a font of 256 characters of 32 bytes lies, by its number in the sequencer. */
static uint32_t font_offset(unsigned number)
{
    return (number & 3) << 14 | (number & 4) << 11;
}

static void set_font(struct vga *vga, uint32_t height, bool twice)
{
    uint8_t *bitmap = bp_alloc(512 * 64);
    unsigned map = vga->seq[SEQ_CHARACTER_MAP];
    unsigned b = (map & 3) | (map >> 2 & 4), a = (map >> 2 & 3) | (map >> 3 & 4);
    struct bp_font font = {
        .width = vga->seq[SEQ_CLOCKING] & 1 ? 8 : 9, .height = (uint16_t)(twice ? 2 * height : height),
        .bytes_per_row = 1, .glyphs = 512, .bitmap = bitmap};

    font.underline = (uint16_t)((vga->crtc[CR_UNDERLINE] & 0x1f) << twice);
    for (uint32_t glyph = 0; glyph < 512; glyph++) {
        uint32_t from = font_offset(glyph < 256 ? b : a) + (glyph & 0xff) * 32;

        for (uint32_t line = 0; line < font.height; line++)
            bitmap[glyph * font.height + line] =
                vga->memory[4 * (size_t)((from + (twice ? line / 2 : line)) & (VGA_PLANE - 1)) + 2];
    }
    vga_display->surface_set_font(vga->surface, &font);
    free(bitmap);
}

/* Goes down the screen as the beam does; returns the number of rows. */
static uint32_t lay_out(const struct vga *vga, const struct vga_geometry *g, uint32_t height,
                        struct row rows[MAX_ROWS])
{
    uint32_t counter = g->start, first = g->preset << g->doubled, shift = g->pan, y = 0, n = 0;

    if (vga->seq[SEQ_CLOCKING] & 1)
        shift &= 7;
    else
        shift = shift >= 8 ? 0 : shift + 1;
    if (first >= height)
        first = 0;
    while (y < g->lines && n < MAX_ROWS) {
        uint32_t lines = height - first;

        if (y <= g->line_compare && y + lines > g->line_compare + 1)
            lines = g->line_compare + 1 - y;
        if (lines > g->lines - y)
            lines = g->lines - y;
        rows[n++] = (struct row){counter, {.y = (uint16_t)y, .first_line = (uint16_t)first,
                                           .lines = (uint16_t)lines, .x_shift = (uint16_t)shift}};
        y += lines;
        first = 0;
        counter += g->offset;
        if (y == g->line_compare + 1) {
            counter = 0;
            shift = vga->attr[AR_MODE] & 0x20 ? 0 : shift;
        }
    }
    return n;
}

static void fill_cell(const struct vga *vga, const uint32_t colours[16], uint8_t character,
                      uint8_t attribute, struct bp_cell *cell)
{
    unsigned mode = vga->attr[AR_MODE], background = attribute >> 4;

    memset(cell, 0, sizeof(*cell));
    cell->glyph = character | (attribute & 8 ? 0x100 : 0);
    cell->attribute = attribute;
    if (mode & 8) { /* the background's high bit makes it blink instead */
        background &= 7;
        cell->flags |= attribute & 0x80 ? BP_CELL_BLINK : 0;
    }
    cell->foreground = colours[attribute & 15];
    cell->background = colours[background];
    if ((attribute & 7) == 1 && !(attribute & 0x70))
        cell->flags |= BP_CELL_UNDERLINE;
    if ((mode & 4) && (character & 0xe0) == 0xc0)
        cell->flags |= BP_CELL_EXTEND;
}

static void fill_cursor(const struct vga *vga, const struct row *rows, uint32_t n, uint32_t columns,
                        uint32_t height, bool twice, struct bp_cell_cursor *cursor)
{
    const uint8_t *cr = vga->crtc;
    uint32_t at = (uint32_t)cr[CR_CURSOR_HIGH] << 8 | cr[CR_CURSOR_LOW];
    uint32_t first = (cr[CR_CURSOR_START] & 0x1fu) << twice;
    uint32_t last = ((cr[CR_CURSOR_END] & 0x1fu) << twice) + twice;

    at += cr[CR_CURSOR_END] >> 5 & 3; /* skew */
    memset(cursor, 0, sizeof(*cursor));
    cursor->colour = ~0u;
    if ((cr[CR_CURSOR_START] & 0x20) || first > last || first >= height)
        return;
    for (uint32_t r = 0; r < n; r++) {
        uint32_t column = (at - rows[r].counter) & 0xffff;

        if (column >= columns)
            continue;
        *cursor = (struct bp_cell_cursor){
            .visible = true, .blink = true, .column = (uint16_t)column, .row = (uint16_t)r,
            .first_line = (uint16_t)first, .last_line = (uint16_t)(last < height ? last : height - 1),
            .colour = ~0u};
        return;
    }
}

static bool need_cells(struct vga *vga, uint32_t columns, uint32_t rows)
{
    const struct bp_cells *cells = vga->surface ? vga_display->surface_cells(vga->surface) : NULL;
    struct bp_surface *surface = NULL;

    if (cells && cells->columns == columns && cells->rows == rows)
        return true;
    if (vga_display->surface_new_cells(columns, rows, &surface, NULL) < 0)
        return false;
    vga_display->surface_unref(vga->surface);
    vga->surface = surface;
    memset(&vga->shown, 0, sizeof(vga->shown));
    return true;
}

static void fill(struct vga *vga, const struct row *rows, struct bp_cells *cells)
{
    uint32_t colours[16];

    for (unsigned i = 0; i < 16; i++)
        colours[i] = vga_colour(vga, vga_attribute(vga, i));
    cells->border = vga_colour(vga, vga->attr[AR_OVERSCAN]);
    for (uint32_t r = 0; r < cells->rows; r++) {
        cells->row[r] = rows[r].place;
        for (uint32_t c = 0; c < cells->columns; c++) {
            const uint8_t *at =
                vga->memory + 4 * (size_t)vga_display_address(vga, rows[r].counter + c, 0);

            fill_cell(vga, colours, at[0], at[1], &cells->cells[(size_t)r * cells->columns + c]);
        }
    }
}

void vga_show_text(struct vga *vga)
{
    struct row *rows = bp_alloc(MAX_ROWS * sizeof(*rows));
    struct vga_geometry g;
    struct bp_cells *cells;
    uint32_t n, height, columns;

    vga_geometry(vga, &g);
    height = g.row_lines << g.doubled;
    n = lay_out(vga, &g, height, rows);
    columns = g.columns + (rows[0].place.x_shift ? 1 : 0);
    if (columns > MAX_COLUMNS || !need_cells(vga, columns, n)) {
        vga_display->set_surface(vga->console, NULL);
        free(rows);
        return;
    }
    cells = vga_display->surface_cells(vga->surface);
    set_font(vga, g.row_lines, g.doubled);
    cells->width = g.columns * cells->font.width;
    cells->height = g.lines;
    fill(vga, rows, cells);
    fill_cursor(vga, rows, n, g.columns, height, g.doubled, &cells->cursor);
    vga_display->set_surface(vga->console, vga->surface);
    free(rows);
}
