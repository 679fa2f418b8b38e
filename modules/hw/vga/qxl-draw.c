/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drawing commands of a QXL. A source is a picture of 32 bits, or one colour; a destination a
 * surface, inside of clips. */
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "qxl.h"

#define MOST_CLIPS 4096u
#define MOST_IMAGE (64u << 20) /* bytes of a bitmap */

struct source {
    uint32_t *pixels; /* owned; NULL: `colour` everywhere */
    uint32_t width, height, colour;
    QXLRect area; /* of it, that goes to the whole box */
};

struct clips {
    uint32_t count;
    QXLRect *rects; /* owned */
};

/* ---- rectangles ---- */

static QXLRect meet(const QXLRect *a, const QXLRect *b)
{
    return (QXLRect){.top = a->top > b->top ? a->top : b->top,
                     .left = a->left > b->left ? a->left : b->left,
                     .bottom = a->bottom < b->bottom ? a->bottom : b->bottom,
                     .right = a->right < b->right ? a->right : b->right};
}

static bool is_empty(const QXLRect *r)
{
    return r->left >= r->right || r->top >= r->bottom;
}

static bool is_in(const QXLRect *r, uint32_t width, uint32_t height)
{
    return r->left >= 0 && r->top >= 0 && !is_empty(r) && (uint32_t)r->right <= width &&
           (uint32_t)r->bottom <= height;
}

static bool get_clips(const struct qxl *s, const QXLDrawable *d, struct clips *c)
{
    uint32_t count;

    c->count = 1;
    if (d->clip.type != SPICE_CLIP_TYPE_RECTS) {
        c->rects = bp_alloc(sizeof(QXLRect));
        c->rects[0] = d->bbox;
        return true;
    }
    if (!qxl_read(s, d->clip.data, &count, sizeof(count)) || count > MOST_CLIPS)
        return false;
    c->count = count;
    c->rects = bp_alloc((count + 1) * sizeof(QXLRect));
    return qxl_read_chunks(s, d->clip.data + sizeof(count), c->rects, count * sizeof(QXLRect));
}

/* ---- sources ---- */

/* Of 16 or 24 bits. */
static uint32_t bitmap_pixel(const uint8_t *line, uint32_t x, unsigned format)
{
    if (format == SPICE_BITMAP_FMT_16BIT)
        return qxl_get(line, x, SPICE_SURFACE_FMT_16_555);
    return 0xff000000u | line[3 * x] | (uint32_t)line[3 * x + 1] << 8 |
           (uint32_t)line[3 * x + 2] << 16;
}

static uint64_t bitmap_bytes(unsigned format)
{
    return format == SPICE_BITMAP_FMT_16BIT                                      ? 2
           : format == SPICE_BITMAP_FMT_24BIT                                    ? 3
           : format == SPICE_BITMAP_FMT_32BIT || format == SPICE_BITMAP_FMT_RGBA ? 4
                                                                                 : 0;
}

static bool from_bitmap(const struct qxl *s, const QXLBitmap *b, struct source *ret)
{
    uint64_t bytes = bitmap_bytes(b->format), size = (uint64_t)b->stride * b->y;
    uint8_t *data;
    bool ok;

    if (!bytes || !b->x || !b->y || b->x > QXL_MAX_SIZE || b->y > QXL_MAX_SIZE ||
        b->stride < bytes * b->x || size > MOST_IMAGE)
        return false;
    data = bp_alloc(size);
    ok = b->flags & QXL_BITMAP_DIRECT ? qxl_read(s, b->data, data, size)
                                      : qxl_read_chunks(s, b->data, data, size);
    if (ok) {
        ret->width = b->x;
        ret->height = b->y;
        ret->pixels = bp_alloc((size_t)b->x * b->y * 4);
        for (uint32_t y = 0; y < b->y; y++) {
            const uint8_t *line =
                data + (size_t)b->stride * (b->flags & QXL_BITMAP_TOP_DOWN ? y : b->y - 1 - y);

            if (bytes == 4)
                memcpy(ret->pixels + (size_t)y * b->x, line, 4 * (size_t)b->x);
            for (uint32_t x = 0; bytes < 4 && x < b->x; x++)
                ret->pixels[(size_t)y * b->x + x] = bitmap_pixel(line, x, b->format);
        }
    }
    free(data);
    return ok;
}

