/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display gtk: screens, and how they are drawn. */
#include "gtk-ui.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define display (*gtk_ui_display)
#define input (*gtk_ui_input)

struct gtk_view *gtk_ui_current(struct gtk_ui *ui)
{
    int page = gtk_notebook_get_current_page(GTK_NOTEBOOK(ui->notebook));
    GtkWidget *widget = gtk_notebook_get_nth_page(GTK_NOTEBOOK(ui->notebook), page);
    struct gtk_view *v = ui->views;

    while (v && v->area != widget)
        v = v->next;
    return v;
}

void gtk_ui_place(const struct gtk_view *v, double *ret_x, double *ret_y, double *ret_scale_x, double *ret_scale_y)
{
    int width = gtk_widget_get_allocated_width(v->area), height = gtk_widget_get_allocated_height(v->area);
    double scale = v->ui->scale;

    if ((v->ui->zoom_to_fit || v->ui->is_full) && v->width && v->height) {
        scale = (double)width / v->width;
        if (scale > (double)height / v->height)
            scale = (double)height / v->height;
    }
    *ret_x = width > v->width * scale ? (int)((width - v->width * scale) / 2) : 0;
    *ret_y = height > v->height * scale ? (int)((height - v->height * scale) / 2) : 0;
    *ret_scale_x = *ret_scale_y = scale;
}

static gboolean draw(GtkWidget *widget, cairo_t *cr, gpointer opaque)
{
    struct gtk_view *v = opaque;
    double x, y, across, down;

    (void)widget;
    if (v->ui->context) {
        gtk_ui_gl_draw(v, cr);
        return TRUE;
    }
    gtk_ui_place(v, &x, &y, &across, &down);
    cairo_set_source_rgb(cr, 0, 0, 0);
    cairo_paint(cr);
    if (!v->picture)
        return TRUE;
    cairo_translate(cr, x, y);
    cairo_scale(cr, across, down);
    cairo_set_source_surface(cr, v->picture, 0, 0);
    if (across >= 1)
        cairo_pattern_set_filter(cairo_get_source(cr), across == 1 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD);
    cairo_paint(cr);
    return TRUE;
}

void gtk_ui_fit_window(struct gtk_ui *ui)
{
    struct gtk_view *v = gtk_ui_current(ui);

    for (struct gtk_view *other = ui->views; other; other = other->next) {
        bool fixed = other == v && !ui->zoom_to_fit && !ui->is_full;

        gtk_widget_set_size_request(other->area, fixed ? (int)(v->width * ui->scale) : 1,
                                    fixed ? (int)(v->height * ui->scale) : 1);
    }
    /* A window that is asked to be as small as possible has the size of what is in it. */
    if (v && !ui->zoom_to_fit && !ui->is_full)
        gtk_window_resize(GTK_WINDOW(ui->window), 1, 1);
    gtk_widget_queue_draw(ui->notebook);
}

/* ---- frames ---- */

static void new_size(struct gtk_view *v, uint32_t width, uint32_t height)
{
    v->width = (int)width;
    v->height = (int)height;
    if (v->picture)
        cairo_surface_destroy(v->picture);
    v->picture = v->ui->context ? NULL : cairo_image_surface_create(CAIRO_FORMAT_RGB24, v->width, v->height);
    if (v->ui->context)
        gtk_ui_gl_size(v);
    if (v->ui->zoom_to_fit && v == gtk_ui_current(v->ui))
        gtk_window_set_default_size(GTK_WINDOW(v->ui->window), v->width, v->height);
    gtk_ui_fit_window(v->ui);
}

static void copy(struct gtk_view *v, const struct bp_frame *frame, const struct bp_rect *r)
{
    size_t stride;
    uint8_t *to;

    if (v->ui->context) {
        gtk_ui_gl_put(v, frame, r);
        return;
    }
    stride = (size_t)cairo_image_surface_get_stride(v->picture);
    to = cairo_image_surface_get_data(v->picture) + r->y * stride + r->x * 4;
    for (uint32_t y = 0; y < r->height; y++)
        memcpy(to + y * stride, frame->pixels + (size_t)(r->y + y) * (frame->stride / 4) + r->x, (size_t)r->width * 4);
}

