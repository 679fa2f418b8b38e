/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client is known to see. With a copy of its picture, which only a client that takes CopyRect (RFC 6143, 7.7.2)
 * costs: what moved is copied by the client itself, and what it has already is not sent again. And for a client that
 * allows losses: which tiles change again and again, as videos do. Those go coarsely, until they are quiet; then they
 * are sent once more, exactly.
 */
#include "vnc.h"

#include <stdlib.h>
#include <string.h>

#include "moves.h"

#define PIXELS_MOST (16u << 20) /* of a picture that is copied */
#define MOVED_LEAST 4u          /* tiles: less is sent */
#define COPIES_MOST 256u
#define MISSES_MOST 8u          /* searches in vain, after which only each fourth picture is searched */
#define QUIET_NS 500000000ll    /* without a change */
#define HOT 4u                  /* changes, each sooner than that after the last one */

struct vnc_heat {
    int64_t changed_ns;
    uint8_t changes;
    bool coarse; /* what the client has of it is not exact, and is to become so */
};

static int64_t now_ns(void)
{
    return bp_clock_ns(BP_CLOCK_REALTIME);
}

static size_t tile_count(const struct vnc_client *c)
{
    return (size_t)c->columns * c->rows;
}

void vnc_seen_forget(struct vnc_client *c)
{
    free(c->seen);
    free(c->known);
    free(c->heat);
    c->seen = NULL;
    c->known = NULL;
    c->heat = NULL;
    if (c->settler)
        bp_timer_cancel(c->settler);
}

void vnc_seen_close(struct vnc_client *c)
{
    vnc_seen_forget(c);
    if (c->settler)
        bp_timer_free(c->settler);
    c->settler = NULL;
}

/* ---- its picture ---- */

/* False: it is not kept. */
static bool keep(struct vnc_client *c)
{
    size_t pixels = (size_t)c->width * c->height;

    if (!(c->rfb.has & RFB_HAS_COPY_RECT) || !c->frame.pixels || c->frame.width != c->width ||
        c->frame.height != c->height || pixels > PIXELS_MOST) {
        free(c->seen);
        free(c->known);
        c->seen = NULL;
        c->known = NULL;
        return false;
    }
    if (!c->seen) {
        c->seen = bp_alloc(pixels * sizeof(*c->seen));
        c->known = bp_alloc(tile_count(c));
        c->seen_formats = c->rfb.formats - 1;
    }
    if (c->seen_formats != c->rfb.formats) /* what it has lost colours that it could have now */
        memset(c->known, 0, tile_count(c));
    c->seen_formats = c->rfb.formats;
    return true;
}

static struct bp_rect tile_at(const struct vnc_client *c, uint32_t x, uint32_t y)
{
    struct bp_rect r = {x * VNC_TILE_W, y * VNC_TILE_H, VNC_TILE_W, VNC_TILE_H};

    r.width = r.x + r.width < c->width ? r.width : c->width - r.x;
    r.height = r.y + r.height < c->height ? r.height : c->height - r.y;
    return r;
}

static struct bp_rect tiles_of(const struct bp_rect *r)
{
    uint32_t x = r->x / VNC_TILE_W, y = r->y / VNC_TILE_H;

    return (struct bp_rect){x, y, (r->x + r->width - 1) / VNC_TILE_W - x + 1,
                            (r->y + r->height - 1) / VNC_TILE_H - y + 1};
}

/* Is all of where a rectangle came from known? */
static bool comes_from_known(const struct vnc_client *c, const struct bp_rect *r, int32_t dx, int32_t dy)
{
    const struct bp_rect from = {(uint32_t)((int32_t)r->x - dx), (uint32_t)((int32_t)r->y - dy), r->width, r->height};
    struct bp_rect tiles = tiles_of(&from);

    for (uint32_t y = tiles.y; y < tiles.y + tiles.height; y++)
        if (memchr(c->known + (size_t)y * c->columns + tiles.x, 0, tiles.width))
            return false;
    return true;
}

/* Tiles that changed, and are elsewhere in what the client has, get VNC_TILE_MOVED. Returns how many. */
static size_t mark_moved(struct vnc_client *c, const struct moves_pictures *p, int32_t dx, int32_t dy)
{
    size_t count = 0;

    for (uint32_t y = 0; y < c->rows; y++) {
        for (uint32_t x = 0; x < c->columns; x++) {
            struct bp_rect r = tile_at(c, x, y);
            uint8_t *tile = &c->dirty[(size_t)y * c->columns + x];

            if (*tile == VNC_TILE_CHANGED && !moves_same(p, &r, 0, 0) && moves_same(p, &r, dx, dy) &&
                comes_from_known(c, &r, dx, dy)) {
                *tile |= VNC_TILE_MOVED;
                count++;
            }
        }
    }
    return count;
}

