/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hextile (RFC 6143, 7.7.4): tiles of 16 x 16 as a background with rectangles of one colour. */
#include <string.h>

#include "rfb.h"

#define TILE 16u
enum { IS_RAW = 1, BACKGROUND = 2, FOREGROUND = 4, ANY_SUBRECTS = 8, COLOURED = 16 };

struct previous { /* colours that stay from tile to tile */
    uint32_t background, foreground;
    bool has_background, has_foreground;
};

static void put_colour(struct rfb *c, struct bytes *to, uint32_t colour)
{
    rfb_put_pixels(to, &c->format, rfb_pixels, &colour, 1);
}

/* The most frequent of the first two colours, and how many there are: 1, 2 or 3 (more). */
static unsigned look(const struct rfb_image *t, uint32_t *ret_background, uint32_t *ret_foreground)
{
    uint32_t first = t->pixels[0], second = 0;
    unsigned firsts = 0, seconds = 0, others = 0;

    for (unsigned y = 0; y < t->height; y++) {
        for (unsigned x = 0; x < t->width; x++) {
            uint32_t pixel = t->pixels[y * t->stride + x];

            if (pixel == first) {
                firsts++;
            } else if (!seconds || pixel == second) {
                second = pixel;
                seconds++;
            } else {
                others++;
            }
        }
    }
    *ret_background = seconds > firsts ? second : first;
    *ret_foreground = seconds > firsts ? first : second;
    return others ? 3 : seconds ? 2 : 1;
}

/* All that is not background, as rectangles; returns how many, or 256: too many bytes. */
static unsigned cut(struct rfb *c, const struct rfb_image *t, uint32_t background, bool coloured, size_t most)
{
    bool done[TILE][TILE] = {{false}};
    unsigned count = 0;

    c->scratch.size = 0;
    for (unsigned y = 0; y < t->height; y++) {
        for (unsigned x = 0; x < t->width; x++) {
            uint32_t colour = t->pixels[y * t->stride + x];
            unsigned w = 1, h = 1;

            if (done[y][x] || colour == background)
                continue;
            while (x + w < t->width && !done[y][x + w] && t->pixels[y * t->stride + x + w] == colour)
                w++;
            for (bool same = true; same && y + h < t->height; h += same) {
                for (unsigned i = 0; i < w && same; i++)
                    same = !done[y + h][x + i] && t->pixels[(y + h) * t->stride + x + i] == colour;
            }
            for (unsigned i = 0; i < h; i++)
                memset(&done[y + i][x], true, w);
            if (coloured)
                put_colour(c, &c->scratch, colour);
            bytes_put8(&c->scratch, (uint8_t)(x << 4 | y));
            bytes_put8(&c->scratch, (uint8_t)((w - 1) << 4 | (h - 1)));
            if (++count > 255 || c->scratch.size >= most)
                return 256;
        }
    }
    return count;
}

static void put_raw_tile(struct rfb *c, const struct rfb_image *t, struct previous *previous)
{
    bytes_put8(&c->out, IS_RAW);
    rfb_put_image(&c->out, &c->format, rfb_pixels, t);
    previous->has_background = previous->has_foreground = false;
}

static void put_tile(struct rfb *c, const struct rfb_image *t, struct previous *previous)
{
    uint32_t background, foreground;
    unsigned colours = look(t, &background, &foreground), count = 0;
    uint8_t flags = 0;

    if (colours > 1) {
        count = cut(c, t, background, colours > 2, (size_t)t->width * t->height * c->format.bytes);
        if (count > 255) {
            put_raw_tile(c, t, previous);
            return;
        }
        flags |= ANY_SUBRECTS | (colours > 2 ? COLOURED : 0);
    }
    if (!previous->has_background || previous->background != background)
        flags |= BACKGROUND;
    if (colours == 2 && (!previous->has_foreground || previous->foreground != foreground))
        flags |= FOREGROUND;
    bytes_put8(&c->out, flags);
    if (flags & BACKGROUND)
        put_colour(c, &c->out, background);
    if (flags & FOREGROUND)
        put_colour(c, &c->out, foreground);
    previous->background = background;
    previous->has_background = true;
    if (colours == 2) {
        previous->foreground = foreground;
        previous->has_foreground = true;
    } else if (colours > 2) {
        previous->has_foreground = false;
    }
    if (!count)
        return;
    bytes_put8(&c->out, (uint8_t)count);
    bytes_put(&c->out, c->scratch.data, c->scratch.size);
}

void rfb_hextile(struct rfb *c, const struct rfb_image *image)
{
    struct previous previous = {.has_background = false};

    for (uint32_t y = 0; y < image->height; y += TILE) {
        for (uint32_t x = 0; x < image->width; x += TILE) {
            const struct rfb_image t = {
                .pixels = image->pixels + y * image->stride + x, .stride = image->stride,
                .width = image->width - x < TILE ? image->width - x : TILE,
                .height = image->height - y < TILE ? image->height - y : TILE};

            put_tile(c, &t, &previous);
        }
    }
}
