/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display sdl: SDL's thread, and what it draws. */
#include "sdl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_WIDTH 640
#define FIRST_HEIGHT 480

void sdl_ui_wake(struct sdl_ui *ui)
{
    SDL_Event event = {.type = ui->wake};
    bool due;

    pthread_mutex_lock(&ui->lock);
    due = !ui->woken && ui->running;
    ui->woken |= due;
    pthread_mutex_unlock(&ui->lock);
    if (due)
        SDL_PushEvent(&event);
}

void sdl_ui_post(struct sdl_ui *ui, const struct sdl_action *action)
{
    bool motion = action->kind == SDL_ACTION_POSITION ||
                  (action->kind == SDL_ACTION_EVENTS && action->events[0].type == BP_INPUT_REL);

    pthread_mutex_lock(&ui->lock);
    if (action->kind == SDL_ACTION_CLOSE)
        ui->close = true; /* waits for nothing */
    else if (ui->count < (motion ? SDL_UI_RING / 2 : SDL_UI_RING))
        ui->ring[(ui->head + ui->count++) % SDL_UI_RING] = *action;
    else if (!motion)
        action->window->mail.release = true; /* what went up is not known any more: all does */
    pthread_mutex_unlock(&ui->lock);
    bp_deferred_schedule(ui->serve);
}

struct sdl_window *sdl_ui_window(struct sdl_ui *ui, Uint32 id)
{
    struct sdl_window *w;

    pthread_mutex_lock(&ui->lock);
    for (w = ui->windows; w && !(w->window && SDL_GetWindowID(w->window) == id);)
        w = w->next;
    pthread_mutex_unlock(&ui->lock);
    return w;
}

/* ---- drawing ---- */

void sdl_ui_size(const struct sdl_window *w, int *ret_width, int *ret_height)
{
    *ret_width = *ret_height = 0;
    if (w->renderer)
        SDL_GetRendererOutputSize(w->renderer, ret_width, ret_height);
    else
        SDL_GL_GetDrawableSize(w->window, ret_width, ret_height);
}

void sdl_ui_place(const struct sdl_window *w, SDL_Rect *ret_place)
{
    int width, height;

    sdl_ui_size(w, &width, &height);
    *ret_place = (SDL_Rect){0, 0, width, height};
    if (!w->width || !w->height || (width == w->width && height == w->height))
        return;
    /* As large as it has room, in its own proportions. */
    if ((int64_t)width * w->height > (int64_t)height * w->width)
        ret_place->w = (int)((int64_t)height * w->width / w->height);
    else
        ret_place->h = (int)((int64_t)width * w->height / w->width);
    ret_place->x = (width - ret_place->w) / 2;
    ret_place->y = (height - ret_place->h) / 2;
}

void sdl_ui_draw(struct sdl_window *w)
{
    SDL_Rect place;

    if (w->context)
        sdl_ui_core_draw(w);
    if (!w->renderer)
        return;
    SDL_SetRenderDrawColor(w->renderer, 0, 0, 0, 255);
    SDL_RenderClear(w->renderer);
    sdl_ui_place(w, &place);
    if (w->texture)
        SDL_RenderCopy(w->renderer, w->texture, NULL, &place);
    SDL_RenderPresent(w->renderer);
}

void sdl_ui_full_screen(struct sdl_window *w, bool on)
{
    if (SDL_SetWindowFullscreen(w->window, on ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0) == 0)
        w->full_screen = on;
    if (!on && !w->scaled && w->width)
        SDL_SetWindowSize(w->window, w->width, w->height);
    sdl_ui_draw(w);
}

static void title(struct sdl_window *w)
{
    static const char *const keys[] = {"Ctrl-Alt-G", "Ctrl-Alt-Shift-G", "Right-Ctrl-G"};
    struct sdl_ui *ui = w->ui;
    char text[320], name[160] = "", number[24] = "";

    pthread_mutex_lock(&ui->lock);
    if (*ui->name)
        snprintf(name, sizeof(name), " (%s)", ui->name);
    if (w->number)
        snprintf(number, sizeof(number), ", screen %u", w->number + 1);
    snprintf(text, sizeof(text), "Backplane%s%s%s%s%s%s", name, number, ui->stopped ? " [Stopped]" : "",
             ui->grabbed == w ? " - press " : "", ui->grabbed == w ? keys[ui->grab_mod] : "",
             ui->grabbed == w ? " to let the pointer go" : "");
    pthread_mutex_unlock(&ui->lock);
    SDL_SetWindowTitle(w->window, text);
}

/* One that was not seen in this round: some go meanwhile. The main thread frees a window only after `destroyed`,
 * when it was seen here for the last time. */
