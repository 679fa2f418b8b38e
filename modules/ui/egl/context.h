/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of ui-egl share. */
#ifndef UI_EGL_CONTEXT_H
#define UI_EGL_CONTEXT_H

#include "egl.h"

#include <epoxy/egl.h>

struct egl_context {
    EGLDisplay display; /* EGL_NO_DISPLAY: it is not open */
    EGLContext context;
    bool by_processor; /* no DRI device draws */
};

/* ---- context.c ---- */
/* It is this thread's current one from then on, until it is closed. */
int egl_context_open(struct egl_context *c, const char *rendernode, enum opengl_api api, struct bp_error *err);
void egl_context_close(struct egl_context *c);

/* ---- renderer.c ---- */
extern const struct egl_interface egl_table;

#endif
