/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tight, and Tight with PNG (the community's specification of RFB): one colour, a palette, pixels through zlib, as they
 * are or as what the gradient filter leaves of them, or pictures as JPEG and PNG. JPEG and the filter only where the
 * server may lose (lossy=on), JPEG only where the client said a quality. (The filter loses nothing.)
 */
#include <stdlib.h>

#include "rfb.h"

#define FILL 0x80u
#define JPEG 0x90u
#define PNG 0xa0u
#define WITH_FILTER 0x40u
#define FILTER_PALETTE 1u
#define FILTER_GRADIENT 2u
#define SMALLEST 12u       /* bytes: fewer go as they are */
#define JPEG_PIXELS 1024u  /* a smaller picture is not worth one */
#define SMOOTH 12u         /* at most: how far the filter misses a smooth picture's colours, on average */
#define COARSE_LEAST 10    /* quality, in percent */
enum { STREAM_PIXELS, STREAM_TWO, STREAM_PALETTE, STREAM_GRADIENT };

static void put_length(struct bytes *to, size_t length)
{
    bytes_put8(to, (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0)));
    if (length <= 0x7f)
        return;
    bytes_put8(to, (uint8_t)((length >> 7 & 0x7f) | (length > 0x3fff ? 0x80 : 0)));
    if (length > 0x3fff)
        bytes_put8(to, (uint8_t)(length >> 14));
}

static void put_colours(struct rfb *c, struct bytes *to, const uint32_t *colours, size_t count)
{
    rfb_put_pixels(to, &c->format, rfb_tpixels, colours, count);
}

/* What stands in scratch. */
static void put_data(struct rfb *c, unsigned stream)
{
    if (c->scratch.size < SMALLEST) {
        bytes_put(&c->out, c->scratch.data, c->scratch.size);
        return;
    }
    c->squeezed.size = 0;
    rfb_deflate(c, 2 + stream, c->scratch.data, c->scratch.size, &c->squeezed);
    put_length(&c->out, c->squeezed.size);
    bytes_put(&c->out, c->squeezed.data, c->squeezed.size);
}

static void put_two(struct rfb *c, const struct rfb_image *image)
{
    bytes_put8(&c->out, WITH_FILTER | STREAM_TWO << 4);
    bytes_put8(&c->out, FILTER_PALETTE);
    bytes_put8(&c->out, 1);
    put_colours(c, &c->out, c->palette.colours, 2);
    c->scratch.size = 0;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint32_t *row = image->pixels + y * image->stride;

        for (uint32_t x = 0; x < image->width; x += 8) {
            uint8_t bits = 0;

            for (uint32_t i = 0; i < 8 && x + i < image->width; i++)
                bits |= (uint8_t)((row[x + i] == c->palette.colours[1]) << (7 - i));
            bytes_put8(&c->scratch, bits);
        }
    }
    put_data(c, STREAM_TWO);
}

static void put_indexed(struct rfb *c, const struct rfb_image *image)
{
    bytes_put8(&c->out, WITH_FILTER | STREAM_PALETTE << 4);
    bytes_put8(&c->out, FILTER_PALETTE);
    bytes_put8(&c->out, (uint8_t)(c->palette.count - 1));
    put_colours(c, &c->out, c->palette.colours, c->palette.count);
    c->scratch.size = 0;
    for (uint32_t y = 0; y < image->height; y++) {
        for (uint32_t x = 0; x < image->width; x++)
            bytes_put8(&c->scratch, (uint8_t)rfb_palette_index(&c->palette,
                                                             image->pixels[y * image->stride + x]));
    }
    put_data(c, STREAM_PALETTE);
}

static void put_pixels(struct rfb *c, const struct rfb_image *image)
{
    bytes_put8(&c->out, STREAM_PIXELS << 4);
    c->scratch.size = 0;
    rfb_put_image(&c->scratch, &c->format, rfb_tpixels, image);
    put_data(c, STREAM_PIXELS);
}

/* ---- the gradient filter: what a colour is beyond what its neighbours at the left and above let expect ---- */

struct parts {
    int32_t of[3]; /* red, green, blue: as the client has them */
};

static struct parts parts_of(const struct rfb_format *f, uint32_t pixel)
{
    return (struct parts){{(int32_t)(f->red[pixel >> 16 & 255] >> f->red_shift),
                           (int32_t)(f->green[pixel >> 8 & 255] >> f->green_shift),
                           (int32_t)(f->blue[pixel & 255] >> f->blue_shift)}};
}

