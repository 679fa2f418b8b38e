/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `ui-sdl`: -display sdl, a window of SDL 2 for each screen. Here: the main thread's part. It pulls a frame when
 * there is damage, hands it to SDL's thread, and pulls the next one when that was drawn; so a window that is slow costs
 * nothing. What the user does comes back by a ring, which is read as fast as the machine takes it.
 */
#include "sdl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/run.h>

BP_USE(display, struct bp_display_interface, "display", 1);
BP_USE(input, struct bp_input_interface, "input", 1);
static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), BP_IMPORT(input, "input", 1), {0}};

#define ROOM 16u /* events that one action makes at most, and some */

static struct sdl_ui *the_ui; /* SDL is one for the process */

/* ---- frames ---- */

static void pull(struct sdl_window *w)
{
    struct bp_frame *frame;

    if (!w->viewer || w->in_flight)
        return;
    frame = bp_alloc(sizeof(*frame));
    frame->size = sizeof(*frame);
    if (display->pull(w->viewer, frame, NULL) < 0) {
        free(frame);
        return;
    }
    if (!frame->rect_count && !(frame->flags & BP_FRAME_RESIZED)) {
        display->release(frame);
        free(frame);
        display->want(w->viewer);
        return;
    }
    w->in_flight = true;
    pthread_mutex_lock(&w->ui->lock);
    w->mail.frame = frame;
    pthread_mutex_unlock(&w->ui->lock);
    sdl_ui_wake(w->ui);
}

static void changed(void *opaque)
{
    pull(opaque);
}

static void cursor(void *opaque, const struct bp_cursor *now)
{
    struct sdl_window *w = opaque;
    struct bp_cursor copy = {0};

    if (now) {
        size_t bytes = (size_t)now->width * now->height * 4;
        uint32_t *pixels = bp_alloc(bytes);

        copy = *now;
        memcpy(pixels, now->pixels, bytes);
        copy.pixels = pixels;
    }
    pthread_mutex_lock(&w->ui->lock);
    free((void *)w->mail.cursor.pixels);
    w->mail.cursor = copy;
    w->mail.cursor_new = true;
    pthread_mutex_unlock(&w->ui->lock);
    sdl_ui_wake(w->ui);
}

static void gone(void *opaque)
{
    struct sdl_window *w = opaque;

    display->viewer_free(w->viewer);
    w->viewer = NULL;
    w->console = NULL;
    pthread_mutex_lock(&w->ui->lock);
    w->mail.gone = true;
    pthread_mutex_unlock(&w->ui->lock);
    sdl_ui_wake(w->ui);
}

static const struct bp_viewer_ops viewer_ops = {
    .size = sizeof(viewer_ops), .changed = changed, .cursor = cursor, .gone = gone};

/* ---- windows ---- */

static bool has_window(const struct sdl_ui *ui, const struct bp_console *console)
{
    for (const struct sdl_window *w = ui->windows; w; w = w->next)
        if (w->console == console)
            return true;
    return false;
}

static void add_window(struct sdl_ui *ui, struct bp_console *console, unsigned number)
{
    struct sdl_window *w = bp_alloc(sizeof(*w)), **at;
    const struct bp_cursor *now;
    int32_t x, y;
    bool visible;

    w->ui = ui;
    w->number = number;
    w->console = console;
    if (display->viewer_new(console, "sdl", 0, &viewer_ops, w, &w->viewer, NULL) < 0) {
        free(w);
        return;
    }
    pthread_mutex_lock(&ui->lock);
    for (at = &ui->windows; *at; at = &(*at)->next)
        ;
    *at = w;
    pthread_mutex_unlock(&ui->lock);
    display->cursor(console, &now, &x, &y, &visible);
    if (now)
        cursor(w, now);
    pull(w);
}

static void look_for_consoles(void *opaque)
{
    struct sdl_ui *ui = opaque;
    struct bp_console *console;

    for (unsigned n = 0; (console = display->console_at(ui->machine, n)); n++)
        if (!has_window(ui, console))
            add_window(ui, console, n);
}

/* ---- what the other thread left ---- */

