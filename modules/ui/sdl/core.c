/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -display sdl,gl=core: windows drawn by a core profile of OpenGL 3.2, without SDL's renderers, which have none. */
#include "sdl.h"

#include <stdio.h>

#ifdef HAVE_EPOXY
#include <epoxy/gl.h>

void sdl_ui_core_attributes(void)
{
    SDL_GL_SetAttribute(SDL_GL_CONTEXT_PROFILE_MASK, SDL_GL_CONTEXT_PROFILE_CORE);
    SDL_GL_SetAttribute(SDL_GL_CONTEXT_MAJOR_VERSION, 3);
    SDL_GL_SetAttribute(SDL_GL_CONTEXT_MINOR_VERSION, 2);
}

bool sdl_ui_core_make(struct sdl_window *w, char *why, size_t size)
{
    struct bp_error err = {0};

    w->context = SDL_GL_CreateContext(w->window);
    if (!w->context) {
        snprintf(why, size, "%s", SDL_GetError());
        return false;
    }
    SDL_GL_MakeCurrent(w->window, w->context);
    SDL_GL_SetSwapInterval(0); /* frames come at the machine's pace */
    if (gl_picture_init(&w->picture, &err) == 0)
        return true;
    snprintf(why, size, "%s", err.message);
    SDL_GL_DeleteContext(w->context);
    w->context = NULL;
    return false;
}

/* A picture that OpenGL has no room for is black. */
void sdl_ui_core_show(struct sdl_window *w, const struct bp_frame *frame)
{
    const struct bp_rect all = {0, 0, frame->width, frame->height};
    bool whole = w->picture.width != frame->width || w->picture.height != frame->height;
    uint32_t stride = frame->stride / 4;

    SDL_GL_MakeCurrent(w->window, w->context);
    if (whole && gl_picture_resize(&w->picture, frame->width, frame->height, NULL) < 0)
        return;
    if (whole)
        gl_picture_put(&w->picture, &all, frame->pixels, stride);
    for (uint32_t i = 0; i < frame->rect_count && !whole; i++) {
        const struct bp_rect *r = &frame->rects[i];

        gl_picture_put(&w->picture, r, frame->pixels + (size_t)r->y * stride + r->x, stride);
    }
}

void sdl_ui_core_draw(struct sdl_window *w)
{
    SDL_Rect place;
    int width, height;

    SDL_GL_MakeCurrent(w->window, w->context);
    sdl_ui_size(w, &width, &height);
    sdl_ui_place(w, &place);
    glViewport(0, 0, width, height);
    glClearColor(0, 0, 0, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    if (w->picture.width) {
        glViewport(place.x, height - place.y - place.h, place.w, place.h);
        gl_picture_draw(&w->picture, GL_PICTURE_COLOURS, false, place.w != w->width || place.h != w->height);
    }
    SDL_GL_SwapWindow(w->window);
}

void sdl_ui_core_destroy(struct sdl_window *w)
{
    SDL_GL_MakeCurrent(w->window, w->context);
    gl_picture_fini(&w->picture);
    SDL_GL_DeleteContext(w->context);
    w->context = NULL;
}

#else

void sdl_ui_core_attributes(void)
{
}

bool sdl_ui_core_make(struct sdl_window *w, char *why, size_t size)
{
    (void)w;
    snprintf(why, size, "gl=core needs libepoxy, which this build is without; there are gl=on and gl=es");
    return false;
}

/* No context, no picture: the other ones are not called. */
void sdl_ui_core_show(struct sdl_window *w, const struct bp_frame *frame)
{
    (void)w;
    (void)frame;
}

void sdl_ui_core_draw(struct sdl_window *w)
{
    (void)w;
}

void sdl_ui_core_destroy(struct sdl_window *w)
{
    (void)w;
}
#endif