static struct parts missed(const struct rfb_format *f, const struct rfb_image *image, uint32_t x, uint32_t y)
{
    const uint32_t *at = image->pixels + y * image->stride + x;
    const struct parts none = {{0, 0, 0}};
    struct parts here = parts_of(f, *at), left = x ? parts_of(f, at[-1]) : none;
    struct parts above = y ? parts_of(f, *(at - image->stride)) : none;
    struct parts across = x && y ? parts_of(f, *(at - image->stride - 1)) : none;
    const int32_t most[3] = {f->red_max, f->green_max, f->blue_max};

    for (unsigned i = 0; i < 3; i++) {
        int32_t expected = left.of[i] + above.of[i] - across.of[i];

        here.of[i] -= expected < 0 ? 0 : expected > most[i] ? most[i] : expected;
    }
    return here;
}

/* Photographs are; text and flat areas, which zlib knows better by itself, are not. Some lines tell. */
static bool is_smooth(const struct rfb_format *f, const struct rfb_image *image)
{
    uint64_t off = 0, seen = 0, flat = 0;

    if (image->width < 2 || (f->red_max & (f->red_max + 1)) || (f->green_max & (f->green_max + 1)) ||
        (f->blue_max & (f->blue_max + 1)) || !f->green_max)
        return false; /* values that go round need whole bits */
    for (uint32_t y = 1; y < image->height; y += 8) {
        const uint32_t *row = image->pixels + y * image->stride;

        for (uint32_t x = 1; x < image->width; x++) {
            struct parts m = missed(f, image, x, y);

            flat += row[x] == row[x - 1];
            off += (uint64_t)(abs(m.of[0]) + abs(m.of[1]) + abs(m.of[2]));
            seen++;
        }
    }
    return seen && flat * 2 < seen && off * 255 / f->green_max < seen * 3 * SMOOTH;
}

static void put_gradient(struct rfb *c, const struct rfb_image *image)
{
    const struct rfb_format *f = &c->format;

    bytes_put8(&c->out, WITH_FILTER | STREAM_GRADIENT << 4);
    bytes_put8(&c->out, FILTER_GRADIENT);
    c->scratch.size = 0;
    for (uint32_t y = 0; y < image->height; y++) {
        uint8_t *to = bytes_reserve(&c->scratch, (size_t)image->width * 4);

        for (uint32_t x = 0; x < image->width; x++) {
            struct parts m = missed(f, image, x, y);
            uint32_t red = (uint32_t)m.of[0] & f->red_max, green = (uint32_t)m.of[1] & f->green_max;
            uint32_t blue = (uint32_t)m.of[2] & f->blue_max;

            if (f->rgb) {
                *to++ = (uint8_t)red;
                *to++ = (uint8_t)green;
                *to++ = (uint8_t)blue;
            } else {
                to = rfb_value(f, to, red << f->red_shift | green << f->green_shift | blue << f->blue_shift);
            }
        }
        c->scratch.size = (size_t)(to - c->scratch.data);
    }
    put_data(c, STREAM_GRADIENT);
}

/* ---- pictures ---- */

static int jpeg_quality(const struct rfb *c)
{
    int asked = 10 + c->quality * 10, coarse = asked / 2;

    return c->grade != RFB_COARSE ? asked : coarse < COARSE_LEAST ? COARSE_LEAST : coarse;
}

static bool put_picture(struct rfb *c, const struct rfb_image *image, uint8_t kind)
{
    c->squeezed.size = 0;
    if (kind == JPEG ? !rfb_jpeg(&c->squeezed, image, jpeg_quality(c))
                     : !rfb_png(&c->squeezed, image, c->compression))
        return false;
    if (c->squeezed.size >= 1u << 22)
        return false; /* more than a length can say */
    bytes_put8(&c->out, kind);
    put_length(&c->out, c->squeezed.size);
    bytes_put(&c->out, c->squeezed.data, c->squeezed.size);
    return true;
}

void rfb_tight(struct rfb *c, const struct rfb_image *image)
{
    bool picture = c->encoding == RFB_TIGHT_PNG, jpeg = rfb_may_lose(c) && c->grade != RFB_EXACT;
    bool large = (size_t)image->width * image->height >= JPEG_PIXELS;

    rfb_palette_make(&c->palette, image, 256);
    if (c->palette.count == 1) {
        bytes_put8(&c->out, FILL);
        put_colours(c, &c->out, c->palette.colours, 1);
        return;
    }
    c->lost = jpeg && large && c->palette.count > 256 && put_picture(c, image, JPEG);
    if (c->lost)
        return;
    if (picture && put_picture(c, image, PNG))
        return;
    if (c->palette.count == 2)
        put_two(c, image);
    else if (c->palette.count <= 256 && c->format.bytes > 1)
        put_indexed(c, image);
    else if (large && c->lossy && c->format.bytes > 1 && is_smooth(&c->format, image))
        put_gradient(c, image);
    else
        put_pixels(c, image);
}
