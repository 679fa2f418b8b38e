/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-wctablet`: a PenPartner, Wacom's serial tablet of protocol IV (the packets and commands as Linux's
 * driver wacom_serial4 documents them). Commands come as text; packets have seven bytes, the first with bit 7, and go
 * out once the guest has sent ST. The host's pointer is the pen: left is its tip, right its switch, and middle is its
 * other end, the eraser.
 */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>

#include <bp/host/chardev.h>
#include <bp/host/input.h>
#include <bp/loop.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
BP_USE(input, struct bp_input_interface, "input", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), BP_IMPORT(input, "input", 1), {0}};

#define WIDTH 5040u /* thousandths of an inch */
#define HEIGHT 3780u
#define PACKET 7u
#define COMMAND 16u /* bytes of a command; longer ones are none */
#define TIP 1u
#define SWITCH 2u
#define ERASER 4u

struct wctablet {
    struct bp_chardev *chr;
    struct bp_input_device *device; /* NULL: never asked for packets */
    struct bp_deferred *pump;
    bool sends, moved;
    uint32_t x, y; /* 0..BP_INPUT_ABS_MAX */
    unsigned buttons;
    char command[COMMAND];
    unsigned length;
    uint8_t out[128]; /* to the guest */
    unsigned size;
};

/* An answer that does not fit is dropped: the guest asks and does not read. */
static void answer(struct wctablet *t, const char *text)
{
    size_t n = strlen(text);

    if (n > sizeof(t->out) - t->size)
        return;
    memcpy(t->out + t->size, text, n);
    t->size += (unsigned)n;
    bp_deferred_schedule(t->pump);
}

/* One position: what came meanwhile has made it out of date. */
static void make_packet(struct wctablet *t)
{
    uint32_t x = t->x * (WIDTH - 1) / BP_INPUT_ABS_MAX, y = t->y * (HEIGHT - 1) / BP_INPUT_ABS_MAX;
    uint8_t *p = t->out + t->size;

    if (!t->moved || !t->sends || sizeof(t->out) - t->size < PACKET)
        return;
    p[0] = (uint8_t)(0xe0 | (x >> 14 & 3)); /* near, and a pen */
    p[1] = x >> 7 & 0x7f;
    p[2] = x & 0x7f;
    p[3] = (uint8_t)(t->buttons << 3 | (y >> 14 & 3));
    p[4] = y >> 7 & 0x7f;
    p[5] = y & 0x7f;
    p[6] = t->buttons & TIP ? 0x3f : 0x40; /* pressure: all, or none */
    t->size += PACKET;
    t->moved = false;
}

static void pump(void *opaque)
{
    struct wctablet *t = opaque;
    size_t n;

    if (t->size == 0)
        make_packet(t);
    while (t->size && (n = chardev->can_read(t->chr)) > 0) {
        uint8_t part[sizeof(t->out)];

        n = n < t->size ? n : t->size;
        memcpy(part, t->out, n);
        t->size -= (unsigned)n;
        memmove(t->out, t->out + n, t->size);
        chardev->received(t->chr, part, n);
        if (t->size == 0)
            make_packet(t);
    }
}

/* ---- input ---- */

static void take_event(void *opaque, const struct bp_input_event *event)
{
    struct wctablet *t = opaque;
    unsigned button = event->code == BTN_LEFT ? TIP : event->code == BTN_RIGHT ? SWITCH
                    : event->code == BTN_MIDDLE ? ERASER : 0;

    if (event->type == BP_INPUT_KEY) {
        t->buttons = event->value ? t->buttons | button : t->buttons & ~button;
        t->moved |= button != 0;
    } else if (event->type == BP_INPUT_ABS && (event->code == ABS_X || event->code == ABS_Y)) {
        *(event->code == ABS_X ? &t->x : &t->y) = (uint32_t)event->value;
        t->moved = true;
    }
}

/* A click is two packets: the one before goes first. */
static void sync_events(void *opaque)
{
    struct wctablet *t = opaque;

    make_packet(t);
    if (t->sends)
        bp_deferred_schedule(t->pump);
}

static const struct bp_input_ops ops = {
    .size = sizeof(ops), .takes = BP_INPUT_TAKES_ABSOLUTE, .name = "Wacom PenPartner", .event = take_event,
    .sync = sync_events};

/* ---- commands ---- */

static void begin(struct wctablet *t)
{
    struct bp_object *machine = bp_object_resolve("/machine", NULL, NULL);

    if (!t->device && machine)
        input->device_new(machine, NULL, &ops, t, &t->device, NULL);
    if (t->device)
        input->activate(t->device);
    t->sends = true;
}

static void reset(struct wctablet *t)
{
    t->sends = t->moved = false;
    t->size = 0;
}

static void carry_out(struct wctablet *t)
{
    char text[32];

    if (strcmp(t->command, "~R") == 0) {
        answer(t, "~RE202C900,002,02,1270,1270\r");
    } else if (strcmp(t->command, "~C") == 0) {
        snprintf(text, sizeof(text), "~C%05u,%05u\r", WIDTH, HEIGHT);
        answer(t, text);
    } else if (strcmp(t->command, "ST") == 0) {
        begin(t);
    } else if (strcmp(t->command, "SP") == 0) {
        t->sends = false;
    }
    /* Rates, filters and origins are set as they are here. */
}

static void take_byte(struct wctablet *t, char c)
{
    bool first = t->length == 0;

    if (c == '\r' || c == '\n') {
        carry_out(t);
        t->length = 0;
    } else if (first && (c == '#' || c == '$')) {
        reset(t);
    } else if (t->length == 1 && t->command[0] == '~' && c == '#') { /* has no end of line */
        answer(t, "~#CT-0045R,V1.3-5,\r");
        t->length = 0;
    } else if (t->length < COMMAND - 1) {
        t->command[t->length++] = c;
    }
    t->command[t->length] = '\0';
}

static int wctablet_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct wctablet *t = chardev->state(chr);

    for (size_t i = 0; i < len; i++)
        take_byte(t, (char)buf[i]);
    return (int)len;
}

static int wctablet_ioctl(struct bp_chardev *chr, enum bp_chardev_ioctl command, void *arg)
{
    (void)chr;
    (void)arg;
    return command == BP_CHARDEV_SET_PARAMS ? 0 : -ENOTSUP; /* any speed will do */
}

/* ---- life ---- */

static int wctablet_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct wctablet *t = chardev->state(chr);

    (void)err;
    t->chr = chr;
    t->pump = bp_deferred_new(NULL, NULL, pump, t);
    chardev->opened(chr);
    return 0;
}

static void wctablet_close(struct bp_chardev *chr)
{
    struct wctablet *t = chardev->state(chr);

    input->device_free(t->device);
    t->device = NULL;
    bp_deferred_free(t->pump);
    t->pump = NULL;
}

static void wctablet_accept(struct bp_chardev *chr)
{
    struct wctablet *t = chardev->state(chr);

    if (t->size || (t->moved && t->sends))
        bp_deferred_schedule(t->pump);
}

BP_CHARDEV(wctablet_class, "wctablet", "Wacom PenPartner, a serial tablet", struct wctablet, NULL,
           .open = wctablet_open, .close = wctablet_close, .write = wctablet_write, .accept_input = wctablet_accept,
           .ioctl = wctablet_ioctl);
BP_MODULE("chardev-wctablet", "Serial tablet as a character device", imports, {BP_PROVIDE_OTHER, &wctablet_class});
