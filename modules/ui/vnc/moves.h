/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves: what of a picture stands at another place than in the picture before (a text that was scrolled, a window that
 * was dragged). Knows neither clients nor the protocol.
 */
#ifndef VNC_MOVES_H
#define VNC_MOVES_H

#include <bp/base.h>
#include <bp/host/display.h>

#define MOVES_TILE_W 64u
#define MOVES_TILE_H 16u

/* Two pictures of the same size, in lines of `width` and of `stride` pixels. */
struct moves_pictures {
    const uint32_t *before, *now;
    size_t stride; /* of `now` */
    uint32_t width, height;
    const uint8_t *changed; /* for each tile of MOVES_TILE_W x MOVES_TILE_H: not 0: it may differ */
    uint32_t columns, rows; /* tiles */
};

/* How far most of what changed has moved: what is at x, y now was at x - *ret_dx, y - *ret_dy. False: nothing has. */
bool moves_find(const struct moves_pictures *p, int32_t *ret_dx, int32_t *ret_dy);

/* Is a rectangle now what it was, so far away? False where that lies outside. */
bool moves_same(const struct moves_pictures *p, const struct bp_rect *r, int32_t dx, int32_t dy);

/* Makes a rectangle, of which moves_same() is true, wider and higher, by less than a tile on each side, as far as it
 * stays so. */
void moves_grow(const struct moves_pictures *p, struct bp_rect *r, int32_t dx, int32_t dy);

#endif