static void from_surface(const struct qxl *s, const struct qxl_surface *u, struct source *ret)
{
    ret->width = u->width;
    ret->height = u->height;
    ret->pixels = bp_alloc((size_t)u->width * u->height * 4);
    for (uint32_t y = 0; y < u->height; y++) {
        const uint8_t *line = qxl_line(s, u, y);

        for (uint32_t x = 0; x < u->width; x++)
            ret->pixels[(size_t)y * u->width + x] = qxl_get(line, x, u->format);
    }
}

static bool get_image(const struct qxl *s, uint64_t address, const QXLRect *area,
                      struct source *ret)
{
    QXLImageDescriptor head;
    QXLSurfaceId id;
    QXLBitmap bitmap;
    bool ok = false;

    if (!qxl_read(s, address, &head, sizeof(head)))
        return false;
    if (head.type == SPICE_IMAGE_TYPE_BITMAP) {
        ok = qxl_read(s, address + sizeof(head), &bitmap, sizeof(bitmap)) &&
             from_bitmap(s, &bitmap, ret);
    } else if (head.type == SPICE_IMAGE_TYPE_SURFACE &&
               qxl_read(s, address + sizeof(head), &id, sizeof(id)) &&
               id.surface_id < QXL_SURFACES && s->surfaces[id.surface_id].format) {
        from_surface(s, &s->surfaces[id.surface_id], ret);
        ok = true;
    }
    ret->area = *area;
    if (ok && is_in(area, ret->width, ret->height))
        return true;
    bp_guest_error("qxl-image", "qxl: an image of type %u and its area cannot be drawn", head.type);
    return false;
}

/* ---- into the surface ---- */

/* As `rop` says of the source's pixel and the destination's; alpha goes along. */
static uint32_t combine(unsigned rop, uint32_t source, uint32_t destination)
{
    uint32_t v;

    if (rop & (SPICE_ROPD_INVERS_SRC | SPICE_ROPD_INVERS_BRUSH))
        source = ~source;
    if (rop & SPICE_ROPD_INVERS_DEST)
        destination = ~destination;
    if (rop & SPICE_ROPD_OP_PUT)
        v = source;
    else if (rop & SPICE_ROPD_OP_OR)
        v = source | destination;
    else if (rop & SPICE_ROPD_OP_AND)
        v = source & destination;
    else if (rop & SPICE_ROPD_OP_XOR)
        v = source ^ destination;
    else if (rop & SPICE_ROPD_OP_BLACKNESS)
        v = 0;
    else if (rop & SPICE_ROPD_OP_WHITENESS)
        v = 0xffffffff;
    else if (rop & SPICE_ROPD_OP_INVERS)
        v = ~destination;
    else
        v = destination;
    return rop & SPICE_ROPD_INVERS_RES ? ~v : v;
}

static uint32_t scaled(int32_t at, int32_t from, int32_t to, int32_t source_from, int32_t source_to)
{
    int64_t length = (int64_t)to - from, source_length = (int64_t)source_to - source_from;

    if (length == source_length)
        return (uint32_t)(source_from + ((int64_t)at - from));
    return (uint32_t)(source_from + ((int64_t)at - from) * source_length / length);
}

/* One line; `from` is the source's, NULL: its colour. */
static void paint_line(uint8_t *line, uint32_t format, const QXLRect *box, const QXLRect *part,
                       unsigned rop, const struct source *src, const uint32_t *from)
{
    bool plain = rop == SPICE_ROPD_OP_PUT && qxl_bytes(format) == 4 && from &&
                 box->right - box->left == src->area.right - src->area.left;

    if (plain) {
        memcpy(line + 4 * (size_t)part->left, from + src->area.left + (part->left - box->left),
               4 * (size_t)(part->right - part->left));
        return;
    }
    for (int32_t x = part->left; x < part->right; x++) {
        uint32_t c = from ? from[scaled(x, box->left, box->right, src->area.left, src->area.right)]
                          : src->colour;

        qxl_put(line, (uint32_t)x, format, combine(rop, c, qxl_get(line, (uint32_t)x, format)));
    }
}

static void paint(struct qxl *s, struct qxl_surface *u, const QXLRect *box, const QXLRect *part,
                  unsigned rop, const struct source *src)
{
    for (int32_t y = part->top; y < part->bottom; y++) {
        const uint32_t *from = NULL;

        if (src->pixels)
            from = src->pixels +
                   (size_t)scaled(y, box->top, box->bottom, src->area.top, src->area.bottom) *
                       src->width;
        paint_line(qxl_line(s, u, (uint32_t)y), u->format, box, part, rop, src, from);
        qxl_dirty(s, u, (uint32_t)y, (uint32_t)part->left, (uint32_t)(part->right - part->left));
    }
}

