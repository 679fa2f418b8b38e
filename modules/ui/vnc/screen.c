/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The picture that a client has, and updates of it. What changed is kept as tiles of 64 x 16 pixels, so that
 * frames that a slow client missed are one. A frame is held while its rectangles are encoded, which waits for
 * the socket when more than OUT_MOST bytes stand in front of it: so each client's memory is bounded.
 */
#include "vnc.h"

#include <stdlib.h>
#include <string.h>

#define display (*vnc_display)
#define input (*vnc_input)
#define OUT_MOST (2u << 20)
#define RECTS_MOST 4096u /* from there on whole lines of tiles are sent */
#define BLANK_WIDTH 640u
#define BLANK_HEIGHT 480u

/* ---- tiles ---- */

static void mark(struct vnc_client *c, const struct bp_rect *r, uint8_t bit)
{
    uint32_t right = r->x + r->width < c->width ? r->x + r->width : c->width;
    uint32_t bottom = r->y + r->height < c->height ? r->y + r->height : c->height;

    if (r->x >= right || r->y >= bottom)
        return;
    for (uint32_t y = r->y / VNC_TILE_H; y <= (bottom - 1) / VNC_TILE_H; y++)
        for (uint32_t x = r->x / VNC_TILE_W; x <= (right - 1) / VNC_TILE_W; x++)
            c->dirty[(size_t)y * c->columns + x] |= bit;
}

static void set_size(struct vnc_client *c, uint16_t width, uint16_t height)
{
    c->width = width;
    c->height = height;
    c->columns = (width + VNC_TILE_W - 1) / VNC_TILE_W;
    c->rows = (height + VNC_TILE_H - 1) / VNC_TILE_H;
    c->dirty = bp_realloc(c->dirty, (size_t)c->columns * c->rows);
    memset(c->dirty, VNC_TILE_CHANGED, (size_t)c->columns * c->rows);
    vnc_seen_forget(c);
}

void vnc_add_rect(struct vnc_rects *list, struct bp_rect r)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 64;
        list->rects = bp_realloc(list->rects, list->room * sizeof(r));
    }
    list->rects[list->count++] = r;
}

/* A rectangle of the picture (cut to it) in pieces that every encoding takes. */
static void add_pieces(struct vnc_rects *list, struct bp_rect r, uint32_t width, uint32_t height)
{
    uint32_t right = r.x + r.width < width ? r.x + r.width : width;
    uint32_t bottom = r.y + r.height < height ? r.y + r.height : height;

    for (uint32_t x = r.x; x < right; x += RFB_RECT_WIDTH) {
        uint32_t w = right - x < RFB_RECT_WIDTH ? right - x : RFB_RECT_WIDTH, h = RFB_RECT_PIXELS / w;

        for (uint32_t y = r.y; y < bottom; y += h)
            vnc_add_rect(list, (struct bp_rect){x, y, w, bottom - y < h ? bottom - y : h});
    }
}

void vnc_collect(const struct vnc_client *c, const struct bp_rect *tiles, uint8_t bits, struct vnc_rects *list)
{
    struct vnc_rects open = {NULL, 0, 0}, now = {NULL, 0, 0}, swap;

    for (uint32_t y = tiles->y; y <= tiles->y + tiles->height; y++) {
        const uint8_t *row = y < tiles->y + tiles->height ? c->dirty + (size_t)y * c->columns : NULL;
        size_t next = 0;

        now.count = 0;
        for (uint32_t x = tiles->x; row && x < tiles->x + tiles->width; x++) {
            uint32_t from = x;

            if (!(row[x] & bits))
                continue;
            while (x + 1 < tiles->x + tiles->width && (row[x + 1] & bits))
                x++;
            vnc_add_rect(&now, (struct bp_rect){from, y, x - from + 1, 1});
        }
        for (size_t i = 0; i < now.count; i++) {
            while (next < open.count && open.rects[next].x < now.rects[i].x)
                vnc_add_rect(list, open.rects[next++]);
            if (next < open.count && open.rects[next].x == now.rects[i].x &&
                open.rects[next].width == now.rects[i].width) {
                now.rects[i].y = open.rects[next].y;
                now.rects[i].height = open.rects[next++].height + 1;
            }
        }
        while (next < open.count)
            vnc_add_rect(list, open.rects[next++]);
        swap = open;
        open = now;
        now = swap;
    }
    free(open.rects);
    free(now.rects);
}

