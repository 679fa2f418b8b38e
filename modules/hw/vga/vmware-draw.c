/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the commands of a VMware SVGA draw: rectangles in the frame buffer, and pictures of the
 * pointer. */
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "vmware.h"

#define MOST_CURSOR 256u /* dots, as viewers have it */

/* ---- rectangles ---- */

struct area {
    uint32_t pitch, bytes; /* of a line, of a pixel */
};

/* -> the frame buffer of the mode, which lies in memory. */
static bool area(const struct svga *s, struct area *ret)
{
    ret->pitch = svga_pitch(s);
    ret->bytes = (s->bpp + 7) / 8;
    return ret->pitch && (uint64_t)ret->pitch * s->height <= s->vga.vram_size &&
           (uint64_t)s->width * ret->bytes <= ret->pitch;
}

static bool is_inside(const struct svga *s, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    return (uint64_t)x + width <= s->width && (uint64_t)y + height <= s->height;
}

/* Colour, x, y, width, height. */
void svga_fill(struct svga *s, const uint32_t *args)
{
    uint32_t x = args[1], y = args[2], width = args[3], height = args[4];
    struct area a;

    if (!area(s, &a) || !is_inside(s, x, y, width, height)) {
        bp_guest_error("svga-fill",
                       "vmware-svga: a rectangle that is filled lies outside of the screen");
        return;
    }
    for (uint32_t row = 0; row < height; row++) {
        size_t at = (size_t)(y + row) * a.pitch + (size_t)x * a.bytes;

        for (uint32_t i = 0; i < width * a.bytes; i++)
            s->vga.memory[at + i] = (uint8_t)(args[0] >> 8 * (i % a.bytes));
        bp_region_mark_dirty(s->vga.vram, at, width * a.bytes);
    }
}

/* x and y of source and destination, width, height. */
void svga_copy(struct svga *s, const uint32_t *args)
{
    uint32_t width = args[4], height = args[5];
    struct area a;

    if (!area(s, &a) || !is_inside(s, args[0], args[1], width, height) ||
        !is_inside(s, args[2], args[3], width, height)) {
        bp_guest_error("svga-copy",
                       "vmware-svga: a rectangle that is copied lies outside of the screen");
        return;
    }
    for (uint32_t i = 0; i < height; i++) {
        uint32_t row = args[3] > args[1] ? height - 1 - i : i; /* downwards: from below */
        size_t from = (size_t)(args[1] + row) * a.pitch + (size_t)args[0] * a.bytes;
        size_t to = (size_t)(args[3] + row) * a.pitch + (size_t)args[2] * a.bytes;

        memmove(s->vga.memory + to, s->vga.memory + from, (size_t)width * a.bytes);
        bp_region_mark_dirty(s->vga.vram, to, width * a.bytes);
    }
}

/* ---- the pointer ---- */

static uint32_t line_words(uint32_t width, uint32_t depth)
{
    return (width * depth + 31) / 32;
}

static bool size_is_fine(uint32_t width, uint32_t height)
{
    return width && height && width <= MOST_CURSOR && height <= MOST_CURSOR;
}

static bool depth_is_fine(uint32_t depth)
{
    return depth == 1 || depth == 8 || depth == 16 || depth == 24 || depth == 32;
}

/* id, hot spot, width, height, depth of the AND mask, depth of the XOR mask. UINT32_MAX: there is
 * no such pointer. */
uint32_t svga_cursor_words(const uint32_t *args)
{
    if (!size_is_fine(args[3], args[4]) || !depth_is_fine(args[5]) || !depth_is_fine(args[6]))
        return UINT32_MAX;
    return args[4] * (line_words(args[3], args[5]) + line_words(args[3], args[6]));
}

uint32_t svga_alpha_cursor_words(const uint32_t *args)
{
    return size_is_fine(args[3], args[4]) ? args[3] * args[4] : UINT32_MAX;
}

static void show(struct svga *s, const uint32_t *args, const uint32_t *pixels)
{
    struct bp_cursor cursor = {
        .width = args[3], .height = args[4], .hot_x = args[1], .hot_y = args[2], .pixels = pixels};

    if (cursor.hot_x >= cursor.width)
        cursor.hot_x = cursor.width - 1;
    if (cursor.hot_y >= cursor.height)
        cursor.hot_y = cursor.height - 1;
    vga_display->set_cursor(s->vga.console, &cursor);
}

/* A pixel of a mask as 0xRRGGBB. */
static uint32_t mask_pixel(const uint8_t *line, uint32_t x, uint32_t depth)
{
    const uint8_t *at = line + x * (depth / 8);
    uint32_t v;

    switch (depth) {
    case 1:
        return line[x / 8] >> (7 - x % 8) & 1 ? 0xffffff : 0;
    case 8:
        return at[0] * 0x010101u;
    case 16:
        v = at[0] | (uint32_t)at[1] << 8;
        return (v >> 11 << 19) | (v >> 13 << 16) | (v >> 5 & 63) << 10 | (v >> 9 & 3) << 8 |
               (v & 31) << 3 | (v >> 2 & 7);
    default:
        return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
    }
}

/* Dots with both bits set invert what is below: they are shown white. */
void svga_cursor(struct svga *s, const uint32_t *args, const uint32_t *data)
{
    uint32_t width = args[3], height = args[4], and_words = line_words(width, args[5]);
    uint32_t xor_words = line_words(width, args[6]);
    uint32_t *pixels = bp_alloc((size_t)width * height * 4);

    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *and_line = (const uint8_t *)(data + y * and_words);
        const uint8_t *xor_line = (const uint8_t *)(data + height * and_words + y * xor_words);

        for (uint32_t x = 0; x < width; x++) {
            bool keeps = mask_pixel(and_line, x, args[5]) != 0;
            uint32_t colour = mask_pixel(xor_line, x, args[6]);

            pixels[y * width + x] =
                keeps && !colour ? 0 : 0xff000000u | (keeps ? 0xffffff : colour);
        }
    }
    show(s, args, pixels);
    free(pixels);
}

/* BGRA, multiplied with alpha already. */
void svga_alpha_cursor(struct svga *s, const uint32_t *args, const uint32_t *data)
{
    uint32_t count = args[3] * args[4];
    uint32_t *pixels = bp_alloc((size_t)count * 4);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t alpha = data[i] >> 24;

        pixels[i] = alpha << 24;
        for (unsigned shift = 0; alpha && shift < 24; shift += 8) {
            uint32_t part = (data[i] >> shift & 0xff) * 255 / alpha;

            pixels[i] |= (part > 255 ? 255 : part) << shift;
        }
    }
    show(s, args, pixels);
    free(pixels);
}
