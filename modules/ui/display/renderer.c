/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who draws pictures on their way to the viewers (struct bp_renderer), and which parts it is given. */
#include <errno.h>

#include <bp/log.h>

#include "display.h"

static const struct bp_renderer *the_renderer; /* [main] */
static void *the_opaque;

int renderer_set(const struct bp_renderer *renderer, void *opaque, struct bp_error *err)
{
    if (renderer && the_renderer)
        return bp_fail(err, EBUSY, "pictures are drawn by %s already", the_renderer->name);
    the_renderer = renderer;
    the_opaque = opaque;
    return 0;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Columns `first` to `last` of tiles, rows `top` to before `end`. */
static void draw_tiles(struct bp_console *c, uint32_t first, uint32_t last, uint32_t top, uint32_t end)
{
    struct picture *p = c->picture;
    uint32_t x = first * TILE_WIDTH, y = top * TILE_HEIGHT;
    uint32_t width = least((last + 1) * TILE_WIDTH, p->width) - x, height = least(end * TILE_HEIGHT, p->height) - y;
    struct bp_error err = {0};

    if (!the_renderer || the_renderer->render(the_opaque, p->pixels + (size_t)y * p->width + x, p->width, width, height,
                                              &err) == 0)
        return;
    bp_warn("%s draws pictures no more (%s); they are shown as they are", the_renderer->name, err.message);
    the_renderer = NULL;
}

/* Of a row of tiles; false: none changed. */
static bool changed_columns(const struct bp_console *c, uint32_t y, uint32_t *ret_first, uint32_t *ret_last)
{
    const uint64_t *row = c->tiles + (size_t)y * c->tiles_x;
    uint32_t first = 0, last = c->tiles_x;

    while (first < c->tiles_x && row[first] <= c->generation)
        first++;
    while (last > first && row[last - 1] <= c->generation)
        last--;
    *ret_first = first;
    *ret_last = last - 1;
    return first < last;
}

/* Rows that changed in the same columns go together. */
void renderer_draw(struct bp_console *c)
{
    uint32_t top = 0, left = 0, right = 0;
    bool open = false;

    for (uint32_t y = 0; the_renderer && y <= c->tiles_y; y++) {
        uint32_t first = 0, last = 0;
        bool any = y < c->tiles_y && changed_columns(c, y, &first, &last);

        if (open && any && first == left && last == right)
            continue;
        if (open)
            draw_tiles(c, left, right, top, y);
        open = any;
        top = y;
        left = first;
        right = last;
    }
}
