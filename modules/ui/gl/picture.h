/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A frame as a texture of OpenGL: what the displays share that draw by it. All of it is called with the caller's
 * context current: OpenGL from 3.2 on (a core profile will do) or OpenGL ES from 3.0 on.
 */
#ifndef UI_GL_PICTURE_H
#define UI_GL_PICTURE_H

#include <bp/error.h>
#include <bp/host/display.h>

struct gl_picture {
    unsigned program, vertices, texture; /* names of the context's; 0: not made yet */
    int swapped, below;                  /* places of the shaders' variables */
    uint32_t width, height;              /* of the texture */
};

/* -ENOTSUP: the context is older. */
int gl_picture_init(struct gl_picture *p, struct bp_error *err);
void gl_picture_fini(struct gl_picture *p); /* one that is all zero is fine */
/* Another size; what was in it is lost. -ENOMEM: the context has no such texture. */
int gl_picture_resize(struct gl_picture *p, uint32_t width, uint32_t height, struct bp_error *err);
/* Takes pixels of XRGB8888 for a part of it; `pixels` is that part's first, `stride` in pixels. */
void gl_picture_put(struct gl_picture *p, const struct bp_rect *part, const uint32_t *pixels, uint32_t stride);

enum gl_picture_order {
    GL_PICTURE_COLOURS, /* as a window wants them: red is red, opaque */
    GL_PICTURE_BYTES,   /* bytes stay as put() took them: what is read back as RGBA is XRGB8888 in memory */
};
/* Fills the viewport of the framebuffer that is bound. `top_first`: its first line is the picture's first one (so it is
 * of textures that are read; windows have their last line first). `smooth`: where it is scaled. */
void gl_picture_draw(const struct gl_picture *p, enum gl_picture_order order, bool top_first, bool smooth);

#endif
