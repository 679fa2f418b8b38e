/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pictures drawn by OpenGL without a window: each changed part goes up as a texture, is drawn into a framebuffer, and
 * is read back into the picture that viewers get. Both are a sheet of a fixed size: larger parts go in pieces. A thread
 * of its own does it, while the main one waits: a thread has one current context, and GTK may have its own on the main
 * one, of GLX, beside which EGL's cannot be made current.
 */
#define BP_SHARED
#include "context.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <epoxy/gl.h>

#include <bp/base.h>
#include <bp/host/display.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "picture.h"

#define SHEET_WIDTH 2048u
#define SHEET_HEIGHT 512u

extern const struct bp_display_interface *const *const egl_display;

/* What the thread is to do: open, then draw as often as it is told, then close and end. */
enum task { TASK_NONE, TASK_OPEN, TASK_DRAW, TASK_CLOSE };

static struct {
    bool on; /* [main]: there is the thread */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum task task;  /* lock: who gave it waits until it is TASK_NONE again, and the rest is the thread's so long */
    int result;
    struct bp_error *err;
    const char *rendernode;
    enum opengl_api api;
    uint32_t *pixels, stride, width, height;
    char name[128]; /* of who draws */
    /* the thread's */
    struct egl_context context;
    struct gl_picture sheet;
    GLuint framebuffer, target;
} draws = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- the thread ---- */

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

/* A piece that is not larger than the sheet. */
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

static int draw(struct bp_error *err)
{
    for (uint32_t y = 0; y < draws.height; y += SHEET_HEIGHT)
        for (uint32_t x = 0; x < draws.width; x += SHEET_WIDTH)
            if (!draw_piece(draws.pixels + (size_t)y * draws.stride + x, draws.stride,
                            least(draws.width - x, SHEET_WIDTH), least(draws.height - y, SHEET_HEIGHT)))
                return bp_fail(err, EIO, "OpenGL failed");
    return 0;
}

static int open_sheet(struct bp_error *err)
{
    int r = egl_context_open(&draws.context, draws.rendernode, draws.api, err);

    if (r == 0)
        r = make_sheet(err);
    if (r == 0)
        snprintf(draws.name, sizeof(draws.name), "%s", (const char *)glGetString(GL_RENDERER));
    return r;
}

static void close_sheet(void)
{
    if (draws.context.context != EGL_NO_CONTEXT) {
        gl_picture_fini(&draws.sheet);
        glDeleteFramebuffers(1, &draws.framebuffer);
        glDeleteTextures(1, &draws.target);
    }
    egl_context_close(&draws.context);
    draws.framebuffer = draws.target = 0;
}

static void *work(void *opaque)
{
    bool ends = false;

    (void)opaque;
    pthread_mutex_lock(&draws.lock);
    while (!ends) {
        while (draws.task == TASK_NONE)
            pthread_cond_wait(&draws.changed, &draws.lock);
        ends = draws.task == TASK_CLOSE;
        if (ends)
            close_sheet();
        else
            draws.result = draws.task == TASK_OPEN ? open_sheet(draws.err) : draw(draws.err);
        draws.task = TASK_NONE;
        pthread_cond_broadcast(&draws.changed);
    }
    pthread_mutex_unlock(&draws.lock);
    return NULL;
}

/* ---- the main thread ---- */

/* Returns when it is done. */
static int give(enum task task, struct bp_error *err)
{
    int result;

    pthread_mutex_lock(&draws.lock);
    draws.err = err;
    draws.result = 0;
    draws.task = task;
    pthread_cond_broadcast(&draws.changed);
    while (draws.task != TASK_NONE)
        pthread_cond_wait(&draws.changed, &draws.lock);
    result = draws.result;
    pthread_mutex_unlock(&draws.lock);
    return result;
}

static int render(void *opaque, uint32_t *pixels, uint32_t stride, uint32_t width, uint32_t height,
                  struct bp_error *err)
{
    (void)opaque;
    draws.pixels = pixels;
    draws.stride = stride;
    draws.width = width;
    draws.height = height;
    return give(TASK_DRAW, err);
}

static const struct bp_renderer renderer = {.size = sizeof(renderer), .name = "OpenGL", .render = render};

static void stop(void)
{
    if (!draws.on)
        return;
    (*egl_display)->set_renderer(NULL, NULL, NULL);
    give(TASK_CLOSE, NULL);
    pthread_join(draws.thread, NULL);
    draws.on = false;
}

static int start(const char *option, const char *rendernode, enum opengl_api api, struct bp_error *err)
{
    int r;

    if (draws.on)
        return bp_fail(err, EBUSY, "OpenGL draws already; one of the options asks for it");
    r = bp_thread_start(&draws.thread, "opengl", work, NULL);
    if (r)
        return bp_fail(err, r, "OpenGL's thread does not start: %s", strerror(r));
    draws.on = true;
    draws.rendernode = rendernode;
    draws.api = api;
    r = give(TASK_OPEN, err);
    if (r == 0)
        r = (*egl_display)->set_renderer(&renderer, NULL, err);
    if (r < 0)
        stop();
    else if (draws.context.by_processor)
        bp_info("%s: there is no DRI device that can be used; OpenGL is drawn by the processor (%s)", option,
                draws.name);
    return r;
}

const struct egl_interface egl_table = {.size = sizeof(egl_table), .start = start, .stop = stop};
