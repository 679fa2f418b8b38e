/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Surfaces: what consoles show. Guest RAM is read here, and nowhere else in the framework. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"

#define MAX_PIXELS (64u << 20) /* of a picture: 256 MiB */
#define PAGE 4096u

static unsigned bytes_of(uint32_t format)
{
    switch (format) {
    case BP_FORMAT_XRGB8888:
    case BP_FORMAT_ARGB8888:
    case BP_FORMAT_XBGR8888:
    case BP_FORMAT_BGRX8888:
        return 4;
    case BP_FORMAT_RGB888:
        return 3;
    case BP_FORMAT_RGB565:
    case BP_FORMAT_XRGB1555:
        return 2;
    case BP_FORMAT_C8:
        return 1;
    default:
        return 0;
    }
}

static int check_options(const struct bp_surface_options *o, uint32_t *ret_stride,
                         struct bp_error *err)
{
    unsigned bytes = bytes_of(o->format);
    uint32_t across = o->repeat_x ? o->repeat_x : 1, down = o->repeat_y ? o->repeat_y : 1;
    uint64_t line = (uint64_t)o->width * bytes, stride = o->stride ? o->stride : (line + 3) & ~3ull;

    if (o->size < offsetof(struct bp_surface_options, reserved))
        return bp_fail(err, EINVAL, "surface: options of %u bytes make no sense", o->size);
    if (!bytes)
        return bp_fail(err, EINVAL, "surface: pixel format 0x%08x is not known", o->format);
    if (o->flags)
        return bp_fail(err, EINVAL, "surface: flags 0x%x are not known", o->flags);
    if (!o->width || !o->height || o->width > BP_DISPLAY_MAX || o->height > BP_DISPLAY_MAX ||
        across > BP_DISPLAY_MAX / o->width || down > BP_DISPLAY_MAX / o->height ||
        (uint64_t)o->width * across * o->height * down > MAX_PIXELS)
        return bp_fail(err, ERANGE, "surface: %u x %u pixels shown %u x %u times are not 1 to %u each "
                       "way and %u in all", o->width, o->height, across, down, BP_DISPLAY_MAX,
                       MAX_PIXELS);
    if (stride < line || stride > UINT32_MAX)
        return bp_fail(err, ERANGE, "surface: a line of %llu bytes has not room in a stride of %llu",
                       (unsigned long long)line, (unsigned long long)stride);
    if (o->region) {
        uint64_t need = stride * (o->height - 1) + line, size = bp_region_size(o->region);

        if (!bp_region_ram(o->region))
            return bp_fail(err, EINVAL, "surface: region %s is not RAM", bp_region_name(o->region));
        if (need > size || o->offset > size - need)
            return bp_fail(err, ERANGE, "surface: lines reach beyond the end of region %s",
                           bp_region_name(o->region));
    }
    *ret_stride = (uint32_t)stride;
    return 0;
}

int surface_new(const struct bp_surface_options *options, struct bp_surface **ret_surface,
                struct bp_error *err)
{
    struct bp_surface *surface;
    uint32_t stride = 0;
    int ret = check_options(options, &stride, err);

    if (ret < 0)
        return ret;
    surface = bp_alloc(sizeof(*surface));
    surface->refs = 1;
    surface->format = options->format;
    surface->width = options->width;
    surface->height = options->height;
    surface->stride = stride;
    surface->bytes = bytes_of(options->format);
    surface->repeat_x = options->repeat_x ? options->repeat_x : 1;
    surface->repeat_y = options->repeat_y ? options->repeat_y : 1;
    surface->region = options->region;
    surface->offset = options->offset;
    if (!surface->region && !(surface->own = calloc(options->height, stride))) {
        free(surface);
        return bp_fail(err, ENOMEM, "surface: no memory for %u x %u pixels", options->width,
                       options->height);
    }
    *ret_surface = surface;
    return 0;
}

int surface_new_cells(uint32_t columns, uint32_t rows, struct bp_surface **ret_surface,
                      struct bp_error *err)
{
    struct bp_surface *surface;

    if (!columns || !rows || columns > 1024 || rows > 1024)
        return bp_fail(err, ERANGE, "surface: %u x %u cells are not 1 to 1024 each way", columns,
                       rows);
    surface = bp_alloc(sizeof(*surface));
    surface->refs = 1;
    surface->is_cells = true;
    surface->cells.columns = columns;
    surface->cells.rows = rows;
    surface->cells.cells = bp_alloc(sizeof(struct bp_cell) * columns * rows);
    surface->cells.row = bp_alloc(sizeof(struct bp_cell_row) * rows);
    *ret_surface = surface;
    return 0;
}

void surface_ref(struct bp_surface *surface)
{
    surface->refs++;
}

void surface_unref(struct bp_surface *surface)
{
    if (!surface || --surface->refs)
        return;
    free(surface->own);
    free(surface->cells.cells);
    free(surface->cells.row);
    free(surface->bitmap);
    free(surface);
}

void *surface_data(struct bp_surface *surface, uint32_t *ret_stride)
{
    if (surface->own && ret_stride)
        *ret_stride = surface->stride;
    return surface->own;
}

struct bp_cells *surface_cells(struct bp_surface *surface)
{
    return surface->is_cells ? &surface->cells : NULL;
}

