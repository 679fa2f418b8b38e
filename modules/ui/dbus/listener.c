/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who looks at a console: object /org/qemu/Display1/Listener of a peer, which is told of pictures and of the pointer's.
 * The next ones are sent when it has answered the last ones: one that stalls costs nothing, and sees the newest picture
 * when it goes on.
 */
#include "dbus-display.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/log.h>

#define screens (*dbus_display_screens)
#define ARRAY_MOST (64u << 20) /* bytes: the D-Bus Specification, "Marshaling: ARRAY" */

struct dbus_listener {
    struct dbus_listener *next;
    struct dbus_console *console;
    struct dbus_link *link;
    struct bp_viewer *viewer;
    unsigned waiting; /* answers that have not come */
    bool damaged, shown, other_cursor, moved;
    int32_t x, y;
    bool visible;
};

static void push(struct dbus_listener *l);

static int answered(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct dbus_listener *l = opaque;

    (void)error;
    l->waiting--;
    if (sd_bus_is_open(sd_bus_message_get_bus(m)) > 0)
        push(l);
    return 0;
}

static sd_bus_message *message(struct dbus_listener *l, const char *method)
{
    sd_bus_message *m = NULL;

    return sd_bus_message_new_method_call(dbus_link_bus(l->link), &m, NULL, DBUS_ROOT "/Listener", DBUS_NAME "Listener",
                                          method) < 0 ? NULL : m;
}

/* Sends it, and forgets it. However long it takes: there is no time-out. */
static void send_message(struct dbus_listener *l, sd_bus_message *m, int r)
{
    if (r >= 0 && sd_bus_call_async(dbus_link_bus(l->link), NULL, m, answered, l, UINT64_MAX) >= 0)
        l->waiting++;
    sd_bus_message_unref(m);
    dbus_link_sent(l->link);
}

/* ---- pictures ---- */

static int put_pixels(sd_bus_message *m, const struct bp_frame *f, const struct bp_rect *rect)
{
    const uint8_t *from = (const uint8_t *)f->pixels + (size_t)rect->y * f->stride + rect->x * 4u;
    size_t line = rect->width * 4u;
    void *to;
    int r = sd_bus_message_append_array_space(m, 'y', line * rect->height, &to);

    for (uint32_t y = 0; r >= 0 && y < rect->height; y++)
        memcpy((uint8_t *)to + y * line, from + (size_t)y * f->stride, line);
    return r;
}

static void send_all(struct dbus_listener *l, const struct bp_frame *f)
{
    const struct bp_rect all = {0, 0, f->width, f->height};
    sd_bus_message *m = message(l, "Scanout");
    int r = m ? sd_bus_message_append(m, "uuuu", f->width, f->height, f->width * 4, BP_FORMAT_XRGB8888) : -ENOMEM;

    send_message(l, m, r < 0 ? r : put_pixels(m, f, &all));
    l->shown = true;
}

static void send_part(struct dbus_listener *l, const struct bp_frame *f, const struct bp_rect *rect)
{
    sd_bus_message *m = message(l, "Update");
    int r = m ? sd_bus_message_append(m, "iiiiuu", (int)rect->x, (int)rect->y, (int)rect->width, (int)rect->height,
                                      rect->width * 4, BP_FORMAT_XRGB8888) : -ENOMEM;

    send_message(l, m, r < 0 ? r : put_pixels(m, f, rect));
}

static void send_nothing(struct dbus_listener *l)
{
    if (!l->shown)
        return;
    send_message(l, message(l, "Disable"), 0);
    l->shown = false;
}

/* Rectangles that stand below one another become one. Returns how many are left. */
static unsigned joined(struct bp_rect *rects, unsigned count)
{
    unsigned left = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned n = 0;

        while (n < left && (rects[n].x != rects[i].x || rects[n].width != rects[i].width ||
                            rects[n].y + rects[n].height != rects[i].y))
            n++;
        if (n < left)
            rects[n].height += rects[i].height;
        else
            rects[left++] = rects[i];
    }
    return left;
}

static bool is_too_large(const struct bp_frame *f)
{
    static bool warned;

    if ((uint64_t)f->width * f->height * 4 <= ARRAY_MOST)
        return false;
    if (!warned)
        bp_warn("dbus: a picture of %u x %u pixels is more than D-Bus carries, 64 MiB; it is not shown", f->width,
                f->height);
    warned = true;
    return true;
}