/* Where there would be too many rectangles, whole lines of tiles are sent. */
static void coarsen(struct vnc_client *c, const struct bp_rect *area)
{
    for (uint32_t y = area->y; y < area->y + area->height; y++) {
        uint8_t *row = c->dirty + (size_t)y * c->columns + area->x, all = 0;

        for (uint32_t x = 0; x < area->width; x++)
            all |= row[x];
        memset(row, all ? VNC_TILE_PLAIN : 0, area->width);
    }
}

/* The tiles of each kind, those that are sent coarsely first. */
static void collect_all(struct vnc_client *c, const struct bp_rect *area, struct vnc_rects *list, size_t ret_ends[3])
{
    static const uint8_t kinds[3] = {VNC_TILE_COARSE, VNC_TILE_PLAIN, VNC_TILE_EXACT};

    list->count = 0;
    for (unsigned i = 0; i < 3; i++) {
        vnc_collect(c, area, kinds[i], list);
        ret_ends[i] = list->count;
    }
}

/* What of the asked area is to be sent, in pixels. */
static void choose(struct vnc_client *c, uint32_t width, uint32_t height)
{
    uint32_t right = c->asked.x + c->asked.width, bottom = c->asked.y + c->asked.height;
    struct vnc_rects tiles = {NULL, 0, 0};
    struct bp_rect area;
    size_t ends[3];

    right = right < c->width ? right : c->width;
    bottom = bottom < c->height ? bottom : c->height;
    c->todo.count = c->done = c->copies.count = c->coarse_until = c->exact_from = 0;
    if (c->asked.x >= right || c->asked.y >= bottom)
        return;
    area = (struct bp_rect){c->asked.x / VNC_TILE_W, c->asked.y / VNC_TILE_H,
                            (right - 1) / VNC_TILE_W - c->asked.x / VNC_TILE_W + 1,
                            (bottom - 1) / VNC_TILE_H - c->asked.y / VNC_TILE_H + 1};
    vnc_seen_compare(c, &area);
    vnc_seen_grade(c, &area);
    collect_all(c, &area, &tiles, ends);
    if (tiles.count > RECTS_MOST) {
        coarsen(c, &area);
        collect_all(c, &area, &tiles, ends);
    }
    for (uint32_t y = area.y; y < area.y + area.height; y++)
        memset(c->dirty + (size_t)y * c->columns + area.x, 0, area.width);
    width = width < c->width ? width : c->width;
    height = height < c->height ? height : c->height;
    for (size_t i = 0; i < tiles.count; i++) {
        const struct bp_rect *t = &tiles.rects[i];

        if (i == ends[1])
            c->exact_from = c->todo.count;
        add_pieces(&c->todo, (struct bp_rect){t->x * VNC_TILE_W, t->y * VNC_TILE_H, t->width * VNC_TILE_W,
                                              t->height * VNC_TILE_H}, width, height);
        if (i + 1 == ends[0])
            c->coarse_until = c->todo.count;
    }
    if (tiles.count == ends[1])
        c->exact_from = c->todo.count;
    free(tiles.rects);
}

/* ---- the viewer ---- */

static void changed(void *opaque)
{
    vnc_client_push(opaque);
}

static void cursor_changed(void *opaque, const struct bp_cursor *cursor)
{
    struct vnc_client *c = opaque;

    (void)cursor;
    c->cursor_due = true;
    vnc_client_push(c);
}

static void gone(void *opaque)
{
    struct vnc_client *c = opaque;

    c->viewer = NULL; /* and its frames stay until they are given back */
}

static const struct bp_viewer_ops viewer_ops = {
    .size = sizeof(viewer_ops), .changed = changed, .cursor = cursor_changed, .gone = gone};

static void watch(struct vnc_client *c)
{
    if (c->server->console &&
        display->viewer_new(c->server->console, "vnc", 0, &viewer_ops, c, &c->viewer, NULL) < 0)
        c->viewer = NULL;
}