/* In which order copies go, so that none takes what another one has written over. */
static bool goes_before(const struct bp_rect *a, const struct bp_rect *b, int32_t dx, int32_t dy)
{
    if (dy != 0)
        return dy > 0 ? a->y + a->height > b->y + b->height : a->y < b->y;
    return dx > 0 ? a->x + a->width > b->x + b->width : a->x < b->x;
}

static void sort(struct vnc_rects *list, int32_t dx, int32_t dy)
{
    for (size_t i = 1; i < list->count; i++) {
        struct bp_rect r = list->rects[i];
        size_t at = i;

        for (; at > 0 && goes_before(&r, &list->rects[at - 1], dx, dy); at--)
            list->rects[at] = list->rects[at - 1];
        list->rects[at] = r;
    }
}

/* Does in our copy what the client will do, and has all tiles that it touches looked at again. */
static void copy(struct vnc_client *c, const struct bp_rect *r)
{
    struct bp_rect to = tiles_of(r);
    const struct bp_rect source = {(uint32_t)((int32_t)r->x - c->copy_dx), (uint32_t)((int32_t)r->y - c->copy_dy),
                                   r->width, r->height};
    struct bp_rect from = tiles_of(&source);
    bool coarse = false;

    for (uint32_t i = 0; i < r->height; i++) {
        uint32_t line = c->copy_dy > 0 ? r->height - 1 - i : i;

        memmove(c->seen + (size_t)(r->y + line) * c->width + r->x,
                c->seen + (size_t)(source.y + line) * c->width + source.x, (size_t)r->width * 4);
    }
    for (uint32_t y = from.y; c->heat && y < from.y + from.height; y++)
        for (uint32_t x = from.x; x < from.x + from.width; x++)
            coarse |= c->heat[(size_t)y * c->columns + x].coarse;
    for (uint32_t y = to.y; y < to.y + to.height; y++) {
        for (uint32_t x = to.x; x < to.x + to.width; x++)
            c->dirty[(size_t)y * c->columns + x] |= VNC_TILE_CHANGED;
    }
    if (coarse)
        vnc_seen_lost(c, r);
}

static void find_copies(struct vnc_client *c)
{
    const struct bp_rect all = {0, 0, c->columns, c->rows};
    const struct moves_pictures p = {.before = c->seen, .now = c->frame.pixels, .stride = c->frame.stride / 4,
                                     .width = c->width, .height = c->height, .changed = c->dirty,
                                     .columns = c->columns, .rows = c->rows};
    struct vnc_rects tiles = {NULL, 0, 0};
    size_t changed = 0;

    for (size_t i = 0; i < tile_count(c); i++)
        changed += c->dirty[i] == VNC_TILE_CHANGED && c->known[i];
    if (changed < MOVED_LEAST || (c->misses > MISSES_MOST && c->misses++ % 4))
        return;
    if (!moves_find(&p, &c->copy_dx, &c->copy_dy) || mark_moved(c, &p, c->copy_dx, c->copy_dy) < MOVED_LEAST) {
        c->misses++;
    } else {
        c->misses = 0;
        vnc_collect(c, &all, VNC_TILE_MOVED, &tiles);
    }
    for (size_t i = 0; i < tiles.count && i < COPIES_MOST; i++) {
        struct bp_rect r = tile_at(c, tiles.rects[i].x, tiles.rects[i].y), grown;

        r.width = tiles.rects[i].width * VNC_TILE_W < c->width - r.x ? tiles.rects[i].width * VNC_TILE_W
                                                                     : c->width - r.x;
        r.height = tiles.rects[i].height * VNC_TILE_H < c->height - r.y ? tiles.rects[i].height * VNC_TILE_H
                                                                        : c->height - r.y;
        grown = r;
        moves_grow(&p, &grown, c->copy_dx, c->copy_dy);
        vnc_add_rect(&c->copies, comes_from_known(c, &grown, c->copy_dx, c->copy_dy) ? grown : r);
    }
    for (size_t i = 0; i < tile_count(c); i++)
        c->dirty[i] &= (uint8_t)~VNC_TILE_MOVED;
    sort(&c->copies, c->copy_dx, c->copy_dy);
    for (size_t i = 0; i < c->copies.count; i++)
        copy(c, &c->copies.rects[i]);
    free(tiles.rects);
}

