/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rings of a QXL: commands for pictures and for the pointer come in, ids of what is done with
 * go out. What is released waits in a chain (each one's `next` is the id of the one before it)
 * until there is room.
 */
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>
#include <bp/loop.h>

#include "qxl.h"

#define AT_ONCE 64u /* commands, then others have their turn */
#define MOST_CURSOR 256u

static uint32_t load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(struct qxl *s, uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
    bp_region_mark_dirty(s->vga.vram, (uint64_t)((uint8_t *)at - s->vga.memory), 4);
}

/* The words of a ring; each stands at a multiple of 4. */
struct ring {
    uint32_t *num_items, *prod, *notify_on_prod, *cons, *notify_on_cons;
    uint8_t *items;
    uint32_t size;
};

#define RING(s, NAME, SIZE)                                                                        \
    {                                                                                              \
        (uint32_t *)((uint8_t *)(s)->ram + offsetof(QXLRam, NAME.num_items)),                      \
            (uint32_t *)((uint8_t *)(s)->ram + offsetof(QXLRam, NAME.prod)),                       \
            (uint32_t *)((uint8_t *)(s)->ram + offsetof(QXLRam, NAME.notify_on_prod)),             \
            (uint32_t *)((uint8_t *)(s)->ram + offsetof(QXLRam, NAME.cons)),                       \
            (uint32_t *)((uint8_t *)(s)->ram + offsetof(QXLRam, NAME.notify_on_cons)),             \
            (uint8_t *)(s)->ram + offsetof(QXLRam, NAME.items), SIZE                               \
    }

static void ring_begin(struct qxl *s, struct ring r)
{
    store(s, r.num_items, r.size);
    store(s, r.prod, 0);
    store(s, r.cons, 0);
    store(s, r.notify_on_prod, 1);
    store(s, r.notify_on_cons, 0);
}

void qxl_rings_begin(struct qxl *s)
{
    struct ring commands = RING(s, cmd_ring, QXL_COMMAND_RING_SIZE),
                cursors = RING(s, cursor_ring, QXL_CURSOR_RING_SIZE);
    struct ring releases = RING(s, release_ring, QXL_RELEASE_RING_SIZE);

    memset(s->ram, 0, sizeof(*s->ram));
    s->ram->magic = QXL_RAM_MAGIC;
    bp_region_mark_dirty(s->vga.vram, s->rom->ram_header_offset, sizeof(*s->ram));
    ring_begin(s, commands);
    ring_begin(s, cursors);
    ring_begin(s, releases);
    s->released = 0;
    qxl_interrupt(s, 0);
}

void qxl_interrupt(struct qxl *s, uint32_t sources)
{
    uint32_t *pending = (uint32_t *)((uint8_t *)s->ram + offsetof(QXLRam, int_pending));
    const uint32_t *mask = (const uint32_t *)((uint8_t *)s->ram + offsetof(QXLRam, int_mask));
    uint32_t now = __atomic_or_fetch(pending, sources, __ATOMIC_ACQ_REL);

    bp_region_mark_dirty(s->vga.vram, (uint64_t)((uint8_t *)pending - s->vga.memory), 4);
    (*qxl_pci)->set_irq(s->dev, (now & load(mask)) != 0);
}

/* ---- what is done with ---- */

void qxl_release(struct qxl *s)
{
    struct ring r = RING(s, release_ring, QXL_RELEASE_RING_SIZE);
    uint32_t prod = load(r.prod);

    if (!s->released || prod - load(r.cons) >= r.size)
        return;
    memcpy(r.items + 8 * (prod % r.size), &s->released, 8);
    bp_region_mark_dirty(s->vga.vram, (uint64_t)(r.items - s->vga.memory), 8 * r.size);
    s->released = 0;
    store(s, r.prod, prod + 1);
    if (prod + 1 == load(r.notify_on_prod))
        qxl_interrupt(s, QXL_INTERRUPT_DISPLAY);
}

/* Each command begins with its release info. */
static void done_with(struct qxl *s, uint64_t address)
{
    struct qxl_place place;
    uint64_t id;

    if (!qxl_find(s, address, sizeof(QXLReleaseInfo), &place))
        return;
    memcpy(&id, place.at, 8);
    memcpy(place.at, &s->released, 8);
    bp_region_mark_dirty(place.region, place.offset, 8);
    s->released = id;
}

/* ---- the pointer ---- */

static uint32_t plain_alpha(uint32_t c)
{
    uint32_t alpha = c >> 24, v = alpha << 24;

    for (unsigned shift = 0; alpha && shift < 24; shift += 8) {
        uint32_t part = (c >> shift & 0xff) * 255 / alpha;

        v |= (part > 255 ? 255 : part) << shift;
    }
    return v;
}

static unsigned bit(const uint8_t *line, uint32_t x)
{
    return line[x / 8] >> (7 - x % 8) & 1;
}

/* Dots that invert are shown white. */
static uint32_t cursor_pixel(const uint8_t *data, const QXLCursorHeader *h, uint32_t x, uint32_t y)
{
    uint32_t line = (h->width + 7u) / 8, c;

    if (h->type == SPICE_CURSOR_TYPE_MONO) {
        unsigned and = bit(data + line * y, x), xor = bit(data + line * (h->height + y), x);

        return and? (xor? 0xffffffff : 0) : xor? 0xffffffff : 0xff000000;
    }
    memcpy(&c, data + 4 * ((size_t)y * h->width + x), 4);
    if (h->type == SPICE_CURSOR_TYPE_ALPHA)
        return plain_alpha(c);
    if (bit(data + 4 * (size_t)h->width * h->height + line * y,
            x)) /* the mask: keeps what is below */
        return c & 0xffffff ? 0xffffffff : 0;
    return 0xff000000 | c;
}

static void set_shape(struct qxl *s, uint64_t address)
{
    struct bp_cursor cursor = {0};
    QXLCursor head;
    uint32_t *pixels;
    uint8_t *data;
    size_t size, line;

    if (!qxl_read(s, address, &head, sizeof(head)))
        return;
    line = (head.header.width + 7u) / 8;
    size = (size_t)head.header.width * head.header.height * 4 + line * head.header.height;
    if (head.header.type == SPICE_CURSOR_TYPE_MONO)
        size = 2 * line * head.header.height;
    else if (head.header.type == SPICE_CURSOR_TYPE_ALPHA)
        size = (size_t)head.header.width * head.header.height * 4;
    if ((head.header.type > SPICE_CURSOR_TYPE_MONO &&
         head.header.type != SPICE_CURSOR_TYPE_COLOR32) ||
        !head.header.width || !head.header.height || head.header.width > MOST_CURSOR ||
        head.header.height > MOST_CURSOR) {
        bp_guest_error("qxl-cursor", "qxl: a pointer of type %u, %u x %u, is not shown",
                       head.header.type, head.header.width, head.header.height);
        return;
    }
    data = bp_alloc(size);
    pixels = bp_alloc((size_t)head.header.width * head.header.height * 4);
    if (qxl_read_chunks(s, address + offsetof(QXLCursor, chunk), data, size)) {
        for (uint32_t y = 0; y < head.header.height; y++)
            for (uint32_t x = 0; x < head.header.width; x++)
                pixels[y * head.header.width + x] = cursor_pixel(data, &head.header, x, y);
        cursor = (struct bp_cursor){
            .width = head.header.width, .height = head.header.height, .pixels = pixels};
        cursor.hot_x =
            head.header.hot_spot_x < cursor.width ? head.header.hot_spot_x : cursor.width - 1;
        cursor.hot_y =
            head.header.hot_spot_y < cursor.height ? head.header.hot_spot_y : cursor.height - 1;
        vga_display->set_cursor(s->vga.console, &cursor);
    }
    free(pixels);
    free(data);
}

static void cursor_command(struct qxl *s, uint64_t address)
{
    QXLCursorCmd c;

    if (!qxl_read(s, address, &c, offsetof(QXLCursorCmd, device_data)))
        return;
    if (c.type == QXL_CURSOR_SET) {
        set_shape(s, c.u.set.shape);
        s->pointer_x = c.u.set.position.x;
        s->pointer_y = c.u.set.position.y;
        s->pointer_on = c.u.set.visible != 0;
    } else if (c.type == QXL_CURSOR_MOVE) {
        s->pointer_x = c.u.position.x;
        s->pointer_y = c.u.position.y;
        s->pointer_on = 1;
    } else if (c.type == QXL_CURSOR_HIDE) {
        s->pointer_on = 0;
    }
    vga_display->move_pointer(s->vga.console, s->pointer_x, s->pointer_y, s->pointer_on);
}

/* ---- commands ---- */

static void surface_command(struct qxl *s, uint64_t address)
{
    QXLSurfaceCmd c;

    if (!qxl_read(s, address, &c, sizeof(c)))
        return;
    if (!c.surface_id || c.surface_id >= QXL_SURFACES) /* the primary one is made by the ports */
        bp_guest_error("qxl-surface", "qxl: surface %u is none", c.surface_id);
    else if (c.type == QXL_SURFACE_CMD_CREATE)
        qxl_surface_make(s, c.surface_id, &c.u.surface_create);
    else
        s->surfaces[c.surface_id].format = 0;
}

static void perform(struct qxl *s, const QXLCommand *command)
{
    QXLDrawable drawable;

    switch (command->type) {
    case QXL_CMD_DRAW:
        if (qxl_read(s, command->data, &drawable, sizeof(drawable)))
            qxl_draw(s, &drawable);
        break;
    case QXL_CMD_SURFACE:
        surface_command(s, command->data);
        break;
    case QXL_CMD_CURSOR:
        cursor_command(s, command->data);
        break;
    default: /* what is to be brought up to date is, messages go nowhere */
        break;
    }
    done_with(s, command->data);
}

/* Returns whether something is left. */
static bool run_ring(struct qxl *s, struct ring r, uint32_t interrupt)
{
    for (unsigned n = 0; n < AT_ONCE; n++) {
        uint32_t cons = load(r.cons), prod = load(r.prod);
        QXLCommand command;

        if (cons == prod) { /* the next one that is put there is told */
            store(s, r.notify_on_prod, prod + 1);
            if (load(r.prod) == cons)
                return false;
            continue;
        }
        if (prod - cons > r.size) {
            bp_guest_error("qxl-ring", "qxl: a ring with %u commands of %u", prod - cons, r.size);
            store(s, r.cons, prod);
            continue;
        }
        memcpy(&command, r.items + sizeof(command) * (cons % r.size), sizeof(command));
        store(s, r.cons, cons + 1);
        perform(s, &command);
        if (cons + 1 == load(r.notify_on_cons))
            qxl_interrupt(s, interrupt);
    }
    return true;
}

void qxl_run(struct qxl *s)
{
    struct ring commands = RING(s, cmd_ring, QXL_COMMAND_RING_SIZE),
                cursors = RING(s, cursor_ring, QXL_CURSOR_RING_SIZE);
    bool more;

    more = run_ring(s, commands, QXL_INTERRUPT_DISPLAY);
    more |= run_ring(s, cursors, QXL_INTERRUPT_CURSOR);
    qxl_release(s);
    if (more)
        bp_deferred_schedule(s->later);
}
