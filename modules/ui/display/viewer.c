/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Viewers: who looks at a console, when, and what was damaged since. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#include "display.h"

#define LOOK_NS 33000000   /* between looks while things change */
#define SLOW_NS 330000000  /* and when nothing has changed for long */
#define SAME_NS 4000000    /* a look serves all pulls of so much time */

int viewer_new(struct bp_console *console, const char *name, uint32_t flags,
               const struct bp_viewer_ops *ops, void *opaque, struct bp_viewer **ret_viewer,
               struct bp_error *err)
{
    struct bp_viewer *viewer;
    bool first = !console->viewers;

    if (ops && ops->size < offsetof(struct bp_viewer_ops, reserved))
        return bp_fail(err, EINVAL, "viewer %s: operations of %u bytes make no sense", name, ops->size);
    if (flags & ~(BP_VIEWER_CELLS | BP_VIEWER_STEADY))
        return bp_fail(err, EINVAL, "viewer %s: flags 0x%x are not known", name, flags);
    viewer = bp_alloc(sizeof(*viewer));
    viewer->console = console;
    viewer->name = bp_strdup(name);
    viewer->flags = flags;
    if (ops)
        memcpy(&viewer->ops, ops, ops->size < sizeof(*ops) ? ops->size : sizeof(*ops));
    viewer->opaque = opaque;
    viewer->next = console->viewers;
    console->viewers = viewer;
    if (first && console->ops.watched)
        console->ops.watched(console->opaque, true);
    *ret_viewer = viewer;
    return 0;
}

void viewer_free(struct bp_viewer *viewer)
{
    struct bp_viewer **link;

    if (!viewer)
        return;
    for (link = &viewer->console->viewers; *link != viewer;)
        link = &(*link)->next;
    *link = viewer->next;
    if (!viewer->console->viewers)
        console_unwatched(viewer->console);
    free(viewer->name);
    free(viewer);
}

static bool has_damage(const struct bp_viewer *viewer)
{
    const struct bp_console *console = viewer->console;

    return viewer->forgotten || !viewer->seen || !console->picture ||
           console->generation > viewer->seen;
}

void viewer_want(struct bp_viewer *viewer)
{
    struct bp_timer *timer = viewer->console->timer;
    int64_t when = bp_clock_ns(BP_CLOCK_REALTIME);

    viewer->wants = true;
    viewer->console->quiet = 0;
    if (!has_damage(viewer))
        when = viewer->console->looked + LOOK_NS;
    if (!bp_timer_pending(timer) || bp_timer_deadline(timer) > when)
        bp_timer_set(timer, when);
}

void viewer_unwant(struct bp_viewer *viewer)
{
    viewer->wants = false;
}

void viewers_hasten(struct bp_console *console)
{
    int64_t when = console->looked + LOOK_NS;

    console->quiet = 0;
    if (bp_timer_pending(console->timer) && bp_timer_deadline(console->timer) > when)
        bp_timer_set(console->timer, when);
}

/* The next one, from the start, that wants to hear of damage there is. */
static struct bp_viewer *next_to_tell(struct bp_console *console)
{
    struct bp_viewer *viewer = console->viewers;

    while (viewer && !(viewer->wants && has_damage(viewer)))
        viewer = viewer->next;
    return viewer;
}

void viewers_look(void *opaque)
{
    struct bp_console *console = opaque;
    uint64_t before = console->generation;
    struct bp_viewer *viewer;
    bool wanted = false;
    int64_t pause;

    for (viewer = console->viewers; viewer; viewer = viewer->next)
        wanted |= viewer->wants;
    if (!wanted)
        return; /* nobody waits: want() begins anew */
    console_refresh(console);
    console->quiet = console->generation != before ? 0 : console->quiet + 1;
    pause = LOOK_NS + (console->quiet > 30 ? (int64_t)(console->quiet - 30) * LOOK_NS / 10 : 0);
    bp_timer_set(console->timer, console->looked + (pause < SLOW_NS ? pause : SLOW_NS));
    /* Who is told may free viewers, itself too, but the last one cancels the timer. */
    while ((viewer = next_to_tell(console))) {
        viewer->wants = false;
        if (viewer->ops.changed)
            viewer->ops.changed(viewer->opaque);
        if (!bp_timer_pending(console->timer))
            return;
    }
}

