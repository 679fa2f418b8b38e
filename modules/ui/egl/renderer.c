/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pictures drawn by OpenGL without a window: each changed part goes up as a texture, is drawn into a framebuffer, and
 * is read back into the picture that viewers get. Both are a sheet of a fixed size: larger parts go in pieces.
 */
#define BP_SHARED
#include "context.h"

#include <errno.h>

#include <epoxy/gl.h>

#include <bp/host/display.h>
#include <bp/log.h>

#include "picture.h"

#define SHEET_WIDTH 2048u
#define SHEET_HEIGHT 512u

extern const struct bp_display_interface *const *const egl_display;

static struct { /* [main]: the process draws in one way */
    bool on;
    struct egl_context context;
    struct gl_picture sheet;
    GLuint framebuffer, target;
} draws;

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The context is current. */
static int make_sheet(struct bp_error *err)
{
    int r = gl_picture_init(&draws.sheet, err);

    if (r == 0)
        r = gl_picture_resize(&draws.sheet, SHEET_WIDTH, SHEET_HEIGHT, err);
    if (r < 0)
        return r;
    glGenTextures(1, &draws.target);
    glBindTexture(GL_TEXTURE_2D, draws.target);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, SHEET_WIDTH, SHEET_HEIGHT, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glGenFramebuffers(1, &draws.framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, draws.framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, draws.target, 0);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
        return bp_fail(err, ENOMEM, "OpenGL has no memory to draw on");
    return 0;
}

/* A piece that is not larger than the sheet; the context is current. */
static bool draw_piece(uint32_t *pixels, uint32_t stride, uint32_t width, uint32_t height)
{
    const struct bp_rect piece = {0, 0, width, height};

    gl_picture_put(&draws.sheet, &piece, pixels, stride);
    glBindFramebuffer(GL_FRAMEBUFFER, draws.framebuffer);
    glViewport(0, 0, SHEET_WIDTH, SHEET_HEIGHT);
    glEnable(GL_SCISSOR_TEST); /* the rest of the sheet is not of this piece */
    glScissor(0, 0, (GLsizei)width, (GLsizei)height);
    gl_picture_draw(&draws.sheet, GL_PICTURE_BYTES, true, false);
    if (glGetError() != GL_NO_ERROR)
        return false;
    glPixelStorei(GL_PACK_ALIGNMENT, 4);
    glPixelStorei(GL_PACK_ROW_LENGTH, (GLint)stride);
    glReadPixels(0, 0, (GLsizei)width, (GLsizei)height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    return glGetError() == GL_NO_ERROR;
}

static int render(void *opaque, uint32_t *pixels, uint32_t stride, uint32_t width, uint32_t height,
                  struct bp_error *err)
{
    bool done = true;

    (void)opaque;
    if (!egl_context_enter(&draws.context))
        return bp_fail(err, EIO, "EGL error 0x%x", eglGetError());
    for (uint32_t y = 0; y < height && done; y += SHEET_HEIGHT)
        for (uint32_t x = 0; x < width && done; x += SHEET_WIDTH)
            done = draw_piece(pixels + (size_t)y * stride + x, stride, least(width - x, SHEET_WIDTH),
                              least(height - y, SHEET_HEIGHT));
    egl_context_leave(&draws.context);
    return done ? 0 : bp_fail(err, EIO, "OpenGL failed");
}

static const struct bp_renderer renderer = {.size = sizeof(renderer), .name = "OpenGL", .render = render};

static void stop(void)
{
    if (!draws.on)
        return;
    draws.on = false;
    (*egl_display)->set_renderer(NULL, NULL, NULL);
    if (egl_context_enter(&draws.context)) {
        gl_picture_fini(&draws.sheet);
        glDeleteFramebuffers(1, &draws.framebuffer);
        glDeleteTextures(1, &draws.target);
        egl_context_leave(&draws.context);
    }
    egl_context_close(&draws.context);
}

static int start(const char *option, const char *rendernode, enum egl_api api, struct bp_error *err)
{
    int r;

    if (draws.on)
        return bp_fail(err, EBUSY, "OpenGL draws already; one of the options asks for it");
    r = egl_context_open(&draws.context, rendernode, api, err);
    if (r < 0)
        return r;
    if (!egl_context_enter(&draws.context)) {
        egl_context_close(&draws.context);
        return bp_fail(err, EIO, "OpenGL does not start (EGL error 0x%x)", eglGetError());
    }
    draws.on = true;
    r = make_sheet(err);
    if (r == 0 && draws.context.by_processor)
        bp_info("%s: there is no DRI device that can be used; OpenGL is drawn by the processor (%s)", option,
                (const char *)glGetString(GL_RENDERER));
    egl_context_leave(&draws.context);
    if (r == 0)
        r = (*egl_display)->set_renderer(&renderer, NULL, err);
    if (r < 0)
        stop();
    return r;
}

const struct egl_interface egl_table = {.size = sizeof(egl_table), .start = start, .stop = stop};
