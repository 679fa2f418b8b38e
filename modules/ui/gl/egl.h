/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interface egl/1, which the module ui-egl offers: pictures of screens are drawn by OpenGL on a device of the host's,
 * without a window. -display egl-headless does that; displays whose key gl=on says so ask for it. All of it: [main].
 */
#ifndef UI_EGL_H
#define UI_EGL_H

#include <bp/base.h>
#include <bp/error.h>

enum opengl_api { OPENGL_ANY, OPENGL_CORE, OPENGL_ES }; /* OpenGL, or OpenGL ES where that is not; one of them alone */

struct egl_interface {
    uint32_t size;
    /* From now on every picture is drawn so (bp_display_interface.set_renderer). `rendernode`: file of a DRI device;
     * NULL: the first one, or the processor where there is none. Not -ENODEV: it names what is wrong. `option` is who
     * asks, for messages ("-display egl-headless"). */
    int (*start)(const char *option, const char *rendernode, enum opengl_api api, struct bp_error *err);
    void (*stop)(void); /* nothing, where it was not started */
};

#endif