/* ---- damage ---- */

static void add_rect(const struct bp_console *c, struct bp_frame *frame, uint32_t x, uint32_t y,
                     uint32_t across, uint32_t down)
{
    struct bp_rect *rect = &frame->rects[frame->rect_count++];

    rect->x = x * TILE_WIDTH;
    rect->y = y * TILE_HEIGHT;
    rect->width = across * TILE_WIDTH;
    rect->height = down * TILE_HEIGHT;
    if (rect->x + rect->width > c->picture->width)
        rect->width = c->picture->width - rect->x;
    if (rect->y + rect->height > c->picture->height)
        rect->height = c->picture->height - rect->y;
}

/* One rectangle for each run of damaged tiles in a row; false: there are too many. */
static bool rects_exact(const struct bp_console *c, uint64_t seen, struct bp_frame *frame)
{
    frame->rect_count = 0;
    for (uint32_t y = 0; y < c->tiles_y; y++) {
        const uint64_t *row = c->tiles + (size_t)y * c->tiles_x;

        for (uint32_t x = 0; x < c->tiles_x;) {
            uint32_t from = x;

            while (x < c->tiles_x && row[x] > seen)
                x++;
            if (x > from && frame->rect_count == BP_FRAME_MAX_RECTS)
                return false;
            if (x > from)
                add_rect(c, frame, from, y, x - from, 1);
            else
                x++;
        }
    }
    return true;
}

/* One for each of at most 512 bands: between its first and last damaged tile. */
static void rects_coarse(const struct bp_console *c, uint64_t seen, struct bp_frame *frame)
{
    uint32_t step = (c->tiles_y + BP_FRAME_MAX_RECTS - 1) / BP_FRAME_MAX_RECTS;

    frame->rect_count = 0;
    for (uint32_t y = 0; y < c->tiles_y; y += step) {
        uint32_t first = c->tiles_x, last = 0, rows = c->tiles_y - y < step ? c->tiles_y - y : step;

        for (uint32_t i = 0; i < rows * c->tiles_x; i++) {
            uint32_t x = i % c->tiles_x;

            if (c->tiles[(size_t)y * c->tiles_x + i] <= seen)
                continue;
            first = x < first ? x : first;
            last = x > last ? x : last;
        }
        if (first <= last && first < c->tiles_x)
            add_rect(c, frame, first, y, last - first + 1, rows);
    }
}

int viewer_pull(struct bp_viewer *viewer, struct bp_frame *frame, struct bp_error *err)
{
    struct bp_console *c = viewer->console;
    struct picture *picture;
    bool steady = viewer->flags & BP_VIEWER_STEADY;
    uint64_t since = viewer->forgotten ? 0 : viewer->seen;

    if (frame->size < offsetof(struct bp_frame, reserved))
        return bp_fail(err, EINVAL, "viewer %s: a frame of %u bytes makes no sense", viewer->name,
                       frame->size);
    if (!c->picture || steady || bp_clock_ns(BP_CLOCK_REALTIME) - c->looked >= SAME_NS)
        console_refresh(c);
    picture = steady ? console_steady(c) : c->picture ? picture_ref(c->picture) : NULL;
    if (!picture)
        return bp_fail(err, ENOMEM, "viewer %s: no memory for a picture", viewer->name);
    frame->flags = (viewer->seen < c->resized ? BP_FRAME_RESIZED : 0) |
                   (picture->cells ? BP_FRAME_CELLS : 0) | (picture->blank ? BP_FRAME_BLANK : 0);
    frame->width = picture->width;
    frame->height = picture->height;
    frame->stride = picture->width * 4;
    frame->format = BP_FORMAT_XRGB8888;
    frame->pixels = picture->pixels;
    frame->cells = viewer->flags & BP_VIEWER_CELLS ? picture->cells : NULL;
    frame->held = picture;
    frame->rect_count = 0;
    if (c->generation > since && !rects_exact(c, since, frame))
        rects_coarse(c, since, frame);
    viewer->seen = c->generation;
    viewer->forgotten = false;
    return 0;
}

void viewer_release(struct bp_frame *frame)
{
    picture_unref(frame->held);
    frame->held = NULL;
    frame->pixels = NULL;
    frame->cells = NULL;
}

void viewer_forget(struct bp_viewer *viewer)
{
    viewer->forgotten = true;
}