static void act(struct sdl_ui *ui, const struct sdl_action *a)
{
    struct bp_console *console = a->window ? a->window->console : NULL;

    if (!console)
        return;
    /* Where nobody takes it, or the machine stands, it is lost as at a real one. */
    if (a->kind == SDL_ACTION_RELEASE)
        input->release_all(ui->machine, console);
    else if (a->kind == SDL_ACTION_POSITION)
        input->pointer(ui->machine, console, a->x, a->y, a->width, a->height, NULL);
    else
        input->send(ui->machine, console, a->events, a->count, NULL);
}

static bool take(struct sdl_ui *ui, struct sdl_action *ret_action)
{
    bool any;

    pthread_mutex_lock(&ui->lock);
    any = ui->count > 0;
    if (any) {
        *ret_action = ui->ring[ui->head];
        if (ret_action->window && ret_action->window->console &&
            input->space(ui->machine, ret_action->window->console) < ROOM)
            any = false; /* input's listener tries again */
    }
    if (any) {
        ui->head = (ui->head + 1) % SDL_UI_RING;
        ui->count--;
    }
    pthread_mutex_unlock(&ui->lock);
    return any;
}

static void wish(const struct sdl_window *w, uint32_t width, uint32_t height)
{
    const struct bp_ui_info info = {.size = sizeof(info), .width = width, .height = height};

    if (w->console)
        display->request_size(w->console, &info, NULL); /* who has a size of its own is scaled */
}

/* A mailbox; true: the window is no more, and its memory has gone. */
static bool look_into(struct sdl_ui *ui, struct sdl_window **at)
{
    struct sdl_window *w = *at;
    struct bp_frame *shown;
    uint32_t width, height;
    bool destroyed, release;

    pthread_mutex_lock(&ui->lock);
    shown = w->mail.shown;
    w->mail.shown = NULL;
    width = w->mail.wish_width;
    height = w->mail.wish_height;
    w->mail.wish_width = w->mail.wish_height = 0;
    release = w->mail.release && !ui->count;
    w->mail.release &= !release;
    destroyed = w->mail.destroyed && !ui->count; /* nothing names it any more */
    if (destroyed)
        *at = w->next;
    pthread_mutex_unlock(&ui->lock);
    if (shown) {
        display->release(shown);
        free(shown);
        w->in_flight = false;
    }
    if (release && w->console)
        input->release_all(ui->machine, w->console);
    if (width && height)
        wish(w, width, height);
    if (destroyed) {
        free(w);
        return true;
    }
    if (shown && w->viewer)
        display->want(w->viewer);
    return false;
}

static void serve(void *opaque)
{
    struct sdl_ui *ui = opaque;
    struct sdl_action action;
    struct sdl_window **at = &ui->windows;
    bool closed;

    pthread_mutex_lock(&ui->lock);
    closed = ui->close;
    ui->close = false;
    pthread_mutex_unlock(&ui->lock);
    if (closed)
        bp_machine_request_shutdown(ui->machine, BP_SHUTDOWN_HOST_UI);
    while (take(ui, &action))
        act(ui, &action);
    while (*at)
        if (!look_into(ui, at))
            at = &(*at)->next;
}

static void input_changed(void *opaque)
{
    struct sdl_ui *ui = opaque;
    bool absolute = input->is_absolute(ui->machine, ui->windows ? ui->windows->console : NULL);

    pthread_mutex_lock(&ui->lock);
    ui->titles_due |= absolute != ui->absolute;
    ui->absolute = absolute;
    pthread_mutex_unlock(&ui->lock);
    sdl_ui_wake(ui);
    bp_deferred_schedule(ui->serve);
}

static void run_changed(void *opaque, bool running)
{
    struct sdl_ui *ui = opaque;

    if (ui != the_ui)
        return;
    pthread_mutex_lock(&ui->lock);
    ui->stopped = !running;
    ui->titles_due = true;
    pthread_mutex_unlock(&ui->lock);
    sdl_ui_wake(ui);
}

/* ---- opening ---- */

static int start_thread(struct sdl_ui *ui, struct bp_error *err)
{
    int r = bp_thread_start(&ui->thread, "sdl", sdl_ui_thread, ui);

    if (r)
        return bp_fail(err, r, "SDL's thread does not start: %s", strerror(r));
    ui->started = true;
    pthread_mutex_lock(&ui->lock);
    while (!ui->running && !*ui->failure)
        pthread_cond_wait(&ui->changed, &ui->lock);
    pthread_mutex_unlock(&ui->lock);
    if (!*ui->failure)
        return 0;
    pthread_join(ui->thread, NULL);
    ui->started = false;
    return bp_fail(err, ENODEV, "%s", ui->failure);
}