static void pull(struct gtk_view *v)
{
    struct bp_frame frame = {.size = sizeof(frame)};
    double x, y, across, down;
    bool resized;

    if (!v->viewer || display->pull(v->viewer, &frame, NULL) < 0)
        return;
    resized = v->width != (int)frame.width || v->height != (int)frame.height;
    if (resized)
        new_size(v, frame.width, frame.height);
    if (v->picture)
        cairo_surface_flush(v->picture);
    gtk_ui_place(v, &x, &y, &across, &down);
    for (uint32_t i = 0; i < frame.rect_count; i++) {
        const struct bp_rect *r = &frame.rects[i];

        copy(v, &frame, r);
        if (!resized) /* a pixel around it: what is scaled is blurred */
            gtk_widget_queue_draw_area(v->area, (int)(x + r->x * across) - 1, (int)(y + r->y * down) - 1,
                                       (int)(r->width * across) + 3, (int)(r->height * down) + 3);
    }
    if (v->picture)
        cairo_surface_mark_dirty(v->picture);
    if (resized)
        gtk_widget_queue_draw(v->area);
    display->release(&frame);
    display->want(v->viewer);
}

static void changed(void *opaque)
{
    pull(opaque);
}

/* ---- pointers ---- */

void gtk_ui_pointer(struct gtk_ui *ui)
{
    for (struct gtk_view *v = ui->views; v; v = v->next) {
        GdkWindow *window = gtk_widget_get_window(v->area);
        bool absolute = v->console && input->is_absolute(ui->machine, v->console);
        GdkCursor *cursor = ui->show_cursor || !(absolute || ui->grabbed) ? NULL : absolute && v->cursor ? v->cursor
                                                                                                         : ui->blank;

        if (window)
            gdk_window_set_cursor(window, cursor);
    }
}

static void cursor(void *opaque, const struct bp_cursor *now)
{
    struct gtk_view *v = opaque;

    if (v->cursor)
        g_object_unref(v->cursor);
    v->cursor = NULL;
    if (now) {
        cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, (int)now->width, (int)now->height);
        size_t stride = (size_t)cairo_image_surface_get_stride(s);
        uint8_t *to = cairo_image_surface_get_data(s);

        for (uint32_t y = 0; y < now->height; y++) {
            for (uint32_t x = 0; x < now->width; x++) { /* cairo's are premultiplied */
                uint32_t p = now->pixels[y * now->width + x], a = p >> 24;
                uint32_t r = (p >> 16 & 255) * a / 255, g = (p >> 8 & 255) * a / 255, b = (p & 255) * a / 255;

                p = a << 24 | r << 16 | g << 8 | b;
                memcpy(to + y * stride + x * 4, &p, 4);
            }
        }
        cairo_surface_mark_dirty(s);
        v->cursor = gdk_cursor_new_from_surface(gtk_widget_get_display(v->area), s, now->hot_x, now->hot_y);
        cairo_surface_destroy(s);
    }
    gtk_ui_pointer(v->ui);
}

static void gone(void *opaque)
{
    struct gtk_view *v = opaque;

    display->viewer_free(v->viewer);
    v->viewer = NULL;
    v->console = NULL;
    gtk_ui_view_free(v);
}

static const struct bp_viewer_ops viewer_ops = {
    .size = sizeof(viewer_ops), .changed = changed, .cursor = cursor, .gone = gone};

/* ---- life ---- */

void gtk_ui_view_add(struct gtk_ui *ui, struct bp_console *console, unsigned number)
{
    struct gtk_view *v = bp_alloc(sizeof(*v)), **at = &ui->views;
    struct bp_object *device = display->console_device(console);
    const char *id = bp_object_id(device);
    const struct bp_cursor *now;
    char label[96];
    int32_t x, y;
    bool visible;

    v->ui = ui;
    v->number = number;
    v->console = console;
    if (display->viewer_new(console, "gtk", 0, &viewer_ops, v, &v->viewer, NULL) < 0) {
        free(v);
        return;
    }
    while (*at)
        at = &(*at)->next;
    *at = v;
    if (display->console_head(console))
        snprintf(label, sizeof(label), "%.60s %u", id ? id : bp_object_type(device), display->console_head(console));
    else
        snprintf(label, sizeof(label), "%.60s", id ? id : bp_object_type(device));
    v->area = gtk_drawing_area_new();
    g_signal_connect(v->area, "draw", G_CALLBACK(draw), v);
    gtk_ui_input_connect(v);
    gtk_widget_show(v->area);
    gtk_notebook_append_page(GTK_NOTEBOOK(ui->notebook), v->area, gtk_label_new(label));
    gtk_ui_menu_add_view(ui, v);
    display->cursor(console, &now, &x, &y, &visible);
    if (now)
        cursor(v, now);
    pull(v);
}

void gtk_ui_view_free(struct gtk_view *v)
{
    struct gtk_view **at = &v->ui->views;

    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    display->viewer_free(v->viewer);
    if (v->ui->context)
        gtk_ui_gl_view_free(v);
    gtk_widget_destroy(v->area);
    gtk_widget_destroy(v->item);
    if (v->picture)
        cairo_surface_destroy(v->picture);
    if (v->cursor)
        g_object_unref(v->cursor);
    free(v);
}
