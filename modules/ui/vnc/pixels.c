/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pixel formats of clients (RFC 6143, 7.4), and palettes. */
#include <errno.h>
#include <string.h>

#include "rfb.h"

/* ---- formats ---- */

static unsigned bits_of(uint16_t max)
{
    unsigned n = 0;

    while (max >> n)
        n++;
    return n;
}

static bool fits(const struct rfb_format *f, uint16_t max, uint8_t shift)
{
    return shift < f->bits && shift + bits_of(max) <= f->bits;
}

static void make_table(uint32_t table[256], uint16_t max, uint8_t shift)
{
    for (unsigned i = 0; i < 256; i++)
        table[i] = (i * max + 127) / 255 << shift;
}

/* What follows from it. */
static void settle(struct rfb_format *f)
{
    uint32_t used = (uint32_t)f->red_max << f->red_shift | (uint32_t)f->green_max << f->green_shift |
                    (uint32_t)f->blue_max << f->blue_shift;

    make_table(f->red, f->red_max, f->red_shift);
    make_table(f->green, f->green_max, f->green_shift);
    make_table(f->blue, f->blue_max, f->blue_shift);
    f->bytes = f->bits / 8;
    f->packed = f->bytes;
    f->packed_high = false;
    if (f->bits == 32 && f->true_colour && f->depth <= 24) {
        if (!(used & 0xff000000u))
            f->packed = 3;
        else if (!(used & 0xff))
            f->packed = 3, f->packed_high = true;
    }
    f->rgb = f->bits == 32 && f->true_colour && f->depth == 24 && f->red_max == 255 && f->green_max == 255 &&
             f->blue_max == 255;
}

int rfb_format_set(struct rfb_format *f, const uint8_t wire[16])
{
    struct rfb_format new = {
        .bits = wire[0], .depth = wire[1], .big_endian = wire[2] != 0, .true_colour = wire[3] != 0,
        .red_max = (uint16_t)(wire[4] << 8 | wire[5]), .green_max = (uint16_t)(wire[6] << 8 | wire[7]),
        .blue_max = (uint16_t)(wire[8] << 8 | wire[9]), .red_shift = wire[10], .green_shift = wire[11],
        .blue_shift = wire[12]};

    if (new.bits != 8 && new.bits != 16 && new.bits != 32)
        return -EINVAL;
    if (!new.true_colour) {
        /* Indices into a colour map of ours: three bits of red, three of green, two of blue. */
        new.red_max = new.green_max = 7;
        new.blue_max = 3;
        new.red_shift = 0;
        new.green_shift = 3;
        new.blue_shift = 6;
    } else if (!fits(&new, new.red_max, new.red_shift) || !fits(&new, new.green_max, new.green_shift) ||
               !fits(&new, new.blue_max, new.blue_shift)) {
        return -EINVAL;
    }
    settle(&new);
    *f = new;
    return 0;
}

void rfb_format_default(struct rfb_format *f)
{
    static const uint8_t ours[16] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};

    rfb_format_set(f, ours);
}

void rfb_format_put(const struct rfb_format *f, uint8_t wire[16])
{
    const uint8_t bytes[16] = {
        f->bits, f->depth, f->big_endian, f->true_colour, (uint8_t)(f->red_max >> 8), (uint8_t)f->red_max,
        (uint8_t)(f->green_max >> 8), (uint8_t)f->green_max, (uint8_t)(f->blue_max >> 8),
        (uint8_t)f->blue_max, f->red_shift, f->green_shift, f->blue_shift};

    memcpy(wire, bytes, 16);
}

static uint32_t convert(const struct rfb_format *f, uint32_t pixel)
{
    return f->red[pixel >> 16 & 255] | f->green[pixel >> 8 & 255] | f->blue[pixel & 255];
}

/* The `count` bytes of value v from byte `from` of a pixel of `bytes`, in the client's order. */
static uint8_t *put_bytes(uint8_t *to, uint32_t v, unsigned bytes, bool big_endian)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> 8 * (big_endian ? bytes - 1 - i : i));
    return to + bytes;
}

uint8_t *rfb_value(const struct rfb_format *f, uint8_t *to, uint32_t value)
{
    return put_bytes(to, value, f->bytes, f->big_endian);
}

uint8_t *rfb_pixels(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to = put_bytes(to, convert(f, from[i]), f->bytes, f->big_endian);
    return to;
}

uint8_t *rfb_cpixels(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count)
{
    if (f->packed == f->bytes)
        return rfb_pixels(f, to, from, count);
    for (size_t i = 0; i < count; i++)
        to = put_bytes(to, convert(f, from[i]) >> (f->packed_high ? 8 : 0), 3, f->big_endian);
    return to;
}

uint8_t *rfb_tpixels(const struct rfb_format *f, uint8_t *to, const uint32_t *from, size_t count)
{
    if (!f->rgb)
        return rfb_pixels(f, to, from, count);
    for (size_t i = 0; i < count; i++) {
        *to++ = (uint8_t)(from[i] >> 16);
        *to++ = (uint8_t)(from[i] >> 8);
        *to++ = (uint8_t)from[i];
    }
    return to;
}

void rfb_put_pixels(struct bytes *b, const struct rfb_format *f, rfb_converter *convert, const uint32_t *from,
                    size_t count)
{
    uint8_t *end = convert(f, bytes_reserve(b, count * f->bytes), from, count);

    b->size = (size_t)(end - b->data);
}

void rfb_put_image(struct bytes *b, const struct rfb_format *f, rfb_converter *convert,
                   const struct rfb_image *image)
{
    for (uint32_t y = 0; y < image->height; y++)
        rfb_put_pixels(b, f, convert, image->pixels + y * image->stride, image->width);
}

/* ---- palettes ---- */

static unsigned hash(uint32_t colour)
{
    return (colour * 2654435761u) >> 22; /* 10 bits */
}

static void add(struct rfb_palette *p, uint32_t colour)
{
    unsigned at = hash(colour);

    for (; p->slots[at]; at = (at + 1) % BP_COUNT(p->slots)) {
        if (p->colours[p->slots[at] - 1] == colour)
            return;
    }
    if (p->count++ >= p->most)
        return;
    p->colours[p->count - 1] = colour;
    p->slots[at] = (uint16_t)p->count;
}

void rfb_palette_make(struct rfb_palette *p, const struct rfb_image *image, unsigned most)
{
    uint32_t last = ~image->pixels[0];

    p->count = 0;
    p->most = most;
    memset(p->slots, 0, sizeof(p->slots));
    for (uint32_t y = 0; y < image->height; y++) {
        const uint32_t *row = image->pixels + y * image->stride;

        for (uint32_t x = 0; x < image->width; x++) {
            if (row[x] == last)
                continue;
            last = row[x];
            add(p, last);
            if (p->count > most)
                return;
        }
    }
}

unsigned rfb_palette_index(const struct rfb_palette *p, uint32_t colour)
{
    for (unsigned at = hash(colour);; at = (at + 1) % BP_COUNT(p->slots)) {
        if (p->slots[at] == 0)
            return 0; /* is not in it: not asked for */
        if (p->colours[p->slots[at] - 1] == colour)
            return p->slots[at] - 1u;
    }
}
