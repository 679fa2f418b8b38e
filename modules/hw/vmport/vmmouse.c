/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's mouse: absolute positions and buttons for a PS/2 mouse's driver, which fetches them through VMware's port
 * when its mouse says something (as Linux's drivers/input/mouse/vmmouse.c drives it). Data are words in a queue: the
 * version after it was enabled, then packets of four: flags, x, y, wheel. Left out: restricting the port to a
 * privilege level.
 */
#define BP_SHARED
#include "vmport.h"

#include <bp/chip/i8042.h>
#include <bp/host/input.h>
#include <bp/log.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#define COMMAND_ENABLE 0x45414552u
#define COMMAND_DISABLE 0x000000f5u
#define COMMAND_RELATIVE 0x4c455252u
#define COMMAND_ABSOLUTE 0x53424152u
#define VERSION_ID 0x3442554au
#define STATUS_ERROR 0xffff0000u

#define FLAG_MIDDLE 0x08u
#define FLAG_RIGHT 0x10u
#define FLAG_LEFT 0x20u
#define FLAG_RELATIVE 0x10000u

#define PACKET 4u
#define WORDS 1024u
#define DATA_MAX 4u /* that one command fetches */

enum mode { OFF, ENABLED, RELATIVE, ABSOLUTE };

struct vmmouse {
    struct bp_object *i8042_link; /* property */
    struct bp_device *i8042;
    struct vmport *port;
    struct bp_input_device *device; /* in the last two modes */
    uint32_t mode;
    uint32_t queue[WORDS], head, count;
    uint32_t x, y;  /* absolute, or the way since the last packet */
    uint32_t wheel; /* likewise, towards the user */
    uint32_t buttons;
    bool changed; /* since the last packet */
    bool failed;  /* the guest asked for what is not there */
};

static void put(struct vmmouse *s, uint32_t word)
{
    s->queue[(s->head + s->count++) % WORDS] = word;
}

static uint32_t take(struct vmmouse *s)
{
    uint32_t word = s->queue[s->head];

    s->head = (s->head + 1) % WORDS;
    s->count--;
    return word;
}

/* ---- what comes ---- */

static unsigned space(void *opaque)
{
    return (WORDS - ((struct vmmouse *)opaque)->count) / PACKET;
}

static void put_packet(struct vmmouse *s)
{
    if (!s->changed || !space(s))
        return;
    put(s, s->buttons | (s->mode == RELATIVE ? FLAG_RELATIVE : 0));
    put(s, s->x);
    put(s, s->y);
    put(s, s->wheel);
    s->wheel = 0;
    if (s->mode == RELATIVE)
        s->x = s->y = 0;
    s->changed = false;
}

static uint32_t position(int32_t value)
{
    uint32_t v = value < 0 ? 0 : value > BP_INPUT_ABS_MAX ? BP_INPUT_ABS_MAX : (uint32_t)value;

    return v * 0xffffu / BP_INPUT_ABS_MAX;
}

static void press(struct vmmouse *s, uint16_t code, bool down)
{
    uint32_t bit = code == BTN_LEFT ? FLAG_LEFT : code == BTN_RIGHT ? FLAG_RIGHT : code == BTN_MIDDLE ? FLAG_MIDDLE : 0;
    uint32_t now = down ? s->buttons | bit : s->buttons & ~bit;

    if (now == s->buttons)
        return;
    put_packet(s); /* a click within one gesture is one all the same */
    s->buttons = now;
    s->changed = true;
}

static void take_event(void *opaque, const struct bp_input_event *e)
{
    struct vmmouse *s = opaque;

    if (e->type == BP_INPUT_KEY) {
        press(s, e->code, e->value != 0);
    } else if (e->type == BP_INPUT_REL && e->code == REL_WHEEL) {
        s->wheel -= (uint32_t)e->value;
        s->changed = true;
    } else if (e->type == BP_INPUT_ABS && (e->code == ABS_X || e->code == ABS_Y)) {
        *(e->code == ABS_X ? &s->x : &s->y) = position(e->value);
        s->changed = true;
    } else if (e->type == BP_INPUT_REL && (e->code == REL_X || e->code == REL_Y)) {
        if (e->code == REL_X)
            s->x += (uint32_t)e->value;
        else
            s->y -= (uint32_t)e->value; /* up is positive */
        s->changed = true;
    }
}

static void sync_events(void *opaque)
{
    struct vmmouse *s = opaque;

    put_packet(s);
    if (s->count)
        (*vmport_i8042)->nudge_mouse(s->i8042);
}

static const struct bp_input_ops absolute_ops = {
    .size = sizeof(absolute_ops), .takes = BP_INPUT_TAKES_ABSOLUTE, .name = "VMware mouse", .space = space,
    .event = take_event, .sync = sync_events};
static const struct bp_input_ops relative_ops = {
    .size = sizeof(relative_ops), .takes = BP_INPUT_TAKES_RELATIVE, .name = "VMware mouse", .space = space,
    .event = take_event, .sync = sync_events};

/* ---- what the guest wants ---- */

static void forget(struct vmmouse *s)
{
    s->head = s->count = s->x = s->y = s->wheel = s->buttons = 0;
    s->changed = s->failed = false;
}

/* Events come to it in the last two modes only; until then the PS/2 mouse has them. */
static int take_part(struct vmmouse *s, struct bp_error *err)
{
    const struct bp_input_ops *ops = s->mode == ABSOLUTE ? &absolute_ops : &relative_ops;
    int r;

    if (s->device)
        (*vmport_input)->device_free(s->device);
    s->device = NULL;
    if (s->mode < RELATIVE)
        return 0;
    r = (*vmport_input)->device_new(bp_device_object(bp_device_of_state(s)), NULL, ops, s, &s->device, err);
    if (r == 0)
        (*vmport_input)->activate(s->device);
    return r;
}

/* The driver switches its PS/2 mouse on, but for what comes from here. */
static void mouse_starts(void *opaque)
{
    struct vmmouse *s = opaque;

    if (s->device)
        (*vmport_input)->activate(s->device);
}

static void set_mode(struct vmmouse *s, enum mode mode)
{
    s->mode = mode;
    if (take_part(s, NULL) < 0)
        s->failed = true;
}

static void command(struct vmmouse *s, uint32_t what)
{
    switch (what) {
    case COMMAND_ENABLE:
        forget(s);
        set_mode(s, ENABLED);
        put(s, VERSION_ID);
        break;
    case COMMAND_DISABLE:
        forget(s);
        set_mode(s, OFF);
        break;
    case COMMAND_RELATIVE:
    case COMMAND_ABSOLUTE:
        if (s->mode == OFF)
            break;
        s->x = s->y = 0;
        set_mode(s, what == COMMAND_RELATIVE ? RELATIVE : ABSOLUTE);
        break;
    default:
        bp_guest_error("vmmouse-command", "vmmouse: unknown command %#x", what);
        break;
    }
}

static void data(struct vmmouse *s, struct vmport_registers *r)
{
    uint32_t *const to[DATA_MAX] = {&r->eax, &r->ebx, &r->ecx, &r->edx};
    uint32_t wanted = r->ebx;

    if (s->mode == OFF || s->failed || !wanted || wanted > DATA_MAX || wanted > s->count) {
        bp_guest_error("vmmouse-data", "vmmouse: %u words were asked for, there are %u", wanted, s->count);
        s->failed = true; /* until it is enabled again */
        return;
    }
    for (unsigned n = 0; n < wanted; n++)
        *to[n] = take(s);
    if (s->device)
        (*vmport_input)->room(s->device);
}

bool vmmouse_command(struct vmmouse *s, unsigned number, struct vmport_registers *r)
{
    switch (number) {
    case VMPORT_POINTER_DATA:
        r->eax = 0;
        data(s, r);
        return true;
    case VMPORT_POINTER_STATUS:
        r->eax = s->mode == OFF || s->failed ? STATUS_ERROR : s->count;
        return true;
    case VMPORT_POINTER_COMMAND:
        command(s, r->ebx);
        r->eax = 0;
        return true;
    default: return false;
    }
}

/* ---- the device ---- */

static void vmmouse_reset(struct bp_device *dev)
{
    struct vmmouse *s = bp_device_state(dev);

    forget(s);
    set_mode(s, OFF);
}

static int vmmouse_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_machine *machine = bp_object_machine(bp_device_object(dev));
    struct bp_device *port = bp_device_first(machine, "vmport");
    struct vmmouse *s = bp_device_state(dev);

    s->i8042 = s->i8042_link ? bp_device_from_object(s->i8042_link) : bp_device_first(machine, "i8042");
    if (!port)
        return bp_fail(err, ENODEV, "vmmouse is reached through VMware's port, which this machine does not have: "
                       "-machine vmport=on");
    if (!s->i8042)
        return bp_fail(err, ENODEV, "vmmouse needs a PS/2 mouse: -machine i8042=on");
    s->port = bp_device_state(port);
    if (s->port->mouse) {
        s->port = NULL;
        return bp_fail(err, EBUSY, "VMware's port has its mouse already: with -machine vmport=on the board makes one");
    }
    s->port->mouse = s;
    (*vmport_i8042)->on_mouse_start(s->i8042, mouse_starts, s);
    return 0;
}