static struct sdl_window *next_window(struct sdl_ui *ui, unsigned round)
{
    struct sdl_window *w;

    pthread_mutex_lock(&ui->lock);
    for (w = ui->windows; w && (w->mail.destroyed || w->round == round);)
        w = w->next;
    pthread_mutex_unlock(&ui->lock);
    if (w)
        w->round = round;
    return w;
}

void sdl_ui_titles(struct sdl_ui *ui)
{
    unsigned round = ++ui->rounds;
    struct sdl_window *w;

    while ((w = next_window(ui, round)))
        if (w->window)
            title(w);
}

/* ---- mailboxes ---- */

static void make_window(struct sdl_window *w)
{
    const struct sdl_ui *ui = w->ui;
    bool core = ui->gl == SDL_UI_GL_CORE;
    Uint32 flags = SDL_WINDOW_RESIZABLE | (w->number ? SDL_WINDOW_HIDDEN : SDL_WINDOW_SHOWN) |
                   (core ? SDL_WINDOW_OPENGL : 0);
    char why[200];

    w->window = SDL_CreateWindow("Backplane", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, FIRST_WIDTH,
                                 FIRST_HEIGHT, flags);
    if (w->window && core && !sdl_ui_core_make(w, why, sizeof(why)))
        SDL_Log("no drawing in SDL's window: %s", why);
    if (w->window && !core)
        w->renderer = SDL_CreateRenderer(w->window, -1, ui->gl ? SDL_RENDERER_ACCELERATED : SDL_RENDERER_SOFTWARE);
    if (w->window && !core && !w->renderer)
        SDL_Log("no drawing in SDL's window: %s", SDL_GetError());
    if (!w->window)
        return;
    title(w);
    if (ui->full_screen && !w->number)
        sdl_ui_full_screen(w, true);
}

static void new_size(struct sdl_window *w, const struct bp_frame *frame)
{
    w->width = (int)frame->width;
    w->height = (int)frame->height;
    if (!w->full_screen && !w->scaled)
        SDL_SetWindowSize(w->window, w->width, w->height);
}

static void show(struct sdl_window *w, const struct bp_frame *frame)
{
    bool resized;

    if (!w->window)
        make_window(w);
    if (!w->renderer && !w->context)
        return;
    resized = w->width != (int)frame->width || w->height != (int)frame->height;
    if (resized)
        new_size(w, frame);
    if (w->context) {
        sdl_ui_core_show(w, frame);
        sdl_ui_draw(w);
        return;
    }
    if (!w->texture || resized) {
        SDL_DestroyTexture(w->texture);
        w->texture = SDL_CreateTexture(w->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                                       (int)frame->width, (int)frame->height);
        SDL_UpdateTexture(w->texture, NULL, frame->pixels, (int)frame->stride);
    }
    for (uint32_t i = 0; i < frame->rect_count; i++) {
        const struct bp_rect *r = &frame->rects[i];
        const SDL_Rect rect = {(int)r->x, (int)r->y, (int)r->width, (int)r->height};

        SDL_UpdateTexture(w->texture, &rect, frame->pixels + (size_t)r->y * (frame->stride / 4) + r->x,
                          (int)frame->stride);
    }
    sdl_ui_draw(w);
}

static void new_cursor(struct sdl_window *w, const struct bp_cursor *c)
{
    SDL_Surface *surface = NULL;

    SDL_FreeCursor(w->cursor);
    w->cursor = NULL;
    if (c->pixels)
        surface = SDL_CreateRGBSurfaceWithFormatFrom((void *)c->pixels, (int)c->width, (int)c->height, 32,
                                                     (int)c->width * 4, SDL_PIXELFORMAT_ARGB8888);
    if (surface)
        w->cursor = SDL_CreateColorCursor(surface, (int)c->hot_x, (int)c->hot_y);
    SDL_FreeSurface(surface);
    sdl_ui_pointer(w->ui);
}

static void destroy(struct sdl_window *w)
{
    if (w->ui->grabbed == w)
        sdl_ui_grab(w->ui, NULL);
    SDL_FreeCursor(w->cursor);
    SDL_DestroyTexture(w->texture);
    if (w->renderer)
        SDL_DestroyRenderer(w->renderer);
    if (w->context)
        sdl_ui_core_destroy(w);
    if (w->window)
        SDL_DestroyWindow(w->window);
    w->cursor = NULL;
    w->texture = NULL;
    w->renderer = NULL;
    w->window = NULL;
}

