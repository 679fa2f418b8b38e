/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display gtk: keys and pointers. Hardware key codes of X11 and Wayland are evdev's and 8. */
#include "gtk-ui.h"

#include <stdlib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#define input (*gtk_ui_input)
#define EVDEV 8u

static void send_events(struct gtk_view *v, const struct bp_input_event *events, unsigned count)
{
    /* Where nobody takes it, or the machine stands, it is lost as at a real one. */
    if (v->console)
        input->send(v->ui->machine, v->console, events, count, NULL);
}

static void send_key(struct gtk_view *v, unsigned code, int32_t value)
{
    const struct bp_input_event event = {BP_INPUT_KEY, (uint16_t)code, value};

    send_events(v, &event, 1);
}

/* ---- grabs ---- */

static GdkSeat *seat_of(const struct gtk_ui *ui)
{
    return gdk_display_get_default_seat(gtk_widget_get_display(ui->window));
}

static void set_grab(struct gtk_ui *ui, bool pointer, bool keys)
{
    struct gtk_view *v = gtk_ui_current(ui);
    GdkSeatCapabilities what = (pointer ? GDK_SEAT_CAPABILITY_ALL_POINTING : 0) |
                               (keys ? GDK_SEAT_CAPABILITY_KEYBOARD : 0);
    GdkWindow *window = v ? gtk_widget_get_window(v->area) : NULL;

    if (ui->grabbed || ui->keys_grabbed)
        gdk_seat_ungrab(seat_of(ui));
    if (!window || !what || gdk_seat_grab(seat_of(ui), window, what, FALSE, pointer ? ui->blank : NULL, NULL, NULL,
                                          NULL) != GDK_GRAB_SUCCESS)
        pointer = keys = false;
    ui->grabbed = pointer;
    ui->keys_grabbed = keys;
    if (v)
        v->has_last = false;
    gtk_ui_pointer(ui);
    gtk_ui_title(ui);
    gtk_ui_refresh_items(ui);
}

void gtk_ui_grab(struct gtk_ui *ui, bool on)
{
    set_grab(ui, on, on);
}

/* ---- the pointer ---- */

/* A relative pointer that is grabbed: the host's is put back into the middle before it leaves the widget. */
static void move_relative(struct gtk_view *v, const GdkEventMotion *e)
{
    int width = gtk_widget_get_allocated_width(v->area), height = gtk_widget_get_allocated_height(v->area);
    struct bp_input_event events[2];
    int dx = v->has_last ? (int)(e->x - v->last_x) : 0, dy = v->has_last ? (int)(e->y - v->last_y) : 0;

    v->last_x = e->x;
    v->last_y = e->y;
    v->has_last = true;
    events[0] = (struct bp_input_event){BP_INPUT_REL, REL_X, dx};
    events[1] = (struct bp_input_event){BP_INPUT_REL, REL_Y, dy};
    if (dx || dy)
        send_events(v, events, 2);
    if (e->x < 20 || e->y < 20 || e->x > width - 20 || e->y > height - 20) {
        int x, y;

        gdk_window_get_root_coords(gtk_widget_get_window(v->area), width / 2, height / 2, &x, &y);
        gdk_device_warp(gdk_seat_get_pointer(seat_of(v->ui)), gtk_widget_get_screen(v->area), x, y);
        v->last_x = width / 2;
        v->last_y = height / 2;
    }
}

static gboolean motion(GtkWidget *widget, GdkEventMotion *e, gpointer opaque)
{
    struct gtk_view *v = opaque;
    double x, y, across, down;

    (void)widget;
    if (!v->console || !v->width)
        return TRUE;
    if (!input->is_absolute(v->ui->machine, v->console)) {
        if (v->ui->grabbed)
            move_relative(v, e);
        return TRUE;
    }
    gtk_ui_place(v, &x, &y, &across, &down);
    input->pointer(v->ui->machine, v->console, (int32_t)((e->x - x) / across), (int32_t)((e->y - y) / down),
                   (uint32_t)v->width, (uint32_t)v->height, NULL);
    return TRUE;
}

static gboolean button(GtkWidget *widget, GdkEventButton *e, gpointer opaque)
{
    static const uint16_t codes[] = {0, BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, 0, 0, 0, 0, BTN_SIDE, BTN_EXTRA};
    struct gtk_view *v = opaque;

    (void)widget;
    if (e->type != GDK_BUTTON_PRESS && e->type != GDK_BUTTON_RELEASE)
        return TRUE; /* double clicks come as clicks, too */
    if (v->console && ((*gtk_ui_display)->console_flags(v->console) & BP_CONSOLE_TEXT))
        return TRUE; /* which has no pointer that could be grabbed */
    if (v->console && !v->ui->grabbed && !input->is_absolute(v->ui->machine, v->console)) {
        if (e->type == GDK_BUTTON_PRESS && e->button == 1)
            gtk_ui_grab(v->ui, true); /* this click is for us */
        return TRUE;
    }
    if (e->button < BP_COUNT(codes) && codes[e->button])
        send_key(v, codes[e->button], e->type == GDK_BUTTON_PRESS);
    return TRUE;
}

