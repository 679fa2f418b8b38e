/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display sdl: what the user does in its windows. SDL's key codes are USB's (HID usage tables, page 7). */
#include "sdl.h"

#include <string.h>

#include <linux/input-event-codes.h>

static const uint16_t keys[SDL_NUM_SCANCODES] = {
    [4] = KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_F, KEY_G, KEY_H, KEY_I, KEY_J, KEY_K, KEY_L, KEY_M, KEY_N, KEY_O,
    KEY_P, KEY_Q, KEY_R, KEY_S, KEY_T, KEY_U, KEY_V, KEY_W, KEY_X, KEY_Y, KEY_Z, KEY_1, KEY_2, KEY_3, KEY_4, KEY_5,
    KEY_6, KEY_7, KEY_8, KEY_9, KEY_0, KEY_ENTER, KEY_ESC, KEY_BACKSPACE, KEY_TAB, KEY_SPACE, KEY_MINUS, KEY_EQUAL,
    KEY_LEFTBRACE, KEY_RIGHTBRACE, KEY_BACKSLASH, KEY_BACKSLASH, KEY_SEMICOLON, KEY_APOSTROPHE, KEY_GRAVE, KEY_COMMA,
    KEY_DOT, KEY_SLASH, KEY_CAPSLOCK, KEY_F1, KEY_F2, KEY_F3, KEY_F4, KEY_F5, KEY_F6, KEY_F7, KEY_F8, KEY_F9, KEY_F10,
    KEY_F11, KEY_F12, KEY_SYSRQ, KEY_SCROLLLOCK, KEY_PAUSE, KEY_INSERT, KEY_HOME, KEY_PAGEUP, KEY_DELETE, KEY_END,
    KEY_PAGEDOWN, KEY_RIGHT, KEY_LEFT, KEY_DOWN, KEY_UP, KEY_NUMLOCK, KEY_KPSLASH, KEY_KPASTERISK, KEY_KPMINUS,
    KEY_KPPLUS, KEY_KPENTER, KEY_KP1, KEY_KP2, KEY_KP3, KEY_KP4, KEY_KP5, KEY_KP6, KEY_KP7, KEY_KP8, KEY_KP9, KEY_KP0,
    KEY_KPDOT, KEY_102ND, KEY_COMPOSE, KEY_POWER, KEY_KPEQUAL, KEY_F13, KEY_F14, KEY_F15, KEY_F16, KEY_F17, KEY_F18,
    KEY_F19, KEY_F20, KEY_F21, KEY_F22, KEY_F23, KEY_F24, KEY_OPEN, KEY_HELP, KEY_PROPS, KEY_FRONT, KEY_STOP,
    KEY_AGAIN, KEY_UNDO, KEY_CUT, KEY_COPY, KEY_PASTE, KEY_FIND, KEY_MUTE, KEY_VOLUMEUP, KEY_VOLUMEDOWN,
    [133] = KEY_KPCOMMA, [135] = KEY_RO, KEY_KATAKANAHIRAGANA, KEY_YEN, KEY_HENKAN, KEY_MUHENKAN, KEY_KPJPCOMMA,
    [144] = KEY_HANGEUL, KEY_HANJA, KEY_KATAKANA, KEY_HIRAGANA, KEY_ZENKAKUHANKAKU,
    [224] = KEY_LEFTCTRL, KEY_LEFTSHIFT, KEY_LEFTALT, KEY_LEFTMETA, KEY_RIGHTCTRL, KEY_RIGHTSHIFT, KEY_RIGHTALT,
    KEY_RIGHTMETA};

static void post_key(struct sdl_window *w, uint16_t code, int32_t value)
{
    const struct sdl_action action = {.kind = SDL_ACTION_EVENTS, .window = w, .count = 1,
                                      .events = {{BP_INPUT_KEY, code, value}}};

    sdl_ui_post(w->ui, &action);
}

/* ---- the pointer ---- */

static bool is_absolute(struct sdl_ui *ui)
{
    bool absolute;

    pthread_mutex_lock(&ui->lock);
    absolute = ui->absolute;
    pthread_mutex_unlock(&ui->lock);
    return absolute;
}

/* The guest's pointer takes the place of the host's where both would be seen. */
void sdl_ui_pointer(struct sdl_ui *ui)
{
    bool absolute = is_absolute(ui);
    SDL_Window *focus = SDL_GetMouseFocus();
    struct sdl_window *w = focus ? sdl_ui_window(ui, SDL_GetWindowID(focus)) : NULL;
    bool hidden = (ui->grabbed || absolute) && !ui->show_cursor;

    if (ui->grabbed)
        SDL_SetRelativeMouseMode(absolute ? SDL_FALSE : SDL_TRUE);
    if (w && w->cursor && absolute) {
        SDL_SetCursor(w->cursor);
        hidden = false;
    } else {
        SDL_SetCursor(SDL_GetDefaultCursor());
    }
    SDL_ShowCursor(hidden ? SDL_DISABLE : SDL_ENABLE);
}

