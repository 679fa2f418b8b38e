/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at a console: what changed of its surface since the last look is copied into the picture,
 * tile by tile, and only what really differs counts as a change.
 */
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#include "display.h"

#define BLINK_NS 266666667 /* 16 fields of 60 Hz: the cursor; characters take twice as long */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void mark(struct bp_console *c, uint32_t tile)
{
    c->tiles[tile] = c->generation + 1;
}

/* The picture is about to be changed: frames that are held keep what they have. */
static bool own_picture(struct bp_console *c)
{
    struct picture *now = c->picture, *copy;

    if (__atomic_load_n(&now->refs, __ATOMIC_ACQUIRE) == 1)
        return true;
    copy = picture_new(now->width, now->height);
    if (!copy)
        return false; /* later perhaps */
    memcpy(copy->pixels, now->pixels, (size_t)now->width * now->height * 4);
    copy->blank = now->blank;
    if (now->cells && !(copy->cells = cells_copy(now->cells))) {
        picture_unref(copy);
        return false;
    }
    c->picture = copy;
    picture_unref(now);
    return true;
}

/* ---- another size ---- */

static bool resize(struct bp_console *c, uint32_t width, uint32_t height)
{
    uint32_t across = (width + TILE_WIDTH - 1) / TILE_WIDTH;
    uint32_t down = (height + TILE_HEIGHT - 1) / TILE_HEIGHT;
    struct picture *picture = picture_new(width, height);
    uint64_t *tiles = calloc((size_t)across * down, sizeof(*tiles));
    uint8_t *touched = calloc((size_t)across * down, 1);

    if (!picture || !tiles || !touched) {
        picture_unref(picture);
        free(tiles);
        free(touched);
        return false;
    }
    picture_unref(c->picture);
    free(c->tiles);
    free(c->touched);
    c->picture = picture;
    c->tiles = tiles;
    c->touched = touched;
    c->tiles_x = across;
    c->tiles_y = down;
    c->resized = c->generation + 1;
    for (uint32_t i = 0; i < across * down; i++)
        mark(c, i);
    return true;
}

/* ---- pixels ---- */

/* A tile's lines against the picture's; true: it had to be changed. */
static bool copy_tile(struct bp_console *c, uint32_t tx, uint32_t ty)
{
    uint32_t x = tx * TILE_WIDTH, y = ty * TILE_HEIGHT, line[TILE_WIDTH];
    uint32_t width = least(TILE_WIDTH, c->picture->width - x);
    uint32_t end = y + least(TILE_HEIGHT, c->picture->height - y);
    bool changed = false;

    for (; y < end; y++) {
        size_t at = (size_t)y * c->picture->width + x;

        surface_read(c->surface, x, y, width, line);
        if (!memcmp(c->picture->pixels + at, line, width * 4))
            continue;
        if (!changed && !own_picture(c))
            return false;
        memcpy(c->picture->pixels + at, line, width * 4);
        changed = true;
    }
    if (changed)
        mark(c, ty * c->tiles_x + tx);
    return changed;
}

/* Were the lines that this row of tiles shows written? */
static bool lines_written(const struct bp_console *c, uint32_t ty, uint64_t before)
{
    const struct bp_surface *s = c->surface;
    uint32_t first = ty * TILE_HEIGHT / s->repeat_y;
    uint32_t last = (least((ty + 1) * TILE_HEIGHT, c->picture->height) - 1) / s->repeat_y;

    return watched_since(c->watched, s->offset + (uint64_t)first * s->stride,
                         (uint64_t)(last - first) * s->stride + (uint64_t)s->width * s->bytes, before);
}

static bool look_at_pixels(struct bp_console *c, bool all)
{
    const struct bp_surface *s = c->surface;
    uint64_t before = c->stamp;
    bool changed = false;

    if (c->watched)
        c->stamp = watched_look(c->watched, s->offset, (uint64_t)s->stride * (s->height - 1) +
                                                           (uint64_t)s->width * s->bytes);
    all |= s->region ? !c->watched : c->all_touched;
    for (uint32_t ty = 0; ty < c->tiles_y; ty++) {
        if (!all && s->region && !lines_written(c, ty, before))
            continue;
        for (uint32_t tx = 0; tx < c->tiles_x; tx++)
            if (all || s->region || c->touched[ty * c->tiles_x + tx])
                changed |= copy_tile(c, tx, ty);
    }
    return changed;
}

/* ---- cells ---- */

static void mark_cell(struct bp_console *c, const struct bp_cells *cells, uint32_t row, uint32_t column)
{
    int64_t x = (int64_t)column * cells->font.width - cells->row[row].x_shift;
    int64_t right = x + cells->font.width - 1;
    uint32_t y = cells->row[row].y, bottom = y + cells->row[row].lines;

    if (right < 0 || x >= c->picture->width || y >= c->picture->height || bottom == y)
        return;
    if (x < 0)
        x = 0;
    if (right >= c->picture->width)
        right = c->picture->width - 1;
    bottom = least(bottom, c->picture->height) - 1;
    for (uint32_t ty = y / TILE_HEIGHT; ty <= bottom / TILE_HEIGHT; ty++)
        for (uint32_t tx = (uint32_t)x / TILE_WIDTH; tx <= (uint32_t)right / TILE_WIDTH; tx++)
            mark(c, ty * c->tiles_x + tx);
}