static void paint_clipped(struct qxl *s, const QXLDrawable *d, unsigned rop,
                          const struct source *src)
{
    struct qxl_surface *u = &s->surfaces[d->surface_id];
    const QXLRect all = {.right = (int32_t)u->width, .bottom = (int32_t)u->height};
    struct clips clips = {0};

    if (get_clips(s, d, &clips))
        for (uint32_t i = 0; i < clips.count; i++) {
            QXLRect part = meet(&clips.rects[i], &d->bbox);

            part = meet(&part, &all);
            if (!is_empty(&part))
                paint(s, u, &d->bbox, &part, rop, src);
        }
    free(clips.rects);
}

/* ---- commands ---- */

static void refuse(const char *what)
{
    bp_guest_error("qxl-draw", "qxl: %s is not built: nothing is drawn", what);
}

static void fill(struct qxl *s, const QXLDrawable *d)
{
    const struct source src = {.colour = d->u.fill.brush.u.color};

    if (d->u.fill.brush.type != SPICE_BRUSH_TYPE_SOLID || d->u.fill.mask.bitmap)
        refuse("a fill with a pattern or a mask");
    else
        paint_clipped(s, d, d->u.fill.rop_descriptor, &src);
}

static void copy(struct qxl *s, const QXLDrawable *d)
{
    struct source src = {0};

    if (d->u.copy.mask.bitmap)
        refuse("a copy with a mask");
    else if (get_image(s, d->u.copy.src_bitmap, &d->u.copy.src_area, &src))
        paint_clipped(s, d, d->u.copy.rop_descriptor, &src);
    free(src.pixels);
}

static void copy_bits(struct qxl *s, const QXLDrawable *d)
{
    const struct qxl_surface *u = &s->surfaces[d->surface_id];
    const QXLPoint *at = &d->u.copy_bits.src_pos;
    int64_t right = (int64_t)at->x + d->bbox.right - d->bbox.left;
    int64_t bottom = (int64_t)at->y + d->bbox.bottom - d->bbox.top;
    struct source src = {0};

    if (at->x < 0 || at->y < 0 || right > u->width || bottom > u->height) {
        bp_guest_error("qxl-draw", "qxl: a copy from outside of surface %u", d->surface_id);
        return;
    }
    from_surface(s, u, &src);
    src.area =
        (QXLRect){.top = at->y, .left = at->x, .bottom = (int32_t)bottom, .right = (int32_t)right};
    paint_clipped(s, d, SPICE_ROPD_OP_PUT, &src);
    free(src.pixels);
}

static void plain(struct qxl *s, const QXLDrawable *d, unsigned rop)
{
    const struct source src = {0};

    if (d->u.blackness.mask.bitmap) /* at the same place in all three */
        refuse("a mask");
    else
        paint_clipped(s, d, rop, &src);
}

void qxl_draw(struct qxl *s, const QXLDrawable *d)
{
    if (d->surface_id >= QXL_SURFACES || !s->surfaces[d->surface_id].format || is_empty(&d->bbox) ||
        (int64_t)d->bbox.right - d->bbox.left > QXL_MAX_SIZE ||
        (int64_t)d->bbox.bottom - d->bbox.top > QXL_MAX_SIZE) {
        bp_guest_error("qxl-draw",
                       "qxl: a box on surface %u, which is not there, or a senseless one",
                       d->surface_id);
        return;
    }
    switch (d->type) {
    case QXL_DRAW_NOP:
        break;
    case QXL_DRAW_FILL:
        fill(s, d);
        break;
    case QXL_DRAW_COPY:
        copy(s, d);
        break;
    case QXL_COPY_BITS:
        copy_bits(s, d);
        break;
    case QXL_DRAW_BLACKNESS:
        plain(s, d, SPICE_ROPD_OP_BLACKNESS);
        break;
    case QXL_DRAW_WHITENESS:
        plain(s, d, SPICE_ROPD_OP_WHITENESS);
        break;
    case QXL_DRAW_INVERS:
        plain(s, d, SPICE_ROPD_OP_INVERS);
        break;
    default:
        refuse("a drawing command of this type");
        break;
    }
}
