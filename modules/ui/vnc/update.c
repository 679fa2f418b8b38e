/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Updates of the picture (RFC 6143, 7.6.1, 7.7.1), and what is sent as rectangles besides pictures. */
#include <string.h>

#include "rfb.h"

void rfb_update(struct rfb *c, uint16_t rects)
{
    bytes_put8(&c->out, 0);
    bytes_put8(&c->out, 0);
    bytes_put16(&c->out, rects);
}

void rfb_rect(struct rfb *c, uint16_t x, uint16_t y, uint16_t width, uint16_t height, int32_t encoding)
{
    bytes_put16(&c->out, x);
    bytes_put16(&c->out, y);
    bytes_put16(&c->out, width);
    bytes_put16(&c->out, height);
    bytes_put32(&c->out, (uint32_t)encoding);
}

static void put_zlib(struct rfb *c, const struct rfb_image *image)
{
    c->scratch.size = c->squeezed.size = 0;
    rfb_put_image(&c->scratch, &c->format, rfb_pixels, image);
    rfb_deflate(c, 1, c->scratch.data, c->scratch.size, &c->squeezed);
    bytes_put32(&c->out, (uint32_t)c->squeezed.size);
    bytes_put(&c->out, c->squeezed.data, c->squeezed.size);
}

void rfb_copy(struct rfb *c, const uint16_t at[2], const uint16_t from[2], uint16_t width, uint16_t height)
{
    rfb_rect(c, at[0], at[1], width, height, RFB_COPY_RECT);
    bytes_put16(&c->out, from[0]);
    bytes_put16(&c->out, from[1]);
}

bool rfb_may_lose(const struct rfb *c)
{
    return (c->encoding == RFB_TIGHT || c->encoding == RFB_TIGHT_PNG) && c->lossy && c->quality >= 0 &&
           c->format.bytes > 1;
}

void rfb_encode(struct rfb *c, uint16_t x, uint16_t y, const struct rfb_image *image)
{
    c->lost = false;
    rfb_rect(c, x, y, (uint16_t)image->width, (uint16_t)image->height, c->encoding);
    switch (c->encoding) {
    case RFB_HEXTILE:
        rfb_hextile(c, image);
        break;
    case RFB_ZRLE:
        rfb_zrle(c, image);
        break;
    case RFB_TIGHT:
    case RFB_TIGHT_PNG:
        rfb_tight(c, image);
        break;
    case RFB_ZLIB:
        put_zlib(c, image);
        break;
    default:
        rfb_put_image(&c->out, &c->format, rfb_pixels, image);
        break;
    }
}

void rfb_deflate(struct rfb *c, unsigned stream, const uint8_t *data, size_t size, struct bytes *to)
{
    z_stream *const all[] = {&c->zrle, &c->zlib, &c->tight[0], &c->tight[1], &c->tight[2], &c->tight[3]};
    z_stream *z = all[stream];

    if (!(c->streams >> stream & 1)) {
        memset(z, 0, sizeof(*z));
        if (deflateInit(z, c->compression) != Z_OK)
            return; /* no memory: the client sees an empty stream and ends */
        c->streams |= (uint8_t)(1u << stream);
    }
    z->next_in = (Bytef *)data;
    z->avail_in = (uInt)size;
    do {
        size_t room = size / 2 + 1024;

        z->next_out = bytes_reserve(to, room);
        z->avail_out = (uInt)room;
        deflate(z, Z_SYNC_FLUSH);
        to->size += room - z->avail_out;
    } while (z->avail_out == 0);
}

void rfb_colour_map(struct rfb *c)
{
    c->palette_due = false;
    bytes_put8(&c->out, 1);
    bytes_put8(&c->out, 0);
    bytes_put16(&c->out, 0);
    bytes_put16(&c->out, 256);
    for (unsigned i = 0; i < 256; i++) {
        bytes_put16(&c->out, (uint16_t)((i & 7) * 65535 / 7));
        bytes_put16(&c->out, (uint16_t)((i >> 3 & 7) * 65535 / 7));
        bytes_put16(&c->out, (uint16_t)((i >> 6) * 65535 / 3));
    }
}

void rfb_put_screens(struct rfb *c, uint16_t reason, uint16_t status, uint16_t width, uint16_t height)
{
    rfb_rect(c, reason, status, width, height, RFB_EXTENDED_DESKTOP_SIZE);
    bytes_put32(&c->out, 1u << 24); /* one screen: the whole */
    bytes_put32(&c->out, 0);
    bytes_put32(&c->out, 0);
    bytes_put16(&c->out, width);
    bytes_put16(&c->out, height);
    bytes_put32(&c->out, 0);
}

/* Premultiplied, bytes red, green, blue, alpha. */
static void put_alpha(struct rfb *c, const uint32_t *pixels, size_t count)
{
    bytes_put32(&c->out, RFB_RAW);
    for (size_t i = 0; i < count; i++) {
        uint32_t alpha = pixels[i] >> 24;

        for (int shift = 16; shift >= 0; shift -= 8)
            bytes_put8(&c->out, (uint8_t)(((pixels[i] >> shift & 255) * alpha + 127) / 255));
        bytes_put8(&c->out, (uint8_t)alpha);
    }
}

void rfb_put_cursor(struct rfb *c, uint16_t hot_x, uint16_t hot_y, uint16_t width, uint16_t height,
                    const uint32_t *pixels)
{
    size_t count = (size_t)width * height;

    if (c->has & RFB_HAS_ALPHA_CURSOR) {
        rfb_rect(c, hot_x, hot_y, width, height, RFB_ALPHA_CURSOR);
        put_alpha(c, pixels, count);
        return;
    }
    rfb_rect(c, hot_x, hot_y, width, height, RFB_CURSOR);
    rfb_put_pixels(&c->out, &c->format, rfb_pixels, pixels, count);
    for (uint16_t y = 0; y < height; y++) { /* a mask: what is more than half there */
        for (unsigned x = 0; x < width; x += 8) {
            uint8_t bits = 0;

            for (unsigned i = 0; i < 8 && x + i < width; i++)
                bits |= (uint8_t)((pixels[(size_t)y * width + x + i] >> 31) << (7 - i));
            bytes_put8(&c->out, bits);
        }
    }
}

void rfb_put_power(struct rfb *c, uint8_t code)
{
    const uint8_t message[] = {250, 0, 1, code};

    bytes_put(&c->out, message, sizeof(message));
}
