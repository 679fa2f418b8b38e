/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -display gtk,gl=on: views drawn by OpenGL. GDK makes the context, of OpenGL 3.2 or later. A view is drawn on a
 * texture as large as its widget, which GDK puts into the window: so the widget stays one that GTK draws and gives
 * events to.
 */
#include "gtk-ui.h"

#include <errno.h>

#include <epoxy/gl.h>

int gtk_ui_gl_open(struct gtk_ui *ui, struct bp_error *err)
{
    struct gl_picture probe = {0};
    struct bp_error why = {0};
    GError *error = NULL;

    gtk_widget_realize(ui->window);
    ui->context = gdk_window_create_gl_context(gtk_widget_get_window(ui->window), &error);
    if (!ui->context || !gdk_gl_context_realize(ui->context, &error)) {
        bp_fail(err, ENODEV, "OpenGL is not to be had here (%s); use gl=off", error ? error->message : "no context");
        g_clear_error(&error);
        g_clear_object(&ui->context);
        return -ENODEV;
    }
    gdk_gl_context_make_current(ui->context);
    if (gl_picture_init(&probe, &why) < 0) {
        gdk_gl_context_clear_current();
        g_clear_object(&ui->context);
        return bp_fail(err, ENODEV, "OpenGL is not to be had here (%s); use gl=off", why.message);
    }
    gl_picture_fini(&probe);
    glGenFramebuffers(1, &ui->canvas);
    glGenTextures(1, &ui->target);
    return 0;
}

void gtk_ui_gl_close(struct gtk_ui *ui)
{
    if (!ui->context)
        return;
    gdk_gl_context_make_current(ui->context);
    glDeleteFramebuffers(1, &ui->canvas);
    glDeleteTextures(1, &ui->target);
    gdk_gl_context_clear_current();
    g_clear_object(&ui->context);
}

/* A picture that OpenGL has no room for is black. */
void gtk_ui_gl_size(struct gtk_view *v)
{
    gdk_gl_context_make_current(v->ui->context);
    if (v->texture.program || gl_picture_init(&v->texture, NULL) == 0)
        gl_picture_resize(&v->texture, (uint32_t)v->width, (uint32_t)v->height, NULL);
}

void gtk_ui_gl_put(struct gtk_view *v, const struct bp_frame *frame, const struct bp_rect *rect)
{
    uint32_t stride = frame->stride / 4;

    if (!v->texture.width)
        return;
    gdk_gl_context_make_current(v->ui->context);
    gl_picture_put(&v->texture, rect, frame->pixels + (size_t)rect->y * stride + rect->x, stride);
}

/* The canvas has the widget's size, in the screen's own pixels. */
static void size_target(const struct gtk_ui *ui, int width, int height)
{
    glBindTexture(GL_TEXTURE_2D, ui->target);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
    glBindFramebuffer(GL_FRAMEBUFFER, ui->canvas);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, ui->target, 0);
}

void gtk_ui_gl_draw(struct gtk_view *v, cairo_t *cr)
{
    const struct gtk_ui *ui = v->ui;
    int dots = gtk_widget_get_scale_factor(v->area);
    int width = gtk_widget_get_allocated_width(v->area) * dots;
    int height = gtk_widget_get_allocated_height(v->area) * dots;
    double x, y, across, down;

    gtk_ui_place(v, &x, &y, &across, &down);
    across *= dots;
    down *= dots;
    gdk_gl_context_make_current(ui->context);
    size_target(ui, width, height);
    glViewport(0, 0, width, height);
    glDisable(GL_SCISSOR_TEST);
    glClearColor(0, 0, 0, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    if (v->texture.width) {
        int tall = (int)(v->height * down);

        glViewport((int)x * dots, height - (int)y * dots - tall, (int)(v->width * across), tall);
        gl_picture_draw(&v->texture, GL_PICTURE_COLOURS, false, across != 1);
    }
    glBindFramebuffer(GL_FRAMEBUFFER, 0);
    gdk_cairo_draw_from_gl(cr, gtk_widget_get_window(v->area), (int)ui->target, GL_TEXTURE, dots, 0, 0, width, height);
    gdk_gl_context_make_current(ui->context);
    glBindTexture(GL_TEXTURE_2D, 0);
}

void gtk_ui_gl_view_free(struct gtk_view *v)
{
    gdk_gl_context_make_current(v->ui->context);
    gl_picture_fini(&v->texture);
}
