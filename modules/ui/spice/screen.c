/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Screens for SPICE. The library speaks to a QXL device: one is played for each console. Its surface is redrawn by
 * copies of what was damaged; a frame is pulled when the worker has taken the copies of the one before. Addresses of
 * QXL are host addresses here: one memory slot, number 0 of generation 0, is all of memory.
 */
#include "spice-server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define display (*spice_display)
#define MOST_WAITING (64u << 20) /* bytes of copies that the worker holds before nothing more is pulled */
#define STRIP 262144u            /* pixels of one copy at most: what is small is compressed soon */
#define MOST_POINTERS 32u        /* commands for the pointer that the worker holds; then the newest waits */

/* A copy of pixels, or a picture of the pointer; its bytes stand behind it. */
struct piece {
    struct piece *next;
    struct screen *screen;
    QXLCommandExt command;
    size_t bytes;
    union {
        QXLDrawable drawable;
        QXLCursorCmd cursor;
    };
    union {
        QXLImage image;
        QXLCursor shape;
    };
};

struct queue {
    struct piece *first, **last;
};

struct screen {
    QXLInstance instance; /* first: the library gives its address back */
    struct screen *next;
    struct bp_console *console;
    struct bp_viewer *viewer;
    struct bp_deferred *again;
    uint32_t width, height; /* of the surface; 0: there is none */
    bool leaving;           /* the surface is on its way out: no other is made, nothing is drawn */
    uint8_t *memory;        /* of the surface, where the worker draws */
    uint32_t unique;
    pthread_mutex_t lock;   /* what follows */
    struct queue drawing, pointer;
    size_t waiting;         /* bytes that were not released */
    unsigned pointers;      /* commands for the pointer that were not released */
    bool pointer_due;       /* what the pointer is now was not told: there were too many */
    bool stalled, left;     /* left: the worker is done with the surface */
};

static struct screen *screens;

/* ---- queues ---- */

static void put(struct screen *s, struct queue *q, struct piece *p)
{
    p->screen = s;
    p->next = NULL;
    pthread_mutex_lock(&s->lock);
    *q->last = p;
    q->last = &p->next;
    s->waiting += p->bytes;
    s->pointers += q == &s->pointer;
    pthread_mutex_unlock(&s->lock);
    spice_qxl_wakeup(&s->instance);
}

static int get(struct screen *s, struct queue *q, struct QXLCommandExt *ret_command)
{
    struct piece *p;
    bool last = false;

    pthread_mutex_lock(&s->lock);
    p = q->first;
    if (p) {
        q->first = p->next;
        last = !q->first;
        if (last)
            q->last = &q->first;
        *ret_command = p->command;
    }
    pthread_mutex_unlock(&s->lock);
    if (last)
        bp_deferred_schedule(s->again);
    return p != NULL;
}

static void forget(struct screen *s, struct piece *p)
{
    pthread_mutex_lock(&s->lock);
    s->waiting -= p->bytes;
    s->pointers -= p->command.cmd.type == QXL_CMD_CURSOR;
    pthread_mutex_unlock(&s->lock);
    free(p);
}

static void empty(struct screen *s, struct queue *q)
{
    QXLCommandExt command;
    struct piece *p;

    for (;;) {
        pthread_mutex_lock(&s->lock);
        p = q->first;
        pthread_mutex_unlock(&s->lock);
        if (!p || !get(s, q, &command))
            return;
        forget(s, p);
    }
}

/* ---- what the worker asks ---- */

static void attached_worker(QXLInstance *instance)
{
    (void)instance;
}

static void set_compression_level(QXLInstance *instance, int level)
{
    (void)instance;
    (void)level;
}

static void get_init_info(QXLInstance *instance, QXLDevInitInfo *info)
{
    (void)instance;
    memset(info, 0, sizeof(*info));
    info->memslot_gen_bits = 8;
    info->memslot_id_bits = 8;
    info->num_memslots = 1;
    info->num_memslots_groups = 1;
    info->internal_groupslot_id = 0;
    info->qxl_ram_size = 16u << 20;
    info->n_surfaces = 1;
}

static int get_command(QXLInstance *instance, struct QXLCommandExt *command)
{
    struct screen *s = (struct screen *)instance;

    return get(s, &s->drawing, command);
}

static int get_cursor_command(QXLInstance *instance, struct QXLCommandExt *command)
{
    struct screen *s = (struct screen *)instance;

    return get(s, &s->pointer, command);
}

/* put() always wakes it. */
static int req_notification(struct screen *s, const struct queue *q)
{
    bool none;

    pthread_mutex_lock(&s->lock);
    none = !q->first;
    pthread_mutex_unlock(&s->lock);
    return none;
}