static void vmmouse_detach(struct bp_device *dev)
{
    struct vmmouse *s = bp_device_state(dev);

    if (s->device)
        (*vmport_input)->device_free(s->device);
    (*vmport_i8042)->on_mouse_start(s->i8042, NULL, NULL);
    s->port->mouse = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    (void)version;
    return take_part(state, err);
}

static const struct bp_state_field fields[] = {
    BP_SAVE_RANGE(UINT32, struct vmmouse, mode, OFF, ABSOLUTE),
    BP_SAVE_ARRAY(UINT32, struct vmmouse, queue),
    BP_SAVE_RANGE(UINT32, struct vmmouse, head, 0, WORDS - 1),
    BP_SAVE_RANGE(UINT32, struct vmmouse, count, 0, WORDS),
    BP_SAVE(UINT32, struct vmmouse, x),
    BP_SAVE(UINT32, struct vmmouse, y),
    BP_SAVE(UINT32, struct vmmouse, wheel),
    BP_SAVE(UINT32, struct vmmouse, buttons),
    BP_SAVE(BOOL, struct vmmouse, changed),
    BP_SAVE(BOOL, struct vmmouse, failed),
    BP_SAVE_END,
};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load,
                                            .may_be_missing = true};

static const struct bp_field props[] = {
    BP_PROP_LINK("i8042", "i8042", struct vmmouse, i8042_link, "controller of the PS/2 mouse; none: the machine's"),
    BP_FIELDS_END};

BP_DEVICE(vmmouse_class, "vmmouse", "isa", "VMware's mouse", struct vmmouse, props, &table, .category = "input",
          .attach = vmmouse_attach, .detach = vmmouse_detach, .reset = vmmouse_reset);