void vnc_screen_open(struct vnc_client *c)
{
    struct bp_frame frame = {.size = sizeof(frame), .width = BLANK_WIDTH, .height = BLANK_HEIGHT};

    watch(c);
    if (c->viewer && display->pull(c->viewer, &frame, NULL) == 0)
        display->release(&frame);
    set_size(c, (uint16_t)frame.width, (uint16_t)frame.height); /* and all of it is to be sent */
}

void vnc_screen_watch(struct vnc_client *c)
{
    if (c->viewer)
        display->viewer_free(c->viewer);
    c->viewer = NULL;
    c->cursor_due = c->leds_due = c->pointer_due = true;
    watch(c);
    vnc_client_push(c);
}

static void stop_sending(struct vnc_client *c)
{
    if (c->sending && c->frame.pixels)
        display->release(&c->frame);
    c->sending = false;
}

void vnc_screen_close(struct vnc_client *c)
{
    stop_sending(c);
    if (c->viewer)
        display->viewer_free(c->viewer);
    c->viewer = NULL;
    vnc_seen_close(c);
    free(c->todo.rects);
    free(c->copies.rects);
    free(c->dirty);
    c->todo = c->copies = (struct vnc_rects){NULL, 0, 0};
    c->dirty = NULL;
}

void vnc_screen_request(struct vnc_client *c, bool incremental, const struct bp_rect *area)
{
    if (!incremental)
        mark(c, area, VNC_TILE_ASKED);
    if (c->requested && !c->incremental)
        incremental = false;
    c->requested = true;
    c->incremental = incremental;
    c->asked = *area;
}

/* ---- updates ---- */

static void put_name(struct vnc_client *c)
{
    const char *name = vnc_name(c->server);

    rfb_rect(&c->rfb, 0, 0, 0, 0, RFB_DESKTOP_NAME);
    bytes_put32(&c->rfb.out, (uint32_t)strlen(name));
    bytes_put(&c->rfb.out, name, strlen(name));
}

static void put_cursor(struct vnc_client *c)
{
    const struct bp_cursor *cursor = NULL;
    int32_t x, y;
    bool visible = false;

    if (c->server->console)
        display->cursor(c->server->console, &cursor, &x, &y, &visible);
    if (cursor)
        rfb_put_cursor(&c->rfb, (uint16_t)cursor->hot_x, (uint16_t)cursor->hot_y, (uint16_t)cursor->width,
                       (uint16_t)cursor->height, cursor->pixels);
    else
        rfb_put_cursor(&c->rfb, 0, 0, 0, 0, NULL);
}

/* What is no picture, as an update of its own; it answers no request. */
static void put_notices(struct vnc_client *c)
{
    uint32_t has = c->rfb.has;
    struct bytes *out = &c->rfb.out;
    bool cursor = c->cursor_due && (has & (RFB_HAS_CURSOR | RFB_HAS_ALPHA_CURSOR)) && c->server->console;
    bool leds = c->leds_due && (has & RFB_HAS_LED_STATE), name = c->name_due && (has & RFB_HAS_DESKTOP_NAME);
    bool screens = c->screens_due && (has & RFB_HAS_EXTENDED_DESKTOP_SIZE);
    bool pointer = c->pointer_due && (has & RFB_HAS_POINTER_TYPE), keys = c->key_due && (has & RFB_HAS_EXTENDED_KEY);
    bool audio = c->audio_due && (has & RFB_HAS_AUDIO) && c->server->sounds;

    if (cursor + leds + name + screens + pointer + keys + audio == 0)
        return;
    rfb_update(&c->rfb, (uint16_t)(cursor + leds + name + screens + pointer + keys + audio));
    if (audio)
        rfb_rect(&c->rfb, 0, 0, c->width, c->height, RFB_AUDIO);
    c->audio_due &= !audio;
    if (screens)
        rfb_put_screens(&c->rfb, c->screens_reason, c->screens_status, c->width, c->height);
    if (name)
        put_name(c);
    if (cursor)
        put_cursor(c);
    if (pointer)
        rfb_rect(&c->rfb, input->is_absolute(c->server->machine, c->server->console), 0, c->width, c->height,
                 RFB_POINTER_TYPE);
    if (keys)
        rfb_rect(&c->rfb, 0, 0, c->width, c->height, RFB_EXTENDED_KEY);
    if (leds) {
        rfb_rect(&c->rfb, 0, 0, 1, 1, RFB_LED_STATE);
        bytes_put8(out, (uint8_t)input->leds(c->server->machine, c->server->console));
    }
    c->screens_due &= !screens;
    c->name_due &= !name;
    c->cursor_due &= !cursor;
    c->pointer_due &= !pointer;
    c->key_due &= !keys;
    c->leds_due &= !leds;
}

