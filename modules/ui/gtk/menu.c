/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display gtk: menus, sizes, the title. */
#include "gtk-ui.h"

#include <stdio.h>
#include <stdlib.h>

#include <bp/command.h>
#include <bp/run.h>

#define MOST_SCALE 16.0

/* ---- sizes ---- */

void gtk_ui_zoom(struct gtk_ui *ui, double factor)
{
    double scale = factor > 0 ? ui->scale * factor : 1;

    if (scale < 1 / MOST_SCALE || scale > MOST_SCALE)
        return;
    ui->zoom_to_fit = false;
    ui->scale = scale > 0.99 && scale < 1.01 ? 1 : scale;
    gtk_ui_refresh_items(ui);
    gtk_ui_fit_window(ui);
}

void gtk_ui_set_full(struct gtk_ui *ui, bool on)
{
    ui->is_full = on;
    gtk_ui_refresh_items(ui);
    gtk_ui_fit_window(ui);
    if (on)
        gtk_window_fullscreen(GTK_WINDOW(ui->window));
    else
        gtk_window_unfullscreen(GTK_WINDOW(ui->window));
    if (!on)
        gtk_ui_fit_window(ui);
}

void gtk_ui_show_view(struct gtk_ui *ui, unsigned number)
{
    for (struct gtk_view *v = ui->views; v; v = v->next) {
        if (v->number != number)
            continue;
        gtk_notebook_set_current_page(GTK_NOTEBOOK(ui->notebook),
                                      gtk_notebook_page_num(GTK_NOTEBOOK(ui->notebook), v->area));
        gtk_widget_grab_focus(v->area);
    }
    gtk_ui_fit_window(ui);
}

void gtk_ui_title(struct gtk_ui *ui)
{
    const char *name = bp_machine_guest_name(ui->machine);
    char text[256];

    snprintf(text, sizeof(text), "Backplane%s%.100s%s%s%s", name ? " (" : "", name ? name : "", name ? ")" : "",
             bp_machine_running(ui->machine) ? "" : " [Stopped]",
             ui->grabbed ? " - press Ctrl-Alt-G to let the pointer go" : "");
    gtk_window_set_title(GTK_WINDOW(ui->window), text);
}

/* ---- items ---- */

/* Everything is as the state says; without signals of what is set here. */
void gtk_ui_refresh_items(struct gtk_ui *ui)
{
    const struct {
        GtkWidget *item;
        bool on;
    } checks[] = {{ui->item_pause, !bp_machine_running(ui->machine)}, {ui->item_full, ui->is_full},
                  {ui->item_fit, ui->zoom_to_fit}, {ui->item_hover, ui->grab_on_hover}, {ui->item_grab, ui->grabbed},
                  {ui->item_tabs, ui->show_tabs}, {ui->item_menubar, ui->show_menubar}};

    ui->updating = true;
    for (unsigned i = 0; i < BP_COUNT(checks); i++)
        gtk_check_menu_item_set_active(GTK_CHECK_MENU_ITEM(checks[i].item), checks[i].on);
    ui->updating = false;
    gtk_widget_set_visible(ui->menubar, ui->show_menubar && !ui->is_full);
    gtk_notebook_set_show_tabs(GTK_NOTEBOOK(ui->notebook), ui->show_tabs && !ui->is_full);
}

static void pause_or_go_on(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    if (!ui->updating)
        free(bp_monitor_execute(bp_machine_running(ui->machine) ? "stop" : "cont"));
}

static void reset(GtkWidget *item, gpointer opaque)
{
    (void)item;
    bp_machine_request_reset(((struct gtk_ui *)opaque)->machine, BP_SHUTDOWN_HOST_UI);
}

static void power_down(GtkWidget *item, gpointer opaque)
{
    (void)item;
    bp_machine_request_powerdown(((struct gtk_ui *)opaque)->machine);
}

static void quit(GtkWidget *item, gpointer opaque)
{
    (void)item;
    bp_machine_request_shutdown(((struct gtk_ui *)opaque)->machine, BP_SHUTDOWN_HOST_UI);
}

static void full(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    if (!ui->updating)
        gtk_ui_set_full(ui, !ui->is_full);
}

static void zoom_in(GtkWidget *item, gpointer opaque)
{
    (void)item;
    gtk_ui_zoom(opaque, 1.25);
}

static void zoom_out(GtkWidget *item, gpointer opaque)
{
    (void)item;
    gtk_ui_zoom(opaque, 0.8);
}

static void best_fit(GtkWidget *item, gpointer opaque)
{
    (void)item;
    gtk_ui_zoom(opaque, 0);
}