static void look_into(struct sdl_window *w)
{
    struct sdl_ui *ui = w->ui;
    struct bp_cursor cursor;
    struct bp_frame *frame;
    bool gone, cursor_new;

    pthread_mutex_lock(&ui->lock);
    frame = w->mail.frame;
    w->mail.frame = NULL;
    cursor_new = w->mail.cursor_new;
    cursor = w->mail.cursor;
    w->mail.cursor_new = false;
    w->mail.cursor.pixels = NULL;
    gone = w->mail.gone && !w->mail.destroyed;
    pthread_mutex_unlock(&ui->lock);
    if (frame && !gone)
        show(w, frame);
    if (cursor_new)
        new_cursor(w, &cursor);
    free((void *)cursor.pixels);
    if (gone)
        destroy(w);
    if (!frame && !gone)
        return;
    pthread_mutex_lock(&ui->lock);
    if (frame)
        w->mail.shown = frame;
    w->mail.destroyed |= gone;
    pthread_mutex_unlock(&ui->lock);
    bp_deferred_schedule(ui->serve);
}

static void look(struct sdl_ui *ui)
{
    struct sdl_window *w;
    unsigned round;
    bool titles;

    pthread_mutex_lock(&ui->lock);
    ui->woken = false;
    titles = ui->titles_due;
    ui->titles_due = false;
    pthread_mutex_unlock(&ui->lock);
    round = ++ui->rounds;
    while ((w = next_window(ui, round)))
        look_into(w);
    if (titles) {
        sdl_ui_pointer(ui);
        sdl_ui_titles(ui);
    }
}

/* ---- the thread ---- */

/* Is there what gl=on, core or es draws by? A window that nobody sees tells. */
static void probe_opengl(struct sdl_ui *ui, const char *driver)
{
    struct sdl_window probe = {.ui = ui};
    SDL_RendererInfo info = {0};
    bool fits = false;
    char why[160];

    if (ui->gl == SDL_UI_GL_CORE)
        sdl_ui_core_attributes();
    probe.window = SDL_CreateWindow("", 0, 0, 16, 16, SDL_WINDOW_HIDDEN | SDL_WINDOW_OPENGL);
    snprintf(why, sizeof(why), "%s", probe.window ? "SDL draws in another way" : SDL_GetError());
    if (probe.window && ui->gl == SDL_UI_GL_CORE) {
        fits = sdl_ui_core_make(&probe, why, sizeof(why));
    } else if (probe.window) {
        probe.renderer = SDL_CreateRenderer(probe.window, -1, SDL_RENDERER_ACCELERATED);
        fits = probe.renderer && SDL_GetRendererInfo(probe.renderer, &info) == 0 && !strcmp(info.name, driver);
    }
    destroy(&probe);
    if (fits)
        return;
    snprintf(ui->failure, sizeof(ui->failure), "OpenGL is not to be had here (%.160s); use gl=off", why);
    SDL_QuitSubSystem(SDL_INIT_VIDEO);
}

static void begin(struct sdl_ui *ui)
{
    static const char *const drivers[] = {"software", "opengl", "opengl", "opengles2"};

    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1"); /* SIGINT and SIGTERM are the emulator's */
    SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    SDL_SetHint(SDL_HINT_GRAB_KEYBOARD, "1");
    SDL_SetHint(SDL_HINT_WINDOWS_NO_CLOSE_ON_ALT_F4, "1");
    SDL_SetHint(SDL_HINT_MOUSE_FOCUS_CLICKTHROUGH, "1");
    SDL_SetHint(SDL_HINT_RENDER_DRIVER, drivers[ui->gl]);
    if (!ui->gl)
        SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
    if (SDL_InitSubSystem(SDL_INIT_VIDEO) < 0)
        snprintf(ui->failure, sizeof(ui->failure), "SDL has no windows here: %.200s", SDL_GetError());
    else if (ui->gl)
        probe_opengl(ui, drivers[ui->gl]);
}

void *sdl_ui_thread(void *opaque)
{
    struct sdl_ui *ui = opaque;
    SDL_Event event;
    bool quit = false;

    begin(ui);
    ui->wake = SDL_RegisterEvents(1);
    pthread_mutex_lock(&ui->lock);
    ui->running = !*ui->failure;
    pthread_cond_signal(&ui->changed);
    pthread_mutex_unlock(&ui->lock);
    if (*ui->failure)
        return NULL;
    while (!quit && SDL_WaitEvent(&event)) {
        if (event.type == ui->wake)
            look(ui);
        else
            sdl_ui_event(ui, &event);
        pthread_mutex_lock(&ui->lock);
        quit = ui->quit;
        pthread_mutex_unlock(&ui->lock);
    }
    /* SDL itself stays: when it closes its connections to an X server that has an error for it about a window that was
     * closed by a window manager, libX11 ends the process with status 1. The server clears up behind a process. */
    for (struct sdl_window *w = ui->windows; w && !ui->leaving; w = w->next)
        destroy(w);
    return NULL;
}
