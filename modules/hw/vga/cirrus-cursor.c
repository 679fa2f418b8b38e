/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pointer of a CL-GD5446: two bits for each dot in the last 16 KiB of memory. Plane 1 (mask)
 * and plane 0 (image): 00 what is below, 01 that inverted, 10 the background's colour, 11 the
 * foreground's. Viewers cannot invert: such dots are shown white.
 */
#include <string.h>

#include "cirrus.h"

#define INVERTED 0xffffffffu

static uint32_t colour(const uint8_t rgb[3])
{
    uint32_t argb = 0xff;

    for (unsigned i = 0; i < 3; i++)
        argb = argb << 8 | (uint8_t)((rgb[i] & 0x3f) << 2 | (rgb[i] & 0x3f) >> 4);
    return argb;
}

/* A large one has rows of both planes in turn, a small one plane 0 and then plane 1. */
static uint32_t dot(const struct cirrus *s, const uint8_t *pattern, unsigned size, unsigned x,
                    unsigned y)
{
    unsigned row = size / 8, at = size == 64 ? 2 * row * y : row * y,
             next = size == 64 ? row : row * size;
    unsigned image = pattern[at + x / 8] >> (7 - x % 8) & 1,
             mask = pattern[at + next + x / 8] >> (7 - x % 8) & 1;

    if (!mask)
        return image ? INVERTED : 0;
    return colour(s->cursor_dac + (image ? 3 : 0));
}

void cirrus_cursor_update(struct cirrus *s)
{
    unsigned control = s->seq[SR_CURSOR], size = control & SR_CURSOR_LARGE ? 64 : 32,
             bytes = size * size / 4;
    unsigned number = s->seq[SR_CURSOR_PATTERN] & (size == 64 ? 0x3c : 0x3f);
    const uint8_t *pattern = s->vga.memory + cirrus_memory(s) - 16384 + 256 * number;
    struct bp_cursor cursor = {.width = size, .height = size};
    uint8_t now[sizeof(s->cursor_shown)] = {0};
    uint32_t pixels[64 * 64];

    if (!(control & SR_CURSOR_ON))
        return;
    memcpy(now, pattern, bytes);
    memcpy(now + 1024, s->cursor_dac, 6);
    now[1030] = (uint8_t)size;
    now[1031] = 1;
    if (!memcmp(now, s->cursor_shown, sizeof(now)))
        return;
    memcpy(s->cursor_shown, now, sizeof(now));
    for (unsigned y = 0; y < size; y++)
        for (unsigned x = 0; x < size; x++)
            pixels[y * size + x] = dot(s, pattern, size, x, y);
    cursor.pixels = pixels;
    vga_display->set_cursor(s->vga.console, &cursor);
}

void cirrus_cursor_move(struct cirrus *s)
{
    vga_display->move_pointer(s->vga.console, s->cursor_x, s->cursor_y,
                              s->seq[SR_CURSOR] & SR_CURSOR_ON);
}