static void fit(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    if (ui->updating)
        return;
    ui->zoom_to_fit = !ui->zoom_to_fit;
    ui->scale = 1;
    gtk_ui_fit_window(ui);
}

static void hover(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    ui->grab_on_hover ^= !ui->updating;
}

static void grab(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    if (!ui->updating)
        gtk_ui_grab(ui, !ui->grabbed);
}

static void tabs(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    if (ui->updating)
        return;
    ui->show_tabs = !ui->show_tabs;
    gtk_ui_refresh_items(ui);
    gtk_ui_fit_window(ui);
}

static void menubar(GtkWidget *item, gpointer opaque)
{
    struct gtk_ui *ui = opaque;

    (void)item;
    if (ui->updating)
        return;
    ui->show_menubar = !ui->show_menubar;
    gtk_ui_refresh_items(ui);
    gtk_ui_fit_window(ui);
}

static void choose(GtkWidget *item, gpointer opaque)
{
    struct gtk_view *v = opaque;

    (void)item;
    gtk_ui_show_view(v->ui, v->number);
}

/* ---- making ---- */

static GtkWidget *add(GtkWidget *menu, GtkWidget *item, void (*fn)(GtkWidget *, gpointer), void *opaque)
{
    g_signal_connect(item, "activate", G_CALLBACK(fn), opaque);
    gtk_menu_shell_append(GTK_MENU_SHELL(menu), item);
    return item;
}

static GtkWidget *add_check(GtkWidget *menu, const char *label, void (*fn)(GtkWidget *, gpointer), struct gtk_ui *ui)
{
    GtkWidget *item = gtk_check_menu_item_new_with_mnemonic(label);

    g_signal_connect(item, "toggled", G_CALLBACK(fn), ui);
    gtk_menu_shell_append(GTK_MENU_SHELL(menu), item);
    return item;
}

static GtkWidget *add_menu(struct gtk_ui *ui, const char *label)
{
    GtkWidget *item = gtk_menu_item_new_with_mnemonic(label), *menu = gtk_menu_new();

    gtk_menu_item_set_submenu(GTK_MENU_ITEM(item), menu);
    gtk_menu_shell_append(GTK_MENU_SHELL(ui->menubar), item);
    return menu;
}

void gtk_ui_menu_make(struct gtk_ui *ui, GtkWidget *box)
{
    GtkWidget *menu;

    ui->menubar = gtk_menu_bar_new();
    menu = add_menu(ui, "_Machine");
    ui->item_pause = add_check(menu, "_Pause", pause_or_go_on, ui);
    add(menu, gtk_menu_item_new_with_mnemonic("_Reset"), reset, ui);
    add(menu, gtk_menu_item_new_with_mnemonic("Power _Down"), power_down, ui);
    add(menu, gtk_menu_item_new_with_mnemonic("_Quit"), quit, ui);
    menu = add_menu(ui, "_View");
    ui->item_full = add_check(menu, "_Full Screen (Ctrl-Alt-F)", full, ui);
    add(menu, gtk_menu_item_new_with_mnemonic("Zoom _In (Ctrl-Alt-+)"), zoom_in, ui);
    add(menu, gtk_menu_item_new_with_mnemonic("Zoom _Out (Ctrl-Alt--)"), zoom_out, ui);
    add(menu, gtk_menu_item_new_with_mnemonic("_Best Fit (Ctrl-Alt-0)"), best_fit, ui);
    ui->item_fit = add_check(menu, "Zoom To _Fit", fit, ui);
    ui->item_hover = add_check(menu, "Grab On _Hover", hover, ui);
    ui->item_grab = add_check(menu, "_Grab Input (Ctrl-Alt-G)", grab, ui);
    ui->item_tabs = add_check(menu, "Show _Tabs", tabs, ui);
    ui->item_menubar = add_check(menu, "Show Menubar (Ctrl-Alt-_M)", menubar, ui);
    g_object_set_data(G_OBJECT(ui->menubar), "screens", add_menu(ui, "_Screens"));
    gtk_box_pack_start(GTK_BOX(box), ui->menubar, FALSE, FALSE, 0);
    gtk_widget_show_all(ui->menubar);
}

void gtk_ui_menu_add_view(struct gtk_ui *ui, struct gtk_view *v)
{
    GtkWidget *menu = g_object_get_data(G_OBJECT(ui->menubar), "screens");
    const char *label = gtk_notebook_get_tab_label_text(GTK_NOTEBOOK(ui->notebook), v->area);

    v->item = add(menu, gtk_menu_item_new_with_label(label), choose, v);
    gtk_widget_show(v->item);
}