void vnc_seen_compare(struct vnc_client *c, const struct bp_rect *area)
{
    c->copies.count = 0;
    if (!keep(c))
        return;
    if (area->width == c->columns && area->height == c->rows)
        find_copies(c);
    for (uint32_t y = area->y; y < area->y + area->height; y++) {
        for (uint32_t x = area->x; x < area->x + area->width; x++) {
            size_t at = (size_t)y * c->columns + x;
            struct bp_rect r = tile_at(c, x, y);
            bool same = c->dirty[at] != 0;

            for (uint32_t i = 0; i < r.height && c->dirty[at]; i++) {
                uint32_t *have = c->seen + (size_t)(r.y + i) * c->width + r.x;
                const uint32_t *now = c->frame.pixels + (size_t)(r.y + i) * (c->frame.stride / 4) + r.x;

                same = same && memcmp(have, now, (size_t)r.width * 4) == 0;
                memcpy(have, now, (size_t)r.width * 4);
            }
            if (same && c->known[at])
                c->dirty[at] &= (uint8_t)~VNC_TILE_CHANGED;
            c->known[at] |= c->dirty[at] != 0;
        }
    }
}

/* ---- what changes often ---- */

static void settled(void *opaque)
{
    struct vnc_client *c = opaque;
    int64_t now = now_ns(), next = INT64_MAX;
    bool due = false;

    for (size_t i = 0; c->heat && i < tile_count(c); i++) {
        int64_t when = c->heat[i].changed_ns + QUIET_NS;

        if (!c->heat[i].coarse || (c->dirty[i] & VNC_TILE_STALE))
            continue;
        if (when <= now) {
            c->dirty[i] |= VNC_TILE_STALE;
            due = true;
        } else if (when < next) {
            next = when;
        }
    }
    if (next != INT64_MAX)
        bp_timer_set(c->settler, next);
    if (due)
        vnc_client_push(c);
}

void vnc_seen_lost(struct vnc_client *c, const struct bp_rect *r)
{
    struct bp_rect tiles = tiles_of(r);

    if (!c->heat)
        return;
    for (uint32_t y = tiles.y; y < tiles.y + tiles.height; y++) {
        for (uint32_t x = tiles.x; x < tiles.x + tiles.width; x++) {
            c->heat[(size_t)y * c->columns + x].coarse = true;
            c->heat[(size_t)y * c->columns + x].changed_ns = now_ns();
        }
    }
    if (!c->settler)
        c->settler = bp_timer_new(NULL, bp_context_main(c->server->machine), BP_CLOCK_REALTIME, settled, c);
    if (!bp_timer_pending(c->settler))
        bp_timer_set(c->settler, now_ns() + QUIET_NS);
}

/* How a tile is to be sent. */
static uint8_t grade(struct vnc_heat *heat, uint8_t dirty, int64_t now, bool adaptive)
{
    if (heat && (dirty & VNC_TILE_CHANGED)) {
        heat->changes = now - heat->changed_ns > QUIET_NS ? 1 : (uint8_t)(heat->changes + (heat->changes < HOT));
        heat->changed_ns = now;
    }
    if (heat)
        heat->coarse = false;
    if (dirty == 0)
        return 0;
    if (dirty == VNC_TILE_STALE)
        return VNC_TILE_EXACT;
    return adaptive && heat->changes >= HOT && !(dirty & VNC_TILE_ASKED) ? VNC_TILE_COARSE : VNC_TILE_PLAIN;
}

void vnc_seen_grade(struct vnc_client *c, const struct bp_rect *area)
{
    bool adaptive = !c->server->non_adaptive && rfb_may_lose(&c->rfb);
    int64_t now = now_ns();

    if (adaptive && !c->heat) {
        c->heat = bp_alloc(tile_count(c) * sizeof(*c->heat));
        memset(c->heat, 0, tile_count(c) * sizeof(*c->heat));
    }
    for (uint32_t y = area->y; y < area->y + area->height; y++) {
        for (uint32_t x = area->x; x < area->x + area->width; x++) {
            size_t at = (size_t)y * c->columns + x;

            if (c->dirty[at])
                c->dirty[at] = grade(c->heat ? &c->heat[at] : NULL, c->dirty[at], now, adaptive);
        }
    }
}
