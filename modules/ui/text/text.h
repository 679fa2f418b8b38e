/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the module share: fonts, and the text read with them. */
#ifndef UI_TEXT_H
#define UI_TEXT_H

#include <bp/host/display.h>
#include <bp/memory.h>

#define MAX_FONTS 16u
#define UNKNOWN 0xfffdu /* REPLACEMENT CHARACTER: a cell that shows no known glyph */

/* 256 glyphs in the order of code page 437. */
struct font {
    uint32_t width, height, bytes_per_row;
    uint8_t bitmap[256 * 2 * 32];
};

/* Unicode of a character of code page 437, as screens show it. */
extern const uint16_t code_page_437[256];

/* ---- fonts.c ---- */
/* Looks for fonts in a stretch of memory; adds those that are new. Returns how many there are. */
unsigned fonts_search(const uint8_t *memory, size_t length, struct font *fonts, unsigned count);
/* Bytes that two neighbouring stretches must share, so that no font is missed. */
#define FONTS_OVERLAP (256u * 2 * 32)

/* ---- glyphs.c ---- */
struct grid {
    uint32_t columns, rows;
    uint32_t matched, blank, unknown; /* cells */
    uint32_t *characters;             /* Unicode; malloc'd */
};
/* Reads a picture with a font. */
void grid_read(const struct bp_frame *frame, const struct font *font, struct grid *grid);

#endif
