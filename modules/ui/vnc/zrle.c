/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ZRLE (RFC 6143, 7.7.6): tiles of 64 x 64, each in the smallest of its forms, in one stream of zlib. */
#include "rfb.h"

#define TILE 64u
#define PACKED_MOST 16u /* colours of a packed palette */
#define RLE_MOST 127u   /* of one with runs */

static void put_colours(struct rfb *c, const uint32_t *colours, size_t count)
{
    rfb_put_pixels(&c->scratch, &c->format, rfb_cpixels, colours, count);
}

/* Walks over runs, which go on from line to line. */
struct runs {
    const struct rfb_image *tile;
    uint32_t x, y;
};

static uint32_t next_run(struct runs *r, uint32_t *ret_colour)
{
    uint32_t colour = r->tile->pixels[r->y * r->tile->stride + r->x], length = 0;

    while (r->y < r->tile->height && r->tile->pixels[r->y * r->tile->stride + r->x] == colour) {
        length++;
        if (++r->x == r->tile->width) {
            r->x = 0;
            r->y++;
        }
    }
    *ret_colour = colour;
    return length;
}

/* Bytes that runs take: plain, and with a palette's indices. */
static void measure(struct rfb *c, const struct rfb_image *tile, size_t *ret_plain, size_t *ret_indexed)
{
    struct runs r = {tile, 0, 0};
    size_t plain = 0, indexed = 0;
    uint32_t colour;

    while (r.y < tile->height) {
        uint32_t length = next_run(&r, &colour), more = (length - 1) / 255 + 1;

        plain += c->format.packed + more;
        indexed += length == 1 ? 1 : 1 + more;
    }
    *ret_plain = plain;
    *ret_indexed = indexed;
}

static void put_length(struct rfb *c, uint32_t length)
{
    for (length--; length >= 255; length -= 255)
        bytes_put8(&c->scratch, 255);
    bytes_put8(&c->scratch, (uint8_t)length);
}

static void put_runs(struct rfb *c, const struct rfb_image *tile, bool indexed)
{
    struct runs r = {tile, 0, 0};
    uint32_t colour;

    while (r.y < tile->height) {
        uint32_t length = next_run(&r, &colour);

        if (!indexed) {
            put_colours(c, &colour, 1);
            put_length(c, length);
            continue;
        }
        bytes_put8(&c->scratch, (uint8_t)(rfb_palette_index(&c->palette, colour) | (length > 1 ? 128 : 0)));
        if (length > 1)
            put_length(c, length);
    }
}

static unsigned bits_for(unsigned colours)
{
    return colours <= 2 ? 1 : colours <= 4 ? 2 : 4;
}

static void put_packed(struct rfb *c, const struct rfb_image *tile, unsigned bits)
{
    for (uint32_t y = 0; y < tile->height; y++) {
        unsigned byte = 0, filled = 0;

        for (uint32_t x = 0; x < tile->width; x++) {
            byte = byte << bits | rfb_palette_index(&c->palette, tile->pixels[y * tile->stride + x]);
            filled += bits;
            if (filled == 8) {
                bytes_put8(&c->scratch, (uint8_t)byte);
                byte = filled = 0;
            }
        }
        if (filled)
            bytes_put8(&c->scratch, (uint8_t)(byte << (8 - filled)));
    }
}

static void put_tile(struct rfb *c, const struct rfb_image *tile)
{
    size_t raw = (size_t)tile->width * tile->height * c->format.packed, plain, indexed, packed;
    unsigned colours;

    rfb_palette_make(&c->palette, tile, RLE_MOST);
    colours = c->palette.count;
    if (colours == 1) {
        bytes_put8(&c->scratch, 1);
        put_colours(c, c->palette.colours, 1);
        return;
    }
    measure(c, tile, &plain, &indexed);
    plain++;
    indexed = colours <= RLE_MOST ? 1 + indexed + (size_t)colours * c->format.packed : SIZE_MAX;
    packed = SIZE_MAX;
    if (colours <= PACKED_MOST)
        packed = 1 + (size_t)colours * c->format.packed +
                 (size_t)tile->height * ((tile->width * bits_for(colours) + 7) / 8);
    if (packed <= indexed && packed <= plain && packed < raw) {
        bytes_put8(&c->scratch, (uint8_t)colours);
        put_colours(c, c->palette.colours, colours);
        put_packed(c, tile, bits_for(colours));
    } else if (indexed <= plain && indexed < raw) {
        bytes_put8(&c->scratch, (uint8_t)(128 + colours));
        put_colours(c, c->palette.colours, colours);
        put_runs(c, tile, true);
    } else if (plain < raw) {
        bytes_put8(&c->scratch, 128);
        put_runs(c, tile, false);
    } else {
        bytes_put8(&c->scratch, 0);
        rfb_put_image(&c->scratch, &c->format, rfb_cpixels, tile);
    }
}

void rfb_zrle(struct rfb *c, const struct rfb_image *image)
{
    c->scratch.size = c->squeezed.size = 0;
    for (uint32_t y = 0; y < image->height; y += TILE) {
        for (uint32_t x = 0; x < image->width; x += TILE) {
            const struct rfb_image tile = {
                .pixels = image->pixels + y * image->stride + x, .stride = image->stride,
                .width = image->width - x < TILE ? image->width - x : TILE,
                .height = image->height - y < TILE ? image->height - y : TILE};

            put_tile(c, &tile);
        }
    }
    rfb_deflate(c, 0, c->scratch.data, c->scratch.size, &c->squeezed);
    bytes_put32(&c->out, (uint32_t)c->squeezed.size);
    bytes_put(&c->out, c->squeezed.data, c->squeezed.size);
}