/* The picture has another size: tells a client that can hear of it. */
static void resize(struct vnc_client *c, uint32_t width, uint32_t height)
{
    if (!(c->rfb.has & (RFB_HAS_DESKTOP_SIZE | RFB_HAS_EXTENDED_DESKTOP_SIZE)))
        return;
    set_size(c, (uint16_t)width, (uint16_t)height);
    c->asked = (struct bp_rect){0, 0, width, height};
    rfb_update(&c->rfb, 1);
    if (c->rfb.has & RFB_HAS_EXTENDED_DESKTOP_SIZE)
        rfb_put_screens(&c->rfb, 0, 0, c->width, c->height);
    else
        rfb_rect(&c->rfb, 0, 0, c->width, c->height, RFB_DESKTOP_SIZE);
}

static void put_copies(struct vnc_client *c)
{
    for (size_t i = 0; i < c->copies.count; i++) {
        const struct bp_rect *r = &c->copies.rects[i];
        const uint16_t at[2] = {(uint16_t)r->x, (uint16_t)r->y};
        const uint16_t from[2] = {(uint16_t)((int32_t)r->x - c->copy_dx), (uint16_t)((int32_t)r->y - c->copy_dy)};

        rfb_copy(&c->rfb, at, from, (uint16_t)r->width, (uint16_t)r->height);
    }
}

static void go_on(struct vnc_client *c)
{
    while (c->done < c->todo.count && c->rfb.out.size < OUT_MOST) {
        const struct bp_rect *r = &c->todo.rects[c->done];
        static uint32_t blank[RFB_RECT_PIXELS]; /* never written */
        struct rfb_image image = {.pixels = blank, .stride = r->width, .width = r->width, .height = r->height};

        if (c->frame.pixels) {
            image.stride = c->frame.stride / 4;
            image.pixels = c->frame.pixels + r->y * image.stride + r->x;
        }
        c->rfb.grade = c->done < c->coarse_until ? RFB_COARSE : c->done < c->exact_from ? RFB_AS_ASKED : RFB_EXACT;
        rfb_encode(&c->rfb, (uint16_t)r->x, (uint16_t)r->y, &image);
        if (c->rfb.lost && c->rfb.grade == RFB_COARSE)
            vnc_seen_lost(c, r);
        c->done++;
    }
    if (c->done == c->todo.count)
        stop_sending(c);
}

void vnc_screen_update(struct vnc_client *c)
{
    if (c->sending) {
        go_on(c);
        return;
    }
    put_notices(c);
    if (!c->requested)
        return;
    c->frame = (struct bp_frame){.size = sizeof(c->frame), .width = BLANK_WIDTH, .height = BLANK_HEIGHT};
    if (c->viewer && display->pull(c->viewer, &c->frame, NULL) < 0)
        return;
    if (c->frame.width != c->width || c->frame.height != c->height)
        resize(c, c->frame.width, c->frame.height);
    for (uint32_t i = 0; i < c->frame.rect_count; i++)
        mark(c, &c->frame.rects[i], VNC_TILE_CHANGED);
    choose(c, c->frame.width, c->frame.height);
    c->sending = true;
    if (c->todo.count + c->copies.count == 0 && c->incremental) {
        stop_sending(c);
        if (c->viewer)
            display->want(c->viewer);
        return;
    }
    if (c->rfb.palette_due)
        rfb_colour_map(&c->rfb);
    c->requested = false;
    rfb_update(&c->rfb, (uint16_t)(c->copies.count + c->todo.count));
    put_copies(c);
    go_on(c);
}
