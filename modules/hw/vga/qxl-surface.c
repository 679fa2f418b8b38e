/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Surfaces of a QXL: rectangles of pixels in the guest's RAM. */
#include <string.h>

#include <bp/log.h>

#include "qxl.h"

unsigned qxl_bytes(uint32_t format)
{
    switch (format) {
    case SPICE_SURFACE_FMT_16_555:
    case SPICE_SURFACE_FMT_16_565:
        return 2;
    case SPICE_SURFACE_FMT_32_xRGB:
    case SPICE_SURFACE_FMT_32_ARGB:
        return 4;
    default:
        return 0;
    }
}

static uint64_t stride_of(int32_t stride)
{
    return stride < 0 ? (uint64_t) - (int64_t)stride : (uint64_t)stride;
}

bool qxl_surface_is_sound(const struct qxl *s, const struct qxl_surface *u)
{
    uint64_t stride = stride_of(u->stride), bytes = qxl_bytes(u->format);

    return bytes && u->vram <= 1 && u->width && u->height && u->width <= QXL_MAX_SIZE &&
           u->height <= QXL_MAX_SIZE && stride >= bytes * u->width && stride % 4 == 0 &&
           u->offset + stride * u->height <= (u->vram ? s->vram_size : s->ram_size);
}

bool qxl_surface_make(struct qxl *s, uint32_t number, const QXLSurface *what)
{
    struct qxl_surface u = {.format = what->format,
                            .width = what->width,
                            .height = what->height,
                            .stride = what->stride};
    struct qxl_place place;
    uint64_t stride = stride_of(u.stride);

    if (!qxl_bytes(u.format) || u.height > QXL_MAX_SIZE || stride > 4 * QXL_MAX_SIZE ||
        !qxl_find(s, what->data, stride * u.height, &place)) {
        bp_guest_error("qxl-surface", "qxl: surface %u of %u x %u and format %u cannot be made",
                       number, what->width, what->height, what->format);
        return false;
    }
    u.vram = place.region == s->vram_region;
    u.offset = (uint32_t)place.offset;
    if (!qxl_surface_is_sound(s, &u)) {
        bp_guest_error("qxl-surface", "qxl: surface %u of %u x %u has lines of %d bytes", number,
                       what->width, what->height, what->stride);
        return false;
    }
    s->surfaces[number] = u;
    return true;
}

static uint64_t line_offset(const struct qxl_surface *u, uint32_t y)
{
    return u->offset + stride_of(u->stride) * (u->stride < 0 ? u->height - 1 - y : y);
}

uint8_t *qxl_line(const struct qxl *s, const struct qxl_surface *u, uint32_t y)
{
    return (u->vram ? s->vram : s->vga.memory) + line_offset(u, y);
}

void qxl_dirty(struct qxl *s, const struct qxl_surface *u, uint32_t y, uint32_t x, uint32_t width)
{
    unsigned bytes = qxl_bytes(u->format);

    bp_region_mark_dirty(u->vram ? s->vram_region : s->vga.vram,
                         line_offset(u, y) + (uint64_t)x * bytes, (uint64_t)width * bytes);
}

/* ---- pixels ---- */

static uint32_t widen(uint32_t value, unsigned bits)
{
    return value << (8 - bits) | value >> (2 * bits - 8);
}

uint32_t qxl_get(const uint8_t *line, uint32_t x, uint32_t format)
{
    const uint8_t *at = line + (size_t)x * qxl_bytes(format);
    uint32_t v = at[0] | (uint32_t)at[1] << 8;

    if (format == SPICE_SURFACE_FMT_16_555)
        return 0xff000000u | widen(v >> 10 & 31, 5) << 16 | widen(v >> 5 & 31, 5) << 8 |
               widen(v & 31, 5);
    if (format == SPICE_SURFACE_FMT_16_565)
        return 0xff000000u | widen(v >> 11, 5) << 16 | widen(v >> 5 & 63, 6) << 8 |
               widen(v & 31, 5);
    return v | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void qxl_put(uint8_t *line, uint32_t x, uint32_t format, uint32_t c)
{
    uint8_t *at = line + (size_t)x * qxl_bytes(format);
    uint32_t v = c;

    if (format == SPICE_SURFACE_FMT_16_555)
        v = (c >> 9 & 0x7c00) | (c >> 6 & 0x03e0) | (c >> 3 & 0x1f);
    else if (format == SPICE_SURFACE_FMT_16_565)
        v = (c >> 8 & 0xf800) | (c >> 5 & 0x07e0) | (c >> 3 & 0x1f);
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
    if (qxl_bytes(format) == 4) {
        at[2] = (uint8_t)(v >> 16);
        at[3] = (uint8_t)(v >> 24);
    }
}
