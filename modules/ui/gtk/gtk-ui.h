/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -display gtk: what its files share. GTK lives in the main loop, whose events it takes part in: everything here is
 * [main] under the machine lock.
 */
#ifndef UI_GTK_H
#define UI_GTK_H

#include <gtk/gtk.h>

#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>

#include "picture.h"

extern const struct bp_display_interface *const *const gtk_ui_display;
extern const struct bp_input_interface *const *const gtk_ui_input;

struct gtk_ui;

/* A screen: a page of the notebook. */
struct gtk_view {
    struct gtk_ui *ui;
    struct gtk_view *next;
    unsigned number;
    struct bp_console *console; /* NULL: gone */
    struct bp_viewer *viewer;
    GtkWidget *area, *item; /* where it is drawn; its line of the menu */
    cairo_surface_t *picture;  /* NULL with OpenGL */
    struct gl_picture texture; /* with OpenGL */
    int width, height;
    GdkCursor *cursor; /* the guest's */
    double last_x, last_y;
    bool has_last;
};

struct gtk_ui {
    /* Properties. */
    bool full_screen, gl, grab_on_hover, show_tabs, show_cursor, window_close, show_menubar, zoom_to_fit;
    /* */
    struct bp_machine *machine;
    GtkWidget *window, *notebook, *menubar;
    GtkWidget *item_pause, *item_full, *item_fit, *item_hover, *item_grab, *item_tabs, *item_menubar;
    GdkCursor *blank;
    GdkGLContext *context;   /* of OpenGL, for all views; NULL: GTK draws without */
    unsigned canvas, target; /* of that context: a framebuffer, and the texture that it draws on */
    struct gtk_view *views;
    double scale;
    bool is_full, grabbed, keys_grabbed, updating;
    uint8_t swallowed[96]; /* keys whose way down was a hot key, a bit for each code */
};

/* ---- view.c ---- */
void gtk_ui_view_add(struct gtk_ui *ui, struct bp_console *console, unsigned number);
void gtk_ui_view_free(struct gtk_view *v);
struct gtk_view *gtk_ui_current(struct gtk_ui *ui); /* or NULL */
/* Where its picture stands in its widget. */
void gtk_ui_place(const struct gtk_view *v, double *ret_x, double *ret_y, double *ret_scale_x, double *ret_scale_y);
void gtk_ui_fit_window(struct gtk_ui *ui); /* as large as the picture is shown */
void gtk_ui_pointer(struct gtk_ui *ui);    /* the pointer's picture is the right one */

/* ---- gl.c: with a context alone, but the first ---- */
int gtk_ui_gl_open(struct gtk_ui *ui, struct bp_error *err); /* the window is there; -ENODEV: OpenGL is not */
void gtk_ui_gl_close(struct gtk_ui *ui);
void gtk_ui_gl_size(struct gtk_view *v); /* its picture has another one */
void gtk_ui_gl_put(struct gtk_view *v, const struct bp_frame *frame, const struct bp_rect *rect);
void gtk_ui_gl_draw(struct gtk_view *v, cairo_t *cr);
void gtk_ui_gl_view_free(struct gtk_view *v);

/* ---- menu.c ---- */
void gtk_ui_menu_make(struct gtk_ui *ui, GtkWidget *box);
void gtk_ui_menu_add_view(struct gtk_ui *ui, struct gtk_view *v);
void gtk_ui_zoom(struct gtk_ui *ui, double factor); /* 0: the guest's own size */
void gtk_ui_set_full(struct gtk_ui *ui, bool on);
void gtk_ui_show_view(struct gtk_ui *ui, unsigned number);
void gtk_ui_title(struct gtk_ui *ui);
void gtk_ui_refresh_items(struct gtk_ui *ui);

/* ---- input.c ---- */
void gtk_ui_input_connect(struct gtk_view *v);
gboolean gtk_ui_key(GtkWidget *window, GdkEventKey *e, gpointer opaque);
void gtk_ui_grab(struct gtk_ui *ui, bool on);

#endif
