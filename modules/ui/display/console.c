/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consoles as devices make and use them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>

#include "display.h"

#define MAX_CONSOLES 64u
#define MAX_CURSOR 256u

struct bp_console *consoles;
static struct listener *listeners;

void console_listen(void (*fn)(void *opaque), void *opaque)
{
    listener_add(&listeners, fn, opaque);
}

void console_unlisten(void (*fn)(void *opaque), void *opaque)
{
    listener_remove(&listeners, fn, opaque);
}

static const char *device_name(const struct bp_console *console)
{
    const char *id = bp_object_id(console->device);

    return id ? id : bp_object_type(console->device);
}

int console_new(struct bp_object *device, unsigned head, const struct bp_console_ops *ops,
                void *opaque, struct bp_console **ret_console, struct bp_error *err)
{
    struct bp_console **link = &consoles, *console;
    unsigned count = 0;

    if (ops->size < offsetof(struct bp_console_ops, reserved))
        return bp_fail(err, EINVAL, "console: operations of %u bytes make no sense", ops->size);
    for (; *link; link = &(*link)->next, count++)
        if ((*link)->device == device && (*link)->head == head)
            return bp_fail(err, EEXIST, "console: device %s has a head %u already",
                           device_name(*link), head);
    if (count == MAX_CONSOLES)
        return bp_fail(err, ENOSPC, "console: at most %u are accepted", MAX_CONSOLES);
    console = bp_alloc(sizeof(*console));
    console->device = device;
    console->head = head;
    memcpy(&console->ops, ops, ops->size < sizeof(*ops) ? ops->size : sizeof(*ops));
    console->opaque = opaque;
    console->timer = bp_timer_new(NULL, bp_context_main(bp_object_machine(device)), BP_CLOCK_REALTIME,
                                  viewers_look, console);
    *link = console;
    *ret_console = console;
    listeners_call(&listeners);
    return 0;
}

static void forget_picture(struct bp_console *console)
{
    watched_stop(console->watched);
    console->watched = NULL;
    picture_unref(console->picture);
    console->picture = NULL;
    free(console->tiles);
    free(console->touched);
    console->tiles = NULL;
    console->touched = NULL;
    console->shown = NULL;
}

void console_unwatched(struct bp_console *console)
{
    bp_timer_cancel(console->timer);
    forget_picture(console);
    if (console->ops.watched)
        console->ops.watched(console->opaque, false);
}

void console_free(struct bp_console *console)
{
    struct bp_console **link = &consoles;

    if (!console)
        return;
    while (console->viewers) {
        struct bp_viewer *viewer = console->viewers;

        if (viewer->ops.gone)
            viewer->ops.gone(viewer->opaque);
        if (console->viewers == viewer)
            viewer_free(viewer);
    }
    while (*link != console)
        link = &(*link)->next;
    *link = console->next;
    bp_timer_free(console->timer);
    forget_picture(console);
    surface_unref(console->surface);
    free(console->cursor_pixels);
    input_console_gone(console);
    free(console);
    listeners_call(&listeners);
}

/* What is no device of a machine is every machine's. */
static bool is_of(const struct bp_console *console, const struct bp_machine *machine)
{
    const struct bp_machine *its = bp_object_machine(console->device);

    return !machine || !its || its == machine;
}

struct bp_console *console_at(struct bp_machine *machine, unsigned n)
{
    struct bp_console *console = consoles;

    for (; console; console = console->next)
        if (is_of(console, machine) && n-- == 0)
            break;
    return console;
}

int console_find(struct bp_machine *machine, const char *device, unsigned head,
                 struct bp_console **ret_console, struct bp_error *err)
{
    struct bp_console *first = console_at(machine, 0), *console;
    struct bp_object *obj = device ? bp_object_resolve(device, NULL, NULL) : NULL;
    unsigned heads = 0;

    if (device && !obj)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "Device '%s' not found", device);
    if (!device && first)
        obj = first->device;
    for (console = consoles; console; console = console->next) {
        if (console->device != obj || !is_of(console, machine))
            continue;
        heads++;
        if (console->head == head) {
            *ret_console = console;
            return 0;
        }
    }
    if (!first)
        return bp_fail(err, ENOENT, "The machine has no screen: it was made without a display adapter");
    if (!heads)
        return bp_fail(err, ENOENT, "Device '%s' has no screen", device);
    return bp_fail(err, ENOENT, "'head': device '%s' has %u screen%s, numbered from 0; not a number %u",
                   device ? device : device_name(first), heads, heads == 1 ? "" : "s", head);
}

