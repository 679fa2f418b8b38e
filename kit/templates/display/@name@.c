/* SPDX-License-Identifier: MIT */
/* @name@: where the picture goes, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <errno.h>
#include <stdlib.h>

#include <bp/host/display.h>

struct @ident@ {
    struct bp_viewer *viewer;
    struct bp_frame frame;
    uint64_t pixels; /* that were damaged so far */
};

BP_USE(display, struct bp_display_interface, "display", 1);

/* There is damage: take it, show it, and ask to be told of the next. */
static void @ident@_changed(void *opaque)
{
    struct @ident@ *s = opaque;

    s->frame.size = sizeof(s->frame);
    if (display->pull(s->viewer, &s->frame, NULL) == 0) {
        for (uint32_t i = 0; i < s->frame.rect_count; i++) /* frame.pixels: 0x00RRGGBB */
            s->pixels += (uint64_t)s->frame.rects[i].width * s->frame.rects[i].height;
        display->release(&s->frame);
    }
    display->want(s->viewer);
}

static void @ident@_gone(void *opaque)
{
    ((struct @ident@ *)opaque)->viewer = NULL;
}

static const struct bp_viewer_ops @ident@_ops = {
    .size = sizeof(@ident@_ops), .changed = @ident@_changed, .gone = @ident@_gone};

static int @ident@_open(struct bp_object *obj, struct bp_error *err)
{
    struct @ident@ *s = bp_object_state(obj);
    struct bp_console *console = display->console_at(NULL, 0);
    int ret;

    if (!console)
        return bp_fail(err, ENODEV, "the machine has no screen");
    ret = display->viewer_new(console, "@name@", 0, &@ident@_ops, s, &s->viewer, err);
    if (ret == 0)
        display->want(s->viewer);
    return ret;
}

static void @ident@_close(struct bp_object *obj)
{
    display->viewer_free(((struct @ident@ *)bp_object_state(obj))->viewer);
}

BP_DISPLAY(@ident@, "@name@", "One line of help", struct @ident@, NULL, .open = @ident@_open,
           .close = @ident@_close);
static const struct bp_import @ident@_imports[] = {BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_OTHER, &@ident@});