static int req_cmd_notification(QXLInstance *instance)
{
    struct screen *s = (struct screen *)instance;

    return req_notification(s, &s->drawing);
}

static int req_cursor_notification(QXLInstance *instance)
{
    struct screen *s = (struct screen *)instance;

    return req_notification(s, &s->pointer);
}

static void release_resource(QXLInstance *instance, struct QXLReleaseInfoExt info)
{
    struct screen *s = (struct screen *)instance;
    bool go_on;

    forget(s, (struct piece *)(uintptr_t)info.info->id);
    pthread_mutex_lock(&s->lock);
    go_on = (s->stalled && s->waiting < MOST_WAITING) || (s->pointer_due && s->pointers < MOST_POINTERS / 2);
    pthread_mutex_unlock(&s->lock);
    if (go_on)
        bp_deferred_schedule(s->again);
}

static void notify_update(QXLInstance *instance, uint32_t id)
{
    (void)instance;
    (void)id;
}

static int flush_resources(QXLInstance *instance)
{
    (void)instance;
    return 0;
}

/* The surface has gone, which is all that is asked for so. */
static void async_complete(QXLInstance *instance, uint64_t cookie)
{
    struct screen *s = (struct screen *)instance;

    (void)cookie;
    pthread_mutex_lock(&s->lock);
    s->left = true;
    pthread_mutex_unlock(&s->lock);
    bp_deferred_schedule(s->again);
}

static void update_area_complete(QXLInstance *instance, uint32_t surface, struct QXLRect *rects, uint32_t count)
{
    (void)instance;
    (void)surface;
    (void)rects;
    (void)count;
}

static void set_client_capabilities(QXLInstance *instance, uint8_t present, uint8_t caps[SPICE_CAPABILITIES_SIZE])
{
    (void)instance;
    (void)present;
    (void)caps;
}

static const QXLInterface interface = {
    .base = {.type = SPICE_INTERFACE_QXL, .description = "screen", .major_version = SPICE_INTERFACE_QXL_MAJOR,
             .minor_version = SPICE_INTERFACE_QXL_MINOR},
    .attached_worker = attached_worker, .set_compression_level = set_compression_level,
    .get_init_info = get_init_info, .get_command = get_command, .req_cmd_notification = req_cmd_notification,
    .release_resource = release_resource, .get_cursor_command = get_cursor_command,
    .req_cursor_notification = req_cursor_notification, .notify_update = notify_update,
    .flush_resources = flush_resources, .async_complete = async_complete,
    .update_area_complete = update_area_complete, .set_client_capabilities = set_client_capabilities};

/* ---- pictures ---- */

static struct piece *piece_new(uint32_t type, size_t bytes)
{
    struct piece *p = bp_alloc(sizeof(*p) + bytes);

    p->bytes = sizeof(*p) + bytes;
    p->command.cmd.type = type;
    p->command.cmd.data = type == QXL_CMD_DRAW ? (uintptr_t)&p->drawable : (uintptr_t)&p->cursor;
    if (type == QXL_CMD_DRAW)
        p->drawable.release_info.id = (uintptr_t)p;
    else
        p->cursor.release_info.id = (uintptr_t)p;
    return p;
}

static void copy(struct screen *s, const struct bp_frame *frame, const struct bp_rect *r)
{
    struct piece *p = piece_new(QXL_CMD_DRAW, (size_t)r->width * r->height * 4);
    uint8_t *pixels = (uint8_t *)(p + 1);
    QXLDrawable *d = &p->drawable;
    QXLImage *image = &p->image;

    for (uint32_t y = 0; y < r->height; y++)
        memcpy(pixels + (size_t)y * r->width * 4, frame->pixels + (size_t)(r->y + y) * (frame->stride / 4) + r->x,
               (size_t)r->width * 4);
    d->effect = QXL_EFFECT_OPAQUE;
    d->type = QXL_DRAW_COPY;
    d->bbox = (QXLRect){.left = (int32_t)r->x, .top = (int32_t)r->y, .right = (int32_t)(r->x + r->width),
                        .bottom = (int32_t)(r->y + r->height)};
    d->clip.type = SPICE_CLIP_TYPE_NONE;
    for (unsigned i = 0; i < 3; i++)
        d->surfaces_dest[i] = -1;
    d->u.copy.rop_descriptor = SPICE_ROPD_OP_PUT;
    d->u.copy.src_bitmap = (uintptr_t)image;
    d->u.copy.src_area = (QXLRect){.right = (int32_t)r->width, .bottom = (int32_t)r->height};
    QXL_SET_IMAGE_ID(image, QXL_IMAGE_GROUP_DEVICE, ++s->unique);
    image->descriptor.type = SPICE_IMAGE_TYPE_BITMAP;
    image->descriptor.width = r->width;
    image->descriptor.height = r->height;
    image->bitmap.format = SPICE_BITMAP_FMT_32BIT;
    image->bitmap.flags = QXL_BITMAP_DIRECT | QXL_BITMAP_TOP_DOWN;
    image->bitmap.x = r->width;
    image->bitmap.y = r->height;
    image->bitmap.stride = r->width * 4;
    image->bitmap.data = (uintptr_t)pixels;
    put(s, &s->drawing, p);
}

