/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `ui-egl`: interface egl/1, and -display egl-headless, which shows nothing by itself: what VNC and SPICE show
 * is drawn by OpenGL.
 */
#include "context.h"

#include <bp/host/display.h>

BP_USE(display, struct bp_display_interface, "display", 1);
const struct bp_display_interface *const *const egl_display = &display;
static const struct bp_import imports[] = {BP_IMPORT_MINOR(display, "display", 1, 3), {0}};

struct headless {
    char *rendernode;
    bool started;
};

static int headless_open(struct bp_object *obj, struct bp_error *err)
{
    struct headless *h = bp_object_state(obj);
    int r = egl_table.start("-display egl-headless", h->rendernode, OPENGL_ANY, err);

    h->started = r == 0;
    return r;
}

static void headless_close(struct bp_object *obj)
{
    const struct headless *h = bp_object_state(obj);

    if (h->started)
        egl_table.stop();
}

static const struct bp_field props[] = {
    BP_PROP("rendernode", STRING, struct headless, rendernode, NULL,
            "file of the DRI device; without it the first one that can be used"),
    BP_FIELDS_END};
BP_DISPLAY(headless_display, "egl-headless", "No window; VNC and SPICE show what OpenGL draws", struct headless, props,
           .open = headless_open, .close = headless_close);
BP_INTERFACE(egl_interface, "egl", 1, 0, &egl_table);
BP_MODULE("ui-egl", "OpenGL without a window", imports, {BP_PROVIDE_OTHER, &headless_display},
                    {BP_PROVIDE_INTERFACE, &egl_interface});