void sdl_ui_grab(struct sdl_ui *ui, struct sdl_window *w)
{
    if (ui->grabbed && ui->grabbed->window)
        SDL_SetWindowGrab(ui->grabbed->window, SDL_FALSE);
    ui->grabbed = w;
    if (w)
        SDL_SetWindowGrab(w->window, SDL_TRUE);
    else
        SDL_SetRelativeMouseMode(SDL_FALSE);
    sdl_ui_pointer(ui);
    sdl_ui_titles(ui);
}

static void motion(struct sdl_window *w, const SDL_MouseMotionEvent *e)
{
    struct sdl_action action = {.window = w};
    SDL_Rect place;
    int width = 1, height = 1, x, y;

    if (!is_absolute(w->ui)) {
        if (w->ui->grabbed != w)
            return;
        action.kind = SDL_ACTION_EVENTS;
        action.events[action.count++] = (struct bp_input_event){BP_INPUT_REL, REL_X, e->xrel};
        action.events[action.count++] = (struct bp_input_event){BP_INPUT_REL, REL_Y, e->yrel};
        sdl_ui_post(w->ui, &action);
        return;
    }
    if (!(w->renderer || w->context) || !w->width || !w->height)
        return;
    /* The window's coordinates, to the renderer's (another number on screens of high density), to the picture's. */
    sdl_ui_place(w, &place);
    SDL_GetWindowSize(w->window, &width, &height);
    sdl_ui_size(w, &x, &y);
    x = e->x * x / (width ? width : 1) - place.x;
    y = e->y * y / (height ? height : 1) - place.y;
    if (!place.w || !place.h)
        return;
    action.kind = SDL_ACTION_POSITION;
    action.x = (int32_t)((int64_t)x * w->width / place.w);
    action.y = (int32_t)((int64_t)y * w->height / place.h);
    action.width = (uint32_t)w->width;
    action.height = (uint32_t)w->height;
    sdl_ui_post(w->ui, &action);
}

static void button(struct sdl_window *w, const SDL_MouseButtonEvent *e)
{
    static const uint16_t codes[] = {0, BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, BTN_SIDE, BTN_EXTRA};

    if (e->type == SDL_MOUSEBUTTONDOWN && w->ui->grabbed != w && !is_absolute(w->ui)) {
        if (e->button == SDL_BUTTON_LEFT)
            sdl_ui_grab(w->ui, w); /* this click is for us */
        return;
    }
    if (e->button < BP_COUNT(codes) && codes[e->button])
        post_key(w, codes[e->button], e->type == SDL_MOUSEBUTTONDOWN);
}

static void wheel(struct sdl_window *w, const SDL_MouseWheelEvent *e)
{
    struct sdl_action action = {.kind = SDL_ACTION_EVENTS, .window = w, .count = 1};

    if (!is_absolute(w->ui) && w->ui->grabbed != w)
        return;
    if (e->y) {
        action.events[0] = (struct bp_input_event){BP_INPUT_REL, REL_WHEEL, e->y};
        sdl_ui_post(w->ui, &action);
    }
    if (e->x) {
        action.events[0] = (struct bp_input_event){BP_INPUT_REL, REL_HWHEEL, e->x};
        sdl_ui_post(w->ui, &action);
    }
}

/* ---- keys ---- */

static bool mods_are_down(const struct sdl_ui *ui)
{
    static const SDL_Keymod wanted[] = {KMOD_LCTRL | KMOD_LALT, KMOD_LSHIFT | KMOD_LCTRL | KMOD_LALT, KMOD_RCTRL};

    return (SDL_GetModState() & wanted[ui->grab_mod]) == wanted[ui->grab_mod];
}

static void scale(struct sdl_window *w, int percent)
{
    int width = 0, height = 0;

    SDL_GetWindowSize(w->window, &width, &height);
    width = width * percent / 100;
    if (w->full_screen || !w->width || width < 160 || width > 16384)
        return;
    w->scaled = true;
    SDL_SetWindowSize(w->window, width, (int)((int64_t)width * w->height / w->width));
    sdl_ui_draw(w);
}

static void show_number(struct sdl_ui *ui, unsigned number)
{
    struct sdl_window *w;

    pthread_mutex_lock(&ui->lock);
    for (w = ui->windows; w && (w->number != number || !w->window);)
        w = w->next;
    pthread_mutex_unlock(&ui->lock);
    if (!w)
        return;
    if (SDL_GetWindowFlags(w->window) & SDL_WINDOW_SHOWN && w->number) {
        SDL_HideWindow(w->window);
    } else {
        SDL_ShowWindow(w->window);
        SDL_RaiseWindow(w->window);
        sdl_ui_draw(w);
    }
}