static void new_surface(struct screen *s, uint32_t width, uint32_t height)
{
    QXLDevSurfaceCreate create;

    s->memory = bp_alloc((size_t)width * height * 4);
    s->width = width;
    s->height = height;
    memset(&create, 0, sizeof(create));
    create.format = SPICE_SURFACE_FMT_32_xRGB;
    create.width = width;
    create.height = height;
    create.stride = -(int32_t)(width * 4);
    create.mouse_mode = 1;
    create.type = QXL_SURF_TYPE_PRIMARY;
    create.mem = (uintptr_t)s->memory;
    spice_qxl_create_primary_surface(&s->instance, 0, &create);
}

/* The worker waits for viewers before it lets a surface go, half a minute for one that stalls. What was to be drawn on
 * it need not be any more. */
static void leave_surface(struct screen *s)
{
    s->leaving = true;
    empty(s, &s->drawing);
    spice_qxl_destroy_primary_surface_async(&s->instance, 0, 0);
}

static void surface_left(struct screen *s)
{
    s->leaving = false;
    s->width = s->height = 0;
    free(s->memory);
    s->memory = NULL;
}

/* ---- the pointer ---- */

/* A viewer that stalls costs some commands: the next one that there is room for tells all. `all`: this one does. */
static bool has_room(struct screen *s, bool all)
{
    bool room;

    pthread_mutex_lock(&s->lock);
    room = s->pointers < MOST_POINTERS && (all || !s->pointer_due);
    s->pointer_due = !room;
    pthread_mutex_unlock(&s->lock);
    return room;
}

static void show_cursor(struct screen *s)
{
    const struct bp_cursor *c;
    struct piece *p;
    int32_t x, y;
    bool visible;
    size_t bytes;

    if (!s->console || !has_room(s, true))
        return;
    display->cursor(s->console, &c, &x, &y, &visible);
    bytes = c ? (size_t)c->width * c->height * 4 : 0;
    p = piece_new(QXL_CMD_CURSOR, bytes);
    if (!c) {
        p->cursor.type = QXL_CURSOR_HIDE;
    } else {
        p->cursor.type = QXL_CURSOR_SET;
        p->cursor.u.set.position = (QXLPoint16){(int16_t)x, (int16_t)y};
        p->cursor.u.set.visible = visible;
        p->cursor.u.set.shape = (uintptr_t)&p->shape;
        p->shape.header.unique = 0; /* not to be kept */
        p->shape.header.type = SPICE_CURSOR_TYPE_ALPHA;
        p->shape.header.width = (uint16_t)c->width;
        p->shape.header.height = (uint16_t)c->height;
        p->shape.header.hot_spot_x = (uint16_t)c->hot_x;
        p->shape.header.hot_spot_y = (uint16_t)c->hot_y;
        p->shape.data_size = (uint32_t)bytes;
        p->shape.chunk.data_size = (uint32_t)bytes;
        memcpy(p->shape.chunk.data, c->pixels, bytes);
    }
    put(s, &s->pointer, p);
}

/* ---- the viewer ---- */

static void copy_in_strips(struct screen *s, const struct bp_frame *frame, const struct bp_rect *r)
{
    struct bp_rect part = *r;

    part.height = STRIP / r->width ? STRIP / r->width : 1;
    for (part.y = r->y; part.y < r->y + r->height; part.y += part.height) {
        if (part.height > r->y + r->height - part.y)
            part.height = r->y + r->height - part.y;
        copy(s, frame, &part);
    }
}

/* Damage comes row by row. Rectangles that lie below each other are one: the library looks for videos among copies, and
 * a strip of one is none. */
static void copy_damage(struct screen *s, const struct bp_frame *frame)
{
    bool taken[BP_FRAME_MAX_RECTS] = {false};

    for (uint32_t i = 0; i < frame->rect_count; i++) {
        struct bp_rect r = frame->rects[i];

        for (uint32_t k = i + 1; k < frame->rect_count && !taken[i]; k++) {
            const struct bp_rect *next = &frame->rects[k];

            if (taken[k] || next->x != r.x || next->width != r.width || next->y != r.y + r.height)
                continue;
            r.height += next->height;
            taken[k] = true;
        }
        if (!taken[i])
            copy_in_strips(s, frame, &r);
    }
}