unsigned console_index(const struct bp_console *console)
{
    unsigned n = 0;

    for (const struct bp_console *c = consoles; c != console; c = c->next)
        n += is_of(c, bp_object_machine(console->device));
    return n;
}

void console_set_surface(struct bp_console *console, struct bp_surface *surface)
{
    if (surface == console->surface)
        return;
    if (surface)
        surface_ref(surface);
    /* Pages of the same memory stay watched: guests that show one page after the other. */
    if (console->watched && (!surface || surface->region != console->watched->region)) {
        watched_stop(console->watched);
        console->watched = NULL;
    }
    surface_unref(console->surface);
    console->surface = surface;
    console->shown = NULL;
    console->all_touched = true;
}

void console_set_blank_size(struct bp_console *console, uint32_t width, uint32_t height)
{
    console->blank_width = width;
    console->blank_height = height;
}

void console_damage(struct bp_console *c, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    const struct bp_surface *s = c->surface;
    uint64_t right, bottom;

    if (s && s->is_cells)
        viewers_hasten(c);
    if (!s || s->is_cells || s->region || !width || !height)
        return;
    right = ((uint64_t)x + width) * s->repeat_x;
    bottom = ((uint64_t)y + height) * s->repeat_y;
    if (!c->touched || c->shown != s) { /* all of it will be looked at */
        c->all_touched = true;
        return;
    }
    for (uint64_t ty = (uint64_t)y * s->repeat_y / TILE_HEIGHT; ty * TILE_HEIGHT < bottom && ty < c->tiles_y;
         ty++)
        for (uint64_t tx = (uint64_t)x * s->repeat_x / TILE_WIDTH;
             tx * TILE_WIDTH < right && tx < c->tiles_x; tx++)
            c->touched[ty * c->tiles_x + tx] = 1;
}

int console_set_cursor(struct bp_console *console, const struct bp_cursor *cursor)
{
    uint32_t *pixels = NULL;

    if (cursor) {
        size_t bytes = (size_t)cursor->width * cursor->height * 4;

        if (!cursor->width || !cursor->height || cursor->width > MAX_CURSOR ||
            cursor->height > MAX_CURSOR || cursor->hot_x >= cursor->width ||
            cursor->hot_y >= cursor->height)
            return -EINVAL;
        pixels = memcpy(bp_alloc(bytes), cursor->pixels, bytes);
        console->cursor = *cursor;
    }
    free(console->cursor_pixels);
    console->cursor_pixels = pixels;
    console->cursor.pixels = pixels;
    for (struct bp_viewer *v = console->viewers, *next; v; v = next) {
        next = v->next;
        if (v->ops.cursor)
            v->ops.cursor(v->opaque, pixels ? &console->cursor : NULL);
    }
    return 0;
}

void console_move_pointer(struct bp_console *console, int32_t x, int32_t y, bool visible)
{
    console->pointer_x = x;
    console->pointer_y = y;
    console->pointer_visible = visible;
    for (struct bp_viewer *v = console->viewers, *next; v; v = next) {
        next = v->next;
        if (v->ops.pointer)
            v->ops.pointer(v->opaque, x, y, visible);
    }
}

int console_request_size(struct bp_console *console, const struct bp_ui_info *info,
                         struct bp_error *err)
{
    int ret = -ENOTSUP;

    if (info->size < offsetof(struct bp_ui_info, reserved))
        return bp_fail(err, EINVAL, "console: a request of %u bytes makes no sense", info->size);
    if (info->width > BP_DISPLAY_MAX || info->height > BP_DISPLAY_MAX)
        return bp_fail(err, ERANGE, "console: %u x %u pixels are more than %u each way", info->width,
                       info->height, BP_DISPLAY_MAX);
    if (console->ops.ui_info)
        ret = console->ops.ui_info(console->opaque, info);
    if (ret == -ENOTSUP)
        return bp_fail(err, ENOTSUP, "the size of %s's screen is its guest's to choose",
                       device_name(console));
    return ret < 0 ? bp_fail(err, -ret, "%s refuses %u x %u pixels", device_name(console),
                             info->width, info->height)
                   : 0;
}
