/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `ui-gtk`: -display gtk, a window of GTK 3 with menus and a tab for each screen. */
#include "gtk-ui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/run.h>

BP_USE(display_import, struct bp_display_interface, "display", 1);
BP_USE(input_import, struct bp_input_interface, "input", 1);
const struct bp_display_interface *const *const gtk_ui_display = &display_import;
const struct bp_input_interface *const *const gtk_ui_input = &input_import;
static const struct bp_import imports[] = {BP_IMPORT(display_import, "display", 1), BP_IMPORT(input_import, "input", 1),
                                           {0}};

static struct gtk_ui *the_ui;

static gboolean asked_to_close(GtkWidget *window, GdkEvent *event, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)window;
    (void)event;
    if (ui->window_close)
        bp_machine_request_shutdown(ui->machine, BP_SHUTDOWN_HOST_UI);
    return TRUE;
}

static gboolean focus_lost(GtkWidget *window, GdkEvent *event, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)window;
    (void)event;
    if (ui->grabbed)
        gtk_ui_grab(ui, false);
    memset(ui->swallowed, 0, sizeof(ui->swallowed));
    for (struct gtk_view *v = ui->views; v; v = v->next)
        if (v->console)
            input_import->release_all(ui->machine, v->console);
    return FALSE;
}

static void page_switched(GtkNotebook *notebook, GtkWidget *page, guint number, gpointer opaque)
{
    (void)notebook;
    (void)page;
    (void)number;
    if (((struct gtk_ui *)opaque)->grabbed)
        gtk_ui_grab(opaque, false);
}

static void look_for_consoles(void *opaque)
{
    struct gtk_ui *ui = opaque;
    struct bp_console *console;

    for (unsigned n = 0; (console = display_import->console_at(ui->machine, n)); n++) {
        struct gtk_view *v = ui->views;

        while (v && v->console != console)
            v = v->next;
        if (!v)
            gtk_ui_view_add(ui, console, n);
    }
}

static void input_changed(void *opaque)
{
    gtk_ui_pointer(opaque);
}

static void run_changed(void *opaque, bool running)
{
    (void)running;
    if (opaque != the_ui)
        return;
    gtk_ui_title(opaque);
    gtk_ui_refresh_items(opaque);
}

static void make_window(struct gtk_ui *ui)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);

    ui->window = gtk_window_new(GTK_WINDOW_TOPLEVEL);
    ui->blank = gdk_cursor_new_for_display(gtk_widget_get_display(ui->window), GDK_BLANK_CURSOR);
    gtk_container_add(GTK_CONTAINER(ui->window), box);
    gtk_ui_menu_make(ui, box);
    ui->notebook = gtk_notebook_new();
    gtk_notebook_set_show_border(GTK_NOTEBOOK(ui->notebook), FALSE);
    gtk_box_pack_start(GTK_BOX(box), ui->notebook, TRUE, TRUE, 0);
    gtk_widget_show(ui->notebook);
    gtk_widget_show(box);
    g_signal_connect(ui->window, "delete-event", G_CALLBACK(asked_to_close), ui);
    g_signal_connect(ui->window, "focus-out-event", G_CALLBACK(focus_lost), ui);
    g_signal_connect(ui->window, "key-press-event", G_CALLBACK(gtk_ui_key), ui);
    g_signal_connect(ui->window, "key-release-event", G_CALLBACK(gtk_ui_key), ui);
    g_signal_connect_after(ui->notebook, "switch-page", G_CALLBACK(page_switched), ui);
}

static int gtk_ui_open(struct bp_object *obj, struct bp_error *err)
{
    struct gtk_ui *ui = bp_object_state(obj);

    if (the_ui)
        return bp_fail(err, EBUSY, "GTK's window is open already; -display gtk is given once");
    if (!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY"))
        return bp_fail(err, ENODEV, "there is no desktop to open a window on: neither DISPLAY nor "
                       "WAYLAND_DISPLAY is set");
    ui->machine = bp_command_machine();
    if (!ui->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    gtk_disable_setlocale();
    if (!gtk_init_check(NULL, NULL))
        return bp_fail(err, ENODEV, "GTK opens no window here: nobody answers at DISPLAY or WAYLAND_DISPLAY");
    ui->scale = 1;
    make_window(ui);
    if (ui->gl && gtk_ui_gl_open(ui, err) < 0) {
        gtk_widget_destroy(ui->window);
        g_object_unref(ui->blank);
        return -ENODEV;
    }
    the_ui = ui;
    look_for_consoles(ui);
    gtk_ui_refresh_items(ui);
    gtk_ui_title(ui);
    gtk_ui_fit_window(ui);
    gtk_widget_show(ui->window);
    if (ui->views)
        gtk_widget_grab_focus(ui->views->area);
    if (ui->full_screen)
        gtk_ui_set_full(ui, true);
    gtk_ui_pointer(ui);
    input_import->listen(input_changed, ui);
    display_import->console_listen(look_for_consoles, ui);
    bp_machine_on_run_change(ui->machine, bp_object_owner(obj), BP_RUN_ORDER_USER, run_changed, ui);
    return 0;
}

static void gtk_ui_close(struct bp_object *obj)
{
    struct gtk_ui *ui = bp_object_state(obj);

    if (the_ui != ui)
        return;
    input_import->unlisten(input_changed, ui);
    display_import->console_unlisten(look_for_consoles, ui);
    while (ui->views)
        gtk_ui_view_free(ui->views);
    gtk_ui_gl_close(ui);
    gtk_widget_destroy(ui->window);
    g_object_unref(ui->blank);
    the_ui = NULL;
}

static const struct bp_field props[] = {
    BP_PROP("full-screen", BOOL, struct gtk_ui, full_screen, "off", "begin in full screen"),
    BP_PROP("gl", BOOL, struct gtk_ui, gl, "off", "draw with OpenGL"),
    BP_PROP("grab-on-hover", BOOL, struct gtk_ui, grab_on_hover, "off", "the keyboard is taken where the pointer is"),
    BP_PROP("show-tabs", BOOL, struct gtk_ui, show_tabs, "off", "a tab for each screen is shown"),
    BP_PROP("show-cursor", BOOL, struct gtk_ui, show_cursor, "off", "the host's pointer is always seen"),
    BP_PROP("window-close", BOOL, struct gtk_ui, window_close, "on", "closing the window ends the program"),
    BP_PROP("show-menubar", BOOL, struct gtk_ui, show_menubar, "on", "the menus are shown"),
    BP_PROP("zoom-to-fit", BOOL, struct gtk_ui, zoom_to_fit, "off", "the screen is as large as the window"),
    BP_FIELDS_END};
BP_DISPLAY(gtk_display, "gtk", "A window with menus and tabs, by GTK 3", struct gtk_ui, props, .open = gtk_ui_open,
           .close = gtk_ui_close);
BP_MODULE("ui-gtk", "Windows by GTK 3", imports, {BP_PROVIDE_OTHER, &gtk_display});