static void pull(struct screen *s)
{
    struct bp_frame frame = {.size = sizeof(frame)};

    if (!s->viewer || s->leaving || display->pull(s->viewer, &frame, NULL) < 0)
        return;
    if (s->width && (frame.width != s->width || frame.height != s->height)) {
        display->release(&frame);
        display->forget(s->viewer); /* look() pulls it again */
        leave_surface(s);
        return;
    }
    if (!s->width) {
        new_surface(s, frame.width, frame.height);
        show_cursor(s);
    }
    copy_damage(s, &frame);
    display->release(&frame);
    display->want(s->viewer);
}

/* The worker takes what there is before more is pulled. */
static void look(void *opaque)
{
    struct screen *s = opaque;
    bool ready, oom, left, pointer_due;

    pthread_mutex_lock(&s->lock);
    left = s->left;
    s->left = false;
    oom = s->waiting >= MOST_WAITING;
    ready = left || (!s->drawing.first && !oom && s->stalled);
    if (ready)
        s->stalled = false;
    pointer_due = s->pointer_due && s->pointers < MOST_POINTERS / 2;
    pthread_mutex_unlock(&s->lock);
    if (left)
        surface_left(s);
    if (pointer_due)
        show_cursor(s);
    if (oom)
        spice_qxl_oom(&s->instance);
    if (ready)
        pull(s);
}

static void changed(void *opaque)
{
    struct screen *s = opaque;

    pthread_mutex_lock(&s->lock);
    s->stalled = true;
    pthread_mutex_unlock(&s->lock);
    look(s);
}

static void cursor(void *opaque, const struct bp_cursor *now)
{
    (void)now;
    show_cursor(opaque);
}

static void pointer(void *opaque, int32_t x, int32_t y, bool visible)
{
    struct screen *s = opaque;
    struct piece *p;

    if (!has_room(s, false)) {
        bp_deferred_schedule(s->again);
        return;
    }
    p = piece_new(QXL_CMD_CURSOR, 0);
    p->cursor.type = visible ? QXL_CURSOR_MOVE : QXL_CURSOR_HIDE;
    if (visible)
        p->cursor.u.position = (QXLPoint16){(int16_t)x, (int16_t)y};
    put(s, &s->pointer, p);
}

/* The library keeps its screens as long as it lives: what it shows last stays. */
static void gone(void *opaque)
{
    struct screen *s = opaque;

    display->viewer_free(s->viewer);
    s->viewer = NULL;
    s->console = NULL;
}

static const struct bp_viewer_ops viewer_ops = {
    .size = sizeof(viewer_ops), .changed = changed, .cursor = cursor, .pointer = pointer, .gone = gone};

static int add(struct spice_ui *ui, struct bp_console *console, int id, struct bp_error *err)
{
    struct screen *s = bp_alloc(sizeof(*s)), **at = &screens;
    QXLDevMemSlot slot = {.virt_end = ~(uintptr_t)0, .qxl_ram_size = ~0u};

    s->instance.base.sif = &interface.base;
    s->instance.id = id;
    s->console = console;
    s->drawing.last = &s->drawing.first;
    s->pointer.last = &s->pointer.first;
    pthread_mutex_init(&s->lock, NULL);
    s->again = bp_deferred_new(NULL, bp_context_main(ui->machine), look, s);
    if (spice_server_add_interface(ui->server, &s->instance.base) != 0) {
        bp_deferred_free(s->again);
        free(s);
        return bp_fail(err, EINVAL, "the SPICE server takes no screen %d", id);
    }
    while (*at)
        at = &(*at)->next;
    *at = s;
    spice_qxl_add_memslot(&s->instance, &slot);
    if (display->viewer_new(console, "spice", 0, &viewer_ops, s, &s->viewer, err) < 0)
        return -ENOMEM;
    pull(s);
    return 0;
}

static void look_for_consoles(void *opaque)
{
    struct spice_ui *ui = opaque;
    struct bp_console *console;

    for (unsigned n = 0; n < 16 && (console = display->console_at(ui->machine, n)); n++) {
        struct screen *s = screens;
        int id = 0;

        for (; s && s->console != console; s = s->next)
            id++;
        if (!s && !(display->console_flags(console) & BP_CONSOLE_TEXT))
            add(ui, console, id, NULL);
    }
}

int spice_screens_open(struct spice_ui *ui, struct bp_error *err)
{
    (void)err;
    look_for_consoles(ui);
    display->console_listen(look_for_consoles, ui);
    return 0;
}