int surface_set_font(struct bp_surface *surface, const struct bp_font *font)
{
    struct bp_font *now = &surface->cells.font;
    size_t bytes = (size_t)font->glyphs * font->height * font->bytes_per_row;

    if (!surface->is_cells || !font->width || font->width > 32 || !font->height || font->height > 64 ||
        !font->bytes_per_row || font->bytes_per_row > 4 || !font->glyphs || font->glyphs > 65536)
        return -EINVAL;
    if (surface->bitmap && now->width == font->width && now->height == font->height &&
        now->bytes_per_row == font->bytes_per_row && now->glyphs == font->glyphs &&
        now->underline == font->underline && !memcmp(surface->bitmap, font->bitmap, bytes))
        return 0;
    surface->bitmap = bp_realloc(surface->bitmap, bytes);
    memcpy(surface->bitmap, font->bitmap, bytes);
    *now = *font;
    now->bitmap = surface->bitmap;
    surface->version++;
    return 0;
}

void surface_set_palette(struct bp_surface *surface, const uint32_t colours[256])
{
    bool differs = false;

    for (unsigned i = 0; i < 256; i++) {
        differs |= surface->palette[i] != (colours[i] & 0xffffff);
        surface->palette[i] = colours[i] & 0xffffff;
    }
    surface->version += differs;
}

void surface_size(const struct bp_surface *surface, uint32_t *ret_width, uint32_t *ret_height)
{
    if (surface->is_cells) {
        *ret_width = surface->cells.width;
        *ret_height = surface->cells.height;
    } else {
        *ret_width = surface->width * surface->repeat_x;
        *ret_height = surface->height * surface->repeat_y;
    }
}

static uint32_t wide(uint32_t value, unsigned bits)
{
    value &= (1u << bits) - 1;
    return value << (8 - bits) | value >> (2 * bits - 8);
}

static void read_one_to_one(const struct bp_surface *s, const uint8_t *from, uint32_t count,
                            uint32_t *to)
{
    /* Guests may write meanwhile: each byte is read once. */
    for (uint32_t i = 0; i < count; i++, from += s->bytes) {
        uint32_t v = from[0];

        if (s->bytes > 1)
            v |= (uint32_t)from[1] << 8;
        if (s->bytes > 2)
            v |= (uint32_t)from[2] << 16;
        if (s->bytes > 3)
            v |= (uint32_t)from[3] << 24;
        switch (s->format) {
        case BP_FORMAT_XBGR8888:
            v = (v & 0xff) << 16 | (v & 0xff00) | (v >> 16 & 0xff);
            break;
        case BP_FORMAT_BGRX8888:
            v = (v >> 8 & 0xff) << 16 | (v >> 8 & 0xff00) | v >> 24;
            break;
        case BP_FORMAT_RGB565:
            v = wide(v >> 11, 5) << 16 | wide(v >> 5, 6) << 8 | wide(v, 5);
            break;
        case BP_FORMAT_XRGB1555:
            v = wide(v >> 10, 5) << 16 | wide(v >> 5, 5) << 8 | wide(v, 5);
            break;
        case BP_FORMAT_C8:
            v = s->palette[v];
            break;
        default:
            v &= 0xffffff;
            break;
        }
        to[i] = v;
    }
}

void surface_read(const struct bp_surface *s, uint32_t x, uint32_t y, uint32_t count, uint32_t *to)
{
    const uint8_t *memory = s->region ? (const uint8_t *)bp_region_ram(s->region) + s->offset : s->own;
    const uint8_t *line = memory + (size_t)(y / s->repeat_y) * s->stride;
    uint32_t first = x / s->repeat_x, n = (x + count - 1) / s->repeat_x - first + 1;

    read_one_to_one(s, line + (size_t)first * s->bytes, n, to);
    if (s->repeat_x > 1) {
        uint32_t skip = x % s->repeat_x;

        for (uint32_t i = count; i-- > 0;)
            to[i] = to[(skip + i) / s->repeat_x];
    }
}

/* ---- guest RAM that is looked at ---- */

static struct watched *all_watched;
static struct bp_dirty_log *dirty_log;

struct watched *watched_start(struct bp_region *region)
{
    struct watched *w = all_watched;

    while (w && w->region != region)
        w = w->next;
    if (w) {
        w->users++;
        return w;
    }
    if (!dirty_log && bp_dirty_log_new(NULL, "display", &dirty_log, NULL) < 0)
        return NULL; /* all of it is looked at each time */
    w = bp_alloc(sizeof(*w));
    w->region = region;
    w->users = 1;
    w->pages = (bp_region_size(region) + PAGE - 1) / PAGE;
    w->written = bp_alloc(w->pages * sizeof(*w->written));
    w->stamp = 1;
    w->next = all_watched;
    all_watched = w;
    bp_dirty_log_start(dirty_log, region);
    return w;
}

void watched_stop(struct watched *w)
{
    struct watched **link = &all_watched;

    if (!w || --w->users)
        return;
    bp_dirty_log_stop(dirty_log, w->region);
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    free(w->written);
    free(w);
    if (!all_watched) {
        bp_dirty_log_free(dirty_log);
        dirty_log = NULL;
    }
}

uint64_t watched_look(struct watched *w, uint64_t offset, uint64_t length)
{
    uint64_t page = offset / PAGE, end = (offset + length + PAGE - 1) / PAGE;

    bp_dirty_log_sync(dirty_log, w->region);
    w->stamp++;
    for (; page < end && page < w->pages; page++)
        if (bp_dirty_log_test_clear(dirty_log, w->region, page * PAGE, PAGE))
            w->written[page] = w->stamp;
    return w->stamp;
}

bool watched_since(const struct watched *w, uint64_t offset, uint64_t length, uint64_t stamp)
{
    uint64_t page = offset / PAGE, end = (offset + length + PAGE - 1) / PAGE;

    for (; page < end && page < w->pages; page++)
        if (w->written[page] > stamp)
            return true;
    return false;
}