static bool hot_key(struct sdl_window *w, SDL_Scancode key)
{
    struct sdl_ui *ui = w->ui;

    if (!mods_are_down(ui))
        return false;
    switch (key) {
    case SDL_SCANCODE_G:
        sdl_ui_grab(ui, ui->grabbed ? NULL : w);
        return true;
    case SDL_SCANCODE_F:
        sdl_ui_full_screen(w, !w->full_screen);
        return true;
    case SDL_SCANCODE_U:
        w->scaled = false;
        if (!w->full_screen && w->width)
            SDL_SetWindowSize(w->window, w->width, w->height);
        sdl_ui_draw(w);
        return true;
    case SDL_SCANCODE_EQUALS:
    case SDL_SCANCODE_KP_PLUS:
        scale(w, 125);
        return true;
    case SDL_SCANCODE_MINUS:
    case SDL_SCANCODE_KP_MINUS:
        scale(w, 80);
        return true;
    default:
        if (key < SDL_SCANCODE_1 || key > SDL_SCANCODE_9)
            return false;
        show_number(ui, (unsigned)(key - SDL_SCANCODE_1));
        return true;
    }
}

static void key(struct sdl_window *w, const SDL_KeyboardEvent *e)
{
    uint8_t *swallowed = &w->ui->swallowed[e->keysym.scancode / 8], bit = (uint8_t)(1u << e->keysym.scancode % 8);
    uint16_t code = e->keysym.scancode < SDL_NUM_SCANCODES ? keys[e->keysym.scancode] : 0;

    if (e->type == SDL_KEYDOWN && (*swallowed & bit))
        return; /* it repeats */
    if (e->type == SDL_KEYUP && (*swallowed & bit)) {
        *swallowed &= (uint8_t)~bit;
        return;
    }
    if (e->type == SDL_KEYDOWN && !e->repeat && hot_key(w, e->keysym.scancode))
        *swallowed |= bit;
    else if (code)
        post_key(w, code, e->type == SDL_KEYUP ? 0 : e->repeat ? 2 : 1);
}

/* ---- windows ---- */

static void window_event(struct sdl_window *w, const SDL_WindowEvent *e)
{
    struct sdl_ui *ui = w->ui;
    struct sdl_action action = {.window = w};

    switch (e->event) {
    case SDL_WINDOWEVENT_EXPOSED:
    case SDL_WINDOWEVENT_SIZE_CHANGED:
        sdl_ui_draw(w);
        break;
    case SDL_WINDOWEVENT_RESIZED: /* by the user, or by a window manager that has its own mind */
        if (w->full_screen || (e->data1 == w->width && e->data2 == w->height))
            break;
        w->scaled = true;
        pthread_mutex_lock(&ui->lock);
        w->mail.wish_width = (uint32_t)e->data1;
        w->mail.wish_height = (uint32_t)e->data2;
        pthread_mutex_unlock(&ui->lock);
        bp_deferred_schedule(ui->serve);
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        if (ui->grabbed == w)
            sdl_ui_grab(ui, NULL);
        memset(ui->swallowed, 0, sizeof(ui->swallowed));
        action.kind = SDL_ACTION_RELEASE;
        sdl_ui_post(ui, &action);
        break;
    case SDL_WINDOWEVENT_ENTER:
        sdl_ui_pointer(ui);
        break;
    case SDL_WINDOWEVENT_CLOSE:
        if (w->number) {
            SDL_HideWindow(w->window);
            break;
        }
        if (!ui->window_close)
            break;
        action.kind = SDL_ACTION_CLOSE;
        sdl_ui_post(ui, &action);
        break;
    default:
        break;
    }
}

void sdl_ui_event(struct sdl_ui *ui, const SDL_Event *event)
{
    /* All of these begin alike: type, time, window. */
    bool named = event->type == SDL_WINDOWEVENT ||
                 (event->type >= SDL_KEYDOWN && event->type <= SDL_MOUSEWHEEL);
    struct sdl_window *w = named ? sdl_ui_window(ui, event->window.windowID) : NULL;

    if (!w)
        return;
    switch (event->type) {
    case SDL_WINDOWEVENT:
        window_event(w, &event->window);
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        key(w, &event->key);
        break;
    case SDL_MOUSEMOTION:
        motion(w, &event->motion);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        button(w, &event->button);
        break;
    case SDL_MOUSEWHEEL:
        wheel(w, &event->wheel);
        break;
    default:
        break;
    }
}