static void send_frame(struct dbus_listener *l, struct bp_frame *f)
{
    unsigned count;

    dbus_console_resized(l->console, f->width, f->height);
    if (f->flags & BP_FRAME_BLANK || is_too_large(f)) {
        send_nothing(l);
        return;
    }
    if (!l->shown || f->flags & BP_FRAME_RESIZED) {
        send_all(l, f);
        return;
    }
    count = joined(f->rects, f->rect_count);
    for (unsigned i = 0; i < count; i++)
        send_part(l, f, &f->rects[i]);
}

static void send_damage(struct dbus_listener *l)
{
    struct bp_frame *f = bp_alloc(sizeof(*f));

    l->damaged = false;
    f->size = sizeof(*f);
    if (screens->pull(l->viewer, f, NULL) == 0) {
        send_frame(l, f);
        screens->release(f);
    }
    free(f);
    screens->want(l->viewer);
}

/* ---- the pointer ---- */

static void send_cursor(struct dbus_listener *l, const struct bp_cursor *c)
{
    sd_bus_message *m = message(l, "CursorDefine");
    int r = m ? sd_bus_message_append(m, "iiii", (int)c->width, (int)c->height, (int)c->hot_x, (int)c->hot_y) : -ENOMEM;

    if (r >= 0)
        r = sd_bus_message_append_array(m, 'y', c->pixels, (size_t)c->width * c->height * 4);
    send_message(l, m, r);
}

static void send_place(struct dbus_listener *l)
{
    sd_bus_message *m = message(l, "MouseSet");

    send_message(l, m, m ? sd_bus_message_append(m, "iii", l->x, l->y, (int)l->visible) : -ENOMEM);
}

static void push(struct dbus_listener *l)
{
    const struct bp_cursor *cursor = NULL;
    int32_t x, y;
    bool visible;

    if (l->waiting || !l->viewer || !dbus_link_bus(l->link))
        return;
    if (l->other_cursor) {
        l->other_cursor = false;
        screens->cursor(l->console->console, &cursor, &x, &y, &visible);
        if (cursor)
            send_cursor(l, cursor);
    }
    if (l->moved) {
        l->moved = false;
        send_place(l);
    }
    if (l->damaged)
        send_damage(l);
}

/* ---- what the framework calls ---- */

static void changed(void *opaque)
{
    struct dbus_listener *l = opaque;

    l->damaged = true;
    push(l);
}

static void cursor_changed(void *opaque, const struct bp_cursor *cursor)
{
    struct dbus_listener *l = opaque;

    if (!cursor && l->visible) { /* it has none: none is to be seen */
        l->visible = false;
        l->moved = true;
    }
    l->other_cursor = true;
    push(l);
}

static void pointer_moved(void *opaque, int32_t x, int32_t y, bool visible)
{
    struct dbus_listener *l = opaque;

    l->x = x;
    l->y = y;
    l->visible = visible;
    l->moved = true;
    push(l);
}

static void console_gone(void *opaque)
{
    ((struct dbus_listener *)opaque)->viewer = NULL; /* the console's end frees it, soon */
}

static void ready(void *opaque)
{
    push(opaque);
}

static void gone(void *opaque)
{
    dbus_listener_free(opaque);
}

static const struct dbus_link_ops link_ops = {.ready = ready, .gone = gone};

static const struct bp_viewer_ops ops = {.size = sizeof(ops), .changed = changed, .cursor = cursor_changed,
                                         .pointer = pointer_moved, .gone = console_gone};

int dbus_listener_new(struct dbus_console *c, int fd, struct bp_error *err)
{
    const struct bp_cursor *cursor = NULL;
    struct dbus_listener *l = bp_alloc(sizeof(*l));
    int r = screens->viewer_new(c->console, "dbus", 0, &ops, l, &l->viewer, err);

    if (r < 0) {
        close(fd);
        free(l);
        return r;
    }
    l->link = dbus_link_peer(fd, &link_ops, l);
    l->console = c;
    l->next = c->listeners;
    c->listeners = l;
    c->listener_count++;
    screens->cursor(c->console, &cursor, &l->x, &l->y, &l->visible);
    l->other_cursor = l->moved = cursor != NULL;
    l->damaged = true;
    return 0;
}

void dbus_listener_free(struct dbus_listener *l)
{
    struct dbus_listener **at = &l->console->listeners;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    l->console->listener_count--;
    if (l->viewer)
        screens->viewer_free(l->viewer);
    if (l->viewer && !l->console->listeners) /* who looked typed, too */
        (*dbus_display_input)->release_all(l->console->machine, l->console->console);
    dbus_link_free(l->link);
    free(l);
}