static gboolean scroll(GtkWidget *widget, GdkEventScroll *e, gpointer opaque)
{
    static const struct bp_input_event turns[] = {
        [GDK_SCROLL_UP] = {BP_INPUT_REL, REL_WHEEL, 1}, [GDK_SCROLL_DOWN] = {BP_INPUT_REL, REL_WHEEL, -1},
        [GDK_SCROLL_LEFT] = {BP_INPUT_REL, REL_HWHEEL, -1}, [GDK_SCROLL_RIGHT] = {BP_INPUT_REL, REL_HWHEEL, 1}};

    (void)widget;
    if (e->direction <= GDK_SCROLL_RIGHT)
        send_events(opaque, &turns[e->direction], 1);
    return TRUE;
}

static gboolean crossing(GtkWidget *widget, GdkEventCrossing *e, gpointer opaque)
{
    struct gtk_view *v = opaque;

    (void)widget;
    if (e->mode != GDK_CROSSING_NORMAL)
        return TRUE; /* by a grab */
    if (v->ui->grab_on_hover && !v->ui->grabbed)
        set_grab(v->ui, false, e->type == GDK_ENTER_NOTIFY);
    return TRUE;
}

void gtk_ui_input_connect(struct gtk_view *v)
{
    gtk_widget_add_events(v->area, GDK_POINTER_MOTION_MASK | GDK_BUTTON_PRESS_MASK | GDK_BUTTON_RELEASE_MASK |
                                       GDK_SCROLL_MASK | GDK_ENTER_NOTIFY_MASK | GDK_LEAVE_NOTIFY_MASK |
                                       GDK_KEY_PRESS_MASK | GDK_KEY_RELEASE_MASK);
    gtk_widget_set_can_focus(v->area, TRUE);
    g_signal_connect(v->area, "motion-notify-event", G_CALLBACK(motion), v);
    g_signal_connect(v->area, "button-press-event", G_CALLBACK(button), v);
    g_signal_connect(v->area, "button-release-event", G_CALLBACK(button), v);
    g_signal_connect(v->area, "scroll-event", G_CALLBACK(scroll), v);
    g_signal_connect(v->area, "enter-notify-event", G_CALLBACK(crossing), v);
    g_signal_connect(v->area, "leave-notify-event", G_CALLBACK(crossing), v);
}

/* ---- keys ---- */

static bool hot_key(struct gtk_ui *ui, unsigned code)
{
    switch (code) {
    case KEY_G:
        gtk_ui_grab(ui, !ui->grabbed);
        return true;
    case KEY_F:
        gtk_ui_set_full(ui, !ui->is_full);
        return true;
    case KEY_EQUAL:
    case KEY_KPPLUS:
        gtk_ui_zoom(ui, 1.25);
        return true;
    case KEY_MINUS:
    case KEY_KPMINUS:
        gtk_ui_zoom(ui, 0.8);
        return true;
    case KEY_0:
        gtk_ui_zoom(ui, 0);
        return true;
    case KEY_M:
        ui->show_menubar = !ui->show_menubar;
        gtk_ui_refresh_items(ui);
        gtk_ui_fit_window(ui);
        return true;
    default:
        if (code < KEY_1 || code > KEY_9)
            return false;
        gtk_ui_show_view(ui, code - KEY_1);
        return true;
    }
}

gboolean gtk_ui_key(GtkWidget *window, GdkEventKey *e, gpointer opaque)
{
    struct gtk_ui *ui = opaque;
    struct gtk_view *v = gtk_ui_current(ui);
    unsigned code = e->hardware_keycode >= EVDEV ? e->hardware_keycode - EVDEV : 0;
    uint8_t bit = (uint8_t)(1u << code % 8), *swallowed = &ui->swallowed[code / 8 % sizeof(ui->swallowed)];
    const GdkModifierType mods = GDK_CONTROL_MASK | GDK_MOD1_MASK;

    (void)window;
    if (!v || !code || code >= 8 * sizeof(ui->swallowed))
        return TRUE;
    if (*swallowed & bit) {
        if (e->type == GDK_KEY_RELEASE)
            *swallowed &= (uint8_t)~bit;
        return TRUE;
    }
    if (e->type == GDK_KEY_PRESS && (e->state & mods) == mods && hot_key(ui, code))
        *swallowed |= bit;
    else
        send_key(v, code, e->type == GDK_KEY_PRESS);
    return TRUE;
}
