/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -display sdl: what its files share. SDL has a thread of its own, which waits for the windows' events and draws; the
 * main thread pulls frames and sends what was typed. Between them: a mailbox for each window, and a ring of input.
 */
#ifndef UI_SDL_H
#define UI_SDL_H

#include <pthread.h>

#include <SDL.h>

#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>

#include "picture.h"

#define SDL_UI_RING 2048u /* of input that the machine has not taken; more is lost, motion sooner */

struct sdl_ui;

/* What a window's thread leaves in its mailbox for the other one; under ui->lock. */
struct sdl_mail {
    struct bp_frame *frame;  /* to the window; owned: given back by `shown` */
    bool cursor_new;         /* to the window: `cursor`, or none */
    struct bp_cursor cursor; /* its pixels are owned */
    bool gone;               /* to the window: its console went */
    struct bp_frame *shown;  /* to the main thread: drawn, to be given back */
    bool release;            /* to the main thread: input was lost, all keys go up */
    bool destroyed;          /* to the main thread: nothing of SDL's is left */
    uint32_t wish_width, wish_height; /* to the main thread: size that the user gave it; 0: none */
};

struct sdl_window {
    struct sdl_ui *ui;
    struct sdl_window *next;
    unsigned number; /* from 0 */
    struct sdl_mail mail;
    /* [main] */
    struct bp_console *console; /* NULL: gone */
    struct bp_viewer *viewer;
    bool in_flight; /* a frame is at the window */
    /* SDL's thread */
    SDL_Window *window;
    SDL_Renderer *renderer; /* or, with gl=core, `context` */
    SDL_Texture *texture;
    SDL_GLContext context;
    struct gl_picture picture; /* of that context */
    SDL_Cursor *cursor;
    int width, height; /* of the picture */
    bool scaled;       /* the user chose the size */
    bool full_screen;
    unsigned round; /* in which it was seen last */
};

enum { SDL_UI_GL_OFF, SDL_UI_GL_ON, SDL_UI_GL_CORE, SDL_UI_GL_ES }; /* sdl_ui.gl */

enum sdl_action_kind { SDL_ACTION_EVENTS, SDL_ACTION_POSITION, SDL_ACTION_RELEASE, SDL_ACTION_CLOSE };

struct sdl_action {
    enum sdl_action_kind kind;
    struct sdl_window *window;
    unsigned count;
    struct bp_input_event events[2];
    int32_t x, y;
    uint32_t width, height;
};

struct sdl_ui {
    /* Properties. */
    int gl, grab_mod;
    bool window_close, show_cursor, full_screen;
    /* */
    struct bp_machine *machine;
    struct bp_deferred *serve; /* looks at what the other thread left */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, running, quit, leaving, woken; /* leaving: the process ends */
    bool close;                /* the user closed the first window */
    char failure[256];
    Uint32 wake;               /* SDL's event type */
    struct sdl_window *windows; /* lock: the list, and mail */
    struct sdl_action ring[SDL_UI_RING];
    unsigned head, count;
    /* lock: what the title and the pointer depend on */
    char name[128];
    bool absolute, stopped, titles_due;
    /* SDL's thread */
    unsigned rounds;
    struct sdl_window *grabbed;
    uint8_t swallowed[SDL_NUM_SCANCODES / 8]; /* keys whose way down was a hot key */
};

/* ---- window.c: SDL's thread ---- */
void *sdl_ui_thread(void *opaque);
void sdl_ui_post(struct sdl_ui *ui, const struct sdl_action *action);
void sdl_ui_wake(struct sdl_ui *ui); /* [any]: it looks into its mailboxes */

/* ---- events.c: SDL's thread ---- */
void sdl_ui_event(struct sdl_ui *ui, const SDL_Event *event);
void sdl_ui_grab(struct sdl_ui *ui, struct sdl_window *w); /* NULL: lets go */
void sdl_ui_pointer(struct sdl_ui *ui);

/* ---- core.c: SDL's thread; gl=core, which SDL's own renderers do not know ---- */
void sdl_ui_core_attributes(void); /* before the first window */
/* A context for the window, which was made for OpenGL. False: `why` says so, for people. */
bool sdl_ui_core_make(struct sdl_window *w, char *why, size_t size);
void sdl_ui_core_show(struct sdl_window *w, const struct bp_frame *frame); /* it is drawn later */
void sdl_ui_core_draw(struct sdl_window *w);
void sdl_ui_core_destroy(struct sdl_window *w);

/* ---- window.c ---- */
void sdl_ui_draw(struct sdl_window *w);
void sdl_ui_titles(struct sdl_ui *ui);
void sdl_ui_size(const struct sdl_window *w, int *ret_width, int *ret_height); /* in the screen's own pixels */
void sdl_ui_place(const struct sdl_window *w, SDL_Rect *ret_place); /* of the picture in its window */
void sdl_ui_full_screen(struct sdl_window *w, bool on);
struct sdl_window *sdl_ui_window(struct sdl_ui *ui, Uint32 id);

#endif