static bool same_grid(const struct bp_cells *a, const struct bp_cells *b)
{
    return a->columns == b->columns && a->rows == b->rows && a->width == b->width &&
           a->height == b->height && a->border == b->border &&
           !memcmp(a->row, b->row, sizeof(*a->row) * a->rows);
}

static bool has_cursor(const struct bp_cells *c, uint32_t row, uint32_t column)
{
    return c->cursor.visible && c->cursor.row == row && c->cursor.column == column;
}

static bool look_at_cells(struct bp_console *c, bool all)
{
    const struct bp_cells *now = &c->surface->cells;
    int64_t phase = bp_clock_ns(BP_CLOCK_REALTIME) / BLINK_NS;
    bool cursor_on = !(phase & 1), blink_on = !(phase & 2), changed = false;
    struct bp_cells *before, *copy;

    if (!cells_fit(now) || !own_picture(c) || !(copy = cells_copy(now)))
        return false;
    before = c->picture->cells;
    if (all || !before || !same_grid(before, now)) {
        cells_draw_all(now, blink_on, cursor_on, c->picture->pixels, c->picture->width);
        for (uint32_t i = 0; i < c->tiles_x * c->tiles_y; i++)
            mark(c, i);
        changed = true;
    }
    for (uint32_t i = 0; !changed && i < now->rows * now->columns; i++) {
        uint32_t row = i / now->columns, column = i % now->columns;
        bool cursor = has_cursor(now, row, column);

        if (memcmp(&now->cells[i], &before->cells[i], sizeof(now->cells[i])) ||
            ((now->cells[i].flags & BP_CELL_BLINK) && blink_on != c->blink_on) ||
            cursor != has_cursor(before, row, column) ||
            (cursor && (memcmp(&now->cursor, &before->cursor, sizeof(now->cursor)) ||
                        (now->cursor.blink && cursor_on != c->cursor_on)))) {
            cells_draw(now, row, column, 1, blink_on, cursor_on, c->picture->pixels, c->picture->width);
            mark_cell(c, now, row, column);
            c->tiles_changed = true;
        }
    }
    changed |= c->tiles_changed;
    c->tiles_changed = false;
    c->blink_on = blink_on;
    c->cursor_on = cursor_on;
    free(c->picture->cells);
    c->picture->cells = copy;
    return changed;
}

/* ---- the whole ---- */

static bool go_blank(struct bp_console *c)
{
    if (c->picture->blank)
        return false;
    if (!own_picture(c))
        return false;
    memset(c->picture->pixels, 0, (size_t)c->picture->width * c->picture->height * 4);
    free(c->picture->cells);
    c->picture->cells = NULL;
    c->picture->blank = true;
    for (uint32_t i = 0; i < c->tiles_x * c->tiles_y; i++)
        mark(c, i);
    return true;
}

static void watch_region(struct bp_console *c)
{
    struct bp_region *region = c->surface && !c->surface->is_cells ? c->surface->region : NULL;

    if ((c->watched ? c->watched->region : NULL) == region)
        return;
    watched_stop(c->watched);
    c->watched = region ? watched_start(region) : NULL;
    c->stamp = 0;
}

void console_refresh(struct bp_console *c)
{
    uint32_t width = c->blank_width, height = c->blank_height;
    bool all, changed = false;

    if (c->ops.update)
        c->ops.update(c->opaque);
    if (c->surface)
        surface_size(c->surface, &width, &height);
    if (!width || !height || width > BP_DISPLAY_MAX || height > BP_DISPLAY_MAX) {
        width = 640;
        height = 480;
    }
    watch_region(c);
    if (!c->picture || c->picture->width != width || c->picture->height != height) {
        if (!resize(c, width, height))
            return; /* the old picture stays */
        changed = true;
    }
    all = changed || c->shown != c->surface ||
          (c->surface && c->shown_version != c->surface->version) || c->picture->blank;
    if (!c->surface) {
        changed |= go_blank(c);
    } else {
        changed |= c->surface->is_cells ? look_at_cells(c, all) : look_at_pixels(c, all);
        if (c->picture->blank && own_picture(c)) {
            c->picture->blank = false;
            changed = true;
        }
        if (!c->surface->is_cells && c->picture->cells && own_picture(c)) {
            free(c->picture->cells);
            c->picture->cells = NULL;
        }
        c->shown_version = c->surface->version;
    }
    c->shown = c->surface;
    memset(c->touched, 0, (size_t)c->tiles_x * c->tiles_y);
    c->all_touched = false;
    if (changed)
        renderer_draw(c);
    c->generation += changed;
    c->looked = bp_clock_ns(BP_CLOCK_REALTIME);
}

struct picture *console_steady(struct bp_console *c)
{
    struct picture *picture;

    if (!c->picture || !c->picture->cells)
        return c->picture ? picture_ref(c->picture) : NULL;
    picture = picture_new(c->picture->width, c->picture->height);
    if (!picture || !(picture->cells = cells_copy(c->picture->cells))) {
        picture_unref(picture);
        return NULL;
    }
    cells_draw_all(picture->cells, true, true, picture->pixels, picture->width);
    return picture;
}