static void sdl_ui_close(struct bp_object *obj)
{
    struct sdl_ui *ui = bp_object_state(obj);

    if (the_ui != ui)
        return;
    input->unlisten(input_changed, ui);
    display->console_unlisten(look_for_consoles, ui);
    pthread_mutex_lock(&ui->lock);
    ui->quit = true;
    pthread_mutex_unlock(&ui->lock);
    sdl_ui_wake(ui);
    pthread_join(ui->thread, NULL);
    the_ui = NULL;
    while (ui->windows) {
        struct sdl_window *w = ui->windows;

        ui->windows = w->next;
        for (unsigned i = 0; i < 2; i++) {
            struct bp_frame *frame = i ? w->mail.frame : w->mail.shown;

            if (frame)
                display->release(frame);
            free(frame);
        }
        display->viewer_free(w->viewer);
        free((void *)w->mail.cursor.pixels);
        free(w);
    }
    bp_deferred_free(ui->serve);
}

static int sdl_ui_open(struct bp_object *obj, struct bp_error *err)
{
    struct sdl_ui *ui = bp_object_state(obj);
    const char *name;
    int r;

    if (the_ui)
        return bp_fail(err, EBUSY, "SDL's windows are open already; -display sdl is given once");
    if (!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY") && !getenv("SDL_VIDEODRIVER"))
        return bp_fail(err, ENODEV, "there is no desktop to open a window on: neither DISPLAY nor "
                       "WAYLAND_DISPLAY is set");
    ui->machine = bp_command_machine();
    if (!ui->machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    name = bp_machine_guest_name(ui->machine);
    snprintf(ui->name, sizeof(ui->name), "%s", name ? name : "");
    ui->stopped = !bp_machine_running(ui->machine);
    pthread_mutex_init(&ui->lock, NULL);
    pthread_cond_init(&ui->changed, NULL);
    r = start_thread(ui, err);
    if (r < 0)
        return r;
    the_ui = ui;
    ui->serve = bp_deferred_new(NULL, bp_context_main(ui->machine), serve, ui);
    input->listen(input_changed, ui);
    display->console_listen(look_for_consoles, ui);
    bp_machine_on_run_change(ui->machine, bp_object_owner(obj), BP_RUN_ORDER_USER, run_changed, ui);
    look_for_consoles(ui);
    input_changed(ui);
    return 0;
}

static void leave(void)
{
    if (!the_ui)
        return;
    pthread_mutex_lock(&the_ui->lock);
    the_ui->quit = the_ui->leaving = true;
    pthread_mutex_unlock(&the_ui->lock);
    sdl_ui_wake(the_ui);
    pthread_join(the_ui->thread, NULL);
}

/* ---- keys of -display sdl ---- */

static const char *const gl_choices[] = {"off", "on", "core", "es", NULL};
static const struct bp_schema gl_schema = {.name = "DisplayGLMode", .kind = BP_KIND_ENUM, .choices = gl_choices};
static const char *const grab_choices[] = {"lctrl-lalt", "lshift-lctrl-lalt", "rctrl", NULL};
static const struct bp_schema grab_schema = {.name = "HotKeyMod", .kind = BP_KIND_ENUM, .choices = grab_choices};

static const struct bp_field props[] = {
    BP_PROP_ENUM("gl", &gl_schema, struct sdl_ui, gl, "off", "draw with OpenGL, its core profile, or OpenGL ES"),
    BP_PROP_ENUM("grab-mod", &grab_schema, struct sdl_ui, grab_mod, "lctrl-lalt", "keys that make others hot keys"),
    BP_PROP("show-cursor", BOOL, struct sdl_ui, show_cursor, "off", "the host's pointer is always seen"),
    BP_PROP("window-close", BOOL, struct sdl_ui, window_close, "on", "closing a window ends the program"),
    BP_PROP("full-screen", BOOL, struct sdl_ui, full_screen, "off", "begin in full screen"),
    BP_FIELDS_END};
BP_DISPLAY(sdl_display, "sdl", "A window for each screen, by SDL 2", struct sdl_ui, props, .open = sdl_ui_open,
           .close = sdl_ui_close);
BP_MODULE_WITH_FINI("ui-sdl", "Windows by SDL 2", imports, NULL, leave, {BP_PROVIDE_OTHER, &sdl_display});
