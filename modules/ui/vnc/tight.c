/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tight, and Tight with PNG (the community's specification of RFB): one colour, a palette, pixels through zlib,
 * or pictures as JPEG and PNG. JPEG only where the server may lose (lossy=on) and the client said a quality.
 */
#include "rfb.h"

#define FILL 0x80u
#define JPEG 0x90u
#define PNG 0xa0u
#define WITH_FILTER 0x40u
#define FILTER_PALETTE 1u
#define SMALLEST 12u       /* bytes: fewer go as they are */
#define JPEG_PIXELS 1024u  /* a smaller picture is not worth one */
enum { STREAM_PIXELS, STREAM_TWO, STREAM_PALETTE };

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

static bool put_picture(struct rfb *c, const struct rfb_image *image, uint8_t kind)
{
    c->squeezed.size = 0;
    if (kind == JPEG ? !rfb_jpeg(&c->squeezed, image, 10 + c->quality * 10)
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
    bool picture = c->encoding == RFB_TIGHT_PNG, jpeg = c->lossy && c->quality >= 0 && c->format.bytes > 1;
    bool large = (size_t)image->width * image->height >= JPEG_PIXELS;

    rfb_palette_make(&c->palette, image, 256);
    if (c->palette.count == 1) {
        bytes_put8(&c->out, FILL);
        put_colours(c, &c->out, c->palette.colours, 1);
        return;
    }
    if (jpeg && large && c->palette.count > 256 && put_picture(c, image, JPEG))
        return;
    if (picture && put_picture(c, image, PNG))
        return;
    if (c->palette.count == 2)
        put_two(c, image);
    else if (c->palette.count <= 256 && c->format.bytes > 1)
        put_indexed(c, image);
    else
        put_pixels(c, image);
}
