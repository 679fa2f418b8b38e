/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-msmouse`: a serial mouse of Microsoft's protocol with Logitech's third button: 1200 baud, 7 bits. DTR
 * and RTS are its power: when both come it says "M3". A packet has three bytes (the first with bit 6: buttons and the
 * upper bits of the motion), and a fourth while the middle button is down and once when it is let go. The guest
 * sees a mouse from then on that its driver has switched it on.
 */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include <bp/host/chardev.h>
#include <bp/host/input.h>
#include <bp/loop.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
BP_USE(input, struct bp_input_interface, "input", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), BP_IMPORT(input, "input", 1), {0}};

#define LINE_DTR 0x002 /* as ioctl TIOCMGET has them */
#define LINE_RTS 0x004
#define LINE_CTS 0x020
#define LINE_CAR 0x040
#define LINE_DSR 0x100
#define POWER (LINE_DTR | LINE_RTS)
#define LEFT 1u
#define RIGHT 2u
#define MIDDLE 4u
#define PACKET 4u

struct msmouse {
    struct bp_chardev *chr;
    struct bp_input_device *device; /* NULL: never switched on */
    int lines;
    uint8_t bytes[64 * PACKET]; /* to the guest */
    unsigned size;
    int dx, dy;         /* not told yet */
    unsigned buttons, told; /* that are down; that the guest knows of */
    struct bp_deferred *pump;
};

static bool powered(const struct msmouse *m)
{
    return (m->lines & POWER) == POWER;
}

static int clamp(int v)
{
    return v < -128 ? -128 : v > 127 ? 127 : v;
}

static void make_packets(struct msmouse *m)
{
    while ((m->dx || m->dy || m->buttons != m->told) && m->size + PACKET <= sizeof(m->bytes)) {
        int dx = clamp(m->dx), dy = clamp(m->dy);
        uint8_t *p = m->bytes + m->size;

        p[0] = (uint8_t)(0x40 | (m->buttons & LEFT ? 0x20 : 0) | (m->buttons & RIGHT ? 0x10 : 0) |
                         ((dy >> 6 & 3) << 2) | (dx >> 6 & 3));
        p[1] = dx & 0x3f;
        p[2] = dy & 0x3f;
        m->size += 3;
        if ((m->buttons | m->told) & MIDDLE)
            m->bytes[m->size++] = m->buttons & MIDDLE ? 0x20 : 0;
        m->dx -= dx;
        m->dy -= dy;
        m->told = m->buttons;
    }
}

static void pump(void *opaque)
{
    struct msmouse *m = opaque;
    size_t n;

    make_packets(m);
    while (m->size && (n = chardev->can_read(m->chr)) > 0) {
        uint8_t part[sizeof(m->bytes)];

        n = n < m->size ? n : m->size;
        memcpy(part, m->bytes, n);
        m->size -= (unsigned)n;
        memmove(m->bytes, m->bytes + n, m->size);
        chardev->received(m->chr, part, n);
        make_packets(m);
    }
}

/* ---- input ---- */

static void add(int *sum, int value)
{
    int64_t v = (int64_t)*sum + value;

    *sum = v > 32767 ? 32767 : v < -32768 ? -32768 : (int)v; /* a guest that never reads */
}

static void take_event(void *opaque, const struct bp_input_event *event)
{
    struct msmouse *m = opaque;
    unsigned button = event->code == BTN_LEFT ? LEFT : event->code == BTN_RIGHT ? RIGHT
                    : event->code == BTN_MIDDLE ? MIDDLE : 0;

    if (event->type == BP_INPUT_KEY)
        m->buttons = event->value ? m->buttons | button : m->buttons & ~button;
    else if (event->type == BP_INPUT_REL && event->code == REL_X)
        add(&m->dx, event->value);
    else if (event->type == BP_INPUT_REL && event->code == REL_Y)
        add(&m->dy, event->value);
}

static void sync_events(void *opaque)
{
    struct msmouse *m = opaque;

    if (powered(m))
        bp_deferred_schedule(m->pump);
    else
        m->dx = m->dy = 0;
}

static const struct bp_input_ops ops = {
    .size = sizeof(ops), .takes = BP_INPUT_TAKES_RELATIVE, .name = "Microsoft serial mouse", .event = take_event,
    .sync = sync_events};

/* ---- lines ---- */

static void switch_on(struct msmouse *m)
{
    struct bp_object *machine = bp_object_resolve("/machine", NULL, NULL);

    if (!m->device && machine)
        input->device_new(machine, NULL, &ops, m, &m->device, NULL);
    if (m->device)
        input->activate(m->device);
    m->dx = m->dy = 0;
    m->told = m->buttons & ~MIDDLE;
    memcpy(m->bytes, "M3", 2);
    m->size = 2;
    bp_deferred_schedule(m->pump);
}

static int msmouse_ioctl(struct bp_chardev *chr, enum bp_chardev_ioctl command, void *arg)
{
    struct msmouse *m = chardev->state(chr);
    bool before = powered(m);

    switch (command) {
    case BP_CHARDEV_GET_TIOCM:
        *(int *)arg = m->lines | LINE_CTS | LINE_DSR | LINE_CAR;
        return 0;
    case BP_CHARDEV_SET_TIOCM:
        m->lines = *(const int *)arg & POWER;
        if (!before && powered(m))
            switch_on(m);
        return 0;
    case BP_CHARDEV_SET_PARAMS:
        return 0;
    default:
        return -ENOTSUP;
    }
}

/* ---- life ---- */

static int msmouse_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct msmouse *m = chardev->state(chr);

    (void)err;
    m->chr = chr;
    m->pump = bp_deferred_new(NULL, NULL, pump, m);
    chardev->opened(chr);
    return 0;
}

static void msmouse_close(struct bp_chardev *chr)
{
    struct msmouse *m = chardev->state(chr);

    input->device_free(m->device);
    m->device = NULL;
    bp_deferred_free(m->pump);
    m->pump = NULL;
}

static int msmouse_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    (void)chr, (void)buf;
    return (int)len; /* nobody listens */
}

static void msmouse_accept(struct bp_chardev *chr)
{
    struct msmouse *m = chardev->state(chr);

    if (m->size || m->dx || m->dy)
        bp_deferred_schedule(m->pump);
}

BP_CHARDEV(msmouse_class, "msmouse", "Microsoft serial mouse with three buttons", struct msmouse, NULL,
           .open = msmouse_open, .close = msmouse_close, .write = msmouse_write, .accept_input = msmouse_accept,
           .ioctl = msmouse_ioctl);
BP_MODULE("chardev-msmouse", "Serial mouse as a character device", imports, {BP_PROVIDE_OTHER, &msmouse_class});
